//! `source` and `bin`: where webhooks come in.

use super::args::{BinCommand, SourceCommand};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use super::fields::fields;
use super::lists::{self, page_params};
use super::output::Output;
use super::settings::{change, creation, source_spec};
use super::table::text;
use super::terminal::confirm;
use super::{raw_request, schemes, secrets, show};
use crate::api::SourceSpec;
use crate::api::bodies::CheckBody;
use crate::api::given::GivenHeaders;
use crate::api::text::Line;
use crate::api::views::{CheckView, DeletedView, RefusedRequestView, SourceView};

pub(super) fn source(
    client: &AdminClient,
    out: &mut Output,
    command: &SourceCommand,
) -> Result<(), CtlError> {
    if asks_for_schemes(command) {
        return schemes::list(out);
    }
    match command {
        SourceCommand::Create { name, settings } => {
            let body = creation(Some(name), source_spec(settings)?)?;
            let created = client.post("/v1/sources", &body)?;
            secrets::shown(out, &created, name, |source| show::created_source("source", source))
        }
        SourceCommand::List { page } => {
            let target = path("/v1/sources", &page_params(page));
            let empty = "No sources. Create one with `hookboxctl source create`.";
            lists::page(client, out, &target, lists::SOURCES, ("source list", page), empty)
        }
        SourceCommand::Show { name } => {
            let found = client.get(&resource("sources", name, ""))?;
            out.one(&found, fields)
        }
        SourceCommand::Update { name, settings, reset } => {
            let body = change(source_spec(settings)?, reset)?;
            let updated = client.patch(&resource("sources", name, ""), &body)?;
            secrets::shown(out, &updated, name, show::updated_source)
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
        SourceCommand::Refused { name, page } => {
            let empty = "No refused requests are kept. `hookboxctl source update NAME \
                         --keep-refused 10` keeps the last ones from now on.";
            let target = path(&resource("sources", name, "/refused"), &page_params(page));
            let command = format!("source refused {name}");
            lists::page(client, out, &target, lists::REFUSED, (&command, page), empty)
        }
        SourceCommand::Schemes(args) => schemes::schemes(out, args),
        SourceCommand::Check { name, request, refused, at } => {
            let mut body = match (request, refused) {
                (Some(file), _) => raw_request::read(file)?,
                (None, Some(number)) => kept_request(client, name, *number)?,
                (None, None) => CheckBody::default(),
            };
            body.at = at.or(body.at);

            let answer = client.post(&resource("sources", name, "/check"), &body)?;
            out.one(&answer, show::checked)?;
            let CheckView { accepted, .. } = answer.view()?;
            if accepted { Ok(()) } else { out.finish().and(Err(CtlError::NotOk)) }
        }
    }
}

/// Whether it is `--verify help`, which changes nothing.
fn asks_for_schemes(command: &SourceCommand) -> bool {
    let (SourceCommand::Create { settings, .. } | SourceCommand::Update { settings, .. }) = command
    else {
        return false;
    };
    settings.spec.verify.as_ref().is_some_and(|scheme| scheme.0 == "help")
}

/// A request that the source has refused and keeps, to be checked again.
fn kept_request(client: &AdminClient, name: &str, number: u64) -> Result<CheckBody, CtlError> {
    let mut found = None;
    client.list(&resource("sources", name, "/refused"), &mut |row| {
        let kept: RefusedRequestView = row.view()?;
        if kept.number == number {
            found = Some(kept);
        }
        Ok(())
    })?;
    let kept = found.ok_or_else(|| {
        CtlError::Refused(format!(
            "source {name} keeps no refused request {number}: see `hookboxctl source refused \
             {name}`"
        ))
    })?;
    let is_whole = kept.body_base64.len() as u64 / 4 * 3 >= kept.size;
    if !is_whole {
        let what = "only the beginning of its body is kept, so its proof cannot be checked";
        return Err(CtlError::Refused(format!("request {number} cannot be checked again: {what}")));
    }

    let mut headers = GivenHeaders::default();
    kept.headers.iter().for_each(|(name, value)| headers.push(name, value));
    Ok(CheckBody {
        method: Some(kept.method),
        url: Some(kept.url),
        headers,
        body_base64: kept.body_base64,
        at: i64::try_from(kept.at.0 / 1000).ok(),
    })
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

        BinCommand::List { page } => {
            let bins = vec![("verify", Some("bin".to_owned()))];
            let target = path("/v1/sources", &[bins, page_params(page)].concat());
            let empty = "No bins. Create one with `hookboxctl bin create`.";
            lists::page(client, out, &target, lists::BINS, ("bin list", page), empty)
        }
        BinCommand::Delete { name, yes } => {
            let what = "Its senders are answered 404 from then on.";
            confirm(*yes || !out.is_for_eyes(), &format!("This deletes bin {name}. {what}"))?;
            // A source that is not a bin is not deleted by this command.
            let only_bins = [("verify", Some("bin".into()))];
            let deleted = client.delete(&path(&resource("sources", name, ""), &only_bins))?;
            out.one(&deleted, |_: &DeletedView| format!("Deleted bin {name}."))
        }
    }
}
