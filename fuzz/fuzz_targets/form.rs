//! Forms and queries: no more fields than there may be, nothing longer than it came, the same in
//! both readers, and what is written is read again.
#![no_main]

use std::fmt::Write as _;

use hookbox::ingest::verify::fuzzing::form_fields;
use hookbox::model::{limits, query};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn encoded(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = match byte {
            b' ' => write!(out, "+"),
            b'a'..=b'z' | b'0'..=b'9' => write!(out, "{}", char::from(*byte)),
            other => write!(out, "%{other:02X}"),
        };
    }
}

fuzz_target!(|data: &[u8]| {
    let pieces = data.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()).count();
    let Some(fields) = form_fields(data) else {
        assert!(pieces > limits::FORM_FIELDS);
        return;
    };
    assert_eq!(fields.len(), pieces);
    let decoded: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(decoded <= data.len());

    let mut text = String::new();
    for (name, value) in &fields {
        encoded(name, &mut text);
        text.push('=');
        encoded(value, &mut text);
        text.push('&');
    }
    assert_eq!(form_fields(text.as_bytes()).as_ref(), Some(&fields), "{text}");

    // The reader of queries sees the same texts.
    let Ok(data) = std::str::from_utf8(data) else { return };
    let Value::Object(all) = query::fields(data) else { panic!("an object") };
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (name, values) in &all {
        let same_name = fields.iter().filter(|(n, _)| lossy(n) == *name);
        let own: Vec<String> = same_name.map(|(_, value)| lossy(value)).collect();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let theirs: Vec<String> = match values {
            Value::Array(values) => values.iter().map(text).collect(),
            one => vec![text(one)],
        };
        assert_eq!(own, theirs, "{name}");
    }
});
