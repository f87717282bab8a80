//! A map in parts: a copy shares every part, and a change copies only the part it falls into. So the map that requests hold
//! stays as it was, and the next one costs what changed, not what there is.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

/// With a million entries a change copies four thousand.
const PARTS: usize = 256;

/// The map.
#[derive(Debug, Clone)]
pub(super) struct Parts<K, V> {
    parts: Vec<Arc<HashMap<K, V>>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Parts<K, V> {
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[part_of(key)].get(key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| part.values())
    }

    /// Puts a value in, or takes it away; what was there before.
    pub(super) fn put(&mut self, key: K, value: Option<V>) -> Option<V> {
        let part = Arc::make_mut(&mut self.parts[part_of(&key)]);
        match value {
            Some(value) => part.insert(key, value),
            None => part.remove(&key),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone + Default> Parts<K, V> {
    /// Changes a value, an empty one where there is none.
    pub(super) fn change(&mut self, key: K, change: impl FnOnce(&mut V)) {
        change(Arc::make_mut(&mut self.parts[part_of(&key)]).entry(key).or_default());
    }
}

impl<K, V> Default for Parts<K, V> {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Arc::new(HashMap::new())).collect() }
    }
}

fn part_of(key: &(impl Hash + ?Sized)) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    (hash % PARTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was_and_shares_what_did_not_change() {
        let mut now = Parts::default();
        for key in 0..10_000 {
            now.put(key, Some(0));
        }
        let before = now.clone();
        assert_eq!((now.put(1, Some(1)), now.put(2, None), now.put(2, None)), (Some(0), Some(0), None));
        assert_eq!((now.get(&1), now.get(&2), now.values().count()), (Some(&1), None, 9_999));
        assert_eq!((before.get(&1), before.get(&2), before.values().count()), (Some(&0), Some(&0), 10_000));
        let shared = now.parts.iter().zip(&before.parts).filter(|(now, before)| Arc::ptr_eq(now, before)).count();
        assert!(shared >= PARTS - 2, "{shared} of {PARTS} parts are shared");
    }
}
