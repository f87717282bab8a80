//! The main job at the use cases, on both engines: a city's files go in, an office proves who it is and who the person
//! is, and exactly what the table allows comes out.

use kiban_domain::consent::{ConsentAct, Declarant, IdentityProof};
use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Staff};
use kiban_domain::{Date, Kind, Organization, Timestamp, dates};
use kiban_service::{
    Caller, Config, ConsentRequest, Context, Error, LogIn, NewAccount, Peer, Platform, RegistrationRequest,
};
use kiban_sim::{Cast, City, CitySpec, Role, SimPerson, cast, city_package};
use kiban_store::{AuditSettings, CertificateRow, MasterKey, SigningKey, Store};
use std::sync::Arc;

const PASSWORD: &str = "tesuto-no-aikotoba";

fn now() -> Timestamp {
    "2026-11-20T01:00:00Z".parse().unwrap()
}

fn context() -> Context {
    Context::new(now()).unwrap()
}

struct World {
    platform: Platform,
    city: City,
    cast: Cast,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(database: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = database.unwrap_or_else(|| format!("sqlite:{}", folder.path().join("kiban.db").display()));
        let audit = AuditSettings {
            signing_key: SigningKey::load_or_create(&folder.path().join("anchor.key")).unwrap(),
            anchor_dir: folder.path().join("anchors"),
            clock: Arc::new(now),
        };
        let master = MasterKey::load_or_create(&folder.path().join("master.key")).unwrap();
        let store = Store::open(&address, master, audit).await.unwrap();
        let platform = Platform::open(store, Config::default(), now()).await.unwrap();
        let today: Date = dates::day_in_japan(now());
        let spec = CitySpec::sample(1, 60, today).unwrap();
        let city = City::generate(&spec);
        let offices: Vec<_> = city.offices.iter().map(|office| office.office.clone()).collect();
        platform.put_offices(&offices, true, &context()).await.unwrap();
        let world = Self { platform, cast: cast(&spec).unwrap(), city, _folder: folder };
        let result = world
            .platform
            .import_package_locally(world.city.insurer, city_package(&world.city).unwrap(), &context(), &mut |_, _| {})
            .await
            .unwrap();
        assert_eq!((result.state, result.report.counts.refused), ("applied", 0), "{:?}", result.report.problems);
        world
    }

    async fn start(&self) {
        let today = dates::day_in_japan(now());
        self.platform.set_start(self.city.insurer, StartState::Started(today), "cli", &context()).await.unwrap();
    }

    async fn caller(&self, organization: Organization, staff: &Staff) -> Caller {
        let account = staff.id.0.rsplit('/').next().unwrap().to_owned();
        let fingerprint = format!(
            "{:064x}",
            organization.to_string().bytes().fold(7u64, |sum, b| sum.wrapping_mul(31) + u64::from(b))
        );
        let row = CertificateRow {
            fingerprint: fingerprint.clone(),
            organization,
            terminal: "t".into(),
            serial: fingerprint[..32].into(),
            not_after: "2027-11-20T00:00:00Z".parse().unwrap(),
            revoked_at: None,
        };
        self.platform.bind_certificates(&[row], &context()).await.unwrap();
        let new = NewAccount {
            organization,
            account: account.clone(),
            name: staff.name.clone(),
            job: staff.job,
            care_manager: staff.care_manager,
            password: PASSWORD.into(),
        };
        self.platform.put_account(new, "cli", &context()).await.unwrap();
        self.platform.refresh_standing(now()).await.unwrap();
        let peer = Peer { fingerprint, source: "127.0.0.1".into() };
        let log_in = LogIn { account, password: PASSWORD.into(), software: None };
        let session = self.platform.log_in(&peer, log_in, &context()).await.unwrap();
        self.platform.authenticate(peer, &session.token, &context()).await.unwrap()
    }

    async fn office(&self, role: Role, job: JobType) -> Caller {
        let office = self.city.office(role).unwrap();
        self.caller(Organization::Office(office.number()), office.staff_of(job).unwrap()).await
    }
}

fn items(person: &SimPerson, makes_plan: bool) -> RegistrationRequest {
    let identity = &person.insured.identity;
    RegistrationRequest {
        card_insurer: person.insured.card_insurer,
        insured: person.insured.key.insured,
        kana: identity.kana.clone(),
        birth: identity.birth,
        sex: identity.sex,
        makes_plan,
    }
}

async fn addresses() -> Vec<Option<String>> {
    match std::env::var("KIBAN_TEST_POSTGRES") {
        Ok(address) => {
            let name = format!("main_job_{}", std::process::id());
            let pool = sqlx_connect(&address).await;
            sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await.unwrap();
            let (base, query) = address.split_once('?').unwrap_or((&address, ""));
            let base = base.rsplit_once('/').unwrap().0;
            vec![None, Some(format!("{base}/{name}?{query}"))]
        }
        Err(_) => {
            println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
            vec![None]
        }
    }
}

async fn sqlx_connect(address: &str) -> sqlx::PgPool {
    sqlx::PgPool::connect(address).await.unwrap()
}

#[tokio::test]
async fn a_citys_files_go_in_and_exactly_what_the_table_allows_comes_out() {
    for address in addresses().await {
        let world = World::new(address).await;
        let (platform, person) = (&world.platform, &world.cast.consenting);
        let manager = world.office(Role::Planning, JobType::CareManager).await;

        // Before the start nobody sees anything (P-150).
        let early = platform.register_office(&manager, items(person, true), &context()).await;
        assert!(matches!(early, Err(Error::Refused(refusal)) if refusal.rule.code() == "not_started"));
        world.start().await;

        // A wrong item and an unknown number are one answer (P-106).
        let mut wrong = items(person, true);
        wrong.birth = wrong.birth.tomorrow().unwrap();
        assert!(matches!(platform.register_office(&manager, wrong, &context()).await, Err(Error::NotMatched)));
        let registered = platform.register_office(&manager, items(person, true), &context()).await.unwrap();
        assert!(registered.plan_maker);

        let page = platform.view_person(&manager, &registered.handle, &context()).await.unwrap();
        let kinds: Vec<Kind> = page.kinds.iter().map(|view| view.kind).collect();
        assert!(kinds.contains(&Kind::A3a) && kinds.contains(&Kind::A5) && kinds.contains(&Kind::A2), "{kinds:?}");
        assert_eq!(page.person["name"], person.insured.identity.name.as_str());

        // Another office's handle means nothing to a stranger.
        let helper = world.office(Role::HomeHelp, JobType::CareWorker).await;
        let stranger = platform.view_kind(&helper, &registered.handle, Kind::A3a, None, &context()).await;
        assert!(matches!(stranger, Err(Error::Unknown)));
        let own = platform.register_office(&helper, items(person, false), &context()).await.unwrap();
        let card = platform.view_kind(&helper, &own.handle, Kind::A3a, None, &context()).await.unwrap();
        assert_eq!(card.documents.len(), 1);
        assert!(matches!(
            platform.view_kind(&helper, &own.handle, Kind::A2, None, &context()).await,
            Err(Error::Unknown)
        ));
    }
}

#[tokio::test]
async fn a_withdrawal_works_on_the_next_view() {
    let world = World::new(None).await;
    world.start().await;
    let person = &world.cast.consenting;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle = world.platform.register_office(&manager, items(person, true), &context()).await.unwrap().handle;
    assert!(world.platform.view_kind(&manager, &handle, Kind::E1, None, &context()).await.is_ok());
    let request = ConsentRequest {
        act: ConsentAct::Withdrawn,
        declarant: Declarant::Person,
        proof: IdentityProof::InsuranceCard,
        form: "同意様式 第1版".into(),
        remark: None,
    };
    world.platform.record_consent(&manager, &handle, request, &context()).await.unwrap();
    let refused = world.platform.view_kind(&manager, &handle, Kind::E1, None, &context()).await;
    assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal.rule.code() == "consent_missing"));
    // ○ kinds need no consent (P-074).
    assert!(world.platform.view_kind(&manager, &handle, Kind::A3a, None, &context()).await.is_ok());
}

#[tokio::test]
async fn the_whereabouts_of_a_withheld_person_reach_no_stranger() {
    let world = World::new(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let withheld = world.platform.register_office(&manager, items(&world.cast.withheld, false), &context()).await;
    assert!(matches!(withheld, Err(Error::NotMatched)));
}

#[tokio::test]
async fn the_log_of_it_all_is_intact() {
    let world = World::new(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle =
        world.platform.register_office(&manager, items(&world.cast.consenting, true), &context()).await.unwrap().handle;
    world.platform.view_person(&manager, &handle, &context()).await.unwrap();
    let looks = world.platform.look_ups(&manager, &handle, &context()).await.unwrap();
    assert!(looks.iter().any(|look| look.action == "view" && look.kind.as_deref() == Some("A3a")));
    world.platform.store().audit().anchor_now().await.unwrap();
    assert!(world.platform.store().audit().verify().await.unwrap().is_intact());
}
