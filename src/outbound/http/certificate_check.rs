//! Whether a receiver is who it says, by its certificate.
//!
//! * By authorities: the system's and those of the extra CA file, or those of `--ca` (RFC 5280,
//!   RFC 9525). What is no authority's certificate vouches for nobody, wherever it stands.
//! * By the certificate itself: one that stands in `--ca` to the letter is the receiver's, also
//!   when it signed itself, whatever name is in it and whatever is sent with it; it must not have
//!   expired. One in the extra CA file, which is for all endpoints, is so for its own names alone.
//! * By the key (`--pin`): as certificate usage DANE-EE of RFC 7671, section 5.1, neither the name
//!   nor the dates of the certificate are looked at. Together with `--ca` both have to hold.
//!
//! In each case the receiver proves in the handshake that it has the key.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use crate::certificates::check_dates;
use crate::outbound::tls_words;

/// Whom an endpoint believes.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    /// Authorities; none when the key or the certificate alone counts.
    pub roots: Option<RootCertStore>,
    /// Certificates that are the receiver's own.
    pub exactly: Vec<CertificateDer<'static>>,
    /// Certificates of receivers that signed them themselves, for the names in them.
    pub of_themselves: Vec<CertificateDer<'static>>,
    /// The SHA-256 of the keys that the receiver may have, in base64; any key when there is none.
    pub pins: Vec<String>,
}

/// The check of a receiver's certificate.
#[derive(Debug)]
pub(super) struct CertificateCheck {
    by_authorities: Option<Arc<WebPkiServerVerifier>>,
    exactly: Vec<CertificateDer<'static>>,
    of_themselves: Vec<(CertificateDer<'static>, Arc<WebPkiServerVerifier>)>,
    pins: Vec<String>,
    /// Whoever has a pinned key is the receiver.
    by_key_alone: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CertificateCheck {
    pub(super) fn new(trusted: Trusted, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let by_certificate = trusted.exactly.len() + trusted.of_themselves.len() > 0;
        let by_key_alone = trusted.roots.is_none() && !by_certificate;
        if by_key_alone && trusted.pins.is_empty() {
            return Err("neither authorities, nor a certificate, nor a key are named".to_owned());
        }
        let verifier = |roots| {
            let checked =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            checked.build().map_err(|e| e.to_string())
        };
        let of_itself = |certificate: CertificateDer<'static>| {
            let mut alone = RootCertStore::empty();
            alone.add(certificate.clone()).map_err(|e| e.to_string())?;
            Ok((certificate, verifier(alone)?))
        };

        Ok(Self {
            by_authorities: trusted.roots.map(verifier).transpose()?,
            of_themselves: trusted
                .of_themselves
                .into_iter()
                .map(of_itself)
                .collect::<Result<_, String>>()?,
            exactly: trusted.exactly,
            pins: trusted.pins,
            by_key_alone,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Refuses a key that is not pinned.
    fn check_pin(&self, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let shown = pin(certificate)?;
        if self.pins.contains(&shown) {
            return Ok(());
        }
        Err(TlsError::General(format!(
            "the receiver's key is not the one that --pin names: it shows sha256/{shown}; if that \
             is its new key, give it with --pin"
        )))
    }
}

fn is_unknown_issuer(error: &TlsError) -> bool {
    matches!(error, TlsError::InvalidCertificate(CertificateError::UnknownIssuer))
}

/// The SHA-256 of a certificate's key, in base64.
fn pin(certificate: &CertificateDer<'_>) -> Result<String, TlsError> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    Ok(STANDARD.encode(digest::digest(&digest::SHA256, key.as_ref())))
}

impl ServerCertVerifier for CertificateCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.check_pin(end_entity)?;
        if self.exactly.iter().any(|own| own == end_entity) {
            check_dates(end_entity, now).map_err(TlsError::InvalidCertificate)?;
            return Ok(ServerCertVerified::assertion());
        }

        let of_itself = self.of_themselves.iter().find(|(own, _)| own == end_entity);
        let of_itself = of_itself.map(|(_, verifier)| verifier);
        // A certificate that stands there for itself may have been issued by an authority: then its
        // own entry says nothing of it.
        let mut checked = match self.by_key_alone {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        };

        for by in of_itself.into_iter().chain(&self.by_authorities) {
            checked =
                by.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            if !matches!(&checked, Err(error) if is_unknown_issuer(error)) {
                break;
            }
        }

        match checked {
            Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let shown = pin(end_entity).map(|pin| format!("sha256/{pin}")).unwrap_or_default();
                Err(TlsError::General(format!(
                    "certificate is signed by an unknown authority (or by itself): name its \
                     authority, or the certificate itself, with --ca FILE; or trust its key with \
                     --pin {shown}, once its operator has confirmed that it is theirs"
                )))
            }
            Err(TlsError::InvalidCertificate(CertificateError::Other(other)))
                if tls_words::is(&other, "CaUsedAsEndEntity") =>
            {
                let shown = pin(end_entity).map(|pin| format!("sha256/{pin}")).unwrap_or_default();
                Err(TlsError::General(format!(
                    "{}: name the certificate itself with --ca FILE; or trust its key with --pin \
                     {shown}, once its operator has confirmed that it is theirs",
                    tls_words::AUTHORITY
                )))
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
