//! 不正が疑われる使い方: what is told to whom, and from which figure on (P-189).

use crate::world::{Person, Role, World, city};
use axum::http::StatusCode;
use kiban_service::Config;
use serde_json::{Value, json};

/// Kind and facts of the notices of somebody that are about misuse.
async fn told(world: &World, role: Role) -> Vec<(String, Value)> {
    world.platform.tell_of_abuse(&world.context()).await.unwrap();
    let mut client = world.with_certificate(role);
    client.token = Some(world.fresh_token(role).await);
    let notices = client.get("/api/v1/notices").await.json();
    let kinds = ["mass_viewing", "night_viewing", "foreign_attempts"];
    let notices = notices["notices"].as_array().unwrap().clone();
    let of_kind = notices.into_iter().map(|one| (one["kind"].as_str().unwrap().to_owned(), one["facts"].clone()));
    of_kind.filter(|(kind, _)| kinds.contains(&kind.as_str())).collect()
}

async fn look(world: &World, handle: &str) -> StatusCode {
    let mut planner = world.with_certificate(Role::Planner);
    planner.token = Some(world.fresh_token(Role::Planner).await);
    planner.get(&format!("/api/v1/people/{handle}/records/A3a")).await.status
}

#[tokio::test]
async fn many_people_in_an_hour_are_told_once_a_day_to_administrator_operator_and_city() {
    let config = Config { mass_view_people: 2, ..Config::default() };
    let world = World::of(config, |_| {}).await;
    world.assign(Role::Planner, Person::Hanako, false).await;
    world.assign(Role::Planner, Person::Hidden, false).await;
    let hanako = world.stolen_handle(Role::Planner, Person::Hanako.key()).await;
    let hidden = world.stolen_handle(Role::Planner, Person::Hidden.key()).await;
    for _ in 0..3 {
        assert_eq!(look(&world, &hanako).await, StatusCode::OK);
    }
    assert_eq!(told(&world, Role::Operator).await, [], "one person, however often, is not many");
    look(&world, &hidden).await;
    for role in [Role::Planner, Role::Operator, Role::City] {
        let told = told(&world, role).await;
        assert_eq!(told.len(), 1, "{role:?}");
        let (kind, facts) = &told[0];
        assert_eq!((kind.as_str(), &facts["limit"]), ("mass_viewing", &json!(2)), "{role:?}");
        assert_eq!(facts["organization"], json!(Role::Planner.organization()));
        assert!(!facts.to_string().contains(city().as_str()) && !facts.to_string().contains("花子"), "{facts}");
    }
    assert_eq!(told(&world, Role::OtherCity).await, []);
    world.pass(3600).await;
    look(&world, &hanako).await;
    look(&world, &hidden).await;
    assert_eq!(told(&world, Role::Operator).await.len(), 1, "the same again on the same day is no news");
    world.pass(24 * 3600).await;
    look(&world, &hanako).await;
    look(&world, &hidden).await;
    assert_eq!(told(&world, Role::Operator).await.len(), 2);
    world.verify().await;
}

#[tokio::test]
async fn what_is_usual_by_day_is_told_at_night() {
    let config = Config { night_view_people: 1, ..Config::default() };
    let world = World::of(config, |_| {}).await;
    world.assign(Role::Planner, Person::Hanako, false).await;
    let handle = world.stolen_handle(Role::Planner, Person::Hanako.key()).await;
    look(&world, &handle).await;
    // 10:00 in Japan; then 21:59 and 22:00.
    world.pass(11 * 3600 + 59 * 60).await;
    look(&world, &handle).await;
    assert_eq!(told(&world, Role::Operator).await, []);
    world.pass(60).await;
    look(&world, &handle).await;
    let told = told(&world, Role::Operator).await;
    assert_eq!(told.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["night_viewing"]);
    world.verify().await;
}

#[tokio::test]
async fn somebody_who_tries_people_of_others_is_told_to_the_operator() {
    let config = Config { foreign_attempts: 3, ..Config::default() };
    let world = World::of(config, |_| {}).await;
    let hanako = world.stolen_handle(Role::Planner, Person::Hanako.key()).await;
    for handle in [&hanako, &hanako, &"0".repeat(88)] {
        assert_eq!(look(&world, handle).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(told(&world, Role::Operator).await, [], "two different ones");
    assert_eq!(look(&world, &"1".repeat(88)).await, StatusCode::NOT_FOUND);
    assert_eq!(told(&world, Role::Operator).await[0].0, "foreign_attempts");
    assert_eq!(told(&world, Role::City).await.len(), 1, "one of them was its own insured");
    world.verify().await;
}
