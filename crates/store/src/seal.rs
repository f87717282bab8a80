//! Keys and sealing: what the database holds about a person it cannot read (decision 0006.21–24, P-190).
//!
//! A master key in a file outside the database wraps random data keys, one set per insurer. A sealed value is
//! `format (1) · key generation (4) · nonce (12) · AES-256-GCM ciphertext · tag (16)`; its plaintext carries its length and is
//! padded to 64 bytes, so the stored size tells little. Whatever the value belongs to goes into the additional data, so a
//! value moved to another row does not open. Which keys there are is in
//! `keyring.rs`, the master key in `master.rs`.

use crate::StoreError;
use crate::keyring::DataKey;
use kiban_domain::Timestamp;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Gives the present instant; the store itself never reads a clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4 + NONCE_LEN;
const PAD: usize = 64;

/// Generations of one sealing key; the newest open one seals, all of them open.
pub(crate) struct SealKeys {
    insurer_number: String,
    purpose: &'static str,
    generations: Vec<(u32, Aes)>,
    sealing: usize,
    created_at: i64,
    /// Of the messages sealed by this process, how many the database knows of.
    counted: AtomicU64,
    /// Set whenever so many more were sealed.
    block: u64,
    uncounted: Arc<AtomicBool>,
}

impl SealKeys {
    pub(crate) fn new(
        insurer_number: &str,
        purpose: &'static str,
        keys: &[DataKey],
        block: u64,
        uncounted: &Arc<AtomicBool>,
    ) -> Result<Self, StoreError> {
        let sealing = keys.iter().rposition(|key| key.is_open).ok_or(StoreError::Unreadable("data_key"))?;
        let generations =
            keys.iter().map(|key| Ok((key.generation, Aes::new(&key.bytes)?))).collect::<Result<_, StoreError>>()?;
        Ok(Self {
            insurer_number: insurer_number.to_owned(),
            purpose,
            generations,
            sealing,
            created_at: keys[sealing].created_at,
            counted: AtomicU64::new(0),
            block,
            uncounted: Arc::clone(uncounted),
        })
    }

    /// Whose key it is.
    pub(crate) fn owner(&self) -> &str {
        &self.insurer_number
    }

    /// The newest generation that is known here.
    pub(crate) fn newest(&self) -> u32 {
        self.generations.last().map_or(0, |(generation, _)| *generation)
    }

    /// The generation that seals.
    pub(crate) fn sealing(&self) -> u32 {
        self.generations[self.sealing].0
    }

    /// When the generation that seals was made, microseconds.
    pub(crate) fn created_at(&self) -> i64 {
        self.created_at
    }

    /// Messages sealed here that the database does not know of.
    pub(crate) fn uncounted(&self) -> u64 {
        let sealed = self.generations[self.sealing].1.counter.load(Ordering::Relaxed);
        sealed.saturating_sub(self.counted.load(Ordering::Relaxed))
    }

    /// The database knows of so many more.
    pub(crate) fn settle(&self, more: u64) {
        self.counted.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn seal(&self, aad: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        let (generation, key) = &self.generations[self.sealing];
        if (key.counter.load(Ordering::Relaxed) + 1).is_multiple_of(self.block) {
            self.uncounted.store(true, Ordering::Relaxed);
        }
        key.seal(*generation, &self.whole_aad(*generation, aad), plain)
    }

    pub(crate) fn open(&self, aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let unreadable = StoreError::Unreadable("sealed value");
        let Some(generation) = generation_of(sealed) else { return Err(unreadable) };
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

/// The generation of the key that a sealed value names.
pub(crate) fn generation_of(sealed: &[u8]) -> Option<u32> {
    let (format, rest) = sealed.split_first()?;
    let (generation, _) = rest.split_first_chunk::<4>()?;
    (*format == FORMAT).then_some(u32::from_be_bytes(*generation))
}

/// One AES-256-GCM key with its own source of nonces: a keyed hash of a counter under a random seed, which is as good as
/// random, never fails and costs no system call.
pub(crate) struct Aes {
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

    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> [u8; 32] {
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
    pub(crate) fn new(bytes: &[u8; 32]) -> Result<Self, StoreError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| StoreError::Internal("key length".to_owned()))?;
        Ok(Self { key: LessSafeKey::new(key), seed: MacKey::new(&*random_key()?), counter: AtomicU64::new(0) })
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&self.seed.sign_bytes(&count.to_be_bytes())[..NONCE_LEN]);
        nonce
    }

    pub(crate) fn seal(&self, generation: u32, aad: &[u8], plain: &[u8]) -> Vec<u8> {
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

    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
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
        let key = DataKey { generation: 1, bytes: Zeroizing::new([7; 32]), is_open: true, created_at: 0 };
        seal_keys(insurer_number, &[key])
    }

    fn seal_keys(insurer_number: &str, keys: &[DataKey]) -> SealKeys {
        SealKeys::new(insurer_number, "seal", keys, 1024, &Arc::default()).unwrap()
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
        let key = |generation, is_open| DataKey {
            generation,
            bytes: Zeroizing::new([generation as u8; 32]),
            is_open,
            created_at: 0,
        };
        let before = seal_keys("011002", &[key(1, true)]);
        let after = seal_keys("011002", &[key(1, false), key(2, true)]);
        let old = before.seal(&[b"x"], b"value");
        assert_eq!(after.open(&[b"x"], &old).unwrap(), b"value");
        assert!(before.open(&[b"x"], &after.seal(&[b"x"], b"value")).is_err());
    }
}
