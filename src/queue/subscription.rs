//! Which events one endpoint subscribes to: sources, types, and a filter.

use super::filter::{Filter, FilterInput};
use super::stream::order::Keys;
use crate::model::Endpoint;
use crate::model::glob::CompiledGlob;

/// The events that one endpoint wants, compiled.
#[derive(Debug)]
pub struct Subscription {
    /// Names of sources; any source when there are none.
    from: Vec<String>,
    /// Globs over event types, as text and compiled; any type when there are none.
    types: Vec<(String, CompiledGlob)>,
    /// The text of the filter, and the compiled filter or its error. An endpoint with a malformed
    /// filter is refused when it is created, so only a record of another version can hold one.
    filter: Option<(String, Result<Filter, String>)>,
    /// The JSON Pointers of its ordering key and of what catching up keeps the latest of.
    pointers: Vec<String>,
}

impl Subscription {
    /// Compiles the subscription of an endpoint.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        Self {
            from: endpoint.from.clone(),
            types: endpoint.types.iter().map(|t| (t.clone(), CompiledGlob::new(t))).collect(),
            filter: endpoint.filter.as_ref().map(|text| (text.clone(), Filter::compile(text))),
            pointers: Keys::of(endpoint).pointers().cloned().collect(),
        }
    }

    /// The error of its filter.
    #[must_use]
    pub fn fault(&self) -> Option<&String> {
        self.filter.as_ref().and_then(|(_, filter)| filter.as_ref().err())
    }

    /// The first member of the event that its filter names and that no event has.
    #[must_use]
    pub fn unknown_member(&self) -> Option<&str> {
        self.filter.as_ref()?.1.as_ref().ok()?.unknown_member()
    }

    /// Whether it is the subscription of this endpoint, as its settings are now.
    pub(super) fn fits(&self, endpoint: &Endpoint) -> bool {
        self.from == endpoint.from
            && self.types.iter().map(|(glob, _)| glob).eq(&endpoint.types)
            && self.filter.as_ref().map(|(text, _)| text) == endpoint.filter.as_ref()
            && self.pointers.iter().eq(Keys::of(endpoint).pointers())
    }

    /// Whether the source matches. The daemon's `own` events go only to endpoints that name their
    /// source.
    pub(super) fn takes_source(&self, own: bool, input: &FilterInput<'_>) -> bool {
        (self.from.is_empty() && !own) || self.names(input.source())
    }

    /// Whether the type matches.
    pub(super) fn takes_type(&self, input: &FilterInput<'_>) -> bool {
        self.types.is_empty() || self.types.iter().any(|(_, glob)| glob.matches(input.kind()))
    }

    /// The filter; an error when it is malformed.
    pub(super) fn filter(&self) -> Option<Result<&Filter, &String>> {
        self.filter.as_ref().map(|(_, filter)| filter.as_ref())
    }

    /// Whether it names this source.
    pub(super) fn names(&self, source: &str) -> bool {
        self.from.iter().any(|from| from == source)
    }

    /// The JSON Pointers whose keys it needs.
    pub(super) fn pointers(&self) -> &[String] {
        &self.pointers
    }
}
