//! A1, A2, A4, E1 and E2 of a city's package: stored, merged with what came electronically, shown with what is left of the
//! limits, and the 同意欄 of an application as the municipal consent it is.

mod support;

use jiff::civil::date;
use kiban_domain::allowance::Fresh;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::dates::Period;
use kiban_domain::equipment_purchase::{AgainReason, EquipmentPurchase};
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::InsuranceCard;
use kiban_domain::insured::{Insured, LinkReason, NumberLink};
use kiban_domain::office::JobType;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{Date, InsuredNumber, Kind, Organization, PersonKey};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Decide, IntakeResult, Original, PeoplePage};
use kiban_sim::{Role, SimPerson};
use support::{World, addresses, asked, context, items, now};

fn row<T>(person: &SimPerson, history: u32, change: Change, value: T) -> Entry<T> {
    Entry { key: person.insured.key, history, change, value }
}

fn package(world: &World, second: i64) -> MunicipalPackage {
    MunicipalPackage::new(world.city.insurer, now() - jiff::SignedDuration::from_secs(1_000 - second))
}

fn rules(result: &IntakeResult) -> Vec<&str> {
    result.report.problems.iter().map(|problem| problem.rule.as_str()).collect()
}

#[tokio::test]
async fn an_opinion_that_came_electronically_and_returns_in_a_package_stays_one_record_of_its_author() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let (platform, person) = (&world.platform, &world.cast.applying);
        let hospital = person.care.hospital.unwrap();
        let doctor = world.city.offices.iter().find(|office| office.number() == hospital).unwrap();
        let doctor = doctor.staff_of(JobType::Physician).unwrap();
        let doctor = world.caller(Organization::Office(hospital), doctor).await;
        let list =
            platform.list_people(&doctor, asked(PeoplePage { after: None, limit: 200 }), &context()).await.unwrap();
        let number = person.insured.key.insured.to_string();
        let handle = list.into_iter().find(|line| line.insured_number == number).unwrap().handle;
        let mut sent = PhysicianOpinion::example(person.insured.key, hospital, date(2026, 11, 18));
        sent.basics.applicant = person.insured.identity.clone();
        sent.basics.age = None;
        let original = Original { media: "application/json".into(), bytes: serde_json::to_vec(&sent).unwrap() };
        let filed = platform.submit_opinion(&doctor, &handle, asked(sent.clone()), original, &context()).await.unwrap();
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        platform.decide_submission(&officer, &filed.receipt, asked(Decide::Accept), &context()).await.unwrap();

        // The city's system hands it back with the rest, in its own words and under its own 履歴番号.
        let mut returned = sent.clone();
        returned.request.software = None;
        let paper = PhysicianOpinion::example(person.insured.key, hospital, date(2024, 3, 1));
        let rows = [row(person, 1, Change::New, paper.clone()), row(person, 2, Change::New, returned)];
        let result = world.import(package(&world, 1).records(&rows).finish().unwrap()).await;
        assert_eq!((result.report.counts.applied, result.report.counts.unchanged), (1, 1), "{result:?}");
        assert_eq!(rules(&result), ["same_opinion"]);
        let shown = async || platform.view_kind(&doctor, &handle, Kind::A2, asked(None), &context()).await.unwrap();
        let documents = shown().await.documents;
        assert_eq!(documents.len(), 2);
        // ★ stays with the author, who reads both; the content is the one the author sent.
        assert!(documents.iter().all(|document| document.creator == Some(Organization::Office(hospital))));
        let newest: PhysicianOpinion = serde_json::from_value(documents[0].content.clone()).unwrap();
        assert_eq!(newest, sent);

        // A correction by the city is a new version of the same document.
        let mut corrected = sent.clone();
        corrected.remarks = Some("市区町村が写し間違いを直した".into());
        let rows = [row(person, 2, Change::Corrected, corrected.clone())];
        let result = world.import(package(&world, 2).records(&rows).finish().unwrap()).await;
        assert_eq!((result.report.counts.applied, rules(&result)), (1, vec![]));
        let documents = shown().await.documents;
        assert_eq!((documents.len(), documents[0].creator), (2, Some(Organization::Office(hospital))));
        assert_eq!(documents[0].content["remarks"], "市区町村が写し間違いを直した");
    }
}

#[tokio::test]
async fn a_ticked_consent_column_opens_what_needs_consent_and_an_older_one_undoes_no_withdrawal() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let (platform, person) = (&world.platform, &world.cast.without_consent);
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let handle = platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
        let sees_survey =
            async || platform.view_kind(&manager, &handle, Kind::A1, asked(None), &context()).await.is_ok();
        assert!(!sees_survey().await);

        let applied_on = date(2026, 11, 2);
        let form =
            CertificationApplication::example(person.insured.identity.clone(), applied_on, ApplicationKind::Renewal);
        let survey = CertificationSurvey::example(person.insured.identity.clone(), applied_on, |at, _| at % 2);
        let files = package(&world, 1)
            .records(&[row(person, 90, Change::New, form.clone())])
            .records(&[row(person, 90, Change::New, survey)])
            .finish()
            .unwrap();
        let result = world.import(files.clone()).await;
        assert_eq!((result.report.counts.applied, rules(&result)), (2, vec![]), "the column counts with its row");
        assert!(sees_survey().await);
        let consents = platform.store().consents(person.insured.key).await.unwrap();
        let act = &consents.first().unwrap().record;
        assert_eq!(act.taken_by, Organization::Municipality(world.city.insurer));

        // Withdrawn later; the application sent again with another address changes nothing of that.
        let withdrawal = kiban_service::ConsentRequest {
            act: kiban_domain::consent::ConsentAct::Withdrawn,
            declarant: kiban_domain::consent::Declarant::Person,
            proof: kiban_domain::consent::IdentityProof::InsuranceCard,
            form: "同意様式 第1版".into(),
            remark: None,
            leaflet: None,
            evidence: None,
        };
        platform.record_consent(&manager, &handle, asked(withdrawal), &context()).await.unwrap();
        assert!(!sees_survey().await);
        let mut corrected = form.clone();
        corrected.applicant.telephone = None;
        let rows = [row(person, 90, Change::Corrected, corrected)];
        let result = world.import(package(&world, 2).records(&rows).finish().unwrap()).await;
        // The city hears that its column no longer holds, at the column's own day.
        assert_eq!((result.report.counts.applied, rules(&result)), (1, vec!["consent_differs"]));
        let told = &result.report.problems[0];
        assert_eq!((told.line, told.item.as_str(), told.severity.as_str()), (2, "同意日", "warning"));
        assert!(told.message.contains("撤回（2026-11-20"), "{}", told.message);
        assert!(!sees_survey().await);

        // A column dated after its package was made, or after the receipt, is refused with its row (P-071).
        let tomorrow = 1_000 + 20 * 3_600;
        for (second, day, rule) in [(3, 30, "date_order"), (tomorrow, 21, "act_in_future")] {
            let mut future = form.clone();
            future.consent.as_mut().unwrap().on = date(2026, 11, day);
            let rows = [row(person, 91, Change::New, future)];
            let result = world.import(package(&world, second).records(&rows).finish().unwrap()).await;
            assert_eq!((result.report.counts.refused, rules(&result)), (1, vec![rule]));
        }
    }
}

#[tokio::test]
async fn what_is_left_of_both_limits_is_shown_to_the_care_manager() {
    let world = World::loaded(None).await;
    world.start().await;
    let (platform, person) = (&world.platform, &world.cast.consenting);
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle = platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
    let work = |day: Date, eligible| HomeModification {
        dwelling: 7,
        cost: eligible,
        eligible,
        paid: 0,
        ..HomeModification::example(day, CareLevel::Support1)
    };
    let purchase =
        |day: Date| EquipmentPurchase { again: Some(AgainReason::Broken), ..EquipmentPurchase::example(day) };
    let works = [
        row(person, 900, Change::New, work(date(2026, 9, 1), 90_000)),
        row(person, 901, Change::New, work(date(2026, 10, 1), 40_000)),
        row(person, 902, Change::New, work(date(2026, 10, 8), 70_000)),
    ];
    let purchases = [
        row(person, 900, Change::New, purchase(date(2026, 3, 31))),
        row(person, 901, Change::New, purchase(date(2026, 10, 1))),
    ];
    let files = package(&world, 1).records(&works).records(&purchases).finish().unwrap();
    assert_eq!(rules(&world.import(files).await), Vec::<&str>::new());
    let deleted = [row(person, 902, Change::Deleted, work(date(2026, 10, 8), 70_000))];
    world.import(package(&world, 2).records(&deleted).finish().unwrap()).await;

    let left = async |kind| {
        let view = platform.view_kind(&manager, &handle, kind, asked(None), &context()).await.unwrap();
        let allowance = view.allowance.unwrap();
        (allowance.remaining, allowance.counted_in, allowance.resets_from)
    };
    assert_eq!(
        left(Kind::E1).await,
        (70_000, "住宅 7".to_owned(), Some(CareLevel::Care3)),
        "a deleted work is free again"
    );
    let (remaining, counted_in, _) = left(Kind::E2).await;
    assert_eq!(counted_in, "2026年度");
    assert!(remaining <= 75_000, "{remaining}");
    let card = platform.view_kind(&manager, &handle, Kind::A3a, asked(None), &context()).await.unwrap();
    assert_eq!(card.allowance, None);
    let fresh = platform
        .view_kind(&manager, &handle, Kind::E1, asked(None), &context())
        .await
        .unwrap()
        .allowance
        .unwrap()
        .fresh;
    assert!(matches!(fresh, Fresh::First | Fresh::Moved));

    // 3段階リセット: the card tells the level of today, before another work names it.
    let mut card: InsuranceCard = serde_json::from_value(card.documents[0].content.clone()).unwrap();
    let certified = card.certified.as_mut().unwrap();
    (certified.level, certified.decided_on) = (CareLevel::Care5, date(2026, 10, 20));
    certified.valid = Some(Period::new(date(2026, 10, 20), Some(date(2027, 10, 31))).unwrap());
    let files = package(&world, 3).records(&[row(person, 950, Change::New, card)]).finish().unwrap();
    assert_eq!(rules(&world.import(files).await), Vec::<&str>::new());
    let view = platform.view_kind(&manager, &handle, Kind::E1, asked(None), &context()).await.unwrap();
    let allowance = view.allowance.unwrap();
    assert_eq!((allowance.remaining, allowance.fresh), (200_000, Fresh::ThreeStages));
}

#[tokio::test]
async fn who_has_used_nothing_has_the_whole_limit_left() {
    let world = World::loaded(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let mut whole = 0;
    for person in [&world.cast.consenting, &world.cast.applying] {
        let handle =
            world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
        let Ok(view) = world.platform.view_kind(&manager, &handle, Kind::E1, asked(None), &context()).await else {
            continue;
        };
        if view.documents.is_empty() {
            let allowance = view.allowance.unwrap();
            assert_eq!((allowance.remaining, allowance.fresh), (200_000, Fresh::First));
            whole += 1;
        }
    }
    assert!(whole > 0, "the cast has somebody without works");
}

#[tokio::test]
async fn what_was_used_under_the_number_before_counts_in_what_is_left() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let (platform, old) = (&world.platform, &world.cast.consenting);
        let key = PersonKey { insured: InsuredNumber::parse("0009999991").unwrap(), ..old.insured.key };
        let new = SimPerson { insured: Insured { key, ..old.insured.clone() }, ..old.clone() };
        let work = HomeModification {
            dwelling: 7,
            cost: 90_000,
            eligible: 90_000,
            paid: 0,
            ..HomeModification::example(date(2026, 9, 1), CareLevel::Support1)
        };
        let purchase = EquipmentPurchase {
            cost: 60_000,
            eligible: 60_000,
            paid: 0,
            ..EquipmentPurchase::example(date(2026, 10, 1))
        };
        let used = package(&world, 1)
            .insured(&[row(&new, 1, Change::New, new.insured.clone())])
            .records(&[row(old, 900, Change::New, work)])
            .records(&[row(old, 900, Change::New, purchase)])
            .finish()
            .unwrap();
        assert_eq!(rules(&world.import(used).await), Vec::<&str>::new());
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let handle = platform.handle_of(&officer, key).await.unwrap();
        let left = async |kind| {
            let view = platform.view_kind(&officer, &handle, kind, asked(None), &context()).await.unwrap();
            assert!(view.documents.is_empty(), "the records stay under their number");
            view.allowance.unwrap().remaining
        };
        assert_eq!((left(Kind::E1).await, left(Kind::E2).await), (200_000, 100_000), "nothing ties the numbers yet");

        let link =
            NumberLink { before: old.insured.key, changed_on: date(2026, 11, 1), reason: LinkReason::Renumbered };
        let files = package(&world, 2).links(&[row(&new, 1, Change::New, link)]).finish().unwrap();
        assert_eq!(rules(&world.import(files).await), Vec::<&str>::new());
        let (works, purchases) = (left(Kind::E1).await, left(Kind::E2).await);
        assert_eq!((works, purchases), (110_000, 40_000));
        let page = platform.view_person(&officer, &handle, &context()).await.unwrap();
        let on_page = |kind: Kind| page.kinds.iter().find(|view| view.kind == kind).unwrap().allowance.clone().unwrap();
        assert_eq!((on_page(Kind::E1).remaining, on_page(Kind::E2).remaining), (works, purchases));
        let files = package(&world, 3).links(&[row(&new, 1, Change::Deleted, link)]).finish().unwrap();
        world.import(files).await;
        assert_eq!(left(Kind::E1).await, 200_000, "a link that was taken back");
    }
}
