//! One name, one type; and in what reads through to another value, one name, one member.

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{members, types};
use super::{all_sources, report, sources};

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

#[test]
fn the_halves_of_an_endpoint_have_no_name_in_common() {
    let of = |owner: &str| -> BTreeSet<String> {
        sources().iter().flat_map(|source| members(&source.code, owner)).collect()
    };
    let (whole, remembered) = (of("EndpointQueue"), of("EndpointState"));
    assert!(
        whole.contains("low_for_record") && remembered.contains("low"),
        "the reader of members"
    );

    let both = whole.intersection(&remembered).filter(|name| *name != "new");
    report(
        "EndpointQueue reads through to what is remembered of the endpoint (EndpointState): a name \
         that both have says the one thing and does the other. Say in it what it is about.",
        both.cloned().collect(),
    );
}
