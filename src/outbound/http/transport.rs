//! The HTTP transport of one endpoint.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use rustls::ClientConfig;

use crate::model::{AttemptReport, Endpoint, Outcome, RequestHead, limits};
use crate::outbound::boxed::Boxed;
use crate::outbound::classify::{classify, explain_status};
use crate::outbound::failure::{AttemptFailure, EndpointRefusal};
use crate::outbound::redact::Redactor;
use crate::outbound::transport::{Attempt, RequestPreview, SentAttempt, Transport};

use super::attempt::{HttpAttempt, Trace};
use super::client::HttpClient;
use super::connect::DialOptions;
use super::headers::{self, HeaderContext};
use super::pool::Pool;
use super::route::HttpRoute;
use super::tls::EndpointTls;
use super::url::HttpUrl;

/// Where one endpoint's requests go, and its idle connections.
pub struct HttpTransport {
    client: Arc<HttpClient>,
    url: HttpUrl,
    route: HttpRoute,
    pool: Pool,
}

impl HttpTransport {
    pub fn new(client: Arc<HttpClient>, url: HttpUrl, route: HttpRoute) -> Self {
        let pool = Pool::new(client.idle.clone());
        Self { client, url, route, pool }
    }

    /// Sends the request and reads the response, within the endpoint's timeout.
    async fn exchange(
        &self,
        attempt: &Attempt<'_>,
        trace: &mut Trace,
    ) -> Result<(), AttemptFailure> {
        let timeout_ms = attempt.endpoint.timeout_ms.clamp(1, limits::TIMEOUT_MS);
        let request = HttpAttempt {
            connector: &self.client.connector,
            pool: &self.pool,
            options: DialOptions {
                url: &self.url,
                route: &self.route,
                allow_private: attempt.endpoint.allow_private,
                timeout_ms,
                offer_http2: self.pool.may_offer_http2(),
            },
            headers: self.header_context(attempt),
            clock: self.client.clock.as_ref(),
            started: attempt.started,
            read_limits: attempt.read_limits,
        };

        match tokio::time::timeout(Duration::from_millis(timeout_ms), request.run(trace)).await {
            Ok(result) => result,
            // The response counts, whatever of the request the receiver had yet to read.
            Err(_) if trace.is_read => Ok(()),
            Err(_) => {
                Err(AttemptFailure::Timeout { after_ms: timeout_ms, phase: trace.phase.clone() })
            }
        }
    }

    fn header_context<'a>(&'a self, attempt: &'a Attempt<'_>) -> HeaderContext<'a> {
        HeaderContext {
            message: &attempt.message,
            number: attempt.number,
            wall_ms: attempt.started.wall_ms,
            host: &self.url.host,
            agent: &self.client.agent,
            keys: attempt.keys,
        }
    }

    fn report(
        &self,
        attempt: &Attempt<'_>,
        trace: &mut Trace,
        result: Result<(), AttemptFailure>,
    ) -> AttemptReport {
        let now = (self.client.clock)();
        let response = trace.response.as_ref();

        let outcome = match (response, &result) {
            (Some(response), _) => {
                let outcome = classify(response.summary(), result.is_ok(), now.wall_ms);
                let made_path = attempt.endpoint.template.path.is_some();
                // The event decides which path that is: another event may lead to one that exists.
                match outcome {
                    Outcome::Gone if made_path => Outcome::Retryable { after_ms: None },
                    outcome => outcome,
                }
            }
            (None, Err(failure)) => failure.outcome(),
            (None, Ok(())) => Outcome::Retryable { after_ms: None },
        };
        // Whoever answered was reached.
        let fault = match (response, &result) {
            (None, Err(failure)) => failure.fault(),
            _ => None,
        };
        let error = match result {
            Err(failure) => Some(failure.to_string()),
            Ok(()) => response.and_then(|response| {
                explain_status(response.head.status, response.location.as_deref())
            }),
        };

        AttemptReport {
            started_at: attempt.started.wall_ms,
            duration_ms: now.mono_ms.saturating_sub(attempt.started.mono_ms),
            connect_ms: trace.connect_ms,
            outcome,
            response: response.map(|response| response.head.clone()),
            request: RequestHead {
                method: attempt.message.method.to_string(),
                url: shown_url(attempt),
                headers: std::mem::take(&mut trace.request_headers),
            },
            error,
            fault,
            command: None,
        }
    }
}

fn shown_url(attempt: &Attempt<'_>) -> String {
    let endpoint: &Endpoint = attempt.endpoint;
    attempt.message.shown_url(&endpoint.url)
}

impl Transport for HttpTransport {
    fn check(&self) -> Result<(), EndpointRefusal> {
        let own = self.route.own.as_ref();
        own.map_or(Ok(()), |own| own.check().map_err(EndpointRefusal::Settings))
    }

    fn base_path(&self) -> Option<&Uri> {
        Some(&self.url.uri)
    }

    fn add_secrets(&self, redactor: &mut Redactor) {
        if let Some(proxy) = &self.route.proxy {
            proxy.add_secrets(redactor);
        }
    }

    fn send<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, SentAttempt> {
        Box::pin(async move {
            let mut trace = Trace::default();
            let result = self.exchange(&attempt, &mut trace).await;

            let report = self.report(&attempt, &mut trace, result);
            SentAttempt { report, response: trace.response }
        })
    }

    fn preview(&self, attempt: &Attempt<'_>) -> Result<RequestPreview, String> {
        let (_, headers) = headers::build(&self.header_context(attempt));
        Ok(RequestPreview {
            method: attempt.message.method.to_string(),
            url: shown_url(attempt),
            headers,
        })
    }

    fn loaded_tls(&self) -> Option<Arc<ClientConfig>> {
        self.route.own.as_ref().and_then(EndpointTls::loaded)
    }

    fn keep_tls(&self, loaded: Arc<ClientConfig>) {
        if let Some(own) = &self.route.own {
            own.keep(loaded);
        }
    }

    fn close_idle(&self, mono_ms: u64) {
        self.pool.close_idle(mono_ms);
    }
}
