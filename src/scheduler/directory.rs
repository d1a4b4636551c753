//! What is configured right now, as ingest and outbound look it up. Published anew after each
//! change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Endpoint, EndpointId, Source};
use crate::queue::State;
use crate::queue::matcher::Matcher;

/// Sources and endpoints by what they are looked up by.
#[derive(Debug, Default)]
pub struct Directory {
    /// By the last part of its path: its token, or its name when it has none.
    pub sources_by_path: HashMap<String, Arc<Source>>,
    pub sources_by_name: HashMap<String, Arc<Source>>,
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The names of deleted endpoints that lists still show.
    pub former_endpoints: HashMap<EndpointId, String>,
    /// Salts the fingerprints of dedupe keys.
    pub salt: u64,
    /// What the endpoints want, compiled.
    pub matcher: Arc<Matcher>,
}

impl Directory {
    /// What the state says now.
    pub(super) fn of(state: &State, matcher: &Matcher) -> Self {
        let by = |key: fn(&Source) -> String| -> HashMap<_, _> {
            state.sources.values().map(|source| (key(source), source.clone())).collect()
        };
        let former = state.former().map(|endpoint| (endpoint.id, endpoint.name.clone()));

        Self {
            sources_by_path: by(|source| {
                source.token.clone().unwrap_or_else(|| source.name.clone())
            }),
            sources_by_name: by(|source| source.name.clone()),
            endpoints: state.living().map(|endpoint| endpoint.settings.clone()).collect(),
            former_endpoints: former.collect(),
            salt: state.salt,
            matcher: Arc::new(matcher.clone()),
        }
    }
}
