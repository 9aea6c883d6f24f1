//! Two rates of independent outcomes under Beta priors: which is greater, and what a wrong choice costs.
//!
//! With posteriors `X ~ Beta(a₂, b₂)`, `Y ~ Beta(a₁, b₁)` and whole `a₂`,
//!
//! `P(X > Y) = Σ_{i<a₂} B(a₁+i, b₁+b₂) / ((b₂+i) B(1+i, b₂) B(a₁, b₁))`
//!
//! (E. Miller, "Formulas for Bayesian A/B testing", 2014). Counting failures in place of successes gives a sum over
//! `i < b₁`, the complements two more; the shortest is taken. The terms follow from one another by a quotient, and the
//! first one from a form of its logarithm in which nothing cancels, so the sum is exact up to rounding.
//!
//! Where all four counts exceed [`LONGEST_SUM`], `X - Y` is as good as normal with a little skewness `γ`: the first
//! Edgeworth terms, `Φ(z) + γ(z²-1)φ(z)/6` and `σ(φ(z) + zΦ(z) - γzφ(z)/6)`, are within 1e-4 of the sums.
//!
//! A description, not a test; see [`bayes`](super::bayes).

use super::Undefined;
use super::bayes::mean_above_zero;
use super::dd::Dd;
use super::distribution::{normal_pdf, normal_sf, stirling_error};

/// Most terms that are summed, which takes about ten microseconds.
pub const LONGEST_SUM: f64 = 2_000.0;

/// A Beta prior of both rates, with whole parameters so that the sums are finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BetaPrior {
    /// Prior successes, at least 1.
    pub alpha: u32,
    /// Prior failures, at least 1.
    pub beta: u32,
}

impl Default for BetaPrior {
    /// The uniform distribution, as weak as one success and one failure.
    fn default() -> Self {
        Self { alpha: 1, beta: 1 }
    }
}

/// Successes among independent trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trials {
    /// Trials.
    pub count: u64,
    /// Those that succeeded, at most `count`.
    pub successes: u64,
}

/// The comparison of two rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateComparison {
    /// Posterior mean of the rate of control.
    pub control_mean: f64,
    /// Posterior mean of the rate of treatment.
    pub treatment_mean: f64,
    /// `P(rate of treatment > rate of control)`.
    pub probability_greater: f64,
    /// `E[max(0, control - treatment)]`: what treatment loses on average where more is better.
    pub expected_shortfall: f64,
    /// `E[max(0, treatment - control)]`: what control loses on average where more is better.
    pub expected_excess: f64,
}

/// The posterior comparison of two rates under the same prior.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] for more successes than trials or a prior parameter of zero.
pub fn compare(
    control: Trials,
    treatment: Trials,
    prior: BetaPrior,
) -> Result<RateComparison, Undefined> {
    let (c, t) = (Beta::posterior(control, prior)?, Beta::posterior(treatment, prior)?);
    Ok(RateComparison {
        control_mean: c.mean(),
        treatment_mean: t.mean(),
        probability_greater: t.probability_above(&c),
        expected_shortfall: c.mean_excess_over(&t),
        expected_excess: t.mean_excess_over(&c),
    })
}

/// A Beta distribution: successes and failures, prior included.
#[derive(Clone, Copy, Debug)]
struct Beta {
    a: f64,
    b: f64,
}

impl Beta {
    fn posterior(trials: Trials, prior: BetaPrior) -> Result<Self, Undefined> {
        let failures =
            trials.count.checked_sub(trials.successes).ok_or(Undefined::OutsideDomain)?;
        if prior.alpha == 0 || prior.beta == 0 {
            return Err(Undefined::OutsideDomain);
        }
        Ok(Self {
            a: f64::from(prior.alpha) + Dd::from_u64(trials.successes).to_f64(),
            b: f64::from(prior.beta) + Dd::from_u64(failures).to_f64(),
        })
    }

    fn mean(&self) -> f64 {
        self.a / (self.a + self.b)
    }

    fn with_success(self) -> Self {
        Self { a: self.a + 1.0, ..self }
    }

    /// The distribution of the rate of failure.
    fn mirrored(self) -> Self {
        Self { a: self.b, b: self.a }
    }

    /// `P(self > other)`.
    fn probability_above(&self, other: &Self) -> f64 {
        let shortest = |x: &Self, y: &Self| x.a.min(y.b);
        if shortest(self, other) <= LONGEST_SUM {
            sum_above(self, other)
        } else if shortest(other, self) <= LONGEST_SUM {
            1.0 - sum_above(other, self)
        } else {
            Edgeworth::of_difference(self, other).probability_positive()
        }
    }

    /// `E[max(0, self - other)]`, by `E[X 1(X > Y)] = E[X] P(X' > Y)` where `X'` has one success more.
    fn mean_excess_over(&self, other: &Self) -> f64 {
        if self.a.min(self.b).min(other.a).min(other.b) > LONGEST_SUM {
            return Edgeworth::of_difference(self, other).mean_excess();
        }
        let own = self.mean() * self.with_success().probability_above(other);
        let lost = other.mean() * self.probability_above(&other.with_success());
        (own - lost).max(0.0)
    }
}

/// `P(x > y)` by the shorter of the sums over successes of `x` and over failures of `y`.
fn sum_above(x: &Beta, y: &Beta) -> f64 {
    let (x, y) = if x.a <= y.b { (*x, *y) } else { (y.mirrored(), x.mirrored()) };
    let total = y.a + y.b + x.b;
    let mut ln_scale = ln_first_term(&x, &y);
    let (mut term, mut sum, mut i) = (1.0, 1.0, 0.0);
    while i + 1.0 < x.a {
        term *= (y.a + i) / (total + i) * ((x.b + i) / (1.0 + i));
        sum += term;
        i += 1.0;
        if sum > 1e200 {
            term *= 1e-200;
            sum *= 1e-200;
            ln_scale += 200.0 * std::f64::consts::LN_10;
        }
    }
    (ln_scale + sum.ln()).exp().min(1.0)
}

/// `ln(B(a₁, b₁+b₂)/B(a₁, b₁))` by Stirling's formula, its large parts cancelled by hand.
fn ln_first_term(x: &Beta, y: &Beta) -> f64 {
    let total = y.a + y.b + x.b;
    x.b * (-y.a / total).ln_1p() + (y.b - 0.5) * (y.a / y.b * (x.b / total)).ln_1p()
        - y.a * (x.b / (y.a + y.b)).ln_1p()
        + (stirling_error(y.b + x.b) - stirling_error(y.b))
        - (stirling_error(total) - stirling_error(y.a + y.b))
}

/// The difference of two Beta variables, standardised, with its skewness.
struct Edgeworth {
    z: f64,
    deviation: f64,
    skewness: f64,
}

impl Edgeworth {
    fn of_difference(x: &Beta, y: &Beta) -> Self {
        let variance = |beta: &Beta| {
            let size = beta.a + beta.b;
            beta.mean() * (beta.b / size) / (size + 1.0)
        };
        // Third central moment: 2ab(b-a)/(s³(s+1)(s+2)).
        let third = |beta: &Beta| {
            let size = beta.a + beta.b;
            2.0 * variance(beta) * ((beta.b - beta.a) / size) / (size + 2.0)
        };
        let deviation = (variance(x) + variance(y)).sqrt();
        Self {
            z: (x.mean() - y.mean()) / deviation,
            deviation,
            skewness: (third(x) - third(y)) / deviation.powi(3),
        }
    }

    fn probability_positive(&self) -> f64 {
        let z = self.z;
        let correction = self.skewness * (z * z - 1.0) * normal_pdf(z) / 6.0;
        (normal_sf(-z) + correction).clamp(0.0, 1.0)
    }

    fn mean_excess(&self) -> f64 {
        let correction = self.skewness * self.z * normal_pdf(self.z) / 6.0;
        (self.deviation * (mean_above_zero(self.z) - correction)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(count: u64, successes: u64) -> Trials {
        Trials { count, successes }
    }

    #[test]
    fn equal_data_are_undecided() {
        for count in [0, 10, 3_000, 1_000_000_000_000] {
            let arm = trials(count, count / 2);
            let both = compare(arm, arm, BetaPrior::default()).unwrap();
            assert!((both.probability_greater - 0.5).abs() < 1e-9, "{count} {both:?}");
            let losses = both.expected_shortfall / both.expected_excess;
            assert!((losses - 1.0).abs() < 1e-6, "{count} {both:?}");
        }
    }

    #[test]
    fn all_sums_agree() {
        let (x, y) = (Beta { a: 30.0, b: 71.0 }, Beta { a: 45.0, b: 80.0 });
        let direct = sum_above(&x, &y);
        assert!((direct + sum_above(&y, &x) - 1.0).abs() < 1e-13);
        assert!((direct - sum_above(&y.mirrored(), &x.mirrored())).abs() < 1e-14);
    }

    #[test]
    fn the_expansion_meets_the_sums_where_they_part() {
        for (x, y) in [
            (Beta { a: 1_990.0, b: 9_000.0 }, Beta { a: 2_010.0, b: 9_400.0 }),
            (Beta { a: 1_995.0, b: 200_000.0 }, Beta { a: 19_000.0, b: 1_850_000.0 }),
        ] {
            let expansion = Edgeworth::of_difference(&x, &y);
            let difference = expansion.probability_positive() - sum_above(&x, &y);
            assert!(difference.abs() < 1e-4, "{difference:e}");
            let excess = expansion.mean_excess() / x.mean_excess_over(&y) - 1.0;
            assert!(excess.abs() < 1e-3, "{excess:e}");
        }
    }

    #[test]
    fn a_small_arm_beside_a_thousand_million_trials_is_exact() {
        // Beta(3, 2) against the known rate ½: P(X > ½) = 11/16.
        let known = trials(2_000_000_000_000_000, 1_000_000_000_000_000);
        let both = compare(known, trials(3, 2), BetaPrior::default()).unwrap();
        assert!((both.probability_greater - 0.687_5).abs() < 1e-9, "{both:?}");
    }

    #[test]
    fn impossible_counts_are_refused() {
        let zero = BetaPrior { alpha: 0, beta: 1 };
        assert!(compare(trials(1, 2), trials(1, 1), BetaPrior::default()).is_err());
        assert!(compare(trials(1, 1), trials(1, 1), zero).is_err());
    }
}
