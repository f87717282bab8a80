//! No answer without an audit entry (S-014): every answer of the organisations' listener to a certificate, in all tests,
//! has an entry with its request id ([`is_recorded`], called by the world for each request).

use crate::world::{Person, Reply, Role, World, certificate, package};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, Row, SqliteConnection};

/// An entry, in what of it is in clear.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    organization: Option<String>,
    staff: Option<String>,
    certificate: Option<String>,
    way: String,
    action: String,
    outcome: String,
    rule: Option<String>,
    insured: Option<String>,
}

async fn entries(world: &World, reply: &Reply) -> Vec<Entry> {
    entries_of(world, reply.headers["x-request-id"].to_str().unwrap()).await
}

async fn entries_of(world: &World, request_id: &str) -> Vec<Entry> {
    let address = format!("sqlite:{}", world.dir.path().join("kiban.db").display());
    let mut connection = SqliteConnection::connect(&address).await.unwrap();
    let rows = sqlx::query(
        "SELECT organization, staff, lower(hex(certificate)) AS certificate, way, action, outcome, rule, insured_number \
         FROM audit WHERE request_id = ? AND outcome <> 'void' ORDER BY writer, segment, n",
    )
    .bind(request_id.to_owned())
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let entry = |row: &sqlx::sqlite::SqliteRow| Entry {
        organization: row.get("organization"),
        staff: row.get("staff"),
        certificate: row.get("certificate"),
        way: row.get("way"),
        action: row.get("action"),
        outcome: row.get("outcome"),
        rule: row.get("rule"),
        insured: row.get("insured_number"),
    };
    rows.iter().map(entry).collect()
}

/// The rules under which an answer was refused.
pub async fn refusals(world: &World, reply: &Reply) -> Vec<String> {
    refusals_of(world, reply.headers["x-request-id"].to_str().unwrap()).await
}

/// The same by the number of a request.
pub async fn refusals_of(world: &World, request_id: &str) -> Vec<String> {
    let found = entries_of(world, request_id).await.into_iter().filter(|entry| entry.outcome == "refused");
    found.filter_map(|entry| entry.rule).collect()
}

/// Panics if an answer left without an entry. Exceptions are the first page, the page of the log-in, their style and the description of the API, which hold
/// nothing about anybody, a request for which there was no place or no quota left (`quota` tells how those are), and one whose answer could not wait for it.
pub async fn is_recorded(world: &World, method: &Method, path: &str, reply: &Reply) {
    let is_open = reply.status.as_u16() < 400 && matches!(path, "/" | "/login" | "/kiban.css" | "/api/v1/openapi.json");
    let no_place_or_no_time = matches!(reply.status, StatusCode::SERVICE_UNAVAILABLE)
        || matches!(reply.code().as_str(), "busy" | "request_quota");
    if !is_open && !no_place_or_no_time {
        let found = entries(world, reply).await;
        assert!(!found.is_empty(), "{method} {path}: {} {} without an entry", reply.status, reply.code());
    }
}

/// The one entry of an answer that no use case recorded.
async fn only(world: &World, reply: &Reply) -> (String, String, Option<String>) {
    let mut found = entries(world, reply).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let entry = found.remove(0);
    assert_eq!(entry.insured, None);
    (entry.action, entry.outcome, entry.rule)
}

fn refused(action: &str, rule: &str) -> (String, String, Option<String>) {
    (action.to_owned(), "refused".to_owned(), Some(rule.to_owned()))
}

#[tokio::test]
async fn a_refusal_before_anything_was_looked_up_is_recorded_once_with_who_asked() {
    let world = World::new().await;
    let theirs = world.stolen_handle(Role::Planner, Person::Hanako.key()).await;
    let helper = world.log_in(Role::Helper).await;
    let reply = helper.get(&format!("/api/v1/people/{theirs}/records/A3a")).await;
    let found = entries(&world, &reply).await;
    let expected = Entry {
        organization: Some(Role::Helper.organization().to_string()),
        staff: Some(format!("{}/staff1", Role::Helper.organization())),
        certificate: Some(Role::Helper.fingerprint()),
        way: "interactive".to_owned(),
        action: "view_kind".to_owned(),
        outcome: "refused".to_owned(),
        rule: Some("unknown".to_owned()),
        insured: None,
    };
    assert_eq!(found, [expected]);
    assert_eq!(only(&world, &helper.get("/api/v1/inbox").await).await, refused("inbox", "unknown"));
    assert_eq!(
        only(&world, &world.log_in(Role::City).await.get("/api/v1/people").await).await,
        refused("list_people", "unknown")
    );
    let vendor = world.log_in(Role::Vendor).await;
    let reply = vendor.post("/api/v1/people", Person::Hanako.card()).await;
    assert_eq!(only(&world, &reply).await, refused("register_office", "not_this_way"));
    let reply = helper.upload("/api/v1/packages", &package(world.now())).await;
    assert_eq!(only(&world, &reply).await.0, "import_package");
    let reply = helper.post("/api/v1/people", json!({ "kana": 1 })).await;
    assert_eq!(only(&world, &reply).await, refused("register_office", "invalid"));
    let reply = helper.send(Method::POST, "/api/v1/people", "application/json", Body::from("{")).await;
    assert_eq!(only(&world, &reply).await, refused("register_office", "bad_json"));
    assert_eq!(only(&world, &helper.get("/nowhere").await).await, refused("no_such_route", "unknown"));
    assert_eq!(only(&world, &helper.get("/api/v1/people/%ff").await).await, refused("view_person", "unknown"));
    let allowed = ("list_people".to_owned(), "allowed".to_owned(), None);
    assert_eq!(only(&world, &helper.get("/api/v1/people").await).await, allowed);
    world.verify().await;
}

#[tokio::test]
async fn a_certificate_without_a_log_in_is_recorded_with_its_organisation() {
    let world = World::new().await;
    let mut terminal = world.with_certificate(Role::Helper);
    terminal.token = Some("0".repeat(64));
    let found = entries(&world, &terminal.get("/api/v1/people").await).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].action.as_str(), found[0].rule.as_deref()), ("list_people", Some("login_required")));
    assert_eq!(found[0].organization, Some(Role::Helper.organization().to_string()));
    assert_eq!((&found[0].staff, &found[0].certificate), (&None, &Some(Role::Helper.fingerprint())));
    // An expired token, then a revoked certificate on a connection that is still open.
    let helper = world.log_in(Role::Helper).await;
    let mut row = certificate(Role::Helper, &Role::Helper.fingerprint(), world.now());
    world.pass(61 * 60).await;
    assert_eq!(only(&world, &helper.get("/api/v1/people").await).await, refused("list_people", "login_required"));
    row.revoked_at = Some(world.now());
    world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
    assert_eq!(only(&world, &terminal.get("/").await).await, refused("start", "certificate_revoked"));
    let reply = terminal.post("/api/v1/session", json!({})).await;
    assert_eq!(only(&world, &reply).await, refused("log_in", "certificate_revoked"));
    // What came over the revoked certificate stands in the log of the organisation it was bound to.
    let reply = helper.get("/api/v1/people").await;
    let found = entries(&world, &reply).await;
    assert_eq!((found[0].action.as_str(), found[0].rule.as_deref()), ("standing.refused", Some("certificate_revoked")));
    assert_eq!(found[0].organization, Some(Role::Helper.organization().to_string()));
}

#[tokio::test]
async fn what_the_use_case_recorded_is_not_recorded_twice() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    for (role, outcome) in [(Role::Helper, "allowed"), (Role::Stranger, "refused")] {
        let handle = world.stolen_handle(role, Person::Hanako.key()).await;
        let reply = world.log_in(role).await.get(&format!("/api/v1/people/{handle}/records/A3a")).await;
        let found = entries(&world, &reply).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].outcome.as_str(), found[0].insured.as_deref()), (outcome, Some("0000000001")));
    }
    let wrong = json!({ "account": "staff1", "password": "ちがうパスワード" });
    let reply = world.with_certificate(Role::Helper).post("/api/v1/session", wrong).await;
    assert_eq!(only(&world, &reply).await.0, "login");
}

#[tokio::test]
async fn a_document_handed_in_twice_leaves_an_entry_each_time() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let hospital = world.log_in(Role::Hospital).await;
    let path = format!("/api/v1/people/{handle}/opinions");
    let opinion = crate::view::opinion(&world);
    assert_eq!(hospital.post(&path, opinion.clone()).await.status, StatusCode::CREATED);
    let again = hospital.post(&path, opinion).await;
    assert_eq!(again.refusal(), (409, "conflict".to_owned()));
    assert_eq!(only(&world, &again).await, refused("submit_opinion", "conflict"));
}

#[tokio::test]
async fn a_refusal_that_cannot_be_recorded_does_not_leave() {
    let world = World::new().await;
    let helper = world.log_in(Role::Helper).await;
    assert_eq!(helper.get("/nowhere").await.refusal().0, 404);
    // Somebody stops the log from taking entries.
    let address = format!("sqlite:{}", world.dir.path().join("kiban.db").display());
    let mut connection = SqliteConnection::connect(&address).await.unwrap();
    let stop = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(stop).execute(&mut connection).await.unwrap();
    let reply = helper.get("/nowhere").await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    assert!(!reply.text().contains("行っていません"));
}
