//! Reading while the log is written, and in both directions.

use super::{commit, event, fill, open, sixty, small};
use crate::log::Recovered;
use crate::model::EventFilter;
use crate::record::Sieve;

#[test]
fn what_is_written_and_sealed_during_a_verification_does_not_confuse_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    fill(&mut log, 3);

    let mut goes_on = Some(log);
    let report = reader.verify(&mut |_| {
        // While the first segment is read, the last one grows and is sealed.
        if let Some(mut log) = goes_on.take() {
            fill(&mut log, 5);
            log.roll(b"state", 100).expect("rolls");
        }
    });

    assert_eq!(report.problems, []);
    assert_eq!((report.last, report.records), (63, 63));
}

#[test]
fn it_reads_forward_and_backward_over_segments() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    fill(&mut log, 5);

    for from in [0, 1, 9, 10, 11, 60, 61, 65, 66, 1000] {
        let got: Vec<_> = reader.forward(from).map(|item| item.expect("reads").0).collect();
        assert_eq!(got, (from.max(1)..=65).collect::<Vec<_>>());
        let got: Vec<_> = reader.backward(from).map(|item| item.expect("reads").0).collect();
        assert_eq!(got, (1..from.min(66)).rev().collect::<Vec<_>>());
    }

    let mut walk = reader.backward(u64::MAX);
    assert_eq!(walk.next().expect("one").expect("reads"), (65, small(65)));
    assert!(walk.bytes_read() > 0);

    for seq in (1..=65).rev() {
        assert_eq!(reader.read(seq).expect("reads"), Some(small(seq)));
    }

    reader.close_idle();
    assert_eq!(reader.read(3).expect("reads"), Some(small(3)));
}

#[test]
fn a_sifted_walk_comes_by_all_records_and_decodes_those_that_may_be_wanted() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    commit(&mut log, &[event(b"{}".to_vec()), small(62)]);

    let of_source = |name: &str| {
        Sieve::events(&EventFilter { source: Some(name.into()), ..EventFilter::default() })
    };
    for (source, expected) in [("s", vec![61]), ("nobody", vec![])] {
        let walk = reader.backward_sifted(u64::MAX, of_source(source));
        let walked: Vec<_> = walk.map(|item| item.expect("reads")).collect();
        let seqs: Vec<_> = walked.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=62).rev().collect::<Vec<_>>());
        let decoded = walked.into_iter().filter_map(|(seq, record)| record.map(|_| seq));
        assert_eq!(decoded.collect::<Vec<_>>(), expected);
        let read = reader.read_sifted(61, &of_source(source)).expect("reads");
        assert_eq!(read.is_some(), !expected.is_empty());
    }
    assert_eq!(reader.read_sifted(1000, &of_source("s")).expect("it is not damaged"), None);
}

#[test]
fn readers_on_other_threads_see_whole_commits_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());

    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let reader = reader.clone();
                scope.spawn(move || {
                    while reader.durable() < 300 {
                        let durable = reader.durable();
                        let got = reader.forward(1).map(|item| item.expect("reads"));
                        let last = got
                            .enumerate()
                            .map(|(n, (seq, _))| assert_eq!(seq, n as u64 + 1))
                            .count() as u64;
                        assert!(last >= durable);
                        assert_eq!(last % 3, 0, "a commit is there as a whole");
                    }
                })
            })
            .collect();

        for n in 0..100 {
            commit(&mut log, &[small(n), small(n), small(n)]);
            if n % 20 == 19 {
                log.roll(b"s", n).expect("rolls");
            }
        }

        for reader in readers {
            reader.join().expect("no reader panicked");
        }
    });
}
