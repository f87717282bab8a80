//! The schema, step by step, one text for both engines. Each file is never edited once released; on SQLite the PostgreSQL
//! types are replaced by their STRICT counterparts, so the two schemas cannot drift apart (docs/decisions/0002).

use crate::engine::{Committed, Engine, RawTx, args};
use crate::{MasterKey, StoreError, roles, upgrade};

/// The step after which rows that were there before get the MACs they must have from then on.
const KEY_LIFE: &str = "20261122000080_key_life";

/// The step after which messages between offices have the MAC they must have from then on.
const SLIP_DOORS: &str = "20261122000210_slip_doors";

/// Steps in order: name (also the file name) and text.
pub(crate) const STEPS: &[(&str, &str)] = &[
    ("20261122000001_people_and_records", include_str!("../migrations/20261122000001_people_and_records.sql")),
    ("20261122000002_keys_and_audit", include_str!("../migrations/20261122000002_keys_and_audit.sql")),
    ("20261122000010_audit_by_month", include_str!("../migrations/20261122000010_audit_by_month.sql")),
    ("20261122000011_audit_seen_time", include_str!("../migrations/20261122000011_audit_seen_time.sql")),
    ("20261122000012_audit_months", include_str!("../migrations/20261122000012_audit_months.sql")),
    ("20261122000020_doors", include_str!("../migrations/20261122000020_doors.sql")),
    ("20261122000030_notices", include_str!("../migrations/20261122000030_notices.sql")),
    ("20261122000031_administrators", include_str!("../migrations/20261122000031_administrators.sql")),
    ("20261122000032_housekeeping", include_str!("../migrations/20261122000032_housekeeping.sql")),
    ("20261122000033_disaster_looks", include_str!("../migrations/20261122000033_disaster_looks.sql")),
    ("20261122000050_intake", include_str!("../migrations/20261122000050_intake.sql")),
    ("20261122000051_numbers", include_str!("../migrations/20261122000051_numbers.sql")),
    ("20261122000060_inbox", include_str!("../migrations/20261122000060_inbox.sql")),
    ("20261122000070_statistics", include_str!("../migrations/20261122000070_statistics.sql")),
    ("20261122000090_switch_by_person", include_str!("../migrations/20261122000090_switch_by_person.sql")),
    ("20261122000100_no_compression", include_str!("../migrations/20261122000100_no_compression.sql")),
    ("20261122000101_set_aside", include_str!("../migrations/20261122000101_set_aside.sql")),
    ("20261122000120_connector_export", include_str!("../migrations/20261122000120_connector_export.sql")),
    ("20261122000121_answers_about_people", include_str!("../migrations/20261122000121_answers_about_people.sql")),
    ("20261122000130_plan_uploads", include_str!("../migrations/20261122000130_plan_uploads.sql")),
    ("20261122000140_row_order", include_str!("../migrations/20261122000140_row_order.sql")),
    ("20261122000141_open_rows", include_str!("../migrations/20261122000141_open_rows.sql")),
    ("20261122000142_withheld_lifted", include_str!("../migrations/20261122000142_withheld_lifted.sql")),
    ("20261122000150_retention", include_str!("../migrations/20261122000150_retention.sql")),
    ("20261122000160_slips", include_str!("../migrations/20261122000160_slips.sql")),
    ("20261122000180_refresh_tokens", include_str!("../migrations/20261122000180_refresh_tokens.sql")),
    ("20261122000190_certificates", include_str!("../migrations/20261122000190_certificates.sql")),
    ("20261122000220_account_life", include_str!("../migrations/20261122000220_account_life.sql")),
    ("20261122000221_lock_by_terminal", include_str!("../migrations/20261122000221_lock_by_terminal.sql")),
    ("20261122000222_second_factor", include_str!("../migrations/20261122000222_second_factor.sql")),
    ("20261122000223_account_review", include_str!("../migrations/20261122000223_account_review.sql")),
    ("20261122000230_portal", include_str!("../migrations/20261122000230_portal.sql")),
    ("20261122000240_standing_changes", include_str!("../migrations/20261122000240_standing_changes.sql")),
    (KEY_LIFE, include_str!("../migrations/20261122000080_key_life.sql")),
    ("20261122000200_search_tokens", include_str!("../migrations/20261122000200_search_tokens.sql")),
    (SLIP_DOORS, include_str!("../migrations/20261122000210_slip_doors.sql")),
    ("20261122000260_mail_code", include_str!("../migrations/20261122000260_mail_code.sql")),
    ("20261122000280_opinion_drafts", include_str!("../migrations/20261122000280_opinion_drafts.sql")),
    ("20261122000310_mail_by_terminal", include_str!("../migrations/20261122000310_mail_by_terminal.sql")),
    ("20261122000311_opinions_once", include_str!("../migrations/20261122000311_opinions_once.sql")),
    ("20261122000290_base_date", include_str!("../migrations/20261122000290_base_date.sql")),
    ("20261122000312_forgotten", include_str!("../migrations/20261122000312_forgotten.sql")),
    ("20261122000320_standing_marks", include_str!("../migrations/20261122000320_standing_marks.sql")),
    ("20261123000010_switch_kinds", include_str!("../migrations/20261123000010_switch_kinds.sql")),
    ("20261123000011_ended_sessions", include_str!("../migrations/20261123000011_ended_sessions.sql")),
    ("20261123000330_restored", include_str!("../migrations/20261123000330_restored.sql")),
    ("20261123000331_passkey", include_str!("../migrations/20261123000331_passkey.sql")),
    ("20261123000340_life_marks", include_str!("../migrations/20261123000340_life_marks.sql")),
    ("20261123000341_slip_types", include_str!("../migrations/20261123000341_slip_types.sql")),
    ("20261124000010_announcements", include_str!("../migrations/20261124000010_announcements.sql")),
];

/// Brings the schema up to date; each step in its own transaction with its row in `schema_step`. The steps that were missing;
/// when there are none nothing is written, so that a role without rights on the schema may serve. `master` is needed by the
/// steps that give MACs, unless the database is new.
pub(crate) async fn migrate(engine: &Engine, master: Option<&MasterKey>) -> Result<Vec<&'static str>, StoreError> {
    let missing = missing(engine).await?;
    if missing.is_empty() {
        return Ok(missing);
    }
    refuse_without_rights(engine).await?;
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
            if *name == KEY_LIFE {
                upgrade::key_life(&mut tx, master).await?;
            }
            if *name == SLIP_DOORS {
                upgrade::slips(&mut tx, master).await?;
            }
        }
        finish(tx).await?;
    }
    if engine.is_postgres() {
        let mut tx = begin_alone(engine).await?;
        roles::grant(&mut tx).await?;
        finish(tx).await?;
    }
    Ok(missing)
}

async fn missing(engine: &Engine) -> Result<Vec<&'static str>, StoreError> {
    let is_there = if engine.is_postgres() {
        "SELECT 1 WHERE to_regclass('schema_step') IS NOT NULL"
    } else {
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_step'"
    };
    let mut done = Vec::new();
    if !engine.rows(is_there, args![]).await?.is_empty() {
        for row in engine.rows("SELECT name FROM schema_step", args![]).await? {
            done.push(row.text(0)?);
        }
    }
    Ok(STEPS.iter().map(|(name, _)| *name).filter(|name| !done.iter().any(|done| done == name)).collect())
}

async fn refuse_without_rights(engine: &Engine) -> Result<(), StoreError> {
    const MAY_CREATE: &str = "SELECT has_schema_privilege(current_schema(), 'CREATE')";
    if engine.is_postgres()
        && !engine.rows(MAY_CREATE, args![]).await?.first().map_or(Ok(false), |row| row.boolean(0))?
    {
        let why = "the schema is not up to date and this role may not change it; run `kiban migrate` as the owner";
        return Err(StoreError::Unsafe(why.to_owned()));
    }
    Ok(())
}

/// Begins a step while no other process migrates: several servers may start at once on an empty database. Its statements may
/// take long: an index on a large table is no request.
async fn begin_alone(engine: &Engine) -> Result<RawTx, StoreError> {
    const MIGRATING: i64 = 0x006b_6962_616e;
    let mut tx = engine.begin().await?;
    if engine.is_postgres() {
        tx.script("SET LOCAL statement_timeout = 0".to_owned()).await?;
        tx.rows("SELECT 1 FROM pg_advisory_xact_lock($1)", args![MIGRATING]).await?;
    }
    Ok(tx)
}

pub(crate) async fn finish(tx: RawTx) -> Result<(), StoreError> {
    match tx.commit().await {
        Committed::Done => Ok(()),
        Committed::Unknown => Err(StoreError::Unknown),
    }
}

/// The text in the words of one engine. `STRICT` and the lines starting with `SELECT kiban_distribute` exist on one only; a
/// file that begins with `-- PostgreSQL only` or `-- SQLite only` is empty for the other.
fn dialect(text: &str, postgres: bool) -> String {
    let elsewhere = if postgres { "-- SQLite only" } else { "-- PostgreSQL only" };
    if text.starts_with(elsewhere) {
        return String::new();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements;

    #[tokio::test]
    async fn a_step_may_take_longer_than_a_request() {
        let Some((engine, _, server, name)) = statements::postgres().await else { return };
        let limit = async |mut tx: RawTx| {
            tx.rows("SELECT current_setting('statement_timeout')", args![]).await.unwrap()[0].text(0).unwrap()
        };
        assert_eq!(limit(begin_alone(&engine).await.unwrap()).await, "0");
        assert_eq!(limit(engine.begin().await.unwrap()).await, "10s");
        statements::drop_database(engine, &server, &name).await;
    }
}
