//! About how large a checkpoint of a state is.

use super::state::State;
use crate::queue::endpoint::EndpointQueue;

/// Bytes of a dedupe key.
const KEY: usize = 20;
/// Bytes of an endpoint besides its template.
const ENDPOINT: usize = 4 << 10;

impl State {
    /// The bytes of its checkpoint, about and rather too many: for the memory in which it is made.
    pub(in crate::queue) fn checkpoint_size(&self) -> usize {
        let template = |endpoint: &EndpointQueue| {
            endpoint.settings.template.body.as_ref().map_or(0, String::len)
        };
        let endpoints = self.endpoints.values().map(|endpoint| ENDPOINT + template(endpoint));
        self.dedupe.len() * KEY + endpoints.sum::<usize>()
    }
}
