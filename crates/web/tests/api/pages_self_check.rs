//! セキュリティ点検 (P-195, P-197): the answers of an office, its rules and its steps after an accident, to be printed.

use crate::pages::{Browser, location};
use crate::world::{COLLEAGUE, PASSWORD, Role, World};
use axum::http::StatusCode;
use kiban_domain::office::StaffId;
use kiban_service::{CHECK_QUESTIONS, SELF_CHECK_EDITION};
use kiban_store::{Entry, Outcome, SelfCheck};
use std::collections::BTreeMap;

const PAGE: &str = "/admin/security";

/// はい to everything but these, which get this day.
fn answers(missing: &[(&str, &str)]) -> Vec<(String, String)> {
    CHECK_QUESTIONS
        .iter()
        .flat_map(|question| {
            let day = missing.iter().find(|(number, _)| *number == question.number).map(|(_, day)| *day);
            let answer = if day.is_some() { "no" } else { "yes" };
            [
                (format!("a.{}", question.number), answer.to_owned()),
                (format!("d.{}", question.number), day.unwrap_or_default().to_owned()),
            ]
        })
        .collect()
}

fn fields(all: &[(String, String)]) -> Vec<(&str, &str)> {
    all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn an_office_answers_every_question_and_prints_the_rules_that_follow() {
    let world = World::new().await;
    let mut office = Browser::logged_in(&world, Role::Planner).await;
    assert!(office.get("/admin").await.text().contains("href=\"/admin/security\""));
    let text = office.get(PAGE).await.text();
    assert!(text.contains("K-01") && text.contains("K-21") && !text.contains("前の点検"), "{text}");
    // A question without an answer, いいえ without a day, and days that are gone or too far are told at the question.
    let mut wrong = answers(&[("K-09", ""), ("K-11", "令和8年11月23日"), ("K-12", "いつか")]);
    wrong.retain(|(name, _)| name != "a.K-01");
    let told = office.submit(PAGE, PAGE, &fields(&wrong)).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = told.text();
    for fault in ["K-01 に答えてください", "K-09：「いいえ」のときは", "href=\"#q-K-12\""] {
        assert!(text.contains(fault), "{fault}: {text}");
    }
    assert!(text.contains("value=\"いつか\"") && text.contains("name=\"a.K-02\" value=\"yes\" checked"), "{text}");
    let late = answers(&[("K-11", "令和8年11月23日")]);
    assert!(office.submit(PAGE, PAGE, &fields(&late)).await.text().contains("K-11：直す日は、今日から1年のうち"));
    let right = answers(&[("K-09", "令和9年3月31日"), ("K-18", "2026-12-10")]);
    assert_eq!(location(&office.submit(PAGE, PAGE, &fields(&right)).await), "/admin/security?done=kept");
    let text = office.get(PAGE).await.text();
    assert!(text.contains("21のうち19が「はい」") && text.contains("令和9年3月31日まで"), "{text}");
    assert!(!text.contains("過ぎました") && !text.contains("次の点検の時期"), "{text}");
    assert!(text.contains("前回：いいえ（令和8年12月10日までに直す）"), "{text}");
    let rules = office.get("/admin/security/rules").await.text();
    assert!(rules.contains("9970000011") && rules.contains("居宅介護支援事業所みほん"), "{rules}");
    assert!(rules.contains("（令和9年3月31日までに始める）") && rules.contains("貸し借りしない"), "{rules}");
    let incident = office.get("/admin/security/incident").await.text();
    assert!(incident.contains("その端末を失効させる") && incident.contains("個人情報保護委員会"), "{incident}");
    // What was promised and not done is told.
    world.pass(30 * 24 * 60 * 60).await;
    let office = Browser::logged_in(&world, Role::Planner).await;
    assert!(office.get(PAGE).await.text().contains("令和8年12月10日まで（過ぎました）"));
    world.verify().await;
}

#[tokio::test]
async fn an_office_sees_its_own_answers_and_only_its_administrator_gives_them() {
    let world = World::new().await;
    let mut office = Browser::logged_in(&world, Role::Planner).await;
    let right = answers(&[("K-09", "令和9年3月31日")]);
    office.submit(PAGE, PAGE, &fields(&right)).await;
    let other = Browser::logged_in(&world, Role::Helper).await;
    assert!(!other.get(PAGE).await.text().contains("前の点検"));
    assert!(!other.get("/admin/security/rules").await.text().contains("令和9年3月31日"));
    // Somebody of the helper's who is no administrator reads the questions and cannot answer them.
    let mut colleague = Browser::of(&world, Role::Helper);
    colleague.post("/login", &[("account", COLLEAGUE), ("password", PASSWORD)]).await;
    let text = colleague.get(PAGE).await.text();
    assert!(text.contains("答えるのは、この事業所の管理者です。") && !text.contains("name=\"a.K-01\""), "{text}");
    assert_eq!(colleague.submit("/account/password", PAGE, &fields(&right)).await.status, StatusCode::NOT_FOUND);
    for role in [Role::City, Role::Operator] {
        assert_eq!(Browser::logged_in(&world, role).await.get(PAGE).await.status, StatusCode::NOT_FOUND, "{role:?}");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_check_is_due_again_after_a_year() {
    let world = World::new().await;
    let office = Browser::logged_in(&world, Role::Planner).await;
    let answers: BTreeMap<&str, &str> = CHECK_QUESTIONS.iter().map(|question| (question.number, "yes")).collect();
    for (days, is_due) in [(366, true), (365, false)] {
        let check = SelfCheck {
            made_at: world.now() - jiff::SignedDuration::from_hours(24 * days),
            made_by: StaffId("9970000011/gone".to_owned()),
            edition: SELF_CHECK_EDITION.to_owned(),
            answers: serde_json::to_string(&answers).unwrap(),
        };
        let mut tx = world.platform.store().begin().await.unwrap();
        tx.put_self_check(Role::Planner.organization(), &check).await.unwrap();
        tx.commit(Entry::new(world.now(), "request", "test", "self_check.put", Outcome::Done)).await.unwrap();
        assert_eq!(office.get(PAGE).await.text().contains("次の点検の時期"), is_due, "{days}");
    }
}
