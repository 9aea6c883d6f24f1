//! The distribution of the outcomes of an arm as ascending steps, from bins or from the outcomes themselves.
//!
//! Within a bin the outcomes count as spread evenly in the logarithm, the `i`-th of `c` at `(i - ½)/c` of the way, so a
//! quantile is off by at most the width of a bin and a lone outcome sits in its middle.

use std::sync::LazyLock;

use crate::stats::Undefined;
use crate::stats::dd::Dd;
use crate::stats::sketch::{BINS, Bin};

/// Blocks of units for which bins are counted.
pub const BLOCKS: usize = 64;

/// A bin with its number of outcomes per block.
pub type BlockCounts = (Bin, [i64; BLOCKS]);

/// A stretch of values and the ranks of its outcomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    lower: f64,
    /// Largest value; two steps of different arms with the same end are the same stretch.
    pub(super) upper: f64,
    /// Outcomes below the stretch.
    pub(super) below: f64,
    /// Outcomes up to its end.
    pub(super) up_to: f64,
}

/// Outcomes of one arm, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    steps: Vec<Step>,
    count: f64,
}

impl Distribution {
    /// From the bins of an arm, in ascending order.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] for bins out of order, [`Undefined::InvalidSums`] for a negative count,
    /// [`Undefined::NotEnoughData`] without outcomes.
    pub fn from_bins<C: AsRef<[i64]>>(bins: &[(Bin, C)]) -> Result<Self, Undefined> {
        if !bins.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Undefined::OutsideDomain);
        }
        let mut valid = true;
        let stretch = |(bin, counts): &(Bin, C)| {
            let count = total(counts.as_ref());
            valid &= count.is_some();
            let (lower, upper) = ends(*bin);
            (lower, upper, Dd::from_i64(count.unwrap_or_default()))
        };
        let distribution = Self::from_stretches(bins.len(), bins.iter().map(stretch));
        if valid { distribution } else { Err(Undefined::InvalidSums) }
    }

    /// From the outcomes of an arm, in ascending order.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] for outcomes out of order or not finite, [`Undefined::NotEnoughData`] without outcomes.
    pub fn from_sorted(outcomes: &[f64]) -> Result<Self, Undefined> {
        if !outcomes.is_sorted() || !outcomes.iter().all(|outcome| outcome.is_finite()) {
            return Err(Undefined::OutsideDomain);
        }
        let equal = |a: &f64, b: &f64| a.partial_cmp(b) == Some(std::cmp::Ordering::Equal);
        let stretch = |ties: &[f64]| {
            let value = ties.first().copied().unwrap_or_default();
            (value, value, ties.iter().map(|_| Dd::ONE).sum())
        };
        Self::from_stretches(outcomes.len(), outcomes.chunk_by(equal).map(stretch))
    }

    fn from_stretches(
        at_most: usize,
        stretches: impl Iterator<Item = (f64, f64, Dd)>,
    ) -> Result<Self, Undefined> {
        let mut total = Dd::ZERO;
        let mut steps = Vec::with_capacity(at_most);
        for (lower, upper, count) in stretches.filter(|(_, _, count)| !count.is_zero()) {
            let below = total.to_f64();
            total += count;
            steps.push(Step { lower, upper, below, up_to: total.to_f64() });
        }
        if steps.is_empty() {
            return Err(Undefined::NotEnoughData);
        }
        Ok(Self { steps, count: total.to_f64() })
    }

    /// Number of outcomes, positive.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.count
    }

    /// The outcome of rank `⌈nν⌉` for an order `nu` in `(0, 1)`; at the ends the smallest and the largest.
    ///
    /// `ν` stands for the decimal it was written as: 5,000 · 0.9 is 4,500 and not a little more.
    #[must_use]
    pub fn quantile(&self, nu: f64) -> f64 {
        let rank = self.count * nu;
        let whole = rank.round();
        let is_whole = (rank - whole).abs() <= 2.0 * f64::EPSILON * rank;
        self.at_rank(if is_whole { whole } else { rank.ceil() })
    }

    /// The outcome of a one-based rank; the nearest one for ranks outside.
    #[must_use]
    pub fn at_rank(&self, rank: f64) -> f64 {
        let rank = rank.clamp(1.0, self.count);
        let index = self.steps.partition_point(|step| step.up_to < rank);
        let Some(step) = self.steps.get(index).or(self.steps.last()) else { return 0.0 };
        if step.lower >= step.upper || step.lower <= 0.0 {
            return step.upper;
        }
        let share = (rank - step.below - 0.5) / (step.up_to - step.below);
        step.lower * (step.upper / step.lower).powf(share)
    }

    /// The end of the step up to which the share of outcomes is nearest to `nu`.
    pub(super) fn nearest_end(&self, nu: f64) -> f64 {
        let distance = |step: &&Step| (step.up_to - nu * self.count).abs();
        // Counts ascend, so it is the last one below or the first one beyond.
        let beyond = self.steps.partition_point(|step| step.up_to < nu * self.count);
        let both = self.steps.iter().skip(beyond.saturating_sub(1)).take(2);
        let nearest = both.min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.map_or(0.0, |step| step.upper)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// Both ends of a bin. What is too small for a bin of its own is zero to the sketch.
///
/// An end costs an exponential and a look asks for a hundred thousand, so they are kept.
fn ends(bin: Bin) -> (f64, f64) {
    static ENDS: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| {
        let upper = |bin: Bin| if bin.index() == 0 { 0.0 } else { bin.upper() };
        (0..BINS).filter_map(Bin::from_index).map(|bin| (bin.lower(), upper(bin))).collect()
    });
    ENDS.get(usize::from(bin.index())).copied().unwrap_or_default()
}

/// The largest value of a bin.
pub(super) fn end(bin: Bin) -> f64 {
    ends(bin).1
}

/// Of all blocks; `None` if one is negative.
fn total(counts: &[i64]) -> Option<i64> {
    // Both without a branch, so that several are done at a time.
    let (bits, sum) = counts
        .iter()
        .fold((0, 0_i64), |(bits, sum), count| (bits | count, sum.wrapping_add(*count)));
    match bits {
        ..0 => None,
        // 64 counts below 2^56 do not wrap.
        0..FEW if counts.len() <= BLOCKS => Some(sum),
        _ => Some(counts.iter().fold(0, |sum, count| sum.saturating_add(*count))),
    }
}

const FEW: i64 = 1 << 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_outcomes_are_the_outcomes() {
        let distribution = Distribution::from_sorted(&[-1.0, 0.0, 0.0, 2.0, 5.0]).unwrap();
        let ranks = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let values = ranks.map(|rank| distribution.at_rank(rank).to_bits());
        assert_eq!(values, [-1.0, -1.0, 0.0, 0.0, 2.0, 5.0, 5.0].map(f64::to_bits));
        assert_eq!(distribution.quantile(0.6).to_bits(), 0.0_f64.to_bits());
        assert_eq!(distribution.quantile(0.61).to_bits(), 2.0_f64.to_bits());
    }

    #[test]
    fn nine_tenths_of_five_thousand_is_whole() {
        let outcomes: Vec<f64> = (1..=5_000).map(f64::from).collect();
        let distribution = Distribution::from_sorted(&outcomes).unwrap();
        assert_eq!(distribution.quantile(0.9).to_bits(), 4_500.0_f64.to_bits());
    }

    #[test]
    fn zero_is_its_own_bin_and_a_lone_outcome_is_in_the_middle() {
        let mut lone = [0; BLOCKS];
        lone[3] = 1;
        let bin = Bin::of(3.0);
        let distribution = Distribution::from_bins(&[(Bin::of(0.0), lone), (bin, lone)]).unwrap();
        assert_eq!(distribution.at_rank(1.0).to_bits(), 0.0_f64.to_bits());
        let middle = (bin.lower() * bin.upper()).sqrt();
        assert!((distribution.at_rank(2.0) / middle - 1.0).abs() < 1e-14);
    }

    #[test]
    fn bad_bins_are_refused() {
        let none = [0; BLOCKS];
        let mut negative = none;
        negative[0] = -1;
        let (low, high) = (Bin::of(1.0), Bin::of(2.0));
        assert_eq!(Distribution::from_bins::<[i64; BLOCKS]>(&[]), Err(Undefined::NotEnoughData));
        assert_eq!(Distribution::from_bins(&[(low, none)]), Err(Undefined::NotEnoughData));
        assert_eq!(Distribution::from_bins(&[(low, negative)]), Err(Undefined::InvalidSums));
        assert_eq!(
            Distribution::from_bins(&[(high, none), (low, none)]),
            Err(Undefined::OutsideDomain)
        );
        assert_eq!(Distribution::from_sorted(&[2.0, 1.0]), Err(Undefined::OutsideDomain));
        assert_eq!(Distribution::from_sorted(&[f64::NAN]), Err(Undefined::OutsideDomain));
    }
}
