//! What may be done in a few named places only: reading clocks and randomness, and looking at how a
//! URL begins.

use super::{occurrences, report, sources};

/// Where clocks and randomness may be read: (file or module, what, why).
const MAY_READ: &[(&str, &str, &str)] = &[
    ("service/clock.rs", "SystemTime::now", "the one reading of the wall clock, handed on as Now"),
    (
        "service/clock.rs",
        "Instant::now",
        "the one reading of the monotonic clock, handed on as Now",
    ),
    ("daemon/", "rand::", "the seed of the queue's generator"),
    (
        "outbound/exec/supervise.rs",
        "Instant::now",
        "a process beside a command: how long what it killed may take to be gone",
    ),
    (
        "outbound/exec/supervise.rs",
        "thread::sleep",
        "a process beside a command: it has nothing else to do meanwhile",
    ),
    ("outbound/exec/leftovers.rs", "Instant::now", "how long what was killed may take to be gone"),
    (
        "outbound/exec/leftovers.rs",
        "thread::sleep",
        "a thread that has nothing else to do until what it killed is gone",
    ),
    (
        "ctl/clock.rs",
        "SystemTime::now",
        "the ctl is a program of its own: `--since 2h` counts from its clock",
    ),
    ("ctl/web/session.rs", "rand::", "nobody may guess the token and the cookie of the page"),
    ("queue/", "rand::", "the generator is seeded from outside: same seed, same decisions"),
    (
        "ingest/connection.rs",
        "Instant::now",
        "a connection's idle timer, wound up again; it decides nothing that is remembered",
    ),
    (
        "log/database.rs",
        "thread::sleep",
        "sled frees its lock a moment after it was closed, and signals nothing",
    ),
];

#[test]
fn clocks_and_randomness_are_read_in_few_files() {
    let mut broken = Vec::new();
    let sources = sources();
    for (place, what, _) in MAY_READ {
        if !sources.iter().any(|s| s.name.starts_with(place) && occurrences(&s.code, what) > 0) {
            broken.push(format!("src/{place} has no {what} any more: take it off MAY_READ"));
        }
    }

    for source in sources {
        for what in ["SystemTime::now", "Instant::now", "rand::", "thread::sleep"] {
            let found = occurrences(&source.code, what);
            let may_read = MAY_READ
                .iter()
                .any(|(place, which, _)| source.name.starts_with(place) && *which == what);
            if found > 0 && !may_read {
                broken.push(format!("src/{} has {what}", source.name));
            }
        }
    }
    report(
        "Time and randomness come in as arguments (model::Now, the queue's seeded generator), so \
         that the same inputs give the same story. A file that has to read them needs a line in \
         MAY_READ in tests/library/tidy/clocks.rs that says why.",
        broken,
    );
}

#[test]
fn nothing_is_printed_with_the_macros_that_panic() {
    let mut broken = Vec::new();
    for source in sources() {
        for what in ["print!(", "println!(", "eprint!(", "eprintln!(", "dbg!("] {
            if occurrences(&source.code, what) > 0 {
                broken.push(format!("src/{} has {what}…)", source.name));
            }
        }
    }
    report(
        "The macros that print end the program where nobody reads what they print (a closed pipe, \
         a full disk), and its exit code is lost. Use service::stdio, or the Output of the ctl.",
        broken,
    );
}

/// Where the beginning of a URL may be tested: (file or folder, why).
const URL_PREFIXES: &[(&str, &str)] = &[
    ("model/target.rs", "the parser of an endpoint's URL"),
    ("model/url_text.rs", "takes the text of any URL apart, for what people are shown"),
    ("ingest/", "URLs of providers: key sets, certificates, confirmations"),
    ("config/listen.rs", "addresses to listen on, which are not targets"),
    ("admin/resources/sources.rs", "the same, in the URL that a source is shown with"),
];

/// How the URLs of endpoints begin (`pull:`), by the table at the head of their parser.
fn url_schemes() -> Vec<String> {
    let parser = sources().into_iter().find(|source| source.name == "model/target.rs");
    let manual = parser.expect("the parser of an endpoint's URL").raw;
    let rows = manual.lines().take_while(|line| line.starts_with("//!"));
    let urls = rows.filter_map(|row| row.strip_prefix("//! | `")?.split('`').next());
    let schemes: Vec<String> =
        urls.filter_map(|url| Some(format!("{}:", url.split_once(':')?.0))).collect();
    assert!(schemes.contains(&"pull:".to_owned()), "the table in model/target.rs: {schemes:?}");
    schemes
}

#[test]
fn only_the_parser_looks_at_how_a_url_begins() {
    let schemes = url_schemes();
    let tests_prefix = |line: &str| {
        schemes.iter().any(|scheme| {
            ["starts_with(\"", "strip_prefix(\"", "== \""]
                .iter()
                .any(|test| line.contains(&format!("{test}{scheme}")))
        })
    };

    let mut broken = Vec::new();
    for source in sources() {
        if URL_PREFIXES.iter().any(|(place, _)| source.name.starts_with(place)) {
            continue;
        }
        let code = source.raw.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, line) in code.lines().enumerate() {
            if tests_prefix(line) && !line.trim_start().starts_with("//") {
                broken.push(format!("src/{}:{}", source.name, at + 1));
            }
        }
    }

    report(
        "What kind of target an endpoint has is asked of model::Target, which is parsed once: a \
         new kind of target is a variant there, and nothing else tests how a URL begins.",
        broken,
    );
}
