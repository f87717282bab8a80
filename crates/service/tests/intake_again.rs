//! Rows that wait for the person they are about, and rows that are read again because a package came late (P-130); what is not
//! in yet counts against the start of the city (P-150).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::insurance_card::Tenths;
use kiban_domain::municipality::StartState;
use kiban_domain::{Kind, Organization, PersonKey, dates};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{IntakeResult, StartChange, StartView};
use kiban_sim::{SimPerson, city_package};
use kiban_store::StoredRecord;
use support::{World, addresses, asked, context, now};

type Files = Vec<(String, Vec<u8>)>;

fn package(world: &World, minutes: i64) -> MunicipalPackage {
    MunicipalPackage::new(world.city.insurer, now() + jiff::SignedDuration::from_mins(minutes))
}

fn people(world: &World, minutes: i64, of: &[SimPerson]) -> Files {
    let entry = |one: &SimPerson| {
        let (key, value) = (one.insured.key, one.insured.clone());
        Entry { key, history: 1, change: Change::New, value }
    };
    let entries: Vec<_> = of.iter().map(entry).collect();
    package(world, minutes).insured(&entries).finish().unwrap()
}

fn rate(world: &World, minutes: i64, person: PersonKey, tenths: u8, history: u32, change: Change) -> Files {
    let mut value = world.cast.consenting.copayment.clone().unwrap();
    value.rows[0].rate = Tenths::new(tenths).unwrap();
    package(world, minutes).copayment_rates(&[Entry { key: person, history, change, value }]).finish().unwrap()
}

/// Rates of a person that stand, by 履歴番号.
async fn rates(world: &World, person: PersonKey) -> Vec<(String, u8)> {
    let store = world.platform.store();
    let entry = kiban_store::Entry::new(now(), "0", "test", "look", kiban_store::Outcome::Allowed);
    let records = store.audit().release(store.records(person, Kind::A3b).await.unwrap(), entry).await.unwrap();
    let known = StoredRecord::as_known(records, now() + jiff::SignedDuration::from_hours(99), &[]);
    let tenths = |record: &StoredRecord| {
        let rate: kiban_domain::insurance_card::CopaymentRate = serde_json::from_slice(&record.payload).unwrap();
        let tenths = (1..=3).find(|tenths| Tenths::new(*tenths) == Some(rate.rows[0].rate));
        (record.header.natural_key.trim_start_matches('0').to_owned(), tenths.unwrap())
    };
    known.iter().map(tenths).collect()
}

async fn again(world: &World, first: &IntakeResult) -> IntakeResult {
    let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
    world.platform.receipt(&officer, &first.receipt, &context()).await.unwrap()
}

async fn start_view(world: &World) -> StartView {
    let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
    world.platform.view_start(&officer, world.city.insurer, &context()).await.unwrap()
}

#[tokio::test]
async fn a_row_that_comes_before_its_person_waits_and_is_taken_in_with_them() {
    for address in addresses().await {
        let world = World::new(address).await;
        let (early, late) = world.city.people.split_at(1);
        world.import(people(&world, 0, late)).await;
        let person = early[0].insured.key;
        let known = late[0].insured.key;
        let value = world.cast.consenting.copayment.clone().unwrap();
        let entry = |key| Entry { key, history: 7, change: Change::New, value: value.clone() };
        let files = package(&world, 2).copayment_rates(&[entry(person), entry(known)]).finish().unwrap();
        let first = world.import(files).await;
        let counts = first.report.counts;
        assert_eq!((first.state, counts.applied, counts.refused, first.waiting), ("applied", 1, 1, 1));
        let told = &first.report.problems[0];
        assert_eq!((told.rule.as_str(), told.line), ("unknown_person", 2));
        assert!(told.message.contains("待っています") && first.csv().contains("待ち,,,,,,"), "{}", first.csv());
        assert_eq!(start_view(&world).await.reconciliation.unwrap().refused, 1);

        // Somebody else comes: nothing happens. Then the one it waits for.
        let other = rate(&world, 3, known, 2, 8, Change::New);
        world.import(other).await;
        assert_eq!(again(&world, &first).await.waiting, 1);
        let brought = world.import(people(&world, 1, early)).await;
        assert_eq!((brought.state, brought.report.counts.refused), ("applied", 0));
        let after = again(&world, &first).await;
        assert_eq!((after.waiting, after.continued_by.len()), (0, 1));
        assert!(after.csv().contains("続き,,,,,,"), "{}", after.csv());
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let taken = world.platform.receipt(&officer, &after.continued_by[0], &context()).await.unwrap();
        let counts = taken.report.counts;
        assert_eq!((taken.state, counts.read, counts.applied, counts.refused), ("applied", 1, 1, 0));
        assert_eq!(rates(&world, person).await.len(), 1);
        assert_eq!(start_view(&world).await.reconciliation.unwrap().refused, 0);
    }
}

#[tokio::test]
async fn a_deletion_that_comes_late_leaves_what_was_made_after_it() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let person = world.cast.consenting.insured.key;
        let seven =
            async || rates(&world, person).await.into_iter().find(|(history, _)| history == "7").map(|(_, t)| t);
        world.import(rate(&world, 1, person, 1, 7, Change::New)).await;
        // Sent again after the deletion, and before that arrives: the number is taken.
        let early = world.import(rate(&world, 3, person, 2, 7, Change::New)).await;
        assert_eq!((early.report.counts.refused, seven().await), (1, Some(1)));
        world.import(rate(&world, 2, person, 1, 7, Change::Deleted)).await;
        assert_eq!(seven().await, Some(2), "in the order of making: new, deleted, new");
        assert_eq!(again(&world, &early).await.continued_by.len(), 1);
        assert_eq!(start_view(&world).await.reconciliation.unwrap().refused, 0);
        // A deletion of later takes it away.
        world.import(rate(&world, 4, person, 1, 7, Change::Deleted)).await;
        assert_eq!(seven().await, None);
    }
}

#[tokio::test]
async fn a_start_counts_the_rows_of_every_package_that_are_not_in() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let person = world.cast.consenting.insured.key;
        // A row with a fault, one whose columns cannot be told apart, one under a taken number.
        let mut files = rate(&world, 1, person, 1, 31, Change::New);
        let (name, bytes) = files.iter_mut().find(|(name, _)| name.contains("A3B")).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let row = text.lines().nth(1).unwrap().to_owned();
        let faulty = row.replacen(",31,1,", ",32,9,", 1);
        *bytes = format!("{}\r\n{row}\r\n{faulty}\r\n{row},,,,,\r\n", text.lines().next().unwrap()).into_bytes();
        let (name, bytes) = (name.clone(), bytes.clone());
        let manifest = files.iter_mut().find(|(name, _)| name == "MANIFEST.csv").unwrap();
        let text = String::from_utf8(manifest.1.clone()).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let digest: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let head = text.lines().nth(1).unwrap().rsplitn(4, ',').last().unwrap().to_owned();
        assert!(head.contains(&name));
        manifest.1 = format!("{}\r\n{head},3,{digest},\r\n", text.lines().next().unwrap()).into_bytes();
        let first = world.import(files).await;
        assert_eq!(
            (first.state, first.report.counts.applied, first.report.counts.refused),
            ("applied", 1, 2),
            "{:?}",
            first.report.problems
        );
        let second = world.import(rate(&world, 2, person, 3, 31, Change::New)).await;
        assert_eq!(second.report.counts.refused, 1);
        // A small sound package comes last, as every day: what is not in is still not in.
        world.import(rate(&world, 3, person, 1, 40, Change::New)).await;
        let counted = async || {
            let packages = start_view(&world).await.reconciliation.unwrap().packages;
            packages.into_iter().map(|package| (package.receipt, package.refused)).collect::<Vec<_>>()
        };
        assert_eq!(counted().await, [(first.receipt.clone(), 2), (second.receipt.clone(), 1)]);
        let needed = start_view(&world).await.needed.unwrap();
        assert!(needed.contains("3 件") && needed.contains(&first.receipt), "{needed}");
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let start = StartChange { start: StartState::Started(dates::day_in_japan(now())), reason: None };
        let refused = world.platform.change_start(&officer, world.city.insurer, asked(start), &context()).await;
        assert!(refused.is_err());

        // The same keys, sound and made later, make it good; a row made before does not.
        world.import(rate(&world, 0, person, 1, 32, Change::New)).await;
        assert_eq!(counted().await.len(), 2);
        world.import(rate(&world, 4, person, 3, 31, Change::Corrected)).await;
        assert_eq!(counted().await, [(first.receipt.clone(), 2)]);
        world.import(rate(&world, 5, person, 1, 32, Change::Corrected)).await;
        assert_eq!(counted().await, [(first.receipt.clone(), 1)], "the row that cannot be read has no key");
    }
}

#[tokio::test]
async fn a_whole_city_may_come_after_its_documents() {
    for address in addresses().await {
        let (in_order, world) = (World::loaded(None).await, World::new(address).await);
        let files = city_package(&world.city).unwrap();
        let of = |people: bool| -> Files {
            let wanted = |name: &str| name == "MANIFEST.csv" || name.contains("INSURED") == people;
            let kept = files.iter().filter(|(name, _)| wanted(name)).cloned();
            let manifest = |(name, bytes): (String, Vec<u8>)| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                let is_kept = |(n, line): &(usize, &str)| *n == 0 || line.contains("INSURED") == people;
                let lines = text.lines().enumerate().filter(is_kept).map(|(_, line)| format!("{line}\r\n"));
                if name == "MANIFEST.csv" { (name, lines.collect::<String>().into_bytes()) } else { (name, bytes) }
            };
            kept.map(manifest).collect()
        };
        let documents = world.import(of(false)).await;
        assert_eq!((documents.state, documents.report.counts.applied), ("applied", 0));
        assert_eq!(documents.waiting, documents.report.counts.read);
        let people = world.import(of(true)).await;
        assert_eq!((people.state, people.report.counts.refused), ("applied", 0));
        assert_eq!(again(&world, &documents).await.waiting, 0);
        let (store, other) = (world.platform.store(), in_order.platform.store());
        for person in &world.city.people {
            let key = person.insured.key;
            let headers = async |store: &kiban_store::Store| -> Vec<_> {
                let headers = store.record_headers(key).await.unwrap().into_iter();
                headers.map(|header| (header.kind, header.natural_key, header.valid)).collect()
            };
            assert_eq!(headers(store).await, headers(other).await);
            assert_eq!(store.consents(key).await.unwrap().len(), other.consents(key).await.unwrap().len());
        }
    }
}
