//! What is done: never without a question that says how much.

use super::{TopAnswer, TopCommand, TopScreen, TopWorld, id};
use crate::ctl::top::commands::{TopAction, TopQuery};
use crate::ctl::top::model::TopMode;

/// The question that stands there.
fn question(world: &TopWorld) -> String {
    match &world.model.mode {
        TopMode::Confirm { question, .. } => {
            assert!(world.screen().contains("[y/N]"), "{}", world.screen());
            question.clone()
        }
        mode => panic!("nothing is asked: {mode:?}"),
    }
}

#[test]
fn a_hold_is_counted_asked_and_done() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    let hold = TopAction::Hold(vec!["bad".to_owned()]);
    assert_eq!(world.keys("h"), [TopCommand::Count(hold.clone())]);
    world.model.answer(TopAnswer::Counted(hold.clone(), 41));
    assert_eq!(question(&world), "Hold bad? 41 deliveries wait until it is released.");
    assert_eq!(world.keys("y"), [TopCommand::Perform(hold.clone())]);
    assert_eq!(world.model.mode, TopMode::Normal);

    let commands = world.model.answer(TopAnswer::Done("on hold: bad".to_owned()));
    assert!(matches!(&commands[..], [TopCommand::Refresh(_)]), "{commands:?}");
    assert!(world.screen().contains("on hold: bad"));

    // Who types something else by the time that it is counted is not asked.
    world.keys("h/");
    world.model.answer(TopAnswer::Counted(hold.clone(), 41));
    world.keys("y");
    assert_eq!((&world.model.mode, world.listed().len()), (&TopMode::Filter, 0));
    world.keys("\u{1b}");

    // An endpoint for which nothing waits is held as well.
    world.keys("h");
    world.model.answer(TopAnswer::Counted(hold, 0));
    assert!(question(&world).contains("0 deliveries"));
}

#[test]
fn nothing_but_y_is_a_yes() {
    for key in ["n", "\n", "\u{1b}", " ", "r", "q"] {
        let mut world = TopWorld::new(TopScreen::Dead);
        assert_eq!(world.keys("d"), []);
        assert_eq!(question(&world), "Discard 1 dead letter for good?");
        assert_eq!(world.keys(key), [], "{key}");
        assert_eq!(world.model.mode, TopMode::Normal);
        assert!(world.screen().contains("nothing was done"), "{}", world.screen());
    }
}

#[test]
fn marked_rows_are_what_an_action_is_about_as_far_as_they_are_shown() {
    let mut world = TopWorld::new(TopScreen::Dead);
    world.keys("  j ");
    world.keys("r");
    assert_eq!(question(&world), "Attempt 3 dead letters again?");
    let expected = TopAction::RetryDead(vec![id(1), id(2), id(4)]);
    assert_eq!(world.keys("y"), [TopCommand::Perform(expected)]);

    world.model.answer(TopAnswer::Done("3 deliveries attempted again".to_owned()));
    world.keys("/bad\n*d");
    assert_eq!(question(&world), "Discard 10 dead letters for good?", "only what passes");
    world.keys("n\u{1b}");
    world.keys("d");
    assert_eq!(question(&world), "Discard 1 dead letter for good?", "escape takes marks away");
}

#[test]
fn all_that_waits_for_an_endpoint_is_counted_first() {
    let mut world = TopWorld::new(TopScreen::Overview);
    let retry = TopAction::RetryWaiting("bad".to_owned());
    assert_eq!(world.keys("r"), [TopCommand::Count(retry.clone())]);
    world.model.answer(TopAnswer::Counted(retry.clone(), 0));
    assert!(world.screen().contains("there is nothing to do"));
    world.model.answer(TopAnswer::Counted(retry.clone(), 41));
    assert_eq!(question(&world), "Attempt 41 deliveries of bad now?");
    assert_eq!(world.keys("y"), [TopCommand::Perform(retry)]);
    let discard = TopAction::DiscardOf("bad".to_owned());
    assert_eq!(world.keys("d"), [TopCommand::Count(discard)]);

    // Two at once are for hold and release.
    world.keys("*");
    assert_eq!(world.keys("r"), []);
    let both = vec!["bad".to_owned(), "crm".to_owned()];
    assert_eq!(world.keys("u"), [TopCommand::Count(TopAction::Release(both))]);
}

#[test]
fn a_refusal_is_shown_and_changes_nothing() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    world.model.answer(TopAnswer::Failed("members of the group may not do that".to_owned()));
    assert!(world.screen().contains("members of the group"));
    assert_eq!(world.keys("x"), []);
    assert!(!world.screen().contains("members"), "until the next key");
    assert_eq!(world.keys("3h"), world.keys("3h"));
    assert!(world.screen().contains("'h' does nothing here"));
}

#[test]
fn enter_on_an_endpoint_shows_its_dead_letters() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    let of_bad = vec![TopQuery::Status, TopQuery::DeadLetters(Some("bad".to_owned()))];
    assert_eq!(world.keys("\n"), [TopCommand::Refresh(of_bad)]);
    assert_eq!(world.model.screen, TopScreen::Dead);

    // Not those of others that have its name in their own, or in their error.
    let mut other = super::dead_letter(5, "bad-too");
    other.reason = Some("bad".to_owned());
    let letters = vec![super::dead_letter(4, "bad"), other];
    world.model.answer(TopAnswer::DeadLetters(letters));
    assert!(world.screen().contains("  of bad"), "{}", world.screen());
    world.keys("*d");
    assert_eq!(question(&world), "Discard 1 dead letter for good?");
    world.keys("n");

    let of_all = vec![TopQuery::Status, TopQuery::DeadLetters(None)];
    assert_eq!(world.keys("\u{1b}"), [TopCommand::Refresh(of_all)]);
    let mut world = TopWorld::new(TopScreen::Shape);
    world.keys("\n");
    assert_eq!(world.model.listing().of, None, "of all together");
}

#[test]
fn of_many_endpoints_the_number_is_asked() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    let names: Vec<String> = (1..=40).map(|n| format!("endpoint-{n}")).collect();
    for (action, expected) in [
        (TopAction::Hold(names.clone()), "Hold 40 endpoints? 7 deliveries wait for a release."),
        (TopAction::Release(names), "Release 40 endpoints? 7 deliveries are attempted again."),
    ] {
        world.model.answer(TopAnswer::Counted(action, 7));
        assert_eq!(question(&world), expected);
        world.keys("n");
    }
}
