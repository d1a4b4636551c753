//! Tells the linker to keep one copy of functions whose machine code is the same.
//!
//! Much of the programs is generic code that is written out once for each type, often with the same result: folding it
//! takes 350 KB from `hookboxd`. No profile of cargo has this setting, and `.cargo/config.toml` is not read by
//! `cargo install --git`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");

    // The linker that rustc itself brings for this target can fold, and so it is asked only if nobody named another one.
    // Development builds are linked often, and their size does not matter.
    let is_optimized = variable("PROFILE") == "release";
    let is_own_linker = variable("TARGET") == "x86_64-unknown-linux-gnu"
        && variable("RUSTC_LINKER").is_empty()
        && !variable("CARGO_ENCODED_RUSTFLAGS").contains("link");

    if is_optimized && is_own_linker {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
    if is_own_linker && is_dist() {
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}

/// Whether this is the profile `dist`, after which cargo names the folder of what it builds. A
/// panic ends its programs without unwinding, and there are no names for a backtrace, so that the
/// index of stack frames is of no use: 140 KB.
fn is_dist() -> bool {
    std::path::Path::new(&variable("OUT_DIR")).iter().any(|folder| folder == "dist")
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
