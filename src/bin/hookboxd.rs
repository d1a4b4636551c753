//! The daemon. All of it is in `hookbox::daemon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookbox::daemon::main()
}
