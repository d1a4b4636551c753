//! Who of those that are there gets which name of a set.

use std::collections::BTreeMap;

use crate::api::apply::Entry;

/// For each name of a set the place, in the list of those that are there, of whoever gets it.
/// Names that are not in it belong to new ones.
pub type NameOrigins = BTreeMap<String, usize>;

/// Finds out who is renamed. An entry whose name is there already was renamed before, and its
/// `previous_name` says nothing any more.
///
/// # Errors
/// When it is not clear who is meant.
pub fn resolve<S>(
    noun: &str,
    there: &[&str],
    wanted: &BTreeMap<String, Entry<S>>,
) -> Result<NameOrigins, String> {
    let previous = |name: &str| wanted.get(name)?.previous_name.as_deref().filter(|p| *p != name);
    if let Some(name) = wanted.keys().find(|name| goes_round(name, &previous)) {
        return Err(format!(
            "{noun}.{name}: names cannot be exchanged in one step: the values of 'previous_name' \
             form a circle"
        ));
    }

    let place = |name: &str| there.iter().position(|other| *other == name);
    let mut owners: BTreeMap<usize, &str> = BTreeMap::new();
    let mut origins = NameOrigins::new();
    // Whoever gives its name away leaves it to the next one, so it is looked at again.
    loop {
        let mut is_done = true;
        for name in wanted.keys().map(String::as_str) {
            let free = |at: &usize| owners.get(at).is_none_or(|owner| *owner == name);
            if origins.contains_key(name) || place(name).filter(free).is_some() {
                continue;
            }
            let Some(at) = previous(name).and_then(place).filter(|at| !owners.contains_key(at))
            else {
                continue;
            };
            owners.insert(at, name);
            origins.insert(name.to_owned(), at);
            is_done = false;
        }
        if is_done {
            break;
        }
    }

    for name in wanted.keys().map(String::as_str) {
        let was = previous(name);
        let other = was.and_then(place).and_then(|at| owners.get(&at)).filter(|o| **o != name);
        if let (Some(was), Some(other)) = (was, other) {
            return Err(format!(
                "{noun}.{name}: {noun}.{other} has the 'previous_name' '{was}', too: only one can \
                 have it"
            ));
        }

        if origins.contains_key(name) {
            continue;
        }
        let Some(at) = place(name).filter(|at| !owners.contains_key(at)) else { continue };
        if let Some(was) = was.filter(|was| !wanted.contains_key(*was) && place(was).is_some()) {
            return Err(format!(
                "{noun}.{name}: there are both '{was}' and '{name}': delete one of them, or leave \
                 out 'previous_name'"
            ));
        }
        origins.insert(name.to_owned(), at);
    }
    Ok(origins)
}

/// Whether a name is its own previous one, over one or several others.
fn goes_round<'a>(name: &'a str, previous: &dyn Fn(&str) -> Option<&'a str>) -> bool {
    let mut seen = vec![name];
    let mut at = name;
    while let Some(before) = previous(at) {
        if before == name {
            return true;
        }
        // A circle that it does not belong to is found from one of its own.
        if seen.contains(&before) {
            return false;
        }
        seen.push(before);
        at = before;
    }
    false
}
