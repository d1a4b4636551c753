//! The file: what is written is read, and what cannot be read is put aside.

use std::fs;

use proptest::prelude::*;

use super::super::history_file::HistoryFile;
use super::super::varint;
use super::{HOUR, History, HistoryWorld, MINUTE, START, accepted};

fn some_history() -> HistoryWorld {
    let mut world = HistoryWorld::new();
    world.endpoints = vec![(1, START), (2, START)];
    for n in 0..50 {
        world.pass(MINUTE);
        world.accept(n, &[1, 2]);
    }
    world
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = HistoryFile::in_folder(folder.path());
    assert_eq!(file.read(), History::default(), "there is none yet");

    let world = some_history();
    file.replace(&world.history.write()).expect("written");
    let again = HistoryWorld { history: file.read(), ..world };
    assert_eq!(accepted(&again.ask(HOUR, None)), (0..50).sum::<u64>());
    assert_eq!(accepted(&again.ask_endpoint(2, HOUR)), (0..50).sum::<u64>());
    let names: Vec<_> = fs::read_dir(folder.path()).expect("readable").flatten().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it");
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, path) = (HistoryFile::in_folder(folder.path()), folder.path().join("history"));
    let good = some_history().history.write();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let older = [b"hookbox history 0\n", &good[18..]].concat();
    let too_large = vec![b'x'; 3 << 20];

    for bad in [
        &b""[..],
        b"hookbox history 1\n",
        b"#!/bin/sh\n",
        &good[..100],
        &flipped,
        &older,
        &too_large,
    ] {
        fs::write(&path, bad).expect("written");
        assert_eq!(file.read(), History::default());
        assert!(!path.exists());
        let aside = fs::read(folder.path().join("history.unreadable")).expect("it is kept");
        assert_eq!(aside, bad);
    }

    // Nor does something else of that name end the daemon.
    fs::create_dir(&path).expect("a folder of that name");
    assert_eq!(file.read(), History::default());
    assert!(file.replace(&good).is_err());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = some_history().history.write();
    assert!(History::read(&good).is_ok());
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(History::read(&bad).is_err(), "bit {bit}");
    }
}

#[test]
fn numbers_are_whole_and_fit() {
    for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, number);
        let mut rest = &bytes[..];
        assert_eq!((varint::take(&mut rest), rest.len()), (Some(number), 0));
        assert_eq!(varint::take(&mut &bytes[..bytes.len() - 1]), None, "cut off");
    }
    assert_eq!(varint::take(&mut &[0xff; 20][..]), None, "no end");
    let too_large = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2];
    assert_eq!(varint::take(&mut &too_large[..]), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_end_the_reader(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let good = some_history().history.write();
        let body = good.len() - 4;
        let mut bad = good[..body].to_vec();
        let place = at.index(body);
        bad[place] = byte;
        bad.truncate(cut.index(2 * body).max(18));
        // With a checksum that fits, so that what is in it is looked at.
        bad.extend(crc32fast::hash(&bad).to_le_bytes());
        if let Ok(history) = History::read(&bad) {
            prop_assert!(history.size() <= crate::model::limits::HISTORY_BYTES);
            let world = HistoryWorld { history, ..some_history() };
            let _ = world.ask(HOUR, None);
        }
    }
}
