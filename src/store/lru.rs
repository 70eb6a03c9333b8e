//! A map that holds at most so many bytes and forgets first what was not asked for longest.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, each with the bytes that it counts for.
#[derive(Debug)]
pub struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys in the order in which they were last used.
    order: BTreeMap<u64, K>,
    tick: u64,
    bytes: usize,
    bound: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Lru<K, V> {
    /// An empty map of at most `bound` bytes.
    pub fn new(bound: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), tick: 0, bytes: 0, bound }
    }

    /// The value of `key`, which counts as used now.
    pub fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.used);
        self.tick += 1;
        entry.used = self.tick;
        self.order.insert(self.tick, key.clone());
        Some(entry.value.clone())
    }

    /// Keeps a value, and forgets others until it fits. One that is larger than the whole bound is not kept.
    pub fn put(&mut self, key: K, value: V, bytes: usize) {
        self.remove(&key);
        if bytes > self.bound {
            return;
        }
        while self.bytes + bytes > self.bound {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
        self.tick += 1;
        self.bytes += bytes;
        self.order.insert(self.tick, key.clone());
        self.entries.insert(key, Entry { value, bytes, used: self.tick });
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets a value.
    pub fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first_and_the_bound_holds() {
        let mut lru = Lru::new(10);
        lru.put("a", 1, 4);
        lru.put("b", 2, 4);
        assert_eq!(lru.get(&"a"), Some(1));
        lru.put("c", 3, 4);
        assert_eq!([lru.get(&"a"), lru.get(&"b"), lru.get(&"c")], [Some(1), None, Some(3)]);
        lru.put("d", 4, 11);
        assert_eq!((lru.get(&"d"), lru.bytes()), (None, 8));
        lru.put("a", 5, 6);
        assert_eq!((lru.get(&"a"), lru.get(&"c"), lru.bytes()), (Some(5), Some(3), 10));
    }
}
