//! Idempotency-Key: a write sent again is answered as the first time and done once (I-5).

use crate::access::{ask_at, path};
use crate::submissions::plan_request;
use crate::view::opinion;
use crate::world::{Client, Person, Reply, Role, World, package};
use axum::http::{Method, StatusCode};
use kiban_web::{Audience, Listener, ROUTES, Route};
use serde_json::json;

/// Who can do what a route is for.
pub fn doer(route: &Route) -> Role {
    match (route.name, route.audience) {
        ("submit_opinion", _) => Role::Hospital,
        ("fetch_slip", _) => Role::Helper,
        ("approve_disaster" | "approve_certificate", _) => Role::SecondOperator,
        ("notices" | "read_notice", _) | (_, Audience::Municipalities | Audience::CityOrOperator) => Role::City,
        (_, Audience::Operators) => Role::Operator,
        _ => Role::Planner,
    }
}

fn with_key<'a>(mut client: Client<'a>, key: &str) -> Client<'a> {
    client.key = Some(key.to_owned());
    client
}

fn takes_no_key(route: &Route) -> bool {
    let free = [
        "log_in",
        "log_in_program",
        "refresh_session",
        "log_out",
        "find_insured",
        "eligibility",
        "search_disaster",
        // Known again by its key.
        "renew_certificate",
        // Answers how far the figures are; has tests of its own.
        "count_statistics",
        "import_package",
        // Their answers are secret and not kept.
        "issue_portal_code",
        "register_proxy",
        "invite_account",
        "reset_password",
        "change_password",
        "answer_factor",
        "prove_again",
        "send_code",
        "offer_mail",
        "offer_factor",
        "set_up_factor",
        "remove_factor",
        "ask_passkey",
        "offer_passkey",
        "add_passkey",
        // There is none that everybody has.
        "remove_passkey",
        // What is shown is good once or its route needs a terminal; `identification` tries them.
        "card_challenge",
        "register_by_card",
        "register_by_notice",
        // Keep nothing.
        "print_slips",
        "confirm_plan",
        // About somebody else than the others: below.
        "lift_withheld",
    ];
    route.method == Method::GET || free.contains(&route.name)
}

#[tokio::test]
async fn every_write_sent_twice_under_its_key_is_answered_alike_and_another_one_under_it_is_refused() {
    let world = World::new().await;
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Organisations && !takes_no_key(route)) {
        world.assign(Role::Planner, Person::Hanako, true).await;
        let role = doer(route);
        let client = with_key(world.log_in(role).await, &format!("key-of-{}", route.name));
        let path = path(&world, route, role).await;
        let first = ask_at(&world, route, &client, role, &path).await;
        let done = first.status.is_success() || first.code() == "refused_files";
        assert!(done, "{}: {}", route.name, first.text());
        let again = ask_at(&world, route, &client, role, &path).await;
        assert_eq!(again.comparable(), first.comparable(), "{}", route.name);
        let elsewhere = client.send(Method::POST, "/api/v1/notices/x/read", "application/json", "{}".into()).await;
        assert_eq!(elsewhere.refusal(), (422, "invalid".to_owned()), "{}", route.name);
        assert_eq!(elsewhere.json()["items"][0]["item"], json!("Idempotency-Key"));
    }
    world.verify().await;
}

#[tokio::test]
async fn a_document_sent_again_under_its_key_is_there_once_and_without_it_is_a_conflict() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let path = format!("/api/v1/people/{handle}/opinions");
    let hospital = world.log_in(Role::Hospital).await;
    let keyed = with_key(hospital.clone(), "0b9f7c1e-1");
    let body = opinion(&world);
    let first = keyed.post(&path, body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    for _ in 0..3 {
        assert_eq!(keyed.post(&path, body.clone()).await.comparable(), first.comparable());
    }
    let mut other = body.clone();
    other["applied_on"] = json!("2026-01-05");
    assert_eq!(keyed.post(&path, other).await.refusal(), (422, "invalid".to_owned()));
    assert_eq!(hospital.post(&path, body.clone()).await.refusal(), (409, "conflict".to_owned()));
    let inbox = world.log_in(Role::City).await.get("/api/v1/inbox").await.json();
    assert_eq!(inbox["items"].as_array().unwrap().len(), 1);
    // Not for a colleague, who has keys of their own, and not after a day.
    let colleague = with_key(world.log_in_colleague(Role::Hospital).await, "0b9f7c1e-1");
    assert_eq!(colleague.post(&path, body.clone()).await.refusal(), (409, "conflict".to_owned()));
    world.pass(24 * 3600 + 1).await;
    world.platform.keep_house(&world.context()).await.unwrap();
    let mut tomorrow = with_key(world.with_certificate(Role::Hospital), "0b9f7c1e-1");
    tomorrow.token = Some(world.fresh_token(Role::Hospital).await);
    assert_eq!(tomorrow.post(&path, body).await.refusal(), (409, "conflict".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_lifting_sent_twice_under_its_key_is_one() {
    let world = World::new().await;
    let path = format!("/api/v1/people/{}/withheld/lift", world.find(Person::Hidden).await);
    let body = json!({ "insured_number": Person::Hidden.key().insured, "reason": "本人の申出" });
    let officer = with_key(world.log_in(Role::City).await, "lift-1");
    let first = officer.post(&path, body.clone()).await;
    assert!(first.status.is_success(), "{}", first.text());
    assert_eq!(officer.post(&path, body.clone()).await.comparable(), first.comparable());
    let other = world.log_in(Role::City).await.post(&path, body).await;
    assert_eq!(other.refusal(), (409, "conflict".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn an_answer_is_given_again_even_when_the_write_took_the_right_with_it() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let path = format!("/api/v1/people/{handle}/registration");
    let planner = with_key(world.log_in(Role::Planner).await, "end-1");
    assert_eq!(planner.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(planner.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.log_in(Role::Planner).await.delete(&path).await.refusal(), (404, "unknown".to_owned()));
}

#[tokio::test]
async fn a_mismatch_sent_again_under_its_key_counts_once() {
    let world = World::new().await;
    let mut wrong = Person::Hanako.card();
    wrong["insured_number"] = json!("0000000010");
    let planner = with_key(world.log_in(Role::Planner).await, "guess-1");
    for _ in 0..9 {
        assert_eq!(planner.post("/api/v1/people", wrong.clone()).await.refusal(), (404, "not_matched".to_owned()));
    }
    let reply = world.log_in(Role::Planner).await.post("/api/v1/people", Person::Hanako.card()).await;
    assert_eq!(reply.status, StatusCode::OK, "nine times the same mismatch is one: {}", reply.text());
}

#[tokio::test]
async fn a_write_refused_before_it_did_anything_leaves_its_key_free() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = with_key(world.log_in(Role::Planner).await, "filing-1");
    let path = format!("/api/v1/people/{handle}/plan-requests");
    assert_eq!(planner.post(&path, json!({ "person": 1 })).await.refusal(), (422, "invalid".to_owned()));
    assert_eq!(planner.post(&path, plan_request(&world)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_same_write_at_the_same_time_is_done_once_and_the_other_told_to_wait() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let path = format!("/api/v1/people/{handle}/opinions");
    let hospital = with_key(world.log_in(Role::Hospital).await, "twice");
    // Nothing can be written while another write is open: the first waits in its transaction.
    let open = world.platform.store().begin().await.unwrap();
    let first = tokio::spawn({
        let (router, request) = (world.inside.clone(), hospital.post_request(&path, opinion(&world)));
        async move { Reply::of(tower::ServiceExt::oneshot(router, request).await.unwrap()).await }
    });
    while world.platform.writes_under_way() == 0 {
        tokio::task::yield_now().await;
    }
    let second = hospital.post_request(&path, opinion(&world));
    let second = tokio::spawn({
        let router = world.inside.clone();
        async move { Reply::of(tower::ServiceExt::oneshot(router, second).await.unwrap()).await }
    });
    drop(open);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    assert_eq!(second.refusal(), (409, "conflict".to_owned()));
    assert_eq!(hospital.post(&path, opinion(&world)).await.comparable(), first.comparable());
}

#[tokio::test]
async fn a_package_sent_again_is_known_by_its_bytes_whatever_the_form_around_them() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    let files = package(world.now());
    let first = city.upload("/api/v1/packages", &files).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let form = String::from_utf8_lossy(&crate::world::form(&files)).replace("x-x-x", "y-y-y");
    let media = "multipart/form-data; boundary=y-y-y";
    let again = city.send(Method::POST, "/api/v1/packages", media, form.into_bytes().into()).await;
    assert_eq!(again.json()["receipt"], first.json()["receipt"]);
    assert_eq!(again.json()["repeated"], json!(true));
    // A file less is another package, and judged as one.
    let mut fewer = files;
    fewer.pop();
    assert_eq!(city.upload("/api/v1/packages", &fewer).await.refusal(), (422, "refused_files".to_owned()));
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused_and_one_on_a_read_is_not_looked_at() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    for key in ["", "a b", &"k".repeat(65)] {
        let reply = with_key(planner.clone(), key).post("/api/v1/people", Person::Hanako.card()).await;
        assert_eq!(
            (reply.refusal(), &reply.json()["items"][0]["item"]),
            ((422, "invalid".to_owned()), &json!("Idempotency-Key"))
        );
    }
    assert_eq!(with_key(planner, "a b").get("/api/v1/people").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_answer_about_a_person_is_given_again_on_the_record_and_only_while_the_person_concerns_the_caller() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = with_key(world.log_in(Role::Planner).await, "filing-2");
    let path = format!("/api/v1/people/{handle}/plan-requests");
    let first = planner.post(&path, plan_request(&world)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    assert_eq!(planner.post(&path, plan_request(&world)).await.comparable(), first.comparable());
    let last = world.log_about(Person::Hanako.key()).await.remove(0);
    assert_eq!(last, ("answered_before".to_owned(), "allowed".to_owned(), "idempotency_key".to_owned()));
    // Not in its charge any more: answered like a person nobody knows, and that is recorded with the person too.
    world.unassign(Role::Planner, Person::Hanako).await;
    assert_eq!(planner.post(&path, plan_request(&world)).await.refusal(), (404, "unknown".to_owned()));
    let last = world.log_about(Person::Hanako.key()).await.remove(0);
    assert_eq!(last, ("answered_before".to_owned(), "refused".to_owned(), "idempotency_key".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_document_fetched_again_under_its_key_is_read_anew_and_no_longer_there_when_it_was_decided() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let path = format!("/api/v1/people/{handle}/opinions");
    let filed = world.log_in(Role::Hospital).await.post(&path, opinion(&world)).await.json();
    let receipt = filed["receipt"].as_str().unwrap();
    let city = world.log_in(Role::City).await;
    let (fetch, accept) = (format!("/api/v1/inbox/{receipt}/fetch"), format!("/api/v1/inbox/{receipt}/accept"));
    let (fetching, accepting) = (with_key(city.clone(), "fetch-1"), with_key(city.clone(), "accept-1"));
    let first = fetching.post(&fetch, json!({})).await;
    assert!(first.json()["content"].is_object(), "{}", first.text());
    assert_eq!(fetching.post(&fetch, json!({})).await.comparable(), first.comparable());
    let fetches =
        |log: Vec<(String, String, String)>| log.iter().filter(|(action, ..)| action == "inbox.fetch").count();
    assert_eq!(fetches(world.log_about(Person::Hanako.key()).await), 2, "each time on the record of the person");
    let accepted = accepting.post(&accept, json!({})).await;
    assert_eq!(accepting.post(&accept, json!({})).await.comparable(), accepted.comparable());
    // What the platform no longer holds in transit it does not keep as an answer either.
    let again = fetching.post(&fetch, json!({})).await.json();
    assert_eq!((&again["state"], &again["content"]), (&json!({ "state": "accepted" }), &json!(null)));
    assert_eq!(fetching.post(&accept, json!({})).await.refusal(), (422, "invalid".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn an_opinion_file_sent_again_under_its_key_is_judged_anew_and_handed_in_once() {
    let world = World::new().await;
    let program = with_key(world.log_in(Role::HospitalConnector).await, "file-1");
    let first = program.post("/api/v1/opinions", opinion(&world)).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let again = program.post("/api/v1/opinions", opinion(&world)).await.json();
    assert_eq!(again["documents"][0]["receipt"], first.json()["documents"][0]["receipt"]);
    assert_eq!(again["documents"][0]["repeated"], json!(true));
    let mut other = opinion(&world);
    other["applied_on"] = json!("2026-01-05");
    let refused = program.post("/api/v1/opinions", other).await;
    assert_eq!(refused.refusal(), (422, "invalid".to_owned()));
    assert_eq!(refused.json()["items"][0]["item"], json!("Idempotency-Key"));
    let wrong = with_key(world.log_in(Role::HospitalConnector).await, "a b");
    assert_eq!(wrong.post("/api/v1/opinions", opinion(&world)).await.refusal(), (422, "invalid".to_owned()));
    let inbox = world.log_in(Role::City).await.get("/api/v1/inbox").await.json();
    assert_eq!(inbox["items"].as_array().unwrap().len(), 1);
    world.verify().await;
}

#[tokio::test]
async fn counting_asked_again_under_its_key_does_not_begin_the_figures_of_another_day() {
    let world = World::new().await;
    let today = world.today();
    let city = with_key(world.log_in(Role::City).await, "count-1");
    let first = city.post("/api/v1/statistics", json!({})).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    while city.get("/api/v1/statistics").await.json()["state"] == json!("running") {
        tokio::task::yield_now().await;
    }
    // The next morning, sent again because no answer had come: the figures of the day it was asked.
    world.pass(16 * 3600).await;
    assert_ne!(world.today(), today);
    let mut morning = with_key(world.with_certificate(Role::City), "count-1");
    morning.token = Some(world.fresh_token(Role::City).await);
    let again = morning.post("/api/v1/statistics", json!({})).await.json();
    assert_eq!((&again["state"], &again["statistics"]["day"]), (&json!("ready"), &json!(today)), "{again}");
    assert_eq!(morning.get("/api/v1/statistics").await.json()["state"], json!("missing"));
    world.verify().await;
}

#[tokio::test]
async fn a_start_sent_again_under_its_key_does_not_undo_what_came_after_it() {
    let world = World::new().await;
    let path = format!("/api/v1/insurers/{}/start", crate::world::city());
    let city = with_key(world.log_in(Role::City).await, "start-1");
    let started = json!({ "state": "started", "date": "2026-04-01" });
    assert_eq!(city.put(&path, started.clone()).await.status, StatusCode::OK);
    let undo = json!({ "state": "coordinating", "reason": "移行のやり直し" });
    assert_eq!(world.log_in(Role::Operator).await.put(&path, undo.clone()).await.status, StatusCode::OK);
    let again = city.put(&path, started).await;
    assert_eq!(
        (again.status, &again.json()["start"]["state"]),
        (StatusCode::OK, &json!("coordinating")),
        "{}",
        again.text()
    );
    assert_eq!(city.put(&path, undo).await.refusal(), (422, "invalid".to_owned()));
    world.verify().await;
}
