//! Packages at once, out of order, repeated, half sent: the state they end in is that of the same packages one after the
//! other. Schedules are random, each from a seed that is told when it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::Timestamp;
use kiban_domain::insurance_card::Tenths;
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_sim::city_package;
use kiban_store::StoredRecord;
use support::{World, addresses, context, now};

type Files = Vec<(String, Vec<u8>)>;

/// A small generator of its own, so that a seed gives the same schedule for ever.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            all.swap(i, self.below(i + 1));
        }
        all
    }
}

fn made(hours: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_hours(48 - hours)
}

/// What a city sends in a few days, in its order: everybody, a move, a correction, one more, a deletion, a new card.
fn packages(world: &World) -> Vec<Files> {
    let insurer = world.city.insurer;
    let person = &world.cast.consenting;
    let key = person.insured.key;
    let mut moved = person.insured.clone();
    moved.identity.address = Some("架空県見本市新町９番".into());
    let rate = |tenths: u8, history, change| {
        let mut value = person.copayment.clone().unwrap();
        value.rows[0].rate = Tenths::new(tenths).unwrap();
        Entry { key, history, change, value }
    };
    let package = |hours| MunicipalPackage::new(insurer, made(hours));
    let people: Vec<_> = world
        .city
        .people
        .iter()
        .map(|one| Entry { key: one.insured.key, history: 1, change: Change::New, value: one.insured.clone() })
        .collect();
    vec![
        package(0).insured(&people).finish().unwrap(),
        package(1).copayment_rates(&[rate(1, 101, Change::New), rate(1, 102, Change::New)]).finish().unwrap(),
        package(2).insured(&[Entry { key, history: 2, change: Change::New, value: moved }]).finish().unwrap(),
        package(3).copayment_rates(&[rate(2, 101, Change::Corrected)]).finish().unwrap(),
        package(4).copayment_rates(&[rate(3, 101, Change::Corrected)]).finish().unwrap(),
        package(5).copayment_rates(&[rate(1, 102, Change::Deleted)]).finish().unwrap(),
        city_package(&world.city).unwrap(),
    ]
}

/// What anybody can see of everybody: every version of the person, the present content of every record, every act.
async fn state(world: &World) -> Vec<String> {
    let store = world.platform.store();
    let mut all = Vec::new();
    for one in &world.city.people {
        let key = one.insured.key;
        let mut versions: Vec<_> = store.person_versions(key).await.unwrap();
        versions.dedup_by_key(|(header, _)| header.history_number);
        all.extend(versions.iter().map(|(header, insured)| format!("{} {insured:?}", header.history_number)));
        let mut kinds: Vec<_> =
            store.record_headers(key).await.unwrap().into_iter().map(|header| header.kind).collect();
        kinds.dedup();
        for kind in kinds {
            let entry = kiban_store::Entry::new(now(), "0", "test", "look", kiban_store::Outcome::Allowed);
            let records = store.audit().release(store.records(key, kind).await.unwrap(), entry).await.unwrap();
            for record in StoredRecord::as_known(records, now() + jiff::SignedDuration::from_hours(99), &[]) {
                let content = String::from_utf8(record.payload).unwrap();
                all.push(format!("{} {kind:?} {} {content}", key.insured, record.header.natural_key));
            }
        }
        let mut acts: Vec<_> =
            store.consents(key).await.unwrap().into_iter().map(|act| format!("{:?}", act.record)).collect();
        acts.sort();
        all.push(format!("{} {acts:?}", key.insured));
    }
    all
}

/// A sender that breaks off in the middle.
async fn half(world: &World, files: &Files) {
    let mut upload = world.platform.begin_package_locally(world.city.insurer, &context());
    for (name, bytes) in &files[..files.len().div_ceil(2)] {
        upload.file(name).await.unwrap();
        upload.write(&bytes[..bytes.len() / 2]).await.unwrap();
    }
}

async fn deliver(world: &World, packages: &[Files], dice: &mut Dice) {
    for _ in 0..dice.below(2 * packages.len()) {
        let (one, other) = (dice.below(packages.len()), dice.below(packages.len()));
        match dice.below(4) {
            0 => half(world, &packages[one]).await,
            1 => drop(tokio::join!(world.import(packages[one].clone()), world.import(packages[other].clone()))),
            _ => drop(world.import(packages[one].clone()).await),
        }
    }
    // In the end everything has arrived, people before what is about them or sent again after a refusal.
    for _ in 0..2 {
        for n in dice.shuffled(packages.len()) {
            world.import(packages[n].clone()).await;
        }
    }
}

#[tokio::test]
async fn whatever_the_order_the_same_packages_end_in_the_same_state() {
    let in_order = World::new(None).await;
    let packages = packages(&in_order);
    for files in &packages {
        let result = in_order.import(files.clone()).await;
        assert_eq!(result.state, "applied", "{:?}", result.report.problems.first());
    }
    let expected = state(&in_order).await;
    assert!(expected.iter().any(|line| line.contains("新町９番")) && expected.len() > 100);
    for address in addresses().await {
        let schedules = if address.is_some() { 1 } else { 8 };
        for seed in 0..schedules {
            let world = World::new(address.clone()).await;
            deliver(&world, &packages, &mut Dice(seed * 7_919 + 1)).await;
            let found = state(&world).await;
            let differs = expected.iter().zip(&found).find(|(a, b)| a != b);
            assert!(differs.is_none() && expected.len() == found.len(), "seed {seed}: {differs:?}");
        }
    }
}

/// Files are worked by kind: whoever writes a manifest need not think of the order.
#[tokio::test]
async fn a_manifest_that_names_people_last_ends_in_the_same_state() {
    for address in addresses().await {
        let (first, last) = (World::new(None).await, World::new(address).await);
        let files = city_package(&first.city).unwrap();
        let mut reversed = files.clone();
        let manifest = reversed.iter_mut().find(|(name, _)| name == "MANIFEST.csv").unwrap();
        let text = String::from_utf8(std::mem::take(&mut manifest.1)).unwrap();
        let (header, rows) = text.split_once("\r\n").unwrap();
        let mut rows: Vec<&str> = rows.lines().collect();
        assert!(rows.len() > 3 && rows[0].contains("INSURED"));
        rows.reverse();
        manifest.1 = format!("{header}\r\n{}\r\n", rows.join("\r\n")).into_bytes();
        let (one, other) = (first.import(files).await, last.import(reversed).await);
        assert_eq!((one.state, one.report.counts.refused), ("applied", 0));
        assert_eq!(other.report, one.report);
        assert_eq!(state(&last).await, state(&first).await);
    }
}
