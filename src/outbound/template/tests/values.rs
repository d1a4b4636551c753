//! The values of an event in templates.

use std::sync::Arc;

use super::{apply, body, event, template_of};
use crate::model::{Event, limits};

#[test]
fn bodies_are_made_of_facts() {
    for (template, made) in [
        ("{{ id | length }} {{ type }} {{ source }} {{ attempt }}", "30 order.paid shop 2"),
        ("{{ received_at }} {{ headers['x-shop'] }}", "1970-01-01T00:00:00.000Z north"),
        ("{{ body.items[1].n + 1 }} {{ body_text | length }}", "3 41"),
        (r#"{"t": {{ body.text | tojson }}}"#, r#"{"t": "a\"b"}"#),
        ("{{ body.missing | default('none') }}{% if body.missing %}x{% endif %}", "none"),
        ("{% for i in body['items'] %}{{ i.n }},{% endfor %}", "1,2,"),
        ("{{ body | tojson }}", r#"{"text":"a\"b","items":[{"n":1},{"n":2}]}"#),
        ("{{ '<b>' }} {{ 'a b/c' | urlencode }} {{ secret('env:KEY') }}", "<b> a%20b%2Fc hunter2"),
    ] {
        let made_body = body(template, r#"{"text":"a\"b","items":[{"n":1},{"n":2}]}"#);
        assert_eq!(made_body.as_deref(), Ok(made), "{template}");
    }
    assert_eq!(
        body("{{ body is none }} {{ body_text }}", "not json").as_deref(),
        Ok("True not json")
    );
}

#[test]
fn what_is_not_there_is_never_null_whatever_is_done_with_it() {
    for template in [
        "{{ body.missing | tojson }}",
        "{{ [1, body.missing] | tojson }}",
        "{{ {'a': {'b': [body.missing]}} | tojson }}",
        "{{ (body.missing,) | tojson }}",
        "{{ body.list[7] | tojson }}",
        "{{ headers.missing | tojson }}",
        "{{ body.missing | length }}",
        "{{ body.missing | items | length }}",
        "{{ body.missing | items | tojson }}",
        "{{ body.missing | first }}",
        "{{ body.missing | last | tojson }}",
        "{{ body.missing | int }}",
        "{{ body.missing | float }}",
        "{{ body.missing | round }}",
        "{{ body.missing | string }}",
        "{{ body.missing | upper }}",
        "{{ body.missing | lower }}",
        "{{ body.missing | trim }}",
        "{{ body.missing | replace('a', 'b') }}",
        "{{ body.missing | split(',') | tojson }}",
        "{{ body.missing | join(',') }}",
        "{{ body.missing | urlencode }}",
        "{{ body.missing | safe }}",
        "{{ body.missing ~ 'x' }}",
        "{% for i in body.missing %}{{ i }}{% endfor %}",
        "{{ body.missing + 1 }}",
    ] {
        let made = body(template, r#"{"list":[1],"none":null}"#);
        assert!(made.is_err(), "{template} made {made:?}");
    }

    let named = body("{{ body.missing | tojson }}", "{}").unwrap_err();
    assert!(named.contains("not there") && named.contains("default"), "{named}");

    for (template, made) in [
        ("{{ body.none | tojson }}", "null"),
        ("{{ [body.none, body.list] | tojson }}", "[null,[1]]"),
        ("{{ body.missing | default(none) | tojson }}", "null"),
        ("{{ body.missing | default('') | length }}", "0"),
        ("{% if body.missing %}x{% else %}y{% endif %}", "y"),
        ("{{ body.missing is defined }}", "False"),
    ] {
        assert_eq!(
            body(template, r#"{"list":[1],"none":null}"#).as_deref(),
            Ok(made),
            "{template}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_an_error_to_write_and_hides_nothing_else() {
    for unreadable in ["not json", "{", ""] {
        for template in ["{{ body | tojson }}", "{{ {'b': body} | tojson }}", "{{ body }}"] {
            let made = body(template, unreadable);
            assert!(
                made.as_ref().is_err_and(|why| why.contains("the body")),
                "{template} made {made:?}"
            );
        }
        let asked = body(
            "{{ body is none }} {{ body.x | default('d') }} {% if body %}x{% endif %}",
            unreadable,
        );
        assert_eq!(asked.as_deref(), Ok("True d "));
    }

    for (read, made) in [
        ("\u{feff}{\"a\":1}", "1"),
        (r#"{"b":"\ud83d","a":1}"#, "1"),
        ("{\"b\":\"\t\",\"a\":1}", "1"),
    ] {
        assert_eq!(body("{{ body.a }}", read).as_deref(), Ok(made), "{read}");
    }

    assert_eq!(
        body("{{ body | tojson }}", r#"{"b":"\ud83d"}"#).as_deref(),
        Ok("{\"b\":\"\u{fffd}\"}")
    );

    let mut binary = Event::clone(&event(""));
    binary.body = bytes::Bytes::from_static(b"{\"b\":\"\xff\",\"a\":1}");
    let made = |template: &str| {
        apply(&template_of(template), &Arc::new(binary.clone()), "/").map(|made| made.body)
    };
    assert_eq!(made("{{ body.a }}").as_deref(), Ok(&b"1"[..]));
    assert!(made("{{ body_text | tojson }}").is_err_and(|why| why.contains("not text")));
}

#[test]
fn numbers_keep_what_they_are() {
    let numbers = r#"{"big":18446744073709551616,"id":8202522731445525543,"huge":1e400,
        "long":123456789012345678901234567890123456789012345,"pi":3.14159265358979323846,"p":1.10,"n":-7}"#;

    for (template, made) in [
        ("{{ body.big }} {{ body.big | tojson }}", "18446744073709551616 18446744073709551616"),
        ("{{ body.id + 1 }}", "8202522731445525544"),
        (
            "{{ body.long }} {{ [body.long] | tojson }}",
            &format!("{0} [{0}]", "123456789012345678901234567890123456789012345"),
        ),
        ("{{ body.huge | tojson }} {{ body.huge is number }}", "1e400 True"),
        ("{{ body.pi }} {{ body.pi | round(2) }}", "3.14159265358979323846 3.14"),
        ("{{ body.p * 10 }} {{ body.n | int }}", "11.0 -7"),
        ("{{ {'all': body.p} | tojson }}", r#"{"all":1.1}"#),
    ] {
        assert_eq!(body(template, numbers).as_deref(), Ok(made), "{template}");
    }

    let whole = numbers.replace(['\n', ' '], "");
    assert_eq!(body("{{ body | tojson }}", numbers).as_deref(), Ok(whole.as_str()));
}

/// A number that changes is another order, another customer.
#[test]
fn no_number_is_rounded_in_silence() {
    let numbers = r#"{"a":9007199254740993.0,"b":170141183460469231731687303715884105729,"c":1e30,
        "d":1e400,"e":0.30000000000000004,"f":-2.75,"g":123456789012345678.55,"s":"1e30","h":4e2,
        "t":"170141183460469231731687303715884105729","u":"12.9","v":"ff","w":-1e400,"x":"-7"}"#;

    for (template, made) in [
        ("{{ body.a }} {{ body.a | tojson }}", "9007199254740993.0 9007199254740993.0"),
        ("{{ body.a | int }} {{ body.a | round }}", "9007199254740993 9007199254740993.0"),
        ("{{ body.c | int }}", "1000000000000000000000000000000"),
        ("{{ body.s | int }}", "1000000000000000000000000000000"),
        ("{{ (body.c * 1) | int }}", "1000000000000000000000000000000"),
        ("{{ body.e }} {{ body.e + 0 }}", "0.30000000000000004 0.30000000000000004"),
        ("{{ body.f | int }} {{ body.h | int }} {{ body.u | int }}", "-2 400 12"),
        ("{{ body.v | int(base=16) }} {{ body.x | int + 1 }}", "255 -6"),
        ("{{ body.d | int(7) }} {{ body.b | int(default=8) }} {{ 'x' | int(9) }}", "7 8 9"),
        ("{{ body.d | round }}", "1e400"),
        ("{{ body.b | round(2) }}", "170141183460469231731687303715884105729"),
        ("{{ true | int }} {{ none | int }}", "1 0"),
    ] {
        assert_eq!(body(template, numbers).as_deref(), Ok(made), "{template}");
    }

    for (template, word) in [
        ("{{ body.b | int }}", "does not fit"),
        ("{{ body.t | int }}", "does not fit"),
        ("{{ body.d | int }}", "does not fit"),
        ("{{ body.w | int }}", "does not fit"),
        ("{{ (body.c * 1e300) | int }}", "does not fit"),
        ("{{ body.t | int(base=16) }}", "does not fit"),
        ("{{ body.d | float }}", "too large"),
        ("{{ body.g | round(1) }}", "more digits"),
    ] {
        let made = body(template, numbers);
        assert!(made.as_ref().is_err_and(|why| why.contains(word)), "{template} made {made:?}");
    }
}

#[test]
fn headers_are_found_in_any_case_and_large_bodies_are_looked_into_fast() {
    assert_eq!(
        body("{{ headers['X-Shop'] }} {{ headers | length }}", "{}").as_deref(),
        Ok("north 2")
    );
    let names: Vec<String> = (0..20_000).map(|n| format!("\"n{n}\":{n}")).collect();
    let wide = format!("{{{}}}", names.join(","));
    let join =
        "{% for name, n in body | items %}{% if body[name] != n %}x{% endif %}{% endfor %}ok";
    assert_eq!(body(join, &wide).as_deref(), Ok("ok"));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(body("{{ body }}", &deep).is_err_and(|why| why.contains("nested")));
    assert!(body("{{ body | tojson }}", &deep).is_err_and(|why| why.contains("nested")));
}

#[test]
fn what_is_not_there_is_an_error_and_so_is_too_much() {
    assert!(body("{{ body.a.b }}", "{}").unwrap_err().contains("default"));
    assert!(body("{{ body.a }}", "{}").unwrap_err().contains("--body, line 1"));
    let endless =
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";
    assert!(body(endless, "{}").unwrap_err().contains("more work"));

    assert!(
        body(
            "{% set a = body_text %}{% set b = a ~ a ~ a ~ a %}{{ b ~ b ~ b ~ b }}",
            &"x".repeat(1 << 20)
        )
        .is_err()
    );

    assert!(body("{{ ([1] * 1000000000) | tojson }}", "{}").is_err());
    let large = "x".repeat(limits::TEMPLATE_BODY_BYTES - 10);
    assert!(body("{{ body_text }}0123456789", &large).is_ok());
    assert!(body("{{ body_text }}0123456789a", &large).unwrap_err().contains("at most"));
    let too_large = format!("\"{}\"", "x".repeat(limits::TEMPLATE_BODY_BYTES));
    assert!(body("{{ body }}", &too_large).unwrap_err().contains("at most"));
    assert_eq!(body("{{ type }}", &too_large).as_deref(), Ok("order.paid"));
}
