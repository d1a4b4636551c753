//! What `top` shows and does, as a value: keys, answers and ticks go in, commands come out. It
//! reads no clock and no terminal, and asks no daemon.

use super::commands::{TopAction, TopAnswer, TopCommand, TopQuery};
use super::data::TopData;
use super::keys::TopKey;
use super::listing::TopListing;
use super::screens::TopRow;
use super::shape::TOTAL;
use crate::ctl::args::TopScreen;
use crate::ctl::table::deliveries;

/// Rows that a page moves.
const PAGE: isize = 10;

/// What keys mean now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopMode {
    Normal,
    /// A filter is typed.
    Filter,
    /// One delivery with its attempts, from this line on.
    Detail {
        delivery: String,
        from: usize,
    },
    Help,
    /// What would be done is shown, and waits for a yes.
    Confirm {
        action: TopAction,
        question: String,
    },
}

/// A line at the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopMessage {
    pub text: String,
    pub is_bad: bool,
}

/// See the module.
#[derive(Debug)]
pub struct TopModel {
    pub data: TopData,
    pub screen: TopScreen,
    pub mode: TopMode,
    pub message: Option<TopMessage>,
    /// Why the last refresh failed.
    pub away: Option<String>,
    /// The tail stands still.
    pub is_paused: bool,
    listings: [TopListing; TopScreen::ALL.len()],
    /// A refresh is under way.
    is_waiting: bool,
    follows: bool,
    held_back: Vec<TopAnswer>,
}

impl TopModel {
    pub fn new(screen: TopScreen) -> Self {
        Self {
            data: TopData::default(),
            screen,
            mode: TopMode::Normal,
            message: None,
            away: None,
            is_paused: false,
            listings: TopScreen::ALL.map(TopListing::new),
            is_waiting: false,
            follows: false,
            held_back: Vec::new(),
        }
    }

    pub fn listing(&self) -> &TopListing {
        &self.listings[self.screen.place()]
    }

    pub fn listing_mut(&mut self) -> &mut TopListing {
        &mut self.listings[self.screen.place()]
    }

    /// The rows that are shown.
    pub fn rows(&self) -> Vec<TopRow> {
        self.listing().rows(&self.data)
    }

    /// How many dead letters there are of those that are shown, when only the newest of them are
    /// known.
    pub fn dead_in_all(&self) -> Option<u64> {
        self.data.dead_in_all(self.listings[TopScreen::Dead.place()].of.as_deref())
    }

    /// Time for another look.
    pub fn tick(&mut self, now_ms: u64) -> Vec<TopCommand> {
        self.data.now_ms = now_ms;
        if std::mem::replace(&mut self.is_waiting, true) {
            return Vec::new();
        }

        let mut queries = vec![TopQuery::Status];
        match self.screen {
            TopScreen::Overview => {
                queries.extend([TopQuery::History, TopQuery::TroubledEndpoints]);
            }
            TopScreen::Endpoints => queries.push(TopQuery::Endpoints),
            TopScreen::Sources => queries.push(TopQuery::Sources),
            TopScreen::Dead => queries.push(TopQuery::DeadLetters(self.listing().of.clone())),
            TopScreen::Shape => queries.push(TopQuery::Waiting),
            TopScreen::Tail => {}
        }
        if let TopMode::Detail { delivery, .. } = &self.mode {
            queries.push(TopQuery::Delivery(delivery.clone()));
        }

        let mut commands = vec![TopCommand::Refresh(queries)];
        if self.screen == TopScreen::Tail && !std::mem::replace(&mut self.follows, true) {
            commands.push(TopCommand::Follow);
        }
        commands
    }

    /// Looks again at once.
    fn look(&mut self) -> Vec<TopCommand> {
        self.is_waiting = false;
        self.tick(self.data.now_ms)
    }

    /// The same, for other dead letters than those that are known.
    fn look_anew(&mut self) -> Vec<TopCommand> {
        self.data.dead.clear();
        self.data.known.dead = false;
        self.look()
    }

    pub fn answer(&mut self, answer: TopAnswer) -> Vec<TopCommand> {
        if self.is_paused && matches!(answer, TopAnswer::Tail(_)) {
            self.held_back.push(answer);
            // What nobody looks at for long is not kept.
            if self.held_back.len() > 1000 {
                self.held_back.remove(0);
            }
            return Vec::new();
        }

        if matches!(answer, TopAnswer::Status(_)) && self.away.take().is_some() {
            // What was refused because nobody answered.
            self.message = None;
        }
        match self.data.take(answer) {
            Some(TopAnswer::Refreshed) => self.is_waiting = false,
            Some(TopAnswer::Away(why)) => self.away = Some(why),
            // Whoever does something else by now is not asked.
            Some(TopAnswer::Counted(..)) if self.mode != TopMode::Normal => {}
            Some(TopAnswer::Counted(action, count)) => self.ask(action, count),
            Some(TopAnswer::Done(text)) => {
                self.say(text, false);
                self.listing_mut().marked.clear();
                return self.look();
            }
            Some(TopAnswer::Failed(why)) => self.say(why, true),
            _ => {}
        }
        Vec::new()
    }

    fn say(&mut self, text: String, is_bad: bool) {
        self.message = Some(TopMessage { text, is_bad });
    }

    /// Shows what would be done, with the number of deliveries.
    fn ask(&mut self, action: TopAction, count: usize) {
        let is_of_deliveries = !matches!(action, TopAction::Hold(_) | TopAction::Release(_));
        if count == 0 && is_of_deliveries {
            return self.say("there is nothing to do".to_owned(), false);
        }

        let what = deliveries(count);
        let plural = if count == 1 { "" } else { "s" };
        let letters = format!("{count} dead letter{plural}");
        let chosen = match self.dead_in_all() {
            Some(all) => format!("{count} of {all} dead letters"),
            None => letters.clone(),
        };
        let question = match &action {
            TopAction::Hold(names) => match &names[..] {
                [name] => format!("Hold {name}? {what} wait until it is released."),
                _ => format!("Hold {} endpoints? {what} wait for a release.", names.len()),
            },
            TopAction::Release(names) => match &names[..] {
                [name] => format!("Release {name}? {what} are attempted again."),
                _ => format!("Release {} endpoints? {what} are attempted again.", names.len()),
            },
            TopAction::RetryWaiting(name) => format!("Attempt {what} of {name} now?"),
            TopAction::DiscardOf(name) => format!("Discard {letters} of {name} for good?"),
            TopAction::RetryDead(_) => format!("Attempt {chosen} again?"),
            TopAction::DiscardDead(_) => format!("Discard {chosen} for good?"),
            TopAction::Retry(id) => format!("Attempt {id} now?"),
            TopAction::Cancel(id) => format!("Cancel {id}? It is not delivered any more."),
        };
        self.mode = TopMode::Confirm { action, question };
    }

    pub fn key(&mut self, key: TopKey) -> Vec<TopCommand> {
        if key == TopKey::Interrupt {
            return vec![TopCommand::Quit];
        }

        match self.mode.clone() {
            TopMode::Normal => self.normal(key),
            TopMode::Filter => self.filter(key),
            TopMode::Detail { delivery, from } => self.detail(key, delivery, from),
            TopMode::Help => {
                self.mode = TopMode::Normal;
                Vec::new()
            }
            TopMode::Confirm { action, .. } => {
                self.mode = TopMode::Normal;
                if matches!(key, TopKey::Char('y' | 'Y')) {
                    return vec![TopCommand::Perform(action)];
                }
                self.say("nothing was done".to_owned(), false);
                Vec::new()
            }
        }
    }

    fn normal(&mut self, key: TopKey) -> Vec<TopCommand> {
        self.message = None;
        if let Some(screen) = self.other_screen(key) {
            self.screen = screen;
            return self.look();
        }
        if self.moves(key) {
            return Vec::new();
        }

        let rows = self.rows();
        match key {
            TopKey::Char('q') => return vec![TopCommand::Quit],
            TopKey::Char('?') => self.mode = TopMode::Help,
            TopKey::Char('/') => self.mode = TopMode::Filter,
            TopKey::Esc => {
                let listing = self.listing_mut();
                listing.filter.clear();
                listing.marked.clear();
                if listing.of.take().is_some() {
                    return self.look_anew();
                }
            }
            TopKey::Char('s') => self.listing_mut().sort_next(),
            TopKey::Char('S') => self.listing_mut().sort_reverse(),
            TopKey::Char(' ') if self.screen == TopScreen::Tail => return self.pause(),
            TopKey::Char(' ') => self.listing_mut().mark_chosen(&rows),
            TopKey::Char('*') => self.listing_mut().mark_all(&rows),
            TopKey::Enter => return self.open(&rows),
            TopKey::Char(verb @ ('r' | 'd' | 'h' | 'u')) => return self.act(verb, &rows),
            _ => {}
        }
        Vec::new()
    }

    fn other_screen(&self, key: TopKey) -> Option<TopScreen> {
        let (all, here) = (TopScreen::ALL, self.screen.place());
        match key {
            TopKey::Char(digit @ '1'..='6') => all.get(digit as usize - '1' as usize).copied(),
            TopKey::Tab => Some(all[(here + 1) % all.len()]),
            TopKey::BackTab => Some(all[(here + all.len() - 1) % all.len()]),
            _ => None,
        }
    }

    /// Whether the key has moved to another row.
    fn moves(&mut self, key: TopKey) -> bool {
        let by = match key {
            TopKey::Up | TopKey::Char('k') => -1,
            TopKey::Down | TopKey::Char('j') => 1,
            TopKey::PageUp => -PAGE,
            TopKey::PageDown => PAGE,
            TopKey::Home | TopKey::Char('g') => isize::MIN / 2,
            TopKey::End | TopKey::Char('G') => isize::MAX / 2,
            _ => return false,
        };
        let rows = self.rows();
        if self.follows_tail() {
            // Whoever goes up in the tail reads it.
            self.listing_mut().go(&rows, isize::MAX / 2);
            self.is_paused = true;
        }
        self.listing_mut().go(&rows, by);
        true
    }

    fn follows_tail(&self) -> bool {
        self.screen == TopScreen::Tail && !self.is_paused
    }

    /// The place of the chosen row: of a tail that is followed the last.
    pub fn chosen(&self, rows: &[TopRow]) -> usize {
        match self.follows_tail() {
            true => rows.len().saturating_sub(1),
            false => self.listing().chosen(rows),
        }
    }

    /// The tail stands still, or shows what came meanwhile.
    fn pause(&mut self) -> Vec<TopCommand> {
        self.is_paused = !self.is_paused;
        if !self.is_paused {
            for line in std::mem::take(&mut self.held_back) {
                let _ = self.data.take(line);
            }
        }
        Vec::new()
    }

    fn filter(&mut self, key: TopKey) -> Vec<TopCommand> {
        let filter = &mut self.listing_mut().filter;
        match key {
            TopKey::Char(character) if filter.len() < 100 => filter.push(character),
            TopKey::Backspace => drop(filter.pop()),
            TopKey::Enter => self.mode = TopMode::Normal,
            TopKey::Esc => {
                filter.clear();
                self.mode = TopMode::Normal;
            }
            _ => {}
        }
        Vec::new()
    }

    /// Shows what a row is about.
    fn open(&mut self, rows: &[TopRow]) -> Vec<TopCommand> {
        let Some(row) = rows.get(self.chosen(rows)) else { return Vec::new() };
        match self.screen {
            TopScreen::Dead | TopScreen::Tail => {
                // A line of the tail has its number before the id.
                let id = row.key.rsplit(' ').next().unwrap_or_default();
                if !id.starts_with("dlv_") {
                    self.say("this line has no delivery".to_owned(), false);
                    return Vec::new();
                }
                self.data.delivery = None;
                self.mode = TopMode::Detail { delivery: id.to_owned(), from: 0 };
                self.look()
            }

            // What is wrong with an endpoint stands in its dead letters.
            TopScreen::Overview | TopScreen::Endpoints | TopScreen::Shape => {
                let of = Some(row.key.clone()).filter(|name| name != TOTAL);
                self.screen = TopScreen::Dead;
                let listing = self.listing_mut();
                (listing.of, listing.filter) = (of, String::new());
                listing.marked.clear();
                self.look_anew()
            }
            TopScreen::Sources => Vec::new(),
        }
    }

    fn detail(&mut self, key: TopKey, delivery: String, from: usize) -> Vec<TopCommand> {
        self.message = None;
        let by: isize = match key {
            TopKey::Up | TopKey::Char('k') => -1,
            TopKey::Down | TopKey::Char('j') => 1,
            TopKey::PageUp => -PAGE,
            TopKey::PageDown => PAGE,
            TopKey::Esc | TopKey::Enter | TopKey::Char('q') => {
                self.mode = TopMode::Normal;
                return Vec::new();
            }
            TopKey::Char('r') => {
                self.ask(self.again(&delivery), 1);
                return Vec::new();
            }
            TopKey::Char('d') => {
                let action = match self.is_dead() {
                    true => TopAction::DiscardDead(vec![delivery]),
                    false => TopAction::Cancel(delivery),
                };
                self.ask(action, 1);
                return Vec::new();
            }
            _ => 0,
        };

        let from = from.saturating_add_signed(by);
        self.mode = TopMode::Detail { delivery, from };
        Vec::new()
    }

    fn is_dead(&self) -> bool {
        let shown = self.data.delivery.as_ref();
        shown.is_some_and(|shown| shown.view.delivery.state.to_string() == "dead")
    }

    fn again(&self, delivery: &str) -> TopAction {
        match self.is_dead() {
            true => TopAction::RetryDead(vec![delivery.to_owned()]),
            false => TopAction::Retry(delivery.to_owned()),
        }
    }

    /// Counts what an action would do, where the number is not known yet, and else asks.
    fn act(&mut self, verb: char, rows: &[TopRow]) -> Vec<TopCommand> {
        let subjects = self.listing().subjects(rows);
        if subjects.is_empty() {
            return Vec::new();
        }
        let of_endpoints = matches!(self.screen, TopScreen::Overview | TopScreen::Endpoints);
        let of_shape = self.screen == TopScreen::Shape && subjects[0] != TOTAL;

        match (self.screen, verb) {
            (TopScreen::Dead, 'r') => {
                let count = subjects.len();
                self.ask(TopAction::RetryDead(subjects), count);
            }
            (TopScreen::Dead, 'd') => {
                let count = subjects.len();
                self.ask(TopAction::DiscardDead(subjects), count);
            }
            (_, 'h') if of_endpoints => return vec![TopCommand::Count(TopAction::Hold(subjects))],
            (_, 'u') if of_endpoints => {
                return vec![TopCommand::Count(TopAction::Release(subjects))];
            }
            (_, 'r' | 'd') if of_endpoints || of_shape => {
                let [name] = &subjects[..] else {
                    self.say("one endpoint at a time: remove the marks (Esc)".to_owned(), true);
                    return Vec::new();
                };
                let name = name.clone();
                return vec![TopCommand::Count(match verb {
                    'r' => TopAction::RetryWaiting(name),
                    _ => TopAction::DiscardOf(name),
                })];
            }
            _ => self.say(format!("'{verb}' does nothing here: ? shows the keys"), false),
        }
        Vec::new()
    }
}
