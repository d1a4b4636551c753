//! The templates of one endpoint.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use minijinja::Environment;

use crate::model::{
    Event, REDACTED, RequestTemplate, canonical_header_name, is_secret_name, limits,
};
use crate::outbound::failure::Unusable;
use crate::outbound::message::{Message, is_ours};
use crate::outbound::settings::SecretLookup;

use super::context::TemplateContext;
use super::engine::{MissingSecret, PATH, compile, environment, explain};
use super::path::{join, whole_path};
use super::rendered::Rendered;
use super::secrets::TemplateSecrets;

const METHODS: [Method; 5] =
    [Method::POST, Method::PUT, Method::PATCH, Method::GET, Method::DELETE];
const BODY: &str = "--body";
/// [`REDACTED`] as it comes out where values are percent-encoded.
const REDACTED_ENCODED: &str = "%E2%80%A6";

/// The templates of one endpoint, compiled.
pub struct EndpointTemplates {
    env: Environment<'static>,
    method: Method,
    has_path: bool,
    has_body: bool,
    /// Each with the name of its template.
    headers: Vec<(HeaderName, String)>,
    content_type: Option<HeaderValue>,
    missing: MissingSecret,
    lookup: Option<SecretLookup>,
}

impl EndpointTemplates {
    /// Compiles and checks them.
    ///
    /// # Errors
    /// What is wrong with which option, and what to write instead.
    pub fn new(settings: &RequestTemplate, lookup: Option<&SecretLookup>) -> Result<Self, String> {
        let method = settings.method.as_deref().map_or(Ok(Method::POST), parse_method)?;
        if method == Method::GET && settings.body.is_some() {
            return Err("a GET has no body: leave --body out, or use --method POST".to_owned());
        }

        let missing = MissingSecret::default();
        let mut env = environment(lookup.cloned(), missing.clone());
        for (name, source) in [(PATH, &settings.path), (BODY, &settings.body)] {
            if let Some(source) = source {
                compile(&mut env, name.to_owned(), source)?;
            }
        }

        if settings.headers.len() > limits::TEMPLATE_HEADERS {
            return Err(format!("an endpoint sets at most {} headers", limits::TEMPLATE_HEADERS));
        }
        let mut headers = Vec::new();
        for (name, source) in &settings.headers {
            let template = format!("--header {name}");
            compile(&mut env, template.clone(), source)?;
            headers.push((parse_name(name)?, template));
        }

        Ok(Self {
            env,
            method,
            has_path: settings.path.is_some(),
            has_body: settings.body.is_some(),
            headers,
            content_type: parse_content_type(settings)?,
            missing,
            lookup: lookup.cloned(),
        })
    }

    /// Why a secret could not be looked up while the templates were compiled, if one could not.
    pub fn missing_secret(&self) -> Option<&String> {
        self.missing.get()
    }

    /// Puts the templates' results into `message`; `base` is the URL's own path and query.
    ///
    /// # Errors
    /// When a template fails for this event, what it makes cannot be sent, or a secret that it
    /// names is not found.
    pub fn apply(
        &self,
        event: &Arc<Event>,
        number: u32,
        base: &Uri,
        message: &mut Message,
    ) -> Result<(), Unusable> {
        let context = TemplateContext::new(event.clone(), number);
        message.method = self.method.clone();

        if self.has_path {
            let path = self.render(PATH, &context)?;
            path.add_secrets(message);
            message.path = Some(join(base, &path)?);
            message.shown_path =
                path.redacted.as_ref().map(|redacted| whole_path(base, redacted.trim()));
        }
        self.apply_body(&context, message)?;
        for (name, template) in &self.headers {
            self.apply_header(name, template, &context, message)?;
        }
        Ok(())
    }

    fn apply_body(&self, context: &TemplateContext, message: &mut Message) -> Result<(), Unusable> {
        if self.has_body {
            let body = self.render(BODY, context)?;
            if body.text.len() > limits::TEMPLATE_BODY_BYTES {
                let most = limits::TEMPLATE_BODY_BYTES;
                let made = body.text.len();
                return Err(format!("--body made {made} bytes, at most {most} are sent").into());
            }

            body.add_secrets(message);
            message.body = body.text.into();
            // The content type and coding of the event's own body are not those of this one.
            message.headers.clear();
        } else if matches!(self.method, Method::GET | Method::DELETE) {
            message.body = Bytes::new();
            message.headers.clear();
        }

        if let Some(kind) = &self.content_type {
            message.headers.retain(|(name, _)| name != CONTENT_TYPE);
            message.headers.push((CONTENT_TYPE, kind.clone()));
        }
        Ok(())
    }

    fn apply_header(
        &self,
        name: &HeaderName,
        template: &str,
        context: &TemplateContext,
        message: &mut Message,
    ) -> Result<(), Unusable> {
        let rendered = self.render(template, context)?;
        rendered.add_secrets(message);
        // A receiver may read a sender's `X_Tenant` as this endpoint's own `X-Tenant`.
        let own = canonical_header_name(name.as_str());
        message.forwarded.retain(|(other, _)| canonical_header_name(other.as_str()) != own);

        let text = rendered.text.trim();
        // One that comes out empty is left out.
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > limits::TEMPLATE_HEADER_BYTES {
            let (made, most) = (text.len(), limits::TEMPLATE_HEADER_BYTES);
            return Err(format!("{template} made {made} bytes, at most {most} are sent").into());
        }

        let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            format!("{template} made a text with control characters, which no header can have")
        })?;
        if rendered.has_secrets() || is_secret_name(name.as_str()) {
            value.set_sensitive(true);
            message.redactor.add_text(text);
        }
        message.headers.push((name.clone(), value));
        Ok(())
    }

    /// Makes a text. Nothing of a secret stands in an error.
    fn render(&self, template: &str, context: &TemplateContext) -> Result<Rendered, Unusable> {
        let template = self.env.get_template(template).map_err(|e| explain(&e))?;
        let secrets = TemplateSecrets::new(self.lookup.as_ref());
        let made = template.render(context.with(&secrets));
        if !secrets.was_asked() {
            let plain = |text| Rendered { text, redacted: None, secrets: Vec::new() };
            return made.map(plain).map_err(|e| explain(&e).into());
        }
        if let Some(why) = secrets.missing().filter(|_| made.is_err()) {
            return Err(Unusable::Secret(why));
        }

        // Once more without the secrets: that is what people are shown.
        let redacted = template.render(context.with(&TemplateSecrets::new(None)));
        let secrets = secrets.given();
        match (made, redacted) {
            (Ok(text), redacted) => {
                let redacted = redacted.unwrap_or_else(|_| REDACTED.to_owned());
                let redacted = Some(redacted.replace(REDACTED_ENCODED, REDACTED));
                Ok(Rendered { text, redacted, secrets })
            }
            // The error without the secrets has nothing of them in its words. Before any was given,
            // neither has the other.
            (Err(_), Err(same)) => Err(explain(&same).into()),
            (Err(error), Ok(_)) if secrets.is_empty() => Err(explain(&error).into()),
            (Err(error), Ok(_)) => Err(explain(&minijinja::Error::new(
                error.kind(),
                "it fails with a secret that it looked up (the details are left out: the secret \
                 may be in them)",
            ))
            .into()),
        }
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    let found = METHODS.into_iter().find(|m| m.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("--method '{text}' is not one of POST, PUT, PATCH, GET, DELETE"))
}

/// The name of a header that an endpoint may set.
fn parse_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        format!("--header '{text}' is not a header's name: write it as 'Name: value'")
    })?;

    match name.as_str() {
        "user-agent" => Ok(name),
        "content-type" => Err("--header content-type: use --content-type for it".to_owned()),
        ours if is_ours(ours) => {
            Err(format!("--header {ours} is set by hookbox, or belongs to the connection"))
        }
        _ => Ok(name),
    }
}

fn parse_content_type(settings: &RequestTemplate) -> Result<Option<HeaderValue>, String> {
    match settings.content_type.as_deref() {
        None if settings.body.is_some() => Ok(Some(HeaderValue::from_static("application/json"))),
        None => Ok(None),
        Some(text) => HeaderValue::from_str(text)
            .map(Some)
            .map_err(|_| format!("--content-type '{text}' is not one: write it like text/plain")),
    }
}
