//! Checks a configuration before anything is started or changed.

use std::sync::Arc;

use super::exit::Exit;
use super::fresh_config::FreshConfig;
use crate::config::Config;
use crate::model::Now;
use crate::outbound::{Outbound, OutboundPolicy, OutboundSettings, SystemResolver};

/// Checks the values of a configuration, and the files that it names.
pub fn check(config: &Config) -> Result<(), Exit> {
    config.check().map_err(|(key, what)| Exit::new(Exit::CONFIG, format!("{key}: {what}")))?;

    let settings = OutboundSettings {
        extra_ca: config.outbound.extra_ca.clone(),
        user_agent: "hookbox".to_owned(),
        resolver: Arc::new(SystemResolver::default()),
        lookup: None,
        policy: policy(config),
    };
    Outbound::new(settings, Arc::new(Now::default))
        .map_err(|error| Exit::new(Exit::CONFIG, error.to_string()))?;

    FreshConfig::read(config).map(|_| ()).map_err(|what| Exit::new(Exit::CONFIG, what))
}

/// Which proxies and commands the configuration allows for outbound attempts.
pub fn policy(config: &Config) -> OutboundPolicy {
    OutboundPolicy {
        proxy: config.outbound.proxy.clone(),
        no_proxy: config.outbound.no_proxy.clone(),
        exec_allow: config.exec.allow.clone(),
    }
}
