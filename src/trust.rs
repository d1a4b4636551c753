//! Whether a path is out of the reach of others: from `/` on, every folder on the way, every link,
//! and the file itself belong to root or to the user of this process, and neither group nor others
//! can write to them.
//!
//! The path is followed from its root, and a folder is looked at before what is in it. So whoever
//! is not trusted can change nothing of it, neither while it is looked at nor afterwards: what was
//! checked is what a command runs ([`follow`]), and where a copy is written ([`make_folder`]).
//!
//! A folder with the sticky bit, such as /tmp, is safe for what stands in it and has an owner:
//! others can neither remove nor rename that. It is not safe for a name that is free, which others
//! may take. So no command is run from below one, for its file may be replaced at any time; a copy
//! may be made in a folder below one, never in it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// Links on the way of one path, as the kernel counts them.
const LINKS: usize = 40;

/// Why a path is not followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    #[error("{}: {error}", path.display())]
    Missing { path: PathBuf, error: io::Error },
    #[error(
        "{} can be changed by others (it belongs to user {owner} and has mode {mode:04o}): it and \
         every folder above it must belong to root or to the user of this program, and be \
         writable by neither group nor others (chmod go-w)",
        path.display()
    )]
    Open { path: PathBuf, owner: u32, mode: u32 },
    #[error("{}: too many links", path.display())]
    Links { path: PathBuf },
}

/// Follows a path and returns the file or folder that it means, without links.
///
/// # Errors
/// When something on the way is missing, or others can change it.
pub fn follow(path: &Path) -> Result<(PathBuf, Metadata), Distrust> {
    walk(Path::new("/"), path, Purpose::Run)
}

/// Makes a folder for its owner alone, with those above it that are missing, and returns it without
/// links. One that is there already is taken as it is.
///
/// # Errors
/// When others can change it or its place, before anything is made in there; or when it cannot be
/// made.
pub fn make_folder(path: &Path) -> Result<PathBuf, Distrust> {
    let path = std::path::absolute(path)
        .map_err(|error| Distrust::Missing { path: path.to_owned(), error })?;
    let (real, meta) = walk(Path::new("/"), &path, Purpose::Write)?;
    if !meta.is_dir() {
        let error = io::ErrorKind::NotADirectory.into();
        return Err(Distrust::Missing { path: real, error });
    }
    check(&real, &meta, false)?;
    Ok(real)
}

/// Whether only root and the user of this process can change a file or a folder. What stands above
/// it is another question.
#[must_use]
pub fn is_ours(meta: &Metadata) -> bool {
    belongs_to_us(meta) && (meta.is_symlink() || meta.mode() & 0o022 == 0)
}

fn belongs_to_us(meta: &Metadata) -> bool {
    meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw()
}

/// What a path is followed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It has to be there.
    Run,
    /// Folders that are missing are made, and some of those on the way may be sticky.
    Write,
}

/// Follows a path where `top`, which has no links, is trusted as it is: for tests, whose folders
/// lie where others can write.
fn walk(top: &Path, path: &Path, purpose: Purpose) -> Result<(PathBuf, Metadata), Distrust> {
    let mut real = PathBuf::from("/");
    let mut meta = look(&real)?;
    let mut ahead: Vec<OsString> = steps(path);
    let mut links = 0;

    while let Some(step) = ahead.pop() {
        if step == ".." {
            real.pop();
            continue;
        }

        let next = real.join(&step);
        meta = match look(&next) {
            Err(Distrust::Missing { error, .. })
                if purpose == Purpose::Write && error.kind() == io::ErrorKind::NotFound =>
            {
                make(&next)?
            }
            looked => looked?,
        };

        let is_link = meta.file_type().is_symlink();
        let is_passed = purpose == Purpose::Write && is_safe_to_pass(&meta);
        if next.starts_with(top) && next != top && !is_passed {
            check(&next, &meta, is_link)?;
        }
        if !is_link {
            real = next;
            continue;
        }

        links += 1;
        if links > LINKS {
            return Err(Distrust::Links { path: next });
        }
        let target =
            fs::read_link(&next).map_err(|error| Distrust::Missing { path: next, error })?;
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        ahead.extend(steps(&target));
    }

    // After a `..` what was looked at last is not what is returned.
    meta = if real.file_name().is_some() { look(&real)? } else { meta };
    Ok((real, meta))
}

/// Makes a folder for its owner alone, and looks at it: somebody may have been faster.
fn make(path: &Path) -> Result<Metadata, Distrust> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Distrust::Missing { path: path.to_owned(), error })
        }
        _ => look(path),
    }
}

/// Whether this is a folder such as /tmp, in which nobody moves what is ours.
fn is_safe_to_pass(meta: &Metadata) -> bool {
    meta.is_dir() && belongs_to_us(meta) && meta.mode() & 0o1000 != 0
}

/// The names in a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let names = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).rev().collect()
}

fn look(path: &Path) -> Result<Metadata, Distrust> {
    let meta = fs::symlink_metadata(path)
        .map_err(|error| Distrust::Missing { path: path.to_owned(), error })?;
    if path.parent().is_none() {
        check(path, &meta, false)?;
    }
    Ok(meta)
}

/// The mode of a link means nothing: its folder decides who may replace it.
fn check(path: &Path, meta: &Metadata, is_link: bool) -> Result<(), Distrust> {
    if belongs_to_us(meta) && (is_link || meta.mode() & 0o022 == 0) {
        return Ok(());
    }
    Err(Distrust::Open { path: path.to_owned(), owner: meta.uid(), mode: meta.mode() & 0o7777 })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::path::{Path, PathBuf};

    use super::{Distrust, Metadata, Purpose, follow, make_folder, walk};

    fn follow_below(top: &Path, path: &Path) -> Result<(PathBuf, Metadata), Distrust> {
        walk(top, path, Purpose::Run)
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_is_made_only_where_others_cannot_reach_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let made = make_folder(&top.join("a/b/c")).unwrap();
        assert_eq!(made, top.join("a/b/c"));
        for folder in ["a", "a/b", "a/b/c"] {
            let meta = fs::metadata(top.join(folder)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o7777, 0o700, "{folder}");
        }
        assert_eq!(make_folder(&made).unwrap(), made, "one that is there");

        // Others may write where it would be made, or could move a folder above it.
        let open = top.join("open");
        fs::create_dir(&open).unwrap();
        symlink("open", top.join("link")).unwrap();
        for bits in [0o777, 0o775, 0o757] {
            mode(&open, bits);
            for path in ["open", "open/x/y", "link/x", "a/../open/x"] {
                let refused = make_folder(&top.join(path));
                assert!(
                    matches!(&refused, Err(Distrust::Open { path, .. }) if *path == open),
                    "{path}: {refused:?}"
                );
            }
        }
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0, "nothing was made");

        // In a sticky folder what is ours stays ours; the folder itself is refused.
        mode(&open, 0o1777);
        assert_eq!(make_folder(&open.join("x/y")).unwrap(), open.join("x/y"));
        assert!(matches!(make_folder(&open), Err(Distrust::Open { .. })));
        fs::write(top.join("file"), "").unwrap();
        assert!(matches!(make_folder(&top.join("file")), Err(Distrust::Missing { .. })));

        if rustix::process::geteuid().is_root() {
            let foreign = open.join("foreign");
            fs::create_dir(&foreign).unwrap();
            chown(&foreign, Some(12345), None).unwrap();
            symlink(&made, open.join("theirs")).unwrap();
            std::os::unix::fs::lchown(open.join("theirs"), Some(12345), None).unwrap();
            for path in ["foreign", "foreign/x", "theirs", "theirs/x"] {
                let refused = make_folder(&open.join(path));
                assert!(matches!(refused, Err(Distrust::Open { owner: 12345, .. })), "{path}");
            }
        }
    }

    #[test]
    fn everything_on_the_way_is_out_of_others_reach() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let folder = top.join("a/b");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("tool");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        symlink("b/tool", top.join("a/link")).unwrap();
        symlink(top.join("a/link"), top.join("far")).unwrap();
        let places = [top.join("a"), folder.clone(), file.clone()];
        places.iter().for_each(|path| mode(path, 0o755));
        let all =
            [file.clone(), top.join("a/link"), top.join("far"), folder.join("../../a/b/./tool")];

        for path in &all {
            assert_eq!(
                follow_below(&top, path).map(|(real, _)| real).ok(),
                Some(file.clone()),
                "{}",
                path.display()
            );
        }

        // One after another is opened; sticky and setgid do not make it better.
        for place in &places {
            for open in [0o775, 0o757, 0o777, 0o1777, 0o2775] {
                mode(place, open);
                for path in &all {
                    let refused = follow_below(&top, path);
                    let Err(Distrust::Open { path: found, .. }) = refused else {
                        panic!("{}", path.display())
                    };
                    assert_eq!(found, *place);
                }
            }
            mode(place, 0o755);
        }

        assert!(matches!(follow_below(&top, &folder.join("none")), Err(Distrust::Missing { .. })));
        symlink("loop", top.join("loop")).unwrap();
        assert!(matches!(follow_below(&top, &top.join("loop")), Err(Distrust::Links { .. })));

        if rustix::process::geteuid().is_root() {
            for place in [&folder, &file, &top.join("far")] {
                std::os::unix::fs::lchown(place, Some(12345), None).unwrap();
                let refused = follow_below(&top, &all[2]);
                assert!(
                    matches!(refused, Err(Distrust::Open { owner: 12345, .. })),
                    "{}",
                    place.display()
                );
                std::os::unix::fs::lchown(place, Some(0), None).unwrap();
            }
            chown(&file, Some(0), None).unwrap();
        }

        // A folder above all of them counts as well: temporary folders are in one that everybody
        // writes to.
        let tmp = PathBuf::from("/tmp");
        if fs::metadata(&tmp).is_ok_and(|meta| meta.permissions().mode() & 0o002 != 0)
            && top.starts_with(&tmp)
        {
            assert!(matches!(follow(&file), Err(Distrust::Open { path, .. }) if path == tmp));
        }
        assert!(follow(Path::new("/bin/sh")).is_ok());
    }
}
