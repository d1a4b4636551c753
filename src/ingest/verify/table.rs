//! The table of schemes, and what callers ask of a source's scheme.

use super::bounds::bounded;
use super::jws;
use super::pinned_certificates;
use super::public_key::Certificate;
use super::refusal::ProofRefusal;
use super::request::Request;
use super::scheme::{Need, Scheme};
use super::token_keys::TokenKeys;
use super::verdict::{ProviderAnswer, Verdict};
use super::{
    apikey, bin, body_part, braintree, circleci, cloudevents, dialogflow, discord, github, gitlab,
    handshake, hmac, intercom, jwt, mailchimp, mandrill, mtls, none, okta, paddle, paypal, pubsub,
    rfc9421, sendgrid, shopify, slack, sns, standard_webhooks, stripe, svix, travis, twilio,
};
use crate::model::{Source, limits};

/// Every scheme, as help, the reference and [`super::check_settings`] use it.
pub const TABLE: &[Scheme] = &[
    stripe::SCHEME,
    braintree::SCHEME,
    sendgrid::SCHEME,
    mailchimp::SCHEME,
    mandrill::SCHEME,
    travis::SCHEME,
    circleci::SCHEME,
    dialogflow::SCHEME,
    intercom::SCHEME,
    github::SCHEME,
    okta::SCHEME,
    jwt::SCHEME,
    apikey::SCHEME,
    bin::SCHEME,
    slack::SCHEME,
    shopify::SCHEME,
    twilio::SCHEME,
    gitlab::SCHEME,
    paypal::SCHEME,
    paddle::SCHEME,
    discord::SCHEME,
    standard_webhooks::SCHEME,
    svix::SCHEME,
    cloudevents::SCHEME,
    rfc9421::SCHEME,
    pubsub::SCHEME,
    sns::SCHEME,
    hmac::SCHEME,
    mtls::SCHEME,
    none::SCHEME,
];

/// The schemes' names, for help and errors.
pub const SCHEMES: &[&str] = &names();

const fn names() -> [&'static str; TABLE.len()] {
    let mut names = [""; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        names[at] = TABLE[at].name;
        at += 1;
    }
    names
}

/// The scheme of that name.
#[must_use]
pub fn scheme(name: &str) -> Option<&'static Scheme> {
    TABLE.iter().find(|scheme| scheme.name == name)
}

/// The methods that a source answers, as `Allow` lists them. A scheme that does not exist in this
/// version answers POST, with a refusal.
#[must_use]
pub fn methods(source: &Source) -> &'static str {
    let of_scheme = scheme(&source.verify).map_or("POST", |scheme| scheme.methods);
    match handshake::method(source) {
        Some("HEAD") if of_scheme == "POST" => "POST, HEAD",
        Some(_) if of_scheme == "POST" => "POST, GET",
        _ => of_scheme,
    }
}

/// Whether a source answers `method`.
#[must_use]
pub fn answers(source: &Source, method: &str) -> bool {
    let by_scheme =
        scheme(&source.verify).map_or(method == "POST", |scheme| scheme.answers(method));
    by_scheme || handshake::method(source) == Some(method)
}

/// Bytes of a body that a source of this scheme takes unless its settings give another number.
#[must_use]
pub fn default_max_body(name: &str) -> u64 {
    scheme(name).map_or(limits::DEFAULT_MAX_BODY, |scheme| scheme.max_body)
}

/// Whether a source of this scheme may have a secret.
#[must_use]
pub fn uses_secret(name: &str) -> bool {
    scheme(name).is_none_or(|scheme| scheme.secret != Need::Unused)
}

/// Whether the provider makes the secret, so that one that is generated here would prove nobody.
#[must_use]
pub fn provider_makes_secret(name: &str) -> bool {
    scheme(name).is_some_and(|scheme| scheme.provider_makes_secret)
}

/// Verifies `request` as `source.verify` says, at `now_unix` (seconds).
#[must_use]
pub fn verify(source: &Source, request: &Request<'_>, now_unix: i64) -> Verdict {
    let Some(scheme) = scheme(&source.verify) else {
        let reason =
            format!("the source's scheme {:?} does not exist in this version", source.verify);
        return ProofRefusal::settings(reason).into();
    };

    if let Some(answered) = handshake::answered(source, request, now_unix) {
        return answered.unwrap_or_else(Verdict::from);
    }
    match (scheme.verify)(source, request, now_unix) {
        Ok(Verdict::Proven(mut proven)) => {
            let own = proven.content.is_some();
            debug_assert!(!own || scheme.own_content, "{}: own_content is not set", scheme.name);
            proven.answer = ProviderAnswer::of_settings(source).or(proven.answer);
            proven.part = body_part::body_part(source, request);
            Verdict::Proven(bounded(proven))
        }
        Ok(verdict) => verdict,
        Err(refusal) => refusal.into(),
    }
}

/// Whether a scheme says itself which bodies are the same event, so that the hash of a body alone
/// does not.
#[must_use]
pub fn has_own_content(name: &str) -> bool {
    scheme(name).is_some_and(|scheme| scheme.own_content)
}

/// Why the source's proofs do not name their recipient, and how to fix it: one sentence for the
/// operator. A proof that would be as good at anybody else's webhook proves nothing here.
#[must_use]
pub fn unnamed_recipient(source: &Source) -> Option<String> {
    scheme(&source.verify).and_then(|scheme| (scheme.recipient)(source).err())
}

/// Whether a source of this scheme cannot be created before its proofs name their recipient.
#[must_use]
pub fn needs_recipient_first(name: &str) -> bool {
    scheme(name).is_some_and(|scheme| scheme.recipient_first)
}

/// The verdict on a proven request of a source whose proofs do not name their recipient.
#[must_use]
pub fn unnamed(why: &str) -> Verdict {
    ProofRefusal::unnamed_recipient(why).into()
}

/// Whether the URL may be a part of what is signed.
#[must_use]
pub fn signs_url(source: &Source) -> bool {
    scheme(&source.verify).is_some_and(|scheme| scheme.signs_url)
}

/// The header that the source compares with the secret itself.
#[must_use]
pub fn secret_header(source: &Source) -> Option<&str> {
    scheme(&source.verify).and_then(|scheme| (scheme.secret_header)(source))
}

/// The URL of the certificate that a request names, when it is one that its provider may name.
#[must_use]
pub fn certificate_url(source: &Source, request: &Request<'_>) -> Option<String> {
    scheme(&source.verify)?.certificate_url.and_then(|url| url(request))
}

/// Whether the source's certificates are fetched when a request names one.
#[must_use]
pub fn fetches_certificates(source: &Source) -> bool {
    let names_one = scheme(&source.verify).is_some_and(|scheme| scheme.certificate_url.is_some());
    names_one && pinned_certificates::fetches(source)
}

/// When a certificate in PEM ends, in seconds; `None` when it is not one.
#[must_use]
pub fn certificate_end(pem: &str) -> Option<i64> {
    Certificate::from_pem(pem).map(|certificate| certificate.not_after)
}

/// The keys of a source's settings, parsed: a source of tokens needs them for each request, and
/// parsing takes long.
#[must_use]
pub fn key_set(source: &Source) -> Option<TokenKeys> {
    let has_key_set = scheme(&source.verify).is_some_and(|scheme| scheme.has_key_set);
    has_key_set.then(|| TokenKeys::of(source))
}

/// Whether a key set (RFC 7517) holds a key that can verify a signature.
///
/// # Errors
/// One sentence for the operator.
pub fn check_key_set(value: &serde_json::Value) -> Result<(), String> {
    jws::key_set(value)
        .map(|_| ())
        .map_err(|_| "the answer is not a key set with a key that can verify".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{SCHEMES, Source, TABLE, default_max_body, limits};
    use crate::model::PROVIDER_SCHEMES;

    /// The schemes of home-made senders.
    const GENERIC: [&str; 6] = ["apikey", "bin", "hmac", "mtls", "none", "standard-webhooks"];

    #[test]
    fn each_scheme_is_a_provider_preset_or_for_home_made_senders() {
        let mut classified = [PROVIDER_SCHEMES, &GENERIC].concat();
        classified.sort_unstable();
        let mut schemes = SCHEMES.to_vec();
        schemes.sort_unstable();
        assert_eq!(classified, schemes, "a new scheme has to be put into one of the lists");

        assert!(Source::new("in", "github").is_provider());
        assert!(!Source::new("in", "of-a-later-version").is_provider());
    }

    /// The keys of a set are parsed once, and not for each request.
    #[test]
    fn each_scheme_with_a_key_set_keeps_it_parsed() {
        for scheme in TABLE {
            let takes_one = scheme.params.iter().any(|(name, _)| *name == "jwks");
            assert_eq!(scheme.has_key_set, takes_one, "{}", scheme.name);
        }
    }

    #[test]
    fn every_default_can_be_set_and_is_no_less_than_the_common_one() {
        for scheme in SCHEMES {
            let bytes = default_max_body(scheme);
            assert!(
                (limits::DEFAULT_MAX_BODY..=limits::MAX_BODY).contains(&bytes),
                "{scheme}: {bytes}"
            );
        }
        assert!(default_max_body("github") >= 25_000_000);
        assert!(default_max_body("gitlab") >= 25_000_000);
        assert_eq!(default_max_body("none"), limits::DEFAULT_MAX_BODY);
    }
}
