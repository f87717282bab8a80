//! 取込み of a municipal package (P-130, P-160, P-161): what arrives is kept at once in sealed pieces and a receipt given;
//! everything is read and every problem named; then sound rows are applied block by block, by key and history number.
//! Repeating is harmless; the result says the same on screen, in JSON and in the result file.
//!
//! A package that does not fit its manifest, or holds a row of another insurer, is refused as a whole. Nothing of a package
//! is visible until its receipt is applied, and one that was cut goes on behind its last block (decision 0006.19). The way
//! in is in three files: `intake_upload` (arriving), `intake_work` (the two passes), `intake_judge` (one block of rows).

use crate::intake_work::Work;
use crate::submission::{RETENTION_YEARS, years_after};
use crate::{Caller, Context, Error, Missing, Platform, Upload, intake_kinds};
use kiban_domain::dates::Period;
use kiban_domain::{Date, InsurerNumber, Kind, Organization, PersonKey, Timestamp};
use kiban_formats::Problem;
use kiban_formats::municipal::{Change, MunicipalValue};
use kiban_formats::text::holds_individual_number;
use kiban_policy::{UseCase, Writer, may_register};
use kiban_store::{
    Cursor, Entry, NewRecord, OpinionRequest, Outcome, Position, Receipt, ReceiptCounts, ReceiptState, StoredEntry,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of a package: what the receipt answers, whichever way it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackageReport {
    /// Rows by what became of them.
    pub counts: ReceiptCounts,
    /// The same by 種別 of the manifest; for care plans by the file that names the document, such as `UP1KYO`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, ReceiptCounts>,
    /// The same by 保険者番号, for care plans: an office has users of several insurers. Empty for packages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub insurers: BTreeMap<String, ReceiptCounts>,
    /// Problems: of the files in their order, then those found when rows were applied. At most about 10,000.
    pub problems: Vec<ReportedProblem>,
    /// Problems that are only counted, by file; becomes a last problem of each file when the receipt is closed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, u64>,
    /// Of a package that says it holds everything: what the platform held besides when it was checked. Answered beside the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<Missing>,
}

/// Entries of an organisation at one instant that are looked through.
const AT_ARRIVAL: u32 = 50;

/// Problems found in applying that are kept in full.
const PROBLEMS: usize = 5_000;

impl PackageReport {
    /// A report of what the files hold.
    pub(crate) fn of(counts: ReceiptCounts, problems: &[Problem]) -> Self {
        Self { counts, problems: problems.iter().map(ReportedProblem::of).collect(), ..Self::default() }
    }

    /// Adds a problem of a row, or counts it once there are too many. The first of a rule is always told.
    pub(crate) fn tell(&mut self, problem: &Problem) {
        if self.problems.len() < 2 * PROBLEMS || !self.problems.iter().any(|known| known.rule == problem.rule) {
            self.problems.push(ReportedProblem::of(problem));
        } else {
            *self.more.entry(problem.file.clone()).or_default() += 1;
        }
    }

    /// The same as the sender reads it in the end.
    pub(crate) fn closed(mut self) -> Self {
        for (file, count) in std::mem::take(&mut self.more) {
            let text =
                format!("反映のときの問題がほかに {count} 件あります。上の問題を直してから、もう一度送ってください");
            self.problems.push(ReportedProblem::of(&Problem::of_file(&file, "more", text)));
        }
        self
    }
}

/// A problem as the sender reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedProblem {
    /// `error` or `warning`.
    pub severity: String,
    /// File.
    pub file: String,
    /// Physical line, 0 when the whole file is meant.
    pub line: u64,
    /// Column, 0 when the whole line is meant.
    pub column: u32,
    /// Item.
    pub item: String,
    /// What was found, 40 characters at most, never a 個人番号; empty when nothing is quoted.
    #[serde(default)]
    pub found: String,
    /// What is expected and what to do; empty in what was judged before this was kept.
    #[serde(default)]
    pub expected: String,
    /// Stable rule code.
    pub rule: String,
    /// The whole in one Japanese sentence.
    pub message: String,
}

impl ReportedProblem {
    /// Whether the bytes it was found in must not be kept: a 個人番号 may be in them (P-039).
    pub fn forbids_keeping(&self) -> bool {
        self.rule == "individual_number"
    }

    pub(crate) fn of(problem: &Problem) -> Self {
        Self {
            severity: if problem.is_error() { "error" } else { "warning" }.to_owned(),
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            item: problem.item.clone(),
            found: problem.found.clone(),
            expected: problem.expected.clone(),
            rule: problem.rule.to_string(),
            message: problem.message_ja(),
        }
    }
}

/// A receipt as answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntakeResult {
    /// 受付番号
    pub receipt: String,
    /// `received`, `refused`, `applied` or `failed` (set aside).
    pub state: &'static str,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Who sent it: a staff member of the municipality, or `connector`. Told to the municipality that asks for a receipt; absent
    /// where the platform read rows again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_by: Option<String>,
    /// 基準日 of the package: the day as of which its contents hold. Absent until its manifest was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_date: Option<Date>,
    /// True when the same bytes had been received before.
    pub repeated: bool,
    /// What became of it; while it is worked on, so far.
    pub report: PackageReport,
    /// How far it is, while it is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<IntakeProgress>,
    /// Of the refused rows those that wait now for the people they are about.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: i64,
    /// 受付番号 under which the platform read rows of this package again, because another one brought what they needed; oldest
    /// first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub continued_by: Vec<String>,
    /// Of a package that says it holds everything: what the platform held besides when it was checked. It stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// How far a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IntakeProgress {
    /// Rows to apply; 0 while everything is still being checked.
    pub rows_total: i64,
    /// Rows applied or found unchanged so far.
    pub rows_done: i64,
    /// Rows a second since it began or went on.
    pub rows_per_second: i64,
    /// Seconds it will still take at this speed.
    pub seconds_left: i64,
}

impl IntakeProgress {
    fn of(receipt: &Receipt) -> Option<Self> {
        let progress = &receipt.progress;
        if receipt.state != ReceiptState::Received {
            return None;
        }
        let since = progress.begun.zip(progress.touched);
        let rate = since.map_or(0, |((begun, before), touched)| {
            let milliseconds = (touched.as_millisecond() - begun.as_millisecond()).max(1);
            (progress.done - before) * 1_000 / milliseconds
        });
        let left = if rate > 0 { (progress.total - progress.done + rate - 1) / rate } else { 0 };
        Some(Self { rows_total: progress.total, rows_done: progress.done, rows_per_second: rate, seconds_left: left })
    }
}

impl Platform {
    /// Begins a package of the caller's municipality, whose files follow; [`Error::NotOpened`] while that is 未定.
    pub async fn begin_package(&self, caller: &Caller, context: &Context) -> Result<Upload, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ImportPackage, table)?;
        let Some(insurer) = caller.municipality() else {
            return Err(Error::rule(kiban_policy::Rule::NotWriter, table));
        };
        let entry = caller.entry(context, "import", Outcome::Done);
        self.require_opened(insurer, &entry).await?;
        Ok(Upload::new(self, insurer, caller.organization, entry, context))
    }

    /// The same for a command on the platform's own machine.
    pub async fn begin_package_locally(&self, insurer: InsurerNumber, context: &Context) -> Result<Upload, Error> {
        let sender = Organization::Municipality(insurer);
        let entry = Entry {
            organization: Some(sender.to_string()),
            ..Entry::new(context.now, &context.request_id, "cli", "import", Outcome::Done)
        };
        self.require_opened(insurer, &entry).await?;
        Ok(Upload::new(self, insurer, sender, entry, context))
    }

    /// Takes a package of the caller's municipality that lies in memory, and works on it at once.
    pub async fn import_package(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let upload = self.begin_package(caller, context).await?;
        let now = context.now;
        let clock = || now;
        upload.take(files, &mut Work::new(&clock)).await
    }

    /// The same for a command on the platform's own machine. `progress` hears rows done and rows in all.
    pub async fn import_package_locally(
        &self,
        insurer: InsurerNumber,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<IntakeResult, Error> {
        let now = context.now;
        let clock = || now;
        let mut work = Work::new(&clock).heard_by(progress);
        self.begin_package_locally(insurer, context).await?.take(files, &mut work).await
    }

    /// The result of a receipt, for its sender. An office's receipts lie with the insurers of its people, each with the whole
    /// result; one of files that were refused lies with the municipality where the office stands.
    pub async fn receipt(&self, caller: &Caller, public_id: &str, context: &Context) -> Result<IntakeResult, Error> {
        let found = match caller.municipality() {
            Some(insurer) => self.store().receipt(insurer, public_id).await?,
            None => {
                let receipts = self.store().receipts_of_sender(caller.organization, public_id).await?;
                receipts.into_iter().next().map(|(_, receipt)| receipt)
            }
        };
        let found = found.filter(|receipt| receipt.sender == caller.organization);
        let outcome = if found.is_some() { Outcome::Allowed } else { Outcome::Refused };
        self.store().audit().append(caller.entry(context, "receipt", outcome)).await?;
        let found = found.ok_or(Error::Unknown)?;
        match caller.municipality() {
            Some(insurer) => {
                let sent_by = self.sent_by(caller, &found).await?;
                Ok(IntakeResult { sent_by, ..self.answered(insurer, found, false).await? })
            }
            None => answer(found, false),
        }
    }

    /// Who sent a package of the caller's organisation, as the log has it.
    async fn sent_by(&self, caller: &Caller, receipt: &Receipt) -> Result<Option<String>, Error> {
        let position = Position { writer: i64::MAX, segment: i32::MAX, n: i32::MAX };
        let arrived = Cursor { at: receipt.received_at.as_microsecond(), position };
        let log = self.store().audit();
        let entries = log.of_organization(&caller.organization.to_string(), AT_ARRIVAL, Some(arrived)).await?;
        let is_arrival = |entry: &&StoredEntry| {
            entry.action == "import.received" && entry.natural_key.as_deref() == Some(receipt.public_id.as_str())
        };
        Ok(entries.iter().find(is_arrival).and_then(|entry| match entry.way.as_str() {
            "connector" => Some("connector".to_owned()),
            _ => entry.staff.as_deref().and_then(|staff| staff.rsplit_once('/')).map(|(_, name)| name.to_owned()),
        }))
    }

    /// The result of a package, with what became of its rows since it was applied.
    pub(crate) async fn answered(
        &self,
        insurer: InsurerNumber,
        receipt: Receipt,
        repeated: bool,
    ) -> Result<IntakeResult, Error> {
        let number = receipt.number;
        let result = answer(receipt, repeated)?;
        if result.state != ReceiptState::Applied.code() {
            return Ok(result);
        }
        let waiting = self.store().waiting_rows(insurer, number).await?;
        let continued_by = self.store().taken_up_by(insurer, number).await?;
        Ok(IntakeResult { waiting, continued_by, ..result })
    }
}

/// Key of a row of a package: its 履歴番号, so that texts sort as numbers do.
pub(crate) fn natural_key(history: u32) -> String {
    format!("{history:010}")
}

/// The city asked a hospital for an opinion (P-048).
pub(crate) fn opinion_request(person: PersonKey, history: u32, value: &MunicipalValue) -> Option<OpinionRequest> {
    let MunicipalValue::Progress(progress) = value else { return None };
    Some(OpinionRequest {
        person,
        natural_key: natural_key(history),
        office: progress.opinion_requested_from?,
        requested_on: progress.opinion_requested_on?,
        applied_on: progress.applied_on,
    })
}

pub(crate) fn record_of(
    today: Date,
    person: PersonKey,
    history: u32,
    change: Change,
    value: MunicipalValue,
) -> Result<NewRecord, Error> {
    let open = |from| Period::new(from, None);
    let (kind, valid, payload) = match &value {
        MunicipalValue::InsuranceCard(card) => {
            let certified = card.certified.as_ref();
            let valid =
                certified.and_then(|c| c.valid).map_or_else(|| open(certified.map_or(today, |c| c.decided_on)), Ok);
            (Kind::A3a, valid, serde_json::to_vec(card))
        }
        MunicipalValue::CopaymentRate(rate) => {
            let from = rate.rows.first().map_or(rate.issued_on, |row| row.period.from());
            (Kind::A3b, Period::new(from, rate.rows.last().and_then(|row| row.period.to())), serde_json::to_vec(rate))
        }
        MunicipalValue::CostCeiling(ceiling) => (Kind::A3c, Ok(ceiling.period), serde_json::to_vec(ceiling)),
        MunicipalValue::Progress(progress) => (Kind::A5, open(progress.applied_on), serde_json::to_vec(progress)),
        other => {
            let Some((kind, from)) = intake_kinds::kind_and_day(other) else {
                return Err(Error::Internal("not a record".to_owned()));
            };
            (kind, open(from), serde_json::to_vec(other))
        }
    };
    let internal = |error: String| Error::Internal(error);
    let valid = valid.map_err(|error| internal(error.to_string()))?;
    // P-202: completion is the end of validity of a card, the application of a progress; open ones start with today.
    let completed = valid.to().unwrap_or(today).max(valid.from());
    Ok(NewRecord {
        person,
        kind,
        natural_key: intake_kinds::natural_key_of(&value).unwrap_or_else(|| natural_key(history)),
        creator: intake_kinds::author_of(&value).unwrap_or(Organization::Municipality(person.insurer)),
        valid,
        deleted: change == Change::Deleted,
        purge_after: years_after(completed, RETENTION_YEARS),
        payload: payload.map_err(|error| internal(error.to_string()))?,
    })
}

pub(crate) fn answer(receipt: Receipt, repeated: bool) -> Result<IntakeResult, Error> {
    let mut report = match &receipt.result {
        Some(result) => serde_json::from_slice(result).map_err(|error| Error::Internal(error.to_string()))?,
        None => PackageReport { counts: receipt.counts, ..PackageReport::default() },
    };
    if receipt.state == ReceiptState::Failed {
        report.problems.push(set_aside(receipt.failure.as_ref().map_or("", |(code, _)| code)));
    }
    Ok(IntakeResult {
        progress: IntakeProgress::of(&receipt),
        receipt: receipt.public_id,
        state: receipt.state.code(),
        received_at: receipt.received_at,
        sent_by: None,
        base_date: receipt.base_date,
        repeated,
        missing: report.missing.take(),
        report,
        waiting: 0,
        continued_by: Vec::new(),
    })
}

/// Why a package was set aside, as its sender reads it.
fn set_aside(code: &str) -> ReportedProblem {
    let why = match code {
        "unreadable" => "保存した原本を読み取れません",
        _ => "基盤の処理が同じところで続けて失敗しました",
    };
    let text = format!(
        "{why}。このパッケージは後回しにしました（まだ何も見えません。後のパッケージは先に進みます）。運用者に受付番号を伝えてください。原因が直れば続きから反映します"
    );
    ReportedProblem::of(&Problem::of_file("", "set_aside", text))
}

/// The files as one run of bytes, lengths first, so that the same files give the same digest.
pub(crate) fn bundle(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut sorted: Vec<&(String, Vec<u8>)> = files.iter().collect();
    sorted.sort();
    let mut bytes = Vec::with_capacity(files.iter().map(|(name, content)| name.len() + content.len() + 16).sum());
    for (name, content) in sorted {
        for part in [name.as_bytes(), content] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// A file name must not carry a 個人番号 into the log.
pub(crate) fn is_safe_name(name: &str) -> bool {
    name.len() <= 200 && !name.chars().any(char::is_control) && !holds_individual_number(name)
}

/// Writers of files, for `policy`.
pub(crate) fn may_import(kind: Kind, writer: Writer, table: &kiban_policy::SharingTable) -> bool {
    let row = kiban_policy::KindFacts::of(kind, kiban_policy::Opinion::Accepted).row();
    may_register(writer, row, table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_store::ReceiptProgress;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    /// A receipt that has so many rows done of so many, worked on since one instant up to another.
    fn receipt((done, total): (i64, i64), begun: Option<(Timestamp, i64)>, touched: Option<Timestamp>) -> Receipt {
        Receipt {
            number: 1,
            public_id: "0".repeat(32),
            sender: Organization::Municipality(InsurerNumber::parse("999003").unwrap()),
            received_at: at(0),
            state: ReceiptState::Received,
            counts: ReceiptCounts::default(),
            result: None,
            progress: ReceiptProgress { total, done, is_initial: true, begun, touched },
            made_at: None,
            base_date: None,
            failure: None,
        }
    }

    /// Rows in all, rows done, rows a second, seconds left.
    fn told(receipt: &Receipt) -> Option<(i64, i64, i64, i64)> {
        let told = IntakeProgress::of(receipt)?;
        Some((told.rows_total, told.rows_done, told.rows_per_second, told.seconds_left))
    }

    #[test]
    fn the_rate_is_of_what_was_done_since_it_began_and_the_rest_takes_as_long_at_that_rate() {
        // 8,000 rows in 4 seconds; the other 20,000 take 10.
        let running = receipt((8_000, 28_000), Some((at(10), 0)), Some(at(14)));
        assert_eq!(told(&running), Some((28_000, 8_000, 2_000, 10)));
        // A part of a second counts as one.
        let running = receipt((8_000, 28_001), Some((at(10), 0)), Some(at(14)));
        assert_eq!(told(&running), Some((28_001, 8_000, 2_000, 11)));
        // What was done before a cut says nothing about the speed of now: 1,000 rows in 2 seconds.
        let resumed = receipt((21_000, 28_000), Some((at(5_000), 20_000)), Some(at(5_002)));
        assert_eq!(told(&resumed), Some((28_000, 21_000, 500, 14)));
        // 1,500 rows in 400 ms.
        let millisecond = jiff::SignedDuration::from_millis(400);
        let fast = receipt((1_500, 3_000), Some((at(10), 0)), Some(at(10) + millisecond));
        assert_eq!(told(&fast), Some((3_000, 1_500, 3_750, 1)));
    }

    #[test]
    fn before_there_is_a_rate_nothing_is_said_of_the_rest_and_afterwards_nothing_at_all() {
        let checking = receipt((0, 0), None, None);
        assert_eq!(told(&checking), Some((0, 0, 0, 0)));
        let begun = receipt((0, 28_000), Some((at(10), 0)), Some(at(10)));
        assert_eq!(told(&begun), Some((28_000, 0, 0, 0)));
        let done = receipt((28_000, 28_000), Some((at(10), 0)), Some(at(24)));
        assert_eq!(told(&done), Some((28_000, 28_000, 2_000, 0)));
        for state in [ReceiptState::Applied, ReceiptState::Refused, ReceiptState::Failed] {
            assert_eq!(told(&Receipt { state, ..done.clone() }), None, "{state:?}");
        }
    }
}
