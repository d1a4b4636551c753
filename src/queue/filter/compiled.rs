//! A compiled filter.

use super::budget::{Steps, Stop};
use super::eval;
use super::input::FilterInput;
use super::parse;
use super::roots;
use super::syntax::Logical;

/// A compiled filter.
#[derive(Debug)]
pub struct Filter {
    logical: Logical,
}

impl Filter {
    /// Compiles an expression, within the limits of this module.
    ///
    /// # Errors
    /// Says where the expression is wrong, and shows a correct one.
    pub fn compile(expression: &str) -> Result<Self, String> {
        let logical = parse::parse(expression).map_err(|error| {
            let shown: String = expression.chars().take(200).collect();
            format!("--where '{shown}' {error}; write it like @.body.action == 'opened'")
        })?;
        Ok(Self { logical })
    }

    /// The first member of the event that it names and that no event has.
    #[must_use]
    pub fn unknown_member(&self) -> Option<&str> {
        roots::unknown(&self.logical)
    }

    /// Whether it holds for an event. Parses the body if it needs it.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    pub fn holds(&self, input: &FilterInput<'_>, steps: &mut Steps) -> Result<bool, Stop> {
        match self.attempt(input, steps) {
            Err(Stop::BodyNotRead) => input.read(steps).and_then(|()| self.attempt(input, steps)),
            result => result,
        }
    }

    /// Whether it holds for an event, without parsing the body.
    ///
    /// # Errors
    /// When it cannot be evaluated; [`Stop::BodyNotRead`] when it needs the body.
    pub fn attempt(&self, input: &FilterInput<'_>, steps: &mut Steps) -> Result<bool, Stop> {
        eval::holds(&self.logical, input, steps)
    }
}
