//! Limits of an hour in a disaster, and of a day at 本人確認, when many ask at the same moment, on every engine.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::assignment::DisasterMode;
use kiban_domain::dates::{self, Period};
use kiban_domain::office::{JobType, StaffId};
use kiban_domain::{InsuredNumber, Kind};
use kiban_service::{Caller, Config, DisasterQuery, Error, Platform};
use kiban_sim::Role;
use kiban_store::{Entry, Outcome};
use support::{World, addresses, asked, context, items, now};
use tokio::task::JoinSet;

/// A mode for the whole city in which the office may search.
async fn open_mode(world: &World, office: &Caller) {
    let today = dates::day_in_japan(now());
    let proposed = DisasterMode {
        id: "mode-1".into(),
        event: "架空水害".into(),
        areas: vec![world.city.insurer],
        classes: vec![],
        offices: vec![office.organization.office().unwrap()],
        hosts: vec![],
        without_consent: false,
        period: Period::new(today, Some(today)).unwrap(),
        opened_by: (StaffId("operator/1".into()), StaffId(String::new())),
        proposed_over: "a".repeat(64),
        closed_at: None,
    };
    let mut approved = proposed.clone();
    approved.opened_by.1 = StaffId("operator/2".into());
    for mode in [proposed, approved] {
        let mut tx = world.platform.store().begin().await.unwrap();
        tx.put_disaster(&mode).await.unwrap();
        tx.commit(Entry::new(now(), "request", "test", "test", Outcome::Done)).await.unwrap();
    }
}

fn query(world: &World) -> DisasterQuery {
    let insured = &world.cast.consenting.insured;
    DisasterQuery {
        reason: "避難所で確かめるため".into(),
        insurer: Some(insured.card_insurer),
        name: None,
        kana: Some(insured.identity.kana.clone()),
        birth: Some(insured.identity.birth),
        sex: None,
        address: None,
    }
}

/// One process, or two where the database is a server.
async fn processes(world: &World, on_server: bool, config: &Config) -> Vec<Platform> {
    let mut all = Vec::new();
    for _ in 0..=usize::from(on_server) {
        all.push(world.another(config.clone()).await);
    }
    all
}

/// How many were allowed; everybody else was told of the limit.
fn allowed<T: std::fmt::Debug>(answers: Vec<Result<T, Error>>) -> usize {
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::Quota(..)))).count();
    let allowed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(allowed + refused, answers.len(), "{answers:?}");
    allowed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_of_searches_and_views_at_once_passes_the_limit_of_the_hour() {
    for address in addresses().await {
        let on_server = address.is_some();
        let world = World::loaded(address).await;
        world.start().await;
        let helper = world.office(Role::HomeHelp, JobType::CareWorker).await;
        open_mode(&world, &helper).await;
        // Blocks of two and of one.
        let config = Config { disaster_searches: 40, disaster_views: 20, ..Config::default() };
        let processes = processes(&world, on_server, &config).await;

        let mut searches = JoinSet::new();
        for n in 0..70 {
            let (platform, helper, query) = (processes[n % processes.len()].clone(), helper.clone(), query(&world));
            searches.spawn(async move { platform.search_disaster(&helper, asked(query), &context()).await });
        }
        let searched = allowed(searches.join_all().await);
        assert!((40 - (processes.len() - 1)..=40).contains(&searched), "{searched} of 40");

        let handle = processes[0].handle_of(&helper, world.cast.consenting.insured.key).await.unwrap();
        let mut views = JoinSet::new();
        for n in 0..40 {
            let (platform, helper, handle) = (processes[n % processes.len()].clone(), helper.clone(), handle.clone());
            let view = async move {
                platform.view_kind(&helper, &handle, Kind::A3a, asked(None), &context()).await.map(|view| view.kind)
            };
            views.spawn(view);
        }
        assert_eq!(allowed(views.join_all().await), 20);

        // A process that starts anew gives nobody a new hour.
        let late = world.another(config).await;
        let again = late.search_disaster(&helper, asked(query(&world)), &context()).await;
        assert!(matches!(again, Err(Error::Quota(..))), "{again:?}");
        assert!(world.platform.store().audit().verify().await.unwrap().is_intact());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_that_mistypes_to_its_limit_at_once_is_locked_and_what_fits_counts_to_nothing() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let guesser = world.office(Role::HomeHelp, JobType::CareWorker).await;
        let platform = world.another(Config { mismatches_per_office: 12, ..Config::default() }).await;
        for _ in 0..15 {
            let right = items(&world.cast.consenting, false);
            platform.register_office(&guesser, asked(right), &context()).await.unwrap();
        }
        let mut guesses = JoinSet::new();
        for n in 0..30u32 {
            let (platform, guesser) = (platform.clone(), guesser.clone());
            let mut guess = items(&world.cast.consenting, false);
            guess.insured = InsuredNumber::parse(&format!("77{n:08}")).unwrap();
            // Another identity each time: only the office has so many.
            guess.birth = guess.birth.checked_add(jiff::Span::new().days(i64::from(n) + 1)).unwrap();
            guesses.spawn(async move { platform.register_office(&guesser, asked(guess), &context()).await });
        }
        let answers = guesses.join_all().await;
        let judged = answers.iter().filter(|answer| matches!(answer, Err(Error::NotMatched))).count();
        assert_eq!(judged, 12, "{answers:?}");
        let right = platform.register_office(&guesser, asked(items(&world.cast.consenting, false)), &context()).await;
        assert!(matches!(right, Err(Error::TooMany(_))), "{right:?}");
    }
}
