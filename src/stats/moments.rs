//! Count, sum and sum of squares of one arm: all that a t-test needs, and mergeable.
//!
//! `variance = (nQ - S²)/(n(n-1))`. For a mean of 1e7 and a standard deviation of 0.1 the
//! difference in the numerator cancels sixteen digits, so sums are [`Dd`] and only the variance is
//! rounded. Sums that no data can have (`nQ < S²` beyond rounding) are an error: clamping them to
//! zero would announce certainty where there is corruption.

use super::Undefined;
use super::dd::Dd;

/// Relative size of a negative `nQ - S²` that is put down to rounding of the given sums.
///
/// Sums handed over as `f64` are off by up to half an ulp each: `nQ` by 2^-53 and `S²` by 2^-52
/// relative, together below 2^-51.
const ROUNDING: f64 = 4.440_892_098_500_626e-16;

/// Relative size of `nQ - S²` that is put down to rounding of sums that were accumulated exactly:
/// 2^-98, some 64 units of a double-double. Constant outcomes such as six times 0.1 must have no
/// variance at all, or a t-test of two constants calls a winner with p = 1e-145. Nothing is lost:
/// a standard deviation below 2^-49 of the mean is below the resolution of the outcomes themselves.
const RESOLUTION: f64 = 3.155_443_620_884_047e-30;

/// The sufficient statistics of the outcomes of one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Number of outcomes, `n`.
    pub count: u64,
    /// Sum of the values, `S`.
    pub sum: Dd,
    /// Sum of the squared values, `Q`.
    pub sum_of_squares: Dd,
}

impl Moments {
    /// From sums that were accumulated exactly (see [`decimal`](super::decimal)).
    #[must_use]
    pub fn new(count: u64, sum: Dd, sum_of_squares: Dd) -> Self {
        Self { count, sum, sum_of_squares }
    }

    /// From sums somebody else accumulated in `f64`.
    #[must_use]
    pub fn from_f64(count: u64, sum: f64, sum_of_squares: f64) -> Self {
        Self::new(count, sum.into(), sum_of_squares.into())
    }

    /// The statistics of both sets of outcomes together. Saturates at 2^64 outcomes.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum + other.sum,
            sum_of_squares: self.sum_of_squares + other.sum_of_squares,
        }
    }

    /// The mean `S/n`; none without outcomes.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.mean_dd().map(Dd::to_f64)
    }

    /// The mean before rounding, for differences of means.
    #[must_use]
    pub fn mean_dd(&self) -> Option<Dd> {
        (self.count > 0)
            .then(|| self.sum / Dd::from_u64(self.count))
            .filter(|mean| mean.is_finite())
    }

    /// The unbiased variance; none where [`checked_variance`](Self::checked_variance) says why not.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        self.checked_variance().ok()
    }

    /// The unbiased variance `(nQ - S²)/(n(n-1))`.
    ///
    /// # Errors
    ///
    /// [`Undefined::NotEnoughData`] for fewer than two outcomes, [`Undefined::InvalidSums`] where
    /// `nQ < S²` beyond rounding or a sum is not finite.
    pub fn checked_variance(&self) -> Result<f64, Undefined> {
        if self.count < 2 {
            return Err(Undefined::NotEnoughData);
        }
        let count = Dd::from_u64(self.count);
        let scaled_squares = count * self.sum_of_squares;
        let cross = scaled_squares - self.sum * self.sum;
        if !cross.is_finite() || cross < -scaled_squares.abs() * Dd::from(ROUNDING) {
            return Err(Undefined::InvalidSums);
        }
        if cross.abs() <= scaled_squares.abs() * Dd::from(RESOLUTION) {
            return Ok(0.0);
        }
        let variance = (cross / (count * (count - Dd::ONE))).to_f64();
        Ok(variance.max(0.0))
    }

    /// The standard deviation.
    #[must_use]
    pub fn sd(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::decimal::{Decimal, square_sum_to_dd, sum_to_dd};

    #[test]
    fn small_samples_by_hand() {
        let moments = Moments::from_f64(4, 10.0, 30.0);
        assert_eq!(moments.mean(), Some(2.5));
        assert_eq!(moments.variance(), Some(5.0 / 3.0));
        assert_eq!(moments.sd(), Some((5.0_f64 / 3.0).sqrt()));
    }

    #[test]
    fn what_is_not_defined_says_why() {
        assert_eq!(Moments::default().mean(), None);
        assert_eq!(
            Moments::from_f64(1, 2.0, 4.0).checked_variance(),
            Err(Undefined::NotEnoughData)
        );
        assert_eq!(
            Moments::from_f64(10, 10.0, 9.999).checked_variance(),
            Err(Undefined::InvalidSums)
        );
        assert_eq!(
            Moments::from_f64(2, f64::NAN, 1.0).checked_variance(),
            Err(Undefined::InvalidSums)
        );
        assert_eq!(Moments::from_f64(2, f64::INFINITY, 1.0).mean(), None);
    }

    #[test]
    fn rounded_sums_of_equal_values_have_no_variance_worth_mentioning() {
        let third = 1.0_f64 / 3.0;
        let moments = Moments::from_f64(3, third + third + third, third * third * 3.0);
        assert!(moments.variance().is_some_and(|variance| variance < 1e-16));
    }

    #[test]
    fn constant_outcomes_have_no_variance_whatever_the_constant() {
        for (value, count) in [(0.1, 6_i64), (3.0, 6), (1e7 / 3.0, 997), (-1.5e-7, 12)] {
            let decimal = Decimal::try_from(value).unwrap();
            let sum = sum_to_dd(&decimal.limbs().map(|limb| limb * count));
            let squares = square_sum_to_dd(&decimal.square_limbs().map(|limb| limb * count));
            let moments = Moments::new(count.unsigned_abs(), sum, squares);
            assert_eq!(moments.variance(), Some(0.0), "{count} times {value}");
        }
    }

    #[test]
    fn merging_is_adding() {
        let (a, b) = (Moments::from_f64(2, 3.0, 5.0), Moments::from_f64(3, -1.0, 9.0));
        assert_eq!(a.merge(b), b.merge(a));
        assert_eq!(a.merge(b), Moments::from_f64(5, 2.0, 14.0));
        assert_eq!(a.merge(Moments::default()), a);
    }
}
