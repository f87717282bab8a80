//! Every decision that was recorded can be taken again from its entry, with the same outcome by the same rule, on both engines
//! (decision 0006.9).
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use jiff::civil::date;
use kiban_domain::office::JobType;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::{InsuredNumber, Kind, Organization};
use kiban_policy::replay;
use kiban_service::{Decide, Error, Original, PeoplePage};
use kiban_sim::Role;
use kiban_store::{Decided, StoredEntry};
use support::{World, addresses, asked, context, items};

/// The entries that keep facts, each held against its decision taken again.
async fn taken_again(world: &World) -> Vec<StoredEntry> {
    let mut decided = Decided::open(&world.address, i64::MIN, i64::MAX).await.unwrap();
    let entries = decided.next_page().await.unwrap();
    assert!(decided.next_page().await.unwrap().is_empty());
    decided.close().await;
    for entry in &entries {
        let decision = replay(entry.facts, entry.policy_version.as_deref().unwrap()).unwrap();
        let recorded = (entry.outcome != "refused", entry.rule.as_deref().unwrap());
        assert_eq!((decision.allowed, decision.rule.code()), recorded, "{entry:?}");
    }
    entries
}

#[tokio::test]
async fn recorded_decisions_are_those_of_the_facts_kept_with_them() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let (platform, person) = (&world.platform, &world.cast.applying);
        let helper = world.office(Role::HomeHelp, JobType::CareWorker).await;
        let handle = platform.register_office(&helper, asked(items(person, false)), &context()).await.unwrap().handle;
        platform.view_person(&helper, &handle, &context()).await.unwrap();
        let refused = platform.view_kind(&helper, &handle, Kind::A2, asked(None), &context()).await;
        assert!(matches!(refused, Err(Error::Unknown)));

        // A hospital reads the opinion it wrote: as the author, and as nobody else.
        let hospital = person.care.hospital.unwrap();
        let doctor = world.city.offices.iter().find(|office| office.number() == hospital).unwrap();
        let doctor = world.caller(Organization::Office(hospital), doctor.staff_of(JobType::Physician).unwrap()).await;
        let page = PeoplePage { after: None, limit: 200 };
        let list = platform.list_people(&doctor, asked(page), &context()).await.unwrap();
        let number = person.insured.key.insured.to_string();
        let handle = list.into_iter().find(|line| line.insured_number == number).unwrap().handle;
        let mut sent = PhysicianOpinion::example(person.insured.key, hospital, date(2026, 11, 18));
        sent.basics.applicant = person.insured.identity.clone();
        sent.basics.age = None;
        let original = Original { media: "application/json".into(), bytes: serde_json::to_vec(&sent).unwrap() };
        let filed = platform.submit_opinion(&doctor, &handle, asked(sent), original, &context()).await.unwrap();
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        platform.decide_submission(&officer, &filed.receipt, asked(Decide::Accept), &context()).await.unwrap();
        let own = platform.view_kind(&doctor, &handle, Kind::A2, asked(None), &context()).await.unwrap();
        assert_eq!(own.documents.len(), 1);

        // A number nobody has is refused to its own city, too; not by the table, so that no facts are kept.
        let nobody = InsuredNumber::parse("9999999999").unwrap();
        let unknown = platform.eligibility(&officer, asked((world.city.insurer, nobody)), &context()).await;
        assert!(matches!(unknown, Err(Error::Unknown)));
        let log = platform.store().audit().about_person(world.city.insurer.as_str(), nobody.as_str(), 9, None);
        let log = log.await.unwrap();
        assert!(!log.is_empty() && log.iter().all(|entry| (entry.outcome.as_str(), entry.facts) == ("refused", 0)));

        let entries = taken_again(&world).await;
        let of = |organization: &Organization, kind: &str, outcome: &str| {
            let organization = organization.to_string();
            entries.iter().any(|entry| {
                entry.organization.as_deref() == Some(organization.as_str())
                    && entry.kind.as_deref() == Some(kind)
                    && entry.outcome == outcome
            })
        };
        assert!(of(&helper.organization, "A3a", "allowed") && of(&helper.organization, "A2", "refused"));
        assert!(of(&doctor.organization, "A2", "allowed"));
    }
}
