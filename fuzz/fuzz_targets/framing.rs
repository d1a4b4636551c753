//! Where requests of HTTP/1 begin and end: it does not matter in which pieces their bytes come, and
//! what was good stays good when more comes behind it.
#![no_main]

use hookbox::ingest::fuzzing::framing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cuts, stream)) = data.split_first_chunk::<4>() else { return };
    let whole = framing(stream, &[]);
    let within = |cut: &u8| usize::from(*cut) % (stream.len() + 1);
    let mut ends: Vec<usize> = cuts.iter().map(within).collect();
    ends.sort_unstable();
    assert_eq!(framing(stream, &ends), whole, "in pieces that end at {ends:?}");
    let each: Vec<usize> = (0..stream.len().min(512)).collect();
    assert_eq!(framing(stream, &each), whole, "byte by byte");

    if let (Some((good, _)), _) = whole {
        assert!(good <= stream.len());
        assert_eq!(framing(&stream[..good], &[]).0, None, "what stands before it is good");
    }
});
