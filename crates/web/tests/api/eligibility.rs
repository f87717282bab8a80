//! 資格の照会: the card page by the numbers of a card, for whoever may see the cards, and nothing for anybody else.

use crate::world::{Client, Person, Reply, Role, World, city};
use axum::http::StatusCode;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/eligibility";

async fn ask(client: &Client<'_>, insured: &str) -> Reply {
    client.post(PATH, json!({ "insurer_number": city(), "insured_number": insured })).await
}

fn number(person: Person) -> String {
    person.key().insured.to_string()
}

fn kinds(page: &Value) -> Vec<&str> {
    page["kinds"].as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_city_a_registered_office_and_its_software_see_the_cards_by_number() {
    let world = World::new().await;
    world.register(Role::Planner, Person::Hanako).await;
    for role in [Role::City, Role::Planner, Role::Vendor] {
        let client = world.log_in(role).await;
        let reply = ask(&client, &number(Person::Hanako)).await;
        assert_eq!(reply.status, StatusCode::OK, "{role:?} {}", reply.text());
        let page = reply.json();
        assert_eq!(kinds(&page), ["A3a", "A3b", "A3c"], "{role:?}");
        assert_eq!(page["person"]["name"], json!("架空 花子"));
        assert_eq!(page["kinds"][0]["documents"][0]["content"]["certified"]["limit_units"], json!(19_705));
        assert!(page["kinds"][0]["documents"][0]["valid_from"].is_string());
        // The same as by the handle, which comes along.
        let handle = page["handle"].as_str().unwrap();
        let by_handle = client.get(&format!("/api/v1/people/{handle}/records/A3a")).await.json();
        assert_eq!(by_handle, page["kinds"][0], "{role:?}");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_number_of_somebody_else_and_a_number_of_nobody_answer_alike() {
    let world = World::new().await;
    world.register(Role::Planner, Person::Hanako).await;
    for role in [Role::Stranger, Role::OtherCity, Role::Prefecture, Role::Operator] {
        let client = world.log_in(role).await;
        let nobody = ask(&client, "0000000099").await;
        assert_eq!(nobody.refusal(), (404, "unknown".to_owned()), "{role:?}");
        for person in [Person::Hanako, Person::Hidden] {
            assert_eq!(ask(&client, &number(person)).await.comparable(), nobody.comparable(), "{role:?}");
        }
    }
    // Registered for Hanako, the planner learns nothing of others.
    let planner = world.log_in(Role::Planner).await;
    let nobody = ask(&planner, "0000000099").await;
    assert_eq!(ask(&planner, &number(Person::Hidden)).await.comparable(), nobody.comparable());
    // Nor does the unattended program of the city, which sends packages only.
    assert_eq!(
        ask(&world.log_in(Role::CityProgram).await, &number(Person::Hanako)).await.status,
        StatusCode::FORBIDDEN
    );
    world.verify().await;
}

#[tokio::test]
async fn it_ends_with_the_registration_and_hides_where_a_withheld_person_is() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    assert_eq!(ask(&planner, &number(Person::Hanako)).await.status, StatusCode::OK);
    assert_eq!(planner.delete(&format!("/api/v1/people/{handle}/registration")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&planner, &number(Person::Hanako)).await.refusal(), (404, "unknown".to_owned()));

    // An office that got in without the city's word (as if by an old registration) does not learn where she is.
    world.assign(Role::Helper, Person::Hidden, false).await;
    let reply = ask(&world.log_in(Role::Helper).await, &number(Person::Hidden)).await;
    assert!(!reply.text().contains("架空町"), "{}", reply.text());
    let shown = ask(&world.log_in(Role::City).await, &number(Person::Hidden)).await;
    assert_eq!(shown.json()["person"]["address"], json!("見本県見本市架空町1-1"));
    world.verify().await;
}

#[tokio::test]
async fn each_card_shown_and_each_refusal_stands_in_the_log_of_who_looked() {
    let world = World::new().await;
    world.register(Role::Planner, Person::Hanako).await;
    let (planner, stranger) = (world.log_in(Role::Planner).await, world.log_in(Role::Stranger).await);
    let shown = ask(&planner, &number(Person::Hanako)).await;
    let refused = ask(&stranger, &number(Person::Hanako)).await;
    let path = format!("/api/v1/people/{}/look-ups", world.find(Person::Hanako).await);
    let log = world.log_in(Role::City).await.get(&path).await.json();
    let looks = |reply: &Reply| -> Vec<(String, String, String)> {
        let id = reply.headers["x-request-id"].to_str().unwrap();
        let text = |look: &Value, name: &str| look[name].as_str().unwrap().to_owned();
        let all = log["look_ups"].as_array().unwrap().iter().filter(|look| look["request_id"] == id);
        let mut all: Vec<_> =
            all.map(|look| (text(look, "action"), text(look, "kind"), text(look, "outcome"))).collect();
        all.sort();
        all
    };
    let line = |kind: &str, outcome: &str| ("eligibility".to_owned(), kind.to_owned(), outcome.to_owned());
    assert_eq!(looks(&shown), [line("A3a", "許可"), line("A3b", "許可"), line("A3c", "許可")]);
    assert_eq!(looks(&refused), [line("A3a", "拒否")]);
}

#[tokio::test]
async fn numbers_that_cannot_be_are_named() {
    let world = World::new().await;
    let reply =
        world.log_in(Role::City).await.post(PATH, json!({ "insurer_number": "12", "insured_number": "x" })).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    let items: Vec<_> = reply.json()["items"].as_array().unwrap().iter().map(|item| item["item"].clone()).collect();
    assert_eq!(items, [json!("insurer_number"), json!("insured_number")]);
}

#[tokio::test]
async fn in_a_disaster_the_number_opens_only_what_a_search_with_its_reason_opened() {
    let world = World::new().await;
    crate::disaster::open_mode(&world).await;
    let helper = world.log_in(Role::Stranger).await;
    let nobody = ask(&helper, "0000000099").await;
    // The mode alone opens nothing, nor do numbers stand for a search.
    assert_eq!(ask(&helper, &number(Person::Hanako)).await.comparable(), nobody.comparable());
    assert_eq!(nobody.refusal(), (404, "unknown".to_owned()));
    let found = helper.post("/api/v1/disasters/search", crate::disaster::hanako()).await.json();
    let page = ask(&helper, &number(Person::Hanako)).await.json();
    assert_eq!((kinds(&page)[0], &page["kinds"][0]["rule"]), ("A3a", &json!("disaster")));
    assert_eq!(page["handle"], found["people"][0]["handle"]);
    // It is a view with its reason and event, and not for a colleague who has not searched.
    let views = world.log_about(Person::Hanako.key()).await;
    assert_eq!(views.iter().filter(|(action, outcome, _)| action == "disaster.view" && outcome == "done").count(), 1);
    let colleague = world.log_in_colleague(Role::Stranger).await;
    assert_eq!(ask(&colleague, &number(Person::Hanako)).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(ask(&helper, &number(Person::Hidden)).await.comparable(), nobody.comparable());
    world.verify().await;
}

#[tokio::test]
async fn views_by_number_count_to_the_limit_of_the_hour_like_any_other() {
    let world = World::new().await;
    crate::disaster::open_mode(&world).await;
    let helper = world.log_in(Role::Stranger).await;
    helper.post("/api/v1/disasters/search", crate::disaster::hanako()).await;
    for _ in 0..300 {
        assert_eq!(ask(&helper, &number(Person::Hanako)).await.status, StatusCode::OK);
    }
    let reply = ask(&helper, &number(Person::Hanako)).await;
    assert_eq!(reply.refusal(), (429, "quota".to_owned()));
    assert!(!reply.text().contains("架空"));
}
