//! One look at a difference: the four numbers a sequential test needs, with the standard error guarded.
//!
//! **The guard.** Welch's standard error of a rare arm is far too small until its first rare value arrives, and a
//! sequential test waits for just that moment: with 95/5 splits and skewed outcomes it calls 18 % of A/A tests. The
//! pooled standard error fails the other way (37 % where the small arm has three times the deviation). The larger of the
//! two, with Welch's degrees of freedom, stays below the level on all distributions tried, and costs nothing at 50/50.

use crate::stats::Undefined;
use crate::stats::dd::Dd;
use crate::stats::mean_test::{ArmEstimate, TTest, student, welch, welch_estimates};
use crate::stats::moments::Moments;

/// The evidence at one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Treatment minus control, or any contrast that is zero under the hypothesis. Finite.
    pub difference: f64,
    /// Its standard error, guarded: positive and finite.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error, positive; infinite where it is known.
    pub degrees_of_freedom: f64,
    /// The clock, positive: units in both arms, or what [`at_clock`](Self::at_clock) says.
    pub clock: f64,
}

impl Look {
    /// Independent outcomes: `max(Welch, Student)` standard error; every outcome is a unit.
    ///
    /// # Errors
    ///
    /// As [`student`].
    pub fn of_moments(control: &Moments, treatment: &Moments) -> Result<Self, Undefined> {
        let welch = welch(control, treatment)?;
        let pooled = student(control, treatment)?;
        let units = Dd::from_u64(control.count) + Dd::from_u64(treatment.count);
        Ok(Self::guarded(&welch, pooled.standard_error, units.to_f64()))
    }

    /// Two estimates of any kind, each with the number of units behind it.
    ///
    /// The pooled standard error needs a variance per unit. An estimate is asymptotically a mean of one contribution per
    /// unit, so an arm's is `v = se²·n`. Were it the same `v̄` in both arms, as under no difference, then
    ///
    /// `v̄ = (n_c v_c + n_t v_t)/(n_c + n_t)` and `se_pooled² = v̄ (1/n_c + 1/n_t)`,
    ///
    /// which for means is Student's up to the factor `(n_c+n_t)/(n_c+n_t-2)` or less.
    ///
    /// # Errors
    ///
    /// [`Undefined::NotEnoughData`] for an arm without units, else as [`welch_estimates`].
    pub fn of_estimates(
        control: &ArmEstimate,
        control_units: u64,
        treatment: &ArmEstimate,
        treatment_units: u64,
    ) -> Result<Self, Undefined> {
        if control_units == 0 || treatment_units == 0 {
            return Err(Undefined::NotEnoughData);
        }
        let (n_c, n_t) =
            (Dd::from_u64(control_units).to_f64(), Dd::from_u64(treatment_units).to_f64());
        let welch = welch_estimates(control, treatment)?;
        let total = n_c + n_t;
        // √(v̄ (1/n_c + 1/n_t)) with v̄ = Σ(se·n)²/total; hypot, so that no square underflows.
        let pooled = (control.standard_error * n_c).hypot(treatment.standard_error * n_t)
            / (n_c * n_t).sqrt();
        Ok(Self::guarded(&welch, pooled, total))
    }

    /// The same look by another clock.
    ///
    /// Units are the right clock where all outcomes of a unit come at once. Where units return, the evidence goes on
    /// growing when no new unit comes: a clock in units runs ahead of it, and the O'Brien-Fleming part calls up to 20 % of
    /// A/A tests (500 units, 20 visits each, all units planned). Outcomes never run ahead, because an outcome of a known
    /// unit never says more than one of a new unit; a clock in outcomes needs a plan in outcomes.
    #[must_use]
    pub fn at_clock(&self, clock: f64) -> Self {
        Self { clock, ..*self }
    }

    /// The look from the other side: control minus treatment.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { difference: -self.difference, ..*self }
    }

    /// `difference / standard_error`.
    #[must_use]
    pub fn statistic(&self) -> f64 {
        self.difference / self.standard_error
    }

    fn guarded(welch: &TTest, pooled: f64, units: f64) -> Self {
        Self {
            difference: welch.difference,
            standard_error: welch.standard_error.max(pooled),
            degrees_of_freedom: welch.degrees_of_freedom,
            clock: units,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_of_means_give_the_look_of_moments() {
        let control = Moments::from_f64(4_000, 3_000.0, 3_000.0);
        let treatment = Moments::from_f64(1_000, 900.0, 900.0);
        let direct = Look::of_moments(&control, &treatment).unwrap();
        let (c, t) = (ArmEstimate::mean(&control).unwrap(), ArmEstimate::mean(&treatment).unwrap());
        let look = Look::of_estimates(&c, 4_000, &t, 1_000).unwrap();
        assert!((look.standard_error / direct.standard_error - 1.0).abs() < 1e-3);
        assert!(look.standard_error > c.standard_error.hypot(t.standard_error));
        assert_eq!(look.clock.to_bits(), direct.clock.to_bits());
    }

    #[test]
    fn an_arm_without_units_is_no_look() {
        let arm = ArmEstimate { value: Dd::ONE, standard_error: 1.0, degrees_of_freedom: 9.0 };
        assert_eq!(Look::of_estimates(&arm, 0, &arm, 5), Err(Undefined::NotEnoughData));
    }
}
