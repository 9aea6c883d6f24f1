//! The O'Brien-Fleming boundary in continuous time: all looks up to a planned end.
//!
//! Under "no difference", `W(n/N) = z √(n/N)` is Brownian motion on `[0, 1]`, and by reflection
//! `P(max |W| > c) <= 4 P(Z > c)`: looking all the time costs a critical value of `z_{α/4}` = 2.24 in place of 1.96. It is
//! the limit of Lan and `DeMets`' spending of O'Brien-Fleming type for infinitely many looks (K. K. G. Lan, D. L. `DeMets`,
//! Biometrika 70 (1983); P. C. O'Brien, T. R. Fleming, Biometrics 35 (1979)). One-sided, `P(max W > c) = 2 P(Z > c)`.
//!
//! `n` is the clock of the look and `N` where the plan ends. Nothing is promised beyond it; [`Rule`](super::Rule) does not ask.

use super::{Look, tail_of_logarithm};
use crate::stats::distribution::{normal_isf, normal_ln_sf};
use crate::stats::mean_test::Tail;
use crate::stats::{Interval, Undefined};

/// The boundary for a planned end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObrienFleming {
    end: f64,
}

impl ObrienFleming {
    /// A plan that ends when the clock reads `end`.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] unless `end` is positive and finite.
    pub fn new(end: f64) -> Result<Self, Undefined> {
        (end > 0.0 && end.is_finite()).then_some(Self { end }).ok_or(Undefined::OutsideDomain)
    }

    /// Where the plan ends.
    #[must_use]
    pub fn end(self) -> f64 {
        self.end
    }

    /// The two-sided p-value `min(1, 4 P(Z > |z| √(n/N)))`.
    #[must_use]
    pub fn tail(self, look: &Look) -> Tail {
        tail_of_logarithm(self.ln_p_value(look))
    }

    /// Half the width of the interval of level `1 - alpha` in standard errors: `z_{α/4} √(N/n)`.
    #[must_use]
    pub fn radius(self, look: &Look, alpha: f64) -> f64 {
        normal_isf(0.25 * alpha) * (self.end / look.clock).sqrt()
    }

    /// The interval of level `1 - alpha`.
    #[must_use]
    pub fn interval(self, look: &Look, alpha: f64) -> Interval {
        Interval::around(look.difference, self.radius(look, alpha) * look.standard_error)
    }

    /// `ln(4 P(Z > |W|))`, which may be positive.
    pub(super) fn ln_p_value(self, look: &Look) -> f64 {
        2.0 * std::f64::consts::LN_2 + normal_ln_sf(self.motion(look).abs())
    }

    /// `ln(2 P(Z > W))`, which may be positive.
    pub(super) fn ln_p_value_above(self, look: &Look) -> f64 {
        std::f64::consts::LN_2 + normal_ln_sf(self.motion(look))
    }

    /// `W = z √(n/N)`, kept where its square is finite.
    fn motion(self, look: &Look) -> f64 {
        (look.statistic() * (look.clock / self.end).sqrt()).clamp(-1e150, 1e150)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_all_the_time_costs_little_at_the_end() {
        let plan = ObrienFleming::new(1_000.0).unwrap();
        let look = |clock| Look {
            difference: 2.25,
            standard_error: 1.0,
            degrees_of_freedom: f64::INFINITY,
            clock,
        };
        assert!((plan.radius(&look(1_000.0), 0.05) - 2.241_402_727_604_945).abs() < 1e-12);
        assert!(plan.tail(&look(1_000.0)).p_value < 0.05);
        assert!(plan.tail(&look(900.0)).p_value > 0.05);
        assert!(plan.interval(&look(900.0), 0.05).contains(0.0));
    }

    #[test]
    fn a_plan_has_an_end() {
        for end in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ObrienFleming::new(end), Err(Undefined::OutsideDomain));
        }
    }
}
