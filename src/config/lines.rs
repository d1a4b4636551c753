//! Which key of a file stands in which line.

use serde_json::Value;
use toml::de::DeTable;

/// The line of a key of a file, which may be given without its section.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let inside = format!(".{key}");
    let is_it = |name: &str| name == key || name.ends_with(&inside);
    keys_with_lines(text).into_iter().find(|(name, _)| is_it(name)).map(|(_, line)| line)
}

/// The key whose value stands in this line: without its section where there is only one of that
/// name among `all`.
pub fn key_at(text: &str, line: usize, all: &Value) -> Option<String> {
    let before = keys_with_lines(text).into_iter().filter(|(_, at)| *at <= line);
    let (key, _) = before.max_by_key(|(_, at)| *at)?;
    let name = key.rsplit('.').next().unwrap_or_default();
    let sections = all.as_object().into_iter().flatten();
    let inside = sections.filter(|(_, section)| section.get(name).is_some()).count();
    let is_one = inside + usize::from(all.get(name).is_some()) <= 1;
    Some(if is_one { name.to_owned() } else { key })
}

/// The section that is written as one of several, `[[log]]`, and is not.
pub fn doubled(text: &str, all: &Value) -> Option<(String, usize)> {
    let document = DeTable::parse(text).ok()?;
    let found = document.get_ref().iter().find(|(name, value)| {
        let is_section = all.get(name.get_ref().as_ref()).is_some_and(Value::is_object);
        let list = value.get_ref().as_array();
        is_section && list.is_some_and(|list| list.iter().all(|one| one.get_ref().is_table()))
    });
    let (name, _) = found?;
    let line = text.get(..name.span().start).unwrap_or("").matches('\n').count() + 1;
    Some((name.get_ref().to_string(), line))
}

/// Every key of a file, as `section.key`, and its line.
pub fn keys_with_lines(text: &str) -> Vec<(String, usize)> {
    let Ok(document) = DeTable::parse(text) else { return Vec::new() };
    let mut found = Vec::new();
    keys_of(text, "", document.get_ref(), &mut found);
    found
}

fn keys_of(text: &str, before: &str, table: &DeTable<'_>, found: &mut Vec<(String, usize)>) {
    let line = |at: usize| text.get(..at).unwrap_or("").matches('\n').count() + 1;
    for (key, value) in table {
        let name = format!("{before}{}", key.get_ref());
        // A section, or one of which there are several.
        let several = value.get_ref().as_array().into_iter().flat_map(|list| list.iter());
        let inside =
            std::iter::once(value).chain(several).filter_map(|one| one.get_ref().as_table());
        let inside: Vec<&DeTable<'_>> = inside.collect();
        if inside.is_empty() {
            found.push((name.clone(), line(key.span().start)));
        }
        for section in inside {
            keys_of(text, &format!("{name}."), section, found);
        }
    }
}
