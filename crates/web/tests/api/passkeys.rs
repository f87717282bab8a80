//! パスキー: made, asked for, used, proven again and taken away, and each rule that refuses one (P-183).

use crate::second_factor::{answer, app_code, log_in, set_up, waiting};
use crate::soft_passkey::{Said, SaidAnswer, Soft};
use crate::world::{COLLEAGUE, Client, HOST, PASSWORD, Reply, Role, World};
use axum::http::{Method, StatusCode};
use kiban_pki::passkey::text_of;
use kiban_service::{Config, FactorPolicy, PasskeySite, passkey_bytes};
use serde_json::{Value, json};

const PASSKEYS: &str = "/api/v1/account/passkeys";

pub fn site() -> PasskeySite {
    PasskeySite::of(&format!("https://{HOST}"))
}

async fn send(client: &Client<'_>, path: &str) -> Reply {
    client.send(Method::POST, path, "", "".into()).await
}

/// The right thing to say to a question.
pub fn said(question: &Value) -> Said {
    assert_eq!((&question["rp_id"], &question["seconds"]), (&json!(HOST), &json!(300)), "{question}");
    Said::right(&site(), &passkey_bytes(question["challenge"].as_str().unwrap()).unwrap())
}

async fn offer(client: &Client<'_>) -> Said {
    let reply = send(client, "/api/v1/account/passkeys/offer").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    said(&reply.json())
}

async fn add(client: &Client<'_>, soft: &Soft, said: &Said, name: &str) -> Reply {
    let made = soft.make(said);
    let body = json!({
        "name": name, "password": PASSWORD,
        "client_data": text_of(&made.client_data), "attestation": text_of(&made.attestation),
    });
    client.post(PASSKEYS, body).await
}

async fn ask(client: &Client<'_>) -> Said {
    let reply = send(client, "/api/v1/session/factor/passkey").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    said(&reply.json())
}

fn body(soft: &Soft, said: &SaidAnswer) -> Value {
    json!({
        "credential": text_of(&soft.credential), "client_data": text_of(&said.client_data),
        "authenticator_data": text_of(&said.authenticator_data), "signature": text_of(&said.signature),
    })
}

async fn use_it(client: &Client<'_>, soft: &Soft, said: &Said) -> Reply {
    client.post("/api/v1/session/factor", json!({ "passkey": body(soft, &soft.answer(said)) })).await
}

async fn prove(client: &Client<'_>, soft: &Soft, said: &Said) -> Reply {
    let passkey = body(soft, &soft.answer(said));
    client.post("/api/v1/session/proof", json!({ "password": PASSWORD, "passkey": passkey })).await
}

/// Gives the helper's colleague a passkey; whoever did it, and the recovery codes.
async fn with_passkey<'a>(world: &'a World, soft: &Soft) -> (Client<'a>, Vec<String>) {
    let worker = world.log_in_colleague(Role::Helper).await;
    let reply = add(&worker, soft, &offer(&worker).await, "事務所のパソコン").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    (worker, serde_json::from_value(reply.json()["recovery_codes"].clone()).unwrap())
}

/// A log-in of the colleague that waits for the second factor.
async fn half<'a>(terminal: &Client<'a>) -> Client<'a> {
    waiting(terminal, &log_in(terminal, COLLEAGUE).await)
}

fn full<'a>(terminal: &Client<'a>, reply: &Reply) -> Client<'a> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal.clone() }
}

/// Status, code and rule of a refusal.
fn refusal(reply: &Reply) -> (u16, String, String) {
    let (status, code) = reply.refusal();
    (status, code, reply.json()["rule"].as_str().unwrap_or_default().to_owned())
}

fn wrong(rule: &str) -> (u16, String, String) {
    (401, "wrong_passkey".to_owned(), format!("passkey_{rule}"))
}

fn item(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reply.text());
    reply.json()["items"][0]["item"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_passkey_is_made_opens_log_ins_proves_again_and_is_taken_away() {
    let world = World::new().await;
    let mut soft = Soft::p256();
    let (worker, codes) = with_passkey(&world, &soft).await;
    assert_eq!(codes.len(), 10, "the first second factor");
    let state = worker.get("/api/v1/account/factor").await.json();
    assert_eq!(
        (&state["passkeys"], &state["totp"], &state["recovery_codes_left"]),
        (&json!(1), &json!(false), &json!(10))
    );
    let terminal = world.with_certificate(Role::Helper);
    let waits = half(&terminal).await;
    assert_eq!(waits.get("/api/v1/people").await.refusal().1, "second_factor_required");
    assert_eq!(send(&waits, "/api/v1/account/passkeys/offer").await.refusal().1, "second_factor_required");
    soft.counter = 1;
    let said = ask(&waits).await;
    let worker = full(&terminal, &use_it(&waits, &soft, &said).await);
    assert_eq!(worker.get("/api/v1/people").await.status, StatusCode::OK);
    let lines = worker.get(PASSKEYS).await.json()["passkeys"].clone();
    let today = world.today().to_string();
    assert_eq!((&lines[0]["name"], &lines[0]["made_on"]), (&json!("事務所のパソコン"), &json!(today)));
    assert_eq!(lines[0]["last_used_on"], json!(today));

    // A second one, on another kind of device; it is asked for neither with other codes nor without having been there.
    world.pass(15 * 60 + 1).await;
    let another = Soft::ed25519();
    let required = (401, "fresh_proof_required".to_owned());
    assert_eq!(send(&worker, "/api/v1/account/passkeys/offer").await.refusal(), required);
    let removal = format!("{PASSKEYS}/{}", lines[0]["passkey"].as_str().unwrap());
    assert_eq!(worker.delete(&removal).await.refusal(), required);
    soft.counter = 2;
    let worker = full(&terminal, &prove(&worker, &soft, &ask(&worker).await).await);
    let reply = add(&worker, &another, &offer(&worker).await, "スマートフォン").await;
    assert_eq!(reply.json()["recovery_codes"], json!([]), "{}", reply.text());
    assert_eq!(item(&add(&worker, &another, &offer(&worker).await, "同じもの").await), "passkey");
    let waits = half(&terminal).await;
    let elsewhere = full(&terminal, &use_it(&waits, &another, &ask(&waits).await).await);

    // Taken away one by one; with the last one a password is enough again.
    assert_eq!(worker.delete(&removal).await.status, StatusCode::NO_CONTENT);
    assert_eq!(elsewhere.get("/api/v1/people").await.refusal().1, "login_required", "every other log-in ended");
    assert_eq!(worker.delete(&removal).await.status, StatusCode::NOT_FOUND);
    let waits = half(&terminal).await;
    soft.counter = 3;
    assert_eq!(refusal(&use_it(&waits, &soft, &ask(&waits).await).await), wrong("unknown"));
    let last = worker.get(PASSKEYS).await.json()["passkeys"][0]["passkey"].as_str().unwrap().to_owned();
    assert_eq!(worker.delete(&format!("{PASSKEYS}/{last}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(log_in(&terminal, COLLEAGUE).await.status, StatusCode::OK);
    let state = worker.get("/api/v1/account/factor").await.json();
    assert_eq!((&state["passkeys"], &state["recovery_codes_left"]), (&json!(0), &json!(0)));
    world.verify().await;
}

/// A way to say something wrong, and the rule that is against it.
type Wrong = (fn(&mut Said), &'static str);

const WRONG: [Wrong; 7] = [
    (|said| said.origin += ":8443", "origin"),
    (|said| said.origin = said.origin.replace("https", "http"), "origin"),
    (|said| said.rp_id = "example.jp".to_owned(), "host"),
    (|said| said.challenge = vec![1; 32], "challenge"),
    (|said| said.flags = 4, "not_present"),
    (|said| said.flags = 1, "not_verified"),
    (|said| said.purpose = "webauthn.other", "purpose"),
];

#[tokio::test]
async fn each_rule_refuses_a_log_in_on_its_own_and_no_answer_is_good_twice() {
    let world = World::new().await;
    let soft = Soft::p256();
    let (_, codes) = with_passkey(&world, &soft).await;
    let terminal = world.with_certificate(Role::Helper);
    let mut places = codes.iter();
    for (change, rule) in WRONG {
        let waits = half(&terminal).await;
        let mut said = ask(&waits).await;
        let right = said.clone();
        change(&mut said);
        assert_eq!(refusal(&use_it(&waits, &soft, &said).await), wrong(rule));
        // Whatever was answered, the question is used up.
        assert_eq!(refusal(&use_it(&waits, &soft, &right).await), wrong("challenge"), "{rule}");
        assert_eq!(refusal(&use_it(&waits, &Soft::p256(), &ask(&waits).await).await), wrong("unknown"));
        // A recovery code is good beside it, and begins the count of wrong ones anew.
        assert_eq!(answer(&waits, places.next().unwrap()).await.status, StatusCode::OK);
    }
    // Good for this log-in only, for five minutes, and once.
    let (waits, another) = (half(&terminal).await, half(&terminal).await);
    let question = ask(&waits).await;
    let _ = ask(&another).await;
    assert_eq!(refusal(&use_it(&another, &soft, &question).await), wrong("challenge"));
    world.pass(5 * 60 - 1).await;
    let reply = use_it(&waits, &soft, &question).await;
    let worker = full(&terminal, &reply);
    let waits = half(&terminal).await;
    let question = ask(&waits).await;
    world.pass(5 * 60).await;
    assert_eq!(refusal(&use_it(&waits, &soft, &question).await), wrong("challenge"));
    // The question before is none any more.
    let question = ask(&waits).await;
    let next = ask(&waits).await;
    assert_ne!(question.challenge, next.challenge);
    assert_eq!(refusal(&use_it(&waits, &soft, &question).await), wrong("challenge"));
    // What was asked to prove oneself makes no passkey, and what was asked to make one proves nothing.
    let (to_prove, to_make) = (ask(&worker).await, offer(&worker).await);
    assert_eq!(item(&add(&worker, &Soft::p256(), &to_prove, "見本").await), "passkey");
    assert_eq!(refusal(&prove(&worker, &soft, &to_make).await), wrong("challenge"));
    assert_eq!(prove(&worker, &soft, &ask(&worker).await).await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn the_passkey_of_somebody_else_opens_nothing() {
    let world = World::new().await;
    let (own, other) = (Soft::p256(), Soft::p256());
    with_passkey(&world, &own).await;
    let admin = world.log_in(Role::Helper).await;
    assert_eq!(add(&admin, &other, &offer(&admin).await, "管理者の鍵").await.status, StatusCode::OK);
    let terminal = world.with_certificate(Role::Helper);
    let waits = half(&terminal).await;
    assert_eq!(refusal(&use_it(&waits, &other, &ask(&waits).await).await), wrong("unknown"));
    // Under the name of one's own credential the signature is that of another key.
    let said = other.answer(&ask(&waits).await);
    let stolen = json!({ "passkey": body(&own, &said) });
    assert_eq!(refusal(&waits.post("/api/v1/session/factor", stolen).await), wrong("signature"));
    // An authenticator that says it is somebody else's.
    let mut passkey = body(&own, &own.answer(&ask(&waits).await));
    passkey["user_handle"] = json!(text_of(&[1; 32]));
    let reply = waits.post("/api/v1/session/factor", json!({ "passkey": passkey })).await;
    assert_eq!(refusal(&reply), wrong("unknown"));
    assert_eq!(use_it(&waits, &own, &ask(&waits).await).await.status, StatusCode::OK);
    // Nobody's passkey is listed or taken away by others, administrators neither.
    let line = &world.log_in_colleague(Role::Planner).await.get(PASSKEYS).await.json()["passkeys"];
    assert_eq!(*line, json!([]));
    world.verify().await;
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_told_to_the_administrator() {
    let world = World::new().await;
    let mut soft = Soft::ed25519();
    soft.counter = 7;
    with_passkey(&world, &soft).await;
    let terminal = world.with_certificate(Role::Helper);
    let told = async || {
        let notices = world.log_in(Role::Helper).await.get("/api/v1/notices").await.json()["notices"].clone();
        notices.as_array().unwrap().iter().filter(|notice| notice["kind"] == "passkey_copied").count()
    };
    for counter in [7, 6, 0] {
        let waits = half(&terminal).await;
        soft.counter = counter;
        assert_eq!(refusal(&use_it(&waits, &soft, &ask(&waits).await).await), wrong("counter"));
        assert_eq!(told().await, 1, "once a day");
    }
    assert!(world.recorded_of(Role::Helper, "login").await);
    soft.counter = 8;
    let waits = half(&terminal).await;
    let worker = full(&terminal, &use_it(&waits, &soft, &ask(&waits).await).await);
    // To the administrator, and to nobody else.
    assert_eq!(worker.get("/api/v1/notices").await.json()["notices"], json!([]));
    world.verify().await;
}

#[tokio::test]
async fn wrong_answers_count_like_wrong_codes_and_a_lost_passkey_goes_with_the_initial_password() {
    let world = World::new().await;
    let soft = Soft::p256();
    with_passkey(&world, &soft).await;
    let terminal = world.with_certificate(Role::Helper);
    let waits = half(&terminal).await;
    for left in (0..5).rev() {
        let reply = use_it(&waits, &Soft::p256(), &ask(&waits).await).await;
        assert_eq!(refusal(&reply), wrong("unknown"));
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(left == 0 || detail.contains(&format!("あと{left}回")), "{detail}");
    }
    assert_eq!(use_it(&waits, &soft, &ask(&waits).await).await.refusal().1, "locked");
    let admin = world.log_in(Role::Helper).await;
    let reset = format!("/api/v1/organizations/{}/accounts/{COLLEAGUE}/reset", Role::Helper.organization());
    for (query, expected) in [("", 401), ("?second_factor=true", 200)] {
        let reply = admin.send(Method::POST, &format!("{reset}{query}"), "", "".into()).await;
        let initial = reply.json()["initial_password"].clone();
        let reply = terminal.post("/api/v1/session", json!({ "account": COLLEAGUE, "password": initial })).await;
        assert_eq!(reply.status.as_u16(), expected, "{}", reply.text());
    }
    // A program logs in as before.
    world.verify().await;
}

#[tokio::test]
async fn beside_an_app_each_opens_and_the_codes_stay_until_the_last_one_goes() {
    let world = World::new().await;
    let (secret, codes) = set_up(&world).await;
    let terminal = world.with_certificate(Role::Helper);
    let waits = half(&terminal).await;
    // None is asked of who has none.
    assert_eq!(send(&waits, "/api/v1/session/factor/passkey").await.refusal(), (409, "conflict".to_owned()));
    world.pass(30).await;
    let worker = full(&terminal, &answer(&waits, &app_code(&secret, world.now().as_second())).await);
    let soft = Soft::p256();
    let reply = add(&worker, &soft, &offer(&worker).await, "見本").await;
    assert_eq!(reply.json()["recovery_codes"], json!([]), "{}", reply.text());
    for way in ["code", "passkey"] {
        world.pass(30).await;
        let waits = half(&terminal).await;
        let both = json!({ "code": "000000", "passkey": body(&soft, &soft.answer(&ask(&waits).await)) });
        assert_eq!(waits.post("/api/v1/session/factor", both).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        let reply = match way {
            "code" => answer(&waits, &app_code(&secret, world.now().as_second())).await,
            _ => use_it(&waits, &soft, &ask(&waits).await).await,
        };
        assert_eq!(reply.status, StatusCode::OK, "{way}: {}", reply.text());
    }
    // The app was lost: the passkey takes it away, and the recovery codes stay good beside the passkey.
    let waits = half(&terminal).await;
    let worker = full(&terminal, &use_it(&waits, &soft, &ask(&waits).await).await);
    let passkey = body(&soft, &soft.answer(&ask(&worker).await));
    let away = json!({ "password": PASSWORD, "passkey": passkey });
    assert_eq!(worker.post("/api/v1/account/factor/remove", away).await.status, StatusCode::NO_CONTENT);
    let state = worker.get("/api/v1/account/factor").await.json();
    assert_eq!((&state["totp"], &state["recovery_codes_left"]), (&json!(false), &json!(10)));
    let waits = half(&terminal).await;
    assert_eq!(answer(&waits, &app_code(&secret, world.now().as_second())).await.refusal().1, "wrong_code");
    assert_eq!(answer(&waits, &codes[0]).await.status, StatusCode::OK);
    // A program has its certificate, and no passkey.
    let program = json!({ "account": COLLEAGUE, "password": PASSWORD, "software": "みほんソフト 1.0" });
    let token = terminal.post("/api/v1/token", program).await.json()["token"].as_str().map(str::to_owned);
    let program = Client { token, ..terminal.clone() };
    assert_eq!(program.get(PASSKEYS).await.refusal(), (403, "not_this_way".to_owned()));
    assert_eq!(send(&program, "/api/v1/session/factor/passkey").await.status, StatusCode::NOT_FOUND);
    world.verify().await;
}

#[tokio::test]
async fn where_a_second_factor_is_asked_of_everybody_a_passkey_is_one() {
    let world = World::of(Config { second_factor: FactorPolicy::Everybody, ..Config::default() }, |_| {}).await;
    let terminal = world.with_certificate(Role::Helper);
    let worker = full(&terminal, &log_in(&terminal, COLLEAGUE).await);
    assert_eq!(worker.get("/api/v1/people").await.refusal().1, "second_factor_setup_required");
    let soft = Soft::p256();
    assert_eq!(item(&add(&worker, &soft, &offer(&worker).await, "").await), "name");
    assert_eq!(item(&add(&worker, &soft, &offer(&worker).await, &"名".repeat(41)).await), "name");
    let made = soft.make(&offer(&worker).await);
    let body = json!({
        "name": "見本", "password": "chigau-aikotoba-99",
        "client_data": text_of(&made.client_data), "attestation": text_of(&made.attestation),
    });
    assert_eq!(item(&worker.post(PASSKEYS, body).await), "password");
    assert_eq!(add(&worker, &soft, &offer(&worker).await, "見本").await.status, StatusCode::OK);
    assert_eq!(worker.get("/api/v1/people").await.status, StatusCode::OK);
    world.verify().await;
}
