//! Filters and tests of templates, where the engine's own would take a missing value for an empty
//! one or round a number.

use minijinja::filters as engine;
use minijinja::value::{Kwargs, Value, ValueIter, ValueKind};
use minijinja::{Error, ErrorKind, State, tests as is};

use crate::model::json::{Node, Number, compact};
use crate::model::limits;

use super::json::{ExactNumber, JsonValue};
use super::unreadable::{UnreadableValue, check_readable, failed};

/// Digits of which every floating-point number keeps each.
const SURE_DIGITS: usize = 15;

/// A number for calculations, as near as it goes.
fn approximate(value: Value) -> Result<Value, Error> {
    let Some(ExactNumber(text)) = value.downcast_object_ref::<ExactNumber>() else {
        return Ok(value);
    };
    match text.parse::<f64>().ok().filter(|float| float.is_finite()) {
        Some(float) => Ok(Value::from(float)),
        None => Err(failed(format!("{text:.40} is too large for a floating-point number"))),
    }
}

/// An error for a value that is not there.
fn check_defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

pub fn length(value: &Value) -> Result<usize, Error> {
    check_defined(value)?;
    engine::length(value)
}

pub fn items(value: &Value) -> Result<Value, Error> {
    check_defined(value)?;
    engine::items(value)
}

pub fn first(value: &Value) -> Result<Value, Error> {
    check_defined(value)?;
    engine::first(value)
}

pub fn last(value: Value) -> Result<Value, Error> {
    check_defined(&value)?;
    engine::last(value)
}

pub fn int(
    state: &State<'_, '_>,
    value: Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    check_defined(&value)?;
    let base = match base {
        Some(base) => base,
        None => kwargs.get::<Option<u32>>("base")?.unwrap_or(10),
    };
    let Some(text) = decimal_text(&value, base) else {
        return engine::int(state, &value, default, Some(base), kwargs);
    };

    let default = match default {
        Some(default) => Some(default),
        None => kwargs.get::<Option<Value>>("default")?,
    };
    kwargs.assert_all_used()?;
    // Infinity has no digits. A text in another base is no decimal number.
    let is_decimal =
        text.bytes().any(|byte| byte.is_ascii_digit()) && (base == 10 || value.as_str().is_none());
    let exact = is_decimal.then(|| Number::new(&text).truncated()).flatten().map(Value::from);
    exact.or(default).ok_or_else(|| {
        failed(format!("int: {text:.40} does not fit into a whole number of 128 bits"))
    })
}

/// The decimal text of a value that the engine would round on the way to a whole number, or cut to
/// the largest that there is: floating-point numbers, numbers that are kept as they came, and texts
/// that are no whole number in this base, but a decimal one.
fn decimal_text(value: &Value, base: u32) -> Option<String> {
    if let Some(ExactNumber(text)) = value.downcast_object_ref::<ExactNumber>() {
        return Some(text.clone());
    }
    if value.kind() == ValueKind::Number && !value.is_integer() {
        let float = f64::try_from(value.clone()).ok()?;
        return Some(format!("{float:e}"));
    }
    let text = value.as_str()?;
    let is_decimal = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    let is_number = text.parse::<f64>().is_ok() && text.bytes().all(is_decimal);
    let digits = text.trim_start_matches(['+', '-']);
    let is_whole = (2..=36).contains(&base) && i128::from_str_radix(digits, base).is_ok();
    (is_number && !is_whole).then(|| text.trim_start_matches('+').to_owned())
}

pub fn float(
    state: &State<'_, '_>,
    value: Value,
    default: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    check_defined(&value)?;
    engine::float(state, &approximate(value)?, default, kwargs)
}

pub fn round(
    value: Value,
    precision: Option<i32>,
    method: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    check_defined(&value)?;
    let exact = value.downcast_object_ref::<ExactNumber>().map(|exact| exact.0.clone());
    if let Some(number) = exact.as_deref().map(Number::new) {
        let precision = match precision {
            Some(precision) => precision,
            None => kwargs.get::<Option<i32>>("precision")?.unwrap_or(0),
        };

        let kept = usize::try_from(precision).unwrap_or_default();
        if precision >= 0 && number.decimals() <= kept {
            return Ok(value);
        }
        let whole = number.truncated().map(|whole| whole.unsigned_abs().to_string().len());
        if whole.is_none_or(|whole| whole + kept > SURE_DIGITS) {
            let text = number.text();
            return Err(failed(format!("round: {text:.40} has more digits than it would keep")));
        }
        return engine::round(approximate(value)?, Some(precision), method, kwargs);
    }
    engine::round(value, precision, method, kwargs)
}

pub fn is_none(value: &Value) -> bool {
    is::is_none(value) || value.downcast_object_ref::<UnreadableValue>().is_some()
}

pub fn is_number(value: &Value) -> bool {
    is::is_number(value) || value.downcast_object_ref::<ExactNumber>().is_some()
}

/// Compact, as others write it; the engine's own puts spaces in and escapes for HTML, and writes
/// `null` for what is not there.
pub fn to_json(value: &Value) -> Result<String, Error> {
    let mut written = Bounded(Vec::new());
    // No recursion: templates make deep values.
    let mut open: Vec<OpenContainer> = Vec::new();
    let mut next = Some(value.clone());
    loop {
        if let Some(value) = next.take() {
            check_defined(&value)?;
            check_readable(&value)?;
            if let Some(begun) = begin(&value, &mut written)? {
                open.push(begun);
            }
        }

        let Some(inner) = open.last_mut() else { break };
        let Some(item) = inner.items.next() else {
            written.put(if inner.of.is_some() { b"}" } else { b"]" })?;
            open.pop();
            continue;
        };

        if !std::mem::take(&mut inner.first) {
            written.put(b",")?;
        }
        next = Some(match &inner.of {
            None => item,
            Some(map) => {
                let name = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                written.put(serde_json::Value::from(name).to_string().as_bytes())?;
                written.put(b":")?;
                map.get_item(&item)?
            }
        });
    }
    String::from_utf8(written.0).map_err(|error| failed(error.to_string()))
}

/// An array or object that is begun and not over.
struct OpenContainer {
    items: ValueIter,
    /// The map whose keys the items are.
    of: Option<Value>,
    first: bool,
}

/// Writes a value, or its beginning.
fn begin(value: &Value, written: &mut Bounded) -> Result<Option<OpenContainer>, Error> {
    if let Some(json) = value.downcast_object_ref::<JsonValue>() {
        let node: Option<Node<'_>> = json.doc.node(json.at);
        node.map_or(Ok(()), |node| compact(node, &mut |bytes| written.put(bytes)))?;
        return Ok(None);
    }
    if let Some(ExactNumber(text)) = value.downcast_object_ref::<ExactNumber>() {
        written.put(text.as_bytes())?;
        return Ok(None);
    }

    let of = match value.kind() {
        ValueKind::Map => Some(value.clone()),
        ValueKind::Seq | ValueKind::Iterable => None,
        _ => {
            let text =
                serde_json::to_string(value).map_err(|error| failed(format!("tojson: {error}")))?;
            written.put(text.as_bytes())?;
            return Ok(None);
        }
    };

    written.put(if of.is_some() { b"{" } else { b"[" })?;
    Ok(Some(OpenContainer { items: value.try_iter()?, of, first: true }))
}

/// Takes no more than may be sent: a list may be far longer than what it takes to write one.
struct Bounded(Vec<u8>);

impl Bounded {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.0.len() + bytes.len() > limits::TEMPLATE_BODY_BYTES {
            return Err(failed("tojson: more than can be sent".to_owned()));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
