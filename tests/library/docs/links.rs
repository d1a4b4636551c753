//! Links inside the repository lead somewhere.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::page::{self, Page};
use super::report;

#[test]
fn links_and_anchors_exist() {
    let mut broken = Vec::new();
    for page in page::all() {
        for (number, target) in targets(&page) {
            if let Err(what) = check(&page, &target) {
                broken.push(format!("{}:{number} links to {target}: {what}", page.name));
            }
        }
    }
    report("A link leads to a file of the repository, and to a heading that is there.", &broken);
}

/// The targets of links, but for those that leave the repository.
pub fn targets(page: &Page) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        for (_, rest) in line.match_indices("](").map(|(at, _)| line.split_at(at + 2)) {
            let target = rest.split(')').next().unwrap_or_default();
            let leaves =
                ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
            if !leaves && !target.is_empty() {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

fn check(page: &Page, target: &str) -> Result<(), String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let name = if file.is_empty() { page.name.clone() } else { resolve(&page.name, file) };
    if !page::root().join(&name).exists() {
        return Err(format!("there is no {name}"));
    }
    if anchor.is_empty() || anchors(&Page::new(&name)).contains(&anchor.to_owned()) {
        return Ok(());
    }
    Err(format!("{name} has no heading #{anchor}"))
}

/// A path relative to a page, from the root.
fn resolve(from: &str, to: &str) -> String {
    let mut path = PathBuf::from(from);
    path.pop();
    for part in Path::new(to).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path.to_string_lossy().into_owned()
}

/// The anchors of a page's headings, as forges make them.
fn anchors(page: &Page) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut fenced = false;
    let mut found = Vec::new();

    for (_, line) in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if fenced || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }

        let slug: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();

        let count = seen.entry(slug.clone()).or_default();
        found.push(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    found
}
