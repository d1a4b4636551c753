//! What is refused in the settings of an endpoint: lists that are too long, paths that depend on
//! the folder, and settings that contradict each other.

use std::path::PathBuf;

use super::spec::SpecError;
use super::text::{Argument, DaemonFile, HeaderTemplate, KeyPin};
use crate::model::time::format_duration_ms;
use crate::model::{
    CatchUpMode, Endpoint, HeadOfLine, Order, TargetError, TargetUrl, canonical_header_name, limits,
};

/// Settings that contradict each other.
pub(super) fn check_together(endpoint: &Endpoint) -> Result<(), SpecError> {
    let keyed = endpoint.order == Order::Key;
    let refused = |key: &str, why: &str| Err(SpecError::of(key, why));

    if keyed && endpoint.order_key.is_none() {
        return refused(
            "order_key",
            "is missing: --order key needs a JSON Pointer, such as --order-key /device/id",
        );
    }
    if !keyed && endpoint.order_key.is_some() {
        return refused("order_key", "needs --order key; or use --reset order-key");
    }
    if endpoint.head_of_line != HeadOfLine::Block && endpoint.order == Order::None {
        return refused(
            "head_of_line",
            "needs an order: use it with --order strict or --order key",
        );
    }

    if endpoint.batch.is_some() && !endpoint.batches() {
        let why = "batches are sent to a URL: consumers choose how many events they take, a \
                   command gets one at a time";
        return refused("batch_max_events", why);
    }
    if endpoint.batch.is_some() && !endpoint.template.is_plain() {
        return refused(
            "batch_max_events",
            "batches and templates cannot be combined: leave out one of them",
        );
    }
    if let Some(batch) = endpoint.batch.as_ref()
        && batch.max_wait_ms >= endpoint.retry.max_age_ms
    {
        let wait = format_duration_ms(batch.max_wait_ms);
        let age = format_duration_ms(endpoint.retry.max_age_ms);
        let why = format!(
            "a batch waits {wait} for more events, and after {age} (--max-age) a delivery is given \
             up: choose a shorter --batch-max-wait, or a longer --max-age"
        );
        return refused("batch_max_wait", &why);
    }
    if endpoint.burst.is_some() && endpoint.rate.is_none() {
        return refused("burst", "needs a rate: give --rate, too");
    }

    check_encrypted(endpoint)?;
    match endpoint.catch_up.mode {
        CatchUpMode::Newest | CatchUpMode::Latest if endpoint.order != Order::None => refused(
            "catch_up",
            "newest and latest would break the order: use oldest, or --order none",
        ),
        CatchUpMode::Latest if endpoint.catch_up.key.is_none() => refused(
            "catch_up_key",
            "is missing: latest needs a JSON Pointer to its key, such as --catch-up-key /id",
        ),
        mode if mode != CatchUpMode::Latest && endpoint.catch_up.key.is_some() => {
            refused("catch_up_key", "needs --catch-up latest; or use --reset catch-up-key")
        }
        _ => Ok(()),
    }
}

/// Settings of TLS have no effect where nothing is encrypted: whoever gives them believes that the
/// receiver is checked.
fn check_encrypted(endpoint: &Endpoint) -> Result<(), SpecError> {
    let Ok(target) = endpoint.url.target() else { return Ok(()) };
    // Other targets have no settings of HTTP at all, which is refused elsewhere.
    if target.is_encrypted() || !target.speaks_http() {
        return Ok(());
    }

    let via = &endpoint.via;
    let given = [
        ("client_cert", via.client_cert.is_some()),
        ("client_key", via.client_key.is_some()),
        ("ca", via.ca.is_some()),
        ("pin", !via.pins.is_empty()),
    ];
    let Some((key, _)) = given.into_iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
    let option = key.replace('_', "-");
    let why = format!(
        "has no effect here, because only requests to an https:// URL are encrypted: write \
         --url https://…, or leave it out (--reset {option})"
    );
    Err(SpecError::of(key, &why))
}

pub(super) fn header_templates(
    given: &[HeaderTemplate],
) -> Result<Vec<(String, String)>, SpecError> {
    if given.len() > limits::TEMPLATE_HEADERS {
        return Err(SpecError::of(
            "header",
            &format!("has at most {} entries", limits::TEMPLATE_HEADERS),
        ));
    }

    let mut headers: Vec<(String, String)> = Vec::new();
    for header in given {
        let (name, value) = header.parts();

        // Proxies and CGI read `X_Tenant` and `X-Tenant` as one, and each takes another of the two.
        let read_as = |name: &str| canonical_header_name(&name.to_ascii_lowercase()).into_owned();
        if let Some((known, _)) = headers.iter().find(|(known, _)| read_as(known) == read_as(&name))
        {
            let why = match known.eq_ignore_ascii_case(&name) {
                true => format!("'{name}' is given twice"),
                false => {
                    format!(
                        "'{known}' and '{name}' are one header to many receivers: leave one out"
                    )
                }
            };
            return Err(SpecError::of("header", &why));
        }

        headers.push((name, value));
    }
    Ok(headers)
}

pub(super) fn arguments(given: Vec<Argument>) -> Result<Vec<String>, SpecError> {
    if given.len() > limits::COMMAND_ARGS {
        return Err(SpecError::of("arg", &format!("has at most {} entries", limits::COMMAND_ARGS)));
    }
    Ok(given.into_iter().map(|argument| argument.0).collect())
}

/// The daemon may run in another folder than whoever names the file.
pub(super) fn absolute(key: &str, file: Option<&DaemonFile>) -> Result<Option<PathBuf>, SpecError> {
    match file {
        Some(DaemonFile(path)) if !path.starts_with('/') => {
            Err(SpecError::of(key, &format!("'{path}' is not an absolute path: begin with /")))
        }
        file => Ok(file.map(|file| PathBuf::from(&file.0))),
    }
}

/// The keys of `--pin`, without what stands before each.
pub(super) fn pins(given: &[KeyPin]) -> Result<Vec<String>, SpecError> {
    if given.len() > limits::PINS {
        return Err(SpecError::of("pin", &format!("has at most {} entries", limits::PINS)));
    }
    Ok(given.iter().map(|KeyPin(text)| text.trim_start_matches("sha256/").to_owned()).collect())
}

pub(super) fn checked_url(url: &str) -> Result<TargetUrl, SpecError> {
    url.parse().map_err(|error: TargetError| SpecError::of("url", &error.to_string()))
}
