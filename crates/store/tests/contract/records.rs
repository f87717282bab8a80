//! Records: every revision stays, any past state can be shown, and no clear column can be altered unseen.

use crate::world::*;
use kiban_domain::{Kind, Organization};
use kiban_store::{NewRecord, StoreError, StoredRecord};

/// Natural key, revision and content.
fn shown(records: &[StoredRecord]) -> Vec<(&str, i64, &str)> {
    let content = |record: &StoredRecord| std::str::from_utf8(&record.payload).unwrap().to_owned().leak() as &str;
    records.iter().map(|r| (r.header.natural_key.as_str(), r.header.revision, content(r))).collect()
}

async fn put(world: &World, revision: i64, second: i64, record: &NewRecord) {
    world.write(async |tx| tx.put_record(revision, at(second), record).await).await.unwrap();
}

#[tokio::test]
async fn every_revision_stays_and_any_past_state_can_be_shown() {
    on_each_engine(async |world| {
        let first = record(Kind::A3a, "0000000001", "要介護1");
        put(&world, 1, 10, &first).await;
        put(&world, 2, 20, &record(Kind::A3a, "0000000002", "要介護2")).await;
        put(&world, 3, 30, &record(Kind::A3a, "0000000001", "要介護1（訂正）")).await;
        let deletion = NewRecord { deleted: true, ..record(Kind::A3a, "0000000002", "") };
        put(&world, 4, 40, &deletion).await;
        let all = world.records(Kind::A3a).await.unwrap();
        assert_eq!(
            shown(&all),
            [
                ("0000000002", 4, ""),
                ("0000000002", 2, "要介護2"),
                ("0000000001", 3, "要介護1（訂正）"),
                ("0000000001", 1, "要介護1")
            ]
        );
        let known = |second| StoredRecord::as_known(all.clone(), at(second), &[]);
        assert_eq!(shown(&known(9)), []);
        assert_eq!(shown(&known(10)), [("0000000001", 1, "要介護1")]);
        assert_eq!(shown(&known(29)), [("0000000002", 2, "要介護2"), ("0000000001", 1, "要介護1")]);
        assert_eq!(shown(&known(39)), [("0000000002", 2, "要介護2"), ("0000000001", 3, "要介護1（訂正）")]);
        assert_eq!(shown(&known(40)), [("0000000001", 3, "要介護1（訂正）")]);
        let header = &all[3].header;
        assert_eq!((header.creator, &header.valid, header.recorded_at), (first.creator, &first.valid, at(10)));
        assert!(world.records(Kind::A3b).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_an_unapplied_receipt_wrote_does_not_exist_and_what_was_there_before_shows_through() {
    on_each_engine(async |world| {
        put(&world, 1, 10, &record(Kind::A5, "20261101", "申請")).await;
        put(&world, 2, 20, &NewRecord { deleted: true, ..record(Kind::A5, "20261101", "") }).await;
        let all = world.records(Kind::A5).await.unwrap();
        assert_eq!(shown(&StoredRecord::as_known(all.clone(), at(99), &[2])), [("20261101", 1, "申請")]);
        assert_eq!(shown(&StoredRecord::as_known(all, at(99), &[1, 2])), []);
    })
    .await;
}

#[tokio::test]
async fn natural_keys_come_in_the_same_order_on_every_engine() {
    on_each_engine(async |world| {
        for (revision, key) in (1..).zip(["a-1", "B-1", "a1", "ア", "0000000010", "0000000009"]) {
            put(&world, revision, 0, &record(Kind::Cp1, key, "x")).await;
            put(&world, revision + 10, 0, &record(Kind::Cp1, key, "y")).await;
        }
        let all = world.records(Kind::Cp1).await.unwrap();
        let keys: Vec<_> = all.iter().map(|record| record.header.natural_key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "ア",
                "ア",
                "a1",
                "a1",
                "a-1",
                "a-1",
                "B-1",
                "B-1",
                "0000000010",
                "0000000010",
                "0000000009",
                "0000000009"
            ]
        );
        assert_eq!(StoredRecord::as_known(all, at(0), &[]).len(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_header_list_names_every_kind_without_opening_anything() {
    on_each_engine(async |world| {
        put(&world, 1, 10, &record(Kind::A3a, "1", "証")).await;
        put(&world, 2, 20, &record(Kind::A2, "2", "意見書")).await;
        world.by_hand("UPDATE record SET payload = digest").await;
        let headers = world.store.record_headers(hanako()).await.unwrap();
        let kinds: Vec<_> = headers.iter().map(|header| (header.kind, header.revision)).collect();
        assert_eq!(kinds, [(Kind::A2, 2), (Kind::A3a, 1)]);
        assert!(world.store.record_headers(taro()).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_same_record_twice_under_one_receipt_is_a_conflict() {
    on_each_engine(async |world| {
        let twice = record(Kind::A3a, "1", "証");
        put(&world, 1, 10, &twice).await;
        let again = world.write(async |tx| tx.put_record(1, at(10), &twice).await).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        assert_eq!(world.records(Kind::A3a).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn whoever_alters_a_column_that_access_depends_on_makes_the_record_unreadable() {
    on_each_engine(async |world| {
        for (column, value) in [
            ("creator", "'4370100025'"),
            ("valid_from", "20260331"),
            ("valid_to", "99991231"),
            ("natural_key", "'2'"),
            ("revision", "9"),
            ("recorded_at", "recorded_at - 1"),
            ("deleted", if world.is_postgres() { "true" } else { "1" }),
        ] {
            world.by_hand("DELETE FROM record").await;
            put(&world, 1, 10, &record(Kind::A2, "1", "意見書")).await;
            assert_eq!(world.records(Kind::A2).await.unwrap().len(), 1);
            assert_eq!(world.by_hand(&format!("UPDATE record SET {column} = {value}")).await, 1);
            let read = world.records(Kind::A2).await;
            assert!(matches!(read, Err(StoreError::Unreadable(_))), "{column}: {read:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_record_moved_to_another_kind_or_person_does_not_open() {
    on_each_engine(async |world| {
        put(&world, 1, 10, &NewRecord { person: taro(), ..record(Kind::A2, "1", "太郎の意見書") }).await;
        world.by_hand("UPDATE record SET insured_number = '0000000001'").await;
        assert!(matches!(world.records(Kind::A2).await, Err(StoreError::Unreadable(_))));
        world.by_hand("UPDATE record SET insured_number = '0000000002', kind = 'A3a'").await;
        assert!(world.store.records(taro(), Kind::A3a).await.is_err());
        world.by_hand("UPDATE record SET kind = 'A2'").await;
        assert!(world.store.records(taro(), Kind::A2).await.is_ok(), "put back it opens");
    })
    .await;
}

#[tokio::test]
async fn the_stored_digest_tells_nothing_across_insurers() {
    on_each_engine(async |world| {
        let here = record(Kind::A3b, "1", "1割");
        let mut there = here.clone();
        there.person.insurer = other_insurer();
        there.creator = Organization::Municipality(other_insurer());
        put(&world, 1, 10, &here).await;
        put(&world, 1, 10, &there).await;
        assert_eq!(world.ask("SELECT count(DISTINCT digest) FROM record").await, 2);
    })
    .await;
}
