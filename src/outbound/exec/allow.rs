//! Which commands may run: `[exec] allow`, whole paths, or a folder's with `/*`.
//!
//! What is compared is the file that would really run, with every link followed, and it is that file which runs.
//! Nothing that everybody can change may run, whatever the list says.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The list, as it stands in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Allow(pub Vec<String>);

impl Allow {
    /// The file that runs for `command`.
    ///
    /// # Errors
    /// Why it may not run, and what to do.
    pub(in crate::outbound) fn admit(&self, command: &Path) -> Result<PathBuf, String> {
        let shown = command.display();
        if self.0.is_empty() {
            return Err(format!(
                "hookboxd may not run commands: put allow = [\"{shown}\"] into [exec] of hookbox.toml, and reload it"
            ));
        }
        let real = fs::canonicalize(command).map_err(|error| format!("the command {shown} is not there: {error}"))?;
        if !self.0.iter().any(|rule| is_meant(rule, &real)) {
            let really = if real == command { String::new() } else { format!(" (it is really {})", real.display()) };
            return Err(format!(
                "{shown}{really} is not in allow, in [exec] of hookbox.toml: add it, and reload hookboxd"
            ));
        }
        let meta = fs::metadata(&real).map_err(|error| format!("the command {shown} cannot be looked at: {error}"))?;
        if !meta.is_file() || meta.mode() & 0o111 == 0 {
            return Err(format!("{shown} is not a file that can be executed: chmod +x it"));
        }
        let folder = real.parent().and_then(|folder| fs::metadata(folder).ok()).map_or(0, |meta| meta.mode());
        // In a folder with the sticky bit others cannot put another file in its place.
        if meta.mode() & 0o002 != 0 || (folder & 0o002 != 0 && folder & 0o1000 == 0) {
            return Err(format!("{} can be changed by everybody: chmod o-w it and its folder", real.display()));
        }
        Ok(real)
    }
}

/// Whether a rule means this file. Both sides without links.
fn is_meant(rule: &str, real: &Path) -> bool {
    match rule.strip_suffix("/*") {
        Some(folder) => {
            let folder = if folder.is_empty() { "/" } else { folder };
            fs::canonicalize(folder).is_ok_and(|folder| real.parent() == Some(&folder))
        }
        None => fs::canonicalize(rule).is_ok_and(|rule| rule == real),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::Allow;

    fn file(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn only_what_is_named_and_nobody_else_can_change_runs() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("in"), root.join("out"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        let good = file(&inside, "good", 0o755);
        let other = file(&outside, "other", 0o755);
        symlink(&other, inside.join("link")).unwrap();
        symlink(&good, root.join("alias")).unwrap();
        let folder = Allow(vec![format!("{}/*", inside.display())]);
        let exact = Allow(vec![root.join("alias").display().to_string()]);
        assert_eq!(folder.admit(&good), Ok(good.clone()));
        assert_eq!(exact.admit(&good), Ok(good.clone()));
        assert_eq!(exact.admit(&root.join("alias")), Ok(good.clone()));
        for (allow, command, word) in [
            (&Allow::default(), good.clone(), "may not run commands"),
            (&folder, inside.join("missing"), "not there"),
            (&folder, inside.join("link"), "is really"),
            (&folder, inside.join("../out/other"), "not in allow"),
            (&exact, other, "not in allow"),
            (&folder, file(&inside, "plain", 0o644), "chmod +x"),
            (&folder, file(&inside, "open", 0o757), "everybody"),
        ] {
            let why = allow.admit(&command).expect_err(word);
            assert!(why.contains(word), "{why}");
        }
        fs::set_permissions(&inside, Permissions::from_mode(0o777)).unwrap();
        assert!(folder.admit(&good).expect_err("open folder").contains("everybody"));
    }
}
