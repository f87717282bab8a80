//! 災害時モード: two operators, exact search, read-only, gone when it is closed.

use crate::world::{Person, Role, World, city};
use axum::http::StatusCode;
use serde_json::{Value, json};

fn proposal(world: &World) -> Value {
    let stranger = Role::Stranger.organization();
    json!({ "event": "見本水害", "areas": [city()], "offices": [stranger], "from": world.today(), "to": world.today() })
}

/// Two operators open the mode; its id.
pub async fn open_mode(world: &World) -> String {
    open(world, proposal(world)).await
}

/// The same with another proposal.
pub async fn open(world: &World, proposal: Value) -> String {
    let proposed = world.log_in(Role::Operator).await.post("/api/v1/disasters", proposal).await;
    let id = proposed.json()["id"].as_str().unwrap().to_owned();
    let approve = format!("/api/v1/disasters/{id}/approve");
    assert_eq!(world.log_in(Role::SecondOperator).await.post(&approve, json!({})).await.status, StatusCode::NO_CONTENT);
    id
}

pub fn hanako() -> Value {
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
async fn a_search_says_which_city_has_not_started_so_that_nobody_found_is_not_taken_for_nobody_there() {
    let world = World::new().await;
    open_mode(&world).await;
    let helper = world.log_in(Role::Stranger).await;
    let search = "/api/v1/disasters/search";
    let found = helper.post(search, hanako()).await.json();
    assert_eq!((found["people"].as_array().unwrap().len(), &found["not_started"]), (1, &json!([])));
    let planned = kiban_domain::municipality::StartState::Planned(crate::world::day("2027-04-01"));
    world.change(async |tx| tx.set_start(city(), planned).await.unwrap()).await;
    let without_city = json!({ "reason": "安否確認", "kana": "カクウ ハナコ", "birth": "1941-05-03", "address": "見本県見本市架空町" });
    for query in [hanako(), without_city] {
        let found = helper.post(search, query).await.json();
        let message = "未開始（令和9年4月1日 開始予定）";
        assert_eq!(found["not_started"], json!([{ "insurer_number": city(), "message": message }]));
        assert_eq!(found["people"], json!([]));
    }
    world.verify().await;
}

#[tokio::test]
async fn a_search_needs_a_reason_a_name_and_one_thing_more() {
    let world = World::new().await;
    let helper = world.log_in(Role::Stranger).await;
    open_mode(&world).await;
    let reply = helper
        .post("/api/v1/disasters/search", json!({ "reason": "", "insurer_number": city(), "kana": "カクウ ハナコ" }))
        .await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    let items: Vec<_> = reply.json()["items"].as_array().unwrap().iter().map(|i| i["item"].clone()).collect();
    assert!(items.contains(&json!("reason")) && items.contains(&json!("birth")), "{items:?}");
}

/// P-123: a name, and a municipality or an address, and a birth date or a sex.
#[tokio::test]
async fn a_person_is_found_by_each_combination_of_the_rule_and_by_no_lesser_one() {
    let world = World::new().await;
    let helper = world.log_in(Role::Stranger).await;
    open_mode(&world).await;
    let known = json!({
        "name": "架空 花子", "kana": "ｶｸｳ ﾊﾅｺ", "insurer_number": city(), "address": "見本県見本市架空町２",
        "birth": "1941-05-03", "sex": "female",
    });
    let of = |items: &[&str]| {
        let typed = items.iter().map(|item| ((*item).to_owned(), known[*item].clone()));
        Value::Object(std::iter::once(("reason".to_owned(), json!("安否確認"))).chain(typed).collect())
    };
    for name in ["name", "kana"] {
        for place in ["insurer_number", "address"] {
            for which in ["birth", "sex"] {
                let reply = helper.post("/api/v1/disasters/search", of(&[name, place, which])).await;
                let people = &reply.json()["people"];
                assert_eq!(people[0]["name"], json!("架空 花子"), "{name} {place} {which}: {}", reply.text());
                assert_eq!(people.as_array().unwrap().len(), 1);
            }
            let reply = helper.post("/api/v1/disasters/search", of(&[name, place])).await;
            assert_eq!(reply.json()["items"][0]["item"], json!("birth"), "{name} {place}");
        }
        let reply = helper.post("/api/v1/disasters/search", of(&[name, "birth", "sex"])).await;
        assert_eq!(reply.json()["items"][0]["item"], json!("insurer_number"), "{name}");
    }
    let reply = helper.post("/api/v1/disasters/search", of(&["insurer_number", "address", "birth", "sex"])).await;
    assert_eq!(reply.json()["items"][0]["item"], json!("name"));

    // What does not fit finds nobody, and looks like nobody there.
    for (item, other) in
        [("sex", json!("male")), ("address", json!("見本県見本市虚構町")), ("birth", json!("1941-05-04"))]
    {
        let mut wrong = of(&["kana", "insurer_number", "address", "birth", "sex"]);
        wrong[item] = other;
        assert_eq!(helper.post("/api/v1/disasters/search", wrong).await.json()["people"], json!([]), "{item}");
    }
    world.verify().await;
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

#[tokio::test]
async fn every_disaster_view_has_a_reason_its_event_and_its_staff_and_the_city_reads_them() {
    let world = World::new().await;
    let id = open_mode(&world).await;
    let helper = world.log_in(Role::Stranger).await;
    let handle = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    let card = format!("/api/v1/people/{handle}/records/A3a");
    // The mode alone opens nothing: nobody has said why.
    assert_eq!(helper.get(&card).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(helper.post("/api/v1/disasters/search", hanako()).await.json()["people"][0]["handle"], json!(handle));
    let looks = async || world.log_in(Role::City).await.get("/api/v1/disasters/looks").await.json()["looks"].clone();
    assert_eq!(looks().await[0]["viewed_at"], Value::Null);
    world.pass(60).await;
    assert_eq!(helper.get(&card).await.status, StatusCode::OK);
    assert_eq!(helper.get(&format!("/api/v1/people/{handle}")).await.status, StatusCode::OK);
    // Not for a colleague who has not searched.
    let colleague = world.log_in_colleague(Role::Stranger).await;
    assert_eq!(colleague.get(&card).await.refusal(), (404, "unknown".to_owned()));

    let seen = looks().await;
    assert_eq!(seen.as_array().unwrap().len(), 1);
    let (organization, staff) = (Role::Stranger.organization(), format!("{}/staff1", Role::Stranger.organization()));
    assert_eq!((&seen[0]["organization"], &seen[0]["staff"]), (&json!(organization), &json!(staff)));
    assert_eq!((&seen[0]["events"], &seen[0]["reason"]), (&json!(["見本水害"]), &hanako()["reason"]));
    assert_eq!(seen[0]["viewed_at"], json!(world.now()));
    assert_eq!(seen[0]["person"], json!(world.find(Person::Hanako).await));
    let views = world.log_about(Person::Hanako.key()).await;
    assert_eq!(views.iter().filter(|(action, outcome, _)| action == "disaster.view" && outcome == "done").count(), 2);
    let told = world.log_in(Role::City).await.get("/api/v1/notices").await.json();
    assert_eq!(told["notices"][0]["kind"], json!("disaster_looks"));
    for role in [Role::Stranger, Role::Operator, Role::Prefecture] {
        let reply = world.log_in(role).await.get("/api/v1/disasters/looks?limit=0").await;
        assert_eq!(reply.refusal(), (404, "unknown".to_owned()), "{role:?}");
    }
    assert_eq!(world.log_in(Role::OtherCity).await.get("/api/v1/disasters/looks").await.json()["looks"], json!([]));

    // A reason lasts a day; so the mode, closed, opens nothing even within it.
    let close = format!("/api/v1/disasters/{id}/close");
    assert_eq!(world.log_in(Role::Operator).await.post(&close, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(helper.get(&card).await.refusal(), (404, "unknown".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn an_organisation_searches_so_often_an_hour_and_then_operator_and_administrator_are_told() {
    let world = World::new().await;
    open_mode(&world).await;
    let helper = world.log_in(Role::Stranger).await;
    let mut nobody = hanako();
    nobody["kana"] = json!("ダレモ イナイ");
    for _ in 0..60 {
        assert_eq!(helper.post("/api/v1/disasters/search", nobody.clone()).await.status, StatusCode::OK);
    }
    let reply = helper.post("/api/v1/disasters/search", hanako()).await;
    assert_eq!(reply.refusal(), (429, "quota".to_owned()));
    assert_eq!(reply.headers["retry-after"], "3600");
    assert!(!reply.text().contains("架空"), "nobody is shown beyond the limit");
    for role in [Role::Operator, Role::Stranger] {
        let told = world.log_in(role).await.get("/api/v1/notices").await.json();
        assert_eq!(told["notices"][0]["kind"], json!("disaster_limit"), "{role:?}");
    }
    // The others still search, and so does this one in the next hour.
    let city = world.log_in(Role::City).await;
    assert_eq!(city.post("/api/v1/disasters/search", hanako()).await.status, StatusCode::OK);
    world.pass(3600 - 1).await;
    let mut later = world.with_certificate(Role::Stranger);
    later.token = Some(world.fresh_token(Role::Stranger).await);
    assert_eq!(later.post("/api/v1/disasters/search", hanako()).await.refusal().0, 429);
    world.pass(1).await;
    assert_eq!(later.post("/api/v1/disasters/search", hanako()).await.status, StatusCode::OK);
}
