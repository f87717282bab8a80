//! 知らせ: who is told what, once, and marks it as seen.

use crate::world::{COLLEAGUE, Client, Person, Role, World, account_of, certificate};
use axum::http::StatusCode;
use kiban_service::RefusedHandshakes;
use serde_json::{Value, json};

async fn notices(client: &Client<'_>) -> Vec<Value> {
    let reply = client.get("/api/v1/notices").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["notices"].as_array().unwrap().clone()
}

fn kinds(notices: &[Value]) -> Vec<&str> {
    notices.iter().map(|notice| notice["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_city_is_told_when_an_office_types_the_card_of_a_withheld_person() {
    let world = World::new().await;
    let (helper, city) = (world.log_in(Role::Helper).await, world.log_in(Role::City).await);
    let mut wrong = Person::Hidden.card();
    wrong["birth"] = json!("1947-07-16");
    for card in [wrong, Person::Hidden.card(), Person::Hidden.card()] {
        assert_eq!(helper.post("/api/v1/people", card).await.refusal(), (404, "not_matched".to_owned()));
    }
    let told = notices(&city).await;
    assert_eq!(kinds(&told), ["withheld_typed"], "told once a day and office, and only when all four items fit");
    assert_eq!(told[0]["insured_number"], json!("0000000002"));
    assert_eq!(told[0]["facts"]["office"], json!(Role::Helper.organization()));
    assert_eq!(told[0]["person"], json!(world.find(Person::Hidden).await));
    assert!(told[0]["next"].as_str().unwrap().contains("確認済み"));
    for role in [Role::Helper, Role::OtherCity, Role::Operator] {
        assert!(notices(&world.log_in(role).await).await.is_empty(), "{role:?}");
    }
    // The city's unattended program may fetch it too.
    assert_eq!(notices(&world.log_in(Role::CityProgram).await).await, told);
    let path = format!("/api/v1/notices/{}/read", told[0]["notice"].as_str().unwrap());
    assert_eq!(world.log_in(Role::OtherCity).await.post(&path, json!({})).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(city.post(&path, json!({})).await.status, StatusCode::NO_CONTENT);
    assert!(notices(&city).await.is_empty());
    let seen = city.get("/api/v1/notices?seen=true").await.json();
    assert_eq!(seen["notices"][0]["read_by"], json!(format!("{}/staff1", Role::City.organization())));
    let log = world.log_about(Person::Hidden.key()).await;
    assert!(log.iter().any(|(action, outcome, _)| (action.as_str(), outcome.as_str()) == ("notice.read", "done")));
    world.verify().await;
}

#[tokio::test]
async fn an_office_the_city_has_confirmed_raises_no_notice() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    let handle = world.find(Person::Hidden).await;
    let path = format!("/api/v1/people/{handle}/offices/{}", Role::Helper.organization());
    assert_eq!(city.put(&path, json!({ "decision": "confirm" })).await.status, StatusCode::NO_CONTENT);
    world.register(Role::Helper, Person::Hidden).await;
    assert!(notices(&city).await.is_empty());
}

#[tokio::test]
async fn guessing_is_told_to_city_operator_and_the_administrator_but_not_to_every_colleague() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let mut card = Person::Hanako.card();
    for n in 10..14 {
        card["insured_number"] = json!(format!("00000000{n}"));
        planner.post("/api/v1/people", card.clone()).await;
    }
    assert!(notices(&world.log_in(Role::City).await).await.is_empty(), "four mistakes are everyday life");
    for n in 14..17 {
        card["insured_number"] = json!(format!("00000000{n}"));
        planner.post("/api/v1/people", card.clone()).await;
    }
    for role in [Role::City, Role::Operator, Role::Planner] {
        let told = notices(&world.log_in(role).await).await;
        assert_eq!(kinds(&told), ["many_mismatches"], "{role:?}");
        assert_eq!((&told[0]["facts"]["limit"], &told[0]["person"]), (&json!("identity"), &Value::Null));
        assert!(!told[0].to_string().contains("00000000"), "no number of anybody");
    }
    assert!(notices(&world.log_in_colleague(Role::Planner).await).await.is_empty());
    let id = notices(&planner).await[0]["notice"].as_str().unwrap().to_owned();
    let reply =
        world.log_in_colleague(Role::Planner).await.post(&format!("/api/v1/notices/{id}/read"), json!({})).await;
    assert_eq!(reply.refusal(), (404, "unknown".to_owned()));
    let mut promoted = account_of(Role::Planner, COLLEAGUE);
    promoted.staff.administrator = true;
    world.change(async |tx| tx.put_account(&promoted).await.unwrap()).await;
    assert_eq!(notices(&world.log_in_colleague(Role::Planner).await).await.len(), 1);
}

#[tokio::test]
async fn a_certificate_nobody_registered_is_told_at_once_and_a_revoked_one_when_it_keeps_knocking() {
    let world = World::new().await;
    let lost = "c".repeat(64);
    let mut row = certificate(Role::Helper, &lost, world.now());
    row.revoked_at = Some(world.now());
    world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
    let refused = async |reason: &str, fingerprint: &str, count| {
        let refusal = RefusedHandshakes {
            reason: reason.to_owned(),
            source: "192.0.2.9".to_owned(),
            count,
            fingerprint: Some(fingerprint.to_owned()),
            serial: Some("0a".to_owned()),
        };
        world.platform.record_refused_handshakes(&[refusal], &world.context()).await.unwrap();
    };
    let operator = world.log_in(Role::Operator).await;
    refused("revoked", &lost, 2).await;
    refused("expired", &Role::Planner.fingerprint(), 99).await;
    assert!(notices(&operator).await.is_empty());
    refused("revoked", &lost, 1).await;
    refused("revoked", &lost, 40).await;
    for role in [Role::Operator, Role::Helper] {
        let told = notices(&world.log_in(role).await).await;
        assert_eq!(kinds(&told), ["revoked_certificate"], "{role:?}");
        assert_eq!(told[0]["facts"]["organization"], json!(Role::Helper.organization()));
    }
    world.pass(1).await;
    refused("unknown_certificate", &"d".repeat(64), 1).await;
    assert_eq!(kinds(&notices(&operator).await), ["unknown_certificate", "revoked_certificate"]);
    world.verify().await;
}

#[tokio::test]
async fn a_page_of_notices_has_the_length_asked_for_or_says_what_may_be_asked() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    for role in [Role::Helper, Role::Planner, Role::Stranger] {
        world.log_in(role).await.post("/api/v1/people", Person::Hidden.card()).await;
    }
    let first = city.get("/api/v1/notices?limit=2").await.json();
    assert_eq!(first["notices"].as_array().unwrap().len(), 2);
    let rest = city.get(&format!("/api/v1/notices?after={}", first["next"].as_str().unwrap())).await.json();
    assert_eq!(rest["notices"].as_array().unwrap().len(), 1);
    for path in ["/api/v1/notices?limit=0", "/api/v1/notices?limit=201", "/api/v1/notices?limit=99999999999"] {
        let reply = city.get(path).await;
        assert_eq!(
            (reply.refusal(), &reply.json()["items"][0]["item"]),
            ((422, "invalid".to_owned()), &json!("limit"))
        );
    }
    let planner = world.log_in(Role::Planner).await;
    assert_eq!(planner.get("/api/v1/people?limit=201").await.refusal(), (422, "invalid".to_owned()));
    // Who has no list at all is not told what a right number of lines would be.
    assert_eq!(city.get("/api/v1/people?limit=201").await.refusal(), (404, "unknown".to_owned()));
}
