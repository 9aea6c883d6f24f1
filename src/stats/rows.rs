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
//! are taken in double-double.

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
    let denominator: Dd = rows.iter().map(|row| row.denominator).sum();
    let numerator: Dd = rows.iter().map(|row| row.numerator).sum();
    if denominator.is_zero() {
        return Err(Undefined::ZeroDenominator);
    }
    let value = numerator / denominator;
    let total = denominator.to_f64();
    // Dividing before squaring keeps the squares in range whatever the unit of the metric.
    let squares: f64 = rows.iter().map(|row| (residual(row, value) / total).powi(2)).sum();
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
fn row_count(rows: &[Row]) -> f64 {
    rows.len() as f64
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
    fn what_is_not_defined_says_why() {
        assert_eq!(ratio(&rows(&[(1.0, 1.0)])), Err(Undefined::NotEnoughData));
        assert_eq!(ratio(&rows(&[(0.0, 1.0), (0.0, 2.0)])), Err(Undefined::ZeroDenominator));
    }
}
