//! The sweep for words: every route × everybody who may not see a person, with all that somebody would try. No answer
//! holds a word of that person, in any spelling (T-1, T-3, T-4, T-13; P-037, P-165).
//!
//! The person carries an unmistakable word in each item: on the card, in A1, A2, A5, CP1, E1, E2 and F1. The city, which may see all
//! of it, finds every word, so the words are there to be found.

use crate::disaster::open;
use crate::pages::{Browser, form_token, path_of};
use crate::submissions::plan_request;
use crate::view::opinion;
use crate::world::{Client, Person, Reply, Role, World, city, day, form, other_city, package};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress, CertificationResult};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::{BenefitRestriction, CardIssue, FacilityStay, InsuranceCard, PlanningOffice};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{Kind, OfficeNumber};
use kiban_formats::care_plan::{PlanFileName, write_plan_set};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_sim::people::Generator;
use kiban_sim::{CitySpec, Needle, canary};
use kiban_web::{Listener, PAGES, ROUTES, Route};
use serde_json::{Value, json};

/// The number in all words.
const N: u32 = 1;

/// Of whom the words tell: 氏名, フリガナ.
fn names() -> Vec<String> {
    vec![canary::name(N), canary::kana(N)]
}

/// Where the person is, and the free text about the person (P-037).
fn whereabouts() -> Vec<String> {
    let items = ["住所", "家族", "事業所", "施設", "調査", "意見", "届出", "方針"].map(|item| canary::word(item, N));
    let told = TOLD_BY_THE_CITY.map(|item| canary::word(item, N));
    [vec![canary::telephone(N)], items.to_vec(), told.to_vec(), plan_texts()].concat()
}

/// Free items of the running application, its result, the 給付制限, 住宅改修 and 福祉用具.
const TOLD_BY_THE_CITY: [&str; 11] =
    ["延期", "審査会", "理由", "制限", "所有者", "続柄", "改修場所", "施工", "理由書", "販売", "用具"];

/// Free text of the care plan.
fn plan_texts() -> Vec<String> {
    ["意向", "方針", "課題", "目標", "援助", "週間"].map(|item| canary::word(item, N)).to_vec()
}

fn everything() -> Vec<String> {
    [names(), whereabouts()].concat()
}

/// A person full of words, and what stands in the paths of routes.
struct Subject {
    world: World,
    person: Person,
    receipts: Vec<String>,
    /// A message of the planner to an office that is none of the roles, and one of its files.
    slip: (String, String),
    disaster: String,
    notice: String,
    asked: std::cell::Cell<u32>,
}

impl Subject {
    /// The city's files and the consent it took, then the planner's plan and 届出.
    async fn new(person: Person) -> Self {
        let world = World::new().await;
        world.pass(1).await;
        // Before the files change the name: somebody types the card, the city is told.
        let notice = new_notice(&world).await;
        let city_hall = world.log_in(Role::City).await;
        let reply = city_hall.upload("/api/v1/packages", &files(&world, person)).await;
        assert_eq!(reply.json()["report"]["counts"]["applied"], json!(7), "{}", reply.text());
        let mut receipts = vec![number(&reply, "receipt")];

        world.assign(Role::Planner, person, true).await;
        let office = Role::Planner.organization();
        let own = world.find(person).await;
        let confirm = format!("/api/v1/people/{own}/offices/{office}");
        assert_eq!(city_hall.put(&confirm, json!({ "decision": "confirm" })).await.status, StatusCode::NO_CONTENT);
        let planner = world.log_in(Role::Planner).await;
        let handle = world.stolen_handle(Role::Planner, person.key()).await;
        let consent = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
        let reply = city_hall.post(&format!("/api/v1/people/{own}/consents"), consent).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let reply = planner.upload("/api/v1/plans", &plan(person)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        receipts.push(number(&reply, "receipt"));
        let reply = planner.post(&format!("/api/v1/people/{handle}/plan-requests"), filing(&world, person)).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        receipts.push(number(&reply, "receipt"));

        let slip = message_to_a_partner(&world, &planner, person).await;
        let mode = json!({ "event": "見本地震", "areas": [crate::world::later_city()], "from": world.today(), "to": world.today() });
        let reply = world.log_in(Role::Operator).await.post("/api/v1/disasters", mode).await;
        let disaster = number(&reply, "id");
        let subject = Self { world, person, receipts, slip, disaster, notice, asked: Default::default() };
        subject.require_that_the_city_sees_all().await;
        subject
    }

    async fn require_that_the_city_sees_all(&self) {
        let handle = self.world.find(self.person).await;
        let page = Browser::logged_in(&self.world, Role::City).await.get(&format!("/p/{handle}")).await;
        assert!(Needle::new(&names()).find(&page.body).is_some(), "the words are there to be found on pages");
        let city_hall = self.world.log_in(Role::City).await;
        let mut seen = city_hall.get(&format!("/api/v1/people/{handle}")).await.text();
        for kind in ["A1", "A2", "A3a", "A5", "CP1", "E1", "E2"] {
            seen += &city_hall.get(&format!("/api/v1/people/{handle}/records/{kind}")).await.text();
        }
        let filed = self.receipts.last().unwrap();
        seen += &city_hall.post(&format!("/api/v1/inbox/{filed}/fetch"), json!({})).await.text();
        for word in everything() {
            assert!(Needle::new(std::slice::from_ref(&word)).find(seen.as_bytes()).is_some(), "{word}");
        }
    }

    /// Asks everything as this role; panics at a word that is not for it.
    async fn sweep(&self, role: Role, words: Vec<String>) {
        let client = self.world.log_in(role).await;
        self.sweep_as(role, &client, words.clone()).await;
        // Programs and connectors do not log in at a page.
        if !role.is_connector() && !matches!(role, Role::Vendor | Role::CityProgram) {
            self.sweep_pages(role, words).await;
        }
    }

    /// Every page and every form of the WEB service as this role.
    async fn sweep_pages(&self, role: Role, words: Vec<String>) {
        self.world.pass(61).await;
        let (needle, browser) = (Needle::new(&words), Browser::logged_in(&self.world, role).await);
        let handle = self.world.stolen_handle(role, self.person.key()).await;
        let token = form_token(&browser.get("/today").await);
        let pages = PAGES.iter().filter(|page| page.listener == Listener::Organisations);
        // What ends the log-in or the registration comes last.
        let ends = ["log_out_by_form", "password_by_form", "end_by_form"];
        let (last, first): (Vec<_>, Vec<_>) = pages.partition(|page| ends.contains(&page.name));
        for page in first.into_iter().chain(last.into_iter().filter(|page| page.name != "log_out_by_form")) {
            let path = path_of(page, &handle);
            let paths = match page.path.contains("{receipt}") {
                true => self.receipts.iter().map(|receipt| page.path.replace("{receipt}", receipt)).collect(),
                false => vec![path],
            };
            for path in paths {
                let replies = match page.method {
                    Method::GET => vec![browser.get(&path).await],
                    _ => {
                        let mut replies = Vec::new();
                        for act in ["given", "fetch", "accept"] {
                            replies.push(browser.try_form(&path, act, &token).await);
                        }
                        replies
                    }
                };
                for reply in replies {
                    let all = [&reply.body[..], format!("{:?}", reply.headers).as_bytes()].concat();
                    assert_eq!(needle.find(&all), None, "{role:?} {} {path} → {}", page.method, reply.text());
                    assert!(reply.status != StatusCode::INTERNAL_SERVER_ERROR, "{role:?} {} {path}", page.method);
                    self.asked.set(self.asked.get() + 1);
                }
            }
        }
    }

    /// The sweep of somebody who sees a part: the name is there, the words are not.
    async fn sweep_all_but_the_name(&self, role: Role, words: Vec<String>) {
        let handle = self.world.stolen_handle(role, self.person.key()).await;
        let page = self.world.log_in(role).await.get(&format!("/api/v1/people/{handle}")).await;
        assert!(Needle::new(&names()).find(&page.body).is_some(), "{role:?}: {}", page.text());
        self.sweep(role, words).await;
    }

    async fn sweep_as(&self, role: Role, client: &Client<'_>, words: Vec<String>) {
        // Nobody's hour of requests is used up by who asked before.
        self.world.pass(61).await;
        let needle = Needle::new(&words);
        let handle = self.world.stolen_handle(role, self.person.key()).await;
        // What ends a registration comes last.
        let (last, first): (Vec<_>, Vec<_>) = ROUTES.iter().partition(|route| route.method == Method::DELETE);
        for route in first.into_iter().chain(last).filter(|route| !is_for_its_own_city(route, role)) {
            for path in self.paths(route, role, &handle) {
                for reply in self.attempts(route, role, client, &path).await {
                    let all = [&reply.body[..], format!("{:?}", reply.headers).as_bytes()].concat();
                    assert_eq!(needle.find(&all), None, "{role:?} {} {path} → {}", route.method, reply.text());
                    assert!(reply.status != StatusCode::INTERNAL_SERVER_ERROR, "{role:?} {} {path}", route.method);
                    assert_ne!(reply.code(), "request_quota", "{role:?} {} {path}: says nothing", route.method);
                    self.asked.set(self.asked.get() + 1);
                }
            }
        }
    }

    /// The paths of a route about this person.
    fn paths(&self, route: &Route, role: Role, handle: &str) -> Vec<String> {
        let path = route.path.replace("{handle}", handle).replace("{insurer}", city().as_str());
        let path = path.replace("{id}", &self.disaster).replace("{notice}", &self.notice);
        let path = path.replace("{office}", &role.organization().to_string()).replace("{account}", role.account());
        let path = path.replace("{organization}", &role.organization().to_string());
        let path = path.replace("{registration}", &"0".repeat(32)).replace("{session}", &"0".repeat(32));
        let path = path.replace("{block}", &"0".repeat(32)).replace("{passkey}", &"0".repeat(32));
        let path = path.replace("{announcement}", &"0".repeat(32));
        let path = path.replace("{slip}", &self.slip.0).replace("{file}", &self.slip.1);
        let path = path.replace("{serial}", &role.fingerprint()[40..]).replace("{application}", &"0".repeat(32));
        if path.contains("{kind}") {
            return Kind::ALL.iter().map(|kind| path.replace("{kind}", kind.code())).collect();
        }
        if path.contains("{receipt}") {
            return self.receipts.iter().map(|receipt| path.replace("{receipt}", receipt)).collect();
        }
        assert!(!path.contains('{'), "{path}: what stands there?");
        if route.name == "copayment_changes" { vec![path + "?day=2026-08-01"] } else { vec![path] }
    }

    /// What somebody tries on a route.
    async fn attempts(&self, route: &Route, role: Role, client: &Client<'_>, path: &str) -> Vec<Reply> {
        if route.listener == Listener::Public {
            return vec![self.world.outside(path).await];
        }
        let mut client = client.clone();
        client.line = route.listener == Listener::ClosedLine;
        if route.name == "log_out" && client.token.is_some() {
            client.token = Some(self.world.fresh_token(role).await);
        }
        let mut replies = Vec::new();
        if matches!(
            route.name,
            "import_package" | "import_plans" | "import_life" | "import_claims" | "send_slips" | "print_slips"
        ) {
            let files = form(&package(self.world.now()));
            let media = "multipart/form-data; boundary=x-x-x";
            return vec![client.send(Method::POST, path, media, Body::from(files)).await];
        }
        if matches!(route.method, Method::GET | Method::DELETE) {
            return vec![client.send(route.method.clone(), path, "application/json", Body::empty()).await];
        }
        for body in self.bodies() {
            let body = Body::from(body.to_string());
            replies.push(client.send(route.method.clone(), path, "application/json", body).await);
        }
        replies
    }

    /// Bodies that fit one route or another. Who types the kana of a person knows it already; it must not come back.
    fn bodies(&self) -> Vec<Value> {
        let key = self.person.key();
        let identity = self.person.insured().identity;
        let kana = format!("カクウ ハナコ{}", canary::kana(N));
        // Of an ordinary person one item is wrong; of one under 不開示 all four may be right.
        let birth = if self.person == Person::Hidden { identity.birth } else { identity.birth.tomorrow().unwrap() };
        let today = self.world.today();
        let mut opinion = opinion(&self.world);
        opinion["person"] = json!(key);
        let mut request = plan_request(&self.world);
        request["person"] = json!(key);
        vec![
            json!({ "insurer_number": key.insurer, "insured_number": key.insured, "kana": kana, "birth": birth, "sex": "female" }),
            json!({ "insurer_number": key.insurer, "insured_number": key.insured }),
            json!({ "insured_number": key.insured }),
            json!({ "reason": "安否確認", "insurer_number": key.insurer, "kana": kana, "birth": identity.birth }),
            json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" }),
            json!({ "reason": "記載もれがあります" }),
            json!({ "decision": "confirm" }),
            json!({ "hidden": false }),
            json!({ "active": true }),
            json!({ "state": "started", "date": "2026-04-01" }),
            json!({ "event": "見本地震", "areas": [crate::world::later_city()], "from": today, "to": today }),
            opinion,
            request,
        ]
    }
}

/// Programs of the person's own city hand over packages and documents of its insured; that is what they are for (P-165).
fn is_for_its_own_city(route: &Route, role: Role) -> bool {
    let exchange = ["/api/v1/inbox", "/api/v1/receipts", "/api/v1/packages", "/api/v1/export", "/api/v1/paper-notices"];
    // The planner's program sends and lists what the planner does (P-166).
    let own = role == Role::Vendor && route.path.starts_with("/api/v1/slips");
    let is_city = matches!(role, Role::CityProgram | Role::CityConnector);
    own || is_city && exchange.iter().any(|path| route.path.starts_with(path))
}

/// The planner's plan sent to another office, which takes part and is nobody of this test.
async fn message_to_a_partner(world: &World, planner: &Client<'_>, person: Person) -> (String, String) {
    let number = OfficeNumber::parse("9970000052").unwrap();
    let fingerprint = format!("{:064x}", 0xffu32);
    let mut account = crate::world::account_of(Role::Helper, "partner");
    account.staff.id = kiban_domain::office::StaffId("9970000052/partner".to_owned());
    account.organization = kiban_domain::Organization::Office(number);
    let mut certificate = crate::world::certificate(Role::Helper, &fingerprint, world.now());
    certificate.organization = account.organization;
    let office = kiban_domain::office::Office {
        number,
        name: "訪問介護みほん".to_owned(),
        address: None,
        telephone: None,
        municipality: city(),
        is_hospital: false,
        service_types: vec![kiban_domain::ServiceType::parse("11").unwrap()],
    };
    world
        .change(async |tx| {
            tx.put_office(&office, true).await.unwrap();
            tx.put_account(&account).await.unwrap();
            tx.put_certificate(&certificate).await.unwrap();
        })
        .await;
    let files: Vec<_> = plan(person)
        .into_iter()
        .map(|(name, bytes)| (name.replace("9970000029", "9970000052").replace("000002.CSV", "000003.CSV"), bytes))
        .collect();
    let reply = planner.upload("/api/v1/slips?to=9970000052", &files).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let slip = reply.json()["slip"]["slip"].as_str().unwrap().to_owned();
    let bytes = planner.get(&format!("/api/v1/slips/{slip}/files/{}", files[0].0)).await.body;
    assert!(Needle::new(&plan_texts()).find(&bytes).is_some(), "the words are there to be found");
    (slip, files[0].0.clone())
}

/// A notice of the city about the person under 不開示.
async fn new_notice(world: &World) -> String {
    world.log_in(Role::Helper).await.post("/api/v1/people", Person::Hidden.card()).await;
    let notices = world.log_in(Role::City).await.get("/api/v1/notices?seen=true").await.json();
    notices["notices"][0]["notice"].as_str().unwrap().to_owned()
}

fn number(reply: &Reply, name: &str) -> String {
    reply.json()[name].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
}

/// The city's files about the person: who, card, survey, opinion of another hospital, and the running application.
fn files(world: &World, person: Person) -> Vec<(String, Vec<u8>)> {
    fn one<T>(person: Person, value: T) -> Vec<Entry<T>> {
        vec![Entry { key: person.key(), history: 10, change: Change::New, value }]
    }
    let text = |item: &str| canary::word(item, N);
    let mut insured = person.insured();
    insured.identity.name = format!("架空 花子{}", canary::name(N));
    insured.identity.kana = format!("カクウ ハナコ{}", canary::kana(N));
    insured.identity.address = Some(format!("見本県見本市架空町{}", text("住所")));
    insured.identity.telephone = Some(canary::telephone(N));
    let identity = insured.identity.clone();
    let office = Role::Planner.organization().office().unwrap();
    let stay = kiban_domain::dates::Period::new(day("2025-02-01"), None).unwrap();
    let card = InsuranceCard {
        issue: CardIssue::Issued(day("2026-10-20")),
        certified: None,
        restrictions: vec![BenefitRestriction {
            content: text("制限"),
            period: kiban_domain::dates::Period::new(day("2026-04-01"), Some(day("2026-09-30"))).unwrap(),
            benefit_percent: Some(70),
            kind: None,
        }],
        planning_offices: vec![PlanningOffice { office, name: text("事業所"), filed_on: day("2026-10-01") }],
        facilities: vec![FacilityStay { kind: "介護老人福祉施設".to_owned(), name: text("施設"), stay }],
    };
    let applied_on = day("2026-03-20");
    let mut survey = CertificationSurvey::example(identity.clone(), applied_on, |at, count| at % count);
    survey.notes[0].text += &text("調査");
    survey.contacts.as_mut().unwrap().name = text("家族");
    let hospital = OfficeNumber::parse("9910000042").unwrap();
    let mut opinion = PhysicianOpinion::example(person.key(), hospital, day("2026-04-10"));
    opinion.applied_on = applied_on;
    opinion.basics.applicant = identity;
    opinion.remarks = Some(text("意見"));
    let progress = CertificationProgress {
        opinion_requested_on: Some(day("2026-06-21")),
        opinion_requested_from: Role::Hospital.organization().office(),
        delay_reason: Some(text("延期")),
        result: Some(CertificationResult {
            level: CareLevel::Care2,
            decided_on: day("2026-06-30"),
            valid: None,
            months: None,
            board_opinion: Some(text("審査会")),
            reason: Some(text("理由")),
            notified_on: None,
            card_issued_on: None,
        }),
        ..CertificationProgress::apply(applied_on, ApplicationKind::Renewal)
    };
    let work = HomeModification {
        address: text("住所"),
        owner: Some(text("所有者")),
        owner_relation: Some(text("続柄")),
        places: Some(text("改修場所")),
        provider_name: Some(text("施工")),
        reason_writer: Some(text("理由書")),
        ..HomeModification::example(day("2025-06-02"), CareLevel::Care2)
    };
    let purchase = EquipmentPurchase {
        provider_name: text("販売"),
        need: Some(text("用具")),
        ..EquipmentPurchase::example(day("2025-06-02"))
    };
    MunicipalPackage::new(city(), world.now())
        .insured(&one(person, insured))
        .cards(&one(person, card))
        .progress(&one(person, progress))
        .records(&one(person, survey))
        .records(&one(person, opinion))
        .records(&one(person, work))
        .records(&one(person, purchase))
        .finish()
        .unwrap()
}

/// A care plan of the planner's office; its texts hold the words.
fn plan(person: Person) -> Vec<(String, Vec<u8>)> {
    let spec = CitySpec::sample(1, 5, day("2026-11-22")).unwrap();
    let cast = kiban_sim::cast(&spec).unwrap();
    let mut plan = kiban_sim::plans::care_plan(&Generator::new(&spec), &cast.consenting).unwrap();
    let office = Role::Planner.organization().office().unwrap();
    plan.person = person.key();
    plan.table1.office = office;
    plan.table1.updated_by = Some(office);
    let name = "UP1KYO_9970000011_43_9970000029_11_20261101000002.CSV";
    write_plan_set(&[plan], &PlanFileName::parse(name).unwrap().sending).unwrap()
}

/// A change of the 届出, with its reason in words.
fn filing(world: &World, person: Person) -> Value {
    let mut request = plan_request(world);
    request["person"] = json!(person.key());
    request["filing"] = json!({ "kind": "change", "reason": canary::word("届出", N), "changed_on": world.today() });
    request["filer"] =
        json!({ "who": "person", "address": canary::word("住所", N), "telephone": canary::telephone(N) });
    request
}

/// Roles that never see anybody of this city, whoever it is.
const OUTSIDERS: [Role; 6] =
    [Role::OtherCity, Role::Prefecture, Role::Operator, Role::SecondOperator, Role::HospitalConnector, Role::Stranger];

#[tokio::test]
async fn no_answer_to_somebody_not_entitled_holds_a_word_of_an_ordinary_person() {
    let subject = Subject::new(Person::Hanako).await;
    for role in OUTSIDERS.into_iter().chain([Role::Helper, Role::CityProgram, Role::CityConnector]) {
        subject.sweep(role, everything()).await;
    }
    let world = &subject.world;
    subject.sweep_as(Role::Planner, &world.nobody(), everything()).await;
    subject.sweep_as(Role::Planner, &world.with_certificate(Role::Planner), everything()).await;
    // The planner's program reads what P-165 lists: no plan and no 届出.
    subject.sweep_all_but_the_name(Role::Vendor, [plan_texts(), vec![canary::word("届出", N)]].concat()).await;
    // The hospital that was asked for an opinion: not what the city and others wrote.
    let others = ["調査", "家族", "届出", "意見"].map(|item| canary::word(item, N));
    subject.sweep_all_but_the_name(Role::Hospital, others.to_vec()).await;
    assert!(subject.asked.get() > 4_000);
    println!("answers about an ordinary person: {}, words found 0", subject.asked.get());
    subject.world.verify().await;
}

#[tokio::test]
async fn no_answer_to_somebody_not_confirmed_tells_where_a_person_under_withholding_is() {
    let subject = Subject::new(Person::Hidden).await;
    let world = &subject.world;
    // Even in a disaster that names the office and the city that takes in evacuees.
    let offices = [Role::Stranger, Role::Helper].map(Role::organization);
    open(
        world,
        json!({
            "event": "見本水害", "areas": [city()], "offices": offices, "hosts": [other_city()], "without_consent": true,
            "from": world.today(), "to": world.today(),
        }),
    )
    .await;
    for role in OUTSIDERS.into_iter().chain([Role::Helper, Role::CityProgram, Role::CityConnector]) {
        subject.sweep(role, everything()).await;
    }
    subject.sweep_as(Role::Planner, &world.nobody(), everything()).await;
    // Registered since before the flag, but not confirmed by the city: the name, not where she is.
    world.assign(Role::Stranger, Person::Hidden, true).await;
    world.assign(Role::Helper, Person::Hidden, false).await;
    for role in [Role::Stranger, Role::Helper, Role::Hospital] {
        subject.sweep_all_but_the_name(role, whereabouts()).await;
    }
    assert!(subject.asked.get() > 4_000);
    println!("answers about a person under 不開示: {}, words found 0", subject.asked.get());
    subject.world.verify().await;
}
