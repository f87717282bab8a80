//! Every statement of the store against every engine: it can be prepared, it has exactly the parameters it is given, and
//! none that a request waits for reads a whole table (decision 0006.10, 11).

use crate::engine::{Committed, Engine, args, parameters};
use crate::roles::{APP_ROLE, migrate_database};
use crate::written::{For, written};
use crate::{
    assignment, block, board, bulk, certificate_request, claim, connector, consent, counter, disaster, disaster_look,
    gather, history, insurer, lease, migrations, notice, numbers, office, open_row, opinion_draft, passkey, person,
    plan, portal,
};
use crate::{
    readiness, receipt, record, report, retention, review, second_factor, session, slip, standing, submission, switch,
    upload,
};
use sqlx::{AssertSqlSafe, Either, Executor as _, PgPool, Row as _, SqlSafeStr as _, SqlitePool, Statement as _};
use std::collections::BTreeSet;

const SHARED: &[&[&str]] = &[
    insurer::ALL,
    office::ALL,
    person::ALL,
    plan::ALL,
    portal::ALL,
    claim::ALL,
    open_row::ALL,
    opinion_draft::ALL,
    record::ALL,
    consent::ALL,
    assignment::ALL,
    receipt::ALL,
    readiness::ALL,
    block::ALL,
    board::ALL,
    history::ALL,
    report::ALL,
    upload::ALL,
    lease::ALL,
    numbers::ALL,
    submission::ALL,
    switch::ALL,
    review::ALL,
    retention::ALL,
    certificate_request::ALL,
    connector::ALL,
    disaster::ALL,
    disaster_look::ALL,
    counter::ALL,
    session::ALL,
    second_factor::ALL,
    passkey::ALL,
    standing::ALL,
    notice::ALL,
    slip::ALL,
];

/// Read whole on purpose: small, nearly read-only tables, for the standing map and the operator's pages.
const READ_WHOLE: &[&str] = &["insurer", "disaster_mode", "union_member", "revocation_list", "announcement"];

/// Indexes of tables with few rows an insurer: one, or one a package.
const FEW_OF_AN_INSURER: &[&str] = &[
    "sqlite_autoindex_insurer_1",
    "sqlite_autoindex_receipt_counter_1",
    "sqlite_autoindex_import_lease_1",
    "sqlite_autoindex_receipt_1",
    "sqlite_autoindex_receipt_again_1",
    "sqlite_autoindex_upload_1",
    "receipt_set_aside",
];

fn statements(only_here: &[&'static str]) -> Vec<&'static str> {
    SHARED.iter().flat_map(|all| all.iter()).chain(only_here).copied().chain(gather::all()).collect()
}

/// These and the audit log's, whose plans its own tests explain.
fn all_statements(only_here: &[&'static str]) -> Vec<&'static str> {
    let mut all = statements(only_here);
    all.extend(crate::audit::ALL.iter().copied().flatten());
    // The care of keys may take its time.
    all.extend(crate::keyring::ALL.iter().chain(crate::key_care::ALL).chain(crate::upgrade::ALL));
    all.extend(crate::key_care::UNDER.iter().map(|(.., sql)| *sql));
    all.extend(crate::audit::SLOW.iter().copied().flatten());
    all
}

/// Everything that stands in a list, for either engine.
pub(crate) fn listed() -> Vec<&'static str> {
    let both = [bulk::ALL_SQLITE, bulk::ALL_POSTGRES, crate::keyring::ALL_POSTGRES, &crate::audit::LEAVES].concat();
    all_statements(&both)
}

/// Everything one engine is ever asked: what stands in a list, and what only stands in the sources.
fn asked_of(engine: For) -> Vec<String> {
    let only_here = match engine {
        For::Sqlite => [bulk::ALL_SQLITE, &crate::audit::LEAVES[..1]].concat(),
        _ => [bulk::ALL_POSTGRES, crate::keyring::ALL_POSTGRES, &crate::audit::LEAVES[1..]].concat(),
    };
    let written = written().into_iter().filter(|one| [For::Both, engine].contains(&one.engine())).map(|one| one.sql);
    let all: BTreeSet<String> = all_statements(&only_here).into_iter().map(str::to_owned).chain(written).collect();
    all.into_iter().collect()
}

/// The parameters of a statement are `$1` to `$n` without a hole.
fn require_no_hole(sql: &str) {
    for n in 1..=parameters(sql) {
        let there = sql
            .match_indices(&format!("${n}"))
            .any(|(at, found)| !sql[at + found.len()..].starts_with(|c: char| c.is_ascii_digit()));
        assert!(there, "no ${n} in {sql}");
    }
}

/// The table a statement reads whole, if it has no condition.
fn read_whole(sql: &'static str) -> Option<&'static str> {
    if sql.contains("WHERE") || !sql.starts_with("SELECT") {
        return None;
    }
    sql.split_ascii_whitespace().skip_while(|word| *word != "FROM").nth(1)
}

pub(crate) async fn sqlite() -> (tempfile::TempDir, Engine, SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("kiban.db").display());
    let engine = Engine::open(&address).await.unwrap();
    migrations::migrate(&engine, None).await.unwrap();
    let pool = SqlitePool::connect(&address).await.unwrap();
    (folder, engine, pool)
}

/// A fresh database on the server of `KIBAN_TEST_POSTGRES`, its pool and what drops it.
pub(crate) async fn postgres() -> Option<(Engine, PgPool, String, String)> {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return None;
    };
    let name = format!("kiban_sql_{}", crate::seal::hex(&crate::seal::random_bytes::<6>().unwrap()));
    let admin = PgPool::connect(&server).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    admin.close().await;
    let (path, query) = server.split_once('?').unwrap_or((&server, ""));
    let engine = Engine::open(&format!("{}/{name}?{query}", path.rsplit_once('/').unwrap().0)).await.unwrap();
    migrations::migrate(&engine, None).await.unwrap();
    let Engine::Postgres { write, .. } = &engine else { panic!("not PostgreSQL") };
    let pool = write.clone();
    Some((engine, pool, server, name))
}

pub(crate) async fn drop_database(engine: Engine, server: &str, name: &str) {
    engine.close().await;
    let admin = PgPool::connect(server).await.unwrap();
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    admin.close().await;
}

fn count<T>(parameters: Option<Either<&[T], usize>>) -> usize {
    match parameters.unwrap() {
        Either::Left(types) => types.len(),
        Either::Right(count) => count,
    }
}

#[test]
fn only_small_tables_that_hardly_change_are_read_whole() {
    let here = [bulk::ALL_POSTGRES, bulk::ALL_SQLITE].concat();
    for sql in statements(&here) {
        if let Some(table) = read_whole(sql) {
            assert!(READ_WHOLE.contains(&table), "reads the whole of {table}: {sql}");
        }
    }
}

#[tokio::test]
async fn sqlite_prepares_every_statement_with_the_parameters_it_is_given() {
    let (_folder, engine, pool) = sqlite().await;
    for sql in asked_of(For::Sqlite) {
        let prepared = pool.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await;
        let statement = prepared.unwrap_or_else(|e| panic!("{e}: {sql}"));
        assert_eq!(count(statement.parameters()), parameters(&sql), "{sql}");
        require_no_hole(&sql);
    }
    engine.close().await;
}

#[tokio::test]
async fn postgresql_prepares_every_statement_with_the_parameters_it_is_given() {
    let Some((engine, pool, server, name)) = postgres().await else { return };
    for sql in asked_of(For::Postgres) {
        let prepared = pool.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await;
        let statement = prepared.unwrap_or_else(|e| panic!("{e}: {sql}"));
        assert_eq!(count(statement.parameters()), parameters(&sql), "{sql}");
    }
    drop_database(engine, &server, &name).await;
}

#[tokio::test]
#[should_panic(expected = "values given to SELECT")]
async fn a_value_that_is_not_given_is_noticed_before_sqlite_reads_it_as_null() {
    let (_folder, engine, _pool) = sqlite().await;
    let _ = engine.rows("SELECT state FROM audit_writer WHERE writer = $1 AND state = $2", args![1i64]).await;
}

#[tokio::test]
async fn sqlite_reads_no_table_whole_on_the_way_of_a_request() {
    let (_folder, engine, pool) = sqlite().await;
    for sql in statements(bulk::ALL_SQLITE) {
        if read_whole(sql).is_some() {
            continue;
        }
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&pool).await.unwrap();
        for step in &plan {
            let step: String = step.get("detail");
            // The list of people given as a parameter is not a table.
            let scan = step.starts_with("SCAN") && !step.contains("json_each") && !step.contains("CONSTANT ROW");
            assert!(!scan, "{step} in {sql}");
        }
    }
    engine.close().await;
}

/// SQLite keeps no statistics here: it takes an insurer for ten rows and prefers any index that begins with one and spares
/// a sort. A large city is a million.
#[tokio::test]
async fn sqlite_reads_no_insurer_whole_on_the_way_of_a_request() {
    let (_folder, engine, pool) = sqlite().await;
    for sql in statements(bulk::ALL_SQLITE) {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&pool).await.unwrap();
        for step in &plan {
            let step: String = step.get("detail");
            let is_whole = step.ends_with("(insurer_number=?)") && !sql.ends_with("LIMIT 1");
            let is_meant = sql == person::COUNT || FEW_OF_AN_INSURER.iter().any(|index| step.contains(index));
            assert!(!is_whole || is_meant, "{step} in {sql}");
        }
    }
    engine.close().await;
}

#[tokio::test]
async fn postgresql_reads_no_table_whole_on_the_way_of_a_request() {
    let Some((engine, pool, server, name)) = postgres().await else { return };
    let mut connection = pool.acquire().await.unwrap();
    fill(&mut connection).await;
    connection.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    for sql in statements(bulk::ALL_POSTGRES) {
        if read_whole(sql).is_some() {
            continue;
        }
        connection.execute(AssertSqlSafe(format!("PREPARE asked AS {sql}"))).await.unwrap();
        let nulls = vec!["NULL"; parameters(sql)].join(", ");
        let rows = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN EXECUTE asked ({nulls})")));
        let plan: Vec<String> = rows.fetch_all(&mut *connection).await.unwrap().iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        connection.execute("DEALLOCATE asked").await.unwrap();
    }
    drop(connection);
    drop_database(engine, &server, &name).await;
}

#[tokio::test]
async fn the_role_of_servers_may_run_every_statement_of_a_server() {
    let Some((engine, pool, server, name)) = postgres().await else { return };
    let (path, query) = server.split_once('?').unwrap_or((&server, ""));
    let address = format!("{}/{name}?{query}", path.rsplit_once('/').unwrap().0);
    migrate_database(&address, true, None).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    connection.execute(AssertSqlSafe(format!("SET ROLE {APP_ROLE}"))).await.unwrap();
    let of_keys = crate::keyring::ALL.iter().filter(|sql| !crate::keyring::OF_THE_OWNER.contains(sql));
    for sql in statements(bulk::ALL_POSTGRES).into_iter().chain(of_keys.copied()) {
        connection.execute(AssertSqlSafe(format!("PREPARE asked AS {sql}"))).await.unwrap();
        let nulls = vec!["NULL"; parameters(sql)].join(", ");
        let explain = match nulls.as_str() {
            "" => "EXPLAIN EXECUTE asked".to_owned(),
            nulls => format!("EXPLAIN EXECUTE asked ({nulls})"),
        };
        let may = connection.execute(AssertSqlSafe(explain)).await;
        assert!(may.is_ok(), "{may:?}: {sql}: name the table in roles.rs");
        connection.execute("DEALLOCATE asked").await.unwrap();
    }
    for sql in crate::keyring::OF_THE_OWNER {
        connection.execute(AssertSqlSafe(format!("PREPARE asked AS {sql}"))).await.unwrap();
        let nulls = vec!["NULL"; parameters(sql)].join(", ");
        let may = connection.execute(AssertSqlSafe(format!("EXPLAIN EXECUTE asked ({nulls})"))).await;
        assert!(may.unwrap_err().to_string().contains("permission denied"), "{sql}");
        connection.execute("DEALLOCATE asked").await.unwrap();
    }
    drop(connection);
    drop_database(engine, &server, &name).await;
}

/// Three thousand rows in every table, of forty insurers, so that the planner has a choice.
async fn fill(connection: &mut sqlx::PgConnection) {
    let tables = "SELECT table_name::text, string_agg(column_name || ':' || data_type, ',' ORDER BY ordinal_position)
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT IN ('schema_step', 'key_state')
           AND table_name NOT IN (SELECT inhrelid::regclass::text FROM pg_inherits) GROUP BY table_name";
    for table in sqlx::query(tables).fetch_all(&mut *connection).await.unwrap() {
        let (table, columns): (String, String) = (table.get(0), table.get(1));
        let values: Vec<&str> = columns
            .split(',')
            .map(|column| {
                let (name, kind) = column.split_once(':').unwrap();
                sample(&table, name, kind)
            })
            .collect();
        let insert = format!("INSERT INTO {table} SELECT {} FROM generate_series(1, 3000) i", values.join(", "));
        connection.execute(AssertSqlSafe(insert)).await.unwrap_or_else(|error| panic!("{table}: {error}"));
    }
    connection.execute("ANALYZE").await.unwrap();
}

fn sample(table: &str, column: &str, kind: &str) -> &'static str {
    match (table, column, kind) {
        ("insurer" | "receipt_counter" | "import_lease", "insurer_number", _) => "lpad(i::text, 6, '0')",
        ("union_member", "member", _) => "lpad(i::text, 6, '0')",
        (_, "insurer_number" | "card_insurer" | "municipality" | "before_insurer" | "union_number", _) => {
            "lpad((i % 40)::text, 6, '0')"
        }
        ("slip" | "slip_document", "receiver" | "sender", _) => "lpad(i::text, 10, '0')",
        (_, "insured_number" | "office_number" | "before_insured", _) => "lpad(i::text, 10, '0')",
        (_, "fingerprint", _) => "lpad(i::text, 64, '0')",
        ("audit_writer", "state", _) => "'anchored'",
        (_, "state", _) => "'applied'",
        (_, "outcome", _) => "'allowed'",
        (_, "purpose", _) => "'seal'",
        (_, "signature", _) => "decode(lpad(to_hex(i), 128, '0'), 'hex')",
        (_, _, "bytea") => "decode(lpad(to_hex(i), 64, '0'), 'hex')",
        (_, _, "boolean") => "false",
        (_, _, "text") => "i::text",
        _ => "i",
    }
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_replaced_before_anybody_notices() {
    let Some((engine, pool, server, name)) = postgres().await else { return };
    let ask = async || engine.rows("SELECT state FROM audit_writer WHERE writer = $1", args![1i64]).await;
    let (one, two) = tokio::join!(ask(), ask());
    assert!(one.is_ok() && two.is_ok());
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    pool.execute(end).await.unwrap();
    for _ in 0..3 {
        assert!(ask().await.is_ok());
    }
    // The same for transactions, of which several connections are idle at once.
    let begun = [engine.begin().await.unwrap(), engine.begin().await.unwrap(), engine.begin_batch().await.unwrap()];
    for tx in begun {
        assert_eq!(tx.commit().await, Committed::Done);
    }
    pool.execute(end).await.unwrap();
    for _ in 0..2 {
        assert_eq!(engine.begin().await.unwrap().commit().await, Committed::Done);
        assert_eq!(engine.begin_batch().await.unwrap().commit().await, Committed::Done);
    }
    drop_database(engine, &server, &name).await;
}
