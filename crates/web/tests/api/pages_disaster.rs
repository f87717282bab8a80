//! 災害時の検索 at a screen: it exists while a mode is open, asks why first, and shows one person or nobody.

use crate::disaster::open_mode;
use crate::pages::Browser;
use crate::world::{Person, Role, World, city};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn the_search_exists_while_a_mode_is_open_asks_why_first_and_shows_one_person() {
    let world = World::new().await;
    let mut helper = Browser::logged_in(&world, Role::Stranger).await;
    assert_eq!(helper.get("/disaster").await.status, StatusCode::NOT_FOUND);
    assert!(!helper.get("/users").await.text().contains("災害時モード"));
    let id = open_mode(&world).await;
    // The banner stands on every page of whom the mode counts for, and on no other.
    let users = helper.get("/users").await.text();
    assert!(users.contains("災害時モード　運用中") && users.contains("見本水害"), "{users}");
    let hospital = Browser::logged_in(&world, Role::Hospital).await;
    assert_eq!(
        hospital.get("/today").await.text().contains("災害時モード"),
        hospital.get("/disaster").await.status.is_success()
    );
    let number = city().to_string();
    let known = [("name", "架空 花子"), ("insurer_number", number.as_str()), ("sex", "female")];
    let silent = helper.submit("/disaster", "/disaster", &known).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(silent.text().contains("href=\"#scene\"") && silent.text().contains("value=\"架空 花子\""));
    let with =
        |more: [(&'static str, &'static str); 2]| -> Vec<(&str, &str)> { known.into_iter().chain(more).collect() };
    let found = helper.submit("/disaster", "/disaster", &with([("scene", "shelter"), ("more", "見本小学校")])).await;
    let text = found.text();
    assert!(text.contains("一人に決まりました") && text.contains("避難所で支援している。見本小学校"), "{text}");
    let page = text.split("href=\"/p/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(helper.get(&format!("/p/{page}")).await.text().contains("架空 花子"));
    // Nobody there, and a person under 不開示, read the same.
    let outcome = async |browser: &mut Browser<'_>, name: &str, birth: &str| {
        let fields = [("scene", "shelter"), ("kana", name), ("insurer_number", number.as_str()), ("birth", birth)];
        let text = browser.submit("/disaster", "/disaster", &fields).await.text();
        text.replace(name, "NAME")
    };
    let hidden = outcome(&mut helper, "カメイ ヨシコ", "1947-07-15").await;
    let nobody = outcome(&mut helper, "ダレモ イナイ", "1947-07-15").await;
    assert!(hidden.contains("一致する人が一人に決まりません。"), "{hidden}");
    assert_eq!(hidden, nobody);
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().any(|entry| entry.0 == "disaster.search"), "{log:?}");
    // Closed: the page is gone, and so is the banner.
    let close = format!("/api/v1/disasters/{id}/close");
    assert_eq!(world.log_in(Role::Operator).await.post(&close, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(helper.get("/disaster").await.status, StatusCode::NOT_FOUND);
    assert!(!helper.get("/users").await.text().contains("災害時モード"));
    world.verify().await;
}

#[tokio::test]
async fn help_is_about_the_work_of_whoever_asks() {
    let world = World::new().await;
    let text = async |role| Browser::logged_in(&world, role).await.get("/help").await.text();
    assert!(text(Role::Planner).await.contains("「ケアプランを作ります」の印を忘れました"));
    let hospital = text(Role::Hospital).await;
    assert!(hospital.contains("href=\"/opinions/file\"") && !hospital.contains("href=\"/plans\""), "{hospital}");
    assert!(text(Role::City).await.contains("href=\"/inbox\""));
}
