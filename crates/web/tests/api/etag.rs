//! ETag and If-None-Match: less on the wire, and not one access less in the log.

use crate::world::{Client, Person, Reply, Role, World};
use axum::body::Body;
use axum::http::{Method, StatusCode, header};

async fn get_if_not(client: &Client<'_>, path: &str, tag: &str) -> Reply {
    client
        .send_raw(client.request(Method::GET, path).header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap())
        .await
}

fn tag(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again_and_recorded_again() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let path = format!("/api/v1/people/{handle}/records/A3a");
    let card = tag(&planner.get(&path).await);
    let views = async || {
        let log = world.log_about(Person::Hanako.key()).await;
        log.iter().filter(|(action, outcome, _)| action == "view" && outcome == "allowed").count()
    };
    let before = views().await;
    for known in [card.clone(), format!("W/{card}"), format!("\"0\", {card}"), "*".to_owned()] {
        let reply = get_if_not(&planner, &path, &known).await;
        assert_eq!((reply.status, reply.body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
        assert_eq!(reply.headers["etag"].to_str().unwrap(), card);
        assert!(!reply.headers.contains_key("content-type"));
    }
    assert_eq!(views().await, before + 4, "each was an access");
    assert_eq!(get_if_not(&planner, &path, "\"0\"").await.status, StatusCode::OK);

    // The city sends a new card: the tag is old.
    world.pass(1).await;
    let files = crate::world::card_with_planner(&world);
    let city = world.log_in(Role::City).await;
    assert_eq!(city.upload("/api/v1/packages", &files).await.status, StatusCode::OK);
    let reply = get_if_not(&planner, &path, &card).await;
    assert_ne!(tag(&reply), card);
    world.verify().await;
}

#[tokio::test]
async fn a_known_tag_opens_nothing_that_has_been_closed() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let path = format!("/api/v1/people/{handle}/records/A3a");
    let card = tag(&planner.get(&path).await);
    assert_eq!(planner.delete(&format!("/api/v1/people/{handle}/registration")).await.status, StatusCode::NO_CONTENT);
    for known in [card.as_str(), "*"] {
        assert_eq!(get_if_not(&planner, &path, known).await.refusal(), (404, "unknown".to_owned()));
    }
}

#[tokio::test]
async fn a_tag_belongs_to_its_reader() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let path = format!("/api/v1/people/{handle}/records/A3a");
    let (planner, colleague) = (world.log_in(Role::Planner).await, world.log_in_colleague(Role::Planner).await);
    let (one, two) = (planner.get(&path).await, colleague.get(&path).await);
    assert_eq!(one.body, two.body);
    assert_ne!(tag(&one), tag(&two));
    assert_eq!(get_if_not(&colleague, &path, &tag(&one)).await.status, StatusCode::OK);
}

/// The list of an office's people: what a program asks for every few minutes.
#[tokio::test]
async fn the_list_of_people_is_sent_again_only_when_somebody_came_or_went() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let path = "/api/v1/people?limit=20";
    let known = tag(&planner.get(path).await);
    world.pass(60).await;
    let same = get_if_not(&planner, path, &known).await;
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0), "{}", same.text());
    assert_eq!(tag(&planner.get(path).await), known, "a minute later it is the same list");
    // Another page of the list, and another reader's list, are not this one.
    assert_eq!(get_if_not(&planner, "/api/v1/people?limit=19", &known).await.status, StatusCode::OK);
    let colleague = world.log_in_colleague(Role::Planner).await;
    assert_eq!(get_if_not(&colleague, path, &known).await.status, StatusCode::OK);

    assert_eq!(planner.delete(&format!("/api/v1/people/{handle}/registration")).await.status, StatusCode::NO_CONTENT);
    let reply = get_if_not(&planner, path, &known).await;
    assert_ne!(tag(&reply), known);
    assert!(!reply.text().contains(&handle), "{}", reply.text());
    world.verify().await;
}
