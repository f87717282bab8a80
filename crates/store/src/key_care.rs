//! The care of keys by the operator and by the store itself: new generations, values sealed anew, search tokens computed
//! anew, the change of the master key, and the proof that everything opens (decision 0006.21–24).
//!
//! All of it goes in small transactions, each with its audit entry, and can be killed and begun again at any point: what is
//! done already is not done twice. Whoever serves meanwhile is not stopped.

use crate::engine::{Arg, Engine, Row, args};
use crate::keyring::{self, InsurerKeys};
use crate::master::MasterKey;
use crate::migrations::finish;
use crate::record::RecordAad;
use crate::seal::{SealKeys, generation_of, hex, random_bytes};
use crate::{Entry, KeptAnswer, NO_INSURER, Outcome, ReceiptState, Store, StoreError, Tx};
use crate::{
    consent, disaster_look, notice, opinion_draft, passkey, person, portal, receipt, report, slip, submission, upload,
};
use kiban_domain::insured::NORMALIZER_VERSION;
use kiban_domain::notice::NoticeKind;
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, PersonKey};
use std::sync::Arc;
use zeroize::Zeroizing;

/// People, receipts or accounts of one transaction.
const BLOCK: i32 = 50;

const PEOPLE: &str = "SELECT DISTINCT insured_number FROM person WHERE insurer_number = $1 AND insured_number > $2
     ORDER BY insured_number LIMIT $3";
const RECEIPTS: &str = "SELECT receipt_number, state, original, result FROM receipt
     WHERE insurer_number = $1 AND receipt_number > $2 ORDER BY receipt_number LIMIT $3";
const STAFF: &str = "SELECT staff_id, name, totp FROM staff WHERE staff_id > $1 ORDER BY staff_id LIMIT $2";
const ANSWERS: &str = "SELECT organization, key_digest, answer, insurer_number, insured_number FROM idempotency
     WHERE COALESCE(insurer_number, '000000') = $1 AND (organization, key_digest) > ($2, $3)
     ORDER BY organization, key_digest LIMIT $4";
const OLD_PEOPLE: &str = "SELECT insured_number, history_number, revision, identity FROM person
     WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3 AND substr(identity, 2, 4) < $4";
const OLD_RECORDS: &str =
    "SELECT insured_number, kind, natural_key, revision, creator, valid_from, valid_to, recorded_at, deleted, payload
     FROM record WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3 AND substr(payload, 2, 4) < $4";
const OLD_CONSENTS: &str = "SELECT insured_number, act_id, detail FROM consent_act
     WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3 AND substr(detail, 2, 4) < $4";
const SUBMISSIONS: &str =
    "SELECT insured_number, submission_id, kind, sender, reason, payload, media, original FROM submission
     WHERE insurer_number = $1 AND insured_number > $2 AND insured_number <= $3";
const SET_PERSON: &str = "UPDATE person SET identity = $5
     WHERE insurer_number = $1 AND insured_number = $2 AND history_number = $3 AND revision = $4 AND identity = $6";
const SET_RECORD: &str = "UPDATE record SET payload = $6
     WHERE insurer_number = $1 AND insured_number = $2 AND kind = $3 AND natural_key = $4 AND revision = $5 AND payload = $7";
const SET_CONSENT: &str = "UPDATE consent_act SET detail = $4
     WHERE insurer_number = $1 AND insured_number = $2 AND act_id = $3 AND detail = $5";
const SET_REASON: &str =
    "UPDATE submission SET reason = $3 WHERE insurer_number = $1 AND submission_id = $2 AND reason = $4";
const SET_PAYLOAD: &str =
    "UPDATE submission SET payload = $3 WHERE insurer_number = $1 AND submission_id = $2 AND payload = $4";
const SET_HANDED_IN: &str =
    "UPDATE submission SET original = $3 WHERE insurer_number = $1 AND submission_id = $2 AND original = $4";
const KEPT: &str =
    "SELECT insured_number, submission_id, kind, natural_key, revision, media, content FROM record_original
     WHERE insurer_number = $1 AND submission_id > $2 ORDER BY submission_id LIMIT $3";
const SET_KEPT: &str =
    "UPDATE record_original SET content = $3 WHERE insurer_number = $1 AND submission_id = $2 AND content = $4";
const NOTICES: &str = "SELECT organization, notice_id, kind, insurer_number, insured_number, facts FROM notice
     WHERE COALESCE(insurer_number, '000000') = $1 AND (organization, notice_id) > ($2, $3)
     ORDER BY organization, notice_id LIMIT $4";
const SET_NOTICE: &str = "UPDATE notice SET facts = $3 WHERE organization = $1 AND notice_id = $2 AND facts = $4";
const FIGURES: &str = "SELECT day, made_at, content FROM statistics
     WHERE insurer_number = $1 AND day > $2 ORDER BY day LIMIT $3";
const SET_FIGURES: &str = "UPDATE statistics SET content = $3 WHERE insurer_number = $1 AND day = $2 AND content = $4";
const OLD_HEADS: &str = "SELECT upload_id, file_number, head FROM upload_file
     WHERE insurer_number = $1 AND (upload_id, file_number) > ($2, $3) AND substr(head, 2, 4) < $4
     ORDER BY upload_id, file_number LIMIT $5";
const SET_HEAD: &str = "UPDATE upload_file SET head = $4
     WHERE insurer_number = $1 AND upload_id = $2 AND file_number = $3 AND head = $5";
const OLD_PIECES: &str = "SELECT upload_id, file_number, piece_number, content FROM upload_piece
     WHERE insurer_number = $1 AND (upload_id, file_number, piece_number) > ($2, $3, $4) AND substr(content, 2, 4) < $5
     ORDER BY upload_id, file_number, piece_number LIMIT $6";
const SET_PIECE: &str = "UPDATE upload_piece SET content = $5
     WHERE insurer_number = $1 AND upload_id = $2 AND file_number = $3 AND piece_number = $4 AND content = $6";
const OLD_LOOKS: &str = "SELECT look_id, reason FROM disaster_look
     WHERE insurer_number = $1 AND look_id > $2 AND substr(reason, 2, 4) < $3 ORDER BY look_id LIMIT $4";
const SET_LOOK: &str = "UPDATE disaster_look SET reason = $3
     WHERE insurer_number = $1 AND look_id = $2 AND reason = $4";
const OLD_GRANTS: &str = "SELECT insured_number, grant_id, about FROM portal_grant
     WHERE insurer_number = $1 AND (insured_number, grant_id) > ($2, $3) AND substr(about, 2, 4) < $4
     ORDER BY insured_number, grant_id LIMIT $5";
const SET_GRANT: &str = "UPDATE portal_grant SET about = $4
     WHERE insurer_number = $1 AND insured_number = $2 AND grant_id = $3 AND about = $5";
const OLD_DRAFTS: &str = "SELECT insured_number, office_number, content FROM opinion_draft
     WHERE insurer_number = $1 AND (insured_number, office_number) > ($2, $3) AND substr(content, 2, 4) < $4
     ORDER BY insured_number, office_number LIMIT $5";
const SET_DRAFT: &str = "UPDATE opinion_draft SET content = $4
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3 AND content = $5";
const OLD_SLIPS: &str = "SELECT receiver, slip_id, sender, about, files FROM slip
     WHERE (receiver, slip_id) > ($1, $2) AND (substr(about, 2, 4) < $3 OR substr(files, 2, 4) < $3)
     ORDER BY receiver, slip_id LIMIT $4";
const SET_SLIP_ABOUT: &str = "UPDATE slip SET about = $3 WHERE receiver = $1 AND slip_id = $2 AND about = $4";
const SET_SLIP_FILES: &str = "UPDATE slip SET files = $3 WHERE receiver = $1 AND slip_id = $2 AND files = $4";
const SET_ORIGINAL: &str =
    "UPDATE receipt SET original = $3 WHERE insurer_number = $1 AND receipt_number = $2 AND original = $4";
const SET_RESULT: &str =
    "UPDATE receipt SET result = $3 WHERE insurer_number = $1 AND receipt_number = $2 AND result = $4";
const SET_NAME: &str = "UPDATE staff SET name = $2 WHERE staff_id = $1 AND name = $3";
const SET_TOTP: &str = "UPDATE staff SET totp = $2 WHERE staff_id = $1 AND totp = $3";
const OLD_PASSKEYS: &str = "SELECT organization, staff_id, passkey_id, content FROM passkey
     WHERE (organization, staff_id, passkey_id) > ($1, $2, $3) AND substr(content, 2, 4) < $4
     ORDER BY organization, staff_id, passkey_id LIMIT $5";
const SET_PASSKEY: &str = "UPDATE passkey SET content = $4
     WHERE organization = $1 AND staff_id = $2 AND passkey_id = $3 AND content = $5";
const SET_ANSWER: &str =
    "UPDATE idempotency SET answer = $3 WHERE organization = $1 AND key_digest = $2 AND answer = $4";
const RETIRE: &str = "DELETE FROM data_key
     WHERE insurer_number = $1 AND purpose = $2 AND generation < $3 AND closed_at IS NOT NULL AND closed_at < $4";
const OLDER: &str = "SELECT count(*) FROM data_key WHERE insurer_number = $1 AND purpose = $2 AND generation < $3";
const STALE: &str = "SELECT insured_number FROM person_token
     WHERE insurer_number = $1 AND insured_number > $2 AND (version <> $3 OR generation < $4)
     ORDER BY insured_number LIMIT $5";
const FIRST_PERSON: &str = "SELECT insured_number, history_number, revision, identity FROM person
     WHERE insurer_number = $1 ORDER BY insured_number, history_number, revision LIMIT 1";
const FIRST_RECORD: &str =
    "SELECT insured_number, kind, natural_key, revision, creator, valid_from, valid_to, recorded_at, deleted, payload
     FROM record WHERE insurer_number = $1 ORDER BY insured_number LIMIT 1";
const FIRST_STAFF: &str = "SELECT staff_id, name FROM staff ORDER BY staff_id LIMIT 1";
const IS_OWNER: &str = "SELECT has_table_privilege('record', 'UPDATE') AND has_table_privilege('data_key', 'DELETE')";
const NORMALIZER: &str = "SELECT normalizer FROM key_state WHERE id = 1";
const SET_NORMALIZER: &str = "UPDATE key_state SET normalizer = $1 WHERE id = 1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    PEOPLE,
    RECEIPTS,
    STAFF,
    ANSWERS,
    OLD_PEOPLE,
    OLD_RECORDS,
    OLD_CONSENTS,
    SUBMISSIONS,
    SET_PERSON,
    SET_RECORD,
    SET_CONSENT,
    SET_REASON,
    SET_PAYLOAD,
    SET_HANDED_IN,
    KEPT,
    SET_KEPT,
    NOTICES,
    SET_NOTICE,
    FIGURES,
    SET_FIGURES,
    OLD_HEADS,
    SET_HEAD,
    OLD_PIECES,
    SET_PIECE,
    OLD_LOOKS,
    OLD_GRANTS,
    SET_GRANT,
    OLD_DRAFTS,
    SET_DRAFT,
    SET_LOOK,
    OLD_SLIPS,
    SET_SLIP_ABOUT,
    SET_SLIP_FILES,
    SET_ORIGINAL,
    SET_RESULT,
    SET_NAME,
    SET_TOTP,
    OLD_PASSKEYS,
    SET_PASSKEY,
    SET_ANSWER,
    RETIRE,
    OLDER,
    STALE,
    FIRST_PERSON,
    FIRST_RECORD,
    FIRST_STAFF,
    NORMALIZER,
    SET_NORMALIZER,
];

/// Every column that holds sealed values of data keys. Values of the audit log (`audit.detail`) stay as they are: their
/// digest is signed, so their keys are kept.
pub const SEALED_COLUMNS: &[(&str, &str)] = &[
    ("person", "identity"),
    ("record", "payload"),
    ("consent_act", "detail"),
    ("submission", "reason"),
    ("submission", "payload"),
    ("submission", "original"),
    ("record_original", "content"),
    ("notice", "facts"),
    ("statistics", "content"),
    ("receipt", "original"),
    ("receipt", "result"),
    ("upload_file", "head"),
    ("upload_piece", "content"),
    ("disaster_look", "reason"),
    ("portal_grant", "about"),
    ("opinion_draft", "content"),
    ("slip", "about"),
    ("slip", "files"),
    ("staff", "name"),
    ("staff", "totp"),
    ("passkey", "content"),
    ("idempotency", "answer"),
];

/// What became of an owner's keys or tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cared {
    /// Values sealed anew, or people whose tokens were computed anew.
    pub done: u64,
    /// Old keys that nobody needs any more and that are gone.
    pub retired: u64,
    /// Old keys that are still kept: in use, or closed too short a time ago.
    pub kept: u64,
}

/// A sealed value, or a key, by its table and the generation of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// `person`, `record`, … or the purpose of a key, such as `data_key (seal)`.
    pub what: &'static str,
    /// 鍵の世代
    pub generation: u32,
}

/// Whether the keys of an owner open what they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCheck {
    /// 保険者番号, or `000000` for the platform itself.
    pub insurer: String,
    /// Values that were opened.
    pub opened: Vec<Checked>,
    /// What did not open; empty when all is well.
    pub failed: Vec<Checked>,
}

impl Store {
    /// Learns of keys that others changed, counts what was sealed, ends keys whose time has come. Called before a write when
    /// there is something to do, and at the end.
    pub async fn tend_keys(&self) -> Result<(), StoreError> {
        let Some(_one_at_a_time) = self.keys.try_tending() else { return Ok(()) };
        self.keys.look().await?;
        if self.keys.wants_counting()
            && let Err(error) = self.count_messages().await
        {
            tracing::warn!(%error, "messages under keys not counted, tried again soon");
            self.keys.count_later();
        }
        Ok(())
    }

    async fn count_messages(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_untended().await?;
        let counted = self.keys.count(&mut tx.raw).await?;
        if counted.renewed.is_empty() {
            // Like a sign of life: nothing that anybody did, so nothing for the log.
            finish(tx.raw).await?;
            counted.settle(&self.keys);
            return Ok(());
        }
        let whose = counted.renewed.iter().map(|(insurer, _)| insurer.as_str()).collect::<Vec<_>>().join(",");
        tx.commit(self.key_entry("keys.rotate", "store", None, &whose)?).await?;
        counted.settle(&self.keys);
        self.keys.use_new(&counted.renewed).await
    }

    /// Everybody who has keys: insurers and, as `000000`, the platform itself.
    pub async fn key_owners(&self) -> Result<Vec<String>, StoreError> {
        self.keys.owners().await
    }

    /// Starts a new generation of an owner's sealing key at once; for the platform also of the audit log's.
    pub async fn rotate_data_key(&self, owner: &str) -> Result<(), StoreError> {
        self.keys.keys_of(owner).await?;
        let purposes: &[&'static str] = if owner == NO_INSURER { &["seal", "audit"] } else { &["seal"] };
        self.renew(owner, purposes, "keys.rotate").await
    }

    /// Starts a new generation of an insurer's index key; the tokens follow with [`Store::reindex`].
    pub async fn rotate_index_key(&self, insurer: InsurerNumber) -> Result<(), StoreError> {
        self.keys.keys_of(insurer.as_str()).await?;
        self.renew(insurer.as_str(), &["index"], "keys.rotate_index").await
    }

    async fn renew(&self, owner: &str, purposes: &[&'static str], action: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for purpose in purposes {
            self.keys.new_generation(&mut tx.raw, owner, purpose).await?;
        }
        tx.commit(self.key_entry(action, "cli", Some(owner), "")?).await?;
        let renewed: Vec<_> = purposes.iter().map(|purpose| (owner.to_owned(), *purpose)).collect();
        self.keys.use_new(&renewed).await
    }

    /// Seals everything of an owner that lies under an older generation anew, block by block, and retires the older
    /// generations that nothing needs any more. `progress` is told how many values are done.
    pub async fn reseal(&self, owner: &str, progress: &mut (dyn FnMut(u64) + Send)) -> Result<Cared, StoreError> {
        self.require_rights().await?;
        self.keys.look().await?;
        let mut done = 0;
        if owner == NO_INSURER {
            self.reseal_staff(&mut done, progress).await?;
            self.reseal_passkeys(&mut done, progress).await?;
            self.reseal_slips(&mut done, progress).await?;
        } else {
            let insurer = InsurerNumber::parse(owner).map_err(|_| StoreError::Unreadable("insurer number"))?;
            self.reseal_people(insurer, &mut done, progress).await?;
            self.reseal_receipts(insurer, &mut done, progress).await?;
            self.reseal_originals(insurer, &mut done, progress).await?;
            self.reseal_figures(owner, &mut done, progress).await?;
            self.reseal_uploads(insurer, &mut done, progress).await?;
            self.reseal_looks(owner, &mut done, progress).await?;
            self.reseal_grants(owner, &mut done, progress).await?;
            self.reseal_drafts(owner, &mut done, progress).await?;
        }
        self.reseal_answers(owner, &mut done, progress).await?;
        self.reseal_notices(owner, &mut done, progress).await?;
        let (retired, kept) = self.retire(owner, "seal").await?;
        Ok(Cared { done, retired, kept })
    }

    /// The role of a server may neither change what was recorded nor remove a key (decision 0006.8): sealing anew and
    /// changing the master key are the owner's work.
    async fn require_rights(&self) -> Result<(), StoreError> {
        if self.is_owner().await? {
            return Ok(());
        }
        Err(StoreError::Unsafe(
            "封印し直す・主鍵を更新するには、データベースの所有者のロールで接続してください（--db postgres://所有者@…）"
                .to_owned(),
        ))
    }

    async fn is_owner(&self) -> Result<bool, StoreError> {
        if !self.engine.is_postgres() {
            return Ok(true);
        }
        self.engine.rows(IS_OWNER, args![]).await?.first().map_or(Ok(false), |row| row.boolean(0))
    }

    async fn reseal_people(
        &self,
        insurer: InsurerNumber,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = self.engine.rows(PEOPLE, args![insurer.as_str(), &after, BLOCK]).await?;
            // The last block reaches beyond the last number, so that nothing is left out.
            let is_last = rows.len() < BLOCK as usize;
            let to = match rows.last() {
                Some(row) if !is_last => row.text(0)?,
                _ => "~".to_owned(),
            };
            let mut reseal = Reseal::begin(self, insurer.as_str()).await?;
            reseal.people(insurer, &after, &to).await?;
            reseal.finish(self, done).await?;
            progress(*done);
            if is_last {
                return Ok(());
            }
            after = to;
        }
    }

    async fn reseal_receipts(
        &self,
        insurer: InsurerNumber,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            // Few at a time: originals are large.
            let rows = self.engine.rows(RECEIPTS, args![insurer.as_str(), after, 4]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.big(0)?;
            let mut reseal = Reseal::begin(self, insurer.as_str()).await?;
            for row in &rows {
                reseal.receipt(insurer, row).await?;
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_originals(
        &self,
        insurer: InsurerNumber,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = self.engine.rows(KEPT, args![insurer.as_str(), &after, 4]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.text(1)?;
            let mut reseal = Reseal::begin(self, insurer.as_str()).await?;
            for row in &rows {
                let (key, id, old) = (person_of(insurer, row)?, row.text(1)?, row.blob(6)?);
                let (kind, natural_key, media) = (row.text(2)?, row.text(3)?, row.text(5)?);
                let aad = submission::original_aad(&key, &id, &kind, &natural_key, row.big(4)?, &media);
                if let Some(new) = reseal.anew(&aad.iter().map(Vec::as_slice).collect::<Vec<_>>(), &old)? {
                    reseal.set(SET_KEPT, args![insurer.as_str(), &id, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_figures(
        &self,
        insurer: &str,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let rows = self.engine.rows(FIGURES, args![insurer, after, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.int(0)?;
            let mut reseal = Reseal::begin(self, insurer).await?;
            for row in &rows {
                let (day, made_at, old) = (row.int(0)?, row.big(1)?, row.blob(2)?);
                let (day_bytes, made_bytes) = (day.to_be_bytes(), made_at.to_be_bytes());
                if let Some(new) = reseal.anew(&report::aad(insurer, &day_bytes, &made_bytes), &old)? {
                    reseal.set(SET_FIGURES, args![insurer, day, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_uploads(
        &self,
        insurer: InsurerNumber,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let owner = insurer.as_str();
        let mut after = (String::new(), upload::HEAD);
        loop {
            let mut reseal = Reseal::begin(self, owner).await?;
            let newest = reseal.keys.sealing().to_be_bytes();
            let rows = self.engine.rows(OLD_HEADS, args![owner, &after.0, after.1, &newest, BLOCK]).await?;
            let Some(last) = rows.last() else { break };
            after = (last.text(0)?, last.int(1)?);
            for row in &rows {
                let (id, file, old) = (row.text(0)?, row.int(1)?, row.blob(2)?);
                let new = upload::place(insurer, &id, file, upload::HEAD, |aad| reseal.anew(aad, &old))?;
                if let Some(new) = new {
                    reseal.set(SET_HEAD, args![owner, &id, file, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
        let mut after = (String::new(), 0, upload::HEAD);
        loop {
            let mut reseal = Reseal::begin(self, owner).await?;
            let newest = reseal.keys.sealing().to_be_bytes();
            // Few at a time: a piece is a mebibyte.
            let rows = self.engine.rows(OLD_PIECES, args![owner, &after.0, after.1, after.2, &newest, 4]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.text(0)?, last.int(1)?, last.int(2)?);
            for row in &rows {
                let (id, file, piece, old) = (row.text(0)?, row.int(1)?, row.int(2)?, row.blob(3)?);
                if let Some(new) = upload::place(insurer, &id, file, piece, |aad| reseal.anew(aad, &old))? {
                    reseal.set(SET_PIECE, args![owner, &id, file, piece, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_looks(
        &self,
        insurer: &str,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let mut reseal = Reseal::begin(self, insurer).await?;
            let newest = reseal.keys.sealing().to_be_bytes();
            let rows = self.engine.rows(OLD_LOOKS, args![insurer, &after, &newest, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.text(0)?;
            for row in &rows {
                let (id, old) = (row.text(0)?, row.blob(1)?);
                if let Some(new) = disaster_look::with_aad(insurer, &id, |aad| reseal.anew(aad, &old))? {
                    reseal.set(SET_LOOK, args![insurer, &id, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_grants(
        &self,
        insurer: &str,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new());
        loop {
            let mut reseal = Reseal::begin(self, insurer).await?;
            let newest = reseal.keys.sealing().to_be_bytes();
            let rows = self.engine.rows(OLD_GRANTS, args![insurer, &after.0, &after.1, &newest, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.text(0)?, last.text(1)?);
            for row in &rows {
                let (insured, id, old) = (row.text(0)?, row.text(1)?, row.blob(2)?);
                if let Some(new) = portal::with_aad(insurer, &id, |aad| reseal.anew(aad, &old))? {
                    reseal.set(SET_GRANT, args![insurer, &insured, &id, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_drafts(
        &self,
        insurer: &str,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new());
        loop {
            let mut reseal = Reseal::begin(self, insurer).await?;
            let newest = reseal.keys.sealing().to_be_bytes();
            let rows = self.engine.rows(OLD_DRAFTS, args![insurer, &after.0, &after.1, &newest, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.text(0)?, last.text(1)?);
            for row in &rows {
                let (insured, office, old) = (row.text(0)?, row.text(1)?, row.blob(2)?);
                if let Some(new) = reseal.anew(&opinion_draft::aad(insurer, &insured, &office), &old)? {
                    reseal.set(SET_DRAFT, args![insurer, &insured, &office, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_notices(
        &self,
        owner: &str,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new());
        loop {
            let rows = self.engine.rows(NOTICES, args![owner, &after.0, &after.1, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.text(0)?, last.text(1)?);
            let mut reseal = Reseal::begin(self, owner).await?;
            for row in &rows {
                let (organization, id, old) = (row.text(0)?, row.text(1)?, row.blob(5)?);
                let kind = NoticeKind::parse(&row.text(2)?).ok_or(StoreError::Unreadable("notice"))?;
                let about = match (row.text_or_null(3)?, row.text_or_null(4)?) {
                    (Some(insurer), Some(insured)) => Some(PersonKey {
                        insurer: InsurerNumber::parse(&insurer).map_err(|_| StoreError::Unreadable("notice"))?,
                        insured: InsuredNumber::parse(&insured).map_err(|_| StoreError::Unreadable("notice"))?,
                    }),
                    _ => None,
                };
                let new = notice::with_aad(&organization, &id, kind, about, |aad| reseal.anew(aad, &old))?;
                if let Some(new) = new {
                    reseal.set(SET_NOTICE, args![&organization, &id, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_staff(&self, done: &mut u64, progress: &mut (dyn FnMut(u64) + Send)) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = self.engine.rows(STAFF, args![&after, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.text(0)?;
            let mut reseal = Reseal::begin(self, NO_INSURER).await?;
            for row in &rows {
                let (id, old) = (row.text(0)?, row.blob(1)?);
                if let Some(new) = reseal.anew(&[b"staff", id.as_bytes()], &old)? {
                    reseal.set(SET_NAME, args![&id, &new, &old]).await?;
                }
                let Some(old) = row.bytes_or_null(2)? else { continue };
                let purposes = crate::second_factor::purposes(&id);
                let of_mail = reseal.keys.open(&purposes[1], old).is_ok();
                if let Some(new) = reseal.anew(&purposes[usize::from(of_mail)], old)? {
                    reseal.set(SET_TOTP, args![&id, &new, old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_passkeys(&self, done: &mut u64, progress: &mut (dyn FnMut(u64) + Send)) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new(), String::new());
        loop {
            let mut reseal = Reseal::begin(self, NO_INSURER).await?;
            let newest = reseal.keys.sealing().to_be_bytes();
            let rows = self.engine.rows(OLD_PASSKEYS, args![&after.0, &after.1, &after.2, &newest, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.text(0)?, last.text(1)?, last.text(2)?);
            for row in &rows {
                let (organization, staff, id, old) = (row.text(0)?, row.text(1)?, row.text(2)?, row.blob(3)?);
                if let Some(new) = reseal.anew(&passkey::purpose(&staff, &id), &old)? {
                    reseal.set(SET_PASSKEY, args![&organization, &staff, &id, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_slips(&self, done: &mut u64, progress: &mut (dyn FnMut(u64) + Send)) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new());
        loop {
            let mut reseal = Reseal::begin(self, NO_INSURER).await?;
            let newest = reseal.keys.sealing().to_be_bytes();
            // Few at a time: files may be large.
            let rows = self.engine.rows(OLD_SLIPS, args![&after.0, &after.1, &newest, 4]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.text(0)?, last.text(1)?);
            for row in &rows {
                let (receiver, id, sender) = (row.text(0)?, row.text(1)?, row.text(2)?);
                for (column, part, sql) in [(3, slip::ABOUT, SET_SLIP_ABOUT), (4, slip::FILES_PART, SET_SLIP_FILES)] {
                    let Some(old) = row.blob_or_null(column)? else { continue };
                    if let Some(new) = reseal.anew(&slip::aad(&receiver, &sender, &id, part), &old)? {
                        reseal.set(sql, args![&receiver, &id, &new, &old]).await?;
                    }
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    async fn reseal_answers(
        &self,
        owner: &str,
        done: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let mut after = (String::new(), Vec::new());
        loop {
            let rows = self.engine.rows(ANSWERS, args![owner, &after.0, &after.1, BLOCK]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.text(0)?, last.blob(1)?);
            let mut reseal = Reseal::begin(self, owner).await?;
            for row in &rows {
                let (organization, key, old) = (row.text(0)?, row.blob(1)?, row.blob(2)?);
                let unreadable = |_| StoreError::Unreadable("idempotency");
                let insurer = row.text_or_null(3)?.map(|text| InsurerNumber::parse(&text)).transpose();
                let insured = row.text_or_null(4)?.map(|text| InsuredNumber::parse(&text)).transpose();
                let (insurer, insured) = (insurer.map_err(unreadable)?, insured.map_err(unreadable)?);
                let purpose = KeptAnswer { bytes: Vec::new(), insurer, insured }.purpose(&key);
                if let Some(new) = reseal.anew(&purpose.iter().map(Vec::as_slice).collect::<Vec<_>>(), &old)? {
                    reseal.set(SET_ANSWER, args![&organization, &key, &new, &old]).await?;
                }
            }
            reseal.finish(self, done).await?;
            progress(*done);
        }
    }

    /// Removes generations older than the one in use that were closed long enough ago, once nothing is under them. How many
    /// went and how many are still there. Writes that seal hold their key until they end ([`keyring::Keyring::hold`]), so that nothing
    /// comes under one that is going.
    async fn retire(&self, owner: &str, purpose: &'static str) -> Result<(u64, u64), StoreError> {
        let keys = self.keys.keys_of(owner).await?;
        let newest = match purpose {
            "index" => keys.index_generation(),
            _ => i32::try_from(keys.sealing()).unwrap_or(i32::MAX),
        };
        let older = self.older_keys(owner, purpose, newest).await?;
        if older == 0 || !self.is_owner().await? {
            return Ok((0, older));
        }
        let mut tx = self.begin().await?;
        // While somebody works on a package of the insurer no key of it goes.
        let lease = match InsurerNumber::parse(owner) {
            Ok(insurer) if owner != NO_INSURER => {
                let holder = hex(&random_bytes::<8>()?);
                let Some(lease) = tx.take_lease(insurer, &holder, self.keys.now()).await? else {
                    return Ok((0, older));
                };
                Some(lease)
            }
            _ => None,
        };
        // First remove, which waits for every write that seals with the key; then look whether anything is under it.
        let before = self.keys.limits().retire_before(self.keys.now());
        let retired = tx.raw.run(RETIRE, args![owner, purpose, newest, before]).await?;
        let is_needed = match purpose {
            "index" => !stale_tokens(&self.engine, owner, &keys, "", 1).await?.is_empty(),
            _ => self.has_older(owner, &keys).await?,
        };
        if is_needed || retired == 0 {
            return Ok((0, older));
        }
        tx.raw.run(keyring::CHANGED, args![]).await?;
        if let Some(lease) = &lease {
            tx.give_lease_back(lease).await?;
        }
        tx.commit(self.key_entry("keys.retire", "cli", Some(owner), &format!("{purpose} {retired}"))?).await?;
        self.keys.forget(owner);
        Ok((retired, older - retired))
    }

    async fn older_keys(&self, owner: &str, purpose: &str, newest: i32) -> Result<u64, StoreError> {
        let rows = self.engine.rows(OLDER, args![owner, purpose, newest]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.big(0))?.unsigned_abs())
    }

    /// Whether anything of an owner is still under an older generation than the one in use.
    async fn has_older(&self, owner: &str, keys: &InsurerKeys) -> Result<bool, StoreError> {
        Ok(!under(&self.engine, owner, 0, keys.sealing().saturating_sub(1)).await?.is_empty())
    }

    /// Whether search tokens are there that an older version of the normaliser made: they may not be found.
    pub async fn needs_reindex(&self) -> Result<bool, StoreError> {
        let rows = self.engine.rows(NORMALIZER, args![]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.int(0))? < i32::from(NORMALIZER_VERSION))
    }

    /// Computes the search tokens of an insurer's people anew where they are of another version of the normaliser or of an
    /// older key, and retires index keys that nothing needs any more.
    pub async fn reindex(
        &self,
        insurer: InsurerNumber,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Cared, StoreError> {
        self.keys.look().await?;
        let (mut after, mut done) = (String::new(), 0);
        loop {
            let keys = self.keys.keys_of(insurer.as_str()).await?;
            let rows = stale_tokens(&self.engine, insurer.as_str(), &keys, &after, BLOCK).await?;
            let Some(last) = rows.last() else { break };
            after = last.text(0)?;
            let mut tx = self.begin().await?;
            let mut changed = 0;
            for row in &rows {
                let insured =
                    InsuredNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("person_token"))?;
                tx.renew_tokens(PersonKey { insurer, insured }).await?;
                changed += 1;
            }
            tx.commit(self.key_entry("keys.reindex", "cli", Some(insurer.as_str()), &changed.to_string())?).await?;
            done += changed;
            progress(done);
        }
        let (retired, kept) = self.retire(insurer.as_str(), "index").await?;
        Ok(Cared { done, retired, kept })
    }

    /// Notes that every search token is of this version of the normaliser; to be called when each insurer was done.
    pub async fn reindexed(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.raw.run(SET_NORMALIZER, args![i32::from(NORMALIZER_VERSION)]).await?;
        tx.commit(self.key_entry("keys.reindexed", "cli", None, &NORMALIZER_VERSION.to_string())?).await
    }

    /// Wraps every data key with the successor of the master key, in one transaction; how many, none when that was done
    /// before. The file follows with [`MasterKey::settle`].
    pub async fn rewrap_keys(&self, master: &MasterKey) -> Result<Option<u64>, StoreError> {
        self.require_rights().await?;
        let mut tx = self.begin().await?;
        let Some(count) = self.keys.rewrap(&mut tx.raw, master).await? else { return Ok(None) };
        tx.commit(self.key_entry("keys.rotate_master", "cli", None, &count.to_string())?).await?;
        self.keys.use_successor(master)?;
        Ok(Some(count))
    }

    /// Id of the master key the database belongs to.
    pub fn master_key_id(&self) -> String {
        self.keys.master_id()
    }

    /// `detail` is a list of numbers, no text of anybody.
    fn key_entry(&self, action: &str, way: &str, owner: Option<&str>, detail: &str) -> Result<Entry, StoreError> {
        let entry = Entry::new(self.keys.now(), &hex(&random_bytes::<16>()?), way, action, Outcome::Done);
        Ok(Entry {
            insurer: owner.map(str::to_owned),
            organization: (way == "cli").then(|| "operator".to_owned()),
            detail: (!detail.is_empty()).then(|| serde_json::json!({ "keys": detail }).to_string()),
            ..entry
        })
    }
}

/// One value of each sealed column under generations from one to another, if there is one; whether by insurer.
pub(crate) const UNDER: &[(&str, &str, bool, &str)] = &[
    (
        "statistics",
        "content",
        true,
        "SELECT content FROM statistics WHERE insurer_number = $1 AND substr(content, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "record_original",
        "content",
        true,
        "SELECT content FROM record_original WHERE insurer_number = $1 AND substr(content, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "submission",
        "original",
        true,
        "SELECT original FROM submission WHERE insurer_number = $1 AND substr(original, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "notice",
        "facts",
        true,
        "SELECT facts FROM notice WHERE insurer_number = $1 AND substr(facts, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "notice",
        "facts",
        false,
        "SELECT facts FROM notice WHERE insurer_number IS NULL AND substr(facts, 2, 4) BETWEEN $1 AND $2 LIMIT 1",
    ),
    (
        "person",
        "identity",
        true,
        "SELECT identity FROM person WHERE insurer_number = $1 AND substr(identity, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "record",
        "payload",
        true,
        "SELECT payload FROM record WHERE insurer_number = $1 AND substr(payload, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "consent_act",
        "detail",
        true,
        "SELECT detail FROM consent_act WHERE insurer_number = $1 AND substr(detail, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "submission",
        "reason",
        true,
        "SELECT reason FROM submission WHERE insurer_number = $1 AND substr(reason, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "submission",
        "payload",
        true,
        "SELECT payload FROM submission WHERE insurer_number = $1 AND substr(payload, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "receipt",
        "original",
        true,
        "SELECT original FROM receipt WHERE insurer_number = $1 AND substr(original, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "receipt",
        "result",
        true,
        "SELECT result FROM receipt WHERE insurer_number = $1 AND substr(result, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "upload_file",
        "head",
        true,
        "SELECT head FROM upload_file WHERE insurer_number = $1 AND substr(head, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "upload_piece",
        "content",
        true,
        "SELECT content FROM upload_piece WHERE insurer_number = $1 AND substr(content, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "disaster_look",
        "reason",
        true,
        "SELECT reason FROM disaster_look WHERE insurer_number = $1 AND substr(reason, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "portal_grant",
        "about",
        true,
        "SELECT about FROM portal_grant WHERE insurer_number = $1 AND substr(about, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "opinion_draft",
        "content",
        true,
        "SELECT content FROM opinion_draft WHERE insurer_number = $1 AND substr(content, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    ("passkey", "content", false, "SELECT content FROM passkey WHERE substr(content, 2, 4) BETWEEN $1 AND $2 LIMIT 1"),
    ("slip", "about", false, "SELECT about FROM slip WHERE substr(about, 2, 4) BETWEEN $1 AND $2 LIMIT 1"),
    ("slip", "files", false, "SELECT files FROM slip WHERE substr(files, 2, 4) BETWEEN $1 AND $2 LIMIT 1"),
    ("staff", "totp", false, "SELECT totp FROM staff WHERE substr(totp, 2, 4) BETWEEN $1 AND $2 LIMIT 1"),
    ("staff", "name", false, "SELECT name FROM staff WHERE substr(name, 2, 4) BETWEEN $1 AND $2 LIMIT 1"),
    (
        "idempotency",
        "answer",
        true,
        "SELECT answer FROM idempotency WHERE insurer_number = $1 AND substr(answer, 2, 4) BETWEEN $2 AND $3 LIMIT 1",
    ),
    (
        "idempotency",
        "answer",
        false,
        "SELECT answer FROM idempotency WHERE insurer_number IS NULL AND substr(answer, 2, 4) BETWEEN $1 AND $2 LIMIT 1",
    ),
];

/// What of an owner lies under these generations: one of each sealed column.
async fn under(engine: &Engine, owner: &str, from: u32, to: u32) -> Result<Vec<Checked>, StoreError> {
    let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
    let mut found = Vec::new();
    for (what, _, by_insurer, sql) in UNDER {
        let rows = match (*by_insurer, owner == NO_INSURER) {
            (true, false) => engine.rows(sql, args![owner, &from, &to]).await?,
            (false, true) => engine.rows(sql, args![&from, &to]).await?,
            _ => continue,
        };
        for row in rows {
            found.push(Checked { what, generation: generation_of(&row.blob(0)?).unwrap_or(0) });
        }
    }
    Ok(found)
}

/// People of an insurer with tokens of another version of the normaliser or of an older key.
async fn stale_tokens(
    engine: &Engine,
    insurer: &str,
    keys: &InsurerKeys,
    after: &str,
    limit: i32,
) -> Result<Vec<Row>, StoreError> {
    let version = i32::from(NORMALIZER_VERSION);
    engine.rows(STALE, args![insurer, after, version, keys.index_generation(), limit]).await
}

/// A transaction in which values of one owner are sealed anew.
struct Reseal {
    tx: Tx,
    keys: Arc<InsurerKeys>,
    owner: String,
    done: u64,
}

impl Reseal {
    async fn begin(store: &Store, owner: &str) -> Result<Self, StoreError> {
        let mut tx = store.begin().await?;
        let keys = tx.keys_of(owner).await?;
        Ok(Self { tx, keys, owner: owner.to_owned(), done: 0 })
    }

    /// The value under the newest generation; none when it is there already. One that does not open stays as it is, and its
    /// key with it.
    fn anew(&self, aad: &[&[u8]], old: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if generation_of(old).is_none_or(|generation| generation >= self.keys.sealing()) {
            return Ok(None);
        }
        match self.keys.open(aad, old) {
            Ok(plain) => Ok(Some(self.keys.seal(aad, &Zeroizing::new(plain)))),
            Err(StoreError::Unreadable(_)) => {
                tracing::error!(owner = self.owner, "a sealed value does not open and keeps its old key");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// An identity; one from before there were versions gets its 履歴番号 on the way.
    fn person_anew(
        &self,
        key: &PersonKey,
        history: i64,
        revision: i64,
        old: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (history, revision) = (history.to_be_bytes(), revision.to_be_bytes());
        let aad = person::identity_aad(key, &history, &revision);
        if self.keys.open(&aad, old).is_err()
            && let Ok(plain) = self.keys.open(&aad[..4], old)
        {
            return Ok(Some(self.keys.seal(&aad, &Zeroizing::new(plain))));
        }
        self.anew(&aad, old)
    }

    /// Replaces the old value unless somebody else did.
    async fn set(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<(), StoreError> {
        self.done += self.tx.raw.run(sql, args).await?;
        Ok(())
    }

    async fn finish(self, store: &Store, done: &mut u64) -> Result<(), StoreError> {
        if self.done == 0 {
            return finish(self.tx.raw).await;
        }
        let entry = store.key_entry("keys.reseal", "cli", Some(&self.owner), &self.done.to_string())?;
        self.tx.commit(entry).await?;
        *done += self.done;
        Ok(())
    }

    /// Everything of the people with numbers above `after` up to `to`.
    async fn people(&mut self, insurer: InsurerNumber, after: &str, to: &str) -> Result<(), StoreError> {
        let (number, newest) = (insurer.to_string(), self.keys.sealing().to_be_bytes());
        let range = args![&number, after, to, &newest];
        for row in self.tx.raw.rows(OLD_PEOPLE, range).await? {
            let (key, history, revision, old) = (person_of(insurer, &row)?, row.big(1)?, row.big(2)?, row.blob(3)?);
            if let Some(new) = self.person_anew(&key, history, revision, &old)? {
                self.set(SET_PERSON, args![&number, key.insured.as_str(), history, revision, &new, &old]).await?;
            }
        }
        for row in self.tx.raw.rows(OLD_RECORDS, range).await? {
            let (key, old) = (person_of(insurer, &row)?, row.blob(9)?);
            if let Some(new) = self.anew(&record_aad(&key, &row)?.slices(), &old)? {
                let (kind, natural_key, revision) = (row.text(1)?, row.text(2)?, row.big(3)?);
                let row = args![&number, key.insured.as_str(), &kind, &natural_key, revision, &new, &old];
                self.set(SET_RECORD, row).await?;
            }
        }
        for row in self.tx.raw.rows(OLD_CONSENTS, range).await? {
            let (key, act, old) = (person_of(insurer, &row)?, row.text(1)?, row.blob(2)?);
            if let Some(new) = self.anew(&consent::consent_aad(&key, &act), &old)? {
                self.set(SET_CONSENT, args![&number, key.insured.as_str(), &act, &new, &old]).await?;
            }
        }
        for row in self.tx.raw.rows(SUBMISSIONS, args![&number, after, to]).await? {
            let (key, id) = (person_of(insurer, &row)?, row.text(1)?);
            let (kind, sender) = (row.text(2)?, row.text(3)?);
            let media = row.text_or_null(6)?.unwrap_or_default();
            let parts =
                [(4, "reason", SET_REASON), (5, kind.as_str(), SET_PAYLOAD), (7, media.as_str(), SET_HANDED_IN)];
            for (column, what, sql) in parts {
                let Some(old) = row.blob_or_null(column)? else { continue };
                if let Some(new) = self.anew(&submission::aad(&key, &id, what, &sender), &old)? {
                    self.set(sql, args![&number, &id, &new, &old]).await?;
                }
            }
        }
        Ok(())
    }

    async fn receipt(&mut self, insurer: InsurerNumber, row: &Row) -> Result<(), StoreError> {
        let (number, state) = (row.big(0)?, ReceiptState::parse(&row.text(1)?)?);
        let parts = [(2, receipt::ORIGINAL_PART, SET_ORIGINAL), (3, receipt::result_part(state), SET_RESULT)];
        for (column, part, sql) in parts {
            let Some(old) = row.blob_or_null(column)? else { continue };
            let mut new = receipt::with_aad(insurer, number, part, |aad| self.anew(aad, &old))?;
            if new.is_none() && column == 3 {
                new = receipt::with_aad(insurer, number, receipt::RESULT_BEFORE, |aad| self.anew(aad, &old))?;
            }
            if let Some(new) = new {
                self.set(sql, args![insurer.as_str(), number, &new, &old]).await?;
            }
        }
        Ok(())
    }
}

fn person_of(insurer: InsurerNumber, row: &Row) -> Result<PersonKey, StoreError> {
    let insured = InsuredNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("insured number"))?;
    Ok(PersonKey { insurer, insured })
}

/// Of a row of [`OLD_RECORDS`] or [`FIRST_RECORD`].
fn record_aad(person: &PersonKey, row: &Row) -> Result<RecordAad, StoreError> {
    let kind = Kind::parse(&row.text(1)?).ok_or(StoreError::Unreadable("record"))?;
    let (revision, valid) = ((row.big(3)?, row.big(7)?), (row.int(5)?, row.int(6)?));
    Ok(RecordAad::new(person, kind, &row.text(2)?, revision, &row.text(4)?, valid, row.boolean(8)?))
}

/// Opens, for every insurer of a database, its keys, the identity of a person and a record, and for the platform the name of
/// an account: what a backup needs to be worth anything. Nothing is written, and what was opened is thrown away.
pub async fn verify_keys(address: &str, master: &MasterKey) -> Result<Vec<KeyCheck>, StoreError> {
    let engine = Engine::open(address).await?;
    let checks = check_all(&engine, master).await;
    engine.close().await;
    checks
}

async fn check_all(engine: &Engine, master: &MasterKey) -> Result<Vec<KeyCheck>, StoreError> {
    let mut checks = Vec::new();
    for owner in keyring::everybody_in(engine).await? {
        checks.push(check_one(engine, master, owner).await?);
    }
    Ok(checks)
}

async fn check_one(engine: &Engine, master: &MasterKey, owner: String) -> Result<KeyCheck, StoreError> {
    let keys = keyring::keys_in(engine, master, &owner).await?;
    let mut check = KeyCheck { insurer: owner, opened: Vec::new(), failed: Vec::new() };
    let owner = check.insurer.clone();
    check.failed.extend(keys.broken.iter().map(|(purpose, generation)| {
        let what = match *purpose {
            "seal" => "data_key (seal)",
            "index" => "data_key (index)",
            "digest" => "data_key (digest)",
            "audit" => "data_key (audit)",
            _ => "data_key (door)",
        };
        Checked { what, generation: *generation }
    }));
    // What is under a key that is not there: older ones go when nothing needs them, so this finds those that went otherwise.
    let (mut from, mut lost) = (1, Vec::new());
    for there in &keys.generations {
        lost.extend((from < *there).then_some((from, *there - 1)));
        from = *there + 1;
    }
    if !keys.is_sealing {
        lost.push((from, u32::MAX));
    }
    for (from, to) in lost {
        check.failed.extend(under(engine, &owner, from, to).await?);
    }
    let Some(keys) = keys.seal else { return Ok(check) };
    if owner == NO_INSURER {
        for row in engine.rows(FIRST_STAFF, args![]).await? {
            check.note("staff", &keys, &[b"staff", row.text(0)?.as_bytes()], &row.blob(1)?);
        }
        return Ok(check);
    }
    let insurer = InsurerNumber::parse(&owner).map_err(|_| StoreError::Unreadable("data_key"))?;
    for row in engine.rows(FIRST_PERSON, args![&owner]).await? {
        let (key, history, revision) =
            (person_of(insurer, &row)?, row.big(1)?.to_be_bytes(), row.big(2)?.to_be_bytes());
        let (aad, sealed) = (person::identity_aad(&key, &history, &revision), row.blob(3)?);
        let is_before = keys.open(&aad, &sealed).is_err() && keys.open(&aad[..4], &sealed).is_ok();
        check.note("person", &keys, if is_before { &aad[..4] } else { &aad }, &sealed);
    }
    for row in engine.rows(FIRST_RECORD, args![&owner]).await? {
        let key = person_of(insurer, &row)?;
        check.note("record", &keys, &record_aad(&key, &row)?.slices(), &row.blob(9)?);
    }
    Ok(check)
}

impl KeyCheck {
    fn note(&mut self, what: &'static str, keys: &SealKeys, aad: &[&[u8]], sealed: &[u8]) {
        let checked = Checked { what, generation: generation_of(sealed).unwrap_or(0) };
        match keys.open(aad, sealed) {
            Ok(plain) => {
                drop(Zeroizing::new(plain));
                self.opened.push(checked);
            }
            // Under a key that is not there: told already.
            Err(_) if self.failed.contains(&checked) => {}
            Err(_) => self.failed.push(checked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations;

    /// Bytes that are no sealed values: digests, MACs, tokens, wrapped keys, and what the audit log keeps as it is.
    const NOT_SEALED: &[(&str, &str)] = &[
        ("insurer", "mac"),
        ("office", "mac"),
        ("certificate", "mac"),
        ("certificate_request", "mac"),
        ("revocation_list", "der"),
        ("staff", "mac"),
        ("recovery_code", "digest"),
        ("mail_code", "digest"),
        ("passkey_challenge", "nonce"),
        ("portal_grant", "code"),
        ("portal_grant", "subject"),
        ("portal_grant", "mac"),
        ("portal_session", "token"),
        ("portal_session", "subject"),
        ("portal_session", "birth_and_sex"),
        ("portal_session", "name_and_birth"),
        ("portal_session", "mac"),
        ("session", "token_digest"),
        ("session", "refresh_digest"),
        ("session", "mac"),
        ("staff_switch", "mac"),
        ("receipt", "digest"),
        ("person", "digest"),
        ("person", "mac"),
        ("person_token", "kanji_sex"),
        ("person_token", "kanji_birth"),
        ("person_token", "kana_sex"),
        ("person_token", "kana_birth"),
        ("record", "digest"),
        ("consent_act", "mac"),
        ("assignment", "mac"),
        ("opinion_request", "mac"),
        ("submission", "digest"),
        ("submission", "mac"),
        ("disaster_mode", "mac"),
        ("mismatch", "subject"),
        ("idempotency", "key_digest"),
        ("idempotency", "request_digest"),
        ("data_key", "wrapped"),
        ("audit", "certificate"),
        ("audit", "detail"),
        ("audit_segment", "leaves"),
        ("audit_segment", "root"),
        ("audit_segment", "previous"),
        ("audit_segment", "salt"),
        ("audit_segment", "header"),
        ("audit_anchor", "previous"),
        ("audit_anchor", "heads"),
        ("audit_anchor", "signature"),
        ("audit_by_month", "certificate"),
        ("audit_by_month", "detail"),
        ("audit_month", "salt"),
        ("audit_month", "people"),
        ("audit_purge", "runs"),
        ("audit_purge", "signature"),
        ("restored", "gap"),
        ("restored", "accepted"),
        ("receipt_counter", "mac"),
        ("connector", "mac"),
        ("announcement", "mac"),
        ("disaster_look", "mac"),
        ("person_link", "mac"),
        ("union_member", "mac"),
        ("slip", "digest"),
        ("slip", "mac"),
        ("slip_document", "token"),
    ];

    #[test]
    fn every_sealed_column_is_looked_through_before_a_key_goes() {
        for (table, column) in SEALED_COLUMNS {
            assert!(UNDER.iter().any(|(t, c, ..)| (t, c) == (table, column)), "{table}.{column} is missing in UNDER");
        }
        for (table, column, _, sql) in UNDER {
            assert!(SEALED_COLUMNS.contains(&(table, column)), "{table}.{column} is missing in SEALED_COLUMNS");
            assert!(sql.starts_with(&format!("SELECT {column} FROM {table} WHERE ")), "{sql}");
            assert!(sql.contains(&format!("substr({column}, 2, 4) BETWEEN")), "{sql}");
        }
    }

    #[tokio::test]
    async fn no_sealed_column_is_forgotten_when_keys_change() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(&format!("sqlite:{}", folder.path().join("kiban.db").display())).await.unwrap();
        migrations::migrate(&engine, None).await.unwrap();
        let columns = "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
             WHERE m.type = 'table' AND p.type = 'BLOB' ORDER BY m.name, p.name";
        for row in engine.rows(columns, args![]).await.unwrap() {
            let (table, column) = (row.text(0).unwrap(), row.text(1).unwrap());
            let is_known = |list: &[(&str, &str)]| list.contains(&(table.as_str(), column.as_str()));
            assert!(
                is_known(SEALED_COLUMNS) != is_known(NOT_SEALED),
                "{table}.{column}: if it is sealed under a data key, let key_care.rs seal it anew and name it in SEALED_COLUMNS; else in NOT_SEALED"
            );
        }
        engine.close().await;
    }
}
