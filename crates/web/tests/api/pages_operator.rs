//! The pages of the operator: municipalities, offices, disaster modes by two people, the newest anchor. Nothing of anybody.

use crate::pages::{Browser, location};
use crate::world::{Role, World, city};
use axum::http::StatusCode;

#[tokio::test]
async fn the_operator_finds_municipalities_and_offices_and_nobody() {
    let world = World::new().await;
    let operator = Browser::logged_in(&world, Role::Operator).await;
    let all = operator.get("/operator").await.text();
    assert!(all.contains("未定</dt>") && all.contains("準備を始めたところが先"), "{all}");
    let one = operator.get(&format!("/operator?q={}", city())).await.text();
    assert!(one.contains("1のうち1。") && one.contains("令和8年11月24日 10時00分"), "the last package: {one}");
    assert!(one.contains(&format!("href=\"/operator/insurers/{}\"", city())) && one.contains("開始</span>"), "{one}");
    assert!(operator.get("/operator?q=どこにもない").await.text().contains("合う市区町村はありません。"));
    let hospital = operator.get("/operator/offices?q=架空病院").await.text();
    assert!(hospital.contains("1のうち1。") && hospital.contains("接続できる"), "{hospital}");
    let planner = operator.get("/operator/offices?q=997000001").await.text();
    assert!(planner.contains("居宅介護支援事業所みほん") && !planner.contains("ヘルパー"), "{planner}");
    let lines = world.log_in(Role::Operator).await.get("/api/v1/operator/offices?q=9910000034").await.json();
    assert_eq!(lines["offices"][0]["certificates"], serde_json::json!(2));
    for page in ["/operator", "/operator/offices", "/operator/disasters", "/operator/audit"] {
        assert!(!operator.get(page).await.text().contains("花子"), "{page}");
        for role in [Role::City, Role::Planner, Role::Prefecture] {
            let other = Browser::logged_in(&world, role).await;
            assert_eq!(other.get(page).await.status, StatusCode::NOT_FOUND, "{role:?} {page}");
        }
    }
    world.verify().await;
}

#[tokio::test]
async fn a_disaster_mode_is_proposed_by_one_approved_by_another_and_its_end_is_reported_in_numbers() {
    let world = World::new().await;
    let (list, area) = ("/operator/disasters", city().to_string());
    let mut first = Browser::logged_in(&world, Role::Operator).await;
    assert!(first.get(list).await.text().contains("まだ開いたことがありません。"));
    let wrong = [("event", "見本地震"), ("areas", "99"), ("from", "令和8年11月24日"), ("to", "いつか")];
    let told = first.submit(list, list, &wrong).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = told.text();
    assert!(
        text.contains("href=\"#areas\"") && text.contains("href=\"#to\"") && text.contains("value=\"見本地震\""),
        "{text}"
    );
    let right = [("event", "見本地震"), ("areas", area.as_str()), ("from", "令和8年11月24日"), ("to", "2026-11-30")];
    // A kind of office that is none would leave none, which means every kind.
    let unknown = [right[0], right[1], right[2], right[3], ("classes", "carr")];
    let told = first.submit(list, list, &unknown).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(told.text().contains("事業所の種類を、もう一度選んでください"), "{}", told.text());
    assert!(first.get(list).await.text().contains("まだ開いたことがありません。"));
    let long = [right[0], right[1], right[2], ("to", "2027-11-30")];
    assert!(first.submit(list, list, &long).await.text().contains("期間は14日以内"));
    assert_eq!(location(&first.submit(list, list, &right).await), "/operator/disasters?done=propose");
    let text = first.get(list).await.text();
    assert!(text.contains("承認待ち") && text.contains("staff1（提案）") && text.contains("承認はまだ"), "{text}");
    let page = text.split("href=\"/operator/disasters/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let page = format!("{list}/{page}");
    // Who proposed it does not approve it.
    assert!(first.get(&page).await.text().contains("あなたが提案しました。"));
    let own = first.submit(&page, &page, &[("act", "approve")]).await;
    assert_eq!(own.status, StatusCode::CONFLICT);
    assert!(own.text().contains("別の運用者が、別の端末"), "{}", own.text());
    let search = async || {
        world.pass(2).await;
        world.log_in(Role::Stranger).await.post("/api/v1/disasters/search", crate::disaster::hanako()).await
    };
    assert_eq!(search().await.status, StatusCode::NOT_FOUND, "nothing opened");
    let mut second = Browser::logged_in(&world, Role::SecondOperator).await;
    assert!(second.get(&page).await.text().contains("見本地震の災害時モードを承認する</button>"));
    let done = location(&second.submit(&page, &page, &[("act", "approve")]).await);
    let text = second.get(&done).await.text();
    assert!(text.contains("承認しました。") && text.contains("運用中") && text.contains("staff2"), "{text}");
    assert_eq!(search().await.status, StatusCode::OK);
    let done = location(&first.submit(&page, &page, &[("act", "close")]).await);
    let report = first.get(&done).await.text();
    assert!(report.contains("終了の報告") && report.contains("居宅介護支援事業所れいじ"), "{report}");
    assert!(
        report.contains("見つけた回数（人ごと）</dt><dd>1<") && report.contains("情報を開いた</dt><dd>0<"),
        "{report}"
    );
    assert!(!report.contains("花子") && !report.contains("0000000001"), "{report}");
    assert_eq!(search().await.status, StatusCode::NOT_FOUND, "closed at once");
    let mut city = Browser::logged_in(&world, Role::City).await;
    assert_eq!(city.submit("/today", &page, &[("act", "close")]).await.status, StatusCode::NOT_FOUND);
    world.verify().await;
}

#[tokio::test]
async fn the_newest_anchor_of_the_log_is_shown_as_it_was_signed() {
    let world = World::new().await;
    let operator = Browser::logged_in(&world, Role::Operator).await;
    let anchor = world.platform.store().audit().anchor_now().await.unwrap();
    let page = operator.get("/operator/audit").await.text();
    let hash: String = anchor.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        page.contains(&hash) && page.contains("署名はこの基盤の鍵に合います") && page.contains("版 2025-07"),
        "{page}"
    );
    world.verify().await;
}
