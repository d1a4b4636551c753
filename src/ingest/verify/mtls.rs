//! Client certificates (mutual TLS): the proof is that of the handshake.
//!
//! * Proof: a certificate of one of the authorities in the configuration's `tls.client_ca`, shown on a `tls://`
//!   listener. Whether it is theirs and valid was settled in the handshake; here it is looked up whose it is.
//! * `--set subject=…` names its subject's CN, `--set san=…` one of its alternative names (DNS, e-mail, URI, address),
//!   `--set fingerprint=…` is the SHA-256 of its DER in hex; each may be a list separated by commas, and all that
//!   are given must fit. `--set any=true` takes every certificate of the authorities.
//! * Signed bytes: the connection, so a request cannot be sent again from elsewhere. Dedupe id, type: the source's
//!   settings. Answer: 202. Handshakes: none.
//! * Source: RFC 8446 (4.4.2), RFC 5280. Checked with: certificates made by rcgen, handshakes by rustls.

use crate::model::Source;

use super::crypto::equal;
use super::params::Params;
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "mtls",
    header: "none: the TLS client certificate",
    algorithm: "X.509, by the handshake",
    signed: "the connection",
    replay: "the connection",
    dedupe: "the source's settings",
    kind: "the source's settings",
    checked_with: "rcgen and rustls",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Unused,
    params: &[
        ("subject", "the certificate's CN"),
        ("san", "one of its alternative names"),
        ("fingerprint", "the SHA-256 of its DER, in hex"),
        ("any", "true: every certificate of the authorities"),
    ],
    verify,
    check,
};

fn check(source: &Source) -> Result<(), String> {
    let params = Params(source);
    let named = ["subject", "san", "fingerprint"].map(|key| params.list(key));
    let mut none = true;
    for list in named {
        none &= list?.is_none();
    }
    match (none, params.flag("any", false)?) {
        (true, false) => {
            Err("say whose certificate it is with --set subject=…, san=… or fingerprint=…, or take every one \
             of the authorities' with --set any=true"
                .into())
        }
        (false, true) => Err("--set any=true takes every certificate: leave the names out".into()),
        _ => Ok(()),
    }
}

fn verify(source: &Source, request: &Request<'_>, _: i64) -> Outcome {
    let params = Params(source);
    let Some(certificate) = request.client else {
        return Err(Refusal::missing(
            "the client showed no certificate (is the listener tls://, is tls.client_ca set?)",
        ));
    };
    if let Some(wanted) = params.list("subject")? {
        let name = certificate.common_name.as_deref().unwrap_or_default();
        fits("subject", wanted.contains(&name), name)?;
    }
    if let Some(wanted) = params.list("san")? {
        let found = certificate.names.iter().any(|name| wanted.iter().any(|one| one.eq_ignore_ascii_case(name)));
        fits("san", found, &certificate.names.join(", "))?;
    }
    if let Some(wanted) = params.list("fingerprint")? {
        let plain = |text: &str| text.replace(':', "").to_ascii_lowercase();
        let found = wanted.iter().any(|one| equal(plain(one).as_bytes(), certificate.fingerprint.as_bytes()));
        fits("fingerprint", found, &certificate.fingerprint)?;
    }
    Ok(Verdict::Proven(Proven::default()))
}

fn fits(what: &str, holds: bool, found: &str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::mismatch(format!("the client certificate's {what} is {found:?}"))) }
}
