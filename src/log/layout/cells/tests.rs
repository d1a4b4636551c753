//! Cells, on a database of their own.

use std::path::Path;
use std::sync::Arc;

use super::leaf::CELLS;
use super::names::TreeName;
use super::store::CellStore;
use super::value::{self, CommitHeads, PART_BYTES, PayloadPart, PlacedHead};
use crate::log::database::Database;
use crate::log::frame::FramePacker;
use crate::model::{Seq, limits};
use crate::record::Record;

fn database(dir: &Path) -> Arc<Database> {
    Arc::new(Database::open(&dir.join("database")).expect("opens"))
}

/// A whole frame with one record.
fn frame(seq: Seq) -> Vec<u8> {
    let mut packer = FramePacker::default();
    packer.add(&Record::DuplicateSeen { event: seq, at: seq }).expect("fits");
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
    packer.add(&Record::DuplicateSeen { event: 1, at: 1 }).expect("fits");
    let (head, _) = packer.finish(9, [7; 32]);
    let place = value::CellPlace { tree: 3, cell: 258 };
    let heads = CommitHeads { of: 9, part: 0, frames: vec![PlacedHead { head, place }; 2] };

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
