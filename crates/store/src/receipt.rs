//! 受付: every package or document that came in, its counts, its result, its original bytes (ARCHITECTURE.md, P-030).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::office::instant;
use crate::{Keyring, Store, StoreError, Tx};
use kiban_domain::{Date, InsurerNumber, Organization, Timestamp, dates};

const NEXT: &str =
    "INSERT INTO receipt_counter (insurer_number, last_number, open_receipts, mac) VALUES ($1, 1, '', $2)
     ON CONFLICT (insurer_number) DO UPDATE SET last_number = receipt_counter.last_number + 1
     RETURNING last_number, open_receipts, mac";
const HOLD_OPEN: &str = "UPDATE receipt_counter SET last_number = last_number WHERE insurer_number = $1
     RETURNING last_number, open_receipts, mac";
const OPEN: &str = "SELECT last_number, open_receipts, mac FROM receipt_counter WHERE insurer_number = $1";
const SET_OPEN: &str = "UPDATE receipt_counter SET open_receipts = $2, mac = $3 WHERE insurer_number = $1";
const PUT: &str = "INSERT INTO receipt (insurer_number, receipt_number, public_id, sender, received_at, digest, state, rows_read, rows_applied,
       rows_unchanged, rows_refused, result, original)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0, NULL, $8)
     ON CONFLICT DO NOTHING";
const FINISH: &str = "UPDATE receipt SET state = $3, rows_read = $4, rows_applied = $5, rows_unchanged = $6, rows_refused = $7, result = $8
     WHERE insurer_number = $1 AND receipt_number = $2 AND state = 'received'";
const BY_DIGEST: &str = "SELECT receipt_number, public_id, sender, received_at, state, rows_read, rows_applied, rows_unchanged, rows_refused, result,
       rows_total, rows_done, is_initial, begun_at, begun_rows, touched_at, made_at, failures, failure,
       set_aside_at, base_date
     FROM receipt WHERE insurer_number = $1 AND sender = $2 AND digest = $3";
const BY_PUBLIC_ID: &str = "SELECT receipt_number, public_id, sender, received_at, state, rows_read, rows_applied, rows_unchanged, rows_refused, result,
       rows_total, rows_done, is_initial, begun_at, begun_rows, touched_at, made_at, failures, failure,
       set_aside_at, base_date
     FROM receipt WHERE insurer_number = $1 AND public_id = $2";
const BY_NUMBER: &str = "SELECT receipt_number, public_id, sender, received_at, state, rows_read, rows_applied, rows_unchanged, rows_refused, result,
       rows_total, rows_done, is_initial, begun_at, begun_rows, touched_at, made_at, failures, failure,
       set_aside_at, base_date
     FROM receipt WHERE insurer_number = $1 AND receipt_number = $2";
const OF_SENDER: &str = "SELECT receipt_number, public_id, sender, received_at, state, rows_read, rows_applied, rows_unchanged, rows_refused, result,
       rows_total, rows_done, is_initial, begun_at, begun_rows, touched_at, made_at, failures, failure,
       set_aside_at, base_date, insurer_number
     FROM receipt WHERE public_id = $1 AND sender = $2 ORDER BY insurer_number";
const LATEST: &str = "SELECT receipt_number, public_id, sender, received_at, state, rows_read, rows_applied, rows_unchanged, rows_refused, result,
       rows_total, rows_done, is_initial, begun_at, begun_rows, touched_at, made_at, failures, failure,
       set_aside_at, base_date
     FROM receipt WHERE insurer_number = $1 AND sender = $2 ORDER BY receipt_number DESC LIMIT $3";
const ORIGINAL: &str = "SELECT original FROM receipt WHERE insurer_number = $1 AND receipt_number = $2";
const WAITING: &str = "SELECT receipt_number, public_id, sender, received_at, state, rows_read, rows_applied, rows_unchanged, rows_refused, result,
       rows_total, rows_done, is_initial, begun_at, begun_rows, touched_at, made_at, failures, failure,
       set_aside_at, base_date
     FROM receipt WHERE insurer_number = $1 AND state = 'received' AND set_aside_at IS NULL
     ORDER BY receipt_number LIMIT 1";
const WAITING_INSURERS: &str = "SELECT DISTINCT insurer_number FROM receipt WHERE state = 'received' AND insurer_number > $1 AND set_aside_at IS NULL
     ORDER BY insurer_number LIMIT 1000";
const FAILED: &str =
    "UPDATE receipt SET failures = CASE WHEN failure = $3 THEN failures + 1 ELSE 1 END, failure = $3, failed_at = $4
     WHERE insurer_number = $1 AND receipt_number = $2 AND state = 'received' AND set_aside_at IS NULL
       AND (failure IS NULL OR failure <> $3 OR failed_at <= $5)
     RETURNING failures";
const SET_ASIDE: &str =
    "UPDATE receipt SET set_aside_at = $3 WHERE insurer_number = $1 AND receipt_number = $2 AND state = 'received'";
const ASIDE: &str = "SELECT receipt_number FROM receipt WHERE insurer_number = $1 AND set_aside_at > 0";
const RETRY: &str =
    "UPDATE receipt SET set_aside_at = NULL, failures = 0, failure = NULL, failed_at = NULL, is_initial = 0
     WHERE insurer_number = $1 AND public_id = $2 AND state = 'received' AND set_aside_at > 0";
const JUDGED: &str = "UPDATE receipt SET rows_total = $3, made_at = $4, is_initial = $5, begun_at = $6, begun_rows = rows_done, touched_at = $6
     WHERE insurer_number = $1 AND receipt_number = $2 AND state = 'received'";
const BASE_DATE: &str =
    "UPDATE receipt SET base_date = $3 WHERE insurer_number = $1 AND receipt_number = $2 AND state = 'received'";
const PROGRESS: &str = "UPDATE receipt SET rows_done = $3, rows_read = $4, rows_applied = $5, rows_unchanged = $6, rows_refused = $7, touched_at = $8,
       result = $9, failures = 0
     WHERE insurer_number = $1 AND receipt_number = $2 AND state = 'received'";
const MADE_SINCE: &str =
    "SELECT receipt_number, made_at FROM receipt WHERE insurer_number = $1 AND made_at >= $2 AND receipt_number <> $3";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    NEXT,
    HOLD_OPEN,
    SET_OPEN,
    OPEN,
    PUT,
    FINISH,
    BY_DIGEST,
    BY_PUBLIC_ID,
    BY_NUMBER,
    OF_SENDER,
    LATEST,
    ORIGINAL,
    WAITING,
    WAITING_INSURERS,
    JUDGED,
    BASE_DATE,
    PROGRESS,
    MADE_SINCE,
    FAILED,
    SET_ASIDE,
    ASIDE,
    RETRY,
];

/// Where a receipt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    /// 受付済: kept, not applied yet; its rows are invisible.
    Received,
    /// 取込不可: nothing of it was applied.
    Refused,
    /// 反映済
    Applied,
    /// 後回し: received, but it failed again and again; its rows are invisible, and the packages behind it go on.
    Failed,
}

impl ReceiptState {
    /// Code under which it is stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Refused => "refused",
            Self::Applied => "applied",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(code: &str) -> Result<Self, StoreError> {
        [Self::Received, Self::Refused, Self::Applied]
            .into_iter()
            .find(|state| state.code() == code)
            .ok_or(StoreError::Unreadable("receipt"))
    }
}

/// Rows of a receipt by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct ReceiptCounts {
    /// Rows read.
    pub read: i64,
    /// Rows that changed something.
    pub applied: i64,
    /// Rows already there with the same content.
    pub unchanged: i64,
    /// Rows refused, each with a problem.
    pub refused: i64,
}

/// A receipt about to be given.
#[derive(Debug, Clone)]
pub struct NewReceipt<'a> {
    /// For which insurer.
    pub insurer: InsurerNumber,
    /// Random id shown to the sender.
    pub public_id: String,
    /// Who sent it.
    pub sender: Organization,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The bytes, kept sealed as they came; `None` when they must not be kept (a 個人番号 in them, P-039).
    pub original: Option<&'a [u8]>,
    /// Keyed digest of the bytes.
    pub digest: [u8; 32],
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Inner number, also the revision of what it wrote.
    pub number: i64,
    /// Id shown to the sender.
    pub public_id: String,
    /// Who sent it.
    pub sender: Organization,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Where it stands.
    pub state: ReceiptState,
    /// Its rows.
    pub counts: ReceiptCounts,
    /// Result file (JSON), once judged; while it is being applied what is known so far.
    pub result: Option<Vec<u8>>,
    /// How far it is.
    pub progress: ReceiptProgress,
    /// 作成日時 of the package, once its manifest was read.
    pub made_at: Option<Timestamp>,
    /// 基準日 of the package, once its manifest was read.
    pub base_date: Option<Date>,
    /// Why it failed the last time, and how often in a row; none when it never did.
    pub failure: Option<(String, i64)>,
}

/// How far a receipt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiptProgress {
    /// Rows to apply; 0 until everything was checked.
    pub total: i64,
    /// Rows of these in committed blocks.
    pub done: i64,
    /// Nobody of the insurer was there when it began: an initial load.
    pub is_initial: bool,
    /// When applying began or went on after a cut, and the rows done then.
    pub begun: Option<(Timestamp, i64)>,
    /// When the last block was committed.
    pub touched: Option<Timestamp>,
}

impl Tx {
    /// Next receipt number of an insurer, known before anything is sealed (decision 0006.20).
    pub async fn next_receipt_number(&mut self, insurer: InsurerNumber) -> Result<i64, StoreError> {
        self.next_number_row(insurer).await?.big(0)
    }

    /// The number, and which receipts are open.
    async fn next_number_row(&mut self, insurer: InsurerNumber) -> Result<Row, StoreError> {
        let none_open = open_door(insurer, "").mac(&self.keys);
        let mut rows = self.raw.rows(NEXT, args![insurer.as_str(), &none_open]).await?;
        rows.pop().ok_or(StoreError::Internal("no receipt number".to_owned()))
    }

    async fn set_open(&mut self, insurer: InsurerNumber, open: &[i64]) -> Result<(), StoreError> {
        let open = open.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mac = open_door(insurer, &open).mac(&self.keys);
        self.raw.run(SET_OPEN, args![insurer.as_str(), &open, &mac]).await?;
        Ok(())
    }

    /// Keeps the bytes and gives a receipt; returns its number. The same bytes of the same sender again are a conflict: the
    /// first receipt stands.
    pub async fn put_receipt(&mut self, receipt: &NewReceipt<'_>) -> Result<i64, StoreError> {
        let row = self.next_number_row(receipt.insurer).await?;
        let number = row.big(0)?;
        let mut open = open_receipts(&self.keys, receipt.insurer, &row)?;
        open.push(number);
        self.set_open(receipt.insurer, &open).await?;
        let keys = self.keys_of(receipt.insurer.as_str()).await?;
        let original =
            receipt.original.map(|bytes| with_aad(receipt.insurer, number, "original", |aad| keys.seal(aad, bytes)));
        let added = self
            .raw
            .run(
                PUT,
                args![
                    receipt.insurer.as_str(),
                    number,
                    &receipt.public_id,
                    &receipt.sender.to_string(),
                    receipt.received_at.as_microsecond(),
                    &receipt.digest,
                    ReceiptState::Received.code(),
                    original.as_deref()
                ],
            )
            .await?;
        if added == 1 { Ok(number) } else { Err(StoreError::Conflict("the same bytes have a receipt already")) }
    }

    /// Notes what the check of a whole package found, before its first block or before it goes on after a cut.
    pub async fn judged_receipt(
        &mut self,
        insurer: InsurerNumber,
        number: i64,
        (total, is_initial): (i64, bool),
        made_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let made_at = made_at.map(Timestamp::as_microsecond);
        let values = args![insurer.as_str(), number, total, made_at, i32::from(is_initial), now.as_microsecond()];
        let changed = self.raw.run(JUDGED, values).await?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("receipt already closed")) }
    }

    /// Notes the 基準日 of a package, once its manifest was read.
    pub async fn put_base_date(&mut self, insurer: InsurerNumber, number: i64, day: Date) -> Result<(), StoreError> {
        let changed = self.raw.run(BASE_DATE, args![insurer.as_str(), number, dates::to_number(day)]).await?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("receipt already closed")) }
    }

    /// Notes that a block is done, in the transaction that writes it. `result` is what is
    /// known so far.
    pub async fn block_done(
        &mut self,
        insurer: InsurerNumber,
        number: i64,
        done: i64,
        counts: ReceiptCounts,
        result: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let keys = self.keys_of(insurer.as_str()).await?;
        let part = result_part(ReceiptState::Received);
        let sealed = with_aad(insurer, number, part, |aad| keys.seal(aad, result));
        let values = args![
            insurer.as_str(),
            number,
            done,
            counts.read,
            counts.applied,
            counts.unchanged,
            counts.refused,
            now.as_microsecond(),
            &sealed
        ];
        let changed = self.raw.run(PROGRESS, values).await?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("receipt already closed")) }
    }

    /// Notes that working on a receipt failed for a reason (a code); how often in a row it has. `None` when the same failure
    /// was noted after `since` already: what passes by itself must not set a sound package aside.
    pub async fn receipt_failed(
        &mut self,
        insurer: InsurerNumber,
        number: i64,
        code: &str,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let values = args![insurer.as_str(), number, code, now.as_microsecond(), since.as_microsecond()];
        self.raw.rows(FAILED, values).await?.first().map(|row| row.big(0)).transpose()
    }

    /// Sets a receipt aside: it is not worked on until somebody asks for it again.
    pub async fn set_receipt_aside(
        &mut self,
        insurer: InsurerNumber,
        number: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let changed = self.raw.run(SET_ASIDE, args![insurer.as_str(), number, now.as_microsecond()]).await?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("receipt already closed")) }
    }

    /// Puts a receipt that was set aside among the waiting ones again; false when there is none.
    pub async fn retry_receipt(&mut self, insurer: InsurerNumber, public_id: &str) -> Result<bool, StoreError> {
        Ok(self.raw.run(RETRY, args![insurer.as_str(), public_id]).await? == 1)
    }

    /// Closes a receipt: applied or refused, with counts and the result file.
    pub async fn finish_receipt(
        &mut self,
        insurer: InsurerNumber,
        number: i64,
        state: ReceiptState,
        counts: ReceiptCounts,
        result: &[u8],
    ) -> Result<(), StoreError> {
        let rows = self.raw.rows(HOLD_OPEN, args![insurer.as_str()]).await?;
        let mut open = match rows.first() {
            Some(row) => open_receipts(&self.keys, insurer, row)?,
            None => Vec::new(),
        };
        open.retain(|open| *open != number);
        self.set_open(insurer, &open).await?;
        let keys = self.keys_of(insurer.as_str()).await?;
        let sealed = with_aad(insurer, number, result_part(state), |aad| keys.seal(aad, result));
        let changed = self
            .raw
            .run(
                FINISH,
                args![
                    insurer.as_str(),
                    number,
                    state.code(),
                    counts.read,
                    counts.applied,
                    counts.unchanged,
                    counts.refused,
                    &sealed
                ],
            )
            .await?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("receipt already closed")) }
    }
}

impl Store {
    /// The receipt the same sender got for the same bytes.
    pub async fn receipt_by_digest(
        &self,
        insurer: InsurerNumber,
        sender: Organization,
        digest: &[u8; 32],
    ) -> Result<Option<Receipt>, StoreError> {
        let rows = self.engine.rows(BY_DIGEST, args![insurer.as_str(), &sender.to_string(), digest]).await?;
        self.first_receipt(insurer, &rows).await
    }

    /// A receipt by the id shown to its sender.
    pub async fn receipt(&self, insurer: InsurerNumber, public_id: &str) -> Result<Option<Receipt>, StoreError> {
        let rows = self.engine.rows(BY_PUBLIC_ID, args![insurer.as_str(), public_id]).await?;
        self.first_receipt(insurer, &rows).await
    }

    /// A receipt by its inner number.
    pub async fn receipt_numbered(&self, insurer: InsurerNumber, number: i64) -> Result<Option<Receipt>, StoreError> {
        let rows = self.engine.rows(BY_NUMBER, args![insurer.as_str(), number]).await?;
        self.first_receipt(insurer, &rows).await
    }

    /// The receipts a sender knows by this id, each with the insurer it lies with: several when what was sent is about people
    /// of several insurers.
    pub async fn receipts_of_sender(
        &self,
        sender: Organization,
        public_id: &str,
    ) -> Result<Vec<(InsurerNumber, Receipt)>, StoreError> {
        let rows = self.engine.rows(OF_SENDER, args![public_id, &sender.to_string()]).await?;
        let mut receipts = Vec::with_capacity(rows.len());
        for row in &rows {
            let insurer = InsurerNumber::parse(&row.text(21)?).map_err(|_| StoreError::Unreadable("receipt"))?;
            receipts.push((insurer, self.receipt_row(insurer, row).await?));
        }
        Ok(receipts)
    }

    /// The latest receipts that a sender got with an insurer, newest first.
    pub async fn receipts(
        &self,
        insurer: InsurerNumber,
        sender: Organization,
        limit: i32,
    ) -> Result<Vec<Receipt>, StoreError> {
        let rows = self.engine.rows(LATEST, args![insurer.as_str(), &sender.to_string(), limit]).await?;
        let mut receipts = Vec::with_capacity(rows.len());
        for row in &rows {
            receipts.push(self.receipt_row(insurer, row).await?);
        }
        Ok(receipts)
    }

    /// Receipts of an insurer whose rows are not visible yet. An altered list is unreadable.
    pub(crate) async fn open_receipts(&self, insurer: InsurerNumber) -> Result<Vec<i64>, StoreError> {
        let rows = self.engine.rows(OPEN, args![insurer.as_str()]).await?;
        rows.first().map_or(Ok(Vec::new()), |row| open_receipts(&self.keys, insurer, row))
    }

    /// Whether what a receipt wrote is visible.
    pub async fn is_applied(&self, insurer: InsurerNumber, number: i64) -> Result<bool, StoreError> {
        let rows = self.engine.rows(OPEN, args![insurer.as_str()]).await?;
        match rows.first() {
            Some(row) => Ok(!open_receipts(&self.keys, insurer, row)?.contains(&number)),
            None => Ok(true),
        }
    }

    /// The receipt of an insurer that is to be worked on next: the oldest that is not closed.
    pub async fn waiting_receipt(&self, insurer: InsurerNumber) -> Result<Option<Receipt>, StoreError> {
        let rows = self.engine.rows(WAITING, args![insurer.as_str()]).await?;
        self.first_receipt(insurer, &rows).await
    }

    /// Receipts of an insurer that were set aside: some of their rows may be written, and none of them is visible.
    pub async fn receipts_set_aside(&self, insurer: InsurerNumber) -> Result<Vec<i64>, StoreError> {
        let rows = self.engine.rows(ASIDE, args![insurer.as_str()]).await?;
        rows.iter().map(|row| row.big(0)).collect()
    }

    /// Insurers with a receipt that is not closed, at most 1,000.
    pub async fn waiting_insurers(&self) -> Result<Vec<InsurerNumber>, StoreError> {
        let rows = self.engine.rows(WAITING_INSURERS, args![""]).await?;
        let number = |row: &Row| InsurerNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("receipt"));
        rows.iter().map(number).collect()
    }

    /// Receipts of packages that the city made at this instant or after it, each with its own instant, whenever they arrived;
    /// `but` is not among them.
    pub async fn receipts_made_since(
        &self,
        insurer: InsurerNumber,
        since: Timestamp,
        but: i64,
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let rows = self.engine.rows(MADE_SINCE, args![insurer.as_str(), since.as_microsecond(), but]).await?;
        rows.iter().map(|row| Ok((row.big(0)?, instant(row.big(1)?)?))).collect()
    }

    /// The bytes as they came, of what is no package.
    pub async fn original(&self, insurer: InsurerNumber, number: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.engine.rows(ORIGINAL, args![insurer.as_str(), number]).await?;
        let Some(sealed) = rows.first().map(|row| row.blob_or_null(0)).transpose()?.flatten() else { return Ok(None) };
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[0]).await?;
        with_aad(insurer, number, "original", |aad| keys.open(aad, &sealed)).map(Some)
    }

    async fn first_receipt(&self, insurer: InsurerNumber, rows: &[Row]) -> Result<Option<Receipt>, StoreError> {
        match rows.first() {
            Some(row) => self.receipt_row(insurer, row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn receipt_row(&self, insurer: InsurerNumber, row: &Row) -> Result<Receipt, StoreError> {
        let number = row.big(0)?;
        let keys = self.keys.keys_for(insurer.as_str(), std::slice::from_ref(row), &[9]).await?;
        let stored = ReceiptState::parse(&row.text(4)?)?;
        let is_aside = stored == ReceiptState::Received && row.big_or_null(19)?.is_some();
        let state = if is_aside { ReceiptState::Failed } else { stored };
        let open = |part, sealed: &[u8]| with_aad(insurer, number, part, |aad| keys.open(aad, sealed));
        let result = match row.blob_or_null(9)? {
            None if stored == ReceiptState::Received => None,
            None => return Err(StoreError::Unreadable("receipt")),
            // Results sealed before the state was part of it.
            Some(sealed) => Some(open(result_part(state), &sealed).or_else(|_| open(RESULT_BEFORE, &sealed))?),
        };
        Ok(Receipt {
            number,
            public_id: row.text(1)?,
            sender: Organization::parse(&row.text(2)?).map_err(|_| StoreError::Unreadable("receipt"))?,
            received_at: instant(row.big(3)?)?,
            state,
            counts: ReceiptCounts {
                read: row.big(5)?,
                applied: row.big(6)?,
                unchanged: row.big(7)?,
                refused: row.big(8)?,
            },
            result,
            progress: ReceiptProgress {
                total: row.big(10)?,
                done: row.big(11)?,
                is_initial: row.int(12)? == 1,
                begun: row.big_or_null(13)?.map(|at| Ok::<_, StoreError>((instant(at)?, row.big(14)?))).transpose()?,
                touched: row.big_or_null(15)?.map(instant).transpose()?,
            },
            made_at: row.big_or_null(16)?.map(instant).transpose()?,
            base_date: base_date(row.int_or_null(20)?)?,
            failure: row.text_or_null(18)?.map(|code| Ok::<_, StoreError>((code, row.big(17)?))).transpose()?,
        })
    }
}

/// 基準日 out of its column.
pub(crate) fn base_date(number: Option<i32>) -> Result<Option<Date>, StoreError> {
    number.map(|day| dates::from_number(day).map_err(|_| StoreError::Unreadable("receipt"))).transpose()
}

/// The receipts of an insurer whose rows are not visible yet, out of a row of [`NEXT`] or [`HOLD_OPEN`]. The list is under
/// the door MAC: a receipt that is marked as applied by hand opens nothing.
fn open_receipts(keys: &Keyring, insurer: InsurerNumber, row: &Row) -> Result<Vec<i64>, StoreError> {
    let mac = row.blob_or_null(2)?.unwrap_or_default();
    open_list(keys, insurer, &row.text(1)?, &mac).ok_or(StoreError::Unreadable("receipt_counter"))
}

/// The same out of its columns; `None` when the MAC fails.
pub(crate) fn open_list(keys: &Keyring, insurer: InsurerNumber, open: &str, mac: &[u8]) -> Option<Vec<i64>> {
    if !open_door(insurer, open).fits(keys, mac) {
        return None;
    }
    open.split(',').filter(|number| !number.is_empty()).map(|number| number.parse().ok()).collect()
}

pub(crate) fn open_door(insurer: InsurerNumber, open: &str) -> Door {
    Door::new("receipt_counter").text(insurer.as_str()).text(open)
}

pub(crate) const ORIGINAL_PART: &str = "original";
pub(crate) const RESULT_BEFORE: &str = "result";

/// The state is sealed with the result: refused does not become applied by hand.
pub(crate) fn result_part(state: ReceiptState) -> &'static str {
    match state {
        ReceiptState::Received | ReceiptState::Failed => "result received",
        ReceiptState::Refused => "result refused",
        ReceiptState::Applied => "result applied",
    }
}

/// Seals or opens what a receipt keeps, bound to its insurer, number and part.
pub(crate) fn with_aad<T>(insurer: InsurerNumber, number: i64, part: &str, act: impl FnOnce(&[&[u8]]) -> T) -> T {
    act(&[b"receipt", insurer.as_str().as_bytes(), &number.to_be_bytes(), part.as_bytes()])
}
