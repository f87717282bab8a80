//! 要介護認定 and its progress: A5 as a life cycle with dates (docs/requirements.md §15.6, P-132, P-140).

use crate::dates::Period;
use crate::ids::OfficeNumber;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// 要介護状態区分, ordered as the law compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[doc(alias = "要介護度")]
pub enum CareLevel {
    /// 01 非該当
    NotEligible,
    /// 06 事業対象者
    ProjectTarget,
    /// 12 要支援１
    Support1,
    /// 13 要支援２
    Support2,
    /// 21 要介護１
    Care1,
    /// 22 要介護２
    Care2,
    /// 23 要介護３
    Care3,
    /// 24 要介護４
    Care4,
    /// 25 要介護５
    Care5,
}

impl CareLevel {
    /// All levels in order.
    pub const ALL: [Self; 9] = [
        Self::NotEligible,
        Self::ProjectTarget,
        Self::Support1,
        Self::Support2,
        Self::Care1,
        Self::Care2,
        Self::Care3,
        Self::Care4,
        Self::Care5,
    ];

    /// Two-digit code of the outside formats.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotEligible => "01",
            Self::ProjectTarget => "06",
            Self::Support1 => "12",
            Self::Support2 => "13",
            Self::Care1 => "21",
            Self::Care2 => "22",
            Self::Care3 => "23",
            Self::Care4 => "24",
            Self::Care5 => "25",
        }
    }

    /// Inverse of [`CareLevel::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }

    /// Name on forms.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::NotEligible => "非該当",
            Self::ProjectTarget => "事業対象者",
            Self::Support1 => "要支援１",
            Self::Support2 => "要支援２",
            Self::Care1 => "要介護１",
            Self::Care2 => "要介護２",
            Self::Care3 => "要介護３",
            Self::Care4 => "要介護４",
            Self::Care5 => "要介護５",
        }
    }
}

/// 申請区分 (codes of this project, docs/requirements.md §15.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationKind {
    /// 01 新規
    New,
    /// 02 更新
    Renewal,
    /// 03 区分変更
    Change,
    /// 04 職権
    ExOfficio,
    /// 05 転入 (引継ぎ)
    Transfer,
    /// 06 要支援認定者の要介護新規
    SupportToCare,
}

impl ApplicationKind {
    /// All kinds in order of their codes.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Renewal, Self::Change, Self::ExOfficio, Self::Transfer, Self::SupportToCare];

    /// Two-digit code.
    pub fn code(self) -> &'static str {
        match self {
            Self::New => "01",
            Self::Renewal => "02",
            Self::Change => "03",
            Self::ExOfficio => "04",
            Self::Transfer => "05",
            Self::SupportToCare => "06",
        }
    }

    /// Inverse of [`ApplicationKind::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Name on forms.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::New => "新規",
            Self::Renewal => "更新",
            Self::Change => "区分変更",
            Self::ExOfficio => "職権",
            Self::Transfer => "転入（引継ぎ）",
            Self::SupportToCare => "要支援認定者の要介護新規",
        }
    }
}

/// Result of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificationResult {
    /// 要介護状態区分
    pub level: CareLevel,
    /// 認定日 (決定日)
    pub decided_on: Date,
    /// 認定有効期間; none for 非該当.
    pub valid: Option<Period>,
    /// 有効月数
    pub months: Option<u8>,
    /// 審査会意見及びサービスの種類の指定
    pub board_opinion: Option<String>,
    /// 理由 (却下・区分変更なし等)
    pub reason: Option<String>,
    /// 通知発送日
    pub notified_on: Option<Date>,
    /// 証交付日
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_issued_on: Option<Date>,
}

/// How an application ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// 取下げ
    Withdrawn(Date),
    /// 却下
    Rejected(Date),
    /// 死亡・資格喪失
    Lapsed(Date),
}

/// A5 認定事務の進捗状況: one application and the dates of every step reached. Steps run in parallel, a municipality may
/// know a later one without an earlier, and a row says what is known today: hence dates that may be missing, and
/// [`CertificationProgress::disorder`] for those that contradict each other. Items added later are left out when empty, so
/// that a row sent again has the digest it had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificationProgress {
    /// 申請日: the day the municipality received it.
    pub applied_on: Date,
    /// 申請区分
    pub kind: ApplicationKind,
    /// 調査依頼日
    pub survey_requested_on: Option<Date>,
    /// 調査の委託先事業所; none when the municipality surveys itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survey_commissioned_to: Option<OfficeNumber>,
    /// 調査予定日
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survey_planned_on: Option<Date>,
    /// 調査実施日
    pub survey_done_on: Option<Date>,
    /// 調査票入手日
    pub survey_received_on: Option<Date>,
    /// 意見書依頼日
    pub opinion_requested_on: Option<Date>,
    /// 意見書の依頼先医療機関; the request is what makes the hospital eligible (P-048).
    pub opinion_requested_from: Option<OfficeNumber>,
    /// 意見書督促日, the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opinion_urged_on: Option<Date>,
    /// 意見書入手日
    pub opinion_received_on: Option<Date>,
    /// 一次判定日
    pub first_judged_on: Option<Date>,
    /// 審査会予定日
    pub board_planned_on: Option<Date>,
    /// 合議体番号, as the municipality writes it, at most 10 ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board_number: Option<String>,
    /// 審査会資料送付日; the papers themselves stay in the municipality (P-039).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub papers_sent_on: Option<Date>,
    /// 審査完了日
    pub board_done_on: Option<Date>,
    /// 延期決定日 (30日を超える見込みのとき)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_decided_on: Option<Date>,
    /// 延期通知日
    pub delay_notified_on: Option<Date>,
    /// 処理見込期間, told with the 延期通知.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_expected: Option<Period>,
    /// 延期の理由
    pub delay_reason: Option<String>,
    /// Result, once there is one.
    pub result: Option<CertificationResult>,
    /// Or how it ended without one.
    pub closing: Option<Closing>,
}

/// The step an application has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// 申請受付
    Applied,
    /// 調査・意見書依頼中
    Gathering,
    /// 調査票入手、意見書待ち
    WaitingOpinion,
    /// 意見書入手、調査票待ち
    WaitingSurvey,
    /// 調査票・意見書がそろった
    Complete,
    /// 一次判定済
    FirstJudged,
    /// 審査会待ち
    BoardPlanned,
    /// 審査完了
    BoardDone,
    /// 認定済
    Decided,
    /// 結果通知済
    Notified,
    /// 取下げ・却下・死亡等
    Closed,
}

impl Step {
    /// What a care manager reads.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::Applied => "申請受付",
            Self::Gathering => "調査・意見書依頼中",
            Self::WaitingOpinion => "意見書待ち",
            Self::WaitingSurvey => "調査票待ち",
            Self::Complete => "調査票・意見書入手済",
            Self::FirstJudged => "一次判定済",
            Self::BoardPlanned => "審査会待ち",
            Self::BoardDone => "審査完了",
            Self::Decided => "認定済",
            Self::Notified => "結果通知済",
            Self::Closed => "終了（取下げ・却下等）",
        }
    }
}

impl CertificationProgress {
    /// A fresh application.
    pub fn apply(applied_on: Date, kind: ApplicationKind) -> Self {
        Self {
            applied_on,
            kind,
            survey_requested_on: None,
            survey_commissioned_to: None,
            survey_planned_on: None,
            survey_done_on: None,
            survey_received_on: None,
            opinion_requested_on: None,
            opinion_requested_from: None,
            opinion_urged_on: None,
            opinion_received_on: None,
            first_judged_on: None,
            board_planned_on: None,
            board_number: None,
            papers_sent_on: None,
            board_done_on: None,
            delay_decided_on: None,
            delay_notified_on: None,
            delay_expected: None,
            delay_reason: None,
            result: None,
            closing: None,
        }
    }

    /// The furthest step its dates show.
    pub fn step(&self) -> Step {
        if self.closing.is_some() {
            return Step::Closed;
        }
        if let Some(result) = &self.result {
            return if result.notified_on.is_some() { Step::Notified } else { Step::Decided };
        }
        if self.board_done_on.is_some() {
            return Step::BoardDone;
        }
        if self.board_planned_on.is_some() {
            return Step::BoardPlanned;
        }
        if self.first_judged_on.is_some() {
            return Step::FirstJudged;
        }
        match (self.survey_received_on, self.opinion_received_on) {
            (Some(_), Some(_)) => Step::Complete,
            (Some(_), None) => Step::WaitingOpinion,
            (None, Some(_)) => Step::WaitingSurvey,
            (None, None) if self.survey_requested_on.is_some() || self.opinion_requested_on.is_some() => {
                Step::Gathering
            }
            (None, None) => Step::Applied,
        }
    }

    /// 介護保険法 27条11項: a decision is due within 30 days of the application.
    pub fn due_on(&self) -> Date {
        self.applied_on.checked_add(jiff::Span::new().days(30)).unwrap_or(Date::MAX)
    }

    /// Dates that cannot be in this order, each with a Japanese sentence that begins with the item. Steps 2–3 and 4–5 run
    /// in parallel.
    pub fn disorder(&self) -> Vec<String> {
        let applied = Some(self.applied_on);
        let result = self.result.as_ref();
        let decided = result.map(|result| result.decided_on);
        let steps = [
            ("調査依頼日", self.survey_requested_on, "申請日", applied),
            ("調査予定日", self.survey_planned_on, "調査依頼日", self.survey_requested_on.or(applied)),
            ("調査実施日", self.survey_done_on, "調査依頼日", self.survey_requested_on.or(applied)),
            ("調査票入手日", self.survey_received_on, "調査実施日", self.survey_done_on.or(applied)),
            ("意見書依頼日", self.opinion_requested_on, "申請日", applied),
            ("意見書督促日", self.opinion_urged_on, "意見書依頼日", self.opinion_requested_on.or(applied)),
            ("意見書入手日", self.opinion_received_on, "意見書依頼日", self.opinion_requested_on),
            ("一次判定日", self.first_judged_on, "調査票入手日", self.survey_received_on.or(applied)),
            ("一次判定日", self.first_judged_on, "意見書入手日", self.opinion_received_on),
            ("資料送付日", self.papers_sent_on, "一次判定日", self.first_judged_on.or(applied)),
            ("審査会予定日", self.board_planned_on, "申請日", applied),
            ("審査完了日", self.board_done_on, "一次判定日", self.first_judged_on.or(applied)),
            ("審査完了日", self.board_done_on, "資料送付日", self.papers_sent_on),
            ("延期決定日", self.delay_decided_on, "申請日", applied),
            ("延期通知日", self.delay_notified_on, "延期決定日", self.delay_decided_on.or(applied)),
            ("処理見込期間開始日", self.delay_expected.map(|period| period.from()), "申請日", applied),
            ("認定日", decided, "申請日", applied),
            ("認定日", decided, "審査完了日", self.board_done_on),
            ("通知発送日", result.and_then(|result| result.notified_on), "認定日", decided),
            ("証交付日", result.and_then(|result| result.card_issued_on), "認定日", decided),
        ];
        steps
            .into_iter()
            .filter_map(|(later_name, later, earlier_name, earlier)| match (later, earlier) {
                (Some(later), Some(earlier)) if later < earlier => {
                    // Where the step before is not known, it cannot have been before the application.
                    let earlier_name = if earlier == self.applied_on { "申請日" } else { earlier_name };
                    Some(format!("{later_name}が{earlier_name}より前になっています"))
                }
                _ => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn the_step_follows_from_the_dates() {
        let mut progress = CertificationProgress::apply(date(2026, 10, 1), ApplicationKind::Renewal);
        assert_eq!(progress.step(), Step::Applied);
        progress.opinion_requested_on = Some(date(2026, 10, 2));
        assert_eq!(progress.step(), Step::Gathering);
        progress.survey_received_on = Some(date(2026, 10, 12));
        assert_eq!(progress.step(), Step::WaitingOpinion);
        progress.opinion_received_on = Some(date(2026, 10, 14));
        assert_eq!(progress.step(), Step::Complete);
        progress.first_judged_on = Some(date(2026, 10, 15));
        progress.board_planned_on = Some(date(2026, 10, 24));
        assert_eq!(progress.step(), Step::BoardPlanned);
        assert_eq!(progress.due_on(), date(2026, 10, 31));
        progress.closing = Some(Closing::Withdrawn(date(2026, 10, 20)));
        assert_eq!(progress.step(), Step::Closed);
    }

    #[test]
    fn dates_in_an_impossible_order_are_named() {
        let mut progress = CertificationProgress::apply(date(2026, 10, 1), ApplicationKind::New);
        progress.opinion_received_on = Some(date(2026, 10, 14));
        progress.first_judged_on = Some(date(2026, 10, 13));
        assert_eq!(progress.disorder(), ["一次判定日が意見書入手日より前になっています"]);
    }

    #[test]
    fn every_step_has_its_place_and_says_so() {
        let day = |n| Some(date(2026, 10, n));
        let sound = CertificationProgress {
            survey_requested_on: day(2),
            survey_planned_on: day(5),
            survey_done_on: day(6),
            survey_received_on: day(7),
            opinion_requested_on: day(2),
            opinion_urged_on: day(9),
            opinion_received_on: day(10),
            first_judged_on: day(11),
            papers_sent_on: day(12),
            board_planned_on: day(20),
            board_done_on: day(20),
            delay_decided_on: day(25),
            delay_notified_on: day(26),
            delay_expected: Period::new(date(2026, 11, 1), Some(date(2026, 11, 30))).ok(),
            result: Some(CertificationResult {
                level: CareLevel::Care1,
                decided_on: date(2026, 10, 21),
                valid: None,
                months: None,
                board_opinion: None,
                reason: None,
                notified_on: day(22),
                card_issued_on: day(23),
            }),
            ..CertificationProgress::apply(date(2026, 10, 1), ApplicationKind::New)
        };
        assert!(sound.disorder().is_empty(), "{:?}", sound.disorder());
        let wrong = |change: fn(&mut CertificationProgress)| {
            let mut progress = sound.clone();
            change(&mut progress);
            progress.disorder().join("、")
        };
        let said = |first: &str, second: &str| format!("{first}が{second}より前になっています");
        let before = Some(date(2026, 9, 30));
        assert_eq!(wrong(|p| p.survey_planned_on = Some(date(2026, 10, 1))), said("調査予定日", "調査依頼日"));
        assert_eq!(wrong(|p| p.opinion_urged_on = Some(date(2026, 10, 1))), said("意見書督促日", "意見書依頼日"));
        assert_eq!(wrong(|p| p.papers_sent_on = Some(date(2026, 10, 10))), said("資料送付日", "一次判定日"));
        assert_eq!(wrong(|p| p.papers_sent_on = Some(date(2026, 10, 21))), said("審査完了日", "資料送付日"));
        assert_eq!(wrong(|p| p.delay_decided_on = Some(date(2026, 10, 27))), said("延期通知日", "延期決定日"));
        let card = |progress: &mut CertificationProgress| {
            progress.result.as_mut().unwrap().card_issued_on = Some(date(2026, 10, 20));
        };
        assert_eq!(wrong(card), said("証交付日", "認定日"));
        let mut bare = CertificationProgress::apply(date(2026, 10, 1), ApplicationKind::New);
        (bare.survey_planned_on, bare.delay_decided_on) = (before, before);
        bare.delay_expected = Period::new(date(2026, 9, 1), None).ok();
        let found = [said("調査予定日", "申請日"), said("延期決定日", "申請日"), said("処理見込期間開始日", "申請日")];
        assert_eq!(bare.disorder(), found);
    }

    #[test]
    fn progress_without_the_later_steps_is_written_and_read_as_before_they_existed() {
        let progress = CertificationProgress::apply(date(2026, 10, 1), ApplicationKind::New);
        let before = serde_json::json!({
            "applied_on": "2026-10-01", "kind": "new", "survey_requested_on": null, "survey_done_on": null,
            "survey_received_on": null, "opinion_requested_on": null, "opinion_requested_from": null,
            "opinion_received_on": null, "first_judged_on": null, "board_planned_on": null, "board_done_on": null,
            "delay_notified_on": null, "delay_reason": null, "result": null, "closing": null,
        });
        assert_eq!(serde_json::to_value(&progress).unwrap(), before);
        assert_eq!(serde_json::from_value::<CertificationProgress>(before).unwrap(), progress);
    }

    #[test]
    fn levels_compare_as_the_law_does() {
        assert!(CareLevel::Support2 < CareLevel::Care1);
        for level in CareLevel::ALL {
            assert_eq!(CareLevel::from_code(level.code()), Some(level));
        }
        assert_eq!(CareLevel::from_code("11"), None);
    }
}
