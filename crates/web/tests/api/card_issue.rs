//! 証の交付状況: never issued, issued and lost are told apart wherever the card is seen, and somebody without a card is met without
//! a surprise (P-035).

use crate::pages::Browser;
use crate::view::kind_path;
use crate::world::{Person, Role, World, cards_taken_back, city, day};
use axum::http::StatusCode;
use kiban_domain::insurance_card::{CardIssue, InsuranceCard};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use serde_json::json;

/// The city's next card of Hanako.
async fn send(world: &World, history: u32, issue: CardIssue) {
    let card =
        InsuranceCard { issue, certified: None, restrictions: vec![], planning_offices: vec![], facilities: vec![] };
    let entry = Entry { key: Person::Hanako.key(), history, change: Change::New, value: card };
    let files = MunicipalPackage::new(city(), world.now()).cards(&[entry]).finish().unwrap();
    let reply = world.log_in(Role::City).await.upload("/api/v1/packages", &files).await;
    assert_eq!(
        (reply.status, &reply.json()["report"]["counts"]["applied"]),
        (StatusCode::OK, &json!(1)),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn a_card_never_issued_is_told_apart_from_one_that_was_lost_on_every_page_and_in_the_api() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let own = world.find(Person::Hanako).await;
    let office = Browser::logged_in(&world, Role::Planner).await;
    let city_hall = Browser::logged_in(&world, Role::City).await;
    let cases = [
        (20, CardIssue::NeverIssued, json!("never_issued"), "未交付", "証を一度も交付していません"),
        (21, CardIssue::Issued(day("2026-10-20")), json!({ "issued": "2026-10-20" }), "交付済", "令和8年10月20日交付"),
        (
            22,
            CardIssue::Lost(day("2026-10-20")),
            json!({ "lost": "2026-10-20" }),
            "紛失",
            "令和8年10月20日に交付した証を、なくしたと届出がありました",
        ),
    ];
    for (history, issue, in_api, word, sentence) in cases {
        send(&world, history, issue).await;
        for (browser, handle) in [(&office, &handle), (&city_hall, &own)] {
            let html = browser.get(&format!("/p/{handle}")).await.text();
            assert!(html.contains("証の交付") && html.contains(word) && html.contains(sentence), "{word}: {html}");
            let others = ["未交付", "交付済", "紛失"].into_iter().filter(|other| *other != word);
            assert!(others.into_iter().all(|other| !html.contains(other)), "{word}: {html}");
        }
        let reply = world.log_in(Role::Planner).await.get(&kind_path(&handle, "A3a")).await;
        assert_eq!(reply.json()["documents"][0]["content"]["issue"], in_api, "{}", reply.text());
        let asked = json!({ "insurer_number": city(), "insured_number": Person::Hanako.key().insured });
        let reply = world.log_in(Role::Planner).await.post("/api/v1/eligibility", asked).await.json();
        let card = reply["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == "A3a").unwrap();
        assert_eq!(card["documents"][0]["content"]["issue"], in_api, "{reply}");
    }
}

#[tokio::test]
async fn of_somebody_without_any_card_the_page_says_so() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let reply = world.log_in(Role::City).await.upload("/api/v1/packages", &cards_taken_back(&world)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let own = world.find(Person::Hanako).await;
    for (role, handle) in [(Role::Planner, &handle), (Role::City, &own)] {
        let html = Browser::logged_in(&world, role).await.get(&format!("/p/{handle}")).await.text();
        assert!(html.contains("証の交付") && html.contains("記録がありません"), "{html}");
        assert!(html.contains("被保険者証のない人もいます") && !html.contains("未交付"), "{html}");
    }
}
