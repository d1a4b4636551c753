//! The request that a receiver gets.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use super::{
    Got, OK, ScriptedReceiver, WALL_MS, attempt, endpoint, event, outbound, read_request, send,
    with,
};
use crate::model::{AttemptReport, Event, Header, Outcome, TimedSecret};

const RETRY: Outcome = Outcome::Retryable { after_ms: None };

fn shown<'a>(report: &'a AttemptReport, name: &str) -> Option<&'a [u8]> {
    report.request.headers.iter().find(|h| h.name == name).map(|h| h.value.as_ref())
}

fn error(report: &AttemptReport) -> &str {
    report.error.as_deref().unwrap_or("")
}

#[tokio::test]
async fn says_who_what_and_which_attempt() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let secrets = vec![
        TimedSecret::current(super::super::generate_secret([5; 32])),
        TimedSecret {
            expires_at: Some(WALL_MS - 1),
            ..TimedSecret::current("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        },
    ];
    let endpoint = with(&receiver.endpoint(), |e| e.secrets = secrets);
    let report = attempt(&outbound(), &endpoint).await;
    let got = receiver.got().remove(0);
    let id = event().id.to_string();
    assert_eq!(got.header("webhook-id"), Some(id.as_str()));
    assert_eq!(got.header("webhook-timestamp"), Some("1795438800"));
    assert_eq!(got.header("hookbox-source"), Some("github"));
    assert_eq!(got.header("hookbox-type"), Some("push"));
    assert_eq!(got.header("hookbox-attempt"), Some("3"));
    assert_eq!(got.header("user-agent"), Some("hookbox/test"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.head.matches("content-length").count(), 1);

    let content = [format!("{id}.1795438800.").as_bytes(), &got.body].concat();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[5; 32]);
    let signature = got.header("webhook-signature").unwrap();
    let tag =
        data_encoding::BASE64.decode(signature.strip_prefix("v1,").unwrap().as_bytes()).unwrap();
    ring::hmac::verify(&key, &content, &tag).expect("signed with the live secret alone");

    assert_eq!(shown(&report, "webhook-signature"), Some("v1,…".as_bytes()));
    assert_eq!(shown(&report, "webhook-id"), Some(id.as_bytes()));
    let log = format!("{report:?}");
    assert!(!log.contains(&signature[3..]), "{log}");
}

fn with_headers(headers: &[(&str, &[u8])], from_provider: bool) -> Event {
    let headers = headers.iter().map(|(n, v)| Header::new(*n, v.to_vec())).collect();
    Event { headers, from_provider, ..event() }
}

#[tokio::test]
async fn forwards_the_senders_headers_where_wanted() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    let headers: &[(&str, &[u8])] = &[
        ("host", b"hookbox.example"),
        ("content-type", b"application/xml"),
        ("content-length", b"999"),
        ("content-encoding", b"gzip"),
        ("connection", b"close, X-Hop"),
        ("x-hop", b"1"),
        ("transfer-encoding", b"chunked"),
        ("user-agent", b"GitHub-Hookshot"),
        ("webhook-id", b"msg_other"),
        ("svix-id", b"msg_other"),
        ("hookbox-source", b"forged"),
        ("authorization", "…".as_bytes()),
        ("x-token", "Bearer …".as_bytes()),
        ("x-github-event", b"push"),
        ("x-forwarded-for", b"192.0.2.1"),
        ("cf-ray", b"1"),
        ("if-none-match", b"*"),
        ("x-twice", b"1"),
        ("x-twice", b"2"),
        ("x-broken", b"a\r\nx-injected: 1"),
        ("bad name", b"1"),
    ];
    let report = send(&outbound, &endpoint, with_headers(headers, true)).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    send(&outbound, &endpoint, with_headers(headers, false)).await;
    let never = with(&endpoint, |e| e.forward_headers = Some(false));
    send(&outbound, &never, with_headers(headers, true)).await;
    let always = with(&endpoint, |e| e.forward_headers = Some(true));
    send(&outbound, &always, with_headers(headers, false)).await;

    let got = receiver.got();
    let count: Vec<usize> = got.iter().map(|g| g.head.matches("\nx-").count()).collect();
    assert_eq!(count, [3, 0, 0, 3], "{}", got[0].head);
    let head = &got[0];
    assert_eq!(head.header("x-github-event"), Some("push"));
    assert_eq!(head.header("hookbox-source"), Some("github"));
    assert_eq!(head.header("user-agent"), Some("hookbox/test"));
    assert_eq!(head.header("content-type"), Some("application/xml"));
    for gone in [
        "authorization",
        "svix-id",
        "transfer-encoding",
        "x-injected",
        "connection",
        "cf-ray",
        "if-none-match",
    ] {
        assert_eq!(head.header(gone), None, "{gone}");
    }
    assert!(got.iter().all(|g| g.header("content-encoding") == Some("gzip")));
    // Not by looking for its digits: the port in `host` may have them.
    assert_ne!(head.header("content-length"), Some("999"));
    assert!(!head.head.contains("msg_other"));
    assert_eq!(shown(&report, "forwarded-headers"), Some(&b"3"[..]));
    assert_eq!(shown(&report, "x-github-event"), None);
}

#[tokio::test]
async fn values_unfit_for_headers_are_left_out() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let mut odd = with_headers(&[("content-type", b"text/\0plain")], true);
    odd.kind = "a\r\nx-injected: 1".to_owned();
    odd.source_name = "naïve ☃".to_owned();
    odd.body = bytes::Bytes::new();
    let report = send(&outbound(), &receiver.endpoint(), odd).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    let got = receiver.got().remove(0);
    assert_eq!(got.header("hookbox-type"), None);
    assert_eq!(got.header("hookbox-source"), Some("naïve ☃"));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(got.header("content-length"), Some("0"));
    assert!(!got.head.contains("x-injected"));
}

#[tokio::test]
async fn the_daemons_that_an_event_passed_are_counted() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());

    let mut untyped = event();
    untyped.kind.clear();
    send(&outbound, &endpoint, untyped).await;
    assert_eq!(receiver.got()[0].header("hookbox-type"), Some(""), "{}", receiver.got()[0].head);

    for (came, goes) in [(&b"7"[..], "8"), (b"8", "9"), (b"99999999999", "4294967295"), (b"x", "1")]
    {
        assert_eq!(
            send(&outbound, &endpoint, with_headers(&[("hookbox-hops", came)], false))
                .await
                .outcome,
            Outcome::Delivered
        );
        assert_eq!(
            receiver.got().last().and_then(|got| got.header("hookbox-hops").map(str::to_owned)),
            Some(goes.to_owned())
        );
    }
}

#[tokio::test]
async fn unix_sockets_reach_local_applications() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let got: Arc<Mutex<Vec<Got>>> = Arc::default();
    let log = got.clone();
    tokio::spawn(async move {
        for conn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(request) = read_request(&mut stream, conn).await {
                log.lock().unwrap().push(request);
                stream.write_all(OK).await.unwrap();
            }
        }
    });
    let unix =
        with(&endpoint(&format!("unix:{}:/in?a=b", path.display())), |e| e.allow_private = false);
    let outbound = outbound();
    for _ in 0..2 {
        let report = attempt(&outbound, &unix).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
    }
    let got = got.lock().unwrap().clone();
    assert!(got[0].head.starts_with("POST /in?a=b HTTP/1.1\r\n"));
    assert_eq!((got[0].header("host"), got[1].conn), (Some("localhost"), 0));

    let missing = endpoint(&format!("unix:{}/none.sock:/", folder.path().display()));
    let report = attempt(&outbound, &missing).await;
    assert_eq!(report.outcome, RETRY);
    assert!(error(&report).contains("is the application running?"), "{}", error(&report));
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let body: Vec<u8> = (0..2_000_000u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let large = Event { body: body.clone().into(), ..event() };
    let report = send(&outbound(), &receiver.endpoint(), large).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    assert_eq!(receiver.got()[0].body, body);
}

#[tokio::test]
async fn each_attempt_is_a_span_of_its_own_in_the_trace_that_came_in() {
    use std::sync::atomic::{AtomicU8, Ordering};
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let spans = AtomicU8::new(0);
    let settings = super::OutboundSettings {
        random: Arc::new(move |bytes| bytes.fill(spans.fetch_add(1, Ordering::Relaxed))),
        ..super::settings(super::FakeResolver::default())
    };
    let outbound = super::Outbound::new(settings, super::clock()).unwrap();
    let plain = receiver.endpoint();
    let quiet = with(&plain, |endpoint| endpoint.forward_headers = Some(false));
    let own = with(&plain, |endpoint| {
        endpoint.template.headers = vec![("traceparent".into(), "mine".into())];
    });

    let came = [("traceparent", parent.as_bytes()), ("tracestate", b"a=1"), ("tracestate", b"b=2")];
    let traced = with_headers(&came, true);
    let broken = with_headers(&[("traceparent", b"00-x"), ("tracestate", b"a=1")], true);
    for (endpoint, event) in [
        (&plain, &traced),
        (&plain, &traced),
        (&quiet, &traced),
        (&own, &traced),
        (&plain, &broken),
    ] {
        let report = send(&outbound, endpoint, event.clone()).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
    }

    let got = receiver.got();
    let said = |n: usize| got[n].header("traceparent").map(str::to_owned);
    // An id of nothing but zeros is none.
    assert_eq!(said(0), Some(format!("00-{trace}-0000000000000001-01")));
    assert_eq!(said(1), Some(format!("00-{trace}-0101010101010101-01")));
    assert_eq!(got[0].header("tracestate"), Some("a=1,b=2"));
    assert_eq!(got[0].head.matches("traceparent").count(), 1);
    assert_eq!((said(2), got[2].header("tracestate")), (None, None));
    assert_eq!(said(3).as_deref(), Some("mine"));
    assert_eq!((said(4), got[4].header("tracestate")), (None, None));
}

#[tokio::test]
async fn the_origin_of_a_cloud_event_goes_on_as_it_came() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let hop = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let origin = "00-11111111111111111111111111111111-00f067aa0ba902b7-01";
    let both = with_headers(
        &[("traceparent", hop.as_bytes()), ("ce-traceparent", origin.as_bytes())],
        true,
    );
    let only = with_headers(&[("ce-traceparent", origin.as_bytes())], true);
    for event in [both, only] {
        send(&outbound(), &receiver.endpoint(), event).await;
    }
    let got = receiver.got();
    let parent = |n: usize| got[n].header("traceparent").expect("a span").to_owned();
    assert_eq!(parent(0), hop.replace("00f067aa0ba902b7", "0707070707070707"));
    assert_eq!(parent(1), origin.replace("00f067aa0ba902b7", "0707070707070707"));
    assert!(got.iter().all(|got| got.header("ce-traceparent") == Some(origin)));
}
