//! The start of a municipality: on a reconciled load, by those who may, undone with a reason, all of it on record
//! (P-131, P-150, P-220).

mod support;

use jiff::civil::date;
use kiban_domain::municipality::StartState;
use kiban_domain::office::JobType;
use kiban_domain::{Organization, dates};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Error, StartChange, StartFilter};
use kiban_sim::Role;
use support::{World, addresses, asked, context, items, now};

fn started() -> StartState {
    StartState::Started(dates::day_in_japan(now()))
}

fn change(start: StartState, reason: Option<&str>) -> StartChange {
    StartChange { start, reason: reason.map(str::to_owned) }
}

/// Item of a refusal that can be put right.
fn item(error: Error) -> String {
    match error {
        Error::Invalid(items) => items[0].item.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_city_starts_on_a_load_without_refused_rows_and_on_no_other() {
    for address in addresses().await {
        let world = World::new(address).await;
        let (platform, insurer) = (&world.platform, world.city.insurer);
        let officer = world.caller(Organization::Municipality(insurer), &world.city.officers[0]).await;
        let nothing =
            platform.change_start(&officer, insurer, asked(change(started(), Some("急ぐため"))), &context()).await;
        assert!(matches!(nothing, Err(Error::Conflict(text)) if text.contains("初期移行")));

        let result = world.import(kiban_sim::city_package(&world.city).unwrap()).await;
        assert_eq!((result.state, result.report.counts.refused), ("applied", 0));
        let tomorrow = StartState::Started(dates::day_in_japan(now()).tomorrow().unwrap());
        let early = platform.change_start(&officer, insurer, asked(change(tomorrow, None)), &context()).await;
        assert_eq!(item(early.unwrap_err()), "date");

        let view = platform.change_start(&officer, insurer, asked(change(started(), None)), &context()).await.unwrap();
        assert_eq!((view.start, view.needed), (started(), None));
        let on = view.reconciliation.unwrap();
        assert_eq!((on.receipt, on.refused, on.people), (result.receipt, 0, 60));
        assert_eq!(platform.store().start_of(insurer).await.unwrap(), started());
    }
}

#[tokio::test]
async fn refused_rows_are_acknowledged_with_a_reason_or_put_right_first() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let (platform, insurer, known) = (&world.platform, world.city.insurer, &world.cast.consenting);
        let stranger = kiban_domain::PersonKey {
            insured: kiban_domain::InsuredNumber::parse("9999999999").unwrap(),
            ..known.insured.key
        };
        let value = known.copayment.clone().unwrap();
        let entries = [Entry { key: stranger, history: 9, change: Change::New, value }];
        let at = now() + jiff::SignedDuration::from_secs(1);
        let result = world.import(MunicipalPackage::new(insurer, at).copayment_rates(&entries).finish().unwrap()).await;
        assert_eq!(result.report.counts.refused, 1);

        let officer = world.caller(Organization::Municipality(insurer), &world.city.officers[0]).await;
        let needed = platform.view_start(&officer, insurer, &context()).await.unwrap().needed.unwrap();
        assert!(needed.contains(&result.receipt) && needed.contains("1 件"), "{needed}");
        for reason in [None, Some("  ")] {
            let refused = platform.change_start(&officer, insurer, asked(change(started(), reason)), &context()).await;
            assert_eq!(item(refused.unwrap_err()), "reason");
        }
        let reason = Some("転出者の旧番号の行であることを確かめた");
        platform.change_start(&officer, insurer, asked(change(started(), reason)), &context()).await.unwrap();
        assert_eq!(platform.store().start_of(insurer).await.unwrap(), started());
    }
}

#[tokio::test]
async fn a_start_is_undone_only_with_a_reason_and_then_nobody_sees_anything() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let (platform, insurer) = (&world.platform, world.city.insurer);
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let person = items(&world.cast.consenting, true);
        let handle = platform.register_office(&manager, asked(person.clone()), &context()).await.unwrap().handle;

        let operator = world.caller(Organization::Operator, &world.city.operators[0]).await;
        let planned = StartState::Planned(date(2027, 4, 1));
        let without = platform.change_start(&operator, insurer, asked(change(planned, None)), &context()).await;
        assert_eq!(item(without.unwrap_err()), "reason");
        let undo = change(planned, Some("移行のやり直し"));
        platform.change_start(&operator, insurer, asked(undo), &context()).await.unwrap();

        // The four-item check, the page and the list say so with the day (P-150).
        for refused in [
            platform.register_office(&manager, asked(person), &context()).await.map(|_| ()).unwrap_err(),
            platform.view_person(&manager, &handle, &context()).await.map(|_| ()).unwrap_err(),
            platform
                .view_kind(&manager, &handle, kiban_domain::Kind::A3a, asked(None), &context())
                .await
                .map(|_| ())
                .unwrap_err(),
        ] {
            let Error::Refused(refusal) = refused else { panic!("{refused:?}") };
            assert_eq!((refusal.rule.code(), refusal.start), ("not_started", Some(planned)));
            assert!(refusal.reason.contains("未開始（令和9年4月1日 開始予定）"), "{}", refusal.reason);
        }
        let list = platform
            .list_people(&manager, asked(kiban_service::PeoplePage { after: None, limit: 10 }), &context())
            .await
            .unwrap();
        assert_eq!(list[0].not_started.as_deref(), Some("未開始（令和9年4月1日 開始予定）"));
        assert_eq!((&list[0].name, &list[0].care_level), (&None, &None));

        let log = platform.store().audit().of_organization("operator", 20, None).await.unwrap();
        let actions: Vec<&str> = log.iter().map(|entry| entry.action.as_str()).collect();
        assert!(actions.contains(&"insurer.start") && actions.contains(&"insurer.start.undo"), "{actions:?}");
    }
}

#[tokio::test]
async fn only_the_operator_and_the_city_itself_may_start_it() {
    let world = World::loaded(None).await;
    let (platform, insurer) = (&world.platform, world.city.insurer);
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let office = platform.change_start(&manager, insurer, asked(change(started(), None)), &context()).await;
    assert!(matches!(office, Err(Error::Unknown)));
    let officer = world.caller(Organization::Municipality(insurer), &world.city.officers[0]).await;
    let other = kiban_domain::InsurerNumber::from_code5("13101").unwrap();
    let city = platform.change_start(&officer, other, asked(change(StartState::Coordinating, None)), &context()).await;
    assert!(matches!(city, Err(Error::Unknown)));
    assert_eq!(platform.store().start_of(insurer).await.unwrap(), StartState::Coordinating);
}

#[tokio::test]
async fn the_public_list_is_complete_and_can_be_narrowed() {
    let world = World::loaded(None).await;
    world.start().await;
    let tokyo = kiban_domain::InsurerNumber::from_code5("13101").unwrap();
    world.platform.set_start(tokyo, StartState::Coordinating, "cli", &context()).await.unwrap();
    let list = async |prefecture: Option<&str>, state: Option<&str>| {
        let filter = StartFilter { prefecture: prefecture.map(str::to_owned), state: state.map(str::to_owned) };
        world.platform.starts(&filter).await
    };
    assert_eq!(list(None, None).await.unwrap().len(), 1_741 + 1);
    let of_tokyo = list(Some("13"), None).await.unwrap();
    assert_eq!((of_tokyo.len(), &of_tokyo), (62, &list(Some("東京都"), None).await.unwrap()));
    let coordinating = list(None, Some("調整中")).await.unwrap();
    assert_eq!(coordinating.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["千代田区"]);
    assert_eq!(list(Some("13"), Some("started")).await.unwrap(), []);
    assert_eq!(item(list(Some("東京"), None).await.unwrap_err()), "prefecture");
    assert_eq!(item(list(None, Some("始まった")).await.unwrap_err()), "state");
}

#[tokio::test]
async fn nothing_is_taken_of_an_insurer_that_nobody_has_opened_and_everything_once_somebody_did() {
    for address in addresses().await {
        let world = World::new(address).await;
        let (platform, insurer) = (&world.platform, world.city.insurer);
        platform.set_start(insurer, StartState::Undecided, "cli", &context()).await.unwrap();
        let officer = world.caller(Organization::Municipality(insurer), &world.city.officers[0]).await;
        let files = kiban_sim::city_package(&world.city).unwrap();
        let told = |error: Error| match error {
            Error::NotOpened(text) => text.contains("調整中") && text.contains("kiban operate start"),
            other => panic!("{other:?}"),
        };
        let local = platform.import_package_locally(insurer, files.clone(), &context(), &mut |_, _| {}).await;
        assert!(told(local.unwrap_err()));
        let sent = platform.import_package(&officer, files.clone(), &context()).await;
        assert!(told(sent.unwrap_err()));
        let tried = platform.dry_run_package(&officer, files.clone(), false, &context()).await;
        assert!(told(tried.unwrap_err()));
        let store = platform.store();
        assert_eq!(store.count_people(insurer).await.unwrap(), 0);
        assert!(store.newest_applied_package(insurer).await.unwrap().is_none());
        assert!(store.open_package(insurer).await.unwrap().is_none(), "no receipt was given");
        let log = store.audit().of_organization(&insurer.to_string(), 200, None).await.unwrap();
        let refused = log.iter().filter(|entry| entry.outcome == "refused").count();
        assert_eq!(refused, 3, "{log:?}");

        // The city opens itself; what it sends then is taken, and shared with nobody.
        let planned = StartState::Planned(date(2027, 4, 1));
        platform.change_start(&officer, insurer, asked(change(planned, None)), &context()).await.unwrap();
        let result = world.import(files).await;
        assert_eq!((result.state, result.repeated), ("applied", false));
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let early = platform.register_office(&manager, asked(items(&world.cast.consenting, true)), &context()).await;
        assert!(matches!(early, Err(Error::Refused(_))));
    }
}
