//! The response to a batch: which of its events the receiver did not take.
//!
//! A receiver that took only some answers 2xx with `{"failed":["evt_…"]}`: the others count as
//! delivered. An answer that names none, in whatever form, says that all were taken. One that seems
//! to name some, and was cut or is not of this form, cannot be relied on: then all of the batch
//! goes out again.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

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
    let contains = |value: &Option<Bytes>, word: &str| {
        value
            .as_ref()
            .is_some_and(|value| String::from_utf8_lossy(value).to_ascii_lowercase().contains(word))
    };
    let is_encoded =
        response.coding.as_ref().is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    // A page is made for people.
    if is_encoded && !body.is_empty() && !contains(&response.content_type, "html") {
        return BatchAnswer::Unclear(
            "its body is compressed (content-encoding), and is not decompressed here".to_owned(),
        );
    }

    let is_object = body.first() == Some(&b'{');
    // A body that was announced and did not come leaves open which events failed.
    let is_missing = body.is_empty() && response.content_type.is_some();
    if !response.is_whole && (is_object || is_missing || names_failed(body)) {
        return BatchAnswer::Unclear(format!(
            "it was cut, or is longer than {} bytes",
            limits::BATCH_ANSWER
        ));
    }

    if !is_object {
        return match names_failed(body) {
            true => BatchAnswer::Unclear("it is not a JSON object".to_owned()),
            false => BatchAnswer::Failed(Vec::new()),
        };
    }

    #[derive(serde::Deserialize)]
    struct FailedList {
        #[serde(default)]
        failed: serde_json::Value,
    }
    match serde_json::from_slice::<FailedList>(body) {
        Ok(FailedList { failed }) => match read_failed(&failed, events) {
            BatchAnswer::Failed(none) if none.is_empty() && names_some_within(body) => {
                BatchAnswer::Unclear(
                    "it names events that failed elsewhere than in `failed` at the top".to_owned(),
                )
            }
            read => read,
        },
        Err(why) if names_failed(body) => BatchAnswer::Unclear(format!("it is not JSON: {why}")),
        Err(_) => BatchAnswer::Failed(Vec::new()),
    }
}

/// Reads the value of `failed`.
fn read_failed(failed: &serde_json::Value, events: &[Arc<Event>]) -> BatchAnswer {
    use serde_json::Value;
    let ids = match failed {
        Value::Null | Value::Bool(false) => return BatchAnswer::Failed(Vec::new()),
        Value::Number(number) if number.as_f64() == Some(0.0) => {
            return BatchAnswer::Failed(Vec::new());
        }
        Value::Array(ids) => ids,
        _ => return BatchAnswer::Unclear("`failed` is not a list of ids: [\"evt_…\"]".to_owned()),
    };

    let of_batch: HashSet<EventId> = events.iter().map(|event| event.webhook_id()).collect();
    let mut known = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(text) = id.as_str() else {
            return BatchAnswer::Unclear(
                "`failed` lists what is not text: [\"evt_…\"] is the form".to_owned(),
            );
        };
        match text.trim().parse().ok().filter(|id| of_batch.contains(id)) {
            Some(id) => known.push(id),
            None => {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
                return BatchAnswer::Unclear(format!(
                    "`failed` names '{shown}', which is not an event of this batch"
                ));
            }
        }
    }
    BatchAnswer::Failed(known)
}

/// Whether a JSON object has a member `failed` somewhere within that names something: a list, an
/// object or a text that is not empty.
fn names_some_within(body: &[u8]) -> bool {
    use serde_json::Value;

    fn is_named(name: &str, value: &Value) -> bool {
        let names = match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        (name == "failed" && names) || has_named(value)
    }
    fn has_named(value: &Value) -> bool {
        match value {
            Value::Array(list) => list.iter().any(has_named),
            Value::Object(members) => members.iter().any(|(name, value)| is_named(name, value)),
            _ => false,
        }
    }

    names_failed(body) && serde_json::from_slice(body).is_ok_and(|value| has_named(&value))
}

/// Whether a text, JSON or not, has a member of the name `failed`.
fn names_failed(body: &[u8]) -> bool {
    const NAME: &[u8] = b"\"failed\"";
    body.windows(NAME.len()).enumerate().any(|(at, window)| {
        window == NAME
            && body[at + NAME.len()..].trim_ascii_start().first().is_none_or(|next| *next == b':')
    })
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
            "{ok}",
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
    fn what_is_cut_or_not_understood_is_no_success() {
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
        ] {
            assert!(matches!(read(&unclear), BatchAnswer::Unclear(_)), "{unclear}");
        }

        let cut = |body: &str| {
            read_batch_answer(&ReceivedResponse { is_whole: false, ..answer(body) }, &mixed())
        };
        for body in ["{\"failed\":[", "{\"taken\":[\"a\",", "[{\"failed\":1},", "{\"failed\":[]}"] {
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
