//! Keys of the rows of one kind of a package: 16 bytes each, so that a million people stay well below a hundred megabytes.
//! Rows of different kinds never have the same key, and no more are remembered than the manifest says there are.

use super::{MOST_ROWS, MunicipalKind};
use crate::layout::Row;
use std::collections::{BTreeMap, HashMap, HashSet};
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
    /// Whose they are; none of a file that stands alone.
    kind: Option<MunicipalKind>,
    seen: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
    /// What makes 主治医意見書 one document.
    opinions: HashSet<u64, BuildHasherDefault<Hashed>>,
    /// Keys that are remembered at most. With more rows the package is refused, for its count.
    most: usize,
    /// Rows that stand twice, by kind: taken once.
    repeated: BTreeMap<MunicipalKind, u64>,
}

/// Bits of the place of a file (a package has at most a thousand) and of a line; the rest is of the content.
const FILE: u32 = 12;
const LINE: u32 = 28;

/// So many rows are remembered whatever the manifest says: who counted wrongly learns everything else, too.
const FEW: u64 = 100_000;

impl Keys {
    pub fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            kind: None,
            seen: HashMap::default(),
            opinions: HashSet::default(),
            most: MOST_ROWS as usize,
            repeated: BTreeMap::new(),
        }
    }

    /// Goes on with a kind of which the manifest says that there are so many rows. Those of the kind before are forgotten.
    pub fn turn_to(&mut self, kind: MunicipalKind, rows: u64) {
        if self.kind == Some(kind) {
            return;
        }
        self.kind = Some(kind);
        self.most = rows.clamp(FEW, MOST_ROWS) as usize;
        // The old table goes before the new one is made; the new one never has to grow.
        self.seen = HashMap::default();
        self.opinions = HashSet::default();
        self.seen.reserve(rows.min(MOST_ROWS) as usize);
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

    /// Whether a 主治医意見書 is none of those before, by what makes two of them one document (P-130): person, 申請日, 医療機関, 作成回数.
    pub fn insert_opinion(&mut self, row: &Row) -> bool {
        let key = self.hasher.hash_one(("opinion", row.get(1), row.get(4), row.get(5), row.get(6)));
        if self.opinions.len() < self.most { self.opinions.insert(key) } else { !self.opinions.contains(&key) }
    }

    fn insert_key(&mut self, key: u64, file: usize, row: &Row) -> Seen {
        let content = self.hasher.hash_one(row.content()) >> (FILE + LINE);
        let (file, line) = (file as u64 & ((1 << FILE) - 1), row.line() & ((1 << LINE) - 1));
        let place = content << (FILE + LINE) | file << LINE | line;
        match self.seen.get(&key).copied() {
            None => {
                if self.seen.len() < self.most {
                    self.seen.insert(key, place);
                }
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
