//! A1, A2, A4, E1 and E2 in the municipal package: every item survives, every impossible row is refused with its place.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files should fail")]

use jiff::civil::date;
use kiban_domain::application::{CertificationApplication, MovedFrom};
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::consent::Declarant;
use kiban_domain::equipment_purchase::{AgainReason, EquipmentItem, EquipmentPurchase};
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insured::{Identity, Sex};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::{CertificationSurvey, SurveyFacility, SurveyFacilityKind, SurveyPlace};
use kiban_domain::{InsuredNumber, InsurerNumber, OfficeNumber, PersonKey};
use kiban_formats::municipal::{self, Change, Entry, MunicipalPackage, MunicipalValue, Writable};
use kiban_formats::text::Encoding;

fn person(number: u32) -> PersonKey {
    PersonKey {
        insurer: InsurerNumber::parse("999003").unwrap(),
        insured: InsuredNumber::parse(&format!("{number:010}")).unwrap(),
    }
}

fn entry<T>(history: u32, value: T) -> Entry<T> {
    Entry { key: person(1_234_567), history, change: Change::New, value }
}

fn identity() -> Identity {
    Identity {
        name: "架空 花子".into(),
        kana: "カクウ ハナコ".into(),
        birth: date(1941, 5, 3),
        sex: Sex::Female,
        postal_code: Some("990-0001".into()),
        address: Some("架空県見本市例町一丁目２番３号".into()),
        telephone: Some("099-000-0101".into()),
    }
}

fn surveys() -> Vec<Entry<CertificationSurvey>> {
    let first = CertificationSurvey::example(identity(), date(2026, 1, 5), |_, _| 0);
    let mut outside = CertificationSurvey::example(identity(), date(2026, 3, 2), |at, count| at % count);
    outside.conducted.survey_place = SurveyPlace::Elsewhere("架空病院 3階".into());
    outside.conducted.at = None;
    outside.previous = None;
    outside.contacts = None;
    outside.services.home_modified = None;
    outside.facility = Some(SurveyFacility {
        kind: SurveyFacilityKind::Hospital,
        name: Some("架空病院".into()),
        address: Some("架空県見本市".into()),
        telephone: None,
    });
    vec![entry(1, first), entry(2, outside)]
}

fn opinions() -> Vec<Entry<PhysicianOpinion>> {
    let institution = OfficeNumber::parse("9910000018").unwrap();
    let paper = |written_on| PhysicianOpinion::example(person(1_234_567), institution, written_on);
    vec![entry(1, paper(date(2025, 4, 1))), entry(2, paper(date(2026, 4, 2)))]
}

fn applications() -> Vec<Entry<CertificationApplication>> {
    let renewal = CertificationApplication::example(identity(), date(2026, 1, 5), ApplicationKind::Renewal);
    let mut change = CertificationApplication::example(identity(), date(2026, 3, 2), ApplicationKind::Change);
    change.consent.as_mut().unwrap().declarant = Declarant::Representative { relation: "長女".into() };
    change.moved_from = Some(MovedFrom { municipality: "隣見本市".into(), level: Some(CareLevel::Support1) });
    let mut young = CertificationApplication::example(
        Identity { birth: date(1970, 5, 3), ..identity() },
        date(2026, 3, 9),
        ApplicationKind::New,
    );
    young.consent = None;
    young.contacts = None;
    young.hospital = None;
    young.medical_insurance = None;
    young.facilities.clear();
    vec![entry(1, renewal), entry(2, change), entry(3, young)]
}

fn works() -> Vec<Entry<HomeModification>> {
    let mut second = HomeModification::example(date(2026, 2, 2), CareLevel::Care4);
    second.dwelling = 2;
    second.completed_on = None;
    second.decided_on = None;
    second.already_eligible = Some(100_000);
    vec![entry(1, HomeModification::example(date(2024, 6, 3), CareLevel::Care1)), entry(2, second)]
}

fn purchases() -> Vec<Entry<EquipmentPurchase>> {
    let mut stick = EquipmentPurchase::example(date(2025, 5, 7));
    stick.item = EquipmentItem::WalkingStick;
    stick.bathing_aid = None;
    stick.again = Some(AgainReason::Broken);
    stick.in_institution = None;
    (stick.payment_receipt, stick.brochure) = (Some(true), Some(false));
    stick.provider = OfficeNumber::parse("9970000015").ok();
    vec![entry(1, EquipmentPurchase::example(date(2026, 3, 31))), entry(2, stick)]
}

fn package(encoding: Encoding) -> Vec<(String, Vec<u8>)> {
    MunicipalPackage::new(person(1).insurer, "2026-06-03T00:00:00Z".parse().unwrap())
        .encoding(encoding)
        .records(&applications())
        .records(&surveys())
        .records(&opinions())
        .records(&works())
        .records(&purchases())
        .finish()
        .unwrap()
}

#[test]
fn every_item_comes_back_as_it_was_written() {
    for encoding in [Encoding::Utf8, Encoding::Cp932] {
        let mut rows = Vec::new();
        let problems = municipal::open(package(encoding)).check(&mut |row| rows.push(row.value));
        assert!(problems.is_empty(), "{problems:?}");
        let mut expected = Vec::new();
        expected.extend(applications().into_iter().map(|e| MunicipalValue::Application(Box::new(e.value))));
        expected.extend(surveys().into_iter().map(|e| MunicipalValue::Survey(Box::new(e.value))));
        expected.extend(opinions().into_iter().map(|e| MunicipalValue::Opinion(Box::new(e.value))));
        expected.extend(works().into_iter().map(|e| MunicipalValue::HomeModification(Box::new(e.value))));
        expected.extend(purchases().into_iter().map(|e| MunicipalValue::EquipmentPurchase(Box::new(e.value))));
        assert_eq!(rows, expected);
    }
}

/// What is told of the first row of a kind after some of its items were changed: item and rule.
fn told<T: Writable>(entries: &[Entry<T>], changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let made = "2026-06-03T00:00:00Z".parse().unwrap();
    let files = MunicipalPackage::new(person(1).insurer, made).records(entries).finish().unwrap();
    let (name, bytes) = &files[1];
    let text = String::from_utf8(bytes.clone()).unwrap();
    let mut lines: Vec<Vec<String>> =
        text.lines().take(2).map(|line| line.split(',').map(str::to_owned).collect()).collect();
    for (item, value) in changes {
        let column = lines[0].iter().position(|name| name == item).unwrap_or_else(|| panic!("no item {item}"));
        lines[1][column] = (*value).to_owned();
    }
    let text: String = lines.iter().map(|line| line.join(",") + "\r\n").collect();
    // Without a manifest a file is judged by its name alone.
    let problems = municipal::open(vec![(name.clone(), text.into_bytes())]).check(&mut |_| {});
    let located = problems.iter().filter(|problem| problem.rule != "file_missing");
    located
        .inspect(|problem| assert!(problem.is_error() && problem.line == 2 && problem.column > 0, "{problem:?}"))
        .map(|problem| (problem.item.clone(), problem.rule.to_string()))
        .collect()
}

fn one(item: &str, rule: &str) -> Vec<(String, String)> {
    vec![(item.to_owned(), rule.to_owned())]
}

#[test]
fn a_survey_that_cannot_be_is_refused_at_its_item() {
    let entries = surveys();
    assert_eq!(told(&entries, &[]), []);
    assert_eq!(told(&entries, &[("申請日", "20260113")]), one("実施日", "date_order"));
    assert_eq!(told(&entries, &[("前回認定日", "20260401")]), one("実施日", "date_order"));
    assert_eq!(told(&entries, &[("実施場所", "2")]), one("実施場所名称", "required"));
    assert_eq!(told(&entries, &[("過去の認定", "1")]), one("過去の認定", "conflict"));
    assert_eq!(told(&entries, &[("1-3 寝返り", "4")]), one("1-3 寝返り", "code"));
    assert_eq!(told(&entries, &[("6-1 点滴の管理", "")]), one("6-1 点滴の管理", "required"));
    assert_eq!(told(&entries, &[("家族等連絡先氏名", "")]), one("家族等連絡先氏名", "required"));
}

#[test]
fn an_opinion_that_cannot_be_is_refused_at_its_item() {
    let entries = opinions();
    assert_eq!(told(&entries, &[]), []);
    assert_eq!(told(&entries, &[("最終診察日", "20250402")]), one("記入日", "date_order"));
    assert_eq!(told(&entries, &[("送付日", "20250331")]), one("送付日", "date_order"));
    assert_eq!(told(&entries, &[("様式", "2026")]), one("医師の同意", "conflict"));
    assert_eq!(told(&entries, &[("発症年月日1西暦", "20241301")]), one("発症年月日1西暦", "date"));
    assert_eq!(told(&entries, &[("特別な医療 特別な対応", "o")]), one("特別な医療 特別な対応", "format"));
    assert_eq!(told(&entries, &[("特別な医療 特別な対応", "01")]), one("特別な医療 特別な対応", "format"));
    let underlined = [("医学的管理の必要性", "xxxxxxxxxxxxx")];
    assert_eq!(told(&entries, &underlined), one("医学的管理の下線", "conflict"));
}

#[test]
fn an_application_that_cannot_be_is_refused_at_its_item() {
    let entries = applications();
    assert_eq!(told(&entries, &[]), []);
    assert_eq!(told(&entries, &[("申請区分", "03")]), one("変更申請の理由", "required"));
    assert_eq!(told(&entries, &[("同意日", "20260104")]), one("同意日", "date_order"));
    assert_eq!(told(&entries, &[("同意日", "")]), [], "the day of the application");
    assert_eq!(told(&entries, &[("同意者区分", "")]), one("同意者区分", "required"));
    assert_eq!(told(&entries, &[("同意者区分", "2")]), one("同意者続柄・資格", "required"));
    assert_eq!(told(&entries, &[("同意欄", "0")]), one("同意欄", "conflict"));
    assert_eq!(told(&entries, &[("生年月日", "19700503")]), one("特定疾病", "required"));
    assert_eq!(told(&entries, &[("特定疾病", "17")]), one("特定疾病", "code"));
    assert_eq!(told(&entries, &[("前回有効期間終了日", "20200101")]), one("前回有効期間終了日", "date_order"));
    assert_eq!(told(&entries, &[("入所・入院先1終了日", "20200101")]), one("入所・入院先1終了日", "date_order"));
    assert_eq!(told(&entries, &[("主治医氏名", "")]), one("主治医氏名", "required"));
}

#[test]
fn a_work_that_cannot_be_is_refused_at_its_item() {
    let entries = works();
    assert_eq!(told(&entries, &[]), []);
    assert_eq!(told(&entries, &[("承認日", "20240501")]), one("承認日", "date_order"));
    assert_eq!(told(&entries, &[("完成日", "20240602")]), one("完成日", "date_order"));
    assert_eq!(told(&entries, &[("支給決定日", "20240601")]), one("支給決定日", "date_order"));
    assert_eq!(told(&entries, &[("改修の種類", "xxxxxx")]), one("改修の種類", "required"));
    assert_eq!(told(&entries, &[("改修費用総額", "59999")]), one("支給対象額", "range"));
    assert_eq!(told(&entries, &[("支給額", "60001")]), one("支給額", "range"));
    let above = [("改修費用総額", "300000"), ("支給対象額", "200001")];
    assert_eq!(told(&entries, &above), one("支給対象額", "range"));
    assert_eq!(told(&entries, &[("住宅番号", "0")]), one("住宅番号", "range"));
    assert_eq!(told(&entries, &[("利用者負担額", "12001")]), one("利用者負担額", "range"));
}

#[test]
fn a_purchase_that_cannot_be_is_refused_at_its_item() {
    let entries = purchases();
    assert_eq!(told(&entries, &[]), []);
    assert_eq!(told(&entries, &[("入浴補助用具の区分", "")]), one("入浴補助用具の区分", "required"));
    assert_eq!(told(&entries, &[("種目", "1")]), one("入浴補助用具の区分", "conflict"));
    assert_eq!(told(&entries, &[("支給申請日", "20260330")]), one("支給申請日", "date_order"));
    let frame = [("種目", "8"), ("入浴補助用具の区分", ""), ("購入日", "20240331")];
    assert_eq!(told(&entries, &frame), one("購入日", "date_order"));
    let above = [("購入金額", "150000"), ("支給対象額", "100001")];
    assert_eq!(told(&entries, &above), one("支給対象額", "range"));
}

#[test]
fn two_opinions_of_one_application_institution_and_count_are_one_too_many() {
    let mut entries = opinions();
    entries[1].value = PhysicianOpinion { remarks: Some("別の文".into()), ..entries[0].value.clone() };
    let made = "2026-06-03T00:00:00Z".parse().unwrap();
    let files = MunicipalPackage::new(person(1).insurer, made).records(&entries).finish().unwrap();
    let mut rows = 0;
    let problems = municipal::open(files).check(&mut |_| rows += 1);
    assert_eq!(problems.iter().map(|p| (p.line, p.rule.as_ref())).collect::<Vec<_>>(), [(3, "duplicate_key")]);
    assert_eq!(rows, 1);
}
