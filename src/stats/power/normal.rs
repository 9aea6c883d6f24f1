//! The textbook formulas that put a normal distribution in place of the t: closed, and a few outcomes
//! short. Sources at the functions.

use super::{Requirement, SampleSize};
use crate::stats::Undefined;
use crate::stats::distribution::normal_isf;

/// Normal formula for means: `n_c = (z_{α/2} + z_β)² σ² (1 + 1/k) / δ²` with `k` the ratio of
/// treatment to control.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] unless `sd > 0` and the difference is not zero,
/// [`Undefined::OutOfRange`] above 1e15.
pub fn sample_size_normal(
    sd: f64,
    difference: f64,
    requirement: &Requirement,
) -> Result<SampleSize, Undefined> {
    if !(sd > 0.0 && sd.is_finite() && difference.abs() > 0.0 && difference.is_finite()) {
        return Err(Undefined::OutsideDomain);
    }
    let distance = requirement.normal_distance() * sd / difference;
    let control = distance * distance * (1.0 + requirement.ratio.recip());
    SampleSize::with_ratio(control, requirement.ratio)
}

/// Normal formula for two rates and equal arms (J. L. Fleiss 1981; R's `power.prop.test`):
/// `n = (z_{α/2} √(2p̄q̄) + z_β √(p_c q_c + p_t q_t))² / (p_t - p_c)²`. The ratio of the
/// requirement does not enter.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] unless both rates lie in `[0, 1]` and differ,
/// [`Undefined::OutOfRange`] above 1e15.
pub fn sample_size_rates(
    control: f64,
    treatment: f64,
    requirement: &Requirement,
) -> Result<SampleSize, Undefined> {
    let rates_valid = [control, treatment].iter().all(|rate| (0.0..=1.0).contains(rate));
    let difference = treatment - control;
    if !rates_valid || difference.abs() <= 0.0 {
        return Err(Undefined::OutsideDomain);
    }
    let spread = |rate: f64| rate * (1.0 - rate);
    let null =
        normal_isf(0.5 * requirement.alpha) * (2.0 * spread(0.5 * (control + treatment))).sqrt();
    let alternative =
        normal_isf(1.0 - requirement.power) * (spread(control) + spread(treatment)).sqrt();
    SampleSize::with_ratio(((null + alternative) / difference).powi(2), 1.0)
}

/// The smallest difference of means found with the power wanted, by the normal formula:
/// `(z_{α/2} + z_β) σ √(1/n_c + 1/n_t)`. The sizes say the ratio; that of the requirement does not
/// enter.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] unless the standard deviation is finite and not negative and both
/// sizes are positive.
pub fn minimum_detectable_effect(
    sd: f64,
    control_size: f64,
    treatment_size: f64,
    requirement: &Requirement,
) -> Result<f64, Undefined> {
    let sizes_valid = control_size > 0.0 && treatment_size > 0.0;
    if !(sizes_valid && sd.is_finite() && sd >= 0.0) {
        return Err(Undefined::OutsideDomain);
    }
    let scale = (control_size.recip() + treatment_size.recip()).sqrt();
    Ok(requirement.normal_distance() * sd * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:e} {expected:e}");
    }

    #[test]
    fn the_detectable_effect_inverts_the_size() {
        let requirement = Requirement::new(0.01, 0.9, 4.0).unwrap();
        let size = sample_size_normal(2.0, 0.05, &requirement).unwrap();
        let effect =
            minimum_detectable_effect(2.0, size.control, size.treatment, &requirement).unwrap();
        close(effect, 0.05, 1e-14);
    }

    #[test]
    fn differences_of_nothing_cannot_be_planned_for() {
        let requirement = Requirement::new(0.05, 0.8, 1.0).unwrap();
        let refused = Err(Undefined::OutsideDomain);
        assert_eq!(sample_size_normal(1.0, 0.0, &requirement), refused);
        assert_eq!(sample_size_normal(f64::NAN, 1.0, &requirement), refused);
        assert_eq!(sample_size_rates(0.3, 0.3, &requirement), refused);
        assert_eq!(sample_size_rates(0.3, 1.3, &requirement), refused);
        assert!(minimum_detectable_effect(1.0, 0.0, 10.0, &requirement).is_err());
    }
}
