//! The main job at the use cases, on both engines: a city's files go in, an office proves who it is and who the person
//! is, and exactly what the table allows comes out.

mod support;

use kiban_domain::Kind;
use kiban_domain::consent::{ConsentAct, Declarant, IdentityProof};
use kiban_domain::dates::day_in_japan;
use kiban_domain::insured::LossReason;
use kiban_domain::office::JobType;
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{ConsentRequest, Error};
use kiban_sim::Role;
use support::{World, addresses, asked, context, items, now};

#[tokio::test]
async fn a_citys_files_go_in_and_exactly_what_the_table_allows_comes_out() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let (platform, person) = (&world.platform, &world.cast.consenting);
        let manager = world.office(Role::Planning, JobType::CareManager).await;

        // Before the start nobody sees anything (P-150).
        let early = platform.register_office(&manager, asked(items(person, true)), &context()).await;
        assert!(matches!(early, Err(Error::Refused(refusal)) if refusal.rule.code() == "not_started"));
        world.start().await;

        // A wrong item and an unknown number are one answer (P-106).
        let mut wrong = items(person, true);
        wrong.birth = wrong.birth.tomorrow().unwrap();
        assert!(matches!(platform.register_office(&manager, asked(wrong), &context()).await, Err(Error::NotMatched)));
        let registered = platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
        assert!(registered.plan_maker);

        let page = platform.view_person(&manager, &registered.handle, &context()).await.unwrap();
        let kinds: Vec<Kind> = page.kinds.iter().map(|view| view.kind).collect();
        assert!(kinds.contains(&Kind::A3a) && kinds.contains(&Kind::A5) && kinds.contains(&Kind::A2), "{kinds:?}");
        assert_eq!(page.person["name"], person.insured.identity.name.as_str());

        // Another office's handle means nothing to a stranger.
        let helper = world.office(Role::HomeHelp, JobType::CareWorker).await;
        let stranger = platform.view_kind(&helper, &registered.handle, Kind::A3a, asked(None), &context()).await;
        assert!(matches!(stranger, Err(Error::Unknown)));
        let own = platform.register_office(&helper, asked(items(person, false)), &context()).await.unwrap();
        let card = platform.view_kind(&helper, &own.handle, Kind::A3a, asked(None), &context()).await.unwrap();
        assert_eq!(card.documents.len(), 1);
        assert!(matches!(
            platform.view_kind(&helper, &own.handle, Kind::A2, asked(None), &context()).await,
            Err(Error::Unknown)
        ));
    }
}

#[tokio::test]
async fn a_withdrawal_works_on_the_next_view() {
    let world = World::loaded(None).await;
    world.start().await;
    let person = &world.cast.consenting;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle = world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
    assert!(world.platform.view_kind(&manager, &handle, Kind::E1, asked(None), &context()).await.is_ok());
    let request = ConsentRequest {
        act: ConsentAct::Withdrawn,
        declarant: Declarant::Person,
        proof: IdentityProof::InsuranceCard,
        form: "同意様式 第1版".into(),
        remark: None,
        leaflet: None,
        evidence: None,
    };
    world.platform.record_consent(&manager, &handle, asked(request), &context()).await.unwrap();
    let refused = world.platform.view_kind(&manager, &handle, Kind::E1, asked(None), &context()).await;
    assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal.rule.code() == "consent_missing"));
    // ○ kinds need no consent (P-074).
    assert!(world.platform.view_kind(&manager, &handle, Kind::A3a, asked(None), &context()).await.is_ok());
}

#[tokio::test]
async fn the_whereabouts_of_a_withheld_person_reach_no_stranger() {
    let world = World::loaded(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let withheld =
        world.platform.register_office(&manager, asked(items(&world.cast.withheld, false)), &context()).await;
    assert!(matches!(withheld, Err(Error::NotMatched)));
}

#[tokio::test]
async fn the_log_of_it_all_is_intact() {
    let world = World::loaded(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle = world
        .platform
        .register_office(&manager, asked(items(&world.cast.consenting, true)), &context())
        .await
        .unwrap()
        .handle;
    world.platform.view_person(&manager, &handle, &context()).await.unwrap();
    let looks = world.platform.look_ups(&manager, &handle, &context()).await.unwrap();
    assert!(looks.iter().any(|look| look.action == "view" && look.kind.as_deref() == Some("A3a")));
    world.platform.store().audit().anchor_now().await.unwrap();
    assert!(world.platform.store().audit().verify().await.unwrap().is_intact());
}

/// P-070: nobody has to withdraw a consent of somebody who is not insured here any more.
#[tokio::test]
async fn consent_ends_with_the_insurance_whatever_the_reason_and_not_a_day_before() {
    for reason in [LossReason::MovedOut, LossReason::Died, LossReason::Other] {
        let world = World::loaded(None).await;
        world.start().await;
        let person = &world.cast.consenting;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let asked_for = world.platform.register_office(&manager, asked(items(person, true)), &context()).await;
        let handle = asked_for.unwrap().handle;
        let refusal =
            async || match world.platform.view_kind(&manager, &handle, Kind::E1, asked(None), &context()).await {
                Ok(_) => None,
                Err(Error::Refused(refusal)) => Some(refusal.rule.code()),
                Err(other) => panic!("{other:?}"),
            };
        let today = day_in_japan(now());
        let lose = async |history, day| {
            let mut value = person.insured.clone();
            value.lost = Some((day, reason));
            let entry = Entry { key: value.key, history, change: Change::New, value };
            let made_at = now() + jiff::SignedDuration::from_mins(i64::from(history) - 5);
            let package = MunicipalPackage::new(world.city.insurer, made_at).insured(&[entry]).finish().unwrap();
            let result = world.import(package).await;
            assert_eq!(result.report.counts.applied, 1, "{:?}", result.report.problems);
        };
        assert_eq!(refusal().await, None);
        lose(2, today.tomorrow().unwrap()).await;
        assert_eq!(refusal().await, None, "insured to the end of the day before");
        lose(3, today).await;
        assert_eq!(refusal().await, Some("consent_missing"), "{reason:?}");
    }
}
