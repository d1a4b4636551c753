//! Unknown keys: which one was meant, or in which section it belongs.

use serde_json::Value;

use crate::model::form_error::form_error;
use crate::model::similar::nearest;

/// The message of an error of the TOML reader, with the key that was probably meant. `all` has
/// every key that there is.
pub(super) fn explained(message: &str, all: &Value) -> String {
    let message = form_error(&message.replace('\n', " "));
    let Some((given, expected)) = unknown(&message) else { return message };
    if let Some(meant) = nearest(given, expected.iter().copied()) {
        return format!("unknown field `{given}`: did you mean `{meant}`?");
    }

    let sections = sections_with(given, all);
    match sections.as_slice() {
        [] => format!("unknown field `{given}`: the fields here are {}", quoted(&expected)),
        [section] => format!("unknown field `{given}` here: it belongs into {section}"),
        more => format!("unknown field `{given}` here: it is one of {}", more.join(", ")),
    }
}

/// The key of a message about an unknown one, and those that could stand there.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (given, expected) = rest.split_once('`')?;
    Some((given, expected.split('`').skip(1).step_by(2).collect()))
}

fn quoted(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.join(", ")
}

/// The sections that have a key of this name, as they are written: `[name]`, or `[[name]]` for one
/// of which there may be several.
fn sections_with(key: &str, all: &Value) -> Vec<String> {
    let all = all.as_object().into_iter().flatten();
    let has = |section: &Value| section.as_object().is_some_and(|keys| keys.contains_key(key));
    all.filter_map(|(name, section)| match section {
        Value::Array(several) => several.iter().any(has).then(|| format!("[[{name}]]")),
        one => has(one).then(|| format!("[{name}]")),
    })
    .collect()
}
