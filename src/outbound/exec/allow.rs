//! Which commands may run: `[exec] allow`, whole paths, or a folder's with `/*`.
//!
//! The list is compared with the file that would really run, with every link followed, and it is
//! that file which runs. Nothing that others can change may run, even if the list names it: see
//! [`trust`](crate::trust). That goes for the interpreter of a script, too.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::outbound::failure::EndpointRefusal;
use crate::trust::{Distrust, follow};

/// Where commands look for others; of these, the folders that others cannot write to.
const PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// The bytes that the kernel reads of a file to find its interpreter, and how deep it looks for one
/// that is not a script itself.
const FIRST_LINE: usize = 256;
const INTERPRETERS: usize = 4;

/// The list, as it stands in the configuration.
#[derive(Clone, Debug, Default)]
pub struct AllowedCommands(pub Vec<String>);

/// A file that may run, and which one it was when that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
}

impl AllowedCommands {
    /// The file that runs for `command`.
    ///
    /// # Errors
    /// Why it may not run, and what to do.
    pub fn admit(&self, command: &Path) -> Result<Admitted, EndpointRefusal> {
        let shown = command.display();
        if self.0.is_empty() {
            return Err(EndpointRefusal::NotAllowed(format!(
                "hookboxd may not run commands: put allow = [\"{shown}\"] into [exec] of \
                 hookbox.toml, and reload it"
            )));
        }

        let real = fs::canonicalize(command)
            .map_err(|error| format!("the command {shown} is not there: {error}"))?;
        if !self.0.iter().any(|rule| is_meant(rule, &real)) {
            let really = if real == command {
                String::new()
            } else {
                format!(" (it is really {})", real.display())
            };
            return Err(EndpointRefusal::NotAllowed(format!(
                "{shown}{really} is not in allow, in [exec] of hookbox.toml: add it, and reload \
                 hookboxd"
            )));
        }

        let meta = fs::metadata(&real)
            .map_err(|error| format!("the command {shown} cannot be looked at: {error}"))?;
        if !meta.is_file() || meta.mode() & 0o111 == 0 {
            let why = format!("{shown} is not a file that can be executed: chmod +x it");
            return Err(why.into());
        }

        let (trusted, meta) =
            follow(command).map_err(|why| format!("the command {shown} does not run: {why}"))?;
        if trusted != real {
            return Err(format!("the command {shown} is being replaced right now").into());
        }

        let interpreted = check_interpreter(&real, INTERPRETERS);
        interpreted.map_err(|why| {
            format!("the script {shown} does not run, because of its interpreter: {why}")
        })?;
        Ok(Admitted { path: real, device: meta.dev(), inode: meta.ino() })
    }
}

/// `PATH` for commands: what is found there by name is as safe as they are.
pub fn search_path() -> String {
    let safe = PATH.iter().filter(|folder| follow(Path::new(folder)).is_ok());
    safe.copied().collect::<Vec<_>>().join(":")
}

/// Whether a rule means this file. Both sides without links; a rule that goes through what others
/// can change means nothing.
fn is_meant(rule: &str, real: &Path) -> bool {
    let (named, is_folder) = match rule.strip_suffix("/*") {
        Some("") => ("/", true),
        Some(folder) => (folder, true),
        None => (rule, false),
    };
    let meant = fs::canonicalize(named)
        .ok()
        .filter(|meant| meant == Path::new(named) || follow(Path::new(named)).is_ok());
    meant.is_some_and(|meant| if is_folder { real.parent() == Some(&meant) } else { meant == real })
}

/// Checks what the kernel would start instead of a script. One that is found by its name
/// (`#!/usr/bin/env python3`) is looked for in [`search_path`], which holds nothing of others.
fn check_interpreter(file: &Path, depth: usize) -> Result<(), String> {
    let Some(interpreter) = interpreter(file) else { return Ok(()) };
    let shown = interpreter.display();
    if !interpreter.is_absolute() {
        return Err(format!("write its whole path behind #!, not '{shown}'"));
    }
    if depth == 0 {
        return Err(format!("{shown} is a script, too"));
    }

    let followed = follow(&interpreter);
    let (real, _) = followed.map_err(|why| match why {
        Distrust::Missing { .. } => format!("it is not there: {why}"),
        other => other.to_string(),
    })?;
    check_interpreter(&real, depth - 1)
}

/// The path behind `#!` in the first line. A file that cannot be read is not a script that this
/// user could run.
fn interpreter(file: &Path) -> Option<PathBuf> {
    let mut line = Vec::with_capacity(FIRST_LINE);
    File::open(file).ok()?.take(FIRST_LINE as u64).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let path = line.split(u8::is_ascii_whitespace).next()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::{AllowedCommands, EndpointRefusal, check_interpreter, interpreter, search_path};

    fn file(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A folder that nobody else can change, if there is one here.
    fn safe_folder() -> Option<tempfile::TempDir> {
        let homes = [std::env::var("HOME").ok()?, "/root".to_owned()];
        homes.iter().find_map(|home| {
            let dir = tempfile::tempdir_in(home).ok()?;
            super::follow(dir.path()).is_ok().then_some(dir)
        })
    }

    #[test]
    fn only_what_is_named_and_nobody_else_can_change_runs() {
        let Some(dir) = safe_folder() else {
            return eprintln!("skipped: no folder here is out of others' reach");
        };
        let root = dir.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("in"), root.join("out"));
        for folder in [&inside, &outside] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }

        let good = file(&inside, "good", 0o755);
        let other = file(&outside, "other", 0o755);
        symlink(&other, inside.join("link")).unwrap();
        symlink(&good, root.join("alias")).unwrap();
        let folder = AllowedCommands(vec![format!("{}/*", inside.display())]);
        let exact = AllowedCommands(vec![root.join("alias").display().to_string()]);
        let admitted = |allow: &AllowedCommands, command: &Path| {
            allow.admit(command).map(|admitted| admitted.path)
        };
        assert_eq!(admitted(&folder, &good), Ok(good.clone()));
        assert_eq!(admitted(&exact, &good), Ok(good.clone()));
        assert_eq!(admitted(&exact, &root.join("alias")), Ok(good.clone()));

        for (allow, command, word) in [
            (&AllowedCommands::default(), good.clone(), "may not run commands"),
            (&folder, inside.join("missing"), "not there"),
            (&folder, inside.join("link"), "is really"),
            (&folder, inside.join("../out/other"), "not in allow"),
            (&exact, other, "not in allow"),
            (&folder, file(&inside, "plain", 0o644), "chmod +x"),
            (&folder, file(&inside, "open", 0o757), "by others"),
            (&folder, file(&inside, "shared", 0o775), "by others"),
        ] {
            let why = allow.admit(&command).expect_err(word);
            let is_listed = matches!(why, EndpointRefusal::Settings(_));
            let why = why.to_string();
            assert!(why.contains(word), "{why}");
            assert_eq!(is_listed, !why.contains("[exec]"), "{why}");
        }

        for open in [0o777, 0o1777, 0o775] {
            for place in [&inside, &root] {
                fs::set_permissions(place, Permissions::from_mode(open)).unwrap();
                let why = admitted(&folder, &good).expect_err("open folder").to_string();
                assert!(why.contains("by others"), "{why}");
                fs::set_permissions(place, Permissions::from_mode(0o755)).unwrap();
            }
        }

        assert_eq!(admitted(&folder, &good), Ok(good));
    }

    #[test]
    fn a_way_through_a_folder_of_others_leads_nowhere() {
        // The link is harmless in itself, but others could put another one in its place.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        symlink("/bin/sh", dir.path().join("link")).unwrap();
        let link = dir.path().join("link");
        let allow = AllowedCommands(vec!["/bin/sh".to_owned()]);
        assert!(allow.admit(Path::new("/bin/sh")).is_ok());
        let refused = |allow: &AllowedCommands, command: &Path| {
            allow.admit(command).expect_err("through /tmp").to_string()
        };
        assert!(refused(&allow, &link).contains("by others"));
        let allow = AllowedCommands(vec![link.display().to_string()]);
        assert!(refused(&allow, Path::new("/bin/sh")).contains("not in allow"));
    }

    #[test]
    fn an_interpreter_is_as_safe_as_its_script() {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let script = |text: &str| {
            let path = dir.path().join("script");
            fs::write(&path, text).unwrap();
            path
        };

        for (text, found) in [
            ("#!/bin/sh\n", Some("/bin/sh")),
            ("#! /usr/bin/env -S sh -e\n", Some("/usr/bin/env")),
            ("#!/bin/sh", Some("/bin/sh")),
            ("\x7fELF", None),
            ("", None),
        ] {
            assert_eq!(interpreter(&script(text)), found.map(PathBuf::from), "{text:?}");
        }

        assert_eq!(check_interpreter(&script("#!/bin/sh -e\n"), 4), Ok(()));
        let sly = format!("#!{}/sh\n", dir.path().display());
        assert!(check_interpreter(&script(&sly), 4).expect_err("in /tmp").contains("by others"));
        assert!(
            check_interpreter(&script("#!sh\n"), 4).expect_err("relative").contains("whole path")
        );
        assert!(
            check_interpreter(&script("#!/no/such/sh\n"), 4)
                .expect_err("missing")
                .contains("not there")
        );

        assert!(search_path().split(':').any(|folder| folder == "/usr/bin"));
    }
}
