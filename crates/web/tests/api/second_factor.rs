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

pub async fn log_in(client: &Client<'_>, account: &str) -> Reply {
    client.post("/api/v1/session", json!({ "account": account, "password": PASSWORD })).await
}

/// Sets up the app of the helper's colleague; its secret and the recovery codes.
pub async fn set_up(world: &World) -> (String, Vec<String>) {
    let worker = world.log_in_colleague(Role::Helper).await;
    let offer = worker.send(Method::POST, "/api/v1/account/factor/offer", "", "".into()).await.json();
    let secret = offer["secret"].as_str().unwrap().to_owned();
    let code = app_code(&secret, world.now().as_second());
    let reply = worker.put("/api/v1/account/factor", json!({ "password": PASSWORD, "code": code })).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let codes = reply.json()["recovery_codes"].clone();
    (secret, serde_json::from_value(codes).unwrap())
}

pub fn waiting<'a>(terminal: &Client<'a>, reply: &Reply) -> Client<'a> {
    assert_eq!(reply.refusal(), (401, "second_factor_required".to_owned()), "{}", reply.text());
    Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal.clone() }
}

pub async fn answer(client: &Client<'_>, code: &str) -> Reply {
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
        // A program is let in by the password, and its log-in forgives no code.
        let program = json!({ "account": COLLEAGUE, "password": PASSWORD, "software": "みほんソフト 1.0" });
        assert_eq!(terminal.post("/api/v1/token", program).await.status, StatusCode::OK);
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
    assert_eq!(
        state,
        json!({ "totp": true, "mail": false, "passkeys": 0, "mail_offered": false, "recovery_codes_left": 9, "required": false })
    );
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    assert_eq!(answer(&half, &codes[3]).await.refusal(), (401, "wrong_code".to_owned()));
    // Beside the factor too the password has thirteen signs: a program logs in with it alone.
    let change = json!({ "old_password": PASSWORD, "new_password": "aoi-neko-sora" });
    let short = json!({ "old_password": PASSWORD, "new_password": "aoi-neko-sor" });
    assert_eq!(full.put("/api/v1/account/password", short).await.refusal(), (422, "invalid".to_owned()));
    assert_eq!(full.put("/api/v1/account/password", change).await.status, StatusCode::OK);
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
async fn many_guesses_at_the_same_moment_are_no_more_than_one_after_the_other() {
    let world = World::new().await;
    let (_, recovery) = set_up(&world).await;
    world.pass(60).await;
    let terminal = world.with_certificate(Role::Helper);
    let count = |replies: &[Reply], code: &str| replies.iter().filter(|reply| reply.refusal().1 == code).count();
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    let guess = |n| half.post_request("/api/v1/session/factor", json!({ "code": format!("wrong-{n}") }));
    let replies = world.at_once((0..32).map(guess).collect()).await;
    assert_eq!((count(&replies, "wrong_code"), count(&replies, "locked")), (5, 27));
    assert_eq!(answer(&half, &recovery[0]).await.refusal(), (401, "locked".to_owned()));
    // The same with passwords, on another terminal.
    let terminal = world.with_certificate(Role::Planner);
    let body = |n| json!({ "account": COLLEAGUE, "password": format!("chigau-aikotoba-{n}") });
    let guess = |n| terminal.post_request("/api/v1/session", body(n));
    let replies = world.at_once((0..12).map(guess).collect()).await;
    assert_eq!((count(&replies, "wrong_password"), count(&replies, "locked")), (5, 7));
    assert_eq!(log_in(&terminal, COLLEAGUE).await.refusal(), (401, "locked".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_factor_is_told_once_and_taken_away_or_replaced_with_a_code_only() {
    let world = World::new().await;
    let worker = world.log_in_colleague(Role::Helper).await;
    let offer = async || worker.send(Method::POST, "/api/v1/account/factor/offer", "", "".into()).await;
    let set =
        async |code: String| worker.put("/api/v1/account/factor", json!({ "password": PASSWORD, "code": code })).await;
    let remove = async |password: &str, code: &str| {
        worker.post("/api/v1/account/factor/remove", json!({ "password": password, "code": code })).await
    };
    let conflict = (409, "conflict".to_owned());
    assert_eq!(remove(PASSWORD, "000000").await.refusal(), conflict, "there is none yet");
    let secret = offer().await.json()["secret"].as_str().unwrap().to_owned();
    let reply = set(app_code(&secret, world.now().as_second())).await;
    let recovery = reply.json()["recovery_codes"][0].as_str().unwrap().to_owned();
    // Whoever sits down at this screen reads no secret, and puts no other in its place.
    assert_eq!(offer().await.refusal(), conflict);
    world.pass(30).await;
    assert_eq!(set(app_code(&secret, world.now().as_second())).await.refusal(), conflict);
    let terminal = world.with_certificate(Role::Helper);
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    let token = answer(&half, &app_code(&secret, world.now().as_second())).await.json()["token"].clone();
    let elsewhere = Client { token: token.as_str().map(str::to_owned), ..terminal.clone() };
    assert_eq!(elsewhere.get("/api/v1/people").await.status, StatusCode::OK);
    let item = |reply: Reply| reply.json()["items"][0]["item"].clone();
    assert_eq!(item(remove("chigau-aikotoba-99", &recovery).await), json!("password"));
    assert_eq!(item(remove(PASSWORD, "000000").await), json!("code"));
    // The code of the other log-in is used.
    assert_eq!(item(remove(PASSWORD, &app_code(&secret, world.now().as_second())).await), json!("code"));
    assert_eq!(remove(PASSWORD, &recovery).await.status, StatusCode::NO_CONTENT);
    assert_eq!(elsewhere.get("/api/v1/people").await.refusal(), (401, "login_required".to_owned()));
    assert_eq!(worker.get("/api/v1/people").await.status, StatusCode::OK);
    // Set up again in the same log-in, it is another one.
    let again = offer().await.json()["secret"].as_str().unwrap().to_owned();
    assert_ne!(again, secret);
    world.pass(30).await;
    assert_eq!(set(app_code(&secret, world.now().as_second())).await.refusal().0, 422);
    assert_eq!(set(app_code(&again, world.now().as_second())).await.status, StatusCode::OK);
    // Guesses at a screen that is open count like those at the log-in, the three before too, whatever the password is changed to.
    assert_eq!(item(remove(PASSWORD, "000000").await), json!("code"));
    let change = json!({ "old_password": PASSWORD, "new_password": "aoi-sora-to-neko-7" });
    let token = worker.put("/api/v1/account/password", change).await.json()["token"].clone();
    let worker = Client { token: token.as_str().map(str::to_owned), ..terminal };
    let guess = json!({ "password": "aoi-sora-to-neko-7", "code": "000000" });
    assert_eq!(item(worker.post("/api/v1/account/factor/remove", guess.clone()).await), json!("code"));
    let reply = worker.post("/api/v1/account/factor/remove", guess).await;
    assert_eq!(reply.refusal(), (401, "locked".to_owned()));
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
    let remove = json!({ "password": PASSWORD, "code": "000000" });
    assert_eq!(admin.post("/api/v1/account/factor/remove", remove).await.refusal(), required);
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
