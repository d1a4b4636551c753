//! The template engine as it is set up here, and how one template is compiled.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Object, Value};
use minijinja::{
    AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, functions, tests as is,
};

use crate::model::REDACTED;
use crate::model::limits::{TEMPLATE_FUEL, TEMPLATE_LEN};
use crate::outbound::settings::SecretLookup;

use super::context::NAMES;
use super::filters;
use super::limits;
use super::path::percent_encode;
use super::secrets::{SECRET, look_up};
use super::unreadable::{check_readable, failed};

/// The name of the path's template, in which values are percent-encoded.
pub const PATH: &str = "--path";

/// Why a secret could not be looked up, when one could not.
pub type MissingSecret = Arc<OnceLock<String>>;

/// The engine with what templates may use: no files, no time, no randomness.
pub fn environment(lookup: Option<SecretLookup>, missing: MissingSecret) -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    env.set_fuel(Some(TEMPLATE_FUEL));
    env.set_auto_escape_callback(|name| {
        if name == PATH { AutoEscape::Custom(PATH.into()) } else { AutoEscape::None }
    });
    env.set_formatter(write_value);

    add_filters(&mut env);
    add_tests(&mut env);
    env.add_function("range", functions::range);

    // For trying templates out: whether a secret is there, and never what it is. When something is
    // sent, the function comes from a `TemplateSecrets`.
    env.add_function(SECRET, move |name: Cow<'_, str>| {
        match lookup.as_ref().map(|lookup| look_up(lookup, &name)) {
            None | Some(Ok(_)) => Ok(REDACTED.to_owned()),
            Some(Err(why)) => {
                let _ = missing.set(why.clone());
                Err(failed(why))
            }
        }
    });
    env
}

fn add_filters(env: &mut Environment<'static>) {
    use minijinja::filters as engine;

    env.add_filter("tojson", filters::to_json);
    env.add_filter("urlencode", |text: Cow<'_, str>| {
        Value::from_safe_string(percent_encode(&text))
    });
    env.add_filter("safe", engine::safe);
    env.add_filter("upper", engine::upper);
    env.add_filter("lower", engine::lower);
    env.add_filter("trim", engine::trim);
    env.add_filter("replace", engine::replace);
    env.add_filter("default", engine::default);
    env.add_filter("join", engine::join);
    env.add_filter("split", engine::split);
    env.add_filter("string", engine::string);

    // The engine's own take a missing value for an empty one.
    env.add_filter("length", filters::length);
    env.add_filter("first", filters::first);
    env.add_filter("last", filters::last);
    env.add_filter("items", filters::items);
    env.add_filter("int", filters::int);
    env.add_filter("float", filters::float);
    env.add_filter("round", filters::round);
}

fn add_tests(env: &mut Environment<'static>) {
    env.add_test("defined", is::is_defined);
    env.add_test("undefined", is::is_undefined);
    env.add_test("none", filters::is_none);
    env.add_test("string", is::is_string);
    env.add_test("number", filters::is_number);
    env.add_test("mapping", is::is_mapping);
    env.add_test("sequence", is::is_sequence);
    env.add_test("startingwith", is::is_startingwith);
    env.add_test("endingwith", is::is_endingwith);
}

/// Writes text as it is; in a path percent-encoded, unless the template says `safe`.
fn write_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    check_readable(value)?;
    if value.is_undefined() || *state.auto_escape() == AutoEscape::None || value.is_safe() {
        return minijinja::escape_formatter(out, state, value);
    }
    out.write_str(&percent_encode(&value.to_string())).map_err(minijinja::Error::from)
}

/// Compiles one template, and tries it on an event that has everything.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn compile(env: &mut Environment<'static>, name: String, source: &str) -> Result<(), String> {
    if source.len() > TEMPLATE_LEN {
        return Err(format!(
            "{name} has {} bytes, a template has at most {TEMPLATE_LEN}",
            source.len(),
        ));
    }
    limits::check(&name, source)?;
    env.add_template_owned(name.clone(), source.to_owned()).map_err(|e| explain(&e))?;

    let template = env.get_template(&name).map_err(|e| explain(&e))?;
    let unknown = template.undeclared_variables(false).into_iter().find(|variable| {
        let is_known = NAMES.contains(&variable.as_str())
            || env.globals().any(|(global, _)| global == variable);
        !is_known
    });
    if let Some(unknown) = unknown {
        return Err(format!(
            "{name}: there is no '{unknown}': a template knows {}",
            NAMES.join(", ")
        ));
    }

    // Names of filters are looked up when they are used, so the template is rendered once. Whether
    // values are there depends on the event, and is not an error here. Only the names of an event's
    // values stand there: what was found under any other name would hide the functions.
    let values: BTreeMap<&str, Value> =
        NAMES.iter().map(|name| (*name, Value::from_object(Anything))).collect();
    match template.render(Value::from(values)) {
        Err(error) if is_in_template(&error) => Err(explain(&error)),
        _ => Ok(()),
    }
}

/// Whether an error is one of the template itself, whatever the event.
fn is_in_template(error: &minijinja::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::SyntaxError
    )
}

/// An error in one line, with the option and the line in it.
pub fn explain(error: &minijinja::Error) -> String {
    let name = error.name().unwrap_or("template");
    let line = error.line().unwrap_or(1);

    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "needs more work than a template may do".to_owned(),
        (ErrorKind::UndefinedError, None) => {
            "names a value that is not there: write {{ … | default('') }} if it may be missing"
                .to_owned()
        }
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    format!("{name}, line {line}: {what}").replace(['\n', '\r'], " ")
}

/// A value that has every attribute, for trying a template out before there is an event.
#[derive(Debug)]
struct Anything;

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }
}
