//! The event as a filter sees it: `{type, source, headers, query, body}`.

use std::cell::OnceCell;

use super::budget::{Steps, Stop};
use crate::model::json::{Bounds, Doc};
use crate::model::{Event, Header, limits, query};

/// The members of an event.
pub(super) const FIELDS: [&str; 5] = ["type", "source", "headers", "query", "body"];

/// The event as a filter sees it. Query and body are parsed once, for all filters.
#[derive(Debug)]
pub struct FilterInput<'a> {
    pub(super) kind: &'a str,
    pub(super) source: &'a str,
    pub(super) headers: &'a [Header],
    request_line: &'a str,
    query: OnceCell<Option<Doc>>,
    bytes: &'a bytes::Bytes,
    bounds: Bounds,
    body: OnceCell<Option<Doc>>,
}

impl<'a> FilterInput<'a> {
    #[must_use]
    pub fn new(
        kind: &'a str,
        source: &'a str,
        headers: &'a [Header],
        request_line: &'a str,
        body: &'a bytes::Bytes,
    ) -> Self {
        let bounds = Bounds { bytes: limits::FILTER_BYTES, nodes: limits::FILTER_NODES };
        let (query, read) = (OnceCell::new(), OnceCell::new());
        Self { kind, source, headers, request_line, query, bytes: body, bounds, body: read }
    }

    #[must_use]
    pub fn of(event: &'a Event) -> Self {
        Self::new(&event.kind, &event.source_name, &event.headers, &event.request_line, &event.body)
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &'a str {
        self.source
    }

    /// The event's type.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        self.kind
    }

    /// The body as it was received.
    #[must_use]
    pub fn body_bytes(&self) -> &'a bytes::Bytes {
        self.bytes
    }

    /// Whether a filter asked for the body, and it is not JSON.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self.body.get(), Some(None))
    }

    /// Parses the body, as far as filters see it.
    ///
    /// # Errors
    /// When there are not enough steps for it.
    pub fn read(&self, steps: &mut Steps) -> Result<(), Stop> {
        if self.body.get().is_none() {
            steps.take(1 + self.bytes.len().min(self.bounds.bytes) / 4)?;
            self.body.get_or_init(|| Doc::read(self.bytes, self.bounds).ok());
        }
        Ok(())
    }

    /// The body; `None` when it is not JSON.
    pub(super) fn body(&self) -> Result<Option<&Doc>, Stop> {
        self.body.get().map(Option::as_ref).ok_or(Stop::BodyNotRead)
    }

    /// The fields of the query, as templates see them: an object of texts, and of lists where a
    /// name occurs several times.
    pub(super) fn query(&self, steps: &mut Steps) -> Result<Option<&Doc>, Stop> {
        if self.query.get().is_none() {
            let query = query::of_line(self.request_line).unwrap_or_default();

            // It is decoded, written as JSON, and parsed; a request line has at most
            // `limits::URI_BYTES`.
            steps.take(1 + query.len())?;
            let fields = bytes::Bytes::from(query::fields_text(query));
            self.query.get_or_init(|| Doc::read(&fields, self.bounds).ok());
        }

        Ok(self.query.get().and_then(Option::as_ref))
    }

    /// The last header of this name.
    pub(super) fn header(&self, name: &str, steps: &mut Steps) -> Result<Option<&'a Header>, Stop> {
        steps.take(1 + self.headers.len())?;
        let found = self.headers.iter().rev().find(|header| header.name.eq_ignore_ascii_case(name));
        steps.take(found.map_or(0, |header| header.value.len() / 16))?;
        Ok(found)
    }
}
