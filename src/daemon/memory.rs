//! What stands in this process's memory, all secrets among it, is nobody else's: no core file is
//! written of it, and no other process of the same user may look into it or trace it. What it
//! starts is a program of its own, and dumpable again; the limit on core files is inherited, which
//! commands have anyway.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::service::stdio;

/// Milliseconds after which freed memory goes back to the system. By itself the allocator waits for
/// a second, in which a busy daemon frees some MiB that it could have used again: 26 to 33 MiB
/// above an idle one, against 24 to 26, at the same speed.
const GIVE_BACK: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "100");

/// The allocator reads its settings from the environment, before `main`: a process that was started
/// without this one becomes, under its own number and with all that it was given, one that was
/// started with it. Where that cannot be done it goes on as it is, and takes a little more memory.
pub fn start_anew() {
    let (name, value) = GIVE_BACK;
    if std::env::var_os(name).is_some() {
        return;
    }
    let mut given = std::env::args_os();
    if let (Ok(program), Some(called)) = (std::env::current_exe(), given.next()) {
        let _failed = Command::new(program).arg0(called).args(given).env(name, value).exec();
    }
}

/// Called before anything secret is read. Where the system refuses it, that is logged, and
/// the daemon runs nevertheless.
pub fn keep_to_ourselves() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    // The limit alone is not enough: where cores are piped to a program, the kernel does not look
    // at it.
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    for (what, done) in
        [("core files cannot be turned off", limited), ("memory cannot be hidden", hidden)]
    {
        if let Err(error) = done {
            stdio::note(format_args!(
                "hookboxd: {what}: {error}; a crash may write secrets to the disk"
            ));
        }
    }
}

/// Says so when the allocator was compiled without its settings, which `.cargo/config.toml` gives:
/// cargo reads that file where it is run, so a build from elsewhere (`cargo install --git`) does
/// not have them.
pub fn warn_of_untuned_allocator() {
    if !is_tuned([option_env!("HOST_CFLAGS"), option_env!("TARGET_CFLAGS"), option_env!("CFLAGS")])
    {
        tracing::warn!(
            "this program was built without the settings of its allocator and takes more memory \
             over time: build it inside a clone of its repository, or with TARGET_CFLAGS as in \
             .cargo/config.toml"
        );
    }
}

fn is_tuned(flags: [Option<&str>; 3]) -> bool {
    flags.into_iter().flatten().any(|flags| flags.contains("MI_NO_ALIGNED_HINT=1"))
}

#[cfg(test)]
mod tests {
    use super::is_tuned;

    #[test]
    fn a_build_without_the_settings_of_the_allocator_is_known() {
        assert!(!is_tuned([None, Some("-O2"), None]));
        assert!(is_tuned([None, Some("-O2 -DMI_NO_ALIGNED_HINT=1"), None]));
        assert!(
            is_tuned([option_env!("HOST_CFLAGS"), option_env!("TARGET_CFLAGS"), None]),
            "this build has them"
        );
    }
}
