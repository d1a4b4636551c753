//! What `strace -f -y -xx` says a process did to the files below one folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The calls that change files or make them durable, and those that say where a `write` goes.
pub const CALLS: &str = "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,rename,\
                         renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,\
                         fdatasync,msync,sync,syncfs,copy_file_range,sendfile,lseek,mmap";

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The file is there now, if it was not before.
    Make(PathBuf),
    MakeFolder(PathBuf),
    Write {
        path: PathBuf,
        at: u64,
        bytes: Vec<u8>,
    },
    Resize {
        path: PathBuf,
        len: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// A file or an empty folder.
    Remove(PathBuf),
    Sync(PathBuf),
    /// A line written to the file that is not part of the disk.
    Note(String),
}

/// One successful call, and the lines of the trace where it began and where it was done.
#[derive(Clone, Debug)]
pub struct Call {
    pub op: Op,
    pub begun: usize,
    pub done: usize,
}

/// Reads a trace. Only what lies below `root` counts, and what is written to `notes`.
///
/// # Panics
/// When a process did something to these files that this test has no model of.
pub fn read(text: &str, root: &Path, notes: &Path) -> Vec<Call> {
    let mut reader = Reader { root, notes, offsets: HashMap::new(), calls: Vec::new() };
    let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(pid, (number, begun.to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, tail) = resumed.split_once(" resumed>").expect("a resumed call");
            let (begun, head) = unfinished.remove(pid).expect("it was begun");
            reader.call(&(head + tail), begun, number);
        } else if !rest.starts_with(['+', '-']) {
            reader.call(rest, number, number);
        }
    }
    reader.calls.sort_by_key(|call| call.begun);
    reader.calls
}

struct Reader<'a> {
    root: &'a Path,
    notes: &'a Path,
    /// Where the next `write` to a descriptor goes.
    offsets: HashMap<String, u64>,
    calls: Vec<Call>,
}

impl Reader<'_> {
    fn call(&mut self, text: &str, begun: usize, done: usize) {
        let (name, rest) = text.split_once('(').expect("a call");
        let (args, result) = rest.rsplit_once(" = ").expect("a result");
        if result.starts_with(['-', '?']) {
            return;
        }
        let args: Vec<&str> =
            args.trim_end().strip_suffix(')').expect("arguments").split(", ").collect();
        for op in self.ops(name, &args, result) {
            self.calls.push(Call { op, begun, done });
        }
    }

    fn ops(&mut self, name: &str, args: &[&str], result: &str) -> Vec<Op> {
        let ours = |path: &Path| path.starts_with(self.root);

        match name {
            "lseek" => {
                let at = result.trim().parse().expect("an offset");
                self.offsets.insert(descriptor(args[0]).to_owned(), at);
                Vec::new()
            }
            "openat" => {
                let path = resolve(args[0], args[1]);
                self.offsets.insert(descriptor(result).to_owned(), 0);
                let mut ops = Vec::new();
                if ours(&path) && args[2].contains("O_CREAT") {
                    ops.push(Op::Make(path.clone()));
                }
                if ours(&path) && args[2].contains("O_TRUNC") {
                    ops.push(Op::Resize { path, len: 0 });
                }
                ops
            }
            "write" => self.write(args, result),
            "pwrite64" if ours(&path_of(args[0])) => {
                let at = args[3].parse().expect("an offset");
                vec![Op::Write { path: path_of(args[0]), at, bytes: written(args[1], result) }]
            }
            "ftruncate" if ours(&path_of(args[0])) => {
                vec![Op::Resize { path: path_of(args[0]), len: args[1].parse().expect("a length") }]
            }
            "rename" if ours(&quoted(args[0])) => {
                vec![Op::Rename { from: quoted(args[0]), to: quoted(args[1]) }]
            }
            "unlink" | "rmdir" if ours(&quoted(args[0])) => vec![Op::Remove(quoted(args[0]))],
            "unlinkat" if ours(&resolve(args[0], args[1])) => {
                vec![Op::Remove(resolve(args[0], args[1]))]
            }
            "mkdir" if ours(&quoted(args[0])) => vec![Op::MakeFolder(quoted(args[0]))],
            "fsync" | "fdatasync" if ours(&path_of(args[0])) => vec![Op::Sync(path_of(args[0]))],

            "pwrite64" | "ftruncate" | "rename" | "unlink" | "rmdir" | "unlinkat" | "mkdir"
            | "fsync" | "fdatasync" => Vec::new(),
            // Ballast holds nothing, so it does not matter how much of it there is.
            "fallocate" if path_of(args[0]).to_string_lossy().contains("/ballast-") => Vec::new(),
            "mmap" if !args[3].contains("MAP_SHARED") => Vec::new(),
            _ => {
                let touches = args.iter().any(|arg| ours(&path_of(arg)) || ours(&quoted(arg)));
                assert!(!touches && name != "sync", "this test has no model of {name}({args:?}");
                Vec::new()
            }
        }
    }

    fn write(&mut self, args: &[&str], result: &str) -> Vec<Op> {
        let path = path_of(args[0]);
        let bytes = written(args[1], result);
        let offset = self.offsets.entry(descriptor(args[0]).to_owned()).or_default();
        let at = *offset;
        *offset += bytes.len() as u64;
        if path == self.notes {
            return vec![Op::Note(String::from_utf8(bytes).expect("a note is text"))];
        }
        if path.starts_with(self.root) { vec![Op::Write { path, at, bytes }] } else { Vec::new() }
    }
}

/// The number of `5<path>`.
fn descriptor(arg: &str) -> &str {
    arg.split_once('<').map_or(arg, |(number, _)| number).trim()
}

/// The path of `5<path>`; empty when there is none.
fn path_of(arg: &str) -> PathBuf {
    let inner = arg.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(PathBuf::new, |(path, _)| plain(path))
}

/// The path of `"path"`; empty when it is none.
fn quoted(arg: &str) -> PathBuf {
    let inner = arg.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(PathBuf::new, plain)
}

fn resolve(folder: &str, name: &str) -> PathBuf {
    path_of(folder).join(quoted(name))
}

fn plain(text: &str) -> PathBuf {
    PathBuf::from(String::from_utf8(unescape(text)).expect("temporary folders have plain names"))
}

/// What of a buffer was written.
fn written(arg: &str, result: &str) -> Vec<u8> {
    let text =
        arg.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("a whole buffer");
    let mut bytes = unescape(text);
    bytes.truncate(result.trim().parse().expect("a count of bytes"));
    bytes
}

/// `\x2f\x74` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok()).expect("hexadecimal")
    };
    let bytes = text.as_bytes();
    assert!(bytes.len().is_multiple_of(4), "strace -xx escapes every byte: {text}");
    bytes.chunks_exact(4).map(|four| (digit(four[2]) << 4) | digit(four[3])).collect()
}
