//! Long passes over a municipality (exports, statistics) that run in this process: one of a kind for each municipality and
//! few in all, so that they never take the machine from those who look something up.

use kiban_domain::InsurerNumber;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Passes at the same time.
const MOST: usize = 4;

type Key = (&'static str, InsurerNumber);

/// What runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<BTreeMap<Key, Arc<Progress>>>>);

/// How far a pass is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// People done.
    pub(crate) done: AtomicU64,
    /// People in all, as counted when it began.
    pub(crate) total: AtomicU64,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    running: Running,
    key: Key,
    progress: Arc<Progress>,
}

impl Running {
    /// A place for a pass, unless the same one runs already or too many do.
    pub(crate) fn take(&self, what: &'static str, insurer: InsurerNumber) -> Option<Place> {
        let key = (what, insurer);
        let mut all = self.all();
        if all.len() >= MOST || all.contains_key(&key) {
            return None;
        }
        let progress = Arc::new(Progress::default());
        all.insert(key, Arc::clone(&progress));
        Some(Place { running: self.clone(), key, progress })
    }

    /// People done and in all, of a pass that runs.
    pub(crate) fn progress(&self, what: &'static str, insurer: InsurerNumber) -> Option<(u64, u64)> {
        let all = self.all();
        let progress = all.get(&(what, insurer))?;
        Some((progress.done.load(Ordering::Relaxed), progress.total.load(Ordering::Relaxed)))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes how many people there are.
    pub(crate) fn set_total(&self, people: u64) {
        self.progress.total.store(people, Ordering::Relaxed);
    }

    /// Notes that so many more people are done.
    pub(crate) fn add(&self, people: u64) {
        self.progress.done.fetch_add(people, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.all().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_of_a_kind_runs_for_a_city_and_its_place_is_free_again() {
        let (running, city) = (Running::default(), InsurerNumber::from_code5("99001").unwrap());
        let place = running.take("export", city).unwrap();
        place.set_total(10);
        place.add(3);
        assert!(running.take("export", city).is_none());
        assert!(running.take("statistics", city).is_some());
        assert_eq!(running.progress("export", city), Some((3, 10)));
        drop(place);
        assert_eq!(running.progress("export", city), None);
        assert!(running.take("export", city).is_some());
    }
}
