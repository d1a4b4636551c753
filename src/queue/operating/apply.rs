//! Several sources and endpoints are changed at once, from files: in one commit, or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::operator::no_source;
use crate::model::check_name;
use crate::model::{Endpoint, EndpointId, Now, Source, SourceId, limits};
use crate::queue::action::{Action, Maintenance};
use crate::queue::decision::Refusal;
use crate::queue::notices::OWN_SOURCE;
use crate::queue::request::{Growth, QueueRequest};
use crate::queue::settings::{SettingsOwner, SettingsSizes};
use crate::queue::subscription::Subscription;
use crate::queue::{Draft, Queue};
use crate::record::Record;

/// Changes what is configured, all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct ApplySettings {
    /// What it was planned from.
    pub expected: ExpectedSettings,
    /// Those that are made (with the number 0; number and time are filled in) or replaced.
    pub sources: Vec<Source>,
    pub endpoints: Vec<Endpoint>,
    /// What these endpoints subscribe to, in their order, compiled elsewhere.
    pub subscriptions: Vec<Arc<Subscription>>,
    pub delete_sources: Vec<SourceId>,
    pub delete_endpoints: Vec<EndpointId>,
    /// Also delete endpoints with deliveries that have not ended, which cancels them.
    pub cancel: bool,
    /// Only find out whether it can be done.
    pub dry_run: bool,
}

/// What is configured, as whoever asks has seen it, in the order of the numbers.
#[derive(Clone, Debug, Default)]
pub struct ExpectedSettings {
    pub sources: Vec<Arc<Source>>,
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsApplied {
    /// It was done, and so many deliveries were cancelled.
    Done { cancelled: usize },
    /// Something was configured meanwhile: it has to be planned anew.
    Outdated,
}

impl QueueRequest for ApplySettings {
    type Answer = SettingsApplied;

    fn decide(
        mut self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<SettingsApplied, Refusal> {
        if !self.expected.still_holds(queue) {
            return Ok(SettingsApplied::Outdated);
        }
        self.number(queue, now);
        self.check(queue)?;
        let sizes = self.sizes(queue)?;

        let cancelled = self.waiting(queue);
        if self.dry_run {
            return Ok(SettingsApplied::Done { cancelled });
        }
        queue.settings = sizes;
        self.remember(queue, now, draft);
        Ok(SettingsApplied::Done { cancelled })
    }

    fn growth(&self) -> Growth<'_> {
        Growth::Settings
    }
}

impl ExpectedSettings {
    fn still_holds(&self, queue: &Queue) -> bool {
        // What nobody has changed is the very same value.
        let sources = queue.state.sources.values();
        let endpoints = queue.state.living().map(|endpoint| &endpoint.settings);
        sources.eq_by_identity(&self.sources) && endpoints.eq_by_identity(&self.endpoints)
    }
}

trait EqByIdentity<'a, T: 'a>: Iterator<Item = &'a Arc<T>> + Sized {
    fn eq_by_identity(mut self, expected: &[Arc<T>]) -> bool {
        let same = expected
            .iter()
            .all(|expected| self.next().is_some_and(|there| Arc::ptr_eq(there, expected)));
        same && self.next().is_none()
    }
}

impl<'a, T: 'a, I: Iterator<Item = &'a Arc<T>>> EqByIdentity<'a, T> for I {}

impl ApplySettings {
    /// Fills in numbers and times of what is new.
    fn number(&mut self, queue: &Queue, now: Now) {
        let new = self.sources.iter_mut().filter(|source| source.id == 0);
        for (id, source) in (queue.state.next_source..).zip(new) {
            (source.id, source.created_at) = (id, now.wall_ms);
        }
        let new = self.endpoints.iter_mut().filter(|endpoint| endpoint.id == 0);
        for (id, endpoint) in (queue.state.next_endpoint..).zip(new) {
            (endpoint.id, endpoint.created_at) = (id, now.wall_ms);
        }
    }

    /// Everything that a request for one of them alone would be refused for.
    fn check(&self, queue: &Queue) -> Result<(), Refusal> {
        let set = self.sources.iter().map(|source| source.id);
        let touched: BTreeSet<SourceId> = self.delete_sources.iter().copied().chain(set).collect();
        let stays = |id: &SourceId| !touched.contains(id);
        let there = queue.state.sources.values().filter(|source| stays(&source.id));
        let sources =
            distinct("source", there.map(AsRef::as_ref).chain(&self.sources).map(|s| &*s.name))?;
        let own = self.sources.iter().find(|source| source.name == OWN_SOURCE);
        if own.is_some() {
            return Err(Refusal::Invalid(format!(
                "source.{OWN_SOURCE}: is built in: choose another name"
            )));
        }

        let set = self.endpoints.iter().map(|endpoint| endpoint.id);
        let touched: BTreeSet<EndpointId> =
            self.delete_endpoints.iter().copied().chain(set).collect();
        let stays = |id: &EndpointId| !touched.contains(id);
        let there = queue.state.living().map(|endpoint| endpoint.settings.as_ref());
        let there = there.filter(|endpoint| stays(&endpoint.id));
        let endpoints = distinct("endpoint", there.chain(&self.endpoints).map(|e| &*e.name))?;
        if sources.len() > limits::SOURCES {
            return Err(Refusal::TooMany { what: "sources", limit: limits::SOURCES });
        }
        if endpoints.len() > limits::ENDPOINTS {
            return Err(Refusal::TooMany { what: "endpoints", limit: limits::ENDPOINTS });
        }

        for (at, endpoint) in self.endpoints.iter().enumerate() {
            for from in endpoint.from.iter().filter(|from| *from != OWN_SOURCE) {
                if !sources.contains(from.as_str()) {
                    return Err(no_source(from));
                }
            }
            let of = |refusal| of_endpoint(&endpoint.name, refusal);
            queue.check_subscription(endpoint, &self.subscription(at)).map_err(of)?;
        }
        self.check_deleted(queue)
    }

    fn check_deleted(&self, queue: &Queue) -> Result<(), Refusal> {
        for id in &self.delete_endpoints {
            let Some(endpoint) = queue.state.find(*id) else { continue };
            if endpoint.undone > 0 && !self.cancel {
                return Err(Refusal::Impossible(format!(
                    "endpoint.{}: {} of its deliveries have not ended: deleting it would cancel \
                     them: wait, or use --force",
                    endpoint.settings.name, endpoint.undone
                )));
            }
        }
        Ok(())
    }

    /// The subscription of the endpoint at this place.
    fn subscription(&self, at: usize) -> Arc<Subscription> {
        let compiled = self.subscriptions.get(at);
        let fits = compiled.filter(|compiled| compiled.fits(&self.endpoints[at]));
        fits.cloned().unwrap_or_else(|| Arc::new(Subscription::of(&self.endpoints[at])))
    }

    /// What all settings take then.
    fn sizes(&self, queue: &Queue) -> Result<SettingsSizes, Refusal> {
        let mut sizes = queue.settings.clone();
        self.delete_sources.iter().for_each(|id| sizes.forget(SettingsOwner::Source(*id)));
        self.delete_endpoints.iter().for_each(|id| sizes.forget(SettingsOwner::Endpoint(*id)));
        for source in &self.sources {
            sizes.account(SettingsOwner::Source(source.id), &source.name, source)?;
        }
        for endpoint in &self.endpoints {
            sizes.account(SettingsOwner::Endpoint(endpoint.id), &endpoint.name, endpoint)?;
        }
        Ok(sizes)
    }

    /// How many deliveries it cancels.
    fn waiting(&self, queue: &Queue) -> usize {
        let deleted = self.delete_endpoints.iter().filter_map(|id| queue.state.find(*id));
        let undone: u64 = deleted.map(|endpoint| endpoint.undone).sum();
        usize::try_from(undone).unwrap_or(usize::MAX)
    }

    fn remember(self, queue: &mut Queue, now: Now, draft: &mut Draft) {
        let subscriptions: Vec<Arc<Subscription>> =
            (0..self.endpoints.len()).map(|at| self.subscription(at)).collect();

        for source in self.sources {
            queue.remember(Record::SourceSet { source: Box::new(source) }, draft);
        }
        for (endpoint, subscription) in self.endpoints.into_iter().zip(subscriptions) {
            queue.put_endpoint(now, endpoint, subscription, draft);
        }
        for id in self.delete_endpoints {
            queue.remove_endpoint(now, id, draft);
        }
        for source in self.delete_sources {
            queue.remember(Record::SourceDeleted { source }, draft);
        }
        draft.actions.push(Action::Maintain(Maintenance::Publish));
    }
}

/// The names, of which each is one that can be and there once.
fn distinct<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<&'a str>, Refusal> {
    let mut distinct = BTreeSet::new();
    for name in names {
        check_name(name).map_err(Refusal::Invalid)?;
        if !distinct.insert(name) {
            return Err(Refusal::Exists { what, name: name.to_owned() });
        }
    }
    Ok(distinct)
}

/// A refusal about one endpoint of several.
fn of_endpoint(name: &str, refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Invalid(why) => Refusal::Invalid(format!("endpoint.{name}: {why}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{ApplySettings, ExpectedSettings, SettingsApplied};
    use crate::model::{Endpoint, Outcome, Source};
    use crate::queue::Refusal;
    use crate::queue::testing::{TestQueue, answered};
    use crate::record::Record;

    /// What is configured now.
    fn expected(world: &TestQueue) -> ExpectedSettings {
        let state = world.queue.state();
        ExpectedSettings {
            sources: state.sources.values().cloned().collect(),
            endpoints: state.living().map(|endpoint| endpoint.settings.clone()).collect(),
        }
    }

    fn ask(world: &mut TestQueue, request: ApplySettings) -> Result<SettingsApplied, Refusal> {
        let decision = world.queue.handle(world.now, request);
        world.records.extend(decision.records);
        decision.answer
    }

    #[test]
    fn all_of_it_is_one_decision_or_none() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        let before = world.queue.state().clone();
        let mut new = Endpoint::new("new", "http://new.example/");
        new.from = vec!["shop".into()];
        let request = ApplySettings {
            expected: expected(&world),
            sources: vec![Source::new("shop", "none")],
            endpoints: vec![new.clone(), Endpoint::new("app", "http://other.example/")],
            ..ApplySettings::default()
        };
        let refused = ask(&mut world, request).expect_err("two of one name");
        assert!(matches!(refused, Refusal::Exists { .. }), "{refused}");
        assert_eq!(*world.queue.state(), before, "what is refused changes nothing");

        let request = ApplySettings {
            expected: expected(&world),
            sources: vec![Source::new("shop", "none")],
            endpoints: vec![new],
            delete_endpoints: vec![1],
            ..ApplySettings::default()
        };
        let dry = ApplySettings { dry_run: true, ..request.clone() };
        assert_eq!(ask(&mut world, dry), Ok(SettingsApplied::Done { cancelled: 0 }));
        assert_eq!(*world.queue.state(), before, "neither does a dry run");

        assert_eq!(ask(&mut world, request), Ok(SettingsApplied::Done { cancelled: 0 }));
        let last = world.records.len();
        let kinds: Vec<&Record> = world.records[last - 3..].iter().collect();
        assert!(
            matches!(
                kinds[..],
                [
                    Record::SourceSet { .. },
                    Record::EndpointSet { .. },
                    Record::EndpointDeleted { .. }
                ]
            ),
            "{kinds:?}"
        );
        let names: Vec<String> =
            world.queue.state().living().map(|e| e.settings.name.clone()).collect();
        assert_eq!(names, ["new"]);
    }

    #[test]
    fn what_was_planned_from_something_else_is_outdated() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        let seen = expected(&world);
        world.input(crate::queue::CreateSource(Box::new(Source::new("other", "none"))));
        let request =
            ApplySettings { expected: seen, delete_endpoints: vec![1], ..ApplySettings::default() };
        assert_eq!(ask(&mut world, request), Ok(SettingsApplied::Outdated));
        assert_eq!(world.queue.state().living().count(), 1);
    }

    #[test]
    fn a_renamed_endpoint_keeps_its_deliveries_and_one_that_waits_is_not_deleted() {
        let mut world = TestQueue::new([Endpoint::new("old", "http://app.example/")]);
        world.accept("1");
        let first = world.attempts[0];
        let report = answered(world.now, Outcome::Retryable { after_ms: None }, 503);
        world.finish(first, report);

        let mut renamed = Endpoint::clone(&expected(&world).endpoints[0]);
        renamed.name = "new".into();
        let request = ApplySettings {
            expected: expected(&world),
            endpoints: vec![renamed],
            ..ApplySettings::default()
        };
        assert_eq!(ask(&mut world, request), Ok(SettingsApplied::Done { cancelled: 0 }));
        let endpoint = world.queue.state().find(1).expect("it is the same one");
        assert_eq!((endpoint.settings.name.as_str(), endpoint.undone), ("new", 1));

        let deleting = |world: &TestQueue, cancel| ApplySettings {
            expected: expected(world),
            delete_endpoints: vec![1],
            cancel,
            ..ApplySettings::default()
        };
        let refused = deleting(&world, false);
        let refused = ask(&mut world, refused).expect_err("it waits").to_string();
        assert!(refused.contains("endpoint.new: 1 of its deliveries"), "{refused}");
        let forced = deleting(&world, true);
        assert_eq!(ask(&mut world, forced), Ok(SettingsApplied::Done { cancelled: 1 }));
    }
}
