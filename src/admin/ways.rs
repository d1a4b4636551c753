//! Settings of how an endpoint is reached and what is sent: shape, proxy and certificates, commands, leases.

use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::fields::{Fields, duration_ms, opt, text};
use super::http::Problem;
use crate::model::{Endpoint, Secret, limits};

/// Puts the given fields into `endpoint`. Whether they make sense is for the room that obeys them.
pub(super) fn apply(endpoint: &mut Endpoint, fields: &mut Fields) -> Result<(), Problem> {
    let shape = &mut endpoint.shape;
    fields.set("method", &mut shape.method, None, opt(|v| text(v).map(|t| t.to_ascii_uppercase())))?;
    fields.set("path", &mut shape.path, None, opt(template))?;
    fields.set("headers", &mut shape.headers, Vec::new(), headers)?;
    fields.set("body", &mut shape.body, None, opt(template))?;
    fields.set("content_type", &mut shape.content_type, None, opt(text))?;
    let via = &mut endpoint.via;
    fields.set("proxy", &mut via.proxy, None, opt(|v| text(v).map(Secret)))?;
    fields.set("bind", &mut via.bind, None, opt(address))?;
    fields.set("client_cert", &mut via.client_cert, None, opt(file))?;
    fields.set("client_key", &mut via.client_key, None, opt(file))?;
    fields.set("ca", &mut via.ca, None, opt(file))?;
    fields.set("args", &mut endpoint.exec.args, Vec::new(), args)?;
    fields.set("user", &mut endpoint.exec.user, None, opt(text))?;
    let lease_ms = limits::DEFAULT_LEASE_MS;
    fields.set("lease_ms", &mut endpoint.pull.lease_ms, lease_ms, duration_ms(1, limits::LEASE_MS))?;
    Ok(())
}

/// Adds them to what is shown of it.
pub(super) fn show(endpoint: &Endpoint, row: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| row.insert(key.to_owned(), value);
    let (shape, via) = (&endpoint.shape, &endpoint.via);
    put("method", json!(shape.method));
    put("path", json!(shape.path));
    put("headers", json!(shape.shown_headers().collect::<Vec<_>>()));
    put("body", json!(shape.body));
    put("content_type", json!(shape.content_type));
    put("proxy", json!(via.shown_proxy()));
    put("bind", json!(via.bind));
    put("client_cert", json!(via.client_cert));
    put("client_key", json!(via.client_key));
    put("ca", json!(via.ca));
    put("args", json!(endpoint.exec.args));
    put("user", json!(endpoint.exec.user));
    put("lease_ms", json!(endpoint.pull.lease_ms));
}

/// Text of several lines.
fn template(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("is text in quotes")?;
    if text.len() > limits::TEMPLATE_LEN {
        return Err(format!("has {} bytes, a template has at most {}", text.len(), limits::TEMPLATE_LEN));
    }
    Ok(text.to_owned())
}

/// `["Name: template", …]`.
fn headers(value: &Value) -> Result<Vec<(String, String)>, String> {
    let list = value.as_array().ok_or("is a list of texts such as \"X-Kind: {{ type }}\"")?;
    if list.len() > limits::SHAPED_HEADERS {
        return Err(format!("has at most {} entries", limits::SHAPED_HEADERS));
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for entry in list {
        let entry = template(entry)?;
        let (name, value) =
            entry.split_once(':').ok_or_else(|| format!("'{entry}': write it as 'Name: value or template'"))?;
        let name = name.trim().to_owned();
        if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            return Err(format!("'{name}' is there twice"));
        }
        headers.push((name, value.trim().to_owned()));
    }
    Ok(headers)
}

fn address(value: &Value) -> Result<IpAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| format!("'{text}' is not an address of this machine: write it as 192.0.2.7"))
}

/// A file that the daemon reads, so its whole path.
fn file(value: &Value) -> Result<PathBuf, String> {
    let text = text(value)?;
    if text.starts_with('/') { Ok(text.into()) } else { Err(format!("'{text}' is not a whole path: begin with /")) }
}

/// Arguments of a command: at most `limits::COMMAND_ARGS` of them.
fn args(value: &Value) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or("is a list of texts")?;
    if list.len() > limits::COMMAND_ARGS {
        return Err(format!("has at most {} entries", limits::COMMAND_ARGS));
    }
    let read = |value: &Value| {
        let text = value.as_str().ok_or("is a list of texts")?;
        if text.len() > limits::COMMAND_ARG || text.contains('\0') {
            return Err(format!("an argument has at most {} bytes and no NUL", limits::COMMAND_ARG));
        }
        Ok(text.to_owned())
    };
    list.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{apply, show};
    use crate::admin::fields::Fields;
    use crate::model::Endpoint;

    fn set(endpoint: &mut Endpoint, given: &Value) -> Result<(), String> {
        let mut fields = Fields::new(given.as_object().cloned().unwrap_or_default());
        apply(endpoint, &mut fields).map_err(|problem| problem.value().to_string())?;
        fields.done().map_err(|problem| problem.value().to_string())
    }

    #[test]
    fn what_is_set_is_shown_and_secrets_are_not() {
        let mut endpoint = Endpoint::new("a", "http://a/");
        let given = json!({
            "method": "put", "path": "/x/{{ id }}", "body": "{\n}", "content_type": "text/plain",
            "headers": ["X-Kind: {{ type }}", "Authorization: Bearer hunter2", "X-Token: {{ secret('env:T') }}"],
            "proxy": "http://user:hunter2@10.0.0.1:3128", "bind": "127.0.0.2", "ca": "/etc/ca.pem",
            "args": ["", "--x"], "user": "nobody",
        });
        set(&mut endpoint, &given).expect("well-formed");
        let mut row = Map::new();
        show(&endpoint, &mut row);
        let row = Value::Object(row);
        assert!(!row.to_string().contains("hunter2"), "{row}");
        assert_eq!(row["proxy"], "http://user:…@10.0.0.1:3128");
        let headers = json!(["X-Kind: {{ type }}", "Authorization: …", "X-Token: {{ secret('env:T') }}"]);
        assert_eq!((&row["method"], &row["headers"], &row["args"]), (&json!("PUT"), &headers, &json!(["", "--x"])));
        assert!(!format!("{:?}", endpoint.via).contains("hunter2"));
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for bad in [
            json!({"headers": ["no colon"]}),
            json!({"headers": ["A: 1", "a: 2"]}),
            json!({"bind": "localhost"}),
            json!({"ca": "relative.pem"}),
            json!({"args": ["a\u{0}b"]}),
            json!({"body": "x".repeat(20_000)}),
        ] {
            assert!(set(&mut Endpoint::new("a", "http://a/"), &bad).is_err(), "{bad}");
        }
    }
}
