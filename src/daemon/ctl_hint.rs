//! The first commands that somebody who has just started a daemon needs, as they work from where it
//! was started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::config::layers::{LOCAL_SOCKET, SYSTEM_SOCKET};

const CTL: &str = "hookboxctl";

/// How `hookboxctl` can be called from here: the program beside the daemon, the one on the `PATH`,
/// or, for a daemon that `cargo run` has started, the cargo command that builds it.
pub fn ctl() -> String {
    let own = std::env::current_exe().unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let by_cargo = std::env::var_os("CARGO").is_some();
    call(&own, &here, &path, by_cargo, &|file| file.is_file())
}

/// The same with the socket, unless it is the one that `hookboxctl` looks for by itself.
pub fn ctl_with(socket: &Path) -> String {
    let variable = std::env::var_os("HOOKBOX_SOCKET").map(PathBuf::from);
    let has_system = Path::new(SYSTEM_SOCKET).exists();
    match is_found(socket, variable.as_deref(), has_system) {
        true => ctl(),
        false => format!("{} --socket {}", ctl(), shown(socket)),
    }
}

/// Whether `hookboxctl` finds this socket from here without an option.
fn is_found(socket: &Path, variable: Option<&Path>, has_system: bool) -> bool {
    let looked_for = if has_system { SYSTEM_SOCKET } else { LOCAL_SOCKET };
    let looked_for = variable.unwrap_or(Path::new(looked_for));
    let plain = |path: &Path| path.strip_prefix(".").unwrap_or(path).to_owned();
    plain(socket) == plain(looked_for)
}

fn call(
    own: &Path,
    here: &Path,
    path: &OsStr,
    by_cargo: bool,
    is_there: &dyn Fn(&Path) -> bool,
) -> String {
    let folder = own.parent().unwrap_or(Path::new(""));
    let on_path = std::env::split_paths(path).find(|folder| is_there(&folder.join(CTL)));
    if on_path.as_deref() == Some(folder) {
        return CTL.to_owned();
    }

    let beside = folder.join(CTL);
    if is_there(&beside) {
        return beside
            .strip_prefix(here)
            .map_or_else(|_| shown(&beside), |below| shown(&Path::new(".").join(below)));
    }

    if by_cargo {
        return match folder.file_name().and_then(OsStr::to_str) {
            Some("release") => format!("cargo run --release --bin {CTL} --"),
            Some(profile) if profile != "debug" => {
                format!("cargo run --profile {profile} --bin {CTL} --")
            }
            _ => format!("cargo run --bin {CTL} --"),
        };
    }
    CTL.to_owned()
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    let text = PathBuf::from(path).to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(own: &str, here: &str, path: &str, by_cargo: bool, there: &[&str]) -> String {
        call(Path::new(own), Path::new(here), OsStr::new(path), by_cargo, &|file| {
            there.iter().any(|one| file == Path::new(one))
        })
    }

    #[test]
    fn a_socket_that_is_found_is_not_named() {
        let found = |socket: &str, variable: Option<&str>, has_system| {
            is_found(Path::new(socket), variable.map(Path::new), has_system)
        };
        assert!(found("./hookbox-data/admin.sock", None, false));
        assert!(found("hookbox-data/admin.sock", None, false));
        assert!(found("/run/hookbox/admin.sock", None, true));
        assert!(found("/mine", Some("/mine"), true));

        assert!(!found("./hookbox-data/admin.sock", None, true), "the system's comes first");
        assert!(!found("/elsewhere/admin.sock", None, false));
        assert!(!found("./hookbox-data/admin.sock", Some("/mine"), false));
    }

    #[test]
    fn an_installed_program_is_called_by_its_name() {
        let there = ["/usr/bin/hookboxctl"];
        assert_eq!(
            from("/usr/bin/hookboxd", "/root", "/bin:/usr/bin", false, &there),
            "hookboxctl"
        );
    }

    #[test]
    fn the_program_beside_the_daemon_is_called_by_its_path() {
        let there = ["/p/target/release/hookboxctl", "/usr/bin/hookboxctl"];
        let own = "/p/target/release/hookboxd";
        assert_eq!(from(own, "/p", "/usr/bin", true, &there), "./target/release/hookboxctl");
        assert_eq!(
            from(own, "/elsewhere", "/usr/bin", true, &there),
            "/p/target/release/hookboxctl"
        );
        let there = ["/my box/hookboxctl"];
        assert_eq!(from("/my box/hookboxd", "/", "", false, &there), "'./my box/hookboxctl'");
    }

    #[test]
    fn what_cargo_has_not_built_yet_is_built_by_cargo() {
        let ctl = |profile: &str| {
            from(&format!("/p/target/{profile}/hookboxd"), "/p", "/usr/bin", true, &[])
        };
        assert_eq!(ctl("release"), "cargo run --release --bin hookboxctl --");
        assert_eq!(ctl("debug"), "cargo run --bin hookboxctl --");
        assert_eq!(ctl("dist"), "cargo run --profile dist --bin hookboxctl --");
    }
}
