//! A daemon that does what a plan says at once.

use std::sync::Arc;

use super::super::configured::Configured;
use super::super::configured::MakeSecrets;
use super::super::export;
use super::super::plan::{ConfiguredNow, Plan, PlanOptions, PlannedChange, plan};
use crate::api::ConfigurationSet;
use crate::api::apply::{FileFormat, toml_text};
use crate::model::{Endpoint, Source};

/// What is configured, and the next numbers.
#[derive(Clone, Debug)]
pub(super) struct PlanWorld {
    pub now: ConfiguredNow,
    next: u32,
}

impl PlanWorld {
    pub(super) fn new() -> Self {
        Self { now: ConfiguredNow::default(), next: 1 }
    }

    /// Does what is planned, as the daemon does.
    pub(super) fn perform(&mut self, plan: Plan) {
        for change in plan.sources {
            let (id, after) = self.made(change);
            self.now.sources.retain(|source| source.id != id);
            self.now.sources.extend(after.map(Arc::new));
        }
        for change in plan.endpoints {
            let waiting = change.waiting;
            let (id, after) = self.made(change);
            self.now.endpoints.retain(|(endpoint, _)| endpoint.id != id);
            self.now.endpoints.extend(after.map(|after| (Arc::new(after), waiting)));
        }
        self.now.sources.sort_by_key(|source| source.id);
        self.now.endpoints.sort_by_key(|(endpoint, _)| endpoint.id);
    }

    fn made<T: Configured + Numbered>(&mut self, change: PlannedChange<T>) -> (u32, Option<T>) {
        let make = MakeSecrets { secret: &|| "whsec_made".into(), token: &|| "made".into() };
        let id = change.before.as_deref().map_or(self.next, |before| before.id());
        let after = change.after.map(|mut after| {
            after.fill(&make);
            after.number(id);
            after
        });
        self.next = self.next.max(id + 1);
        (id, after)
    }

    /// Applies the text of a file.
    pub(super) fn apply(&mut self, text: &str, options: &PlanOptions) -> Result<Plan, Vec<String>> {
        let plan = self.plan(text, options)?;
        self.perform(plan.clone());
        Ok(plan)
    }

    pub(super) fn plan(&self, text: &str, options: &PlanOptions) -> Result<Plan, Vec<String>> {
        let planned = plan(&self.now, &read(text), options);
        planned.map_err(|whys| whys.iter().map(|why| why.why().to_owned()).collect())
    }

    /// What is exported, read back.
    pub(super) fn exported(&self) -> ConfigurationSet {
        let export = export(&self.now, None);
        let text = toml_text(&export).expect("TOML can hold it");
        let of_toml = read(&text);

        let json = serde_json::to_string(&export).expect("JSON");
        let file = std::path::Path::new("a.json");
        let of_json = ConfigurationSet::parse(&json, FileFormat::Json, file).expect("well-formed");
        assert_eq!(of_toml, of_json, "{text}");
        of_toml
    }

    pub(super) fn endpoint(&self, name: &str) -> Arc<Endpoint> {
        let found = self.now.endpoints.iter().find(|(endpoint, _)| endpoint.name == name);
        found.unwrap_or_else(|| panic!("no endpoint {name}")).0.clone()
    }

    pub(super) fn source(&self, name: &str) -> Arc<Source> {
        let found = self.now.sources.iter().find(|source| source.name == name);
        found.unwrap_or_else(|| panic!("no source {name}")).clone()
    }

    /// Changes one as the operator does, beside the files.
    pub(super) fn change_endpoint(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Endpoint, &mut u64),
    ) {
        let found = self.now.endpoints.iter_mut().find(|(endpoint, _)| endpoint.name == name);
        let (endpoint, waiting) = found.expect("there");
        act(Arc::make_mut(endpoint), waiting);
    }

    pub(super) fn change_source(&mut self, name: &str, act: impl FnOnce(&mut Source)) {
        let found = self.now.sources.iter_mut().find(|source| source.name == name);
        act(Arc::make_mut(found.expect("there")));
    }
}

/// What a daemon gives to what is new.
pub(super) trait Numbered {
    fn id(&self) -> u32;
    fn number(&mut self, id: u32);
}

impl Numbered for Source {
    fn id(&self) -> u32 {
        self.id
    }

    fn number(&mut self, id: u32) {
        (self.id, self.created_at) = (id, 1_800_000_000_000);
    }
}

impl Numbered for Endpoint {
    fn id(&self) -> u32 {
        self.id
    }

    fn number(&mut self, id: u32) {
        (self.id, self.created_at) = (id, 1_800_000_000_000);
    }
}

pub(super) fn read(text: &str) -> ConfigurationSet {
    let file = std::path::Path::new("a.toml");
    ConfigurationSet::parse(text, FileFormat::Toml, file)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}
