//! The canaries of a person are in the person's files and in nobody else's.

use jiff::civil::date;
use kiban_domain::dates::ServiceMonth;
use kiban_sim::canary::canaries;
use kiban_sim::needle::{Needle, find_canary};
use kiban_sim::{City, CitySpec, Generator, care_plan_files, city_package};

#[test]
fn a_person_s_words_stand_in_the_package_and_are_gone_without_the_person() {
    let city = City::generate(&CitySpec::sample(1, 50, date(2026, 11, 22)).unwrap());
    let found = |city: &City, n| {
        let needle = Needle::new(&canaries(n));
        city_package(city).unwrap().iter().any(|(_, bytes)| needle.find(bytes).is_some())
    };
    assert!(found(&city, 23));
    let mut without = city.clone();
    without.people.retain(|person| person.n != 23);
    assert!(!found(&without, 23));
    assert!(found(&without, 24));
}

#[test]
fn every_free_item_of_a_person_carries_a_word() {
    let spec = CitySpec::sample(1, 5, date(2026, 11, 22)).unwrap();
    let generator = Generator::new(&spec);
    let person = generator.person(1).unwrap();
    let identity = &person.insured.identity;
    let words = canaries(1);
    for text in [&identity.name, &identity.kana] {
        assert!(find_canary(text.as_bytes(), &words).is_some(), "{text}");
    }
    for text in [&identity.address, &identity.telephone].into_iter().flatten() {
        assert!(find_canary(text.as_bytes(), &words).is_some(), "{text}");
    }
    let files = care_plan_files(&generator, &person, ServiceMonth::parse("202612").unwrap()).unwrap();
    for prefix in ["UP1KYO", "UP2KYO", "UP3KYO", "UPHOSOKU", "UPSIKYU", "UPPLAN"] {
        let (_, bytes) = files.iter().find(|(name, _)| name.starts_with(prefix)).unwrap();
        let hit = find_canary(bytes, &words).unwrap_or_else(|| panic!("{prefix}"));
        assert!(hit.form == "CP932" || hit.canary == words[2], "{hit:?}");
    }
}
