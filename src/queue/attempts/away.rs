//! Endpoints that are away: the link is down for them. See `link`.

use crate::model::{AttemptFault, AttemptReport, EndpointId, Now, Outcome};
use crate::queue::link::{LinkChange, LinkEvidence};
use crate::queue::{Draft, Queue};
use crate::record::Record;

impl Queue {
    /// Learns from an attempt about the link. Returns whether the link is to blame, so that the
    /// attempt does not count.
    pub(in crate::queue) fn classify_link(
        &mut self,
        id: EndpointId,
        report: &AttemptReport,
        now: Now,
        draft: &mut Draft,
    ) -> bool {
        if report.fault == Some(AttemptFault::NotTaken) {
            return true;
        }
        // An attempt that was refused before it was sent is not evidence.
        if report.outcome == Outcome::Refused {
            return false;
        }

        let locality = self.state.endpoint(id).locality();
        let evidence = LinkEvidence::by(report, now.mono_ms);
        let mut affected = vec![id];
        match self.link.learn(id, locality, evidence, now.mono_ms) {
            LinkChange::None => {}
            LinkChange::WentOffline => {
                self.notify_offline(now, draft);
                affected = self.link.away.iter().copied().collect();
            }
            LinkChange::CameBack => self.mark_all_back(now, draft),
        }

        let to_blame = report.fault.is_some() && self.link.keeps_back(id);
        if self.link.offline.is_some() {
            for id in affected {
                if self.link.keeps_back(id) && !self.state.endpoint(id).is_away() {
                    self.mark_away(id, now, draft);
                }
            }

            // It has answered, while the link is still down for others.
            if !self.link.keeps_back(id) && self.state.endpoint(id).is_away() {
                self.mark_back(id, now, draft);
            }
        }
        to_blame
    }

    /// The link is down for an endpoint: its deliveries grow no older.
    fn mark_away(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let record = Record::EndpointAway { endpoint: id, at: now.wall_ms, ran_ms: self.ran_ms };
        self.remember(record, draft);
        self.state.endpoint_mut(id).link_went_down(now.mono_ms);
    }

    /// The link is back for an endpoint: it catches up with what waited.
    fn mark_back(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let record = Record::EndpointBack { endpoint: id, at: now.wall_ms, ran_ms: self.ran_ms };
        self.remember(record, draft);
        self.state.endpoint_mut(id).link_came_back(now.mono_ms);
        self.catch_up(id);
    }

    /// The link is back for all endpoints.
    pub(in crate::queue) fn mark_all_back(&mut self, now: Now, draft: &mut Draft) {
        self.notify_online(now, draft);
        let away = self.state.living().filter(|endpoint| endpoint.is_away());
        let back: Vec<EndpointId> = away.map(|endpoint| endpoint.settings.id).collect();
        back.into_iter().for_each(|id| self.mark_back(id, now, draft));
    }
}
