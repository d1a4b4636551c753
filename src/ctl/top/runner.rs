//! The live screen: keys and ticks into the model, its commands to the worker, its view to the
//! terminal, which gets back what it showed before, whatever happens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};

use super::commands::{TopAnswer, TopCommand};
use super::keys::TopKey;
use super::model::TopModel;
use super::view::{TopStyle, draw};
use super::worker;
use crate::ctl::client::AdminClient;
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::service::signals::StopSignals;

/// How long a key is waited for before answers are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Commands that wait for the daemon, and answers that wait to be drawn.
const COMMANDS: usize = 64;
const ANSWERS: usize = 1024;

/// What the screen is run with.
pub struct TopRun<'a> {
    pub clients: &'a dyn Fn() -> Result<AdminClient, CtlError>,
    pub every_ms: u64,
    /// Refreshes after which it ends.
    pub most: Option<u64>,
    pub style: TopStyle,
}

/// Runs until the operator ends it.
pub fn run(mut model: TopModel, run: &TopRun<'_>) -> Result<(), CtlError> {
    let (commands, to_do) = sync_channel(COMMANDS);
    let (answers, answered) = sync_channel(ANSWERS);
    let (client, of_worker) = ((run.clients)()?, answers.clone());
    std::thread::spawn(move || worker::work(&client, &to_do, &of_worker));

    // Before the terminal is taken: from then on no signal ends the process without giving it back.
    let is_ended = ended_by_signals().map_err(failed)?;
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let screen = TopLoop { commands, answers, answered, is_ended, run };
    let ended = screen.run(&mut model, &mut terminal);
    let _ = ratatui::try_restore();
    ended
}

/// A flag that SIGTERM and SIGINT set. Ctrl-C is a key here, not a signal. SIGHUP ends the process.
fn ended_by_signals() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut stop, mut hangup) = {
        let _entered = runtime.enter();
        (StopSignals::catch()?, signal(SignalKind::hangup())?)
    };

    let is_ended = Arc::new(AtomicBool::new(false));
    let flag = is_ended.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = stop.next() => {}
                _ = hangup.recv() => {
                    // The terminal is probably gone. Then whoever reads keys finds its end again
                    // and again, and never looks at the flag.
                    let _ = ratatui::try_restore();
                    std::process::exit(0);
                }
            }
        });
        flag.store(true, Ordering::Release);
    });
    Ok(is_ended)
}

struct TopLoop<'a> {
    commands: SyncSender<TopCommand>,
    answers: SyncSender<TopAnswer>,
    answered: Receiver<TopAnswer>,
    /// Whether a signal asks it to end.
    is_ended: Arc<AtomicBool>,
    run: &'a TopRun<'a>,
}

impl TopLoop<'_> {
    fn run(&self, model: &mut TopModel, terminal: &mut DefaultTerminal) -> Result<(), CtlError> {
        let (mut next_at, mut refreshes) = (0, 0);
        while !self.is_ended.load(Ordering::Acquire) {
            let now = now_ms();
            // A clock that is set back does not stop it.
            if now >= next_at || next_at > now + self.run.every_ms {
                if self.run.most.is_some_and(|most| refreshes >= most) {
                    return Ok(());
                }
                next_at = now + self.run.every_ms;
                refreshes += 1;
                let wanted = model.tick(now);
                self.perform(wanted)?;
            }

            terminal.draw(|frame| draw(frame, model, self.run.style)).map_err(failed)?;
            if event::poll(LOOK).map_err(failed)? {
                // After anything else than a key the next drawing has the new size.
                if let Event::Key(pressed) = event::read().map_err(failed)? {
                    for key in keys(pressed) {
                        let wanted = model.key(key);
                        if self.perform(wanted)? {
                            return Ok(());
                        }
                    }
                }
            }

            // Keys have their turn also while more comes in than can be drawn.
            for answer in self.answered.try_iter().take(ANSWERS) {
                let wanted = model.answer(answer);
                self.perform(wanted)?;
            }
        }
        Ok(())
    }

    /// Hands commands on. `true` at the end.
    fn perform(&self, commands: Vec<TopCommand>) -> Result<bool, CtlError> {
        for command in commands {
            match command {
                TopCommand::Quit => return Ok(true),
                TopCommand::Follow => {
                    let (client, answers) = ((self.run.clients)()?, self.answers.clone());
                    std::thread::spawn(move || worker::follow(&client, &answers));
                }
                command => {
                    // Whoever presses keys faster than the daemon answers presses again.
                    let _ = self.commands.try_send(command);
                }
            }
        }
        Ok(false)
    }
}

/// The keys of one event. Esc and a key right after it reach a program as that key with Alt.
fn keys(pressed: KeyEvent) -> impl Iterator<Item = TopKey> {
    let key = key(pressed);
    let is_behind_esc = key.is_some() && pressed.modifiers.contains(KeyModifiers::ALT);
    is_behind_esc.then_some(TopKey::Esc).into_iter().chain(key)
}

fn key(pressed: KeyEvent) -> Option<TopKey> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(match pressed.code {
        KeyCode::Char('c') if is_control => TopKey::Interrupt,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char(character) => TopKey::Char(character),

        KeyCode::Up => TopKey::Up,
        KeyCode::Down => TopKey::Down,
        KeyCode::PageUp => TopKey::PageUp,
        KeyCode::PageDown => TopKey::PageDown,
        KeyCode::Home => TopKey::Home,
        KeyCode::End => TopKey::End,
        KeyCode::Tab => TopKey::Tab,
        KeyCode::BackTab => TopKey::BackTab,
        KeyCode::Enter => TopKey::Enter,
        KeyCode::Esc => TopKey::Esc,
        KeyCode::Backspace => TopKey::Backspace,
        _ => return None,
    })
}

fn failed(error: io::Error) -> CtlError {
    CtlError::Io { what: "the terminal cannot be used".to_owned(), error }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::{TopKey, keys};

    #[test]
    fn a_key_right_after_esc_is_both() {
        let pressed = |code, modifiers| keys(KeyEvent::new(code, modifiers)).collect::<Vec<_>>();
        let (none, alt) = (KeyModifiers::NONE, KeyModifiers::ALT);
        assert_eq!(pressed(KeyCode::Char('r'), alt), [TopKey::Esc, TopKey::Char('r')]);
        assert_eq!(pressed(KeyCode::Enter, alt), [TopKey::Esc, TopKey::Enter]);
        assert_eq!(pressed(KeyCode::Char('r'), none), [TopKey::Char('r')]);
        assert_eq!(pressed(KeyCode::F(5), alt), []);
    }
}
