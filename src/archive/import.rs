//! An import: the lines of an export or of a salvage, in slices of a size that a daemon takes at
//! once.

use std::io::BufRead;

use serde_json::{Value, json};

use super::cloud_event::from_cloud_event;
use super::error::{ArchiveError, ArchiveResult};
use crate::model::limits;

/// Bytes of a slice after which it is complete.
const SLICE_BYTES: usize = 4 << 20;
/// Events of a slice.
const SLICE_EVENTS: usize = limits::SLICE;
/// Bytes of the largest event: with it, a slice that is nearly complete still fits into a request.
const EVENT_MAX: usize = limits::ADMIN_BODY - SLICE_BYTES;

/// Reads the events of `lines` and calls `send` with each slice and the number of its first line. A
/// line that is not an event (missing records, other records) is empty in the slice, so that all
/// lines are counted as they are in the input. Returns how many these were.
///
/// # Errors
/// When a line is not JSON, an invalid `CloudEvent`, or larger than a daemon takes, or `send`
/// fails.
pub fn slices(
    lines: &mut dyn BufRead,
    send: &mut dyn FnMut(&str, u64) -> ArchiveResult<()>,
) -> ArchiveResult<u64> {
    let (mut slice, mut begins, mut events, mut others) = (String::new(), 1, 0, 0);

    for (number, line) in (1..).zip(lines.lines()) {
        let line = line.map_err(|error| garbled(number, format!(" cannot be read: {error}")))?;
        if events == 0 {
            slice.clear();
            begins = number;
        }
        if line.trim().is_empty() {
            slice.push('\n');
            continue;
        }

        match event_of(number, &line)? {
            Some(event) => slice.push_str(&event),
            None => {
                others += 1;
                slice.push('\n');
                continue;
            }
        }
        slice.push('\n');

        events += 1;
        if events == SLICE_EVENTS || slice.len() >= SLICE_BYTES {
            send(&slice, begins)?;
            events = 0;
        }
    }

    if events > 0 {
        send(&slice, begins)?;
    }
    Ok(others)
}

/// The event of a line, as the admin API takes it; `None` when the line is something else.
fn event_of(number: u64, line: &str) -> ArchiveResult<Option<String>> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| garbled(number, format!(" is not JSON ({error}): is it an export?")))?;
    let cloud_event =
        from_cloud_event(&value).map_err(|what| garbled(number, format!(": {what}")))?;

    let event = match (cloud_event, value["what"].as_str()) {
        (Some(event), _) => json!(event).to_string(),
        (None, Some("event") | None) => value.to_string(),
        (None, Some(_)) => return Ok(None),
    };
    if event.len() > EVENT_MAX {
        let (found, most) = (event.len() >> 20, EVENT_MAX >> 20);
        let what = format!(
            " has {found} MiB, and a daemon takes {most} MiB at once: no event is that large"
        );
        return Err(garbled(number, what));
    }
    Ok(Some(event))
}

fn garbled(number: u64, what: String) -> ArchiveError {
    ArchiveError::Garbled(format!("line {number}{what}"))
}
