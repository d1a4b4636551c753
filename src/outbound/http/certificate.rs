//! What a certificate says of itself.

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::certificate::Version;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::BasicConstraints;

/// Whether a certificate is an authority's, which vouches for others: its basic constraints say so
/// (RFC 5280, section 4.2.1.9), or it is from before there were any, and issued by itself.
///
/// # Errors
/// When it cannot be read, and why.
pub fn is_authority(certificate: &CertificateDer<'_>) -> Result<bool, String> {
    let read = x509_cert::Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let read = read.tbs_certificate();
    let constraints = read.get_extension::<BasicConstraints>().map_err(|e| e.to_string())?;

    let is_old_root = read.version() == Version::V1 && read.issuer() == read.subject();
    Ok(constraints.map_or(is_old_root, |(_, constraints)| constraints.ca))
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
