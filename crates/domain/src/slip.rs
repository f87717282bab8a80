//! やりとり: a message between two offices that holds one set of files of the care-plan exchange (P-142, P-150). It is no
//! record: only its sender and its addressee know of it.

use serde::{Deserialize, Serialize};

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlipState {
    /// 送信済: not fetched yet; its sender may still take it back.
    Sent,
    /// 取得済: its sender sees when.
    Fetched,
    /// 実績返信済: fetched, and the results came back as a message of their own.
    Answered,
    /// 取消済: taken back before it was fetched. For its addressee it was never there.
    Withdrawn,
}

impl SlipState {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Fetched, Self::Answered, Self::Withdrawn];

    /// Code under which it is stored.
    pub fn code(self) -> &'static str {
        ["sent", "fetched", "answered", "withdrawn"][self as usize]
    }

    /// For screens.
    pub fn name_ja(self) -> &'static str {
        ["送信済", "宛先が取得済", "実績返信済", "取消済"][self as usize]
    }

    /// Inverse of [`SlipState::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// What the files of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlipContent {
    /// 予定: plan tables, slips, and what withdraws them.
    Plan,
    /// 実績, and what withdraws them.
    Actuals,
}

impl SlipContent {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plan, Self::Actuals];

    /// Code under which it is stored.
    pub fn code(self) -> &'static str {
        ["plan", "actuals"][self as usize]
    }

    /// For screens.
    pub fn name_ja(self) -> &'static str {
        ["予定", "実績"][self as usize]
    }

    /// Inverse of [`SlipContent::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|content| content.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_content_is_found_again_by_its_code() {
        for state in SlipState::ALL {
            assert_eq!(SlipState::parse(state.code()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.code());
        }
        for content in SlipContent::ALL {
            assert_eq!(SlipContent::parse(content.code()), Some(content));
            assert_eq!(serde_json::to_value(content).unwrap(), content.code());
        }
    }
}
