//! How many slots are taken, of each kind. Plain data; see `slots`.

use crate::model::limits;
use crate::queue::endpoint::SlotKind;

/// The slots that are taken now.
#[derive(Debug, Default)]
pub struct SlotCounts {
    /// Of `limits::IN_FLIGHT`: those of endpoints on probation are among them.
    pub in_flight: usize,
    /// Of `limits::IN_FLIGHT_ON_PROBATION`.
    pub on_probation: usize,
    /// Of `limits::IN_FLIGHT_FIRST`, which are beside the others.
    pub first: usize,
    /// Deliveries that consumers hold, of `limits::LEASES`.
    pub leased: usize,
}

impl SlotCounts {
    /// An attempt takes its slot.
    pub fn take(&mut self, slot: SlotKind) {
        match slot {
            SlotKind::Lease => self.leased += 1,
            SlotKind::First => self.first += 1,
            SlotKind::Plain => self.in_flight += 1,
            SlotKind::Probation => {
                self.in_flight += 1;
                self.on_probation += 1;
            }
        }
    }

    /// An attempt gives its slot back.
    pub fn give_back(&mut self, slot: SlotKind) {
        match slot {
            SlotKind::Lease => self.leased -= 1,
            SlotKind::First => self.first -= 1,
            SlotKind::Plain => self.in_flight -= 1,
            SlotKind::Probation => {
                self.in_flight -= 1;
                self.on_probation -= 1;
            }
        }
    }

    /// Slots that are free, whoever takes them.
    #[must_use]
    pub fn free(&self) -> usize {
        limits::IN_FLIGHT.saturating_sub(self.in_flight)
    }

    /// Whether there is a slot for one that is on probation.
    #[must_use]
    pub fn has_for_probation(&self) -> bool {
        self.free() > 0 && self.on_probation < limits::IN_FLIGHT_ON_PROBATION
    }

    /// Whether there is a slot for the first attempt to an endpoint of which nothing is known.
    #[must_use]
    pub fn has_for_first(&self) -> bool {
        self.first < limits::IN_FLIGHT_FIRST
    }

    /// Whether another delivery may be leased.
    #[must_use]
    pub fn has_for_lease(&self) -> bool {
        self.free_for_lease() > 0
    }

    /// Deliveries that may still be leased, whoever does.
    #[must_use]
    pub fn free_for_lease(&self) -> usize {
        limits::LEASES.saturating_sub(self.leased)
    }
}
