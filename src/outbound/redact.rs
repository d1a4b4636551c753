//! Redacts secrets in the report of an attempt: those that were looked up for it, and those of the
//! endpoint.
//!
//! A receiver may repeat what it got, in any spelling: as it is, percent-encoded (once or twice),
//! as a form, a JSON string or HTML writes it, each character on its own, in any case. What is cut
//! off at its end, as excerpts are, may end within a secret: that is redacted as well. Secrets
//! shorter than `limits::REDACTED_SECRET_MIN` bytes are not searched for: they stand everywhere.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use crate::model::{AttemptReport, REDACTED, limits};

/// The secrets that must not be shown.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: BTreeSet<String>,
    /// There are more than are searched for: nothing that others wrote is shown.
    is_too_much: bool,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

/// Whether a secret is at a position.
enum Match {
    No,
    /// It ends before this byte.
    Whole(usize),
    /// The text ends within it.
    Begun,
}

impl Redactor {
    /// Adds a secret.
    pub fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < limits::REDACTED_SECRET_MIN {
            return;
        }
        if self.secrets.len() >= limits::REDACTED_SECRETS {
            self.is_too_much |= !self.secrets.contains(secret);
            return;
        }
        self.secrets.insert(secret.to_owned());
    }

    /// Adds a secret text such as a header's value, and its long words: `Bearer …` may be repeated
    /// without its scheme.
    pub fn add_text(&mut self, text: &str) {
        self.add(text);
        text.split([' ', ',', ';', '"', ':'])
            .filter(|word| word.len() >= limits::SECRET_WORD)
            .for_each(|w| self.add(w));
    }

    /// Adds what stands in a text and not in the same text made without the secrets: what became of
    /// them, had they been cut, put in capitals, or written in any other way.
    pub fn add_difference(&mut self, made: &str, shown: &str) {
        let is_end = |c: char| !(c.is_alphanumeric() || "-_.~%+…".contains(c));
        let (made, shown): (Vec<&str>, Vec<&str>) =
            (made.split(is_end).collect(), shown.split(is_end).collect());

        if made.len() == shown.len() {
            for (word, pattern) in made.iter().zip(&shown).filter(|(word, pattern)| word != pattern)
            {
                let (before, behind) =
                    (pattern.split(REDACTED).next(), pattern.rsplit(REDACTED).next());
                let inside = before.and_then(|before| word.strip_prefix(before)).unwrap_or(word);
                self.add(behind.and_then(|behind| inside.strip_suffix(behind)).unwrap_or(inside));
            }
            return;
        }

        let known: BTreeSet<&str> = shown.into_iter().collect();
        made.into_iter().filter(|word| !known.contains(word)).for_each(|word| self.add(word));
    }

    pub fn extend(&mut self, other: &Self) {
        other.secrets.iter().for_each(|secret| self.add(secret));
        self.is_too_much |= other.is_too_much;
    }

    fn is_empty(&self) -> bool {
        self.secrets.is_empty() && !self.is_too_much
    }

    /// Redacts them in everything that others wrote, or that repeats it.
    pub fn redact(&self, report: &mut AttemptReport) {
        if self.is_empty() {
            return;
        }

        if let Some(error) = &mut report.error {
            *error = self.text(error);
        }
        if let Some(response) = &mut report.response {
            response.body = self.bytes(&response.body, false);
            for header in &mut response.headers {
                header.value = self.bytes(&header.value, false);
            }
        }
        if let Some(command) = &mut report.command {
            // The end of its output: it may begin within a secret.
            command.output = self.bytes(&command.output, true);
        }
    }

    /// A text without them.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes(), false)).into_owned()
    }

    fn bytes(&self, bytes: &[u8], is_tail: bool) -> Bytes {
        if self.is_too_much && !bytes.is_empty() {
            return Bytes::from_static(REDACTED.as_bytes());
        }

        let mut out = Vec::with_capacity(bytes.len());
        let mut at = if is_tail { self.rest_at_start(bytes) } else { 0 };
        if at > 0 {
            out.extend_from_slice(REDACTED.as_bytes());
        }

        while at < bytes.len() {
            let end =
                self.secrets.iter().filter_map(|secret| match find(bytes, at, secret.as_bytes()) {
                    Match::No => None,
                    Match::Whole(end) => Some(end),
                    Match::Begun => Some(bytes.len()),
                });

            match end.max() {
                Some(end) => {
                    out.extend_from_slice(REDACTED.as_bytes());
                    at = end;
                }
                None => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        out.into()
    }

    /// How many bytes at the start are the end of a secret.
    fn rest_at_start(&self, bytes: &[u8]) -> usize {
        let rest_of = |secret: &str| {
            let cuts = 1..secret.len().saturating_sub(limits::REDACTED_SECRET_MIN - 1);
            let mut rests =
                cuts.map(|cut| &secret.as_bytes()[cut..]).filter(|rest| bytes.len() >= rest.len());
            rests.find(|rest| bytes[..rest.len()].eq_ignore_ascii_case(rest)).map_or(0, <[u8]>::len)
        };
        self.secrets.iter().map(|secret| rest_of(secret)).max().unwrap_or(0)
    }
}

/// How many bytes spell a character at the start of some bytes.
type Spelled = fn(&[u8], u8) -> Option<usize>;

/// Whether `secret` stands at `at`, as it is or in any spelling of its characters.
fn find(bytes: &[u8], at: usize, secret: &[u8]) -> Match {
    let spellings: [Spelled; 3] = [
        |_, _| None,
        |bytes, wanted| spelled(bytes, wanted, false),
        |bytes, wanted| spelled(bytes, wanted, true),
    ];
    for spelling in spellings {
        match follow(bytes, at, secret, spelling) {
            Match::No => {}
            found => return found,
        }
    }
    Match::No
}

fn follow(
    bytes: &[u8],
    mut at: usize,
    secret: &[u8],
    spelled: impl Fn(&[u8], u8) -> Option<usize>,
) -> Match {
    for (n, wanted) in secret.iter().enumerate() {
        let rest = &bytes[at..];

        match rest.first() {
            None if n >= limits::REDACTED_SECRET_MIN => return Match::Begun,
            None => return Match::No,
            Some(first) => match spelled(rest, *wanted) {
                Some(length) => at += length,
                None if first.eq_ignore_ascii_case(wanted) => at += 1,
                // Cut off in the middle of a character that is written out.
                None if n >= limits::REDACTED_SECRET_MIN
                    && rest.len() < 6
                    && matches!(first, b'%' | b'\\' | b'&') =>
                {
                    return Match::Begun;
                }
                None => return Match::No,
            },
        }
    }
    Match::Whole(at)
}

/// How many bytes write the character `wanted` at the start of `bytes`, when they write it
/// otherwise than as itself. A percent sign may be meant to have been encoded twice.
fn spelled(bytes: &[u8], wanted: u8, twice: bool) -> Option<usize> {
    let is_hex = |digits: &[u8]| {
        let digits =
            std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .is_some_and(|code| is_same(code, wanted))
    };

    match bytes {
        [b'%', b'2', b'5', hex @ ..]
            if (twice || wanted != b'%') && hex.get(..2).is_some_and(is_hex) =>
        {
            Some(5)
        }
        [b'%', hex @ ..] if hex.get(..2).is_some_and(is_hex) => Some(3),
        [b'+', ..] if wanted == b' ' => Some(1),
        [b'\\', b'u', hex @ ..] if hex.get(..4).is_some_and(is_hex) => Some(6),
        [b'\\', b'n', ..] if wanted == b'\n' => Some(2),
        [b'\\', b'r', ..] if wanted == b'\r' => Some(2),
        [b'\\', b't', ..] if wanted == b'\t' => Some(2),
        [b'\\', b'x', hex @ ..] if hex.get(..2).is_some_and(is_hex) => Some(4),
        [b'\\', same, ..] if *same == wanted && !wanted.is_ascii_alphanumeric() => Some(2),
        [b'&', rest @ ..] => {
            let end = rest.iter().take(8).position(|b| *b == b';')?;
            is_entity(&rest[..end], wanted).then_some(end + 2)
        }
        _ => None,
    }
}

/// `amp`, `#38`, `#x26`.
fn is_entity(name: &[u8], wanted: u8) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let code = name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => number.parse().ok(),
    });
    let named = matches!(
        (name, wanted),
        ("amp", b'&')
            | ("lt", b'<')
            | ("gt", b'>')
            | ("quot", b'"')
            | ("apos", b'\'')
            | ("nbsp", b' ')
    );
    named || code.is_some_and(|code| is_same(code, wanted))
}

fn is_same(code: u32, wanted: u8) -> bool {
    u8::try_from(code).is_ok_and(|byte| byte.eq_ignore_ascii_case(&wanted))
}

#[cfg(test)]
mod tests {
    use super::Redactor;
    use crate::model::limits;

    fn redactor(secret: &str) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(secret);
        redactor
    }

    #[test]
    fn a_secret_is_found_in_any_spelling() {
        let secret = "12:Ab/c+d \"e\" <f>&'\\";

        for spelled in [
            secret,
            "12:ab/C+d \"e\" <f>&'\\",
            "12%3AAb%2Fc%2Bd%20%22e%22%20%3Cf%3E%26%27%5C",
            "12%3aAb/c%2bd+%22e%22+%3cf%3e%26'%5c",
            "12%253AAb%252Fc%252Bd%2520%2522e%2522%2520%253Cf%253E%2526%2527%255C",
            r#"12:Ab\/c+d \"e\" \u003cf>\u0026'\\"#,
            "12:Ab/c+d &quot;e&quot; &lt;f&gt;&amp;&#39;\\",
            "12&#x3A;Ab&#47;c+d &#34;e&#34; <f>&amp;&apos;&#x5c;",
            "%31%32%3A%41%62%2F%63%2B%64%20%22%65%22%20%3C%66%3E%26%27%5C",
        ] {
            assert_eq!(
                redactor(secret).text(&format!("no {spelled}, and {spelled}.")),
                "no …, and ….",
                "{spelled}"
            );
        }

        assert_eq!(redactor("50%25off").text("a 50%25off b 50%2525off"), "a … b …");
        let other = "12:Ab/c-d \"e\"";
        assert_eq!(redactor(secret).text(other), other);
    }

    #[test]
    fn what_is_cut_off_is_redacted_as_well() {
        let secret = redactor("hunter2-and-more");
        assert_eq!(secret.text("POST /hunter2-and"), "POST /…");
        assert_eq!(secret.text("POST /hunt"), "POST /…");
        assert_eq!(secret.text("POST /hun"), "POST /hun", "too short to tell");
        assert_eq!(secret.bytes(b"and-more, it wrote", true).as_ref(), "…, it wrote".as_bytes());
        assert_eq!(redactor("a:b:c:d").text("x a%3Ab%3Ac%3"), "x …");
    }

    #[test]
    fn what_a_template_made_of_a_secret_is_one() {
        let mut redactor = Redactor::default();
        redactor.add_difference("/botHUNTER2/send?k=unter", "/bot…/send?k=…");
        assert_eq!(
            redactor.text("no botHUNTER2 at /send?k=unter, hunter2"),
            "no bot… at /send?k=…, …"
        );
        let mut redactor = Redactor::default();
        redactor.add_difference("/one/two-parts/end", "/…/end");
        assert_eq!(redactor.text("not found: two-parts"), "not found: …");
        redactor.add_text("Bearer tok-123456");
        assert_eq!(redactor.text("bad token tok-123456"), "bad token …");
    }

    #[test]
    fn more_than_can_be_searched_for_hides_everything() {
        let mut redactor = Redactor::default();
        (0..=limits::REDACTED_SECRETS).for_each(|n| redactor.add(&format!("secret-{n}")));
        assert_eq!(redactor.text("anything"), "…");
        assert_eq!(redactor.text(""), "");
        assert!(!format!("{redactor:?}").contains("secret-"));
    }
}
