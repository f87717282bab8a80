//! Wherever somebody meets a person of a municipality that has not started, that and its day are said (P-150): a table over every
//! route that meets one, the pages of offices and cities, and the person's own door.

use crate::access::{ask_at, path};
use crate::identification::statement;
use crate::once::doer;
use crate::pages::{Browser, location};
use crate::person_log_in::world_with_provider;
use crate::provider::PersonBrowser;
use crate::world::{Client, Person, Reply, Role, World, city, day};
use axum::http::StatusCode;
use kiban_domain::InsurerNumber;
use kiban_domain::municipality::StartState;
use kiban_web::{Listener, ROUTES, Route};
use serde_json::json;

const SENTENCE: &str = "未開始（令和9年4月1日 開始予定）";

async fn take_back(world: &World) {
    let planned = StartState::Planned(day("2027-04-01"));
    world.change(async |tx| tx.set_start(city(), planned).await.unwrap()).await;
}

/// The planner and the helper look after Hanako, the hospital was asked for an opinion, and then the start is taken back.
async fn world_not_started() -> World {
    let world = World::new().await;
    world.assign(Role::Planner, Person::Hanako, true).await;
    world.assign(Role::Helper, Person::Hanako, false).await;
    take_back(&world).await;
    world
}

/// Whether a route is about one person: by a handle, or by what stands in its body. The search in a disaster has a test of its own.
fn meets_a_person(route: &Route) -> bool {
    route.path.starts_with("/api/v1/people/{handle}")
        || matches!(route.name, "register_office" | "eligibility" | "find_insured" | "list_people")
        || matches!(route.name, "submit_opinion_file" | "send_slips")
}

/// What is answered without a word of it, and why.
const ANSWERED: &[(&str, &str)] = &[
    ("find_insured", "the city makes ready before it starts"),
    ("person_numbers", "the city makes ready"),
    ("lift_withheld", "the city makes ready"),
    ("decide_office", "the city makes ready"),
    ("issue_portal_code", "the city makes ready"),
    ("register_proxy", "the city makes ready"),
    ("portal_grants", "the city makes ready"),
    ("end_portal_grant", "the city makes ready"),
    ("block_proxies", "the city keeps a proxy out"),
    ("lift_proxy_block", "the city makes ready"),
    ("end_registration", "an office ends what it has registered"),
    ("set_plan_maker", "an office's own staff"),
    ("set_switch", "an office's own staff"),
    ("note_visual_check", "an act of the office; nothing is shown"),
    ("filed", "an office's own documents and their state, nothing of the city"),
    ("person_access", "the city asks who may see its own"),
    ("look_ups", "an office's own looks, nothing of the city"),
];

#[tokio::test]
async fn every_route_that_meets_a_person_of_a_city_that_has_not_started_says_so_with_the_day() {
    let world = world_not_started().await;
    let (mut wrong, mut met) = (Vec::new(), 0);
    for route in ROUTES.iter().filter(|route| route.listener != Listener::Public && meets_a_person(route)) {
        world.assign(Role::Planner, Person::Hanako, true).await;
        let role = match route.name {
            "submit_opinion_file" => Role::HospitalConnector,
            _ => doer(route),
        };
        let client = Client { line: route.listener == Listener::ClosedLine, ..world.log_in(role).await };
        let reply = ask_at(&world, route, &client, role, &path(&world, route, role).await).await;
        let is_excused = ANSWERED.iter().any(|(name, _)| *name == route.name);
        if reply.text().contains(SENTENCE) == is_excused {
            wrong.push(format!("{} for {role:?}: {} {}", route.name, reply.status, reply.text()));
        }
        met += 1;
    }
    assert!(met > 25, "{met}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.verify().await;
}

#[tokio::test]
async fn whoever_reads_a_card_or_a_notice_is_told_the_day() {
    let world = World::new().await;
    let handle = world.find(Person::Hanako).await;
    let notice = world.log_in(Role::City).await.get(&format!("/api/v1/people/{handle}/notice-line")).await.json();
    let card = statement(&world, Person::Hanako, Role::Planner).await;
    take_back(&world).await;
    let planner = world.log_in(Role::Planner).await;
    for (path, body) in [("card", json!({ "statement": card })), ("notice", json!({ "notice": notice["text"] }))] {
        let reply = planner.post(&format!("/api/v1/people/{path}"), body).await;
        assert_eq!(reply.refusal(), (403, "not_started".to_owned()), "{path}");
        assert!(reply.json()["title"].as_str().unwrap().contains(SENTENCE), "{}", reply.text());
        assert_eq!(reply.json()["start"], json!({ "state": "planned", "date": "2027-04-01" }));
    }
}

#[tokio::test]
async fn every_page_of_an_office_and_of_the_city_about_such_a_person_says_it() {
    let world = world_not_started().await;
    let says = |page: &str, reply: Reply| assert!(reply.text().contains(SENTENCE), "{page}: {}", reply.text());
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let handle = world.stolen_handle(Role::Planner, Person::Hanako.key()).await;
    says("/users", planner.get("/users").await);
    for page in ["", "/consent"] {
        says(page, planner.get(&format!("/p/{handle}{page}")).await);
    }
    let mut helper = Browser::logged_in(&world, Role::Stranger).await;
    let insurer = city().to_string();
    let fields = [
        ("insurer_number", insurer.as_str()),
        ("insured_number", "0000000001"),
        ("kana", "カクウ　ハナコ"),
        ("birth", "昭和16年5月3日"),
        ("sex", "female"),
    ];
    says("/users/new", helper.submit("/users/new", "/users/new", &fields).await);
    let own = world.find(Person::Hanako).await;
    says("of the city", Browser::logged_in(&world, Role::City).await.get(&format!("/p/{own}")).await);
    let doctor = Browser::logged_in(&world, Role::Hospital).await;
    let asked = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    says("/opinions", doctor.get(&format!("/opinions/{asked}/send")).await);
}

#[tokio::test]
async fn the_person_reads_it_at_the_own_door_known_there_or_not() {
    let (world, hostile) = world_with_provider().await;
    let claims = |address: &str| {
        let identity = Person::Hanako.insured().identity;
        json!({ "name": identity.name, "address": { "formatted": address }, "birthdate": identity.birth, "gender": "female" })
    };
    hostile.change(|state| {
        state.people.insert("known".to_owned(), claims("見本県見本市架空町１番地１号"));
        state.people.insert("elsewhere".to_owned(), claims("兵庫県三木市架空町１番地"));
        state.people.insert("abroad".to_owned(), claims("架空国"));
    });
    let log_in = async |account: &str| {
        let mut browser = PersonBrowser::default();
        let address = browser.begin(&world).await;
        let reply = browser.come_back(&world, &hostile.agree(account, &address)).await;
        (browser, location(&reply))
    };
    // Nobody is known of that city: what its address says is all there is, and public.
    let miki = InsurerNumber::parse("282152").unwrap();
    let cases = [
        (StartState::Undecided, Some("兵庫県三木市は 未開始（時期は未定）")),
        (StartState::Planned(day("2027-04-01")), Some("兵庫県三木市は 未開始（令和9年4月1日 開始予定）")),
        (StartState::Started(day("2026-04-01")), None),
    ];
    for (start, words) in cases {
        world.change(async |tx| tx.set_start(miki, start).await.unwrap()).await;
        let (mut browser, page) = log_in("elsewhere").await;
        let html = browser.get(&world, &page).await.text();
        match words {
            Some(words) => assert!(html.contains(words), "{html}"),
            None => assert!(page == "/me/code" && !html.contains("未開始"), "{page}: {html}"),
        }
        assert!(html.contains("href=\"/start-dates\""), "{html}");
    }
    let (mut browser, page) = log_in("abroad").await;
    assert!(page == "/me/code" && !browser.get(&world, &page).await.text().contains("未開始"));
    // A number that is none, or of no municipality, says nothing.
    for city in ["", "282153", "990010", "%3Cb%3E"] {
        let html = browser.get(&world, &format!("/me/code?city={city}")).await;
        assert_eq!(html.status, StatusCode::OK);
        assert!(!html.text().contains("未開始") && !html.text().contains("<b>"), "{city}");
    }
    // Somebody who was known there, of a city whose start was taken back.
    let (mut known, page) = log_in("known").await;
    assert_eq!(page, "/me/now");
    assert!(known.get(&world, "/me/now").await.text().contains("架空 花子 さん"));
    take_back(&world).await;
    let reply = known.get(&world, "/me/now").await;
    assert!(reply.text().contains(SENTENCE) && !reply.text().contains("架空 花子"), "{}", reply.text());
    assert_eq!(log_in("known").await.1, "/me/now", "the registration stands");
    world.verify().await;
}
