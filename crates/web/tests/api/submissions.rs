//! 提出物 from the hospital or the care manager to the city and back.

use crate::view::opinion;
use crate::world::{Person, Role, World};
use axum::http::StatusCode;
use serde_json::{Value, json};

pub fn plan_request(world: &World) -> Value {
    json!({
        "person": Person::Hanako.key(),
        "filing": { "kind": "new" },
        "form": "home_care",
        "office": Role::Planner.organization(),
        "office_name": "居宅介護支援事業所みほん",
        "office_address": null,
        "office_telephone": null,
        "care_manager_name": "見本 職員",
        "care_manager": null,
        "starts_on": world.today(),
        "filed_on": world.today(),
        "person_agrees": true,
    })
}

#[tokio::test]
async fn an_opinion_reaches_the_plan_maker_when_the_city_has_accepted_it() {
    let world = World::new().await;
    let hospital = world.log_in(Role::Hospital).await;
    // The request of the city shows the person in the hospital's list.
    let list = hospital.get("/api/v1/people").await.json();
    let handle = list["people"][0]["handle"].as_str().unwrap().to_owned();
    let reply = hospital.post(&format!("/api/v1/people/{handle}/opinions"), opinion(&world)).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let receipt = reply.json()["receipt"].as_str().unwrap().to_owned();
    let again = hospital.post(&format!("/api/v1/people/{handle}/opinions"), opinion(&world)).await;
    assert_eq!(again.refusal(), (409, "conflict".to_owned()));

    let planners = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    planner.post(&format!("/api/v1/people/{planners}/consents"), consent).await;
    let documents = async |path: &str| planner.get(path).await.json()["documents"].as_array().unwrap().len();
    let a2 = format!("/api/v1/people/{planners}/records/A2");
    assert_eq!(documents(&a2).await, 0);

    let city = world.log_in(Role::City).await;
    let inbox = city.get("/api/v1/inbox").await.json();
    let item = inbox["items"].as_array().unwrap().iter().find(|item| item["kind"] == "A2").unwrap();
    assert_eq!((&item["receipt"], &item["content"]), (&json!(receipt), &Value::Null));
    let fetched = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json();
    assert_eq!(fetched["content"]["institution"], json!(Role::Hospital.organization()));
    let state = async || {
        let reply = hospital.get(&format!("/api/v1/people/{handle}/submissions")).await.json();
        reply["submissions"][0]["state_name"].clone()
    };
    assert_eq!(state().await, json!("市区町村が取得済"));
    assert_eq!(documents(&a2).await, 0);
    assert_eq!(city.post(&format!("/api/v1/inbox/{receipt}/accept"), json!({})).await.status, StatusCode::OK);
    assert_eq!(state().await, json!("受理"));
    assert_eq!(documents(&a2).await, 1);
    let back = city.post(&format!("/api/v1/inbox/{receipt}/return"), json!({ "reason": "記載もれ" })).await;
    assert_eq!(back.refusal(), (409, "conflict".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_plan_request_sent_back_tells_its_sender_why() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let path = format!("/api/v1/people/{handle}/plan-requests");
    let mut without_agreement = plan_request(&world);
    without_agreement["person_agrees"] = json!(false);
    assert_eq!(planner.post(&path, without_agreement).await.refusal(), (422, "invalid".to_owned()));
    let filed = planner.post(&path, plan_request(&world)).await;
    assert_eq!(filed.status, StatusCode::CREATED, "{}", filed.text());
    let receipt = filed.json()["receipt"].as_str().unwrap().to_owned();

    let city = world.log_in(Role::City).await;
    let give_back = format!("/api/v1/inbox/{receipt}/return");
    assert_eq!(city.post(&give_back, json!({ "reason": " " })).await.refusal(), (422, "invalid".to_owned()));
    assert_eq!(city.post(&give_back, json!({ "reason": "届出日を確かめてください" })).await.status, StatusCode::OK);
    let sent = planner.get(&format!("/api/v1/people/{handle}/submissions")).await.json();
    assert_eq!(sent["submissions"][0]["state"], json!({ "state": "returned", "reason": "届出日を確かめてください" }));

    // Corrected and accepted, it is a record its sender sees.
    let again = planner.post(&path, plan_request(&world)).await.json();
    let accept = format!("/api/v1/inbox/{}/accept", again["receipt"].as_str().unwrap());
    assert_eq!(city.post(&accept, json!({})).await.status, StatusCode::OK);
    let f1 = planner.get(&format!("/api/v1/people/{handle}/records/F1")).await.json();
    assert_eq!(f1["documents"].as_array().unwrap().len(), 1);
    world.verify().await;
}

#[tokio::test]
async fn nobody_else_reads_or_decides_what_is_in_the_inbox() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let filed = planner.post(&format!("/api/v1/people/{handle}/plan-requests"), plan_request(&world)).await.json();
    let receipt = filed["receipt"].as_str().unwrap();
    for role in [Role::OtherCity, Role::Helper, Role::Operator] {
        let client = world.log_in(role).await;
        for act in ["fetch", "accept"] {
            let reply = client.post(&format!("/api/v1/inbox/{receipt}/{act}"), json!({})).await;
            assert_eq!(reply.refusal(), (404, "unknown".to_owned()), "{role:?} {act}");
        }
    }
    assert_eq!(world.log_in(Role::OtherCity).await.get("/api/v1/inbox").await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_opinion_about_somebody_else_or_of_another_institution_names_the_item() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let hospital = world.log_in(Role::Hospital).await;
    let path = format!("/api/v1/people/{handle}/opinions");
    let mut opinion = opinion(&world);
    opinion["institution"] = json!(Role::Planner.organization());
    let reply = hospital.post(&path, opinion.clone()).await;
    assert_eq!(reply.json()["items"][0]["item"], json!("institution"));
    opinion["basics"]["written_on"] = json!("きのう");
    let reply = hospital.post(&path, opinion).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    assert_eq!(reply.json()["items"][0]["item"], json!("basics.written_on"));
    assert!(!reply.text().contains("きのう"));
}
