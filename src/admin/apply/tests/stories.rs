//! Renames, sets, refusals, secrets: one by one.

use super::super::check_entries;
use super::super::plan::PlanOptions;
use super::world::{PlanWorld, read};
use crate::api::views::ApplyAction;
use crate::model::{TimedSecret, limits};

fn plain() -> PlanOptions {
    PlanOptions::default()
}

fn set(name: &str) -> PlanOptions {
    PlanOptions { set: Some(name.to_owned()), ..plain() }
}

fn pruning(name: &str) -> PlanOptions {
    PlanOptions { prune: true, ..set(name) }
}

fn forced(options: PlanOptions) -> PlanOptions {
    PlanOptions { force: true, ..options }
}

#[track_caller]
fn refused(world: &PlanWorld, text: &str, options: &PlanOptions) -> String {
    world.plan(text, options).map(|_| ()).expect_err("it is refused").join("; ")
}

const APP: &str = "[source.in]\n[endpoint.app]\nurl = 'http://app.example/'\nfrom = ['in']\n";

#[test]
fn a_setting_that_is_left_out_has_its_default_and_the_secret_stays() {
    let mut world = PlanWorld::new();
    let long = format!("{APP}rate = '5/s'\nsecret = 'env:A'\nretry_base = '2s'\n");
    world.apply(&long, &plain()).expect("new");
    assert_eq!(world.endpoint("app").secrets, [TimedSecret::current("env:A")]);

    let plan = world.apply(APP, &plain()).expect("changed");
    let fields: Vec<&str> =
        plan.endpoints[0].fields.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(fields, ["retry_base", "rate"]);
    let app = world.endpoint("app");
    assert_eq!((app.rate, app.retry.base_ms), (None, 1000));
    assert_eq!(app.secrets, [TimedSecret::current("env:A")], "the secret stays");
}

#[test]
fn a_secret_is_a_reference_or_generated_once() {
    let mut world = PlanWorld::new();
    let literal = "[source.in]\nverify = 'github'\nsecret = 'hunter2'\n";
    let why = refused(&world, literal, &plain());
    assert!(why.contains("source.in: 'secret'") && !why.contains("hunter2"), "{why}");

    let generated = "[source.in]\nverify = 'github'\ngenerate_secret = true\n";
    world.apply(generated, &plain()).expect("new");
    assert_eq!(world.source("in").secrets, [TimedSecret::current("whsec_made")]);
    world.change_source("in", |source| source.secrets = vec![TimedSecret::current("kept")]);
    assert!(world.apply(generated, &plain()).expect("there").is_empty());

    let reference = "[source.in]\nverify = 'github'\nsecret = 'cred:a'\n";
    let plan = world.apply(reference, &plain()).expect("replaced");
    assert_eq!(plan.sources[0].fields.len(), 1);
    assert!(plan.sources[0].fields[0].secret, "{plan:?}");

    assert!(plan.sources[0].warnings[0].contains("old secret stays valid for 1d"), "{plan:?}");

    // The same reference leaves a rotation alone.
    world.change_source("in", |source| source.secrets.push(TimedSecret::current("old")));
    assert!(world.apply(reference, &plain()).expect("there").is_empty());
}

#[test]
fn a_reference_that_changes_lets_the_old_secret_overlap() {
    let text = |secret: &str| format!("[source.in]\nverify = 'github'\nsecret = '{secret}'\n");
    let mut world = PlanWorld::new();
    world.now.at = 1_800_000_000_000;
    let ends = world.now.at + limits::ROTATION_MS;
    let old = |secret: &str, expires_at| TimedSecret {
        expires_at: Some(expires_at),
        ..TimedSecret::current(secret)
    };

    world.apply(&text("cred:a"), &plain()).expect("new");
    world.apply(&text("cred:b"), &plain()).expect("rotated");
    let rotated = [TimedSecret::current("cred:b"), old("cred:a", ends)];
    assert_eq!(world.source("in").secrets, rotated);
    assert!(world.apply(&text("cred:b"), &plain()).expect("done before").is_empty());

    // Back again: what was old is the newest, and its end is forgotten.
    world.now.at += 1000;
    world.apply(&text("cred:a"), &plain()).expect("rotated back");
    let back = [TimedSecret::current("cred:a"), old("cred:b", ends + 1000)];
    assert_eq!(world.source("in").secrets, back);

    // What proves something else is of no use.
    let mut other = world.clone();
    let stripe = "[source.in]\nverify = 'stripe'\nsecret = 'cred:s'\n";
    other.apply(stripe, &plain()).expect("another scheme");
    assert_eq!(other.source("in").secrets, [TimedSecret::current("cred:s")]);

    // What has ended is gone, and there are never too many.
    world.now.at += limits::ROTATION_MS + 1;
    for number in 0..limits::SECRETS + 3 {
        world.apply(&text(&format!("cred:c{number}")), &plain()).expect("rotated");
    }
    let secrets = world.source("in").secrets.clone();
    assert_eq!(secrets.len(), limits::SECRETS);
    assert!(secrets.iter().all(|secret| secret.secret.0.starts_with("cred:c")), "{secrets:?}");
}

#[test]
fn a_rename_keeps_the_number_and_is_done_once() {
    let mut world = PlanWorld::new();
    world.apply(APP, &plain()).expect("new");
    let id = world.endpoint("app").id;
    world.change_endpoint("app", |_, waiting| *waiting = 7);

    let renamed =
        "[endpoint.web]\nprevious_name = 'app'\nurl = 'http://app.example/'\nfrom = ['in']\n";
    let plan = world.apply(renamed, &pruning("x")).expect("renamed");
    assert_eq!(plan.endpoints[0].action(), ApplyAction::Rename);
    assert_eq!(plan.endpoints[0].previous_name(), Some("app"));
    assert_eq!(world.endpoint("web").id, id);
    assert!(world.apply(renamed, &pruning("x")).expect("done before").is_empty());

    world.apply(APP, &plain()).expect("another one with the old name");
    let why = refused(&world, renamed, &plain());
    assert!(why.contains("there are both 'app' and 'web'"), "{why}");
}

#[test]
fn renames_may_follow_each_other_and_not_go_round() {
    let url = "url = 'http://a.example/'\n";
    let mut world = PlanWorld::new();
    world.apply(&format!("[endpoint.a]\n{url}[endpoint.b]\n{url}"), &plain()).expect("new");
    let (a, b) = (world.endpoint("a").id, world.endpoint("b").id);

    let chain =
        format!("[endpoint.b]\nprevious_name = 'a'\n{url}[endpoint.c]\nprevious_name = 'b'\n{url}");
    world.apply(&chain, &plain()).expect("renamed");
    assert_eq!((world.endpoint("b").id, world.endpoint("c").id), (a, b));
    assert!(world.apply(&chain, &plain()).expect("done before").is_empty());

    let round =
        format!("[endpoint.b]\nprevious_name = 'c'\n{url}[endpoint.c]\nprevious_name = 'b'\n{url}");
    assert!(refused(&world, &round, &plain()).contains("circle"));
    let two =
        format!("[endpoint.x]\nprevious_name = 'b'\n{url}[endpoint.y]\nprevious_name = 'b'\n{url}");
    assert!(refused(&world, &two, &plain()).contains("only one can have it"));
}

#[test]
fn endpoints_follow_a_renamed_source() {
    let mut world = PlanWorld::new();
    world.apply(APP, &plain()).expect("new");
    let renamed = "[source.hooks]\nprevious_name = 'in'\n";
    let plan = world.apply(renamed, &plain()).expect("renamed");
    assert_eq!(world.endpoint("app").from, ["hooks"]);
    assert!(plan.sources[0].warnings[0].contains("/in/hooks"), "{plan:?}");
    assert!(world.apply(renamed, &plain()).expect("done before").is_empty());

    // A file that still names the old one is refused.
    let stale = format!("{APP}[source.other]\nprevious_name = 'hooks'\n");
    let stale = stale.replace("[source.in]\n", "");
    let why = refused(&world, &stale, &plain());
    assert!(why.contains("endpoint.app: 'from': there is no source 'in' then"), "{why}");
}

#[test]
fn only_what_belongs_to_the_set_is_pruned() {
    let mut world = PlanWorld::new();
    world.apply("[endpoint.mine]\nurl = 'pull:'\n", &plain()).expect("beside the files");
    world.apply(APP, &set("site")).expect("new");
    world.apply("[endpoint.other]\nurl = 'pull:'\n", &set("other")).expect("of another set");

    let plan = world.apply("[source.in]\n", &pruning("site")).expect("pruned");
    assert_eq!(plan.endpoints.len(), 1);
    assert_eq!(
        (plan.endpoints[0].name(), plan.endpoints[0].action()),
        ("app", ApplyAction::Delete)
    );
    assert_eq!(world.now.endpoints.len(), 2);
    assert!(refused(&world, "", &PlanOptions { prune: true, ..plain() }).contains("--set"));
}

#[test]
fn what_waits_is_pruned_only_by_force() {
    let mut world = PlanWorld::new();
    world.apply(APP, &set("site")).expect("new");
    world.change_endpoint("app", |_, waiting| *waiting = 3);
    let why = refused(&world, "[source.in]\n", &pruning("site"));
    assert!(why.contains("endpoint.app: 3 of its deliveries") && why.contains("--force"), "{why}");
    let plan = world.apply("[source.in]\n", &forced(pruning("site"))).expect("forced");
    assert_eq!(plan.endpoints[0].waiting, 3);
}

#[test]
fn files_without_an_entry_prune_a_whole_set_only_by_force() {
    let mut world = PlanWorld::new();
    world.apply(APP, &set("site")).expect("new");
    let why = refused(&world, "", &pruning("site"));
    assert!(why.contains("the files have no entry") && why.contains("--force"), "{why}");
    let plan = world.plan("", &forced(pruning("site"))).expect("forced");
    assert_eq!((plan.sources.len(), plan.endpoints.len()), (1, 1));
}

#[test]
fn a_set_takes_nothing_from_another_one_but_by_force() {
    let mut world = PlanWorld::new();
    world.apply(APP, &set("site")).expect("new");
    let why = refused(&world, APP, &set("other"));
    assert!(why.contains("source.in: belongs to the set 'site'"), "{why}");
    assert!(world.apply(APP, &plain()).expect("without a set").is_empty());
    let plan = world.apply(APP, &forced(set("other"))).expect("forced");
    assert_eq!(plan.sources[0].fields[0].field, "applied_set");
    assert_eq!(world.endpoint("app").applied_set.as_deref(), Some("other"));
}

#[test]
fn a_pruned_source_leaves_no_endpoint_of_the_files_without_events() {
    let mut world = PlanWorld::new();
    world.apply(APP, &set("site")).expect("new");
    let alone = APP.replace("[source.in]\n", "");
    let why = refused(&world, &alone, &pruning("site"));
    assert!(why.contains("endpoint.app: 'from': there is no source 'in' then"), "{why}");

    let mut world = PlanWorld::new();
    world.apply("[source.in]\n", &set("site")).expect("new");
    world.apply(&alone, &plain()).expect("beside the files");
    let plan = world.plan("", &forced(pruning("site"))).expect("pruned");
    assert!(plan.sources[0].warnings[0].contains("endpoint app selects only events of in"));
}

#[test]
fn what_is_struck_out_stays_where_it_was_and_is_refused_elsewhere() {
    let mut world = PlanWorld::new();
    let full = format!(
        "{APP}header = ['X-A: b', 'Authorization: Bearer hunter2']\n\
         proxy = 'http://u:hunter2@p:1'\n"
    );
    world.apply(&full, &plain()).expect("new");

    let moved = full.replace("Bearer hunter2", "…").replace("u:hunter2@", "u:…@");
    let plan = world.plan(&moved, &plain()).expect("as it was exported");
    assert!(plan.is_empty(), "{plan:?}");
    let plan = world.plan(&moved.replace("X-A: b", "X-A: c"), &plain()).expect("another one");
    assert_eq!(plan.endpoints[0].fields.len(), 1, "{plan:?}");
    let after = plan.endpoints[0].after.as_ref().expect("it stays");
    assert_eq!(after.template.headers[1].1, "Bearer hunter2");

    let why = refused(&PlanWorld::new(), &moved, &plain());
    assert!(why.contains("removed secret"), "{why}");
    let plan = world.plan(&full.replace("hunter2", "hunter3"), &plain()).expect("changed");
    assert!(plan.endpoints[0].fields.iter().all(|field| field.secret), "{plan:?}");
}

#[test]
fn bins_are_not_for_files() {
    let mut world = PlanWorld::new();
    let why = refused(&world, "[source.b]\nverify = 'bin'\n", &plain());
    assert!(why.contains("bin create"), "{why}");
    world.apply("[source.b]\n", &plain()).expect("new");
    world.change_source("b", |source| source.expires_at = Some(5));
    assert!(refused(&world, "[source.b]\n", &plain()).contains("is a bin"));
    assert!(world.exported().is_empty());
}

#[test]
fn a_file_is_refused_with_its_line() {
    use crate::api::ConfigurationSet;
    use crate::api::apply::FileFormat;
    let wrong = |text: &str, format| {
        let file = std::path::Path::new("site.toml");
        ConfigurationSet::parse(text, format, file).map(|_| ()).expect_err("refused").to_string()
    };
    let toml = |text| wrong(text, FileFormat::Toml);

    assert!(toml("[source.a\n").starts_with("site.toml:1: "));
    let why = toml("[source.a]\n\n[endpoint.b]\nurl = 'pull:'\nretry_bas = '1s'\n");
    assert!(why.starts_with("site.toml:5: endpoint.b: unknown setting 'retry_bas'"), "{why}");
    assert!(why.contains("did you mean `retry_base`?"), "{why}");
    let why = toml("[endpoint.b]\ntimeout = '1y'\n");
    assert!(why.starts_with("site.toml:2: endpoint.b: 'timeout'"), "{why}");
    let why = toml("[sources.a]\n");
    assert!(why.starts_with("site.toml:1: unknown 'sources'"), "{why}");
    let why = toml("[source.'a b']\n");
    assert!(why.starts_with("site.toml:1: source.a b: 'a b' cannot be a name"), "{why}");
    let why = toml("\n[endpoint.a]\nhold_after = 2026-01-01\n");
    assert!(why.contains("is a time, which no setting is"), "{why}");
    let why = wrong("{\"source\": {\n\"a\": {,}}}", FileFormat::Json);
    assert!(why.starts_with("site.toml:2: "), "{why}");
    let json = |text| wrong(text, FileFormat::Json);
    let why = json("{\"endpoint\": {\n\"b\": {\"url\": \"pull:\",\n\"timeout\": \"1y\"}}}");
    assert!(why.starts_with("site.toml:3: endpoint.b: 'timeout'"), "{why}");
    let why = json("{\n\n\"sources\": {}}");
    assert!(why.starts_with("site.toml:3: unknown 'sources'"), "{why}");
    let why = json("{\"source\": {\n\"a b\": {}}}");
    assert!(why.starts_with("site.toml:2: source.a b: "), "{why}");
    assert_eq!(read("[endpoint.a]\nurl = 'pull:'\nlease = 90\n").len(), 1);
}

#[test]
fn files_without_an_entry_are_refused_only_where_something_would_be_deleted() {
    let mut world = PlanWorld::new();
    assert!(world.apply("", &pruning("x")).expect("there is nothing to delete").is_empty());
    world.apply(APP, &set("x")).expect("new");
    assert!(refused(&world, "", &pruning("x")).contains("would delete the whole set"));
    assert!(world.apply("", &pruning("another")).expect("nothing is in that one").is_empty());
    assert!(!world.apply("", &forced(pruning("x"))).expect("forced").is_empty());
    assert!(world.apply("", &pruning("x")).expect("it is gone").is_empty());
}

#[test]
fn a_scheme_without_a_secret_lets_go_of_the_one_that_is_stored() {
    let mut world = PlanWorld::new();
    world.apply("[source.in]\nverify = 'github'\nsecret = 'env:A'\n", &plain()).expect("new");
    world.apply("[source.in]\nverify = 'none'\n", &plain()).expect("changed");
    assert_eq!(world.source("in").secrets, []);

    world.apply("[source.in]\nverify = 'github'\nsecret = 'env:A'\n", &plain()).expect("back");
    world.apply("[source.in]\nverify = 'stripe'\n", &plain()).expect("another that needs one");
    assert_eq!(world.source("in").secrets, [TimedSecret::current("env:A")]);
}

#[test]
fn entries_are_checked_without_a_daemon_where_nothing_else_decides() {
    for (text, wrong) in [
        ("[source.in]\nverify = 'github'\nsecret = 'hunter2hunter2'\n", Some("'secret'")),
        ("[source.in]\nverify = 'bin'\n", Some("bin create")),
        ("[endpoint.a]\nurl = 'ftp://a.example/'\n", Some("ftp")),
        ("[endpoint.a]\nurl = 'https://u:…@a.example/'\n", None),
        ("[source.in]\nverify = 'github'\n", None),
    ] {
        let checked = check_entries(&read(text));
        match wrong {
            None => assert_eq!(checked, Ok(()), "{text}"),
            Some(wrong) => {
                let why = checked.expect_err("it is refused");
                assert!(why.contains(wrong) && !why.contains("hunter2"), "{why}");
            }
        }
    }
}
