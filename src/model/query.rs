//! The query of a request (`?tenant=7`), which belongs to what its sender says as much as the body
//! does. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::secret::{REDACTED, percent_decoded};

/// The query of a request line such as `POST /in/shop?tenant=7`, without the question mark.
#[must_use]
pub fn of_line(request_line: &str) -> Option<&str> {
    let target = request_line.split_once(' ').map_or(request_line, |(_, target)| target);
    target.split_once('?').map(|(_, query)| query).filter(|query| !query.is_empty())
}

/// The fields of a query, decoded as forms are (WHATWG URL, 5.1), by their names as `read` gives
/// them back, each with its values: in the order in which they came.
fn decoded_fields<T: Ord + Clone>(query: &str, read: fn(Vec<u8>) -> T) -> Vec<(T, Vec<T>)> {
    let mut all: Vec<(T, Vec<T>)> = Vec::new();
    let mut known: BTreeMap<T, usize> = BTreeMap::new();
    for piece in query.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (name, value) = (read(decoded_bytes(name)), read(decoded_bytes(value)));
        let at = *known.entry(name.clone()).or_insert(all.len());
        match all.get_mut(at) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    all
}

/// The fields of a query as an object of texts; of a name that stands several times the list of its
/// values. What is not UTF-8 is replaced.
#[must_use]
pub fn fields(query: &str) -> Value {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let all = decoded_fields(query, text).into_iter();
    let all = all.map(|(name, values)| {
        let mut values: Vec<Value> = values.into_iter().map(Value::String).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        (name, value)
    });
    Value::Object(all.collect())
}

/// The same as a JSON text. What is not UTF-8 stands in it as it came, for a reader that tells such
/// texts apart.
#[must_use]
pub fn fields_text(query: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(2 * query.len());
    text.push(b'{');

    for (at, (name, values)) in decoded_fields(query, |bytes| bytes).iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_text(&mut text, name);
        text.push(b':');
        match &values[..] {
            [value] => write_text(&mut text, value),
            values => {
                for (at, value) in values.iter().enumerate() {
                    text.push(if at == 0 { b'[' } else { b',' });
                    write_text(&mut text, value);
                }
                text.push(b']');
            }
        }
    }
    text.push(b'}');
    text
}

fn write_text(to: &mut Vec<u8>, bytes: &[u8]) {
    to.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => to.extend([b'\\', *byte]),
            0..0x20 => to.extend(format!("\\u{byte:04x}").bytes()),
            other => to.push(*other),
        }
    }
    to.push(b'"');
}

/// The query without the fields whose value was struck out, as it came otherwise.
#[must_use]
pub fn without_secrets(query: &str) -> String {
    query.split('&').filter(|piece| !piece.contains(REDACTED)).collect::<Vec<_>>().join("&")
}

/// The query without the fields that `own` has as well: whoever reads both may believe the last
/// one. Fields are separated as some receivers do, by `;` as well, and their names are compared as
/// [`canonical_name`] has them.
#[must_use]
pub fn without_those_of(query: &str, own: &str) -> String {
    const SEPARATORS: [char; 2] = ['&', ';'];
    let name = |field: &str| canonical_name(field.split_once('=').map_or(field, |(name, _)| name));
    let taken: Vec<String> =
        own.split(SEPARATORS).filter(|field| !field.is_empty()).map(name).collect();

    let mut kept = String::with_capacity(query.len());
    // Each with the separator behind it, so that what stays is as it came.
    for piece in query.split_inclusive(SEPARATORS) {
        let field = piece.trim_end_matches(SEPARATORS);
        if !field.is_empty() && taken.contains(&name(field)) {
            continue;
        }
        kept.push_str(piece);
    }
    // What stood before a field that was left out.
    if !query.ends_with(SEPARATORS) && kept.len() < query.len() {
        kept.truncate(kept.trim_end_matches(SEPARATORS).len());
    }
    kept
}

/// The name of a field as receivers may read it: in any case and spelling; PHP takes `api.mode` for
/// `api_mode` and ends a name at a NUL, and many take `tenant[]`, `tenant[9]` and `[tenant]` for
/// `tenant`.
fn canonical_name(name: &str) -> String {
    let decoded = decoded(name).to_lowercase();
    let name = decoded.trim_start_matches(['[', ' ']);
    let end = name.find(['[', ']', '\0']).unwrap_or(name.len());
    name[..end].chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// `+` is a space, `%XX` a byte; what is not UTF-8 then is replaced.
#[must_use]
pub fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&decoded_bytes(text)).into_owned()
}

fn decoded_bytes(text: &str) -> Vec<u8> {
    percent_decoded(&text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fields, fields_text, of_line, without_secrets, without_those_of};

    #[test]
    fn the_query_of_a_line() {
        assert_eq!(of_line("POST /in/a?x=1&y"), Some("x=1&y"));
        assert_eq!(of_line("GET /in/a?x=1?2"), Some("x=1?2"));
        for none in ["POST /in/a", "POST /in/a?", "", "?"] {
            assert_eq!(of_line(none), None, "{none}");
        }
    }

    #[test]
    fn fields_are_decoded_and_repeated_ones_are_a_list() {
        let query = "a=1+2&b=%C3%AB%zz%4&c&=x&a%62=%00&r=1&r=2&r=3&&";
        let found =
            json!({"a": "1 2", "b": "ë%zz%4", "c": "", "": "x", "ab": "\0", "r": ["1", "2", "3"]});
        assert_eq!(fields(query), found);
        let text = serde_json::from_slice::<serde_json::Value>(&fields_text(query));
        assert_eq!(text.expect("JSON"), found);
        assert_eq!(fields_text("%22%5C%00=%1F"), br#"{"\"\\\u0000":"\u001f"}"#);
        assert_eq!(fields_text("a=%e4&a=%f6"), b"{\"a\":[\"\xe4\",\"\xf6\"]}");
        assert_eq!(fields_text(""), b"{}");
        assert_eq!(fields_text("b=1&a=2&b=3"), br#"{"b":["1","3"],"a":"2"}"#);
        assert_eq!(fields("b=1&a=2&b=3").to_string(), r#"{"b":["1","3"],"a":"2"}"#);

        assert_eq!(fields(""), json!({}));
        assert_eq!(fields("a=%ff"), json!({"a": "\u{fffd}"}));
        assert_eq!(fields("%ff=1&%fe=2&%ff=3"), json!({"\u{fffd}": ["1", "2", "3"]}));
    }

    #[test]
    fn a_sender_does_not_say_again_what_the_operator_says() {
        assert_eq!(without_those_of("a=1&b=2&A=3&%61=4&ab=5&a&", "a=x"), "b=2&ab=5&");
        assert_eq!(without_those_of("a=1&b=2", ""), "a=1&b=2");
        assert_eq!(without_those_of("a=1", "b&a"), "");
        // However a receiver separates fields and reads their names.
        for (query, kept) in [
            ("x=1;tenant=evil", "x=1"),
            ("tenant=evil;x=1&y=2;z", "x=1&y=2;z"),
            ("x=1;y=2", "x=1;y=2"),
            ("tenant[]=9&x=1", "x=1"),
            ("tenant%5B0%5D=9&tenant[a][b]=9&[tenant]=9", ""),
            ("tenant%00x=9&+tenant=9&x", "x"),
            ("api.mode=evil&api-mode=evil&api%20mode=evil&API_MODE=evil&api=1", "api=1"),
            ("tenants=1&my[tenant]=1&ten_ant=1", "tenants=1&my[tenant]=1&ten_ant=1"),
            ("tenant=9&&x=1&", "&x=1&"),
        ] {
            assert_eq!(without_those_of(query, "tenant=a;api_mode=b"), kept, "{query}");
        }
    }

    #[test]
    fn what_was_struck_out_does_not_go_along() {
        assert_eq!(without_secrets("a=1&secret=…&b=%20"), "a=1&b=%20");
        assert_eq!(without_secrets("secret=…"), "");
    }
}
