//! C-01 to C-05: flipped bits, torn files, missing side files. Whatever is damaged, the daemon
//! starts and serves, and what it lost is named: a record that cannot be had and that no range of
//! `log verify` holds would be a silent loss.
//!
//! A small log of several segments is made twice, once ended by SIGKILL and once by SIGTERM. Each
//! case takes a copy, damages one thing, starts the real daemon on it, looks every acknowledged
//! event up by its id with its body, lets the log verify, compares what `status` counts of
//! deliveries with what the lists show, and posts one more event. No damage may end the daemon:
//! what changed since it was closed, and what was open when a process died, is opened by a child
//! process first.
//!
//! Results with the release daemon, where panics abort, HOOKBOX_FLIPS=1000: 500 flips after a kill
//! and 500 after a clean stop (seeds 3016628045 and 3016654309; 438 and 439 cost records, 330
//! segments put aside), 250 truncations (seed 2717793701), 750 files torn just before the end of a
//! part (857133894), 50 side files deleted, emptied or zeroed (0 lost) and 6 data files deleted
//! (70976214): all that was lost was named, and the daemon died of none.
//!
//! Results of the same faults at the level of the store (`log::tests::silence`, with
//! HOOKBOX_FLIPS=1000): 2,000 flips, 1,000 after a clean stop (299 cost records) and 1,000 after a
//! kill (301), and 1,040 truncations, every file at every 4 KiB (322 cost records): all of it
//! named, 0 silent losses.
//!
//! `HOOKBOX_FLIPS` is the number of flips (default 8, half of them after a kill), with a quarter as
//! many truncations; `HOOKBOX_SEED` the seed, which is printed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::ledger::{Acked, Census, Load, Pace, look_up};
use crate::support::rng::Rng;
use crate::support::sizes::size;
use crate::support::sums::Sums;
use crate::support::{Daemon, Home, SOON, until};

const CONFIG: &str = "[log]\nsegment_size = \"1MiB\"\n";
/// From so many flips on, as at night, side files are damaged in one segment at a time as well.
const EACH_ALONE: u64 = 400;

/// What all cases came to.
#[derive(Debug, Default)]
struct Total {
    cases: u64,
    /// Nothing was lost and nothing was wrong.
    whole: u64,
    /// Nothing was lost, something was wrong and reported.
    reported: u64,
    /// Something was lost, and reported.
    lost_and_reported: u64,
    acknowledged: usize,
    lost: usize,
    quarantined: u64,
    /// Dead letters with the reason `lost`.
    dead_as_lost: u64,
    slowest_start: Duration,
}

#[test]
fn c01_bits_flipped_after_a_kill_are_reported() {
    flips(true);
}

#[test]
fn c02_bits_flipped_after_a_clean_stop_are_reported() {
    flips(false);
}

#[test]
fn c03_torn_files_are_reported() {
    let (count, seed) = asked_for();
    let mut rng = Rng::new(seed ^ 3);

    for killed in [true, false] {
        let log = Written::new(killed, seed);
        let mut total = Total::default();

        for case in 0..count.div_ceil(8) {
            log.case(
                &format!("seed {seed}, killed {killed}, truncation {case}"),
                &mut total,
                |data| {
                    let db = pick(data, &mut rng);
                    let length = fs::metadata(&db).expect("it is there").len();
                    let at = rng.below(length / 4096) * 4096;
                    OpenOptions::new()
                        .write(true)
                        .open(&db)
                        .and_then(|f| f.set_len(at))
                        .expect("truncates");
                    format!("{} cut to {at} of {length} bytes", db.display())
                },
            );
        }

        println!("damage: truncations, killed {killed}: {total:?}");
    }
}

/// sled repairs what is torn a little before the end of its segments so that it dies of it the next
/// time.
#[test]
fn c03_files_torn_just_before_the_end_of_a_part_are_reported() {
    const PART: u64 = 512 << 10;
    let (count, seed) = asked_for();

    for (round, killed) in (0..count.div_ceil(8)).flat_map(|round| [(round, true), (round, false)])
    {
        let log = Written::new(killed, seed + round);
        let mut total = Total::default();

        for number in 0..segments(&log.home.data()).len() {
            log.case(
                &format!("seed {seed}, round {round}, killed {killed}, segment {number}"),
                &mut total,
                |data| {
                    let db = segments(data).swap_remove(number).join("db");
                    let length = fs::metadata(&db).expect("it is there").len();
                    let at = (length.saturating_sub(1) / PART * PART).saturating_sub(8192);
                    OpenOptions::new()
                        .write(true)
                        .open(&db)
                        .and_then(|f| f.set_len(at))
                        .expect("truncates");
                    format!("{} cut to {at} of {length} bytes", db.display())
                },
            );
        }

        println!("damage: parts, killed {killed}: {total:?}");
    }
}

#[test]
fn c04_c05_side_files_are_made_anew_or_missed_aloud() {
    let (count, seed) = asked_for();
    for killed in [true, false] {
        let log = Written::new(killed, seed);
        let (mut harmless, mut total) = (Total::default(), Total::default());

        // In every segment at once: nothing may be lost of any. A large run tries each alone as
        // well.
        for (what, damage) in HARMLESS {
            log.case(
                &format!("seed {seed}, killed {killed}, every segment: {what}"),
                &mut harmless,
                |data| {
                    segments(data).iter().for_each(|segment| damage(segment));
                    what.to_owned()
                },
            );
            assert_eq!(harmless.lost, 0, "{what}");
        }

        for (number, segment) in segments(&log.home.data()).iter().enumerate() {
            let name = segment.file_name().expect("a name").to_owned();
            let inside = |data: &Path| data.join("log").join(&name);
            let at = |what: &str| format!("seed {seed}, killed {killed}, segment {number}: {what}");
            for (what, damage) in if count < EACH_ALONE { &[][..] } else { &HARMLESS } {
                log.case(&at(what), &mut harmless, |data| {
                    damage(&inside(data));
                    what.to_string()
                });
                assert_eq!(harmless.lost, 0, "{}", at(what));
            }
            log.case(&at("db deleted"), &mut total, |data| {
                fs::remove_file(inside(data).join("db")).expect("deletes");
                "db deleted".to_owned()
            });
        }

        for file in ["watermark", "lock"] {
            for what in ["deleted", "emptied"] {
                log.case(
                    &format!("seed {seed}, killed {killed}: {file} {what}"),
                    &mut harmless,
                    |data| {
                        let path = data.join("log").join(file);
                        if what == "deleted" {
                            fs::remove_file(path)
                        } else {
                            fs::write(path, b"")
                        }
                        .expect("damages");
                        format!("{file} {what}")
                    },
                );
            }
        }

        assert_eq!(harmless.lost, 0, "side files hold nothing that is missed: {harmless:?}");
        println!("damage: side files, killed {killed}: {harmless:?}");
        println!("damage: db deleted, killed {killed}: {total:?}");
    }
}

/// Segments that are gone as a whole, with or without what stands beside them.
#[test]
fn c06_lost_segments_leave_nothing_that_waits_for_ever() {
    let (_, seed) = asked_for();
    let log = Written::new(false, seed);
    let mut total = Total::default();
    let count = segments(&log.home.data()).len();

    for (number, with_seal) in (0..count - 1).flat_map(|number| [(number, false), (number, true)]) {
        log.case(
            &format!("seed {seed}, segment {number}, seal too: {with_seal}"),
            &mut total,
            |data| {
                let segment = segments(data).swap_remove(number);
                fs::remove_dir_all(&segment).expect("removes");
                if with_seal {
                    for side in ["seal", "sums"] {
                        let _ = fs::remove_file(segment.with_extension(side));
                    }
                }
                format!("{} removed", segment.display())
            },
        );
    }

    assert!(total.dead_as_lost > 0, "{total:?}");
    println!("damage: lost segments: {total:?}");
}

type Damage = fn(&Path);

/// What a segment can do without.
const HARMLESS: [(&str, Damage); 7] = [
    ("snapshots deleted", |segment| {
        snapshots(segment, |path| fs::remove_file(path).expect("deletes"))
    }),
    ("snapshots emptied", |segment| {
        snapshots(segment, |path| fs::write(path, b"").expect("empties"))
    }),
    ("snapshots zeroed", |segment| {
        snapshots(segment, |path| {
            let length = fs::metadata(path).expect("it is there").len();
            fs::write(path, vec![0; usize::try_from(length).expect("small")]).expect("zeroes");
        });
    }),
    ("a snapshot half made", |segment| {
        fs::write(segment.join("snap.00000000000FFFFF.generating"), b"half").expect("writes");
    }),
    ("conf deleted", |segment| fs::remove_file(segment.join("conf")).expect("deletes")),
    ("conf emptied", |segment| fs::write(segment.join("conf"), b"").expect("empties")),
    ("seal deleted", |segment| {
        let _ = fs::remove_file(segment.with_extension("seal"));
    }),
];

fn snapshots(segment: &Path, damage: impl Fn(&Path)) {
    let entries = fs::read_dir(segment).expect("the segment's folder").flatten();
    let snaps = entries.map(|e| e.path()).filter(|p| p.to_string_lossy().contains("/snap."));
    snaps.for_each(|path| damage(&path));
}

fn flips(killed: bool) {
    let (count, seed) = asked_for();
    let log = Written::new(killed, seed);
    let mut rng = Rng::new(seed ^ u64::from(killed));
    let mut total = Total::default();
    for case in 0..count.div_ceil(2) {
        log.case(&format!("seed {seed}, killed {killed}, flip {case}"), &mut total, |data| {
            let db = pick(data, &mut rng);
            let file = OpenOptions::new().read(true).write(true).open(&db).expect("opens");
            let (at, bit) = (rng.below(file.metadata().expect("it is there").len()), rng.below(8));
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("reads");
            file.write_all_at(&[byte[0] ^ (1 << bit)], at).expect("writes");
            format!("bit {bit} of byte {at} of {}", db.display())
        });
    }
    println!("damage: flips, killed {killed}: {total:?}");
}

fn asked_for() -> (u64, u64) {
    let count = size("HOOKBOX_FLIPS");
    let seed = Rng::seed_from_env();
    println!("damage: {count} flips, HOOKBOX_SEED={seed}");
    (count, seed)
}

/// The folders of the segments.
fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("log")).expect("the log's folder").flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.join("db").is_file()).collect();
    found.sort();
    found
}

/// The data file of one segment.
fn pick(data: &Path, rng: &mut Rng) -> PathBuf {
    let found = segments(data);
    found[rng.index(found.len())].join("db")
}

/// A log to damage copies of.
struct Written {
    home: Home,
    acked: Vec<Acked>,
}

impl Written {
    fn new(killed: bool, seed: u64) -> Self {
        let mut home = Home::new();
        let config = home.write("hookbox.toml", CONFIG);
        home.args.extend(["--config".to_owned(), config]);
        let daemon = home.start();
        daemon.json(&["source", "create", "in", "--verify", "none"]);
        make_endpoints(&daemon);

        let pace = Pace {
            posters: 3,
            pause_us: 0,
            bytes: 3 << 20,
            largest: 40_000,
            sources: ["in", "in"],
            kept_percent: 100,
        };
        let load = Load::start(daemon.addr, &pace, seed);
        until("the load's end", SOON, || load.is_over().then_some(()));
        let acked = load.end();
        Sums::agreeing(&daemon.socket, SOON).expect("the sums agree before anything is damaged");

        if killed {
            daemon.kill();
        } else {
            assert_eq!(daemon.terminate().code(), Some(0));
        }

        assert!(segments(&home.data()).len() > 1, "there is more than one segment");
        Self { home, acked }
    }

    fn case(&self, at: &str, total: &mut Total, damage: impl FnOnce(&Path) -> String) {
        let mut home = Home::new();
        let config = home.write("hookbox.toml", CONFIG);
        home.args.extend(["--config".to_owned(), config]);
        let copied = Command::new("cp")
            .arg("-r")
            .arg(self.home.data())
            .arg(home.data())
            .status()
            .expect("cp");
        assert!(copied.success(), "cp");

        let at = format!("{at}: {}", damage(&home.data()));
        total.cases += 1;
        total.acknowledged += self.acked.len();

        let census = serve(&home, &self.acked, total)
            .unwrap_or_else(|why| panic!("{at}: the daemon died of it: {why}"));
        total.lost += census.lost.len();
        let aside = fs::read_dir(home.data().join("log")).expect("the log's folder").flatten();
        total.quarantined +=
            aside.filter(|e| e.file_name().to_string_lossy().starts_with("bad-")).count() as u64;

        let silent: Vec<_> = census.lost.iter().filter(|(seq, _)| !census.names(*seq)).collect();
        assert!(silent.is_empty(), "{at}: lost in silence: {silent:#?}\n{}", census.report);
        match (census.lost.is_empty(), census.verified()) {
            (true, true) => total.whole += 1,
            (true, false) => total.reported += 1,
            (false, _) => total.lost_and_reported += 1,
        }
    }
}

/// Endpoints behind which deliveries wait in all ways: held, waiting for a retry, dead, and
/// untried.
fn make_endpoints(daemon: &Daemon) {
    let nowhere = ["--url", "http://127.0.0.1:9/", "--allow-private"];
    let make = |name: &str, more: &[&str]| {
        daemon.json(&[&["endpoint", "create", name][..], &nowhere, more].concat());
    };
    make("held", &[]);
    daemon.done(&["endpoint", "hold", "held"]);
    make("later", &["--retry-base", "1h", "--retry-max", "1h", "--jitter", "0"]);
    make("dying", &["--max-attempts", "1"]);
    make("together", &["--batch-max-events", "10", "--retry-base", "1h", "--retry-max", "1h"]);
}

/// Starts a daemon and asks it for everything; an error when it died meanwhile.
fn serve(home: &Home, acked: &[Acked], total: &mut Total) -> Result<Census, String> {
    let begun = Instant::now();
    let mut daemon: Daemon = home.spawn().ready(SOON)?;
    total.slowest_start = total.slowest_start.max(begun.elapsed());
    let asked = look_up(&daemon.socket, acked);
    let census = asked.map_err(|error| {
        until("its end", SOON, || daemon.ended());
        format!("{error}: {}", daemon.log_text())
    })?;
    let sums = Sums::agreeing(&daemon.socket, SOON);
    let sums =
        sums.map_err(|why| format!("the sums do not agree: {why}: {}", daemon.log_text()))?;
    total.dead_as_lost += sums.lost;
    // The source may have been lost with the rest.
    let answer = daemon.post("/in/in", &[], b"goes on");
    let source_is_gone = answer.status == 404 && !census.verified();
    assert!(answer.status == 202 || source_is_gone, "it takes in what comes: {answer:?}");
    Ok(census)
}
