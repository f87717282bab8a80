//! Copies of the database while it is written to, and putting one back (docs/decisions/0011, S-021…023). Nothing in a copy
//! opens without the master key, which is never in it.

use crate::StoreError;
use crate::audit::{Anchor, newest_anchor};
use crate::engine::{Engine, args};
use crate::migrations::STEPS;
use crate::restored;
use crate::seal::file_error;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const STEPS_DONE: &str = "SELECT name FROM schema_step ORDER BY name";

/// A copy that was made.
#[derive(Debug, Clone)]
pub struct Copied {
    /// `sqlite` or `postgresql`.
    pub engine: &'static str,
    /// The newest step of its schema.
    pub schema: String,
    /// The newest anchor that was there when the copy began; the copy holds at least what it covers.
    pub anchor: Option<Anchor>,
}

/// Copies the database at `address` into the file `to`, as of one moment, while others write: by `VACUUM INTO` on SQLite, by
/// `pg_dump` in its custom format on PostgreSQL. A copy of SQLite says itself that it is restored and not accepted.
pub async fn copy_database(address: &str, to: &Path, generation: &str, made_at: i64) -> Result<Copied, StoreError> {
    if let Some(path) = address.strip_prefix("sqlite:")
        && !Path::new(path).is_file()
    {
        return Err(StoreError::File(format!("{path} がありません")));
    }
    let engine = Engine::open(address).await?;
    let (copied, is_postgres) = (copied_from(&engine).await, engine.is_postgres());
    engine.close().await;
    let copied = copied?;
    if is_postgres {
        dump(address, to).await?;
    } else {
        vacuum(address, to, generation, made_at).await?;
    }
    own(to)?;
    Ok(copied)
}

async fn copied_from(engine: &Engine) -> Result<Copied, StoreError> {
    let steps = engine.rows(STEPS_DONE, args![]).await?;
    let steps: Vec<String> = steps.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    let newest = STEPS.iter().map(|(name, _)| *name).max().unwrap_or_default();
    if !STEPS.iter().all(|(name, _)| steps.iter().any(|step| step == name)) {
        return Err(StoreError::Unsafe(
            "the schema is older than this program; start the server or run `kiban migrate` first".to_owned(),
        ));
    }
    if let Some(unknown) = steps.iter().find(|step| !STEPS.iter().any(|(name, _)| name == step)) {
        return Err(StoreError::Unsafe(format!("the schema is newer than this program ({unknown})")));
    }
    let name = if engine.is_postgres() { "postgresql" } else { "sqlite" };
    Ok(Copied { engine: name, schema: newest.to_owned(), anchor: newest_anchor(engine).await? })
}

async fn vacuum(address: &str, to: &Path, generation: &str, made_at: i64) -> Result<(), StoreError> {
    let path = address.strip_prefix("sqlite:").unwrap_or(address);
    let mut source = SqliteConnectOptions::new().filename(path).disable_statement_logging().connect().await?;
    sqlx::query("VACUUM INTO ?1").bind(to.display().to_string()).execute(&mut source).await?;
    let _ = source.close().await;
    // From here on nobody serves it unasked, whoever puts the file in whatever place.
    let mut copy: SqliteConnection =
        SqliteConnectOptions::new().filename(to).disable_statement_logging().connect().await?;
    sqlx::query(AssertSqlSafe(restored::mark(generation, made_at))).execute(&mut copy).await?;
    let _ = copy.close().await;
    Ok(())
}

/// The custom format without compression: sealed values do not get smaller, and a search for words in it proves something.
async fn dump(address: &str, to: &Path) -> Result<(), StoreError> {
    let mut command = Command::new("pg_dump");
    command.args(["--format=custom", "--compress=0", "--no-owner", "--no-privileges", "--no-password", "--file"]);
    command.arg(to).arg("--dbname").arg(address);
    run(command, "pg_dump").await.map(drop)
}

/// Runs a program to its end; what it printed.
async fn run(mut command: Command, name: &'static str) -> Result<Vec<u8>, StoreError> {
    let ran = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await;
    let ran = ran.map_err(|_| StoreError::Internal(name.to_owned()))?;
    let ran = ran.map_err(|error| StoreError::File(format!("{name} を実行できません: {error}")))?;
    if ran.status.success() {
        return Ok(ran.stdout);
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(StoreError::File(format!("{name}: {}", said.lines().take(3).collect::<Vec<_>>().join(" / "))))
}

/// Puts a copy back: into the place of a SQLite file that is not there, or into an empty PostgreSQL database. The whole copy
/// and the row that holds it come at once or not at all.
pub async fn put_back(from: &Path, address: &str, generation: &str, made_at: i64) -> Result<(), StoreError> {
    match address.strip_prefix("sqlite:") {
        Some(path) => put_back_file(from, Path::new(path)),
        None => put_back_dump(from, address, generation, made_at).await,
    }
}

fn put_back_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| file_error(to, &error);
    if to.exists() {
        return Err(StoreError::Unsafe(format!(
            "{} が既にあります。上書きはしません。別の所へ移してから、もう一度実行してください",
            to.display()
        )));
    }
    // A log left beside the file would be read into it.
    for rest in ["-wal", "-shm", "-journal"] {
        let rest = format!("{}{rest}", to.display());
        if Path::new(&rest).exists() {
            return Err(StoreError::Unsafe(format!("{rest} が残っています。別の所へ移してから実行してください")));
        }
    }
    let half = to.with_extension("db.restoring");
    let _ = std::fs::remove_file(&half);
    std::fs::copy(from, &half).map_err(failed)?;
    own(&half)?;
    File::open(&half).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&half, to).map_err(failed)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

async fn put_back_dump(from: &Path, address: &str, generation: &str, made_at: i64) -> Result<(), StoreError> {
    let engine = Engine::open(address).await?;
    let filled = engine.rows("SELECT 1 WHERE to_regclass('schema_step') IS NOT NULL", args![]).await;
    engine.close().await;
    if !filled?.is_empty() {
        return Err(StoreError::Unsafe("the database is not empty; make a new one to restore into".to_owned()));
    }
    // Rules of roles are given again by `kiban migrate`; here the roles may not be there.
    let mut listing = Command::new("pg_restore");
    listing.arg("--list").arg(from);
    let listing = String::from_utf8_lossy(&run(listing, "pg_restore").await?).into_owned();
    let wanted: Vec<&str> = listing.lines().filter(|line| !line.contains(" POLICY ")).collect();
    let list = from.with_extension(format!("list-{}", std::process::id()));
    let list = std::env::temp_dir().join(list.file_name().unwrap_or_default());
    std::fs::write(&list, wanted.join("\n")).map_err(|error| file_error(&list, &error))?;
    let (from, address, mark) = (from.to_owned(), address.to_owned(), restored::mark(generation, made_at));
    let done = tokio::task::spawn_blocking({
        let list = list.clone();
        move || script_into(&from, &list, &address, &mark)
    });
    let done = done.await.map_err(|_| StoreError::Internal("pg_restore".to_owned()));
    let _ = std::fs::remove_file(&list);
    done?
}

/// `pg_restore` writes the script, `psql` runs it and the mark in one transaction.
fn script_into(from: &Path, list: &Path, address: &str, mark: &str) -> Result<(), StoreError> {
    let failed = |name: &str, error: std::io::Error| StoreError::File(format!("{name} を実行できません: {error}"));
    let mut restore = Command::new("pg_restore");
    restore.args(["--no-owner", "--no-privileges", "--file", "-", "--use-list"]).arg(list).arg(from);
    let restore = restore.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut restore = restore.spawn().map_err(|error| failed("pg_restore", error))?;
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--single-transaction", "--no-password", "--set", "ON_ERROR_STOP=1"]);
    psql.args(["--output", "/dev/null", "--dbname", address]);
    let psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut psql = psql.spawn().map_err(|error| failed("psql", error))?;
    let (script, into) = (restore.stdout.take(), psql.stdin.take());
    let errors = psql.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stderr, &mut text);
            text
        })
    });
    let mut is_whole = false;
    if let (Some(mut script), Some(mut into)) = (script, into) {
        let copied = std::io::copy(&mut script, &mut into).is_ok();
        let read = restore.wait().is_ok_and(|status| status.success());
        // What was cut off must not be committed: psql ends its transaction at the end of its input.
        let end = if copied && read {
            format!("\nRESET search_path;\n{mark};\n")
        } else {
            "\nDO $$ BEGIN RAISE EXCEPTION 'cut'; END $$;\n".to_owned()
        };
        is_whole = copied && read && into.write_all(end.as_bytes()).is_ok();
    }
    let status = psql.wait().map_err(|error| failed("psql", error))?;
    let said = errors.and_then(|errors| errors.join().ok()).unwrap_or_default();
    if is_whole && status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.lines().filter(|line| line.contains("ERROR") || line.contains("error")).take(3);
    Err(StoreError::File(format!("控えを読み込めません: {}", said.collect::<Vec<_>>().join(" / "))))
}

/// Nobody else reads it.
fn own(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(|error| file_error(path, &error))
}

/// SHA-256 of a file in hexadecimal, and its length.
pub fn file_digest(path: &Path) -> Result<(String, u64), StoreError> {
    let failed = |error: std::io::Error| file_error(path, &error);
    let (mut file, mut buffer) = (File::open(path).map_err(failed)?, vec![0; 1 << 20]);
    let (mut digest, mut length) = (ring::digest::Context::new(&ring::digest::SHA256), 0);
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok((crate::seal::hex(digest.finish().as_ref()), length));
        }
        digest.update(&buffer[..read]);
        length += read as u64;
    }
}
