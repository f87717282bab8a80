//! ケアプラン at a screen: a set goes to an office that can be reached, is fetched, answered with results, or taken back.

use crate::pages::{Browser, form_token, location};
use crate::slips::{plan, plan_of, results, serial, set};
use crate::world::{Person, Reply, Role, World};
use axum::http::{StatusCode, header};

type Files = Vec<(String, Vec<u8>)>;

async fn send(browser: &Browser<'_>, path: &str, files: &Files) -> Reply {
    let token = form_token(&browser.get(path).await);
    browser.upload_all(path, &token, files).await
}

fn to(role: Role) -> String {
    format!("/plans/send?to={}", role.organization())
}

#[tokio::test]
async fn a_set_is_sent_fetched_and_answered_and_each_side_sees_where_it_stands() {
    let world = World::new().await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    let mut helper = Browser::logged_in(&world, Role::Helper).await;
    assert!(planner.get("/plans").await.text().contains("受け取ったものは、まだありません。"));
    // Whether the office can be reached is told before anything is chosen.
    let form = planner.get(&to(Role::Helper)).await.text();
    assert!(form.contains("この事業所は電子で受け取れます。") && form.contains("type=\"file\""), "{form}");
    let sent = location(&send(&planner, &to(Role::Helper), &set(Role::Planner, Role::Helper, serial())).await);
    let page = sent.split('?').next().unwrap().to_owned();
    let text = planner.get(&sent).await.text();
    assert!(text.contains("送りました。") && text.contains("相手はまだ受け取っていません"), "{text}");
    // The other side: a task, a list, and nothing of the files before they are fetched.
    let today = helper.get("/today").await.text();
    assert!(today.contains("届いたケアプランを受け取る　1件") && today.contains("href=\"/plans\""), "{today}");
    let before = helper.get(&page).await.text();
    assert!(before.contains("まだ受け取っていません。") && !before.contains("CSVで保存"), "{before}");
    let fetched = location(&helper.submit(&page, &page, &[("act", "fetch")]).await);
    let after = helper.get(&fetched).await.text();
    assert!(after.contains("受け取りました。") && after.contains("CSVで保存"), "{after}");
    assert!(!helper.get("/today").await.text().contains("届いたケアプランを受け取る"));
    let file = after.split(&format!("href=\"{page}/files/")).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let reply = helper.get(&format!("{page}/files/{file}")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.headers[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
    assert!(helper.get(&format!("{page}/print")).await.text().contains("サービス提供票"));
    // Results go back from the page of what they answer.
    let answer = after.split("href=\"/plans/send?").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    let answer = format!("/plans/send?{answer}");
    location(&send(&helper, &answer, &results(Role::Helper, Role::Planner, serial())).await);
    let list = planner.get("/plans?side=sent").await.text();
    assert!(list.contains("実績が返ってきました"), "{list}");
    assert!(planner.get("/plans").await.text().contains("実績"));
    // Too late to take back; nobody else knows of it.
    let late = planner.submit(&page, &page, &[("act", "withdraw")]).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.text().contains("宛先が取得した送信は取り消せません"), "{}", late.text());
    let stranger = Browser::logged_in(&world, Role::Stranger).await;
    for path in [page.clone(), format!("{page}/print"), format!("{page}/files/{file}")] {
        assert_eq!(stranger.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    world.verify().await;
}

#[tokio::test]
async fn what_is_to_be_put_right_stands_beside_its_file_and_nothing_is_sent() {
    let world = World::new().await;
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let mut files = set(Role::Planner, Role::Helper, serial());
    let slip = files.iter_mut().find(|(name, _)| name.starts_with("UPPLAN")).unwrap();
    slip.1 = String::from_utf8_lossy(&slip.1).replace("111211", "1").into_bytes();
    let name = slip.0.clone();
    let reply = send(&planner, &to(Role::Helper), &files).await;
    let text = reply.text();
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains("まだ何も送っていません。") && text.contains("行目"), "{text}");
    let beside = text.split(&name).nth(1).unwrap();
    assert!(beside.starts_with("</p></div><p><span class=\"tag tag--ng\">直すところ"), "{text}");
    assert!(text.contains("問題なし"), "the other files are fine: {text}");
    // As many as the program may send, all of one name, stand there; more are refused before any is looked at.
    let named = |count| -> Files { vec![("a".to_owned(), Vec::new()); count] };
    let many = send(&planner, &to(Role::Helper), &named(1_000)).await;
    let text = many.text();
    assert_eq!(many.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains("直すところ") && text.len() < 4 << 20, "{}", text.len());
    let more = send(&planner, &to(Role::Helper), &named(1_001)).await;
    assert_eq!(more.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(more.text().contains("1,000個以内"), "{}", more.text());
    // As much as the program may send, 4 MiB, is looked at; more is not.
    let large = |bytes| -> Files { vec![("a.csv".to_owned(), vec![b'x'; bytes])] };
    let whole = send(&planner, &to(Role::Helper), &large(4_000_000)).await;
    assert_eq!(whole.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", whole.text());
    let refused = send(&planner, &to(Role::Helper), &large(4 << 20)).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    let none = send(&planner, &to(Role::Helper), &Vec::new()).await;
    assert!(none.text().contains("ファイルを選んでください。"), "{}", none.text());
    assert!(planner.get("/plans?side=sent").await.text().contains("送ったものは、まだありません。"));
    // An office that is not there, and a number that is none.
    let unknown = planner.get("/plans/send?to=1399999995").await.text();
    assert!(unknown.contains("まだ電子で受け取れません。") || unknown.contains("検証番号"), "{unknown}");
    assert!(planner.get("/plans/send?to=123").await.text().contains("aria-invalid"));
    world.verify().await;
}

#[tokio::test]
async fn what_was_sent_by_mistake_is_taken_back_before_it_is_fetched() {
    let world = World::new().await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    let sent = location(&send(&planner, &to(Role::Helper), &set(Role::Planner, Role::Helper, serial())).await);
    let page = sent.split('?').next().unwrap().to_owned();
    let gone = location(&planner.submit(&page, &page, &[("act", "withdraw")]).await);
    let text = planner.get(&gone).await.text();
    assert!(text.contains("内容は残っていません。") && !text.contains("CSVで保存"), "{text}");
    let helper = Browser::logged_in(&world, Role::Helper).await;
    assert!(helper.get("/plans").await.text().contains("受け取ったものは、まだありません。"));
    // A hospital that gives no care service takes no part in this.
    let hospital = Browser::logged_in(&world, Role::Hospital).await;
    assert!(!hospital.get("/today").await.text().contains("href=\"/plans\""));
    world.verify().await;
}

/// P-214: the tables of a plan as they are on paper, each on a page, with earlier versions and what was done.
#[tokio::test]
async fn the_tables_of_a_plan_are_read_one_by_one_as_on_paper() {
    let world = World::new().await;
    let person = Person::Hanako;
    let handle = world.register(Role::Planner, person).await;
    let planner = world.log_in(Role::Planner).await;
    let browser = Browser::logged_in(&world, Role::Planner).await;
    let page = async |table: &str| browser.get(&format!("/p/{handle}/plan/{table}")).await;
    for table in ["1", "2", "3", "6", "7"] {
        let reply = page(table).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert!(reply.text().contains("まだ登録されていません"), "{table}: {}", reply.text());
    }
    assert!(!browser.get(&format!("/p/{handle}")).await.text().contains("/plan/1"));
    let upload = async |files: &Files| {
        let reply = planner.upload("/api/v1/plans", files).await;
        assert_eq!(reply.json()["report"]["counts"]["refused"], 0, "{}", reply.text());
    };
    let (of, for_) = (Role::Planner, Role::Helper);
    let older = plan_of(of, for_, serial(), person.key(), |plan| {
        plan.changed_on = "2026-05-10".parse().unwrap();
        plan.supplement.as_mut().unwrap().changed_on = Some(plan.changed_on);
        "以前の方針".clone_into(&mut plan.table1.policy);
        "週1回から".clone_into(&mut plan.table2.needs[0].long_goals[0].short_goals[0].services[0].frequency);
    });
    upload(&older).await;
    upload(&plan(of, for_, serial(), person.key())).await;
    upload(&set(of, for_, serial())).await;
    assert!(browser.get(&format!("/p/{handle}")).await.text().contains(&format!("href=\"/p/{handle}/plan/1\"")));
    let first = page("1").await.text();
    let (now, differences) = first.split_once("前の計画との違い").unwrap();
    assert!(now.contains("総合的な援助の方針") && !now.contains("以前の方針"), "{first}");
    assert!(
        differences.contains("総合的な援助の方針</th><td role=\"cell\" data-l=\"前の計画\"><div>以前の方針"),
        "{first}"
    );
    assert!(!differences.contains("居宅サービス計画作成者"), "what stayed is not listed: {first}");
    assert!(first.contains("いまの計画") && first.contains("以前の計画　令和8年5月10日"), "{first}");
    let oldest = page("1?version=1").await.text();
    assert!(oldest.contains("以前の方針") && !oldest.contains("前の計画との違い"), "{oldest}");
    assert!(page("1?version=99").await.text().contains("以前の方針"), "the last there is");
    let second = page("2").await.text();
    for words in ["生活全般の解決すべき課題（ニーズ）", "長期目標", "※2", "カナリア課題"] {
        assert!(second.contains(words), "{words}: {second}");
    }
    let (_, differences) = second.split_once("前の計画との違い").unwrap();
    assert!(differences.contains("週1回から"), "{second}");
    let third = page("3").await.text();
    assert!(third.contains("前の計画（令和8年5月10日）と、この表は同じです。"), "{third}");
    for words in [">月</th>", ">日</th>", "主な日常生活上の活動", "週単位以外のサービス", "〜"] {
        assert!(third.contains(words), "{words}: {third}");
    }
    let sixth = page("6").await.text();
    assert!(sixth.contains("令和8年11月") && sixth.contains("<td>2</td></tr>"), "two days planned: {sixth}");
    assert!(sixth.contains("111211") && sixth.matches("<td>2</td></tr>").count() == 1, "nothing done yet: {sixth}");
    let seventh = page("7").await.text();
    assert!(seventh.contains("合計") && seventh.contains("387"), "{seventh}");
    // What was done stands under what was planned.
    upload(&results(Role::Planner, Role::Helper, serial())).await;
    let sixth = page("6").await.text();
    assert_eq!(sixth.matches("<td>2</td></tr>").count(), 2, "{sixth}");
    // Other tables there are none, and to a stranger not even these.
    for table in ["4", "5", "x"] {
        assert_eq!(page(table).await.status, StatusCode::NOT_FOUND, "{table}");
    }
    let stolen = world.stolen_handle(Role::Stranger, person.key()).await;
    let stranger = Browser::logged_in(&world, Role::Stranger).await;
    assert_eq!(stranger.get(&format!("/p/{stolen}/plan/1")).await.status, StatusCode::NOT_FOUND);
    let log = world.log_about(person.key()).await;
    assert!(
        log.iter().filter(|(action, outcome, _)| action == "view" && outcome == "allowed").count() >= 12,
        "{log:?}"
    );
    world.verify().await;
}
