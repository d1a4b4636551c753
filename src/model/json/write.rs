//! Writes values without blanks: numbers as they were written, strings with new escapes.

use super::tree::{Children, JsonKind, Node};

/// Writes a value; `out` says whether it takes more.
///
/// # Errors
/// Those of `out`.
pub fn compact<E>(node: Node<'_>, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    // The arrays and objects that are begun, how each ends, and whether nothing of it was written
    // yet. No recursion: a document may be deep.
    let mut open: Vec<(Children<'_>, u8, bool)> = Vec::new();
    let mut next = Some((None, node));
    loop {
        if let Some((name, value)) = next {
            if let Some(name) = name {
                string(name, out)?;
                out(b":")?;
            }
            match value.kind() {
                JsonKind::Array | JsonKind::Object => {
                    let (begin, end) =
                        if value.kind() == JsonKind::Array { (b"[", b']') } else { (b"{", b'}') };
                    out(begin)?;
                    open.push((value.children(), end, true));
                }
                JsonKind::Text | JsonKind::Name => string(value, out)?,
                JsonKind::Number => {
                    out(value.number().map_or("0", |number| number.text()).as_bytes())?
                }
                JsonKind::True => out(b"true")?,
                JsonKind::False => out(b"false")?,
                JsonKind::Null => out(b"null")?,
            }
        }

        let Some((children, end, first)) = open.last_mut() else { return Ok(()) };
        next = children.next();
        if next.is_none() {
            out(&[*end])?;
            open.pop();
        } else if !std::mem::take(first) {
            out(b",")?;
        }
    }
}

fn string<E>(node: Node<'_>, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let text = node.text().map(|text| text.text).unwrap_or_default();
    out(serde_json::Value::from(text).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::compact;
    use crate::model::json::{Bounds, Doc};

    fn written(json: &str) -> String {
        let doc = Doc::read(
            &Bytes::from(json.to_owned()),
            Bounds { bytes: usize::MAX, nodes: usize::MAX },
        );
        let mut text = Vec::new();
        let write = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            Ok::<(), ()>(())
        };
        let mut write = write;
        compact(doc.expect("JSON").root(), &mut write).expect("it takes all");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn values_are_written_as_they_were_without_blanks() {
        for (json, expected) in [
            (
                r#" { "a" : [ 1.10 , 18446744073709551616 ] , "b" : { } } "#,
                r#"{"a":[1.10,18446744073709551616],"b":{}}"#,
            ),
            (r#""\u00e9\ud83d\/""#, "\"é\u{fffd}/\""),
            ("[[],[null,true],{\"x\":\"a\tb\"}]", r#"[[],[null,true],{"x":"a\tb"}]"#),
            ("-0.0e1", "-0.0e1"),
        ] {
            assert_eq!(written(json), expected);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(written(&deep), deep);
    }
}
