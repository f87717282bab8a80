//! Log-ins, failed ones, mismatches at 本人確認, and answers to a write sent twice.

use crate::world::*;
use kiban_domain::Organization;
use kiban_domain::office::StaffId;
use kiban_store::{Idempotent, KeptAnswer, LockState, Session, SessionWay, StoreError, Tokens};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Certificate of a terminal.
const TERMINAL: &str = "ab";
pub const TOKENS: Tokens<'static> = Tokens { access: b"token", refresh: b"refresh" };

fn session() -> Session {
    Session {
        id: "0a1b".to_owned(),
        staff: StaffId("4370100017/s1".to_owned()),
        fingerprint: "ab".repeat(32),
        way: SessionWay::Interactive,
        software: None,
        opened_at: at(1),
        expires_at: at(100),
        refresh_until: at(800),
        ended_at: None,
        awaits_factor: false,
    }
}

#[tokio::test]
async fn a_token_opens_the_session_it_was_given_for_until_it_is_ended() {
    on_each_engine(async |world| {
        let organization = Organization::Office(office());
        world.write(async |tx| tx.put_session(organization, TOKENS, &session()).await).await.unwrap();
        assert_eq!(world.store.session(organization, b"token").await.unwrap(), Some(session()));
        assert_eq!(world.store.session(organization, b"Token").await.unwrap(), None);
        assert_eq!(world.store.session(Organization::Office(other_office()), b"token").await.unwrap(), None);
        assert_eq!(
            world
                .ask("SELECT count(*) FROM session WHERE length(token_digest) = 32 AND length(refresh_digest) = 32")
                .await,
            1
        );
        let taken = world.write(async |tx| tx.put_session(organization, TOKENS, &session()).await).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))));
        let end = async |second| world.write(async |tx| tx.end_session(organization, "0a1b", at(second)).await).await;
        end(50).await.unwrap();
        end(60).await.unwrap();
        assert_eq!(world.store.session(organization, b"token").await.unwrap().unwrap().ended_at, Some(at(50)));
    })
    .await;
}

#[tokio::test]
async fn the_open_log_ins_of_an_account_are_listed_and_its_last_one_is_known_when_all_have_ended() {
    on_each_engine(async |world| {
        let (organization, staff) = (Organization::Office(office()), session().staff);
        let open = async || world.store.sessions_of(organization, &staff, at(60)).await.unwrap();
        let last = async || world.store.last_log_ins(organization).await.unwrap().get(&staff).copied();
        assert_eq!((open().await, last().await), (vec![], None));
        let later = Session { id: "0a1c".to_owned(), opened_at: at(30), ..session() };
        let colleagues = Session { id: "0a1d".to_owned(), staff: StaffId("4370100017/s2".to_owned()), ..session() };
        for (n, session) in [session(), later.clone(), colleagues].iter().enumerate() {
            let tokens = Tokens { access: &[b'a', n as u8], refresh: &[b'r', n as u8] };
            world.write(async |tx| tx.put_session(organization, tokens, session).await).await.unwrap();
        }
        assert_eq!((open().await, last().await), (vec![later, session()], Some(at(30))));
        world.write(async |tx| tx.end_sessions_of(organization, &staff, at(50)).await).await.unwrap();
        assert_eq!((open().await, last().await), (vec![], Some(at(30))));
        assert!(world.store.last_log_ins(Organization::Operator).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn log_ins_that_were_over_before_a_day_go_and_the_newest_of_each_account_stays() {
    on_each_engine(async |world| {
        let (organization, staff) = (Organization::Office(office()), session().staff);
        let of = |id: &str, staff: &str, opened: i64, over: i64| Session {
            id: id.to_owned(),
            staff: StaffId(format!("4370100017/{staff}")),
            opened_at: at(opened),
            refresh_until: at(over),
            ..session()
        };
        // Ended by its owner, run out, still open, and of a colleague who came once.
        let all = [of("1", "s1", 1, 100), of("2", "s1", 2, 200), of("3", "s1", 3, 900), of("4", "s2", 1, 100)];
        for (n, session) in all.iter().enumerate() {
            let tokens = Tokens { access: &[b'a', n as u8], refresh: &[b'r', n as u8] };
            world.write(async |tx| tx.put_session(organization, tokens, session).await).await.unwrap();
        }
        world.write(async |tx| tx.end_session(organization, "1", at(50)).await).await.unwrap();
        let forget = async |second| world.write(async |tx| tx.forget_sessions(at(second)).await).await.unwrap();
        assert_eq!(forget(100).await, 0, "not before its end");
        assert_eq!((forget(101).await, forget(101).await), (1, 0));
        assert_eq!(forget(201).await, 1);
        let open = world.store.sessions_of(organization, &staff, at(300)).await.unwrap();
        assert_eq!(open, [all[2].clone()]);
        // Also when it is over: when somebody logged in last is known for good.
        assert_eq!(forget(5_000).await, 0);
        let last = world.store.last_log_ins(organization).await.unwrap();
        assert_eq!((last[&staff], last[&all[3].staff]), (at(3), at(1)));
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_replaces_both_tokens() {
    on_each_engine(async |world| {
        let organization = Organization::Office(office());
        world.write(async |tx| tx.put_session(organization, TOKENS, &session()).await).await.unwrap();
        let next = Tokens { access: b"second", refresh: b"third" };
        let later = Session { expires_at: at(200), ..session() };
        let renew = async |used: &[u8], next| {
            world.write(async |tx| tx.renew_session(organization, used, next, &later).await).await.unwrap()
        };
        assert_eq!(renew(b"another", next).await, None);
        assert_eq!(world.store.session(organization, b"token").await.unwrap(), Some(session()));
        assert!(renew(b"refresh", next).await.is_some());
        assert_eq!(world.store.session(organization, b"token").await.unwrap(), None, "good for nothing any more");
        assert_eq!(world.store.session(organization, b"second").await.unwrap(), Some(later.clone()));
        assert_eq!(renew(b"refresh", TOKENS).await, None, "a second time");
        assert_eq!(world.store.session_of_id(organization, "0a1b").await.unwrap(), Some(later.clone()));
        let ended = world.write(async |tx| tx.end_session(organization, "0a1b", at(50)).await).await.unwrap();
        assert!(ended.is_some());
        assert_eq!(renew(b"third", TOKENS).await, None, "the log-in has ended");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_refreshes_at_the_same_moment_the_database_lets_one_through() {
    on_each_engine(async |world| {
        let organization = Organization::Office(office());
        world.write(async |tx| tx.put_session(organization, TOKENS, &session()).await).await.unwrap();
        let world = Arc::new(world);
        let mut tasks = Vec::new();
        for n in 0u8..8 {
            let world = Arc::clone(&world);
            tasks.push(tokio::spawn(async move {
                let (access, refresh) = ([b'a', n], [b'r', n]);
                let next = Tokens { access: &access, refresh: &refresh };
                world.write(async |tx| tx.renew_session(organization, b"refresh", next, &session()).await).await
            }));
        }
        let mut through = 0;
        for task in tasks {
            through += usize::from(task.await.unwrap().unwrap().is_some());
        }
        assert_eq!(through, 1);
    })
    .await;
}

#[tokio::test]
async fn failed_log_ins_add_up_within_the_window_and_start_anew_after_it_or_after_success() {
    on_each_engine(async |world| {
        let (organization, staff) = (Organization::Office(office()), StaffId("4370100017/s1".to_owned()));
        let fail = async |second: i64| {
            world
                .write(async |tx| {
                    tx.count_login_failure(organization, &staff, TERMINAL, at(second), at(second - 900)).await
                })
                .await
                .unwrap();
            world.store.lock_state(organization, &staff, TERMINAL).await.unwrap()
        };
        assert_eq!(world.store.lock_state(organization, &staff, TERMINAL).await.unwrap(), LockState::default());
        assert_eq!(fail(0).await, LockState { failures: 1, last_failure_at: Some(at(0)) });
        assert_eq!(fail(100).await.failures, 2);
        assert_eq!(fail(1000).await.failures, 3, "the last failure was 900 seconds ago");
        assert_eq!(fail(1901).await.failures, 1, "the last failure is older than the window");
        let other = StaffId("4370100017/s2".to_owned());
        assert_eq!(world.store.lock_state(organization, &other, TERMINAL).await.unwrap().failures, 0);
        assert_eq!(world.store.lock_state(organization, &staff, "cd").await.unwrap().failures, 0, "another terminal");
        world.write(async |tx| tx.clear_terminal_failures(organization, &staff, "cd").await).await.unwrap();
        assert_eq!(world.store.lock_state(organization, &staff, TERMINAL).await.unwrap().failures, 1);
        world.write(async |tx| tx.clear_terminal_failures(organization, &staff, TERMINAL).await).await.unwrap();
        assert_eq!(world.store.lock_state(organization, &staff, TERMINAL).await.unwrap(), LockState::default());
        fail(2000).await;
        assert_eq!(world.write(async |tx| tx.forget_login_failures(at(2000)).await).await.unwrap(), 0);
        assert_eq!(world.write(async |tx| tx.forget_login_failures(at(2001)).await).await.unwrap(), 1);
        fail(2000).await;
        world.write(async |tx| tx.clear_login_failures(organization, &staff).await).await.unwrap();
        assert_eq!(world.store.lock_state(organization, &staff, TERMINAL).await.unwrap(), LockState::default());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tries_at_the_same_time_waits_for_the_count_of_the_one_before() {
    on_each_engine(async |world| {
        let world = Arc::new(world);
        let attempt = async |world: Arc<World>| {
            let (organization, staff) = (Organization::Office(office()), StaffId("4370100017/s1".to_owned()));
            let act = async |tx: &mut kiban_store::Tx| {
                let before = tx.hold_lock_state(organization, &staff, TERMINAL).await?.failures;
                if before < 5 {
                    tx.count_login_failure(organization, &staff, TERMINAL, at(0), at(-900)).await?;
                }
                Ok(before)
            };
            world.write(act).await.unwrap()
        };
        let attempts: Vec<_> = (0..20).map(|_| tokio::spawn(attempt(Arc::clone(&world)))).collect();
        let mut seen = Vec::new();
        for attempt in attempts {
            seen.push(attempt.await.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen[..5], [0, 1, 2, 3, 4]);
        assert_eq!(seen[5..], [5; 15]);
        let (organization, staff) = (Organization::Office(office()), StaffId("4370100017/s2".to_owned()));
        let held = world.write(async |tx| tx.hold_lock_state(organization, &staff, TERMINAL).await).await.unwrap();
        assert_eq!(held, LockState::default(), "who never failed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_the_same_time_each_get_a_number_of_their_own_and_a_match_gives_its_back() {
    on_each_engine(async |world| {
        let world = Arc::new(world);
        let attempts: Vec<_> = (0..50)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(
                    async move { world.write(async |tx| tx.add_mismatch(&[1; 32], day(20261122)).await).await },
                )
            })
            .collect();
        let mut numbers = BTreeSet::new();
        for attempt in attempts {
            numbers.insert(attempt.await.unwrap().unwrap());
        }
        assert!(numbers.into_iter().eq(1..=50));
        let take_back = async |subject| {
            world.write(async |tx| tx.take_back_mismatch(&[subject; 32], day(20261122)).await).await.unwrap()
        };
        let add =
            async |subject, on| world.write(async |tx| tx.add_mismatch(&[subject; 32], day(on)).await).await.unwrap();
        take_back(1).await;
        take_back(2).await;
        assert_eq!(add(1, 20261122).await, 50);
        assert_eq!(add(2, 20261122).await, 1, "never below zero");
        assert_eq!(add(1, 20261123).await, 1, "every day anew");
    })
    .await;
}

#[tokio::test]
async fn a_write_sent_twice_gets_its_first_answer_and_another_write_under_its_key_is_told_so() {
    on_each_engine(async |world| {
        let organization = Organization::Office(office());
        let kept = |answer: &[u8]| KeptAnswer { bytes: answer.to_vec(), ..KeptAnswer::default() };
        let remember = async |answer: &[u8]| {
            world.write(async |tx| tx.remember(organization, b"key", b"request", &kept(answer), at(0)).await).await
        };
        let asked =
            async |organization, request: &[u8]| world.store.remembered(organization, b"key", request).await.unwrap();
        assert_eq!(asked(organization, b"request").await, Idempotent::New);
        remember(b"first").await.unwrap();
        assert!(matches!(remember(b"second").await, Err(StoreError::Conflict(_))));
        assert_eq!(asked(organization, b"request").await, Idempotent::Done(kept(b"first")));
        assert_eq!(asked(organization, b"other").await, Idempotent::OtherRequest);
        assert_eq!(asked(Organization::Office(other_office()), b"request").await, Idempotent::New);
        // What may be done again leaves the first answer as it is.
        let again = async |tx: &mut kiban_store::Tx| {
            tx.remember_unless_known(organization, b"key", b"request", &kept(b"third"), at(0)).await
        };
        assert!(!world.write(again).await.unwrap());
        assert_eq!(asked(organization, b"request").await, Idempotent::Done(kept(b"first")));
        let forget = async |second| world.write(async |tx| tx.forget_answers(at(second)).await).await.unwrap();
        assert_eq!((forget(0).await, forget(1).await), (0, 1));
        assert_eq!(asked(organization, b"other").await, Idempotent::New, "its time is over");
    })
    .await;
}

#[tokio::test]
async fn an_answer_about_a_person_is_kept_as_one_about_that_person() {
    on_each_engine(async |world| {
        let organization = Organization::Office(office());
        let about = |insured| KeptAnswer { bytes: b"answer".to_vec(), insurer: Some(insurer()), insured };
        let kept = about(Some(taro().insured));
        world.write(async |tx| tx.remember(organization, b"key", b"request", &kept, at(0)).await).await.unwrap();
        let asked = async || world.store.remembered(organization, b"key", b"request").await;
        assert_eq!(asked().await.unwrap(), Idempotent::Done(kept.clone()));
        // Whom it is about stands under the seal: nobody who can write to the database makes it one about somebody else,
        // about nobody or about another insurer's person.
        for change in
            ["insured_number = '0000000009'", "insured_number = NULL", "insurer_number = NULL, insured_number = NULL"]
        {
            world.by_hand(&format!("UPDATE idempotency SET {change}")).await;
            assert!(matches!(asked().await, Err(StoreError::Unreadable(_))), "{change}");
        }
        world
            .by_hand(&format!(
                "UPDATE idempotency SET insurer_number = '{}', insured_number = '{}'",
                insurer(),
                taro().insured
            ))
            .await;
        assert_eq!(asked().await.unwrap(), Idempotent::Done(kept));
    })
    .await;
}
