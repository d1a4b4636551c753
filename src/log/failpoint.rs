//! Fail points: places in a commit, a roll, a drop and a start where a test lets the process die.
//!
//! Without the feature `failpoints`, which no release has, a point is nothing. With it, `HOOKBOX_FAIL_AT` names where:
//! `POINT`, `POINT:3` for the third time it is reached, `FIRST>POINT` for the first time after `FIRST` was reached;
//! with `!panic` at its end the thread panics, else the process is killed as by `kill -9`.

/// A point is reached.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn reached(_point: &str) {}

#[cfg(feature = "failpoints")]
pub(crate) use armed::reached;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::{Mutex, PoisonError};

    /// What is still to be reached, in this order, and how often.
    static PLAN: Mutex<Option<Plan>> = Mutex::new(None);

    struct Plan {
        steps: Vec<(String, u32)>,
        panics: bool,
    }

    impl Plan {
        fn from_environment() -> Self {
            let text = std::env::var("HOOKBOX_FAIL_AT").unwrap_or_default();
            let (points, panics) = match text.strip_suffix("!panic") {
                Some(points) => (points, true),
                None => (&*text, false),
            };
            let step = |one: &str| match one.split_once(':') {
                Some((point, times)) => (point.to_owned(), times.parse().unwrap_or(1)),
                None => (one.to_owned(), 1),
            };
            let mut steps: Vec<_> = points.split('>').filter(|one| !one.is_empty()).map(step).collect();
            steps.reverse();
            Self { steps, panics }
        }

        /// Whether this was the last of what was to be reached.
        fn is_due(&mut self, point: &str) -> bool {
            let Some((wanted, times)) = self.steps.last_mut() else { return false };
            if wanted != point {
                return false;
            }
            *times -= 1;
            if *times > 0 {
                return false;
            }
            self.steps.pop();
            self.steps.is_empty()
        }
    }

    pub(crate) fn reached(point: &str) {
        let panics = {
            let mut plan = PLAN.lock().unwrap_or_else(PoisonError::into_inner);
            let plan = plan.get_or_insert_with(Plan::from_environment);
            if !plan.is_due(point) {
                return;
            }
            plan.panics
        };
        assert!(!panics, "the fail point {point} was reached");
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
