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

    #[test]
    fn a_pattern_matches_whole_types() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("push", "push", true),
            ("push", "pushed", false),
            ("invoice.*", "invoice.paid", true),
            ("invoice.?", "invoice.paid", false),
            ("*.paid", "invoice.paid", true),
            ("i?voice*d", "invoice.paid", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a**", "a", true),
            ("?", "", false),
            ("é?", "éa", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
