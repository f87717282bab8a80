//! The schema, step by step, one text for both engines. Each file is never edited once released; on SQLite the PostgreSQL
//! types are replaced by their STRICT counterparts, so the two schemas cannot drift apart (docs/decisions/0002).

use crate::StoreError;
use crate::engine::{Committed, Engine, RawTx, args};

/// Steps in order: name (also the file name) and text.
const STEPS: &[(&str, &str)] = &[
    ("20261122000001_people_and_records", include_str!("../migrations/20261122000001_people_and_records.sql")),
    ("20261122000002_keys_and_audit", include_str!("../migrations/20261122000002_keys_and_audit.sql")),
];

/// Brings the schema up to date; each step in its own transaction with its row in `schema_step`.
pub(crate) async fn migrate(engine: &Engine) -> Result<(), StoreError> {
    let mut tx = begin_alone(engine).await?;
    tx.script(dialect("CREATE TABLE IF NOT EXISTS schema_step (name TEXT PRIMARY KEY) STRICT;", engine.is_postgres()))
        .await?;
    if engine.is_postgres() {
        tx.script(DISTRIBUTE_FUNCTION.to_owned()).await?;
    }
    finish(tx).await?;
    for (name, text) in STEPS {
        let mut tx = begin_alone(engine).await?;
        if tx.run("INSERT INTO schema_step (name) VALUES ($1) ON CONFLICT DO NOTHING", args![*name]).await? == 1 {
            tx.script(dialect(text, engine.is_postgres())).await?;
        }
        finish(tx).await?;
    }
    Ok(())
}

/// Begins a step while no other process migrates: several servers may start at once on an empty database.
async fn begin_alone(engine: &Engine) -> Result<RawTx, StoreError> {
    const MIGRATING: i64 = 0x006b_6962_616e;
    let mut tx = engine.begin().await?;
    if engine.is_postgres() {
        tx.rows("SELECT 1 FROM pg_advisory_xact_lock($1)", args![MIGRATING]).await?;
    }
    Ok(tx)
}

async fn finish(tx: RawTx) -> Result<(), StoreError> {
    match tx.commit().await {
        Committed::Done => Ok(()),
        Committed::Unknown => Err(StoreError::Unknown),
    }
}

/// The text in the words of one engine. `STRICT` and the lines starting with `SELECT kiban_distribute` exist on one only.
fn dialect(text: &str, postgres: bool) -> String {
    let lines = text.lines().filter(|line| postgres || !line.starts_with("SELECT kiban_distribute"));
    let text = lines.collect::<Vec<_>>().join("\n");
    if postgres {
        text.replace(") STRICT;", ");")
    } else {
        text.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB").replace("BOOLEAN", "INTEGER")
    }
}

/// Declares on Citus by which column a table is spread; does nothing on a plain PostgreSQL (decision 0006.17).
const DISTRIBUTE_FUNCTION: &str = r"
CREATE OR REPLACE FUNCTION kiban_distribute(target TEXT, by_column TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus') THEN
    IF by_column = '' THEN
      EXECUTE format('SELECT create_reference_table(%L)', target);
    ELSE
      EXECUTE format('SELECT create_distributed_table(%L, %L)', target, by_column);
    END IF;
  END IF;
END $$;
";
