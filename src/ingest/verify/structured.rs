//! Structured fields (RFC 8941), as far as HTTP message signatures need them: dictionaries, inner
//! lists, items and their parameters, read strictly and written canonically.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use data_encoding::BASE64;

/// Members of a dictionary and items of a list: more are refused. RFC 8941 asks parsers to take at
/// least 256 items for lists in general; signatures have a dozen.
const MOST: usize = 256;
/// Parameters in a whole dictionary. Each counts that was written, for one which takes the place of
/// an earlier one leaves no trace and costs as much. RFC 8941 asks for 256 of one item; the
/// components of a signature have one or none.
const MOST_PARAMETERS: usize = 512;

/// A value without parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SfValue {
    Integer(i64),
    /// As it was written; no comparison or calculation is made with it.
    Decimal(String),
    Text(String),
    Token(String),
    Bytes(Vec<u8>),
    Boolean(bool),
}

/// In order; of two with the same name the last value counts, in the place of the first.
pub(super) type Parameters = Vec<(String, SfValue)>;

/// A value with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SfItem {
    pub(super) value: SfValue,
    pub(super) parameters: Parameters,
}

/// A member of a dictionary: an item, or an inner list with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SfMember {
    Item(SfItem),
    Inner(Vec<SfItem>, Parameters),
}

pub(super) type Dictionary = Vec<(String, SfMember)>;

/// Reads a dictionary; `None` when the text is not one. A key that occurs twice is an error,
/// although RFC 8941 (4.2.2) lets the last one win: nothing that signs a message has reason to name
/// two.
pub(super) fn dictionary(text: &str) -> Option<Dictionary> {
    let mut reader = SfReader { rest: text.trim_matches(' '), parameters_left: MOST_PARAMETERS };
    let mut members: Dictionary = Vec::new();
    let mut keys = BTreeSet::new();
    while !reader.rest.is_empty() {
        let key = reader.key()?;
        let member = if reader.take('=') {
            reader.member()?
        } else {
            SfMember::Item(SfItem {
                value: SfValue::Boolean(true),
                parameters: reader.parameters()?,
            })
        };

        if members.len() == MOST || !keys.insert(key) {
            return None;
        }
        members.push((key.to_owned(), member));

        reader.skip(&[' ', '\t']);
        if reader.rest.is_empty() {
            break;
        }
        if !reader.take(',') {
            return None;
        }
        reader.skip(&[' ', '\t']);
        if reader.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// The text that is still to be read.
struct SfReader<'t> {
    rest: &'t str,
    parameters_left: usize,
}

impl<'t> SfReader<'t> {
    fn take(&mut self, wanted: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(wanted) else { return false };
        self.rest = rest;
        true
    }

    fn skip(&mut self, unwanted: &[char]) {
        self.rest = self.rest.trim_start_matches(unwanted);
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'t str {
        let end = self.rest.bytes().position(|byte| !wanted(byte)).unwrap_or(self.rest.len());
        // `wanted` takes ASCII only, so `end` is between two characters.
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or(("", self.rest));
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Option<&'t str> {
        let begins = self.rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
        let key = self.take_while(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'_' | b'-' | b'.' | b'*')
        });
        begins.then_some(key)
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut parameters: Parameters = Vec::new();
        let mut places: BTreeMap<&'t str, usize> = BTreeMap::new();
        while self.take(';') {
            self.parameters_left = self.parameters_left.checked_sub(1)?;
            self.skip(&[' ']);
            let key = self.key()?;
            let value = if self.take('=') { self.bare()? } else { SfValue::Boolean(true) };

            match places.entry(key) {
                Entry::Occupied(place) => parameters.get_mut(*place.get())?.1 = value,
                Entry::Vacant(place) => {
                    place.insert(parameters.len());
                    parameters.push((key.to_owned(), value));
                }
            }
        }
        Some(parameters)
    }

    fn member(&mut self) -> Option<SfMember> {
        if !self.take('(') {
            return self.item().map(SfMember::Item);
        }
        let mut items = Vec::new();
        loop {
            self.skip(&[' ']);
            if self.take(')') {
                return Some(SfMember::Inner(items, self.parameters()?));
            }
            if items.len() == MOST {
                return None;
            }
            items.push(self.item()?);
            if !self.rest.starts_with([' ', ')']) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<SfItem> {
        Some(SfItem { value: self.bare()?, parameters: self.parameters()? })
    }

    fn bare(&mut self) -> Option<SfValue> {
        match self.rest.bytes().next()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text().map(SfValue::Text),
            b':' => self.bytes().map(SfValue::Bytes),
            b'?' => {
                let (flag, rest) = (self.rest.get(..2)?, self.rest.get(2..)?);
                self.rest = rest;
                match flag {
                    "?0" => Some(SfValue::Boolean(false)),
                    "?1" => Some(SfValue::Boolean(true)),
                    _ => None,
                }
            }

            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                let token =
                    |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
                Some(SfValue::Token(self.take_while(token).to_owned()))
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<SfValue> {
        let sign = if self.take('-') { "-" } else { "" };
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if !self.take('.') {
            let fits = (1..=15).contains(&whole.len());
            return if fits {
                format!("{sign}{whole}").parse().ok().map(SfValue::Integer)
            } else {
                None
            };
        }

        let fraction = self.take_while(|byte| byte.is_ascii_digit());
        let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
        fits.then(|| SfValue::Decimal(format!("{sign}{whole}.{fraction}")))
    }

    fn text(&mut self) -> Option<String> {
        self.take('"');

        let mut text = String::new();
        let mut characters = self.rest.char_indices();

        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => text.push(
                    characters
                        .next()
                        .map(|(_, escaped)| escaped)
                        .filter(|c| matches!(c, '"' | '\\'))?,
                ),
                ' '..='~' => text.push(character),
                _ => return None,
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        self.take(':');
        let (base64, rest) = self.rest.split_once(':')?;
        self.rest = rest;
        BASE64.decode(base64.as_bytes()).ok()
    }
}

pub(super) fn write_bare(out: &mut String, bare: &SfValue) {
    match bare {
        SfValue::Integer(number) => _ = write!(out, "{number}"),
        SfValue::Decimal(text) | SfValue::Token(text) => out.push_str(text),
        SfValue::Text(text) => {
            out.push('"');
            for character in text.chars() {
                if matches!(character, '"' | '\\') {
                    out.push('\\');
                }
                out.push(character);
            }
            out.push('"');
        }
        SfValue::Bytes(bytes) => _ = write!(out, ":{}:", BASE64.encode(bytes)),
        SfValue::Boolean(flag) => out.push_str(if *flag { "?1" } else { "?0" }),
    }
}

pub(super) fn write_parameters(out: &mut String, parameters: &Parameters) {
    for (name, value) in parameters {
        _ = write!(out, ";{name}");
        if *value != SfValue::Boolean(true) {
            out.push('=');
            write_bare(out, value);
        }
    }
}

pub(super) fn write_item(out: &mut String, item: &SfItem) {
    write_bare(out, &item.value);
    write_parameters(out, &item.parameters);
}

pub(super) fn write_member(out: &mut String, member: &SfMember) {
    match member {
        SfMember::Item(item) => write_item(out, item),
        SfMember::Inner(items, parameters) => {
            out.push('(');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                write_item(out, item);
            }
            out.push(')');
            write_parameters(out, parameters);
        }
    }
}

/// The dictionary in its canonical form (RFC 8941, 4.1.2).
pub(super) fn write_dictionary(dictionary: &Dictionary) -> String {
    let mut out = String::new();
    for (key, member) in dictionary {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(key);
        match member {
            SfMember::Item(SfItem { value: SfValue::Boolean(true), parameters }) => {
                write_parameters(&mut out, parameters)
            }
            member => {
                out.push('=');
                write_member(&mut out, member);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{MOST_PARAMETERS, dictionary, write_dictionary};

    #[test]
    fn parameters_that_replace_each_other_are_counted_over_the_whole_dictionary() {
        let with = |each: usize| format!("a=1{}, b=(\"c\"{0})", ";zz".repeat(each));
        let read = dictionary(&with(MOST_PARAMETERS / 2)).expect("as many as there may be");
        assert_eq!(write_dictionary(&read), "a=1;zz, b=(\"c\";zz)");
        assert_eq!(dictionary(&with(MOST_PARAMETERS / 2 + 1)), None);
    }

    #[test]
    fn writes_canonically_what_it_reads() {
        for (text, canonical) in [
            ("", ""),
            ("a", "a"),
            ("a=?1;x, b;y=?0", "a;x, b;y=?0"),
            ("  a=1 ,\t b=-2.50 ", "a=1, b=-2.50"),
            (
                r#"sig=( "a"  "b";req );created=1;k="q\"\\";t=tok/en, s=:AQI=:"#,
                r#"sig=("a" "b";req);created=1;k="q\"\\";t=tok/en, s=:AQI=:"#,
            ),
            ("a=();x=1;x=2", "a=();x=2"),
        ] {
            assert_eq!(
                dictionary(text).map(|read| write_dictionary(&read)).as_deref(),
                Some(canonical),
                "{text:?}"
            );
        }
    }

    #[test]
    fn refuses_what_is_malformed() {
        let malformed = [
            "A=1",
            "a=",
            "a=1,",
            "a=1 b=2",
            "a=(1",
            "a=(1 2",
            "a=(\"x\"\"y\")",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"é\"",
            "a=:AQI:",
            "a=:AQI",
            "a=?2",
            "a=1234567890123456",
            "a=1.",
            "a=1.2345",
            "a=--1",
            "a=;x",
            "a;=1",
            "a=1, a=2",
            "a=@",
            "=1",
            "1=1",
            "a=?é",
        ];

        for text in malformed {
            assert_eq!(dictionary(text), None, "{text:?}");
        }
    }
}
