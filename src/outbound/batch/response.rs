//! The response to a batch: which of its events the receiver did not take.
//!
//! A receiver that took only some answers 2xx with `{"failed":["evt_…"]}`: the others count as
//! delivered. An answer without a body, a text, a page, and JSON that names none say that all were
//! taken. Success is never read out of an answer that was cut, that looks like JSON and is not JSON
//! to its last byte, or that names events that failed anywhere else: then all of the batch goes out
//! again.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::failures_elsewhere::{is_named_in_json, is_named_in_text, others_named};
use crate::model::json::{Bounds, Doc, JsonKind, Node, Number};
use crate::model::{Event, EventId, limits};
use crate::outbound::response::ReceivedResponse;

/// Which events of a batch failed, by a 2xx response.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchAnswer {
    /// All but these were taken.
    Failed(Vec<EventId>),
    /// It cannot be relied on, and why.
    Unclear(String),
}

/// Reads which events of a batch the receiver did not take.
pub fn read_batch_answer(response: &ReceivedResponse, events: &[Arc<Event>]) -> BatchAnswer {
    let body =
        response.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&response.body).trim_ascii_start();
    let is_encoded =
        response.coding.as_ref().is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    // A page is made for people.
    let is_page = type_contains(response, "html") || begins_as_page(body);
    if is_encoded && !body.is_empty() {
        let why = "its body is compressed (content-encoding), and is not decompressed here";
        return match is_page {
            true => BatchAnswer::Failed(Vec::new()),
            false => BatchAnswer::Unclear(why.to_owned()),
        };
    }

    // A body that was announced and did not come leaves open which events failed.
    let is_missing = body.is_empty() && response.content_type.is_some();
    let is_json = begins_as_json(body)
        || (type_contains(response, "json") && !body.is_empty() && !is_word(body));
    let is_understood = body.is_empty() || (is_page && !is_json && !is_named_in_text(body));
    if !response.is_whole && (is_missing || !is_understood) {
        return BatchAnswer::Unclear(format!(
            "it was cut, or is longer than {} bytes",
            limits::BATCH_ANSWER
        ));
    }

    if is_json {
        return read_json(body, events);
    }
    match is_named_in_text(body) {
        true => BatchAnswer::Unclear("it is not a JSON object".to_owned()),
        false => BatchAnswer::Failed(Vec::new()),
    }
}

fn type_contains(response: &ReceivedResponse, word: &str) -> bool {
    response
        .content_type
        .as_ref()
        .is_some_and(|value| String::from_utf8_lossy(value).to_ascii_lowercase().contains(word))
}

fn begins_as_page(body: &[u8]) -> bool {
    ["<!doctype html", "<html"].iter().any(|begin| {
        body.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin.as_bytes()))
    })
}

/// Whether a body is JSON by its first bytes, or another encoding of what may be JSON: one that
/// quotes with `'` (Python), UTF-16 and UTF-32, or compressed without saying so (gzip).
fn begins_as_json(body: &[u8]) -> bool {
    matches!(body, [b'{' | b'[' | b'"' | b'\'', ..])
        || [&b"\xff\xfe"[..], b"\xfe\xff", b"\x1f\x8b"].iter().any(|begin| body.starts_with(begin))
        || body.iter().take(4).any(|byte| *byte == 0)
}

/// Whether a body is a word or two, such as `ok`, which many say with the type of JSON.
fn is_word(body: &[u8]) -> bool {
    const LONGEST: usize = 32;
    let body = body.trim_ascii();
    body.len() <= LONGEST
        && body.iter().all(|byte| byte.is_ascii_alphanumeric() || b" .!_-".contains(byte))
}

/// Reads a body that has to be JSON to its last byte.
fn read_json(body: &[u8], events: &[Arc<Event>]) -> BatchAnswer {
    let all = Bounds { bytes: usize::MAX, nodes: usize::MAX };
    let doc = match Doc::read(&Bytes::copy_from_slice(body), all) {
        Ok(doc) => doc,
        Err(why) => return BatchAnswer::Unclear(why.to_string()),
    };
    let root = doc.root();
    if root.kind() != JsonKind::Object {
        return match is_named_in_json(root) {
            true => BatchAnswer::Unclear("it is not a JSON object".to_owned()),
            false => BatchAnswer::Failed(Vec::new()),
        };
    }

    let mut lists = root
        .children()
        .filter(|(name, _)| name.is_some_and(|name| name.is_called("failed")))
        .map(|(_, value)| value);
    let list = lists.next();
    if lists.next().is_some() {
        return BatchAnswer::Unclear("it has several members `failed`".to_owned());
    }

    let of_batch: HashSet<EventId> = events.iter().map(|event| event.webhook_id()).collect();
    let named = match list.map_or(Ok(Vec::new()), |list| read_failed(list, &of_batch)) {
        Ok(named) => named,
        Err(why) => return BatchAnswer::Unclear(why),
    };
    let others = match named.is_empty() {
        true => is_named_in_json(root),
        false => others_named(root, &of_batch, &named),
    };
    if others {
        let why = "it names events that failed elsewhere than in `failed` at the top";
        return BatchAnswer::Unclear(why.to_owned());
    }
    BatchAnswer::Failed(named)
}

/// Reads the value of `failed`.
///
/// # Errors
/// When it cannot be relied on, and why.
fn read_failed(failed: Node<'_>, of_batch: &HashSet<EventId>) -> Result<Vec<EventId>, String> {
    let is_zero = |number: Number<'_>| number.compare(Number::new("0")).is_eq();
    match failed.kind() {
        JsonKind::Null | JsonKind::False => return Ok(Vec::new()),
        JsonKind::Number if failed.number().is_some_and(is_zero) => return Ok(Vec::new()),
        JsonKind::Array => {}
        _ => return Err("`failed` is not a list of ids: [\"evt_…\"]".to_owned()),
    }

    let mut known = Vec::with_capacity(failed.len());
    for (_, id) in failed.children() {
        let Some(text) = id.text().map(|text| text.text) else {
            return Err("`failed` lists what is not text: [\"evt_…\"] is the form".to_owned());
        };
        match text.trim().parse().ok().filter(|id| of_batch.contains(id)) {
            Some(id) => known.push(id),
            None => {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(format!(
                    "`failed` names '{shown}', which is not an event of this batch"
                ));
            }
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BatchAnswer, ReceivedResponse, read_batch_answer};
    use crate::model::{EventId, ResponseHead, limits};
    use crate::outbound::batch::testing::mixed;

    fn answer(body: impl Into<Vec<u8>>) -> ReceivedResponse {
        ReceivedResponse {
            head: ResponseHead { status: 200, headers: Vec::new(), body: Bytes::new() },
            retry_after: None,
            location: None,
            webhook_delivery: None,
            body: body.into(),
            is_whole: true,
            coding: None,
            content_type: None,
        }
    }

    fn read(body: &str) -> BatchAnswer {
        read_batch_answer(&answer(body), &mixed())
    }

    #[test]
    fn what_failed_is_named_or_nothing_did() {
        let [one, two] = [1, 3].map(|seq| EventId { seq, tag: 1 });

        for named in [
            format!("{{\"failed\":[\"{one}\",\"{two}\"],\"more\":1}}"),
            format!(
                "\u{feff} {{\n    \"failed\": [\n        \"{one}\",\n        \"{two}\"\n    ]\n}}\n"
            ),
        ] {
            assert_eq!(read(&named), BatchAnswer::Failed(vec![one, two]), "{named}");
        }

        for nothing in [
            "",
            "ok",
            "{}",
            "[]",
            "ok, none failed",
            "true",
            "\"ok\"",
            "[{\"ok\":true},\"evt_1\"]",
            "{\"message\":\"[info] none failed\",\"data\":\"{\\\"failed\\\":[]}\"}",
            "<html>failed</html>",
            "{\"failed\":null}",
            "{\"failed\":[]}",
            "{\"failed\":0,\"ok\":4}",
            "{\"failed\":false}",
            "{\"status\":\"failed\"}",
            "{\"data\":{\"failed\":3}}",
            "{\"data\":{\"failed\":[]}}",
            "[\"failed\", 1]",
        ] {
            assert_eq!(read(nothing), BatchAnswer::Failed(Vec::new()), "{nothing}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_success() {
        let id = EventId { seq: 1, tag: 1 };
        let other = EventId { seq: 9, tag: 1 };

        for unclear in [
            "{\"failed\":\"evt_1\"}".to_owned(),
            "{\"failed\":3}".to_owned(),
            "{\"failed\":true}".to_owned(),
            "{\"failed\":{}}".to_owned(),
            "{\"failed\":[5]}".to_owned(),
            format!("{{\"failed\":\"{id}\"}}"),
            format!("{{\"failed\":[{{\"id\":\"{id}\"}}]}}"),
            format!("{{\"failed\":[\"{id}\",\"{other}\"]}}"),
            format!("{{\"failed\":[\"{id}\",\"dlv_x\"]}}"),
            format!("{{\"failed\":[\"{id}\",]}}"),
            format!("{{\"failed\" : [\"{id}\""),
            format!("{{\"failed\":[],\"failed\":[\"{id}\"]}}"),
            format!("{{\"result\":{{\"failed\":[\"{id}\"]}}}}"),
            format!("{{\"failed\":[],\"parts\":[{{\"failed\":\"{id}\"}}]}}"),
            format!("{{\"failed\":[\"{id}\"]}}\n{{\"failed\":[]}}"),
            format!("[{{\"failed\":[\"{id}\"]}}]"),
            format!(")]}}',\n{{\"failed\":[\"{id}\"]}}"),
            "{ok}".to_owned(),
        ] {
            assert!(matches!(read(&unclear), BatchAnswer::Unclear(_)), "{unclear}");
        }
    }

    #[test]
    fn failures_are_seen_however_they_are_named_and_encoded() {
        let id = EventId { seq: 1, tag: 1 };
        let two = EventId { seq: 2, tag: 1 };

        for unclear in [
            // In another spelling of the name, or of JSON.
            format!("{{\"result\":{{\"fa\\u0069led\":[\"{id}\"]}}}}"),
            format!("{{\"Failed\":[\"{id}\"]}}"),
            format!("{{'failed': ['{id}']}}"),
            format!("'{{\"failed\": [\"{id}\"]}}'"),
            format!("<r><failed>{id}</failed></r>"),
            format!("failed={id}"),
            // Beside what not every parser takes.
            format!("{{\"message\":\"\\ud83d\",\"result\":{{\"failed\":[\"{id}\"]}}}}"),
            format!("{{\"n\":1e999,\"result\":{{\"failed\":[\"{id}\"]}}}}"),
            format!(
                "{{\"deep\":{}{},\"result\":{{\"failed\":[\"{id}\"]}}}}",
                "[".repeat(200),
                "]".repeat(200)
            ),
            // The end of the connection was taken for the end of the body.
            format!("{{\"taken\":[\"{id}\"],\"fai"),
            format!("[\"{id}\""),
            // Beside a list that does not have it.
            format!("{{\"failed\":[\"{id}\"],\"parts\":[{{\"failed\":[\"{two}\"]}}]}}"),
        ] {
            assert!(matches!(read(&unclear), BatchAnswer::Unclear(_)), "{unclear}");
        }

        let latin = format!("{{\"message\":\"caf~\",\"result\":{{\"failed\":[\"{id}\"]}}}}");
        let latin = latin.bytes().map(|byte| if byte == b'~' { 0xe9 } else { byte }).collect();
        let list = format!("{{\"failed\":[\"{id}\"]}}");
        let wide = |two: fn(u16) -> [u8; 2]| list.encode_utf16().flat_map(two).collect::<Vec<u8>>();
        let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
        let marked = [b"\xff\xfe".to_vec(), little.clone()].concat();
        for unclear in [latin, little, big, marked, b"\x1f\x8b\x08".to_vec()] {
            let read = read_batch_answer(&answer(unclear.clone()), &mixed());
            assert!(matches!(read, BatchAnswer::Unclear(_)), "{unclear:?}");
        }
    }

    #[test]
    fn what_is_cut_or_compressed_is_no_success() {
        let cut = |body: &str| {
            read_batch_answer(&ReceivedResponse { is_whole: false, ..answer(body) }, &mixed())
        };
        for body in [
            "{\"failed\":[",
            "{\"taken\":[\"a\",",
            "[{\"failed\":1},",
            "{\"failed\":[]}",
            "[1",
            "ok",
        ] {
            assert!(matches!(cut(body), BatchAnswer::Unclear(_)), "{body}");
        }
        assert_eq!(
            cut("<html>"),
            BatchAnswer::Failed(Vec::new()),
            "a page names nothing, however long it is"
        );

        for nothing in ["", "\n ", "\u{feff}"] {
            let content_type = Some(Bytes::from("application/json"));
            let announced = read_batch_answer(
                &ReceivedResponse { is_whole: false, content_type, ..answer(nothing) },
                &mixed(),
            );
            assert!(
                matches!(announced, BatchAnswer::Unclear(_)),
                "it was to come, and did not: {nothing:?}"
            );
            assert_eq!(cut(nothing), BatchAnswer::Failed(Vec::new()), "nothing was to come");
        }

        let encoded = |content_type: Option<&'static str>| {
            let (coding, content_type) = (Some(Bytes::from("gzip")), content_type.map(Bytes::from));
            read_batch_answer(
                &ReceivedResponse { coding, content_type, ..answer([0x1f, 0x8b]) },
                &mixed(),
            )
        };

        assert!(
            matches!(encoded(None), BatchAnswer::Unclear(_))
                && matches!(encoded(Some("text/plain")), BatchAnswer::Unclear(_))
                && matches!(encoded(Some("application/json")), BatchAnswer::Unclear(_))
        );

        assert_eq!(encoded(Some("text/html")), BatchAnswer::Failed(Vec::new()));
    }

    #[test]
    fn a_text_that_holds_json_is_read_as_json() {
        let id = EventId { seq: 1, tag: 1 };
        let mut text = serde_json::json!({"failed": [id.to_string()]}).to_string();
        for depth in 0..8 {
            text = serde_json::Value::from(text).to_string();
            let wrapped = format!("{{\"statusCode\":200,\"body\":{text}}}");
            for unclear in [&text, &wrapped] {
                assert!(matches!(read(unclear), BatchAnswer::Unclear(_)), "{depth}: {unclear}");
            }
        }
        for unclear in [
            format!("{{\"body\":\"{{'failed': ['{id}']}}\"}}"),
            format!("{{\"body\":\"{{\\\"taken\\\":[\\\"{id}\\\"],\\\"fai\"}}"),
            format!("{{\"body\":\"{{\\\"fa\\\\u0069led\\\":[\\\"{id}\\\"]}}\"}}"),
            format!("{{\"message\":\"failed: {id}\"}}"),
        ] {
            assert!(matches!(read(&unclear), BatchAnswer::Unclear(_)), "{unclear}");
        }
    }

    #[test]
    fn what_says_again_what_is_listed_is_no_contradiction() {
        let id = EventId { seq: 1, tag: 1 };
        for beside in [
            format!("\"message\":\"1 failed: {id}\""),
            format!("\"result\":{{\"failed\":[\"{id}\"],\"n\":[1]}}"),
            "\"summary\":{\"failed\":{\"count\":1}}".to_owned(),
        ] {
            let body = format!("{{\"failed\":[\"{id}\"],{beside}}}");
            assert_eq!(read(&body), BatchAnswer::Failed(vec![id]), "{body}");
        }
    }

    #[test]
    fn a_type_that_says_json_is_held_to_it() {
        let typed = |body: &str| {
            let content_type = Some(Bytes::from("application/problem+JSON; charset=utf-8"));
            read_batch_answer(&ReceivedResponse { content_type, ..answer(body) }, &mixed())
        };
        let failed = format!("{} failed", EventId { seq: 1, tag: 1 });
        for unclear in ["<html>", "taken: all", failed.as_str(), &"ok ".repeat(20)] {
            assert!(matches!(typed(unclear), BatchAnswer::Unclear(_)), "{unclear}");
        }
        // Many say a word with this type.
        for taken in ["", "\n", "true", "{\"ok\":1}", "ok", "OK\n", "accepted", "1"] {
            assert_eq!(typed(taken), BatchAnswer::Failed(Vec::new()), "{taken}");
        }
    }

    #[test]
    fn a_full_list_fits_with_room_for_words() {
        let id = EventId { seq: u64::MAX, tag: u64::MAX }.to_string();
        let line = format!("            \"{id}\",\r\n");
        assert!(
            line.len() * (limits::BATCH_OUT_EVENTS as usize) + 1024 < limits::BATCH_ANSWER,
            "{}",
            line.len()
        );
    }
}
