//! What tests do to a segment of this format.

use super::leaf::CELLS;
use super::names::TreeName;
use super::store::CellStore;
use super::value::{self, CHECKPOINT, CellPlace, CommitHeads, PayloadPart};
use crate::log::database::Database;
use crate::log::error::LogError;
use crate::log::layout::interface::Tampering;
use crate::model::Seq;

pub(super) fn tamper(
    store: &CellStore,
    database: &Database,
    with: &Tampering,
) -> Result<(), LogError> {
    match with {
        Tampering::Frame { first, bytes } => {
            let found = store.at_or_before(*first)?;
            let same = found.filter(|found| value::begins(&found.value) == Some(*first));
            match same {
                Some(found) => store.replace(found.place, &value::frame(bytes)),
                None => store.put(*first, &value::frame(bytes)).map(drop),
            }
        }

        Tampering::LoseMiddle { first } => {
            let found = store.at_or_before(*first)?.expect("a commit");
            let (heads, _) = CommitHeads::read(&found.value).expect("heads");
            store.replace(heads.frames[0].place, &[])
        }

        Tampering::Remains { first, parts } => (0..u32::from(*parts)).try_for_each(|number| {
            let part = PayloadPart { of: *first, number, bytes: &[2; 10] };
            store.put(*first, &part.to_value()).map(drop)
        }),

        Tampering::CutFrom { first } => {
            for (place, value) in commits_from(store, *first)? {
                store.replace(place, &value)?;
            }
            Ok(())
        }

        Tampering::Beginning { first, change } => {
            let found = store.at_or_before(*first)?.expect("a commit");
            let mut value = found.value.to_vec();
            change(&mut value);
            store.replace(found.place, &value)
        }

        Tampering::Checkpoint(bytes) => {
            let tree = database.tree(&TreeName::Checkpoint { number: 0 }.to_bytes())?;
            let part = PayloadPart { of: CHECKPOINT, number: 0, bytes };
            database.insert(&tree, 0, &part.to_value())
        }

        Tampering::Ahead { part, change } => {
            // Each part is so large that it has a leaf to itself.
            let tree = database.tree(&TreeName::Ahead { number: 0 }.to_bytes())?;
            let cell = part * CELLS;
            let mut value = database.entries(&tree, cell..=cell)?.remove(0).1.to_vec();
            match change {
                Some(change) => change(&mut value),
                None => value.clear(),
            }
            database.insert(&tree, cell, &value)
        }

        Tampering::NoTreesAhead => {
            database.tree(&TreeName::Ahead { number: u16::MAX }.to_bytes()).map(drop)
        }
    }
}

/// The commits that hold a record from this one on, and what is to be left of each.
fn commits_from(store: &CellStore, from: Seq) -> Result<Vec<(CellPlace, Vec<u8>)>, LogError> {
    let mut changed = Vec::new();
    let mut next = store.behind(None)?;
    while let Some(found) = next {
        if value::begins(&found.value) >= Some(from) {
            changed.push((found.place, Vec::new()));
        } else if let Ok((mut heads, _)) = CommitHeads::read(&found.value) {
            let count = heads.frames.len();
            heads.frames.retain(|placed| placed.head.first < from);
            if heads.frames.len() < count {
                changed.push((found.place, heads.to_value()));
            }
        }
        next = store.behind(Some(found.place))?;
    }
    Ok(changed)
}
