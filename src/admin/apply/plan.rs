//! What a set of files changes. Pure: the same configuration, the same set and the same options
//! give the same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::configured::Configured;
use super::fields::{changed, of_new};
use super::renames::{NameOrigins, resolve};
use super::wording::in_files;
use crate::api::apply::{ConfigurationSet, Entry};
use crate::api::views::{ApplyAction, FieldChangeView};
use crate::model::time::format_duration_ms;
use crate::model::{Endpoint, EndpointId, Source, WallMs, limits};
use crate::queue::OWN_SOURCE;
use crate::scheduler::Directory;

/// What is configured, at one moment.
#[derive(Clone, Debug, Default)]
pub struct ConfiguredNow {
    pub at: WallMs,
    pub sources: Vec<Arc<Source>>,
    /// With how many deliveries of each have not ended.
    pub endpoints: Vec<(Arc<Endpoint>, u64)>,
    /// Dead letters, by endpoint, as far as that is known.
    pub dead: BTreeMap<EndpointId, u64>,
}

impl ConfiguredNow {
    /// What a directory says: it does not know what waits.
    pub fn of(directory: &Directory, at: WallMs) -> Self {
        let mut sources: Vec<Arc<Source>> = directory.sources_by_name.values().cloned().collect();
        sources.sort_by_key(|source| source.id);
        let endpoints = directory.endpoints.iter().map(|endpoint| (endpoint.clone(), 0)).collect();
        Self { at, sources, endpoints, dead: BTreeMap::new() }
    }

    /// The sets that something belongs to.
    pub fn sets(&self) -> impl Iterator<Item = &str> {
        let sources = self.sources.iter().filter_map(|source| source.applied_set.as_deref());
        let endpoints = self.endpoints.iter();
        sources.chain(endpoints.filter_map(|(endpoint, _)| endpoint.applied_set.as_deref()))
    }

    /// Whether anything belongs to this set.
    pub fn has_set(&self, name: &str) -> bool {
        self.sets().any(|set| set == name)
    }
}

/// How a set is applied.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// The name of the set.
    pub set: Option<String>,
    /// Delete what has the name of the set and is not in it.
    pub prune: bool,
    /// Delete endpoints whose deliveries wait, and take from other sets.
    pub force: bool,
}

/// One source or endpoint that changes.
#[derive(Clone, Debug)]
pub struct PlannedChange<T> {
    /// What it is before; `None` for a new one.
    pub before: Option<Arc<T>>,
    /// What it is then; `None` when it is deleted.
    pub after: Option<T>,
    pub fields: Vec<FieldChangeView>,
    /// Deliveries of it that have not ended.
    pub waiting: u64,
    pub warnings: Vec<String>,
}

/// Everything that changes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub sources: Vec<PlannedChange<Source>>,
    pub endpoints: Vec<PlannedChange<Endpoint>>,
    /// Entries of the set that are as it says.
    pub unchanged: usize,
}

/// Something that stands in the way of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It cannot be, whatever else is configured.
    Invalid(String),
    /// What is configured now is in the way, or another entry.
    Conflict(String),
}

impl Obstacle {
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Invalid(why) | Self::Conflict(why) => why,
        }
    }

    /// The same, of an entry.
    fn of(self, noun: &str, name: &str) -> Self {
        match self {
            Self::Invalid(why) => Self::Invalid(format!("{noun}.{name}: {}", in_files(&why))),
            Self::Conflict(why) => Self::Conflict(format!("{noun}.{name}: {why}")),
        }
    }
}

impl<T: Configured> PlannedChange<T> {
    /// The name that it has then, or had.
    #[must_use]
    pub fn name(&self) -> &str {
        let before = || self.before.as_deref().map(Configured::name);
        self.after.as_ref().map(Configured::name).or_else(before).unwrap_or_default()
    }

    /// The name that it had, when it has another one then.
    #[must_use]
    pub fn previous_name(&self) -> Option<&str> {
        let (before, after) = (self.before.as_deref()?, self.after.as_ref()?);
        Some(before.name()).filter(|before| *before != after.name())
    }

    #[must_use]
    pub fn action(&self) -> ApplyAction {
        match (&self.before, &self.after) {
            (_, None) => ApplyAction::Delete,
            (None, Some(_)) => ApplyAction::Create,
            (Some(_), Some(_)) if self.previous_name().is_some() => ApplyAction::Rename,
            (Some(_), Some(_)) => ApplyAction::Change,
        }
    }
}

impl Plan {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.endpoints.is_empty()
    }
}

/// What `wanted` changes.
///
/// # Errors
/// Everything that stands in its way, an entry each.
pub fn plan(
    now: &ConfiguredNow,
    wanted: &ConfigurationSet,
    options: &PlanOptions,
) -> Result<Plan, Vec<Obstacle>> {
    if options.prune && options.set.is_none() {
        let why = "'prune' needs the name of a set: give --set, too";
        return Err(vec![Obstacle::Invalid(why.to_owned())]);
    }
    let would_delete = options.set.as_deref().is_some_and(|set| now.has_set(set));
    if options.prune && wanted.is_empty() && would_delete && !options.force {
        let why = "the files have no entry, so that 'prune' would delete the whole set: use \
                   --force if you mean that";
        return Err(vec![Obstacle::Conflict(why.to_owned())]);
    }
    let mut refusals = Vec::new();
    let of_sources: Vec<(Arc<Source>, u64)> = now.sources.iter().map(|s| (s.clone(), 0)).collect();
    let sources = PlanOfKind::of(&of_sources, &wanted.sources, (options, now.at), &mut refusals);
    let endpoints =
        PlanOfKind::of(&now.endpoints, &wanted.endpoints, (options, now.at), &mut refusals);

    let mut plan = Plan {
        unchanged: sources.unchanged + endpoints.unchanged,
        sources: sources.changes,
        endpoints: endpoints.changes,
    };
    follow_renames(&mut plan, &endpoints.untouched);
    check_senders(&plan, now, wanted, &mut refusals);
    warn_of_senders(&mut plan, &endpoints.untouched);

    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}

/// The plan for all sources, or for all endpoints.
struct PlanOfKind<T> {
    changes: Vec<PlannedChange<T>>,
    unchanged: usize,
    /// Those that the set does not speak of and that stay.
    untouched: Vec<(Arc<T>, u64)>,
}

impl<T: Configured> PlanOfKind<T> {
    fn of(
        there: &[(Arc<T>, u64)],
        wanted: &BTreeMap<String, Entry<T::Settings>>,
        (options, at): (&PlanOptions, WallMs),
        refusals: &mut Vec<Obstacle>,
    ) -> Self {
        let mut kind = Self { changes: Vec::new(), unchanged: 0, untouched: Vec::new() };
        let names: Vec<&str> = there.iter().map(|(one, _)| one.name()).collect();
        let origins = match resolve(T::NOUN, &names, wanted) {
            Ok(origins) => origins,
            Err(why) => {
                refusals.push(Obstacle::Conflict(why));
                return kind;
            }
        };

        for (name, entry) in wanted {
            let before = origins.get(name).map(|at| &there[*at]);
            match planned(name, entry, before, (options, at)) {
                Ok(Some(change)) => kind.changes.push(change),
                Ok(None) => kind.unchanged += 1,
                Err(why) => refusals.push(why.of(T::NOUN, name)),
            }
        }
        kind.prune(there, &origins, options, refusals);
        kind
    }

    /// Deletes what belongs to the set and is not in it.
    fn prune(
        &mut self,
        there: &[(Arc<T>, u64)],
        origins: &NameOrigins,
        options: &PlanOptions,
        refusals: &mut Vec<Obstacle>,
    ) {
        let spoken_of: BTreeSet<usize> = origins.values().copied().collect();
        let left = there.iter().enumerate().filter(|(at, _)| !spoken_of.contains(at));
        for (_, (one, waiting)) in left {
            let is_pruned = options.prune && one.applied_set() == options.set.as_deref();
            if !is_pruned {
                self.untouched.push((one.clone(), *waiting));
                continue;
            }

            if *waiting > 0 && !options.force {
                let why = match waiting {
                    1 => {
                        "1 of its deliveries has not ended: deleting it would cancel it: wait, or \
                          use --force"
                            .to_owned()
                    }
                    many => format!(
                        "{many} of its deliveries have not ended: deleting it would cancel them: \
                         wait, or use --force"
                    ),
                };
                refusals.push(Obstacle::Conflict(why).of(T::NOUN, one.name()));
            }
            self.changes.push(PlannedChange {
                before: Some(one.clone()),
                after: None,
                fields: Vec::new(),
                waiting: *waiting,
                warnings: Vec::new(),
            });
        }
    }
}

/// What becomes of one entry; `None` when it is as it says already.
fn planned<T: Configured>(
    name: &str,
    entry: &Entry<T::Settings>,
    before: Option<&(Arc<T>, u64)>,
    (options, at): (&PlanOptions, WallMs),
) -> Result<Option<PlannedChange<T>>, Obstacle> {
    let (before, waiting) = before.map_or((None, 0), |(one, waiting)| (Some(one), *waiting));
    if before.is_some_and(|before| before.is_temporary()) {
        let why = "is a bin, which is not for files: choose another name";
        return Err(Obstacle::Conflict(why.to_owned()));
    }

    let mut after = before.map_or_else(|| T::plain(name), |before| T::clone(before));
    after.rename(name);
    after.take(entry.settings.clone()).map_err(Obstacle::Invalid)?;
    after
        .take_secrets(&entry.settings, before.map(|before| &**before), at)
        .map_err(Obstacle::Invalid)?;
    if let Some(before) = before {
        after.forget_useless_secrets(&entry.settings, before);
    }
    if let Some(set) = options.set.as_deref() {
        if let Some(other) = after.applied_set().filter(|other| *other != set && !options.force) {
            let why = format!("belongs to the set '{other}': use --force to take it over");
            return Err(Obstacle::Conflict(why));
        }
        after.join(set);
    }

    let fields = match before {
        Some(before) if **before == after => return Ok(None),
        Some(before) => changed(&**before, &after),
        None => of_new(&after),
    };
    let warnings = before.and_then(|before| of_rotation(&**before, &after)).into_iter().collect();
    let change =
        PlannedChange { before: before.cloned(), after: Some(after), fields, waiting, warnings };
    Ok(Some(change))
}

/// Says that the secret there was is valid for a while longer.
fn of_rotation<T: Configured>(before: &T, after: &T) -> Option<String> {
    let newest = |one: &T| one.secrets().first().map(|newest| newest.secret.clone());
    let is_rotated = newest(before) != newest(after) && after.secrets().len() > 1;
    is_rotated.then(|| {
        let kept = format_duration_ms(limits::ROTATION_MS);
        format!("the old secret stays valid for {kept}: `rotate-secret --now` ends it at once")
    })
}

/// Endpoints that the set does not speak of go on taking the events of sources that are renamed.
fn follow_renames(plan: &mut Plan, untouched: &[(Arc<Endpoint>, u64)]) {
    let renamed: BTreeMap<&str, &str> = plan
        .sources
        .iter()
        .filter_map(|change| Some((change.previous_name()?, change.name())))
        .collect();

    let mut followers = Vec::new();
    for (endpoint, waiting) in untouched {
        let mut after = Endpoint::clone(endpoint);
        for from in &mut after.from {
            if let Some(name) = renamed.get(from.as_str()) {
                (*name).clone_into(from);
            }
        }
        if after != **endpoint {
            let fields = changed(&**endpoint, &after);
            followers.push(PlannedChange {
                before: Some(endpoint.clone()),
                after: Some(after),
                fields,
                waiting: *waiting,
                warnings: vec!["is not in the files: it follows the renamed source".to_owned()],
            });
        }
    }

    for change in plan.sources.iter_mut().filter(|change| change.previous_name().is_some()) {
        let path = change.after.as_ref().filter(|after| after.token.is_none()).map(Source::path);
        let warning = path.map(|path| format!("its senders have to post to {path} from now on"));
        change.warnings.extend(warning);
    }
    plan.endpoints.extend(followers);
}

/// Refuses entries that take the events of sources which there are not any more then.
fn check_senders(
    plan: &Plan,
    now: &ConfiguredNow,
    wanted: &ConfigurationSet,
    refusals: &mut Vec<Obstacle>,
) {
    let mut names: BTreeSet<&str> = now.sources.iter().map(|source| &*source.name).collect();
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    for change in &plan.sources {
        if let Some(before) = change.before.as_deref() {
            names.remove(before.name());
            gone.insert(before.name());
        }
    }
    for after in plan.sources.iter().filter_map(|change| change.after.as_ref()) {
        names.insert(after.name());
        gone.remove(after.name());
    }

    let is_changed = |name: &str| plan.endpoints.iter().any(|change| change.name() == name);
    for (name, entry) in &wanted.endpoints {
        let from = entry.settings.from.iter().flatten().map(|from| from.0.as_str());
        for from in from.filter(|from| *from != OWN_SOURCE && !names.contains(from)) {
            // What was not there before either is only in the way of a change.
            if gone.contains(from) || is_changed(name) {
                let why = format!(
                    "'from': there is no source '{from}' then: name another one, or put \
                     [source.{from}] into the files"
                );
                refusals.push(Obstacle::Conflict(why).of(Endpoint::NOUN, name));
            }
        }
    }
}

/// Says which endpoints get nothing new once a source is deleted.
fn warn_of_senders(plan: &mut Plan, untouched: &[(Arc<Endpoint>, u64)]) {
    for change in plan.sources.iter_mut().filter(|change| change.after.is_none()) {
        let name = change.name().to_owned();
        let is_its_own = |from: &[String]| !from.is_empty() && from.iter().all(|f| *f == name);
        let left = untouched.iter().filter(|(endpoint, _)| is_its_own(&endpoint.from));
        let warning = |(endpoint, _): &(Arc<Endpoint>, u64)| {
            format!(
                "endpoint {} selects only events of {name} and receives nothing new",
                endpoint.name
            )
        };
        change.warnings.extend(left.map(warning));
    }
}
