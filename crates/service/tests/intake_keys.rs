//! The keys of an insurer change while its package is being applied: the rest goes under the new key, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::{Organization, PersonKey, Timestamp};
use kiban_service::{Received, Work};
use kiban_sim::{City, CitySpec, city_package};
use kiban_store::{AuditSettings, Cared, KeyLimits, MasterKey, SigningKey, Store};
use std::sync::Arc;
use support::{World, addresses, context, now};
use tokio::runtime::Handle;

fn later(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

/// The operator's process, so many seconds later, which removes a key as soon as nothing is under it.
async fn operator(world: &World, seconds: i64) -> Store {
    let folder = world.folder.path();
    let audit = AuditSettings {
        signing_key: SigningKey::load_or_create(&folder.join("anchor.key")).unwrap(),
        anchor_dir: folder.join("anchors"),
        clock: Arc::new(move || later(seconds)),
    };
    let limits = KeyLimits { grace_seconds: -1, ..KeyLimits::default() };
    Store::open_limited(&world.address, MasterKey::load(&folder.join("master.key")).unwrap(), audit, limits)
        .await
        .unwrap()
}

/// A package of some blocks that has arrived.
async fn arrived(world: &World, people: u32) -> Received {
    let city = City::generate(&CitySpec { people, ..world.city.spec.clone() });
    let offices: Vec<_> = city.offices.iter().map(|office| office.office.clone()).collect();
    world.platform.put_offices(&offices, true, &context()).await.unwrap();
    world.platform.refresh_standing(now()).await.unwrap();
    let mut upload = world.platform.begin_package_locally(world.city.insurer, &context()).await.unwrap();
    for (name, bytes) in city_package(&city).unwrap() {
        upload.file(&name).await.unwrap();
        upload.write(&bytes).await.unwrap();
    }
    upload.finish().await.unwrap()
}

/// New keys for values and for the search, and everything there is sealed anew.
async fn change_keys(operator: &Store, world: &World) -> Cared {
    let insurer = world.city.insurer;
    operator.rotate_data_key(insurer.as_str()).await.unwrap();
    operator.rotate_index_key(insurer).await.unwrap();
    operator.reindex(insurer, &mut |_| {}).await.unwrap();
    operator.reseal(insurer.as_str(), &mut |_| {}).await.unwrap()
}

/// Waits for something from within a callback, on a thread of its own.
fn at_once<T: Send>(wanted: impl Future<Output = T> + Send) -> T {
    let runtime = Handle::current();
    tokio::task::block_in_place(|| std::thread::scope(|scope| scope.spawn(|| runtime.block_on(wanted)).join().unwrap()))
}

/// Everybody and everything of the package is there and opens, for this process and for a new one.
async fn everything_opens(world: &World, received: &Received, operator: &Store) {
    let result = world.platform.package_so_far(received).await.unwrap();
    assert_eq!((result.state, result.report.counts.refused), ("applied", 0), "{:?}", result.report.problems.first());
    assert_eq!(result.report.counts.read, result.report.counts.applied);
    let new = self::operator(world, 0).await;
    for store in [world.platform.store(), operator, &new] {
        for person in &world.city.people {
            let key = person.insured.key;
            assert_eq!(store.person(key).await.unwrap().unwrap().1.identity.name, person.insured.identity.name);
            assert!(is_known(store, key).await);
            let keys = store.keys_of(key.insurer).await.unwrap();
            let identity = &person.insured.identity;
            let birth = identity.birth.strftime("%Y%m%d").to_string();
            let token = kiban_store::SearchTokens::kana_birth(&keys, &identity.kana, &birth);
            let found = store.find_by_token(key.insurer, &token).await.unwrap();
            assert_eq!(found.contains(&key.insured), !person.insured.withheld, "{}", key.insured);
        }
        let files = store.upload_files(world.city.insurer, &received.receipt).await.unwrap();
        for (number, file) in files.iter().enumerate() {
            for piece in 0..file.pieces {
                store.upload_piece(world.city.insurer, &received.receipt, (number as i32, piece)).await.unwrap();
            }
        }
    }
    // Nothing was left under an old key, and the old keys go.
    let cared = operator.reseal(world.city.insurer.as_str(), &mut |_| {}).await.unwrap();
    assert_eq!((cared.done, cared.kept), (0, 0), "{cared:?}");
    let cared = operator.reindex(world.city.insurer, &mut |_| {}).await.unwrap();
    assert_eq!((cared.done, cared.kept), (0, 0), "{cared:?}");
    for person in &world.city.people {
        assert!(operator.person(person.insured.key).await.unwrap().is_some());
    }
}

async fn is_known(store: &Store, person: PersonKey) -> bool {
    let facts = store.person_facts(person, Organization::Municipality(person.insurer), None, None).await;
    facts.unwrap().known
}

fn people(address: Option<&String>) -> u32 {
    if address.is_some() { 2_500 } else { 1_500 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_change_between_two_blocks_of_a_package_leave_nothing_under_the_old_ones() {
    for address in addresses().await {
        let people = people(address.as_ref());
        let world = World::new(address).await;
        let received = arrived(&world, people).await;
        let operator = operator(&world, 0).await;
        let mut changed = Vec::new();
        let mut progress = |done, all| {
            if changed.len() < 2 && done < all {
                // The next block is judged and sealed already, or is being sealed.
                let cared = at_once(change_keys(&operator, &world));
                changed.push(cared);
            }
        };
        let clock = now;
        let mut work = Work::new(&clock).heard_by(&mut progress);
        world.platform.close_package(&received, &mut work).await.unwrap();
        drop(work);
        assert!(!changed.is_empty());
        for cared in &changed {
            assert!(cared.done > 0 && cared.retired == 0 && cared.kept > 0, "no key goes meanwhile: {cared:?}");
        }
        everything_opens(&world, &received, &operator).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_gone_after_a_process_slept_past_its_lease_leave_the_package_to_the_next_one() {
    for address in addresses().await {
        let people = people(address.as_ref());
        let world = World::new(address).await;
        let received = arrived(&world, people).await;
        // A little more than the lease of a package lasts.
        let operator = operator(&world, 25).await;
        let mut changed = None;
        let mut progress = |done, all| {
            if changed.is_none() && done < all {
                let cared = at_once(change_keys(&operator, &world));
                changed = Some(cared);
            }
        };
        let clock = now;
        let mut work = Work::new(&clock).heard_by(&mut progress);
        assert!(world.platform.close_package(&received, &mut work).await.is_err(), "its lease is over");
        drop(work);
        let cared = changed.unwrap();
        assert!(cared.done > 0 && cared.retired == 1 && cared.kept == 0, "{cared:?}");
        let after = || later(120);
        world.platform.work_on_packages(&mut Work::new(&after)).await.unwrap();
        everything_opens(&world, &received, &operator).await;
    }
}
