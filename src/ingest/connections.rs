//! How many connections there may be: in all, and from one address. Pure.
//!
//! One address (of IPv6 one /64) has a quarter of them at most, and at least [`FEW`] when there are
//! not many. Of the last eighth an address gets only [`KEPT_EACH`]: addresses that hold
//! many leave it to those that come new.
//!
//! A trusted proxy and whoever may open a Unix socket have no share: many clients are behind them.
//! Behind a PROXY header the client has one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget::Holder;
use crate::model::share::ShareHolder;

/// An address may always have this many, where the limit allows it.
const FEW: usize = 16;
/// What an address has at most when it is to get one of the last eighth.
const KEPT_EACH: usize = 4;

/// The connections of all listeners.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    all: usize,
    /// Of those that have any.
    by_holder: HashMap<Holder, usize>,
}

/// Why one more connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooManyConnections {
    #[error("there are {0} connections, which is the limit")]
    All(usize),
    #[error("its address has {0} connections, which is the limit for one address now")]
    Address(usize),
}

impl TooManyConnections {
    /// Whose share is full, for a connection of this holder.
    pub fn of(self, holder: Option<Holder>) -> ShareHolder {
        match self {
            Self::All(_) => ShareHolder::All,
            Self::Address(_) => holder.map_or(ShareHolder::All, ShareHolder::from),
        }
    }
}

/// One connection's slot, given back on drop.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    connections: Arc<Connections>,
    holder: Option<Holder>,
}

impl Connections {
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    /// Those that are open now.
    pub fn count(&self) -> usize {
        self.open().all
    }

    /// A slot for one more.
    pub fn take(
        self: &Arc<Self>,
        holder: Option<Holder>,
    ) -> Result<ConnectionSlot, TooManyConnections> {
        let open = &mut *self.open();
        if open.all >= self.limit {
            return Err(TooManyConnections::All(open.all));
        }
        if let Some(holder) = holder {
            self.enter(open, holder)?;
        }
        open.all += 1;
        Ok(ConnectionSlot { connections: self.clone(), holder })
    }

    fn enter(&self, open: &mut OpenConnections, holder: Holder) -> Result<(), TooManyConnections> {
        let own = open.by_holder.get(&holder).copied().unwrap_or(0);
        let share = (self.limit / 4).max(FEW);
        let is_scarce = open.all >= self.limit - self.limit / 8;

        if own >= if is_scarce { KEPT_EACH } else { share } {
            return Err(TooManyConnections::Address(own));
        }

        open.by_holder.insert(holder, own + 1);
        Ok(())
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Counts it for this holder: it became known whose connection it is.
    pub fn move_to(&mut self, holder: Option<Holder>) -> Result<(), TooManyConnections> {
        let connections = self.connections.clone();
        let open = &mut *connections.open();
        if let Some(holder) = holder {
            connections.enter(open, holder)?;
        }
        leave(open, std::mem::replace(&mut self.holder, holder));
        Ok(())
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let open = &mut *self.connections.open();
        open.all -= 1;
        leave(open, self.holder);
    }
}

fn leave(open: &mut OpenConnections, holder: Option<Holder>) {
    let Some(holder) = holder else { return };
    match open.by_holder.get_mut(&holder) {
        Some(own) if *own > 1 => *own -= 1,
        _ => _ = open.by_holder.remove(&holder),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ConnectionSlot, Connections, FEW, KEPT_EACH, TooManyConnections};
    use crate::ingest::budget::Holder;

    fn peer(text: &str) -> Option<Holder> {
        Some(Holder::peer(text.parse().expect("an address")))
    }

    fn fill(connections: &Arc<Connections>, holder: Option<Holder>) -> Vec<ConnectionSlot> {
        std::iter::from_fn(|| connections.take(holder).ok()).collect()
    }

    #[test]
    fn one_address_has_a_quarter() {
        let connections = Arc::new(Connections::new(400));
        let held = fill(&connections, peer("2001:db8::1"));
        assert_eq!(held.len(), 100);
        assert_eq!(
            connections.take(peer("2001:db8::2")).err(),
            Some(TooManyConnections::Address(100)),
            "the same /64"
        );
        assert!(connections.take(peer("2001:db8:0:1::1")).is_ok());
        assert!(connections.take(peer("192.0.2.1")).is_ok());
        drop(held);
        assert_eq!(connections.count(), 0);
        assert!(connections.open().by_holder.is_empty());
    }

    #[test]
    fn addresses_that_hold_many_leave_the_last_eighth_to_others() {
        let connections = Arc::new(Connections::new(400));
        let many: Vec<_> =
            (0..9).flat_map(|n| fill(&connections, peer(&format!("192.0.2.{n}")))).collect();
        assert_eq!(many.len(), 350 + 5 * KEPT_EACH, "those that came last have a few of it");
        assert_eq!(fill(&connections, peer("198.51.100.1")).len(), KEPT_EACH);
        assert_eq!(fill(&connections, None).len(), 400 - many.len(), "proxies take what there is");
    }

    #[test]
    fn where_there_are_few_an_address_may_have_them() {
        for limit in [1, 2, FEW] {
            assert_eq!(fill(&Arc::new(Connections::new(limit)), None).len(), limit);
        }
        assert_eq!(fill(&Arc::new(Connections::new(2)), peer("192.0.2.1")).len(), 2);
    }

    #[test]
    fn a_connection_behind_a_proxy_is_its_clients() {
        let connections = Arc::new(Connections::new(100));
        let held = fill(&connections, peer("192.0.2.1"));
        let mut slot = connections.take(None).expect("a proxy's");
        assert_eq!(slot.move_to(peer("192.0.2.1")), Err(TooManyConnections::Address(held.len())));
        assert_eq!(slot.move_to(peer("192.0.2.2")), Ok(()));
        drop(slot);
        assert_eq!((connections.count(), connections.open().by_holder.len()), (held.len(), 1));
    }
}
