//! Templates on the wire: what is signed is what is sent.

use super::{OK, ScriptedReceiver, endpoint, event, outbound, send, with};
use crate::model::{Header, Outcome, TimedSecret};
use crate::outbound::{computed_secret, sign};

/// Whoever sends an event could choose among the files and variables of the daemon.
#[test]
fn a_secret_whose_name_is_computed_is_found_wherever_a_template_stands() {
    let plain = endpoint("http://a.example/");
    let computed = |change: fn(&mut crate::model::RequestTemplate)| {
        computed_secret(&with(&plain, |endpoint| change(&mut endpoint.template)))
    };
    const NAME: &str = "{{ secret(body.name) }}";
    assert_eq!(computed(|_| {}), None);
    assert_eq!(computed(|t| t.body = Some("{{ secret('env:KEY') }}".into())), None);
    for (option, found) in [
        ("--path: ", computed(|t| t.path = Some(NAME.into()))),
        ("--body: ", computed(|t| t.body = Some(NAME.into()))),
        ("--header X: ", computed(|t| t.headers = vec![("X".into(), NAME.into())])),
    ] {
        let why = found.expect("computed");
        assert!(why.starts_with(option) && why.contains("secret('env:TOKEN')"), "{why}");
    }
}

const SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

#[tokio::test]
async fn the_signature_covers_what_is_sent() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;

    let endpoint = with(&endpoint(&format!("http://{}/v1?k=1", receiver.address)), |e| {
        e.secrets = vec![TimedSecret::current(SECRET)];
        e.template.method = Some("PUT".into());
        e.template.path = Some("/things/{{ body.a }}?n={{ attempt }}".into());
        e.template.headers = vec![
            ("X-Kind".into(), "{{ type }}/{{ source }}".into()),
            ("Authorization".into(), "Bearer hunter2".into()),
            ("User-Agent".into(), "other/1".into()),
        ];
        e.template.body = Some(r#"{"said": {{ body | tojson }}}"#.into());
    });

    let report = send(&outbound(), &endpoint, event()).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    let got = receiver.got.lock().unwrap()[0].clone();
    assert!(got.head.starts_with("PUT /v1/things/1?k=1&n=3 HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!(got.body, br#"{"said": {"a":1}}"#);

    for (name, value) in [
        ("x-kind", "push/github"),
        ("authorization", "Bearer hunter2"),
        ("user-agent", "other/1"),
        ("content-type", "application/json"),
        ("content-length", "17"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }

    let key = [sign::SigningKey::new(&TimedSecret::current(SECRET)).unwrap()];
    let (id, at) = (got.header("webhook-id").unwrap(), got.header("webhook-timestamp").unwrap());
    let expected = sign::signature(&key, id, at, &got.body, 0).unwrap().value;
    assert_eq!(got.header("webhook-signature"), Some(expected.as_str()));
    let shown = format!("{:?}", report.request);

    assert!(
        !shown.contains("hunter2")
            && shown.contains("PUT")
            && shown.contains("/v1/things/1?k=1&n=3"),
        "{shown}"
    );
}

#[tokio::test]
async fn digests_of_the_senders_go_along_with_his_bytes_alone() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;

    let digests = [
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
        "content_md5",
        "x-content-sha256",
        "x-amz-checksum-crc32c",
        "x-goog-hash",
        "x-hub-signature-256",
        "signature-input",
        "x-shopify-hmac-sha256",
        "paypal-transmission-sig",
    ];

    let mut came = event();
    came.from_provider = true;
    came.headers.extend(digests.iter().map(|name| Header::new(*name, "id-sha-256=:AAAA:")));
    came.headers.push(Header::new("x-other", "stays"));

    // Some receivers do not tell these from ours.
    let forged = ["webhook_id", "webhook.signature", "hookbox_type", "content_length", "x_real_ip"];
    came.headers.extend(forged.iter().map(|name| Header::new(*name, "9")));
    let plain = endpoint(&format!("http://{}/", receiver.address));
    let same = with(&plain, |e| e.template.method = Some("PUT".into()));
    let templated = with(&plain, |e| e.template.body = Some("{{ body | tojson }}!".into()));

    for (endpoint, goes) in [(plain, true), (same, true), (templated, false)] {
        assert_eq!(send(&outbound(), &endpoint, came.clone()).await.outcome, Outcome::Delivered);
        let got = receiver.got().pop().unwrap();
        for name in digests {
            assert_eq!(got.header(name).is_some(), goes, "{name}: {}", got.head);
        }
        assert_eq!(got.header("x-other"), Some("stays"));
        for name in forged {
            assert_eq!(got.header(name), None, "{name}: {}", got.head);
        }
    }
}

#[tokio::test]
async fn a_get_has_no_body() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let endpoint = with(&endpoint(&format!("http://{}/ping", receiver.address)), |e| {
        e.template.method = Some("GET".into())
    });
    assert_eq!(send(&outbound(), &endpoint, event()).await.outcome, Outcome::Delivered);
    let got = receiver.got.lock().unwrap()[0].clone();
    assert!(got.head.starts_with("GET /ping HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!(
        (got.header("content-length"), got.header("content-type"), got.body.len()),
        (None, None, 0)
    );
}

#[tokio::test]
async fn what_cannot_be_made_is_given_up_at_once() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let endpoint = with(&endpoint(&format!("http://{}/", receiver.address)), |e| {
        e.template.body = Some("{{ body.missing }}".into())
    });
    let report = send(&outbound(), &endpoint, event()).await;
    assert_eq!(report.outcome, Outcome::Refused);
    assert!(
        report.error.as_deref().is_some_and(|why| why.contains("--body, line 1")),
        "{report:?}"
    );
    assert!(receiver.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_preview_is_what_is_sent_without_the_secrets() {
    let endpoint = with(&endpoint("http://127.0.0.1:9/x"), |e| {
        e.template.headers = vec![("X-Key".into(), "{{ secret('env:KEY') }}".into())];
        e.template.body = Some("{{ type }} {{ secret('env:KEY') }}".into());
    });
    let shown = outbound().preview(&endpoint, &std::sync::Arc::new(event())).unwrap();
    assert_eq!((shown.method.as_str(), shown.url.as_str()), ("POST", "http://127.0.0.1:9/x"));
    assert_eq!(shown.body, "push …".as_bytes());
    assert!(shown.warning.is_some_and(|warning| warning.contains("tojson")));
    assert!(
        shown.headers.iter().any(|h| h.name == "x-key" && h.text() == "…"),
        "{:?}",
        shown.headers
    );
}
