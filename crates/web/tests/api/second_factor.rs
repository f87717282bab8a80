//! 第二要素: set up, asked for, used once, lost (P-183, P-184).

use crate::world::{COLLEAGUE, Client, PASSWORD, Reply, Role, World};
use axum::http::{Method, StatusCode};
use kiban_service::{Config, FactorPolicy};
use ring::hmac;
use serde_json::{Value, json};

/// What an authenticator app shows for a secret at a second, by RFC 6238 alone.
pub fn app_code(secret: &str, second: i64) -> String {
    let sign = |c: char| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap();
    let bits: Vec<u8> = secret.chars().flat_map(|c| (0..5).rev().map(move |bit| (sign(c) >> bit & 1) as u8)).collect();
    let bytes: Vec<u8> = bits.chunks_exact(8).map(|eight| eight.iter().fold(0, |all, bit| all << 1 | bit)).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = hmac::sign(&key, &(second / 30).to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let four = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap());
    format!("{:06}", (four & 0x7fff_ffff) % 1_000_000)
}

async fn log_in(client: &Client<'_>, account: &str) -> Reply {
    client.post("/api/v1/session", json!({ "account": account, "password": PASSWORD })).await
}

/// Sets up the app of the helper's colleague; its secret and the recovery codes.
async fn set_up(world: &World) -> (String, Vec<String>) {
    let worker = world.log_in_colleague(Role::Helper).await;
    let offer = worker.send(Method::POST, "/api/v1/account/factor/offer", "", "".into()).await.json();
    let secret = offer["secret"].as_str().unwrap().to_owned();
    let code = app_code(&secret, world.now().as_second());
    let reply = worker.put("/api/v1/account/factor", json!({ "password": PASSWORD, "code": code })).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let codes = reply.json()["recovery_codes"].clone();
    (secret, serde_json::from_value(codes).unwrap())
}

fn waiting<'a>(terminal: &Client<'a>, reply: &Reply) -> Client<'a> {
    assert_eq!(reply.refusal(), (401, "second_factor_required".to_owned()), "{}", reply.text());
    Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal.clone() }
}

async fn answer(client: &Client<'_>, code: &str) -> Reply {
    client.post("/api/v1/session/factor", json!({ "code": code })).await
}

#[tokio::test]
async fn a_password_alone_opens_nothing_once_an_app_is_set_up_and_each_code_is_good_once() {
    let world = World::new().await;
    let (secret, _) = set_up(&world).await;
    let terminal = world.with_certificate(Role::Helper);
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    let required = (401, "second_factor_required".to_owned());
    for path in ["/api/v1/people", "/api/v1/account/factor", "/api/v1/notices"] {
        assert_eq!(half.get(path).await.refusal(), required, "{path}");
    }
    let change = json!({ "old_password": PASSWORD, "new_password": "aoi-sora-to-neko-7" });
    assert_eq!(half.put("/api/v1/account/password", change).await.refusal(), required);
    // The code that set it up is used, and so is nothing newer.
    let used = app_code(&secret, world.now().as_second());
    assert_eq!(answer(&half, &used).await.refusal(), (401, "wrong_code".to_owned()));
    world.pass(30).await;
    let code = app_code(&secret, world.now().as_second());
    let reply = answer(&half, &code).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let token = reply.json()["token"].as_str().map(str::to_owned);
    assert_ne!(token, half.token, "another log-in than the one that waited");
    let full = Client { token, ..terminal.clone() };
    assert_eq!(full.get("/api/v1/people").await.status, StatusCode::OK);
    assert_eq!(half.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    assert_eq!(answer(&full, &code).await.refusal(), (409, "conflict".to_owned()));
    // The same code does not open a second log-in.
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    assert_eq!(answer(&half, &code).await.refusal(), (401, "wrong_code".to_owned()));
    // A telephone half a minute slow is taken, one of a whole minute is not.
    world.pass(60).await;
    assert_eq!(answer(&half, &app_code(&secret, world.now().as_second() - 60)).await.refusal().1, "wrong_code");
    assert_eq!(answer(&half, &app_code(&secret, world.now().as_second() - 30)).await.status, StatusCode::OK);
    // What waits ends after ten minutes, and no refresh token makes it last.
    let reply = log_in(&terminal, COLLEAGUE).await;
    let half = waiting(&terminal, &reply);
    world.pass(10 * 60).await;
    let code = app_code(&secret, world.now().as_second());
    assert_eq!(answer(&half, &code).await.refusal(), (401, "login_required".to_owned()));
    // A program goes on by certificate and password.
    let program = json!({ "account": COLLEAGUE, "password": PASSWORD, "software": "みほんソフト 1.0" });
    assert_eq!(terminal.post("/api/v1/token", program).await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn guessing_codes_makes_the_terminal_wait_whatever_is_done_with_the_password_meanwhile() {
    let world = World::new().await;
    let (secret, _) = set_up(&world).await;
    let terminal = world.with_certificate(Role::Helper);
    world.pass(60).await;
    let mut codes = vec![];
    for _ in 0..5 {
        let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
        codes.push(answer(&half, "000000").await.refusal().1);
    }
    assert_eq!(codes, ["wrong_code"; 5]);
    assert_eq!(log_in(&terminal, COLLEAGUE).await.refusal(), (401, "locked".to_owned()));
    world.pass(60).await;
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    assert_eq!(answer(&half, &app_code(&secret, world.now().as_second())).await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn a_recovery_code_opens_once_and_an_administrator_takes_a_lost_factor_away() {
    let world = World::new().await;
    let (_, codes) = set_up(&world).await;
    assert_eq!(codes.len(), 10);
    let terminal = world.with_certificate(Role::Helper);
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    // However it is typed.
    let reply = answer(&half, &codes[3].to_lowercase().replace('-', " ")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let full = Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal.clone() };
    let state = full.get("/api/v1/account/factor").await.json();
    assert_eq!(state, json!({ "totp": true, "recovery_codes_left": 9, "required": false }));
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    assert_eq!(answer(&half, &codes[3]).await.refusal(), (401, "wrong_code".to_owned()));
    // A password of eight signs stands beside the factor, and must grow before the factor goes.
    let change = json!({ "old_password": PASSWORD, "new_password": "aoi-neko" });
    let reply = full.put("/api/v1/account/password", change).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let full = Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal.clone() };
    let away = full.post("/api/v1/account/factor/remove", json!({ "password": "aoi-neko" })).await;
    assert_eq!((away.status.as_u16(), &away.json()["items"][0]["item"]), (422, &json!("password")));
    // Lost with all codes: the administrator gives an initial password, and the factor goes with it only when it is said.
    let admin = world.log_in(Role::Helper).await;
    let reset = format!("/api/v1/organizations/{}/accounts/{COLLEAGUE}/reset", Role::Helper.organization());
    for (query, expected) in [("", 401), ("?second_factor=true", 200)] {
        let reply = admin.send(Method::POST, &format!("{reset}{query}"), "", "".into()).await;
        let initial = reply.json()["initial_password"].clone();
        let reply = terminal.post("/api/v1/session", json!({ "account": COLLEAGUE, "password": initial })).await;
        assert_eq!(reply.status.as_u16(), expected, "{}", reply.text());
    }
    world.verify().await;
}

#[tokio::test]
async fn where_a_second_factor_is_asked_of_administrators_they_set_it_up_before_anything_else() {
    let config = Config { second_factor: FactorPolicy::Administrators, ..Config::default() };
    let world = World::of(config, |_| {}).await;
    let terminal = world.with_certificate(Role::Helper);
    // Others go on as before.
    let token = log_in(&terminal, COLLEAGUE).await.json()["token"].as_str().map(str::to_owned);
    assert_eq!(Client { token, ..terminal.clone() }.get("/api/v1/people").await.status, StatusCode::OK);
    let token = log_in(&terminal, Role::Helper.account()).await.json()["token"].as_str().map(str::to_owned);
    let admin = Client { token, ..terminal };
    let required = (401, "second_factor_setup_required".to_owned());
    assert_eq!(admin.get("/api/v1/people").await.refusal(), required);
    assert_eq!(admin.post("/api/v1/account/factor/remove", json!({ "password": PASSWORD })).await.refusal(), required);
    assert_eq!(admin.get("/api/v1/account/factor").await.json()["required"], json!(true));
    let offer = admin.send(Method::POST, "/api/v1/account/factor/offer", "", "".into()).await.json();
    let again = admin.send(Method::POST, "/api/v1/account/factor/offer", "", "".into()).await.json();
    assert_eq!(offer, again, "the same log-in is offered the same secret");
    let secret = offer["secret"].as_str().unwrap();
    assert!(offer["uri"].as_str().unwrap().starts_with("otpauth://totp/"), "{offer}");
    let set = async |password: &str, code: &str| {
        admin.put("/api/v1/account/factor", json!({ "password": password, "code": code })).await
    };
    let code = app_code(secret, world.now().as_second());
    let item = |reply: Reply| reply.json()["items"][0]["item"].clone();
    assert_eq!(item(set("chigau-aikotoba-99", &code).await), json!("password"));
    assert_eq!(item(set(PASSWORD, "000000").await), json!("code"));
    assert_eq!(set(PASSWORD, &code).await.status, StatusCode::OK);
    assert_eq!(admin.get("/api/v1/people").await.status, StatusCode::OK);
    assert_ne!(Value::Null, admin.get("/api/v1/account/factor").await.json()["totp"]);
    world.verify().await;
}
