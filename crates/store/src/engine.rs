//! The two databases behind one small face: run a statement, fetch rows, begin, commit. Everything that differs between
//! SQLite and PostgreSQL in connecting, locking and committing is in this file; the SQL itself is shared (decision
//! 0006.10–12, docs/decisions/0002).

use crate::StoreError;
use crate::readers::{Readers, is_gone};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Row as _, SqliteConnection};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Where the data lives.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// One file, WAL, `synchronous=FULL`; many readers, exactly one writer behind a fair queue.
    Sqlite { read: Arc<Readers<SqliteConnection>>, write: Arc<Mutex<SqliteWriter>> },
    /// PostgreSQL 15 or later (also Citus): connections for statements that stand alone, for transactions, and for the
    /// batches of the audit log, which must not wait for either.
    Postgres { read: Arc<Readers<PgConnection>>, write: PgPool, audit: PgPool },
}

/// How long a write waits for the one writer of SQLite before it answers "unavailable" (decision 0006.29).
pub(crate) const WRITER_WAIT: Duration = Duration::from_secs(10);

/// The only connection that writes to SQLite.
#[derive(Debug)]
pub(crate) struct SqliteWriter {
    /// None once the store is closed.
    connection: Option<SqliteConnection>,
    /// A transaction was dropped without commit and waits to be rolled back.
    unfinished: bool,
}

impl SqliteWriter {
    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connection.as_mut().ok_or_else(|| StoreError::Unavailable("store is closed".to_owned()))
    }
}

/// A value bound to a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arg<'a> {
    Text(Option<&'a str>),
    Int(Option<i32>),
    Big(Option<i64>),
    Blob(Option<&'a [u8]>),
    Bool(bool),
}

macro_rules! arg_from {
    ($($type:ty => $variant:ident),+ $(,)?) => {$(
        impl<'a> From<$type> for Arg<'a> {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}
arg_from! { &'a str => Text, Option<&'a str> => Text, i32 => Int, Option<i32> => Int, i64 => Big, Option<i64> => Big,
&'a [u8] => Blob, Option<&'a [u8]> => Blob, bool => Bool }

impl<'a> From<&'a String> for Arg<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<&'a Vec<u8>> for Arg<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Blob(Some(value))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Arg<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Blob(Some(value))
    }
}

/// `args![a, b]` makes the array of bound values.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::engine::Arg::from($value)),*] };
}
pub(crate) use args;

/// A row of either engine, read by position, **by one thread at a time**: sqlx notes in a value of SQLite, without a lock, that
/// it was lent out, and calls the row `Sync` all the same. Two threads that read one row at once read each other's half-written
/// note: an empty value, for which no MAC fits, or worse. Whoever shares rows puts them behind a lock ([`crate::gather`]).
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! getter {
    ($name:ident, $type:ty) => {
        pub(crate) fn $name(&self, column: usize) -> Result<$type, StoreError> {
            Ok(match self {
                Self::Sqlite(row) => row.try_get(column)?,
                Self::Postgres(row) => row.try_get(column)?,
            })
        }
    };
}

impl Row {
    getter!(text, String);
    getter!(text_or_null, Option<String>);
    getter!(int, i32);
    getter!(int_or_null, Option<i32>);
    getter!(big, i64);
    getter!(big_or_null, Option<i64>);
    getter!(blob, Vec<u8>);
    getter!(blob_or_null, Option<Vec<u8>>);
    getter!(boolean, bool);

    /// A text that stays in the row.
    pub(crate) fn text_ref(&self, column: usize) -> Result<&str, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Bytes that stay in the row.
    pub(crate) fn blob_ref(&self, column: usize) -> Result<&[u8], StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A value as it lies in the row.
    pub(crate) fn bytes_or_null(&self, column: usize) -> Result<Option<&[u8]>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// How many values a statement takes: its highest `$n`.
pub(crate) fn parameters(sql: &str) -> usize {
    let number =
        |digits: &str| digits.bytes().take_while(u8::is_ascii_digit).fold(0, |n, d| n * 10 + usize::from(d - b'0'));
    sql.split('$').skip(1).map(number).max().unwrap_or(0)
}

macro_rules! bound {
    ($sql:expr, $args:expr) => {{
        // SQLite takes a value that is not bound as NULL and says nothing (decision 0006.11).
        debug_assert_eq!($args.len(), parameters($sql), "values given to {}", $sql);
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match *arg {
                Arg::Text(value) => query.bind(value.map(str::to_owned)),
                Arg::Int(value) => query.bind(value),
                Arg::Big(value) => query.bind(value),
                Arg::Blob(value) => query.bind(value.map(<[u8]>::to_vec)),
                Arg::Bool(value) => query.bind(value),
            };
        }
        query
    }};
}

/// Rows of a question on a connection of [`Readers`]; asked once more when a connection that had been idle is gone.
macro_rules! ask {
    ($readers:expr, $sql:expr, $args:expr) => {
        loop {
            let mut taken = $readers.take().await?;
            match bound!($sql, $args).fetch_all(&mut taken.connection).await {
                Ok(rows) => {
                    taken.give_back();
                    break rows;
                }
                Err(error) if taken.is_used && is_gone(&error) => $readers.forget(),
                Err(error) => return Err(error.into()),
            }
        }
    };
}

/// A transaction. Dropped without [`RawTx::commit`] it leaves nothing behind.
pub(crate) enum RawTx {
    Sqlite(OwnedMutexGuard<SqliteWriter>),
    Postgres(PgTx),
}

/// A transaction on a connection of a pool, which gets it back as it was: committed, rolled back, or not at all. A `COPY` that
/// its caller left in the middle is closed with its connection: sqlx does not count the answer that is still to come, and whoever
/// had the connection next would read the answers of the questions before.
pub(crate) struct PgTx {
    /// None once it is committed or given up.
    connection: Option<PoolConnection<Postgres>>,
    /// Where it stands is not known.
    is_astray: bool,
}

impl PgTx {
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.connection.as_deref_mut().ok_or_else(|| StoreError::Internal("the transaction is over".to_owned()))
    }

    /// Copies in; a caller that goes away meanwhile takes the connection along.
    pub(crate) async fn copy(
        &mut self,
        statement: &str,
        pieces: impl Iterator<Item = &[u8]>,
    ) -> Result<(), StoreError> {
        self.is_astray = true;
        let mut into = self.connection()?.copy_in_raw(statement).await?;
        for piece in pieces {
            into.send(piece).await?;
        }
        into.finish().await?;
        self.is_astray = false;
        Ok(())
    }

    async fn commit(mut self) -> Result<(), sqlx::Error> {
        let Some(mut connection) = self.connection.take() else { return Err(sqlx::Error::WorkerCrashed) };
        let ended = sqlx::raw_sql("COMMIT").execute(&mut *connection).await;
        if ended.is_err() {
            connection.close_on_drop();
        }
        ended.map(drop)
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !self.is_astray => drop(runtime.spawn(async move {
                if sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_err() {
                    connection.close_on_drop();
                }
            })),
            _ => connection.close_on_drop(),
        }
    }
}

/// How a commit ended (decision 0006.34).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// Durable.
    Done,
    /// The COMMIT was sent and no clear answer came: it may or may not be durable.
    Unknown,
}

impl Engine {
    /// Opens by address: `sqlite:PATH` or `postgres://…`.
    pub(crate) async fn open(address: &str) -> Result<Self, StoreError> {
        match address.strip_prefix("sqlite:") {
            Some(path) => Self::open_sqlite(Path::new(path)).await,
            None => Self::open_postgres(address).await,
        }
    }

    async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let connection = SqliteConnection::connect_with(&options).await?;
        let read = Arc::new(Readers::new(options.pragma("query_only", "on"), 4));
        let writer = SqliteWriter { connection: Some(connection), unfinished: false };
        Ok(Self::Sqlite { read, write: Arc::new(Mutex::new(writer)) })
    }

    async fn open_postgres(address: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(address)?;
        refuse_open_network(&options)?;
        let options = options
            .application_name("kiban")
            .options([
                ("statement_timeout", "10s"),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ])
            .disable_statement_logging();
        let read = Arc::new(Readers::new(options.clone(), 12));
        let write = transactions(12).connect_with(options.clone()).await?;
        // Few, so that their statements stay prepared and their pages in the session's caches.
        let audit = transactions(2).connect_lazy_with(options);
        let engine = Self::Postgres { read, write, audit };
        engine.refuse_unsafe_postgres().await?;
        Ok(engine)
    }

    /// Durable means durable: a server that may lose a commit is not used (decision 0006.7).
    async fn refuse_unsafe_postgres(&self) -> Result<(), StoreError> {
        for (setting, refused) in [
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("synchronous_commit", "local"),
            ("synchronous_commit", "remote_write"),
            ("full_page_writes", "off"),
            ("data_sync_retry", "on"),
        ] {
            let rows = self.rows("SELECT current_setting($1)", args![setting]).await?;
            let value = rows.first().map(|row| row.text(0)).transpose()?.unwrap_or_default();
            if value == refused {
                return Err(StoreError::Unsafe(format!("PostgreSQL runs with {setting}={value}")));
            }
        }
        Ok(())
    }

    /// True on PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Rows of a statement that only reads.
    pub(crate) async fn rows(&self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { read, .. } => ask!(read, sql, args).into_iter().map(Row::Sqlite).collect(),
            Self::Postgres { read, .. } => ask!(read, sql, args).into_iter().map(Row::Postgres).collect(),
        })
    }

    /// Begins a transaction; on SQLite waits for the one writer in a fair queue.
    pub(crate) async fn begin(&self) -> Result<RawTx, StoreError> {
        match self {
            Self::Sqlite { write, .. } => {
                let waited = tokio::time::timeout(WRITER_WAIT, Arc::clone(write).lock_owned()).await;
                let mut guard = waited.map_err(|_| StoreError::Unavailable("the writer is busy".to_owned()))?;
                if guard.unfinished {
                    // "no transaction is active" is normal here: SQLite rolls back by itself when the disk is full (F-7).
                    let _ = sqlx::query("ROLLBACK").execute(guard.connection()?).await;
                }
                // Set before: a caller that goes away while BEGIN is under way must not leave it open unseen.
                guard.unfinished = true;
                sqlx::query("BEGIN IMMEDIATE").execute(guard.connection()?).await?;
                Ok(RawTx::Sqlite(guard))
            }
            Self::Postgres { write, .. } => begin_on(write).await,
        }
    }

    /// The same for a batch of the audit log.
    pub(crate) async fn begin_batch(&self) -> Result<RawTx, StoreError> {
        match self {
            Self::Sqlite { .. } => self.begin().await,
            Self::Postgres { audit, .. } => begin_on(audit).await,
        }
    }

    /// Waits for open statements and closes every connection.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                let mut writer = write.lock().await;
                read.close().await;
                // The last one out, and awaited: it folds the log into the database and removes its files by name.
                if let Some(connection) = writer.connection.take() {
                    let _ = connection.close().await;
                }
            }
            Self::Postgres { read, write, audit } => {
                read.close().await;
                write.close().await;
                audit.close().await;
            }
        }
    }
}

/// Over a network the server must prove its name, or somebody between could read and answer everything. Not asked of this
/// machine: a unix socket or the loopback address.
fn refuse_open_network(options: &PgConnectOptions) -> Result<(), StoreError> {
    let host = options.get_host();
    let is_local = options.get_socket().is_some()
        || host.starts_with('/')
        || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]");
    if is_local || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
        return Ok(());
    }
    Err(StoreError::Unsafe(
        "PostgreSQL on another machine without a verified server name; add sslmode=verify-full (and sslrootcert=FILE for a private CA) to its address"
            .to_owned(),
    ))
}

/// A pool for transactions.
fn transactions(size: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(Duration::from_secs(2))
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                // A connection used a moment ago is there; asking each time would cost a round trip a write.
                if idle.idle_for > Duration::from_secs(1) {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Begins on a connection that is there. After a restart of the database the idle ones are all gone, and a BEGIN, on which
/// nothing depends yet, may be asked again.
async fn begin_on(pool: &PgPool) -> Result<RawTx, StoreError> {
    let mut idle = pool.num_idle();
    loop {
        // From here on it is rolled back when this caller goes away.
        let mut tx = PgTx { connection: Some(pool.acquire().await?), is_astray: false };
        match sqlx::raw_sql("BEGIN").execute(tx.connection()?).await {
            Ok(_) => return Ok(RawTx::Postgres(tx)),
            Err(error) if idle > 0 && is_gone(&error) => {
                tx.is_astray = true;
                idle -= 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl RawTx {
    /// Rows of a statement inside the transaction (also `RETURNING`).
    pub(crate) async fn rows(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(guard) => {
                bound!(sql, args).fetch_all(guard.connection()?).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                bound!(sql, args).fetch_all(tx.connection()?).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs a statement; the number of rows it changed.
    pub(crate) async fn run(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(guard) => bound!(sql, args).execute(guard.connection()?).await?.rows_affected(),
            Self::Postgres(tx) => bound!(sql, args).execute(tx.connection()?).await?.rows_affected(),
        })
    }

    /// Several statements without bound values, as in a migration.
    pub(crate) async fn script(&mut self, sql: String) -> Result<(), StoreError> {
        let sql = sqlx::AssertSqlSafe(sql);
        match self {
            Self::Sqlite(guard) => sqlx::raw_sql(sql).execute(guard.connection()?).await.map(drop)?,
            Self::Postgres(tx) => sqlx::raw_sql(sql).execute(tx.connection()?).await.map(drop)?,
        }
        Ok(())
    }

    /// Commits. After COMMIT is sent any error means "unknown", never "failed". On SQLite the first commit error ends the
    /// process: a commit reported as failed was found there after reopening (F-5), so nothing may be answered
    /// after it.
    pub(crate) async fn commit(self) -> Committed {
        match self {
            Self::Sqlite(mut guard) => {
                let Ok(connection) = guard.connection() else { return Committed::Unknown };
                if let Err(error) = sqlx::query("COMMIT").execute(connection).await {
                    tracing::error!(%error, "commit failed on the embedded database, the process ends");
                    std::process::exit(74);
                }
                guard.unfinished = false;
                Committed::Done
            }
            Self::Postgres(tx) => match tx.commit().await {
                Ok(()) => Committed::Done,
                Err(error) => {
                    tracing::error!(%error, "no clear answer to a commit");
                    Committed::Unknown
                }
            },
        }
    }
}
