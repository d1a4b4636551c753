//! Filters out of the parameters of a request.

use serde_json::{Map, Value};

use super::identity::local_id;
use super::log_scan::LogScan;
use crate::admin::http::params::RequestParams;
use crate::admin::http::problem::Problem;
use crate::api::body::read_options;
use crate::model::time::Moment;
use crate::model::{DeliveryFilter, DeliveryState, EventFilter, WallMs};

/// What a list of deliveries asks for.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    pub filter: DeliveryFilter,
    pub state: Option<DeliveryState>,
}

impl DeliveryQuery {
    pub fn of(params: &mut RequestParams, now: WallMs) -> Result<Self, Problem> {
        let keys = ["source", "type", "event", "since", "until", "endpoint"];
        let filter: DeliveryFilter = read_options(given(params, &keys))?;
        let state = params.take("state").map(|text| parse_state(&text)).transpose()?;
        let filter = filter.at(now);
        check_times(&filter.events)?;
        Ok(Self { filter, state })
    }

    /// See [`with_local_event`].
    pub fn here(mut self, scan: &LogScan) -> Result<Self, Problem> {
        self.filter.events = with_local_event(scan, self.filter.events)?;
        Ok(self)
    }
}

/// The filter of a list of events.
pub fn event_filter(params: &mut RequestParams, now: WallMs) -> Result<EventFilter, Problem> {
    let keys = ["source", "type", "event", "since", "until"];
    let filter: EventFilter = read_options(given(params, &keys))?;
    let filter = filter.at(now);
    check_times(&filter)?;
    Ok(filter)
}

/// Nothing is between a time and an earlier one.
pub fn check_times(filter: &EventFilter) -> Result<(), Problem> {
    match (filter.since, filter.until) {
        (Some(Moment::At(since)), Some(Moment::At(until))) if since >= until => {
            Err(Problem::bad("'since' (--since) is not before 'until' (--until)"))
        }
        _ => Ok(()),
    }
}

fn given(params: &mut RequestParams, keys: &[&'static str]) -> Map<String, Value> {
    let given = keys.iter().filter_map(|key| Some(((*key).to_owned(), params.take(key)?.into())));
    given.collect()
}

/// An imported event may be named by the id that its receivers know: the filter then asks for the
/// one that it has here.
pub fn with_local_event(scan: &LogScan, mut filter: EventFilter) -> Result<EventFilter, Problem> {
    filter.event = filter.event.map(|id| local_id(scan, id)).transpose()?;
    Ok(filter)
}

fn parse_state(text: &str) -> Result<DeliveryState, Problem> {
    serde_json::from_value(Value::String(text.replace('-', "_"))).map_err(|_| {
        Problem::bad(format!(
            "'state': '{text}' is none of pending, in_flight, delivered, dead, held, cancelled"
        ))
    })
}

pub fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::InFlight => "in_flight",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Dead => "dead",
        DeliveryState::Held => "held",
        DeliveryState::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::{RequestParams, event_filter, parse_state};
    use crate::model::time::Moment;

    #[test]
    fn times_are_fixed_when_the_request_comes_in() {
        let mut params = RequestParams::parse("since=1s&type=a%2A").expect("well-formed");
        let filter = event_filter(&mut params, 10_000_000).expect("a filter");
        assert_eq!(
            (filter.since, filter.kind.as_deref()),
            (Some(Moment::At(9_999_000)), Some("a*"))
        );
        let mut params = RequestParams::parse("since=tea").expect("well-formed");
        let refused = event_filter(&mut params, 0).expect_err("no time").detail;
        assert!(refused.starts_with("'since' (--since): ") && refused.contains("2h"), "{refused}");
    }

    #[test]
    fn states_may_have_a_hyphen() {
        assert!(parse_state("in-flight").is_ok() && parse_state("lost").is_err());
    }
}
