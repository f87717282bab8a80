//! What keeps packages waiting, and what must not: one that cannot be worked on, a small one behind a large one, clocks that
//! are ahead, uploads that were never ended, packages out of order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::{Organization, Timestamp, dates};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Error, Received, Work};
use kiban_sim::{City, CitySpec, city_package};
use kiban_store::SearchTokens;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{World, addresses, context, now};

type Files = Vec<(String, Vec<u8>)>;

fn later(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

fn hours(hours: i64) -> Timestamp {
    later(3_600 * hours)
}

async fn large(world: &World, people: u32) -> (City, Files) {
    let city = City::generate(&CitySpec { people, ..world.city.spec.clone() });
    let offices: Vec<_> = city.offices.iter().map(|office| office.office.clone()).collect();
    world.platform.put_offices(&offices, true, &context()).await.unwrap();
    world.platform.refresh_standing(now()).await.unwrap();
    let files = city_package(&city).unwrap();
    (city, files)
}

async fn send(world: &World, files: &Files) -> Received {
    let mut upload = world.platform.begin_package_locally(world.city.insurer, &context()).await.unwrap();
    for (name, bytes) in files {
        upload.file(name).await.unwrap();
        upload.write(bytes).await.unwrap();
    }
    upload.finish().await.unwrap()
}

/// A package of people who all consented, made so many hours after midnight.
fn consenting(world: &World, people: &[kiban_sim::SimPerson], hours: i64) -> Files {
    let act = &world.cast.consenting.consents[0];
    let entry = |person: &kiban_sim::SimPerson| {
        let (key, value) = (person.insured.key, person.insured.clone());
        Entry { key, history: 1, change: Change::New, value }
    };
    let consent = |person: &kiban_sim::SimPerson| {
        let key = person.insured.key;
        let value = kiban_domain::consent::ConsentRecord { person: key, ..act.clone() };
        Entry { key, history: 1, change: Change::New, value }
    };
    let insured: Vec<_> = people.iter().map(entry).collect();
    let consents: Vec<_> = people.iter().map(consent).collect();
    let made_at = now() - jiff::SignedDuration::from_hours(10 - hours);
    MunicipalPackage::new(world.city.insurer, made_at).insured(&insured).consents(&consents).finish().unwrap()
}

/// Somebody changes the database outside the platform.
async fn by_hand(address: &str, sql: String) {
    let sql = sqlx::AssertSqlSafe(sql);
    if address.starts_with("sqlite:") {
        // The platform writes too: wait for its turns, however busy the machine is.
        let options: sqlx::sqlite::SqliteConnectOptions = address.parse().unwrap();
        let options = options.busy_timeout(std::time::Duration::from_secs(120));
        sqlx::query(sql).execute(&sqlx::SqlitePool::connect_with(options).await.unwrap()).await.unwrap();
    } else {
        sqlx::query(sql).execute(&sqlx::PgPool::connect(address).await.unwrap()).await.unwrap();
    }
}

fn address_in(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("own.db").display())
}

/// The package of one version of the first person, made so many hours after the city's package.
fn version(world: &World, hours: i64, telephone: &str, withheld: bool) -> Files {
    let mut insured = world.cast.consenting.insured.clone();
    insured.identity.telephone = Some(telephone.into());
    insured.withheld = withheld;
    let entry = Entry { key: insured.key, history: 2, change: Change::Corrected, value: insured };
    let made_at = now() - jiff::SignedDuration::from_hours(12 - hours);
    MunicipalPackage::new(world.city.insurer, made_at).insured(&[entry]).finish().unwrap()
}

/// What stands of the first person: 不開示, telephone, and how often a disaster search finds them.
async fn seen(world: &World) -> (bool, Option<String>, usize) {
    let (store, insured) = (world.platform.store(), &world.cast.consenting.insured);
    let (_, standing) = store.person(insured.key).await.unwrap().unwrap();
    let keys = store.keys_of(world.city.insurer).await.unwrap();
    let birth = dates::yyyymmdd(insured.identity.birth);
    let token = SearchTokens::kanji_birth(&keys, &insured.identity.name, &birth);
    let found = store.find_by_token(world.city.insurer, &token).await.unwrap();
    let own = found.iter().filter(|number| **number == insured.key.insured).count();
    (standing.withheld, standing.identity.telephone, own)
}

#[tokio::test]
async fn withheld_holds_whichever_of_two_packages_arrives_first() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        assert_eq!(seen(&world).await.2, 1);
        // Made third and without the flag it arrives first; then the one made before it, with the flag.
        world.import(version(&world, 3, "099-000-0003", false)).await;
        let result = world.import(version(&world, 1, "099-000-0001", true)).await;
        assert_eq!(seen(&world).await, (true, Some("099-000-0003".into()), 0), "later content, earlier flag");
        assert!(result.report.problems.iter().any(|problem| problem.rule == "superseded"));
        // Made between the two, it changes nothing: neither the content nor the flag.
        world.import(version(&world, 2, "099-000-0002", false)).await;
        assert_eq!(seen(&world).await, (true, Some("099-000-0003".into()), 0));
        // Made last, its content holds; 不開示 is not taken back by a file.
        world.import(version(&world, 4, "099-000-0004", false)).await;
        assert_eq!(seen(&world).await, (true, Some("099-000-0004".into()), 0));
    }
}

#[tokio::test]
async fn a_package_made_in_the_future_is_refused_with_its_place() {
    let world = World::loaded(None).await;
    let ahead = world.import(version(&world, 12 + 25, "099-000-0025", false)).await;
    assert_eq!(ahead.state, "refused");
    let problem = ahead.report.problems.iter().find(|problem| problem.rule == "made_in_future").unwrap();
    assert_eq!((problem.file.as_str(), problem.line, problem.item.as_str()), ("MANIFEST.csv", 2, "作成日時"));
    assert!(problem.column > 0 && problem.message.contains("時計"), "{}", problem.message);
    assert_ne!(seen(&world).await.1.as_deref(), Some("099-000-0025"));
    let a_little = world.import(version(&world, 12 + 23, "099-000-0023", false)).await;
    assert_eq!(a_little.state, "applied", "a clock that is a little ahead");
}

#[tokio::test]
async fn the_base_date_of_a_package_is_told_wherever_its_result_is() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let (platform, insurer) = (&world.platform, world.city.insurer);
        let insured = world.cast.consenting.insured.clone();
        let package = |made_at, day| {
            let entry = Entry { key: insured.key, history: 2, change: Change::New, value: insured.clone() };
            MunicipalPackage::new(insurer, made_at).base_date(day).insured(&[entry]).finish().unwrap()
        };
        let day = jiff::civil::date(2026, 10, 31);
        let officer = world.caller(Organization::Municipality(insurer), &world.city.officers[0]).await;
        let tried = platform.dry_run_package(&officer, package(now(), day), false, &context()).await.unwrap();
        assert_eq!(tried.base_date, Some(day));
        assert!(tried.csv("").contains("基準日 2026-10-31。反映されます"), "{}", tried.csv(""));

        let sent = world.import(package(now(), day)).await;
        let again = platform.receipt(&officer, &sent.receipt, &context()).await.unwrap();
        assert_eq!((sent.state, sent.base_date, again.base_date), ("applied", Some(day), Some(day)));
        assert_eq!(serde_json::to_value(&again).unwrap()["base_date"], "2026-10-31");
        assert!(again.csv().contains("取り込みました。基準日 2026-10-31。全 1 件"), "{}", again.csv());
        let view = platform.view_start(&officer, insurer, &context()).await.unwrap();
        assert_eq!(view.reconciliation.map(|on| (on.receipt, on.base_date)), Some((sent.receipt, Some(day))));

        // Of the day it was made, yes; of the day after, no: nobody knows what holds then.
        let made_at = later(60);
        let today = dates::day_in_japan(made_at);
        let refused = world.import(package(made_at, today.tomorrow().unwrap())).await;
        assert_eq!((refused.state, refused.base_date), ("refused", None), "a manifest with a fault is no manifest");
        let problem = refused.report.problems.iter().find(|problem| problem.item == "基準日").unwrap();
        assert_eq!((problem.file.as_str(), problem.line, problem.column), ("MANIFEST.csv", 2, 4));
        assert_eq!(problem.rule, "date_order");
        assert!(
            problem.message.contains("「20261121」となっています。作成日時より後の日付です"),
            "{}",
            problem.message
        );
        let taken = world.import(package(made_at, today)).await;
        assert_eq!((taken.state, taken.base_date), ("applied", Some(today)));

        // Refused for another reason, it still says of which day it was.
        let ahead = world.import(package(hours(25), day)).await;
        assert_eq!((ahead.state, ahead.base_date), ("refused", Some(day)));
    }
}

#[tokio::test]
async fn a_package_that_cannot_be_worked_on_is_set_aside_and_goes_on_when_it_is_asked_for() {
    for address in addresses().await {
        let folder = tempfile::tempdir().unwrap();
        let (people, block) = if address.is_some() { (5_200, 5_000) } else { (1_500, 1_000) };
        let address = address.unwrap_or_else(|| address_in(&folder));
        let world = World::new(Some(address.clone())).await;
        let city = large(&world, people + 1).await.0;
        let mut files = consenting(&world, &city.people[..people as usize], 1);
        // Read first, so that it is missed at once.
        files.sort();
        let behind = consenting(&world, &city.people, 2);
        let poison = send(&world, &files).await;

        // Most of it is written, acts of consent among it, when it is cut and a piece of it is lost.
        let clock = now;
        let stop = Arc::new(AtomicBool::new(false));
        let mut progress = |done, total| stop.store(done + block >= total, Ordering::Release);
        let mut work = Work::new(&clock).heard_by(&mut progress);
        work.stop = Arc::clone(&stop);
        assert!(world.platform.close_package(&poison, &mut work).await.is_err());
        drop(work);
        assert!(count(&address, "SELECT count(*) FROM consent_act").await > 100, "some acts lie unseen");
        let of_poison = format!("upload_id = '{}' AND file_number = 1", poison.receipt);
        by_hand(&address, format!("UPDATE upload_piece SET piece_number = piece_number + 100 WHERE {of_poison}")).await;

        let received = send(&world, &behind).await;
        let mut tries = 0;
        let mut at = 100;
        while world.platform.package_so_far(&received).await.unwrap().state == "received" {
            let clock = move || later(at);
            let tried = world.platform.work_on_packages(&mut Work::new(&clock)).await;
            tries += 1;
            at += if tries == 1 { 1 } else { 61 };
            assert!(tried.is_ok() || tries < 8, "{tried:?}");
        }
        assert_eq!(tries, 6, "five failures a minute apart; the one a second later does not count");
        let aside = world.platform.package_so_far(&poison).await.unwrap();
        assert_eq!(aside.state, "failed");
        let reason = aside.report.problems.last().unwrap();
        assert_eq!((reason.severity.as_str(), reason.rule.as_str()), ("error", "set_aside"));
        assert!(aside.csv().contains("後回し"), "in the result file, too");

        // The one behind it is whole and seen, although the same rows lie unseen in the one set aside.
        let result = world.platform.package_so_far(&received).await.unwrap();
        assert_eq!(
            (result.state, result.report.counts.refused),
            ("applied", 0),
            "{:?}",
            result.report.problems.first()
        );
        let store = world.platform.store();
        for person in &city.people {
            let key = person.insured.key;
            assert!(store.person(key).await.unwrap().is_some(), "{}", key.insured);
            let acts = store.consents(key).await.unwrap();
            let mut seen = false;
            for act in &acts {
                seen |= store.is_applied(world.city.insurer, act.revision).await.unwrap();
            }
            assert!(seen, "the act of {} is not seen", key.insured);
        }

        // Found again, and asked for: it goes on behind its last block and ends.
        let unknown = world.platform.retry_package(world.city.insurer, &received.receipt, &context()).await;
        assert!(matches!(unknown, Err(Error::Unknown)), "{unknown:?}");
        by_hand(&address, format!("UPDATE upload_piece SET piece_number = piece_number - 100 WHERE {of_poison}")).await;
        world.platform.retry_package(world.city.insurer, &poison.receipt, &context()).await.unwrap();
        let clock = move || later(at + 100);
        world.platform.work_on_packages(&mut Work::new(&clock)).await.unwrap();
        let result = world.platform.package_so_far(&poison).await.unwrap();
        assert_eq!(
            (result.state, result.report.counts.refused),
            ("applied", 0),
            "{:?}",
            result.report.problems.first()
        );
        assert!(!result.report.problems.iter().any(|problem| problem.rule == "set_aside"));
        let insured = city.people[0].insured.clone();
        assert_eq!(store.person(insured.key).await.unwrap().unwrap().1, insured);
    }
}

/// One that must not be kept (its check digit fits).
const NUMBER: &str = "123456789018";

/// The package of people who all consented, with a 個人番号 in the name of the second. Its manifest fits.
fn with_number(world: &World, people: &[kiban_sim::SimPerson]) -> Files {
    let mut files = consenting(world, people, 1);
    files.sort();
    let name = &people[1].insured.identity.name;
    let insured = files.iter_mut().find(|(name, _)| name.contains("INSURED")).unwrap();
    let before = sha256(&insured.1);
    let text = String::from_utf8(std::mem::take(&mut insured.1)).unwrap();
    let at = text.match_indices('\n').nth(1).unwrap().0;
    let (head, rest) = text.split_at(at);
    insured.1 = format!("{head}{}", rest.replacen(&**name, &format!("{name} {NUMBER}"), 1)).into_bytes();
    let after = sha256(&insured.1);
    let manifest = files.iter_mut().find(|(name, _)| name == "MANIFEST.csv").unwrap();
    manifest.1 = String::from_utf8(manifest.1.clone()).unwrap().replace(&before, &after).into_bytes();
    files
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether what is kept of a package, opened with the keys, holds the number; `None` when nothing is kept.
async fn keeps_number(world: &World, received: &Received) -> Option<bool> {
    let (store, insurer) = (world.platform.store(), world.city.insurer);
    let files = store.upload_files(insurer, &received.receipt).await.unwrap();
    let mut kept = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for piece in 0..file.pieces {
            kept.extend(store.upload_piece(insurer, &received.receipt, (number as i32, piece)).await.unwrap());
        }
        kept.push(b'\n');
    }
    (!files.is_empty()).then(|| kept.windows(NUMBER.len()).any(|some| some == NUMBER.as_bytes()))
}

/// Whether the number stands in clear anywhere in the database.
async fn is_in_database(address: &str) -> bool {
    if let Some(path) = address.strip_prefix("sqlite:") {
        let files = ["", "-wal"].map(|end| std::fs::read(format!("{path}{end}")).unwrap_or_default());
        assert!(files[0].len() > 1_000);
        return files.iter().any(|bytes| bytes.windows(NUMBER.len()).any(|some| some == NUMBER.as_bytes()));
    }
    let pool = sqlx::PgPool::connect(address).await.unwrap();
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&pool).await.unwrap();
    assert!(tables.len() > 20);
    let hex: String = NUMBER.bytes().map(|b| format!("{b:02x}")).collect();
    for table in tables {
        let sql =
            format!("SELECT count(*) FROM \"{table}\" x WHERE x::text LIKE '%{NUMBER}%' OR x::text LIKE '%{hex}%'");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
        if found > 0 {
            return true;
        }
    }
    false
}

/// Works on the packages until one is set aside; the instant after it.
async fn until_set_aside(world: &World, received: &Received) -> i64 {
    let mut at = 100;
    while world.platform.package_so_far(received).await.unwrap().state == "received" {
        let clock = move || later(at);
        let _ = world.platform.work_on_packages(&mut Work::new(&clock)).await;
        at += 61;
        assert!(at < 1_000, "it is never set aside");
    }
    at
}

/// Its own row and its act of consent are refused, the rest is in, and nothing of the original is kept.
async fn ends_without_the_number(world: &World, address: &str, received: &Received, people: usize) {
    let result = world.platform.package_so_far(received).await.unwrap();
    let (read, refused) = (2 * people as i64, 2);
    let counts = result.report.counts;
    assert_eq!((result.state, counts.read, counts.refused), ("applied", read, refused), "{:?}", result.report.problems);
    assert!(!result.csv().contains(NUMBER));
    assert_eq!(keeps_number(world, received).await, None, "the original is not kept");
    assert_eq!(count(address, "SELECT count(*) FROM upload_piece").await, 0);
    assert!(!is_in_database(address).await);
}

#[tokio::test]
async fn an_individual_number_in_a_package_that_fits_its_manifest_is_refused_without_echo_and_not_kept() {
    for address in addresses().await {
        let folder = tempfile::tempdir().unwrap();
        let address = address.unwrap_or_else(|| address_in(&folder));
        let world = World::new(Some(address.clone())).await;
        let city = large(&world, 20).await.0;
        let received = send(&world, &with_number(&world, &city.people)).await;
        assert_eq!(keeps_number(&world, &received).await, Some(true), "it came");
        assert!(!is_in_database(&address).await, "sealed from the first moment on");
        let clock = now;
        let result = world.platform.close_package(&received, &mut Work::new(&clock)).await.unwrap();
        let problem = result.report.problems.iter().find(|problem| problem.rule == "individual_number").unwrap();
        assert_eq!((problem.line, problem.item.as_str()), (3, "氏名"));
        ends_without_the_number(&world, &address, &received, city.people.len()).await;
    }
}

#[tokio::test]
async fn an_individual_number_is_blanked_before_anything_is_applied_and_a_package_that_is_set_aside_keeps_none() {
    for address in addresses().await {
        let folder = tempfile::tempdir().unwrap();
        let (people, block) = if address.is_some() { (5_200, 5_000) } else { (1_500, 1_000) };
        let address = address.unwrap_or_else(|| address_in(&folder));
        let world = World::new(Some(address.clone())).await;
        let city = large(&world, people).await.0;
        let poison = send(&world, &with_number(&world, &city.people)).await;
        assert_eq!(keeps_number(&world, &poison).await, Some(true), "it came");

        // Cut behind the first blocks: what is kept to go on from holds the number no more.
        let clock = now;
        let stop = Arc::new(AtomicBool::new(false));
        let mut progress = |done, total| stop.store(done + block >= total, Ordering::Release);
        let mut work = Work::new(&clock).heard_by(&mut progress);
        work.stop = Arc::clone(&stop);
        assert!(world.platform.close_package(&poison, &mut work).await.is_err());
        drop(work);
        assert_eq!(keeps_number(&world, &poison).await, Some(false));

        let of_poison = format!("upload_id = '{}' AND file_number = 0", poison.receipt);
        by_hand(&address, format!("UPDATE upload_piece SET piece_number = piece_number + 100 WHERE {of_poison}")).await;
        let at = until_set_aside(&world, &poison).await;
        by_hand(&address, format!("UPDATE upload_piece SET piece_number = piece_number - 100 WHERE {of_poison}")).await;
        assert_eq!(world.platform.package_so_far(&poison).await.unwrap().state, "failed");
        assert_eq!(keeps_number(&world, &poison).await, Some(false));
        assert!(!is_in_database(&address).await);

        world.platform.retry_package(world.city.insurer, &poison.receipt, &context()).await.unwrap();
        let clock = move || later(at + 100);
        world.platform.work_on_packages(&mut Work::new(&clock)).await.unwrap();
        ends_without_the_number(&world, &address, &poison, city.people.len()).await;
    }
}

#[tokio::test]
async fn a_package_that_was_never_checked_to_its_end_is_set_aside_without_its_individual_number() {
    for address in addresses().await {
        let folder = tempfile::tempdir().unwrap();
        let address = address.unwrap_or_else(|| address_in(&folder));
        let world = World::new(Some(address.clone())).await;
        let city = large(&world, 20).await.0;
        let poison = send(&world, &with_number(&world, &city.people)).await;
        // The consents cannot be read.
        let of_poison = format!("upload_id = '{}' AND file_number = 0", poison.receipt);
        by_hand(&address, format!("UPDATE upload_piece SET piece_number = piece_number + 100 WHERE {of_poison}")).await;
        let at = until_set_aside(&world, &poison).await;
        by_hand(&address, format!("UPDATE upload_piece SET piece_number = piece_number - 100 WHERE {of_poison}")).await;
        assert_eq!(world.platform.package_so_far(&poison).await.unwrap().progress, None);
        assert_eq!(keeps_number(&world, &poison).await, Some(false));
        assert!(!is_in_database(&address).await);

        // It can be read again: the row is refused for what stands in the place of the number, the others are taken.
        world.platform.retry_package(world.city.insurer, &poison.receipt, &context()).await.unwrap();
        let clock = move || later(at + 100);
        world.platform.work_on_packages(&mut Work::new(&clock)).await.unwrap();
        let result = world.platform.package_so_far(&poison).await.unwrap();
        assert_eq!((result.state, result.report.counts.refused), ("applied", 2), "{:?}", result.report.problems);
        assert_eq!(keeps_number(&world, &poison).await, Some(false));
    }
}

#[tokio::test]
async fn a_small_package_works_on_itself_alone() {
    let world = World::new(None).await;
    let (_, files) = large(&world, 1_500).await;
    let first = send(&world, &files).await;
    let (_, files) = large(&world, 1_501).await;
    let second = send(&world, &files).await;
    let state = async |of: &Received| world.platform.package_so_far(of).await.unwrap().state;

    let clock = now;
    let answered = world.platform.close_package(&second, &mut Work::new(&clock).impatient()).await.unwrap();
    assert_eq!((answered.state, state(&first).await), ("received", "received"), "older ones are for the worker");
    assert_eq!(world.platform.package_so_far(&first).await.unwrap().progress.unwrap().rows_total, 0);

    let answered = world.platform.close_package(&first, &mut Work::new(&clock).impatient()).await.unwrap();
    assert_eq!((answered.state, state(&second).await), ("applied", "received"), "what is behind it is for the worker");

    world.platform.work_on_packages(&mut Work::new(&clock)).await.unwrap();
    assert_eq!(state(&second).await, "applied");
}

#[tokio::test]
async fn an_upload_that_was_never_ended_is_forgotten_after_a_day_and_never_becomes_a_receipt() {
    for address in addresses().await {
        let folder = tempfile::tempdir().unwrap();
        let address = address.unwrap_or_else(|| address_in(&folder));
        let world = World::new(Some(address.clone())).await;
        let mut upload = world.platform.begin_package_locally(world.city.insurer, &context()).await.unwrap();
        upload.file("KGKB_INSURED_999003_20261120000000_001.csv").await.unwrap();
        upload.write(&vec![b'1'; 9 << 20]).await.unwrap();
        let store = world.platform.store();
        let open = async || store.abandoned_uploads(hours(9_999)).await.unwrap().len();
        let house = async |at| {
            let context = kiban_service::Context::new(at).unwrap();
            world.platform.keep_house(&context).await.unwrap();
        };
        house(hours(23)).await;
        assert_eq!(open().await, 1, "less than a day");
        house(hours(25)).await;
        assert_eq!(open().await, 0);
        let entries = "SELECT count(*) FROM audit WHERE action = 'import.forgotten' AND insurer_number = '999003'";
        assert_eq!(count(&address, entries).await, 1);
        assert_eq!(count(&address, "SELECT count(*) FROM upload_piece").await, 0);
        let late = async {
            upload.write(&vec![b'1'; 9 << 20]).await?;
            upload.finish().await
        };
        let late = late.await;
        assert!(matches!(late, Err(Error::Conflict(_))), "a package without its beginning: {late:?}");
    }
}

async fn count(address: &str, sql: &'static str) -> i64 {
    if address.starts_with("sqlite:") {
        sqlx::query_scalar(sql).fetch_one(&sqlx::SqlitePool::connect(address).await.unwrap()).await.unwrap()
    } else {
        sqlx::query_scalar(sql).fetch_one(&sqlx::PgPool::connect(address).await.unwrap()).await.unwrap()
    }
}
