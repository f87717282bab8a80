//! A filled, visibly invented 主治医意見書: sample data of the demo and of tests.

use super::*;
use crate::insured::Sex;
use jiff::ToSpan;

impl PhysicianOpinion {
    /// Sample data, without any [`Severity::Fault`]: an invented woman of about 85 after a stroke, living at home, whose
    /// application was filed a week before `written_on`.
    pub fn example(person: PersonKey, institution: OfficeNumber, written_on: Date) -> Self {
        let before = |days: i32| written_on.checked_sub(days.days()).unwrap_or(written_on);
        let form = match written_on < REVISED_ON {
            true => OpinionForm::Form2006 { physician_consent: Some(PhysicianConsent::Agrees) },
            false => OpinionForm::Form2026,
        };
        Self {
            person,
            institution,
            applied_on: before(7),
            count: OpinionCount::Repeated,
            form,
            request: OpinionRequest {
                software: Some("見本ソフト".to_owned()),
                file_key: None,
                card_insurer: person.insurer,
                insurer_name: Some("見本市".to_owned()),
                requested_on: Some(before(6)),
                sent_on: None,
                request_number: Some("0001".to_owned()),
                physician_number: Some("0001".to_owned()),
                setting: Some(Setting::Home),
            },
            basics: basics(written_on, before(3)),
            illness: illness(),
            special_care: SpecialCare {
                treatments: vec![],
                responses: vec![SpecialResponse::Monitoring],
                catheter: false,
            },
            condition: condition(),
            daily_life: daily_life(),
            remarks: Some("見本の意見書です。架空の人物であり、実在の方とは関係ありません。".to_owned()),
        }
    }
}

fn basics(written_on: Date, last_examined_on: Date) -> Basics {
    let birth = jiff::civil::date(written_on.year() - 85, 1, 15);
    Basics {
        written_on,
        applicant: Identity {
            name: "架空 花子".to_owned(),
            kana: "かくう はなこ".to_owned(),
            birth,
            sex: Sex::Female,
            postal_code: Some("000-0000".to_owned()),
            address: Some("見本県見本市架空町1-1".to_owned()),
            telephone: Some("000-000-0000".to_owned()),
        },
        age: u8::try_from(crate::dates::age_on(birth, written_on)).ok(),
        physician_name: "見本 太郎".to_owned(),
        institution_name: "架空診療所".to_owned(),
        institution_postal_code: Some("000-0000".to_owned()),
        institution_address: Some("見本県見本市架空町2-2".to_owned()),
        institution_telephone: Some("000-000-0001".to_owned()),
        institution_fax: Some("000-000-0002".to_owned()),
        last_examined_on: Some(last_examined_on),
        other_departments: Some(Presence::Present),
        departments: vec![Department::Orthopedics, Department::Ophthalmology],
        other_department: None,
    }
}

fn illness() -> Illness {
    let diagnosis = |name: &str, text: &str, known| {
        Some(Diagnosis { name: name.to_owned(), onset: Some(PartialDate { text: text.to_owned(), known }) })
    };
    Illness {
        diagnoses: [
            diagnosis("脳梗塞後遺症", "令和6年9月", (Some(2024), Some(9), None)),
            diagnosis("高血圧症", "平成20年頃", (Some(2008), None, None)),
            diagnosis("両側変形性膝関節症", "不詳", (None, None, None)),
        ],
        stability: Some(Stability::Stable),
        instability: None,
        course: Some(
            "左片麻痺が残り、屋内は手すりと杖で歩行。降圧薬と抗血小板薬を内服し、血圧は安定している。膝の痛みがあり転倒に注意を要する。"
                .to_owned(),
        ),
    }
}

fn condition() -> Condition {
    let finding = |part: &str, degree| Finding { is_marked: true, part: Some(part.to_owned()), degree: Some(degree) };
    let limb = |degree| LimbPalsy { is_marked: true, degree: Some(degree) };
    Condition {
        physical: Some(PhysicalIndependence::A2),
        dementia: Some(DementiaIndependence::Level2a),
        short_term_memory: Some(ShortTermMemory::Problem),
        decision_making: Some(DecisionMaking::SomeDifficulty),
        communication: Some(Communication::Able),
        behavioral: Some(Presence::Present),
        behavioral_symptoms: vec![BehavioralSymptom::DayNightReversal],
        behavioral_other: None,
        psychiatric: Some(Presence::Absent),
        psychiatric_name: None,
        specialist: None,
        specialist_department: None,
        body: Body {
            handedness: Some(Side::Right),
            height_cm: Measure::parse("148.5"),
            weight_kg: Measure::parse("46"),
            weight_change: Some(WeightChange::Unchanged),
            palsy: Palsy {
                is_marked: true,
                left_arm: limb(Degree::Mild),
                left_leg: limb(Degree::Moderate),
                ..Palsy::default()
            },
            muscle_weakness: finding("両下肢", Degree::Moderate),
            joint_pain: finding("両膝", Degree::Moderate),
            ..Body::default()
        },
    }
}

fn daily_life() -> DailyLife {
    let need = |service, is_underlined| MedicalNeed { service, is_underlined };
    let nothing = || Precaution { need: Some(PrecautionNeed::NothingParticular), text: None };
    let needed = |text: &str| Precaution { need: Some(PrecautionNeed::Needed), text: Some(text.to_owned()) };
    DailyLife {
        outdoor_walking: Some(OutdoorWalking::WithAssistance),
        wheelchair: Some(Wheelchair::NotUsed),
        walking_aids: vec![WalkingAid::Outdoors, WalkingAid::Indoors],
        eating: Some(Eating::OwnEffort),
        nutrition: Some(Nutrition::Good),
        nutrition_note: Some("塩分を控える".to_owned()),
        risks: vec![Risk::FallOrFracture, Risk::ReducedMobility],
        other_risk: None,
        risk_policy: Some("下肢の筋力を保つ運動を続け、居室と廊下の環境を整える。".to_owned()),
        outlook: Some(Outlook::Expected),
        medical_needs: vec![need(MedicalService::HomeNursing, false), need(MedicalService::DayRehabilitation, true)],
        other_medical_need: None,
        precautions: Precautions {
            blood_pressure: needed("収縮期160以上は入浴を中止"),
            eating: nothing(),
            swallowing: nothing(),
            mobility: needed("転倒に注意"),
            exercise: nothing(),
            other: None,
            nothing_particular: false,
        },
        infection: Some(Infection::Absent),
        infection_name: None,
    }
}
