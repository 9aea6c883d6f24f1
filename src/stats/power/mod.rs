//! How many outcomes a test needs, what it can detect, and with which chance.
//!
//! The t-test with pooled variance: under a standardised difference `d`, `t` is noncentral t with
//! `δ = d √(n_c n_t/(n_c+n_t))` and `n_c + n_t - 2` degrees of freedom (J. Cohen, Statistical Power
//! Analysis, 2nd ed. 1988; the numbers are those of statsmodels' `TTestIndPower` and R's
//! `power.t.test(strict = TRUE)`). Sizes are solved as real numbers and rounded up. Beside it, the
//! textbook normal formulas, which need no solver.
//!
//! These are fixed-horizon sizes for independent outcomes; a design effect or a sequential rule
//! multiplies them.

use super::Undefined;
use super::distribution::{
    noncentral_student_sf, noncentral_student_two_tails, normal_isf, student_isf,
};
use super::tail::Alternative;

mod normal;

pub use self::normal::{minimum_detectable_effect, sample_size_normal, sample_size_rates};

/// Largest size searched for; an effect that needs more is refused.
const LARGEST_SIZE: f64 = 1e15;
/// Fewest outcomes per arm, so that the arm has a variance.
const SMALLEST_SIZE: f64 = 2.0;
/// Halvings of the bracket in `ln n`: 35/2^56 is below the resolution of `ln n`.
const HALVINGS: usize = 56;

/// What is asked of a two-sided test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requirement {
    alpha: f64,
    power: f64,
    ratio: f64,
}

impl Requirement {
    /// A two-sided level `alpha`, the `power` wanted and the `ratio` of treatment to control size.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] unless `0 < alpha < power < 1` and `0 < ratio < ∞`. (A power of
    /// at most alpha needs no data.)
    pub fn new(alpha: f64, power: f64, ratio: f64) -> Result<Self, Undefined> {
        let valid = 0.0 < alpha && alpha < power && power < 1.0 && ratio > 0.0 && ratio.is_finite();
        valid.then_some(Self { alpha, power, ratio }).ok_or(Undefined::OutsideDomain)
    }

    /// `z_{α/2} + z_β`.
    fn normal_distance(&self) -> f64 {
        normal_isf(0.5 * self.alpha) + normal_isf(1.0 - self.power)
    }
}

/// Sizes of both arms as real numbers, the solution before rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleSize {
    /// Outcomes in control.
    pub control: f64,
    /// Outcomes in treatment.
    pub treatment: f64,
}

impl SampleSize {
    /// Both sizes rounded up to whole outcomes: control, treatment.
    #[must_use]
    pub fn rounded_up(&self) -> (u64, u64) {
        (whole(self.control), whole(self.treatment))
    }

    fn with_ratio(control: f64, ratio: f64) -> Result<Self, Undefined> {
        let treatment = control * ratio;
        let size = Self { control, treatment };
        (control.max(treatment) <= LARGEST_SIZE).then_some(size).ok_or(Undefined::OutOfRange)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes lie in [0, 1e15]; the cast saturates at both ends"
)]
fn whole(size: f64) -> u64 {
    size.ceil() as u64
}

/// Cohen's d of an absolute change of a rate, in standard deviations of the baseline:
/// `effect / √(p(1-p))`.
///
/// # Errors
///
/// [`Undefined::ZeroVariance`] unless `0 < baseline_rate < 1`; [`Undefined::OutsideDomain`] for an
/// effect that is not finite.
pub fn effect_size(baseline_rate: f64, effect: f64) -> Result<f64, Undefined> {
    if !(0.0 < baseline_rate && baseline_rate < 1.0) {
        return Err(Undefined::ZeroVariance);
    }
    let effect_size = effect / (baseline_rate * (1.0 - baseline_rate)).sqrt();
    effect_size.is_finite().then_some(effect_size).ok_or(Undefined::OutsideDomain)
}

/// Power of the pooled t-test for a standardised difference, to 1e-12 absolute.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] unless `0 < alpha < 1`, both sizes are at least two and the effect
/// is finite.
pub fn power(
    effect_size: f64,
    control_size: f64,
    treatment_size: f64,
    alpha: f64,
    alternative: Alternative,
) -> Result<f64, Undefined> {
    let sizes_valid =
        [control_size, treatment_size].iter().all(|n| n.is_finite() && *n >= SMALLEST_SIZE);
    if !(sizes_valid && effect_size.is_finite() && 0.0 < alpha && alpha < 1.0) {
        return Err(Undefined::OutsideDomain);
    }
    let df = control_size + treatment_size - 2.0;
    let delta = effect_size / control_size.recip().sqrt().hypot(treatment_size.recip().sqrt());
    Ok(match alternative {
        Alternative::TwoSided => {
            noncentral_student_two_tails(student_isf(0.5 * alpha, df), df, delta)
        }
        Alternative::Greater => noncentral_student_sf(student_isf(alpha, df), df, delta),
        Alternative::Less => noncentral_student_sf(student_isf(alpha, df), df, -delta),
    })
}

/// The sizes at which the two-sided pooled t-test has the power wanted for a standardised
/// difference.
///
/// Power rises with the size, so the root in `ln n` is bracketed and halved; the smaller arm has at
/// least two outcomes.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] for an effect that is zero or not finite, [`Undefined::OutOfRange`]
/// where 1e15 outcomes do not suffice.
pub fn sample_size(effect_size: f64, requirement: &Requirement) -> Result<SampleSize, Undefined> {
    if effect_size.abs() <= 0.0 {
        return Err(Undefined::OutsideDomain);
    }
    let Requirement { alpha, power: wanted, ratio } = *requirement;
    let reaches = |n: f64| -> Result<bool, Undefined> {
        let treatment = (n * ratio).max(SMALLEST_SIZE);
        Ok(power(effect_size, n, treatment, alpha, Alternative::TwoSided)? >= wanted)
    };
    let smallest = SMALLEST_SIZE * ratio.recip().max(1.0);
    if reaches(smallest)? {
        return SampleSize::with_ratio(smallest, ratio);
    }
    let largest = LARGEST_SIZE / ratio.max(1.0);
    if smallest >= largest || !reaches(largest)? {
        return Err(Undefined::OutOfRange);
    }
    let (mut low, mut high) = (smallest.ln(), largest.ln());
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if reaches(middle.exp())? {
            high = middle;
        } else {
            low = middle;
        }
    }
    SampleSize::with_ratio(high.exp(), ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:.15e} {expected:.15e}");
    }

    #[test]
    fn five_points_on_three_quarters_need_1179_outcomes_per_arm() {
        let requirement = Requirement::new(0.05, 0.8, 1.0).unwrap();
        let size = sample_size(effect_size(0.75, 0.05).unwrap(), &requirement).unwrap();
        close(size.control, 1_178.290_209_630_613_8, 1e-9);
        assert_eq!(size.rounded_up(), (1_179, 1_179));
    }

    #[test]
    fn unequal_arms_need_more() {
        // statsmodels 0.15: 15699.2577 control and a quarter of it in treatment.
        let requirement = Requirement::new(0.05, 0.8, 0.25).unwrap();
        let size = sample_size(0.05, &requirement).unwrap();
        close(size.control, 15_699.257_750_138_582, 1e-9);
        assert_eq!(size.rounded_up(), (15_700, 3_925));
    }

    #[test]
    fn huge_and_tiny_sizes_are_solved_alike() {
        let requirement = Requirement::new(0.05, 0.8, 1.0).unwrap();
        let size = sample_size(1e-4, &requirement).unwrap();
        let normal = sample_size_normal(1.0, 1e-4, &requirement).unwrap();
        // The normal formula leaves out the far tail, 1e-6 of power.
        close(size.control, normal.control, 1e-5);
        let reached =
            power(1e-4, size.control, size.treatment, 0.05, Alternative::TwoSided).unwrap();
        close(reached, 0.8, 1e-12);
        assert_eq!(sample_size(50.0, &requirement).unwrap().rounded_up(), (2, 2));
        assert_eq!(sample_size(1e-9, &requirement), Err(Undefined::OutOfRange));
        assert_eq!(sample_size(0.0, &requirement), Err(Undefined::OutsideDomain));
    }

    #[test]
    fn without_an_effect_power_is_the_level() {
        for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
            close(power(0.0, 50.0, 60.0, 0.05, alternative).unwrap(), 0.05, 1e-12);
        }
        let up = power(0.3, 50.0, 50.0, 0.05, Alternative::Greater).unwrap();
        let down = power(-0.3, 50.0, 50.0, 0.05, Alternative::Less).unwrap();
        close(up, down, 1e-15);
    }

    #[test]
    fn requirements_outside_their_domain_are_refused() {
        for (alpha, power, ratio) in
            [(0.0, 0.8, 1.0), (0.05, 0.04, 1.0), (0.05, 1.0, 1.0), (0.05, 0.8, 0.0)]
        {
            assert_eq!(Requirement::new(alpha, power, ratio), Err(Undefined::OutsideDomain));
        }
        assert_eq!(Requirement::new(f64::NAN, 0.8, 1.0), Err(Undefined::OutsideDomain));
    }
}
