//! The refusals that hyper makes itself, before there is a request: 400, 414 and 431 without a body. On their way out
//! they get a problem document like all others, and a head that took too long is told so (408).
//!
//! It is known by its bytes: a head with one of these statuses and an empty body, at the beginning of a write. Our own
//! refusals have a body. One that shares a write with the answer before it (pipelining) goes out bare.

use super::problem::Problem;

/// What hyper says, with a body; `None` when it is something else. `too_slow` says that the head was cut by us.
pub(super) fn with_body(head: &[u8], too_slow: bool) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(head.strip_prefix(b"HTTP/1.1 ")?.strip_suffix(b"\r\n\r\n")?).ok()?;
    let status: u16 = text.get(..3)?.parse().ok()?;
    let mut fields = text.split("\r\n").skip(1);
    let is_bare =
        matches!(status, 400 | 414 | 431) && fields.any(|field| field.eq_ignore_ascii_case("content-length: 0"));
    if !is_bare || text.contains("\r\n\r\n") {
        return None;
    }
    let problem = problem(status, too_slow);
    let document = problem.document();
    let (code, title) = (problem.status.as_u16(), problem.title());
    let head = format!(
        "HTTP/1.1 {code} {title}\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n",
        document.len()
    );
    let date = text.split("\r\n").find(|field| field.len() > 5 && field[..5].eq_ignore_ascii_case("date:"));
    let date = date.map(|field| format!("{field}\r\n")).unwrap_or_default();
    Some(format!("{head}{date}\r\n{document}").into_bytes())
}

fn problem(status: u16, too_slow: bool) -> Problem {
    match status {
        _ if too_slow => Problem::slow_head(),
        414 => Problem::target_too_long(crate::model::limits::URI_BYTES),
        431 => Problem::head_too_large(crate::model::limits::HEAD_BYTES),
        _ => Problem::malformed("this is no HTTP request"),
    }
}

/// The kind that a refusal of hyper's is counted under.
pub(super) fn kind(error: &hyper::Error, too_slow: bool) -> &'static str {
    problem(if error.is_parse_too_large() { 431 } else { 400 }, too_slow).kind
}

#[cfg(test)]
mod tests {
    use super::with_body;

    fn told(head: &str, too_slow: bool) -> Option<String> {
        with_body(head.as_bytes(), too_slow).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn a_bare_refusal_gets_a_body_that_fits_its_length() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                    date: Tue, 24 Nov 2026 19:00:00 GMT\r\n\r\n";
        let answer = told(bare, false).expect("bare");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 431 ") && head.contains("date: Tue") && head.contains("problem+json"));
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).expect("JSON")["status"], 431);
        let slow = told(&bare.replace("431 Request Header Fields Too Large", "400 Bad Request"), true).expect("bare");
        assert!(slow.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{slow}");
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
            assert_eq!(told(other, false), None, "{other:?}");
        }
    }
}
