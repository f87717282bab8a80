//! A2 主治医意見書 in full, section by section as on the form (docs/requirements.md §2.2, §15.7).
//!
//! Every item of the deployed 医見書 CSV 1.1 (121 columns) has a field here; the column is named at the section. A missing
//! answer is `None`, so a draft can be held too; what is wrong with a document is told by
//! [`PhysicianOpinion::problems`]. Who may read it is not decided here (policy).

mod check;
mod choices;
mod example;

pub use check::{ItemProblem, SPECIFIED_DISEASES, Severity};
pub use choices::*;

use crate::dates::{PartialDate, yyyymmdd};
use crate::ids::{InsurerNumber, OfficeNumber, PersonKey};
use crate::insured::Identity;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// First day of the form without the physician's own consent box (介護保険最新情報 Vol.1440).
pub const REVISED_ON: Date = jiff::civil::date(2026, 4, 1);

/// A2 主治医意見書.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "主治医意見書")]
pub struct PhysicianOpinion {
    /// 保険者番号 and 被保険者番号 (columns 4, 6).
    pub person: PersonKey,
    /// Creator: 医療機関, 老健 or 介護医療院 that wrote it (column 7).
    pub institution: OfficeNumber,
    /// 申請日 of the 要介護認定申請 it belongs to (column 8).
    pub applied_on: Date,
    /// 意見書作成回数 (column 31).
    pub count: OpinionCount,
    /// Which printed form, with what only that form has (column 29).
    pub form: OpinionForm,
    /// 管理情報 (columns 1–5, 9–13).
    pub request: OpinionRequest,
    /// 基本事項 (columns 14–34).
    pub basics: Basics,
    /// １．傷病に関する意見 (columns 35–43).
    pub illness: Illness,
    /// ２．特別な医療 within the past 14 days (columns 44–46).
    pub special_care: SpecialCare,
    /// ３．心身の状態に関する意見 (columns 47–95).
    pub condition: Condition,
    /// ４．生活機能とサービスに関する意見 (columns 96–120).
    pub daily_life: DailyLife,
    /// ５．特記すべき事項 (column 121); diagnoses beyond three are written here.
    pub remarks: Option<String>,
}

impl PhysicianOpinion {
    /// What makes two documents the same one: application date, institution and 作成回数 (P-130). A document that came
    /// electronically and returns in a municipal package has the same key.
    pub fn natural_key(&self) -> String {
        format!("{}-{}-{}", yyyymmdd(self.applied_on), self.institution, self.count.code())
    }

    /// The physician's own consent; exists only on documents written before 2026-04-01, whatever the file says.
    pub fn physician_consent(&self) -> Option<PhysicianConsent> {
        match self.form {
            OpinionForm::Form2006 { physician_consent } if self.basics.written_on < REVISED_ON => physician_consent,
            _ => None,
        }
    }

    /// The physician refused its use in care plans: it does not reach the 居宅 column at all (docs/access.md step 3b).
    pub fn is_refused_by_physician(&self) -> bool {
        self.physician_consent() == Some(PhysicianConsent::Refuses)
    }
}

/// Version of the printed form, kept on every document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "version")]
pub enum OpinionForm {
    /// Form of 2006 and its later wordings, until 2026-03-31.
    Form2006 {
        /// 医師の同意（介護サービス計画作成等への利用）
        physician_consent: Option<PhysicianConsent>,
    },
    /// Form of 2026-04-01: no consent box, no attachment field.
    Form2026,
}

/// 管理情報: how the municipality asked for the document and which software wrote the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpinionRequest {
    /// SoftName
    pub software: Option<String>,
    /// タイムスタンプ: the file's own key, 被保険者番号 and ddHHmmss.
    pub file_key: Option<String>,
    /// 保険者番号 as the request names it; in a 広域連合 the number on the card (P-038).
    pub card_insurer: InsurerNumber,
    /// 保険者名称
    pub insurer_name: Option<String>,
    /// 作成依頼日
    pub requested_on: Option<Date>,
    /// 送付日
    pub sent_on: Option<Date>,
    /// 依頼番号
    pub request_number: Option<String>,
    /// 医師番号, given by the municipality.
    pub physician_number: Option<String>,
    /// 種別
    pub setting: Option<Setting>,
}

/// 基本事項.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basics {
    /// 記入日
    pub written_on: Date,
    /// 申請者: ふりがな, 氏名, 生年月日, 性別, 郵便番号, 住所, 連絡先.
    pub applicant: Identity,
    /// 年齢 in years, as written.
    pub age: Option<u8>,
    /// 医師氏名
    pub physician_name: String,
    /// 医療機関名
    pub institution_name: String,
    /// 医療機関 郵便番号
    pub institution_postal_code: Option<String>,
    /// 医療機関 所在地
    pub institution_address: Option<String>,
    /// 医療機関 電話
    pub institution_telephone: Option<String>,
    /// 医療機関 FAX
    pub institution_fax: Option<String>,
    /// 最終診察日
    pub last_examined_on: Option<Date>,
    /// 他科受診の有無
    pub other_departments: Option<Presence>,
    /// 他科受診 科目
    pub departments: Vec<Department>,
    /// 他科受診 その他, up to 6 characters.
    pub other_department: Option<String>,
}

/// One row of 診断名.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// 診断名
    pub name: String,
    /// 発症年月日; only the year or the month may be known.
    pub onset: Option<PartialDate>,
}

/// １．傷病に関する意見.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Illness {
    /// 診断名 1–3; the first is the 特定疾病 or the direct cause of the decline.
    pub diagnoses: [Option<Diagnosis>; 3],
    /// 症状としての安定性
    pub stability: Option<Stability>,
    /// 「不安定」とした場合の具体的な状況
    pub instability: Option<String>,
    /// 経過及び投薬内容を含む治療内容, up to 250 characters.
    pub course: Option<String>,
}

/// ２．特別な医療 (過去14日間以内に受けた医療のすべて).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpecialCare {
    /// 処置内容
    pub treatments: Vec<MedicalTreatment>,
    /// 特別な対応
    pub responses: Vec<SpecialResponse>,
    /// 失禁への対応: カテーテル（コンドームカテーテル、留置カテーテル等）
    pub catheter: bool,
}

/// ３．心身の状態に関する意見.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Condition {
    /// (1) 障害高齢者の日常生活自立度（寝たきり度）
    pub physical: Option<PhysicalIndependence>,
    /// (1) 認知症高齢者の日常生活自立度
    pub dementia: Option<DementiaIndependence>,
    /// (2) 短期記憶
    pub short_term_memory: Option<ShortTermMemory>,
    /// (2) 日常の意思決定を行うための認知能力
    pub decision_making: Option<DecisionMaking>,
    /// (2) 自分の意思の伝達能力
    pub communication: Option<Communication>,
    /// (3) 認知症の行動・心理症状（BPSD）の有無; 認知症の周辺症状 on the form of 2006.
    pub behavioral: Option<Presence>,
    /// (3) BPSD 内訳
    pub behavioral_symptoms: Vec<BehavioralSymptom>,
    /// (3) BPSD その他, up to 15 characters.
    pub behavioral_other: Option<String>,
    /// (4) その他の精神・神経症状
    pub psychiatric: Option<Presence>,
    /// (4) 症状名, up to 30 characters.
    pub psychiatric_name: Option<String>,
    /// (4) 専門医受診の有無
    pub specialist: Option<Presence>,
    /// (4) 専門医 科名
    pub specialist_department: Option<String>,
    /// (5) 身体の状態
    pub body: Body,
}

/// (5) 身体の状態 (columns 59–95).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Body {
    /// 利き腕
    pub handedness: Option<Side>,
    /// 身長, cm.
    pub height_cm: Option<Measure>,
    /// 体重, kg.
    pub weight_kg: Option<Measure>,
    /// 過去6か月の体重の変化
    pub weight_change: Option<WeightChange>,
    /// 四肢欠損 (has no degree).
    pub limb_loss: Finding,
    /// 麻痺
    pub palsy: Palsy,
    /// 筋力の低下
    pub muscle_weakness: Finding,
    /// 関節の拘縮
    pub contracture: Finding,
    /// 関節の痛み
    pub joint_pain: Finding,
    /// 失調・不随意運動
    pub ataxia: Ataxia,
    /// 褥瘡
    pub pressure_ulcer: Finding,
    /// その他の皮膚疾患
    pub skin_disease: Finding,
}

/// One line of 身体の状態: the box, where, and how bad.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Finding {
    /// The box is ticked.
    pub is_marked: bool,
    /// 部位
    pub part: Option<String>,
    /// 程度
    pub degree: Option<Degree>,
}

/// One limb of 麻痺.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimbPalsy {
    /// The box is ticked.
    pub is_marked: bool,
    /// 程度
    pub degree: Option<Degree>,
}

/// 麻痺.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[doc(alias = "麻痺")]
pub struct Palsy {
    /// The box in front of the line.
    pub is_marked: bool,
    /// 右上肢
    pub right_arm: LimbPalsy,
    /// 左上肢
    pub left_arm: LimbPalsy,
    /// 右下肢
    pub right_leg: LimbPalsy,
    /// 左下肢
    pub left_leg: LimbPalsy,
    /// その他
    pub other: Finding,
}

/// 失調・不随意運動.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[doc(alias = "失調・不随意運動")]
pub struct Ataxia {
    /// The box in front of the line.
    pub is_marked: bool,
    /// 上肢
    pub arms: Vec<Side>,
    /// 下肢
    pub legs: Vec<Side>,
    /// 体幹
    pub trunk: Vec<Side>,
}

/// 身長 or 体重 as written: up to five characters, digits with at most one decimal point, more than zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Measure(String);

impl Measure {
    /// Parses; `None` when the text is no such number.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
        (text.len() <= 5 && digits(whole) && digits(fraction) && !is_zero).then(|| Self(text.to_owned()))
    }

    /// As written, so that a file can be written back as it was.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In tenths; what stands behind the first decimal is cut off.
    pub fn tenths(&self) -> u32 {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, "0"));
        let first = fraction.bytes().next().map_or(0, |digit| u32::from(digit.saturating_sub(b'0')));
        whole.parse::<u32>().unwrap_or_default() * 10 + first
    }
}

impl TryFrom<String> for Measure {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a measure is a number of up to five characters, such as 152.5")
    }
}

impl From<Measure> for String {
    fn from(measure: Measure) -> Self {
        measure.0
    }
}

/// ４．生活機能とサービスに関する意見.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DailyLife {
    /// (1) 屋外歩行
    pub outdoor_walking: Option<OutdoorWalking>,
    /// (1) 車いすの使用
    pub wheelchair: Option<Wheelchair>,
    /// (1) 歩行補助具・装具の使用
    pub walking_aids: Vec<WalkingAid>,
    /// (2) 食事行為
    pub eating: Option<Eating>,
    /// (2) 現在の栄養状態
    pub nutrition: Option<Nutrition>,
    /// (2) 栄養・食生活上の留意点
    pub nutrition_note: Option<String>,
    /// (3) 現在あるかまたは今後発生の可能性の高い状態
    pub risks: Vec<Risk>,
    /// (3) その他の状態名
    pub other_risk: Option<String>,
    /// (3) 対処方針, up to 140 characters.
    pub risk_policy: Option<String>,
    /// (4) サービス利用による生活機能の維持・改善の見通し
    pub outlook: Option<Outlook>,
    /// (5) 医学的管理の必要性
    pub medical_needs: Vec<MedicalNeed>,
    /// (5) その他の医療系サービス
    pub other_medical_need: Option<String>,
    /// (6) サービス提供時における医学的観点からの留意事項
    pub precautions: Precautions,
    /// (7) 感染症の有無
    pub infection: Option<Infection>,
    /// (7) 感染症 具体
    pub infection_name: Option<String>,
}

/// One ticked service of 医学的管理の必要性.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MedicalNeed {
    /// The service.
    pub service: MedicalService,
    /// 下線: the need is particularly high.
    pub is_underlined: bool,
}

/// One line of 留意事項.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Precaution {
    /// 特になし・あり
    pub need: Option<PrecautionNeed>,
    /// 内容, up to 30 characters.
    pub text: Option<String>,
}

/// (6) サービス提供時における医学的観点からの留意事項.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Precautions {
    /// 血圧
    pub blood_pressure: Precaution,
    /// 摂食
    pub eating: Precaution,
    /// 嚥下
    pub swallowing: Precaution,
    /// 移動
    pub mobility: Precaution,
    /// 運動
    pub exercise: Precaution,
    /// その他, up to 50 characters.
    pub other: Option<String>,
    /// 特記すべき項目なし: one box of the present form, no column in the CSV 1.1.
    pub nothing_particular: bool,
}

#[cfg(test)]
mod tests;
