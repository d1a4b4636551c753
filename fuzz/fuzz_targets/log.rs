//! The decoders of the log: a record, a frame with its records, pieces of a copy on the wire, a
//! line of an export, a segment's file that is searched without the store.
#![no_main]

use hookbox::log::{Piece, carve};
use hookbox::record::line::EventLine;
use hookbox::record::{Record, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((way, data)) = data.split_first() else { return };
    match way % 5 {
        0 => {
            if let Ok(record) = decode(data) {
                let mut again = Vec::new();
                encode(&record, &mut again);
                assert_eq!(decode(&again).expect("what was read can be written"), record);
            }
            let _ = decode(&[&[1], data].concat());
        }
        1 => {
            let _ = Piece::Frame(data.to_vec()).records();
        }
        2 => {
            let mut at = 0;
            while let Ok(Some((piece, length))) = Piece::from_wire(&data[at..]) {
                let _ = piece.records();
                at += length;
            }
        }
        3 => {
            if let Ok(line) = serde_json::from_slice::<EventLine>(data) {
                let _ = line.event();
            }
        }
        _ => {
            let folder = std::env::temp_dir().join(format!("hookbox-fuzz-{}", std::process::id()));
            let segment = folder.join("bad-seg-00000000000000000001");
            std::fs::create_dir_all(&segment).expect("a folder");
            std::fs::write(segment.join("db"), data).expect("a file");
            let found = carve(&segment).expect("it can be read");
            let _: Vec<(u64, Result<Record, String>)> = found.records().collect();
        }
    }
});
