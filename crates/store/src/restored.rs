//! A database that was put back from a copy: it is held until two operators accept it (decision 0006.32–33, T-10, T-11,
//! docs/decisions/0011). What the log lacks against its outside anchors is named, the doors that were closed after the copy
//! are closed again from the journal, every log-in ends; then it is signed that it may be served.

use crate::audit::{
    Anchor, AuditSettings, Entry, Outcome, Outside, Position, PublicKey, Purged, SigningKey, VerifyReport,
    anchor_by_number, is_signed, newest_anchor, put_lost,
};
use crate::closing::{self, Closing, Journal, Kept};
use crate::engine::{Engine, Row, args};
use crate::migrations::{self, finish};
use crate::office::{account_row, instant};
use crate::seal::{hex, push_part};
use crate::second_factor::use_recovery_code;
use crate::{
    Hides, KeyLimits, Keyring, MasterKey, NO_INSURER, PortalGrant, PortalRole, SecondFactor, StaffSwitch, Store,
    StoreError, Tx, audit,
};
use kiban_domain::assignment::Assignment;
use kiban_domain::insured::Insured;
use kiban_domain::office::{JobType, StaffId};
use kiban_domain::{Organization, Timestamp, dates};
use std::collections::BTreeMap;
use std::path::PathBuf;

const NEWEST: &str =
    "SELECT number, made_at, generation, first_lost, last_lost, approved_by, gap, accepted_at, accepted
     FROM restored ORDER BY number DESC LIMIT 1";
const GAPS: &str = "SELECT number, made_at, generation, first_lost, last_lost, approved_by, gap, accepted_at, accepted
     FROM restored WHERE first_lost > 0 ORDER BY number";
const PUT: &str = "INSERT INTO restored (number, made_at, generation) VALUES ($1, $2, $3)";
const LOSE: &str = "UPDATE restored SET first_lost = $2, last_lost = $3, approved_by = $4, gap = $5 WHERE number = $1";
const ACCEPT: &str =
    "UPDATE restored SET approved_by = $2, gap = $3, accepted_at = $4, accepted = $5 WHERE number = $1";
const IS_THERE_POSTGRES: &str = "SELECT 1 WHERE to_regclass('restored') IS NOT NULL";
const IS_THERE_SQLITE: &str = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'restored'";
const HAS_ENTRY: &str = "SELECT 1 FROM audit WHERE writer = $1 AND segment = $2 AND n = $3";
const ONE_STAFF: &str = "SELECT staff_id, organization, job, name, care_manager, password_hash, active, mac, administrator, initial_until, closed_at, CASE WHEN totp IS NULL THEN 0 ELSE 1 END + CASE WHEN has_passkey THEN 2 ELSE 0 END
     FROM staff WHERE staff_id = $1";
const FACTOR: &str = "SELECT totp FROM staff WHERE staff_id = $1 AND totp IS NOT NULL";
const LIVE_SESSIONS: &str =
    "SELECT organization, session_id FROM session WHERE ended_at IS NULL AND refresh_until > $1 LIMIT 500";
const END_DAMAGED: &str =
    "UPDATE session SET ended_at = $3 WHERE organization = $1 AND session_id = $2 AND ended_at IS NULL";
const END_PORTAL: &str = "DELETE FROM portal_session";

/// What a copy brings with it: nobody serves it unasked.
pub(crate) fn mark(generation: &str, made_at: i64) -> String {
    let generation: String = generation.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    format!(
        "INSERT INTO restored (number, made_at, generation) \
         SELECT COALESCE(MAX(number), 0) + 1, {made_at}, '{generation}' FROM restored"
    )
}

/// A row of the table.
struct Restore {
    number: i64,
    made_at: i64,
    generation: String,
    first_lost: i64,
    last_lost: i64,
    approved_by: String,
    gap: Vec<u8>,
    accepted_at: i64,
    accepted: Vec<u8>,
}

impl Restore {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.big(0)?,
            made_at: row.big(1)?,
            generation: row.text(2)?,
            first_lost: row.big(3)?,
            last_lost: row.big(4)?,
            approved_by: row.text(5)?,
            gap: row.blob_or_null(6)?.unwrap_or_default(),
            accepted_at: row.big(7)?,
            accepted: row.blob_or_null(8)?.unwrap_or_default(),
        })
    }

    fn gap_bytes(&self) -> Vec<u8> {
        let mut bytes = b"kiban restore gap 1\n".to_vec();
        for number in [self.number, self.made_at, self.first_lost, self.last_lost] {
            bytes.extend(number.to_be_bytes());
        }
        push_part(&mut bytes, self.generation.as_bytes());
        push_part(&mut bytes, self.approved_by.as_bytes());
        bytes
    }

    fn accepted_bytes(&self) -> Vec<u8> {
        let mut bytes = b"kiban restore accepted 1\n".to_vec();
        bytes.extend(self.accepted_at.to_be_bytes());
        push_part(&mut bytes, &self.gap_bytes());
        bytes
    }

    fn is_accepted(&self, key: &PublicKey) -> bool {
        is_signed(key, &self.accepted_bytes(), &self.accepted)
    }
}

/// Anchors whose entries are lost, by good signatures.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Vec<(i64, i64)>);

impl Gaps {
    pub(crate) fn covers(&self, anchor: i64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&anchor))
    }
}

/// A copy of an older program has no such table.
async fn is_there(engine: &Engine) -> Result<bool, StoreError> {
    let there = if engine.is_postgres() { IS_THERE_POSTGRES } else { IS_THERE_SQLITE };
    Ok(!engine.rows(there, args![]).await?.is_empty())
}

pub(crate) async fn gaps(engine: &Engine, key: &PublicKey) -> Result<Gaps, StoreError> {
    let mut gaps = Gaps::default();
    if !is_there(engine).await? {
        return Ok(gaps);
    }
    for row in engine.rows(GAPS, args![]).await? {
        let restore = Restore::from_row(&row)?;
        if is_signed(key, &restore.gap_bytes(), &restore.gap) {
            gaps.0.push((restore.first_lost, restore.last_lost));
        }
    }
    Ok(gaps)
}

async fn pending(engine: &Engine, key: &PublicKey) -> Result<Option<Restore>, StoreError> {
    if !is_there(engine).await? {
        return Ok(None);
    }
    let newest = engine.rows(NEWEST, args![]).await?.first().map(Restore::from_row).transpose()?;
    Ok(newest.filter(|restore| !restore.is_accepted(key)))
}

/// Nothing is served, and no command works, on a database that nobody has accepted.
pub(crate) async fn refuse_unaccepted(engine: &Engine, key: &PublicKey) -> Result<(), StoreError> {
    match pending(engine, key).await? {
        Some(restore) => Err(StoreError::Held(restore.generation)),
        None => Ok(()),
    }
}

/// A database that waits to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unaccepted {
    /// Name of the copy.
    pub generation: String,
    /// When it was made.
    pub made_at: Timestamp,
}

/// Whether the database at `address` is one that was put back and not accepted. Writes nothing.
pub async fn unaccepted(address: &str, key: &PublicKey) -> Result<Option<Unaccepted>, StoreError> {
    if address.strip_prefix("sqlite:").is_some_and(|path| !std::path::Path::new(path).exists()) {
        return Ok(None);
    }
    let engine = Engine::open(address).await?;
    let found = pending(&engine, key).await;
    engine.close().await;
    let Some(restore) = found? else { return Ok(None) };
    Ok(Some(Unaccepted { made_at: instant(restore.made_at)?, generation: restore.generation }))
}

/// Segments of one writer that are signed outside and not in the database.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LostSegments {
    /// 記録者番号 in hexadecimal.
    pub writer: String,
    /// First one that is not there as it was signed.
    pub first: i32,
    /// Last one that was signed.
    pub last: i32,
}

/// What the log lacks against its outside anchors.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    /// Newest anchor of the database; 0: none.
    pub inside: i64,
    /// When it was signed.
    pub since: Option<Timestamp>,
    /// Newest anchor outside.
    pub outside: i64,
    /// When it was signed.
    pub until: Option<Timestamp>,
    /// What they signed meanwhile.
    pub segments: Vec<LostSegments>,
    anchors: Vec<Anchor>,
}

impl Lost {
    /// Whether entries that were signed are missing.
    pub fn is_something(&self) -> bool {
        !self.anchors.is_empty()
    }
}

/// A restored database, opened for nothing but its acceptance.
pub struct Restored {
    engine: Engine,
    keys: Keyring,
    audit: AuditSettings,
    pending: Option<Restore>,
    lost: Lost,
    /// Doors that were closed and are open here, each with when.
    closings: Vec<(i64, Kept)>,
}

/// What proves an operator who stands at the machine. No `Debug`.
pub struct Operator {
    /// Of the password.
    pub password_hash: String,
    /// App or mail.
    pub factor: Option<SecondFactor>,
    /// Whether there are passkeys.
    pub has_passkey: bool,
}

/// Who accepts, and why.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// Two accounts of the operator (`operator/chief`).
    pub approvers: [String; 2],
    /// By what each of them was proved.
    pub proved: [&'static str; 2],
    /// In words, for the log.
    pub reason: String,
    /// Request id of the entry.
    pub request_id: String,
}

/// A door closed again.
#[derive(Debug, Clone)]
pub struct Closed {
    /// When it was closed.
    pub at: Timestamp,
    /// The door.
    pub closing: Closing,
    /// Whether it stood open in the copy.
    pub was_open: bool,
}

/// What was done.
pub struct Accepted {
    /// The store, serving again; to be closed by the caller.
    pub store: Store,
    /// Every door in question.
    pub closed: Vec<Closed>,
    /// Log-ins that were ended.
    pub sessions: u64,
    /// The whole log as it is now.
    pub report: VerifyReport,
}

impl Restored {
    /// Opens a database that is held, or whose log is older than its outside anchors, and compares; nothing is changed but the
    /// schema. More journals than the one beside the anchors may be named: each server has its own. `Conflict`: there is
    /// nothing to accept.
    pub async fn open(
        address: &str,
        master: MasterKey,
        audit: AuditSettings,
        journals: &[PathBuf],
    ) -> Result<Self, StoreError> {
        let engine = Engine::open(address).await?;
        match Self::compare(engine.clone(), master, audit, journals).await {
            Ok(restored) => Ok(restored),
            Err(error) => {
                engine.close().await;
                Err(error)
            }
        }
    }

    async fn compare(
        engine: Engine,
        master: MasterKey,
        audit: AuditSettings,
        journals: &[PathBuf],
    ) -> Result<Self, StoreError> {
        let key = audit.signing_key.public_key();
        migrations::migrate(&engine, Some(&master)).await?;
        let (pending, lost) = (pending(&engine, &key).await?, lost(&engine, &audit).await?);
        if pending.is_none() && !lost.is_something() {
            return Err(StoreError::Conflict("the database is not a restored one"));
        }
        let keys = Keyring::open(&engine, master, audit.clock.clone(), KeyLimits::default()).await?;
        keys.keys_of(NO_INSURER).await?;
        let mut files = vec![audit.anchor_dir.join(closing::CLOSINGS)];
        files.extend_from_slice(journals);
        let purged = Purged::read(&engine, &key).await?;
        let mut closings = Vec::new();
        for file in files {
            closings.extend(missing(&engine, &purged, Journal::of_file(file, &keys)?.all()?).await?);
        }
        closings.sort_by_key(|(at, _)| *at);
        Ok(Self { engine, keys, audit, pending, lost, closings })
    }

    /// What the log lacks.
    pub fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Name of the copy and when it was made, if it says so.
    pub fn copy(&self) -> Option<(&str, Timestamp)> {
        let pending = self.pending.as_ref()?;
        Some((&pending.generation, Timestamp::from_microsecond(pending.made_at).ok()?))
    }

    /// How many doors are to be closed again.
    pub fn doors(&self) -> usize {
        self.closings.iter().map(|(_, kept)| kept.closings.len()).sum()
    }

    /// What proves an operator whose account is registered and active in this database and was not stopped after the copy: the password of
    /// after the copy where it was changed. None: it is no such account.
    pub async fn operator(&self, account: &str) -> Result<Option<Operator>, StoreError> {
        let rows = self.engine.rows(ONE_STAFF, args![account]).await?;
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[3]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let found = account_row(&self.keys, row, &keys)?;
        let Some(found) = found.filter(|found| found.active && found.organization == Organization::Operator) else {
            return Ok(None);
        };
        let (mut password_hash, has_passkey) = (found.password_hash, found.has_passkey);
        for closing in self.closings.iter().flat_map(|(_, kept)| &kept.closings) {
            match closing {
                Closing::Account { staff, active, closed_at, .. }
                    if staff == account && (!active || closed_at.is_some()) =>
                {
                    return Ok(None);
                }
                Closing::Account { staff, password_hash: newer, .. } if staff == account => {
                    password_hash.clone_from(newer)
                }
                _ => {}
            }
        }
        let rows = self.engine.rows(FACTOR, args![account]).await?;
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[0]).await?;
        let open = |row: &Row| SecondFactor::open(&keys, account, &row.blob(0)?);
        Ok(Some(Operator { password_hash, factor: rows.first().map(open).transpose()?, has_passkey }))
    }

    /// Takes a recovery code of an operator away; false when there is no such one. One that was used after the copy is there again.
    pub async fn use_recovery_code(&self, account: &str, code: &str) -> Result<bool, StoreError> {
        let keys = self.keys.keys_of(NO_INSURER).await?;
        let (operator, staff) = (Organization::Operator, StaffId(account.to_owned()));
        let mut tx = self.engine.begin().await?;
        let is_used = use_recovery_code(&mut tx, &keys, operator, &staff, code).await?;
        finish(tx).await?;
        Ok(is_used)
    }

    /// Gives it up.
    pub async fn close(self) {
        self.engine.close().await;
    }

    /// Accepts: what is lost is signed to be lost, the log goes on, the doors are closed again, every log-in ends, and only
    /// then it is signed that the database may be served. Cut off anywhere, it is still held, and the same command goes on.
    pub async fn accept(mut self, acceptance: &Acceptance) -> Result<Accepted, StoreError> {
        let restore = self.give_up_what_is_lost(acceptance).await?;
        let Self { engine, keys, audit, lost, closings, .. } = self;
        let (clock, folder, seed) = (audit.clock.clone(), audit.anchor_dir.clone(), audit);
        let now = clock();
        let store = Store::start(engine.clone(), keys.clone(), seed).await?;
        let detail = serde_json::json!({
            "copy": restore.generation, "made_at": restore.made_at, "reason": acceptance.reason,
            "proved": acceptance.proved,
            "first_lost_anchor": restore.first_lost, "last_lost_anchor": restore.last_lost, "lost": lost.segments,
        });
        let position =
            store.audit.append(Entry { detail: Some(detail.to_string()), ..acceptance.entry(now, "restored") }).await?;
        let mut closed = Vec::new();
        for (at, kept) in &closings {
            for closing in &kept.closings {
                let was_open = store.close_again(closing, acceptance, now).await?;
                closed.push(Closed { at: instant(*at)?, closing: closing.clone(), was_open });
            }
        }
        let sessions = store.end_every_session(acceptance, now).await?;
        closing::keep(folder, keys.clone(), Kept { entry: position, closings: Vec::new() }).await?;
        sign(&engine, store.audit.signing_key(), restore, acceptance, now).await?;
        store.audit.anchor_now().await?;
        let report = store.audit.verify().await?;
        Ok(Accepted { store, closed, sessions, report })
    }

    /// The first step: the anchors that only the outside has stand in the database again, and it is signed that what they cover
    /// is lost; so the log goes on behind them and nobody has to forget an anchor.
    async fn give_up_what_is_lost(&mut self, acceptance: &Acceptance) -> Result<Restore, StoreError> {
        let mut tx = self.engine.begin().await?;
        let mut restore = match self.pending.take() {
            Some(restore) => restore,
            None => {
                let number = tx.rows(NEWEST, args![]).await?.first().map_or(Ok(0), |row| row.big(0))? + 1;
                let made_at = self.lost.since.map_or(0, Timestamp::as_microsecond);
                tx.run(PUT, args![number, made_at, "unknown"]).await?;
                Restore {
                    number,
                    made_at,
                    generation: "unknown".to_owned(),
                    first_lost: 0,
                    last_lost: 0,
                    approved_by: String::new(),
                    gap: Vec::new(),
                    accepted_at: 0,
                    accepted: Vec::new(),
                }
            }
        };
        if let (Some(first), Some(last)) = (self.lost.anchors.first(), self.lost.anchors.last()) {
            // What a run before this one gave up stays given up.
            let first = if restore.first_lost > 0 { restore.first_lost } else { first.number };
            (restore.first_lost, restore.last_lost) = (first, last.number);
        }
        restore.approved_by = acceptance.approvers.join(",");
        restore.gap = self.audit.signing_key.sign(&restore.gap_bytes());
        put_lost(&mut tx, &self.lost.anchors).await?;
        let Restore { number, first_lost, last_lost, approved_by, gap, .. } = &restore;
        tx.run(LOSE, args![*number, *first_lost, *last_lost, approved_by, gap]).await?;
        finish(tx).await?;
        Ok(restore)
    }
}

/// The last step.
async fn sign(
    engine: &Engine,
    key: &SigningKey,
    mut restore: Restore,
    acceptance: &Acceptance,
    now: Timestamp,
) -> Result<(), StoreError> {
    restore.approved_by = acceptance.approvers.join(",");
    restore.gap = key.sign(&restore.gap_bytes());
    restore.accepted_at = now.as_microsecond();
    restore.accepted = key.sign(&restore.accepted_bytes());
    let mut tx = engine.begin().await?;
    let Restore { number, approved_by, gap, accepted_at, accepted, .. } = &restore;
    tx.run(ACCEPT, args![*number, approved_by, gap, *accepted_at, accepted]).await?;
    finish(tx).await
}

impl Acceptance {
    fn entry(&self, now: Timestamp, action: &'static str) -> Entry {
        Entry {
            organization: Some(Organization::Operator.to_string()),
            staff: Some(self.approvers.join(",")),
            ..Entry::new(now, &self.request_id, "cli", action, Outcome::Done)
        }
    }
}

/// Holds the log against the anchors outside: the same history, and then how much of it is missing. Another history is
/// refused, and so is a file outside whose anchors do not follow one another.
async fn lost(engine: &Engine, audit: &AuditSettings) -> Result<Lost, StoreError> {
    let key = audit.signing_key.public_key();
    let (inside, outside) = (newest_anchor(engine).await?, Outside::new(&audit.anchor_dir).all()?);
    let number = inside.as_ref().map_or(0, |anchor| anchor.number);
    let mut previous: Option<&Anchor> = None;
    for anchor in &outside {
        let follows = previous.is_none_or(|p| p.number + 1 == anchor.number && p.hash() == anchor.previous);
        if !follows || !anchor.is_signed_by(&key) {
            let why =
                format!("the outside anchor {} does not follow the one before or is of another key", anchor.number);
            return Err(StoreError::Unsafe(why));
        }
        previous = Some(anchor);
    }
    let Some(newest) = previous else { return Err(StoreError::Unsafe("there is no outside anchor here".to_owned())) };
    // The newest one that both should have.
    let common = outside.iter().rev().find(|anchor| anchor.number <= number);
    if let Some(common) = common
        && anchor_by_number(engine, common.number).await?.as_ref() != Some(common)
    {
        let why =
            format!("anchor {} in the database is another than the one outside: not a copy of this log", common.number);
        return Err(StoreError::Unsafe(why));
    }
    if common.is_none() && outside.first().is_some_and(|first| first.number > number + 1) {
        return Err(StoreError::Unsafe("the outside anchors begin after the newest of the database".to_owned()));
    }
    let anchors: Vec<Anchor> = outside.iter().filter(|anchor| anchor.number > number).cloned().collect();
    let mut last = BTreeMap::new();
    for head in anchors.iter().flat_map(|anchor| &anchor.heads) {
        let known = last.entry(head.writer).or_insert(head.segment);
        *known = head.segment.max(*known);
    }
    let mut segments = Vec::new();
    for (writer, last) in last {
        let closed = engine.rows(audit::LAST_CLOSED, args![writer]).await?;
        let first = closed.first().map(|row| row.int(0)).transpose()?.map_or(0, |closed| closed + 1);
        if first <= last {
            segments.push(LostSegments { writer: hex(&writer.to_be_bytes()), first, last });
        }
    }
    let at = |anchor: &Anchor| instant(anchor.at);
    Ok(Lost {
        inside: number,
        since: inside.as_ref().map(at).transpose()?,
        outside: newest.number,
        until: Some(at(newest)?),
        segments,
        anchors,
    })
}

/// Lines behind the last acceptance this database knows of, whose commits it does not have.
async fn missing(engine: &Engine, purged: &Purged, lines: Vec<(i64, Kept)>) -> Result<Vec<(i64, Kept)>, StoreError> {
    let mut missing = Vec::new();
    for (at, kept) in lines {
        let Position { writer, segment, n } = kept.entry;
        let is_here = purged.covers(kept.entry) || !engine.rows(HAS_ENTRY, args![writer, segment, n]).await?.is_empty();
        match (kept.closings.is_empty(), is_here) {
            (true, true) => missing.clear(),
            (false, false) => missing.push((at, kept)),
            _ => {}
        }
    }
    Ok(missing)
}

impl Store {
    /// Closes one door again; whether it stood open.
    async fn close_again(&self, closing: &Closing, by: &Acceptance, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !tx.shut(self, closing).await? {
            return Ok(false);
        }
        let mut entry = by.entry(now, "restore.close");
        if let Some(person) = closing.person() {
            entry.insurer = Some(person.insurer.to_string());
            entry.insured = Some(person.insured.to_string());
        }
        tx.commit(Entry { detail: Some(closing.name_ja().to_owned()), ..entry }).await?;
        Ok(true)
    }

    /// Nobody comes in with a log-in of before; how many there were.
    async fn end_every_session(&self, by: &Acceptance, now: Timestamp) -> Result<u64, StoreError> {
        let mut ended = 0;
        loop {
            let rows = self.engine.rows(LIVE_SESSIONS, args![now.as_microsecond()]).await?;
            let mut tx = self.begin().await?;
            if rows.is_empty() {
                ended += tx.raw.run(END_PORTAL, args![]).await?;
                tx.commit(by.entry(now, "restore.sessions")).await?;
                return Ok(ended);
            }
            for row in &rows {
                let (organization, id) = (row.text(0)?, row.text(1)?);
                let known = Organization::parse(&organization).map_err(|_| StoreError::Unreadable("session"))?;
                if tx.end_session(known, &id, now).await?.is_none() {
                    // Its MAC does not fit, so it opens nothing; it is only not to be met again.
                    tx.raw.run(END_DAMAGED, args![&organization, &id, now.as_microsecond()]).await?;
                }
                ended += 1;
            }
            tx.commit(by.entry(now, "restore.sessions")).await?;
        }
    }
}

impl Tx {
    /// Closes a door as it was closed before; false when it is closed, or not there. What is newer in the row stays.
    async fn shut(&mut self, store: &Store, closing: &Closing) -> Result<bool, StoreError> {
        match closing {
            Closing::Consent { act_id, recorded_at, record } => {
                if store.consents(record.person).await?.iter().any(|act| act.act_id == *act_id) {
                    return Ok(false);
                }
                let revision = self.next_receipt_number(record.person.insurer).await?;
                self.put_consent(act_id, revision, *recorded_at, record).await
            }
            Closing::Assignment { person, office, viewable_until, ended } => {
                let all = store.assignments(*person).await?;
                let Some(before) = all.into_iter().find(|one| one.office == *office) else { return Ok(false) };
                let until = dates::from_number(*viewable_until).map_err(|_| StoreError::Unreadable("closing"))?;
                let after = Assignment {
                    viewable_until: before.viewable_until.min(until),
                    ended: before.ended.or(*ended),
                    ..before.clone()
                };
                if after == before {
                    return Ok(false);
                }
                self.change_assignment(&after, Some(&before)).await?;
                Ok(true)
            }
            Closing::Opinion { person, natural_key } => {
                let was_open = store.has_opinion_request(*person, natural_key).await?;
                self.end_opinion_request(*person, natural_key).await?;
                Ok(was_open)
            }
            Closing::Withheld { person } => {
                let Some((header, insured)) = store.person(*person).await? else { return Ok(false) };
                if header.withheld {
                    return Ok(false);
                }
                let revision = self.next_receipt_number(person.insurer).await?;
                self.put_person(revision, header.history_number, &Insured { withheld: true, ..insured }).await?;
                Ok(true)
            }
            Closing::Proxy { person, grant, why, at } => match store.portal_grant(*person, grant).await? {
                Some(grant) if grant.ended.is_none() => self.end_portal_grant(&grant, why, *at).await,
                _ => Ok(false),
            },
            Closing::ProxyRefusal { person, grant, role, about, made_by, made_at } => {
                // One that was there and was lifted is there, and stays lifted.
                if store.portal_grant(*person, grant).await?.is_some() {
                    return Ok(false);
                }
                self.put_portal_grant(&PortalGrant {
                    person: *person,
                    id: grant.clone(),
                    role: PortalRole::parse(role).ok_or(StoreError::Unreadable("closing"))?,
                    about: about.clone().into_bytes(),
                    code: None,
                    despite_withheld: false,
                    ends_on: None,
                    made_by: made_by.clone(),
                    made_at: *made_at,
                    bound: None,
                    ended: None,
                })
                .await?;
                Ok(true)
            }
            Closing::Switch { organization, staff, person, kinds, changed } => {
                let organization = Organization::parse(organization).map_err(|_| StoreError::Unreadable("closing"))?;
                let hides = Hides::of(true, kinds.as_deref());
                let (staff, changed) = (StaffId(staff.clone()), changed.clone());
                self.put_switch(organization, &StaffSwitch { staff, person: *person, hides, changed }).await?;
                Ok(true)
            }
            Closing::Office { number } => match store.office(*number).await? {
                Some((office, true)) => self.put_office(&office, false).await.map(|()| true),
                _ => Ok(false),
            },
            Closing::Export { fingerprint } => Ok(self.allow_export(fingerprint, false).await?.is_some()),
            Closing::Disaster { mode, at } => {
                let modes = store.disasters().await?;
                let Some(open) = modes.into_iter().find(|one| one.id == *mode && one.closed_at.is_none()) else {
                    return Ok(false);
                };
                self.put_disaster(&kiban_domain::assignment::DisasterMode { closed_at: Some(*at), ..open }).await?;
                Ok(true)
            }
            Closing::Certificate { .. } | Closing::Account { .. } => self.shut_out(store, closing).await,
        }
    }

    /// The same for those who come in.
    async fn shut_out(&mut self, store: &Store, closing: &Closing) -> Result<bool, StoreError> {
        match closing {
            Closing::Certificate { fingerprint, organization, terminal, serial, not_after, at, reason } => {
                let all = store.certificates().await?;
                let known = all.into_iter().find(|row| row.fingerprint == *fingerprint);
                if known.as_ref().is_some_and(|row| row.revoked_at.is_some()) {
                    return Ok(false);
                }
                let organization = Organization::parse(organization).map_err(|_| StoreError::Unreadable("closing"))?;
                self.put_certificate(&crate::CertificateRow {
                    fingerprint: fingerprint.clone(),
                    organization,
                    terminal: terminal.clone(),
                    serial: serial.clone(),
                    not_after: *not_after,
                    revoked_at: Some(*at),
                    revoked_for: reason.clone(),
                })
                .await?;
                // One that was issued after the copy is known from now on, as revoked.
                Ok(known.is_some())
            }
            Closing::Account { staff, active, closed_at, administrator, job, password_hash, initial_until } => {
                let Some(before) = self.hold_account(&StaffId(staff.clone())).await? else { return Ok(false) };
                let mut after = before.clone();
                after.active &= active;
                after.closed_at = before.closed_at.or(*closed_at);
                after.staff.administrator &= administrator;
                after.staff.job = JobType::parse(job).ok_or(StoreError::Unreadable("closing"))?;
                after.password_hash.clone_from(password_hash);
                after.initial_until = *initial_until;
                if after == before {
                    return Ok(false);
                }
                self.put_account(&after).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
