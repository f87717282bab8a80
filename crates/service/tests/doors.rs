//! Doors that must close, and answers that must not tell: what a reviewer with a lawyer's and a thief's eye looked for.

mod support;

use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, IdentityProof};
use kiban_domain::office::JobType;
use kiban_domain::{Kind, Organization};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{ConsentRequest, Error, LogIn, NewAccount, OfficeDecision, Peer, SwitchAsk};
use kiban_sim::Role;
use support::{World, addresses, asked, context, items, now};

fn consent(act: ConsentAct) -> ConsentRequest {
    let (proof, form) = (IdentityProof::InsuranceCard, "同意様式 第1版".to_owned());
    ConsentRequest { act, declarant: Declarant::Person, proof, form, remark: None, leaflet: None, evidence: None }
}

#[tokio::test]
async fn a_withdrawal_of_today_without_a_time_counts_at_once() {
    let world = World::loaded(None).await;
    world.start().await;
    let person = world.cast.consenting.insured.key;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle = world
        .platform
        .register_office(&manager, asked(items(&world.cast.consenting, true)), &context())
        .await
        .unwrap()
        .handle;
    assert!(world.platform.view_kind(&manager, &handle, Kind::E1, asked(None), &context()).await.is_ok());
    let value = ConsentRecord {
        person,
        act: ConsentAct::Withdrawn,
        // 23:59:59 in Japan on the day of `now`, the time a date without a time stands for (P-071).
        acted_at: "2026-11-20T14:59:59Z".parse().unwrap(),
        declarant: Declarant::Person,
        proof: IdentityProof::ApplicationForm,
        taken_by: Organization::Municipality(world.city.insurer),
        staff: None,
        form: "同意様式 第1版".into(),
        remark: None,
        leaflet: None,
        evidence: None,
    };
    let entry = Entry { key: person, history: 9, change: Change::New, value };
    let result =
        world.import(MunicipalPackage::new(world.city.insurer, now()).consents(&[entry]).finish().unwrap()).await;
    assert_eq!(result.report.counts.applied, 1, "{:?}", result.report.problems);
    assert!(matches!(
        world.platform.view_kind(&manager, &handle, Kind::E1, asked(None), &context()).await,
        Err(Error::Refused(_))
    ));
}

#[tokio::test]
async fn a_withdrawal_on_screen_beats_a_consent_dated_a_few_minutes_ahead() {
    let world = World::loaded(None).await;
    world.start().await;
    let person = &world.cast.without_consent;
    let planner = Organization::Office(person.care.planner.unwrap());
    let office = world.city.offices.iter().find(|office| Organization::Office(office.number()) == planner).unwrap();
    let manager = world.caller(planner, office.staff_of(JobType::CareManager).unwrap()).await;
    let handle = world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
    let value = ConsentRecord {
        person: person.insured.key,
        act: ConsentAct::Given,
        acted_at: now() + jiff::SignedDuration::from_mins(4),
        declarant: Declarant::Person,
        proof: IdentityProof::ApplicationForm,
        taken_by: Organization::Municipality(world.city.insurer),
        staff: None,
        form: "同意様式 第1版".into(),
        remark: None,
        leaflet: None,
        evidence: None,
    };
    let entry = Entry { key: person.insured.key, history: 9, change: Change::New, value };
    world.import(MunicipalPackage::new(world.city.insurer, now()).consents(&[entry]).finish().unwrap()).await;
    let state = world
        .platform
        .record_consent(&manager, &handle, asked(consent(ConsentAct::Withdrawn)), &context())
        .await
        .unwrap()
        .state;
    assert!(state.given_at.is_none() && state.withdrawn_at.is_some());
}

#[tokio::test]
async fn asking_to_make_the_plan_tells_nothing_about_the_four_items() {
    let world = World::loaded(None).await;
    world.start().await;
    let clerk = world.office(Role::HomeHelp, JobType::CareWorker).await;
    let right = world.platform.register_office(&clerk, asked(items(&world.cast.consenting, true)), &context()).await;
    let mut wrong = items(&world.cast.consenting, true);
    wrong.birth = wrong.birth.tomorrow().unwrap();
    let wrong = world.platform.register_office(&clerk, asked(wrong), &context()).await;
    assert_eq!(format!("{right:?}"), format!("{wrong:?}"));
}

#[tokio::test]
async fn guesses_made_at_the_same_time_share_one_limit_and_leave_the_right_office_free() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let guesser = world.office(Role::HomeHelp, JobType::CareWorker).await;
        let mut guesses = tokio::task::JoinSet::new();
        for n in 0..30u32 {
            let (platform, guesser) = (world.platform.clone(), guesser.clone());
            let mut guess = items(&world.cast.consenting, false);
            guess.insured = kiban_domain::InsuredNumber::parse(&format!("77{n:08}")).unwrap();
            guesses.spawn(async move { platform.register_office(&guesser, asked(guess), &context()).await });
        }
        let answers = guesses.join_all().await;
        let judged = answers.iter().filter(|answer| matches!(answer, Err(Error::NotMatched))).count();
        assert_eq!(judged, 5, "more guesses than the limit were judged");
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        assert!(
            world
                .platform
                .register_office(&manager, asked(items(&world.cast.consenting, true)), &context())
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn an_office_that_ended_its_registration_is_no_longer_confirmed_for_a_withheld_person() {
    let world = World::loaded(None).await;
    world.start().await;
    let person = &world.cast.withheld;
    let officer = world.city.officers.first().unwrap().clone();
    let city = world.caller(Organization::Municipality(world.city.insurer), &officer).await;
    let hidden = world.office(Role::HiddenPlanning, JobType::CareManager).await;
    let office = hidden.organization.office().unwrap();
    let at_city = world.platform.find_insured(&city, asked(person.insured.key.insured), &context()).await.unwrap();
    world.platform.decide_office(&city, &at_city, office, asked(OfficeDecision::Confirm), &context()).await.unwrap();
    let handle = world.platform.register_office(&hidden, asked(items(person, true)), &context()).await.unwrap().handle;
    world.platform.end_registration(&hidden, &handle, &context()).await.unwrap();
    let again = world.platform.register_office(&hidden, asked(items(person, true)), &context()).await;
    assert!(matches!(again, Err(Error::NotMatched)));
}

#[tokio::test]
async fn nobody_is_registered_for_a_person_who_left_the_insurance() {
    let world = World::loaded(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let moved = world.platform.register_office(&manager, asked(items(&world.cast.moved, false)), &context()).await;
    assert!(matches!(moved, Err(Error::NotMatched)));
}

#[tokio::test]
async fn staff_switched_off_cannot_switch_themselves_on() {
    let world = World::loaded(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle = world
        .platform
        .register_office(&manager, asked(items(&world.cast.consenting, true)), &context())
        .await
        .unwrap()
        .handle;
    let own = manager.staff.id.0.rsplit('/').next().unwrap().to_owned();
    let ask = SwitchAsk { hidden: false, kinds: Vec::new() };
    let answer = world.platform.set_switch(&manager, &handle, &own, asked(ask), &context()).await;
    assert!(matches!(answer, Err(Error::Invalid(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_disabled_stays_disabled_whatever_changes_it_or_logs_in_beside_it() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let organization = manager.organization;
        let account = NewAccount {
            organization,
            account: "leaver".to_owned(),
            name: "見本 職員".to_owned(),
            job: JobType::CareManager,
            care_manager: None,
            administrator: false,
            password: "tesuto-no-aikotoba".to_owned(),
        };
        let id = world.platform.put_account(account.clone(), "test", &context()).await.unwrap();
        let peer = Peer { fingerprint: manager.peer.fingerprint.clone(), source: "192.0.2.1:50000".to_owned() };
        let log_in = LogIn { account: "leaver".to_owned(), password: account.password.clone(), software: None };
        for _ in 0..3 {
            world.platform.switch_account_locally(organization, "leaver", true, &context()).await.unwrap();
            world.platform.log_in(&peer, log_in.clone(), &context()).await.unwrap();
            let (platform, asked) = (world.platform.clone(), context());
            let disabling = async { platform.switch_account_locally(organization, "leaver", false, &asked).await };
            let (changed, logged_in) = (
                world.platform.put_account(account.clone(), "test", &asked),
                world.platform.log_in(&peer, log_in.clone(), &asked),
            );
            let (disabled, changed, logged_in) = tokio::join!(disabling, changed, logged_in);
            disabled.unwrap();
            changed.unwrap();
            assert!(!world.platform.store().account(&id).await.unwrap().unwrap().active, "a change enables nothing");
            let again = world.platform.log_in(&peer, log_in.clone(), &context()).await;
            assert!(matches!(again, Err(Error::WrongPassword { .. } | Error::Locked(_))));
            // A log-in that came first was ended with the account: nothing of it is left when the account is enabled.
            if let Ok(session) = logged_in {
                world.platform.switch_account_locally(organization, "leaver", true, &context()).await.unwrap();
                let caller = world.platform.authenticate(peer.clone(), &session.token, &context()).await;
                assert!(matches!(caller, Err(Error::Unauthenticated("login_required"))));
            }
        }
        assert!(world.platform.store().audit().verify().await.unwrap().is_intact());
    }
}
