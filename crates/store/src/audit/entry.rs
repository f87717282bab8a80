//! One line of the audit log: what the service fills, what is stored, and the one list of its fields that insert, leaf and
//! proof share (P-188).

use crate::engine::{Arg, RawTx, Row};
use crate::many::ManyRows;
use crate::seal::SealKeys;
use crate::{NO_INSURER, StoreError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::LazyLock;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// 許可: a read that was answered.
    Allowed,
    /// 拒否: by a rule, see `rule`.
    Refused,
    /// 実施: a write, in the same transaction.
    Done,
    /// 失敗: a fault, nothing was changed or shown.
    Failed,
    /// 欠番: the number of a write that was rolled back. Filled by the log only.
    Void,
}

impl Outcome {
    /// The stored code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Void => "void",
        }
    }

    /// The outcome of a stored code.
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Allowed, Self::Refused, Self::Done, Self::Failed, Self::Void].into_iter().find(|o| o.code() == code)
    }

    /// For screens.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::Allowed => "許可",
            Self::Refused => "拒否",
            Self::Done => "実施",
            Self::Failed => "失敗",
            Self::Void => "欠番",
        }
    }
}

/// An entry before it is stored. Everything but `software`, `source`, `detail` and `subjects` is stored in clear and may
/// hold only numbers and codes: printable ASCII without spaces, at most 128 characters (decision 0006.22).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, microseconds UTC. Stored no earlier than the entry before it.
    pub at: i64,
    /// 要求番号: random, also in the answer.
    pub request_id: String,
    /// 保険者番号 of the person; none when no person is concerned.
    pub insurer: Option<String>,
    /// 被保険者番号: whose data.
    pub insured: Option<String>,
    /// 機関番号: who.
    pub organization: Option<String>,
    /// 職員番号.
    pub staff: Option<String>,
    /// SHA-256 of the client certificate.
    pub certificate: Option<[u8; 32]>,
    /// 経路: `page`, `api`, `file`, `cli`, `portal`, …
    pub way: String,
    /// 操作: stable code such as `view`, `register`, `consent.record`, `import`, `login`, `handshake.refused`.
    pub action: String,
    /// 情報種別 code.
    pub kind: Option<String>,
    /// 履歴番号 or other key of the record.
    pub natural_key: Option<String>,
    /// 結果.
    pub outcome: Outcome,
    /// Id of the rule that decided.
    pub rule: Option<String>,
    /// Version of the sharing table.
    pub policy_version: Option<String>,
    /// The decision's facts as bits, for replay.
    pub facts: u64,
    /// ソフトウェア (vendor's program); sealed.
    pub software: Option<String>,
    /// Source address; sealed.
    pub source: Option<String>,
    /// Free text, JSON; sealed.
    pub detail: Option<String>,
    /// 被保険者番号 on a list view or in a search result, all of `insurer`; sealed. Each of them will find it.
    pub subjects: Vec<String>,
}

impl Entry {
    /// An entry with the items that every entry has; fill the others by struct update.
    pub fn new(at: kiban_domain::Timestamp, request_id: &str, way: &str, action: &str, outcome: Outcome) -> Self {
        Self {
            at: at.as_microsecond(),
            request_id: request_id.to_owned(),
            insurer: None,
            insured: None,
            organization: None,
            staff: None,
            certificate: None,
            way: way.to_owned(),
            action: action.to_owned(),
            kind: None,
            natural_key: None,
            outcome,
            rule: None,
            policy_version: None,
            facts: 0,
            software: None,
            source: None,
            detail: None,
            subjects: Vec::new(),
        }
    }

    /// Refuses what the clear columns must not hold, before anything is queued.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let fault = |what: &str| Err(StoreError::Internal(format!("audit entry: {what}")));
        let codes = [
            Some(&self.request_id),
            Some(&self.way),
            Some(&self.action),
            self.organization.as_ref(),
            self.staff.as_ref(),
        ];
        let more = [self.kind.as_ref(), self.natural_key.as_ref(), self.rule.as_ref(), self.policy_version.as_ref()];
        for code in codes.into_iter().chain(more).flatten() {
            if code.is_empty() || code.len() > 128 || !code.bytes().all(|byte| byte.is_ascii_graphic()) {
                return fault("a clear item is not a code");
            }
        }
        if self.insurer.as_ref().is_some_and(|number| !is_number(number, 6)) {
            return fault("insurer number");
        }
        if self.insured.iter().chain(&self.subjects).any(|number| !is_number(number, 10)) {
            return fault("insured number");
        }
        if self.insurer.is_none() && (self.insured.is_some() || !self.subjects.is_empty()) {
            return fault("a person without an insurer");
        }
        if !self.subjects.is_empty() && self.organization.is_none() {
            return fault("a list view without an organization");
        }
        Ok(())
    }
}

fn is_number(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The sealed part of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// ソフトウェア.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Free text, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// 被保険者番号 on a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
}

/// Where an entry stands in the log: n of a segment of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// 記録者番号.
    pub writer: i64,
    /// 区間番号.
    pub segment: i32,
    /// Number within the segment.
    pub n: i32,
}

impl Position {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.writer.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.segment.to_be_bytes());
        bytes[12..].copy_from_slice(&self.n.to_be_bytes());
        bytes
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}-{}", self.writer, self.segment, self.n)
    }
}

impl std::str::FromStr for Position {
    type Err = StoreError;

    /// Reads what `Display` writes, as a person types it on the command line.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        let parse = || {
            let mut parts = text.split('-');
            let writer = i64::from_str_radix(parts.next()?, 16).ok()?;
            let position = Self { writer, segment: parts.next()?.parse().ok()?, n: parts.next()?.parse().ok()? };
            parts.next().is_none().then_some(position)
        };
        parse().ok_or(StoreError::Unreadable("position of an audit entry"))
    }
}

/// Where a list of entries goes on; newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// Microseconds UTC.
    pub at: i64,
    /// The entry at that instant.
    pub position: Position,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Where it stands.
    pub position: Position,
    /// Microseconds UTC.
    pub at: i64,
    /// 保険者番号, `000000` when no person is concerned.
    pub insurer: String,
    /// 要求番号.
    pub request_id: String,
    /// 被保険者番号.
    pub insured: Option<String>,
    /// 機関番号.
    pub organization: Option<String>,
    /// 職員番号.
    pub staff: Option<String>,
    /// SHA-256 of the client certificate.
    pub certificate: Option<Vec<u8>>,
    /// 経路.
    pub way: String,
    /// 操作.
    pub action: String,
    /// 情報種別.
    pub kind: Option<String>,
    /// 履歴番号.
    pub natural_key: Option<String>,
    /// 結果, a code of [`Outcome`].
    pub outcome: String,
    /// Rule id.
    pub rule: Option<String>,
    /// Version of the sharing table.
    pub policy_version: Option<String>,
    /// Facts as bits.
    pub facts: u64,
    /// How many people a list view showed.
    pub subjects: i32,
    /// Sealed [`Detail`].
    pub(crate) sealed: Option<Vec<u8>>,
}

/// A value of a field, borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Null,
    Text(&'a str),
    Number(i64),
    Bytes(&'a [u8]),
}

impl<'a> From<&'a Option<String>> for Field<'a> {
    fn from(value: &'a Option<String>) -> Self {
        value.as_deref().map_or(Self::Null, Self::Text)
    }
}

/// Groups of fields that a proof shows or withholds together.
pub(crate) const GROUPS: [&str; 5] = ["place", "person", "who", "what", "detail"];

impl StoredEntry {
    /// The stored form at a place in the log. Sealing binds the free text to that place.
    pub(crate) fn new(mut entry: Entry, position: Position, at: i64, keys: &SealKeys) -> Self {
        let detail = Detail {
            software: entry.software.take(),
            source: entry.source.take(),
            text: entry.detail.take(),
            subjects: std::mem::take(&mut entry.subjects),
        };
        let subjects = i32::try_from(detail.subjects.len()).unwrap_or(i32::MAX);
        let bare = Self::bare(entry, position, at);
        if detail == Detail::default() {
            return bare;
        }
        let plain = serde_json::to_vec(&detail).unwrap_or_default();
        let sealed = keys.seal(&[b"detail", bare.insurer.as_bytes(), &position.to_bytes()], &plain);
        Self { subjects, sealed: Some(sealed), ..bare }
    }

    /// What stands where a rolled back write had its number. Same insurer, so that the two can never both be stored.
    pub(crate) fn void(of: &Self) -> Self {
        let entry = Entry::new(kiban_domain::Timestamp::UNIX_EPOCH, "-", "-", "void", Outcome::Void);
        Self { insurer: of.insurer.clone(), ..Self::bare(entry, of.position, of.at) }
    }

    fn bare(entry: Entry, position: Position, at: i64) -> Self {
        Self {
            position,
            at,
            insurer: entry.insurer.unwrap_or_else(|| NO_INSURER.to_owned()),
            request_id: entry.request_id,
            insured: entry.insured,
            organization: entry.organization,
            staff: entry.staff,
            certificate: entry.certificate.map(Vec::from),
            way: entry.way,
            action: entry.action,
            kind: entry.kind,
            natural_key: entry.natural_key,
            outcome: entry.outcome.code().to_owned(),
            rule: entry.rule,
            policy_version: entry.policy_version,
            facts: entry.facts,
            subjects: 0,
            sealed: None,
        }
    }

    /// Where a list goes on after this entry.
    pub fn cursor(&self) -> Cursor {
        Cursor { at: self.at, position: self.position }
    }

    pub(crate) fn open_detail(&self, keys: &SealKeys) -> Result<Detail, StoreError> {
        let Some(sealed) = &self.sealed else { return Ok(Detail::default()) };
        let plain = keys.open(&[b"detail", self.insurer.as_bytes(), &self.position.to_bytes()], sealed)?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("audit detail"))
    }

    /// Calls `each` for every field of a group, in a fixed order. The one place where the fields are listed for the proof.
    pub(crate) fn fields(&self, group: usize, each: &mut dyn FnMut(&'static str, Field<'_>)) {
        match group {
            0 => {
                each("insurer_number", Field::Text(&self.insurer));
                each("writer", Field::Number(self.position.writer));
                each("segment", Field::Number(i64::from(self.position.segment)));
                each("n", Field::Number(i64::from(self.position.n)));
                each("at", Field::Number(self.at));
                each("request_id", Field::Text(&self.request_id));
            }
            1 => each("insured_number", (&self.insured).into()),
            2 => {
                each("organization", (&self.organization).into());
                each("staff", (&self.staff).into());
                each("certificate", self.certificate.as_deref().map_or(Field::Null, Field::Bytes));
            }
            3 => {
                each("way", Field::Text(&self.way));
                each("action", Field::Text(&self.action));
                each("kind", (&self.kind).into());
                each("natural_key", (&self.natural_key).into());
                each("outcome", Field::Text(&self.outcome));
                each("rule", (&self.rule).into());
                each("policy_version", (&self.policy_version).into());
                each("facts", Field::Number(self.facts.cast_signed()));
                each("subjects", Field::Number(i64::from(self.subjects)));
            }
            _ => each("detail", self.sealed.as_deref().map_or(Field::Null, Field::Bytes)),
        }
    }

    fn args(&self) -> [Arg<'_>; WIDTH] {
        [
            Arg::from(&self.insurer),
            self.position.writer.into(),
            self.position.segment.into(),
            self.position.n.into(),
            self.at.into(),
            Arg::from(&self.request_id),
            self.insured.as_deref().into(),
            self.organization.as_deref().into(),
            self.staff.as_deref().into(),
            self.certificate.as_deref().into(),
            Arg::from(&self.way),
            Arg::from(&self.action),
            self.kind.as_deref().into(),
            self.natural_key.as_deref().into(),
            Arg::from(&self.outcome),
            self.rule.as_deref().into(),
            self.policy_version.as_deref().into(),
            self.facts.cast_signed().into(),
            self.subjects.into(),
            self.sealed.as_deref().into(),
        ]
    }

    /// Reads the columns of [`COLUMNS`].
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            insurer: row.text(0)?,
            position: Position { writer: row.big(1)?, segment: row.int(2)?, n: row.int(3)? },
            at: row.big(4)?,
            request_id: row.text(5)?,
            insured: row.text_or_null(6)?,
            organization: row.text_or_null(7)?,
            staff: row.text_or_null(8)?,
            certificate: row.blob_or_null(9)?,
            way: row.text(10)?,
            action: row.text(11)?,
            kind: row.text_or_null(12)?,
            natural_key: row.text_or_null(13)?,
            outcome: row.text(14)?,
            rule: row.text_or_null(15)?,
            policy_version: row.text_or_null(16)?,
            facts: row.big(17)?.cast_unsigned(),
            subjects: row.int(18)?,
            sealed: row.blob_or_null(19)?,
        })
    }
}

/// The columns in the order of [`StoredEntry::from_row`].
macro_rules! columns {
    ($prefix:literal) => {
        concat!(
            $prefix,
            "insurer_number, ",
            $prefix,
            "writer, ",
            $prefix,
            "segment, ",
            $prefix,
            "n, ",
            $prefix,
            "at, ",
            $prefix,
            "request_id, ",
            $prefix,
            "insured_number, ",
            $prefix,
            "organization, ",
            $prefix,
            "staff, ",
            $prefix,
            "certificate, ",
            $prefix,
            "way, ",
            $prefix,
            "action, ",
            $prefix,
            "kind, ",
            $prefix,
            "natural_key, ",
            $prefix,
            "outcome, ",
            $prefix,
            "rule, ",
            $prefix,
            "policy_version, ",
            $prefix,
            "facts, ",
            $prefix,
            "subjects, ",
            $prefix,
            "detail"
        )
    };
}
pub(crate) use columns;

const WIDTH: usize = 20;

const PUT: &str = concat!(
    "INSERT INTO audit (",
    columns!(""),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, ",
    "$16, $17, $18, $19, $20)"
);
const PUT_SEEN: &str =
    "INSERT INTO audit_seen (insurer_number, insured_number, organization, day, at, writer, segment, n)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
static INSERT: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT));
static INSERT_SEEN: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT_SEEN));

const INSERT_VOID: &str = concat!(
    "INSERT INTO audit (",
    columns!(""),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, ",
    "$16, $17, $18, $19, $20) ON CONFLICT DO NOTHING"
);
/// Statements that must never read a whole table.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, PUT_SEEN, INSERT_VOID];

/// Inserts entries; a number already taken is an error.
pub(crate) async fn insert(tx: &mut RawTx, entries: &[StoredEntry]) -> Result<(), StoreError> {
    let args: Vec<Arg<'_>> = entries.iter().flat_map(StoredEntry::args).collect();
    if INSERT.run(tx, &args).await? != entries.len() as u64 {
        return Err(StoreError::Internal("audit rows were not stored".to_owned()));
    }
    Ok(())
}

/// Inserts a void unless the write it stands for was stored after all; waits for a running one. Whether it was inserted.
pub(crate) async fn insert_void(tx: &mut RawTx, void: &StoredEntry) -> Result<bool, StoreError> {
    Ok(tx.run(INSERT_VOID, &void.args()).await? == 1)
}

/// Lets each person on a list find the entry; the first of an organisation and day is kept (decision 0006.6).
pub(crate) async fn insert_seen(tx: &mut RawTx, entry: &StoredEntry, subjects: &[String]) -> Result<(), StoreError> {
    let Some(organization) = &entry.organization else { return Ok(()) };
    let day = day_in_japan(entry.at)?;
    let Position { writer, segment, n } = entry.position;
    let row = |insured| -> [Arg<'_>; 8] {
        [
            Arg::from(&entry.insurer),
            Arg::from(insured),
            Arg::from(organization),
            day.into(),
            entry.at.into(),
            writer.into(),
            segment.into(),
            n.into(),
        ]
    };
    let args: Vec<Arg<'_>> = subjects.iter().flat_map(row).collect();
    INSERT_SEEN.run(tx, &args).await.map(drop)
}

/// yyyymmdd of an instant in Japan.
pub(crate) fn day_in_japan(at: i64) -> Result<i32, StoreError> {
    let instant =
        kiban_domain::Timestamp::from_microsecond(at).map_err(|_| StoreError::Unreadable("time of an audit entry"))?;
    Ok(kiban_domain::dates::to_number(kiban_domain::dates::day_in_japan(instant)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::Timestamp;

    #[test]
    fn a_name_in_a_clear_item_is_refused() {
        let entry = || Entry::new(Timestamp::UNIX_EPOCH, "r1", "page", "view", Outcome::Allowed);
        assert!(entry().check().is_ok());
        assert!(Entry { natural_key: Some("架空花子".to_owned()), ..entry() }.check().is_err());
        assert!(Entry { staff: Some("s 1".to_owned()), ..entry() }.check().is_err());
        assert!(Entry { insured: Some("0000000001".to_owned()), ..entry() }.check().is_err(), "no insurer");
        let with_list =
            Entry { insurer: Some("011002".to_owned()), subjects: vec!["0000000001".to_owned()], ..entry() };
        assert!(with_list.check().is_err(), "no organization");
        assert!(Entry { organization: Some("0110000000".to_owned()), ..with_list }.check().is_ok());
    }

    #[test]
    fn a_position_is_read_as_it_is_printed() {
        let position = Position { writer: 0x00ab_cdef_0123_4567, segment: 12, n: 3 };
        assert_eq!(position.to_string(), "00abcdef01234567-12-3");
        assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        assert!("1-2".parse::<Position>().is_err());
        assert!("1-2-3-4".parse::<Position>().is_err());
    }
}
