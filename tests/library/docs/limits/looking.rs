//! The rows about looking at the daemon: its status, its log lines, its metrics.

use hookbox::model::limits as l;

use super::{bytes, time};

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
