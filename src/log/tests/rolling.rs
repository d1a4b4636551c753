//! Rolling: by size, by age, and postponed for lack of disk space.

use super::{fill, noise, open, options, seqs, small};
use crate::log::{DiskBudget, Log, Options, Recovered, SegmentInfo};
use crate::model::limits;

#[test]
fn it_rolls_and_starts_from_its_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let small_segments = || Options { segment_bytes: 400, ..options(dir.path()) };
    let Recovered { mut log, reader, .. } = Log::open(small_segments(), 1_000).expect("opens");

    let state = noise(3 * limits::CHUNK + 5, 1);
    for n in 0..90 {
        fill(&mut log, 1);
        if log.wants_roll(1_000) {
            log.roll(&state, 2_000 + n).expect("rolls");
        }
    }

    let infos = reader.segments();
    assert!(infos.len() > 5, "{}", infos.len());

    for pair in infos.windows(2) {
        assert_eq!(pair[0].last.map(|last| last + 1), Some(pair[1].first));
        assert!(pair[0].sealed_at.is_some() && pair[0].disk_bytes > 0 && pair[0].records > 0);
    }

    assert_eq!(infos.last().and_then(|info| info.sealed_at), None);
    assert_eq!(seqs(&reader), (1..=90).collect::<Vec<_>>());

    let newest = infos.last().expect("a segment").first;

    drop((log, reader));
    let Recovered { log, reader, checkpoint, first_to_fold, problems } =
        Log::open(small_segments(), 1_000).expect("opens");
    assert_eq!((checkpoint, first_to_fold, problems), (Some(state), newest, Vec::new()));

    let without_sizes = |mut infos: Vec<SegmentInfo>| {
        infos.iter_mut().for_each(|info| info.disk_bytes = 0);
        infos
    };
    assert_eq!(
        without_sizes(reader.segments()),
        without_sizes(infos),
        "sled's snapshots come and go"
    );

    assert_eq!(log.next_seq(), 91);
    assert!(reader.verify(&mut |_| {}).ok);
}

#[test]
fn age_wants_a_roll_but_not_of_an_empty_segment() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open(dir.path());
    assert!(!log.wants_roll(u64::MAX));
    fill(&mut log, 1);
    assert!(!log.wants_roll(0), "a clock that stands in 1970 rolls nothing");
    assert!(!log.wants_roll(1_000 + limits::SEGMENT_AGE_MS - 1));
    assert!(log.wants_roll(1_000 + limits::SEGMENT_AGE_MS));

    log.roll(b"", 5).expect("rolls");
    assert!(!log.wants_roll(6));
}

#[test]
fn a_segment_that_was_begun_while_the_clock_was_ahead_is_rolled_once_it_is_set() {
    /// 2026-01-01 and 2038-01-19.
    const NOW: u64 = 1_767_225_600_000;
    const AHEAD: u64 = 2_147_483_647_000;

    let dir = tempfile::tempdir().expect("a folder");
    let mut log = Log::open(options(dir.path()), AHEAD).expect("opens").log;
    fill(&mut log, 1);
    assert!(!log.wants_roll(AHEAD + 1) && !log.wants_roll(AHEAD - 60_000), "a clock that is set");
    assert!(log.wants_roll(NOW + 2 * limits::SEGMENT_AGE_MS), "it is not sealed for twelve years");
}

#[test]
fn a_roll_without_disk_space_is_put_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let with_quota = |quota| Options {
        segment_bytes: 1,
        budget: DiskBudget { quota: Some(quota), reserve: None },
        ..options(dir.path())
    };
    let mut log = Log::open(with_quota(1 << 20), 1).expect("opens").log;
    fill(&mut log, 1);
    assert!(!log.wants_roll(1), "{:?}", log.disk_space());

    log.roll(b"checkpoint", 1).expect("it is postponed");
    let committed = log.commit(&[small(2)]).expect("it goes on");
    assert_eq!(committed.last, 2);
    log.close().expect("closes");

    let Recovered { mut log, reader, .. } = Log::open(with_quota(1 << 30), 1).expect("opens");
    assert_eq!((reader.segments().len(), reader.verify(&mut |_| {}).ok), (1, true));
    assert!(log.wants_roll(1), "{:?}", log.disk_space());
    log.roll(b"checkpoint", 1).expect("rolls");
    assert_eq!(reader.segments().len(), 2);
}
