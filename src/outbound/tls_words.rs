//! What goes wrong with TLS, in words for the operator.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError, OtherError};

/// What is wrong with a certificate that is an authority's and shown by a receiver.
pub const AUTHORITY: &str = "certificate is that of an authority (CA:TRUE), which vouches for \
                             others and not for a receiver: its operator may have signed it by \
                             itself";

/// The usual reasons in words; the rest in the words of rustls.
pub fn explain(error: &io::Error) -> String {
    if let Some(tls) = tls_error(error) {
        return explain_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed during the handshake".to_owned(),
        io::ErrorKind::ConnectionReset => {
            "the connection was reset during the handshake".to_owned()
        }
        _ => error.to_string(),
    }
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>())
}

/// The same for an error that TLS is the cause of; `None` for others. With TLS 1.3 a receiver
/// refuses a certificate when the handshake is over on this side.
pub fn explain_cause(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inside = error.downcast_ref::<io::Error>().and_then(tls_error);
        if let Some(tls) = inside.or_else(|| error.downcast_ref()) {
            return Some(explain_tls(tls));
        }
        next = error.source();
    }
    None
}

/// The usual reasons in words.
pub fn explain_tls(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(why) => explain_certificate(why),
        TlsError::General(why) => why.clone(),
        TlsError::InvalidMessage(_) => {
            "the peer does not speak TLS on this port: should the URL begin with http://?"
                .to_owned()
        }
        TlsError::PeerIncompatible(why) => {
            format!("the peer is too old or wants what is not supported ({why:?})")
        }

        TlsError::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA),
        ) => format!(
            "the peer refused the handshake ({alert:?}): it may ask for a certificate of this \
             side, which --client-cert and --client-key give"
        ),
        TlsError::AlertReceived(alert) => format!("the peer refused the handshake ({alert:?})"),
        other => other.to_string(),
    }
}

fn explain_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate expired: its operator has to renew it".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate not valid yet: check both clocks".to_owned()
        }
        CertificateError::Revoked => "certificate revoked".to_owned(),

        CertificateError::NotValidForName => "certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: String = presented.join(", ").chars().take(200).collect();
            format!(
                "certificate is for another name ({names}): use that name in --url, or trust its \
                 key with --pin"
            )
        }

        CertificateError::UnknownIssuer => {
            "certificate is signed by an unknown authority (or by itself): add its CA to the extra \
             CA file"
                .to_owned()
        }
        CertificateError::BadSignature => "certificate's signature is wrong".to_owned(),
        // These have no names of their own there.
        CertificateError::Other(other) if is(other, "CaUsedAsEndEntity") => AUTHORITY.to_owned(),
        CertificateError::Other(other) if is(other, "UnsupportedCertVersion") => {
            "certificate is of an old version of X.509: its operator has to replace it by one of \
             version 3"
                .to_owned()
        }
        other => format!("certificate refused: {other}"),
    }
}

/// Whether it is this error of the library that reads certificates.
pub fn is(error: &OtherError, name: &str) -> bool {
    format!("{error:?}").contains(name)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{AlertDescription, TlsError, explain_cause};

    #[test]
    fn the_cause_is_found_behind_other_errors() {
        let alert = TlsError::AlertReceived(AlertDescription::CertificateRequired);
        let inner = io::Error::new(io::ErrorKind::InvalidData, alert);
        let why = explain_cause(&inner).expect("TLS is the cause");
        assert!(why.contains("--client-cert"), "{why}");
        assert_eq!(explain_cause(&io::Error::from(io::ErrorKind::TimedOut)), None);
    }
}
