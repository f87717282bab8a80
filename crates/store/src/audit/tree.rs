//! The arithmetic of the log: leaves, Merkle roots and paths (as in RFC 6962), without any database.
//!
//! A leaf is made of one salted digest per group of fields, so a proof can withhold a group (such as the office, for a
//! person whose whereabouts are protected) and the leaf can still be computed.

use super::entry::{Field, GROUPS, StoredEntry};
use crate::seal::sha256;

pub(crate) type Hash = [u8; 32];

/// The leaf of a number that a dead writer gave away and never wrote.
pub(crate) const HOLE: Hash = [0; 32];

/// The leaf of an entry under its segment's salt.
pub(crate) fn leaf(entry: &StoredEntry, salt: &Hash) -> Hash {
    let mut digests = [HOLE; GROUPS.len()];
    for (group, digest) in digests.iter_mut().enumerate() {
        let mut bytes = Vec::with_capacity(192);
        entry.fields(group, &mut |name, field| push_field(&mut bytes, name, field));
        *digest = group_digest(&group_salt(salt, entry.position.n, group), &bytes);
    }
    leaf_of(&digests)
}

/// The leaf made of the digests of all groups.
pub(crate) fn leaf_of(digests: &[Hash]) -> Hash {
    sha256(&[&[0], digests.as_flattened()])
}

/// The salt of one group of one entry; showing it tells nothing about the others.
pub(crate) fn group_salt(segment_salt: &Hash, n: i32, group: usize) -> Hash {
    sha256(&[segment_salt, &n.to_be_bytes(), &[group as u8]])
}

pub(crate) fn group_digest(salt: &Hash, fields: &[u8]) -> Hash {
    sha256(&[salt, fields])
}

/// Appends name and value of a field, each with its length, so that no two different lists of fields look the same.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &str, field: Field<'_>) {
    let number;
    let (tag, value): (u8, &[u8]) = match field {
        Field::Null => (0, &[]),
        Field::Text(text) => (1, text.as_bytes()),
        Field::Number(value) => {
            number = value.to_be_bytes();
            (2, &number)
        }
        Field::Bytes(bytes) => (3, bytes),
    };
    out.push(name.len() as u8);
    out.extend(name.as_bytes());
    out.push(tag);
    out.extend((value.len() as u32).to_be_bytes());
    out.extend(value);
}

/// The Merkle root of the leaves.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(left_size(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The hashes that lead from leaf `index` to the root, nearest first. About ten for a full segment.
pub(crate) fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let split = left_size(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut hashes, sibling) =
        if index < split { (path(left, index), root(right)) } else { (path(right, index - split), root(left)) };
    hashes.push(sibling);
    hashes
}

/// The root that a leaf and its path lead to; nothing when the path does not fit `index` and `count`.
pub(crate) fn root_by_path(leaf: &Hash, index: usize, count: usize, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    if count == 1 {
        return path.is_empty().then_some(*leaf);
    }
    let (sibling, rest) = path.split_last()?;
    let split = left_size(count);
    Some(if index < split {
        node(&root_by_path(leaf, index, split, rest)?, sibling)
    } else {
        node(sibling, &root_by_path(leaf, index - split, count - split, rest)?)
    })
}

/// The largest power of two below `count` (which is at least 2).
fn left_size(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// A hash out of stored bytes.
pub(crate) fn hash_from(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_trees_of_every_size_reaches_the_root_by_its_path_and_by_no_other() {
        for count in 1..=70usize {
            let leaves: Vec<Hash> = (0..count).map(|i| sha256(&[&i.to_be_bytes()])).collect();
            let whole = root(&leaves);
            for index in 0..count {
                let path = path(&leaves, index);
                assert_eq!(root_by_path(&leaves[index], index, count, &path), Some(whole));
                assert_ne!(root_by_path(&[9; 32], index, count, &path), Some(whole));
                if count > 1 {
                    assert_ne!(root_by_path(&leaves[index], (index + 1) % count, count, &path), Some(whole));
                    assert_ne!(root_by_path(&leaves[index], index, count, &path[1..]), Some(whole));
                }
            }
        }
    }

    #[test]
    fn a_full_segment_needs_ten_hashes() {
        assert_eq!(path(&vec![[1; 32]; 1024], 500).len(), 10);
    }

    #[test]
    fn swapped_leaves_give_another_root() {
        let leaves: Vec<Hash> = (0..5u8).map(|i| [i; 32]).collect();
        let mut swapped = leaves.clone();
        swapped.swap(1, 3);
        assert_ne!(root(&leaves), root(&swapped));
    }
}
