//! As a part of a system: configuration in drop-ins, completion in a shell.

use std::fs;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use super::open_source;
use super::support::ctl::{Done, built, finish, program};
use super::support::{Daemon, Home, SOON, until};

const SYSTEM: [&str; 2] = ["--config", "/etc/hookbox/hookbox.toml"];

/// A home whose daemon takes the system's configuration, below the home.
fn with_system_configuration() -> Home {
    let mut home = Home::with(&SYSTEM);
    home.environment.push(("HOOKBOX_ROOT".to_owned(), home.path().display().to_string()));
    home.args.extend([
        "--admin-socket".to_owned(),
        home.data().join("admin.sock").display().to_string(),
    ]);
    home
}

fn drop_in(home: &Home, folder: &str, name: &str, text: &str) {
    let folder = home.path().join(folder).join("hookbox/conf.d");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), text).expect("written");
}

/// Has the daemon read its configuration again; gives what it says of that.
fn reload(daemon: &Daemon) -> String {
    let before = daemon.log_text().len();
    daemon.signal(Signal::HUP);
    until("what became of it", SOON, || {
        let log = daemon.log_text();
        log[before..].contains("reloaded").then(|| log[before..].to_owned())
    })
}

#[test]
fn a_broken_drop_in_keeps_the_configuration_and_fails_the_next_start() {
    let home = with_system_configuration();
    drop_in(&home, "usr/lib", "50-box.toml", "[logging]\nlevel = \"info\"\n");
    let daemon = home.start();
    open_source(&daemon, "in");

    drop_in(&home, "etc", "90-mine.toml", "[logging]\nlevel = \"debug\"\n\n[exec]\nalow = []\n");
    let refused = reload(&daemon);
    assert!(refused.contains("not reloaded"), "{refused}");
    assert!(
        refused.contains("90-mine.toml:5: unknown field `alow`: did you mean `allow`?"),
        "{refused}"
    );
    daemon.accept("/in/in", &[], b"still served");

    drop_in(&home, "etc", "90-mine.toml", "[logging]\nlevel = \"debug\"\n");
    assert!(reload(&daemon).contains("was reloaded"));
    assert_eq!(daemon.terminate().code(), Some(0));

    drop_in(&home, "run", "60-now.toml", "[log\n");
    let starting = home.spawn().ready(SOON).expect_err("it does not start");
    assert!(
        starting.contains("exit status: 78") && starting.contains("60-now.toml:1"),
        "{starting}"
    );
}

fn check(home: &Home, more: &[&str]) -> Done {
    let mut command = program(&built("hookboxd"));
    command.args(SYSTEM).args(more).current_dir(home.path());
    command.env("HOOKBOX_ROOT", home.path()).env("HOOKBOX_DATA", "/srv/by-variable");
    finish(command, None)
}

#[test]
fn the_effective_configuration_is_shown_with_where_it_comes_from() {
    let home = Home::new();
    drop_in(&home, "usr/lib", "10-box.toml", "[log]\nquota = \"1GiB\"\n");
    drop_in(&home, "etc", "10-box.toml", "\n[log]\nquota = \"2GiB\"\n");
    let shown = check(&home, &["--listen", "127.0.0.1:0", "--check", "--print"]).expect(0).stdout;

    let line = |key: &str| {
        let found = shown.lines().find(|line| line.starts_with(key));
        found.unwrap_or_else(|| panic!("{key} is not there:\n{shown}")).to_owned()
    };
    assert!(line("quota = \"2GiB\"").ends_with("etc/hookbox/conf.d/10-box.toml:3"), "{shown}");
    assert!(line("data = \"/srv/by-variable\"").ends_with("# $HOOKBOX_DATA"), "{shown}");
    assert!(line("listen = [\"127.0.0.1:0\"]").ends_with("# --listen"), "{shown}");
    assert!(line("admin_socket = \"/run/hookbox/admin.sock\"").ends_with("# default"), "{shown}");
    assert!(shown.contains("usr/lib/hookbox/conf.d/10-box.toml: replaced by "), "{shown}");

    let alone = check(&home, &["--print"]).expect(64).stderr;
    assert!(alone.contains("--check"), "{alone}");
}

#[test]
fn a_taken_port_and_a_quota_beyond_the_disk_are_notes() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let metrics = metrics.local_addr().expect("its address");
    let text = format!(
        "listen = [\"{address}\"]\n[log]\nquota = \"512TiB\"\n[metrics]\nlisten = \"{metrics}\"\n"
    );
    drop_in(&home, "etc", "10.toml", &text);
    let checked = check(&home, &["--check"]).expect(0);
    for note in [
        format!("10.toml:1: listen: {address} cannot be"),
        "10.toml:3: quota: 512.0 TiB is more".to_owned(),
        format!("10.toml:5: metrics.listen: {metrics} cannot be"),
    ] {
        assert!(checked.stderr.contains(&note), "{note}: {checked:?}");
    }

    // What an option says has no line. An address of another machine, and a folder that is missing.
    let more =
        ["--listen", &address, "--listen", "192.0.2.1:8420", "--listen", "unix:/none/in.sock"];
    let checked = check(&home, &[&more[..], &["--check"]].concat()).expect(0);
    for note in [
        format!("note: listen: {address} cannot"),
        "does not have the address".to_owned(),
        "note: listen: unix:/none/in.sock cannot be made now: the folder /none is".to_owned(),
    ] {
        assert!(checked.stderr.contains(&note), "{note}: {checked:?}");
    }
}

/// What can be wrong only here and now, and what is said of it.
const UNUSABLE: [(&str, &str); 9] = [
    ("[tls]\ncert = \"/none.pem\"\nkey = \"/none.key\"\n", ":2: tls.cert: cannot read /none.pem"),
    ("[tls]\nkey = \"/none.key\"\n", ":2: tls.key: cert and key of [tls] belong together"),
    ("\n[outbound]\nextra_ca = \"/none.pem\"\n", ":3: outbound.extra_ca: /none.pem cannot be"),
    ("[outbound]\nproxy = \"gopher://p\"\n", ":2: outbound.proxy: it must begin with http://"),
    ("[outbound]\nno_proxy = [\"a b\"]\n", ":2: outbound.no_proxy: 'a b' is neither"),
    ("[admin]\ngroup = \"nobody-has-it\"\n", ":2: group: there is no group 'nobody-has-it'"),
    ("[allow_lists]\ndir = \"/none\"\n", ":2: allow_lists.dir: cannot read /none"),
    ("[metrics]\nlisten = \"127.0.0.1:8420\"\n", ":2: metrics.listen: 127.0.0.1:8420 is taken"),
    ("[log]\nquota = \"1MiB\"\n", ":2: quota: 1MiB is out of range"),
];

#[test]
fn what_a_drop_in_names_and_nobody_can_use_is_refused_with_its_line() {
    let home = with_system_configuration();
    drop_in(&home, "etc", "50-mine.toml", "");
    let daemon = home.start();
    open_source(&daemon, "in");
    for (text, why) in UNUSABLE {
        drop_in(&home, "etc", "50-mine.toml", text);
        let why = format!("etc/hookbox/conf.d/50-mine.toml{why}");
        let checked = check(&home, &["--check"]).expect(78).stderr;
        assert!(checked.contains(&why), "{why}: {checked}");
        let refused = reload(&daemon);
        assert!(refused.contains("not reloaded") && refused.contains(&why), "{why}: {refused}");
    }
    daemon.accept("/in/in", &[], b"still served");

    drop_in(&home, "etc", "50-mine.toml", "admin_socket = \"/none/admin.sock\"\n");
    let checked = check(&home, &["--check"]).expect(73).stderr;
    assert!(checked.contains("50-mine.toml:1: admin_socket: the folder /none is"), "{checked}");
    drop_in(&home, "etc", "50-mine.toml", UNUSABLE[2].0);
    let starting = home.spawn().ready(SOON).expect_err("it does not start");
    assert!(starting.contains("50-mine.toml:3: outbound.extra_ca"), "{starting}");

    // What it starts with all the same is in its log: a service manager's check says no notes.
    assert_eq!(daemon.terminate().code(), Some(0));
    drop_in(&home, "etc", "50-mine.toml", "[log]\nquota = \"512TiB\"\n");
    let log = home.start().log_text();
    assert!(log.contains("50-mine.toml:2: quota: 512.0 TiB is more"), "{log}");
}

/// What a shell is offered for the last of these words.
fn offered(socket: &std::path::Path, words: &[&str]) -> Done {
    let mut command = program(&built("hookboxctl"));
    command.env("HOOKBOXCTL_COMPLETE", "bash").env("HOOKBOX_SOCKET", socket);
    command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", (words.len()).to_string());
    command.arg("--").arg("hookboxctl").args(words);
    finish(command, None)
}

/// Of what is offered, what is not an option.
fn arguments(offered: &str) -> Vec<String> {
    offered.lines().filter(|word| !word.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn names_and_ids_are_completed_from_the_daemon() {
    let daemon_home = Home::new();
    let daemon = daemon_home.start();
    open_source(&daemon, "github");
    open_source(&daemon, "shop");
    let event = daemon.accept("/in/shop", &[], b"x");
    let socket = daemon_home.data().join("admin.sock");
    let names = |words: &[&str]| {
        let done = offered(&socket, words).expect(0);
        let mut names: Vec<String> = arguments(&done.stdout);
        names.sort();
        names
    };

    // The daemon may be slow: then nothing is offered, which is not a mistake either.
    until("the names of sources", SOON, || {
        (names(&["source", "show", ""]) == ["github", "shop"]).then_some(())
    });
    until("those that begin so", SOON, || {
        (names(&["source", "show", "gi"]) == ["github"]).then_some(())
    });
    until("the id of the event", SOON, || {
        (names(&["event", "show", "evt"]) == [event.clone()]).then_some(())
    });
    assert!(names(&["sou"]).contains(&"source".to_owned()), "commands need no daemon");
    let options = offered(&socket, &["source", "create", "x", "--ver"]).expect(0).stdout;
    assert!(options.lines().any(|option| option == "--verify"), "{options}");
}

#[test]
fn completion_offers_nothing_when_nobody_answers() {
    let home = Home::new();
    let nobody = offered(&home.path().join("none.sock"), &["source", "show", ""]).expect(0);
    assert_eq!((arguments(&nobody.stdout), nobody.stderr.as_str()), (Vec::new(), ""));

    // Somebody listens and never answers.
    let silent = home.path().join("silent.sock");
    let _listener = UnixListener::bind(&silent).expect("a free path");
    let done = offered(&silent, &["endpoint", "show", ""]).expect(0);
    assert_eq!((arguments(&done.stdout), done.stderr.as_str()), (Vec::new(), ""));
}

#[test]
fn scripts_for_shells_and_manual_pages_need_no_daemon() {
    let home = Home::new();
    let ctl = home.ctl();
    for (shell, words) in [
        ("bash", "complete -o nospace"),
        ("zsh", "#compdef hookboxctl"),
        ("fish", "complete --keep-order --exclusive --command hookboxctl"),
    ] {
        let script = ctl.run(&["completion", shell]).expect(0).stdout;
        assert!(script.contains(words) && script.contains("HOOKBOXCTL_COMPLETE"), "{script}");
    }
    ctl.run(&["completion", "cmd"]).expect(64);

    let folder = home.path().join("man");
    let said = ctl.run(&["man", &folder.display().to_string()]).expect(0).stdout;
    assert!(said.contains("manual pages below"), "{said}");
    let page = fs::read_to_string(folder.join("man8/hookboxd.8")).expect("a page");
    assert!(page.contains("HOOKBOX_DATA"), "the variables are named: {page}");
    let keys = fs::read_to_string(folder.join("man5/hookbox.toml.5")).expect("a page");
    assert!(keys.contains("segment_size") && keys.contains("SS [retention]"), "{keys}");
}

#[test]
fn a_wrong_value_of_a_variable_names_the_variable() {
    let mut home = Home::new();
    home.environment.push(("HOOKBOX_LISTEN".to_owned(), "nowhere".to_owned()));
    home.args.clear();
    let refused = home.run_daemon(&["--check"]).expect(64);
    assert!(refused.stderr.contains("HOOKBOX_LISTEN"), "{}", refused.stderr);
    // Given as an option as well, that one is wrong.
    let refused = home.run_daemon(&["--check", "--listen", "nowhere"]).expect(64);
    assert!(!refused.stderr.contains("HOOKBOX_LISTEN"), "{}", refused.stderr);
}
