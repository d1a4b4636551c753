//! Reads the tokens of a JSON text, one after the other.

use std::borrow::Cow;

/// The body is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not JSON, at byte {at}")]
pub struct JsonError {
    /// Where it stops being JSON.
    pub at: usize,
}

/// A part of the text, from its first byte to the one behind its last.
pub(super) type ByteRange = (usize, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonToken {
    /// The name of a member; its value follows.
    Name(ByteRange),
    Object(usize),
    Array(usize),
    /// The end of the innermost object or array.
    End,
    /// Without its quotes.
    Text(ByteRange),
    Number(ByteRange),
    Bool(bool),
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedToken {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    CommaOrEnd,
    Nothing,
}

/// Reads tokens.
#[derive(Debug)]
pub(super) struct JsonReader<'a> {
    text: &'a [u8],
    at: usize,
    expect: ExpectedToken,
    /// For each level a bit: whether it is an object.
    levels: Vec<u64>,
    depth: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> JsonReader<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        let at = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Self { text, at, expect: ExpectedToken::Value, levels: Vec::new(), depth: 0 }
    }

    /// How far it has read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether it has read all there is, which says of an error that only the end is missing.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// The next token; `None` when the text is over.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn next(&mut self) -> Result<Option<JsonToken>, JsonError> {
        let mut byte = self.peek();
        if self.expect == ExpectedToken::Nothing {
            return if byte.is_none() { Ok(None) } else { Err(self.wrong()) };
        }

        if self.expect == ExpectedToken::CommaOrEnd {
            let in_object = self.in_object();
            match byte {
                Some(b',') => {
                    self.at += 1;
                    self.expect =
                        if in_object { ExpectedToken::Name } else { ExpectedToken::Value };
                    byte = self.peek();
                }
                Some(b'}') if in_object => return Ok(Some(self.close())),
                Some(b']') if !in_object => return Ok(Some(self.close())),
                _ => return Err(self.wrong()),
            }
        }

        match (self.expect, byte) {
            (ExpectedToken::NameOrEnd, Some(b'}')) | (ExpectedToken::ValueOrEnd, Some(b']')) => {
                Ok(Some(self.close()))
            }
            (ExpectedToken::Name | ExpectedToken::NameOrEnd, Some(b'"')) => {
                let name = self.string()?;
                if self.peek() != Some(b':') {
                    return Err(self.wrong());
                }
                self.at += 1;
                self.expect = ExpectedToken::Value;
                Ok(Some(JsonToken::Name(name)))
            }
            (ExpectedToken::Value | ExpectedToken::ValueOrEnd, Some(byte)) => {
                self.value(byte).map(Some)
            }
            _ => Err(self.wrong()),
        }
    }

    /// Goes behind the end of the object or array whose beginning was read last.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        let depth = self.depth;
        while self.depth >= depth {
            // The text is not over while something is open.
            let _token = self.next()?;
        }
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<JsonToken, JsonError> {
        let begin = self.at;
        let token = match byte {
            b'{' | b'[' => {
                self.open(byte == b'{');
                return Ok(if byte == b'{' {
                    JsonToken::Object(begin)
                } else {
                    JsonToken::Array(begin)
                });
            }
            b'"' => JsonToken::Text(self.string()?),
            b't' => self.word(b"true", JsonToken::Bool(true))?,
            b'f' => self.word(b"false", JsonToken::Bool(false))?,
            b'n' => self.word(b"null", JsonToken::Null)?,
            _ => JsonToken::Number(self.number()?),
        };
        self.after_value();
        Ok(token)
    }

    fn after_value(&mut self) {
        self.expect =
            if self.depth == 0 { ExpectedToken::Nothing } else { ExpectedToken::CommaOrEnd };
    }

    fn open(&mut self, object: bool) {
        self.at += 1;
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.levels.len() {
            self.levels.push(0);
        }
        self.levels[word] = self.levels[word] & !(1 << bit) | (u64::from(object) << bit);
        self.depth += 1;
        self.expect = if object { ExpectedToken::NameOrEnd } else { ExpectedToken::ValueOrEnd };
    }

    fn close(&mut self) -> JsonToken {
        self.at += 1;
        self.depth -= 1;
        self.after_value();
        JsonToken::End
    }

    fn in_object(&self) -> bool {
        let level = self.depth.wrapping_sub(1);
        self.levels.get(level / 64).is_some_and(|word| word >> (level % 64) & 1 == 1)
    }

    /// The next byte that is not a blank.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn wrong(&self) -> JsonError {
        JsonError { at: self.at }
    }

    fn word(&mut self, word: &[u8], token: JsonToken) -> Result<JsonToken, JsonError> {
        for byte in word {
            if self.text.get(self.at) != Some(byte) {
                return Err(self.wrong());
            }
            self.at += 1;
        }
        Ok(token)
    }

    fn string(&mut self) -> Result<ByteRange, JsonError> {
        self.at += 1;
        let begin = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    match self.text.get(self.at) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                        Some(b'u') => {
                            for _ in 0..4 {
                                self.at += 1;
                                if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                                    return Err(self.wrong());
                                }
                            }
                        }
                        _ => return Err(self.wrong()),
                    }
                    self.at += 1;
                }
                Some(_) => self.at += 1,
                None => return Err(self.wrong()),
            }
        }

        let span = (begin, self.at);
        self.at += 1;
        Ok(span)
    }

    fn number(&mut self) -> Result<ByteRange, JsonError> {
        let begin = self.at;
        self.at += usize::from(self.text.get(self.at) == Some(&b'-'));
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.wrong()),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok((begin, self.at))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let begin = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == begin { Err(self.wrong()) } else { Ok(()) }
    }
}

/// The text of a string or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText<'a> {
    pub text: Cow<'a, str>,
    /// Nothing in it had to be replaced: two that are equal here were written equal.
    pub exact: bool,
}

/// Reads a string without its quotes.
pub(super) fn text(raw: &[u8]) -> JsonText<'_> {
    if !raw.contains(&b'\\') {
        return whole(Cow::Borrowed(raw));
    }

    let mut exact = true;
    let bytes = unescaped(raw, |_, bytes| {
        exact = false;
        bytes.extend_from_slice("\u{fffd}".as_bytes());
    });
    let whole = whole(Cow::Owned(bytes));
    JsonText { exact: exact && whole.exact, ..whole }
}

/// The bytes of a string without its quotes, as they were meant: two that are equal here are equal
/// texts, valid or not. Half of a surrogate pair is written as UTF-8 would write it.
pub(super) fn text_bytes(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(unescaped(raw, |unit, bytes| {
        let [high, middle, low] = [unit >> 12, unit >> 6 & 0x3f, unit & 0x3f];
        bytes.extend([0xe0 | high, 0x80 | middle, 0x80 | low].map(|byte| byte.to_le_bytes()[0]));
    }))
}

/// Reads escapes. `lone` writes a half of a surrogate pair that stands without the other one.
fn unescaped(raw: &[u8], mut lone: impl FnMut(u32, &mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        bytes.extend_from_slice(&rest[..at]);
        let escape = rest.get(at + 1).copied().unwrap_or_default();
        rest = rest.get(at + 2..).unwrap_or_default();

        match escape {
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'u' => {
                let unit = unit(&mut rest).unwrap_or(0xFFFD);
                let character = match char::from_u32(unit) {
                    None if unit < 0xDC00 => second_half(&mut rest, unit),
                    character => character,
                };
                match character {
                    Some(character) => {
                        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    None => lone(unit, &mut bytes),
                }
            }
            itself => bytes.push(itself),
        }
    }

    bytes.extend_from_slice(rest);
    bytes
}

fn whole(bytes: Cow<'_, [u8]>) -> JsonText<'_> {
    match bytes {
        Cow::Borrowed(bytes) => match String::from_utf8_lossy(bytes) {
            Cow::Borrowed(text) => JsonText { text: Cow::Borrowed(text), exact: true },
            replaced => JsonText { text: replaced, exact: false },
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => JsonText { text: Cow::Owned(text), exact: true },
            Err(wrong) => {
                let text = String::from_utf8_lossy(wrong.as_bytes()).into_owned();
                JsonText { text: Cow::Owned(text), exact: false }
            }
        },
    }
}

/// The four digits behind `\u`.
fn unit(rest: &mut &[u8]) -> Option<u32> {
    let digits = rest.get(..4)?;
    let unit = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    *rest = &rest[4..];
    Some(unit)
}

/// The character of a surrogate pair; its second half is taken only when it is one.
fn second_half(rest: &mut &[u8], first: u32) -> Option<char> {
    let mut ahead = rest.strip_prefix(b"\\u")?;
    let second = unit(&mut ahead).filter(|second| (0xDC00..0xE000).contains(second))?;
    *rest = ahead;
    char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00))
}

#[cfg(test)]
mod tests {
    use super::{JsonReader, JsonText, JsonToken, text, text_bytes};

    fn tokens(json: &[u8]) -> Option<usize> {
        let mut reader = JsonReader::new(json);
        let mut count = 0;
        loop {
            match reader.next() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return Some(count),
                Err(_) => return None,
            }
        }
    }

    #[test]
    fn it_takes_what_serde_json_takes_and_the_four_exceptions() {
        for json in [
            "",
            " ",
            "{}",
            "[]",
            "null",
            "nul",
            "true1",
            "[1,2]",
            "[1,]",
            "[,1]",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":}",
            "[1 2]",
            "1 2",
            "01",
            "-",
            "-0",
            "1.",
            ".5",
            "1.5e",
            "1e+5",
            "1E-07",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u1234\"",
            "[[[]]]",
            "[}",
            "{]",
            "]",
            "\"a\" ",
            "{\"a\":{\"b\":[{}]}}",
            "--1",
            "+1",
            "Infinity",
            "[\"a\":1]",
        ] {
            let theirs = serde_json::from_str::<serde_json::Value>(json).is_ok();
            assert_eq!(tokens(json.as_bytes()).is_some(), theirs, "{json}");
        }

        for taken in
            [&b"\xef\xbb\xbf{}"[..], b"\"\\ud83d\"", b"\"\xff\"", b"\"a\tb\"", b"{\"\\udc00\":1}"]
        {
            assert!(tokens(taken).is_some(), "{taken:?}");
        }

        assert!(
            tokens(b" \xef\xbb\xbf{}").is_none() && tokens(b"\xef\xbb\xbf\xef\xbb\xbf{}").is_none()
        );
    }

    #[test]
    fn texts_are_read_and_what_is_no_character_is_marked() {
        let read = |raw: &str| {
            let JsonText { text, exact } = text(raw.as_bytes());
            (text.into_owned(), exact)
        };
        assert_eq!(read(r#"a\"\\\/\b\f\n\r\t\u00e9"#), ("a\"\\/\u{8}\u{c}\n\r\té".into(), true));
        assert_eq!(read(r"\ud83d\ude00!"), ("😀!".into(), true));
        for (lone, read_as) in [
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        ] {
            assert_eq!(read(lone), (read_as.into(), false), "{lone}");
        }
        assert_eq!(text(b"a\xffb"), JsonText { text: "a\u{fffd}b".into(), exact: false });
        assert_eq!(text(b"a\xff\\n"), JsonText { text: "a\u{fffd}\n".into(), exact: false });
    }

    #[test]
    fn the_bytes_of_a_text_tell_apart_what_reads_alike() {
        assert_eq!(&*text_bytes(b"a\xe4\\n"), b"a\xe4\n");
        assert_eq!(&*text_bytes(br"\ud83d\ude00\u00e9"), "😀é".as_bytes());
        assert_eq!(&*text_bytes(br"\ud83dA"), b"\xed\xa0\xbdA");
        assert_eq!(text_bytes(br"\ud83d\u0041"), text_bytes(br"\ud83dA"));
        assert_ne!(text_bytes(br"\ud83d"), text_bytes(br"\ud83e"));
        assert_eq!(&*text_bytes(br"\udc00"), b"\xed\xb0\x80");
    }

    #[test]
    fn depth_costs_a_bit_for_each_level() {
        let deep = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
        assert_eq!(tokens(&deep), Some(2_000_000));
        let mut reader = JsonReader::new(&deep);
        assert_eq!(reader.next(), Ok(Some(JsonToken::Array(0))));
        reader.skip().expect("it ends");
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.levels.len() <= 1_000_000 / 64 + 1);
    }
}
