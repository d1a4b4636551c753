//! `rotate-secret`, of sources and of endpoints.

use super::args::SecretArgs;
use super::client::{AdminClient, resource};
use super::error::CtlError;
use super::files::read_secret;
use super::output::Output;
use super::settings::{as_json, parsed};
use crate::api::RotateBody;

/// Replaces the secret of a `noun`: source or endpoint.
pub(super) fn rotate(
    client: &AdminClient,
    out: &mut Output,
    noun: &str,
    name: &str,
    args: &SecretArgs,
    now: bool,
) -> Result<(), CtlError> {
    let secret = match &args.secret_file {
        Some(file) => Some(parsed(file, &read_secret(file)?)?),
        None => args.secret.clone(),
    };
    let body = RotateBody { secret, generate_secret: args.generate_secret.then_some(true), now };
    let path = resource(&format!("{noun}s"), name, "/rotate-secret");
    let rotated = client.post(&path, &as_json(&body))?;

    let old = match now {
        true => "The old secret is not valid any more.",
        false => "The old secret stays valid for 24 hours.",
    };
    out.one(&rotated, |rotated| match rotated["secret"].as_str() {
        Some(secret) => format!("New secret of {noun} {name} (shown only once): {secret}\n{old}"),
        None => format!("Replaced the secret of {noun} {name}. {old}"),
    })
}
