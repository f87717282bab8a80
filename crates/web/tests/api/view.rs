//! Viewing and consent: what each role sees of Hanako, before and after.

use crate::world::{Client, Person, Role, World};
use axum::http::StatusCode;
use serde_json::json;

fn kind_path(handle: &str, kind: &str) -> String {
    format!("/api/v1/people/{handle}/records/{kind}")
}

async fn status(client: &Client<'_>, handle: &str, kind: &str) -> (u16, String) {
    client.get(&kind_path(handle, kind)).await.refusal()
}

#[tokio::test]
async fn a_registered_office_sees_the_card_without_consent() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    let reply = helper.get(&kind_path(&handle, "A3a")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let view = reply.json();
    assert_eq!((view["mark"].as_str(), view["rule"].as_str()), (Some("○"), Some("assigned_office")));
    assert_eq!(view["documents"][0]["content"]["certified"]["limit_units"], json!(19_705));

    let page = helper.get(&format!("/api/v1/people/{handle}")).await.json();
    assert_eq!(page["person"]["name"], json!("架空 花子"));
    let why = helper.get(&format!("/api/v1/people/{handle}/why")).await.json();
    let card = why["kinds"].as_array().unwrap().iter().find(|k| k["kind"] == "A3a").unwrap();
    assert_eq!((card["allowed"].as_bool(), card["requirement"].as_str()), (Some(true), Some("P-100")));
    world.verify().await;
}
