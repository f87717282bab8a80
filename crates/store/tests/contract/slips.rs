//! やりとり: what sender and addressee find, who wins between fetching and taking back, and what nobody else can open.

use crate::world::*;
use kiban_domain::dates::ServiceMonth;
use kiban_domain::office::StaffId;
use kiban_domain::slip::{SlipContent, SlipState};
use kiban_domain::{OfficeNumber, Timestamp};
use kiban_store::{NewSlip, Slip, SlipDocument, SlipSide, Store};

const SERIAL: i64 = 20_261_122_000_001;

/// A message from [`office`] to [`other_office`].
pub fn slip(id: &str, serial: i64) -> NewSlip {
    NewSlip {
        id: id.to_owned(),
        sender: office(),
        sent_by: staff(),
        receiver: other_office(),
        sent_at: at(serial % 1_000),
        serial,
        types: "43 11".to_owned(),
        content: SlipContent::Plan,
        month: Some(ServiceMonth::parse("202611").unwrap()),
        reply_to: None,
        digest: [7; 32],
        about: "架空の見出し".as_bytes().to_vec(),
        files: "架空の提供票".as_bytes().to_vec(),
    }
}

fn staff() -> StaffId {
    StaffId("4370100017/s1".to_owned())
}

pub async fn opens(store: &Store, id: &str) {
    let slip = sent(store, id).await;
    assert_eq!(slip.about, "架空の見出し".as_bytes());
    assert_eq!(store.slip_files(&slip).await.unwrap().unwrap(), "架空の提供票".as_bytes());
}

async fn sent(store: &Store, id: &str) -> Slip {
    store.slip(SlipSide::Sent, office(), id).await.unwrap().unwrap()
}

async fn put(world: &World, new: &NewSlip) -> bool {
    world.write(async |tx| tx.put_slip(new).await).await.unwrap()
}

async fn ids(world: &World, side: SlipSide, office: OfficeNumber, after: Option<(Timestamp, &str)>) -> Vec<String> {
    let page = world.store.slip_page(side, office, SlipState::Sent, after, 2).await.unwrap();
    page.into_iter().map(|slip| slip.id).collect()
}

#[tokio::test]
async fn a_message_is_found_by_its_sender_and_its_addressee_each_on_its_own_side_and_by_nobody_else() {
    on_each_engine(async |world| {
        for (id, serial) in [("a", SERIAL), ("b", SERIAL + 1), ("c", SERIAL + 2)] {
            assert!(put(&world, &slip(id, serial)).await);
        }
        let stranger = OfficeNumber::parse("4370100033").unwrap();
        for (side, office) in [(SlipSide::Sent, office()), (SlipSide::Received, other_office())] {
            assert_eq!(world.store.slip(side, office, "a").await.unwrap().unwrap().id, "a");
            assert_eq!(ids(&world, side, office, None).await, ["a", "b"]);
            assert_eq!(ids(&world, side, office, Some((at(2), "b"))).await, ["c"]);
            assert_eq!(world.store.slip(side, stranger, "a").await.unwrap(), None);
        }
        for (side, office) in [(SlipSide::Received, office()), (SlipSide::Sent, other_office())] {
            assert_eq!(world.store.slip(side, office, "a").await.unwrap(), None, "{side:?}");
            assert!(ids(&world, side, office, None).await.is_empty());
        }
        let found = sent(&world.store, "b").await;
        let new = slip("b", SERIAL + 1);
        assert_eq!((found.state, found.serial, found.month), (SlipState::Sent, new.serial, new.month));
        opens(&world.store, "b").await;
    })
    .await;
}

#[tokio::test]
async fn one_set_is_there_once_until_it_is_taken_back() {
    on_each_engine(async |world| {
        assert!(put(&world, &slip("a", SERIAL)).await);
        assert!(!put(&world, &slip("b", SERIAL)).await, "the same serial between the same offices");
        let other = NewSlip { types: "43 A2".to_owned(), ..slip("other type", SERIAL) };
        put(&world, &other).await;
        let of_type = |types: &'static str| world.store.slip_of_serial(other_office(), office(), (SERIAL, types));
        assert_eq!(of_type("43 A2").await.unwrap().unwrap().id, "other type", "a set of each サービス種類");
        assert_eq!(of_type("43 17").await.unwrap(), None);
        let known = world.store.slip_of_serial(other_office(), office(), (SERIAL, "43 11")).await.unwrap().unwrap();
        assert_eq!((known.id.as_str(), known.digest), ("a", vec![7; 32]));
        let a = sent(&world.store, "a").await;
        assert!(world.write(async |tx| tx.withdraw_slip(&a, at(9)).await).await.unwrap());
        assert_eq!(world.store.slip_of_serial(other_office(), office(), (SERIAL, "43 11")).await.unwrap(), None);
        let a = sent(&world.store, "a").await;
        assert_eq!((a.state, a.withdrawn_at), (SlipState::Withdrawn, Some(at(9))));
        assert_eq!(world.store.slip_files(&a).await.unwrap(), None, "its content is gone");
        assert!(put(&world, &slip("b", SERIAL)).await);
    })
    .await;
}

/// Whoever comes first wins, whatever was read before; the other is told.
#[tokio::test]
async fn of_fetching_and_taking_back_at_the_same_time_exactly_one_happens() {
    on_each_engine(async |world| {
        for n in 0..20 {
            let id = format!("s{n}");
            assert!(put(&world, &slip(&id, SERIAL + n)).await);
            let read = sent(&world.store, &id).await;
            let fetch = world.write(async |tx| tx.fetch_slip(&read, &staff(), at(50)).await);
            let withdraw = world.write(async |tx| tx.withdraw_slip(&read, at(50)).await);
            let (fetched, withdrawn) = tokio::join!(fetch, withdraw);
            let (fetched, withdrawn) = (fetched.unwrap(), withdrawn.unwrap());
            assert!(fetched != withdrawn, "{id}: {fetched} {withdrawn}");
            let now = sent(&world.store, &id).await;
            let expected = if fetched { SlipState::Fetched } else { SlipState::Withdrawn };
            assert_eq!(now.state, expected);
            assert_eq!(world.store.slip_files(&now).await.unwrap().is_some(), fetched);
            assert!(!world.write(async |tx| tx.fetch_slip(&now, &staff(), at(60)).await).await.unwrap());
            assert!(!world.write(async |tx| tx.withdraw_slip(&now, at(60)).await).await.unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_counts_until_it_is_taken_back_and_then_the_one_before_it() {
    on_each_engine(async |world| {
        put(&world, &slip("asked", SERIAL)).await;
        let asked = sent(&world.store, "asked").await;
        assert!(!world.write(async |tx| tx.answer_slip(&asked, "r1", at(4)).await).await.unwrap(), "not fetched yet");
        world.write(async |tx| tx.fetch_slip(&asked, &staff(), at(3)).await).await.unwrap();
        assert!(!world.write(async |tx| tx.answer_slip(&asked, "r1", at(4)).await).await.unwrap(), "read before that");
        let asked = sent(&world.store, "asked").await;
        let answer = |id: &str, n: i64| NewSlip {
            sender: other_office(),
            receiver: office(),
            content: SlipContent::Actuals,
            reply_to: Some("asked".to_owned()),
            sent_at: at(n),
            ..slip(id, SERIAL + n)
        };
        for (id, n) in [("r1", 4), ("r2", 5)] {
            put(&world, &answer(id, n)).await;
            assert!(world.write(async |tx| tx.answer_slip(&asked, id, at(n)).await).await.unwrap());
        }
        let now = sent(&world.store, "asked").await;
        assert_eq!((now.state, now.answer), (SlipState::Answered, Some(("r2".to_owned(), at(5)))));
        let mut states = Vec::new();
        for id in ["r2", "r1"] {
            let reply = world.store.slip(SlipSide::Sent, other_office(), id).await.unwrap().unwrap();
            world
                .write(async |tx| {
                    assert!(tx.withdraw_slip(&reply, at(9)).await?);
                    tx.take_answer_back(&asked, id).await
                })
                .await
                .unwrap();
            let now = sent(&world.store, "asked").await;
            states.push((now.state, now.answer.map(|(id, _)| id)));
        }
        assert_eq!(states, [(SlipState::Answered, Some("r1".to_owned())), (SlipState::Fetched, None)]);
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_again_is_known_by_its_documents_and_so_is_what_withdraws_nothing() {
    on_each_engine(async |world| {
        let document = |n: u8, withdraws| SlipDocument { token: [n; 32], withdraws };
        let note = async |id: &str, n: i64, documents: Vec<SlipDocument>| {
            let to = (other_office(), id);
            world.write(async |tx| tx.put_slip_documents(to, SERIAL + n, &documents, at(n)).await).await.unwrap()
        };
        let first: Vec<_> = (0..150).map(|n| document(n, false)).collect();
        assert_eq!(note("a", 1, first).await, (vec![], vec![]));
        let (others, unknown) = note("b", 2, vec![document(3, false), document(200, true), document(4, true)]).await;
        assert_eq!(
            others.iter().map(|other| (other.id.as_str(), other.serial)).collect::<Vec<_>>(),
            [("a", SERIAL + 1)]
        );
        assert_eq!(unknown, [vec![200; 32]]);
        // Another addressee knows nothing of it.
        let elsewhere = (office(), "c");
        let found =
            world.write(async |tx| tx.put_slip_documents(elsewhere, SERIAL, &[document(3, false)], at(3)).await);
        assert_eq!(found.await.unwrap(), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_row_changed_by_hand_is_no_message_and_its_files_open_for_nobody_else() {
    on_each_engine(async |world| {
        put(&world, &slip("a", SERIAL)).await;
        let whole = sent(&world.store, "a").await;
        let stranger = OfficeNumber::parse("4370100033").unwrap();
        world.by_hand(&format!("UPDATE slip SET receiver = '{stranger}'")).await;
        assert_eq!(world.store.slip(SlipSide::Received, stranger, "a").await.unwrap(), None);
        let moved = Slip { receiver: stranger, ..whole.clone() };
        assert!(world.store.slip_files(&moved).await.is_err());
        world.by_hand(&format!("UPDATE slip SET receiver = '{}', state = 'fetched'", other_office())).await;
        assert_eq!(world.store.slip(SlipSide::Received, other_office(), "a").await.unwrap(), None);
        world.by_hand("UPDATE slip SET state = 'sent'").await;
        opens(&world.store, "a").await;
        let changes = ["sent_at = sent_at + 1", "month = '202601'", "serial = serial + 1", "reply_to = 'b'", "sent_by = 'x'"];
        for change in changes {
            world.by_hand(&format!("UPDATE slip SET {change}")).await;
            assert_eq!(world.store.slip(SlipSide::Received, other_office(), "a").await.unwrap(), None, "{change}");
            let back = "sent_at = sent_at - 1, month = '202611', serial = serial - 1, reply_to = NULL, sent_by = '4370100017/s1'";
            let item = |text: &str| text.split(" = ").next().unwrap().to_owned();
            let undo = back.split(", ").find(|undo| item(undo) == item(change)).unwrap();
            world.by_hand(&format!("UPDATE slip SET {undo}")).await;
            opens(&world.store, "a").await;
        }
        world.write(async |tx| tx.fetch_slip(&whole, &staff(), at(3)).await).await.unwrap();
        for change in ["fetched_at = fetched_at - 1", "answer = 'b', answered_at = 5", "withdrawn_at = 5"] {
            world.by_hand(&format!("UPDATE slip SET {change}")).await;
            assert_eq!(world.store.slip(SlipSide::Received, other_office(), "a").await.unwrap(), None, "{change}");
            let back = "fetched_at = (SELECT max(fetched_at) FROM slip), answer = NULL, answered_at = NULL, withdrawn_at = NULL";
            world.by_hand(&format!("UPDATE slip SET {back}")).await;
            if change.starts_with("fetched_at") {
                world.by_hand("UPDATE slip SET fetched_at = fetched_at + 1").await;
            }
            assert!(world.store.slip(SlipSide::Received, other_office(), "a").await.unwrap().is_some(), "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn messages_past_their_time_go_with_their_documents() {
    on_each_engine(async |world| {
        for (id, n) in [("old", 1), ("new", 5)] {
            let new = slip(id, SERIAL - 1 + n);
            let documents = [SlipDocument { token: [9; 32], withdraws: false }];
            world
                .write(async |tx| {
                    tx.put_slip_documents((new.receiver, id), new.serial, &documents, new.sent_at).await?;
                    tx.put_slip(&new).await
                })
                .await
                .unwrap();
        }
        assert_eq!(world.write(async |tx| tx.delete_slips(at(3)).await).await.unwrap(), 1);
        assert_eq!(world.ask("SELECT count(*) FROM slip").await, 1);
        assert_eq!(world.ask("SELECT count(*) FROM slip_document").await, 1);
        opens(&world.store, "new").await;
    })
    .await;
}
