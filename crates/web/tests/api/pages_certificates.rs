//! 電子証明書 at the pages of an organisation: the list, the renewal of the one in use, a further terminal, revocation (P-182, P-211).

use crate::pages::{Browser, location};
use crate::world::{COLLEAGUE, PASSWORD, Reply, Role, World};
use axum::http::StatusCode;
use kiban_pki::{Ca, new_key, request_for};
use std::sync::Arc;
use tempfile::TempDir;

const LIST: &str = "/admin/certificates";
const RENEWAL: &str = "/admin/certificates/renewal";
const DAY: i64 = 24 * 60 * 60;

/// The platform with the authority's key, so many days before the end of everybody's certificates.
async fn world(days_left: i64) -> (World, TempDir) {
    let (world, dir) = (World::new().await, TempDir::new().unwrap());
    world.platform.seat_authority(Arc::new(Ca::init(&dir.path().join("ca"), "見本認証局", world.now()).unwrap()));
    world.pass((300 - days_left) * DAY).await;
    (world, dir)
}

fn csr() -> String {
    request_for(&new_key().unwrap(), "terminal").unwrap()
}

/// Somebody of the helper's who is no administrator.
async fn colleague(world: &World) -> Browser<'_> {
    let mut browser = Browser::of(world, Role::Helper);
    browser.post("/login", &[("account", COLLEAGUE), ("password", PASSWORD)]).await;
    browser
}

fn certificate(reply: &Reply) -> String {
    let text = reply.text();
    let (_, rest) = text.split_once("<pre>").unwrap_or_else(|| panic!("no certificate: {text}"));
    rest.split("</pre>").next().unwrap().to_owned()
}

/// Addresses of the certificates that can be revoked, in the order of the list.
async fn addresses(browser: &Browser<'_>) -> Vec<String> {
    let text = browser.get(LIST).await.text();
    text.split("<a href=\"/admin/certificates/")
        .skip(1)
        .map(|rest| format!("{LIST}/{}", rest.split('"').next().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_certificate_is_renewed_from_sixty_days_before_its_end_and_the_old_one_stays_good() {
    let (world, _dir) = world(61).await;
    let mut browser = colleague(&world).await;
    let page = browser.get(LIST).await.text();
    assert!(page.contains("更新できるのは期限の60日前") && !page.contains("name=\"csr\""), "{page}");
    let early = browser.submit(LIST, RENEWAL, &[("csr", &csr())]).await;
    assert!(early.status == StatusCode::UNPROCESSABLE_ENTITY && early.text().contains("60日前"), "{}", early.text());
    world.pass(DAY).await;
    let mut browser = colleague(&world).await;
    let page = browser.get(LIST).await.text();
    assert!(page.contains("name=\"csr\"") && page.contains("いまの証明書もそのまま使えます"), "{page}");
    let wrong = browser.submit(LIST, RENEWAL, &[("csr", "これは CSR ではない")]).await;
    assert!(
        wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text().contains("これは CSR ではない"),
        "{}",
        wrong.text()
    );
    let asked = csr();
    let renewed = browser.submit(LIST, RENEWAL, &[("csr", &asked)]).await;
    let first = certificate(&renewed);
    assert!(first.starts_with("-----BEGIN CERTIFICATE-----"), "{first}");
    assert!(renewed.text().contains("まで使えます"), "{}", renewed.text());
    // Whose answer was lost sends the same again.
    assert_eq!(certificate(&browser.submit(LIST, RENEWAL, &[("csr", &asked)]).await), first);
    assert!(browser.get("/users").await.status.is_success(), "over the one that was renewed");
    // The list has both; whoever is no administrator revokes none.
    let page = browser.get(LIST).await.text();
    assert!(page.matches("有効").count() >= 1 && page.contains("更新の時期"), "{page}");
    assert_eq!(addresses(&browser).await, Vec::<String>::new());
    let admin = Browser::logged_in(&world, Role::Helper).await;
    let all = addresses(&admin).await;
    assert!(all.len() >= 2, "{all:?}");
    assert_eq!(browser.get(&all[0]).await.status, StatusCode::NOT_FOUND);
    let refused = browser.submit(LIST, &all[0], &[("reason", "superseded")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    world.verify().await;
}

#[tokio::test]
async fn a_certificate_is_revoked_with_a_reason_and_by_who_was_there_a_short_while_ago() {
    let (world, _dir) = world(60).await;
    let mut browser = Browser::logged_in(&world, Role::Helper).await;
    browser.submit(LIST, RENEWAL, &[("csr", &csr())]).await;
    let new = addresses(&browser).await.remove(0);
    let page = browser.get(&new).await.text();
    assert!(page.contains("取り消せません") && page.contains("端末の紛失・盗難"), "{page}");
    let without = browser.submit(&new, &new, &[]).await;
    assert!(
        without.status == StatusCode::UNPROCESSABLE_ENTITY && without.text().contains("理由を選んで"),
        "{}",
        without.text()
    );
    for _ in 0..2 {
        world.pass(10 * 60).await;
        browser.get(LIST).await;
    }
    let question = browser.submit(&new, &new, &[("reason", "key-compromise")]).await;
    assert!(
        question.status == StatusCode::UNAUTHORIZED && question.text().contains("もう一度、パスワード"),
        "{}",
        question.text()
    );
    assert!(browser.get(&new).await.status.is_success(), "nothing was done");
    let fields = [("reason", "key-compromise"), ("password", PASSWORD)];
    assert_eq!(location(&browser.submit(&new, &new, &fields).await), LIST);
    assert!(browser.get(LIST).await.text().contains("失効"));
    assert_eq!(browser.get(&new).await.status, StatusCode::NOT_FOUND);
    // The one in use: what was renewed over it had gone before, and now this page too.
    let own = addresses(&browser).await;
    let text = browser.get(LIST).await.text();
    let own = own.iter().find(|address| {
        let row = text.split(&format!("href=\"{address}\"")).next().unwrap().rsplit("<tr").next().unwrap();
        row.contains("この端末")
    });
    let own = own.unwrap();
    assert!(browser.get(own).await.text().contains("いま使っている端末の証明書"));
    assert_eq!(location(&browser.submit(own, own, &[("reason", "cessation-of-operation")]).await), LIST);
    assert_eq!(browser.get(LIST).await.status, StatusCode::UNAUTHORIZED);
    // Of another office nothing is there.
    let mut other = Browser::logged_in(&world, Role::Planner).await;
    assert_eq!(other.get(own).await.status, StatusCode::NOT_FOUND);
    let theirs = other.submit(LIST, own, &[("reason", "superseded")]).await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    world.verify().await;
}

#[tokio::test]
async fn an_administrator_applies_for_a_further_terminal_and_is_led_to_its_state() {
    let (world, _dir) = world(200).await;
    let mut browser = Browser::logged_in(&world, Role::Helper).await;
    let wrong = browser.submit(LIST, LIST, &[("terminal", ""), ("contact", "000-000-0000"), ("new_csr", "x")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = wrong.text();
    assert!(
        text.contains("href=\"#terminal\"") && text.contains("href=\"#new_csr\"") && text.contains("000-000-0000"),
        "{text}"
    );
    let asked = browser.submit(LIST, LIST, &[("terminal", "相談室パソコン2"), ("contact", "000-000-0000")]).await;
    assert!(asked.status.is_success() && asked.text().contains("https://www.kiban.test/apply/"), "{}", asked.text());
    // The operators' list has it, vouched for once.
    let list = Browser::logged_in(&world, Role::Operator).await.get("/admin/applications").await.text();
    assert!(list.contains("相談室パソコン2"), "{list}");
    let refused = colleague(&world).await.submit(LIST, LIST, &[("terminal", "x"), ("contact", "x")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    world.verify().await;
}

#[tokio::test]
async fn a_terminal_is_told_what_is_ready_and_what_to_do_about_the_rest() {
    let (world, _dir) = world(61).await;
    let browser = colleague(&world).await;
    let menu = browser.get("/admin").await.text();
    assert!(menu.contains("href=\"/selftest\""), "{menu}");
    let page = browser.get("/selftest").await.text();
    assert!(page.contains("「受付の端末」の証明書です。") && page.contains("（あと61日）"), "{page}");
    assert!(
        page.contains("TLS 1.3 でつながっています") && page.contains("6つのうち<span data-good>2</span>つ"),
        "{page}"
    );
    assert!(page.contains("href=\"/account/factor\"") && !page.contains("証明書を更新する"), "{page}");
    // The number and the name of the organisation stand on every print.
    assert!(page.contains(&Role::Helper.organization().office().unwrap().to_string()), "{page}");
    // Its own time, for the script that asks the terminal's clock.
    assert!(page.contains(&format!("data-now=\"{}\"", world.now().as_millisecond())), "{page}");
    let script = browser.get("/selftest.js").await;
    assert!(script.status == StatusCode::OK && script.text().contains("data-now"));

    world.pass(DAY).await;
    let browser = Browser::logged_in(&world, Role::Helper).await;
    let page = browser.get("/selftest").await.text();
    assert!(page.contains("href=\"/admin/certificates\">証明書を更新する</a>"), "{page}");
    assert!(page.contains("6つのうち<span data-good>1</span>つ"), "{page}");
}
