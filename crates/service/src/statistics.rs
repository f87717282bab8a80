//! 集計 for the municipality (P-075, P-239): counts over all its records, never a list of people. A job goes over everybody
//! once, block after block in constant memory; its result is kept for the day. Contents are sealed, so counting means
//! opening, under one entry of the audit log. What leaves the municipality is the variant in full steps.
//!
//! The definition of each figure is in docs/statistics.md.

mod count;
mod function;
mod table;

pub(crate) use count::{
    certifications, consent_of, covered_until, is_due, is_insured, known, live_certification, rate_on,
};
pub use table::{Table, TableRow};

use crate::running::Place;
use crate::{Caller, Context, Error, Platform};
use count::{Counter, KINDS, Rules};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Timestamp, dates};
use kiban_policy::UseCase;
use kiban_store::{Entry, Outcome, Pass};
use serde::{Deserialize, Serialize};
use table::full_steps;

/// The figures of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// 保険者番号
    pub insurer_number: InsurerNumber,
    /// Day of the figures, in Japan.
    pub day: Date,
    /// When they were counted.
    pub made_at: Timestamp,
    /// People counted, insured or not; absent in what leaves the municipality.
    pub people: Option<u64>,
    /// Rows that could not be read and are not counted.
    pub damaged: u64,
    /// Rates in permille.
    pub rates: Vec<Rate>,
    /// The tables.
    pub tables: Vec<Table>,
    /// Figures that cannot be counted yet, with the reason.
    pub pending: Vec<Pending>,
    /// Counts are in full steps of so many, and absent below one; absent in what stays with the municipality.
    pub smallest: Option<u64>,
}

/// A part of a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Stable id.
    pub id: String,
    /// What it is, in Japanese.
    pub name: String,
    /// In permille, rounded down; absent when there is nothing to compute it from or it would tell a suppressed cell.
    pub permille: Option<u64>,
}

/// A figure that cannot be counted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Stable id.
    pub id: String,
    /// What it will be, in Japanese.
    pub name: String,
    /// What is missing.
    pub reason: String,
}

/// Where the figures of a day are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum StatisticsState {
    /// Nobody asked for them on that day.
    Missing,
    /// They are being counted.
    Running {
        /// People done.
        done: u64,
        /// People in all.
        total: u64,
    },
    /// Here they are.
    Ready {
        /// The figures.
        statistics: Box<Statistics>,
    },
}

/// People in memory at a time.
const BLOCK: i32 = 500;
/// Looks are counted over so many days.
const LOOK_DAYS: i64 = 30;

impl Platform {
    /// Begins counting today's figures of the caller's municipality, unless they are there or being counted. What is
    /// remembered under a key is the day.
    pub async fn count_statistics(&self, caller: &Caller, context: &Context) -> Result<StatisticsState, Error> {
        let insurer = self.may_count(caller, context)?;
        let today = context.today();
        let entry = Entry {
            insurer: Some(insurer.to_string()),
            ..caller.entry(context, "statistics.started", Outcome::Allowed)
        };
        if let Some(state) = self.statistics_state(insurer, today).await? {
            let again = Entry { action: "statistics.view".to_owned(), ..entry };
            self.record(again, &today, context).await?;
            return Ok(state);
        }
        let busy = "ほかの集計が動いています。終わってからもう一度行ってください";
        let place = self.running().take("statistics", insurer).ok_or(Error::Conflict(busy))?;
        let total = u64::try_from(self.store().count_people(insurer).await?).unwrap_or_default();
        place.set_total(total);
        if context.has_key() {
            let asked = Entry { action: "statistics.asked".to_owned(), ..entry.clone() };
            self.record(asked, &today, context).await?;
        }
        let pass = self.store().audit().begin_pass(entry.clone()).await?;
        let (platform, at) = (self.clone(), context.now);
        tokio::spawn(async move {
            if let Err(error) = platform.count(insurer, (at, today), &pass, entry.clone(), &place).await {
                tracing::error!(problem = %error, "statistics were not counted");
                let failed = Entry { action: "statistics.failed".to_owned(), outcome: Outcome::Failed, ..entry };
                if platform.store().audit().append(failed).await.is_err() {
                    tracing::error!("a failed job could not be recorded");
                }
            }
        });
        Ok(StatisticsState::Running { done: 0, total })
    }

    /// The figures of a day, as far as they are there; `shareable`: in full steps, for outside the municipality.
    pub async fn statistics<E: From<Error>>(
        &self,
        caller: &Caller,
        wanted: Result<(Option<Date>, bool), E>,
        context: &Context,
    ) -> Result<StatisticsState, E> {
        let insurer = self.may_count(caller, context)?;
        let (day, shareable) = wanted?;
        Ok(self.figures_of(caller, insurer, day, shareable, context).await?)
    }

    async fn figures_of(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        day: Option<Date>,
        shareable: bool,
        context: &Context,
    ) -> Result<StatisticsState, Error> {
        let state = self.statistics_state(insurer, day.unwrap_or_else(|| context.today())).await?;
        let entry = caller.entry(context, "statistics.view", Outcome::Allowed);
        self.store().audit().append(Entry { insurer: Some(insurer.to_string()), ..entry }).await?;
        Ok(match state {
            Some(StatisticsState::Ready { statistics }) if shareable => {
                StatisticsState::Ready { statistics: Box::new(statistics.for_outside(self.inner.config.smallest_cell)) }
            }
            Some(state) => state,
            None => StatisticsState::Missing,
        })
    }

    fn may_count(&self, caller: &Caller, context: &Context) -> Result<InsurerNumber, Error> {
        caller.require_way(UseCase::Statistics, self.table_at(context.now)?)?;
        caller.municipality().ok_or(Error::Unknown)
    }

    async fn statistics_state(&self, insurer: InsurerNumber, day: Date) -> Result<Option<StatisticsState>, Error> {
        // Asked first: a job that ends meanwhile has left its result.
        let progress = self.running().progress("statistics", insurer);
        if let Some(content) = self.store().statistics(insurer, dates::to_number(day)).await? {
            let statistics = serde_json::from_slice(&content).map_err(|error| Error::Internal(error.to_string()))?;
            return Ok(Some(StatisticsState::Ready { statistics: Box::new(statistics) }));
        }
        Ok(progress.map(|(done, total)| StatisticsState::Running { done, total }))
    }

    async fn count(
        &self,
        insurer: InsurerNumber,
        (at, today): (Timestamp, Date),
        pass: &Pass,
        entry: Entry,
        place: &Place,
    ) -> Result<(), Error> {
        let config = &self.inner.config;
        let rules = Rules { renewal_days: config.renewal_days(), opinion_days: config.opinion_days };
        let mut counter = Counter::new((at, today), self.store().unapplied(insurer).await?, rules, self.standing());
        // Up to and with the instant at which the job began.
        let until = at.as_microsecond() + 1;
        let from = until - LOOK_DAYS * 86_400_000_000;
        let mut damaged = 0;
        let mut after: Option<InsuredNumber> = None;
        loop {
            let block = pass.open(self.store().block(insurer, after, BLOCK, &KINDS).await?);
            let Some(last) = block.last else { break };
            counter.looks(&self.store().looks_of_block(insurer, after, last, (from, until)).await?);
            let open = self.store().unapplied(insurer).await?;
            block
                .people
                .iter()
                .filter(|person| !open.contains(&person.header.revision))
                .for_each(|person| counter.person(person));
            damaged += block.damaged;
            place.add(block.people.len() as u64 + block.damaged);
            after = Some(last);
        }
        let statistics = Statistics {
            insurer_number: insurer,
            day: today,
            made_at: at,
            people: Some(counter.people),
            damaged,
            rates: Vec::new(),
            tables: counter.tables(),
            pending: Vec::new(),
            smallest: None,
        }
        .with_rates();
        let content = serde_json::to_vec(&statistics).map_err(|error| Error::Internal(error.to_string()))?;
        let detail = serde_json::json!({ "people": counter.people, "damaged": damaged }).to_string();
        let mut tx = self.store().begin().await?;
        tx.put_statistics(insurer, dates::to_number(today), at, &content).await?;
        let done = Entry { action: "statistics.done".to_owned(), outcome: Outcome::Done, ..entry };
        tx.commit(Entry { detail: Some(detail), ..done }).await?;
        Ok(())
    }
}

impl Statistics {
    /// What may leave the municipality: counts in full steps, and nothing that is not made from them.
    #[must_use]
    pub fn for_outside(mut self, step: u64) -> Self {
        self.tables = self.tables.into_iter().map(|table| table.for_outside(step)).collect();
        self.smallest = Some(step);
        self.people = None;
        self.damaged = full_steps(Some(self.damaged), step).unwrap_or_default();
        self.with_rates()
    }

    /// Rates follow from cells that are shown, so that none tells more than they do.
    fn with_rates(mut self) -> Self {
        let table = |id: &str| self.tables.iter().find(|table| table.id == id);
        let of_row = |id: &str, row: usize, part: usize| {
            let table = table(id)?;
            permille(table.cell(row, part)?, table.cell(row, table.columns.len() - 1)?)
        };
        let of_parts = |id: &str, part: usize, other: usize| {
            let table = table(id)?;
            let sums = table.rows.len() - 1;
            let (part, other) = (table.cell(sums, part)?, table.cell(sums, other)?);
            permille(part, part + other)
        };
        let rate = |id: &str, name: &str, permille| Rate { id: id.to_owned(), name: name.to_owned(), permille };
        self.rates = vec![
            rate("consent", "同意率（資格のある人すべて）", of_row("consent", 3, 0)),
            rate("consent_due", "同意率（更新の時期の人）", of_row("consent", 0, 0)),
            rate("consent_certified", "同意率（要支援・要介護のその他の人）", of_row("consent", 1, 0)),
            rate("decided_in_30_days", "30日以内に認定した割合（認定したもののうち）", of_parts("decisions", 0, 1)),
            rate("opinions_in_time", "意見書が期限内に届いた割合（入手したもののうち）", of_parts("opinions", 0, 1)),
        ];
        self
    }
}

fn permille(part: u64, whole: u64) -> Option<u64> {
    (part * 1_000).checked_div(whole)
}
