//! The names of headers, query parameters and settings that say that their value is a secret.

use super::percent::decoded;

/// Parts of names that mean a credential wherever they stand, with the words of a name put together
/// (`authtoken`).
const CREDENTIAL_PARTS: [&str; 19] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "passcode",
    "authcode",
    "accesscode",
    "securitycode",
    "verificationcode",
    "sessid",
    "saml",
    "credential",
    "cookie",
    "authoriz",
    "authentication",
    "apikey",
    "accesskey",
    "privatekey",
    "bearer",
];
/// Whole words that mean one.
const CREDENTIAL_WORDS: [&str; 11] = [
    "auth",
    "pwd",
    "pass",
    "creds",
    "session",
    "sessionid",
    "otp",
    "totp",
    "jwt",
    "pincode",
    "assertion",
];
/// Whole names of session identifiers, with their words put together. As a part of a name `sid` is
/// a name of something else: Twilio has `AccountSid`, `CallSid` and `MessageSid`.
const SESSION_NAMES: [&str; 6] =
    ["sid", "xsid", "connectsid", "phpsessid", "jsessionid", "aspsessionid"];
/// A token of one of these tells one delivery or one page from the others, and grants nothing.
const PLAIN_TOKENS: [&str; 2] = ["idempotency", "page"];
/// A key of one of these is a name of something, not a credential.
const PLAIN_KEYS: [&str; 22] = [
    "event",
    "idempotency",
    "partition",
    "routing",
    "message",
    "ordering",
    "order",
    "sort",
    "cache",
    "primary",
    "foreign",
    "public",
    "object",
    "group",
    "dedupe",
    "dedup",
    "issue",
    "project",
    "correlation",
    "record",
    "data",
    "resource",
];
/// A name with one of these as its last word is about a credential, and not the credential itself.
const ABOUT: [&str; 24] = [
    "id",
    "ids",
    "type",
    "algo",
    "algorithm",
    "algorithms",
    "version",
    "name",
    "method",
    "encoding",
    "header",
    "field",
    "param",
    "count",
    "length",
    "url",
    "uri",
    "kind",
    "format",
    "scheme",
    "scope",
    "scopes",
    "results",
    "provider",
];
/// Words that mean a signature: a secret in a URL, where it grants access, but no credential in a
/// header, where it proves one body alone.
const SIGNATURE_WORDS: [&str; 4] = ["sig", "sign", "hmac", "mac"];

/// Whether the name of a header, a query parameter or a setting says that its value grants access
/// to whoever has it: `Authorization`, `X-Auth-Token`, `api_key`, `clientSecret`. Names are
/// compared without percent-encoding and in any case.
#[must_use]
pub fn is_credential_name(name: &str) -> bool {
    let words = without_plain_tokens(words(&decoded(name)));
    let Some(last) = words.last() else { return false };
    let is_session = words.iter().any(|word| word.contains("session"));
    if ABOUT.contains(&last.as_str()) && words.len() > 1 && !is_session {
        return false;
    }

    let joined = words.concat();
    let is_word =
        |word: &String| CREDENTIAL_WORDS.contains(&word.as_str()) || word.ends_with("auth");
    SESSION_NAMES.contains(&joined.as_str())
        || CREDENTIAL_PARTS.iter().any(|part| joined.contains(part))
        || words.iter().any(is_word)
        || names_a_key(&words)
}

/// The words without those of an `Idempotency-Token`.
fn without_plain_tokens(mut words: Vec<String>) -> Vec<String> {
    while let Some(at) = words
        .windows(2)
        .position(|pair| PLAIN_TOKENS.contains(&pair[0].as_str()) && pair[1] == "token")
    {
        words.drain(at..at + 2);
    }
    words
}

/// `key`, `x-functions-key`, `subscriptionKeys`; not `x-event-key`.
fn names_a_key(words: &[String]) -> bool {
    let is_plain = |at: usize| at > 0 && PLAIN_KEYS.contains(&words[at - 1].as_str());
    let is_key = |word: &str| {
        let stem = word.strip_suffix("keys").or_else(|| word.strip_suffix("key"));
        stem.is_some_and(|stem| {
            stem.is_empty() || !PLAIN_KEYS.contains(&stem) && !matches!(stem, "mon" | "tur" | "don")
        })
    };
    words.iter().enumerate().any(|(at, word)| is_key(word) && !is_plain(at))
}

/// Whether a name says that its value is a secret: a credential or a signature.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    is_credential_name(name) || is_signature_name(name)
}

/// Whether a name says that its value is a signature, or something about one:
/// `X-Hub-Signature-256`, `Signature-Input`, `X-Shopify-Hmac-Sha256`.
#[must_use]
pub fn is_signature_name(name: &str) -> bool {
    let is_signature =
        |word: &String| word.contains("signature") || SIGNATURE_WORDS.contains(&word.as_str());
    words(&decoded(name)).iter().any(is_signature)
}

/// The words of a name in lower case: `X-Auth-Token`, `x_auth_token` and `xAuthToken` have the
/// same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase());
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::{is_credential_name, is_secret_name};

    #[test]
    fn a_credential_is_known_however_its_name_is_spelled() {
        let names = [
            "authorization",
            "Proxy-Authorization",
            "X-Auth-Token",
            "x-auth",
            "Cookie",
            "set-cookie",
            "X-Api-Key",
            "apikey",
            "API_KEY",
            "api%5Fkey",
            "k%65y",
            "k%2565y",
            "key",
            "Ocp-Apim-Subscription-Key",
            "x-functions-key",
            "accessToken",
            "client_secret",
            "clientSecret",
            "password",
            "pwd",
            "X-Gitlab-Token",
            "x-goog-channel-token",
            "x-amz-security-token",
            "PHPSESSID_session",
            "session_id",
            "X-Session-Id",
            "private-token",
            "x-vault-token",
            "cf-access-client-secret",
            "X-Xauth",
            "basic_auth",
            "passwd",
            "sid",
            "connect.sid",
            "PHPSESSID",
            "JSESSIONID",
            "x-sid",
            "idempotency-token-secret",
            "X-Passcode",
            "passcode",
            "door_passCode",
            "authCode",
            "access_code",
            "X-Verification-Code",
            "security-code",
            "pincode",
            "totp",
            "MOD_SESSID",
            "client_assertion",
            "SAMLResponse",
        ];

        for name in names {
            assert!(is_credential_name(name) && is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn names_about_a_credential_are_not_its_name() {
        let names = [
            "content-type",
            "x-event-key",
            "idempotency-key",
            "x-github-event",
            "x-author",
            "authority",
            "paypal-auth-algo",
            "token_type",
            "public_key",
            "secret_encoding",
            "monkey",
            "x-hub-signature-256",
            "x-shopify-hmac-sha256",
            "stripe-signature",
            "webhook-id",
            "x-oauth-scopes",
            "",
            "%",
            "x-compass",
            "AccountSid",
            "CallSid",
            "MessageSid",
            "MessagingServiceSid",
            "SmsSid",
            "ParentCallSid",
            "I-Twilio-Idempotency-Token",
            "i-twilio-idempotency-token",
            "BusinessId",
            "process_id",
            "country_code",
            "postcode",
            "encode",
            "pin",
            "assertion_count",
        ];

        for name in names {
            assert!(!is_credential_name(name), "{name}");
        }
    }

    #[test]
    fn a_signature_is_a_secret_and_no_credential() {
        for name in ["X-Amz-Signature", "sig", "x-hub-signature", "hmac"] {
            assert!(is_secret_name(name), "{name}");
        }
        assert!(!is_secret_name("design") && !is_secret_name("assignee"));
    }
}
