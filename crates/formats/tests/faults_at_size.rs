//! Rows with one fault each, many of them: the list of problems and the memory stay as they are, the counts are exact.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

use kiban_domain::dates::Period;
use kiban_domain::insurance_card::{CopaymentPeriod, CopaymentRate, Tenths};
use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey};
use kiban_formats::Problem;
use kiban_formats::municipal::{self, Change, Entry, MunicipalPackage, Source, is_manifest};
use std::io::{self, Read};

const FILES: u64 = 8;
/// Said to be the digest of every file: the source says the same.
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A package whose rows are made while they are read, each with a fault of its own.
struct Faulty {
    manifest: String,
    names: Vec<String>,
    head: String,
    row: String,
    rows_of_a_file: u64,
}

impl Faulty {
    fn new(rows: u64) -> Self {
        let insurer = InsurerNumber::parse("999003").unwrap();
        let key = PersonKey { insurer, insured: InsuredNumber::parse("0000000000").unwrap() };
        let period = Period::new(jiff::civil::date(2026, 8, 1), Some(jiff::civil::date(2027, 7, 31))).unwrap();
        let rows_of_rate = vec![CopaymentPeriod { rate: Tenths::new(1).unwrap(), period }];
        let value = CopaymentRate { issued_on: jiff::civil::date(2026, 7, 20), rows: rows_of_rate };
        let entry = [Entry { key, history: 1, change: Change::New, value }];
        let empty = MunicipalPackage::new(insurer, "2026-07-20T00:00:00Z".parse().unwrap());
        let sound = (0..FILES).fold(empty, |package, _| package.copayment_rates(&entry)).finish().unwrap();
        let rows_of_a_file = rows / FILES;
        let (manifests, files): (Vec<_>, Vec<_>) = sound.into_iter().partition(|(name, _)| is_manifest(name));
        let manifest = String::from_utf8(manifests[0].1.clone()).unwrap();
        let line = |line: &str| match line.rsplitn(4, ',').collect::<Vec<_>>()[..] {
            [whole, _, _, rest] if rest.starts_with("KGKB-1") => {
                format!("{rest},{rows_of_a_file},{DIGEST},{whole}\r\n")
            }
            _ => format!("{line}\r\n"),
        };
        let text = String::from_utf8(files[0].1.clone()).unwrap();
        let (head, row) = text.split_once("\r\n").unwrap();
        Self {
            manifest: manifest.lines().map(line).collect(),
            names: files.into_iter().map(|(name, _)| name).collect(),
            head: format!("{head}\r\n"),
            row: row.to_owned(),
            rows_of_a_file,
        }
    }

    /// A day that is none, a number whose check digit is wrong, or a code there is not.
    fn faulty_row(&self, n: u64) -> String {
        let row = self.row.replacen("0000000000", &format!("{n:010}"), 1);
        match n % 3 {
            0 => row.replacen("20260720", "20261340", 1),
            1 => row.replacen("999003", "999004", 1),
            _ => row.replacen(",1,1,", ",1,7,", 1),
        }
    }
}

struct Rows<'a> {
    package: &'a Faulty,
    next: u64,
    last: u64,
    open: Vec<u8>,
    at: usize,
}

impl Read for Rows<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.open.len() && self.next < self.last {
            self.open = self.package.faulty_row(self.next).into_bytes();
            (self.next, self.at) = (self.next + 1, 0);
        }
        let some = into.len().min(self.open.len() - self.at);
        into[..some].copy_from_slice(&self.open[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}

impl Source for Faulty {
    fn files(&self) -> usize {
        self.names.len() + 1
    }

    fn name(&self, file: usize) -> &str {
        if file == 0 { "MANIFEST.csv" } else { &self.names[file - 1] }
    }

    fn open(&self, file: usize) -> io::Result<impl Read> {
        let text: Box<dyn Read> = match file as u64 {
            0 => Box::new(self.manifest.as_bytes()),
            file => {
                let first = (file - 1) * self.rows_of_a_file;
                let (last, open) = (first + self.rows_of_a_file, self.head.clone().into_bytes());
                Box::new(Rows { package: self, next: first, last, open, at: 0 })
            }
        };
        Ok(text)
    }

    fn sha256(&self, _: usize) -> io::Result<String> {
        Ok(DIGEST.to_owned())
    }
}

fn judge(rows: u64) -> Vec<Problem> {
    let mut sound = 0;
    let package = municipal::open_source(Faulty::new(rows)).unwrap();
    let problems = package.check_source(&mut |_| sound += 1).unwrap();
    assert_eq!(sound, 0);
    problems
}

/// How many problems an entry of the list stands for.
fn counted(problem: &Problem) -> u64 {
    if problem.rule != "more" {
        return 1;
    }
    let digits: String = problem.expected.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Highest memory of this process so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_fault_in_every_row_is_counted_exactly_and_costs_no_memory() {
    let (few, many) = (16_000, 96_000);
    let of_few = judge(few);
    let before = peak();
    let of_many = judge(many);
    assert!(peak() - before < 4 << 20, "six times the faults took {} KiB more", (peak() - before) / 1024);
    for (rows, problems) in [(few, &of_few), (many, &of_many)] {
        assert_eq!(problems.iter().map(counted).sum::<u64>(), rows, "every fault is told or counted");
        assert_eq!(problems.iter().filter(|p| p.rule == "more").count() as u64, FILES, "each file says how many more");
        for rule in ["date", "check_digit", "code"] {
            let first = problems.iter().find(|problem| problem.rule == rule);
            assert!(first.is_some_and(|problem| problem.line > 0 && problem.column > 0), "{rule}");
        }
    }
    assert_eq!(of_few.len(), of_many.len());
    assert!(of_many.len() < 5_100, "{}", of_many.len());
}
