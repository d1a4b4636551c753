//! Which endpoints an event goes to: sources by name, types by glob, and an RFC 9535 filter.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use serde_json_path::JsonPath;
use wildmatch::WildMatch;

use super::notice::OWN_SOURCE;
use super::pattern;
use crate::model::{Endpoint, EndpointId, Event, limits};

/// The endpoints' filters, compiled.
#[derive(Debug, Default)]
pub struct Matcher {
    by_endpoint: BTreeMap<EndpointId, Compiled>,
}

#[derive(Debug)]
struct Compiled {
    from: Vec<String>,
    types: Vec<WildMatch>,
    filter: Option<JsonPath>,
}

/// Compiles a `--where` expression.
///
/// # Errors
/// Says where it is wrong and what one looks like.
pub fn compile(expression: &str) -> Result<JsonPath, String> {
    bounded(expression)
        .map_err(|why| format!("--where '{}' {why}", expression.chars().take(80).collect::<String>()))?;
    pattern::check(expression).map_err(|why| format!("--where '{expression}' {why}"))?;
    JsonPath::parse(&format!("$[?{expression}]")).map_err(|error| {
        format!("--where '{expression}' is not a filter expression: {error}; write it like @.body.action == 'opened'")
    })
}

/// Refuses what would cost more than one walk over the body, or more stack than there is: every event of the source
/// pays for it, on the one thread that decides.
fn bounded(expression: &str) -> Result<(), String> {
    if expression.len() > limits::FILTER_LEN {
        return Err(format!("is longer than {} characters", limits::FILTER_LEN));
    }
    let (mut depth, mut before, mut quote) = (0_usize, [' '; 2], None);
    for c in expression.chars() {
        match (quote, c) {
            (Some(q), c) if c == q && before[1] != '\\' => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '!') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, '.') if before[1] == '.' => {
                return Err("uses '..', whose cost has no bound: name the path".to_owned());
            }
            (None, '?') if before[1] == '[' => return Err("has a filter inside the filter: compare paths".to_owned()),
            (None, _) => {}
        }
        if depth > limits::FILTER_DEPTH {
            return Err(format!("is nested or negated more than {} times", limits::FILTER_DEPTH));
        }
        before = [before[1], c];
    }
    Ok(())
}

/// Whether `kind` is one that `glob` means (`*` any run of characters, `?` one).
#[must_use]
pub fn glob(glob: &str, kind: &str) -> bool {
    WildMatch::new(glob).matches(kind)
}

impl Matcher {
    /// Takes up an endpoint's filters. An expression that does not compile matches nothing; it was refused when
    /// the endpoint was made, so that only a record of another version can hold one.
    pub fn set(&mut self, endpoint: &Endpoint) {
        let never = || JsonPath::parse("$[?@.nothing == 'matches']").ok();
        let compiled = Compiled {
            from: endpoint.from.clone(),
            types: endpoint.types.iter().map(|t| WildMatch::new(t)).collect(),
            filter: endpoint.filter.as_ref().and_then(|text| compile(text).ok().or_else(never)),
        };
        self.by_endpoint.insert(endpoint.id, compiled);
    }

    /// Whether any endpoint wants the daemon's own events.
    #[must_use]
    pub fn wants_own(&self) -> bool {
        self.by_endpoint.values().any(|compiled| compiled.from.iter().any(|from| from == OWN_SOURCE))
    }

    pub fn remove(&mut self, endpoint: EndpointId) {
        self.by_endpoint.remove(&endpoint);
    }

    /// The endpoints that want `event`, in the order of their numbers.
    #[must_use]
    pub fn fan_out(&self, event: &Event) -> Vec<EndpointId> {
        let mut shape: Option<Value> = None;
        let mut wants = |compiled: &Compiled| {
            // The daemon's own events are only for those who ask for them.
            let all = compiled.from.is_empty() && !event.is_own();
            let from = all || compiled.from.contains(&event.source_name);
            let kind = compiled.types.is_empty() || compiled.types.iter().any(|t| t.matches(&event.kind));
            if !from || !kind {
                return false;
            }
            let Some(filter) = &compiled.filter else { return true };
            let shape = shape.get_or_insert_with(|| Value::Array(vec![facts(event)]));
            !filter.query(shape).is_empty()
        };
        self.by_endpoint.iter().filter(|(_, compiled)| wants(compiled)).map(|(id, _)| *id).collect()
    }
}

/// Why an endpoint does not want an event; `None` when it does.
#[must_use]
pub fn why_not(endpoint: &Endpoint, event: &Event) -> Option<String> {
    if endpoint.from.is_empty() && event.is_own() {
        return Some("it is one of the daemon's own, which are for those who ask: --from hookbox".to_owned());
    }
    if !endpoint.from.is_empty() && !endpoint.from.contains(&event.source_name) {
        return Some(format!("its source is '{}', not {}", event.source_name, endpoint.from.join(" or ")));
    }
    if !endpoint.types.is_empty() && !endpoint.types.iter().any(|t| glob(t, &event.kind)) {
        return Some(format!("its type is '{}', not {}", event.kind, endpoint.types.join(" or ")));
    }
    let expression = endpoint.filter.as_ref()?;
    match compile(expression) {
        Err(why) => Some(why),
        Ok(filter) if filter.query(&Value::Array(vec![facts(event)])).is_empty() => {
            Some(format!("--where {expression} is not true for it"))
        }
        Ok(_) => None,
    }
}

/// What a filter sees: `{type, source, headers, body}`; a body that is not JSON is `null`.
fn facts(event: &Event) -> Value {
    let headers: serde_json::Map<String, Value> =
        event.headers.iter().map(|h| (h.name.clone(), Value::String(h.text()))).collect();
    let body: Value = serde_json::from_slice(&event.body).unwrap_or(Value::Null);
    json!({ "type": event.kind, "source": event.source_name, "headers": headers, "body": body })
}

#[cfg(test)]
mod tests {
    use super::{Matcher, compile, glob, why_not};
    use crate::model::{Endpoint, Event, EventId};

    fn event(source: &str, kind: &str, body: &str) -> Event {
        Event {
            id: EventId { seq: 1, tag: 1 },
            source: 1,
            source_name: source.into(),
            kind: kind.into(),
            received_at: 0,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: body.to_owned().into(),
            from_provider: false,
            first_id: None,
        }
    }

    fn endpoint(id: u32, from: &[&str], types: &[&str], filter: Option<&str>) -> Endpoint {
        Endpoint {
            id,
            from: from.iter().map(|s| (*s).to_owned()).collect(),
            types: types.iter().map(|s| (*s).to_owned()).collect(),
            filter: filter.map(str::to_owned),
            ..Endpoint::new("e", "http://example.com")
        }
    }

    #[test]
    fn all_three_filters_must_agree() {
        let mut matcher = Matcher::default();
        matcher.set(&endpoint(1, &[], &[], None));
        matcher.set(&endpoint(2, &["github"], &["pull_*"], None));
        matcher.set(&endpoint(3, &[], &[], Some("@.body.action == 'opened'")));
        let opened = event("github", "pull_request", r#"{"action":"opened"}"#);
        assert_eq!(matcher.fan_out(&opened), [1, 2, 3]);
        assert_eq!(matcher.fan_out(&event("github", "push", r#"{"action":"closed"}"#)), [1]);
        assert_eq!(matcher.fan_out(&event("stripe", "pull_x", "\u{0}not json")), [1]);
    }

    #[test]
    fn regular_expressions_match_whole_texts_or_search_in_them() {
        let sent = event("github", "pull_request", r#"{"name":"Grüße 42"}"#);
        for (expression, expected) in [
            ("match(@.type, 'pull_.*')", true),
            ("match(@.type, 'pull')", false),
            ("search(@.type, 'req')", true),
            (r"search(@.body.name, '\\d+')", true),
            (r"match(@.body.name, '\\p{Lu}\\w+ [0-9]{2}')", true),
            ("search(@.body.name, '(?i)GRÜSSE|GRÜ')", true),
            ("match(@.body.missing, 'a')", false),
            ("match(@.type, @.source)", false),
        ] {
            let compiled = compile(expression).expect(expression);
            let facts = serde_json::Value::Array(vec![super::facts(&sent)]);
            for _ in 0..2 {
                assert_eq!(!compiled.query(&facts).is_empty(), expected, "{expression}");
            }
        }
    }

    #[test]
    fn why_not_agrees_with_the_fan_out() {
        let sent = event("github", "push", r#"{"action":"opened"}"#);
        for (endpoint, word) in [
            (endpoint(1, &["github"], &["pu*"], Some("@.body.action == 'opened'")), None),
            (endpoint(1, &["stripe"], &[], None), Some("source")),
            (endpoint(1, &[], &["pull_*"], None), Some("type")),
            (endpoint(1, &[], &[], Some("@.body.action == 'closed'")), Some("--where")),
        ] {
            let mut matcher = Matcher::default();
            matcher.set(&endpoint);
            let why = why_not(&endpoint, &sent);
            assert_eq!(matcher.fan_out(&sent).is_empty(), why.is_some());
            assert_eq!(why.map(|why| why.contains(word.unwrap_or("-"))), word.map(|_| true));
        }
    }

    #[test]
    fn bad_expressions_are_refused() {
        assert!(compile("@.a == ").is_err());
        assert!(compile("] rm -rf").is_err());
        for wrong in [
            "match(@.type, '[')",
            "search(@.body.a, \"a(\") && @.b == 1",
            "@.a == '(' && match( @.type , 'a{1000}{1000}')",
            "match(@.type, '*')",
        ] {
            let why = compile(wrong).expect_err(wrong);
            assert!(why.contains("regular expression"), "{why}");
        }
        let deep = format!("{}@.a{}", "(".repeat(1000), ")".repeat(1000));
        for costly in [deep.as_str(), &"!".repeat(500), "@..a", "@.body[?@.x == 1]", &"@.a || ".repeat(500)] {
            assert!(compile(costly).is_err(), "{costly}");
        }
        for fine in [
            "@.body.action == 'opened'",
            "@.a == '..[?' && !(@.b > 1)",
            "match(@.type, 'a.*')",
            "@.body.x[*].y",
            "@.a == '('",
            r"search(@.type, '\\d+\'x')",
        ] {
            assert!(compile(fine).is_ok(), "{fine}: {:?}", compile(fine).err());
        }
        assert!(glob("invoice.*", "invoice.paid") && !glob("invoice.?", "invoice.paid"));
    }
}
