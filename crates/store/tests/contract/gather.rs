//! Questions of many at the same moment go to the database together; each gets its own answer, as if asked alone.

use crate::world::*;
use kiban_domain::consent::ConsentAct;
use kiban_domain::office::StaffId;
use kiban_domain::{Kind, Organization, PersonKey};
use kiban_store::{Asker, NewRecord, PersonFacts};
use tokio::task::JoinSet;

/// More than go into one statement.
const PEOPLE: u32 = 37;

fn of(n: u32) -> PersonKey {
    person(&format!("{n:010}"))
}

/// Every third person is withheld, every fourth has no registration.
async fn load(world: &World) {
    world
        .write(async |tx| {
            for n in 1..=PEOPLE {
                let mut one = insured(of(n), &format!("架空 {n}"), "カクウ ハナコ");
                one.withheld = n % 3 == 0;
                tx.put_person(1, 1, &one).await?;
                if n % 4 != 0 {
                    tx.change_assignment(&assignment(of(n)), None).await?;
                }
                for kind in [Kind::A3a, Kind::A3b] {
                    let content = format!("{}/{n}", kind.code());
                    let one = NewRecord { person: of(n), ..record(kind, "0000000001", &content) };
                    tx.put_record(1, at(1), &one).await?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// What is right for a person.
fn is_right(n: u32, facts: &PersonFacts) -> bool {
    facts.known == (n <= PEOPLE)
        && facts.withheld == (n <= PEOPLE && n.is_multiple_of(3))
        && facts.assignment.as_ref().map(|a| a.person) == (n <= PEOPLE && !n.is_multiple_of(4)).then(|| of(n))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_gets_the_answer_to_its_own_question() {
    on_each_engine(async |world| {
        load(&world).await;
        let mut asking = JoinSet::new();
        // The last few are nobody; every second question is asked twice.
        for n in (1..=PEOPLE + 5).chain((2..=PEOPLE).step_by(2)) {
            let store = world.store.clone();
            asking.spawn(async move {
                let staff = StaffId("4370100017/s1".to_owned());
                let organization = Organization::Office(office());
                let asker = Asker { organization, office: Some(office()), staff: Some(&staff) };
                let kinds: &[Kind] = match n % 3 {
                    0 => &[Kind::A3a],
                    1 => &[Kind::A3a, Kind::A3b],
                    _ => &[Kind::A3b, Kind::A5, Kind::A2, Kind::F1, Kind::G1],
                };
                let (facts, unopened) = store.person_facts_with(of(n), asker, kinds, n % 2 == 0).await.unwrap();
                assert!(is_right(n, &facts), "{n}: {facts:?}");
                for kind in [Kind::A3a, Kind::A3b] {
                    let records = store.audit().release(unopened.records(kind).unwrap(), entry()).await.unwrap();
                    let contents: Vec<_> = records.iter().map(|r| String::from_utf8_lossy(&r.payload)).collect();
                    let wanted = kinds.contains(&kind) && n <= PEOPLE;
                    let expected: Vec<_> = wanted.then(|| format!("{}/{n}", kind.code())).into_iter().collect();
                    // All kinds are fetched when more are asked for than a statement names.
                    assert!(contents == expected || (kinds.len() > 4 && !wanted), "{n} {kind:?}: {contents:?}");
                }
                let identity = unopened.identity().unwrap();
                assert_eq!(identity.is_some(), n % 2 == 0 && n <= PEOPLE, "{n}");
                if let Some(identity) = identity {
                    let insured = store.audit().release(identity, entry()).await.unwrap();
                    assert_eq!(insured.identity.name, format!("架空 {n}"));
                }
            });
        }
        while let Some(asked) = asking.join_next().await {
            asked.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_sees_every_write_that_was_acknowledged_before_it() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let busy = world.store.clone();
        let others = tokio::spawn(async move {
            loop {
                let city = Organization::Municipality(insurer());
                busy.person_facts(taro(), city, None, None).await.unwrap();
            }
        });
        for second in 0..40 {
            let act = if second % 2 == 0 { ConsentAct::Given } else { ConsentAct::Withdrawn };
            let write = async |tx: &mut kiban_store::Tx| {
                tx.put_consent(&format!("c{second}"), 1, at(99), &consent(act, second)).await
            };
            world.write(write).await.unwrap();
            assert_eq!(world.facts().await.consent.covers(Kind::A2), second % 2 == 0, "{second}");
        }
        others.abort();
    })
    .await;
}

/// Of three versions of a person: which is withheld, which came with a receipt that is not applied, which was altered by
/// hand. 3 stands for none.
fn cases() -> impl Iterator<Item = (u32, [i64; 3])> {
    (1..).zip((0..64).map(|n| [n / 16, n / 4 % 4, n % 4]))
}

/// The versions in the order in which they arrive: the highest 履歴番号 is not the last one.
const HISTORY: [i64; 3] = [1, 3, 2];

async fn load_versions(world: &World, unapplied_receipt: i64) {
    world
        .write(async |tx| {
            for (n, [withheld, unapplied, _]) in cases() {
                for (i, history) in (0..).zip(HISTORY) {
                    let mut one = insured(of(n), &format!("架空 {n}-{history}"), "カクウ ハナコ");
                    one.withheld = withheld == i;
                    let receipt = if unapplied == i { unapplied_receipt } else { 100 + i };
                    tx.put_person(receipt, history, &one).await?;
                    let content = format!("{n}-{history}");
                    let one = NewRecord { person: of(n), ..record(Kind::A3a, "0000000001", &content) };
                    tx.put_record(receipt, at(1), &one).await?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
    for (n, [_, _, damaged]) in cases() {
        if let Some(history) = HISTORY.get(damaged as usize) {
            let one = format!("insured_number = '{}' AND history_number = {history}", of(n).insured);
            assert_eq!(world.by_hand(&format!("UPDATE person SET gone_on = 20200101 WHERE {one}")).await, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_every_mixture_of_versions_the_same_one_is_shown_as_when_it_is_read_alone() {
    on_each_engine(async |world| {
        let open = world.open_receipt("waits").await;
        load_versions(&world, open).await;
        let mut asking = JoinSet::new();
        for (n, [withheld, unapplied, damaged]) in cases() {
            let store = world.store.clone();
            asking.spawn(async move {
                let asker = Asker { organization: Organization::Office(office()), office: Some(office()), staff: None };
                let (facts, unopened) = store.person_facts_with(of(n), asker, &[Kind::A3a], true).await.unwrap();
                let which = format!("{withheld} {unapplied} {damaged}");
                assert_eq!((facts.known, facts.withheld), (damaged == 3, withheld < 3), "{which}");
                let alone = store.person(of(n)).await.unwrap();
                let identity = match unopened.identity().unwrap() {
                    Some(identity) => Some(store.audit().release(identity, entry()).await.unwrap()),
                    None => None,
                };
                let revision = alone.as_ref().map_or(0, |(header, _)| header.revision);
                assert_eq!(
                    (facts.person_revision, &identity),
                    (revision, &alone.map(|(_, insured)| insured)),
                    "{which}"
                );
                let name = if unapplied == 1 { "2" } else { "3" };
                let expected = (damaged == 3).then(|| format!("架空 {n}-{name}"));
                assert_eq!(identity.map(|insured| insured.identity.name), expected, "{which}");
                let together = unopened.records(Kind::A3a).unwrap();
                let together = store.audit().release(together, entry()).await.unwrap();
                let alone = store.records(of(n), Kind::A3a).await.unwrap();
                let alone = store.audit().release(alone, entry()).await.unwrap();
                assert_eq!(together, if damaged == 3 { alone } else { Vec::new() }, "{which}");
            });
        }
        while let Some(asked) = asking.join_next().await {
            asked.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn with_an_altered_list_of_open_receipts_nobody_is_known_and_nothing_is_opened() {
    on_each_engine(async |world| {
        let open = world.open_receipt("waits").await;
        world.put_person(open, &known_hanako()).await;
        world.by_hand("UPDATE receipt_counter SET open_receipts = ''").await;
        let asker = Asker { organization: Organization::Municipality(insurer()), office: None, staff: None };
        let (facts, unopened) = world.store.person_facts_with(hanako(), asker, &[Kind::A3a], true).await.unwrap();
        assert!(!facts.known && unopened.identity().unwrap().is_none());
        assert_eq!(world.store.person(hanako()).await.unwrap(), None);
    })
    .await;
}
