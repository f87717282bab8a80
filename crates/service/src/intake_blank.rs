//! What must not be kept of a package (P-039): a 個人番号 in the pieces of its files is overwritten, so that a package that waits,
//! goes on after a cut or is set aside holds none. When it is closed, its pieces go altogether.

use crate::{Error, Platform};
use kiban_domain::Timestamp;
use kiban_formats::municipal::is_manifest;
use kiban_formats::text::blank_individual_numbers;
use kiban_store::{Entry, Lease, SealedPiece, StoreError};
use std::ops::Range;

/// Pieces written together.
const TOGETHER: usize = 8;
/// A number that begins so near the end of a piece is judged together with the next one.
const NEAR: usize = 256;

impl Platform {
    /// Overwrites every 個人番号 in an upload. A row that held one stays a row with an error; digests and counts stay those of what
    /// was sent. A manifest is left: one that holds such a number is refused and goes. Pieces that cannot be opened are left, too.
    pub(crate) async fn blank_upload(
        &self,
        lease: &Lease,
        upload: &str,
        entry: &Entry,
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Result<(), Error> {
        let files = self.store().upload_files(lease.insurer, upload).await?;
        let mut changed = Vec::new();
        for (number, file) in files.iter().enumerate().filter(|(_, file)| !is_manifest(&file.name)) {
            let is_json = file.name.ends_with(".json");
            let mut last: Option<(i32, Vec<u8>)> = None;
            for piece in 0..file.pieces {
                let content = match self.store().upload_piece(lease.insurer, upload, (number as i32, piece)).await {
                    Ok(content) => content,
                    Err(StoreError::Unreadable(_)) => {
                        last = None;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let mut pair = Pair::new(last.take(), (piece, content), piece + 1 == file.pieces);
                let within = pair.within();
                blank_individual_numbers(&mut pair.bytes, within, is_json);
                for (piece, bytes) in pair.changed() {
                    let place = (number as i32, piece);
                    changed.push(self.store().seal_piece(lease.insurer, upload, place, bytes).await?);
                }
                last = Some(pair.into_second());
                if changed.len() >= TOGETHER {
                    self.put_blanked(lease, upload, entry, clock, &mut changed).await?;
                }
            }
        }
        if changed.is_empty() { Ok(()) } else { self.put_blanked(lease, upload, entry, clock, &mut changed).await }
    }

    async fn put_blanked(
        &self,
        lease: &Lease,
        upload: &str,
        entry: &Entry,
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
        changed: &mut Vec<SealedPiece>,
    ) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        tx.hold_lease(lease, clock()).await?;
        tx.replace_pieces(lease.insurer, upload, changed).await?;
        tx.commit(entry.clone()).await?;
        changed.clear();
        Ok(())
    }
}

/// A piece with the one before it, as one run of bytes.
struct Pair {
    bytes: Vec<u8>,
    before: Vec<u8>,
    /// Number of the piece before, and its bytes.
    first: Option<(i32, usize)>,
    second: i32,
    is_end: bool,
}

impl Pair {
    fn new(first: Option<(i32, Vec<u8>)>, (second, content): (i32, Vec<u8>), is_end: bool) -> Self {
        let (first, mut bytes) = first.map_or((None, Vec::new()), |(n, bytes)| (Some((n, bytes.len())), bytes));
        bytes.extend_from_slice(&content);
        Self { before: bytes.clone(), bytes, first, second, is_end }
    }

    fn border(&self) -> usize {
        self.first.map_or(0, |(_, length)| length)
    }

    /// Where a number may begin: what is near the beginning was judged with the piece before, what is near the end is judged with
    /// the next one.
    fn within(&self) -> Range<usize> {
        let begin = if self.first.is_some_and(|(number, _)| number > 0) { NEAR } else { 0 };
        let end = if self.is_end { self.bytes.len() } else { self.bytes.len().saturating_sub(NEAR) };
        begin..end
    }

    /// The pieces that are not what they were.
    fn changed(&self) -> impl Iterator<Item = (i32, &[u8])> {
        let border = self.border();
        let first = self.first.map(|(number, _)| (number, 0..border));
        let parts = first.into_iter().chain([(self.second, border..self.bytes.len())]);
        parts
            .filter(|(_, part)| self.bytes[part.clone()] != self.before[part.clone()])
            .map(|(n, part)| (n, &self.bytes[part]))
    }

    fn into_second(mut self) -> (i32, Vec<u8>) {
        let border = self.border();
        (self.second, self.bytes.split_off(border))
    }
}
