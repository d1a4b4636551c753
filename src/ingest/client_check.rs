//! Whose client certificates are accepted, in a handshake and as long as its connection lasts.
//!
//! * Of the certificates in `tls.client_ca` those of authorities vouch for others (RFC 5280). What
//!   is no authority's certificate vouches for nobody but itself: whoever has its key is accepted
//!   with it, whoever signed it, as long as its own dates say so.
//! * A proof ends with the certificate's time, and when the authorities are others that do not
//!   vouch for it. A connection that was made before is looked at again with its next request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use x509_cert::der::{Decode, Encode};

use super::verify::CertificateLapse;
use crate::certificates::{check_dates, is_authority, subject, valid_between};
use crate::model::WallMs;

/// The check of client certificates: of authorities, and of those that stand there themselves.
#[derive(Debug)]
pub struct ClientCheck {
    by_authorities: Option<Arc<dyn ClientCertVerifier>>,
    exactly: Vec<CertificateDer<'static>>,
    /// Whose certificates a client is asked for.
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCheck {
    /// Accepts those that these certificates vouch for.
    ///
    /// # Errors
    /// Why one of them cannot be used.
    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let (mut roots, mut exactly) = (RootCertStore::empty(), Vec::new());
        for certificate in certificates {
            let is_authority = is_authority(&certificate)
                .map_err(|why| format!("a certificate in it cannot be read: {why}"))?;
            match is_authority {
                true => roots.add(certificate).map_err(|error| error.to_string())?,
                false => exactly.push(certificate),
            }
        }

        let mut hints = roots.subjects();
        hints.extend(exactly.iter().filter_map(issuer));
        let by_authorities = match roots.is_empty() {
            true => None,
            false => {
                let provider = provider.clone();
                let built =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                Some(built.map_err(|error| error.to_string())?)
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { by_authorities, exactly, hints, algorithms })
    }

    /// The certificates that vouch for nobody but themselves, by their subjects.
    pub(super) fn no_authorities(&self) -> Vec<String> {
        self.exactly.iter().map(subject).collect()
    }
}

/// Who signed it, as it is written in a handshake.
fn issuer(certificate: &CertificateDer<'static>) -> Option<DistinguishedName> {
    let read = x509_cert::Certificate::from_der(certificate).ok()?;
    let issuer = read.tbs_certificate().issuer().to_der().ok()?;
    // An empty name asks for nobody's.
    (issuer.len() > 2).then(|| DistinguishedName::from(issuer))
}

impl ClientCertVerifier for ClientCheck {
    /// Sources require it by themselves.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        if self.exactly.iter().any(|own| own == end_entity) {
            check_dates(end_entity, now).map_err(TlsError::InvalidCertificate)?;
            return Ok(ClientCertVerified::assertion());
        }
        match &self.by_authorities {
            Some(check) => check.verify_client_cert(end_entity, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
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

/// The certificates that a client showed in its handshake, its own first.
#[derive(Debug)]
pub(super) struct ShownCertificates {
    chain: Vec<CertificateDer<'static>>,
    not_after: WallMs,
    /// By which they were accepted last.
    accepted_by: Mutex<Arc<ClientCheck>>,
}

impl ShownCertificates {
    /// `None` when nothing was shown.
    pub fn new(chain: &[CertificateDer<'_>], accepted_by: Arc<ClientCheck>) -> Option<Self> {
        let chain: Vec<_> = chain.iter().map(|shown| shown.clone().into_owned()).collect();
        let (_, not_after) = valid_between(chain.first()?)?;
        Some(Self { chain, not_after, accepted_by: Mutex::new(accepted_by) })
    }

    /// Why they prove nothing any more, if so, by the check that is in force at this time.
    pub fn lapse(
        &self,
        in_force: Option<&Arc<ClientCheck>>,
        wall_ms: WallMs,
    ) -> Option<CertificateLapse> {
        let Some(in_force) = in_force else { return Some(CertificateLapse::Authorities) };
        if wall_ms > self.not_after {
            return Some(CertificateLapse::Expired);
        }

        let mut accepted_by = self.accepted_by.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&accepted_by, in_force) {
            return None;
        }
        let (own, others) = self.chain.split_first()?;
        let now = UnixTime::since_unix_epoch(Duration::from_millis(wall_ms));
        if in_force.verify_client_cert(own, others, now).is_err() {
            return Some(CertificateLapse::Authorities);
        }
        *accepted_by = in_force.clone();
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use rustls::pki_types::{CertificateDer, UnixTime};
    use rustls::server::danger::ClientCertVerifier;

    use super::{CertificateLapse, ClientCheck, ShownCertificates};

    /// 2026.
    const NOW_MS: u64 = 1_780_000_000_000;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str, is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params
    }

    fn signed_by_itself(name: &str, is_ca: IsCa) -> Issuer {
        let key = KeyPair::generate().expect("a key");
        CertifiedIssuer::self_signed(params(name, is_ca), key).expect("a certificate")
    }

    fn authority(name: &str) -> Issuer {
        signed_by_itself(name, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn issued(by: &Issuer, name: &str) -> Issuer {
        let key = KeyPair::generate().expect("a key");
        CertifiedIssuer::signed_by(params(name, IsCa::ExplicitNoCa), key, by).expect("signed")
    }

    fn check(listed: &[&Issuer]) -> Arc<ClientCheck> {
        let listed = listed.iter().map(|one| one.der().clone()).collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Arc::new(ClientCheck::new(listed, &provider).expect("a check"))
    }

    fn accepts(check: &ClientCheck, chain: &[&Issuer]) -> bool {
        let chain: Vec<CertificateDer<'_>> = chain.iter().map(|one| one.der().clone()).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(NOW_MS));
        check.verify_client_cert(&chain[0], &chain[1..], now).is_ok()
    }

    #[test]
    fn what_is_no_authoritys_certificate_vouches_for_nobody_but_itself() {
        let authority = authority("An authority");
        let (guest, own) =
            (issued(&authority, "guest"), signed_by_itself("own", IsCa::ExplicitNoCa));
        let plain = signed_by_itself("plain", IsCa::NoCa);

        for listed in [&[&guest, &own, &plain][..], &[&guest, &own, &plain, &authority]] {
            let check = check(listed);
            assert_eq!(check.no_authorities(), ["CN=guest", "CN=own", "CN=plain"]);
            for one in [&guest, &own, &plain] {
                assert!(accepts(&check, &[one]), "as exactly itself");
                let forged = issued(one, "billing");
                assert!(!accepts(&check, &[&forged]) && !accepts(&check, &[&forged, one]));
            }
            let is_listed = listed.len() == 4;
            assert_eq!(accepts(&check, &[&issued(&authority, "other")]), is_listed);
            assert!(!check.root_hint_subjects().is_empty());
        }
    }

    #[test]
    fn a_proof_ends_with_its_time_and_with_its_authorities() {
        let (old, new) = (authority("An authority"), authority("Another"));
        let mut params = params("billing", IsCa::NoCa);
        params.not_after = rcgen::date_time_ymd(2026, 6, 1);
        let key = KeyPair::generate().expect("a key");
        let own = params.signed_by(&key, &old).expect("signed");
        let end = 1_780_272_000_000;

        let first = check(&[&old]);
        let shown = ShownCertificates::new(&[own.der().clone()], first.clone()).expect("shown");
        assert_eq!(shown.lapse(Some(&first), NOW_MS), None);
        assert_eq!(shown.lapse(Some(&first), end), None);
        assert_eq!(shown.lapse(Some(&first), end + 1), Some(CertificateLapse::Expired));

        let both = check(&[&old, &new]);
        assert_eq!(shown.lapse(Some(&both), NOW_MS), None, "the same authority, read anew");
        for other in [Some(&check(&[&new])), None] {
            assert_eq!(shown.lapse(other, NOW_MS), Some(CertificateLapse::Authorities));
        }
        assert!(ShownCertificates::new(&[], first).is_none());
    }
}
