//! What the server says of itself on its monitoring port: how often it syncs to its disk.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::model::limits;

/// Bytes of the answer that are read.
const ANSWER: usize = 4 << 20;

/// How often a server syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it acknowledges.
    Always,
    /// So many milliseconds apart: what it acknowledged in between is lost in a power cut.
    EachMs(u64),
}

#[derive(Deserialize)]
struct Varz {
    jetstream: Option<JetStream>,
}

#[derive(Deserialize)]
struct JetStream {
    config: Option<SyncSettings>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SyncSettings {
    /// In nanoseconds.
    sync_interval: u64,
    sync_always: bool,
}

/// Host and port of a monitoring URL.
#[must_use]
pub fn address(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let address = rest.trim_end_matches('/');
    let (host, port) = address.rsplit_once(':')?;
    let is_plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-[]:".contains(&b));
    let fits = scheme == "http" && !host.is_empty() && is_plain && port.parse::<u16>().is_ok();
    fits.then_some(address)
}

/// Asks the server at this URL.
///
/// # Errors
/// Why it cannot be known.
pub async fn sync_policy(url: &str) -> Result<SyncPolicy, String> {
    let within = Duration::from_millis(limits::NATS_ANSWER_MS);
    let asked = tokio::time::timeout(within, ask(url)).await;
    asked.map_err(|_| format!("{url} does not answer"))?
}

async fn ask(url: &str) -> Result<SyncPolicy, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
    let address = address(url).ok_or_else(|| failed(&"is not an address"))?;
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    tokio::spawn(async move {
        let _ = connection.await;
    });

    let request = Request::get("/varz").header(HOST, address).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    read(&body.map_err(|error| failed(&error))?.to_bytes())
}

fn read(text: &[u8]) -> Result<SyncPolicy, String> {
    let varz: Varz =
        serde_json::from_slice(text).map_err(|error| format!("its /varz is not JSON: {error}"))?;
    let jetstream = varz.jetstream.ok_or("JetStream is off on this server")?;
    let settings = jetstream.config.unwrap_or_default();
    if settings.sync_always {
        return Ok(SyncPolicy::Always);
    }
    Ok(SyncPolicy::EachMs(settings.sync_interval / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::{SyncPolicy, address, read};

    #[test]
    fn the_interval_counts_unless_it_syncs_always() {
        let of = |text: &str| read(text.as_bytes());
        let always =
            r#"{"jetstream":{"config":{"sync_interval":120000000000,"sync_always":true}}}"#;
        assert_eq!(of(always), Ok(SyncPolicy::Always));
        let each = r#"{"jetstream":{"config":{"sync_interval":120000000000}}}"#;
        assert_eq!(of(each), Ok(SyncPolicy::EachMs(120_000)));
        assert!(of(r#"{"jetstream":null}"#).is_err() && of("nonsense").is_err());
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(address("http://127.0.0.1:8222/"), Some("127.0.0.1:8222"));
        assert_eq!(address("http://[::1]:8222"), Some("[::1]:8222"));
        for bad in ["https://x:1", "x:1", "http://x", "http://:1", "http://a/b:1", "http://x:y"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
