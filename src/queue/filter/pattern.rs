//! The regular expressions of `match()` and `search()` (RFC 9535, sections 2.4.6 and 2.4.7; RFC
//! 9485).
//!
//! A pattern is compiled to an automaton by `regex-automata`, and run here, because a run there
//! cannot be stopped. All states that the automaton may be in are kept, so a text is read once, and
//! each visit to a state is one step. The only result is whether there is a match.

use std::fmt;

use regex_automata::nfa::thompson::{Compiler, Config, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;

use super::budget::{Steps, Stop};

/// A compiled pattern.
pub(super) struct Pattern {
    nfa: NFA,
    /// The bytes that a match may begin with; `None` when a match may be empty.
    first: Option<Box<[bool; 256]>>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("states", &self.nfa.states().len()).finish_non_exhaustive()
    }
}

impl Pattern {
    /// Compiles a pattern into at most `max_bytes`.
    ///
    /// # Errors
    /// Says why it cannot be compiled.
    pub fn compile(pattern: &str, max_bytes: usize) -> Result<Self, String> {
        // With `crlf`, `.` matches neither CR nor LF (RFC 9485).
        let syntax = syntax::Config::new().crlf(true).nest_limit(64);
        let config =
            Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(max_bytes));
        let built = Compiler::new().syntax(syntax).configure(config).build(pattern);
        let nfa = built.map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let message = source.unwrap_or_else(|| error.to_string());
            message.lines().last().unwrap_or_default().trim().to_owned()
        })?;

        let first = first_bytes(&nfa);
        Ok(Self { nfa, first })
    }

    /// The bytes that the compiled pattern takes.
    pub fn size(&self) -> usize {
        self.nfa.memory_usage()
    }

    /// Whether it matches the `whole` of a text, or a part of it.
    pub fn is_match(&self, text: &str, whole: bool, steps: &mut Steps) -> Result<bool, Stop> {
        let text = text.as_bytes();
        // For the sets of states, which are allocated for each text.
        steps.take(1 + self.nfa.states().len() / 16)?;

        let mut run = PatternRun { nfa: &self.nfa, text, steps, stack: Vec::new() };
        let (mut here, mut next) = (StateSet::new(&self.nfa), StateSet::new(&self.nfa));
        let mut at = 0;
        loop {
            if at == 0 || !whole {
                run.enter(&mut here, self.nfa.start_anchored(), at)?;
            }
            if here.matched && (!whole || at == text.len()) {
                return Ok(true);
            }
            if at == text.len() || (whole && here.states.is_empty()) {
                return Ok(false);
            }

            // The byte leads from each current state to the next ones.
            for index in 0..here.states.len() {
                run.steps.take(1)?;
                if let Some(to) = step(self.nfa.state(here.states[index]), text[at]) {
                    run.enter(&mut next, to, at + 1)?;
                }
            }
            std::mem::swap(&mut here, &mut next);
            next.clear();
            at += 1;

            // While no match is open, skip the bytes with which none can begin.
            if let Some(first) = self.first.as_ref().filter(|_| !whole && here.states.is_empty()) {
                let skipped =
                    text[at..].iter().take_while(|byte| !first[usize::from(**byte)]).count();
                run.steps.take(skipped / 8)?;
                at += skipped;
            }
        }
    }
}

/// The state that a byte leads to.
fn step(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(transitions) => transitions.matches_byte(byte),
        State::Dense(transitions) => transitions.matches_byte(byte),
        _ => None,
    }
}

struct PatternRun<'a> {
    nfa: &'a NFA,
    text: &'a [u8],
    steps: &'a mut Steps,
    stack: Vec<StateID>,
}

impl PatternRun<'_> {
    /// Adds a state, and all states that it leads to without a byte.
    fn enter(&mut self, set: &mut StateSet, state: StateID, at: usize) -> Result<(), Stop> {
        self.stack.push(state);
        while let Some(id) = self.stack.pop() {
            self.steps.take(1)?;
            if !set.mark(id) {
                continue;
            }

            match self.nfa.state(id) {
                State::Look { look, next } => {
                    if self.nfa.look_matcher().matches(*look, self.text, at) {
                        self.stack.push(*next);
                    }
                }
                State::Match { .. } => set.matched = true,
                State::Fail => {}
                other => match branches(other) {
                    Some(branches) => {
                        self.stack.extend(branches.iter().flatten().flat_map(|ids| ids.iter()))
                    }
                    None => set.states.push(id),
                },
            }
        }
        Ok(())
    }
}

/// The states that a state leads to without a byte; `None` when it needs one.
fn branches(state: &State) -> Option<[Option<&[StateID]>; 2]> {
    use std::slice::from_ref;
    match state {
        State::Union { alternates } => Some([Some(alternates), None]),
        State::BinaryUnion { alt1, alt2 } => Some([Some(from_ref(alt1)), Some(from_ref(alt2))]),
        State::Capture { next, .. } | State::Look { next, .. } => {
            Some([Some(from_ref(next)), None])
        }
        _ => None,
    }
}

/// The states that the automaton may be in.
struct StateSet {
    /// Those that wait for a byte.
    states: Vec<StateID>,
    /// For each state, the last round in which it was added.
    rounds: Vec<u32>,
    round: u32,
    matched: bool,
}

impl StateSet {
    fn new(nfa: &NFA) -> Self {
        Self { states: Vec::new(), rounds: vec![0; nfa.states().len()], round: 1, matched: false }
    }

    /// Marks a state as added in this round. Returns whether it was not yet.
    fn mark(&mut self, id: StateID) -> bool {
        std::mem::replace(&mut self.rounds[id.as_usize()], self.round) != self.round
    }

    fn clear(&mut self) {
        self.states.clear();
        self.matched = false;
        // This cannot overflow: a text has fewer than 2^32 bytes.
        self.round += 1;
    }
}

/// The bytes that a match may begin with; `None` when a match may be empty.
fn first_bytes(nfa: &NFA) -> Option<Box<[bool; 256]>> {
    let mut first = Box::new([false; 256]);
    let mut seen = StateSet::new(nfa);
    let mut stack = vec![nfa.start_anchored()];
    while let Some(id) = stack.pop() {
        if !seen.mark(id) {
            continue;
        }

        let state = nfa.state(id);
        if matches!(state, State::Match { .. }) {
            return None;
        }

        match branches(state) {
            Some(branches) => stack.extend(branches.iter().flatten().flat_map(|ids| ids.iter())),
            None => (0..=255)
                .filter(|byte| step(state, *byte).is_some())
                .for_each(|byte| first[usize::from(byte)] = true),
        }
    }
    Some(first)
}
