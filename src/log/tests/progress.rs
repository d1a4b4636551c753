//! How far a write has come can be seen, however large it is.

use super::{commit, event, noise, open};
use crate::log::{Recovered, WriteProgress};
use crate::model::limits;

const BYTES: usize = 6 << 20;

#[test]
fn a_large_commit_and_a_large_checkpoint_are_many_writes_that_return() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open(dir.path());
    let progress = WriteProgress::of_this_thread();
    let fewest = BYTES as u64 / limits::FLUSH_BYTES;

    let before = progress.count();
    commit(&mut log, &[event(noise(BYTES, 1))]);
    let of_commit = progress.count() - before;
    assert!(of_commit >= fewest, "{of_commit} of a commit");

    let checkpoint = noise(BYTES, 2);
    let before = progress.count();
    log.roll(&checkpoint, 2).expect("rolls");
    // The new segment's folder and files, the seal and the watermark are synced as well.
    let of_roll = progress.count() - before;
    assert!(of_roll >= fewest + 6, "{of_roll} of a roll");

    let other = std::thread::spawn(|| WriteProgress::of_this_thread().count());
    assert_eq!(other.join().expect("no panic"), 0, "each thread has its own");
}
