//! What keeps packages waiting, and what must not: one that cannot be worked on, a small one behind a large one, clocks that
//! are ahead, uploads that were never ended, packages out of order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::{Timestamp, dates};
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
