//! What of a list is wanted: the filters that lists, dead-letter operations and replays share.

use serde_json::Value;

use super::fields::Fields;
use super::http::{Params, Problem};
use super::walk::Walker;
use crate::model::time::{parse_duration_ms, parse_wall};
use crate::model::{DeliveryState, Event, EventId, WallMs, limits};

/// Filters over events and deliveries. What is `None` lets everything pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Select {
    pub(super) source: Option<String>,
    /// A glob over the event type.
    pub(super) kind: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) event: Option<EventId>,
    pub(super) state: Option<DeliveryState>,
    pub(super) since: Option<WallMs>,
    pub(super) until: Option<WallMs>,
}

impl Select {
    /// Those of a list of events.
    pub(super) fn of_events(params: &mut Params, now: WallMs) -> Result<Self, Problem> {
        Ok(Self {
            source: params.take("source"),
            kind: params.take("type"),
            since: time("since", params.take("since"), now)?,
            until: time("until", params.take("until"), now)?,
            ..Self::default()
        })
    }

    /// Those of a list of deliveries or dead letters.
    pub(super) fn of_deliveries(params: &mut Params, now: WallMs) -> Result<Self, Problem> {
        let event = params.take("event").map(|t| t.parse::<EventId>());
        let state = params.take("state");
        Ok(Self {
            endpoint: params.take("endpoint"),
            event: event.transpose().map_err(|e| Problem::bad(format!("'event': {e}")))?,
            state: state.map(|s| parse_state(&s)).transpose()?,
            ..Self::of_events(params, now)?
        })
    }

    /// The same out of a JSON body, for mass operations.
    pub(super) fn of_body(fields: &mut Fields, now: WallMs) -> Result<Self, Problem> {
        let mut part = |key| fields.get(key, time_text);
        let (since, until) = (part("since")?, part("until")?);
        let event = fields.get("event", super::fields::text)?.map(|t| t.parse::<EventId>());
        Ok(Self {
            source: fields.get("source", super::fields::text)?,
            kind: fields.get("type", super::fields::text)?,
            endpoint: fields.get("endpoint", super::fields::text)?,
            event: event.transpose().map_err(|e| Problem::bad(format!("'event': {e}")))?,
            state: None,
            since: time("since", since, now)?,
            until: time("until", until, now)?,
        })
    }

    /// Whether anything is asked for at all.
    pub(super) fn is_empty(&self) -> bool {
        let named = self.source.is_none() && self.kind.is_none() && self.endpoint.is_none() && self.event.is_none();
        named && self.state.is_none() && self.since.is_none() && self.until.is_none()
    }

    /// Means an imported event by the id that it has here, when it was given the one that its receivers know.
    pub(super) fn here(mut self, walker: &Walker) -> Result<Self, Problem> {
        self.event = self.event.map(|id| super::events::here(walker, id)).transpose()?;
        Ok(self)
    }

    /// Whether the source, type and identity of an event pass.
    pub(super) fn passes_event(&self, event: &Event) -> bool {
        self.source.as_ref().is_none_or(|s| *s == event.source_name)
            && self.kind.as_ref().is_none_or(|g| glob(g, &event.kind))
            && self.event.is_none_or(|id| id == event.id)
    }

    pub(super) fn passes_time(&self, at: WallMs) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    pub(super) fn passes_endpoint(&self, name: &str) -> bool {
        self.endpoint.as_ref().is_none_or(|wanted| wanted == name)
    }
}

/// How many rows: `limits::PAGE` when nobody says. Lists stream, so that more costs time but no memory.
pub(super) fn limit(text: Option<String>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(limits::PAGE) };
    let read = text.parse::<usize>().ok().filter(|n| *n > 0);
    read.ok_or_else(|| Problem::bad(format!("'limit': '{text}' is not a number from 1 up")))
}

fn time_text(value: &Value) -> Result<String, String> {
    match value {
        Value::Number(number) => Ok(number.to_string()),
        other => super::fields::text(other),
    }
}

fn time(key: &str, text: Option<String>, now: WallMs) -> Result<Option<WallMs>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let ago = || parse_duration_ms(&text).ok().map(|ms| now.saturating_sub(ms));
    let date = || text.parse::<jiff::civil::Date>().ok().and_then(|d| parse_wall(&format!("{d}T00:00:00Z")));
    match parse_wall(&text).or_else(ago).or_else(date) {
        Some(at) => Ok(Some(at)),
        None => Err(Problem::bad(format!(
            "'{key}': '{text}' is not a time: write it as 2026-11-23T13:20:00Z, 2026-11-23, unix seconds, or 2h for two \
             hours ago"
        ))),
    }
}

fn parse_state(text: &str) -> Result<DeliveryState, Problem> {
    serde_json::from_value(Value::String(text.replace('-', "_"))).map_err(|_| {
        Problem::bad(format!("'state': '{text}' is none of pending, in_flight, delivered, dead, held, cancelled"))
    })
}

pub(super) fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::InFlight => "in_flight",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Dead => "dead",
        DeliveryState::Held => "held",
        DeliveryState::Cancelled => "cancelled",
    }
}

/// Whether `text` matches `pattern`, where `*` is any run of characters and `?` is one. Linear in practice:
/// only the last `*` is ever gone back to.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::{glob, limit, parse_state, time};

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("push", "push", true),
            ("push", "pushed", false),
            ("invoice.*", "invoice.paid", true),
            ("*.paid", "invoice.paid", true),
            ("i?voice*d", "invoice.paid", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "", false),
            ("é?", "éa", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn times_are_absolute_or_ago() {
        let read = |text: &str| time("since", Some(text.into()), 10_000_000);
        assert_eq!(read("1970-01-01T00:00:05Z"), Ok(Some(5000)));
        assert_eq!(read("1970-01-02"), Ok(Some(86_400_000)));
        assert_eq!(read("7"), Ok(Some(7000)));
        assert_eq!(read("1s"), Ok(Some(9_999_000)));
        assert!(read("tea time").expect_err("no time").detail.contains("2h"));
    }

    #[test]
    fn limits_and_states() {
        assert_eq!(limit(None), Ok(50));
        for text in ["0", "-1", "x", "1e3"] {
            assert!(limit(Some(text.into())).is_err(), "{text}");
        }
        assert!(parse_state("in-flight").is_ok() && parse_state("lost").is_err());
    }
}
