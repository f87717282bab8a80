//! The audit log over the years: months made ahead, and deleted when nobody has to keep them any more.

use crate::world::*;
use kiban_domain::Timestamp;
use kiban_store::{
    Entry, Month, Outcome, PersonLog, PersonRefused, PurgedMonth, ShownGroup, StoreError, Value, first_month_kept,
    verify_person,
};

fn month(text: &str) -> Month {
    Month::parse(text).unwrap()
}

/// A look at 花子 by the office at noon (UTC) of a day.
pub fn look(day: &str, request: &str) -> Entry {
    let at: Timestamp = format!("{day}T12:00:00Z").parse().unwrap();
    Entry {
        insurer: Some(insurer().as_str().to_owned()),
        insured: Some(hanako().insured.as_str().to_owned()),
        organization: Some(office().as_str().to_owned()),
        staff: Some("4370100017/s1".to_owned()),
        ..Entry::new(at, request, "page", "view", Outcome::Allowed)
    }
}

/// A list that showed 花子.
pub fn list(day: &str, request: &str) -> Entry {
    let subjects = vec![hanako().insured.as_str().to_owned()];
    Entry { insured: None, action: "list".to_owned(), subjects, ..look(day, request) }
}

/// The act of an operator.
pub fn approval() -> Entry {
    Entry {
        staff: Some("operator/chief".to_owned()),
        ..Entry::new(at(0), "purge-1", "cli", "audit.purge", Outcome::Done)
    }
}

/// Two months that need not be kept, one that must, and this one, all in one segment.
async fn old_entries(world: &World) {
    if world.is_postgres() {
        world.by_hand("SELECT kiban_make_audit_months(201811, 201811)").await;
    }
    let log = world.store.audit();
    for entry in [
        look("2018-11-01", "a1"),
        list("2018-11-02", "a2"),
        look("2018-11-30", "a3"),
        look("2018-12-01", "b1"),
        look("2018-12-02", "b2"),
        look("2021-11-10", "c1"),
        look("2026-11-01", "d1"),
    ] {
        log.append(entry).await.unwrap();
    }
    log.anchor_now().await.unwrap();
}

async fn requests(world: &World) -> Vec<String> {
    let log = world.store.audit();
    let entries = log.about_person(insurer().as_str(), hanako().insured.as_str(), 100, None).await.unwrap();
    entries.into_iter().map(|entry| entry.request_id).collect()
}

#[tokio::test]
async fn a_month_whose_time_is_over_goes_whole_and_the_log_stays_provable() {
    on_each_engine(async |world| {
        old_entries(&world).await;
        let november = PurgedMonth { month: month("2018-11"), entries: 3 };

        let plan = world.store.purge_audit(month("2018-12"), 0, at(0), None).await.unwrap();
        assert_eq!(plan, [november]);
        assert_eq!(requests(&world).await.len(), 7, "a dry run deletes nothing");

        let done = world.store.purge_audit(month("2018-12"), 0, at(0), Some(&approval())).await.unwrap();
        assert_eq!(done, [november]);
        assert_eq!(requests(&world).await, ["d1", "c1", "b2", "b1"]);
        assert_eq!(world.ask("SELECT count(*) FROM audit_seen").await, 0);
        if world.is_postgres() {
            assert_eq!(world.ask("SELECT count(to_regclass('audit_201811'))").await, 0, "dropped whole");
        }
        let report = world.store.audit().verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.purged, report.purged_months), (3, vec![month("2018-11")]));
        let told = "SELECT count(*) FROM audit WHERE action = 'audit.purge' AND natural_key = '2018-11' \
                    AND staff = 'operator/chief'";
        assert_eq!(world.ask(told).await, 1);

        world.store.clone().close().await.unwrap();
        let again = open(&world.address, world.folder.path()).await.unwrap();
        assert!(again.purge_audit(month("2018-12"), 0, at(0), None).await.unwrap().is_empty());
        assert!(again.audit().verify().await.unwrap().is_intact());
        again.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn nothing_that_must_be_kept_is_deleted() {
    on_each_engine(async |world| {
        old_entries(&world).await;
        assert_eq!(first_month_kept(at(0), 0), month("2021-11"));
        assert_eq!(first_month_kept(at(0), 7), month("2019-11"));
        for (before, years) in [("2021-12", 0), ("2021-12", 5), ("2019-12", 7)] {
            let refused = world.store.purge_audit(month(before), years, at(0), Some(&approval())).await;
            assert!(matches!(refused, Err(StoreError::Unsafe(_))), "{refused:?}");
        }
        assert_eq!(requests(&world).await.len(), 7);
        let plan = world.store.purge_audit(month("2021-11"), 5, at(0), None).await.unwrap();
        assert_eq!(plan.iter().map(|month| month.entries).collect::<Vec<_>>(), [3, 2]);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_hides_nothing_but_what_it_names() {
    on_each_engine(async |world| {
        old_entries(&world).await;
        world.store.purge_audit(month("2018-12"), 0, at(0), Some(&approval())).await.unwrap();
        let verify = async || world.store.audit().verify().await.unwrap();

        assert_eq!(world.by_hand("DELETE FROM audit WHERE request_id = 'b1'").await, 1);
        let report = verify().await;
        assert_eq!((report.differences, report.purged), (1, 3), "{report:?}");
        assert_eq!((report.findings[0].n, report.findings[0].what.as_str()), (Some(3), "missing"));
        let refused = world.store.purge_audit(month("2019-01"), 0, at(0), Some(&approval())).await;
        assert!(matches!(refused, Err(StoreError::Unsafe(_))), "an altered log is evidence: {refused:?}");

        assert_eq!(world.by_hand("UPDATE audit_purge SET entries = entries + 1").await, 1);
        let report = verify().await;
        assert_eq!((report.differences, report.purged), (5, 0), "{report:?}");
        assert!(report.findings[0].what.contains("2018-11 is not signed"), "{report:?}");
    })
    .await;
}

#[tokio::test]
async fn postgresql_has_three_months_ahead_and_lets_no_young_one_go() {
    on_each_engine(async |world| {
        if !world.is_postgres() {
            return;
        }
        for month in [202_611, 202_612, 202_701, 202_702] {
            let there = format!("SELECT count(to_regclass('audit_{month}')) + count(to_regclass('audit_seen_{month}'))");
            assert_eq!(world.ask(&there).await, 2, "{month}");
        }
        let log = world.store.audit();
        log.append(look("2026-11-20", "now")).await.unwrap();
        log.append(list("2026-11-20", "list")).await.unwrap();
        assert_eq!(world.ask("SELECT count(*) FROM audit_202611").await, 2);
        assert_eq!(world.ask("SELECT count(*) FROM audit_seen_202611").await, 1);
        // Came before its month was made: moved there when it is.
        log.append(look("2027-08-01", "early")).await.unwrap();
        assert_eq!(world.ask("SELECT count(*) FROM audit_rest").await, 1);
        world.by_hand("SELECT kiban_make_audit_months(202708, 202708)").await;
        assert_eq!(world.ask("SELECT count(*) FROM audit_rest").await, 0);
        assert_eq!(world.ask("SELECT count(*) FROM audit_202708").await, 1);
        let drop = "DO $$ BEGIN PERFORM kiban_drop_audit_month(202611); ASSERT false; EXCEPTION WHEN raise_exception THEN NULL; END $$";
        world.by_hand(drop).await;
        assert_eq!(world.ask("SELECT count(*) FROM audit_202611").await, 2);
        log.anchor_now().await.unwrap();
        assert!(log.verify().await.unwrap().is_intact());
    })
    .await;
}

fn later() -> Timestamp {
    "2027-02-05T03:00:00Z".parse().unwrap()
}

/// 花子 and 太郎 are insured, and looked at until winter; November, December and January are over and signed.
async fn signed_months(world: &World) -> PersonLog {
    let number = world.open_receipt("r1").await;
    world.put_person(number, &known_hanako()).await;
    world.put_person(number, &insured(taro(), "架空 太郎", "カクウ タロウ")).await;
    world.apply(number).await;
    let log = world.store.audit();
    let of_taro = Entry { insured: Some(taro().insured.as_str().to_owned()), ..look("2026-11-27", "t1") };
    for entry in [
        look("2026-11-25", "n1"),
        list("2026-11-26", "n2"),
        of_taro,
        look("2026-12-01", "d1"),
        look("2027-02-03", "f1"),
    ] {
        log.append(entry).await.unwrap();
    }
    assert_eq!(log.sign_months(later()).await.unwrap(), 0, "not before everything is sealed");
    log.anchor_now().await.unwrap();
    assert_eq!(log.sign_months(later()).await.unwrap(), 3);
    log.anchor_now().await.unwrap();
    assert_eq!(log.sign_months(later()).await.unwrap(), 0, "once");
    let list = log.person_log(insurer().as_str(), hanako().insured.as_str()).await.unwrap();
    log.release(list, entry()).await.unwrap()
}

#[tokio::test]
async fn a_person_sees_offline_that_nothing_is_missing_from_the_own_list() {
    on_each_engine(async |world| {
        let list = signed_months(&world).await;
        let key = world.store.audit().public_key();
        let list: PersonLog = serde_json::from_str(&serde_json::to_string(&list).unwrap()).unwrap();
        let months = [(month("2026-11"), 2), (month("2026-12"), 1), (month("2027-01"), 0)];
        assert_eq!(verify_person(&list, &key).unwrap(), months);
        assert_eq!(list.months[0].field(0, "request_id"), Some(&Value::Text("n1".to_owned())));
        assert_eq!(list.months[0].field(1, "action"), Some(&Value::Text("list".to_owned())));
        assert!(!serde_json::to_string(&list).unwrap().contains(taro().insured.as_str()));

        let mut withheld = list.clone();
        withheld.withhold_offices();
        assert_eq!(verify_person(&withheld, &key).unwrap(), months);
        assert!(!serde_json::to_string(&withheld).unwrap().contains(office().as_str()));
    })
    .await;
}

#[tokio::test]
async fn a_list_with_one_look_less_or_another_is_refused() {
    on_each_engine(async |world| {
        let list = signed_months(&world).await;
        let key = world.store.audit().public_key();
        let november = PersonRefused::Entries(month("2026-11"));
        let refused = |change: &dyn Fn(&mut PersonLog)| {
            let mut changed = list.clone();
            change(&mut changed);
            verify_person(&changed, &key).unwrap_err()
        };
        for n in [0, 1] {
            assert_eq!(refused(&|list| drop(list.months[0].entries.remove(n))), november);
        }
        assert_eq!(refused(&|list| list.months[0].entries.swap(0, 1)), november);
        assert_eq!(refused(&|changed| changed.months[0].entries.push(list.months[1].entries[0].clone())), november);
        let other_office = |list: &mut PersonLog| {
            let ShownGroup::Shown { fields, .. } = &mut list.months[0].entries[0][2] else { panic!("withheld") };
            fields[0].1 = Value::Text(other_office().as_str().to_owned());
        };
        assert_eq!(refused(&other_office), november);
        assert_eq!(refused(&|list| list.insured = taro().insured.as_str().to_owned()), november);
        assert_eq!(refused(&|list| list.months[0].month = month("2026-10")), PersonRefused::Entries(month("2026-10")));
        assert_eq!(refused(&|list| drop(list.months.remove(1))), PersonRefused::MonthMissing(month("2026-12")));
        assert_eq!(refused(&|list| list.months.clear()), PersonRefused::Empty);
        assert_eq!(verify_person(&list, &[7; 32]), Err(PersonRefused::Signature(month("2026-11"))));
    })
    .await;
}

#[tokio::test]
async fn a_tree_that_leaves_a_look_out_is_found_by_the_verification() {
    on_each_engine(async |world| {
        signed_months(&world).await;
        let log = world.store.audit();
        log.anchor_now().await.unwrap();
        let report = log.verify().await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!(report.trees, 3);

        let found = async || {
            let report = log.verify().await.unwrap();
            report.findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        world.by_hand("DELETE FROM audit_seen").await;
        let wrong = "tree of 2026-11 of insurer 435073 differs from the entries of 1 people".to_owned();
        assert!(found().await.contains(&wrong), "{:?}", found().await);
        world.by_hand("UPDATE audit_month SET n = n + 1 WHERE month = 202612").await;
        let unsigned = "tree of 2026-12 of insurer 435073 is not the one that was signed".to_owned();
        assert!(found().await.contains(&unsigned), "{:?}", found().await);
    })
    .await;
}
