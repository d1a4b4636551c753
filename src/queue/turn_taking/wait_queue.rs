//! A queue in which endpoints wait for their turn. Each stands in it once at most.

use std::collections::{BTreeSet, VecDeque};

use crate::model::EndpointId;

/// Endpoints in the order in which they came.
#[derive(Debug, Default)]
pub struct WaitQueue {
    /// Those that have left the queue stay here until their turn would have come.
    order: VecDeque<EndpointId>,
    members: BTreeSet<EndpointId>,
}

impl WaitQueue {
    /// It stands at the end, unless it stands in the queue already. Says whether it has come.
    pub fn push(&mut self, id: EndpointId) -> bool {
        let is_new = self.members.insert(id);
        if is_new {
            self.order.push_back(id);
        }
        is_new
    }

    /// The first leaves the queue.
    pub fn pop(&mut self) -> Option<EndpointId> {
        while let Some(id) = self.order.pop_front() {
            if self.members.remove(&id) {
                return Some(id);
            }
        }
        None
    }

    /// It leaves the queue, if it stands in it. Says whether it did.
    pub fn remove(&mut self, id: EndpointId) -> bool {
        self.members.remove(&id)
    }

    #[must_use]
    pub fn contains(&self, id: EndpointId) -> bool {
        self.members.contains(&id)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    #[cfg(test)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }
}

#[cfg(test)]
mod tests {
    use super::WaitQueue;

    #[test]
    fn each_stands_in_it_once_and_who_has_left_has_no_turn() {
        let mut queue = WaitQueue::default();
        assert!(queue.push(1) && queue.push(2) && queue.push(3));
        assert!(!queue.push(1), "it stands in the queue");
        assert!(queue.remove(2) && !queue.contains(2));
        assert_eq!(queue.len(), 2);

        assert_eq!(queue.pop(), Some(1));
        assert!(queue.push(1), "it comes again");
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(3), Some(1), None));
        assert!(queue.is_empty());
    }
}
