//! 窓口: the municipality's page of codes and proxies for an insured's own door, from the counter to the person's screen
//! (P-001, P-002, T-2, T-38).

use crate::pages::{Browser, location};
use crate::person_door::{self, log_in};
use crate::world::{Person, Reply, Role, World};
use axum::http::StatusCode;

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
