//! Bayesian readings of the same data: probability of being better, expected loss, credible interval.
//!
//! A description, not a test: somebody who stops at the first "95 % likely to be better" is wrong in 59 to 67 % of A/A
//! experiments (reference, section 5.1), because the posterior does not know that it was looked at.
//!
//! A normal likelihood of the difference with a flat or a normal prior serves every estimand; rates of independent
//! outcomes have [`bayes_rate`](super::bayes_rate), too.

use super::distribution::{normal_isf, normal_pdf, normal_sf};
use super::{Interval, Undefined};

/// What was believed about a difference before the data.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Prior {
    /// Nothing: every difference alike. The weak default.
    #[default]
    Flat,
    /// A normal distribution.
    Normal {
        /// Its mean.
        mean: f64,
        /// Its variance, positive.
        variance: f64,
    },
}

/// The posterior distribution of a difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalPosterior {
    mean: f64,
    deviation: f64,
}

impl NormalPosterior {
    /// Precision-weighted: `1/σ² = 1/se² + 1/v₀`, `μ = σ²(d/se² + m₀/v₀)`.
    ///
    /// # Errors
    ///
    /// [`Undefined::ZeroVariance`] for a standard error that is not positive, [`Undefined::OutsideDomain`] for a prior
    /// variance that is not positive and finite, [`Undefined::OutOfRange`] where the posterior is not finite.
    pub fn new(difference: f64, standard_error: f64, prior: Prior) -> Result<Self, Undefined> {
        if standard_error.is_nan() || standard_error <= 0.0 {
            return Err(Undefined::ZeroVariance);
        }
        let (mean, deviation) = match prior {
            Prior::Flat => (difference, standard_error),
            Prior::Normal { mean, variance } => {
                if !(variance > 0.0 && variance.is_finite() && mean.is_finite()) {
                    return Err(Undefined::OutsideDomain);
                }
                let prior_deviation = variance.sqrt();
                let spread = standard_error.hypot(prior_deviation);
                let data = (prior_deviation / spread).powi(2);
                let prior = (standard_error / spread).powi(2);
                (data * difference + prior * mean, standard_error * (prior_deviation / spread))
            }
        };
        (mean.is_finite() && deviation.is_finite() && deviation > 0.0)
            .then_some(Self { mean, deviation })
            .ok_or(Undefined::OutOfRange)
    }

    /// Posterior mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Posterior standard deviation.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// `P(difference > 0)`.
    #[must_use]
    pub fn probability_positive(&self) -> f64 {
        normal_sf(-self.mean / self.deviation)
    }

    /// `E[max(0, -difference)]`: what is lost on average by the treatment where more is better, and by control where less
    /// is.
    #[must_use]
    pub fn expected_shortfall(&self) -> f64 {
        self.deviation * mean_above_zero(-self.mean / self.deviation)
    }

    /// `E[max(0, difference)]`: what is lost on average by control where more is better.
    #[must_use]
    pub fn expected_excess(&self) -> f64 {
        self.deviation * mean_above_zero(self.mean / self.deviation)
    }

    /// The central interval of posterior probability `level`, `0 < level < 1`.
    #[must_use]
    pub fn interval(&self, level: f64) -> Interval {
        Interval::around(self.mean, normal_isf(0.5 * (1.0 - level)) * self.deviation)
    }
}

/// `E[max(0, Z + z)] = φ(z) + z Φ(z)` for a standard normal `Z`.
pub(crate) fn mean_above_zero(z: f64) -> f64 {
    if z > -20.0 {
        return (normal_pdf(z) + z * normal_sf(-z)).max(0.0);
    }
    // The terms cancel to φ(z)/z²; DLMF 7.12.1 with u = 1/z², whose next term is below 1e-8 of the sum.
    let u = (z * z).recip();
    normal_pdf(z) * u * (1.0 - 3.0 * u * (1.0 - 5.0 * u * (1.0 - 7.0 * u)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_prior_hardly_speaks() {
        let flat = NormalPosterior::new(0.3, 0.1, Prior::Flat).unwrap();
        let weak =
            NormalPosterior::new(0.3, 0.1, Prior::Normal { mean: 0.0, variance: 1e6 }).unwrap();
        assert!((flat.probability_positive() - weak.probability_positive()).abs() < 1e-6);
        assert!((flat.mean() - weak.mean()).abs() < 1e-6);
        assert!(weak.deviation() < flat.deviation());
    }

    #[test]
    fn gain_less_loss_is_the_difference() {
        for mean in [-3.0, 0.0, 0.02, 2.5] {
            let posterior = NormalPosterior::new(mean, 0.1, Prior::Flat).unwrap();
            let net = posterior.expected_excess() - posterior.expected_shortfall();
            assert!((net - mean).abs() < 1e-14, "{mean} {net}");
            assert!(posterior.expected_shortfall() >= 0.0);
        }
    }

    #[test]
    fn the_series_meets_the_formula() {
        let (series, formula) = (mean_above_zero(-20.000_001), mean_above_zero(-19.999_999));
        // The function itself changes by e^(-20 · 2e-6) between the two arguments.
        assert!((series / formula * (4e-5_f64).exp() - 1.0).abs() < 1e-6, "{series} {formula}");
    }

    #[test]
    fn what_is_not_defined_says_why() {
        assert_eq!(NormalPosterior::new(1.0, 0.0, Prior::Flat), Err(Undefined::ZeroVariance));
        let improper = Prior::Normal { mean: 0.0, variance: 0.0 };
        assert_eq!(NormalPosterior::new(1.0, 1.0, improper), Err(Undefined::OutsideDomain));
    }
}
