//! Damage of the log that the operator has acknowledged: it is shown as that, and asks for nobody
//! any more.
//!
//! It is remembered by the records that it concerns, until retention has dropped them. Damage that
//! concerns any other record is new, in whatever segment.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Seq, WallMs};

/// Records whose damage was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AcknowledgedRange {
    first: Seq,
    last: Seq,
    at: WallMs,
}

/// All of them, in the order in which that happened. A clone shares them: each status has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgedDamage(Arc<Vec<AcknowledgedRange>>);

impl AcknowledgedDamage {
    /// When the damage of all these records was acknowledged: the last of them decides. `None` when
    /// that of one was not.
    #[must_use]
    pub fn covers(&self, first: Seq, last: Seq) -> Option<WallMs> {
        let (mut next, mut when) = (first, None);
        while next <= last {
            let around = self.0.iter().filter(|range| range.first <= next && next <= range.last);
            let furthest = around.max_by_key(|range| range.last)?;
            next = furthest.last + 1;
            when = when.max(Some(furthest.at));
        }
        when
    }

    /// Ranges.
    pub(in crate::queue) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::queue) fn add(&mut self, ranges: &[(Seq, Seq)], at: WallMs) {
        Arc::make_mut(&mut self.0).extend(ranges.iter().map(|(first, last)| AcknowledgedRange {
            first: *first,
            last: *last,
            at,
        }));
    }

    /// Retention has dropped the records up to this one.
    pub(in crate::queue) fn drop_to(&mut self, last: Seq) {
        if self.0.iter().any(|range| range.last <= last) {
            Arc::make_mut(&mut self.0).retain(|range| range.last > last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::AcknowledgedDamage;
    use crate::model::{Endpoint, Seq, limits};
    use crate::queue::testing::TestQueue;
    use crate::queue::{AcknowledgeDamage, Refusal, State, StatusQuery};
    use crate::record::Record;

    fn acknowledged(ranges: &[(Seq, Seq, u64)]) -> AcknowledgedDamage {
        let mut all = AcknowledgedDamage::default();
        ranges.iter().for_each(|(first, last, at)| all.add(&[(*first, *last)], *at));
        all
    }

    #[test]
    fn damage_is_acknowledged_when_all_of_its_records_are() {
        let mut all = acknowledged(&[(10, 20, 5), (15, 30, 3), (40, 40, 9), (31, 33, 7)]);
        for (first, last, when) in [
            (10, 20, Some(5)),
            (12, 14, Some(5)),
            (10, 30, Some(5)),
            (15, 33, Some(7)),
            (40, 40, Some(9)),
            (9, 12, None),
            (33, 34, None),
            (30, 40, None),
        ] {
            assert_eq!(all.covers(first, last), when, "{first} to {last}");
        }

        all.drop_to(30);
        assert_eq!((all.covers(10, 20), all.covers(31, 33)), (None, Some(7)));
        all.drop_to(40);
        assert_eq!(all, AcknowledgedDamage::default());
    }

    #[test]
    fn an_acknowledgement_is_remembered_once_and_until_its_records_are_dropped() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        for _ in 0..20 {
            world.accept("{}");
        }
        let count = |world: &mut TestQueue, ranges: Vec<(Seq, Seq)>| {
            world.decide(AcknowledgeDamage { ranges })
        };
        assert_eq!(count(&mut world, vec![(3, 5), (7, 7)]), 2);
        assert_eq!(count(&mut world, vec![(3, 5), (4, 4), (9, 9)]), 1);
        let next = world.queue.state().next_seq;
        // Neither what is to come, nor nothing.
        assert_eq!(count(&mut world, vec![(9, next), (6, 5)]), 0);
        assert_eq!(world.queue.state().next_seq, next, "nothing to remember");

        let state = world.queue.state();
        let at = world.now.wall_ms;
        assert_eq!(state.acknowledged.covers(3, 5), Some(at));
        let mut again = State::from_checkpoint(&state.checkpoint()).expect("it is read back");
        assert_eq!(again.acknowledged, state.acknowledged);
        let dropped = Record::SegmentDropped { first: 1, last: 7, head: [0; 32], at };
        again.apply(next, &dropped).expect("it follows");
        let left = (again.acknowledged.covers(7, 7), again.acknowledged.covers(9, 9));
        assert_eq!(left, (None, Some(at)));
    }

    #[test]
    fn whoever_asks_for_the_status_gets_no_copy() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        world.accept("{}");
        world.accept("{}");
        assert_eq!(world.decide(AcknowledgeDamage { ranges: vec![(1, 1)] }), 1);

        let ask = |world: &TestQueue| world.queue.ask(world.now, &StatusQuery).acknowledged;
        let (one, other) = (ask(&world), ask(&world));
        assert!(Arc::ptr_eq(&one.0, &other.0));
        // What was answered stays as it was.
        assert_eq!(world.decide(AcknowledgeDamage { ranges: vec![(2, 2)] }), 1);
        assert_eq!((one.len(), ask(&world).len()), (1, 2));
    }

    #[test]
    fn there_is_a_limit() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        let most = limits::ACKNOWLEDGED_DAMAGE as u64;
        for _ in 0..=most {
            world.accept("{}");
        }
        let one_by_one = |to: u64| (1..=to).map(|seq| (seq, seq)).collect();
        let decision =
            world.queue.handle(world.now, AcknowledgeDamage { ranges: one_by_one(most + 1) });
        assert!(matches!(decision.answer, Err(Refusal::TooMany { .. })), "{:?}", decision.answer);
        assert_eq!(
            world.decide(AcknowledgeDamage { ranges: one_by_one(most) }),
            limits::ACKNOWLEDGED_DAMAGE
        );
    }
}
