//! Many rows at once give what the same rows give one by one.

use crate::world::*;
use kiban_domain::dates::yyyymmdd;
use kiban_domain::insured::{Identity, Insured, LossReason};
use kiban_domain::{Kind, Organization};
use kiban_store::{NewRecord, SearchTokens};

const MANY: usize = 20_000;
const KINDS: [Kind; 3] = [Kind::A3a, Kind::A3b, Kind::A5];

/// Invented people: some withheld, some gone, some without an address.
fn people(count: usize) -> Vec<(i64, Insured)> {
    (0..count)
        .map(|i| {
            let mut one = insured(person(&format!("{i:010}")), &format!("架空 {i}子"), &format!("カクウ {i}コ"));
            one.withheld = i % 50 == 7;
            one.lost = (i % 40 == 3).then_some((day(20261001), LossReason::Died));
            if i % 30 == 5 {
                one.identity.address = None;
            }
            (i as i64 % 3 + 1, one)
        })
        .collect()
}

fn records(count: usize) -> Vec<NewRecord> {
    (0..count)
        .map(|i| {
            let kind = KINDS[i % 3];
            let content = format!("{{\"架空の内容\":{i}}}{}", "あ".repeat(i % 40));
            let mut record = record(kind, &format!("{:010}", i % 7), &content);
            record.person = person(&format!("{i:010}"));
            record.creator = Organization::Municipality(insurer());
            record.deleted = i % 100 == 9;
            record
        })
        .collect()
}

#[tokio::test]
async fn a_block_of_people_and_records_is_what_the_same_rows_are_one_by_one() {
    on_each_engine(async |world| {
        let (people, records) = (people(300), records(300));
        world
            .write(async |tx| {
                tx.put_new_people(5, &people).await?;
                tx.put_records(5, at(1), &records).await
            })
            .await
            .unwrap();
        let at_once = everything(&world, &people, &records).await;
        // Nobody who is withheld has search tokens.
        for (table, rows) in [("person", 300), ("person_token", 294), ("record", 300)] {
            assert_eq!(world.by_hand(&format!("DELETE FROM {table}")).await, rows);
        }
        world
            .write(async |tx| {
                for (history, one) in &people {
                    tx.put_person(5, *history, one).await?;
                }
                for one in &records {
                    tx.put_record(5, at(1), one).await?;
                }
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(at_once, everything(&world, &people, &records).await);
    })
    .await;
}

/// All that can be read about these people, in words.
async fn everything(world: &World, people: &[(i64, Insured)], records: &[NewRecord]) -> Vec<String> {
    let keys = world.store.keys_of(insurer()).await.unwrap();
    let mut all = Vec::new();
    for (_, one) in people {
        all.push(format!("{:?}", world.store.person(one.key).await.unwrap().unwrap()));
        let Identity { name, kana, sex, birth, .. } = &one.identity;
        let birth = yyyymmdd(*birth);
        for asked in [
            SearchTokens::kanji_birth(&keys, name, &birth),
            SearchTokens::kana_birth(&keys, kana, &birth),
            SearchTokens::kanji_sex(&keys, name, *sex),
            SearchTokens::kana_sex(&keys, kana, *sex),
        ] {
            all.push(format!("{:?}", world.store.find_by_token(insurer(), &asked).await.unwrap()));
        }
    }
    for one in records {
        let stored = world.store.records(one.person, one.kind).await.unwrap();
        let stored = world.store.audit().release(stored, entry()).await.unwrap();
        assert_eq!(stored[0].payload, one.payload);
        all.push(format!("{stored:?}"));
    }
    all
}

#[tokio::test]
async fn what_is_present_is_told_for_a_block_of_people() {
    on_each_engine(async |world| {
        let (people, records) = (people(50), records(50));
        world
            .write(async |tx| {
                tx.put_new_people(5, &people).await?;
                tx.put_records(5, at(1), &records).await?;
                tx.put_record(6, at(2), &NewRecord { deleted: true, ..records[0].clone() }).await
            })
            .await
            .unwrap();
        let asked: Vec<_> = (40..60).chain([0]).map(|i| person(&format!("{i:010}")).insured).collect();
        let present = world.store.present_people(insurer(), &asked).await.unwrap();
        assert_eq!(present.len(), 11);
        let (header, _) = world.store.person(people[41].1.key).await.unwrap().unwrap();
        assert_eq!(present[&people[41].1.key.insured], [header]);
        let present = world.store.present_records(insurer(), &asked, &KINDS).await.unwrap();
        assert_eq!(present.len(), 11);
        let others: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| !KINDS.contains(kind)).collect();
        assert!(world.store.present_records(insurer(), &asked, &others).await.unwrap().is_empty());
        assert!(world.store.present_records(insurer(), &asked, &[]).await.unwrap().is_empty());
        let first = &present[&(records[0].person.insured, records[0].kind, records[0].natural_key.clone())];
        assert_eq!((first.revision, first.deleted), (6, true));
        let other = &present[&(records[41].person.insured, records[41].kind, records[41].natural_key.clone())];
        let keys = world.store.keys_of(insurer()).await.unwrap();
        assert_eq!(
            (other.revision, other.deleted, &other.digest[..]),
            (5, false, &keys.digest(&records[41].payload)[..])
        );
        assert!(world.store.present_people(insurer(), &[]).await.unwrap().is_empty());
        assert!(world.store.present_people(other_insurer(), &asked).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn twenty_thousand_rows_go_in_and_are_all_told_as_present() {
    on_each_engine(async |world| {
        let (people, records) = (people(MANY), records(MANY));
        for (people, records) in people.chunks(10_000).zip(records.chunks(10_000)) {
            world
                .write(async |tx| {
                    tx.put_new_people(5, people).await?;
                    tx.put_records(5, at(1), records).await
                })
                .await
                .unwrap();
        }
        assert_eq!(world.store.count_people(insurer()).await.unwrap(), MANY as i64);
        let asked: Vec<_> = people.iter().map(|(_, one)| one.key.insured).collect();
        assert_eq!(world.store.present_people(insurer(), &asked).await.unwrap().len(), MANY);
        assert_eq!(world.store.present_records(insurer(), &asked, &KINDS).await.unwrap().len(), MANY);
        let last = &people[MANY - 1];
        assert_eq!(world.store.person(last.1.key).await.unwrap().unwrap().1, last.1);
    })
    .await;
}

/// How fast a hundred thousand rows go in: `cargo test -p kiban-store --test contract -- --ignored --nocapture rows_per`.
#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn rows_per_second_of_a_bulk_load() {
    on_each_engine(async |world| {
        let (people, records) = (people(100_000), records(100_000));
        let start = std::time::Instant::now();
        for people in people.chunks(10_000) {
            world.write(async |tx| tx.put_new_people(5, people).await).await.unwrap();
        }
        let after_people = start.elapsed();
        for records in records.chunks(10_000) {
            world.write(async |tx| tx.put_records(5, at(1), records).await).await.unwrap();
        }
        let after_records = start.elapsed() - after_people;
        let rate = |time: std::time::Duration| 100_000.0 / time.as_secs_f64();
        let engine = world.store.engine_name();
        println!("{engine}: {:.0} people/s, {:.0} records/s", rate(after_people), rate(after_records));
    })
    .await;
}
