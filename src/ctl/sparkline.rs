//! Small plots in a line of text.

/// Which characters a plot is made of, from nothing to the most. What is not known is a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp(&'static [char]);

/// For terminals that show Unicode: a point at the bottom for nothing.
pub const BLOCKS: Ramp = Ramp(&['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']);
/// For all others.
pub const ASCII: Ramp = Ramp(&['_', '.', ':', '-', '=', '+', '*', '#', '@']);

impl Ramp {
    /// What the terminal shows, by the variables that say so.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
        Self::of(locale.as_deref(), variable("TERM").as_deref())
    }

    /// The console of Linux has fonts with few of the blocks.
    fn of(locale: Option<&str>, term: Option<&str>) -> Self {
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.ends_with("utf-8") || locale.ends_with("utf8");
        let is_console = matches!(term, Some("linux" | "dumb" | "vt100" | "vt220"));
        if is_utf8 && !is_console { BLOCKS } else { ASCII }
    }

    /// One character for each value, the highest for the largest one.
    #[must_use]
    pub fn line(self, values: &[Option<u64>]) -> String {
        let most = values.iter().flatten().copied().max().unwrap_or(0);
        values.iter().map(|value| value.map_or(' ', |value| self.level(value, most))).collect()
    }

    /// What is more than nothing is shown as more than nothing.
    fn level(self, value: u64, most: u64) -> char {
        let highest = self.0.len() - 1;
        let share = u128::from(value) * highest as u128;
        let level = share.div_ceil(u128::from(most.max(1)));
        self.0[usize::try_from(level).unwrap_or(highest).min(highest)]
    }
}

/// How values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    Sum,
    Most,
}

/// At most so many values: neighbours are joined where there are more.
#[must_use]
pub fn fitted(values: &[Option<u64>], width: usize, joined: Joined) -> Vec<Option<u64>> {
    let each = values.len().div_ceil(width.max(1)).max(1);
    let join = |values: &[Option<u64>]| {
        let known = values.iter().flatten().copied();
        match joined {
            Joined::Sum => known.reduce(u64::saturating_add),
            Joined::Most => known.max(),
        }
    };
    values.chunks(each).map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::{ASCII, BLOCKS, Joined, Ramp, fitted};

    #[test]
    fn nothing_little_and_unknown_are_distinct() {
        let values = [Some(0), Some(1), None, Some(500), Some(1000)];
        assert_eq!(BLOCKS.line(&values), "·▁ ▄█");
        assert_eq!(ASCII.line(&values), "_. =@");
        assert_eq!(BLOCKS.line(&[Some(0), Some(0)]), "··");
        assert_eq!(BLOCKS.line(&[Some(u64::MAX)]), "█");
        assert_eq!(BLOCKS.line(&[]), "");
    }

    #[test]
    fn terminals_that_may_not_know_blocks_get_ascii() {
        for (locale, term, ramp) in [
            (Some("de_DE.UTF-8"), Some("xterm-256color"), BLOCKS),
            (Some("C.utf8"), None, BLOCKS),
            (Some("C"), Some("xterm"), ASCII),
            (None, Some("xterm"), ASCII),
            (Some("C.UTF-8"), Some("linux"), ASCII),
        ] {
            assert_eq!(Ramp::of(locale, term), ramp, "{locale:?} {term:?}");
        }
    }

    #[test]
    fn long_ones_are_joined() {
        let values = [Some(1), Some(2), None, Some(4), None, None, Some(7)];
        assert_eq!(fitted(&values, 4, Joined::Sum), [Some(3), Some(4), None, Some(7)]);
        assert_eq!(fitted(&values, 4, Joined::Most), [Some(2), Some(4), None, Some(7)]);
        assert_eq!(fitted(&values, 100, Joined::Sum), values);
        assert_eq!(fitted(&values, 0, Joined::Sum), [Some(14)]);
    }
}
