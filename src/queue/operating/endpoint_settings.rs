//! An endpoint gets settings, or is deleted: what is remembered of it, and what it does from then
//! on.

use std::sync::Arc;

use crate::model::{Endpoint, EndpointId, Now};
use crate::queue::action::{Action, Maintenance};
use crate::queue::decision::Refusal;
use crate::queue::settings::SettingsOwner;
use crate::queue::subscription::Subscription;
use crate::queue::{Draft, Queue};
use crate::record::Record;

impl Queue {
    /// Refuses a filter that cannot be evaluated, or asks for what no event has.
    pub(in crate::queue) fn check_subscription(
        &self,
        endpoint: &Endpoint,
        subscription: &Subscription,
    ) -> Result<(), Refusal> {
        if let Some(fault) = subscription.fault() {
            return Err(Refusal::Invalid(fault.clone()));
        }
        // One from before this was asked can be changed otherwise.
        let before = self.state.endpoints.get(&endpoint.id);
        let is_new = before.is_none_or(|before| before.settings.filter != endpoint.filter);
        match subscription.unknown_member().filter(|_| is_new) {
            None => Ok(()),
            Some(name) => Err(Refusal::Invalid(format!(
                "--where: an event has no '{name}', it has type, source, headers, query and body: \
                 write @.body.{name} for what is in the body"
            ))),
        }
    }

    /// Sets an endpoint that was checked.
    pub(in crate::queue) fn put_endpoint(
        &mut self,
        now: Now,
        endpoint: Endpoint,
        subscription: Arc<Subscription>,
        draft: &mut Draft,
    ) -> Arc<Endpoint> {
        let before =
            self.state.endpoints.get(&endpoint.id).map(|endpoint| endpoint.settings.clone());
        self.remember(Record::EndpointSet { endpoint: Box::new(endpoint.clone()) }, draft);
        self.matcher.put(endpoint.id, subscription);
        match before {
            None => self.start_endpoint(endpoint.id, now),
            Some(before) => {
                self.endpoint_changed(endpoint.id);
                self.reorder_if_changed(&before, &endpoint);
            }
        }

        draft.actions.push(Action::Maintain(Maintenance::Publish));
        Arc::new(endpoint)
    }

    /// What decides on an endpoint's lanes, and on how it catches up, may be another thing by now.
    fn reorder_if_changed(&mut self, before: &Endpoint, now: &Endpoint) {
        let order =
            |e: &Endpoint| (e.order, e.order_key.clone(), e.catch_up.mode, e.catch_up.key.clone());
        if order(before) == order(now) {
            return;
        }

        let endpoint = self.state.endpoint_mut(now.id);
        endpoint.reorder();
        if endpoint.is_latest() || endpoint.catching_up().is_some() {
            self.catch_up(now.id);
        }
    }

    /// Deletes an endpoint that is there; how many of its deliveries that cancels.
    pub(in crate::queue) fn remove_endpoint(
        &mut self,
        now: Now,
        id: EndpointId,
        draft: &mut Draft,
    ) -> usize {
        let endpoint = self.state.endpoint(id);
        let (cancelled, settings) = (endpoint.undone, endpoint.settings.clone());
        self.end_replays_to(now, &settings, draft);
        self.remember(Record::EndpointDeleted { endpoint: id, at: now.wall_ms }, draft);
        self.stop_endpoint(id, now, draft);
        self.settings.forget(SettingsOwner::Endpoint(id));
        draft.actions.push(Action::Maintain(Maintenance::Publish));
        usize::try_from(cancelled).unwrap_or(usize::MAX)
    }
}
