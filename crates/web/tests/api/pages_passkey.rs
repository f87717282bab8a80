//! パスキー in a browser: what the script asks and puts into the forms, and what remains without it (P-183, P-210).

use crate::pages::{Browser, form_token, location};
use crate::passkeys::said;
use crate::soft_passkey::{Said, Soft};
use crate::world::{PASSWORD, Reply, Role, World};
use axum::http::{StatusCode, header};
use kiban_pki::passkey::text_of;

const FACTOR: &str = "/account/factor";
const MAKE: &str = "/account/factor/passkey";

/// What the script gets from an address.
async fn asked(browser: &mut Browser<'_>, address: &str, token: &str) -> Said {
    let reply = browser.post(address, &[("form_token", token)]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    said(&reply.json())
}

/// Fills in what the script does of an answer.
fn answer(soft: &Soft, said: &Said) -> [(&'static str, String); 5] {
    let answer = soft.answer(said);
    [
        ("credential", text_of(&soft.credential)),
        ("client_data", text_of(&answer.client_data)),
        ("authenticator_data", text_of(&answer.authenticator_data)),
        ("signature", text_of(&answer.signature)),
        ("user_handle", String::new()),
    ]
}

async fn send(
    browser: &mut Browser<'_>,
    path: &str,
    token: &str,
    fields: &[(&str, &str)],
    more: &[(&str, String)],
) -> Reply {
    let more = more.iter().map(|(name, value)| (*name, value.as_str()));
    let fields: Vec<(&str, &str)> =
        [("form_token", token)].into_iter().chain(fields.iter().copied()).chain(more).collect();
    browser.post(path, &fields).await
}

async fn make(browser: &mut Browser<'_>, soft: &Soft, name: &str) -> Reply {
    let page = browser.submit(FACTOR, MAKE, &[]).await;
    assert!(page.text().contains("data-passkey=\"make\""), "{}", page.text());
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let token = form_token(&page);
    let made = soft.make(&asked(browser, "/account/factor/passkey-offer", &token).await);
    let said = [("made_client_data", text_of(&made.client_data)), ("attestation", text_of(&made.attestation))];
    send(browser, MAKE, &token, &[("name", name), ("own_password", PASSWORD)], &said).await
}

async fn begin_log_in<'a>(world: &'a World) -> Browser<'a> {
    let mut browser = Browser::of(world, Role::Planner);
    let fields = [("account", Role::Planner.account()), ("password", PASSWORD)];
    assert_eq!(location(&browser.post("/login", &fields).await), "/login/code");
    browser
}

#[tokio::test]
async fn a_passkey_is_made_at_a_page_and_opens_the_next_log_in() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let soft = Soft::p256();
    let wrong = make(&mut browser, &soft, "").await;
    assert!(
        wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text().contains("名前を入力"),
        "{}",
        wrong.text()
    );
    let reply = make(&mut browser, &soft, "相談室の<b>端末").await;
    assert_eq!(reply.text().matches("<li class=\"num\">").count(), 10, "{}", reply.text());
    let page = browser.get(FACTOR).await.text();
    assert!(page.contains("相談室の&#60;b&#62;端末") && page.contains("残っている回復コード：10個"), "{page}");

    let mut next = begin_log_in(&world).await;
    let page = next.get("/login/code").await;
    // Without a script the recovery code remains, and the page says so.
    assert!(
        page.text().contains("data-passkey=\"use\"") && page.text().contains("回復コードで確かめる"),
        "{}",
        page.text()
    );
    let token = form_token(&page);
    let said = asked(&mut next, "/login/passkey", &token).await;
    let elsewhere = Said { origin: "https://kiban.example".to_owned(), ..said };
    let refused = send(&mut next, "/login/code", &token, &[], &answer(&soft, &elsewhere)).await;
    assert!(refused.status == StatusCode::UNAUTHORIZED && refused.text().contains("あと4回"), "{}", refused.text());
    let said = asked(&mut next, "/login/passkey", &token).await;
    assert_eq!(location(&send(&mut next, "/login/code", &token, &[], &answer(&soft, &said)).await), "/today");
    assert!(next.get("/users").await.status.is_success());
    world.verify().await;
}

#[tokio::test]
async fn another_passkey_and_its_removal_are_asked_for_the_one_that_is_there() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let (first, second) = (Soft::p256(), Soft::ed25519());
    make(&mut browser, &first, "一つ目").await;
    for _ in 0..2 {
        world.pass(10 * 60).await;
        browser.get("/today").await;
    }
    let question = browser.submit(FACTOR, MAKE, &[]).await;
    let text = question.text();
    assert!(question.status == StatusCode::UNAUTHORIZED && text.contains("パスキーで確かめて、続ける"), "{text}");
    assert!(text.contains(&format!("<a href=\"{FACTOR}\">やめて、前の画面へ</a>")), "{text}");
    let token = form_token(&question);
    let said = asked(&mut browser, "/login/passkey", &token).await;
    let page = send(&mut browser, MAKE, &token, &[("password", PASSWORD)], &answer(&first, &said)).await;
    assert!(page.status.is_success() && page.text().contains("data-passkey=\"make\""), "{}", page.text());
    assert_eq!(location(&make(&mut browser, &second, "二つ目").await), FACTOR);

    for _ in 0..2 {
        world.pass(10 * 60).await;
        browser.get("/today").await;
    }
    let page = browser.get(FACTOR).await.text();
    let id = page.split("name=\"passkey\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let away = "/account/factor/passkey-away";
    let question = browser.submit(FACTOR, away, &[("passkey", &id)]).await;
    assert_eq!(question.status, StatusCode::UNAUTHORIZED);
    assert!(question.text().contains(&format!("name=\"passkey\" value=\"{id}\"")), "{}", question.text());
    let token = form_token(&question);
    let said = asked(&mut browser, "/login/passkey", &token).await;
    let fields = [("passkey", id.as_str()), ("password", PASSWORD)];
    assert_eq!(location(&send(&mut browser, away, &token, &fields, &answer(&second, &said)).await), FACTOR);
    let page = browser.get(FACTOR).await.text();
    assert!(!page.contains("一つ目") && page.contains("二つ目"), "{page}");
    world.verify().await;
}

#[tokio::test]
async fn the_script_is_served_and_no_page_asks_for_a_passkey_of_who_has_none() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let script = browser.get("/passkey.js").await;
    assert_eq!(script.headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert!(!script.text().contains("innerHTML") && !script.text().contains("eval"));
    let page = browser.get(FACTOR).await;
    assert!(!page.text().contains("/passkey.js") && page.text().contains("パスキーを作る"), "{}", page.text());
    let token = form_token(&page);
    let reply = browser.post("/login/passkey", &[("form_token", &token)]).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    // From a page of somebody else nothing is asked.
    let reply = browser.post("/account/factor/passkey-offer", &[("form_token", "0")]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    world.verify().await;
}
