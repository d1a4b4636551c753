//! The shape of the text: short files, short functions, paragraphs, lines that fit beside each
//! other.

use super::{all_sources, report};

/// The longest file.
const FILE_LINES: usize = 500;
/// The longest function, counted without blank lines and comments, so that paragraphs cost nothing.
const FUNCTION_LINES: usize = 60;
/// From so many lines on a function is read in paragraphs.
const PARAGRAPH_LINES: usize = 20;
const COLUMNS: usize = 100;

/// Functions that may be longer, and why: (file, function, reason).
const LONG_FUNCTIONS: &[(&str, &str, &str)] =
    &[("src/queue/folding/fold.rs", "fold", "one arm for each record, and none for all others")];

#[test]
fn files_are_short() {
    let mut broken = Vec::new();
    for source in all_sources() {
        let lines = source.raw.lines().count();
        if lines > FILE_LINES {
            broken.push(format!("{} has {lines} lines", source.name));
        }
    }

    report(
        "A file holds one concept and has at most 500 lines, tests included: cut it where its \
         parts meet. Long tests move into a folder `tests` of their own, one file a question.",
        broken,
    );
}

#[test]
fn functions_are_short() {
    let mut broken = Vec::new();
    for source in all_sources() {
        for function in source.functions() {
            let lines = source.code_lines(function.body.clone());
            let excused = LONG_FUNCTIONS
                .iter()
                .any(|(file, name, _)| *file == source.name && *name == function.name);
            if lines > FUNCTION_LINES && !excused {
                broken.push(format!(
                    "{}:{} {} has {lines} lines of code",
                    source.name,
                    function.line + 1,
                    function.name
                ));
            }
        }
    }

    report(
        "A function does one thing and has at most 60 lines of code: give its parts names. One \
         that is better in one piece stands in LONG_FUNCTIONS in tests/library/tidy/shape.rs, \
         with the reason.",
        broken,
    );
}

#[test]
fn functions_are_read_in_paragraphs() {
    let mut broken = Vec::new();
    for source in all_sources() {
        let lines: Vec<&str> = source.raw.lines().collect();
        for function in source.functions() {
            let body = &lines[function.body.clone()];
            let unbroken =
                body.len() >= PARAGRAPH_LINES && body.iter().all(|line| !line.trim().is_empty());
            if unbroken {
                broken.push(format!(
                    "{}:{} {} has {} lines without a pause",
                    source.name,
                    function.line + 1,
                    function.name,
                    body.len()
                ));
            }
        }
    }

    report(
        "A function of 20 lines and more has blank lines between its thoughts, and a comment \
         where the reason of a step is not plain.",
        broken,
    );
}

#[test]
fn lines_fit_beside_each_other() {
    let mut broken = Vec::new();
    for source in all_sources() {
        for (at, line) in source.raw.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS && !may_be_long(line) {
                broken.push(format!("{}:{} has {columns} columns", source.name, at + 1));
            }
        }
    }

    report(
        "A line has at most 100 columns, comments and strings too: wrap it (`\\` at the end of a \
         line of a string).",
        broken,
    );
}

/// An address, a vector of a provider and a row of a table cannot be wrapped.
fn may_be_long(line: &str) -> bool {
    let comment = line.trim_start().trim_start_matches(['/', '!']).trim_start();
    comment.starts_with('|') || line.split_whitespace().any(|word| word.chars().count() > 60)
}
