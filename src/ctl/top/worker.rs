//! Does what the model wants: asks the daemon, on a thread of its own, so that keys are never kept
//! waiting.

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::commands::{TopAction, TopAnswer, TopCommand, TopQuery};
use super::data::ROWS;
use crate::api::values::Text;
use crate::api::views::{
    CancelView, DeliveryView, DiscardView, EndpointView, LeftOutView, RetryView, TailView, Tolerant,
};
use crate::api::{DeadLettersBody, DeliveryFilter, EmptyBody, IdsBody};
use crate::ctl::answer::Answer;
use crate::ctl::bulk::slice_of;
use crate::ctl::client::{AdminClient, path, resource};
use crate::ctl::error::CtlError;
use crate::ctl::table::{count, deliveries};
use crate::model::DeliveryId;

/// Deliveries that a shape is made of, and that one action takes.
const WAITING: usize = 10_000;
/// Deliveries that one request may name.
const SLICE: usize = 256;
/// Before the tail of a daemon that is away is followed again.
const AGAIN: Duration = Duration::from_secs(1);

/// Performs commands until nobody sends any more.
pub fn work(
    client: &AdminClient,
    commands: &Receiver<TopCommand>,
    answers: &SyncSender<TopAnswer>,
) {
    for command in commands {
        let is_wanted = match command {
            TopCommand::Refresh(queries) => refresh(client, &queries, answers),
            TopCommand::Count(action) => answers.send(counted(client, action)).is_ok(),
            TopCommand::Perform(action) => {
                let done = match perform(client, &action) {
                    Ok(text) => TopAnswer::Done(text),
                    Err(error) => TopAnswer::Failed(error.to_string()),
                };
                answers.send(done).is_ok()
            }
            // The runner does these.
            TopCommand::Follow | TopCommand::Quit => true,
        };
        if !is_wanted {
            return;
        }
    }
}

/// Follows the tail, also over a restart of the daemon, until nobody listens.
pub fn follow(client: &AdminClient, answers: &SyncSender<TopAnswer>) {
    loop {
        let mut is_wanted = true;
        let _ = client.list("/v1/tail?follow=true&limit=100", &mut |row| {
            let Tolerant::Known(line) = row.view::<Tolerant<TailView>>()? else { return Ok(()) };
            is_wanted = answers.send(TopAnswer::Tail(Box::new(line))).is_ok();
            if is_wanted { Ok(()) } else { Err(CtlError::OutputClosed) }
        });
        if !is_wanted {
            return;
        }
        std::thread::park_timeout(AGAIN);
    }
}

/// Answers each question, until one fails. `false` when nobody listens any more.
fn refresh(client: &AdminClient, queries: &[TopQuery], answers: &SyncSender<TopAnswer>) -> bool {
    for query in queries {
        let answer = ask(client, query);
        let failed = answer.is_err();
        let answer = answer.unwrap_or_else(|error| TopAnswer::Away(error.to_string()));
        if answers.send(answer).is_err() {
            return false;
        }
        if failed {
            break;
        }
    }
    answers.send(TopAnswer::Refreshed).is_ok()
}

/// Asks the daemon one thing.
pub fn ask(client: &AdminClient, query: &TopQuery) -> Result<TopAnswer, CtlError> {
    Ok(match query {
        TopQuery::Status => TopAnswer::Status(Box::new(client.get("/v1/status")?.view()?)),
        TopQuery::History => {
            TopAnswer::History(Box::new(client.get("/v1/history?since=1h")?.view()?))
        }

        // Of these there are so few that all can be shown, and none that fails is missing.
        TopQuery::Endpoints => TopAnswer::Endpoints(list(client, "/v1/endpoints")?),
        TopQuery::TroubledEndpoints => TopAnswer::Endpoints(troubled(client)?),
        TopQuery::Sources => TopAnswer::Sources(list(client, "/v1/sources")?),
        TopQuery::DeadLetters(of) => {
            let target =
                path("/v1/dlq", &[("endpoint", of.clone()), ("limit", Some(ROWS.to_string()))]);
            TopAnswer::DeadLetters(list(client, &target)?)
        }

        TopQuery::Waiting => {
            let deliveries = waiting(client, None)?;
            let is_all = deliveries.len() < WAITING;
            TopAnswer::Waiting { deliveries, is_all }
        }
        TopQuery::Delivery(id) => {
            let delivery = client.get(&resource("deliveries", id, ""))?;
            TopAnswer::Delivery(Box::new(delivery.view()?))
        }
    })
}

fn troubled(client: &AdminClient) -> Result<Vec<EndpointView>, CtlError> {
    match list(client, "/v1/endpoints?state=troubled") {
        // An older daemon knows no such state.
        Err(CtlError::Usage(_)) => list(client, "/v1/endpoints"),
        listed => listed,
    }
}

fn list<V: DeserializeOwned>(client: &AdminClient, target: &str) -> Result<Vec<V>, CtlError> {
    let mut rows = Vec::new();
    client.list(target, &mut |row| {
        rows.push(row.view()?);
        Ok(())
    })?;
    Ok(rows)
}

/// Deliveries that wait, the newest first, page by page.
fn waiting(client: &AdminClient, endpoint: Option<&str>) -> Result<Vec<DeliveryView>, CtlError> {
    let mut found: Vec<DeliveryView> = Vec::new();
    while found.len() < WAITING {
        let after = found.last().map(|delivery| delivery.id.to_string());
        let target = path(
            "/v1/deliveries",
            &[
                ("state", Some("pending".to_owned())),
                ("endpoint", endpoint.map(str::to_owned)),
                ("limit", Some(ROWS.to_string())),
                ("after", after),
            ],
        );

        let page: Vec<DeliveryView> = list(client, &target)?;
        let is_last = page.len() < ROWS;
        found.extend(page);
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// How many deliveries an action is about.
fn counted(client: &AdminClient, action: TopAction) -> TopAnswer {
    let number = match &action {
        TopAction::Hold(names) | TopAction::Release(names) => waiting_of(client, names),
        TopAction::RetryWaiting(name) => to_retry(client, name),
        TopAction::DiscardOf(name) => {
            let body = DeadLettersBody { dry_run: true, ..letters_of(name) };
            let answer = client.post("/v1/dlq/discard", &body);
            answer.and_then(|answer| Ok(answer.view::<DiscardView>()?.matched))
        }
        TopAction::RetryDead(ids) | TopAction::DiscardDead(ids) => Ok(ids.len()),
        TopAction::Retry(_) | TopAction::Cancel(_) => Ok(1),
    };
    match number {
        Ok(number) => TopAnswer::Counted(action, number),
        Err(error) => TopAnswer::Failed(error.to_string()),
    }
}

/// How many of those that wait for an endpoint can be attempted now.
fn to_retry(client: &AdminClient, name: &str) -> Result<usize, CtlError> {
    let ids: Vec<_> = waiting(client, Some(name))?.into_iter().map(|d| d.id).collect();
    let mut count = 0;
    for slice in ids.chunks(slice_of(ids.len()).min(SLICE)) {
        let body = IdsBody { dry_run: true, ..named(slice) };
        let found: RetryView = client.post("/v1/deliveries/retry", &body)?.view()?;
        let left_out: usize = found.left_out.iter().map(|left| left.count).sum();
        count += found.matched.saturating_sub(left_out);
    }
    Ok(count)
}

fn waiting_of(client: &AdminClient, names: &[String]) -> Result<usize, CtlError> {
    let mut all = 0;
    for name in names {
        let endpoint: EndpointView = client.get(&resource("endpoints", name, ""))?.view()?;
        let waiting = endpoint.activity.map_or(0, |activity| activity.waiting);
        all += usize::try_from(waiting).unwrap_or(usize::MAX);
    }
    Ok(all)
}

fn letters_of(name: &str) -> DeadLettersBody {
    let filter = DeliveryFilter { endpoint: Some(name.to_owned()), ..DeliveryFilter::default() };
    DeadLettersBody { filter, ..DeadLettersBody::default() }
}

fn perform(client: &AdminClient, action: &TopAction) -> Result<String, CtlError> {
    match action {
        TopAction::Hold(names) => {
            of_each(client, names, "/hold")?;
            Ok(format!("on hold: {}", names.join(", ")))
        }
        TopAction::Release(names) => {
            of_each(client, names, "/release")?;
            Ok(format!("released: {}", names.join(", ")))
        }

        TopAction::RetryWaiting(name) => {
            let ids: Vec<_> = waiting(client, Some(name))?.into_iter().map(|d| d.id).collect();
            retry(client, "/v1/deliveries/retry", &ids)
        }
        TopAction::DiscardOf(name) => {
            discarded(&client.post("/v1/dlq/discard", &letters_of(name))?)
        }
        TopAction::RetryDead(ids) => retry(client, "/v1/dlq/retry", &read(ids)?),
        TopAction::DiscardDead(ids) => {
            let mut said = String::new();
            for slice in read(ids)?.chunks(SLICE) {
                said = discarded(&client.post("/v1/dlq/discard", &named(slice))?)?;
            }
            Ok(if ids.len() > SLICE {
                count(ids.len(), "dead letter") + " discarded"
            } else {
                said
            })
        }

        TopAction::Retry(id) => {
            retry(client, "/v1/deliveries/retry", &read(std::slice::from_ref(id))?)
        }
        TopAction::Cancel(id) => {
            let body = named(&read(std::slice::from_ref(id))?);
            let done: CancelView = client.post("/v1/deliveries/cancel", &body)?.view()?;
            Ok(format!("{} cancelled", deliveries(done.cancelled)) + &left_out(&done.left_out))
        }
    }
}

fn of_each(client: &AdminClient, names: &[String], verb: &str) -> Result<(), CtlError> {
    for name in names {
        client.post(&resource("endpoints", name, verb), &EmptyBody {})?;
    }
    Ok(())
}

fn read(ids: &[String]) -> Result<Vec<Text<DeliveryId>>, CtlError> {
    let id = |id: &String| id.parse::<DeliveryId>().map(Text);
    let ids: Result<_, _> = ids.iter().map(id).collect();
    ids.map_err(|_| CtlError::Usage("this is not the id of a delivery".to_owned()))
}

fn named(ids: &[Text<DeliveryId>]) -> IdsBody {
    IdsBody { ids: Some(ids.to_vec()), dry_run: false }
}

fn retry(client: &AdminClient, target: &str, ids: &[Text<DeliveryId>]) -> Result<String, CtlError> {
    let (mut queued, mut left) = (0, String::new());
    for slice in ids.chunks(SLICE) {
        let done: RetryView = client.post(target, &named(slice))?.view()?;
        queued += done.queued;
        left = left_out(&done.left_out);
    }
    Ok(format!("{} attempted again{left}", deliveries(queued)))
}

fn discarded(answer: &Answer) -> Result<String, CtlError> {
    let done: DiscardView = answer.view()?;
    Ok(count(done.discarded, "dead letter") + " discarded" + &left_out(&done.left_out))
}

fn left_out(left: &[LeftOutView]) -> String {
    left.iter().map(|left| format!("; {} left out: {}", left.count, left.why)).collect()
}
