//! Verification of the whole log, offline: every leaf is computed again from the stored entries, every root, header and
//! anchor held against the one before and against the file outside. The first difference is named by its place.

use super::anchor::{self, Anchor, Outside, PublicKey};
use super::entry::{Position, StoredEntry, day_in_japan};
use super::month::{Month, slow_rows};
use super::purge::Purged;
use super::segment::{Header, StoredSegment, read_entries};
use super::tree::{self, HOLE, Hash};
use crate::Keyring;
use crate::StoreError;
use crate::engine::{Engine, args};
use crate::restored::gaps;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What is said of a number whose entry is gone.
const MISSING: &str = "missing";
/// Findings kept; the rest is only counted.
const KEPT: usize = 1000;

/// Something that is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// 記録者番号 in hexadecimal, as in [`Position`]; none for a finding about anchors.
    pub writer: Option<String>,
    /// 区間番号.
    pub segment: Option<i32>,
    /// Number within the segment; none when the segment itself is concerned.
    pub n: Option<i32>,
    /// What differs: `altered`, `missing`, `added`, `swapped with n`, …
    pub what: String,
}

/// Result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Writers with at least one closed segment.
    pub writers: u64,
    /// Closed segments.
    pub segments: u64,
    /// Of these, closed late after their process died.
    pub closed_late: u64,
    /// Entries in closed segments.
    pub entries: u64,
    /// Entries of living writers in segments not yet closed (about the last second): durable, not yet provable.
    pub not_yet_sealed: u64,
    /// Closed segments that no anchor covers yet (about the last minute).
    pub not_yet_anchored: u64,
    /// Numbers of rolled back writes.
    pub voids: u64,
    /// Numbers that a killed process had given away and not written; only in late closed segments.
    pub holes: u64,
    /// Entries deleted under a certificate, when their time was over.
    pub purged: u64,
    /// The months of these, yyyymm.
    pub purged_months: Vec<Month>,
    /// Signed trees of the people of an insurer in a month.
    pub trees: u64,
    /// Anchors in the database.
    pub anchors: u64,
    /// Of these, those whose entries were lost by a restore that two operators accepted.
    pub anchors_of_lost: u64,
    /// Anchors in the file outside.
    pub anchors_outside: u64,
    /// When the newest anchor was signed, microseconds UTC.
    pub last_anchor_at: Option<i64>,
    /// How much is wrong.
    pub differences: u64,
    /// What is wrong, the first of each segment first; at most 1,000.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing was altered, removed or added.
    pub fn is_intact(&self) -> bool {
        self.differences == 0
    }

    fn add(&mut self, writer: Option<i64>, segment: Option<i32>, n: Option<i32>, what: impl Into<String>) {
        self.differences += 1;
        if self.findings.len() < KEPT {
            let writer = writer.map(|writer| format!("{writer:016x}"));
            self.findings.push(Finding { writer, segment, n, what: what.into() });
        }
    }
}

/// Verifies everything. With the keys also that everybody on a list view will find it.
pub(crate) async fn verify(
    engine: &Engine,
    keyring: Option<&Keyring>,
    key: &PublicKey,
    anchor_dir: &Path,
) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    // Outside first, then anchors, then segments, then entries: each was written after what it covers.
    let outside = Outside::new(anchor_dir).all()?;
    let heads = check_anchors(engine, key, &outside, &mut report).await?;
    let purged = Purged::read(engine, key).await?;
    for month in &purged.refused {
        report.add(None, None, None, format!("certificate of the purge of {month} is not signed by this key"));
    }
    check_segments(engine, keyring, heads, &purged, &mut report).await?;
    report.purged_months = purged.months;
    check_unsealed(engine, &mut report).await?;
    let (trees, wrong) = super::person::differences(engine, &report.purged_months).await?;
    report.trees = trees;
    wrong.into_iter().for_each(|what| report.add(None, None, None, what));
    Ok(report)
}

type Heads = BTreeMap<(i64, i32), (Hash, i64)>;

/// Checks the chain of anchors and that the outside file is a copy of it; returns all heads with their anchor's number.
async fn check_anchors(
    engine: &Engine,
    key: &PublicKey,
    outside: &[Anchor],
    report: &mut VerifyReport,
) -> Result<Heads, StoreError> {
    report.anchors_outside = outside.len() as u64;
    let mut outside = outside.iter().peekable();
    let gaps = gaps(engine, key).await?;
    let mut heads = Heads::new();
    let (mut number, mut previous) = (0, HOLE);
    loop {
        let some = anchor::after(engine, number).await?;
        if some.is_empty() {
            break;
        }
        for inside in some {
            if inside.number != number + 1 || inside.previous != previous {
                report.add(None, None, None, format!("anchor {} does not follow anchor {number}", inside.number));
            }
            if !inside.is_signed_by(key) {
                report.add(None, None, None, format!("anchor {} is not signed by this key", inside.number));
            }
            while let Some(copy) = outside.next_if(|copy| copy.number < inside.number) {
                report.add(None, None, None, format!("anchor {} is outside only", copy.number));
                note_heads(&mut heads, copy);
            }
            if let Some(copy) = outside.next_if(|copy| copy.number == inside.number)
                && *copy != inside
            {
                report.add(None, None, None, format!("anchor {} differs from the one outside", inside.number));
                note_heads(&mut heads, copy);
            }
            if gaps.covers(inside.number) {
                report.anchors_of_lost += 1;
            } else {
                note_heads(&mut heads, &inside);
            }
            report.anchors += 1;
            report.last_anchor_at = Some(inside.at);
            (number, previous) = (inside.number, inside.hash());
        }
    }
    for copy in outside {
        report.add(
            None,
            None,
            None,
            format!("anchor {} is outside only: the log is older than it, or was cut", copy.number),
        );
        note_heads(&mut heads, copy);
    }
    Ok(heads)
}

fn note_heads(heads: &mut Heads, anchor: &Anchor) {
    for head in &anchor.heads {
        heads.entry((head.writer, head.segment)).or_insert((head.header, anchor.number));
    }
}

async fn check_segments(
    engine: &Engine,
    keyring: Option<&Keyring>,
    mut heads: Heads,
    purged: &Purged,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    // Highest segment of each writer that is signed.
    let signed: BTreeMap<i64, i32> = heads.keys().copied().collect();
    let mut place = (-1, 0);
    let mut chain: Option<(i64, i32, Hash)> = None;
    while let Some(segment) = next_segment(engine, place).await? {
        let Header { writer, segment: number, .. } = segment.header;
        place = (writer, number);
        report.segments += 1;
        report.closed_late += u64::from(segment.header.closed_late);
        let (next, previous) = match chain {
            Some((same, last, hash)) if same == writer => (last + 1, hash),
            _ => {
                report.writers += 1;
                (0, HOLE)
            }
        };
        for missing in next..number {
            report.add(Some(writer), Some(missing), None, "segment missing");
        }
        if segment.header.hash() != segment.header_hash || (number == next && segment.header.previous != previous) {
            report.add(Some(writer), Some(number), None, "header altered");
        }
        match heads.remove(&(writer, number)) {
            Some((header, anchor)) if header != segment.header.hash() => {
                report.add(
                    Some(writer),
                    Some(number),
                    None,
                    format!("segment is not the one signed by anchor {anchor}"),
                );
            }
            _ => {}
        }
        report.not_yet_anchored += u64::from(signed.get(&writer).is_none_or(|last| number > *last));
        check_entries(engine, keyring, &segment, purged, report).await?;
        chain = Some((writer, number, segment.header.hash()));
    }
    for ((writer, segment), (_, anchor)) in heads {
        report.add(Some(writer), Some(segment), None, format!("segment missing, signed by anchor {anchor}"));
    }
    Ok(())
}

async fn next_segment(engine: &Engine, after: (i64, i32)) -> Result<Option<StoredSegment>, StoreError> {
    const SQL: &str = "SELECT writer, segment, entries, leaves, root, previous, salt, closed_at, closed_late, header \
                       FROM audit_segment WHERE (writer, segment) > ($1, $2) ORDER BY writer, segment LIMIT 1";
    engine.rows(SQL, args![after.0, after.1]).await?.first().map(StoredSegment::from_row).transpose()
}

async fn check_entries(
    engine: &Engine,
    keyring: Option<&Keyring>,
    segment: &StoredSegment,
    purged: &Purged,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let Header { writer, segment: number, .. } = segment.header;
    if segment.leaves.len() != segment.header.entries as usize || tree::root(&segment.leaves) != segment.header.root {
        report.add(Some(writer), Some(number), None, "leaves do not lead to the root");
    }
    let entries = read_entries(engine, writer, number).await?;
    for (n, what) in differences(segment, &entries) {
        if what == MISSING && purged.covers(Position { writer, segment: number, n }) {
            report.purged += 1;
            continue;
        }
        report.add(Some(writer), Some(number), Some(n), what);
    }
    report.holes += segment.leaves.iter().filter(|leaf| **leaf == HOLE).count() as u64;
    for entry in &entries {
        report.entries += 1;
        report.voids += u64::from(entry.outcome == "void");
        if let Some(keyring) = keyring
            && entry.subjects > 0
        {
            check_list(engine, keyring, entry, report).await?;
        }
    }
    Ok(())
}

/// The first difference of one segment.
pub(crate) async fn first_difference(
    engine: &Engine,
    stored: &StoredSegment,
    purged: &Purged,
) -> Result<Option<(i32, String)>, StoreError> {
    let Header { writer, segment, .. } = stored.header;
    let entries = read_entries(engine, writer, segment).await?;
    let is_purged = |n: i32, what: &str| what == MISSING && purged.covers(Position { writer, segment, n });
    Ok(differences(stored, &entries).into_iter().find(|(n, what)| !is_purged(*n, what)))
}

/// Every number whose entry is not the one that was sealed.
fn differences(segment: &StoredSegment, entries: &[StoredEntry]) -> Vec<(i32, String)> {
    let mut found: BTreeMap<i32, Vec<&StoredEntry>> = BTreeMap::new();
    for entry in entries {
        found.entry(entry.position.n).or_default().push(entry);
    }
    let mut differences = Vec::new();
    for (n, leaf) in (0..).zip(&segment.leaves) {
        let here = found.remove(&n).unwrap_or_default();
        let is_right = |entry: &&StoredEntry| tree::leaf(entry, &segment.salt) == *leaf;
        match (here.as_slice(), *leaf == HOLE) {
            ([], true) => {}
            ([], false) => differences.push((n, MISSING.to_owned())),
            (_, true) => differences.push((n, "added where a killed process had left a hole".to_owned())),
            ([one], false) if is_right(one) => {}
            ([_], false) => differences.push((n, describe(segment, entries, n, leaf))),
            (_, false) => differences.push((n, "added: several entries have this number".to_owned())),
        }
    }
    differences.extend(found.into_keys().map(|n| (n, "added after the segment was sealed".to_owned())));
    differences
}

/// Whether the entry that belongs at `n` stands at another number.
fn describe(segment: &StoredSegment, entries: &[StoredEntry], n: i32, leaf: &Hash) -> String {
    let belongs_here = |entry: &&StoredEntry| {
        let moved = StoredEntry { position: Position { n, ..entry.position }, ..(*entry).clone() };
        tree::leaf(&moved, &segment.salt) == *leaf
    };
    match entries.iter().find(belongs_here) {
        Some(other) => format!("swapped: the entry that belongs here stands at {}", other.position.n),
        None => "altered".to_owned(),
    }
}

/// Everybody on a list view must find it: the day's first view by that organisation is in `audit_seen`.
async fn check_list(
    engine: &Engine,
    keyring: &Keyring,
    entry: &StoredEntry,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    const SQL: &str =
        "SELECT 1 FROM audit_seen WHERE insurer_number = $1 AND insured_number = $2 AND organization = $3 AND day = $4";
    let Position { writer, segment, n } = entry.position;
    let Ok(detail) = entry.open_detail(&*keyring.audit_for(entry.sealed.as_deref().unwrap_or_default()).await?) else {
        report.add(Some(writer), Some(segment), Some(n), "detail cannot be opened");
        return Ok(());
    };
    let (Some(organization), day) = (&entry.organization, day_in_japan(entry.at)?) else { return Ok(()) };
    for subject in &detail.subjects {
        if engine.rows(SQL, args![&entry.insurer, subject, organization, day]).await?.is_empty() {
            report.add(
                Some(writer),
                Some(segment),
                Some(n),
                "a person on this list view would not find it (audit_seen)",
            );
            break;
        }
    }
    Ok(())
}

/// Entries outside closed segments are in order only while their writer lives.
async fn check_unsealed(engine: &Engine, report: &mut VerifyReport) -> Result<(), StoreError> {
    const SQL: &str = "SELECT a.writer, a.segment, COUNT(*), MAX(w.state) FROM audit a \
                       LEFT JOIN audit_segment s ON s.writer = a.writer AND s.segment = a.segment \
                       LEFT JOIN audit_writer w ON w.writer = a.writer \
                       WHERE s.writer IS NULL GROUP BY a.writer, a.segment ORDER BY a.writer, a.segment";
    for row in slow_rows(engine, SQL, args![]).await? {
        let count = row.big(2)?;
        if row.text_or_null(3)?.as_deref() == Some("live") {
            report.not_yet_sealed += count as u64;
        } else {
            report.add(Some(row.big(0)?), Some(row.int(1)?), None, format!("{count} entries without a sealed segment"));
        }
    }
    Ok(())
}
