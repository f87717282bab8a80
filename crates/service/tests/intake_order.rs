//! Packages at once, out of order, repeated, half sent: the state they end in is that of the same packages one after the
//! other. Schedules are random, each from a seed that is told when it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use jiff::civil::date;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::consent::{ConsentAct, ConsentRecord};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::Tenths;
use kiban_domain::insured::{Insured, LinkReason, NumberLink};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{InsuredNumber, Kind, PersonKey, Timestamp};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage, Writable};
use kiban_service::Work;
use kiban_sim::{City, CitySpec, city_package};
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

/// Somebody who comes in the middle of all that.
fn latecomer(world: &World) -> Insured {
    let insured = world.cast.consenting.insured.clone();
    Insured { key: PersonKey { insured: InsuredNumber::parse("0009990077").unwrap(), ..insured.key }, ..insured }
}

/// Rows of one kind: under a few numbers of two people, new, corrected or deleted, with one of three contents.
fn rows<T>(world: &World, dice: &mut Dice, value: impl Fn(PersonKey, i8, u8) -> T) -> Vec<Entry<T>> {
    let mut rows = Vec::new();
    for key in [world.cast.consenting.insured.key, latecomer(world).key] {
        for history in [4, 5] {
            if dice.below(3) == 0 {
                let change = [Change::New, Change::New, Change::Corrected, Change::Deleted][dice.below(4)];
                let value = value(key, history, dice.below(3) as u8 + 1);
                rows.push(Entry { key, history: 200 + history as u32, change, value });
            }
        }
    }
    rows
}

fn with<T: Writable>(package: MunicipalPackage, rows: Vec<Entry<T>>) -> MunicipalPackage {
    if rows.is_empty() { package } else { package.records(&rows) }
}

/// Rows of every kind in packages made an hour apart, which contradict each other in every way there is; the people of some of
/// them come late, a move is corrected, one is 不開示 for an hour, numbers are linked, consents given and withdrawn.
fn contradictions(world: &World, dice: &mut Dice) -> Vec<Files> {
    let (person, city) = (&world.cast.consenting, &world.city);
    let hospital = world.cast.applying.care.hospital.unwrap();
    // In a small city nobody has one.
    let larger = City::generate(&CitySpec { people: 1_000, ..city.spec.clone() });
    let ceiling = larger.people.iter().find_map(|one| one.ceiling.clone()).unwrap();
    let progress = world.cast.applying.applications.last().unwrap().clone();
    assert!(progress.opinion_requested_from.is_some() && !person.card.planning_offices.is_empty());
    let mut packages = Vec::new();
    for n in 0..12 {
        let package = MunicipalPackage::new(city.insurer, made(10 + n));
        let identity = &person.insured.identity;
        let package = with(
            package,
            rows(world, dice, |_, _, content| {
                let mut rate = person.copayment.clone().unwrap();
                rate.rows[0].rate = Tenths::new(content).unwrap();
                rate
            }),
        );
        let package = with(
            package,
            rows(world, dice, |_, _, content| {
                let mut card = person.card.clone();
                card.planning_offices.truncate(usize::from(content) - 1);
                card
            }),
        );
        let package = with(
            package,
            rows(world, dice, |_, _, content| {
                let mut ceiling = ceiling.clone();
                ceiling.issued_on = date(2026, 7, content as i8);
                ceiling
            }),
        );
        let package = with(
            package,
            rows(world, dice, |_, _, content| {
                let mut progress = progress.clone();
                if content != 1 {
                    (progress.opinion_requested_from, progress.opinion_requested_on) = (None, None);
                }
                progress.survey_commissioned_to = None;
                progress.board_number = (content == 3).then(|| "3".to_owned());
                progress
            }),
        );
        let package = with(
            package,
            rows(world, dice, |_, history, content| {
                let kind = ApplicationKind::Renewal;
                let mut form = CertificationApplication::example(identity.clone(), date(2026, 10, history), kind);
                form.contacts.as_mut().unwrap().telephone = Some(format!("099-000-000{content}"));
                form.consent = form.consent.filter(|_| content == 2);
                form
            }),
        );
        let package = with(
            package,
            rows(world, dice, |_, history, content| {
                CertificationSurvey::example(identity.clone(), date(2026, 10, history), |at, _| {
                    (at / usize::from(content)) % 2
                })
            }),
        );
        let package = with(
            package,
            rows(world, dice, |key, history, content| {
                let mut opinion = PhysicianOpinion::example(key, hospital, date(2026, 10, history));
                opinion.remarks = Some(format!("所見 {content}"));
                opinion
            }),
        );
        let package = with(
            package,
            rows(world, dice, |_, history, content| {
                let mut work = HomeModification::example(date(2026, 3, history), CareLevel::Care2);
                work.provider_name = Some(format!("架空工務店{content}"));
                work
            }),
        );
        let package = with(
            package,
            rows(world, dice, |_, history, content| {
                let mut purchase = EquipmentPurchase::example(date(2026, 3, history));
                purchase.product = format!("見本シャワーチェア{content}");
                purchase
            }),
        );
        let package = with(
            package,
            rows(world, dice, |key, _, content| {
                let before =
                    PersonKey { insured: InsuredNumber::parse(&format!("000999000{content}")).unwrap(), ..key };
                NumberLink { before, changed_on: date(2026, 4, 1), reason: LinkReason::Merged }
            }),
        );
        let acts: Vec<_> = [person.insured.key, latecomer(world).key]
            .map(|person| {
                let act = [ConsentAct::Given, ConsentAct::Withdrawn, ConsentAct::KindRefused(Kind::A1)][dice.below(3)];
                let acted_at = now() - jiff::SignedDuration::from_hours(60 + dice.below(5) as i64);
                let value = ConsentRecord { person, act, acted_at, ..world.cast.consenting.consents[0].clone() };
                Entry { key: person, history: 300 + n as u32, change: Change::New, value }
            })
            .into();
        let mut people = Vec::new();
        if n == 6 {
            let value = latecomer(world);
            people.push(Entry { key: value.key, history: 1, change: Change::New, value });
        }
        for one in [person.insured.clone(), latecomer(world), world.cast.moved.insured.clone()] {
            let mut value = one;
            if n != 6 && dice.below(2) == 0 {
                value.identity.address = Some(format!("架空県見本市新町{}番", dice.below(3)));
                value.withheld = n == 3 && value.key == world.cast.moved.insured.key;
                let change = [Change::New, Change::Corrected][dice.below(2)];
                people.push(Entry { key: value.key, history: 7 + dice.below(2) as u32, change, value });
            }
        }
        packages.push(with(with(package, acts), people).finish().unwrap());
    }
    packages
}

/// What anybody can see of everybody: every version of the person, the present content of every record, every act.
async fn state(world: &World) -> Vec<String> {
    let store = world.platform.store();
    let mut all = Vec::new();
    for key in world.city.people.iter().map(|one| one.insured.key).chain([latecomer(world).key]) {
        let mut versions: Vec<_> = store.person_versions(key).await.unwrap();
        versions.dedup_by_key(|(header, _)| header.history_number);
        // 不開示 is of the person, not of a version.
        versions.iter_mut().skip(1).for_each(|(_, insured)| insured.withheld = false);
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
        let mut links = store.links_of(key).await.unwrap();
        links.reverse();
        links.dedup_by_key(|link| link.history_number);
        let links: Vec<_> = links.iter().filter(|link| !link.deleted).map(|l| (l.history_number, l.link)).collect();
        all.push(format!("{} {links:?}", key.insured));
        let hospital = world.cast.applying.care.hospital.unwrap();
        let facts = store.person_facts(key, kiban_domain::Organization::Office(hospital), Some(hospital), None).await;
        all.push(format!("{} {:?}", key.insured, facts.unwrap().opinion_requested_on));
    }
    all
}

/// A sender that breaks off in the middle.
async fn half(world: &World, files: &Files) {
    let mut upload = world.platform.begin_package_locally(world.city.insurer, &context()).await.unwrap();
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
    // In the end everything has arrived, each package at least once, in any order: nobody sends anything again.
    for n in dice.shuffled(packages.len()) {
        world.import(packages[n].clone()).await;
    }
    let clock = now;
    world.platform.work_on_packages(&mut Work::new(&clock)).await.unwrap();
}

#[tokio::test]
async fn whatever_the_order_the_same_packages_end_in_the_same_state() {
    let contradictory = if addresses().await.len() > 1 { 2 } else { 4 };
    for round in 0..contradictory {
        let in_order = World::new(None).await;
        let mut packages = packages(&in_order);
        packages.extend(contradictions(&in_order, &mut Dice(round * 104_729 + 7)));
        for files in &packages {
            let result = in_order.import(files.clone()).await;
            assert_eq!(result.state, "applied", "{:?}", result.report.problems.first());
        }
        let expected = state(&in_order).await;
        assert!(expected.iter().any(|line| line.contains("新町９番")) && expected.len() > 100);
        for address in addresses().await {
            let schedules = if address.is_some() { 1 } else { 3 };
            for seed in 0..schedules {
                let world = World::new(address.clone()).await;
                deliver(&world, &packages, &mut Dice((round * 10 + seed) * 7_919 + 1)).await;
                let found = state(&world).await;
                let differs = expected.iter().zip(&found).find(|(a, b)| a != b);
                assert!(differs.is_none() && expected.len() == found.len(), "round {round}, seed {seed}: {differs:?}");
            }
        }
    }
}

/// Two packages of one second: what they say decides, not which arrives first.
#[tokio::test]
async fn of_two_rows_made_in_one_second_the_same_one_holds_whichever_arrives_first() {
    let world = World::loaded(None).await;
    let (one, other) = (world.cast.consenting.insured.key, world.cast.without_consent.insured.key);
    let rate = |key, tenths, change| {
        let mut value = world.cast.consenting.copayment.clone().unwrap();
        value.rows[0].rate = Tenths::new(tenths).unwrap();
        let rows = [Entry { key, history: 70, change, value }];
        MunicipalPackage::new(world.city.insurer, now()).copayment_rates(&rows).finish().unwrap()
    };
    let held = async |key: PersonKey| {
        let headers = world.platform.store().record_headers(key).await.unwrap();
        let of_key = headers.into_iter().filter(|h| h.kind == Kind::A3b && h.natural_key.ends_with("70"));
        of_key.max_by_key(|header| header.revision).map(|header| header.digest)
    };
    for change in [Change::New, Change::Corrected] {
        for (key, tenths) in [(one, 1), (one, 2), (other, 2), (other, 1)] {
            assert_eq!(world.import(rate(key, tenths, change)).await.state, "applied");
        }
        assert_eq!(held(one).await, held(other).await, "{change:?}");
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
