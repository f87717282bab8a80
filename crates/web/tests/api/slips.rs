//! やりとり: a set goes from one office to one other and its results come back; nobody else learns that there is anything
//! (P-142, P-143, P-144, P-150).

use crate::world::{Client, Person, Reply, Role, World, certificate, city, day, later_city};
use axum::http::StatusCode;
use kiban_domain::care_plan::preventive::{BasicInformation, PreventivePlan, SupportLevel};
use kiban_domain::care_plan::{
    CarePlan, Coverage, PlanWithdrawal, PlannedService, ServiceActuals, ServiceSlip, SlipLine, Table7Line,
};
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::{Period, ServiceMonth};
use kiban_domain::insurance_card::{CardIssue, CertifiedLevel, InsuranceCard};
use kiban_domain::{Date, InsuredNumber, OfficeNumber, PersonKey, ServiceType};
use kiban_formats::care_plan::{
    Sending, read_set, write_actuals, write_plan_set, write_preventive_set, write_slip_set, write_withdrawals,
};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::Config;
use kiban_sim::people::Generator;
use kiban_sim::{CitySpec, Needle, canary};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

type Files = Vec<(String, Vec<u8>)>;

/// The number in the words of all slips.
const N: u32 = 7;

/// A serial that no set had before.
pub fn serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(20_261_124_000_001);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn sending(from: Role, to: Role, serial: u64) -> Sending {
    let office = |role: Role| role.organization().office().unwrap();
    let service = |role: Role| ServiceType::parse(if role == Role::Helper { "11" } else { "43" }).unwrap();
    Sending {
        sender: office(from),
        sender_type: Some(service(from)),
        receiver: office(to),
        receiver_type: Some(service(to)),
        serial: serial.to_string(),
    }
}

fn month() -> ServiceMonth {
    ServiceMonth::parse("202611").unwrap()
}

/// A slip of November: two visits of the addressee, as planned by the sender, of a person with 要介護２.
pub fn slip(person: PersonKey, planner: OfficeNumber, provider: OfficeNumber) -> ServiceSlip {
    let spec = CitySpec::sample(1, 5, day("2026-11-22")).unwrap();
    let cast = kiban_sim::cast(&spec).unwrap();
    let mut slip = kiban_sim::plans::service_slip(&Generator::new(&spec), &cast.consenting, month()).unwrap();
    let (line, row) = (slip.lines[0].clone(), slip.table7[0].clone());
    let line = SlipLine {
        planner: Some(planner),
        office: provider,
        service_code: "111211".to_owned(),
        units: Some(387),
        tais_code: String::new(),
        equipment_name: String::new(),
        ..line
    };
    slip.lines = ["2026-11-02", "2026-11-05"].map(|on| SlipLine { day: day(on), ..line.clone() }).into();
    let code = Table7Line {
        office: provider,
        service_code: "111211".to_owned(),
        units: 387,
        discount_percent: None,
        discounted_units: None,
        tais_code: String::new(),
        equipment_name: String::new(),
        count: 2,
        managed_units: Some(774),
        ..row
    };
    let total = Table7Line {
        office: OfficeNumber::parse("9999999999").unwrap(),
        service_code: "999999".to_owned(),
        units: 0,
        ..code.clone()
    };
    slip.table7 = vec![code, total];
    let supplement = slip.supplement.as_mut().unwrap();
    supplement.name = format!("架空 花子{}", canary::name(N));
    supplement.address1 = canary::word("住所", N);
    supplement.level = Some(CareLevel::Care2);
    supplement.limit_units = Some(19_705);
    supplement.limit_from = Some(day("2025-01-01"));
    supplement.limit_to = Some(day("2026-12-31"));
    slip.person = person;
    slip
}

/// A set of slips, changed by the test.
fn set_of(from: Role, to: Role, serial: u64, people: &[PersonKey], change: impl Fn(&mut ServiceSlip)) -> Files {
    let sending = sending(from, to, serial);
    let make = |person: &PersonKey| {
        let mut slip = slip(*person, sending.sender, sending.receiver);
        change(&mut slip);
        slip
    };
    let slips: Vec<ServiceSlip> = people.iter().map(make).collect();
    write_slip_set(&slips, &sending).unwrap()
}

/// A set of one person's slip.
pub fn set(from: Role, to: Role, serial: u64) -> Files {
    set_of(from, to, serial, &[Person::Hanako.key()], |_| {})
}

/// Results of one person.
pub fn results(from: Role, to: Role, serial: u64) -> Files {
    let office = from.organization().office().unwrap();
    results_of(from, to, serial, office)
}

/// Results of services that an office gave.
fn results_of(from: Role, to: Role, serial: u64, office: OfficeNumber) -> Files {
    let sending = sending(from, to, serial);
    let planned = slip(Person::Hanako.key(), sending.receiver, office);
    let actuals = ServiceActuals { person: planned.person, month: planned.month, lines: planned.lines };
    write_actuals(&[actuals], &sending).unwrap()
}

/// The three tables of a plan, made by the sender; its texts hold words.
pub fn plan(from: Role, to: Role, serial: u64, person: PersonKey) -> Files {
    plan_of(from, to, serial, person, |_| {})
}

/// The same, changed by the test.
pub fn plan_of(from: Role, to: Role, serial: u64, person: PersonKey, change: impl Fn(&mut CarePlan)) -> Files {
    let spec = CitySpec::sample(1, 5, day("2026-11-22")).unwrap();
    let cast = kiban_sim::cast(&spec).unwrap();
    let mut plan = kiban_sim::plans::care_plan(&Generator::new(&spec), &cast.consenting).unwrap();
    let sending = sending(from, to, serial);
    plan.person = person;
    plan.table1.office = sending.sender;
    plan.table1.updated_by = Some(sending.sender);
    change(&mut plan);
    write_plan_set(&[plan], &sending).unwrap()
}

fn path_to(to: Role) -> String {
    format!("/api/v1/slips?to={}", to.organization())
}

/// Sends a set and gives the message.
async fn send(client: &Client<'_>, to: Role, files: &Files) -> Value {
    let reply = client.upload(&path_to(to), files).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    assert_eq!(reply.json()["repeated"], json!(false));
    reply.json()["slip"].clone()
}

/// A message from the planner to the helper; its number.
pub async fn message(world: &World) -> String {
    let files = set(Role::Planner, Role::Helper, serial());
    id(&send(&world.log_in(Role::Planner).await, Role::Helper, &files).await)
}

fn id(slip: &Value) -> String {
    slip["slip"].as_str().unwrap().to_owned()
}

fn at(slip: &str, rest: &str) -> String {
    format!("/api/v1/slips/{slip}{rest}")
}

async fn post(client: &Client<'_>, slip: &str, rest: &str) -> Reply {
    client.post(&at(slip, rest), json!({})).await
}

async fn listed(client: &Client<'_>, side: &str) -> Vec<(String, String)> {
    let list = client.get(&format!("/api/v1/slips/{side}")).await.json();
    let slips = list["slips"].as_array().unwrap_or_else(|| panic!("{list}")).iter();
    slips.map(|slip| (id(slip), slip["state"].as_str().unwrap().to_owned())).collect()
}

/// The warning of a rule.
fn warning<'v>(slip: &'v Value, rule: &str) -> &'v Value {
    let warnings = slip["warnings"].as_array().unwrap();
    warnings.iter().find(|warning| warning["rule"] == rule).unwrap_or_else(|| panic!("{rule}: {slip}"))
}

/// What the sender is told; the numbers of the invented offices of this world have no check digits.
fn rules(slip: &Value) -> Vec<&str> {
    let mut rules: Vec<&str> =
        slip["warnings"].as_array().unwrap().iter().map(|warning| warning["rule"].as_str().unwrap()).collect();
    rules.retain(|rule| *rule != "check_digit");
    rules.sort_unstable();
    rules
}

#[tokio::test]
async fn a_slip_is_sent_fetched_and_answered_and_each_side_sees_where_it_stands() {
    let world = World::new().await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    let files = set(Role::Planner, Role::Helper, serial());
    let sent = send(&planner, Role::Helper, &files).await;
    let slip = id(&sent);
    assert_eq!((&sent["content"], &sent["month"], &sent["people"]), (&json!("plan"), &json!("202611"), &json!(1)));
    assert_eq!(sent["receiver_name"], json!("ヘルパーステーションみほん"));
    assert_eq!(listed(&planner, "sent").await, [(slip.clone(), "sent".to_owned())]);
    assert_eq!(listed(&planner, "received").await, []);
    assert_eq!(listed(&helper, "sent").await, []);
    let notice = helper.get("/api/v1/notices").await.json()["notices"][0].clone();
    assert_eq!((&notice["kind"], &notice["facts"]["slip"]), (&json!("slip_received"), &json!(slip)));

    // Before it is fetched nobody but its sender has its content; looking at the list is not fetching.
    let file = files[0].0.as_str();
    assert_eq!(helper.get(&at(&slip, &format!("/files/{file}"))).await.refusal(), (409, "conflict".to_owned()));
    assert_eq!(helper.get(&at(&slip, "")).await.json()["state"], json!("sent"));
    world.pass(60).await;
    let fetched = post(&helper, &slip, "/fetch").await.json();
    assert_eq!((&fetched["state"], &fetched["fetched_at"]), (&json!("fetched"), &json!(world.now())));
    assert_eq!(fetched["warnings"], json!([]), "what the sender should look at may say what the platform holds");
    for (name, bytes) in &files {
        for client in [&helper, &planner] {
            let reply = client.get(&at(&slip, &format!("/files/{name}"))).await;
            assert_eq!((reply.status, &reply.body), (StatusCode::OK, bytes));
        }
        let told = fetched["files"].as_array().unwrap().iter().find(|file| file["name"] == *name).unwrap();
        assert_eq!(told["size"], json!(bytes.len()));
    }
    let first = world.now();
    world.pass(60).await;
    assert_eq!(post(&helper, &slip, "/fetch").await.json()["fetched_at"], json!(first), "fetched again");
    assert_eq!(planner.get(&at(&slip, "")).await.json()["fetched_at"], json!(first), "the sender sees when");
    assert_eq!(helper.get(&at(&slip, "/files/UPPLAN.CSV")).await.refusal(), (404, "unknown".to_owned()));

    // The results come back as a message of their own, linked to the request.
    let back = results(Role::Helper, Role::Planner, serial());
    let reply = helper.upload(&format!("{}&reply_to={slip}", path_to(Role::Planner)), &back).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let answer = reply.json()["slip"].clone();
    assert_eq!((&answer["reply_to"], &answer["content"]), (&json!(slip), &json!("actuals")));
    let asked = planner.get(&at(&slip, "")).await.json();
    assert_eq!((&asked["state"], &asked["answer"]), (&json!("answered"), &answer["slip"]));
    assert_eq!(listed(&planner, "received?state=sent").await, [(id(&answer), "sent".to_owned())]);
    assert_eq!(post(&planner, &id(&answer), "/fetch").await.status, StatusCode::OK);
    assert_eq!(planner.get(&at(&id(&answer), &format!("/files/{}", back[0].0))).await.body, back[0].1);
    world.verify().await;
}

/// P-014: what an administrator hides of a person is hidden in the exchange too, from that one of the staff.
#[tokio::test]
async fn a_message_with_somebody_whose_plans_are_hidden_is_not_there_for_whom_they_are_hidden_from() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let slip = message(&world).await;
    let (chief, colleague) = (world.log_in(Role::Helper).await, world.log_in_colleague(Role::Helper).await);
    assert_eq!(post(&chief, &slip, "/fetch").await.status, StatusCode::OK);
    let file = chief.get(&at(&slip, "")).await.json()["files"][0]["name"].as_str().unwrap().to_owned();
    let (file, printed) = (at(&slip, &format!("/files/{file}")), at(&slip, "/print"));
    let switch = format!("/api/v1/people/{handle}/staff/{}", crate::world::COLLEAGUE);
    let hide = async |what: Value| {
        let reply = chief.put(&switch, what).await;
        assert!(reply.status.is_success(), "{}", reply.text());
    };
    let open = |reply: Reply| reply.status == StatusCode::OK;
    for (what, is_open) in [
        (json!({ "hidden": true }), false),
        (json!({ "hidden": true, "kinds": ["CP2"] }), false),
        (json!({ "hidden": true, "kinds": ["A3b"] }), true),
        (json!({ "hidden": false }), true),
    ] {
        hide(what.clone()).await;
        for path in [&at(&slip, ""), &file, &printed] {
            let reply = colleague.get(path).await;
            if !is_open {
                assert_eq!(crate::recorded::refusals(&world, &reply).await, ["switched_off"], "{what} {path}");
            }
            assert_eq!(open(reply), is_open, "{what} {path}");
            assert!(open(chief.get(path).await), "{what} {path}: nobody else is concerned");
        }
        assert_eq!(post(&colleague, &slip, "/fetch").await.status == StatusCode::OK, is_open, "{what}");
    }
    world.verify().await;
}

/// P-188: who of the staff opened a message is in the office's list of looks; nobody else's log tells of it.
#[tokio::test]
async fn whoever_opens_a_message_is_among_the_looks_of_the_offices_staff_and_in_no_municipalitys_log() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    let slip = message(&world).await;
    let chief = world.log_in(Role::Helper).await;
    post(&chief, &slip, "/fetch").await;
    let file = chief.get(&at(&slip, "")).await.json()["files"][0]["name"].as_str().unwrap().to_owned();
    for path in [at(&slip, &format!("/files/{file}")), at(&slip, "/print")] {
        assert_eq!(chief.get(&path).await.status, StatusCode::OK);
    }
    let looks = chief.get("/api/v1/look-ups").await.json();
    let looks = looks["look_ups"].as_array().unwrap();
    for action in ["slip.fetch", "slip.view", "slip.file", "slip.print"] {
        assert!(looks.iter().any(|look| look["action"] == action && look["outcome"] != "拒否"), "{action}: {looks:?}");
    }
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().all(|(action, ..)| !action.starts_with("slip.")), "{log:?}");
    world.verify().await;
}

#[tokio::test]
async fn nobody_but_sender_and_addressee_learns_that_there_is_a_message() {
    let world = World::new().await;
    let slip = message(&world).await;
    let file = world.log_in(Role::Planner).await.get(&at(&slip, "")).await.json()["files"][0]["name"].clone();
    let file = format!("/files/{}", file.as_str().unwrap());
    let nothing = "0".repeat(slip.len());
    for role in [Role::Stranger, Role::Hospital, Role::City, Role::OtherCity, Role::Prefecture, Role::Operator] {
        let client = world.log_in(role).await;
        for path in ["", &file, "/print"] {
            let (real, none) = (client.get(&at(&slip, path)).await, client.get(&at(&nothing, path)).await);
            assert_eq!(real.refusal(), (404, "unknown".to_owned()), "{role:?} {path}");
            assert_eq!(real.comparable(), none.comparable(), "{role:?} {path}");
        }
        for path in ["/fetch", "/withdraw"] {
            let (real, none) = (post(&client, &slip, path).await, post(&client, &nothing, path).await);
            assert_eq!(real.refusal(), (404, "unknown".to_owned()), "{role:?} {path}");
            assert_eq!(real.comparable(), none.comparable(), "{role:?} {path}");
        }
        let body = json!({ "agreed_on": "2026-11-20" });
        let registers = async |slip: &str| client.post(&at(slip, "/registration"), body.clone()).await;
        assert_eq!(registers(&slip).await.comparable(), registers(&nothing).await.comparable(), "{role:?}");
        if role.organization().office().is_some() {
            assert_eq!((listed(&client, "sent").await, listed(&client, "received").await), (vec![], vec![]));
        }
    }
    // Nor does the log about the person, which the person and the city read.
    assert_eq!(
        world.log_about(Person::Hanako.key()).await.iter().filter(|(action, ..)| action.contains("slip")).count(),
        0
    );
    // Nor a file on disk.
    let words = [canary::name(N), canary::word("住所", N)];
    for file in std::fs::read_dir(world.dir.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            assert_eq!(Needle::new(&words).find(&std::fs::read(&path).unwrap()), None, "{}", path.display());
        }
    }
    let found = world.log_in(Role::Planner).await.get(&at(&slip, "/print")).await;
    assert!(Needle::new(&words[..1]).find(&found.body).is_some(), "the words are there to be found");
    world.verify().await;
}

#[tokio::test]
async fn a_person_of_a_city_that_has_not_started_needs_no_registration_and_only_that_is_said() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let person = PersonKey { insurer: later_city(), insured: InsuredNumber::parse("0000000099").unwrap() };
    let files = set_of(Role::Planner, Role::Helper, serial(), &[person], |_| {});
    let sent = send(&planner, Role::Helper, &files).await;
    assert_eq!(rules(&sent), ["not_started"]);
    assert!(sent["warnings"].to_string().contains("市区町村は 未開始（"), "{sent}");
    let helper = world.log_in(Role::Helper).await;
    assert_eq!(post(&helper, &id(&sent), "/fetch").await.status, StatusCode::OK);
    // In a city that has, an unknown number and somebody else's user are told apart from one's own, not from each other.
    let unknown = PersonKey { insurer: city(), insured: InsuredNumber::parse("0000000099").unwrap() };
    for person in [unknown, Person::Hanako.key(), Person::Hidden.key()] {
        let files = set_of(Role::Planner, Role::Helper, serial(), &[person], |_| {});
        assert_eq!(rules(&send(&planner, Role::Helper, &files).await), ["not_registered"]);
    }
    world.verify().await;
}

#[tokio::test]
async fn a_message_is_taken_back_before_it_is_fetched_and_not_after() {
    let world = World::new().await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    let files = set(Role::Planner, Role::Helper, serial());
    let slip = id(&send(&planner, Role::Helper, &files).await);
    let taken = post(&planner, &slip, "/withdraw").await;
    assert_eq!(taken.json()["state"], json!("withdrawn"), "{}", taken.text());
    assert_eq!(post(&planner, &slip, "/withdraw").await.json()["state"], json!("withdrawn"), "again is harmless");
    // For its addressee it was never there.
    let nothing = "0".repeat(slip.len());
    assert_eq!(post(&helper, &slip, "/fetch").await.comparable(), post(&helper, &nothing, "/fetch").await.comparable());
    assert_eq!(helper.get(&at(&slip, "")).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(listed(&helper, "received").await, []);
    assert_eq!(helper.get("/api/v1/notices?seen=true").await.json()["notices"], json!([]), "nor was it told");
    assert_eq!(listed(&helper, "received?state=withdrawn").await, []);
    assert_eq!(listed(&planner, "sent").await, [(slip.clone(), "withdrawn".to_owned())]);
    assert_eq!(
        planner.get(&at(&slip, &format!("/files/{}", files[0].0))).await.refusal(),
        (409, "conflict".to_owned())
    );
    // The same set may go out again, and once fetched it stays.
    let again = id(&send(&planner, Role::Helper, &files).await);
    assert_ne!(again, slip);
    assert_eq!(post(&helper, &again, "/withdraw").await.refusal(), (403, "slip_state".to_owned()), "not the addressee");
    assert_eq!(post(&helper, &again, "/fetch").await.status, StatusCode::OK);
    let late = post(&planner, &again, "/withdraw").await;
    assert_eq!(late.refusal(), (409, "conflict".to_owned()));
    assert!(late.json()["title"].as_str().unwrap().contains("取り消せません"), "{}", late.text());
    world.verify().await;
}

#[tokio::test]
async fn an_office_sends_so_many_sets_a_day_and_others_go_on() {
    let world = World::of(Config { slip_sets: 2, ..Config::default() }, |_| {}).await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    for _ in 0..2 {
        send(&planner, Role::Helper, &set(Role::Planner, Role::Helper, serial())).await;
    }
    let refused = planner.upload(&path_to(Role::Helper), &set(Role::Planner, Role::Helper, serial())).await;
    assert_eq!(refused.refusal(), (429, "quota".to_owned()));
    // One comes back in half a day.
    assert_eq!(refused.headers["retry-after"], "43200");
    assert_eq!(listed(&helper, "received").await.len(), 2);
    send(&helper, Role::Planner, &results(Role::Helper, Role::Planner, serial())).await;
    world.pass(43_200).await;
    world.forget_log_ins();
    send(&world.log_in(Role::Planner).await, Role::Helper, &set(Role::Planner, Role::Helper, serial())).await;
    world.verify().await;
}

#[tokio::test]
async fn sets_have_places_of_their_own() {
    let world = World::with(|settings| settings.sets = 0).await;
    let planner = world.log_in(Role::Planner).await;
    for path in [path_to(Role::Helper), "/api/v1/slips/print".to_owned()] {
        let refused = planner.upload(&path, &set(Role::Planner, Role::Helper, serial())).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", refused.text());
    }
    assert_eq!(listed(&planner, "sent").await, [], "other requests are answered");
}

#[tokio::test]
async fn an_upload_of_plans_holds_so_many_people_at_most() {
    let world = World::of(Config { upload_people: 1, ..Config::default() }, |_| {}).await;
    let planner = world.log_in(Role::Planner).await;
    let people = [
        Person::Hanako.key(),
        PersonKey { insured: InsuredNumber::parse("0000000077").unwrap(), ..Person::Hanako.key() },
    ];
    let files = set_of(Role::Planner, Role::Helper, serial(), &people, |_| {});
    let refused = planner.upload("/api/v1/plans", &files).await.json();
    let problems = refused["result"]["report"]["problems"].as_array().unwrap_or_else(|| panic!("{refused}"));
    let told =
        problems.iter().find(|problem| problem["rule"] == "too_many_people").unwrap_or_else(|| panic!("{refused}"));
    assert!(told["message"].as_str().unwrap().contains("1人まで"), "{told}");
    // A set to another office is bound as an upload is, before anybody in it is looked up.
    let refused = planner.upload(&path_to(Role::Helper), &files).await;
    assert_eq!(refused.refusal(), (422, "refused_files".to_owned()));
    let problems = refused.json()["problems"].clone();
    let is_told = problems.as_array().unwrap().iter().any(|problem| problem["rule"] == "too_many_people");
    assert!(is_told, "{problems}");
}

#[tokio::test]
async fn what_an_office_sends_is_bound_in_rows_and_bytes() {
    let world = World::of(Config { upload_rows: 3, ..Config::default() }, |_| {}).await;
    let planner = world.log_in(Role::Planner).await;
    let files = set(Role::Planner, Role::Helper, serial());
    let refused = planner.upload("/api/v1/plans", &files).await.json();
    assert_eq!(refused["result"]["report"]["problems"][0]["rule"], json!("too_many_rows"), "{refused}");
    let refused = planner.upload(&path_to(Role::Helper), &files).await.json();
    assert_eq!(refused["problems"][0]["rule"], json!("too_many_rows"), "{refused}");
    let large = vec![("UP1KYO.CSV".to_owned(), vec![b'x'; (32 << 20) + 1])];
    for path in ["/api/v1/plans", "/api/v1/life"] {
        let refused = planner.upload(path, &large).await;
        assert_eq!(refused.refusal(), (413, "too_large".to_owned()), "{path}");
    }
}

/// A サービスコード表 of the installation: what is none of the month is refused where it is sent and where it is registered.
#[tokio::test]
async fn a_service_code_that_is_none_of_the_month_is_refused_where_there_is_a_table() {
    let table = |codes: &str| {
        let text = format!("# title: 見本の表\n# months: 202604-202703\ncode\tname\tfrom\tto\n{codes}");
        Some(std::sync::Arc::new(kiban_domain::service_type::ServiceCodes::parse(&text).unwrap()))
    };
    for (codes, told) in [("111211\t身体\t202604\t\n", None), ("111111\t身体\t202604\t\n", Some("service_code"))] {
        let world = World::of(Config { service_codes: table(codes), ..Config::default() }, |_| {}).await;
        let planner = world.log_in(Role::Planner).await;
        let files = set(Role::Planner, Role::Helper, serial());
        let sent = planner.upload(&path_to(Role::Helper), &files).await.json();
        let registered = planner.upload("/api/v1/plans", &files).await.json();
        let has =
            |problems: &Value| problems.as_array().is_some_and(|all| all.iter().any(|p| p["rule"] == "service_code"));
        assert_eq!(has(&sent["problems"]), told.is_some(), "{sent}");
        assert_eq!(has(&registered["result"]["report"]["problems"]), told.is_some(), "{registered}");
    }
}

/// The plan that comes with a slip is the one it is held against, not the one that is registered.
#[tokio::test]
async fn a_slip_with_its_new_plan_is_not_held_against_the_plan_before() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    world.register_plan_maker(Role::Planner, Person::Hanako).await;
    world.register(Role::Helper, Person::Hanako).await;
    let before = plan(Role::Planner, Role::Helper, serial(), Person::Hanako.key());
    assert_eq!(planner.upload("/api/v1/plans", &before).await.json()["state"], json!("applied"));
    let together = |number: u64, changed_on: &str| {
        let change = |plan: &mut CarePlan| {
            set_services(plan, &[(Some(Coverage::Covered), Some(Role::Helper), "訪問介護")]);
            plan.changed_on = day(changed_on);
            if let Some(supplement) = &mut plan.supplement {
                supplement.changed_on = Some(plan.changed_on);
            }
        };
        let mut files = plan_of(Role::Planner, Role::Helper, number, Person::Hanako.key(), change);
        files.extend(set(Role::Planner, Role::Helper, number));
        files
    };
    let told = async |files: Files| {
        let sent = send(&planner, Role::Helper, &files).await;
        rules(&sent).iter().filter(|rule| **rule == "outside_plan").count()
    };
    assert_eq!(told(set(Role::Planner, Role::Helper, serial())).await, 1, "the plan before names nothing of it");
    assert_eq!(told(together(serial(), "2026-11-01")).await, 0);
    assert_eq!(told(together(serial(), "2026-12-01")).await, 1, "a plan from December on is none for November");
    world.verify().await;
}

#[tokio::test]
async fn an_answer_that_is_taken_back_leaves_the_request_fetched_and_not_answered() {
    let world = World::new().await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    let slip = message(&world).await;
    let answer_path = format!("{}&reply_to={slip}", path_to(Role::Planner));
    let early = helper.upload(&answer_path, &results(Role::Helper, Role::Planner, serial())).await;
    assert_eq!(early.refusal(), (409, "conflict".to_owned()), "nothing is answered before it was fetched");
    post(&helper, &slip, "/fetch").await;
    let reply = helper.upload(&answer_path, &results(Role::Helper, Role::Planner, serial())).await;
    let answer = id(&reply.json()["slip"]);
    assert_eq!(planner.get(&at(&slip, "")).await.json()["state"], json!("answered"));
    assert_eq!(post(&helper, &answer, "/withdraw").await.status, StatusCode::OK);
    let asked = planner.get(&at(&slip, "")).await.json();
    assert_eq!((&asked["state"], &asked["answer"]), (&json!("fetched"), &Value::Null));
    // Only the addressee answers, with results, to who asked.
    let stranger = world.log_in(Role::Stranger).await;
    let foreign = results(Role::Stranger, Role::Planner, serial());
    assert_eq!(stranger.upload(&answer_path, &foreign).await.refusal(), (404, "unknown".to_owned()));
    let elsewhere = format!("{}&reply_to={slip}", path_to(Role::Stranger));
    let reply = helper.upload(&elsewhere, &results(Role::Helper, Role::Stranger, serial())).await;
    assert_eq!(reply.json()["items"][0]["item"], json!("reply_to"), "{}", reply.text());
    world.verify().await;
}

#[tokio::test]
async fn the_same_set_is_sent_once_and_another_under_its_serial_not_at_all() {
    let world = World::new().await;
    let mut planner = world.log_in(Role::Planner).await;
    let number = serial();
    let files = set(Role::Planner, Role::Helper, number);
    planner.key = Some("send-1".to_owned());
    let first = planner.upload(&path_to(Role::Helper), &files).await;
    let again = planner.upload(&path_to(Role::Helper), &files).await;
    assert_eq!(first.json(), again.json(), "under its key it is answered as the first time");
    planner.key = None;
    let reversed: Files = files.iter().rev().cloned().collect();
    let known = planner.upload(&path_to(Role::Helper), &reversed).await;
    assert_eq!((known.status, &known.json()["repeated"]), (StatusCode::OK, &json!(true)));
    assert_eq!(known.json()["slip"]["slip"], first.json()["slip"]["slip"]);
    let other = set_of(Role::Planner, Role::Helper, number, &[Person::Hidden.key()], |_| {});
    assert_eq!(planner.upload(&path_to(Role::Helper), &other).await.refusal(), (409, "conflict".to_owned()));
    assert_eq!(listed(&planner, "sent").await.len(), 1);
    world.verify().await;
}

/// ケアプラン標準仕様 4.1: a set for each office number and サービス種類; software exports both in the same second.
#[tokio::test]
async fn sets_of_two_service_types_of_one_office_share_a_serial() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let number = serial();
    let of_type = |service: &str| {
        let sending = Sending {
            receiver_type: Some(ServiceType::parse(service).unwrap()),
            ..sending(Role::Planner, Role::Helper, number)
        };
        write_slip_set(&[slip(Person::Hanako.key(), sending.sender, sending.receiver)], &sending).unwrap()
    };
    let first = send(&planner, Role::Helper, &of_type("11")).await;
    let second = send(&planner, Role::Helper, &of_type("A2")).await;
    assert_ne!(id(&first), id(&second));
    assert!(!rules(&second).contains(&"superseded"), "{second}");
    assert_eq!(second["replaces"], json!([]));
    for (service, sent) in [("11", &first), ("A2", &second)] {
        let again = planner.upload(&path_to(Role::Helper), &of_type(service)).await;
        assert_eq!(again.status, StatusCode::OK, "{service}: {}", again.text());
        let again = again.json();
        assert_eq!((id(&again["slip"]), &again["repeated"]), (id(sent), &json!(true)), "{service}");
    }
    assert_eq!(listed(&planner, "sent").await.len(), 2);
    world.verify().await;
}

/// The slips of every page of a list, page by page, until an empty one comes.
async fn paged(client: &Client<'_>, list: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut path = format!("/api/v1/slips/{list}");
    loop {
        let page = client.get(&path).await.json();
        let slips: Vec<String> = page["slips"].as_array().unwrap_or_else(|| panic!("{page}")).iter().map(id).collect();
        let Some(next) = page["next"].as_str() else {
            assert_eq!(slips, Vec::<String>::new());
            return pages;
        };
        assert_eq!(Some(next), slips.last().map(String::as_str), "the next page begins after the last line");
        pages.push(slips);
        path = format!("/api/v1/slips/{list}&after={next}");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_that_leave_nothing_out_and_repeat_nothing() {
    let world = World::new().await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    let mut slips = Vec::new();
    for _ in 0..4 {
        slips.push(message(&world).await);
        world.pass(1).await;
    }
    let [one, two, three, four] = &slips[..] else { panic!("{slips:?}") };
    post(&helper, two, "/fetch").await;
    let page = |slips: &[&String]| slips.iter().map(|slip| (*slip).clone()).collect::<Vec<String>>();
    // Whatever their state, in the order in which they were sent.
    let all = [page(&[one, two]), page(&[three, four])];
    assert_eq!(paged(&planner, "sent?limit=2").await, all);
    assert_eq!(paged(&helper, "received?limit=2").await, all);
    // Only those in a state; the last page is a short one.
    let open = [page(&[one, three]), page(&[four])];
    assert_eq!(paged(&planner, "sent?limit=2&state=sent").await, open);
    assert_eq!(paged(&helper, "received?limit=2&state=sent").await, open);
    assert_eq!(paged(&helper, "received?limit=2&state=fetched").await, [page(&[two])]);
    assert_eq!(paged(&helper, "received?limit=2&state=answered").await, Vec::<Vec<String>>::new());
    // A line of somebody else's list, and one that is none, are no place to begin.
    for (client, list) in [(&helper, "sent"), (&planner, "received")] {
        for after in [one.as_str(), "0"] {
            let reply = client.get(&format!("/api/v1/slips/{list}?after={after}")).await;
            assert_eq!(reply.refusal(), (404, "unknown".to_owned()), "{list} {after}");
        }
    }
    let wrong = planner.get("/api/v1/slips/sent?limit=0").await;
    assert_eq!(wrong.json()["items"][0]["item"], json!("limit"), "{}", wrong.text());
    world.verify().await;
}

#[tokio::test]
async fn a_set_that_is_wrong_goes_nowhere_and_every_problem_is_told_where_it_stands() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let good = set(Role::Planner, Role::Helper, serial());
    let without_table7: Files = good.iter().filter(|(name, _)| !name.starts_with("UPSIKYU")).cloned().collect();
    let two_sets = [good.clone(), set(Role::Planner, Role::Helper, serial())].concat();
    let mut both = plan(Role::Planner, Role::Helper, 20_261_123_000_000, Person::Hanako.key());
    both.extend(
        write_actuals(
            &[ServiceActuals {
                person: Person::Hanako.key(),
                month: month(),
                lines: slip(Person::Hanako.key(), sender(), helper()).lines,
            }],
            &sending(Role::Planner, Role::Helper, 20_261_123_000_000),
        )
        .unwrap(),
    );
    let mut broken = good.clone();
    let line = String::from_utf8_lossy(&broken[0].1).replacen("202407,", "202407,x", 1).into_bytes();
    broken[0].1 = line;
    let cases = [
        (set(Role::Stranger, Role::Helper, serial()), "sender"),
        (set(Role::Planner, Role::Stranger, serial()), "receiver"),
        (without_table7, "unit"),
        (two_sets, "serial"),
        (both, "content"),
        (vec![("PLAN1.CSV".to_owned(), b"1".to_vec())], "file_name"),
    ];
    for (files, rule) in cases {
        let reply = planner.upload(&path_to(Role::Helper), &files).await;
        assert_eq!(reply.refusal(), (422, "refused_files".to_owned()), "{rule}: {}", reply.text());
        let problems = reply.json()["problems"].clone();
        let told = problems.as_array().unwrap().iter().any(|problem| problem["rule"] == rule);
        assert!(told, "{rule}: {problems}");
    }
    assert_eq!(planner.upload(&path_to(Role::Helper), &broken).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for to in ["", "123", "9970000011"] {
        let reply = planner.upload(&format!("/api/v1/slips?to={to}"), &good).await;
        assert_eq!(reply.json()["items"][0]["item"], json!("to"), "{to}: {}", reply.text());
    }
    assert_eq!(listed(&planner, "sent").await, []);
    // A hospital without care services and who provides only: what they do not make they do not send.
    let hospital = world.log_in(Role::Hospital).await.upload(&path_to(Role::Helper), &good).await;
    assert_eq!(hospital.refusal(), (403, "not_slip_sender".to_owned()));
    let plan_of_helper = set(Role::Helper, Role::Planner, serial());
    let reply = world.log_in(Role::Helper).await.upload(&path_to(Role::Planner), &plan_of_helper).await;
    assert_eq!(reply.refusal(), (403, "not_slip_sender".to_owned()));
    world.verify().await;
}

fn sender() -> OfficeNumber {
    Role::Planner.organization().office().unwrap()
}

fn helper() -> OfficeNumber {
    Role::Helper.organization().office().unwrap()
}

#[tokio::test]
async fn a_partner_who_is_not_connected_is_known_before_sending_and_gets_a_printed_slip() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let asks = async |office: &str| {
        let reply = planner.get(&format!("/api/v1/offices/reachable?office={office}")).await.json();
        (reply["reachable"].clone(), reply["state"].as_str().unwrap_or_default().to_owned())
    };
    let helpers = Role::Helper.organization().to_string();
    assert_eq!(asks(&helpers).await, (json!(true), "connected".to_owned()));
    assert_eq!(asks("9970000052").await, (json!(false), "unknown_office".to_owned()));
    assert_eq!(asks(&Role::Hospital.organization().to_string()).await, (json!(false), "not_in_exchange".to_owned()));
    let mut row = certificate(Role::Helper, &Role::Helper.fingerprint(), world.now());
    row.revoked_at = Some(world.now());
    world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
    assert_eq!(asks(&helpers).await, (json!(false), "not_connected".to_owned()));

    const EVIL: &str = "<img src=x onerror=alert(1)>\"'&";
    let files = set_of(Role::Planner, Role::Helper, serial(), &[Person::Hanako.key()], |slip| {
        slip.supplement.as_mut().unwrap().name = EVIL.to_owned();
        slip.lines[0].office_name = EVIL.to_owned();
        slip.table7[0].office_name = EVIL.to_owned();
    });
    let refused = planner.upload(&path_to(Role::Helper), &files).await;
    assert_eq!(refused.refusal(), (409, "not_connected".to_owned()), "{}", refused.text());
    assert!(refused.json()["detail"].as_str().unwrap().contains("印刷"));
    let page = planner.upload("/api/v1/slips/print", &files).await;
    assert_eq!(
        (page.status, page.headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    let text = page.text();
    for part in
        ["第6表", "第7表", "0000000001", "要介護２", "111211", "19705 単位／月", "令和8年11月", "774", "/kiban.css"]
    {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("<img") && text.matches("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;").count() >= 3);
    assert!(!text.contains("<script") && !text.contains(" style="));
    assert_eq!(listed(&planner, "sent").await, [], "nothing of it is kept");
    let plan = plan(Role::Planner, Role::Helper, serial(), Person::Hanako.key());
    assert_eq!(planner.upload("/api/v1/slips/print", &plan).await.refusal(), (422, "invalid".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn what_should_be_looked_at_is_told_to_the_sender_and_the_files_stay_as_they_are() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let told = async |change: fn(&mut ServiceSlip)| {
        let files = set_of(Role::Planner, Role::Helper, serial(), &[Person::Hanako.key()], change);
        let sent = send(&planner, Role::Helper, &files).await;
        for (name, bytes) in &files {
            assert_eq!(&planner.get(&at(&id(&sent), &format!("/files/{name}"))).await.body, bytes);
        }
        rules(&sent).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told(|_| {}).await, ["not_registered"]);
    world.register(Role::Planner, Person::Hanako).await;
    assert_eq!(told(|_| {}).await, ["receiver_not_registered"]);
    world.register(Role::Helper, Person::Hanako).await;
    assert_eq!(told(|_| {}).await, Vec::<String>::new());
    // A text that a spreadsheet would run goes on as it is (T-20).
    let formula: fn(&mut ServiceSlip) =
        |slip| slip.supplement.as_mut().unwrap().name = "=HYPERLINK(\"http://x\")".to_owned();
    assert_eq!(told(formula).await, ["formula"]);
    assert_eq!(told(|slip| slip.table7[0].managed_units = Some(20_000)).await, ["over_limit"]);
    // Where an office gives several codes of one kind, what counts stands on their subtotal, and on no row twice.
    assert_eq!(told(|slip| several_codes(slip, 19_705)).await, Vec::<String>::new());
    assert_eq!(told(|slip| several_codes(slip, 19_706)).await, ["over_limit"]);
    // Without a limit in the file it is that of the level.
    let by_level: fn(&mut ServiceSlip) = |slip| {
        slip.supplement.as_mut().unwrap().limit_units = None;
        slip.table7[0].managed_units = Some(19_706);
    };
    assert_eq!(told(by_level).await, ["over_limit"]);
    assert_eq!(told(|slip| slip.table7[0].count = 3).await, ["count_mismatch"]);
    assert_eq!(told(|slip| slip.lines[0].units = Some(400)).await, ["unit_mismatch"]);
    assert_eq!(
        told(|slip| slip.table7[0].service_code = "111212".to_owned()).await,
        ["not_in_table6", "not_in_table7"]
    );
    let stranger: fn(&mut ServiceSlip) = |slip| {
        let office = Role::Stranger.organization().office().unwrap();
        slip.lines.iter_mut().for_each(|line| line.office = office);
        slip.table7[0].office = office;
    };
    assert_eq!(told(stranger).await, ["not_for_receiver"]);
    assert_eq!(
        told(|slip| slip.supplement.as_mut().unwrap().limit_to = Some(day("2026-10-31"))).await,
        ["certification_expired", "period_differs"]
    );
    // What the card says, which the planner may see.
    assert_eq!(told(|slip| slip.supplement.as_mut().unwrap().level = Some(CareLevel::Care3)).await, ["level_differs"]);
    assert_eq!(told(|slip| slip.supplement.as_mut().unwrap().limit_units = Some(27_048)).await, ["limit_differs"]);
    assert_eq!(
        told(|slip| slip.supplement.as_mut().unwrap().limit_from = Some(day("2025-02-01"))).await,
        ["period_differs"]
    );
    assert_eq!(told(|slip| slip.supplement.as_mut().unwrap().limit_from = None).await, Vec::<String>::new(), "blank");
    // The look at the card is in the log of the person, without a word of the message.
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(
        log.iter().any(|(action, outcome, _)| (action.as_str(), outcome.as_str()) == ("compare", "allowed")),
        "{log:?}"
    );
    // Of somebody's card it has no right to, nothing is said: the answer is that of an unknown number.
    world.unassign(Role::Planner, Person::Hanako).await;
    assert_eq!(told(|slip| slip.supplement.as_mut().unwrap().level = Some(CareLevel::Care3)).await, ["not_registered"]);
    world.verify().await;
}

/// Two codes of one kind, with what counts on their subtotal.
fn several_codes(slip: &mut ServiceSlip, units: i32) {
    let total = slip.table7.pop().unwrap();
    let one = Table7Line { managed_units: None, ..slip.table7[0].clone() };
    let other = Table7Line { service_code: "111111".to_owned(), ..one.clone() };
    let subtotal =
        Table7Line { service_code: "11AAAA".to_owned(), units: 0, managed_units: Some(units), ..one.clone() };
    slip.table7 = vec![one, other, subtotal, Table7Line { managed_units: Some(units), ..total }];
    let lines = slip.lines.clone();
    slip.lines.extend(lines.into_iter().map(|line| SlipLine { service_code: "111111".to_owned(), ..line }));
}

/// The city corrects the card of Hanako: certified until this day.
fn certified_until(world: &World, last: &str) -> Files {
    let valid = Period::new(day("2025-01-01"), Some(day(last))).unwrap();
    let certified = CertifiedLevel {
        level: CareLevel::Care2,
        decided_on: day("2024-12-15"),
        valid: Some(valid),
        limit_units: Some(19_705),
        limit_period: Some(valid),
        service_limits: vec![],
        board_opinion: None,
    };
    let value = InsuranceCard {
        issue: CardIssue::Issued(day("2024-12-20")),
        certified: Some(certified),
        restrictions: vec![],
        planning_offices: vec![],
        facilities: vec![],
    };
    let row = Entry { key: Person::Hanako.key(), history: 2, change: Change::Corrected, value };
    MunicipalPackage::new(city(), world.now()).cards(&[row]).finish().unwrap()
}

#[tokio::test]
async fn a_month_without_a_certification_is_told_of_slips_plans_and_results_in_words() {
    let world = World::new().await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    world.register(Role::Planner, Person::Hanako).await;
    world.register(Role::Helper, Person::Hanako).await;
    let plan_until = async |last: &str| {
        let change = |plan: &mut CarePlan| {
            set_services(plan, &[(Some(Coverage::Covered), Some(Role::Helper), "訪問介護")]);
            plan.table1.level = Some(CareLevel::Care2);
            plan.table1.valid_from = Some(day("2025-01-01"));
            plan.table1.valid_to = Some(day(last));
        };
        let files = plan_of(Role::Planner, Role::Helper, serial(), Person::Hanako.key(), change);
        send(&planner, Role::Helper, &files).await
    };
    assert_eq!(rules(&plan_until("2026-12-31").await), Vec::<&str>::new());
    let past = plan_until("2026-10-31").await;
    assert_eq!(rules(&past), ["certification_expired", "period_differs"]);
    let told = warning(&past, "period_differs");
    assert_eq!((&told["item"], &told["severity"]), (&json!("認定有効期間開始日"), &json!("warning")), "{told}");
    for words in ["20250101-20261031", "被保険者証の認定の有効期間（限度額適用期間）と違います"]
    {
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
    }

    // Results without a line of their sender, and results as they should be.
    let office = Role::Stranger.organization().office().unwrap();
    let foreign = results_of(Role::Helper, Role::Planner, serial(), office);
    assert_eq!(rules(&send(&helper, Role::Planner, &foreign).await), ["not_own_results"]);
    let own = send(&helper, Role::Planner, &results(Role::Helper, Role::Planner, serial())).await;
    assert_eq!(rules(&own), Vec::<&str>::new());

    // The certification ended in October, says the city now.
    let reply = world.log_in(Role::City).await.upload("/api/v1/packages", &certified_until(&world, "2026-10-31")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let slip = send(&planner, Role::Helper, &set(Role::Planner, Role::Helper, serial())).await;
    assert_eq!(rules(&slip), ["not_certified"]);
    let told = warning(&slip, "not_certified");
    assert_eq!((&told["item"], &told["line"]), (&json!("被保険者番号"), &json!(1)), "{told}");
    let words = "被保険者証の認定の有効期間に、この月がありません。更新・区分変更の状況を確かめてください";
    assert!(told["message"].as_str().unwrap().contains(words), "{told}");
    let late = send(&helper, Role::Planner, &results(Role::Helper, Role::Planner, serial())).await;
    assert_eq!(rules(&late), ["not_certified"]);
    assert_eq!(rules(&plan_until("2026-12-31").await), ["not_certified"]);
    world.verify().await;
}

/// Of 第2表 these lines and no others: 保険対象区分, office, サービス種別.
fn set_services(plan: &mut CarePlan, lines: &[(Option<Coverage>, Option<Role>, &str)]) {
    plan.table2.needs.truncate(1);
    let short = &mut plan.table2.needs[0].long_goals[0].short_goals[0];
    let line = short.services[0].clone();
    let made = lines.iter().zip(1..).map(|((coverage, role, kind), number)| PlannedService {
        number: Some(number),
        coverage: *coverage,
        kind: (*kind).to_owned(),
        office: role.map(|role| role.organization().office().unwrap()),
        office_name: String::new(),
        ..line.clone()
    });
    short.services = made.collect();
}

/// A plan and a slip in one set: what 第2表 says is what counts.
#[tokio::test]
async fn a_service_is_outside_the_plan_unless_a_covered_line_names_its_office_and_no_other_kind() {
    type Line<'l> = (Option<Coverage>, Option<Role>, &'l str);
    const YES: Option<Coverage> = Some(Coverage::Covered);
    const NO: Option<Coverage> = Some(Coverage::NotCovered);
    let (helper, stranger) = (Some(Role::Helper), Some(Role::Stranger));
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let cases: [(&[Line<'_>], bool); 14] = [
        (&[(YES, helper, "訪問介護")], false),
        (&[(YES, stranger, "訪問介護")], true),
        // Blank is not covered, as soon as a line is.
        (&[(None, helper, "訪問介護"), (YES, stranger, "通所介護")], true),
        (&[(NO, helper, "訪問介護"), (YES, stranger, "通所介護")], true),
        (&[(None, None, ""), (YES, stranger, "通所介護")], true),
        // Where no line is marked, all count; one that names nothing says nothing.
        (&[(None, helper, "訪問介護"), (None, stranger, "通所介護")], false),
        (&[(None, None, ""), (None, stranger, "通所介護")], true),
        (&[(None, None, "")], false),
        // The kind, where it can be told from the words.
        (&[(YES, helper, "通所介護")], true),
        (&[(YES, helper, "訪問介護（身体介護）")], false),
        (&[(YES, helper, "ヘルパー")], false),
        (&[(YES, helper, "")], false),
        (&[(YES, None, "訪問介護")], false),
        (&[(YES, None, "訪問看護")], true),
    ];
    for (lines, is_outside) in cases {
        let number = serial();
        let mut files = plan_of(Role::Planner, Role::Helper, number, Person::Hanako.key(), |plan| {
            set_services(plan, lines);
        });
        files.extend(set(Role::Planner, Role::Helper, number));
        let sent = send(&planner, Role::Helper, &files).await;
        assert_eq!(rules(&sent).contains(&"outside_plan"), is_outside, "{lines:?}: {sent}");
        if is_outside {
            let told = warning(&sent, "outside_plan");
            assert_eq!(told["item"], json!("サービスコード"), "{told}");
            assert!(told["message"].as_str().unwrap().contains("計画の第2表にないサービスです"), "{told}");
        }
    }
    world.verify().await;
}

#[tokio::test]
async fn a_service_that_the_registered_plan_does_not_name_is_told() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    world.register_plan_maker(Role::Planner, Person::Hanako).await;
    world.register(Role::Helper, Person::Hanako).await;
    let files = plan(Role::Planner, Role::Helper, serial(), Person::Hanako.key());
    let reply = planner.upload("/api/v1/plans", &files).await;
    assert_eq!(reply.json()["state"], json!("applied"), "{}", reply.text());
    // The plan names other offices for every service.
    let slips = set(Role::Planner, Role::Helper, serial());
    assert_eq!(rules(&send(&planner, Role::Helper, &slips).await), ["outside_plan"]);
    // The planner's program reads no plans (P-165), but what it sends is checked as the planner's own: it is told that a service
    // is outside the plan, and nothing of the plan.
    let vendor = world.log_in(Role::Vendor).await;
    let slips = set(Role::Planner, Role::Helper, serial());
    assert_eq!(rules(&send(&vendor, Role::Helper, &slips).await), ["outside_plan"]);
    world.verify().await;
}

/// 利用者基本情報 with its picture and 支援計画書 of the examples.
fn preventive_documents() -> (BasicInformation, PreventivePlan) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/care-plan/valid/preventive");
    let files: Files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    let mut received = read_set(&files).0;
    (received.basics.remove(0).value, received.preventive_plans.remove(0).value)
}

/// What goes out through the program of a vendor is warned of as what goes out by hand.
#[tokio::test]
async fn a_program_that_sends_is_told_all_that_its_office_would_be_told() {
    let world = World::new().await;
    let vendor = world.log_in(Role::Vendor).await;
    let told = async |change: fn(&mut ServiceSlip)| {
        let files = set_of(Role::Planner, Role::Helper, serial(), &[Person::Hanako.key()], change);
        rules(&send(&vendor, Role::Helper, &files).await).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told(|_| {}).await, ["not_registered"]);
    world.register(Role::Planner, Person::Hanako).await;
    assert_eq!(told(|_| {}).await, ["receiver_not_registered"]);
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().any(|(action, ..)| action == "compare"), "the person finds the look: {log:?}");
    world.register(Role::Helper, Person::Hanako).await;
    assert_eq!(told(|_| {}).await, Vec::<String>::new());
    assert_eq!(told(|slip| slip.table7[0].managed_units = Some(20_000)).await, ["over_limit"]);
    assert_eq!(told(|slip| slip.supplement.as_mut().unwrap().level = Some(CareLevel::Care3)).await, ["level_differs"]);
    let reply = world.log_in(Role::City).await.upload("/api/v1/packages", &certified_until(&world, "2026-10-31")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(told(|_| {}).await, ["not_certified"]);
    // Reading what was compared stays closed to it.
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let plans = vendor.get(&format!("/api/v1/people/{handle}/records/CP1")).await;
    assert_eq!(plans.status, StatusCode::FORBIDDEN, "{}", plans.text());
    world.verify().await;
}

/// 介護予防: 利用者基本情報 and 支援計画書 are held against the card as a plan is; of what is taken back only who it is about.
#[tokio::test]
async fn preventive_documents_and_withdrawals_are_looked_at_before_they_go_out() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let preventive = |change: &dyn Fn(&mut BasicInformation, &mut PreventivePlan)| {
        let (mut basic, mut plan) = preventive_documents();
        (basic.person, plan.person) = (Person::Hanako.key(), Person::Hanako.key());
        let days = (Some(day("2025-01-01")), Some(day("2026-12-31")));
        basic.items.level = Some(CareLevel::Care2);
        (basic.items.valid_from, basic.items.valid_to) = days;
        plan.items.level = None;
        (plan.items.valid_from, plan.items.valid_to) = days;
        change(&mut basic, &mut plan);
        write_preventive_set(&[basic], &[plan], &sending(Role::Planner, Role::Helper, serial())).unwrap()
    };
    let told = async |change: &dyn Fn(&mut BasicInformation, &mut PreventivePlan)| {
        let sent = send(&planner, Role::Helper, &preventive(change)).await;
        rules(&sent).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let withdrawn = async || {
        let gone = PlanWithdrawal::Slip { person: Person::Hanako.key(), month: month() };
        let files = write_withdrawals(&[gone], &sending(Role::Planner, Role::Helper, serial())).unwrap();
        rules(&send(&planner, Role::Helper, &files).await).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told(&|_, _| {}).await, ["not_registered"]);
    assert_eq!(withdrawn().await, ["not_registered", "unknown_target"]);
    world.register(Role::Planner, Person::Hanako).await;
    assert_eq!(told(&|_, _| {}).await, ["receiver_not_registered"]);
    assert_eq!(withdrawn().await, Vec::<String>::new(), "a withdrawal was sent before, and an addressee may be gone");
    world.register(Role::Helper, Person::Hanako).await;
    assert_eq!(told(&|_, _| {}).await, Vec::<String>::new());
    assert_eq!(told(&|basic, _| basic.items.level = Some(CareLevel::Support1)).await, ["level_differs"]);
    assert_eq!(told(&|_, plan| plan.items.level = Some(SupportLevel::Support1)).await, ["level_differs"]);
    assert_eq!(told(&|_, plan| plan.items.level = Some(SupportLevel::CommunityProgram)).await, Vec::<String>::new());
    assert_eq!(
        told(&|_, plan| plan.items.valid_to = Some(day("2026-10-31"))).await,
        ["certification_expired", "period_differs"]
    );
    assert_eq!(told(&|basic, _| basic.items.valid_from = Some(day("2025-02-01"))).await, ["period_differs"]);
    // Each is told at its own file.
    let sent =
        send(&planner, Role::Helper, &preventive(&|_, plan| plan.items.level = Some(SupportLevel::Support2))).await;
    let warning = warning(&sent, "level_differs");
    assert_eq!(warning["item"], json!("要支援状態区分"), "{warning}");
    assert!(warning["file"].as_str().unwrap().starts_with("UPYOBO_"), "{warning}");
    assert!(warning["message"].as_str().unwrap().contains("「2」となっています"), "{warning}");
    world.verify().await;
}

#[tokio::test]
async fn a_set_sent_again_updates_what_it_holds_and_its_order_is_that_of_the_serials() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let (first, second, third) = (serial(), serial(), serial());
    let both = [Person::Hanako.key(), Person::Hidden.key()];
    let one = id(&send(&planner, Role::Helper, &set_of(Role::Planner, Role::Helper, first, &both, |_| {})).await);
    let update = send(&planner, Role::Helper, &set(Role::Planner, Role::Helper, third)).await;
    assert_eq!(update["replaces"], json!([one]));
    let late = send(&planner, Role::Helper, &set(Role::Planner, Role::Helper, second)).await;
    assert!(rules(&late).contains(&"superseded"), "{late}");
    assert_eq!(late["replaces"], json!([one]));
    // What was never sent may be taken back all the same: it may have been told by telephone.
    let withdraw = |person: PersonKey| {
        let gone = PlanWithdrawal::Slip { person, month: month() };
        write_withdrawals(&[gone], &sending(Role::Planner, Role::Helper, serial())).unwrap()
    };
    let known = send(&planner, Role::Helper, &withdraw(Person::Hanako.key())).await;
    assert!(!rules(&known).contains(&"unknown_target"), "{known}");
    let unknown = PersonKey { insurer: later_city(), insured: InsuredNumber::parse("0000000098").unwrap() };
    assert_eq!(rules(&send(&planner, Role::Helper, &withdraw(unknown)).await), ["not_started", "unknown_target"]);
    world.verify().await;
}

#[tokio::test]
async fn only_registration_for_delivery_makes_a_plan_a_record_with_the_day_of_the_agreement() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let helpers = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    let plans = async || {
        let reply = helper.get(&format!("/api/v1/people/{helpers}/records/CP1")).await.json();
        reply["documents"].as_array().unwrap_or_else(|| panic!("{reply}")).clone()
    };
    let sent = send(&planner, Role::Helper, &plan(Role::Planner, Role::Helper, serial(), Person::Hanako.key())).await;
    let slip = id(&sent);
    post(&helper, &slip, "/fetch").await;
    assert_eq!(plans().await, Vec::<Value>::new(), "a message is no record");
    let register = at(&slip, "/registration");
    let future = planner.post(&register, json!({ "agreed_on": "2026-11-25" })).await;
    assert_eq!(future.json()["items"][0]["item"], json!("agreed_on"));
    assert_eq!(
        helper.post(&register, json!({ "agreed_on": "2026-11-20" })).await.refusal(),
        (403, "not_writer".to_owned())
    );
    for repeated in [false, true] {
        let done = planner.post(&register, json!({ "agreed_on": "令和8年11月20日" })).await;
        assert_eq!(
            (&done.json()["state"], &done.json()["repeated"]),
            (&json!("applied"), &json!(repeated)),
            "{}",
            done.text()
        );
    }
    let shown = plans().await;
    assert_eq!((shown.len(), &shown[0]["content"]["agreed_on"]), (1, &json!("2026-11-20")));
    let own = planner.get(&format!("/api/v1/people/{handle}/records/CP1")).await.json();
    assert_eq!(own["documents"][0]["content"]["agreed_on"], json!("2026-11-20"));
    // A draft to agree to online is not offered, and that is said.
    let reply = post(&planner, &slip, "/confirmation").await;
    assert_eq!(reply.refusal(), (403, "not_offered".to_owned()));
    assert!(reply.json()["title"].as_str().unwrap().contains("提供していません"));
    world.verify().await;
}

#[tokio::test]
async fn messages_are_kept_for_their_time_and_go_on_the_record() {
    let config = Config { slip_days: 30, ..Config::default() };
    let world = World::of(config, |_| {}).await;
    let slip = message(&world).await;
    let gone: Date = world.today();
    world.pass(29 * 86_400).await;
    world.platform.keep_house(&world.context()).await.unwrap();
    let planner = world.with_certificate(Role::Planner);
    let login = json!({ "account": Role::Planner.account(), "password": crate::world::PASSWORD });
    let log_in = async || {
        let mut client = planner.clone();
        let reply = client.post("/api/v1/session", login.clone()).await;
        client.token = Some(reply.json()["token"].as_str().unwrap().to_owned());
        client
    };
    assert_eq!(log_in().await.get(&at(&slip, "")).await.status, StatusCode::OK, "{gone}");
    world.pass(2 * 86_400).await;
    world.platform.keep_house(&world.context()).await.unwrap();
    assert_eq!(log_in().await.get(&at(&slip, "")).await.refusal(), (404, "unknown".to_owned()));
    world.verify().await;
}
