//! Which endpoints wait for a turn, and for what.

use super::wait_queue::WaitQueue;
use crate::model::EndpointId;

/// The endpoints that wait for a turn. One may wait for several things at a time.
#[derive(Debug, Default)]
pub struct Turns {
    /// They may have something to do.
    pub runnable: WaitQueue,
    /// The same, of those of which nothing is known yet.
    pub newcomers: WaitQueue,
    /// Until a slot for endpoints on probation is free.
    pub awaiting_slot: WaitQueue,
    /// Until something that was leased is back.
    pub awaiting_lease: WaitQueue,
    /// They had their share of the slots, and have more to do.
    pub awaiting_share: WaitQueue,
    /// Their streams are to be read once a read has ended.
    pub awaiting_read: WaitQueue,
}

impl Turns {
    /// A deleted endpoint waits for nothing.
    pub fn forget(&mut self, id: EndpointId) {
        let Self {
            runnable,
            newcomers,
            awaiting_slot,
            awaiting_lease,
            awaiting_share,
            awaiting_read,
        } = self;
        for queue in
            [runnable, newcomers, awaiting_slot, awaiting_lease, awaiting_share, awaiting_read]
        {
            queue.remove(id);
        }
    }
}
