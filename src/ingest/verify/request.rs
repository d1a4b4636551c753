//! A request as its sender signed it, and how it is read: headers that occur once, query fields,
//! the media type.

use super::certificate::ClientCert;
use super::form;
use super::refusal::ProofRefusal;
use super::token_keys::TokenKeys;
use crate::model::{Header, exact_text};

/// The request as the sender signed it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The absolute public URL with its query, byte for byte.
    pub url: &'a str,
    /// Names in lower case.
    pub headers: &'a [Header],
    pub body: &'a [u8],
    /// The certificate that the client showed in the TLS handshake, proven there.
    pub client: Option<&'a ClientCert>,
    /// The source's key set, where the caller keeps it; else it is parsed from the settings.
    pub keys: Option<&'a TokenKeys>,
}

impl<'a> Request<'a> {
    /// The header's bytes, or `None` when it is not there. Twice is refused.
    pub(super) fn header_bytes(&self, name: &str) -> Result<Option<&'a [u8]>, ProofRefusal> {
        let mut found = self.headers.iter().filter(|header| header.name == name);

        let first = found.next();
        if found.next().is_some() {
            return Err(ProofRefusal::duplicate(format!(
                "the header {name} occurs in the request more than once"
            )));
        }
        Ok(first.map(|header| header.value.as_ref()))
    }

    /// The header's text, if it is there and not empty.
    pub(super) fn header_opt(&self, name: &str) -> Result<Option<&'a str>, ProofRefusal> {
        let Some(bytes) = self.header_bytes(name)? else { return Ok(None) };
        let text = std::str::from_utf8(bytes).map_err(|_| {
            ProofRefusal::malformed(format!("the header {name} holds bytes that are not UTF-8"))
        })?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The header's text; refused when it is missing or empty.
    pub(super) fn header(&self, name: &str) -> Result<&'a str, ProofRefusal> {
        self.header_opt(name)?
            .ok_or_else(|| ProofRefusal::missing(format!("the header {name} is missing")))
    }

    /// The text of a header that is not a part of the proof: ignored when it occurs twice or cannot
    /// be read.
    pub(super) fn readable_header(&self, name: &str) -> Option<String> {
        self.header_opt(name).ok().flatten().map(str::to_owned)
    }

    /// A header that tells deliveries apart and is not a part of the proof: ignored when it occurs
    /// twice. Two that differ are different, also where they are not UTF-8.
    pub(super) fn key_header(&self, name: &str) -> Option<String> {
        let value = self.header_bytes(name).ok().flatten().filter(|value| !value.is_empty());
        value.map(exact_text)
    }

    /// The query as it came, without the question mark.
    pub(super) fn query(&self) -> Option<&'a str> {
        let url = self.url.split('#').next().unwrap_or_default();
        url.split_once('?').map(|(_, query)| query)
    }

    /// The decoded value of a query field that occurs at most once.
    pub(super) fn query_field(&self, name: &str) -> Result<Option<Vec<u8>>, ProofRefusal> {
        let fields = form::parse(self.query().unwrap_or_default().as_bytes())?;
        form::single(&fields, name).map(|value| value.map(<[u8]>::to_vec)).map_err(|_| {
            ProofRefusal::duplicate(format!(
                "the query field {name} occurs in the URL more than once"
            ))
        })
    }

    /// The credentials of `Authorization: <scheme> …`; the scheme's name is case-insensitive (RFC
    /// 9110, 11.1).
    pub(super) fn authorization(&self, scheme: &str) -> Result<&'a str, ProofRefusal> {
        let value = self.header("authorization")?;
        let (word, rest) = value.split_once(' ').unwrap_or((value, ""));
        let rest = rest.trim_matches(' ');
        if !word.eq_ignore_ascii_case(scheme) || rest.is_empty() {
            return Err(ProofRefusal::malformed(format!(
                "the Authorization header is not of the form \"{scheme} …\""
            )));
        }
        Ok(rest)
    }

    /// The content type without its parameters, in lower case; empty when there is none.
    pub(super) fn media_type(&self) -> String {
        let value = self.readable_header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(super) fn is_form(&self) -> bool {
        self.media_type() == "application/x-www-form-urlencoded"
    }
}
