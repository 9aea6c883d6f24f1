//! The t-mixture e-process: a bet on every effect size at once, valid for ever.
//!
//! Under "no difference" the statistic at clock `n` is compared with its distribution under effects drawn from a normal
//! prior of variance `ρ²` per unit. With `r = 1/(1+nρ²)` and `ν` degrees of freedom
//!
//! `ln E = ½ ln r + ½(ν+1) ln((ν + t²)/(ν + r t²))`, and as `ν → ∞` `ln E = ½ ln r + ½ t² (1-r)`.
//!
//! `E` has expectation at most one at any stopping time, so `p = min(1, 1/E)` may be looked at always (Ville 1939). The
//! interval is what is not rejected: radius `√(ν(1-A)/(A-r))` standard errors, `A = (rα²)^{1/(ν+1)}`, and the whole line
//! while `A <= r`.
//!
//! **One-sided.** The positive half of the prior, twice as dense: `E₊ = 2 E F(x)` where `F(x)` is the posterior
//! probability of a positive effect, Student's distribution function with `ν+1` degrees of freedom at
//! `x = t √((1-r)(ν+1)/(ν + r t²))`. As `ν → ∞` that is the one-sided normal mixture of Howard et al.
//!
//! Sources: M. Lindon, D. Ham, M. Tingley, I. Bojinov, "Anytime-valid linear models and regression adjusted causal
//! inference" (2022); S. R. Howard, A. Ramdas, J. `McAuliffe`, J. Sekhon, Ann. Statist. 49 (2021), eq. 14;
//! I. Waudby-Smith et al., "Time-uniform central limit theory" (2024), eq. 9 and the closed form for `ρ²`.

use super::Look;
use super::tail_of_logarithm;
use crate::stats::distribution::{normal_ln_sf, student_ln_sf};
use crate::stats::mean_test::Tail;
use crate::stats::{Interval, Undefined};

/// A mixture: only the variance of its prior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    rho_squared: f64,
}

impl Mixture {
    /// The mixture whose two-sided interval of level `1 - alpha` is narrowest at `clock`:
    /// `ρ² = (-2 ln α + ln(1 - 2 ln α))/n`, within 2 % of the optimum.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] unless `0 < alpha < 1` and `clock` is positive and finite.
    pub fn tuned_at(clock: f64, alpha: f64) -> Result<Self, Undefined> {
        let valid = 0.0 < alpha && alpha < 1.0 && clock > 0.0 && clock.is_finite();
        let surprise = -2.0 * alpha.ln();
        let rho_squared = (surprise + surprise.ln_1p()) / clock;
        (valid && rho_squared.is_finite())
            .then_some(Self { rho_squared })
            .ok_or(Undefined::OutsideDomain)
    }

    /// Variance of the prior per tick of the clock.
    #[must_use]
    pub fn rho_squared(self) -> f64 {
        self.rho_squared
    }

    /// `r = 1/(1+nρ²)`, the share of the variance that is noise.
    #[must_use]
    pub fn noise_share(self, clock: f64) -> f64 {
        (1.0 + clock * self.rho_squared).recip()
    }

    /// `1 - r`, without cancelling.
    fn signal_share(self, clock: f64) -> f64 {
        let signal = clock * self.rho_squared;
        signal / (1.0 + signal)
    }

    /// Logarithm of the two-sided e-value; positive speaks for a difference.
    #[must_use]
    pub fn ln_e(self, look: &Look) -> f64 {
        let t = look.statistic();
        let df = look.degrees_of_freedom;
        let (noise, signal) = (self.noise_share(look.clock), self.signal_share(look.clock));
        let evidence = if df.is_infinite() {
            signal * t * t
        } else {
            // (ν+t²)/(ν+rt²) = 1 + (1-r)/(ν/t² + r), dividing twice because t² may overflow.
            (df + 1.0) * (signal / (df / t / t + noise)).ln_1p()
        };
        0.5 * (noise.ln() + evidence)
    }

    /// Logarithm of the one-sided e-value; positive speaks for a positive difference.
    #[must_use]
    pub fn ln_e_above(self, look: &Look) -> f64 {
        let t = look.statistic();
        let df = look.degrees_of_freedom;
        let (noise, signal) = (self.noise_share(look.clock), self.signal_share(look.clock));
        let ln_positive = if df.is_infinite() {
            normal_ln_sf(-t * signal.sqrt())
        } else {
            let spread = (df / (df + 1.0)).sqrt().hypot(t * (noise / (df + 1.0)).sqrt());
            student_ln_sf(-t * signal.sqrt() / spread, df + 1.0)
        };
        self.ln_e(look) + std::f64::consts::LN_2 + ln_positive
    }

    /// The two-sided p-value `min(1, 1/E)`.
    #[must_use]
    pub fn tail(self, look: &Look) -> Tail {
        tail_of_logarithm(-self.ln_e(look))
    }

    /// Half the width of the interval in standard errors; none while it is the whole line.
    #[must_use]
    pub fn radius(self, look: &Look, alpha: f64) -> Option<f64> {
        let df = look.degrees_of_freedom;
        let (noise, signal) = (self.noise_share(look.clock), self.signal_share(look.clock));
        let ln_threshold = noise.ln() + 2.0 * alpha.ln();
        if df.is_infinite() {
            return Some((-ln_threshold / signal).sqrt());
        }
        let reach = -(ln_threshold / (df + 1.0)).exp_m1();
        (reach < signal).then(|| (df * reach / (signal - reach)).sqrt())
    }

    /// The interval of level `1 - alpha`, unbounded while the radius is.
    #[must_use]
    pub fn interval(self, look: &Look, alpha: f64) -> Interval {
        let radius = self.radius(look, alpha).unwrap_or(f64::INFINITY);
        Interval::around(look.difference, radius * look.standard_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(t: f64, df: f64) -> Look {
        Look { difference: t, standard_error: 1.0, degrees_of_freedom: df, clock: 1_000.0 }
    }

    #[test]
    fn many_degrees_of_freedom_are_infinitely_many() {
        let mixture = Mixture::tuned_at(5_000.0, 0.05).unwrap();
        for t in [-4.0, 0.0, 2.5, 30.0] {
            let (many, all) = (look(t, 1e13), look(t, f64::INFINITY));
            let (two, one) = (mixture.ln_e(&all), mixture.ln_e_above(&all));
            assert!((mixture.ln_e(&many) - two).abs() < 1e-9 * (1.0 + two.abs()));
            assert!((mixture.ln_e_above(&many) - one).abs() < 1e-9 * (1.0 + one.abs()));
        }
        let radius = |df| mixture.radius(&look(0.0, df), 0.05).unwrap();
        assert!((radius(1e13) / radius(f64::INFINITY) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn both_halves_make_the_whole() {
        let mixture = Mixture::tuned_at(500.0, 0.05).unwrap();
        for df in [1.5, 12.0, 4_000.0, f64::INFINITY] {
            let (up, down) = (look(1.7, df), look(-1.7, df));
            let halves = mixture.ln_e_above(&up).exp() + mixture.ln_e_above(&down).exp();
            assert!((halves / (2.0 * mixture.ln_e(&up).exp()) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn enormous_statistics_have_a_logarithm() {
        let mixture = Mixture::tuned_at(5_000.0, 0.05).unwrap();
        let tail = mixture.tail(&look(1e200, 1e6));
        assert!(tail.ln_p_value.is_finite() && tail.p_value > 0.0);
        assert!(mixture.ln_e_above(&look(-1e200, 1e6)).is_finite());
    }

    #[test]
    fn a_positive_effect_is_no_bet_on_a_negative_one() {
        // Expectation of E₊ under "no difference" by integrating over t: at most one.
        let mixture = Mixture::tuned_at(1_000.0, 0.1).unwrap();
        let step = 0.01;
        let mean: f64 = (-3_000..=3_000)
            .map(|k| f64::from(k) * step)
            .map(|t| {
                let density = crate::stats::distribution::normal_pdf(t);
                step * density * mixture.ln_e_above(&look(t, f64::INFINITY)).exp()
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-6, "{mean}");
    }
}
