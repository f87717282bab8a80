//! A large package that is cut in the middle goes on behind its last block, whoever takes it up; until it is applied nothing
//! of it is visible.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::{Organization, PersonKey, Timestamp};
use kiban_service::{Error, Platform, Received, Work};
use kiban_sim::{City, CitySpec, city_package};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::{World, addresses, context, now};

type Files = Vec<(String, Vec<u8>)>;

fn later(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

/// The package of a larger city, whose offices are registered.
async fn large(world: &World, people: u32) -> Files {
    let city = City::generate(&CitySpec { people, ..world.city.spec.clone() });
    let offices: Vec<_> = city.offices.iter().map(|office| office.office.clone()).collect();
    world.platform.put_offices(&offices, true, &context()).await.unwrap();
    world.platform.refresh_standing(now()).await.unwrap();
    city_package(&city).unwrap()
}

async fn send(world: &World, files: &Files) -> Received {
    let mut upload = world.platform.begin_package_locally(world.city.insurer, &context()).await.unwrap();
    for (name, bytes) in files {
        upload.file(name).await.unwrap();
        for piece in bytes.chunks(70_000) {
            upload.write(piece).await.unwrap();
        }
    }
    upload.finish().await.unwrap()
}

async fn is_known(platform: &Platform, person: PersonKey) -> bool {
    let facts = platform.store().person_facts(person, Organization::Municipality(person.insurer), None, None).await;
    facts.unwrap().known && platform.store().person(person).await.unwrap().is_some()
}

/// Every key of everybody with its revisions, to see that nothing was written twice.
async fn everything(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for person in &world.city.people {
        let key = person.insured.key;
        let headers = world.platform.store().record_headers(key).await.unwrap();
        all.extend(
            headers.iter().map(|h| format!("{} {:?} {} {:?}", key.insured, h.kind, h.natural_key, h.digest.len())),
        );
        all.push(format!("{} {}", key.insured, world.platform.store().person_versions(key).await.unwrap().len()));
        all.push(format!("{}", world.platform.store().consents(key).await.unwrap().len()));
    }
    all
}

#[tokio::test]
async fn a_package_stopped_between_two_blocks_goes_on_behind_the_last_one() {
    for address in addresses().await {
        let people = if address.is_some() { 6_000 } else { 1_500 };
        let world = World::new(address).await;
        let files = large(&world, people).await;
        let received = send(&world, &files).await;
        let person = world.cast.consenting.insured.key;

        let clock = now;
        let mut first = 0;
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut progress = |done, _| {
            first = done;
            stop.store(true, Ordering::Release);
        };
        let mut work = Work::new(&clock).heard_by(&mut progress);
        work.stop = Arc::clone(&stop);
        let stopped = world.platform.close_package(&received, &mut work).await;
        assert!(matches!(stopped, Err(Error::Unavailable(_))), "{stopped:?}");
        drop(work);
        assert!(first > 0);
        assert!(!is_known(&world.platform, person).await, "half a package is visible");
        let so_far = world.platform.package_so_far(&received).await.unwrap();
        let progress = so_far.progress.unwrap();
        assert_eq!((so_far.state, progress.rows_done), ("received", first as i64));
        assert!(progress.rows_total > progress.rows_done);

        // The same package again, as the city does that got no answer: it goes on.
        let again = send(&world, &files).await;
        assert_eq!((&again.receipt, again.repeated), (&received.receipt, true));
        let mut steps = Vec::new();
        let mut progress = |done, total| steps.push((done, total));
        let mut work = Work::new(&clock).heard_by(&mut progress);
        let result = world.platform.close_package(&again, &mut work).await.unwrap();
        drop(work);
        assert!(steps[0].0 > first, "it began anew: {steps:?}");
        assert_eq!(
            (result.state, result.report.counts.refused),
            ("applied", 0),
            "{:?}",
            result.report.problems.first()
        );
        assert_eq!(result.report.counts.read, result.report.counts.applied);
        assert!(is_known(&world.platform, person).await);

        // What is there is what one import without a cut leaves.
        let whole = World::new(None).await;
        large(&whole, people).await;
        let expected = whole.import(files).await;
        assert_eq!(result.report, expected.report);
        assert_eq!(everything(&world).await, everything(&whole).await);
    }
}

#[tokio::test]
async fn a_package_whose_process_died_is_taken_up_when_its_lease_ends() {
    for address in addresses().await {
        let people = if address.is_some() { 6_000 } else { 1_500 };
        let world = World::new(address).await;
        let received = send(&world, &large(&world, people).await).await;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (platform, dying) = (world.platform.clone(), received.clone());
        let process = tokio::spawn(async move {
            let clock = now;
            let mut progress = |done: u64, _| tell.send(done).unwrap_or_default();
            let mut work = Work::new(&clock).heard_by(&mut progress);
            platform.close_package(&dying, &mut work).await.map(|result| result.state)
        });
        told.recv().await.unwrap();
        process.abort();
        let died = process.await.is_err();

        let soon = || later(5);
        let mut impatient = Work::new(&soon).impatient();
        let still = world.platform.close_package(&received, &mut impatient).await.unwrap();
        if died {
            assert_eq!(still.state, "received", "the lease still stands");
            assert_eq!(world.platform.store().waiting_insurers().await.unwrap(), [world.city.insurer]);
        }
        let after = || later(60);
        world.platform.work_on_packages(&mut Work::new(&after)).await.unwrap();
        let result = world.platform.package_so_far(&received).await.unwrap();
        assert_eq!(
            (result.state, result.report.counts.refused),
            ("applied", 0),
            "{:?}",
            result.report.problems.first()
        );
        assert_eq!(result.report.counts.read, result.report.counts.applied);
        assert!(is_known(&world.platform, world.cast.consenting.insured.key).await);
    }
}

/// A package whose rows follow one another across blocks: everybody, everybody moved (some were withheld before), then a
/// copayment rate with 履歴番号 2, and at the end the one with 1.
fn dependent(world: &World, people: u32) -> Files {
    use kiban_domain::insurance_card::CopaymentRate;
    use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
    fn entry<T>(key: PersonKey, history: u32, value: T) -> Entry<T> {
        Entry { key, history, change: Change::New, value }
    }
    let city = City::generate(&CitySpec { people, ..world.city.spec.clone() });
    let rate = world.cast.consenting.copayment.clone().unwrap();
    let rates = |history| -> Vec<Entry<CopaymentRate>> {
        city.people.iter().map(|one| entry(one.insured.key, history, rate.clone())).collect()
    };
    let version = |history: u32| -> Vec<_> {
        let person = |(n, one): (usize, &kiban_sim::SimPerson)| {
            let mut insured = one.insured.clone();
            (insured.lost, insured.withheld) = (None, history == 1 && n % 7 == 0);
            if history == 2 {
                insured.identity.telephone = Some("099-000-0199".into());
            }
            entry(insured.key, history, insured)
        };
        city.people.iter().enumerate().map(person).collect()
    };
    let package = MunicipalPackage::new(world.city.insurer, now());
    let package = package.insured(&version(1)).insured(&version(2)).copayment_rates(&rates(2));
    package.copayment_rates(&rates(1)).finish().unwrap()
}

/// Who is found in a disaster by kanji name and birth: one of everybody, none of those withheld.
async fn found_in_a_disaster(world: &World, files: &Files) -> Vec<(String, usize)> {
    let store = world.platform.store();
    let keys = store.keys_of(world.city.insurer).await.unwrap();
    let mut people = Vec::new();
    kiban_formats::municipal::open(files.clone()).check(&mut |row| {
        if let kiban_formats::municipal::MunicipalValue::Insured(insured) = row.value {
            people.push(*insured);
        }
    });
    let mut found = Vec::new();
    for insured in people.iter().step_by(31) {
        let birth = kiban_domain::dates::yyyymmdd(insured.identity.birth);
        let token = kiban_store::SearchTokens::kanji_birth(&keys, &insured.identity.name, &birth);
        let numbers = store.find_by_token(world.city.insurer, &token).await.unwrap();
        let own = numbers.iter().filter(|number| **number == insured.key.insured).count();
        found.push((insured.key.insured.to_string(), own));
    }
    found
}

#[tokio::test]
async fn cut_after_every_block_while_the_next_ones_lie_ready_nothing_is_lost_or_there_twice() {
    for address in addresses().await {
        let people = if address.is_some() { 5_500 } else { 1_300 };
        let world = World::new(address).await;
        large(&world, people).await;
        let files = dependent(&world, people);
        let received = send(&world, &files).await;
        let mut cuts = 0;
        loop {
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let (platform, dying) = (world.platform.clone(), received.clone());
            let process = tokio::spawn(async move {
                // Long after the lease of the one before has ended.
                let clock = move || later(60 * cuts);
                let mut progress = |done: u64, _| tell.send(done).unwrap_or_default();
                let mut work = Work::new(&clock).heard_by(&mut progress);
                platform.close_package(&dying, &mut work).await.map(|result| result.state)
            });
            // Cut right behind the last block it has nothing to tell any more.
            if told.recv().await.is_some() {
                process.abort();
            }
            match process.await {
                Err(_) => cuts += 1,
                Ok(state) => break assert_eq!(state.unwrap(), "applied"),
            }
        }
        assert!(cuts >= 4, "{cuts}");
        let result = world.platform.package_so_far(&received).await.unwrap();
        let whole = World::new(None).await;
        large(&whole, people).await;
        let expected = whole.import(files.clone()).await;
        assert_eq!(expected.report.counts.applied, 4 * i64::from(people));
        assert_eq!(result.report, expected.report);
        assert_eq!(everything(&world).await, everything(&whole).await);
        let found = found_in_a_disaster(&world, &files).await;
        assert_eq!(found, found_in_a_disaster(&whole, &files).await);
        assert!(found.iter().any(|(_, own)| *own == 0) && found.iter().any(|(_, own)| *own == 1));
        assert!(found.iter().all(|(_, own)| *own <= 1), "found twice");
    }
}

#[tokio::test]
async fn packages_of_an_insurer_are_applied_in_the_order_of_their_receipts() {
    let world = World::new(None).await;
    let first = send(&world, &large(&world, 1_500).await).await;
    let second = send(&world, &large(&world, 1_501).await).await;
    let clock = now;
    let result = world.platform.close_package(&second, &mut Work::new(&clock)).await.unwrap();
    assert_eq!(result.state, "applied");
    assert_eq!(world.platform.package_so_far(&first).await.unwrap().state, "applied");
    assert!(result.report.counts.unchanged > 1_500, "{:?}", result.report.counts);
}

#[tokio::test]
async fn a_differences_package_is_invisible_until_it_is_whole_and_hides_nobody_meanwhile() {
    let world = World::new(None).await;
    let files = large(&world, 1_500).await;
    world.import(files.clone()).await;
    let person = world.city.people[0].insured.clone();
    let before = world.platform.store().person(person.key).await.unwrap().unwrap().1;
    let moved: Vec<_> = City::generate(&CitySpec { people: 1_500, ..world.city.spec.clone() })
        .people
        .iter()
        .map(|one| {
            let mut insured = one.insured.clone();
            insured.identity.telephone = Some("099-000-0199".into());
            let change = kiban_formats::municipal::Change::Corrected;
            kiban_formats::municipal::Entry { key: insured.key, history: 2, change, value: insured }
        })
        .collect();
    let package = kiban_formats::municipal::MunicipalPackage::new(world.city.insurer, later(60)).insured(&moved);
    let received = send(&world, &package.finish().unwrap()).await;
    let clock = now;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut progress = |_, _| stop.store(true, Ordering::Release);
    let mut work = Work::new(&clock).heard_by(&mut progress);
    work.stop = Arc::clone(&stop);
    assert!(world.platform.close_package(&received, &mut work).await.is_err());
    drop(work);
    assert!(is_known(&world.platform, person.key).await);
    assert_eq!(world.platform.store().person(person.key).await.unwrap().unwrap().1, before);
    world.platform.work_on_packages(&mut Work::new(&clock)).await.unwrap();
    let versions = world.platform.store().person_versions(person.key).await.unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0].1.identity.telephone.as_deref(), Some("099-000-0199"));
    assert_eq!(versions[1].1, before, "what was known before is kept");
}
