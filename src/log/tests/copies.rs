//! Copies of a log, and what is found in a segment without opening it.

use std::fs;

use super::{commit, event, expecting, forward, noise, open_whole, retire, sixty, small};
use crate::log::checksums::{ChecksumMatch, compare};
use crate::log::{LogCopy, Piece, Recovered, carve, folder};

#[test]
fn a_copy_has_the_same_chain() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    retire(&mut log, &reader, 1);
    commit(&mut log, &[event(noise(100_000, 5)), small(7)]);

    let copied = dir.path().join("copied/log");
    let mut copy = LogCopy::begin(&copied).expect("begins");
    let mut wire = Vec::new();
    for segment in reader.segments() {
        reader
            .pieces(segment.first, &mut |piece| {
                wire.extend(piece.to_wire());
                true
            })
            .expect("reads");
    }

    let mut at = 0;
    while let Some((piece, length)) = Piece::from_wire(&wire[at..]).expect("pieces") {
        copy.take(piece).expect("takes");
        at += length;
    }
    assert_eq!(at, wire.len());
    assert_eq!(copy.finish().expect("ends"), reader.head());
    for segment in reader.segments() {
        let compared = compare(&copied, segment.first);
        assert_eq!(compared, ChecksumMatch::Same, "damage that comes later is noticed");
    }

    let Recovered { reader: other, .. } = open_whole(&dir.path().join("copied"));
    let report = expecting(&other, reader.head());
    assert!(report.ok, "{report:?}");
    assert_eq!((report.first, report.last), (11, reader.durable()));
    assert!(forward(&other, 1) == forward(&reader, 1));
    assert_eq!(other.segments().len(), reader.segments().len());

    let refused = LogCopy::begin(&copied).expect_err("it is not empty");
    assert!(refused.to_string().contains("choose another folder"), "{refused}");

    for cut in [3, 200, wire.len() - 1] {
        let mut copy = LogCopy::begin(&dir.path().join(format!("cut-{cut}"))).expect("begins");
        let mut at = 0;
        while let Ok(Some((piece, length))) = Piece::from_wire(&wire[at..cut]) {
            copy.take(piece).expect("takes");
            at += length;
        }
        assert!(copy.finish().is_err(), "a copy that broke off is none");
    }
}

#[test]
fn everything_is_found_in_a_segment_without_opening_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open_whole(dir.path());
    let mut seed = 1;
    for round in 0..60 {
        let records: Vec<_> = (0..round % 7 + 1)
            .map(|n| {
                seed += 1;
                event(noise([10, 700, 3_000, 40_000][(round + n) % 4], seed))
            })
            .collect();
        commit(&mut log, &records);
    }

    let all = forward(&reader, 1);
    log.close().expect("closes");

    let segment = folder::segment(&dir.path().join("log"), 1);
    let carved = carve(&segment).expect("reads");
    let found: Vec<_> =
        carved.records().map(|(seq, record)| (seq, record.expect("reads"))).collect();
    assert_eq!(carved.missing(Some(reader.durable())), []);
    assert!(found == all, "{} of {}", found.len(), all.len());

    // One flipped bit costs one commit at most, wherever it is.
    let whole = fs::read(segment.join("db")).expect("reads");
    let mut lost = 0;

    for case in 0..20 {
        let mut bytes = whole.clone();
        let at = bytes.len() / 20 * case + 77;
        bytes[at] ^= 4;
        fs::write(segment.join("db"), bytes).expect("writes");

        let carved = carve(&segment).expect("reads");
        let missing = carved.missing(Some(reader.durable()));
        assert!(missing.len() <= 1, "byte {at}: {missing:?}");
        lost += missing.len();
        for (seq, record) in carved.records() {
            assert_eq!(record.expect("reads"), all[usize::try_from(seq - 1).expect("small")].1);
        }
    }
    println!("carved: of 20 flips {lost} cost a commit");
}

#[test]
fn garbage_is_searched_without_a_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let segment = dir.path().join("bad-seg-00000000000000000007-2");
    fs::create_dir(&segment).expect("makes");
    for seed in 0..40 {
        let mut bytes = noise(20_000, seed);
        // Thick with what messages begin with.
        for at in (0..bytes.len()).step_by(7) {
            bytes[at] = [8, 10, 0, 13, b'r', 255, 249][(at / 7) % 7];
        }

        fs::write(segment.join("db"), bytes).expect("writes");
        let carved = carve(&segment).expect("reads");
        assert_eq!((carved.first, carved.records().count()), (7, 0));
        assert_eq!(carved.missing(Some(9)), [(7, 9)]);
    }
}
