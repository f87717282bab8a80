//! 確かめ直し: what weighs much needs a proof of the last quarter of an hour (S-013).

use crate::access::{ask_at, path};
use crate::once::doer;
use crate::pages::{Browser, location};
use crate::second_factor::{answer, app_code, log_in, set_up, waiting};
use crate::world::{COLLEAGUE, Client, PASSWORD, Person, Reply, Role, World, later_city};
use axum::http::StatusCode;
use kiban_service::Config;
use kiban_web::{Audience, GRAVE, Listener, PAGES, ROUTES};
use serde_json::{Value, json};

const QUARTER: i64 = 15 * 60;

fn required() -> (u16, String) {
    (401, "fresh_proof_required".to_owned())
}

fn consent() -> Value {
    json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" })
}

async fn proof(client: &Client<'_>, password: &str, code: &str) -> Reply {
    client.post("/api/v1/session/proof", json!({ "password": password, "code": code })).await
}

/// The same caller after proving it again.
async fn prove<'a>(client: &Client<'a>) -> Client<'a> {
    let reply = client.post("/api/v1/session/proof", json!({ "password": PASSWORD })).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let token = reply.json()["token"].as_str().map(str::to_owned);
    assert_ne!(token, client.token, "another token");
    Client { token, ..client.clone() }
}

#[tokio::test]
async fn of_a_log_in_of_a_while_ago_what_weighs_much_is_asked_again_and_nothing_else_is() {
    let world = World::new().await;
    let of_api =
        ROUTES.iter().filter(|route| route.listener == Listener::Organisations && route.audience.needs_log_in());
    let mut asked = Vec::new();
    // A changed password ends the other log-ins of its account.
    for route in of_api.filter(|route| route.name != "change_password") {
        let role = doer(route);
        asked.push((route, role, world.fresh_token(role).await));
    }
    world.pass(QUARTER + 1).await;
    world.forget_log_ins();
    let mut weighing = Vec::new();
    for (route, role, token) in asked {
        world.assign(Role::Planner, Person::Hanako, true).await;
        let path = path(&world, route, role).await;
        let client = Client { token: Some(token), ..world.with_certificate(role) };
        let reply = ask_at(&world, route, &client, role, &path).await;
        let is_grave = GRAVE.contains(&route.name);
        assert_eq!(reply.refusal() == required(), is_grave, "{}: {}", route.name, reply.text());
        weighing.extend(is_grave.then_some(route.name));
    }
    let pages = PAGES.iter().map(|page| page.name).filter(|name| GRAVE.contains(name));
    assert_eq!(weighing.len() + pages.count(), GRAVE.len(), "each is a route of ours, and was asked");
    world.verify().await;
}

#[tokio::test]
async fn consents_exports_disasters_and_accounts_wait_for_the_password_once_and_then_go_on() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let consents = format!("/api/v1/people/{handle}/consents");
    let (planner, city) = (world.log_in(Role::Planner).await, world.log_in(Role::City).await);
    let (operator, program) = (world.log_in(Role::Operator).await, world.log_in(Role::CityProgram).await);
    let today = world.today();
    let proposal = json!({ "event": "見本地震", "areas": [later_city()], "from": today, "to": today });
    let accounts = format!("/api/v1/organizations/{}/accounts", Role::Planner.organization());
    let colleague = format!("{accounts}/{COLLEAGUE}");
    let newcomer = json!({ "account": "newcomer", "name": "見本 新子", "job": "clerk" });
    world.pass(QUARTER).await;
    assert_eq!(planner.post(&consents, consent()).await.status, StatusCode::OK, "to the last second");
    world.pass(1).await;
    assert_eq!(planner.post(&consents, consent()).await.refusal(), required());
    assert_eq!(city.get("/api/v1/export").await.refusal(), required());
    assert_eq!(operator.post("/api/v1/disasters", proposal.clone()).await.refusal(), required());
    assert_eq!(planner.post("/api/v1/disasters/search", crate::disaster::hanako()).await.refusal(), required());
    assert_eq!(planner.post(&accounts, newcomer.clone()).await.refusal(), required());
    assert_eq!(planner.put(&colleague, json!({ "active": false })).await.refusal(), required());
    assert_eq!(planner.post(&format!("{colleague}/reset?second_factor=true"), json!({})).await.refusal(), required());
    assert_eq!(planner.delete(&colleague).await.refusal(), required());
    // Looking is nothing of that kind, and a program is asked nothing.
    assert_eq!(planner.get(&format!("/api/v1/people/{handle}")).await.status, StatusCode::OK);
    assert_ne!(program.get("/api/v1/export").await.refusal(), required());
    assert_eq!(proof(&program, PASSWORD, "").await.refusal(), (403, "not_this_way".to_owned()));
    assert!(world.recorded_of(Role::Planner, "session.proof").await, "the refusals");

    let again = prove(&planner).await;
    assert_eq!(
        planner.get("/api/v1/people").await.refusal(),
        (401, "login_required".to_owned()),
        "the token of before"
    );
    assert_eq!(again.post(&consents, consent()).await.status, StatusCode::OK);
    assert_eq!(again.post(&accounts, newcomer).await.status, StatusCode::CREATED);
    assert_eq!(prove(&city).await.get("/api/v1/export").await.status, StatusCode::OK);
    let proposed = prove(&operator).await.post("/api/v1/disasters", proposal).await;
    assert_eq!(proposed.status, StatusCode::CREATED, "{}", proposed.text());
    world.verify().await;
}

#[tokio::test]
async fn a_proof_takes_the_second_factor_too_and_wrong_ones_count_like_wrong_log_ins() {
    let world = World::new().await;
    let (secret, _) = set_up(&world).await;
    let terminal = world.with_certificate(Role::Helper);
    world.pass(60).await;
    let half = waiting(&terminal, &log_in(&terminal, COLLEAGUE).await);
    assert_eq!(proof(&half, PASSWORD, "").await.refusal(), (401, "second_factor_required".to_owned()));
    let reply = answer(&half, &app_code(&secret, world.now().as_second())).await;
    let token = reply.json()["token"].as_str().map(str::to_owned);
    let worker = Client { token, ..terminal.clone() };
    world.pass(QUARTER + 1).await;
    let search = async |who: &Client<'_>| who.post("/api/v1/disasters/search", crate::disaster::hanako()).await;
    assert_eq!(search(&worker).await.refusal(), required());
    for wrong in ["", "000000"] {
        assert_eq!(proof(&worker, PASSWORD, wrong).await.refusal(), (401, "wrong_code".to_owned()), "{wrong}");
    }
    let code = app_code(&secret, world.now().as_second());
    let reply = proof(&worker, PASSWORD, &code).await;
    let worker = Client { token: reply.json()["token"].as_str().map(str::to_owned), ..terminal.clone() };
    assert_eq!(search(&worker).await.refusal(), (404, "unknown".to_owned()), "there is no disaster");
    assert_eq!(proof(&worker, PASSWORD, &code).await.refusal().1, "wrong_code", "each code is good once");
    for _ in 0..4 {
        assert_eq!(proof(&worker, "chigau-aikotoba-99", &code).await.json()["items"][0]["item"], json!("password"));
    }
    assert_eq!(proof(&worker, PASSWORD, &code).await.refusal(), (401, "locked".to_owned()));
    assert_eq!(log_in(&terminal, COLLEAGUE).await.refusal(), (401, "locked".to_owned()), "the same count");
    world.verify().await;
}

#[tokio::test]
async fn an_installation_says_for_how_long_a_proof_is_good() {
    let world = World::of(Config::default().changed_by("proof_minutes 2").unwrap(), |_| {}).await;
    let planner = world.log_in(Role::Planner).await;
    world.pass(2 * 60 + 1).await;
    assert_eq!(planner.post("/api/v1/disasters/search", crate::disaster::hanako()).await.refusal(), required());
}

/// What a page put into its form without showing it.
fn hidden(page: &Reply) -> Vec<(String, String)> {
    let text = page.text();
    let (_, form) = text.split_once("<main").unwrap();
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |field: &str| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        let value = rest.split('"').next().unwrap();
        let value = value.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"").replace("&#38;", "&");
        (name.to_owned(), value)
    };
    fields.map(field).collect()
}

/// Sends the question of a page with this password.
async fn answer_page(browser: &mut Browser<'_>, path: &str, question: &Reply, password: &str) -> Reply {
    let mut fields = hidden(question);
    fields.push(("password".to_owned(), password.to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    browser.post(path, &fields).await
}

/// Works on for twenty minutes.
async fn work_on(world: &World, browser: &Browser<'_>) {
    for _ in 0..2 {
        world.pass(10 * 60).await;
        assert_eq!(browser.get("/admin").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_care_manager_out_visiting_is_asked_once_before_the_consent_and_nothing_typed_is_lost() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let (page, form) = (format!("/p/{handle}"), format!("/p/{handle}/consent"));
    let act = |act| {
        let remark = "「見せたくない」と言っていたが\r\n説明して <同意> & \"納得\"";
        [
            ("act", act),
            ("declarant", "representative"),
            ("relation", "長女"),
            ("proof", "insurance_card"),
            ("remark", remark),
        ]
    };
    work_on(&world, &browser).await;
    let before = browser.cookie.clone();
    let question = browser.submit(&form, &form, &act("given")).await;
    assert_eq!(question.status, StatusCode::UNAUTHORIZED);
    assert!(question.text().contains("もう一度、パスワードを入力する"), "{}", question.text());
    assert!(!browser.get(&page).await.text().contains("同意しています"), "nothing is done yet");
    let kept: Vec<_> = hidden(&question).into_iter().skip(1).collect();
    assert_eq!(kept, act("given").map(|(name, text)| (name.to_owned(), text.to_owned())));
    let wrong = answer_page(&mut browser, &form, &question, "chigau-aikotoba-99").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("いまのパスワードが違います"), "{}", wrong.text());
    assert_eq!(hidden(&wrong), hidden(&question));
    assert_eq!(location(&answer_page(&mut browser, &form, &wrong, PASSWORD).await), page);
    assert!(browser.get(&page).await.text().contains("同意しています"));
    // Under another token, and for the next quarter of an hour nobody asks.
    assert_ne!(browser.cookie, before);
    assert_eq!(location(&browser.submit(&form, &form, &act("withdrawn")).await), page);
    // A request that was on its way with the token of before takes the new one from nobody.
    let newer = std::mem::replace(&mut browser.cookie, before);
    let late = browser.get(&page).await;
    assert_eq!(location(&late), "/login");
    assert!(!late.headers.contains_key("set-cookie"), "{:?}", late.headers);
    browser.cookie = newer;
    assert!(browser.get(&page).await.status.is_success());
    world.verify().await;
}

#[tokio::test]
async fn every_form_of_what_weighs_much_asks_first() {
    let world = World::new().await;
    let (mut planner, mut city, mut operator) = (
        Browser::logged_in(&world, Role::Planner).await,
        Browser::logged_in(&world, Role::City).await,
        Browser::logged_in(&world, Role::Operator).await,
    );
    for _ in 0..2 {
        world.pass(10 * 60).await;
        for browser in [&planner, &city, &operator] {
            assert_eq!(browser.get("/admin").await.status, StatusCode::OK);
        }
    }
    for page in PAGES.iter().filter(|page| GRAVE.contains(&page.name)) {
        let browser = match page.audience {
            Audience::Operators => &mut operator,
            Audience::Municipalities => &mut city,
            _ => &mut planner,
        };
        let path = page.path.replace("{handle}", "x").replace("{account}", COLLEAGUE).replace("{application}", "x");
        let path = path.replace("{insurer}", crate::world::city().as_str()).replace("{disaster}", "x");
        let reply = browser.submit("/admin", &path, &[("act", "approve")]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(reply.text().contains("もう一度、パスワードを入力する"), "{path}: {}", reply.text());
        // The way back is a page of ours.
        let back = reply.text().split("</button><a href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_ne!(browser.get(&back).await.status, StatusCode::METHOD_NOT_ALLOWED, "{back}");
    }
}

#[tokio::test]
async fn a_form_that_comes_back_after_the_question_is_of_the_new_log_in() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let (form, list) = ("/admin/people/new", "/admin/people");
    work_on(&world, &browser).await;
    let question = browser.submit(form, form, &[("account", "newcomer"), ("name", ""), ("job", "clerk")]).await;
    let back = answer_page(&mut browser, form, &question, PASSWORD).await;
    assert_eq!(back.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(back.text().contains("氏名を100文字以内") && back.text().contains("value=\"newcomer\""), "{}", back.text());
    let mut fields = hidden(&back);
    fields
        .extend([("account", "newcomer"), ("name", "見本 新子"), ("job", "clerk")].map(|(a, b)| (a.into(), b.into())));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(browser.post(form, &fields).await.text().contains("仮のパスワード"));
    // The other forms about people ask too.
    work_on(&world, &browser).await;
    let person = format!("{list}/{COLLEAGUE}");
    let question = browser.submit(&person, &person, &[("act", "stop")]).await;
    assert_eq!(question.status, StatusCode::UNAUTHORIZED);
    assert!(!browser.get(&person).await.text().contains("停止中"));
    assert_eq!(location(&answer_page(&mut browser, &person, &question, PASSWORD).await), person);
    assert!(browser.get(&person).await.text().contains("停止中"));
    world.verify().await;
}
