//! An installation moves from SQLite to PostgreSQL.

use crate::audit_months::{list, look};
use crate::world::*;
use kiban_domain::Kind;
use kiban_domain::consent::ConsentAct;
use kiban_store::{StoreError, move_database};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A city on SQLite with something in most tables, and an empty PostgreSQL database; nothing where there is no PostgreSQL.
async fn on_the_move(name: &str, test: impl AsyncFn(World, String)) {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    let name = format!("kiban_{name}_{}", std::process::id());
    let mut admin = PgConnection::connect(&server).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let world = World::on_sqlite().await;
    let number = world.open_receipt("r1").await;
    world.put_person(number, &known_hanako()).await;
    let records: Vec<_> = (0..1_200).map(|n| record(Kind::A2, &format!("{n:010}"), "架空の所見")).collect();
    world.write(async |tx| tx.put_records(number, at(0), &records).await).await.unwrap();
    let act = consent(ConsentAct::Given, 0);
    world.write(async |tx| tx.put_consent("c1", number, at(0), &act).await).await.unwrap();
    world.write(async |tx| tx.change_assignment(&assignment(hanako()), None).await).await.unwrap();
    world.apply(number).await;
    world.store.audit().append(list("2026-11-22", "l1")).await.unwrap();
    world.store.audit().append(look("2026-12-31", "l2")).await.unwrap();
    test(world, address_of(&server, &name)).await;
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_the_move_and_the_log_goes_on() {
    on_the_move("move", async |world, new| {
        let (person, records) = (world.store.person(hanako()).await.unwrap(), world.records(Kind::A2).await.unwrap());
        let looks = async |store: &kiban_store::Store| {
            store.audit().about_person(insurer().as_str(), hanako().insured.as_str(), 100, None).await.unwrap()
        };
        let (before, facts) = (looks(&world.store).await, world.facts().await);
        world.store.clone().close().await.unwrap();

        let mut told = Vec::new();
        let moved = move_database(&world.address, &new, &world.anchors(), &mut |done, all| told.push((done, all)))
            .await
            .unwrap();
        let rows: u64 = moved.iter().map(|table| table.rows).sum();
        assert_eq!(told.last(), Some(&(rows, rows)));
        for table in &moved {
            let here = world.ask(&format!("SELECT count(*) FROM {}", table.name)).await;
            assert_eq!(table.rows, here.cast_unsigned(), "{}", table.name);
        }
        assert!(moved.iter().any(|table| table.name == "record" && table.rows == 1_200));

        let store = open(&new, world.folder.path()).await.unwrap();
        let there = World { store, address: new, folder: world.folder };
        assert_eq!(there.store.person(hanako()).await.unwrap(), person);
        assert_eq!(there.records(Kind::A2).await.unwrap(), records);
        assert_eq!(looks(&there.store).await, before);
        let now = there.facts().await;
        assert_eq!((now.consent, now.assignment), (facts.consent, facts.assignment));
        assert_eq!(there.ask("SELECT count(*) FROM audit_rest").await, 0, "each entry went into its month");
        there.put_person(2, &known_hanako()).await;
        there.store.audit().anchor_now().await.unwrap();
        let report = there.store.audit().verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        there.store.clone().close().await.unwrap();
        let old = open(&world.address, there.folder.path()).await.err();
        assert!(matches!(old, Some(StoreError::Unsafe(_))), "the old database is served no more: {old:?}");
    })
    .await;
}

#[tokio::test]
async fn nothing_moves_from_under_a_running_server_or_into_a_database_that_holds_something() {
    on_the_move("nomove", async |world, new| {
        let try_it = async || move_database(&world.address, &new, &world.anchors(), &mut |_, _| {}).await;
        let refused = try_it().await;
        assert!(matches!(&refused, Err(StoreError::Unsafe(why)) if why.contains("still runs")), "{refused:?}");
        world.store.clone().close().await.unwrap();

        let other = tempfile::tempdir().unwrap();
        open(&new, other.path()).await.unwrap().close().await.unwrap();
        let refused = try_it().await;
        assert!(matches!(&refused, Err(StoreError::Unsafe(why)) if why.contains("not empty")), "{refused:?}");
        let refused = move_database("sqlite:/nowhere/kiban.db", &new, &world.anchors(), &mut |_, _| {}).await;
        assert!(matches!(refused, Err(StoreError::File(_))), "{refused:?}");
    })
    .await;
}
