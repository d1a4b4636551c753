//! Measurements, run by hand: `cargo test --release --lib log::tests::measurements -- --ignored
//! --nocapture`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::{commit, event, noise, options};
use crate::log::{Log, Options, Recovered, SegmentFormat};
use crate::model::Seq;

const FORMATS: [SegmentFormat; 2] = [SegmentFormat::Chunks, SegmentFormat::Cells];

fn open(dir: &Path, segment_format: SegmentFormat) -> Recovered {
    Log::open(Options { segment_format, ..options(dir) }, 1_000).expect("the log opens")
}

fn folder() -> tempfile::TempDir {
    let base = std::env::var_os("HOOKBOX_MEASURE_DIR").map_or_else(std::env::temp_dir, Into::into);
    tempfile::tempdir_in(&base).expect("a folder")
}

#[test]
#[ignore = "measurement"]
fn measure_commits() {
    for (format, noisy) in FORMATS.into_iter().flat_map(|f| [(f, true), (f, false)]) {
        let size = 1024;
        for per_commit in [1usize, 16, 64, 256] {
            let dir = folder();
            let Recovered { mut log, .. } = open(dir.path(), format);
            let text = |n: u64| {
                (0..).flat_map(move |i: u64| {
                    format!("{{\"id\":{},\"k\":\"v\"}},", n * 31 + i).into_bytes()
                })
            };
            let body = |n| if noisy { noise(size, n) } else { text(n).take(size).collect() };

            let records: Vec<_> = (0..per_commit as u64).map(|n| event(body(n))).collect();

            let started = Instant::now();
            let mut commits = 0u32;
            while started.elapsed().as_secs() < 3 {
                let _ = log.commit(&records).expect("commits");
                commits += 1;
                if log.wants_roll(1_000) {
                    log.roll(b"state", 1_000).expect("rolls");
                }
            }

            let seconds = started.elapsed().as_secs_f64();
            let rate = f64::from(commits) * per_commit as f64 / seconds;
            let each = seconds * 1e6 / f64::from(commits);
            println!(
                "{format:?}: {per_commit:4} x {size} B, noise {noisy}: {rate:9.0} events/s, \
                 {each:7.0} us each"
            );
        }
    }
}

/// What of the commit of one large body takes how long, in milliseconds; the middle of nine.
#[test]
#[ignore = "measurement"]
fn measure_large_bodies() {
    let base = std::env::var_os("HOOKBOX_MEASURE_DIR").map_or_else(std::env::temp_dir, Into::into);
    let middle = |work: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..9)
            .map(|_| {
                let started = Instant::now();
                work();
                started.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[4]
    };

    for (mib, noisy) in [(1, true), (4, true), (32, true), (1, false), (4, false), (32, false)] {
        let text = || (0u64..).flat_map(|n| format!("{{\"id\":{n},\"k\":\"v\"}},").into_bytes());
        let body =
            if noisy { noise(mib << 20, 7) } else { text().take(mib << 20).collect::<Vec<u8>>() };
        let record = event(body);

        let mut bytes = Vec::new();
        let encode = middle(&mut || {
            bytes.clear();
            crate::record::encode(&record, &mut bytes);
        });
        let mut sum = 0;
        let crc = middle(&mut || sum ^= crc32fast::hash(&bytes));
        let mut packed = vec![0; lz4_flex::block::get_maximum_output_size(bytes.len())];
        let mut stored = 0;
        let compress = middle(&mut || {
            stored = lz4_flex::block::compress_into(&bytes, &mut packed).expect("fits");
        });
        let stored = if noisy { &bytes[..] } else { &packed[..stored] };
        let hash =
            middle(&mut || sum ^= u32::from(<sha2::Sha256 as sha2::Digest>::digest(stored)[0]));

        let commit = |skip_sync| {
            let dir = tempfile::tempdir_in(&base).expect("a folder");
            let options = Options { skip_sync, ..super::options(dir.path()) };
            let Recovered { mut log, .. } = Log::open(options, 1).expect("opens");
            let records = [record.clone()];
            middle(&mut || {
                let _ = log.commit(&records).expect("commits");
                if log.wants_roll(1) {
                    log.roll(b"state", 1).expect("rolls");
                }
            })
        };
        let (unsynced, synced) = (commit(true), commit(false));
        let before = encode + crc + compress + hash;
        println!(
            "{mib:2} MiB, noise {noisy}: encode {encode:.2}, crc {crc:.2}, lz4 {compress:.2}, \
             sha-256 {hash:.2}, store and flush {:.2}, fdatasync {:.2}, in all {synced:.2} ({sum})",
            unsynced - before,
            synced - unsynced
        );
    }
}

fn rss_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("is there");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Milliseconds of processor time that this process has taken: on a busy machine they say more
/// than those on the clock.
fn processor_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("reads");
    let (_, behind) = stat.rsplit_once(')').expect("a name");
    let ticks = behind.split_whitespace().skip(11).take(2);
    ticks.map(|n| n.parse::<u64>().expect("a number") * 10).sum()
}

/// The clock and the processor time at the beginning of something.
#[derive(Clone, Copy)]
struct LapStart(Instant, u64);

fn start() -> LapStart {
    LapStart(Instant::now(), processor_ms())
}

fn lap(what: &str, LapStart(clock, processor): LapStart) {
    let (clock, processor) = (clock.elapsed().as_millis(), processor_ms() - processor);
    println!("{what}: {clock} ms, {processor} ms of processor time, RSS {} KiB", rss_kib());
}

/// Commits until the active segment has this payload.
fn fill_to(log: &mut Log, payload_bytes: u64) {
    while log.slot.summary().payload_bytes < payload_bytes {
        let records: Vec<_> = (0..64).map(|n| event(noise(1024, n + log.next_seq()))).collect();
        commit(log, &records);
    }
}

#[test]
#[ignore = "measurement"]
fn measure_reading() {
    FORMATS.into_iter().for_each(measure_reading_of);
}

fn measure_reading_of(format: SegmentFormat) {
    println!("--- {format:?}");
    let dir = folder();
    {
        let Recovered { mut log, .. } = open(dir.path(), format);
        let state = noise(5 << 20, 1);
        for _ in 0..20 {
            fill_to(&mut log, 16 << 20);
            let started = start();
            log.roll(&state, 1).expect("rolls");
            lap("roll with a checkpoint of 5 MiB", started);
        }
        fill_to(&mut log, 64 << 20);
    }

    for round in ["first", "second"] {
        let started = start();
        let Recovered { reader, first_to_fold, log, .. } = open(dir.path(), format);
        lap(&format!("{round} open, 64 MiB active"), started);

        let started = start();
        let count = reader.forward(first_to_fold).count();
        lap(&format!("fold of {count}"), started);

        let started = start();
        let count = reader.forward(1).count();
        lap(&format!("forward over {count}"), started);

        let started = start();
        let count = reader.backward(Seq::MAX).count();
        lap(&format!("backward over {count}"), started);

        let started = start();
        assert!(reader.verify(&mut |_| {}).ok);
        lap("verify", started);

        let started = start();
        let records = reader.durable() - first_to_fold;
        for n in 0..1000u64 {
            assert!(reader.read(1 + first_to_fold + n * 7919 % records).is_ok());
        }
        lap("1000 random reads of the active segment", started);

        let disk: u64 = reader.segments().iter().map(|s| s.disk_bytes).sum();
        let payload: u64 = reader.segments().iter().map(|s| s.payload_bytes).sum();
        println!("disk {disk}, payload {payload}");
        reader.close_idle();
        drop(log);
        println!("closed: RSS {} KiB", rss_kib());
    }
}

/// Bytes that this process has handed to the system.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("reads");
    let line = io.lines().find(|line| line.starts_with("wchar")).expect("is there");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// What one segment of 32 MiB costs: bodies that do not compress, one a commit.
#[test]
#[ignore = "measurement"]
fn measure_bytes_written() {
    for size in [100, 512, 4 << 10, 64 << 10] {
        for format in FORMATS {
            let dir = folder();
            let Recovered { mut log, reader, .. } = open(dir.path(), format);
            let (before, started) = (written(), start());
            while log.slot.summary().payload_bytes < 32 << 20 {
                let seq = log.next_seq();
                commit(&mut log, &[event(noise(size, seq))]);
            }

            let (written, summary) = (written() - before, log.slot.summary());
            log.close().expect("closes");
            let file = reader.segments()[0].disk_bytes;
            let ratio = |bytes: u64| bytes as f64 / summary.payload_bytes as f64;
            println!(
                "{size:5} B, {format:?}: written/payload {:.2}, file/payload {:.2}",
                ratio(written),
                ratio(file),
            );
            lap(&format!("{} commits", summary.records), started);
        }
    }
}

/// Very many commits of a hundred bytes: what their pages take in memory, and how fast they are
/// read. A segment of format 2 is rolled before it has so many.
#[test]
#[ignore = "measurement"]
fn measure_tiny_commits() {
    for format in FORMATS {
        println!("--- {format:?}");
        let dir = folder();
        let Recovered { mut log, reader, .. } = open(dir.path(), format);
        println!("before: RSS {} KiB", rss_kib());
        let started = start();
        for seq in 1..=450_000 {
            commit(&mut log, &[event(noise(100, seq))]);
            if log.wants_roll(1_000) {
                log.roll(b"state", 1_000).expect("rolls");
                println!("rolled behind {seq}: RSS {} KiB", rss_kib());
            }
        }
        lap("written", started);

        drop(reader);
        log.close().expect("closes");
        println!("closed: RSS {} KiB", rss_kib());
        let started = start();
        let Recovered { log, reader, .. } = open(dir.path(), format);
        lap("opened", started);
        let started = start();
        assert_eq!(reader.forward(1).count(), 450_000);
        lap("read forward", started);
        let started = start();
        assert_eq!(reader.backward(Seq::MAX).count(), 450_000);
        lap("read backward", started);
        drop(log);
    }
}
