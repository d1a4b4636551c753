//! Damage: it is reported with its exact range, and everything else is read.

use std::fs;
use std::os::unix::fs::FileExt;

use super::{
    commit, copy_tree, event, fill, meddle, noise, open, open_whole, ranges, seen, seqs, sixty,
    small,
};
use crate::log::frame::FramePacker;
use crate::log::layout::Tampering;
use crate::log::segment::Segment;
use crate::log::{LogError, LogProblem, Recovered, folder};
use crate::model::{EventFilter, Seq};
use crate::record::Sieve;

#[test]
fn a_lost_sealed_segment_is_reported_and_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(sixty(dir.path()));
    let log_dir = dir.path().join("log");
    fs::remove_dir_all(folder::segment(&log_dir, 21)).expect("removes");
    fs::remove_file(folder::segment(&log_dir, 41).join("db")).expect("removes");

    let Recovered { reader, problems, log, .. } = open(dir.path());
    assert_eq!(problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(), [(21, 30)]);
    assert_eq!(log.next_seq(), 61);

    let expected_damage = [(21, 30), (41, 50)];
    let (mut read, mut damage) = (Vec::new(), Vec::new());
    for item in reader.forward(1) {
        match item {
            Ok((seq, _)) => read.push(seq),
            Err(LogError::Damaged(LogProblem { first, last, .. })) => damage.push((first, last)),
            Err(other) => panic!("{other}"),
        }
    }

    assert_eq!(read, (1..=20).chain(31..=40).chain(51..=60).collect::<Vec<_>>());
    assert_eq!(damage, expected_damage);
    assert!(log_dir.join("bad-seg-00000000000000000041").exists());

    let report = reader.verify(&mut |_| {});
    assert_eq!(
        report.problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(),
        expected_damage
    );
    assert!(!report.ok);
    assert!(reader.read(45).is_err());
}

#[test]
fn a_lost_active_segment_is_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = sixty(dir.path());
        fill(&mut log, 4);
    }

    let log_dir = dir.path().join("log");
    fs::remove_file(folder::segment(&log_dir, 61).join("db")).expect("removes");

    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    assert!(problems.iter().any(|p| (p.first, p.last) == (61, 64)), "{problems:?}");
    assert_eq!(
        (log.next_seq(), first_to_fold, checkpoint.as_deref()),
        (65, 51, Some(&b"state"[..]))
    );

    fill(&mut log, 1);
    assert_eq!(seqs(&reader), (1..=60).chain([65]).collect::<Vec<_>>());
}

/// Every byte position tried must be found, or be harmless. Where sled panics (nearly always in
/// `Config::open`, now and then in a read), the panic is caught at the boundary to sled, and the
/// segment counts as damaged.
#[test]
fn flipped_bits_in_a_sealed_segment_are_found() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        for n in 0..40 {
            commit(&mut log, &[event(noise(3_000, n))]);
        }
        log.roll(b"state", 1).expect("rolls");
        fill(&mut log, 3);
    }

    let db = folder::segment(&dir.path().join("log"), 1).join("db");
    let good = fs::read(&db).expect("reads");
    let used = good.iter().rposition(|b| *b != 0).expect("not empty");

    let (mut found, mut harmless) = (0, 0);
    for n in 0..24 {
        let copy = tempfile::tempdir().expect("a folder");
        copy_tree(&dir.path().join("log"), &copy.path().join("log"));
        let db = folder::segment(&copy.path().join("log"), 1).join("db");
        let at = used * (n * 2 + 1) / 48;
        let file = fs::OpenOptions::new().write(true).open(&db).expect("opens");
        file.write_all_at(&[good[at] ^ 0x10], at as u64).expect("writes");

        let Recovered { reader, log, .. } = open(copy.path());
        assert_eq!(log.next_seq(), 44);
        let report = reader.verify(&mut |_| {});
        let read: Vec<_> = reader.forward(1).filter_map(Result::ok).collect();

        if report.ok {
            harmless += 1;
            assert_eq!(read.len(), 43, "what verify finds whole is whole");
        } else {
            found += 1;
            assert!(
                report.problems.iter().all(|p| p.first >= 1 && p.last <= 43 && p.first <= p.last),
                "{report:?}"
            );
            assert!(read.len() >= 3, "the other segment can be read");
        }
    }

    assert!(found > 0, "{found} found, {harmless} harmless");
}

#[test]
fn a_frame_that_lost_its_middle_is_reported_and_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        fill(&mut log, 3);
        commit(&mut log, &[event(noise(50_000, 1)), event(noise(50_000, 2))]);
        fill(&mut log, 2);
    }

    meddle(dir.path(), 1, Tampering::LoseMiddle { first: 4 });
    let Recovered { log, reader, problems, .. } = open(dir.path());
    assert_eq!(
        problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(),
        [(4, 5)],
        "{problems:?}"
    );
    assert_eq!(log.next_seq(), 8);

    let expected = [Ok(1), Ok(2), Ok(3), Err((4, 5)), Ok(6), Ok(7)];
    assert_eq!(seen(reader.forward(1)), expected);
    assert_eq!(seen(reader.backward(8)), expected.iter().rev().copied().collect::<Vec<_>>());
    assert!(reader.read(5).is_err());
    assert_eq!(ranges(&reader), [(4, 5)]);
}

#[test]
fn a_changed_record_is_found_though_the_store_thinks_it_good() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        commit(&mut log, &[small(1), small(2), small(3)]);
        log.roll(b"state", 1).expect("rolls");
        commit(&mut log, &[small(4), small(5)]);
    }

    // Frames made by hand, with a bit of the second record changed; the second one with a chain
    // head that fits it.
    let mut packer = FramePacker::default();
    (1..=3).for_each(|n| packer.add(&small(n), None).expect("fits"));
    let chain = Segment::open(&dir.path().join("log"), 1, false).expect("opens").chain;
    let mut bytes = packer.finish(1, chain).1.to_vec();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    meddle(dir.path(), 1, Tampering::Frame { first: 1, bytes });

    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(ranges(&reader), [(1, 3)], "the whole frame does not match its head");
    assert_eq!(
        seen(reader.forward(1)),
        [Ok(1), Ok(2), Err((3, 3)), Ok(4), Ok(5)],
        "its other records read"
    );
    assert_eq!(reader.unreadable(1).iter().collect::<Vec<_>>(), [3], "a walk remembers it");
    drop(reader);

    let Recovered { reader, .. } = open_whole(dir.path());
    let sieve = || Sieve::events(&EventFilter::default());
    let failed = reader.backward_sifted(6, sieve()).filter(Result::is_err).count();
    assert_eq!(failed, 1, "it is not wanted, and found all the same");
    assert!(reader.read_sifted(3, &sieve()).is_err());
    drop(reader);

    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(seen(reader.backward(6)).len(), 5);
    assert_eq!(reader.unreadable(1).iter().collect::<Vec<_>>(), [3], "so does one backward");
}

#[test]
fn a_message_about_records_that_cannot_be_read_names_their_segment() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        fill(&mut log, 5);
        log.roll(b"state", 1).expect("rolls");
        for n in 0..4 {
            commit(&mut log, &[event(noise(50_000, n))]);
            fill(&mut log, 2);
        }
        log.roll(b"state", 1).expect("rolls");
    }
    meddle(dir.path(), 6, Tampering::LoseMiddle { first: 9 });

    let Recovered { reader, .. } = open(dir.path());
    for known in [false, true] {
        let failed = |error: Option<LogError>| match error {
            Some(LogError::Damaged(problem)) => (problem.segment, problem.first, problem.last),
            other => panic!("record 9 is damaged: {other:?}"),
        };
        let read = failed(reader.read(9).err());
        let forward = failed(reader.forward(6).find_map(Result::err));
        let backward = failed(reader.backward(12).find_map(Result::err));
        assert_eq!([read, forward, backward], [(6, 9, 9); 3], "known: {known}");
    }
}

#[test]
fn what_was_lost_before_is_reported_until_its_segment_is_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    for at in 1..4 {
        fill(&mut log, 5);
        log.roll(b"state", at).expect("rolls");
    }
    let known = LogProblem { segment: 11, first: 11, last: 15, what: "known".to_owned() };
    reader.segments.damage.add(&known);

    reader.report_lost(&[2, 3, 7, 12, 13].into_iter().collect());
    let ranges =
        || -> Vec<_> { reader.damage().iter().map(|p| (p.segment, p.first, p.last)).collect() };
    assert_eq!(ranges(), [(11, 11, 15), (1, 2, 3), (6, 7, 7)]);
    assert!(reader.unreadable(1).is_empty(), "whoever asks for them may look");

    log.drop_segment(1).expect("drops");
    assert_eq!(ranges(), [(11, 11, 15), (6, 7, 7)]);
}

#[test]
fn all_damage_within_a_reported_range_is_examined() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        for n in 0..4 {
            commit(&mut log, &[event(noise(50_000, n))]);
            fill(&mut log, 2);
        }
        log.roll(b"state", 1).expect("rolls");
    }

    // Records 4 and 10 lose their middles.
    meddle(dir.path(), 1, Tampering::LoseMiddle { first: 4 });
    meddle(dir.path(), 1, Tampering::LoseMiddle { first: 10 });
    let Recovered { reader, .. } = open(dir.path());
    let (first, last, what) = (2, 12, "one range that holds both".to_owned());
    reader.segments.damage.add(&LogProblem { segment: 1, first, last, what });
    reader.examine_damage();
    assert_eq!(reader.unreadable(1).iter().collect::<Vec<_>>(), [4, 10]);
}

#[test]
fn a_seal_put_in_the_place_of_another_says_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(sixty(dir.path()));
    let log_dir = dir.path().join("log");
    fs::remove_dir_all(folder::segment(&log_dir, 21)).expect("removes");
    fs::copy(folder::seal(&log_dir, 31), folder::seal(&log_dir, 21)).expect("copies");

    let Recovered { reader, .. } = open(dir.path());
    assert_eq!(reader.damage().iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(), [(21, 30)]);
    let read: Vec<_> = reader.forward(1).filter_map(Result::ok).map(|(seq, _)| seq).collect();
    assert_eq!(read, (1..=20).chain(31..=60).collect::<Vec<_>>());
}

/// In a segment of either format, sealed or not, one frame says something wrong of itself.
#[test]
fn what_a_frame_says_wrongly_of_itself_hides_no_other() {
    let changes: [fn(&mut Vec<u8>); 2] = [
        // More records than it has, and another byte in its last one.
        |value| {
            let head = usize::from(value[0] == 0xE1);
            value[head + 13] = 30;
        },
        |value| *value.last_mut().expect("not empty") ^= 1,
    ];

    for change in changes {
        let dir = tempfile::tempdir().expect("a folder");
        let Recovered { mut log, reader, .. } = open(dir.path());
        for _ in 0..10 {
            let first = log.next_seq();
            commit(&mut log, &[small(first), small(first + 1)]);
        }
        log.roll(b"state", 1).expect("rolls");
        fill(&mut log, 3);
        drop((log, reader));
        meddle(dir.path(), 1, Tampering::Beginning { first: 7, change });

        let Recovered { reader, .. } = open_whole(dir.path());
        assert_eq!(ranges(&reader), [(7, 8)]);
        let expected: Vec<_> = (1..=23).filter(|seq| !(7..=8).contains(seq)).collect();
        let read = |walk: Vec<Result<Seq, _>>| walk.into_iter().flatten().collect::<Vec<_>>();
        let mut backward = read(seen(reader.backward(24)));
        backward.reverse();
        for found in [read(seen(reader.forward(1))), backward] {
            let missing: Vec<_> = expected.iter().filter(|seq| !found.contains(seq)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
        let alone = (1..=23).filter(|seq| reader.read(*seq).is_ok_and(|found| found.is_some()));
        let alone: Vec<_> = alone.collect();
        assert!(expected.iter().all(|seq| alone.contains(seq)), "{alone:?}");
        let mut frames = Vec::new();
        let taken = reader.pieces(1, &mut |piece| {
            frames.extend(piece.records().expect("reads").into_iter().map(|(seq, _)| seq));
            true
        });
        assert!(taken.expect("reads"));
        assert_eq!(frames, (1..=20).filter(|seq| !(7..=8).contains(seq)).collect::<Vec<_>>());
    }
}
