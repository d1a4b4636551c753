//! A receiver: verifies signatures, handles each event once, names the failed events of a batch.
//! `HOOK_SECRET=whsec_… cargo run --example receiver [PORT]`. A real one uses an HTTP library.
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Result, Write};

/// Standard Webhooks v1: HMAC-SHA256 over id.timestamp.body; several during a rotation.
fn is_genuine(key: &[u8], headers: &HashMap<String, String>, body: &[u8]) -> Option<bool> {
    let (id, timestamp) = (headers.get("webhook-id")?, headers.get("webhook-timestamp")?);
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key).ok()?.chain_update(&signed);
    let given = headers.get("webhook-signature")?.split(' ').filter_map(|s| s.strip_prefix("v1,"));
    let mut given = given.filter_map(|text| BASE64_STANDARD.decode(text).ok());
    let age = std::time::UNIX_EPOCH.elapsed().ok()?.as_secs().abs_diff(timestamp.parse().ok()?);
    Some(age <= 300 && given.any(|signature| mac.clone().verify_slice(&signature).is_ok()))
}

/// Your work. Note the id after it, in its database: what fails before that comes again.
fn handle(seen: &mut HashSet<String>, event: &Value) -> Option<()> {
    let (id, kind) = (event["id"].as_str()?, event["type"].as_str()?);
    let about = if kind == "push" { event["data"]["ref"].as_str()? } else { "-" };
    let is_new = seen.insert(id.to_owned());
    println!("{} {id} {kind} {about}", if is_new { "handled" } else { "again" });
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open("seen.txt").ok()?;
    if is_new { writeln!(file, "{id}").ok() } else { Some(()) }
}

fn main() {
    let secret = std::env::var("HOOK_SECRET").unwrap_or_default();
    let key = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
    assert!(key.len() >= 24, "set HOOK_SECRET to the endpoint's whsec_… secret");
    let noted = std::fs::read_to_string("seen.txt").unwrap_or_default();
    let mut seen = noted.lines().map(str::to_owned).collect();
    let port = std::env::args().nth(1).map_or(3000, |text| text.parse().expect("a port"));
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    println!("listening on port {}", listener.local_addr().expect("it is bound").port());
    listener.incoming().flatten().for_each(|stream| drop(answer(&key, &mut seen, stream)));
}

fn answer(key: &[u8], seen: &mut HashSet<String>, mut stream: std::net::TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let lines = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let pair = |line: String| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned()));
    let headers: HashMap<String, String> = lines.filter_map(pair).collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok());
    let body = reader.bytes().take(length.unwrap_or(0)).collect::<Result<Vec<u8>>>()?;
    let (is_batch, mut status, mut failed) = (headers.contains_key("hookbox-batch"), 401, vec![]);
    if is_genuine(key, &headers, &body) == Some(true) {
        let data: Value = serde_json::from_slice(&body)?;
        let (id, kind) = (&headers["webhook-id"], headers.get("hookbox-type"));
        let events = if is_batch { data } else { json!([{"id": id, "type": kind, "data": data}]) };
        let undone = events.as_array().into_iter().flatten().filter(|e| handle(seen, e).is_none());
        failed.extend(undone.map(|event| event["id"].clone()));
        status = if is_batch || failed.is_empty() { 200 } else { 500 }; // a batch names what failed
    }
    write!(stream, "HTTP/1.0 {status} -\r\n\r\n{}", json!({ "failed": failed }))
}
