//! Subjects by template: `hooks.{box}.{source}.{type}`. Pure.
//!
//! What a variable stands for comes from senders, and is one token of the subject, or a part of
//! one, whatever it holds. Letters, digits, `-`, `_`, `:`, `/`, `@`, `=`, `+`, `,` and `~` of ASCII
//! stand for themselves; every other byte of its UTF-8 is `%` and two digits of hex; and nothing at
//! all is a `%` alone. So dots, wildcards, spaces and control characters add no token, match
//! nothing and end nothing, and different names give different subjects. A name that would be
//! longer than `limits::NATS_SUBJECT_PART` is cut, and ends with `%-` and half of its SHA-256.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::model::limits;
use crate::model::similar::nearest;

/// Digits of the digest that a name which was cut ends with.
const DIGEST: usize = 32;

/// What a subject may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The name of this box.
    Box,
    Source,
    Type,
}

impl Variable {
    const ALL: [(&'static str, Self); 3] =
        [("box", Self::Box), ("source", Self::Source), ("type", Self::Type)];
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// A subject with variables in it, each token as its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectTemplate {
    text: String,
    tokens: Vec<Vec<Part>>,
}

/// What the variables stand for.
#[derive(Clone, Copy, Debug)]
pub struct SubjectNames<'a> {
    pub box_name: &'a str,
    pub source: &'a str,
    pub event_type: &'a str,
}

impl SubjectTemplate {
    /// The subject of one event.
    #[must_use]
    pub fn subject(&self, names: &SubjectNames<'_>) -> String {
        self.rendered(|variable| {
            escaped(match variable {
                Variable::Box => names.box_name,
                Variable::Source => names.source,
                Variable::Type => names.event_type,
            })
        })
    }

    /// The subjects that this box can publish to, with `*` for a token that depends on the event.
    #[must_use]
    pub fn pattern(&self, box_name: &str) -> String {
        self.matching(|variable| (variable == Variable::Box).then(|| escaped(box_name)))
    }

    /// The subjects that all boxes with this template can publish to.
    #[must_use]
    pub fn pattern_of_all(&self) -> String {
        self.matching(|_| None)
    }

    /// Those of them that have events of this source.
    #[must_use]
    pub fn pattern_of_source(&self, source: &str) -> String {
        self.matching(|variable| (variable == Variable::Source).then(|| escaped(source)))
    }

    /// With `*` for each token that depends on a variable without a value here.
    fn matching(&self, value: impl Fn(Variable) -> Option<String>) -> String {
        let known = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Variable(variable) => value(*variable),
        };
        let tokens = self.tokens.iter().map(|token| {
            token.iter().map(known).collect::<Option<String>>().unwrap_or_else(|| "*".to_owned())
        });
        tokens.collect::<Vec<_>>().join(".")
    }

    fn rendered(&self, value: impl Fn(Variable) -> String) -> String {
        let tokens = self.tokens.iter().map(|token| joined(token, &value));
        tokens.collect::<Vec<_>>().join(".")
    }
}

fn joined(token: &[Part], value: &impl Fn(Variable) -> String) -> String {
    let parts = token.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Variable(variable) => value(*variable),
    });
    parts.collect()
}

/// A name as a part of one token.
fn escaped(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_:/@=+,~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    if text.len() <= limits::NATS_SUBJECT_PART {
        return text;
    }

    // `%-` comes from no byte, so that no other name is written like this.
    let digest = HEXLOWER.encode(&Sha256::digest(name.as_bytes()));
    text.truncate(limits::NATS_SUBJECT_PART - DIGEST - 2);
    format!("{text}%-{}", &digest[..DIGEST])
}

impl fmt::Display for SubjectTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SubjectTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tokens = text.split('.').map(token).collect::<Result<Vec<_>, String>>();
        let tokens = tokens.map_err(|what| format!("'{text}' {what}"))?;
        if text.starts_with('$') {
            return Err(format!("'{text}' begins with $: such subjects are the server's own"));
        }
        if text.len() > limits::NATS_SUBJECT_PART {
            let most = limits::NATS_SUBJECT_PART;
            return Err(format!("'{text}' is longer than {most} characters"));
        }
        Ok(Self { text: text.to_owned(), tokens })
    }
}

/// One token of a template.
fn token(text: &str) -> Result<Vec<Part>, String> {
    if text.is_empty() {
        return Err("has an empty part between its dots".to_owned());
    }

    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, after) = rest.split_once('{').map_or((rest, None), |(a, b)| (a, Some(b)));
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '*' | '>' | '}' | '%');
        if let Some(bad) = plain.chars().find(|c| !is_plain(*c)) {
            return Err(format!(
                "has {bad:?} in it: a subject is made of letters, digits, - and _, and of {}",
                known()
            ));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain.to_owned()));
        }

        rest = "";
        if let Some(after) = after {
            let (name, behind) = after.split_once('}').ok_or("has a { without its }")?;
            parts.push(Part::Variable(variable(name)?));
            rest = behind;
        }
    }
    Ok(parts)
}

fn variable(name: &str) -> Result<Variable, String> {
    let found = Variable::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, variable)| *variable).ok_or_else(|| {
        let meant = nearest(name, Variable::ALL.iter().map(|(known, _)| *known));
        match meant {
            Some(meant) => format!("has {{{name}}} in it: did you mean {{{meant}}}?"),
            None => format!("has {{{name}}} in it: there are {}", known()),
        }
    })
}

fn known() -> String {
    Variable::ALL.map(|(name, _)| format!("{{{name}}}")).join(", ")
}

/// Whether every subject that `narrow` matches is matched by `wide`; both may have wildcards.
#[must_use]
pub fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('.'), narrow.split('.'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether a subject can match both; both may have wildcards.
#[must_use]
pub fn meet(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SubjectNames, SubjectTemplate, covers, escaped, meet};
    use crate::model::limits;

    fn template(text: &str) -> SubjectTemplate {
        text.parse().expect("valid")
    }

    fn names<'a>(source: &'a str, event_type: &'a str) -> SubjectNames<'a> {
        SubjectNames { box_name: "box-1", source, event_type }
    }

    #[test]
    fn names_are_one_token_each() {
        let hooks = template("hooks.{box}.{source}.{type}");
        let subject = |kind| hooks.subject(&names("github", kind));
        assert_eq!(subject("push"), "hooks.box-1.github.push");
        assert_eq!(subject("order.paid"), "hooks.box-1.github.order%2Epaid");
        assert_eq!(subject("a.*.>"), "hooks.box-1.github.a%2E%2A%2E%3E");
        assert_eq!(subject(""), "hooks.box-1.github.%");
        assert_eq!(subject("%"), "hooks.box-1.github.%25");
        assert_eq!(subject("ä b\r\n\0"), "hooks.box-1.github.%C3%A4%20b%0D%0A%00");
        assert_eq!(template("v1-{type}").subject(&names("s", "$SYS")), "v1-%24SYS");
        assert_eq!(hooks.pattern("my.box"), "hooks.my%2Ebox.*.*");
        assert_eq!(hooks.pattern_of_all(), "hooks.*.*.*");
        assert_eq!(hooks.pattern_of_source("a.b"), "hooks.*.a%2Eb.*");
        assert_eq!(template("x.v1-{source}-{type}").pattern_of_source("a"), "x.*");
    }

    #[test]
    fn a_template_that_could_not_be_published_to_is_refused() {
        for (text, part) in [
            ("", "empty part"),
            ("hooks..{type}", "empty part"),
            ("hooks.*.{type}", "'*'"),
            ("hooks.>", "'>'"),
            ("hooks {type}", "' '"),
            ("hooks.{typ}", "did you mean {type}?"),
            ("hooks.{xyzzy}", "there are {box}, {source}, {type}"),
            ("hooks.{type", "without its }"),
            ("hooks.type}", "'}'"),
            ("$JS.API.{type}", "begins with $"),
            ("hööks", "'ö'"),
        ] {
            let refused = text.parse::<SubjectTemplate>().expect_err(text);
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }

    #[test]
    fn one_pattern_covers_another() {
        for (wide, narrow, covered) in [
            ("hooks.>", "hooks.a.*", true),
            (">", "x", true),
            ("hooks.*.*", "hooks.a.*", true),
            ("hooks.a.b", "hooks.a.*", false),
            ("hooks.*", "hooks.a.b", false),
            ("hooks.*", "hooks.>", false),
            ("hooks.>", "hooks", false),
            ("a.b", "a.b", true),
        ] {
            assert_eq!(covers(wide, narrow), covered, "{wide} {narrow}");
        }
    }

    #[test]
    fn patterns_meet_where_a_subject_matches_both() {
        for (a, b, meets) in [
            ("hooks.*.jobs.*", "hooks.>", true),
            ("hooks.*.jobs.*", "hooks.box-2.>", true),
            ("hooks.*.jobs.*", "*.*.app.*", false),
            ("hooks.*.jobs.*", "hooks.*.jobs", false),
            ("hooks.*", "jobs.>", false),
            (">", "a", true),
            ("a", "a", true),
            ("a.>", "a", false),
        ] {
            assert_eq!((meet(a, b), meet(b, a)), (meets, meets), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_sender_says_stays_in_its_token(
            source in any::<String>(),
            kind in any::<String>(),
        ) {
            let hooks = template("hooks.{box}.{source}.{type}");
            let subject = hooks.subject(&names(&source, &kind));
            prop_assert_eq!(subject.split('.').count(), 4);
            prop_assert!(subject.len() <= limits::NATS_SUBJECT);
            let is_safe = |b: u8| b.is_ascii_graphic() && !matches!(b, b'*' | b'>');
            prop_assert!(subject.bytes().all(is_safe), "{}", subject);
            prop_assert!(subject.split('.').all(|token| !token.is_empty()));
            prop_assert!(covers(&hooks.pattern("box-1"), &subject));
        }

        #[test]
        fn different_names_are_different_tokens(a in ".{0,400}", b in ".{0,400}") {
            prop_assert_eq!(a == b, escaped(&a) == escaped(&b));
        }
    }
}
