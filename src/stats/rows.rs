//! Ratios of sums over groups of units: the estimate and standard error that know outcomes of a
//! unit to be dependent.
//!
//! Each row holds a denominator `d_i` and a numerator `y_i` of one group; the estimand is
//! `R = Σy/Σd`:
//!
//! | estimand | denominator | numerator |
//! |---|---|---|
//! | mean per outcome | outcomes of the group | sum of their values |
//! | total per unit | exposed units of the group | sum of values |
//! | ratio of two metrics | sum of one | sum of the other |
//!
//! By linearisation, `R̂ - R ≈ Σ(y_i - R d_i)/Σd`, so `se² = k/(k-1) · Σ(y_i - R̂ d_i)²/(Σd)²` with
//! `k - 1` degrees of freedom (W. G. Cochran, Sampling Techniques, 3rd ed. 1977, eq. 2.39; K. M.
//! Wolter, Introduction to Variance Estimation, 2nd ed. 2007, ch. 2 for groups in place of units).
//! It is the cluster-robust standard error of a regression on a constant, with the factor
//! `k/(k-1)`.
//!
//! The residuals cancel (at a mean of 1e7 and a standard deviation of 0.1, eight digits), so they
//! are taken in double-double, or in whole numbers where the sums are whole numbers of some unit
//! ([`WholeRows`]): `D e_i = y_i D - Y d_i` is exact then.

use std::borrow::Cow;

use super::Undefined;
use super::dd::Dd;
use super::mean_test::ArmEstimate;

/// Relative size of a residual that is put down to rounding: 2^-96. Groups of constant outcomes
/// must have no residual at all, or two constants are told apart with a tiny standard error. No
/// real residual is that small: it would be below the resolution of the outcomes themselves.
const RESOLUTION: f64 = 1.262_177_448_353_618_8e-29;

/// The sums of one group of units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// What is divided by: outcomes, units, or the sum of another metric.
    pub denominator: Dd,
    /// What is divided: the sum of the metric.
    pub numerator: Dd,
}

/// `Σy/Σd` over the rows with its linearised standard error.
///
/// All rows given count. A group in which nobody was exposed is no observation and the caller
/// leaves it out: it would raise `k` without information. A group that was exposed and has zero in
/// both sums is an observation and stays.
///
/// # Errors
///
/// [`Undefined::NotEnoughData`] for fewer than two rows, [`Undefined::ZeroDenominator`] where the
/// denominators add up to zero, [`Undefined::OutOfRange`] where a result is not finite.
pub fn ratio(rows: &[Row]) -> Result<ArmEstimate, Undefined> {
    if rows.len() < 2 {
        return Err(Undefined::NotEnoughData);
    }
    let totals = Row {
        denominator: rows.iter().map(|row| row.denominator).sum(),
        numerator: rows.iter().map(|row| row.numerator).sum(),
    };
    let value = totals.numerator / totals.denominator;
    let total = totals.denominator.to_f64();
    // Dividing before squaring keeps the squares in range whatever the unit of the metric.
    estimate(rows.len(), totals, rows.iter().map(|row| residual(row, value) / total))
}

/// Of the residuals over the sum of the denominators.
fn estimate(
    rows: usize,
    totals: Row,
    influences: impl Iterator<Item = f64>,
) -> Result<ArmEstimate, Undefined> {
    if totals.denominator.is_zero() {
        return Err(Undefined::ZeroDenominator);
    }
    let value = totals.numerator / totals.denominator;
    let squares: f64 = influences.map(|influence| influence.powi(2)).sum();
    let count = row_count(rows);
    let standard_error = (squares * count / (count - 1.0)).sqrt();
    if !value.is_finite() || !standard_error.is_finite() {
        return Err(Undefined::OutOfRange);
    }
    Ok(ArmEstimate { value, standard_error, degrees_of_freedom: count - 1.0 })
}

/// `y_i - R d_i`; zero where it is no more than rounding of the sums (see [`RESOLUTION`]).
fn residual(row: &Row, ratio: Dd) -> f64 {
    let residual = row.numerator - ratio * row.denominator;
    let resolution = row.numerator.abs() * Dd::from(RESOLUTION);
    if residual.abs() <= resolution { 0.0 } else { residual.to_f64() }
}

#[expect(clippy::cast_precision_loss, reason = "no slice has 2^53 rows")]
fn row_count(rows: usize) -> f64 {
    rows as f64
}

/// The sums of a metric over the groups of an arm, all groups in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Sums<'a> {
    /// Whole numbers of a unit, of which so many make one; groups left out at the end are zero.
    Whole {
        /// The sums.
        values: Cow<'a, [i64]>,
        /// For instance 1e9, where they are billionths.
        per_unit: i64,
    },
    /// What does not fit into 64 bits.
    Wide(Vec<Dd>),
}

impl Sums<'_> {
    /// Whole numbers and how many make one, if they are.
    #[must_use]
    pub fn whole(&self) -> Option<(&[i64], i64)> {
        match self {
            Self::Whole { values, per_unit } => Some((values, *per_unit)),
            Self::Wide(_) => None,
        }
    }

    /// The sum of a group.
    #[must_use]
    pub fn of_group(&self, group: usize) -> Dd {
        match self {
            Self::Whole { values, per_unit } => {
                in_units(values.get(group).copied().unwrap_or_default(), *per_unit)
            }
            Self::Wide(sums) => sums.get(group).copied().unwrap_or_default(),
        }
    }
}

/// Rows of whole numbers whose residuals fit into 128 bits: no rounding before the last step.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeRows {
    /// Denominator and numerator of each row.
    rows: Vec<(i64, i64)>,
    /// How many of the whole numbers make one, of both.
    per_unit: (i64, i64),
    totals: (i64, i64),
    /// Whether residuals even fit into 64 bits.
    narrow: bool,
}

impl WholeRows {
    /// Of denominators and numerators and how many of each make one; `None` if they are too large.
    #[must_use]
    pub fn new(rows: Vec<(i64, i64)>, per_unit: (i64, i64)) -> Option<Self> {
        let (mut sums, mut largest) = ((0_i128, 0_i128), (0_u64, 0_u64));
        for (denominator, numerator) in &rows {
            sums = (sums.0 + i128::from(*denominator), sums.1 + i128::from(*numerator));
            largest.0 = largest.0.max(denominator.unsigned_abs());
            largest.1 = largest.1.max(numerator.unsigned_abs());
        }
        let totals = (i64::try_from(sums.0).ok()?, i64::try_from(sums.1).ok()?);
        // Each product is below 2^127.
        let products = u128::from(largest.1) * u128::from(totals.0.unsigned_abs())
            + u128::from(largest.0) * u128::from(totals.1.unsigned_abs());
        // From 2^96 on, RESOLUTION would have a say in what is zero.
        let narrow = products < 1 << 63;
        (products < 1 << 96).then_some(Self { rows, per_unit, totals, narrow })
    }

    /// As [`ratio`].
    ///
    /// # Errors
    ///
    /// As [`ratio`].
    pub fn ratio(&self) -> Result<ArmEstimate, Undefined> {
        if self.rows.len() < 2 {
            return Err(Undefined::NotEnoughData);
        }
        estimate(self.rows.len(), self.totals(), self.influences())
    }

    /// Sums over all rows.
    #[must_use]
    pub fn totals(&self) -> Row {
        Row {
            denominator: in_units(self.totals.0, self.per_unit.0),
            numerator: in_units(self.totals.1, self.per_unit.1),
        }
    }

    /// The rows in double-double.
    pub fn wide(&self) -> impl Iterator<Item = Row> {
        let row = |&(denominator, numerator): &(i64, i64)| Row {
            denominator: in_units(denominator, self.per_unit.0),
            numerator: in_units(numerator, self.per_unit.1),
        };
        self.rows.iter().map(row)
    }

    /// `(y_i - R d_i)/Σd` of each row.
    #[expect(clippy::cast_precision_loss, reason = "exact until this one rounding")]
    pub(super) fn influences(&self) -> impl Iterator<Item = f64> {
        let (denominator, numerator) = self.totals;
        let total = self.totals().denominator.to_f64();
        // `y_i D - Y d_i` is in units of both, and `D` is left to divide by.
        let scale = 1.0 / (denominator as f64 * self.per_unit.1 as f64 * total);
        self.rows.iter().map(move |&(d, y)| {
            let scaled = if self.narrow {
                (y.wrapping_mul(denominator) - numerator.wrapping_mul(d)) as f64
            } else {
                let product = |a, b| i128::from(a) * i128::from(b);
                (product(y, denominator) - product(numerator, d)) as f64
            };
            scaled * scale
        })
    }
}

fn in_units(whole: i64, per_unit: i64) -> Dd {
    let whole = Dd::from_i64(whole);
    if per_unit == 1 { whole } else { whole / Dd::from_i64(per_unit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::moments::Moments;

    fn rows(pairs: &[(f64, f64)]) -> Vec<Row> {
        pairs.iter().map(|&(d, y)| Row { denominator: d.into(), numerator: y.into() }).collect()
    }

    #[test]
    fn rows_of_one_outcome_give_the_plain_standard_error() {
        let values = [1.0, 4.0, 2.0, 8.0, 5.0];
        let estimate = ratio(&rows(&values.map(|value| (1.0, value)))).unwrap();
        let moments = Moments::from_f64(5, 20.0, 110.0);
        let plain = ArmEstimate::mean(&moments).unwrap();
        assert_eq!(estimate.value, plain.value);
        assert!((estimate.standard_error / plain.standard_error - 1.0).abs() < 1e-15);
    }

    #[test]
    fn copies_of_an_outcome_add_no_information() {
        let once = ratio(&rows(&[(1.0, 1.0), (1.0, 0.0), (1.0, 1.0)])).unwrap();
        let thrice = ratio(&rows(&[(3.0, 3.0), (3.0, 0.0), (3.0, 3.0)])).unwrap();
        assert!((once.standard_error / thrice.standard_error - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_large_mean_with_a_small_deviation_keeps_its_digits() {
        // Group sums of 100 values each, mean 1e7, off by ±1: residuals are 1e-9 of the sums.
        let sums = [1.0, -1.0, 1.0, -1.0].map(|offset| (100.0, 1e9 + offset));
        let estimate = ratio(&rows(&sums)).unwrap();
        let expected = (4.0_f64 / 3.0 * 4.0).sqrt() / 400.0;
        assert!((estimate.standard_error / expected - 1.0).abs() < 1e-14);
    }

    #[test]
    fn whole_numbers_give_the_same_as_double_doubles() {
        let mut state = 1_i64;
        for (bits, per_unit) in [(50, (1, 1)), (20, (1, 1_000_000_000)), (3, (1_000, 1))] {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) << (bits / 4)
            };
            let pairs: Vec<(i64, i64)> = (0..100).map(|_| (next().abs() >> 20, next())).collect();
            let row = |&(d, y): &(i64, i64)| Row {
                denominator: in_units(d, per_unit.0),
                numerator: in_units(y, per_unit.1),
            };
            let wide = ratio(&pairs.iter().map(row).collect::<Vec<_>>()).unwrap();
            let whole = WholeRows::new(pairs, per_unit).unwrap().ratio().unwrap();
            assert!((whole.value - wide.value).abs() <= wide.value.abs() * Dd::from(1e-29));
            assert!((whole.standard_error / wide.standard_error - 1.0).abs() < 1e-14);
        }
        let constant = WholeRows::new(vec![(3, 21), (5, 35), (1, 7)], (1, 10)).unwrap();
        assert_eq!(constant.ratio().unwrap().standard_error.to_bits(), 0);
        assert_eq!(WholeRows::new(vec![(1 << 50, 1), (1, i64::MAX - 1)], (1, 1)), None);
    }

    #[test]
    fn what_is_not_defined_says_why() {
        assert_eq!(ratio(&rows(&[(1.0, 1.0)])), Err(Undefined::NotEnoughData));
        assert_eq!(ratio(&rows(&[(0.0, 1.0), (0.0, 2.0)])), Err(Undefined::ZeroDenominator));
    }
}
