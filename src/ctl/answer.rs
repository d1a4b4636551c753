//! Answers of the daemon: JSON as it came, and the views of `api` that are read out of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::error::CtlError;
use crate::api::views::{MoreLine, MoreView, ProblemLine, ProblemView};

/// The bytes of a body that an answer holds in base64.
pub(super) fn decoded_body(base64: &str) -> Result<Vec<u8>, CtlError> {
    STANDARD.decode(base64).map_err(|error| {
        CtlError::Refused(format!("the daemon's answer has no body in base64: {error}"))
    })
}

/// An answer, or a line of one. Programs get it to the letter, with fields that only a later daemon
/// sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Answer(Box<RawValue>);

impl Answer {
    /// Reads one line.
    pub(super) fn read(line: &[u8]) -> Result<Self, CtlError> {
        serde_json::from_slice(line).map(Self).map_err(|error| {
            CtlError::Refused(format!(
                "the daemon's answer is not JSON ({error}): is this its admin socket, and of this \
                 version?"
            ))
        })
    }

    /// An answer that is made here, for commands that need no daemon.
    pub(super) fn of(answer: &impl Serialize) -> Result<Self, CtlError> {
        to_raw_value(answer).map(Self).map_err(|error| {
            CtlError::Refused(format!("the result cannot be written as JSON: {error}"))
        })
    }

    /// As it came.
    pub(super) fn json(&self) -> &str {
        self.0.get()
    }

    /// What it says.
    pub(super) fn view<V: DeserializeOwned>(&self) -> Result<V, CtlError> {
        serde_json::from_str(self.json()).map_err(|error| {
            CtlError::Refused(format!(
                "this hookboxctl does not understand the daemon's answer ({error}): use the one of \
                 the daemon's version, or --json"
            ))
        })
    }

    /// How a list goes on that was answered before its end: a line of its own.
    pub(super) fn more(&self) -> Option<MoreView> {
        let is_one = self.json().starts_with("{\"more\":");
        is_one.then(|| serde_json::from_str::<MoreLine>(self.json()).ok()).flatten().map(|l| l.more)
    }

    /// The problem that ended a list: a line of its own.
    pub(super) fn problem(&self) -> Option<String> {
        let ProblemLine { problem } = serde_json::from_str(self.json()).ok()?;
        Some(detail(problem).unwrap_or_else(|| self.json().to_owned()))
    }
}

/// What is wrong, in the daemon's words.
pub(super) fn detail(problem: ProblemView) -> Option<String> {
    Some(problem.detail).filter(|detail| !detail.is_empty())
}

/// A view together with all fields of its answer, also those that the view does not know.
#[derive(Debug)]
pub struct Whole<V> {
    pub(super) view: V,
    pub(super) fields: Map<String, Value>,
}

impl<'de, V: DeserializeOwned> Deserialize<'de> for Whole<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        let view = V::deserialize(Value::Object(fields.clone())).map_err(D::Error::custom)?;
        Ok(Self { view, fields })
    }
}
