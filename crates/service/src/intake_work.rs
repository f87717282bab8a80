//! The two passes over a package that has arrived: the first reads and judges everything in constant memory, the second
//! applies it block by block. While a block is on its way to the database the next one is judged and sealed on another
//! thread. One process works on the packages of an insurer, oldest first, under a lease; whoever takes the lease after a
//! cut goes on behind the last block (decision 0006.15, 19, 35).

use crate::intake::{PackageReport, ReportedProblem};
use crate::intake_judge::{Judge, Judged};
use crate::intake_upload::holder;
use crate::row_order::Since;
use crate::{Error, Platform, random_id};
use kiban_domain::{Date, InsurerNumber, Timestamp, dates};
use kiban_formats::municipal::{self, MunicipalKind, MunicipalRow, ReadRow, Source};
use kiban_store::{
    Again, Entry, Lease, NewReceipt, OpenRow, Outcome, Receipt, ReceiptCounts, ReceiptState, RegistrationReview,
    SealedBlock, Store, StoreError, Tx, UploadFile,
};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Rows of a block: few on SQLite, whose one writer others wait for.
const BLOCK: (usize, usize) = (1_000, 5_000);
/// Threads that check a package at most: other requests go on meanwhile.
const CHECKING_THREADS: usize = 4;
/// A package that failed so often for one reason is set aside.
pub(crate) const FAILURES: i64 = 5;
/// The same failure counts again after so long: what passes by itself is no fault of the package.
const FAILS_AGAIN_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// How often a lease is held on to while nothing is written.
const HOLD_EVERY: Duration = Duration::from_secs(5);

/// How packages are worked on.
pub struct Work<'a> {
    /// The clock, read at the edge.
    pub(crate) clock: &'a (dyn Fn() -> Timestamp + Send + Sync),
    /// Hears rows done and rows in all.
    pub(crate) progress: Option<&'a mut (dyn FnMut(u64, u64) + Send)>,
    /// Does not wait while another process works on the packages of the insurer.
    pub(crate) is_impatient: bool,
    /// Set from outside to end after the block under way; what is left goes on later.
    pub stop: Arc<AtomicBool>,
    pub(crate) own: Option<(String, Entry)>,
    pub(crate) met_another: bool,
}

impl<'a> Work<'a> {
    /// Patient work without a listener.
    pub fn new(clock: &'a (dyn Fn() -> Timestamp + Send + Sync)) -> Self {
        Self { clock, progress: None, is_impatient: false, stop: Arc::default(), own: None, met_another: false }
    }

    /// The same with a listener.
    #[must_use]
    pub fn heard_by(mut self, progress: &'a mut (dyn FnMut(u64, u64) + Send)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The same without waiting for another process.
    #[must_use]
    pub fn impatient(mut self) -> Self {
        self.is_impatient = true;
        self
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The entry of what is done for a receipt: of the request it came with, or of the worker that found it.
    fn entry(&self, insurer: InsurerNumber, receipt: &Receipt, action: &str) -> Entry {
        let entry = match &self.own {
            Some((own, entry)) if *own == receipt.public_id => entry.clone(),
            _ => Entry {
                organization: Some(receipt.sender.to_string()),
                insurer: Some(insurer.to_string()),
                ..Entry::new((self.clock)(), &receipt.public_id, "worker", "import", Outcome::Done)
            },
        };
        Entry { action: action.to_owned(), natural_key: Some(receipt.public_id.clone()), ..entry }
    }
}

impl Platform {
    /// Works on every package that waits, of every insurer. Errors of one insurer do not keep the others waiting.
    pub async fn work_on_packages(&self, work: &mut Work<'_>) -> Result<(), Error> {
        let mut first_error = None;
        for insurer in self.store().waiting_insurers().await? {
            if work.is_stopped() {
                break;
            }
            if let Err(error) = self.work_on_insurer(insurer, work).await {
                tracing::error!(%error, "packages of an insurer are not worked on");
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Works on the packages of one insurer, oldest first. False when another process does.
    pub(crate) async fn work_on_insurer(&self, insurer: InsurerNumber, work: &mut Work<'_>) -> Result<bool, Error> {
        let Some(first) = self.store().waiting_receipt(insurer).await? else { return Ok(true) };
        let holder = holder()?;
        let mut tx = self.store().begin().await?;
        let Some(lease) = tx.take_lease(insurer, &holder, (work.clock)()).await? else {
            work.met_another = true;
            return Ok(false);
        };
        tx.commit(work.entry(insurer, &first, "import.begun")).await?;
        let mut result = Ok(());
        let mut own_is_done = false;
        while result.is_ok() && !work.is_stopped() {
            let Some(receipt) = self.store().waiting_receipt(insurer).await? else { break };
            // Whoever came with a package works until it is done, with what it brings about; what waits behind it is for the
            // worker.
            if own_is_done && (work.is_impatient || self.store().again(insurer, receipt.number).await?.is_none()) {
                break;
            }
            result = self.work_on_receipt(&lease, receipt.clone(), work).await;
            if let Err(error) = &result
                && self.set_aside(&lease, &receipt, error, work).await
            {
                result = Ok(());
            }
            own_is_done |= work.own.as_ref().is_some_and(|(own, _)| *own == receipt.public_id);
        }
        let mut tx = self.store().begin().await?;
        tx.give_lease_back(&lease).await?;
        tx.commit(work.entry(insurer, &first, "import.ended")).await?;
        result.map(|()| true)
    }

    /// Notes why a package failed, and sets it aside when it did so too often: one that cannot be worked on must not keep those
    /// behind it waiting for ever. True when it was set aside.
    async fn set_aside(&self, lease: &Lease, receipt: &Receipt, error: &Error, work: &mut Work<'_>) -> bool {
        let Some(code) = failure_of(error) else { return false };
        match self.note_failure(lease, receipt, code, work).await {
            Ok(Some(failures)) if failures >= FAILURES => {
                let (insurer, receipt) = (lease.insurer.to_string(), receipt.public_id.as_str());
                tracing::error!(
                    insurer, receipt, code, failures, %error,
                    "a package cannot be worked on and is set aside; those behind it go on (kiban operate retry)"
                );
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::error!(%error, "a failure of a package was not noted");
                false
            }
        }
    }

    async fn note_failure(
        &self,
        lease: &Lease,
        receipt: &Receipt,
        code: &'static str,
        work: &mut Work<'_>,
    ) -> Result<Option<i64>, Error> {
        let now = (work.clock)();
        // What was never checked to its end may hold a 個人番号, and may lie here for long.
        let is_unchecked =
            receipt.progress.total == 0 && self.store().again(lease.insurer, receipt.number).await?.is_none();
        let is_last = receipt.failure.as_ref().is_some_and(|(known, times)| known == code && times + 1 >= FAILURES);
        if is_unchecked && is_last {
            let entry = work.entry(lease.insurer, receipt, "import.blanked");
            self.blank_upload(lease, &receipt.public_id, &entry, work.clock).await?;
        }
        let mut tx = self.store().begin().await?;
        tx.hold_lease(lease, now).await?;
        let noted = tx.receipt_failed(lease.insurer, receipt.number, code, now, now - FAILS_AGAIN_AFTER).await?;
        let Some(failures) = noted else { return Ok(None) };
        let action = if failures >= FAILURES { "import.set_aside" } else { "import.failed" };
        if failures >= FAILURES {
            tx.set_receipt_aside(lease.insurer, receipt.number, now).await?;
        }
        let entry = work.entry(lease.insurer, receipt, action);
        tx.commit(Entry { outcome: Outcome::Failed, detail: Some(code.to_owned()), ..entry }).await?;
        Ok(noted)
    }

    async fn work_on_receipt(&self, lease: &Lease, receipt: Receipt, work: &mut Work<'_>) -> Result<(), Error> {
        let insurer = lease.insurer;
        let again = self.store().again(insurer, receipt.number).await?;
        let upload = again.as_ref().map_or(&receipt.public_id, |again| &again.upload).clone();
        let files = self.store().upload_files(insurer, &upload).await?;
        let spool = Spool {
            store: self.store().clone(),
            insurer,
            upload,
            files: files.into(),
            runtime: Handle::current(),
            stop: Arc::clone(&work.stop),
        };
        let mut pass = match &receipt.result {
            // Checked before a cut: what was found then stands.
            Some(known) if receipt.progress.total > 0 => Pass {
                report: serde_json::from_slice(known).map_err(|error| Error::Internal(error.to_string()))?,
                total: receipt.progress.total as u64,
                done: receipt.progress.done as u64,
                is_initial: receipt.progress.is_initial,
                made_at: receipt.made_at,
                base_date: receipt.base_date,
                again,
            },
            _ => {
                let entry = work.entry(insurer, &receipt, "import.checking");
                let checked = self.check(lease, entry, spool.clone(), receipt.received_at, work.clock).await?;
                if checked.is_refused {
                    let mut tx = self.store().begin().await?;
                    tx.hold_lease(lease, (work.clock)()).await?;
                    if let Some(day) = checked.base_date {
                        tx.put_base_date(insurer, receipt.number, day).await?;
                    }
                    let entry = work.entry(insurer, &receipt, "import.refused");
                    return self.close(tx, lease, &receipt, ReceiptState::Refused, checked.report, entry).await;
                }
                let mut report = checked.report;
                if report.problems.iter().any(ReportedProblem::forbids_keeping) {
                    let entry = work.entry(insurer, &receipt, "import.blanked");
                    self.blank_upload(lease, &receipt.public_id, &entry, work.clock).await?;
                }
                if checked.is_whole {
                    let entry = work.entry(insurer, &receipt, "import.checking");
                    let compared = self.missing_from(insurer, spool.clone(), checked.rows, &report);
                    let missing = self.held(lease, entry, work.clock, compared).await??;
                    report.missing = Some(missing);
                }
                Pass {
                    report,
                    total: checked.rows,
                    done: 0,
                    is_initial: !self.store().has_people(insurer).await?,
                    made_at: checked.made_at,
                    base_date: checked.base_date,
                    again: None,
                }
            }
        };
        self.apply(lease, &receipt, spool, &mut pass, work).await
    }

    /// Pass 1: reads and judges everything; nothing is written but the lease.
    async fn check(
        &self,
        lease: &Lease,
        entry: Entry,
        spool: Spool,
        received_at: Timestamp,
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Result<Checked, Error> {
        let insurer = lease.insurer;
        let checking = tokio::task::spawn_blocking(move || check(spool, insurer, received_at));
        let checked = self.held(lease, entry, clock, checking).await?;
        let checked = checked.map_err(|error| Error::Internal(error.to_string()))?;
        checked.map_err(unread)
    }

    /// Waits for something and holds on to the lease meanwhile.
    async fn held<T>(
        &self,
        lease: &Lease,
        entry: Entry,
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
        wanted: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut wanted = std::pin::pin!(wanted);
        let mut hold = tokio::time::interval_at(tokio::time::Instant::now() + HOLD_EVERY, HOLD_EVERY);
        loop {
            tokio::select! {
                found = &mut wanted => return Ok(found),
                _ = hold.tick() => {
                    let mut tx = self.store().begin().await?;
                    tx.hold_lease(lease, clock()).await?;
                    tx.commit(entry.clone()).await?;
                }
            }
        }
    }

    /// Pass 2: block by block, decide what changes anything, seal it, write it.
    async fn apply(
        &self,
        lease: &Lease,
        receipt: &Receipt,
        spool: Spool,
        pass: &mut Pass,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let insurer = lease.insurer;
        let judge = self.judge(receipt, insurer, pass).await?;
        let rows = read_blocks(spool, self.block(), pass.done, pass.total);
        let mut blocks = prepare_blocks(rows, judge, receipt);
        let mut begins = true;
        let entry = work.entry(insurer, receipt, "import.reading");
        while let Some(block) = self.held(lease, entry.clone(), work.clock, blocks.next()).await?? {
            let is_last = block.is_last;
            self.write_block(lease, receipt, block, pass, begins, work).await?;
            begins = false;
            if is_last {
                return Ok(());
            }
            if work.is_stopped() {
                return Err(Error::Unavailable("stopped".to_owned()));
            }
        }
        Err(Error::Internal("a package ended without its last block".to_owned()))
    }

    pub(crate) fn block(&self) -> usize {
        if self.store().engine_name() == "sqlite" { BLOCK.0 } else { BLOCK.1 }
    }

    pub(crate) async fn judge(&self, receipt: &Receipt, insurer: InsurerNumber, pass: &Pass) -> Result<Judge, Error> {
        let since = match pass.made_at {
            Some(made_at) => {
                Since::new(made_at, self.store().receipts_made_since(insurer, made_at, receipt.number).await?)
            }
            None => Since::default(),
        };
        Ok(Judge {
            platform: self.clone(),
            insurer,
            keys: self.store().keys_of(insurer).await?,
            revision: receipt.number,
            now: receipt.received_at,
            today: dates::day_in_japan(receipt.received_at),
            is_initial: pass.is_initial,
            since,
            aside: self.store().receipts_set_aside(insurer).await?.into_iter().collect(),
            written: std::collections::HashMap::new(),
            may_wait: !pass.report.problems.iter().any(ReportedProblem::forbids_keeping),
            has_open: self.store().has_open_rows(insurer).await?,
            again: match &pass.again {
                Some(again) => Some((again.clone(), self.store().rows_again(insurer, again).await?)),
                None => None,
            },
            told_offices: HashSet::new(),
            usage: crate::intake_usage::UsageState::default(),
        })
    }

    /// One transaction: the rows, how far the receipt is, the lease; with the last block the receipt is applied.
    async fn write_block(
        &self,
        lease: &Lease,
        receipt: &Receipt,
        block: Block,
        pass: &mut Pass,
        begins: bool,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let (insurer, number, now) = (lease.insurer, receipt.number, (work.clock)());
        let receipt_at = receipt.received_at;
        let Block { mut sealed, mut judged, is_last } = block;
        let mut tx = self.store().begin().await?;
        tx.hold_lease(lease, now).await?;
        if let Some(sealer) = tx.sealer_instead(&sealed).await? {
            let again = tokio::task::spawn_blocking(move || {
                let sealed = sealer.seal(number, receipt_at, &judged.people, &judged.records)?;
                Ok::<_, Error>((sealed, judged))
            });
            (sealed, judged) = again.await.map_err(|error| Error::Internal(error.to_string()))??;
        }
        if begins {
            tx.judged_receipt(insurer, number, (pass.total as i64, pass.is_initial), pass.made_at, now).await?;
            if let Some(day) = pass.base_date {
                tx.put_base_date(insurer, number, day).await?;
            }
        }
        tx.put_block(&sealed).await?;
        tx.put_claims(insurer, &judged.claims).await?;
        tx.put_open_rows(insurer, number, &judged.open).await?;
        tx.put_displaced_rows(insurer, &judged.displaced).await?;
        tx.clear_open_rows(insurer, &judged.cleared).await?;
        tx.put_rows_again(insurer, number, &judged.again).await?;
        for (person, natural_key) in &judged.ended_requests {
            tx.end_opinion_request(*person, natural_key).await?;
        }
        tx.put_opinion_requests(number, &judged.requests).await?;
        for link in &judged.links {
            tx.put_link(link).await?;
        }
        for (registration, cause) in &judged.reviews {
            let review = RegistrationReview {
                id: random_id()?,
                person: registration.person,
                office: registration.office,
                cause: *cause,
                source: receipt.public_id.clone(),
                opened_at: receipt.received_at,
                closed_at: None,
            };
            self.open_review(&mut tx, &review, registration.viewable_until, now).await?;
        }
        for problem in &judged.problems {
            pass.report.tell(problem);
        }
        for (kind, counts) in &judged.counts {
            pass.add(kind, *counts);
        }
        tx.put_consents(number, receipt.received_at, &judged.columns).await?;
        if !judged.consents.is_empty() {
            let new = tx.put_consents(number, receipt.received_at, &judged.consents).await? as i64;
            let unchanged = judged.consents.len() as i64 - new;
            pass.add("CONSENT", ReceiptCounts { applied: new, unchanged, ..ReceiptCounts::default() });
        }
        pass.done += judged.rows;
        if is_last {
            if pass.done < pass.total {
                return Err(Error::Internal("a package lost rows between its two passes".to_owned()));
            }
            let report = std::mem::take(&mut pass.report);
            let entry = work.entry(insurer, receipt, "import.applied");
            self.close(tx, lease, receipt, ReceiptState::Applied, report, entry).await?;
        } else {
            let report = serde_json::to_vec(&pass.report).map_err(|error| Error::Internal(error.to_string()))?;
            tx.block_done(insurer, number, pass.done as i64, pass.report.counts, &report, now).await?;
            tx.commit(work.entry(insurer, receipt, "import.block")).await?;
        }
        if let Some(progress) = work.progress.as_mut() {
            progress(pass.done, pass.total);
        }
        Ok(())
    }

    /// Closes a receipt in the transaction that applied its last rows: it is applied exactly when its rows are there. What must
    /// not be kept (P-039) goes with it.
    async fn close(
        &self,
        mut tx: Tx,
        lease: &Lease,
        receipt: &Receipt,
        state: ReceiptState,
        report: PackageReport,
        entry: Entry,
    ) -> Result<(), Error> {
        let report = report.closed();
        let internal = |error: serde_json::Error| Error::Internal(error.to_string());
        let result = serde_json::to_vec(&report).map_err(internal)?;
        if report.problems.iter().any(ReportedProblem::forbids_keeping) {
            tx.drop_upload(lease.insurer, &receipt.public_id).await?;
        }
        tx.finish_receipt(lease.insurer, receipt.number, state, report.counts, &result).await?;
        let detail = serde_json::to_string(&report.counts).map_err(internal)?;
        let mut entries = vec![Entry { detail: Some(detail), ..entry }];
        if let Some(again) = self.store().again(lease.insurer, receipt.number).await? {
            tx.done_again(lease.insurer, again.due_by, again.of).await?;
        }
        for of in tx.receipts_due(lease.insurer, receipt.number).await? {
            let now = Timestamp::from_microsecond(entries[0].at);
            let now = now.map_err(|error| Error::Internal(error.to_string()))?;
            match self.take_up(&mut tx, lease.insurer, of, receipt.number, now).await? {
                Some(public_id) => entries.push(Entry {
                    action: "import.again".to_owned(),
                    natural_key: Some(public_id),
                    detail: None,
                    ..entries[0].clone()
                }),
                None => tx.done_again(lease.insurer, receipt.number, of).await?,
            }
        }
        Ok(tx.commit_all(entries).await?)
    }

    /// Gives a receipt under which rows of an applied package are read again, because of what another one brought; its 受付番号.
    /// None when the package is no whole one, or its original is not kept.
    async fn take_up(
        &self,
        tx: &mut Tx,
        insurer: InsurerNumber,
        of: i64,
        due_by: i64,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let Some(first) = self.store().receipt_numbered(insurer, of).await? else { return Ok(None) };
        let is_whole = first.state == ReceiptState::Applied && self.store().again(insurer, of).await?.is_none();
        let is_kept = !self.store().upload_files(insurer, &first.public_id).await?.is_empty();
        if !is_whole || !is_kept || first.progress.total == 0 {
            return Ok(None);
        }
        let keys = self.store().keys_of(insurer).await?;
        let digest = keys.digest(format!("read again|{}|{due_by}", first.public_id).as_bytes());
        let (public_id, sender) = (random_id()?, first.sender);
        let new =
            NewReceipt { insurer, public_id: public_id.clone(), sender, received_at: now, original: None, digest };
        let number = tx.put_receipt(&new).await?;
        let report = serde_json::to_vec(&PackageReport::default()).map_err(|e| Error::Internal(e.to_string()))?;
        tx.judged_receipt(insurer, number, (first.progress.total, false), first.made_at, now).await?;
        if let Some(day) = first.base_date {
            tx.put_base_date(insurer, number, day).await?;
        }
        tx.block_done(insurer, number, 0, ReceiptCounts::default(), &report, now).await?;
        tx.put_receipt_again(insurer, number, &Again { of, due_by, upload: first.public_id }).await?;
        Ok(Some(public_id))
    }
}

/// A block on its way to the database.
struct Block {
    sealed: SealedBlock,
    judged: Judged,
    /// Closes the receipt.
    is_last: bool,
}

/// How far the second pass is.
pub(crate) struct Pass {
    pub(crate) report: PackageReport,
    total: u64,
    done: u64,
    pub(crate) is_initial: bool,
    pub(crate) made_at: Option<Timestamp>,
    base_date: Option<Date>,
    /// Rows of another receipt are read again.
    again: Option<Again>,
}

impl Pass {
    /// Before its first block.
    pub(crate) fn new(report: PackageReport, rows: u64, is_initial: bool, made_at: Option<Timestamp>) -> Self {
        Self { report, total: rows, done: 0, is_initial, made_at, base_date: None, again: None }
    }

    pub(crate) fn add(&mut self, kind: &str, more: ReceiptCounts) {
        for counts in [&mut self.report.counts, self.report.kinds.entry(kind.to_owned()).or_default()] {
            counts.applied += more.applied;
            counts.unchanged += more.unchanged;
            counts.refused += more.refused;
            if self.again.is_some() {
                counts.read += more.applied + more.unchanged + more.refused;
            }
        }
    }
}

/// What the first pass found.
pub(crate) struct Checked {
    pub(crate) report: PackageReport,
    /// Sound rows.
    pub(crate) rows: u64,
    pub(crate) made_at: Option<Timestamp>,
    pub(crate) base_date: Option<Date>,
    pub(crate) is_refused: bool,
    /// It says that it holds everything.
    pub(crate) is_whole: bool,
}

/// A source that could not be read: what lies there is damaged, or the database does not answer.
pub(crate) fn unread(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData => Error::Internal(format!("{UNREADABLE}: {error}")),
        _ => Error::Unavailable(error.to_string()),
    }
}

/// How an [`Error::Internal`] begins when what is kept cannot be opened or read back.
const UNREADABLE: &str = "unreadable value";

/// The code of a failure that may lie in the package; none of one that passes by itself.
fn failure_of(error: &Error) -> Option<&'static str> {
    match error {
        Error::Internal(text) if text.starts_with(UNREADABLE) => Some("unreadable"),
        Error::Unavailable(_) | Error::OutcomeUnknown => None,
        Error::Conflict(_) => Some("conflict"),
        _ => Some("internal"),
    }
}

/// Reads and judges a whole package that arrived at an instant: counts by kind, all problems, whether it may be applied at
/// all.
pub(crate) fn check<S: Source + Sync>(
    source: S,
    insurer: InsurerNumber,
    received_at: Timestamp,
) -> io::Result<Checked> {
    let package = municipal::open_source(source)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(CHECKING_THREADS);
    let municipal::Counted { rows, repeated, mut problems } = package.count_source(threads)?;
    let sound: BTreeMap<&'static str, i64> = rows.iter().map(|(kind, rows)| (kind.code(), *rows as i64)).collect();
    let manifest = package.manifest();
    problems.extend(package.not_sent_by(insurer));
    problems.extend(package.made_after(received_at + municipal::AHEAD));
    let is_refused = problems.iter().any(municipal::refuses_package);
    let mut kinds: BTreeMap<String, ReceiptCounts> = BTreeMap::new();
    for file in manifest.map_or(&[][..], |manifest| &manifest.files) {
        kinds.entry(file.kind.code().to_owned()).or_default().read += file.rows as i64;
    }
    let mut counts = ReceiptCounts::default();
    for (kind, of_kind) in &mut kinds {
        let sound = sound.get(kind.as_str()).copied().unwrap_or_default();
        of_kind.read = of_kind.read.max(sound);
        // A row that stands twice is there once: nothing of it is missing, and nothing has to be sent again.
        let twice = MunicipalKind::from_code(kind).and_then(|kind| repeated.get(&kind).copied()).unwrap_or_default();
        of_kind.unchanged = if is_refused { 0 } else { twice as i64 };
        of_kind.refused = of_kind.read - if is_refused { 0 } else { sound + of_kind.unchanged };
        counts.read += of_kind.read;
        counts.unchanged += of_kind.unchanged;
        counts.refused += of_kind.refused;
    }
    if manifest.is_none() {
        // Nothing says how many rows there are: those with an error are counted.
        let faulty = problems.iter().filter(|problem| problem.is_error() && problem.line > 0);
        counts.read = faulty.map(|problem| (problem.file.as_str(), problem.line)).collect::<HashSet<_>>().len() as i64;
        counts.refused = counts.read;
    }
    Ok(Checked {
        rows: sound.values().sum::<i64>() as u64,
        made_at: manifest.map(|manifest| manifest.created_at),
        base_date: manifest.map(|manifest| manifest.base_date),
        is_refused,
        is_whole: manifest.is_some_and(|manifest| manifest.whole),
        report: PackageReport {
            counts,
            kinds,
            problems: problems.iter().map(ReportedProblem::of).collect(),
            ..PackageReport::default()
        },
    })
}

/// Rows in the order of the package.
pub(crate) struct RowBlock {
    pub(crate) rows: Vec<MunicipalRow>,
    /// Keys of rows with an error.
    pub(crate) faulty: Vec<OpenRow>,
    /// Applied before a cut.
    pub(crate) is_done: bool,
    /// Everything was read.
    is_last: bool,
}

/// Blocks on their way from the reader to the database. Dropped, nothing is prepared any more: what was not written is
/// judged and sealed again by whoever goes on.
struct Blocks {
    ready: mpsc::Receiver<Result<Block, Error>>,
    work: JoinSet<()>,
}

impl Blocks {
    /// The next one, in the order of the package.
    async fn next(&mut self) -> Result<Option<Block>, Error> {
        match self.ready.recv().await {
            Some(block) => block.map(Some),
            None => match self.work.join_next().await {
                Some(Err(error)) => Err(Error::Internal(error.to_string())),
                _ => Ok(None),
            },
        }
    }
}

/// Judges and seals blocks on other threads, one block ahead of the one being written. Judging needs nothing of the blocks
/// before but what the judge itself remembers of them: a key stands once in a package, and what the package has brought
/// already does not count as there.
fn prepare_blocks(mut rows: mpsc::Receiver<io::Result<RowBlock>>, mut judge: Judge, receipt: &Receipt) -> Blocks {
    let (number, recorded_at) = (receipt.number, receipt.received_at);
    let (send, ready) = mpsc::channel(1);
    let mut work = JoinSet::new();
    work.spawn(async move {
        while let Some(block) = rows.recv().await {
            let block = match block {
                Ok(block) if block.is_done => {
                    judge.remember(&block.rows);
                    continue;
                }
                Ok(block) => prepare(block, &mut judge, number, recorded_at).await,
                Err(error) => Err(unread(error)),
            };
            let failed = block.is_err();
            if send.send(block).await.is_err() || failed {
                break;
            }
        }
    });
    Blocks { ready, work }
}

async fn prepare(block: RowBlock, judge: &mut Judge, number: i64, recorded_at: Timestamp) -> Result<Block, Error> {
    let is_last = block.is_last;
    let judged = judge.block(block.rows, block.faulty).await?;
    // For each block anew: the key may have changed since the last one.
    let sealer = judge.platform.store().sealer(judge.insurer).await?;
    let sealed = tokio::task::spawn_blocking(move || {
        let sealed = sealer.seal(number, recorded_at, &judged.people, &judged.records)?;
        Ok::<_, Error>(Block { sealed, judged, is_last })
    });
    sealed.await.map_err(|error| Error::Internal(error.to_string()))?
}

/// What a row counts towards a full block: documents are several times as large as other rows, and a block is in memory several
/// times on its way to the database.
fn weight(kind: MunicipalKind) -> usize {
    match kind {
        MunicipalKind::Survey | MunicipalKind::Opinion => 5,
        MunicipalKind::Application => 2,
        _ => 1,
    }
}

/// Reads the package again on a thread of its own, a block ahead of whoever judges it. The last block, which closes the
/// receipt, is handed over when everything was read; it may be empty. The keys of rows with an error fill a block, too, however
/// few are sound.
pub(crate) fn read_blocks<S: Source + Send + 'static>(
    source: S,
    size: usize,
    done: u64,
    total: u64,
) -> mpsc::Receiver<io::Result<RowBlock>> {
    let (send, receive) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let (mut rows, mut faulty) = (Vec::with_capacity(size), Vec::new());
        let (mut seen, mut unreadable, mut held) = (0u64, 0i64, 0);
        let mut gone = false;
        let mut hand_over = |rows: &mut Vec<MunicipalRow>, faulty: &mut Vec<OpenRow>, seen: u64, is_last: bool| {
            // Those with an error that follow the last row that was applied may have been kept or not; twice is once.
            let is_done = !is_last && (seen < done || seen == done && !rows.is_empty());
            let rows = std::mem::replace(rows, Vec::with_capacity(if is_last { 0 } else { size }));
            let block = RowBlock { rows, faulty: std::mem::take(faulty), is_done, is_last };
            gone = gone || send.blocking_send(Ok(block)).is_err();
        };
        let read = municipal::open_source(source).and_then(|package| {
            package.read_source(&mut |row| {
                match row {
                    ReadRow::Sound(row) => {
                        held += weight(row.value.kind());
                        rows.push(*row);
                        seen += 1;
                    }
                    ReadRow::Faulty { kind, insured, history } => {
                        let key = insured.zip(history);
                        unreadable += i64::from(key.is_none());
                        let (insured, history) =
                            key.map_or((None, unreadable), |(insured, history)| (Some(insured), i64::from(history)));
                        faulty.push(OpenRow { insured, kind: kind.code().to_owned(), history, waits: false });
                    }
                }
                let is_full = held >= size && seen < total || seen == done && !rows.is_empty();
                if is_full || faulty.len() == size {
                    held = 0;
                    hand_over(&mut rows, &mut faulty, seen, false);
                }
            })
        });
        match read {
            Ok(_) => hand_over(&mut rows, &mut faulty, seen, true),
            Err(error) => drop(send.blocking_send(Err(error))),
        }
    });
    receive
}

/// The sealed pieces of an upload as a source. Read on a thread that may wait.
#[derive(Clone)]
pub(crate) struct Spool {
    store: Store,
    insurer: InsurerNumber,
    upload: String,
    files: Arc<[UploadFile]>,
    runtime: Handle,
    stop: Arc<AtomicBool>,
}

impl Spool {
    /// Of these files of an upload; nothing stops it.
    pub(crate) fn of(store: &Store, insurer: InsurerNumber, upload: &str, files: Vec<UploadFile>) -> Self {
        Self {
            store: store.clone(),
            insurer,
            upload: upload.to_owned(),
            files: files.into(),
            runtime: Handle::current(),
            stop: Arc::default(),
        }
    }
}

impl Source for Spool {
    fn files(&self) -> usize {
        self.files.len()
    }

    fn name(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |file| &file.name)
    }

    fn open(&self, file: usize) -> io::Result<impl Read> {
        let pieces = self.files.get(file).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.pieces;
        Ok(SpoolReader { spool: self.clone(), file: file as i32, next: 0, pieces, piece: Vec::new(), at: 0 })
    }

    /// Known since it arrived; the seal of each piece says that nothing was changed since.
    fn sha256(&self, file: usize) -> io::Result<String> {
        Ok(self.files.get(file).map_or_else(String::new, |file| file.sha256.clone()))
    }
}

struct SpoolReader {
    spool: Spool,
    file: i32,
    next: i32,
    pieces: i32,
    piece: Vec<u8>,
    at: usize,
}

impl Read for SpoolReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && self.next < self.pieces {
            if self.spool.stop.load(Ordering::Acquire) {
                return Err(io::Error::other("stopped"));
            }
            let place = (self.file, self.next);
            let piece = self.spool.store.upload_piece(self.spool.insurer, &self.spool.upload, place);
            self.piece = self.spool.runtime.block_on(piece).map_err(|error| match error {
                StoreError::Unreadable(what) => io::Error::new(io::ErrorKind::InvalidData, what),
                error => io::Error::other(error.to_string()),
            })?;
            self.next += 1;
            self.at = 0;
        }
        let some = into.len().min(self.piece.len() - self.at);
        into[..some].copy_from_slice(&self.piece[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::dates::Period;
    use kiban_domain::insurance_card::{CopaymentPeriod, CopaymentRate, Tenths};
    use kiban_domain::{InsuredNumber, PersonKey};
    use kiban_formats::municipal::{Change, Entry, MunicipalPackage};

    const SIZE: usize = 10;

    /// A package of burden rates of which those with these numbers have no sound day of issue.
    fn rates(rows: u32, is_faulty: impl Fn(u32) -> bool) -> Vec<(String, Vec<u8>)> {
        let insurer = InsurerNumber::parse("999003").unwrap();
        let period = Period::new(jiff::civil::date(2026, 8, 1), Some(jiff::civil::date(2027, 7, 31))).unwrap();
        let lines = vec![CopaymentPeriod { rate: Tenths::new(1).unwrap(), period }];
        let entries: Vec<_> = (0..rows)
            .map(|n| {
                let key = PersonKey { insurer, insured: InsuredNumber::parse(&format!("{n:010}")).unwrap() };
                let issued_on = jiff::civil::date(2026, 7, if is_faulty(n) { 13 } else { 20 });
                Entry { key, history: 1, change: Change::New, value: CopaymentRate { issued_on, rows: lines.clone() } }
            })
            .collect();
        let made_at = "2026-07-21T00:00:00Z".parse().unwrap();
        let mut files = MunicipalPackage::new(insurer, made_at).copayment_rates(&entries).finish().unwrap();
        let digest = |bytes: &[u8]| -> String {
            let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
            digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
        };
        let before = digest(&files[1].1);
        files[1].1 = String::from_utf8(files[1].1.clone()).unwrap().replace("20260713", "20261340").into_bytes();
        let after = digest(&files[1].1);
        files[0].1 = String::from_utf8(files[0].1.clone()).unwrap().replace(&before, &after).into_bytes();
        files
    }

    /// Rows, keys of faulty rows, done before, the last: of each block.
    fn blocks(files: Vec<(String, Vec<u8>)>, done: u64, total: u64) -> Vec<(usize, usize, bool, bool)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut blocks = read_blocks(files, SIZE, done, total);
            let mut all = Vec::new();
            while let Some(block) = blocks.recv().await {
                let block = block.unwrap();
                all.push((block.rows.len(), block.faulty.len(), block.is_done, block.is_last));
            }
            all
        })
    }

    #[test]
    fn no_block_grows_with_the_rows_that_have_an_error_wherever_they_stand() {
        // Nothing but errors.
        let all = blocks(rates(35, |_| true), 0, 0);
        assert_eq!(all, [(0, 10, false, false), (0, 10, false, false), (0, 10, false, false), (0, 5, false, true)]);
        // Behind the last sound row.
        let all = blocks(rates(35, |n| n > 0), 0, 1);
        assert_eq!(all, [(1, 10, false, false), (0, 10, false, false), (0, 10, false, false), (0, 4, false, true)]);
        // Before the first.
        let all = blocks(rates(35, |n| n < 34), 0, 1);
        assert_eq!(all, [(0, 10, false, false), (0, 10, false, false), (0, 10, false, false), (1, 4, false, true)]);
        // None, and a package that ends with a full block.
        assert_eq!(blocks(rates(20, |_| false), 0, 20), [(10, 0, false, false), (10, 0, false, true)]);
        assert_eq!(
            blocks(rates(25, |_| false), 0, 25),
            [(10, 0, false, false), (10, 0, false, false), (5, 0, false, true)]
        );
    }

    #[test]
    fn after_a_cut_the_keys_behind_the_last_row_that_was_applied_are_handed_over_once_more() {
        // Ten sound rows are in; whether the ten with an error behind them are, nobody knows.
        let files = rates(40, |n| (10..20).contains(&n));
        let all = blocks(files, 10, 30);
        assert_eq!(all, [(10, 0, true, false), (0, 10, false, false), (10, 0, false, false), (10, 0, false, true)]);
        // Errors alone follow what is in.
        let all = blocks(rates(25, |n| n >= 10), 10, 10);
        assert_eq!(all, [(10, 0, true, false), (0, 10, false, false), (0, 5, false, true)]);
    }
}
