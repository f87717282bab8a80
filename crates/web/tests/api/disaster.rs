//! 災害時モード: two operators, exact search, read-only, gone when it is closed.

use crate::world::{Person, Role, World, city};
use axum::http::StatusCode;
use serde_json::{Value, json};

fn proposal(world: &World) -> Value {
    let stranger = Role::Stranger.organization();
    json!({ "event": "見本水害", "areas": [city()], "offices": [stranger], "from": world.today(), "to": world.today() })
}

fn hanako() -> Value {
    json!({ "reason": "避難所で服薬を確かめるため", "insurer_number": city(), "kana": "カクウ ハナコ", "birth": "昭和16年5月3日" })
}

#[tokio::test]
async fn a_disaster_opens_by_two_operators_shows_the_card_and_ends() {
    let world = World::new().await;
    let (first, second) = (world.log_in(Role::Operator).await, world.log_in(Role::SecondOperator).await);
    let helper = world.log_in(Role::Stranger).await;
    let search = "/api/v1/disasters/search";
    assert_eq!(helper.post(search, hanako()).await.refusal(), (404, "unknown".to_owned()));

    let proposed = first.post("/api/v1/disasters", proposal(&world)).await;
    assert_eq!(proposed.status, StatusCode::CREATED, "{}", proposed.text());
    let id = proposed.json()["id"].as_str().unwrap().to_owned();
    let approve = format!("/api/v1/disasters/{id}/approve");
    assert_eq!(helper.post(search, hanako()).await.refusal().0, 404);
    assert_eq!(first.post(&approve, json!({})).await.refusal(), (409, "conflict".to_owned()));
    assert_eq!(second.post(&approve, json!({})).await.status, StatusCode::NO_CONTENT);

    let found = helper.post(search, hanako()).await.json();
    assert_eq!(found["people"][0]["name"], json!("架空 花子"));
    let handle = found["people"][0]["handle"].as_str().unwrap().to_owned();
    let view = helper.get(&format!("/api/v1/people/{handle}/records/A3a")).await;
    assert_eq!((view.status, &view.json()["rule"]), (StatusCode::OK, &json!("disaster")));
    assert_eq!(helper.get(&format!("/api/v1/people/{handle}/records/A2")).await.refusal().0, 404);
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    assert_eq!(helper.post(&format!("/api/v1/people/{handle}/consents"), consent).await.refusal().0, 404);

    // A withheld person is not found, and not found looks like nobody there.
    let hidden =
        json!({ "reason": "安否確認", "insurer_number": city(), "kana": "カメイ ヨシコ", "birth": "1947-07-15" });
    let nobody =
        json!({ "reason": "安否確認", "insurer_number": city(), "kana": "ダレモ イナイ", "birth": "1947-07-15" });
    let (hidden, nobody) = (helper.post(search, hidden).await, helper.post(search, nobody).await);
    assert_eq!((hidden.status, &hidden.json()["people"]), (StatusCode::OK, &json!([])));
    assert_eq!(hidden.comparable(), nobody.comparable());

    let close = format!("/api/v1/disasters/{id}/close");
    assert_eq!(first.post(&close, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(helper.post(search, hanako()).await.refusal().0, 404);
    assert_eq!(
        helper.get(&format!("/api/v1/people/{handle}/records/A3a")).await.refusal(),
        (404, "unknown".to_owned())
    );

    let actions: Vec<String> = world.log_about(Person::Hanako.key()).await.into_iter().map(|entry| entry.0).collect();
    assert!(actions.contains(&"disaster.search".to_owned()) && actions.contains(&"view".to_owned()), "{actions:?}");
    world.verify().await;
}

#[tokio::test]
async fn a_search_needs_a_reason_a_name_and_one_thing_more() {
    let world = World::new().await;
    let helper = world.log_in(Role::Stranger).await;
    let reply = helper
        .post("/api/v1/disasters/search", json!({ "reason": "", "insurer_number": city(), "kana": "カクウ ハナコ" }))
        .await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    let items: Vec<_> = reply.json()["items"].as_array().unwrap().iter().map(|i| i["item"].clone()).collect();
    assert!(items.contains(&json!("reason")) && items.contains(&json!("birth")), "{items:?}");
}

#[tokio::test]
async fn a_mode_longer_than_two_weeks_or_without_area_is_not_proposed() {
    let world = World::new().await;
    let mut long = proposal(&world);
    long["to"] = json!("2026-12-31");
    long["areas"] = json!(["990011"]);
    let operator = world.log_in(Role::Operator).await;
    let reply = operator.post("/api/v1/disasters", long.clone()).await;
    assert_eq!(reply.json()["items"][0]["item"], json!("areas[0]"));
    long["areas"] = json!([]);
    let reply = operator.post("/api/v1/disasters", long).await;
    assert_eq!(reply.json()["items"].as_array().unwrap().len(), 2);
}
