//! A4 要介護認定・要支援認定申請書 with its 同意欄 (docs/requirements.md §15.6, P-062, P-064, P-071).

use crate::certification::{ApplicationKind, CareLevel};
use crate::consent::{ConsentAct, ConsentRecord, Declarant, IdentityProof};
use crate::dates::{Period, instant_in_japan};
use crate::ids::{OfficeNumber, Organization, PersonKey};
use crate::insured::Identity;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A4 要介護認定申請書. A 個人番号 written on the form is never held (P-026).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "要介護認定申請書")]
pub struct CertificationApplication {
    /// 申請日: the day the municipality received it; by post, the day it arrived.
    pub applied_on: Date,
    /// 申請区分
    pub kind: ApplicationKind,
    /// 被保険者: 氏名, フリガナ, 生年月日, 性別, 住所, 電話.
    pub applicant: Identity,
    /// 医療保険
    pub medical_insurance: Option<MedicalInsurance>,
    /// 前回の要介護認定の結果等
    pub previous: Option<PreviousResult>,
    /// 転入者: 転出元での認定
    pub moved_from: Option<MovedFrom>,
    /// 変更申請の理由, for 区分変更.
    pub change_reason: Option<String>,
    /// 過去6か月間の介護保険施設・医療機関等への入所・入院, up to two.
    pub facilities: Vec<InstitutionStay>,
    /// 提出代行者
    pub contacts: Option<Submitter>,
    /// 主治医
    pub hospital: Option<FamilyPhysician>,
    /// 特定疾病 (1–16), for 第2号被保険者.
    pub specified_disease: Option<u8>,
    /// 同意欄; none when it is not ticked.
    pub consent: Option<ConsentColumn>,
}

/// 医療保険, asked from everybody since 2022-04.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MedicalInsurance {
    /// 保険者名
    pub name: Option<String>,
    /// 保険者番号
    pub number: Option<String>,
    /// 記号
    pub symbol: Option<String>,
    /// 番号
    pub card_number: Option<String>,
    /// 枝番
    pub branch: Option<String>,
}

/// 前回の要介護認定の結果等.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousResult {
    /// 要介護状態区分
    pub level: CareLevel,
    /// 有効期間
    pub valid: Option<Period>,
}

/// 転出元での認定.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedFrom {
    /// 転出元自治体名
    pub municipality: String,
    /// 要介護状態区分, or none while an application is pending there.
    pub level: Option<CareLevel>,
}

/// One 入所・入院.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstitutionStay {
    /// 名称
    pub name: String,
    /// 所在地
    pub address: Option<String>,
    /// 期間
    pub stay: Period,
}

/// 提出代行者.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitter {
    /// 区分
    pub kind: SubmitterKind,
    /// 名称
    pub name: String,
    /// 事業所番号, when it is an office.
    pub office: Option<OfficeNumber>,
    /// 住所
    pub address: Option<String>,
    /// 電話
    pub telephone: Option<String>,
}

choices! {
    /// 提出代行者の区分.
    SubmitterKind {
        CommunityCenter "1" "地域包括支援センター",
        CarePlanning "2" "居宅介護支援事業者",
        WelfareFacility "3" "介護老人福祉施設",
        HealthFacility "4" "介護老人保健施設",
        IntegratedFacility "5" "介護医療院",
        Family "6" "家族等",
    }
}

/// 主治医.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyPhysician {
    /// 氏名
    pub physician_name: String,
    /// 医療機関名
    pub institution: String,
    /// 所在地
    pub address: Option<String>,
    /// 電話
    pub telephone: Option<String>,
    /// 最終受診日
    pub last_visited_on: Option<Date>,
}

/// 同意欄, ticked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentColumn {
    /// 同意日
    pub on: Date,
    /// Who ticked it.
    pub declarant: Declarant,
}

/// 様式 under which a ticked 同意欄 is recorded.
pub const CONSENT_FORM: &str = "要介護認定申請書 同意欄";

impl CertificationApplication {
    /// The municipal consent that a ticked 同意欄 is (P-071), from 00:00 of its day. Not ticking it, or clearing the tick in a
    /// correction, is no withdrawal.
    pub fn consent_act(&self, person: PersonKey) -> Option<ConsentRecord> {
        let column = self.consent.as_ref()?;
        Some(ConsentRecord {
            person,
            act: ConsentAct::Given,
            acted_at: instant_in_japan(column.on.at(0, 0, 0, 0))?,
            declarant: column.declarant.clone(),
            proof: IdentityProof::ApplicationForm,
            taken_by: Organization::Municipality(person.insurer),
            staff: None,
            form: CONSENT_FORM.to_owned(),
            remark: None,
            leaflet: None,
            evidence: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::ConsentState;
    use crate::ids::{InsuredNumber, InsurerNumber};
    use crate::insured::Sex;
    use crate::kind::Kind;
    use jiff::civil::date;

    fn application(consent: Option<ConsentColumn>) -> CertificationApplication {
        CertificationApplication {
            applied_on: date(2026, 10, 1),
            kind: ApplicationKind::Renewal,
            applicant: Identity {
                name: "架空 花子".into(),
                kana: "カクウ ハナコ".into(),
                birth: date(1941, 5, 3),
                sex: Sex::Female,
                postal_code: None,
                address: None,
                telephone: None,
            },
            medical_insurance: None,
            previous: None,
            moved_from: None,
            change_reason: None,
            facilities: Vec::new(),
            contacts: None,
            hospital: None,
            specified_disease: None,
            consent,
        }
    }

    fn person() -> PersonKey {
        PersonKey {
            insurer: InsurerNumber::parse("999003").unwrap(),
            insured: InsuredNumber::parse("0001234567").unwrap(),
        }
    }

    #[test]
    fn a_ticked_column_is_a_municipal_consent_from_the_first_second_of_its_day() {
        let declarant = Declarant::Representative { relation: "長女".into() };
        let application = application(Some(ConsentColumn { on: date(2026, 10, 1), declarant: declarant.clone() }));
        let act = application.consent_act(person()).unwrap();
        assert_eq!(act.acted_at.to_string(), "2026-09-30T15:00:00Z");
        assert_eq!((act.taken_by, act.declarant), (Organization::Municipality(person().insurer), declarant));
        assert_eq!((act.act, act.proof), (ConsentAct::Given, IdentityProof::ApplicationForm));
        // A withdrawal of the same day wins, whichever arrives first.
        let withdrawn = (&ConsentAct::Withdrawn, "2026-10-01T14:59:59Z".parse().unwrap());
        assert!(!ConsentState::of([withdrawn, (&act.act, act.acted_at)]).covers(Kind::A1));
        assert!(ConsentState::of([(&act.act, act.acted_at)]).covers(Kind::A1));
    }

    #[test]
    fn an_empty_column_is_no_act_at_all() {
        assert_eq!(application(None).consent_act(person()), None);
    }
}
