//! Anchors: each minute one Ed25519 signature over the last segment headers of all writers and the previous anchor, kept in
//! the database and, line by line, in a file outside it that should belong to somebody else (T-10).

use super::purge::Purged;
use super::segment;
use super::tree::{self, Hash};
use crate::StoreError;
use crate::engine::{Committed, Engine, RawTx, Row, args};
use crate::restored::gaps;
use crate::seal::{create_secret_file, file_error, hex, key_of, random_key, read_secret_file, sha256, unhex};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const SIGNING_FILE_LABEL: &str = "kiban-anchor-key-2";
const OLD_SIGNING_FILE_LABEL: &str = "kiban-anchor-key-1";
const FILE_NAME: &str = "anchors.jsonl";
/// An idle log is still signed once a day (S-016).
const DAY: i64 = 86_400_000_000;

const PUT: &str = "INSERT INTO audit_anchor (number, at, previous, heads, signature) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
const NEWEST: &str = "SELECT number, at, previous, heads, signature FROM audit_anchor ORDER BY number DESC LIMIT 1";
const BY_NUMBER: &str = "SELECT number, at, previous, heads, signature FROM audit_anchor WHERE number = $1";
const AFTER: &str =
    "SELECT number, at, previous, heads, signature FROM audit_anchor WHERE number > $1 ORDER BY number LIMIT 1000";
const BEFORE: &str = "SELECT number FROM audit_anchor WHERE at < $1 ORDER BY at DESC, number DESC LIMIT 1";
/// Statements that must never read a whole table.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[NEWEST, BY_NUMBER, AFTER, BEFORE];

/// The key that signs anchors.
pub struct SigningKey(Ed25519KeyPair);

/// Ed25519 public key of the anchors, given to whoever verifies.
pub type PublicKey = [u8; 32];

/// As with every key of ring: overwritten where it lies.
impl Drop for SigningKey {
    fn drop(&mut self) {
        if let Ok(zeros) = Ed25519KeyPair::from_seed_unchecked(&[0; 32]) {
            self.0 = zeros;
            std::hint::black_box(&self.0);
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", hex(&self.public_key()))
    }
}

impl SigningKey {
    /// Reads the file, or creates it (mode 0600, synced) when there is none. Refuses one that others may read.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            let seed = random_key()?;
            let key = Self::from_seed(&seed, None).ok_or(StoreError::Internal("signing key".to_owned()))?;
            Self::write(path, &seed, &key.public_key())?;
        }
        let text = read_secret_file(path)?;
        Self::of_text(&text)
            .ok_or_else(|| StoreError::File(format!("{} is not a whole anchor key file", path.display())))
    }

    /// `label seed public`; before that `label PKCS#8`.
    fn of_text(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (label, first, second) = (words.next()?, words.next()?, words.next());
        let first = Zeroizing::new(unhex(first)?);
        match (label, second) {
            (SIGNING_FILE_LABEL, Some(public)) => Self::from_seed(&*key_of(&first)?, Some(&unhex(public)?)),
            (OLD_SIGNING_FILE_LABEL, None) => {
                let pair = Ed25519KeyPair::from_pkcs8(&first).ok()?;
                // RFC 8410: the seed lies at a fixed place.
                Self::from_seed(&*key_of(first.get(16..48)?)?, Some(pair.public_key().as_ref()))
            }
            _ => None,
        }
    }

    fn from_seed(seed: &[u8; 32], public: Option<&[u8]>) -> Option<Self> {
        let pair = match public {
            Some(public) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            None => Ed25519KeyPair::from_seed_unchecked(seed),
        };
        Some(Self(pair.ok()?))
    }

    /// Signs the manifest of a copy of the database.
    pub fn sign_manifest(&self, manifest: &[u8]) -> Vec<u8> {
        self.sign(&manifest_bytes(manifest))
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }

    /// The secret and the public half of a key file, to be split into shares and nothing else.
    pub fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let broken = || StoreError::File(format!("{} is not a whole anchor key file", path.display()));
        let text = read_secret_file(path)?;
        let public = Self::of_text(&text).ok_or_else(broken)?.public_key();
        let mut words = text.split_whitespace();
        let (label, key) = (words.next(), Zeroizing::new(words.next().and_then(unhex).ok_or_else(broken)?));
        let seed = if label == Some(SIGNING_FILE_LABEL) { Some(&key[..]) } else { key.get(16..48) };
        let mut secret = Zeroizing::new(Vec::with_capacity(64));
        secret.extend_from_slice(seed.ok_or_else(broken)?);
        secret.extend_from_slice(&public);
        Ok(secret)
    }

    /// Writes a key file from what [`SigningKey::secret`] gave; refuses to replace one that is there.
    pub fn restore(path: &Path, secret: &[u8]) -> Result<(), StoreError> {
        let (seed, public) = secret.split_at_checked(32).ok_or(StoreError::Unreadable("anchor key"))?;
        let seed = key_of(seed).ok_or(StoreError::Unreadable("anchor key"))?;
        Self::from_seed(&seed, Some(public)).ok_or(StoreError::Unreadable("anchor key"))?;
        if path.exists() {
            return Err(StoreError::File(format!("{} が既にあります。置き換えません", path.display())));
        }
        Self::write(path, &seed, public)
    }

    fn write(path: &Path, seed: &[u8; 32], public: &[u8]) -> Result<(), StoreError> {
        let digits = Zeroizing::new(hex(seed));
        let text = Zeroizing::new(format!("{SIGNING_FILE_LABEL} {} {}\n", *digits, hex(public)));
        create_secret_file(path, text.as_bytes())
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        tree::hash_from(self.0.public_key().as_ref()).unwrap_or_default()
    }
}

/// The last closed segment of a writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// 記録者番号.
    pub writer: i64,
    /// 区間番号.
    pub segment: i32,
    /// Hash of the segment's header.
    #[serde(with = "hex_bytes")]
    pub header: Hash,
}

/// A signed statement: up to here the log is this one and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// 1, 2, 3, …
    pub number: i64,
    /// When, microseconds UTC.
    pub at: i64,
    /// Hash of the anchor before; zeros for the first.
    #[serde(with = "hex_bytes")]
    pub previous: Hash,
    /// Writers that were not yet finished at the anchor before.
    pub heads: Vec<Head>,
    /// Ed25519.
    #[serde(with = "hex_bytes")]
    pub signature: Vec<u8>,
}

impl Anchor {
    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"kiban audit anchor 1\n".to_vec();
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.at.to_be_bytes());
        bytes.extend(self.previous);
        bytes.extend(heads_to_bytes(&self.heads));
        bytes
    }

    /// What the next anchor points to.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.signed_bytes(), &self.signature])
    }

    /// Whether the signature is of this key.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        is_signed(key, &self.signed_bytes(), &self.signature)
    }

    fn sign(number: i64, at: i64, previous: Hash, heads: Vec<Head>, key: &SigningKey) -> Self {
        let mut anchor = Self { number, at, previous, heads, signature: Vec::new() };
        anchor.signature = key.sign(&anchor.signed_bytes());
        anchor
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.big(0)?,
            at: row.big(1)?,
            previous: tree::hash_from(&row.blob(2)?).ok_or(StoreError::Unreadable("audit_anchor"))?,
            heads: heads_from_bytes(&row.blob(3)?).ok_or(StoreError::Unreadable("audit_anchor"))?,
            signature: row.blob(4)?,
        })
    }
}

fn manifest_bytes(manifest: &[u8]) -> Vec<u8> {
    [b"kiban backup 1\n", manifest].concat()
}

/// Whether the manifest of a copy is signed by this key.
pub fn is_signed_manifest(key: &PublicKey, manifest: &[u8], signature: &[u8]) -> bool {
    is_signed(key, &manifest_bytes(manifest), signature)
}

pub(crate) fn is_signed(key: &PublicKey, bytes: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(bytes, signature).is_ok()
}

fn heads_to_bytes(heads: &[Head]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(heads.len() * 44);
    for head in heads {
        bytes.extend(head.writer.to_be_bytes());
        bytes.extend(head.segment.to_be_bytes());
        bytes.extend(head.header);
    }
    bytes
}

fn heads_from_bytes(bytes: &[u8]) -> Option<Vec<Head>> {
    let (heads, rest) = bytes.as_chunks::<44>();
    let head = |bytes: &[u8; 44]| {
        Some(Head {
            writer: i64::from_be_bytes(bytes[..8].try_into().ok()?),
            segment: i32::from_be_bytes(bytes[8..12].try_into().ok()?),
            header: tree::hash_from(&bytes[12..])?,
        })
    };
    if rest.is_empty() { heads.iter().map(head).collect() } else { None }
}

/// Signs what has been closed since the last anchor and writes it to both places. With nothing new the last one is returned,
/// except after a day.
pub(crate) async fn anchor(engine: &Engine, key: &SigningKey, folder: &Path, now: i64) -> Result<Anchor, StoreError> {
    for _ in 0..5 {
        // Writers that had ended before the heads were read are finished once these heads are signed.
        let ended =
            engine.rows("SELECT writer FROM audit_writer WHERE state = 'ended' ORDER BY writer", args![]).await?;
        let heads = unfinished_heads(engine).await?;
        let last = newest(engine).await?;
        if let Some(last) = &last
            && now - last.at < DAY
            && heads.iter().all(|head| last.heads.contains(head))
        {
            finish(engine, &ended).await?;
            copy_outside(engine, key.public_key(), folder).await?;
            return Ok(last.clone());
        }
        let (number, previous, not_before) =
            last.map_or((1, tree::HOLE, now), |last| (last.number + 1, last.hash(), last.at));
        let fresh = Anchor::sign(number, now.max(not_before), previous, heads, key);
        if store(engine, &fresh).await? {
            finish(engine, &ended).await?;
            copy_outside(engine, key.public_key(), folder).await?;
            return Ok(fresh);
        }
    }
    Err(StoreError::Unavailable("other processes sign at the same time".to_owned()))
}

/// The last closed segment of each writer that may have one not yet signed.
async fn unfinished_heads(engine: &Engine) -> Result<Vec<Head>, StoreError> {
    let writers = "SELECT writer FROM audit_writer WHERE state <> 'anchored' ORDER BY writer";
    let mut heads = Vec::new();
    for row in engine.rows(writers, args![]).await? {
        let writer = row.big(0)?;
        if let Some(row) = engine.rows(segment::LAST_CLOSED, args![writer]).await?.first() {
            let header = tree::hash_from(&row.blob(1)?).ok_or(StoreError::Unreadable("audit_segment"))?;
            heads.push(Head { writer, segment: row.int(0)?, header });
        }
    }
    Ok(heads)
}

async fn finish(engine: &Engine, ended: &[Row]) -> Result<(), StoreError> {
    for row in ended {
        segment::mark(engine, row.big(0)?, "ended", "anchored").await?;
    }
    Ok(())
}

pub(crate) async fn newest(engine: &Engine) -> Result<Option<Anchor>, StoreError> {
    engine.rows(NEWEST, args![]).await?.first().map(Anchor::from_row).transpose()
}

pub(crate) async fn by_number(engine: &Engine, number: i64) -> Result<Option<Anchor>, StoreError> {
    engine.rows(BY_NUMBER, args![number]).await?.first().map(Anchor::from_row).transpose()
}

/// Some anchors after a number, in order.
pub(crate) async fn after(engine: &Engine, number: i64) -> Result<Vec<Anchor>, StoreError> {
    engine.rows(AFTER, args![number]).await?.iter().map(Anchor::from_row).collect()
}

/// Number of the last anchor that was signed before an instant; 0 when there is none. Clocks of two processes may differ, so
/// an hour is taken off.
pub(crate) async fn before(engine: &Engine, at: i64) -> Result<i64, StoreError> {
    let rows = engine.rows(BEFORE, args![at - 3_600_000_000]).await?;
    rows.first().map(|row| row.big(0)).transpose().map(Option::unwrap_or_default)
}

/// Puts anchors that only the outside still has back into the database, as they were signed.
pub(crate) async fn put_lost(tx: &mut RawTx, anchors: &[Anchor]) -> Result<(), StoreError> {
    for anchor in anchors {
        let heads = heads_to_bytes(&anchor.heads);
        tx.run(PUT, args![anchor.number, anchor.at, &anchor.previous, &heads, &anchor.signature]).await?;
    }
    Ok(())
}

/// Stores an anchor; false when another process was faster.
async fn store(engine: &Engine, anchor: &Anchor) -> Result<bool, StoreError> {
    let mut tx = engine.begin().await?;
    let stored = tx
        .run(PUT, args![anchor.number, anchor.at, &anchor.previous, &heads_to_bytes(&anchor.heads), &anchor.signature])
        .await?;
    match tx.commit().await {
        Committed::Done => Ok(stored == 1),
        Committed::Unknown => Err(StoreError::Unavailable("anchor not surely stored".to_owned())),
    }
}

/// Appends to the outside file whatever anchors it lacks, also those that other processes signed or that a kill cut off.
async fn copy_outside(engine: &Engine, key: PublicKey, folder: &Path) -> Result<(), StoreError> {
    loop {
        let outside = Outside::new(folder);
        let last = outside.newest()?;
        let missing = after(engine, last.as_ref().map_or(0, |anchor| anchor.number)).await?;
        if last.is_none() && missing.first().is_some_and(|first| first.at != missing[missing.len() - 1].at) {
            tracing::warn!(folder = %folder.display(), "no outside anchors here, they are written anew from the database");
        }
        let mut previous = last.map_or(tree::HOLE, |anchor| anchor.hash());
        for anchor in &missing {
            if anchor.previous != previous || !anchor.is_signed_by(&key) {
                return Err(StoreError::Unsafe(format!(
                    "audit anchor {} in the database does not follow the outside one",
                    anchor.number
                )));
            }
            previous = anchor.hash();
        }
        if missing.is_empty() {
            return Ok(());
        }
        let appended = tokio::task::spawn_blocking(move || outside.append(&missing)).await;
        appended.map_err(|_| StoreError::Internal("anchor file task".to_owned()))??;
    }
}

/// Refuses a log that is older than, or another than, its newest outside anchor: a restored backup, or a log cut at its end.
pub(crate) async fn refuse_older_log(engine: &Engine, key: &PublicKey, folder: &Path) -> Result<(), StoreError> {
    let Some(outside) = Outside::new(folder).newest()? else { return Ok(()) };
    let refuse = |why: String| {
        let (number, at) = (outside.number, kiban_domain::Timestamp::from_microsecond(outside.at));
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        Err(StoreError::Unsafe(format!("the audit log does not reach its outside anchor {number} of {at}: {why}")))
    };
    if !outside.is_signed_by(key) {
        return refuse("the anchor was signed by another key".to_owned());
    }
    match by_number(engine, outside.number).await? {
        None => {
            let have = newest(engine).await?.map_or(0, |anchor| anchor.number);
            return refuse(format!(
                "the newest in the database is {have}; an older copy was restored or the log was cut"
            ));
        }
        Some(inside) if inside != outside => return refuse("the one in the database is another".to_owned()),
        Some(_) => {}
    }
    // Its entries are lost, and two operators have said so.
    if gaps(engine, key).await?.covers(outside.number) {
        return Ok(());
    }
    let purged = Purged::read(engine, key).await?;
    for head in &outside.heads {
        let place = format!("segment {:016x}-{}", head.writer, head.segment);
        let Some(stored) = segment::read_segment(engine, head.writer, head.segment).await? else {
            return refuse(format!("{place} is missing"));
        };
        if stored.header.hash() != head.header {
            return refuse(format!("{place} is another"));
        }
        if let Some((n, what)) = super::verify::first_difference(engine, &stored, &purged).await? {
            return refuse(format!("entry {:016x}-{}-{n} is {what}", head.writer, head.segment));
        }
    }
    Ok(())
}

/// The file of anchors outside the database: one JSON text a line, only ever appended to.
pub(crate) struct Outside {
    path: PathBuf,
}

impl Outside {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE_NAME) }
    }

    /// Every whole line in order; a line cut by a kill at the end is no anchor.
    pub(crate) fn all(&self) -> Result<Vec<Anchor>, StoreError> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| file_error(&self.path, &error))?,
        };
        let mut lines = BufReader::new(file);
        let mut anchors = Vec::new();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(|error| file_error(&self.path, &error))? > 0 {
            if line.ends_with(b"\n") {
                anchors.push(self.parse(&line)?);
            }
            line.clear();
        }
        Ok(anchors)
    }

    /// The last whole line, read from the end.
    pub(crate) fn newest(&self) -> Result<Option<Anchor>, StoreError> {
        let failed = |error: std::io::Error| file_error(&self.path, &error);
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let length = file.metadata().map_err(failed)?.len();
        let mut tail_length = 64 * 1024;
        loop {
            let start = length.saturating_sub(tail_length);
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            let mut tail = Vec::new();
            (&file).take(length - start).read_to_end(&mut tail).map_err(failed)?;
            let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &tail[..end]);
            let begin = whole.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
            match begin {
                Some(begin) => return self.parse(&whole[begin..]).map(Some),
                None if start == 0 && whole.is_empty() => return Ok(None),
                None if start == 0 => return self.parse(whole).map(Some),
                None => tail_length *= 4,
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Result<Anchor, StoreError> {
        serde_json::from_slice(line)
            .map_err(|_| StoreError::File(format!("{} has a line that is no anchor", self.path.display())))
    }

    /// Appends and syncs; what another process has appended meanwhile is left out, a line cut by a kill is cut off.
    fn append(&self, anchors: &[Anchor]) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| file_error(&self.path, &error);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let known = self.newest()?.map_or(0, |anchor| anchor.number);
        self.cut_torn_line(&mut file).map_err(failed)?;
        let mut text = Vec::new();
        for anchor in anchors.iter().filter(|anchor| anchor.number > known) {
            serde_json::to_writer(&mut text, anchor).map_err(|_| StoreError::Internal("anchor as text".to_owned()))?;
            text.push(b'\n');
        }
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn cut_torn_line(&self, file: &mut File) -> std::io::Result<()> {
        let length = file.metadata()?.len();
        let start = length.saturating_sub(1024 * 1024);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < tail.len() { file.set_len(start + whole as u64) } else { Ok(()) }
    }
}

/// Bytes as hexadecimal text in JSON.
pub(crate) mod hex_bytes {
    use crate::seal::{hex, unhex};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(bytes.as_ref()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unhex(&text).ok_or_else(|| D::Error::custom("hexadecimal digits expected"))?;
        T::try_from(bytes).map_err(|_| D::Error::custom("another length expected"))
    }
}
