//! The one pattern language over event types: `*` matches any run of characters, `?` one character.

use wildmatch::WildMatch;

/// A pattern, compiled once for many texts.
#[derive(Clone, Debug)]
pub struct CompiledGlob(WildMatch);

impl CompiledGlob {
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(WildMatch::new(pattern))
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}

/// Whether the whole of `text` matches `pattern`.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    CompiledGlob::new(pattern).matches(text)
}

#[cfg(test)]
mod tests {
    use super::glob;

    /// The page of `hookboxctl web` has a matcher of its own, which reads the same table.
    const CASES: &str = include_str!("../../tests/fixtures/globs.json");

    #[test]
    fn a_pattern_matches_whole_types() {
        let cases: Vec<(String, String, bool)> = serde_json::from_str(CASES).expect("a table");
        assert!(cases.len() > 20, "{}", cases.len());
        for (pattern, text, expected) in cases {
            assert_eq!(glob(&pattern, &text), expected, "{pattern} {text}");
        }
    }
}
