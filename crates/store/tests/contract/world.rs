//! A database of its own for each test, invented people, and a hand on the raw rows, as an insider has it.

use kiban_domain::assignment::{Assignment, IdentityCheck};
use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, IdentityProof};
use kiban_domain::dates::Period;
use kiban_domain::insured::{Identity, Insured, Sex};
use kiban_domain::office::StaffId;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey, Timestamp};
use kiban_store::{
    AuditSettings, Entry, MasterKey, NewReceipt, NewRecord, Outcome, PersonFacts, ReceiptCounts, ReceiptState,
    SigningKey, Store, StoreError, StoredRecord, Tx,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub struct World {
    pub store: Store,
    pub address: String,
    pub folder: tempfile::TempDir,
}

/// Runs a test on every engine there is, each time in a fresh database.
pub async fn on_each_engine(test: impl AsyncFn(World)) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("kiban.db").display());
    test(World::open(address, folder).await).await;
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("kiban_contract_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut admin = PgConnection::connect(&server).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    test(World::open(address_of(&server, &name), tempfile::tempdir().unwrap()).await).await;
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

/// The address of another database of the same server.
pub fn address_of(server: &str, database: &str) -> String {
    let (path, query) = server.split_once('?').unwrap_or((server, ""));
    format!("{}/{database}?{query}", path.rsplit_once('/').unwrap().0)
}

impl World {
    /// A fresh database on SQLite.
    pub async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("kiban.db").display());
        Self::open(address, folder).await
    }

    /// Where the anchors outside the database lie.
    pub fn anchors(&self) -> PathBuf {
        self.folder.path().join("anchors")
    }

    async fn open(address: String, folder: tempfile::TempDir) -> Self {
        let store = open(&address, folder.path()).await.unwrap();
        Self { store, address, folder }
    }

    pub fn is_postgres(&self) -> bool {
        self.store.engine_name() == "postgresql"
    }

    /// One write with its audit entry.
    pub async fn write<T>(&self, act: impl AsyncFnOnce(&mut Tx) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut tx = self.store.begin().await?;
        let done = act(&mut tx).await?;
        tx.commit(entry()).await?;
        Ok(done)
    }

    /// Changes rows by hand, as somebody does who has the database but not the keys; how many.
    pub async fn by_hand(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.address.strip_prefix("sqlite:") {
            Some(path) => {
                let mut connection = SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap();
                connection.execute("PRAGMA busy_timeout = 5000").await.unwrap();
                let changed = connection.execute(sql).await.unwrap().rows_affected();
                connection.close().await.unwrap();
                changed
            }
            None => {
                let mut connection = PgConnection::connect(&self.address).await.unwrap();
                let changed = connection.execute(sql).await.unwrap().rows_affected();
                connection.close().await.unwrap();
                changed
            }
        }
    }

    /// One number by a question of one's own.
    pub async fn ask(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.address.strip_prefix("sqlite:") {
            Some(path) => {
                let mut connection = SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
            None => {
                let mut connection = PgConnection::connect(&self.address).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// Everything of one kind, opened with its audit entry.
    pub async fn records(&self, kind: Kind) -> Result<Vec<StoredRecord>, StoreError> {
        let records = self.store.records(hanako(), kind).await?;
        self.store.audit().release(records, entry()).await
    }

    /// What bears on a decision about 花子 for an employee of the office.
    pub async fn facts(&self) -> PersonFacts {
        let office = office();
        let staff = StaffId("4370100017/s1".to_owned());
        self.store.person_facts(hanako(), Organization::Office(office), Some(office), Some(&staff)).await.unwrap()
    }

    pub async fn put_person(&self, revision: i64, insured: &Insured) {
        self.write(async |tx| tx.put_person(revision, 1, insured).await).await.unwrap();
    }

    /// A receipt that is open; its number.
    pub async fn open_receipt(&self, id: &str) -> i64 {
        let receipt = receipt(id);
        self.write(async |tx| tx.put_receipt(&receipt).await).await.unwrap()
    }

    pub async fn apply(&self, number: i64) {
        let counts = ReceiptCounts::default();
        self.write(async |tx| tx.finish_receipt(insurer(), number, ReceiptState::Applied, counts, b"{}").await)
            .await
            .unwrap();
    }
}

/// Opens a database with the keys of a folder, made at first use.
pub async fn open(address: &str, folder: &Path) -> Result<Store, StoreError> {
    open_with(address, folder, &folder.join("keys/master.key")).await
}

pub async fn open_with(address: &str, folder: &Path, master: &Path) -> Result<Store, StoreError> {
    let settings = AuditSettings {
        signing_key: SigningKey::load_or_create(&folder.join("keys/anchor.key"))?,
        anchor_dir: PathBuf::from(folder).join("anchors"),
        clock: Arc::new(|| at(0)),
    };
    Store::open(address, MasterKey::load_or_create(master)?, settings).await
}

/// Seconds after nine in the morning (Japan) of 2026-11-22.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_305_600 + second).unwrap()
}

pub fn entry() -> Entry {
    Entry::new(at(0), "request-1", "cli", "test", Outcome::Done)
}

pub fn insurer() -> InsurerNumber {
    InsurerNumber::parse("435073").unwrap()
}

pub fn other_insurer() -> InsurerNumber {
    InsurerNumber::parse("294538").unwrap()
}

pub fn person(number: &str) -> PersonKey {
    PersonKey { insurer: insurer(), insured: InsuredNumber::parse(number).unwrap() }
}

pub fn hanako() -> PersonKey {
    person("0000000001")
}

pub fn taro() -> PersonKey {
    person("0000000002")
}

pub fn office() -> OfficeNumber {
    OfficeNumber::parse("4370100017").unwrap()
}

pub fn other_office() -> OfficeNumber {
    OfficeNumber::parse("4370100025").unwrap()
}

pub fn day(number: i32) -> Date {
    kiban_domain::dates::from_number(number).unwrap()
}

pub fn insured(key: PersonKey, name: &str, kana: &str) -> Insured {
    Insured {
        key,
        card_insurer: key.insurer,
        identity: Identity {
            name: name.to_owned(),
            kana: kana.to_owned(),
            birth: day(19400203),
            sex: Sex::Female,
            postal_code: Some("860-0000".to_owned()),
            address: Some("架空県虚構市幻町１丁目２番".to_owned()),
            telephone: Some("000-0000-0000".to_owned()),
        },
        withheld: false,
        acquired_on: day(20250401),
        lost: None,
        domicile_exception: false,
        acquired_because: None,
        domicile_facility: None,
    }
}

pub fn known_hanako() -> Insured {
    insured(hanako(), "架空 花子", "カクウ ハナコ")
}

pub fn record(kind: Kind, natural_key: &str, content: &str) -> NewRecord {
    NewRecord {
        person: hanako(),
        kind,
        natural_key: natural_key.to_owned(),
        creator: Organization::Office(office()),
        valid: Period::new(day(20260401), Some(day(20270331))).unwrap(),
        deleted: false,
        purge_after: day(20320331),
        payload: content.as_bytes().to_vec(),
    }
}

pub fn assignment(person: PersonKey) -> Assignment {
    Assignment {
        person,
        office: office(),
        check: IdentityCheck::FourItems,
        registered_by: StaffId("4370100017/s1".to_owned()),
        registered_at: at(0),
        viewable_until: day(20270228),
        plan_maker: Some(StaffId("4370100017/s1".to_owned())),
        confirmed_by_municipality: false,
        ended: None,
    }
}

pub fn consent(act: ConsentAct, second: i64) -> ConsentRecord {
    ConsentRecord {
        person: hanako(),
        act,
        acted_at: at(second),
        declarant: Declarant::Person,
        proof: IdentityProof::InsuranceCard,
        taken_by: Organization::Office(office()),
        staff: Some(StaffId("4370100017/s1".to_owned())),
        form: "2025-07".to_owned(),
        remark: Some("架空の備考".to_owned()),
        leaflet: Some("2025-07".to_owned()),
        evidence: None,
    }
}

pub fn receipt(id: &str) -> NewReceipt<'static> {
    let mut digest = [0; 32];
    digest[..id.len().min(32)].copy_from_slice(&id.as_bytes()[..id.len().min(32)]);
    NewReceipt {
        insurer: insurer(),
        public_id: id.to_owned(),
        sender: Organization::Municipality(insurer()),
        received_at: at(0),
        original: Some("架空の原本".as_bytes()),
        digest,
    }
}
