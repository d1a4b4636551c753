//! The documents, and reading Markdown just well enough.

use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One document, by its path from the root.
pub struct Page {
    pub name: String,
    pub text: String,
}

/// A fenced block: its language, the number of its first line, and its lines.
pub struct Block {
    pub language: String,
    pub number: usize,
    pub lines: Vec<String>,
}

impl Page {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), text: read(name) }
    }

    /// All lines, numbered from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The lines outside fenced blocks, without code in backticks.
    pub fn prose(&self) -> Vec<(usize, String)> {
        self.unfenced().into_iter().map(|(number, line)| (number, without_code(line))).collect()
    }

    /// What stands in backticks outside fenced blocks.
    pub fn code_spans(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line) in self.unfenced() {
            let parts: Vec<&str> = line.split('`').collect();
            // A span that goes on in the next line is not looked at: none has a reason to.
            found.extend(
                parts
                    .iter()
                    .skip(1)
                    .step_by(2)
                    .take(parts.len() / 2)
                    .map(|code| (number, (*code).to_owned())),
            );
        }
        found
    }

    fn unfenced(&self) -> Vec<(usize, &str)> {
        let mut fenced = false;
        let mut found = Vec::new();
        for (number, line) in self.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                found.push((number, line));
            }
        }
        found
    }

    pub fn blocks(&self) -> Vec<Block> {
        let mut found: Vec<Block> = Vec::new();
        let mut open = false;
        for (number, line) in self.lines() {
            match line.trim_start().strip_prefix("```") {
                Some(_) if open => open = false,
                Some(language) => {
                    open = true;
                    found.push(Block {
                        language: language.trim().to_owned(),
                        number: number + 1,
                        lines: Vec::new(),
                    });
                }
                None if open => found.last_mut().expect("it is open").lines.push(line.to_owned()),
                None => {}
            }
        }
        found
    }
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`code`")
}

/// The pages below `docs/`.
pub fn docs() -> Vec<Page> {
    let mut names: Vec<String> = files(&root().join("docs"))
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .map(|path| {
            path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned()
        })
        .collect();
    names.sort();
    assert!(names.len() > 20, "the pages were not found");
    names.iter().map(|name| Page::new(name)).collect()
}

/// What users read: the front page, the book, and the examples' page.
pub fn book() -> Vec<Page> {
    let mut pages = docs();
    pages.extend(["README.md", "examples/README.md"].map(Page::new));
    pages
}

/// These, and what engineers read.
pub fn all() -> Vec<Page> {
    let mut pages = book();
    pages.extend(["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(Page::new));
    pages
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .flatten()
        .map(|e| e.path())
        .flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] })
        .collect()
}
