//! The tolerant JSON reader: it takes what a strict one takes, and the exceptions that it names;
//! values, numbers and pointers say the same as the strict one; what it writes it reads again;
//! bounds hold.
#![no_main]

use bytes::Bytes;
use hookbox::model::json::pointer::{self, PointerValue};
use hookbox::model::json::{Bounds, Doc, JsonKind, Node, Number, compact};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

const ALL: Bounds = Bounds { bytes: usize::MAX, nodes: usize::MAX };

/// What a strict reader takes exactly when the tolerant one takes the original: a byte order mark
/// and control characters within strings are the exceptions that it notices.
fn strict(body: &[u8]) -> Vec<u8> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let plain = |byte: &u8| match byte {
        b'\t' | b'\n' | b'\r' => b' ',
        0..0x20 => b'x',
        other => *other,
    };
    body.iter().map(plain).collect()
}

fn same(node: Node<'_>, value: &Value, pointers: &mut Vec<(String, Value)>, path: &str) {
    if pointers.len() < 64 {
        pointers.push((path.to_owned(), value.clone()));
    }

    match (node.kind(), value) {
        (JsonKind::Null, Value::Null)
        | (JsonKind::True, Value::Bool(true))
        | (JsonKind::False, Value::Bool(false)) => {}
        (JsonKind::Number, Value::Number(number)) => {
            let text = node.number().expect("a number").text();
            assert!(near(text, number), "{text} {number}");
            assert!(Number::new(text).compare(Number::new(text)).is_eq());
        }
        (JsonKind::Text, Value::String(text)) => {
            let read = node.text().expect("a text");
            assert!(read.exact && read.text == *text, "{read:?} {text:?}");
        }
        (JsonKind::Array, Value::Array(elements)) => {
            assert_eq!(node.len(), elements.len());
            for (at, ((name, child), element)) in node.children().zip(elements).enumerate() {
                assert!(name.is_none());
                same(child, element, pointers, &format!("{path}/{at}"));
            }
        }
        (JsonKind::Object, Value::Object(members)) => {
            assert!(node.len() >= members.len(), "a name may stand twice");
            for (name, member) in members {
                let named = node
                    .children()
                    .filter(|(called, _)| called.is_some_and(|called| called.is_called(name)));
                let last = named.last().expect("its member");
                let step = name.replace('~', "~0").replace('/', "~1");
                same(last.1, member, pointers, &format!("{path}/{step}"));
            }
        }
        (kind, value) => panic!("{kind:?} is {value}"),
    }
}

/// `serde_json` rounds long fractions in a fast way, which may miss the nearest number by a bit.
fn near(text: &str, number: &serde_json::Number) -> bool {
    let (Ok(a), Some(b)) = (text.parse::<f64>(), number.as_f64()) else { return false };
    (a - b).abs() <= a.abs() * 1e-15 + f64::MIN_POSITIVE
}

fn agrees(found: Option<PointerValue>, value: &Value) -> bool {
    match (found, value) {
        (Some(PointerValue::Text(text)), Value::String(expected)) => text == *expected,
        (Some(PointerValue::Number(text)), Value::Number(number)) => {
            near(&text, number)
        }
        (Some(PointerValue::Bool(is)), Value::Bool(expected)) => is == *expected,
        (Some(PointerValue::Null), Value::Null) => true,
        (Some(PointerValue::Other(..)), Value::Array(_) | Value::Object(_)) => true,
        _ => false,
    }
}

fn written(doc: &Doc) -> Vec<u8> {
    let mut out = Vec::new();
    let take = &mut |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        Ok::<(), ()>(())
    };
    compact(doc.root(), take).expect("it takes all");
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((bounds, body)) = data.split_first_chunk::<3>() else { return };
    let shared = Bytes::copy_from_slice(body);
    let read = Doc::read(&shared, ALL);
    assert_eq!(read.is_ok(), serde_json::from_slice::<IgnoredAny>(&strict(body)).is_ok());

    // Within bounds: what is JSON stays so, and no more is read.
    let bytes = usize::from(u16::from_le_bytes([bounds[0], bounds[1]])).max(3);
    let nodes = usize::from(bounds[2]);
    let bounded = Doc::read(&shared, Bounds { bytes, nodes });
    if let Ok(bounded) = &bounded {
        assert!(bounded.nodes() <= nodes.max(1));
        let _ = written(bounded);
    }

    let found = pointer::find(body, [Some(""), Some("/a"), Some("/a/0/b~1")]);
    assert_eq!(found.is_ok(), read.is_ok());
    let Ok(doc) = read else { return };
    assert!(bounded.is_ok(), "what is JSON is JSON as far as it is read");
    assert_eq!(doc.root().subtree().count() + names(doc.root()), doc.nodes());

    // What is written is JSON for everybody, and is written the same again.
    let text = written(&doc);
    let again = Doc::read(&Bytes::from(text.clone()), ALL).expect("what was written is JSON");
    assert_eq!(written(&again), text);
    serde_json::from_slice::<IgnoredAny>(&text).expect("strict JSON");
    std::str::from_utf8(&text).expect("UTF-8");

    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let mut pointers = Vec::new();
        same(doc.root(), &value, &mut pointers, "");
        for (path, value) in pointers.iter().filter(|(path, _)| path.matches('/').count() <= 32) {
            let [found] = pointer::find(body, [Some(path)]).expect("JSON");
            assert!(agrees(found.clone(), value), "{path}: {found:?} {value}");
        }
    }
});

fn names(root: Node<'_>) -> usize {
    root.subtree().filter(|node| node.kind() == JsonKind::Object).map(|node| node.len()).sum()
}
