//! Whether a path is out of the reach of others: from `/` on, every folder on the way, every link,
//! and the file itself belong to root or to the daemon's user, and neither group nor others can
//! write to them.
//!
//! The path is followed from its root, and a folder is looked at before what is in it. So whoever
//! is not trusted can change nothing of it, neither while it is looked at nor between that and the
//! start of the command: what was checked is what runs. A folder with the sticky bit, such as /tmp,
//! does not count as safe: others can put there what has no owner yet, and a name that is free for
//! a moment is theirs.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
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
         every folder above it must belong to root or to hookboxd's user, and be writable by \
         neither group nor others (chmod go-w)",
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
    follow_below(Path::new("/"), path)
}

/// The same where `top`, which has no links, is trusted as it is: for tests, whose folders lie
/// where others can write.
fn follow_below(top: &Path, path: &Path) -> Result<(PathBuf, Metadata), Distrust> {
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
        meta = look(&next)?;
        let is_link = meta.file_type().is_symlink();
        if next.starts_with(top) && next != top {
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
    let is_ours = meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw();
    if is_ours && (is_link || meta.mode() & 0o022 == 0) {
        return Ok(());
    }
    Err(Distrust::Open { path: path.to_owned(), owner: meta.uid(), mode: meta.mode() & 0o7777 })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::path::{Path, PathBuf};

    use super::{Distrust, follow, follow_below};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
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
