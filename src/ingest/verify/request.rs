//! Looking things up in a request: headers that stand once, query fields, the media type.

use super::{Refusal, Request, form};

impl<'a> Request<'a> {
    /// The header's bytes, or `None` when it is not there. Twice is refused.
    pub(super) fn header_bytes(&self, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut found = self.headers.iter().filter(|header| header.name == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(Refusal::duplicate(format!("the header {name} stands in the request more than once")));
        }
        Ok(first.map(|header| header.value.as_ref()))
    }

    /// The header's text, if it is there and not empty.
    pub(super) fn header_opt(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let Some(bytes) = self.header_bytes(name)? else { return Ok(None) };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Refusal::malformed(format!("the header {name} holds bytes that are not UTF-8")))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The header's text; refused when it is missing or empty.
    pub(super) fn header(&self, name: &str) -> Result<&'a str, Refusal> {
        self.header_opt(name)?.ok_or_else(|| Refusal::missing(format!("the header {name} is missing")))
    }

    /// The header as a fact beside the proof: ignored when it stands twice or cannot be read.
    pub(super) fn fact(&self, name: &str) -> Option<String> {
        self.header_opt(name).ok().flatten().map(str::to_owned)
    }

    /// The query as it came, without the question mark.
    pub(super) fn query(&self) -> Option<&'a str> {
        let url = self.url.split('#').next().unwrap_or_default();
        url.split_once('?').map(|(_, query)| query)
    }

    /// The decoded value of a query field that stands at most once.
    pub(super) fn query_field(&self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let fields = form::parse(self.query().unwrap_or_default().as_bytes());
        form::single(&fields, name)
            .map(|value| value.map(<[u8]>::to_vec))
            .map_err(|_| Refusal::duplicate(format!("the query field {name} stands in the URL more than once")))
    }

    /// The credentials of `Authorization: <scheme> …`; the scheme's name is case-insensitive (RFC 9110, 11.1).
    pub(super) fn authorization(&self, scheme: &str) -> Result<&'a str, Refusal> {
        let value = self.header("authorization")?;
        let (word, rest) = value.split_once(' ').unwrap_or((value, ""));
        let rest = rest.trim_matches(' ');
        if !word.eq_ignore_ascii_case(scheme) || rest.is_empty() {
            return Err(Refusal::malformed(format!("the Authorization header is not of the form \"{scheme} …\"")));
        }
        Ok(rest)
    }

    /// The content type without its parameters, in lower case; empty when there is none.
    pub(super) fn media_type(&self) -> String {
        let value = self.fact("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(super) fn is_form(&self) -> bool {
        self.media_type() == "application/x-www-form-urlencoded"
    }
}
