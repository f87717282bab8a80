//! 窓口: the municipality's page of codes and proxies for an insured's own door, from the counter to the person's screen
//! (P-001, P-002, T-2, T-38).

use crate::pages::{Browser, location};
use crate::person_door::{self, log_in};
use crate::world::{Person, Reply, Role, World};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// The officer at the counter, and where the page of 架空 花子 is.
async fn counter(world: &World) -> (Browser<'_>, String) {
    let mut officer = Browser::logged_in(world, Role::City).await;
    let page = location(&officer.submit("/insured", "/insured", &[("insured_number", "0000000001")]).await);
    let door = format!("{page}/door");
    let link = format!("<a href=\"{door}\">本人の画面の番号と代理</a>");
    assert!(officer.get(&page).await.text().contains(&link));
    (officer, door)
}

/// The number on the slip.
fn code_of(slip: &Reply) -> String {
    assert_eq!(slip.status, StatusCode::OK, "{}", slip.text());
    slip.text().split("<b class=\"num\">").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

/// The registration whose end a row of the page offers, the row of this word.
async fn registration(officer: &Browser<'_>, door: &str, word: &str) -> String {
    let html = officer.get(door).await.text();
    let row = html.split("<tr role=\"row\">").find(|row| row.contains(word) && row.contains("name=\"registration\""));
    let row = row.unwrap_or_else(|| panic!("{word}: {html}"));
    row.split("name=\"registration\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

fn daughter<'a>(role: &'a str, ends_on: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("role", role),
        ("name", "架空　長子"),
        ("birth", "昭和45年1月2日"),
        ("relation", "長女"),
        ("document", "戸籍全部事項証明書"),
        ("document_number", "12-34"),
        ("document_date", "R8.11.1"),
        ("ends_on", ends_on),
    ]
}

#[tokio::test]
async fn a_code_is_printed_once_opens_the_persons_door_and_is_ended_at_the_counter() {
    let (world, hostile) = person_door::open().await;
    let (mut officer, door) = counter(&world).await;
    let empty = officer.get(&door).await.text();
    assert!(empty.contains("架空 花子 さん") && empty.contains("ご本人のログインは、まだありません。"), "{empty}");
    let slip = officer.submit(&door, &format!("{door}/code"), &[]).await;
    let code = code_of(&slip);
    for words in ["架空 花子 様", "令和8年12月24日 10時00分まで。1回だけ", "https://www.kiban.test/me"]
    {
        assert!(slip.text().contains(words), "{words}: {}", slip.text());
    }
    // Told once: the list says that there is one and until when, never which.
    let list = officer.get(&door).await.text();
    assert!(list.contains("番号はまだ使われていない（令和8年12月24日 10時00分まで）"), "{list}");
    assert!(!list.contains(&code));
    let (mut moved, page) = log_in(&world, &hostile, "moved").await;
    assert_eq!(page, "/me/code");
    let used = moved.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(person_door::location(&used), "/me/now");
    let list = officer.get(&door).await.text();
    assert!(list.contains("から、ログインと結び付いている") && !list.contains("まだ使われていない"), "{list}");
    // Ended at the counter: nothing from the next request on, and the page still says that it was.
    let id = registration(&officer, &door, "ログインと結び付いている").await;
    let ended = officer.submit(&door, &format!("{door}/end"), &[("registration", &id)]).await;
    assert_eq!(location(&ended), format!("{door}?done=end"));
    assert_eq!(person_door::location(&moved.get(&world, "/me/now").await), "/me/whose");
    let list = officer.get(&format!("{door}?done=end")).await.text();
    assert!(list.contains("終えました。") && list.contains("市区町村が終えた（"), "{list}");
    let again = officer.submit(&door, &format!("{door}/end"), &[("registration", "x")]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    // One that is revoked before it was used opens nothing.
    let code = code_of(&officer.submit(&door, &format!("{door}/code"), &[]).await);
    let id = registration(&officer, &door, "まだ使われていない").await;
    officer.submit(&door, &format!("{door}/end"), &[("registration", &id)]).await;
    let used = moved.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(used.status, StatusCode::UNPROCESSABLE_ENTITY);
    world.verify().await;
}

#[tokio::test]
async fn a_proxy_is_registered_with_a_document_and_a_last_day_and_what_is_wrong_is_told_beside_its_field() {
    let (world, hostile) = person_door::open().await;
    let (mut officer, door) = counter(&world).await;
    let form = format!("{door}/proxies");
    let mut wrong = daughter("family", "令和8年12月31日");
    wrong[2].1 = "いつか";
    wrong[7].1 = "";
    let reply = officer.submit(&form, &form, &wrong).await;
    let text = reply.text();
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains("直すところが2つあります") && text.contains("<title>エラー："), "{text}");
    assert!(text.contains("href=\"#birth\"") && text.contains("href=\"#ends_on\""), "{text}");
    assert!(
        text.contains("value=\"架空　長子\"") && text.contains("value=\"family\" checked"),
        "what was typed: {text}"
    );
    let mut wrong = daughter("", "2036-12-31");
    wrong[4].1 = " ";
    let text = officer.submit(&form, &form, &wrong).await.text();
    for words in ["から選んでください", "終わりの日は、明日から3年以内の日", "直すところが3つあります"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let slip = officer.submit(&form, &form, &daughter("family", "令和8年12月31日")).await;
    let code = code_of(&slip);
    assert!(slip.text().contains("架空　長子 様（架空 花子 様の家族として）"), "{}", slip.text());
    assert!(slip.text().contains("令和8年12月31日</td>"), "the last day: {}", slip.text());
    let list = officer.get(&door).await.text();
    for words in ["家族・長女", "戸籍全部事項証明書　12-34（令和8年11月1日）", "番号はまだ使われていない"]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    let (mut browser, _) = log_in(&world, &hostile, "daughter").await;
    let used = browser.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(person_door::location(&used), "/me/now");
    // The person refuses the family: the counter reads it, with its day, and registers nobody of the family.
    let (mut hanako, _) = log_in(&world, &hostile, "hanako").await;
    hanako.submit(&world, "/me/offices", "/me/family", &[("family", "refuse")]).await;
    let list = officer.get(&door).await.text();
    assert!(
        list.contains("家族には見せないと、ご本人が決めています") && list.contains("令和8年11月24日から。"),
        "{list}"
    );
    assert!(list.contains("ご本人が終えた（"), "{list}");
    let reply = officer.submit(&form, &form, &daughter("family", "令和8年12月31日")).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.text().contains("家族の登録はできません"), "{}", reply.text());
    hanako.submit(&world, "/me/offices", "/me/family", &[("family", "allow")]).await;
    let list = officer.get(&door).await.text();
    assert!(list.contains("ご本人が、家族に見せることにした（") && !list.contains("ご本人が決めています"), "{list}");
    // 任意後見人, whom the municipality ends.
    let code = code_of(&officer.submit(&form, &form, &daughter("voluntary", "2027-03-31")).await);
    let (mut browser, _) = log_in(&world, &hostile, "daughter").await;
    browser.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(browser.get(&world, "/me/now").await.status, StatusCode::OK);
    let id = registration(&officer, &door, "任意後見人・長女").await;
    officer.submit(&door, &format!("{door}/end"), &[("registration", &id)]).await;
    assert_eq!(person_door::location(&browser.get(&world, "/me/now").await), "/me/whose");
    world.verify().await;
}

#[tokio::test]
async fn of_a_withheld_person_the_page_warns_and_offers_no_proxy_and_markup_that_is_typed_stays_text() {
    let world = World::new().await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let handle = world.find(Person::Hidden).await;
    let (door, form) = (format!("/p/{handle}/door"), format!("/p/{handle}/door/proxies"));
    let html = officer.get(&door).await.text();
    assert!(html.contains("不開示の方です") && !html.contains("/door/proxies\">"), "{html}");
    let reply = officer.submit(&form, &form, &daughter("legal", "2027-03-31")).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.text().contains("不開示の方には、代理の方を登録できません"), "{}", reply.text());
    let handle = world.find(Person::Hanako).await;
    let form = format!("/p/{handle}/door/proxies");
    let mut nasty = daughter("legal", "2027-03-31");
    nasty[1].1 = "<script>alert(1)</script>";
    let slip = officer.submit(&form, &form, &nasty).await.text();
    let list = officer.get(&format!("/p/{handle}/door")).await.text();
    for html in [slip, list] {
        assert!(!html.contains("<script>") && html.contains("&#60;script&#62;"), "{html}");
    }
    world.verify().await;
}

/// T-2: two proxies dispute, and the municipality decides.
#[tokio::test]
async fn a_blocked_proxy_sees_nothing_from_the_next_request_on_and_the_person_and_the_other_still_see() {
    let (world, hostile) = person_door::open().await;
    let son =
        serde_json::json!({ "name": "架空 長男", "address": "大阪府", "birthdate": "1972-03-04", "gender": "male" });
    hostile.change(|state| drop(state.people.insert("son".to_owned(), son)));
    let (mut officer, door) = counter(&world).await;
    let form = format!("{door}/proxies");
    let daughters = code_of(&officer.submit(&form, &form, &daughter("legal", "2027-03-31")).await);
    let mut of_son = daughter("voluntary", "2027-03-31");
    (of_son[1].1, of_son[2].1, of_son[3].1) = ("架空 長男", "昭和47年3月4日", "長男");
    let sons = code_of(&officer.submit(&form, &form, &of_son).await);
    let (mut daughter, _) = log_in(&world, &hostile, "daughter").await;
    daughter.submit(&world, "/me/code", "/me/code", &[("code", &daughters)]).await;
    let (mut son, _) = log_in(&world, &hostile, "son").await;
    let (mut hanako, _) = log_in(&world, &hostile, "hanako").await;
    let id = registration(&officer, &door, "法定代理人・長女").await;
    let block = format!("{door}/block");
    let faults = officer.submit(&door, &block, &[("registration", "x"), ("document_date", "2026-11-20")]).await;
    assert_eq!(faults.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(faults.text().contains("直すところが3つあります"), "{}", faults.text());
    let only_daughter = [
        ("registration", id.as_str()),
        ("reason", "長男が、長女は後見人でなくなったと申し出た"),
        ("document", "申立書の写し"),
        ("document_date", "令和8年11月20日"),
    ];
    let reply = officer.submit(&door, &block, &only_daughter).await;
    assert_eq!(location(&reply), format!("{door}?done=block"));
    let again = officer.submit(&door, &block, &only_daughter).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let list = officer.get(&door).await.text();
    for words in [
        "架空　長子 さん（長女）の閲覧を止めています",
        "申立書の写し（令和8年11月20日）",
        "市区町村が決めるまで、見られない",
    ] {
        assert!(list.contains(words), "{words}: {list}");
    }
    // From the next request on, whatever it is; a log-in of her own finds nobody to look at.
    for page in ["/me/now", "/me/looks", "/me/offices", "/me/looks.json"] {
        assert_eq!(person_door::location(&daughter.get(&world, page).await), "/me/whose", "{page}");
    }
    let refused = daughter.get(&world, "/me/now").await;
    assert_eq!(crate::recorded::refusals(&world, &refused).await, ["proxy_blocked"]);
    assert_eq!(log_in(&world, &hostile, "daughter").await.1, "/me/code");
    // The other is not concerned, nor the person, who is told that she is blocked and not why.
    let used = son.submit(&world, "/me/code", "/me/code", &[("code", &sons)]).await;
    assert_eq!(person_door::location(&used), "/me/now");
    assert_eq!(hanako.get(&world, "/me/now").await.status, StatusCode::OK);
    for browser in [&mut hanako, &mut son] {
        let offices = browser.get(&world, "/me/offices").await.text();
        assert!(offices.contains("市区町村が たしかめているあいだ、見られません"), "{offices}");
        assert!(!offices.contains("申し出た") && !offices.contains("申立書"), "{offices}");
    }
    assert!(hanako.get(&world, "/me/looks").await.text().contains("代理の方の 閲覧を、決まるまで 止めました。"));
    // All of them; then what was decided.
    let all = [
        ("registration", "all"),
        ("reason", "どちらも申立て中"),
        ("document", "申立書"),
        ("document_date", "2026-11-21"),
    ];
    assert_eq!(location(&officer.submit(&door, &block, &all).await), format!("{door}?done=block"));
    assert_eq!(person_door::location(&son.get(&world, "/me/now").await), "/me/whose");
    assert_eq!(hanako.get(&world, "/me/now").await.status, StatusCode::OK);
    let html = officer.get(&door).await.text();
    let of_all = html.split("すべての代理の方の閲覧を止めています").nth(1).unwrap();
    let of_all = of_all.split("name=\"block\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let lift = format!("{door}/lift");
    let without = officer.submit(&door, &lift, &[("block", &of_all)]).await;
    assert_eq!(without.status, StatusCode::UNPROCESSABLE_ENTITY, "without a reason");
    let reply = officer.submit(&door, &lift, &[("block", &of_all), ("lifted_for", "審判が確定した")]).await;
    assert_eq!(location(&reply), format!("{door}?done=lift"));
    let (mut son, page) = log_in(&world, &hostile, "son").await;
    assert_eq!(page, "/me/whose");
    assert!(son.get(&world, "/me/whose").await.text().contains("架空 花子 さん（任意後見人として）"));
    assert_eq!(log_in(&world, &hostile, "daughter").await.1, "/me/code", "her own block holds");
    // The daughter is ended: the block has nothing left to hold.
    officer.submit(&door, &format!("{door}/end"), &[("registration", &id)]).await;
    let list = officer.get(&door).await.text();
    assert!(!list.contains("の閲覧を止めています") && list.contains("止めていた代理の方が終わった（"), "{list}");
    let log = world.log_about(Person::Hanako.key()).await;
    for action in ["proxy.block", "proxy.unblock"] {
        assert!(log.iter().any(|(done, outcome, _)| done == action && outcome == "done"), "{action}: {log:?}");
    }
    world.verify().await;
}

/// P-036: the whole city's papers in one file, without whoever looks for themselves or may not be written to.
#[tokio::test]
async fn the_papers_of_the_whole_city_come_in_one_file_with_the_register_of_what_is_sent() {
    let (world, hostile) = person_door::open().await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let page = officer.get("/letters").await.text();
    assert!(page.contains("お知らせ（紙）をまとめて作る") && page.contains("例：令和8年11月24日"), "{page}");
    assert!(officer.get("/insured").await.text().contains("href=\"/letters\""));
    // What cannot be read is told beside its field, with what was typed.
    let reply = officer.submit("/letters", "/letters", &[("day", "いつか"), ("since", "2026-12-01")]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = reply.text();
    assert!(text.contains("href=\"#day\"") && text.contains("value=\"いつか\""), "{text}");
    let reply = officer.submit("/letters", "/letters", &[("since", "2026-12-01")]).await;
    assert!(reply.text().contains("href=\"#since\"") && reply.text().contains("今日までの日"), "{}", reply.text());
    let fields = [("desk", "介護保険課"), ("telephone", "000-000-0000")];
    let reply = officer.submit("/letters", "/letters", &fields).await;
    assert_eq!(reply.headers["content-disposition"], "attachment; filename=\"letters.tar\"", "{}", reply.text());
    let files = crate::files::untar(&reply.body);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["0001.html", "0001.csv", "report.json"]);
    let text = |n: usize| String::from_utf8(files[n].1.clone()).unwrap();
    let (html, register, report) = (text(0), text(1), text(2));
    let before: Value = serde_json::from_str(&report).unwrap();
    let papers = before["papers"].as_u64().unwrap();
    assert_eq!(html.matches("class=\"main sheet letter\"").count() as u64, papers, "{report}");
    assert_eq!(html.matches("<svg ").count() as u64, papers, "each has its code");
    assert!(html.contains("架空 花子 様") && html.contains("介護保険課") && !html.contains("<script"), "{html}");
    assert!(!html.contains("href=") && !html.contains("src="), "it is printed where there is no server");
    assert_eq!(register.lines().count() as u64, papers + 1);
    assert!(register.starts_with("\u{feff}台帳番号,被保険者番号,"), "{register}");
    let line = register.lines().find(|line| line.contains(",0000000001,")).unwrap();
    assert!(line.contains("架空 花子,カクウ ハナコ,") && line.contains("要介護２,2026-12-31,1,"), "{line}");
    assert!(html.contains(&format!(">{}<", line.split(',').next().unwrap())), "the number stands on the paper");
    // The same without a page.
    let reply = world.log_in(Role::City).await.get("/api/v1/paper-notices?day=2026-12-01").await;
    assert_eq!(reply.headers["content-type"], "application/x-tar", "{}", reply.text());
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text.contains("令和8年12月1日からの、あなたの認定と負担は"), "{text}");
    // She looks for herself from now on.
    assert_eq!(log_in(&world, &hostile, "hanako").await.1, "/me/now");
    let reply = officer.submit("/letters", "/letters", &fields).await;
    let files = crate::files::untar(&reply.body);
    let report: Value = serde_json::from_slice(&files.last().unwrap().1).unwrap();
    assert_eq!((report["papers"].as_u64(), &report["look_themselves"]), (Some(papers - 1), &json!(1)), "{report}");
    assert!(files.iter().all(|(_, bytes)| !String::from_utf8_lossy(bytes).contains("0000000001")));
    // Nobody else's insured, and no office.
    let reply = world.log_in(Role::OtherCity).await.get("/api/v1/paper-notices").await;
    assert!(!String::from_utf8_lossy(&reply.body).contains("見本県見本市"), "another city's own only");
    let refused = world.log_in(Role::Planner).await.get("/api/v1/paper-notices").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    world.verify().await;
}
