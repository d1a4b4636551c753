//! An event that a source refused, and that whoever had it gives up: the operator is notified.
//!
//! A sender that posts sees its refusal. A consumer of a stream sees it as well, and is the only
//! one: so it reports here what it gives up, and that becomes a notice.

use serde_json::json;

use super::sources;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::api::GivenUpBody;
use crate::api::views::GivenUpView;
use crate::model::limits;
use crate::queue::Input;

const NOTICE: &str = "hookbox.source.given_up";

pub async fn announce(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let name = std::mem::take(&mut request.arg);
    let source = sources::find(admin, &name)?;
    let given: GivenUpBody = request.fields()?;
    let text = |line: Option<crate::api::text::Line>| {
        let text = line.map(String::from).unwrap_or_default();
        text.chars().take(limits::GIVEN_UP_TEXT).collect::<String>()
    };

    let data = json!({
        "source": source.name, "from": text(given.from), "last_reason": text(given.reason),
    });
    admin.handle.ask(Input::Announce { kind: NOTICE.to_owned(), data }).await?;
    Ok(ApiResponse::accepted(GivenUpView { source: name, notice: NOTICE.to_owned() }))
}
