use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::layers::{EffectiveConfig, FileUse, SYSTEM_FILE, ValueOrigin};
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
    assert_eq!(unknown, "hookbox.toml:2: unknown field `listen_on`: did you mean `listen`?");
    let section = parse("[lgo]\nquota = \"1GiB\"\n").expect_err("unknown section");
    assert!(section.contains(":1: unknown field `lgo`: did you mean `log`?"), "{section}");
    let place = parse("quota = \"1GiB\"\n").expect_err("in the wrong place");
    assert!(place.ends_with("unknown field `quota` here: it belongs into [log]"), "{place}");
    let none = parse("zzzz = 1\n").expect_err("nothing like it");
    assert!(none.contains("the fields here are `data`, `listen`"), "{none}");
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
    for (taken, says) in [
        ("\"127.0.0.1:1\", \"127.0.0.1:1\"", "is given twice"),
        ("\"0.0.0.0:1\", \"127.0.0.1:1\"", "are the same port"),
        ("\"[::1]:1\", \"[::]:1\"", "are the same port"),
    ] {
        let why = parse(&format!("listen = [{taken}]")).expect_err("taken");
        assert!(why.contains(says), "{why}");
    }
    parse("listen = [\"0.0.0.0:1\", \"127.0.0.1:2\", \"[::]:1\"]").expect("each has its own");
    let shown = parse("[outbound]\nproxy = \"http://***@p.example:1\"\n").expect_err("struck out");
    assert!(shown.starts_with("hookbox.toml:2: outbound.proxy: its user and password"), "{shown}");
    assert!(
        parse("listen = [\"ftp://127.0.0.1:1\"]").expect_err("no such scheme").contains("tls://")
    );
    assert!(parse("[tls]\ncert = \"/c\"").expect_err("half").starts_with("hookbox.toml:2: cert"));
    let proxies = parse("[ingress]\ntrusted_proxies = [\"everybody\"]").expect_err("not a network");
    assert!(proxies.starts_with("hookbox.toml:2: trusted_proxies: 'everybody'"), "{proxies}");

    let quota = parse("[log]\nquota = \"1MiB\"\n").expect_err("too small");
    assert!(
        quota.starts_with("hookbox.toml:2: quota: 1MiB is out of range: use 16MiB to 1024TiB"),
        "{quota}"
    );
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

#[test]
fn an_address_is_given_once_and_a_socket_has_a_short_path() {
    let twice =
        parse("listen = [\"127.0.0.1:1\", \"[::1]:1\", \"127.0.0.1:1\"]").expect_err("equal");
    assert!(twice.starts_with("hookbox.toml:1: listen: '127.0.0.1:1' is given twice"), "{twice}");
    let both = parse("listen = [\"unix:/d/admin.sock\"]\ndata = \"/d\"").expect_err("equal");
    assert!(both.contains("is the admin socket"), "{both}");
    assert!(parse("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]").is_ok(), "two free ports");

    let long = "x".repeat(100);
    let socket = parse(&format!("admin_socket = \"/{long}/a.sock\"\n")).expect_err("too long");
    assert!(
        socket.starts_with("hookbox.toml:1: admin_socket: ")
            && socket.contains("at most 107 bytes"),
        "{socket}"
    );
    let deep = parse(&format!("data = \"/{long}\"\n")).expect_err("its default is too long");
    assert!(deep.contains("set admin_socket"), "{deep}");
    assert!(
        parse(&format!("data = \"/{long}\"\nadmin_socket = \"/{}\"\n", "x".repeat(106))).is_ok()
    );
    let ingress = parse(&format!("listen = [\"unix:/{long}/in.sock\"]\n")).expect_err("too long");
    assert!(ingress.contains("listen: ") && ingress.contains("107"), "{ingress}");
}

#[test]
fn a_slip_in_a_key_is_recognized_in_every_table() {
    let said = |text: &str| parse(text).expect_err("no such key");
    let all = serde_json::json!(Config::default());
    for (name, value) in all.as_object().expect("a table") {
        let meant = |key: &str| format!("unknown field `{key}x`: did you mean `{key}`?");
        assert_eq!(said(&format!("{name}x = 1\n")), format!("hookbox.toml:1: {}", meant(name)));
        for key in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
            let inside = said(&format!("[{name}]\n{key}x = 1\n"));
            assert_eq!(inside, format!("hookbox.toml:2: {}", meant(key)));
        }
    }
}

#[test]
fn figures_are_served_at_an_address_of_their_own() {
    let both = |listen: &str, metrics: &str| {
        parse(&format!("listen = [\"{listen}\"]\n[metrics]\nlisten = \"{metrics}\"\n"))
    };
    for (listen, metrics) in [
        ("127.0.0.1:8420", "127.0.0.1:8420"),
        ("0.0.0.0:8420", "127.0.0.1:8420"),
        ("127.0.0.1:8420", "[::]:8420"),
    ] {
        let same = both(listen, metrics).expect_err("the same");
        assert!(same.starts_with("hookbox.toml:3: metrics.listen: "), "{same}");
    }
    for (listen, metrics) in [
        ("127.0.0.1:8420", "127.0.0.1:9464"),
        ("127.0.0.1:8420", "127.0.0.2:8420"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("unix:/run/in.sock", "127.0.0.1:8420"),
    ] {
        assert!(both(listen, metrics).is_ok(), "{listen} and {metrics}");
    }
}

#[test]
fn values_of_a_wrong_form_are_named_with_what_to_write() {
    for (text, what) in [
        ("listen = \"127.0.0.1:1\"", ":1: listen: must be a list: write [\"127.0.0.1:1\"]"),
        ("[admin]\nmode = 660", ":2: mode: must be a text in quotes: write \"660\""),
        ("log = 3", ":1: log: must be a table with keys of its own"),
        (
            "[[log]]\nquota = \"1GiB\"",
            ":1: log: must be a table: write [log] once, and not [[log]]",
        ),
        (
            "[metrics]\nlisten = \"foo\"",
            ":2: metrics.listen: 'foo' is not an address: write it as 127.0.0.1:9464",
        ),
        (
            "[log]\n\nquota = -1",
            ":3: quota: must be a size such as \"64MiB\", or a number of bytes",
        ),
        ("[limits]\nconnections = \"9\"", ":2: connections: must be a whole number from 0"),
        ("[logging]\nformat = \"xml\"", ":2: format: 'xml' is none of text, json"),
        ("[log]\nsegment_age = true", ":2: segment_age: must be a duration such as \"15s\""),
        ("[log]\nsegment_age = \"x\"", ":2: segment_age: 'x' is not a duration"),
        ("[log]\nsegment_age = 0.5", ":2: segment_age: 500ms is out of range: use 1s to 365d"),
    ] {
        let refused = parse(text).expect_err(text);
        assert!(refused.contains(what), "{text}: {refused}");
    }

    let seconds = parse("[log]\nsegment_age = 60\n[limits]\nhead_timeout = 1.5").expect("numbers");
    assert_eq!(seconds.log.segment_age, Millis(60_000));
    assert_eq!(seconds.limits.head_timeout, Millis(1500));
    let rate = parse("[outbound]\ncatch_up_rate = 50").expect("by the second");
    assert_eq!(rate.outbound.catch_up_rate.map(|paced| paced.0.count), Some(50));
}

#[test]
fn the_socket_is_for_the_group_or_for_its_owner() {
    let mode = |text: &str| parse(&format!("[admin]\nmode = \"{text}\"\n"));
    assert_eq!(mode("0600").map(|config| config.admin.mode.0), Ok(0o600));
    assert_eq!(mode("660").map(|config| config.admin.mode.0), Ok(0o660));
    for wrong in ["0666", "0060", "0777", "rw", "", "0o600", "+660", "9999"] {
        let what = mode(wrong).expect_err("no mode of a socket");
        assert!(what.starts_with("hookbox.toml:2: ") && what.contains("0660"), "{what}");
    }
}

/// A system's root with these files.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    root
}

fn system(files: &[(&str, &str)]) -> Result<EffectiveConfig, String> {
    let root = root(files);
    let read = EffectiveConfig::read_below(Path::new(SYSTEM_FILE), root.path());
    let below = format!("{}/", root.path().display());
    read.map_err(|error| error.to_string().replace(&below, "/"))
}

#[test]
fn the_system_needs_no_file_and_has_its_own_places() {
    let empty = system(&[]).expect("valid");
    assert_eq!(empty.config.data, Path::new("/var/lib/hookbox"));
    assert_eq!(empty.config.socket(), Path::new("/run/hookbox/admin.sock"));
    assert!(matches!(empty.files.as_slice(), [(_, FileUse::Missing)]), "{:?}", empty.files);
}

#[test]
fn drop_ins_override_the_file_and_each_other_key_by_key() {
    let read = system(&[
        ("etc/hookbox/hookbox.toml", "data = \"/srv\"\n[log]\nquota = \"1GiB\"\n"),
        ("usr/lib/hookbox/conf.d/90-box.toml", "[log]\nquota = \"2GiB\"\nreserve = \"64MiB\"\n"),
        ("run/hookbox/conf.d/10-now.toml", "[logging]\nlevel = \"warn\"\n"),
        ("etc/hookbox/conf.d/10-a.toml", "[log]\nquota = \"4GiB\"\n"),
        ("etc/hookbox/conf.d/20-b.toml", "\n[log]\nquota = \"5GiB\"\n"),
        ("etc/hookbox/conf.d/.hidden.toml", "nonsense"),
        ("etc/hookbox/conf.d/30-c.toml.dpkg-old", "nonsense"),
    ])
    .expect("valid");

    assert_eq!(read.config.data, Path::new("/srv"));
    assert_eq!(read.config.log.quota, Some(Bytes(5 << 30)), "the later file, folder by folder");
    assert_eq!(read.config.log.reserve, Some(Bytes(64 << 20)), "other keys stay");
    let Some(ValueOrigin::File { file, line }) = read.origin("quota") else { panic!("no origin") };
    assert!(file.ends_with("etc/hookbox/conf.d/20-b.toml") && *line == 3, "{}", file.display());

    let text = read.text();
    let has =
        |words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["quota = \"5GiB\"", "20-b.toml:3"]), "{text}");
    assert!(has(&["reserve = \"64MiB\"", "90-box.toml:3"]), "{text}");
    assert!(has(&["segment_size = \"64MiB\"", "# default"]), "{text}");
    assert!(has(&["# dead_events is not set"]), "{text}");
    assert_eq!(parse(&text), Ok(read.config.clone()), "what is shown is a configuration");
}

#[test]
fn a_drop_in_whose_name_is_no_text_is_read_like_any_other() {
    use std::os::unix::ffi::OsStrExt;

    let root = root(&[("etc/hookbox/conf.d/10-a.toml", "[log]\nquota = \"4GiB\"\n")]);
    let folder = root.path().join("etc/hookbox/conf.d");
    let odd = folder.join(std::ffi::OsStr::from_bytes(b"20-\xff.toml"));
    fs::write(&odd, "[log]\nquota = \"5GiB\"\n").expect("written");
    let read = || EffectiveConfig::read_below(Path::new(SYSTEM_FILE), root.path());
    let effective = read().expect("valid");
    assert_eq!(effective.config.log.quota, Some(Bytes(5 << 30)));

    fs::write(&odd, "quotta").expect("written");
    let why = read().expect_err("broken").to_string();
    assert!(why.contains("20-\u{fffd}.toml"), "{why}");
}

#[test]
fn a_drop_in_replaces_one_of_its_name_as_a_whole() {
    let read = system(&[
        (
            "usr/lib/hookbox/conf.d/50-box.toml",
            "listen = [\"127.0.0.1:1\"]\n[log]\nquota = \"2GiB\"\n",
        ),
        ("etc/hookbox/conf.d/50-box.toml", "[log]\nquota = \"4GiB\"\n"),
    ])
    .expect("valid");
    assert_eq!(read.config.listen, Config::default().listen);
    let (_, FileUse::ReplacedBy(by)) = &read.files[1] else { panic!("{:?}", read.files) };
    assert!(by.ends_with("etc/hookbox/conf.d/50-box.toml"), "{}", by.display());

    let masked = system(&[
        ("usr/lib/hookbox/conf.d/50-box.toml", "this is not read at all"),
        ("run/hookbox/conf.d/50-box.toml", ""),
    ]);
    assert_eq!(masked.expect("valid").config.log.quota, None);
}

#[test]
fn a_drop_in_that_is_masked_is_shown_so() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("etc/hookbox/conf.d");
    std::fs::create_dir_all(&folder).expect("made");
    std::os::unix::fs::symlink("/dev/null", folder.join("50-x.toml")).expect("a link");

    let read = EffectiveConfig::read_below(Path::new(SYSTEM_FILE), root.path()).expect("valid");
    assert!(matches!(read.files[1].1, FileUse::Masked), "{:?}", read.files);
    assert!(read.text().contains("50-x.toml: left out, a link to /dev/null"), "{}", read.text());
}

#[test]
fn a_broken_drop_in_is_named_with_its_line() {
    let drop_in = |text| system(&[("etc/hookbox/conf.d/50-x.toml", text)]).expect_err("broken");
    assert!(drop_in("\n[log]\nquotta = 1\n").starts_with(
        "/etc/hookbox/conf.d/50-x.toml:3: unknown field `quotta`: did you mean `quota`?"
    ));
    assert!(
        drop_in("[log]\nquota = \"1MiB\"\n")
            .starts_with("/etc/hookbox/conf.d/50-x.toml:2: quota: ")
    );
    assert!(drop_in("data = ").starts_with("/etc/hookbox/conf.d/50-x.toml:1: "));

    // What is wrong only with both is reported for the later one.
    let both = system(&[
        ("etc/hookbox/hookbox.toml", "[log]\nquota = \"16MiB\"\n"),
        ("run/hookbox/conf.d/a.toml", "# more than half\n[log]\nreserve = \"9MiB\"\n"),
    ])
    .expect_err("too much of it");
    assert!(both.starts_with("/run/hookbox/conf.d/a.toml:3: reserve: "), "{both}");
}

#[test]
fn drop_ins_count_only_where_nobody_else_can_have_put_them() {
    let root = root(&[("run/hookbox/conf.d/50-x.toml", "[log]\nquota = \"1GiB\"\n")]);
    let read = || {
        let read = EffectiveConfig::read_below(Path::new(SYSTEM_FILE), root.path());
        read.map(|read| read.config.log.quota).map_err(|error| error.to_string())
    };
    let (folder, file) =
        (root.path().join("run/hookbox/conf.d"), root.path().join("run/hookbox/conf.d/50-x.toml"));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its own");
    };
    let usual = |path: &Path| mode(path, if path == folder { 0o755 } else { 0o644 });
    usual(&folder);
    usual(&file);
    assert_eq!(read(), Ok(Some(Bytes(1 << 30))));

    for (path, open) in [(&folder, 0o777), (&folder, 0o1777), (&folder, 0o775), (&file, 0o664)] {
        mode(path, open);
        let refused = read().expect_err("others can change it");
        let place = format!("{}: cannot read it: it can be changed by others", path.display());
        assert!(refused.starts_with(&place), "{refused}");
        usual(path);
    }
    if rustix::process::geteuid().is_root() {
        for path in [&folder, &file] {
            std::os::unix::fs::chown(path, Some(12345), None).expect("given away");
            assert!(read().expect_err("another's").contains("belongs to user 12345"));
            std::os::unix::fs::chown(path, Some(0), None).expect("taken back");
        }
    }

    // Only files are read: a pipe would keep the reader waiting.
    fs::remove_file(&file).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&file).status().expect("mkfifo");
    assert!(made.success());
    usual(&file);
    assert!(read().expect_err("no file").contains("it is not a file"));
    fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink("/dev/null", &file).expect("a link");
    assert_eq!(read(), Ok(None), "left out");
    fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &file).expect("a link");
    assert!(read().expect_err("no file").contains("it is not a file"));
}

#[test]
fn another_file_is_read_alone_and_has_to_be_there() {
    let root =
        root(&[("etc/hookbox/conf.d/50-x.toml", "nonsense"), ("own.toml", "data = \"/d\"\n")]);
    let own = EffectiveConfig::read_below(&root.path().join("own.toml"), root.path());
    assert_eq!(own.expect("valid").config.data, Path::new("/d"));
    let none = EffectiveConfig::read_below(&root.path().join("none.toml"), root.path());
    assert!(none.is_err_and(|error| error.to_string().contains("cannot read it")));
}

#[test]
fn passwords_are_not_shown() {
    let config = parse("[outbound]\nproxy = \"http://me:hunter2@proxy.example.com:3128\"\n");
    let effective = EffectiveConfig { config: config.expect("valid"), ..Default::default() };
    let text = effective.text();
    assert!(
        text.contains("http://***@proxy.example.com:3128") && !text.contains("hunter2"),
        "{text}"
    );
}
