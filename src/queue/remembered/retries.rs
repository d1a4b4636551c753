//! The deliveries of an endpoint that wait for a retry, and how many of them each source has.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize, Serializer};

use super::waiting::Retrying;
use crate::model::{Seq, SourceId};

/// Deliveries that wait for a retry, by the records that made them. Written as these alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<Seq, Retrying>")]
pub struct Retries {
    by_delivery: BTreeMap<Seq, Retrying>,
    /// How many each source has; none has 0. Source 0 has those of which it is not known.
    of_sources: BTreeMap<SourceId, usize>,
}

impl Retries {
    /// This one waits from now on, in the place of what was known of it.
    pub fn insert(&mut self, delivery: Seq, waiting: Retrying) {
        let before = self.by_delivery.insert(delivery, waiting);
        if let Some(before) = before {
            self.forget(before.source);
        }
        *self.of_sources.entry(waiting.source).or_default() += 1;
    }

    pub fn remove(&mut self, delivery: &Seq) -> Option<Retrying> {
        let waiting = self.by_delivery.remove(delivery)?;
        self.forget(waiting.source);
        Some(waiting)
    }

    /// What is known of one, to change it; its source stays.
    pub fn get_mut(&mut self, delivery: &Seq) -> Option<&mut Retrying> {
        self.by_delivery.get_mut(delivery)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Retrying> {
        self.by_delivery.values_mut()
    }

    /// How many of this source's wait.
    #[must_use]
    pub fn of_source(&self, source: SourceId) -> usize {
        self.of_sources.get(&source).copied().unwrap_or(0)
    }

    fn forget(&mut self, source: SourceId) {
        if let Some(count) = self.of_sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.of_sources.remove(&source);
            }
        }
    }
}

impl Deref for Retries {
    type Target = BTreeMap<Seq, Retrying>;

    fn deref(&self) -> &Self::Target {
        &self.by_delivery
    }
}

impl Serialize for Retries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_delivery.serialize(serializer)
    }
}

impl From<BTreeMap<Seq, Retrying>> for Retries {
    fn from(by_delivery: BTreeMap<Seq, Retrying>) -> Self {
        let mut of_sources = BTreeMap::new();
        for waiting in by_delivery.values() {
            *of_sources.entry(waiting.source).or_default() += 1;
        }
        Self { by_delivery, of_sources }
    }
}

#[cfg(test)]
mod tests {
    use super::{Retries, Retrying};

    #[test]
    fn it_is_known_how_many_each_source_has() {
        let of = |source| Retrying { source, ..Retrying::due(1, 1, 0, 0) };
        let mut retries = Retries::default();
        for (delivery, source) in [(1, 7), (2, 7), (3, 8), (4, 8)] {
            retries.insert(delivery, of(source));
        }
        // It failed again; and of another one it is known by now whose it is.
        retries.insert(1, of(7));
        retries.insert(2, of(8));
        retries.remove(&4);

        let bytes = rmp_serde::to_vec_named(&retries).expect("writes");
        let read: Retries = rmp_serde::from_slice(&bytes).expect("reads");
        for retries in [&retries, &read] {
            assert_eq!([7, 8, 9].map(|source| retries.of_source(source)), [1, 2, 0]);
        }
        assert_eq!(read, retries);
    }
}
