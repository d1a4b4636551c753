//! The rows about looking at the daemon: its status, its log lines, its metrics.

use hookbox::model::limits as l;

use super::{bytes, n, time};

pub fn rows() -> Vec<(&'static str, String)> {
    let mut rows = vec![(
        "status, log lines of endpoints",
        format!(
            "{} endpoints are named, with {} characters of what a receiver said; of one kind \
                 of change at one endpoint a line at once and then one in {}, of all endpoints \
                 together {} in that time",
            l::WORST_SHOWN,
            l::WORDS,
            time(l::CHANGE_LINE_GAP_MS),
            l::CHANGE_LINES
        ),
    )];

    rows.push((
        "acknowledged damage of the log",
        format!("{} ranges of records, until retention drops them", n(l::ACKNOWLEDGED_DAMAGE)),
    ));
    rows.push(history());
    rows.push((
        "refused requests that are kept (`--keep-refused`)",
        format!(
            "up to {} of a source, each with {} of its body; an eighth of {} for one source, and \
             that for all: the source that has most gives way",
            l::REFUSED_KEPT,
            super::bytes(l::REFUSED_BODY),
            super::bytes(l::REFUSED_BYTES),
        ),
    ));
    rows.extend(lists());
    rows.push((
        "a body on a screen of `hookboxctl`",
        format!("its first {}; `event body` writes all of it", bytes(l::BODY_SHOWN)),
    ));
    rows.push(bridge());
    rows.push(("path of a Unix socket", format!("{} bytes", l::UNIX_PATH)));
    rows.push((
        "listener for metrics",
        format!(
            "{} connections, each for one request and {}; the page is made at most once in {}",
            l::METRICS_CONNECTIONS,
            time(l::METRICS_TIMEOUT_MS),
            time(l::METRICS_PAGE_MS)
        ),
    ));
    rows.push((
        "`hookboxctl web`",
        format!(
            "{} connections, of which {} follow what happens; {} requests are with the daemon at \
             a time, further ones wait; a head of {} and {} fields, a body of {}, {} for each",
            l::WEB_CONNECTIONS,
            l::WEB_STREAMS,
            l::WEB_REQUESTS,
            bytes(l::WEB_HEAD),
            l::WEB_HEADERS,
            bytes(l::WEB_BODY),
            time(l::WEB_TIMEOUT_MS)
        ),
    ));
    rows
}

fn lists() -> [(&'static str, String); 2] {
    [
        (
            "a type that a list asks for",
            format!(
                "the newest {} records are looked at to say that no event has it",
                n(l::TYPES_LOOKED_FOR)
            ),
        ),
        (
            "a list that finds nothing",
            format!(
                "is answered after {} with how far it has looked, and goes on from there; attempts \
                 are counted for {}",
                time(l::LIST_PATIENCE_MS),
                time(l::LIST_COUNT_MS)
            ),
        ),
    ]
}

fn history() -> (&'static str, String) {
    let [fine, middle, coarse] = l::HISTORY_RING_BYTES;

    (
        "history",
        format!(
            "{} endpoints with one of their own; {}, {} and {} for the rings over all, {} for \
             that of an endpoint, together at most {} in memory and as much in the file, of which \
             there are two while it is replaced; {} stretches of time in which the daemon ran; {} \
             rows of an answer",
            l::HISTORY_ENDPOINTS,
            bytes(fine),
            bytes(middle),
            bytes(coarse),
            bytes(l::HISTORY_ENDPOINT_BYTES),
            bytes(l::HISTORY_BYTES),
            l::HISTORY_RUNS,
            n(l::HISTORY_ROWS)
        ),
    )
}

/// The bridge to NATS, which is a program of its own.
fn bridge() -> (&'static str, String) {
    (
        "`hookbox-nats`",
        format!(
            "{} routes, {} servers; {} messages of a route under way, at most {}, and {} of their \
             bodies; {} connections to a socket of the daemon; a subject of {}, of which a name \
             takes {}; {} to finish when it stops",
            l::NATS_ROUTES,
            l::NATS_SERVERS,
            l::NATS_IN_FLIGHT_DEFAULT,
            l::NATS_IN_FLIGHT,
            bytes(l::NATS_HELD_BYTES),
            l::NATS_CONNECTIONS,
            bytes(l::NATS_SUBJECT),
            bytes(l::NATS_SUBJECT_PART),
            time(l::NATS_DRAIN_MS),
        ),
    )
}
