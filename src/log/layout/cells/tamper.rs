//! What tests do to a segment of this format.

use super::names::TreeName;
use super::store::CellStore;
use super::value::{self, CHECKPOINT, CommitHeads, PayloadPart};
use crate::log::database::Database;
use crate::log::error::LogError;
use crate::log::layout::interface::Tampering;

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

        Tampering::Checkpoint(bytes) => {
            let tree = database.tree(&TreeName::Checkpoint { number: 0 }.to_bytes())?;
            let part = PayloadPart { of: CHECKPOINT, number: 0, bytes };
            database.insert(&tree, 0, &part.to_value())
        }
    }
}
