//! The rules for the values of a configuration.

use std::net::SocketAddr;
use std::path::Path;

use super::{Config, Listen, RetentionConfig, parse_listen};
use crate::model::limits;
use crate::model::size::size_text;
use crate::model::time::span_text;

/// The key that is wrong, and why, with how to fix it.
type InvalidKey = (&'static str, String);

const DAY_MS: u64 = 86_400_000;
/// The largest number of bytes or events that makes sense anywhere.
const HUGE: u64 = 1 << 50;

impl Config {
    /// Checks the values.
    ///
    /// # Errors
    /// The first one that is wrong: its key, and why, with how to fix it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        self.check_paths()?;
        self.check_listen()?;
        self.check_metrics()?;
        self.check_tls()?;
        self.check_proxy()?;
        self.check_exec()?;
        self.check_log()?;
        self.check_retention()?;
        self.check_limits()
    }

    fn check_paths(&self) -> Result<(), InvalidKey> {
        if self.data.as_os_str().is_empty() {
            let what = "is empty: name a folder, such as \"/var/lib/hookbox\"";
            return Err(("data", what.to_owned()));
        }
        if self.admin_socket.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            let what = "is empty: name a path, or leave it out for <data>/admin.sock";
            return Err(("admin_socket", what.to_owned()));
        }

        let has_nul = |path: &Path| path.as_os_str().as_encoded_bytes().contains(&0);
        let paths = [("data", Some(&self.data)), ("admin_socket", self.admin_socket.as_ref())];
        for (key, path) in paths {
            if path.is_some_and(|path| has_nul(path)) {
                return Err((key, "has a NUL character in it, which no path can have".to_owned()));
            }
        }

        let socket = self.socket();
        if let Err(what) = short_enough(&socket) {
            return Err(("admin_socket", format!("{what}; set admin_socket to a shorter one")));
        }
        Ok(())
    }

    fn check_listen(&self) -> Result<(), InvalidKey> {
        if self.listen.is_empty() {
            let what = "nothing to listen on: give at least one \"127.0.0.1:8420\"";
            return Err(("listen", what.to_owned()));
        }

        let mut before: Vec<(&str, Listen)> = Vec::new();
        for address in &self.listen {
            let listen = parse_listen(address).map_err(|what| ("listen", what))?;
            if listen.is_tls() && (self.tls.cert.is_none() || self.tls.key.is_none()) {
                let what = format!("'{address}' needs a certificate: give cert and key in [tls]");
                return Err(("listen", what));
            }
            if listen.is_proxied() && self.ingress.trusted_proxies.is_empty() {
                let what =
                    format!("'{address}' needs to know its proxies: give ingress.trusted_proxies");
                return Err(("listen", what));
            }

            if let Listen::Unix(path) = &listen {
                short_enough(path).map_err(|what| ("listen", what))?;
                if *path == self.socket() {
                    let what = format!("'{address}' is the admin socket: choose another path");
                    return Err(("listen", what));
                }
            }

            let taken = before.iter().find(|(_, other)| is_same_place(other, &listen));
            if let Some((other, _)) = taken {
                let what = match *other == address {
                    true => format!("'{address}' is given twice: each address can have one entry"),
                    false => format!(
                        "'{address}' and '{other}' are the same port of this machine: choose \
                         another port, or leave one of them out"
                    ),
                };
                return Err(("listen", what));
            }
            before.push((address, listen));
        }

        self.trusted_proxies().map_err(|what| ("trusted_proxies", what))?;
        Ok(())
    }

    /// The page of figures has a port of its own.
    fn check_metrics(&self) -> Result<(), InvalidKey> {
        let Some(metrics) = self.metrics.listen.filter(|address| address.port() != 0) else {
            return Ok(());
        };
        for text in &self.listen {
            let Ok(Listen::Tcp { address, .. }) = parse_listen(text) else { continue };
            if shares_port(metrics, address) {
                let what = format!(
                    "{metrics} is taken by '{text}' of listen, which receives webhooks: choose \
                     another port"
                );
                return Err(("metrics.listen", what));
            }
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), InvalidKey> {
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            let key = if self.tls.cert.is_some() { "cert" } else { "tls.key" };
            return Err((key, "cert and key of [tls] belong together: give both".to_owned()));
        }
        if self.tls.client_ca.is_some() && self.tls.cert.is_none() {
            let what = "client certificates need TLS: give cert and key in [tls], too";
            return Err(("client_ca", what.to_owned()));
        }
        Ok(())
    }

    /// What `--check --print` shows of a proxy cannot be read back.
    fn check_proxy(&self) -> Result<(), InvalidKey> {
        if self.outbound.proxy.as_deref().is_some_and(|proxy| proxy.contains("://***@")) {
            let what = "its user and password were struck out (***): write them in full";
            return Err(("outbound.proxy", what.to_owned()));
        }
        Ok(())
    }

    fn check_exec(&self) -> Result<(), InvalidKey> {
        let rules = &self.exec.allow;
        if rules.len() > limits::EXEC_ALLOW || self.outbound.no_proxy.len() > limits::NO_PROXY {
            let what = format!("allow and no_proxy have at most {} entries", limits::EXEC_ALLOW);
            return Err(("allow", what));
        }
        if let Some(bad) = rules.iter().find(|rule| !is_command_rule(rule)) {
            let what = format!(
                "'{bad}' is not a command: write its absolute path, or that of a folder followed \
                 by /*"
            );
            return Err(("allow", what));
        }
        Ok(())
    }

    fn check_log(&self) -> Result<(), InvalidKey> {
        within("segment_size", self.log.segment_size.0, 1 << 20, 4 << 30, "bytes")?;
        within("segment_age", self.log.segment_age.0, 1000, 365 * DAY_MS, "ms")?;

        let quota = self.log.quota.map_or(HUGE, |quota| quota.0);
        within("quota", quota, limits::QUOTA_MIN, HUGE, "bytes")?;
        let reserve = self.log.reserve.map_or(limits::DISK_RESERVE_MIN, |reserve| reserve.0);
        within("reserve", reserve, limits::DISK_RESERVE_MIN, quota / 2, "bytes")
    }

    fn check_retention(&self) -> Result<(), InvalidKey> {
        let RetentionConfig { delivered, delivered_events, delivered_bytes, .. } = &self.retention;
        let bytes = delivered_bytes.map_or(1 << 20, |bytes| bytes.0);
        within("delivered", delivered.0, 1000, 36_500 * DAY_MS, "ms")?;
        within("delivered_events", delivered_events.unwrap_or(1), 1, HUGE, "events")?;
        within("delivered_bytes", bytes, 1 << 20, HUGE, "bytes")?;

        let RetentionConfig { dead, dead_events, dead_bytes, .. } = &self.retention;
        let bytes = dead_bytes.map_or(0, |bytes| bytes.0);
        within("dead", dead.0, 1000, 36_500 * DAY_MS, "ms")?;
        within("dead_events", dead_events.unwrap_or(0), 0, HUGE, "dead letters")?;
        within("dead_bytes", bytes, 0, HUGE, "bytes")
    }

    fn check_limits(&self) -> Result<(), InvalidKey> {
        let idle = self.daemon.idle_exit.map_or(DAY_MS, |idle| idle.0);
        within("idle_exit", idle, 1000, 365 * DAY_MS, "ms")?;
        within("connections", self.limits.connections as u64, 1, 1 << 20, "connections")?;
        within("head_timeout", self.limits.head_timeout.0, 100, 600_000, "ms")?;
        within("body_timeout", self.limits.body_timeout.0, 100, 3_600_000, "ms")
    }
}

/// Whether only one of the two can be listened on. All addresses of IPv6 are all of IPv4, too, or
/// not, as the system is configured: that shows when they are listened on.
fn is_same_place(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Tcp { address: one, .. }, Listen::Tcp { address: other, .. }) => {
            one.is_ipv4() == other.is_ipv4() && shares_port(*one, *other)
        }
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        _ => false,
    }
}

/// Whether one of two sockets is in the other's way. Port 0 is another one each time.
fn shares_port(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && is_same
}

/// The kernel knows sockets by paths of so many bytes, and clients can name no longer ones.
fn short_enough(socket: &Path) -> Result<(), String> {
    match socket.as_os_str().len() {
        ..=limits::UNIX_PATH => Ok(()),
        length => Err(format!(
            "the path of a socket has at most {} bytes, and {} has {length}",
            limits::UNIX_PATH,
            socket.display()
        )),
    }
}

fn within(
    key: &'static str,
    value: u64,
    low: u64,
    high: u64,
    unit: &str,
) -> Result<(), InvalidKey> {
    let (shown, unit): (fn(u64) -> String, String) = match unit {
        "bytes" => (size_text, String::new()),
        "ms" => (span_text, String::new()),
        unit => (|number| number.to_string(), format!(" {unit}")),
    };
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => {
            let (value, low, high) = (shown(value), shown(low), shown(high));
            Err((key, format!("{value}{unit} is out of range: use {low} to {high}{unit}")))
        }
    }
}

/// An absolute path without `..`; one `*` may stand for the files of a folder.
fn is_command_rule(rule: &str) -> bool {
    let path = rule.strip_suffix("/*").unwrap_or(rule);
    (path.starts_with('/') || rule == "/*")
        && !path.contains('*')
        && !path.split('/').any(|part| part == "..")
}
