//! The municipal package: written and read back, every fault located, the rest of the file still judged.
//! The folders under `examples/municipal` are written by these tests with `UPDATE_EXPECTED=1` and compared otherwise.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

mod support;

use jiff::civil::date;
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress, CertificationResult, Closing};
use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, Evidence, EvidenceKind, IdentityProof};
use kiban_domain::dates::Period;
use kiban_domain::insurance_card::{
    BenefitRestriction, CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, CostCeiling, FacilityStay,
    IncomeStage, InsuranceCard, PlanningOffice, RestrictionKind, RoomCeilings, ServiceLimit, Tenths,
};
use kiban_domain::insured::{AcquisitionReason, DomicileFacility, Identity, Insured, LossReason, Sex};
use kiban_domain::office::StaffId;
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey, ServiceType};
use kiban_formats::municipal::{self, Change, Entry, MunicipalPackage, MunicipalRow, MunicipalValue};
use kiban_formats::{Problem, text::Encoding};
use std::fs;
use std::path::{Path, PathBuf};
use support::{Files, examples};

fn insurer() -> InsurerNumber {
    InsurerNumber::parse("999003").unwrap()
}

fn person(number: u32) -> PersonKey {
    PersonKey { insurer: insurer(), insured: InsuredNumber::parse(&format!("{number:010}")).unwrap() }
}

fn office(number: &str) -> OfficeNumber {
    OfficeNumber::parse(number).unwrap()
}

fn entry<T>(number: u32, history: u32, value: T) -> Entry<T> {
    Entry { key: person(number), history, change: Change::New, value }
}

fn insured(number: u32, name: &str, kana: &str, birth: jiff::civil::Date, sex: Sex) -> Insured {
    Insured {
        key: person(number),
        card_insurer: insurer(),
        identity: Identity {
            name: name.into(),
            kana: kana.into(),
            birth,
            sex,
            postal_code: Some("990-0001".into()),
            address: Some("架空県見本市例町一丁目２番３号, \"例示ハイツ\"１０１".into()),
            telephone: Some("099-000-0101".into()),
        },
        withheld: false,
        acquired_on: date(2006, 5, 2),
        lost: None,
        domicile_exception: false,
        acquired_because: None,
        domicile_facility: None,
    }
}

fn period(from: jiff::civil::Date, to: jiff::civil::Date) -> Period {
    Period::new(from, Some(to)).unwrap()
}

fn people() -> Vec<Entry<Insured>> {
    let mut hidden = insured(7654321, "例示 次郎", "レイジ ジロウ", date(1938, 12, 1), Sex::Male);
    hidden.withheld = true;
    hidden.identity.address = None;
    hidden.domicile_exception = true;
    hidden.acquired_because = Some(AcquisitionReason::MovedIn);
    hidden.domicile_facility = Some(DomicileFacility {
        name: Some("特別養護老人ホームみほん".into()),
        insurer: InsurerNumber::parse("990010").ok(),
    });
    let mut moved = insured(7000003, "見本 三江", "ミホン ミツエ", date(1944, 2, 29), Sex::Female);
    moved.lost = Some((date(2026, 3, 31), LossReason::MovedOut));
    vec![
        entry(1234567, 1, insured(1234567, "架空 花子", "カクウ ハナコ", date(1941, 5, 3), Sex::Female)),
        entry(7654321, 1, hidden),
        Entry { change: Change::Corrected, ..entry(7000003, 2, moved) },
    ]
}

fn cards() -> Vec<Entry<InsuranceCard>> {
    let none = InsuranceCard {
        issue: CardIssue::NeverIssued,
        certified: None,
        restrictions: Vec::new(),
        planning_offices: Vec::new(),
        facilities: Vec::new(),
    };
    let valid = period(date(2026, 3, 1), date(2028, 2, 29));
    let full = InsuranceCard {
        issue: CardIssue::Issued(date(2026, 2, 25)),
        certified: Some(CertifiedLevel {
            level: CareLevel::Care2,
            decided_on: date(2026, 2, 20),
            valid: Some(valid),
            limit_units: Some(19705),
            limit_period: Some(valid),
            service_limits: vec![ServiceLimit { service: ServiceType::parse("22").unwrap(), units: 5000 }],
            board_opinion: Some("特になし".into()),
        }),
        restrictions: vec![BenefitRestriction {
            content: "給付額の減額".into(),
            period: period(date(2026, 4, 1), date(2026, 9, 30)),
            benefit_percent: Some(70),
            kind: Some(RestrictionKind::BenefitReduced),
        }],
        planning_offices: vec![PlanningOffice {
            office: office("9970000015"),
            name: "居宅介護支援事業所みほん".into(),
            filed_on: date(2026, 3, 2),
        }],
        facilities: vec![FacilityStay {
            kind: "介護老人保健施設".into(),
            name: "老健みほん".into(),
            stay: period(date(2025, 12, 1), date(2026, 1, 31)),
        }],
    };
    let lost = InsuranceCard { issue: CardIssue::Lost(date(2024, 4, 1)), ..none.clone() };
    vec![entry(1234567, 1, full), entry(7654321, 1, none), entry(7000003, 1, lost)]
}

fn rates() -> Vec<Entry<CopaymentRate>> {
    let row = |tenths, period| CopaymentPeriod { rate: Tenths::new(tenths).unwrap(), period };
    let rows =
        vec![row(1, period(date(2025, 8, 1), date(2026, 1, 31))), row(2, period(date(2026, 2, 1), date(2026, 7, 31)))];
    vec![entry(1234567, 1, CopaymentRate { issued_on: date(2025, 7, 15), rows })]
}

fn ceilings() -> Vec<Entry<CostCeiling>> {
    let rooms = RoomCeilings {
        unit_private: 1370,
        unit_semi_private: 1370,
        private_welfare: 880,
        private_health: 1370,
        shared: 430,
    };
    let ceiling = CostCeiling {
        issued_on: date(2025, 7, 20),
        period: period(date(2025, 8, 1), date(2026, 7, 31)),
        stage: IncomeStage::ThirdLower,
        meals_facility: 650,
        meals_short_stay: 1000,
        rooms,
    };
    vec![entry(1234567, 1, ceiling)]
}

fn progress() -> Vec<Entry<CertificationProgress>> {
    let mut done = CertificationProgress::apply(date(2026, 1, 23), ApplicationKind::Renewal);
    done.survey_requested_on = Some(date(2026, 1, 26));
    done.survey_done_on = Some(date(2026, 2, 2));
    done.survey_received_on = Some(date(2026, 2, 5));
    done.opinion_requested_on = Some(date(2026, 1, 26));
    done.opinion_requested_from = Some(office("9910000018"));
    done.opinion_received_on = Some(date(2026, 2, 9));
    done.first_judged_on = Some(date(2026, 2, 12));
    done.board_planned_on = Some(date(2026, 2, 19));
    done.board_done_on = Some(date(2026, 2, 19));
    done.result = Some(CertificationResult {
        level: CareLevel::Care2,
        decided_on: date(2026, 2, 20),
        valid: Some(period(date(2026, 3, 1), date(2028, 2, 29))),
        months: Some(24),
        board_opinion: Some("特になし".into()),
        reason: None,
        notified_on: Some(date(2026, 2, 24)),
        card_issued_on: Some(date(2026, 2, 24)),
    });
    done.survey_planned_on = Some(date(2026, 2, 2));
    done.survey_commissioned_to = Some(office("9910000026"));
    done.opinion_urged_on = Some(date(2026, 2, 6));
    done.board_number = Some("03".into());
    done.papers_sent_on = Some(date(2026, 2, 16));
    done.delay_decided_on = Some(date(2026, 2, 18));
    done.delay_notified_on = Some(date(2026, 2, 19));
    done.delay_expected = Some(period(date(2026, 2, 23), date(2026, 3, 10)));
    done.delay_reason = Some("主治医意見書の入手が遅れているため".into());
    let running = CertificationProgress::apply(date(2026, 3, 30), ApplicationKind::New);
    let mut withdrawn = CertificationProgress::apply(date(2026, 3, 2), ApplicationKind::Change);
    withdrawn.closing = Some(Closing::Withdrawn(date(2026, 3, 9)));
    vec![entry(1234567, 1, done), entry(7654321, 1, running), entry(7000003, 1, withdrawn)]
}

fn consent(number: u32, act: ConsentAct, at: &str) -> ConsentRecord {
    ConsentRecord {
        person: person(number),
        act,
        acted_at: at.parse().unwrap(),
        declarant: Declarant::Person,
        proof: IdentityProof::InsuranceCard,
        taken_by: Organization::Municipality(insurer()),
        staff: None,
        form: "同意様式 第1版".into(),
        remark: None,
        leaflet: None,
        evidence: None,
    }
}

fn consents() -> Vec<Entry<ConsentRecord>> {
    let mut by_daughter = consent(7654321, ConsentAct::KindRefused(Kind::C1), "2026-03-20T01:30:00Z");
    by_daughter.declarant = Declarant::Representative { relation: "長女".into() };
    by_daughter.staff = Some(StaffId("999003/mado01".into()));
    by_daughter.remark = Some("窓口で申出".into());
    by_daughter.leaflet = Some("同意の説明書 第1版".into());
    by_daughter.evidence = Some(Evidence {
        kind: EvidenceKind::SignedForm,
        reference: "文書番号 8-0123".into(),
        sha256: Some("0a".repeat(32)),
    });
    vec![
        entry(1234567, 1, consent(1234567, ConsentAct::Given, "2026-02-24T01:00:00Z")),
        entry(7654321, 1, consent(7654321, ConsentAct::Given, "2026-03-19T06:00:00Z")),
        entry(7654321, 2, by_daughter),
    ]
}

fn package(encoding: Encoding) -> Files {
    MunicipalPackage::new(insurer(), "2026-04-01T00:00:00Z".parse().unwrap())
        .encoding(encoding)
        .insured(&people())
        .cards(&cards())
        .copayment_rates(&rates())
        .cost_ceilings(&ceilings())
        .progress(&progress())
        .consents(&consents())
        .finish()
        .unwrap()
}

/// Every package of these tests is judged the same by one thread and by three.
fn check(files: Files) -> (Vec<MunicipalRow>, Vec<Problem>) {
    let mut rows = Vec::new();
    let package = municipal::open(files);
    let problems = package.check(&mut |row| rows.push(row));
    let together = package.count_source(3).unwrap();
    assert_eq!(together.problems, problems);
    assert_eq!(together.rows.values().sum::<u64>(), rows.len() as u64);
    for (kind, count) in together.rows {
        assert_eq!(rows.iter().filter(|row| row.value.kind() == kind).count() as u64, count, "{kind:?}");
    }
    (rows, problems)
}

/// Writes rows again as they were read.
fn rewrite(rows: &[MunicipalRow]) -> Files {
    macro_rules! of {
        ($variant:ident) => {
            rows.iter()
                .filter_map(|row| match row.value.clone() {
                    MunicipalValue::$variant(value) => {
                        Some(Entry { key: row.key, history: row.history, change: row.change, value })
                    }
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
    }
    fn unbox<T>(entries: Vec<Entry<Box<T>>>) -> Vec<Entry<T>> {
        let plain = |e: Entry<Box<T>>| Entry { key: e.key, history: e.history, change: e.change, value: *e.value };
        entries.into_iter().map(plain).collect()
    }
    MunicipalPackage::new(insurer(), "2026-04-01T00:00:00Z".parse().unwrap())
        .insured(&unbox(of!(Insured)))
        .cards(&unbox(of!(InsuranceCard)))
        .copayment_rates(&of!(CopaymentRate))
        .cost_ceilings(&of!(CostCeiling))
        .progress(&unbox(of!(Progress)))
        .consents(&unbox(of!(Consent)))
        .finish()
        .unwrap()
}

#[test]
fn a_package_comes_back_as_it_was_written() {
    for encoding in [Encoding::Utf8, Encoding::Cp932] {
        let files = package(encoding);
        let package = municipal::open(files.clone());
        let manifest = package.manifest().expect("manifest");
        assert_eq!((manifest.insurer, manifest.files.len()), (insurer(), 6));
        let (rows, problems) = check(files);
        assert!(problems.is_empty(), "{:?}", problems.iter().map(Problem::message_ja).collect::<Vec<_>>());
        assert_eq!(rows.len(), 14);
        let expected: Vec<Insured> = people().into_iter().map(|entry| entry.value).collect();
        let found: Vec<Insured> = rows
            .iter()
            .filter_map(|row| match &row.value {
                MunicipalValue::Insured(insured) => Some((**insured).clone()),
                _ => None,
            })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(rewrite(&rows), package_in_utf8());
    }
}

fn package_in_utf8() -> Files {
    package(Encoding::Utf8)
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    let mut files = package(Encoding::Utf8);
    for (_, bytes) in &mut files {
        bytes.splice(0..0, [0xef, 0xbb, 0xbf]);
    }
    remake_manifest(&mut files);
    let (rows, problems) = check(files);
    assert_eq!((rows.len(), problems.len()), (14, 0));
}

#[test]
fn a_consent_without_time_counts_from_the_morning_and_a_withdrawal_from_the_evening() {
    let mut files = package(Encoding::Utf8);
    patch(&mut files, "CONSENT", ",20260224,100000,", ",20260224,,");
    let withdrawal = "999003,0001234567,2,1,2,,20260401,,1,,2,999003,,\"同意様式 第1版\",,,,,\r\n";
    append(&mut files, "CONSENT", withdrawal);
    remake_manifest(&mut files);
    let (rows, problems) = check(files);
    assert!(problems.is_empty(), "{problems:?}");
    let acts: Vec<String> = rows
        .iter()
        .filter_map(|row| match &row.value {
            MunicipalValue::Consent(consent) if row.key == person(1234567) => Some(consent.acted_at.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(acts, ["2026-02-23T15:00:00Z", "2026-04-01T14:59:59Z"]);
}

#[test]
fn rows_of_a_changed_file_are_judged_but_not_handed_out() {
    let mut files = package(Encoding::Utf8);
    patch(&mut files, "INSURED", "架空 花子", "架空 華子");
    let (rows, problems) = check(files);
    assert_eq!(problems.iter().map(|p| p.rule.as_ref()).collect::<Vec<_>>(), ["digest"]);
    assert!(problems.iter().all(municipal::refuses_package));
    assert_eq!(rows.len(), 11);
    assert!(rows.iter().all(|row| !matches!(row.value, MunicipalValue::Insured(_))));
}

#[test]
fn what_belongs_to_an_empty_item_is_refused_at_its_own() {
    for (kind, from, to, item) in [
        ("INSURED", "20060502,,,1,2", "20060502,,,0,2", "住所地特例施設の名称"),
        ("A3A", ",,,,3,,\r\n", ",,,,,1,\r\n", "給付制限2種類"),
    ] {
        let mut files = package(Encoding::Utf8);
        patch(&mut files, kind, from, to);
        remake_manifest(&mut files);
        let (_, problems) = check(files);
        let told: Vec<_> = problems.iter().map(|p| (p.item.as_str(), p.rule.as_ref(), p.is_error())).collect();
        assert_eq!(told, [(item, "conflict", true)], "{problems:?}");
    }
}

#[test]
fn an_age_nobody_has_is_worth_a_look_and_no_error() {
    let mut entries = people();
    entries[0].value.identity.birth = date(1981, 5, 3);
    entries[1].value.identity.birth = date(1888, 5, 3);
    let made = "2026-04-01T00:00:00Z".parse().unwrap();
    let (rows, problems) = check(MunicipalPackage::new(insurer(), made).insured(&entries).finish().unwrap());
    let told: Vec<_> = problems.iter().map(|p| (p.line, p.item.as_str(), p.rule.as_ref(), p.is_error())).collect();
    assert_eq!(told, [(2, "資格取得日", "age", false), (3, "資格取得日", "age", false)]);
    assert_eq!(rows.len(), 3);
}

#[test]
fn what_cannot_be_written_is_refused_with_its_place() {
    let mut entries = people();
    entries[1].value.identity.name = "𠮷野 次郎".into();
    let made = "2026-04-01T00:00:00Z".parse().unwrap();
    let problems =
        MunicipalPackage::new(insurer(), made).encoding(Encoding::Cp932).insured(&entries).finish().unwrap_err();
    assert_eq!((problems[0].line, problems[0].item.as_str(), problems[0].found.as_str()), (3, "氏名", "𠮷"));
    assert!(MunicipalPackage::new(insurer(), made).insured(&entries).finish().is_ok());
}

// ---- examples on disk ----

fn at<'f>(files: &'f mut Files, kind: &str) -> &'f mut Vec<u8> {
    let start = format!("KGKB_{kind}_");
    &mut files.iter_mut().find(|(name, _)| name.starts_with(&start) || name == kind).unwrap().1
}

fn patch(files: &mut Files, kind: &str, from: &str, to: &str) {
    let bytes = at(files, kind);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {kind}");
    *bytes = text.replacen(from, to, 1).into_bytes();
}

fn append(files: &mut Files, kind: &str, row: &str) {
    at(files, kind).extend_from_slice(row.as_bytes());
}

/// Digests and counts of the files as they are now.
fn remake_manifest(files: &mut Files) {
    let mut lines = vec![String::from_utf8(files[0].1.clone()).unwrap().lines().next().unwrap().to_owned()];
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    for line in text.lines().skip(1) {
        let mut columns: Vec<String> = line.split(',').map(str::to_owned).collect();
        let Some((_, bytes)) = files.iter().find(|(name, _)| *name == columns[5]) else { continue };
        let rows = bytes.split(|b| *b == b'\n').filter(|line| line.len() > 1).count() - 1;
        columns[8] = rows.to_string();
        columns[9] =
            ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        lines.push(columns.join(","));
    }
    files[0].1 = (lines.join("\r\n") + "\r\n").into_bytes();
}

/// One faulty package per folder: its name and how it comes about.
fn faulty() -> Vec<(&'static str, Files)> {
    let start = || package(Encoding::Utf8);
    let patched = |changes: &[(&str, &str, &str)]| {
        let mut files = start();
        for (kind, from, to) in changes {
            patch(&mut files, kind, from, to);
        }
        remake_manifest(&mut files);
        files
    };
    let appended = |kind: &str, row: &str| {
        let mut files = start();
        append(&mut files, kind, row);
        remake_manifest(&mut files);
        files
    };
    let copy_row = "999003,0001234567,1,1,20250715,2,20250801,20260131,2,20260201,20260731\r\n";
    let mut cut = start();
    let bytes = at(&mut cut, "A5");
    bytes.truncate(bytes.len() - 30);
    let mut wrong_count = start();
    patch(&mut wrong_count, "MANIFEST.csv", ",A5,UTF-8,3,", ",A5,UTF-8,4,");
    let mut missing = start();
    missing.retain(|(name, _)| !name.contains("_A3C_"));
    let mut extra = start();
    extra.push(("KGKB_A3B_999003_20260401090000_002.csv".into(), Vec::new()));
    let mut without_manifest = start();
    without_manifest.remove(0);
    let mut cp932 = start();
    let other = package(Encoding::Cp932);
    *at(&mut cp932, "INSURED") = other.iter().find(|(name, _)| name.contains("INSURED")).unwrap().1.clone();
    remake_manifest(&mut cp932);
    let mut broken_utf8 = start();
    let bytes = at(&mut broken_utf8, "INSURED");
    let place = bytes.windows(6).position(|w| w == "次郎".as_bytes()).unwrap();
    bytes[place] = 0xff;
    remake_manifest(&mut broken_utf8);
    let mut noise = start();
    *at(&mut noise, "CONSENT") = (0..4096u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    remake_manifest(&mut noise);
    vec![
        ("check-digit", patched(&[("INSURED", "0001234567,1,1,999003", "0001234567,1,1,999004")])),
        ("length", patched(&[("INSURED", "0001234567", "001234567")])),
        ("code", patched(&[("A3A", ",22,20260220", ",26,20260220"), ("A5", ",02,20260126", ",2,20260126")])),
        ("required", patched(&[("INSURED", "\"カクウ ハナコ\"", ""), ("A3A", ",1,20260225,", ",1,,")])),
        ("columns", patched(&[("A3B", ",20260201,20260731", ",20260201")])),
        ("encoding-of-file", cp932),
        ("encoding-of-character", broken_utf8),
        ("user-defined-character", patched(&[("INSURED", "架空 花子", "架空 \u{e000}子")])),
        ("duplicate-key", appended("A3B", copy_row)),
        ("foreign-insurer", appended("A3B", &copy_row.replace("999003,0001234567", "232074,001234567"))),
        ("wrong-count", wrong_count),
        ("changed-after-manifest", {
            let mut files = start();
            patch(&mut files, "A3C", ",650,", ",390,");
            files
        }),
        ("cut-in-the-middle", cut),
        ("file-missing", missing),
        ("file-not-in-manifest", extra),
        ("no-manifest", without_manifest),
        (
            "date-order",
            patched(&[
                ("A3A", ",20260301,20280229,19705", ",20260301,20260228,19705"),
                ("A5", ",20260330,01", ",20260330,01"),
                ("A5", ",22,20260220,", ",22,20260120,"),
            ]),
        ),
        (
            "individual-number",
            patched(&[
                ("INSURED", "099-000-0101", "1234-5678-9018"),
                ("CONSENT", "窓口で申出", "番号１２３４５６７８９０１８"),
            ]),
        ),
        ("consent-corrected", patched(&[("CONSENT", "0007654321,2,1,3", "0007654321,2,2,3")])),
        ("noise", noise),
    ]
}

fn folder(sub: &str) -> PathBuf {
    examples("municipal").join(sub)
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

#[test]
fn the_example_package_is_the_one_these_tests_write() {
    let files = package(Encoding::Utf8);
    assert_folder(&folder("valid/small"), &files);
}

#[test]
fn each_fault_gives_its_located_problems_and_the_rest_is_still_judged() {
    for (name, files) in faulty() {
        let folder = folder("bad").join(name);
        assert_folder(&folder, &files);
        let (rows, problems) = check(files);
        let found = problems.iter().fold(String::new(), |out, problem| {
            let severity = if problem.is_error() { "error" } else { "warning" };
            out + &format!("{severity} {} {}\n", problem.rule, problem.message_ja())
        });
        let path = folder.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, format!("{found}rows {}\n", rows.len())).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(format!("{found}rows {}\n", rows.len()), expected, "{name}");
        assert!(problems.iter().any(Problem::is_error), "{name}");
        assert!(
            !found.contains("232074") && !found.contains("5678-9018") && !found.contains("１２３４５６７８"),
            "{name}"
        );
    }
}

/// What is told of a manifest that names so many rows of each kind, a file each.
fn told_of_rows(files: &[(&str, u64)]) -> Vec<(u64, u32, String, String)> {
    let digest = "0".repeat(64);
    let mut text = String::from(
        "プロファイル版,保険者番号,パッケージID,基準日,作成日時,ファイル名,種別,文字コード,件数,SHA-256\r\n",
    );
    for (n, (kind, rows)) in files.iter().enumerate() {
        let name = format!("KGKB_{kind}_999003_20261105090000_{n:03}.csv");
        text += &format!("KGKB-1,999003,S20261105,20261105,20261105090000,{name},{kind},UTF-8,{rows},{digest}\r\n");
    }
    let (manifest, problems) = municipal::read_manifest("MANIFEST.csv", text.as_bytes());
    assert_eq!(manifest.is_none(), problems.iter().any(Problem::is_error));
    assert!(problems.iter().all(municipal::refuses_package), "{problems:?}");
    problems.into_iter().map(|p| (p.line, p.column, p.rule.to_string(), p.message_ja())).collect()
}

#[test]
fn a_package_with_more_rows_than_can_be_remembered_is_refused_at_the_file_with_which_they_are_too_many() {
    assert_eq!(told_of_rows(&[("INSURED", 1_800_000), ("INSURED", 1_800_000), ("A3B", 3_400_000)]), []);
    assert_eq!(told_of_rows(&[("E1", 1_000_000), ("E2", 1_000_000)]), []);
    let of_kind = told_of_rows(&[("INSURED", 1_800_000), ("A3B", 1), ("INSURED", 1_800_001), ("INSURED", 5)]);
    assert_eq!(of_kind.len(), 1, "{of_kind:?}");
    let (line, column, rule, message) = &of_kind[0];
    assert_eq!((*line, *column, rule.as_str()), (4, 9, "too_many_rows"));
    assert!(
        message.contains("「1800001」") && message.contains("種別 INSURED は、1つのパッケージに 3600000 行まで"),
        "{message}"
    );
    assert!(message.contains("分けて送ってください"), "{message}");
    let of_uses = told_of_rows(&[("E1", 1_000_001)]);
    assert!(of_uses[0].3.contains("種別 E1 は、1つのパッケージに 1000000 行まで"), "{of_uses:?}");
    let of_all = told_of_rows(&[("INSURED", 3_500_000), ("A3A", 3_500_000), ("A3B", 1), ("A3C", 1)]);
    assert_eq!(of_all.len(), 1, "{of_all:?}");
    assert_eq!((of_all[0].0, of_all[0].1), (4, 9));
    assert!(of_all[0].3.contains("1つのパッケージは、合わせて 7000000 行まで"), "{of_all:?}");
    let absurd = told_of_rows(&[("A1", 999_999_999), ("A2", 999_999_999)]);
    assert!(absurd.iter().all(|told| told.2 == "too_many_rows") && absurd.len() == 2, "{absurd:?}");
}
