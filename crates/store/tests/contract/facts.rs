//! The facts of a decision in one question: what counts, what does not count yet, what never did.

use crate::world::*;
use kiban_domain::assignment::{Assignment, EndReason};
use kiban_domain::consent::ConsentAct;
use kiban_domain::insured::LossReason;
use kiban_domain::municipality::StartState;
use kiban_domain::office::StaffId;
use kiban_domain::{Kind, OfficeNumber, Organization};
use kiban_store::{Hides, ReceiptCounts, ReceiptState, StaffSwitch, StoreError};

#[tokio::test]
async fn nothing_is_known_of_somebody_who_was_never_written() {
    on_each_engine(async |world| {
        let facts = world.facts().await;
        assert!(!facts.known && !facts.withheld && !facts.switched_off);
        assert_eq!((facts.start, facts.card_insurer), (StartState::Undecided, None));
        assert_eq!((facts.assignment, facts.opinion_requested_on), (None, None));
        assert!(facts.consent.given_at.is_none() && facts.unapplied.is_empty());
    })
    .await;
}

/// Set by somebody else of the office.
fn switch(staff: &StaffId, hides: Hides) -> StaffSwitch {
    let changed = Some((at(60), "4370100017/chief".to_owned()));
    StaffSwitch { staff: staff.clone(), person: hanako(), hides, changed }
}

#[tokio::test]
async fn every_fact_written_is_gathered() {
    on_each_engine(async |world| {
        let mut withheld = known_hanako();
        withheld.withheld = true;
        withheld.card_insurer = other_insurer();
        withheld.lost = Some((day(20261231), LossReason::MovedOut));
        let staff = StaffId("4370100017/s1".to_owned());
        world
            .write(async |tx| {
                tx.set_start(insurer(), StartState::Started(day(20260401))).await?;
                tx.put_person(1, 1, &withheld).await?;
                tx.change_assignment(&assignment(hanako()), None).await?;
                tx.put_opinion_request(hanako(), "1", office(), day(20261001), day(20260930), 1).await?;
                tx.put_opinion_request(hanako(), "2", office(), day(20261101), day(20261031), 1).await?;
                tx.put_opinion_request(hanako(), "3", other_office(), day(20261120), day(20261119), 1).await?;
                tx.put_consent("c1", 1, at(50), &consent(ConsentAct::Given, 0)).await?;
                tx.put_consent("c2", 1, at(50), &consent(ConsentAct::KindRefused(Kind::C1), 10)).await?;
                tx.put_switch(Organization::Office(office()), &switch(&staff, Hides::Everything)).await
            })
            .await
            .unwrap();
        let facts = world.facts().await;
        assert!(facts.known && facts.withheld && facts.switched_off && !facts.consent_damaged);
        assert_eq!(facts.gone_on, Some(20261231));
        assert_eq!(facts.card_insurer, Some(other_insurer()));
        assert_eq!(facts.start, StartState::Started(day(20260401)));
        assert_eq!(facts.assignment, Some(assignment(hanako())));
        assert_eq!(facts.opinion_requested_on, Some(20261101));
        assert!(facts.consent.covers(Kind::A2) && !facts.consent.covers(Kind::C1));
        let city = Organization::Municipality(insurer());
        let facts = world.store.person_facts(hanako(), city, None, None).await.unwrap();
        assert!(facts.known && !facts.switched_off);
        assert_eq!((facts.assignment, facts.opinion_requested_on), (None, None));
        world
            .write(async |tx| {
                let kinds = Hides::Kinds([Kind::C1, Kind::E2].into());
                tx.put_switch(Organization::Office(office()), &switch(&staff, kinds)).await
            })
            .await
            .unwrap();
        let facts = world.facts().await;
        assert_eq!((facts.switched_off, facts.switched_off_kinds), (false, [Kind::C1, Kind::E2].into()));
        let listed = world.store.switches_of(Organization::Office(office()), None, None, 10).await.unwrap();
        assert_eq!(listed, [switch(&staff, Hides::Kinds([Kind::C1, Kind::E2].into()))]);
        let of = async |id: &str| {
            let staff = StaffId(id.to_owned());
            world.store.switches_of(Organization::Office(office()), Some(&staff), None, 10).await.unwrap()
        };
        assert_eq!(of(&staff.0).await, listed);
        let place = Some((&staff, hanako()));
        let rest = world.store.switches_of(Organization::Office(office()), Some(&staff), place, 10).await.unwrap();
        assert_eq!(rest, []);
        // Another account, whose name begins the same or sorts before it, has none of them.
        assert_eq!(of(&format!("{}0", staff.0)).await, []);
        assert_eq!(of(&staff.0[..staff.0.len() - 1]).await, []);
        world
            .write(async |tx| tx.put_switch(Organization::Office(office()), &switch(&staff, Hides::Nothing)).await)
            .await
            .unwrap();
        let facts = world.facts().await;
        assert!(!facts.switched_off && facts.switched_off_kinds.is_empty());
        assert_eq!(world.store.switches_of(Organization::Office(office()), None, None, 10).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn what_an_unapplied_receipt_brought_counts_only_when_it_is_applied() {
    on_each_engine(async |world| {
        let number = world.open_receipt("r1").await;
        world
            .write(async |tx| {
                tx.put_person(number, 1, &known_hanako()).await?;
                tx.put_opinion_request(hanako(), "1", office(), day(20261101), day(20261031), number).await?;
                tx.put_consent("c1", number, at(50), &consent(ConsentAct::Given, 0)).await
            })
            .await
            .unwrap();
        let facts = world.facts().await;
        assert_eq!(facts.unapplied, [number]);
        assert!(!facts.known && facts.consent.given_at.is_none());
        assert_eq!(facts.opinion_requested_on, None);
        world.apply(number).await;
        let facts = world.facts().await;
        assert!(facts.known && facts.consent.covers(Kind::A2) && facts.unapplied.is_empty());
        assert_eq!(facts.opinion_requested_on, Some(20261101));
    })
    .await;
}

#[tokio::test]
async fn a_corrected_opinion_request_goes_to_the_other_hospital_and_a_deleted_one_to_none() {
    on_each_engine(async |world| {
        let asked = async |of: OfficeNumber| {
            let facts = world.store.person_facts(hanako(), Organization::Office(of), Some(of), None).await.unwrap();
            facts.opinion_requested_on
        };
        let put = async |key: &str, to, on| {
            world.write(async |tx| tx.put_opinion_request(hanako(), key, to, day(on), day(20260930), 1).await).await
        };
        let end = async |key: &str| world.write(async |tx| tx.end_opinion_request(hanako(), key).await).await;
        put("0000000001", office(), 20261001).await.unwrap();
        put("0000000001", other_office(), 20261002).await.unwrap();
        assert_eq!((asked(office()).await, asked(other_office()).await), (None, Some(20261002)), "corrected");
        put("0000000002", other_office(), 20261101).await.unwrap();
        assert_eq!(asked(other_office()).await, Some(20261101), "the newest of two");
        end("0000000002").await.unwrap();
        assert_eq!(asked(other_office()).await, Some(20261002), "the other application stands");
        end("0000000001").await.unwrap();
        end("0000000001").await.unwrap();
        assert_eq!(asked(other_office()).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_marked_as_applied_by_hand_shows_nothing() {
    on_each_engine(async |world| {
        let number = world.open_receipt("load").await;
        world.put_person(number, &known_hanako()).await;
        world.by_hand("UPDATE receipt SET state = 'applied'").await;
        let facts = world.facts().await;
        assert!(!facts.known && facts.unapplied == [number], "the list of open receipts decides");
        world.by_hand("UPDATE receipt SET state = 'received'").await;
        for change in ["open_receipts = ''", "open_receipts = '99'", "mac = NULL", "mac = (SELECT mac FROM person)"] {
            let before = world.ask("SELECT last_number FROM receipt_counter").await;
            world.by_hand("CREATE TABLE kept AS SELECT * FROM receipt_counter").await;
            world.by_hand(&format!("UPDATE receipt_counter SET {change}")).await;
            assert!(!world.facts().await.known, "{change}");
            let refused = world.write(async |tx| tx.put_receipt(&receipt("next")).await).await;
            assert!(matches!(refused, Err(StoreError::Unreadable(_))), "{change}: {refused:?}");
            // Ends what the refused write had begun, before rows are changed by hand again.
            world.write(async |tx| tx.add_mismatch(&[9; 32], day(20261122)).await).await.unwrap();
            world.by_hand("DELETE FROM receipt_counter").await;
            world.by_hand("INSERT INTO receipt_counter SELECT * FROM kept").await;
            world.by_hand("DROP TABLE kept").await;
            assert_eq!(world.ask("SELECT last_number FROM receipt_counter").await, before);
        }
        let other = world.open_receipt("other").await;
        assert_eq!(world.facts().await.unapplied, [number, other]);
        world.apply(number).await;
        let facts = world.facts().await;
        assert!(facts.known && facts.unapplied == [other]);
    })
    .await;
}

#[tokio::test]
async fn a_refused_receipt_does_not_become_applied_by_hand() {
    on_each_engine(async |world| {
        let number = world.open_receipt("package").await;
        let counts = ReceiptCounts::default();
        world
            .write(async |tx| tx.finish_receipt(insurer(), number, ReceiptState::Refused, counts, b"{}").await)
            .await
            .unwrap();
        let shown = async || world.store.receipt(insurer(), "package").await;
        assert_eq!(shown().await.unwrap().unwrap().state, ReceiptState::Refused);
        for state in ["applied", "received"] {
            world.by_hand(&format!("UPDATE receipt SET state = '{state}'")).await;
            assert!(matches!(shown().await, Err(StoreError::Unreadable(_))), "{state}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_closes_in_an_unapplied_receipt_counts_at_once() {
    on_each_engine(async |world| {
        let put = async |id: &str, revision, act, second| {
            world.write(async |tx| tx.put_consent(id, revision, at(99), &consent(act, second)).await).await.unwrap()
        };
        let open = world.open_receipt("r1").await;
        put("c1", 100, ConsentAct::Given, 0).await;
        put("c2", open, ConsentAct::KindRefused(Kind::C1), 10).await;
        let facts = world.facts().await;
        assert!(facts.consent.covers(Kind::A2) && !facts.consent.covers(Kind::C1), "refused");
        put("c3", open, ConsentAct::KindAllowed(Kind::C1), 20).await;
        assert!(!world.facts().await.consent.covers(Kind::C1), "allowed again only with the whole receipt");
        put("c4", open, ConsentAct::Withdrawn, 30).await;
        put("c5", open, ConsentAct::Given, 40).await;
        assert!(!world.facts().await.consent.covers(Kind::A2), "withdrawn");
        world.apply(open).await;
        assert!(world.facts().await.consent.covers(Kind::A2));
    })
    .await;
}

#[tokio::test]
async fn consents_are_merged_by_the_time_of_the_act_and_the_same_act_counts_once() {
    on_each_engine(async |world| {
        let put = async |id: &str, act, second| {
            world.write(async |tx| tx.put_consent(id, 1, at(99), &consent(act, second)).await).await.unwrap()
        };
        assert!(put("c2", ConsentAct::Withdrawn, 20).await);
        assert!(put("c1", ConsentAct::Given, 10).await, "arrives later, was done earlier");
        assert!(!world.facts().await.consent.covers(Kind::A2));
        assert!(put("c3", ConsentAct::Given, 30).await);
        assert!(!put("c3", ConsentAct::Withdrawn, 40).await, "the id is taken, nothing changes");
        assert!(world.facts().await.consent.covers(Kind::A2));
        let acts = world.store.consents(hanako()).await.unwrap();
        let ids: Vec<_> = acts.iter().map(|act| act.act_id.as_str()).collect();
        assert_eq!(ids, ["c3", "c2", "c1"]);
        assert_eq!(acts[1].record, consent(ConsentAct::Withdrawn, 20));
        assert_eq!((acts[1].recorded_at, acts[1].revision), (at(99), 1));
    })
    .await;
}

#[tokio::test]
async fn an_assignment_can_end_and_be_renewed() {
    on_each_engine(async |world| {
        let put = async |new: &_, before: Option<&_>| {
            world.write(async |tx| tx.change_assignment(new, before).await).await.unwrap();
        };
        let live = assignment(hanako());
        put(&live, None).await;
        let mut ended = live.clone();
        ended.ended = Some((at(60), EndReason::Person));
        put(&ended, Some(&live)).await;
        assert_eq!(world.facts().await.assignment, Some(ended.clone()));
        let mut elsewhere = live.clone();
        elsewhere.office = other_office();
        elsewhere.registered_at = at(70);
        elsewhere.plan_maker = None;
        put(&elsewhere, None).await;
        assert_eq!(world.store.assignments(hanako()).await.unwrap(), [ended.clone(), elsewhere]);
        put(&live, Some(&ended)).await;
        assert!(world.facts().await.assignment.unwrap().ended.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_registration_changed_by_somebody_else_meanwhile_is_not_written_over() {
    on_each_engine(async |world| {
        let change = async |new: &Assignment, before: Option<&Assignment>| {
            world.write(async |tx| tx.change_assignment(new, before).await).await
        };
        let conflict = |result| assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
        let live = assignment(hanako());
        conflict(change(&live, Some(&live)).await);
        change(&live, None).await.unwrap();
        conflict(change(&live, None).await);
        assert_eq!(world.store.people_of_office(office(), None, 10).await.unwrap(), [hanako()]);
        // The person ends it while the office has its page open and prolongs what it saw.
        let ended = Assignment { ended: Some((at(60), EndReason::Person)), ..live.clone() };
        let longer = Assignment { viewable_until: day(20270331), ..live.clone() };
        change(&ended, Some(&live)).await.unwrap();
        conflict(change(&longer, Some(&live)).await);
        assert_eq!(world.facts().await.assignment, Some(ended.clone()));
        change(&longer, Some(&ended)).await.unwrap();
        assert_eq!(world.facts().await.assignment, Some(longer.clone()));
        // A damaged registration counts as none, so the person can be registered anew.
        world.by_hand("UPDATE assignment SET viewable_until = 99991231").await;
        assert_eq!(world.facts().await.assignment, None);
        change(&ended, None).await.unwrap();
        assert_eq!(world.facts().await.assignment, Some(ended));
    })
    .await;
}

#[tokio::test]
async fn an_office_lists_its_people_page_by_page_across_insurers() {
    on_each_engine(async |world| {
        let mut expected = Vec::new();
        for i in 0..25 {
            let mut key = person(&format!("{i:010}"));
            key.insurer = if i % 2 == 0 { insurer() } else { other_insurer() };
            expected.push(key);
        }
        world
            .write(async |tx| {
                for key in &expected {
                    tx.change_assignment(&assignment(*key), None).await?;
                }
                // A hospital asked for an opinion finds the person too.
                tx.put_opinion_request(taro(), "1", other_office(), day(20261101), day(20261031), 1).await
            })
            .await
            .unwrap();
        expected.sort();
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.people_of_office(office(), after, 10).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(*last);
            listed.extend(page);
        }
        assert_eq!(listed, expected);
        assert_eq!(world.store.people_of_office(other_office(), None, 10).await.unwrap(), [taro()]);
    })
    .await;
}
