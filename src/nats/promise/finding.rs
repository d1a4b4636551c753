//! A sentence of the promise, and how much it matters.

use std::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is so, and as good as it can be.
    Note,
    /// Something that was acknowledged can be lost, or stored twice.
    Weak,
    /// It cannot work so.
    Broken,
}

/// One sentence of the promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Note => "promise",
            Weight::Weak => "weaker",
            Weight::Broken => "impossible",
        };
        write!(f, "{weight}: {}", self.text)
    }
}

/// The sentences about one route.
#[derive(Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn add(&mut self, weight: Weight, text: impl Into<String>) {
        self.0.push(Finding { weight, text: text.into() });
    }
}

/// A bound of the server, where -1 and 0 are none.
pub fn limit(given: impl TryInto<u64>) -> Option<u64> {
    given.try_into().ok().filter(|given| *given > 0)
}
