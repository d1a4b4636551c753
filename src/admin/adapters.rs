//! What the admin API needs of other modules, as functions: it does not know them, the daemon wires
//! them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::api::views::{
    CertificateView, CheckResponseView, CheckView, EndpointTestView, HistoryView,
    RefusedRequestView,
};
use crate::model::{
    Endpoint, EndpointId, Event, Header, LeaseError, LeaseRequest, LeasedDelivery, Settlement,
    Source, SourceId, WallMs,
};

/// How often requests to a source were refused for one reason, since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalCount {
    pub source: String,
    /// A short, stable word: `mismatch`, `stale`, `too-large`.
    pub kind: String,
    pub count: u64,
}

/// What one source refused since the start, for the operator alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How often, by a short stable word.
    pub counts: BTreeMap<&'static str, u64>,
    /// Of the last one, precisely.
    pub last_reason: String,
    pub last_at: WallMs,
}

/// A request that somebody kept, for `source check`.
#[derive(Clone, Debug)]
pub struct CapturedRequest {
    pub method: String,
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
}

/// A test of an endpoint, which outbound performs.
#[derive(Clone, Debug)]
pub struct EndpointTest {
    pub endpoint: Arc<Endpoint>,
    pub event: Arc<Event>,
    /// Only show what would be sent.
    pub dry_run: bool,
}

/// What the history is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryAsk {
    /// Of this endpoint alone.
    pub endpoint: Option<EndpointId>,
    pub since: WallMs,
    pub until: WallMs,
    /// The length of a row; without it one that suits the time.
    pub step_ms: Option<u64>,
}

/// The answer of a function that takes its time.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub type ShowHistory = Arc<dyn Fn(HistoryAsk) -> Later<Result<HistoryView, String>> + Send + Sync>;
type CheckRequest = Arc<dyn Fn(&Source, CapturedRequest, i64) -> CheckView + Send + Sync>;
type RefusedBy = Arc<dyn Fn(&str) -> Option<Refused> + Send + Sync>;
type RefusedRequestsOf = Arc<dyn Fn(SourceId) -> Vec<RefusedRequestView> + Send + Sync>;
type WhyUnusable = Arc<dyn Fn(&Arc<Source>) -> Option<String> + Send + Sync>;
type OwnCertificateAt = Arc<dyn Fn(WallMs) -> Option<CertificateView> + Send + Sync>;
type CheckSource = Arc<dyn Fn(&Source) -> Result<(), String> + Send + Sync>;
type Warnings = Arc<dyn Fn(&Source) -> Vec<String> + Send + Sync>;
type CheckRecipient = Arc<dyn Fn(&Source) -> Result<bool, String> + Send + Sync>;
type CheckEndpoint = Arc<dyn Fn(&Endpoint) -> Result<(), String> + Send + Sync>;
type ComputedSecret = Arc<dyn Fn(&Endpoint) -> Option<String> + Send + Sync>;
type WhyNot = Arc<dyn Fn(&Endpoint, &Event) -> Option<String> + Send + Sync>;
type TestEndpoint =
    Arc<dyn Fn(EndpointTest) -> Later<Result<EndpointTestView, String>> + Send + Sync>;
type LeaseOut = Arc<
    dyn Fn(Arc<Endpoint>, LeaseRequest) -> Later<Result<Vec<LeasedDelivery>, LeaseError>>
        + Send
        + Sync,
>;
type Settle = Arc<dyn Fn(String, Settlement) -> Later<Result<(), LeaseError>> + Send + Sync>;

/// Functions of other modules.
#[derive(Clone)]
pub struct Adapters {
    /// What would happen to this request, at this unix time (`source check`).
    pub check: CheckRequest,
    /// What a source refused; `None` when it never did.
    pub refused: RefusedBy,
    /// The requests that a source refused and keeps, the newest first.
    pub refused_requests: RefusedRequestsOf,
    /// What is missing that a source names, so that it refuses every request. May read files.
    pub why_unusable: WhyUnusable,
    /// The certificate that TLS listeners show, at this time; `None` when none speaks TLS.
    pub certificate: OwnCertificateAt,
    /// What is wrong with a source's settings, beyond what this module knows.
    pub check_source: CheckSource,
    /// Whether a source's proofs name their recipient; an error where a source cannot be without
    /// that.
    pub check_recipient: CheckRecipient,
    /// What the operator should know of a source's settings.
    pub warnings: Warnings,
    /// What is wrong with an endpoint's settings, beyond what this module knows.
    pub check_endpoint: CheckEndpoint,
    /// What is wrong with an endpoint whose templates look up a secret that the event names; `None`
    /// when none does.
    pub computed_secret: ComputedSecret,
    /// What to know of an endpoint's signing secret; `None` when it is strong.
    pub weak_secret: ComputedSecret,
    /// Why an endpoint does not want an event; `None` when it does.
    pub why_not: WhyNot,
    /// Shows what would be sent to an endpoint, or sends it once and reports what came of it;
    /// `None` answers 501.
    pub test_endpoint: Option<TestEndpoint>,
    /// What the daemon did and how it stood; an error says what to ask for instead. `None` answers
    /// 501.
    pub history: Option<ShowHistory>,
    /// Leases deliveries of a pull endpoint.
    pub lease: LeaseOut,
    /// What a consumer reports of a lease; `Ok` when it is remembered.
    pub settle: Settle,
}

impl Adapters {
    /// Checks an endpoint that is made or changed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_change(&self, after: &Endpoint, before: Option<&Endpoint>) -> Result<(), String> {
        (self.check_endpoint)(after)?;
        // What stood in a template before this was asked stays, with a warning.
        let is_known = before.is_some_and(|before| before.template == after.template);
        (self.computed_secret)(after).filter(|_| !is_known).map_or(Ok(()), Err)
    }
}

impl Default for Adapters {
    /// Nobody checks further, and nothing can be tried.
    fn default() -> Self {
        Self {
            check: Arc::new(|_, _, _| unchecked()),
            refused: Arc::new(|_| None),
            refused_requests: Arc::new(|_| Vec::new()),
            why_unusable: Arc::new(|_| None),
            certificate: Arc::new(|_| None),
            check_source: Arc::new(|_| Ok(())),
            check_recipient: Arc::new(|_| Ok(true)),
            warnings: Arc::new(|_| Vec::new()),
            check_endpoint: Arc::new(|_| Ok(())),
            computed_secret: Arc::new(|_| None),
            weak_secret: Arc::new(|_| None),
            why_not: Arc::new(|_, _| None),
            test_endpoint: None,
            history: None,
            lease: Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) })),
            settle: Arc::new(|_, _| Box::pin(async { Err(LeaseError::Gone) })),
        }
    }
}

fn unchecked() -> CheckView {
    CheckView {
        accepted: false,
        reason: "checking is not wired".to_owned(),
        kind: None,
        warnings: None,
        event_type: None,
        dedupe_key: None,
        response: CheckResponseView::default(),
        not_checked: Vec::new(),
        elements: None,
    }
}
