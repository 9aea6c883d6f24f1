//! Numbers only: from exact sums and group rows to estimates, intervals and p-values.
//!
//! This room is pure. It reads no clock, draws no random number, does no I/O and knows neither
//! experiments nor stores; every function is a formula with its source named at the top of the file
//! that holds it.
//!
//! # Notation
//!
//! Per arm: `n` outcomes, sum `S`, sum of squares `Q`, mean `m = S/n`, variance
//! `s² = (nQ - S²)/(n(n-1))`. A difference is always *treatment - control*, a relative lift is
//! `(m_t - m_c)/|m_c|`. A *row* is one group of units (or one unit): the cluster that makes
//! outcomes of the same unit count as dependent.
//!
//! # Numerics
//!
//! - Values enter as their shortest decimal and are added as integers ([`decimal`]), so no sum is
//!   ever rounded.
//! - `nQ - S²`, differences of means and residuals cancel; they are computed in double-double
//!   ([`dd`], 106 bits). What remains is rounded to `f64` once, at the end.
//! - Tail probabilities are computed as tails, never as `1 - cdf`, and come with their logarithm,
//!   which stays exact where the probability itself underflows.
//! - What is not defined is an [`Undefined`], never a NaN. An infinite bound means "unbounded",
//!   nothing else.

pub mod bayes;
pub mod bayes_rate;
pub mod calibration;
pub mod cuped;
pub mod dd;
pub mod decimal;
pub mod distribution;
pub mod lift;
pub mod mean_test;
pub mod moments;
pub mod multiplicity;
pub mod non_inferiority;
pub mod power;
pub mod precision;
pub mod proportion;
pub mod quantile;
pub mod rows;
pub mod sequential;
pub mod sketch;
pub mod srm;
pub mod tail;

/// A closed interval `[lower, upper]` on the scale of the quantity it belongs to. A bound may be
/// infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
}

impl Interval {
    /// `centre ± radius`.
    #[must_use]
    pub fn around(centre: f64, radius: f64) -> Self {
        Self { lower: centre - radius, upper: centre + radius }
    }

    /// Whether `value` lies in the interval, bounds included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }
}

/// Why a statistic has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Undefined {
    /// Fewer outcomes or rows than the formula divides by.
    #[error("not enough data")]
    NotEnoughData,
    /// All values of both arms are equal, so there is no scale to measure the difference on.
    #[error("no variance in either arm")]
    ZeroVariance,
    /// A relative change from zero.
    #[error("the baseline is zero")]
    ZeroBaseline,
    /// The denominators of a ratio add up to zero.
    #[error("the denominator is zero")]
    ZeroDenominator,
    /// Sums that no data can have: `n·Q < S²`, or not finite.
    #[error("the sums contradict each other")]
    InvalidSums,
    /// A parameter outside the domain the function documents.
    #[error("parameter outside its domain")]
    OutsideDomain,
    /// The result is larger than an `f64` can hold.
    #[error("result out of range")]
    OutOfRange,
}
