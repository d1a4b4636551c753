//! Sources, bins and endpoints: what the operator sets up.

use std::fs;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::CtlError;
use super::args::{
    BinCommand, EndpointCommand, EndpointSettings, SecretArgs, SourceCommand, SourceSettings, TrialArgs,
};
use super::client::{Client, encode, path};
use super::lists::{self, list};
use super::operate::deliveries;
use super::output::Output;
use super::show;

/// Bytes of a file that is given as a setting or a request.
const FILE_BYTES: u64 = 48 << 20;

pub(super) fn source(client: &Client, out: &mut Output, command: &SourceCommand) -> Result<(), CtlError> {
    match command {
        SourceCommand::Create { name, settings } => {
            let mut body = source_body(settings)?;
            body.insert("name".into(), json!(name));
            let made = client.post("/v1/sources", &Value::Object(body))?;
            out.one(&made, |made| show::made("source", made))
        }
        SourceCommand::List => {
            list(client, out, "/v1/sources", lists::SOURCES, "No sources: make one with `hookboxctl source create`.")
        }
        SourceCommand::Show { name } => {
            let found = client.get(&at("sources", name, ""))?;
            out.one(&found, show::fields)
        }
        SourceCommand::Update { name, settings, reset } => {
            let mut body = source_body(settings)?;
            put_back(&mut body, reset)?;
            let made = client.patch(&at("sources", name, ""), &Value::Object(body))?;
            out.one(&made, |made| show::changed("source", made))
        }
        SourceCommand::Delete { name } => {
            let done = client.delete(&at("sources", name, ""))?;
            out.one(&done, |_| format!("Source {name} is deleted; its events stay."))
        }
        SourceCommand::RotateSecret { name, secret, now } => rotate(client, out, "source", name, secret, *now),
        SourceCommand::Check { name, request, at: time } => {
            let text = read_text(request)?;
            let mut body: Map<String, Value> = serde_json::from_str(&text)
                .map_err(|e| CtlError::Usage(format!("{} is not a request as JSON: {e}", request.display())))?;
            if let Some(time) = time {
                body.insert("at".into(), json!(time));
            }
            let answer = client.post(&at("sources", name, "/check"), &Value::Object(body))?;
            out.one(&answer, show::checked)
        }
    }
}

pub(super) fn bin(client: &Client, out: &mut Output, command: &BinCommand) -> Result<(), CtlError> {
    match command {
        BinCommand::Create { name, ttl } => {
            let mut body = json!({"verify": "bin", "token": true, "ttl_ms": ttl});
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            let made = client.post("/v1/sources", &body)?;
            out.one(&made, |made| show::made("bin", made))
        }
        BinCommand::List => {
            list(client, out, "/v1/sources?verify=bin", lists::BINS, "No bins: make one with `hookboxctl bin create`.")
        }
        BinCommand::Delete { name } => {
            let done = client.delete(&path(&at("sources", name, ""), &[("verify", Some("bin".into()))]))?;
            out.one(&done, |_| format!("Bin {name} is deleted."))
        }
    }
}

pub(super) fn endpoint(client: &Client, out: &mut Output, command: &EndpointCommand) -> Result<(), CtlError> {
    match command {
        EndpointCommand::Create { name, url, settings } => {
            let mut body = endpoint_body(settings)?;
            body.insert("name".into(), json!(name));
            body.insert("url".into(), json!(url));
            let made = client.post("/v1/endpoints", &Value::Object(body))?;
            out.one(&made, |made| show::made("endpoint", made))
        }
        EndpointCommand::List { state } => {
            let target = path("/v1/endpoints", &[("state", state.clone())]);
            list(client, out, &target, lists::ENDPOINTS, "No endpoints: make one with `hookboxctl endpoint create`.")
        }
        EndpointCommand::Show { name } => {
            let found = client.get(&at("endpoints", name, ""))?;
            out.one(&found, show::fields)
        }
        EndpointCommand::Update { name, url, settings, reset } => {
            let mut body = endpoint_body(settings)?;
            if let Some(url) = url {
                body.insert("url".into(), json!(url));
            }
            put_back(&mut body, reset)?;
            let made = client.patch(&at("endpoints", name, ""), &Value::Object(body))?;
            out.one(&made, |made| show::changed("endpoint", made))
        }
        EndpointCommand::Delete { name } => {
            let done = client.delete(&at("endpoints", name, ""))?;
            out.one(&done, |_| format!("Endpoint {name} is deleted; what waited for it is cancelled."))
        }
        EndpointCommand::RotateSecret { name, secret, now } => rotate(client, out, "endpoint", name, secret, *now),
        EndpointCommand::Hold { name } => {
            let held = client.post(&at("endpoints", name, "/hold"), &json!({}))?;
            out.one(&held, |e| format!("Endpoint {name} is on hold; waiting: {}.", deliveries(&e["waiting"])))
        }
        EndpointCommand::Release { name } => {
            let released = client.post(&at("endpoints", name, "/release"), &json!({}))?;
            out.one(&released, |e| format!("Endpoint {name} goes on; waiting: {}.", deliveries(&e["waiting"])))
        }
        EndpointCommand::Test { name, trial } => {
            let answer = client.post(&at("endpoints", name, "/test"), &trial_body(trial)?)?;
            out.one(&answer, show::tried)?;
            let fine = match answer["outcome"].as_str() {
                None => answer["dry_run"] == true,
                Some(outcome) => outcome == "delivered",
            };
            if fine { Ok(()) } else { out.finish().and(Err(CtlError::NotOk)) }
        }
    }
}

fn trial_body(trial: &TrialArgs) -> Result<Value, CtlError> {
    let mut body = Map::new();
    put(&mut body, "event", trial.event.as_ref());
    if let Some(file) = &trial.file {
        body.insert("data_base64".into(), json!(STANDARD.encode(read_bytes(file)?)));
    }
    put(&mut body, "type", trial.kind.as_ref());
    put(&mut body, "source", trial.source.as_ref());
    body.insert("dry_run".into(), json!(trial.dry_run));
    Ok(Value::Object(body))
}

fn at(nouns: &str, name: &str, verb: &str) -> String {
    format!("/v1/{nouns}/{}{verb}", encode(name))
}

fn rotate(
    client: &Client,
    out: &mut Output,
    noun: &str,
    name: &str,
    secret: &SecretArgs,
    now: bool,
) -> Result<(), CtlError> {
    let mut body = Map::new();
    put_secret(&mut body, secret)?;
    body.insert("now".into(), json!(now));
    let made = client.post(&at(&format!("{noun}s"), name, "/rotate-secret"), &Value::Object(body))?;
    let old = if now { "The old one has ended." } else { "The old one goes on for 24 hours." };
    out.one(&made, |made| match made["secret"].as_str() {
        Some(secret) => format!("New secret of {noun} {name}, shown this once: {secret}\n{old}"),
        None => format!("{noun} {name} has its new secret. {old}"),
    })
}

fn source_body(settings: &SourceSettings) -> Result<Map<String, Value>, CtlError> {
    let mut body = Map::new();
    put(&mut body, "verify", settings.verify.as_ref());
    put_secret(&mut body, &settings.secret)?;
    if let Some(file) = &settings.public_key_file {
        body.insert("public_key".into(), json!(read_text(file)?));
    }
    if !settings.params.is_empty() {
        let params: Result<Map<String, Value>, CtlError> = settings.params.iter().map(|text| param(text)).collect();
        body.insert("params".into(), Value::Object(params?));
    }
    put(&mut body, "public_url", settings.public_url.as_ref());
    put(&mut body, "token", settings.token.as_ref());
    put_list(&mut body, "allow", &settings.allow);
    put(&mut body, "rate", settings.rate.as_ref());
    put(&mut body, "max_body", settings.max_body.as_ref());
    put(&mut body, "dedupe_window_ms", settings.dedupe_window.as_ref());
    put(&mut body, "type_header", settings.type_header.as_ref());
    put(&mut body, "type_field", settings.type_field.as_ref());
    put(&mut body, "id_header", settings.id_header.as_ref());
    put(&mut body, "id_field", settings.id_field.as_ref());
    put(&mut body, "split", settings.split.as_ref());
    Ok(body)
}

fn endpoint_body(settings: &EndpointSettings) -> Result<Map<String, Value>, CtlError> {
    let mut body = Map::new();
    put_list(&mut body, "from", &settings.from);
    put_list(&mut body, "types", &settings.types);
    put(&mut body, "where", settings.filter.as_ref());
    put_secret(&mut body, &settings.secret)?;
    put(&mut body, "retry_base_ms", settings.retry_base.as_ref());
    put(&mut body, "retry_factor", settings.retry_factor.as_ref());
    put(&mut body, "retry_max_ms", settings.retry_max.as_ref());
    put(&mut body, "jitter", settings.jitter.as_ref());
    put(&mut body, "max_age_ms", settings.max_age.as_ref());
    put(&mut body, "max_attempts", settings.max_attempts.as_ref());
    put(&mut body, "timeout_ms", settings.timeout.as_ref());
    put(&mut body, "concurrency", settings.concurrency.as_ref());
    put(&mut body, "allow_private", settings.allow_private.as_ref());
    put(&mut body, "forward_headers", settings.forward_headers.as_ref());
    settings.pacing.put(&mut body);
    settings.way.put(&mut body)?;
    Ok(body)
}

pub(super) fn put<T: serde::Serialize>(body: &mut Map<String, Value>, key: &str, value: Option<&T>) {
    if let Some(value) = value {
        body.insert(key.into(), json!(value));
    }
}

pub(super) fn put_list(body: &mut Map<String, Value>, key: &str, values: &[String]) {
    if !values.is_empty() {
        body.insert(key.into(), json!(values));
    }
}

fn put_back(body: &mut Map<String, Value>, reset: &[String]) -> Result<(), CtlError> {
    for key in reset {
        if body.insert(key.clone(), Value::Null).is_some() {
            return Err(CtlError::Usage(format!("'{key}' is set and reset at once: choose one")));
        }
    }
    if body.is_empty() {
        return Err(CtlError::Usage("nothing to change: give a setting, or --reset SETTING".into()));
    }
    Ok(())
}

fn put_secret(body: &mut Map<String, Value>, secret: &SecretArgs) -> Result<(), CtlError> {
    if let Some(file) = &secret.secret_file {
        let text = read_text(file)?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(CtlError::Usage(format!("{} is empty: put the secret into it", file.display())));
        }
        body.insert("secret".into(), json!(text));
    }
    put(body, "secret", secret.secret.as_ref());
    if secret.generate_secret {
        body.insert("generate_secret".into(), json!(true));
    }
    Ok(())
}

/// `KEY=VALUE`: text, but true, false, lists and objects as JSON, and numbers for keys that end in a unit
/// (`leeway_s`). `KEY=@FILE.json`: the JSON in the file.
pub(super) fn param(text: &str) -> Result<(String, Value), CtlError> {
    let bad = || CtlError::Usage(format!("--set '{text}': write it as KEY=VALUE or KEY=@FILE.json"));
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(bad)?;
    if let Some(file) = value.strip_prefix('@') {
        let json = serde_json::from_str(&read_text(Path::new(file))?);
        let json = json.map_err(|e| CtlError::Usage(format!("--set {key}: {file} is not JSON: {e}")))?;
        return Ok((key.to_owned(), json));
    }
    let is_json = matches!(value, "true" | "false") || value.starts_with(['[', '{']);
    let is_number = (key.ends_with("_s") || key.ends_with("_ms")) && value.parse::<i64>().is_ok();
    let parsed = (is_json || is_number).then(|| serde_json::from_str(value).ok()).flatten();
    Ok((key.to_owned(), parsed.unwrap_or_else(|| json!(value))))
}

/// A file's text; `-` is stdin.
pub(super) fn read_text(file: &Path) -> Result<String, CtlError> {
    String::from_utf8(read_bytes(file)?).map_err(|_| CtlError::Usage(format!("{} is not text (UTF-8)", file.display())))
}

pub(super) fn read_bytes(file: &Path) -> Result<Vec<u8>, CtlError> {
    let failed = |error| CtlError::Io { what: format!("cannot read {}", file.display()), error };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        fs::File::open(file).and_then(|f| f.take(FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    }
    if bytes.len() as u64 > FILE_BYTES {
        return Err(CtlError::Usage(format!("{} is larger than {FILE_BYTES} bytes", file.display())));
    }
    Ok(bytes)
}
