//! JSON schemas of the values, for `openapi.json`. Only tests make the document, so that the daemon
//! contains none of it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::values::{Int, Real, SecretText, Size, Span, Text, Time};
use crate::model::share::Share;

/// Implements the schema of a value that stands in its place, without a name of its own.
macro_rules! inline_schema {
    ([$($generics:tt)*] $type:ty, $schema:expr) => {
        impl<$($generics)*> JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline_schema!([const LOW: u64, const HIGH: u64] Span<LOW, HIGH>, json_schema!({
    "oneOf": [
        {
            "type": "string",
            "description": "A duration such as 500ms, 15s, 1h 30m or 3d",
            "examples": ["15s"]
        },
        {
            "type": "number",
            "description": "Seconds",
            "minimum": seconds(LOW),
            "maximum": seconds(HIGH)
        },
    ],
}));

inline_schema!([const LOW: u64, const HIGH: u64] Size<LOW, HIGH>, json_schema!({
    "oneOf": [
        {"type": "string", "description": "A size such as 512KiB or 25MiB", "examples": ["1MiB"]},
        {"type": "integer", "description": "Bytes", "minimum": LOW, "maximum": HIGH},
    ],
}));

inline_schema!([const LOW: u32, const HIGH: u32] Int<LOW, HIGH>, match HIGH {
    u32::MAX => json_schema!({"type": "integer", "minimum": LOW}),
    _ => json_schema!({"type": "integer", "minimum": LOW, "maximum": HIGH}),
});

inline_schema!([const LOW: u32, const HIGH: u32] Real<LOW, HIGH>, json_schema!({
    "type": "number", "minimum": LOW, "maximum": HIGH,
}));

inline_schema!([T] Text<T>, json_schema!({"type": "string"}));

/// A rate as it may be written.
pub(super) enum WrittenRate {}

inline_schema!([] WrittenRate, json_schema!({
    "oneOf": [
        {
            "type": "string",
            "description": "A rate such as 10/s, 100/m or 1000/h",
            "examples": ["10/s"]
        },
        {"type": "integer", "description": "By the second", "minimum": 1, "maximum": u32::MAX},
    ],
}));

inline_schema!([] SecretText, json_schema!({"type": "string"}));

inline_schema!([] Time, json_schema!({"type": "string", "format": "date-time"}));

#[expect(clippy::cast_precision_loss, reason = "a range in a document")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// The names of all shares.
pub(super) fn share_names() -> Vec<&'static str> {
    Share::ALL.iter().map(|share| share.name()).collect()
}
