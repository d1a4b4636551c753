//! The properties, over generated configurations.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::super::plan::{PlanOptions, plan};
use super::world::PlanWorld;
use crate::api::{ConfigurationSet, EndpointSpec, SourceSpec, Spec};
use crate::model::TimedSecret;

const NAMES: [&str; 6] = ["a", "b-1", "c.d", "e_f", "0", "hook.Z"];
const CASES: u32 = 1_000;

/// In the place of a secret: one is generated.
const GENERATED: Value = Value::Bool(true);

/// Of some settings, those that were drawn.
fn some(settings: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Map<String, Value>> {
    let one = |(key, value): (&'static str, BoxedStrategy<Value>)| {
        prop::option::weighted(0.3, value).prop_map(move |value| value.map(|value| (key, value)))
    };
    let drawn: Vec<_> = settings.into_iter().map(one).collect();
    let named = |(key, value): (&str, Value)| match value == GENERATED && key == "secret" {
        true => ("generate_secret".to_owned(), value),
        false => (key.to_owned(), value),
    };
    drawn.prop_map(move |all| all.into_iter().flatten().map(named).collect()).boxed()
}

fn of<const N: usize>(values: [Value; N]) -> BoxedStrategy<Value> {
    prop::sample::select(values.to_vec()).boxed()
}

/// Texts with what a file may trip over.
fn odd() -> BoxedStrategy<Value> {
    let parts = ["x", "\"", "'", "'''", "\\", "\n", "\t", "{{ id }}", "é", "…", "#", "=", "\u{7f}"];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 1..6)
        .prop_map(|parts| Value::from(format!("b{}", parts.concat())))
        .boxed()
}

fn source() -> BoxedStrategy<Map<String, Value>> {
    let answers = prop::option::of((odd(), any::<bool>()));
    (arrival(), answers)
        .prop_map(|(mut all, answer)| {
            if let Some((body, typed)) = answer {
                all.insert("answer_body".to_owned(), body);
                all.extend(typed.then(|| ("answer_type".to_owned(), json!("application/json"))));
            }
            if all.contains_key("body_from") {
                all.remove("split");
            }
            all
        })
        .boxed()
}

fn arrival() -> BoxedStrategy<Map<String, Value>> {
    let set = json!({"in": "header", "name": "x-key", "leeway_s": 5, "api_key": "S3CRET",
        "keys": {"keys": [{"kty": "oct", "k": "S3CRET", "kid": "1"}]}, "a b": [1, 2.5, true]});

    some(vec![
        ("verify", of([json!("github"), json!("apikey"), json!("none"), json!("jwt")])),
        ("secret", of([json!("cred:x"), json!("env:X"), json!("file:/x"), GENERATED])),
        ("public_key", of([json!("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----")])),
        ("set", of([set, json!({"in": "query"}), json!({})])),
        ("public_url", of([json!("https://h.example/in?token=S3CRET"), json!("http://h/")])),
        ("token", of([json!(true), json!(false)])),
        ("allow", of([json!(["192.0.2.0/24", "@github"]), json!(["192.0.2.7"]), json!([])])),
        ("rate", of([json!("10/s"), json!("1000/h")])),
        ("max_body", of([json!("25MiB"), json!(1000), json!("1MiB")])),
        ("dedupe_window", of([json!("1h 30m"), json!(5), json!("3d"), json!("0s")])),
        ("type_header", of([json!("X-Kind")])),
        ("type_field", of([json!("/a~1b")])),
        ("id_header", of([json!("x-id")])),
        ("id_field", of([json!("/id")])),
        ("split", of([json!(true), json!(false)])),
        ("answer", of([json!(200), json!(299)])),
        ("body_from", of([json!("form:payload")])),
        ("keep_refused", of([json!(5), json!(0)])),
    ])
}

fn pacing() -> BoxedStrategy<Map<String, Value>> {
    some(vec![
        ("types", of([json!(["push*", "a"]), json!([])])),
        ("where", of([json!("@.body.x == 'a\"b'"), json!("@.type == 'a' &&\n@.source == 'b'")])),
        ("secret", of([json!("cred:y"), json!("env:Y"), GENERATED])),
        ("retry_base", of([json!("2s"), json!(0.5), json!("1s")])),
        ("retry_factor", of([json!(3), json!(1.25)])),
        ("retry_max", of([json!("2h"), json!("1h")])),
        ("jitter", of([json!(0), json!(0.5), json!(0.2)])),
        ("max_age", of([json!("1d")])),
        ("max_attempts", of([json!(7)])),
        ("timeout", of([json!("3s"), json!("1m")])),
        ("concurrency", of([json!(1), json!(16), json!(256)])),
        ("allow_private", of([json!(true), json!(false)])),
        ("forward_headers", of([json!(true), json!(false)])),
        ("forward_query", of([json!(true), json!(false)])),
        ("hold_after", of([json!("2d"), json!("5d")])),
        ("warn_after", of([json!("10m")])),
        ("catch_up_rate", of([json!("5/s")])),
    ])
}

fn transport() -> BoxedStrategy<Map<String, Value>> {
    let headers = of([
        json!(["X-A: b", "Authorization: Bearer S3CRET", "X-Api-Key: {{ secret('env:K') }}"]),
        json!(["X-Note: …and more"]),
        json!([]),
    ]);

    some(vec![
        ("method", of([json!("put")])),
        ("path", odd()),
        ("header", headers),
        ("content_type", of([json!("text/plain; charset=utf-8")])),
        ("proxy", of([json!("http://u:S3CRET@p:1"), json!("http://u:S3CRET2@p:1"), json!("none")])),
        ("bind", of([json!("127.0.0.2")])),
        ("client_cert", of([json!("/c")])),
        ("client_key", of([json!("/k")])),
        ("ca", of([json!("/a b")])),
        ("pin", of([json!([format!("sha256/{}A=", "B".repeat(42))]), json!([])])),
        ("arg", of([json!(["-x", "a b"]), json!([])])),
        ("user", of([json!("u")])),
        ("lease", of([json!("1m")])),
    ])
}

fn endpoint() -> BoxedStrategy<Map<String, Value>> {
    let urls = [
        json!("https://app.example/hook?key=S3CRET"),
        json!("http://127.0.0.1:3000/a/b"),
        json!("unix:/run/app.sock:/path"),
    ];
    let groups = prop::sample::select(vec![
        json!({}),
        json!({"rate": "100/m", "burst": 3}),
        json!({"order": "key", "order_key": "/a", "head_of_line": "skip", "head_attempts": 4}),
        json!({"order": "strict", "head_of_line": "park"}),
        json!({"batch_max_bytes": "1KiB"}),
        json!({"batch_max_events": 5, "batch_format": "ndjson", "batch_max_wait": "0s"}),
        json!({"catch_up": "latest", "catch_up_key": "/id"}),
        json!({"catch_up": "newest"}),
    ]);
    let bodies = prop::option::of(odd());

    (of(urls), pacing(), transport(), groups, bodies)
        .prop_map(|(url, pacing, transport, group, body)| {
            let mut all = Map::from_iter([("url".to_owned(), url)]);
            let batches = group.get("batch_max_bytes").or(group.get("batch_max_events")).is_some();
            let is_template =
                |key: &str| ["method", "path", "header", "content_type"].contains(&key);
            all.extend(pacing);
            all.extend(transport.into_iter().filter(|(key, _)| !batches || !is_template(key)));
            all.extend(group.as_object().cloned().expect("an object"));
            all.extend(body.filter(|_| !batches).map(|body| ("body".to_owned(), body)));
            let is_encrypted = all["url"].as_str().is_some_and(|url| url.starts_with("https:"));
            let of_tls = ["client_cert", "client_key", "ca", "pin"];
            all.retain(|key, _| is_encrypted || !of_tls.contains(&key.as_str()));
            all
        })
        .boxed()
}

/// Sources and endpoints by names; endpoints take the events of sources that are there.
fn set() -> BoxedStrategy<ConfigurationSet> {
    let sources = prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), source(), 0..4);
    let endpoints = prop::collection::btree_map(
        prop::sample::select(NAMES.to_vec()),
        (endpoint(), any::<prop::sample::Index>(), any::<bool>()),
        0..4,
    );

    (sources, endpoints)
        .prop_map(|(sources, endpoints)| {
            let names: Vec<&str> = sources.keys().copied().collect();
            let object = |(name, settings)| (name, Value::Object(settings));
            let from =
                |(name, (mut settings, pick, takes)): (&str, (Map<String, Value>, _, bool))| {
                    let pick: prop::sample::Index = pick;
                    if takes && !names.is_empty() {
                        settings.insert("from".into(), json!([pick.get(&names), "hookbox"]));
                    }
                    (name.to_owned(), Value::Object(settings))
                };
            let endpoints = endpoints.into_iter().map(from).collect();
            let sources = sources.into_iter().map(|(n, s)| object((n.to_owned(), s))).collect();
            ConfigurationSet::read(sources, endpoints).expect("well-formed")
        })
        .boxed()
}

/// Gives some entries a previous name.
fn with_previous_names(mut set: ConfigurationSet, picks: &[(usize, usize)]) -> ConfigurationSet {
    for (at, name) in picks {
        let name = Some(NAMES[*name].to_owned());
        let (sources, endpoints) = (set.sources.len(), set.endpoints.len());
        if let Some(entry) = set.sources.values_mut().nth(*at).filter(|_| *at < sources) {
            entry.previous_name = name;
        } else if let Some(entry) = set.endpoints.values_mut().nth(*at % endpoints.max(1)) {
            entry.previous_name = name;
        }
    }
    set
}

fn options(set: Option<&str>, prune: bool) -> PlanOptions {
    PlanOptions { set: set.map(str::to_owned), prune, force: false }
}

/// A world in which a set was applied, after another one.
fn applied(first: &ConfigurationSet, second: &ConfigurationSet, name: Option<&str>) -> PlanWorld {
    let mut world = PlanWorld::new();
    for set in [first, second] {
        // Of the first, a source may be left that its endpoints need: nothing is pruned.
        let planned = plan(&world.now, set, &options(name, false));
        world.perform(planned.unwrap_or_else(|whys| panic!("{whys:?}")));
    }
    world
}

/// A setting that is added later is drawn, too. Files have no `ttl`.
#[test]
fn every_setting_is_drawn() {
    let mut runner = TestRunner::deterministic();
    let mut drawn = BTreeSet::from(["ttl".to_owned()]);
    for _ in 0..CASES {
        let set = set().new_tree(&mut runner).expect("a set").current();
        let sources = set.sources.values().map(|entry| json!(entry.settings));
        let endpoints = set.endpoints.values().map(|entry| json!(entry.settings));
        for settings in sources.chain(endpoints) {
            drawn.extend(settings.as_object().into_iter().flatten().map(|(key, _)| key.clone()));
        }
    }
    let missing: Vec<_> = SourceSpec::KEYS.iter().chain(EndpointSpec::KEYS).collect();
    let missing: Vec<_> = missing.into_iter().filter(|key| !drawn.contains(**key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_was_applied_is_applied_again_without_a_change(
        first in set(), second in set(), named: bool,
    ) {
        let name = named.then_some("site");
        let world = applied(&first, &second, name);
        for prune in [false, named] {
            let again = plan(&world.now, &second, &options(name, prune));
            if prune {
                // What the second has not is pruned, and then there is nothing more to do.
                let mut world = world.clone();
                let Ok(again) = again else { continue };
                world.perform(again);
                let third = plan(&world.now, &second, &options(name, true)).expect("as before");
                prop_assert!(third.is_empty(), "{third:?}");
                prop_assert_eq!(world.now.sources.len(), second.sources.len());
                prop_assert_eq!(world.now.endpoints.len(), second.endpoints.len());
                continue;
            }
            let again = again.expect("as before");
            prop_assert!(again.is_empty(), "{again:?}");
            prop_assert_eq!(again.unchanged, second.len());
        }
    }

    #[test]
    fn what_is_renamed_keeps_its_number_and_is_renamed_once(
        first in set(),
        second in set(),
        picks in prop::collection::vec((0..4usize, 0..6usize), 1..4),
    ) {
        let mut world = PlanWorld::new();
        world.perform(plan(&world.now, &first, &PlanOptions::default()).expect("well-formed"));
        let renaming = with_previous_names(second, &picks);
        // Not every rename is possible; what is refused changes nothing.
        let Ok(planned) = plan(&world.now, &renaming, &PlanOptions::default()) else {
            return Ok(());
        };

        let ids: Vec<u32> = planned
            .endpoints
            .iter()
            .filter(|change| change.previous_name().is_some())
            .filter_map(|change| change.before.as_ref().map(|before| before.id))
            .collect();
        let names = planned.endpoints.iter().filter(|change| change.previous_name().is_some());
        let names: Vec<String> = names.map(|change| change.name().to_owned()).collect();
        world.perform(planned);
        for (id, name) in ids.into_iter().zip(names) {
            prop_assert_eq!(world.endpoint(&name).id, id);
        }
        let again = plan(&world.now, &renaming, &PlanOptions::default());
        let again = again.unwrap_or_else(|whys| panic!("{whys:?}"));
        prop_assert!(again.is_empty(), "{again:?}");
    }

    #[test]
    fn what_is_exported_is_applied_without_a_change_and_has_no_secret(
        first in set(), second in set(), literal: bool,
    ) {
        let mut world = applied(&first, &second, None);
        if literal {
            let names: Vec<String> =
                world.now.endpoints.iter().map(|(endpoint, _)| endpoint.name.clone()).collect();
            for name in names {
                world.change_endpoint(&name, |endpoint, _| {
                    endpoint.secrets = vec![TimedSecret::current("whsec_S3CRET")];
                });
            }
        }

        let exported = world.exported();
        prop_assert_eq!(exported.len(), world.now.sources.len() + world.now.endpoints.len());
        prop_assert!(!format!("{exported:?}").contains("S3CRET"), "{exported:?}");
        let again = plan(&world.now, &exported, &PlanOptions::default());
        let again = again.unwrap_or_else(|whys| panic!("{whys:?}"));
        prop_assert!(again.is_empty(), "{again:?}");
    }

    #[test]
    fn differences_name_what_changed_and_no_secret(first in set(), second in set()) {
        let mut world = PlanWorld::new();
        world.perform(plan(&world.now, &first, &PlanOptions::default()).expect("well-formed"));
        let planned = plan(&world.now, &second, &PlanOptions::default());
        let planned = planned.unwrap_or_else(|whys| panic!("{whys:?}"));

        let sources = planned.sources.iter().map(|change| &change.fields);
        let endpoints = planned.endpoints.iter().map(|change| &change.fields);
        for fields in sources.chain(endpoints) {
            prop_assert!(!json!(fields).to_string().contains("S3CRET"), "{fields:?}");
            for field in fields {
                prop_assert!(field.secret || field.from != field.to, "{field:?}");
            }
        }
        for change in planned.endpoints.iter().filter(|change| change.before.is_some()) {
            prop_assert!(!change.fields.is_empty(), "{change:?}");
        }
    }
}
