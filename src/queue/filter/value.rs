//! The values that filters compare, and the parts of an event that they come from.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::budget::{Steps, Stop};
use super::input::{FIELDS, FilterInput};
use super::syntax::Comparison;
use crate::model::json::{JsonKind, JsonText, Node, Number};

/// A text of an event.
#[derive(Clone, Debug)]
pub(super) struct EventText<'a> {
    /// With U+FFFD for whatever is not valid.
    pub text: Cow<'a, str>,
    /// The bytes of one that is not valid, since others are read like it.
    pub invalid: Option<Cow<'a, [u8]>>,
}

impl<'a> From<&'a str> for EventText<'a> {
    fn from(text: &'a str) -> Self {
        Self { text: text.into(), invalid: None }
    }
}

impl<'a> EventText<'a> {
    /// The text that bytes are.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        match String::from_utf8_lossy(bytes) {
            Cow::Borrowed(text) => text.into(),
            read => Self { text: read, invalid: Some(bytes.into()) },
        }
    }

    fn of_node(node: Node<'a>) -> Self {
        match node.text() {
            None => "".into(),
            Some(JsonText { text, exact: true }) => Self { text, invalid: None },
            Some(JsonText { text, .. }) => Self { text, invalid: Some(node.text_bytes()) },
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.text == other.text && self.invalid == other.invalid
    }
}

/// A node of an event, as queries select it.
#[derive(Clone, Debug)]
pub(super) enum EventNode<'a> {
    Event,
    Headers,
    Text(EventText<'a>),
    Null,
    Json(Node<'a>),
}

/// A value that is compared, or an argument of a function.
#[derive(Clone, Debug)]
pub(super) enum FilterValue<'a> {
    Nothing,
    Null,
    Bool(bool),
    Number(Cow<'a, str>),
    Text(EventText<'a>),
    /// Arrays and objects.
    Json(Node<'a>),
    Event,
    Headers,
}

/// The value of a node.
pub(super) fn value_of<'a>(
    node: EventNode<'a>,
    steps: &mut Steps,
) -> Result<FilterValue<'a>, Stop> {
    Ok(match node {
        EventNode::Event => FilterValue::Event,
        EventNode::Headers => FilterValue::Headers,
        EventNode::Text(text) => FilterValue::Text(text),
        EventNode::Null => FilterValue::Null,
        EventNode::Json(node) => {
            if node.is_open() {
                return Err(Stop::BeyondLimit);
            }

            steps.take(1 + node.size() / 16)?;
            match node.kind() {
                JsonKind::Null => FilterValue::Null,
                JsonKind::True => FilterValue::Bool(true),
                JsonKind::False => FilterValue::Bool(false),
                JsonKind::Number => {
                    FilterValue::Number(node.number().map_or("0", Number::text).into())
                }
                JsonKind::Text | JsonKind::Name => FilterValue::Text(EventText::of_node(node)),
                JsonKind::Array | JsonKind::Object => FilterValue::Json(node),
            }
        }
    })
}

/// `length()`.
pub(super) fn length<'a>(
    of: &FilterValue<'a>,
    input: &FilterInput<'_>,
    steps: &mut Steps,
) -> Result<FilterValue<'a>, Stop> {
    let length = match of {
        FilterValue::Text(EventText { text, .. }) => {
            steps.take(text.len() / 16)?;
            text.chars().count()
        }
        FilterValue::Json(node) => node.len(),
        FilterValue::Event => FIELDS.len(),
        FilterValue::Headers => input.headers.len(),
        FilterValue::Nothing
        | FilterValue::Null
        | FilterValue::Bool(_)
        | FilterValue::Number(_) => {
            return Ok(FilterValue::Nothing);
        }
    };
    Ok(FilterValue::Number(length.to_string().into()))
}

/// Whether a comparison holds.
pub(super) fn compare(
    left: &FilterValue<'_>,
    comparison: Comparison,
    right: &FilterValue<'_>,
    steps: &mut Steps,
) -> Result<bool, Stop> {
    let equal = matches!(
        comparison,
        Comparison::Equal
            | Comparison::NotEqual
            | Comparison::LessOrEqual
            | Comparison::GreaterOrEqual
    );
    if equal && same(left, right, steps)? {
        return Ok(comparison != Comparison::NotEqual);
    }

    let ordered = match (left, right) {
        (FilterValue::Number(a), FilterValue::Number(b)) => {
            Some(Number::new(a).compare(Number::new(b)))
        }
        (FilterValue::Text(a), FilterValue::Text(b)) if a.text != b.text => {
            Some(a.text.cmp(&b.text))
        }
        _ => None,
    };
    steps.take(size(left).min(size(right)) / 16)?;

    Ok(match comparison {
        Comparison::Equal => false,
        Comparison::NotEqual => true,
        Comparison::Less | Comparison::LessOrEqual => ordered == Some(Ordering::Less),
        Comparison::Greater | Comparison::GreaterOrEqual => ordered == Some(Ordering::Greater),
    })
}

fn size(value: &FilterValue<'_>) -> usize {
    match value {
        FilterValue::Number(text) => text.len(),
        FilterValue::Text(text) => text.text.len(),
        _ => 0,
    }
}

/// Whether two values are equal. Without recursion, because they may be nested deeply.
fn same<'a>(
    left: &FilterValue<'a>,
    right: &FilterValue<'a>,
    steps: &mut Steps,
) -> Result<bool, Stop> {
    let mut pairs = vec![(left.clone(), right.clone())];
    while let Some((a, b)) = pairs.pop() {
        steps.take(1 + size(&a).min(size(&b)) / 16)?;
        let same = match (&a, &b) {
            (FilterValue::Nothing, FilterValue::Nothing)
            | (FilterValue::Null, FilterValue::Null)
            | (FilterValue::Event, FilterValue::Event)
            | (FilterValue::Headers, FilterValue::Headers) => true,
            (FilterValue::Bool(a), FilterValue::Bool(b)) => a == b,
            (FilterValue::Number(a), FilterValue::Number(b)) => {
                Number::new(a).compare(Number::new(b)) == Ordering::Equal
            }
            (FilterValue::Text(a), FilterValue::Text(b)) => a.is_same(b),
            (FilterValue::Json(a), FilterValue::Json(b))
                if a.kind() == b.kind() && a.len() == b.len() =>
            {
                inside(*a, *b, &mut pairs, steps)?
            }
            _ => false,
        };

        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds the children of two arrays or objects to the pairs to compare. Returns whether the two can
/// be equal.
fn inside<'a>(
    a: Node<'a>,
    b: Node<'a>,
    pairs: &mut Vec<(FilterValue<'a>, FilterValue<'a>)>,
    steps: &mut Steps,
) -> Result<bool, Stop> {
    let mut others = b.children();
    for (name, value) in a.children() {
        let other = match name {
            None => others.next().map(|(_, other)| other),
            Some(name) => {
                let name = name.text_bytes();
                member(b, &name, steps)?
            }
        };
        let Some(other) = other else { return Ok(false) };

        let (value, other) =
            (value_of(EventNode::Json(value), steps)?, value_of(EventNode::Json(other), steps)?);
        pairs.push((value, other));
    }
    Ok(true)
}

/// A member of an object; of several with one name the last one.
pub(super) fn member<'a>(
    object: Node<'a>,
    name: &[u8],
    steps: &mut Steps,
) -> Result<Option<Node<'a>>, Stop> {
    let mut found = None;
    if object.kind() == JsonKind::Object {
        for (called, value) in object.children() {
            // A long name takes as long as it is, each time.
            steps.take(1 + called.map_or(0, |called| called.size() / 16))?;
            if called.is_some_and(|called| called.is_called(name)) {
                found = Some(value);
            }
        }
    }
    Ok(found)
}
