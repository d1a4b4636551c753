//! The bridge to NATS JetStream; see `hookbox::nats`.

use std::process::ExitCode;

/// The daemon's: messages are made on one thread and let go on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookbox::nats::program()
}
