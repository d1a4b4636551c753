//! Which key of a file stands in which line.

use toml::de::DeTable;

/// The line of a key of a file, which may be given without its section.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let inside = format!(".{key}");
    let is_it = |name: &str| name == key || name.ends_with(&inside);
    keys_with_lines(text).into_iter().find(|(name, _)| is_it(name)).map(|(_, line)| line)
}

/// The key whose value stands in this line, without its section.
pub fn key_at(text: &str, line: usize) -> Option<String> {
    let before = keys_with_lines(text).into_iter().filter(|(_, at)| *at <= line);
    let (key, _) = before.max_by_key(|(_, at)| *at)?;
    Some(key.rsplit('.').next().unwrap_or_default().to_owned())
}

/// Every key of a file, as `section.key`, and its line.
pub fn keys_with_lines(text: &str) -> Vec<(String, usize)> {
    let line = |at: usize| text.get(..at).unwrap_or("").matches('\n').count() + 1;
    let Ok(document) = DeTable::parse(text) else { return Vec::new() };

    let mut found = Vec::new();
    for (name, value) in document.get_ref() {
        match value.get_ref().as_table() {
            Some(section) => found.extend(section.keys().map(|key| {
                (format!("{}.{}", name.get_ref(), key.get_ref()), line(key.span().start))
            })),
            None => found.push((name.get_ref().to_string(), line(name.span().start))),
        }
    }
    found
}
