//! Notes: bytes that a store keeps for its caller, and their form in every store.

use std::collections::BTreeMap;

use crate::store::StoreError;

/// Bytes and the stamp that decides which of two notes of one slot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The higher one stays; of equal ones the first.
    pub stamp: u64,
    /// The caller's.
    pub bytes: Vec<u8>,
}

/// The notes of a shard by slot.
pub type Notes = BTreeMap<u32, Note>;

impl Note {
    /// The stamp, big-endian so that stamps order as their bytes do, and then the bytes.
    pub(super) fn to_stored(&self) -> Vec<u8> {
        [self.stamp.to_be_bytes().as_slice(), &self.bytes].concat()
    }

    pub(super) fn from_stored(stored: &[u8]) -> Result<Self, StoreError> {
        let (stamp, bytes) = stored
            .split_first_chunk()
            .ok_or_else(|| StoreError::Corrupt("a note is shorter than its stamp".to_owned()))?;
        Ok(Self { stamp: u64::from_be_bytes(*stamp), bytes: bytes.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back() {
        for bytes in [vec![], vec![0, 255, 7]] {
            let note = Note { stamp: u64::MAX - 1, bytes };
            assert_eq!(Note::from_stored(&note.to_stored()).unwrap(), note);
        }
        assert!(Note::from_stored(&[1; 7]).is_err());
    }
}
