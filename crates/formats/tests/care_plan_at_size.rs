//! Care-plan files made to be slow: many people whose rows name them in the worst order, many rows that are told apart only by
//! their last items. Whoever looks for each row among all others does not come back from these within the time of a test run.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_formats::Problem;
use kiban_formats::care_plan::{Received, read_set};
use kiban_formats::text::{Encoding, decode};
use std::fmt::Write;
use support::{Files, care_plan, cp932};

const PEOPLE: usize = 20_000;
const ROWS: usize = 60_000;

/// The first row of a file of an example, as text without its end.
fn first_row(files: &Files, start: &str) -> (String, String) {
    let (name, bytes) = files.iter().find(|(name, _)| name.starts_with(start)).unwrap();
    let line = bytes.split(|b| *b == b'\r').next().unwrap();
    (name.clone(), decode(line, Encoding::Cp932).unwrap().into_owned())
}

/// A file of so many rows like this one, each about the person that `who` names.
fn of_people((name, row): (String, String), rows: usize, who: impl Fn(usize) -> usize) -> (String, Vec<u8>) {
    let mut text = String::new();
    for n in 0..rows {
        let row = row.replace("0009900001", &format!("{:010}", who(n)));
        // Only the first names the picture.
        let row = if n == 0 { row } else { without_picture(&row) };
        write!(text, "{row}\r\n").unwrap();
    }
    (name, cp932(&text))
}

fn without_picture(row: &str) -> String {
    match (row.find("\"UPKIHON_IMAGE"), row.find(".jpg\"")) {
        (Some(from), Some(to)) => [&row[..from], &row[to + 5..]].concat(),
        _ => row.to_owned(),
    }
}

fn read(files: &Files) -> (Received, Vec<Problem>) {
    let (received, problems) = read_set(files);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{:?}", problems.first());
    (received, problems)
}

#[test]
fn rows_of_many_people_find_theirs_without_a_look_at_all_others() {
    let files = care_plan("preventive");
    // Each row names somebody far from the one before.
    let far = |n: usize| n * 7_919 % PEOPLE;
    let mut many: Files = vec![
        of_people(first_row(&files, "UPKIHON_99"), PEOPLE, |n| n),
        of_people(first_row(&files, "UPKIHON_SUB1"), ROWS, far),
        of_people(first_row(&files, "UPKIHON_SUB2"), ROWS, far),
        of_people(first_row(&files, "UPYOBO_99"), PEOPLE, |n| n),
        of_people(first_row(&files, "UPYOBO_SUB"), PEOPLE, far),
    ];
    many.extend(files.into_iter().filter(|(name, _)| name.ends_with(".jpg")));
    let (received, _) = read(&many);
    assert_eq!((received.basics.len(), received.preventive_plans.len()), (PEOPLE, PEOPLE));
    for basic in &received.basics {
        assert_eq!((basic.day.len(), basic.illnesses.len()), (ROWS / PEOPLE, ROWS / PEOPLE));
    }
    assert!(received.preventive_plans.iter().all(|plan| plan.issues.len() == 1));
    assert_eq!(received.basics.iter().filter(|basic| basic.picture.is_some()).count(), 1);
}

#[test]
fn rows_that_differ_late_are_told_apart_without_a_look_at_all_others() {
    let (name, row) = first_row(&care_plan("actuals"), "UPJSK");
    let mut text = String::new();
    for n in 0..ROWS {
        write!(text, "{}\r\n", row.replace(",387,", &format!(",{n},"))).unwrap();
    }
    // The last stands twice.
    write!(text, "{}\r\n", row.replace(",387,", &format!(",{},", ROWS - 1))).unwrap();
    let (received, problems) = read(&vec![(name, cp932(&text))]);
    assert_eq!(received.actuals[0].lines.len(), ROWS + 1);
    let same: Vec<u64> = problems.iter().filter(|p| p.rule == "identical_row").map(|p| p.line).collect();
    assert_eq!(same, [u64::try_from(ROWS).unwrap() + 1]);
}

#[test]
fn a_row_is_known_again_wherever_it_stands() {
    let (name, row) = first_row(&care_plan("actuals"), "UPJSK");
    let of = |day: &str, from: &str| row.replace(",20260402,,1000,", &format!(",202604{day},,{from},"));
    assert_ne!(of("03", "1000"), row);
    let other = |row: &str| row.replace("0001234567", "0009900001");
    // Each list with the lines that stand twice.
    let lists: [(&[String], &[u64]); 5] = [
        (&[of("02", "1000"), of("09", "0900"), of("09", "1000")], &[]),
        (&[of("02", "1000"), of("09", "1000"), of("09", "1000"), of("16", "1000")], &[3]),
        (&[of("09", "1000"), of("02", "1000"), of("09", "1000")], &[3]),
        // Behind somebody else.
        (&[of("02", "1000"), of("09", "1000"), other(&of("02", "1000")), of("09", "1000")], &[4]),
        (&[of("02", "1000"), other(&of("02", "1000")), of("02", "0900"), other(&of("02", "0900"))], &[]),
    ];
    for (rows, twice) in lists {
        let text: String = rows.iter().map(|row| format!("{row}\r\n")).collect();
        let (_, problems) = read_set(&[(name.clone(), cp932(&text))]);
        let same: Vec<u64> = problems.iter().filter(|p| p.rule == "identical_row").map(|p| p.line).collect();
        assert_eq!(same, twice, "{text}");
    }
}
