//! The signature of what is forwarded: Standard Webhooks, `v1`, as endpoints sign.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ctl::error::CtlError;
use crate::ctl::ssh::random;

const PREFIX: &str = "whsec_";

/// A secret, and its text.
#[derive(Clone)]
pub(super) struct ListenSecret {
    keyed: Hmac<Sha256>,
    text: String,
}

impl ListenSecret {
    /// A new one.
    pub(super) fn generate() -> Result<Self, CtlError> {
        Self::parse(&format!("{PREFIX}{}", STANDARD.encode(random::<32>()?)))
    }

    /// Reads `whsec_…`.
    pub(super) fn parse(text: &str) -> Result<Self, CtlError> {
        let wrong = || CtlError::Usage("the secret is not whsec_ and base64".into());
        let encoded = text.strip_prefix(PREFIX).ok_or_else(wrong)?.trim_end_matches('=');
        let key = STANDARD_NO_PAD.decode(encoded).map_err(|_| wrong())?;
        let keyed = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| wrong())?;
        Ok(Self { keyed, text: text.to_owned() })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The `webhook-signature` of a body.
    pub(super) fn sign(&self, id: &str, seconds: &str, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::ListenSecret;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn it_signs_as_the_libraries_do() {
        let secret = ListenSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("one");
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(ListenSecret::parse("hunter2").is_err() && ListenSecret::parse("whsec_!").is_err());
        let new = ListenSecret::generate().expect("one");
        assert!(new.text().starts_with("whsec_") && new.text().len() == 50);
    }
}
