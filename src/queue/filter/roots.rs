//! The members of the event that a filter names.

use super::input::FIELDS;
use super::syntax::{Comparable, Logical, PathQuery, PathSegment, PatternArgument, Selector};

/// The first member that no event has, such as `bdy` in `@.bdy.action`.
pub(super) fn unknown(logical: &Logical) -> Option<&str> {
    in_logical(logical, true)
}

/// `is_event`: whether `@` is the event, and not a value within it.
fn in_logical(logical: &Logical, is_event: bool) -> Option<&str> {
    match logical {
        Logical::Any(all) | Logical::All(all) => {
            all.iter().find_map(|one| in_logical(one, is_event))
        }
        Logical::Not(one) => in_logical(one, is_event),
        Logical::Exists(query) => in_query(query, is_event),
        Logical::Compare(left, _, right) => {
            in_comparable(left, is_event).or_else(|| in_comparable(right, is_event))
        }
        Logical::Match { value, pattern, .. } => {
            let dynamic = match pattern {
                PatternArgument::Dynamic(pattern) => in_comparable(pattern, is_event),
                PatternArgument::Compiled(_) | PatternArgument::Nothing => None,
            };
            in_comparable(value, is_event).or(dynamic)
        }
    }
}

fn in_comparable(comparable: &Comparable, is_event: bool) -> Option<&str> {
    match comparable {
        Comparable::PathQuery(query) | Comparable::Count(query) | Comparable::Value(query) => {
            in_query(query, is_event)
        }
        Comparable::Length(of) => in_comparable(of, is_event),
        Comparable::Text(_) | Comparable::Number(_) | Comparable::Bool(_) | Comparable::Null => {
            None
        }
    }
}

fn in_query(query: &PathQuery, is_event: bool) -> Option<&str> {
    let members: &[Selector] = match query.segments.first() {
        Some(PathSegment::Children(selectors)) if query.root || is_event => selectors,
        _ => &[],
    };
    let mut names = members.iter().filter_map(|selector| match selector {
        Selector::Name(name) => Some(name.as_str()),
        _ => None,
    });
    names.find(|name| !FIELDS.contains(name)).or_else(|| in_selectors(query))
}

/// What the filters within a query name.
fn in_selectors(query: &PathQuery) -> Option<&str> {
    let mut selectors = query.segments.iter().flat_map(|segment| match segment {
        PathSegment::Children(selectors) | PathSegment::Descendants(selectors) => selectors,
    });
    selectors.find_map(|selector| match selector {
        Selector::Filter(logical) => in_logical(logical, false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use crate::queue::filter::Filter;

    #[test]
    fn a_member_that_no_event_has_is_found_wherever_it_is_named() {
        let unknown = |text: &str| {
            let filter = Filter::compile(text).expect(text);
            filter.unknown_member().map(ToOwned::to_owned)
        };
        for (text, name) in [
            ("@.bdy.action == 'opened'", "bdy"),
            ("@.body.a == 1 && !($['heders'].x == 2)", "heders"),
            ("length(@.Body.list) > 1", "Body"),
            ("search(@.typ, 'a')", "typ"),
            ("@.body.list[?$.src == 'x']", "src"),
            ("count(@['body','qery'].*) > 1", "qery"),
        ] {
            assert_eq!(unknown(text).as_deref(), Some(name), "{text}");
        }

        for text in [
            "@.body.action == 'opened'",
            "$.type == 'push' && @.source == 'github' && @.query.x && @.headers['x-y'] == 'z'",
            "@.body.list[?@.name == 'x']",
            "@..anything",
            "@.*",
        ] {
            assert_eq!(unknown(text), None, "{text}");
        }
    }
}
