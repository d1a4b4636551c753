//! Ids as people type them: whole, or so much of the beginning that only one is meant. Where an
//! event is asked for, a delivery names its event; where a delivery is asked for, an event names
//! its only delivery.
//!
//! An id begins with the number of its record, so that its beginning says in which part of the log
//! to look.

use hyper::StatusCode;

use super::event_lookup::{find, listed_at, read};
use super::log_scan::LogScan;
use crate::admin::http::problem::Problem;
use crate::model::id::records_of_beginning;
use crate::model::{DeliveryId, EventId, Seq, limits};

/// The event that is meant.
pub fn event_id(scan: &LogScan, text: &str) -> Result<EventId, Problem> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if let Some((first, last)) = records_of_beginning(text, "dlv_") {
        let delivery = delivery_in(scan, text, first, last)?;
        let id = event_of(scan, delivery)?;
        return id.ok_or_else(|| Problem::missing("delivery", text));
    }

    let Some((first, last)) = records_of_beginning(text, "evt_") else {
        return Err(unlike(text.parse::<EventId>().map(|_| ())));
    };
    // Its record may stand elsewhere by now.
    let moved = if first == last { read(scan, first)? } else { None };
    let mut found: Vec<EventId> = moved.into_iter().map(|(event, _)| event.id).collect();
    let mut is_whole = true;
    if found.is_empty() {
        is_whole = look(
            scan,
            first,
            last,
            &mut |_, record| {
                let held = record.held_event().filter(|held| held.relocated_from.is_none());
                held.map(|held| held.event.id).into_iter().collect()
            },
            &mut found,
            text,
        )?;
    }
    only(found, is_whole, "event", text)
}

/// The delivery that is meant.
pub fn delivery_id(scan: &LogScan, text: &str) -> Result<DeliveryId, Problem> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if let Some((first, last)) = records_of_beginning(text, "dlv_") {
        return delivery_in(scan, text, first, last);
    }
    if records_of_beginning(text, "evt_").is_none() {
        return Err(unlike(text.parse::<DeliveryId>().map(|_| ())));
    }

    let event = event_id(scan, text)?;
    let deliveries = read(scan, event.seq)?.map(|(_, deliveries)| deliveries).unwrap_or_default();
    match deliveries.as_slice() {
        [only] => Ok(*only),
        [] => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("no delivery was made of {event}: see `hookboxctl event show {event}`"),
        )),
        // In the words that name the right command.
        _ => Err(unlike(event.to_string().parse::<DeliveryId>().map(|_| ()))),
    }
}

fn delivery_in(scan: &LogScan, text: &str, first: Seq, last: Seq) -> Result<DeliveryId, Problem> {
    let (mut found, mut is_whole) = (Vec::new(), true);
    if first == last && !scan.has_record(first) {
        let moved = read(scan, first)?.map(|(_, deliveries)| deliveries).unwrap_or_default();
        found.extend(moved.into_iter().filter(|id| id.to_string().starts_with(text)));
    } else {
        is_whole = look(
            scan,
            first,
            last,
            &mut |seq, record| {
                let made = record.stream_positions(seq).map(|waiting| waiting.delivery);
                made.filter(|delivery| delivery.seq == seq).collect()
            },
            &mut found,
            text,
        )?;
    }
    only(found, is_whole, "delivery", text)
}

/// The ids that records name, until two of them begin with the text. Returns whether all were
/// looked at that may: not where there are too many, and not where some of them may stand elsewhere
/// by now.
fn look<T: ToString>(
    scan: &LogScan,
    first: Seq,
    last: Seq,
    named: &mut dyn FnMut(Seq, &crate::record::Record) -> Vec<T>,
    found: &mut Vec<T>,
    text: &str,
) -> Result<bool, Problem> {
    let there = scan.log().first();
    for (looked_at, entry) in scan.log().forward(first.max(there)).enumerate() {
        if looked_at == limits::ID_PREFIX_RECORDS {
            return Ok(false);
        }
        scan.still_wanted()?;
        let Some((seq, record)) = scan.entry(entry) else { continue };
        if seq > last {
            break;
        }
        found.extend(named(seq, &record).into_iter().filter(|id| id.to_string().starts_with(text)));
        if found.len() > 1 {
            break;
        }
    }
    Ok(first.max(1) >= there)
}

fn only<T: ToString>(
    found: Vec<T>,
    is_whole: bool,
    what: &'static str,
    text: &str,
) -> Result<T, Problem> {
    if !is_whole && found.len() < 2 {
        let detail = format!("too many ids begin with '{text}': type more of it");
        return Err(Problem::bad(detail));
    }

    let mut found = found.into_iter();
    let Some(first) = found.next() else { return Err(Problem::missing(what, text)) };
    match found.next() {
        None => Ok(first),
        Some(second) => {
            let (first, second) = (first.to_string(), second.to_string());
            let detail = format!(
                "several ids begin with '{text}', such as {first} and {second}: type more of it"
            );
            Err(Problem::bad(detail))
        }
    }
}

fn event_of(scan: &LogScan, id: DeliveryId) -> Result<Option<EventId>, Problem> {
    let record = scan.log().read(listed_at(scan, id.seq)?).unwrap_or_default();
    let new = record.as_ref().and_then(|record| record.new_delivery(id));
    let seq = new.map_or(id.seq, |new| new.event);
    Ok(find(scan, seq)?.map(|(event, _)| event.id))
}

/// Text that is not an id, in the words of its type.
fn unlike<E: std::fmt::Display>(parsed: Result<(), E>) -> Problem {
    Problem::bad(parsed.err().map(|why| why.to_string()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::only;

    #[test]
    fn what_was_not_looked_at_whole_is_not_taken_for_the_only_one() {
        assert!(matches!(only(vec![7], true, "event", "evt_0"), Ok(7)));
        for found in [vec![], vec![7]] {
            let problem = only(found, false, "event", "evt_0").expect_err("not whole");
            assert!(problem.detail.contains("type more of it"), "{}", problem.detail);
        }
    }
}
