//! A package arrives: its files are cut into sealed pieces and kept as they come, so that memory does not depend on their
//! size, and the receipt is given in the same transaction as the last piece. The same bytes again get the same receipt.

use crate::intake::IntakeResult;
use crate::intake_work::Work;
use crate::{Context, Error, Platform, random, random_id};
use kiban_domain::{InsurerNumber, Organization, Timestamp};
use kiban_store::{Entry, NewReceipt, Outcome, Receipt, ReceiptState, SealedPiece, TRIAL, Tx, UploadFile};
use ring::digest;
use std::time::Instant;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;
/// Bytes kept in memory until they are written together: nobody waits for an open transaction while they trickle in.
const TOGETHER: usize = 8 * PIECE;
/// An upload of which nothing has come for this many hours is forgotten.
const HOURS_UNTIL_FORGOTTEN: i64 = 24;

/// A package on its way in.
pub struct Upload {
    platform: Platform,
    insurer: InsurerNumber,
    sender: Organization,
    entry: Entry,
    now: Timestamp,
    /// When it began, for how long it has taken.
    begun: Instant,
    id: Option<String>,
    files: Vec<UploadFile>,
    /// SHA-256 of the file that is arriving.
    hash: digest::Context,
    /// Bytes of it that do not fill a piece yet.
    open: Vec<u8>,
    pieces: Vec<SealedPiece>,
    /// Bytes in them.
    held: usize,
    /// Pieces were written already.
    spilled: bool,
    /// The whole was written already, to be tried first.
    is_held: bool,
}

/// A package that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// 受付番号
    pub receipt: String,
    /// Of which insurer.
    pub insurer: InsurerNumber,
    /// The same bytes had been received before.
    pub repeated: bool,
    /// Small enough to be worked on while the sender waits.
    pub is_small: bool,
    pub(crate) entry: Entry,
}

impl Upload {
    pub(crate) fn new(
        platform: &Platform,
        insurer: InsurerNumber,
        sender: Organization,
        entry: Entry,
        context: &Context,
    ) -> Self {
        Self {
            platform: platform.clone(),
            insurer,
            sender,
            entry: Entry { insurer: Some(insurer.to_string()), ..entry },
            now: context.now,
            begun: Instant::now(),
            id: None,
            files: Vec::new(),
            hash: digest::Context::new(&digest::SHA256),
            open: Vec::new(),
            pieces: Vec::new(),
            held: 0,
            spilled: false,
            is_held: false,
        }
    }

    /// One that was held, to be given its receipt now.
    pub(crate) fn held(self, id: &str, files: Vec<UploadFile>) -> Self {
        Self { id: Some(id.to_owned()), files, spilled: true, is_held: true, ..self }
    }

    /// A file begins.
    pub async fn file(&mut self, name: &str) -> Result<(), Error> {
        self.end_file().await?;
        self.files.push(UploadFile { name: name.to_owned(), bytes: 0, sha256: String::new(), pieces: 0 });
        Ok(())
    }

    /// More bytes of the file that has begun.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        if let Some(file) = self.files.last_mut() {
            file.bytes += bytes.len() as u64;
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.open.len()));
            self.open.extend_from_slice(now);
            bytes = later;
            if self.open.len() == PIECE {
                self.end_piece().await?;
            }
        }
        Ok(())
    }

    /// It will not be ended: what came is forgotten.
    pub async fn forget(self) -> Result<(), Error> {
        let Some(id) = self.id.filter(|_| self.spilled) else { return Ok(()) };
        let mut tx = self.platform.store().begin().await?;
        tx.drop_upload(self.insurer, &id).await?;
        Ok(tx.commit(Entry { action: "import.cut".to_owned(), outcome: Outcome::Failed, ..self.entry }).await?)
    }

    /// Everything came and no receipt is given yet: the number its pieces lie under, sealed like those of every package, and its files.
    /// Until more is said it is an upload that was cut.
    pub(crate) async fn whole(&mut self) -> Result<(InsurerNumber, String, Vec<UploadFile>), Error> {
        self.end_file().await?;
        let id = self.id()?;
        self.spill(&id).await?;
        Ok((self.insurer, id, self.files.clone()))
    }

    /// Keeps what is whole with what its trial found, in the place of one of the same insurer that was held before. After a day of
    /// nothing it is forgotten like an upload that was cut.
    pub(crate) async fn hold(self, id: &str, trial: &[u8]) -> Result<(), Error> {
        let store = self.platform.store();
        let trial = store.seal_piece(self.insurer, id, (TRIAL, 0), trial).await?;
        let mut tx = store.begin().await?;
        self.note_arrival(&mut tx, id).await?;
        tx.drop_held_uploads(self.insurer, id, self.now).await?;
        tx.put_pieces(self.insurer, id, &[trial]).await?;
        tx.put_upload_files(self.insurer, id, &self.files).await?;
        let entry = Entry { action: "import.held".to_owned(), natural_key: Some(id.to_owned()), ..self.entry };
        Ok(tx.commit(entry).await?)
    }

    /// Gives the receipt.
    pub async fn finish(mut self) -> Result<Received, Error> {
        if !self.is_held {
            self.end_file().await?;
        }
        let id = self.id()?;
        let (mut digest, mut before) = self.before().await?;
        let mut receipt = before.take();
        if receipt.is_none() {
            match self.give_receipt(&id, digest).await {
                Ok(()) => {}
                // Somebody sent the same bytes at the same time.
                Err(Error::Conflict(_)) => {
                    (digest, receipt) = self.before().await?;
                    if receipt.is_none() {
                        self.give_receipt(&id, digest).await?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        let is_small = if self.is_held { bytes < TOGETHER as u64 } else { !self.spilled };
        let repeated = receipt.is_some();
        let store = self.platform.store();
        if repeated {
            let entry = Entry { action: "import.repeated".to_owned(), outcome: Outcome::Allowed, ..self.entry.clone() };
            // Of a held one that somebody else gave its receipt at the same moment the pieces are the original.
            let is_other = receipt.as_ref().is_some_and(|receipt| receipt.public_id != id);
            if self.spilled && is_other {
                let mut tx = store.begin().await?;
                tx.drop_upload(self.insurer, &id).await?;
                tx.commit(entry).await?;
            } else {
                store.audit().append(entry).await?;
            }
        }
        let receipt = receipt.map_or(id, |receipt| receipt.public_id);
        Ok(Received { receipt, insurer: self.insurer, repeated, is_small, entry: self.entry })
    }

    /// Takes files that lie in memory and works on them at once.
    pub(crate) async fn take(
        mut self,
        mut files: Vec<(String, Vec<u8>)>,
        work: &mut Work<'_>,
    ) -> Result<IntakeResult, Error> {
        files.sort();
        for (name, bytes) in files {
            self.file(&name).await?;
            self.write(&bytes).await?;
        }
        let platform = self.platform.clone();
        let received = self.finish().await?;
        platform.close_package(&received, work).await
    }

    /// The keyed digest of the whole, and what the same sender got for it before. A package of which rows were refused may be
    /// sent again: what was missing (people, offices) may be there now. Each time has a digest of its own.
    async fn before(&self) -> Result<([u8; 32], Option<Receipt>), Error> {
        let mut sorted: Vec<_> = self.files.iter().collect();
        sorted.sort_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
        let listed = serde_json::to_vec(&sorted).map_err(|error| Error::Internal(error.to_string()))?;
        let keys = self.platform.store().keys_of(self.insurer).await?;
        let mut digest = keys.digest(&listed);
        loop {
            let known = self.platform.store().receipt_by_digest(self.insurer, self.sender, &digest).await?;
            match known {
                Some(receipt) if receipt.state == ReceiptState::Applied && receipt.counts.refused > 0 => {
                    digest = keys.digest(&[b"again", &digest[..]].concat());
                }
                known => return Ok((digest, known)),
            }
        }
    }

    async fn give_receipt(&mut self, id: &str, digest: [u8; 32]) -> Result<(), Error> {
        let store = self.platform.store();
        let mut tx = store.begin().await?;
        self.note_arrival(&mut tx, id).await?;
        if !self.is_held {
            tx.put_pieces(self.insurer, id, &self.pieces).await?;
            tx.put_upload_files(self.insurer, id, &self.files).await?;
        }
        tx.end_upload(self.insurer, id).await?;
        let new = NewReceipt {
            insurer: self.insurer,
            public_id: id.to_owned(),
            sender: self.sender,
            received_at: self.now,
            original: None,
            digest,
        };
        tx.put_receipt(&new).await?;
        let entry =
            Entry { action: "import.received".to_owned(), natural_key: Some(id.to_owned()), ..self.entry.clone() };
        Ok(tx.commit(entry).await?)
    }

    fn id(&mut self) -> Result<String, Error> {
        if self.id.is_none() {
            self.id = Some(random_id()?);
        }
        Ok(self.id.clone().unwrap_or_default())
    }

    async fn end_file(&mut self) -> Result<(), Error> {
        if !self.open.is_empty() {
            self.end_piece().await?;
        }
        let hash = std::mem::replace(&mut self.hash, digest::Context::new(&digest::SHA256));
        if let Some(file) = self.files.last_mut() {
            file.sha256 = hash.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
        }
        Ok(())
    }

    async fn end_piece(&mut self) -> Result<(), Error> {
        let id = self.id()?;
        let Some(number) = self.files.len().checked_sub(1) else {
            return Err(Error::Internal("bytes before a file".to_owned()));
        };
        let file = &mut self.files[number];
        let place = (number as i32, file.pieces);
        file.pieces += 1;
        let sealed = self.platform.store().seal_piece(self.insurer, &id, place, &self.open).await?;
        self.held += self.open.len();
        self.open.clear();
        self.pieces.push(sealed);
        if self.held >= TOGETHER { self.spill(&id).await } else { Ok(()) }
    }

    async fn spill(&mut self, id: &str) -> Result<(), Error> {
        let store = self.platform.store();
        let mut tx = store.begin().await?;
        self.note_arrival(&mut tx, id).await?;
        tx.put_pieces(self.insurer, id, &self.pieces).await?;
        tx.commit(Entry { action: "import.arriving".to_owned(), ..self.entry.clone() }).await?;
        self.pieces.clear();
        self.held = 0;
        self.spilled = true;
        Ok(())
    }

    /// That more has come; a later one fails when the first pieces were forgotten.
    async fn note_arrival(&self, tx: &mut Tx, id: &str) -> Result<(), Error> {
        if self.spilled {
            let passed = self.begun.elapsed();
            let now = self.now + jiff::SignedDuration::from_secs(passed.as_secs() as i64);
            Ok(tx.go_on_with_upload(self.insurer, id, now).await?)
        } else {
            Ok(tx.begin_upload(self.insurer, id, self.now).await?)
        }
    }
}

impl Platform {
    /// How far a package is.
    pub async fn package_so_far(&self, received: &Received) -> Result<IntakeResult, Error> {
        let receipt = self.store().receipt(received.insurer, &received.receipt).await?.ok_or(Error::Unknown)?;
        self.answered(received.insurer, receipt, received.repeated).await
    }

    /// Works on the packages of the insurer, oldest first, until this one is closed; waits while another process does. An
    /// impatient one works on this package alone: behind older ones it waits for whoever works on those.
    pub async fn close_package(&self, received: &Received, work: &mut Work<'_>) -> Result<IntakeResult, Error> {
        work.own = Some((received.receipt.clone(), received.entry.clone()));
        loop {
            let receipt = self.store().receipt(received.insurer, &received.receipt).await?.ok_or(Error::Unknown)?;
            let is_left = work.is_impatient && (work.met_another || self.is_behind(received).await?);
            if receipt.state != ReceiptState::Received || is_left {
                return self.answered(received.insurer, receipt, received.repeated).await;
            }
            if !self.work_on_insurer(received.insurer, work).await? && !work.is_impatient {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }

    /// Whether older packages of the insurer wait.
    async fn is_behind(&self, received: &Received) -> Result<bool, Error> {
        let first = self.store().waiting_receipt(received.insurer).await?;
        Ok(first.is_some_and(|first| first.public_id != received.receipt))
    }

    /// Puts a package that was set aside among the waiting ones again; it goes on behind its last block. [`Error::Unknown`]
    /// when there is none of this 受付番号 that was set aside.
    pub async fn retry_package(&self, insurer: InsurerNumber, receipt: &str, context: &Context) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        if !tx.retry_receipt(insurer, receipt).await? {
            return Err(Error::Unknown);
        }
        let entry = Entry::new(context.now, &context.request_id, "cli", "import.retry", Outcome::Done);
        let entry = Entry { insurer: Some(insurer.to_string()), natural_key: Some(receipt.to_owned()), ..entry };
        Ok(tx.commit(entry).await?)
    }

    /// Forgets uploads of which nothing has come for a day, each under an entry of its own; how many.
    pub(crate) async fn forget_abandoned_uploads(&self, context: &Context) -> Result<u64, Error> {
        let since = context.now - jiff::SignedDuration::from_hours(HOURS_UNTIL_FORGOTTEN);
        let mut forgotten = 0;
        loop {
            let abandoned = self.store().abandoned_uploads(since).await?;
            if abandoned.is_empty() {
                return Ok(forgotten);
            }
            for (insurer, upload) in abandoned {
                let mut tx = self.store().begin().await?;
                tx.drop_upload(insurer, &upload).await?;
                let entry = Entry::new(context.now, &context.request_id, "server", "import.forgotten", Outcome::Done);
                let entry = Entry { insurer: Some(insurer.to_string()), natural_key: Some(upload), ..entry };
                tx.commit(entry).await?;
                forgotten += 1;
            }
        }
    }
}

/// A holder of a lease.
pub(crate) fn holder() -> Result<String, Error> {
    let bytes: [u8; 8] = random()?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
