//! A set as the text of a file: sources first, then endpoints, each by their names, settings in the
//! order of the reference.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::api::views::ExportView;

/// What stands at the beginning of a file.
const HEAD: &str = "\
# Sources and endpoints of hookbox, for `hookboxctl apply`.
# Secrets are not exported: without `secret` the existing one is kept. `secret` may say where
# hookboxd finds one: env:NAME, cred:NAME or file:/path. A value that is shown as … is kept, too.
";

/// The text of a file in TOML.
///
/// # Errors
/// Names the setting that TOML cannot hold.
pub fn toml_text(export: &ExportView) -> Result<String, String> {
    let mut text = HEAD.to_owned();
    for (noun, entries) in [("source", &export.source), ("endpoint", &export.endpoint)] {
        for (name, settings) in entries {
            let _infallible = writeln!(text, "\n[{noun}.{}]", key(name));
            for (setting, value) in settings.as_object().into_iter().flatten() {
                let value = written(value).map_err(|why| {
                    format!("{noun}.{name}: '{setting}' {why}: use --format json")
                })?;
                let _infallible = writeln!(text, "{} = {value}", key(setting));
            }
        }
    }
    Ok(text)
}

fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

fn written(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Err("holds null, which TOML does not know".to_owned()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            Err("is larger than a number of TOML".to_owned())
        }
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(several_lines(text).unwrap_or_else(|| quoted(text))),
        Value::Array(list) => {
            let list: Result<Vec<String>, String> = list.iter().map(inline).collect();
            Ok(format!("[{}]", list?.join(", ")))
        }
        Value::Object(members) => object(members),
    }
}

/// A value inside of another one.
fn inline(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(quoted(text)),
        value => written(value),
    }
}

fn object(members: &Map<String, Value>) -> Result<String, String> {
    let member =
        |(name, value): (&String, &Value)| Ok(format!("{} = {}", key(name), inline(value)?));
    let members: Result<Vec<String>, String> = members.iter().map(member).collect();
    Ok(format!("{{ {} }}", members?.join(", ")))
}

/// A text of several lines as it is, where that can be done: a template, a key in PEM.
fn several_lines(text: &str) -> Option<String> {
    let is_plain = |c: char| c == '\n' || c == '\t' || !c.is_control();
    let fits = text.contains('\n') && !text.contains("'''") && !text.ends_with('\'');
    (fits && text.chars().all(is_plain)).then(|| format!("'''\n{text}'''"))
}

/// A text in quotes. The escapes of JSON are those of TOML, which does not take DEL as it is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
