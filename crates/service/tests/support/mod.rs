//! A platform over a fresh database with an invented city, and callers who logged in, in a line each.
#![allow(dead_code, clippy::unwrap_used, reason = "test support; each test file uses its own part")]

use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Staff};
use kiban_domain::{Date, Organization, Timestamp, dates};
use kiban_service::{Caller, Config, Context, IntakeResult, LogIn, NewAccount, Peer, Platform, RegistrationRequest};
use kiban_sim::{Cast, City, CitySpec, Role, SimPerson, cast, city_package};
use kiban_store::{AuditSettings, CertificateRow, MasterKey, SigningKey, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const PASSWORD: &str = "tesuto-no-aikotoba";

pub fn now() -> Timestamp {
    "2026-11-20T01:00:00Z".parse().unwrap()
}

pub fn context() -> Context {
    Context::new(now()).unwrap()
}

pub struct World {
    pub platform: Platform,
    pub city: City,
    pub cast: Cast,
    pub address: String,
    /// Keys and anchors lie in it.
    pub folder: tempfile::TempDir,
}

async fn open_store(address: &str, folder: &std::path::Path) -> Store {
    let audit = AuditSettings {
        signing_key: SigningKey::load_or_create(&folder.join("anchor.key")).unwrap(),
        anchor_dir: folder.join("anchors"),
        clock: Arc::new(now),
    };
    let master = MasterKey::load_or_create(&folder.join("master.key")).unwrap();
    Store::open(address, master, audit).await.unwrap()
}

impl World {
    pub async fn new(database: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = database.unwrap_or_else(|| format!("sqlite:{}", folder.path().join("kiban.db").display()));
        let store = open_store(&address, folder.path()).await;
        let platform = Platform::open(store, Config::default(), now()).await.unwrap();
        let today: Date = dates::day_in_japan(now());
        let spec = CitySpec::sample(1, 60, today).unwrap();
        let city = City::generate(&spec);
        let offices: Vec<_> = city.offices.iter().map(|office| office.office.clone()).collect();
        platform.put_offices(&offices, true, &context()).await.unwrap();
        // From here on its data is taken.
        platform.set_start(city.insurer, StartState::Coordinating, "cli", &context()).await.unwrap();
        Self { platform, cast: cast(&spec).unwrap(), city, address, folder }
    }

    /// Another process on the same database.
    pub async fn another(&self, config: Config) -> Platform {
        let store = open_store(&self.address, self.folder.path()).await;
        Platform::open(store, config, now()).await.unwrap()
    }

    /// The same with the city's package taken in.
    pub async fn loaded(database: Option<String>) -> Self {
        let world = Self::new(database).await;
        let result = world.import(city_package(&world.city).unwrap()).await;
        assert_eq!((result.state, result.report.counts.refused), ("applied", 0), "{:?}", result.report.problems);
        world
    }

    pub async fn import(&self, files: Vec<(String, Vec<u8>)>) -> IntakeResult {
        self.platform.import_package_locally(self.city.insurer, files, &context(), &mut |_, _| {}).await.unwrap()
    }

    pub async fn start(&self) {
        let today = dates::day_in_japan(now());
        self.platform.set_start(self.city.insurer, StartState::Started(today), "cli", &context()).await.unwrap();
    }

    pub async fn caller(&self, organization: Organization, staff: &Staff) -> Caller {
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
            revoked_for: None,
        };
        self.platform.bind_certificates(&[row], &context()).await.unwrap();
        let new = NewAccount {
            organization,
            account: account.clone(),
            name: staff.name.clone(),
            job: staff.job,
            care_manager: staff.care_manager,
            administrator: staff.administrator,
            password: PASSWORD.into(),
        };
        self.platform.put_account(new, "cli", &context()).await.unwrap();
        self.platform.refresh_standing(now()).await.unwrap();
        let peer = Peer { fingerprint, source: "127.0.0.1".into() };
        let log_in = LogIn { account, password: PASSWORD.into(), software: None };
        let session = self.platform.log_in(&peer, log_in, &context()).await.unwrap();
        self.platform.authenticate(peer, &session.token, &context()).await.unwrap()
    }

    pub async fn office(&self, role: Role, job: JobType) -> Caller {
        let office = self.city.office(role).unwrap();
        self.caller(Organization::Office(office.number()), office.staff_of(job).unwrap()).await
    }
}

pub fn items(person: &SimPerson, makes_plan: bool) -> RegistrationRequest {
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

pub async fn addresses() -> Vec<Option<String>> {
    match std::env::var("KIBAN_TEST_POSTGRES") {
        Ok(address) => {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let name = format!("service_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
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

/// A request that can be used.
pub fn asked<T>(request: T) -> Result<T, kiban_service::Error> {
    Ok(request)
}
