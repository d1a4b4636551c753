//! Which endpoints an event goes to: by source name, by glob over the type, and by an RFC 9535
//! filter.
//!
//! An event is matched before it is handed to the queue, outside of the queue, because the sender
//! decides what matching costs (see `filter`). The queue gets the result as data, a [`FanOut`]. The
//! same holds for ordering keys, which are found in the body, too. Only the daemon's own events are
//! matched by the queue itself, within `limits::FILTER_OWN_STEPS` and at the pace of
//! `limits::FILTER_OWN_PACE`.
//!
//! **Settings that change meanwhile:** an event goes by the settings of the moment when it was
//! matched. These are at least as new as the settings that were answered before it came. An
//! endpoint that is created between matching and acceptance counts as created after it; a deleted
//! one gets nothing.
//!
//! A filter that cannot be evaluated, because it takes too many steps or needs what lies beyond
//! `limits::FILTER_BYTES` of a body, does not match: no endpoint gets events that it must not get.
//! This is reported: `Record::FilterUndecided` names those endpoints, they count it, and the
//! operator is notified, so that the event can be replayed to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::filter::{Filter, Stop};
pub use super::filter::{FilterInput, Steps};
pub use super::new_event::FanOut;
use super::new_event::{Matched, NewEvent};
use super::notices::OWN_SOURCE;
use super::stream::order::key_at;
pub use super::subscription::Subscription;
use crate::model::{Endpoint, EndpointId, Event, limits};

/// The subscriptions of all endpoints. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    by_endpoint: BTreeMap<EndpointId, Arc<Subscription>>,
    /// Those that want the daemon's own events. Kept, because it is asked for each event and filter
    /// of a batch whether there is one.
    want_own: BTreeSet<EndpointId>,
}

impl Matcher {
    /// The subscription of an endpoint: the one that was `compiled` elsewhere, or the one that it
    /// has already. Only if neither fits its settings it is compiled here.
    pub(super) fn subscription_of(
        &self,
        endpoint: &Endpoint,
        compiled: Option<Arc<Subscription>>,
    ) -> Arc<Subscription> {
        let current = self.by_endpoint.get(&endpoint.id).cloned();
        let mut known = compiled.into_iter().chain(current);
        known
            .find(|subscription| subscription.fits(endpoint))
            .unwrap_or_else(|| Arc::new(Subscription::of(endpoint)))
    }

    /// Adds an endpoint, or replaces its subscription.
    pub(super) fn put(&mut self, endpoint: EndpointId, subscription: Arc<Subscription>) {
        if subscription.names(OWN_SOURCE) {
            self.want_own.insert(endpoint);
        } else {
            self.want_own.remove(&endpoint);
        }
        self.by_endpoint.insert(endpoint, subscription);
    }

    /// Adds an endpoint, or replaces its subscription, which is compiled here if it has changed.
    pub fn set(&mut self, endpoint: &Endpoint) {
        let subscription = self.subscription_of(endpoint, None);
        self.put(endpoint.id, subscription);
    }

    pub fn remove(&mut self, endpoint: EndpointId) {
        self.by_endpoint.remove(&endpoint);
        self.want_own.remove(&endpoint);
    }

    /// How many endpoints there are: each is looked at for every event.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_endpoint.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_endpoint.is_empty()
    }

    /// Whether any endpoint wants the daemon's own events.
    #[must_use]
    pub fn wants_own(&self) -> bool {
        !self.want_own.is_empty()
    }

    /// The endpoints that want an event, in the order of their numbers. All filters together take
    /// at most `steps`.
    #[must_use]
    pub fn fan_out(&self, own: bool, input: &FilterInput<'_>, steps: &mut Steps) -> FanOut {
        let mut out = FanOut::default();

        // Without a filter, source and type decide. The filters of the others are still open.
        let mut open: Vec<(EndpointId, &Filter)> = Vec::new();
        for (id, subscription) in &self.by_endpoint {
            if !subscription.takes_source(own, input) || !subscription.takes_type(input) {
                continue;
            }
            match subscription.filter() {
                None => out.wanted.push(*id),
                Some(Ok(filter)) => open.push((*id, filter)),
                Some(Err(_)) => out.undecided.push(*id),
            }
        }

        // Rounds with ever more steps for each filter, so that expensive filters cannot use up the
        // steps of cheap ones.
        let mut each = limits::FILTER_FIRST_STEPS;
        while !open.is_empty() && steps.left() > 0 {
            open.retain(|(id, filter)| {
                match holds_within(filter, input, each, steps) {
                    Ok(true) => out.wanted.push(*id),
                    Ok(false) => {}
                    Err(Stop::BeyondLimit) => out.undecided.push(*id),
                    Err(Stop::OutOfSteps | Stop::BodyNotRead) => return true,
                }
                false
            });
            each = each.saturating_mul(4);
        }
        out.undecided.extend(open.iter().map(|(id, _)| *id));

        out.wanted.sort_unstable();
        out.undecided.sort_unstable();
        out.unreadable = input.is_unreadable();
        out.keys = self.keys(&out.wanted, input, steps);
        out
    }

    /// The keys of an event at the JSON Pointers of these endpoints. Each pointer is looked up
    /// once, however many endpoints have it.
    fn keys(
        &self,
        wanted: &[EndpointId],
        input: &FilterInput<'_>,
        steps: &mut Steps,
    ) -> Vec<(String, u64)> {
        let mut keys: Vec<(String, u64)> = Vec::new();
        let body = input.body_bytes();
        if body.len() > limits::FILTER_BYTES {
            return keys;
        }

        let subscriptions = wanted.iter().filter_map(|id| self.by_endpoint.get(id));
        for pointer in subscriptions.flat_map(|subscription| subscription.pointers()) {
            if keys.iter().any(|(known, _)| known == pointer) {
                continue;
            }
            if keys.len() >= limits::KEYS_AHEAD || steps.take(1 + body.len() / 4).is_err() {
                break;
            }
            keys.push((pointer.clone(), key_at(body, pointer)));
        }

        keys
    }

    /// Matches an event that came in.
    #[must_use]
    pub fn matched(&self, event: NewEvent, steps: &mut Steps) -> Matched {
        let fan_out = self.fan_out(false, &filter_input(&event), steps);
        Matched { event, fan_out }
    }

    /// Matches an event of the daemon's own. Returns the steps that it took, too.
    pub(super) fn fan_out_own(&self, event: &Event) -> (FanOut, u64) {
        let mut steps = Steps::new(limits::FILTER_OWN_STEPS);
        let out = self.fan_out(true, &FilterInput::of(event), &mut steps);
        let taken = limits::FILTER_OWN_STEPS - steps.left();

        // Source and type cost something, too.
        (out, taken + self.by_endpoint.len() as u64)
    }
}

/// An event that is not accepted yet, as filters see it.
#[must_use]
pub fn filter_input(event: &NewEvent) -> FilterInput<'_> {
    FilterInput::new(
        &event.kind,
        &event.source.name,
        &event.headers,
        &event.request_line,
        &event.body,
    )
}

/// Whether a filter holds, in at most `each` steps. The body is parsed at most once, for all
/// filters.
fn holds_within(
    filter: &Filter,
    input: &FilterInput<'_>,
    each: u64,
    steps: &mut Steps,
) -> Result<bool, Stop> {
    let result = counted(steps, each, |own| filter.attempt(input, own));
    if result != Err(Stop::BodyNotRead) {
        return result;
    }

    counted(steps, u64::MAX, |own| input.read(own))?;
    holds_within(filter, input, each, steps)
}

/// Runs `work` with at most `most` of the steps, and takes the steps that it used.
fn counted<T>(steps: &mut Steps, most: u64, work: impl FnOnce(&mut Steps) -> T) -> T {
    let given = most.min(steps.left());
    let mut own = Steps::new(given);
    let result = work(&mut own);

    let used = usize::try_from(given - own.left()).unwrap_or(usize::MAX);
    steps.take(used).expect("the work was given no more steps than were left");
    result
}

/// Why an endpoint does not want an event; `None` when it does.
#[must_use]
pub fn why_not(endpoint: &Endpoint, event: &Event) -> Option<String> {
    let subscription = Subscription::of(endpoint);
    let input = FilterInput::of(event);
    if !subscription.takes_source(event.is_own(), &input) {
        let from = endpoint.from.join(" or ");
        return Some(match endpoint.from.is_empty() {
            true => "it is one of the daemon's own, which go only to endpoints with --from hookbox"
                .to_owned(),
            false => format!("its source is '{}', not {from}", event.source_name),
        });
    }
    if !subscription.takes_type(&input) {
        let types = endpoint.types.join(" or ");
        return Some(format!("its type is '{}', not {types}", event.kind));
    }

    let expression = endpoint.filter.as_ref()?;
    let filter = match subscription.filter()? {
        Ok(filter) => filter,
        Err(why) => return Some(why.clone()),
    };

    match filter.holds(&input, &mut Steps::new(limits::FILTER_STEPS)) {
        Ok(true) => None,
        Ok(false) if input.is_unreadable() && !event.body.is_empty() => {
            Some(format!("--where {expression} is not true for it, and its body is not JSON"))
        }
        Ok(false) => Some(format!("--where {expression} is not true for it")),
        Err(Stop::OutOfSteps | Stop::BodyNotRead) => Some(format!(
            "--where {expression} is too expensive for it: it takes more than {} steps; look at \
             less of the event, or use a simpler regular expression",
            limits::FILTER_STEPS
        )),
        Err(Stop::BeyondLimit) => Some(format!(
            "--where {expression} is too expensive for it: it needs what lies beyond the first {} \
             bytes or {} values of the body, or a regular expression of the event that has more \
             than {} bytes",
            limits::FILTER_BYTES,
            limits::FILTER_NODES,
            limits::FILTER_DYNAMIC
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{FanOut, Matcher, Steps, why_not};
    use crate::model::{Endpoint, Event, EventId, limits};
    use crate::queue::matcher::FilterInput;

    fn event(source: &str, kind: &str, body: &str) -> Event {
        Event {
            id: EventId { seq: 1, tag: 1 },
            source: 1,
            source_name: source.into(),
            kind: kind.into(),
            received_at: 0,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: body.to_owned().into(),
            from_provider: false,
            first_id: None,
        }
    }

    fn endpoint(id: u32, from: &[&str], types: &[&str], filter: Option<&str>) -> Endpoint {
        Endpoint {
            id,
            from: from.iter().map(|s| (*s).to_owned()).collect(),
            types: types.iter().map(|s| (*s).to_owned()).collect(),
            filter: filter.map(str::to_owned),
            ..Endpoint::new("e", "http://example.com")
        }
    }

    fn fan_out(matcher: &Matcher, event: &Event, steps: u64) -> (FanOut, u64) {
        let mut steps = Steps::new(steps);
        let out = matcher.fan_out(event.is_own(), &FilterInput::of(event), &mut steps);
        (out, steps.left())
    }

    #[test]
    fn it_is_known_whether_an_endpoint_wants_the_daemons_own_events() {
        let mut matcher = Matcher::default();
        let wants = |matcher: &mut Matcher, id, from: &[&str]| {
            matcher.set(&endpoint(id, from, &[], None));
            matcher.wants_own()
        };
        assert!(!wants(&mut matcher, 1, &[]), "all sources are not the daemon itself");
        assert!(wants(&mut matcher, 2, &["a", "hookbox"]) && wants(&mut matcher, 3, &["hookbox"]));
        assert!(wants(&mut matcher, 2, &["a"]), "another one still does");
        matcher.remove(3);
        assert!(!matcher.wants_own());
    }

    fn wanted(matcher: &Matcher, event: &Event) -> Vec<u32> {
        let (out, _) = fan_out(matcher, event, limits::FILTER_STEPS);
        assert!(out.undecided.is_empty(), "{out:?}");

        out.wanted
    }

    #[test]
    fn all_three_filters_must_agree() {
        let mut matcher = Matcher::default();
        matcher.set(&endpoint(1, &[], &[], None));
        matcher.set(&endpoint(2, &["github"], &["pull_*"], None));
        matcher.set(&endpoint(3, &[], &[], Some("@.body.action == 'opened'")));
        let opened = event("github", "pull_request", r#"{"action":"opened"}"#);
        assert_eq!(wanted(&matcher, &opened), [1, 2, 3]);
        assert_eq!(wanted(&matcher, &event("github", "push", r#"{"action":"closed"}"#)), [1]);
        assert_eq!(wanted(&matcher, &event("stripe", "pull_x", "\u{0}not json")), [1]);
    }

    #[test]
    fn costly_filters_share_the_steps_and_keep_no_cheap_one_from_them() {
        let mut matcher = Matcher::default();
        for id in 1..=12 {
            matcher.set(&endpoint(
                id,
                &[],
                &[],
                Some("search(@.body.text,'[A-Za-z0-9+/]{16,40}==')"),
            ));
        }
        matcher.set(&endpoint(13, &[], &[], Some("@.body.n == 1")));
        matcher.set(&endpoint(14, &[], &[], Some("match(@.type, 't|u')")));
        matcher.set(&endpoint(15, &[], &[], Some("@.body.n == 2")));
        let body = format!(r#"{{"n":1,"text":"{}"}}"#, "a".repeat((1 << 20) - 30));
        let (out, left) = fan_out(&matcher, &event("a", "t", &body), limits::FILTER_STEPS);
        assert_eq!(out.wanted, [13, 14]);
        assert_eq!(out.undecided, (1..=12).collect::<Vec<_>>());
        assert_eq!(left, 0, "no more than there were");
    }

    #[test]
    fn a_filter_that_another_version_took_is_not_silent() {
        let mut matcher = Matcher::default();
        matcher.set(&endpoint(1, &["a"], &[], Some("@.a, *")));
        let (out, _) = fan_out(&matcher, &event("a", "t", "{}"), 1000);
        assert_eq!((out.wanted, out.undecided), (vec![], vec![1]));

        let (out, _) = fan_out(&matcher, &event("b", "t", "{}"), 1000);
        assert_eq!(out, FanOut::default(), "it would not have wanted this one");
    }

    #[test]
    fn what_was_compiled_elsewhere_is_used_where_it_fits() {
        use std::sync::Arc;

        use super::Subscription;
        let (old, new) =
            (endpoint(1, &[], &[], Some("@.a")), endpoint(1, &[], &["x"], Some("@.b")));
        let mut matcher = Matcher::default();
        matcher.set(&old);
        let compiled = Arc::new(Subscription::of(&new));
        let chosen = matcher.subscription_of(&new, Some(compiled.clone()));
        assert!(Arc::ptr_eq(&chosen, &compiled));

        matcher.put(1, compiled.clone());
        let chosen = matcher.subscription_of(&new, None);
        assert!(Arc::ptr_eq(&chosen, &compiled), "nothing has changed");

        let chosen = matcher.subscription_of(&old, Some(compiled.clone()));
        assert!(chosen.fits(&old), "what was compiled is of other settings");
    }

    #[test]
    fn why_not_agrees_with_the_fan_out() {
        let sent = event("github", "push", r#"{"action":"opened"}"#);
        for (endpoint, word) in [
            (endpoint(1, &["github"], &["pu*"], Some("@.body.action == 'opened'")), None),
            (endpoint(1, &["stripe"], &[], None), Some("source")),
            (endpoint(1, &[], &["pull_*"], None), Some("type")),
            (endpoint(1, &[], &[], Some("@.body.action == 'closed'")), Some("--where")),
        ] {
            let mut matcher = Matcher::default();
            matcher.set(&endpoint);
            let why = why_not(&endpoint, &sent);
            assert_eq!(wanted(&matcher, &sent).is_empty(), why.is_some());
            assert_eq!(why.map(|why| why.contains(word.unwrap_or("-"))), word.map(|_| true));
        }

        let costly = endpoint(1, &[], &[], Some("search(@.body.t, '(a*)*b')"));
        let large = event("a", "t", &format!(r#"{{"t":"{}"}}"#, "a".repeat(900_000)));
        assert!(why_not(&costly, &large).is_some_and(|why| why.contains("too expensive")));
        assert!(
            why_not(&endpoint(1, &[], &[], Some("@.body.a")), &event("a", "t", "{"))
                .expect("no")
                .contains("not JSON")
        );
    }

    #[test]
    fn the_keys_of_those_who_want_it_are_found_once_and_within_the_steps() {
        use crate::model::{CatchUpMode, Order};
        let mut matcher = Matcher::default();
        for (id, types) in [(1, &[][..]), (2, &[]), (3, &["other"])] {
            let pointer = if id == 3 { "/z" } else { "/k" };
            let keyed = endpoint(id, &[], types, None);
            matcher.set(&Endpoint { order: Order::Key, order_key: Some(pointer.into()), ..keyed });
        }
        let mut latest = endpoint(4, &[], &[], None);
        (latest.catch_up.mode, latest.catch_up.key) = (CatchUpMode::Latest, Some("/n".into()));
        matcher.set(&latest);

        let event = event("a", "t", r#"{"k":"x","n":7,"z":1}"#);
        let (out, left) = fan_out(&matcher, &event, 1000);
        let pointers: Vec<&str> = out.keys.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!((out.wanted, pointers), (vec![1, 2, 4], vec!["/k", "/n"]));
        assert_eq!(1000 - left, 2 * (1 + event.body.len() as u64 / 4), "each was looked for once");
        assert_eq!(out.keys[0].1, super::key_at(&event.body, "/k"));

        let (out, left) = fan_out(&matcher, &event, 3);
        assert_eq!((out.keys.len(), left), (0, 0), "they are found when the log is read");
    }
}
