//! An import: the lines of an export or of a salvage in slices that a daemon takes at once.

use std::io::BufRead;

use serde_json::Value;

use super::export::from_cloud_event;
use super::{ArchiveError, Done};
use crate::model::limits;

/// Bytes of a slice after which it is closed.
const SLICE_BYTES: usize = 4 << 20;
/// Events of a slice.
const SLICE_EVENTS: usize = limits::SLICE;

/// Reads the events of `lines` and hands them over, a slice at a time, with the number of its first line; a line that is
/// no event (what is missing, other records) is empty in it, so that all are counted as they stand. How many these were.
///
/// # Errors
/// When a line is no JSON, no good `CloudEvent`, or larger than a daemon takes, or `send` fails.
pub fn slices(lines: &mut dyn BufRead, send: &mut dyn FnMut(&str, u64) -> Done<()>) -> Done<u64> {
    let (mut slice, mut begins, mut events, mut others) = (String::new(), 1, 0, 0);
    for (number, line) in (1..).zip(lines.lines()) {
        let line = line.map_err(|error| ArchiveError::Garbled(format!("line {number} cannot be read: {error}")))?;
        if events == 0 {
            slice.clear();
            begins = number;
        }
        if line.trim().is_empty() {
            slice.push('\n');
            continue;
        }
        let value: Value = serde_json::from_str(&line)
            .map_err(|error| ArchiveError::Garbled(format!("line {number} is no JSON ({error}): is it an export?")))?;
        let cloud_event =
            from_cloud_event(&value).map_err(|what| ArchiveError::Garbled(format!("line {number}: {what}")))?;
        let event = match (cloud_event, value["what"].as_str()) {
            (Some(event), _) => event,
            (None, Some("event") | None) => value,
            (None, Some(_)) => {
                others += 1;
                slice.push('\n');
                continue;
            }
        };
        let event = event.to_string();
        if event.len() > limits::ADMIN_BODY - SLICE_BYTES {
            let (found, most) = (event.len() >> 20, (limits::ADMIN_BODY - SLICE_BYTES) >> 20);
            return Err(ArchiveError::Garbled(format!(
                "line {number} has {found} MiB, and a daemon takes {most} MiB at once: no event is that large"
            )));
        }
        slice.push_str(&event);
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
