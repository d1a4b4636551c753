//! The JSON of a body, as values that a template looks into.
//!
//! Integers are exact. A number that no integer or floating-point number stands for is written as
//! it came, and so are all numbers in an array or object that is written as a whole.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

use crate::model::json::{Doc, JsonKind, Number};

/// Digits that a floating-point number can have at most; of more it keeps none.
const FLOAT_DIGITS: usize = 17;

/// A number that is written as it came.
#[derive(Debug)]
pub struct ExactNumber(pub String);

impl Object for ExactNumber {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An array or object of the body.
#[derive(Debug)]
pub struct JsonValue {
    pub doc: Arc<Doc>,
    pub at: u32,
    children: OnceLock<JsonChildren>,
}

/// The contents of an array or object: made when it is first looked into, so that looking again is
/// fast.
#[derive(Debug)]
enum JsonChildren {
    Array(Vec<Value>),
    Object { names: Vec<Value>, values: HashMap<String, Value> },
}

impl JsonValue {
    fn children(&self) -> &JsonChildren {
        self.children.get_or_init(|| {
            let children = self.doc.node(self.at).map(|node| node.children());
            let children = children.into_iter().flatten();
            if self.is_array() {
                return JsonChildren::Array(
                    children.map(|(_, child)| json_value(&self.doc, child.at())).collect(),
                );
            }

            let (mut names, mut values) = (Vec::new(), HashMap::new());
            for (name, child) in children {
                let name = name
                    .and_then(|name| name.text())
                    .map(|name| name.text.into_owned())
                    .unwrap_or_default();
                // Of several with one name the last one counts, in the place of the first.
                if values.insert(name.clone(), json_value(&self.doc, child.at())).is_none() {
                    names.push(Value::from(name));
                }
            }
            JsonChildren::Object { names, values }
        })
    }

    fn is_array(&self) -> bool {
        self.doc.node(self.at).is_some_and(|node| node.kind() == JsonKind::Array)
    }
}

impl Object for JsonValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.children() {
            JsonChildren::Array(values) => values.get(key.as_usize()?).cloned(),
            JsonChildren::Object { values, .. } => values.get(key.as_str()?).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.children() {
            JsonChildren::Array(values) => Enumerator::Seq(values.len()),
            JsonChildren::Object { names, .. } => Enumerator::Values(names.clone()),
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(match self.children() {
            JsonChildren::Array(values) => values.len(),
            JsonChildren::Object { names, .. } => names.len(),
        })
    }
}

/// The value of a node.
pub fn json_value(doc: &Arc<Doc>, at: u32) -> Value {
    let Some(node) = doc.node(at) else { return Value::UNDEFINED };
    match node.kind() {
        JsonKind::Null => Value::from(()),
        JsonKind::True => Value::from(true),
        JsonKind::False => Value::from(false),
        JsonKind::Number => node.number().map_or(Value::UNDEFINED, number),
        JsonKind::Text | JsonKind::Name => {
            node.text().map_or(Value::UNDEFINED, |text| Value::from(text.text.as_ref()))
        }
        JsonKind::Array | JsonKind::Object => {
            Value::from_object(JsonValue { doc: doc.clone(), at, children: OnceLock::new() })
        }
    }
}

/// Whether a floating-point number is written as the number that it was read from. Most of 16 or 17
/// digits are not.
fn is_same(float: f64, number: Number<'_>) -> bool {
    float.is_finite()
        && number.digits() <= FLOAT_DIGITS
        && Number::new(&format!("{float:e}")).compare(number).is_eq()
}

fn number(number: Number<'_>) -> Value {
    let text = number.text();
    if number.is_integer() {
        if let Ok(small) = text.parse::<i64>() {
            return Value::from(small);
        }
        if let Ok(large) = text.parse::<i128>() {
            return Value::from(large);
        }
    } else if let Some(float) = text.parse::<f64>().ok().filter(|float| is_same(*float, number)) {
        return Value::from(float);
    }
    Value::from_object(ExactNumber(text.to_owned()))
}
