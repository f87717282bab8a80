//! A package written row by row: cut into files when they are full, and read back as it was.

#![expect(clippy::unwrap_used, reason = "a test that cannot write its files fails")]

use jiff::civil::date;
use kiban_domain::dates::Period;
use kiban_domain::insurance_card::{CopaymentPeriod, CopaymentRate, Tenths};
use kiban_domain::insured::{Identity, Insured, Sex};
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, PersonKey};
use kiban_formats::municipal::{self, Change, EXPORTED, MANIFEST, MunicipalValue, PackageStream};

fn person(number: u32) -> Insured {
    let insurer = InsurerNumber::parse("999003").unwrap();
    Insured {
        key: PersonKey { insurer, insured: InsuredNumber::parse(&format!("{number:010}")).unwrap() },
        card_insurer: insurer,
        identity: Identity {
            name: format!("例示 {number}\n郎"),
            kana: "レイジ".into(),
            birth: date(1940, 2, 3),
            sex: Sex::Male,
            postal_code: None,
            address: Some("架空県見本市, \"例\"町".into()),
            telephone: None,
        },
        withheld: false,
        acquired_on: date(2005, 2, 3),
        lost: None,
        domicile_exception: false,
        acquired_because: None,
        domicile_facility: None,
    }
}

fn rate() -> CopaymentRate {
    let period = Period::new(date(2026, 8, 1), Some(date(2027, 7, 31))).unwrap();
    CopaymentRate {
        issued_on: date(2026, 7, 15),
        rows: vec![CopaymentPeriod { rate: Tenths::new(2).unwrap(), period }],
    }
}

#[test]
fn rows_written_one_by_one_are_read_back_whatever_the_size_of_the_files() {
    let at = "2026-11-22T00:00:00Z".parse().unwrap();
    let insurer = person(1).key.insurer;
    let mut stream = PackageStream::new(insurer, at).full_at(2_000);
    let copayment = EXPORTED.iter().find(|one| one.kind == Kind::A3b).unwrap();
    let content = serde_json::to_vec(&rate()).unwrap();
    let mut files = Vec::new();
    for number in 1..=100 {
        // The record first: the manifest puts people in front all the same.
        files.extend(stream.record(copayment, person(number).key, (3, Change::New), &content).unwrap());
        files.extend(stream.insured((number, Change::New), person(number)).unwrap());
    }
    assert!(files.iter().all(|(name, bytes)| name != MANIFEST && (2_000..3_000).contains(&bytes.len())));
    let early = files.len();
    files.extend(stream.finish().unwrap());
    assert!(early > 4 && files.last().unwrap().0 == MANIFEST);

    let package = municipal::open(files);
    let manifest = package.manifest().unwrap();
    assert_eq!(manifest.files[0].kind, municipal::MunicipalKind::Insured);
    assert_eq!(manifest.files.iter().map(|file| file.rows).sum::<u64>(), 200);
    let (mut people, mut rates) = (Vec::new(), 0);
    let problems = package.check(&mut |row| match row.value {
        MunicipalValue::Insured(insured) => people.push((row.history, *insured)),
        MunicipalValue::CopaymentRate(value) => {
            assert_eq!((value, row.history), (rate(), 3));
            rates += 1;
        }
        other => panic!("{other:?}"),
    });
    assert_eq!((problems, rates), (vec![], 100));
    assert_eq!(people, (1..=100).map(|number| (number, person(number))).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_written_is_named_and_the_rest_is_written() {
    let at = "2026-11-22T00:00:00Z".parse().unwrap();
    let mut stream = PackageStream::new(person(1).key.insurer, at);
    let mut odd = person(1);
    odd.identity.name = "例示\u{0}".into();
    assert!(!stream.insured((1, Change::New), odd).unwrap_err().is_empty());
    let copayment = EXPORTED.iter().find(|one| one.kind == Kind::A3b).unwrap();
    let unreadable = stream.record(copayment, person(1).key, (1, Change::New), b"{}").unwrap_err();
    assert_eq!(unreadable[0].rule, "unreadable");
    stream.insured((1, Change::New), person(2)).unwrap();
    let files = stream.finish().unwrap();
    let mut rows = 0;
    assert_eq!(municipal::open(files).check(&mut |_| rows += 1), vec![]);
    assert_eq!(rows, 1);
}

#[test]
fn a_kind_of_which_no_row_could_be_written_has_no_file() {
    let at = "2026-11-22T00:00:00Z".parse().unwrap();
    let begun = || PackageStream::new(person(1).key.insurer, at);
    for mut stream in [begun(), begun().json()] {
        let mut odd = person(1);
        odd.identity.telephone = Some("099-000-0101（内線）".into());
        assert!(!stream.insured((1, Change::New), odd).unwrap_err().is_empty());
        let copayment = EXPORTED.iter().find(|one| one.kind == Kind::A3b).unwrap();
        let content = serde_json::to_vec(&rate()).unwrap();
        stream.record(copayment, person(1).key, (1, Change::New), &content).unwrap();
        let files = stream.finish().unwrap();
        assert_eq!(files.len(), 2, "the rates and the manifest");
        assert!(files.iter().all(|(name, bytes)| !name.contains("INSURED") && !bytes.is_empty()), "{files:?}");
        let mut rows = 0;
        assert_eq!(municipal::open(files).check(&mut |_| rows += 1), vec![]);
        assert_eq!(rows, 1);
    }
    let mut nothing = begun();
    let mut odd = person(1);
    odd.identity.telephone = Some("099-000-0101（内線）".into());
    nothing.insured((1, Change::New), odd).unwrap_err();
    assert!(nothing.finish().unwrap().is_empty());
}

#[test]
fn nothing_written_is_no_package() {
    let at = "2026-11-22T00:00:00Z".parse().unwrap();
    assert!(PackageStream::new(person(1).key.insurer, at).finish().unwrap().is_empty());
}
