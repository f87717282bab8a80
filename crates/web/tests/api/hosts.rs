//! The municipality that takes in evacuees (P-049, P-121): what it sees while a mode names it for the people's area, and
//! that it sees nothing before, after, with another area, or when another one is named.

use crate::disaster::{hanako, open};
use crate::view::opinion;
use crate::world::{Client, Person, Role, World, city, later_city, other_city};
use axum::http::StatusCode;
use kiban_domain::{InsurerNumber, Kind};
use serde_json::{Value, json};

const SEARCH: &str = "/api/v1/disasters/search";

fn proposal(world: &World, area: InsurerNumber, host: InsurerNumber) -> Value {
    let today = world.today();
    json!({ "event": "見本地震", "areas": [area], "hosts": [host], "from": today, "to": today })
}

fn unknown() -> (u16, String) {
    (404, "unknown".to_owned())
}

/// Nothing of Hanako, neither by name nor by a handle.
async fn sees_nothing(host: &Client<'_>, handle: &str) {
    assert_eq!(host.post(SEARCH, hanako()).await.refusal(), unknown());
    let made_up = host.get(&format!("/api/v1/people/{}/records/A3a", "0".repeat(88))).await.comparable();
    for path in ["", "/why", "/records/A3a", "/records/A5", "/records/CP1", "/look-ups"] {
        let reply = host.get(&format!("/api/v1/people/{handle}{path}")).await;
        assert_eq!(reply.comparable(), made_up, "{path}");
    }
}

#[tokio::test]
async fn a_city_that_takes_in_evacuees_reads_what_they_need_there_while_a_mode_names_it() {
    let world = World::new().await;
    let host = world.log_in(Role::OtherCity).await;
    let handle = world.stolen_handle(Role::OtherCity, Person::Hanako.key()).await;
    sees_nothing(&host, &handle).await;

    let id = open(&world, proposal(&world, city(), other_city())).await;
    // Nobody has said why yet.
    assert_eq!(host.get(&format!("/api/v1/people/{handle}/records/A3a")).await.refusal(), unknown());
    let found = host.post(SEARCH, hanako()).await.json();
    assert_eq!(found["people"].as_array().unwrap().len(), 1);
    assert_eq!((&found["people"][0]["name"], &found["people"][0]["handle"]), (&json!("架空 花子"), &json!(handle)));
    assert_eq!(host.get(&format!("/api/v1/people/{handle}")).await.json()["person"]["name"], json!("架空 花子"));
    for kind in Kind::ALL.iter().filter(|kind| kind.is_stored()) {
        let reply = host.get(&format!("/api/v1/people/{handle}/records/{}", kind.code())).await;
        let expected = match kind {
            Kind::A3a | Kind::A3b | Kind::A3c | Kind::A5 | Kind::E1 | Kind::E2 => (200, ""),
            // For want of consent; the mode was not opened without it.
            Kind::C1 | Kind::Cp1 | Kind::Cp2 => (403, "consent_missing"),
            _ => (404, "unknown"),
        };
        assert_eq!(reply.refusal(), (expected.0, expected.1.to_owned()), "{}", kind.code());
    }
    let card = host.get(&format!("/api/v1/people/{handle}/records/A3a")).await.json();
    assert_eq!(card["documents"][0]["content"]["certified"]["limit_units"], json!(19_705));
    require_no_more_than_reading(&world, &host, &handle).await;

    // Whom the mode does not show: a person under 不開示 is nobody.
    let hidden =
        json!({ "reason": "安否確認", "insurer_number": city(), "kana": "カメイ ヨシコ", "birth": "1947-07-15" });
    assert_eq!(host.post(SEARCH, hidden).await.json()["people"], json!([]));
    let hidden = world.stolen_handle(Role::OtherCity, Person::Hidden.key()).await;
    assert_eq!(host.get(&format!("/api/v1/people/{hidden}/records/A3a")).await.refusal(), unknown());

    // Her own city reads who looked and why.
    let looks = world.log_in(Role::City).await.get("/api/v1/disasters/looks").await.json()["looks"].clone();
    assert_eq!(looks.as_array().unwrap().len(), 1);
    assert_eq!(looks[0]["organization"], json!(Role::OtherCity.organization()));
    assert_eq!((&looks[0]["reason"], &looks[0]["viewed_at"]), (&hanako()["reason"], &json!(world.now())));

    let close = format!("/api/v1/disasters/{id}/close");
    assert_eq!(world.log_in(Role::Operator).await.post(&close, json!({})).await.status, StatusCode::NO_CONTENT);
    sees_nothing(&host, &handle).await;
    world.verify().await;
}

/// A host does nothing in the name of the people's own city, and finds nobody without a reason.
async fn require_no_more_than_reading(world: &World, host: &Client<'_>, handle: &str) {
    let at = |rest: &str| format!("/api/v1/people/{handle}{rest}");
    let number = json!({ "insured_number": Person::Hanako.key().insured });
    assert_eq!(host.post("/api/v1/people/find", number).await.refusal(), unknown());
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    assert_eq!(host.post(&at("/consents"), consent).await.refusal(), unknown());
    let office = Role::Planner.organization();
    let confirm = at(&format!("/offices/{office}"));
    assert_eq!(host.put(&confirm, json!({ "decision": "confirm" })).await.refusal(), unknown());
    assert_eq!(host.get(&at("/numbers")).await.refusal(), unknown());
    assert_eq!(host.get(&at("/look-ups")).await.refusal(), unknown());
    assert!(!host.post(&at("/opinions"), opinion(world)).await.status.is_success());
    assert_eq!(host.get("/api/v1/disasters/looks").await.json()["looks"], json!([]));
    assert!(!host.get("/api/v1/registration-reviews").await.text().contains("架空"));
    assert!(!host.get("/api/v1/renewals-without-consent").await.text().contains("架空"));
}

#[tokio::test]
async fn consent_is_replaced_for_the_host_only_where_the_mode_says_so() {
    let world = World::new().await;
    let host = world.log_in(Role::OtherCity).await;
    let mut proposal = proposal(&world, city(), other_city());
    proposal["without_consent"] = json!(true);
    open(&world, proposal).await;
    let handle = host.post(SEARCH, hanako()).await.json()["people"][0]["handle"].as_str().unwrap().to_owned();
    for (kind, status) in [("CP1", 200), ("C1", 200), ("A1", 404), ("A2", 404), ("F1", 404)] {
        let reply = host.get(&format!("/api/v1/people/{handle}/records/{kind}")).await;
        assert_eq!(reply.status.as_u16(), status, "{kind}: {}", reply.text());
    }
    world.verify().await;
}

#[tokio::test]
async fn a_host_of_another_area_and_a_city_that_is_not_named_see_nobody_of_this_city() {
    let world = World::new().await;
    let host = world.log_in(Role::OtherCity).await;
    let handle = world.stolen_handle(Role::OtherCity, Person::Hanako.key()).await;
    // Another city is named as host of this area, and this one as host of another area: neither helps the other.
    open(&world, proposal(&world, city(), later_city())).await;
    sees_nothing(&host, &handle).await;
    open(&world, proposal(&world, later_city(), other_city())).await;
    sees_nothing(&host, &handle).await;
    let mut elsewhere = hanako();
    elsewhere["insurer_number"] = json!(later_city());
    assert_eq!(host.post(SEARCH, elsewhere.clone()).await.json()["people"], json!([]));
    elsewhere.as_object_mut().unwrap().remove("insurer_number");
    elsewhere["address"] = json!("見本県見本市架空町");
    assert_eq!(host.post(SEARCH, elsewhere).await.json()["people"], json!([]), "searched where it hosts, not here");
    // The area itself is covered, and only for its own.
    let own = world.log_in(Role::City).await;
    assert_eq!(own.post(SEARCH, hanako()).await.json()["people"][0]["name"], json!("架空 花子"));
    world.verify().await;
}
