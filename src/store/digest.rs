//! What a store remembers of a unit or of an event: 64 of its fingerprint's 128 bits, the same 64
//! in every store, so that what one of them remembers can be moved to another.
//!
//! Among `n` units or events that a shard remembers, a new one is taken for a known one with odds
//! of `n / 2^64`. Of 10^9 remembered at once, that happens to one in 18 billion.

use std::cmp::Ordering;

use crate::domain::bucket::Fingerprint;

/// Eight bytes of a fingerprint.
///
/// Digests order by their bits read from the last to the first. In that order the digests of a
/// bucket of a linear hash table stand together, whatever the size of the table, because a bucket
/// is told by the last bits: so a table can be read in order without sorting more than a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 8]);

impl Digest {
    /// The eight bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    fn rank(self) -> u64 {
        u64::from_be_bytes(self.0).reverse_bits()
    }
}

impl From<&Fingerprint> for Digest {
    fn from(fingerprint: &Fingerprint) -> Self {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&fingerprint.as_bytes()[8..]);
        Self(bytes)
    }
}

impl From<[u8; 8]> for Digest {
    fn from(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_a_bucket_stand_together_in_tables_of_any_size() {
        let numbers = (0..5_000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut digests: Vec<Digest> = numbers.map(|number| number.to_be_bytes().into()).collect();
        digests.sort_unstable();
        for bits in 0..12 {
            let bucket = |digest: &Digest| u64::from_be_bytes(digest.0) & ((1 << bits) - 1);
            let mut buckets: Vec<u64> = digests.iter().map(bucket).collect();
            buckets.dedup();
            let runs = buckets.len();
            buckets.sort_unstable();
            buckets.dedup();
            assert_eq!(runs, buckets.len(), "a bucket of {bits} bits is in two places");
        }
    }
}
