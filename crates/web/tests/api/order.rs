//! The order is identity, then rights, then validation: a body that cannot be right tells nothing to somebody who may not
//! ask (decision 0006.38), and everything at once to somebody who may.

use crate::access::path;
use crate::world::{Person, ROLES, Role, World};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use kiban_web::{Listener, ROUTES};
use serde_json::json;

/// For each route with a body and everybody: what a right body is refused with by the rights, a wrong one is too.
#[tokio::test]
async fn who_may_not_ask_gets_the_same_answer_whatever_the_body() {
    let world = World::new().await;
    let bodies = ["{", "{}", r#"{"sekai":1}"#, "[]", r#"{"kana":"123456789018"}"#];
    let mut compared = 0;
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Organisations) {
        // One's own account is everybody's.
        let own_account = route.path.starts_with("/api/v1/account/") || route.name == "prove_again";
        if route.method == Method::GET
            || !route.audience.needs_log_in()
            || route.name.starts_with("import")
            || own_account
        {
            continue;
        }
        for role in ROLES {
            world.assign(Role::Planner, Person::Hanako, true).await;
            world.unassign(Role::Hospital, Person::Hanako).await;
            world.unassign(Role::Stranger, Person::Hanako).await;
            // These end log-ins, the caller's or somebody's.
            if route.path.contains("/accounts/") {
                world.forget_log_ins();
            }
            let path = path(&world, route, role).await;
            let client = world.log_in(role).await;
            // Any city may open its own, and any office look up a card; that this number is none of theirs is no right.
            let is_city = matches!(role, Role::City | Role::OtherCity);
            let opens_own = match route.name {
                "find_insured" => is_city,
                "eligibility" => is_city || role.organization().office().is_some(),
                _ => false,
            };
            if route.name == "log_out" || opens_own {
                continue;
            }
            let right = crate::access::ask_at(&world, route, &client, role, &path).await;
            if !matches!(right.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) || right.code() == "not_matched" {
                continue;
            }
            for body in bodies {
                let wrong = client.send(route.method.clone(), &path, "application/json", Body::from(body)).await;
                assert_eq!(wrong.comparable(), right.comparable(), "{} {role:?} {body}", route.name);
                compared += 1;
            }
            let wrong = client.send(route.method.clone(), &path, "text/plain", Body::from("x")).await;
            assert_eq!(wrong.comparable(), right.comparable(), "{} {role:?}", route.name);
        }
    }
    assert!(compared > 300, "{compared}");
}

#[tokio::test]
async fn a_wrong_query_tells_nothing_to_somebody_who_may_not_look() {
    let world = World::new().await;
    let stranger = world.log_in(Role::Stranger).await;
    let handle = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    let path = format!("/api/v1/people/{handle}/records/A3a");
    let right = stranger.get(&path).await;
    for query in ["known_on=never", "sekai=1"] {
        assert_eq!(stranger.get(&format!("{path}?{query}")).await.comparable(), right.comparable());
    }
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    let reply = helper.get(&format!("/api/v1/people/{handle}/records/A3a?known_on=never")).await;
    assert_eq!((reply.refusal(), &reply.json()["items"][0]["item"]), ((422, "invalid".to_owned()), &json!("known_on")));
}

#[tokio::test]
async fn a_wrong_query_of_the_statistics_is_told_to_municipalities_only() {
    let world = World::new().await;
    let paths = ["statistics", "statistics.csv", "copayment-changes.csv", "renewals-without-consent"];
    for path in paths.map(|path| format!("/api/v1/{path}")) {
        let wrong = ["?day=never", "?sekai=1", "?limit=x", "?day=2026-08-01&day=2026-08-02"];
        for role in ROLES.into_iter().filter(|role| *role != Role::HospitalConnector) {
            let client = world.log_in(role).await;
            let is_city = matches!(role, Role::City | Role::OtherCity);
            let right = client.get(&format!("{path}?day=2026-08-01")).await;
            for query in wrong {
                let reply = client.get(&format!("{path}{query}")).await;
                if is_city {
                    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}{query} {role:?}");
                } else {
                    assert!(matches!(right.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{path} {role:?}");
                    assert_eq!(reply.comparable(), right.comparable(), "{path}{query} {role:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_the_shape_of_a_body_is_told_at_once() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let body = json!({ "insurer_number": 990010, "kana": "カクウ ハナコ", "sex": "f", "sekai": 1 });
    let reply = planner.post("/api/v1/people", body).await;
    let mut items: Vec<_> = reply.json()["items"].as_array().unwrap().iter().map(|i| i["item"].to_string()).collect();
    items.sort();
    assert_eq!(items, ["\"birth\"", "\"insured_number\"", "\"insurer_number\"", "\"sekai\"", "\"sex\""]);
    let handle = world.find(Person::Hanako).await;
    let body =
        json!({ "act": "not_obtainable", "declarant": "representative", "proof": "insurance_card", "form": " " });
    let reply = world.log_in(Role::City).await.post(&format!("/api/v1/people/{handle}/consents"), body).await;
    let items: Vec<_> = reply.json()["items"].as_array().unwrap().iter().map(|i| i["item"].clone()).collect();
    assert_eq!(items, ["form", "declarant", "remark"], "{}", reply.text());
}
