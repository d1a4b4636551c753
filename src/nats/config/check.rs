//! The rules for the values of a configuration.

use std::io::Read;
use std::path::Path;

use async_nats::ServerAddr;

use super::{CreateConsumer, CreateStream, InConfig, NatsConfig, OutConfig, ServersConfig, Via};
use crate::model::{limits, time, valid_name};

/// The key that is wrong, and why, with how to fix it.
type WrongKey = (&'static str, String);

/// A key that is wrong, and in which `[[out]]` or `[[in]]` it stands, counted from 0.
#[derive(Debug)]
pub struct Misconfigured {
    pub route: Option<(&'static str, usize)>,
    pub key: &'static str,
    pub what: String,
}

impl From<WrongKey> for Misconfigured {
    fn from((key, what): WrongKey) -> Self {
        Self { route: None, key, what }
    }
}

const DAY_MS: u64 = 86_400_000;
const NO_PASSWORDS: &str = "passwords do not belong into this file: give user, and password as a \
                            file";

impl NatsConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The first one that is wrong: its key, and why, with how to fix it.
    pub fn check(&self) -> Result<(), Misconfigured> {
        self.nats.check()?;
        if self.box_name().is_empty() {
            let what = "is empty: name this box, such as \"box-1\"";
            return Err(("box", what.to_owned()).into());
        }

        let routes = self.out.len() + self.intake.len();
        if routes == 0 {
            let what = "there is none, and no [[in]]: what should be published, or taken?";
            return Err(("out", what.to_owned()).into());
        }
        if routes > limits::NATS_ROUTES {
            let what = format!("one configuration has at most {} routes", limits::NATS_ROUTES);
            return Err(("out", what).into());
        }

        for (index, route) in self.out.iter().enumerate() {
            let checked = route.check().and_then(|()| self.is_new_out(index, route));
            checked.map_err(|wrong| in_route("out", index, wrong))?;
        }
        for (index, route) in self.intake.iter().enumerate() {
            let checked = route.check().and_then(|()| self.is_new_in(index, route));
            checked.map_err(|wrong| in_route("in", index, wrong))?;
        }
        Ok(())
    }

    /// Each event of an endpoint goes to one consumer of it: two routes would halve them.
    fn is_new_out(&self, index: usize, route: &OutConfig) -> Result<(), WrongKey> {
        if self.out[..index].iter().all(|other| other.endpoint != route.endpoint) {
            return Ok(());
        }
        let what = format!(
            "two [[out]] name {}: each event would go to one of them; make an endpoint for each",
            route.endpoint
        );
        Err(("endpoint", what))
    }

    fn is_new_in(&self, index: usize, route: &InConfig) -> Result<(), WrongKey> {
        if route.via == Via::Ingress && self.hookbox.ingress.is_none() {
            let what = "\"ingress\" needs to know the listener: give ingress in [hookbox]";
            return Err(("via", what.to_owned()));
        }
        let of = |route: &InConfig| (route.stream.clone(), route.consumer_name());
        if self.intake[..index].iter().all(|other| of(other) != of(route)) {
            return Ok(());
        }
        let what = format!(
            "two [[in]] name {} of {}: each message would go to one of them; make a consumer for \
             each",
            route.consumer_name(),
            route.stream
        );
        Err(("consumer", what))
    }
}

fn in_route(section: &'static str, index: usize, (key, what): WrongKey) -> Misconfigured {
    Misconfigured { route: Some((section, index)), key, what }
}

impl ServersConfig {
    fn check(&self) -> Result<(), WrongKey> {
        if self.servers.is_empty() || self.servers.len() > limits::NATS_SERVERS {
            let what = format!("give one to {}: [\"nats://host:4222\"]", limits::NATS_SERVERS);
            return Err(("servers", what));
        }
        for server in &self.servers {
            // What may be a password is not repeated.
            if server.contains('@') {
                return Err(("servers", NO_PASSWORDS.to_owned()));
            }
            let address = server.parse::<ServerAddr>();
            let known =
                address.as_ref().is_ok_and(|address| matches!(address.scheme(), "nats" | "tls"));
            if !known {
                let what = format!("'{server}' is not a server: write it as nats://host:4222");
                return Err(("servers", what));
            }
        }

        self.check_identity()?;
        self.check_tls()?;
        if let Some(domain) = &self.domain {
            stream_name("domain", domain)?;
        }
        match &self.monitoring {
            Some(url) if url.contains('@') => {
                let what = "it is asked without a password: write it as http://127.0.0.1:8222";
                Err(("monitoring", what.to_owned()))
            }
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

        let files: [(_, _, IsForm, _); 6] = [
            ("tls_ca", &self.tls_ca, has_certificate, "a certificate in PEM"),
            ("tls_cert", &self.tls_cert, has_certificate, "a certificate in PEM"),
            ("tls_key", &self.tls_key, has_key, "a private key in PEM"),
            ("credentials", &self.credentials, has_credentials, "a .creds file with JWT and seed"),
            ("nkey", &self.nkey, is_seed, "the seed of a user's nkey (SU…) and nothing else"),
            ("password", &self.password, is_password, "a password in one line"),
        ];
        for (key, file, is_form, wanted) in files {
            if let Some(file) = file {
                let text = contents(file).map_err(|what| (key, what))?;
                if !is_form(text.trim()) {
                    return Err((key, format!("{} is not {wanted}", file.display())));
                }
            }
        }
        Ok(())
    }

    /// Certificates are for TLS, which a server alone would decide on otherwise.
    fn check_tls(&self) -> Result<(), WrongKey> {
        let is_demanded = self.tls || self.servers.iter().all(|url| url.starts_with("tls://"));
        let given = [("tls_ca", &self.tls_ca), ("tls_cert", &self.tls_cert)];
        match given.into_iter().find(|(_, file)| file.is_some()) {
            Some((key, _)) if !is_demanded => {
                let what = "needs tls = true, or tls:// for each server: otherwise one that does \
                            not ask for TLS is spoken to in the clear";
                Err((key, what.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the text of a file has the form that is wanted.
type IsForm = fn(&str) -> bool;

fn has_certificate(text: &str) -> bool {
    text.contains("-----BEGIN CERTIFICATE-----")
}

fn has_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}

fn has_credentials(text: &str) -> bool {
    text.matches("-----BEGIN ").count() >= 2
}

fn is_seed(text: &str) -> bool {
    text.starts_with("SU") && text.len() == 58 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_password(text: &str) -> bool {
    !text.is_empty() && !text.contains(['\n', '\0'])
}

/// The text of a file with a secret or a certificate, which nothing repeats.
fn contents(file: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(cannot)?;
    opened.take(limits::NATS_CONFIG_BYTES).read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
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
        match self.filter.iter().find(|filter| !is_subject(filter)) {
            Some(bad) => Err(("filter", format!("'{bad}' is not a subject, such as hooks.*.push"))),
            None => Ok(()),
        }
    }
}

/// Whether this can be a subject, with wildcards.
fn is_subject(text: &str) -> bool {
    let mut tokens = text.split('.').rev();
    let is_plain = |token: &str| {
        let has_plain = token.bytes().all(|b| b.is_ascii_graphic() && !b"*>".contains(&b));
        !token.is_empty() && (token == "*" || has_plain)
    };
    tokens.next().is_some_and(|last| last == ">" || is_plain(last)) && tokens.all(is_plain)
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
    let shown = |number: u64| match key {
        "max_in_flight" => number.to_string(),
        _ => time::format_duration_ms(number),
    };
    let (given, low, high) = (shown(given), shown(low), shown(high));
    Err((key, format!("is {given}, and has to be between {low} and {high}")))
}
