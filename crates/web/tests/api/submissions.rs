//! 提出物 from the hospital or the care manager to the city and back.

use crate::view::opinion;
use crate::world::{Client, Person, Role, World};
use axum::http::StatusCode;
use serde_json::{Value, json};

pub fn plan_request(world: &World) -> Value {
    json!({
        "person": Person::Hanako.key(),
        "filing": { "kind": "new" },
        "form": "home_care",
        "office": Role::Planner.organization(),
        "office_name": "居宅介護支援事業所みほん",
        "office_address": null,
        "office_telephone": null,
        "care_manager_name": "見本 職員",
        "care_manager": null,
        "starts_on": world.today(),
        "filed_on": world.today(),
        "filer": { "who": "person", "address": null, "telephone": null },
        "person_agrees": true,
    })
}

/// P-014: what was filed about somebody is hidden with the person, or with the kind.
#[tokio::test]
async fn what_was_filed_is_hidden_from_one_of_the_staff_with_the_person_or_the_kind() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let filed = planner.post(&format!("/api/v1/people/{handle}/plan-requests"), plan_request(&world)).await;
    assert_eq!(filed.status, StatusCode::CREATED, "{}", filed.text());
    let colleague = world.log_in_colleague(Role::Planner).await;
    let switch = format!("/api/v1/people/{handle}/staff/{}", crate::world::COLLEAGUE);
    let sees = async |what: Value| {
        assert!(planner.put(&switch, what).await.status.is_success());
        let reply = colleague.get(&format!("/api/v1/people/{handle}/submissions")).await;
        let refusals = crate::recorded::refusals(&world, &reply).await;
        (reply.status.as_u16(), reply.json()["submissions"].as_array().map(Vec::len), refusals)
    };
    assert_eq!(sees(json!({ "hidden": true, "kinds": ["A3b"] })).await, (200, Some(1), vec![]));
    assert_eq!(sees(json!({ "hidden": true, "kinds": ["F1"] })).await, (200, Some(0), vec![]));
    assert_eq!(sees(json!({ "hidden": true })).await, (404, None, vec!["switched_off".to_owned()]));
    assert_eq!(sees(json!({ "hidden": false })).await, (200, Some(1), vec![]));
    world.verify().await;
}

#[tokio::test]
async fn each_form_of_the_plan_request_takes_what_it_asks_and_reaches_the_city_whole() {
    let world = World::new().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let (planner, city) = (world.log_in(Role::Planner).await, world.log_in(Role::City).await);
    let path = format!("/api/v1/people/{handle}/plan-requests");
    let with = |changes: Value| {
        let mut request = plan_request(&world);
        for (item, value) in changes.as_object().unwrap() {
            request[item] = value.clone();
        }
        request
    };
    let commission =
        json!({ "office": Role::Stranger.organization(), "office_name": "委託先", "starts_on": world.today() });
    let items = async |changes: Value| {
        let reply = planner.post(&path, with(changes)).await;
        assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{}", reply.text());
        let items = reply.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["item"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(items(json!({ "commission": commission })).await, ["commission"]);
    assert_eq!(items(json!({ "form": "preventive", "other_services": [] })).await, ["other_services"]);
    assert_eq!(items(json!({ "form": "small_multifunctional" })).await, ["other_services"]);
    assert_eq!(items(json!({ "form": "small_multifunctional", "other_services": ["33"] })).await, ["other_services"]);
    assert_eq!(items(json!({ "filer": null })).await, ["filer"]);
    assert_eq!(items(json!({ "filing": { "kind": "change", "reason": " " } })).await, ["filing.reason"]);

    let filer = json!({ "who": "representative", "name": "架空 梅子", "relation": "長女", "address": "見本県見本市1", "telephone": null });
    let change = json!({ "kind": "change", "reason": "転居のため", "changed_on": world.today() });
    for (n, changes) in [
        json!({ "form": "preventive", "commission": commission, "filer": filer }),
        json!({ "form": "small_multifunctional", "other_services": ["62"] }),
        json!({ "form": "preventive_small_multifunctional", "other_services": [], "filing": change }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = with(changes);
        request["starts_on"] = json!(format!("2027-01-0{}", n + 1));
        let reply = planner.post(&path, request.clone()).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        let receipt = reply.json()["receipt"].as_str().unwrap().to_owned();
        let fetched = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json();
        assert_eq!(fetched["content"], request);
    }
}

#[tokio::test]
async fn an_opinion_reaches_the_plan_maker_when_the_city_has_accepted_it() {
    let world = World::new().await;
    let hospital = world.log_in(Role::Hospital).await;
    // The request of the city shows the person in the hospital's list.
    let list = hospital.get("/api/v1/people").await.json();
    let handle = list["people"][0]["handle"].as_str().unwrap().to_owned();
    let reply = hospital.post(&format!("/api/v1/people/{handle}/opinions"), opinion(&world)).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let receipt = reply.json()["receipt"].as_str().unwrap().to_owned();
    let again = hospital.post(&format!("/api/v1/people/{handle}/opinions"), opinion(&world)).await;
    assert_eq!(again.refusal(), (409, "conflict".to_owned()));

    let planners = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    planner.post(&format!("/api/v1/people/{planners}/consents"), consent).await;
    let documents = async |path: &str| planner.get(path).await.json()["documents"].as_array().unwrap().len();
    let a2 = format!("/api/v1/people/{planners}/records/A2");
    assert_eq!(documents(&a2).await, 0);

    let city = world.log_in(Role::City).await;
    let inbox = city.get("/api/v1/inbox").await.json();
    let item = inbox["items"].as_array().unwrap().iter().find(|item| item["kind"] == "A2").unwrap();
    assert_eq!((&item["receipt"], &item["content"]), (&json!(receipt), &Value::Null));
    let fetched = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json();
    assert_eq!(fetched["content"]["institution"], json!(Role::Hospital.organization()));
    let state = async || {
        let reply = hospital.get(&format!("/api/v1/people/{handle}/submissions")).await.json();
        reply["submissions"][0]["state_name"].clone()
    };
    assert_eq!(state().await, json!("市区町村が取得済"));
    assert_eq!(documents(&a2).await, 0);
    assert_eq!(city.post(&format!("/api/v1/inbox/{receipt}/accept"), json!({})).await.status, StatusCode::OK);
    assert_eq!(state().await, json!("受理"));
    assert_eq!(documents(&a2).await, 1);
    let back = city.post(&format!("/api/v1/inbox/{receipt}/return"), json!({ "reason": "記載もれ" })).await;
    assert_eq!(back.refusal(), (409, "conflict".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_plan_request_sent_back_tells_its_sender_why() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let path = format!("/api/v1/people/{handle}/plan-requests");
    let mut without_agreement = plan_request(&world);
    without_agreement["person_agrees"] = json!(false);
    assert_eq!(planner.post(&path, without_agreement).await.refusal(), (422, "invalid".to_owned()));
    let filed = planner.post(&path, plan_request(&world)).await;
    assert_eq!(filed.status, StatusCode::CREATED, "{}", filed.text());
    let receipt = filed.json()["receipt"].as_str().unwrap().to_owned();

    let city = world.log_in(Role::City).await;
    let give_back = format!("/api/v1/inbox/{receipt}/return");
    assert_eq!(city.post(&give_back, json!({ "reason": " " })).await.refusal(), (422, "invalid".to_owned()));
    assert_eq!(city.post(&give_back, json!({ "reason": "届出日を確かめてください" })).await.status, StatusCode::OK);
    let sent = planner.get(&format!("/api/v1/people/{handle}/submissions")).await.json();
    assert_eq!(sent["submissions"][0]["state"], json!({ "state": "returned", "reason": "届出日を確かめてください" }));

    let notices = planner.get("/api/v1/notices").await.json();
    let told = &notices["notices"][0];
    assert_eq!((&told["kind"], &told["facts"]["receipt"]), (&json!("submission_returned"), &json!(receipt)));

    // Corrected and accepted, it is a record its sender sees.
    let again = planner.post(&path, plan_request(&world)).await.json();
    assert_eq!(again["replaces"], json!(receipt));
    let item = &city.get("/api/v1/inbox").await.json()["items"][0];
    assert_eq!((&item["receipt"], &item["replaces"]), (&again["receipt"], &json!(receipt)));
    // Of the one sent back nothing waits any more: the new one replaces it.
    let old = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json();
    assert_eq!(old["content"], Value::Null);
    let accept = format!("/api/v1/inbox/{}/accept", again["receipt"].as_str().unwrap());
    assert_eq!(city.post(&accept, json!({})).await.status, StatusCode::OK);
    let f1 = planner.get(&format!("/api/v1/people/{handle}/records/F1")).await.json();
    assert_eq!(f1["documents"].as_array().unwrap().len(), 1);
    world.verify().await;
}

#[tokio::test]
async fn nobody_else_reads_or_decides_what_is_in_the_inbox() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let filed = planner.post(&format!("/api/v1/people/{handle}/plan-requests"), plan_request(&world)).await.json();
    let receipt = filed["receipt"].as_str().unwrap();
    for role in [Role::OtherCity, Role::Helper, Role::Operator] {
        let client = world.log_in(role).await;
        for act in ["fetch", "accept"] {
            let reply = client.post(&format!("/api/v1/inbox/{receipt}/{act}"), json!({})).await;
            assert_eq!(reply.refusal(), (404, "unknown".to_owned()), "{role:?} {act}");
        }
    }
    assert_eq!(world.log_in(Role::OtherCity).await.get("/api/v1/inbox").await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_opinion_about_somebody_else_or_of_another_institution_names_the_item() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let hospital = world.log_in(Role::Hospital).await;
    let path = format!("/api/v1/people/{handle}/opinions");
    let mut opinion = opinion(&world);
    opinion["institution"] = json!(Role::Planner.organization());
    let reply = hospital.post(&path, opinion.clone()).await;
    assert_eq!(reply.json()["items"][0]["item"], json!("institution"));
    opinion["basics"]["written_on"] = json!("きのう");
    let reply = hospital.post(&path, opinion).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    assert_eq!(reply.json()["items"][0]["item"], json!("basics.written_on"));
    assert!(!reply.text().contains("きのう"));
}

/// A member of a JSON document that no reader needs, so that the bytes are not what the platform itself would write.
fn as_sent(value: &Value) -> String {
    format!("\n  {}\n", serde_json::to_string_pretty(value).unwrap())
}

#[tokio::test]
async fn the_bytes_of_an_opinion_reach_the_city_as_they_were_sent_and_are_kept_when_it_is_accepted() {
    let world = World::new().await;
    let hospital = world.log_in(Role::Hospital).await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let sent = as_sent(&opinion(&world));
    let path = format!("/api/v1/people/{handle}/opinions");
    let reply =
        hospital.send(axum::http::Method::POST, &path, "application/json", axum::body::Body::from(sent.clone())).await;
    let receipt = reply.json()["receipt"].as_str().unwrap().to_owned();
    let city = world.log_in(Role::CityConnector).await;
    let item = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json();
    assert_eq!(
        (&item["original"]["media"], &item["original"]["size"]),
        (&json!("application/json"), &json!(sent.len()))
    );
    let original = format!("/api/v1/inbox/{receipt}/original");
    assert_eq!(city.get(&original).await.body, sent.as_bytes());
    assert_eq!(world.log_in(Role::OtherCity).await.get(&original).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(city.post(&format!("/api/v1/inbox/{receipt}/accept"), json!({})).await.status, StatusCode::OK);
    // The transit copy is gone, the formal copy is not.
    let item = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json();
    assert_eq!((&item["content"], &item["original"]), (&Value::Null, &Value::Null));
    assert_eq!(city.get(&original).await.body, sent.as_bytes());
    world.verify().await;
}

#[tokio::test]
async fn the_inbox_is_read_in_pages_and_by_state() {
    let world = World::new().await;
    let hospital = world.log_in(Role::Hospital).await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let mut sent = Vec::new();
    for n in 1..=5 {
        let mut opinion = opinion(&world);
        opinion["applied_on"] = json!(world.today() - jiff::Span::new().days(30 + n));
        sent.push(hospital.post(&format!("/api/v1/people/{handle}/opinions"), opinion).await.json()["receipt"].clone());
        world.pass(1).await;
    }
    let city = world.log_in(Role::CityConnector).await;
    let receipts = async |query: &str| {
        let page = city.get(&format!("/api/v1/inbox?{query}")).await.json();
        let items = page["items"].as_array().unwrap().iter().map(|item| item["receipt"].clone()).collect::<Vec<_>>();
        (items, page["next"].as_str().unwrap_or_default().to_owned())
    };
    let (first, next) = receipts("limit=2").await;
    assert_eq!(first, sent[..2]);
    let (second, next) = receipts(&format!("limit=2&after={next}")).await;
    assert_eq!(second, sent[2..4]);
    let (third, next) = receipts(&format!("limit=2&after={next}")).await;
    assert_eq!(third, sent[4..]);
    assert_eq!(receipts(&format!("limit=2&after={next}")).await.0, Vec::<Value>::new());
    let one = sent[0].as_str().unwrap();
    assert_eq!(city.post(&format!("/api/v1/inbox/{one}/accept"), json!({})).await.status, StatusCode::OK);
    assert_eq!(receipts("state=accepted").await.0, sent[..1]);
    assert_eq!(receipts("state=submitted").await.0, sent[1..]);
    assert_eq!(city.get("/api/v1/inbox?state=lost").await.refusal(), (422, "invalid".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn an_accepted_plan_request_stands_on_the_card_until_the_citys_own_row_and_puts_the_former_office_in_review() {
    let world = World::new().await;
    // Hanako's plan has been made by another office so far.
    world.assign(Role::Stranger, Person::Hanako, true).await;
    let helpers = world.register(Role::Helper, Person::Hanako).await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let (helper, city) = (world.log_in(Role::Helper).await, world.log_in(Role::City).await);
    let card = async || {
        let reply = helper.get(&format!("/api/v1/people/{helpers}/records/A3a")).await.json();
        reply["documents"][0]["content"]["provisional_planning_office"].clone()
    };
    let filed = planner.post(&format!("/api/v1/people/{handle}/plan-requests"), plan_request(&world)).await.json();
    assert_eq!(card().await, Value::Null, "not before the city accepted it");
    let accept = format!("/api/v1/inbox/{}/accept", filed["receipt"].as_str().unwrap());
    assert_eq!(city.post(&accept, json!({})).await.status, StatusCode::OK);
    let shown = card().await;
    assert_eq!(shown["office"], json!(Role::Planner.organization()));
    assert_eq!(shown["filed_on"], json!(world.today()));
    assert!(shown["note"].as_str().unwrap().contains("暫定"));
    let page = planner.get(&format!("/api/v1/people/{handle}")).await.json();
    let a3a = page["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == "A3a").unwrap();
    assert_eq!(a3a["documents"][0]["content"]["provisional_planning_office"], shown);

    // The former office waits for the city's word; until then it may settle its last month and no longer makes the plan.
    let reviews = city.get("/api/v1/registration-reviews").await.json();
    let review = &reviews["reviews"].as_array().unwrap()[..];
    assert_eq!(review.len(), 1, "{reviews}");
    assert_eq!(review[0]["office"], json!(Role::Stranger.organization()));
    assert_eq!((&review[0]["source"], &review[0]["viewable_until"]), (&filed["receipt"], &json!("2026-12-31")));
    let theirs = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    let stranger = world.log_in(Role::Stranger).await;
    let told = stranger.get("/api/v1/notices").await.json()["notices"][0].clone();
    assert_eq!((&told["kind"], &told["person"]), (&json!("registration_review"), &json!(theirs)));
    assert_eq!(stranger.get(&format!("/api/v1/people/{theirs}/records/A3a")).await.status, StatusCode::OK);
    let citys = review[0]["handle"].as_str().unwrap();
    let end = format!("/api/v1/people/{citys}/offices/{}", Role::Stranger.organization());
    assert_eq!(city.put(&end, json!({ "decision": "end" })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(stranger.get(&format!("/api/v1/people/{theirs}/records/A3a")).await.refusal().0, 404);
    assert_eq!(city.get("/api/v1/registration-reviews").await.json()["reviews"], json!([]));

    // The city's own row says it: nothing is provisional any more.
    world.pass(60).await;
    let reply = city.upload("/api/v1/packages", &crate::world::card_with_planner(&world)).await;
    assert_eq!(reply.json()["state"], json!("applied"), "{}", reply.text());
    assert_eq!(card().await, Value::Null);
    world.verify().await;
}

#[tokio::test]
async fn an_accepted_plan_request_is_shown_also_where_there_is_no_card_yet() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    let citys = world.find(Person::Hidden).await;
    let confirm = format!("/api/v1/people/{citys}/offices/{}", Role::Planner.organization());
    assert_eq!(city.put(&confirm, json!({ "decision": "confirm" })).await.status, StatusCode::NO_CONTENT);
    world.pass(60).await;
    let reply = city.upload("/api/v1/packages", &crate::world::cards_taken_back(&world)).await;
    assert_eq!(reply.json()["state"], json!("applied"), "{}", reply.text());
    for person in [Person::Hanako, Person::Hidden] {
        let handle = world.register_plan_maker(Role::Planner, person).await;
        // Of somebody 不開示 an office the city has not confirmed sees the kind and no whereabouts.
        world.assign(Role::Helper, person, false).await;
        let helpers = world.stolen_handle(Role::Helper, person.key()).await;
        let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
        let mut request = plan_request(&world);
        request["person"] = json!(person.key());
        let filed = planner.post(&format!("/api/v1/people/{handle}/plan-requests"), request).await.json();
        let card = async |who: &Client<'_>, handle: &str| {
            let reply = who.get(&format!("/api/v1/people/{handle}/records/A3a")).await.json();
            assert_eq!(reply["documents"], json!([]), "{reply}");
            reply["provisional_planning_office"].clone()
        };
        assert_eq!(card(&planner, &handle).await, Value::Null, "not before the city accepted it");
        let accept = format!("/api/v1/inbox/{}/accept", filed["receipt"].as_str().unwrap());
        assert_eq!(city.post(&accept, json!({})).await.status, StatusCode::OK);
        let shown = card(&planner, &handle).await;
        assert_eq!(shown["office"], json!(Role::Planner.organization()));
        assert_eq!(shown["filed_on"], json!(world.today()));
        let page = planner.get(&format!("/api/v1/people/{handle}")).await.json();
        let a3a = page["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == "A3a").unwrap();
        assert_eq!(a3a["provisional_planning_office"], shown);
        let others = card(&helper, &helpers).await;
        assert_eq!(others, if person == Person::Hanako { shown } else { Value::Null });
        let browser = crate::pages::Browser::logged_in(&world, Role::Planner).await;
        let page = browser.get(&format!("/p/{handle}")).await.text();
        assert!(page.contains("居宅介護支援事業所みほん") && page.contains("暫定"), "{page}");
        // Whose cell is blank learns nothing of it.
        let hospital = world.stolen_handle(Role::Stranger, person.key()).await;
        let stranger = world.log_in(Role::Stranger).await;
        assert_eq!(stranger.get(&format!("/api/v1/people/{hospital}/records/A3a")).await.refusal().0, 404);
    }
    world.verify().await;
}

#[tokio::test]
async fn a_notice_of_a_consent_is_filed_by_the_city_and_cannot_be_sent_back() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    let planner = world.log_in(Role::Planner).await;
    planner.post(&format!("/api/v1/people/{handle}/consents"), consent).await;
    let city = world.log_in(Role::CityConnector).await;
    let items = city.get("/api/v1/inbox").await.json();
    let receipt = items["items"][0]["receipt"].as_str().unwrap().to_owned();
    let notice = city.post(&format!("/api/v1/inbox/{receipt}/fetch"), json!({})).await.json();
    assert_eq!((&notice["kind"], &notice["content"]["act"]), (&json!("G1"), &json!({ "act": "given" })));
    let back = city.post(&format!("/api/v1/inbox/{receipt}/return"), json!({ "reason": "不要" })).await;
    assert_eq!(back.refusal(), (409, "conflict".to_owned()));
    assert_eq!(city.post(&format!("/api/v1/inbox/{receipt}/accept"), json!({})).await.status, StatusCode::OK);
    assert_eq!(city.get("/api/v1/inbox").await.json()["items"], json!([]));
    world.verify().await;
}

#[tokio::test]
async fn a_connector_has_its_certificate_and_nobody_logs_in_over_it() {
    let world = World::new().await;
    let connector = world.log_in(Role::CityConnector).await;
    assert_eq!(connector.get("/api/v1/inbox").await.status, StatusCode::OK);
    // It reaches packages and the inbox, and no person.
    let handle = world.stolen_handle(Role::City, Person::Hanako.key()).await;
    assert_eq!(connector.get(&format!("/api/v1/people/{handle}")).await.refusal(), (403, "not_this_way".to_owned()));
    let body = json!({ "account": Role::City.account(), "password": crate::world::PASSWORD });
    let reply = connector.post("/api/v1/session", body).await;
    assert_eq!(reply.refusal(), (401, "connector_certificate".to_owned()));
    // A terminal's certificate without a log-in is no connector.
    let reply = world.with_certificate(Role::City).get("/api/v1/inbox").await;
    assert_eq!(reply.refusal(), (401, "login_required".to_owned()));
    // Revoked, it is out at its next request.
    let mut row = crate::world::certificate(Role::CityConnector, &Role::CityConnector.fingerprint(), world.now());
    row.revoked_at = Some(world.now());
    world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
    assert_eq!(connector.get("/api/v1/inbox").await.refusal(), (401, "certificate_revoked".to_owned()));
    world.verify().await;
}
