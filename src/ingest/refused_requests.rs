//! The last requests that sources refused for their proof, where the operator wants them kept
//! (`--keep-refused`): in memory alone, with credentials in URL and headers struck out as those of
//! events are, and with bodies as they came.
//!
//! They are kept by the source's number, which nobody else ever gets: a request that is being
//! checked while its source is deleted is not shown with a later source of the same name.
//!
//! Limits: `limits::REFUSED_KEPT` of one source and an eighth of `limits::REFUSED_BYTES`; of all
//! together that many bytes, for which the source gives way that has the most.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::model::{Header, Source, SourceId, WallMs, limits};

/// Bytes that one source's may take.
const OF_ONE: usize = limits::REFUSED_BYTES / 8;

/// A request that was refused for its proof.
#[derive(Clone, Debug)]
pub struct KeptRefusal {
    /// Counts the refused requests that were kept, of all sources.
    pub number: u64,
    pub at: WallMs,
    pub kind: &'static str,
    pub reason: String,
    pub remote: String,
    pub method: String,
    /// With `…` in the place of secrets.
    pub url: String,
    /// Those that an event would have, credentials without their values.
    pub headers: Vec<Header>,
    /// Bytes of the whole body.
    pub size: usize,
    /// Its beginning, at most `limits::REFUSED_BODY`.
    pub body: Bytes,
}

impl KeptRefusal {
    fn cost(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| h.name.len() + h.value.len() + 64).sum();
        let texts = self.reason.len() + self.remote.len() + self.method.len() + self.url.len();
        self.body.len() + headers + texts + 256
    }
}

/// What is kept of one source, the newest last.
#[derive(Debug, Default)]
struct OfSource {
    kept: VecDeque<KeptRefusal>,
    bytes: usize,
}

impl OfSource {
    fn drop_oldest(&mut self) -> usize {
        let cost = self.kept.pop_front().map_or(0, |oldest| oldest.cost());
        self.bytes -= cost;
        cost
    }
}

#[derive(Debug, Default)]
struct AllKept {
    by_source: BTreeMap<SourceId, OfSource>,
    bytes: usize,
    numbered: u64,
}

/// What was refused, by source.
#[derive(Debug, Default)]
pub struct RefusedRequests {
    all: Mutex<AllKept>,
}

impl RefusedRequests {
    /// Keeps one more of this source, in the place of the oldest where there are too many.
    pub(super) fn keep(&self, source: &Source, mut refused: KeptRefusal) {
        let most = source.keep_refused.min(limits::REFUSED_KEPT) as usize;
        let cost = refused.cost();
        if most == 0 || cost > OF_ONE {
            return;
        }

        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.numbered += 1;
        refused.number = all.numbered;
        let own = all.by_source.entry(source.id).or_default();
        let mut freed = 0;
        while own.kept.len() >= most || own.bytes + cost > OF_ONE {
            freed += own.drop_oldest();
        }
        own.kept.push_back(refused);
        own.bytes += cost;

        all.bytes = all.bytes + cost - freed;
        while all.bytes > limits::REFUSED_BYTES {
            let largest = all.by_source.values_mut().max_by_key(|of| of.bytes);
            let freed = largest.map_or(0, OfSource::drop_oldest);
            all.bytes -= freed.max(1);
        }
    }

    /// Those of a source, the newest first.
    #[must_use]
    pub fn of(&self, source: SourceId) -> Vec<KeptRefusal> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.by_source.get(&source).map(|of| of.kept.iter().rev().cloned().collect());
        kept.unwrap_or_default()
    }

    /// Keeps those of these sources.
    pub(super) fn retain(&self, is_there: impl Fn(SourceId) -> bool) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.by_source.retain(|id, _| is_there(*id));
        all.bytes = all.by_source.values().map(|of| of.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{KeptRefusal, OF_ONE, RefusedRequests};
    use crate::model::{Source, SourceId, limits};

    fn refused(bytes: usize) -> KeptRefusal {
        KeptRefusal {
            number: 0,
            at: 0,
            kind: "mismatch",
            reason: String::new(),
            remote: String::new(),
            method: String::new(),
            url: String::new(),
            headers: Vec::new(),
            size: bytes,
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }

    fn source(id: SourceId, keep_refused: u32) -> Source {
        Source { id, keep_refused, ..Source::new("app", "github") }
    }

    #[test]
    fn the_newest_are_kept_and_only_where_it_is_asked_for() {
        let (off, on) = (1, 2);
        let kept = RefusedRequests::default();
        kept.keep(&source(off, 0), refused(1));
        for bytes in 1..=5 {
            kept.keep(&source(on, 3), refused(bytes));
        }
        assert!(kept.of(off).is_empty());
        let sizes: Vec<usize> = kept.of(on).iter().map(|one| one.size).collect();
        assert_eq!(sizes, [5, 4, 3]);
        assert_eq!(kept.of(on)[0].number, 5);

        kept.retain(|id| id != on);
        assert!(kept.of(on).is_empty());
    }

    #[test]
    fn a_request_under_way_while_its_source_is_made_anew_is_not_the_new_ones() {
        let (deleted, made_anew) = (source(1, 3), source(2, 3));
        let kept = RefusedRequests::default();
        kept.retain(|id| id == made_anew.id);
        kept.keep(&deleted, refused(1));
        assert!(kept.of(made_anew.id).is_empty(), "they have the same name");

        kept.keep(&made_anew, refused(2));
        kept.retain(|id| id == made_anew.id);
        assert_eq!((kept.of(deleted.id).len(), kept.of(made_anew.id).len()), (0, 1));
    }

    #[test]
    fn one_source_and_all_together_take_no_more_than_their_bytes() {
        let kept = RefusedRequests::default();
        kept.keep(&source(100, 20), refused(OF_ONE));
        assert!(kept.of(100).is_empty(), "larger than the share of one");

        for n in 0..400 {
            kept.keep(&source(n % 40, 20), refused(limits::REFUSED_BODY));
        }
        let bytes = |id| kept.of(id).iter().map(|one| one.cost()).sum::<usize>();
        let each: Vec<usize> = (0..40).map(bytes).collect();
        assert!(each.iter().all(|bytes| *bytes <= OF_ONE), "{each:?}");
        let all: usize = each.iter().sum();
        assert!(all <= limits::REFUSED_BYTES && all > limits::REFUSED_BYTES / 2, "{all}");
    }
}
