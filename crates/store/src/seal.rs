//! Keys and sealing: what the database holds about a person it cannot read (decision 0006.21–24, P-190).
//!
//! A master key in a file outside the database wraps random data keys, one set per insurer. A sealed value is
//! `format (1) · key generation (4) · nonce (12) · AES-256-GCM ciphertext · tag (16)`; its plaintext carries its length and is
//! padded to 64 bytes, so the stored size tells little. Whatever the value belongs to goes into the additional data, so a
//! value moved to another row does not open. Not here: compression, rotation of data keys, key shares.

use crate::engine::{Engine, RawTx, Row, args};
use crate::{NO_INSURER, StoreError};
use kiban_domain::Timestamp;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use zeroize::Zeroizing;

/// Gives the present instant; the store itself never reads a clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4 + NONCE_LEN;
const PAD: usize = 64;
const MASTER_FILE_LABEL: &str = "kiban-master-key-1";

/// The key that wraps all others: 32 random bytes in a file outside the database.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Reads the file, or creates it (mode 0600, synced) when there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            let key = Self(random_key()?);
            let text = Zeroizing::new(format!("{MASTER_FILE_LABEL} {} {}\n", hex(&key.0[..]), key.check_value()));
            create_secret_file(path, text.as_bytes())?;
        }
        Self::load(path)
    }

    /// Reads the file; refuses one that is cut or altered, or that others than its owner can read.
    pub fn load(path: &Path) -> Result<Self, StoreError> {
        let text = read_secret_file(path)?;
        let broken = || StoreError::File(format!("{} is not a whole master key file", path.display()));
        let mut words = text.split_whitespace();
        let (Some(MASTER_FILE_LABEL), Some(key), Some(check), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(broken());
        };
        let bytes = Zeroizing::new(unhex(key).ok_or_else(broken)?);
        let key = Self(key_of(&bytes).ok_or_else(broken)?);
        if key.check_value() == check { Ok(key) } else { Err(broken()) }
    }

    fn check_value(&self) -> String {
        hex(&MacKey::new(&self.0).sign_bytes(b"kiban master key check")[..8])
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// The data keys of all insurers, opened as they are needed. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<Ring>);

struct Ring {
    engine: Engine,
    master: Aes,
    clock: Clock,
    insurers: RwLock<HashMap<String, Arc<InsurerKeys>>>,
    door: MacKey,
    audit: SealKeys,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl Keyring {
    /// Opens the platform's own keys, creating them in an empty database. A master key that did not wrap the keys found
    /// there is refused (F-24).
    pub(crate) async fn open(engine: &Engine, master: MasterKey, clock: Clock) -> Result<Self, StoreError> {
        let master = Aes::new(&master.0)?;
        let door = load_keys(engine, &master, &clock, NO_INSURER, "door").await?;
        let audit = load_keys(engine, &master, &clock, NO_INSURER, "audit").await?;
        Ok(Self(Arc::new(Ring {
            engine: engine.clone(),
            door: newest_mac(&door)?,
            audit: SealKeys::new(NO_INSURER, "audit", &audit)?,
            master,
            clock,
            insurers: RwLock::default(),
        })))
    }

    /// The keys of an insurer, created at first use in a transaction of their own: not to be called while the caller has a
    /// transaction open, see [`Keyring::keys_within`].
    pub async fn keys_of(&self, insurer_number: &str) -> Result<Arc<InsurerKeys>, StoreError> {
        if let Some(keys) = self.known_keys(insurer_number) {
            return Ok(keys);
        }
        let load = |purpose| load_keys(&self.0.engine, &self.0.master, &self.0.clock, insurer_number, purpose);
        let keys =
            InsurerKeys::new(insurer_number, &load("seal").await?, &load("index").await?, &load("digest").await?)?;
        Ok(self.keep(insurer_number, keys))
    }

    /// The keys of an insurer inside a running transaction, and whether this transaction made them. Made keys are kept
    /// only by the caller, because the transaction may still be rolled back.
    pub(crate) async fn keys_within(
        &self,
        tx: &mut RawTx,
        insurer_number: &str,
    ) -> Result<(Arc<InsurerKeys>, bool), StoreError> {
        if let Some(keys) = self.known_keys(insurer_number) {
            return Ok((keys, false));
        }
        let (seal, made_seal) = self.load_within(tx, insurer_number, "seal").await?;
        let (index, made_index) = self.load_within(tx, insurer_number, "index").await?;
        let (digest, made_digest) = self.load_within(tx, insurer_number, "digest").await?;
        let keys = InsurerKeys::new(insurer_number, &seal, &index, &digest)?;
        if made_seal || made_index || made_digest {
            return Ok((Arc::new(keys), true));
        }
        Ok((self.keep(insurer_number, keys), false))
    }

    async fn load_within(
        &self,
        tx: &mut RawTx,
        insurer_number: &str,
        purpose: &'static str,
    ) -> Result<(Vec<DataKey>, bool), StoreError> {
        let mut rows = tx.rows(READ_KEYS, args![insurer_number, purpose]).await?;
        let made = rows.is_empty() && make_key(tx, &self.0.master, &self.0.clock, insurer_number, purpose).await?;
        if rows.is_empty() {
            rows = tx.rows(READ_KEYS, args![insurer_number, purpose]).await?;
        }
        let keys: Result<Vec<_>, _> =
            rows.iter().map(|row| unwrap_key(&self.0.master, insurer_number, purpose, row)).collect();
        Ok((keys?, made))
    }

    fn known_keys(&self, insurer_number: &str) -> Option<Arc<InsurerKeys>> {
        self.0.insurers.read().unwrap_or_else(PoisonError::into_inner).get(insurer_number).map(Arc::clone)
    }

    fn keep(&self, insurer_number: &str, keys: InsurerKeys) -> Arc<InsurerKeys> {
        let mut insurers = self.0.insurers.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(insurers.entry(insurer_number.to_owned()).or_insert_with(|| Arc::new(keys)))
    }

    /// The key of the codes that rows which open a door carry (decision 0006.31).
    pub(crate) fn door(&self) -> &MacKey {
        &self.0.door
    }

    pub(crate) fn audit(&self) -> &SealKeys {
        &self.0.audit
    }
}

/// The open keys of one insurer.
pub struct InsurerKeys {
    seal: SealKeys,
    index: MacKey,
    digest: MacKey,
}

impl fmt::Debug for InsurerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InsurerKeys(..)")
    }
}

impl InsurerKeys {
    fn new(insurer: &str, seal: &[DataKey], index: &[DataKey], digest: &[DataKey]) -> Result<Self, StoreError> {
        let seal = SealKeys::new(insurer, "seal", seal)?;
        Ok(Self { seal, index: newest_mac(index)?, digest: newest_mac(digest)? })
    }

    /// Seals a value to everything in `aad`: purpose, insured, kind, natural key, revision, creator, validity …
    pub fn seal(&self, aad: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        self.seal.seal(aad, plain)
    }

    /// Opens a sealed value; any altered byte and any other `aad` is [`StoreError::Unreadable`].
    pub fn open(&self, aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.seal.open(aad, sealed)
    }

    /// HMAC-SHA256 of a content, comparable within this insurer only; a bare hash of so few values would be guessed.
    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        self.digest.sign("digest", &[bytes])
    }

    /// 128-bit blind index of a normalised text, such as kanji name + birth (disaster search).
    pub fn token(&self, purpose: &str, text: &str) -> [u8; 16] {
        let whole = self.index.sign(purpose, &[text.as_bytes()]);
        let mut token = [0; 16];
        token.copy_from_slice(&whole[..16]);
        token
    }
}

/// Generations of one sealing key; the newest open one seals, all of them open.
pub(crate) struct SealKeys {
    insurer_number: String,
    purpose: &'static str,
    generations: Vec<(u32, Aes)>,
    sealing: usize,
}

impl SealKeys {
    fn new(insurer_number: &str, purpose: &'static str, keys: &[DataKey]) -> Result<Self, StoreError> {
        let sealing = keys.iter().rposition(|key| key.is_open).ok_or(StoreError::Unreadable("data_key"))?;
        let generations =
            keys.iter().map(|key| Ok((key.generation, Aes::new(&key.bytes)?))).collect::<Result<_, StoreError>>()?;
        Ok(Self { insurer_number: insurer_number.to_owned(), purpose, generations, sealing })
    }

    pub(crate) fn seal(&self, aad: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        let (generation, key) = &self.generations[self.sealing];
        key.seal(*generation, &self.whole_aad(*generation, aad), plain)
    }

    pub(crate) fn open(&self, aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let unreadable = StoreError::Unreadable("sealed value");
        let Some((FORMAT, rest)) = sealed.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(unreadable);
        };
        let Some((generation, _)) = rest.split_first_chunk::<4>() else { return Err(unreadable) };
        let generation = u32::from_be_bytes(*generation);
        let Some((_, key)) = self.generations.iter().find(|(number, _)| *number == generation) else {
            return Err(unreadable);
        };
        key.open(&self.whole_aad(generation, aad), sealed).ok_or(unreadable)
    }

    fn whole_aad(&self, generation: u32, parts: &[&[u8]]) -> Vec<u8> {
        let mut whole = vec![FORMAT];
        whole.extend(generation.to_be_bytes());
        push_part(&mut whole, self.purpose.as_bytes());
        push_part(&mut whole, self.insurer_number.as_bytes());
        parts.iter().for_each(|part| push_part(&mut whole, part));
        whole
    }
}

/// One AES-256-GCM key with its own source of nonces: a keyed hash of a counter under a random seed, which is as good as
/// random, never fails and costs no system call.
struct Aes {
    key: LessSafeKey,
    seed: MacKey,
    counter: AtomicU64,
}

/// What ring keeps of a key cannot be wiped, but it can be overwritten by another key where it lies.
impl Drop for Aes {
    fn drop(&mut self) {
        if let Ok(zeros) = UnboundKey::new(&AES_256_GCM, &[0; 32]) {
            self.key = LessSafeKey::new(zeros);
            std::hint::black_box(&self.key);
        }
    }
}

/// A key of HMAC-SHA256, overwritten when it is dropped.
pub(crate) struct MacKey(hmac::Key);

impl MacKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    pub(crate) fn sign(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.sign_bytes(&message(label, parts))
    }

    /// In constant time.
    pub(crate) fn fits(&self, label: &str, parts: &[&[u8]], found: &[u8]) -> bool {
        hmac::verify(&self.0, &message(label, parts), found).is_ok()
    }

    fn sign_bytes(&self, bytes: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.0, bytes).as_ref());
        out
    }
}

impl Drop for MacKey {
    fn drop(&mut self) {
        self.0 = hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]);
        std::hint::black_box(&self.0);
    }
}

impl Aes {
    fn new(bytes: &[u8; 32]) -> Result<Self, StoreError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| StoreError::Internal("key length".to_owned()))?;
        Ok(Self { key: LessSafeKey::new(key), seed: MacKey::new(&*random_key()?), counter: AtomicU64::new(0) })
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&self.seed.sign_bytes(&count.to_be_bytes())[..NONCE_LEN]);
        nonce
    }

    fn seal(&self, generation: u32, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce = self.nonce();
        let padded = (plain.len() + 4).next_multiple_of(PAD);
        let mut body = Vec::with_capacity(HEADER + padded + AES_256_GCM.tag_len());
        body.push(FORMAT);
        body.extend(generation.to_be_bytes());
        body.extend(nonce);
        body.extend((plain.len() as u32).to_be_bytes());
        body.extend_from_slice(plain);
        body.resize(HEADER + padded, 0);
        // Sealed where it lies: no second copy in clear that would have to be wiped.
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut body[HEADER..]);
        // The only error there is: more than 64 GiB. Nothing is then stored that could be read as the value.
        let Ok(tag) = sealed else { return Vec::new() };
        body.extend_from_slice(tag.as_ref());
        body
    }

    fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (header, body) = sealed.split_at_checked(HEADER)?;
        let nonce = Nonce::try_assume_unique_for_key(&header[HEADER - NONCE_LEN..]).ok()?;
        let mut body = body.to_vec();
        // Opened where it lies, and moved to the front: the value is the only copy in clear.
        let padded = self.key.open_in_place(nonce, Aad::from(aad), &mut body).ok()?;
        let (length, rest) = padded.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > rest.len() {
            return None;
        }
        body.copy_within(4..4 + length, 0);
        body.truncate(length);
        Some(body)
    }
}

/// A data key out of its wrapping.
struct DataKey {
    generation: u32,
    bytes: Zeroizing<[u8; 32]>,
    is_open: bool,
}

/// All generations of a key, oldest first. The first is made when there is none; of two processes that make it at the same
/// time one wins and both read the winner's.
async fn load_keys(
    engine: &Engine,
    master: &Aes,
    clock: &Clock,
    insurer_number: &str,
    purpose: &'static str,
) -> Result<Vec<DataKey>, StoreError> {
    let mut rows = engine.rows(READ_KEYS, args![insurer_number, purpose]).await?;
    if rows.is_empty() {
        // Bounded: while the caller has a transaction open on SQLite this would wait for itself.
        let begun = tokio::time::timeout(Duration::from_secs(2), engine.begin()).await;
        let mut tx = begun.map_err(|_| StoreError::Unavailable("no writer for a new key".to_owned()))??;
        make_key(&mut tx, master, clock, insurer_number, purpose).await?;
        if tx.commit().await == crate::engine::Committed::Unknown {
            return Err(StoreError::Unavailable("a new key may not be stored".to_owned()));
        }
        rows = engine.rows(READ_KEYS, args![insurer_number, purpose]).await?;
    }
    rows.iter().map(|row| unwrap_key(master, insurer_number, purpose, row)).collect()
}

const READ_KEYS: &str = "SELECT generation, wrapped, closed_at FROM data_key WHERE insurer_number = $1 AND purpose = $2 ORDER BY generation";

/// Makes the first generation of a key; false when another process made it first.
async fn make_key(
    tx: &mut RawTx,
    master: &Aes,
    clock: &Clock,
    insurer_number: &str,
    purpose: &'static str,
) -> Result<bool, StoreError> {
    let fresh = random_key()?;
    let wrapped = master.seal(1, &wrap_aad(insurer_number, purpose, 1), &fresh[..]);
    let stored = tx
        .run(
            "INSERT INTO data_key (insurer_number, purpose, generation, wrapped, created_at, closed_at) \
             VALUES ($1, $2, 1, $3, $4, NULL) ON CONFLICT DO NOTHING",
            args![insurer_number, purpose, &wrapped, clock().as_microsecond()],
        )
        .await?;
    Ok(stored == 1)
}

fn unwrap_key(master: &Aes, insurer_number: &str, purpose: &str, row: &Row) -> Result<DataKey, StoreError> {
    let unreadable = || {
        StoreError::Unreadable(
            "data_key: the master key file does not belong to this database, or the key row was altered",
        )
    };
    let generation = u32::try_from(row.int(0)?).map_err(|_| unreadable())?;
    let plain = master.open(&wrap_aad(insurer_number, purpose, generation), &row.blob(1)?).ok_or_else(unreadable)?;
    let plain = Zeroizing::new(plain);
    let bytes = key_of(&plain).ok_or_else(unreadable)?;
    Ok(DataKey { generation, bytes, is_open: row.big_or_null(2)?.is_none() })
}

fn wrap_aad(insurer_number: &str, purpose: &str, generation: u32) -> Vec<u8> {
    let mut aad = Vec::new();
    [b"wrap".as_slice(), insurer_number.as_bytes(), purpose.as_bytes(), &generation.to_be_bytes()]
        .iter()
        .for_each(|part| push_part(&mut aad, part));
    aad
}

fn newest_mac(keys: &[DataKey]) -> Result<MacKey, StoreError> {
    let newest = keys.iter().rfind(|key| key.is_open).or(keys.last()).ok_or(StoreError::Unreadable("data_key"))?;
    Ok(MacKey::new(&newest.bytes))
}

fn message(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::new();
    push_part(&mut message, label.as_bytes());
    parts.iter().for_each(|part| push_part(&mut message, part));
    message
}

/// Appends a part with its length before it, so that `ab, c` and `a, bc` differ.
pub(crate) fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    out.extend((part.len() as u64).to_be_bytes());
    out.extend(part);
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| StoreError::Internal("no random numbers".to_owned()))?;
    Ok(bytes)
}

/// A fresh key, made where it is kept and nowhere else.
pub(crate) fn random_key() -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut bytes[..]).map_err(|_| StoreError::Internal("no random numbers".to_owned()))?;
    Ok(bytes)
}

/// A key out of bytes of the right length.
pub(crate) fn key_of(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    (bytes.len() == key.len()).then(|| key.copy_from_slice(bytes))?;
    Some(key)
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    // Room for all of it at once: a secret must not leave halves behind.
    let mut text = String::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| text.extend([digit(byte >> 4), digit(byte & 15)]));
    text
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() % 2 == 1 || !text.is_ascii() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for i in (0..text.len()).step_by(2) {
        bytes.push(u8::from_str_radix(&text[i..i + 2], 16).ok()?);
    }
    Some(bytes)
}

/// Writes a secret file whole or not at all, readable by its owner only; an existing one is left as it is.
pub(crate) fn create_secret_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| file_error(path, &error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let half = folder.join(format!(".{}.tmp", hex(&random_bytes::<8>()?)));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half).map_err(failed)?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&half, path));
    let _ = fs::remove_file(&half);
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
    }
}

/// Reads a file that holds a secret; refuses one that others than its owner may read or write.
pub(crate) fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let failed = |error: std::io::Error| file_error(path, &error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        let text =
            format!("{path} は所有者以外にも開かれています（モード {mode:o}）。chmod 600 {path} を実行してください");
        return Err(StoreError::File(text));
    }
    // Room for all of it at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(facts.len() as usize + 1));
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

pub(crate) fn file_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::File(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(insurer_number: &str) -> SealKeys {
        let key = DataKey { generation: 1, bytes: Zeroizing::new([7; 32]), is_open: true };
        SealKeys::new(insurer_number, "seal", &[key]).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_only_whole_and_only_where_it_belongs() {
        let keys_here = keys("011002");
        let aad: &[&[u8]] = &[b"record", b"0000000001"];
        let sealed = keys_here.seal(aad, "架空 花子".as_bytes());
        assert_eq!(keys_here.open(aad, &sealed).unwrap(), "架空 花子".as_bytes());
        for i in 0..sealed.len() {
            for bit in 0..8 {
                let mut altered = sealed.clone();
                altered[i] ^= 1 << bit;
                assert!(
                    matches!(keys_here.open(aad, &altered), Err(StoreError::Unreadable(_))),
                    "bit {bit} of byte {i}"
                );
            }
            assert!(keys_here.open(aad, &sealed[..i]).is_err());
        }
        assert!(keys_here.open(&[b"record", b"0000000002"], &sealed).is_err());
        assert!(keys_here.open(&[b"record0", b"000000001"], &sealed).is_err(), "parts must not run together");
        assert!(keys("012025").open(aad, &sealed).is_err(), "another insurer");
    }

    #[test]
    fn the_stored_size_hides_the_length_of_a_name_and_the_same_name_never_looks_the_same() {
        let keys = keys("011002");
        let short = keys.seal(&[], b"a");
        assert_eq!(short.len(), keys.seal(&[], &[b'a'; 60]).len());
        assert!(short.len() < keys.seal(&[], &[b'a'; 61]).len());
        assert_eq!(keys.open(&[], &keys.seal(&[], b"")).unwrap(), b"");
        assert_ne!(short, keys.seal(&[], b"a"));
    }

    #[test]
    fn older_generations_still_open_after_a_new_one_seals() {
        let key = |generation, is_open| DataKey { generation, bytes: Zeroizing::new([generation as u8; 32]), is_open };
        let before = SealKeys::new("011002", "seal", &[key(1, true)]).unwrap();
        let after = SealKeys::new("011002", "seal", &[key(1, false), key(2, true)]).unwrap();
        let old = before.seal(&[b"x"], b"value");
        assert_eq!(after.open(&[b"x"], &old).unwrap(), b"value");
        assert!(before.open(&[b"x"], &after.seal(&[b"x"], b"value")).is_err());
    }

    #[test]
    fn a_master_key_file_is_private_and_a_cut_or_altered_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/master.key");
        assert!(MasterKey::load(&path).is_err());
        let first = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*first.0, *MasterKey::load_or_create(&path).unwrap().0, "an existing key is kept");
        for mode in [0o640, 0o604, 0o660, 0o700 | 0o010] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = MasterKey::load(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600") && refused.contains(&format!("{mode:o}")), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        MasterKey::load(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert!(matches!(MasterKey::load(&path), Err(StoreError::File(_))));
        let digit = MASTER_FILE_LABEL.len() + 1;
        let other = if &text[digit..=digit] == "0" { "1" } else { "0" };
        fs::write(&path, format!("{}{other}{}", &text[..digit], &text[digit + 1..])).unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(StoreError::File(_))));
    }
}
