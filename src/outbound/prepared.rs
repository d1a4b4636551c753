//! Endpoints, ready for attempts: the transport, the keys and the templates are worked out once for
//! each configuration.

use std::sync::Arc;

use hyper::Uri;

use crate::model::secret::{looks_random, secrets_in_url};
use crate::model::{Endpoint, Event, Secret, Target, TimedSecret, limits};

use super::exec::program::Program;
use super::exec::runner::CommandRunner;
use super::exec::transport::ExecTransport;
use super::failure::{AttemptFailure, Unusable};
use super::http::client::HttpClient;
use super::http::route::HttpRoute;
use super::http::transport::HttpTransport;
use super::http::url::HttpUrl;
use super::message::Message;
use super::parsed_policy::ParsedPolicy;
use super::pull::transport::PullTransport;
use super::redact::Redactor;
use super::settings::SecretLookup;
use super::sign::SigningKey;
use super::template::compiled::EndpointTemplates;
use super::transport::Transport;

/// The parts that transports are made from.
pub struct Machinery {
    pub http: Arc<HttpClient>,
    pub commands: Arc<CommandRunner>,
    pub lookup: Option<SecretLookup>,
}

/// An endpoint, ready for attempts.
pub struct PreparedEndpoint {
    pub endpoint: Arc<Endpoint>,
    /// Or why it cannot be used: then every attempt fails with that.
    parts: Result<Parts, Unusable>,
    /// Redacts what must not be shown of any attempt.
    pub redactor: Redactor,
    /// When it was prepared.
    mono_ms: u64,
}

/// The settings of an endpoint, worked out.
pub struct Parts {
    pub transport: Box<dyn Transport>,
    pub keys: Vec<SigningKey>,
    /// What it signs with, as text.
    secrets: Vec<Secret>,
    /// `None` where events go out as they came.
    pub templates: Option<EndpointTemplates>,
}

impl Parts {
    /// Works out the settings of an endpoint.
    ///
    /// # Errors
    /// What is wrong with them, and what to write instead.
    pub fn new(
        endpoint: &Endpoint,
        machinery: &Machinery,
        policy: &ParsedPolicy,
    ) -> Result<Self, Unusable> {
        let lookup = machinery.lookup.as_ref();
        let transport = transport(endpoint, machinery, policy)?;

        let mut timed = Vec::new();
        for secret in &endpoint.secrets {
            match resolve(&secret.secret, lookup) {
                Ok(found) => {
                    timed.push(TimedSecret { secret: found, expires_at: secret.expires_at });
                }
                // An old one that is gone signs no more, and does not stand in the way of the
                // newest.
                Err(_) if secret.expires_at.is_some() => {}
                Err(why) => return Err(why),
            }
        }
        let keys = timed.iter().map(SigningKey::new).collect::<Result<_, String>>()?;
        let secrets = timed.into_iter().map(|timed| timed.secret).collect();

        let is_plain = endpoint.template.is_plain();
        let templates =
            if is_plain { None } else { Some(EndpointTemplates::new(&endpoint.template, lookup)?) };
        Ok(Self { transport, keys, secrets, templates })
    }

    /// The message for one event.
    pub fn message(
        &self,
        endpoint: &Endpoint,
        event: &Arc<Event>,
        number: u32,
    ) -> Result<Message, Unusable> {
        self.message_with(self.templates.as_ref(), endpoint, event, number)
    }

    /// The same with other templates than its own.
    pub fn message_with(
        &self,
        templates: Option<&EndpointTemplates>,
        endpoint: &Endpoint,
        event: &Arc<Event>,
        number: u32,
    ) -> Result<Message, Unusable> {
        let mut message = Message::of(endpoint, event);
        let base_path = self.transport.base_path();

        if let Some(templates) = templates {
            let root = Uri::from_static("/");
            templates.apply(event, number, base_path.unwrap_or(&root), &mut message)?;
            message.forget_proofs_of(event);
        }
        if let Some(base_path) = base_path {
            message.forward_query(endpoint, event, base_path);
        }
        Ok(message)
    }
}

/// The transport for the target of an endpoint: the one place that distinguishes targets.
fn transport(
    endpoint: &Endpoint,
    machinery: &Machinery,
    policy: &ParsedPolicy,
) -> Result<Box<dyn Transport>, Unusable> {
    let http = |url: HttpUrl| -> Result<Box<dyn Transport>, Unusable> {
        let proxy = endpoint.via.proxy.as_ref();
        let proxy = proxy.map(|proxy| resolve(proxy, machinery.lookup.as_ref())).transpose()?;
        let proxy = proxy.as_ref().map(|proxy| proxy.0.as_str());
        let route = HttpRoute::new(&endpoint.via, proxy, &url, &policy.proxy)?;
        Ok(Box::new(HttpTransport::new(machinery.http.clone(), url, route)))
    };

    match endpoint.url.target().map_err(ToString::to_string)? {
        Target::Http(target) => http(HttpUrl::of_http(target)?),
        Target::Unix(target) => http(HttpUrl::of_unix(target)?),
        Target::Exec(path) => {
            let program = Program::new(path, &endpoint.exec)?;
            let (runner, allowed) = (machinery.commands.clone(), policy.commands.clone());
            Ok(Box::new(ExecTransport::new(runner, allowed, program)))
        }
        Target::Pull => Ok(Box::new(PullTransport)),
    }
}

/// The value of a secret that may only be named.
fn resolve(secret: &Secret, lookup: Option<&SecretLookup>) -> Result<Secret, Unusable> {
    let found = lookup.map(|lookup| lookup(&secret.0)).transpose();
    let found = found.map_err(Unusable::Secret)?.flatten();
    Ok(found.map_or_else(|| secret.clone(), Secret))
}

impl PreparedEndpoint {
    pub fn new(
        endpoint: &Arc<Endpoint>,
        machinery: &Machinery,
        policy: &ParsedPolicy,
        mono_ms: u64,
    ) -> Self {
        let parts = Parts::new(endpoint, machinery, policy);

        let mut redactor = Redactor::default();
        let written =
            secrets_in_url(&endpoint.url).into_iter().chain(secrets_in_settings(endpoint));
        written.for_each(|secret| redactor.add(&secret));
        if let Ok(parts) = &parts {
            parts.transport.add_secrets(&mut redactor);
            parts.secrets.iter().for_each(|secret| redactor.add_text(&secret.0));
            // A receiver may repeat it without its prefix.
            let bare = parts.secrets.iter().filter_map(|secret| secret.0.split_once('_'));
            bare.for_each(|(_, bare)| redactor.add(bare));
        }
        Self { endpoint: endpoint.clone(), parts, redactor, mono_ms }
    }

    /// Its settings, worked out.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn parts(&self) -> Result<&Parts, AttemptFailure> {
        self.parts.as_ref().map_err(|unusable| match unusable.clone() {
            Unusable::Settings(why) => AttemptFailure::Endpoint(why),
            Unusable::Secret(why) => AttemptFailure::Secret(why),
        })
    }

    /// Whether what it sends is made by templates.
    pub fn has_templates(&self) -> bool {
        self.parts.as_ref().is_ok_and(|parts| parts.templates.is_some())
    }

    /// Whether it lacks a secret that may be there by now: it is looked for now and then.
    pub fn is_to_be_made_anew(&self, mono_ms: u64) -> bool {
        let lacks_secret = matches!(self.parts, Err(Unusable::Secret(_)));
        lacks_secret && mono_ms.saturating_sub(self.mono_ms) >= limits::LOOKUP_AGAIN_MS
    }

    /// The message for one event.
    pub fn message(&self, event: &Arc<Event>, number: u32) -> Result<Message, AttemptFailure> {
        let parts = self.parts()?;
        parts.message(&self.endpoint, event, number).map_err(|unusable| match unusable {
            Unusable::Settings(why) => AttemptFailure::Template(why),
            Unusable::Secret(why) => AttemptFailure::Secret(why),
        })
    }

    /// Goes on with what an earlier one has read of the same certificate files, for as long as they
    /// cannot be used. False when that is nothing.
    pub fn keep_tls_of(&self, earlier: &Self) -> bool {
        let loaded = earlier.parts.as_ref().ok().and_then(|parts| parts.transport.loaded_tls());
        let (Some(loaded), Ok(parts)) = (loaded, &self.parts) else { return false };
        parts.transport.keep_tls(loaded);
        true
    }

    /// Closes connections that have been idle for too long.
    pub fn close_idle(&self, mono_ms: u64) {
        if let Ok(parts) = &self.parts {
            parts.transport.close_idle(mono_ms);
        }
    }

    /// Whether it was made for this endpoint with the same settings.
    pub fn is_for(&self, endpoint: &Arc<Endpoint>) -> bool {
        Arc::ptr_eq(&self.endpoint, endpoint) || self.endpoint == *endpoint
    }
}

/// The words in templates and arguments that look like a secret: a receiver may
/// repeat it.
fn secrets_in_settings(endpoint: &Endpoint) -> Vec<String> {
    let template = &endpoint.template;
    let headers = template.headers.iter().map(|(_, value)| value);
    let values = headers.chain(&template.path).chain(&endpoint.exec.args);
    let mut found: Vec<String> =
        values.flat_map(|text| words_outside_tags(text, looks_random)).collect();

    // Prose has capital letters; a secret in it has digits as well.
    let is_secret = |word: &str| looks_random(word) && word.bytes().any(|b| b.is_ascii_digit());
    found.extend(template.body.iter().flat_map(|text| words_outside_tags(text, is_secret)));
    found
}

/// The words of a template outside of its tags that `is_secret` picks.
fn words_outside_tags(text: &str, is_secret: impl Fn(&str) -> bool) -> Vec<String> {
    let words = outside_tags(text)
        .into_iter()
        .flat_map(|piece| piece.split(|c: char| !(c.is_alphanumeric() || "-_.~%+".contains(c))));
    words.filter(|word| is_secret(word)).map(str::to_owned).collect()
}

/// The pieces of a template between its tags. A tag that does not end is not a tag.
fn outside_tags(mut text: &str) -> Vec<&str> {
    const TAGS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

    let mut pieces = Vec::new();
    loop {
        let opened = TAGS.iter().filter_map(|(open, close)| Some((text.find(open)?, *close)));
        let Some((at, close)) = opened.min_by_key(|(at, _)| *at) else { break };
        let Some(len) = text[at + 2..].find(close) else { break };

        pieces.push(&text[..at]);
        text = &text[at + 2 + len + 2..];
    }
    pieces.push(text);
    pieces
}

#[cfg(test)]
mod tests {
    use super::{looks_random, outside_tags, words_outside_tags};

    #[test]
    fn words_outside_tags_are_found_whatever_braces_stand_around_them() {
        const TOKEN: &str = "AbC123dEf456GhI789jKl012MnO345";
        assert!(looks_random(TOKEN));

        for text in [
            format!(r#"{{"auth":{{"token":"{TOKEN}"}}}}"#),
            format!(r#"{{"a":{{"token":"{TOKEN}","b":{{{{ body.b }}}}}}}}"#),
            format!(r#"{{% if body.a %}}{{"auth":{{"token":"{TOKEN}"}}}}{{% endif %}}"#),
            format!(r#"{{# a comment #}}{{"auth":{{"token":"{TOKEN}"}}}}"#),
            format!(r#"{{{{ body.a }}}} {TOKEN} {{{{ body.b }}}}"#),
            format!(r#"{{{{ never closed {TOKEN}"#),
            format!(r#"%}} }}}} {TOKEN}"#),
        ] {
            assert_eq!(words_outside_tags(&text, looks_random), [TOKEN], "{text}");
        }
    }

    #[test]
    fn what_stands_in_a_tag_is_not_looked_at() {
        let text = "a{{ 'AbC123dEf456GhI789jKl012MnO345' }}b{% if x %}c{# d #}e";
        assert_eq!(outside_tags(text), ["a", "b", "c", "e"]);
    }
}
