//! Remember and find. All SQL of the platform lives in this crate; above it nobody sees a row or a table.
//!
//! Reads are methods of [`Store`]; writes are methods of [`Tx`], and [`Tx::commit_all`] with its audit entries is the only
//! commit there is, so nothing is written unaudited. Values leave sealed storage only here, opened with the insurer's
//! key; rows that open a door carry a MAC under a key outside the database, and a row whose MAC fails opens nothing.

mod assignment;
mod audit;
mod backup;
mod block;
mod board;
mod bulk;
mod certificate_request;
mod claim;
mod clock;
mod closing;
mod connector;
mod consent;
mod counter;
mod disaster;
mod disaster_look;
mod door;
#[cfg(test)]
mod durable;
mod engine;
mod error;
pub mod escrow;
mod facts;
mod gather;
mod history;
mod insurer;
mod key_care;
mod keyring;
#[cfg(test)]
mod keys_of_tables;
mod lease;
mod many;
mod master;
mod measures;
mod migrations;
mod notice;
mod numbers;
mod office;
mod open_row;
mod opinion_draft;
mod passkey;
mod person;
mod plan;
mod portal;
mod readers;
mod readiness;
mod receipt;
mod record;
mod relocate;
mod report;
mod restored;
mod retention;
mod review;
mod roles;
mod seal;
mod second_factor;
mod session;
mod slip;
mod standing;
#[cfg(test)]
mod statements;
mod submission;
mod switch;
mod upgrade;
mod upload;
#[cfg(test)]
mod written;

pub use assignment::OpinionRequest;
pub use audit::*;
pub use backup::{Copied, copy_database, file_digest, put_back};
pub use block::{Block, BlockPerson, LookCount};
pub use board::SelfCheck;
pub use bulk::{Present, PresentAct, PresentRecords, SealedBlock, Sealer};
pub use certificate_request::CertificateRequest;
pub use claim::{RowClaim, RowKey};
pub use clock::ClockDrift;
pub use closing::{CLOSINGS, Closing};
pub use connector::Connector;
pub use consent::StoredConsent;
pub use disaster_look::{DisasterCounted, DisasterLook};
pub use error::StoreError;
pub use facts::{Asker, PersonFacts, UnopenedPerson};
pub use history::Superseded;
pub use key_care::{Cared, Checked, KeyCheck, SEALED_COLUMNS, verify_keys};
pub use keyring::{InsurerKeys, KeyLimits, Keyring};
pub use lease::{LEASE_SECONDS, Lease};
pub use master::MasterKey;
pub use measures::Measures;
pub use notice::{NewNotice, Notice, WhichNotices};
pub use numbers::{StoredLink, StoredMember};
pub use office::{Account, CertificateRow, LockState};
pub use open_row::{Again, FileKey, OpenRow, StoredOpenRow};
pub use opinion_draft::OpinionDraft;
pub use passkey::{Passkey, PasskeyPurpose};
pub use person::{NewPerson, PersonHeader, SearchToken, SearchTokens, TokenChange};
pub use plan::PresentPlan;
pub use portal::{PortalGrant, PortalRole, PortalSession};
pub use readiness::AppliedPackage;
pub use receipt::{NewReceipt, Receipt, ReceiptCounts, ReceiptProgress, ReceiptState};
pub use record::{NewRecord, RecordHeader, StoredRecord};
pub use relocate::{MovedTable, move_database};
pub use restored::{Acceptance, Accepted, Closed, Lost, LostSegments, Operator, Restored, Unaccepted, unaccepted};
pub use retention::DueOriginal;
pub use review::{RegistrationReview, ReviewCause};
pub use roles::{APP_ROLE, Migrated, PURGE_ROLE, migrate_database};
pub use second_factor::SecondFactor;
pub use session::{Idempotent, KeptAnswer, Session, SessionWay, Tokens};
pub use slip::{NewSlip, OtherSlip, Slip, SlipDocument, SlipSide};
pub use standing::{Changed, StandingNumber};
pub use submission::{KeptOriginal, NewSubmission, Original, Submission};
pub use switch::{Hides, StaffSwitch};
pub use upload::{SealedPiece, TRIAL, UploadFile};

use engine::{Committed, Engine, RawTx};
use kiban_domain::InsurerNumber;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The pseudo-insurer of everything that concerns no one person.
pub const NO_INSURER: &str = "000000";

/// The store of one process.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    keys: Keyring,
    audit: AuditLog,
    gatherer: Arc<gather::Gatherer>,
}

/// A running write. Dropped without [`Tx::commit`] it leaves nothing behind.
pub struct Tx {
    raw: RawTx,
    keys: Keyring,
    /// Keys this transaction made itself; nobody else may use them before it is committed.
    fresh_keys: HashMap<String, Arc<InsurerKeys>>,
    /// Keys whose generation nobody removes until this transaction ends.
    held_keys: HashMap<String, Arc<InsurerKeys>>,
    /// Rows of the standing map it changes; they get their number just before the commit.
    standing: BTreeSet<(standing::Standing, String)>,
    /// Doors it closes; they are in the journal before it is committed.
    closings: Vec<Closing>,
    audit: AuditLog,
}

impl Store {
    /// Opens and migrates a database (`sqlite:PATH` or `postgres://…`) and starts the audit log of this process.
    pub async fn open(address: &str, master: MasterKey, audit: AuditSettings) -> Result<Self, StoreError> {
        Self::open_limited(address, master, audit, KeyLimits::default()).await
    }

    /// The same with other limits to the life of keys.
    pub async fn open_limited(
        address: &str,
        master: MasterKey,
        audit: AuditSettings,
        limits: KeyLimits,
    ) -> Result<Self, StoreError> {
        let engine = Engine::open(address).await?;
        migrations::migrate(&engine, Some(&master)).await?;
        restored::refuse_unaccepted(&engine, &audit.signing_key.public_key()).await?;
        let keys = Keyring::open(&engine, master, audit.clock.clone(), limits).await?;
        // A new key is written in its own transaction, which cannot begin inside another; an insurer's keys are made by its
        // first package (`keys_of` before `begin`), these at once.
        keys.keys_of(NO_INSURER).await?;
        Self::start(engine, keys, audit).await
    }

    /// Starts the audit log over an opened database.
    async fn start(engine: Engine, keys: Keyring, audit: AuditSettings) -> Result<Self, StoreError> {
        let audit = AuditLog::start(engine.clone(), keys.clone(), audit).await?;
        let gatherer = gather::Gatherer::new(engine.clone());
        Ok(Self { engine, keys, audit, gatherer })
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// The keys of an insurer, to seal what leaves for a token or to compute a keyed digest.
    pub async fn keys_of(&self, insurer: InsurerNumber) -> Result<Arc<InsurerKeys>, StoreError> {
        self.keys.keys_of(insurer.as_str()).await
    }

    /// Keys for what concerns no insurer.
    pub async fn platform_keys(&self) -> Result<Arc<InsurerKeys>, StoreError> {
        self.keys.keys_of(NO_INSURER).await
    }

    /// Begins a write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        if self.keys.wants_tending() {
            self.tend_keys().await?;
        }
        self.begin_untended().await
    }

    async fn begin_untended(&self) -> Result<Tx, StoreError> {
        let raw = self.engine.begin().await?;
        Ok(Tx {
            raw,
            keys: self.keys.clone(),
            fresh_keys: HashMap::new(),
            held_keys: HashMap::new(),
            standing: BTreeSet::new(),
            closings: Vec::new(),
            audit: self.audit.clone(),
        })
    }

    /// `sqlite` or `postgresql`.
    pub fn engine_name(&self) -> &'static str {
        if self.engine.is_postgres() { "postgresql" } else { "sqlite" }
    }

    /// Closes the segment, signs an anchor, closes every connection.
    pub async fn close(self) -> Result<(), StoreError> {
        self.keys.count_soon();
        if let Err(error) = self.tend_keys().await {
            tracing::warn!(%error, "what was sealed last is not counted");
        }
        self.audit.shutdown().await?;
        self.engine.close().await;
        Ok(())
    }
}

/// Verifies a whole audit log without serving: every entry, segment and anchor, against the anchors outside the database.
pub async fn verify_log(
    address: &str,
    key: &PublicKey,
    anchor_dir: &std::path::Path,
) -> Result<VerifyReport, StoreError> {
    let engine = Engine::open(address).await?;
    let report = verify(&engine, None, key, anchor_dir).await;
    engine.close().await;
    report
}

impl Tx {
    /// The keys of an insurer, live until the transaction ends. The first write about an insurer makes them in its own
    /// transaction: a second one would wait for this one for ever on SQLite, and rolled back keys must never be used by
    /// anybody.
    async fn keys_of(&mut self, insurer: &str) -> Result<Arc<InsurerKeys>, StoreError> {
        if let Some(keys) = self.fresh_keys.get(insurer).or_else(|| self.held_keys.get(insurer)) {
            return Ok(Arc::clone(keys));
        }
        // Twice: this process may not have heard yet that the key is closed.
        for _ in 0..2 {
            let (keys, made) = self.keys.keys_within(&mut self.raw, insurer).await?;
            if made {
                self.fresh_keys.insert(insurer.to_owned(), Arc::clone(&keys));
                return Ok(keys);
            }
            if self.keys.hold(&mut self.raw, &keys).await? {
                self.held_keys.insert(insurer.to_owned(), Arc::clone(&keys));
                return Ok(keys);
            }
            self.keys.forget(insurer);
        }
        Err(StoreError::Conflict("the key of the insurer changes at this moment"))
    }

    /// Notes that a door is closed with this write.
    pub(crate) fn note_closing(&mut self, closing: Closing) {
        self.closings.push(closing);
    }

    /// Puts what is closed into the journal outside the database; a journal that cannot be written stops the write.
    async fn keep_closings(&mut self, entry: Option<Position>) -> Result<(), StoreError> {
        let closings = std::mem::take(&mut self.closings);
        let Some(entry) = entry.filter(|_| !closings.is_empty()) else { return Ok(()) };
        closing::keep(self.audit.folder(), self.keys.clone(), closing::Kept { entry, closings }).await
    }

    /// Writes the entry into the same transaction and commits.
    pub async fn commit(self, entry: Entry) -> Result<(), StoreError> {
        self.commit_all(vec![entry]).await
    }

    /// The same with several entries, when a write is about several people: each finds their own. The only commit there is;
    /// without an entry nothing is committed.
    pub async fn commit_all(mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Err(StoreError::Internal("a write without an audit entry".to_owned()));
        }
        let mut slots = Vec::with_capacity(entries.len());
        for entry in entries {
            slots.push(self.audit.stage(&mut self.raw, entry).await?);
        }
        standing::number_changes(&mut self.raw, &self.standing).await?;
        self.keep_closings(slots.first().and_then(Slot::position)).await?;
        match self.raw.commit().await {
            Committed::Done => {
                slots.into_iter().for_each(Slot::committed);
                for (insurer, keys) in self.fresh_keys.drain() {
                    self.keys.adopt(&insurer, keys);
                }
                Ok(())
            }
            Committed::Unknown => {
                slots.into_iter().for_each(Slot::unknown);
                Err(StoreError::Unknown)
            }
        }
    }
}
