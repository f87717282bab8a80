//! Packages of the city, read by the real reader.

use jiff::civil::{Date, date};
use kiban_domain::certification::{CareLevel, Step};
use kiban_domain::consent::ConsentState;
use kiban_domain::dates::age_on;
use kiban_domain::insurance_card::CardIssue;
use kiban_domain::insured::LossReason;
use kiban_formats::municipal::{self, MunicipalRow};
use kiban_sim::files::Files;
use kiban_sim::{City, CitySpec, city_package, city_package_json, difference_package, people, write_package_streaming};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

const TODAY: Date = date(2026, 11, 22);

fn spec(seed: u64, people: u32) -> CitySpec {
    CitySpec::sample(seed, people, TODAY).expect("a right number")
}

fn read(files: Files) -> Vec<MunicipalRow> {
    let package = municipal::open(files);
    let mut rows = Vec::new();
    let problems = package.check(&mut |row| rows.push(row));
    let shown: Vec<String> = problems.iter().take(5).map(kiban_formats::Problem::message_ja).collect();
    assert!(problems.is_empty(), "{shown:#?}");
    rows
}

/// Rows a package of the city has.
fn rows_of(city: &City) -> usize {
    let generator = kiban_sim::Generator::new(&city.spec);
    let of = |p: &kiban_sim::SimPerson| {
        let kept = kiban_sim::history::history(&generator, p);
        let kept = kept.applications.len()
            + kept.surveys.len()
            + kept.opinions.len()
            + kept.works.len()
            + kept.purchases.len();
        let cards = usize::from(p.copayment.is_some()) + usize::from(p.ceiling.is_some());
        2 + kept + cards + p.applications.len() + p.consents.len()
    };
    city.people.iter().map(of).sum()
}

#[test]
fn the_same_city_in_json_is_the_same_city() {
    let city = City::generate(&spec(2, 400));
    let values = |files| -> Vec<_> { read(files).into_iter().map(|row| (row.key, row.history, row.value)).collect() };
    assert_eq!(values(city_package_json(&city).unwrap()), values(city_package(&city).unwrap()));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
    let package = |seed| city_package(&City::generate(&spec(seed, 300))).unwrap();
    assert_eq!(package(7), package(7));
    assert_ne!(package(7), package(8));
}

#[test]
fn the_reader_takes_every_row_of_the_city_without_a_remark() {
    let city = City::generate(&spec(1, 6_000));
    let rows = read(city_package(&city).unwrap());
    assert_eq!(rows.len(), rows_of(&city));
}

#[test]
fn a_streamed_city_is_the_same_as_one_in_memory() {
    let spec = spec(3, 5_500);
    let mut streamed: Files = Vec::new();
    write_package_streaming(&spec, &mut |name, bytes| {
        streamed.push((name.to_owned(), bytes.to_vec()));
        Ok::<(), Infallible>(())
    })
    .unwrap();
    let mut whole = city_package(&City::generate(&spec)).unwrap();
    whole.sort();
    streamed.sort();
    assert_eq!(whole, streamed);
    assert_eq!(whole.len(), 23, "two files of each kind and the manifest");
}

#[test]
fn a_person_does_not_depend_on_the_people_before() {
    let city = City::generate(&spec(5, 200));
    let generator = kiban_sim::Generator::new(&spec(5, 200));
    assert_eq!(generator.person(150).as_ref(), city.people.get(149));
    assert_eq!(people(&spec(5, 200)).nth(149).as_ref(), city.people.get(149));
}

#[test]
fn differences_are_taken_by_the_reader_and_follow_the_history() {
    let city = City::generate(&spec(1, 3_000));
    for day in [date(2026, 12, 1), date(2027, 8, 1)] {
        let rows = read(difference_package(&city, day).unwrap());
        let kinds: HashSet<_> =
            rows.iter().map(|row| row.file.split('_').nth(1).unwrap_or_default().to_owned()).collect();
        assert!(kinds.contains("A3A") && kinds.contains("A5") && kinds.contains("CONSENT"), "{kinds:?}");
        assert_eq!(kinds.contains("A3B"), day.month() == 8);
        assert!(rows.iter().all(|row| row.history >= 2));
    }
}

#[test]
fn about_a_fifth_is_certified_older_people_more_often_and_the_levels_are_spread() {
    let city = City::generate(&spec(1, 20_000));
    let level = |p: &kiban_sim::SimPerson| p.level().filter(|level| *level >= CareLevel::Support1);
    let certified = city.people.iter().filter(|p| level(p).is_some()).count();
    assert!((3_200..4_800).contains(&certified), "{certified} of 20000");
    for one in &CareLevel::ALL[2..] {
        let count = city.people.iter().filter(|p| level(p) == Some(*one)).count();
        let share = count * 100 / certified;
        assert!((5..=27).contains(&share), "{one:?} {share} %");
    }
    let share_of = |low, high| {
        let group: Vec<_> =
            city.people.iter().filter(|p| (low..high).contains(&age_on(p.insured.identity.birth, TODAY))).collect();
        group.iter().filter(|p| level(p).is_some()).count() * 100 / group.len()
    };
    assert!(share_of(65, 70) < 6 && share_of(80, 85) > 20 && share_of(90, 95) > 60);
    assert!(city.people.iter().all(|p| (40..=105).contains(&age_on(p.insured.identity.birth, TODAY))));
}

#[test]
fn rates_consents_and_the_rare_cases_have_their_shares() {
    let city = City::generate(&spec(1, 20_000));
    let mut rates: HashMap<u8, usize> = HashMap::new();
    for rate in city.people.iter().filter_map(|p| p.copayment.as_ref()) {
        *rates.entry(rate.rows[0].rate.get()).or_default() += 1;
    }
    let all: usize = rates.values().sum();
    assert!((900..945).contains(&(rates[&1] * 1_000 / all)), "{rates:?}");
    assert!(rates[&2] > rates[&3]);
    let asked: Vec<_> = city.people.iter().filter(|p| !p.applications.is_empty()).collect();
    let live = |p: &&&kiban_sim::SimPerson| {
        let acts = p.consents.iter().map(|record| (&record.act, record.acted_at));
        ConsentState::of(acts).given_at.is_some()
    };
    let share = asked.iter().filter(live).count() * 100 / asked.len();
    assert!((55..70).contains(&share), "{share} % consenting");
    let count = |has: &dyn Fn(&kiban_sim::SimPerson) -> bool| city.people.iter().filter(|p| has(p)).count();
    for (what, number) in [
        ("不開示", count(&|p| p.insured.withheld)),
        ("H番号", count(&|p| p.insured.key.insured.as_str().starts_with('H'))),
        ("証なし", count(&|p| p.card.issue == CardIssue::NeverIssued)),
        ("証紛失", count(&|p| matches!(p.card.issue, CardIssue::Lost(_)))),
        ("転出", count(&|p| matches!(p.insured.lost, Some((_, LossReason::MovedOut))))),
        ("死亡", count(&|p| matches!(p.insured.lost, Some((_, LossReason::Died))))),
        ("住所地特例", count(&|p| p.insured.domicile_exception)),
        ("給付制限", count(&|p| !p.card.restrictions.is_empty())),
        ("負担限度額", count(&|p| p.ceiling.is_some())),
        ("事業対象者", count(&|p| p.level() == Some(CareLevel::ProjectTarget))),
        ("第2号", count(&|p| age_on(p.insured.identity.birth, TODAY) < 65)),
    ] {
        assert!((1..1_500).contains(&number), "{what}: {number}");
    }
}

#[test]
fn applications_stand_at_every_step_and_keep_the_order_of_their_dates() {
    let city = City::generate(&spec(1, 20_000));
    let mut steps: HashMap<Step, usize> = HashMap::new();
    for person in &city.people {
        for progress in &person.applications {
            assert_eq!(progress.disorder(), Vec::<String>::new(), "person {}", person.n);
            assert!(progress.applied_on < TODAY);
            *steps.entry(progress.step()).or_default() += 1;
        }
    }
    for step in [
        Step::Applied,
        Step::Gathering,
        Step::WaitingOpinion,
        Step::WaitingSurvey,
        Step::Complete,
        Step::FirstJudged,
        Step::BoardPlanned,
        Step::BoardDone,
        Step::Decided,
        Step::Notified,
        Step::Closed,
    ] {
        assert!(steps.contains_key(&step), "{step:?} in {steps:?}");
    }
}

#[test]
fn validity_ends_at_a_month_end_and_nothing_lies_in_the_future() {
    let city = City::generate(&spec(2, 5_000));
    let midnight = kiban_domain::dates::instant_in_japan(TODAY.at(0, 0, 0, 0)).unwrap();
    for person in &city.people {
        if let Some(valid) = person.card.certified.as_ref().and_then(|certified| certified.valid) {
            let end = valid.to().unwrap();
            assert_eq!(end, end.last_of_month());
        }
        for consent in &person.consents {
            assert!(consent.acted_at < midnight, "person {}", person.n);
        }
        let mut days: Vec<Date> = person.applications.iter().filter_map(|p| p.result.as_ref()?.notified_on).collect();
        days.push(person.insured.acquired_on);
        assert!(days.iter().all(|day| *day <= TODAY), "person {} {days:?}", person.n);
    }
}

#[test]
fn inside_a_union_the_card_carries_the_number_of_the_member() {
    let member = kiban_domain::InsurerNumber::parse("232074").unwrap();
    let spec = CitySpec { card_insurer: member, ..spec(1, 200) };
    let city = City::generate(&spec);
    let rows = read(city_package(&city).unwrap());
    assert_eq!(rows.iter().filter(|row| row.key.insurer == spec.insurer).count(), rows_of(&city));
    assert!(city.people.iter().all(|p| p.four_items().number.insurer == member));
}

#[test]
fn a_consent_is_never_older_than_the_application_and_closing_acts_come_last() {
    let city = City::generate(&spec(4, 8_000));
    let mut by_office = 0;
    for person in &city.people {
        let Some(first) = person.consents.first() else { continue };
        let applied = person.applications.last().unwrap().applied_on;
        let taken = kiban_domain::dates::day_in_japan(first.acted_at);
        let by_city = matches!(first.taken_by, kiban_domain::Organization::Municipality(_));
        by_office += u32::from(!by_city);
        assert!(taken >= applied || !by_city, "person {}", person.n);
        assert!(person.consents.is_sorted_by_key(|record| record.acted_at));
        assert!(matches!(
            first.act,
            kiban_domain::consent::ConsentAct::Given | kiban_domain::consent::ConsentAct::NotObtainable
        ));
    }
    assert!(by_office > 20);
}

#[test]
fn cities_of_any_seed_and_day_are_taken_without_a_remark() {
    for (seed, today) in [
        (11, date(2026, 4, 1)),
        (12, date(2026, 7, 31)),
        (13, date(2026, 8, 1)),
        (14, date(2027, 1, 1)),
        (15, date(2028, 2, 29)),
        (u64::MAX, date(2026, 12, 31)),
    ] {
        let city = City::generate(&CitySpec { today, ..spec(seed, 1_500) });
        assert!(!read(city_package(&city).unwrap()).is_empty());
        assert!(!read(difference_package(&city, today.saturating_add(jiff::Span::new().days(12))).unwrap()).is_empty());
    }
}
