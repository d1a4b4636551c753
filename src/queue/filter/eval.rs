//! Whether a filter holds for an event: logic (RFC 9535, section 2.3.5), and the walk of its
//! queries (sections 2.3 and 2.5). Both stand in one file, because a query may hold filters of its
//! own.

use super::budget::{Steps, Stop};
use super::input::{FIELDS, FilterInput};
use super::pattern::Pattern;
use super::syntax::{Comparable, Logical, PathQuery, PathSegment, PatternArgument, Selector};
use super::value::{EventNode, EventText, FilterValue, compare, length, member, value_of};
use crate::model::json::{Children, JsonKind, Node};
use crate::model::{Header, limits};

/// The event, and the node of it that `@` stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a, 'f> {
    pub input: &'a FilterInput<'f>,
    pub current: &'a EventNode<'a>,
}

/// Whether the expression holds for the event.
pub(super) fn holds(
    logical: &Logical,
    input: &FilterInput<'_>,
    steps: &mut Steps,
) -> Result<bool, Stop> {
    is_true(logical, Scope { input, current: &EventNode::Event }, steps)
}

fn is_true<'a>(
    logical: &'a Logical,
    scope: Scope<'a, '_>,
    steps: &mut Steps,
) -> Result<bool, Stop> {
    steps.take(1)?;
    match logical {
        Logical::Any(parts) => several(parts, scope, steps, true),
        Logical::All(parts) => several(parts, scope, steps, false),
        Logical::Not(inside) => is_true(inside, scope, steps).map(|holds| !holds),
        Logical::Exists(query) => {
            let mut found = false;
            visit(query, scope, steps, &mut |_, _| {
                found = true;
                Ok(false)
            })
            .map(|()| found)
        }

        Logical::Compare(left, comparison, right) => {
            let (left, right) = (value(left, scope, steps)?, value(right, scope, steps)?);
            compare(&left, *comparison, &right, steps)
        }
        Logical::Match { value: of, pattern, whole } => {
            let FilterValue::Text(text) = value(of, scope, steps)? else { return Ok(false) };
            matches(&text.text, pattern, *whole, scope, steps)
        }
    }
}

/// `||` and `&&`: `decides` is the value of a part that decides the whole. A part that cannot be
/// evaluated does not matter where another one decides.
fn several<'a>(
    parts: &'a [Logical],
    scope: Scope<'a, '_>,
    steps: &mut Steps,
    decides: bool,
) -> Result<bool, Stop> {
    let mut unread = false;
    for part in parts {
        match is_true(part, scope, steps) {
            Ok(holds) if holds == decides => return Ok(decides),
            Ok(_) => {}
            Err(Stop::BeyondLimit) => unread = true,
            Err(stop @ (Stop::OutOfSteps | Stop::BodyNotRead)) => return Err(stop),
        }
    }
    if unread { Err(Stop::BeyondLimit) } else { Ok(!decides) }
}

/// `match()` and `search()`.
fn matches<'a>(
    text: &str,
    pattern: &'a PatternArgument,
    whole: bool,
    scope: Scope<'a, '_>,
    steps: &mut Steps,
) -> Result<bool, Stop> {
    match pattern {
        PatternArgument::Compiled(pattern) => pattern.is_match(text, whole, steps),
        PatternArgument::Nothing => Ok(false),
        PatternArgument::Dynamic(from) => {
            let FilterValue::Text(EventText { text: pattern, invalid: None }) =
                value(from, scope, steps)?
            else {
                return Ok(false);
            };

            // The pattern may come from the event, so it is compiled for each event, within limits.
            // With more steps a long one would be no shorter.
            if pattern.len() > limits::FILTER_DYNAMIC {
                return Err(Stop::BeyondLimit);
            }
            steps.take(limits::FILTER_DYNAMIC_STEPS)?;
            match Pattern::compile(&pattern, limits::FILTER_DYNAMIC_PATTERN) {
                Ok(compiled) => compiled.is_match(text, whole, steps),
                Err(_malformed) => Ok(false),
            }
        }
    }
}

/// The value of one side of a comparison, or of a function's argument.
fn value<'a>(
    from: &'a Comparable,
    scope: Scope<'a, '_>,
    steps: &mut Steps,
) -> Result<FilterValue<'a>, Stop> {
    steps.take(1)?;
    Ok(match from {
        Comparable::Text(text) => FilterValue::Text(text.as_str().into()),
        Comparable::Number(text) => FilterValue::Number(text.into()),
        Comparable::Bool(is) => FilterValue::Bool(*is),
        Comparable::Null => FilterValue::Null,
        Comparable::PathQuery(query) | Comparable::Value(query) => one(query, scope, steps)?,
        Comparable::Length(of) => length(&value(of, scope, steps)?, scope.input, steps)?,
        Comparable::Count(query) => {
            let mut count = 0u64;
            visit(query, scope, steps, &mut |_, _| {
                count += 1;
                Ok(true)
            })?;
            FilterValue::Number(count.to_string().into())
        }
    })
}

/// The value of a query that selects exactly one node; `Nothing` for any other.
fn one<'a>(
    query: &'a PathQuery,
    scope: Scope<'a, '_>,
    steps: &mut Steps,
) -> Result<FilterValue<'a>, Stop> {
    let mut found = None;
    let mut several = false;
    visit(query, scope, steps, &mut |node, steps| {
        several = found.is_some();
        if !several {
            found = Some(value_of(node, steps)?);
        }
        Ok(!several)
    })?;

    Ok(found.filter(|_| !several).unwrap_or(FilterValue::Nothing))
}

/// Takes the nodes that a query selects, one after the other. Returns whether it wants more.
type Visitor<'v, 'a> = &'v mut dyn FnMut(EventNode<'a>, &mut Steps) -> Result<bool, Stop>;

/// Gives each node that a query selects to `take`, until that wants no more.
fn visit<'a>(
    query: &'a PathQuery,
    scope: Scope<'a, '_>,
    steps: &mut Steps,
    take: Visitor<'_, 'a>,
) -> Result<(), Stop> {
    let from = if query.root { EventNode::Event } else { scope.current.clone() };
    let mut walk = FilterWalk { input: scope.input, take };
    walk.down(from, &query.segments, steps).map(|_more| ())
}

/// The walk of one query over an event. Its methods return whether `take` wants more.
struct FilterWalk<'v, 'a, 'f> {
    input: &'a FilterInput<'f>,
    take: Visitor<'v, 'a>,
}

impl<'a> FilterWalk<'_, 'a, '_> {
    /// Follows the remaining segments. The recursion is at most as deep as the filter's text is
    /// long.
    fn down(
        &mut self,
        from: EventNode<'a>,
        segments: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        steps.take(1)?;
        match segments.split_first() {
            None => (self.take)(from, steps),
            Some((PathSegment::Children(selectors), rest)) => {
                self.children(&from, selectors, rest, steps)
            }
            Some((PathSegment::Descendants(selectors), rest)) => {
                self.descendants(&from, selectors, rest, steps)
            }
        }
    }

    /// The segment `..`: the selectors apply to the node and to everything below it.
    fn descendants(
        &mut self,
        from: &EventNode<'a>,
        selectors: &'a [Selector],
        rest: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        let below: &mut dyn Iterator<Item = EventNode<'a>> = match from {
            EventNode::Event => {
                let documents = [self.field("query", steps)?, self.field("body", steps)?];
                let roots = documents.into_iter().flatten().filter_map(|node| match node {
                    EventNode::Json(root) => Some(root),
                    _ => None,
                });
                let nodes = roots.flat_map(|root| root.subtree().map(EventNode::Json));
                &mut [EventNode::Event, EventNode::Headers].into_iter().chain(nodes)
            }
            EventNode::Json(node) => &mut node.subtree().map(EventNode::Json),
            other => &mut std::iter::once(other.clone()),
        };

        // A node that cannot be evaluated does not matter where another one decides.
        let mut unread = false;
        for node in below {
            steps.take(1)?;
            match self.children(&node, selectors, rest, steps) {
                Ok(true) => {}
                Err(Stop::BeyondLimit) => unread = true,
                ended => return ended,
            }
        }
        if unread { Err(Stop::BeyondLimit) } else { Ok(true) }
    }

    /// The selectors of one segment, applied to one node.
    fn children(
        &mut self,
        from: &EventNode<'a>,
        selectors: &'a [Selector],
        rest: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        for selector in selectors {
            let more = match (from, selector) {
                (EventNode::Event, Selector::Name(name)) => match self.field(name, steps)? {
                    Some(field) => self.down(field, rest, steps)?,
                    None => true,
                },
                (EventNode::Event, Selector::Every) => self.every_field(None, rest, steps)?,
                (EventNode::Event, Selector::Filter(filter)) => {
                    self.every_field(Some(filter), rest, steps)?
                }
                (EventNode::Headers, Selector::Name(name)) => {
                    match self.input.header(name, steps)? {
                        Some(header) => self.down(text_of(header), rest, steps)?,
                        None => true,
                    }
                }
                (EventNode::Headers, Selector::Every) => self.every_header(None, rest, steps)?,
                (EventNode::Headers, Selector::Filter(filter)) => {
                    self.every_header(Some(filter), rest, steps)?
                }
                (EventNode::Json(node), selector) => self.select(*node, selector, rest, steps)?,
                _ => true,
            };

            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A member of the event; `None` when there is none of this name.
    fn field(&self, name: &str, steps: &mut Steps) -> Result<Option<EventNode<'a>>, Stop> {
        Ok(Some(match name {
            "type" => EventNode::Text(self.input.kind.into()),
            "source" => EventNode::Text(self.input.source.into()),
            "headers" => EventNode::Headers,
            "query" => {
                self.input.query(steps)?.map_or(EventNode::Null, |doc| EventNode::Json(doc.root()))
            }
            "body" => self.input.body()?.map_or(EventNode::Null, |doc| EventNode::Json(doc.root())),
            _ => return Ok(None),
        }))
    }

    fn every_field(
        &mut self,
        filter: Option<&'a Logical>,
        rest: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        let mut fields = Vec::new();
        for name in FIELDS {
            fields.extend(self.field(name, steps)?);
        }
        self.each(fields.into_iter(), filter, rest, steps)
    }

    fn every_header(
        &mut self,
        filter: Option<&'a Logical>,
        rest: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        let headers = self.input.headers;
        steps.take(headers.iter().map(|header| 1 + header.value.len() / 16).sum())?;
        self.each(headers.iter().map(text_of), filter, rest, steps)
    }

    /// One selector, applied to a node of a JSON document.
    fn select(
        &mut self,
        node: Node<'a>,
        selector: &'a Selector,
        rest: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        // Of an open node only a part was read: what was not found may stand behind it.
        let unread =
            |found: bool| if found || !node.is_open() { Ok(true) } else { Err(Stop::BeyondLimit) };

        match selector {
            Selector::Name(name) => match member(node, name.as_bytes(), steps)? {
                Some(value) => self.down(EventNode::Json(value), rest, steps),
                None => unread(false),
            },
            Selector::Every => {
                let more = self.each(values(node.children()), None, rest, steps)?;
                if more { unread(false) } else { Ok(false) }
            }
            Selector::Filter(filter) => {
                let more = self.each(values(node.children()), Some(filter), rest, steps)?;
                if more { unread(false) } else { Ok(false) }
            }
            Selector::Index(_) | Selector::Slice { .. } if node.kind() != JsonKind::Array => {
                unread(node.kind() != JsonKind::Text)
            }
            Selector::Index(index) => {
                let from_end = *index < 0;
                if from_end {
                    unread(false)?;
                }
                match position(*index, node.len()) {
                    Some(at) => {
                        self.each(values(skipped(node, at, steps)?.take(1)), None, rest, steps)
                    }
                    None => unread(false),
                }
            }
            Selector::Slice { start, end, step } => {
                unread(false)?;
                self.slice(node, (*start, *end, *step), rest, steps)
            }
        }
    }

    /// Follows the remaining segments from each of these nodes for which the filter holds.
    fn each(
        &mut self,
        children: impl Iterator<Item = EventNode<'a>>,
        filter: Option<&'a Logical>,
        rest: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        let mut unread = false;
        for child in children {
            let holds = match filter {
                None => Ok(true),
                Some(filter) => {
                    is_true(filter, Scope { input: self.input, current: &child }, steps)
                }
            };

            match holds {
                Ok(true) if !self.down(child, rest, steps)? => return Ok(false),
                Ok(_) => {}
                Err(Stop::BeyondLimit) => unread = true,
                Err(stop) => return Err(stop),
            }
        }
        if unread { Err(Stop::BeyondLimit) } else { Ok(true) }
    }

    /// A slice (RFC 9535, section 2.3.4.2). The order does not matter to a filter, so elements are
    /// always visited upwards.
    fn slice(
        &mut self,
        node: Node<'a>,
        (start, end, step): (Option<i64>, Option<i64>, i64),
        rest: &'a [PathSegment],
        steps: &mut Steps,
    ) -> Result<bool, Stop> {
        let length = i64::try_from(node.len()).unwrap_or(i64::MAX);
        let at = |index: i64| if index < 0 { length + index } else { index };

        let (first, last) = match step {
            0 => return Ok(true),
            1.. => (
                at(start.unwrap_or(0)).clamp(0, length),
                at(end.unwrap_or(length)).clamp(0, length),
            ),
            _ => {
                let upper = at(start.unwrap_or(length - 1)).clamp(-1, length - 1);
                let lower = end.map_or(-1, at).clamp(-1, length - 1);
                // A negative step selects downwards from `upper`: begin at the lowest one it
                // selects.
                let stride = step.unsigned_abs().cast_signed();
                let count = (upper - lower + stride - 1).div_euclid(stride).max(0);
                (upper - (count - 1) * stride, upper + 1)
            }
        };

        let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
        let (Ok(first), Ok(count)) = (usize::try_from(first), usize::try_from(last - first)) else {
            return Ok(true);
        };

        steps.take(count)?;
        self.each(
            values(skipped(node, first, steps)?.take(count).step_by(stride)),
            None,
            rest,
            steps,
        )
    }
}

fn values<'a>(
    children: impl Iterator<Item = (Option<Node<'a>>, Node<'a>)>,
) -> impl Iterator<Item = EventNode<'a>> {
    children.map(|(_, value)| EventNode::Json(value))
}

/// The children of an array from its `at`th on.
fn skipped<'a>(node: Node<'a>, at: usize, steps: &mut Steps) -> Result<Children<'a>, Stop> {
    steps.take(1 + at)?;
    let mut children = node.children();
    if at > 0 {
        let _before = children.nth(at - 1);
    }
    Ok(children)
}

/// The position of an index, which counts from the end when it is negative.
fn position(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let at = if index < 0 { length.checked_add(index)? } else { index };
    usize::try_from(at).ok().filter(|_| at < length)
}

fn text_of(header: &Header) -> EventNode<'_> {
    EventNode::Text(EventText::of_bytes(&header.value))
}
