//! Viewing and consent: what each role sees of Hanako, before and after.

use crate::world::{COLLEAGUE, Client, Person, Role, World, account_of};
use axum::http::StatusCode;
use serde_json::json;

pub fn kind_path(handle: &str, kind: &str) -> String {
    format!("/api/v1/people/{handle}/records/{kind}")
}

async fn status(client: &Client<'_>, handle: &str, kind: &str) -> (u16, String) {
    client.get(&kind_path(handle, kind)).await.refusal()
}

#[tokio::test]
async fn a_registered_office_sees_the_card_without_consent() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    let reply = helper.get(&kind_path(&handle, "A3a")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let view = reply.json();
    assert_eq!((view["mark"].as_str(), view["rule"].as_str()), (Some("○"), Some("assigned_office")));
    assert_eq!(view["documents"][0]["content"]["certified"]["limit_units"], json!(19_705));

    let page = helper.get(&format!("/api/v1/people/{handle}")).await.json();
    assert_eq!(page["person"]["name"], json!("架空 花子"));
    let why = helper.get(&format!("/api/v1/people/{handle}/why")).await.json();
    let card = why["kinds"].as_array().unwrap().iter().find(|k| k["kind"] == "A3a").unwrap();
    assert_eq!((card["allowed"].as_bool(), card["requirement"].as_str()), (Some(true), Some("P-100")));
    world.verify().await;
}

fn consent(act: &str) -> serde_json::Value {
    json!({ "act": act, "declarant": "person", "proof": "insurance_card", "form": "同意様式 第1版" })
}

/// Hanako's opinion, handed over by the hospital and accepted by her city.
pub async fn accepted_opinion(world: &World) {
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let reply =
        world.log_in(Role::Hospital).await.post(&format!("/api/v1/people/{handle}/opinions"), opinion(world)).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let receipt = reply.json()["receipt"].as_str().unwrap().to_owned();
    let reply = world.log_in(Role::City).await.post(&format!("/api/v1/inbox/{receipt}/accept"), json!({})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

pub fn opinion(world: &World) -> serde_json::Value {
    let institution = Role::Hospital.organization().office().unwrap();
    let mut opinion =
        kiban_domain::physician_opinion::PhysicianOpinion::example(Person::Hanako.key(), institution, world.today());
    opinion.basics.applicant.birth = Person::Hanako.insured().identity.birth;
    serde_json::to_value(opinion).unwrap()
}

#[tokio::test]
async fn without_consent_the_entitled_read_how_to_get_it_and_others_read_nothing() {
    let world = World::new().await;
    accepted_opinion(&world).await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    for kind in ["A1", "A2", "C1"] {
        let reply = planner.get(&kind_path(&handle, kind)).await;
        assert_eq!(reply.refusal(), (403, "consent_missing".to_owned()), "{kind}");
        assert_eq!(reply.json()["title"], json!("同意未取得です"));
        assert_eq!(reply.json()["requirement"], json!("P-056"));
    }
    let page = planner.get(&format!("/api/v1/people/{handle}")).await.json();
    let hidden: Vec<_> = page["hidden"].as_array().unwrap().iter().map(|kind| kind["kind"].clone()).collect();
    assert!(hidden.contains(&json!("A2")) && hidden.contains(&json!("C1")), "{hidden:?}");

    // 訪問介護 is entitled to C1 with consent, never to A1 and A2: those do not exist for it.
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    assert_eq!(status(&helper, &handle, "C1").await, (403, "consent_missing".to_owned()));
    let unknown = helper.get(&kind_path(&handle, "Z9")).await.comparable();
    for kind in ["A1", "A2"] {
        assert_eq!(helper.get(&kind_path(&handle, kind)).await.comparable(), unknown, "{kind}");
    }
    world.verify().await;
}

/// P-065, P-066, P-070.
#[tokio::test]
async fn what_proves_a_consent_reaches_the_city_and_giving_it_again_confirms_it() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let consents = format!("/api/v1/people/{handle}/consents");
    let mut given = consent("given");
    given["leaflet"] = json!("同意の説明書 第1版");
    given["evidence"] = json!({ "kind": "signed_form", "reference": "data:image/png;base64,AAAA" });
    let reply = planner.post(&consents, given.clone()).await;
    assert_eq!((reply.refusal().0, &reply.json()["items"][0]["item"]), (422, &json!("evidence")));
    given["evidence"]["reference"] = json!("文書番号 8-0123");
    let first = planner.post(&consents, given.clone()).await.json();
    assert!(first["given_at"].is_string() && first["given_at"] == first["confirmed_at"], "{first}");

    let city = world.log_in(Role::City).await;
    let inbox = city.get("/api/v1/inbox").await.json();
    let notice = inbox["items"].as_array().unwrap().iter().find(|item| item["kind"] == "G1").unwrap().clone();
    let receipt = notice["receipt"].as_str().unwrap();
    let content = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json()["content"].clone();
    assert_eq!((&content["leaflet"], &content["evidence"]), (&given["leaflet"], &given["evidence"]));

    world.pass(60).await;
    let again = planner.post(&consents, given).await.json();
    assert_eq!(again["given_at"], first["given_at"], "without a gap");
    assert_ne!(again["confirmed_at"], first["confirmed_at"]);
}

#[tokio::test]
async fn consent_counts_from_the_next_request_and_so_does_its_withdrawal() {
    let world = World::new().await;
    accepted_opinion(&world).await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let consents = format!("/api/v1/people/{handle}/consents");
    assert_eq!(status(&planner, &handle, "A2").await.0, 403);

    let reply = planner.post(&consents, consent("given")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(reply.json()["given_at"].is_string());
    let view = planner.get(&kind_path(&handle, "A2")).await;
    assert_eq!(view.status, StatusCode::OK, "{}", view.text());
    assert_eq!(view.json()["mark"], json!("◎"));
    assert_eq!(view.json()["documents"][0]["content"]["basics"]["institution_name"], json!("架空診療所"));

    world.pass(60).await;
    let mut refuse = consent("kind_refused");
    refuse["kind"] = json!("A2");
    assert_eq!(planner.post(&consents, refuse.clone()).await.json()["refused"], json!(["A2"]));
    assert_eq!(status(&planner, &handle, "A2").await, (403, "kind_refused".to_owned()));
    assert_eq!(planner.get(&kind_path(&handle, "C1")).await.status, StatusCode::OK);

    world.pass(60).await;
    refuse["act"] = json!("kind_allowed");
    planner.post(&consents, refuse).await;
    assert_eq!(planner.get(&kind_path(&handle, "A2")).await.status, StatusCode::OK);

    world.pass(60).await;
    assert!(planner.post(&consents, consent("withdrawn")).await.json()["withdrawn_at"].is_string());
    assert_eq!(status(&planner, &handle, "A2").await, (403, "consent_missing".to_owned()));
    assert_eq!(planner.get(&kind_path(&handle, "A3a")).await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn only_the_plan_maker_of_the_planning_office_sees_the_opinion() {
    let world = World::new().await;
    accepted_opinion(&world).await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    planner.post(&format!("/api/v1/people/{handle}/consents"), consent("given")).await;
    assert_eq!(status(&planner, &handle, "A2").await, (403, "not_plan_maker".to_owned()));
    world.register_plan_maker(Role::Planner, Person::Hanako).await;
    assert_eq!(planner.get(&kind_path(&handle, "A2")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_offices_the_rules_name_take_consent() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    let consents = format!("/api/v1/people/{handle}/consents");
    assert_eq!(helper.post(&consents, consent("given")).await.refusal(), (403, "consent_not_taker".to_owned()));
    // A withdrawal is taken from everybody the person tells it.
    assert_eq!(helper.post(&consents, consent("withdrawn")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_city_the_prefecture_the_operator_and_a_stranger_find_nobody() {
    let world = World::new().await;
    let nobody = kiban_domain::PersonKey {
        insured: kiban_domain::InsuredNumber::parse("0000000099").unwrap(),
        ..Person::Hanako.key()
    };
    for role in [Role::OtherCity, Role::Prefecture, Role::Operator, Role::Stranger] {
        let client = world.log_in(role).await;
        let mut answers = Vec::new();
        for person in [Person::Hanako.key(), Person::Hidden.key(), nobody] {
            let handle = world.stolen_handle(role, person).await;
            for path in ["", "/why", "/records/A3a", "/records/A2"] {
                let reply = client.get(&format!("/api/v1/people/{handle}{path}")).await;
                assert_eq!(reply.refusal().0, 404, "{role:?} {path} {}", reply.text());
                answers.push(reply.comparable());
            }
        }
        let made_up = client.get(&format!("/api/v1/people/{}/records/A3a", "0".repeat(88))).await;
        assert!(answers.iter().all(|answer| *answer == made_up.comparable()), "{role:?}");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_handle_is_worth_nothing_to_another_office() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    world.register(Role::Helper, Person::Hanako).await;
    let reply = world.log_in(Role::Helper).await.get(&kind_path(&handle, "A3a")).await;
    assert_eq!(reply.refusal(), (404, "unknown".to_owned()));
}

#[tokio::test]
async fn a_city_that_has_not_started_shows_nothing_and_says_when_it_will() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planned = kiban_domain::municipality::StartState::Planned(crate::world::day("2027-04-01"));
    world.change(async |tx| tx.set_start(crate::world::city(), planned).await.unwrap()).await;
    let reply = world.log_in(Role::Planner).await.get(&kind_path(&handle, "A3a")).await;
    assert_eq!(reply.refusal(), (403, "not_started".to_owned()));
    assert!(reply.json()["title"].as_str().unwrap().contains("未開始（令和9年4月1日 開始予定）"));
    assert_eq!(reply.json()["start"], json!({ "state": "planned", "date": "2027-04-01" }));
}

#[tokio::test]
async fn what_was_known_on_a_day_can_be_asked() {
    let world = World::new().await;
    let handle = world.find(Person::Hanako).await;
    let city = world.log_in(Role::City).await;
    let card = kind_path(&handle, "A3a");
    let documents = |reply: crate::world::Reply| reply.json()["documents"].as_array().unwrap().len();
    assert_eq!(documents(city.get(&format!("{card}?known_on=2026-11-24")).await), 1);
    assert_eq!(documents(city.get(&format!("{card}?known_on=2026-11-23")).await), 0);
    assert_eq!(city.get(&format!("{card}?known_on=yesterday")).await.refusal(), (422, "invalid".to_owned()));
}

#[tokio::test]
async fn where_a_withheld_person_is_stays_with_the_city_and_offices_it_confirmed() {
    let world = World::new().await;
    let card = Person::Hidden.card();
    let planner = world.log_in(Role::Planner).await;
    assert_eq!(planner.post("/api/v1/people", card.clone()).await.refusal(), (404, "not_matched".to_owned()));

    let handle = world.find(Person::Hidden).await;
    let city = world.log_in(Role::City).await;
    let office = Role::Planner.organization();
    let page = city.get(&format!("/api/v1/people/{handle}")).await.json();
    assert_eq!(page["person"]["address"], json!("見本県見本市架空町1-1"));
    let confirm = format!("/api/v1/people/{handle}/offices/{office}");
    assert_eq!(city.put(&confirm, json!({ "decision": "confirm" })).await.status, StatusCode::NO_CONTENT);
    let own = world.register(Role::Planner, Person::Hidden).await;
    assert_eq!(planner.get(&kind_path(&own, "A3a")).await.status, StatusCode::OK);

    // An office that got in without the city's word (as if by an old registration) does not learn where she is.
    world.assign(Role::Helper, Person::Hidden, false).await;
    let stolen = world.stolen_handle(Role::Helper, Person::Hidden.key()).await;
    let helper = world.log_in(Role::Helper).await;
    let reply = helper.get(&format!("/api/v1/people/{stolen}")).await;
    assert!(!reply.text().contains("架空町"), "{}", reply.text());

    // Keeping its registration is one decision, confirming it another (P-037, P-111).
    let other = format!("/api/v1/people/{handle}/offices/{}", Role::Helper.organization());
    let strange = city.put(&other, json!({ "decision": "perhaps" })).await;
    assert_eq!(strange.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(city.put(&other, json!({ "decision": "keep" })).await.status, StatusCode::NO_CONTENT);
    let kept = helper.get(&format!("/api/v1/people/{stolen}")).await;
    assert_eq!(kept.status, StatusCode::OK);
    assert!(!kept.text().contains("架空町"), "{}", kept.text());
    assert_eq!(city.put(&other, json!({ "decision": "confirm" })).await.status, StatusCode::NO_CONTENT);
    assert!(helper.get(&format!("/api/v1/people/{stolen}")).await.text().contains("架空町"));
    // A confirmed office that is kept stays confirmed; one that was ended is not confirmed by being kept.
    for (decision, sees) in [("keep", true), ("end", false), ("keep", false)] {
        assert_eq!(city.put(&other, json!({ "decision": decision })).await.status, StatusCode::NO_CONTENT);
        let page = helper.get(&format!("/api/v1/people/{stolen}")).await;
        assert_eq!(page.text().contains("架空町"), sees, "{decision}: {}", page.text());
    }
    let absent = format!("/api/v1/people/{handle}/offices/{}", Role::Stranger.organization());
    let nothing = city.put(&absent, json!({ "decision": "keep" })).await.refusal();
    assert_eq!(nothing, (404, "unknown".to_owned()));

    assert_eq!(city.put(&confirm, json!({ "decision": "end" })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(planner.get(&kind_path(&own, "A3a")).await.refusal().0, 404);
    world.verify().await;
}

#[tokio::test]
async fn only_an_administrator_of_the_office_hides_a_person_from_one_of_its_staff() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    let colleague = world.log_in_colleague(Role::Helper).await;
    let switch = format!("/api/v1/people/{handle}/staff/{}", Role::Helper.account());
    let refused = colleague.put(&switch, json!({ "hidden": true })).await;
    assert_eq!(refused.refusal(), (403, "not_administrator".to_owned()));
    assert_eq!(refused.json()["requirement"], json!("P-014"));
    assert_eq!(status(&helper, &handle, "A3a").await.0, 200);
    // Not for oneself either.
    assert_eq!(helper.put(&switch, json!({ "hidden": true })).await.refusal(), (422, "invalid".to_owned()));
    let mut promoted = account_of(Role::Helper, COLLEAGUE);
    promoted.staff.administrator = true;
    world.change(async |tx| tx.put_account(&promoted).await.unwrap()).await;
    assert_eq!(colleague.put(&switch, json!({ "hidden": true })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(status(&helper, &handle, "A3a").await, (403, "switched_off".to_owned()));
    // Nor does the one who is switched off switch on again.
    let reply = helper.put(&switch, json!({ "hidden": false })).await;
    assert!(reply.status.is_client_error(), "{}", reply.text());
    assert_eq!(status(&helper, &handle, "A3a").await, (403, "switched_off".to_owned()));
    let other = format!("/api/v1/people/{handle}/staff/nobody");
    assert_eq!(colleague.put(&other, json!({ "hidden": true })).await.refusal(), (422, "invalid".to_owned()));
}

#[tokio::test]
async fn the_list_shows_own_people_with_consent_and_days_left_and_ends() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let list = planner.get("/api/v1/people?limit=10").await.json();
    let line = &list["people"][0];
    assert_eq!((&line["handle"], &line["consent"]), (&json!(handle), &json!("missing")));
    assert_eq!((&line["days_left"], &line["step"]), (&json!(37), &json!("gathering")));
    let next = list["next"].as_str().unwrap();
    assert_eq!(planner.get(&format!("/api/v1/people?after={next}")).await.json()["people"], json!([]));
    assert_eq!(world.log_in(Role::Vendor).await.get("/api/v1/people").await.json()["people"][0], *line);

    assert_eq!(planner.delete(&format!("/api/v1/people/{handle}/registration")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(planner.get("/api/v1/people").await.json()["people"], json!([]));
    assert_eq!(status(&planner, &handle, "A3a").await, (404, "unknown".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn the_list_of_people_comes_in_pages() {
    let world = World::new().await;
    world.assign(Role::Planner, Person::Hanako, false).await;
    world.assign(Role::Planner, Person::Hidden, false).await;
    for role in [Role::Planner, Role::Vendor] {
        let client = world.log_in(role).await;
        let all = client.get("/api/v1/people").await.json()["people"].clone();
        assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
        let mut path = "/api/v1/people?limit=1".to_owned();
        for line in all.as_array().unwrap() {
            let page = client.get(&path).await.json();
            assert_eq!((&page["people"], &page["next"]), (&json!([line]), &line["handle"]), "{role:?}");
            path = format!("/api/v1/people?limit=1&after={}", line["handle"].as_str().unwrap());
        }
        assert_eq!(client.get(&path).await.json(), json!({ "people": [], "next": null }), "{role:?}");
    }
    world.verify().await;
}

#[tokio::test]
async fn the_city_reads_who_looked_and_an_office_reads_its_own_looks() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let helpers = world.register(Role::Helper, Person::Hanako).await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    let shown = planner.get(&kind_path(&handle, "A3a")).await;
    planner.get(&kind_path(&handle, "A2")).await;
    helper.get(&kind_path(&helpers, "A3a")).await;

    let city = world.log_in(Role::City).await;
    let path = format!("/api/v1/people/{}/look-ups", world.find(Person::Hanako).await);
    let all = city.get(&path).await.json();
    let looks = all["look_ups"].as_array().unwrap();
    let by = |office: Role, action: &str, outcome: &str| {
        looks.iter().any(|look| {
            look["organization"] == json!(office.organization())
                && look["action"] == action
                && look["outcome"] == outcome
        })
    };
    assert!(by(Role::Planner, "register", "実施") && by(Role::Planner, "view", "許可"), "{looks:?}");
    assert!(by(Role::Planner, "view", "拒否") && by(Role::Helper, "view", "許可"), "{looks:?}");
    // The id in the answer is the id in the log.
    let id = shown.headers["x-request-id"].to_str().unwrap();
    assert!(looks.iter().any(|look| look["request_id"] == id));

    let own = helper.get(&format!("/api/v1/people/{helpers}/look-ups")).await.json();
    let own = own["look_ups"].as_array().unwrap();
    assert!(!own.is_empty() && own.iter().all(|look| look["organization"] == json!(Role::Helper.organization())));
    world.verify().await;
}
