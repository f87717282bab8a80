//! 請求に要る値: what an office copies into its software, exactly as it is for programs, harmless for spreadsheets (P-175, T-20).

use crate::world::{Person, Role, World, city, day};
use axum::http::StatusCode;
use kiban_domain::insured::{Identity, Insured};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use serde_json::json;

async fn path(world: &World, role: Role) -> String {
    let handle = world.register(role, Person::Hanako).await;
    format!("/api/v1/people/{handle}/claim-values")
}

#[tokio::test]
async fn one_call_gives_what_a_claim_needs_and_records_each_card() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    for role in [Role::Planner, Role::Vendor] {
        let reply = world.log_in(role).await.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{role:?} {}", reply.text());
        let values = reply.json();
        assert_eq!((&values["month"], &values["person"]["kana"]), (&json!("202611"), &json!("カクウ ハナコ")));
        let parts = values["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 1, "{parts:?}");
        let part = &parts[0];
        assert_eq!((&part["from"], &part["to"]), (&json!("2026-11-01"), &json!("2026-11-30")));
        assert_eq!((&part["level"], &part["limit_units"]), (&json!("22"), &json!(19_705)));
        assert_eq!((&part["copayment_tenths"], &part["copayment_to"]), (&json!(1), &json!("2027-07-31")));
        assert_eq!(part["income_stage"], json!(null), "no 負担限度額認定証");
    }
    let log = world.log_about(Person::Hanako.key()).await;
    assert_eq!(log.iter().filter(|(action, outcome, _)| action == "claim_values" && outcome == "allowed").count(), 6);
    world.verify().await;
}

#[tokio::test]
async fn a_month_outside_the_certification_has_no_level_and_no_month_is_an_item_to_correct() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    let planner = world.log_in(Role::Planner).await;
    let part = &planner.get(&format!("{path}?month=202407")).await.json()["parts"][0];
    assert_eq!((&part["level"], &part["copayment_tenths"]), (&json!(null), &json!(null)));
    for wrong in ["2026-11", "202613", "", "0"] {
        let reply = planner.get(&format!("{path}?month={wrong}")).await;
        assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{wrong}");
    }
    // Whoever may not know of her learns nothing about what was wrong with the month.
    let stranger = world.log_in(Role::Stranger).await;
    let handle = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    let theirs = format!("/api/v1/people/{handle}/claim-values");
    assert_eq!(stranger.get(&format!("{theirs}?month=x")).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(stranger.get(&format!("{theirs}.csv?month=x")).await.refusal(), (404, "unknown".to_owned()));
}

#[tokio::test]
async fn a_program_gets_every_value_as_it_is_and_a_spreadsheet_no_formula() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    let evil = "=HYPERLINK(\"http://x\")";
    let hanako = Person::Hanako.insured();
    let identity = Identity { name: evil.to_owned(), ..hanako.identity.clone() };
    let changed = Entry {
        key: Person::Hanako.key(),
        history: 1,
        change: Change::Corrected,
        value: Insured { identity, ..hanako },
    };
    world.pass(1).await;
    let files = MunicipalPackage::new(city(), world.now()).insured(&[changed]).finish().unwrap();
    let sent = world.log_in(Role::City).await.upload("/api/v1/packages", &files).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.text());

    let planner = world.log_in(Role::Planner).await;
    let json = planner.get(&path).await.json();
    assert_eq!(json["person"]["name"], json!(evil));
    let exact = planner.get(&format!("{path}.csv")).await.text();
    let (head, line) = exact.split_once("\r\n").unwrap();
    assert!(head.starts_with("month,from,to,insurer_number,insured_number,name,"), "{head}");
    assert!(line.contains(",\"=HYPERLINK(\"\"http://x\"\")\",カクウ ハナコ,1941-05-03,female,22,"), "{line}");
    let for_people = planner.get(&format!("{path}.csv?people=true")).await.text();
    assert!(for_people.starts_with("\u{feff}対象月,"), "{for_people}");
    assert!(for_people.contains(",\"'=HYPERLINK("), "{for_people}");
    assert_eq!(day("2026-11-24"), world.today());
}
