//! The proof of one entry, checked by anybody with the public key and nothing else: the entry's fields, about ten hashes to
//! its segment's root, the headers up to the next signed one, and that anchor. A group of fields can be withheld.

use super::AuditLog;
use super::anchor::{self, Anchor, PublicKey, hex_bytes};
use super::entry::{Field, GROUPS, Position, StoredEntry};
use super::segment::{Header, read_segment};
use super::tree::{self, Hash};
use crate::StoreError;
use serde::{Deserialize, Serialize};

/// A field's value in a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// No value.
    Null,
    /// Text.
    Text(String),
    /// Number.
    Number(i64),
    /// Bytes, hexadecimal in JSON.
    #[serde(with = "hex_bytes")]
    Bytes(Vec<u8>),
}

impl Value {
    fn from_field(field: Field<'_>) -> Self {
        match field {
            Field::Null => Self::Null,
            Field::Text(text) => Self::Text(text.to_owned()),
            Field::Number(number) => Self::Number(number),
            Field::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }

    fn as_field(&self) -> Field<'_> {
        match self {
            Self::Null => Field::Null,
            Self::Text(text) => Field::Text(text),
            Self::Number(number) => Field::Number(*number),
            Self::Bytes(bytes) => Field::Bytes(bytes),
        }
    }
}

/// A group of fields, shown with its salt or withheld as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownGroup {
    /// The fields.
    Shown {
        /// Salt of this group.
        #[serde(with = "hex_bytes")]
        salt: Hash,
        /// Names and values in order.
        fields: Vec<(String, Value)>,
    },
    /// Only the salted digest.
    Withheld {
        /// Digest.
        #[serde(with = "hex_bytes")]
        digest: Hash,
    },
}

/// A segment's header in a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of audit_segment")]
pub struct ShownHeader {
    pub writer: i64,
    pub segment: i32,
    pub entries: i32,
    #[serde(with = "hex_bytes")]
    pub root: Hash,
    #[serde(with = "hex_bytes")]
    pub previous: Hash,
    #[serde(with = "hex_bytes")]
    pub salt_hash: Hash,
    pub closed_at: i64,
    pub closed_late: bool,
}

impl ShownHeader {
    fn new(header: Header) -> Self {
        let Header { writer, segment, entries, root, previous, salt_hash, closed_at, closed_late } = header;
        Self { writer, segment, entries, root, previous, salt_hash, closed_at, closed_late }
    }

    fn hash(&self) -> Hash {
        let Self { writer, segment, entries, root, previous, salt_hash, closed_at, closed_late } = *self;
        Header { writer, segment, entries, root, previous, salt_hash, closed_at, closed_late }.hash()
    }
}

/// Proof that an entry is in the signed log; stands alone and goes through JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Number of the entry in its segment.
    pub n: i32,
    /// Groups `place`, `person`, `who`, `what`, `detail`.
    pub groups: Vec<ShownGroup>,
    /// Hashes from the leaf to the root, 32 bytes each.
    #[serde(with = "hex_bytes")]
    pub path: Vec<u8>,
    /// Headers from the entry's segment to the signed one.
    pub headers: Vec<ShownHeader>,
    /// The anchor that signs the last of them.
    pub anchor: Anchor,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("proof does not hold: {0}")]
pub struct ProofRefused(pub &'static str);

impl AuditLog {
    /// The proof of an entry; unavailable until an anchor covers it (about a minute, or after `anchor_now`).
    pub async fn proof(&self, position: Position) -> Result<Proof, StoreError> {
        let engine = &self.0.engine;
        let missing = || StoreError::Unavailable("the entry is not yet in a sealed segment".to_owned());
        let segment = read_segment(engine, position.writer, position.segment).await?.ok_or_else(missing)?;
        let entry = self.entry_at(position).await?.ok_or_else(missing)?;
        let index = position.n as usize;
        if segment.leaves.get(index) != Some(&tree::leaf(&entry, &segment.salt)) {
            return Err(StoreError::Unreadable("audit: the entry is not the one that was sealed"));
        }
        let groups = shown_groups(&entry, &segment.salt);
        let path = tree::path(&segment.leaves, index).as_flattened().to_vec();
        let mut headers = vec![ShownHeader::new(segment.header)];
        let anchor = self.covering_anchor(position, &mut headers).await?;
        Ok(Proof { n: position.n, groups, path, headers, anchor })
    }

    /// The first anchor whose head is the segment or a later one of its writer, and the headers up to there.
    async fn covering_anchor(&self, position: Position, headers: &mut Vec<ShownHeader>) -> Result<Anchor, StoreError> {
        let engine = &self.0.engine;
        let closed_at = headers[0].closed_at;
        let mut number = anchor::before(engine, closed_at).await?;
        loop {
            let some = anchor::after(engine, number).await?;
            let Some(last) = some.last() else {
                return Err(StoreError::Unavailable("no anchor covers the entry yet".to_owned()));
            };
            number = last.number;
            let covers = |anchor: &Anchor| {
                anchor
                    .heads
                    .iter()
                    .find(|head| head.writer == position.writer && head.segment >= position.segment)
                    .map(|h| h.segment)
            };
            let Some((anchor, head)) = some.iter().find_map(|anchor| Some((anchor, covers(anchor)?))) else { continue };
            for next in position.segment + 1..=head {
                let segment = read_segment(engine, position.writer, next).await?;
                headers.push(ShownHeader::new(segment.ok_or(StoreError::Unreadable("audit_segment"))?.header));
            }
            return Ok(anchor.clone());
        }
    }
}

impl Proof {
    /// Withholds a group, such as `who` for a person whose whereabouts are protected.
    pub fn withhold(&mut self, group: &str) {
        withhold(&mut self.groups, group);
    }

    /// A shown field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        field(&self.groups, name)
    }
}

/// All groups of an entry, shown.
pub(crate) fn shown_groups(entry: &StoredEntry, segment_salt: &Hash) -> Vec<ShownGroup> {
    let shown = |group| {
        let mut fields = Vec::new();
        entry.fields(group, &mut |name, field| fields.push((name.to_owned(), Value::from_field(field))));
        ShownGroup::Shown { salt: tree::group_salt(segment_salt, entry.position.n, group), fields }
    };
    (0..GROUPS.len()).map(shown).collect()
}

pub(crate) fn withhold(groups: &mut [ShownGroup], name: &str) {
    if let Some(group) = GROUPS.iter().position(|group| *group == name).and_then(|index| groups.get_mut(index)) {
        *group = ShownGroup::Withheld { digest: group.digest() };
    }
}

pub(crate) fn field<'a>(groups: &'a [ShownGroup], name: &str) -> Option<&'a Value> {
    groups.iter().find_map(|group| match group {
        ShownGroup::Shown { fields, .. } => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
        ShownGroup::Withheld { .. } => None,
    })
}

/// The leaf that the groups of an entry lead to; nothing when one is missing.
pub(crate) fn leaf_of(groups: &[ShownGroup]) -> Option<Hash> {
    let digests: Vec<Hash> = groups.iter().map(ShownGroup::digest).collect();
    (digests.len() == GROUPS.len()).then(|| tree::leaf_of(&digests))
}

impl ShownGroup {
    fn digest(&self) -> Hash {
        match self {
            Self::Shown { salt, fields } => {
                let mut bytes = Vec::new();
                fields.iter().for_each(|(name, value)| tree::push_field(&mut bytes, name, value.as_field()));
                tree::group_digest(salt, &bytes)
            }
            Self::Withheld { digest } => *digest,
        }
    }
}

/// Checks a proof with the public key alone, no database needed.
pub fn verify_proof(proof: &Proof, key: &PublicKey) -> Result<(), ProofRefused> {
    let leaf = leaf_of(&proof.groups).ok_or(ProofRefused("a group of fields is missing"))?;
    let (Some(first), Some(last)) = (proof.headers.first(), proof.headers.last()) else {
        return Err(ProofRefused("no header"));
    };
    let (path, rest) = proof.path.as_chunks::<32>();
    let root = tree::root_by_path(&leaf, proof.n as usize, first.entries as usize, path);
    if root != Some(first.root) || !rest.is_empty() || proof.n < 0 {
        return Err(ProofRefused("the entry is not the one in its segment"));
    }
    let place = [("writer", first.writer), ("segment", i64::from(first.segment)), ("n", i64::from(proof.n))];
    if place.iter().any(|(name, number)| proof.field(name).is_some_and(|value| *value != Value::Number(*number))) {
        return Err(ProofRefused("the entry names another place"));
    }
    for pair in proof.headers.windows(2) {
        if pair[1].previous != pair[0].hash() || pair[1].segment != pair[0].segment + 1 {
            return Err(ProofRefused("the chain of headers is broken"));
        }
    }
    let (writer, segment, header) = (last.writer, last.segment, last.hash());
    if !proof.anchor.heads.iter().any(|head| head.writer == writer && head.segment == segment && head.header == header)
    {
        return Err(ProofRefused("the anchor does not sign this segment"));
    }
    if !proof.anchor.is_signed_by(key) {
        return Err(ProofRefused("the anchor is not signed by this key"));
    }
    Ok(())
}
