//! An export with its history (P-160): a package holds one row per key, so what was corrected is in packages one after the
//! other. Taken in in their order they leave the same revisions behind, elsewhere too.
//!
//! A new package begins only where a row of the one before would come again: as few packages as possible, each with the
//! rows of the receipts up to its own. 登録日時 is when a platform came to know something and no item of a file: the other
//! platform has its own, and 作成日時 of each package says when this one knew its rows.

use crate::export::ExportedPackage;
use crate::{Error, Platform};
use kiban_domain::insured::Insured;
use kiban_domain::{InsurerNumber, Timestamp};
use kiban_formats::Problem;
use kiban_formats::municipal::{Change, PackageStream, WrittenFile};
use kiban_store::{BlockPerson, PersonHeader, StoredLink, StoredRecord};
use std::collections::{BTreeMap, HashSet};

/// People whose receipts are looked through at a time.
const BLOCK: i32 = 1_000;

/// The packages being written.
pub(crate) struct Packages {
    /// The last receipt of each package but the last.
    cuts: Vec<i64>,
    open: Vec<OpenPackage>,
    /// Each has a folder of its own.
    has_folders: bool,
}

struct OpenPackage {
    stream: PackageStream,
    made_at: Timestamp,
    rows: u64,
}

impl Packages {
    /// One package of what is known now.
    pub(crate) fn one((insurer, json): (InsurerNumber, bool), at: Timestamp) -> Self {
        let open = vec![OpenPackage { stream: stream(insurer, at, json), made_at: at, rows: 0 }];
        Self { cuts: Vec::new(), open, has_folders: false }
    }

    /// As many as it takes for everything that was known until `at`.
    pub(crate) async fn with_history(
        platform: &Platform,
        (insurer, json): (InsurerNumber, bool),
        at: Timestamp,
    ) -> Result<Self, Error> {
        let store = platform.store();
        // Of every receipt the latest one whose rows it superseded.
        let mut superseded: BTreeMap<i64, i64> = BTreeMap::new();
        let mut after = None;
        while let Some((last, found)) = store.superseded(insurer, after, BLOCK).await? {
            after = Some(last);
            for one in found {
                let before = superseded.entry(one.by).or_insert(one.before);
                *before = one.before.max(*before);
            }
        }
        let cuts = cuts(&superseded);
        let times = store.receipt_times(insurer).await?;
        let known_at = |cut: i64| times.iter().rfind(|(number, _)| *number <= cut).map_or(at, |(_, at)| *at);
        let mut made_at = vec![at];
        for cut in cuts.iter().rev() {
            // Each is made before the next one, to the second.
            let second_before = |at: &Timestamp| *at - jiff::SignedDuration::from_secs(1);
            let next = made_at.last().map_or(at, second_before);
            made_at.push(known_at(*cut).min(next));
        }
        made_at.reverse();
        let open = |made_at| OpenPackage { stream: stream(insurer, made_at, json), made_at, rows: 0 };
        Ok(Self { cuts, open: made_at.into_iter().map(open).collect(), has_folders: true })
    }

    /// Writes a row of a receipt into its package; a file that became full.
    pub(crate) fn write(
        &mut self,
        revision: i64,
        row: impl FnOnce(&mut PackageStream) -> Result<Option<WrittenFile>, Vec<Problem>>,
    ) -> Result<Option<WrittenFile>, Vec<Problem>> {
        let place = self.cuts.partition_point(|last| *last < revision);
        let has_folders = self.has_folders;
        let Some(package) = self.open.get_mut(place) else { return Ok(None) };
        let full = row(&mut package.stream)?;
        package.rows += 1;
        Ok(full.map(|file| if has_folders { in_folder(place, file) } else { file }))
    }

    /// The files that were not full, each package's manifest last, and what was written.
    pub(crate) fn finish(self) -> Result<(Vec<WrittenFile>, Vec<ExportedPackage>), Vec<Problem>> {
        let (mut files, mut packages) = (Vec::new(), Vec::new());
        for (place, package) in self.open.into_iter().enumerate() {
            let written = package.stream.finish()?;
            if !self.has_folders {
                files.extend(written);
            } else if package.rows > 0 {
                files.extend(written.into_iter().map(|file| in_folder(place, file)));
                let (made_at, rows) = (package.made_at, package.rows);
                packages.push(ExportedPackage { folder: folder(place), made_at, rows });
            }
        }
        Ok((files, packages))
    }
}

fn stream(insurer: InsurerNumber, made_at: Timestamp, json: bool) -> PackageStream {
    let stream = PackageStream::new(insurer, made_at);
    if json { stream.json() } else { stream }
}

fn folder(place: usize) -> String {
    format!("{:03}", place + 1)
}

fn in_folder(place: usize, (name, bytes): WrittenFile) -> WrittenFile {
    (format!("{}/{name}", folder(place)), bytes)
}

/// Where packages end so that no key comes twice in one: between a receipt and the one it superseded there is a cut. `superseded`
/// holds for each receipt the latest one before it with a row in common. The fewest there can be.
fn cuts(superseded: &BTreeMap<i64, i64>) -> Vec<i64> {
    let mut cuts: Vec<i64> = Vec::new();
    for (by, before) in superseded {
        if cuts.last().is_none_or(|cut| cut < before) {
            cuts.push(by - 1);
        }
    }
    cuts
}

/// A row with the receipt that brought it, its 履歴番号 and what it did to the one before.
pub(crate) struct Revision<T> {
    pub(crate) revision: i64,
    pub(crate) row: (u32, Change),
    pub(crate) value: T,
}

/// 訂正 once the key is there, 新規 when it is not or not any more.
fn change(deleted: bool, before: Option<bool>) -> Change {
    match (deleted, before) {
        (true, _) => Change::Deleted,
        (false, Some(false)) => Change::Corrected,
        (false, _) => Change::New,
    }
}

fn history(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Every version of a person in the order in which it became known.
pub(crate) fn versions(person: &mut BlockPerson, unapplied: &[i64]) -> Vec<Revision<Insured>> {
    let mut all: Vec<(PersonHeader, Insured)> = std::mem::take(&mut person.earlier);
    all.push((person.header.clone(), person.insured.clone()));
    all.retain(|(header, _)| !unapplied.contains(&header.revision));
    all.sort_by_key(|(header, _)| (header.revision, header.history_number));
    let mut seen = HashSet::new();
    all.into_iter()
        .map(|(header, value)| {
            let before = (!seen.insert(header.history_number)).then_some(false);
            let row = (history(header.history_number), change(false, before));
            Revision { revision: header.revision, row, value }
        })
        .collect()
}

/// Every revision of a person's records of one kind, key by key, the oldest first.
pub(crate) fn revisions(
    records: impl Iterator<Item = StoredRecord>,
    at: Timestamp,
    unapplied: &[i64],
) -> Vec<Revision<StoredRecord>> {
    let mut by_key: BTreeMap<String, Vec<StoredRecord>> = BTreeMap::new();
    for record in records.filter(|r| r.header.recorded_at <= at && !unapplied.contains(&r.header.revision)) {
        by_key.entry(record.header.natural_key.clone()).or_default().push(record);
    }
    let mut all = Vec::new();
    // An opinion is known by application, institution and 作成回数; its 履歴番号 is only its place.
    for (place, (key, mut revisions)) in (1..).zip(by_key) {
        revisions.sort_by_key(|record| record.header.revision);
        let mut before = None;
        for value in revisions {
            let row = (key.parse().unwrap_or(place), change(value.header.deleted, before));
            before = Some(value.header.deleted);
            all.push(Revision { revision: value.header.revision, row, value });
        }
    }
    all
}

/// Every revision of a person's 番号異動.
pub(crate) fn link_revisions(mut links: Vec<StoredLink>) -> Vec<Revision<StoredLink>> {
    links.sort_by_key(|link| (link.history_number, link.revision));
    let mut before: Option<(i64, bool)> = None;
    links
        .into_iter()
        .map(|value| {
            let earlier = before.filter(|(number, _)| *number == value.history_number).map(|(_, deleted)| deleted);
            before = Some((value.history_number, value.deleted));
            let row = (history(value.history_number), change(value.deleted, earlier));
            Revision { revision: value.revision, row, value }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_end_only_where_a_key_would_come_twice() {
        let cuts_of = |pairs: &[(i64, i64)]| cuts(&pairs.iter().copied().collect());
        assert_eq!(cuts_of(&[]), Vec::<i64>::new());
        // Receipt 5 corrects what 1 brought, 7 what 2 brought: one cut between 1, 2 and 5 is enough for both.
        assert_eq!(cuts_of(&[(5, 1), (7, 2)]), [4]);
        assert_eq!(cuts_of(&[(5, 1), (6, 5), (9, 2)]), [4, 5]);
        for n in 2..40i64 {
            let pairs: BTreeMap<i64, i64> = (2..n).filter(|by| by % 3 != 0).map(|by| (by, by / 2)).collect();
            let cuts = cuts(&pairs);
            assert!(pairs.iter().all(|(by, before)| cuts.iter().any(|cut| before <= cut && cut < by)), "{pairs:?}");
        }
    }
}
