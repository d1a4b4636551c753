//! A daemon that goes away while a command needs it on and on: what is said, and how often it is
//! asked again.

use std::time::Duration;

use super::error::CtlError;
use super::table::clean;
use crate::service::stdio;

/// How often a daemon that went away is asked again.
const TRIES: u32 = 60;
/// The pause between two of these.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// The requests without an answer since the last one that was answered.
#[derive(Debug, Default)]
pub(super) struct Reconnects {
    failed: u32,
}

impl Reconnects {
    /// Whether to ask again after this error. The first of several is reported.
    pub(super) fn goes_on_after(&mut self, error: &CtlError) -> bool {
        let what = match error {
            CtlError::Unreachable(_) => "the connection was lost; connecting again",
            CtlError::Busy(_) => "the daemon is busy; asking again",
            _ => return false,
        };
        if self.failed >= TRIES {
            return false;
        }

        if self.failed == 0 {
            stdio::note(format_args!("hookboxctl: {what} ({})", clean(&error.to_string())));
        }
        self.failed += 1;
        true
    }

    /// Whether the last request had no answer.
    pub(super) fn is_away(&self) -> bool {
        self.failed > 0
    }

    /// The daemon has answered, which is reported after it did not.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.failed) > 0 {
            stdio::note("hookboxctl: connected again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CtlError, Reconnects, TRIES};

    #[test]
    fn a_daemon_is_asked_again_for_a_limited_number_of_times_in_a_row() {
        let (lost, busy) = (CtlError::Unreachable("x".into()), CtlError::Busy("y".into()));
        let mut reconnects = Reconnects::default();
        assert!(!reconnects.goes_on_after(&CtlError::Refused("no".into())));
        for round in 0..2 {
            assert!(!reconnects.is_away(), "{round}");
            for n in 0..TRIES {
                assert!(reconnects.goes_on_after(if n % 2 == 0 { &lost } else { &busy }), "{n}");
            }
            assert!(reconnects.is_away() && !reconnects.goes_on_after(&lost), "{round}");
            reconnects.answered();
        }
    }
}
