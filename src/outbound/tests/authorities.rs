//! Whose word counts for a certificate that stands beside its authority.

use rcgen::{BasicConstraints, IsCa, KeyPair};

use super::tls::{authority, outbound, params, receiver, refused_with};
use super::{attempt, endpoint};
use crate::model::Outcome;

#[tokio::test]
async fn what_an_authority_issued_is_its_own_still_when_it_stands_beside_it() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test"]).signed_by(&key, &authority.issuer).unwrap();
    let both = std::fs::read_to_string(&authority.file).unwrap() + &certificate.pem();
    std::fs::write(&authority.file, both).unwrap();

    let receiver = receiver(certificate.der().clone(), &key).await;
    let endpoint = endpoint(&format!("https://receiver.test:{}/", receiver.address.port()));
    let report = attempt(&outbound(&authority), &endpoint).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
}

/// As `openssl req -x509` makes it.
#[tokio::test]
async fn a_certificate_that_is_an_authoritys_is_refused_with_what_cures_it() {
    let key = KeyPair::generate().unwrap();
    let mut params = params(&["receiver.test"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let receiver = receiver(own.der().clone(), &key).await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let report = attempt(&outbound(&authority()), &endpoint(&url)).await;
    let seen = (report, receiver.got().len());
    for word in ["(CA:TRUE)", "--ca FILE", "--pin sha256/"] {
        refused_with(&seen, word);
    }
}
