//! `endpoint`: where events are delivered to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::args::{EndpointCommand, EndpointTestArgs};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use super::files::read_bytes;
use super::filters::whole_event;
use super::lists::{self, page_params};
use super::output::Output;
use super::settings::{change, creation, endpoint_spec};
use super::table::{count, deliveries, or_dash};
use super::terminal::confirm;
use super::{endpoint_screen, secrets, show};
use crate::api::text::Line;
use crate::api::views::{DeletedView, EndpointTestView, EndpointView};
use crate::api::{EmptyBody, TestEndpointBody};

pub(super) fn endpoint(
    client: &AdminClient,
    out: &mut Output,
    command: &EndpointCommand,
) -> Result<(), CtlError> {
    match command {
        EndpointCommand::Create { name, settings } => {
            let body = creation(Some(name), endpoint_spec(settings)?)?;
            let created = client.post("/v1/endpoints", &body)?;
            secrets::shown(out, &created, name, show::created_endpoint)
        }
        EndpointCommand::List { state, page } => {
            let state_param = vec![("state", state.clone())];
            let target = path("/v1/endpoints", &[state_param, page_params(page)].concat());
            let empty = match state {
                Some(state) => format!("No endpoint is {state}."),
                None => "No endpoints. Create one with `hookboxctl endpoint create`.".to_owned(),
            };
            lists::page(client, out, &target, lists::ENDPOINTS, ("endpoint list", page), &empty)
        }
        EndpointCommand::Show { name, all } => {
            let found = client.get(&resource("endpoints", name, ""))?;
            let terminal = out.terminal;
            out.one(&found, |endpoint| endpoint_screen::screen(endpoint, *all, terminal))
        }

        EndpointCommand::Update { name, settings, reset } => {
            let body = change(endpoint_spec(settings)?, reset)?;
            let updated = client.patch(&resource("endpoints", name, ""), &body)?;
            secrets::shown(out, &updated, name, show::updated_endpoint)
        }
        EndpointCommand::Delete { name, yes } => {
            confirm_deletion(client, out, name, *yes)?;
            let deleted = client.delete(&resource("endpoints", name, ""))?;
            out.one(&deleted, |deleted: &DeletedView| {
                let waiting = match deleted.cancelled {
                    None | Some(0) => "Nothing was waiting for it.".to_owned(),
                    Some(1) => "1 waiting delivery is cancelled.".to_owned(),
                    Some(many) => format!("{many} waiting deliveries are cancelled."),
                };
                let warnings = show::warning_lines(&deleted.warnings);
                format!("Deleted endpoint {name}. {waiting}{warnings}")
            })
        }
        EndpointCommand::RotateSecret { name, secret, old } => {
            secrets::rotate::<EndpointView>(client, out, name, secret, old)
        }

        EndpointCommand::Hold { name } => {
            let held = client.post(&resource("endpoints", name, "/hold"), &EmptyBody {})?;
            out.one(&held, |held| {
                format!("Endpoint {name} is on hold. Deliveries waiting: {}.", waiting(held))
            })
        }
        EndpointCommand::Release { name } => {
            let released = client.post(&resource("endpoints", name, "/release"), &EmptyBody {})?;
            out.one(&released, |released| {
                format!("Released endpoint {name}. Deliveries waiting: {}.", waiting(released))
            })
        }
        EndpointCommand::Test { name, event } => test(client, out, name, event),
    }
}

/// Says what goes with an endpoint that is deleted, and asks.
fn confirm_deletion(
    client: &AdminClient,
    out: &Output,
    name: &str,
    yes: bool,
) -> Result<(), CtlError> {
    if yes || !out.is_for_eyes() {
        return Ok(());
    }
    let found: EndpointView = client.get(&resource("endpoints", name, ""))?.view()?;
    let (waiting, dead) =
        found.activity.map_or((0, 0), |activity| (activity.waiting, activity.dead));
    let what = deliveries(waiting);
    let letters = match dead {
        0 => String::new(),
        dead => format!(" {} of it cannot be retried then.", count(dead, "dead letter")),
    };
    confirm(
        false,
        &format!("This deletes endpoint {name} and cancels {what} that wait for it.{letters}"),
    )
}

fn waiting(endpoint: &EndpointView) -> String {
    or_dash(endpoint.activity.as_ref().map(|activity| activity.waiting))
}

fn test(
    client: &AdminClient,
    out: &mut Output,
    name: &str,
    args: &EndpointTestArgs,
) -> Result<(), CtlError> {
    let data = args.file.as_deref().map(read_bytes).transpose()?;
    let body = TestEndpointBody {
        event: whole_event(client, args.event.as_ref())?.map(Line),
        data_base64: data.map(|bytes| STANDARD.encode(bytes)),
        event_type: args.kind.clone().map(Line),
        source: args.source.clone().map(Line),
        dry_run: args.dry_run,
        ..TestEndpointBody::default()
    };

    let answer = client.post(&resource("endpoints", name, "/test"), &body)?;
    out.one(&answer, show::tested)?;

    // A dry run has no outcome, unless no request could be made.
    let EndpointTestView { outcome, dry_run, .. } = answer.view()?;
    let succeeded = outcome.map_or(dry_run, |outcome| outcome == "delivered");
    if succeeded { Ok(()) } else { out.finish().and(Err(CtlError::NotOk)) }
}
