//! The rules of the house that the compiler does not know, as a test: no rule lives only in somebody's head.
//! Each failure prints the place and the sentence that explains the rule.
#![allow(clippy::disallowed_methods, reason = "the seams are the product's")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a room may know of the others: a room's name, or a path inside a room when only that much may be known.
/// A room always knows itself. `daemon` and the programs are the wiring and know all; nobody knows them.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("record", &["model"]),
    ("queue", &["model", "record"]),
    ("log", &["model", "record"]),
    ("scheduler", &["model", "record", "queue", "log"]),
    ("config", &["model"]),
    ("ingest", &["model", "scheduler", "config", PROTOCOL]),
    ("outbound", &["model", "scheduler", "config", PROTOCOL]),
    // The log without a daemon: copies, exports and what can be salvaged, for the ctl alone.
    ("archive", &["model", "record", "queue", "log"]),
    ("admin", &["model", "record", "scheduler", "log", "config", "ingest::verify", "ingest::facts", PROTOCOL]),
    ("ctl", &["model", "config", "archive"]),
];

/// The queue's words, which the scheduler's handle speaks: what is asked and answered, not how it is decided.
const PROTOCOL: &str = "queue::{protocol}";
const PROTOCOL_NAMES: &[&str] = &[
    "Accepted",
    "Action",
    "Command",
    "DeliveryView",
    "EndpointView",
    "EventView",
    "ImportedDead",
    "ImportedEvent",
    "Explanation",
    "FlowView",
    "Input",
    "NewEvent",
    "OWN_SOURCE",
    "Query",
    "Reason",
    "Refusal",
    "Reply",
    "RetryView",
    "Revive",
    "Status",
    "input",
];

/// Where clocks and randomness may be read: (file or room, what, why it is a seam).
const SEAMS: &[(&str, &str, &str)] = &[
    ("daemon/", "SystemTime::now", "the one reading of the wall clock, handed on as Now"),
    ("daemon/", "Instant::now", "the one reading of the monotonic clock, handed on as Now"),
    ("daemon/", "rand::", "the seed of the queue's generator"),
    ("ctl/lists.rs", "SystemTime::now", "the ctl is a program of its own: `--since 2h` counts from its clock"),
    ("queue/", "rand::", "the generator is seeded from outside: same seed, same decisions"),
    (
        "ingest/connection.rs",
        "Instant::now",
        "a connection's idle timer, wound up again; it decides nothing that is remembered",
    ),
    ("ctl/lists.rs", "SystemTime::now", "people read relative times, on their side of the socket"),
    ("log/segment.rs", "thread::sleep", "sled lets go of its lock a moment after it was closed, and tells nobody"),
];

/// Files that may be longer than 500 lines, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// One source file, read and cleaned.
struct Source {
    /// Relative to `src/`, e.g. `log/mod.rs`.
    name: String,
    raw: String,
    /// Without comments, the contents of strings, and test modules.
    code: String,
}

impl Source {
    /// The room it stands in: `log` for `log/mod.rs`, `config` for `config.rs`, `lib` for `lib.rs`.
    fn room(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Its module path, e.g. `["log", "segment"]`.
    fn module(&self) -> Vec<&str> {
        let stem = self.name.trim_end_matches(".rs");
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        stem.split('/').filter(|part| *part != "lib").collect()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found: Vec<Source> = files(&root)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .filter(|path| !is_test(path))
        .map(|path| {
            let name = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
            let raw = std::fs::read_to_string(&path).expect("a readable file");
            let code = without_tests(&without_words(&raw));
            Source { name, raw, code }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// Tests beside the code: `tests.rs`, or a file in a folder `tests`. They may know and do what they need.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.flatten().map(|e| e.path()).flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

/// Fails with all places at once, and why they are wrong.
fn report(rule: &str, mut broken: Vec<String>) {
    broken.sort();
    broken.dedup();
    assert!(broken.is_empty(), "\n{rule}\n  {}\n", broken.join("\n  "));
}

#[test]
fn rooms_know_only_whom_they_may_know() {
    let mut broken = Vec::new();
    for source in sources() {
        let room = source.room().to_owned();
        if matches!(room.as_str(), "lib" | "bin" | "daemon") {
            continue;
        }
        let Some((_, allowed)) = MAY_KNOW.iter().find(|(name, _)| *name == room) else {
            broken.push(format!("src/{}: the room '{room}' is not in the table", source.name));
            continue;
        };
        for path in known_paths(&source) {
            if path[0] != room && !allowed.iter().any(|rule| permits(rule, &path)) {
                broken.push(format!("src/{} uses crate::{}", source.name, path.join("::")));
            }
        }
    }
    report(
        "A room knows only those below it (the table stands in tests/tidy.rs): what decides does not know what performs, \
         and nothing knows the wiring. Go through scheduler::Handle, or move the noun down to model.",
        broken,
    );
}

/// Whether `rule` (`model`, `ingest::verify`, the protocol) covers a path.
fn permits(rule: &str, path: &[String]) -> bool {
    if rule == PROTOCOL {
        return path[0] == "queue" && path.get(1).is_some_and(|name| PROTOCOL_NAMES.contains(&name.as_str()));
    }
    let mut parts = rule.split("::");
    path.iter().zip(&mut parts).all(|(a, b)| a == b) && parts.next().is_none()
}

/// Every path of this crate that a file names, from the crate's root, at most two names deep.
fn known_paths(source: &Source) -> BTreeSet<Vec<String>> {
    let tokens = tokens(&source.code);
    let module = source.module();
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let (base, next) = match tokens[at].as_str() {
            "crate" | "hookbox" if follows(&tokens, at + 1) => (Vec::new(), at + 2),
            "super" if follows(&tokens, at + 1) && (at == 0 || tokens[at - 1] != "::") => {
                let mut ups = 0;
                let mut next = at;
                while tokens.get(next).is_some_and(|t| t == "super") && follows(&tokens, next + 1) {
                    ups += 1;
                    next += 2;
                }
                let keep = module.len().saturating_sub(ups);
                (module[..keep].iter().map(ToString::to_string).collect(), next)
            }
            _ => {
                at += 1;
                continue;
            }
        };
        leaves(&tokens, next, &base, &mut found);
        at = next;
    }
    found
}

fn follows(tokens: &[String], at: usize) -> bool {
    tokens.get(at).is_some_and(|t| t == "::")
}

/// Adds what a path that goes on at `at` names: one name, or a group in braces.
fn leaves(tokens: &[String], at: usize, base: &[String], found: &mut BTreeSet<Vec<String>>) -> usize {
    match tokens.get(at).map(String::as_str) {
        Some("{") => {
            let mut next = at + 1;
            while tokens.get(next).is_some_and(|t| t != "}") {
                next = leaves(tokens, next, base, found);
                if tokens.get(next).is_some_and(|t| t == ",") {
                    next += 1;
                }
            }
            next + 1
        }
        Some(name) => {
            let mut path = base.to_vec();
            path.push(name.to_owned());
            if path.len() < 2 && follows(tokens, at + 1) {
                return leaves(tokens, at + 2, &path, found);
            }
            found.insert(path);
            let mut next = at + 1;
            while follows(tokens, next) {
                let mut ignored = BTreeSet::new();
                next = leaves(tokens, next + 1, &[String::new(), String::new()], &mut ignored);
            }
            if tokens.get(next).is_some_and(|t| t == "as") { next + 2 } else { next }
        }
        None => at + 1,
    }
}

/// Names, `::`, and single characters.
fn tokens(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            found.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    found
}

/// Whether the code names this crate: `sled::`, `use sled`, not `is_sled`.
fn names_crate(code: &str, name: &str) -> bool {
    let tokens = tokens(code);
    tokens.iter().enumerate().any(|(at, t)| {
        let inside_path = at > 0 && tokens[at - 1] == "::";
        let in_use = at > 0 && tokens[at - 1] == "use";
        t == name && !inside_path && (in_use || follows(&tokens, at + 1))
    })
}

#[test]
fn sled_is_named_in_one_file() {
    let naming: Vec<String> =
        sources().iter().filter(|s| names_crate(&s.code, "sled")).map(|s| format!("src/{}", s.name)).collect();
    let broken = if naming.len() > 1 { naming } else { Vec::new() };
    report("The store is a decision of the log room: sled stands in one file, so that it can be replaced.", broken);
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut broken = Vec::new();
    for source in sources() {
        let room = source.room();
        let mut never = |name: &str, rooms: &[&str], inside: bool| {
            if rooms.contains(&room) == inside && names_crate(&source.code, name) {
                broken.push(format!("src/{} names {name}", source.name));
            }
        };
        never("tokio", &["model", "record", "queue", "log"], true);
        for name in ["hyper", "hyper_util", "http_body_util"] {
            never(name, &["ingest", "outbound", "admin", "ctl"], false);
        }
        never("sled", &["log"], false);
    }
    report(
        "What decides and remembers is synchronous and testable without a runtime (no tokio in model, record, queue, \
         log); HTTP is spoken only in ingest, outbound, admin and ctl; sled only in log.",
        broken,
    );
}

#[test]
fn clocks_and_randomness_are_read_at_their_seams() {
    let mut broken = Vec::new();
    let sources = sources();
    for (place, what, _) in SEAMS {
        if !sources.iter().any(|s| s.name.starts_with(place) && occurrences(&s.code, what) > 0) {
            broken.push(format!("src/{place} has no {what} any more: take it off SEAMS"));
        }
    }
    for source in sources {
        for what in ["SystemTime::now", "Instant::now", "rand::", "thread::sleep"] {
            let found = occurrences(&source.code, what);
            let seam = SEAMS.iter().any(|(place, which, _)| source.name.starts_with(place) && *which == what);
            if found > 0 && !seam {
                broken.push(format!("src/{} has {what}", source.name));
            }
        }
    }
    report(
        "Time and randomness come in as arguments (model::Now, the queue's seeded generator), so that the same inputs \
         give the same story. A new seam needs a line in SEAMS in tests/tidy.rs that says why it is one.",
        broken,
    );
}

/// How often `what` stands there as a path of its own: `rand::` in `rand::rng()`, not in `operand::x`.
fn occurrences(code: &str, what: &str) -> usize {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(what).filter(|(at, _)| begins(*at)).count()
}

#[test]
fn nothing_is_left_undone() {
    let mut broken = Vec::new();
    for source in sources() {
        for word in ["todo!", "dbg!", "unimplemented!"] {
            if occurrences(&source.code, word) > 0 {
                broken.push(format!("src/{} has {word}", source.name));
            }
        }
    }
    report("Unfinished code does not stand in the main line: finish it, or refuse with a typed error.", broken);
}

#[test]
fn every_ignored_test_says_why() {
    let mut broken = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests", "benches"] {
        for path in files(&root.join(folder)).iter().filter(|p| p.extension().is_some_and(|e| e == "rs")) {
            let text = std::fs::read_to_string(path).expect("a readable file");
            let bare = text.lines().filter(|l| l.trim_start().starts_with(concat!("#[ign", "ore]"))).count();
            if bare > 0 {
                broken.push(path.strip_prefix(root).unwrap_or(path).display().to_string());
            }
        }
    }
    report("A test that is left out says why and who runs it: #[ignore = \"…\"].", broken);
}

#[test]
fn files_are_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = lines_without_tests(&source.raw);
        let known = LONG_FILES.iter().any(|(name, _)| *name == source.name);
        match (lines > 500, known) {
            (true, false) => broken.push(format!("src/{} has {lines} lines", source.name)),
            (false, true) => broken.push(format!("src/{} is short again: take it off LONG_FILES", source.name)),
            _ => {}
        }
    }
    report(
        "A file holds one concept and stays under 500 lines without its tests: cut it where its parts meet.",
        broken,
    );
}

fn lines_without_tests(raw: &str) -> usize {
    raw.find("\n#[cfg(test)]\nmod ").map_or(raw, |at| &raw[..at]).lines().count()
}

#[test]
fn every_room_opens_with_its_manual() {
    let missing = sources().iter().filter(|s| !s.raw.starts_with("//!")).map(|s| format!("src/{}", s.name)).collect();
    report("Every file opens with a line that says what it is (//! …).", missing);
}

// --- reading Rust just well enough ---------------------------------------------------------------------------

/// The code with comments, the contents of strings and characters blanked out; lines stay where they are.
fn without_words(raw: &str) -> String {
    let bytes: Vec<char> = raw.chars().collect();
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match (bytes[at], bytes.get(at + 1)) {
            ('/', Some('/')) => find(&bytes, at, |b, i| b[i] == '\n'),
            ('/', Some('*')) => block_comment_end(&bytes, at),
            ('r', Some('"' | '#')) if !ends_in_name(&out) => raw_string_end(&bytes, at),
            ('"', _) => quoted_end(&bytes, at, '"'),
            ('\'', _) => char_end(&bytes, at),
            _ => at,
        };
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn ends_in_name(out: &str) -> bool {
    out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn find(text: &[char], from: usize, stop: impl Fn(&[char], usize) -> bool) -> usize {
    (from..text.len()).find(|&i| stop(text, i)).unwrap_or(text.len())
}

fn block_comment_end(text: &[char], from: usize) -> usize {
    find(text, from + 2, |t, i| t[i] == '*' && t.get(i + 1) == Some(&'/')).saturating_add(2).min(text.len())
}

fn quoted_end(text: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The end of `r"…"` or `r#"…"#`; `from` itself when it is a raw name (`r#type`).
fn raw_string_end(text: &[char], from: usize) -> usize {
    let hashes = text[from + 1..].iter().take_while(|c| **c == '#').count();
    if text.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let closes = |t: &[char], i: usize| t[i] == '"' && (1..=hashes).all(|n| t.get(i + n) == Some(&'#'));
    (find(text, from + 2 + hashes, closes) + 1 + hashes).min(text.len())
}

/// The end of `'x'` or `'\n'`; `from` itself for a lifetime.
fn char_end(text: &[char], from: usize) -> usize {
    match (text.get(from + 1), text.get(from + 2)) {
        (Some('\\'), _) => quoted_end(text, from, '\''),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// The code without what stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let open = item.find(['{', ';']).unwrap_or(item.len());
        let end = if item[open..].starts_with('{') { open + closing(&item[open..]) } else { open };
        rest = item.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn closing(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn the_reader_of_rust_is_not_fooled() {
    let code = r##"
        // crate::daemon in a comment, a quote " and more
        use crate::{model::{Seq, id::EventId}, log as l, queue::input::Query};
        use super::super::ingest::verify;
        const X: &str = "crate::daemon"; const Y: &str = r#"crate::daemon"#; const Q: char = '"';
        fn f<'a>(x: &'a str) { crate::record::encode(x); }
        #[cfg(test)]
        mod tests { use crate::daemon; }
        fn after() { crate::admin::run() }
    "##;
    let source =
        Source { name: "scheduler/step.rs".into(), raw: String::new(), code: without_tests(&without_words(code)) };
    let found: Vec<String> = known_paths(&source).iter().map(|p| p.join("::")).collect();
    let wanted = ["admin::run", "ingest::verify", "log", "model::Seq", "model::id", "queue::input", "record::encode"];
    assert_eq!(found, wanted);
    assert!(names_crate("use sled::Db;", "sled") && names_crate("fn f(d: sled::Db) {}", "sled"));
    assert!(!names_crate("let is_sled = 1; x::sled::y();", "sled"));
    assert_eq!(occurrences("operand::x(); rand::rng()", "rand::"), 1);
}
