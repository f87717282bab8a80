//! F1 居宅サービス計画作成依頼届出, filed by the care manager on the person's behalf (P-138, docs/requirements.md §15.8).

use crate::ids::{CareManagerNumber, OfficeNumber, PersonKey};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// 届出区分.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FilingKind {
    /// 新規
    New,
    /// 変更, with its reason.
    Change {
        /// 変更する場合の事由
        reason: String,
    },
    /// 終了
    End,
}

/// Which form is filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilingForm {
    /// 居宅サービス計画作成依頼（変更）届出書
    HomeCare,
    /// 介護予防サービス計画作成・介護予防ケアマネジメント依頼（変更）届出書
    Preventive,
    /// 小規模多機能型居宅介護等
    SmallMultifunctional,
}

/// The filing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// 被保険者
    pub person: PersonKey,
    /// 届出区分
    pub filing: FilingKind,
    /// Which form.
    pub form: FilingForm,
    /// 事業所番号
    pub office: OfficeNumber,
    /// 事業所の名称
    pub office_name: String,
    /// 事業所の所在地
    pub office_address: Option<String>,
    /// 事業所の電話番号
    pub office_telephone: Option<String>,
    /// 担当する介護支援専門員の氏名
    pub care_manager_name: String,
    /// 介護支援専門員番号
    pub care_manager: Option<CareManagerNumber>,
    /// サービス開始（変更）年月日
    pub starts_on: Date,
    /// 届出日
    pub filed_on: Date,
    /// 利用者の同意 to the filing and to giving certification data to the office.
    pub person_agrees: bool,
}

impl PlanRequest {
    /// What keeps it from being filed, in Japanese; empty when it may be.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.person_agrees {
            problems.push(
                "利用者の同意が「あり」になっていません。届出の内容を本人に説明し、同意を得てから提出してください"
                    .to_owned(),
            );
        }
        if matches!(&self.filing, FilingKind::Change { reason } if reason.trim().is_empty()) {
            problems.push("変更の届出には「変更する場合の事由」が必要です".to_owned());
        }
        if self.office_name.trim().is_empty() {
            problems.push("事業所の名称がありません".to_owned());
        }
        if self.care_manager_name.trim().is_empty() {
            problems.push("担当する介護支援専門員の氏名がありません".to_owned());
        }
        problems
    }
}

/// Where a document handed to the municipality stands (P-133, P-138): 提出 → 受付 → 受理 or 差戻し.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SubmissionState {
    /// 提出済: waits for the municipality.
    Submitted,
    /// 取得済: the municipality has fetched it.
    Fetched,
    /// 受理
    Accepted,
    /// 差戻し, with the reason given.
    Returned {
        /// 差戻しの理由
        reason: String,
    },
}

impl SubmissionState {
    /// The municipality fetches it. Fetching again changes nothing.
    pub fn fetch(self) -> Self {
        if self == Self::Submitted { Self::Fetched } else { self }
    }

    /// Accept (`None`) or return with a reason. A decision once made is final: a second, different one is refused.
    pub fn decide(self, returned: Option<String>) -> Result<Self, SubmissionState> {
        let decided = match returned {
            None => Self::Accepted,
            Some(reason) => Self::Returned { reason },
        };
        match self {
            Self::Submitted | Self::Fetched => Ok(decided),
            same if same == decided => Ok(same),
            other => Err(other),
        }
    }

    /// Code under which it is stored.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Fetched => "fetched",
            Self::Accepted => "accepted",
            Self::Returned { .. } => "returned",
        }
    }

    /// Name on screens.
    pub fn name_ja(&self) -> &'static str {
        match self {
            Self::Submitted => "提出済",
            Self::Fetched => "市区町村が取得済",
            Self::Accepted => "受理",
            Self::Returned { .. } => "差戻し",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_of_the_municipality_is_final() {
        let accepted = SubmissionState::Submitted.fetch().decide(None).unwrap();
        assert_eq!(accepted, SubmissionState::Accepted);
        assert_eq!(accepted.clone().decide(None), Ok(SubmissionState::Accepted));
        assert_eq!(accepted.clone().fetch(), SubmissionState::Accepted);
        assert!(accepted.decide(Some("記載もれ".into())).is_err());
    }
}
