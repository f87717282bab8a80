//! What can go wrong in the store, by meaning.

/// An error of the store. None of its texts holds personal data.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or is too slow; nothing was written.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// A commit was sent and no clear answer came (decision 0006.34). The idempotency key resolves it.
    #[error("outcome unknown")]
    Unknown,
    /// The row was changed by somebody else, or a rule of uniqueness forbids it.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// A stored value cannot be opened or read back: wrong key or altered bytes.
    #[error("unreadable value in {0}")]
    Unreadable(&'static str),
    /// The database is set up so that it may lose a commit.
    #[error("unsafe database set-up: {0}")]
    Unsafe(String),
    /// The database was put back from a copy that nobody has accepted yet (docs/decisions/0011); which copy.
    #[error("restored from {0} and not accepted; run `kiban restore accept`")]
    Held(String),
    /// A file beside the database (keys, anchors, journal).
    #[error("file: {0}")]
    File(String),
    /// A fault of this program.
    #[error("internal: {0}")]
    Internal(String),
}

/// A row of a list: one that cannot be read is left out under an alarm, so that it closes nothing but itself.
pub(crate) fn readable<T>(table: &'static str, row: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match row {
        Err(error @ (StoreError::Unreadable(_) | StoreError::Internal(_))) => {
            tracing::error!(table, %error, "a row cannot be read and is not used");
            Ok(None)
        }
        other => other,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
                Self::Internal("a column has another type than expected".to_owned())
            }
            // The text of a database error may quote a value, so only its code is kept.
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                if error.is_unique_violation() || error.is_check_violation() || error.is_foreign_key_violation() {
                    Self::Internal(format!("constraint {} ({code})", error.constraint().unwrap_or("?")))
                } else if code.starts_with("42") || code == "1" {
                    Self::Internal(format!("statement refused ({code}): {}", error.message()))
                } else {
                    Self::Unavailable(format!("code {code}"))
                }
            }
            sqlx::Error::PoolTimedOut => Self::Unavailable("no free connection".to_owned()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
