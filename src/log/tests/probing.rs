//! Suspect segments are opened by a child process first.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use super::{commit, event, fill, noise, open_whole, options, sixty, small};
use crate::log::layout::Tampering;
use crate::log::segment::Segment;
use crate::log::{Log, LogError, Options, Recovered, checksums, folder, probe_segment};
use crate::model::limits;

/// A program that does as a process does that dies of what it reads.
fn killer(dir: &Path) -> Options {
    let script = dir.join("dies");
    fs::write(&script, "#!/bin/sh\necho 'bad news' >&2\nkill -ABRT $$\n").expect("writes");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("may be run");
    Options { probe: Some(script), ..options(dir) }
}

#[test]
fn a_segment_that_a_child_dies_of_is_put_aside_when_a_process_had_died_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let probed = killer(dir.path());
    let Recovered { mut log, reader, .. } = Log::open(probed.clone(), 1_000).expect("opens");
    fill(&mut log, 3);
    let last = reader.durable();
    drop(reader);
    log.close().expect("closes");

    // Closed well: no child is started.
    let Recovered { log, problems, .. } = Log::open(probed.clone(), 1_000).expect("opens");
    assert_eq!(problems, []);
    log.close().expect("closes");

    fs::write(folder::open_marker(&dir.path().join("log"), 1), b"").expect("writes");

    let Recovered { log, reader, problems, .. } = Log::open(probed, 1_000).expect("opens");
    assert_eq!((problems[0].first, problems[0].last), (1, last), "{problems:?}");
    assert!(problems[0].what.contains("signal 6, bad news"), "{problems:?}");
    assert_eq!(reader.damage(), problems[..1], "status reports it once");
    assert_eq!(log.next_seq(), last + 1, "no number is used twice");
    assert!(dir.path().join("log/bad-seg-00000000000000000001").is_dir(), "it is kept");
}

#[test]
fn a_closed_segment_that_changed_is_opened_by_a_child_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let probed = killer(dir.path());
    let log_dir = dir.path().join("log");
    let Recovered { mut log, reader, .. } = Log::open(probed.clone(), 1_000).expect("opens");
    for round in 0..3 {
        fill(&mut log, 4);
        log.roll(b"checkpoint", round).expect("rolls");
    }

    let first = |n: u64| n * 4 + 1;
    reader.close_idle();
    assert_eq!(
        reader.read(first(0)).expect("reads"),
        Some(small(1)),
        "what was open before is known"
    );

    flip(&folder::segment(&log_dir, first(1)).join("db"));
    for _ in 0..2 {
        assert!(
            matches!(reader.read(first(1)), Err(LogError::Damaged(_))),
            "this very process survives"
        );
    }
    assert_eq!(reader.damage().len(), 1);
    assert!(log_dir.join("bad-seg-00000000000000000005").is_dir(), "it is kept");

    log.close().expect("closes");
    drop(reader);
    flip(&folder::segment(&log_dir, first(2)).join("db"));

    let Recovered { log, reader, .. } = Log::open(probed, 1_000).expect("opens");
    assert!(matches!(reader.read(first(2)), Err(LogError::Damaged(_))), "and the next one");
    assert_eq!(
        reader.read(first(0)).expect("reads"),
        Some(small(1)),
        "a good one is opened at once"
    );
    assert!(!reader.verify(&mut |_| {}).ok);
    drop(log);
}

/// A program that does as one that has found this.
fn finder(dir: &Path, exit: u8) -> Options {
    let script = dir.join(format!("finds-{exit}"));
    fs::write(&script, format!("#!/bin/sh\nexit {exit}\n")).expect("writes");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("may be run");
    Options { probe: Some(script), ..options(dir) }
}

#[test]
fn the_copy_of_a_changed_segment_goes_once_it_is_found_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let log_dir = dir.path().join("log");
    let (bad, whole) = (finder(dir.path(), 1), finder(dir.path(), 0));
    let Recovered { mut log, reader, .. } = Log::open(bad.clone(), 1_000).expect("opens");
    for round in 0..2 {
        fill(&mut log, 4);
        log.roll(b"checkpoint", round).expect("rolls");
    }
    log.close().expect("closes");
    drop(reader);

    let copies =
        || [1, 5, 9].map(|first| folder::segment(&log_dir, first).join("db.as-found").exists());

    for first in [1, 5, 9] {
        fs::write(folder::checksums(&log_dir, first), "of other files").expect("writes");
    }

    let reads = |options: Options| {
        let Recovered { log, reader, problems, .. } = Log::open(options, 1_000).expect("opens");
        assert_eq!(problems, []);
        assert_eq!(reader.read(1).expect("reads"), Some(small(1)));
        log.close().expect("closes");
    };

    reads(bad.clone());
    assert_eq!(
        copies(),
        [true, false, false],
        "the active one is read by the process itself, and one is never opened"
    );

    // By now its files are noted anew: what is left of the copy is looked at nevertheless.
    reads(bad);
    assert_eq!(copies(), [true, false, false]);

    reads(whole);
    assert_eq!(copies(), [false; 3]);
}

#[test]
fn a_segment_of_which_nothing_is_known_is_kept_as_it_was_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let log_dir = dir.path().join("log");
    let (bad, whole) = (finder(dir.path(), 1), finder(dir.path(), 0));
    let Recovered { mut log, reader, .. } = Log::open(bad.clone(), 1_000).expect("opens");
    fill(&mut log, 4);
    log.roll(b"checkpoint", 1).expect("rolls");
    log.close().expect("closes");
    drop(reader);

    // As in the backups of versions that wrote no checksums.
    for first in [1, 5] {
        fs::remove_file(folder::checksums(&log_dir, first)).expect("removes");
    }
    let segment = folder::segment(&log_dir, 1);
    let found = fs::read(segment.join("db")).expect("reads");

    for (options, is_kept) in [(bad, true), (whole, false)] {
        let Recovered { log, reader, problems, .. } = Log::open(options, 1_000).expect("opens");
        assert_eq!(problems, []);
        assert_eq!(reader.read(1).expect("reads"), Some(small(1)));
        let kept = fs::read(segment.join(checksums::AS_FOUND)).ok();
        assert_eq!(kept.is_some_and(|kept| kept == found), is_kept);
        log.close().expect("closes");
    }
}

#[test]
fn a_probe_tells_a_whole_segment_from_one_that_lacks_something() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { log, reader, .. } = sixty(dir.path());
    drop((log, reader));

    let log_dir = dir.path().join("log");
    probe_segment(&folder::segment(&log_dir, 11)).expect("it is whole");
    let error = |first| {
        probe_segment(&folder::segment(&log_dir, first)).expect_err("it is not").to_string()
    };
    assert!(error(61).contains("it has no seal"), "{}", error(61));

    let segment = Segment::open_unmarked(&log_dir, 21).expect("opens");
    segment.tamper(&Tampering::CutFrom { first: 28 });
    segment.sync().expect("syncs");
    drop(segment);
    assert!(error(21).contains("differ from its seal"), "{}", error(21));
}

#[test]
fn a_segment_from_which_much_was_read_is_opened_again_without_a_child() {
    let dir = tempfile::tempdir().expect("a folder");
    let probed = killer(dir.path());
    let Recovered { mut log, reader, .. } = Log::open(probed.clone(), 1_000).expect("opens");

    let large = |seq| event(noise(40_000, seq));
    let last = limits::READ_FROM_SEGMENT / 40_000 * 3;
    for seq in 1..=last {
        commit(&mut log, &[large(seq)]);
    }
    log.roll(b"checkpoint", 2_000).expect("rolls");

    drop(reader);
    log.close().expect("closes");
    // Opened for the first time since it was sealed: sled writes its snapshot, so the files are not
    // as noted any more.
    let Recovered { log, reader, .. } = Log::open(probed, 1_000).expect("opens");

    let segment = folder::segment(&dir.path().join("log"), 1);
    for seq in 1..=last {
        assert_eq!(reader.read(seq).expect("reads"), Some(large(seq)));
    }

    assert!(!checksums::has_as_found(&segment), "nothing was suspicious");
    assert_eq!(reader.damage(), []);
    drop(log);
}

fn flip(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("opens");
    let at = file.metadata().expect("it is there").len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[byte[0] ^ 16], at).expect("writes");
}

/// A segment that was open when a process died, with a program that looks at it.
fn left_open(dir: &Path, script: &str) -> Options {
    let Recovered { mut log, reader, .. } = open_whole(dir);
    fill(&mut log, 3);
    log.close().expect("closes");
    drop(reader);
    fs::write(folder::open_marker(&dir.join("log"), 1), b"").expect("writes");

    let program = dir.join("looks");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("writes");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("may be run");
    Options { probe: Some(program), ..options(dir) }
}

/// Opening is refused for this reason, and everything stays as it is.
fn is_refused(dir: &Path, options: Options, why: &str) {
    let refused = Log::open(options, 1_000).expect_err("nothing is proved");
    assert!(!refused.is_damage() && refused.to_string().contains(why), "{refused}");
    assert!(folder::segment(&dir.join("log"), 1).is_dir(), "it is as it was");

    let Recovered { reader, .. } = open_whole(dir);
    assert_eq!(reader.read(3).expect("reads"), Some(small(3)));
}

#[test]
fn a_child_that_gets_no_memory_proves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let words = "memory allocation of 8388608 bytes failed";
    let script = format!("printf 'one\\ntwo\\n{words}\\n' >&2\nkill -ABRT $$");
    let probed = left_open(dir.path(), &script);
    is_refused(dir.path(), probed, "an error of the system");
}

#[test]
fn a_child_that_takes_long_proves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let probed = left_open(dir.path(), "exec sleep 3600");
    let patience = std::time::Duration::from_millis(20);
    is_refused(dir.path(), Options { probe_patience: patience, ..probed }, "did not end within");
}
