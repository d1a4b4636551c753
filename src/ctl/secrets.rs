//! `rotate-secret`, of sources and of endpoints.

use std::io;

use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::args::{OverlapArgs, SecretArgs};
use super::client::{AdminClient, resource};
use super::error::CtlError;
use super::files::read_secret;
use super::output::Output;
use super::settings::parsed;
use crate::api::RotateBody;
use crate::api::values::{SecretText, Span};
use crate::api::views::{EndpointView, SourceView};
use crate::model::limits;
use crate::model::time::format_duration_ms;

/// What has a secret: a source or an endpoint.
pub(super) trait HasSecret: DeserializeOwned {
    const NOUN: &'static str;

    /// The secret, when it has just been generated.
    fn secret(&self) -> Option<&SecretText>;
    /// How many secrets are valid.
    fn live(&self) -> usize;
}

impl HasSecret for SourceView {
    const NOUN: &'static str = "source";

    fn secret(&self) -> Option<&SecretText> {
        self.settings.secret.as_ref()
    }

    fn live(&self) -> usize {
        self.secrets.len()
    }
}

impl HasSecret for EndpointView {
    const NOUN: &'static str = "endpoint";

    fn secret(&self) -> Option<&SecretText> {
        self.settings.secret.as_ref()
    }

    fn live(&self) -> usize {
        self.secrets.len()
    }
}

/// Shows an answer with which a secret may have come that nobody shows again: where it cannot be
/// written, the error says how to get another one.
pub(super) fn shown<V: HasSecret>(
    out: &mut Output,
    answer: &Answer,
    name: &str,
    people: impl FnOnce(&V) -> String,
) -> Result<(), CtlError> {
    let written = out.one(answer, people).and_then(|()| out.finish());
    let has_secret = answer.view::<V>().is_ok_and(|view| view.secret().is_some());
    let (what, error) = match written {
        Err(CtlError::Io { what, error }) if has_secret => (what, error),
        Err(CtlError::OutputClosed) if has_secret => {
            ("cannot write the output".to_owned(), io::ErrorKind::BrokenPipe.into())
        }
        other => return other,
    };

    let noun = V::NOUN;
    let what = format!(
        "{noun} {name} has a secret now that could not be shown: `hookboxctl {noun} rotate-secret \
         {name} --generate-secret` makes another one: {what}"
    );
    Err(CtlError::Io { what, error })
}

/// Replaces the secret of a source or an endpoint.
pub(super) fn rotate<V: HasSecret>(
    client: &AdminClient,
    out: &mut Output,
    name: &str,
    args: &SecretArgs,
    old: &OverlapArgs,
) -> Result<(), CtlError> {
    let secret = match &args.secret_file {
        Some(file) => Some(parsed(file, &read_secret(file)?)?),
        None => args.secret.clone(),
    };
    let generate_secret = args.generate_secret.then_some(true);
    let body = RotateBody { secret, generate_secret, now: old.now, overlap: old.overlap };
    let noun = V::NOUN;
    let path = resource(&format!("{noun}s"), name, "/rotate-secret");
    let rotated = client.post(&path, &body)?;

    let overlap_ms = old.overlap.map_or(limits::ROTATION_MS, Span::ms);
    let overlap_ms = if old.now { 0 } else { overlap_ms };
    shown(out, &rotated, name, |rotated: &V| {
        let old = match overlap_ms {
            0 => "The old secret is not valid any more.".to_owned(),
            _ if rotated.live() < 2 => "There was no secret before.".to_owned(),
            overlap_ms => {
                format!("The old secret stays valid for {}.", format_duration_ms(overlap_ms))
            }
        };
        match rotated.secret() {
            Some(SecretText(secret)) => {
                let secret = &secret.0;
                format!("New secret of {noun} {name} (shown only once): {secret}\n{old}")
            }
            None => format!("Replaced the secret of {noun} {name}. {old}"),
        }
    })
}
