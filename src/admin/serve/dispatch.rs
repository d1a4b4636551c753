//! Which handler does what is asked.

use std::sync::Arc;

use super::routes::Op;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::{
    apply, check_request, damage, deliveries, endpoints, events, explain, given_up, history,
    imports, leases, log, metrics, replays, sources, status, tail, version,
};

/// Has a request done by its handler.
pub async fn dispatch(
    admin: &Arc<Admin>,
    op: Op,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    match op {
        Op::Status => status::show(admin, request).await,

        Op::SourceList => sources::list(admin, request).await,
        Op::SourceCreate => sources::create(admin, request).await,
        Op::SourceShow => sources::show(admin, request).await,
        Op::SourceUpdate => sources::update(admin, request).await,
        Op::SourceDelete => sources::delete(admin, request).await,
        Op::SourceRotate => sources::rotate(admin, request).await,
        Op::SourceCheck => check_request::check(admin, request).await,
        Op::SourceRefused => sources::refused(admin, request),
        Op::SourceGaveUp => given_up::announce(admin, request).await,

        Op::EndpointList => endpoints::list(admin, request).await,
        Op::EndpointCreate => endpoints::create(admin, request).await,
        Op::EndpointShow => endpoints::show(admin, request).await,
        Op::EndpointUpdate => endpoints::update(admin, request).await,
        Op::EndpointDelete => endpoints::delete(admin, request).await,
        Op::EndpointRotate => endpoints::rotate(admin, request).await,
        Op::EndpointHold => endpoints::hold(admin, request).await,
        Op::EndpointRelease => endpoints::release(admin, request).await,
        Op::EndpointTest => endpoints::test(admin, request).await,

        Op::Apply => apply::apply(admin, request).await,
        Op::Export => apply::export(admin, request).await,

        Op::EventList => events::list(admin, request).await,
        Op::EventShow => events::show(admin, request).await,
        Op::EventSend => events::send(admin, request).await,

        Op::DeliveryList => deliveries::list(admin, request).await,
        Op::DeliveryShow => deliveries::show(admin, request).await,
        Op::DeliveryExplain => explain::show(admin, request).await,
        Op::DeliveryRetry => deliveries::retry(admin, request).await,
        Op::DeliveryCancel => deliveries::cancel(admin, request).await,

        Op::DlqList => deliveries::dead_letters::list(admin, request).await,
        Op::DlqShow => deliveries::dead_letters::show(admin, request).await,
        Op::DlqRetry => deliveries::dead_letter_commands::retry(admin, request).await,
        Op::DlqDiscard => deliveries::dead_letter_commands::discard(admin, request).await,

        Op::ReplayList => replays::list(admin, request).await,
        Op::ReplayStart => replays::start(admin, request).await,
        Op::ReplayStop => replays::stop(admin, request).await,
        Op::Tail => tail::tail(admin, request),

        Op::LogStat => log::stat(admin, request).await,
        Op::LogVerify => log::verify(admin, request),
        Op::LogHead => log::head(admin, request).await,
        Op::LogAcknowledge => damage::acknowledge(admin, request).await,
        Op::LogSegment => log::segment(admin, request),
        Op::LogImport => imports::import(admin, request).await,

        Op::Lease => leases::lease(admin, request).await,
        Op::LeaseAck => leases::ack(admin, request).await,
        Op::LeaseReject => leases::reject(admin, request).await,
        Op::LeaseExtend => leases::extend(admin, request).await,

        Op::OpenApi => {
            Ok(ApiResponse::Text("application/json", include_str!("../openapi.json").into()))
        }
        Op::Version => version::show(admin, request),
        Op::History => history::show(admin, request).await,
        Op::Metrics => metrics::show(admin, request).await,
    }
}
