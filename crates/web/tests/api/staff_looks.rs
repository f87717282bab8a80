//! 職員の閲覧記録 (P-188, P-189, S-015): the administrator reads what the own staff looked at, by days and account, as a list and as a file.

use crate::pages::Browser;
use crate::world::{COLLEAGUE, PASSWORD, Person, Role, World, account_of, city};
use axum::http::StatusCode;
use kiban_domain::office::Staff;
use kiban_service::Config;
use kiban_store::Account;
use serde_json::{Value, json};

fn lines(reply: &Value) -> &Vec<Value> {
    reply["look_ups"].as_array().unwrap_or_else(|| panic!("{reply}"))
}

/// The helper is registered; a colleague looks at two kinds, and both are refused something.
async fn looked() -> World {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let colleague = world.log_in_colleague(Role::Helper).await;
    for kind in ["A3a", "A3b", "C1"] {
        colleague.get(&format!("/api/v1/people/{handle}/records/{kind}")).await;
    }
    // Of somebody the office does not care for; the other office looks at its own log only.
    let stolen = world.stolen_handle(Role::Helper, Person::Hidden.key()).await;
    colleague.get(&format!("/api/v1/people/{stolen}/records/A3a")).await;
    world.register(Role::Planner, Person::Hanako).await;
    world
}

#[tokio::test]
async fn the_administrator_reads_who_of_the_staff_looked_at_what_on_what_ground_refused_ones_too() {
    let world = looked().await;
    let chief = world.log_in(Role::Helper).await;
    let all = chief.get("/api/v1/look-ups").await.json();
    assert_eq!((&all["from"], &all["to"], &all["next"]), (&json!("2026-11-18"), &json!("2026-11-24"), &Value::Null));
    let of = |kind: &str, number: &str| {
        lines(&all).iter().find(|line| line["kind"] == kind && line["insured_number"] == number).cloned().unwrap()
    };
    let seen = of("A3b", "0000000001");
    assert_eq!((&seen["staff_name"], &seen["account"]), (&json!("見本 同僚"), &json!(COLLEAGUE)));
    assert_eq!((&seen["name"], &seen["outcome"]), (&json!("架空 花子"), &json!("許可")));
    assert!(seen["reason"].as_str().unwrap().contains("担当事業所"), "{seen}");
    let refused = of("C1", "0000000001");
    assert_eq!((&refused["outcome"], &refused["rule"]), (&json!("拒否"), &json!("consent_missing")), "{refused}");
    // Of whom the office may know nothing, it reads the number it had and nothing more (T-36).
    let blind = of("A3a", "0000000002");
    assert_eq!(
        (&blind["outcome"], &blind["name"], &blind["rule"], &blind["reason"]),
        (&json!("拒否"), &Value::Null, &Value::Null, &Value::Null)
    );
    assert!(lines(&all).iter().all(|line| line["organization"] == Role::Helper.organization().to_string()), "{all}");
    let newest: Vec<&str> = lines(&all).iter().map(|line| line["at"].as_str().unwrap()).collect();
    assert!(newest.is_sorted_by(|one, next| one >= next), "{newest:?}");
    // One of the staff, and page by page the same lines.
    let of_one = chief.get(&format!("/api/v1/look-ups?account={COLLEAGUE}")).await.json();
    assert!(lines(&of_one).len() >= 4 && lines(&of_one).iter().all(|line| line["account"] == COLLEAGUE), "{of_one}");
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = chief.get(&format!("/api/v1/look-ups?account={COLLEAGUE}&limit=2{after}")).await.json();
        assert!(lines(&page).len() <= 2);
        paged.extend(lines(&page).clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(&paged, lines(&of_one));
    // The look itself is in the log of whoever was on the list.
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().any(|(action, outcome, _)| action == "look_ups.staff" && outcome == "allowed"), "{log:?}");
    world.verify().await;
}

/// T-6: a search that found nobody was one for somebody, and the administrator reads who made it.
#[tokio::test]
async fn a_search_in_a_disaster_that_found_nobody_is_among_the_looks() {
    let world = World::new().await;
    crate::disaster::open_mode(&world).await;
    let chief = world.log_in(Role::Stranger).await;
    let wanted =
        json!({ "reason": "避難所で確かめるため", "insurer_number": city(), "kana": "カクウ イナイ", "sex": "female" });
    let found = chief.post("/api/v1/disasters/search", wanted).await;
    assert_eq!((found.status, &found.json()["people"]), (StatusCode::OK, &json!([])), "{}", found.text());
    let looks = chief.get("/api/v1/look-ups").await.json();
    assert!(lines(&looks).iter().any(|look| look["action"] == "disaster.search"), "{looks}");
}

/// P-014: of whom another administrator hides from this one, the lists tell no number.
#[tokio::test]
async fn an_administrator_reads_nothing_of_whom_another_one_hides() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let colleague = account_of(Role::Helper, COLLEAGUE);
    let second = Account { staff: Staff { administrator: true, ..colleague.staff }, ..colleague };
    world.change(async |tx| tx.put_account(&second).await.unwrap()).await;
    let (chief, second) = (world.log_in(Role::Helper).await, world.log_in_colleague(Role::Helper).await);
    let switch = |account: &str| format!("/api/v1/people/{handle}/staff/{account}");
    let hide = json!({ "hidden": true, "kinds": ["A3b"] });
    assert!(second.put(&switch(Role::Helper.account()), hide).await.status.is_success());
    chief.get(&format!("/api/v1/people/{handle}/records/A3a")).await;
    let told = async || {
        let (looks, switches) = (second.get("/api/v1/look-ups").await, second.get("/api/v1/switches").await);
        [looks.text().contains("0000000001"), switches.text().contains("0000000001")]
    };
    assert_eq!(told().await, [true, true]);
    assert!(chief.put(&switch(COLLEAGUE), json!({ "hidden": true })).await.status.is_success());
    assert_eq!(told().await, [false, false]);
    let mut browser = Browser::of(&world, Role::Helper);
    browser.post("/login", &[("account", COLLEAGUE), ("password", PASSWORD)]).await;
    let page = browser.get("/admin/switches").await.text();
    assert!(page.contains("あなたには見せないことになっている人") && !page.contains("架空 花子"), "{page}");
    world.verify().await;
}

#[tokio::test]
async fn days_bound_the_list_and_only_administrators_of_offices_and_cities_read_it() {
    let world = looked().await;
    let chief = world.log_in(Role::Helper).await;
    for (query, item) in [
        ("from=2026-10-24&to=2026-11-24", "from"),
        ("from=2026-11-25&to=2026-11-24", "from"),
        ("after=x", "after"),
        ("after=7fffffffffffffff.0.0.0", "after"),
        ("account=%2F", "account"),
        ("limit=0", "limit"),
    ] {
        let reply = chief.get(&format!("/api/v1/look-ups?{query}")).await;
        assert_eq!(
            (reply.refusal().0, &reply.json()["items"][0]["item"]),
            (422, &json!(item)),
            "{query}: {}",
            reply.text()
        );
    }
    let on = async |from: &str, to: &str| {
        lines(&chief.get(&format!("/api/v1/look-ups?from={from}&to={to}")).await.json()).len()
    };
    assert_eq!(on("2026-11-23", "2026-11-23").await, 0, "the day before");
    assert!(on("2026-10-25", "2026-11-24").await > 3);
    let colleague = world.log_in_colleague(Role::Helper).await;
    assert_eq!(colleague.get("/api/v1/look-ups").await.refusal(), (403, "not_administrator".to_owned()));
    assert_eq!(world.log_in(Role::Operator).await.get("/api/v1/look-ups").await.refusal().0, 404);
    // A city's administrator reads the city's staff.
    world.find(Person::Hanako).await;
    let mut officer = account_of(Role::City, "chief");
    officer.staff.administrator = true;
    officer.staff.job = kiban_domain::office::JobType::MunicipalOfficer;
    world.change(async |tx| tx.put_account(&officer).await.unwrap()).await;
    world.refresh().await;
    let mut client = world.with_certificate(Role::City);
    let body = json!({ "account": "chief", "password": PASSWORD });
    client.token = client.post("/api/v1/session", body).await.json()["token"].as_str().map(str::to_owned);
    let all = client.get("/api/v1/look-ups").await.json();
    assert!(lines(&all).iter().any(|line| line["action"] == "find" && line["name"] == "架空 花子"), "{all}");
    world.verify().await;
}

#[tokio::test]
async fn the_page_filters_and_the_file_holds_no_formula() {
    let world = looked().await;
    // Somebody whose name a spreadsheet would run.
    let mut nasty = account_of(Role::Helper, COLLEAGUE);
    nasty.staff.name = "=HYPERLINK(\"http://evil.example\")".to_owned();
    world.change(async |tx| tx.put_account(&nasty).await.unwrap()).await;
    world.refresh().await;
    let chief = Browser::logged_in(&world, Role::Helper).await;
    assert!(chief.get("/admin").await.text().contains("<a href=\"/admin/looks\">職員の閲覧記録</a>"));
    let html = chief.get("/admin/looks").await.text();
    for words in ["架空 花子（0000000001）", "負担割合証", "拒否", "担当として登録した", "2026-11-18"]
    {
        let words = if words == "担当として登録した" { "担当事業所として登録した" } else { words };
        assert!(html.contains(words), "{words}: {html}");
    }
    let of_chief = chief.get("/admin/looks?from=R8.11.24&to=2026-11-24&account=staff1").await.text();
    assert!(of_chief.contains("担当事業所として登録した") && !of_chief.contains("<div>負担割合証</div>"), "{of_chief}");
    assert!(of_chief.contains("/admin/looks.csv?from=2026-11-24&#38;to=2026-11-24&#38;account=staff1"), "{of_chief}");
    let wrong = chief.get("/admin/looks?from=%E3%81%84%E3%81%A4%E3%81%8B").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("<title>エラー：") && wrong.text().contains("日付を、"), "{}", wrong.text());
    let file = chief.get("/admin/looks.csv").await;
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"staff-looks.csv\"");
    let text = file.text();
    assert!(text.starts_with("\u{feff}日時,アカウント,職員,"), "{text}");
    assert!(text.contains("'=HYPERLINK") && !text.contains(",=HYPERLINK") && !text.contains(",\"=HYPERLINK"), "{text}");
    assert!(text.contains("架空 花子") && text.contains("consent_missing"), "{text}");
    world.verify().await;
}

/// T-14: a filter that meets nothing does not make one request read the whole log.
#[tokio::test]
async fn the_file_of_a_filter_that_meets_nothing_ends_after_so_many_entries() {
    let world = World::of(Config { staff_look_entries: 1, ..Config::default() }, |_| {}).await;
    let chief = Browser::logged_in(&world, Role::Helper).await;
    let file = "/admin/looks.csv?account=nobody1";
    assert_eq!(chief.get(file).await.status, StatusCode::OK, "a few entries are read to their end");
    for _ in 0..50 {
        chief.get("/users").await;
    }
    let told = chief.get(file).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(told.text().contains("日をしぼって"), "{}", told.text());
    // The page says where it goes on.
    assert!(chief.get("/admin/looks?account=nobody1").await.text().contains("続きを見る"));
    world.verify().await;
}
