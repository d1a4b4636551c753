use std::path::Path;

use super::{Bytes, Config, Millis};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("hookbox.toml")).map_err(|error| error.to_string())
}

#[test]
fn a_pace_is_a_rate() {
    let paced = parse("[outbound]\ncatch_up_rate = \"50/s\"\n").expect("a rate");
    assert_eq!(paced.outbound.catch_up_rate.map(|paced| paced.0.count), Some(50));
    let wrong = parse("[outbound]\ncatch_up_rate = \"soon\"\n").expect_err("no rate");
    assert!(wrong.contains("hookbox.toml:2") && wrong.contains("10/s"), "{wrong}");
}

#[test]
fn an_empty_file_gives_the_defaults_and_keys_override_them() {
    assert_eq!(parse(""), Ok(Config::default()));
    let config =
        parse("data = \"/d\"\n[log]\nsegment_size = \"8MiB\"\n[retention]\ndead = \"2d\"\n")
            .expect("valid");
    assert_eq!(config.log.segment_size, Bytes(8 << 20));
    assert_eq!(config.retention.dead, Millis(2 * 86_400_000));
    assert_eq!(config.socket(), Path::new("/d/admin.sock"));
}

#[test]
fn errors_name_file_line_and_fix() {
    let unknown = parse("data = \"/d\"\nlisten_on = 3\n").expect_err("unknown key");
    assert!(unknown.starts_with("hookbox.toml:2: unknown field `listen_on`"), "{unknown}");
    let range = parse("\n[limits]\nconnections = 0\n").expect_err("out of range");
    assert!(range.starts_with("hookbox.toml:3: connections: 0"), "{range}");

    let listen = parse("listen = [\"localhost\"]").expect_err("not an address");
    assert!(listen.contains("127.0.0.1:8420"), "{listen}");
    assert!(
        parse("listen = [\"tls://127.0.0.1:1\"]").expect_err("no certificate").contains("[tls]")
    );
    assert!(
        parse("listen = [\"proxy://127.0.0.1:1\"]")
            .expect_err("no proxies")
            .contains("trusted_proxies")
    );
    assert!(
        parse("listen = [\"ftp://127.0.0.1:1\"]").expect_err("no such scheme").contains("tls://")
    );
    assert!(parse("[tls]\ncert = \"/c\"").expect_err("half").starts_with("hookbox.toml:2: cert"));
    let proxies = parse("[ingress]\ntrusted_proxies = [\"everybody\"]").expect_err("not a network");
    assert!(proxies.starts_with("hookbox.toml:2: trusted_proxies: 'everybody'"), "{proxies}");

    let quota = parse("[log]\nquota = \"1MiB\"\n").expect_err("too small");
    assert!(quota.starts_with("hookbox.toml:2: quota: 1048576 bytes is out of range"), "{quota}");
    let reserve =
        parse("[log]\nquota = \"16MiB\"\nreserve = \"9MiB\"\n").expect_err("too much of it");
    assert!(reserve.starts_with("hookbox.toml:3: reserve: "), "{reserve}");
    assert!(parse("[retention]\ndelivered_events = 0\n").expect_err("none").contains("use 1 to"));
    assert!(parse("[limits]\nhead_timeout = \"soon\"").expect_err("no duration").contains("15s"));

    let nul = parse("data = \"\\u0000\"\n").expect_err("no path");
    assert!(nul.starts_with("hookbox.toml:1: data: has a NUL"), "{nul}");

    let allow = parse("[exec]\nallow = [\"mail\"]").expect_err("no path");
    assert!(allow.starts_with("hookbox.toml:2: allow: 'mail'"), "{allow}");
    assert!(
        parse("[exec]\nallow = [\"/a/../b\"]").is_err()
            && parse("[exec]\nallow = [\"/a/*x\"]").is_err()
    );
    assert!(parse("[exec]\nallow = [\"/a/*\", \"/b/c\"]").is_ok());
    assert!(parse("data = ").is_err() && parse("\u{0}").is_err());
}
