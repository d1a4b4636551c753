//! Catching up: how an endpoint works off its backlog once the link or its receiver is back, and at
//! a start.
//!
//! The backlog is everything that waits when it begins, in the stream, for a retry, or with a
//! batch. Its attempts keep to the endpoint's `catch_up.rate` and to the daemon's own (see `pace`);
//! what comes in later does not count, so catching up ends even where more comes in than the rates
//! allow. `newest` and `latest` read the backlog backward: what has been read is attempted the
//! newest first, and nothing that waits for a retry goes before what is newer and not read yet.
//! `latest` keeps the newest event of each key; see `latest`.
//!
//! None of this has to be remembered: what waits says itself what the backlog is, and a restart
//! begins over it anew.

use crate::model::{CatchUpMode, EndpointId, Now, Seq};
use crate::queue::{Draft, Queue};
use crate::record::Record;

impl Queue {
    /// What waits at this endpoint is a backlog from now on, and is worked off as the endpoint
    /// wants it.
    pub(in crate::queue) fn catch_up(&mut self, id: EndpointId) {
        let next_seq = self.state.next_seq;
        let endpoint = self.state.endpoint_mut(id);
        endpoint.catch_up(next_seq);
        if endpoint.undone > 0 {
            self.mark_sooner(id);
        }
        self.wake(id);
    }

    /// A backlog was found at the start. Consumers of a leased endpoint come when they want;
    /// nothing was out of reach.
    pub(in crate::queue) fn catch_up_at_start(&mut self, id: EndpointId, now: Now) {
        let endpoint = self.state.endpoint(id);
        let oldest_first = endpoint.catch_up_mode() == CatchUpMode::Oldest;
        let has_pace = endpoint.settings.catch_up.rate.is_some();
        let consumers_come = endpoint.settings.is_leased() && oldest_first && !has_pace;
        if endpoint.undone == 0 || endpoint.hold.is_some() || consumers_come {
            return;
        }

        self.catch_up(id);
        self.state.endpoint_mut(id).pace_backlog_after_start(now);
    }

    /// What `latest` keeps the latest of is known by now for these.
    pub(in crate::queue) fn learn_keys(
        &mut self,
        id: EndpointId,
        keys: Vec<(Seq, u64)>,
        draft: &mut Draft,
    ) {
        if keys.is_empty() {
            return;
        }

        self.remember(Record::KeysLearned { endpoint: id, keys: keys.clone() }, draft);
        let endpoint = self.state.endpoint_mut(id);
        keys.into_iter().for_each(|(delivery, key)| endpoint.learn_lane(key, delivery));
    }
}
