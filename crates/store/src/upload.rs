//! The files of a package as they arrive: sealed pieces, which are at once the spool, the original (P-030) and what is read
//! again after a cut. Nothing of a package is ever in clear on disk.

use crate::engine::args;
use crate::{InsurerKeys, Store, StoreError, Tx};
use kiban_domain::{InsurerNumber, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use zeroize::Zeroizing;

const BEGIN: &str = "INSERT INTO upload (insurer_number, upload_id, begun_at, arriving_at) VALUES ($1, $2, $3, $3)";
const GO_ON: &str =
    "UPDATE upload SET arriving_at = $3 WHERE insurer_number = $1 AND upload_id = $2 AND arriving_at IS NOT NULL";
const END: &str = "UPDATE upload SET arriving_at = NULL WHERE insurer_number = $1 AND upload_id = $2";
const PUT_PIECE: &str = "INSERT INTO upload_piece (insurer_number, upload_id, file_number, piece_number, content) VALUES ($1, $2, $3, $4, $5)";
const REPLACE_PIECE: &str = "UPDATE upload_piece SET content = $5
     WHERE insurer_number = $1 AND upload_id = $2 AND file_number = $3 AND piece_number = $4";
const PUT_FILE: &str = "INSERT INTO upload_file (insurer_number, upload_id, file_number, head) VALUES ($1, $2, $3, $4)";
const FILES: &str =
    "SELECT file_number, head FROM upload_file WHERE insurer_number = $1 AND upload_id = $2 ORDER BY file_number";
const PIECE: &str = "SELECT content FROM upload_piece
     WHERE insurer_number = $1 AND upload_id = $2 AND file_number = $3 AND piece_number = $4";
const DROP_PIECES: &str = "DELETE FROM upload_piece WHERE insurer_number = $1 AND upload_id = $2";
const DROP_FILES: &str = "DELETE FROM upload_file WHERE insurer_number = $1 AND upload_id = $2";
const DROP: &str = "DELETE FROM upload WHERE insurer_number = $1 AND upload_id = $2";
/// Whole ones without a receipt.
const HELD: &str =
    "SELECT u.upload_id FROM upload u WHERE u.insurer_number = $1 AND u.arriving_at IS NOT NULL AND EXISTS
     (SELECT 1 FROM upload_file f WHERE f.insurer_number = u.insurer_number AND f.upload_id = u.upload_id)";
const DROP_TRIAL: &str = "DELETE FROM upload_piece WHERE insurer_number = $1 AND upload_id = $2 AND file_number = -1";
const ABANDONED: &str =
    "SELECT insurer_number, upload_id FROM upload WHERE arriving_at < $1 ORDER BY arriving_at LIMIT 100";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    BEGIN,
    GO_ON,
    END,
    PUT_PIECE,
    REPLACE_PIECE,
    PUT_FILE,
    FILES,
    PIECE,
    DROP_PIECES,
    DROP_FILES,
    DROP,
    HELD,
    DROP_TRIAL,
    ABANDONED,
];

/// A file of a package as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFile {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them, lower-case hexadecimal.
    pub sha256: String,
    /// Pieces it was cut into.
    pub pieces: i32,
}

/// Number of the file, beside those that came, in which what a trial found is kept; gone once there is a receipt.
pub const TRIAL: i32 = -1;

/// A piece about to be kept, sealed already.
#[derive(Debug)]
pub struct SealedPiece {
    file: i32,
    piece: i32,
    content: Vec<u8>,
    keys: Arc<InsurerKeys>,
}

/// What pieces and heads are sealed to.
pub(crate) fn place<T>(
    insurer: InsurerNumber,
    upload: &str,
    file: i32,
    piece: i32,
    act: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let (insurer, file, piece) = (insurer.as_str().as_bytes(), file.to_be_bytes(), piece.to_be_bytes());
    act(&[b"upload", insurer, upload.as_bytes(), &file, &piece])
}

/// The head of a file stands where no piece does.
pub(crate) const HEAD: i32 = -1;

impl Tx {
    /// Notes that an upload has begun.
    pub async fn begin_upload(
        &mut self,
        insurer: InsurerNumber,
        upload: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.raw.run(BEGIN, args![insurer.as_str(), upload, now.as_microsecond()]).await?;
        Ok(())
    }

    /// Notes that more of an upload has come. One that was forgotten meanwhile is a conflict: its first pieces are gone.
    pub async fn go_on_with_upload(
        &mut self,
        insurer: InsurerNumber,
        upload: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self.raw.run(GO_ON, args![insurer.as_str(), upload, now.as_microsecond()]).await? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict("the upload was forgotten; send it again")),
        }
    }

    /// Notes that everything has come, in the transaction that gives the receipt: it is kept from now on.
    pub async fn end_upload(&mut self, insurer: InsurerNumber, upload: &str) -> Result<(), StoreError> {
        self.raw.run(DROP_TRIAL, args![insurer.as_str(), upload]).await?;
        self.raw.run(END, args![insurer.as_str(), upload]).await?;
        Ok(())
    }

    /// Keeps pieces; those whose key was closed since they were sealed are sealed once more.
    pub async fn put_pieces(
        &mut self,
        insurer: InsurerNumber,
        upload: &str,
        pieces: &[SealedPiece],
    ) -> Result<(), StoreError> {
        self.write_pieces(PUT_PIECE, insurer, upload, pieces).await
    }

    /// Puts pieces in the place of those that are kept there: what must not be kept is blanked in them (P-039).
    pub async fn replace_pieces(
        &mut self,
        insurer: InsurerNumber,
        upload: &str,
        pieces: &[SealedPiece],
    ) -> Result<(), StoreError> {
        self.write_pieces(REPLACE_PIECE, insurer, upload, pieces).await
    }

    async fn write_pieces(
        &mut self,
        statement: &'static str,
        insurer: InsurerNumber,
        upload: &str,
        pieces: &[SealedPiece],
    ) -> Result<(), StoreError> {
        for piece in pieces {
            let keys = self.keys_of(insurer.as_str()).await?;
            let mut content = Cow::Borrowed(&piece.content[..]);
            if piece.keys.sealing() != keys.sealing() {
                let anew = place(insurer, upload, piece.file, piece.piece, |aad| {
                    let plain = Zeroizing::new(piece.keys.open(aad, &piece.content)?);
                    Ok::<_, StoreError>(keys.seal(aad, &plain))
                })?;
                content = Cow::Owned(anew);
            }
            let values = args![insurer.as_str(), upload, piece.file, piece.piece, &content[..]];
            self.raw.run(statement, values).await?;
        }
        Ok(())
    }

    /// Keeps what is known of the files once all of their pieces are there.
    pub async fn put_upload_files(
        &mut self,
        insurer: InsurerNumber,
        upload: &str,
        files: &[UploadFile],
    ) -> Result<(), StoreError> {
        let keys = self.keys_of(insurer.as_str()).await?;
        for (number, file) in files.iter().enumerate() {
            let number = number as i32;
            let head = serde_json::to_vec(file).map_err(|error| StoreError::Internal(error.to_string()))?;
            let sealed = place(insurer, upload, number, HEAD, |aad| keys.seal(aad, &head));
            self.raw.run(PUT_FILE, args![insurer.as_str(), upload, number, &sealed]).await?;
        }
        Ok(())
    }

    /// Forgets the uploads of an insurer that are whole, wait for a decision and are not `kept`.
    pub async fn drop_held_uploads(
        &mut self,
        insurer: InsurerNumber,
        kept: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for row in self.raw.rows(HELD, args![insurer.as_str()]).await? {
            let upload = row.text(0)?;
            // One that gets its receipt at this moment is an original.
            if upload == kept || self.raw.run(GO_ON, args![insurer.as_str(), &upload, now.as_microsecond()]).await? != 1
            {
                continue;
            }
            self.drop_upload(insurer, &upload).await?;
        }
        Ok(())
    }

    /// Forgets an upload: half sent, or not to be kept (a 個人番号 in it, P-039).
    pub async fn drop_upload(&mut self, insurer: InsurerNumber, upload: &str) -> Result<(), StoreError> {
        for statement in [DROP_PIECES, DROP_FILES, DROP] {
            self.raw.run(statement, args![insurer.as_str(), upload]).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Seals a piece of a file, 0-based.
    pub async fn seal_piece(
        &self,
        insurer: InsurerNumber,
        upload: &str,
        (file, piece): (i32, i32),
        bytes: &[u8],
    ) -> Result<SealedPiece, StoreError> {
        let keys = self.keys.keys_of(insurer.as_str()).await?;
        let content = place(insurer, upload, file, piece, |aad| keys.seal(aad, bytes));
        Ok(SealedPiece { file, piece, content, keys })
    }

    /// The files of an upload that is whole; none when it is not kept.
    pub async fn upload_files(&self, insurer: InsurerNumber, upload: &str) -> Result<Vec<UploadFile>, StoreError> {
        let rows = self.engine.rows(FILES, args![insurer.as_str(), upload]).await?;
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[1]).await?;
        let mut files = Vec::with_capacity(rows.len());
        for row in &rows {
            let (number, sealed) = (row.int(0)?, row.blob(1)?);
            let head = place(insurer, upload, number, HEAD, |aad| keys.open(aad, &sealed))?;
            files.push(serde_json::from_slice(&head).map_err(|_| StoreError::Unreadable("upload_file"))?);
        }
        Ok(files)
    }

    /// A piece of a file, opened.
    pub async fn upload_piece(
        &self,
        insurer: InsurerNumber,
        upload: &str,
        (file, piece): (i32, i32),
    ) -> Result<Vec<u8>, StoreError> {
        let rows = self.engine.rows(PIECE, args![insurer.as_str(), upload, file, piece]).await?;
        let sealed = rows.first().ok_or(StoreError::Unreadable("upload_piece"))?.blob(0)?;
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[0]).await?;
        place(insurer, upload, file, piece, |aad| keys.open(aad, &sealed))
    }

    /// Uploads of which nothing has come since an instant and that never became a receipt, at most 100.
    pub async fn abandoned_uploads(&self, since: Timestamp) -> Result<Vec<(InsurerNumber, String)>, StoreError> {
        let rows = self.engine.rows(ABANDONED, args![since.as_microsecond()]).await?;
        rows.iter()
            .map(|row| {
                let insurer = InsurerNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("upload"))?;
                Ok((insurer, row.text(1)?))
            })
            .collect()
    }
}
