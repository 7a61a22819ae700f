//! A value made of a key, once, and not made again until the key changes.

/// Holds the newest value and what it was made of, and what is being made.
#[derive(Debug)]
pub struct Memo<K, V> {
    made: Option<(K, V)>,
    under_way: Option<K>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { made: None, under_way: None }
    }
}

impl<K: PartialEq + Clone, V> Memo<K, V> {
    /// The newest value, whatever it was made of.
    pub fn get(&self) -> Option<&V> {
        self.made.as_ref().map(|(_, value)| value)
    }

    /// What the newest value was made of.
    pub fn key(&self) -> Option<&K> {
        self.made.as_ref().map(|(key, _)| key)
    }

    /// Makes the value here and now, unless it is there.
    pub fn make(&mut self, key: K, make: impl FnOnce(&K) -> V) {
        if self.key() != Some(&key) {
            let value = make(&key);
            self.made = Some((key, value));
        }
        self.under_way = None;
    }

    /// Has the value made elsewhere, unless it is there or on its way; [`Self::fill`] brings it.
    pub fn request(&mut self, key: K, start: impl FnOnce(K)) {
        if self.key() == Some(&key) {
            self.under_way = None;
        } else if self.under_way.as_ref() != Some(&key) {
            self.under_way = Some(key.clone());
            start(key);
        }
    }

    /// Takes a value made elsewhere; one that nobody waits for any more is dropped.
    pub fn fill(&mut self, key: K, value: V) {
        if self.under_way.as_ref() == Some(&key) {
            self.under_way = None;
            self.made = Some((key, value));
        }
    }

    /// Is this the value that is on its way?
    pub fn waits_for(&self, key: &K) -> bool {
        self.under_way.as_ref() == Some(key)
    }

    /// Is a value on its way?
    pub fn is_waiting(&self) -> bool {
        self.under_way.is_some()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_for_a_key() {
        let mut memo = Memo::default();
        let mut made = 0;
        for key in [1, 1, 2, 2, 1] {
            memo.make(key, |key| {
                made += 1;
                key * 10
            });
            assert_eq!(memo.get(), Some(&(key * 10)));
        }
        assert_eq!(made, 3);
    }

    #[test]
    fn what_comes_from_elsewhere_replaces_only_what_was_asked_for_last() {
        let mut memo = Memo::default();
        let mut started = Vec::new();
        for key in ["a", "a", "b"] {
            memo.request(key, |key| started.push(key));
        }
        assert_eq!(started, ["a", "b"]);
        memo.fill("a", 1);
        assert_eq!((memo.get(), memo.is_waiting()), (None, true));
        memo.fill("b", 2);
        assert_eq!((memo.get(), memo.key(), memo.is_waiting()), (Some(&2), Some(&"b"), false));
        // Back to what is there while something else is on its way.
        memo.request("c", |_| ());
        memo.request("b", |_| panic!("it is there"));
        memo.fill("c", 3);
        assert_eq!(memo.get(), Some(&2));
    }
}
