//! Somebody who can write to the database but has no key opens no door (T-9): the row he makes or alters does not exist.

use crate::logins::TOKENS;
use crate::world::*;
use kiban_domain::assignment::{DisasterMode, EndReason};
use kiban_domain::consent::ConsentAct;
use kiban_domain::dates::Period;
use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Office, Staff, StaffId};
use kiban_domain::{CareManagerNumber, Kind, Organization, ServiceType};
use kiban_store::{Account, CertificateRequest, CertificateRow, Hides, Session, SessionWay, StaffSwitch, StoreError};

fn yes(world: &World) -> &'static str {
    if world.is_postgres() { "true" } else { "1" }
}

#[tokio::test]
async fn an_assignment_made_or_altered_by_hand_does_not_exist() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        world.write(async |tx| tx.change_assignment(&assignment(taro()), None).await).await.unwrap();
        // Copied from another person.
        let copied = world
            .by_hand(
                "INSERT INTO assignment SELECT insurer_number, '0000000001', office_number, identity_check, registered_by,
                   registered_at, viewable_until, plan_maker, confirmed, ended_at, end_reason, mac FROM assignment",
            )
            .await;
        assert_eq!(copied, 1);
        assert_eq!(world.facts().await.assignment, None);
        assert!(world.store.assignments(hanako()).await.unwrap().is_empty());
        world.by_hand("DELETE FROM assignment").await;
        let mut ended = assignment(hanako());
        ended.ended = Some((at(60), EndReason::Person));
        for change in [
            "ended_at = NULL, end_reason = NULL".to_owned(),
            "ended_at = NULL".to_owned(),
            "viewable_until = 99991231".to_owned(),
            "plan_maker = '4370100017/s2'".to_owned(),
            format!("confirmed = {}", yes(&world)),
            "office_number = '4370100025'".to_owned(),
        ] {
            world.by_hand("DELETE FROM assignment").await;
            world.write(async |tx| tx.change_assignment(&ended, None).await).await.unwrap();
            assert_eq!(world.by_hand(&format!("UPDATE assignment SET {change}")).await, 1);
            assert!(world.store.assignments(hanako()).await.unwrap().is_empty(), "{change}");
            assert_eq!(world.facts().await.assignment, None, "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_consent_copied_to_another_person_or_altered_closes_instead_of_opening() {
    on_each_engine(async |world| {
        let mut taros = consent(ConsentAct::Given, 0);
        taros.person = taro();
        world.put_person(1, &known_hanako()).await;
        world.write(async |tx| tx.put_consent("c1", 1, at(0), &taros).await).await.unwrap();
        world
            .by_hand(
                "INSERT INTO consent_act SELECT insurer_number, '0000000001', act_id, act, kind, acted_at, recorded_at,
                   revision, taken_by, detail, mac FROM consent_act",
            )
            .await;
        assert!(!world.facts().await.consent.covers(Kind::A2));
        assert!(world.store.consents(hanako()).await.unwrap().is_empty());
        for change in ["act = 'given'", "acted_at = 0", "revision = 2", "kind = 'C1'", "mac = detail"] {
            world.by_hand("DELETE FROM consent_act").await;
            world
                .write(async |tx| {
                    tx.put_consent("c1", 1, at(0), &consent(ConsentAct::Given, 0)).await?;
                    tx.put_consent("c2", 1, at(0), &consent(ConsentAct::Withdrawn, 10)).await
                })
                .await
                .unwrap();
            world.by_hand(&format!("UPDATE consent_act SET {change} WHERE act_id = 'c2'")).await;
            let facts = world.facts().await;
            assert_eq!((facts.consent.given_at, facts.consent_damaged), (None, true), "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_withdrawal_hidden_behind_an_open_receipt_closes() {
    on_each_engine(async |world| {
        world
            .write(async |tx| {
                tx.put_consent("c1", 1, at(0), &consent(ConsentAct::Given, 0)).await?;
                tx.put_consent("c2", 2, at(0), &consent(ConsentAct::Withdrawn, 10)).await
            })
            .await
            .unwrap();
        let open = world.open_receipt("never applied").await;
        world.by_hand(&format!("UPDATE consent_act SET revision = {} WHERE act_id = 'c2'", open + 100)).await;
        world.by_hand(&format!("UPDATE receipt SET receipt_number = {} ", open + 100)).await;
        assert!(!world.facts().await.consent.covers(Kind::A2));
    })
    .await;
}

#[tokio::test]
async fn a_person_whose_flag_or_card_insurer_was_altered_is_unknown() {
    on_each_engine(async |world| {
        let no = if world.is_postgres() { "false" } else { "0" };
        let mut hidden = known_hanako();
        hidden.withheld = true;
        for change in
            [format!("withheld = {no}"), "card_insurer = '294538'".to_owned(), "gone_on = 20250101".to_owned()]
        {
            world.put_person(1, &hidden).await;
            assert!(world.facts().await.known);
            world.by_hand(&format!("UPDATE person SET {change}")).await;
            assert!(!world.facts().await.known, "{change}");
            assert_eq!(world.store.person(hanako()).await.unwrap(), None, "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_opinion_request_or_a_switch_altered_by_hand_opens_nothing() {
    on_each_engine(async |world| {
        let switch = StaffSwitch {
            staff: StaffId("4370100017/s1".to_owned()),
            person: hanako(),
            hides: Hides::Everything,
            changed: Some((at(60), "4370100017/chief".to_owned())),
        };
        world
            .write(async |tx| {
                tx.put_person(1, 1, &known_hanako()).await?;
                tx.put_opinion_request(hanako(), "1", office(), day(20241001), day(20240930), 1).await?;
                tx.put_switch(Organization::Office(office()), &switch).await
            })
            .await
            .unwrap();
        world.by_hand("UPDATE opinion_request SET requested_on = 20261101").await;
        // Neither the kinds nor since when it is: whoever narrows it in the database hides all.
        for change in ["kinds = 'E2'", "changed_at = 0", "changed_by = NULL, changed_at = NULL, kinds = NULL"] {
            let only_c1 = StaffSwitch { hides: Hides::Kinds([Kind::C1].into()), ..switch.clone() };
            world.write(async |tx| tx.put_switch(Organization::Office(office()), &only_c1).await).await.unwrap();
            assert!(!world.facts().await.switched_off);
            world.by_hand(&format!("UPDATE staff_switch SET {change}")).await;
            assert!(world.facts().await.switched_off, "{change}");
        }
        world.write(async |tx| tx.put_switch(Organization::Office(office()), &switch).await).await.unwrap();
        let no = if world.is_postgres() { "false" } else { "0" };
        world.by_hand(&format!("UPDATE staff_switch SET hidden = {no}")).await;
        let facts = world.facts().await;
        assert_eq!(facts.opinion_requested_on, None);
        assert!(facts.switched_off, "a damaged switch still hides");
        world
            .write(async |tx| tx.put_opinion_request(hanako(), "1", office(), day(20261001), day(20260930), 1).await)
            .await
            .unwrap();
        assert_eq!(world.facts().await.opinion_requested_on, Some(20261001));
        // Under another 履歴番号 a correction or a deletion would no longer find it.
        world.by_hand("UPDATE opinion_request SET natural_key = '2'").await;
        assert_eq!(world.facts().await.opinion_requested_on, None);
    })
    .await;
}

#[tokio::test]
async fn a_start_of_use_written_by_hand_starts_nothing() {
    on_each_engine(async |world| {
        let planned = StartState::Planned(day(20280401));
        world.write(async |tx| tx.set_start(insurer(), planned).await).await.unwrap();
        assert_eq!(world.store.start_of(insurer()).await.unwrap(), planned);
        assert_eq!(world.store.starts().await.unwrap(), [(insurer(), planned)]);
        world.by_hand("UPDATE insurer SET start_state = 'started', start_on = 20260401").await;
        assert_eq!(world.store.start_of(insurer()).await.unwrap(), StartState::Undecided);
        assert_eq!(world.facts().await.start, StartState::Undecided);
    })
    .await;
}

pub fn care_office() -> Office {
    Office {
        number: office(),
        name: "架空居宅介護支援事業所".to_owned(),
        address: None,
        telephone: Some("000-0000-0001".to_owned()),
        municipality: insurer(),
        is_hospital: false,
        service_types: vec![ServiceType::parse("43").unwrap(), ServiceType::parse("46").unwrap()],
    }
}

#[tokio::test]
async fn an_office_is_what_the_operator_registered() {
    on_each_engine(async |world| {
        world.write(async |tx| tx.put_office(&care_office(), true).await).await.unwrap();
        assert_eq!(world.store.office(office()).await.unwrap(), Some((care_office(), true)));
        world.write(async |tx| tx.put_office(&care_office(), false).await).await.unwrap();
        assert_eq!(world.store.offices().await.unwrap(), [(care_office(), false)]);
        let yes = yes(&world);
        for change in [format!("active = {yes}"), format!("is_hospital = {yes}"), "service_types = '51'".to_owned()] {
            world.write(async |tx| tx.put_office(&care_office(), false).await).await.unwrap();
            world.by_hand(&format!("UPDATE office SET {change}")).await;
            assert_eq!(world.store.office(office()).await.unwrap(), None, "{change}");
            assert!(world.store.offices().await.unwrap().is_empty(), "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_certificate_stays_revoked_and_nobody_binds_it_to_himself() {
    on_each_engine(async |world| {
        let mut row = CertificateRow {
            fingerprint: "ab".repeat(32),
            organization: Organization::Office(office()),
            terminal: "t1".to_owned(),
            serial: "01".to_owned(),
            not_after: at(1_000_000),
            revoked_at: None,
            revoked_for: None,
        };
        world.write(async |tx| tx.put_certificate(&row).await).await.unwrap();
        let stolen = CertificateRow { organization: Organization::Office(other_office()), ..row.clone() };
        let bound = world.write(async |tx| tx.put_certificate(&stolen).await).await;
        assert!(matches!(bound, Err(StoreError::Conflict(_))), "{bound:?}");
        assert_eq!(world.store.certificates().await.unwrap(), [row.clone()]);
        row.revoked_at = Some(at(5));
        world.write(async |tx| tx.put_certificate(&row).await).await.unwrap();
        assert_eq!(world.store.certificates().await.unwrap(), [row.clone()]);
        for change in [
            "revoked_at = NULL",
            "organization = '4370100025'",
            "not_after = not_after + 1",
            "serial = '02'",
            "terminal = 't2'",
        ] {
            world.by_hand("DELETE FROM certificate").await;
            world.write(async |tx| tx.put_certificate(&row).await).await.unwrap();
            world.by_hand(&format!("UPDATE certificate SET {change}")).await;
            assert!(world.store.certificates().await.unwrap().is_empty(), "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_for_and_who_vouched_for_it_cannot_be_changed_past_the_store() {
    on_each_engine(async |world| {
        let request = CertificateRequest {
            id: "ab".repeat(16),
            organization: Organization::Office(office()),
            terminal: "t1".to_owned(),
            connector: false,
            csr: Some("CSR".to_owned()),
            key_digest: Some("cd".repeat(32)),
            renews: None,
            made_at: at(5),
            checked: Some((StaffId("operator/a".to_owned()), "ef".repeat(32))),
            approved_by: None,
            code_digest: None,
            attempts: 0,
            closed: None,
            issued: None,
        };
        let put = async |request: &CertificateRequest| {
            world.write(async |tx| tx.put_certificate_request(request).await).await
        };
        put(&request).await.unwrap();
        assert_eq!(world.store.certificate_request(&request.id).await.unwrap(), Some(request.clone()));
        let yes = yes(&world);
        for change in [
            "approved_by = 'operator/b'".to_owned(),
            "checked_by = NULL".to_owned(),
            "organization = 'operator'".to_owned(),
            "csr = 'another'".to_owned(),
            "code_digest = '00'".to_owned(),
            "attempts = 4".to_owned(),
            format!("connector = {yes}"),
        ] {
            world.by_hand("DELETE FROM certificate_request").await;
            put(&request).await.unwrap();
            world.by_hand(&format!("UPDATE certificate_request SET {change}")).await;
            assert_eq!(world.store.certificate_request(&request.id).await.unwrap(), None, "{change}");
            let held = world.write(async |tx| tx.hold_certificate_request(&request.id).await).await.unwrap();
            assert_eq!(held, None, "{change}");
            assert!(world.store.certificate_requests(at(0)).await.unwrap().is_empty(), "{change}");
        }
        // Once something was issued, nothing about it changes any more.
        world.by_hand("DELETE FROM certificate_request").await;
        let issued = CertificateRequest { issued: Some(("12".repeat(32), "PEM".to_owned())), ..request.clone() };
        put(&issued).await.unwrap();
        assert!(matches!(put(&request).await, Err(StoreError::Conflict(_))));
        assert_eq!(world.store.certificate_request(&request.id).await.unwrap(), Some(issued));
    })
    .await;
}

pub fn account(name: &str) -> Account {
    let id = StaffId(format!("4370100017/{name}"));
    let care_manager = Some(CareManagerNumber::parse("43000001").unwrap());
    Account {
        staff: Staff {
            id,
            name: "架空 職員".to_owned(),
            job: JobType::CareManager,
            care_manager,
            administrator: false,
        },
        organization: Organization::Office(office()),
        password_hash: format!("$argon2id$v=19$m=1,t=1,p=1$c2FsdA${name}"),
        active: true,
        initial_until: None,
        closed_at: None,
        has_factor: false,
        has_passkey: false,
    }
}

#[tokio::test]
async fn an_account_with_a_swapped_password_another_job_or_another_office_does_not_exist() {
    on_each_engine(async |world| {
        let (own, victim) = (account("own"), account("victim"));
        let victim = Account { initial_until: Some(at(700)), closed_at: Some(at(800)), ..victim };
        world
            .write(async |tx| {
                tx.put_account(&own).await?;
                tx.put_account(&victim).await
            })
            .await
            .unwrap();
        assert_eq!(world.store.account(&victim.staff.id).await.unwrap(), Some(victim.clone()));
        assert_eq!(world.store.accounts().await.unwrap(), [own.clone(), victim.clone()]);
        let office = Organization::Office(office());
        assert_eq!(world.store.accounts_of(office).await.unwrap(), [own.clone(), victim.clone()]);
        assert_eq!(world.store.accounts_of(Organization::Operator).await.unwrap(), []);
        for change in [
            "password_hash = (SELECT s.password_hash FROM staff s WHERE s.staff_id = '4370100017/own')",
            "job = 'operator_staff'",
            "organization = 'operator'",
            "care_manager = '43000002'",
            &format!("administrator = {}", yes(&world)),
            "initial_until = NULL",
            "initial_until = initial_until + 1",
            "closed_at = NULL",
            "initial_until = NULL, closed_at = initial_until",
        ] {
            world.write(async |tx| tx.put_account(&victim).await).await.unwrap_or_default();
            world.by_hand(&format!("UPDATE staff SET {change} WHERE staff_id = '4370100017/victim'")).await;
            assert_eq!(world.store.account(&victim.staff.id).await.unwrap(), None, "{change}");
            assert_eq!(world.store.accounts().await.unwrap(), std::slice::from_ref(&own), "{change}");
            world.by_hand("DELETE FROM staff WHERE staff_id = '4370100017/victim'").await;
        }
        let mut elsewhere = own.clone();
        elsewhere.organization = Organization::Operator;
        let moved = world.write(async |tx| tx.put_account(&elsewhere).await).await;
        assert!(matches!(moved, Err(StoreError::Conflict(_))), "{moved:?}");
        let left = Account { active: false, ..own };
        world.write(async |tx| tx.put_account(&left).await).await.unwrap();
        world.by_hand(&format!("UPDATE staff SET active = {}", yes(&world))).await;
        assert_eq!(world.store.account(&left.staff.id).await.unwrap(), None, "an account that was closed");
    })
    .await;
}

#[tokio::test]
async fn one_damaged_row_takes_nobody_elses_place() {
    on_each_engine(async |world| {
        let (own, other) = (account("own"), account("other"));
        world
            .write(async |tx| {
                tx.put_account(&own).await?;
                tx.put_account(&other).await
            })
            .await
            .unwrap();
        world.by_hand("UPDATE staff SET name = mac WHERE staff_id = '4370100017/own'").await;
        assert_eq!(world.store.accounts().await.unwrap(), [other]);
        world.write(async |tx| tx.set_start(insurer(), StartState::Started(day(20260401))).await).await.unwrap();
        world.by_hand("INSERT INTO insurer SELECT '??????', start_state, start_on, mac FROM insurer").await;
        assert_eq!(world.store.starts().await.unwrap(), [(insurer(), StartState::Started(day(20260401)))]);
        if world.is_postgres() {
            return;
        }
        // Bytes that are no text get into SQLite only.
        world.write(async |tx| tx.put_office(&care_office(), true).await).await.unwrap();
        let second = Office { number: other_office(), ..care_office() };
        world.write(async |tx| tx.put_office(&second, true).await).await.unwrap();
        world.by_hand("UPDATE office SET name = CAST(x'ff' AS TEXT) WHERE office_number = '4370100017'").await;
        assert_eq!(world.store.offices().await.unwrap(), [(second, true)]);
        let row = |fingerprint: &str| CertificateRow {
            fingerprint: fingerprint.repeat(32),
            organization: Organization::Office(office()),
            terminal: "t1".to_owned(),
            serial: "01".to_owned(),
            not_after: at(1_000_000),
            revoked_at: None,
            revoked_for: None,
        };
        for fingerprint in ["ab", "cd"] {
            world.write(async |tx| tx.put_certificate(&row(fingerprint)).await).await.unwrap();
        }
        world.by_hand("UPDATE certificate SET terminal = CAST(x'ff' AS TEXT) WHERE fingerprint LIKE 'ab%'").await;
        assert_eq!(world.store.certificates().await.unwrap(), [row("cd")]);
    })
    .await;
}

#[test]
fn a_password_hash_never_gets_into_a_log() {
    let shown = format!("{:?}", account("own"));
    assert!(shown.contains("4370100017/own") && !shown.contains("argon2") && !shown.contains("架空"), "{shown}");
}

#[tokio::test]
async fn a_session_turned_into_a_colleagues_or_prolonged_does_not_exist() {
    on_each_engine(async |world| {
        let session = Session {
            id: "0a1b".to_owned(),
            staff: StaffId("4370100017/s1".to_owned()),
            fingerprint: "ab".repeat(32),
            way: SessionWay::Program,
            software: Some("架空ソフト".to_owned()),
            opened_at: at(1),
            expires_at: at(100),
            refresh_until: at(800),
            ended_at: None,
            awaits_factor: false,
        };
        let organization = Organization::Office(office());
        for change in [
            "staff_id = '4370100017/s2'",
            "organization = 'operator'",
            "way = 'interactive'",
            "expires_at = expires_at + 1",
            "opened_at = opened_at + 1",
            "awaits_factor = NOT awaits_factor",
            "refresh_until = refresh_until + 1",
            "refresh_digest = token_digest",
            "fingerprint = ''",
        ] {
            world.by_hand("DELETE FROM session").await;
            world.write(async |tx| tx.put_session(organization, TOKENS, &session).await).await.unwrap();
            assert_eq!(world.store.session(organization, b"token").await.unwrap(), Some(session.clone()));
            world.by_hand(&format!("UPDATE session SET {change}")).await;
            assert_eq!(world.store.session(organization, b"token").await.unwrap(), None, "{change}");
            assert_eq!(world.store.session(Organization::Operator, b"token").await.unwrap(), None, "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_ended_session_opened_again_by_hand_does_not_exist() {
    on_each_engine(async |world| {
        let session = Session {
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
        };
        let organization = Organization::Office(office());
        let end = async || world.write(async |tx| tx.end_session(organization, "0a1b", at(50)).await).await;
        let found = async || world.store.session(organization, b"token").await.unwrap();
        world.write(async |tx| tx.put_session(organization, TOKENS, &session).await).await.unwrap();
        end().await.unwrap();
        assert_eq!(found().await.unwrap().ended_at, Some(at(50)));
        for change in ["ended_at = NULL", "ended_at = ended_at + 60000000"] {
            assert_eq!(world.by_hand(&format!("UPDATE session SET {change}")).await, 1);
            assert_eq!(found().await, None, "{change}");
            end().await.unwrap();
            assert_eq!(found().await, None, "ending it again makes nothing valid");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabling_an_account_keeps_a_password_that_was_set_at_the_same_moment() {
    on_each_engine(async |world| {
        let world = std::sync::Arc::new(world);
        for round in 0..20 {
            let new = Account { password_hash: format!("$argon2id$round{round}"), ..account("own") };
            let id = new.staff.id.clone();
            world.write(async |tx| tx.put_account(&account("own")).await).await.unwrap();
            let mut changing = world.store.begin().await.unwrap();
            changing.put_account(&new).await.unwrap();
            let other = std::sync::Arc::clone(&world);
            let (ready, asked) = tokio::sync::oneshot::channel();
            let disabling = tokio::spawn(async move {
                ready.send(()).unwrap();
                other.write(async |tx| tx.set_account_active(&id, false).await).await
            });
            asked.await.unwrap();
            changing.commit(entry()).await.unwrap();
            let disabled = disabling.await.unwrap().unwrap();
            let stored = world.store.account(&new.staff.id).await.unwrap().unwrap();
            assert_eq!(disabled.as_ref().map(|a| a.active), Some(false));
            // Whichever came second, nobody's change is lost but by being replaced.
            assert_eq!(stored.password_hash, new.password_hash, "round {round}");
        }
        let gone = StaffId("4370100017/nobody".to_owned());
        assert_eq!(world.write(async |tx| tx.set_account_active(&gone, false).await).await.unwrap(), None);
        world.by_hand("UPDATE staff SET job = 'physician'").await;
        let altered = account("own").staff.id;
        assert_eq!(
            world.write(async |tx| tx.set_account_active(&altered, true).await).await.unwrap(),
            None,
            "altered by hand"
        );
    })
    .await;
}

fn proposed_mode() -> DisasterMode {
    DisasterMode {
        id: "d1".to_owned(),
        event: "架空地震".to_owned(),
        areas: vec![insurer(), other_insurer()],
        classes: vec![],
        offices: vec![office()],
        hosts: vec![],
        without_consent: false,
        period: Period::new(day(20261120), Some(day(20261220))).unwrap(),
        opened_by: (StaffId("operator/a".to_owned()), StaffId(String::new())),
        proposed_over: "ab".repeat(32),
        closed_at: None,
    }
}

#[tokio::test]
async fn a_disaster_mode_needs_two_operators_and_cannot_be_widened() {
    on_each_engine(async |world| {
        let put = async |mode: &_| world.write(async |tx| tx.put_disaster(mode).await).await;
        let mut mode = proposed_mode();
        put(&mode).await.unwrap();
        assert_eq!(world.store.disasters().await.unwrap(), [mode.clone()]);
        world.by_hand("UPDATE disaster_mode SET approved_by = 'operator/b'").await;
        assert!(world.store.disasters().await.unwrap().is_empty(), "approved by hand");
        mode.opened_by.1 = StaffId("operator/b".to_owned());
        put(&mode).await.unwrap();
        assert_eq!(world.store.disasters().await.unwrap(), [mode.clone()]);
        let wider = DisasterMode { without_consent: true, ..mode.clone() };
        assert!(matches!(put(&wider).await, Err(StoreError::Conflict(_))));
        assert_eq!(world.store.disasters().await.unwrap(), [mode.clone()]);
        mode.closed_at = Some(at(10));
        put(&mode).await.unwrap();
        for change in [
            "closed_at = NULL".to_owned(),
            "event = '別の災害'".to_owned(),
            "open_to = 99991231".to_owned(),
            "hosts = '435073'".to_owned(),
            "proposed_over = 'cd'".to_owned(),
            format!("without_consent = {}", yes(&world)),
        ] {
            world.by_hand("DELETE FROM disaster_mode").await;
            put(&mode).await.unwrap();
            assert_eq!(world.store.disasters().await.unwrap(), [mode.clone()]);
            world.by_hand(&format!("UPDATE disaster_mode SET {change}")).await;
            assert!(world.store.disasters().await.unwrap().is_empty(), "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_closed_disaster_mode_is_never_reopened_or_approved() {
    on_each_engine(async |world| {
        let put = async |mode: &DisasterMode| world.write(async |tx| tx.put_disaster(mode).await).await;
        let conflict = |result| assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
        let proposed = proposed_mode();
        let approved = DisasterMode {
            opened_by: (proposed.opened_by.0.clone(), StaffId("operator/b".to_owned())),
            ..proposed.clone()
        };
        let closed = DisasterMode { closed_at: Some(at(10)), ..proposed.clone() };
        put(&proposed).await.unwrap();
        put(&closed).await.unwrap();
        // The second operator still has the page from before.
        conflict(put(&approved).await);
        conflict(put(&proposed).await);
        conflict(put(&DisasterMode { closed_at: Some(at(20)), ..approved.clone() }).await);
        assert_eq!(world.store.disasters().await.unwrap(), [closed]);
        let second = |mode: &DisasterMode| DisasterMode { id: "d2".to_owned(), ..mode.clone() };
        put(&second(&proposed)).await.unwrap();
        put(&second(&approved)).await.unwrap();
        conflict(put(&second(&proposed)).await);
        let by_another = (approved.opened_by.0.clone(), StaffId("operator/c".to_owned()));
        conflict(put(&DisasterMode { opened_by: by_another, ..second(&approved) }).await);
        conflict(put(&DisasterMode { proposed_over: "cd".repeat(32), ..second(&approved) }).await);
        put(&DisasterMode { closed_at: Some(at(30)), ..second(&approved) }).await.unwrap();
        conflict(put(&second(&approved)).await);
    })
    .await;
}
