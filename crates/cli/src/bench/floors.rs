//! The floors: what the parts alone do on this machine in this run. pgbench and psql for PostgreSQL, the `sqlite3`
//! command for SQLite, two TLS states without a network for the handshake. A tool that is not installed leaves its
//! floor out and says so; nothing else depends on it.

use super::city::World;
use super::report::Report;
use super::server::cpu_of;
use crate::home::Home;
use anyhow::{Context as _, Result, anyhow, bail};
use kiban_pki::{Ca, Identity, client_config};
use kiban_web::tls::organizations_config;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Tables that a municipal package fills.
const TABLES: [&str; 6] = ["person", "person_token", "record", "consent_act", "opinion_request", "office_person"];
/// Tables one row of which is one row of a package.
const ROW_TABLES: [&str; 3] = ["person", "record", "consent_act"];
/// Autocommitted inserts, and selects, of the sqlite3 command.
const SQLITE_INSERTS: u32 = 3_000;
const SQLITE_SELECTS: u32 = 100_000;

/// Where to measure them.
pub struct Floors<'a> {
    home: &'a Home,
    seconds: u64,
    connections: u16,
    wanted: bool,
}

impl<'a> Floors<'a> {
    /// Floors for an installation.
    pub fn new(home: &'a Home, seconds: u64, connections: u16, wanted: bool) -> Self {
        Self { home, seconds, connections, wanted }
    }

    /// Whether the database is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        !self.home.database().starts_with("sqlite:")
    }

    /// Select of one row by primary key, prepared, as many clients as connections.
    pub async fn point_read(&self, report: &mut Report) {
        let floor = async || {
            if !self.is_postgres() {
                return self.sqlite_selects().await;
            }
            self.pgbench(&["-i", "-q", "-s", "5", "-I", "dtgvp"]).await?;
            let tps = self.pgbench_tps(&["-n", "-S"]).await?;
            Ok(json!({ "per_s": tps, "what": "pgbench -S -M prepared", "clients": self.connections }))
        };
        self.note("point_read", floor, report).await;
    }

    /// Insert of one row of 400 bytes, each its own durable transaction.
    pub async fn durable_insert(&self, report: &mut Report) {
        let floor = async || {
            if !self.is_postgres() {
                return self.sqlite_inserts().await;
            }
            self.psql(
                "DROP TABLE IF EXISTS bench_floor_insert;
                CREATE TABLE bench_floor_insert (id bigserial PRIMARY KEY, at bigint NOT NULL, body bytea NOT NULL);",
            )
            .await?;
            let script = self.home.dir().join("insert.sql");
            std::fs::write(
                &script,
                "INSERT INTO bench_floor_insert (at, body) VALUES (1, decode(repeat('ab', 400), 'hex'));\n",
            )?;
            let script = script.display().to_string();
            let tps = self.pgbench_tps(&["-n", "-f", &script]).await?;
            Ok(json!({ "per_s": tps, "what": "pgbench, one INSERT a transaction", "clients": self.connections }))
        };
        self.note("durable_insert", floor, report).await;
    }

    /// The rows of the whole city once more into empty tables, sealed bytes and indexes as they are, without reading, checking,
    /// sealing.
    pub async fn bulk(&self, report: &mut Report) {
        let floor = async || if self.is_postgres() { self.copy().await } else { self.sqlite_bulk().await };
        self.note("bulk", floor, report).await;
    }

    /// A handshake with the platform's own settings, both sides in memory, only the server's share timed.
    pub fn handshake(&self, world: &World, report: &mut Report) -> Result<()> {
        if !self.wanted {
            return Ok(());
        }
        let ja = |error: kiban_pki::Error| anyhow!(error.message_ja());
        let issued =
            Ca::open(&self.home.ca_dir()).and_then(|ca| ca.issue_server(&["office.localhost"], 2, crate::home::now()));
        let issued = issued.map_err(ja)?;
        let identity = Identity::from_pem(&issued.cert_pem, &issued.key_pem).map_err(ja)?;
        let roots = std::slice::from_ref(&world.root);
        let server = organizations_config(&identity, roots).map_err(ja)?;
        let client = Arc::new(client_config(roots, Some(&world.care_manager.identity)).map_err(ja)?);
        let (mut done, mut spent) = (0u32, Duration::ZERO);
        let end = Instant::now() + Duration::from_secs(self.seconds.min(3));
        while Instant::now() < end {
            let name = ServerName::try_from("office.localhost").map_err(|_| anyhow!("server name"))?;
            let mut client = rustls::ClientConnection::new(Arc::clone(&client), name)?;
            spent += server_share(&mut client, &server)?;
            done += 1;
        }
        let rate = f64::from(done) / spent.as_secs_f64();
        report.floor(
            "handshake",
            json!({ "per_cpu_s": rate.round(), "what": "rustls in memory, mutual TLS 1.3, server's share" }),
        );
        Ok(())
    }

    /// One argon2id of the parameters in use, and nothing else.
    pub fn password(&self, report: &mut Report) -> Result<()> {
        if !self.wanted {
            return Ok(());
        }
        let end = Instant::now() + Duration::from_secs(self.seconds.min(3));
        let (mut done, mut hash, before) = (0u32, String::new(), cpu_of("self")?);
        while Instant::now() < end {
            hash = kiban_service::hash_password("keisoku-no-tame-no-aikotoba")?;
            done += 1;
        }
        let rate = f64::from(done) / (cpu_of("self")? - before).max(0.01);
        let parameters = hash.split('$').nth(3).unwrap_or_default();
        report.floor("password", json!({ "per_core_s": rate.round(), "what": format!("argon2id {parameters}") }));
        Ok(())
    }

    /// Removes what the floors left in the database.
    pub async fn clean(&self) {
        if self.wanted && self.is_postgres() {
            let tables = TABLES.map(|table| format!("DROP TABLE IF EXISTS bench_floor_{table};")).concat();
            let drop = format!(
                "{tables} DROP TABLE IF EXISTS bench_floor_insert;
                DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers;"
            );
            let _ = self.psql(&drop).await;
        }
    }

    async fn note(&self, name: &str, floor: impl AsyncFnOnce() -> Result<Value>, report: &mut Report) {
        if !self.wanted {
            return;
        }
        match floor().await {
            Ok(value) => report.floor(name, value),
            Err(error) => report.floor(name, json!({ "not_measured": format!("{error:#}") })),
        }
    }

    async fn pgbench_tps(&self, arguments: &[&str]) -> Result<f64> {
        let (connections, seconds) = (self.connections.to_string(), self.seconds.to_string());
        let fixed = ["-M", "prepared", "-j", "1", "-c", &connections, "-T", &seconds];
        let output = self.pgbench(&[arguments, fixed.as_slice()].concat()).await?;
        let line = output.lines().find_map(|line| line.strip_prefix("tps = ")).context("pgbench said no tps")?;
        Ok(line.split_whitespace().next().unwrap_or_default().parse::<f64>()?.round())
    }

    async fn pgbench(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new(tool("pgbench")).args(arguments).arg(self.home.database()), "").await
    }

    async fn psql(&self, script: &str) -> Result<String> {
        let mut psql = Command::new(tool("psql"));
        run(psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.home.database()]), script).await
    }

    async fn copy(&self) -> Result<Value> {
        let dir = self.home.dir().display();
        let (mut export, mut load) = (String::new(), "BEGIN;\n".to_owned());
        for table in TABLES {
            export += &format!(
                "DROP TABLE IF EXISTS bench_floor_{table};
                CREATE TABLE bench_floor_{table} (LIKE {table} INCLUDING ALL);
                \\copy (SELECT * FROM {table}) TO '{dir}/{table}.copy' (FORMAT binary)\n"
            );
            load += &format!("\\copy bench_floor_{table} FROM '{dir}/{table}.copy' (FORMAT binary)\n");
        }
        self.psql(&export).await?;
        let begun = Instant::now();
        self.psql(&(load + "COMMIT;\n")).await?;
        let whole = begun.elapsed();
        self.psql("TRUNCATE bench_floor_record;").await?;
        let begun = Instant::now();
        self.psql(&format!("\\copy bench_floor_record FROM '{dir}/record.copy' (FORMAT binary)\n")).await?;
        let records = begun.elapsed();
        let count = |table: &str| format!("SELECT count(*) FROM {table};");
        let counts = self.psql(&ROW_TABLES.map(count).concat()).await?;
        Ok(bulk_value(&counts, whole, Some(records), "psql COPY, binary, one transaction"))
    }

    async fn sqlite(&self, script: &str) -> Result<String> {
        let file = self.home.dir().join("floor.db");
        let pragmas = ".timeout 10000\nPRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;\n";
        run(Command::new("sqlite3").arg("-batch").arg(file), &format!("{pragmas}{script}")).await
    }

    fn sqlite_path(&self) -> &str {
        self.home.database().trim_start_matches("sqlite:")
    }

    async fn sqlite_inserts(&self) -> Result<Value> {
        self.sqlite("CREATE TABLE one (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL);").await?;
        let script = "INSERT INTO one (at, body) VALUES (1, randomblob(400));\n".repeat(SQLITE_INSERTS as usize);
        let begun = Instant::now();
        self.sqlite(&script).await?;
        let rate = (f64::from(SQLITE_INSERTS) / begun.elapsed().as_secs_f64()).round();
        Ok(json!({ "per_s": rate, "what": "sqlite3, one INSERT a transaction, WAL, synchronous=FULL", "clients": 1 }))
    }

    async fn sqlite_selects(&self) -> Result<Value> {
        self.sqlite(
            "CREATE TABLE many (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
            INSERT INTO many WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
              SELECT i, randomblob(100) FROM n;",
        )
        .await?;
        let select =
            |i: u32| format!("SELECT length(body) FROM many WHERE id = {};\n", i.wrapping_mul(48_271) % 100_000 + 1);
        let script: String = (0..SQLITE_SELECTS).map(select).collect();
        let begun = Instant::now();
        self.sqlite(&script).await?;
        let rate = (f64::from(SQLITE_SELECTS) / begun.elapsed().as_secs_f64()).round();
        Ok(json!({ "per_s": rate, "what": "sqlite3, one SELECT by key, parsed each time", "clients": 1 }))
    }

    async fn sqlite_bulk(&self) -> Result<Value> {
        let source = self.sqlite_path();
        let mut schema = String::new();
        for table in TABLES {
            schema += &run(
                Command::new("sqlite3").args(["-batch", "-cmd", ".timeout 10000", source, &format!(".schema {table}")]),
                "",
            )
            .await?;
        }
        self.sqlite(&schema).await?;
        // Once for the cache, as psql's files are in it too.
        let attach = format!("ATTACH '{source}' AS source;\n");
        let count = |table: &str| format!("SELECT count(*) FROM source.{table};\n");
        let counts = self.sqlite(&(attach.clone() + &ROW_TABLES.map(count).concat())).await?;
        let insert = |table: &str| format!("INSERT INTO main.{table} SELECT * FROM source.{table};\n");
        let script = attach + "BEGIN;\n" + &TABLES.map(insert).concat() + "COMMIT;\n";
        let begun = Instant::now();
        self.sqlite(&script).await?;
        let counts: Vec<&str> = counts.lines().filter(|line| line.parse::<u64>().is_ok()).collect();
        Ok(bulk_value(
            &counts.join("\n"),
            begun.elapsed(),
            None,
            "sqlite3 INSERT … SELECT, one transaction, WAL, synchronous=FULL",
        ))
    }
}

/// Counts of the tables, one a line, in the order of [`ROW_TABLES`].
fn bulk_value(counts: &str, whole: Duration, records: Option<Duration>, what: &str) -> Value {
    let counts: Vec<f64> = counts.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let rate = |rows: f64, time: Duration| (rows / time.as_secs_f64()).round();
    let rows = counts.iter().sum::<f64>();
    let only = records.zip(counts.get(1)).map(|(time, rows)| rate(*rows, time));
    json!({ "rows_per_s": rate(rows, whole), "record_table_rows_per_s": only, "rows": rows, "what": what })
}

/// A tool of PostgreSQL: in the path, or where Debian keeps it.
fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    places.extend(versions.map(|version| version.path().join("bin")));
    places.into_iter().map(|place| place.join(name)).find(|file| file.exists()).unwrap_or_else(|| name.into())
}

/// Runs a command with a text on its standard input; its standard output.
async fn run(command: &mut Command, input: &str) -> Result<String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut process = process.with_context(|| format!("{program} を起動できません"))?;
    let mut stdin = process.stdin.take().context("no input")?;
    let text = input.to_owned();
    // Both at the same time: a full pipe on one side must not stop the other.
    let writing = tokio::spawn(async move {
        let _ = stdin.write_all(text.as_bytes()).await;
    });
    let output = process.wait_with_output().await?;
    let _ = writing.await;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One handshake; the time spent on the server's side.
fn server_share(client: &mut rustls::ClientConnection, config: &Arc<rustls::ServerConfig>) -> Result<Duration> {
    let mut spent = Duration::ZERO;
    let begun = Instant::now();
    let mut server = rustls::ServerConnection::new(Arc::clone(config))?;
    spent += begun.elapsed();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    while client.is_handshaking() || server.is_handshaking() {
        up.clear();
        while client.wants_write() {
            client.write_tls(&mut up as &mut dyn Write)?;
        }
        let begun = Instant::now();
        let mut arrived = up.as_slice();
        while !arrived.is_empty() {
            server.read_tls(&mut arrived as &mut dyn Read)?;
            server.process_new_packets()?;
        }
        down.clear();
        while server.wants_write() {
            server.write_tls(&mut down as &mut dyn Write)?;
        }
        spent += begun.elapsed();
        let mut arrived = down.as_slice();
        while !arrived.is_empty() {
            client.read_tls(&mut arrived as &mut dyn Read)?;
            client.process_new_packets()?;
        }
        if up.is_empty() && down.is_empty() {
            bail!("the handshake does not go on");
        }
    }
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_counts_rows_of_the_package_not_of_every_table() {
        let value = bulk_value("100\n300\n100\n", Duration::from_millis(500), Some(Duration::from_millis(100)), "copy");
        assert_eq!(value["rows_per_s"], 1000.0);
        assert_eq!(value["record_table_rows_per_s"], 3000.0);
    }
}
