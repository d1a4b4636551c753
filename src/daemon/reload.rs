//! SIGHUP: reads the configuration again.

use std::sync::Arc;

use super::check::{check, policy};
use super::fresh_config::FreshConfig;
use crate::config::Config;
use crate::config::args::Args;
use crate::config::differences::differing_keys;
use crate::config::layers::{EffectiveConfig, located};
use crate::ingest::Ingest;
use crate::model::{Endpoint, Source};
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
    (outbound, endpoints): (&Outbound, &[Arc<Endpoint>]),
) -> Result<Config, String> {
    let effective = args.effective().map_err(|error| error.to_string())?;
    let fresh = check(&effective).map_err(|exit| exit.what)?;
    let EffectiveConfig { config: new, origins, .. } = effective;

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
        let keys = differing_keys(&new, &expected);
        let first = keys.first().map_or("", String::as_str);
        let others = match keys.len() {
            0 | 1 => String::new(),
            _ => format!(" (nor can {})", keys[1..].join(", ")),
        };
        let what = format!(
            "{first}: cannot change while hookboxd runs{others}: restart it. Only logging.level, \
             [ingress], [allow_lists], [exec], the proxy of [outbound] and the files of [tls] can"
        );
        return Err(located(&origins, &what));
    }

    missing_lists(&fresh, ingest)?;
    missing_client_ca(&fresh, ingest)?;

    // This also reads secrets and certificates again that are kept elsewhere.
    let broken = outbound.reload(&policy(&new), endpoints).map_err(|error| error.to_string())?;
    for what in broken {
        tracing::warn!("{what}");
    }
    fresh.set(ingest, clock::system()().wall_ms);
    levels.set(new.logging.level);
    Ok(new)
}

/// Sources that name an allow-list would refuse everybody without it. What is missing already does
/// not stand in the way of anything else.
fn missing_lists(fresh: &FreshConfig, ingest: &Ingest) -> Result<(), String> {
    let sources = ingest.sources();
    let has_its_lists = |source: &&Arc<Source>| ingest.allow_lists().check(source).is_ok();
    let mut sources = sources.iter().filter(has_its_lists);
    let missing = sources.find_map(|source| Some((source, fresh.missing_list(source)?)));
    let Some((source, list)) = missing else { return Ok(()) };

    let name = &source.name;
    Err(format!(
        "allow_lists.dir: there is no allow-list @{list} any more, which the source '{name}' asks \
         for: put its file back, or change the source first (hookboxctl source update {name} \
         --allow …)"
    ))
}

/// Sources that ask for client certificates would refuse everybody when none were accepted any
/// more.
fn missing_client_ca(fresh: &FreshConfig, ingest: &Ingest) -> Result<(), String> {
    if fresh.accepts_client_certificates() {
        return Ok(());
    }
    let sources = ingest.sources();
    let asks = |source: &&Arc<Source>| {
        source.verify == "mtls" && ingest.without_client_certificates(source).is_none()
    };
    let Some(source) = sources.iter().find(asks) else { return Ok(()) };

    let name = &source.name;
    Err(format!(
        "tls.client_ca: it is gone, and the source '{name}' asks for client certificates: put it \
         back, or change the source first (hookboxctl source update {name} --verify …)"
    ))
}
