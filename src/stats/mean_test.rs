//! The difference of two means, or of any two independent estimates, judged by Student's t.
//!
//! Student (1908): one common variance. Welch (1947), Biometrika 34, with the degrees of freedom of
//! Satterthwaite (1946): each arm its own; the default, because with unequal shares of traffic and
//! unequal variances Student's level is off by a factor of five. One arm without variance is
//! defined; both without is [`Undefined::ZeroVariance`]. Every p-value comes with its logarithm,
//! which goes on where the p-value stops at the smallest positive `f64`.

use super::dd::Dd;
use super::distribution::{student_isf, student_ln_sf, student_sf};
use super::moments::Moments;
use super::{Interval, Undefined};

pub use super::tail::{Alternative, Tail};

/// An estimate of one arm: a mean, a ratio, an adjusted mean, a quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmEstimate {
    /// The estimate, unrounded, so that differences of large values keep their digits.
    pub value: Dd,
    /// Its standard error, finite and not negative.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error, positive.
    pub degrees_of_freedom: f64,
}

impl ArmEstimate {
    /// The mean of an arm with the standard error `√(s²/n)` and `n - 1` degrees of freedom.
    ///
    /// # Errors
    ///
    /// As [`Moments::checked_variance`].
    pub fn mean(moments: &Moments) -> Result<Self, Undefined> {
        let variance = moments.checked_variance()?;
        let value = moments.mean_dd().ok_or(Undefined::InvalidSums)?;
        let count = Dd::from_u64(moments.count);
        Ok(Self {
            value,
            standard_error: (variance / count.to_f64()).sqrt(),
            degrees_of_freedom: (count - Dd::ONE).to_f64(),
        })
    }
}

/// A t-test of `treatment - control`, two-sided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// `treatment - control`.
    pub difference: f64,
    /// Standard error of the difference, positive.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub degrees_of_freedom: f64,
    /// `difference / standard_error`.
    pub t: f64,
    /// Two-sided p-value, `2 P(T > |t|)`, as [`Tail::p_value`].
    pub p_value: f64,
    /// Its natural logarithm.
    pub ln_p_value: f64,
}

impl TTest {
    /// The test of a difference with a given standard error.
    ///
    /// # Errors
    ///
    /// [`Undefined::ZeroVariance`] for a standard error of zero, [`Undefined::NotEnoughData`]
    /// without degrees of freedom, [`Undefined::OutOfRange`] where difference or quotient are not
    /// finite.
    pub fn new(
        difference: f64,
        standard_error: f64,
        degrees_of_freedom: f64,
    ) -> Result<Self, Undefined> {
        if standard_error <= 0.0 {
            return Err(Undefined::ZeroVariance);
        }
        if degrees_of_freedom.is_nan() || degrees_of_freedom <= 0.0 {
            return Err(Undefined::NotEnoughData);
        }
        let t = difference / standard_error;
        if !t.is_finite() || !standard_error.is_finite() {
            return Err(Undefined::OutOfRange);
        }
        let Tail { p_value, ln_p_value } = tail(t, degrees_of_freedom, Alternative::TwoSided);
        Ok(Self { difference, standard_error, degrees_of_freedom, t, p_value, ln_p_value })
    }

    /// The p-value against another alternative.
    #[must_use]
    pub fn tail(&self, alternative: Alternative) -> Tail {
        tail(self.t, self.degrees_of_freedom, alternative)
    }

    /// The two-sided interval `difference ± t_{df, (1-level)/2} · standard error`.
    ///
    /// `level` lies in `(0, 1)`; at 0 and 1 the interval is the point and the whole line.
    #[must_use]
    pub fn interval(&self, level: f64) -> Interval {
        self.interval_against(Alternative::TwoSided, level)
    }

    /// The interval that belongs to the test against `alternative`: the differences not rejected at
    /// `1 - level`. Against [`Greater`](Alternative::Greater) it has no upper bound, against
    /// [`Less`](Alternative::Less) no lower one.
    #[must_use]
    pub fn interval_against(&self, alternative: Alternative, level: f64) -> Interval {
        let radius = |q: f64| student_isf(q, self.degrees_of_freedom) * self.standard_error;
        let error = 1.0 - level.clamp(0.0, 1.0);
        match alternative {
            Alternative::TwoSided => Interval::around(self.difference, radius(0.5 * error)),
            Alternative::Greater => {
                Interval { lower: self.difference - radius(error), upper: f64::INFINITY }
            }
            Alternative::Less => {
                Interval { lower: f64::NEG_INFINITY, upper: self.difference + radius(error) }
            }
        }
    }
}

fn tail(t: f64, df: f64, alternative: Alternative) -> Tail {
    Tail::of_symmetric(t, alternative, |t| student_sf(t, df), |t| student_ln_sf(t, df))
}

/// Student's t-test with pooled variance: `s_p² = ((n_c-1)s_c² + (n_t-1)s_t²)/(n_c+n_t-2)`,
/// `se² = s_p²(1/n_c + 1/n_t)`.
///
/// # Errors
///
/// [`Undefined::NotEnoughData`] below two outcomes in either arm, [`Undefined::ZeroVariance`] where
/// both arms are constant, [`Undefined::InvalidSums`] for impossible sums.
pub fn student(control: &Moments, treatment: &Moments) -> Result<TTest, Undefined> {
    let (c, t) = (ArmEstimate::mean(control)?, ArmEstimate::mean(treatment)?);
    let squares = c.degrees_of_freedom * control.checked_variance()?
        + t.degrees_of_freedom * treatment.checked_variance()?;
    let df = c.degrees_of_freedom + t.degrees_of_freedom;
    let (n_c, n_t) = (Dd::from_u64(control.count).to_f64(), Dd::from_u64(treatment.count).to_f64());
    let standard_error = (squares / df * (n_c.recip() + n_t.recip())).sqrt();
    TTest::new((t.value - c.value).to_f64(), standard_error, df)
}

/// Welch's t-test of two means.
///
/// # Errors
///
/// As [`student`].
pub fn welch(control: &Moments, treatment: &Moments) -> Result<TTest, Undefined> {
    welch_estimates(&ArmEstimate::mean(control)?, &ArmEstimate::mean(treatment)?)
}

/// Welch's t-test of any two independent estimates: `se² = se_c² + se_t²` with
/// [`welch_degrees_of_freedom`].
///
/// # Errors
///
/// [`Undefined::ZeroVariance`] where both standard errors are zero, [`Undefined::OutOfRange`] where
/// the difference is not finite.
pub fn welch_estimates(control: &ArmEstimate, treatment: &ArmEstimate) -> Result<TTest, Undefined> {
    let df = welch_degrees_of_freedom(control, treatment)?;
    let standard_error = control.standard_error.hypot(treatment.standard_error);
    TTest::new((treatment.value - control.value).to_f64(), standard_error, df)
}

/// Satterthwaite's `(a+b)²/(a²/df_c + b²/df_t)` with `a = se_c²`, `b = se_t²`.
///
/// Computed from the shares `a/(a+b)` and `b/(a+b)`, so that no fourth power of a standard error
/// can underflow.
///
/// # Errors
///
/// [`Undefined::ZeroVariance`] where both standard errors are zero.
pub fn welch_degrees_of_freedom(
    control: &ArmEstimate,
    treatment: &ArmEstimate,
) -> Result<f64, Undefined> {
    let total = control.standard_error.hypot(treatment.standard_error);
    if total <= 0.0 {
        return Err(Undefined::ZeroVariance);
    }
    let part = |arm: &ArmEstimate| (arm.standard_error / total).powi(4) / arm.degrees_of_freedom;
    Ok((part(control) + part(treatment)).recip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:e} {expected:e}");
    }

    #[test]
    fn one_constant_arm_is_defined_and_two_are_not() {
        let constant = Moments::from_f64(3, 9.0, 27.0);
        let varied = Moments::from_f64(4, 10.0, 30.0);
        let test = welch(&constant, &varied).unwrap();
        close(test.degrees_of_freedom, 3.0, 1e-15);
        close(test.standard_error, (5.0_f64 / 12.0).sqrt(), 1e-15);
        assert_eq!(welch(&constant, &constant), Err(Undefined::ZeroVariance));
        assert_eq!(student(&constant, &constant), Err(Undefined::ZeroVariance));
        let single = Moments::from_f64(1, 1.0, 1.0);
        assert_eq!(student(&single, &varied), Err(Undefined::NotEnoughData));
    }

    #[test]
    fn alternatives_share_one_probability() {
        let test =
            welch(&Moments::from_f64(5, 10.0, 24.0), &Moments::from_f64(6, 15.0, 41.0)).unwrap();
        let (greater, less) = (test.tail(Alternative::Greater), test.tail(Alternative::Less));
        close(greater.p_value + less.p_value, 1.0, 1e-15);
        close(test.p_value, 2.0 * greater.p_value.min(less.p_value), 1e-15);
    }

    #[test]
    fn the_interval_excludes_zero_exactly_when_p_is_small() {
        let test = TTest::new(2.0, 1.0, 12.0).unwrap();
        let bound = test.interval(1.0 - test.p_value);
        assert!(bound.lower.abs() < 1e-12, "{bound:?}");
        assert_eq!(test.interval(0.0), Interval { lower: 2.0, upper: 2.0 });
        assert_eq!(test.interval(1.0), Interval { lower: f64::NEG_INFINITY, upper: f64::INFINITY });
    }

    #[test]
    fn the_smallest_p_value_is_not_zero() {
        let test = TTest::new(1.0, 1e-3, 1e9).unwrap();
        assert_eq!(test.p_value.to_bits(), f64::MIN_POSITIVE.to_bits());
        assert!((-500_000.0..-499_000.0).contains(&test.ln_p_value), "{}", test.ln_p_value);
    }

    #[test]
    fn tiny_standard_errors_have_degrees_of_freedom() {
        let arm = ArmEstimate { value: Dd::ZERO, standard_error: 1e-150, degrees_of_freedom: 9.0 };
        close(welch_degrees_of_freedom(&arm, &arm).unwrap(), 18.0, 1e-14);
    }
}
