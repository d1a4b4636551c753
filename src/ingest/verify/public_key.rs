//! Public keys as providers publish them, and what ring verifies with them.
//!
//! Taken: PEM `PUBLIC KEY` and `CERTIFICATE`, the same base64 without its PEM lines, hex and
//! `whpk_…` for Ed25519. One text may hold several of them, so that a key can be rotated; any that
//! verifies is enough. RSA keys are taken from 2048 to 8192 bits, as ring does.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use ring::signature as ring_sig;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Any, Decode, Encode};
use x509_cert::spki::{ObjectIdentifier, SubjectPublicKeyInfo};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The kind of a key: an algorithm of another kind is never tried with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A signature algorithm; `Der` and `Fixed` are the two ways to write an ECDSA signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    RsaSha1,
    RsaSha256,
    RsaSha384,
    RsaSha512,
    PssSha256,
    PssSha384,
    PssSha512,
    P256Der,
    P256Fixed,
    P384Fixed,
    Ed25519,
}

impl Algorithm {
    pub(super) fn kind(self) -> KeyKind {
        match self {
            Self::P256Der | Self::P256Fixed => KeyKind::P256,
            Self::P384Fixed => KeyKind::P384,
            Self::Ed25519 => KeyKind::Ed25519,
            _ => KeyKind::Rsa,
        }
    }

    fn ring(self) -> &'static dyn ring_sig::VerificationAlgorithm {
        match self {
            Self::RsaSha1 => &ring_sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaSha256 => &ring_sig::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &ring_sig::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &ring_sig::RSA_PKCS1_2048_8192_SHA512,
            Self::PssSha256 => &ring_sig::RSA_PSS_2048_8192_SHA256,
            Self::PssSha384 => &ring_sig::RSA_PSS_2048_8192_SHA384,
            Self::PssSha512 => &ring_sig::RSA_PSS_2048_8192_SHA512,
            Self::P256Der => &ring_sig::ECDSA_P256_SHA256_ASN1,
            Self::P256Fixed => &ring_sig::ECDSA_P256_SHA256_FIXED,
            Self::P384Fixed => &ring_sig::ECDSA_P384_SHA384_FIXED,
            Self::Ed25519 => &ring_sig::ED25519,
        }
    }
}

/// A key in the form that ring wants: PKCS#1 for RSA, the uncompressed point for ECDSA, 32 bytes
/// for Ed25519.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    kind: KeyKind,
    bytes: Vec<u8>,
}

impl PublicKey {
    pub(super) fn kind(&self) -> KeyKind {
        self.kind
    }

    pub(super) fn ed25519(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self { kind: KeyKind::Ed25519, bytes: bytes.to_vec() })
    }

    /// From the big-endian numbers of a JWK.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        use x509_cert::der::asn1::UintRef;
        let numbers = [UintRef::new(modulus).ok()?, UintRef::new(exponent).ok()?];
        let bytes = numbers.to_der().ok()?;
        Some(Self { kind: KeyKind::Rsa, bytes })
    }

    /// From the coordinates of a JWK.
    pub(super) fn ec(kind: KeyKind, x: &[u8], y: &[u8]) -> Option<Self> {
        let width = match kind {
            KeyKind::P256 => 32,
            KeyKind::P384 => 48,
            KeyKind::Rsa | KeyKind::Ed25519 => return None,
        };
        (x.len() == width && y.len() == width).then(|| Self { kind, bytes: [&[4], x, y].concat() })
    }

    /// From a DER SubjectPublicKeyInfo (RFC 5280, 4.1).
    pub(super) fn from_spki(der: &[u8]) -> Option<Self> {
        let info = SubjectPublicKeyInfo::<Any, BitString>::from_der(der).ok()?;
        let algorithm = info.algorithm.oid;

        let kind = if algorithm == RSA || algorithm == RSA_PSS {
            KeyKind::Rsa
        } else if algorithm == ED25519 {
            KeyKind::Ed25519
        } else if algorithm == EC {
            match info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()? {
                P256 => KeyKind::P256,
                P384 => KeyKind::P384,
                _ => return None,
            }
        } else {
            return None;
        };

        Some(Self { kind, bytes: info.subject_public_key.as_bytes()?.to_vec() })
    }

    /// Whether `signature` is this key's over `message`. An algorithm of another kind never holds.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let key = ring_sig::UnparsedPublicKey::new(algorithm.ring(), &self.bytes);
        algorithm.kind() == self.kind && key.verify(message, signature).is_ok()
    }
}

/// A certificate, taken as pinned: its chain is not looked at.
pub(super) struct Certificate {
    pub(super) key: PublicKey,
    pub(super) common_name: Option<String>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Certificate {
    /// From the first certificate of a PEM text.
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        let (_, der) = pem_blocks(text)?.into_iter().find(|(label, _)| label == "CERTIFICATE")?;
        Self::from_der(&der)
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let key = PublicKey::from_spki(&tbs.subject_public_key_info().to_der().ok()?)?;

        let seconds = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };

        Some(Self {
            key,
            common_name: tbs
                .subject()
                .common_name()
                .ok()
                .flatten()
                .map(|name| name.value().to_string()),
            not_before: seconds(tbs.validity().not_before),
            not_after: seconds(tbs.validity().not_after),
        })
    }
}

/// The keys of a text of PEM blocks, or of base64 SPKI separated by white space.
pub(super) fn public_keys(text: &str) -> Result<Vec<PublicKey>, String> {
    let keys: Option<Vec<PublicKey>> = if text.contains("-----BEGIN") {
        let blocks = pem_blocks(text).unwrap_or_default();
        blocks.iter().map(|(label, der)| from_block(label, der)).collect()
    } else {
        let unbased = text.split_whitespace().map(|word| BASE64.decode(word.as_bytes()).ok());
        unbased.map(|der| der.and_then(|der| PublicKey::from_spki(&der))).collect()
    };
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        "the public key cannot be read; give it with --public-key-file as PEM (BEGIN PUBLIC KEY) \
         or as base64 SPKI"
            .to_owned()
    })
}

/// The Ed25519 keys of a text: `whpk_<base64>`, 64 hex digits, PEM, or base64 SPKI, separated by
/// white space.
pub(super) fn ed25519_keys(text: &str) -> Result<Vec<PublicKey>, String> {
    if text.contains("-----BEGIN") {
        return public_keys(text)?
            .into_iter()
            .map(|key| (key.kind == KeyKind::Ed25519).then_some(key))
            .collect::<Option<_>>()
            .ok_or_else(|| "the public key is not an Ed25519 key".to_owned());
    }
    let keys: Option<Vec<PublicKey>> = text.split_whitespace().map(ed25519_word).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        "the public key is neither whpk_<base64> nor 64 hex digits nor PEM; give it with \
         --public-key-file"
            .to_owned()
    })
}

fn ed25519_word(word: &str) -> Option<PublicKey> {
    if let Some(text) = word.strip_prefix("whpk_") {
        return PublicKey::ed25519(
            &BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?,
        );
    }
    if word.len() == 64 {
        return PublicKey::ed25519(&HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok()?);
    }
    PublicKey::from_spki(&BASE64.decode(word.as_bytes()).ok()?)
        .filter(|key| key.kind == KeyKind::Ed25519)
}

fn from_block(label: &str, der: &[u8]) -> Option<PublicKey> {
    match label {
        "PUBLIC KEY" => PublicKey::from_spki(der),
        "RSA PUBLIC KEY" => Some(PublicKey { kind: KeyKind::Rsa, bytes: der.to_vec() }),
        "CERTIFICATE" => Certificate::from_der(der).map(|certificate| certificate.key),
        _ => None,
    }
}

/// The blocks of a PEM text (RFC 7468) as label and DER; `None` when one of them is broken.
fn pem_blocks(text: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----")?;
        let (base64, after) = body.split_once(&format!("-----END {label}-----"))?;
        let base64: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        blocks.push((label.to_owned(), BASE64.decode(base64.as_bytes()).ok()?));
        rest = after;
    }
    Some(blocks)
}
