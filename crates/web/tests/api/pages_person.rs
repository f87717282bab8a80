//! A person's page and the list, as an office meets them in a week: who makes the plan, a consent that was withdrawn, an opinion the
//! city accepted, who looked.

use crate::pages::{Browser, location};
use crate::view::accepted_opinion;
use crate::world::{Person, Role, World, city};
use axum::http::StatusCode;
use kiban_domain::certification::{ApplicationKind, CertificationProgress};
use kiban_formats::municipal::{Change, Entry as Row, MunicipalPackage};

async fn consent(browser: &mut Browser<'_>, handle: &str, act: &str) -> StatusCode {
    let form = format!("/p/{handle}/consent");
    let fields = [("act", act), ("declarant", "person"), ("proof", "insurance_card")];
    browser.submit(&form, &form, &fields).await.status
}

#[tokio::test]
async fn the_tick_that_was_forgotten_is_set_later_on_the_persons_page_and_taken_back_there() {
    let world = World::new().await;
    accepted_opinion(&world).await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    consent(&mut planner, &handle, "given").await;
    let page = format!("/p/{handle}");
    let before = planner.get(&page).await.text();
    assert!(before.contains("ケアプランを作る人が登録されていません") && before.contains("規則 P-042"), "{before}");
    assert!(!before.contains("脳梗塞後遺症"), "{before}");
    let act = format!("{page}/plan-maker");
    assert_eq!(location(&planner.submit(&page, &act, &[("makes_plan", "yes")]).await), page);
    let log = world.log_about(Person::Hanako.key()).await;
    assert_eq!((log[0].0.as_str(), log[0].1.as_str()), ("register.plan_maker", "done"));
    let after = planner.get(&page).await.text();
    assert!(after.contains("脳梗塞後遺症") && after.contains("あなたが、この人のケアプランを作る人です。"), "{after}");
    // The opinion is read in its chapters, the first of them open.
    assert!(after.contains("<details class=\"fold\" open><summary>") && after.contains("心身の状態"), "{after}");
    assert!(
        after.contains("住宅改修の残り") && after.contains("200,000 円"),
        "told although nothing was used: {after}"
    );
    planner.submit(&page, &act, &[("makes_plan", "no")]).await;
    assert!(!planner.get(&page).await.text().contains("脳梗塞後遺症"));
    // An office that makes no plans is not asked, and cannot say so.
    let theirs = world.register(Role::Helper, Person::Hanako).await;
    let mut helper = Browser::logged_in(&world, Role::Helper).await;
    let page = format!("/p/{theirs}");
    assert!(!helper.get(&page).await.text().contains("ケアプランを作る人"));
    let refused = helper.submit(&page, &format!("{page}/plan-maker"), &[("makes_plan", "yes")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    world.verify().await;
}

#[tokio::test]
async fn a_consent_that_was_withdrawn_is_told_before_anybody_is_asked_again() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    let form = format!("/p/{handle}/consent");
    let fresh = planner.get(&form).await.text();
    assert!(!fresh.contains("いまの同意") && !fresh.contains("value=\"given\" checked"), "{fresh}");
    let silent = planner.submit(&form, &form, &[("declarant", "person"), ("proof", "insurance_card")]).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY, "nobody is taken to agree");
    consent(&mut planner, &handle, "given").await;
    assert!(planner.get(&form).await.text().contains("から、同意しています。"));
    consent(&mut planner, &handle, "withdrawn").await;
    let after = planner.get(&form).await.text();
    assert!(after.contains("に、同意をやめました。") && !after.contains("value=\"given\" checked"), "{after}");
    let list = planner.get("/users?f=noconsent").await.text();
    assert!(list.contains("この条件の利用者はいません。"), "who said no is not asked again by the list: {list}");
    world.verify().await;
}

#[tokio::test]
async fn where_the_city_takes_the_consent_the_office_is_told_before_it_fills_the_form() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    // The city has handled an application since it started, and asked itself.
    let progress = CertificationProgress::apply(world.today(), ApplicationKind::Renewal);
    let row = Row { key: Person::Hanako.key(), history: 40, change: Change::New, value: progress };
    let files = MunicipalPackage::new(city(), world.now()).progress(&[row]).finish().unwrap();
    let result = world.platform.import_package_locally(city(), files, &world.context(), &mut |_, _| {}).await.unwrap();
    assert_eq!((result.state, result.report.problems), ("applied", vec![]));
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let page = planner.get(&format!("/p/{handle}")).await.text();
    assert!(page.contains("申請のときに同意をとります。この事業所では登録できません。"), "{page}");
    assert!(!page.contains(">同意をとる</a>"), "{page}");
    let form = planner.get(&format!("/p/{handle}/consent")).await.text();
    assert!(form.contains("が申請のときにとります。この事業所では登録できません。"), "{form}");
    assert!(!form.contains("value=\"given\"") && !form.contains("<textarea"), "{form}");
    let list = planner.get("/users").await.text();
    assert!(list.contains("市区町村がとります") && !list.contains("同意をとる"), "{list}");
    assert!(!planner.get("/today").await.text().contains("さんの同意をとる"));
    world.verify().await;
}

#[tokio::test]
async fn an_opinion_the_city_accepted_is_in_also_where_its_own_row_does_not_say_so_yet() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let cell = async || {
        let list = planner.get("/users").await.text();
        list.split("data-l=\"意見書\"").nth(1).unwrap().split("</td>").next().unwrap().to_owned()
    };
    assert!(cell().await.contains("まだ"));
    accepted_opinion(&world).await;
    let iso = format!("datetime=\"{}\"", world.today());
    assert!(cell().await.contains(&iso), "{}", cell().await);
    let page = planner.get(&format!("/p/{handle}")).await.text();
    let step = page.split("<b>意見書</b>").nth(1).unwrap().split("</li>").next().unwrap().to_owned();
    assert!(step.contains(&iso), "{step}");
    world.verify().await;
}

#[tokio::test]
async fn one_look_at_a_person_is_one_row_of_who_looked() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let page = format!("/p/{handle}");
    planner.get(&page).await;
    let count = |text: &str| text.matches("role=\"rowheader\"").count();
    let looks = format!("{page}/looks");
    let before = count(&planner.get(&looks).await.text());
    planner.get(&page).await;
    let after = planner.get(&looks).await.text();
    assert_eq!(count(&after), before + 2, "the page, and the look at this list: {after}");
    assert!(after.contains("被保険者証、") || after.contains("、被保険者証"), "the kinds stand together: {after}");
}

#[tokio::test]
async fn a_search_without_a_number_says_what_to_enter() {
    let world = World::new().await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let reply = officer.submit("/insured", "/insured", &[("insured_number", " ")]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reply.text().contains("被保険者番号を入れてください。"), "{}", reply.text());
}

#[tokio::test]
async fn the_list_is_saved_as_a_file_and_a_form_of_consent_is_printed() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    let file = planner.get("/users.csv?f=noconsent").await;
    assert!(file.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let text = file.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[1].contains("架空 花子") && lines[1].contains("2026-03-20"), "{text}");
    let print = planner.get(&format!("/p/{handle}/consent/print")).await.text();
    assert!(
        print.contains("架空 花子") && print.contains("居宅介護支援事業所みほん") && print.contains("第1版"),
        "{print}"
    );
    consent(&mut planner, &handle, "given").await;
    assert_eq!(planner.get("/users.csv?f=noconsent").await.text().lines().count(), 1, "only those the filter keeps");
    let helper = Browser::logged_in(&world, Role::Helper).await;
    let stolen = world.stolen_handle(Role::Helper, Person::Hanako.key()).await;
    assert!(helper.get(&format!("/p/{stolen}/consent/print")).await.status.is_client_error());
    world.verify().await;
}
