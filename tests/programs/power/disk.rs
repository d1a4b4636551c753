//! A disk that can be cut from its power: a file system in an image file on a loop device.
//!
//! The image lies on a second ext4 (without a journal, on a loop device over memory) that can be
//! frozen: the kernel then holds back every write to the image, so that a copy is what the device
//! had got at one moment, neither a write more nor one less. Nothing is synced in the inner file
//! system for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The size of what the image lies on.
const OUTER: &str = "700M";

/// The file system whose power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With its defaults: a journal, data before the names and sizes that speak of it.
    Ext4,
    /// Data whenever it pleases.
    Ext4Writeback,
    Xfs,
}

impl Kind {
    fn size(self) -> &'static str {
        // XFS takes nothing smaller.
        if self == Self::Xfs { "300M" } else { "128M" }
    }

    fn make(self, device: &str) -> Result<(), String> {
        match self {
            Self::Ext4 | Self::Ext4Writeback => run("mkfs.ext4", &["-q", "-F", device]),
            Self::Xfs => run("mkfs.xfs", &["-q", "-f", device]),
        }
    }

    fn mount(self, device: &str, at: &Path) -> Result<(), String> {
        let options: &[&str] = match self {
            Self::Ext4 => &["-t", "ext4"],
            Self::Ext4Writeback => &["-t", "ext4", "-o", "data=writeback"],
            // The copy has the same name as the disk, which is mounted too.
            Self::Xfs => &["-t", "xfs", "-o", "nouuid"],
        };
        run("mount", &[options, &[device, path(at)]].concat())
    }
}

/// Why the power of this file system cannot be cut on this machine; `None` when it can.
pub fn missing(kind: Kind) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can mount".to_owned());
    }

    for tool in ["losetup", "mkfs.ext4", "fsfreeze", "mount", "umount"] {
        if Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_err()
        {
            return Some(format!("{tool} is not installed"));
        }
    }

    let dir = tempfile::tempdir().ok()?;
    let file = dir.path().join("probe");
    let probe = || -> Result<(), String> {
        run("truncate", &["-s", "1M", path(&file)])?;
        let device = attach(&file)?;
        run("losetup", &["-d", &device])
    };
    if let Err(why) = probe() {
        return Some(format!("there are no loop devices: {why}"));
    }

    let try_it = || -> Result<(), String> {
        run("truncate", &["-s", "310M", path(&file)])?;
        Mounted::new(&file, &dir.path().join("at"), kind, true).map(|_| ())
    };
    try_it().err().map(|why| format!("{kind:?} cannot be had: {why}"))
}

/// A mounted file system on a loop device over a file. Taken down when dropped.
#[derive(Debug)]
pub struct Mounted {
    device: String,
    at: PathBuf,
}

impl Mounted {
    /// Mounts what is in `file` at `at`; after a `mkfs`, when it is new.
    pub fn new(file: &Path, at: &Path, kind: Kind, is_new: bool) -> Result<Self, String> {
        let device = attach(file)?;
        let mounted = Self { device, at: at.to_owned() };
        if is_new {
            kind.make(&mounted.device)?;
        }
        std::fs::create_dir_all(at).map_err(|e| e.to_string())?;
        kind.mount(&mounted.device, at)?;
        Ok(mounted)
    }

    /// An ext4 file system, after a `mkfs` when options for it are given.
    pub fn ext4(file: &Path, at: &Path, mkfs: Option<&[&str]>) -> Result<Self, String> {
        let device = attach(file)?;
        let mounted = Self { device, at: at.to_owned() };
        if let Some(options) = mkfs {
            run("mkfs.ext4", &[&["-q", "-F"], options, &[&mounted.device]].concat())?;
        }
        std::fs::create_dir_all(at).map_err(|e| e.to_string())?;
        Kind::Ext4.mount(&mounted.device, at)?;
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if run("umount", &[path(&self.at)]).is_err() {
            let _ = run("umount", &["-l", path(&self.at)]);
        }
        let _ = run("losetup", &["-d", &self.device]);
    }
}

/// Memory as a file system.
#[derive(Debug)]
struct Memory(PathBuf);

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", path(&self.0)]);
    }
}

/// The disk. Fields are dropped in this order.
#[derive(Debug)]
pub struct Disk {
    _inner: Mounted,
    outer: Mounted,
    memory: Memory,
    kind: Kind,
    _dir: tempfile::TempDir,
}

impl Disk {
    /// Makes one and mounts it at `data`.
    pub fn new(data: &Path, kind: Kind) -> Self {
        let make = || -> Result<Self, String> {
            let dir = tempfile::Builder::new()
                .prefix("hookbox-disk-")
                .tempdir()
                .map_err(|e| e.to_string())?;
            let memory = dir.path().join("memory");
            std::fs::create_dir(&memory).map_err(|e| e.to_string())?;
            run("mount", &["-t", "tmpfs", "-o", "size=1g", "tmpfs", path(&memory)])?;
            let memory = Memory(memory);
            let file = memory.0.join("outer");
            run("truncate", &["-s", OUTER, path(&file)])?;
            let outer =
                Mounted::ext4(&file, &dir.path().join("outer"), Some(&["-O", "^has_journal"]))?;
            let image = outer.at.join("image");
            run("truncate", &["-s", kind.size(), path(&image)])?;
            let inner = Mounted::new(&image, data, kind, true)?;
            Ok(Self { _inner: inner, outer, memory, kind, _dir: dir })
        };
        make().unwrap_or_else(|why| panic!("cannot make a disk: {why}"))
    }

    /// Cuts the power of a copy: what the device has got by now, mounted at `at`. The disk itself
    /// goes on. `sure` compares the copy with the image before the image may change again.
    pub fn cut(&self, at: &Path, sure: bool) -> Mounted {
        let (image, copy) = (self.outer.at.join("image"), self.memory.0.join("copy"));
        let cut = || -> Result<Mounted, String> {
            let frozen = Frozen::new(&self.outer.at)?;
            run("cp", &["--sparse=always", path(&image), path(&copy)])?;
            if sure {
                run("cmp", &[path(&image), path(&copy)])
                    .map_err(|why| format!("the image changed while it was frozen: {why}"))?;
            }
            drop(frozen);
            Mounted::new(&copy, at, self.kind, false)
        };
        cut().unwrap_or_else(|why| panic!("cannot cut the power: {why}"))
    }
}

struct Frozen(PathBuf);

impl Frozen {
    fn new(at: &Path) -> Result<Self, String> {
        run("fsfreeze", &["-f", path(at)])?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = run("fsfreeze", &["-u", path(&self.0)]);
    }
}

fn attach(file: &Path) -> Result<String, String> {
    let output = Command::new("losetup")
        .args(["--find", "--show"])
        .arg(file)
        .output()
        .map_err(|e| e.to_string())?;
    let device = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !device.is_empty() {
        Ok(device)
    } else {
        Err(format!("losetup: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn run(tool: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(tool).args(args).output().map_err(|e| format!("{tool}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{tool} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
