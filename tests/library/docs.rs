//! What the documents say is so: links, commands, options, keys, limits and tables against the
//! code.
//!
//! Parts of some pages are generated from the code, between `<!-- generated: NAME -->` and `<!--
//! end -->`. A test compares them; `just docs` (`HOOKBOX_WRITE_DOCS=1`) writes them.

mod amounts;
mod commands;
mod defaults;
mod generated;
mod limits;
mod links;
mod names;
mod page;

use std::path::{Path, PathBuf};

use hookbox::config::Config;

use crate::tidy::words::{OWN_WORDS, has, words};
use page::{Page, read};

/// README.md is one page that somebody reads before deciding to go on.
const README_BYTES: usize = 10_000;
const COLUMNS: usize = 120;

/// Fails with everything that is wrong, and how to repair it.
fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "\n{rule}\n  {}\n", broken.join("\n  "));
}

#[test]
fn the_example_configuration_is_the_defaults_at_home_in_a_system() {
    let text = read("packaging/hookbox.toml");
    let config = Config::parse(&text, Path::new("packaging/hookbox.toml")).expect("valid");
    let system = Config {
        data: PathBuf::from("/var/lib/hookbox"),
        admin_socket: Some(PathBuf::from("/run/hookbox/admin.sock")),
        ..Config::default()
    };
    assert_eq!(config, system);
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_hookboxd"))
        .args(["--config", "packaging/hookbox.toml", "--check"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("hookboxd runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_example_configuration_names_every_key() {
    let text = read("packaging/hookbox.toml");
    // What is commented out is an example, and has to be one that works.
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_assignment(rest)).unwrap_or(line))
        .collect();
    let uncommented = uncommented.join("\n");
    Config::parse(&uncommented, Path::new("packaging/hookbox.toml"))
        .expect("its examples are valid");

    let mut shown = Vec::new();
    let mut section = String::new();
    for line in uncommented.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            name.0.clone_into(&mut section);
        } else if is_assignment(line) {
            let key = line.split(' ').next().unwrap_or_default();
            shown.push(if section.is_empty() {
                key.to_owned()
            } else {
                format!("{section}.{key}")
            });
        }
    }
    shown.sort();
    let mut known = names::configuration_keys();
    known.sort();
    assert_eq!(
        shown, known,
        "packaging/hookbox.toml shows each key of config::Config once, and no other"
    );
}

/// `key = value`.
fn is_assignment(line: &str) -> bool {
    let is_key =
        |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    line.split_once(" = ").is_some_and(|(key, _)| is_key(key))
}

#[test]
fn the_readme_is_one_page_and_lines_are_short() {
    let mut broken = Vec::new();
    let bytes = read("README.md").len();
    if bytes > README_BYTES {
        broken.push(format!("README.md has {bytes} bytes, at most {README_BYTES} are one page"));
    }

    let others = [
        "CONTRIBUTING.md",
        "SECURITY.md",
        "fuzz/README.md",
        "tests/fixtures/README.md",
        "tests/fixtures/vectors/README.md",
    ];
    for page in page::book().into_iter().chain(others.map(Page::new)) {
        for (number, line) in page.lines() {
            // A row of a table is one line, however long.
            if line.chars().count() > COLUMNS && !line.trim_start().starts_with('|') {
                broken.push(format!("{}:{number} has more than {COLUMNS} columns", page.name));
            }
        }
    }

    report(
        "README.md is one page, and lines are at most 120 columns: details belong to docs/.",
        &broken,
    );
}

#[test]
fn the_words_are_those_of_the_field() {
    let mut broken = Vec::new();
    for page in page::book() {
        for (number, line) in page.prose() {
            let words = words(&line);
            for (own, right) in OWN_WORDS.iter().filter(|(own, _)| has(&words, own)) {
                broken.push(format!("{}:{number} says '{own}': {right}", page.name));
            }
        }
    }
    report(
        "Documents use the words of docs/internals/glossary.md, so that nobody has to learn ours \
         first.",
        &broken,
    );
}

/// The names in the first column of a table, whose rows begin so.
fn first_names(text: &str, heading: &str, row: &str) -> Vec<String> {
    let rows = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let rows = rows.take_while(|line| line.contains('|'));
    let names = rows.filter_map(|line| line.strip_prefix(row)?.split('`').nth(1));
    names.map(str::to_owned).collect()
}

#[test]
fn the_modules_of_the_design_are_those_of_the_crate() {
    let lib = read("src/lib.rs");
    let of_map = first_names(&lib, "//! | module", "//! | ");
    let of_design = first_names(&read("docs/internals/design.md"), "| module", "| ");
    assert_eq!(of_design, of_map, "docs/internals/design.md and src/lib.rs have the same rows");

    let lines = lib.lines().map(|line| line.strip_prefix("pub ").unwrap_or(line));
    let declared = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let mut named: Vec<&str> = of_map.iter().map(String::as_str).collect();
    named.sort_unstable();
    assert_eq!(named, declared.collect::<Vec<_>>(), "each module has its row");
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = Page::new("docs/SUMMARY.md");
    let named: Vec<String> =
        links::targets(&summary).into_iter().map(|(_, target)| format!("docs/{target}")).collect();
    let missing: Vec<String> = page::docs()
        .into_iter()
        .map(|page| page.name)
        .filter(|name| name != "docs/SUMMARY.md" && !named.contains(name))
        .collect();
    report("A page that docs/SUMMARY.md does not name is found by nobody.", &missing);
}

#[test]
fn every_role_names_tests_and_each_of_them_is_there() {
    let security = read("SECURITY.md");
    let (_, table) = security.split_once("## Who may do what").expect("the roles");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 8, "the table of roles was not found");
    rows_name_tests("SECURITY.md", &rows);
}

#[test]
fn every_attack_names_tests_and_each_of_them_is_there() {
    let page = read("docs/evidence/attacks.md");
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| |");
    let rows: Vec<&str> = page.lines().filter(is_row).collect();
    assert_eq!(rows.len(), 20 + 17 + 13 + 5, "a row for each line of the list");
    rows_name_tests("docs/evidence/attacks.md", &rows);
}

/// The last cell of each row names tests, and all of them exist.
fn rows_name_tests(page: &str, rows: &[&str]) {
    let mut missing = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let tests: Vec<&str> = cells.last().expect("cells").split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{page}: no test is named for: {}", cells[0]);
        missing.extend(
            tests
                .into_iter()
                .filter(|test| !is_there(test))
                .map(|test| format!("{test} ({})", cells[0])),
        );
    }

    assert!(
        missing.is_empty(),
        "{page} names tests that are not there:\n  {}",
        missing.join("\n  ")
    );
}

/// Whether there is a test of this name, or a module with tests: `e2e trust::name`, `library
/// sim::shares::name`, `admin::peer::tests`, `e2e keys::`.
fn is_there(test: &str) -> bool {
    let (root, path) = match test.split_once(' ') {
        Some(("e2e", path)) => ("tests/programs/e2e", path),
        Some(("library", path)) => ("tests/library", path),
        Some(("damage", path)) => ("tests/programs/damage", path),
        _ => ("src", test),
    };
    let steps: Vec<&str> = path.split("::").filter(|step| !step.is_empty()).collect();
    let Some((name, module)) = steps.split_last() else { return false };
    let has_tests = |text: &str| text.contains("#[test]") || text.contains("#[tokio::test");
    if module_of(root, &steps).is_some_and(|text| has_tests(&text)) {
        return true;
    }
    module_of(root, module)
        .is_some_and(|text| has_tests(&text) && text.contains(&format!("fn {name}(")))
}

/// The text of a module, which may stand in a file of its own or, called `tests`, at the end of the
/// one above.
fn module_of(root: &str, steps: &[&str]) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let file = |steps: &[&str]| {
        let stem = folder.join(steps.join("/"));
        let all = [stem.with_extension("rs"), stem.join("mod.rs")];
        all.iter().find_map(|path| std::fs::read_to_string(path).ok())
    };
    file(steps).or_else(|| {
        steps.split_last().filter(|(last, _)| **last == "tests").and_then(|(_, above)| file(above))
    })
}

#[test]
fn the_limits_show_every_share() {
    let limits = read("docs/reference/limits.md");
    let lacks: Vec<&str> = hookbox::model::share::Share::ALL
        .iter()
        .map(|share| share.name())
        .filter(|name| !limits.contains(&format!("| `{name}` |")))
        .collect();
    assert!(lacks.is_empty(), "the table of shares in docs/reference/limits.md lacks {lacks:?}");
}
