//! Dead letters that are lost: no record that can be read holds them.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::log::{LogError, Reader};
use crate::model::{DeliveryId, EndpointId, Seq, limits};
use crate::queue::Loss;

/// Dead letters that are read in one step.
const READ: usize = 64;

/// Finds the dead letters whose records are lost: those that are in no record of the others.
#[derive(Debug)]
pub(super) struct LostDeadLetters {
    /// Numbers of dead letters whose records are lost.
    lost: RoaringTreemap,
    /// Those of the others, as far as they have not been read.
    unread: RoaringTreemap,
    /// All deliveries that died, without those whose dead letters were read.
    missing: BTreeMap<EndpointId, RoaringTreemap>,
}

impl LostDeadLetters {
    pub fn new(
        lost: RoaringTreemap,
        all: &RoaringTreemap,
        dead: Vec<(EndpointId, RoaringTreemap)>,
    ) -> Self {
        let unread = if dead.is_empty() { RoaringTreemap::new() } else { all - &lost };
        Self { lost, unread, missing: dead.into_iter().collect() }
    }

    /// How many records there are to be read.
    pub fn to_read(&self) -> u64 {
        self.unread.len()
    }

    pub fn read_slice(&mut self, reader: &Reader) -> Result<(), LogError> {
        let some: Vec<Seq> = self.unread.iter().take(READ).collect();
        for seq in some {
            let dead = match reader.read(seq) {
                Ok(record) => record.and_then(|record| record.dead_letter(seq)),
                Err(error) if error.is_damage() => None,
                Err(error) => return Err(error),
            };

            if let Some(delivery) = dead.map(|dead| dead.delivery)
                && let Some(missing) = self.missing.get_mut(&delivery.endpoint)
            {
                missing.remove(delivery.seq);
            }
            self.unread.remove(seq);
        }
        Ok(())
    }

    /// What is to be settled, in slices, once all was read.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        let missing = std::mem::take(&mut self.missing);
        let of_endpoint = |(endpoint, seqs): (EndpointId, RoaringTreemap)| {
            seqs.into_iter().map(move |seq| DeliveryId { seq, endpoint })
        };

        // Which of them is whose makes no difference any more.
        let lost = self.lost.iter().chain(std::iter::repeat(0));
        let pairs: Vec<(Seq, DeliveryId)> =
            lost.zip(missing.into_iter().flat_map(of_endpoint)).collect();
        pairs.chunks(limits::SLICE).map(|slice| Loss::DeadLetters(slice.to_vec())).collect()
    }
}
