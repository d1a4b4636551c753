//! The beginning of a log, of a run, and of an endpoint.

use super::action::{Action, Maintenance};
use super::decision::{Decision, Draft};
use super::engine::Queue;
use crate::model::{EndpointId, Now};
use crate::record::Record;

impl Queue {
    /// The first record of a new log.
    pub fn begin(&mut self, now: Now, version: &str) -> Decision {
        let mut draft = Draft::default();
        let salt = self.draw();
        self.remember(
            Record::LogStarted { at: now.wall_ms, version: version.to_owned(), salt },
            &mut draft,
        );
        draft.actions.push(Action::Maintain(Maintenance::Publish));
        draft.decided(Ok(()))
    }

    /// At a start: endpoints that waited for the link go on doing so until it answers, and what
    /// waits is a backlog.
    pub(super) fn start_endpoints(&mut self, now: Now) {
        let ids: Vec<EndpointId> = self.state.living().map(|e| e.settings.id).collect();
        for id in ids {
            self.matcher.set(&self.state.endpoint(id).settings);
            self.start_endpoint(id, now);

            let endpoint = self.state.endpoint_mut(id);
            if endpoint.age_pauses.away {
                endpoint.link_went_down(now.mono_ms);
                self.link.restore(id, now.mono_ms);
            }
            self.catch_up_at_start(id, now);
        }
    }

    /// An endpoint begins to work.
    pub(super) fn start_endpoint(&mut self, id: EndpointId, now: Now) {
        self.state.endpoint_mut(id).start(now, &self.prefetch_memory);
        self.wake(id);
    }

    /// The settings of an endpoint that works already have changed.
    pub(super) fn endpoint_changed(&mut self, id: EndpointId) {
        self.state.endpoint_mut(id).settings_changed();
        self.wake(id);
    }
}
