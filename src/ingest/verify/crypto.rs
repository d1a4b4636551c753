//! HMAC, digests and the one comparison: everything secret is compared here, in constant time.

use ::hmac::{KeyInit, Mac};
use data_encoding::{BASE64, HEXLOWER};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// A hash function under HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashFunction {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// HMAC of the concatenated parts.
pub(super) fn hmac(hash: HashFunction, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        HashFunction::Sha1 => mac::<::hmac::Hmac<Sha1>>(key, parts),
        HashFunction::Sha256 => mac::<::hmac::Hmac<Sha256>>(key, parts),
        HashFunction::Sha384 => mac::<::hmac::Hmac<Sha384>>(key, parts),
        HashFunction::Sha512 => mac::<::hmac::Hmac<Sha512>>(key, parts),
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of any length, so there is no error to meet; an empty MAC would match
    // nothing.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The HMACs of the parts under each key. Made once, however many signatures a header lists: a
/// header full of wrong ones must not cost a pass over the body each.
pub(super) fn hmacs<K: AsRef<[u8]>>(
    hash: HashFunction,
    keys: &[K],
    parts: &[&[u8]],
) -> Vec<Vec<u8>> {
    keys.iter().map(|key| hmac(hash, key.as_ref(), parts)).collect()
}

/// Whether `given` is one of the MACs. All are looked at, whatever the first gives.
pub(super) fn is_among(macs: &[Vec<u8>], given: &[u8]) -> bool {
    macs.iter().fold(false, |matches, mac| matches | (!mac.is_empty() && equal(mac, given)))
}

/// Whether `given` is the HMAC of the parts under one of the keys.
pub(super) fn hmac_matches<K: AsRef<[u8]>>(
    hash: HashFunction,
    keys: &[K],
    parts: &[&[u8]],
    given: &[u8],
) -> bool {
    is_among(&hmacs(hash, keys, parts), given)
}

/// Equality in constant time of values whose length is not a secret (MACs).
pub(super) fn equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// Whether `given` is one of the secrets, in a time that reveals neither content nor length.
pub(super) fn is_one_of<K: AsRef<[u8]>>(secrets: &[K], given: &[u8]) -> bool {
    let given = Sha256::digest(given);
    let mut matches = false;
    for secret in secrets {
        matches |= equal(&Sha256::digest(secret.as_ref()), &given);
    }
    matches
}

/// Hex in lower case, of whole bytes, as the providers' SDKs compare it.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}

/// Standard base64 with its padding.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok()
}

pub(super) fn sha1(data: &[u8]) -> Vec<u8> {
    Sha1::digest(data).to_vec()
}

pub(super) fn sha256(data: &[u8]) -> Vec<u8> {
    Sha256::digest(data).to_vec()
}

pub(super) fn sha512(data: &[u8]) -> Vec<u8> {
    Sha512::digest(data).to_vec()
}

/// Like [`fingerprint`], of the concatenated parts.
pub(in crate::ingest) fn fingerprint_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    format!("sha256:{}", HEXLOWER.encode(&hash.finalize()))
}

/// A dedupe key for what has no id of its own: the same bytes are the same event.
pub(in crate::ingest) fn fingerprint(data: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(data)))
}

#[cfg(test)]
mod tests {
    use super::{HashFunction, equal, fingerprint, hmac, hmac_matches, is_one_of, unbase64, unhex};

    /// RFC 4231, test case 2, and RFC 2202, test case 2.
    #[test]
    fn hmac_is_the_rfcs() {
        let parts: &[&[u8]] = &[b"what do ya want ", b"for nothing?"];
        let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hmac(HashFunction::Sha256, b"Jefe", parts), unhex(sha256).unwrap());
        assert_eq!(
            hmac(HashFunction::Sha1, b"Jefe", parts),
            unhex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79").unwrap()
        );
    }

    #[test]
    fn any_of_the_keys_matches_and_nothing_else() {
        let given = hmac(HashFunction::Sha512, b"two", &[b"x"]);
        assert!(hmac_matches(HashFunction::Sha512, &["one", "two"], &[b"x"], &given));
        assert!(!hmac_matches(HashFunction::Sha512, &["one"], &[b"x"], &given));
        assert!(!hmac_matches(HashFunction::Sha512, &["two"], &[b"x"], &given[..63]));
        assert!(!hmac_matches::<&str>(HashFunction::Sha512, &[], &[b"x"], &[]));
    }

    #[test]
    fn comparison_looks_at_everything() {
        assert!(
            is_one_of(&["a", "key"], b"key")
                && !is_one_of(&["a", "key"], b"ke")
                && !is_one_of(&["key"], b"keyy")
        );
        assert!(equal(b"", b"") && !equal(b"a", b"") && !equal(b"ab", b"aB"));
    }

    #[test]
    fn encodings_are_strict() {
        assert_eq!(unhex("0aff"), Some(vec![0x0a, 0xff]));
        for wrong in ["0aF", "0AFF", "0af", " 0a", "0a\n", "é"] {
            assert_eq!(unhex(wrong), None, "{wrong:?}");
        }
        assert_eq!(unbase64("AQI="), Some(vec![1, 2]));
        for wrong in ["AQI", "AQI==", "AQJ=", "AQ I=", "AQI=\n", "_-=="] {
            assert_eq!(unbase64(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_fingerprint_is_a_sha256() {
        assert!(fingerprint(b"").starts_with("sha256:e3b0c442") && fingerprint(b"").len() == 71);
    }
}
