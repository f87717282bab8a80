//! LIFE files through the door, and what of them others see: C1 and its trend (P-141).

use crate::world::{Client, Person, Reply, Role, World};
use axum::http::StatusCode;
use kiban_domain::Kind;
use kiban_domain::life_trend::Reference;
use kiban_service::Config;
use serde_json::{Value, json};

/// The columns of [`row`].
const HEAD: &str = "FORM_0000_2021\r\ncare_facility_id,service_code,insurer_no,insured_no,external_system_management_number,facility_outpatient_category,evaluate_date,filing_staff,barthel_index_meal,barthel_transfer,barthel_index_personal_hygiene_and_adjustment,barthel_index_toilet_activity,barthel_index_bathing,barthel_index_flat_ground_walking,barthel_index_stair_movement,barthel_index_changing_clothes,barthel_index_defecation_manage,barthel_index_urination_manage,height,weight,visit_services_01,diagnosis_of_dementia_other_name\r\n";
const STAFF: &str = "カナリア記入者";
const NOTE: &str = "カナリア病名";
const NUMBER: &str = "canary-number";

/// An evaluation by the helper: number, day, points code of the first item, weight, and whose.
fn row(number: &str, day: &str, meal: &str, weight: &str, insured: &str) -> String {
    let office = Role::Helper.organization();
    format!(
        "{office},11,990010,{insured},{NUMBER}-{number},2,{day},{STAFF},{meal},1,1,1,1,1,1,1,1,1,150.0,{weight},1,{NOTE}\r\n"
    )
}

fn form(rows: &[String]) -> (String, Vec<u8>) {
    ("FORM_0000_2021_1.csv".to_owned(), (HEAD.to_owned() + &rows.concat()).into_bytes())
}

/// 利用者情報: the name stays with the office.
fn users(level: &str) -> (String, Vec<u8>) {
    let office = Role::Helper.organization();
    let head = "SERVICE_USER_INFO\ncare_facility_id,service_code,insurer_no,insured_no,external_system_management_number,last_name,first_name,gender,birthday,care_level,remarks\n";
    let text = format!("{head}{office},11,990010,0000000001,U-1,カナリア,姓名,2,19410503,{level},カナリア備考\n");
    ("SERVICE_USER_INFO_1.csv".to_owned(), text.into_bytes())
}

fn hanako(number: &str, day: &str, meal: &str, weight: &str) -> String {
    row(number, day, meal, weight, "0000000001")
}

async fn hand_in(world: &World, files: &[(String, Vec<u8>)]) -> Reply {
    world.log_in(Role::Helper).await.upload("/api/v1/life", files).await
}

async fn sheets(client: &Client<'_>, handle: &str) -> Vec<Value> {
    let reply = client.get(&format!("/api/v1/people/{handle}/records/C1")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["documents"].as_array().unwrap().clone()
}

fn rules(result: &Value) -> Vec<String> {
    let problems = result["report"]["problems"].as_array().unwrap();
    problems.iter().map(|problem| problem["rule"].as_str().unwrap().to_owned()).collect()
}

async fn give_consent(world: &World) {
    let handle = world.find(Person::Hanako).await;
    let given = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "同意様式 第1版" });
    let reply = world.log_in(Role::City).await.post(&format!("/api/v1/people/{handle}/consents"), given).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn what_of_an_upload_is_shared_becomes_sheets_and_the_receipt_tells_of_every_row() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let stranger = row("9", "20261101", "2", "50.0", "0000000077");
    let rows = [hanako("1", "20260801", "1", "45.0"), stranger.clone(), hanako("2", "20261101", "2", "44.5")];
    // The form comes before 利用者情報 and is read after it all the same.
    let files = [form(&rows), users("23")];
    let first = hand_in(&world, &files).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let result = first.json();
    assert_eq!((&result["state"], &result["repeated"]), (&json!("applied"), &json!(false)));
    let counts = json!({ "read": 3, "applied": 2, "unchanged": 0, "refused": 1 });
    assert_eq!(result["report"]["kinds"]["FORM_0000_2021"], counts);
    let named = result["report"]["problems"].as_array().unwrap();
    let named: Vec<_> = named.iter().filter(|problem| problem["rule"] == "not_assigned").collect();
    assert_eq!((named.len(), &named[0]["line"], &named[0]["severity"]), (1, &json!(4), &json!("warning")));
    assert!(rules(&result).contains(&"required".to_owned()), "what a final file should have is said");
    assert!(!first.text().contains("0000000077"), "its line is enough: {}", first.text());

    world.pass(60).await;
    let again = hand_in(&world, &files).await.json();
    assert_eq!((&again["receipt"], &again["repeated"]), (&result["receipt"], &json!(true)));
    let helper = world.log_in(Role::Helper).await;
    let receipt = format!("/api/v1/receipts/{}", result["receipt"].as_str().unwrap());
    assert_eq!(helper.get(&receipt).await.json()["report"], result["report"]);
    let file = helper.get(&format!("{receipt}/result.csv")).await.text();
    assert!(file.contains("種別 FORM_0000_2021: 全 3 件、反映 2 件、変更なし 0 件、不採用 1 件"), "{file}");

    let seen = sheets(&helper, &handle).await;
    let days: Vec<_> = seen.iter().map(|sheet| sheet["content"]["evaluated_on"].clone()).collect();
    assert_eq!(days, ["2026-11-01", "2026-08-01"], "newest first");
    assert_eq!(seen[0]["content"]["adl"]["barthel"]["1"], json!(10));
    assert_eq!(seen[0]["content"]["care_level"], json!("care3"), "from 利用者情報");
    world.verify().await;
}

#[tokio::test]
async fn the_same_row_again_keeps_what_it_leaves_empty_and_clears_what_it_spaces_out() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    hand_in(&world, &[form(&[hanako("1", "20260801", "1", "45.0")]), users("23")]).await;
    world.pass(60).await;
    let reply = hand_in(&world, &[form(&[hanako("1", "20260801", " ", "")])]).await;
    assert_eq!(reply.json()["report"]["counts"]["applied"], json!(1), "{}", reply.text());
    let helper = world.log_in(Role::Helper).await;
    let seen = sheets(&helper, &handle).await;
    let content = &seen[0]["content"];
    assert_eq!((seen.len(), &content["adl"]["barthel"]["1"]), (1, &Value::Null), "{content}");
    assert_eq!((&content["nutrition"]["weight"], &content["care_level"]), (&json!("45.0"), &json!("care3")));

    // Nothing new in it.
    world.pass(60).await;
    let reply = hand_in(&world, &[form(&[hanako("1", "20260801", "", "45.0")])]).await;
    assert_eq!(reply.json()["report"]["counts"], json!({ "read": 1, "applied": 0, "unchanged": 1, "refused": 0 }));

    // 評価日 was wrong: the sheet moves, and what was known before stays known as of then.
    let before = world.now();
    world.pass(60).await;
    hand_in(&world, &[form(&[hanako("1", "20260802", "2", "")])]).await;
    let seen = sheets(&helper, &handle).await;
    assert_eq!((seen.len(), &seen[0]["content"]["evaluated_on"]), (1, &json!("2026-08-02")));
    assert_eq!(
        (&seen[0]["content"]["nutrition"]["weight"], &seen[0]["content"]["adl"]["barthel"]["1"]),
        (&json!("45.0"), &json!(10))
    );
    let then = helper.get(&format!("/api/v1/people/{handle}/records/C1?known_on={before}")).await.json();
    assert_eq!(then["documents"][0]["content"]["evaluated_on"], json!("2026-08-01"));
    world.verify().await;
}

#[tokio::test]
async fn the_author_sees_it_at_once_others_with_consent_and_a_foreign_office_never() {
    let world = World::new().await;
    let own = world.register(Role::Helper, Person::Hanako).await;
    let planned = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    hand_in(&world, &[form(&[hanako("1", "20260801", "1", "45.0")])]).await;
    let helper = world.log_in(Role::Helper).await;
    let planner = world.log_in(Role::Planner).await;
    let city = world.log_in(Role::City).await;
    let of_city = world.find(Person::Hanako).await;
    assert_eq!(sheets(&helper, &own).await.len(), 1);
    for path in ["records/C1", "records/C1/trend", "records/C1/trend.svg"] {
        for (client, handle) in [(&planner, &planned), (&city, &of_city)] {
            let reply = client.get(&format!("/api/v1/people/{handle}/{path}")).await;
            assert_eq!(reply.refusal(), (403, "consent_missing".to_owned()), "{path}");
        }
        let stolen = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
        let stranger = world.log_in(Role::Stranger).await;
        let reply = stranger.get(&format!("/api/v1/people/{stolen}/{path}")).await;
        assert_eq!(reply.refusal(), (404, "unknown".to_owned()), "{path}");
        let vendor = world.log_in(Role::Vendor).await.get(&format!("/api/v1/people/{planned}/{path}")).await;
        assert_eq!(vendor.refusal(), (403, "not_this_way".to_owned()), "{path}");
    }
    give_consent(&world).await;
    assert_eq!(sheets(&planner, &planned).await.len(), 1);
    let seen = sheets(&city, &of_city).await;
    // What stays with the office, and its own number of the sheet, went nowhere.
    let text = seen[0].to_string();
    for word in [STAFF, NOTE, NUMBER, "カナリア"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let looks = city.get(&format!("/api/v1/people/{of_city}/look-ups")).await.text();
    assert!(looks.contains("C1"), "{looks}");
    world.verify().await;
}

#[tokio::test]
async fn files_of_another_office_of_tomorrow_or_of_nobody_here_are_refused_whole() {
    let world = World::new().await;
    let refused = async |files: &[(String, Vec<u8>)]| {
        let reply = hand_in(&world, files).await;
        assert_eq!(reply.refusal(), (422, "refused_files".to_owned()), "{}", reply.text());
        rules(&reply.json()["result"])
    };
    // Nobody is registered yet: an unknown number and a person of the city are told alike.
    let known = refused(&[form(&[hanako("1", "20260801", "1", "45.0")])]).await;
    let unknown = refused(&[form(&[row("1", "20260801", "1", "45.0", "0000000077")])]).await;
    assert!(known.contains(&"not_assigned".to_owned()) && known == unknown, "{known:?} {unknown:?}");

    world.register(Role::Helper, Person::Hanako).await;
    let rows = [hanako("1", "20260801", "1", "45.0"), hanako("2", "20261125", "1", "45.0")];
    assert!(refused(&[form(&rows)]).await.contains(&"future".to_owned()));
    let planner = Role::Planner.organization().to_string();
    let foreign = hanako("1", "20260801", "1", "45.0").replace(&Role::Helper.organization().to_string(), &planner);
    assert!(refused(&[form(&[foreign])]).await.contains(&"sender".to_owned()));
    assert_eq!(refused(&[users("23")]).await, ["empty"]);
    let number = hanako("1", "20260801", "1", "45.0").replace(STAFF, "123456789018");
    let reply = hand_in(&world, &[form(&[number])]).await;
    assert!(rules(&reply.json()["result"]).contains(&"individual_number".to_owned()));
    assert!(!reply.text().contains("123456789018"));
    let headers = world.platform.store().record_headers(Person::Hanako.key()).await.unwrap();
    assert!(headers.iter().all(|header| header.kind != Kind::C1), "nothing of any of them was taken");

    let own_form = form(&[hanako("1", "20260801", "1", "45.0")]);
    for (role, code) in
        [(Role::City, "not_writer"), (Role::Hospital, "not_writer"), (Role::CityProgram, "not_this_way")]
    {
        let reply = world.log_in(role).await.upload("/api/v1/life", std::slice::from_ref(&own_form)).await;
        assert_eq!(reply.refusal(), (403, code.to_owned()), "{role:?}");
    }
    world.verify().await;
}

#[tokio::test]
async fn the_trend_is_told_as_numbers_and_as_a_picture_that_says_what_it_compares_with() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let rows = [
        hanako("1", "20260501", "2", "46.0"),
        hanako("2", "20260801", "1", "45.0"),
        hanako("3", "20261101", "2", "44.5"),
    ];
    hand_in(&world, &[form(&rows), users("23")]).await;
    let helper = world.log_in(Role::Helper).await;
    let trend = helper.get(&format!("/api/v1/people/{handle}/records/C1/trend")).await.json();
    let line = |id: &str| trend["indicators"].as_array().unwrap().iter().find(|line| line["id"] == id).unwrap().clone();
    let values =
        |id: &str| line(id)["points"].as_array().unwrap().iter().map(|p| p["value"].clone()).collect::<Vec<_>>();
    assert_eq!((values("barthel"), &line("barthel")["change"]), (vec![json!(45), json!(40), json!(45)], &json!(5)));
    assert_eq!((values("bmi"), &line("bmi")["decimals"]), (vec![json!(204), json!(200), json!(198)], &json!(1)));
    assert_eq!(line("barthel")["comparison"]["group"], json!("要介護3〜5"));
    assert_eq!((&trend["reference"]["fictional"], &trend["services"]), (&json!(true), &json!({ "11": "訪問介護" })));

    let reply = helper.get(&format!("/api/v1/people/{handle}/records/C1/trend.svg")).await;
    assert_eq!((reply.status, reply.headers["content-type"].to_str().unwrap()), (StatusCode::OK, "image/svg+xml"));
    let svg = reply.text();
    for part in [
        "<title id=\"t\">LIFE情報の推移</title>",
        "<desc id=\"d\">ADL",
        "2026/5/1 45点",
        "前回より ＋5点（改善）",
        "架空",
    ] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    for part in ["<script", "href", "<style", "javascript", "NaN", "inf"] {
        assert!(!svg.contains(part), "{part}");
    }
    if let Some(folder) = std::env::var_os("KIBAN_KEEP_CHART") {
        std::fs::write(std::path::Path::new(&folder).join("trend.svg"), &svg).unwrap();
    }
    world.verify().await;
}

/// Items of every indicator: ADL, nutrition, mouth, DBD13 and 意欲の指標.
fn every_item(number: &str, day: &str, points: u8) -> String {
    let office = Role::Helper.organization();
    let (dbd, vitality) = (vec![points.to_string(); 13].join(","), vec![points.to_string(); 5].join(","));
    // Fewer points, more trouble: risk 3 of 3, 40 % eaten, three signs of the mouth.
    let mouth = if points == 1 { "3,40,1,1,1" } else { "1,90,0,0,1" };
    format!(
        "{office},11,990010,0000000001,{NUMBER}-{number},1,{day},{points},1,1,1,1,1,1,1,1,1,150.0,{}.0,{mouth},{dbd},{vitality}\r\n",
        44 + i32::from(points)
    )
}

fn every_form(rows: &[String]) -> (String, Vec<u8>) {
    let numbered = |name: &str, most: usize| (1..=most).map(|at| format!(",{name}{at:02}")).collect::<String>();
    const ADL: &str = "barthel_index_meal,barthel_transfer,barthel_index_personal_hygiene_and_adjustment,barthel_index_toilet_activity,barthel_index_bathing,barthel_index_flat_ground_walking,barthel_index_stair_movement,barthel_index_changing_clothes,barthel_index_defecation_manage,barthel_index_urination_manage";
    let mouth = "nursing_facility_services_01,nursing_facility_services_02,visit_services_02";
    let head = format!(
        "FORM_0000_2021\r\ncare_facility_id,service_code,insurer_no,insured_no,external_system_management_number,facility_outpatient_category,evaluate_date,{ADL},height,weight,low_operating_risk_level,dietary_intake,{mouth}{}{}\r\n",
        numbered("dbd13_", 13),
        numbered("vitality_index_", 5)
    );
    ("FORM_0000_2021_1.csv".to_owned(), (head + &rows.concat()).into_bytes())
}

/// Each indicator of 利用者フィードバック, as numbers and in the picture: values, way, comparison.
#[tokio::test]
async fn every_indicator_has_its_line_and_its_panel() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let rows = [every_item("1", "20260801", 1), every_item("2", "20261101", 2)];
    let sent = hand_in(&world, &[every_form(&rows), users("23")]).await;
    assert_eq!(sent.json()["report"]["counts"]["applied"], json!(2), "{}", sent.text());
    let helper = world.log_in(Role::Helper).await;
    let trend = helper.get(&format!("/api/v1/people/{handle}/records/C1/trend")).await.json();
    let svg = helper.get(&format!("/api/v1/people/{handle}/records/C1/trend.svg")).await.text();
    let lines = trend["indicators"].as_array().unwrap();
    // Id, values, the mean of the comparison, what the picture says of the change.
    for (id, values, mean, change) in [
        ("barthel", [40, 45], json!(34), "前回より ＋5点（改善）"),
        ("weight", [450, 460], json!(null), "前回より ＋1.0kg"),
        ("bmi", [200, 204], json!(214), "前回より ＋0.4kg/㎡"),
        ("malnutrition_risk", [3, 1], json!(2), "前回から下がった（改善）"),
        ("intake", [40, 90], json!(86), "前回より ＋50％（改善）"),
        ("oral", [2, 0], json!(1), "前回より −2個（改善）"),
        ("dbd_required", [5, 10], json!(6), "前回より ＋5点（悪化）"),
        ("dbd13", [13, 26], json!(11), "前回より ＋13点（悪化）"),
        ("vitality", [5, 10], json!(5), "前回より ＋5点（改善）"),
    ] {
        let line = lines.iter().find(|line| line["id"] == id).unwrap_or_else(|| panic!("{id} in {trend}"));
        let found: Vec<_> = line["points"].as_array().unwrap().iter().map(|p| p["value"].clone()).collect();
        assert_eq!(found, values, "{id}");
        assert_eq!(line["comparison"].get("mean").unwrap_or(&Value::Null), &mean, "{id}");
        let name = line["name"].as_str().unwrap();
        assert!(svg.contains(&format!(">{name}")), "no panel of {name}");
        assert!(svg.contains(&format!("{name}: ")), "{name} is not told in words");
        assert!(svg.contains(change), "{id}: {change} in {svg}");
    }
    assert_eq!(lines.len(), 9);
    assert_eq!(svg.matches("<polyline ").count(), 9, "one line for each");
    world.verify().await;
}

/// What the operator puts in the place of the built-in table is what is compared with, under its own name.
#[tokio::test]
async fn a_table_of_comparison_of_the_operator_is_not_called_invented() {
    let table = "# title: 全国の平均（試験の値）\n# note: 出典は試験です\n# fictional: no\nindicator\tservice\tlevel\tmean\tp25\tp50\tp75\nbarthel\t*\t*\t61\t40\t60\t80\n";
    let life_reference = std::sync::Arc::new(Reference::parse(table).unwrap());
    let world = World::of(Config { life_reference, ..Config::default() }, |_| {}).await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    hand_in(&world, &[form(&[hanako("1", "20261101", "2", "44.5")]), users("23")]).await;
    let helper = world.log_in(Role::Helper).await;
    let trend = helper.get(&format!("/api/v1/people/{handle}/records/C1/trend")).await.json();
    let reference = &trend["reference"];
    assert_eq!((&reference["fictional"], &reference["title"]), (&json!(false), &json!("全国の平均（試験の値）")));
    let svg = helper.get(&format!("/api/v1/people/{handle}/records/C1/trend.svg")).await.text();
    assert!(svg.contains("全国の平均（試験の値）") && svg.contains("比較 すべての要介護度"), "{svg}");
    assert!(!svg.contains("架空"), "{svg}");
    world.verify().await;
}

/// P-239: counts only, and in full steps where they leave the city.
#[tokio::test]
async fn the_city_counts_how_adl_changed_by_area_and_service() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    let rows = [hanako("1", "20260801", "1", "45.0"), hanako("2", "20261101", "2", "44.5")];
    hand_in(&world, &[form(&rows)]).await;
    let city = world.log_in(Role::City).await;
    city.post("/api/v1/statistics", json!({})).await;
    while city.get("/api/v1/statistics").await.json()["state"] == "running" {
        tokio::task::yield_now().await;
    }
    let file = city.get("/api/v1/statistics.csv").await.text();
    for line in [
        "11 訪問介護,よくなった,1\r\n",
        "見本県見本市架空町,よくなった,1\r\n",
        "口腔の問題の数の変化とサービス種類（過去1年の評価）,11 訪問介護,同じ,1\r\n",
    ] {
        assert!(file.contains(line), "{line}: {file}");
    }
    let outside = city.get("/api/v1/statistics.csv?shareable=true").await.text();
    assert!(outside.contains(",adl_by_service,") && !outside.contains("11 訪問介護"), "{outside}");
}

/// P-037: who is shown the values of a person under 不開示 is not shown where they were taken.
#[tokio::test]
async fn of_a_person_under_nondisclosure_no_office_is_told() {
    let world = World::new().await;
    let own = world.find(Person::Hidden).await;
    let city = world.log_in(Role::City).await;
    for role in [Role::Helper, Role::Planner] {
        let path = format!("/api/v1/people/{own}/offices/{}", role.organization());
        assert_eq!(city.put(&path, json!({ "decision": "confirm" })).await.status, StatusCode::NO_CONTENT);
    }
    let reply = hand_in(&world, &[form(&[row("1", "20260801", "1", "45.0", "0000000002")])]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let given = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    city.post(&format!("/api/v1/people/{own}/consents"), given).await;
    // Registered before, no longer confirmed.
    world.assign(Role::Planner, Person::Hidden, true).await;
    let handle = world.stolen_handle(Role::Planner, Person::Hidden.key()).await;
    let reply = world.log_in(Role::Planner).await.get(&format!("/api/v1/people/{handle}/records/C1")).await;
    assert_eq!(reply.json()["documents"].as_array().unwrap().len(), 1, "{}", reply.text());
    assert!(!reply.text().contains(&Role::Helper.organization().to_string()), "{}", reply.text());
}
