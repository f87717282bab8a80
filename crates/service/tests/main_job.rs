//! The main job at the use cases, on both engines: a city's files go in, an office proves who it is and who the person
//! is, and exactly what the table allows comes out.

mod support;

use kiban_domain::Kind;
use kiban_domain::consent::{ConsentAct, Declarant, IdentityProof};
use kiban_domain::office::JobType;
use kiban_service::{ConsentRequest, Error};
use kiban_sim::Role;
use support::{World, addresses, asked, context, items};

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
