//! What a server's role may do on PostgreSQL: its whole work, and nothing to what was recorded or logged.

use crate::audit_months::{approval, list, look};
use crate::world::*;
use kiban_domain::Kind;
use kiban_store::{APP_ROLE, Month, PURGE_ROLE, StoreError, migrate_database};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

fn as_role(address: &str, role: &str) -> String {
    let (_, rest) = address.split_once("://").unwrap().1.split_once('@').unwrap();
    format!("postgres://{role}@{rest}")
}

/// Code of the refusal of a statement.
async fn refusal(address: &str, sql: &str) -> String {
    let mut connection = PgConnection::connect(address).await.unwrap();
    match connection.execute(AssertSqlSafe(sql.to_owned())).await {
        Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        other => panic!("{sql}: {other:?}"),
    }
}

const DENIED: &str = "42501";

#[tokio::test]
async fn the_role_of_servers_does_its_work_and_can_change_nothing_that_was_recorded() {
    on_each_engine(async |world| {
        if !world.is_postgres() {
            return;
        }
        let made = migrate_database(&world.address, true, None).await.unwrap();
        assert_eq!((made.steps.len(), made.roles), (0, vec![APP_ROLE.to_owned(), PURGE_ROLE.to_owned()]));
        assert!(world.store.may_delete_audit().await.unwrap());
        world.store.clone().close().await.unwrap();

        let app = as_role(&world.address, APP_ROLE);
        let store = open(&app, world.folder.path()).await.unwrap();
        assert!(!store.may_delete_audit().await.unwrap());
        let world = World { store, address: world.address, folder: world.folder };
        let number = world.open_receipt("r1").await;
        world.put_person(number, &known_hanako()).await;
        world.write(async |tx| tx.put_record(number, at(0), &record(Kind::A2, "1", "架空の所見")).await).await.unwrap();
        world
            .write(async |tx| {
                tx.put_consent("c1", number, at(0), &consent(kiban_domain::consent::ConsentAct::Given, 0)).await
            })
            .await
            .unwrap();
        world.apply(number).await;
        assert_eq!(world.records(Kind::A2).await.unwrap().len(), 1);
        let log = world.store.audit();
        log.append(look("2026-11-22", "l1")).await.unwrap();
        log.append(list("2026-11-22", "l2")).await.unwrap();
        log.anchor_now().await.unwrap();
        assert!(log.verify().await.unwrap().is_intact());

        for (table, column) in [
            ("record", "payload"),
            ("consent_act", "detail"),
            ("audit", "staff"),
            ("audit_seen", "writer"),
            ("audit_segment", "root"),
            ("audit_anchor", "heads"),
            ("audit_month", "people"),
            ("data_key", "wrapped"),
            ("key_state", "master_id"),
            ("office_person", "insured_number"),
        ] {
            let change = format!("UPDATE {table} SET {column} = NULL");
            for sql in [
                &*change,
                &format!("DELETE FROM {table}"),
                &format!("TRUNCATE {table}"),
                &format!("DROP TABLE {table}"),
            ] {
                assert_eq!(refusal(&app, sql).await, DENIED, "{sql}");
            }
        }
        // What is for a while only it takes away.
        world.write(async |tx| tx.forget_portal_sessions(at(0)).await).await.unwrap();
        world.write(async |tx| tx.forget_sessions(at(0)).await).await.unwrap();
        world.write(async |tx| tx.forget_mismatches(jiff::civil::date(2026, 1, 1)).await).await.unwrap();
        // Of the originals it removes those whose last day has passed, whatever it asks for.
        for (id, purge_after) in [("o1", 2020), ("o2", 2120)] {
            world.write(async |tx| tx.put_submission(&crate::files::opinion(id)).await).await.unwrap();
            let submission = world.store.submission(insurer(), id).await.unwrap().unwrap();
            let last_day = jiff::civil::date(purge_after, 1, 1);
            world.write(async |tx| tx.keep_original(&submission, number, last_day).await).await.unwrap();
        }
        let mut connection = PgConnection::connect(&app).await.unwrap();
        let gone = connection.execute("DELETE FROM record_original").await.unwrap();
        assert_eq!(gone.rows_affected(), 1);
        connection.close().await.unwrap();
        assert!(world.store.kept_original(insurer(), "o2").await.unwrap().is_some());
        assert_eq!(refusal(&app, "UPDATE record_original SET purge_after = 20200101").await, DENIED);
        // A server makes keys and ends them, also under this role; the owner changes the master key, seals anew and removes.
        world.store.rotate_data_key(insurer().as_str()).await.unwrap();
        world.put_person(number, &known_hanako()).await;
        assert_eq!(world.ask("SELECT count(*) FROM data_key WHERE closed_at IS NOT NULL").await, 1);
        let master = kiban_store::MasterKey::load(&world.folder.path().join("keys/master.key")).unwrap();
        for refused in [
            world.store.reseal(insurer().as_str(), &mut |_| {}).await.map(|_| ()),
            world.store.rewrap_keys(&master).await.map(|_| ()),
        ] {
            let Err(StoreError::Unsafe(why)) = refused else { panic!("{refused:?}") };
            assert!(why.contains("所有者のロール"), "{why}");
        }
        assert_eq!(world.store.reindex(insurer(), &mut |_| {}).await.unwrap().retired, 0);
        for sql in [
            "DELETE FROM data_key WHERE closed_at IS NOT NULL",
            "UPDATE data_key SET generation = 9",
            "DELETE FROM key_state",
            "DELETE FROM person",
            "DELETE FROM assignment",
            "DELETE FROM receipt_counter",
            "DELETE FROM audit_202611",
            "SELECT * FROM audit_202611",
            "INSERT INTO audit_purge VALUES (201811, 0, 0, '', '', '')",
            "SELECT kiban_drop_audit_month(201811)",
            "CREATE TABLE mine (a INTEGER)",
            "DELETE FROM schema_step",
        ] {
            assert_eq!(refusal(&app, sql).await, DENIED, "{sql}");
        }
        world.store.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_role_of_the_purge_deletes_old_months_and_no_entry_by_hand() {
    on_each_engine(async |world| {
        if !world.is_postgres() {
            return;
        }
        migrate_database(&world.address, true, None).await.unwrap();
        let log = world.store.audit();
        log.append(look("2018-11-01", "old")).await.unwrap();
        log.append(look("2026-11-01", "new")).await.unwrap();
        world.store.clone().close().await.unwrap();
        let before = Month::parse("2019-01").unwrap();

        let app = open(&as_role(&world.address, APP_ROLE), world.folder.path()).await.unwrap();
        assert!(app.purge_audit(before, 5, at(0), Some(&approval())).await.is_err());
        app.close().await.unwrap();
        assert_eq!(world.ask("SELECT count(*) FROM audit WHERE request_id = 'old'").await, 1);

        let role = as_role(&world.address, PURGE_ROLE);
        for sql in ["DELETE FROM audit", "UPDATE audit SET staff = NULL", "SELECT kiban_drop_audit_month(202601)"] {
            assert!([DENIED, "P0001"].contains(&refusal(&role, sql).await.as_str()), "{sql}");
        }
        let purge = open(&role, world.folder.path()).await.unwrap();
        let gone = purge.purge_audit(before, 5, at(0), Some(&approval())).await.unwrap();
        assert_eq!(gone.len(), 1);
        assert!(purge.audit().verify().await.unwrap().is_intact());
        purge.close().await.unwrap();
        assert_eq!(world.ask("SELECT count(*) FROM audit WHERE request_id = 'old'").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_behind_is_not_migrated_by_the_role_of_servers() {
    on_each_engine(async |world| {
        if !world.is_postgres() {
            return;
        }
        migrate_database(&world.address, true, None).await.unwrap();
        world.by_hand("DELETE FROM schema_step WHERE name LIKE '%audit_months'").await;
        let refused = open(&as_role(&world.address, APP_ROLE), world.folder.path()).await.err();
        let Some(StoreError::Unsafe(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("kiban migrate"), "{why}");
    })
    .await;
}
