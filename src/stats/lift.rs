//! Relative lift `(m_t - m_c)/|m_c|` with three intervals.
//!
//! - **Fieller** (E. C. Fieller, JRSS B 16 (1954)): exact for normal estimates, and honest: when
//!   the control is not distinguishable from zero the set of lifts that fit the data is unbounded,
//!   and it says so.
//! - **Delta** (first-order Taylor): symmetric, what most platforms show; too narrow for a noisy
//!   control.
//! - **Log-delta**: the delta method for `ln(m_t/m_c)`; needs means of one sign.
//!
//! With `a`, `b` the squared standard errors of control and treatment, `r = m_t/m_c`, `α = a/m_c²`,
//! `β = b/m_c²` and the critical value `q`, Fieller's set is `{R : (1-g)R² - 2rR + r² - q²β <= 0}`
//! with `g = q²α`; its discriminant is written `q²(β(1-g) + αr²)`, in which nothing cancels. Lift
//! is `R - 1` for a positive baseline and `1 - R` for a negative one, so that plus always means
//! "more".

use super::distribution::student_isf;
use super::mean_test::{ArmEstimate, welch_degrees_of_freedom};
use super::{Interval, Undefined};

/// Fieller's confidence set of the lift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fieller {
    /// All lifts in the interval.
    Bounded(Interval),
    /// All lifts *outside* the open interval: `(-∞, lower] ∪ [upper, ∞)`. The control may be zero,
    /// the treatment not.
    Exclusive(Interval),
    /// Every lift fits the data.
    Unbounded,
}

/// A relative lift and what its intervals are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// `m_t/m_c`.
    pub ratio: f64,
    /// `(m_t - m_c)/|m_c|`.
    pub lift: f64,
    /// Standard error of the lift by the delta method, `√(b/m_c² + a m_t²/m_c⁴)`.
    pub standard_error: f64,
    /// Standard error of `ln(m_t/m_c)`, `√(b/m_t² + a/m_c²)`; none unless both means have the same
    /// sign.
    pub log_standard_error: Option<f64>,
    /// Welch's degrees of freedom; none where neither arm varies.
    pub degrees_of_freedom: Option<f64>,
    /// The sign of the baseline.
    orientation: f64,
    /// `√α = se_c/|m_c|`.
    control_variation: f64,
    /// `√β = se_t/|m_c|`.
    treatment_variation: f64,
}

impl Lift {
    /// The lift of one estimate over another.
    ///
    /// # Errors
    ///
    /// [`Undefined::ZeroBaseline`] where the control is zero, [`Undefined::OutOfRange`] where it is
    /// so near to zero that the lift or its standard error is not finite.
    pub fn new(control: &ArmEstimate, treatment: &ArmEstimate) -> Result<Self, Undefined> {
        if control.value.is_zero() {
            return Err(Undefined::ZeroBaseline);
        }
        let baseline = control.value.to_f64();
        let ratio = (treatment.value / control.value).to_f64();
        let control_variation = control.standard_error / baseline.abs();
        let treatment_variation = treatment.standard_error / baseline.abs();
        let lift = Self {
            ratio,
            lift: ((treatment.value - control.value) / control.value.abs()).to_f64(),
            standard_error: treatment_variation.hypot(control_variation * ratio),
            log_standard_error: (ratio > 0.0)
                .then(|| (treatment_variation / ratio).hypot(control_variation)),
            degrees_of_freedom: welch_degrees_of_freedom(control, treatment).ok(),
            orientation: baseline.signum(),
            control_variation,
            treatment_variation,
        };
        let finite =
            lift.lift.is_finite() && lift.ratio.is_finite() && lift.standard_error.is_finite();
        finite.then_some(lift).ok_or(Undefined::OutOfRange)
    }

    /// The critical value `t_{df, (1-level)/2}` for the intervals; none where neither arm varies.
    #[must_use]
    pub fn critical_value(&self, level: f64) -> Option<f64> {
        self.degrees_of_freedom.map(|df| student_isf(0.5 * (1.0 - level), df))
    }

    /// `lift ± critical · standard error`.
    #[must_use]
    pub fn delta(&self, critical: f64) -> Interval {
        Interval::around(self.lift, critical * self.standard_error)
    }

    /// `(m_t/m_c) e^(± critical · se_log)` as a lift; none unless both means have the same sign.
    #[must_use]
    pub fn log_delta(&self, critical: f64) -> Option<Interval> {
        let exponent = critical * self.log_standard_error?;
        let low = self.above_ratio(self.ratio * (-exponent).exp_m1());
        let high = self.above_ratio(self.ratio * exponent.exp_m1());
        Some(self.oriented(low, high))
    }

    /// `g = q²α`: at 1 and above the control is not distinguishable from zero and no interval is
    /// bounded.
    #[must_use]
    pub fn fieller_g(&self, critical: f64) -> f64 {
        (critical * self.control_variation).powi(2)
    }

    /// Fieller's set for a critical value.
    ///
    /// At `g = 1` exactly the set is a half-line, reported as the whole line, which contains it.
    #[must_use]
    pub fn fieller(&self, critical: f64) -> Fieller {
        let g = self.fieller_g(critical);
        let leading = 1.0 - g;
        let discriminant = self.treatment_variation.powi(2) * leading
            + (self.control_variation * self.ratio).powi(2);
        // The centre r/(1-g) as an excess over r, so that small lifts keep their digits.
        let excess = self.ratio * g / leading;
        let radius = critical * discriminant.sqrt() / leading.abs();
        let (low, high) = (self.above_ratio(excess - radius), self.above_ratio(excess + radius));
        let bounds = self.oriented(low, high);
        if !bounds.lower.is_finite() || !bounds.upper.is_finite() {
            Fieller::Unbounded
        } else if g < 1.0 {
            Fieller::Bounded(bounds)
        } else {
            Fieller::Exclusive(bounds)
        }
    }

    /// `R - 1` of the ratio `R = r + excess`, by way of the lift itself, which was computed without
    /// cancellation.
    fn above_ratio(&self, excess: f64) -> f64 {
        self.lift * self.orientation + excess
    }

    /// Bounds of `R - 1` as bounds of the lift.
    fn oriented(&self, low: f64, high: f64) -> Interval {
        if self.orientation < 0.0 {
            Interval { lower: -high, upper: -low }
        } else {
            Interval { lower: low, upper: high }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::dd::Dd;

    fn arm(value: f64, standard_error: f64) -> ArmEstimate {
        ArmEstimate { value: Dd::from(value), standard_error, degrees_of_freedom: 99.0 }
    }

    #[test]
    fn a_zero_baseline_has_no_lift() {
        assert_eq!(Lift::new(&arm(0.0, 1.0), &arm(1.0, 1.0)), Err(Undefined::ZeroBaseline));
        assert_eq!(Lift::new(&arm(1e-320, 1.0), &arm(1.0, 1.0)), Err(Undefined::OutOfRange));
    }

    #[test]
    fn more_is_plus_on_either_side_of_zero() {
        let up = Lift::new(&arm(2.0, 0.1), &arm(2.5, 0.1)).unwrap();
        let less_negative = Lift::new(&arm(-2.0, 0.1), &arm(-1.5, 0.1)).unwrap();
        assert!((up.lift - 0.25).abs() < 1e-15 && (less_negative.lift - 0.25).abs() < 1e-15);
        for lift in [up, less_negative] {
            let Fieller::Bounded(interval) = lift.fieller(1.96) else { panic!("{lift:?}") };
            assert!(interval.contains(0.25) && interval.lower < interval.upper);
            assert!(lift.log_delta(1.96).unwrap().contains(0.25));
        }
    }

    #[test]
    fn fieller_agrees_with_the_test_of_each_lift() {
        // L belongs to the set exactly when |m_t - (1+L) m_c| <= q se; its bounds turn the
        // inequality into an equation.
        let (control, treatment) = (arm(1.0, 0.2), arm(1.4, 0.3));
        let lift = Lift::new(&control, &treatment).unwrap();
        let Fieller::Bounded(interval) = lift.fieller(1.96) else { panic!("{lift:?}") };
        for bound in [interval.lower, interval.upper] {
            let ratio = 1.0 + bound;
            let z = (1.4 - ratio) / 0.3_f64.hypot(0.2 * ratio);
            assert!((z.abs() - 1.96).abs() < 1e-12, "{z}");
        }
    }

    #[test]
    fn a_control_near_zero_makes_the_set_unbounded() {
        let exclusive = Lift::new(&arm(0.1, 0.2), &arm(2.0, 0.2)).unwrap();
        assert!(matches!(exclusive.fieller(1.96), Fieller::Exclusive(_)));
        let nothing = Lift::new(&arm(0.1, 0.2), &arm(0.1, 0.2)).unwrap();
        assert_eq!(nothing.fieller(1.96), Fieller::Unbounded);
    }

    #[test]
    fn without_variance_the_interval_is_the_point() {
        let lift = Lift::new(&arm(2.0, 0.0), &arm(3.0, 0.0)).unwrap();
        assert_eq!(lift.critical_value(0.95), None);
        assert_eq!(lift.fieller(1.96), Fieller::Bounded(Interval { lower: 0.5, upper: 0.5 }));
    }
}
