//! Templates: what is sent instead of the event's own request.
//!
//! Limits: a template of at most `limits::TEMPLATE_LEN` bytes, `limits::TEMPLATE_FUEL` of work for each rendering (the
//! engine charges steps and every byte it makes, so that memory is bounded, too), `limits::SHAPED_BODY` bytes of a body
//! that is read or made, `limits::SHAPED_HEADER` of a header. How deep its expressions go is bounded before they are
//! compiled (see `terms`), for the engine recurses into them. No includes, no macros, no files.
//!
//! Invariants: a value that is not there is an error, never an empty text; whoever really wants that writes
//! `default('')`. What comes from an event cannot leave its place: it is percent-encoded in a path, where `..` is
//! refused, and a header with a control character is refused. A template that fails for an event refuses its delivery:
//! the same event would fail again.
//!
//! Secrets: `secret('env:NAME')` is looked up when it is used; such headers, and those whose name says that they are
//! one, are struck out in reports.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Uri};
use minijinja::value::{Enumerator, Object, Value};
use minijinja::{
    AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, filters, functions, tests as is,
};

use super::Lookup;
use super::message::{Message, is_ours};
use super::terms;
use crate::model::time::rfc3339;
use crate::model::{Event, Shape, limits, says_secret};

/// What a template may name.
const FACTS: [&str; 8] = ["id", "type", "source", "received_at", "headers", "body", "body_text", "attempt"];
const METHODS: [Method; 5] = [Method::POST, Method::PUT, Method::PATCH, Method::GET, Method::DELETE];
const PATH: &str = "--path";
const BODY: &str = "--body";

/// The templates of one endpoint, compiled.
pub(super) struct Shaper {
    env: Environment<'static>,
    method: Method,
    has_path: bool,
    has_body: bool,
    /// Each with its template's name.
    headers: Vec<(HeaderName, String)>,
    content_type: Option<HeaderValue>,
    missing: Missing,
}

/// Why a secret could not be looked up, when one could not.
type Missing = Arc<OnceLock<String>>;

impl Shaper {
    /// Compiles and checks them.
    ///
    /// # Errors
    /// What is wrong with which option, and the mend.
    pub(super) fn new(shape: &Shape, lookup: Option<&Lookup>) -> Result<Self, String> {
        let method = shape.method.as_deref().map_or(Ok(Method::POST), parse_method)?;
        if method == Method::GET && shape.body.is_some() {
            return Err("a GET has no body: leave --body out, or use --method POST".to_owned());
        }
        let missing = Missing::default();
        let mut env = environment(lookup.cloned(), missing.clone());
        let mut add = |name: String, source: &str| compile(&mut env, name, source);
        for (name, source) in [(PATH, &shape.path), (BODY, &shape.body)] {
            if let Some(source) = source {
                add(name.to_owned(), source)?;
            }
        }
        if shape.headers.len() > limits::SHAPED_HEADERS {
            return Err(format!("an endpoint sets at most {} headers", limits::SHAPED_HEADERS));
        }
        let mut headers = Vec::new();
        for (name, source) in &shape.headers {
            let template = format!("--header {name}");
            add(template.clone(), source)?;
            headers.push((parse_name(name)?, template));
        }
        let content_type = match shape.content_type.as_deref() {
            None if shape.body.is_some() => Some(HeaderValue::from_static("application/json")),
            None => None,
            Some(text) => {
                let value = HeaderValue::from_str(text);
                Some(value.map_err(|_| format!("--content-type '{text}' is not one: write it like text/plain"))?)
            }
        };
        let (has_path, has_body) = (shape.path.is_some(), shape.body.is_some());
        Ok(Self { env, method, has_path, has_body, headers, content_type, missing })
    }

    /// What a secret lacks that was looked up while the templates were compiled.
    pub(super) fn lacks(&self) -> Option<&String> {
        self.missing.get()
    }

    /// Puts the templates' results into `message`; `base` is the URL's own path and query.
    ///
    /// # Errors
    /// What a template made of this event that cannot be sent, or why it made nothing.
    pub(super) fn apply(
        &self,
        event: &Arc<Event>,
        number: u32,
        base: &Uri,
        message: &mut Message,
    ) -> Result<(), String> {
        let facts = Value::from_object(Facts { event: event.clone(), number, body: OnceLock::new() });
        message.method = self.method.clone();
        if self.has_path {
            message.path = Some(join(base, &self.render(PATH, &facts)?)?);
        }
        if self.has_body {
            let body = self.render(BODY, &facts)?;
            if body.len() > limits::SHAPED_BODY {
                return Err(format!("--body made {} bytes, at most {} are sent", body.len(), limits::SHAPED_BODY));
            }
            message.body = body.into();
            // What the event's own body was packed with is not what this one is.
            message.headers.clear();
        } else if matches!(self.method, Method::GET | Method::DELETE) {
            message.body = Bytes::new();
            message.headers.clear();
        }
        if let Some(kind) = &self.content_type {
            message.headers.retain(|(name, _)| name != CONTENT_TYPE);
            message.headers.push((CONTENT_TYPE, kind.clone()));
        }
        for (name, template) in &self.headers {
            let text = self.render(template, &facts)?;
            let text = text.trim();
            message.forwarded.retain(|(forwarded, _)| forwarded != name);
            // One that comes out empty is left out.
            if text.is_empty() {
                continue;
            }
            if text.len() > limits::SHAPED_HEADER {
                return Err(format!(
                    "{template} made {} bytes, at most {} are sent",
                    text.len(),
                    limits::SHAPED_HEADER
                ));
            }
            let mut value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| format!("{template} made a text with control characters, which a header cannot carry"))?;
            value.set_sensitive(self.is_secret(name, template));
            message.headers.push((name.clone(), value));
        }
        Ok(())
    }

    fn is_secret(&self, name: &HeaderName, template: &str) -> bool {
        says_secret(name.as_str()) || self.env.get_template(template).is_ok_and(|t| t.source().contains("secret("))
    }

    fn render(&self, template: &str, facts: &Value) -> Result<String, String> {
        let template = self.env.get_template(template).map_err(|e| words(&e))?;
        template.render(facts.clone()).map_err(|e| words(&e))
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    let found = METHODS.into_iter().find(|m| m.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("--method '{text}' is not one of POST, PUT, PATCH, GET, DELETE"))
}

/// The name of a header that an endpoint may set.
fn parse_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes());
    let name = name.map_err(|_| format!("--header '{text}' is not a header's name: write it as 'Name: value'"))?;
    match name.as_str() {
        "user-agent" => Ok(name),
        "content-type" => Err("--header content-type: use --content-type for it".to_owned()),
        ours if is_ours(ours) => Err(format!("--header {ours} is set by hookbox, or belongs to the connection")),
        _ => Ok(name),
    }
}

/// What is there: no files, no time, no randomness.
fn environment(lookup: Option<Lookup>, missing: Missing) -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    env.set_fuel(Some(limits::TEMPLATE_FUEL));
    env.set_auto_escape_callback(|name| if name == PATH { AutoEscape::Custom(PATH.into()) } else { AutoEscape::None });
    env.set_formatter(write_value);
    env.add_filter("tojson", to_json);
    env.add_filter("urlencode", |text: Cow<'_, str>| Value::from_safe_string(percent_encode(&text)));
    env.add_filter("safe", filters::safe);
    env.add_filter("upper", filters::upper);
    env.add_filter("lower", filters::lower);
    env.add_filter("trim", filters::trim);
    env.add_filter("replace", filters::replace);
    env.add_filter("default", filters::default);
    env.add_filter("length", filters::length);
    env.add_filter("join", filters::join);
    env.add_filter("split", filters::split);
    env.add_filter("first", filters::first);
    env.add_filter("last", filters::last);
    env.add_filter("items", filters::items);
    env.add_filter("int", filters::int);
    env.add_filter("float", filters::float);
    env.add_filter("round", filters::round);
    env.add_filter("string", filters::string);
    env.add_test("defined", is::is_defined);
    env.add_test("undefined", is::is_undefined);
    env.add_test("none", is::is_none);
    env.add_test("string", is::is_string);
    env.add_test("number", is::is_number);
    env.add_test("mapping", is::is_mapping);
    env.add_test("sequence", is::is_sequence);
    env.add_test("startingwith", is::is_startingwith);
    env.add_test("endingwith", is::is_endingwith);
    env.add_function("range", functions::range);
    env.add_function("secret", move |name: Cow<'_, str>| match lookup.as_ref().map(|lookup| lookup(&name)) {
        Some(Ok(Some(secret))) => Ok(secret),
        None => Ok("…".to_owned()),
        Some(Ok(None)) => Err(failed("secret() takes 'env:NAME' or 'cred:NAME'".to_owned())),
        Some(Err(why)) => {
            let _ = missing.set(why.clone());
            Err(failed(why))
        }
    });
    env
}

/// Compact, as others write it; the engine's own puts spaces in and escapes for HTML.
fn to_json(value: &Value) -> Result<String, minijinja::Error> {
    let mut written = Bounded(Vec::new());
    let error = |error: serde_json::Error| failed(format!("tojson: {error}"));
    serde_json::to_writer(&mut written, value).map_err(error)?;
    String::from_utf8(written.0).map_err(|error| failed(error.to_string()))
}

/// Takes no more than may be sent: a list may be far longer than what it takes to write one.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::SHAPED_BODY {
            return Err(io::Error::other("more than can be sent"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(why: String) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, why)
}

/// Text as it is; in a path percent-encoded, unless the template says `safe`.
fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_undefined() || *state.auto_escape() == AutoEscape::None || value.is_safe() {
        return minijinja::escape_formatter(out, state, value);
    }
    out.write_str(&percent_encode(&value.to_string())).map_err(minijinja::Error::from)
}

/// RFC 3986, section 2.3: all but the unreserved characters.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// The URL's own path with the template's behind it; its query goes on with the template's.
fn join(base: &Uri, rendered: &str) -> Result<Uri, String> {
    let rendered = rendered.trim();
    let (path, query) = rendered.split_once('?').map_or((rendered, None), |(path, query)| (path, Some(query)));
    let decoded = path.to_ascii_lowercase().replace("%2e", ".");
    if decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!("--path made '{}': . and .. are not sent", path.chars().take(80).collect::<String>()));
    }
    let mut whole = base.path().to_owned();
    if !path.is_empty() {
        whole.truncate(whole.trim_end_matches('/').len());
        if !path.starts_with('/') {
            whole.push('/');
        }
        whole.push_str(path);
    }
    for (n, query) in [base.query(), query].into_iter().flatten().enumerate() {
        whole.push(if n == 0 { '?' } else { '&' });
        whole.push_str(query);
    }
    let fits = whole.len() <= limits::SHAPED_HEADER && !whole.contains('#');
    let whole = if fits { whole.parse::<PathAndQuery>().ok() } else { None };
    whole.map(Uri::from).ok_or_else(|| {
        format!(
            "--path made '{}', which is not a path: write values as {{{{ body.name | urlencode }}}}",
            rendered.chars().take(80).collect::<String>()
        )
    })
}

/// Compiles one template, and tries it on an event that has everything.
fn compile(env: &mut Environment<'static>, name: String, source: &str) -> Result<(), String> {
    if source.len() > limits::TEMPLATE_LEN {
        return Err(format!("{name} has {} bytes, a template has at most {}", source.len(), limits::TEMPLATE_LEN));
    }
    terms::check(&name, source)?;
    env.add_template_owned(name.clone(), source.to_owned()).map_err(|e| words(&e))?;
    let template = env.get_template(&name).map_err(|e| words(&e))?;
    let unknown = template.undeclared_variables(false).into_iter().find(|variable| {
        let there = FACTS.contains(&variable.as_str()) || env.globals().any(|(global, _)| global == variable);
        !there
    });
    if let Some(unknown) = unknown {
        return Err(format!("{name}: there is no '{unknown}': a template knows {}", FACTS.join(", ")));
    }
    // Names of filters are looked up when they are used; whether values are there depends on the event.
    // Facts alone stand there: what else was found under a name would hide the functions.
    let facts: BTreeMap<&str, Value> = FACTS.iter().map(|fact| (*fact, Value::from_object(Anything))).collect();
    match template.render(Value::from(facts)) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnknownFilter
                    | ErrorKind::UnknownTest
                    | ErrorKind::UnknownFunction
                    | ErrorKind::UnknownMethod
                    | ErrorKind::SyntaxError
            ) =>
        {
            Err(words(&error))
        }
        _ => Ok(()),
    }
}

/// An error in one line, with the option and the line in it.
fn words(error: &minijinja::Error) -> String {
    let name = error.name().unwrap_or("template");
    let line = error.line().unwrap_or(1);
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "needs more work than a template may take".to_owned(),
        (ErrorKind::UndefinedError, None) => {
            "names a value that is not there: write {{ … | default('') }} if it may be missing".to_owned()
        }
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    format!("{name}, line {line}: {what}").replace(['\n', '\r'], " ")
}

/// What a template sees of an event. The body is parsed when a template first asks for it.
#[derive(Debug)]
struct Facts {
    event: Arc<Event>,
    number: u32,
    body: OnceLock<Value>,
}

impl Object for Facts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let event = &self.event;
        Some(match key.as_str()? {
            "id" => Value::from(event.id.to_string()),
            "type" => Value::from(event.kind.as_str()),
            "source" => Value::from(event.source_name.as_str()),
            "received_at" => Value::from(rfc3339(event.received_at)),
            "headers" => {
                let fields = event.headers.iter().map(|h| (h.name.clone(), Value::from(h.text())));
                Value::from(fields.collect::<BTreeMap<String, Value>>())
            }
            "body" => self.body.get_or_init(|| parse(&event.body)).clone(),
            "body_text" => Value::from(std::str::from_utf8(&event.body).ok().filter(|_| fits(&event.body))),
            "attempt" => Value::from(self.number),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&FACTS)
    }
}

fn fits(body: &[u8]) -> bool {
    body.len() <= limits::SHAPED_BODY
}

/// The body as JSON; none when it is not. Using one that is too large is an error.
fn parse(body: &[u8]) -> Value {
    if !fits(body) {
        let why = format!("the body has {} bytes, templates read at most {}", body.len(), limits::SHAPED_BODY);
        return Value::from(failed(why));
    }
    serde_json::from_slice(body).unwrap_or_else(|_| Value::from(()))
}

/// Has every attribute, for trying a template out before there is an event.
#[derive(Debug)]
struct Anything;

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::header::HeaderValue;

    use super::{Lookup, Shaper};
    use crate::model::{Event, EventId, Header, Shape, limits};
    use crate::outbound::message::Message;

    fn event(body: &str) -> Arc<Event> {
        Arc::new(Event {
            id: EventId { seq: 1, tag: 1 },
            source: 1,
            source_name: "shop".into(),
            kind: "order.paid".into(),
            received_at: 0,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: vec![Header::new("content-type", "application/json"), Header::new("x-shop", "north")],
            body: body.to_owned().into(),
            from_provider: false,
            first_id: None,
        })
    }

    fn shape(body: &str) -> Shape {
        Shape { body: Some(body.to_owned()), ..Shape::default() }
    }

    fn message(event: &Event) -> Message {
        Message::new(event.id.to_string(), event.body.clone(), HeaderValue::from_static("application/json"))
    }

    fn apply(shape: &Shape, event: &Arc<Event>, url: &str) -> Result<Message, String> {
        let lookup: Lookup = Arc::new(|name| match name {
            "env:KEY" => Ok(Some("hunter2".to_owned())),
            _ => Ok(None),
        });
        let mut message = message(event);
        Shaper::new(shape, Some(&lookup))?.apply(event, 2, &url.parse().unwrap(), &mut message)?;
        Ok(message)
    }

    fn body(template: &str, event_body: &str) -> Result<String, String> {
        let made = apply(&shape(template), &event(event_body), "/")?;
        Ok(String::from_utf8_lossy(&made.body).into_owned())
    }

    #[test]
    fn bodies_are_made_of_facts() {
        for (template, made) in [
            ("{{ id | length }} {{ type }} {{ source }} {{ attempt }}", "30 order.paid shop 2"),
            ("{{ received_at }} {{ headers['x-shop'] }}", "1970-01-01T00:00:00.000Z north"),
            ("{{ body.items[1].n + 1 }} {{ body_text | length }}", "3 41"),
            (r#"{"t": {{ body.text | tojson }}}"#, r#"{"t": "a\"b"}"#),
            ("{{ body.missing | default('none') }}{% if body.missing %}x{% endif %}", "none"),
            ("{% for i in body['items'] %}{{ i.n }},{% endfor %}", "1,2,"),
            ("{{ body | tojson }}", r#"{"text":"a\"b","items":[{"n":1},{"n":2}]}"#),
            ("{{ '<b>' }} {{ 'a b/c' | urlencode }} {{ secret('env:KEY') }}", "<b> a%20b%2Fc hunter2"),
        ] {
            let said = body(template, r#"{"text":"a\"b","items":[{"n":1},{"n":2}]}"#);
            assert_eq!(said.as_deref(), Ok(made), "{template}");
        }
        assert_eq!(body("{{ body is none }} {{ body_text }}", "not json").as_deref(), Ok("True not json"));
    }

    #[test]
    fn what_is_not_there_is_an_error_and_so_is_too_much() {
        assert!(body("{{ body.a.b }}", "{}").unwrap_err().contains("default"));
        assert!(body("{{ body.a }}", "{}").unwrap_err().contains("--body, line 1"));
        let endless = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";
        assert!(body(endless, "{}").unwrap_err().contains("more work"));
        assert!(
            body("{% set a = body_text %}{% set b = a ~ a ~ a ~ a %}{{ b ~ b ~ b ~ b }}", &"x".repeat(1 << 20))
                .is_err()
        );
        assert!(body("{{ ([1] * 1000000000) | tojson }}", "{}").is_err());
        let large = "x".repeat(limits::SHAPED_BODY - 10);
        assert!(body("{{ body_text }}0123456789", &large).is_ok());
        assert!(body("{{ body_text }}0123456789a", &large).unwrap_err().contains("at most"));
        let too_large = format!("\"{}\"", "x".repeat(limits::SHAPED_BODY));
        assert!(body("{{ body }}", &too_large).unwrap_err().contains("at most"));
        assert_eq!(body("{{ type }}", &too_large).as_deref(), Ok("order.paid"));
    }

    #[test]
    fn templates_are_checked_before_there_is_an_event() {
        for (wrong, word) in [
            ("{{ body.a", "--body, line 1"),
            ("{{ boddy.a }}", "there is no 'boddy'"),
            ("{{ body.a | jason }}", "unknown filter"),
            ("{{ body.a is wise }}", "unknown test"),
            ("{{ open('/etc/passwd') }}", "there is no 'open'"),
            ("{% include 'x' %}", "--body"),
            (&"x".repeat(limits::TEMPLATE_LEN + 1), "at most"),
        ] {
            let why = Shaper::new(&shape(wrong), None).err().unwrap_or_default();
            assert!(why.contains(word), "{wrong}: {why}");
        }
        let lookup: Lookup = Arc::new(|name| Err(format!("{name} is not set")));
        let lacking = Shaper::new(&shape("{{ secret('env:NO') }}"), Some(&lookup)).map(|s| s.lacks().cloned());
        assert_eq!(lacking.ok().flatten().as_deref(), Some("env:NO is not set"));
        let header = |name: &str| Shape { headers: vec![(name.into(), "x".into())], ..Shape::default() };
        for name in ["content-length", "Host", "webhook-id", "a b", "transfer-encoding", "Content-Type"] {
            assert!(Shaper::new(&header(name), None).is_err(), "{name}");
        }
        assert!(Shaper::new(&header("User-Agent"), None).is_ok());
        let method = |method: &str| Shape { method: Some(method.into()), ..Shape::default() };
        assert!(Shaper::new(&method("CONNECT"), None).is_err());
        assert!(Shaper::new(&Shape { body: Some("x".into()), ..method("GET") }, None).is_err());
    }

    /// The longest chains and nests that a template has room for: none may overflow the stack, neither of this thread,
    /// which has 2 MiB, nor at the delivery. Those that could are refused before they are compiled.
    #[test]
    fn no_template_overflows_the_stack() {
        let filled = |before: &str, part: &str, after: &str| {
            let parts = (limits::TEMPLATE_LEN - before.len() - after.len()) / part.len();
            format!("{before}{}{after}", part.repeat(parts))
        };
        for part in
            ["+1", "-1", "~1", "*1", "//1", "%1", "**1", " and 1", " or 1", "<1", " in a", " is none", "()", " if 1"]
        {
            let template = filled("{{1", part, "}}");
            let why = body(&template, "{}").unwrap_err();
            assert!(why.contains("--body: ") && why.contains("at most") || why.contains("brackets"), "{part}: {why}");
            let header = Shape { headers: vec![("x-a".into(), template.clone())], ..Shape::default() };
            assert!(Shaper::new(&header, None).is_err_and(|why| why.contains("--header x-a: ")), "{part}");
            let path = Shape { path: Some(template), ..Shape::default() };
            assert!(Shaper::new(&path, None).is_err_and(|why| why.contains("--path: ")), "{part}");
        }
        for (before, part, after) in [
            ("{{", "-", "1}}"),
            ("{{", "not ", "1}}"),
            ("{{", "1 if 1 else ", "1}}"),
            ("{{a is int ", "-", "1}}"),
            ("{%if 0%}", "{%elif 0%}", "{%endif%}"),
            ("", "{%if 1%}", ""),
            ("", "{%for i in [1]%}", ""),
            ("{{body", ".a", "}}"),
            ("{{body", "|int", "}}"),
            ("{{body", "[1]", "}}"),
            ("{{body", "[:]", "}}"),
            ("{{", "''", "}}"),
            ("{{[", "1,", "]}}"),
            ("{{", "(", "}}"),
            ("{%set a=1%}", "{%set a=[[[[[[[[a]]]]]]]]%}", "{{a|tojson}}{{a|string}}{{a==a}}"),
            ("{%set a=1%}", "{%set a=a,%}", "{{a|tojson}}{{a|string}}{{a==a}}"),
            ("{%set a=[1]%}", "{%set a=a*1%}", "{{a|tojson}}{{a|string}}"),
            ("{%set b=[1]%}{%set a=b%}", "{%set a=a+b%}", "{{a|tojson}}{{a|string}}"),
        ] {
            let _ = body(&filled(before, part, after), "{}");
        }
        // The deepest value that the bounds leave: all the brackets, then tuples without any.
        let brackets =
            format!("{{%set a={}a{}%}}", "[".repeat(64), "]".repeat(64)).repeat(limits::TEMPLATE_BRACKETS / 64);
        let deepest = filled(&format!("{{%set a=1%}}{brackets}"), "{%set a=a,%}", "{{a|tojson}}{{a|string}}{{a==a}}");
        let thread = std::thread::Builder::new().stack_size(limits::IO_STACK / 4);
        let made = thread.spawn(move || body(&deepest, "{}")).unwrap().join().unwrap();
        assert!(made.is_ok_and(|made| made.starts_with(&"[".repeat(1800))));
    }

    #[test]
    fn a_value_cannot_leave_its_place_in_a_path() {
        let path = |template: &str, value: &str, url: &str| {
            let shape = Shape { path: Some(template.into()), ..Shape::default() };
            let body = serde_json::json!({ "v": value }).to_string();
            apply(&shape, &event(&body), url).map(|m| m.path.unwrap().to_string())
        };
        for (template, value, url, made) in [
            ("/d/{{ body.v }}", "a/b?c#d", "/v1/", "/v1/d/a%2Fb%3Fc%23d"),
            ("d/{{ body.v }}?x={{ body.v }}", "ä&b", "/v1?k=1", "/v1/d/%C3%A4%26b?k=1&x=%C3%A4%26b"),
            ("?only={{ body.v }}", "1", "/v1", "/v1?only=1"),
            ("/{{ body.v | safe }}", "a/b", "/", "/a/b"),
            ("/{{ body.v ~ '/x' }}", "a", "/", "/a%2Fx"),
        ] {
            assert_eq!(path(template, value, url).as_deref(), Ok(made), "{template}");
        }
        for (template, value) in [
            ("/d/{{ body.v }}", ".."),
            ("/d/{{ body.v }}/x", "."),
            ("/{{ body.v | safe }}", "a/%2e%2E/b"),
            ("/{{ body.v | safe }}", "a b"),
            ("/{{ body.v | safe }}", "a#b"),
            ("/{{ body.v | safe }}", "a\r\nX: y"),
        ] {
            assert!(path(template, value, "/").is_err(), "{template} {value}");
        }
    }

    #[test]
    fn headers_carry_no_lines_and_hide_secrets() {
        let made = |template: &str, body: &str| {
            let shape = Shape { headers: vec![("X-A".into(), template.into())], ..Shape::default() };
            apply(&shape, &event(body), "/")
        };
        let value = |m: Message| m.headers.last().map(|(n, v)| (n.to_string(), v.clone())).unwrap();
        let (name, plain) = value(made("{{ body.v }} ", r#"{"v":"1"}"#).unwrap());
        assert_eq!((name.as_str(), plain.as_bytes(), plain.is_sensitive()), ("x-a", &b"1"[..], false));
        let (_, secret) = value(made("{{ secret('env:KEY') }}", "{}").unwrap());
        assert_eq!((secret.as_bytes(), secret.is_sensitive()), (&b"hunter2"[..], true));
        assert!(made("{{ body.v }}", r#"{"v":"1\r\nX-Evil: 2"}"#).unwrap_err().contains("control characters"));
        assert_eq!(made("{{ body.v }}", r#"{"v":""}"#).unwrap().headers.len(), 1);
        assert!(made("{{ secret('KEY') }}", "{}").unwrap_err().contains("env:NAME"));
    }
}
