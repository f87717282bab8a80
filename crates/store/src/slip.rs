//! やりとり: messages between two offices (P-142, P-150). Everything here is asked for by sender or addressee; nobody else can
//! name one. What they hold is sealed with the platform's key, because the people in a set belong to several insurers,
//! some of which have not begun; it is bound to both offices, so a row moved to another office does not open.

use crate::door::Door;
use crate::engine::{Arg, Row, args};
use crate::error::readable;
use crate::many::ManyRows;
use crate::office::instant;
use crate::{NO_INSURER, Store, StoreError, Tx};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::office::StaffId;
use kiban_domain::slip::{SlipContent, SlipState};
use kiban_domain::{OfficeNumber, Timestamp};
use std::sync::LazyLock;

const PUT: &str = "INSERT INTO slip (receiver, slip_id, sender, serial, content, month, state, sent_at, sent_by, fetched_at, fetched_by, withdrawn_at,
       reply_to, answered_at, answer, digest, mac, about, files, types)
     VALUES ($1, $2, $3, $4, $5, $6, 'sent', $7, $8, NULL, NULL, NULL, $9, NULL, NULL, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING";
const PUT_DOCUMENT: &str =
    "INSERT INTO slip_document (receiver, slip_id, token, serial, withdraws, sent_at) VALUES ($1, $2, $3, $4, $5, $6)";
const OTHERS: &str = "SELECT DISTINCT d.slip_id, d.serial FROM slip_document n
     JOIN slip_document d ON d.receiver = n.receiver AND d.token = n.token
     WHERE n.receiver = $1 AND n.slip_id = $2 AND d.slip_id <> n.slip_id ORDER BY d.serial, d.slip_id";
const NOTHING_TO_WITHDRAW: &str = "SELECT n.token FROM slip_document n
     WHERE n.receiver = $1 AND n.slip_id = $2 AND n.withdraws AND NOT EXISTS
       (SELECT 1 FROM slip_document d WHERE d.receiver = n.receiver AND d.token = n.token AND d.slip_id <> n.slip_id)
     ORDER BY n.token";
const RECEIVED: &str = "SELECT receiver, slip_id, sender, serial, content, month, state, sent_at, sent_by, fetched_at, withdrawn_at, reply_to,
       answered_at, answer, digest, mac, about
     FROM slip WHERE receiver = $1 AND slip_id = $2";
const SENT: &str = "SELECT receiver, slip_id, sender, serial, content, month, state, sent_at, sent_by, fetched_at, withdrawn_at, reply_to,
       answered_at, answer, digest, mac, about
     FROM slip WHERE sender = $1 AND slip_id = $2";
const OF_SERIAL: &str = "SELECT receiver, slip_id, sender, serial, content, month, state, sent_at, sent_by, fetched_at, withdrawn_at, reply_to,
       answered_at, answer, digest, mac, about
     FROM slip WHERE receiver = $1 AND sender = $2 AND serial = $3 AND types IN ('', $4) AND state <> 'withdrawn' ORDER BY types";
const RECEIVED_PAGE: &str = "SELECT receiver, slip_id, sender, serial, content, month, state, sent_at, sent_by, fetched_at, withdrawn_at, reply_to,
       answered_at, answer, digest, mac, about
     FROM slip WHERE receiver = $1 AND state = $2 AND (sent_at, slip_id) > ($3, $4) ORDER BY sent_at, slip_id LIMIT $5";
const SENT_PAGE: &str = "SELECT receiver, slip_id, sender, serial, content, month, state, sent_at, sent_by, fetched_at, withdrawn_at, reply_to,
       answered_at, answer, digest, mac, about
     FROM slip WHERE sender = $1 AND state = $2 AND (sent_at, slip_id) > ($3, $4) ORDER BY sent_at, slip_id LIMIT $5";
const FILES: &str = "SELECT files FROM slip WHERE receiver = $1 AND slip_id = $2";
const FETCH: &str = "UPDATE slip SET state = 'fetched', fetched_at = $3, fetched_by = $4, mac = $5
     WHERE receiver = $1 AND slip_id = $2 AND state = 'sent'";
const WITHDRAW: &str = "UPDATE slip SET state = 'withdrawn', withdrawn_at = $3, mac = $4, files = NULL
     WHERE receiver = $1 AND slip_id = $2 AND state = 'sent'";
const FORGET_DOCUMENTS: &str = "DELETE FROM slip_document WHERE receiver = $1 AND slip_id = $2";
const ANSWER: &str = "UPDATE slip SET state = 'answered', answered_at = $3, answer = $4, mac = $5
     WHERE receiver = $1 AND slip_id = $2 AND state IN ('fetched', 'answered') AND fetched_at = $6";
const ANSWER_BEFORE: &str =
    "SELECT slip_id, sent_at FROM slip WHERE receiver = $1 AND reply_to = $2 AND state <> 'withdrawn' AND slip_id <> $3
     ORDER BY sent_at DESC, slip_id DESC LIMIT 1";
const TAKE_ANSWER_BACK: &str = "UPDATE slip SET state = 'fetched', answered_at = NULL, answer = NULL, mac = $4
     WHERE receiver = $1 AND slip_id = $2 AND state = 'answered' AND answer = $3 AND fetched_at = $5";
const DELETE: &str = "DELETE FROM slip WHERE sent_at < $1";
const DELETE_DOCUMENTS: &str = "DELETE FROM slip_document WHERE sent_at < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    PUT,
    PUT_DOCUMENT,
    OTHERS,
    NOTHING_TO_WITHDRAW,
    RECEIVED,
    SENT,
    OF_SERIAL,
    RECEIVED_PAGE,
    SENT_PAGE,
    FILES,
    FETCH,
    WITHDRAW,
    FORGET_DOCUMENTS,
    ANSWER,
    ANSWER_BEFORE,
    TAKE_ANSWER_BACK,
    DELETE,
    DELETE_DOCUMENTS,
    FROM_BEFORE,
    SET_MAC,
];

static PUT_DOCUMENTS: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT_DOCUMENT));

/// A message about to be sent.
#[derive(Clone)]
pub struct NewSlip {
    /// Random id.
    pub id: String,
    /// 送信元
    pub sender: OfficeNumber,
    /// Its staff.
    pub sent_by: StaffId,
    /// 宛先
    pub receiver: OfficeNumber,
    /// When.
    pub sent_at: Timestamp,
    /// ファイル連番 as a number.
    pub serial: i64,
    /// サービス種類 of both offices in the names of the files; empty where they have none.
    pub types: String,
    /// 予定 or 実績.
    pub content: SlipContent,
    /// 対象年月; none for 第1–3表.
    pub month: Option<ServiceMonth>,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// Keyed digest of the files.
    pub digest: [u8; 32],
    /// What lists show of it, as JSON.
    pub about: Vec<u8>,
    /// The files as one run of bytes.
    pub files: Vec<u8>,
}

/// A document of a message under its blind index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlipDocument {
    /// Keyed digest of sender, receiver, person and document.
    pub token: [u8; 32],
    /// It withdraws the document.
    pub withdraws: bool,
}

/// A message without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// Its id.
    pub id: String,
    /// 送信元
    pub sender: OfficeNumber,
    /// Its staff.
    pub sent_by: StaffId,
    /// 宛先
    pub receiver: OfficeNumber,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// ファイル連番 as a number.
    pub serial: i64,
    /// 予定 or 実績.
    pub content: SlipContent,
    /// 対象年月; none for 第1–3表.
    pub month: Option<ServiceMonth>,
    /// Where it stands.
    pub state: SlipState,
    /// When its addressee fetched it.
    pub fetched_at: Option<Timestamp>,
    /// When its sender took it back.
    pub withdrawn_at: Option<Timestamp>,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// The last message that answers it, and when that was sent.
    pub answer: Option<(String, Timestamp)>,
    /// Keyed digest of the files.
    pub digest: Vec<u8>,
    /// What lists show of it, as JSON.
    pub about: Vec<u8>,
}

/// Another message that holds some of the same documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherSlip {
    /// Its id.
    pub id: String,
    /// Its ファイル連番.
    pub serial: i64,
}

/// Which side of a message is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlipSide {
    /// What an office sent.
    Sent,
    /// What was sent to it.
    Received,
}

impl Tx {
    /// Notes which documents a new message holds. Gives the other messages between the two offices that hold some of them too,
    /// oldest serial first, and the documents it withdraws though no other message holds them.
    pub async fn put_slip_documents(
        &mut self,
        (receiver, id): (OfficeNumber, &str),
        serial: i64,
        documents: &[SlipDocument],
        now: Timestamp,
    ) -> Result<(Vec<OtherSlip>, Vec<Vec<u8>>), StoreError> {
        let receiver = receiver.to_string();
        let at = now.as_microsecond();
        let values: Vec<Arg<'_>> = documents
            .iter()
            .flat_map(|document| {
                [
                    Arg::from(&receiver),
                    Arg::from(id),
                    Arg::from(&document.token),
                    Arg::from(serial),
                    Arg::from(document.withdraws),
                    Arg::from(at),
                ]
            })
            .collect();
        PUT_DOCUMENTS.run(&mut self.raw, &values).await?;
        let others = self.raw.rows(OTHERS, args![&receiver, id]).await?;
        let others = others.iter().map(|row| Ok(OtherSlip { id: row.text(0)?, serial: row.big(1)? }));
        let others = others.collect::<Result<_, StoreError>>()?;
        let mut unknown = Vec::new();
        if documents.iter().any(|document| document.withdraws) {
            let rows = self.raw.rows(NOTHING_TO_WITHDRAW, args![&receiver, id]).await?;
            unknown = rows.iter().map(|row| row.blob(0)).collect::<Result<_, _>>()?;
        }
        Ok((others, unknown))
    }

    /// Sends a message; false when one with this serial and types is there between the two offices, and not taken back.
    pub async fn put_slip(&mut self, new: &NewSlip) -> Result<bool, StoreError> {
        let keys = self.keys_of(NO_INSURER).await?;
        let (receiver, sender) = (new.receiver.to_string(), new.sender.to_string());
        let aad = |part: &'static str| aad(&receiver, &sender, &new.id, part);
        let about = keys.seal(&aad(ABOUT), &new.about);
        let files = keys.seal(&aad(FILES_PART), &new.files);
        let month = new.month.map(|month| month.to_string());
        let mac = new.door().mac(&self.keys);
        let added = self
            .raw
            .run(
                PUT,
                args![
                    &receiver,
                    &new.id,
                    &sender,
                    new.serial,
                    new.content.code(),
                    month.as_deref(),
                    new.sent_at.as_microsecond(),
                    &new.sent_by.0,
                    new.reply_to.as_deref(),
                    &new.digest,
                    &mac,
                    &about,
                    &files,
                    &new.types
                ],
            )
            .await?;
        Ok(added == 1)
    }

    /// Its addressee fetches a message; false when somebody else did something with it first.
    pub async fn fetch_slip(&mut self, slip: &Slip, by: &StaffId, now: Timestamp) -> Result<bool, StoreError> {
        let fetched = Slip { state: SlipState::Fetched, fetched_at: Some(now), ..slip.clone() };
        let (receiver, mac) = (slip.receiver.to_string(), fetched.door().mac(&self.keys));
        Ok(self.raw.run(FETCH, args![&receiver, &slip.id, now.as_microsecond(), &by.0, &mac]).await? == 1)
    }

    /// Its sender takes a message back before it is fetched: its content goes at once. False when it was fetched first.
    pub async fn withdraw_slip(&mut self, slip: &Slip, now: Timestamp) -> Result<bool, StoreError> {
        let withdrawn = Slip { state: SlipState::Withdrawn, withdrawn_at: Some(now), ..slip.clone() };
        let (receiver, mac) = (slip.receiver.to_string(), withdrawn.door().mac(&self.keys));
        let done = self.raw.run(WITHDRAW, args![&receiver, &slip.id, now.as_microsecond(), &mac]).await? == 1;
        if done {
            self.raw.run(FORGET_DOCUMENTS, args![&receiver, &slip.id]).await?;
        }
        Ok(done)
    }

    /// Notes that a message, as it is since it was fetched, was answered; false when it is not one that was.
    pub async fn answer_slip(&mut self, slip: &Slip, answer: &str, at: Timestamp) -> Result<bool, StoreError> {
        let (state, last) = (SlipState::Answered, Some((answer.to_owned(), at)));
        let answered = Slip { state, answer: last, ..slip.clone() };
        let (receiver, mac) = (slip.receiver.to_string(), answered.door().mac(&self.keys));
        let fetched_at = slip.fetched_at.map(Timestamp::as_microsecond);
        let values = args![&receiver, &slip.id, at.as_microsecond(), answer, &mac, fetched_at];
        Ok(self.raw.run(ANSWER, values).await? == 1)
    }

    /// Its answer was taken back: an earlier one counts again, else the message is fetched and not answered.
    pub async fn take_answer_back(&mut self, slip: &Slip, answer: &str) -> Result<(), StoreError> {
        let receiver = slip.receiver.to_string();
        let fetched = Slip { state: SlipState::Fetched, answer: None, ..slip.clone() };
        let mac = fetched.door().mac(&self.keys);
        let fetched_at = slip.fetched_at.map(Timestamp::as_microsecond);
        if self.raw.run(TAKE_ANSWER_BACK, args![&receiver, &slip.id, answer, &mac, fetched_at]).await? == 0 {
            return Ok(());
        }
        let sender = slip.sender.to_string();
        if let Some(row) = self.raw.rows(ANSWER_BEFORE, args![&sender, &slip.id, answer]).await?.first() {
            self.answer_slip(slip, &row.text(0)?, instant(row.big(1)?)?).await?;
        }
        Ok(())
    }

    /// Deletes the messages sent before an instant, whatever became of them; how many.
    pub async fn delete_slips(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(DELETE_DOCUMENTS, args![before.as_microsecond()]).await?;
        self.raw.run(DELETE, args![before.as_microsecond()]).await
    }
}

impl Store {
    /// A message that an office sent, or that was sent to it.
    pub async fn slip(&self, side: SlipSide, office: OfficeNumber, id: &str) -> Result<Option<Slip>, StoreError> {
        let sql = if side == SlipSide::Sent { SENT } else { RECEIVED };
        let rows = self.engine.rows(sql, args![&office.to_string(), id]).await?;
        Ok(self.slips(&rows).await?.pop())
    }

    /// The message of a serial between two offices, unless it was taken back.
    pub async fn slip_of_serial(
        &self,
        receiver: OfficeNumber,
        sender: OfficeNumber,
        (serial, types): (i64, &str),
    ) -> Result<Option<Slip>, StoreError> {
        let (receiver, sender) = (receiver.to_string(), sender.to_string());
        let rows = self.engine.rows(OF_SERIAL, args![&receiver, &sender, serial, types]).await?;
        Ok(self.slips(&rows).await?.pop())
    }

    /// Messages of an office in one state, oldest first, after the given time and id.
    pub async fn slip_page(
        &self,
        side: SlipSide,
        office: OfficeNumber,
        state: SlipState,
        after: Option<(Timestamp, &str)>,
        limit: i32,
    ) -> Result<Vec<Slip>, StoreError> {
        let sql = if side == SlipSide::Sent { SENT_PAGE } else { RECEIVED_PAGE };
        let (at, id) = after.map_or((i64::MIN, ""), |(at, id)| (at.as_microsecond(), id));
        let rows = self.engine.rows(sql, args![&office.to_string(), state.code(), at, id, limit]).await?;
        self.slips(&rows).await
    }

    /// The files of a message, as they were put; none when it was taken back.
    pub async fn slip_files(&self, slip: &Slip) -> Result<Option<Vec<u8>>, StoreError> {
        let receiver = slip.receiver.to_string();
        let rows = self.engine.rows(FILES, args![&receiver, &slip.id]).await?;
        let Some(sealed) = rows.first().map(|row| row.blob_or_null(0)).transpose()?.flatten() else { return Ok(None) };
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[0]).await?;
        keys.open(&aad(&receiver, &slip.sender.to_string(), &slip.id, FILES_PART), &sealed).map(Some)
    }

    /// Those whose MAC fits and that can be read.
    async fn slips(&self, rows: &[Row]) -> Result<Vec<Slip>, StoreError> {
        let keys = self.keys.keys_for(NO_INSURER, rows, &[16]).await?;
        rows.iter().filter_map(|row| readable("slip", self.slip_row(row, &keys)).transpose()).collect()
    }

    fn slip_row(&self, row: &Row, keys: &crate::InsurerKeys) -> Result<Option<Slip>, StoreError> {
        const UNREADABLE: StoreError = StoreError::Unreadable("slip");
        let (receiver, id, sender) = (row.text(0)?, row.text(1)?, row.text(2)?);
        let state = SlipState::parse(&row.text(6)?).ok_or(UNREADABLE)?;
        let office = |number: &str| OfficeNumber::parse(number).map_err(|_| UNREADABLE);
        let month = row.text_or_null(5)?.map(|month| ServiceMonth::parse(&month)).transpose();
        let answer = match (row.text_or_null(13)?, row.big_or_null(12)?) {
            (Some(answer), Some(at)) => Some((answer, instant(at)?)),
            _ => None,
        };
        let slip = Slip {
            sender: office(&sender)?,
            sent_by: StaffId(row.text(8)?),
            receiver: office(&receiver)?,
            sent_at: instant(row.big(7)?)?,
            serial: row.big(3)?,
            content: SlipContent::parse(&row.text(4)?).ok_or(UNREADABLE)?,
            month: month.map_err(|_| UNREADABLE)?,
            state,
            fetched_at: row.big_or_null(9)?.map(instant).transpose()?,
            withdrawn_at: row.big_or_null(10)?.map(instant).transpose()?,
            reply_to: row.text_or_null(11)?,
            answer,
            digest: row.blob(14)?,
            about: Vec::new(),
            id,
        };
        if !slip.door().fits(&self.keys, &row.blob(15)?) {
            return Ok(None);
        }
        let about = keys.open(&aad(&receiver, &sender, &slip.id, ABOUT), &row.blob(16)?)?;
        Ok(Some(Slip { about, ..slip }))
    }
}

pub(crate) const ABOUT: &str = "about";
pub(crate) const FILES_PART: &str = "files";

/// What the parts of a message are sealed to.
pub(crate) fn aad<'a>(receiver: &'a str, sender: &'a str, id: &'a str, part: &'a str) -> [&'a [u8]; 5] {
    [b"slip", receiver.as_bytes(), sender.as_bytes(), id.as_bytes(), part.as_bytes()]
}

impl NewSlip {
    fn door(&self) -> Door {
        let base = door_before(&self.receiver.to_string(), &self.sender.to_string(), &self.id, SlipState::Sent.code());
        let base = named(base, (self.serial, self.content.code(), self.month.map(|m| m.to_string())), &self.digest);
        let base = base.number(self.sent_at.as_microsecond()).text(&self.sent_by.0);
        moved(base, [None; 3], [self.reply_to.as_deref(), None])
    }
}

impl Slip {
    fn door(&self) -> Door {
        let base = door_before(&self.receiver.to_string(), &self.sender.to_string(), &self.id, self.state.code());
        let base = named(base, (self.serial, self.content.code(), self.month.map(|m| m.to_string())), &self.digest);
        let base = base.number(self.sent_at.as_microsecond()).text(&self.sent_by.0);
        let (answer, answered_at) = self.answer.as_ref().map(|(answer, at)| (answer.as_str(), *at)).unzip();
        let times = [self.fetched_at, self.withdrawn_at, answered_at].map(|at| at.map(Timestamp::as_microsecond));
        moved(base, times, [self.reply_to.as_deref(), answer])
    }
}

/// The door of a message as it was before its times and answers were part of it.
fn door_before(receiver: &str, sender: &str, id: &str, state: &str) -> Door {
    Door::new("slip").text(receiver).text(sender).text(id).text(state)
}

/// With what its sender said of it.
fn named(door: Door, (serial, content, month): (i64, &str, Option<String>), digest: &[u8]) -> Door {
    door.number(serial).text(content).maybe_text(month.as_deref()).bytes(digest)
}

/// With what became of it: when it was fetched, withdrawn and answered; what it answers, and its answer.
fn moved(door: Door, times: [Option<i64>; 3], [reply_to, answer]: [Option<&str>; 2]) -> Door {
    let door = times.into_iter().fold(door, Door::maybe_number);
    door.maybe_text(reply_to).maybe_text(answer)
}

/// Both doors of a row of [`FROM_BEFORE`]: the one it must have from now on, and the one before.
pub(crate) fn doors_of(row: &Row) -> Result<[Door; 2], StoreError> {
    let before = door_before(&row.text(0)?, &row.text(2)?, &row.text(1)?, &row.text(3)?);
    let now = named(before.clone(), (row.big(4)?, &row.text(5)?, row.text_or_null(6)?), &row.blob(14)?);
    let now = now.number(row.big(7)?).text(&row.text(8)?);
    let times = [row.big_or_null(9)?, row.big_or_null(10)?, row.big_or_null(11)?];
    let (reply_to, answer) = (row.text_or_null(12)?, row.text_or_null(13)?);
    Ok([moved(now, times, [reply_to.as_deref(), answer.as_deref()]), before])
}

/// Messages in the order of their keys, for the step of the schema that gives them another MAC.
pub(crate) const FROM_BEFORE: &str =
    "SELECT receiver, slip_id, sender, state, serial, content, month, sent_at, sent_by, fetched_at, withdrawn_at, answered_at,
       reply_to, answer, digest, mac
     FROM slip WHERE (receiver, slip_id) > ($1, $2) ORDER BY receiver, slip_id LIMIT 1000";
/// Gives one its MAC.
pub(crate) const SET_MAC: &str = "UPDATE slip SET mac = $3 WHERE receiver = $1 AND slip_id = $2";
