//! Quotas: an organisation that floods is told to wait, and nobody else notices (decision 0006.29, T-33).

use crate::world::{Client, Reply, Role, World, city};
use axum::http::StatusCode;
use kiban_service::Config;
use serde_json::{Value, json};

/// Five minutes' worth of `office_requests` here.
const OFFICE: usize = 30;
/// Of `disaster_requests`.
const SEARCHES: usize = 10;

async fn world() -> World {
    let config = Config { office_requests: 6, insurer_requests: 12, disaster_requests: 2, ..Config::default() };
    World::of(config, |_| {}).await
}

/// Asks until it is told to wait; the refusal and how often it was answered before.
async fn flood(mut ask: impl AsyncFnMut() -> Reply) -> (Reply, usize) {
    for answered in 0..10 * OFFICE {
        let reply = ask().await;
        if reply.code() == "request_quota" {
            return (reply, answered);
        }
    }
    panic!("never told to wait");
}

async fn search(client: &Client<'_>) -> Reply {
    let body: Value =
        json!({ "reason": "安否確認", "insurer_number": city(), "kana": "カクウ ハナコ", "birth": "1941-05-03" });
    client.post("/api/v1/disasters/search", body).await
}

#[tokio::test]
async fn an_office_that_floods_is_told_to_wait_and_nobody_else_is() {
    let world = world().await;
    // Its log-in was a request too.
    let planner = world.log_in(Role::Planner).await;
    let (refusal, answered) = flood(async || planner.get("/api/v1/people").await).await;
    assert_eq!((refusal.status, answered), (StatusCode::TOO_MANY_REQUESTS, OFFICE - 1));
    assert_eq!(refusal.headers["retry-after"], "10");
    assert!(refusal.json()["title"].as_str().unwrap().contains("この機関"), "{}", refusal.text());
    assert!(refusal.json()["detail"].as_str().unwrap().contains("行っていません"), "{}", refusal.text());
    // The whole office waits, whatever it asks for, also what is not there.
    let vendor = world.with_certificate(Role::Vendor);
    for path in ["/api/v1/people", "/", "/api/v1/none"] {
        assert_eq!(vendor.get(path).await.code(), "request_quota", "{path}");
    }
    for role in [Role::Helper, Role::Stranger, Role::City, Role::Operator] {
        assert_eq!(world.log_in(role).await.get("/api/v1/notices").await.status, StatusCode::OK, "{role:?}");
    }
    // As time passes it may ask again, as often as the time gives.
    world.pass(10).await;
    assert_eq!(planner.get("/api/v1/people").await.status, StatusCode::OK);
    assert_eq!(planner.get("/api/v1/people").await.code(), "request_quota");
}

#[tokio::test]
async fn searches_in_a_disaster_and_other_requests_do_not_take_from_each_other() {
    let world = world().await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    flood(async || planner.get("/api/v1/people").await).await;
    // No mode is open, so there is nothing to find, but the search is answered.
    assert_eq!(search(&planner).await.refusal(), (404, "unknown".to_owned()));
    let (refusal, answered) = flood(async || search(&helper).await).await;
    assert_eq!((refusal.headers["retry-after"].to_str().unwrap(), answered), ("30", SEARCHES));
    assert!(refusal.json()["title"].as_str().unwrap().contains("災害時の検索"), "{}", refusal.text());
    assert_eq!(helper.get("/api/v1/people").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_was_turned_away_is_recorded_as_a_number_and_not_one_by_one() {
    let world = world().await;
    let planner = world.log_in(Role::Planner).await;
    flood(async || planner.get("/api/v1/people").await).await;
    let log = world.platform.store().audit();
    log.anchor_now().await.unwrap();
    let before = log.verify().await.unwrap().entries;
    for _ in 0..6 {
        assert_eq!(planner.get("/api/v1/people").await.code(), "request_quota");
    }
    for _ in 0..2 {
        world.platform.record_refused_requests(&world.context()).await.unwrap();
    }
    log.anchor_now().await.unwrap();
    let after = log.verify().await.unwrap().entries;
    let found = crate::tls::entries(world.platform.store(), after).await;
    let found: Vec<_> = found.into_iter().filter(|entry| entry.action == "requests.refused").collect();
    let [entry] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(entry.organization, Some(Role::Planner.organization().to_string()));
    assert_eq!((entry.outcome.as_str(), entry.rule.as_deref()), ("refused", Some("quota")));
    let detail: Value = serde_json::from_str(&log.detail_of(entry).await.unwrap().text.unwrap()).unwrap();
    assert_eq!(detail, json!({ "limit": "requests", "count": 7 }));
    assert_eq!(after, before + 1);
    world.verify().await;
}
