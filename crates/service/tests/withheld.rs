//! 不開示 is lifted by the municipality itself and by nothing else (P-037).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::insured::Insured;
use kiban_domain::office::JobType;
use kiban_domain::{InsuredNumber, Organization, dates};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Error, LiftWithheld};
use kiban_sim::{Role, city_package};
use kiban_store::SearchTokens;
use support::{World, addresses, asked, context, now};

fn lift(insured: InsuredNumber, reason: &str) -> LiftWithheld {
    LiftWithheld { insured, reason: reason.to_owned() }
}

/// Whether the person is 不開示, as the page and as a decision sees it, and whether a disaster search finds them.
async fn seen(world: &World) -> (bool, bool, bool) {
    let (store, insured) = (world.platform.store(), &world.cast.withheld.insured);
    let (header, _) = store.person(insured.key).await.unwrap().unwrap();
    let city = Organization::Municipality(world.city.insurer);
    let facts = store.person_facts(insured.key, city, None, None).await.unwrap();
    let keys = store.keys_of(world.city.insurer).await.unwrap();
    let birth = dates::yyyymmdd(insured.identity.birth);
    let token = SearchTokens::kanji_birth(&keys, &insured.identity.name, &birth);
    let found = store.find_by_token(world.city.insurer, &token).await.unwrap();
    (header.withheld, facts.withheld, found.contains(&insured.key.insured))
}

fn row(world: &World, minutes: i64, history: u32, change: Change, insured: Insured) -> Vec<(String, Vec<u8>)> {
    let at = now() + jiff::SignedDuration::from_mins(minutes);
    let rows = [Entry { key: insured.key, history, change, value: insured }];
    MunicipalPackage::new(world.city.insurer, at).insured(&rows).finish().unwrap()
}

const HIDDEN: (bool, bool, bool) = (true, true, false);
const SHOWN: (bool, bool, bool) = (false, false, true);

#[tokio::test]
async fn the_city_lifts_it_with_a_reason_and_no_file_does() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let (platform, person) = (&world.platform, &world.cast.withheld.insured);
        let number = person.key.insured;
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let handle = platform.find_insured(&officer, asked(number), &context()).await.unwrap();
        assert_eq!(seen(&world).await, HIDDEN);
        let mut shown = person.clone();
        shown.withheld = false;
        world.import(row(&world, 1, 2, Change::New, shown.clone())).await;
        assert_eq!(seen(&world).await, HIDDEN, "a file does not lift it");

        let other = world.cast.consenting.insured.key.insured;
        for (wrong, item) in [(lift(other, "本人の申出"), "insured_number"), (lift(number, "  "), "reason")] {
            let refused = platform.lift_withheld(&officer, &handle, asked(wrong), &context()).await;
            assert!(matches!(&refused, Err(Error::Invalid(faults)) if faults[0].item == item), "{refused:?}");
        }
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let office = platform.lift_withheld(&manager, &handle, asked(lift(number, "見たい")), &context()).await;
        assert!(office.is_err());
        assert_eq!(seen(&world).await, HIDDEN);

        platform.lift_withheld(&officer, &handle, asked(lift(number, "本人の申出")), &context()).await.unwrap();
        assert_eq!(seen(&world).await, SHOWN);
        let again = platform.lift_withheld(&officer, &handle, asked(lift(number, "もう一度")), &context()).await;
        assert!(matches!(again, Err(Error::Conflict(_))));
        let code = Organization::Municipality(world.city.insurer).to_string();
        let log = platform.store().audit().of_organization(&code, 50, None).await.unwrap();
        assert_eq!(log.iter().filter(|entry| entry.action == "withheld.lift").count(), 1);

        // The same rows again say nothing new; another one that says 不開示 sets it, also when it was made before and comes late.
        let at = now() + jiff::SignedDuration::from_mins(2);
        let rows = [Entry { key: person.key, history: 1, change: Change::New, value: person.clone() }];
        let repeated = MunicipalPackage::new(world.city.insurer, at).insured(&rows).finish().unwrap();
        assert_eq!(world.import(repeated).await.report.counts.unchanged, 1);
        assert_eq!(seen(&world).await, SHOWN);
        let mut hidden = person.clone();
        hidden.identity.telephone = Some("099-000-0909".into());
        world.import(row(&world, -600, 3, Change::New, hidden)).await;
        assert_eq!(seen(&world).await, HIDDEN);
        platform.lift_withheld(&officer, &handle, asked(lift(number, "申出を確かめた")), &context()).await.unwrap();
        assert_eq!(seen(&world).await, SHOWN);
    }
}

#[tokio::test]
async fn it_is_not_lifted_while_a_package_is_on_its_way() {
    let world = World::loaded(None).await;
    let (platform, person) = (&world.platform, &world.cast.withheld.insured);
    let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
    let handle = platform.find_insured(&officer, asked(person.key.insured), &context()).await.unwrap();
    let mut upload = platform.begin_package_locally(world.city.insurer, &context()).await.unwrap();
    for (name, bytes) in city_package(&world.city).unwrap().into_iter().skip(1) {
        upload.file(&name).await.unwrap();
        upload.write(&bytes).await.unwrap();
    }
    upload.finish().await.unwrap();
    let request = lift(person.key.insured, "本人の申出");
    let refused = platform.lift_withheld(&officer, &handle, asked(request), &context()).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert_eq!(seen(&world).await, HIDDEN);
}
