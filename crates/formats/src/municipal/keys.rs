//! Keys of the rows seen in a package: 16 bytes each, so that a million people stay well below a hundred megabytes.

use super::MunicipalKind;
use crate::layout::Row;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// What is known of a row's key.
pub enum Seen {
    /// First row of this key.
    New,
    /// The same content on this line of the same file.
    Same(u64),
    /// Another content on this line of the same file.
    Other(u64),
    /// In another file of the package.
    Elsewhere,
}

/// Key (hashed, 64 bits) to file, line and content, packed.
pub struct Keys {
    hasher: RandomState,
    seen: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
    /// Rows that stand twice, by kind: taken once.
    repeated: BTreeMap<MunicipalKind, u64>,
}

/// Bits of the place of a file (a package has at most a thousand) and of a line; the rest is of the content.
const FILE: u32 = 12;
const LINE: u32 = 28;

impl Keys {
    pub fn new() -> Self {
        Self { hasher: RandomState::new(), seen: HashMap::default(), repeated: BTreeMap::new() }
    }

    /// Notes that a row stands twice.
    pub fn repeat(&mut self, kind: MunicipalKind) {
        *self.repeated.entry(kind).or_default() += 1;
    }

    /// How many rows stand twice, by kind.
    pub fn into_repeated(self) -> BTreeMap<MunicipalKind, u64> {
        self.repeated
    }

    pub fn insert(&mut self, kind: MunicipalKind, file: usize, row: &Row) -> Seen {
        let key = self.hasher.hash_one((kind, row.get(1), row.get(2).trim_start_matches('0')));
        self.insert_key(key, file, row)
    }

    /// The same by what makes two 主治医意見書 one document (P-130): person, 申請日, 医療機関, 作成回数.
    pub fn insert_opinion(&mut self, file: usize, row: &Row) -> Seen {
        let key = self.hasher.hash_one(("opinion", row.get(1), row.get(4), row.get(5), row.get(6)));
        self.insert_key(key, file, row)
    }

    fn insert_key(&mut self, key: u64, file: usize, row: &Row) -> Seen {
        let content = self.hasher.hash_one(row.content()) >> (FILE + LINE);
        let (file, line) = (file as u64 & ((1 << FILE) - 1), row.line() & ((1 << LINE) - 1));
        let place = content << (FILE + LINE) | file << LINE | line;
        match self.seen.get(&key).copied() {
            None => {
                self.seen.insert(key, place);
                Seen::New
            }
            Some(known) if (known >> LINE) & ((1 << FILE) - 1) != file => Seen::Elsewhere,
            Some(known) if known >> (FILE + LINE) == content => Seen::Same(known & ((1 << LINE) - 1)),
            Some(known) => Seen::Other(known & ((1 << LINE) - 1)),
        }
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
