//! Texts that are not valid, and read alike.

use bytes::Bytes;

use crate::model::{Header, limits};
use crate::queue::filter::{Filter, FilterInput, Steps};

/// `"ger\xe4t"` and `"ger\xf6t"` in Latin-1 read alike, and so do two halves of surrogate pairs.
#[test]
fn texts_that_are_not_valid_differ_as_their_bytes_do() {
    let headers = [Header::new("x-a", b"\xe4".to_vec()), Header::new("x-b", b"\xf6".to_vec())];
    let holds = |expression: &str, body: &[u8]| {
        let filter = Filter::compile(expression).expect("valid");
        let body = Bytes::copy_from_slice(body);
        let input = FilterInput::new("push", "s", &headers, "POST /in/s?a=%e4&b=%f6&c=%e4", &body);
        filter.holds(&input, &mut Steps::new(limits::FILTER_STEPS)).expect("enough steps")
    };

    for (a, b, same) in [
        (&b"\"ger\xe4t\""[..], &b"\"ger\xf6t\""[..], false),
        (b"\"ger\xe4t\"", b"\"ger\xe4t\"", true),
        (b"\"ger\xe4t\"", "\"ger\u{fffd}t\"".as_bytes(), false),
        (b"\"\\ud83d\"", b"\"\\ud83e\"", false),
        (b"\"\\ud83d\\u0041\"", b"\"\\ud83dA\"", true),
        (b"[\"\xe4\"]", b"[\"\xf6\"]", false),
        (b"{\"\xe4\":1}", b"{\"\xf6\":1}", false),
        (b"{\"\xe4\":1}", b"{\"\xe4\":1}", true),
        (b"{\"\\ud83d\":1}", b"{\"\\ud83e\":1}", false),
    ] {
        let body = [b"{\"a\":", a, b",\"b\":", b, b"}"].concat();
        let shown = String::from_utf8_lossy(&body);
        assert_eq!(holds("@.body.a == @.body.b", &body), same, "{shown}");
        assert_eq!(holds("@.body.a <= @.body.b", &body), same, "{shown}");
        assert_eq!(holds("@.body.a != @.body.b", &body), !same, "{shown}");
        assert!(!holds("@.body.a < @.body.b || @.body.a > @.body.b", &body), "{shown}");
    }

    let body = b"{\"a\":\"\xe4\",\"\xf6\":1}";
    assert!(!holds("@.body.a == '\u{fffd}'", body) && !holds("@.body['\u{fffd}']", body));
    assert!(holds("search(@.body.a, '^.$') && length(@.body.a) == 1", body));
    assert!(!holds("search(@.body.a, @.body.a)", body), "that is no pattern");
    assert!(!holds("@.headers['x-a'] == @.headers['x-b']", body));
    assert!(!holds("@.query.a == @.query.b", body) && holds("@.query.a == @.query.c", body));
}
