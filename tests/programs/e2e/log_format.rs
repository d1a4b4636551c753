//! The log read by docs/internals/log-format.md alone: none of the product's code, only what the
//! page says. A change of the bytes that the page does not tell fails here.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::open_source;
use super::support::rng::Rng;
use super::support::{Home, hex, sha256};

/// The header, the checkpoint's chunks and the frames of a segment, as `GET /v1/log/segments/{id}`
/// gives them: a kind, a length in four bytes, and so many bytes.
fn pieces(home: &Home) -> Vec<(u8, Vec<u8>)> {
    let mut stream = UnixStream::connect(home.data().join("admin.sock")).expect("the admin socket");
    stream.write_all(b"GET /v1/log/segments/1 HTTP/1.0\r\nHost: hookbox\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("read to its end");
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let mut rest = &answer[head..];
    let mut pieces = Vec::new();
    while let Some((kind, more)) = rest.split_first() {
        let length = number(&more[..4]);
        pieces.push((*kind, more[4..4 + length].to_vec()));
        rest = &more[4 + length..];
    }
    pieces
}

/// Big-endian, as all numbers of the page.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[test]
fn a_segment_is_what_the_page_says() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    // One that LZ4 makes smaller, and one that is too small for it.
    daemon.accept("/in/in", &[], &[b'a'; 9000]);
    daemon.accept("/in/in", &[], b"x");
    // And one that takes several values.
    let mut rng = Rng::new(7);
    let noise: Vec<u8> = (0..30_000).map(|_| rng.next().to_be_bytes()[0]).collect();
    daemon.accept("/in/in", &[], &noise);
    // One in blocks, of which one is compressed.
    let large = [&noise.repeat(9)[..], &[b'a'; 262_144]].concat();
    daemon.accept("/in/in", &[], &large);

    let db = std::fs::read(home.data().join("log/seg-00000000000000000001/db")).expect("the file");
    let mut chain = [0u8; 32];
    let (mut last, mut kinds, mut names) = (0, BTreeSet::new(), Vec::new());
    for (kind, bytes) in pieces(&home) {
        match kind {
            b'H' => {
                let (packed, crc) = bytes.split_at(bytes.len() - 4);
                assert_eq!(number(crc), crc32fast::hash(packed) as usize, "the header's checksum");
                assert_eq!(packed[..2], [0x99, 4], "an array of nine, and the format");
                chain = sha256(&[&chain[..], &bytes].concat());
            }
            b'F' => {
                let (head, stored) = bytes.split_at(86);
                let (first, count) = (number(&head[2..10]), number(&head[10..14]));
                let (raw_length, stored_length) = (number(&head[78..82]), number(&head[82..86]));
                assert_eq!((head[0], first, stored.len()), (1, last + 1, stored_length));
                assert_eq!(head[14..46], chain, "it continues the chain");
                let covered = if head[1] == 2 { table(stored) } else { stored };
                chain = sha256(&[&chain[..], &head[..14], &head[78..], covered].concat());
                assert_eq!(head[46..78], chain, "and is its next link");

                is_in_cells(&db, &bytes);

                kinds.insert(head[1]);
                let payload = match head[1] {
                    1 => lz4_flex::block::decompress(stored, raw_length).expect("an LZ4 block"),
                    2 => of_blocks(stored),
                    _ => stored.to_vec(),
                };
                let found = records(&payload);
                assert_eq!((payload.len(), found.len()), (raw_length, count));
                names.extend(found);
                last = first + count - 1;
            }
            // The first segment has no checkpoint.
            other => assert_eq!(other, b'E', "the end"),
        }
    }
    assert!(
        kinds.is_superset(&BTreeSet::from([0, 1, 2])),
        "plain, compressed, in blocks: {kinds:?}"
    );
    let expected = [&["LogStarted", "SourceSet"][..], &["EventAccepted"; 4]].concat();
    assert_eq!(names, expected);
    let head = daemon.json(&["log", "head"]);
    assert_eq!(
        (head["record"].as_u64(), head["hash"].as_str()),
        (Some(last as u64), Some(&*hex(&chain)))
    );
    files_beside_it(&home, last, &chain);
}

/// The watermark and a checked file.
fn files_beside_it(home: &Home, last: usize, chain: &[u8]) {
    // The newer slot of the watermark names the same end.
    let mark = std::fs::read(home.data().join("log/watermark")).expect("the watermark");
    assert_eq!(mark.len(), 128);
    let slot = mark.chunks(64).max_by_key(|slot| number(&slot[..8])).expect("two slots");
    assert_eq!((number(&slot[8..16]), &slot[16..48], &slot[52..]), (last, chain, &[0; 12][..]));
    assert_eq!(number(&slot[48..52]), crc32fast::hash(&slot[..48]) as usize);

    // A checked file: a line of JSON, and its checksum.
    let format = std::fs::read_to_string(home.data().join("log/format")).expect("the format");
    let (json, crc) = format.split_once('\n').expect("two lines");
    assert_eq!(crc.trim_end(), format!("{:08x}", crc32fast::hash(json.as_bytes())));
}

/// A frame is in the segment's file as it is, or in parts.
fn is_in_cells(db: &[u8], frame: &[u8]) {
    if frame.len() < 14_000 {
        assert!(has(db, &[&[0xE1], frame].concat()), "in a cell");
    } else if frame[1] == 2 {
        assert_eq!(
            parts_ahead(db, &frame[..86]),
            frame[86..],
            "in parts, of which some were first"
        );
    } else {
        assert_eq!(parts(db, &frame[..86]), frame[86..], "in parts");
    }
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The payload of a frame that is the only one of its commit: its head is among the heads of the
/// commit, and its parts say which they are.
fn parts(db: &[u8], head: &[u8]) -> Vec<u8> {
    let of = &head[2..10];
    let front = [&[0xE2], of, &[0; 4], &[0, 1], head].concat();
    let heads = db.windows(front.len() + 8).find(|window| window.starts_with(&front));
    let (checked, crc) = heads.expect("its heads").split_at(front.len() + 4);
    assert_eq!(number(crc), crc32fast::hash(checked) as usize, "the checksum of the heads");
    parts_of(db, of)
}

/// The same when its payload begins with what was written ahead.
fn parts_ahead(db: &[u8], head: &[u8]) -> Vec<u8> {
    let of = &head[2..10];
    let front = [&[0xE4], of, &[0; 4], &[0, 1]].concat();
    let is_it = |window: &&[u8]| window.starts_with(&front) && window[21..107] == *head;
    let heads = db.windows(115).find(is_it).expect("its heads");
    let (checked, crc) = heads.split_at(111);
    assert_eq!(number(crc), crc32fast::hash(checked) as usize, "the checksum of the heads");

    let tree = (1u64 << 63 | number(&heads[15..17]) as u64).to_be_bytes();
    let ahead = parts_of(db, &tree);
    assert_eq!(ahead.len(), number(&heads[17..21]), "all that was written ahead");
    [ahead, parts_of(db, of)].concat()
}

/// All parts of one thing.
fn parts_of(db: &[u8], of: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for part in 0u32.. {
        let front = [&[0xE3], of, &part.to_be_bytes()].concat();
        let Some(at) = db.windows(front.len()).position(|window| window == front) else { break };
        let length = number(&db[at + 13..at + 15]);
        let bytes = &db[at + 19..at + 19 + length];
        let checked = [&db[at..at + 15], bytes].concat();
        assert_eq!(number(&db[at + 15..at + 19]), crc32fast::hash(&checked) as usize);
        payload.extend_from_slice(bytes);
    }
    payload
}

/// The table at the end of a payload in blocks.
fn table(stored: &[u8]) -> &[u8] {
    let count = number(&stored[stored.len() - 4..]);
    &stored[stored.len() - 4 - 44 * count..]
}

/// What the blocks of a payload hold.
fn of_blocks(stored: &[u8]) -> Vec<u8> {
    let table = table(stored);
    let (mut payload, mut compressed) = (Vec::new(), 0);
    for entry in table[..table.len() - 4].chunks(44) {
        let (at, length) = (number(&entry[..4]), number(&entry[4..8]));
        let (block, raw_length) = (&stored[at..at + length], number(&entry[8..12]));
        assert_eq!(entry[12..], sha256(block), "the block's hash");
        if length == raw_length {
            payload.extend_from_slice(block);
        } else {
            compressed += 1;
            let unpacked = lz4_flex::block::decompress(block, raw_length).expect("an LZ4 block");
            payload.extend(unpacked);
        }
    }
    assert!(compressed > 0, "no block was compressed");
    payload
}

/// The names of the records in a payload.
fn records(mut payload: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while !payload.is_empty() {
        let (length, crc) = (number(&payload[..4]), number(&payload[4..8]));
        let record = &payload[8..8 + length];
        assert_eq!(crc, crc32fast::hash(record) as usize, "a record's checksum");
        // Version 1, a map of one entry, and the name of the variant.
        assert_eq!((record[0], record[1], record[2] & 0xe0), (1, 0x81, 0xa0));
        names.push(
            String::from_utf8_lossy(&record[3..3 + usize::from(record[2] & 0x1f)]).into_owned(),
        );
        payload = &payload[8 + length..];
    }
    names
}
