//! A source: the settings that it is given, and how it is shown.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use clap::Args;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::spec::{Patch, SpecError, spec};
use super::text::{AnswerText, HeaderName, Line, Pointer};
use super::values::{Int, SecretText, Size, Span, Text, YEAR_MS};
use crate::model::secret::{self, redacted_invalid_url, redacted_setting, redacted_url};
use crate::model::{
    FixedAnswer, HttpTarget, REDACTED, Rate, Source, limits, parse_network, valid_name,
};

spec! {
    /// The settings of a source.
    #[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    #[serde(default, deny_unknown_fields)]
    pub struct SourceSpec {
        /// The verification scheme that proves who sent a request: none, github, standard-webhooks,
        /// stripe, …; `--verify help` lists them all [default: none]
        #[arg(long, value_name = "SCHEME")]
        pub verify: Option<Line>,
        /// The shared secret, as the provider shows it (--secret-file is safer); env:NAME,
        /// cred:NAME and file:/path are looked up by hookboxd in its environment, its systemd
        /// credentials or a file, and not stored
        #[arg(long, value_name = "SECRET", conflicts_with = "generate_secret")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub secret: Option<SecretText>,
        /// Generate a secret and show it once; an update replaces the old one at once,
        /// rotate-secret keeps it for a while
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_name = "BOOL")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub generate_secret: Option<bool>,
        /// The provider's public key: PEM, base64, hex or whpk_…
        #[arg(long, value_name = "KEY")]
        pub public_key: Option<SecretText>,
        /// A setting of the verification scheme; KEY=@FILE.json reads the value from a file; may be
        /// given several times
        #[arg(long, value_name = "KEY=VALUE", value_parser = parameter)]
        #[serde(with = "parameters")]
        #[cfg_attr(test, schemars(with = "Option<BTreeMap<String, Value>>"))]
        pub set: Option<Vec<(String, Value)>>,
        /// The URL as the provider has it, such as `https://hooks.example.com/in/shop`: schemes
        /// that sign the URL (twilio, mandrill, rfc9421, hmac with {url}) need it, because behind
        /// a proxy or a tunnel hookboxd sees another one; `source schemes NAME` says whether it is
        /// signed
        #[arg(long, value_name = "URL")]
        pub public_url: Option<String>,
        /// Accept requests under an unguessable path instead of the name [default: false]
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_name = "BOOL")]
        pub token: Option<bool>,
        /// Accept requests only from this network; @github, @stripe, @travis, @paddle and
        /// @paddle-sandbox stand for the networks that these publish, other names for files in
        /// allow_lists.dir; may be given several times
        #[arg(long, value_name = "CIDR|@LIST")]
        pub allow: Option<Vec<Text<AllowEntry>>>,
        /// Requests per second, minute or hour: 10/s (or 10), 100/m, 1000/h; further ones are
        /// answered 429 [default: no limit]
        #[arg(long, value_name = "N/s")]
        #[cfg_attr(test, schemars(with = "Option<super::schema::WrittenRate>"))]
        pub rate: Option<Text<Rate>>,
        /// The largest body that is accepted [default: the largest that the provider sends (github
        /// 32MiB, gitlab 25MiB), or 1MiB]
        #[arg(long, value_name = "SIZE")]
        pub max_body: Option<Size<1, { limits::MAX_BODY }>>,
        /// How long an event with the same id counts as a duplicate [default: 3d]
        #[arg(long, value_name = "DURATION")]
        pub dedupe_window: Option<Span<0, YEAR_MS>>,
        /// The header that holds the event's type
        #[arg(long, value_name = "NAME")]
        pub type_header: Option<HeaderName>,
        /// The JSON Pointer to the event's type in the body
        #[arg(long, value_name = "POINTER")]
        pub type_field: Option<Pointer>,
        /// The header that holds the event's id (its dedupe key)
        #[arg(long, value_name = "NAME")]
        pub id_header: Option<HeaderName>,
        /// The JSON Pointer to the event's id (its dedupe key) in the body
        #[arg(long, value_name = "POINTER")]
        pub id_field: Option<Pointer>,
        /// Accept a batch as one event for each of its elements [default: false]
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_name = "BOOL")]
        pub split: Option<bool>,
        /// Answer each event with this status, 200 to 299, for senders that require one [default:
        /// what the scheme's provider expects, or 202]
        #[arg(long, value_name = "STATUS")]
        pub answer: Option<Int<200, 299>>,
        /// Answer each event with this body, and with 200 unless --answer is given [default: the
        /// event's id as JSON, or what the scheme's provider expects]
        #[arg(long, value_name = "TEXT")]
        pub answer_body: Option<AnswerText>,
        /// The content type of --answer-body [default: text/plain; charset=utf-8]
        #[arg(long, value_name = "TYPE")]
        pub answer_type: Option<Line>,
        /// Take the event's body from a field of the posted form: form:payload; a body that is not
        /// a form, or has no such field, is stored as it came
        #[arg(long, value_name = "form:FIELD")]
        pub body_from: Option<Text<FormFieldName>>,
        /// Keep this many of the last refused requests in memory, to look at with `source refused`
        /// and to check again with `source check --refused`; credentials in the URL and in headers
        /// are removed, bodies are kept as they came [default: 0]
        #[arg(long, value_name = "N")]
        pub keep_refused: Option<Int<0, { limits::REFUSED_KEPT }>>,
        /// Delete the source after this time
        #[arg(skip)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ttl: Option<Span<1000, YEAR_MS>>,
    }
}

impl SourceSpec {
    /// The settings of a source as they are, but for its secrets.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let networks = source.allow.iter().copied().map(AllowEntry::Network);
        let lists = source.allow_lists.iter().cloned().map(AllowEntry::List);
        let answer = source.answer.as_ref();

        Self {
            verify: Some(Line(source.verify.clone())),
            secret: None,
            generate_secret: None,
            public_key: source.public_key.clone().map(SecretText::from),
            set: Some(source.params.clone().into_iter().collect()),
            public_url: source.public_url.clone(),
            token: Some(source.token.is_some()),
            allow: Some(networks.chain(lists).map(Text).collect()),
            rate: source.rate.map(Text),
            max_body: Some(Size::from_bytes(source.max_body)),
            dedupe_window: Some(Span::from_ms(source.dedupe_window_ms)),
            type_header: source.type_header.clone().map(HeaderName),
            type_field: source.type_field.clone().map(Pointer),
            id_header: source.id_header.clone().map(HeaderName),
            id_field: source.id_field.clone().map(Pointer),
            split: Some(source.split),
            answer: answer.map(|answer| Int::from_u32(answer.status.into())),
            answer_body: answer.and_then(|answer| answer.body.clone()).map(AnswerText),
            answer_type: answer.and_then(|answer| answer.content_type.clone()).map(Line),
            body_from: source.body_field.clone().map(|field| Text(FormFieldName(field))),
            keep_refused: Some(Int::from_u32(source.keep_refused)),
            ttl: None,
        }
    }

    /// The settings of a source for people, without what is secret in them. A token in the public
    /// URL is for its owner; a login in it is for nobody.
    #[must_use]
    pub fn shown(source: &Source, to_owner: bool) -> Self {
        let mut shown = Self::of(source);
        for (key, value) in shown.set.iter_mut().flatten() {
            *value = redacted_setting(key, value);
        }
        let public_url = source.public_url.as_deref();
        shown.public_url = public_url.map(|url| match to_owner {
            true => secret::without_login(url),
            false => without_token(source, url),
        });
        shown
    }

    /// Puts changes over these settings; `max_body` is the default of the scheme that they had
    /// before.
    #[must_use]
    pub fn changed(self, mut patch: Patch<Self>, max_body: u64) -> Self {
        // The settings of the scheme are changed one by one; null takes one away.
        if let Some(changes) = patch.given.set.take() {
            let mut set: BTreeMap<String, Value> =
                self.set.clone().unwrap_or_default().into_iter().collect();
            for (key, value) in changes {
                match value {
                    Value::Null => set.remove(&key),
                    value => set.insert(key, value),
                };
            }
            patch.given.set = Some(set.into_iter().collect());
        }
        let defaults = Source { max_body, ..Source::new("", "") };
        patch.over(self, &Self { verify: None, ..Self::of(&defaults) })
    }

    /// Gives `source` these settings; what is not given gets its default, which for the size of a
    /// body depends on the scheme. Its name, its secrets, its token and its end stay.
    ///
    /// # Errors
    /// When a setting is refused.
    pub fn apply(
        self,
        source: &mut Source,
        max_body: impl Fn(&str) -> u64,
    ) -> Result<(), SpecError> {
        let plain = Source::new("", "none");

        source.verify = self.verify.map_or(plain.verify, |scheme| scheme.0);
        source.public_key = self.public_key.map(|key| key.0.0);
        source.params = checked_parameters(self.set.unwrap_or_default())?;
        source.public_url = self.public_url.map(checked_url).transpose()?;

        (source.allow, source.allow_lists) = (Vec::new(), Vec::new());
        for entry in self.allow.unwrap_or_default() {
            match entry.0 {
                AllowEntry::Network(network) => source.allow.push(network),
                AllowEntry::List(name) => source.allow_lists.push(name),
            }
        }

        source.rate = self.rate.map(|rate| rate.0);
        source.max_body = self.max_body.map_or_else(|| max_body(&source.verify), Size::bytes);
        source.dedupe_window_ms = self.dedupe_window.map_or(plain.dedupe_window_ms, Span::ms);
        source.type_header = self.type_header.map(|name| name.0);
        source.type_field = self.type_field.map(|pointer| pointer.0);
        source.id_header = self.id_header.map(|name| name.0);
        source.id_field = self.id_field.map(|pointer| pointer.0);
        source.split = self.split.unwrap_or(plain.split);

        source.answer = fixed_answer(self.answer, self.answer_body, self.answer_type)?;
        source.body_field = self.body_from.map(|Text(FormFieldName(field))| field);
        if source.body_field.is_some() && source.split {
            let why = "a body from a form cannot be split: leave out --split";
            return Err(SpecError::of("body_from", why));
        }
        source.keep_refused = self.keep_refused.map_or(plain.keep_refused, Int::get);
        Ok(())
    }
}

/// The answer that these settings ask for.
fn fixed_answer(
    status: Option<Int<200, 299>>,
    body: Option<AnswerText>,
    content_type: Option<Line>,
) -> Result<Option<FixedAnswer>, SpecError> {
    if content_type.is_some() && body.is_none() {
        return Err(SpecError::of("answer_type", "is the type of a body: give --answer-body, too"));
    }
    if status.is_none() && body.is_none() {
        return Ok(None);
    }

    let status = status.map_or(200, Int::get);
    if matches!(status, 204 | 205) && body.is_some() {
        let why = format!("an answer {status} has no body: leave it out, or use --answer 200");
        return Err(SpecError::of("answer_body", &why));
    }
    Ok(Some(FixedAnswer {
        status: u16::try_from(status).unwrap_or(200),
        content_type: content_type.map(|Line(text)| text),
        body: body.map(|AnswerText(text)| text),
    }))
}

/// Where a body is taken from: `form:FIELD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormFieldName(pub String);

impl FromStr for FormFieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let field = text.strip_prefix("form:").filter(|field| !field.is_empty());
        let field = field.filter(|field| field.len() <= limits::NAME_LEN);
        let field = field.filter(|field| !field.chars().any(char::is_control));
        field
            .map(|field| Self(field.to_owned()))
            .ok_or_else(|| format!("'{text}' names no field: write it as form:payload"))
    }
}

impl fmt::Display for FormFieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "form:{}", self.0)
    }
}

/// Who may post: a network, or a named list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowEntry {
    Network(IpNet),
    /// Without its `@`.
    List(String),
}

impl FromStr for AllowEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('@').filter(|name| valid_name(name)) {
            return Ok(Self::List(name.to_owned()));
        }
        parse_network(text).map(Self::Network).ok_or_else(|| {
            format!(
                "'{text}' is not a network: write it as 192.0.2.0/24, 2001:db8::/32, \
                     192.0.2.7, or @github"
            )
        })
    }
}

impl fmt::Display for AllowEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::List(name) => write!(f, "@{name}"),
        }
    }
}

/// Reads `KEY=VALUE`: text; but true, false, lists and objects as JSON, and numbers for keys that
/// end in a unit (`leeway_s`).
fn parameter(text: &str) -> Result<(String, Value), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("write it as KEY=VALUE or KEY=@FILE.json")?;

    let is_json = matches!(value, "true" | "false") || value.starts_with(['[', '{']);
    let is_number = (key.ends_with("_s") || key.ends_with("_ms")) && value.parse::<i64>().is_ok();
    let parsed = (is_json || is_number).then(|| serde_json::from_str(value).ok()).flatten();
    Ok((key.to_owned(), parsed.unwrap_or_else(|| Value::from(value))))
}

fn checked_parameters(given: Vec<(String, Value)>) -> Result<BTreeMap<String, Value>, SpecError> {
    if given.len() > limits::SCHEME_SETTINGS {
        return Err(SpecError::of(
            "set",
            &format!("has at most {} settings", limits::SCHEME_SETTINGS),
        ));
    }
    if given.iter().any(|(key, _)| key.is_empty() || key.len() > limits::NAME_LEN) {
        return Err(SpecError::of(
            "set",
            &format!("a key has 1 to {} characters", limits::NAME_LEN),
        ));
    }
    Ok(given.into_iter().collect())
}

/// A public URL without its secrets: whoever knows the token in it may post.
fn without_token(source: &Source, url: &str) -> String {
    let url = redacted_url(url);
    match source.token.as_deref() {
        Some(token) if !token.is_empty() => url.replace(token, REDACTED),
        _ => url,
    }
}

/// A URL that a provider can post to. It may have a login in it, for a proxy in front of the daemon
/// and because providers sign it along with the URL.
fn checked_url(url: String) -> Result<String, SpecError> {
    if HttpTarget::parse(&without_login(&url)).is_ok() {
        return Ok(url);
    }
    let shown = redacted_invalid_url(&url);
    let why = format!("'{shown}' is not a URL: write it as https://example.com/in/name");
    Err(SpecError::of("public_url", &why))
}

/// The URL without `user:password@`.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((login, host)) if login.chars().all(|c| c.is_ascii_graphic()) => {
            format!("{scheme}://{host}{}", &rest[end..])
        }
        _ => url.to_owned(),
    }
}

/// Parameters as an object of JSON.
mod parameters {
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::{Map, Value};

    pub(super) fn serialize<S: Serializer>(
        set: &Option<Vec<(String, Value)>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match set {
            Some(set) => serializer.collect_map(set.iter().map(|(key, value)| (key, value))),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<(String, Value)>>, D::Error> {
        let set = Option::<Map<String, Value>>::deserialize(deserializer)?;
        Ok(set.map(|set| set.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::SourceSpec;
    use crate::api::Spec;
    use crate::model::Source;

    /// One that `SourceSpec::apply` forgets would be dropped silently.
    #[test]
    fn every_setting_of_a_source_survives() {
        let given = json!({
            "verify": "hmac", "public_key": "whpk_x", "set": {"header": "x-sign"},
            "public_url": "https://hooks.example.com/in/a", "allow": ["192.0.2.0/24", "@github"],
            "rate": "10/m", "max_body": "2MiB", "dedupe_window": "1h", "type_header": "x-type",
            "type_field": "/type", "id_header": "x-id", "id_field": "/id", "split": true,
            "answer": 201, "answer_body": "ok", "answer_type": "text/plain", "keep_refused": 3,
        });
        // A body from a form cannot be split.
        let of_form = json!({"verify": "none", "body_from": "form:payload"});

        for given in [&given, &of_form] {
            let spec: SourceSpec = serde_json::from_value(given.clone()).expect("settings");
            let mut source = Source::new("a", "none");
            spec.apply(&mut source, |_| 1 << 20).expect("well-formed");
            let shown = serde_json::to_value(SourceSpec::of(&source)).expect("JSON");
            for (key, value) in given.as_object().expect("an object") {
                assert_eq!(shown[key], *value, "{key}");
            }
        }

        // Secrets, the token and the end are applied by whoever may make them.
        let mut tested: Map<String, Value> = given.as_object().cloned().expect("an object");
        tested.extend(of_form.as_object().cloned().expect("an object"));
        let mut tested: Vec<&str> = tested.keys().map(String::as_str).collect();
        tested.extend(["secret", "generate_secret", "token", "ttl"]);
        tested.sort_unstable();
        let mut keys = SourceSpec::KEYS.to_vec();
        keys.sort_unstable();
        assert_eq!(tested, keys, "each setting is given by this test");
    }
}
