//! Cells, on a database of their own.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::leaf::{CELLS, LeafCache, LeafPlace, LeafValues};
use super::names::TreeName;
use super::store::CellStore;
use super::trees::FrameTrees;
use super::value::{self, CommitHeads, HeadsFault, PART_BYTES, PayloadPart, PlacedHead};
use crate::log::StoreFault;
use crate::log::database::Database;
use crate::log::frame::{FrameHead, FramePacker};
use crate::model::{Seq, limits};
use crate::record::Record;

fn database(dir: &Path) -> Arc<Database> {
    Arc::new(Database::open(&dir.join("database")).expect("opens"))
}

/// A whole frame with one record.
fn frame(seq: Seq) -> Vec<u8> {
    let mut packer = FramePacker::default();
    packer.add(&Record::DuplicateSeen { event: seq, at: seq }, None).expect("fits");
    value::frame(packer.finish(seq, [7; 32]).1)
}

fn begins(store: &CellStore, seq: Seq) -> Option<Seq> {
    let found = store.at_or_before(seq).expect("reads")?;
    value::begins(&found.value)
}

#[test]
fn what_was_put_is_found_in_any_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let store = CellStore::open(&database, 10).expect("opens");
    assert_eq!(begins(&store, 10), None);

    // Every third record, with the parts of other commits in between.
    let all: Vec<Seq> = (10..3_000).step_by(3).collect();
    for seq in &all {
        if seq % 5 == 0 {
            let part = PayloadPart { of: *seq, number: 0, bytes: &[1; 900] };
            store.put(*seq, &part.to_value()).expect("puts");
        }
        store.put(*seq, &frame(*seq)).expect("puts");
    }

    for store in [store, CellStore::open(&database, 10).expect("opens")] {
        let expected = |seq: Seq| (seq - 10) / 3 * 3 + 10;
        for seq in (10..3_000).chain((10..3_000).rev()) {
            assert_eq!(begins(&store, seq), Some(expected(seq)), "record {seq}");
        }
        for seq in (0..2_990).map(|n| 10 + n * 1_009 % 2_990) {
            assert_eq!(begins(&store, seq), Some(expected(seq)), "record {seq}");
        }
        assert_eq!(begins(&store, 9), None);
    }
}

#[test]
fn a_leaf_is_left_before_it_is_too_large_for_the_cache() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let store = CellStore::open(&database, 1).expect("opens");
    for number in 0..200 {
        let bytes = vec![3; [40, 3_000, PART_BYTES][number as usize % 3]];
        let part = PayloadPart { of: 1, number, bytes: &bytes };
        store.put(1, &part.to_value()).expect("puts");
    }

    for name in database.tree_names() {
        let tree = database.tree(&name).expect("opens");
        for cell in (0..16 * CELLS).step_by(usize::from(CELLS)) {
            let leaf = database.entries(&tree, cell..=cell + CELLS - 1).expect("reads");
            let bytes: usize = leaf.iter().map(|(_, value)| value.len()).sum();
            assert!(bytes <= limits::LEAF, "{bytes} bytes");
        }
    }
}

/// As if so many processes had opened the segment and ended again.
#[test]
fn very_many_processes_fill_a_bounded_number_of_trees() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let processes = limits::TREES as Seq + 40;

    let mut crowded = 0;
    for process in 0..processes {
        let store = CellStore::open(&database, 1).expect("opens");
        for seq in process * 3 + 1..=process * 3 + 3 {
            store.put(seq, &frame(seq)).expect("puts");
        }
        crowded += u64::from(store.is_crowded());
    }
    assert_eq!(crowded, processes - limits::CROWDED_TREES as Seq + 1);
    assert_eq!(database.tree_names().len(), limits::TREES);

    let store = CellStore::open(&database, 1).expect("opens");
    for seq in 1..=processes * 3 {
        assert_eq!(begins(&store, seq), Some(seq));
    }
    let last = limits::TREES as Seq * 3 - 2..=processes * 3;
    for seq in last.clone().map(|seq| last.start() + seq * 59 % (last.end() - last.start() + 1)) {
        let store = CellStore::open(&database, 1).expect("opens");
        assert_eq!(begins(&store, seq), Some(seq), "record {seq}");
    }
}

#[test]
fn a_tree_whose_first_record_is_too_far_off_for_its_name_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let far = u64::from(u32::MAX) + 5;
    for seq in [1, far, far + 1_000] {
        let store = CellStore::open(&database, 1).expect("opens");
        store.put(seq, &frame(seq)).expect("puts");
    }

    let names = database.tree_names();
    let offset = |name: &Vec<u8>| match TreeName::read(name) {
        Some(TreeName::Frames { offset, .. }) => offset,
        other => panic!("{other:?}"),
    };
    assert_eq!(names.iter().filter(|name| offset(name) == u32::MAX).count(), 2);
    let store = CellStore::open(&database, 1).expect("opens");
    for (seq, expected) in [(1, 1), (far, far), (far + 999, far), (far + 1_000, far + 1_000)] {
        assert_eq!(begins(&store, seq), Some(expected));
    }
}

#[test]
fn heads_and_parts_read_back_and_are_not_read_when_they_are_changed() {
    let mut packer = FramePacker::default();
    packer.add(&Record::DuplicateSeen { event: 1, at: 1 }, None).expect("fits");
    let (head, _) = packer.finish(9, [7; 32]);
    let place = value::CellPlace { tree: 3, cell: 258 };
    let heads =
        CommitHeads { of: 9, part: 0, frames: vec![PlacedHead { head, place }; 2], ahead: None };

    let mut bytes = heads.to_value();
    assert_eq!(CommitHeads::read(&bytes), Ok((heads, bytes.len())));
    assert_eq!((value::begins(&bytes), value::covers(&bytes)), (Some(9), Some((9, 9))));
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        assert!(CommitHeads::read(&bytes).is_err(), "byte {at}");
        bytes[at] ^= 1;
    }

    let part = PayloadPart { of: 9, number: 2, bytes: b"some bytes" };
    let mut bytes = part.to_value();
    assert_eq!(PayloadPart::find(&bytes), Some((part, bytes.len() - 10)));
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        assert_eq!(PayloadPart::find(&bytes), None, "byte {at}");
        bytes[at] ^= 1;
    }
}

/// Looks for records, each with a store that has read nothing yet.
fn lookups(database: &Arc<Database>, seqs: impl Iterator<Item = Seq>, expected: fn(Seq) -> Seq) {
    for seq in seqs {
        let store = CellStore::open(database, 1).expect("opens");
        assert_eq!(begins(&store, seq), Some(expected(seq)), "record {seq}");
    }
}

#[test]
fn a_leaf_that_holds_nothing_does_not_end_the_search() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let store = CellStore::open(&database, 1).expect("opens");
    let places: Vec<_> = (1..=200).map(|seq| store.put(seq, &frame(seq)).expect("puts")).collect();
    for place in places.iter().filter(|place| place.cell / CELLS % 3 == 1) {
        store.replace(*place, &[]).expect("writes");
    }

    let kept = |seq: &Seq| (*seq - 1) % 144 / 9 % 3 != 1;
    lookups(&database, (1..=200).filter(kept), |seq| seq);
}

#[test]
fn one_value_with_a_wrong_number_hides_no_other() {
    for wrong in [1, 5_000] {
        let dir = tempfile::tempdir().expect("a folder");
        let database = database(dir.path());
        let store = CellStore::open(&database, 1).expect("opens");
        let places: Vec<_> =
            (1..=140).map(|seq| store.put(seq, &frame(seq)).expect("puts")).collect();

        // The first of a leaf, in its middle, and the last of one.
        for at in [64, 67, 71] {
            let original = store.at_or_before(at).expect("reads").expect("a commit").value;
            let place = places[usize::try_from(at).expect("small") - 1];
            let mut value = original.to_vec();
            value[3..11].copy_from_slice(&(wrong as Seq).to_be_bytes());
            store.replace(place, &value).expect("writes");
            lookups(&database, (2..=140).filter(|seq| *seq != at), |seq| seq);
            store.replace(place, &original).expect("writes");
        }
    }
}

#[test]
fn a_frame_that_claims_too_many_records_does_not_answer_for_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let store = CellStore::open(&database, 1).expect("opens");
    for seq in 1..=40 {
        store.put(seq, &frame(seq)).expect("puts");
    }
    // One within a leaf, and one at its end.
    for at in [6, 18] {
        let found = store.at_or_before(at).expect("reads").expect("a commit");
        let mut value = found.value.to_vec();
        value[11..15].copy_from_slice(&30u32.to_be_bytes());
        store.replace(found.place, &value).expect("writes");
    }

    for first in 1..=40 {
        let store = CellStore::open(&database, 1).expect("opens");
        for seq in [first, first % 40 + 1, 19, 18, 20, 7] {
            assert_eq!(begins(&store, seq), Some(seq), "record {seq} after {first}");
        }
    }
}

#[test]
fn one_leaf_that_cannot_be_read_hides_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let store = CellStore::open(&database, 1).expect("opens");
    for seq in 1..=140 {
        store.put(seq, &frame(seq)).expect("puts");
    }
    let name = TreeName::Frames { number: 0, offset: 0 }.to_bytes();

    for fault in [StoreFault::Disk, StoreFault::Corrupt, StoreFault::Io] {
        for leaf in 0..16 {
            let cells = leaf * CELLS..=leaf * CELLS + CELLS - 1;
            *database.faults.lock().expect("locks") = vec![(name.clone(), cells.clone(), fault)];
            for seq in 1..=140 {
                let store = CellStore::open(&database, 1).expect("opens");
                let found = store.at_or_before(seq);
                if cells.contains(&(u16::try_from(seq).expect("small") - 1)) {
                    assert!(found.is_err(), "record {seq} without leaf {leaf}: {found:?}");
                } else {
                    let begins =
                        found.expect("reads").and_then(|found| value::begins(&found.value));
                    assert_eq!(begins, Some(seq), "without leaf {leaf}");
                }
            }
            database.faults.lock().expect("locks").clear();
        }
    }
}

/// Whoever writes a tree knows its leaves, whatever a reader saw before.
#[test]
fn what_a_reader_saw_of_a_tree_does_not_hide_what_is_written_later() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let store = CellStore::open(&database, 1).expect("opens");
    for seq in 1..=10 {
        store.put(seq, &frame(seq)).expect("puts");
    }

    let trees = FrameTrees::open(&database, 1).expect("opens");
    let tree = trees.last().expect("a tree");
    tree.written(10 * CELLS);
    assert_eq!((trees.leaves(&tree), trees.go_on(&tree).expect("reads")), (11, (25, 2)));
    assert_eq!(trees.leaves(&tree), 3, "those behind are empty");
    tree.written(10 * CELLS);
    assert_eq!(trees.leaves(&tree), 11);
}

/// A leaf that is read while a tree is written on may be read before its values are there.
#[test]
fn a_leaf_that_is_written_on_is_not_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let database = database(dir.path());
    let store = CellStore::open(&database, 1).expect("opens");
    for seq in 1..=9 {
        store.put(seq, &frame(seq)).expect("puts");
    }

    // The next leaf was prepared, and the process ended before it was written.
    let trees = FrameTrees::open(&database, 1).expect("opens");
    let tree = trees.last().expect("a tree");
    for cell in 9..=25 {
        database.insert(&tree.tree, cell, &[]).expect("writes");
    }
    let (_, leaf) = trees.go_on(&tree).expect("reads");
    let at = LeafPlace { tree: tree.number, leaf };
    assert_eq!((leaf, trees.leaf(at).expect("reads").is_empty()), (1, true));
    database.insert(&tree.tree, leaf * CELLS, &frame(11)).expect("writes");
    assert_eq!(trees.leaf(at).expect("reads").begins(), Some(11));

    // What was read before the tree was written on, and is to be kept afterwards.
    let mut cache = LeafCache::default();
    let empty = Arc::new(LeafValues::new(Vec::new()));
    let (_, cleared) = cache.get(at);
    cache.clear();
    cache.keep(at, &empty, cleared);
    let (kept, cleared) = cache.get(at);
    assert!(kept.is_none());
    cache.keep(at, &empty, cleared);
    assert!(cache.get(at).0.is_some());
}

#[test]
fn heads_of_impossible_number_are_none() {
    let mut packer = FramePacker::default();
    packer.add(&Record::DuplicateSeen { event: 1, at: 1 }, None).expect("fits");
    let (head, _) = packer.finish(9, [7; 32]);
    let heads = |count: usize| {
        let place = value::CellPlace { tree: 3, cell: 258 };
        CommitHeads { of: 9, part: 0, frames: vec![PlacedHead { head, place }; count], ahead: None }
    };
    for (count, is_good) in [(0, false), (1, true), (155, true), (156, false), (60_000, false)] {
        assert_eq!(CommitHeads::read(&heads(count).to_value()).is_ok(), is_good, "{count}");
    }

    // Garbage that begins like values everywhere.
    let garbage = [0xE1, 0xE2, 0xE3].repeat(1 << 20);
    assert!(super::salvage(&garbage, &[]).choose(&[]).frames.is_empty());
}

#[test]
fn only_heads_whose_checksum_is_right_are_of_a_later_version() {
    let mut packer = FramePacker::default();
    packer.add(&Record::DuplicateSeen { event: 1, at: 1 }, None).expect("fits");
    let (head, _) = packer.finish(9, [7; 32]);
    let place = value::CellPlace { tree: 3, cell: 258 };
    let heads =
        CommitHeads { of: 9, part: 0, frames: vec![PlacedHead { head, place }; 2], ahead: None };
    let good = heads.to_value();

    // The version of either frame.
    for at in [15, 15 + 90] {
        let mut bytes = good.clone();
        bytes[at] = 9;
        assert!(matches!(CommitHeads::read(&bytes), Err(HeadsFault::Damaged(_))));
        let front = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..front]).to_be_bytes();
        bytes[front..].copy_from_slice(&crc);
        assert!(matches!(CommitHeads::read(&bytes), Err(HeadsFault::Newer(_))));
    }
}

#[test]
fn salvage_takes_the_parts_of_the_commit_and_not_of_one_that_was_torn() {
    let body: Vec<u8> = (0..=250).cycle().take(20 * PART_BYTES).collect();
    let part = |number: u32, bytes: &[u8]| PayloadPart { of: 9, number, bytes }.to_value();
    let mut file = Vec::new();
    for torn in 0..2 {
        for number in 0..20 {
            file.extend(part(number, &vec![torn; PART_BYTES]));
        }
    }

    // A head over a payload that no record is in: salvage asks for the chain head only.
    let facts = [&[1u8, 0][..], &9u64.to_be_bytes(), &1u32.to_be_bytes()].concat();
    let length = u32::try_from(body.len()).expect("small").to_be_bytes();
    let own = Sha256::digest([&[7; 32][..], &facts, &length, &length, &body].concat());
    let head = [&facts[..], &[7; 32], &own, &length, &length].concat();
    let head = FrameHead::read(&head).expect("a head");
    for (number, bytes) in (0..).zip(body.chunks(PART_BYTES)) {
        file.extend(part(number, bytes));
    }
    let place = value::CellPlace { tree: 0, cell: 0 };
    let frames = vec![PlacedHead { head, place }];
    file.extend(CommitHeads { of: 9, part: 0, frames, ahead: None }.to_value());

    let found = super::salvage(&file, &[]).choose(&[]);
    assert_eq!(found.frames.get(&9).map(|frame| &frame.stored), Some(&body));
}
