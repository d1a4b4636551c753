//! The event's body, where a source takes it out of a part of what was posted (`--body-from`).

use bytes::Bytes;

use crate::model::Source;

use super::form::{parse, single};
use super::{BodyPart, Request};

/// The event's body, where it stands in a field of the form that was posted (`--body-from
/// form:payload`). What is no form, or has no such field or two of them, stays as it came.
pub(super) fn body_part(source: &Source, request: &Request<'_>) -> Option<BodyPart> {
    let field = source.body_field.as_deref().filter(|_| request.is_form())?;
    let fields = parse(request.body).ok()?;
    let value = single(&fields, field).ok()??;

    let is_json = matches!(value.trim_ascii_start().first(), Some(b'{' | b'['));
    let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    Some(BodyPart { body: Bytes::copy_from_slice(value), content_type })
}
