//! The life of an account: invited, first log-in, forgotten password, left (P-012, P-185, S-011); and everybody's own password
//! and log-ins.

use crate::world::{COLLEAGUE, Client, PASSWORD, Reply, Role, World, certificate};
use axum::http::StatusCode;
use kiban_domain::office::JobType;
use kiban_service::Invitation;
use serde_json::{Value, json};

const OWN_WORDS: &str = "aoi-sora-to-neko-7";

fn accounts(role: Role) -> String {
    format!("/api/v1/organizations/{}/accounts", role.organization())
}

fn newcomer() -> Value {
    json!({ "account": "newcomer", "name": "見本 新子", "job": "care_worker" })
}

/// Logs in over the certificate of a role.
async fn log_in<'a>(world: &'a World, role: Role, account: &str, password: &str) -> (Reply, Client<'a>) {
    let mut client = world.with_certificate(role);
    let reply = client.post("/api/v1/session", json!({ "account": account, "password": password })).await;
    client.token = reply.json()["token"].as_str().map(str::to_owned);
    (reply, client)
}

async fn invite(world: &World, role: Role) -> String {
    let reply = world.log_in(role).await.post(&accounts(role), newcomer()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    reply.json()["initial_password"].as_str().unwrap().to_owned()
}

async fn line_of(world: &World, role: Role, account: &str) -> Value {
    let list = world.log_in(role).await.get(&accounts(role)).await.json();
    let lines = list["accounts"].as_array().unwrap();
    lines.iter().find(|line| line["account"] == account).cloned().unwrap_or_default()
}

async fn state_of(world: &World, role: Role, account: &str) -> String {
    line_of(world, role, account).await["state"].as_str().unwrap_or("none").to_owned()
}

#[tokio::test]
async fn an_office_goes_from_its_administrator_to_its_staff_and_an_initial_password_opens_nothing_but_its_change() {
    let world = World::new().await;
    let invitation = Invitation {
        account: "chief".to_owned(),
        name: "見本 長子".to_owned(),
        job: JobType::Clerk,
        care_manager: None,
        administrator: true,
    };
    let office = Role::Stranger.organization();
    let initial = world.platform.invite_locally(office, invitation, &world.context()).await.unwrap();
    let (reply, mut chief) = log_in(&world, Role::Stranger, "chief", &initial.initial_password).await;
    assert_eq!((reply.status, &reply.json()["password_change_required"]), (StatusCode::OK, &json!(true)));
    // Nothing is open, not even the list of accounts or an end of somebody's log-in.
    let required = (401, "password_change_required".to_owned());
    for path in ["/api/v1/people", &accounts(Role::Stranger), &format!("{}/chief/sessions", accounts(Role::Stranger))] {
        assert_eq!(chief.get(path).await.refusal(), required, "{path}");
    }
    assert_eq!(chief.post(&accounts(Role::Stranger), newcomer()).await.refusal(), required);
    let change = |old: &str, new: &str| json!({ "old_password": old, "new_password": new });
    let path = "/api/v1/account/password";
    assert_eq!(chief.put(path, change(&initial.initial_password, &initial.initial_password)).await.refusal().0, 422);
    let reply = chief.put(path, change(&initial.initial_password, OWN_WORDS)).await;
    assert_eq!((reply.status, &reply.json()["password_change_required"]), (StatusCode::OK, &json!(false)));
    // The log-in goes on under another token; the one before is good for nothing.
    assert_eq!(chief.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    chief.token = reply.json()["token"].as_str().map(str::to_owned);
    assert_eq!(chief.get("/api/v1/people").await.status, StatusCode::OK);
    // Now the chief makes the staff.
    let reply = chief.post(&accounts(Role::Stranger), newcomer()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let initial = reply.json()["initial_password"].as_str().unwrap().to_owned();
    let (_, worker) = log_in(&world, Role::Stranger, "newcomer", &initial).await;
    let reply = worker.put(path, change(&initial, "kiiroi-kasa-to-inu-3")).await;
    let worker = Client { token: reply.json()["token"].as_str().map(str::to_owned), ..worker };
    assert_eq!(worker.get("/api/v1/people").await.status, StatusCode::OK);
    assert_eq!(worker.get(&accounts(Role::Stranger)).await.refusal(), (403, "not_administrator".to_owned()));
    let list = chief.get(&accounts(Role::Stranger)).await;
    assert!(!list.text().contains(&initial) && !list.text().contains("argon2"), "{}", list.text());
    assert!(world.did(Role::Stranger, "account.invite").await && world.did(Role::Stranger, "password.change").await);
    world.verify().await;
}

impl World {
    async fn did(&self, role: Role, action: &str) -> bool {
        let log = self.platform.store().audit();
        let entries = log.of_organization(&role.organization().to_string(), 100, None).await.unwrap();
        entries.iter().any(|entry| entry.action == action && entry.outcome == "done")
    }
}

#[tokio::test]
async fn an_initial_password_ends_after_a_week_is_no_programs_and_can_be_given_anew() {
    let world = World::new().await;
    let initial = invite(&world, Role::Helper).await;
    let program = json!({ "account": "newcomer", "password": initial, "software": "みほんソフト 1.0" });
    let reply = world.with_certificate(Role::Helper).post("/api/v1/token", program).await;
    assert_eq!(reply.refusal(), (401, "password_change_required".to_owned()));
    world.pass(7 * 24 * 3600).await;
    let (reply, _) = log_in(&world, Role::Helper, "newcomer", &initial).await;
    assert_eq!(reply.refusal(), (401, "initial_password_expired".to_owned()));
    let fresh = world.fresh_token(Role::Helper).await;
    let admin = Client { token: Some(fresh), ..world.with_certificate(Role::Helper) };
    let path = format!("{}/newcomer/reset", accounts(Role::Helper));
    let reply = admin.send(axum::http::Method::POST, &path, "", "".into()).await;
    let again = reply.json()["initial_password"].as_str().unwrap().to_owned();
    assert_ne!(again, initial);
    assert_eq!(log_in(&world, Role::Helper, "newcomer", &initial).await.0.refusal().1, "wrong_password");
    assert_eq!(log_in(&world, Role::Helper, "newcomer", &again).await.0.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn somebody_who_left_is_out_at_once_and_for_good_and_stays_in_the_list() {
    let world = World::new().await;
    let (admin, worker) = (world.log_in(Role::Helper).await, world.log_in_colleague(Role::Helper).await);
    let path = format!("{}/{COLLEAGUE}", accounts(Role::Helper));
    assert_eq!(worker.get("/api/v1/people").await.status, StatusCode::OK);
    assert_eq!(state_of(&world, Role::Helper, COLLEAGUE).await, "active");
    assert_eq!(admin.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(worker.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    let (reply, _) = log_in(&world, Role::Helper, COLLEAGUE, PASSWORD).await;
    assert_eq!(reply.refusal(), (401, "wrong_password".to_owned()));
    let line = line_of(&world, Role::Helper, COLLEAGUE).await;
    assert_eq!((&line["state"], &line["name"]), (&json!("left"), &json!("見本 同僚")));
    // No way back: neither enabled, nor given a password, nor the name again.
    let conflict = (409, "conflict".to_owned());
    assert_eq!(admin.put(&path, json!({ "active": true })).await.refusal(), conflict);
    let reset = admin.send(axum::http::Method::POST, &format!("{path}/reset"), "", "".into()).await;
    assert_eq!(reset.refusal(), conflict);
    let mut again = newcomer();
    again["account"] = json!(COLLEAGUE);
    assert_eq!(admin.post(&accounts(Role::Helper), again).await.refusal(), conflict);
    assert_eq!(admin.delete(&path).await.refusal(), conflict);
    world.verify().await;
}

#[tokio::test]
async fn nobody_cares_for_the_accounts_of_others() {
    let world = World::new().await;
    let (planner, colleague) = (world.log_in(Role::Planner).await, world.log_in_colleague(Role::Planner).await);
    let (operator, vendor) = (world.log_in(Role::Operator).await, world.log_in(Role::Vendor).await);
    let theirs = format!("{}/{COLLEAGUE}", accounts(Role::Helper));
    let unknown = (404, "unknown".to_owned());
    assert_eq!(planner.get(&accounts(Role::Helper)).await.refusal(), unknown);
    assert_eq!(planner.post(&accounts(Role::Helper), newcomer()).await.refusal(), unknown);
    assert_eq!(planner.delete(&theirs).await.refusal(), unknown);
    assert_eq!(planner.get(&format!("{theirs}/sessions")).await.refusal(), unknown);
    assert_eq!(
        colleague.post(&accounts(Role::Planner), newcomer()).await.refusal(),
        (403, "not_administrator".to_owned())
    );
    assert_eq!(vendor.get(&accounts(Role::Planner)).await.refusal(), (403, "not_this_way".to_owned()));
    // Not even one's own: an administrator always stays.
    let own = format!("{}/{}", accounts(Role::Planner), Role::Planner.account());
    assert_eq!(planner.delete(&own).await.refusal(), (422, "invalid".to_owned()));
    // The operator gives other organisations administrators, and nobody else.
    assert_eq!(operator.post(&accounts(Role::Helper), newcomer()).await.refusal(), (422, "invalid".to_owned()));
    let mut chief = newcomer();
    chief["administrator"] = json!(true);
    assert_eq!(operator.post(&accounts(Role::Helper), chief.clone()).await.status, StatusCode::CREATED);
    let reset = async |client: &Client<'_>, path: &str| {
        client.send(axum::http::Method::POST, &format!("{path}/reset"), "", "".into()).await
    };
    // Staff of the operator who are no administrators care for nobody.
    let clerk = world.log_in(Role::SecondOperator).await;
    let (chiefs, no) = (format!("{}/newcomer", accounts(Role::Helper)), (403, "not_administrator".to_owned()));
    let switch = |active: bool| json!({ "active": active });
    chief["account"] = json!("another");
    assert_eq!(clerk.get(&accounts(Role::Helper)).await.refusal(), no);
    assert_eq!(clerk.post(&accounts(Role::Helper), chief).await.refusal(), no);
    assert_eq!(reset(&clerk, &chiefs).await.refusal(), no);
    assert_eq!(clerk.put(&chiefs, switch(false)).await.refusal(), no);
    assert_eq!(clerk.delete(&chiefs).await.refusal(), no);
    // The operator's administrators care for those of others; in an emergency they stop anybody, and no more.
    let conflict = (409, "conflict".to_owned());
    assert_eq!(reset(&operator, &theirs).await.refusal(), conflict);
    assert_eq!(operator.delete(&theirs).await.refusal(), conflict);
    assert_eq!(operator.put(&theirs, switch(false)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(operator.put(&theirs, switch(true)).await.refusal(), conflict);
    assert_eq!(state_of(&world, Role::Helper, COLLEAGUE).await, "stopped");
    assert_eq!(reset(&operator, &chiefs).await.status, StatusCode::OK);
    for active in [false, true] {
        assert_eq!(operator.put(&chiefs, switch(active)).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(operator.delete(&chiefs).await.status, StatusCode::NO_CONTENT);
    // A job the organisation does not have, a care manager without a number, a name that is taken.
    for (item, body) in [
        ("job", json!({ "account": "n1", "name": "見本 新子", "job": "operator_staff" })),
        ("care_manager", json!({ "account": "n1", "name": "見本 新子", "job": "care_manager" })),
        ("account", json!({ "account": "に", "name": "見本 新子", "job": "clerk" })),
        ("name", json!({ "account": "n1", "name": " ", "job": "clerk" })),
    ] {
        let reply = planner.post(&accounts(Role::Planner), body).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["items"][0]["item"]), (422, &json!(item)));
    }
    world.verify().await;
}

#[tokio::test]
async fn of_two_administrators_who_close_each_other_at_the_same_moment_one_stays() {
    let world = World::new().await;
    let second = kiban_service::NewAccount {
        organization: Role::Helper.organization(),
        account: "second".to_owned(),
        name: "見本 次子".to_owned(),
        job: JobType::Clerk,
        care_manager: None,
        administrator: true,
        password: OWN_WORDS.to_owned(),
    };
    world.platform.put_account(second, "test", &world.context()).await.unwrap();
    world.refresh().await;
    let (_, second) = log_in(&world, Role::Helper, "second", OWN_WORDS).await;
    let first = world.log_in(Role::Helper).await;
    let close = |client: &Client<'_>, account: &str| {
        let path = format!("{}/{account}", accounts(Role::Helper));
        let mut request = client.request(axum::http::Method::DELETE, &path).body("".into()).unwrap();
        client.connect(&mut request);
        request
    };
    let replies = world.at_once(vec![close(&first, "second"), close(&second, Role::Helper.account())]).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 401]);
    world.verify().await;
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one_and_ends_every_other_log_in() {
    let world = World::new().await;
    let (here, elsewhere) = (world.log_in_colleague(Role::Helper).await, world.log_in_colleague(Role::Helper).await);
    let path = "/api/v1/account/password";
    let change = |old: &str, new: &str| json!({ "old_password": old, "new_password": new });
    for (item, old, new) in [
        ("old_password", "chigau-aikotoba-99", OWN_WORDS),
        ("new_password", PASSWORD, "mijikai-koto"),
        ("new_password", PASSWORD, PASSWORD),
        ("new_password", PASSWORD, "watashi-colleague-da"),
        ("new_password", PASSWORD, &format!("{}-himitsu", Role::Helper.organization())),
        ("new_password", PASSWORD, "administrator-1"),
    ] {
        let reply = here.put(path, change(old, new)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["items"][0]["item"]), (422, &json!(item)), "{new}");
    }
    assert_eq!(elsewhere.get("/api/v1/people").await.status, StatusCode::OK);
    assert_eq!(here.put(path, change(PASSWORD, OWN_WORDS)).await.status, StatusCode::OK);
    for client in [&here, &elsewhere] {
        assert_eq!(client.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    }
    assert_eq!(log_in(&world, Role::Helper, COLLEAGUE, PASSWORD).await.0.refusal().1, "wrong_password");
    let (reply, changed) = log_in(&world, Role::Helper, COLLEAGUE, OWN_WORDS).await;
    assert_eq!(reply.status, StatusCode::OK);
    // Guessing the old one counts like guessing it at the log-in.
    for _ in 0..5 {
        changed.put(path, change("chigau-aikotoba-99", "kiiroi-kasa-to-inu-3")).await;
    }
    let reply = changed.put(path, change(OWN_WORDS, "kiiroi-kasa-to-inu-3")).await;
    assert_eq!(reply.refusal(), (401, "locked".to_owned()));
    let program = world.log_in(Role::Vendor).await.put(path, change(PASSWORD, OWN_WORDS)).await;
    assert_eq!(program.refusal(), (403, "not_this_way".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn everybody_sees_and_ends_their_own_log_ins_and_an_administrator_those_of_the_staff() {
    let world = World::new().await;
    let own = format!("{}/{COLLEAGUE}/sessions", accounts(Role::Helper));
    assert_eq!(line_of(&world, Role::Helper, COLLEAGUE).await["last_log_in"], Value::Null);
    let first = world.log_in_colleague(Role::Helper).await;
    world.pass(60).await;
    let second = world.log_in_colleague(Role::Helper).await;
    let last = line_of(&world, Role::Helper, COLLEAGUE).await["last_log_in"].clone();
    assert_eq!(last, json!(world.now()));
    let list = second.get(&own).await.json();
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["own"], &sessions[1]["own"]), (2, &json!(true), &json!(false)));
    assert_eq!(sessions[0]["terminal"], json!("受付の端末"));
    let id = |n: usize| sessions[n]["session"].as_str().unwrap().to_owned();
    // Not another's: the id of a colleague's log-in opens nothing under one's own name.
    let admins = format!("{}/{}/sessions", accounts(Role::Helper), Role::Helper.account());
    assert_eq!(second.get(&admins).await.refusal(), (403, "not_administrator".to_owned()));
    let admin = world.log_in(Role::Helper).await;
    assert_eq!(admin.delete(&format!("{admins}/{}", id(1))).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(second.delete(&format!("{own}/{}", id(1))).await.status, StatusCode::NO_CONTENT);
    assert_eq!(first.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    assert_eq!(second.get("/api/v1/people").await.status, StatusCode::OK);
    assert_eq!(admin.delete(&format!("{own}/{}", id(0))).await.status, StatusCode::NO_CONTENT);
    assert_eq!(second.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    assert_eq!(admin.delete(&format!("{own}/{}", id(0))).await.refusal(), (404, "unknown".to_owned()));
    assert!(world.did(Role::Helper, "session.end").await);
    world.verify().await;
}

#[tokio::test]
async fn the_accounts_of_an_organisation_are_gone_through_once_a_year_by_its_own_administrator() {
    let world = World::new().await;
    let review = format!("{}/review", accounts(Role::Helper));
    let due = async |admin: &Client<'_>| admin.get(&accounts(Role::Helper)).await.json()["review_due"].clone();
    let admin = world.log_in(Role::Helper).await;
    assert_eq!(due(&admin).await, json!(true), "never yet");
    for (role, expected) in [(Role::Operator, 409), (Role::Planner, 404)] {
        assert_eq!(world.log_in(role).await.post(&review, json!({})).await.status.as_u16(), expected, "{role:?}");
    }
    assert_eq!(world.log_in_colleague(Role::Helper).await.post(&review, json!({})).await.status, StatusCode::FORBIDDEN);
    assert_eq!(due(&admin).await, json!(true));
    assert_eq!(admin.post(&review, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(due(&admin).await, json!(false));
    let list = admin.get(&accounts(Role::Helper)).await.json();
    assert_eq!(list["reviewed_at"], json!(world.now()));
    for (days, expected) in [(364, false), (2, true)] {
        world.pass(days * 24 * 3600).await;
        // The certificate of before has ended.
        let fingerprint = format!("{days:064x}");
        let row = certificate(Role::Helper, &fingerprint, world.now());
        world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
        let mut admin = world.with_certificate(Role::Helper);
        admin.fingerprint = Some(fingerprint);
        let body = json!({ "account": Role::Helper.account(), "password": PASSWORD });
        let reply = admin.post("/api/v1/session", body).await;
        admin.token = reply.json()["token"].as_str().map(str::to_owned);
        assert_eq!(due(&admin).await, json!(expected), "after {days} days");
    }
    world.verify().await;
}
