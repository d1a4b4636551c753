//! The parts of the pages that are made from the code.

use std::fmt::Write;

use hookbox::ingest::verify::{Need, Scheme, TABLE};
use serde_json::Value;

use super::limits;
use super::page::{read, root};

/// A page, the name of a part of it, and what makes that part.
type Part = (&'static str, &'static str, fn() -> String);

const PARTS: &[Part] = &[
    ("docs/reference/verification.md", "schemes", schemes),
    ("docs/reference/verification.md", "settings", settings),
    ("docs/reference/configuration.md", "configuration", configuration),
    ("docs/reference/limits.md", "limits", limits),
    ("docs/reference/http-api.md", "http-api", http_api),
    ("docs/reference/settings.md", "source-settings", source_settings),
    ("docs/reference/settings.md", "endpoint-settings", endpoint_settings),
];

#[test]
fn generated_parts_are_fresh() {
    let mut stale = Vec::new();
    for (page, name, make) in PARTS {
        let text = read(page);
        let begin = format!("<!-- generated: {name} -->\n");
        let (before, rest) =
            text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no part {name}"));
        let (old, after) =
            rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("{page}: {name} has no end"));

        let new = format!("\n{}\n", make());
        if old == new {
            continue;
        }
        if std::env::var_os("HOOKBOX_WRITE_DOCS").is_some() {
            std::fs::write(root().join(page), format!("{before}{begin}{new}<!-- end -->{after}"))
                .expect("writable");
        } else {
            stale.push(format!("{page}, the part {name}"));
        }
    }

    assert!(
        stale.is_empty(),
        "\nThe code says something else than these parts; `just docs` writes them anew:\n  \
         {stale:#?}"
    );
}

fn sorted() -> Vec<&'static Scheme> {
    let mut schemes: Vec<&Scheme> = TABLE.iter().collect();
    schemes.sort_by_key(|scheme| scheme.name);
    schemes
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn schemes() -> String {
    let mut out =
        "| scheme | place of the proof | algorithm | what is signed | against replay | dedupe id \
         | checked with |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for scheme in sorted() {
        let cells = [
            scheme.header,
            scheme.algorithm,
            scheme.signed,
            scheme.replay,
            scheme.dedupe,
            scheme.checked_with,
        ];
        let _ = writeln!(out, "| `{}` | {} |", scheme.name, cells.map(cell).join(" | "));
    }
    out
}

fn settings() -> String {
    let mut out = "| scheme | needs | `--set` | value |\n|---|---|---|---|\n".to_owned();
    for scheme in sorted() {
        let mut needs = Vec::new();
        for (need, name) in [(scheme.secret, "secret"), (scheme.public_key, "public key")] {
            match need {
                Need::Required => needs.push(name.to_owned()),
                Need::Optional => needs.push(format!("({name})")),
                Need::Unused => {}
            }
        }

        let needs = needs.join(", ");
        let mut first = [format!("`{}`", scheme.name), needs];
        if scheme.params.is_empty() {
            let _ = writeln!(out, "| {} | {} | | |", first[0], first[1]);
        }
        for (key, value) in scheme.params {
            let _ = writeln!(out, "| {} | {} | `{key}` | {} |", first[0], first[1], cell(value));
            first = [String::new(), String::new()];
        }
    }

    out
}

fn configuration() -> String {
    format!("```toml\n{}```\n", read("packaging/hookbox.toml"))
}

fn limits() -> String {
    let mut out = "| what | limit |\n|---|---|\n".to_owned();
    for (what, limit) in limits::rows() {
        let _ = writeln!(out, "| {what} | {limit} |");
    }
    out
}

fn http_api() -> String {
    let document: Value = serde_json::from_str(&read("src/admin/openapi.json")).expect("JSON");
    let mut out = "| request | parameters | |\n|---|---|---|\n".to_owned();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let queries: Vec<String> = parameters
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| format!("`{}`", parameter["name"].as_str().unwrap_or_default()))
                .collect();
            let method = method.to_uppercase();
            let summary = cell(operation["summary"].as_str().unwrap_or_default());
            let _ = writeln!(out, "| `{method} {path}` | {} | {summary} |", queries.join(", "));
        }
    }
    out
}

fn source_settings() -> String {
    spec_rows("SourceSpec")
}

fn endpoint_settings() -> String {
    spec_rows("EndpointSpec")
}

/// A row for each setting of a spec. What its help text says of the default stands in a column of
/// its own.
fn spec_rows(spec: &str) -> String {
    let document: Value =
        serde_json::from_str(&read("src/admin/openapi.json")).expect("the document is JSON");
    let properties = &document["components"]["schemas"][spec]["properties"];
    let mut out = "| option | key | default | |\n|---|---|---|---|\n".to_owned();
    for (key, schema) in properties.as_object().expect("properties") {
        let help = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        let (text, default) = match help.split_once(" [default: ") {
            Some((text, default)) => (text.to_owned(), default.trim_end_matches(']').to_owned()),
            None => (help, String::new()),
        };
        let option = match key.as_str() {
            // A bin has it as `hookboxctl bin create --ttl`.
            "ttl" => String::new(),
            key => format!("`--{}`", key.replace('_', "-")),
        };
        let _ = writeln!(out, "| {option} | `{key}` | {} | {} |", cell(&default), cell(&text));
    }
    out
}
