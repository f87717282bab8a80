//! Registrations of the person and proxies, and log-ins at the person's own door.

use crate::world::*;
use kiban_store::{PortalGrant, PortalRole, PortalSession};

const SUBJECT: [u8; 32] = [7; 32];
const CODE: [u8; 32] = [9; 32];

pub fn grant(id: &str, role: PortalRole) -> PortalGrant {
    PortalGrant {
        person: hanako(),
        id: id.to_owned(),
        role,
        about: "架空 長子".as_bytes().to_vec(),
        code: Some((CODE, at(1_000))),
        despite_withheld: true,
        ends_on: Some("2027-03-31".parse().unwrap()),
        made_by: "990010/s1".to_owned(),
        made_at: at(10),
        bound: None,
        ended: None,
    }
}

fn session() -> PortalSession {
    PortalSession {
        subject: SUBJECT,
        birth_and_sex: [1; 32],
        name_and_birth: [2; 32],
        whose: Some((hanako(), "g1".to_owned())),
        opened_at: at(1),
        ends_at: at(7_200),
        ended_at: None,
    }
}

#[tokio::test]
async fn a_registration_is_found_by_its_code_then_by_its_log_in_and_ends_once() {
    on_each_engine(async |world| {
        let (store, given) = (&world.store, grant("g1", PortalRole::Legal));
        world.write(async |tx| tx.put_portal_grant(&given).await).await.unwrap();
        assert_eq!(store.portal_grant_of_code(&CODE).await.unwrap(), Some(given.clone()));
        assert_eq!(store.portal_grant_of_code(&[0; 32]).await.unwrap(), None);
        assert!(store.portal_grants_of(&SUBJECT).await.unwrap().is_empty());
        let bind = async |subject| world.write(async |tx| tx.bind_portal_grant(&given, subject, at(20)).await).await;
        assert!(bind(SUBJECT).await.unwrap());
        assert!(!bind([8; 32]).await.unwrap(), "a code binds once");
        let bound = PortalGrant { bound: Some((SUBJECT, at(20))), ..given.clone() };
        assert_eq!(store.portal_grants_of(&SUBJECT).await.unwrap(), std::slice::from_ref(&bound));
        let (last, after) = ("2027-03-31".parse().unwrap(), "2027-04-01".parse().unwrap());
        assert!(bound.is_live(last) && !bound.is_live(after) && !given.is_live(last));
        let end = async |why: &str| world.write(async |tx| tx.end_portal_grant(&bound, why, at(30)).await).await;
        assert!(end("person").await.unwrap());
        assert!(!end("municipality").await.unwrap(), "the first end stays");
        let ended = PortalGrant { ended: Some((at(30), "person".to_owned())), ..bound };
        assert_eq!(store.portal_grants(hanako()).await.unwrap(), [ended]);
        let endless = PortalGrant { ends_on: None, code: None, ..grant("g2", PortalRole::FamilyRefused) };
        world.write(async |tx| tx.put_portal_grant(&endless).await).await.unwrap();
        assert_eq!(store.portal_grant(hanako(), "g2").await.unwrap(), Some(endless));
    })
    .await;
}

#[tokio::test]
async fn a_registration_or_log_in_changed_in_the_database_is_not_there() {
    on_each_engine(async |world| {
        let bound = PortalGrant { bound: Some((SUBJECT, at(20))), ..grant("g1", PortalRole::Family) };
        world.write(async |tx| tx.put_portal_grant(&bound).await).await.unwrap();
        world.write(async |tx| tx.put_portal_session(b"token", &session()).await).await.unwrap();
        assert_eq!(world.store.portal_session(b"token").await.unwrap(), Some(session()));
        for sql in ["UPDATE portal_grant SET role = 'legal'", "UPDATE portal_session SET grant_id = 'g9'"] {
            world.by_hand(sql).await;
        }
        assert_eq!(world.store.portal_grant(hanako(), "g1").await.unwrap(), None);
        assert!(world.store.portal_grants_of(&SUBJECT).await.unwrap().is_empty());
        assert_eq!(world.store.portal_session(b"token").await.unwrap(), None);
    })
    .await;
}

/// What keeps others from looking is not taken away by writing into it.
#[tokio::test]
async fn a_refusal_or_block_changed_in_the_database_goes_on_closing() {
    on_each_engine(async |world| {
        let refusal = PortalGrant { code: None, ends_on: None, ..grant("g1", PortalRole::FamilyRefused) };
        let block = PortalGrant { id: "g2".to_owned(), role: PortalRole::Blocked, made_at: at(11), ..refusal.clone() };
        let put = async |tx: &mut kiban_store::Tx| {
            tx.put_portal_grant(&refusal).await?;
            tx.put_portal_grant(&block).await
        };
        world.write(put).await.unwrap();
        for sql in [
            "UPDATE portal_grant SET ended_at = 1, ended_for = 'municipality'",
            "UPDATE portal_grant SET about = substr(mac, 1, 8)",
        ] {
            world.by_hand(sql).await;
            let all = world.store.portal_grants(hanako()).await.unwrap();
            let closing: Vec<_> = all.iter().filter(|one| one.ended.is_none()).map(|one| one.role).collect();
            assert_eq!(closing, [PortalRole::FamilyRefused, PortalRole::Blocked], "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_log_in_is_there_until_it_is_ended() {
    on_each_engine(async |world| {
        world.write(async |tx| tx.put_portal_session(b"token", &session()).await).await.unwrap();
        assert_eq!(world.store.portal_session(b"other").await.unwrap(), None);
        world.write(async |tx| tx.end_portal_session(b"token", &session(), at(50)).await).await.unwrap();
        world.write(async |tx| tx.end_portal_session(b"token", &session(), at(60)).await).await.unwrap();
        let ended = world.store.portal_session(b"token").await.unwrap().unwrap();
        assert_eq!(ended.ended_at, Some(at(50)));
        let nobodys = PortalSession { whose: None, ..session() };
        world.write(async |tx| tx.put_portal_session(b"next", &nobodys).await).await.unwrap();
        assert_eq!(world.store.portal_session(b"next").await.unwrap(), Some(nobodys));
    })
    .await;
}

#[tokio::test]
async fn log_ins_and_counts_go_once_their_time_is_over_and_no_others() {
    on_each_engine(async |world| {
        let longer = PortalSession { ends_at: at(9_000), ..session() };
        let today = "2026-11-22".parse().unwrap();
        let put = async |tx: &mut kiban_store::Tx| {
            tx.put_portal_session(b"token", &session()).await?;
            tx.put_portal_session(b"longer", &longer).await?;
            tx.add_mismatch(&SUBJECT, "2026-11-21".parse().unwrap()).await?;
            tx.add_mismatch(&SUBJECT, today).await
        };
        world.write(put).await.unwrap();
        let sessions = async |until| world.write(async |tx| tx.forget_portal_sessions(until).await).await.unwrap();
        assert_eq!((sessions(at(7_200)).await, sessions(at(7_201)).await), (0, 1));
        assert_eq!(world.store.portal_session(b"token").await.unwrap(), None);
        assert_eq!(world.store.portal_session(b"longer").await.unwrap(), Some(longer.clone()));
        let counts = async |until| world.write(async |tx| tx.forget_mismatches(until).await).await.unwrap();
        assert_eq!((counts("2026-11-21".parse().unwrap()).await, counts(today).await), (0, 1));
        assert_eq!(world.write(async |tx| tx.mismatches(&SUBJECT, today).await).await.unwrap(), 1);
    })
    .await;
}
