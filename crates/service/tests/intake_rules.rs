//! What a city's files say about people: moves, deaths, new numbers, unions, consents the platform knows better.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, IdentityProof};
use kiban_domain::dates::Period;
use kiban_domain::insurance_card::{FacilityStay, PlanningOffice};
use kiban_domain::insured::{Insured, LinkReason, LossReason, NumberLink};
use kiban_domain::office::JobType;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, OfficeNumber, Organization, PersonKey, dates};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{ExportContents, ExportPart, IntakeResult, OfficeDecision};
use kiban_sim::Role;
use kiban_store::StoredMember;
use support::{World, addresses, asked, context, items, now};

fn package(world: &World, minutes: i64) -> MunicipalPackage {
    MunicipalPackage::new(world.city.insurer, now() + jiff::SignedDuration::from_mins(minutes))
}

fn corrected(insured: &Insured, history: u32) -> Entry<Insured> {
    Entry { key: insured.key, history, change: Change::New, value: insured.clone() }
}

fn rules(result: &IntakeResult) -> Vec<&str> {
    result.report.problems.iter().map(|problem| problem.rule.as_str()).collect()
}

#[tokio::test]
async fn whatever_ends_the_insurance_puts_the_registrations_before_the_city_by_its_name_and_before_the_office_without()
{
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let city = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let mut others = world.city.people[5..].iter().filter(|p| !p.insured.withheld && p.insured.lost.is_none());
        let reasons = [
            (&world.cast.consenting, LossReason::MovedOut, "moved_out", "転出により資格を喪失しました"),
            (others.next().unwrap(), LossReason::Died, "died", "死亡により資格を喪失しました"),
            (others.next().unwrap(), LossReason::Other, "lost", "資格を喪失しました"),
        ];
        for (minutes, (person, reason, cause, name)) in (1..).zip(reasons) {
            world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
            let mut gone = person.insured.clone();
            gone.lost = Some((dates::day_in_japan(now()), reason));
            let result = world.import(package(&world, minutes).insured(&[corrected(&gone, 9)]).finish().unwrap()).await;
            assert_eq!((result.state, result.report.counts.applied), ("applied", 1), "{:?}", rules(&result));
            let reviews = world.platform.reviews(&city, None, asked(10), &context()).await.unwrap();
            let number = person.insured.key.insured.to_string();
            let review = reviews.iter().find(|review| review.insured_number == number).unwrap();
            assert_eq!((review.cause, &review.source), (cause, &result.receipt), "{reason:?}");
            assert_eq!(review.cause_name, name);
            assert_eq!(Some(review.office), manager.organization.office());
        }
        let notices = world.platform.notices(&manager, asked(notice_page()), &context()).await.unwrap();
        assert_eq!(notices.len(), 3, "{notices:?}");
        for notice in notices {
            assert_eq!(notice.facts["cause"], "lost", "the office is not told that somebody moved or died");
            assert!(!format!("{notice:?}").contains("死亡") && !format!("{notice:?}").contains("転出"), "{notice:?}");
        }
    }
}

#[tokio::test]
async fn a_person_who_moved_out_puts_the_registrations_before_the_city() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.consenting;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
        let mut gone = person.insured.clone();
        gone.lost = Some((dates::day_in_japan(now()), LossReason::MovedOut));
        let result = world.import(package(&world, 1).insured(&[corrected(&gone, 2)]).finish().unwrap()).await;
        assert_eq!((result.state, result.report.counts.applied), ("applied", 1), "{:?}", rules(&result));
        let reviews = world.platform.store().reviews(world.city.insurer, None, 10).await.unwrap();
        let told: Vec<_> = reviews.iter().map(|review| (review.person, review.cause.code())).collect();
        assert_eq!(told, [(person.insured.key, "moved_out")]);
        assert_eq!(reviews[0].source, result.receipt);
        // The office hears of it, not of why the person left (P-149).
        let notice = told_to(&world, &manager).await;
        assert_eq!(notice.facts["cause"], "lost");
        assert_eq!(notice.facts["viewable_until"], "2027-02-28");
        assert!(!format!("{notice:?}").contains("転出"), "{notice:?}");
        let other = world.office(Role::HiddenPlanning, JobType::CareManager).await;
        let nothing = world.platform.notices(&other, asked(notice_page()), &context()).await.unwrap();
        assert!(nothing.is_empty(), "{nothing:?}");
        // The same again is no second review and no second notice.
        gone.identity.postal_code = Some("999-0009".to_owned());
        world.import(package(&world, 2).insured(&[corrected(&gone, 3)]).finish().unwrap()).await;
        told_to(&world, &manager).await;
    }
}

fn notice_page() -> kiban_service::NoticePage {
    kiban_service::NoticePage { limit: 10, ..kiban_service::NoticePage::default() }
}

/// The only notice of an office, that of a review.
async fn told_to(world: &World, office: &kiban_service::Caller) -> kiban_service::NoticeView {
    let mut notices = world.platform.notices(office, asked(notice_page()), &context()).await.unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].kind, kiban_domain::notice::NoticeKind::RegistrationReview);
    assert!(notices[0].person.is_some(), "{notices:?}");
    notices.remove(0)
}

#[tokio::test]
async fn that_a_withheld_person_is_in_a_facility_is_told_only_to_an_office_the_city_confirmed() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.consenting;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
        let mut hidden = person.insured.clone();
        hidden.withheld = true;
        let mut card = person.card.clone();
        let stay = Period::new(dates::day_in_japan(now()), None).unwrap();
        card.facilities =
            vec![FacilityStay { kind: "介護老人福祉施設".into(), name: "特養みほん".into(), stay }];
        let card = Entry { key: person.insured.key, history: 70, change: Change::New, value: card };
        world.import(package(&world, 1).insured(&[corrected(&hidden, 2)]).cards(&[card]).finish().unwrap()).await;
        let notice = told_to(&world, &manager).await;
        assert!(notice.facts["cause"].is_null() && notice.facts["cause_name"].is_null(), "{notice:?}");
        assert_eq!(notice.facts["viewable_until"], "2027-02-28");

        let city = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let at_city = world.platform.find_insured(&city, asked(person.insured.key.insured), &context()).await.unwrap();
        let office = manager.organization.office().unwrap();
        let confirm = asked(OfficeDecision::Confirm);
        world.platform.decide_office(&city, &at_city, office, confirm, &context()).await.unwrap();
        assert_eq!(told_to(&world, &manager).await.facts["cause"], "facility");
    }
}

#[tokio::test]
async fn a_card_that_names_another_planning_office_puts_the_one_before_in_review_once() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.consenting;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let successor = world.office(Role::HiddenPlanning, JobType::CareManager).await;
        let helper = world.office(Role::HomeHelp, JobType::CareWorker).await;
        for (caller, plans) in [(&manager, true), (&helper, false)] {
            world.platform.register_office(caller, asked(items(person, plans)), &context()).await.unwrap();
        }
        let (old, new) = (manager.organization.office().unwrap(), successor.organization.office().unwrap());
        let today = dates::day_in_japan(now());
        let named = |history, filings: &[(OfficeNumber, Date)]| {
            let mut card = person.card.clone();
            let office = |(office, filed_on): &(OfficeNumber, Date)| PlanningOffice {
                office: *office,
                name: "事業所".into(),
                filed_on: *filed_on,
            };
            card.planning_offices = filings.iter().map(office).collect();
            Entry { key: person.insured.key, history, change: Change::New, value: card }
        };
        let waiting = async || {
            let reviews = world.platform.store().reviews(world.city.insurer, None, 10).await.unwrap();
            reviews.iter().map(|review| (review.office, review.cause.code())).collect::<Vec<_>>()
        };
        let (before, tomorrow) = (today.yesterday().unwrap(), today.tomorrow().unwrap());
        // Neither the own office nor one that was named before this one registered puts anything in doubt.
        for (minute, filings) in [(1, [(new, before), (old, today)]), (2, [(old, before), (new, before)])] {
            let row = named(70 + minute, &filings);
            world.import(package(&world, minute.into()).cards(&[row]).finish().unwrap()).await;
            assert_eq!(waiting().await, []);
        }
        let row = named(75, &[(old, before), (new, today)]);
        world.import(package(&world, 5).cards(&[row]).finish().unwrap()).await;
        assert_eq!(waiting().await, [(old, "planning_office")], "a helper plans nothing");
        let notice = told_to(&world, &manager).await;
        assert_eq!(notice.facts["cause"], "planning_office");
        assert!(!format!("{notice:?}").contains(new.as_str()), "whose card it is, not which office: {notice:?}");

        // What the city decided holds until a later filing.
        let city = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let at_city = world.platform.find_insured(&city, asked(person.insured.key.insured), &context()).await.unwrap();
        let keep = asked(OfficeDecision::Keep);
        world.platform.decide_office(&city, &at_city, old, keep, &context()).await.unwrap();
        // The later one stands in a package that was made on its day.
        for (minute, filed_on, expected) in [(6, today, 0), (20 * 60, tomorrow, 1)] {
            let row = named(70 + minute, &[(old, before), (new, filed_on)]);
            world.import(package(&world, minute.into()).cards(&[row]).finish().unwrap()).await;
            assert_eq!(waiting().await.len(), expected, "filed on {filed_on}");
        }
    }
}

/// Rows of 番号異動 in an export.
async fn exported_links(world: &World) -> Option<u64> {
    let mut export =
        world.platform.export_package_locally(world.city.insurer, ExportContents::Present, &context()).await.unwrap();
    while let Some(part) = export.parts.recv().await {
        if let ExportPart::Done(report) = part.unwrap() {
            return report.rows.get("LINK").copied();
        }
    }
    panic!("the export ended early");
}

#[tokio::test]
async fn a_renumbered_person_has_both_numbers_and_a_stranger_is_tied_to_nobody() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let old = &world.cast.consenting;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        world.platform.register_office(&manager, asked(items(old, true)), &context()).await.unwrap();
        let key = PersonKey { insured: InsuredNumber::parse("0009999991").unwrap(), ..old.insured.key };
        let new = Insured { key, ..old.insured.clone() };
        let stranger = world.cast.withheld.insured.key;
        let today = dates::day_in_japan(now());
        let link = |before, history| Entry {
            key,
            history,
            change: Change::New,
            value: NumberLink { before, changed_on: today, reason: LinkReason::Renumbered },
        };
        let files = package(&world, 1)
            .insured(&[corrected(&new, 1)])
            .links(&[link(old.insured.key, 1), link(stranger, 2)])
            .finish()
            .unwrap();
        let result = world.import(files).await;
        assert_eq!((result.state, result.report.counts.applied), ("applied", 3), "{:?}", rules(&result));
        let platform = &world.platform;
        assert_eq!(platform.numbers_of(key).await.unwrap(), [key, old.insured.key], "another name is another person");
        assert_eq!(platform.numbers_of(old.insured.key).await.unwrap(), [old.insured.key, key]);
        let causes = platform.store().reviews(world.city.insurer, None, 10).await.unwrap();
        assert!(causes.iter().any(|r| r.cause.code() == "renumbered" && r.person == old.insured.key));
        // The office registers the new number itself.
        let facts = platform.store().person_facts(key, manager.organization, manager.organization.office(), None).await;
        assert!(facts.unwrap().assignment.is_none());

        assert_eq!(exported_links(&world).await, Some(2), "the city's own rows come back to it");

        let back = Entry { change: Change::Deleted, ..link(old.insured.key, 1) };
        world.import(package(&world, 2).links(&[back]).finish().unwrap()).await;
        assert_eq!(platform.numbers_of(key).await.unwrap(), [key]);
        assert_eq!(exported_links(&world).await, Some(1));
    }
}

#[tokio::test]
async fn a_union_sends_for_its_members_once_the_operator_knows_them() {
    for address in addresses().await {
        let world = World::new(address).await;
        let member = InsurerNumber::parse("232074").unwrap();
        let mut insured = world.cast.consenting.insured.clone();
        insured.card_insurer = member;
        let early = world.import(package(&world, 0).insured(&[corrected(&insured, 1)]).finish().unwrap()).await;
        assert_eq!((rules(&early), early.report.counts.refused), (vec!["card_insurer"], 1));

        let always = Period::new(jiff::civil::date(2018, 4, 1), None).unwrap();
        let membership = [StoredMember { union: world.city.insurer, member, period: always }];
        world.platform.put_union_members(&membership, "cli", &context()).await.unwrap();
        let result = world.import(package(&world, 0).insured(&[corrected(&insured, 1)]).finish().unwrap()).await;
        assert_eq!((result.repeated, result.report.counts.applied), (false, 1), "{:?}", rules(&result));
        // Whoever types the number on the card finds the person of the union (P-038).
        world.start().await;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let mut typed = items(&world.cast.consenting, false);
        typed.card_insurer = member;
        assert!(world.platform.register_office(&manager, asked(typed), &context()).await.is_ok());
    }
}

#[tokio::test]
async fn a_city_learns_that_a_later_withdrawal_holds() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let key = world.cast.consenting.insured.key;
        let act = |act, hours: i64| ConsentRecord {
            person: key,
            act,
            acted_at: now() - jiff::SignedDuration::from_hours(hours),
            declarant: Declarant::Person,
            proof: IdentityProof::InsuranceCard,
            taken_by: Organization::Municipality(world.city.insurer),
            staff: None,
            form: "同意様式 第1版".into(),
            remark: None,
            leaflet: None,
            evidence: None,
        };
        let entry = |history, value| Entry { key, history, change: Change::New, value };
        let later = package(&world, 1).consents(&[entry(11, act(ConsentAct::Withdrawn, 1))]).finish().unwrap();
        assert_eq!(rules(&world.import(later).await), Vec::<&str>::new());
        let older = package(&world, 2).consents(&[entry(10, act(ConsentAct::Given, 5))]).finish().unwrap();
        let result = world.import(older).await;
        assert_eq!((rules(&result), result.report.counts.applied), (vec!["consent_differs"], 1));
        assert!(result.report.problems[0].message.contains("撤回") && result.report.problems[0].line == 2);
    }
}

#[tokio::test]
async fn what_was_known_of_a_person_before_stays_and_a_deletion_that_came_early_holds() {
    let world = World::loaded(None).await;
    let person = &world.cast.consenting;
    let mut value = person.copayment.clone().unwrap();
    value.issued_on = jiff::civil::date(2026, 7, 1);
    let entry = |change| Entry { key: person.insured.key, history: 77, change, value: value.clone() };
    let deletion = package(&world, 5).copayment_rates(&[entry(Change::Deleted)]).finish().unwrap();
    assert_eq!(rules(&world.import(deletion).await), ["delete_unknown"]);
    let original = package(&world, 4).copayment_rates(&[entry(Change::New)]).finish().unwrap();
    let result = world.import(original).await;
    assert_eq!((rules(&result), result.report.counts.unchanged), (vec!["superseded"], 1));
}

/// P-023, P-025: a key that is taken is changed by a correction alone, of people and of documents alike.
#[tokio::test]
async fn a_new_row_under_a_taken_key_is_refused_and_a_correction_is_not() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let person = &world.cast.consenting;
        let key = person.insured.key;
        let mut moved = person.insured.clone();
        moved.identity.address = Some("架空県見本市新町９番".into());
        let address_now = async || {
            let (header, insured) = world.platform.store().person(key).await.unwrap().unwrap();
            (header.history_number, insured.identity.address)
        };
        let before = address_now().await;
        let send = async |minutes, insured: &[Entry<Insured>]| {
            world.import(package(&world, minutes).insured(insured).finish().unwrap()).await
        };
        let row = |change, value: &Insured| [Entry { key, history: 1, change, value: value.clone() }];

        let refused = send(1, &row(Change::New, &moved)).await;
        assert_eq!((rules(&refused), refused.report.counts.refused), (vec!["key_exists"], 1));
        assert_eq!((refused.report.problems[0].line, address_now().await), (2, before.clone()));
        let same = send(2, &row(Change::New, &person.insured)).await;
        assert_eq!((rules(&same), same.report.counts.unchanged), (vec![], 1), "the same row again is no other content");
        let corrected = send(3, &row(Change::Corrected, &moved)).await;
        assert_eq!((rules(&corrected), corrected.report.counts.applied), (vec![], 1));
        assert_eq!(address_now().await, (before.0, moved.identity.address.clone()));

        // Documents: another content under a taken number, and a number before the newest.
        let send = async |minutes, day, history, change| {
            let mut value = person.copayment.clone().unwrap();
            value.issued_on = jiff::civil::date(2026, 7, day);
            let entry = Entry { key, history, change, value };
            world.import(package(&world, minutes).copayment_rates(&[entry]).finish().unwrap()).await
        };
        assert_eq!(rules(&send(4, 1, 9, Change::New).await), Vec::<&str>::new());
        let refused = send(5, 2, 9, Change::New).await;
        assert_eq!((rules(&refused), refused.report.counts.refused), (vec!["key_exists"], 1));
        let older = send(6, 2, 8, Change::New).await;
        assert_eq!((rules(&older), older.report.counts.applied), (vec!["older_history"], 1));
        let corrected = send(7, 2, 9, Change::Corrected).await;
        assert_eq!((rules(&corrected), corrected.report.counts.applied), (vec![], 1));
    }
}

/// Decision 0006.36: set beats clear, whatever the key says.
#[tokio::test]
async fn a_row_that_withholds_somebody_is_taken_under_a_taken_key_too() {
    let world = World::loaded(None).await;
    let mut hidden = world.cast.consenting.insured.clone();
    hidden.withheld = true;
    let result = world.import(package(&world, 1).insured(&[corrected(&hidden, 1)]).finish().unwrap()).await;
    assert_eq!((rules(&result), result.report.counts.applied), (vec![], 1));
    assert!(world.platform.store().person(hidden.key).await.unwrap().unwrap().0.withheld);
}
