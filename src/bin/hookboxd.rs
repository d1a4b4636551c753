//! The daemon. All of it is in `hookbox::daemon`; here is its allocator.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Events are made on one thread and let go on another, all day: the C library's allocator spends a
/// sixth of the daemon's time on that and keeps what it frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds after which freed memory goes back to the system. By itself the allocator waits for
/// a second, in which a busy daemon frees some MiB that it could have used again: 26 to 33 MiB
/// above an idle one, against 24 to 26, at the same speed.
const GIVE_BACK: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "100");

fn main() -> ExitCode {
    if let Some(code) = hookbox::outbound::supervise() {
        return code;
    }
    start_anew();
    hookbox::daemon::main()
}

/// The allocator reads its settings from the environment, before `main`: a process that was started
/// without this one becomes, under its own number and with all that it was given, one that was
/// started with it. Where that cannot be done it goes on as it is, and takes a little more memory.
fn start_anew() {
    let (name, value) = GIVE_BACK;
    if std::env::var_os(name).is_some() {
        return;
    }
    let mut given = std::env::args_os();
    if let (Ok(program), Some(called)) = (std::env::current_exe(), given.next()) {
        let _failed = Command::new(program).arg0(called).args(given).env(name, value).exec();
    }
}
