//! The one pattern language over event types: `*` matches any run of characters, `?` one character.

use wildmatch::WildMatch;

/// Whether the whole of `text` matches `pattern`.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
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
