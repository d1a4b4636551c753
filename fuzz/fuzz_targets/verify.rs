//! Whole requests: a vector with changes in every part of it.
#![no_main]

mod common;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    case: u16,
    /// (what, where, by what): a part of the request, a place in it, and bytes that take the place
    /// of some there.
    edits: Vec<(u8, u16, u8, Vec<u8>)>,
    /// Instead of the vector's.
    body: Option<Vec<u8>>,
    method: u8,
    later: i32,
}

/// Puts bytes into the place of so many.
fn splice(bytes: &mut Vec<u8>, at: u16, count: u8, by: &[u8]) {
    let at = usize::from(at) % (bytes.len() + 1);
    let end = (at + usize::from(count)).min(bytes.len());
    bytes.splice(at..end, by.iter().copied());
}

fn splice_text(text: &mut String, at: u16, count: u8, by: &[u8]) {
    let mut bytes = std::mem::take(text).into_bytes();
    splice(&mut bytes, at, count, by);
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

fuzz_target!(|input: Input| {
    let cases = common::cases();
    let case = &cases[usize::from(input.case) % cases.len()];
    let (mut url, mut headers) = (case.url.clone(), case.headers.clone());
    let mut body = input.body.unwrap_or_else(|| case.body.clone());
    for (what, at, count, by) in input.edits.iter().take(16) {
        match what % 4 {
            0 => splice(&mut body, *at, *count, by),
            1 => splice_text(&mut url, *at, *count, by),
            2 if !headers.is_empty() => {
                let which = usize::from(*count) % headers.len();
                splice(&mut headers[which].1, *at, count % 8, by);
            }
            _ if !headers.is_empty() => {
                let again = headers[usize::from(*at) % headers.len()].clone();
                headers.push(again);
            }
            _ => {}
        }
    }
    let method = match input.method % 8 {
        0 => "GET",
        1 => "HEAD",
        2 => "OPTIONS",
        3 => "PUT",
        _ => case.method.as_str(),
    };
    let now = case.now.saturating_add(input.later.into());
    common::ask(&case.source, method, &url, &headers, &body, now);
});
