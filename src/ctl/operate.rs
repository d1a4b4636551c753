//! Events, deliveries, dead letters and replays: what the operator does day by day.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::CtlError;
use super::args::{DeliveryCommand, DeliveryFilter, DlqCommand, EventCommand, MassArgs, ReplayArgs, SendArgs};
use super::client::{Client, encode, path};
use super::configure::{put, read_bytes};
use super::lists::{self, delivery_params, filter_params, list, page_params};
use super::output::Output;
use super::show;
use super::table::count;

pub(super) fn event(client: &Client, out: &mut Output, command: &EventCommand) -> Result<(), CtlError> {
    match command {
        EventCommand::List { filter, page } => {
            let target = path("/v1/events", &[filter_params(filter), page_params(page)].concat());
            list(client, out, &target, lists::EVENTS, "No such events.")
        }
        EventCommand::Show { id } => {
            let found = client.get(&format!("/v1/events/{}", encode(id)))?;
            out.one(&found, show::event)
        }
        EventCommand::Send(args) => send(client, out, args),
    }
}

fn send(client: &Client, out: &mut Output, args: &SendArgs) -> Result<(), CtlError> {
    let bytes = match (&args.body.data, &args.body.file) {
        (Some(data), _) => data.clone().into_bytes(),
        (None, Some(file)) => read_bytes(file)?,
        (None, None) => read_bytes(std::path::Path::new("-"))?,
    };
    let mut body = Map::new();
    body.insert("source".into(), json!(args.source));
    body.insert("data_base64".into(), json!(STANDARD.encode(bytes)));
    put(&mut body, "type", args.kind.as_ref());
    put(&mut body, "id", args.id.as_ref());
    put(&mut body, "content_type", args.content_type.as_ref());
    let sent = client.post("/v1/events", &Value::Object(body))?;
    out.one(&sent, |sent| {
        let id = sent["id"].as_str().unwrap_or("-");
        if sent["duplicate"] == json!(true) {
            format!("{id} (a duplicate: it was there already)")
        } else {
            id.to_owned()
        }
    })
}

pub(super) fn delivery(client: &Client, out: &mut Output, command: &DeliveryCommand) -> Result<(), CtlError> {
    match command {
        DeliveryCommand::List { state, filter, page } => {
            let state = vec![("state", state.clone())];
            let target = path("/v1/deliveries", &[delivery_params(filter), state, page_params(page)].concat());
            list(client, out, &target, lists::DELIVERIES, "No such deliveries.")
        }
        DeliveryCommand::Show { id } => {
            let found = client.get(&format!("/v1/deliveries/{}", encode(id)))?;
            out.one(&found, show::delivery)
        }
        DeliveryCommand::Explain { id } => {
            let found = client.get(&format!("/v1/deliveries/{}/explain", encode(id)))?;
            out.one(&found, show::explained)
        }
        DeliveryCommand::Retry { ids } => {
            let done = client.post("/v1/deliveries/retry", &json!({ "ids": ids }))?;
            out.one(&done, |d| format!("Attempted again: {} of {}.", d["queued"], deliveries(&d["matched"])))
        }
        DeliveryCommand::Cancel { ids } => {
            let done = client.post("/v1/deliveries/cancel", &json!({ "ids": ids }))?;
            out.one(&done, |d| format!("Cancelled: {} of {}.", d["cancelled"], deliveries(&d["matched"])))
        }
    }
}

pub(super) fn dlq(client: &Client, out: &mut Output, command: &DlqCommand) -> Result<(), CtlError> {
    match command {
        DlqCommand::List { filter, page } => {
            let target = path("/v1/dlq", &[delivery_params(filter), page_params(page)].concat());
            list(client, out, &target, lists::DEAD, "No dead letters.")
        }
        DlqCommand::Show { id } => {
            let found = client.get(&format!("/v1/dlq/{}", encode(id)))?;
            out.one(&found, show::delivery)
        }
        DlqCommand::Retry(args) => {
            let done = client.post("/v1/dlq/retry", &mass(args)?)?;
            out.one(&done, |d| counted(d, "queued", "Attempted again"))
        }
        DlqCommand::Discard(args) => {
            let done = client.post("/v1/dlq/discard", &mass(args)?)?;
            out.one(&done, |d| counted(d, "discarded", "Discarded"))
        }
    }
}

fn counted(done: &Value, field: &str, what: &str) -> String {
    if done["dry_run"] == json!(true) {
        return format!("Matched: {}. Nothing was done (--dry-run).", count(&done["matched"], "dead letter"));
    }
    format!("{what}: {} of {}.", done[field], count(&done["matched"], "dead letter"))
}

fn mass(args: &MassArgs) -> Result<Value, CtlError> {
    let mut body = filter_body(&args.filter);
    if args.ids.is_empty() && body.is_empty() && !args.all {
        return Err(CtlError::Usage(
            "which dead letters? Give ids, a filter (--endpoint, --source, --type, --since, --until), or --all".into(),
        ));
    }
    if (!args.ids.is_empty() && (args.all || !body.is_empty())) || (args.all && !body.is_empty()) {
        return Err(CtlError::Usage("give ids, or a filter, or --all: not several of them".into()));
    }
    if !args.ids.is_empty() {
        body.insert("ids".into(), json!(args.ids));
    }
    body.insert("all".into(), json!(args.all));
    body.insert("dry_run".into(), json!(args.dry_run));
    Ok(Value::Object(body))
}

fn filter_body(filter: &DeliveryFilter) -> Map<String, Value> {
    delivery_params(filter).into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))).collect()
}

pub(super) fn replay(client: &Client, out: &mut Output, args: &ReplayArgs) -> Result<(), CtlError> {
    if args.list {
        return list(client, out, "/v1/replays", lists::REPLAYS, "No replay is under way.");
    }
    let filter = DeliveryFilter { filter: args.filter.clone(), endpoint: None, event: args.event.clone() };
    let mut body = filter_body(&filter);
    if body.is_empty() != args.all {
        let mend = "give --event, --source, --type, --since or --until, or --all for every one there is";
        return Err(CtlError::Usage(format!("which events? {mend}")));
    }
    put(&mut body, "to", args.to.as_ref());
    put(&mut body, "rate", args.rate.as_ref());
    body.insert("all".into(), json!(args.all));
    body.insert("dry_run".into(), json!(args.dry_run));
    let done = client.post("/v1/replays", &Value::Object(body))?;
    out.one(&done, |d| match d.get("would_queue") {
        Some(would) => {
            format!("Matched: {}. That makes {}; nothing was queued.", count(&d["matched"], "event"), deliveries(would))
        }
        None => format!("Matched: {}. Queued: {}.", count(&d["matched"], "event"), deliveries(&d["queued"])),
    })
}

pub(super) fn deliveries(number: &Value) -> String {
    format!("{number} {}", if *number == json!(1) { "delivery" } else { "deliveries" })
}
