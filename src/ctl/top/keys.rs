//! Keys as the model knows them, whatever reads them.

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopKey {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    BackTab,
    Enter,
    Esc,
    Backspace,
    /// Control and C.
    Interrupt,
}

/// What the help shows: keys, and what they do.
pub const HELP: &[(&str, &str)] = &[
    ("1 … 6, Tab", "another view"),
    ("↑ ↓ j k, PgUp PgDn, g G", "another row"),
    ("Enter", "a delivery's attempts, or an endpoint's dead letters"),
    ("Esc", "back; ends a filter, and removes marks"),
    ("/", "filter: rows with this text; !text: those without it"),
    ("s, S", "sort by the next column; the other way round"),
    ("Space", "mark a row; in the tail: pause and continue"),
    ("*", "mark all rows that are shown"),
    ("r", "retry dead letters, or what waits for an endpoint"),
    ("d", "discard dead letters; cancel a delivery that waits"),
    ("h, u", "hold an endpoint, or release it"),
    ("?", "this help"),
    ("q", "the end"),
];
