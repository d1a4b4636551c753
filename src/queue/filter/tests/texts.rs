//! Texts that are not valid, and read alike; and those that are long.

use bytes::Bytes;

use crate::model::{Header, limits};
use crate::queue::filter::{Filter, FilterInput, Steps, Stop};

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

/// `OutOfSteps` asks for more steps, and is asked again as long as there are some.
#[test]
fn a_long_pattern_of_the_event_costs_no_more_the_more_steps_there_are() {
    let filter = Filter::compile("search(@.body.text, @.body.pattern)").expect("valid");
    let pattern = "a".repeat(limits::FILTER_DYNAMIC + 1);
    let body = Bytes::from(format!("{{\"text\":\"a\",\"pattern\":\"{pattern}\"}}"));
    let input = FilterInput::new("push", "s", &[], "POST /in/s", &body);
    let mut steps = Steps::new(limits::FILTER_STEPS);
    assert_eq!(filter.holds(&input, &mut steps), Err(Stop::BeyondLimit));
    assert!(steps.left() > limits::FILTER_STEPS - 1_000, "{} are left", steps.left());
}

#[test]
fn an_error_is_short_however_long_the_expression_is() {
    let long = "a".repeat(limits::FILTER_LEN - 30);
    for wrong in [
        format!("search(@.body.a, '({long}')"),
        format!("@.body.a == 0{}", "1".repeat(900)),
        format!("{long} == 1"),
        format!("@.body.a == '{long}"),
    ] {
        let why = Filter::compile(&wrong).expect_err("wrong");
        assert!(why.chars().count() < 600 && why.contains("write it like"), "{why}");
    }
}
