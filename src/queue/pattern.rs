//! The regular expressions of `--where`: `match()` and `search()` (RFC 9535, sections 2.4.6 and 2.4.7).
//!
//! They are ours instead of the library's, which compiles its pattern anew for every event, on the thread that
//! decides. Limits: `limits::FILTER_PATTERN` bytes for a compiled pattern, `limits::FILTER_PATTERNS` of them are kept.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

use crate::model::limits;

thread_local! {
    /// Compiled patterns; `None` for those that cannot be.
    static COMPILED: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
}

#[serde_json_path_macros::function(name = "match")]
fn match_whole(value: ValueType, pattern: ValueType) -> LogicalType {
    is_match(&value, &pattern, |pattern| format!("(?R)^({pattern})$"))
}

#[serde_json_path_macros::function(name = "search")]
fn search_within(value: ValueType, pattern: ValueType) -> LogicalType {
    is_match(&value, &pattern, |pattern| format!("(?R)({pattern})"))
}

fn is_match(value: &ValueType, pattern: &ValueType, whole: impl Fn(&str) -> String) -> LogicalType {
    let (Some(Value::String(text)), Some(Value::String(pattern))) = (value.as_value(), pattern.as_value()) else {
        return LogicalType::False;
    };
    let whole = whole(pattern);
    COMPILED.with_borrow_mut(|compiled| {
        // Patterns may come out of events; then there is no end of them.
        if compiled.len() >= limits::FILTER_PATTERNS && !compiled.contains_key(&whole) {
            compiled.clear();
        }
        let found = compiled.entry(whole).or_insert_with_key(|whole| build(whole).ok());
        found.as_ref().is_some_and(|regex| regex.is_match(text)).into()
    })
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(limits::FILTER_PATTERN).build()
}

/// Checks those that stand as literals: a wrong one would never match, without a word.
///
/// # Errors
/// Says which one cannot be used, and why.
pub(super) fn check(expression: &str) -> Result<(), String> {
    let mut literals = Vec::new();
    let mut open: Option<(char, String)> = None;
    let mut escaped = false;
    // The text before the literal, without blanks: `match(@.type,`.
    let mut before = String::new();
    for c in expression.chars() {
        match &mut open {
            Some((_, text)) if escaped => {
                // Only the quote itself is written otherwise than in the pattern.
                if !matches!(c, '\'' | '"' | '\\') {
                    text.push('\\');
                }
                text.push(c);
                escaped = false;
            }
            Some(_) if c == '\\' => escaped = true,
            Some((quote, text)) if *quote == c => {
                literals.push((std::mem::take(&mut before), std::mem::take(text)));
                open = None;
            }
            Some((_, text)) => text.push(c),
            None if matches!(c, '\'' | '"') => open = Some((c, String::new())),
            None if c.is_whitespace() => {}
            None => before.push(c),
        }
    }
    for (before, pattern) in literals {
        let call = ["match(", "search("].iter().filter_map(|name| before.rfind(name)).max();
        let is_pattern = before.ends_with(',') && call.is_some_and(|at| !before[at..].contains(')'));
        if is_pattern && let Err(error) = build(&pattern) {
            let error = error.to_string();
            let error = error.lines().last().unwrap_or_default().trim();
            return Err(format!("has a regular expression that cannot be used, {pattern}: {error}"));
        }
    }
    Ok(())
}
