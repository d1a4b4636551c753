//! Which release of hookbox this is.

/// The version, as Cargo.toml has it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, as far as whoever built it has said so with `HOOKBOX_COMMIT`
/// (the scripts in `packaging/` do): a build needs no repository.
pub const COMMIT: &str = match option_env!("HOOKBOX_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown",
};
