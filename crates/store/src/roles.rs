//! Who may do what on PostgreSQL (decision 0006.8, S-016): the owner migrates; `kiban_app` serves, can neither change nor
//! delete what was recorded or logged, and removes no key; `kiban_purge` may besides delete months of the log that nobody has to keep.

use crate::engine::{Engine, RawTx, args};
use crate::migrations::{self, finish};
use crate::{MasterKey, Store, StoreError};

/// Role of servers and commands.
pub const APP_ROLE: &str = "kiban_app";
/// Role of `kiban audit purge`.
pub const PURGE_ROLE: &str = "kiban_purge";

/// Tables that only grow; what stands in them is never changed by anybody but the owner. Of `record_original` a server removes
/// rows whose last day of keeping has passed, by the clock of the database, and no other (P-201).
const ONLY_GROWING: &str = "'record', 'record_original', 'consent_act', 'office_person', 'person_link', 'audit', 'audit_seen', 'audit_segment', 'audit_anchor', 'audit_month', 'audit_purge', 'self_check'";

/// Tables of which a server or a command removes rows: what is for a while only, members of 広域連合 entered by mistake, rows of
/// packages that are in by now, opinions that were sent meanwhile, log-ins that are over, counts of days before, passkeys and what they were asked, and the search tokens of people. Of every other one it adds and changes rows and removes none.
const MAY_SHRINK: &str = "'person_token', 'opinion_request', 'staff_lock', 'recovery_code', 'union_member', 'notice', 'idempotency', 'upload', 'upload_file', 'upload_piece', 'slip', 'slip_document', 'open_row', 'row_again', 'opinion_draft', 'portal_session', 'mismatch', 'session', 'passkey', 'passkey_challenge'";

/// Keys: a server makes them, counts their messages and closes them. What they are wrapped in and that they are there is the
/// owner's; so are sealing anew, the end of a key and the change of the master key (`kiban keys`).
const KEYS: &str = "'data_key', 'key_state'";

const THERE: &str = "SELECT rolname::text FROM pg_roles WHERE rolname IN ('kiban_app', 'kiban_purge') ORDER BY rolname";
const MAY_DELETE: &str = "SELECT has_table_privilege('audit', 'DELETE')";

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Steps that were missing, in order.
    pub steps: Vec<&'static str>,
    /// Roles that have their rights now; none on SQLite.
    pub roles: Vec<String>,
}

/// Brings a database up to date as its owner; with `make_roles` also makes the two roles, without a password. Roles that are
/// there get their rights anew each time. The master key is needed where rows that are there get MACs.
pub async fn migrate_database(
    address: &str,
    make_roles: bool,
    master: Option<&MasterKey>,
) -> Result<Migrated, StoreError> {
    let engine = Engine::open(address).await?;
    let done = migrate_and_grant(&engine, make_roles, master).await;
    engine.close().await;
    done
}

async fn migrate_and_grant(
    engine: &Engine,
    make_roles: bool,
    master: Option<&MasterKey>,
) -> Result<Migrated, StoreError> {
    let steps = migrations::migrate(engine, master).await?;
    if !engine.is_postgres() {
        return Ok(Migrated { steps, roles: Vec::new() });
    }
    let mut tx = engine.begin().await?;
    if make_roles {
        tx.script(MAKE.to_owned()).await?;
    }
    let roles = grant(&mut tx).await?;
    finish(tx).await?;
    Ok(Migrated { steps, roles })
}

/// Gives the roles that are there their rights; which.
pub(crate) async fn grant(tx: &mut RawTx) -> Result<Vec<String>, StoreError> {
    let roles: Vec<String> = tx.rows(THERE, args![]).await?.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    for role in &roles {
        tx.script(rights(role)).await?;
    }
    Ok(roles)
}

/// The rights of a role. Parts of a table are reached through the whole, so that nobody writes past its rights.
fn rights(role: &str) -> String {
    let purges = if role == PURGE_ROLE {
        "GRANT INSERT ON audit_purge TO kiban_purge; GRANT EXECUTE ON FUNCTION kiban_drop_audit_month(INTEGER) TO kiban_purge;"
    } else {
        ""
    };
    format!(
        "DO $$
DECLARE
  name TEXT;
BEGIN
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', current_schema());
  FOR name IN SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') LOOP
    EXECUTE format('REVOKE ALL ON %I FROM {role}', name);
  END LOOP;
  FOR name IN SELECT relname FROM pg_class
      WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition LOOP
    IF name = 'schema_step' OR name = 'audit_purge' THEN
      EXECUTE format('GRANT SELECT ON %I TO {role}', name);
    ELSIF name IN ({ONLY_GROWING}) OR name IN ({KEYS}) THEN
      EXECUTE format('GRANT SELECT, INSERT ON %I TO {role}', name);
    ELSIF name IN ({MAY_SHRINK}) THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO {role}', name);
    ELSE
      EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO {role}', name);
    END IF;
  END LOOP;
  GRANT DELETE ON record_original TO {role};
  ALTER TABLE record_original ENABLE ROW LEVEL SECURITY;
  DROP POLICY IF EXISTS {role}_reads ON record_original;
  DROP POLICY IF EXISTS {role}_adds ON record_original;
  DROP POLICY IF EXISTS {role}_removes ON record_original;
  CREATE POLICY {role}_reads ON record_original FOR SELECT TO {role} USING (true);
  CREATE POLICY {role}_adds ON record_original FOR INSERT TO {role} WITH CHECK (true);
  CREATE POLICY {role}_removes ON record_original FOR DELETE TO {role}
    USING (purge_after < to_char(now() AT TIME ZONE 'Asia/Tokyo', 'YYYYMMDD')::INTEGER);
  GRANT UPDATE (messages, closed_at) ON data_key TO {role};
  GRANT UPDATE (epoch, normalizer) ON key_state TO {role};
  GRANT EXECUTE ON FUNCTION kiban_make_audit_months(INTEGER, INTEGER) TO {role};
  {purges}
END $$;"
    )
}

/// Roles belong to the server, not to the database; another database may make them at the same moment.
const MAKE: &str = "DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['kiban_app', 'kiban_purge'] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I LOGIN', name);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
  END LOOP;
END $$;";

impl Store {
    /// Whether this process could delete from the audit log if it wanted to: on PostgreSQL a production server should not.
    pub async fn may_delete_audit(&self) -> Result<bool, StoreError> {
        if !self.engine.is_postgres() {
            return Ok(false);
        }
        self.engine.rows(MAY_DELETE, args![]).await?.first().map_or(Ok(false), |row| row.boolean(0))
    }
}
