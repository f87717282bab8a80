//! 本人確認: the four items, what a wrong one answers, and when it stops.

use crate::world::{Person, Role, World, day, later_city};
use axum::http::StatusCode;
use kiban_service::Config;
use serde_json::json;

#[tokio::test]
async fn the_four_items_of_the_card_register_the_office() {
    let world = World::new().await;
    let reply = world.log_in(Role::Planner).await.post("/api/v1/people", Person::Hanako.card()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let registered = reply.json();
    assert_eq!(registered["viewable_until"], json!(day("2027-02-28")));
    assert_eq!(registered["plan_maker"], json!(false));
    assert!(!registered["handle"].as_str().unwrap().contains("0000000001"));
    world.verify().await;
}

#[tokio::test]
async fn how_long_a_registration_lasts_without_a_claim_is_for_the_installation_to_say() {
    let world = World::of(Config { months_without_claim: 1, ..Config::default() }, |_| {}).await;
    let reply = world.log_in(Role::Planner).await.post("/api/v1/people", Person::Hanako.card()).await;
    assert_eq!(reply.json()["viewable_until"], json!(day("2026-12-31")), "{}", reply.text());
}

#[tokio::test]
async fn a_wrong_item_an_unknown_number_and_a_withheld_person_answer_the_same() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let mut wrong = Person::Hanako.card();
    wrong["birth"] = json!("1941-05-04");
    let mut unknown = Person::Hanako.card();
    unknown["insured_number"] = json!("0000000099");
    let mut answers = Vec::new();
    for card in [wrong, unknown, Person::Hidden.card()] {
        let reply = planner.post("/api/v1/people", card).await;
        assert_eq!(reply.refusal(), (404, "not_matched".to_owned()));
        answers.push(reply.comparable());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    world.verify().await;
}

#[tokio::test]
async fn the_fifth_mismatch_of_one_identity_stops_it_until_tomorrow() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let mut card = Person::Hanako.card();
    for n in 10..15 {
        card["insured_number"] = json!(format!("00000000{n}"));
        assert_eq!(planner.post("/api/v1/people", card.clone()).await.status, StatusCode::NOT_FOUND);
    }
    // Even the right number is not confirmed any more today, by anybody who types this identity.
    let reply = planner.post("/api/v1/people", Person::Hanako.card()).await;
    assert_eq!(reply.refusal(), (429, "too_many".to_owned()));
    assert_eq!(reply.headers["retry-after"], "86400");
    world.pass(24 * 3600).await;
    world.register_again_tomorrow().await;
}

impl World {
    async fn register_again_tomorrow(&self) {
        let token = self.fresh_token(Role::Planner).await;
        let mut planner = self.with_certificate(Role::Planner);
        planner.token = Some(token);
        assert_eq!(planner.post("/api/v1/people", Person::Hanako.card()).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_municipality_that_has_not_started_says_so_for_any_number() {
    let world = World::new().await;
    let mut card = Person::Hanako.card();
    card["insurer_number"] = json!(later_city());
    let reply = world.log_in(Role::Planner).await.post("/api/v1/people", card).await;
    assert_eq!(reply.refusal(), (403, "not_started".to_owned()));
    assert_eq!(reply.json()["requirement"], json!("P-150"));
    assert!(reply.json()["detail"].as_str().unwrap().contains("利用開始日"));
}

#[tokio::test]
async fn every_item_that_cannot_be_right_is_named_at_once() {
    let world = World::new().await;
    let card = json!({ "insurer_number": "990011", "insured_number": "12", "kana": " ", "birth": "1941-02-30", "sex": "female" });
    let reply = world.log_in(Role::Planner).await.post("/api/v1/people", card).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    let items: Vec<_> = reply.json()["items"].as_array().unwrap().iter().map(|i| i["item"].clone()).collect();
    assert_eq!(items, ["insurer_number", "insured_number", "birth", "kana"]);
}

#[tokio::test]
async fn only_a_care_manager_of_a_planning_office_becomes_plan_maker() {
    let world = World::new().await;
    let mut card = Person::Hanako.card();
    card["makes_plan"] = json!(true);
    let reply = world.log_in(Role::Helper).await.post("/api/v1/people", card.clone()).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    let reply = world.log_in(Role::Planner).await.post("/api/v1/people", card).await;
    assert_eq!(reply.json()["plan_maker"], json!(true));
}
