//! A package read from a source piece by piece is judged like one in memory, and a large faulty one stays small.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

use kiban_domain::insurance_card::{CopaymentPeriod, CopaymentRate, Tenths};
use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey};
use kiban_formats::municipal::{self, Change, Entry, MunicipalPackage, Source};
use kiban_formats::{Problem, Problems};
use std::io::{self, Read};

type Files = Vec<(String, Vec<u8>)>;

fn rates(numbers: std::ops::Range<u32>) -> Vec<Entry<CopaymentRate>> {
    let rate = CopaymentRate {
        issued_on: jiff::civil::date(2026, 7, 20),
        rows: vec![CopaymentPeriod {
            rate: Tenths::new(1).unwrap(),
            period: kiban_domain::dates::Period::new(
                jiff::civil::date(2026, 8, 1),
                Some(jiff::civil::date(2027, 7, 31)),
            )
            .unwrap(),
        }],
    };
    let key = |n: u32| PersonKey {
        insurer: InsurerNumber::parse("999003").unwrap(),
        insured: InsuredNumber::parse(&format!("{n:010}")).unwrap(),
    };
    numbers.map(|n| Entry { key: key(n), history: 1, change: Change::New, value: rate.clone() }).collect()
}

fn package(parts: &[Vec<Entry<CopaymentRate>>]) -> Files {
    let empty = MunicipalPackage::new(InsurerNumber::parse("999003").unwrap(), "2026-07-20T00:00:00Z".parse().unwrap());
    parts.iter().fold(empty, |package, part| package.copayment_rates(part)).finish().unwrap()
}

/// The files, a few bytes at a time.
struct Slow(Files);

struct Drops<'a>(&'a [u8]);

impl Read for Drops<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let few = self.0.len().min(into.len()).min(997);
        into[..few].copy_from_slice(&self.0[..few]);
        self.0 = &self.0[few..];
        Ok(few)
    }
}

impl Source for Slow {
    fn files(&self) -> usize {
        self.0.len()
    }

    fn name(&self, file: usize) -> &str {
        &self.0[file].0
    }

    fn open(&self, file: usize) -> io::Result<impl Read> {
        Ok(Drops(&self.0[file].1))
    }
}

/// A source that breaks off.
struct Broken(Files);

impl Source for Broken {
    fn files(&self) -> usize {
        self.0.len()
    }

    fn name(&self, file: usize) -> &str {
        &self.0[file].0
    }

    fn open(&self, file: usize) -> io::Result<impl Read> {
        let bytes = &self.0[file].1;
        let half = if file == 0 { bytes.len() } else { bytes.len() / 2 };
        let rest: Box<dyn Read> = if file == 0 { Box::new(io::empty()) } else { Box::new(Fails) };
        Ok(bytes[..half].chain(rest))
    }

    fn sha256(&self, file: usize) -> io::Result<String> {
        Source::sha256(&self.0, file)
    }
}

struct Fails;

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the spool is gone"))
    }
}

#[test]
fn a_package_from_a_slow_source_is_judged_like_one_in_memory() {
    let mut files = package(&[rates(1..9_000), rates(9_000..12_000)]);
    let faulty = files[1].1.windows(10).position(|text| text == b"0000008000").unwrap();
    files[1].1[faulty] = b'x';
    let (mut in_memory, mut from_source) = (Vec::new(), Vec::new());
    let expected = municipal::open(files.clone()).check(&mut |row| in_memory.push(row));
    let found = municipal::open_source(Slow(files)).unwrap().check_source(&mut |row| from_source.push(row)).unwrap();
    assert_eq!(found, expected);
    assert!(found.iter().any(|problem| problem.rule == "digest") && found.iter().any(|p| p.line == 8_001));
    assert_eq!((in_memory.len(), from_source), (3_000, in_memory));
}

#[test]
fn a_source_that_breaks_off_is_no_short_file() {
    let broken = municipal::open_source(Broken(package(&[rates(1..9_000)]))).unwrap();
    assert!(broken.check_source(&mut drop).is_err());
    assert!(broken.count_source(2).is_err());
}

#[test]
fn one_key_in_two_files_of_a_package_is_told_and_taken_once() {
    let mut rows = 0;
    let problems = municipal::open(package(&[rates(1..4), rates(3..6)])).check(&mut |_| rows += 1);
    let told: Vec<_> = problems.iter().map(|problem| (problem.rule.as_ref(), problem.line)).collect();
    assert_eq!((told, rows), (vec![("duplicate_key", 2)], 5));
    let together = municipal::open(package(&[rates(1..4), rates(3..6)])).count_source(2).unwrap();
    assert_eq!((together.problems, together.rows.into_values().sum::<u64>()), (problems, 5));
}

#[test]
fn a_fault_in_every_row_of_many_files_stays_a_short_list_with_counts() {
    let parts: Vec<_> = (0..12).map(|n| rates(n * 2_000 + 1..n * 2_000 + 2_001)).collect();
    let mut files = package(&parts);
    for (name, bytes) in &mut files {
        if name != municipal::MANIFEST {
            let text = String::from_utf8(std::mem::take(bytes)).unwrap();
            *bytes = text.replace(",1,1,2026", ",1,9,2026").into_bytes();
        }
    }
    let package = municipal::open(files);
    let problems = package.check(&mut |_| panic!("no row is sound"));
    assert_eq!(package.count_source(2).unwrap().problems, problems, "whoever reads it");
    assert!(problems.len() <= 5 * Problems::LIMIT + 100, "{}", problems.len());
    assert!(problems.iter().filter(|p| p.rule == "more").count() >= 12, "every file says how many more");
    assert!(problems.iter().all(Problem::is_error));
}
