//! Bodies to send: the real GitHub mix, and JSON of a given size.

use std::fmt::Write as _;

use super::rng::Rng;

/// One real GitHub webhook.
#[derive(Clone, Debug)]
pub struct GithubEvent {
    /// The value of `X-GitHub-Event`.
    pub event: String,
    pub body: Vec<u8>,
}

/// All real payloads of the fixture.
pub fn github() -> Vec<GithubEvent> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/github_events.ndjson");
    let text = std::fs::read_to_string(path).expect("the fixture is part of the repository");
    text.lines().map(one).collect()
}

fn one(line: &str) -> GithubEvent {
    let value: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
    let field = |name: &str| value[name].as_str().expect("a string").to_owned();
    GithubEvent { event: field("event"), body: field("body").into_bytes() }
}

/// A JSON object of exactly `size` bytes (at least 64) that compresses about as well as real
/// webhooks of that size do: known keys, values that vary. `number` stands at a fixed place, see
/// [`number_of`].
pub fn json_of(size: usize, number: u64, rng: &mut Rng) -> Vec<u8> {
    let mut text = format!("{{\"n\":\"{number:012}\"");
    let mut field = 0;
    while text.len() + 64 < size {
        let name =
            ["amount", "customer", "created", "currency", "object", "status", "reference", "note"]
                [field % 8];
        let _ = write!(text, ",\"{name}_{field}\":\"{:016x}\"", rng.next());
        field += 1;
    }
    text.push_str(",\"pad\":\"");
    while text.len() + 2 < size {
        text.push(char::from(b'a' + u8::try_from(rng.below(26)).unwrap_or(0)));
    }
    text.push_str("\"}");
    text.into_bytes()
}

/// The number that [`json_of`] put into a body.
pub fn number_of(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body.get(6..18)?).ok()?.parse().ok()
}
