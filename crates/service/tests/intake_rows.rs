//! What is told of single rows when a package is applied: at its item, and only what is wrong is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use jiff::civil::date;
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress};
use kiban_domain::dates::{self, Period};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::{CopaymentPeriod, CopaymentRate, Tenths};
use kiban_domain::insured::{Insured, LinkReason, NumberLink};
use kiban_domain::office::{JobType, Office};
use kiban_domain::{Date, InsuredNumber, Kind, OfficeNumber, PersonKey};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{IntakeResult, ReportedProblem};
use kiban_sim::faults::UNKNOWN_OFFICE;
use kiban_sim::{Role, city_package};
use support::{World, addresses, asked, context, items, now};

fn package(world: &World, minutes: i64) -> MunicipalPackage {
    MunicipalPackage::new(world.city.insurer, now() + jiff::SignedDuration::from_mins(minutes))
}

fn row<T>(key: PersonKey, history: u32, value: T) -> Entry<T> {
    Entry { key, history, change: Change::New, value }
}

fn one(result: &IntakeResult) -> &ReportedProblem {
    let [problem] = &result.report.problems[..] else { panic!("{:#?}", result.report.problems) };
    problem
}

fn work(day: Date, eligible: u32) -> HomeModification {
    HomeModification {
        dwelling: 9,
        cost: eligible,
        eligible,
        paid: 0,
        copayment: None,
        ..HomeModification::example(day, CareLevel::Care1)
    }
}

#[tokio::test]
async fn a_request_to_a_hospital_nobody_registered_is_left_out_and_the_rest_of_the_row_is_taken() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let key = world.cast.consenting.insured.key;
        let hospital = OfficeNumber::parse(UNKNOWN_OFFICE).unwrap();
        let mut progress = CertificationProgress::apply(date(2026, 11, 2), ApplicationKind::Change);
        progress.opinion_requested_on = Some(date(2026, 11, 4));
        progress.opinion_requested_from = Some(hospital);
        let send = async |minutes| {
            world.import(package(&world, minutes).progress(&[row(key, 90, progress.clone())]).finish().unwrap()).await
        };
        let result = send(1).await;
        assert_eq!((result.report.counts.applied, result.report.counts.refused), (1, 0));
        let problem = one(&result);
        assert_eq!((problem.rule.as_str(), problem.severity.as_str()), ("unknown_office", "warning"));
        assert_eq!((problem.line, problem.column, problem.item.as_str()), (2, 11, "意見書依頼先医療機関コード"));
        assert!(problem.message.contains(UNKNOWN_OFFICE) && problem.message.contains("つながりだけを除きました"));
        let is_asked = async || world.platform.store().has_opinion_request(key, "0000000090").await.unwrap();
        assert!(!is_asked().await);

        // Registered afterwards, and the same row sent again: now it is asked.
        let template = world.city.offices.iter().find(|office| office.office.is_hospital).unwrap();
        let office = Office { number: hospital, ..template.office.clone() };
        world.platform.put_offices(&[office], true, &context()).await.unwrap();
        let result = send(2).await;
        assert_eq!((result.report.counts.unchanged, result.report.problems.len()), (1, 0));
        assert!(is_asked().await);
    }
}

#[tokio::test]
async fn what_is_found_in_applying_is_told_at_its_item() {
    let world = World::loaded(None).await;
    let person = &world.cast.consenting;
    let key = person.insured.key;
    let rate = person.copayment.clone().unwrap();
    let stranger = PersonKey { insured: InsuredNumber::parse("9999999999").unwrap(), ..key };
    let result =
        world.import(package(&world, 1).copayment_rates(&[row(stranger, 1, rate.clone())]).finish().unwrap()).await;
    let problem = one(&result);
    assert_eq!((problem.rule.as_str(), problem.column, problem.item.as_str()), ("unknown_person", 2, "被保険者番号"));

    let mut moved = person.insured.clone();
    moved.identity.address = Some("架空県見本市新町９番".into());
    let result = world.import(package(&world, 2).insured(&[row(key, 1, moved.clone())]).finish().unwrap()).await;
    let problem = one(&result);
    assert_eq!((problem.rule.as_str(), problem.column, problem.item.as_str()), ("key_exists", 3, "履歴番号"));
    assert!(problem.message.contains("「1」となっています"), "{}", problem.message);

    moved.card_insurer = kiban_domain::InsurerNumber::parse("232074").unwrap();
    let result = world.import(package(&world, 3).insured(&[row(key, 8, moved)]).finish().unwrap()).await;
    let problem = one(&result);
    assert_eq!((problem.rule.as_str(), problem.column, problem.item.as_str()), ("card_insurer", 5, "証記載保険者番号"));

    let deleted = [Entry { change: Change::Deleted, ..row(key, 77, rate) }];
    let result = world.import(package(&world, 4).copayment_rates(&deleted).finish().unwrap()).await;
    let problem = one(&result);
    assert_eq!((problem.rule.as_str(), problem.column, problem.item.as_str()), ("delete_unknown", 3, "履歴番号"));

    let gone = [Entry { change: Change::Deleted, ..row(key, 1, person.insured.clone()) }];
    let result = world.import(package(&world, 5).insured(&gone).finish().unwrap()).await;
    let problem = one(&result);
    assert_eq!((problem.rule.as_str(), problem.column, problem.item.as_str()), ("delete_person", 4, "異動区分"));
    assert_eq!((result.state, result.report.counts.refused), ("applied", 1));
}

#[tokio::test]
async fn uses_beyond_a_limit_are_told_with_what_is_recorded_also_under_the_number_before() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let old = world.cast.consenting.insured.clone();
        let new = Insured {
            key: PersonKey { insured: InsuredNumber::parse("0009999991").unwrap(), ..old.key },
            ..old.clone()
        };
        let purchase = |day: Date| EquipmentPurchase {
            cost: 60_000,
            eligible: 60_000,
            paid: 0,
            ..EquipmentPurchase::example(day)
        };
        let day = dates::day_in_japan(now());
        let link = NumberLink { before: old.key, changed_on: day, reason: LinkReason::Renumbered };
        let files = package(&world, 1)
            .insured(&[row(new.key, 1, new.clone())])
            .records(&[row(old.key, 900, work(date(2025, 5, 1), 150_000))])
            .records(&[row(old.key, 900, purchase(date(2012, 5, 1)))])
            .links(&[row(new.key, 1, link)])
            .finish()
            .unwrap();
        let result = world.import(files).await;
        assert!(result.report.problems.is_empty(), "{:?}", result.report.problems);

        let files = package(&world, 2)
            .records(&[
                row(new.key, 1, work(date(2026, 5, 1), 50_000)),
                row(new.key, 2, work(date(2026, 6, 1), 10_000)),
            ])
            .records(&[row(new.key, 1, purchase(date(2012, 9, 1)))])
            .finish()
            .unwrap();
        let result = world.import(files).await;
        assert_eq!((result.report.counts.applied, result.report.counts.refused), (3, 0), "they are taken");
        let told: Vec<_> = result.report.problems.iter().map(|p| (p.rule.as_str(), p.line, p.item.as_str())).collect();
        assert_eq!(
            told,
            [("over_allowance", 3, "支給対象額"), ("over_allowance", 2, "支給対象額"), ("bought_again", 2, "種目")]
        );
        let words = &result.report.problems[0].message;
        assert!(
            words.contains("210000 円") && words.contains("前の番号の履歴番号 900") && words.contains("2行目"),
            "{words}"
        );
        assert!(result.report.problems[1].message.contains("2012年度"), "{:?}", result.report.problems[1]);
        // What was recorded by then counts for a later package by its 履歴番号.
        let files = package(&world, 3).records(&[row(new.key, 3, work(date(2026, 7, 1), 5_000))]).finish().unwrap();
        let words = one(&world.import(files).await).message.clone();
        assert!(words.contains("215000 円") && words.contains("登録済みの履歴番号 2"), "{words}");
    }
}

#[tokio::test]
async fn a_row_that_stands_twice_is_there_once_and_nothing_is_refused() {
    let world = World::loaded(None).await;
    let person = &world.cast.consenting;
    let mut rate = person.copayment.clone().unwrap();
    rate.issued_on = date(2026, 7, 1);
    let rows = [row(person.insured.key, 50, rate.clone()), row(person.insured.key, 50, rate)];
    let files = package(&world, 1).copayment_rates(&rows).finish().unwrap();
    let result = world.import(files.clone()).await;
    let counts = result.report.counts;
    assert_eq!((counts.read, counts.applied, counts.unchanged, counts.refused), (2, 1, 1, 0));
    assert_eq!((one(&result).rule.as_str(), one(&result).severity.as_str()), ("duplicate_row", "warning"));
    assert!(world.import(files).await.repeated, "nothing has to be sent again");
}

#[tokio::test]
async fn a_file_named_by_an_individual_number_is_refused_without_the_number_and_not_kept() {
    let world = World::new(None).await;
    let mut files = city_package(&world.city).unwrap();
    files.push(("KGKB_A5_123456789018.csv".to_owned(), Vec::new()));
    let result = world.import(files).await;
    assert_eq!(result.state, "refused");
    assert!(result.report.problems.iter().any(|problem| problem.rule == "individual_number"));
    assert!(!serde_json::to_string(&result.report).unwrap().contains("123456789018"));
    let kept = world.platform.store().upload_files(world.city.insurer, &result.receipt).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

/// P-073 of the yearly round: offices see the new rate with their next request.
#[tokio::test]
async fn after_the_yearly_round_an_office_reads_the_new_rate_at_once() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.consenting;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let platform = &world.platform;
        let handle = platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
        let newest = async || {
            let view = platform.view_kind(&manager, &handle, Kind::A3b, asked(None), &context()).await.unwrap();
            serde_json::from_value::<CopaymentRate>(view.documents[0].content.clone()).unwrap()
        };
        let before = newest().await;
        // The round of the whole city in one package: everybody's next year, this person's at another rate.
        let next = |tenths| CopaymentRate {
            issued_on: date(2026, 11, 15),
            rows: vec![CopaymentPeriod {
                rate: Tenths::new(tenths).unwrap(),
                period: Period::new(date(2027, 8, 1), Some(date(2028, 7, 31))).unwrap(),
            }],
        };
        let changed = if before.rows[0].rate.get() == 3 { 1 } else { 3 };
        let round: Vec<_> = world
            .city
            .people
            .iter()
            .filter(|other| other.copayment.is_some())
            .map(|other| {
                let tenths = if other.insured.key == person.insured.key { changed } else { 1 };
                row(other.insured.key, 1_000, next(tenths))
            })
            .collect();
        assert!(round.iter().any(|entry| entry.key == person.insured.key) && round.len() > 5);
        let result = world.import(package(&world, 1).copayment_rates(&round).finish().unwrap()).await;
        assert_eq!(result.report.counts.applied, round.len() as i64, "{:?}", result.report.problems);
        let after = newest().await;
        assert_eq!((after.rows[0].rate.get(), after.rows[0].period.from()), (changed, date(2027, 8, 1)));
        assert_ne!(after, before);
    }
}
