//! Paths and headers, and the secrets in them.

use hyper::header::HeaderValue;

use super::{EndpointTemplates, Message, RequestTemplate, apply, event};

#[test]
fn a_value_cannot_leave_its_place_in_a_path() {
    let path = |template: &str, value: &str, url: &str| {
        let made_of = RequestTemplate { path: Some(template.into()), ..RequestTemplate::default() };
        let body = serde_json::json!({ "v": value }).to_string();
        apply(&made_of, &event(&body), url).map(|m| m.path.unwrap().to_string())
    };

    for (template, value, url, made) in [
        ("/d/{{ body.v }}", "a/b?c#d", "/v1/", "/v1/d/a%2Fb%3Fc%23d"),
        ("d/{{ body.v }}?x={{ body.v }}", "ä&b", "/v1?k=1", "/v1/d/%C3%A4%26b?k=1&x=%C3%A4%26b"),
        ("?only={{ body.v }}", "1", "/v1", "/v1?only=1"),
        ("/{{ body.v | safe }}", "a/b", "/", "/a/b"),
        ("/{{ body.v ~ '/x' }}", "a", "/", "/a%2Fx"),
    ] {
        assert_eq!(path(template, value, url).as_deref(), Ok(made), "{template}");
    }

    for (template, value) in [
        ("/d/{{ body.v }}", ".."),
        ("/d/{{ body.v }}/x", "."),
        ("/{{ body.v | safe }}", "a/%2e%2E/b"),
        ("/{{ body.v | safe }}", "a b"),
        ("/{{ body.v | safe }}", "a#b"),
        ("/{{ body.v | safe }}", "a\r\nX: y"),
    ] {
        let why = path(template, value, "/").unwrap_err();
        assert!(why.starts_with("--path made "), "{template} {value}: {why}");
    }
}

/// Who sends an event can have a path fail, and others than its owner are shown the error.
#[test]
fn a_path_that_fails_is_not_quoted() {
    for value in ["..", "a b", "a#b", &"x".repeat(10_000)] {
        let made_of = RequestTemplate {
            path: Some("/OWNERS-1/{{ body.v | safe }}?key=OWNERS-2".into()),
            ..RequestTemplate::default()
        };
        let body = serde_json::json!({ "v": value }).to_string();
        let why = apply(&made_of, &event(&body), "/OWNERS-3").unwrap_err();
        assert!(!why.contains("OWNERS"), "{why}");
    }
}

#[test]
fn a_header_of_the_endpoint_stands_for_all_that_receivers_read_as_it() {
    let templates = RequestTemplate {
        headers: vec![("X-Tenant".into(), "own".into()), ("X_Empty.Too".into(), "".into())],
        ..RequestTemplate::default()
    };
    let templates = EndpointTemplates::new(&templates, None).expect("templates");
    let event = event("{}");
    let mut made = super::message(&event);
    let names = ["x-tenant", "x_tenant", "x.tenant", "x-tenants", "x-empty-too", "x_empty_too"];
    made.forwarded = names
        .map(|name| (name.parse().expect("a name"), HeaderValue::from_static("evil")))
        .into_iter()
        .collect();
    let base = "/".parse().expect("a path");
    templates.apply(&event, 1, &base, &mut made).map_err(|_| "unusable").expect("applied");
    let left: Vec<&str> = made.forwarded.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, ["x-tenants"]);
}

#[test]
fn headers_have_no_lines_and_hide_secrets() {
    let made = |template: &str, body: &str| {
        let made_of = RequestTemplate {
            headers: vec![("X-A".into(), template.into())],
            ..RequestTemplate::default()
        };
        apply(&made_of, &event(body), "/")
    };

    let value = |m: Message| m.headers.last().map(|(n, v)| (n.to_string(), v.clone())).unwrap();
    let (name, plain) = value(made("{{ body.v }} ", r#"{"v":"1"}"#).unwrap());
    assert_eq!((name.as_str(), plain.as_bytes(), plain.is_sensitive()), ("x-a", &b"1"[..], false));
    let (_, secret) = value(made("{{ secret('env:KEY') }}", "{}").unwrap());
    assert_eq!((secret.as_bytes(), secret.is_sensitive()), (&b"hunter2"[..], true));
    assert!(
        made("{{ body.v }}", r#"{"v":"1\r\nX-Evil: 2"}"#)
            .unwrap_err()
            .contains("control characters")
    );

    assert_eq!(made("{{ body.v }}", r#"{"v":""}"#).unwrap().headers.len(), 1);
    assert!(made("{{ secret('KEY') }}", "{}").unwrap_err().contains("env:NAME"));
}

/// A message whose path, header and body come of one template, as people are shown it.
fn shown(template: &str) -> String {
    let secret = "{% set s = secret %}";

    let made_of = RequestTemplate {
        path: Some(format!("/a/{template}")),
        headers: vec![("X-A".into(), template.to_owned())],
        body: Some(format!("{secret}{template}")),
        ..RequestTemplate::default()
    };

    let message = apply(&made_of, &event(r#"{"v":"1"}"#), "/v1?k=1")
        .unwrap_or_else(|why| panic!("{template}: {why}"));
    assert!(message.headers.last().is_some_and(|(_, value)| value.is_sensitive()), "{template}");
    let sent = [
        message.path.as_ref().unwrap().to_string(),
        String::from_utf8(message.body.to_vec()).unwrap(),
    ];

    let echoed = sent.map(|sent| message.redactor.text(&sent)).join(" ");
    format!(
        "{} {echoed} {:?}",
        message.shown_path.as_deref().unwrap_or("no shown path"),
        message.redactor
    )
}

#[test]
fn a_secret_is_one_however_the_template_asks_for_it() {
    for template in [
        "{{ secret('env:KEY') }}",
        "{{ secret ('env:KEY') }}",
        "{{secret( \"env:KEY\" )}}",
        "{% set f = secret %}{{ f('env:KEY') }}",
        "{% set s = secret('env:KEY') %}{% set t = s %}{{ t }}",
        "{{ secret('env' ~ ':KEY') }}",
        "{{ [secret][0]('env:KEY') }}",
        "{{ {'a': secret('env:KEY')}.a }}",
        "{% for i in [1] %}{{ secret('env:KEY') }}{% endfor %}",
        "{{ secret('env:KEY') | upper }}",
        "{{ secret('env:KEY') | urlencode }}",
        "{{ secret('env:KEY') | replace('t', 'x') }}",
        "{{ secret('env:KEY')[:5] }}",
        "{{ secret('env:KEY') ~ '-' ~ body.v }}",
        "x{{ secret('env:KEY') | safe }}y",
    ] {
        let shown = shown(template).to_lowercase();

        assert!(!shown.contains("hunte") && shown.contains("/v1/a/"), "{template}: {shown}");
    }
}

#[test]
fn no_secret_stands_in_an_error() {
    let path = |template: &str| {
        let made_of = RequestTemplate { path: Some(template.into()), ..RequestTemplate::default() };
        apply(&made_of, &event(r#"{"v":".."}"#), "/").map(|_| ()).expect_err(template)
    };

    for template in [
        "/bot{{ secret(\"env:KEY\") }}/{{ body.v }}",
        "/bot{{ secret('env:KEY') }}/ {{ body.v | safe }}",
        "/{{ secret('env:KEY') | int }}",
        "/{{ secret('env:KEY') }}/{{ body.none }}",
        "/{{ secret(secret('env:KEY')) }}",
        "/{{ secret('env:KEY')() }}",
        "/{{ secret('env:KEY').nothing() }}",
        "/{{ secret('env:KEY') + 1 }}",
        "/{{ [1] | join(secret('env:KEY'), 2, 3) }}",
    ] {
        assert!(!path(template).contains("hunter"), "{template}: {}", path(template));
    }

    assert!(path("/bot{{ secret('env:KEY') }}/{{ body.v }}").contains(". or .. in it"));
    assert!(path("/{{ secret('env:KEY') }}/{{ body.none }}").contains("default('')"));
}
