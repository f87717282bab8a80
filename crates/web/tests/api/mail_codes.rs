//! 第二要素 by e-mail against an independent SMTP server (npm `smtp-server`): set up, asked for, refused, and what happens when no mail
//! leaves (P-183).

use crate::pages::{Browser, location};
use crate::person_log_in::npm_folder;
use crate::second_factor::{answer, log_in, waiting};
use crate::world::{COLLEAGUE, Client, PASSWORD, Reply, Role, World, account_of, certificate};
use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiban_pki::Ca;
use kiban_service::{Config, Mailer};
use kiban_store::SecondFactor;
use serde_json::{Value, json};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const ADDRESS: &str = "mihon@example.jp";

struct MailServer {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
    dir: TempDir,
}

impl MailServer {
    /// None where there is no node. `change`: what is different from a right server.
    async fn start(tls: &str, change: Value) -> Option<Self> {
        let folder = npm_folder("mail", "server.mjs", "smtp-server")?;
        let (dir, now) = (TempDir::new().unwrap(), jiff::Timestamp::now());
        for name in ["right", "other"] {
            let ca = Ca::init(&dir.path().join(name), "メールサーバーの認証局", now).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), ca.certificate_pem()).unwrap();
            let issued = ca.issue_server(&["localhost"], 30, now).unwrap();
            if name == "right" {
                std::fs::write(dir.path().join("cert.pem"), &issued.cert_pem).unwrap();
                std::fs::write(dir.path().join("key.pem"), &issued.key_pem).unwrap();
            }
        }
        let mut settings = json!({
            "tls": tls, "user": "kiban", "password": "himitsu",
            "cert": dir.path().join("cert.pem"), "key": dir.path().join("key.pem"),
        });
        settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let mut process = Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .env("MAIL_SETTINGS", settings.to_string())
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.next_line().await.unwrap().expect("the mail server ended before it was ready");
        let port = ready.strip_prefix("ready ").unwrap().parse().unwrap();
        Some(Self { _process: process, lines, port, dir })
    }

    /// What sends to it; `change`: what is different from right settings.
    fn mailer(&self, tls: &str, change: Value) -> Mailer {
        let mut settings = json!({
            "host": "localhost", "port": self.port, "tls": tls, "user": "kiban", "password": "himitsu",
            "from": "介護情報基盤 <kiban@example.jp>", "ca": "right.pem",
        });
        settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Mailer::open(&settings.to_string(), self.dir.path()).unwrap()
    }

    /// The next mail that arrived: all of it as one text, and the code in it.
    async fn next(&mut self) -> (String, String) {
        let line = self.lines.next_line().await.unwrap().expect("the mail server ended");
        let mail: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&mail["secure"], &mail["to"]), (&json!(true), &json!([ADDRESS])), "{mail}");
        let raw = mail["raw"].as_str().unwrap();
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Transfer-Encoding: base64"), "{head}");
        let body: String = body.split_whitespace().collect();
        let body = String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
        let code = body.lines().map(str::trim).find(|line| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit()));
        (format!("{head}\n{body}"), code.unwrap_or_else(|| panic!("no code: {body}")).to_owned())
    }
}

async fn offer(client: &Client<'_>) -> Reply {
    client.post("/api/v1/account/factor/mail", json!({ "address": ADDRESS })).await
}

async fn set_up(client: &Client<'_>, address: &str, code: &str) -> Reply {
    let body = json!({ "password": PASSWORD, "code": code, "address": address });
    client.put("/api/v1/account/factor", body).await
}

async fn send_again(client: &Client<'_>) -> Reply {
    client.send(Method::POST, "/api/v1/session/factor/mail", "", "".into()).await
}

/// Gives the helper's colleague a factor by e-mail and one recovery code.
async fn with_factor(world: &World) {
    let account = account_of(Role::Helper, COLLEAGUE);
    let factor = SecondFactor::Mail(ADDRESS.to_owned().into());
    let codes = ["ABCD2345EFGH".to_owned().into()];
    world.change(async |tx| tx.set_factor(&account, Some(&factor), &codes).await.unwrap()).await;
}

#[tokio::test]
async fn an_address_is_proven_and_from_then_on_each_log_in_takes_the_code_of_its_own_mail() {
    let Some(mut server) = MailServer::start("starttls", json!({})).await else { return };
    let world = World::new().await;
    world.platform.seat_mailer(server.mailer("starttls", json!({})));
    let worker = world.log_in_colleague(Role::Helper).await;
    let state = async |who: &Client<'_>| who.get("/api/v1/account/factor").await.json();
    assert_eq!(state(&worker).await["mail_offered"], json!(true));
    let wrong = worker.post("/api/v1/account/factor/mail", json!({ "address": "見本＠example.jp" })).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["items"][0]["item"]), (422, &json!("address")));
    assert_eq!(offer(&worker).await.status, StatusCode::NO_CONTENT);
    let (text, code) = server.next().await;
    // Whoever else reads it learns of nobody.
    for told in ["見本", COLLEAGUE, &Role::Helper.organization().to_string()] {
        assert!(!text.contains(told), "{told}: {text}");
    }
    let item = |reply: Reply| reply.json()["items"][0]["item"].clone();
    assert_eq!(item(set_up(&worker, ADDRESS, "x").await), json!("code"));
    assert_eq!(item(set_up(&worker, "other@example.jp", &code).await), json!("code"), "it went to another address");
    let reply = set_up(&worker, ADDRESS, &code).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let recovery = reply.json()["recovery_codes"][0].as_str().unwrap().to_owned();
    assert_eq!((&state(&worker).await["mail"], &state(&worker).await["totp"]), (&json!(true), &json!(false)));
    assert_eq!(offer(&worker).await.refusal(), (409, "conflict".to_owned()));

    let terminal = world.with_certificate(Role::Helper);
    let reply = log_in(&terminal, COLLEAGUE).await;
    assert_eq!(reply.json()["mailed"], json!("sent"));
    let half = waiting(&terminal, &reply);
    assert_eq!(answer(&half, &code).await.refusal(), (401, "wrong_code".to_owned()), "the one that set it up is used");
    let (_, first) = server.next().await;
    world.pass(5 * 60).await;
    assert_eq!(send_again(&half).await.status, StatusCode::NO_CONTENT);
    let (_, second) = server.next().await;
    assert_eq!(answer(&half, &first).await.refusal().1, "wrong_code", "a newer one was sent");
    let reply = answer(&half, &second).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let worker = Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal.clone() };
    assert_eq!(worker.get("/api/v1/people").await.status, StatusCode::OK);

    // What weighs much asks for a code too, and a used or old one is none.
    world.pass(16 * 60).await;
    let proof =
        async |code: &str| worker.post("/api/v1/session/proof", json!({ "password": PASSWORD, "code": code })).await;
    assert_eq!(proof(&second).await.refusal().1, "wrong_code");
    assert_eq!(send_again(&worker).await.status, StatusCode::NO_CONTENT);
    let (_, old) = server.next().await;
    world.pass(10 * 60).await;
    assert_eq!(proof(&old).await.refusal().1, "wrong_code");
    assert_eq!(send_again(&worker).await.status, StatusCode::NO_CONTENT);
    let (_, code) = server.next().await;
    let reply = proof(&code).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let worker = Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal };
    let remove = json!({ "password": PASSWORD, "code": recovery });
    assert_eq!(worker.post("/api/v1/account/factor/remove", remove).await.status, StatusCode::NO_CONTENT);
    assert_eq!(send_again(&worker).await.refusal(), (409, "conflict".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn on_pages_an_address_is_proven_asked_for_at_the_log_in_and_before_what_weighs_much() {
    let Some(mut server) = MailServer::start("tls", json!({})).await else { return };
    let world = World::new().await;
    world.platform.seat_mailer(server.mailer("tls", json!({})));
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let factor = "/account/factor";
    let page = browser.submit(factor, "/account/factor/mail", &[("address", ADDRESS)]).await;
    assert!(page.text().contains("メールで届いた数字"), "{}", page.text());
    let (_, code) = server.next().await;
    let fields = [("address", ADDRESS), ("code", code.as_str()), ("password", PASSWORD)];
    let page = browser.submit(factor, factor, &fields).await;
    assert!(page.text().contains("回復コード"), "{}", page.text());
    assert!(browser.get(factor).await.text().contains("メールで届く数字を設定しています"));

    let next = browser.post("/login", &[("account", Role::Planner.account()), ("password", PASSWORD)]).await;
    let next = location(&next);
    assert_eq!(next, "/login/code?mailed=sent");
    assert!(browser.get(&next).await.text().contains("メールで届いた数字を入力する"));
    let (_, first) = server.next().await;
    assert_eq!(location(&browser.submit("/login/code", "/login/code/mail", &[]).await), next);
    let (_, second) = server.next().await;
    assert_ne!(browser.submit(&next, "/login/code", &[("code", &first)]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(location(&browser.submit(&next, "/login/code", &[("code", &second)]).await), "/today");

    for _ in 0..2 {
        world.pass(10 * 60).await;
        browser.get("/admin").await;
    }
    let form = "/admin/people/new";
    let typed = [("account", "newcomer"), ("name", "見本 新子"), ("job", "clerk")];
    let question = browser.submit(form, form, &typed).await;
    assert!(question.text().contains("登録したアドレスに、6けたの数字を送りました"), "{}", question.text());
    let (_, code) = server.next().await;
    let fields = [&typed[..], &[("password", PASSWORD), ("code", &code)]].concat();
    assert!(browser.submit("/admin", form, &fields).await.text().contains("仮のパスワード"));
    world.verify().await;
}

#[tokio::test]
async fn nothing_is_sent_over_a_connection_that_is_not_surely_the_servers_and_that_is_told() {
    let none = || json!({});
    let cases = [
        ("another authority", "starttls", none(), json!({ "ca": "other.pem" })),
        ("another name", "tls", none(), json!({ "host": "127.0.0.1" })),
        // It would take a mail from everybody, in clear.
        (
            "no STARTTLS",
            "starttls",
            json!({ "cert": null, "key": null, "user": null }),
            json!({ "user": null, "password": null }),
        ),
        ("another password", "tls", none(), json!({ "password": "chigau" })),
        ("no such mailbox", "tls", json!({ "refuse": true }), none()),
        ("nobody listens", "tls", none(), json!({ "port": 1 })),
    ];
    for (what, tls, of_server, of_settings) in cases {
        let Some(server) = MailServer::start(tls, of_server).await else { return };
        let world = World::new().await;
        world.platform.seat_mailer(server.mailer(tls, of_settings));
        let worker = world.log_in_colleague(Role::Helper).await;
        let reply = offer(&worker).await;
        assert_eq!(reply.refusal(), (503, "not_mailed".to_owned()), "{what}");
        assert!(reply.text().contains("メールを送れませんでした"), "{what}");
        world.verify().await;
    }
}

#[tokio::test]
async fn without_its_mail_a_log_in_goes_on_with_a_recovery_code_and_an_hour_has_so_many_mails() {
    let Some(mut server) = MailServer::start("tls", json!({})).await else { return };
    let world = World::of(Config { mail_codes: 2, ..Config::default() }, |_| {}).await;
    with_factor(&world).await;
    world.refresh().await;
    let terminal = world.with_certificate(Role::Helper);
    let mailed = async || log_in(&terminal, COLLEAGUE).await.json()["mailed"].clone();
    assert_eq!(mailed().await, json!("failed"), "this server sends none");
    world.platform.seat_mailer(server.mailer("tls", json!({})));
    assert_eq!(mailed().await, json!("sent"));
    let (_, old) = server.next().await;
    world.pass(60).await;
    assert_eq!(mailed().await, json!("sent"));
    let (_, code) = server.next().await;
    let reply = log_in(&terminal, COLLEAGUE).await;
    assert_eq!(reply.json()["mailed"], json!("too_many"));
    let half = waiting(&terminal, &reply);
    assert_eq!(send_again(&half).await.refusal(), (429, "quota".to_owned()));
    assert_eq!(answer(&half, &old).await.refusal().1, "wrong_code");
    assert_eq!(answer(&half, &code).await.status, StatusCode::OK, "the last one that was sent");
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    assert_eq!(answer(&half, "abcd-2345-efgh").await.status, StatusCode::OK, "the recovery code");
    world.pass(60 * 60).await;
    assert_eq!(mailed().await, json!("sent"), "an hour after the first");
    world.verify().await;
}

#[tokio::test]
async fn whoever_knows_the_password_at_another_terminal_takes_neither_code_nor_mails_of_the_owner() {
    let Some(mut server) = MailServer::start("tls", json!({})).await else { return };
    let world = World::of(Config { mail_codes: 2, ..Config::default() }, |_| {}).await;
    with_factor(&world).await;
    world.platform.seat_mailer(server.mailer("tls", json!({})));
    let other = "ab".repeat(32);
    world.change(async |tx| tx.put_certificate(&certificate(Role::Helper, &other, world.now())).await.unwrap()).await;
    let own = world.with_certificate(Role::Helper);
    let elsewhere = Client { fingerprint: Some(other), ..own.clone() };
    let half = waiting(&own, &log_in(&own, COLLEAGUE).await);
    let (_, code) = server.next().await;
    // There somebody logs in again and again, until no more mails are sent.
    for mailed in ["sent", "sent", "too_many"] {
        assert_eq!(log_in(&elsewhere, COLLEAGUE).await.json()["mailed"], json!(mailed));
    }
    let (_, theirs) = (server.next().await, server.next().await.1);
    assert_eq!(answer(&half, &theirs).await.refusal().1, "wrong_code", "it is of another terminal");
    assert_eq!(send_again(&half).await.status, StatusCode::NO_CONTENT, "its own mails are left");
    let (_, next) = server.next().await;
    assert_eq!(answer(&half, &code).await.refusal().1, "wrong_code", "a newer one was sent to it");
    assert_eq!(answer(&half, &next).await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn a_log_in_outlives_a_mail_that_cannot_be_sent_and_the_refusal_is_recorded() {
    let world = World::new().await;
    let account = account_of(Role::Helper, COLLEAGUE);
    let codes = ["ABCD2345EFGH".to_owned().into()];
    let terminal = world.with_certificate(Role::Helper);
    for address in [ADDRESS, "no address at all"] {
        let factor = SecondFactor::Mail(address.to_owned().into());
        world.change(async |tx| tx.set_factor(&account, Some(&factor), &codes).await.unwrap()).await;
        let reply = log_in(&terminal, COLLEAGUE).await;
        assert_eq!(reply.json()["mailed"], json!("failed"), "{address}");
        let half = waiting(&terminal, &reply);
        assert_eq!(answer(&half, "abcd-2345-efgh").await.status, StatusCode::OK, "{address}");
    }
    assert!(world.recorded_of(Role::Helper, "factor.mail").await, "that this installation sends none");
    world.verify().await;
}
