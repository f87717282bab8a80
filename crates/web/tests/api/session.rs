//! Log-in, and what ends it: wrong passwords, another certificate, revocation, a staff member who left.

use crate::world::{COLLEAGUE, PASSWORD, Person, Role, World, account, certificate};
use axum::http::StatusCode;
use serde_json::json;

fn log_in(account: &str, password: &str) -> serde_json::Value {
    json!({ "account": account, "password": password })
}

#[tokio::test]
async fn a_wrong_account_and_a_wrong_password_are_one_answer() {
    let world = World::new().await;
    let terminal = world.with_certificate(Role::Planner);
    let wrong = terminal.post("/api/v1/session", log_in("staff1", "ちがうパスワード")).await;
    let nobody = terminal.post("/api/v1/session", log_in("nobody", "ちがうパスワード")).await;
    assert_eq!(wrong.refusal(), (401, "wrong_password".to_owned()));
    assert_eq!(wrong.comparable(), nobody.comparable());
    // Nor does the lock tell which of the two accounts there is.
    let last = async |account: &str| {
        for _ in 0..5 {
            terminal.post("/api/v1/session", log_in(account, "ちがうパスワード")).await;
        }
        terminal.post("/api/v1/session", log_in(account, "ちがうパスワード")).await.comparable()
    };
    assert_eq!(last("staff1").await, last("nobody").await);
}

#[tokio::test]
async fn wrong_passwords_close_one_terminal_for_growing_whiles_and_no_other() {
    let world = World::new().await;
    let terminal = world.with_certificate(Role::Planner);
    let mut second = terminal.clone();
    let fingerprint = "b".repeat(64);
    world
        .change(async |tx| tx.put_certificate(&certificate(Role::Planner, &fingerprint, world.now())).await.unwrap())
        .await;
    second.fingerprint = Some(fingerprint);
    let right = log_in("staff1", PASSWORD);
    let guess = async || terminal.post("/api/v1/session", log_in("staff1", "ちがうパスワード")).await;
    let locked = (401, "locked".to_owned());
    let detail = guess().await.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("あと4回で、この端末では1分間 使えなくなります"), "{detail}");
    for _ in 0..3 {
        guess().await;
    }
    let detail = guess().await.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("これから1分間 使えません"), "{detail}");
    for minutes in [1, 2, 4, 8, 15, 15] {
        let reply = terminal.post("/api/v1/session", right.clone()).await;
        assert_eq!(reply.refusal(), locked);
        assert_eq!(reply.headers["retry-after"], (60 * minutes).to_string().as_str());
        // The same person at another terminal of the office.
        assert_eq!(second.post("/api/v1/session", right.clone()).await.status, StatusCode::OK);
        world.pass(60 * minutes - 1).await;
        assert_eq!(terminal.post("/api/v1/session", right.clone()).await.refusal(), locked);
        world.pass(1).await;
        assert_eq!(guess().await.refusal(), (401, "wrong_password".to_owned()), "one guess after each wait");
    }
    // The right one after the wait starts anew.
    world.pass(15 * 60).await;
    assert_eq!(terminal.post("/api/v1/session", right.clone()).await.status, StatusCode::OK);
    for _ in 0..4 {
        guess().await;
    }
    assert_eq!(terminal.post("/api/v1/session", right).await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn a_token_lasts_an_hour_or_until_log_out() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    world.pass(59 * 60).await;
    assert_eq!(planner.get("/api/v1/people").await.status, StatusCode::OK);
    world.pass(2 * 60).await;
    assert_eq!(planner.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));

    let helper = world.log_in(Role::Helper).await;
    assert_eq!(helper.delete("/api/v1/session").await.status, StatusCode::NO_CONTENT);
    assert_eq!(helper.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
}

#[tokio::test]
async fn a_log_in_goes_on_for_eight_hours_by_refresh_tokens_and_not_longer() {
    let world = World::new().await;
    let mut planner = world.with_certificate(Role::Planner);
    let mut log_in = world.fresh_log_in(Role::Planner).await;
    let until = log_in["refresh_until"].clone();
    for _ in 0..9 {
        world.pass(50 * 60).await;
        let reply = planner.post("/api/v1/session/refresh", json!({ "refresh_token": log_in["refresh_token"] })).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        log_in = reply.json();
        assert_eq!(log_in["refresh_until"], until, "a refresh does not move the end");
        planner.token = log_in["token"].as_str().map(str::to_owned);
        assert_eq!(planner.get("/api/v1/people").await.status, StatusCode::OK);
        planner.token = None;
    }
    assert_eq!(log_in["expires_at"], until, "the last access token ends with the log-in");
    world.pass(30 * 60).await;
    let reply = planner.post("/api/v1/session/refresh", json!({ "refresh_token": log_in["refresh_token"] })).await;
    assert_eq!(reply.refusal(), (401, "login_required".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_refreshed_program_stays_a_program_and_a_person_a_person() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let consents = format!("/api/v1/people/{handle}/consents");
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    for (role, expected) in [(Role::Vendor, 403), (Role::Planner, 200)] {
        let log_in = world.fresh_log_in(role).await;
        let mut client = world.with_certificate(role);
        let reply = client.post("/api/v1/session/refresh", json!({ "refresh_token": log_in["refresh_token"] })).await;
        client.token = reply.json()["token"].as_str().map(str::to_owned);
        assert_eq!(client.post(&consents, consent.clone()).await.status.as_u16(), expected, "{role:?}");
    }
}

#[tokio::test]
async fn what_ends_a_log_in_ends_its_refresh_token() {
    let world = World::new().await;
    let terminal = world.with_certificate(Role::Planner);
    let refresh = async |log_in: &serde_json::Value| {
        let body = json!({ "refresh_token": log_in["refresh_token"] });
        terminal.post("/api/v1/session/refresh", body).await.refusal()
    };
    let gone = (401, "login_required".to_owned());

    let out = world.fresh_log_in(Role::Planner).await;
    let mut client = terminal.clone();
    client.token = out["token"].as_str().map(str::to_owned);
    assert_eq!(client.delete("/api/v1/session").await.status, StatusCode::NO_CONTENT);
    assert_eq!(refresh(&out).await, gone);

    let log_in = world.fresh_log_in(Role::Planner).await;
    let left = kiban_store::Account { active: false, ..account(Role::Planner) };
    world.change(async |tx| tx.put_account(&left).await.unwrap()).await;
    assert_eq!(refresh(&log_in).await, gone);

    world.change(async |tx| tx.put_account(&account(Role::Planner)).await.unwrap()).await;
    let mut row = certificate(Role::Planner, &Role::Planner.fingerprint(), world.now());
    row.revoked_at = Some(world.now());
    world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
    assert_eq!(refresh(&log_in).await, (401, "certificate_revoked".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn what_is_no_refresh_token_is_one_answer() {
    let world = World::new().await;
    let terminal = world.with_certificate(Role::Planner);
    let log_in = world.fresh_log_in(Role::Planner).await;
    let of_another = world.fresh_log_in(Role::Helper).await;
    let (access, other) = (log_in["token"].as_str().unwrap(), of_another["refresh_token"].as_str().unwrap());
    let mut replies = Vec::new();
    for text in ["", "あ", access, other, &"0".repeat(96), &"Z".repeat(96), &"a".repeat(5_000)] {
        replies.push(terminal.post("/api/v1/session/refresh", json!({ "refresh_token": text })).await);
    }
    assert_eq!(replies[0].refusal(), (401, "login_required".to_owned()));
    assert!(replies.iter().all(|reply| reply.comparable() == replies[0].comparable()));
    let kept = terminal.post("/api/v1/session/refresh", json!({ "refresh_token": log_in["refresh_token"] })).await;
    assert_eq!(kept.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_bound_to_the_certificate_it_was_made_over() {
    let world = World::new().await;
    // Another office's certificate: the token is not known there at all.
    let mut thief = world.log_in(Role::Planner).await;
    thief.fingerprint = Some(Role::Stranger.fingerprint());
    assert_eq!(thief.get("/api/v1/people").await.refusal().0, 401);
    // Another terminal of the same office: known, not bound, recorded.
    let second = "b".repeat(64);
    world.change(async |tx| tx.put_certificate(&certificate(Role::Planner, &second, world.now())).await.unwrap()).await;
    thief.fingerprint = Some(second);
    assert_eq!(thief.get("/api/v1/people").await.refusal(), (401, "binding".to_owned()));
    assert!(world.recorded("session.binding").await);
    world.verify().await;
}

impl World {
    /// Whether an act of the planner's office is in the log.
    async fn recorded(&self, action: &str) -> bool {
        self.recorded_of(Role::Planner, action).await
    }

    pub async fn recorded_of(&self, role: Role, action: &str) -> bool {
        let log = self.platform.store().audit();
        log.of_organization(&role.organization().to_string(), 100, None)
            .await
            .unwrap()
            .iter()
            .any(|entry| entry.action == action)
    }
}

#[tokio::test]
async fn a_revoked_certificate_ends_the_next_request_of_an_open_connection() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    assert_eq!(planner.get("/api/v1/people").await.status, StatusCode::OK);
    let mut row = certificate(Role::Planner, &Role::Planner.fingerprint(), world.now());
    row.revoked_at = Some(world.now());
    world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
    assert_eq!(planner.get("/api/v1/people").await.refusal(), (401, "certificate_revoked".to_owned()));
    assert_eq!(planner.get("/").await.refusal(), (401, "certificate_revoked".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_certificate_past_its_end_or_never_bound_is_refused() {
    let world = World::new().await;
    let mut terminal = world.with_certificate(Role::Planner);
    terminal.fingerprint = Some("c".repeat(64));
    let reply = terminal.post("/api/v1/session", log_in("staff1", PASSWORD)).await;
    assert_eq!(reply.refusal(), (401, "certificate_unknown".to_owned()));
    world.pass(301 * 24 * 3600).await;
    let reply = world.with_certificate(Role::Planner).post("/api/v1/session", log_in("staff1", PASSWORD)).await;
    assert_eq!(reply.refusal(), (401, "certificate_expired".to_owned()));
}

#[tokio::test]
async fn a_staff_member_who_left_is_out_at_the_next_request() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let left = kiban_store::Account { active: false, ..account(Role::Planner) };
    world.change(async |tx| tx.put_account(&left).await.unwrap()).await;
    assert_eq!(planner.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    assert!(world.recorded("standing.staff_left").await);
}

#[tokio::test]
async fn an_administrator_or_the_operator_disables_one_account_and_its_sessions_never_come_back() {
    let world = World::new().await;
    let (admin, colleague) = (world.log_in(Role::Helper).await, world.log_in_colleague(Role::Helper).await);
    let of = |role: Role, name: &str| format!("/api/v1/organizations/{}/accounts/{name}", role.organization());
    let (path, off, on) = (of(Role::Helper, COLLEAGUE), json!({ "active": false }), json!({ "active": true }));
    let work = async || colleague.get("/api/v1/people").await.status;
    assert_eq!(work().await, StatusCode::OK);

    // Not by somebody else's administrator, not by a colleague, not oneself, and an account that is not there is unknown.
    assert_eq!(world.log_in(Role::Planner).await.put(&path, off.clone()).await.refusal(), (404, "unknown".to_owned()));
    let refused = colleague.put(&of(Role::Helper, Role::Helper.account()), off.clone()).await;
    assert_eq!(refused.refusal(), (403, "not_administrator".to_owned()));
    let own = admin.put(&of(Role::Helper, Role::Helper.account()), off.clone()).await;
    assert_eq!(own.refusal(), (422, "invalid".to_owned()));
    assert_eq!(admin.put(&of(Role::Helper, "nobody"), off.clone()).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(work().await, StatusCode::OK);

    assert_eq!(admin.put(&path, off.clone()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(work().await, StatusCode::UNAUTHORIZED);
    let login = json!({ "account": COLLEAGUE, "password": PASSWORD });
    let with_certificate = world.with_certificate(Role::Helper);
    assert_eq!(with_certificate.post("/api/v1/session", login.clone()).await.status, StatusCode::UNAUTHORIZED);
    // The operator stops anybody, but whom an office employs again is the office's own affair (S-012).
    let operator = world.log_in(Role::Operator).await;
    assert_eq!(operator.put(&path, off).await.status, StatusCode::NO_CONTENT);
    assert_eq!(operator.put(&path, on.clone()).await.refusal(), (409, "conflict".to_owned()));
    // Enabled again, the account needs a log-in of its own.
    assert_eq!(admin.put(&path, on).await.status, StatusCode::NO_CONTENT);
    assert_eq!(work().await, StatusCode::UNAUTHORIZED);
    assert_eq!(with_certificate.post("/api/v1/session", login).await.status, StatusCode::OK);
    assert!(world.recorded_of(Role::Helper, "account.disable").await);
    assert!(world.recorded_of(Role::Operator, "account.disable").await);
    assert!(world.recorded_of(Role::Helper, "account.enable").await);
    world.verify().await;
}

#[tokio::test]
async fn a_standing_map_nobody_could_refresh_lets_nobody_in() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    world.stop_refreshing(61);
    let reply = planner.get("/api/v1/people").await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(reply.headers["retry-after"], "5");
    assert_eq!(world.outside("/health").await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.refresh().await;
    assert_eq!(world.outside("/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_server_whose_clock_is_wrong_says_so_and_from_half_a_minute_on_serves_nothing() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let right = || jiff::Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);

    world.platform.compare_clocks(right() + jiff::SignedDuration::from_secs(10)).await.unwrap();
    let health = world.outside("/health").await;
    assert_eq!((health.status, &health.json()["clock"]), (StatusCode::OK, &json!("drifting")));
    assert_eq!(planner.get("/api/v1/people").await.status, StatusCode::OK);

    for wrong in [right() + hour, right() - hour] {
        world.platform.compare_clocks(wrong).await.unwrap();
        assert_eq!(planner.get("/api/v1/people").await.refusal(), (503, "unavailable".to_owned()));
        for page in ["/health", "/start-dates", "/"] {
            assert_eq!(world.outside(page).await.status, StatusCode::SERVICE_UNAVAILABLE, "{page}");
        }
    }

    world.platform.compare_clocks(right()).await.unwrap();
    assert_eq!(planner.get("/api/v1/people").await.status, StatusCode::OK);
    assert_eq!(world.outside("/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_vendors_program_reads_what_its_staff_may_and_does_nothing_that_needs_the_person() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let vendor = world.log_in(Role::Vendor).await;
    assert_eq!(vendor.get(&format!("/api/v1/people/{handle}/records/A3a")).await.status, StatusCode::OK);
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    let reply = vendor.post(&format!("/api/v1/people/{handle}/consents"), consent).await;
    assert_eq!(reply.refusal(), (403, "not_this_way".to_owned()));
    assert_eq!(reply.json()["requirement"], json!("P-165"));
    let reply = vendor.post("/api/v1/people", Person::Hanako.card()).await;
    assert_eq!(reply.refusal(), (403, "not_this_way".to_owned()));
    let reply = vendor.get(&format!("/api/v1/people/{handle}/records/CP1")).await;
    assert_eq!(reply.refusal(), (403, "not_this_way".to_owned()));
    let page = vendor.get(&format!("/api/v1/people/{handle}")).await.json();
    assert!(page["kinds"].as_array().unwrap().iter().all(|kind| kind["kind"] != "CP1" && kind["kind"] != "F1"));
}

#[tokio::test]
async fn an_unattended_program_of_the_city_opens_nobody_and_confirms_nothing() {
    let world = World::new().await;
    let handle = world.find(Person::Hidden).await;
    let program = world.log_in(Role::CityProgram).await;
    let not_this_way = (403, "not_this_way".to_owned());
    assert_eq!(program.get(&format!("/api/v1/people/{handle}")).await.refusal(), not_this_way);
    assert_eq!(program.get(&format!("/api/v1/people/{handle}/why")).await.refusal(), not_this_way);
    let office = Role::Planner.organization();
    let confirm = format!("/api/v1/people/{handle}/offices/{office}");
    assert_eq!(program.put(&confirm, json!({ "decision": "confirm" })).await.refusal(), not_this_way);
    let number = json!({ "insured_number": Person::Hidden.key().insured });
    assert_eq!(program.post("/api/v1/people/find", number).await.refusal(), not_this_way);
    assert_eq!(program.get("/api/v1/inbox").await.status, StatusCode::OK);
}
