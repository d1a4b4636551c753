//! How an endpoint is reached and what is sent.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::ctl::CtlError;
use crate::ctl::configure::{put, put_list, read_text};

#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "How it is reached, and what is sent")]
pub struct WaySettings {
    /// POST, PUT, PATCH, GET or DELETE [default: POST].
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// A template that is put behind the URL's path: '/devices/{{ body.device.id }}'.
    #[arg(long, value_name = "TEMPLATE")]
    pub path: Option<String>,
    /// A header of your own, whose value is a template; {{ secret('env:NAME') }} stands for a secret. Several are
    /// possible.
    #[arg(long = "header", value_name = "NAME: TEMPLATE")]
    pub headers: Vec<String>,
    /// A template for what is sent instead of the event's body: '{"text": {{ body.title | tojson }}}'.
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "body_file")]
    pub body: Option<String>,
    /// Read the template of the body from a file; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub body_file: Option<PathBuf>,
    /// The content type [default: the event's; application/json with --body].
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Go through this HTTP proxy, http://[user:password@]host:port; none for no proxy at all [default: the daemon's].
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Connect from this address of this machine.
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<IpAddr>,
    /// A client certificate (PEM, with its chain) that hookboxd reads and the receiver asks for.
    #[arg(long, value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Certificates (PEM) that are trusted for this endpoint, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// An argument of an exec: endpoint's command. Several are possible.
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// The user that the command runs as [default: hookboxd's own].
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// How long a pull: endpoint's consumer may keep an event before others get it, if he does not say [default: 30s].
    #[arg(long, value_name = "DURATION", value_parser = crate::model::time::parse_duration_ms)]
    pub lease: Option<u64>,
}

impl WaySettings {
    /// As the admin socket takes them.
    pub(in crate::ctl) fn put(&self, body: &mut Map<String, Value>) -> Result<(), CtlError> {
        put(body, "method", self.method.as_ref());
        put(body, "path", self.path.as_ref());
        put_list(body, "headers", &self.headers);
        put(body, "body", self.body.as_ref());
        if let Some(file) = &self.body_file {
            body.insert("body".into(), json!(read_text(file)?));
        }
        put(body, "content_type", self.content_type.as_ref());
        put(body, "proxy", self.proxy.as_ref());
        put(body, "bind", self.bind.as_ref());
        for (key, file) in [("client_cert", &self.client_cert), ("client_key", &self.client_key), ("ca", &self.ca)] {
            // The daemon may stand in another folder than the one who names the file.
            let file = file.as_ref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()));
            put(body, key, file.as_ref());
        }
        put_list(body, "args", &self.args);
        put(body, "user", self.user.as_ref());
        put(body, "lease_ms", self.lease.as_ref());
        Ok(())
    }
}
