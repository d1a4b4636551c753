//! Where a key stands in the file of a bridge, which may have several routes.

use toml::de::{DeTable, DeValue};

/// The line of a key: within one of several `[[out]]` or `[[in]]`, counted from 0, or outside of
/// all of them. A key that is not there has the line where its route begins.
pub fn line_of(text: &str, route: Option<(&str, usize)>, key: &str) -> Option<usize> {
    let line = |at: usize| text.get(..at).unwrap_or("").matches('\n').count() + 1;
    let document = DeTable::parse(text).ok()?;
    let Some((section, index)) = route else {
        return key_in(document.get_ref(), key).map(line);
    };

    let routes = document.get_ref().get(section)?.get_ref().as_array()?;
    let route = routes.get(index)?;
    let found = route.get_ref().as_table().and_then(|route| key_in(route, key));
    Some(line(found.unwrap_or(route.span().start)))
}

/// Where a key begins, in this table or in one that is inside.
fn key_in(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let own = table.keys().find(|name| name.get_ref() == key).map(|name| name.span().start);
    let inside = |value: &DeValue<'_>| value.as_table().and_then(|table| key_in(table, key));
    own.or_else(|| table.values().find_map(|value| inside(value.get_ref())))
}
