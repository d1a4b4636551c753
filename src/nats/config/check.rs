//! The rules for the values of a configuration.

use std::path::Path;

use async_nats::ServerAddr;

use super::{CreateConsumer, CreateStream, InConfig, NatsConfig, OutConfig, ServersConfig, Via};
use crate::model::{limits, valid_name};

/// The key that is wrong, and why, with how to fix it.
type WrongKey = (&'static str, String);

const DAY_MS: u64 = 86_400_000;

impl NatsConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The first one that is wrong: its key, and why, with how to fix it.
    pub fn check(&self) -> Result<(), WrongKey> {
        self.nats.check()?;
        if self.box_name().is_empty() {
            return Err(("box", "is empty: name this box, such as \"box-1\"".to_owned()));
        }

        let routes = self.out.len() + self.intake.len();
        if routes == 0 {
            let what = "there is none, and no [[in]]: what should be published, or taken?";
            return Err(("out", what.to_owned()));
        }
        if routes > limits::NATS_ROUTES {
            let what = format!("one configuration has at most {} routes", limits::NATS_ROUTES);
            return Err(("out", what));
        }

        self.out.iter().try_for_each(OutConfig::check)?;
        self.intake.iter().try_for_each(InConfig::check)?;
        let by_ingress = self.intake.iter().any(|route| route.via == Via::Ingress);
        if by_ingress && self.hookbox.ingress.is_none() {
            let what = "\"ingress\" needs to know the listener: give ingress in [hookbox]";
            return Err(("via", what.to_owned()));
        }
        Ok(())
    }
}

impl ServersConfig {
    fn check(&self) -> Result<(), WrongKey> {
        if self.servers.is_empty() || self.servers.len() > limits::NATS_SERVERS {
            let what = format!("give one to {}: [\"nats://host:4222\"]", limits::NATS_SERVERS);
            return Err(("servers", what));
        }
        for server in &self.servers {
            let address = server.parse::<ServerAddr>();
            let known =
                address.as_ref().is_ok_and(|address| matches!(address.scheme(), "nats" | "tls"));
            if !known {
                let what = format!("'{server}' is not a server: write it as nats://host:4222");
                return Err(("servers", what));
            }
            if address.is_ok_and(|address| address.has_user_pass()) {
                let what = "passwords do not belong into this file: give user, and password as a \
                            file";
                return Err(("servers", what.to_owned()));
            }
        }

        self.check_identity()?;
        if let Some(domain) = &self.domain {
            stream_name("domain", domain)?;
        }
        match &self.monitoring {
            Some(url) if super::super::varz::address(url).is_none() => {
                let what = format!("'{url}' is not an address: write it as http://127.0.0.1:8222");
                Err(("monitoring", what))
            }
            _ => Ok(()),
        }
    }

    fn check_identity(&self) -> Result<(), WrongKey> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(("tls_cert", "tls_cert and tls_key belong together: give both".to_owned()));
        }
        if self.user.is_some() != self.password.is_some() {
            return Err(("user", "user and password belong together: give both".to_owned()));
        }
        let ways = [self.credentials.is_some(), self.nkey.is_some(), self.user.is_some()];
        if ways.into_iter().filter(|given| *given).count() > 1 {
            let what = "give one of credentials, nkey, and user with password";
            return Err(("credentials", what.to_owned()));
        }

        let files = [
            ("tls_ca", &self.tls_ca),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
            ("credentials", &self.credentials),
            ("nkey", &self.nkey),
            ("password", &self.password),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                readable(file).map_err(|what| (key, what))?;
            }
        }
        Ok(())
    }
}

fn readable(file: &Path) -> Result<(), String> {
    let opened = std::fs::File::open(file);
    opened.map(|_| ()).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

impl OutConfig {
    fn check(&self) -> Result<(), WrongKey> {
        name("endpoint", &self.endpoint)?;
        stream_name("stream", &self.stream)?;
        self.template().map_err(|what| ("subject", what))?;
        in_flight(self.max_in_flight)?;
        within("lease", self.lease.0, 2_000, limits::LEASE_MS)?;
        within("ack_timeout", self.ack_timeout.0, 100, 600_000)?;
        within("publish_timeout", self.publish_timeout.0, self.ack_timeout.0, 3_600_000)?;
        self.create.check()
    }
}

impl CreateStream {
    fn check(&self) -> Result<(), WrongKey> {
        if !(1..=5).contains(&self.replicas) {
            return Err(("replicas", "a stream has 1 to 5 replicas".to_owned()));
        }
        within("duplicate_window", self.duplicate_window.0, 100, 365 * DAY_MS)?;
        if let Some(age) = self.max_age {
            within("max_age", age.0, self.duplicate_window.0, 36_500 * DAY_MS)?;
        }
        let small = |key, given: Option<crate::config::Bytes>, least: u64| match given {
            Some(bytes) if bytes.0 < least || bytes.0 > i64::MAX as u64 => {
                Err((key, format!("is {} bytes, at least {least} make sense", bytes.0)))
            }
            _ => Ok(()),
        };
        small("max_bytes", self.max_bytes, 1 << 16)?;
        small("max_message", self.max_message, 1 << 10)
    }
}

impl InConfig {
    fn check(&self) -> Result<(), WrongKey> {
        stream_name("stream", &self.stream)?;
        stream_name("consumer", &self.consumer)?;
        name("source", &self.source)?;
        in_flight(self.max_in_flight)?;
        self.create.check()
    }
}

impl CreateConsumer {
    fn check(&self) -> Result<(), WrongKey> {
        within("ack_wait", self.ack_wait.0, 1_000, DAY_MS)?;
        if self.max_ack_pending == 0 {
            return Err(("max_ack_pending", "0 would take nothing: give 1 or more".to_owned()));
        }
        let is_subject = |text: &String| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains("..")
        };
        match self.filter.iter().find(|filter| !is_subject(filter)) {
            Some(bad) => Err(("filter", format!("'{bad}' is not a subject, such as hooks.*.push"))),
            None => Ok(()),
        }
    }
}

fn name(key: &'static str, text: &str) -> Result<(), WrongKey> {
    match text {
        "" => Err((key, "is missing: name the one that hookbox has".to_owned())),
        text if valid_name(text) => Ok(()),
        text => Err((key, format!("'{text}' is no name that hookbox gives"))),
    }
}

/// What the server takes as the name of a stream or of a consumer.
fn stream_name(key: &'static str, text: &str) -> Result<(), WrongKey> {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b".*>/\\".contains(&b);
    match text {
        "" => Err((key, "is missing: name the one of the server".to_owned())),
        text if text.len() <= 255 && text.bytes().all(is_plain) => Ok(()),
        text => Err((
            key,
            format!("'{text}' is no name for it: no spaces, dots, slashes and wildcards"),
        )),
    }
}

fn in_flight(count: u32) -> Result<(), WrongKey> {
    within("max_in_flight", u64::from(count), 1, u64::from(limits::NATS_IN_FLIGHT))
}

fn within(key: &'static str, given: u64, low: u64, high: u64) -> Result<(), WrongKey> {
    if (low..=high).contains(&given) {
        return Ok(());
    }
    let unit = if key == "max_in_flight" { "" } else { " ms" };
    Err((key, format!("is {given}{unit}, and has to be between {low} and {high}{unit}")))
}
