//! Days in an order in which they cannot stand, and in which they seldom do: one row of the package with one fault each, told
//! with its file, line, column, item, what was found and what is expected. What cannot be is an error and costs its row; what
//! a city may have good reason for is a warning, and the row is taken.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

use jiff::civil::date;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress, CertificationResult, Closing};
use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, IdentityProof};
use kiban_domain::dates::Period;
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::{
    BenefitRestriction, CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, CostCeiling, FacilityStay,
    IncomeStage, InsuranceCard, RoomCeilings, Tenths,
};
use kiban_domain::insured::{Identity, Insured, LinkReason, LossReason, NumberLink, Sex};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, OfficeNumber, Organization, PersonKey};
use kiban_formats::layout::{self, ItemKind};
use kiban_formats::municipal::{self, Change, Entry, MunicipalKind, MunicipalPackage};

fn person() -> PersonKey {
    PersonKey { insurer: InsurerNumber::parse("999003").unwrap(), insured: InsuredNumber::parse("0001234567").unwrap() }
}

fn one<T>(value: T) -> [Entry<T>; 1] {
    [Entry { key: person(), history: 1, change: Change::New, value }]
}

fn period(from: Date, to: Date) -> Period {
    Period::new(from, Some(to)).unwrap()
}

fn identity() -> Identity {
    Identity {
        name: "架空 花子".into(),
        kana: "カクウ ハナコ".into(),
        birth: date(1941, 5, 3),
        sex: Sex::Female,
        postal_code: None,
        address: None,
        telephone: None,
    }
}

fn insured() -> Insured {
    Insured {
        key: person(),
        card_insurer: person().insurer,
        identity: identity(),
        withheld: false,
        acquired_on: date(2006, 5, 2),
        lost: Some((date(2026, 9, 30), LossReason::MovedOut)),
        domicile_exception: false,
        acquired_because: None,
        domicile_facility: None,
    }
}

fn card() -> InsuranceCard {
    let valid = Some(period(date(2026, 3, 1), date(2028, 2, 29)));
    InsuranceCard {
        issue: CardIssue::Issued(date(2026, 2, 25)),
        certified: Some(CertifiedLevel {
            level: CareLevel::Care2,
            decided_on: date(2026, 2, 20),
            valid,
            limit_units: Some(19_705),
            limit_period: valid,
            service_limits: Vec::new(),
            board_opinion: None,
        }),
        restrictions: vec![BenefitRestriction {
            content: "給付額の減額".into(),
            period: period(date(2026, 4, 1), date(2026, 9, 30)),
            benefit_percent: Some(70),
            kind: None,
        }],
        planning_offices: Vec::new(),
        facilities: vec![FacilityStay {
            kind: "介護老人保健施設".into(),
            name: "老健みほん".into(),
            stay: period(date(2025, 12, 1), date(2026, 1, 31)),
        }],
    }
}

fn rate() -> CopaymentRate {
    let row = |tenths, period| CopaymentPeriod { rate: Tenths::new(tenths).unwrap(), period };
    CopaymentRate {
        issued_on: date(2025, 7, 15),
        rows: vec![
            row(1, period(date(2025, 8, 1), date(2026, 1, 31))),
            row(2, period(date(2026, 2, 1), date(2026, 7, 31))),
        ],
    }
}

fn ceiling() -> CostCeiling {
    let rooms = RoomCeilings {
        unit_private: 1_370,
        unit_semi_private: 1_370,
        private_welfare: 880,
        private_health: 1_370,
        shared: 430,
    };
    CostCeiling {
        issued_on: date(2025, 7, 20),
        period: period(date(2025, 8, 1), date(2026, 7, 31)),
        stage: IncomeStage::ThirdLower,
        meals_facility: 650,
        meals_short_stay: 1_000,
        rooms,
    }
}

/// Every step on its day: the n-th day of February 2026, the application on the first.
fn progress() -> CertificationProgress {
    let day = |n| Some(date(2026, 2, n));
    CertificationProgress {
        survey_requested_on: day(2),
        survey_planned_on: day(3),
        survey_done_on: day(4),
        survey_received_on: day(5),
        opinion_requested_on: day(2),
        opinion_requested_from: OfficeNumber::parse("9910000018").ok(),
        opinion_urged_on: day(5),
        opinion_received_on: day(6),
        first_judged_on: day(7),
        papers_sent_on: day(8),
        board_planned_on: day(9),
        board_done_on: day(9),
        delay_decided_on: day(10),
        delay_notified_on: day(11),
        delay_expected: Some(period(date(2026, 2, 12), date(2026, 2, 20))),
        result: Some(CertificationResult {
            level: CareLevel::Care2,
            decided_on: date(2026, 2, 14),
            valid: Some(period(date(2026, 2, 1), date(2026, 8, 31))),
            months: Some(6),
            board_opinion: None,
            reason: None,
            notified_on: day(15),
            card_issued_on: day(16),
        }),
        ..CertificationProgress::apply(date(2026, 2, 1), ApplicationKind::New)
    }
}

fn withdrawn() -> CertificationProgress {
    CertificationProgress {
        closing: Some(Closing::Withdrawn(date(2026, 2, 9))),
        ..CertificationProgress::apply(date(2026, 2, 1), ApplicationKind::New)
    }
}

fn consent() -> ConsentRecord {
    ConsentRecord {
        person: person(),
        act: ConsentAct::Given,
        acted_at: "2026-02-24T01:00:00Z".parse().unwrap(),
        declarant: Declarant::Person,
        proof: IdentityProof::InsuranceCard,
        taken_by: Organization::Municipality(person().insurer),
        staff: None,
        form: "同意様式 第1版".into(),
        remark: None,
        leaflet: None,
        evidence: None,
    }
}

fn link() -> NumberLink {
    let before = PersonKey { insured: InsuredNumber::parse("0007654321").unwrap(), ..person() };
    NumberLink { before, changed_on: date(2026, 2, 1), reason: LinkReason::Renumbered }
}

/// A file of one sound row.
fn file(kind: MunicipalKind, closed: bool) -> (String, Vec<u8>) {
    let package = MunicipalPackage::new(person().insurer, "2026-12-01T00:00:00Z".parse().unwrap());
    let applied_on = date(2026, 2, 2);
    let package = match kind {
        MunicipalKind::Insured => package.insured(&one(insured())),
        MunicipalKind::InsuranceCard => package.cards(&one(card())),
        MunicipalKind::CopaymentRate => package.copayment_rates(&one(rate())),
        MunicipalKind::CostCeiling => package.cost_ceilings(&one(ceiling())),
        MunicipalKind::Progress => package.progress(&one(if closed { withdrawn() } else { progress() })),
        MunicipalKind::Application => {
            package.records(&one(CertificationApplication::example(identity(), applied_on, ApplicationKind::Renewal)))
        }
        MunicipalKind::Survey => package.records(&one(CertificationSurvey::example(identity(), applied_on, |_, _| 0))),
        MunicipalKind::Opinion => {
            let institution = OfficeNumber::parse("9910000018").unwrap();
            let mut opinion = PhysicianOpinion::example(person(), institution, date(2026, 3, 2));
            opinion.applied_on = applied_on;
            opinion.request.requested_on = Some(date(2026, 2, 10));
            opinion.basics.last_examined_on = Some(date(2026, 2, 20));
            opinion.request.sent_on = Some(date(2026, 3, 3));
            package.records(&one(opinion))
        }
        MunicipalKind::HomeModification => {
            package.records(&one(HomeModification::example(date(2026, 6, 10), CareLevel::Care1)))
        }
        MunicipalKind::EquipmentPurchase => package.records(&one(EquipmentPurchase::example(date(2026, 6, 10)))),
        MunicipalKind::Consent => package.consents(&one(consent())),
        MunicipalKind::Link => package.links(&one(link())),
    };
    package.finish().unwrap().remove(1)
}

/// What is told of a row with some items changed, and whether it was taken.
fn told(kind: MunicipalKind, changes: &[(&str, &str)]) -> (Vec<kiban_formats::Problem>, bool) {
    let closed = changes.iter().any(|(item, _)| *item == "終了日");
    let (name, bytes) = file(kind, closed);
    let text = String::from_utf8(bytes).unwrap();
    let mut lines: Vec<Vec<String>> = text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    for (item, value) in changes {
        let column = lines[0].iter().position(|name| name == item).unwrap_or_else(|| panic!("no item {item}"));
        lines[1][column] = (*value).to_owned();
    }
    let text: String = lines.iter().map(|line| line.join(",") + "\r\n").collect();
    judged(name, text)
}

fn judged(name: String, text: String) -> (Vec<kiban_formats::Problem>, bool) {
    let mut taken = false;
    let problems = municipal::check_files(&vec![(name, text.into_bytes())], &mut |_| taken = true).unwrap();
    (problems, taken)
}

/// The same of the row as JSON, with one item changed.
fn told_in_json(kind: MunicipalKind, item: &str, value: &str) -> (Vec<kiban_formats::Problem>, bool) {
    let (name, bytes) = file(kind, item == "終了日");
    let text = String::from_utf8(bytes).unwrap();
    let [names, values] = [0, 1].map(|at| text.lines().nth(at).unwrap().split(',').collect::<Vec<_>>());
    let pairs = names.iter().zip(values).map(|(name, found)| {
        let found = if *name == item { value } else { found.trim_matches('"') };
        format!("\"{name}\":\"{found}\"")
    });
    let text = format!("[\n{{{}}}\n]\n", pairs.collect::<Vec<_>>().join(","));
    judged(name.replace(".csv", ".json"), text)
}

const ERROR: bool = true;
const WARNING: bool = false;

/// Kind, what is changed, the item it is told at, error or warning.
type Case = (MunicipalKind, &'static [(&'static str, &'static str)], &'static str, bool);

#[rustfmt::skip]
const CASES: &[Case] = {
    use MunicipalKind::*;
    &[
        (Insured, &[("資格取得日", "19410502")], "資格取得日", ERROR),
        (Insured, &[("資格喪失日", "20060501")], "資格喪失日", ERROR),
        (InsuranceCard, &[("認定有効期間終了日", "20260228")], "認定有効期間終了日", ERROR),
        (InsuranceCard, &[("限度額適用期間終了日", "20260228")], "限度額適用期間終了日", ERROR),
        (InsuranceCard, &[("給付制限1終了日", "20260331")], "給付制限1終了日", ERROR),
        (InsuranceCard, &[("施設1退所日", "20251130")], "施設1退所日", ERROR),
        (InsuranceCard, &[("認定有効期間開始日", "20250201"), ("認定有効期間終了日", "20260131")], "認定有効期間終了日", WARNING),
        (CopaymentRate, &[("適用期間1終了日", "20250731")], "適用期間1終了日", ERROR),
        (CopaymentRate, &[("適用期間2開始日", "20260131")], "適用期間2開始日", ERROR),
        (CostCeiling, &[("有効期限", "20250731")], "有効期限", ERROR),
        (Progress, &[("申請日", "19990930")], "申請日", ERROR),
        (Progress, &[("調査依頼日", "20260131")], "調査依頼日", ERROR),
        (Progress, &[("調査予定日", "20260201")], "調査予定日", ERROR),
        (Progress, &[("調査実施日", "20260201")], "調査実施日", ERROR),
        (Progress, &[("調査依頼日", ""), ("調査予定日", ""), ("調査実施日", "20260131")], "調査実施日", ERROR),
        (Progress, &[("調査票入手日", "20260203")], "調査票入手日", ERROR),
        (Progress, &[("意見書依頼日", "20260131")], "意見書依頼日", ERROR),
        (Progress, &[("意見書督促日", "20260201")], "意見書督促日", ERROR),
        (Progress, &[("意見書督促日", ""), ("意見書入手日", "20260201")], "意見書入手日", ERROR),
        (Progress, &[("意見書依頼日", ""), ("意見書依頼先医療機関コード", ""), ("意見書督促日", ""), ("意見書入手日", "20260131")], "意見書入手日", WARNING),
        (Progress, &[("一次判定日", "20260205")], "一次判定日", ERROR),
        (Progress, &[("審査会予定日", "20260131")], "審査会予定日", ERROR),
        (Progress, &[("資料送付日", "20260206")], "資料送付日", ERROR),
        (Progress, &[("審査完了日", "20260207")], "審査完了日", ERROR),
        (Progress, &[("一次判定日", ""), ("資料送付日", ""), ("審査完了日", "20260131")], "審査完了日", ERROR),
        (Progress, &[("延期決定日", "20260131")], "延期決定日", ERROR),
        (Progress, &[("延期通知日", "20260209")], "延期通知日", ERROR),
        (Progress, &[("処理見込期間開始日", "20260131")], "処理見込期間開始日", ERROR),
        (Progress, &[("処理見込期間終了日", "20260211")], "処理見込期間終了日", ERROR),
        (Progress, &[("認定日", "20260208")], "認定日", ERROR),
        (Progress, &[("審査完了日", ""), ("認定日", "20260131")], "認定日", ERROR),
        (Progress, &[("認定有効期間終了日", "20260131")], "認定有効期間終了日", ERROR),
        (Progress, &[("認定有効期間開始日", "20260131")], "認定有効期間開始日", WARNING),
        (Progress, &[("認定日", "20260901"), ("通知発送日", ""), ("証交付日", "")], "認定有効期間終了日", WARNING),
        (Progress, &[("通知発送日", "20260213")], "通知発送日", ERROR),
        (Progress, &[("証交付日", "20260213")], "証交付日", ERROR),
        (Progress, &[("終了日", "20260131")], "終了日", ERROR),
        (Application, &[("申請日", "19990930"), ("特定疾病", "13")], "申請日", ERROR),
        (Application, &[("生年月日", "20260203"), ("特定疾病", "13")], "申請日", ERROR),
        (Application, &[("同意日", "20260201")], "同意日", ERROR),
        (Application, &[("前回有効期間終了日", "20200101")], "前回有効期間終了日", ERROR),
        (Application, &[("前回有効期間開始日", "20260203")], "前回有効期間開始日", WARNING),
        (Application, &[("入所・入院先1終了日", "20200101")], "入所・入院先1終了日", ERROR),
        (Application, &[("入所・入院先1開始日", "20260203"), ("入所・入院先1終了日", "")], "入所・入院先1開始日", WARNING),
        (Application, &[("最終受診日", "20260203")], "最終受診日", WARNING),
        (Survey, &[("申請日", "19990930"), ("前回認定日", "")], "申請日", ERROR),
        (Survey, &[("実施日", "20260201")], "実施日", ERROR),
        (Survey, &[("前回認定日", "20260210")], "実施日", ERROR),
        (Survey, &[("前回認定日", "20260203")], "前回認定日", WARNING),
        (Survey, &[("生年月日", "20260203")], "申請日", ERROR),
        (Opinion, &[("申請者生年月日", "20260215")], "申請日", ERROR),
        (Opinion, &[("申請日", "19990930")], "申請日", ERROR),
        (Opinion, &[("最終診察日", "20260303")], "記入日", ERROR),
        (Opinion, &[("送付日", "20260301")], "送付日", ERROR),
        (Opinion, &[("申請日", "20260303"), ("作成依頼日", "")], "記入日", WARNING),
        (Opinion, &[("作成依頼日", "20260201")], "作成依頼日", WARNING),
        (Opinion, &[("作成依頼日", "20260303")], "作成依頼日", WARNING),
        (HomeModification, &[("承認日", "20260501")], "承認日", ERROR),
        (HomeModification, &[("承認日", "20260611")], "着工日", WARNING),
        (HomeModification, &[("事前申請日", "20260611"), ("承認日", "")], "着工日", WARNING),
        (HomeModification, &[("完成日", "20260609")], "完成日", ERROR),
        (HomeModification, &[("支給申請日", "20260609")], "支給申請日", ERROR),
        (HomeModification, &[("支給申請日", "20260611")], "支給申請日", WARNING),
        (HomeModification, &[("支給決定日", "20260619")], "支給決定日", ERROR),
        (HomeModification, &[("支給申請日", ""), ("支給決定日", "20260611")], "支給決定日", ERROR),
        (HomeModification, &[("完成日", ""), ("支給申請日", ""), ("支給決定日", "20260609")], "支給決定日", ERROR),
        (EquipmentPurchase, &[("購入日", "20000331"), ("種目", "1"), ("入浴補助用具の区分", "")], "購入日", ERROR),
        (EquipmentPurchase, &[("支給申請日", "20260609")], "支給申請日", ERROR),
        (EquipmentPurchase, &[("支給決定日", "20260623")], "支給決定日", ERROR),
        (EquipmentPurchase, &[("支給申請日", ""), ("支給決定日", "20260609")], "支給決定日", ERROR),
        (Consent, &[("行為日", "20000331")], "行為日", ERROR),
        (Link, &[("異動日", "20000331")], "異動日", ERROR),
    ]
};

#[test]
fn days_in_an_impossible_order_cost_their_row_and_unlikely_ones_are_told() {
    for (kind, changes, item, is_error) in CASES {
        let what = format!("{} {changes:?}", kind.code());
        let (problems, taken) = told(*kind, changes);
        let [problem] = &problems[..] else { panic!("{what}: {problems:#?}") };
        assert_eq!((problem.rule.as_ref(), problem.item.as_str()), ("date_order", *item), "{what}: {problem:?}");
        assert_eq!((problem.is_error(), taken), (*is_error, !is_error), "{what}");
        assert!(problem.line == 2 && problem.column > 0 && problem.file.contains(kind.code()), "{what}: {problem:?}");
        assert_eq!(problem.found.len(), 8, "{what}: the day that was found, {problem:?}");
        assert!(problem.expected.contains("確認してください"), "{what}: {}", problem.message_ja());
    }
}

#[test]
fn the_rows_that_are_spoiled_are_sound() {
    for kind in MunicipalKind::ALL {
        assert!(CASES.iter().any(|case| case.0 == kind), "{kind:?} has no rule of days");
        let (problems, taken) = told(kind, &[]);
        assert!(problems.is_empty() && taken, "{kind:?}: {problems:?}");
    }
    assert_eq!(told(MunicipalKind::Progress, &[("終了日", "20260209")]).0, []);
}

#[test]
fn a_decision_by_the_city_itself_and_a_move_have_their_own_first_day() {
    for code in ["04", "05"] {
        let changes = [("申請区分", code), ("認定有効期間開始日", "20260125")];
        assert_eq!(told(MunicipalKind::Progress, &changes).0, [], "{code}");
    }
}

/// Items of a kind that say what has happened, and all its other days.
fn days_of(kind: MunicipalKind) -> (Vec<&'static str>, Vec<&'static str>) {
    let of = |wanted: ItemKind| {
        let items = &layout::municipal().file(kind.code()).unwrap().items;
        items.iter().filter(|item| item.kind == wanted).map(|item| item.name).collect()
    };
    (of(ItemKind::PastDate), of(ItemKind::Date))
}

#[test]
fn a_day_of_what_has_happened_cannot_lie_after_the_day_on_which_the_package_was_made() {
    let mut items = 0;
    for kind in MunicipalKind::ALL {
        for item in days_of(kind).0 {
            items += 1;
            for (problems, taken) in [told(kind, &[(item, "20261202")]), told_in_json(kind, item, "20261202")] {
                let what = format!("{} {item}: {problems:#?}", kind.code());
                let problem = problems.iter().find(|problem| problem.item == item && problem.rule == "date_order");
                let problem = problem.unwrap_or_else(|| panic!("{what}"));
                assert!(problem.is_error() && !taken && problem.line == 2 && problem.column > 0, "{what}");
                assert_eq!(problem.found, "20261202", "{what}");
                assert!(problem.expected.contains("作成日時の日（20261201）より後"), "{what}");
                // Another item is not blamed for it.
                assert!(problems.iter().all(|p| p.rule != "date_order" || p.item == item), "{what}");
            }
            let made_on = told(kind, &[(item, "20261201")]).0;
            assert!(made_on.iter().all(|problem| !problem.expected.contains("作成日時")), "{item}: {made_on:?}");
        }
    }
    assert!(items > 50, "{items}");
    let open = told(MunicipalKind::Insured, &[("生年月日", "20990101")]).0;
    assert_eq!(open.iter().map(|problem| problem.item.as_str()).collect::<Vec<_>>(), ["生年月日"], "{open:?}");
}

#[test]
fn what_is_planned_and_what_holds_until_a_day_may_lie_ahead() {
    use MunicipalKind::{CopaymentRate, HomeModification, InsuranceCard, Insured, Progress};
    let ahead = [
        (Insured, "資格喪失日"),
        (InsuranceCard, "認定有効期間終了日"),
        (InsuranceCard, "限度額適用期間終了日"),
        (CopaymentRate, "適用期間2終了日"),
        (Progress, "審査会予定日"),
        (Progress, "認定有効期間終了日"),
        (Progress, "処理見込期間終了日"),
        (HomeModification, "着工日"),
    ];
    for (kind, item) in ahead {
        assert!(days_of(kind).1.contains(&item), "{item} says what has happened");
        let (problems, _) = told(kind, &[(item, "20270105")]);
        assert!(problems.iter().all(|problem| !problem.expected.contains("作成日時")), "{item}: {problems:?}");
    }
    assert!(
        told(Progress, &[("審査会予定日", "20270105"), ("審査完了日", "")]).0.iter().all(|p| p.item != "審査会予定日")
    );
}

#[test]
fn in_a_package_the_day_of_the_manifest_counts() {
    for (day, is_taken) in [(date(2026, 12, 1), true), (date(2026, 12, 2), false)] {
        let package = MunicipalPackage::new(person().insurer, "2026-12-01T00:00:00Z".parse().unwrap());
        let applied = CertificationProgress::apply(date(2026, 11, 2), ApplicationKind::New);
        let opinion_requested_from = OfficeNumber::parse("9910000018").ok();
        let progress = CertificationProgress { opinion_requested_on: Some(day), opinion_requested_from, ..applied };
        let files = package.progress(&one(progress)).finish().unwrap();
        let mut taken = false;
        let problems = municipal::open(files).check(&mut |_| taken = true);
        assert_eq!(taken, is_taken, "{problems:?}");
        assert!(is_taken || problems.iter().any(|p| p.item == "意見書依頼日" && p.found == "20261202"), "{problems:?}");
    }
}
