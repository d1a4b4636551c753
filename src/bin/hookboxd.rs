//! The daemon. All of it is in `hookbox::daemon`; here is its allocator.

use std::process::ExitCode;

/// Events are made on one thread and let go on another, all day: the C library's allocator spends a
/// sixth of the daemon's time on that and keeps what it frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookbox::daemon::program()
}
