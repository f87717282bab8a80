//! お知らせの掲示 (P-220): only the operator puts one up, and who it is for finds it on the first page.

use crate::pages::{Browser, location};
use crate::world::{Role, World};
use axum::http::StatusCode;

const LIST: &str = "/operator/announcements";

#[tokio::test]
async fn what_the_operator_puts_up_stands_on_the_first_page_of_whom_it_is_for() {
    let world = World::new().await;
    let mut operator = Browser::logged_in(&world, Role::Operator).await;
    assert!(operator.get(LIST).await.text().contains("掲示したものはありません。"));
    let from = ("from", "令和8年11月24日");
    let wrong = [("audience", "all"), ("title", " "), ("body", "見本<b>"), from, ("to", "2028-01-01")];
    let told = operator.submit(LIST, LIST, &wrong).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = told.text();
    assert!(text.contains("href=\"#title\"") && text.contains("期間は366日まで"), "{text}");
    assert!(text.contains("見本&#60;b&#62;") || text.contains("見本&lt;b&gt;"), "what was typed stays: {text}");
    let past = [("audience", "all"), ("title", "見本"), ("body", "見本"), ("from", "2026-11-01"), ("to", "2026-11-23")];
    assert!(operator.submit(LIST, LIST, &past).await.text().contains("おわりの日は、今日からあと"));
    let nobody = [("audience", "everybody"), ("title", "見本"), ("body", "見本"), from, ("to", "2026-11-30")];
    assert!(operator.submit(LIST, LIST, &nobody).await.text().contains("だれに知らせるかを選んでください"));
    for (audience, title) in [
        ("all", "年末の停止"),
        ("offices", "提供票の締切り"),
        ("hospitals", "意見書の様式"),
        ("municipalities", "年次の取込み"),
    ] {
        let put = [
            ("audience", audience),
            ("title", title),
            ("body", "はじめの行\r\n次の行 <b>"),
            from,
            ("to", "2026-11-30"),
        ];
        assert_eq!(location(&operator.submit(LIST, LIST, &put).await), format!("{LIST}?done=put"));
    }
    for (role, told) in [
        (Role::Planner, &["年末の停止", "提供票の締切り"][..]),
        (Role::Hospital, &["年末の停止", "意見書の様式"]),
        (Role::City, &["年末の停止", "年次の取込み"]),
        (Role::Operator, &["年末の停止", "提供票の締切り", "意見書の様式", "年次の取込み"]),
    ] {
        let browser = Browser::logged_in(&world, role).await;
        let text = browser.get("/today").await.text();
        let shown: Vec<&str> = ["年末の停止", "提供票の締切り", "意見書の様式", "年次の取込み"]
            .into_iter()
            .filter(|one| text.contains(one))
            .collect();
        assert_eq!(shown, told, "{role:?}");
        assert!(text.contains("<p>はじめの行</p><p>次の行 &#60;b&#62;</p>"), "{text}");
        // In front of the log-in stands only what is for all.
        let text = Browser::of(&world, role).get("/").await.text();
        assert!(text.contains("年末の停止") && !text.contains("提供票の締切り"), "{role:?} {text}");
        let own = world.log_in(role).await.get("/api/v1/announcements").await.json();
        assert_eq!(own["announcements"].as_array().unwrap().len(), told.len(), "{role:?}");
    }
    // Taken down, it is gone at once; after its last day, by itself.
    let page = operator.get(LIST).await.text();
    let row = page.split("年末の停止").nth(1).unwrap();
    let end = row.split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(location(&operator.submit(LIST, LIST, &[("end", &end)]).await), format!("{LIST}?done=end"));
    assert!(operator.get(LIST).await.text().contains("取りやめ</span>"));
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let text = planner.get("/today").await.text();
    assert!(!text.contains("年末の停止") && text.contains("提供票の締切り"), "{text}");
    assert_eq!(operator.submit(LIST, LIST, &[("end", &end)]).await.status, StatusCode::CONFLICT);
    world.pass(7 * 24 * 60 * 60).await;
    let planner = Browser::logged_in(&world, Role::Planner).await;
    assert!(!planner.get("/today").await.text().contains("提供票の締切り"));
    world.verify().await;
}

#[tokio::test]
async fn nobody_but_the_operator_puts_anything_up() {
    let world = World::new().await;
    for role in [Role::Planner, Role::City, Role::Hospital, Role::Prefecture] {
        let mut browser = Browser::logged_in(&world, role).await;
        assert_eq!(browser.get(LIST).await.status, StatusCode::NOT_FOUND, "{role:?}");
        let put =
            [("audience", "all"), ("title", "偽の知らせ"), ("body", "x"), ("from", "2026-11-24"), ("to", "2026-11-30")];
        assert_eq!(browser.submit("/help", LIST, &put).await.status, StatusCode::NOT_FOUND, "{role:?}");
        assert!(!browser.get("/today").await.text().contains("偽の知らせ"));
    }
    world.verify().await;
}
