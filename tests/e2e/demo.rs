//! The demo: the whole story, told in seconds, and nothing left behind.

use super::support::Home;
use super::support::ctl::{finish, program};

#[test]
fn the_demo_tells_the_story_and_cleans_up() {
    let home = Home::new();
    let mut command = program(env!("CARGO_BIN_EXE_hookboxctl"));
    command.arg("demo").current_dir(home.path()).env("TMPDIR", home.path());
    let done = finish(command, None).expect(0);
    for word in ["202", "evt_", "dead", "replay", "kill"] {
        assert!(done.stdout.to_lowercase().contains(word), "the story lacks '{word}':\n{}", done.stdout);
    }
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("a folder").flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
