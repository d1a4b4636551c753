//! Tells the linker what makes the programs smaller.
//!
//! No profile of cargo has these settings, and `.cargo/config.toml` is not read by `cargo install --git`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");

    // The linker that rustc itself brings for this target knows these options, and so it is asked only if nobody named
    // another one. Development builds are linked often, and their size does not matter.
    let is_optimized = variable("PROFILE") == "release";
    let is_own_linker = variable("TARGET") == "x86_64-unknown-linux-gnu"
        && variable("RUSTC_LINKER").is_empty()
        && !variable("CARGO_ENCODED_RUSTFLAGS").contains("link");
    if !is_optimized || !is_own_linker {
        return;
    }

    // Much of the programs is generic code that is written out once for each type, often with the same result: one copy of
    // it takes 350 KB from `hookboxd`.
    println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");

    // A panic ends the programs of packages without unwinding, and there are no names for a backtrace, so that the index of
    // stack frames is of no use: 140 KB.
    if is_dist() {
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }

    // The addresses that the loader adjusts at a start, 24 bytes each, become one bit each: 490 KB. An older loader cannot
    // read them and says so, so a package that is built where the loader is older has the long form.
    if is_dist() && c_library().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether this is the profile `dist`, after which cargo names the folder of what it builds.
fn is_dist() -> bool {
    std::path::Path::new(&variable("OUT_DIR")).iter().any(|folder| folder == "dist")
}

/// The version of this machine's GNU C library, such as 2.36.
fn c_library() -> Option<(u32, u32)> {
    let output = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = version.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
