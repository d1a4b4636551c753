//! How much is tried, in one table. The default is what runs on every change; `.ci/nightly` sets
//! the large sizes through the environment.

/// The variable, the default, and what it counts.
const SIZES: &[(&str, u64, &str)] = &[
    ("HOOKBOX_CRASH_KILLS", 20, "kills under load and during a start"),
    (
        "HOOKBOX_DISK_FAULTS",
        1,
        "density of the calls that fail: n grows by n / density; above 600 none is left out",
    ),
    ("HOOKBOX_FAIR_ROUNDS", 3, "pairs of runs without and with each attacker"),
    ("HOOKBOX_FAIR_S", 4, "seconds of each of these runs"),
    // `just damage` flips a hundred, with optimized programs.
    ("HOOKBOX_FLIPS", 8, "flipped bits, half of them after a kill; a quarter as many truncations"),
    ("HOOKBOX_JOURNAL_STATES", 200, "states that a power cut can leave, at random"),
    ("HOOKBOX_POINT_ROUNDS", 1, "deaths at each fail point"),
    ("HOOKBOX_POWER_CUTS", 10, "power cuts on each file system"),
    ("HOOKBOX_RETENTION_MIB", 32, "memory that retention may take"),
    ("HOOKBOX_SIM_FAILURES", 10, "seeds that fail before the others are not tried any more"),
    ("HOOKBOX_SIM_FIRST", 1, "the first seed of the simulation"),
    // Without optimization a seed takes a second: `just sim` runs the thousand in a minute.
    (
        "HOOKBOX_SIM_SEEDS",
        if cfg!(debug_assertions) { 12 } else { 1000 },
        "seeds of the simulation",
    ),
    ("HOOKBOX_SLOW_CLIENTS", 400, "clients that send slowly or not at all"),
    ("HOOKBOX_SOAK_RATE", 1000, "events a second in the soak"),
    ("HOOKBOX_SOAK_S", 40, "seconds of the soak"),
    ("HOOKBOX_STARTS", 24, "starts of one log, one after the other"),
    ("HOOKBOX_STOP_SECONDS", 3, "seconds for which a process is stopped"),
];

/// The size that the environment asks for, or the default.
///
/// # Panics
/// When the table has no such size, or the environment gives no number for it.
#[track_caller]
pub fn size(name: &str) -> u64 {
    let (_, default, what) = SIZES
        .iter()
        .find(|(known, ..)| *known == name)
        .unwrap_or_else(|| panic!("the table of sizes lacks {name}"));

    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number: it is for {what}")),
        Err(_) => *default,
    }
}

/// Fails the test with the reason when this machine cannot run it. Such tests are `#[ignore]`d with
/// what they need, so whoever runs them asked for it.
#[track_caller]
pub fn require(missing: Option<String>) {
    if let Some(why) = missing {
        panic!("this test cannot run here: {why}");
    }
}

/// Why strace cannot make calls fail on this machine; `None` when it can.
pub fn no_strace(arguments: &[&str]) -> Option<String> {
    use std::process::{Command, Stdio};

    let quiet = Command::new("strace")
        .args(arguments)
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match quiet {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("strace does not work here: {status}")),
        Err(_) => Some("strace is not installed".to_owned()),
    }
}

/// Why these programs are too slow for it; `None` when others are named.
pub fn are_not_optimized() -> Option<String> {
    let named = std::env::var_os("HOOKBOX_PROGRAMS").is_some();
    (cfg!(debug_assertions) && !named)
        .then(|| "HOOKBOX_PROGRAMS names no optimized programs".to_owned())
}

/// Why only root could do it; `None` for root.
pub fn not_root() -> Option<String> {
    (!rustix::process::geteuid().is_root()).then(|| "it needs root".to_owned())
}
