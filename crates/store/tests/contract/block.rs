//! A pass over a municipality sees everybody once with everything, one block at a time, and nobody of another insurer.

use crate::world::*;
use kiban_domain::consent::ConsentAct;
use kiban_domain::{InsuredNumber, Kind};
use kiban_store::{Block, Entry, Outcome};

async fn block(world: &World, after: Option<InsuredNumber>, limit: i32) -> Block {
    let pass = world.store.audit().begin_pass(entry()).await.unwrap();
    pass.open(world.store.block(insurer(), after, limit, &[Kind::A3a, Kind::A5]).await.unwrap())
}

async fn furnish(world: &World) {
    let mut stranger = insured(person("0000000003"), "架空 他市", "カクウ タシ");
    stranger.key.insurer = other_insurer();
    world
        .write(async |tx| {
            for key in [hanako(), taro(), person("H000000001")] {
                tx.put_person(1, 1, &insured(key, "架空 花子", "カクウ ハナコ")).await?;
            }
            tx.put_person(1, 1, &stranger).await?;
            for (kind, key) in [
                (Kind::A3a, "0000000001"),
                (Kind::A3a, "0000000002"),
                (Kind::A5, "0000000001"),
                (Kind::A3b, "0000000001"),
            ] {
                tx.put_record(1, at(1), &record(kind, key, "{}")).await?;
            }
            tx.put_consent("a", 1, at(0), &consent(ConsentAct::Given, 10)).await?;
            tx.put_consent("b", 1, at(0), &consent(ConsentAct::Withdrawn, 20)).await?;
            tx.change_assignment(&assignment(hanako()), None).await
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn every_person_is_seen_once_with_what_was_asked_for() {
    on_each_engine(async |world| {
        furnish(&world).await;
        let first = block(&world, None, 2).await;
        assert_eq!(first.people.iter().map(|one| one.insured.key).collect::<Vec<_>>(), [hanako(), taro()]);
        let known = &first.people[0];
        let keys: Vec<_> = known.records.iter().map(|r| (r.header.kind, r.header.natural_key.as_str())).collect();
        assert_eq!(keys, [(Kind::A3a, "0000000002"), (Kind::A3a, "0000000001"), (Kind::A5, "0000000001")]);
        let acts: Vec<_> = known.consents.iter().map(|act| act.record.act).collect();
        assert_eq!((acts, known.consent_damaged), (vec![ConsentAct::Given, ConsentAct::Withdrawn], false));
        assert_eq!(known.assignments, [assignment(hanako())]);
        assert!(first.people[1].records.is_empty() && first.people[1].assignments.is_empty());
        let second = block(&world, first.last, 2).await;
        assert_eq!(second.people.iter().map(|one| one.insured.key).collect::<Vec<_>>(), [person("H000000001")]);
        assert_eq!(block(&world, second.last, 2).await, Block::default());
    })
    .await;
}

#[tokio::test]
async fn a_damaged_row_is_left_out_and_counted_and_closes_nothing_but_itself() {
    on_each_engine(async |world| {
        furnish(&world).await;
        world.by_hand("UPDATE person SET card_insurer = '294538' WHERE insured_number = '0000000002'").await;
        world.by_hand("UPDATE record SET creator = '4370100025' WHERE natural_key = '0000000002'").await;
        world.by_hand("UPDATE consent_act SET act = 'given' WHERE act_id = 'b'").await;
        world.by_hand("UPDATE assignment SET viewable_until = 20991231").await;
        let block = block(&world, None, 10).await;
        assert_eq!((block.people.len(), block.damaged), (2, 2));
        let known = &block.people[0];
        assert_eq!((known.records.len(), known.consents.len(), known.consent_damaged), (2, 1, true));
        assert!(known.assignments.is_empty());
    })
    .await;
}

#[tokio::test]
async fn looks_are_counted_for_the_people_of_a_block_and_the_time_asked_for() {
    on_each_engine(async |world| {
        furnish(&world).await;
        let look = |insured: &str, second: i64, outcome| Entry {
            insurer: Some(insurer().to_string()),
            insured: Some(insured.to_owned()),
            organization: Some(office().to_string()),
            kind: Some("A3a".to_owned()),
            ..Entry::new(at(second), "request-1", "interactive", "view", outcome)
        };
        for entry in [
            look("0000000001", 10, Outcome::Allowed),
            look("0000000002", 11, Outcome::Allowed),
            look("0000000002", 12, Outcome::Refused),
            look("0000000002", 99, Outcome::Allowed),
            look("H000000001", 13, Outcome::Allowed),
        ] {
            world.store.audit().append(entry).await.unwrap();
        }
        let micros = |second| at(second).as_microsecond();
        let mut looks =
            world.store.looks_of_block(insurer(), None, taro().insured, (micros(10), micros(60))).await.unwrap();
        looks.retain(|look| look.action == "view");
        looks.sort_by(|a, b| a.outcome.cmp(&b.outcome));
        let counts: Vec<_> =
            looks.iter().map(|look| (look.outcome.as_str(), look.kind.as_deref(), look.count)).collect();
        assert_eq!(counts, [("allowed", Some("A3a"), 2), ("refused", Some("A3a"), 1)]);
    })
    .await;
}
