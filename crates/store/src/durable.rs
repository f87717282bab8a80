//! Durable means durable (decision 0006.7): what the embedded database is really set to, asked of the connections in use.
//! What PostgreSQL may not be set to is tried in `crates/cli/tests/faults.rs`.

use crate::engine::args;
use crate::statements;

#[tokio::test]
async fn the_embedded_database_syncs_each_commit_and_its_readers_cannot_write() {
    let (_folder, engine, _pool) = statements::sqlite().await;
    // 2 is FULL: the write-ahead log is on the disk before a commit returns.
    let mut tx = engine.begin().await.unwrap();
    assert_eq!(tx.rows("PRAGMA synchronous", args![]).await.unwrap()[0].int(0).unwrap(), 2);
    assert_eq!(tx.rows("PRAGMA journal_mode", args![]).await.unwrap()[0].text(0).unwrap(), "wal");
    drop(tx);
    assert_eq!(engine.rows("PRAGMA query_only", args![]).await.unwrap()[0].int(0).unwrap(), 1);
    let write = "INSERT INTO audit_writer (writer, opened_at, alive_until, state) VALUES (1, 1, 1, 'live')";
    assert!(engine.rows(write, args![]).await.is_err());
    assert!(engine.rows("SELECT writer FROM audit_writer WHERE writer = 1", args![]).await.unwrap().is_empty());
    engine.close().await;
}
