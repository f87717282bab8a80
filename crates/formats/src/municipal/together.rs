//! The check of a whole package by several threads at once. Rows of different kinds never have the same key, so each kind
//! is read by one thread, its files in their order; what is found is what one thread would find.

use super::keys::Keys;
use super::{ManifestFile, MunicipalKind, PROBLEMS, Package, ReadRow, Source};
use crate::{Problem, Problems};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// With more problems than this the files share what is left of [`PROBLEMS`] in their order, which one thread alone can do.
const SHARED: usize = PROBLEMS - Problems::LIMIT;

/// What a package holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Sound rows by kind.
    pub rows: BTreeMap<MunicipalKind, u64>,
    /// Rows by kind that stand a second time, word for word, and count once.
    pub repeated: BTreeMap<MunicipalKind, u64>,
    /// All problems, as [`Package::check_source`] returns them.
    pub problems: Vec<Problem>,
}

/// The files of one kind: place in the manifest, entry, place in the source.
struct Lot<'a> {
    kind: MunicipalKind,
    files: Vec<(usize, &'a ManifestFile, usize)>,
}

/// Rows that stand twice, by kind.
type Repeated = BTreeMap<MunicipalKind, u64>;

/// Problems of a file, by its place in the manifest.
type OfFile = (usize, Vec<Problem>);

impl<S: Source + Sync> Package<S> {
    /// [`Package::check_source`] for whoever needs the number of sound rows only, on at most so many threads.
    pub fn count_source(&self, threads: usize) -> io::Result<Counted> {
        let lots = self.lots();
        let (next, found) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let read = || {
            let mut done: Vec<(MunicipalKind, u64, Repeated, Vec<OfFile>)> = Vec::new();
            while let Some(lot) = lots.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (rows, twice, problems) = self.count_lot(lot, &found)?;
                done.push((lot.kind, rows, twice, problems));
            }
            Ok::<_, io::Error>(done)
        };
        let done = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.min(lots.len())).map(|_| scope.spawn(read)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread that read a package ended")))
            };
            threads.into_iter().map(join).collect::<io::Result<Vec<_>>>()
        })?;
        if found.load(Ordering::Relaxed) > SHARED {
            return self.count_alone();
        }
        let (mut rows, mut repeated, mut of_file) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (kind, sound, twice, problems) in done.into_iter().flatten() {
            rows.extend((sound > 0).then_some((kind, sound)));
            repeated.extend(twice);
            of_file.extend(problems);
        }
        let mut problems = self.problems.clone();
        for (place, entry) in self.named().iter().enumerate() {
            match self.place_of(entry) {
                Some(_) => problems.extend(of_file.remove(&place).unwrap_or_default()),
                None => problems.push(super::missing(entry)),
            }
        }
        self.check_unnamed(&mut problems)?;
        Ok(Counted { rows, repeated, problems })
    }

    /// The files by kind, those with most rows first.
    fn lots(&self) -> Vec<Lot<'_>> {
        let mut lots: BTreeMap<MunicipalKind, Lot<'_>> = BTreeMap::new();
        for (place, entry) in self.named().iter().enumerate() {
            if let Some(file) = self.place_of(entry) {
                let lot = lots.entry(entry.kind).or_insert_with(|| Lot { kind: entry.kind, files: Vec::new() });
                lot.files.push((place, entry, file));
            }
        }
        let mut lots: Vec<_> = lots.into_values().collect();
        lots.sort_by_key(|lot| std::cmp::Reverse(lot.files.iter().map(|(_, entry, _)| entry.rows).sum::<u64>()));
        lots
    }

    fn count_lot(&self, lot: &Lot<'_>, found: &AtomicUsize) -> io::Result<(u64, Repeated, Vec<OfFile>)> {
        let (mut rows, mut problems, mut keys) = (0, Vec::new(), Keys::new());
        keys.turn_to(lot.kind, super::rows_of(self.named(), lot.kind));
        for (place, entry, file) in &lot.files {
            if found.load(Ordering::Relaxed) > SHARED {
                break;
            }
            let of_file = self.check_file(entry, *file, Problems::LIMIT, &mut keys, &mut |row| {
                rows += u64::from(matches!(row, ReadRow::Sound(_)));
            })?;
            found.fetch_add(of_file.len(), Ordering::Relaxed);
            if !of_file.is_empty() {
                problems.push((*place, of_file));
            }
        }
        Ok((rows, keys.into_repeated(), problems))
    }

    fn count_alone(&self) -> io::Result<Counted> {
        let (mut rows, mut keys) = (BTreeMap::new(), Keys::new());
        let problems = self.check_with(&mut keys, &mut |row| {
            if let ReadRow::Sound(row) = row {
                *rows.entry(row.value.kind()).or_default() += 1;
            }
        })?;
        Ok(Counted { rows, repeated: keys.into_repeated(), problems })
    }
}
