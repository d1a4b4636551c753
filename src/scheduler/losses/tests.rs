//! How a loss is settled: in small steps, and all of it.

use std::any::Any;
use std::path::Path;

use roaring::RoaringTreemap;

use super::{AskQueue, SettleStep, SettledLosses, Settling};
use crate::log::testing::open_log;
use crate::log::{Log, LogError, Reader, Recovered};
use crate::model::{DeliveryId, Seq};
use crate::queue::{Loss, QueueRequest, SettleLoss, Unsettled, UnsettledQuery};
use crate::record::{DeadLetter, Record};

/// A queue that gives one answer, and keeps what it is to settle.
struct ScriptedQueue {
    unsettled: Unsettled,
    losses: Vec<Loss>,
}

impl AskQueue for ScriptedQueue {
    fn ask<R: QueueRequest>(&mut self, request: R) -> Option<R::Answer> {
        let request: Box<dyn Any> = Box::new(request);
        let answer: Box<dyn Any> = match request.downcast::<UnsettledQuery>() {
            Ok(_) => Box::new(Box::new(self.unsettled.clone())),
            Err(request) => {
                let SettleLoss(loss) = *request.downcast().expect("nothing else is asked");
                let count = match &loss {
                    Loss::DeadLetters(pairs) => pairs.len(),
                    Loss::Deliveries { deliveries, .. } | Loss::Positions { deliveries, .. } => {
                        deliveries.len()
                    }
                    Loss::Events(_) | Loss::Records { .. } => 0,
                };
                self.losses.push(loss);
                Box::new(count)
            }
        };
        answer.downcast().ok().map(|answer| *answer)
    }
}

fn died(seq: Seq) -> Record {
    let delivery = DeliveryId { seq: 1_000_000 + seq, endpoint: 1 };
    let (event, reason) = (delivery.seq, "refused".to_owned());
    Record::DeliveryDied {
        dead: DeadLetter {
            delivery,
            event,
            attempts: 1,
            died_at: 1,
            reason,
            last: seq,
            kept_since: None,
        },
    }
}

/// Record N is the dead letter of delivery 1000000+N. The disk does not give the first segment
/// back, which is record 1.
fn damaged_log(dir: &Path, count: Seq) -> (Log, Reader) {
    let Recovered { mut log, reader, .. } = open_log(dir, 1);
    let _durable = log.commit(&[died(1)]).expect("commits");
    log.roll(b"", 1).expect("rolls");
    let _durable = log.commit(&(2..=count).map(died).collect::<Vec<_>>()).expect("commits");

    let path = dir.join("log/seg-00000000000000000001/db");
    let source = std::io::Error::from_raw_os_error(5);
    assert!(reader.give_up(&LogError::Io { doing: "read", path, source }));
    (log, reader)
}

fn set(range: std::ops::RangeInclusive<Seq>) -> RoaringTreemap {
    let mut set = RoaringTreemap::new();
    set.insert_range(range);
    set
}

#[test]
fn one_dead_letter_beside_many_is_found_in_small_steps() {
    const COUNT: Seq = 1_000;
    let dir = tempfile::tempdir().expect("a folder");
    let (_log, reader) = damaged_log(dir.path(), COUNT);
    let unsettled = Unsettled {
        records: set(1..=1),
        end: COUNT + 1,
        lost_dead_letter_seqs: set(1..=1),
        dead_letter_seqs: set(1..=COUNT),
        dead: vec![(1, set(1_000_001..=1_000_000 + COUNT))],
        ..Unsettled::default()
    };
    let mut queue = ScriptedQueue { unsettled, losses: Vec::new() };

    let mut step = Settling::begin(&reader, 1, &mut queue);
    let mut steps = 0;
    let settled = loop {
        step = match step {
            SettleStep::More(settling) => {
                let (before, asked) = (settling.to_read(), queue.losses.len());
                let step = settling.step(&reader, &mut queue);
                let left = if let SettleStep::More(next) = &step { next.to_read() } else { 0 };
                assert!(before - left <= 64, "{} dead letters were read at once", before - left);
                assert!(queue.losses.len() - asked <= super::LOSSES_IN_STEP);
                step
            }
            SettleStep::Done { settled, .. } => break settled,
            SettleStep::Failed => panic!("it failed"),
        };
        steps += 1;
    };

    assert!(steps > COUNT / 64, "{steps} steps");
    assert_eq!(settled, SettledLosses { records: 1, dead_letter_seqs: 1, ..Default::default() });
    let [Loss::Events(_), Loss::DeadLetters(pairs), Loss::Records { first: 1, last: 1 }] =
        &queue.losses[..]
    else {
        panic!("{:?}", queue.losses)
    };
    assert_eq!(pairs[..], [(1, DeliveryId { seq: 1_000_001, endpoint: 1 })]);
}
