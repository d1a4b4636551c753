//! The document, and whether the committed file is fresh.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::answers::{Answered, answer_of};
use super::inputs::{body_of, query_of};
use crate::admin::serve::routes::{Op, ROUTES, Route};
use crate::api::views::ProblemView;

const DESCRIPTION: &str = "HTTP/1.1 with JSON over a Unix socket: curl --unix-socket \
                           hookbox-data/admin.sock http://hookbox/v1/status. Callers are \
                           identified by SO_PEERCRED: root and the daemon's own user may do \
                           everything; members of the socket's group may read and operate, but \
                           not create, change or delete sources and endpoints, or rotate secrets \
                           (403).";

fn operation(route: &Route, g: &mut SchemaGenerator) -> Value {
    let (summary, answer) = answer_of(route.op, g);
    let (query, body) = (query_of(route.op, g), body_of(route.op, g));
    let problem = g.subschema_for::<ProblemView>();
    let path =
        route.path.trim_start_matches("/v1").replace(['/', '-', '.'], "_").replace(['{', '}'], "");
    let id = format!("{}{path}", route.method.to_lowercase());

    let mut operation = json!({"summary": summary, "operationId": id});
    let parameters = parameters(route, query.as_ref());
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(schema) = body {
        operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    }
    if route.op == Op::LogImport {
        operation["requestBody"] =
            json!({"content": {"application/x-ndjson": {"schema": {"type": "string"}}}});
    }

    let (status, content) = match answer {
        Answered::Json(status, schema) => (status, json!({"application/json": {"schema": schema}})),
        Answered::Lines(schema) => (200, json!({"application/x-ndjson": {"schema": schema}})),
        Answered::Bytes(kind) => (200, json!({kind: {"schema": {"type": "string"}}})),
    };
    let refused = json!({"application/problem+json": {"schema": problem}});
    operation["responses"] = json!({
        status.to_string(): {"description": "Done", "content": content},
        "default": {"description": "Refused", "content": refused},
    });
    operation
}

fn parameters(route: &Route, query: Option<&Schema>) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in ["name", "id"].iter().filter(|name| route.path.contains(&format!("{{{name}}}"))) {
        parameters.push(
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
        );
    }

    let properties = query.and_then(|schema| schema.get("properties")?.as_object());
    for (name, schema) in properties.into_iter().flatten() {
        let mut schema = schema.clone();
        let description =
            schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
        // Given or not: a parameter is never null.
        if let Some(types) = schema["type"].as_array() {
            schema["type"] = types[0].clone();
        }

        parameters.push(
            json!({"name": name, "in": "query", "description": description, "schema": schema}),
        );
    }
    parameters
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();

    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.to_lowercase()] = operation;
    }

    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hookbox admin socket",
            "version": "1",
            "license": {"name": "MIT OR Apache-2.0"},
            "description": DESCRIPTION,
        },
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    });
    without_null_defaults(&mut document);
    document
}

/// A default of null says nothing: whatever may be absent is null then.
fn without_null_defaults(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("default") == Some(&Value::Null) {
                object.shift_remove("default");
            }
            object.values_mut().for_each(without_null_defaults);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null_defaults),
        _ => {}
    }
}

/// A line for each request and each type: the daemon holds the text, so that it is kept short.
fn text(document: &Value) -> String {
    let lines = |object: &Value, indent: &str| {
        let object = object.as_object().expect("an object");
        let lines = object.iter().map(|(key, value)| format!("{indent}{}: {value}", json!(key)));
        lines.collect::<Vec<_>>().join(",\n")
    };
    let paths =
        document["paths"].as_object().expect("paths").iter().map(|(path, methods)| {
            format!("  {}: {{\n{}\n  }}", json!(path), lines(methods, "   "))
        });

    format!(
        "{{\n \"openapi\": {},\n \"info\": {},\n \"paths\": {{\n{}\n }},\n \"components\": {{\n  \
         \"schemas\": {{\n{}\n  }}\n }}\n}}\n",
        document["openapi"],
        document["info"],
        paths.collect::<Vec<_>>().join(",\n"),
        lines(&document["components"]["schemas"], "   "),
    )
}

#[test]
fn the_document_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/openapi.json");
    let fresh = text(&document());
    if std::env::var_os("HOOKBOX_WRITE_DOCS").is_some() {
        std::fs::write(&file, &fresh).expect("writable");
    }
    let there = std::fs::read_to_string(&file).expect("readable");
    assert!(there == fresh, "openapi.json is not what the types say: `just docs` writes it anew");
}

/// Programs that make clients of the document take an object for a schema, and nothing shorter: a
/// value of any type needs its description.
#[test]
fn every_schema_is_an_object() {
    fn short_properties(value: &Value, found: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            let short = properties.iter().filter(|(_, schema)| schema.is_boolean());
            found.extend(short.map(|(name, _)| name.clone()));
        }
        match value {
            Value::Object(object) => object.values().for_each(|v| short_properties(v, found)),
            Value::Array(list) => list.iter().for_each(|v| short_properties(v, found)),
            _ => {}
        }
    }

    let mut found = Vec::new();
    short_properties(&document(), &mut found);
    assert_eq!(found, Vec::<String>::new(), "properties without a description");
}
