//! Writing a large body ahead of its commit: some of its blocks at a time, between the commits of
//! others. So nobody waits for a whole body.
//!
//! Nothing depends on it: a commit writes what is left, and a body that was never committed is
//! nothing (see [`super::layout`]).

use std::sync::Arc;

use super::append::{Log, active};
use super::blocks::BodyBlocks;
use super::body_ahead::BodyAhead;
use super::error::LogError;
use super::failpoint;
use crate::model::limits;

impl Log {
    /// Writes the next blocks of a body that a commit is going to hold, durable when it returns.
    /// Returns false, and writes nothing, when so little is left that a commit may write it. Only
    /// one body is written at a time: another one takes its place.
    ///
    /// # Errors
    /// As for a commit.
    pub fn write_ahead(&mut self, body: &Arc<BodyBlocks>) -> Result<bool, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let segment = active(&self.active)?;
        let mut ahead = match self.ahead.take().filter(|ahead| ahead.is_of(body)) {
            Some(ahead) => ahead,
            None => match segment.ahead_writer()? {
                Some(writer) => BodyAhead::new(body.clone(), writer),
                None => return Ok(false),
            },
        };
        if ahead.left() <= limits::AHEAD_BYTES {
            self.ahead = Some(ahead);
            return Ok(false);
        }

        // An error on the way leaves the log poisoned.
        self.poisoned = true;
        ahead.write(limits::AHEAD_BYTES)?;
        failpoint::reached("ahead.written");
        segment.sync()?;
        failpoint::reached("ahead.synced");
        self.segments.gauge.measure_commit(segment.disk_bytes());
        (self.ahead, self.poisoned) = (Some(ahead), false);
        Ok(true)
    }

    /// Bytes of the body that is being written ahead, as far as they are durable.
    #[must_use]
    pub fn ahead_bytes(&self) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.written)
    }

    /// Forgets the body that was written ahead, unless it is this one: its request was decided on.
    pub fn keep_ahead_of(&mut self, body: Option<&Arc<BodyBlocks>>) {
        let is_wanted = |ahead: &BodyAhead| body.is_some_and(|body| ahead.is_of(body));
        self.ahead = self.ahead.take().filter(is_wanted);
    }
}
