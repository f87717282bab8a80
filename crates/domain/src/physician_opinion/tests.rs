use super::*;
use jiff::civil::date;

fn opinion_written_on(day: Date) -> PhysicianOpinion {
    let person = PersonKey { insurer: "232074".parse().unwrap(), insured: "0001234567".parse().unwrap() };
    PhysicianOpinion::example(person, "2312345678".parse().unwrap(), day)
}

fn opinion() -> PhysicianOpinion {
    opinion_written_on(date(2026, 10, 8))
}

/// The items found wrong, faults only.
fn faults(opinion: &PhysicianOpinion) -> Vec<String> {
    opinion.problems().into_iter().filter(|p| p.severity == Severity::Fault).map(|p| p.item).collect()
}

fn notes(opinion: &PhysicianOpinion) -> Vec<String> {
    opinion.problems().into_iter().filter(|p| p.severity == Severity::Note).map(|p| p.item).collect()
}

#[test]
fn a_complete_opinion_has_nothing_to_put_right() {
    for day in [date(2026, 10, 8), date(2026, 3, 31), date(2024, 2, 29), date(2026, 1, 10)] {
        assert_eq!(opinion_written_on(day).problems(), [], "{day}");
    }
}

#[test]
fn an_opinion_survives_being_stored() {
    for day in [date(2026, 10, 8), date(2026, 3, 31)] {
        let opinion = opinion_written_on(day);
        let text = serde_json::to_string(&opinion).unwrap();
        assert_eq!(serde_json::from_str::<PhysicianOpinion>(&text).unwrap(), opinion);
    }
}

#[test]
fn the_last_examination_cannot_be_after_the_day_of_writing() {
    let mut late = opinion();
    late.basics.last_examined_on = Some(date(2026, 10, 9));
    let problem = late.problems().remove(0);
    assert_eq!(problem.severity, Severity::Fault);
    assert_eq!(
        problem.message_ja(),
        "最終診察日：令和8年10月9日は記入日（令和8年10月8日）より後です。記入日以前の日付を記入してください"
    );
    late.basics.last_examined_on = Some(date(2026, 10, 8));
    assert_eq!(late.problems(), []);
    late.basics.last_examined_on = None;
    assert_eq!(faults(&late), ["最終診察日"]);
}

#[test]
fn an_opinion_written_before_the_application_is_only_worth_a_look() {
    let mut early = opinion();
    early.applied_on = date(2026, 10, 9);
    assert_eq!((faults(&early).len(), notes(&early)), (0, vec!["記入日".to_owned()]));
}

#[test]
fn texts_longer_than_their_box_are_named_with_the_limit() {
    let text = |n: usize| Some("あ".repeat(n));
    let mut long = opinion();
    long.basics.departments.push(Department::Other);
    long.condition.behavioral_symptoms.push(BehavioralSymptom::Other);
    long.condition.psychiatric = Some(Presence::Present);
    let fill = |o: &mut PhysicianOpinion, over: usize| {
        o.basics.other_department = text(6 + over);
        o.illness.course = text(250 + over);
        o.condition.behavioral_other = text(15 + over);
        o.condition.psychiatric_name = text(30 + over);
        o.daily_life.risk_policy = text(140 + over);
        o.daily_life.precautions.mobility.text = text(30 + over);
        o.daily_life.precautions.other = text(50 + over);
    };
    fill(&mut long, 0);
    assert_eq!(long.problems(), []);
    fill(&mut long, 1);
    assert_eq!(
        faults(&long),
        [
            "他科受診 その他",
            "経過及び投薬内容を含む治療内容",
            "BPSD その他",
            "その他の精神・神経症状 症状名",
            "対処方針",
            "留意事項 移動",
            "留意事項 その他",
        ]
    );
    assert!(long.problems()[1].message_ja().contains("251文字あります。250文字以内"));
}

#[test]
fn line_breaks_do_not_count_as_characters() {
    let mut opinion = opinion();
    opinion.illness.course = Some(format!("{}\r\n", "あ".repeat(250)));
    assert_eq!(opinion.problems(), []);
}

#[test]
fn whoever_ticks_other_has_to_say_what() {
    let mut vague = opinion();
    vague.basics.departments.push(Department::Other);
    vague.condition.behavioral_symptoms.push(BehavioralSymptom::Other);
    vague.daily_life.risks.push(Risk::Other);
    vague.daily_life.medical_needs.push(MedicalNeed { service: MedicalService::Other, is_underlined: false });
    vague.illness.stability = Some(Stability::Unstable);
    vague.daily_life.infection = Some(Infection::Present);
    assert_eq!(
        faults(&vague),
        [
            "他科受診 その他",
            "不安定とした場合の具体的な状況",
            "BPSD その他",
            "その他の状態名",
            "感染症 具体",
            "その他の医療系サービス",
        ]
    );
}

#[test]
fn answers_that_contradict_each_other_are_named() {
    let mut torn = opinion();
    torn.basics.other_departments = Some(Presence::Absent);
    torn.condition.behavioral = Some(Presence::Absent);
    torn.daily_life.walking_aids.push(WalkingAid::NotUsed);
    torn.daily_life
        .medical_needs
        .push(MedicalNeed { service: MedicalService::NothingParticular, is_underlined: false });
    torn.daily_life.precautions.blood_pressure.need = Some(PrecautionNeed::NothingParticular);
    torn.daily_life.precautions.nothing_particular = true;
    assert_eq!(
        faults(&torn),
        [
            "他科受診の有無",
            "認知症の行動・心理症状（BPSD）の有無",
            "歩行補助具・装具の使用",
            "医学的管理の必要性",
            "留意事項 血圧",
            "留意事項 移動",
        ]
    );
}

#[test]
fn what_the_first_judgement_needs_cannot_be_left_out() {
    let mut empty = opinion();
    empty.illness.stability = None;
    empty.illness.diagnoses[0] = None;
    empty.condition = Condition::default();
    empty.daily_life.eating = None;
    empty.basics.applicant.name = "　".to_owned();
    assert_eq!(
        faults(&empty),
        [
            "申請者 氏名",
            "診断名1",
            "症状としての安定性",
            "障害高齢者の日常生活自立度（寝たきり度）",
            "認知症高齢者の日常生活自立度",
            "短期記憶",
            "日常の意思決定を行うための認知能力",
            "自分の意思の伝達能力",
            "食事行為",
        ]
    );
}

#[test]
fn an_applicant_under_65_needs_a_specified_disease_first() {
    let mut young = opinion();
    young.basics.applicant.birth = date(1970, 1, 15);
    young.basics.age = Some(56);
    assert_eq!(young.problems(), [], "脳梗塞 is one");
    young.illness.diagnoses[2].as_mut().unwrap().name = "ＡＬＳ".to_owned();
    young.illness.diagnoses.swap(0, 2);
    assert_eq!(young.problems(), [], "so is ＡＬＳ in full width");
    young.illness.diagnoses.swap(0, 1);
    assert_eq!(notes(&young), ["診断名1"]);
}

#[test]
fn an_age_that_the_birth_date_denies_is_named() {
    let mut odd = opinion();
    odd.basics.age = Some(58);
    assert_eq!(faults(&odd), ["年齢"]);
}

#[test]
fn a_physicians_refusal_counts_only_before_april_2026() {
    let refused = |day| {
        let mut opinion = opinion_written_on(day);
        opinion.form = OpinionForm::Form2006 { physician_consent: Some(PhysicianConsent::Refuses) };
        opinion
    };
    assert!(refused(date(2026, 3, 31)).is_refused_by_physician());
    let later = refused(date(2026, 4, 1));
    assert!(!later.is_refused_by_physician());
    assert_eq!(later.physician_consent(), None);
    assert_eq!(notes(&later), ["医師の同意"]);
}

#[test]
fn the_same_application_institution_and_count_are_the_same_document() {
    let mut again = opinion();
    again.request.software = Some("介護保険事務システム".to_owned());
    again.remarks = None;
    assert_eq!(again.natural_key(), opinion().natural_key());
    assert_eq!(again.natural_key(), "20261001-2312345678-2");
    again.count = OpinionCount::First;
    assert_ne!(again.natural_key(), opinion().natural_key());
}

#[test]
fn every_choice_is_found_again_by_its_code() {
    fn codes(all: Vec<(&'static str, bool)>, expected: usize) {
        assert_eq!(all.len(), expected);
        for (i, (code, found_again)) in all.iter().enumerate() {
            assert_eq!(*code, (i + 1).to_string(), "codes count in the order of the form");
            assert!(found_again);
        }
    }
    macro_rules! check {
        ($($name:ident $count:literal)+) => {$(
            codes($name::ALL.iter().map(|c| (c.code(), $name::from_code(c.code()) == Some(*c))).collect(), $count);
            assert_eq!($name::from_code("99"), None);
        )+};
    }
    check! {
        Setting 2 PhysicianConsent 2 OpinionCount 2 Presence 2 Department 13 Stability 3 MedicalTreatment 9 SpecialResponse 2
        PhysicalIndependence 9 DementiaIndependence 8 ShortTermMemory 2 DecisionMaking 4 Communication 4
        BehavioralSymptom 12 Side 2 WeightChange 3 Degree 3 OutdoorWalking 3 Wheelchair 3 WalkingAid 3 Eating 2
        Nutrition 2 Risk 14 Outlook 3 MedicalService 13 PrecautionNeed 2 Infection 3
    }
    assert_eq!(MedicalService::ALL.iter().filter(|s| s.is_on_form_2006()).count(), 10);
}

#[test]
fn height_and_weight_are_numbers_of_up_to_five_characters() {
    for text in ["148.5", "46", "46.0", "100.0"] {
        assert_eq!(Measure::parse(text).unwrap().as_str(), text);
    }
    for text in ["", "0", "0.0", "148.55", "１４８", "46kg", ".5", "1.2.3", "-46"] {
        assert_eq!(Measure::parse(text), None, "{text}");
    }
    assert!(serde_json::from_str::<Measure>("\"tall\"").is_err());
}
