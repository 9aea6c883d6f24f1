//! Two proportions: z-tests, and intervals that behave at zero and at one.
//!
//! The pooled test is the score test of equal proportions (Pearson's chi-squared on the 2×2 table),
//! the unpooled one Wald's. Intervals: Wilson (1927), JASA 22, for one proportion; R. G. Newcombe
//! (1998), Statistics in Medicine 17, method 10, for the difference; Wald's beside it because
//! others show it.
//!
//! These treat outcomes as independent. Where a unit has several, use [`rows`](super::rows).

use super::dd::Dd;
use super::distribution::{normal_isf, normal_ln_sf, normal_sf};
use super::tail::{Alternative, Tail};
use super::{Interval, Undefined};

/// `successes` out of `trials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proportion {
    trials: u64,
    successes: u64,
}

impl Proportion {
    /// # Errors
    ///
    /// [`Undefined::NotEnoughData`] without trials, [`Undefined::InvalidSums`] with more successes
    /// than trials.
    pub fn new(trials: u64, successes: u64) -> Result<Self, Undefined> {
        match (trials, successes) {
            (0, _) => Err(Undefined::NotEnoughData),
            (trials, successes) if successes > trials => Err(Undefined::InvalidSums),
            (trials, successes) => Ok(Self { trials, successes }),
        }
    }

    /// `successes / trials`.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.exact().to_f64()
    }

    /// Wilson's score interval: all `p` with `|p̂ - p| <= z √(p(1-p)/n)`. Never leaves `[0, 1]`.
    #[must_use]
    pub fn wilson(&self, level: f64) -> Interval {
        let z = critical_value(level);
        let failures = Self { trials: self.trials, successes: self.trials - self.successes };
        Interval { lower: self.wilson_lower(z), upper: 1.0 - failures.wilson_lower(z) }
    }

    /// The smaller root of `(n+z²)p² - (2x+z²)p + x²/n = 0`, as the product of the roots over the
    /// larger one: no cancellation, and exactly zero without successes.
    fn wilson_lower(&self, z: f64) -> f64 {
        let (n, x) = (self.count(), Dd::from_u64(self.successes).to_f64());
        let failures = Dd::from_u64(self.trials - self.successes).to_f64();
        let root = (z * z + 4.0 * x * (failures / n)).sqrt();
        2.0 * x * (x / n) / (2.0 * x + z * z + z * root)
    }

    fn count(&self) -> f64 {
        Dd::from_u64(self.trials).to_f64()
    }

    fn exact(&self) -> Dd {
        Dd::from_u64(self.successes) / Dd::from_u64(self.trials)
    }

    /// `p(1-p)`, exact at both ends.
    fn spread(&self) -> f64 {
        let n = Dd::from_u64(self.trials);
        let product = Dd::from_u64(self.successes) * Dd::from_u64(self.trials - self.successes);
        (product / (n * n)).to_f64()
    }
}

/// A z-test of `treatment - control`, two-sided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZTest {
    /// `treatment - control`.
    pub difference: f64,
    /// Standard error under the hypothesis the test assumes.
    pub standard_error: f64,
    /// `difference / standard_error`.
    pub z: f64,
    /// Two-sided p-value, as [`Tail::p_value`].
    pub p_value: f64,
    /// Its natural logarithm.
    pub ln_p_value: f64,
}

impl ZTest {
    /// The p-value against another alternative.
    #[must_use]
    pub fn tail(&self, alternative: Alternative) -> Tail {
        Tail::of_symmetric(self.z, alternative, normal_sf, normal_ln_sf)
    }

    fn new(difference: f64, standard_error: f64) -> Result<Self, Undefined> {
        if standard_error <= 0.0 {
            return Err(Undefined::ZeroVariance);
        }
        let z = difference / standard_error;
        let Tail { p_value, ln_p_value } =
            Tail::of_symmetric(z, Alternative::TwoSided, normal_sf, normal_ln_sf);
        Ok(Self { difference, standard_error, z, p_value, ln_p_value })
    }
}

/// Score test: `se² = p̄(1-p̄)(1/n_c + 1/n_t)` with the proportion `p̄` of both arms together.
///
/// # Errors
///
/// [`Undefined::ZeroVariance`] where all outcomes of both arms are equal; [`Undefined::OutOfRange`]
/// beyond 2^64 trials.
pub fn pooled(control: &Proportion, treatment: &Proportion) -> Result<ZTest, Undefined> {
    let trials = control.trials.checked_add(treatment.trials).ok_or(Undefined::OutOfRange)?;
    let together = Proportion { trials, successes: control.successes + treatment.successes };
    let inverse_counts = control.count().recip() + treatment.count().recip();
    ZTest::new(difference(control, treatment), (together.spread() * inverse_counts).sqrt())
}

/// Wald's test: `se² = p_c(1-p_c)/n_c + p_t(1-p_t)/n_t`.
///
/// # Errors
///
/// [`Undefined::ZeroVariance`] where neither arm varies.
pub fn unpooled(control: &Proportion, treatment: &Proportion) -> Result<ZTest, Undefined> {
    ZTest::new(difference(control, treatment), unpooled_standard_error(control, treatment))
}

/// `p_t - p_c ± z · se` with the unpooled standard error. Misses its level near 0 and 1.
#[must_use]
pub fn wald_interval(control: &Proportion, treatment: &Proportion, level: f64) -> Interval {
    let radius = critical_value(level) * unpooled_standard_error(control, treatment);
    Interval::around(difference(control, treatment), radius)
}

/// Newcombe's interval from the Wilson intervals `(l, u)` of the arms:
/// `d - √((p_t-l_t)² + (u_c-p_c)²)` to `d + √((u_t-p_t)² + (p_c-l_c)²)`.
#[must_use]
pub fn newcombe_interval(control: &Proportion, treatment: &Proportion, level: f64) -> Interval {
    let difference = difference(control, treatment);
    let (p_c, p_t) = (control.value(), treatment.value());
    let (c, t) = (control.wilson(level), treatment.wilson(level));
    Interval {
        lower: difference - (p_t - t.lower).hypot(c.upper - p_c),
        upper: difference + (t.upper - p_t).hypot(p_c - c.lower),
    }
}

fn difference(control: &Proportion, treatment: &Proportion) -> f64 {
    (treatment.exact() - control.exact()).to_f64()
}

fn unpooled_standard_error(control: &Proportion, treatment: &Proportion) -> f64 {
    (control.spread() / control.count() + treatment.spread() / treatment.count()).sqrt()
}

/// `z_{(1-level)/2}` for a level in `(0, 1)`.
fn critical_value(level: f64) -> f64 {
    normal_isf(0.5 * (1.0 - level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_counts_are_refused() {
        assert_eq!(Proportion::new(0, 0), Err(Undefined::NotEnoughData));
        assert_eq!(Proportion::new(3, 4), Err(Undefined::InvalidSums));
    }

    #[test]
    fn the_ends_of_the_scale_are_exact() {
        let (none, all) = (Proportion::new(20, 0).unwrap(), Proportion::new(20, 20).unwrap());
        assert_eq!(none.wilson(0.95).lower.to_bits(), 0.0_f64.to_bits());
        assert_eq!(all.wilson(0.95).upper.to_bits(), 1.0_f64.to_bits());
        assert_eq!(unpooled(&none, &all), Err(Undefined::ZeroVariance));
        assert_eq!(pooled(&none, &none), Err(Undefined::ZeroVariance));
        let interval = newcombe_interval(&none, &all, 0.95);
        assert!(interval.lower < 1.0 && (interval.upper - 1.0).abs() < 1e-15, "{interval:?}");
    }

    #[test]
    fn wilson_bounds_solve_the_score_equation() {
        let proportion = Proportion::new(50, 17).unwrap();
        let interval = proportion.wilson(0.9);
        for bound in [interval.lower, interval.upper] {
            let z = (proportion.value() - bound) / (bound * (1.0 - bound) / 50.0).sqrt();
            assert!((z.abs() - critical_value(0.9)).abs() < 1e-12);
        }
    }
}
