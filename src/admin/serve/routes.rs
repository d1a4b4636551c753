//! The table of everything that can be asked, and what a caller must be to ask it.

use hyper::{Method, StatusCode};

use crate::admin::callers::peer::Permission;
use crate::admin::http::params::percent_decode;
use crate::admin::http::problem::Problem;

/// One line of the table.
#[derive(Debug)]
pub struct Route {
    pub method: &'static str,
    /// One segment may be `{name}` or `{id}`.
    pub path: &'static str,
    pub need: Permission,
    pub op: Op,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Status,
    SourceList,
    SourceCreate,
    SourceShow,
    SourceUpdate,
    SourceDelete,
    SourceRotate,
    SourceCheck,
    SourceRefused,
    SourceGaveUp,
    EndpointList,
    EndpointCreate,
    EndpointShow,
    EndpointUpdate,
    EndpointDelete,
    EndpointRotate,
    EndpointHold,
    EndpointRelease,
    EndpointTest,
    EventList,
    EventShow,
    EventSend,
    DeliveryList,
    DeliveryShow,
    DeliveryExplain,
    DeliveryRetry,
    DeliveryCancel,
    DlqList,
    DlqShow,
    DlqRetry,
    DlqDiscard,
    ReplayList,
    ReplayStart,
    ReplayStop,
    Tail,
    LogStat,
    LogVerify,
    LogHead,
    LogSegment,
    LogImport,
    LogAcknowledge,
    Apply,
    Export,
    Lease,
    LeaseAck,
    LeaseReject,
    LeaseExtend,
    OpenApi,
    History,
    Metrics,
    Version,
}

const fn route(method: &'static str, path: &'static str, need: Permission, op: Op) -> Route {
    Route { method, path, need, op }
}

use Permission::{Operate, Own, Read};

/// All of it. A request that changes something is anything but a GET.
pub const ROUTES: &[Route] = &[
    route("GET", "/v1/status", Read, Op::Status),
    route("GET", "/v1/sources", Read, Op::SourceList),
    route("POST", "/v1/sources", Own, Op::SourceCreate),
    route("GET", "/v1/sources/{name}", Read, Op::SourceShow),
    route("PATCH", "/v1/sources/{name}", Own, Op::SourceUpdate),
    route("DELETE", "/v1/sources/{name}", Own, Op::SourceDelete),
    route("POST", "/v1/sources/{name}/rotate-secret", Own, Op::SourceRotate),
    route("POST", "/v1/sources/{name}/check", Operate, Op::SourceCheck),
    route("GET", "/v1/sources/{name}/refused", Operate, Op::SourceRefused),
    route("POST", "/v1/sources/{name}/given-up", Operate, Op::SourceGaveUp),
    route("GET", "/v1/endpoints", Read, Op::EndpointList),
    route("POST", "/v1/endpoints", Own, Op::EndpointCreate),
    route("GET", "/v1/endpoints/{name}", Read, Op::EndpointShow),
    route("PATCH", "/v1/endpoints/{name}", Own, Op::EndpointUpdate),
    route("DELETE", "/v1/endpoints/{name}", Own, Op::EndpointDelete),
    route("POST", "/v1/endpoints/{name}/rotate-secret", Own, Op::EndpointRotate),
    route("POST", "/v1/endpoints/{name}/hold", Operate, Op::EndpointHold),
    route("POST", "/v1/endpoints/{name}/release", Operate, Op::EndpointRelease),
    route("POST", "/v1/endpoints/{name}/test", Operate, Op::EndpointTest),
    route("POST", "/v1/endpoints/{name}/lease", Operate, Op::Lease),
    route("POST", "/v1/leases/{id}/ack", Operate, Op::LeaseAck),
    route("POST", "/v1/leases/{id}/reject", Operate, Op::LeaseReject),
    route("POST", "/v1/leases/{id}/extend", Operate, Op::LeaseExtend),
    // What it would change shows what is configured, to the letter.
    route("POST", "/v1/apply", Own, Op::Apply),
    route("GET", "/v1/export", Own, Op::Export),
    route("GET", "/v1/events", Read, Op::EventList),
    route("POST", "/v1/events", Operate, Op::EventSend),
    route("GET", "/v1/events/{id}", Read, Op::EventShow),
    route("GET", "/v1/deliveries", Read, Op::DeliveryList),
    route("POST", "/v1/deliveries/retry", Operate, Op::DeliveryRetry),
    route("POST", "/v1/deliveries/cancel", Operate, Op::DeliveryCancel),
    route("GET", "/v1/deliveries/{id}", Read, Op::DeliveryShow),
    route("GET", "/v1/deliveries/{id}/explain", Read, Op::DeliveryExplain),
    route("GET", "/v1/dlq", Read, Op::DlqList),
    route("POST", "/v1/dlq/retry", Operate, Op::DlqRetry),
    route("POST", "/v1/dlq/discard", Operate, Op::DlqDiscard),
    route("GET", "/v1/dlq/{id}", Read, Op::DlqShow),
    route("GET", "/v1/replays", Read, Op::ReplayList),
    route("POST", "/v1/replays", Operate, Op::ReplayStart),
    route("DELETE", "/v1/replays/{id}", Operate, Op::ReplayStop),
    route("GET", "/v1/tail", Read, Op::Tail),
    route("GET", "/v1/log", Read, Op::LogStat),
    route("GET", "/v1/log/verify", Read, Op::LogVerify),
    route("GET", "/v1/log/head", Read, Op::LogHead),
    route("POST", "/v1/log/acknowledge", Operate, Op::LogAcknowledge),
    // Secrets are in there as well.
    route("GET", "/v1/log/segments/{id}", Own, Op::LogSegment),
    route("POST", "/v1/log/import", Own, Op::LogImport),
    route("GET", "/v1/openapi.json", Read, Op::OpenApi),
    route("GET", "/v1/version", Read, Op::Version),
    route("GET", "/v1/history", Read, Op::History),
    route("GET", "/metrics", Read, Op::Metrics),
];

/// Finds the route of a request, and what stands in its variable segment. Fixed segments win over
/// variable ones.
pub fn find(method: &Method, path: &str) -> Result<(&'static Route, String), Problem> {
    let mut allowed = Vec::new();
    let mut best: Option<(&'static Route, Option<&str>)> = None;
    for route in ROUTES {
        let Some(arg) = matches(route.path, path) else { continue };
        if route.method != method.as_str() {
            allowed.push(route.method);
        } else if best.is_none_or(|(_, held)| held.is_some() && arg.is_none()) {
            best = Some((route, arg));
        }
    }

    if let Some((route, arg)) = best {
        return Ok((route, percent_decode(arg.unwrap_or_default(), false)?));
    }
    if allowed.is_empty() {
        let shown: String = path.chars().take(80).collect();
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("nothing is at {shown}: see /v1/openapi.json"),
        ));
    }

    let allow = allowed.join(", ");
    let detail = format!("{method} is not possible here: use {allow}");
    Err(Problem { status: StatusCode::METHOD_NOT_ALLOWED, detail, allow: Some(allow) })
}

/// `Some(None)` when the path is the pattern, `Some(Some(_))` when its variable segment holds
/// something.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<Option<&'p str>> {
    let mut arg = None;
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let found = segments.next()?;
        if expected.starts_with('{') && !found.is_empty() {
            arg = Some(found);
        } else if expected != found {
            return None;
        }
    }
    segments.next().is_none().then_some(arg)
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::{Op, Permission, ROUTES, find};

    #[test]
    fn fixed_segments_win_and_variables_are_decoded() {
        let (route, arg) = find(&Method::POST, "/v1/deliveries/retry").expect("there");
        assert_eq!((route.op, arg.as_str()), (Op::DeliveryRetry, ""));
        let (route, arg) = find(&Method::GET, "/v1/sources/a%2Eb").expect("there");
        assert_eq!((route.op, arg.as_str()), (Op::SourceShow, "a.b"));
    }

    #[test]
    fn wrong_methods_name_the_right_ones() {
        let problem = find(&Method::PUT, "/v1/sources/x").map(|_| ()).expect_err("no PUT");
        assert_eq!(problem.status.as_u16(), 405);
        assert_eq!(problem.allow.as_deref(), Some("GET, PATCH, DELETE"));
        for path in ["/", "/v1", "/v1/sources/", "/v1/sources/a/b/c", "//v1/status"] {
            assert_eq!(
                find(&Method::GET, path).map(|_| ()).expect_err(path).status.as_u16(),
                404,
                "{path}"
            );
        }
    }

    #[test]
    fn only_owners_touch_configuration_and_reading_never_changes() {
        for route in ROUTES {
            assert!(
                route.method == "GET" || route.need > Permission::Read,
                "{} {}",
                route.method,
                route.path
            );

            // Whoever may start a replay may stop it.
            let configures = (matches!(route.method, "PATCH" | "DELETE")
                && route.path != "/v1/replays/{id}")
                || (route.method == "POST"
                    && ["/v1/sources", "/v1/endpoints"].contains(&route.path))
                || route.path.ends_with("/rotate-secret")
                || ["/v1/log/segments/{id}", "/v1/log/import", "/v1/apply", "/v1/export"]
                    .contains(&route.path);
            assert_eq!(
                configures,
                route.need == Permission::Own,
                "{} {}",
                route.method,
                route.path
            );
        }
    }
}
