//! Tests that stay valid however often somebody looks: the two-clock rule and its two parts.
//!
//! A fixed-horizon test looked at after every outcome calls 63 % of all A/A tests significant. Here the error
//! probability counts over *all* looks, past and to come:
//!
//! | part | share of α | valid | what it is for |
//! |---|---|---|---|
//! | [`ObrienFleming`] | 0.8 | up to the planned end | nearly the power of one look at the plan |
//! | [`Mixture`] | 0.2 | for ever | goes on when the plan has passed |
//!
//! By Bonferroni the union of both keeps α: `p = min(1, p_obf/0.8, p_mix/0.2)`, and the interval is the intersection of
//! the two intervals at 0.8α and 0.2α. The plan is an end of the clock written down before the start; without one
//! there is the mixture alone, at the full α.
//!
//! **One look and many.** [`Rule::look`] is a pure function of the sums at that look. Past the plan the O'Brien-Fleming
//! part says nothing new and is left out: its last word lives on in [`Running`], which keeps the smallest p-value and the
//! intersection of all intervals so far. That is valid because the guarantee holds for all looks at once, and it is what
//! makes decisions monotone: once significant, always significant.
//!
//! The clock `n` is the number of units in both arms, or of outcomes where units return ([`Look::at_clock`]); it must not
//! run ahead of the information. A clock in inverse variances would run by the data and raise the error to 7 or 8 % on
//! skewed outcomes. Standard errors are guarded (see [`Look`]).
//!
//! These tests are asymptotic: what they promise for outcomes that are not normal is measured
//! ([`calibration`](super::calibration)), not proven.

mod look;
mod mixture;
mod obrien_fleming;
mod planning;
mod running;

pub use self::look::Look;
pub use self::mixture::Mixture;
pub use self::obrien_fleming::ObrienFleming;
pub use self::planning::{inflation, planned_power};
pub use self::running::Running;

use super::mean_test::Tail;
use super::{Interval, Undefined};

/// Share of α that goes to the O'Brien-Fleming part where there is a plan.
pub const PLANNED_SHARE: f64 = 0.8;

/// Where the mixture is narrowest if nobody planned anything: units, or outcomes, in both arms together.
pub const DEFAULT_TUNING: f64 = 5_000.0;

/// What one look says by itself. Feed it to [`Running`] for what all looks say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequentialTest {
    /// Two-sided p-value, as [`Tail::p_value`].
    pub p_value: f64,
    /// Its natural logarithm.
    pub ln_p_value: f64,
    /// Interval of the difference; infinite bounds while there is too little data for any.
    pub interval: Interval,
}

/// A sequential test, fixed before the first look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    alpha: f64,
    planned: Option<ObrienFleming>,
    /// The two-sided mixture, tuned at the share of α it gets.
    mixture: Mixture,
    /// The one-sided one.
    mixture_above: Mixture,
}

impl Rule {
    /// The two-clock rule at level `alpha` with a plan that ends when the clock reads `end`.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] unless `0 < alpha < 1` and the end is positive and finite.
    pub fn planned(alpha: f64, end: f64) -> Result<Self, Undefined> {
        Self::new(alpha, Some(ObrienFleming::new(end)?), end)
    }

    /// The mixture alone, narrowest when the clock reads `tuned_at` ([`DEFAULT_TUNING`] if nothing better is known).
    ///
    /// # Errors
    ///
    /// As [`planned`](Self::planned).
    pub fn open_ended(alpha: f64, tuned_at: f64) -> Result<Self, Undefined> {
        Self::new(alpha, None, tuned_at)
    }

    fn new(alpha: f64, planned: Option<ObrienFleming>, tuned_at: f64) -> Result<Self, Undefined> {
        if !(0.0 < alpha && alpha < 1.0) {
            return Err(Undefined::OutsideDomain);
        }
        let share = alpha * mixture_share(planned.is_some());
        Ok(Self {
            alpha,
            planned,
            mixture: Mixture::tuned_at(tuned_at, share)?,
            // Half of a two-sided mixture at 2α is a one-sided one at α.
            mixture_above: Mixture::tuned_at(tuned_at, (2.0 * share).min(0.999))?,
        })
    }

    /// The level.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The two-sided test of "no difference" at one look.
    #[must_use]
    pub fn look(&self, look: &Look) -> SequentialTest {
        let planned = self.planned_at(look);
        let of_mixture = -self.mixture.ln_e(look) - mixture_share(self.planned.is_some()).ln();
        let of_plan = planned.map_or(0.0, |part| part.ln_p_value(look) - PLANNED_SHARE.ln());
        let tail = tail_of_logarithm(of_mixture.min(of_plan));
        SequentialTest {
            p_value: tail.p_value,
            ln_p_value: tail.ln_p_value,
            interval: self.interval(look),
        }
    }

    /// The test of "the difference is at most zero", against "it is positive", at level α on that side alone.
    #[must_use]
    pub fn look_above(&self, look: &Look) -> Tail {
        let planned = self.planned_at(look);
        let share = mixture_share(self.planned.is_some());
        let of_mixture = -self.mixture_above.ln_e_above(look) - share.ln();
        let of_plan = planned.map_or(0.0, |part| part.ln_p_value_above(look) - PLANNED_SHARE.ln());
        tail_of_logarithm(of_mixture.min(of_plan))
    }

    /// The narrower side by side: both parts have the same centre.
    fn interval(&self, look: &Look) -> Interval {
        let share = mixture_share(self.planned.is_some());
        let of_mixture = self.mixture.radius(look, self.alpha * share);
        let of_plan =
            self.planned_at(look).map(|part| part.radius(look, self.alpha * PLANNED_SHARE));
        let radius = of_plan.into_iter().chain(of_mixture).fold(f64::INFINITY, f64::min);
        Interval::around(look.difference, radius * look.standard_error)
    }

    /// The planned part, while its clock runs.
    fn planned_at(&self, look: &Look) -> Option<ObrienFleming> {
        self.planned.filter(|part| look.clock <= part.end())
    }
}

/// What the mixture gets of α.
fn mixture_share(planned: bool) -> f64 {
    if planned { 1.0 - PLANNED_SHARE } else { 1.0 }
}

/// `min(1, p)` from `ln p`.
fn tail_of_logarithm(ln_p_value: f64) -> Tail {
    let ln_p_value = ln_p_value.min(0.0);
    Tail { p_value: ln_p_value.exp().max(f64::MIN_POSITIVE), ln_p_value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(z: f64, clock: f64) -> Look {
        Look { difference: z, standard_error: 1.0, degrees_of_freedom: clock - 2.0, clock }
    }

    #[test]
    fn p_is_alpha_where_the_interval_ends() {
        for rule in
            [Rule::planned(0.05, 2_358.0).unwrap(), Rule::open_ended(0.05, 2_358.0).unwrap()]
        {
            for clock in [200.0, 1_000.0, 2_358.0, 5_000.0] {
                let bound = rule.look(&look(0.0, clock)).interval.upper;
                let p_value = rule.look(&look(bound, clock)).p_value;
                assert!((p_value / 0.05 - 1.0).abs() < 1e-9, "{clock} {p_value}");
            }
        }
    }

    #[test]
    fn past_the_plan_the_mixture_alone_speaks() {
        let rule = Rule::planned(0.05, 1_000.0).unwrap();
        let (at, past) = (rule.look(&look(2.6, 1_000.0)), rule.look(&look(2.6, 1_001.0)));
        assert!(at.p_value < 0.05 && past.p_value > 0.05, "{at:?} {past:?}");
    }

    #[test]
    fn one_side_costs_half() {
        let rule = Rule::planned(0.05, 1_000.0).unwrap();
        let one = rule.look_above(&look(3.0, 900.0)).p_value;
        let two = rule.look(&look(3.0, 900.0)).p_value;
        assert!((one / two - 0.5).abs() < 1e-12, "{one} {two}");
        assert!(rule.look_above(&look(-3.0, 900.0)).ln_p_value >= 0.0);
    }

    #[test]
    fn nothing_is_known_from_a_handful() {
        let rule = Rule::open_ended(0.05, 50_000.0).unwrap();
        assert!(rule.look(&look(1.0, 4.0)).interval.upper.is_infinite());
        assert_eq!(Rule::planned(0.05, 0.0), Err(Undefined::OutsideDomain));
        assert_eq!(Rule::open_ended(1.0, 10.0), Err(Undefined::OutsideDomain));
    }
}
