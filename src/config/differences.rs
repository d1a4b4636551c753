//! What differs between two configurations.

use serde_json::Value;

use super::Config;

/// The keys that have other values, written as `section.key`.
#[must_use]
pub fn differing_keys(one: &Config, other: &Config) -> Vec<String> {
    let values = |config: &Config| match serde_json::to_value(config) {
        Ok(Value::Object(all)) => all,
        _ => serde_json::Map::new(),
    };
    let (one, other) = (values(one), values(other));

    let mut keys = Vec::new();
    for (name, value) in &one {
        match (value, other.get(name)) {
            (Value::Object(members), Some(Value::Object(others))) => {
                let differs = |(key, value): &(&String, &Value)| others.get(*key) != Some(*value);
                let differing = members.iter().filter(differs);
                keys.extend(differing.map(|(key, _)| format!("{name}.{key}")));
            }
            (value, there) if there == Some(value) => {}
            _ => keys.push(name.clone()),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::differing_keys;
    use crate::config::{Bytes, Config};

    #[test]
    fn keys_are_named_with_their_sections() {
        let one = Config::default();
        let mut other = one.clone();
        assert_eq!(differing_keys(&one, &other), Vec::<String>::new());
        other.listen.push("127.0.0.1:1".to_owned());
        other.log.quota = Some(Bytes(1 << 30));
        other.limits.connections += 1;
        assert_eq!(differing_keys(&one, &other), ["listen", "log.quota", "limits.connections"]);
    }
}
