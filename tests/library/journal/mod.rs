//! P-05: every state that a power cut can leave the log in, drawn from what it really wrote.
//!
//! A child process plays a script with a fresh log (70 commits in two lives; segments that are
//! rolled, read, and dropped; bodies that are written ahead) under `strace`, which writes down
//! every write, truncate, rename, unlink, mkdir and sync of its files, and the acknowledgements
//! between them. From that, after each call, two kinds of states are rebuilt (see `disk`):
//! everything that was issued (every prefix, as a kill leaves it), and subsets of what no sync had
//! made durable yet, at random and as hostile as the guarantees allow. Each is opened: everything
//! acknowledged has to be there, record by record, the checkpoint right, and nothing reported; what
//! is there has to verify, and on a part of the states the log has to go on.
//!
//! P-06: the same with the syncs struck from the journal (all of them, those of the segments' data,
//! those of the folders) has to lose something.
//!
//! Results: 10,284 random states and 857 prefixes with HOOKBOX_SEED=20265: all whole, none refused,
//! 0 lost. Without syncs 473 of 1,276 states lost something and 91 were refused; without those of
//! the segments' data 540 and 23 of 1,512; without those of the folders 148 and 129 of 1,618 (seed
//! 3).
//!
//! `HOOKBOX_JOURNAL_STATES` is the number of random states (default 500), `HOOKBOX_SEED` the seed,
//! which is printed. Needs strace.

mod disk;
mod script;
mod trace;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support;
use crate::support::rng::Rng;
use crate::support::sizes::{no_strace, require, size};
use disk::{Cut, Disk};
use hookbox::log::{Log, Recovered};
use hookbox::model::Seq;
use hookbox::record::Record;
use trace::{Call, Op};

/// Says to the child where to play.
const PLAY: &str = "HOOKBOX_JOURNAL_PLAY";
/// One state in so many has to go on after it was opened.
const GO_ON: u64 = 8;

/// What a state came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Whole,
    /// Nothing acknowledged is gone, but the log reports damage.
    Reported(String),
    /// Something acknowledged is gone, and the log says which.
    Refused(String),
    Lost(String),
}

#[derive(Clone, Debug, Default)]
struct Total {
    prefixes: u64,
    random: u64,
    whole: u64,
    reported: u64,
    refused: u64,
    lost: u64,
    /// What was not whole, a few of them.
    examples: Vec<String>,
}

/// Whether a sync is one of those that are left out.
type OfThese<'a> = dyn Fn(&Path) -> bool + 'a;

/// What was promised by now.
#[derive(Clone, Copy, Debug, Default)]
struct Promised {
    acked: Seq,
    /// The records up to this one may be gone.
    dropped: Seq,
}

#[test]
#[ignore = "needs strace"]
fn p05_every_state_a_power_cut_can_leave_has_all_that_was_acknowledged() {
    let (states, seed) = asked_for();
    let calls = record();
    let total = try_states(&calls, states, 1, seed);
    println!("journal: {total:#?}");
    assert!(total.random >= states && total.prefixes > 100, "too few states: {total:?}");
    assert_eq!((total.lost, total.refused, total.reported), (0, 0, 0), "{:#?}", total.examples);
}

#[test]
#[ignore = "needs strace"]
fn p06_without_the_syncs_the_same_test_sees_losses() {
    let (_, seed) = asked_for();
    let calls = record();
    let folders: BTreeSet<PathBuf> = calls
        .iter()
        .filter_map(|call| match &call.op {
            Op::MakeFolder(path) => Some(path.clone()),
            _ => None,
        })
        .collect();

    let of_data = |path: &Path| path.ends_with("db") && !path.to_string_lossy().contains("new-");
    let of_folders = |path: &Path| folders.contains(path);
    let of_all = |_: &Path| true;
    let kinds: [(&str, &OfThese<'_>); 3] =
        [("any", &of_all), ("the segments' data", &of_data), ("the folders", &of_folders)];

    for (what, left_out) in kinds {
        let mut calls = calls.clone();
        calls.retain(|call| !matches!(&call.op, Op::Sync(path) if left_out(path)));
        let total = try_states(&calls, 100, 6, seed);
        println!(
            "journal: without a sync of {what}: {} lost, {} refused of {}",
            total.lost, total.refused, total.random
        );
        assert!(total.lost + total.refused > 0, "this test would not see a loss: {total:?}");
    }
}

#[test]
#[ignore = "the part of the child process, which the other tests here start"]
fn play() {
    let home = PathBuf::from(std::env::var_os(PLAY).expect("the folder to play in"));
    script::play(&home.join("disk"), &home.join("notes"));
}

/// The number of random states and the seed.
fn asked_for() -> (u64, u64) {
    require(no_strace(&["-qq", "-f", "-y", "--seccomp-bpf", "-o", "/dev/null"]));
    let (states, seed) = (size("HOOKBOX_JOURNAL_STATES"), Rng::seed_from_env());
    println!("journal: {states} random states, HOOKBOX_SEED={seed}");
    (states, seed)
}

/// Has the script played, and gives what it did to its files.
fn record() -> Vec<Call> {
    let home =
        tempfile::Builder::new().prefix("hookbox-journal-").tempdir().expect("a temporary folder");
    let (root, traced) = (home.path().join("disk"), home.path().join("trace"));
    std::fs::create_dir(&root).expect("a folder");

    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-xx", "-s", "16777216", "--seccomp-bpf", "-e"])
        .arg(format!("trace={}", trace::CALLS));
    strace.arg("-o").arg(&traced).arg(std::env::current_exe().expect("this test"));
    strace
        .args(["--exact", "journal::play", "--ignored", "--test-threads", "1"])
        .env(PLAY, home.path());

    let done = strace.output().expect("strace runs");
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );

    let text = std::fs::read_to_string(&traced).expect("a trace");
    trace::read(&text, &root, &home.path().join("notes"))
        .into_iter()
        .map(|call| relative(call, &root))
        .collect()
}

/// The same below `/`, so that the temporary folder's name does not matter.
fn relative(call: Call, root: &Path) -> Call {
    let below = |path: &PathBuf| {
        Path::new("/").join(path.strip_prefix(root).expect("it lies below the root"))
    };
    let op = match &call.op {
        Op::Make(path) => Op::Make(below(path)),
        Op::MakeFolder(path) => Op::MakeFolder(below(path)),
        Op::Write { path, at, bytes } => {
            Op::Write { path: below(path), at: *at, bytes: bytes.clone() }
        }
        Op::Resize { path, len } => Op::Resize { path: below(path), len: *len },
        Op::Rename { from, to } => Op::Rename { from: below(from), to: below(to) },
        Op::Remove(path) => Op::Remove(below(path)),
        Op::Sync(path) => Op::Sync(below(path)),
        Op::Note(text) => Op::Note(text.clone()),
    };
    Call { op, ..call }
}

/// Goes through the calls as they began and ended, and looks at the disk after one in `every`.
fn try_states(calls: &[Call], states: u64, every: u64, seed: u64) -> Total {
    let mut moments: Vec<(usize, bool, &Call)> = Vec::new();
    for call in calls {
        moments.push((call.begun, true, call));
        moments.push((call.done, false, call));
    }
    moments.sort_by_key(|(line, begins, _)| (*line, !begins));

    let cuts = moments.iter().filter(|(_, begins, call)| changes(call, *begins)).count() as u64;
    let mut number = 0u64;
    let each = states.div_ceil(cuts.div_ceil(every));
    let mut rng = Rng::new(seed);
    let (mut disk, mut promised, mut total) =
        (Disk::new(Path::new("/")), Promised::default(), Total::default());

    for (line, begins, call) in moments {
        match (&call.op, begins) {
            (Op::Note(text), true) => promised.note(text),
            (_, true) => disk.begin(call),
            (_, false) => disk.end(call),
        }
        if !changes(call, begins) {
            continue;
        }
        number += 1;
        if !number.is_multiple_of(every) {
            continue;
        }

        for which in 0..=each {
            let cut = if which == 0 { Cut::Nothing } else { Cut::Adversary };
            let goes_on = (total.prefixes + total.random).is_multiple_of(GO_ON);
            let verdict = try_state(&disk, cut, &mut rng, promised, goes_on);
            total.count(
                verdict,
                &format!("line {line}, {cut:?}, {promised:?}, behind {}", described(call)),
            );
            *if which == 0 { &mut total.prefixes } else { &mut total.random } += 1;
        }
    }

    total
}

/// Whether the state of the disk, or what was promised, is another after this moment.
fn changes(call: &Call, begins: bool) -> bool {
    begins != matches!(call.op, Op::Sync(_))
}

fn described(call: &Call) -> String {
    match &call.op {
        Op::Write { path, at, bytes } => {
            format!("{} bytes at {at} of {}", bytes.len(), path.display())
        }
        op => format!("{op:?}"),
    }
}

impl Promised {
    fn note(&mut self, note: &str) {
        let (what, seq) = note.split_once(' ').expect("a note");
        let seq = seq.parse().expect("a number");
        match what {
            "acked" => self.acked = seq,
            "drops" => self.dropped = seq,
            _ => panic!("what is {note}?"),
        }
    }
}

impl Total {
    fn count(&mut self, verdict: Verdict, at: &str) {
        let (counter, what) = match verdict {
            Verdict::Whole => {
                self.whole += 1;
                return;
            }
            Verdict::Reported(what) => (&mut self.reported, what),
            Verdict::Refused(what) => (&mut self.refused, what),
            Verdict::Lost(what) => (&mut self.lost, what),
        };
        *counter += 1;
        if self.examples.len() < 12 {
            self.examples.push(format!("{at}: {what}"));
        }
    }
}

fn try_state(disk: &Disk, cut: Cut, rng: &mut Rng, promised: Promised, go_on: bool) -> Verdict {
    let home = tempfile::Builder::new()
        .prefix("hookbox-state-")
        .tempdir_in(memory())
        .expect("a temporary folder");
    disk.cut(cut, rng, home.path()).expect("there is room for a state");
    let verdict = look(home.path(), promised);
    if verdict != Verdict::Whole || !go_on {
        return verdict;
    }
    // It goes on: one more commit, a roll, and it is opened once more.
    let mut log = Log::open(script::options(home.path()), 2).expect("it was opened before").log;
    let next = log.next_seq();
    let committed = log.commit(&[script::record(next)]).expect("it goes on");
    log.roll(script::checkpoint(next + 1), 3).expect("it rolls");
    log.close().expect("it closes");
    look(home.path(), Promised { acked: committed.last, ..promised })
}

/// Where files cost no disk.
fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Opens what is left and compares it with what was promised.
fn look(root: &Path, promised: Promised) -> Verdict {
    let Recovered { log, reader, checkpoint, first_to_fold, problems } =
        match Log::open(script::options(root), 2) {
            Ok(recovered) => recovered,
            Err(error) => return Verdict::Refused(format!("it does not open: {error}")),
        };
    let named = |seq: Seq| problems.iter().any(|p| (p.first..=p.last).contains(&seq));
    let report = reader.verify(&mut |_| {});

    let mut missing = Vec::new();
    let mut expected = reader.first();
    for seq in promised.dropped + 1..expected {
        missing.push(seq);
    }

    for item in reader.forward(reader.first()) {
        let Ok((seq, record)) = item else { continue };
        missing.extend(expected..seq);
        let drop = matches!(&record, Record::SegmentDropped { last, .. } if *last < seq);
        if !drop && record != script::record(seq) {
            return Verdict::Lost(format!("record {seq} is another"));
        }
        expected = seq + 1;
    }
    missing.extend(expected..=promised.acked);
    missing.retain(|seq| *seq <= promised.acked);

    if let Some(seq) = missing.iter().find(|seq| !named(**seq)) {
        return Verdict::Lost(format!("record {seq} is missing and nothing says so; {problems:?}"));
    }
    if !missing.is_empty() {
        return Verdict::Refused(format!("{missing:?} are missing: {problems:?}"));
    }

    let right = match checkpoint {
        Some(bytes) => bytes == script::checkpoint(first_to_fold),
        None => first_to_fold == 1,
    };
    if !right {
        return Verdict::Lost(format!("the checkpoint before {first_to_fold} is another"));
    }
    if !problems.is_empty() || !report.ok {
        return Verdict::Reported(format!("{problems:?}, {:?}", report.problems));
    }

    drop(log);
    Verdict::Whole
}
