//! SIGHUP: reads the configuration again.

use super::check::{check, policy};
use crate::config::Config;
use crate::config::args::Args;
use crate::ingest::Ingest;
use crate::outbound::Outbound;
use crate::service::clock;
use crate::service::logging::Levels;

/// Puts a changed file in force, whole or not at all.
///
/// # Errors
/// Why it cannot be put in force.
pub fn reload(
    args: &Args,
    old: &Config,
    levels: &Levels,
    ingest: &Ingest,
    outbound: &Outbound,
) -> Result<Config, String> {
    let effective = args.effective().map_err(|error| error.to_string())?;
    let fresh = check(&effective).map_err(|exit| exit.what)?;
    let new = effective.config;

    // Everything else must be as it was.
    let mut expected = old.clone();
    expected.logging.level = new.logging.level;
    expected.ingress = new.ingress.clone();
    expected.allow_lists = new.allow_lists.clone();
    expected.exec = new.exec.clone();
    expected.outbound.proxy.clone_from(&new.outbound.proxy);
    expected.outbound.no_proxy.clone_from(&new.outbound.no_proxy);
    // The listeners stay as they are, so TLS cannot be added or removed; its files can change.
    if old.tls.cert.is_some() == new.tls.cert.is_some() {
        expected.tls = new.tls.clone();
    }
    if new != expected {
        let what = "only logging.level, [ingress], [allow_lists], [exec], the proxy of [outbound] \
             and the files of [tls] can change while hookboxd runs: restart it for the rest";
        return Err(what.to_owned());
    }

    // This also reads secrets and certificates again that are kept elsewhere.
    outbound.set_policy(&policy(&new)).map_err(|error| error.to_string())?;
    fresh.set(ingest, clock::system()().wall_ms);
    levels.set(new.logging.level);
    Ok(new)
}
