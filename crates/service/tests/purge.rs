//! Months of the audit log end only when two operators who are there approve it.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::Organization;
use kiban_domain::office::{JobType, StaffId};
use kiban_service::{Error, NewAccount, OperatorProof};
use kiban_store::{AuditSettings, Entry, MasterKey, Month, Outcome, SecondFactor, SigningKey, Store};
use std::sync::Arc;
use support::{World, addresses, context, now};

const PASSWORD: &str = "tesuto-no-aikotoba";

/// Times never go back within a process, so the old entry is of another one.
async fn another_process(world: &World) -> Store {
    let folder = world.folder.path();
    let audit = AuditSettings {
        signing_key: SigningKey::load_or_create(&folder.join("anchor.key")).unwrap(),
        anchor_dir: folder.join("anchors"),
        clock: Arc::new(now),
    };
    Store::open(&world.address, MasterKey::load(&folder.join("master.key")).unwrap(), audit).await.unwrap()
}

async fn account(world: &World, organization: Organization, account: &str, job: JobType) -> StaffId {
    let new = NewAccount {
        organization,
        account: account.to_owned(),
        name: "架空 運用子".to_owned(),
        job,
        care_manager: None,
        administrator: false,
        password: PASSWORD.to_owned(),
    };
    world.platform.put_account(new, "cli", &context()).await.unwrap()
}

#[tokio::test]
async fn only_two_different_active_operators_end_a_month_of_the_log() {
    for address in addresses().await {
        let world = World::new(address).await;
        let old = Entry::new("2018-11-01T00:00:00Z".parse().unwrap(), "old", "api", "view", Outcome::Allowed);
        let other = another_process(&world).await;
        other.audit().append(old).await.unwrap();
        other.close().await.unwrap();
        for name in ["chief", "deputy", "gone"] {
            account(&world, Organization::Operator, name, JobType::OperatorStaff).await;
        }
        let operator = Organization::Operator;
        world.platform.switch_account_locally(operator, "gone", false, &context()).await.unwrap();
        let city = Organization::Municipality(world.city.insurer);
        let officer = account(&world, city, "officer", JobType::MunicipalOfficer).await.0;

        let before = Month::parse("2019-01").unwrap();
        let purge = async |approvers: &[&str]| {
            let approvers: Vec<_> = approvers.iter().map(|&approver| approver.to_owned()).collect();
            world.platform.purge_audit(before, 5, &approvers, &context()).await
        };
        for approvers in [
            &["operator/chief"][..],
            &["operator/chief", "operator/chief"],
            &["operator/chief", "operator/nobody"],
            &["operator/gone", "operator/chief"],
            &["operator/chief", officer.as_str()],
            &["operator/chief", "operator/deputy", "operator/nobody"],
        ] {
            let refused = purge(approvers).await;
            assert!(matches!(refused, Err(Error::Invalid(_))), "{approvers:?}: {refused:?}");
        }
        assert_eq!(purge(&[]).await.unwrap().len(), 1, "still there");
        let told = world.platform.store().audit().of_organization("operator", 50, None).await.unwrap();
        let refusals = told.iter().filter(|entry| entry.action == "audit.purge" && entry.outcome == "refused").count();
        assert_eq!(refusals, 6, "every refusal is recorded");

        assert_eq!(purge(&["operator/chief", "operator/deputy"]).await.unwrap().len(), 1);
        assert!(purge(&[]).await.unwrap().is_empty(), "gone");
        assert!(world.platform.store().audit().verify().await.unwrap().is_intact());
    }
}

/// A password is known to whoever looked over a shoulder; what is mailed reaches no terminal, so a recovery code stands for it, once.
#[tokio::test]
async fn an_operator_with_a_second_factor_proves_it_at_the_terminal_too() {
    for address in addresses().await {
        let world = World::new(address).await;
        let deputy = account(&world, Organization::Operator, "deputy", JobType::OperatorStaff).await;
        let chief = account(&world, Organization::Operator, "chief", JobType::OperatorStaff).await;
        let store = world.platform.store();
        for (id, factor) in [
            (&chief, SecondFactor::Mail("chief@mihon.example".to_owned().into())),
            (&deputy, SecondFactor::App(vec![7; 20].into())),
        ] {
            let codes = ["AAAABBBBCCCC", "DDDDEEEEFFFF"].map(|code| code.to_owned().into());
            let mut tx = store.begin().await.unwrap();
            let held = tx.hold_account(id).await.unwrap().unwrap();
            tx.set_factor(&held, Some(&factor), &codes).await.unwrap();
            tx.commit(Entry::new(now(), "set", "api", "factor.set", Outcome::Done)).await.unwrap();
        }
        let both = [chief.0.clone(), deputy.0.clone()];
        let prove = async |first: [&str; 2], second: [&str; 2]| {
            let typed = [first, second].map(|[password, code]| OperatorProof {
                password: password.to_owned().into(),
                code: code.to_owned().into(),
            });
            world.platform.prove_purge(&both, |_| Ok::<_, Error>(typed.into()), &context()).await
        };
        let good = [PASSWORD, "AAAA-BBBB-CCCC"];
        for (first, second) in [
            ([PASSWORD, ""], good),
            ([PASSWORD, "123456"], good),
            ([PASSWORD, "AAAA-BBBB-CCCD"], good),
            (["chigau-aikotoba", "AAAA-BBBB-CCCC"], good),
        ] {
            assert!(matches!(prove(first, second).await, Err(Error::Invalid(_))), "{first:?}");
        }
        // An app at hand or not, its owner has recovery codes; a code is good once, typed in either way.
        assert!(matches!(prove(good, [PASSWORD, ""]).await, Err(Error::Invalid(_))), "the deputy gave none");
        assert!(matches!(prove(good, good).await, Err(Error::Invalid(_))), "the chief's was used up");
        prove([PASSWORD, "dddd eeee ffff"], good).await.unwrap();
        let told = store.audit().of_organization("operator", 50, None).await.unwrap();
        let of_purge = |outcome: &str| {
            let of = told.iter().filter(|entry| entry.action == "audit.purge" && entry.outcome == outcome);
            of.filter_map(|entry| entry.rule.as_deref()).collect::<Vec<_>>()
        };
        assert_eq!(of_purge("refused"), ["wrong_password"; 6]);
        assert_eq!(of_purge("allowed"), ["recovery_code"; 3]);
    }
}
