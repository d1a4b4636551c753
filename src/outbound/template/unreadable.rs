//! Values that are there and cannot be read: of a body that is not JSON, or not text.
//!
//! Invariant: neither what is missing nor what cannot be read is ever written as `null`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind};

/// An error with these words.
pub fn failed(why: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

/// A value that is there and cannot be read: `none` in tests, and an error when it is written.
#[derive(Debug)]
pub struct UnreadableValue(String);

pub fn unreadable(why: &str) -> Value {
    Value::from_object(UnreadableValue(why.to_owned()))
}

impl Object for UnreadableValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none")
    }
}

/// Whether a value can be written as text.
///
/// # Errors
/// Why not.
pub fn check_readable(value: &Value) -> Result<(), Error> {
    match value.downcast_object_ref::<UnreadableValue>() {
        Some(UnreadableValue(why)) => Err(failed(why.clone())),
        None => Ok(()),
    }
}
