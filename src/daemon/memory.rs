//! What stands in this process's memory, all secrets among it, is nobody else's: no core file is
//! written of it, and no other process of the same user may look into it or trace it. What it
//! starts is a program of its own, and dumpable again; the limit on core files is inherited, which
//! commands have anyway.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

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
            eprintln!("hookboxd: {what}: {error}; a crash may write secrets to the disk");
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
