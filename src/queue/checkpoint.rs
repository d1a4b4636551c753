//! The state as bytes: how a checkpoint is written and read.

use std::io;

use super::state::{CHECKPOINT_VERSION, State, StateError};

impl State {
    /// The state as a checkpoint.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_checkpoint(&mut bytes).expect("the state serializes into memory");
        bytes
    }

    /// The same, without having all of it in memory.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_checkpoint(&self, mut out: impl io::Write) -> io::Result<()> {
        out.write_all(&[CHECKPOINT_VERSION])?;
        rmp_serde::encode::write(&mut out, self).map_err(|error| match error {
            rmp_serde::encode::Error::InvalidValueWrite(error) => io::Error::from(error),
            error => io::Error::other(error),
        })
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// When it was written by another version, or is damaged.
    pub fn from_checkpoint(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&CHECKPOINT_VERSION, rest)) => {
                let mut state: Self = rmp_serde::from_slice(rest)?;
                for endpoint in state.endpoints.values_mut() {
                    endpoint.remembered_mut().pause_if_held(state.ran_ms);
                }
                Ok(state)
            }
            Some((&found, _)) => Err(StateError::Version { found }),
            None => Err(StateError::Version { found: 0 }),
        }
    }
}
