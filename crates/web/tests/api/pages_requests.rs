//! 届出 at a screen: written, confirmed, sent once, sent back and put right.

use crate::pages::{Browser, location};
use crate::world::{Person, Role, World};
use axum::http::StatusCode;
use serde_json::json;

const TYPED: [(&str, &str); 6] = [
    ("form", "home_care"),
    ("filing", "new"),
    ("starts_on", "令和8年12月1日"),
    ("care_manager_name", "見本 職員"),
    ("who", "person"),
    ("agrees", "yes"),
];

fn with<'a>(fields: &[(&'a str, &'a str)], act: &'a str) -> Vec<(&'a str, &'a str)> {
    fields.iter().copied().chain([("act", act)]).collect()
}

#[tokio::test]
async fn a_filing_is_confirmed_before_it_is_sent_and_sent_once() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    assert!(planner.get("/requests").await.text().contains("この事業所から出した届出は、まだありません。"));
    let (page, form) = (format!("/p/{handle}"), format!("/p/{handle}/request"));
    assert!(planner.get(&page).await.text().contains(&format!("href=\"{form}\">届出を書く")));
    let confirm = planner.submit(&form, &form, &with(&TYPED, "check")).await;
    let text = confirm.text();
    assert_eq!(confirm.status, StatusCode::OK);
    assert!(text.contains("まだ送っていません。") && text.contains("令和8年12月1日"), "{text}");
    let city = world.log_in(Role::City).await;
    assert_eq!(city.get("/api/v1/inbox").await.json()["items"], json!([]), "nothing was sent yet");
    let edit = planner.submit(&form, &form, &with(&TYPED, "edit")).await.text();
    assert!(edit.contains("value=\"令和8年12月1日\""), "what was typed is still there: {edit}");
    let receipt = location(&planner.submit(&form, &form, &with(&TYPED, "send")).await);
    assert!(receipt.starts_with(&format!("{form}/")), "{receipt}");
    // A second click leads to the same receipt.
    assert_eq!(location(&planner.submit(&form, &form, &with(&TYPED, "send")).await), receipt);
    // Something else for the same day is not taken while one waits, and is not called sent.
    let other: Vec<_> =
        TYPED.map(|(name, text)| (name, if name == "care_manager_name" { "別の 職員" } else { text })).into();
    let refused = planner.submit(&form, &form, &with(&other, "send")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(
        refused.text().contains("value=\"別の 職員\"") && refused.text().contains("直すところ"),
        "{}",
        refused.text()
    );
    assert_eq!(city.get("/api/v1/inbox").await.json()["items"].as_array().unwrap().len(), 1);
    let text = planner.get(&receipt).await.text();
    assert!(text.contains("送りました") && text.contains("紙の届出書は要りません。"), "{text}");
    assert!(planner.get(&form).await.text().contains("前に出した届出を"), "the form says that one waits");
    let list = planner.get("/requests").await.text();
    assert!(list.contains("架空 花子") && list.contains(&receipt), "{list}");
    world.verify().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_at_its_field_and_what_was_typed_stays() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    let form = format!("/p/{handle}/request");
    let typed = [
        ("form", "home_care"),
        ("filing", "change"),
        ("starts_on", "来月"),
        ("who", "representative"),
        ("filer_name", "架空 梅子"),
        ("care_manager_name", "見本 職員"),
    ];
    let reply = planner.submit(&form, &form, &with(&typed, "check")).await;
    let text = reply.text();
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains("<title>エラー：") && text.contains("href=\"#starts_on\""), "{text}");
    assert!(text.contains("value=\"架空 梅子\"") && text.contains("value=\"来月\""), "{text}");
    let typed = typed.map(|(name, text)| (name, if name == "starts_on" { "令和8年12月1日" } else { text }));
    let text = planner.submit(&form, &form, &with(&typed, "check")).await.text();
    for (field, words) in [
        ("reason", "変更の届出には「変更する場合の事由」が必要です"),
        ("filer_name", "代理人の氏名・続柄・住所をすべて書いてください"),
        ("agrees", "利用者の同意が「あり」になっていません"),
    ] {
        assert!(text.contains(&format!("href=\"#{field}\">{words}")), "{field}: {text}");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_filing_that_came_back_opens_with_the_reason_and_what_was_written() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    let form = format!("/p/{handle}/request");
    let sent = location(&planner.submit(&form, &form, &with(&TYPED, "send")).await);
    let receipt = sent.rsplit('/').next().unwrap();
    let city = world.log_in(Role::City).await;
    city.post(&format!("/api/v1/inbox/{receipt}/return"), json!({ "reason": "開始日を確かめてください" })).await;
    let today = planner.get("/today").await.text();
    assert!(today.contains("<a href=\"/requests\">提出した書類が差し戻されました</a>"), "{today}");
    let list = planner.get("/requests").await.text();
    assert!(list.contains("差し戻されたものが1件") && list.contains("開始日を確かめてください"), "{list}");
    let text = planner.get(&form).await.text();
    assert!(text.contains("開始日を確かめてください") && text.contains("value=\"令和8年12月1日\""), "{text}");
    assert!(planner.get(&sent).await.text().contains("差し戻されました"));
    let again = location(&planner.submit(&form, &form, &with(&TYPED, "send")).await);
    assert_ne!(again, sent);
    let list = planner.get("/requests").await.text();
    assert!(list.contains(again.rsplit('/').next().unwrap()) && !list.contains("差戻し</span>"), "{list}");
    // Another office has no such page about her, and an office that files nothing has none at all.
    let helper = Browser::logged_in(&world, Role::Helper).await;
    assert_eq!(helper.get("/requests").await.status, StatusCode::NOT_FOUND);
    let stolen = world.stolen_handle(Role::Helper, Person::Hanako.key()).await;
    assert!(helper.get(&format!("/p/{stolen}/request")).await.status.is_client_error());
    world.verify().await;
}
