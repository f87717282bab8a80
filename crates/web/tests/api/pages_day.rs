//! The day of an officer and of an office: 今日の仕事 and the inbox, one document after the other.

use crate::pages::{Browser, location};
use crate::submissions::plan_request;
use crate::view::opinion;
use crate::world::{Person, Role, World};
use axum::http::StatusCode;
use serde_json::json;

/// Hands in an opinion of the hospital and a 届出 of the planner; the receipts.
async fn hand_in(world: &World) -> (String, String) {
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let hospital = world.log_in(Role::Hospital).await;
    let filed = hospital.post(&format!("/api/v1/people/{handle}/opinions"), opinion(world)).await.json();
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    world.pass(60).await;
    let request = planner.post(&format!("/api/v1/people/{handle}/plan-requests"), plan_request(world)).await.json();
    let receipt = |reply: serde_json::Value| reply["receipt"].as_str().unwrap().to_owned();
    (receipt(filed), receipt(request))
}

#[tokio::test]
async fn an_officer_opens_each_document_and_accepts_or_returns_it_with_a_reason() {
    let world = World::new().await;
    let (first, second) = hand_in(&world).await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let today = officer.get("/today").await.text();
    assert!(today.contains("届いた主治医意見書を確かめる　1件"), "{today}");
    let list = officer.get("/inbox").await.text();
    assert!(list.contains("これから決めるもの　2件") && list.contains("未開封"), "{list}");
    assert!(list.find(&first).unwrap() < list.find(&second).unwrap(), "in the order of arrival");
    let here = format!("/inbox/{first}");
    // Looking at the page opens nothing, and what is not open is neither read nor decided.
    let page = officer.get(&here).await.text();
    assert!(
        page.contains("この書類を開く") && !page.contains("脳梗塞") && !page.contains("受理する</button>"),
        "{page}"
    );
    assert_eq!(location(&officer.submit(&here, &here, &[("act", "fetch")]).await), here);
    let page = officer.get(&here).await.text();
    assert!(
        page.contains("脳梗塞後遺症") && page.contains("障害高齢者の日常生活自立度") && page.contains("A2"),
        "{page}"
    );
    // A return says why.
    let silent = officer.submit(&here, &here, &[("act", "return"), ("why", "other"), ("reason", " ")]).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(silent.text().contains("差戻しの理由を入力してください"), "{}", silent.text());
    let fields = [("act", "return"), ("why", "dates"), ("reason", "最終診察日です")];
    let next = location(&officer.submit(&here, &here, &fields).await);
    assert_eq!(next, format!("/inbox/{second}?done=return"));
    assert!(officer.get(&next).await.text().contains("差し戻しました。次の書類です。"));
    // Sent twice, or decided meanwhile: the page says what was decided.
    assert!(officer.get(&here).await.text().contains("日付を確かめてください。最終診察日です"));
    let page = form_of(&officer, &next).await;
    let late = [("form_token", page.as_str()), ("act", "accept")];
    assert_eq!(location(&officer.post(&here, &late).await), here);
    let there = format!("/inbox/{second}");
    officer.submit(&there, &there, &[("act", "fetch")]).await;
    let page = officer.get(&there).await.text();
    assert!(page.contains("居宅介護支援事業所みほん") && page.contains("新規"), "{page}");
    assert_eq!(location(&officer.submit(&there, &there, &[("act", "accept")]).await), "/inbox?done=accept");
    let empty = officer.get("/inbox?done=accept").await.text();
    assert!(empty.contains("受理しました。") && empty.contains("届いたものはすべて処理しました。"), "{empty}");
    let accepted = officer.get("/inbox?state=accepted").await.text();
    assert!(accepted.contains(&second) && !accepted.contains(&first), "{accepted}");
    let hospital = world.log_in(Role::Hospital).await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let state = hospital.get(&format!("/api/v1/people/{handle}/submissions")).await.json()["submissions"][0].clone();
    assert_eq!(state["state"]["reason"], json!("日付を確かめてください。最終診察日です"));
    let log = world.log_about(Person::Hanako.key()).await;
    for action in ["inbox.look", "inbox.fetch", "inbox.return", "inbox.accept"] {
        assert!(log.iter().any(|(done, ..)| done == action), "{action} is recorded");
    }
    world.verify().await;
}

async fn form_of(browser: &Browser<'_>, page: &str) -> String {
    crate::pages::form_token(&browser.get(page).await)
}

#[tokio::test]
async fn a_document_of_another_municipality_is_not_there_and_a_consent_is_only_taken_note_of() {
    let world = World::new().await;
    let (first, _) = hand_in(&world).await;
    let handle = world.stolen_handle(Role::Planner, Person::Hanako.key()).await;
    let planner = world.log_in(Role::Planner).await;
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    planner.post(&format!("/api/v1/people/{handle}/consents"), consent).await;
    let mut other = Browser::logged_in(&world, Role::OtherCity).await;
    let here = format!("/inbox/{first}");
    assert_eq!(other.get(&here).await.status, StatusCode::NOT_FOUND);
    for act in ["fetch", "accept", "return"] {
        let reply = other.submit("/inbox", &here, &[("act", act), ("why", "dates")]).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{act}");
    }
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let list = world.log_in(Role::City).await.get("/api/v1/inbox").await.json();
    let given = list["items"].as_array().unwrap().iter().find(|item| item["kind"] == "G1").unwrap();
    let there = format!("/inbox/{}", given["receipt"].as_str().unwrap());
    officer.submit(&there, &there, &[("act", "fetch")]).await;
    let page = officer.get(&there).await.text();
    assert!(page.contains("同意する") && page.contains("受理する</button>") && !page.contains("差し戻す"), "{page}");
    officer.origin = Some("https://evil.example".to_owned());
    let token = form_of(&officer, &there).await;
    let reply = officer.post(&there, &[("form_token", token.as_str()), ("act", "accept")]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(officer.get(&there).await.text().contains("受理する</button>"), "nothing was decided");
    world.verify().await;
}

#[tokio::test]
async fn the_day_begins_with_what_needs_whoever_logs_in() {
    let world = World::new().await;
    // The hospital was asked for an opinion long ago.
    let doctor = Browser::logged_in(&world, Role::Hospital).await;
    let today = doctor.get("/today").await.text();
    assert!(today.contains("架空 花子 さんの意見書を書く") && today.contains("過ぎています"), "{today}");
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    assert!(today.contains(&format!("href=\"/opinions/{handle}/basics\"")), "{today}");
    // The planner has a consent to take: the certification ends within 90 days.
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    assert!(planner.get("/today").await.text().contains("いま、対応が必要なものはありません。"));
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let today = planner.get("/today").await.text();
    assert!(today.contains("架空 花子 さんの同意をとる"), "{today}");
    assert!(
        today.contains(&format!("href=\"/p/{handle}/consent\"")) && today.contains("結果を待っている人　1人"),
        "{today}"
    );
    let consent = [("act", "given"), ("declarant", "person"), ("proof", "insurance_card")];
    let form = format!("/p/{handle}/consent");
    planner.submit(&form, &form, &consent).await;
    assert!(!planner.get("/today").await.text().contains("さんの同意をとる"), "done ones leave");
    // A 届出 that was sent back is told until somebody has seen it.
    let (_, request) = hand_in(&world).await;
    let city = world.log_in(Role::City).await;
    city.post(&format!("/api/v1/inbox/{request}/return"), json!({ "reason": "届出日" })).await;
    let today = planner.get("/today").await;
    assert!(today.text().contains("提出した書類が差し戻されました"), "{}", today.text());
    let text = today.text();
    let notice = text.split("name=\"notice\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut other = Browser::logged_in(&world, Role::Helper).await;
    assert_eq!(other.submit("/today", "/today", &[("notice", &notice)]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(location(&planner.submit("/today", "/today", &[("notice", &notice)]).await), "/today");
    assert!(!planner.get("/today").await.text().contains("提出した書類が差し戻されました"));
    world.verify().await;
}
