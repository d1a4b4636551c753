//! Signatures by Standard Webhooks (standardwebhooks.com, specification 1.0.0): `v1`, HMAC-SHA256
//! with a `whsec_` secret, and `v1a`, Ed25519 with a `whsk_` secret, over `id.timestamp.body`. All
//! live secrets sign, the newest first, so that receivers change over at their leisure while a
//! secret is rotated.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::Ed25519KeyPair;
use sha2::Sha256;

use crate::model::{Endpoint, TimedSecret, WallMs, limits};

const HMAC_PREFIX: &str = "whsec_";
const ED25519_PREFIX: &str = "whsk_";

/// People lose the `=` at the end when they copy secrets.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Makes a new HMAC secret from 32 random bytes.
#[must_use]
pub fn generate_secret(random: [u8; 32]) -> String {
    format!("{HMAC_PREFIX}{}", STANDARD.encode(random))
}

/// A decoded secret.
pub struct SigningKey {
    expires_at: Option<WallMs>,
    kind: SigningAlgorithm,
}

enum SigningAlgorithm {
    /// Keyed already, so that a signature costs a copy instead of two more hash blocks.
    Hmac(Box<Hmac<Sha256>>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// Decodes a secret.
    ///
    /// # Errors
    /// Says what is wrong with it, without showing it.
    pub fn new(secret: &TimedSecret) -> Result<Self, String> {
        let text = secret.secret.0.trim();

        let kind = if let Some(encoded) = text.strip_prefix(HMAC_PREFIX) {
            let key = decode(encoded, HMAC_PREFIX)?;
            let mac = Hmac::<Sha256>::new_from_slice(&key)
                .map_err(|_| "the secret cannot be used".to_owned())?;
            SigningAlgorithm::Hmac(Box::new(mac))
        } else if let Some(encoded) = text.strip_prefix(ED25519_PREFIX) {
            SigningAlgorithm::Ed25519(Box::new(ed25519(&decode(encoded, ED25519_PREFIX)?)?))
        } else if text.starts_with("whpk_") {
            return Err(
                "whpk_ is a public key: signing needs the whsk_ key that belongs to it".to_owned()
            );
        } else {
            return Err("a signing secret begins with whsec_ (HMAC) or whsk_ (Ed25519), followed \
                        by base64: --generate-secret makes one"
                .to_owned());
        };

        Ok(Self { expires_at: secret.expires_at, kind })
    }

    fn sign(&self, id: &str, seconds: &str, body: &[u8]) -> String {
        match &self.kind {
            SigningAlgorithm::Hmac(keyed) => {
                let mut mac = keyed.as_ref().clone();
                for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
                    mac.update(part);
                }
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            }
            SigningAlgorithm::Ed25519(pair) => {
                let content = [id.as_bytes(), b".", seconds.as_bytes(), b".", body].concat();
                format!("v1a,{}", STANDARD.encode(pair.sign(&content)))
            }
        }
    }

    fn version(&self) -> &'static str {
        match self.kind {
            SigningAlgorithm::Hmac(_) => "v1,…",
            SigningAlgorithm::Ed25519(_) => "v1a,…",
        }
    }
}

/// A signature header, and the same for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    pub value: String,
    pub shown: String,
}

/// Signs with every key that is live at `wall_ms`; `None` when there is none.
pub fn signature(
    keys: &[SigningKey],
    id: &str,
    seconds: &str,
    body: &[u8],
    wall_ms: WallMs,
) -> Option<Signature> {
    let mut signature = Signature { value: String::new(), shown: String::new() };
    for key in keys.iter().filter(|k| k.expires_at.is_none_or(|end| wall_ms < end)) {
        if !signature.value.is_empty() {
            signature.value.push(' ');
            signature.shown.push(' ');
        }
        signature.value.push_str(&key.sign(id, seconds, body));
        signature.shown.push_str(key.version());
    }
    (!signature.value.is_empty()).then_some(signature)
}

fn decode(encoded: &str, prefix: &str) -> Result<Vec<u8>, String> {
    let key = BASE64
        .decode(encoded)
        .map_err(|_| format!("what follows {prefix} is not base64: copy the secret whole"))?;
    match key.len() {
        0 => Err(format!("nothing follows {prefix}: copy the secret whole")),
        n if n > limits::SIGNING_KEY => {
            Err(format!("a secret has at most {} bytes, this one {n}", limits::SIGNING_KEY))
        }
        _ => Ok(key),
    }
}

fn ed25519(key: &[u8]) -> Result<Ed25519KeyPair, String> {
    match key.len() {
        32 => Ed25519KeyPair::from_seed_unchecked(key),
        64 => Ed25519KeyPair::from_seed_and_public_key(&key[..32], &key[32..]),
        n => {
            return Err(format!(
                "a whsk_ key has 32 bytes (seed) or 64 (seed and public key), this one {n}"
            ));
        }
    }
    .map_err(|_| "the whsk_ key's two halves do not belong together: copy the key whole".to_owned())
}

/// Bytes of a secret that nobody guesses, as Standard Webhooks asks for.
const STRONG_BYTES: usize = 24;

/// What to know of a signing secret that is too short; `None` for others, and for references.
#[must_use]
pub fn weak_secret(endpoint: &Endpoint) -> Option<String> {
    let newest = endpoint.secrets.first()?;
    let length = decode(newest.secret.0.strip_prefix(HMAC_PREFIX)?, HMAC_PREFIX).ok()?.len();
    (length < STRONG_BYTES).then(|| {
        format!(
            "its secret has {length} bytes, which can be guessed: Standard Webhooks asks for \
             {STRONG_BYTES} or more; `hookboxctl endpoint rotate-secret` makes a new one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, SigningKey, generate_secret, signature, weak_secret};
    use crate::model::TimedSecret;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_short_secret_is_weak_and_a_reference_is_not_looked_at() {
        for (secret, is_weak) in
            [(SECRET, false), ("whsec_AA==", true), ("env:WEAK", false), ("whsk_AA==", false)]
        {
            let mut endpoint = Endpoint::new("app", "http://app.example/");
            endpoint.secrets = vec![TimedSecret::current(secret)];
            assert_eq!(weak_secret(&endpoint).is_some(), is_weak, "{secret}");
        }
    }
    /// A key pair that the Standard Webhooks and Svix projects publish in their tests.
    const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

    fn sign(secrets: &[TimedSecret], seconds: &str, body: &[u8], wall_ms: u64) -> Option<String> {
        let keys: Vec<SigningKey> = secrets.iter().map(|s| SigningKey::new(s).unwrap()).collect();
        signature(&keys, ID, seconds, body, wall_ms).map(|s| s.value)
    }

    #[test]
    fn the_published_examples_come_out() {
        let body = br#"{"test": 2432232314}"#;
        let hmac = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let ed25519 = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        let secrets = [TimedSecret::current(SECRET), TimedSecret::current(PRIVATE)];
        assert_eq!(sign(&secrets[..1], "1614265330", body, 0).as_deref(), Some(hmac));
        assert_eq!(sign(&secrets[1..], "1614265330", body, 0).as_deref(), Some(ed25519));
        assert_eq!(sign(&secrets, "1614265330", body, 0), Some(format!("{hmac} {ed25519}")));
        let seed_only = TimedSecret::current("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=");
        assert_eq!(sign(&[seed_only], "1614265330", body, 0).as_deref(), Some(ed25519));
    }

    #[test]
    fn signatures_agree_with_another_implementation() {
        let random = [7u8; 32];
        let secret = TimedSecret::current(generate_secret(random));
        let body = [0u8, 255, 10, 13, b'.'].repeat(1000);
        let ours = sign(std::slice::from_ref(&secret), "1700000000", &body, 0).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &random);
        let content = [format!("{ID}.1700000000.").as_bytes(), &body].concat();
        let encoded = ours.strip_prefix("v1,").unwrap();
        let tag = base64::Engine::decode(&super::STANDARD, encoded).unwrap();
        ring::hmac::verify(&key, &content, &tag).expect("ring agrees");
    }

    #[test]
    fn all_live_secrets_sign_newest_first() {
        let old = TimedSecret {
            expires_at: Some(1000),
            ..TimedSecret::current(generate_secret([1; 32]))
        };
        let secrets = [TimedSecret::current(SECRET), old];
        let both = sign(&secrets, "1", b"x", 999).unwrap();
        let one = sign(&secrets, "1", b"x", 1000).unwrap();
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.starts_with(&one) && !one.contains(' '));
        assert_eq!(sign(&[], "1", b"x", 0), None);
    }

    #[test]
    fn broken_secrets_are_refused_without_being_shown() {
        for (secret, word) in [
            ("", "begins with"),
            ("hunter2hunter2", "begins with"),
            ("whpk_abcd", "public key"),
            ("whsec_", "nothing"),
            ("whsec_hunter2!", "not base64"),
            ("whsk_aGVsbG8=", "32 bytes"),
            (
                "whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
                "halves",
            ),
        ] {
            let refusal = SigningKey::new(&TimedSecret::current(secret)).err().expect(secret);
            assert!(refusal.contains(word), "{secret}: {refusal}");
            assert!(!refusal.contains("hunter2"));
        }

        let long = format!("whsec_{}", "A".repeat(4000));
        assert!(SigningKey::new(&TimedSecret::current(long)).is_err());
        assert!(
            SigningKey::new(&TimedSecret::current("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"))
                .is_ok()
        );
    }
}
