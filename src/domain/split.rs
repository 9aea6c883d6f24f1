//! Who gets which variant: bucket ranges that partition 0..10,000.
//!
//! Treatments take consecutive ranges from bucket 0 in the order declared, control takes the
//! rest, so a two-arm test is the classic `bucket < share -> treatment`. A change of weights
//! moves as few buckets as possible and only between a treatment and control: nobody ever
//! changes from one treatment to another. A change that leaves no other way is refused.

use serde::{Deserialize, Serialize};

use crate::domain::bucket::{BUCKETS, Bucket};

/// Buckets `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketRange {
    /// First bucket.
    pub start: u16,
    /// One past the last bucket.
    pub end: u16,
}

impl BucketRange {
    /// How many buckets it holds.
    #[must_use]
    pub fn len(self) -> u16 {
        self.end - self.start
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether it holds the bucket.
    #[must_use]
    pub fn contains(self, bucket: Bucket) -> bool {
        (self.start..self.end).contains(&bucket.get())
    }

    /// Whether the two share a bucket.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A change of weights that would move units from one treatment to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "raise the treatments by more than control has, so that units would change from one \
     treatment to another; lower the shrinking treatments first and raise the others then"
)]
pub struct TooSteep;

/// The partition of all buckets among the variants, by index of the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    control: usize,
    /// Per variant: ascending, disjoint, merged ranges. Together they cover 0..10,000 once.
    ranges: Vec<Vec<BucketRange>>,
}

impl Split {
    /// The first split of an experiment. `weights` are basis points that sum to 10,000 and
    /// `control` is an index into them (checked by [`crate::domain::draft`]).
    #[must_use]
    pub fn initial(weights: &[u16], control: usize) -> Self {
        let mut owners = vec![control; usize::from(BUCKETS)];
        let mut next = 0;
        for (variant, weight) in weights.iter().enumerate() {
            if variant != control {
                let end = (next + usize::from(*weight)).min(owners.len());
                owners[next..end].fill(variant);
                next = end;
            }
        }
        Self::of_owners(&owners, weights.len(), control)
    }

    /// The split after a change of weights over the same or other variants.
    ///
    /// `kept[i]` is the index in `self` of the new variant `i`, if it was there before. A
    /// treatment that shrinks gives its highest buckets to control; one that grows takes the
    /// lowest of those that were control's before; a variant that is gone gives all of its
    /// buckets to control. When the control itself is replaced the partition starts afresh,
    /// because then every comparison changes its baseline.
    ///
    /// # Errors
    /// [`TooSteep`] when the treatments grow by more than control has: somebody would have to
    /// change from one treatment to another.
    pub fn rebalanced(
        &self,
        weights: &[u16],
        control: usize,
        kept: &[Option<usize>],
    ) -> Result<Self, TooSteep> {
        if kept.get(control).copied().flatten() != Some(self.control) {
            return Ok(Self::initial(weights, control));
        }
        let mut owners = vec![control; usize::from(BUCKETS)];
        let mut growth = Vec::new();
        for (variant, wanted) in weights.iter().enumerate().filter(|(arm, _)| *arm != control) {
            let old = kept.get(variant).copied().flatten();
            let held = old.map_or(&[][..], |index| self.ranges(index));
            let buckets = held.iter().flat_map(|range| range.start..range.end);
            let mut stay = 0;
            for bucket in buckets.take(usize::from(*wanted)) {
                owners[usize::from(bucket)] = variant;
                stay += 1;
            }
            growth.push((variant, usize::from(*wanted) - stay));
        }
        let reserve = self.ranges(self.control).iter().flat_map(|range| range.start..range.end);
        let mut reserve = reserve.map(usize::from);
        for (variant, missing) in growth {
            for _ in 0..missing {
                let bucket = reserve.next().ok_or(TooSteep)?;
                owners[bucket] = variant;
            }
        }
        Ok(Self::of_owners(&owners, weights.len(), control))
    }

    fn of_owners(owners: &[usize], variants: usize, control: usize) -> Self {
        let mut ranges = vec![Vec::<BucketRange>::new(); variants];
        for (bucket, owner) in (0..BUCKETS).zip(owners) {
            match ranges[*owner].last_mut() {
                Some(range) if range.end == bucket => range.end += 1,
                _ => ranges[*owner].push(BucketRange { start: bucket, end: bucket + 1 }),
            }
        }
        Self { control, ranges }
    }

    /// Index of the variant that owns the bucket.
    #[must_use]
    pub fn variant_of(&self, bucket: Bucket) -> usize {
        let owns = |ranges: &Vec<BucketRange>| ranges.iter().any(|range| range.contains(bucket));
        // The ranges are a partition, so one of them owns the bucket; control is last to be
        // asked only in the sense that it is also the answer to a split read from a bad record.
        self.ranges.iter().position(owns).unwrap_or(self.control)
    }

    /// Index of the control.
    #[must_use]
    pub fn control(&self) -> usize {
        self.control
    }

    /// The ranges of a variant, ascending and disjoint.
    #[must_use]
    pub fn ranges(&self, variant: usize) -> &[BucketRange] {
        self.ranges.get(variant).map_or(&[], Vec::as_slice)
    }

    /// Buckets per variant: the weights.
    #[must_use]
    pub fn weights(&self) -> Vec<u16> {
        let size = |ranges: &Vec<BucketRange>| ranges.iter().map(|range| range.len()).sum();
        self.ranges.iter().map(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owners(split: &Split) -> Vec<usize> {
        let mut owners = vec![None; usize::from(BUCKETS)];
        for (variant, ranges) in split.ranges.iter().enumerate() {
            for bucket in ranges.iter().flat_map(|range| range.start..range.end) {
                assert_eq!(owners[usize::from(bucket)].replace(variant), None, "owned twice");
            }
        }
        owners.into_iter().map(|owner| owner.expect("owned")).collect()
    }

    #[test]
    fn two_arms_are_the_classic_rule() {
        let split = Split::initial(&[8_000, 2_000], 0);
        assert_eq!(split.ranges(1), [BucketRange { start: 0, end: 2_000 }]);
        assert_eq!(split.ranges(0), [BucketRange { start: 2_000, end: 10_000 }]);
    }

    #[test]
    fn a_ramp_keeps_its_members_and_a_removed_arm_returns_to_control() {
        let first = Split::initial(&[8_000, 1_000, 1_000], 0);
        let all = [Some(0), Some(1), Some(2)];
        let second = first.rebalanced(&[6_000, 2_000, 2_000], 0, &all).unwrap();
        assert_eq!(
            second.ranges(1),
            [BucketRange { start: 0, end: 1_000 }, BucketRange { start: 2_000, end: 3_000 }]
        );
        let third = second.rebalanced(&[8_000, 2_000], 0, &[Some(0), Some(2)]).unwrap();
        assert_eq!(third.ranges(1), second.ranges(2));
    }

    fn weights(arms: usize) -> impl Strategy<Value = Vec<u16>> {
        proptest::collection::vec(0_u16..=BUCKETS, arms - 1).prop_map(|mut cuts| {
            cuts.sort_unstable();
            cuts.insert(0, 0);
            cuts.push(BUCKETS);
            cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
        })
    }

    proptest! {
        #[test]
        fn ramps_never_move_anybody_between_treatments(
            steps in (2_usize..6).prop_flat_map(|arms| {
                (0..arms, proptest::collection::vec(weights(arms), 1..6))
            })
        ) {
            let (control, steps) = steps;
            let arms = steps[0].len();
            let same: Vec<_> = (0..arms).map(Some).collect();
            let mut split = Split::initial(&steps[0], control);
            for next in &steps[1..] {
                let before = owners(&split);
                let growth: u32 = (0..arms)
                    .filter(|arm| *arm != control)
                    .map(|arm| u32::from(next[arm].saturating_sub(split.weights()[arm])))
                    .sum();
                let changed = split.rebalanced(next, control, &same);
                prop_assert_eq!(changed.is_err(), growth > u32::from(split.weights()[control]));
                let Ok(after_split) = changed else { continue };
                let after = owners(&after_split);
                prop_assert_eq!(&after_split.weights(), next);
                let mut moved = 0;
                for (old, new) in before.iter().zip(&after).filter(|(old, new)| old != new) {
                    prop_assert!(*old == control || *new == control);
                    moved += 1;
                }
                let needed: usize = (0..arms)
                    .filter(|arm| *arm != control)
                    .map(|arm| usize::from(split.weights()[arm].abs_diff(next[arm])))
                    .sum();
                prop_assert_eq!(moved, needed);
                split = after_split;
            }
        }
    }
}
