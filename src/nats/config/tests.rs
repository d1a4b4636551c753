//! Reading the configuration.

use std::path::Path;

use super::{NatsConfig, all_keys};

const LEAST: &str = "[[out]]\nendpoint = \"app\"\nstream = \"HOOKS\"\n";

fn refused(text: &str) -> String {
    NatsConfig::parse(text, Path::new("n.toml")).expect_err(text).to_string()
}

#[test]
fn an_endpoint_and_a_stream_are_enough() {
    let config = NatsConfig::parse(LEAST, Path::new("n.toml")).expect("valid");
    assert_eq!(config.out[0].subject, "hooks.{box}.{source}.{type}");
    assert!(!config.box_name().is_empty());
}

#[test]
fn what_is_wrong_is_said_with_file_line_and_what_to_write() {
    for (more, part) in [
        ("max_in_fligth = 3\n", "n.toml:4: unknown field `max_in_fligth`: did you mean"),
        ("consumer = \"x\"\n", "n.toml:4: unknown field `consumer` here: it belongs into [[in]]"),
        ("servers = []\n", "n.toml:4: unknown field `servers` here: it belongs into [nats]"),
        ("subject = \"a.{typ}\"\n", "n.toml:4: subject: 'a.{typ}' has {typ} in it: did you mean"),
        ("max_in_flight = 0\n", "n.toml:4: max_in_flight: is 0, and has to be between 1 and"),
        ("lease = \"5x\"\n", "n.toml:4: lease: "),
        ("lease = \"1s\"\n", "n.toml:4: lease: is 1s, and has to be between 2s and 12h"),
        ("max_in_flight = \"x\"\n", "n.toml:4: max_in_flight: must be a whole number"),
        ("[out.create]\nreplicas = 9\n", "n.toml:5: replicas: a stream has 1 to 5"),
        ("[[out]]\nendpoint = \"b\"\nstream = \"B\"\nlease = \"1s\"\n", "n.toml:7: lease: "),
        ("[[out]]\nendpoint = \"b\"\n", "n.toml:4: stream: is missing"),
        ("[[out]]\nendpoint = \"app\"\nstream = \"B\"\n", "n.toml:5: endpoint: two [[out]] name"),
        ("[[in]]\npart = \"4/3\"\n", "'4/3' is no part: write 1/3 for the first"),
        ("[nats]\nservers = [\"http://x\"]\n", "n.toml:5: servers: 'http://x' is not a server"),
        ("[nats]\nservers = [\"nats://a:b@x\"]\n", "passwords do not belong into this file"),
        ("[nats]\ntls_cert = \"a\"\n", "tls_cert and tls_key belong together"),
        ("[nats]\nnkey = \"/nowhere\"\n", "n.toml:5: nkey: cannot read /nowhere"),
        ("[nats]\ntls_ca = \"/etc/ssl/certs\"\n", "n.toml:5: tls_ca: cannot read /etc/ssl/certs"),
        ("[nats]\nnkey = \"/dev/null\"\n", "nkey: /dev/null is not the seed of a user's nkey"),
        ("[nats]\ncredentials = \"/dev/null\"\n", "credentials: /dev/null is not a .creds file"),
        ("[nats]\nuser = \"a\"\npassword = \"/dev/null\"\n", "password: /dev/null is not"),
        ("[nats]\nmonitoring = \"x\"\n", "n.toml:5: monitoring: 'x' is not an address"),
        (
            "[[in]]\nstream = \"a\"\nconsumer = \"b.c\"\nsource = \"s\"\n",
            "consumer: 'b.c' is no name for it",
        ),
        (
            "[[in]]\nstream = \"a\"\nconsumer = \"b\"\nsource = \"s\"\nvia = \"ingress\"\n",
            "n.toml:8: via: \"ingress\" needs to know the listener",
        ),
        (
            "[[in]]\nstream = \"a\"\nconsumer = \"b\"\nsource = \"s\"\n\
             [in.create]\nfilter = [\"a.>.b\"]\n",
            "n.toml:9: filter: 'a.>.b' is not a subject",
        ),
        (
            "[[in]]\nstream = \"a\"\nconsumer = \"b\"\nsource = \"s\"\n\
             [[in]]\nstream = \"a\"\nconsumer = \"b\"\nsource = \"s\"\n",
            "n.toml:10: consumer: two [[in]] name b of a",
        ),
    ] {
        let said = refused(&format!("{LEAST}{more}"));
        assert!(said.contains(part), "{more}: {said}");
    }

    assert!(refused("").contains("what should be published, or taken?"));
}

/// What was meant as a secret is in no message.
#[test]
fn a_password_in_the_wrong_place_is_not_repeated() {
    for more in [
        "servers = [\"nats://box:hunter2@x\"]",
        "servers = [\"http://box:hunter2@x\"]",
        "monitoring = \"http://box:hunter2@x:8222\"",
    ] {
        let said = refused(&format!("{LEAST}[nats]\n{more}\n"));
        assert!(said.contains("password") && !said.contains("hunter2"), "{more}: {said}");
    }
}

/// A server that does not ask for TLS would be spoken to in the clear.
#[test]
fn certificates_are_given_only_where_tls_is_demanded() {
    let ca = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(ca.path(), "-----BEGIN CERTIFICATE-----\n").expect("written");
    let with = |more: &str| {
        let text = format!("{LEAST}[nats]\ntls_ca = {:?}\n{more}\n", ca.path());
        NatsConfig::parse(&text, Path::new("n.toml")).map_err(|error| error.to_string())
    };
    for more in ["", "servers = [\"tls://a:1\", \"nats://b:1\"]"] {
        let said = with(more).expect_err(more);
        assert!(said.contains("n.toml:5: tls_ca: needs tls = true"), "{more}: {said}");
    }
    for more in ["tls = true", "servers = [\"tls://a:1\"]"] {
        assert!(with(more).is_ok(), "{more}: {:?}", with(more));
    }
}

/// `key = value`, and the name of a section.
fn keys(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line).trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        {
            let dot = if section.is_empty() { "" } else { "." };
            found.push(format!("{section}{dot}{key}"));
        }
    }
    found.sort();
    found
}

#[test]
fn the_example_names_every_key_once_and_is_valid() {
    let text = include_str!("../../../packaging/hookbox-nats.toml");
    let known = all_keys();
    let mut wanted = Vec::new();
    flatten("", &known, &mut wanted);
    wanted.sort();
    assert_eq!(keys(text), wanted);

    NatsConfig::parse(text, Path::new("packaging/hookbox-nats.toml")).expect("valid");
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest,
            _ => line,
        })
        .collect();
    // Files that it names are not there; all else has to hold.
    let named = ["tls_", "credentials", "nkey", "user", "password"];
    let is_file = |line: &&&str| !named.iter().any(|start| line.starts_with(start));
    let uncommented: Vec<&str> = uncommented.iter().filter(is_file).copied().collect();
    NatsConfig::parse(&uncommented.join("\n"), Path::new("x")).expect("its examples are valid");
}

fn flatten(above: &str, value: &serde_json::Value, found: &mut Vec<String>) {
    let dot = if above.is_empty() { "" } else { "." };
    match value {
        serde_json::Value::Object(all) => {
            for (key, value) in all {
                flatten(&format!("{above}{dot}{key}"), value, found);
            }
        }
        serde_json::Value::Array(several)
            if !several.is_empty() && several.iter().all(serde_json::Value::is_object) =>
        {
            for value in several {
                flatten(above, value, found);
            }
        }
        _ => found.push(above.to_owned()),
    }
}
