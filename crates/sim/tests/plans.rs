//! Care plans and slips, read by the real reader.

use jiff::civil::date;
use kiban_domain::dates::ServiceMonth;
use kiban_formats::care_plan::read_set;
use kiban_sim::plans::{care_plan, service_slip};
use kiban_sim::{CitySpec, Generator, care_plan_files, cast, office_plan_files, people};

fn spec(people: u32) -> CitySpec {
    CitySpec::sample(1, people, date(2026, 11, 22)).expect("a right number")
}

fn month() -> ServiceMonth {
    ServiceMonth::parse("202612").expect("a month")
}

#[test]
fn plans_and_slips_of_a_person_are_read_as_they_were_meant() {
    let spec = spec(1_500);
    let generator = Generator::new(&spec);
    let mut with_plan = 0;
    for person in people(&spec) {
        let files = care_plan_files(&generator, &person, month()).unwrap();
        if files.is_empty() {
            continue;
        }
        with_plan += 1;
        assert_eq!(files.len(), 7);
        let (received, problems) = read_set(&files);
        assert!(problems.is_empty(), "person {}: {problems:#?}", person.n);
        assert_eq!((received.plans.len(), &received.plans[0].value), (1, &care_plan(&generator, &person).unwrap()));
        let slip = service_slip(&generator, &person, month()).unwrap();
        assert_eq!((received.slips.len(), &received.slips[0].value), (1, &slip));
    }
    assert!((60..250).contains(&with_plan), "{with_plan}");
}

#[test]
fn all_users_of_an_office_go_in_one_unit_of_plans_and_one_of_slips() {
    let spec = spec(2_000);
    let generator = Generator::new(&spec);
    let people: Vec<_> = people(&spec).collect();
    let office = generator.offices()[0].number();
    let files = office_plan_files(&generator, office, &people, month()).unwrap();
    let (received, problems) = read_set(&files);
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(received.plans.len() > 20 && received.plans.len() == received.slips.len());
    assert!(files.iter().all(|(name, _)| name.contains(office.as_str())));
}

#[test]
fn the_files_are_in_the_character_code_of_the_standard() {
    let spec = spec(5);
    let person = cast(&spec).unwrap().consenting;
    let files = care_plan_files(&Generator::new(&spec), &person, month()).unwrap();
    let (_, table1) = files.iter().find(|(name, _)| name.starts_with("UP1KYO_9970000015_43_9970000023_11_")).unwrap();
    assert!(std::str::from_utf8(table1).is_err());
    let mut name = Vec::new();
    kiban_formats::text::encode("居宅介護支援事業所みほん", kiban_formats::text::Encoding::Cp932, &mut name).unwrap();
    assert!(table1.windows(name.len()).any(|bytes| bytes == name));
}

#[test]
fn no_plan_costs_more_than_the_limit_on_the_card() {
    let spec = spec(3_000);
    let generator = Generator::new(&spec);
    for person in people(&spec) {
        let Some(slip) = service_slip(&generator, &person, month()) else { continue };
        let total = slip.table7.last().unwrap().service_units.unwrap();
        let limit = person.card.certified.as_ref().unwrap().limit_units.unwrap();
        assert!(total <= i32::try_from(limit).unwrap(), "person {}", person.n);
        let lines: i32 = slip.lines.iter().filter_map(|line| line.units).sum();
        assert_eq!(lines, total);
    }
}
