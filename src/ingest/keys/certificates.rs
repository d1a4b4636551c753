//! The certificates that one source's provider signs with, fetched when a request names one that is
//! not here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::cache::KeyCache;
use super::generation::LookupGeneration;
use super::origins::Fetch;
use crate::ingest::budget::Holder;
use crate::ingest::verify;
use crate::model::{Now, Source, limits};

/// How the files of kept certificates end.
const KIND: &str = "pem";

/// Certificates by their URL.
#[derive(Default)]
pub(super) struct Certificates {
    state: Mutex<CertificatesState>,
    /// Where those are that have proven a message.
    cache: KeyCache,
    /// Held while one is fetched, so that many requests make one fetch.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct CertificatesState {
    /// The newest last.
    kept: Vec<FetchedCertificate>,
    /// When the last fetches began, in milliseconds of the monotonic clock, and whose requests
    /// named them.
    tried_at: VecDeque<(u64, Option<Holder>)>,
}

struct FetchedCertificate {
    url: String,
    pem: String,
    /// When it ends, in seconds.
    ends_at: i64,
    /// Whether a message was proven with it. Whoever names another one has proven nothing.
    has_proven: bool,
}

impl Certificates {
    pub(super) fn new(cache: KeyCache) -> Self {
        Self { cache, ..Self::default() }
    }

    /// As the setting `certs` has them; `None` when there are none.
    pub(super) fn as_setting(&self) -> Option<Value> {
        let state = self.state();
        if state.kept.is_empty() {
            return None;
        }
        let pems: Map<_, _> =
            state.kept.iter().map(|one| (one.url.clone(), one.pem.clone().into())).collect();
        Some(Value::Object(pems))
    }

    /// Fetches the certificate at a URL that its provider may name, unless there were too many
    /// fetches for this source or for this address. True when the certificate is here now.
    pub(super) async fn fetch(
        &self,
        source: &Source,
        url: &str,
        holder: Option<Holder>,
        now: Now,
        fetch: &Fetch,
        generation: &LookupGeneration,
    ) -> bool {
        let _one = self.fetching.lock().await;
        // Another request may have fetched it while this one waited.
        if self.state().holds(url) {
            return true;
        }
        if self.take_kept(url, now, generation) {
            return true;
        }
        if !self.state().begin_fetch(holder, now) {
            return false;
        }

        let fetched = fetch(url.to_owned(), false).await;
        match fetched.and_then(|(status, body)| read_certificate(status, body, now)) {
            Ok((pem, ends_at)) => {
                tracing::info!(source = source.name, url, "a certificate was fetched");
                self.state().keep(url, pem, ends_at);
                generation.advance();
                true
            }
            Err(why) => {
                tracing::warn!(source = source.name, url, "the certificate was not fetched: {why}");
                false
            }
        }
    }

    /// Takes the certificate at this URL that proved a message before the last start.
    fn take_kept(&self, url: &str, now: Now, generation: &LookupGeneration) -> bool {
        let kept = self.cache.read(url, KIND);
        let Some((pem, ends_at)) = kept.and_then(|kept| read_certificate(200, kept, now).ok())
        else {
            return false;
        };
        let mut state = self.state();
        state.keep(url, pem, ends_at);
        state.note_proven(url);
        drop(state);
        generation.advance();
        true
    }

    /// Forgets those whose time is over, so that they are fetched again: there may be a new one at
    /// the same URL. True when there was one.
    pub(super) fn forget_ended(&self, now: Now) -> bool {
        let mut state = self.state();
        let before = state.kept.len();
        state.kept.retain(|one| !has_ended(one.ends_at, now));
        state.kept.len() < before
    }

    /// Whether one is here that has proven no message.
    pub(super) fn has_unproven(&self) -> bool {
        self.state().kept.iter().any(|one| !one.has_proven)
    }

    /// Notes that a message was proven with the certificate at this URL, which is then kept for the
    /// next start: others may have been named by anybody.
    pub(super) fn note_proven(&self, url: &str) {
        let newly_proven = self.state().note_proven(url);
        if let Some(pem) = newly_proven {
            self.cache.write(url, KIND, pem.as_bytes());
        }
    }

    fn state(&self) -> MutexGuard<'_, CertificatesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CertificatesState {
    fn holds(&self, url: &str) -> bool {
        self.kept.iter().any(|known| known.url == url)
    }

    /// The certificate, if it had proven nothing yet.
    fn note_proven(&mut self, url: &str) -> Option<String> {
        let one = self.kept.iter_mut().find(|one| one.url == url && !one.has_proven)?;
        one.has_proven = true;
        Some(one.pem.clone())
    }

    /// Counts one more fetch. False when there were too many: whoever names a certificate has
    /// proven nothing, and must not use up what the provider needs.
    fn begin_fetch(&mut self, holder: Option<Holder>, now: Now) -> bool {
        let is_recent = |at: u64| now.mono_ms < at.saturating_add(limits::JWKS_AGAIN_MS);
        self.tried_at.retain(|(at, _)| is_recent(*at));

        let own = self.tried_at.iter().filter(|(_, of)| holder.is_some() && *of == holder).count();
        if self.tried_at.len() >= limits::CERTIFICATE_FETCHES
            || own >= limits::CERTIFICATE_FETCHES_EACH
        {
            return false;
        }
        self.tried_at.push_back((now.mono_ms, holder));
        true
    }

    /// Of more than [`limits::CERTIFICATES`] the oldest goes of those that have proven no message,
    /// so that nobody pushes out the one that the provider signs with by naming others.
    fn keep(&mut self, url: &str, pem: String, ends_at: i64) {
        if self.kept.len() >= limits::CERTIFICATES {
            let oldest = self.kept.iter().position(|one| !one.has_proven).unwrap_or(0);
            self.kept.remove(oldest);
        }
        self.kept.push(FetchedCertificate { url: url.to_owned(), pem, ends_at, has_proven: false });
    }
}

fn has_ended(ends_at: i64, now: Now) -> bool {
    i64::try_from(now.wall_ms / 1000).is_ok_and(|now| ends_at < now)
}

/// The certificate, and when it ends.
fn read_certificate(status: u16, body: Vec<u8>, now: Now) -> Result<(String, i64), String> {
    if status != 200 {
        return Err(format!("the answer has status {status}"));
    }
    let pem = String::from_utf8(body).ok();
    let read = pem.and_then(|pem| verify::certificate_end(&pem).map(|ends_at| (pem, ends_at)));
    match read {
        Some((_, ends_at)) if has_ended(ends_at, now) => {
            Err("the certificate is not valid any more".to_owned())
        }
        read => read.ok_or_else(|| "the answer is not a certificate".to_owned()),
    }
}
