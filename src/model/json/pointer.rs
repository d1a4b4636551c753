//! Values out of a body by JSON Pointer (RFC 6901), without building the document. Pure.
//!
//! One pass over the body, memory for what is looked for alone: a hostile body of a megabyte costs
//! a megabyte. Everything else is skipped without recursion. A body that is not JSON, to its last
//! byte, has no fields. When a name stands twice in an object the last one counts, as most parsers
//! have it.

use super::number::Number;
use super::read::{ByteRange, JsonError, JsonReader, JsonToken, text};

/// Steps of a pointer; a longer one finds nothing.
const STEPS: usize = 32;

/// The value at a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum PointerValue {
    Text(String),
    /// A text in which something had to be replaced, see [`super::JsonText`]: two that look alike
    /// may have been written differently. `begin` and `end` say where it stands in the body,
    /// without its quotes.
    Inexact {
        text: String,
        begin: usize,
        end: usize,
    },
    /// As it was written.
    Number(String),
    Bool(bool),
    Null,
    /// An array or an object: where it begins and ends in the body.
    Other(usize, usize),
}

impl PointerValue {
    /// As an event's type.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Inexact { text, .. } | Self::Number(text) => Some(text),
            Self::Bool(is) => Some(is.to_string()),
            Self::Null | Self::Other(..) => None,
        }
    }

    /// As an identity: only what is exact, because two that look alike would make an event a
    /// duplicate.
    #[must_use]
    pub fn into_key(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(text) => Number::new(&text).is_integer().then_some(text),
            Self::Inexact { .. } | Self::Bool(_) | Self::Null | Self::Other(..) => None,
        }
    }
}

/// Finds the values at several pointers.
///
/// # Errors
/// When the body is not JSON: then it has no values at all.
pub fn find<const N: usize>(
    body: &[u8],
    pointers: [Option<&str>; N],
) -> Result<[Option<PointerValue>; N], JsonError> {
    let parsed = pointers.map(|pointer| pointer.and_then(steps));
    let all = parsed.iter().enumerate();
    let here = all
        .filter_map(|(slot, steps)| Some(PendingPointer { slot, rest: steps.as_deref()? }))
        .collect();
    let mut search = Search { body, found: [const { None }; N], levels: Vec::new(), here };
    search.run()?;
    Ok(search.found)
}

/// The steps of a pointer, unescaped; `None` when it is not one.
fn steps(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let rest = pointer.strip_prefix('/')?;
    let steps: Vec<String> =
        rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    (steps.len() <= STEPS).then_some(steps)
}

#[derive(Clone, Copy)]
struct PendingPointer<'a> {
    slot: usize,
    rest: &'a [String],
}

/// An array or object that something is looked for in.
struct PendingContainer<'a> {
    wanted: Vec<PendingPointer<'a>>,
    begin: usize,
    /// Of an array: its next element.
    index: Option<usize>,
    /// Those that look for all of it.
    whole: Vec<usize>,
}

struct Search<'a, const N: usize> {
    body: &'a [u8],
    found: [Option<PointerValue>; N],
    /// No more than a pointer has steps.
    levels: Vec<PendingContainer<'a>>,
    /// What is looked for at the next value.
    here: Vec<PendingPointer<'a>>,
}

impl<const N: usize> Search<'_, N> {
    fn run(&mut self) -> Result<(), JsonError> {
        let mut reader = JsonReader::new(self.body);

        while let Some(token) = reader.next()? {
            match token {
                JsonToken::Name(span) => {
                    let name = text(slice(self.body, span)).text;
                    self.descend(|step| step == name);
                }

                JsonToken::Object(begin) => self.enter(&mut reader, begin, None)?,
                JsonToken::Array(begin) => self.enter(&mut reader, begin, Some(0))?,
                JsonToken::End => {
                    if let Some(level) = self.levels.pop() {
                        let all = PointerValue::Other(level.begin, reader.at());
                        level.whole.iter().for_each(|slot| self.found[*slot] = Some(all.clone()));
                    }
                    self.advance();
                }

                JsonToken::Text(span) => self.set(|body| {
                    let read = text(slice(body, span));
                    let text = read.text.into_owned();
                    match read.exact {
                        true => PointerValue::Text(text),
                        false => PointerValue::Inexact { text, begin: span.0, end: span.1 },
                    }
                }),
                JsonToken::Number(span) => {
                    self.set(|body| {
                        PointerValue::Number(
                            String::from_utf8_lossy(slice(body, span)).into_owned(),
                        )
                    });
                }
                JsonToken::Bool(is) => self.set(|_| PointerValue::Bool(is)),
                JsonToken::Null => self.set(|_| PointerValue::Null),
            }
        }
        Ok(())
    }

    /// A value that is not an array or object.
    fn set(&mut self, found: impl Fn(&[u8]) -> PointerValue) {
        for wanted in &self.here {
            // What stood here under the same name before is gone, whatever replaces it.
            self.found[wanted.slot] = wanted.rest.is_empty().then(|| found(self.body));
        }
        self.advance();
    }

    fn enter(
        &mut self,
        reader: &mut JsonReader<'_>,
        begin: usize,
        index: Option<usize>,
    ) -> Result<(), JsonError> {
        let wanted = std::mem::take(&mut self.here);
        wanted.iter().for_each(|wanted| self.found[wanted.slot] = None);
        if wanted.is_empty() {
            reader.skip()?;
            self.advance();
            return Ok(());
        }
        let whole = wanted
            .iter()
            .filter(|wanted| wanted.rest.is_empty())
            .map(|wanted| wanted.slot)
            .collect();
        self.levels.push(PendingContainer { wanted, begin, index, whole });
        self.look_at_element();
        Ok(())
    }

    /// Behind a value.
    fn advance(&mut self) {
        self.here.clear();
        if let Some(index) = self.levels.last_mut().and_then(|level| level.index.as_mut()) {
            *index += 1;
            self.look_at_element();
        }
    }

    fn look_at_element(&mut self) {
        if let Some(index) = self.levels.last().and_then(|level| level.index) {
            self.descend(|step| step.parse() == Ok(index) && step == index.to_string());
        }
    }

    /// What is looked for below `step` of what is open.
    fn descend(&mut self, step: impl Fn(&str) -> bool) {
        let Some(level) = self.levels.last() else { return };
        let below = level.wanted.iter().filter_map(|wanted| {
            let (first, rest) = wanted.rest.split_first()?;
            step(first).then_some(PendingPointer { rest, ..*wanted })
        });
        self.here = below.collect();
    }
}

fn slice(body: &[u8], span: ByteRange) -> &[u8] {
    body.get(span.0..span.1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{PointerValue, find};

    fn text(body: &str, pointer: &str) -> Option<String> {
        let [found] = find(body.as_bytes(), [Some(pointer)]).ok()?;
        found.and_then(PointerValue::into_text)
    }

    #[test]
    fn the_examples_of_rfc_6901() {
        let body = concat!(
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"#,
            r#""g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#
        );

        for (pointer, value) in [
            ("/foo/0", "bar"),
            ("/foo/1", "baz"),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(text(body, pointer).as_deref(), Some(value), "{pointer}");
        }

        for pointer in
            ["", "/foo", "/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/nope", "foo", "/foo/0/x"]
        {
            assert_eq!(text(body, pointer), None, "{pointer}");
        }
        assert_eq!(text("\"x\"", "").as_deref(), Some("x"));
    }

    #[test]
    fn several_are_found_in_one_pass() {
        let body = br#"{"a":{"b":"x","c":[1,{"d":true}]},"a2":"no"}"#;
        let [b, d, none, both] =
            find(body, [Some("/a/b"), Some("/a/c/1/d"), None, Some("/a/b")]).expect("JSON");
        let x = PointerValue::Text("x".into());
        assert_eq!((b.as_ref(), d, none), (Some(&x), Some(PointerValue::Bool(true)), None));
        assert_eq!(b, both);
    }

    #[test]
    fn the_last_of_a_repeated_name_counts() {
        assert_eq!(text(r#"{"a":"x","a":"y"}"#, "/a").as_deref(), Some("y"));
        assert_eq!(text(r#"{"a":{"b":"x"},"a":1}"#, "/a/b"), None);
        assert_eq!(text(r#"{"a":{"b":"x"},"a":{"c":1}}"#, "/a/b"), None);
        assert_eq!(text(r#"{"a":{"b":"x"},"a":null}"#, "/a/b"), None);
    }

    #[test]
    fn what_is_not_json_to_its_end_has_no_fields() {
        for body in [
            "",
            "{",
            r#"{"a":"x"} y"#,
            r#"{"a":"x""#,
            "\u{feff}",
            r#"{"a":"x","b":}"#,
            r#"{'a':'x'}"#,
        ] {
            assert!(find(body.as_bytes(), [Some("/a")]).is_err(), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_with_one_field_hides_no_other() {
        for body in [
            "\u{feff}{\"a\":\"x\"}",
            r#"{"b":"\ud83d","a":"x"}"#,
            r#"{"b\udc00":1,"a":"x"}"#,
            "{\"b\":\"\t\",\"a\":\"x\"}",
        ] {
            assert_eq!(text(body, "/a").as_deref(), Some("x"), "{body}");
        }
        let [b, a] =
            find(b"{\"b\":\"\xff\",\"a\":\"x\"}", [Some("/b"), Some("/a")]).expect("readable");
        assert_eq!(b, Some(PointerValue::Inexact { text: "\u{fffd}".into(), begin: 6, end: 7 }));
        assert_eq!(
            (b.and_then(PointerValue::into_key), a.and_then(PointerValue::into_key)),
            (None, Some("x".into()))
        );
    }

    #[test]
    fn arrays_and_objects_are_found_where_they_stand() {
        let body = br#"{"a": {"b": [1, 2]}, "c": [[], {}]}"#;
        let [a, b, c, d] =
            find(body, [Some("/a"), Some("/a/b/1"), Some("/c/1"), Some("")]).expect("JSON");
        assert_eq!(
            (a, b),
            (Some(PointerValue::Other(6, 19)), Some(PointerValue::Number("2".into())))
        );
        assert_eq!(
            (c, d),
            (Some(PointerValue::Other(31, 33)), Some(PointerValue::Other(0, body.len())))
        );
    }

    #[test]
    fn depth_and_width_do_no_harm() {
        let deep = format!("{{\"a\":\"x\",\"b\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        let _ = text(&deep, "/a");
        let wide = format!("{{\"b\":[{}1],\"a\":\"x\"}}", "1,".repeat(200_000));
        assert_eq!(text(&wide, "/a").as_deref(), Some("x"));
        assert_eq!(text(&wide, &"/b".repeat(1000)), None);
    }

    #[test]
    fn an_identity_is_exact_or_none() {
        let key = |body: &str| {
            let [found] = find(body.as_bytes(), [Some("/id")]).ok()?;
            found.and_then(PointerValue::into_key)
        };
        assert_eq!(key(r#"{"id":18446744073709551615}"#).as_deref(), Some("18446744073709551615"));
        assert_eq!(key(r#"{"id":-7}"#).as_deref(), Some("-7"));
        assert_eq!(
            key(r#"{"id":123456789012345678901}"#).as_deref(),
            Some("123456789012345678901")
        );
        assert_eq!(key(r#"{"id":1.5}"#), None);
        assert_eq!(key(r#"{"id":true}"#), None);
        assert_eq!(key(r#"{"id":{}}"#), None);
    }
}
