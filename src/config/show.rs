//! A configuration as text: every key with its value, and where the value comes from.

use std::fmt::Write as _;

use serde_json::Value;

use super::Config;
use super::layers::{EffectiveConfig, FileUse};

/// Where the second column begins, when the first one is short enough.
const COLUMN: usize = 44;

impl EffectiveConfig {
    /// The text of `hookboxd --check --print`, which is itself a configuration file. Passwords in
    /// it are struck out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (file, used) in &self.files {
            let used = match used {
                FileUse::Read => "read".to_owned(),
                FileUse::Missing => "not there".to_owned(),
                FileUse::Masked => "left out, a link to /dev/null".to_owned(),
                FileUse::ReplacedBy(by) => format!("replaced by {}", by.display()),
            };
            let _infallible = writeln!(text, "# {}: {used}", file.display());
        }

        let Ok(Value::Object(all)) = serde_json::to_value(shown(&self.config)) else { return text };
        for (key, value) in all.iter().filter(|(_, value)| !value.is_object()) {
            self.line(&mut text, key, key, value);
        }
        for (section, keys) in all.iter().filter_map(|(key, value)| Some((key, value.as_object()?)))
        {
            let _infallible = writeln!(text, "\n[{section}]");
            for (key, value) in keys {
                self.line(&mut text, key, &format!("{section}.{key}"), value);
            }
        }
        text
    }

    fn line(&self, text: &mut String, key: &str, full: &str, value: &Value) {
        let assignment = match value {
            Value::Null => format!("# {key} is not set"),
            value => format!("{key} = {value}"),
        };
        let origin = match self.origins.get(full) {
            Some(origin) => format!("# {origin}"),
            None if value.is_null() => String::new(),
            None => "# default".to_owned(),
        };
        let line = format!("{assignment:COLUMN$} {origin}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// The same without passwords.
fn shown(config: &Config) -> Config {
    let mut config = config.clone();
    if let Some(proxy) = &mut config.outbound.proxy
        && let Some((scheme, rest)) = proxy.split_once("://")
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        *proxy = format!("{scheme}://***@{host}");
    }
    config
}
