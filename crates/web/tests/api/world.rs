//! The world of the tests: one invented city with two people, the organisations around them, a fixed clock, whole
//! requests through the routers without a network.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kiban_domain::assignment::{Assignment, EndReason, IdentityCheck};
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress};
use kiban_domain::dates::{Period, day_in_japan};
use kiban_domain::insurance_card::{
    CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, InsuranceCard, PlanningOffice, Tenths,
};
use kiban_domain::insured::{Identity, Insured, Sex};
use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Office, Staff, StaffId};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, OfficeNumber, Organization, PersonKey, ServiceType, Timestamp};
use kiban_formats::municipal::{Change, Entry as Row, MunicipalPackage};
use kiban_pki::card::CardAuthority;
use kiban_pki::paper::NoticeKey;
use kiban_pki::tls::certificates;
use kiban_service::{Config, Context, Identification, Platform, hash_password};
use kiban_store::{Account, AuditSettings, CertificateRow, Entry, MasterKey, Outcome, SigningKey, Store};
use kiban_web::tls::{PeerCertificate, RemoteAddr};
use kiban_web::{Ready, Settings, closed_line_router, organisations_router, public_router};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use tempfile::TempDir;
use tower::ServiceExt;

pub const PASSWORD: &str = "みほんのパスワード-0001";
/// Account of a second member of each office.
pub const COLLEAGUE: &str = "colleague";
pub const HOST: &str = "kiban.test";
pub const PUBLIC_HOST: &str = "www.kiban.test";

/// Somebody who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// 居宅介護支援, care manager.
    Planner,
    /// The same care manager through a vendor's program.
    Vendor,
    /// 訪問介護.
    Helper,
    /// 医療機関 without care services.
    Hospital,
    /// 居宅介護支援 that is registered for nobody.
    Stranger,
    /// The people's city.
    City,
    /// The city's program that logs in with a password.
    CityProgram,
    /// The city's connector: a certificate and nothing else.
    CityConnector,
    /// The hospital's document software, on the closed line.
    HospitalConnector,
    /// Another city that has started.
    OtherCity,
    /// 都道府県
    Prefecture,
    /// 運用者
    Operator,
    /// Another operator on another terminal.
    SecondOperator,
}

pub const ROLES: [Role; 13] = [
    Role::Planner,
    Role::Vendor,
    Role::Helper,
    Role::Hospital,
    Role::Stranger,
    Role::City,
    Role::CityProgram,
    Role::CityConnector,
    Role::HospitalConnector,
    Role::OtherCity,
    Role::Prefecture,
    Role::Operator,
    Role::SecondOperator,
];

pub fn city() -> InsurerNumber {
    InsurerNumber::from_code5("99001").unwrap()
}

pub fn other_city() -> InsurerNumber {
    InsurerNumber::from_code5("99002").unwrap()
}

/// A city that has announced a day but not started.
pub fn later_city() -> InsurerNumber {
    InsurerNumber::from_code5("99003").unwrap()
}

fn office(number: &str) -> Organization {
    Organization::Office(OfficeNumber::parse(number).unwrap())
}

impl Role {
    pub fn organization(self) -> Organization {
        match self {
            Self::Planner | Self::Vendor => office("9970000011"),
            Self::Helper => office("9970000029"),
            Self::Hospital | Self::HospitalConnector => office("9910000034"),
            Self::Stranger => office("9970000045"),
            Self::City | Self::CityProgram | Self::CityConnector => Organization::Municipality(city()),
            Self::OtherCity => Organization::Municipality(other_city()),
            Self::Prefecture => Organization::parse("13").unwrap(),
            Self::Operator | Self::SecondOperator => Organization::Operator,
        }
    }

    pub fn account(self) -> &'static str {
        match self {
            Self::SecondOperator => "staff2",
            _ => "staff1",
        }
    }

    fn job(self) -> JobType {
        match self {
            Self::Planner | Self::Vendor | Self::Stranger => JobType::CareManager,
            Self::Helper => JobType::CareWorker,
            Self::Hospital | Self::HospitalConnector => JobType::Physician,
            Self::City | Self::CityProgram | Self::CityConnector | Self::OtherCity | Self::Prefecture => {
                JobType::MunicipalOfficer
            }
            Self::Operator | Self::SecondOperator => JobType::OperatorStaff,
        }
    }

    /// One certificate per organisation, but each operator has a terminal of their own.
    pub fn fingerprint(self) -> String {
        let n = match self {
            Self::Vendor => Self::Planner as u8,
            Self::CityProgram => Self::City as u8,
            role => role as u8,
        };
        format!("{:064x}", u32::from(n) + 0xa0)
    }

    /// Not a person and not a log-in.
    pub fn is_connector(self) -> bool {
        matches!(self, Self::CityConnector | Self::HospitalConnector)
    }

    fn is_program(self) -> bool {
        matches!(self, Self::Vendor | Self::CityProgram)
    }
}

/// A person of the city and what is on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// 要介護２, no consent yet.
    Hanako,
    /// 不開示.
    Hidden,
}

impl Person {
    pub fn key(self) -> PersonKey {
        let number = if self == Self::Hanako { "0000000001" } else { "0000000002" };
        PersonKey { insurer: city(), insured: InsuredNumber::parse(number).unwrap() }
    }

    /// What staff type from the card.
    pub fn card(self) -> Value {
        let (kana, birth) = if self == Self::Hanako {
            ("カクウ ハナコ", "1941-05-03")
        } else {
            ("カメイ ヨシコ", "1947-07-15")
        };
        json!({ "insurer_number": city(), "insured_number": self.key().insured, "kana": kana, "birth": birth, "sex": "female" })
    }

    pub fn insured(self) -> Insured {
        let (name, kana, birth) = match self {
            Self::Hanako => ("架空 花子", "カクウ ハナコ", "1941-05-03"),
            Self::Hidden => ("仮名 良子", "カメイ ヨシコ", "1947-07-15"),
        };
        let text = |text: &str| Some(text.to_owned());
        Insured {
            key: self.key(),
            card_insurer: city(),
            identity: Identity {
                name: name.to_owned(),
                kana: kana.to_owned(),
                birth: birth.parse().unwrap(),
                sex: Sex::Female,
                postal_code: text("000-0000"),
                address: text("見本県見本市架空町1-1"),
                telephone: text("000-000-0000"),
            },
            withheld: self == Self::Hidden,
            acquired_on: day("2016-05-03"),
            lost: None,
            domicile_exception: false,
            acquired_because: None,
            domicile_facility: None,
        }
    }
}

pub fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// The city with its people, ready to be asked.
pub struct World {
    pub platform: Platform,
    pub inside: Router,
    pub line: Router,
    pub outside: Router,
    now: Arc<Mutex<Timestamp>>,
    tokens: Mutex<HashMap<Role, String>>,
    pub dir: TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl Fn(&mut Settings)) -> Self {
        Self::of(Config::default(), change).await
    }

    /// With other figures of the operator.
    pub async fn of(config: Config, change: impl Fn(&mut Settings)) -> Self {
        let now = Arc::new(Mutex::new("2026-11-24T01:00:00Z".parse::<Timestamp>().unwrap()));
        Self::built(config, now, change).await
    }

    /// With a clock that others look at too.
    pub async fn at(now: Arc<Mutex<Timestamp>>, change: impl Fn(&mut Settings)) -> Self {
        Self::built(Config::default(), now, change).await
    }

    async fn built(config: Config, now: Arc<Mutex<Timestamp>>, change: impl Fn(&mut Settings)) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = clock_of(&now);
        let store = open_store(&dir, clock.clone()).await;
        let at = clock();
        furnish(&store, at).await;
        let platform = Platform::open(store, config, at).await.unwrap();
        platform.seat_identification(identification(&dir, at));
        let settings = |host: &str| {
            let mut settings = Settings::new(&[host], "https://www.kiban.test", clock.clone());
            change(&mut settings);
            settings
        };
        let world = Self {
            inside: organisations_router(platform.clone(), settings(HOST), Ready::default()),
            line: closed_line_router(platform.clone(), settings(HOST), Ready::default()),
            outside: public_router(platform.clone(), settings(PUBLIC_HOST), Ready::default()),
            platform,
            now,
            tokens: Mutex::default(),
            dir,
        };
        world.import().await;
        world
    }

    pub fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    pub fn clock(&self) -> kiban_web::Clock {
        clock_of(&self.now)
    }

    /// Moves the clock and lets the standing map be read again, as the server does every two seconds.
    pub async fn pass(&self, seconds: i64) {
        *self.now.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
        self.refresh().await;
    }

    /// Moves the clock while the standing map cannot be read.
    pub fn stop_refreshing(&self, seconds: i64) {
        *self.now.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
    }

    pub async fn refresh(&self) {
        self.platform.refresh_standing(self.now()).await.unwrap();
    }

    pub fn context(&self) -> Context {
        Context::new(self.now()).unwrap()
    }

    pub fn today(&self) -> Date {
        day_in_japan(self.now())
    }

    async fn import(&self) {
        let files = package(self.now());
        let result =
            self.platform.import_package_locally(city(), files, &self.context(), &mut |_, _| {}).await.unwrap();
        assert_eq!((result.state, result.report.problems), ("applied", vec![]));
    }

    /// Somebody logged in.
    pub async fn log_in(&self, role: Role) -> Client<'_> {
        if role.is_connector() {
            return Client { world: self, fingerprint: Some(role.fingerprint()), token: None, key: None, line: false };
        }
        let known = self.tokens.lock().unwrap().get(&role).cloned();
        let token = match known {
            Some(token) => token,
            None => self.fresh_token(role).await,
        };
        self.tokens.lock().unwrap().insert(role, token.clone());
        Client { world: self, fingerprint: Some(role.fingerprint()), token: Some(token), key: None, line: false }
    }

    /// A new log-in of somebody who may be logged in already.
    pub async fn fresh_token(&self, role: Role) -> String {
        self.fresh_log_in(role).await["token"].as_str().unwrap().to_owned()
    }

    /// The same with all that a log-in is answered with.
    pub async fn fresh_log_in(&self, role: Role) -> Value {
        let client = Client { world: self, fingerprint: Some(role.fingerprint()), token: None, key: None, line: false };
        let mut body = json!({ "account": role.account(), "password": PASSWORD });
        let mut path = "/api/v1/session";
        if role.is_program() {
            body["software"] = json!("みほんソフト 1.0");
            path = "/api/v1/token";
        }
        let reply = client.post(path, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()
    }

    /// Everybody logs in anew the next time.
    pub fn forget_log_ins(&self) {
        self.tokens.lock().unwrap().clear();
    }

    /// A second member of an office.
    pub async fn log_in_colleague(&self, role: Role) -> Client<'_> {
        let mut client = self.with_certificate(role);
        let reply = client.post("/api/v1/session", json!({ "account": COLLEAGUE, "password": PASSWORD })).await;
        client.token = Some(reply.json()["token"].as_str().unwrap().to_owned());
        client
    }

    /// Somebody with a certificate who is not logged in.
    pub fn with_certificate(&self, role: Role) -> Client<'_> {
        Client { world: self, fingerprint: Some(role.fingerprint()), token: None, key: None, line: false }
    }

    /// Somebody without anything.
    pub fn nobody(&self) -> Client<'_> {
        Client { world: self, fingerprint: None, token: None, key: None, line: false }
    }

    /// Registers an office for a person by the card and gives its handle.
    pub async fn register(&self, role: Role, person: Person) -> String {
        self.register_as(role, person, false).await
    }

    /// The same as plan maker (※1).
    pub async fn register_plan_maker(&self, role: Role, person: Person) -> String {
        self.register_as(role, person, true).await
    }

    async fn register_as(&self, role: Role, person: Person, makes_plan: bool) -> String {
        let mut card = person.card();
        card["makes_plan"] = json!(makes_plan);
        let reply = self.log_in(role).await.post("/api/v1/people", card).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()["handle"].as_str().unwrap().to_owned()
    }

    /// The city's handle of a person.
    pub async fn find(&self, person: Person) -> String {
        let reply = self
            .log_in(Role::City)
            .await
            .post("/api/v1/people/find", json!({ "insured_number": person.key().insured }))
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()["handle"].as_str().unwrap().to_owned()
    }

    /// A handle of this person made for this caller, whether or not they may know one.
    pub async fn stolen_handle(&self, role: Role, person: PersonKey) -> String {
        let peer = kiban_service::Peer { fingerprint: role.fingerprint(), source: "192.0.2.1".to_owned() };
        let caller = match self.log_in(role).await.token {
            Some(token) => self.platform.authenticate(peer, &token, &self.context()).await.unwrap(),
            None => self.platform.authenticate_connector(peer, &self.context()).await.unwrap(),
        };
        self.platform.handle_of(&caller, person).await.unwrap()
    }

    /// The answers to requests that are all sent before one is answered.
    pub async fn at_once(&self, requests: Vec<Request<Body>>) -> Vec<Reply> {
        let ask = |request| {
            let router = self.inside.clone();
            tokio::spawn(async move { Reply::of(router.oneshot(request).await.unwrap()).await })
        };
        let asked: Vec<_> = requests.into_iter().map(ask).collect();
        let mut replies = Vec::new();
        for reply in asked {
            replies.push(reply.await.unwrap());
        }
        replies
    }

    /// Changes something in the store as the operator's tools would.
    pub async fn change(&self, change: impl AsyncFnOnce(&mut kiban_store::Tx)) {
        let mut tx = self.platform.store().begin().await.unwrap();
        change(&mut tx).await;
        tx.commit(Entry::new(self.now(), &self.context().request_id, "test", "test", Outcome::Done)).await.unwrap();
        self.refresh().await;
    }

    /// Puts a registration back as it was after four items, whatever happened to it.
    pub async fn assign(&self, role: Role, person: Person, plan_maker: bool) {
        self.put_assignment(role, person, plan_maker, None).await;
    }

    /// Ends a registration, if there was one.
    pub async fn unassign(&self, role: Role, person: Person) {
        self.put_assignment(role, person, false, Some((self.now(), EndReason::Office))).await;
    }

    async fn put_assignment(
        &self,
        role: Role,
        person: Person,
        plan_maker: bool,
        ended: Option<(Timestamp, EndReason)>,
    ) {
        let staff = StaffId(format!("{}/{}", role.organization(), role.account()));
        let assignment = Assignment {
            person: person.key(),
            office: role.organization().office().unwrap(),
            check: IdentityCheck::FourItems,
            registered_by: staff.clone(),
            registered_at: self.now(),
            viewable_until: day("2027-02-28"),
            plan_maker: plan_maker.then_some(staff),
            confirmed_by_municipality: false,
            ended,
        };
        let before = self.platform.store().assignments(assignment.person).await.unwrap();
        let before = before.iter().find(|before| before.office == assignment.office);
        self.change(async |tx| tx.change_assignment(&assignment, before).await.unwrap()).await;
    }

    /// The actions of the last entries about a person, newest first.
    pub async fn log_about(&self, person: PersonKey) -> Vec<(String, String, String)> {
        let log = self.platform.store().audit();
        let entries = log.about_person(person.insurer.as_str(), person.insured.as_str(), 50, None).await.unwrap();
        entries.into_iter().map(|e| (e.action, e.outcome, e.rule.unwrap_or_default())).collect()
    }

    /// Ends the world and proves its log.
    pub async fn verify(self) {
        let log = self.platform.store().audit();
        log.anchor_now().await.unwrap();
        let report = log.verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert!(report.entries > 0);
    }
}

pub fn clock_of(now: &Arc<Mutex<Timestamp>>) -> kiban_web::Clock {
    let now = Arc::clone(now);
    Arc::new(move || *now.lock().unwrap())
}

pub async fn open_store(dir: &TempDir, clock: kiban_web::Clock) -> Store {
    open_store_at(&format!("sqlite:{}", dir.path().join("kiban.db").display()), dir, clock).await
}

/// The same with the database of this address.
pub async fn open_store_at(address: &str, dir: &TempDir, clock: kiban_web::Clock) -> Store {
    let master = MasterKey::load_or_create(&dir.path().join("master.key")).unwrap();
    let anchor_dir = dir.path().join("anchors");
    std::fs::create_dir_all(&anchor_dir).unwrap();
    let signing_key = SigningKey::load_or_create(&dir.path().join("audit.key")).unwrap();
    Store::open(address, master, AuditSettings { signing_key, anchor_dir, clock }).await.unwrap()
}

/// Argon2 is slow on purpose; everybody has the same password.
fn password_hash() -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_password(PASSWORD).unwrap()).clone()
}

/// Offices, certificates, accounts and starts.
pub async fn furnish(store: &Store, now: Timestamp) {
    let mut tx = store.begin().await.unwrap();
    for (role, name, services, is_hospital) in [
        (Role::Planner, "居宅介護支援事業所みほん", vec!["43"], false),
        (Role::Helper, "ヘルパーステーションみほん", vec!["11"], false),
        (Role::Hospital, "架空病院", vec![], true),
        (Role::Stranger, "居宅介護支援事業所れいじ", vec!["43"], false),
    ] {
        let office = Office {
            number: role.organization().office().unwrap(),
            name: name.to_owned(),
            address: None,
            telephone: None,
            municipality: city(),
            is_hospital,
            service_types: services.into_iter().map(|code| ServiceType::parse(code).unwrap()).collect(),
        };
        tx.put_office(&office, true).await.unwrap();
        tx.put_account(&account_of(role, COLLEAGUE)).await.unwrap();
    }
    for role in ROLES.into_iter().filter(|role| !role.is_program()) {
        tx.put_certificate(&certificate(role, &role.fingerprint(), now)).await.unwrap();
        if role.is_connector() {
            tx.put_connector(&role.fingerprint(), role.organization(), now).await.unwrap();
        } else {
            tx.put_account(&account(role)).await.unwrap();
        }
    }
    tx.set_start(city(), StartState::Started(day("2026-04-01"))).await.unwrap();
    tx.set_start(other_city(), StartState::Started(day("2026-04-01"))).await.unwrap();
    tx.set_start(later_city(), StartState::Planned(day("2027-04-01"))).await.unwrap();
    let id = Context::new(now).unwrap().request_id;
    tx.commit(Entry::new(now, &id, "test", "furnish", Outcome::Done)).await.unwrap();
}

/// Cards of an invented authority are read, and notices signed.
fn identification(dir: &TempDir, now: Timestamp) -> Identification {
    let authority = CardAuthority::init(&dir.path().join("cards"), now).unwrap();
    let certificate = certificates(authority.certificate_pem()).unwrap().remove(0);
    Identification {
        card_authority: Some(certificate.to_vec()),
        notice_key: Some(NoticeKey::load_or_create(&dir.path().join("notice.key")).unwrap()),
        earlier_notice_keys: Vec::new(),
    }
}

pub fn certificate(role: Role, fingerprint: &str, now: Timestamp) -> CertificateRow {
    CertificateRow {
        fingerprint: fingerprint.to_owned(),
        organization: role.organization(),
        terminal: "受付の端末".to_owned(),
        serial: fingerprint[40..].to_owned(),
        not_after: now + jiff::SignedDuration::from_hours(24 * 300),
        revoked_at: None,
        revoked_for: None,
    }
}

/// Another account of the same organisation: a care worker who is no administrator.
pub fn account_of(role: Role, name: &str) -> Account {
    let id = StaffId(format!("{}/{name}", role.organization()));
    let (job, name) = (JobType::CareWorker, "見本 同僚".to_owned());
    let staff = Staff { id, name, job, care_manager: None, administrator: false };
    Account { staff, ..account(role) }
}

/// The account somebody logs in with; in an office it is its administrator's, and one of the operator's two is one.
pub fn account(role: Role) -> Account {
    let id = StaffId(format!("{}/{}", role.organization(), role.account()));
    let administrator = role.organization().office().is_some() || role == Role::Operator;
    let staff = Staff { id, name: "見本 職員".to_owned(), job: role.job(), care_manager: None, administrator };
    Account {
        staff,
        organization: role.organization(),
        password_hash: password_hash(),
        active: true,
        initial_until: None,
        closed_at: None,
        has_factor: false,
        has_passkey: false,
    }
}

/// The city's files: two people with card and copayment rate, and Hanako's running renewal with its opinion request.
pub fn package(at: Timestamp) -> Vec<(String, Vec<u8>)> {
    let row = |person: Person, history: u32| (person.key(), history);
    let people = [Person::Hanako, Person::Hidden];
    let insured: Vec<Row<Insured>> = people.map(|p| entry(row(p, 1), p.insured())).into();
    let valid = Period::new(day("2025-01-01"), Some(day("2026-12-31"))).unwrap();
    let card = InsuranceCard {
        issue: CardIssue::Issued(day("2024-12-20")),
        certified: Some(CertifiedLevel {
            level: CareLevel::Care2,
            decided_on: day("2024-12-15"),
            valid: Some(valid),
            limit_units: Some(19_705),
            limit_period: Some(valid),
            service_limits: vec![],
            board_opinion: None,
        }),
        restrictions: vec![],
        planning_offices: vec![],
        facilities: vec![],
    };
    let cards: Vec<Row<InsuranceCard>> = people.map(|p| entry(row(p, 2), card.clone())).into();
    let year = Period::new(day("2026-08-01"), Some(day("2027-07-31"))).unwrap();
    let rate = CopaymentRate {
        issued_on: day("2026-07-15"),
        rows: vec![CopaymentPeriod { rate: Tenths::new(1).unwrap(), period: year }],
    };
    let rates: Vec<Row<CopaymentRate>> = people.map(|p| entry(row(p, 3), rate.clone())).into();
    let progress = CertificationProgress {
        opinion_requested_on: Some(day("2026-06-21")),
        opinion_requested_from: Role::Hospital.organization().office(),
        ..CertificationProgress::apply(day("2026-03-20"), ApplicationKind::Renewal)
    };
    let progress = vec![entry(row(Person::Hanako, 4), progress)];
    MunicipalPackage::new(city(), at)
        .insured(&insured)
        .cards(&cards)
        .copayment_rates(&rates)
        .progress(&progress)
        .finish()
        .unwrap()
}

/// The city's next card of Hanako, which names the planner of today's 届出.
pub fn card_with_planner(world: &World) -> Vec<(String, Vec<u8>)> {
    let office = Role::Planner.organization().office().unwrap();
    let planner =
        PlanningOffice { office, name: "居宅介護支援事業所みほん".to_owned(), filed_on: world.today() };
    let valid = Period::new(day("2025-01-01"), Some(day("2026-12-31"))).unwrap();
    let card = InsuranceCard {
        issue: CardIssue::Issued(day("2024-12-20")),
        certified: Some(CertifiedLevel {
            level: CareLevel::Care2,
            decided_on: day("2024-12-15"),
            valid: Some(valid),
            limit_units: Some(19_705),
            limit_period: Some(valid),
            service_limits: vec![],
            board_opinion: None,
        }),
        restrictions: vec![],
        planning_offices: vec![planner],
        facilities: vec![],
    };
    let cards = vec![entry((Person::Hanako.key(), 9), card)];
    MunicipalPackage::new(city(), world.now()).cards(&cards).finish().unwrap()
}

/// The city takes back the cards of everybody: there is no 被保険者証 any more.
pub fn cards_taken_back(world: &World) -> Vec<(String, Vec<u8>)> {
    let card = InsuranceCard {
        issue: CardIssue::NeverIssued,
        certified: None,
        restrictions: vec![],
        planning_offices: vec![],
        facilities: vec![],
    };
    let gone = |person: Person| Row { change: Change::Deleted, ..entry((person.key(), 2), card.clone()) };
    let cards = [Person::Hanako, Person::Hidden].map(gone);
    MunicipalPackage::new(city(), world.now()).cards(&cards).finish().unwrap()
}

fn entry<T>((key, history): (PersonKey, u32), value: T) -> Row<T> {
    Row { key, history, change: Change::New, value }
}

/// One side of a conversation.
#[derive(Clone)]
pub struct Client<'a> {
    pub world: &'a World,
    pub fingerprint: Option<String>,
    pub token: Option<String>,
    /// `Idempotency-Key` of every request.
    pub key: Option<String>,
    /// Whether it comes over the closed line; for opinions it always does.
    pub line: bool,
}

impl Client<'_> {
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "application/json", Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, "application/json", Body::from(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, "application/json", Body::from(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, "application/json", Body::empty()).await
    }

    pub async fn upload(&self, path: &str, files: &[(String, Vec<u8>)]) -> Reply {
        self.send(Method::POST, path, "multipart/form-data; boundary=x-x-x", Body::from(form(files))).await
    }

    pub async fn send(&self, method: Method, path: &str, media: &str, body: Body) -> Reply {
        let request = self.request(method, path).header(header::CONTENT_TYPE, media).body(body).unwrap();
        self.send_raw(request).await
    }

    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        request
    }

    /// A request as the listener would hand it to the router.
    pub fn post_request(&self, path: &str, body: Value) -> Request<Body> {
        let request = self.request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        self.connect(&mut request);
        request
    }

    pub fn connect(&self, request: &mut Request<Body>) {
        request.extensions_mut().insert(RemoteAddr("192.0.2.1:50000".parse().unwrap()));
        if let Some(fingerprint) = &self.fingerprint {
            request.extensions_mut().insert(PeerCertificate {
                fingerprint: fingerprint.clone(),
                organization_in_subject: None,
                not_after: self.world.now() + jiff::SignedDuration::from_hours(24),
                key_digest: String::new(),
            });
        }
    }

    pub async fn send_raw(&self, mut request: Request<Body>) -> Reply {
        self.connect(&mut request);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let on_line = self.line || path.starts_with("/api/v1/opinions");
        let router = if on_line { &self.world.line } else { &self.world.inside };
        let reply = Reply::of(router.clone().oneshot(request).await.unwrap()).await;
        crate::description::conform(&method, &path, &reply);
        if self.fingerprint.is_some() {
            crate::recorded::is_recorded(self.world, &method, &path, &reply).await;
        }
        reply
    }
}

/// Files as a form.
pub fn form(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in files {
        body.extend(
            format!("--x-x-x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n").bytes(),
        );
        body.extend(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--x-x-x--\r\n");
    body
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub async fn of(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code of a refusal.
    pub fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }

    /// All that an outsider can compare: status, header names and values, and the body, without the request id.
    pub fn comparable(&self) -> (StatusCode, Vec<(String, String)>, String) {
        let id = self.headers["x-request-id"].to_str().unwrap();
        let headers = self.headers.iter().filter(|(name, _)| *name != "x-request-id");
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        (self.status, headers, self.text().replace(id, "ID"))
    }
}
