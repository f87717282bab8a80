//! Filled, visibly invented documents of a city: sample data of the demo and of tests.

use crate::application::{
    CertificationApplication, ConsentColumn, FamilyPhysician, InstitutionStay, MedicalInsurance, PreviousResult,
    Submitter, SubmitterKind,
};
use crate::certification::{ApplicationKind, CareLevel};
use crate::consent::Declarant;
use crate::dates::{Period, age_on};
use crate::equipment_purchase::{BathingAid, EquipmentItem, EquipmentPurchase};
use crate::home_modification::{HomeModification, ModificationKind, PaymentMethod};
use crate::insured::Identity;
use crate::physician_opinion::{DementiaIndependence, PhysicalIndependence};
use crate::survey::{
    Answers, CertificationSurvey, Conducted, Contact, EarlierCertification, GroupNote, ItemNote, ServiceUse,
    ServicesInUse, Surroundings, SurveyPlace, SurveyService, items,
};
use jiff::ToSpan;
use jiff::civil::Date;

fn after(day: Date, days: i32) -> Date {
    day.checked_add(days.days()).unwrap_or(day)
}

impl CertificationSurvey {
    /// Sample data: a visit at home a week after the application. `answers` picks a choice for each item, by its place and
    /// the number of its choices.
    pub fn example(subject: Identity, applied_on: Date, answers: impl FnMut(usize, usize) -> usize) -> Self {
        Self {
            applied_on,
            conducted: Conducted {
                on: after(applied_on, 7),
                at: crate::care_plan::ClockTime::parse("1400"),
                survey_place: SurveyPlace::Home,
                surveyor: "調査 見本子".to_owned(),
                organization: "見本市役所 介護保険課".to_owned(),
                office: None,
            },
            previous: Some(EarlierCertification {
                decided_on: Some(after(applied_on, -700)),
                level: Some(CareLevel::Care1),
            }),
            subject,
            contacts: Some(Contact {
                name: "例示 孝子".to_owned(),
                relation: Some("長女".to_owned()),
                address: Some("架空県見本市例町二丁目".to_owned()),
                telephone: Some("099-000-0202".to_owned()),
            }),
            services: ServicesInUse {
                used: vec![
                    ServiceUse { service: SurveyService::HomeHelp, amount: 8 },
                    ServiceUse { service: SurveyService::DayService, amount: 9 },
                    ServiceUse { service: SurveyService::EquipmentRental, amount: 2 },
                ],
                home_modified: Some(true),
                municipal_benefit: None,
                other: Some("配食 週2回".to_owned()),
            },
            facility: None,
            surroundings: Surroundings {
                family: Some("長女と二人で暮らす。長女は日中仕事で不在".to_owned()),
                housing: Some("戸建ての1階で生活。廊下に手すりあり".to_owned()),
                equipment: Some("歩行器".to_owned()),
            },
            answers: pick(answers),
            physical: Some(PhysicalIndependence::A2),
            dementia: Some(DementiaIndependence::Level2a),
            notes: vec![
                GroupNote {
                    group: 1, text: "(1-7) 屋内は歩行器で5m歩けるが、ふらつきがある。".to_owned()
                },
                GroupNote { group: 5, text: "(5-1) 薬は長女が1回分ずつ渡す。".to_owned() },
            ],
            item_notes: vec![ItemNote {
                item: "2-2".to_owned(), text: "居室から食堂まで、長女が見守る。".to_owned()
            }],
        }
    }
}

fn pick(mut answer: impl FnMut(usize, usize) -> usize) -> Answers {
    let mut answers = Answers::default();
    for (at, item) in items().iter().enumerate() {
        let count = item.choices.len();
        if let Some((code, _)) = item.choices.get(answer(at, count).min(count - 1)) {
            answers.set_at(at, *code);
        }
    }
    answers
}

impl CertificationApplication {
    /// Sample data: an application handed in by the 地域包括支援センター, its 同意欄 ticked by the person.
    pub fn example(applicant: Identity, applied_on: Date, kind: ApplicationKind) -> Self {
        let is_young = age_on(applicant.birth, applied_on) < 65;
        let renewed = matches!(kind, ApplicationKind::Renewal | ApplicationKind::Change);
        let before = Period::new(after(applied_on, -700), Some(after(applied_on, 30))).ok();
        let stay = Period::new(after(applied_on, -90), Some(after(applied_on, -60))).ok();
        Self {
            applied_on,
            kind,
            applicant,
            medical_insurance: Some(MedicalInsurance {
                name: Some("架空県後期高齢者医療広域連合".to_owned()),
                number: Some("39990000".to_owned()),
                symbol: None,
                card_number: Some("00012345".to_owned()),
                branch: Some("01".to_owned()),
            }),
            previous: renewed.then_some(PreviousResult { level: CareLevel::Care1, valid: before }),
            moved_from: None,
            change_reason: (kind == ApplicationKind::Change).then(|| "転倒して歩きにくくなったため".to_owned()),
            facilities: stay
                .map(|stay| InstitutionStay {
                    name: "架空病院".to_owned(),
                    address: Some("架空県見本市例町三丁目".to_owned()),
                    stay,
                })
                .into_iter()
                .collect(),
            contacts: Some(Submitter {
                kind: SubmitterKind::CommunityCenter,
                name: "見本市地域包括支援センター".to_owned(),
                office: None,
                address: Some("架空県見本市例町一丁目".to_owned()),
                telephone: Some("099-000-0303".to_owned()),
            }),
            hospital: Some(FamilyPhysician {
                physician_name: "見本 太郎".to_owned(),
                institution: "架空診療所".to_owned(),
                address: Some("架空県見本市架空町2-2".to_owned()),
                telephone: Some("099-000-0404".to_owned()),
                last_visited_on: Some(after(applied_on, -10)),
            }),
            specified_disease: is_young.then_some(13),
            consent: Some(ConsentColumn { on: applied_on, declarant: Declarant::Person }),
        }
    }
}

impl HomeModification {
    /// Sample data: handrails in the first dwelling, 60,000 yen.
    pub fn example(started_on: Date, level: CareLevel) -> Self {
        Self {
            dwelling: 1,
            address: "架空県見本市例町一丁目２番３号".to_owned(),
            owner: Some("例示 孝子".to_owned()),
            owner_relation: Some("長女".to_owned()),
            kinds: vec![ModificationKind::Handrail, ModificationKind::Incidental],
            places: Some("廊下 2か所、便所 1か所".to_owned()),
            provider_name: Some("架空工務店".to_owned()),
            reason_writer: Some("見本 介護支援専門員".to_owned()),
            level,
            requested_on: Some(after(started_on, -20)),
            approved_on: Some(after(started_on, -7)),
            approval_number: Some("2026-001".to_owned()),
            started_on,
            completed_on: Some(after(started_on, 2)),
            claimed_on: Some(after(started_on, 10)),
            decided_on: Some(after(started_on, 30)),
            cost: 66_000,
            eligible: 60_000,
            paid: 54_000,
            payment: PaymentMethod::ProxyReceipt,
            already_eligible: None,
            copayment: Some(12_000),
        }
    }
}

impl EquipmentPurchase {
    /// Sample data: a bath chair, 25,000 yen.
    pub fn example(purchased_on: Date) -> Self {
        Self {
            item: EquipmentItem::Bathing,
            bathing_aid: Some(BathingAid::Chair),
            product: "見本シャワーチェア".to_owned(),
            maker: Some("架空製作所".to_owned()),
            provider: None,
            provider_name: "福祉用具みほん".to_owned(),
            purchased_on,
            cost: 25_000,
            eligible: 25_000,
            paid: 22_500,
            need: Some("立ったまま体を洗えないため".to_owned()),
            again: None,
            claimed_on: Some(after(purchased_on, 14)),
            decided_on: Some(after(purchased_on, 40)),
            payment: PaymentMethod::Reimbursement,
            in_institution: Some(false),
            payment_receipt: Some(true),
            brochure: Some(true),
        }
    }
}
