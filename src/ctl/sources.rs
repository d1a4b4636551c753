//! `source` and `bin`: where webhooks come in.

use serde_json::{Map, Value};

use super::args::{BinCommand, SourceCommand};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use super::fields::fields;
use super::files::read_text;
use super::lists::{self, list};
use super::output::Output;
use super::settings::{change, creation, source_spec};
use super::table::text;
use super::terminal::confirm;
use super::{secrets, show};
use crate::api::SourceSpec;
use crate::api::text::Line;
use crate::api::views::{DeletedView, SourceView};

pub(super) fn source(
    client: &AdminClient,
    out: &mut Output,
    command: &SourceCommand,
) -> Result<(), CtlError> {
    match command {
        SourceCommand::Create { name, settings } => {
            let body = creation(Some(name), source_spec(settings)?)?;
            let created = client.post("/v1/sources", &body)?;
            out.one(&created, |source| show::created_source("source", source))
        }
        SourceCommand::List { table } => {
            out.print_tables(*table);
            let empty = "No sources. Create one with `hookboxctl source create`.";
            list(client, out, "/v1/sources", lists::SOURCES, empty)
        }
        SourceCommand::Show { name } => {
            let found = client.get(&resource("sources", name, ""))?;
            out.one(&found, fields)
        }
        SourceCommand::Update { name, settings, reset } => {
            let body = change(source_spec(settings)?, reset)?;
            let updated = client.patch(&resource("sources", name, ""), &body)?;
            out.one(&updated, show::updated_source)
        }
        SourceCommand::Delete { name, yes } => {
            let what = "Its senders are answered 404 from then on.";
            confirm(*yes || !out.is_for_eyes(), &format!("This deletes source {name}. {what}"))?;
            let deleted = client.delete(&resource("sources", name, ""))?;
            out.one(&deleted, |deleted: &DeletedView| {
                let line = |warning: &String| format!("\nWarning: {}.", text(warning));
                let warnings: String = deleted.warnings.iter().map(line).collect();
                format!("Deleted source {name}. Its events are kept.{warnings}")
            })
        }
        SourceCommand::RotateSecret { name, secret, old } => {
            secrets::rotate::<SourceView>(client, out, name, secret, old)
        }
        SourceCommand::Check { name, request, at } => {
            let given = read_text(request)?;
            let mut body: Map<String, Value> = serde_json::from_str(&given).map_err(|error| {
                let file = request.display();
                CtlError::Usage(format!("{file} is not a request as JSON: {error}"))
            })?;
            if let Some(at) = at {
                body.insert("at".into(), Value::from(*at));
            }

            let answer = client.post(&resource("sources", name, "/check"), &Value::Object(body))?;
            out.one(&answer, show::checked)
        }
    }
}

pub(super) fn bin(
    client: &AdminClient,
    out: &mut Output,
    command: &BinCommand,
) -> Result<(), CtlError> {
    match command {
        BinCommand::Create { name, ttl } => {
            let verify = Some(Line("bin".into()));
            let spec =
                SourceSpec { verify, token: Some(true), ttl: Some(*ttl), ..SourceSpec::default() };
            let created = client.post("/v1/sources", &creation(name.as_deref(), spec)?)?;
            out.one(&created, |bin| show::created_source("bin", bin))
        }

        BinCommand::List => {
            let empty = "No bins. Create one with `hookboxctl bin create`.";
            list(client, out, "/v1/sources?verify=bin", lists::BINS, empty)
        }
        BinCommand::Delete { name } => {
            // A source that is not a bin is not deleted by this command.
            let only_bins = [("verify", Some("bin".into()))];
            let deleted = client.delete(&path(&resource("sources", name, ""), &only_bins))?;
            out.one(&deleted, |_: &DeletedView| format!("Deleted bin {name}."))
        }
    }
}
