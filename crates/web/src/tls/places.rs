//! How many connections one address or one certificate has open, or requests one certificate or organisation.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by key; a key without open connections takes no memory.
pub struct Places<K> {
    taken: Mutex<HashMap<K, usize>>,
}

/// One taken place; free again when dropped.
pub struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Places<K> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { taken: Mutex::new(HashMap::new()) })
    }

    /// A place for `key`, unless `limit` are taken.
    pub fn take(self: &Arc<Self>, key: K, limit: usize) -> Option<Place<K>> {
        let mut taken = self.lock();
        let count = taken.get(&key).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        Some(Place { places: Arc::clone(self), key })
    }
}

impl<K> Places<K> {
    /// The counts stay right even if a thread panicked while it held them: each change is one step.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        match taken.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.key);
            }
        }
    }
}
