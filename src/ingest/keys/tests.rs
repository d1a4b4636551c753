//! Secrets, key sets and certificates, looked up where they are kept.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::keyring::Keyring;
use super::origins::{Fetch, FetchResult, Origins};
use crate::ingest::budget::Holder;
use crate::model::{Now, Source, TimedSecret, limits};

const URL: &str = "https://issuer.example/jwks";

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 1 }
}

fn set(kid: &str) -> Vec<u8> {
    let public = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": public});
    json!({"keys": [key]}).to_string().into_bytes()
}

/// A keyring whose issuer answers what stands in the mutex, and counts.
fn issuer(
    answer: &Arc<Mutex<FetchResult>>,
    cache: Option<&std::path::Path>,
) -> (Keyring, Arc<AtomicU32>) {
    let (answer, asked) = (answer.clone(), Arc::new(AtomicU32::new(0)));
    let counted = asked.clone();
    let fetch: Fetch = Arc::new(move |url, allow_private| {
        assert_eq!((url.as_str(), allow_private), (URL, false));
        counted.fetch_add(1, Ordering::AcqRel);
        let answer = answer.lock().expect("an answer").clone();
        Box::pin(async move { answer })
    });
    let origins =
        Origins { fetch: Some(fetch), cache: cache.map(Into::into), ..Origins::default() };
    (Keyring::new(origins), asked)
}

fn source() -> Arc<Source> {
    let mut source = Source::new("a", "jwt");
    source.params.insert("jwks_url".into(), json!(URL));
    Arc::new(source)
}

fn kid(keys: &Keyring, source: &Arc<Source>) -> Option<String> {
    let resolved = keys.resolve(source, Now::default()).expect("resolved");
    Some(resolved.params.get("jwks")?["keys"][0]["kid"].as_str()?.to_owned())
}

#[tokio::test]
async fn a_certificate_is_fetched_once_and_no_more_than_some() {
    let issued = rcgen::generate_simple_self_signed(["sns.amazonaws.com".to_owned()])
        .expect("a certificate");
    let answer = Arc::new(Mutex::new(Ok((200, issued.cert.pem().into_bytes()))));
    let asked = Arc::new(AtomicU32::new(0));
    let (counted, answers) = (asked.clone(), answer.clone());
    let fetch: Fetch = Arc::new(move |_, allow_private| {
        assert!(!allow_private);
        counted.fetch_add(1, Ordering::AcqRel);
        let answer = answers.lock().expect("an answer").clone();
        Box::pin(async move { answer })
    });

    let keys = Keyring::new(Origins { fetch: Some(fetch), ..Origins::default() });

    let mut source = Source::new("a", "sns");
    source.params.insert("certs".into(), json!("fetch"));
    let source = Arc::new(source);
    let certs = |keys: &Keyring| {
        keys.resolve(&source, Now::default()).expect("resolved").params["certs"].clone()
    };
    assert_eq!(certs(&keys), json!("fetch"));

    let url = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem";
    assert!(keys.fetch_certificate(&source, url, None, at(0)).await);
    assert!(keys.fetch_certificate(&source, url, None, at(1)).await);
    assert_eq!(asked.load(Ordering::Acquire), 1);
    assert_eq!(certs(&keys), json!({ url: issued.cert.pem() }));

    *answer.lock().expect("an answer") = Ok((200, b"nonsense".to_vec()));
    for n in 0..20 {
        assert!(!keys.fetch_certificate(&source, &format!("{url}{n}"), None, at(2)).await);
    }
    assert_eq!(asked.load(Ordering::Acquire) as usize, limits::CERTIFICATE_FETCHES);
    *answer.lock().expect("an answer") = Ok((200, issued.cert.pem().into_bytes()));
    assert!(keys.has_unproven_certificate(&source));
    keys.note_proven(&source, url);
    assert!(!keys.has_unproven_certificate(&source));
    for n in 0..(limits::CERTIFICATES as u64 * 2) {
        let later = at(limits::JWKS_AGAIN_MS * (n + 2));
        assert!(keys.fetch_certificate(&source, &format!("{url}{n}"), None, later).await);
    }
    assert_eq!(certs(&keys).as_object().map(serde_json::Map::len), Some(limits::CERTIFICATES));
    assert!(certs(&keys).get(url).is_some(), "the one that has proven a message stays");
    let newest = format!("{url}{}", limits::CERTIFICATES * 2 - 1);
    assert!(certs(&keys).get(&newest).is_some(), "and the newest is there");

    // A stranger who names one after the other, and the provider who names a new one.
    let [stranger, provider] = ["192.0.2.66", "198.51.100.7"]
        .map(|ip| Some(Holder::peer(ip.parse().expect("an address"))));
    let later = at(limits::JWKS_AGAIN_MS * 1000);
    *answer.lock().expect("an answer") = Ok((404, Vec::new()));
    let before = asked.load(Ordering::Acquire) as usize;
    for n in 0..20 {
        assert!(!keys.fetch_certificate(&source, &format!("{url}?{n}"), stranger, later).await);
    }
    assert_eq!(asked.load(Ordering::Acquire) as usize, before + limits::CERTIFICATE_FETCHES_EACH);
    *answer.lock().expect("an answer") = Ok((200, issued.cert.pem().into_bytes()));
    assert!(
        keys.fetch_certificate(
            &source,
            "https://sns.eu-west-1.amazonaws.com/new.pem",
            provider,
            later
        )
        .await
    );
}

#[tokio::test]
async fn a_key_set_is_read_when_it_changes_and_not_for_each_request() {
    let answer = Arc::new(Mutex::new(Ok((200, set("one")))));
    let (keys, _) = issuer(&answer, None);
    let source = source();
    keys.refresh_if_due(&source, at(0)).await;
    let read = |keys: &Keyring| {
        keys.key_set(&keys.resolve(&source, Now::default()).expect("resolved")).expect("a set")
    };
    let first = read(&keys);
    assert!(Arc::ptr_eq(&first, &read(&keys)), "it was read once");
    *answer.lock().expect("an answer") = Ok((200, set("two")));
    let seen = keys.version(&source).expect("a version");
    assert!(keys.refresh(&source, seen, at(limits::JWKS_AGAIN_MS)).await);
    assert!(!Arc::ptr_eq(&first, &read(&keys)), "it is another one now");

    // One that is given by itself changes with its source alone.
    let mut given = Source::new("b", "jwt");
    given.id = 7;
    given.params.insert("jwks".into(), serde_json::from_slice(&set("three")).expect("a set"));
    let given = Arc::new(given);
    let first = keys.key_set(&given).expect("a set");
    assert!(Arc::ptr_eq(&first, &keys.key_set(&given).expect("a set")));
    assert!(!Arc::ptr_eq(&first, &keys.key_set(&Arc::new(Source::clone(&given))).expect("a set")));
    assert!(keys.key_set(&Arc::new(Source::new("c", "github"))).is_none(), "others have none");
    keys.retain(&[]);
    assert!(keys.parsed_count() == 0, "those of sources that are gone are forgotten");
}

#[tokio::test]
async fn a_key_that_a_fresh_set_does_not_hold_does_not_exist() {
    let answer = Arc::new(Mutex::new(Ok((200, set("one")))));
    let (keys, _) = issuer(&answer, None);
    let source = source();
    assert!(!keys.is_fresh(&source, at(0)), "nothing was fetched yet");
    keys.refresh_if_due(&source, at(5)).await;
    assert!(
        keys.is_fresh(&source, at(6)) && !keys.is_fresh(&source, at(5 + limits::JWKS_AGAIN_MS))
    );
    assert!(!keys.is_fresh(&Source::new("b", "jwt"), at(6)), "a file is never fresh");
}

#[tokio::test]
async fn the_last_good_set_is_kept_while_the_issuer_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let answer = Arc::new(Mutex::new(Err("away".to_owned())));
    let (keys, asked) = issuer(&answer, Some(folder.path()));
    let source = source();
    keys.refresh_if_due(&source, at(0)).await;
    assert_eq!(kid(&keys, &source), None);

    *answer.lock().expect("an answer") = Ok((200, set("one")));
    keys.refresh_if_due(&source, at(limits::JWKS_AGAIN_MS - 1)).await;
    assert_eq!(
        (kid(&keys, &source), asked.load(Ordering::Acquire)),
        (None, 1),
        "not again so soon"
    );
    keys.refresh_if_due(&source, at(limits::JWKS_AGAIN_MS)).await;
    assert_eq!(kid(&keys, &source).as_deref(), Some("one"));

    let later = limits::JWKS_AGAIN_MS + limits::JWKS_REFRESH_MS;
    for bad in [
        Err("away".to_owned()),
        Ok((500, set("two"))),
        Ok((200, b"{}".to_vec())),
        Ok((200, b"<".to_vec())),
    ] {
        *answer.lock().expect("an answer") = bad;
        keys.refresh_if_due(&source, at(later)).await;
        assert_eq!(kid(&keys, &source).as_deref(), Some("one"), "the last good one");
    }

    let (after_restart, _) =
        issuer(&Arc::new(Mutex::new(Err("away".to_owned()))), Some(folder.path()));
    assert_eq!(kid(&after_restart, &source).as_deref(), Some("one"));
}

#[tokio::test]
async fn a_key_that_is_not_in_the_set_makes_one_fetch_in_a_while() {
    let answer = Arc::new(Mutex::new(Ok((200, set("one")))));
    let (keys, asked) = issuer(&answer, None);
    let source = source();
    keys.refresh_if_due(&source, at(0)).await;
    *answer.lock().expect("an answer") = Ok((200, set("two")));
    let seen = keys.version(&source).expect("a version");
    assert!(!keys.refresh(&source, seen, at(1)).await, "a moment after the last fetch");
    let now = at(limits::JWKS_AGAIN_MS + 1);
    let (one, other) =
        tokio::join!(keys.refresh(&source, seen, now), keys.refresh(&source, seen, now));
    assert!(one && other, "both see the new set");
    assert_eq!(asked.load(Ordering::Acquire), 2, "and it was fetched once");
    assert_eq!(kid(&keys, &source).as_deref(), Some("two"));
    keys.retain(&[]);
    assert_eq!(kid(&keys, &source), None, "a set that nobody names is forgotten");
}

#[test]
fn secrets_are_looked_up_where_they_stand_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("hook"), "from a credential\n").expect("written");
    let value = Arc::new(Mutex::new("from the environment"));
    let of_environment = value.clone();
    let environment = move |name: &str| {
        (name == "HOOK").then(|| (*of_environment.lock().expect("a value")).to_owned())
    };
    let keys = Keyring::new(Origins {
        environment: Some(Arc::new(environment)),
        credentials: Some(folder.path().into()),
        ..Origins::default()
    });

    let mut source = Source::new("a", "github");
    let file = format!("file:{}", folder.path().join("hook").display());
    source.secrets = ["env:HOOK", "cred:hook", "plain", &file].map(TimedSecret::current).into();
    let source = Arc::new(source);
    let secrets = |keys: &Keyring| -> Vec<String> {
        keys.resolve(&source, Now::default())
            .expect("resolved")
            .secrets
            .iter()
            .map(|timed| timed.secret.0.clone())
            .collect()
    };
    let found = ["from the environment", "from a credential", "plain", "from a credential"];
    assert_eq!(secrets(&keys), found);

    *value.lock().expect("a value") = "another";
    assert_eq!(secrets(&keys)[0], "from the environment", "kept until it is looked up again");
    keys.look_up_again();
    assert_eq!(secrets(&keys)[0], "another");

    for (bad, word) in [
        ("env:NONE", "environment"),
        ("cred:none", "cannot be read"),
        ("cred:../x", "name"),
        ("file:/no/such", "cannot be read"),
        ("file:hook", "absolute"),
    ] {
        let mut source = Source::new("b", "github");
        source.secrets = vec![TimedSecret::current(bad)];
        let why = keys.look_up(&source).expect_err(bad);
        assert!(why.contains(word), "{why}");
    }
}

/// A file that is being replaced is missing for a moment, and a sender that is answered 401 may
/// give its event up.
#[test]
fn what_cannot_be_looked_up_stays_as_it_was_and_is_looked_up_again() {
    let value = Arc::new(Mutex::new(None::<&str>));
    let of_environment = value.clone();
    let environment = move |_: &str| of_environment.lock().expect("a value").map(str::to_owned);
    let keys =
        Keyring::new(Origins { environment: Some(Arc::new(environment)), ..Origins::default() });
    let mut source = Source::new("a", "github");
    source.secrets = vec![TimedSecret::current("env:HOOK")];
    let source = Arc::new(source);
    let secret = |ms: u64| -> Result<String, String> {
        let found = keys.resolve(&source, at(ms))?;
        Ok(found.secrets[0].secret.0.clone())
    };

    assert!(secret(0).is_err_and(|why| why.contains("HOOK")));
    *value.lock().expect("a value") = Some("first");
    assert!(secret(limits::LOOKUP_AGAIN_MS - 1).is_err(), "not at every request");
    assert_eq!(secret(limits::LOOKUP_AGAIN_MS).as_deref(), Ok("first"));

    *value.lock().expect("a value") = None;
    keys.look_up_again();
    assert_eq!(secret(6_000).as_deref(), Ok("first"), "the last one is kept");
    *value.lock().expect("a value") = Some("second");
    assert_eq!(secret(6_000 + limits::LOOKUP_AGAIN_MS).as_deref(), Ok("second"));
}

/// A provider may put a new one at the same URL.
#[tokio::test]
async fn a_fetched_certificate_whose_time_is_over_is_fetched_again() {
    let issue = |year: i32| {
        let mut params = rcgen::CertificateParams::new(vec!["sns.example".to_owned()]).expect("ok");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let pair = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&pair).expect("a certificate").pem()
    };
    let (old, new) = (issue(2020), issue(2030));
    let answer = Arc::new(Mutex::new(old.clone()));
    let answers = answer.clone();
    let fetch: Fetch = Arc::new(move |_, _| {
        let pem = answers.lock().expect("an answer").clone();
        Box::pin(async move { Ok((200, pem.into_bytes())) })
    });
    let keys = Keyring::new(Origins { fetch: Some(fetch), ..Origins::default() });
    let mut source = Source::new("a", "sns");
    source.params.insert("certs".into(), json!("fetch"));
    let source = Arc::new(source);
    let url = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem";
    let certs = |now| keys.resolve(&source, now).expect("resolved").params["certs"].clone();

    let year_ms = 365 * 86_400_000;
    let at_year =
        |year: u64| Now { mono_ms: (year - 1970) * year_ms, wall_ms: (year - 1970) * year_ms };
    assert!(keys.fetch_certificate(&source, url, None, at_year(2010)).await);
    keys.forget_ended_certificates(&source, at_year(2011));
    assert_eq!(certs(at_year(2011)), json!({ url: old }), "its time is not over");

    keys.forget_ended_certificates(&source, at_year(2025));
    assert_eq!(certs(at_year(2025)), json!("fetch"), "it counts as absent");
    assert!(!keys.fetch_certificate(&source, url, None, at_year(2025)).await, "the old one again");
    *answer.lock().expect("an answer") = new.clone();
    assert!(keys.fetch_certificate(&source, url, None, at_year(2025)).await);
    assert_eq!(certs(at_year(2025)), json!({ url: new }));
}

/// The provider's host may be unreachable at the next start.
#[tokio::test]
async fn a_certificate_that_has_proven_a_message_outlives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let issued = rcgen::generate_simple_self_signed(["sns.example".to_owned()]).expect("issued");
    let pem = issued.cert.pem();
    let start = |answer: FetchResult| {
        let fetch: Fetch = Arc::new(move |_, _| {
            let answer = answer.clone();
            Box::pin(async move { answer })
        });
        let cache = Some(folder.path().to_owned());
        Keyring::new(Origins { fetch: Some(fetch), cache, ..Origins::default() })
    };
    let mut source = Source::new("a", "sns");
    source.params.insert("certs".into(), json!("fetch"));
    let source = Arc::new(source);
    let [proven, named] = ["1", "2"]
        .map(|n| format!("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{n}.pem"));

    let keys = start(Ok((200, pem.clone().into_bytes())));
    for url in [&proven, &named] {
        assert!(keys.fetch_certificate(&source, url, None, at(0)).await);
    }
    keys.note_proven(&source, &proven);

    let keys = start(Err("unreachable".to_owned()));
    assert!(keys.fetch_certificate(&source, &proven, None, at(0)).await);
    assert!(!keys.fetch_certificate(&source, &named, None, at(0)).await, "it proved nothing");
    let certs = keys.resolve(&source, at(0)).expect("resolved").params["certs"].clone();
    assert_eq!(certs, json!({ proven: pem }));
    assert!(!keys.has_unproven_certificate(&source));
}
