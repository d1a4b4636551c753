//! Checks a configuration before anything is started or changed.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use super::exit::Exit;
use super::fresh_config::FreshConfig;
use super::groups;
use crate::config::layers::EffectiveConfig;
use crate::config::{Config, Listen, parse_listen};
use crate::model::{Now, size};
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

    groups::socket_access(&config.admin).map_err(|what| Exit::new(Exit::CONFIG, what))?;
    FreshConfig::read(config).map(|_| ()).map_err(|what| Exit::new(Exit::CONFIG, what))
}

/// `--check`: the first thing that is wrong, or what would hold and what is odd about it.
pub fn report(effective: &EffectiveConfig, print: bool) -> Result<(), Exit> {
    check(&effective.config)?;
    if print {
        print!("{}", effective.text());
    } else {
        println!("the configuration is valid");
    }

    // The service manager checks at each start, when the listeners may be its own sockets.
    if std::env::var_os("INVOCATION_ID").is_none() {
        for note in notes(&effective.config) {
            eprintln!("hookboxd: note: {note}");
        }
    }
    Ok(())
}

/// What is no error of the configuration and may become one of a daemon that is started here.
fn notes(config: &Config) -> Vec<String> {
    let addresses = config.listen.iter().filter_map(|address| match parse_listen(address) {
        Ok(Listen::Tcp { address, .. }) => Some(address),
        Ok(Listen::Unix(_)) | Err(_) => None,
    });
    let mut notes: Vec<String> = addresses
        .filter_map(|address| {
            let error = TcpListener::bind(address).err()?;
            Some(format!(
                "{address} cannot be listened on now: {error}: does a daemon run already?"
            ))
        })
        .collect();

    let quota = config.log.quota.map_or(0, |quota| quota.0);
    let there = config.data.ancestors().find(|folder| folder.exists());
    let there = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(disk) = rustix::fs::statvfs(there)
        && quota > disk.f_blocks.saturating_mul(disk.f_frsize)
    {
        let size = size::format_bytes(disk.f_blocks.saturating_mul(disk.f_frsize));
        notes.push(format!(
            "quota: {} is more than the whole file system of {}, which has {size}",
            size::format_bytes(quota),
            config.data.display()
        ));
    }
    notes
}

/// Which proxies and commands the configuration allows for outbound attempts.
pub fn policy(config: &Config) -> OutboundPolicy {
    OutboundPolicy {
        proxy: config.outbound.proxy.clone(),
        no_proxy: config.outbound.no_proxy.clone(),
        exec_allow: config.exec.allow.clone(),
    }
}
