//! `endpoint`: where events are delivered to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::args::{EndpointCommand, EndpointTestArgs};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use super::fields::fields;
use super::files::read_bytes;
use super::lists::{self, list};
use super::output::Output;
use super::settings::{change, creation, endpoint_spec};
use super::table::or_dash;
use super::{secrets, show};
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
            out.one(&created, show::created_endpoint)
        }
        EndpointCommand::List { state } => {
            let target = path("/v1/endpoints", &[("state", state.clone())]);
            let empty = match state {
                Some(state) => format!("No endpoint is {state}."),
                None => "No endpoints. Create one with `hookboxctl endpoint create`.".to_owned(),
            };
            list(client, out, &target, lists::ENDPOINTS, &empty)
        }
        EndpointCommand::Show { name } => {
            let found = client.get(&resource("endpoints", name, ""))?;
            out.one(&found, fields)
        }

        EndpointCommand::Update { name, settings, reset } => {
            let body = change(endpoint_spec(settings)?, reset)?;
            let updated = client.patch(&resource("endpoints", name, ""), &body)?;
            out.one(&updated, show::updated_endpoint)
        }
        EndpointCommand::Delete { name } => {
            let deleted = client.delete(&resource("endpoints", name, ""))?;
            out.one(&deleted, |deleted: &DeletedView| match deleted.cancelled {
                None | Some(0) => format!("Deleted endpoint {name}. Nothing was waiting for it."),
                Some(1) => format!("Deleted endpoint {name}. 1 waiting delivery is cancelled."),
                Some(many) => {
                    format!("Deleted endpoint {name}. {many} waiting deliveries are cancelled.")
                }
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
        event: args.event.clone().map(Line),
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
