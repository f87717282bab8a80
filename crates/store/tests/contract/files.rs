//! Receipts and documents on their way: the same bytes once, numbers never twice, a document moved by one hand only.

use crate::world::*;
use kiban_domain::office::StaffId;
use kiban_domain::plan_request::SubmissionState;
use kiban_domain::{Kind, Organization};
use kiban_store::{
    Connector, Entry, FileKey, NewReceipt, NewRecord, NewSubmission, OpenRow, Original, ReceiptCounts, ReceiptState,
    RegistrationReview, ReviewCause, StoreError, UploadFile,
};
use std::collections::BTreeSet;

#[tokio::test]
async fn the_same_bytes_have_one_receipt_and_the_original_comes_back() {
    on_each_engine(async |world| {
        let sender = Organization::Municipality(insurer());
        let number = world.open_receipt("r1").await;
        let again = world
            .write(async |tx| tx.put_receipt(&NewReceipt { public_id: "r2".to_owned(), ..receipt("r1") }).await)
            .await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        let found = world.store.receipt_by_digest(insurer(), sender, &receipt("r1").digest).await.unwrap().unwrap();
        assert_eq!((found.number, found.public_id.as_str(), found.state), (number, "r1", ReceiptState::Received));
        assert_eq!(world.store.original(insurer(), number).await.unwrap().unwrap(), "架空の原本".as_bytes());
        let office = Organization::Office(office());
        assert_eq!(world.store.receipt_by_digest(insurer(), office, &receipt("r1").digest).await.unwrap(), None);
        assert_eq!(world.store.receipt(insurer(), "r2").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_is_closed_once_and_keeps_its_counts_and_result() {
    on_each_engine(async |world| {
        let number = world.open_receipt("r1").await;
        let counts = ReceiptCounts { read: 10, applied: 7, unchanged: 2, refused: 1 };
        let close = async |state| {
            world.write(async |tx| tx.finish_receipt(insurer(), number, state, counts, b"[1]").await).await
        };
        close(ReceiptState::Applied).await.unwrap();
        assert!(matches!(close(ReceiptState::Refused).await, Err(StoreError::Conflict(_))));
        let receipt = world.store.receipt(insurer(), "r1").await.unwrap().unwrap();
        assert_eq!(
            (receipt.state, receipt.counts, receipt.result.unwrap()),
            (ReceiptState::Applied, counts, b"[1]".to_vec())
        );
        let other = world.open_receipt("r2").await;
        let sender = receipt.sender;
        let latest = world.store.receipts(insurer(), sender, 10).await.unwrap();
        assert_eq!(latest.iter().map(|r| r.number).collect::<Vec<_>>(), [other, number]);
        assert_eq!(world.store.receipts(insurer(), sender, 1).await.unwrap().len(), 1);
        assert!(world.store.receipts(insurer(), Organization::Operator, 10).await.unwrap().is_empty(), "of others");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipt_numbers_taken_at_the_same_time_are_never_the_same() {
    on_each_engine(async |world| {
        let world = std::sync::Arc::new(world);
        let takers: Vec<_> = (0..40)
            .map(|_| {
                let world = std::sync::Arc::clone(&world);
                tokio::spawn(async move { world.write(async |tx| tx.next_receipt_number(insurer()).await).await })
            })
            .collect();
        let mut numbers = BTreeSet::new();
        for taker in takers {
            numbers.insert(taker.await.unwrap().unwrap());
        }
        assert!(numbers.into_iter().eq(1..=40));
        assert_eq!(world.write(async |tx| tx.next_receipt_number(other_insurer()).await).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn rows_that_are_in_by_now_are_forgotten_all_at_once_and_no_others() {
    on_each_engine(async |world| {
        let (first, second) = (world.open_receipt("r1").await, world.open_receipt("r2").await);
        let people: Vec<_> = (0..300).map(|n| person(&format!("{n:010}")).insured).collect();
        let open = |insured: &_, kind: &str, waits| OpenRow {
            insured: Some(*insured),
            kind: kind.to_owned(),
            history: 7,
            waits,
        };
        let rates: Vec<_> = people.iter().map(|one| open(one, "A3B", false)).collect();
        let waiting: Vec<_> = people.iter().map(|one| open(one, "A4", true)).collect();
        let displaced: Vec<(FileKey, i64)> =
            people.iter().map(|one| ((*one, "A3B".to_owned(), 7), second)).take(2).collect();
        world
            .write(async |tx| {
                tx.put_open_rows(insurer(), first, &rates).await?;
                tx.put_open_rows(insurer(), first, &waiting).await?;
                tx.put_displaced_rows(insurer(), &displaced).await
            })
            .await
            .unwrap();
        let asked = async |kinds: &[&str], waiting| {
            let rows = world.store.open_rows(insurer(), &people, kinds, waiting).await.unwrap();
            let mut rows: Vec<_> = rows.into_iter().map(|row| (row.receipt, row.key, row.waits)).collect();
            rows.sort();
            rows
        };
        assert_eq!(asked(&["A3B"], false).await.len(), 302);
        assert_eq!(asked(&["A3B"], true).await.len(), 602, "and whatever waits for them");
        assert_eq!(asked(&["A1", "A2"], false).await, []);
        assert_eq!(world.store.open_rows(insurer(), &[], &["A3B"], true).await.unwrap(), []);

        let cleared: Vec<_> = people[1..].iter().map(|one| ((*one, "A3B".to_owned(), 7), first)).collect();
        world.write(async |tx| tx.clear_open_rows(insurer(), &[]).await).await.unwrap();
        assert_eq!(asked(&["A3B"], true).await.len(), 602);
        world.write(async |tx| tx.clear_open_rows(other_insurer(), &cleared).await).await.unwrap();
        assert_eq!(asked(&["A3B"], true).await.len(), 602, "of another insurer");
        world.write(async |tx| tx.clear_open_rows(insurer(), &cleared).await).await.unwrap();
        let key = |n: usize| (people[n], "A3B".to_owned(), 7);
        let left = vec![(first, key(0), false), (second, key(0), false), (second, key(1), false)];
        assert_eq!(asked(&["A3B"], false).await, left);
        assert_eq!(asked(&["A4"], false).await.len(), 300, "another kind");
    })
    .await;
}

#[tokio::test]
async fn an_upload_about_people_of_two_insurers_is_found_by_its_sender_and_by_nobody_else() {
    on_each_engine(async |world| {
        let office = Organization::Office(office());
        let upload =
            |insurer, id: &str| NewReceipt { insurer, sender: office, public_id: id.to_owned(), ..receipt(id) };
        for insurer in [insurer(), other_insurer()] {
            world.write(async |tx| tx.put_receipt(&upload(insurer, "u1")).await).await.unwrap();
        }
        let found = world.store.receipts_of_sender(office, "u1").await.unwrap();
        let insurers: Vec<_> = found.iter().map(|(insurer, receipt)| (*insurer, receipt.sender)).collect();
        assert_eq!(insurers, [(other_insurer(), office), (insurer(), office)]);
        let other = Organization::Office(other_office());
        assert_eq!(world.store.receipts_of_sender(other, "u1").await.unwrap(), []);
        assert_eq!(world.store.receipts_of_sender(office, "u2").await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_write_about_two_people_leaves_an_entry_with_each_or_with_none() {
    on_each_engine(async |world| {
        let entry_of = |insured: &str| Entry {
            insurer: Some(insurer().to_string()),
            insured: Some(insured.to_owned()),
            ..entry()
        };
        let about = async |insured: &str| {
            world.store.audit().about_person(insurer().as_str(), insured, 10, None).await.unwrap().len()
        };
        let people = ["0000000001", "0000000002"];
        let mut tx = world.store.begin().await.unwrap();
        tx.put_receipt(&receipt("r1")).await.unwrap();
        tx.commit_all(people.map(entry_of).to_vec()).await.unwrap();
        assert_eq!((about(people[0]).await, about(people[1]).await), (1, 1));

        let mut tx = world.store.begin().await.unwrap();
        tx.put_receipt(&receipt("r2")).await.unwrap();
        let faulty = Entry { staff: Some("架空 花子".to_owned()), ..entry_of(people[1]) };
        assert!(tx.commit_all(vec![entry_of(people[0]), faulty]).await.is_err());
        assert!(world.store.begin().await.unwrap().commit_all(Vec::new()).await.is_err());
        assert_eq!(world.store.receipt(insurer(), "r2").await.unwrap(), None);
        assert_eq!((about(people[0]).await, about(people[1]).await), (1, 1));
        world.store.audit().anchor_now().await.unwrap();
        assert!(world.store.audit().verify().await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn what_stands_under_the_key_of_a_plan_and_the_serial_taken_last_are_known() {
    on_each_engine(async |world| {
        let plan = |deleted| NewRecord { deleted, ..record(Kind::Cp1, "plan-20260401-4370100017", "架空の計画") };
        let present = async || {
            let mut tx = world.store.begin().await.unwrap();
            tx.present_plans(hanako(), Kind::Cp1).await.unwrap()
        };
        assert!(present().await.is_empty());
        let key = plan(false).natural_key;
        world
            .write(async |tx| {
                tx.put_record(1, at(0), &plan(false)).await?;
                tx.put_record(2, at(1), &plan(true)).await
            })
            .await
            .unwrap();
        let found = present().await;
        assert_eq!((found[&key].deleted, found[&key].serial), (true, None));
        for serial in [20_260_401_120_000, 20_260_402_120_000] {
            world.write(async |tx| tx.set_plan_serial(hanako(), &key, serial).await).await.unwrap();
        }
        assert_eq!(present().await[&key].serial, Some(20_260_402_120_000));
    })
    .await;
}

pub fn opinion(id: &str) -> NewSubmission {
    NewSubmission {
        id: id.to_owned(),
        person: hanako(),
        kind: Kind::A2,
        sender: Organization::Office(office()),
        submitted_by: StaffId("4370100017/s1".to_owned()),
        submitted_at: at(10),
        natural_key: format!("20261101-{id}"),
        payload: "架空の意見書".as_bytes().to_vec(),
        original: Some(Original { media: "text/csv".to_owned(), bytes: b"1.1,\x8e\xe5".to_vec() }),
        replaces: None,
    }
}

#[tokio::test]
async fn a_document_is_fetched_accepted_and_then_its_content_is_gone_here() {
    on_each_engine(async |world| {
        world.write(async |tx| tx.put_submission(&opinion("s1")).await).await.unwrap();
        let submitted = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
        assert_eq!(submitted.state, SubmissionState::Submitted);
        assert_eq!(submitted.payload.as_deref(), Some("架空の意見書".as_bytes()));
        assert_eq!(world.store.inbox(insurer(), 10).await.unwrap(), std::slice::from_ref(&submitted));
        world.write(async |tx| tx.move_submission(&submitted, &SubmissionState::Fetched, at(20)).await).await.unwrap();
        // Somebody who still has the page open from before acts on a state that is no more.
        let late =
            world.write(async |tx| tx.move_submission(&submitted, &SubmissionState::Accepted, at(25)).await).await;
        assert!(matches!(late, Err(StoreError::Conflict(_))));
        let fetched = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
        assert_eq!((&fetched.state, fetched.decided_at), (&SubmissionState::Fetched, None));
        assert_eq!(world.store.kept_original(insurer(), "s1").await.unwrap(), None);
        world
            .write(async |tx| {
                tx.keep_original(&fetched, 3, jiff::civil::date(2031, 11, 22)).await?;
                tx.move_submission(&fetched, &SubmissionState::Accepted, at(30)).await
            })
            .await
            .unwrap();
        // The bytes it came in are kept with the record it became, and with nobody else's.
        assert_eq!(world.store.kept_original(insurer(), "s1").await.unwrap(), fetched.original);
        assert_eq!(world.store.kept_original(other_insurer(), "s1").await.unwrap(), None);
        let accepted = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
        assert_eq!((&accepted.state, accepted.decided_at), (&SubmissionState::Accepted, Some(at(30))));
        assert_eq!((&accepted.payload, &accepted.original), (&None, &None));
        assert!(world.store.inbox(insurer(), 10).await.unwrap().is_empty());
        assert_eq!(world.store.submissions_about(hanako()).await.unwrap(), [accepted]);
        assert!(world.store.submissions_about(taro()).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_returned_document_keeps_its_content_and_the_reason() {
    on_each_engine(async |world| {
        world.write(async |tx| tx.put_submission(&opinion("s1")).await).await.unwrap();
        let submitted = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
        let returned = SubmissionState::Returned { reason: "記入日がありません".to_owned() };
        world.write(async |tx| tx.move_submission(&submitted, &returned, at(20)).await).await.unwrap();
        let stored = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
        assert_eq!(stored.state, returned);
        assert!(stored.payload.is_some() && stored.original.is_some());
        // Another one replaces it: nothing of it waits any longer.
        world.write(async |tx| tx.drop_returned_content(insurer(), "s1").await).await.unwrap();
        let replaced = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
        assert_eq!((&replaced.state, &replaced.payload, &replaced.original), (&returned, &None, &None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_documents_with_one_key_only_one_waits_also_when_two_are_sent_at_the_same_moment() {
    on_each_engine(async |world| {
        let same = |id: &str| NewSubmission { natural_key: "20261101".to_owned(), ..opinion(id) };
        let put = async |new: NewSubmission| world.write(async |tx| tx.put_submission(&new).await).await;
        // Neither looked before the other was there.
        let (one, two) = tokio::join!(put(same("s1")), put(same("s2")));
        assert_ne!(one.is_ok(), two.is_ok());
        assert!(matches!(one.and(two), Err(StoreError::Conflict(_))));
        let waiting = world.store.inbox(insurer(), 10).await.unwrap();
        assert_eq!(waiting.len(), 1);
        world.write(async |tx| tx.move_submission(&waiting[0], &SubmissionState::Fetched, at(20)).await).await.unwrap();
        assert!(matches!(put(same("s3")).await, Err(StoreError::Conflict(_))), "fetched, it still waits");
        let sender = Organization::Office("4370100025".parse().unwrap());
        put(NewSubmission { sender, ..same("s4") }).await.unwrap();
        let fetched = world.store.submission(insurer(), &waiting[0].id).await.unwrap().unwrap();
        let returned = SubmissionState::Returned { reason: "x".to_owned() };
        world.write(async |tx| tx.move_submission(&fetched, &returned, at(30)).await).await.unwrap();
        put(same("s5")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_inbox_is_read_page_by_page_in_the_order_of_arrival() {
    on_each_engine(async |world| {
        for (id, second) in [("s5", 30), ("s2", 20), ("s1", 20), ("s4", 10)] {
            let new = NewSubmission { submitted_at: at(second), ..opinion(id) };
            world.write(async |tx| tx.put_submission(&new).await).await.unwrap();
        }
        let page = async |after| world.store.inbox_page(insurer(), "submitted", after, 2).await.unwrap();
        let ids = |list: Vec<kiban_store::Submission>| list.into_iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(ids(page(None).await), ["s4", "s1"]);
        assert_eq!(ids(page(Some((at(20), "s1"))).await), ["s2", "s5"]);
        assert!(page(Some((at(30), "s5"))).await.is_empty());
        assert!(world.store.inbox_page(insurer(), "accepted", None, 2).await.unwrap().is_empty());
        assert!(world.store.inbox_page(other_insurer(), "submitted", None, 2).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_registration_waits_once_for_review_until_it_is_settled() {
    on_each_engine(async |world| {
        let review = |id: &str, second| RegistrationReview {
            id: id.to_owned(),
            person: hanako(),
            office: office(),
            cause: ReviewCause::PlanRequest,
            source: "s1".to_owned(),
            opened_at: at(second),
            closed_at: None,
        };
        world.write(async |tx| tx.open_review(&review("r1", 10)).await).await.unwrap();
        world.write(async |tx| tx.open_review(&review("r2", 20)).await).await.unwrap();
        assert_eq!(world.store.reviews(insurer(), None, 10).await.unwrap(), [review("r1", 10)]);
        assert!(world.store.reviews(insurer(), Some("r1"), 10).await.unwrap().is_empty());
        assert!(world.store.reviews(other_insurer(), None, 10).await.unwrap().is_empty());
        world.write(async |tx| tx.close_reviews(hanako(), office(), at(30)).await).await.unwrap();
        assert!(world.store.reviews(insurer(), None, 10).await.unwrap().is_empty());
        world.write(async |tx| tx.open_review(&review("r3", 40)).await).await.unwrap();
        assert_eq!(world.store.reviews(insurer(), None, 10).await.unwrap(), [review("r3", 40)]);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_made_a_connector_by_hand_is_none() {
    on_each_engine(async |world| {
        let city = Organization::Municipality(insurer());
        let (mine, forged) = ("a".repeat(64), "b".repeat(64));
        world.write(async |tx| tx.put_connector(&mine, city, at(1)).await).await.unwrap();
        let connector = |may_export| Connector { fingerprint: mine.clone(), organization: city, may_export };
        assert_eq!(world.store.connectors().await.unwrap(), [connector(false)]);
        // Whether it may export is the operator's to say, not that of who can write to the database.
        world.by_hand("UPDATE connector SET may_export = TRUE").await;
        assert!(world.store.connectors().await.unwrap().is_empty());
        world.write(async |tx| tx.allow_export(&mine, true).await).await.unwrap();
        assert!(world.store.connectors().await.unwrap().is_empty(), "a damaged row is not made good");
        world.by_hand("UPDATE connector SET may_export = FALSE").await;
        for may_export in [true, false] {
            let now = world.write(async |tx| tx.allow_export(&mine, may_export).await).await.unwrap();
            assert_eq!(now, Some(connector(may_export)));
            assert_eq!(world.store.connectors().await.unwrap(), [connector(may_export)]);
        }
        assert_eq!(world.write(async |tx| tx.allow_export(&forged, true).await).await.unwrap(), None);
        world.by_hand(&format!("UPDATE connector SET fingerprint = '{forged}'")).await;
        assert!(world.store.connectors().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_officers_deciding_at_the_same_time_one_is_told_of_the_other() {
    on_each_engine(async |world| {
        world.write(async |tx| tx.put_submission(&opinion("s1")).await).await.unwrap();
        let submitted = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
        let returned = SubmissionState::Returned { reason: "x".to_owned() };
        let decide = async |to| world.write(async |tx| tx.move_submission(&submitted, to, at(20)).await).await;
        let (accept, send_back) = tokio::join!(decide(&SubmissionState::Accepted), decide(&returned));
        assert_ne!(accept.is_ok(), send_back.is_ok());
        let stored = world.store.submission(insurer(), "s1").await.unwrap().unwrap().state;
        assert_eq!(stored, if accept.is_ok() { SubmissionState::Accepted } else { returned });
    })
    .await;
}

#[tokio::test]
async fn a_document_made_accepted_or_renamed_by_hand_does_not_exist() {
    on_each_engine(async |world| {
        for change in ["state = 'accepted'", "natural_key = '20251101'", "sender = '4370100025'", "kind = 'G1'"] {
            world.by_hand("DELETE FROM submission").await;
            world.write(async |tx| tx.put_submission(&opinion("s1")).await).await.unwrap();
            assert_eq!(world.by_hand(&format!("UPDATE submission SET {change}")).await, 1);
            assert_eq!(world.store.submission(insurer(), "s1").await.unwrap(), None, "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_damaged_document_does_not_hide_the_others_in_the_inbox() {
    on_each_engine(async |world| {
        for id in ["s1", "s2", "s3"] {
            world.write(async |tx| tx.put_submission(&opinion(id)).await).await.unwrap();
        }
        world.by_hand("UPDATE submission SET payload = mac WHERE submission_id = 's2'").await;
        let ids = |list: Vec<kiban_store::Submission>| list.into_iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(ids(world.store.inbox(insurer(), 10).await.unwrap()), ["s1", "s3"]);
        assert_eq!(ids(world.store.submissions_about(hanako()).await.unwrap()), ["s1", "s3"]);
        let alone = world.store.submission(insurer(), "s2").await;
        assert!(matches!(alone, Err(StoreError::Unreadable(_))), "{alone:?}");
    })
    .await;
}

#[tokio::test]
async fn one_at_a_time_works_on_the_packages_of_an_insurer_and_a_late_one_writes_nothing() {
    on_each_engine(async |world| {
        let take = async |holder: &str, second| {
            world.write(async |tx| tx.take_lease(insurer(), holder, at(second)).await).await.unwrap()
        };
        let first = take("first", 0).await.unwrap();
        assert_eq!(take("second", 19).await, None, "the lease stands");
        assert!(world.store.is_leased(insurer(), at(19)).await.unwrap());
        world.write(async |tx| tx.hold_lease(&first, at(15)).await).await.unwrap();
        assert_eq!(take("second", 34).await, None, "it was held on to");
        let second = take("second", 36).await.unwrap();
        let late = world.write(async |tx| tx.hold_lease(&first, at(36)).await).await;
        assert!(matches!(late, Err(StoreError::Conflict(_))), "the first slept past its lease: {late:?}");
        world.write(async |tx| tx.give_lease_back(&second).await).await.unwrap();
        assert!(take("third", 36).await.is_some());
        assert!(world.write(async |tx| tx.take_lease(other_insurer(), "x", at(0)).await).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn pieces_of_a_package_come_back_sealed_to_their_place_and_go_when_they_must_not_be_kept() {
    on_each_engine(async |world| {
        let seal = async |piece, text: &str| {
            world.store.seal_piece(insurer(), "u1", (0, piece), text.as_bytes()).await.unwrap()
        };
        let pieces = [seal(0, "架空の").await, seal(1, "原本").await];
        let file = UploadFile { name: "架空.csv".into(), bytes: 15, sha256: "0".repeat(64), pieces: 2 };
        world
            .write(async |tx| {
                tx.begin_upload(insurer(), "u1", at(0)).await?;
                tx.put_pieces(insurer(), "u1", &pieces).await
            })
            .await
            .unwrap();
        let abandoned = async |since| world.store.abandoned_uploads(at(since)).await.unwrap();
        assert_eq!(abandoned(1).await, [(insurer(), "u1".to_owned())], "half sent");
        world.write(async |tx| tx.go_on_with_upload(insurer(), "u1", at(5)).await).await.unwrap();
        assert!(abandoned(5).await.is_empty(), "it goes on");
        assert_eq!(abandoned(6).await, [(insurer(), "u1".to_owned())]);
        world
            .write(async |tx| {
                tx.put_upload_files(insurer(), "u1", std::slice::from_ref(&file)).await?;
                tx.end_upload(insurer(), "u1").await?;
                tx.put_receipt(&NewReceipt { original: None, ..receipt("u1") }).await
            })
            .await
            .unwrap();
        assert!(abandoned(9_999_999).await.is_empty(), "whole");
        assert_eq!(world.store.upload_files(insurer(), "u1").await.unwrap(), [file]);
        assert_eq!(world.store.upload_piece(insurer(), "u1", (0, 1)).await.unwrap(), "原本".as_bytes());
        world.by_hand("UPDATE upload_piece SET piece_number = 7 WHERE piece_number = 1").await;
        assert!(world.store.upload_piece(insurer(), "u1", (0, 7)).await.is_err(), "a piece moved by hand");
        world.write(async |tx| tx.drop_upload(insurer(), "u1").await).await.unwrap();
        assert_eq!(world.ask("SELECT count(*) FROM upload_piece").await, 0);
        assert_eq!(world.ask("SELECT count(*) FROM upload_file").await, 0);
        let gone = world.write(async |tx| tx.go_on_with_upload(insurer(), "u1", at(7)).await).await;
        assert!(matches!(gone, Err(StoreError::Conflict(_))), "its pieces are gone: {gone:?}");
    })
    .await;
}

#[tokio::test]
async fn a_receipt_that_fails_again_and_again_is_set_aside_until_somebody_asks_for_it() {
    on_each_engine(async |world| {
        let put = async |id: &str| {
            let new = NewReceipt { original: None, ..receipt(id) };
            world.write(async |tx| tx.put_receipt(&new).await).await.unwrap()
        };
        let number = put("first").await;
        put("second").await;
        let failed = async |code: &'static str, now, since| {
            world.write(async |tx| tx.receipt_failed(insurer(), number, code, at(now), at(since)).await).await.unwrap()
        };
        assert_eq!(failed("internal", 0, -60).await, Some(1));
        assert_eq!(failed("internal", 2, -58).await, None, "the same a moment later is not counted");
        assert_eq!(failed("internal", 61, 1).await, Some(2));
        assert_eq!(failed("unreadable", 62, 2).await, Some(1), "another failure counts anew");
        world.write(async |tx| tx.set_receipt_aside(insurer(), number, at(63)).await).await.unwrap();
        let first = world.store.receipt(insurer(), "first").await.unwrap().unwrap();
        assert_eq!((first.state, first.failure), (ReceiptState::Failed, Some(("unreadable".to_owned(), 1))));
        assert_eq!(world.store.receipts_set_aside(insurer()).await.unwrap(), [number]);
        assert_eq!(world.store.waiting_receipt(insurer()).await.unwrap().unwrap().public_id, "second");
        assert!(!world.store.is_applied(insurer(), number).await.unwrap(), "its rows stay invisible");
        let retry =
            async |id: &'static str| world.write(async |tx| tx.retry_receipt(insurer(), id).await).await.unwrap();
        assert!(!retry("second").await && retry("first").await && !retry("first").await);
        assert_eq!(world.store.waiting_receipt(insurer()).await.unwrap().unwrap().public_id, "first");
        assert!(world.store.receipts_set_aside(insurer()).await.unwrap().is_empty());
    })
    .await;
}
