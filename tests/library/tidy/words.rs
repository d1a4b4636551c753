//! The words of names, comments and messages.

use super::{all_sources, report};

/// Words of our own that a reader from outside would have to learn, and the one of the glossary.
/// Neither sources, nor tests, nor documents use them.
pub const OWN_WORDS: &[(&str, &str)] = &[
    ("way in", "source"),
    ("ways in", "sources"),
    ("way out", "endpoint"),
    ("ways out", "endpoints"),
    ("told", "reported, notified, recorded"),
    ("heard", "received, known"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("carry", "hold, send, relocate"),
    ("carries", "holds, sends, relocates"),
    ("carried", "held, sent, relocated"),
    ("grave", "dead letter number"),
    ("graves", "dead letter numbers"),
    ("shelf", "segment set"),
    ("spared", "uncounted"),
    ("doubtful", "on probation"),
    ("judge", "classify"),
    ("fare", "health"),
    ("prelude", "preamble"),
    ("seam", "adapter, boundary"),
    ("seams", "adapters, boundaries"),
    ("not add up", "inconsistency"),
];
/// Files that name them: this list, and the names that old logs have.
const THAT_NAME_THEM: &[&str] = &[
    "src/record/sieve.rs",
    "src/record/tests.rs",
    "tests/library/format.rs",
    "tests/library/format/records.rs",
    "tests/library/tidy/words.rs",
];

#[test]
fn names_and_comments_use_the_words_of_the_glossary() {
    let mut broken = Vec::new();
    let sources = all_sources();
    let may_use = |name: &str| THAT_NAME_THEM.contains(&name);
    for source in sources.iter().filter(|source| !may_use(&source.name)) {
        for (at, line) in source.raw.lines().enumerate() {
            // What is stored keeps its name, and crates have their own.
            if line.contains("rename = \"") || line.contains("prelude::") {
                continue;
            }
            let words = words(line).replace(" under way ", " ").replace(" for way in ", " ");
            for (own, right) in OWN_WORDS.iter().filter(|(own, _)| has(&words, own)) {
                broken.push(format!("{}:{} says '{own}': {right}", source.name, at + 1));
            }
        }
    }

    report(
        "Names, comments and messages use the words of docs/internals/glossary.md, so that nobody \
         has to learn ours first.",
        broken,
    );
}

/// The words of a line, in lower case and with a blank around each: those of names are taken apart
/// at underscores and capitals.
pub fn words(line: &str) -> String {
    let mut words = String::from(" ");
    for c in line.chars() {
        if c.is_uppercase() {
            words.push(' ');
        }
        if c.is_alphanumeric() {
            words.extend(c.to_lowercase());
        } else {
            words.push(' ');
        }
    }
    let words: Vec<&str> = words.split_whitespace().collect();
    format!(" {} ", words.join(" "))
}

/// Whether these words have this one, or these in a row.
pub fn has(words: &str, own: &str) -> bool {
    words.contains(&format!(" {own} "))
}

#[test]
fn the_reader_of_words_is_not_fooled() {
    assert_eq!(
        words("let is_told = TellTale::new(); // ways  in"),
        " let is told tell tale new ways in "
    );
    assert!(has(&words("fn make_way_in()"), "way in") && !has(&words("always in"), "ways in"));
}
