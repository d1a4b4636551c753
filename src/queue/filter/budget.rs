//! The work that a filter may do, counted in steps.

/// Why a filter could not be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// There are no steps left.
    OutOfSteps,
    /// It needs a part of the body that lies beyond the limits, or a longer regular expression of
    /// the event's own than there may be: more steps do not help.
    BeyondLimit,
    /// It needs the body, which has not been parsed yet.
    BodyNotRead,
}

/// The steps that are left.
#[derive(Clone, Copy, Debug)]
pub struct Steps(u64);

impl Steps {
    #[must_use]
    pub fn new(steps: u64) -> Self {
        Self(steps)
    }

    #[must_use]
    pub fn left(&self) -> u64 {
        self.0
    }

    /// Uses up this many steps.
    ///
    /// # Errors
    /// When fewer are left. Then none are left.
    pub fn take(&mut self, steps: usize) -> Result<(), Stop> {
        match self.0.checked_sub(steps as u64) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Stop::OutOfSteps)
            }
        }
    }
}
