//! The pages of a municipality: packages tried and applied, consents to take, figures, the start of use, who may see whom.

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
    let list = format!("{held}/differences.csv");
    assert!(page.contains(&format!("href=\"{list}\"")), "{page}");
    let file = officer.get(&list).await.text();
    assert!(file.contains("新規,A3A,,,,new,基盤にない行です: 被保険者番号 0000000001"), "{file}");
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
    assert_eq!(other.get(&list).await.status, StatusCode::NOT_FOUND);
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
    let told = send(&officer, &files).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = told.text();
    assert!(page.contains("ファイルを消しました") && !page.contains("123456789018"), "{page}");
    assert!(!page.contains("value=\"apply\"") && !page.contains("/packages/held/"), "{page}");
    assert_eq!(kept(&world).await, [(1, 0)], "nothing of it lies anywhere, whether or not anybody looks");
    assert_eq!(receipts(&world).await, 1);
    world.verify().await;
}

/// Uploads and those of them that wait for a decision.
async fn kept(world: &World) -> [(i64, i64); 1] {
    use sqlx::Connection as _;
    let address = format!("sqlite:{}", world.dir.path().join("kiban.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&address).await.unwrap();
    let sql = "SELECT COUNT(DISTINCT upload_id), COUNT(DISTINCT CASE WHEN file_number = -1 THEN upload_id END) FROM upload_piece";
    let counted = sqlx::query_as(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    [counted]
}

/// What is kept to be looked at: tried once, one at a time, and read by looking at it without being tried again.
#[tokio::test]
async fn a_held_package_is_tried_when_it_comes_and_another_takes_its_place() {
    let world = World::new().await;
    world.pass(60).await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let tries = async || {
        let log = world.log_about(Person::Hanako.key()).await;
        log.into_iter().filter(|(action, ..)| action == "import.dry_run").count()
    };
    let first = location(&send(&officer, &card_with_planner(&world)).await);
    assert_eq!(tries().await, 1);
    let page = officer.get(&first).await.text();
    assert!(page.contains("1行が変わります。") && page.contains("調べた日時"), "{page}");
    assert_eq!(officer.get(&format!("{first}?page=2")).await.status, StatusCode::OK);
    assert_eq!(tries().await, 1, "looking tries nothing");
    // People are named on the page: looking is recorded by itself.
    assert!(world.recorded_of(Role::City, "import.trial").await);
    let second = location(&send(&officer, &package(world.now())).await);
    assert_eq!(officer.get(&first).await.status, StatusCode::NOT_FOUND, "one at a time");
    assert_eq!(kept(&world).await, [(2, 1)]);
    let done = location(&officer.submit(&second, &second, &[("act", "apply")]).await);
    assert!(done.starts_with("/packages/"), "{done}");
    assert_eq!(kept(&world).await[0].1, 0, "what the trial found goes when it is applied");
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
    assert!(!last.contains("次の100件") && last.contains("前の100件"), "{last}");
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

#[tokio::test]
async fn people_due_for_renewal_without_consent_stand_in_a_list_that_is_sorted_and_saved() {
    let world = World::new().await;
    let officer = Browser::logged_in(&world, Role::City).await;
    let list = officer.get("/renewals").await.text();
    assert!(list.contains("2人。認定の期限の近い順") && list.contains("あと37日"), "{list}");
    let handle = world.find(Person::Hanako).await;
    assert!(list.contains(&format!("href=\"/p/{handle}/consent\"")), "{list}");
    let by_kana = officer.get("/renewals?sort=kana").await.text();
    assert!(by_kana.find("カクウ ハナコ").unwrap() < by_kana.find("カメイ ヨシコ").unwrap(), "{by_kana}");
    let file = officer.get("/renewals.csv?sort=number").await;
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert!(
        file.text().contains("\r\n0000000001,架空 花子,カクウ ハナコ,要介護２,2026-12-31,37,未取得\r\n"),
        "{}",
        file.text()
    );
    assert!(world.log_about(Person::Hanako.key()).await.iter().any(|(action, ..)| action == "renewals.list"));
    // Whoever has consented is on it no longer.
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    world.log_in(Role::City).await.post(&format!("/api/v1/people/{handle}/consents"), consent).await;
    let list = officer.get("/renewals").await.text();
    assert!(list.contains("1人。") && !list.contains("架空 花子"), "{list}");
    let other = Browser::logged_in(&world, Role::OtherCity).await;
    assert!(other.get("/renewals").await.text().contains("更新が近く、同意がまだの人はいません。"));
    world.verify().await;
}

#[tokio::test]
async fn figures_are_counted_once_shown_as_charts_with_tables_and_leave_only_in_full_steps() {
    let world = World::new().await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    assert!(officer.get("/statistics").await.text().contains("今日の集計を始める</button>"));
    assert_eq!(location(&officer.submit("/statistics", "/statistics", &[]).await), "/statistics");
    let page = loop {
        let page = officer.get("/statistics").await.text();
        if !page.contains("集計しています") {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert!(page.contains("2人</dd>") && page.contains("この集計をCSVで保存"), "{page}");
    assert!(page.contains("<desc>") && page.contains("要介護２ 2人") && page.contains("30日</text>"), "{page}");
    // Every chart stands beside a real table with what it shows.
    assert!(page.contains("<caption>要介護度と年齢</caption>") && page.contains("数値を表で見る"), "{page}");
    assert!(!page.replace("<script src=\"/idle.js\" defer></script>", "").contains("<script"), "{page}");
    assert!(!page.contains("style="), "{page}");
    let shared = officer.get("/statistics?shareable=yes").await.text();
    assert!(shared.contains("要介護２ 10人未満") && !shared.contains("要介護２ 2人"), "{shared}");
    let file = officer.get("/statistics.csv?shareable=yes").await.text();
    assert!(file.contains(",＊\r\n") && !file.contains(",2\r\n"), "{file}");
    assert!(officer.get("/statistics.csv").await.text().contains(",2\r\n"));
    let wrong = officer.get("/statistics?day=soon").await.text();
    assert!(wrong.contains("<title>エラー：") && wrong.contains("href=\"#day\""), "{wrong}");
    let before = officer.get("/statistics?day=2026-11-01").await.text();
    assert!(
        before.contains("この日の集計は、まだありません。") && !before.contains("集計を始める</button>"),
        "{before}"
    );
    let other = Browser::logged_in(&world, Role::OtherCity).await;
    assert!(!other.get("/statistics").await.text().contains("要介護２ 2人"), "each municipality its own");
    world.verify().await;
}

#[tokio::test]
async fn the_switch_over_is_confirmed_on_a_page_of_its_own_and_recorded_and_so_is_its_undoing() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let page = format!("/p/{handle}");
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let text = officer.get("/start").await.text();
    assert!(text.contains("開始</span>") && text.contains("令和8年4月1日"), "{text}");
    let silent = officer.submit("/start", "/start", &[("act", "undo"), ("reason", " ")]).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(silent.text().contains("href=\"#reason\""), "{}", silent.text());
    let undo = [("act", "undo"), ("reason", "日付をまちがえた")];
    let sure = officer.submit("/start", "/start", &undo).await;
    assert!(
        sure.text().contains("まだ何も変えていません。") && sure.text().contains("すぐに見られなくなります"),
        "{}",
        sure.text()
    );
    assert_eq!(planner.get(&page).await.status, StatusCode::OK, "nothing was done");
    let undo = [("act", "undo"), ("reason", "日付をまちがえた"), ("sure", "yes")];
    assert_eq!(location(&officer.submit("/start", "/start", &undo).await), "/start?done=undo");
    assert_ne!(planner.get(&page).await.status, StatusCode::OK);
    let text = officer.get("/start").await.text();
    assert!(text.contains("調整中</span>") && text.contains("基盤にいる被保険者</dt><dd>2<"), "{text}");
    assert!(text.contains("照合の差異はありません。"), "{text}");
    let planned = [("act", "planned"), ("date", "令和9年4月1日")];
    assert_eq!(location(&officer.submit("/start", "/start", &planned).await), "/start?done=announce");
    assert!(officer.get("/start").await.text().contains("予定</span>"));
    assert_eq!(
        officer.submit("/start", "/start", &[("act", "planned")]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    // The operator has the same page of each; another city's is not there.
    let mut operator = Browser::logged_in(&world, Role::Operator).await;
    let there = format!("/operator/insurers/{}", crate::world::city());
    let confirm = operator.submit(&there, &there, &[("act", "start")]).await;
    assert!(confirm.text().contains("利用を開始する</button>"), "{}", confirm.text());
    // Confirmed with other data in view than there are now, it is asked again.
    let seen = confirm.text().split("name=\"seen\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for old in ["", "another.2.0"] {
        let sure = [("act", "start"), ("sure", "yes"), ("seen", old)];
        let again = operator.submit(&there, &there, &sure).await.text();
        assert!(again.contains("まだ何も変えていません。") && again.contains("利用を開始する</button>"), "{again}");
        assert_ne!(planner.get(&page).await.status, StatusCode::OK);
    }
    let sure = [("act", "start"), ("sure", "yes"), ("seen", seen.as_str())];
    let done = location(&operator.submit(&there, &there, &sure).await);
    assert!(operator.get(&done).await.text().contains("利用を開始しました。"));
    assert_eq!(planner.get(&page).await.status, StatusCode::OK);
    for role in [Role::City, Role::OtherCity, Role::Planner] {
        let mut browser = Browser::logged_in(&world, role).await;
        assert_eq!(
            browser.submit("/today", &there, &[("act", "undo"), ("reason", "x")]).await.status,
            StatusCode::NOT_FOUND
        );
    }
    assert!(world.recorded_of(Role::City, "insurer.start.undo").await, "the undoing");
    assert!(world.recorded_of(Role::Operator, "insurer.start").await, "the start");
    world.verify().await;
}

#[tokio::test]
async fn a_city_sees_who_may_see_an_own_insured_now_and_on_what_ground() {
    let world = World::new().await;
    world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let officer = Browser::logged_in(&world, Role::City).await;
    let handle = world.find(Person::Hanako).await;
    let here = format!("/p/{handle}/access");
    assert!(officer.get(&format!("/p/{handle}")).await.text().contains(&format!("href=\"{here}\"")));
    let text = officer.get(&here).await.text();
    assert!(text.contains("架空 花子 さん（被保険者番号"), "about whom: {text}");
    assert!(text.contains("居宅介護支援事業所みほん") && text.contains("被保険者証の4項目"), "{text}");
    assert!(text.contains("本人確認を済ませた担当事業所です") && text.contains("規則 P-100"), "{text}");
    // The hospital was asked for an opinion and is registered for nobody.
    assert!(text.contains("架空病院") && text.contains("規則 P-048"), "{text}");
    assert!(text.contains("ケアプランを作る人がいる") && text.contains(">まだ<"), "{text}");
    assert!(!text.contains("ヘルパーステーションみほん"), "who may not is not on it");
    // An end shows at once; half a year after the request the hospital may no longer.
    world.assign(Role::Helper, Person::Hanako, false).await;
    let office = world.stolen_handle(Role::Helper, Person::Hanako.key()).await;
    assert!(officer.get(&here).await.text().contains("ヘルパーステーションみほん"));
    world.log_in(Role::Helper).await.delete(&format!("/api/v1/people/{office}/registration")).await;
    let text = officer.get(&here).await.text();
    assert!(text.find("見られなくなった事業所").unwrap() < text.find("ヘルパーステーションみほん").unwrap(), "{text}");
    world.pass(60 * 86_400).await;
    world.forget_log_ins();
    let officer = Browser::logged_in(&world, Role::City).await;
    assert!(!officer.get(&here).await.text().contains("架空病院"));
    // Nobody else has such a page, of whomever.
    for role in [Role::Planner, Role::OtherCity, Role::Operator] {
        let stolen = world.stolen_handle(role, Person::Hanako.key()).await;
        let browser = Browser::logged_in(&world, role).await;
        let reply = browser.get(&format!("/p/{stolen}/access")).await;
        assert!(reply.status.is_client_error() && !reply.text().contains("みほん"), "{role:?}: {}", reply.text());
    }
    world.verify().await;
}

#[tokio::test]
async fn the_rules_that_everybody_reads_are_those_by_which_is_decided() {
    use kiban_policy::{Audience, Row, SharingTable};
    let world = World::new().await;
    let table = SharingTable::at(world.today()).unwrap();
    for role in [Role::Planner, Role::Hospital, Role::City, Role::Prefecture, Role::Operator] {
        let rules = world.log_in(role).await.get("/api/v1/rules").await.json();
        assert_eq!(rules["version"], json!(table.version()));
        for (kind, row) in rules["kinds"].as_array().unwrap().iter().zip(Row::ALL) {
            for (cell, audience) in kind["cells"].as_array().unwrap().iter().zip(Audience::ALL) {
                let decided = table.cell(row, audience);
                let told = (&cell["sign"], &cell["reason"]);
                assert_eq!(told, (&json!(decided.mark.sign()), &json!(decided.reason)), "{row:?} {audience:?}");
            }
        }
        let page = Browser::logged_in(&world, role).await.get("/rules").await.text();
        let cell = table.cell(Row::A1, Audience::CarePlanning);
        assert!(page.contains(&cell.reason) && page.contains("認定調査票") && page.contains("訪問介護"), "{page}");
        assert_eq!(page.matches("data-l=").count(), Row::ALL.len() * Audience::ALL.len());
    }
    world.verify().await;
}
