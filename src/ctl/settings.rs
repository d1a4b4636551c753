//! The settings on the command line, with those that are read from files, as requests.

use std::path::Path;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::args::{EndpointArgs, SourceArgs};
use super::error::CtlError;
use super::files::{read_secret, read_text};
use crate::api::values::SecretText;
use crate::api::{EndpointSpec, Patch, SourceSpec, Spec};
use crate::model::secret::trimmed_secret;
use crate::service::stdio;

/// The settings of a source.
pub(super) fn source_spec(args: &SourceArgs) -> Result<SourceSpec, CtlError> {
    let mut spec = args.spec.clone();
    trim(spec.secret.as_mut());
    if let Some(file) = &args.secret_file {
        spec.secret = Some(parsed(file, &read_secret(file)?)?);
    }
    if let Some(file) = &args.public_key_file {
        spec.public_key = Some(parsed(file, &read_text(file)?)?);
    }

    for (key, value) in spec.set.iter_mut().flatten() {
        if let Some(file) = value.as_str().and_then(|text| text.strip_prefix('@')) {
            *value = json_in(key, Path::new(file))?;
        }
    }
    Ok(spec)
}

/// A secret on the command line without the blanks that a copy has left around it, which is said.
fn trim(secret: Option<&mut SecretText>) {
    let Some(SecretText(secret)) = secret else { return };
    let trimmed = trimmed_secret(&secret.0);
    if trimmed != secret.0 && !trimmed.is_empty() {
        stdio::note(format_args!(
            "hookboxctl: spaces or a byte order mark around the secret are ignored"
        ));
        secret.0 = trimmed.to_owned();
    }
}

/// The settings of an endpoint.
pub(super) fn endpoint_spec(args: &EndpointArgs) -> Result<EndpointSpec, CtlError> {
    let mut spec = args.spec.clone();
    trim(spec.secret.as_mut());
    if let Some(file) = &args.secret_file {
        spec.secret = Some(parsed(file, &read_secret(file)?)?);
    }
    if let Some(file) = &args.body_file {
        spec.body = Some(parsed(file, &read_text(file)?)?);
    }

    for file in [&mut spec.client_cert, &mut spec.client_key, &mut spec.ca].into_iter().flatten() {
        // The daemon may run in another folder than whoever names the file.
        let absolute = std::path::absolute(&file.0).ok();
        file.0 = absolute.map_or_else(|| file.0.clone(), |path| path.display().to_string());
    }
    Ok(spec)
}

/// The body of a request that creates something; without a name, the daemon makes one.
pub(super) fn creation<S: Spec>(name: Option<&str>, spec: S) -> Result<Value, CtlError> {
    let name = name.map(|name| ("name".to_owned(), Value::from(name)));
    let mut body: Map<String, Value> = name.into_iter().collect();
    body.extend(Patch::new(spec, &[])?.to_json());
    Ok(Value::Object(body))
}

/// The body of a request that changes something.
pub(super) fn change<S: Spec>(spec: S, reset: &[String]) -> Result<Value, CtlError> {
    let patch = Patch::new(spec, reset)?;
    if patch.is_empty() {
        let what = "nothing to change: give a setting, or --reset SETTING";
        return Err(CtlError::Usage(what.into()));
    }
    Ok(Value::Object(patch.to_json()))
}

/// A setting whose text is that of a file.
pub(super) fn parsed<T: FromStr<Err = String>>(file: &Path, text: &str) -> Result<T, CtlError> {
    text.parse().map_err(|why| CtlError::Usage(format!("{}: {why}", file.display())))
}

/// The value of `--set KEY=@FILE.json`.
pub(super) fn json_in(key: &str, file: &Path) -> Result<Value, CtlError> {
    serde_json::from_str(&read_text(file)?).map_err(|error| {
        CtlError::Usage(format!("--set {key}: {} is not JSON: {error}", file.display()))
    })
}
