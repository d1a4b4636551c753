//! Parses the text of a filter (RFC 9535, section 2.3.5), in one pass.

use std::fmt;

use super::pattern::Pattern;
use super::syntax::{
    Comparable, Comparison, Logical, PathQuery, PathSegment, PatternArgument, Selector,
};
use crate::model::limits;
use crate::model::safe_text::shortened;

/// A syntax error, and where it is.
#[derive(Debug)]
pub(super) struct FilterSyntaxError {
    at: Option<usize>,
    what: String,
}

impl fmt::Display for FilterSyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{}, at character {at}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The largest integer of JSONPath; the smallest is its negative.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Parses one logical expression.
pub(super) fn parse(text: &str) -> Result<Logical, FilterSyntaxError> {
    if text.len() > limits::FILTER_LEN {
        return Err(FilterSyntaxError {
            at: None,
            what: format!("is longer than {} bytes", limits::FILTER_LEN),
        });
    }

    let mut parser = Parser { text, at: 0, depth: 0, pattern_bytes: limits::FILTER_PATTERN };
    let logical = parser.or_expression()?;
    parser.skip_blanks();
    if parser.peek().is_some() {
        return Err(parser.error("is not one logical expression: nothing may follow where it ends"));
    }
    Ok(logical)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// The bytes that are left for compiled regular expressions.
    pattern_bytes: usize,
}

/// A part of an expression: a test, or one side of a comparison.
enum Operand {
    PathQuery(PathQuery),
    Comparable(Comparable),
    /// `match()` or `search()`.
    Test(Logical),
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn error(&self, what: impl Into<String>) -> FilterSyntaxError {
        // What it quotes may be as long as the expression.
        let what = shortened(&what.into(), 250);
        FilterSyntaxError { at: Some(self.text[..self.at].chars().count() + 1), what }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Consumes `token` if it comes next. Returns whether it did.
    fn accept(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        self.at += if there { token.len() } else { 0 };
        there
    }

    fn expect(&mut self, token: char) -> Result<(), FilterSyntaxError> {
        self.skip_blanks();
        if self.accept(token.encode_utf8(&mut [0; 4])) {
            Ok(())
        } else {
            Err(self.error(format!("lacks a '{token}'")))
        }
    }

    /// Runs `inside` one level deeper.
    fn deeper<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, FilterSyntaxError>,
    ) -> Result<T, FilterSyntaxError> {
        if self.depth >= limits::FILTER_DEPTH {
            return Err(self.error(format!("is nested more than {} times", limits::FILTER_DEPTH)));
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    fn or_expression(&mut self) -> Result<Logical, FilterSyntaxError> {
        let mut parts = vec![self.and_expression()?];
        while self.operator("||") {
            parts.push(self.and_expression()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logical::Any(parts) })
    }

    fn and_expression(&mut self) -> Result<Logical, FilterSyntaxError> {
        let mut parts = vec![self.basic_expression()?];
        while self.operator("&&") {
            parts.push(self.basic_expression()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logical::All(parts) })
    }

    fn operator(&mut self, operator: &str) -> bool {
        self.skip_blanks();
        self.accept(operator)
    }

    fn basic_expression(&mut self) -> Result<Logical, FilterSyntaxError> {
        self.skip_blanks();
        let negated = self.accept("!");
        self.skip_blanks();

        let logical = if self.accept("(") {
            let inside = self.deeper(Self::or_expression)?;
            self.expect(')')?;
            inside
        } else {
            let part = self.operand()?;
            match (self.comparison(), part) {
                (Some(_), _) if negated => {
                    return Err(self.error("negates one side of a comparison: write !(a == b)"));
                }
                (Some(comparison), part) => {
                    let left = self.comparable(part)?;
                    self.skip_blanks();
                    let right = self.operand()?;
                    Logical::Compare(left, comparison, self.comparable(right)?)
                }
                (None, Operand::PathQuery(query)) => Logical::Exists(query),
                (None, Operand::Test(test)) => test,
                (None, Operand::Comparable(_)) => {
                    return Err(self.error("has a value that is compared with nothing"));
                }
            }
        };
        Ok(if negated { Logical::Not(Box::new(logical)) } else { logical })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        self.skip_blanks();
        let all = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        all.into_iter().find(|(text, _)| self.accept(text)).map(|(_, comparison)| comparison)
    }

    fn comparable(&self, part: Operand) -> Result<Comparable, FilterSyntaxError> {
        match part {
            Operand::Comparable(comparable) => Ok(comparable),
            Operand::PathQuery(query) if query.is_singular() => Ok(Comparable::PathQuery(query)),
            Operand::PathQuery(_) => Err(self.error(
                "compares a query that may select several values: select one, or use count() or \
                 value()",
            )),
            Operand::Test(_) => Err(self.error(
                "compares the result of match() or search(), which is a condition by itself",
            )),
        }
    }

    fn operand(&mut self) -> Result<Operand, FilterSyntaxError> {
        match self.peek() {
            Some('@' | '$') => self.query().map(Operand::PathQuery),
            Some('\'' | '"') => {
                self.string().map(|text| Operand::Comparable(Comparable::Text(text)))
            }
            Some('-' | '0'..='9') => {
                self.number().map(|text| Operand::Comparable(Comparable::Number(text)))
            }
            Some('a'..='z') => self.word(),
            Some(_) => {
                Err(self
                    .error("has something that is neither a value, nor a query, nor a function"))
            }
            None => Err(self.error("ends where a value, a query or a function is expected")),
        }
    }

    fn word(&mut self) -> Result<Operand, FilterSyntaxError> {
        let rest = self.rest();
        let end =
            rest.find(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | '_')).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;

        if !self.accept("(") {
            return match word.as_str() {
                "true" => Ok(Operand::Comparable(Comparable::Bool(true))),
                "false" => Ok(Operand::Comparable(Comparable::Bool(false))),
                "null" => Ok(Operand::Comparable(Comparable::Null)),
                "type" | "source" | "headers" | "query" | "body" => Err(self.error(format!(
                    "has '{word}': an event's own fields are written @.{word}, texts in quotes"
                ))),
                _ => Err(self.error(format!(
                    "has '{word}': texts stand in quotes, fields are written @.body.{word}"
                ))),
            };
        }

        let part = self.deeper(|parser| parser.function(&word))?;
        self.expect(')')?;
        Ok(part)
    }

    fn function(&mut self, name: &str) -> Result<Operand, FilterSyntaxError> {
        Ok(match name {
            "length" => Operand::Comparable(Comparable::Length(Box::new(self.value()?))),
            "count" => Operand::Comparable(Comparable::Count(self.nodes()?)),
            "value" => Operand::Comparable(Comparable::Value(self.nodes()?)),
            "match" | "search" => {
                let value = self.value()?;
                self.expect(',')?;
                let pattern = self.value()?;
                let pattern = self.pattern(pattern)?;
                Operand::Test(Logical::Match { value, pattern, whole: name == "match" })
            }
            other => {
                return Err(self.error(format!(
                    "calls '{other}': there are length(), count(), value(), match() and search()"
                )));
            }
        })
    }

    /// An argument that is one value.
    fn value(&mut self) -> Result<Comparable, FilterSyntaxError> {
        self.skip_blanks();
        let part = self.operand()?;
        self.comparable(part)
    }

    /// An argument that is a query.
    fn nodes(&mut self) -> Result<PathQuery, FilterSyntaxError> {
        self.skip_blanks();
        match self.peek() {
            Some('@' | '$') => self.query(),
            _ => Err(self.error("needs a query here: write count(@.body.items[*])")),
        }
    }

    /// A pattern given as text is compiled now: a malformed one would silently never match.
    fn pattern(&mut self, pattern: Comparable) -> Result<PatternArgument, FilterSyntaxError> {
        match pattern {
            Comparable::Text(text) => {
                let compiled = Pattern::compile(&text, self.pattern_bytes).map_err(|why| {
                    self.error(format!(
                        "has a regular expression that cannot be used, {text}: {why}"
                    ))
                })?;
                self.pattern_bytes = self.pattern_bytes.saturating_sub(compiled.size());
                Ok(PatternArgument::Compiled(compiled))
            }
            Comparable::Number(_) | Comparable::Bool(_) | Comparable::Null => {
                Ok(PatternArgument::Nothing)
            }
            other => Ok(PatternArgument::Dynamic(other)),
        }
    }

    fn query(&mut self) -> Result<PathQuery, FilterSyntaxError> {
        let root = self.accept("$");
        if !root {
            self.at += 1;
        }

        let mut query = PathQuery { root, segments: Vec::new() };
        loop {
            let before = self.at;
            self.skip_blanks();
            let segment = if self.accept("..") {
                PathSegment::Descendants(if self.accept("[") {
                    self.bracketed()?
                } else {
                    self.named()?
                })
            } else if self.accept(".") {
                PathSegment::Children(self.named()?)
            } else if self.accept("[") {
                PathSegment::Children(self.bracketed()?)
            } else {
                // Blanks at the end do not belong to the query.
                self.at = before;
                break;
            };
            query.segments.push(segment);
        }

        // Earlier versions presented the event as the only element of an array that `$` stood for.
        if root
            && let Some(PathSegment::Children(first)) = query.segments.first()
            && matches!(first.as_slice(), [Selector::Index(0 | -1)])
        {
            query.segments.remove(0);
        }
        Ok(query)
    }

    /// The selector after a dot.
    fn named(&mut self) -> Result<Vec<Selector>, FilterSyntaxError> {
        Ok(vec![if self.accept("*") { Selector::Every } else { Selector::Name(self.shorthand()?) }])
    }

    fn shorthand(&mut self) -> Result<String, FilterSyntaxError> {
        let rest = self.rest();
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.error(
                "lacks a name behind '.': one with other characters is written ['my-name']",
            ));
        }
        self.at += end;
        Ok(name)
    }

    fn bracketed(&mut self) -> Result<Vec<Selector>, FilterSyntaxError> {
        let mut selectors = Vec::new();
        loop {
            self.skip_blanks();
            selectors.push(self.selector()?);
            self.skip_blanks();
            if self.accept("]") {
                return Ok(selectors);
            }
            if !self.accept(",") {
                return Err(self.error("lacks a ']'"));
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, FilterSyntaxError> {
        match self.peek() {
            Some('\'' | '"') => return self.string().map(Selector::Name),
            Some('*') => {
                self.at += 1;
                return Ok(Selector::Every);
            }
            Some('?') => {
                self.at += 1;
                return Ok(Selector::Filter(Box::new(self.deeper(Self::or_expression)?)));
            }
            _ => {}
        }

        let start = self.integer()?;
        self.skip_blanks();
        if !self.accept(":") {
            return start
                .map(Selector::Index)
                .ok_or_else(|| self.error("has '[' without a name, a number or '*'"));
        }

        self.skip_blanks();
        let end = self.integer()?;
        self.skip_blanks();
        let mut step = 1;
        if self.accept(":") {
            self.skip_blanks();
            step = self.integer()?.unwrap_or(1);
        }
        Ok(Selector::Slice { start, end, step })
    }

    /// An integer, if there is one.
    fn integer(&mut self) -> Result<Option<i64>, FilterSyntaxError> {
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let text = &rest[..rest.len() - digits.len() + length];
        if text.is_empty() {
            return Ok(None);
        }

        let plain = !text.starts_with("-0") && (text == "0" || !text.starts_with('0'));
        let number = text.parse::<i64>().ok().filter(|number| plain && number.abs() <= MAX_INTEGER);
        let number = number.ok_or_else(|| self.error("has a number that is not an index"))?;
        self.at += text.len();
        Ok(Some(number))
    }

    /// A JSON number, as it is written.
    fn number(&mut self) -> Result<String, FilterSyntaxError> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'))
            .unwrap_or(rest.len());
        let text = &rest[..end];
        if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
            return Err(self.error(format!("has '{text}', which is not a number")));
        }
        let text = text.to_owned();
        self.at += end;
        Ok(text)
    }

    fn string(&mut self) -> Result<String, FilterSyntaxError> {
        let quote = self.peek().unwrap_or('\'');
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                return Err(self.error(format!("lacks a {quote} where a text ends")));
            };
            if c < ' ' {
                return Err(self.error(
                    "has a line break or control character in a text: write \\n or \\u000a",
                ));
            }

            self.at += c.len_utf8();
            match c {
                '\\' => text.push(self.escape(quote)?),
                c if c == quote => return Ok(text),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<char, FilterSyntaxError> {
        let c = self.peek().unwrap_or(' ');
        let read = match c {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '/' | '\\' => c,
            'u' => return self.unicode(),
            c if c == quote => c,
            _ => {
                return Err(self.error(format!(
                    "has \\{c} in a text, which is not an escape: a backslash is written \\\\, as \
                     in '\\\\d+'"
                )));
            }
        };

        self.at += 1;
        Ok(read)
    }

    fn unicode(&mut self) -> Result<char, FilterSyntaxError> {
        let first = self.unit()?;
        let code = match first {
            0xD800..0xDC00 if self.accept("\\") => {
                let second = self.unit()?;
                let half = (0xDC00..0xE000).contains(&second).then(|| second - 0xDC00);
                half.map_or(first, |half| 0x1_0000 + ((first - 0xD800) << 10) + half)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.error("has half of a surrogate pair in a text"))
    }

    /// The code unit of an escape: `u` and four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, FilterSyntaxError> {
        let digits = self.rest().strip_prefix('u').and_then(|rest| rest.get(..4));
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit =
            unit.ok_or_else(|| self.error("has \\u without four hexadecimal digits in a text"))?;
        self.at += 5;
        Ok(unit)
    }
}
