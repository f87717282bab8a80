//! 同意 (G1): acts of giving, withdrawing and refusing, merged by the time of the act (P-060…075).

use crate::dates::day_in_japan;
use crate::ids::{Organization, PersonKey};
use crate::kind::Kind;
use crate::office::StaffId;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act", content = "kind")]
pub enum ConsentAct {
    /// 包括同意 given: all kinds, all 担当事業所, now and later (P-061).
    Given,
    /// 同意の撤回 (P-069).
    Withdrawn,
    /// One kind refused, the rest unchanged.
    KindRefused(Kind),
    /// That refusal taken back.
    KindAllowed(Kind),
    /// 同意取得不能 with its reason (P-068): recorded, never counted as consent.
    NotObtainable,
}

/// Who declared it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declarant {
    /// 本人
    Person,
    /// 代理人等, with relation and capacity in words (P-066, P-068).
    Representative {
        /// 続柄・資格, such as `長女` or `成年後見人`.
        relation: String,
    },
}

/// How the declarant's identity was checked (P-066, P-067).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityProof {
    /// マイナンバーカード
    IndividualNumberCard,
    /// 被保険者証と目視
    InsuranceCard,
    /// 申請書による
    ApplicationForm,
    /// その他の本人確認書類
    OtherDocument,
}

/// What proves the act (P-066). Only where it is kept is recorded, never the image or the signature itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What it is.
    pub kind: EvidenceKind,
    /// Number or place under which whoever took the consent keeps it, 1 to 100 characters.
    pub reference: String,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits, so that it can be told from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Kind of [`Evidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// 記名された様式の画像または原本
    SignedForm,
    /// 電子署名
    ElectronicSignature,
}

impl EvidenceKind {
    /// `1` 様式, `2` 電子署名.
    pub fn code(self) -> &'static str {
        match self {
            Self::SignedForm => "1",
            Self::ElectronicSignature => "2",
        }
    }

    /// Inverse of [`EvidenceKind::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::SignedForm, Self::ElectronicSignature].into_iter().find(|kind| kind.code() == code)
    }
}

impl Evidence {
    /// Longest reference, in characters.
    pub const LONGEST_REFERENCE: usize = 100;

    /// What is wrong with it, in Japanese.
    pub fn problem(&self) -> Option<&'static str> {
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let reference = self.reference.trim();
        if reference.is_empty() || reference.chars().count() > Self::LONGEST_REFERENCE || reference.starts_with("data:")
        {
            Some("証跡は、保管している番号や場所を100文字以内で書いてください（画像や署名そのものは送れません）")
        } else if self.sha256.as_deref().is_some_and(|digest| !hex(digest)) {
            Some("証跡の SHA-256 は、16進小文字64文字で書いてください")
        } else {
            None
        }
    }
}

/// One act as recorded. Acts are never changed or deleted (S-032).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// About whom.
    pub person: PersonKey,
    /// What was done.
    pub act: ConsentAct,
    /// When it was done; orders the acts, not the time of arrival.
    pub acted_at: Timestamp,
    /// Who declared it.
    pub declarant: Declarant,
    /// How the declarant was identified.
    pub proof: IdentityProof,
    /// Organisation that took it.
    pub taken_by: Organization,
    /// Its staff, when taken on screen.
    pub staff: Option<StaffId>,
    /// 様式 and version on which it was taken, such as `同意様式 第1版` (P-064).
    pub form: String,
    /// 説明書 and version with which it was explained, such as `同意の説明書 第1版` (P-065).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaflet: Option<String>,
    /// Where what proves it is kept (P-066).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Reason or remark in words.
    pub remark: Option<String>,
}

/// What follows from all acts of a person. There is no expiry date: consent ends by a withdrawal or with the insurance
/// (P-070), and giving it again at a renewal confirms it without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConsentState {
    /// Comprehensive consent is live since this instant.
    pub given_at: Option<Timestamp>,
    /// It was last given or given again at this instant.
    pub confirmed_at: Option<Timestamp>,
    /// The last act was a withdrawal, at this instant.
    pub withdrawn_at: Option<Timestamp>,
    /// Kinds refused one by one.
    pub refused: Vec<Kind>,
    /// 同意取得不能 is on record and nothing later.
    pub not_obtainable: bool,
}

impl ConsentState {
    /// Merges acts in any order into the one state they mean: the later act wins, a withdrawal or refusal wins a tie
    /// (P-071).
    pub fn of<'a>(acts: impl IntoIterator<Item = (&'a ConsentAct, Timestamp)>) -> Self {
        let mut sorted: Vec<(Timestamp, u8, ConsentAct)> =
            acts.into_iter().map(|(act, at)| (at, Self::rank(act), *act)).collect();
        sorted.sort();
        let mut state = Self::default();
        for (at, _, act) in sorted {
            match act {
                ConsentAct::Given => {
                    state.given_at = state.given_at.or(Some(at));
                    state.confirmed_at = Some(at);
                    state.withdrawn_at = None;
                    state.not_obtainable = false;
                }
                ConsentAct::Withdrawn => {
                    state.given_at = None;
                    state.confirmed_at = None;
                    state.withdrawn_at = Some(at);
                }
                ConsentAct::KindRefused(kind) => {
                    if !state.refused.contains(&kind) {
                        state.refused.push(kind);
                    }
                }
                ConsentAct::KindAllowed(kind) => state.refused.retain(|k| *k != kind),
                ConsentAct::NotObtainable => {
                    if state.given_at.is_none() {
                        state.not_obtainable = true;
                    }
                }
            }
        }
        state.refused.sort();
        state
    }

    /// Closing acts come last among acts of the same instant.
    fn rank(act: &ConsentAct) -> u8 {
        match act {
            ConsentAct::NotObtainable => 0,
            ConsentAct::Given | ConsentAct::KindAllowed(_) => 1,
            ConsentAct::Withdrawn | ConsentAct::KindRefused(_) => 2,
        }
    }

    /// Whether it is to be confirmed at a renewal applied for on a day in Japan: it is live and was not given again since.
    /// Until then it stays live (P-070).
    pub fn is_to_be_confirmed(&self, renewal_applied_on: Date) -> bool {
        self.confirmed_at.is_some_and(|at| day_in_japan(at) < renewal_applied_on)
    }

    /// Whether a ◎ kind may be shown.
    pub fn covers(&self, kind: Kind) -> bool {
        self.given_at.is_some() && !self.refused.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_withdrawal_is_never_undone_by_an_older_consent() {
        let acts = [(ConsentAct::Withdrawn, at(200)), (ConsentAct::Given, at(100))];
        assert!(!ConsentState::of(acts.iter().map(|(a, t)| (a, *t))).covers(Kind::C1));
    }

    #[test]
    fn a_withdrawal_wins_a_tie_and_a_later_consent_wins_again() {
        let acts = [(ConsentAct::Given, at(100)), (ConsentAct::Withdrawn, at(100))];
        assert!(!ConsentState::of(acts.iter().map(|(a, t)| (a, *t))).covers(Kind::C1));
        let acts = [(ConsentAct::Given, at(101)), (ConsentAct::Withdrawn, at(100))];
        assert!(ConsentState::of(acts.iter().map(|(a, t)| (a, *t))).covers(Kind::C1));
    }

    #[test]
    fn given_again_at_a_renewal_it_is_confirmed_without_a_gap() {
        let acts = [(ConsentAct::Given, at(100)), (ConsentAct::KindRefused(Kind::C1), at(150))];
        let before = ConsentState::of(acts.iter().map(|(a, t)| (a, *t)));
        let renewal = day_in_japan(at(90_000));
        assert!(before.is_to_be_confirmed(renewal) && before.covers(Kind::A2), "live until it is confirmed");
        let again = (ConsentAct::Given, at(90_000));
        let after = ConsentState::of(acts.iter().chain([&again]).map(|(a, t)| (a, *t)));
        assert_eq!((after.given_at, after.confirmed_at), (Some(at(100)), Some(at(90_000))));
        assert!(!after.is_to_be_confirmed(renewal));
        assert!(!after.covers(Kind::C1), "a refusal of one kind is not taken back by it");
        let ended = (ConsentAct::Withdrawn, at(90_001));
        let ended = ConsentState::of([&again, &ended].map(|(a, t)| (a, *t)));
        assert_eq!((ended.given_at, ended.confirmed_at), (None, None));
        assert!(!ended.is_to_be_confirmed(renewal));
    }

    #[test]
    fn evidence_is_a_reference_and_never_the_image() {
        let evidence = |reference: &str, sha256: Option<&str>| Evidence {
            kind: EvidenceKind::SignedForm,
            reference: reference.to_owned(),
            sha256: sha256.map(ToOwned::to_owned),
        };
        assert_eq!(evidence("令8-0123", Some(&"0a".repeat(32))).problem(), None);
        for reference in ["", "　", "data:image/png;base64,AAAA", &"あ".repeat(101)] {
            assert!(evidence(reference, None).problem().is_some(), "{reference}");
        }
        for digest in ["", "0A", &"0A".repeat(32), &"0a".repeat(31)] {
            assert!(evidence("令8-0123", Some(digest)).problem().is_some(), "{digest}");
        }
    }

    #[test]
    fn one_refused_kind_leaves_the_others() {
        let acts = [(ConsentAct::Given, at(100)), (ConsentAct::KindRefused(Kind::C1), at(150))];
        let state = ConsentState::of(acts.iter().map(|(a, t)| (a, *t)));
        assert!(!state.covers(Kind::C1) && state.covers(Kind::A2));
    }

    #[test]
    fn consent_that_cannot_be_obtained_is_not_consent() {
        let acts = [(ConsentAct::NotObtainable, at(100))];
        let state = ConsentState::of(acts.iter().map(|(a, t)| (a, *t)));
        assert!(state.not_obtainable && !state.covers(Kind::A2));
    }

    proptest! {
        /// T-7: every order of arrival gives one state.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            acts in prop::collection::vec((0u8..5, 0i64..6), 0..8),
            seed in any::<u64>(),
        ) {
            let acts: Vec<(ConsentAct, Timestamp)> = acts.iter().map(|(a, t)| (match a {
                0 => ConsentAct::Given,
                1 => ConsentAct::Withdrawn,
                2 => ConsentAct::KindRefused(Kind::C1),
                3 => ConsentAct::KindAllowed(Kind::C1),
                _ => ConsentAct::NotObtainable,
            }, at(*t))).collect();
            let mut shuffled = acts.clone();
            let mut state = seed;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            shuffled.extend(acts.first().cloned());
            let a = ConsentState::of(acts.iter().map(|(a, t)| (a, *t)));
            let b = ConsentState::of(shuffled.iter().map(|(a, t)| (a, *t)));
            prop_assert_eq!(a, b);
        }
    }
}
