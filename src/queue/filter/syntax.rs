//! The syntax tree of a filter.

use super::pattern::Pattern;

#[derive(Debug)]
pub(super) enum Logical {
    Any(Vec<Logical>),
    All(Vec<Logical>),
    Not(Box<Logical>),
    Exists(PathQuery),
    Compare(Comparable, Comparison, Comparable),
    Match { value: Comparable, pattern: PatternArgument, whole: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One side of a comparison: it has one value, or none.
#[derive(Debug)]
pub(super) enum Comparable {
    Text(String),
    /// As it was written.
    Number(String),
    Bool(bool),
    Null,
    /// A singular query.
    PathQuery(PathQuery),
    Length(Box<Comparable>),
    Count(PathQuery),
    Value(PathQuery),
}

/// The regular expression of `match()` or `search()`.
#[derive(Debug)]
pub(super) enum PatternArgument {
    Compiled(Pattern),
    Dynamic(Comparable),
    /// A literal that is not text: nothing matches it.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct PathQuery {
    /// It begins at the event (`$`); else at the current node (`@`), which is the same except
    /// within a filter selector.
    pub root: bool,
    pub segments: Vec<PathSegment>,
}

#[derive(Debug)]
pub(super) enum PathSegment {
    Children(Vec<Selector>),
    /// After `..`: children of the node and of everything below it.
    Descendants(Vec<Selector>),
}

#[derive(Debug)]
pub(super) enum Selector {
    Filter(Box<Logical>),
    Name(String),
    Every,
    Index(i64),
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
}

impl PathQuery {
    /// Whether it selects at most one node (RFC 9535, section 2.3.5.1).
    pub fn is_singular(&self) -> bool {
        let single = |segment: &PathSegment| match segment {
            PathSegment::Children(selectors) => {
                matches!(selectors.as_slice(), [Selector::Name(_) | Selector::Index(_)])
            }
            PathSegment::Descendants(_) => false,
        };
        self.segments.iter().all(single)
    }
}
