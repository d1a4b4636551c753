//! Templates that are refused before there is an event.

use std::sync::Arc;

use super::{EndpointTemplates, SecretLookup, body, template_of};
use crate::model::{RequestTemplate, limits};

#[test]
fn templates_are_checked_before_there_is_an_event() {
    for (wrong, word) in [
        ("{{ body.a", "--body, line 1"),
        ("{{ boddy.a }}", "there is no 'boddy'"),
        ("{{ body.a | jason }}", "unknown filter"),
        ("{{ body.a is wise }}", "unknown test"),
        ("{{ open('/etc/passwd') }}", "there is no 'open'"),
        ("{% include 'x' %}", "--body"),
        (&"x".repeat(limits::TEMPLATE_LEN + 1), "at most"),
    ] {
        let why = EndpointTemplates::new(&template_of(wrong), None).err().unwrap_or_default();
        assert!(why.contains(word), "{wrong}: {why}");
    }

    let lookup: SecretLookup = Arc::new(|name| Err(format!("{name} is not set")));
    let lacking = EndpointTemplates::new(&template_of("{{ secret('env:NO') }}"), Some(&lookup))
        .map(|s| s.missing_secret().cloned());
    assert_eq!(lacking.ok().flatten().as_deref(), Some("env:NO is not set"));
    let header = |name: &str| RequestTemplate {
        headers: vec![(name.into(), "x".into())],
        ..RequestTemplate::default()
    };

    for name in ["content-length", "Host", "webhook-id", "a b", "transfer-encoding", "Content-Type"]
    {
        assert!(EndpointTemplates::new(&header(name), None).is_err(), "{name}");
    }
    assert!(EndpointTemplates::new(&header("User-Agent"), None).is_ok());
    let method = |method: &str| RequestTemplate {
        method: Some(method.into()),
        ..RequestTemplate::default()
    };

    assert!(EndpointTemplates::new(&method("CONNECT"), None).is_err());
    assert!(
        EndpointTemplates::new(&RequestTemplate { body: Some("x".into()), ..method("GET") }, None)
            .is_err()
    );
}

// The longest chains and nests that a template has room for: none may overflow the stack, neither
// of this thread, which has 2 MiB, nor at the delivery. Those that could are refused before they
// are compiled.

/// A template as long as one may be.
fn filled(before: &str, part: &str, after: &str) -> String {
    let parts = (limits::TEMPLATE_LEN - before.len() - after.len()) / part.len();
    format!("{before}{}{after}", part.repeat(parts))
}

#[test]
fn no_chain_of_operators_overflows_the_stack() {
    for part in [
        "+1", "-1", "~1", "*1", "//1", "%1", "**1", " and 1", " or 1", "<1", " in a", " is none",
        "()", " if 1",
    ] {
        let template = filled("{{1", part, "}}");
        let why = body(&template, "{}").unwrap_err();
        assert!(
            why.contains("--body: ") && why.contains("at most") || why.contains("brackets"),
            "{part}: {why}"
        );

        let header = RequestTemplate {
            headers: vec![("x-a".into(), template.clone())],
            ..RequestTemplate::default()
        };
        assert!(
            EndpointTemplates::new(&header, None).is_err_and(|why| why.contains("--header x-a: ")),
            "{part}"
        );
        let path = RequestTemplate { path: Some(template), ..RequestTemplate::default() };
        assert!(
            EndpointTemplates::new(&path, None).is_err_and(|why| why.contains("--path: ")),
            "{part}"
        );
    }
}

#[test]
fn no_nest_overflows_the_stack() {
    let nests = [
        ("{{", "-", "1}}"),
        ("{{", "not ", "1}}"),
        ("{{", "1 if 1 else ", "1}}"),
        ("{{a is int ", "-", "1}}"),
        ("{%if 0%}", "{%elif 0%}", "{%endif%}"),
        ("", "{%if 1%}", ""),
        ("", "{%for i in [1]%}", ""),
        // Paths, filters, literals.
        ("{{body", ".a", "}}"),
        ("{{body", "|int", "}}"),
        ("{{body", "[1]", "}}"),
        ("{{body", "[:]", "}}"),
        ("{{", "''", "}}"),
        ("{{[", "1,", "]}}"),
        ("{{", "(", "}}"),
        // Values.
        ("{%set a=1%}", "{%set a=[[[[[[[[a]]]]]]]]%}", "{{a|tojson}}{{a|string}}{{a==a}}"),
        ("{%set a=1%}", "{%set a=a,%}", "{{a|tojson}}{{a|string}}{{a==a}}"),
        ("{%set a=[1]%}", "{%set a=a*1%}", "{{a|tojson}}{{a|string}}"),
        ("{%set b=[1]%}{%set a=b%}", "{%set a=a+b%}", "{{a|tojson}}{{a|string}}"),
    ];

    for (before, part, after) in nests {
        let _ = body(&filled(before, part, after), "{}");
    }
}

#[test]
fn the_deepest_value_does_not_overflow_the_stack() {
    // The deepest value that the bounds leave: all the brackets, then tuples without any.
    let brackets = format!("{{%set a={}a{}%}}", "[".repeat(64), "]".repeat(64))
        .repeat(limits::TEMPLATE_BRACKETS / 64);
    let deepest = filled(
        &format!("{{%set a=1%}}{brackets}"),
        "{%set a=a,%}",
        "{{a|tojson}}{{a|string}}{{a==a}}",
    );

    let thread = std::thread::Builder::new().stack_size(limits::IO_STACK / 4);
    let made = thread.spawn(move || body(&deepest, "{}")).unwrap().join().unwrap();
    assert!(made.is_ok_and(|made| made.starts_with(&"[".repeat(1800))));
}
