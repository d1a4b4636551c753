//! Specs: what is read, what is refused, and that settings survive the way through the model.

use serde_json::{Map, Value, json};

use super::spec::MAY_HOLD_SECRETS;
use super::values::{Int, Real, Size, Span, YEAR_MS};
use super::views::EndpointView;
use super::{EndpointSpec, Patch, SourceSpec, Spec};
use crate::model::{Endpoint, HeadOfLine, Source, limits};

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

/// An endpoint after changes.
fn changed(endpoint: &Endpoint, body: &Value) -> Result<Endpoint, String> {
    let mut changed = endpoint.clone();
    let patch = Patch::read(object(body)).map_err(|why| why.to_string())?;
    let settings = EndpointSpec::of(endpoint).changed(patch);
    settings.apply(&mut changed).map_err(|why| why.to_string())?;
    Ok(changed)
}

/// A source after changes, where a body of `github` has 25 MiB.
fn changed_source(source: &Source, body: &Value) -> Result<Source, String> {
    let max_body = |scheme: &str| if scheme == "github" { 25 << 20 } else { 1 << 20 };
    let mut changed = source.clone();
    let patch = Patch::read(object(body)).map_err(|why| why.to_string())?;
    let settings = SourceSpec::of(source).changed(patch, max_body(&source.verify));
    settings.apply(&mut changed, max_body).map_err(|why| why.to_string())?;
    Ok(changed)
}

fn every_setting() -> Value {
    json!({
        "from": ["a"], "types": ["push*"], "where": "@.body.x == 1",
        "retry_base": "2s", "retry_factor": 3.0, "retry_max": "2h", "jitter": 0.5, "max_age": "1d",
        "max_attempts": 7, "timeout": "3s", "concurrency": 2, "allow_private": true,
        "forward_headers": false, "forward_query": true, "rate": "100/m", "burst": 3,
        "order": "key", "order_key": "/a", "head_of_line": "skip", "head_attempts": 4,
        "hold_after": "2d", "warn_after": "10m", "catch_up_rate": "5/s", "method": "PUT",
        "path": "/{{ id }}",
        "header": ["X-A: b"], "body": "{}", "content_type": "text/plain",
        "proxy": "http://p:1", "bind": "127.0.0.2", "client_cert": "/c", "client_key": "/k",
        "ca": "/a", "pin": ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="],
        "arg": ["x"], "user": "u", "lease": "1m",
    })
}

/// Those that cannot stand beside some of `every_setting`.
fn settings_of_batches() -> Value {
    json!({
        "batch_max_events": 7, "batch_max_bytes": "1KiB", "batch_max_wait": "2s",
        "batch_format": "ndjson", "catch_up": "latest", "catch_up_key": "/k",
    })
}

/// One that `EndpointSpec::apply` forgets would be dropped silently: the two tests below give each
/// of them.
#[test]
fn every_setting_of_an_endpoint_is_given_by_a_test() {
    let mut given = object(&every_setting());
    given.extend(object(&settings_of_batches()));
    let mut given: Vec<&str> = given.keys().map(String::as_str).collect();
    // Every test gives the URL; secrets are applied by whoever may generate them.
    given.extend(["url", "secret", "generate_secret"]);
    given.sort_unstable();
    let mut keys = EndpointSpec::KEYS.to_vec();
    keys.sort_unstable();
    assert_eq!(given, keys);
}

#[test]
fn the_settings_of_batches_survive() {
    let full = changed(&Endpoint::new("a", "http://x/"), &settings_of_batches()).expect("fine");
    let spec = EndpointSpec::of(&full);
    let shown = object(&serde_json::to_value(&spec).expect("JSON"));
    for (key, given) in object(&settings_of_batches()) {
        assert_eq!(shown[&key], given, "{key}");
    }
    let mut again = Endpoint::new("a", "");
    spec.apply(&mut again).expect("well-formed");
    assert_eq!(again, full);
}

#[test]
fn every_setting_of_an_endpoint_survives_and_is_reset_on_its_own() {
    let plain = Endpoint::new("a", "https://x/");
    let full = changed(&plain, &every_setting()).expect("well-formed");
    let spec = EndpointSpec::of(&full);

    // What is shown of it makes the same endpoint again.
    let Value::Object(shown) = serde_json::to_value(&spec).expect("JSON") else {
        panic!("an object")
    };
    for (key, given) in object(&every_setting()) {
        assert_eq!(shown[&key], given, "{key}");
    }
    let mut again = Endpoint::new("a", "");
    spec.apply(&mut again).expect("well-formed");
    assert_eq!(again, full);

    // Each alone goes back to its default, and the others stay.
    for key in ["retry_base", "where", "rate", "bind", "arg", "lease", "header"] {
        let body = match key {
            "rate" => json!({"rate": null, "burst": null}),
            key => json!({key: null}),
        };
        let reset = changed(&full, &body).expect(key);
        let shown = serde_json::to_value(EndpointSpec::of(&reset)).expect("JSON");
        let default = serde_json::to_value(EndpointSpec::of(&plain)).expect("JSON");
        assert_eq!((&shown[key], &shown["timeout"]), (&default[key], &json!("3s")), "{key}");
    }
}

#[test]
fn the_keys_of_a_spec_are_those_of_its_json() {
    let hidden = ["secret", "generate_secret", "ttl"];
    let keys =
        |value: Value| -> Vec<String> { object(&value).into_iter().map(|(key, _)| key).collect() };
    let endpoint = keys(serde_json::to_value(EndpointSpec::default()).expect("JSON"));
    let source = keys(serde_json::to_value(SourceSpec::default()).expect("JSON"));
    let shown = |all: &[&str]| -> Vec<String> {
        all.iter().filter(|key| !hidden.contains(*key)).map(ToString::to_string).collect()
    };
    assert_eq!(endpoint, shown(EndpointSpec::KEYS));
    assert_eq!(source, shown(SourceSpec::KEYS));
}

#[test]
fn batches_end_with_their_number_of_events() {
    let plain = Endpoint::new("a", "http://x/");
    let batched = changed(&plain, &json!({"batch_max_bytes": "1KiB"})).expect("batches");
    assert_eq!(batched.batch.map(|batch| (batch.max_events, batch.max_bytes)), Some((100, 1024)));
    let ended = changed(&batched, &json!({"batch_max_events": null})).expect("none");
    assert_eq!(ended.batch, None);
}

#[test]
fn a_batch_does_not_wait_until_its_events_are_given_up() {
    let plain = Endpoint::new("a", "http://x/");
    let refused = changed(&plain, &json!({"batch_max_wait": "6s", "max_age": "6s"}));
    let why = refused.expect_err("only dead letters").to_string();
    assert!(why.contains("batch_max_wait") && why.contains("--max-age"), "{why}");
    assert!(changed(&plain, &json!({"batch_max_wait": "6s", "max_age": "7s"})).is_ok());

    // Whichever of the two is changed.
    let batched = changed(&plain, &json!({"batch_max_wait": "20s"})).expect("well-formed");
    assert!(changed(&batched, &json!({"max_age": "6s"})).is_err());
    assert!(changed(&plain, &json!({"max_age": "1s"})).is_ok(), "without batches");
}

/// One that is taken and changes nothing is a promise that is not kept.
#[test]
fn settings_without_effect_are_refused_and_go_with_what_they_belong_to() {
    let plain = Endpoint::new("a", "http://x/");
    for (given, key) in [
        (json!({"head_attempts": 3}), "head_attempts"),
        (json!({"order": "none", "head_attempts": 3}), "head_attempts"),
        (json!({"order": "strict", "head_attempts": 3}), "head_attempts"),
        (json!({"order": "strict", "head_of_line": "block", "head_attempts": 3}), "head_attempts"),
        (json!({"catch_up_key": "/id"}), "catch_up_key"),
        (json!({"catch_up": "newest", "catch_up_key": "/id"}), "catch_up_key"),
    ] {
        let why = changed(&plain, &given).expect_err("refused").to_string();
        assert!(why.contains(key) && why.contains("--reset"), "{given}: {why}");
    }

    let skips = json!({"order": "strict", "head_of_line": "skip", "head_attempts": 3});
    let skips = changed(&plain, &skips).expect("fine");
    for (given, after) in [
        (json!({"head_of_line": "block"}), HeadOfLine::Block),
        (json!({"head_of_line": null}), HeadOfLine::Block),
        (json!({"head_of_line": "park"}), HeadOfLine::Park { after: 3 }),
        (json!({"jitter": 0}), HeadOfLine::Skip { after: 3 }),
    ] {
        assert_eq!(changed(&skips, &given).expect("fine").head_of_line, after, "{given}");
    }
    let both = json!({"head_of_line": "block", "head_attempts": 4});
    assert!(changed(&skips, &both).is_err(), "what is given is not forgotten");

    let latest = json!({"catch_up": "latest", "catch_up_key": "/id"});
    let latest = changed(&plain, &latest).expect("fine");
    for given in [json!({"catch_up": "oldest"}), json!({"catch_up": null})] {
        assert_eq!(changed(&latest, &given).expect("fine").catch_up.key, None, "{given}");
    }
    assert!(changed(&latest, &json!({"catch_up": "oldest", "catch_up_key": "/k"})).is_err());

    // As an older version stored them.
    let mut old = plain.clone();
    old.catch_up.key = Some("/id".into());
    let changed_old = changed(&old, &json!({"jitter": 0})).expect("they do not stand in the way");
    assert_eq!(changed_old.catch_up.key, None);
    let mut old = Endpoint::new("a", "pull:");
    old.timeout_ms = 30_000;
    let changed_old = changed(&old, &json!({"jitter": 0})).expect("they do not stand in the way");
    assert_eq!(changed_old.timeout_ms, limits::DEFAULT_TIMEOUT_MS);
}

#[test]
fn stored_values_that_would_be_refused_today_do_not_stand_in_the_way_of_others() {
    let mut old = Endpoint::new("a", "http://x/");
    (old.concurrency, old.timeout_ms) = (9_999_999, 1);
    let changed = changed(&old, &json!({"jitter": 0})).expect("only what is given is checked");
    assert_eq!((changed.concurrency, changed.retry.jitter), (9_999_999, 0.0));
}

#[test]
fn a_size_that_nobody_chose_follows_the_scheme() {
    let mut source = Source::new("a", "none");
    source = changed_source(&source, &json!({"verify": "github"})).expect("well-formed");
    assert_eq!(source.max_body, 25 << 20);
    source =
        changed_source(&source, &json!({"max_body": "2MiB", "verify": "none"})).expect("chosen");
    assert_eq!(source.max_body, 2 << 20);
    source = changed_source(&source, &json!({"verify": "github"})).expect("chosen before");
    assert_eq!((source.max_body, source.verify.as_str()), (2 << 20, "github"));
}

#[test]
fn settings_of_a_scheme_are_changed_one_by_one() {
    let mut source = Source::new("a", "jwt");
    source = changed_source(&source, &json!({"set": {"a": "1", "b": {"x": 1}}})).expect("set");
    source = changed_source(&source, &json!({"set": {"a": null, "b": {"y": 2}}})).expect("changed");
    assert_eq!(json!(source.params), json!({"b": {"y": 2}}));
    source = changed_source(&source, &json!({"set": null})).expect("reset");
    assert!(source.params.is_empty());
}

#[test]
fn allowed_networks_and_lists_are_distinguished() {
    let given = json!({"allow": ["192.0.2.7", "@github", "2001:db8::/32"]});
    let source = changed_source(&Source::new("a", "none"), &given).expect("well-formed");
    assert_eq!((source.allow.len(), source.allow_lists), (2, vec!["github".to_owned()]));
    let refused = changed_source(&Source::new("a", "none"), &json!({"allow": ["10.0.0.0/99"]}));
    assert!(refused.expect_err("a prefix").contains("192.0.2.0/24"));
}

#[test]
fn what_is_refused_names_the_setting() {
    let endpoint = Endpoint::new("a", "http://x/");

    for (body, words) in [
        (json!({"colour": 1}), "unknown setting 'colour': the settings here are url, from"),
        (json!({"retry_bsae": 1}), "'retry_bsae' (did you mean `retry_base`?): the settings here"),
        (json!({"retry_base_ms": 1}), "(did you mean `retry_base`?)"),
        (json!({"jitter": 2}), "'jitter' (--jitter): must be a number from 0 to 1"),
        (json!({"timeout": "1h"}), "'timeout' (--timeout): must be from 1ms to 5m"),
        (json!({"retry_base": true}), "a duration such as \"15s\""),
        (json!({"retry_base": "9s", "retry_max": "5s"}), "less than retry_base"),
        (json!({"header": ["no colon"]}), "Name: value or template"),
        (json!({"header": ["A: 1", "a: 2"]}), "given twice"),
        (json!({"header": ["X-Tenant: 1", "x_tenant: 2"]}), "one header to many receivers"),
        (json!({"header": ["X.Tenant: 1", "X-A: 0", "X_Tenant: 2"]}), "leave one out"),
        (json!({"bind": "localhost"}), "'bind'"),
        (json!({"ca": "relative.pem"}), "absolute"),
        (json!({"arg": ["a\u{0}b"]}), "NUL"),
        (json!({"body": "x".repeat(20_000)}), "20000 bytes"),
        (json!({"order": "key"}), "--order-key /device/id"),
        (json!({"url": "gopher://x/"}), "not a URL"),
        (json!({"url": "exec:alert"}), "whole path"),
    ] {
        let why = changed(&endpoint, &body).expect_err("refused");
        assert!(why.contains(words), "{body}: {why}");
    }
}

#[test]
fn settings_of_tls_are_for_encrypted_requests() {
    let with = |url: &str, body: &Value| changed(&Endpoint::new("a", url), body);
    let pin = json!({"pin": ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]});
    for (body, option) in [
        (json!({"ca": "/a"}), "(--ca): has no effect here"),
        (json!({"client_cert": "/c", "client_key": "/k"}), "(--client-cert): has no effect"),
        (json!({"client_key": "/k"}), "or leave it out (--reset client-key)"),
        (pin, "(--pin): has no effect"),
    ] {
        for url in ["http://x/", "unix:/run/app.sock:/"] {
            let why = with(url, &body).expect_err(url);
            assert!(why.contains(option) && why.contains("https://"), "{url} {body}: {why}");
        }
        assert!(with("https://x/", &body).is_ok(), "{body}");
    }

    // An older log may have them: they have no effect, and are in nobody's way.
    let mut old = Endpoint::new("a", "http://x/");
    old.via.ca = Some("/a".into());
    let updated = changed(&old, &json!({"timeout": "3s"})).expect("another setting");
    assert_eq!(updated.via.ca, None);
    // But they are not dropped in silence together with the encryption.
    let safe = with("https://x/", &json!({"ca": "/a"})).expect("a setting of TLS");
    assert!(changed(&safe, &json!({"url": "http://x/"})).expect_err("refused").contains("--ca"));
}

#[test]
fn urls_are_http_sockets_commands_or_pull() {
    let endpoint = Endpoint::new("a", "http://x/");
    for good in [
        "http://a/",
        "exec:/bin/true",
        "pull:",
        "https://a.example:444/x?y",
        "unix:/run/app.sock:/hook",
    ] {
        assert!(changed(&endpoint, &json!({"url": good})).is_ok(), "{good}");
    }
    for bad in ["a", "/x", "ftp://a/", "http://", "unix:app.sock", "http://a/\r\nx", "http:///x"] {
        assert!(changed(&endpoint, &json!({"url": bad})).is_err(), "{bad}");
    }
}

#[test]
fn durations_and_sizes_are_text_and_numbers_have_a_unit() {
    let span = |value: Value| serde_json::from_value::<Span<0, YEAR_MS>>(value).map(Span::ms).ok();
    assert_eq!(
        (span(json!("1h 30m")), span(json!(90)), span(json!(0.5))),
        (Some(5_400_000), Some(90_000), Some(500))
    );
    assert_eq!((span(json!("soon")), span(json!(-1)), span(json!("400d"))), (None, None, None));
    for text in ["3d", "1h 30m", "1s 500ms", "0s", "1d 1ms"] {
        assert_eq!(text.parse::<Span<0, YEAR_MS>>().expect(text).to_string(), text);
    }

    let size =
        |value: Value| serde_json::from_value::<Size<1, { 1 << 30 }>>(value).map(Size::bytes).ok();
    assert_eq!((size(json!("1KiB")), size(json!(7)), size(json!(0))), (Some(1024), Some(7), None));
    assert_eq!(Size::<1, { 1 << 30 }>::from_bytes(25 << 20).to_string(), "25MiB");
    assert_eq!(Size::<1, { 1 << 30 }>::from_bytes(1025).to_string(), "1025");

    assert!("6".parse::<Int<1, 5>>().is_err() && "5".parse::<Int<1, 5>>().is_ok());
    assert!("1.5".parse::<Real<0, 1>>().is_err() && "NaN".parse::<Real<0, 1>>().is_err());
}

#[test]
fn a_reset_takes_either_spelling_and_no_other() {
    let patch =
        Patch::new(EndpointSpec::default(), &["retry-base".into(), "rate".into()]).expect("known");
    assert_eq!(Value::Object(patch.to_json()), json!({"retry_base": null, "rate": null}));
    let unknown = Patch::new(EndpointSpec::default(), &["retry_base_ms".into()]);
    let why = unknown.expect_err("unknown").to_string();
    assert!(why.starts_with(
        "--reset retry_base_ms: there is no such setting (did you mean `retry-base`?); "
    ));
    let given = EndpointSpec { allow_private: Some(true), ..EndpointSpec::default() };
    assert!(Patch::new(given, &["allow-private".into()]).is_err(), "set and reset");
}

#[test]
fn what_is_shown_to_the_group_has_no_secrets_in_it() {
    let given = json!({
        "url": "https://a.example/hook/k3y?token=t", "path": "/x/{{ id }}", "body": "{\n}",
        "header": ["X-Kind: {{ type \
                    }}", "Authorization: Bearer \
                                          hunter2", "X-Token: {{ \
                                                                           secret('env:T') }}"],
        "proxy": "http://user:hunter2@10.0.0.1:3128", "arg": ["", "--x"],
    });
    let endpoint = changed(&Endpoint::new("a", "http://x/"), &given).expect("well-formed");
    let to_owner = serde_json::to_value(EndpointSpec::shown(&endpoint, true)).expect("JSON");
    assert!(!to_owner.to_string().contains("hunter2"), "{to_owner}");
    assert_eq!(to_owner["proxy"], "http://user:…@10.0.0.1:3128");
    let headers =
        json!(["X-Kind: {{ type }}", "Authorization: …", "X-Token: {{ secret('env:T') }}"]);
    assert_eq!((&to_owner["header"], &to_owner["arg"]), (&headers, &json!(["", "--x"])));

    let to_group = serde_json::to_value(EndpointSpec::shown(&endpoint, false)).expect("JSON");
    assert_eq!(
        (&to_group["path"], &to_group["body"], &to_group["arg"]),
        (&json!("…"), &json!("…"), &json!(["…", "…"]))
    );
    assert_eq!(to_group["header"], json!(["X-Kind: …", "Authorization: …", "X-Token: …"]));
    assert!(!to_group.to_string().contains("k3y"), "{to_group}");
    assert!(!format!("{:?}", EndpointSpec::of(&endpoint).proxy).contains("hunter2"));
}

#[test]
fn keys_and_tokens_of_a_source_are_not_shown() {
    let set = json!({"keys": [
        {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
        {"kty": "RSA", "n": "1", "e": "AQAB", "d": "c2VjcmV0", "qi": "c2VjcmV0"},
    ]});
    for value in [set.clone(), json!(set.to_string()), json!([{"deep": set}])] {
        let mut source = Source::new("a", "jwt");
        source.params.insert("jwks".into(), value);
        source.params.insert("issuer".into(), json!("them"));
        let shown = serde_json::to_value(SourceSpec::shown(&source, true)).expect("JSON");
        // A text stays a text: what is quoted in it is quoted once more.
        let shown = shown["set"].to_string().replace('\\', "");
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
        assert!(
            shown.contains("\"kid\":\"a\"") && shown.contains("AQAB") && shown.contains("them"),
            "{shown}"
        );
    }

    let mut source = Source::new("a", "none");
    source.public_url = Some("https://x/in/tok123?y".into());
    source.token = Some("tok123".into());
    let shown = |to_owner| SourceSpec::shown(&source, to_owner).public_url.expect("a URL");
    assert_eq!(
        (shown(false).as_str(), shown(true).as_str()),
        ("https://x/in/…?y", "https://x/in/tok123?y")
    );
}

/// Mandrill signs the URL as it was given there, with its login.
#[test]
fn a_public_url_may_have_a_login_that_is_not_shown() {
    let given = "https://user:hunter2@x.example/in/a?b=user@c";
    let spec = SourceSpec { public_url: Some(given.into()), ..SourceSpec::default() };
    let mut source = Source::new("a", "mandrill");
    spec.apply(&mut source, |_| 1).expect("a URL");
    assert_eq!(source.public_url.as_deref(), Some(given));
    for to_owner in [true, false] {
        let shown = SourceSpec::shown(&source, to_owner).public_url.expect("a URL");
        assert_eq!(shown, "https://…@x.example/in/a?b=user@c");
    }

    for wrong in ["https://user@/in/a", "https://us er@x/", "ftp://user@x/", "user@x"] {
        let spec = SourceSpec { public_url: Some(wrong.into()), ..SourceSpec::default() };
        assert!(spec.apply(&mut source, |_| 1).is_err(), "{wrong}");
    }
}

#[test]
fn a_view_is_read_back_with_fields_that_this_version_does_not_know() {
    let view = EndpointView {
        name: "a".into(),
        settings: EndpointSpec::shown(&Endpoint::new("a", "http://x/"), true),
        state: super::views::HoldState::Active.into(),
        held_reason: None,
        held_at: None,
        secrets: Vec::new(),
        created_at: super::values::Time(0),
        applied_set: None,
        warnings: Vec::new(),
        activity: None,
        lag: None,
    };
    let mut shown = serde_json::to_value(&view).expect("JSON");
    shown["of_a_later_version"] = json!(1);
    assert_eq!(serde_json::from_value::<EndpointView>(shown).expect("read back"), view);
}

#[test]
fn no_refusal_quotes_a_setting_that_may_hold_a_secret() {
    fn refusal<S: Spec>(key: &str, value: &Value) -> Option<String> {
        let body = object(&json!({ key: value }));
        Patch::<S>::read(body).err().map(|why| why.to_string())
    }
    let (mut refused, canary) = (0, "--Bearer CANARY: \"x\"\nand CANARY");

    for key in EndpointSpec::KEYS.iter().chain(SourceSpec::KEYS) {
        for value in [
            json!(canary),
            json!("CANARY"),
            json!([canary]),
            json!(["CANARY"]),
            json!([[canary]]),
            json!({ "a": canary }),
            json!([{ "CANARY": canary }]),
            json!({ "a": [canary] }),
        ] {
            let whys = [refusal::<EndpointSpec>(key, &value), refusal::<SourceSpec>(key, &value)];
            for why in whys.iter().flatten().filter(|why| !why.starts_with("unknown")) {
                refused += 1;
                let hides = MAY_HOLD_SECRETS.contains(key);
                assert!(!hides || !why.contains("CANARY"), "{key} {value}: {why}");
                assert!(why.contains(key), "{key} {value}: {why}");
            }
        }
    }

    assert!(refused > 100, "{refused}");
    let all: Vec<&&str> = EndpointSpec::KEYS.iter().chain(SourceSpec::KEYS).collect();
    assert!(MAY_HOLD_SECRETS.iter().all(|key| all.contains(&key)), "keys that there are");
}
