//! Dropping segments.

use std::fs;
use std::path::{Path, PathBuf};

use super::{fill, open, open_whole, options, retire, seqs, sixty, small};
use crate::log::testing::slow_file;
use crate::log::{Log, LogError, Options, Recovered, folder};

#[test]
fn dropped_segments_are_gone_for_good() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());

    let mut walk = reader.forward(5);
    assert_eq!(walk.next().expect("one").expect("reads").0, 5);
    assert!(matches!(log.drop_segment(2), Err(LogError::NoSuchSegment { first: 2 })));
    assert!(
        matches!(log.drop_segment(61), Err(LogError::NoSuchSegment { first: 61 })),
        "the active one"
    );

    retire(&mut log, &reader, 1);
    retire(&mut log, &reader, 31);
    assert_eq!(reader.first(), 11);
    assert_eq!(reader.read(10).expect("reads"), None);
    assert_eq!(reader.read(35).expect("reads"), None);

    let rest: Vec<_> = walk.map(|item| item.expect("reads").0).collect();
    assert_eq!(rest.last(), Some(&60), "a walk that was under way goes on");

    let left: Vec<_> = (11..=30).chain(41..=62).collect();
    assert_eq!(seqs(&reader), left);
    let back: Vec<_> = reader.backward(100).map(|item| item.expect("reads").0).collect();
    assert_eq!(back, left.iter().rev().copied().collect::<Vec<_>>());
    assert!(!folder::segment(&dir.path().join("log"), 1).exists());

    let report = reader.verify(&mut |_| {});
    assert!(report.ok, "{report:?}");
    assert_eq!((report.first, report.records), (11, 42));

    retire(&mut log, &reader, 11);
    drop((log, reader));

    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(reader.first(), 21);
    assert!(reader.verify(&mut |_| {}).ok);
}

#[test]
fn a_drop_that_was_cut_short_is_finished() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log_dir, copy) = (dir.path().join("log"), dir.path().join("copy"));
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    reader.close_idle();

    let (segment, seal) = (folder::segment(&log_dir, 1), folder::seal(&log_dir, 1));
    fs::rename(&segment, &copy).expect("moves");
    let note = fs::read(&seal).expect("reads");
    log.drop_segment(1).expect("drops");

    drop((log, reader));
    fs::rename(&copy, &segment).expect("moves");
    fs::write(&seal, note).expect("writes");
    fs::create_dir(folder::creating(&log_dir, 7)).expect("makes");
    fs::create_dir(folder::deleting(&log_dir, 8)).expect("makes");

    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(reader.first(), 11);
    assert!(!segment.exists() && !seal.exists());
    assert!(!folder::creating(&log_dir, 7).exists() && !folder::deleting(&log_dir, 8).exists());
}

/// What is dropped while it is being opened is gone, not damaged.
#[test]
fn reading_while_segments_are_dropped_finds_no_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let done = std::sync::atomic::AtomicBool::new(false);

    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    reader.close_idle();
                    assert_eq!(reader.verify(&mut |_| {}).problems, []);
                    reader.forward(1).for_each(|item| drop(item.expect("reads")));
                }
            });
        }

        for n in 0..60 {
            fill(&mut log, 5);
            log.roll(b"s", n).expect("rolls");
            if n > 2 {
                retire(&mut log, &reader, reader.segments()[0].first);
            }
        }

        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });

    assert_eq!(reader.damage(), []);
}

/// A log of two segments whose files are compared with what was recorded of them, and its folder.
fn two_segments(dir: &Path) -> (Recovered, PathBuf) {
    let options = Options { probe: Some("/bin/true".into()), ..options(dir) };
    let folder = options.dir.clone();
    let mut recovered = Log::open(options, 1_000).expect("opens");
    fill(&mut recovered.log, 3);
    recovered.log.roll(b"state", 2).expect("rolls");
    fill(&mut recovered.log, 3);
    (recovered, folder)
}

#[test]
fn a_segment_is_dropped_while_its_checksums_are_being_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let (Recovered { mut log, reader, .. }, folder) = two_segments(dir.path());
    let slow = slow_file(&folder::segment(&folder, 1));

    std::thread::scope(|scope| {
        let closing = scope.spawn(|| reader.close_idle());
        let reading = slow.await_reader();
        log.drop_segment(1).expect("it waits for nobody");
        drop(reading);
        closing.join().expect("no panic");
    });
    assert!(!folder::checksums(&folder, 1).exists(), "nothing is recorded of it any more");
    assert_eq!(reader.first(), 4);
}

#[test]
fn a_segment_that_is_being_opened_is_dropped_later() {
    let dir = tempfile::tempdir().expect("a folder");
    let (Recovered { mut log, reader, .. }, folder) = two_segments(dir.path());
    reader.close_idle();
    // Its files are not as they were when it was closed, so they are read through.
    let slow = slow_file(&folder::segment(&folder, 1));

    std::thread::scope(|scope| {
        let opening = scope.spawn(|| reader.read(1));
        let reading = slow.await_reader();
        let refused = log.drop_segment(1);
        assert!(matches!(refused, Err(LogError::BeingOpened { first: 1 })), "{refused:?}");
        drop(reading);
        assert_eq!(opening.join().expect("no panic").expect("reads"), Some(small(1)));
    });
    log.drop_segment(1).expect("now nobody does");
    assert_eq!(reader.first(), 4);
}

#[test]
fn a_segment_that_is_about_to_be_dropped_is_not_closed_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let (Recovered { mut log, reader, .. }, folder) = two_segments(dir.path());
    let is_open = || folder::open_marker(&folder, 1).exists();
    assert_eq!(reader.read(1).expect("reads"), Some(small(1)));
    reader.close_idle_but(1);
    assert!(is_open(), "the thread that drops it would find it being closed");

    log.drop_segment(1).expect("drops");
    assert!(!is_open() && !folder::segment(&folder, 1).exists());
}
