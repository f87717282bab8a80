//! 掲示 (P-220) and セキュリティ点検 (P-195): what the operator tells every organisation, and what an organisation answered about
//! its own terminals and rules. Neither is about a person.

use crate::door::Door;
use crate::engine::{Arg, Row, args};
use crate::error::readable;
use crate::office::instant;
use crate::record::{period, period_numbers};
use crate::{Keyring, Store, StoreError, Tx};
use kiban_domain::announcement::{Announcement, Audience};
use kiban_domain::office::StaffId;
use kiban_domain::{Date, Organization, Timestamp, dates};

const PUT: &str =
    "INSERT INTO announcement (announcement_id, audience, title, body, shown_from, shown_to, made_by, made_at, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const ONE: &str = "SELECT announcement_id, audience, title, body, shown_from, shown_to, made_by, made_at, ended_at, mac
     FROM announcement WHERE announcement_id = $1";
const END: &str = "UPDATE announcement SET ended_at = $2, mac = $3 WHERE announcement_id = $1 AND ended_at IS NULL";
const SHOWN: &str =
    "SELECT announcement_id, audience, title, body, shown_from, shown_to, made_by, made_at, ended_at, mac
     FROM announcement WHERE shown_to >= $1 AND shown_from <= $1 AND ended_at IS NULL";
const LATEST: &str =
    "SELECT announcement_id, audience, title, body, shown_from, shown_to, made_by, made_at, ended_at, mac
     FROM announcement ORDER BY made_at DESC, announcement_id DESC LIMIT $1";
const PUT_CHECK: &str =
    "INSERT INTO self_check (organization, made_at, made_by, edition, answers) VALUES ($1, $2, $3, $4, $5)";
const LATEST_CHECKS: &str = "SELECT made_at, made_by, edition, answers FROM self_check WHERE organization = $1
     ORDER BY made_at DESC LIMIT $2";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, ONE, END, SHOWN, LATEST, PUT_CHECK, LATEST_CHECKS];

/// What an organisation answered in its セキュリティ点検.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfCheck {
    /// When.
    pub made_at: Timestamp,
    /// Who answered.
    pub made_by: StaffId,
    /// Edition of the questions.
    pub edition: String,
    /// The answers, as JSON.
    pub answers: String,
}

impl Tx {
    /// Writes a new announcement.
    pub async fn put_announcement(&mut self, one: &Announcement) -> Result<(), StoreError> {
        let (from, to) = period_numbers(&one.period);
        let mac = door(one).mac(&self.keys);
        let (audience, at) = (one.audience.code(), one.made_at.as_microsecond());
        self.raw.run(PUT, args![&one.id, audience, &one.title, &one.body, from, to, &one.made_by.0, at, &mac]).await?;
        Ok(())
    }

    /// Takes an announcement down; `false` when it is down, is not there or its row is damaged.
    pub async fn end_announcement(&mut self, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        let rows = self.raw.rows(ONE, args![id]).await?;
        let Some(mut one) = rows.first().map(|row| announcement(&self.keys, row)).transpose()?.flatten() else {
            return Ok(false);
        };
        one.ended_at = Some(at);
        Ok(self.raw.run(END, args![id, at.as_microsecond(), &door(&one).mac(&self.keys)]).await? == 1)
    }

    /// Keeps the answers of a セキュリティ点検 beside those of before.
    pub async fn put_self_check(&mut self, organization: Organization, check: &SelfCheck) -> Result<(), StoreError> {
        let (organization, at) = (organization.to_string(), check.made_at.as_microsecond());
        let (by, edition, answers) = (&check.made_by.0, &check.edition, &check.answers);
        self.raw.run(PUT_CHECK, args![&organization, at, by, edition, answers]).await?;
        Ok(())
    }
}

impl Store {
    /// What is shown on a day, newest first; damaged rows are left out.
    pub async fn announcements_of(&self, day: Date) -> Result<Vec<Announcement>, StoreError> {
        let mut all = self.announcement_rows(SHOWN, args![dates::to_number(day)]).await?;
        all.sort_by(|a, b| (b.made_at, &b.id).cmp(&(a.made_at, &a.id)));
        Ok(all)
    }

    /// The newest announcements, shown or not, newest first; damaged rows are left out.
    pub async fn announcements(&self, limit: i32) -> Result<Vec<Announcement>, StoreError> {
        self.announcement_rows(LATEST, args![limit]).await
    }

    /// An announcement.
    pub async fn announcement(&self, id: &str) -> Result<Option<Announcement>, StoreError> {
        Ok(self.announcement_rows(ONE, args![id]).await?.pop())
    }

    async fn announcement_rows(
        &self,
        statement: &'static str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Announcement>, StoreError> {
        let rows = self.engine.rows(statement, args).await?;
        let read = |row| readable("announcement", announcement(&self.keys, row)).transpose();
        rows.iter().filter_map(read).collect()
    }

    /// The newest answers of an organisation, newest first.
    pub async fn self_checks(&self, organization: Organization, limit: i32) -> Result<Vec<SelfCheck>, StoreError> {
        let rows = self.engine.rows(LATEST_CHECKS, args![&organization.to_string(), limit]).await?;
        let read = |row: &Row| {
            Ok(SelfCheck {
                made_at: instant(row.big(0)?)?,
                made_by: StaffId(row.text(1)?),
                edition: row.text(2)?,
                answers: row.text(3)?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// A row of [`ONE`]; `None` when its MAC fails.
fn announcement(keys: &Keyring, row: &Row) -> Result<Option<Announcement>, StoreError> {
    let one = Announcement {
        id: row.text(0)?,
        audience: Audience::parse(&row.text(1)?).ok_or(StoreError::Unreadable("announcement"))?,
        title: row.text(2)?,
        body: row.text(3)?,
        period: period(row.int(4)?, row.int(5)?)?,
        made_by: StaffId(row.text(6)?),
        made_at: instant(row.big(7)?)?,
        ended_at: row.big_or_null(8)?.map(instant).transpose()?,
    };
    Ok(door(&one).fits(keys, &row.blob(9)?).then_some(one))
}

/// Everything it says: who could write to the database alone would otherwise speak for the operator to everybody.
fn door(one: &Announcement) -> Door {
    let (from, to) = period_numbers(&one.period);
    Door::new("announcement")
        .text(&one.id)
        .text(one.audience.code())
        .text(&one.title)
        .text(&one.body)
        .number(from)
        .number(to)
        .text(&one.made_by.0)
        .number(one.made_at.as_microsecond())
        .maybe_number(one.ended_at.map(Timestamp::as_microsecond))
}
