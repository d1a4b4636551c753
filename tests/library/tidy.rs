//! The rules of the house that the compiler does not know, as a test: no rule lives only in
//! somebody's head. Each failure prints the place and the sentence that explains the rule.

mod circles;
mod clocks;
mod contents;
mod names;
mod records;
mod rust;
mod shape;
pub mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rust::{Function, functions, tokens, without_tests, without_words};

/// What a module may know of the others: a module's name, or a path inside a module when only that
/// much may be known. A module always knows itself. `daemon` and the programs are the wiring and
/// know all; nobody knows them.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    // What is written and shown: on the command line, over the admin socket, in files.
    ("api", &["model"]),
    ("record", &["model"]),
    ("queue", &["model", "record"]),
    ("log", &["model", "record"]),
    ("scheduler", &["model", "record", "queue", "log"]),
    // Whether other users of the machine can change a path.
    ("trust", &[]),
    // What several share, so that nobody takes all.
    ("permits", &[]),
    // What X.509 certificates say, and the files that hold them.
    ("certificates", &[]),
    ("config", &["model", "trust"]),
    // What the programs that run for long share: log lines, exit codes, the service manager.
    ("service", &["model", "config"]),
    ("ingest", &["model", "scheduler", "config", "permits", "certificates", PROTOCOL]),
    ("outbound", &["model", "scheduler", "config", "trust", "permits", "certificates", PROTOCOL]),
    // The log without a daemon: copies, exports and what can be salvaged, for the ctl alone.
    ("archive", &["model", "api", "record", "queue", "log", "trust"]),
    (
        "admin",
        &[
            "model",
            "api",
            "record",
            "scheduler",
            "log",
            "config",
            "permits",
            "ingest::verify",
            "ingest::identity",
            "service",
            PROTOCOL,
        ],
    ),
    // Of ingest the table of schemes, which `source schemes` shows without a daemon.
    (
        "ctl",
        &[
            "model",
            "api",
            "config",
            "archive",
            "service::signals",
            "service::stdio",
            "ingest::verify",
        ],
    ),
    // The bridge to NATS is a client of the admin socket, and of who serves that as the ctl is.
    ("nats", &["model", "api", "config", "service", "ctl::server_identity"]),
];

/// The queue's words, which the scheduler's handle speaks: what is asked and answered, not how it
/// is decided.
const PROTOCOL: &str = "queue::{protocol}";
#[rustfmt::skip]
const PROTOCOL_NAMES: &[&str] = &[
    // Requests.
    "QueueRequest", "AcknowledgeDamage",
    "CancelDeliveries", "CreateEndpoint", "CreateSource", "DeleteEndpoint",
    "DeleteSource", "DiscardDeadLetters", "HoldEndpoint", "ImportEvents", "ReleaseEndpoint",
    "RetryDeliveries", "StartReplay", "StopReplay", "UpdateEndpoint", "UpdateSource",
    "ApplySettings", "ExpectedSettings", "SettingsApplied",
    // Questions.
    "CancelCheckQuery", "CandidatesQuery", "CountQuery", "DeadLetterSeqsQuery", "DeadOfQuery",
    "DeliveriesQuery", "EndpointsQuery", "EventsQuery", "ExplainQuery", "GoneQuery",
    "ImportedQuery", "LastDeliveryQuery", "MovedEventsQuery", "OldestDeadLetterSeqsQuery",
    "OrphansQuery", "EndedReplaysQuery", "RelocatedQuery", "ReplaysQuery", "RetryCheckQuery",
    "RetryingQuery", "StatusQuery", "WorstQuery",
    // What they hold, and what is answered.
    "Accepted", "AcknowledgedDamage", "Candidates", "DeliveriesChanged", "DeliverySnapshot",
    "EndpointActivity", "EndpointSnapshot", "EventSnapshot", "Explanation", "GoneRecords",
    "ImportedDead", "ImportedEvent", "input", "Keys", "left_out", "NewEvent", "Orphans",
    "OWN_SOURCE", "Refusal", "RetrySnapshot", "Revive", "Status", "WaitReason", "WorstEndpoints",
    // Reports.
    "Action", "Input",
];

/// One source file, read and cleaned.
struct Source {
    /// Relative to `src/`, e.g. `log/mod.rs`; relative to the repository where it is from
    /// [`all_sources`].
    name: String,
    raw: String,
    /// Without comments, the contents of strings, and test modules.
    code: String,
}

impl Source {
    /// The top-level module it stands in: `log` for `log/mod.rs`, `config` for `config.rs`, `lib`
    /// for `lib.rs`.
    fn top_module(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Its module path, e.g. `["log", "segment"]`.
    fn module(&self) -> Vec<String> {
        let stem = self.name.trim_end_matches(".rs");
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        stem.split('/').filter(|part| *part != "lib").map(ToOwned::to_owned).collect()
    }

    fn functions(&self) -> Vec<Function> {
        functions(&self.code)
    }

    /// How many of these lines have code in them.
    fn code_lines(&self, lines: std::ops::Range<usize>) -> usize {
        let code = self.code.lines().skip(lines.start).take(lines.len());
        let raw = self.raw.lines().skip(lines.start);
        code.zip(raw).filter(|(code, raw)| !code.trim().is_empty() || raw.contains('"')).count()
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

/// Every file of Rust in the repository, tests included.
fn all_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "benches", "fuzz/fuzz_targets", "examples"];
    let paths = folders.iter().flat_map(|folder| files(&root.join(folder)));
    let mut found: Vec<Source> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let name = path.strip_prefix(root).expect("below it").to_string_lossy().into_owned();
            let raw = std::fs::read_to_string(&path).expect("a readable file");
            let code = without_words(&raw);
            Source { name, raw, code }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Tests beside the code: `tests.rs`, or a file in a folder `tests`. They may know and do what they
/// need.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .flatten()
        .map(|e| e.path())
        .flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] })
        .collect()
}

/// Fails with all places at once, and why they are wrong.
fn report(rule: &str, mut broken: Vec<String>) {
    broken.sort();
    broken.dedup();
    assert!(broken.is_empty(), "\n{rule}\n  {}\n", broken.join("\n  "));
}

#[test]
fn modules_know_only_whom_they_may_know() {
    let mut broken = Vec::new();
    for source in sources() {
        let module = source.top_module().to_owned();
        if matches!(module.as_str(), "lib" | "bin" | "daemon") {
            continue;
        }

        let Some((_, allowed)) = MAY_KNOW.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("src/{}: the module '{module}' is not in the table", source.name));
            continue;
        };

        for path in known_paths(&source) {
            if path[0] != module && !allowed.iter().any(|rule| permits(rule, &path)) {
                broken.push(format!("src/{} uses crate::{}", source.name, path.join("::")));
            }
        }
    }
    report(
        "A module knows only those below it (the table stands in tests/library/tidy.rs): what \
         decides does not know what performs, and nothing knows the wiring. Go through \
         scheduler::Handle, or move the noun down to model.",
        broken,
    );
}

/// Whether `rule` (`model`, `ingest::verify`, the protocol) covers a path.
fn permits(rule: &str, path: &[String]) -> bool {
    if rule == PROTOCOL {
        return path[0] == "queue"
            && path.get(1).is_some_and(|name| PROTOCOL_NAMES.contains(&name.as_str()));
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
                (module[..keep].to_vec(), next)
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
fn leaves(
    tokens: &[String],
    at: usize,
    base: &[String],
    found: &mut BTreeSet<Vec<String>>,
) -> usize {
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
    let naming: Vec<String> = sources()
        .iter()
        .filter(|s| names_crate(&s.code, "sled"))
        .map(|s| format!("src/{}", s.name))
        .collect();
    let broken = if naming.len() > 1 { naming } else { Vec::new() };
    report(
        "The store is a decision of the log module: sled stands in one file, so that it can be \
         replaced.",
        broken,
    );
}

#[test]
fn crates_stay_in_their_modules() {
    let mut broken = Vec::new();
    for source in sources() {
        let module = source.top_module();
        let mut never = |name: &str, modules: &[&str], inside: bool| {
            if modules.contains(&module) == inside && names_crate(&source.code, name) {
                broken.push(format!("src/{} names {name}", source.name));
            }
        };

        never("tokio", &["model", "api", "record", "queue", "log"], true);
        for name in ["hyper", "hyper_util", "http_body_util"] {
            never(name, &["ingest", "outbound", "admin", "ctl", "service", "nats"], false);
        }
        never("sled", &["log"], false);
        never("wildmatch", &["model"], false);
        never("async_nats", &["nats"], false);
    }

    report(
        "What decides and remembers is synchronous and testable without a runtime (no tokio in \
         model, api, record, queue, log); HTTP is spoken only in ingest, outbound, admin, ctl, \
         nats and the listener of service; sled only in log, async_nats only in nats; there is one \
         pattern language, model::glob.",
        broken,
    );
}

/// How often `what` stands there as a path of its own: `rand::` in `rand::rng()`, not in
/// `operand::x`.
fn occurrences(code: &str, what: &str) -> usize {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(what).filter(|(at, _)| begins(*at)).count()
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
    let source = Source {
        name: "scheduler/step.rs".into(),
        raw: String::new(),
        code: without_tests(&without_words(code)),
    };
    let found: Vec<String> = known_paths(&source).iter().map(|p| p.join("::")).collect();
    let wanted = [
        "admin::run",
        "ingest::verify",
        "log",
        "model::Seq",
        "model::id",
        "queue::input",
        "record::encode",
    ];
    assert_eq!(found, wanted);

    assert!(names_crate("use sled::Db;", "sled") && names_crate("fn f(d: sled::Db) {}", "sled"));
    assert!(!names_crate("let is_sled = 1; x::sled::y();", "sled"));
    assert_eq!(occurrences("operand::x(); rand::rng()", "rand::"), 1);
}
