//! Moving an installation from SQLite to PostgreSQL (decision 0006.18): every table row by row in the order of its key into an
//! empty database, in one transaction, then read back and compared by count and digest before it is committed. Sealed values
//! and MACs go as they are; the keys and the anchors outside stay where they lie.

use crate::audit::{Month, lock_is_held, make_months};
use crate::engine::{Engine, args};
use crate::seal::hex;
use crate::{StoreError, migrations};
use kiban_domain::Timestamp;
use ring::digest::{Context, SHA256};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection};
use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr as _;

/// Rows read at once.
const PAGE: usize = 500;
/// Bytes sent at once.
const SEND: usize = 1 << 20;

/// A table that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTable {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// SHA-256 over all rows in the order of the key, hexadecimal; the same on both sides.
    pub digest: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Int,
    Big,
    Blob,
    Bool,
}

struct Table {
    name: String,
    columns: Vec<(String, Type)>,
    /// Columns of the primary key, in its order.
    key: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Value {
    Text(Option<String>),
    Int(Option<i32>),
    Big(Option<i64>),
    Blob(Option<Vec<u8>>),
    Bool(Option<bool>),
}

macro_rules! read_row {
    ($row:expr, $table:expr) => {{
        let mut values = Vec::with_capacity($table.columns.len());
        for (at, (_, kind)) in $table.columns.iter().enumerate() {
            values.push(match kind {
                Type::Text => Value::Text($row.try_get(at)?),
                Type::Int => Value::Int($row.try_get(at)?),
                Type::Big => Value::Big($row.try_get(at)?),
                Type::Blob => Value::Blob($row.try_get(at)?),
                Type::Bool => Value::Bool($row.try_get(at)?),
            });
        }
        values
    }};
}

/// Copies everything from `sqlite:PATH` into the empty database at `postgres://…`. No server may be running on the old one:
/// its writers are found by their locks beside the anchors, and none can begin meanwhile. `progress` is told the rows copied
/// so far and in all. A failure leaves the new database without a row.
pub async fn move_database(
    from: &str,
    to: &str,
    anchor_dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<MovedTable>, StoreError> {
    let path = from.strip_prefix("sqlite:").filter(|path| Path::new(path).is_file());
    let path = path.ok_or_else(|| StoreError::File(format!("{from} is no SQLite database")))?;
    let (old, new) = (Engine::open(from).await?, Engine::open(to).await?);
    let done = move_between(&old, &new, path, to, anchor_dir, progress).await;
    old.close().await;
    new.close().await;
    done
}

async fn move_between(
    old: &Engine,
    new: &Engine,
    path: &str,
    to: &str,
    anchor_dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<MovedTable>, StoreError> {
    if !new.is_postgres() {
        return Err(StoreError::Unsafe("the new database must be PostgreSQL".to_owned()));
    }
    refuse_running(old, anchor_dir).await?;
    migrations::migrate(old, None).await?;
    migrations::migrate(new, None).await?;
    let mut source = SqliteConnectOptions::new().filename(path).disable_statement_logging().connect().await?;
    // Nobody writes from here on.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut source).await?;
    let mut target = PgConnectOptions::from_str(to)?.disable_statement_logging().connect().await?;
    let tables = tables(&mut source, &mut target).await?;
    refuse_filled(&mut target, &tables).await?;
    make_months_of(&mut source, new).await?;
    let moved = copy_all(&mut source, &mut target, &tables, progress).await?;
    let _ = source.close().await;
    let _ = target.close().await;
    Ok(moved)
}

async fn refuse_running(old: &Engine, anchor_dir: &Path) -> Result<(), StoreError> {
    const WRITERS: &str = "SELECT writer FROM audit_writer WHERE state = 'live' ORDER BY writer";
    for row in old.rows(WRITERS, args![]).await? {
        if lock_is_held(anchor_dir, row.big(0)?) {
            return Err(StoreError::Unsafe("a server still runs on the old database".to_owned()));
        }
    }
    Ok(())
}

/// Tables and columns as PostgreSQL has them, keys as SQLite has them; both must agree.
async fn tables(source: &mut SqliteConnection, target: &mut PgConnection) -> Result<Vec<Table>, StoreError> {
    let names = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace \
                 AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'schema_step' ORDER BY relname";
    let columns = "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
                   WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let mut tables = Vec::new();
    for name in sqlx::query(names).fetch_all(&mut *target).await? {
        let name: String = name.try_get(0)?;
        let mut table = Table { name, columns: Vec::new(), key: Vec::new() };
        for row in sqlx::query(columns).bind(&table.name).fetch_all(&mut *target).await? {
            let kind: String = row.try_get(1)?;
            table.columns.push((row.try_get(0)?, type_of(&kind)?));
        }
        table.key = key_of(source, &table).await?;
        tables.push(table);
    }
    let here: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let there =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_step'";
    for row in sqlx::query(there).fetch_all(source).await? {
        let name: String = row.try_get(0)?;
        if !here.contains(name.as_str()) {
            return Err(StoreError::Internal(format!("table {name} has no counterpart")));
        }
    }
    Ok(tables)
}

fn type_of(name: &str) -> Result<Type, StoreError> {
    Ok(match name {
        "text" => Type::Text,
        "integer" => Type::Int,
        "bigint" => Type::Big,
        "bytea" => Type::Blob,
        "boolean" => Type::Bool,
        other => return Err(StoreError::Internal(format!("a column of type {other}"))),
    })
}

async fn key_of(source: &mut SqliteConnection, table: &Table) -> Result<Vec<usize>, StoreError> {
    let differ = || StoreError::Internal(format!("the columns of {} differ", table.name));
    let (mut key, mut seen) = (Vec::new(), 0);
    let columns = "SELECT name, pk FROM pragma_table_info($1) ORDER BY pk";
    for row in sqlx::query(columns).bind(&table.name).fetch_all(source).await? {
        let (name, place): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let at = table.columns.iter().position(|(column, _)| *column == name).ok_or_else(differ)?;
        seen += 1;
        if place > 0 {
            key.push(at);
        }
    }
    if seen == table.columns.len() && !key.is_empty() { Ok(key) } else { Err(differ()) }
}

async fn refuse_filled(target: &mut PgConnection, tables: &[Table]) -> Result<(), StoreError> {
    for Table { name, .. } in tables {
        let any = format!("SELECT 1 FROM {name} LIMIT 1");
        if sqlx::query(AssertSqlSafe(any)).fetch_optional(&mut *target).await?.is_some() {
            return Err(StoreError::Unsafe(format!("the new database is not empty: {name} has rows")));
        }
    }
    Ok(())
}

/// So that each entry goes into its month at once.
async fn make_months_of(source: &mut SqliteConnection, new: &Engine) -> Result<(), StoreError> {
    const DAY: i64 = 86_400_000_000;
    let days = "SELECT DISTINCT at / 86400000000 FROM audit UNION SELECT DISTINCT at / 86400000000 + 1 FROM audit";
    let mut months = BTreeSet::new();
    for row in sqlx::query(days).fetch_all(source).await? {
        let at = Timestamp::from_microsecond(row.try_get::<i64, _>(0)? * DAY);
        months.insert(Month::of(at.map_err(|_| StoreError::Unreadable("time of an audit entry"))?));
    }
    for month in months {
        make_months(new, month, month).await?;
    }
    Ok(())
}

async fn copy_all(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    tables: &[Table],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<MovedTable>, StoreError> {
    let mut all = 0;
    for Table { name, .. } in tables {
        let count = sqlx::query(AssertSqlSafe(format!("SELECT COUNT(*) FROM {name}"))).fetch_one(&mut *source).await?;
        all += count.try_get::<i64, _>(0)?.cast_unsigned();
    }
    let mut tx = target.begin().await?;
    let (mut moved, mut copied) = (Vec::new(), 0);
    for table in tables {
        let there = copy(source, &mut tx, table, &mut |rows| progress(copied + rows, all)).await?;
        copied += there.rows;
        if read_back(&mut tx, table).await? != there {
            return Err(StoreError::Conflict("a table is not the same on both sides"));
        }
        moved.push(there);
    }
    tx.commit().await.map_err(|_| StoreError::Unknown)?;
    Ok(moved)
}

/// Copies one table; its rows and their digest.
async fn copy(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    table: &Table,
    progress: &mut dyn FnMut(u64),
) -> Result<MovedTable, StoreError> {
    let (name, columns) = (&table.name, table.column_list());
    let mut into = target.copy_in_raw(&format!("COPY {name} ({columns}) FROM STDIN (FORMAT BINARY)")).await?;
    let mut buffer = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let (mut sum, mut last) = (Sum::default(), None);
    loop {
        let rows = page(source, table, last.as_deref()).await?;
        for row in &rows {
            let values = read_row!(row, table);
            sum.add(&values, &mut buffer);
            last = Some(table.key.iter().map(|at| values[*at].clone()).collect::<Vec<_>>());
            if buffer.len() >= SEND {
                into.send(std::mem::take(&mut buffer)).await?;
            }
        }
        progress(sum.rows);
        if rows.len() < PAGE {
            break;
        }
    }
    buffer.extend((-1i16).to_be_bytes());
    into.send(buffer).await?;
    into.finish().await?;
    Ok(sum.finish(table))
}

/// The rows behind a key, in the order of the key.
async fn page(
    source: &mut SqliteConnection,
    table: &Table,
    after: Option<&[Value]>,
) -> Result<Vec<SqliteRow>, StoreError> {
    let (columns, key) = (table.column_list(), table.key_list());
    let condition = match after {
        Some(key_values) => {
            let holes: Vec<_> = (1..=key_values.len()).map(|n| format!("${n}")).collect();
            format!("WHERE ({key}) > ({})", holes.join(", "))
        }
        None => String::new(),
    };
    let sql = format!("SELECT {columns} FROM {} {condition} ORDER BY {key} LIMIT {PAGE}", table.name);
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in after.unwrap_or_default() {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Int(number) => query.bind(*number),
            Value::Big(number) => query.bind(*number),
            Value::Blob(bytes) => query.bind(bytes.clone()),
            Value::Bool(yes) => query.bind(*yes),
        };
    }
    Ok(query.fetch_all(source).await?)
}

/// What stands in the new table: rows and digest in the order of the key.
async fn read_back(target: &mut PgConnection, table: &Table) -> Result<MovedTable, StoreError> {
    let order: Vec<String> = table.key.iter().map(|at| table.in_byte_order(*at)).collect();
    let declare = format!(
        "DECLARE moved NO SCROLL CURSOR FOR SELECT {} FROM {} ORDER BY {}",
        table.column_list(),
        table.name,
        order.join(", ")
    );
    sqlx::raw_sql(AssertSqlSafe(declare)).execute(&mut *target).await?;
    let (mut sum, mut spent) = (Sum::default(), Vec::new());
    loop {
        let fetch = sqlx::query(AssertSqlSafe(format!("FETCH {PAGE} FROM moved"))).persistent(false);
        let rows: Vec<PgRow> = fetch.fetch_all(&mut *target).await?;
        for row in &rows {
            spent.clear();
            sum.add(&read_row!(row, table), &mut spent);
        }
        if rows.len() < PAGE {
            break;
        }
    }
    sqlx::raw_sql("CLOSE moved").execute(&mut *target).await?;
    Ok(sum.finish(table))
}

impl Table {
    fn column_list(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn key_list(&self) -> String {
        self.key.iter().map(|at| self.columns[*at].0.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// A column of the key in the order that SQLite has.
    fn in_byte_order(&self, at: usize) -> String {
        let (name, kind) = &self.columns[at];
        if *kind == Type::Text { format!("{name} COLLATE \"C\"") } else { name.clone() }
    }
}

/// Rows and their digest so far, over the binary form of COPY.
struct Sum {
    rows: u64,
    digest: Context,
}

impl Default for Sum {
    fn default() -> Self {
        Self { rows: 0, digest: Context::new(&SHA256) }
    }
}

impl Sum {
    fn add(&mut self, values: &[Value], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend((values.len() as i16).to_be_bytes());
        for value in values {
            match value {
                Value::Text(text) => push(out, text.as_ref().map(String::as_bytes)),
                Value::Int(number) => push(out, number.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice)),
                Value::Big(number) => push(out, number.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice)),
                Value::Blob(bytes) => push(out, bytes.as_deref()),
                Value::Bool(yes) => push(out, yes.map(|yes| [u8::from(yes)]).as_ref().map(<[u8; 1]>::as_slice)),
            }
        }
        self.rows += 1;
        self.digest.update(&out[start..]);
    }

    fn finish(self, table: &Table) -> MovedTable {
        MovedTable { name: table.name.clone(), rows: self.rows, digest: hex(self.digest.finish().as_ref()) }
    }
}

fn push(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            out.extend((value.len() as u32).to_be_bytes());
            out.extend(value);
        }
        None => out.extend((-1i32).to_be_bytes()),
    }
}
