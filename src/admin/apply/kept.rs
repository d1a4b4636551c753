//! Settings of which an export strikes secrets out: what comes back as it was exported stays as it
//! is.

use serde_json::{Map, Value};

use crate::api::spec::given_keys;
use crate::api::{Patch, Spec};
use crate::model::REDACTED;
use crate::model::secret::HIDDEN;

/// The settings that a file gives, with what was struck out of them put back: `exported` is what
/// the file would have been given, `real` what is there.
///
/// # Errors
/// When something is struck out and there is nothing to put in its place.
pub fn restored<S: Spec>(
    exported: &S,
    real: &S,
    settings: S,
    secretive: &[&str],
) -> Result<S, String> {
    let (exported, real) = (given_keys(exported), given_keys(real));
    let mut all = given_keys(&settings);
    let mut is_changed = false;

    for key in secretive {
        let Some(value) = all.get_mut(*key) else { continue };
        let before = value.clone();
        let nothing = Value::Null;
        let (shown, there) =
            (exported.get(*key).unwrap_or(&nothing), real.get(*key).unwrap_or(&nothing));
        put_back(value, shown, there);
        is_changed |= *value != before;

        if is_struck_out(value) {
            return Err(format!(
                "'{key}' has a removed secret ({REDACTED}), and there is none here to put in its \
                 place: write it in full"
            ));
        }
    }

    if !is_changed {
        return Ok(settings);
    }
    Patch::<S>::read(all).map(|patch| patch.given).map_err(|why| why.to_string())
}

/// Puts the real value in the place of one that is as it was shown.
fn put_back(value: &mut Value, shown: &Value, real: &Value) {
    if value == shown {
        real.clone_into(value);
        return;
    }
    match (value, shown, real) {
        (Value::Object(values), Value::Object(shown), Value::Object(real)) => {
            put_back_members(values, shown, real);
        }
        (Value::Array(values), Value::Array(shown), Value::Array(real)) => {
            for value in values {
                let same = shown.iter().zip(real).find(|(shown, _)| *shown == value);
                if let Some((_, real)) = same {
                    real.clone_into(value);
                }
            }
        }
        _ => {}
    }
}

fn put_back_members(
    values: &mut Map<String, Value>,
    shown: &Map<String, Value>,
    real: &Map<String, Value>,
) {
    for (name, value) in values {
        if let (Some(shown), Some(real)) = (shown.get(name), real.get(name)) {
            put_back(value, shown, real);
        }
    }
}

/// Whether a part of the value looks as what is struck out does: of a header, a login, a parameter
/// of a URL, a member.
pub(super) fn is_struck_out(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text.contains(HIDDEN)
                || text.split_once(REDACTED).is_some_and(|(before, behind)| {
                    before.trim_end().ends_with([':', '=', '/'])
                        && (behind.is_empty() || behind.starts_with(['@', '&', '/']))
                })
        }
        Value::Array(values) => values.iter().any(is_struck_out),
        Value::Object(members) => members.values().any(is_struck_out),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
