//! Months of the log: midnight to midnight in Japan. On PostgreSQL each has a part of the table to itself, made three months
//! ahead, so that a month whose time is over is dropped whole (decision 0006.8).

use crate::StoreError;
use crate::engine::{Committed, Engine, Row, args};
use kiban_domain::dates::{ServiceMonth, day_in_japan, instant_in_japan};
use kiban_domain::{Date, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Months there are before they are needed.
pub(super) const AHEAD: i32 = 3;

/// A month of the audit log, in Japan. In JSON the number yyyymm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Month(i32);

impl Month {
    /// The month of an instant.
    pub fn of(at: Timestamp) -> Self {
        Self(ServiceMonth::of(day_in_japan(at)).number())
    }

    /// Reads `2026-11`, as a person types it on the command line.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        if year.len() != 4 || month.len() != 2 {
            return None;
        }
        ServiceMonth::parse(&format!("{year}{month}")).ok().map(|month| Self(month.number()))
    }

    /// The month `months` later, or earlier when negative.
    #[must_use]
    pub fn plus(self, months: i32) -> Self {
        let count = self.0 / 100 * 12 + self.0 % 100 - 1 + months;
        Self(count.div_euclid(12) * 100 + count.rem_euclid(12) + 1)
    }

    /// yyyymm.
    pub fn number(self) -> i32 {
        self.0
    }

    pub(crate) fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// Its first instant and the first of the month after, microseconds UTC.
    pub(crate) fn span(self) -> (i64, i64) {
        (self.start(), self.plus(1).start())
    }

    /// Its first day and the first of the month after, yyyymmdd.
    pub(crate) fn days(self) -> (i32, i32) {
        (self.0 * 100 + 1, self.plus(1).0 * 100 + 1)
    }

    fn start(self) -> i64 {
        let day = Date::new((self.0 / 100) as i16, (self.0 % 100) as i8, 1).unwrap_or(Date::MIN);
        instant_in_japan(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::MIN).as_microsecond()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Makes the parts of the log up to three months after this one; the last month there is then. Nothing to do on SQLite.
pub(crate) async fn make_ahead(engine: &Engine, now: Timestamp) -> Result<Month, StoreError> {
    let (first, last) = (Month::of(now), Month::of(now).plus(AHEAD));
    make(engine, first, last).await?;
    Ok(last)
}

/// Makes the parts from one month to another that are not there yet.
pub(crate) async fn make(engine: &Engine, first: Month, last: Month) -> Result<(), StoreError> {
    if !engine.is_postgres() {
        return Ok(());
    }
    let mut tx = engine.begin().await?;
    tx.rows("SELECT kiban_make_audit_months($1, $2)", args![first.0, last.0]).await?;
    match tx.commit().await {
        Committed::Done => Ok(()),
        Committed::Unknown => Err(StoreError::Unavailable("months of the log not surely made".to_owned())),
    }
}

/// Rows of a question that may read a whole month and takes as long as it takes.
pub(crate) async fn slow_rows(
    engine: &Engine,
    sql: &'static str,
    args: &[crate::engine::Arg<'_>],
) -> Result<Vec<Row>, StoreError> {
    if !engine.is_postgres() {
        return engine.rows(sql, args).await;
    }
    let mut tx = engine.begin().await?;
    tx.run("SET LOCAL statement_timeout = 0", &[]).await?;
    tx.rows(sql, args).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_in_japan() {
        let month = |text: &str| Month::of(text.parse().unwrap()).to_string();
        assert_eq!(month("2026-11-30T14:59:59Z"), "2026-11");
        assert_eq!(month("2026-11-30T15:00:00Z"), "2026-12");
        let december = Month::parse("2026-12").unwrap();
        let (start, end) = december.span();
        assert_eq!(Timestamp::from_microsecond(start).unwrap().to_string(), "2026-11-30T15:00:00Z");
        assert_eq!(Timestamp::from_microsecond(end).unwrap().to_string(), "2026-12-31T15:00:00Z");
        assert_eq!(december.days(), (20_261_201, 20_270_101));
        assert_eq!(december.plus(-60).to_string(), "2021-12");
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in ["2026-13", "2026-00", "202612", "2026-1", "26-12", "2026-12-01", ""] {
            assert_eq!(Month::parse(text), None, "{text}");
        }
    }
}
