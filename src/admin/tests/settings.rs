//! Sources and endpoints: created, changed, refused, deleted.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{AdminWorld, NOW};
use crate::admin::memory_log::MemoryLog;
use crate::api::views::EndpointTestView;
use crate::model::{Endpoint, limits};

#[tokio::test]
async fn sources_are_made_changed_and_deleted_and_secrets_shown_once() {
    let world = AdminWorld::new();
    let body = json!({
        "name": "shop", "verify": "apikey", "generate_secret": true, "token": true,
        "set": {"in": "header", "admin_token": "x"}, "allow": ["192.0.2.0/24"],
        "dedupe_window": "1h", "type_header": "X-Kind",
    });
    let (status, made) = world.json("POST", "/v1/sources", body).await;
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().expect("shown once").to_owned();
    assert!(
        secret.starts_with("whsec_") && made["path"].as_str().is_some_and(|p| p.len() > 30),
        "{made}"
    );
    assert_eq!(made["dedupe_window"], "1h");
    assert_eq!(
        (made["type_header"].as_str(), made["set"]["admin_token"].as_str()),
        (Some("x-kind"), Some("(hidden)"))
    );
    for path in ["/v1/sources", "/v1/sources/shop"] {
        let (_, text) = world.text("GET", path, "").await;
        assert!(!text.contains(&secret) && text.contains("shop"), "{path}: {text}");
    }

    let (status, again) = world.json("POST", "/v1/sources", json!({"name": "shop"})).await;
    assert_eq!(
        (status, again["detail"].as_str().is_some_and(|d| d.contains("exists already"))),
        (409, true)
    );

    let (_, changed) =
        world.json("PATCH", "/v1/sources/shop", json!({"max_body": 10, "allow": null})).await;
    assert_eq!(
        (&changed["max_body"], &changed["allow"], &changed["verify"]),
        (&json!("10"), &json!([]), &json!("apikey"))
    );

    let (_, replaced) = world.json("PATCH", "/v1/sources/shop", json!({"secret": "yours"})).await;
    let warnings = replaced["warnings"].to_string();
    assert!(warnings.contains("`hookboxctl source rotate-secret`"), "{replaced}");

    let (_, rotated) =
        world.json("POST", "/v1/sources/shop/rotate-secret", json!({"secret": "mine"})).await;
    assert!(rotated.get("secret").is_none(), "a given secret is not shown again: {rotated}");
    let secrets =
        world.script().sources.iter().find(|s| s.name == "shop").expect("there").secrets.clone();
    assert_eq!((secrets[0].secret.0.as_str(), secrets[0].expires_at), ("mine", None));
    assert_eq!(secrets[1].expires_at, Some(NOW.wall_ms + limits::ROTATION_MS));
    let (_, rotated) =
        world.json("POST", "/v1/sources/shop/rotate-secret", json!({"now": true})).await;
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(1));

    let (status, _) = world.json("DELETE", "/v1/sources/shop?verify=bin", Value::Null).await;
    assert_eq!(status, 400);
    assert_eq!(world.json("DELETE", "/v1/sources/shop", Value::Null).await.0, 200);
    assert_eq!(world.json("GET", "/v1/sources/shop", Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_bin_gets_a_name_a_token_and_an_end() {
    let world = AdminWorld::new();
    let (status, bin) = world
        .json("POST", "/v1/sources", json!({"verify": "bin", "token": true, "ttl": "1h"}))
        .await;
    assert_eq!(status, 201, "{bin}");
    assert!(
        bin["name"].as_str().is_some_and(|n| n.starts_with("bin-"))
            && bin["path"] != json!("/in/bin-x")
    );
    assert_eq!(bin["expires_at"], crate::model::time::rfc3339(NOW.wall_ms + 3_600_000));
    assert_eq!(world.rows("/v1/sources?verify=bin").await.len(), 1);
    assert_eq!(world.rows("/v1/sources").await.len(), 2);
}

#[tokio::test]
async fn endpoints_are_made_changed_held_and_deleted() {
    let world = AdminWorld::new();
    let body = json!({
        "name": "ci", "url": "http://127.0.0.1:1/", "types": ["push*"], "retry_base": "2s",
        "rate": "10/s", "order": "strict",
    });
    let (status, made) = world.json("POST", "/v1/endpoints", body).await;
    assert_eq!(status, 201, "{made}");
    assert!(
        made["secret"].as_str().is_some_and(|s| s.starts_with("whsec_")),
        "one is made by default: {made}"
    );
    assert_eq!(
        (&made["retry_base"], &made["rate"], &made["state"]),
        (&json!("2s"), &json!("10/s"), &json!("active"))
    );

    let (_, changed) =
        world.json("PATCH", "/v1/endpoints/ci", json!({"rate": null, "jitter": 0.5})).await;
    assert_eq!(
        (&changed["rate"], &changed["jitter"], &changed["order"]),
        (&Value::Null, &json!(0.5), &json!("strict"))
    );

    assert!(changed.get("warnings").is_none(), "{changed}");
    let (_, replaced) = world.json("PATCH", "/v1/endpoints/ci", json!({"secret": "another"})).await;
    let warning = replaced["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.contains("`hookboxctl endpoint rotate-secret`"), "{replaced}");
    let (_, shown) = world.json("GET", "/v1/endpoints/ci", Value::Null).await;
    assert!(shown.get("warnings").is_none(), "only then: {shown}");

    let (_, held) = world.json("POST", "/v1/endpoints/ci/hold", Value::Null).await;
    assert_eq!((&held["state"], &held["held_reason"]), (&json!("held"), &json!("operator")));
    assert_eq!(world.rows("/v1/endpoints?state=held").await.len(), 1);
    let (_, released) = world.json("POST", "/v1/endpoints/ci/release", Value::Null).await;
    assert_eq!(released["state"], "active");

    assert_eq!(world.json("POST", "/v1/endpoints/ci/test", Value::Null).await.0, 501);
    let (_, rotated) = world.json("POST", "/v1/endpoints/ci/rotate-secret", Value::Null).await;
    assert!(
        rotated["secret"].is_string()
            && rotated["secrets"].as_array().is_some_and(|s| s.len() == 2),
        "{rotated}"
    );

    assert_eq!(world.json("DELETE", "/v1/endpoints/ci", Value::Null).await.1["cancelled"], 3);
    for (method, path) in [
        ("POST", "/v1/endpoints/ci/hold"),
        ("GET", "/v1/endpoints/ci"),
        ("DELETE", "/v1/endpoints/ci"),
    ] {
        assert_eq!(world.json(method, path, Value::Null).await.0, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn deleting_a_source_says_what_it_leaves_behind() {
    let world = AdminWorld::new();
    let endpoint = json!({"name": "ci", "url": "http://a/", "from": ["github"]});
    assert_eq!(world.json("POST", "/v1/endpoints", endpoint).await.0, 201);

    let (_, deleted) = world.json("DELETE", "/v1/sources/github", Value::Null).await;
    let warnings = deleted["warnings"].as_array().expect("warnings");
    let warning = |n: usize| warnings[n].as_str().unwrap_or_default();
    assert_eq!(warnings.len(), 2, "{deleted}");
    assert!(warning(0).contains("endpoint ci selects only events of github"), "{deleted}");
    assert!(warning(1).contains("delivery list --source github"), "{deleted}");
}

#[tokio::test]
async fn what_was_struck_out_is_put_back_or_refused() {
    let world = AdminWorld::new();
    let real = json!({
        "name": "shop", "url": "https://shop.example/?token=hunter2",
        "header": ["X-Api-Key: hunter2"],
    });
    let (status, made) = world.json("POST", "/v1/endpoints", real).await;
    assert!(status == 201 && !made.to_string().contains("hunter2"), "{made}");
    let secrets_of = |script: &super::scripted::Script| {
        let shop = script.endpoints.iter().find(|one| one.name == "shop").expect("there");
        (shop.url.clone(), shop.template.headers.clone())
    };
    let before = secrets_of(&world.script());

    let shown = json!({"url": made["url"], "header": made["header"], "rate": "5/s"});
    let (status, changed) = world.json("PATCH", "/v1/endpoints/shop", shown).await;
    assert_eq!((status, &changed["rate"]), (200, &json!("5/s")), "{changed}");
    assert_eq!(secrets_of(&world.script()), before);

    let other = json!({"name": "b", "url": "https://b.example/", "header": made["header"]});
    let (status, why) = world.json("POST", "/v1/endpoints", other).await;
    assert!(status == 400 && why.to_string().contains("has a removed secret"), "{why}");
}

#[tokio::test]
async fn the_end_of_a_source_is_taken_away_again() {
    let world = AdminWorld::new();
    world.json("POST", "/v1/sources", json!({"name": "shop", "ttl": "1h"})).await;
    let (_, kept) = world.json("PATCH", "/v1/sources/shop", json!({"ttl": null})).await;
    assert_eq!(kept["expires_at"], Value::Null, "{kept}");

    let (_, made) = world.json("POST", "/v1/sources", json!({"verify": "bin"})).await;
    let path = format!("/v1/sources/{}", made["name"].as_str().expect("a name"));
    assert_eq!(world.json("PATCH", &path, json!({"ttl": null})).await.0, 400);
}

#[tokio::test]
async fn a_key_that_is_given_twice_is_refused() {
    let world = AdminWorld::new();
    for (path, body) in [
        ("/v1/sources", r#"{"name": "x1", "name": "x2"}"#),
        ("/v1/sources", r#"{"name": "x1", "set": {"a": "1", "a": "2"}}"#),
        ("/v1/events", r#"{"source": "github", "data": {}, "source": "github"}"#),
    ] {
        let (status, why) = world.text("POST", path, body).await;
        assert!(status == 400 && why.contains("is given twice"), "{body}: {why}");
    }
}

#[tokio::test]
async fn what_would_have_no_effect_or_another_one_is_refused() {
    let world = AdminWorld::new();
    for (method, path, body) in [
        ("GET", "/v1/tail?limit=1001", ""),
        ("GET", "/v1/events?since=1h&until=2h", ""),
        ("GET", "/v1/deliveries?since=1h&until=2h", ""),
        ("GET", "/v1/sources?verify=nope", ""),
        ("POST", "/v1/endpoints/app/hold", "garbage"),
        ("POST", "/v1/endpoints/app/release", r#"{"x": 1}"#),
        ("POST", "/v1/dlq/retry", r#"{"all": true, "endpoint": "app"}"#),
    ] {
        let (status, why) = world.text(method, path, body).await;
        assert_eq!(status, 400, "{method} {path}: {why}");
    }
    assert_eq!(world.text("GET", "/v1/events?since=2h&until=1h", "").await.0, 200);
}

#[tokio::test]
async fn a_secret_that_is_given_again_is_listed_once() {
    let world = AdminWorld::new();
    let body = json!({"name": "shop", "verify": "github", "secret": "one-secret"});
    world.json("POST", "/v1/sources", body).await;
    for secret in ["another-one", "another-one", "one-secret"] {
        world.json("POST", "/v1/sources/shop/rotate-secret", json!({"secret": secret})).await;
    }
    let (_, shown) = world.json("GET", "/v1/sources/shop", Value::Null).await;
    assert_eq!(shown["secrets"].as_array().map(Vec::len), Some(2), "{shown}");
}

#[tokio::test]
async fn a_request_is_checked_by_the_adapter() {
    let world = AdminWorld::new();
    let body = json!({
        "method": "POST", "url": "http://x/in/github", "headers": {"A": "b"}, "body_base64": "aGk=",
        "at": 9,
    });
    let (status, answer) = world.json("POST", "/v1/sources/github/check", body).await;
    assert_eq!((status, &answer["reason"]), (200, &json!("github 2 9")));
    let (status, _) =
        world.json("POST", "/v1/sources/github/check", json!({"method": "POST"})).await;
    assert_eq!(status, 400);
}

/// Looking for what a source lacks may read files, so that of one source reads those of no other.
#[tokio::test]
async fn one_source_is_shown_without_looking_at_what_the_others_lack() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asking = asked.clone();
    let world = AdminWorld::with_adapters(MemoryLog::starting_at(1), |adapters| {
        adapters.why_unusable = Arc::new(move |source| {
            asking.lock().expect("a list").push(source.name.clone());
            (source.name == "shop").then(|| "its key is missing".to_owned())
        });
    });
    world.json("POST", "/v1/sources", json!({"name": "shop", "verify": "github"})).await;

    let (_, shown) = world.json("GET", "/v1/sources/shop", Value::Null).await;
    assert_eq!(shown["unusable"], json!("its key is missing"), "{shown}");
    assert_eq!(std::mem::take(&mut *asked.lock().expect("a list")), ["shop"]);

    let (_, listed) = world.text("GET", "/v1/sources", "").await;
    assert_eq!(listed.matches("its key is missing").count(), 1, "{listed}");
    assert_eq!(asked.lock().expect("a list").len(), 2);
}

/// The name of a secret stands in the template, unless that is older than this rule.
#[tokio::test]
async fn a_secret_with_a_computed_name_is_refused_and_one_that_is_there_goes_on_with_a_warning() {
    let world = AdminWorld::with_adapters(MemoryLog::starting_at(1), |adapters| {
        adapters.computed_secret = Arc::new(|endpoint| {
            let path = endpoint.template.path.as_deref()?;
            path.contains("secret(").then(|| "--path: write the name".to_owned())
        });
    });
    let path = "/{{ secret(body.name) }}";
    let new = json!({"name": "new", "url": "http://a/", "path": path});
    let (status, refused) = world.json("POST", "/v1/endpoints", new).await;
    assert_eq!((status, &refused["detail"]), (400, &json!("--path: write the name")));

    // One of an older version.
    {
        let mut script = world.script();
        let mut stored = Endpoint::clone(&script.endpoints[0]);
        stored.template.path = Some(path.to_owned());
        script.endpoints[0] = Arc::new(stored);
    }
    let (_, shown) = world.json("GET", "/v1/endpoints/app", Value::Null).await;
    assert_eq!(shown["warnings"], json!(["--path: write the name"]), "{shown}");
    let (status, changed) =
        world.json("PATCH", "/v1/endpoints/app", json!({"timeout": "7s"})).await;
    assert_eq!((status, &changed["timeout"]), (200, &json!("7s")), "{changed}");
    let other = json!({"path": "/x{{ secret(body.name) }}"});
    assert_eq!(world.json("PATCH", "/v1/endpoints/app", other).await.0, 400);
}

/// What is made of an endpoint's settings is its owner's, also where it fails.
#[tokio::test]
async fn a_member_is_not_shown_why_settings_make_no_request() {
    let world = AdminWorld::with_adapters(MemoryLog::starting_at(1), |adapters| {
        adapters.test_endpoint = Some(Arc::new(|test| {
            let shown = EndpointTestView {
                outcome: Some("refused".to_owned()),
                error: Some("s3cret is no path".to_owned()),
                method: (!test.dry_run).then(|| "POST".to_owned()),
                ..EndpointTestView::default()
            };
            Box::pin(async move { Ok(shown) })
        }));
    });
    let of_member = async |body: &str| {
        let (mut stream, _) = world.connect_as(1000);
        let request = format!(
            "POST /v1/endpoints/app/test HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    };
    let answer = of_member("{\"dry_run\":true}").await;
    assert!(answer.contains("tells root") && !answer.contains("s3cret"), "{answer}");
    // Why an attempt failed is what deliveries show, too.
    let answer = of_member("{}").await;
    assert!(answer.contains("s3cret is no path"), "{answer}");

    let (_, shown) = world.json("POST", "/v1/endpoints/app/test", json!({"dry_run": true})).await;
    assert_eq!(shown["error"], "s3cret is no path");
}

#[tokio::test]
async fn a_pull_endpoint_is_given_no_secret() {
    let world = AdminWorld::new();
    for given in [
        json!({"secret": "whsec_eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg="}),
        json!({"generate_secret": true}),
    ] {
        let mut body = given.clone();
        (body["name"], body["url"]) = (json!("later"), json!("pull:"));
        let (status, refused) = world.json("POST", "/v1/endpoints", body).await;
        assert_eq!(status, 400, "{refused}");
        assert!(refused["detail"].to_string().contains("does not sign"), "{refused}");
    }

    let body = json!({"name": "later", "url": "pull:"});
    assert_eq!(world.json("POST", "/v1/endpoints", body).await.0, 201);
    for (method, path, body) in [
        ("POST", "/v1/endpoints/later/rotate-secret", json!({})),
        ("PATCH", "/v1/endpoints/later", json!({"generate_secret": true})),
    ] {
        let (status, refused) = world.json(method, path, body).await;
        assert_eq!(status, 400, "{path}: {refused}");
    }
    assert_eq!(world.json("PATCH", "/v1/endpoints/later", json!({"max_age": "1d"})).await.0, 200);
}

#[tokio::test]
async fn names_that_nothing_has_are_refused_with_the_one_that_was_meant() {
    let world = AdminWorld::new();
    let body = json!({"name": "x", "url": "http://a/", "from": ["GitHob"]});
    let (status, refused) = world.json("POST", "/v1/endpoints", body).await;
    assert_eq!(status, 404, "{refused}");
    assert!(refused["detail"].to_string().contains("did you mean 'github'"), "{refused}");
    let (status, refused) =
        world.json("PATCH", "/v1/endpoints/app", json!({"from": ["gitub"]})).await;
    assert!(status == 404 && refused["detail"].to_string().contains("'github'"), "{refused}");

    let (status, refused) = world.json("GET", "/v1/export?set=nope", Value::Null).await;
    assert_eq!(status, 404, "{refused}");
    assert!(refused["detail"].to_string().contains("belongs to the set 'nope'"), "{refused}");
    assert_eq!(world.json("GET", "/v1/export", Value::Null).await.0, 200);
}
