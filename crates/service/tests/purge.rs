//! Months of the audit log end only when two operators who are there approve it.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::Organization;
use kiban_domain::office::{JobType, StaffId};
use kiban_service::{Error, NewAccount};
use kiban_store::{AuditSettings, Entry, MasterKey, Month, Outcome, SigningKey, Store};
use std::sync::Arc;
use support::{World, addresses, context, now};

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
        password: "tesuto-no-aikotoba".to_owned(),
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
