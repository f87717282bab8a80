//! Who may come in, as each server process knows it (decision 0006.27).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::dates::Period;
use kiban_domain::office::{JobType, StaffId};
use kiban_domain::{InsurerNumber, OfficeNumber, Organization, Timestamp, dates};
use kiban_service::{Caller, Config, NewAccount, Platform, RevocationAsk};
use kiban_sim::Role;
use kiban_store::{CertificateRow, Entry, Outcome, StoredMember, Tx};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use support::{World, addresses, context, now};

/// Two server processes over one database, and a care manager who logged in.
struct Two {
    world: World,
    other: Platform,
    caller: Caller,
    office: OfficeNumber,
}

impl Two {
    async fn new(address: Option<String>) -> Self {
        let world = World::new(address).await;
        let other = world.another(Config::default()).await;
        let caller = world.office(Role::Planning, JobType::CareManager).await;
        other.refresh_standing(now()).await.unwrap();
        let office = world.city.office(Role::Planning).unwrap().number();
        Self { world, other, caller, office }
    }

    /// What the other process says of the caller's certificate after its next refresh.
    async fn says(&self) -> Result<Organization, &'static str> {
        self.other.refresh_standing(now()).await.unwrap();
        self.other.standing().organization(self.fingerprint(), now())
    }

    fn fingerprint(&self) -> &str {
        &self.caller.peer.fingerprint
    }

    fn certificate(&self) -> CertificateRow {
        self.world.platform.standing().certificate(self.fingerprint()).unwrap().clone()
    }

    async fn write(&self, act: impl AsyncFnOnce(&mut Tx)) {
        let mut tx = self.world.platform.store().begin().await.unwrap();
        act(&mut tx).await;
        tx.commit(Entry::new(now(), "test", "cli", "test", Outcome::Done)).await.unwrap();
    }

    /// Past the store, as somebody does who has the database but not the keys.
    async fn by_hand(&self, sql: String) {
        let changed = match self.world.address.strip_prefix("sqlite:") {
            Some(path) => {
                let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap();
                connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
            }
            None => {
                let mut connection = sqlx::PgConnection::connect(&self.world.address).await.unwrap();
                connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
            }
        };
        assert_eq!(changed, 1);
    }
}

fn lost() -> RevocationAsk {
    RevocationAsk { reason: "key-compromise".to_owned(), with_renewed: None }
}

#[tokio::test]
async fn a_revocation_is_known_to_every_server_at_its_next_refresh() {
    for address in addresses().await {
        let two = Two::new(address).await;
        assert_eq!(two.says().await, Ok(Organization::Office(two.office)));
        assert!(two.other.standing().is_reachable(two.office));
        let serial = two.certificate().serial;
        two.world.platform.revoke_certificate(&serial, &lost(), &context()).await.unwrap();
        assert_eq!(two.says().await, Err("certificate_revoked"));
        assert!(!two.other.standing().is_reachable(two.office));
    }
}

#[tokio::test]
async fn each_change_is_felt_on_the_other_server() {
    for address in addresses().await {
        let two = Two::new(address).await;
        let staff = two.caller.staff.id.clone();
        let is_active = || two.other.standing().account(&staff).unwrap().active;
        assert!(is_active());
        two.write(async |tx| drop(tx.set_account_active(&staff, false).await.unwrap())).await;
        assert!(is_active(), "nothing is known before a refresh");
        assert!(two.says().await.is_ok());
        assert!(!is_active());
        assert!(!two.other.standing().is_reachable(two.office), "nobody works there any more");
        two.write(async |tx| drop(tx.set_account_active(&staff, true).await.unwrap())).await;
        assert!(two.says().await.is_ok());
        assert!(two.other.standing().is_reachable(two.office));

        let office = two.world.platform.standing().office(two.office).unwrap().clone();
        two.world.platform.put_offices(std::slice::from_ref(&office), false, &context()).await.unwrap();
        assert_eq!(two.says().await, Err("office_inactive"));
        two.world.platform.put_offices(&[office], true, &context()).await.unwrap();
        assert!(two.says().await.is_ok());

        let row = CertificateRow { fingerprint: "ab".repeat(32), serial: "ab".into(), ..two.certificate() };
        two.world.platform.bind_connector(&row, &context()).await.unwrap();
        assert!(two.says().await.is_ok());
        assert!(two.other.standing().connector(&row.fingerprint).is_some());
        let standing = two.other.standing();
        assert_eq!(standing.certificates_of(row.organization).count(), 2);
    }
}

#[tokio::test]
async fn a_membership_that_is_taken_back_is_gone_on_the_other_server() {
    for address in addresses().await {
        let two = Two::new(address).await;
        let today = dates::day_in_japan(now());
        let (union, member) =
            (InsurerNumber::from_code5("99003").unwrap(), InsurerNumber::from_code5("99004").unwrap());
        let payer = async || {
            two.other.refresh_standing(now()).await.unwrap();
            two.other.standing().paying_insurer(member, today)
        };
        let row = StoredMember { member, period: Period::new(today, None).unwrap(), union };
        two.world.platform.put_union_members(&[row], "cli", &context()).await.unwrap();
        assert_eq!(payer().await, union);
        two.world.platform.remove_union_member(union, member, today, "cli", &context()).await.unwrap();
        assert_eq!(payer().await, member);
    }
}

#[tokio::test]
async fn what_was_changed_or_deleted_past_the_store_is_found_when_everything_is_read_again() {
    for address in addresses().await {
        let two = Two::new(address).await;
        let other = |n: u8| CertificateRow {
            fingerprint: format!("{n:02x}").repeat(32),
            serial: format!("{n:02x}"),
            ..two.certificate()
        };
        two.world.platform.bind_certificates(&[other(1), other(2)], &context()).await.unwrap();
        assert!(two.says().await.is_ok());
        two.by_hand(format!(
            "UPDATE certificate SET terminal = 'forged' WHERE fingerprint = '{}'",
            other(1).fingerprint
        ))
        .await;
        two.by_hand(format!("DELETE FROM certificate WHERE fingerprint = '{}'", other(2).fingerprint)).await;
        let known = || {
            let standing = two.other.standing();
            [other(1), other(2), two.certificate()].map(|row| standing.certificate(&row.fingerprint).cloned())
        };
        assert!(two.says().await.is_ok());
        assert_eq!(known(), [Some(other(1)), Some(other(2)), Some(two.certificate())], "as last read, not as forged");
        two.other.reread_standing(now()).await.unwrap();
        assert!(two.says().await.is_ok());
        assert_eq!(known(), [None, None, Some(two.certificate())]);
        assert_eq!(two.other.standing().certificates_of(Organization::Office(two.office)).count(), 1);
    }
}

#[tokio::test]
async fn what_changes_while_everything_is_read_again_is_not_undone_by_it() {
    for address in addresses().await {
        let two = Two::new(address).await;
        two.other.reread_standing(now()).await.unwrap();
        let serial = two.certificate().serial;
        two.world.platform.revoke_certificate(&serial, &lost(), &context()).await.unwrap();
        assert_eq!(two.says().await, Err("certificate_revoked"));
        assert_eq!(two.says().await, Err("certificate_revoked"));
    }
}

#[tokio::test]
async fn a_database_that_went_back_is_read_as_a_whole() {
    for address in addresses().await {
        let two = Two::new(address).await;
        two.by_hand(format!("DELETE FROM certificate WHERE fingerprint = '{}'", two.fingerprint())).await;
        assert!(two.says().await.is_ok());
        two.by_hand("UPDATE standing_counter SET number = number - 1".to_owned()).await;
        assert_eq!(two.says().await, Err("certificate_unknown"));
    }
}

#[tokio::test]
async fn a_map_stays_trusted_while_nothing_changes_and_no_longer_than_a_minute_unread() {
    for address in addresses().await {
        let two = Two::new(address).await;
        let later = |seconds: i64| -> Timestamp { now() + jiff::SignedDuration::from_secs(seconds) };
        assert!(two.other.standing().is_fresh(later(60)) && !two.other.standing().is_fresh(later(61)));
        two.other.refresh_standing(later(60)).await.unwrap();
        assert!(two.other.standing().is_fresh(later(120)) && !two.other.standing().is_fresh(later(121)));
    }
}

#[tokio::test]
async fn an_account_made_after_the_start_logs_in_on_the_other_server() {
    for address in addresses().await {
        let two = Two::new(address).await;
        let new = NewAccount {
            organization: Organization::Office(two.office),
            account: "kakuu-gorou".to_owned(),
            name: "架空 五郎".to_owned(),
            job: JobType::CareManager,
            care_manager: None,
            administrator: false,
            password: "tesuto-no-aikotoba".to_owned(),
        };
        two.world.platform.put_account(new, "cli", &context()).await.unwrap();
        assert!(two.says().await.is_ok());
        let id = StaffId(format!("{}/kakuu-gorou", two.office));
        assert_eq!(two.other.standing().account(&id).unwrap().staff.name, "架空 五郎");
    }
}

#[tokio::test]
async fn a_revocation_under_a_number_that_was_used_before_is_felt_at_the_next_refresh() {
    for address in addresses().await {
        let two = Two::new(address).await;
        // The other server has seen a change that the database, put back to a moment before, has not.
        let office = two.world.platform.standing().office(two.office).unwrap().clone();
        two.world.platform.put_offices(std::slice::from_ref(&office), true, &context()).await.unwrap();
        assert!(two.says().await.is_ok());
        two.by_hand("DELETE FROM standing_mark WHERE number = (SELECT number FROM standing_counter)".to_owned()).await;
        two.by_hand("UPDATE standing_counter SET number = number - 1".to_owned()).await;
        // There the number goes to another change, and the noted row of the lost one is as it was.
        let serial = two.certificate().serial;
        two.world.platform.revoke_certificate(&serial, &lost(), &context()).await.unwrap();
        assert_eq!(two.says().await, Err("certificate_revoked"));
    }
}
