//! The geometry of a table of digests: which bucket holds which digest. `apply.lua` has the same.

use crate::domain::segment::Label;
use crate::store::portable::{Member, Set};
use crate::store::{Digest, StoreError};

/// Entries to a bucket, on average.
const BUCKET: u64 = 16;

/// The buckets of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    buckets: u64,
    /// The largest power of two that is not above the buckets.
    power: u64,
}

impl Geometry {
    /// Of a table with so many entries.
    pub(super) fn of(entries: u64) -> Self {
        let buckets = entries.div_ceil(BUCKET).max(1);
        Self { buckets, power: 1 << buckets.ilog2() }
    }

    /// The bucket of a digest.
    pub(super) fn place(self, digest: Digest) -> u64 {
        let [.., a, b, c, d] = digest.to_bytes();
        let bucket = u64::from(u32::from_be_bytes([a, b, c, d])) % (2 * self.power);
        if bucket < self.buckets { bucket } else { bucket - self.power }
    }

    /// All buckets in the order of the digests in them: that of the bits of their numbers read
    /// from the last to the first.
    pub(super) fn in_order(self) -> impl Iterator<Item = u64> {
        let bits = self.power.ilog2() + 1;
        let bucket = move |position: u64| position.reverse_bits() >> (u64::BITS - bits);
        (0..2 * self.power).map(bucket).filter(move |bucket| *bucket < self.buckets)
    }
}

/// Bytes of an entry of a set.
pub(super) fn width(set: Set) -> usize {
    match set {
        Set::Labels => 8 + Label::BYTES,
        Set::Units | Set::Events(_) => 8,
    }
}

/// Adds an entry to a bucket.
pub(super) fn write(bucket: &mut Vec<u8>, set: Set, member: &Member) {
    bucket.extend(member.digest.to_bytes());
    if set == Set::Labels {
        bucket.extend(member.label.to_bytes());
    }
}

/// Reads a bucket, in the order of the digests.
pub(super) fn read(content: &[u8], set: Set) -> Result<Vec<Member>, StoreError> {
    let member = |entry: &[u8]| {
        let (digest, label) = entry.split_first_chunk()?;
        let label = if label.is_empty() {
            Label::NONE
        } else {
            Label::from(<[u8; Label::BYTES]>::try_from(label).ok()?)
        };
        Some(Member { digest: Digest::from(*digest), label })
    };
    let entries = content.chunks(width(set)).map(member).collect::<Option<Vec<_>>>();
    let mut members = entries
        .filter(|_| content.len().is_multiple_of(width(set)))
        .ok_or_else(|| StoreError::Corrupt("a bucket is no whole number of entries".to_owned()))?;
    members.sort_unstable();
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u64) -> Digest {
        Digest::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
    }

    #[test]
    fn buckets_in_order_hold_digests_in_order() {
        for entries in [0, 1, 16, 17, 33, 48, 49, 64, 100, 1_000, 4_097] {
            let geometry = Geometry::of(entries);
            let mut digests: Vec<Digest> = (0..3_000).map(digest).collect();
            digests.sort_unstable();
            let mut visited: Vec<u64> = digests.iter().map(|one| geometry.place(*one)).collect();
            visited.dedup();
            let buckets: Vec<u64> = geometry.in_order().collect();
            let reached: Vec<u64> =
                buckets.iter().copied().filter(|bucket| visited.contains(bucket)).collect();
            assert_eq!(visited, reached, "{entries}");
            let mut all = buckets;
            all.sort_unstable();
            assert_eq!(all, (0..entries.div_ceil(16).max(1)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_bucket_comes_back_in_order() {
        for set in [Set::Units, Set::Labels] {
            let label = if set == Set::Labels { Label::from([7; 6]) } else { Label::NONE };
            let mut members: Vec<_> =
                (0..20).map(|number| Member { digest: digest(number), label }).collect();
            let mut bucket = Vec::new();
            for member in &members {
                write(&mut bucket, set, member);
            }
            members.sort_unstable();
            assert_eq!(read(&bucket, set).unwrap(), members);
            bucket.pop();
            assert!(read(&bucket, set).is_err());
        }
    }
}
