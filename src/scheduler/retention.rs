//! Retention: whole segments are dropped, oldest first, once everything in them has passed its age. What is still
//! needed in one (undelivered events, dead letters that are kept longer) is carried forward first.

use super::handle::Handle;
use super::thread::Clock;
use crate::log::{LogError, Reader, failpoint};
use crate::model::{Seq, WallMs};
use crate::queue::{AliveRange, CarriedEvent, Input, Query, Reply};
use crate::record::{DeadLetter, Record};

/// Bytes of events that are carried forward out of one segment at most.
const CARRIED_BYTES: usize = 8 << 20;

/// How long things are kept.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Events that have been delivered or cancelled, and the history of their attempts.
    pub delivered_ms: u64,
    /// Dead letters.
    pub dead_ms: u64,
}

/// Retires the oldest segment if its time is over. What stands in the way is tried again next time.
pub(super) fn retire_oldest(reader: &Reader, handle: &Handle, clock: &Clock, retention: &Retention) {
    let Some(oldest) = reader.segments().into_iter().next() else { return };
    let (Some(sealed_at), Some(last)) = (oldest.sealed_at, oldest.last) else { return };
    let now = clock();
    if now.wall_ms < sealed_at.saturating_add(retention.delivered_ms) {
        return;
    }
    let first = oldest.first;
    let Some(Reply::Alive(Some(alive))) = handle.ask_blocking(Input::Ask(Query::Alive { first, last })) else { return };
    match gather(reader, &alive, now.wall_ms.saturating_sub(retention.dead_ms)) {
        Ok(Some(Gathered { alive, dead, expired })) => {
            let carried = alive.len();
            failpoint::reached("carry.gathered");
            let input = Input::Retire { first, last, head: oldest.head, alive, dead, expired };
            if let Some(Reply::Done { .. }) = handle.ask_blocking(input) {
                failpoint::reached("carry.done");
                tracing::info!(first, last, carried, "dropped a segment whose time was over");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::error!(first, last, %error, "cannot read a segment whose time is over: it stays"),
    }
}

struct Gathered {
    alive: Vec<CarriedEvent>,
    dead: Vec<(Seq, DeadLetter)>,
    expired: Vec<crate::model::DeliveryId>,
}

/// Reads what is to be carried; `None` when it is too much.
fn gather(reader: &Reader, range: &AliveRange, dead_since: WallMs) -> Result<Option<Gathered>, LogError> {
    let mut gathered = Gathered { alive: Vec::new(), dead: Vec::new(), expired: Vec::new() };
    let mut bytes = 0;
    for stands_at in &range.events {
        let (event, fan_out) = match reader.read(*stands_at)? {
            Some(Record::EventAccepted { event, fan_out, .. } | Record::EventCarried { event, fan_out, .. }) => {
                (event, fan_out)
            }
            _ => return Ok(None),
        };
        bytes += event.cost();
        if bytes > CARRIED_BYTES {
            return Ok(None);
        }
        gathered.alive.push(CarriedEvent { seq: event.id.seq, event, fan_out });
    }
    for grave in &range.graves {
        let Some(dead) = reader.read(*grave)?.and_then(|record| record.dead_letter(*grave)) else { return Ok(None) };
        if dead.died_at < dead_since {
            gathered.expired.push(dead.delivery);
        } else {
            gathered.dead.push((*grave, dead));
        }
    }
    Ok(Some(gathered))
}
