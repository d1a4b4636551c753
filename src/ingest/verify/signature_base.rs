//! The signature base of an HTTP request (RFC 9421, 2): the covered components, each with its
//! value.

use data_encoding::BASE64;

use super::structured::{
    Parameters, SfItem, SfMember, SfValue, dictionary, write_dictionary, write_item, write_member,
};
use super::{ProofRefusal, Request, form};

/// Fields that are known to be dictionaries, so that `;sf` can write them anew.
const DICTIONARIES: &[&str] = &[
    "content-digest",
    "repr-digest",
    "want-content-digest",
    "want-repr-digest",
    "signature",
    "signature-input",
    "accept-signature",
    "priority",
    "cache-control",
];

/// A component's identifier, checked.
pub(super) struct Component {
    pub(super) name: String,
    parameters: Parameters,
}

impl Component {
    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(key, value)| key == name && *value == SfValue::Boolean(true))
    }

    /// Whether it is the whole of this field, or of this part of a request.
    pub(super) fn is_whole(&self, name: &str) -> bool {
        self.name == name
            && self.parameters.iter().all(|(key, _)| matches!(key.as_str(), "sf" | "bs"))
    }

    /// Whether a member of that name, of a field that is a dictionary, is covered.
    pub(super) fn covers_member(&self, member: &str) -> bool {
        self.text("key").is_none_or(|key| key == member)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find_map(|(key, value)| match value {
            SfValue::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Checks what is covered: strings, each once, with parameters that a request can have.
pub(super) fn components(items: &[SfItem]) -> Result<Vec<Component>, ProofRefusal> {
    let mut components: Vec<Component> = Vec::new();
    for item in items {
        let SfValue::Text(name) = &item.value else {
            return Err(ProofRefusal::malformed("a covered component is not a string"));
        };

        let component = Component { name: name.clone(), parameters: item.parameters.clone() };
        if !allowed(&component) {
            let mut text = String::new();
            write_item(&mut text, item);
            return Err(ProofRefusal::malformed(format!(
                "the covered component {text} is not one of a request"
            )));
        }

        if components.iter().any(|other| same(other, &component)) {
            return Err(ProofRefusal::duplicate(format!(
                "the component {name:?} is covered twice"
            )));
        }

        components.push(component);
    }
    Ok(components)
}

/// The order of the parameters does not make a component another one (2, "MUST NOT occur more than
/// once").
fn same(left: &Component, right: &Component) -> bool {
    left.name == right.name
        && left.parameters.len() == right.parameters.len()
        && left.parameters.iter().all(|parameter| right.parameters.contains(parameter))
}

/// Whether a request can have this component, with these parameters.
fn allowed(component: &Component) -> bool {
    let name = component.name.as_str();
    match name {
        "@query-param" => component.parameters.len() == 1 && component.text("name").is_some(),
        "@method" | "@target-uri" | "@authority" | "@scheme" | "@request-target" | "@path"
        | "@query" => component.parameters.is_empty(),
        _ => is_field_name(name) && are_field_parameters(component),
    }
}

fn is_field_name(name: &str) -> bool {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !name.is_empty() && name.bytes().all(is_token)
}

fn are_field_parameters(component: &Component) -> bool {
    let is_known = |(key, value): &(String, SfValue)| match key.as_str() {
        "sf" | "bs" => *value == SfValue::Boolean(true),
        "key" => matches!(value, SfValue::Text(_)),
        _ => false,
    };
    // `;bs` takes the values as bytes, which have no structure for the others.
    let conflict = component.has("bs") && component.parameters.len() > 1;
    component.parameters.iter().all(is_known) && !conflict
}

/// The bytes that are signed.
pub(super) fn signature_base(
    request: &Request<'_>,
    components: &[Component],
    items: &[SfItem],
    parameters: &Parameters,
) -> Result<Vec<u8>, ProofRefusal> {
    let mut base = Vec::new();
    for (component, item) in components.iter().zip(items) {
        let mut line = String::new();
        write_item(&mut line, item);
        line.push_str(": ");
        base.extend_from_slice(line.as_bytes());
        base.extend_from_slice(&value(request, component)?);
        base.push(b'\n');
    }

    let mut line = "\"@signature-params\": ".to_owned();
    write_member(&mut line, &SfMember::Inner(items.to_vec(), parameters.clone()));
    base.extend_from_slice(line.as_bytes());
    Ok(base)
}

fn value(request: &Request<'_>, component: &Component) -> Result<Vec<u8>, ProofRefusal> {
    if !component.name.starts_with('@') {
        return field(request, component);
    }
    let target = TargetUri::of(request)?;
    Ok(match component.name.as_str() {
        "@method" => request.method.to_owned(),
        "@target-uri" => target.uri.to_owned(),
        "@authority" => target.authority,
        "@scheme" => target.scheme,
        "@path" => target.path.to_owned(),
        "@query" => format!("?{}", target.query.unwrap_or_default()),
        "@request-target" => match target.query {
            Some(query) => format!("{}?{query}", target.path),
            None => target.path.to_owned(),
        },
        _ => query_param(&target, component)?,
    }
    .into_bytes())
}

/// The request's URL, taken apart. No part is decoded.
struct TargetUri<'r> {
    uri: &'r str,
    scheme: String,
    /// In lower case, without the scheme's own port (2.2.3).
    authority: String,
    path: &'r str,
    query: Option<&'r str>,
}

impl<'r> TargetUri<'r> {
    fn of(request: &Request<'r>) -> Result<Self, ProofRefusal> {
        let uri = request.url.split('#').next().unwrap_or_default();
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| ProofRefusal::malformed("the URL is not absolute"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };

        let scheme = scheme.to_ascii_lowercase();
        let authority = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let own_port = if scheme == "http" { ":80" } else { ":443" };
        let authority = authority.strip_suffix(own_port).unwrap_or(&authority).to_owned();
        Ok(Self { uri, scheme, authority, path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// One field of the query, decoded and encoded anew (2.2.8); it must occur exactly once.
fn query_param(target: &TargetUri<'_>, component: &Component) -> Result<String, ProofRefusal> {
    let wanted = component.text("name").unwrap_or_default();
    let fields = form::parse(target.query.unwrap_or_default().as_bytes())?;
    let mut found = fields.iter().filter(|(name, _)| encode(name) == wanted);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Ok(encode(value)),
        (None, _) => Err(ProofRefusal::missing(format!(
            "the covered query field {wanted:?} is not in the URL"
        ))),
        (Some(_), Some(_)) => Err(ProofRefusal::duplicate(format!(
            "the covered query field {wanted:?} occurs in the URL twice"
        ))),
    }
}

/// The percent-encode set of `application/x-www-form-urlencoded`, a space being `%20`.
fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn field(request: &Request<'_>, component: &Component) -> Result<Vec<u8>, ProofRefusal> {
    let name = component.name.as_str();
    let missing =
        || ProofRefusal::missing(format!("the covered header {name} is not in the request"));

    if component.has("bs") {
        let values: Vec<String> = values(request, name)
            .iter()
            .map(|value| format!(":{}:", BASE64.encode(value)))
            .collect();
        return if values.is_empty() { Err(missing()) } else { Ok(values.join(", ").into_bytes()) };
    }

    let joined = joined(request, name).ok_or_else(missing)?;
    let key = component.text("key");
    if key.is_none() && !component.has("sf") {
        return Ok(joined);
    }
    if key.is_none() && !DICTIONARIES.contains(&name) {
        return Err(ProofRefusal::malformed(format!(
            "the structure of the covered header {name} (;sf) is not known"
        )));
    }

    let read = std::str::from_utf8(&joined).ok().and_then(dictionary);
    let read = read.ok_or_else(|| {
        ProofRefusal::malformed(format!("the covered header {name} is not a structured dictionary"))
    })?;
    let Some(key) = key else { return Ok(write_dictionary(&read).into_bytes()) };

    let (_, member) = read.iter().find(|(member, _)| member == key).ok_or_else(|| {
        ProofRefusal::missing(format!("the covered header {name} has no member {key:?}"))
    })?;
    let mut text = String::new();
    write_member(&mut text, member);
    Ok(text.into_bytes())
}

/// The field's values, without white space around them.
fn values(request: &Request<'_>, name: &str) -> Vec<Vec<u8>> {
    let named = request.headers.iter().filter(|header| header.name == name);
    named.map(|header| header.value.trim_ascii().to_vec()).collect()
}

/// All values of a field, joined as one (2.1); `None` when it is not there.
pub(super) fn joined(request: &Request<'_>, name: &str) -> Option<Vec<u8>> {
    let values = values(request, name);
    if values.is_empty() { None } else { Some(values.join(&b", "[..])) }
}
