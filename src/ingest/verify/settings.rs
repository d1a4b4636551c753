//! The check of a source's settings when it is created or changed: what the scheme needs, what it
//! does not know, and the option that fixes it.

use super::scheme::{Need, Scheme};
use super::table::{SCHEMES, TABLE, scheme};
use crate::model::Source;
use crate::model::similar::nearest;

/// Checks the settings of a source when it is created or changed.
///
/// # Errors
/// What is wrong, and how to fix it: one sentence for the operator.
pub fn check_settings(source: &Source) -> Result<(), String> {
    let Some(scheme) = scheme(&source.verify) else {
        let meant = nearest(&source.verify, SCHEMES.iter().copied());
        let hint = meant.map(|meant| format!("did you mean '{meant}'? ")).unwrap_or_default();
        return Err(format!(
            "there is no scheme {:?}; {hint}--verify takes one of {}",
            source.verify,
            SCHEMES.join(", ")
        ));
    };
    check_params(source, scheme)?;
    check_split(source, scheme)?;
    check_secret(source, scheme)?;
    check_public_key(source, scheme)?;
    (scheme.check)(source)
}

/// What a source's settings leave open, though they are complete: a sentence each.
#[must_use]
pub fn advice(source: &Source) -> Vec<String> {
    let Some(scheme) = scheme(&source.verify) else { return Vec::new() };
    let mut advice: Vec<String> = (scheme.advice)(source).into_iter().collect();

    let takes_certs = scheme.params.iter().any(|(name, _)| *name == "certs");
    if takes_certs && !source.params.contains_key("certs") && source.public_key.is_none() {
        advice.push(
            "it knows no certificate that requests could be signed with, so that all are answered \
             503: have certificates fetched with --set certs=fetch, or give them with --set \
             certs=@FILE.json"
                .to_owned(),
        );
    }

    let covers_body = !matches!(scheme.signed, "nothing" | "the token alone" | "the connection");
    if let Some(header) = source.id_header.as_ref().filter(|_| covers_body) {
        advice.push(format!(
            "nobody signs the header {header}: whoever gets hold of a signed body can have it \
             accepted again under other ids; leave --id-header out unless different deliveries \
             are the same to the last byte"
        ));
    }
    advice
}

fn check_params(source: &Source, scheme: &Scheme) -> Result<(), String> {
    let known = |key: &String| scheme.params.iter().any(|(name, _)| name == key);
    let Some(unknown) = source.params.keys().find(|key| !known(key)) else { return Ok(()) };
    let keys: Vec<&str> = scheme.params.iter().map(|(name, _)| *name).collect();
    Err(match keys.as_slice() {
        [] => format!(
            "the scheme {} has no settings, so --set {unknown}=… has no effect; leave it out",
            scheme.name
        ),
        keys => format!(
            "the scheme {} does not know --set {unknown}=…; it knows {}",
            scheme.name,
            keys.join(", ")
        ),
    })
}

fn check_secret(source: &Source, scheme: &Scheme) -> Result<(), String> {
    let name = scheme.name;
    if source.secrets.iter().any(|timed| timed.secret.0.trim().is_empty()) {
        return Err("a secret is empty; give one with --secret-file, or have one made with \
                    --generate-secret"
            .into());
    }
    match scheme.secret {
        Need::Required if source.secrets.is_empty() => Err(format!(
            "the scheme {name} needs the provider's secret; give it with --secret-file"
        )),
        Need::Unused if !source.secrets.is_empty() => Err(format!(
            "the scheme {name} does not use a secret; leave --secret and --secret-file out, and \
             take one that is stored away with --reset secret"
        )),
        _ => Ok(()),
    }
}

/// Refuses what would have no effect, or take one away.
fn check_split(source: &Source, scheme: &Scheme) -> Result<(), String> {
    if !source.split {
        return Ok(());
    }
    if !scheme.splits {
        let those: Vec<&str> =
            TABLE.iter().filter(|scheme| scheme.splits).map(|scheme| scheme.name).collect();
        return Err(format!(
            "the scheme {} has no batches, so --split has no effect; leave it out ({} have \
             batches)",
            scheme.name,
            those.join(", ")
        ));
    }
    if source.id_header.is_some() {
        return Err("each event of a batch has an id of its own, so --id-header has no effect \
                    with --split; leave it out, or name a field of the events with --id-field"
            .into());
    }
    Ok(())
}

fn check_public_key(source: &Source, scheme: &Scheme) -> Result<(), String> {
    let name = scheme.name;
    match (scheme.public_key, &source.public_key) {
        (Need::Required, None) => Err(format!(
            "the scheme {name} needs the provider's public key; give it with --public-key-file"
        )),
        (Need::Unused, Some(_)) => {
            Err(format!("the scheme {name} does not use a public key; leave --public-key-file out"))
        }
        _ => Ok(()),
    }
}
