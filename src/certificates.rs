//! Certificates and keys of X.509 in files, as whoever shows them and whoever checks them reads
//! them: what a file in PEM form holds, and what a certificate says of itself.

use std::fs;
use std::path::Path;

use rustls::CertificateError;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_cert::certificate::Version;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

/// What some editors put at the beginning of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// In keys that need a passphrase: of PKCS#8, and of the form before it (RFC 1421).
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// Whether a certificate is an authority's, which vouches for others: its basic constraints say so
/// (RFC 5280, section 4.2.1.9), or it is from before there were any, and issued by itself; and its
/// key may sign certificates, where it says what its key is for (section 4.2.1.3).
///
/// # Errors
/// When it cannot be read, and why.
pub fn is_authority(certificate: &CertificateDer<'_>) -> Result<bool, String> {
    let read = x509_cert::Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let read = read.tbs_certificate();
    let constraints = read.get_extension::<BasicConstraints>().map_err(|e| e.to_string())?;
    let usage = read.get_extension::<KeyUsage>().map_err(|e| e.to_string())?;

    let is_old_root = read.version() == Version::V1 && read.issuer() == read.subject();
    let may_sign = usage.is_none_or(|(_, usage)| usage.key_cert_sign());
    Ok(may_sign && constraints.map_or(is_old_root, |(_, constraints)| constraints.ca))
}

/// Refuses a certificate whose time has not come yet, or is over.
///
/// # Errors
/// Which of the two.
pub fn check_dates(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let read = x509_cert::Certificate::from_der(certificate);
    let read = read.map_err(|_| CertificateError::BadEncoding)?;
    let validity = read.tbs_certificate().validity();

    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// From when until when a certificate is valid, in milliseconds of Unix time; `None` when it cannot
/// be read.
#[must_use]
pub fn valid_between(certificate: &CertificateDer<'_>) -> Option<(u64, u64)> {
    let read = x509_cert::Certificate::from_der(certificate).ok()?;
    let validity = read.tbs_certificate().validity();
    let ms = |time: x509_cert::time::Time| {
        u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX)
    };
    Some((ms(validity.not_before), ms(validity.not_after)))
}

/// The subject of a certificate, as people write it.
#[must_use]
pub fn subject(certificate: &CertificateDer<'_>) -> String {
    let read = x509_cert::Certificate::from_der(certificate);
    let shown = read.map(|read| read.tbs_certificate().subject().to_string()).unwrap_or_default();
    if shown.is_empty() { "without a subject".to_owned() } else { shown }
}

/// The certificates in a file, at least one.
///
/// # Errors
/// What is wrong with it, and what it must be.
pub fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| {
        format!(
            "{why}: it must be a readable file of certificates in PEM \
                                       form"
        )
    };
    let bytes = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(without_mark(&bytes)).collect();

    let found = found.map_err(|error| wrong(explain_pem(&error)))?;
    if found.is_empty() {
        return Err(
            "no certificate is in it: it must hold PEM blocks (BEGIN CERTIFICATE)".to_owned()
        );
    }
    Ok(found)
}

/// The private key in a file.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let wrong = |why: String| {
        format!(
            "{why}: it must be a readable file with a private key in PEM \
                                       form"
        )
    };
    let bytes = fs::read(file).map_err(|error| wrong(error.to_string()))?;

    PrivateKeyDer::from_pem_slice(without_mark(&bytes)).map_err(|error| {
        let is_encrypted = |mark: &&[u8]| bytes.windows(mark.len()).any(|part| part == *mark);
        match error {
            _ if ENCRYPTED.iter().any(is_encrypted) => {
                "the key in it is encrypted, and there is nobody to ask for its passphrase: store \
                 it without one (openssl pkey -in ENCRYPTED -out FILE), readable only by those who \
                 need it"
                    .to_owned()
            }
            pem::Error::NoItemsFound => {
                "no private key is in it: it must hold a PEM block (BEGIN PRIVATE KEY)".to_owned()
            }
            error => wrong(explain_pem(&error)),
        }
    })
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// What is wrong with a text in PEM form, without the bytes that its reader shows.
fn explain_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            let what = String::from_utf8_lossy(end_marker);
            let what = what.trim_matches(|c| c == '-' || c == ' ');
            format!("it is cut off: the end of {} is missing", what.escape_debug())
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins with ----- is none of the PEM form".to_owned()
        }
        pem::Error::Base64Decode(_) => "a PEM block in it is damaged (no base64)".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

    use super::{is_authority, read_certificates, read_key, subject};

    fn made(change: impl FnOnce(&mut CertificateParams)) -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        change(&mut params);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate")
    }

    #[test]
    fn an_authority_says_so_and_its_key_may_sign_certificates() {
        let authority = IsCa::Ca(BasicConstraints::Unconstrained);
        let usages = |usages: &[KeyUsagePurpose]| usages.to_vec();
        for (is_ca, key_usages, expected) in [
            (authority, usages(&[]), true),
            (authority, usages(&[KeyUsagePurpose::KeyCertSign]), true),
            (authority, usages(&[KeyUsagePurpose::DigitalSignature]), false),
            (IsCa::ExplicitNoCa, usages(&[]), false),
            (IsCa::ExplicitNoCa, usages(&[KeyUsagePurpose::KeyCertSign]), false),
            (IsCa::NoCa, usages(&[]), false),
        ] {
            let shown = format!("{is_ca:?} {key_usages:?}");
            let certificate =
                made(|params| (params.is_ca, params.key_usages) = (is_ca, key_usages));
            assert_eq!(is_authority(certificate.der()), Ok(expected), "{shown}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file.pem");
        let write = |text: &[u8]| std::fs::write(&file, text).expect("written");
        let certificate = made(|_| {});
        let key = KeyPair::generate().expect("a key").serialize_pem();

        // As an editor of another system stores it.
        write(&[b"\xef\xbb\xbf", certificate.pem().as_bytes()].concat());
        let read = read_certificates(&file).expect("a certificate");
        assert_eq!(read, [certificate.der().clone()]);
        assert!(subject(&read[0]).contains("CN="), "{}", subject(&read[0]));
        write(&[b"\xef\xbb\xbf", key.as_bytes()].concat());
        assert!(read_key(&file).is_ok());

        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE \
                         KEY-----\n";
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                   AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        for (text, word) in [
            (encrypted, "it is encrypted"),
            (old, "it is encrypted"),
            ("nothing", "no private key is in it"),
            (&certificate.pem(), "no private key is in it"),
            (&key[..key.len() / 2], "it is cut off"),
        ] {
            write(text.as_bytes());
            let why = read_key(&file).expect_err(text);
            assert!(why.replace("the key in it is", "it is").contains(word), "{why}");
        }

        let pem = certificate.pem();
        write(&pem.as_bytes()[..pem.find("-----END").expect("an end")]);
        let why = read_certificates(&file).expect_err("it is cut off");
        assert!(why.contains("it is cut off") && !why.contains("[67, "), "{why}");
    }
}
