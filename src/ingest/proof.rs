//! The proof of one request: verified in turn, and once more when a key that it needs was fetched
//! meanwhile. What its events are found in takes its turn as well ([`in_turn`]).

use std::sync::Arc;

use bytes::Bytes;
use hyper::http::request::Parts;

use super::budget::Holder;
use super::proof_memory::ProofPermit;
use super::route::{self, Peer};
use super::service::Ingest;
use super::verify::{self, Verdict};
use crate::model::share::Share;
use crate::model::{Header, Now, Source, limits};
use crate::permits::run_in_place;

/// A request that was read, and is to be proven.
pub(super) struct ProofTask<'a> {
    pub ingest: &'a Ingest,
    pub source: &'a Arc<Source>,
    pub peer: &'a Peer,
    pub head: &'a Parts,
    pub headers: &'a [Header],
    pub body: &'a Bytes,
    pub now: Now,
}

impl<'a> ProofTask<'a> {
    /// The verdict. When the request names a key that is not here, the issuer's keys are fetched
    /// and the request is verified again, unless they were fetched a moment ago.
    pub async fn prove(&self) -> Verdict {
        self.ingest.keys.forget_ended_certificates(self.source, self.now);
        let version = self.ingest.keys.version(self.source);
        let verdict = self.verify_in_turn().await;
        if matches!(verdict, Verdict::Proven(_)) {
            self.note_certificate();
        }
        if !matches!(verdict, Verdict::Refused { kind: "unknown-key" | "no-keys", .. }) {
            return verdict;
        }

        let is_fetched = self.fetch_key(version).await;
        let verdict = if is_fetched { self.verify_in_turn().await } else { verdict };
        if matches!(verdict, Verdict::Proven(_)) {
            self.note_certificate();
        }
        match verdict {
            // The issuer was asked just now and does not know the key, so trying again does not
            // help the sender.
            Verdict::Refused { reason, kind: "unknown-key", .. }
                if self.ingest.keys.is_fresh(self.source, self.now) =>
            {
                Verdict::Refused { reason, kind: "unknown-key", answer: None }
            }
            verdict => verdict,
        }
    }

    /// Fetches the source's key set, or the certificate that the request names. True when there is
    /// a new one.
    async fn fetch_key(&self, version: Option<u64>) -> bool {
        let keys = &self.ingest.keys;
        if let Some(version) = version {
            return keys.refresh(self.source, version, self.now).await;
        }
        match self.named_certificate() {
            Some(url) => {
                keys.fetch_certificate(self.source, &url, self.peer.holder(), self.now).await
            }
            None => false,
        }
    }

    /// The certificate that has proven this request stays, whichever others are named.
    fn note_certificate(&self) {
        if self.ingest.keys.has_unproven_certificate(self.source)
            && let Some(url) = self.named_certificate()
        {
            self.ingest.keys.note_proven(self.source, &url);
        }
    }

    /// The certificate that the request is signed with, where such certificates are fetched.
    fn named_certificate(&self) -> Option<String> {
        if !verify::fetches_certificates(self.source) {
            return None;
        }
        verify::certificate_url(self.source, &self.request("", None))
    }

    /// Verifies the request, a large one when there is memory for it and when it is its sender's
    /// turn.
    async fn verify_in_turn(&self) -> Verdict {
        // Without a proof nothing of the body is read.
        if self.source.verify == "none" {
            return self.verify();
        }
        in_turn(self.ingest, self.source, self.peer, self.body.len(), || self.verify()).await
    }

    fn verify(&self) -> Verdict {
        let source = match self.ingest.keys.resolve(self.source, self.now) {
            Ok(source) => source,
            Err(reason) => return verify::uncheckable(reason),
        };

        // Most events have no scheme and sign nothing, so their URL is not put together.
        let url = match source.verify.as_str() {
            "none" if source.params.is_empty() => String::new(),
            _ => route::public_url(&source, self.head, self.peer.is_https),
        };
        let keys = self.ingest.keys.key_set(&source);
        let request = self.request(&url, keys.as_deref());
        let now_unix = i64::try_from(self.now.wall_ms / 1000).unwrap_or(i64::MAX);
        let verdict = verify::verify(&source, &request, now_unix);

        // A proof that would be as good at anybody else's webhook does not count.
        if source.recipient_required
            && matches!(verdict, Verdict::Proven(_))
            && let Some(why) = verify::unnamed_recipient(&source)
        {
            return verify::unnamed(&why);
        }
        verdict
    }

    fn request<'r>(
        &'r self,
        url: &'r str,
        keys: Option<&'r verify::TokenKeys>,
    ) -> verify::Request<'r> {
        verify::Request {
            method: self.head.method.as_str(),
            url,
            headers: self.headers,
            body: self.body,
            client: self.peer.certificate.as_deref(),
            keys,
        }
    }
}

/// Does what reads a whole body of this length: a large one when there is memory for it, and when
/// it is its sender's turn.
pub(super) async fn in_turn<T>(
    ingest: &Ingest,
    source: &Source,
    peer: &Peer,
    length: usize,
    work: impl FnOnce() -> T,
) -> T {
    if length <= limits::SMALL_BODY {
        return work();
    }

    let _permit = wait_for_permit(ingest, source, peer, length).await;
    run_in_place(work)
}

/// A proof takes up to three times what it reads: decoded fields, what is signed, what is found in
/// it.
async fn wait_for_permit<'a>(
    ingest: &'a Ingest,
    source: &Source,
    peer: &Peer,
    length: usize,
) -> ProofPermit<'a> {
    let holders = [peer.holder(), Some(Holder::Source(source.id))];
    let (permit, full) = ingest.proof_memory.wait(holders, length).await;
    if let Some(of) = full {
        ingest.handle.shares().note(Share::ParsedBytes, of);
    }
    permit
}
