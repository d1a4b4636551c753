//! The operator's hand; see `hookbox::ctl`.
//!
//! Called by the name `hookboxd` it is the daemon. `hookboxctl demo` starts its daemon so: it then
//! needs no other program beside it (`cargo run --bin hookboxctl` builds only this one), and the
//! two are always of one version.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|path| Path::new(path).file_name());
    if name.is_some_and(|name| name == "hookboxd") {
        hookbox::daemon::main()
    } else {
        hookbox::ctl::main()
    }
}
