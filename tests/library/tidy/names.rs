//! One name, one type.

use std::collections::BTreeMap;

use super::rust::types;
use super::{all_sources, report};

#[test]
fn a_type_name_is_defined_once() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in all_sources().iter().filter(|source| source.name.starts_with("src/")) {
        for (name, line) in types(&source.code) {
            defined.entry(name).or_default().push(format!("{}:{}", source.name, line + 1));
        }
    }

    let twice = defined.into_iter().filter(|(_, places)| places.len() > 1);
    report(
        "A type name is defined once in the whole crate, in tests as well: one word for one \
         concept. Say what it is (`SourceRow`, not `Row`).",
        twice.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect(),
    );
}
