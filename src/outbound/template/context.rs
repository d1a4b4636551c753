//! The values of an event that a template can use.
//!
//! The body is read when a template first asks for it, by the reader that filters and pointers use
//! (`model::json`).
//!
//! Limits: `limits::TEMPLATE_BODY_BYTES` of a body, nested `limits::TEMPLATE_BODY_DEPTH` times.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, Value};

use crate::model::json::{Bounds, Doc};
use crate::model::time::rfc3339;
use crate::model::{Event, limits, query};

use super::json::json_value;
use super::secrets::{SECRET, TemplateSecrets};
use super::unreadable::{failed, unreadable};

/// The names of the values.
pub const NAMES: [&str; 9] =
    ["id", "type", "source", "received_at", "headers", "query", "body", "body_text", "attempt"];

/// The values of one attempt.
#[derive(Clone, Debug)]
pub struct TemplateContext {
    event: Arc<Event>,
    number: u32,
    body: Arc<OnceLock<Value>>,
    /// The function that looks up secrets; it stands before the one that templates are tried out
    /// with.
    secret: Value,
}

impl TemplateContext {
    pub fn new(event: Arc<Event>, number: u32) -> Self {
        Self { event, number, body: Arc::default(), secret: Value::UNDEFINED }
    }

    /// The value that is rendered with; its secrets come from here.
    pub fn with(&self, secrets: &TemplateSecrets) -> Value {
        Value::from_object(Self { secret: secrets.function(), ..self.clone() })
    }
}

impl Object for TemplateContext {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let event = &self.event;

        Some(match key.as_str()? {
            "id" => Value::from(event.id.to_string()),
            "type" => Value::from(event.kind.as_str()),
            "source" => Value::from(event.source_name.as_str()),
            "received_at" => Value::from(rfc3339(event.received_at)),
            "headers" => Value::from_object(EventHeaders(event.clone())),
            "query" => {
                let fields = query::fields(event.query().unwrap_or_default());
                serde_json::from_value(fields).unwrap_or_else(|_| Value::from(()))
            }
            "body" => self.body.get_or_init(|| body(event)).clone(),
            "body_text" => match std::str::from_utf8(&event.body) {
                _ if event.body.len() > limits::TEMPLATE_BODY_BYTES => too_large(event.body.len()),
                Ok(text) => Value::from(text),
                Err(_) => unreadable("the body is not text (UTF-8)"),
            },
            "attempt" => Value::from(self.number),
            SECRET => self.secret.clone(),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&NAMES)
    }
}

/// EventHeaders by name, in any case.
#[derive(Debug)]
struct EventHeaders(Arc<Event>);

impl Object for EventHeaders {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let found =
            self.0.headers.iter().rev().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| Value::from(header.text()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names: BTreeMap<&str, ()> =
            self.0.headers.iter().map(|header| (header.name.as_str(), ())).collect();
        Enumerator::Values(names.into_keys().map(Value::from).collect())
    }
}

/// The body as a value. Using one that is too large is an error.
fn body(event: &Event) -> Value {
    if event.body.len() > limits::TEMPLATE_BODY_BYTES {
        return too_large(event.body.len());
    }
    match Doc::read(&event.body, Bounds { bytes: limits::TEMPLATE_BODY_BYTES, nodes: usize::MAX }) {
        Ok(doc) if doc.depth() > limits::TEMPLATE_BODY_DEPTH => {
            let most = limits::TEMPLATE_BODY_DEPTH;
            Value::from(failed(format!(
                "the body is nested more than {most} levels deep, the limit for templates"
            )))
        }
        Ok(doc) => json_value(&Arc::new(doc), 0),
        Err(_) if event.body.is_empty() => unreadable("the body is empty"),
        Err(wrong) => unreadable(&format!("the body cannot be read: {wrong}")),
    }
}

fn too_large(bytes: usize) -> Value {
    Value::from(failed(format!(
        "the body has {bytes} bytes, templates read at most {}",
        limits::TEMPLATE_BODY_BYTES
    )))
}
