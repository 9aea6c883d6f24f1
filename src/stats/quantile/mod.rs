//! Quantiles of an arm: estimate, interval and standard error, and the always-valid test of two arms.
//!
//! The quantile of order `ν` is the outcome of rank `⌈nν⌉`. Its interval is Woodruff's: the outcomes of ranks
//!
//! `⌊nν - z s⌋` and `⌈nν + z s⌉`, `s = √(nν(1-ν) · deff)`,
//!
//! which needs no density; a standard error is read off it as `(U - L)/2z` (R. S. Woodruff, JASA 47 (1952); C. E. Särndal,
//! B. Swensson, J. Wretman, Model Assisted Survey Sampling (1992), 5.11; for experiments, Yao, Li and Lu).
//! With it a quantile is an [`ArmEstimate`] like any other: [`welch_estimates`](super::mean_test::welch_estimates) tests a
//! difference, [`Lift`](super::lift::Lift) a ratio, [`Look`](super::sequential::Look) looks at it sequentially and a
//! [`Guardrail`](super::non_inferiority::Guardrail) bounds it.
//!
//! **The design effect.** Outcomes of one unit resemble each other, and a test that does not know calls 25 % of A/A tests.
//! The bins are therefore kept by blocks of units, and `deff` is the variance over blocks of the share of outcomes above
//! the quantile, relative to the binomial one. It is estimated from 64 blocks, so `z` becomes Student's `t` with 63 degrees
//! of freedom.
//!
//! [`always_valid`] holds the exact sequential test.

pub mod always_valid;
mod distribution;

pub use self::distribution::{BLOCKS, BlockCounts, Distribution};

use super::dd::Dd;
use super::distribution::{normal_isf, student_isf};
use super::mean_test::ArmEstimate;
use super::rows::{Row, WholeRows, ratio};
use super::sketch::Bin;
use super::{Interval, Undefined};

/// How dependent the outcomes of an arm are, as far as a quantile is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DesignEffect {
    /// Variance of the share above the quantile relative to independent outcomes, positive.
    pub factor: f64,
    /// Degrees of freedom it is estimated with; infinite where it is known.
    pub degrees_of_freedom: f64,
}

impl DesignEffect {
    /// Of independent outcomes.
    pub const NONE: Self = Self { factor: 1.0, degrees_of_freedom: f64::INFINITY };
}

/// A quantile of one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileEstimate {
    /// The outcome of rank `⌈nν⌉`.
    pub value: f64,
    /// Woodruff's interval.
    pub interval: Interval,
    /// Ranks of its ends, one-based.
    pub ranks: (f64, f64),
    /// `(U - L)/2z`.
    pub standard_error: f64,
    /// The design effect used.
    pub design_effect: DesignEffect,
}

impl QuantileEstimate {
    /// Of a distribution, at order `0 < nu < 1` and confidence `0 < level < 1`.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] for an order or level outside, [`Undefined::NotEnoughData`] where a rank of the interval
    /// lies beyond the smallest or largest outcome: no distribution-free interval exists then (for P99 and independent
    /// outcomes, below about 400).
    pub fn new(
        distribution: &Distribution,
        nu: f64,
        level: f64,
        design_effect: DesignEffect,
    ) -> Result<Self, Undefined> {
        let critical = critical_value(level, design_effect.degrees_of_freedom);
        Self::with_critical(distribution, nu, level, design_effect, critical)
    }

    fn with_critical(
        distribution: &Distribution,
        nu: f64,
        level: f64,
        design_effect: DesignEffect,
        critical: f64,
    ) -> Result<Self, Undefined> {
        if !(0.0 < nu && nu < 1.0 && 0.0 < level && level < 1.0) {
            return Err(Undefined::OutsideDomain);
        }
        let count = distribution.count();
        let spread = critical * (count * nu * (1.0 - nu) * design_effect.factor).sqrt();
        let ranks = ((count * nu - spread).floor(), (count * nu + spread).ceil());
        if !(ranks.0 >= 1.0 && ranks.1 <= count) {
            return Err(Undefined::NotEnoughData);
        }
        let interval =
            Interval { lower: distribution.at_rank(ranks.0), upper: distribution.at_rank(ranks.1) };
        Ok(Self {
            value: distribution.quantile(nu),
            interval,
            ranks,
            standard_error: (interval.upper - interval.lower) / (2.0 * critical),
            design_effect,
        })
    }

    /// Of the bins of an arm, with the design effect of its blocks.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), [`Distribution::from_bins`] and [`block_design_effect`].
    pub fn from_bins<C: AsRef<[i64]>>(
        bins: &[(Bin, C)],
        nu: f64,
        level: f64,
    ) -> Result<Self, Undefined> {
        let distribution = Distribution::from_bins(bins)?;
        Self::new(&distribution, nu, level, block_design_effect(bins, &distribution, nu)?)
    }

    /// As [`from_bins`](Self::from_bins) for several orders of one arm: `distribution` is the one of
    /// `bins`, which are read once.
    #[must_use]
    pub fn of_arm<C: AsRef<[i64]>>(
        bins: &[(Bin, C)],
        distribution: &Distribution,
        orders: &[f64],
        level: f64,
    ) -> Vec<Result<Self, Undefined>> {
        let mut known = (f64::NAN, f64::NAN);
        let design_effects = block_design_effects(bins, distribution, orders);
        let estimate = |(nu, design_effect): (&f64, Result<DesignEffect, Undefined>)| {
            let design_effect = design_effect?;
            let df = design_effect.degrees_of_freedom;
            // As a rule the orders of an arm have the same blocks.
            if known.0.to_bits() != df.to_bits() {
                known = (df, critical_value(level, df));
            }
            Self::with_critical(distribution, *nu, level, design_effect, known.1)
        };
        orders.iter().zip(design_effects).map(estimate).collect()
    }

    /// The quantile as an estimate for the tests of this room. Where the design effect is known, the degrees of freedom are
    /// 1e18, which Student's distribution does not tell from infinitely many.
    #[must_use]
    pub fn arm(&self) -> ArmEstimate {
        ArmEstimate {
            value: Dd::from(self.value),
            standard_error: self.standard_error,
            degrees_of_freedom: self.design_effect.degrees_of_freedom.min(1e18),
        }
    }
}

fn critical_value(level: f64, df: f64) -> f64 {
    let tail = 0.5 * (1.0 - level);
    if df.is_finite() { student_isf(tail, df) } else { normal_isf(tail) }
}

/// The design effect of the share of outcomes above the quantile of order `nu`, over blocks of units.
///
/// The share is a ratio of sums over blocks, `Σ above/Σ all`, with the standard error of [`ratio`]; independent outcomes
/// would give `√(p(1-p)/n)`. The threshold is the end of the bin at which `p` is nearest to `1 - ν`. Blocks without
/// outcomes are left out. If the share is 0 or 1 (all outcomes in one bin), nothing can be measured and the design effect
/// is taken to be 1. `distribution` is the one of `bins`.
///
/// # Errors
///
/// [`Undefined::NotEnoughData`] for outcomes in fewer than two blocks.
pub fn block_design_effect<C: AsRef<[i64]>>(
    bins: &[(Bin, C)],
    distribution: &Distribution,
    nu: f64,
) -> Result<DesignEffect, Undefined> {
    let one = block_design_effects(bins, distribution, &[nu]).pop();
    one.unwrap_or(Err(Undefined::NotEnoughData))
}

/// The same for several orders; all bins are read once.
fn block_design_effects<C: AsRef<[i64]>>(
    bins: &[(Bin, C)],
    distribution: &Distribution,
    orders: &[f64],
) -> Vec<Result<DesignEffect, Undefined>> {
    let thresholds: Vec<f64> = orders.iter().map(|nu| distribution.nearest_end(*nu)).collect();
    let mut ascending = thresholds.clone();
    ascending.sort_by(f64::total_cmp);
    // Outcomes above so many of the thresholds.
    let mut above = vec![[0_i64; BLOCKS]; orders.len() + 1];
    let mut passed = 0;
    for (bin, counts) in bins {
        let end = distribution::end(*bin);
        while ascending.get(passed).is_some_and(|threshold| end > *threshold) {
            passed += 1;
        }
        if let Some(above) = above.get_mut(passed) {
            add(above, counts.as_ref());
        }
    }
    // Outcomes above at least so many.
    let mut higher = [0; BLOCKS];
    for above in above.iter_mut().rev() {
        add(above, &higher);
        higher = *above;
    }
    let effect = |threshold: &f64| {
        let rank = ascending.partition_point(|other| other <= threshold);
        let above = above.get(rank).ok_or(Undefined::NotEnoughData)?;
        design_effect(&higher, above, distribution.count())
    };
    thresholds.iter().map(effect).collect()
}

/// Of the numbers of outcomes by block, all of them and those above.
fn design_effect(
    all: &[i64; BLOCKS],
    above: &[i64; BLOCKS],
    count: f64,
) -> Result<DesignEffect, Undefined> {
    let pairs = std::iter::zip(all, above).filter(|(all, _)| **all > 0);
    let pairs: Vec<(i64, i64)> = pairs.map(|(all, above)| (*all, *above)).collect();
    let wide = |(all, above): &(i64, i64)| Row {
        denominator: Dd::from_i64(*all),
        numerator: Dd::from_i64(*above),
    };
    let share = match WholeRows::new(pairs.clone(), (1, 1)) {
        Some(rows) => rows.ratio()?,
        None => ratio(&pairs.iter().map(wide).collect::<Vec<_>>())?,
    };
    let p = share.value.to_f64();
    let independent = p * (1.0 - p) / count;
    let factor = share.standard_error.powi(2) / independent;
    let measured = independent > 0.0 && factor > 0.0 && factor.is_finite();
    Ok(DesignEffect {
        factor: if measured { factor } else { 1.0 },
        degrees_of_freedom: share.degrees_of_freedom,
    })
}

fn add(totals: &mut [i64; BLOCKS], counts: &[i64]) {
    for (total, count) in totals.iter_mut().zip(counts) {
        // Wrapping, so that it is done several at a time; counts of outcomes stay far below 2^63.
        *total = total.wrapping_add(*count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `copies` outcomes of each of `values`, each value's copies in one block.
    fn bins(values: &[f64], copies: i64) -> Vec<BlockCounts> {
        let mut counts = std::collections::BTreeMap::new();
        for (i, &value) in values.iter().enumerate() {
            counts.entry(Bin::of(value)).or_insert([0; BLOCKS])[i * 37 % BLOCKS] += copies;
        }
        counts.into_iter().collect()
    }

    fn values() -> Vec<f64> {
        (1..=4_000).map(|k| 1.0 + f64::from(k * 1_237 % 4_001) / 400.0).collect()
    }

    #[test]
    fn bins_and_values_agree_within_the_error_of_the_sketch() {
        let mut sorted = values();
        sorted.sort_by(f64::total_cmp);
        let raw = Distribution::from_sorted(&sorted).unwrap();
        for nu in [0.5, 0.9, 0.95, 0.99] {
            let exact = QuantileEstimate::new(&raw, nu, 0.95, DesignEffect::NONE).unwrap();
            let binned = QuantileEstimate::from_bins(&bins(&values(), 1), nu, 0.95).unwrap();
            assert!((binned.value / exact.value - 1.0).abs() < 0.01, "{nu}");
            assert!(exact.interval.contains(exact.value) && binned.interval.contains(exact.value));
        }
    }

    #[test]
    fn copies_of_outcomes_are_seen_through() {
        let once = QuantileEstimate::from_bins(&bins(&values(), 1), 0.9, 0.95).unwrap();
        let sixteen = QuantileEstimate::from_bins(&bins(&values(), 16), 0.9, 0.95).unwrap();
        let factor = sixteen.design_effect.factor / once.design_effect.factor;
        assert!((factor - 16.0).abs() < 1e-9, "{factor}");
        assert!((sixteen.standard_error / once.standard_error - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_high_quantile_needs_outcomes_above_it() {
        let few = bins(&values()[..100], 1);
        assert_eq!(QuantileEstimate::from_bins(&few, 0.99, 0.95), Err(Undefined::NotEnoughData));
        assert!(QuantileEstimate::from_bins(&few, 0.5, 0.95).is_ok());
        assert_eq!(QuantileEstimate::from_bins(&few, 1.0, 0.95), Err(Undefined::OutsideDomain));
    }

    #[test]
    fn one_value_for_all_has_the_width_of_its_bin() {
        let constant = bins(&[7.0; 640], 1);
        let median = QuantileEstimate::from_bins(&constant, 0.5, 0.95).unwrap();
        assert!((median.value / 7.0 - 1.0).abs() < 0.02 && median.standard_error < 0.02);
    }
}
