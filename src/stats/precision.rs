//! How much the data can tell: design effect, effect size, detectable effect.

use super::Undefined;
use super::dd::Dd;
use super::distribution::normal_isf;
use super::moments::Moments;

/// The variance of an estimate relative to that of the same number of independent outcomes, `(se/se_naive)²`
/// (L. Kish, Survey Sampling, 1965). About 1 where units bring one outcome each; `n/deff` outcomes are worth as much.
///
/// # Errors
///
/// [`Undefined::ZeroVariance`] where independent outcomes would have no standard error, [`Undefined::OutOfRange`] where the
/// quotient is not finite.
pub fn design_effect(standard_error: f64, naive_standard_error: f64) -> Result<f64, Undefined> {
    if naive_standard_error <= 0.0 {
        return Err(Undefined::ZeroVariance);
    }
    let effect = (standard_error / naive_standard_error).powi(2);
    effect.is_finite().then_some(effect).ok_or(Undefined::OutOfRange)
}

/// Cohen's `d`: the difference of two means in pooled standard deviations, `(m_t - m_c)/s_p` with
/// `s_p² = ((n_c-1)s_c² + (n_t-1)s_t²)/(n_c+n_t-2)` (J. Cohen, 2nd ed. 1988, eq. 2.5.1 and 2.5.2).
///
/// # Errors
///
/// As [`Moments::checked_variance`], and [`Undefined::ZeroVariance`] where both arms are constant.
pub fn effect_size(control: &Moments, treatment: &Moments) -> Result<f64, Undefined> {
    let (v_c, v_t) = (control.checked_variance()?, treatment.checked_variance()?);
    let freedom = |arm: &Moments| (Dd::from_u64(arm.count) - Dd::ONE).to_f64();
    let (df_c, df_t) = (freedom(control), freedom(treatment));
    let deviation = ((df_c * v_c + df_t * v_t) / (df_c + df_t)).sqrt();
    if deviation <= 0.0 {
        return Err(Undefined::ZeroVariance);
    }
    let means = treatment.mean_dd().zip(control.mean_dd()).ok_or(Undefined::InvalidSums)?;
    let size = (means.0 - means.1).to_f64() / deviation;
    size.is_finite().then_some(size).ok_or(Undefined::OutOfRange)
}

/// The smallest true difference that a two-sided test at `alpha` shows with probability `power` at the present standard
/// error: `(z_{α/2} + z_β) se`, for one look.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] unless `0 < alpha < power < 1`, [`Undefined::ZeroVariance`] for a standard error that is
/// not positive, [`Undefined::OutOfRange`] where the product is not finite.
pub fn detectable_effect(standard_error: f64, alpha: f64, power: f64) -> Result<f64, Undefined> {
    if !(0.0 < alpha && alpha < power && power < 1.0) {
        return Err(Undefined::OutsideDomain);
    }
    if standard_error.is_nan() || standard_error <= 0.0 {
        return Err(Undefined::ZeroVariance);
    }
    // z_β = -z_{1-β}: the tail that is given is the one that is looked up.
    let effect = (normal_isf(0.5 * alpha) - normal_isf(power)) * standard_error;
    effect.is_finite().then_some(effect).ok_or(Undefined::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_standard_error_is_a_quarter_of_the_variance() {
        assert_eq!(design_effect(1.0, 2.0).map(f64::to_bits), Ok(0.25_f64.to_bits()));
        assert_eq!(design_effect(1.0, 0.0), Err(Undefined::ZeroVariance));
    }

    #[test]
    fn the_seed_example_has_an_effect_of_0_1155() {
        // 75 % against 80 % in 1,179 each: (0.80 - 0.75)/√((0.1875 + 0.16)/2) up to n/(n-1).
        let control = Moments::from_f64(10_000, 7_500.0, 7_500.0);
        let treatment = Moments::from_f64(10_000, 8_000.0, 8_000.0);
        let size = effect_size(&control, &treatment).unwrap();
        assert!((size - 0.05 / 0.173_75_f64.sqrt()).abs() < 1e-5, "{size}");
        let constant = Moments::from_f64(3, 3.0, 3.0);
        assert_eq!(effect_size(&constant, &constant), Err(Undefined::ZeroVariance));
    }

    #[test]
    fn eighty_percent_power_needs_2_8_standard_errors() {
        let effect = detectable_effect(1.0, 0.05, 0.8).unwrap();
        assert!((effect - 2.801_585_218_112_97).abs() < 1e-12, "{effect}");
        assert_eq!(detectable_effect(1.0, 0.9, 0.8), Err(Undefined::OutsideDomain));
    }
}
