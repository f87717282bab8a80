//! Small packages under `examples/municipal`: cases that a city's vendor meets after the first load, and one fault each of the
//! kinds that the small city has few rows of. `UPDATE_EXPECTED=1` writes the folders anew; otherwise they are compared.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

use jiff::civil::{Date, date};
use kiban_domain::certification::CareLevel;
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insured::{Insured, LinkReason, LossReason, NumberLink};
use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey};
use kiban_formats::municipal::{self, Change, Entry, MANIFEST, MunicipalPackage, Usages};
use kiban_formats::text::Encoding;
use kiban_sim::files::Files;
use kiban_sim::{City, CitySpec, SimPerson, city_package, difference_package};
use std::fs;
use std::path::{Path, PathBuf};

const TODAY: Date = date(2026, 11, 22);

fn city() -> City {
    City::generate(&CitySpec::sample(1, 12, TODAY).unwrap())
}

fn package() -> MunicipalPackage {
    MunicipalPackage::new(city().spec.insurer, "2026-11-21T15:00:00Z".parse().unwrap())
}

fn row<T>(key: PersonKey, history: u32, change: Change, value: T) -> Entry<T> {
    Entry { key, history, change, value }
}

/// Two people of the city with a burden rate and a ceiling, or a rate at least.
fn people() -> (SimPerson, SimPerson) {
    let city = City::generate(&CitySpec::sample(1, 1_000, TODAY).unwrap());
    let with_ceiling = city.people.iter().find(|person| person.ceiling.is_some()).unwrap().clone();
    let other = city.people.iter().find(|p| p.copayment.is_some() && p.n != with_ceiling.n).unwrap().clone();
    (with_ceiling, other)
}

fn insured(package: MunicipalPackage, people: &[&SimPerson]) -> MunicipalPackage {
    let rows: Vec<_> = people.iter().map(|p| row(p.insured.key, 1, Change::New, p.insured.clone())).collect();
    package.insured(&rows)
}

fn work(day: Date, eligible: u32) -> HomeModification {
    HomeModification {
        cost: eligible,
        eligible,
        paid: eligible / 10 * 9,
        copayment: None,
        ..HomeModification::example(day, CareLevel::Care1)
    }
}

fn valid() -> Vec<(&'static str, Files)> {
    let (one, other) = people();
    let number = |text| InsuredNumber::parse(text).unwrap();
    let new = PersonKey { insured: number("0009990001"), ..one.insured.key };
    let renamed = Insured { key: new, acquired_on: date(2026, 11, 1), acquired_because: None, ..one.insured.clone() };
    let mut left = one.insured.clone();
    left.lost = Some((date(2026, 11, 1), LossReason::Other));
    let link = NumberLink { before: one.insured.key, changed_on: date(2026, 11, 1), reason: LinkReason::Renumbered };
    let renumbering = package()
        .insured(&[row(new, 1, Change::New, renamed), row(one.insured.key, 2, Change::New, left)])
        .links(&[row(new, 1, Change::New, link)]);
    let rate = |person: &SimPerson| person.copayment.clone().unwrap();
    let corrections = package()
        .copayment_rates(&[
            row(one.insured.key, 1, Change::Corrected, rate(&one)),
            row(other.insured.key, 1, Change::Deleted, rate(&other)),
        ])
        .records(&[row(one.insured.key, 1, Change::Deleted, work(date(2026, 5, 1), 50_000))]);
    let cp932 = insured(package().encoding(Encoding::Cp932), &[&one, &other]).copayment_rates(&[row(
        one.insured.key,
        1,
        Change::New,
        rate(&one),
    )]);
    let member = InsurerNumber::parse("990010").unwrap();
    let union = CitySpec { card_insurer: member, ..CitySpec::sample(1, 5, TODAY).unwrap() };
    vec![
        ("renumbering", renumbering.finish().unwrap()),
        ("corrections-and-deletions", corrections.finish().unwrap()),
        ("differences", difference_package(&city(), date(2026, 12, 2)).unwrap()),
        ("cp932", cp932.finish().unwrap()),
        ("union", city_package(&City::generate(&union)).unwrap()),
    ]
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// With items of the first row of a kind changed, and the digest in the manifest.
fn changed(package: MunicipalPackage, kind: &str, changes: &[(&str, &str)]) -> Files {
    edited(package, kind, |lines| {
        for (item, value) in changes {
            let header: Vec<&str> = lines[0].split(',').collect();
            let column = header.iter().position(|name| name == item).unwrap_or_else(|| panic!("no {item}"));
            let mut values: Vec<&str> = lines[1].split(',').collect();
            values[column] = value;
            lines[1] = values.join(",");
        }
    })
}

fn edited(package: MunicipalPackage, kind: &str, edit: impl Fn(&mut Vec<String>)) -> Files {
    let mut files = package.finish().unwrap();
    let at = files.iter().position(|(name, _)| name.starts_with(&format!("KGKB_{kind}_"))).unwrap();
    let before = (files[at].0.clone(), sha256(&files[at].1));
    let text = String::from_utf8(files[at].1.clone()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let rows = lines.len();
    edit(&mut lines);
    files[at].1 = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().into_bytes();
    let (old, new) = (format!(",{},{}", rows - 1, before.1), format!(",{},{}", lines.len() - 1, sha256(&files[at].1)));
    in_manifest(&mut files, &old, &new);
    files
}

fn in_manifest(files: &mut Files, from: &str, to: &str) {
    let manifest = files.iter_mut().find(|(name, _)| name == MANIFEST).unwrap();
    let text = String::from_utf8(manifest.1.clone()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    manifest.1 = text.replace(from, to).into_bytes();
}

fn faulty() -> Vec<(&'static str, Files)> {
    let (one, other) = people();
    let key = one.insured.key;
    let start = || insured(package(), &[&one]);
    let works = |rows: &[HomeModification]| {
        let rows: Vec<_> = (1..).zip(rows).map(|(n, work)| row(key, n, Change::New, work.clone())).collect();
        start().records(&rows)
    };
    let purchases = |rows: &[EquipmentPurchase]| {
        let rows: Vec<_> = (1..).zip(rows).map(|(n, purchase)| row(key, n, Change::New, purchase.clone())).collect();
        start().records(&rows)
    };
    let rates = || start().copayment_rates(&[row(key, 1, Change::New, one.copayment.clone().unwrap())]);
    let ceilings = || start().cost_ceilings(&[row(key, 1, Change::New, one.ceiling.clone().unwrap())]);
    let before = PersonKey { insured: InsuredNumber::parse("0009990001").unwrap(), ..key };
    let link = NumberLink { before, changed_on: date(2026, 11, 1), reason: LinkReason::Merged };
    let (a_work, a_purchase) = (work(date(2026, 5, 11), 60_000), EquipmentPurchase::example(date(2026, 5, 11)));
    let mut file_name = rates().finish().unwrap();
    let renamed = file_name[2].0.replace("_001.csv", "_1.csv");
    let (from, to) = (file_name[2].0.clone(), renamed.clone());
    file_name[2].0 = renamed;
    in_manifest(&mut file_name, &from, &to);
    let mut other_sender = rates().finish().unwrap();
    in_manifest(&mut other_sender, "KGKB-1,999003,", "KGKB-1,990010,");
    let mut no_rows = rates().finish().unwrap();
    let header = String::from_utf8(no_rows[0].1.clone()).unwrap().lines().next().unwrap().to_owned();
    no_rows[0].1 = format!("{header}\r\n").into_bytes();
    vec![
        (
            "e1-dates",
            changed(works(std::slice::from_ref(&a_work)), "E1", &[("支給決定日", "20260512"), ("支給申請日", "")]),
        ),
        ("e1-amounts", changed(works(std::slice::from_ref(&a_work)), "E1", &[("支給対象額", "210000")])),
        ("e1-over-allowance", works(&[work(date(2025, 5, 1), 150_000), a_work]).finish().unwrap()),
        ("e2-item", changed(purchases(std::slice::from_ref(&a_purchase)), "E2", &[("入浴補助用具の区分", "")])),
        ("e2-dates", changed(purchases(std::slice::from_ref(&a_purchase)), "E2", &[("支給申請日", "20260510")])),
        ("e2-bought-again", purchases(&[a_purchase, EquipmentPurchase::example(date(2026, 9, 1))]).finish().unwrap()),
        ("a3c-period", changed(ceilings(), "A3C", &[("有効期限", "20200731")])),
        ("a3c-stage", changed(ceilings(), "A3C", &[("利用者負担段階", "3")])),
        ("link-same-number", {
            let links = start().links(&[row(key, 1, Change::New, link)]);
            changed(links, "LINK", &[("旧被保険者番号", &key.insured.to_string())])
        }),
        ("decision-before-application", {
            let applications: Vec<_> = city().people.iter().flat_map(|p| p.applications.clone()).collect();
            let decided = applications.into_iter().find(|a| a.result.is_some()).unwrap();
            changed(start().progress(&[row(key, 1, Change::New, decided)]), "A5", &[("認定日", "20200101")])
        }),
        ("delete-person", changed(insured(package(), &[&one, &other]), "INSURED", &[("異動区分", "3")])),
        ("duplicate-row", edited(rates(), "A3B", |lines| lines.push(lines[1].clone()))),
        ("no-rows", no_rows),
        ("file-name", file_name),
        ("other-sender", other_sender),
    ]
}

fn folder(sub: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/municipal").join(sub)
}

/// Compares a folder with what it should hold, or writes it.
fn assert_folder(folder: &Path, files: &Files) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in files {
        assert!(fs::read(folder.join(name)).is_ok_and(|found| found == *bytes), "{} {name}", folder.display());
    }
}

/// Rows taken, and the problems as `kiban check` lists them.
fn check(files: Files) -> (u64, String) {
    let (mut rows, mut usages, mut over) = (0, Usages::default(), Vec::new());
    let mut problems = municipal::open(files).check(&mut |row| {
        rows += 1;
        over.extend(usages.take(&row));
    });
    problems.extend(over);
    let mut found = String::new();
    for problem in &problems {
        let severity = if problem.is_error() { "error" } else { "warning" };
        found += &format!("{severity} {} {}\n", problem.rule, problem.message_ja());
    }
    (rows, found)
}

#[test]
fn what_a_city_sends_after_the_first_load_is_taken_without_a_remark() {
    for (name, files) in valid() {
        assert_folder(&folder("valid").join(name), &files);
        let (rows, found) = check(files);
        assert!(rows > 0 && found.is_empty(), "{name}: {found}");
    }
}

#[test]
fn each_fault_gives_its_list_of_problems() {
    for (name, files) in faulty() {
        let folder = folder("bad").join(name);
        assert_folder(&folder, &files);
        let (rows, found) = check(files);
        let listed = format!("{found}rows {rows}\n");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(folder.join("expected.txt"), &listed).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.join("expected.txt")).unwrap_or_default(), listed, "{name}");
        assert!(!found.is_empty(), "{name}");
    }
}
