//! 掲示: what the operator tells organisations on their first page (P-220). Never about a person.

use crate::dates::Period;
use crate::office::StaffId;
use crate::{Date, Timestamp};
use serde::{Deserialize, Serialize};

/// Which organisations are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// すべての機関
    All,
    /// 介護事業所（老健・医療院を含む）
    Offices,
    /// 医療機関（意見書を書く老健・医療院を含む）
    Hospitals,
    /// 市区町村
    Municipalities,
}

impl Audience {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::All, Self::Offices, Self::Hospitals, Self::Municipalities];

    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Offices => "offices",
            Self::Hospitals => "hospitals",
            Self::Municipalities => "municipalities",
        }
    }

    /// Inverse of [`Audience::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|audience| audience.code() == code)
    }

    /// In Japanese.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::All => "すべての機関",
            Self::Offices => "介護事業所",
            Self::Hospitals => "医療機関（老健・医療院を含む）",
            Self::Municipalities => "市区町村",
        }
    }
}

/// One announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// Random.
    pub id: String,
    /// Whom it is for.
    pub audience: Audience,
    /// 見出し, one line.
    pub title: String,
    /// 本文; line breaks are kept.
    pub body: String,
    /// Days on which it is shown, first and last; it always has a last.
    pub period: Period,
    /// Who wrote it.
    pub made_by: StaffId,
    /// When.
    pub made_at: Timestamp,
    /// When it was taken down before its last day.
    pub ended_at: Option<Timestamp>,
}

impl Announcement {
    /// Whether it is shown on a day.
    pub fn is_shown(&self, day: Date) -> bool {
        self.ended_at.is_none() && self.period.contains(day)
    }
}
