//! No circles: who imports whom inside a module, file by file.
//!
//! A `mod.rs` that declares and re-exports is on nobody's way: `super::Name` counts as an import of
//! the file that defines the name. What a `mod.rs` defines itself is imported from `mod.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::rust::tokens;
use super::{Source, report, sources};

type Path = Vec<String>;

/// A file as its neighbours see it.
struct Module {
    name: String,
    path: Path,
    is_mod_rs: bool,
    uses: Vec<Use>,
    /// Paths in its code, beside the `use` lines, that begin with `crate`, `super` or `self`, or
    /// with a module below it.
    paths: Vec<Path>,
    /// Items that are defined in it.
    items: BTreeSet<String>,
}

struct Use {
    path: Path,
    /// The name it has here; `*` for all of them.
    name: String,
    is_public: bool,
}

/// All files by their module paths.
struct Tree(BTreeMap<Path, Module>);

#[test]
fn files_of_a_module_do_not_import_each_other() {
    let tree = Tree::of(sources());
    let edges = tree.edges();
    let circles: Vec<String> =
        circles(&edges).into_iter().map(|circle| described(&circle, &edges)).collect();

    report(
        "Files of a module form no circle: whoever reads one must not need the other to \
         understand it, and back again. Move what both need into a third file, or make one file \
         of the two.",
        circles,
    );
}

#[test]
fn folders_of_a_module_do_not_import_each_other() {
    let edges = by_folder(&Tree::of(sources()).edges());
    let circles: Vec<String> =
        circles(&edges).into_iter().map(|circle| described(&circle, &edges)).collect();

    report(
        "A folder of a module is one thing to the folders beside it, and imports none that imports \
         it. Move what both need out of both, or one file into the other folder.",
        circles,
    );
}

/// The same with folders of modules in place of the files in them: `queue/endpoint` for
/// `queue/endpoint/pick.rs`. A file that stands in no folder of a module counts as one; a module's
/// own `mod.rs` is left out.
fn by_folder(edges: &Edges) -> Edges {
    let folder = |file: &str| {
        let path = file.strip_suffix(".rs").unwrap_or(file);
        let parts: Vec<&str> = path.split('/').take(2).collect();
        (parts.len() == 2 && parts[1] != "mod").then(|| parts.join("/"))
    };
    let mut found = Edges::new();
    for (from, to) in edges {
        for (file, what) in to {
            let (Some(from), Some(to)) = (folder(from), folder(file)) else { continue };
            if from != to {
                let to = found.entry(from).or_default().entry(to).or_default();
                to.extend(what.iter().cloned());
            }
        }
    }
    found
}

/// Who imports whom, and what.
type Edges = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

impl Tree {
    fn of(sources: Vec<Source>) -> Self {
        let known: BTreeSet<Path> = sources.iter().map(Source::module).collect();
        let modules = sources
            .iter()
            .filter(|source| source.top_module() != "bin")
            .map(|source| Module::of(source, &known));
        Self(modules.map(|module| (module.path.clone(), module)).collect())
    }

    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for module in self.0.values() {
            // What a `mod.rs` hands on is not an import of its own, and of a module only what is
            // used of it counts.
            let is_import =
                |u: &&Use| !(module.is_mod_rs && u.is_public || self.0.contains_key(&u.path));
            let uses = module.uses.iter().filter(is_import).map(|u| &u.path);
            for path in uses.chain(&module.paths) {
                let Some(target) = self.file_of(path, 0) else { continue };
                let is_neighbour =
                    target.path.first() == module.path.first() && target.path != module.path;
                if is_neighbour && !module.path.is_empty() {
                    let what = path.last().cloned().unwrap_or_default();
                    let to = edges.entry(module.name.clone()).or_default();
                    to.entry(target.name.clone()).or_default().insert(what);
                }
            }
        }
        edges
    }

    /// The file that defines what an absolute path names.
    fn file_of(&self, path: &[String], depth: usize) -> Option<&Module> {
        let mut length = path.len();
        while !self.0.contains_key(&path[..length]) {
            length = length.checked_sub(1)?;
        }
        let module = &self.0[&path[..length]];
        let Some(name) = path.get(length) else { return Some(module) };
        if module.items.contains(name) || depth > 8 {
            return Some(module);
        }

        // It is handed on: by its name, or among all of another module.
        let named = module.uses.iter().find(|u| u.name == *name);
        if let Some(handed_on) = named {
            let further: Path = handed_on.path.iter().chain(&path[length + 1..]).cloned().collect();
            return self.file_of(&further, depth + 1);
        }
        let globs = module.uses.iter().filter(|u| u.name == "*");
        for glob in globs {
            let further: Path = glob.path.iter().chain(&path[length..]).cloned().collect();
            if let Some(found) =
                self.file_of(&further, depth + 1).filter(|found| found.items.contains(name))
            {
                return Some(found);
            }
        }
        Some(module)
    }
}

impl Module {
    fn of(source: &Source, known: &BTreeSet<Path>) -> Self {
        let tokens = tokens(&source.code);
        let path = source.module();
        let mut reader = Reader { path: &path, known, uses: Vec::new(), paths: Vec::new() };
        reader.read_uses(&tokens);
        reader.read_paths(&tokens);
        let (uses, paths) = (reader.uses, reader.paths);

        Self {
            name: source.name.clone(),
            is_mod_rs: source.name.ends_with("/mod.rs"),
            uses,
            paths,
            items: items(&tokens),
            path,
        }
    }
}

/// The names of all items, at whatever depth: what an inner module of a file defines, the file
/// defines.
fn items(tokens: &[String]) -> BTreeSet<String> {
    const KEYWORDS: &[&str] =
        &["struct", "enum", "union", "trait", "type", "fn", "const", "static", "macro_rules"];
    let mut found = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        if KEYWORDS.contains(&token.as_str()) {
            let name = tokens[at + 1..].iter().find(|t| !matches!(t.as_str(), "!" | "mut" | "fn"));
            found.extend(name.cloned());
        }
    }
    found
}

/// Collects the paths of one file.
struct Reader<'a> {
    path: &'a Path,
    known: &'a BTreeSet<Path>,
    uses: Vec<Use>,
    paths: Vec<Path>,
}

impl Reader<'_> {
    fn read_uses(&mut self, tokens: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            // `use` also stands in `impl Trait + use<'a>`, which names nothing here.
            if tokens[at] == "use" {
                let is_public = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                at = self.tree(tokens, at + 1, &[], is_public);
            } else {
                at += 1;
            }
        }
    }

    fn read_paths(&mut self, tokens: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            let before = at.checked_sub(1).map_or("", |before| tokens[before].as_str());
            let goes_on = tokens.get(at + 1).is_some_and(|t| t == "::");
            match before {
                // `pub(in crate::log)` says who may look, not where it looks.
                _ if !goes_on || before == "::" || before == "in" => at += 1,
                "use" => at = whole_path(tokens, at).1,
                _ => {
                    let (path, next) = whole_path(tokens, at);
                    self.paths.extend(self.expanded(path));
                    at = next.max(at + 1);
                }
            }
        }
    }

    /// A path in the code from the crate's root. It may begin with a module that was imported by
    /// its name.
    fn expanded(&self, path: Path) -> Option<Path> {
        let first = path.first()?;
        let imported = self.uses.iter().find(|u| u.name == *first && self.known.contains(&u.path));
        match imported {
            Some(module) => Some([module.path.as_slice(), &path[1..]].concat()),
            None => self.absolute(&path),
        }
    }

    /// Reads a tree of imports that begins at `at`; returns where it ends.
    fn tree(&mut self, tokens: &[String], at: usize, base: &[String], is_public: bool) -> usize {
        let (tail, mut next) = whole_path(tokens, at);
        let path = [base, &tail].concat();

        match tokens.get(next).map(String::as_str) {
            Some("{") => {
                next += 1;
                while tokens.get(next).is_some_and(|t| t != "}") {
                    let end = self.tree(tokens, next, &path, is_public);
                    // Something that is not an import, in a macro.
                    next = end.max(next + 1);
                    if tokens.get(next).is_some_and(|t| t == ",") {
                        next += 1;
                    }
                }
                return next + 1;
            }
            Some("*") => {
                self.add(&path, "*".to_owned(), is_public);
                next += 1;
            }
            Some("as") => {
                let name = tokens.get(next + 1).cloned().unwrap_or_default();
                self.add(&path, name, is_public);
                next += 2;
            }
            _ => {
                let last = path.last().filter(|last| *last != "self");
                let name = last.or_else(|| path.iter().rev().nth(1)).cloned().unwrap_or_default();
                self.add(&path, name, is_public);
            }
        }
        next
    }

    fn add(&mut self, path: &[String], name: String, is_public: bool) {
        if let Some(path) = self.absolute(path) {
            self.uses.push(Use { path, name, is_public });
        }
    }

    /// A path from the crate's root; `None` for one of another crate.
    fn absolute(&self, path: &[String]) -> Option<Path> {
        let first = path.first()?.as_str();
        let mut rest = path.iter().filter(|name| *name != "self");
        let child: Path = self.path.iter().cloned().chain([first.to_owned()]).collect();

        let mut base = match first {
            "crate" => Vec::new(),
            "self" | "super" => self.path.clone(),
            _ if self.known.contains(&child) => self.path.clone(),
            _ => return None,
        };

        for name in rest.by_ref() {
            match name.as_str() {
                "crate" => {}
                "super" => drop(base.pop()),
                name => {
                    base.push(name.to_owned());
                    break;
                }
            }
        }
        base.extend(rest.cloned());
        Some(base)
    }
}

/// A path without its generics, and where it ends.
fn whole_path(tokens: &[String], at: usize) -> (Path, usize) {
    let is_name = |t: &String| t.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let (mut path, mut next) = (Vec::new(), at);
    while let Some(name) = tokens.get(next).filter(|t| is_name(t)) {
        path.push(name.clone());
        next += 1;
        if tokens.get(next).is_none_or(|t| t != "::") {
            break;
        }
        next += 1;
    }
    (path, next)
}

/// The files that reach each other, each group once, and with one file in front of another that it
/// imports.
fn circles(edges: &Edges) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for from in edges.keys() {
        if found.iter().any(|circle| circle.contains(from)) {
            continue;
        }
        found.extend(shortest_way_back(from, edges));
    }
    found
}

/// The shortest circle through a file.
fn shortest_way_back(from: &str, edges: &Edges) -> Option<Vec<String>> {
    let mut paths = VecDeque::from([vec![from.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(path) = paths.pop_front() {
        let Some(next) = path.last().and_then(|last| edges.get(last)) else { continue };
        for to in next.keys() {
            if to == from {
                return Some(path);
            }
            if seen.insert(to.clone()) {
                paths.push_back([path.as_slice(), std::slice::from_ref(to)].concat());
            }
        }
    }
    None
}

fn described(circle: &[String], edges: &Edges) -> String {
    let mut text = circle[0].clone();
    for (at, file) in circle.iter().enumerate() {
        let to = &circle[(at + 1) % circle.len()];
        let what: Vec<&str> = edges[file][to].iter().map(String::as_str).take(4).collect();
        text = format!("{text} -> {to} ({})", what.join(", "));
    }
    text
}

#[test]
fn circles_are_found() {
    let source = |name: &str, code: &str| Source {
        name: name.into(),
        raw: String::new(),
        code: code.into(),
    };
    let circles_of = |files: &[(&str, &str)]| {
        let tree = Tree::of(files.iter().map(|(name, code)| source(name, code)).collect());
        circles(&tree.edges())
    };
    let (lib, segment_set) =
        (("lib.rs", ""), ("log/segment_set.rs", "use super::segment::{Segment, open as o};"));

    let direct = ("log/segment.rs", "fn f(x: &super::segment_set::SegmentSet) {}");
    assert_eq!(circles_of(&[lib, segment_set, direct]), [["log/segment.rs", "log/segment_set.rs"]]);

    // No file of these is in a circle, their folders are.
    let folders = [
        lib,
        ("log/cells/a.rs", "use crate::log::chunks::b::B; pub struct A;"),
        ("log/cells/c.rs", "pub struct C;"),
        ("log/chunks/b.rs", "pub struct B;"),
        ("log/chunks/d.rs", "use crate::log::cells::c::C; pub struct D;"),
    ];
    let tree = Tree::of(folders.iter().map(|(name, code)| source(name, code)).collect());
    assert!(circles(&tree.edges()).is_empty());
    assert_eq!(circles(&by_folder(&tree.edges())), [["log/cells", "log/chunks"]]);

    // Nor is a file in a circle with a folder.
    let file_and_folder = [
        lib,
        ("log/cells/a.rs", "use crate::log::header::Header; pub struct A;"),
        ("log/cells/c.rs", "pub struct C;"),
        ("log/header.rs", "use super::cells::c::C; pub struct Header;"),
    ];
    let tree = Tree::of(file_and_folder.iter().map(|(name, code)| source(name, code)).collect());
    assert!(circles(&tree.edges()).is_empty());
    assert_eq!(circles(&by_folder(&tree.edges())), [["log/cells", "log/header"]]);

    // Handed on by mod.rs, which is on nobody's way for that.
    let hub = (
        "log/mod.rs",
        "mod segment; mod segment_set; pub use segment_set::SegmentSet; pub use segment::Segment;",
    );
    let by_hub = ("log/segment.rs", "use super::SegmentSet; pub struct Segment;");
    assert_eq!(
        circles_of(&[lib, hub, segment_set, by_hub]),
        [["log/segment.rs", "log/segment_set.rs"]]
    );
    let one_way = ("log/segment.rs", "pub struct Segment; use crate::model::Seq;");
    assert!(circles_of(&[lib, hub, segment_set, one_way]).is_empty());

    // What mod.rs defines is imported from mod.rs.
    let defines =
        ("log/mod.rs", "mod segment; use segment::Segment; pub struct Log { s: Segment }");
    let child = ("log/segment.rs", "use super::Log; pub struct Segment;");
    assert_eq!(circles_of(&[lib, defines, child]), [["log/mod.rs", "log/segment.rs"]]);
    let calls = ("log/mod.rs", "mod segment; pub struct Log; fn f() { segment::open() }");
    assert_eq!(circles_of(&[lib, calls, child]), [["log/mod.rs", "log/segment.rs"]]);

    // Of a module that is imported by its name what is used counts; a visibility is no use.
    let by_name =
        ("log/segment.rs", "use crate::log::{self as l}; fn f(x: l::segment_set::SegmentSet) {}");
    assert_eq!(
        circles_of(&[lib, hub, segment_set, by_name]),
        [["log/segment.rs", "log/segment_set.rs"]]
    );
    let visible = ("log/segment.rs", "pub(in crate::log::segment_set) struct Segment;");
    assert!(circles_of(&[lib, hub, segment_set, visible]).is_empty());
}
