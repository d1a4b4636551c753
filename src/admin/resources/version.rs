//! Which version the daemon is.

use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::api::views::VersionView;
use crate::log::LOG_FORMAT;
use crate::model::COMMIT;

pub fn show(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    Ok(ApiResponse::ok(VersionView {
        version: admin.info.version.clone(),
        commit: COMMIT.to_owned(),
        log_format: Some(LOG_FORMAT),
    }))
}
