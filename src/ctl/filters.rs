//! Filters and ids of the command line, as the fields of requests.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;

use super::args::{DeliveryFilterArgs, EventFilterArgs};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use crate::api::values::Text;
use crate::api::{DeliveryFilter, EventFilter};
use crate::model::{DeliveryId, EventId};

/// Which events; `event` is one of them by its id.
pub(super) fn event_filter(
    args: &EventFilterArgs,
    event: Option<&String>,
) -> Result<EventFilter, CtlError> {
    Ok(EventFilter {
        source: args.source.clone(),
        kind: args.kind.clone(),
        event: read("event", event)?,
        since: read("since", args.since.as_ref())?,
        until: read("until", args.until.as_ref())?,
    })
}

pub(super) fn delivery_filter(args: &DeliveryFilterArgs) -> Result<DeliveryFilter, CtlError> {
    let events = event_filter(&args.filter, args.event.as_ref())?;
    Ok(DeliveryFilter { events, endpoint: args.endpoint.clone() })
}

/// The ids of deliveries; of one that is not whole the daemon is asked which one it means.
pub(super) fn delivery_ids(
    client: &AdminClient,
    ids: &[String],
) -> Result<Vec<Text<DeliveryId>>, CtlError> {
    let whole = |id: &String| match id.parse::<Text<DeliveryId>>() {
        Ok(id) => Ok(id),
        Err(why) if !is_beginning(id) => Err(CtlError::Usage(why)),
        Err(_) => Ok(client.get(&resource("deliveries", id, ""))?.view::<NamedDelivery>()?.id),
    };
    ids.iter().map(whole).collect()
}

/// The whole id of an event that is named by its beginning, or by one of its deliveries. Other text
/// stays as it is: whoever reads it says what is wrong with it.
pub(super) fn whole_event(
    client: &AdminClient,
    text: Option<&String>,
) -> Result<Option<String>, CtlError> {
    let is_whole = |text: &String| text.parse::<EventId>().is_ok();
    match text {
        Some(text) if !is_whole(text) && is_beginning(text) => {
            // Its id alone is wanted, and its body may be large.
            let nothing = [("body_bytes", Some("0".to_owned()))];
            let target = path(&resource("events", text, ""), &nothing);
            let found: NamedEvent = client.get(&target)?.view()?;
            Ok(Some(found.id.to_string()))
        }
        text => Ok(text.cloned()),
    }
}

/// A filter with the whole id of its event.
pub(super) fn whole_filter(
    client: &AdminClient,
    args: &DeliveryFilterArgs,
) -> Result<DeliveryFilterArgs, CtlError> {
    let event = whole_event(client, args.event.as_ref())?;
    Ok(DeliveryFilterArgs { event, ..args.clone() })
}

/// The event that was meant.
#[derive(Deserialize)]
struct NamedEvent {
    id: Text<EventId>,
}

/// Whether it may be the beginning of the id of a delivery, or the id of its event.
fn is_beginning(text: &str) -> bool {
    text.starts_with("dlv_") || text.starts_with("evt_")
}

/// The delivery that was meant.
#[derive(Deserialize)]
struct NamedDelivery {
    id: Text<DeliveryId>,
}

fn read<T: FromStr<Err: Display>>(key: &str, text: Option<&String>) -> Result<Option<T>, CtlError> {
    text.map(|text| text.parse().map_err(|why| refused(key, &why))).transpose()
}

/// In the words of the daemon, which refuses the parameter of a list in the same way.
fn refused(key: &str, why: &impl Display) -> CtlError {
    CtlError::Usage(format!("'{key}' (--{key}): {why}"))
}
