//! The signature base of an HTTP request (RFC 9421, 2): the covered components, each with its
//! value.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;

use data_encoding::BASE64;

use super::structured::{
    Dictionary, Parameters, SfItem, SfMember, SfValue, dictionary, write_dictionary, write_item,
    write_member,
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

/// What the components of a request are taken from. Each header and the query are read once,
/// however many components name a part of them.
pub(super) struct ComponentValues<'r> {
    request: &'r Request<'r>,
    target: Option<TargetUri<'r>>,
    dictionaries: BTreeMap<String, Rc<Dictionary>>,
    query: Option<BTreeMap<String, QueryValue>>,
}

/// A field of the query, encoded anew.
struct QueryValue {
    text: String,
    is_repeated: bool,
}

impl<'r> ComponentValues<'r> {
    pub(super) fn of(request: &'r Request<'r>) -> Self {
        let target = TargetUri::of(request);
        Self { request, target, dictionaries: BTreeMap::new(), query: None }
    }

    /// The bytes that are signed.
    pub(super) fn signature_base(
        &mut self,
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
            base.extend_from_slice(&self.value(component)?);
            base.push(b'\n');
        }

        let mut line = "\"@signature-params\": ".to_owned();
        write_member(&mut line, &SfMember::Inner(items.to_vec(), parameters.clone()));
        base.extend_from_slice(line.as_bytes());
        Ok(base)
    }

    /// A header read as a dictionary; `None` when it is not there or is none.
    pub(super) fn dictionary(&mut self, name: &str) -> Option<Rc<Dictionary>> {
        if let Some(read) = self.dictionaries.get(name) {
            return Some(read.clone());
        }
        let joined = joined(self.request, name)?;
        let read = Rc::new(std::str::from_utf8(&joined).ok().and_then(dictionary)?);
        self.dictionaries.insert(name.to_owned(), read.clone());
        Some(read)
    }

    fn value(&mut self, component: &Component) -> Result<Vec<u8>, ProofRefusal> {
        if !component.name.starts_with('@') {
            return self.field(component);
        }
        let target = self.target.as_ref();
        let target = target.ok_or_else(|| ProofRefusal::malformed("the URL is not absolute"))?;
        Ok(match component.name.as_str() {
            "@method" => self.request.method.to_owned(),
            "@target-uri" => target.uri.to_owned(),
            "@authority" => target.authority.clone(),
            "@scheme" => target.scheme.clone(),
            "@path" => target.path.to_owned(),
            "@query" => format!("?{}", target.query.unwrap_or_default()),
            "@request-target" => match target.query {
                Some(query) => format!("{}?{query}", target.path),
                None => target.path.to_owned(),
            },
            _ => self.query_param(component)?,
        }
        .into_bytes())
    }

    /// One field of the query, decoded and encoded anew (2.2.8); it must occur exactly once.
    fn query_param(&mut self, component: &Component) -> Result<String, ProofRefusal> {
        let wanted = component.text("name").unwrap_or_default();
        let fields = match &mut self.query {
            Some(fields) => fields,
            none => none.insert(query_values(self.target.as_ref().and_then(|it| it.query))?),
        };
        match fields.get(wanted) {
            Some(QueryValue { text, is_repeated: false }) => Ok(text.clone()),
            Some(_) => Err(ProofRefusal::duplicate(format!(
                "the covered query field {wanted:?} occurs in the URL twice"
            ))),
            None => Err(ProofRefusal::missing(format!(
                "the covered query field {wanted:?} is not in the URL"
            ))),
        }
    }

    fn field(&mut self, component: &Component) -> Result<Vec<u8>, ProofRefusal> {
        let name = component.name.as_str();
        let missing =
            || ProofRefusal::missing(format!("the covered header {name} is not in the request"));
        if !self.request.headers.iter().any(|header| header.name == name) {
            return Err(missing());
        }

        if component.has("bs") {
            let values = values(self.request, name);
            let values = values.iter().map(|value| format!(":{}:", BASE64.encode(value)));
            return Ok(values.collect::<Vec<_>>().join(", ").into_bytes());
        }

        let key = component.text("key");
        if key.is_none() && !component.has("sf") {
            return joined(self.request, name).ok_or_else(missing);
        }
        if key.is_none() && !DICTIONARIES.contains(&name) {
            return Err(ProofRefusal::malformed(format!(
                "the structure of the covered header {name} (;sf) is not known"
            )));
        }

        let read = self.dictionary(name).ok_or_else(|| {
            ProofRefusal::malformed(format!(
                "the covered header {name} is not a structured dictionary"
            ))
        })?;
        let Some(key) = key else { return Ok(write_dictionary(&read).into_bytes()) };

        let (_, member) = read.iter().find(|(member, _)| member == key).ok_or_else(|| {
            ProofRefusal::missing(format!("the covered header {name} has no member {key:?}"))
        })?;
        let mut text = String::new();
        write_member(&mut text, member);
        Ok(text.into_bytes())
    }
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
    /// `None` when the URL is not absolute.
    fn of(request: &Request<'r>) -> Option<Self> {
        let uri = request.url.split('#').next().unwrap_or_default();
        let (scheme, rest) = uri.split_once("://")?;
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
        Some(Self { uri, scheme, authority, path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// The fields of the query by their names, as RFC 9421 (2.2.8) encodes them.
fn query_values(query: Option<&str>) -> Result<BTreeMap<String, QueryValue>, ProofRefusal> {
    let mut values = BTreeMap::new();
    for (name, value) in form::parse(query.unwrap_or_default().as_bytes())? {
        match values.entry(encode(&name)) {
            Entry::Occupied(mut known) => {
                let known: &mut QueryValue = known.get_mut();
                known.is_repeated = true;
            }
            Entry::Vacant(place) => {
                place.insert(QueryValue { text: encode(&value), is_repeated: false });
            }
        }
    }
    Ok(values)
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

/// The field's values, without white space around them.
fn values(request: &Request<'_>, name: &str) -> Vec<Vec<u8>> {
    let named = request.headers.iter().filter(|header| header.name == name);
    named.map(|header| header.value.trim_ascii().to_vec()).collect()
}

/// All values of a field, joined as one (2.1); `None` when it is not there.
fn joined(request: &Request<'_>, name: &str) -> Option<Vec<u8>> {
    let values = values(request, name);
    if values.is_empty() { None } else { Some(values.join(&b", "[..])) }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{ComponentValues, components};
    use crate::ingest::verify::Request;
    use crate::ingest::verify::structured::{SfMember, dictionary};
    use crate::model::Header;

    #[test]
    fn a_header_and_the_query_are_read_once_however_many_components_name_them() {
        let covered = r#"s=("a";key="x" "a";key="y" "@query-param";name="p" "a";key="x";sf)"#;
        let read = dictionary(covered).expect("a dictionary");
        let Some((_, SfMember::Inner(items, parameters))) = read.first() else { panic!("a list") };
        let components = components(items).expect("those of a request");

        let headers = [Header::new("a", "x=1, y=2")];
        let (method, url) = ("POST", "https://h.example/?p=1&q=2");
        let request =
            Request { method, url, headers: &headers, body: b"", client: None, keys: None };
        let mut values = ComponentValues::of(&request);
        values.value(&components[0]).expect("a value");
        let first = values.dictionary("a").expect("a dictionary");
        let base = values.signature_base(&components, items, parameters).expect("a base");

        assert!(base.starts_with(b"\"a\";key=\"x\": 1\n\"a\";key=\"y\": 2\n"));
        assert!(Rc::ptr_eq(&first, &values.dictionary("a").expect("a dictionary")), "read again");
        assert_eq!(values.query.map(|fields| fields.len()), Some(2), "all of them, for all");
    }
}
