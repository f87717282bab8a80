//! The pages of a municipality: packages tried and applied.

use crate::pages::{Browser, form_token, location};
use crate::world::{Person, Reply, Role, World, card_with_planner, package};
use axum::http::StatusCode;
use serde_json::json;

const NEW: &str = "/packages/new";

async fn send(browser: &Browser<'_>, files: &[(String, Vec<u8>)]) -> Reply {
    let token = form_token(&browser.get(NEW).await);
    browser.upload_all(NEW, &token, files).await
}

/// Receipts the city has.
async fn receipts(world: &World) -> usize {
    world.log_in(Role::City).await.get("/api/v1/receipts").await.json()["receipts"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_package_is_kept_and_looked_at_before_it_changes_anything_and_applied_once() {
    let world = World::new().await;
    world.pass(60).await;
    // What was loaded on the server itself is not the city's sending of a page, and stands in the list all the same.
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let list = officer.get("/packages").await.text();
    assert!(list.contains("反映済") && list.contains("被保険者 2") && list.contains("令和8年11月24日"), "{list}");
    let held = location(&send(&officer, &card_with_planner(&world)).await);
    assert!(held.starts_with("/packages/held/"), "{held}");
    let page = officer.get(&held).await.text();
    assert!(page.contains("1行が変わります。まだ何も反映していません。"), "{page}");
    assert!(page.contains("被保険者証の変わる行の例") && page.contains("新しく入る"), "{page}");
    assert!(page.contains("0000000001") && page.contains("1行を反映する</button>"), "{page}");
    assert_eq!(receipts(&world).await, 1, "nothing was received");
    let card = world.find(Person::Hanako).await;
    let card = format!("/api/v1/people/{card}/records/A3a");
    let planners = async || {
        let text = world.log_in(Role::City).await.get(&card).await.text();
        text.contains("居宅介護支援事業所みほん")
    };
    assert!(!planners().await);
    // Nobody else may look at it, apply it or throw it away.
    let mut other = Browser::logged_in(&world, Role::OtherCity).await;
    assert_eq!(other.get(&held).await.status, StatusCode::NOT_FOUND);
    for act in ["apply", "drop"] {
        assert_eq!(other.submit("/packages", &held, &[("act", act)]).await.status, StatusCode::NOT_FOUND);
    }
    let done = location(&officer.submit(&held, &held, &[("act", "apply")]).await);
    let page = officer.get(&done).await.text();
    assert!(page.contains("受け付けました。") && page.contains("反映済") && page.contains("staff1"), "{page}");
    assert!(planners().await, "now it is there");
    // A second click leads to the same receipt, and what was applied is held no longer.
    let again = location(&officer.submit("/packages", &held, &[("act", "apply")]).await);
    assert_eq!(again.split('?').next(), done.split('?').next());
    assert_eq!(officer.submit("/packages", &held, &[("act", "drop")]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(officer.get(&held).await.status, StatusCode::NOT_FOUND);
    assert_eq!(receipts(&world).await, 2);
    // The same bytes once more: their first receipt, and the original stays.
    let same = location(&send(&officer, &card_with_planner(&world)).await);
    let page = officer.get(&same).await.text();
    assert!(page.contains("変わる行はありません。"), "{page}");
    let first = location(&officer.submit(&same, &same, &[("act", "apply")]).await);
    assert!(first.starts_with(done.split('?').next().unwrap()) && first.ends_with("done=again"), "{first}");
    let list = officer.get("/packages").await.text();
    assert!(list.contains("2件。"), "{list}");
    world.verify().await;
}

#[tokio::test]
async fn a_package_that_cannot_be_taken_says_where_and_is_thrown_away() {
    let world = World::new().await;
    world.pass(60).await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let mut files = package(world.now());
    let last = files.last_mut().unwrap();
    last.1.truncate(last.1.len() / 2);
    let held = location(&send(&officer, &files).await);
    let page = officer.get(&held).await.text();
    assert!(page.contains("このパッケージは取り込めません") && page.contains("直すところ・確かめるところ"), "{page}");
    assert!(page.contains(&files.last().unwrap().0) && !page.contains("value=\"apply\""), "{page}");
    let gone = location(&officer.submit(&held, &held, &[("act", "drop")]).await);
    assert!(officer.get(&gone).await.text().contains("何も反映していません。"));
    assert_eq!(officer.get(&held).await.status, StatusCode::NOT_FOUND);
    // A 個人番号 anywhere: told without it, and gone at once.
    let mut files = package(world.now());
    files.push(("KGKB_A5_123456789018.csv".to_owned(), Vec::new()));
    let held = location(&send(&officer, &files).await);
    let page = officer.get(&held).await.text();
    assert!(page.contains("ファイルを消しました") && !page.contains("123456789018"), "{page}");
    assert!(!page.contains("value=\"apply\""), "{page}");
    assert_eq!(officer.get(&held).await.status, StatusCode::NOT_FOUND);
    assert_eq!(receipts(&world).await, 1);
    world.verify().await;
}

#[tokio::test]
async fn a_result_of_many_problems_is_told_by_pages_and_saved_without_formulas() {
    let world = World::new().await;
    world.pass(60).await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    // 230 files that no manifest names, one of them named like a formula.
    let mut files = package(world.now());
    files.extend((0..230).map(|n| (format!("=見本{n:03}.csv"), Vec::new())));
    let api = world.log_in(Role::City).await.upload("/api/v1/packages", &files).await;
    let receipt = api.json()["result"]["receipt"].as_str().unwrap().to_owned();
    let here = format!("/packages/{receipt}");
    let first = officer.get(&here).await.text();
    assert!(first.contains("1件目から100件目まで") && first.contains(&format!("{here}?page=2")), "{first}");
    let last = officer.get(&format!("{here}?page=3")).await.text();
    assert!(last.contains("次の100件") == false && last.contains("前の100件"), "{last}");
    assert_eq!(officer.get(&format!("{here}?page=99")).await.text(), last, "behind the end is the last one");
    let file = officer.get(&format!("{here}/result.csv")).await;
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert!(file.text().contains("\"'=見本000.csv\"") && !file.text().contains(",=見本"), "{}", file.text());
    for role in [Role::OtherCity, Role::Planner, Role::Operator] {
        let other = Browser::logged_in(&world, role).await;
        for path in [here.clone(), format!("{here}/result.csv")] {
            assert!(other.get(&path).await.status.is_client_error(), "{role:?} {path}");
        }
    }
    // A page of another log-in, or of another host, sends nothing.
    let token = "0".repeat(32);
    assert_eq!(officer.upload_all(NEW, &token, &package(world.now())).await.status, StatusCode::BAD_REQUEST);
    let token = form_token(&officer.get(NEW).await);
    let nothing = officer.upload_all(NEW, &token, &[]).await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        nothing.text().contains("ファイルがありません") && nothing.text().contains("<title>エラー："),
        "{}",
        nothing.text()
    );
    officer.origin = Some("https://evil.example".to_owned());
    assert_eq!(officer.upload_all(NEW, &token, &package(world.now())).await.status, StatusCode::BAD_REQUEST);
    let line = &world.log_in(Role::City).await.get("/api/v1/receipts").await.json()["receipts"][0];
    assert_eq!((&line["receipt"], &line["kinds"]["INSURED"]["read"]), (&json!(receipt), &json!(2)));
    world.verify().await;
}

#[tokio::test]
async fn an_officer_reads_whom_a_document_is_about_and_how_long_it_waits_and_a_program_does_not() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let opinion = crate::view::opinion(&world);
    let filed = world.log_in(Role::Hospital).await.post(&format!("/api/v1/people/{handle}/opinions"), opinion).await;
    let receipt = filed.json()["receipt"].as_str().unwrap().to_owned();
    let officer = Browser::logged_in(&world, Role::City).await;
    let list = officer.get("/inbox").await.text();
    assert!(list.contains("架空 花子") && list.contains("見本県見本市架空町1-1") && list.contains(">今日<"), "{list}");
    let item = officer.get(&format!("/inbox/{receipt}")).await.text();
    assert!(item.contains("架空 花子 さん") && item.contains("昭和16年5月3日生まれ"), "{item}");
    // The look at a name is recorded with her.
    assert!(world.log_about(Person::Hanako.key()).await.iter().any(|(action, ..)| action == "inbox"));
    let program = world.log_in(Role::CityProgram).await.get("/api/v1/inbox").await;
    assert!(program.text().contains("0000000001") && !program.text().contains("花子"), "{}", program.text());
    world.pass(3 * 86_400).await;
    let officer = Browser::logged_in(&world, Role::City).await;
    assert!(officer.get("/inbox").await.text().contains(">3日<"));
    world.verify().await;
}
