//! The defaults in `docs/reference/settings.md`, which are those of the help texts, against what a
//! source and an endpoint get for which nothing is given.

use std::collections::BTreeMap;

use hookbox::api::{EndpointSpec, SourceSpec};
use hookbox::ingest::verify::default_max_body;
use hookbox::model::{Endpoint, Source};
use serde_json::{Map, Value, json};

use super::page::read;
use super::report;

/// Defaults in words: (key, words). The setting itself has no value then.
const WORDS: &[(&str, &str)] = &[
    ("answer", "what the scheme's provider expects, or 202"),
    ("answer_body", "the event's id as JSON, or what the scheme's provider expects"),
    ("answer_type", "text/plain; charset=utf-8"),
    ("bind", "chosen by the system"),
    ("catch_up_rate", "as --rate"),
    ("content_type", "the event's; application/json with --body"),
    ("forward_headers", "for events of provider schemes"),
    ("forward_query", "for events of provider schemes"),
    ("generate_secret", "for a new endpoint without a secret"),
    ("max_attempts", "no limit"),
    ("proxy", "hookboxd's"),
    ("rate", "no limit"),
    ("user", "hookboxd's own"),
    ("warn_after", "no notice"),
    // Where nothing is set, the queue and outbound take these.
    ("burst", "1"),
    ("method", "POST"),
];

#[test]
fn the_defaults_of_an_endpoint_are_those_of_the_reference() {
    let mut real = texts(endpoint(json!({})));
    // Some settings have a default once others are given.
    let ordered = texts(endpoint(json!({"order": "strict", "head_of_line": "skip"})));
    let batched = texts(endpoint(json!({"batch_max_events": 1})));
    let by_size = texts(endpoint(json!({"batch_max_bytes": "1KiB"})));

    real.remove("url");
    real.insert("head_attempts".into(), ordered["head_attempts"].clone());
    for key in ["batch_max_bytes", "batch_max_wait", "batch_format"] {
        real.insert(key.into(), batched[key].clone());
    }
    let many = &by_size["batch_max_events"];
    let alone = "one event per request";
    real.insert("batch_max_events".into(), format!("{alone}; {many} with another batch setting"));

    compare("endpoint-settings", &real);
}

#[test]
fn the_defaults_of_a_source_are_those_of_the_reference() {
    let mut real = texts(source(json!({})));
    let largest = |scheme: &str| texts(source(json!({"verify": scheme})))["max_body"].clone();
    let (github, gitlab) = (largest("github"), largest("gitlab"));
    let others = &real["max_body"];
    let max_body = format!(
        "the largest that the provider sends (github {github}, gitlab {gitlab}), or {others}"
    );
    real.insert("max_body".into(), max_body);

    compare("source-settings", &real);
}

/// The settings of an endpoint for which only these were given.
fn endpoint(given: Value) -> Value {
    let mut all = json!({"url": "http://127.0.0.1/"});
    all.as_object_mut().expect("an object").extend(object(given));
    let spec: EndpointSpec = serde_json::from_value(all).expect("well-formed");
    let mut endpoint = Endpoint::new("a", "");
    spec.apply(&mut endpoint).expect("complete");
    serde_json::to_value(EndpointSpec::of(&endpoint)).expect("JSON")
}

fn source(given: Value) -> Value {
    let spec: SourceSpec = serde_json::from_value(given).expect("well-formed");
    let mut source = Source::new("a", "");
    spec.apply(&mut source, default_max_body).expect("complete");
    serde_json::to_value(SourceSpec::of(&source)).expect("JSON")
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("{value} is not an object") };
    object
}

/// The values as one writes them; what is empty is left out.
fn texts(settings: Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        // 2.0 is written 2.
        Value::Number(number) => number.as_f64().map(|number| number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    object(settings).into_iter().filter_map(|(key, value)| Some((key, text(&value)?))).collect()
}

/// Compares a table of the reference with the real defaults, both ways.
fn compare(table: &str, real: &BTreeMap<String, String>) {
    let page = read("docs/reference/settings.md");
    let (_, part) = page.split_once(&format!("<!-- generated: {table} -->")).expect("the table");
    let (part, _) = part.split_once("<!-- end -->").expect("its end");
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for row in part.lines().filter(|line| line.contains("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        named.insert(cells[2].trim_matches('`').to_owned(), cells[3].to_owned());
    }
    assert!(named.len() > 10, "the table {table} was not found");

    let in_words = |key: &str, default: &str| WORDS.contains(&(key, default));
    let of_named = named.iter().filter(|(key, default)| match real.get(*key) {
        Some(value) => value != *default,
        None => !default.is_empty() && !in_words(key, default),
    });
    let broken: Vec<String> = of_named
        .map(|(key, default)| {
            format!("{key} is '{default}' in the reference, and {:?} in fact", real.get(key))
        })
        .chain(
            real.keys()
                .filter(|key| !named.contains_key(*key))
                .map(|key| format!("{key} has a default, and no row")),
        )
        .collect();
    report(
        "A help text and the reference name the default that a setting has; one in words stands \
         in WORDS in tests/library/docs/defaults.rs.",
        &broken,
    );
}
