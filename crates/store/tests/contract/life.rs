//! Opening, writing and not writing: what is there afterwards, and what nobody finds in the files.

use crate::world::*;
use kiban_domain::consent::ConsentAct;
use kiban_domain::{Kind, Organization};
use kiban_store::{NewReceipt, Store, StoreError};
use std::future::Future as _;
use std::path::Path;
use std::task::Poll;

#[tokio::test]
async fn a_write_that_is_not_committed_leaves_nothing_and_the_next_one_works() {
    on_each_engine(async |world| {
        let mut tx = world.store.begin().await.unwrap();
        tx.put_person(1, 1, &known_hanako()).await.unwrap();
        assert_eq!(world.store.person(hanako()).await.unwrap(), None, "not visible before the commit");
        drop(tx);
        assert_eq!(world.store.person(hanako()).await.unwrap(), None);
        world.put_person(2, &known_hanako()).await;
        assert_eq!(world.store.person(hanako()).await.unwrap().unwrap().0.revision, 2);
    })
    .await;
}

#[tokio::test]
async fn keys_made_by_a_write_that_was_given_up_are_never_used() {
    on_each_engine(async |world| {
        let mut tx = world.store.begin().await.unwrap();
        tx.put_person(1, 1, &known_hanako()).await.unwrap();
        drop(tx);
        world.put_person(2, &known_hanako()).await;
        let again = open(&world.address, world.folder.path()).await.unwrap();
        assert_eq!(again.person(hanako()).await.unwrap().unwrap().1, known_hanako());
        again.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_closed_embedded_database_is_one_whole_file_that_may_be_copied_or_put_back() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let left_over = |address: &str| {
            let path = address.strip_prefix("sqlite:").map(Path::new)?;
            let entries = std::fs::read_dir(path.parent()?).unwrap().map(|entry| entry.unwrap().file_name());
            let beside = |name: &std::ffi::OsString| {
                name.to_string_lossy().starts_with(&*path.file_name().unwrap().to_string_lossy())
            };
            Some(entries.filter(beside).count())
        };
        world.store.close().await.unwrap();
        assert!(matches!(left_over(&world.address), None | Some(1)), "nothing is written or removed after the close");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_writes_about_an_insurer_at_the_same_time_agree_on_its_keys() {
    on_each_engine(async |world| {
        let world = std::sync::Arc::new(world);
        let writers: Vec<_> = (0..10)
            .map(|i| {
                let world = std::sync::Arc::clone(&world);
                let one = insured(person(&format!("{i:010}")), "架空 花子", "カクウ ハナコ");
                tokio::spawn(async move { world.put_person(1, &one).await })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let again = open(&world.address, world.folder.path()).await.unwrap();
        for i in 0..10 {
            assert!(again.person(person(&format!("{i:010}"))).await.unwrap().is_some());
        }
        again.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_goes_away_while_a_write_begins_stops_nobody_else() {
    on_each_engine(async |world| {
        for looks in 1..100 {
            // Looked at so often and then dropped, at whatever point it has reached.
            let mut begin = std::pin::pin!(world.store.begin());
            for _ in 0..looks {
                let done = std::future::poll_fn(|cx| Poll::Ready(begin.as_mut().poll(cx).is_ready())).await;
                if done {
                    break;
                }
                std::thread::yield_now();
            }
        }
        world.put_person(1, &known_hanako()).await;
        assert!(world.store.person(hanako()).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_refused_row_leaves_the_whole_write_undone() {
    on_each_engine(async |world| {
        let mut tx = world.store.begin().await.unwrap();
        tx.put_person(1, 1, &known_hanako()).await.unwrap();
        tx.put_receipt(&receipt("r1")).await.unwrap();
        let again = tx.put_receipt(&NewReceipt { public_id: "r2".to_owned(), ..receipt("r1") }).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))));
        drop(tx);
        assert_eq!(world.store.person(hanako()).await.unwrap(), None);
        assert!(world.store.receipts(insurer(), receipt("r1").sender, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_commit_makes_exactly_one_audit_entry_and_a_given_up_write_none() {
    on_each_engine(async |world| {
        let count = async || world.ask("SELECT count(*) FROM audit WHERE outcome <> 'void'").await;
        let before = count().await;
        world.put_person(1, &known_hanako()).await;
        assert_eq!(count().await, before + 1);
        let mut tx = world.store.begin().await.unwrap();
        tx.put_person(2, 1, &known_hanako()).await.unwrap();
        drop(tx);
        world.records(Kind::A2).await.unwrap();
        assert_eq!(count().await, before + 2);
        assert!(world.store.audit().verify().await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn a_second_opening_finds_everything_and_changes_no_table() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let steps = world.ask("SELECT count(*) FROM schema_step").await;
        let second = open(&world.address, world.folder.path()).await.unwrap();
        assert_eq!(second.person(hanako()).await.unwrap().unwrap().1, known_hanako());
        assert_eq!(world.ask("SELECT count(*) FROM schema_step").await, steps);
        second.close().await.unwrap();
        world.store.clone().close().await.unwrap();
        let third = open(&world.address, world.folder.path()).await.unwrap();
        assert!(third.person(hanako()).await.unwrap().is_some());
        third.close().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_started_at_the_same_time_on_an_empty_database_all_come_up() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    use sqlx::{Connection as _, Executor as _};
    let mut admin = sqlx::PgConnection::connect(&server).await.unwrap();
    let name = format!("kiban_start_{}", std::process::id());
    admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let address = address_of(&server, &name);
    let folder = tempfile::tempdir().unwrap();
    // The keys are made once, before, as an operator does.
    kiban_store::MasterKey::load_or_create(&folder.path().join("keys/master.key")).unwrap();
    kiban_store::SigningKey::load_or_create(&folder.path().join("keys/anchor.key")).unwrap();
    let starts = (0..4).map(|_| {
        let (address, folder) = (address.clone(), folder.path().to_owned());
        tokio::spawn(async move { open(&address, &folder).await })
    });
    let mut stores: Vec<Store> = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        stores.push(start.await.unwrap().unwrap());
    }
    for store in stores {
        store.close().await.unwrap();
    }
    admin.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

#[tokio::test]
async fn another_master_key_is_refused() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let other = world.folder.path().join("keys/other.key");
        let refused = open_with(&world.address, world.folder.path(), &other).await.err();
        assert!(matches!(refused, Some(StoreError::Unreadable(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_server_on_another_machine_must_prove_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for (address, is_refused) in [
        ("postgres://kiban@127.0.0.2:9/kiban", true),
        ("postgres://kiban@127.0.0.2:9/kiban?sslmode=disable", true),
        ("postgres://kiban@127.0.0.2:9/kiban?sslmode=require", true),
        ("postgres://kiban@127.0.0.2:9/kiban?sslmode=verify-ca", true),
        ("postgres://kiban@localhost.example.invalid:9/kiban", true),
        ("postgres://kiban@localhost:9/kiban?host=127.0.0.2", true),
        ("postgres://kiban@127.0.0.2:9/kiban?sslmode=verify-full", false),
        ("postgres://kiban@localhost:9/kiban", false),
        ("postgres://kiban@127.0.0.1:9/kiban", false),
        ("postgres://kiban@[::1]:9/kiban", false),
        ("postgres://kiban@127.0.0.2:9/kiban?host=/nowhere/at/all", false),
    ] {
        let Err(error) = open(address, folder.path()).await else { panic!("{address} is served") };
        match error {
            StoreError::Unsafe(why) => assert!(is_refused && why.contains("verify-full"), "{address}: {why}"),
            StoreError::Unavailable(_) => assert!(!is_refused, "{address}"),
            other => panic!("{address}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_may_lose_a_commit_is_refused() {
    on_each_engine(async |world| {
        if !world.is_postgres() {
            return;
        }
        let name = world.address.split('?').next().unwrap().rsplit_once('/').unwrap().1.to_owned();
        for value in ["off", "local", "remote_write"] {
            world.by_hand(&format!("ALTER DATABASE {name} SET synchronous_commit = {value}")).await;
            let refused = open(&world.address, world.folder.path()).await.err();
            assert!(matches!(refused, Some(StoreError::Unsafe(_))), "{value}: {refused:?}");
        }
        world.by_hand(&format!("ALTER DATABASE {name} RESET synchronous_commit")).await;
        open(&world.address, world.folder.path()).await.unwrap().close().await.unwrap();
    })
    .await;
}

/// Words that only our invented people have.
const CANARIES: [&str; 7] =
    ["カナリア花", "カナリアハナ", "カナリア町", "090-7777-1234", "カナリア所見", "カナリア備考", "カナリア職員"];

async fn write_canaries(world: &World) {
    let mut one = insured(hanako(), "カナリア花", "カナリアハナ");
    one.identity.address = Some("架空県カナリア町１丁目".to_owned());
    one.identity.telephone = Some("090-7777-1234".to_owned());
    let mut act = consent(ConsentAct::Given, 0);
    act.remark = Some("カナリア備考".to_owned());
    let mut account = crate::doors::account("s1");
    account.staff.name = "カナリア職員".to_owned();
    let original = CANARIES.join(",");
    let package = NewReceipt { original: Some(original.as_bytes()), ..receipt("r1") };
    world
        .write(async |tx| {
            let number = tx.put_receipt(&package).await?;
            tx.put_person(number, 1, &one).await?;
            tx.put_new_people(number, &[(1, insured(taro(), "カナリア花", "カナリアハナ"))]).await?;
            tx.put_record(number, at(0), &record(Kind::A2, "1", "カナリア所見")).await?;
            tx.put_records(number, at(0), &[record(Kind::A2, "2", "カナリア所見")]).await?;
            tx.put_consent("c1", number, at(0), &act).await?;
            tx.put_account(&account).await?;
            tx.remember(
                Organization::Office(office()),
                b"k",
                "カナリア所見".as_bytes(),
                &kiban_store::KeptAnswer {
                    bytes: "カナリア備考".as_bytes().to_vec(),
                    ..kiban_store::KeptAnswer::default()
                },
                at(0),
            )
            .await?;
            tx.finish_receipt(
                insurer(),
                number,
                kiban_store::ReceiptState::Applied,
                Default::default(),
                original.as_bytes(),
            )
            .await
        })
        .await
        .unwrap();
    // A failed write puts a row into the server's log.
    let _ = world.write(async |tx| tx.put_new_people(9, &[(1, one.clone())]).await).await;
}

/// Files of a folder in which one of the canaries stands, and how many files were read.
fn found_in(folder: &Path, found: &mut Vec<String>) -> usize {
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            read += found_in(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            read += 1;
            for canary in CANARIES {
                if bytes.windows(canary.len()).any(|window| window == canary.as_bytes()) {
                    found.push(format!("{canary} in {}", path.display()));
                }
            }
        }
    }
    read
}

#[tokio::test]
async fn nothing_personal_stands_in_any_file_of_the_database() {
    on_each_engine(async |world| {
        write_canaries(&world).await;
        assert_eq!(world.store.person(hanako()).await.unwrap().unwrap().1.identity.name, "カナリア花");
        let mut found = Vec::new();
        if world.is_postgres() {
            world.by_hand("CHECKPOINT").await;
            let data = data_directory(&world).await;
            let Some(data) = data.filter(|data| std::fs::read_dir(data).is_ok()) else {
                println!("data folder of PostgreSQL not readable from here, skipped");
                return;
            };
            // The folder of this database and the log of changes; other tests have their own databases.
            let number = world.ask("SELECT oid::bigint FROM pg_database WHERE datname = current_database()").await;
            assert!(found_in(&data.join("base").join(number.to_string()), &mut found) > 10);
            assert!(found_in(&data.join("pg_wal"), &mut found) > 0);
            let log = data.parent().unwrap().join("log");
            if log.is_file() {
                let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
                assert!(!CANARIES.iter().any(|canary| text.contains(canary)), "in the server's log");
            }
        } else {
            assert!(found_in(world.folder.path(), &mut found) >= 3);
            world.store.clone().close().await.unwrap();
            found_in(world.folder.path(), &mut found);
        }
        assert!(found.is_empty(), "{found:?}");
    })
    .await;
}

async fn data_directory(world: &World) -> Option<std::path::PathBuf> {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect(&world.address).await.unwrap();
    let path: String =
        sqlx::query_scalar("SELECT current_setting('data_directory')").fetch_one(&mut connection).await.unwrap();
    Some(path.into())
}

#[tokio::test]
async fn the_clock_of_this_process_is_held_against_the_databases() {
    on_each_engine(async |world| {
        let right = kiban_domain::Timestamp::now;
        let hour = |sign: i64| kiban_domain::Timestamp::from_second(right().as_second() + sign * 3600).unwrap();
        let near = world.store.clock_drift(right()).await.unwrap();
        assert!(!near.is_refused(), "{near:?}");
        let (ahead, behind) = (hour(1), hour(-1));
        let ahead = world.store.clock_drift(ahead).await.unwrap();
        let behind = world.store.clock_drift(behind).await.unwrap();
        assert!(ahead.is_refused() && ahead.0 > 0, "{ahead:?}");
        assert!(behind.is_refused() && behind.0 < 0, "{behind:?}");
    })
    .await;
}
