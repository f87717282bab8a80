//! Files through the door: the city's package and its receipt, as JSON and as a result file.

use crate::world::{Person, Role, World, package};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn the_same_package_twice_gives_the_same_receipt() {
    let world = World::new().await;
    world.pass(1).await;
    let files = package(world.now());
    let city = world.log_in(Role::City).await;
    let first = city.upload("/api/v1/packages", &files).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!((&first.json()["state"], &first.json()["repeated"]), (&json!("applied"), &json!(false)));
    let second = city.upload("/api/v1/packages", &files).await.json();
    assert_eq!((&second["receipt"], &second["repeated"]), (&first.json()["receipt"], &json!(true)));
    let program = world.log_in(Role::CityProgram).await;
    assert_eq!(program.upload("/api/v1/packages", &files).await.json()["repeated"], json!(true));
    world.verify().await;
}

#[tokio::test]
async fn a_package_that_is_only_tried_says_what_it_would_do_and_gives_no_receipt() {
    let world = World::new().await;
    world.pass(1).await;
    let files = package(world.now());
    let city = world.log_in(Role::City).await;
    for _ in 0..2 {
        let reply = city.upload("/api/v1/packages?dry_run=true&full=true", &files).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let tried = reply.json();
        assert_eq!((&tried["state"], &tried["receipt"]), (&json!("would_apply"), &json!("")));
        assert!(tried["changes"]["INSURED"].is_object() && tried["missing"]["total"].is_u64(), "{tried}");
    }
    let real = city.upload("/api/v1/packages", &files).await.json();
    assert_eq!((&real["state"], &real["repeated"]), (&json!("applied"), &json!(false)), "nothing was received before");
    let wrong = city.upload("/api/v1/packages?dry_run=maybe", &files).await;
    assert_eq!(wrong.refusal(), (422, "invalid".to_owned()));
    let office = world.log_in(Role::Planner).await.upload("/api/v1/packages?dry_run=true", &files).await;
    assert_eq!(office.refusal(), (403, "not_writer".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_package_of_a_city_that_nobody_has_opened_is_refused_and_taken_once_the_city_opened_itself() {
    let world = World::new().await;
    world.pass(1).await;
    let undecided = kiban_domain::municipality::StartState::Undecided;
    world.change(async |tx| tx.set_start(crate::world::city(), undecided).await.unwrap()).await;
    let (files, city) = (package(world.now()), world.log_in(Role::City).await);
    let refused = city.upload("/api/v1/packages", &files).await;
    assert_eq!(refused.refusal(), (409, "not_opened".to_owned()), "{}", refused.text());
    assert!(refused.json()["detail"].as_str().unwrap().contains("調整中"), "{}", refused.text());
    let start = format!("/api/v1/insurers/{}/start", crate::world::city());
    assert_eq!(city.put(&start, json!({ "state": "coordinating" })).await.status, StatusCode::OK);
    assert_eq!(city.upload("/api/v1/packages", &files).await.json()["state"], json!("applied"));
    world.verify().await;
}

#[tokio::test]
async fn a_cut_package_is_refused_whole_and_its_result_file_says_where() {
    let world = World::new().await;
    world.pass(1).await;
    let mut files = package(world.now());
    let last = files.last_mut().unwrap();
    last.1.truncate(last.1.len() / 2);
    let city = world.log_in(Role::City).await;
    let reply = city.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()));
    let result = &reply.json()["result"];
    assert_eq!(result["state"], json!("refused"));
    let receipt = result["receipt"].as_str().unwrap();
    assert_eq!(&city.get(&format!("/api/v1/receipts/{receipt}")).await.json()["report"], &result["report"]);

    let file = city.get(&format!("/api/v1/receipts/{receipt}/result.csv")).await;
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let text = file.text();
    assert!(text.starts_with("\u{feff}区分,ファイル,行,列,項目,規則,内容\r\n結果,"), "{text}");
    assert!(text.lines().count() >= 3 && text.contains("エラー,"), "{text}");
    let other = world.log_in(Role::OtherCity).await;
    assert_eq!(other.get(&format!("/api/v1/receipts/{receipt}")).await.refusal(), (404, "unknown".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn another_citys_package_and_an_office_are_refused() {
    let world = World::new().await;
    let files = package(world.now());
    let reply = world.log_in(Role::OtherCity).await.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()));
    let reply = world.log_in(Role::Planner).await.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.refusal(), (403, "not_writer".to_owned()));
}

#[tokio::test]
async fn a_form_without_files_or_of_noise_says_what_to_send() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    assert_eq!(city.upload("/api/v1/packages", &[]).await.refusal(), (422, "invalid".to_owned()));
    assert_eq!(city.post("/api/v1/packages", json!({})).await.refusal(), (415, "media_type".to_owned()));
    let noise = axum::body::Body::from("noise");
    let media = "multipart/form-data; boundary=x";
    let reply = city.send(axum::http::Method::POST, "/api/v1/packages", media, noise).await;
    assert_eq!(reply.refusal(), (400, "bad_multipart".to_owned()));
}

#[tokio::test]
async fn the_city_gets_its_own_data_back_as_a_package_and_can_send_it_again() {
    let world = World::new().await;
    world.pass(1).await;
    let city = world.log_in(Role::City).await;
    let reply = city.get("/api/v1/export").await;
    assert_eq!((reply.status, reply.headers["content-type"].to_str().unwrap()), (StatusCode::OK, "application/x-tar"));
    let files = untar(&reply.body);
    let (report, package) = files.split_last().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.1).unwrap();
    assert_eq!((&report["rows"]["INSURED"], &report["left_out"]), (&json!(2), &json!(0)));
    let package: Vec<(String, Vec<u8>)> = package
        .iter()
        .map(|(name, bytes)| (name.strip_prefix("package/").unwrap().to_owned(), bytes.clone()))
        .collect();
    assert_eq!(package.last().unwrap().0, "MANIFEST.csv");
    let again = city.upload("/api/v1/packages", &package).await.json();
    let counts = &again["report"]["counts"];
    assert_eq!((&again["repeated"], &counts["applied"], &counts["refused"]), (&json!(false), &json!(0), &json!(0)));
    // With what was known before, in folders to be taken in one after the other.
    let reply = city.get("/api/v1/export?history=true").await;
    let files = untar(&reply.body);
    assert!(files.iter().any(|(name, _)| name == "package/001/MANIFEST.csv"), "{files:?}");
    let report: serde_json::Value = serde_json::from_slice(&files.last().unwrap().1).unwrap();
    assert_eq!(report["packages"][0]["folder"], "001");
    // In JSON, with what a package has no place for beside it.
    world.register(Role::Planner, Person::Hanako).await;
    let files = untar(&city.get("/api/v1/export?format=json").await.body);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"package/MANIFEST.json") && !names.iter().any(|name| name.ends_with(".csv")), "{names:?}");
    assert!(names.contains(&"others/registrations_001.jsonl"), "{names:?}");
    for wrong in ["history=maybe", "format=xml"] {
        let reply = city.get(&format!("/api/v1/export?{wrong}")).await;
        assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{wrong}");
    }
    let other = untar(&world.log_in(Role::OtherCity).await.get("/api/v1/export").await.body);
    assert_eq!(other.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["report.json"]);
    world.verify().await;
}

/// Names and contents of a tar file.
pub(crate) fn untar(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut rest = bytes;
    while rest[0] != 0 {
        let text =
            |from: usize, to: usize| std::str::from_utf8(&rest[from..to]).unwrap().trim_end_matches('\0').to_owned();
        let size = usize::from_str_radix(&text(124, 136), 8).unwrap();
        files.push((text(0, 100), rest[512..512 + size].to_vec()));
        rest = &rest[512 + size.next_multiple_of(512)..];
    }
    assert_eq!(rest.len(), 1_024);
    files
}

#[tokio::test]
async fn the_city_counts_once_a_day_and_gets_its_figures_as_json_and_csv() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    assert_eq!(city.get("/api/v1/statistics").await.json(), json!({ "state": "missing" }));
    assert_eq!(city.get("/api/v1/statistics.csv").await.refusal(), (409, "conflict".to_owned()));
    city.post("/api/v1/statistics", json!({})).await;
    let ready = loop {
        let state = city.get("/api/v1/statistics").await.json();
        match state["state"].as_str().unwrap() {
            "ready" => break state,
            "running" => tokio::task::yield_now().await,
            other => panic!("{other}"),
        }
    };
    assert_eq!(ready["statistics"]["people"], json!(2));
    let file = city.get("/api/v1/statistics.csv").await.text();
    assert!(file.starts_with("\u{feff}集計日,表,表の名前,行,列,値\r\n"), "{file}");
    assert!(file.contains(",consent,同意の状態,要支援・要介護（90日以内に期限）,記録なし,2\r\n"), "{file}");
    let few = city.get("/api/v1/statistics.csv?shareable=true").await.text();
    assert!(few.contains(",consent,同意の状態,要支援・要介護（90日以内に期限）,記録なし,＊\r\n"), "{few}");

    let due = city.get("/api/v1/renewals-without-consent?limit=1").await.json();
    assert_eq!((&due["people"][0]["name"], &due["people"][0]["days_left"]), (&json!("架空 花子"), &json!(37)));
    let next = due["next"].as_str().unwrap();
    let due = city.get(&format!("/api/v1/renewals-without-consent?after={next}")).await.json();
    assert_eq!(due["people"][0]["name"], json!("仮名 良子"));

    let list = city.get("/api/v1/copayment-changes.csv?day=2026-08-01").await;
    assert_eq!(list.headers["content-type"], "text/csv; charset=utf-8");
    assert!(list.text().contains("\r\n0000000001,,1,2026-08-01,2027-07-31\r\n"), "{}", list.text());
    assert_eq!(city.get("/api/v1/copayment-changes.csv?day=soon").await.refusal(), (422, "invalid".to_owned()));
}

#[tokio::test]
async fn a_large_package_is_received_at_once_and_worked_on_behind_its_receipt() {
    let world = World::new().await;
    world.pass(1).await;
    let mut files = package(world.now());
    files.push(("架空の大きなファイル.bin".to_owned(), vec![b'x'; 9 << 20]));
    let city = world.log_in(Role::City).await;
    let reply = city.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
    assert_eq!((&reply.json()["state"], &reply.json()["progress"]["rows_total"]), (&json!("received"), &json!(0)));
    let receipt = format!("/api/v1/receipts/{}", reply.json()["receipt"].as_str().unwrap());
    assert_eq!(city.get(&receipt).await.json()["state"], json!("received"));

    let now = world.now();
    let clock = || now;
    world.platform.work_on_packages(&mut kiban_service::Work::new(&clock)).await.unwrap();
    let done = city.get(&receipt).await.json();
    assert_eq!(done["state"], json!("refused"));
    assert_eq!(done["report"]["problems"][0]["rule"], json!("not_in_manifest"));
    assert!(done["report"]["kinds"]["INSURED"]["read"].as_i64().unwrap() > 0, "{done}");
    world.verify().await;
}

#[tokio::test]
async fn a_refused_care_plan_keeps_its_receipt_and_the_same_files_have_the_same_number() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let files = [("UP1KYO_9970000011.CSV".to_owned(), b"no plan at all".to_vec())];
    let refused = planner.upload("/api/v1/plans", &files).await;
    assert_eq!(refused.refusal(), (422, "refused_files".to_owned()), "{}", refused.text());
    let result = refused.json()["result"].clone();
    let path = format!("/api/v1/receipts/{}", result["receipt"].as_str().unwrap());
    assert_eq!(planner.get(&path).await.json(), result);
    assert!(planner.get(&format!("{path}/result.csv")).await.text().contains("エラー,"));
    world.pass(60).await;
    let again = planner.upload("/api/v1/plans", &files).await.json()["result"].clone();
    assert_eq!((&again["receipt"], &again["repeated"]), (&result["receipt"], &json!(true)));
    let other = [("UP1KYO_9970000011.CSV".to_owned(), b"something else".to_vec())];
    let other = planner.upload("/api/v1/plans", &other).await.json()["result"]["receipt"].clone();
    assert_ne!(other, result["receipt"]);
    for role in [Role::Stranger, Role::City] {
        assert_eq!(world.log_in(role).await.get(&path).await.refusal(), (404, "unknown".to_owned()), "{role:?}");
    }
    world.verify().await;
}

/// A ZIP, and so a ZIP bomb, is refused unopened at every door that takes files, whatever its name says; nothing of it is kept.
#[tokio::test]
async fn a_zip_is_refused_unopened_at_every_door() {
    let world = World::new().await;
    let bomb = [b"PK\x03\x04\x14\x00\x00\x00\x08\x00", &[0xff; 100_000][..]].concat();
    let to = format!("/api/v1/slips?to={}", Role::Helper.organization());
    for (role, path, name) in [
        (Role::Planner, "/api/v1/plans", "UP1KYO_9970000011_43_9970000029_11_20261124000001.CSV"),
        (Role::Planner, "/api/v1/plans", "plans.zip"),
        (Role::Planner, &to, "UPPLAN_202611_9970000011_43_9970000029_11_20261124000001.CSV"),
        (Role::Planner, &to, "slip.zip"),
        (Role::Helper, "/api/v1/life", "FORM_0000_2021_1.csv"),
        (Role::City, "/api/v1/claims", "82126110.CSV"),
        (Role::City, "/api/v1/packages", "package.zip"),
    ] {
        let client = world.log_in(role).await;
        let reply = client.upload(path, &[(name.to_owned(), bomb.clone())]).await;
        assert_eq!(reply.refusal(), (422, "refused_files".to_owned()), "{path} {name} {}", reply.text());
        assert!(reply.text().len() < 10_000, "{path} {name}: the answer is as large as what was sent");
        if role == Role::Planner {
            assert!(reply.text().contains("圧縮したファイル(ZIP)は受け付けません"), "{path} {name} {}", reply.text());
        }
    }
    let headers = world.platform.store().record_headers(Person::Hanako.key()).await.unwrap();
    let kinds = [kiban_domain::Kind::Cp1, kiban_domain::Kind::Cp2, kiban_domain::Kind::C1];
    assert!(headers.iter().all(|header| !kinds.contains(&header.kind)));
    world.verify().await;
}

#[tokio::test]
async fn the_city_sees_in_the_list_which_package_was_set_aside_and_what_to_do() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    let list = async |client: &crate::world::Client<'_>| {
        let reply = client.get("/api/v1/receipts").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()["receipts"].as_array().unwrap().clone()
    };
    // A package that arrived and on which the platform failed again and again, then one behind it.
    world.pass(1).await;
    let insurer = crate::world::city();
    let mut upload = world.platform.begin_package_locally(insurer, &world.context()).await.unwrap();
    for (name, bytes) in package(world.now()) {
        upload.file(&name).await.unwrap();
        upload.write(&bytes).await.unwrap();
    }
    let aside = upload.finish().await.unwrap().receipt;
    let number = world.platform.store().receipt(insurer, &aside).await.unwrap().unwrap().number;
    let now = world.now();
    world
        .change(async |tx| {
            tx.receipt_failed(insurer, number, "unreadable", now, now).await.unwrap();
            tx.set_receipt_aside(insurer, number, now).await.unwrap();
        })
        .await;
    world.pass(1).await;
    let later = city.upload("/api/v1/packages", &package(world.now())).await.json();
    assert_eq!(later["state"], json!("applied"));

    let lines = list(&city).await;
    let states: Vec<_> = lines.iter().map(|line| (line["receipt"].clone(), line["state_name"].clone())).collect();
    assert_eq!(states[..2], [(json!(aside), json!("後回し")), (later["receipt"].clone(), json!("反映済"))]);
    let next = lines[0]["next"].as_str().unwrap();
    for words in ["運用者に受付番号を伝えてください", "送り直す必要はありません"] {
        assert!(next.contains(words), "{next}");
    }
    assert_eq!((&lines[1]["next"], &lines[1]["counts"]["refused"]), (&json!(""), &json!(0)));
    // The same by its number, as JSON and as the result file.
    let result = city.get(&format!("/api/v1/receipts/{aside}")).await.json();
    assert_eq!(result["state"], json!("failed"));
    let problem = &result["report"]["problems"][0];
    assert!(
        problem["rule"] == json!("set_aside") && problem["message"].as_str().unwrap().contains("運用者"),
        "{result}"
    );
    assert!(city.get(&format!("/api/v1/receipts/{aside}/result.csv")).await.text().contains("後回し"));
    // The unattended connector reads it, too; another city has a list of its own, and an office none.
    assert_eq!(list(&world.log_in(Role::CityConnector).await).await, lines);
    assert!(list(&world.log_in(Role::OtherCity).await).await.is_empty());
    let office = world.log_in(Role::Planner).await.get("/api/v1/receipts").await;
    assert_eq!(office.refusal(), (403, "not_writer".to_owned()));
    // Asked for again, it waits for its turn.
    world.platform.retry_package(insurer, &aside, &world.context()).await.unwrap();
    let states: Vec<_> = list(&city).await.iter().map(|line| line["state"].clone()).collect();
    assert_eq!(states[..2], [json!("applied"), json!("received")]);
    world.verify().await;
}
