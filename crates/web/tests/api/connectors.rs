//! Unattended programs: a certificate is all they have, so it opens their work and nothing more (P-134, P-165, T-13).

use crate::access::{ask_at, path};
use crate::world::{Client, Reply, Role, World, certificate};
use axum::http::StatusCode;
use kiban_web::{Audience, Listener, ROUTES};

/// What a municipality's program is for.
const WORK: [&str; 11] = [
    "import_package",
    "receipt",
    "receipts",
    "result_file",
    "inbox",
    "inbox_original",
    "fetch_submission",
    "accept_submission",
    "return_submission",
    // The table of who sees what, which holds nothing of anybody.
    "rules",
    // Ends the log-in it never had.
    "log_out",
];

fn serial(role: Role) -> String {
    certificate(role, &role.fingerprint(), "2026-11-24T00:00:00Z".parse().unwrap()).serial
}

async fn export(client: &Client<'_>) -> Reply {
    client.get("/api/v1/export").await
}

#[tokio::test]
async fn a_municipalitys_program_sends_packages_and_empties_the_inbox_and_nothing_else() {
    let world = World::new().await;
    let program = world.log_in(Role::CityConnector).await;
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Organisations) {
        if !route.audience.needs_log_in() {
            continue;
        }
        let path = path(&world, route, Role::CityConnector).await;
        let reply = ask_at(&world, route, &program, Role::CityConnector, &path).await;
        assert_eq!(reply.status.is_success(), WORK.contains(&route.name), "{}: {}", route.name, reply.text());
    }
    world.verify().await;
}

#[tokio::test]
async fn the_operator_says_which_program_may_export_the_municipality() {
    let world = World::new().await;
    let program = world.log_in(Role::CityConnector).await;
    assert_eq!(export(&program).await.refusal(), (403, "not_this_way".to_owned()));
    let allow = async |role: Role, may: bool| {
        world.platform.allow_export(&serial(role), may, &world.context()).await.map_err(|error| error.to_string())
    };
    allow(Role::CityConnector, true).await.unwrap();
    assert_eq!(export(&program).await.status, StatusCode::OK);
    allow(Role::CityConnector, false).await.unwrap();
    assert_eq!(export(&program).await.refusal(), (403, "not_this_way".to_owned()));
    // Nobody else is made one that may: a terminal, a hospital's program, a certificate there is not.
    assert_eq!(allow(Role::City, true).await, Err("unknown".to_owned()));
    assert!(allow(Role::HospitalConnector, true).await.unwrap_err().contains("cannot be used"));
    let none = world.platform.allow_export("none", true, &world.context()).await;
    assert!(matches!(none, Err(kiban_service::Error::Unknown)));
    // Somebody at the municipality's screen may as before.
    assert_eq!(export(&world.log_in(Role::City).await).await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn a_hospitals_program_is_known_on_the_closed_line_only() {
    let world = World::new().await;
    let program = world.log_in(Role::HospitalConnector).await;
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Organisations) {
        // What holds nothing about anybody is everybody's.
        if route.audience == Audience::Anyone {
            continue;
        }
        let path = path(&world, route, Role::HospitalConnector).await;
        let reply = ask_at(&world, route, &program, Role::HospitalConnector, &path).await;
        assert_eq!(reply.refusal(), (401, "closed_line_only".to_owned()), "{}", route.name);
    }
    assert_eq!(program.get("/api/v1/opinions").await.status, StatusCode::OK);
    world.verify().await;
}
