//! What changed of who may come in, by change numbers (decision 0006.27).

use crate::doors::care_office;
use crate::world::{World, at, entry, office, on_each_engine, other_office};
use kiban_domain::Organization;
use kiban_domain::office::{JobType, Office, Staff, StaffId};
use kiban_store::{Account, CertificateRow, StandingNumber};

fn certificate(n: usize) -> CertificateRow {
    CertificateRow {
        fingerprint: format!("{n:064x}"),
        organization: Organization::Office(office()),
        terminal: "t1".to_owned(),
        serial: format!("{n:x}"),
        not_after: at(1_000_000),
        revoked_at: None,
        revoked_for: None,
    }
}

fn account(active: bool) -> Account {
    Account {
        staff: Staff {
            id: StaffId("4370100017/own".to_owned()),
            name: "架空 四郎".to_owned(),
            job: JobType::CareManager,
            care_manager: None,
            administrator: false,
        },
        organization: Organization::Office(office()),
        password_hash: "$argon2id$".to_owned(),
        active,
        initial_until: None,
        closed_at: None,
        has_factor: false,
        has_passkey: false,
    }
}

/// The number of now.
async fn number(world: &World) -> i64 {
    world.store.standing_number(StandingNumber::default()).await.unwrap().0.number
}

#[tokio::test]
async fn each_write_about_who_may_come_in_is_found_by_its_number() {
    on_each_engine(async |world| {
        assert_eq!(number(&world).await, 0);
        let row = certificate(1);
        world.write(async |tx| tx.put_office(&care_office(), true).await).await.unwrap();
        let before = number(&world).await;
        world
            .write(async |tx| {
                tx.put_certificate(&row).await?;
                tx.put_connector(&row.fingerprint, row.organization, at(1)).await?;
                tx.put_account(&account(true)).await
            })
            .await
            .unwrap();
        let now = number(&world).await;
        assert_eq!((before, now), (1, 2), "one write has one number");
        let office_key = office().to_string();
        assert_eq!(world.store.changed_offices(0).await.unwrap(), [(office_key, Some((care_office(), true)))]);
        assert!(world.store.changed_offices(before).await.unwrap().is_empty());
        assert_eq!(
            world.store.changed_certificates(before).await.unwrap(),
            [(row.fingerprint.clone(), Some(row.clone()))]
        );
        assert_eq!(world.store.changed_connectors(before).await.unwrap().len(), 1);
        let staff = "4370100017/own".to_owned();
        assert_eq!(world.store.changed_accounts(before).await.unwrap(), [(staff.clone(), Some(account(true)))]);

        world.write(async |tx| tx.set_account_active(&StaffId(staff.clone()), false).await).await.unwrap();
        let revoked = CertificateRow { revoked_at: Some(at(5)), ..row.clone() };
        world.write(async |tx| tx.put_certificate(&revoked).await).await.unwrap();
        world.write(async |tx| tx.allow_export(&row.fingerprint, true).await).await.unwrap();
        assert_eq!(world.store.changed_accounts(now).await.unwrap(), [(staff, Some(account(false)))]);
        assert_eq!(world.store.changed_certificates(now).await.unwrap(), [(row.fingerprint.clone(), Some(revoked))]);
        let programs = world.store.changed_connectors(now).await.unwrap();
        assert!(programs[0].1.as_ref().unwrap().may_export);
        assert!(world.store.changed_connectors(number(&world).await).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_row_that_is_gone_or_forged_is_named_without_its_content() {
    on_each_engine(async |world| {
        let key = office().to_string();
        let put = async || world.write(async |tx| tx.put_office(&care_office(), false).await).await.unwrap();
        put().await;
        for change in ["UPDATE office SET service_types = '51'", "DELETE FROM office"] {
            world.by_hand(change).await;
            assert_eq!(world.store.changed_offices(0).await.unwrap(), [(key.clone(), None)], "{change}");
            put().await;
            assert_eq!(world.store.changed_offices(0).await.unwrap(), [(key.clone(), Some((care_office(), false)))]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_write_that_is_given_up_has_no_number() {
    on_each_engine(async |world| {
        let mut tx = world.store.begin().await.unwrap();
        tx.put_office(&care_office(), true).await.unwrap();
        drop(tx);
        assert_eq!(number(&world).await, 0);
        world.write(async |tx| tx.put_office(&care_office(), true).await).await.unwrap();
        assert_eq!(number(&world).await, 1);
    })
    .await;
}

/// On PostgreSQL the one that began first commits last; on SQLite there is one writer, so there they follow each other.
#[tokio::test]
async fn a_write_that_began_earlier_and_ends_later_is_not_passed_over() {
    on_each_engine(async |world| {
        let second = Office { number: other_office(), ..care_office() };
        if world.is_postgres() {
            let mut early = world.store.begin().await.unwrap();
            early.put_office(&care_office(), true).await.unwrap();
            world.write(async |tx| tx.put_office(&second, true).await).await.unwrap();
            let seen = number(&world).await;
            assert_eq!(world.store.changed_offices(0).await.unwrap().len(), 1);
            early.commit(entry()).await.unwrap();
            let after = world.store.changed_offices(seen).await.unwrap();
            assert_eq!(after, [(office().to_string(), Some((care_office(), true)))]);
        }
    })
    .await;
}

#[tokio::test]
async fn more_than_one_reading_holds_is_read_to_the_end() {
    on_each_engine(async |world| {
        world
            .write(async |tx| {
                for n in 0..4_100 {
                    tx.put_certificate(&certificate(n)).await?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let all: Vec<_> = (0..4_100).map(certificate).collect();
        assert!(world.store.certificates().await.unwrap() == all, "the whole list, in its order");
        let changed: Vec<_> = world.store.changed_certificates(0).await.unwrap().into_iter().map(|row| row.1).collect();
        assert!(changed == all.into_iter().map(Some).collect::<Vec<_>>(), "what changed, each once");
    })
    .await;
}

#[tokio::test]
async fn a_number_used_again_after_its_commit_was_lost_is_known_as_another() {
    on_each_engine(async |world| {
        let known = async |before| world.store.standing_number(before).await.unwrap();
        let put = async |n: usize| world.write(async |tx| tx.put_certificate(&certificate(n)).await).await.unwrap();
        assert_eq!(known(StandingNumber::default()).await, (StandingNumber::default(), true));
        put(1).await;
        let (first, _) = known(StandingNumber::default()).await;
        put(2).await;
        let (second, same) = known(first).await;
        assert_eq!((first.number, second.number, same), (1, 2, true));
        assert!(first.mark.is_some() && second.mark.is_some() && known(second).await.1);
        // The copy that takes over never got the second commit; the number goes to another change.
        world.by_hand("UPDATE standing_counter SET number = 1").await;
        world.by_hand("DELETE FROM standing_mark WHERE number = 2").await;
        assert!(!known(second).await.1, "a smaller number");
        put(3).await;
        let (again, same) = known(second).await;
        assert_eq!((again.number, same), (2, false), "the same number, another change");
        put(4).await;
        assert!(!known(second).await.1, "and behind it");
        assert!(known(first).await.1, "what was before is the same");
    })
    .await;
}
