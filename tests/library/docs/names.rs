//! Names in the documents are names in the code: options, keys of the configuration, limits,
//! metrics, notices, tests.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Command, CommandFactory};
use hookbox::api::apply::FileFormat;
use hookbox::api::{ConfigurationSet, EndpointSpec, SourceSpec, Spec};
use hookbox::config::Config;
use hookbox::config::args::Args;
use hookbox::ctl::args::Cli;

use super::page::{self, Page, files, read, root};
use super::report;

/// Options of other programs that the documents name.
const FOREIGN: &[(&str, &str)] = &[
    ("--bin", "cargo"),
    ("--create", "hookbox-nats"),
    ("--events", "benchmarks"),
    ("--features", "cargo"),
    ("--ignored", "tests"),
    ("--include-ignored", "tests"),
    ("--lib", "cargo test"),
    ("--locked", "cargo"),
    ("--target", "cargo"),
    ("--no-default-features", "cargo"),
    ("--nocapture", "tests"),
    ("--open", "cargo doc"),
    ("--profile", "cargo"),
    ("--release", "cargo"),
    ("--test", "cargo"),
    ("--list", "just"),
    ("--unix-socket", "curl"),
];

/// Paths of the status's JSON that look like keys of the configuration.
const JSON_PATHS: &[&str] = &["log.damage"];

#[test]
fn options_that_are_named_exist() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    options(&Cli::command(), &mut known);
    options(&Args::command(), &mut known);
    known.extend(FOREIGN.iter().map(|(option, _)| (*option).to_owned()));

    let mut broken = Vec::new();
    for page in page::all() {
        for (number, code) in page.code_spans() {
            for word in
                code.split([' ', '(', '"']).filter(|word| word.starts_with("--") && word.len() > 2)
            {
                let option = word.split(['=', ',', ')', ']']).next().unwrap_or_default();
                if !known.contains(option) {
                    broken.push(format!("{}:{number} names {option}", page.name));
                }
            }
        }
    }

    report(
        "An option that a document names is one of the programs, or stands in FOREIGN.",
        &broken,
    );
}

/// An option that stands with its command (`dlq retry --all`) is one of that command's, and one
/// that the text gives to sources or endpoints ("endpoints `--from`", "`--rate` of the source") is
/// one of their settings.
#[test]
fn options_belong_to_what_they_are_named_with() {
    let root = Cli::command();
    let everywhere: Vec<_> = root.get_arguments().filter_map(clap::Arg::get_long).collect();
    let has = |command: &Command, option: &str| {
        let own = command.get_arguments().filter_map(clap::Arg::get_long);
        own.chain(everywhere.iter().copied()).chain(["help", "version"]).any(|own| own == option)
    };

    let mut broken = Vec::new();
    for page in page::all() {
        for (number, code) in page.code_spans() {
            let Some(command) = command_of(&root, &code) else { continue };
            let named = code.split(' ').filter_map(|word| word.strip_prefix("--"));
            let named = named.map(|word| word.split('=').next().unwrap_or_default());
            broken.extend(
                named
                    .filter(|option| !option.is_empty() && !has(command, option))
                    .map(|option| format!("{}:{number} `{code}`: no --{option}", page.name)),
            );
        }
        for (number, line) in page.lines() {
            for (noun, option) in options_of_nouns(line) {
                let group = root.find_subcommand(noun).expect("a group of commands");
                if !has(group.find_subcommand("create").expect("its first"), option) {
                    broken.push(format!("{}:{number}: {noun}s have no --{option}", page.name));
                }
            }
        }
    }

    report("An option belongs to the command or the thing that it is named with.", &broken);
}

/// The command that a span names, with or without the program's name before it.
fn command_of<'a>(root: &'a Command, code: &str) -> Option<&'a Command> {
    let words = code.strip_prefix("hookboxctl ").unwrap_or(code).split(' ');
    let mut command = root;
    for word in words {
        let Some(sub) = command.find_subcommand(word) else { break };
        command = sub;
    }
    (command.get_name() != root.get_name() && !command.has_subcommands()).then_some(command)
}

/// The options that a line gives to sources or endpoints.
fn options_of_nouns(line: &str) -> Vec<(&'static str, &str)> {
    let noun_of = |word: &str| match word {
        "source" | "sources" | "source's" => Some("source"),
        "endpoint" | "endpoints" | "endpoint's" => Some("endpoint"),
        _ => None,
    };
    let parts: Vec<&str> = line.split('`').collect();
    let mut found = Vec::new();
    let mut owner = None;

    for at in (1..parts.len()).step_by(2) {
        let before = parts[at - 1].trim();
        if !matches!(before, "and" | "or" | ",") {
            owner = before.rsplit(' ').next().and_then(noun_of);
        }
        let behind = parts.get(at + 1).copied().unwrap_or_default();
        let behind = behind.strip_prefix(" of the ").or_else(|| behind.strip_prefix(" of an "));
        let behind = behind.and_then(|text| text.split([' ', '.', ',', ';', ')']).next());

        let option = parts[at].strip_prefix("--").map(|code| code.split([' ', '=']).next());
        let noun = behind.and_then(noun_of).or(owner);
        found.extend(noun.zip(option.flatten()).filter(|(_, option)| !option.is_empty()));
    }
    found
}

#[test]
fn options_of_nouns_are_found() {
    assert_eq!(
        options_of_nouns("give endpoints `--from` and `--type`, or `--rate 5/s` of the source."),
        [("endpoint", "from"), ("endpoint", "type"), ("source", "rate")]
    );
    assert_eq!(options_of_nouns("a source with `--rate` in `hookboxctl endpoint list`"), []);
}

fn options(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(["--help".to_owned(), "--version".to_owned()]);
    known.extend(
        command.get_arguments().filter_map(|arg| arg.get_long()).map(|name| format!("--{name}")),
    );
    command.get_subcommands().for_each(|sub| options(sub, known));
}

/// The command line takes any text behind `--reset`, so that commands in the documents parse with
/// one that is not a setting.
#[test]
fn settings_that_are_reset_exist() {
    let mut broken = Vec::new();
    for page in page::all() {
        for (number, line) in page.lines() {
            for value in line.split("--reset ").skip(1) {
                let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                let name = value.split(|c| !is_name(c)).next().unwrap_or_default();
                let key = name.replace('-', "_");
                let is_there = match line {
                    line if line.contains("endpoint update") => EndpointSpec::KEYS.contains(&&*key),
                    line if line.contains("source update") => SourceSpec::KEYS.contains(&&*key),
                    _ => [EndpointSpec::KEYS, SourceSpec::KEYS].concat().contains(&&*key),
                };
                if !is_there && name != "NAME" {
                    broken.push(format!("{}:{number} resets {name}", page.name));
                }
            }
        }
    }
    report("A setting that a document resets is one of the sources or endpoints.", &broken);
}

#[test]
fn commands_named_in_the_text_exist() {
    let root = Cli::command();

    let mut broken = Vec::new();
    for page in page::all() {
        for (number, code) in page.code_spans() {
            let mut words = code.split(' ');
            // `log verify` and its like stand there without the program's name.
            let first = words.next().unwrap_or_default();
            let path: Vec<&str> = match first {
                "hookboxctl" => words.collect(),
                name => {
                    let group = root
                        .get_subcommands()
                        .find(|sub| sub.get_name() == name && sub.has_subcommands());
                    if group.is_none() {
                        continue;
                    }
                    code.split(' ').collect()
                }
            };

            if let Err(what) = walk(&root, &path) {
                broken.push(format!("{}:{number} names `{code}`: {what}", page.name));
            }
        }
    }

    report("A command that a document names in its text exists.", &broken);
}

/// Whether the words lead to a command: names of commands first, options and values behind them.
fn walk(root: &Command, path: &[&str]) -> Result<(), String> {
    let mut command = root;
    for word in path.iter().filter(|word| **word != "--json") {
        if !command.has_subcommands()
            || word.starts_with('-')
            || !word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        {
            return Ok(());
        }
        command =
            command.find_subcommand(word).ok_or_else(|| format!("there is no command {word}"))?;
    }
    Ok(())
}

/// The keys of the configuration, as `section.key`, from what `Config` says that it expects.
pub fn configuration_keys() -> Vec<String> {
    let mut keys = Vec::new();
    for name in expected("no_such_key = 1\n").expect("it takes no key of that name") {
        match expected(&format!("[{name}]\nno_such_key = 1\n")) {
            Some(inner) => keys.extend(inner.iter().map(|key| format!("{name}.{key}"))),
            None => keys.push(name),
        }
    }
    keys
}

/// The keys that stand in the error about an unknown one; `None` when the error is about something
/// else.
fn expected(text: &str) -> Option<Vec<String>> {
    let error = Config::parse(text, Path::new("x")).expect_err("a key that does not exist");
    let expected = error.what.strip_prefix("unknown field `no_such_key`: the fields here are ")?;
    Some(expected.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

#[test]
fn configuration_keys_that_are_named_exist() {
    let keys = configuration_keys();
    let sections: BTreeSet<&str> =
        keys.iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section).collect();

    let mut broken = Vec::new();
    for page in page::all() {
        for (number, code) in page.code_spans() {
            let (section, key) = match code.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            {
                Some((section, key)) => (section, key.trim()),
                None => code.split_once('.').unwrap_or_default(),
            };
            let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let full = format!("{section}.{key}");

            if !sections.contains(section) || !is_name(key) || JSON_PATHS.contains(&full.as_str()) {
                continue;
            }
            if !key.is_empty() && !keys.contains(&full) {
                broken.push(format!("{}:{number} names {full}", page.name));
            }
        }

        for block in page.blocks().iter().filter(|block| block.language == "toml") {
            let (text, file) = (block.lines.join("\n"), Path::new("the block"));
            if text.contains("[[out]]") || text.contains("[[in]]") || text.contains("[nats]") {
                broken.extend(bridge_error(&text, &page.name, block.number));
                continue;
            }
            let error = match text.starts_with("[source.") || text.starts_with("[endpoint.") {
                true => ConfigurationSet::parse(&text, FileFormat::Toml, file)
                    .err()
                    .map(|error| error.to_string()),
                false => Config::parse(&text, file).err().map(|error| error.to_string()),
            };
            broken.extend(error.map(|why| format!("{}:{}: {why}", page.name, block.number)));
        }
    }

    report(
        "A key of hookbox.toml that a document names exists, and a block of TOML is a \
         configuration, or a file of sources and endpoints.",
        &broken,
    );
}

/// What is wrong with a configuration of `hookbox-nats`, where that is built.
#[cfg(feature = "nats")]
fn bridge_error(text: &str, page: &str, number: usize) -> Option<String> {
    let read = hookbox::nats::config::NatsConfig::parse(text, Path::new("the block"));
    read.err().map(|why| format!("{page}:{number}: {why}"))
}

#[cfg(not(feature = "nats"))]
fn bridge_error(_text: &str, _page: &str, _number: usize) -> Option<String> {
    None
}

#[test]
fn limits_that_are_named_exist() {
    let limits = read("src/model/limits.rs")
        + &read("src/model/limits/operating.rs")
        + &read("src/model/limits/nats.rs")
        + &read("src/model/limits/storage.rs");
    let mut broken = Vec::new();
    for page in page::all() {
        for (number, code) in page.code_spans() {
            let Some((_, name)) = code.rsplit_once("limits::") else { continue };
            if name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
                && !limits.contains(&format!("pub const {name}:"))
            {
                broken.push(format!("{}:{number} names {code}", page.name));
            }
        }
    }
    report("A limit that a document names is in src/model/limits.rs or beside it.", &broken);
}

/// The texts in quotation marks in the sources that begin so, and go on with small letters, dots
/// and underscores.
fn quoted(prefix: &str) -> BTreeSet<String> {
    let source = root().join("src");
    let sources = files(&source);
    let mut found = BTreeSet::new();

    let is_test = |path: &Path| {
        let inside = path.strip_prefix(&source).unwrap_or(path);
        inside.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
    };
    let programs = sources
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs") && !is_test(path));

    for path in programs {
        let text = std::fs::read_to_string(path).expect("a readable file");
        for (at, _) in text.match_indices(&format!("\"{prefix}")) {
            let rest = &text[at + 1..];
            let end = rest.find('"').unwrap_or(0);
            if rest[..end].chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.') {
                found.insert(rest[..end].to_owned());
            }
        }
    }
    found
}

/// The first cells of the tables of a page, without backticks.
fn first_cells(page: &str) -> BTreeSet<String> {
    let page = Page::new(page);
    let cells = page.lines().filter_map(|(_, line)| line.strip_prefix("| `")?.split('`').next());
    cells.map(str::to_owned).collect()
}

#[test]
fn every_metric_and_notice_is_described_and_no_other() {
    let documented: BTreeSet<String> = first_cells("docs/reference/metrics.md")
        .into_iter()
        .chain(first_cells("docs/reference/nats.md"))
        .filter(|name| name.starts_with("hookbox_"))
        .collect();
    assert_eq!(
        documented,
        quoted("hookbox_"),
        "docs/reference/metrics.md has a row for each metric"
    );

    // Names of other things of the same form: files, the types of events that are made up.
    let others =
        ["hookbox.test", "hookbox.event", "hookbox.toml", "hookbox.socket", "hookbox.example"];
    let notices: BTreeSet<String> =
        quoted("hookbox.").into_iter().filter(|name| !others.contains(&name.as_str())).collect();
    assert_eq!(
        first_cells("docs/reference/notices.md"),
        notices,
        "docs/reference/notices.md has a row for each notice"
    );
}

/// What Prometheus's own libraries count of a process, and the page as well.
const PROCESS: &[&str] = &["process_cpu_seconds_total", "process_resident_memory_bytes"];

#[test]
fn alert_rules_and_dashboards_ask_for_metrics_that_exist() {
    let known = quoted("hookbox_");
    let mut broken = Vec::new();
    let mut found = 0;
    for file in ["hookbox-alerts.yml", "hookbox-alerts-test.yml", "hookbox-dashboard.json"] {
        let text = read(&format!("packaging/monitoring/{file}"));
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        for word in text.split(|c| !is_name(c)) {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            let is_metric = name.starts_with("hookbox_") || name.starts_with("process_");
            if is_metric && !known.contains(name) && !PROCESS.contains(&name) {
                broken.push(format!("packaging/monitoring/{file} names {word}"));
            }
            found += usize::from(is_metric);
        }
    }
    assert!(found > 40, "only {found} metrics were found");
    report("What is asked of the metrics is there.", &broken);
}

#[test]
fn tests_that_are_named_exist() {
    let mut broken = Vec::new();
    for page in page::book() {
        for (number, code) in page.code_spans() {
            let Some(rest) = code.strip_prefix("cargo test ") else { continue };
            let words: Vec<&str> = rest.split(' ').collect();
            let (folder, name) = match words.as_slice() {
                ["--test", binary, name, ..] => (format!("tests/{binary}"), *name),
                ["--lib", name, ..] => ("src".to_owned(), *name),
                _ => continue,
            };

            // `NAME` stands for any; the last part may be the beginning of a test's name.
            let module = name
                .trim_end_matches("::")
                .split("::")
                .take_while(|part| exists(&folder, part))
                .count();
            if name != "NAME" && module == 0 {
                broken.push(format!("{}:{number} names {code}", page.name));
            }
        }
    }

    report("A test that a document names exists.", &broken);
}

/// Whether a module of this name is somewhere below the folder.
fn exists(folder: &str, module: &str) -> bool {
    files(&root().join(folder)).iter().any(|path| {
        path.file_stem().is_some_and(|stem| stem == module)
            || path.parent().and_then(Path::file_name).is_some_and(|name| name == module)
    })
}
