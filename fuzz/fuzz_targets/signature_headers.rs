//! Nothing but header values: the first byte chooses a vector, the rest is cut at NULs into the
//! values of its headers.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first_chunk::<2>() else { return };
    let cases = common::cases();
    let case = &cases[usize::from(u16::from_le_bytes(*first)) % cases.len()];
    let mut headers = case.headers.clone();
    for ((_, value), given) in headers.iter_mut().zip(rest.split(|byte| *byte == 0)) {
        // An empty one leaves the vector's own.
        if !given.is_empty() {
            *value = given.to_vec();
        }
    }
    common::ask(&case.source, &case.method, &case.url, &headers, &case.body, case.now);
});
