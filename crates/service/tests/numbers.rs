//! Old and new numbers of a person, as a municipality sees them (P-038).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::insured::{Insured, LinkReason, NumberLink};
use kiban_domain::municipality::StartState;
use kiban_domain::office::JobType;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Organization, PersonKey, dates};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Caller, Error, PersonNumbers};
use kiban_sim::{Role, SimPerson};
use support::{World, addresses, asked, context, items, now};

fn other_city() -> InsurerNumber {
    InsurerNumber::from_code5("99002").unwrap()
}

/// The new city says that somebody of the old one moved in; their new number there.
async fn moved(world: &World, old: &SimPerson, change: impl FnOnce(&mut Insured)) -> PersonKey {
    let insurer = other_city();
    let key = PersonKey { insurer, insured: InsuredNumber::parse("0000000101").unwrap() };
    let mut insured = Insured { key, card_insurer: insurer, ..old.insured.clone() };
    insured.lost = None;
    change(&mut insured);
    let link = NumberLink { before: old.insured.key, changed_on: today(), reason: LinkReason::MovedIn };
    let files = MunicipalPackage::new(insurer, now())
        .insured(&[Entry { key, history: 1, change: Change::New, value: insured }])
        .links(&[Entry { key, history: 1, change: Change::New, value: link }])
        .finish()
        .unwrap();
    world.platform.set_start(insurer, StartState::Coordinating, "cli", &context()).await.unwrap();
    let result = world.platform.import_package_locally(insurer, files, &context(), &mut |_, _| {}).await.unwrap();
    assert_eq!((result.state, result.report.counts.applied), ("applied", 2), "{:?}", result.report.problems);
    key
}

fn today() -> Date {
    dates::day_in_japan(now())
}

async fn officer(world: &World, insurer: InsurerNumber) -> Caller {
    world.caller(Organization::Municipality(insurer), &world.city.officers[0]).await
}

async fn numbers(world: &World, caller: &Caller, person: PersonKey) -> Result<PersonNumbers, Error> {
    let handle = world.platform.handle_of(caller, person).await.unwrap();
    world.platform.person_numbers(caller, &handle, &context()).await
}

fn keys(numbers: &PersonNumbers) -> Vec<PersonKey> {
    let key = |n: &kiban_service::PersonNumber| PersonKey { insurer: n.insurer_number, insured: n.insured_number };
    numbers.numbers.iter().map(key).collect()
}

#[tokio::test]
async fn each_city_sees_both_numbers_of_who_moved_and_opens_its_own_only() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.consenting;
        let (old, new) = (person.insured.key, moved(&world, person, |_| {}).await);
        let (left, came) = (officer(&world, old.insurer).await, officer(&world, new.insurer).await);
        let seen = numbers(&world, &left, old).await.unwrap();
        assert_eq!(keys(&seen), [old, new]);
        assert!(seen.numbers[0].handle.is_some() && seen.numbers[1].handle.is_none(), "the record stays where it is");
        let change = &seen.changes[0];
        assert_eq!((change.before, change.after, change.changed_on), (old, new, today()));
        assert_eq!((change.reason, change.reason_name, seen.changes.len()), ("3", "転入", 1));
        assert_eq!(keys(&numbers(&world, &came, new).await.unwrap()), [new, old]);
        // Not each other's, and nobody else's.
        assert!(matches!(numbers(&world, &came, old).await, Err(Error::Unknown)));
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let registered =
            world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
        let asked = world.platform.person_numbers(&manager, &registered.handle, &context()).await;
        assert!(matches!(asked, Err(Error::Unknown)));
        // Every look and refusal is in the person's record.
        let entries = world
            .platform
            .store()
            .audit()
            .about_person(old.insurer.as_str(), old.insured.as_str(), 100, None)
            .await
            .unwrap();
        let looks = entries.iter().filter(|entry| entry.action == "numbers");
        let mut outcomes: Vec<_> = looks.map(|entry| entry.outcome.clone()).collect();
        outcomes.sort();
        assert_eq!(outcomes, ["allowed", "refused", "refused"]);
    }
}

#[tokio::test]
async fn where_a_withheld_person_went_is_not_told_and_a_stranger_is_tied_to_nobody() {
    let world = World::loaded(None).await;
    world.start().await;
    let person = &world.cast.consenting;
    let (old, new) = (person.insured.key, moved(&world, person, |insured| insured.withheld = true).await);
    let left = officer(&world, old.insurer).await;
    let seen = numbers(&world, &left, old).await.unwrap();
    assert_eq!((keys(&seen), seen.changes), (vec![old], vec![]), "the old city learns nothing");
    let came = officer(&world, new.insurer).await;
    assert_eq!(keys(&numbers(&world, &came, new).await.unwrap()), [new, old], "it said so itself");

    let world = World::loaded(None).await;
    world.start().await;
    let person = &world.cast.consenting;
    let new = moved(&world, person, |insured| insured.identity.birth = jiff::civil::date(1950, 1, 2)).await;
    let left = officer(&world, person.insured.key.insurer).await;
    assert_eq!(keys(&numbers(&world, &left, person.insured.key).await.unwrap()), [person.insured.key]);
    let came = officer(&world, new.insurer).await;
    assert_eq!(keys(&numbers(&world, &came, new).await.unwrap()), [new]);
}
