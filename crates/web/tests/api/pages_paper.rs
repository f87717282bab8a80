//! 認定調査票と主治医意見書 in the order of the paper (P-034): every item with its choices, for those who may see the document, and each
//! page a look at it.

use crate::pages::Browser;
use crate::view::accepted_opinion;
use crate::world::{Person, Role, World, city};
use axum::http::StatusCode;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::ApplicationKind;
use kiban_domain::survey::CertificationSurvey;
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};

/// Hanako's application with its consent, and two surveys.
async fn surveyed(world: &World) {
    let identity = Person::Hanako.insured().identity;
    let day = world.today().checked_sub(jiff::Span::new().days(60)).unwrap();
    let before = day.checked_sub(jiff::Span::new().years(1)).unwrap();
    let survey = |history, applied_on, place: usize| Entry {
        key: Person::Hanako.key(),
        history,
        change: Change::New,
        value: CertificationSurvey::example(identity.clone(), applied_on, |at, count| (at + place) % count),
    };
    let application = CertificationApplication::example(identity.clone(), day, ApplicationKind::Renewal);
    let application = Entry { key: Person::Hanako.key(), history: 1, change: Change::New, value: application };
    let files = MunicipalPackage::new(city(), world.now())
        .records(&[application])
        .records(&[survey(1, before, 1), survey(2, day, 0)])
        .finish()
        .unwrap();
    let reply = world.log_in(Role::City).await.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

/// What is ticked of an item: the text between its name and the next item.
fn answer(text: &str, item: &str) -> String {
    let row = text.split(&format!("<dt>{item}</dt>")).nth(1).unwrap_or_else(|| panic!("{item} is not there: {text}"));
    row.split("</dd>").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_survey_is_read_in_the_order_of_the_paper_with_every_choice() {
    let world = World::new().await;
    surveyed(&world).await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let person = planner.get(&format!("/p/{handle}")).await.text();
    assert!(person.contains(&format!("href=\"/p/{handle}/paper/survey\"")), "{person}");
    let page = format!("/p/{handle}/paper/survey");
    let text = planner.get(&page).await.text();
    for item in kiban_domain::survey::items() {
        let row = answer(&text, &format!("{}　{}", item.code, item.name));
        for (_, words) in &item.choices {
            assert!(row.contains(words), "{} {words}: {row}", item.code);
        }
        assert_eq!(row.matches('☑').count(), 1, "{}: {row}", item.code);
    }
    // The tenth item (1-3 寝返り) has the first of its three choices, a year before the second.
    assert!(
        answer(&text, "1-3　寝返り").contains("☑</span><span class=\"vh\">選択：</span>つかまらないでできる"),
        "{text}"
    );
    // What is beyond the oldest is the oldest.
    assert!(answer(&planner.get(&format!("{page}?version=9")).await.text(), "1-3　寝返り").contains("☑"));
    let before = planner.get(&format!("{page}?version=1")).await.text();
    assert!(answer(&before, "1-3　寝返り").contains("☑</span><span class=\"vh\">選択：</span>何かにつかまればできる"));
    assert!(
        text.contains("架空 花子")
            && answer(&text, "訪問介護（訪問型サービス）").contains("8回")
            && text.contains("14時00分"),
        "{text}"
    );
    assert!(text.contains("屋内は歩行器で5m歩けるが") && text.contains("長女が見守る"), "特記事項: {text}");
    assert!(answer(&text, "障害高齢者の日常生活自立度（寝たきり度）").contains("選択：</span>A2"), "{text}");
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().any(|entry| entry.0 == "view" && entry.1 == "allowed"), "{log:?}");
    // Nobody reads there what they may not read: no plan maker, no look.
    let other = world.register(Role::Helper, Person::Hanako).await;
    let helper = Browser::logged_in(&world, Role::Helper).await;
    assert_eq!(helper.get(&format!("/p/{other}/paper/survey")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(planner.get(&format!("/p/{handle}/paper/letter")).await.status, StatusCode::NOT_FOUND);
    world.verify().await;
}

#[tokio::test]
async fn an_opinion_is_read_in_the_order_of_the_paper_with_every_choice() {
    let world = World::new().await;
    surveyed(&world).await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let page = format!("/p/{handle}/paper/opinion");
    assert!(planner.get(&page).await.text().contains("まだ登録されていません。"));
    accepted_opinion(&world).await;
    let text = planner.get(&page).await.text();
    let chapters =
        ["基本の情報", "1　傷病に関する意見", "2　特別な医療", "3　心身の状態", "4　生活機能", "5　特記すべき事項"];
    let places: Vec<usize> = chapters.iter().map(|name| text.find(&format!("<h2>{name}")).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(answer(&text, "診断名1").contains("脳梗塞後遺症"), "{text}");
    // All choices stand there, the chosen one ticked.
    let stability = answer(&text, "症状としての安定性");
    assert!(["安定", "不安定", "不明"].iter().all(|one| stability.contains(one)), "{stability}");
    assert_eq!(stability.matches('☑').count(), 1, "{stability}");
    // Part and degree of a finding stand beside it.
    let pain = answer(&text, "関節の痛み");
    assert!(pain.contains("<i>部位</i>") && pain.contains("<i>程度</i>") && pain.contains('軽'), "{pain}");
    world.verify().await;
}
