//! Bad files and repeated files: each fault gets a located Japanese message, the rest is still judged, nothing is
//! half-applied, nothing is lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::dates::{self, ServiceMonth};
use kiban_domain::office::JobType;
use kiban_domain::{Kind, PersonKey};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage, MunicipalValue, open};
use kiban_service::{Error, IntakeResult};
use kiban_sim::faults::{faulty_packages, faulty_plans, wrong_sequences};
use kiban_sim::{Role, city_package};
use support::{World, addresses, asked, context, items, now};

async fn documents(world: &World, person: PersonKey) -> usize {
    world.platform.store().record_headers(person).await.unwrap().len()
}

fn errors(result: &IntakeResult) -> Vec<String> {
    result
        .report
        .problems
        .iter()
        .filter(|problem| problem.severity == "error")
        .map(|problem| problem.rule.clone())
        .collect()
}

#[tokio::test]
async fn every_faulty_package_says_where_and_what_and_leaves_the_rest_sound() {
    for address in addresses().await {
        let world = World::new(address).await;
        for faulty in faulty_packages(&world.city.spec).unwrap() {
            let result = world.import(faulty.files.clone()).await;
            let problem = result.report.problems.iter().find(|problem| problem.rule == faulty.rule);
            let problem = problem.unwrap_or_else(|| panic!("{}: {:?}", faulty.name, result.report.problems));
            assert!(
                problem.message.chars().any(|c| ('あ'..='ん').contains(&c)),
                "{}: {}",
                faulty.name,
                problem.message
            );
            if result.state == "refused" {
                assert_eq!(result.report.counts.applied, 0, "{}", faulty.name);
            } else {
                assert!(
                    result.report.counts.refused > 0,
                    "{}: a faulty row was counted as sound: {result:?}",
                    faulty.name
                );
            }
            assert_eq!(
                result.report.counts.read,
                result.report.counts.applied + result.report.counts.unchanged + result.report.counts.refused,
                "{}",
                faulty.name
            );
        }
    }
}

#[tokio::test]
async fn the_same_files_twice_are_one_receipt_and_change_nothing() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let person = world.cast.consenting.insured.key;
        let before = documents(&world, person).await;
        let again = world.import(city_package(&world.city).unwrap()).await;
        assert!(again.repeated);
        assert_eq!(documents(&world, person).await, before);
    }
}

#[tokio::test]
async fn an_older_history_number_never_overwrites_a_newer_one() {
    for address in addresses().await {
        let world = World::new(address).await;
        let mut insured = world.cast.consenting.insured.clone();
        let package = |insured: &kiban_domain::insured::Insured, history: u32, hour: i64| {
            let at = now() + jiff::SignedDuration::from_hours(hour);
            let entry = Entry { key: insured.key, history, change: Change::New, value: insured.clone() };
            MunicipalPackage::new(insured.key.insurer, at).insured(&[entry]).finish().unwrap()
        };
        insured.identity.address = Some("架空県見本市新町９番".into());
        world.import(package(&insured, 2, 0)).await;
        insured.identity.address = Some("架空県見本市旧町１番".into());
        let older = world.import(package(&insured, 1, 1)).await;
        let [problem] = &older.report.problems[..] else { panic!("{:?}", older.report.problems) };
        assert_eq!(problem.rule, "older_history");
        assert_eq!((problem.file.contains("INSURED"), problem.line, problem.item.as_str()), (true, 2, "履歴番号"));
        assert_eq!(older.report.counts.applied, 1, "it is kept as history (P-023)");
        let versions = world.platform.store().person_versions(insured.key).await.unwrap();
        let addresses: Vec<_> =
            versions.iter().map(|(_, stored)| stored.identity.address.as_deref().unwrap()).collect();
        assert_eq!(addresses, ["架空県見本市新町９番", "架空県見本市旧町１番"]);
    }
}

#[tokio::test]
async fn consent_dated_in_the_future_or_taken_by_an_unknown_office_is_refused_with_its_line() {
    let world = World::new(None).await;
    for (name, rule) in [("future-consent", "act_in_future"), ("unknown-office", "unknown_office")] {
        let sequences = wrong_sequences(&world.city.spec).unwrap();
        let sequence = sequences.into_iter().find(|sequence| sequence.name == name).unwrap();
        for files in sequence.packages {
            let result = world.import(files).await;
            let problem = result.report.problems.iter().find(|problem| problem.rule == rule).unwrap();
            assert_eq!((problem.line, problem.file.contains("CONSENT")), (2, true), "{}", problem.message);
        }
    }
}

#[tokio::test]
async fn a_withheld_flag_is_never_cleared_by_a_file() {
    let world = World::loaded(None).await;
    let mut insured = world.cast.withheld.insured.clone();
    insured.withheld = false;
    let entry = Entry { key: insured.key, history: 2, change: Change::Corrected, value: insured.clone() };
    let result =
        world.import(MunicipalPackage::new(insured.key.insurer, now()).insured(&[entry]).finish().unwrap()).await;
    let problem = result.report.problems.iter().find(|problem| problem.rule == "withheld_kept").unwrap();
    assert_eq!((problem.file.contains("INSURED"), problem.line, problem.item.as_str()), (true, 2, "不開示区分"));
    assert!(world.platform.store().person(insured.key).await.unwrap().unwrap().0.withheld);
}

#[tokio::test]
async fn two_packages_at_once_end_like_one_after_the_other() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let person = &world.cast.consenting;
        let package = |rate: u8, history: u32| {
            let mut value = person.copayment.clone().unwrap();
            value.rows[0].rate = kiban_domain::insurance_card::Tenths::new(rate).unwrap();
            let entry = Entry { key: person.insured.key, history, change: Change::New, value };
            MunicipalPackage::new(world.city.insurer, now()).copayment_rates(&[entry]).finish().unwrap()
        };
        let (a, b) = tokio::join!(world.import(package(2, 7)), world.import(package(3, 8)));
        assert_eq!((a.state, b.state), ("applied", "applied"));
        let headers = world.platform.store().record_headers(person.insured.key).await.unwrap();
        let keys: Vec<_> =
            headers.iter().filter(|h| h.kind == Kind::A3b).map(|h| h.natural_key.trim_start_matches('0')).collect();
        assert!(keys.contains(&"7") && keys.contains(&"8"), "{keys:?}");
    }
}

#[tokio::test]
async fn a_row_about_an_unknown_person_is_named_and_the_others_are_applied() {
    let world = World::loaded(None).await;
    let known = &world.cast.consenting;
    let stranger =
        PersonKey { insured: kiban_domain::InsuredNumber::parse("9999999999").unwrap(), ..known.insured.key };
    let value = known.copayment.clone().unwrap();
    let entries =
        [known.insured.key, stranger].map(|key| Entry { key, history: 9, change: Change::New, value: value.clone() });
    let result = world
        .import(MunicipalPackage::new(world.city.insurer, now()).copayment_rates(&entries).finish().unwrap())
        .await;
    assert_eq!((result.report.counts.applied, result.report.counts.refused), (1, 1));
    assert_eq!(errors(&result), ["unknown_person"]);
    let problem = result.report.problems.iter().find(|problem| problem.rule == "unknown_person").unwrap();
    assert_eq!((problem.file.contains("A3B"), problem.line, problem.item.as_str()), (true, 3, "被保険者番号"));
}

#[tokio::test]
async fn a_faulty_care_plan_is_refused_whole_and_a_sound_one_needs_the_person_registered() {
    let world = World::loaded(None).await;
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let month = ServiceMonth::of(dates::day_in_japan(now()));
    let person = &world.cast.consenting;
    let generator = kiban_sim::Generator::new(&world.city.spec);
    let sound = kiban_sim::care_plan_files(&generator, person, month).unwrap();

    let early = world.platform.import_plans(&manager, sound.clone(), &context()).await.unwrap();
    assert_eq!((early.state, early.report.problems[0].rule.as_str()), ("refused", "not_assigned"));

    world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
    for faulty in faulty_plans(&world.city.spec, month).unwrap() {
        let result = world.platform.import_plans(&manager, faulty.files.clone(), &context()).await.unwrap();
        assert!(
            result.report.problems.iter().any(|problem| problem.rule == faulty.rule),
            "{}: {:?}",
            faulty.name,
            result.report.problems
        );
        if result.report.problems.iter().any(|problem| problem.severity == "error") {
            assert_eq!((result.state, result.report.counts.applied), ("refused", 0), "{}", faulty.name);
        }
    }
    let done = world.platform.import_plans(&manager, sound.clone(), &context()).await.unwrap();
    assert_eq!((done.state, done.report.counts.applied), ("applied", 2), "{:?}", done.report.problems);
    let again = world.platform.import_plans(&manager, sound, &context()).await.unwrap();
    assert_eq!((again.receipt, again.repeated), (done.receipt, true));

    let helper = world.office(Role::HomeHelp, JobType::CareWorker).await;
    assert!(matches!(world.platform.import_plans(&helper, Vec::new(), &context()).await, Err(Error::Refused(_))));
}

#[test]
fn the_reader_hands_out_what_the_simulator_wrote() {
    let spec = kiban_sim::CitySpec::sample(3, 20, dates::day_in_japan(now())).unwrap();
    let package = open(city_package(&kiban_sim::City::generate(&spec)).unwrap());
    let mut people = 0;
    let problems = package.check(&mut |row| people += usize::from(matches!(row.value, MunicipalValue::Insured(_))));
    assert_eq!((people, problems.len()), (20, 0));
}
