//! What changes in a source or an endpoint, setting by setting, without what is secret.

use serde_json::{Map, Value};

use super::configured::Configured;
use crate::api::Spec;
use crate::api::spec::given_keys;
use crate::api::views::FieldChangeView;
use crate::model::TimedSecret;

/// The settings that are different.
pub fn changed<T: Configured>(before: &T, after: &T) -> Vec<FieldChangeView> {
    let (shown_before, shown_after) =
        (given_keys(&before.exported()), given_keys(&after.exported()));
    let (real_before, real_after) = (given_keys(&before.settings()), given_keys(&after.settings()));
    let value = |of: &Map<String, Value>, key: &str| of.get(key).cloned().unwrap_or_default();

    let differs = |key: &&&str| real_before.get(**key) != real_after.get(**key);
    let mut fields: Vec<FieldChangeView> = T::Settings::KEYS
        .iter()
        .filter(differs)
        .map(|key| {
            let (from, to) = (value(&shown_before, key), value(&shown_after, key));
            let secret = from == to;
            FieldChangeView { field: (*key).to_owned(), from, to, secret }
        })
        .collect();

    if newest(before.secrets()) != newest(after.secrets()) {
        fields.push(secret_field());
    }
    if before.applied_set() != after.applied_set() {
        let text = |set: Option<&str>| set.map_or(Value::Null, Value::from);
        fields.push(FieldChangeView {
            field: "applied_set".to_owned(),
            from: text(before.applied_set()),
            to: text(after.applied_set()),
            secret: false,
        });
    }
    fields
}

/// The settings of one that is new and that are not at their defaults.
pub fn of_new<T: Configured>(new: &T) -> Vec<FieldChangeView> {
    let shown = given_keys(&new.exported().without(&new.defaults()));
    let mut fields: Vec<FieldChangeView> = shown
        .into_iter()
        .map(|(field, to)| FieldChangeView { field, from: Value::Null, to, secret: false })
        .collect();
    if !new.secrets().is_empty() {
        fields.push(secret_field());
    }
    fields
}

/// A secret changes: to what is not shown.
fn secret_field() -> FieldChangeView {
    let (from, to) = (Value::Null, Value::Null);
    FieldChangeView { field: "secret".to_owned(), from, to, secret: true }
}

fn newest(secrets: &[TimedSecret]) -> Option<&str> {
    secrets.first().map(|newest| newest.secret.0.as_str())
}
