//! 電子証明書の申込み in a browser: the public pages of whoever has no certificate yet, and the operators' list (P-182).

use crate::pages::{Browser, location};
use crate::provider::PersonBrowser;
use crate::world::{PUBLIC_HOST, Reply, Role, World};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use kiban_pki::{Ca, new_key, request_for};
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt;

const LIST: &str = "/admin/applications";

/// The platform with the authority's key.
async fn world() -> (World, TempDir) {
    let (world, dir) = (World::new().await, TempDir::new().unwrap());
    world.platform.seat_authority(Arc::new(Ca::init(&dir.path().join("ca"), "見本認証局", world.now()).unwrap()));
    (world, dir)
}

fn fields(number: &str) -> Vec<(&'static str, String)> {
    let rest =
        [("terminal", "相談室パソコン1"), ("contact", "000-000-0000")].map(|(name, text)| (name, text.to_owned()));
    [&[("organization", number.to_owned())][..], &rest].concat()
}

async fn send(world: &World, path: &str, fields: &[(&str, String)]) -> Reply {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
    PersonBrowser::default().post(world, path, &fields).await
}

/// Address of an application of an office.
async fn asked(world: &World, fields: &[(&str, String)]) -> String {
    let address = location(&send(world, "/apply", fields).await);
    assert!(address.starts_with("/apply/") && address.len() == 39, "{address}");
    address
}

#[tokio::test]
async fn an_office_asks_on_a_page_two_operators_vouch_and_the_code_brings_the_file_once() {
    let (world, _dir) = world().await;
    let address = asked(&world, &fields(&Role::Helper.organization().to_string())).await;
    let page = async || PersonBrowser::default().get(&world, &address).await.text();
    assert!(page().await.contains("確認待ち") && !page().await.contains("name=\"code\""), "{}", page().await);
    let act = address.replace("/apply", LIST);
    let mut first = Browser::logged_in(&world, Role::Operator).await;
    let list = first.get(LIST).await.text();
    assert!(list.contains("ヘルパーステーションみほん") && list.contains("相談室パソコン1"), "{list}");
    assert!(first.get("/admin").await.text().contains(LIST));
    let approve = [("act", "approve")];
    assert_eq!(location(&first.submit(LIST, &act, &approve).await), LIST);
    let again = first.submit(LIST, &act, &approve).await;
    assert!(again.status == StatusCode::CONFLICT && again.text().contains("別の運用者が"), "{}", again.text());
    let mut second = Browser::logged_in(&world, Role::SecondOperator).await;
    let told = second.submit(LIST, &act, &approve).await.text();
    let code = told.split("<dt>受取番号</dt><dd class=\"num\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(code.len(), 19, "{told}");
    let list = second.get(LIST).await.text();
    assert!(list.contains("受取り待ち") && !list.contains(&code) && !list.contains("name=\"act\""), "{list}");
    assert!(page().await.contains("name=\"code\"") && !page().await.contains(&code), "{}", page().await);

    let pick_up = async |code: &str| send(&world, &address, &[("code", code.to_owned())]).await;
    let wrong = pick_up("2222-2222-2222-2222").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("あと4回") && wrong.text().contains("<title>エラー："), "{}", wrong.text());
    let file = pick_up(&code.to_lowercase()).await;
    assert_eq!(file.status, StatusCode::OK);
    let named = file.headers[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert!(named.contains("terminal.p12") && file.body.starts_with(&[0x30]), "{named}");
    let twice = pick_up(&code).await;
    assert!(twice.status == StatusCode::CONFLICT && twice.text().contains("もう使えません"), "{}", twice.text());
    assert!(page().await.contains("受取り済み"));
    world.verify().await;
}

#[tokio::test]
async fn a_key_made_at_the_office_is_asked_for_on_the_page_and_its_certificate_shown_there() {
    let (world, _dir) = world().await;
    let number = Role::Helper.organization().to_string();
    let bad = send(&world, "/apply", &[&fields(&number)[..], &[("csr", "なし".to_owned())]].concat()).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad.text().contains("href=\"#csr\"") && bad.text().contains("value=\"相談室パソコン1\""), "{}", bad.text());
    let csr = request_for(&new_key().unwrap(), "x").unwrap();
    let address = asked(&world, &[&fields(&number)[..], &[("csr", csr)]].concat()).await;
    let page = async || PersonBrowser::default().get(&world, &address).await.text();
    let check = page().await.split("<dt>確認番号</dt><dd class=\"num\">").nth(1).unwrap()[..24].to_owned();
    for role in [Role::Operator, Role::SecondOperator] {
        let mut operator = Browser::logged_in(&world, role).await;
        assert!(operator.get(LIST).await.text().contains(&check), "to be compared by telephone");
        let act = address.replace("/apply", LIST);
        assert_eq!(location(&operator.submit(LIST, &act, &[("act", "approve")]).await), LIST);
    }
    assert!(page().await.contains("-----BEGIN CERTIFICATE-----") && !page().await.contains("name=\"code\""));
    world.verify().await;
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_told_beside_its_field_and_only_operators_decide() {
    let (world, _dir) = world().await;
    for (number, told) in [("123", "桁"), ("operator", "事業所番号・医療機関コード"), ("", "桁")] {
        let reply = send(&world, "/apply", &fields(number)).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{number}");
        let text = reply.text();
        assert!(text.contains(told) && text.contains("href=\"#organization\""), "{number}: {text}");
    }
    // An office nobody has registered: the list says so, and the approval says what to do first.
    let address = asked(&world, &fields("9970000052")).await;
    let act = address.replace("/apply", LIST);
    let mut operator = Browser::logged_in(&world, Role::Operator).await;
    assert!(operator.get(LIST).await.text().contains("登録がありません"));
    let reply = operator.submit(LIST, &act, &[("act", "approve")]).await;
    assert!(reply.status == StatusCode::CONFLICT && reply.text().contains("先に事業所を登録"), "{}", reply.text());
    let mut office = Browser::logged_in(&world, Role::Planner).await;
    assert!(!office.get("/admin").await.text().contains(LIST));
    for act in [&act[..], "/admin/applications/0"] {
        let reply = office.submit("/users/new", act, &[("act", "refuse")]).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(location(&operator.submit(LIST, &act, &[("act", "refuse")]).await), LIST);
    assert!(PersonBrowser::default().get(&world, &address).await.text().contains("不承認"));
    // Not from a page of somebody else.
    for origin in [Some("https://evil.example"), None] {
        let mut request = Request::builder().method(Method::POST).uri("/apply").header(header::HOST, PUBLIC_HOST);
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let body = serde_urlencoded::to_string(fields("9970000052")).unwrap();
        let reply =
            Reply::of(world.outside.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{origin:?}");
    }
    let nowhere = PersonBrowser::default().get(&world, &format!("/apply/{}", "0".repeat(32))).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    world.verify().await;
}
