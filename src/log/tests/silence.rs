//! Whatever is damaged: every record is there as it was, or its number is in a range that is
//! reported.

use std::fs;
use std::path::{Path, PathBuf};

use super::{commit, copy_tree, event, forward, noise, open, open_whole, small};
use crate::log::{Recovered, folder};
use crate::model::Seq;
use crate::record::Record;

/// What became of a log that was damaged: every record is there as it was, or its number is in a
/// range that is reported. Returns how many are not there.
fn nothing_is_lost_in_silence(dir: &Path, written: &[Record], at: &str) -> usize {
    let Recovered { log, reader, problems, .. } = open(dir);
    let report = reader.verify(&mut |_| {});
    let named = |seq: Seq| {
        problems.iter().chain(&report.problems).any(|p| (p.first..=p.last).contains(&seq))
    };

    let mut lost = 0;
    for (seq, record) in (1..).zip(written) {
        match reader.read(seq) {
            Ok(Some(found)) => assert!(found == *record, "{at}: record {seq} is another one"),
            _ if named(seq) => lost += 1,
            gone => {
                panic!("{at}: record {seq} is lost in silence: {gone:?}, {problems:?}, {report:?}")
            }
        }
    }

    assert!(
        log.next_seq() > written.len() as Seq || named(written.len() as Seq),
        "{at}: numbers would come again"
    );
    lost
}

/// A small log of four segments, closed or left as a killed process leaves it, and what is in it.
fn log_to_damage(dir: &Path, closed: bool) -> Vec<Record> {
    let Recovered { mut log, reader, .. } = open_whole(dir);
    for round in 0..4 {
        for n in 0..6 {
            commit(
                &mut log,
                &[event(noise(3_000 * (n + 1), (round * 10 + n) as u64 + 1)), small(n as u64)],
            );
        }
        if round < 3 {
            log.roll(b"a checkpoint", 1).expect("rolls");
        }
    }

    let written = forward(&reader, 1).into_iter().map(|(_, record)| record).collect();

    if closed {
        log.close().expect("closes");
    } else {
        // The copy is made while it is open: what a killed process leaves.
        copy_tree(&dir.join("log"), &dir.join("killed"));
        drop(log);
        fs::remove_dir_all(dir.join("log")).expect("removes");
        fs::rename(dir.join("killed"), dir.join("log")).expect("moves");
    }
    written
}

fn cases() -> usize {
    std::env::var("HOOKBOX_FLIPS").map_or(60, |n| n.parse().expect("a number of flips"))
}

/// The files of sled's in a log's folder.
fn store_files(log: &Path) -> Vec<PathBuf> {
    let segments = folder::list(log).expect("lists").segments;
    let inside = segments
        .iter()
        .flat_map(|first| fs::read_dir(folder::segment(log, *first)).expect("lists").flatten());
    let mut files: Vec<_> =
        inside.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// C-01 and C-02. With `HOOKBOX_FLIPS=1000`: see the end of this file's results in `tests/damage`.
#[test]
fn c01_c02_no_flipped_bit_loses_anything_in_silence() {
    for closed in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let written = log_to_damage(dir.path(), closed);
        let (mut lost, mut costly) = (0, 0);

        for case in 0..cases() {
            let copy = tempfile::tempdir().expect("a folder");
            copy_tree(&dir.path().join("log"), &copy.path().join("log"));

            let draw = u64::from_le_bytes(noise(8, case as u64 + 77).try_into().expect("eight"));
            let files = store_files(&copy.path().join("log"));
            let dbs: Vec<_> = files.iter().filter(|path| path.ends_with("db")).collect();
            let path = dbs[usize::try_from(draw % dbs.len() as u64).expect("small")];

            let mut bytes = fs::read(path).expect("reads");
            let at = usize::try_from((draw >> 8) % bytes.len() as u64).expect("small");
            bytes[at] ^= 1 << (draw >> 56 & 7);
            fs::write(path, bytes).expect("writes");

            let at = format!("closed {closed}, case {case}: byte {at} of {}", path.display());
            let cost = nothing_is_lost_in_silence(copy.path(), &written, &at);
            lost += cost;
            costly += usize::from(cost > 0);
        }

        println!(
            "flips, closed {closed}: {} cases, {costly} cost records, {lost} records, all named",
            cases()
        );
    }
}

/// C-03: every file of sled's, cut at every 4 KiB (at every 64 KiB in a short run).
#[test]
fn c03_no_torn_file_loses_anything_in_silence() {
    let step = if cases() >= 1000 { 4096 } else { 1 << 16 };
    for closed in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let written = log_to_damage(dir.path(), closed);
        let (mut count, mut costly) = (0, 0);

        for file in store_files(&dir.path().join("log")) {
            let length = fs::metadata(&file).expect("it is there").len();
            for cut in (0..length).step_by(step) {
                let copy = tempfile::tempdir().expect("a folder");
                copy_tree(&dir.path().join("log"), &copy.path().join("log"));

                let path = copy.path().join(file.strip_prefix(dir.path()).expect("in it"));
                fs::OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .and_then(|f| f.set_len(cut))
                    .expect("cuts");

                let at = format!("closed {closed}: {} cut to {cut} of {length}", file.display());
                costly += usize::from(nothing_is_lost_in_silence(copy.path(), &written, &at) > 0);
                count += 1;
            }
        }

        println!("torn, closed {closed}: {count} cases, {costly} cost records, all named");
    }
}
