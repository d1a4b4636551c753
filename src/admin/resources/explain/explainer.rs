//! What every sentence needs: the time, the endpoint's name, and how times and counts are written.

use crate::model::WallMs;
use crate::model::time::{format_duration_ms, rfc3339};

/// Puts reasons into sentences.
pub struct Explainer {
    pub now: WallMs,
    pub endpoint: String,
}

impl Explainer {
    /// A time in the past, and how long ago it is.
    pub fn since(&self, at: WallMs) -> String {
        let ago = format_duration_ms(seconds(self.now.saturating_sub(at)));
        format!("{} ({ago} ago)", rfc3339(at))
    }

    /// A time to come, and how far away it is.
    pub fn until(&self, at: WallMs) -> String {
        match at.saturating_sub(self.now) {
            0 => "now".to_owned(),
            left => format!("in {} (at {})", format_duration_ms(seconds(left)), rfc3339(at)),
        }
    }
}

/// People need no milliseconds above a second.
fn seconds(ms: u64) -> u64 {
    if ms >= 1000 { ms / 1000 * 1000 } else { ms }
}

pub fn attempts_are(number: usize) -> String {
    if number == 1 { "1 attempt is".to_owned() } else { format!("{number} attempts are") }
}

pub fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}
