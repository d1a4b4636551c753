//! The refusals that hyper makes itself, before there is a request: 400, 414 and 431 without a
//! body. As they are written they get a problem document like all others; that of a head which was
//! cut gives the reason (408, 503).
//!
//! Such a refusal is recognized by its bytes: a head with one of these statuses and an empty body,
//! at the beginning of a write. Our own refusals have a body. One that shares a write with the
//! answer before it (pipelining) stays bare.

use super::problem::IngestProblem;
use super::pulse::HeadCut;

/// A refusal of hyper's with a body; `None` when the bytes are something else. `cut` is why we
/// refused the head, if we did.
pub(super) fn with_body(head: &[u8], cut: Option<HeadCut>) -> Option<Vec<u8>> {
    let head = head.strip_prefix(b"HTTP/1.1 ")?.strip_suffix(b"\r\n\r\n")?;
    let text = std::str::from_utf8(head).ok()?;
    let status: u16 = text.get(..3)?.parse().ok()?;
    let has_no_body =
        || text.split("\r\n").skip(1).any(|field| field.eq_ignore_ascii_case("content-length: 0"));
    if !matches!(status, 400 | 414 | 431) || !has_no_body() || text.contains("\r\n\r\n") {
        return None;
    }

    let problem = problem(status, cut);
    let document = problem.document();
    let (code, title) = (problem.status.as_u16(), problem.title());
    let mut head = format!(
        "HTTP/1.1 {code} {title}\r\nconnection: close\r\ncontent-type: \
         application/problem+json\r\ncontent-length: {}\r\n",
        document.len()
    );
    if let Some(seconds) = problem.retry_after_s {
        head.push_str(&format!("retry-after: {seconds}\r\n"));
    }

    // hyper has written the date already.
    let is_date = |field: &&str| field.len() > 5 && field[..5].eq_ignore_ascii_case("date:");
    if let Some(date) = text.split("\r\n").find(is_date) {
        head.push_str(date);
        head.push_str("\r\n");
    }
    Some(format!("{head}\r\n{document}").into_bytes())
}

fn problem(status: u16, cut: Option<HeadCut>) -> IngestProblem {
    match status {
        _ if cut == Some(HeadCut::TooSlow) => IngestProblem::slow_head(),
        _ if cut == Some(HeadCut::NoMemory) => IngestProblem::no_memory(),
        414 => IngestProblem::target_too_long(crate::model::limits::URI_BYTES),
        431 => IngestProblem::head_too_large(crate::model::limits::HEAD_BYTES),
        _ => IngestProblem::malformed("this is not an HTTP request"),
    }
}

/// The kind under which a refusal of hyper's is counted.
pub(super) fn kind(error: &hyper::Error, cut: Option<HeadCut>) -> &'static str {
    problem(if error.is_parse_too_large() { 431 } else { 400 }, cut).kind
}

#[cfg(test)]
mod tests {
    use super::{HeadCut, with_body};

    fn rewritten(head: &str, cut: Option<HeadCut>) -> Option<String> {
        with_body(head.as_bytes(), cut).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn a_bare_refusal_gets_a_body_that_fits_its_length() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: \
                    close\r\ncontent-length: 0\r\ndate: Tue, 24 Nov 2026 19:00:00 GMT\r\n\r\n";
        let answer = rewritten(bare, None).expect("bare");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with("HTTP/1.1 431 ")
                && head.contains("date: Tue")
                && head.contains("problem+json")
        );
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).expect("JSON")["status"], 431);

        let slow = rewritten(
            &bare.replace("431 Request Header Fields Too Large", "400 Bad Request"),
            Some(HeadCut::TooSlow),
        );
        let slow = slow.expect("bare");
        assert!(slow.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{slow}");

        let full = rewritten(bare, Some(HeadCut::NoMemory)).expect("bare");
        assert!(
            full.starts_with("HTTP/1.1 503 ") && full.contains("\r\nretry-after: 1\r\n"),
            "{full}"
        );
    }

    #[test]
    fn nothing_else_is_touched() {
        for other in [
            "",
            "HTTP/1.1 ",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 4é0 \r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(rewritten(other, None), None, "{other:?}");
        }
    }
}
