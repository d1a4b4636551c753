//! The operator's hand; see `hookbox::ctl`.
//!
//! Called by the name `hookboxd` it is the daemon, to the letter: `hookboxctl demo` starts its
//! daemon so, which then needs no other program beside it (`cargo run --bin hookboxctl` builds only
//! this one), and a package has one file under two names, half as large as two files. Either way
//! the two are always of one version.

use std::path::Path;
use std::process::ExitCode;

/// The daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|path| Path::new(path).file_name());
    if name.is_some_and(|name| name == "hookboxd") {
        return hookbox::daemon::program();
    }
    // What the daemon starts beside a command is this program, under no name.
    hookbox::outbound::supervise().unwrap_or_else(hookbox::ctl::main)
}
