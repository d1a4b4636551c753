//! Fail points: places in a commit, a roll, a drop and a start where a test lets the process die.
//!
//! Where debug assertions are off, as in every release, a point does nothing. Where they are on,
//! `HOOKBOX_FAIL_AT` says where the process dies:
//!
//! * `POINT`: when it is reached; `POINT:3`: when it is reached for the third time;
//! * `FIRST>POINT`: when it is reached for the first time after `FIRST` was reached;
//! * with `!panic` at the end the thread panics, with `!hang` it goes no further; else the process
//!   is killed as by `kill -9`.
//!
//! So the programs that `cargo test` builds have fail points, and no second build is needed.

/// A point is reached.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn reached(_point: &str) {}

#[cfg(debug_assertions)]
pub(crate) use armed::reached;

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{Mutex, PoisonError};

    static PLAN: Mutex<Option<FailPlan>> = Mutex::new(None);

    /// The points still to be reached, and how often each.
    struct FailPlan {
        /// The next one is the last.
        steps: Vec<(String, u32)>,
        end: FailEnd,
    }

    /// What happens there.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum FailEnd {
        Kill,
        Panic,
        Hang,
    }

    impl FailPlan {
        fn from_environment() -> Self {
            let text = std::env::var("HOOKBOX_FAIL_AT").unwrap_or_default();
            let (points, end) = match text.split_once('!') {
                Some((points, "panic")) => (points, FailEnd::Panic),
                Some((points, "hang")) => (points, FailEnd::Hang),
                _ => (&*text, FailEnd::Kill),
            };

            let step = |one: &str| match one.split_once(':') {
                Some((point, times)) => (point.to_owned(), times.parse().unwrap_or(1)),
                None => (one.to_owned(), 1),
            };
            let mut steps: Vec<_> =
                points.split('>').filter(|one| !one.is_empty()).map(step).collect();
            steps.reverse();
            Self { steps, end }
        }

        /// Whether the last step of the plan is reached by this point.
        fn is_due(&mut self, point: &str) -> bool {
            let Some((planned, times)) = self.steps.last_mut() else { return false };
            if planned != point {
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
        let end = {
            let mut plan = PLAN.lock().unwrap_or_else(PoisonError::into_inner);
            let plan = plan.get_or_insert_with(FailPlan::from_environment);
            if !plan.is_due(point) {
                return;
            }
            plan.end
        };

        assert!(end != FailEnd::Panic, "the fail point {point} was reached");
        if end == FailEnd::Kill {
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        }
        loop {
            std::thread::park();
        }
    }
}
