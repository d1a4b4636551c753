//! A column of numbers in a checkpoint: one value of bytes. To encode a million numbers one by one
//! takes longer than a request should wait for a roll.
//!
//! Big-endian, one number behind the other. Earlier versions wrote arrays of numbers, which are
//! read as well.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

/// Numbers of an array for which memory is taken before they are there.
const AT_ONCE: usize = 4096;

/// A number of a column.
pub(super) trait ColumnNumber: Copy {
    const BYTES: usize;

    fn write(self, to: &mut [u8]);

    fn read(from: &[u8]) -> Option<Self>;
}

impl ColumnNumber for u32 {
    const BYTES: usize = 4;

    fn write(self, to: &mut [u8]) {
        to.copy_from_slice(&self.to_be_bytes());
    }

    fn read(from: &[u8]) -> Option<Self> {
        from.try_into().ok().map(Self::from_be_bytes)
    }
}

impl ColumnNumber for u64 {
    const BYTES: usize = 8;

    fn write(self, to: &mut [u8]) {
        to.copy_from_slice(&self.to_be_bytes());
    }

    fn read(from: &[u8]) -> Option<Self> {
        from.try_into().ok().map(Self::from_be_bytes)
    }
}

pub(super) fn serialize<N: ColumnNumber, S: Serializer>(
    column: &[N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut bytes = vec![0; column.len() * N::BYTES];
    for (to, number) in bytes.chunks_exact_mut(N::BYTES).zip(column) {
        number.write(to);
    }
    serializer.serialize_bytes(&bytes)
}

pub(super) fn deserialize<'de, N, D>(deserializer: D) -> Result<Vec<N>, D::Error>
where
    N: ColumnNumber + Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(ColumnVisitor(PhantomData))
}

struct ColumnVisitor<N>(PhantomData<N>);

impl<'de, N: ColumnNumber + Deserialize<'de>> Visitor<'de> for ColumnVisitor<N> {
    type Value = Vec<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "numbers of {} bytes, or an array of numbers", N::BYTES)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<N>, E> {
        if !bytes.len().is_multiple_of(N::BYTES) {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(bytes.chunks_exact(N::BYTES).filter_map(N::read).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<N>, A::Error> {
        let mut column = Vec::with_capacity(array.size_hint().unwrap_or(0).min(AT_ONCE));
        while let Some(number) = array.next_element()? {
            column.push(number);
        }
        Ok(column)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct TwoColumns {
        #[serde(with = "super")]
        long: Vec<u64>,
        #[serde(default, with = "super")]
        short: Vec<u32>,
    }

    #[test]
    fn a_column_is_bytes_and_arrays_of_earlier_versions_are_read() {
        let columns = TwoColumns { long: vec![0, 7, u64::MAX], short: vec![u32::MAX, 1] };
        let bytes = rmp_serde::to_vec(&columns).expect("encodes");
        // An array of two, and each column with its length in a byte.
        assert_eq!(bytes.len(), 1 + 2 + 3 * 8 + 2 + 2 * 4);
        assert_eq!(rmp_serde::from_slice::<TwoColumns>(&bytes).expect("decodes"), columns);

        let earlier = rmp_serde::to_vec(&(&columns.long, &columns.short)).expect("encodes");
        assert_eq!(rmp_serde::from_slice::<TwoColumns>(&earlier).expect("decodes"), columns);
        let earliest = rmp_serde::to_vec(&(&columns.long,)).expect("encodes");
        let decoded = rmp_serde::from_slice::<TwoColumns>(&earliest).expect("decodes");
        assert_eq!((decoded.long, decoded.short), (columns.long, Vec::new()));
    }

    #[test]
    fn bytes_that_are_no_whole_numbers_are_refused() {
        let cut = rmp_serde::to_vec(&(serde_bytes_of(&[1; 9]), serde_bytes_of(&[1; 4])));
        assert!(rmp_serde::from_slice::<TwoColumns>(&cut.expect("encodes")).is_err());
        let whole = rmp_serde::to_vec(&(serde_bytes_of(&[1; 8]), serde_bytes_of(&[1; 4])));
        assert!(rmp_serde::from_slice::<TwoColumns>(&whole.expect("encodes")).is_ok());
    }

    fn serde_bytes_of(bytes: &[u8]) -> impl Serialize {
        bytes::Bytes::copy_from_slice(bytes)
    }
}
