//! A disk that keeps of what was written only what it must: the state after a power cut, drawn at
//! random.
//!
//! What it must keep: the data and the size of a file that were written before an `fsync` or
//! `fdatasync` of it began, once that has returned; a folder's names as they were before an `fsync`
//! of the folder began. What it may do with the rest, adversarially:
//!
//! * each sector (512 B or 4 KiB) of a file holds what it held after any of the writes since the
//!   last sync, each sector for itself; the size is any of those since; what was never written
//!   reads as zeros, or as anything (`data=writeback`);
//! * names change in the order in which they were changed: in one order over all folders, where a
//!   synced file also has its name (a journal, as ext4 and XFS have), or in an order for each
//!   folder, where only a folder's own sync keeps its names (what POSIX promises).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::support::rng::Rng;
use super::trace::{Call, Op};

type Node = usize;

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

/// A change that may or may not be on the disk, and when its call began and ended.
#[derive(Clone, Debug)]
struct Pending<T> {
    begun: usize,
    done: usize,
    change: T,
}

#[derive(Clone, Debug)]
enum Naming {
    Put { name: String, node: Node },
    Remove { name: String },
    Rename { from: String, to: String },
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Pending<Change>>,
    /// When it was made.
    made: usize,
}

#[derive(Clone, Debug, Default)]
struct Folder {
    durable: BTreeMap<String, Node>,
    pending: Vec<Pending<Naming>>,
}

#[derive(Clone, Debug)]
enum Thing {
    File(File),
    Folder(Folder),
}

/// The disk at one moment.
#[derive(Debug)]
pub struct Disk {
    /// The root is the first.
    things: Vec<Thing>,
    root: std::path::PathBuf,
    /// With one journal for all names: what was changed before this line is durable.
    journal: usize,
    now: usize,
}

/// How hard a cut hits.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Everything that was issued is there: what a kill leaves.
    Nothing,
    /// Drawn.
    Adversary,
}

impl Disk {
    pub fn new(root: &Path) -> Self {
        Self {
            things: vec![Thing::Folder(Folder::default())],
            root: root.to_owned(),
            journal: 0,
            now: 0,
        }
    }

    /// A call begins: from now on what it writes may be on the disk.
    pub fn begin(&mut self, call: &Call) {
        self.now = call.begun + 1;

        match &call.op {
            Op::Make(path) if self.find(path).is_none() => {
                let made = call.begun;
                self.put(path, Thing::File(File { made, ..File::default() }), call);
            }
            Op::MakeFolder(path) => self.put(path, Thing::Folder(Folder::default()), call),
            Op::Write { path, at, bytes } => {
                let at = usize::try_from(*at).expect("a small file");
                self.change(path, Change::Write { at, bytes: bytes.clone() }, call);
            }
            Op::Resize { path, len } => {
                self.change(
                    path,
                    Change::Resize(usize::try_from(*len).expect("a small file")),
                    call,
                );
            }
            Op::Rename { from, to } => {
                assert_eq!(from.parent(), to.parent(), "this disk renames within one folder");
                self.name(from, |from| Naming::Rename { from, to: name_of(to) }, call);
            }
            Op::Remove(path) => self.name(path, |name| Naming::Remove { name }, call),
            Op::Make(_) | Op::Sync(_) | Op::Note(_) => {}
        }
    }

    /// A call is done: if it is a sync, what was done before it began is durable.
    pub fn end(&mut self, call: &Call) {
        self.now = call.done + 1;
        let Op::Sync(path) = &call.op else { return };
        // A file that has been removed meanwhile is nobody's any more.
        let Some(node) = self.find(path) else { return };
        let forced = match &mut self.things[node] {
            Thing::File(file) => {
                for pending in take_before(&mut file.pending, call.begun) {
                    apply(&mut file.durable, &pending.change);
                }
                file.made + 1
            }
            Thing::Folder(folder) => {
                for pending in take_before(&mut folder.pending, call.begun) {
                    rename(&mut folder.durable, &pending.change);
                }
                call.begun
            }
        };
        self.journal = self.journal.max(forced);
    }

    /// Writes down what is left after a cut of the power at this moment.
    pub fn cut(&self, cut: Cut, rng: &mut Rng, to: &Path) -> std::io::Result<()> {
        let draw = match cut {
            Cut::Nothing => Draw {
                journalled: true,
                names: usize::MAX,
                sector: 512,
                keep: Keep::All,
                garbage: false,
            },
            Cut::Adversary => self.draw(rng),
        };
        self.write_folder(0, &draw, rng, to)
    }

    fn draw(&self, rng: &mut Rng) -> Draw {
        let span = self.now.saturating_sub(self.journal) as u64 + 1;
        let names = match rng.below(4) {
            0 => self.journal,
            1 => usize::MAX,
            _ => self.journal + usize::try_from(rng.below(span)).expect("a line"),
        };

        Draw {
            journalled: rng.below(2) == 0,
            names,
            sector: if rng.below(2) == 0 { 512 } else { 4096 },
            keep: match rng.below(6) {
                0 => Keep::Nothing,
                1 => Keep::All,
                2 => Keep::WholeFiles,
                3 => Keep::Sectors(5),
                4 => Keep::Sectors(95),
                _ => Keep::Sectors(50),
            },
            garbage: rng.below(8) == 0,
        }
    }

    fn write_folder(
        &self,
        node: Node,
        draw: &Draw,
        rng: &mut Rng,
        to: &Path,
    ) -> std::io::Result<()> {
        let Thing::Folder(folder) = &self.things[node] else { unreachable!("a folder") };
        let mut names = folder.durable.clone();
        let upto = if draw.journalled || draw.names == usize::MAX {
            folder.pending.iter().filter(|p| p.begun < draw.names).count()
        } else {
            rng.index(folder.pending.len() + 1)
        };
        folder.pending[..upto].iter().for_each(|pending| rename(&mut names, &pending.change));
        for (name, node) in names {
            let path = to.join(name);
            match &self.things[node] {
                Thing::Folder(_) => {
                    fs::create_dir(&path)?;
                    self.write_folder(node, draw, rng, &path)?;
                }
                Thing::File(file) => fs::write(&path, file.left(draw, rng))?,
            }
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> Option<Node> {
        let below = path.strip_prefix(&self.root).ok()?;
        below.iter().try_fold(0, |node, name| self.names(node)?.get(name.to_str()?).copied())
    }

    /// A folder's names as the living system sees them.
    fn names(&self, node: Node) -> Option<BTreeMap<String, Node>> {
        let Thing::Folder(folder) = &self.things[node] else { return None };
        let mut names = folder.durable.clone();
        folder.pending.iter().for_each(|pending| rename(&mut names, &pending.change));
        Some(names)
    }

    fn put(&mut self, path: &Path, thing: Thing, call: &Call) {
        let node = self.things.len();
        self.things.push(thing);
        self.name(path, |name| Naming::Put { name, node }, call);
    }

    fn name(&mut self, path: &Path, naming: impl FnOnce(String) -> Naming, call: &Call) {
        if path == self.root {
            return;
        }
        let parent =
            path.parent().and_then(|parent| self.find(parent)).expect("its folder is there");
        let Thing::Folder(folder) = &mut self.things[parent] else {
            panic!("{} is not a folder", path.display())
        };
        folder.pending.push(Pending {
            begun: call.begun,
            done: call.done,
            change: naming(name_of(path)),
        });
    }

    fn change(&mut self, path: &Path, change: Change, call: &Call) {
        // sled may still write to a file that has been removed.
        let Some(node) = self.find(path) else { return };
        let Thing::File(file) = &mut self.things[node] else {
            panic!("{} is not a file", path.display())
        };
        file.pending.push(Pending { begun: call.begun, done: call.done, change });
    }
}

/// What was drawn for one cut.
#[derive(Debug)]
struct Draw {
    /// One order of names for all folders.
    journalled: bool,
    /// Names changed before this line are kept.
    names: usize,
    sector: usize,
    keep: Keep,
    /// What was never written is anything, not zeros.
    garbage: bool,
}

#[derive(Clone, Copy, Debug)]
enum Keep {
    Nothing,
    All,
    /// All or nothing of each file.
    WholeFiles,
    /// Each sector as it was after any of the writes; the newest with this probability in a
    /// hundred.
    Sectors(u64),
}

impl File {
    /// The bytes that are left.
    fn left(&self, draw: &Draw, rng: &mut Rng) -> Vec<u8> {
        let all = self.pending.len();
        let keep = match draw.keep {
            Keep::WholeFiles if rng.below(2) == 0 => Keep::All,
            Keep::WholeFiles => Keep::Nothing,
            other => other,
        };
        let mut left = self.durable.clone();
        match keep {
            Keep::Nothing | Keep::WholeFiles => {}
            Keep::All => self.pending.iter().for_each(|pending| apply(&mut left, &pending.change)),
            Keep::Sectors(percent) => {
                let versions = Versions { percent, all };
                self.mix(&versions, draw, rng, &mut left);
            }
        }
        left
    }

    fn mix(&self, versions: &Versions, draw: &Draw, rng: &mut Rng, left: &mut Vec<u8>) {
        let sized = versions.draw(rng);
        let mut chosen: BTreeMap<usize, usize> = BTreeMap::new();
        let mut len = left.len();

        for (number, pending) in self.pending.iter().enumerate() {
            match &pending.change {
                Change::Resize(to) => {
                    if number < sized {
                        len = *to;
                        left.truncate(len);
                    }
                }
                Change::Write { at, bytes } => {
                    if number < sized {
                        len = len.max(at + bytes.len());
                    }

                    let mut from = *at;
                    while from < at + bytes.len() {
                        let sector = from / draw.sector;
                        let to = ((sector + 1) * draw.sector).min(at + bytes.len());
                        let version = *chosen.entry(sector).or_insert_with(|| versions.draw(rng));
                        if number < version {
                            let piece = bytes[from - at..to - at].to_vec();
                            apply(left, &Change::Write { at: from, bytes: piece });
                        } else if draw.garbage && from >= left.len() {
                            let noise =
                                std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten();
                            apply(
                                left,
                                &Change::Write { at: from, bytes: noise.take(to - from).collect() },
                            );
                        }
                        from = to;
                    }
                }
            }
        }

        left.resize(len, 0);
    }
}

struct Versions {
    percent: u64,
    all: usize,
}

impl Versions {
    /// After how many of the pending changes.
    fn draw(&self, rng: &mut Rng) -> usize {
        if rng.below(100) < self.percent { self.all } else { rng.index(self.all + 1) }
    }
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(len) => file.resize(*len, 0),
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*at..end].copy_from_slice(bytes);
        }
    }
}

fn rename(names: &mut BTreeMap<String, Node>, change: &Naming) {
    match change {
        Naming::Put { name, node } => {
            names.insert(name.clone(), *node);
        }
        Naming::Remove { name } => {
            names.remove(name);
        }
        Naming::Rename { from, to } => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

/// Takes out what was done before a line.
fn take_before<T>(pending: &mut Vec<Pending<T>>, line: usize) -> Vec<Pending<T>> {
    let (before, after) = std::mem::take(pending).into_iter().partition(|p| p.done < line);
    *pending = after;
    before
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a plain name").to_owned()
}
