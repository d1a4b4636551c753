//! A line in which endpoints wait for their turn. Each stands in it once.

use std::collections::{BTreeSet, VecDeque};

use crate::model::EndpointId;

/// Endpoints in the order in which they came.
#[derive(Debug, Default)]
pub struct Line {
    /// Those that have left the line stay here until their turn would have come.
    order: VecDeque<EndpointId>,
    members: BTreeSet<EndpointId>,
}

impl Line {
    /// It stands at the end of the line, if it does not stand in it. Says whether it has come.
    pub fn push(&mut self, id: EndpointId) -> bool {
        let is_new = self.members.insert(id);
        if is_new {
            self.order.push_back(id);
        }
        is_new
    }

    /// The first in line leaves it.
    pub fn pop(&mut self) -> Option<EndpointId> {
        while let Some(id) = self.order.pop_front() {
            if self.members.remove(&id) {
                return Some(id);
            }
        }
        None
    }

    /// It leaves the line, if it stands in it. Says whether it did.
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
    use super::Line;

    #[test]
    fn each_stands_in_it_once_and_who_has_left_has_no_turn() {
        let mut line = Line::default();
        assert!(line.push(1) && line.push(2) && line.push(3));
        assert!(!line.push(1), "it stands in line");
        assert!(line.remove(2) && !line.contains(2));
        assert_eq!(line.len(), 2);

        assert_eq!(line.pop(), Some(1));
        assert!(line.push(1), "it comes again");
        assert_eq!((line.pop(), line.pop(), line.pop()), (Some(3), Some(1), None));
        assert!(line.is_empty());
    }
}
