//! How large a sample the planned sequential test needs for a given power.
//!
//! At the planned end the test statistic drifts to `delta`, the effect in standard errors. Between
//! looks it moves like a Brownian motion with that drift, which crosses the O'Brien-Fleming
//! boundary `c` before the end with probability
//!
//! `Phi(delta - c) + exp(2 delta c) Phi(-delta - c)`
//!
//! (D. Siegmund, Sequential Analysis, 1985, eq. 3.14). The other boundary and the mixture only
//! add to it, so the power promised here is reached at the least; the two-clock rule measures
//! about two points more.

use crate::stats::Undefined;
use crate::stats::distribution::{normal_cdf, normal_isf, normal_ln_sf};
use crate::stats::sequential::PLANNED_SHARE;

/// Halvings of the bracket of `delta`: 40/2^60 is below the resolution of a float.
const HALVINGS: usize = 60;

/// Power of the two-clock rule at the end of its plan, at least, for an effect of `delta` standard
/// errors there.
///
/// # Errors
/// [`Undefined::OutsideDomain`] unless `0 < alpha < 1` and `delta` is finite and not negative.
pub fn planned_power(delta: f64, alpha: f64) -> Result<f64, Undefined> {
    let valid = 0.0 < alpha && alpha < 1.0 && delta >= 0.0 && delta.is_finite();
    valid.then(|| crossing(delta, alpha)).ok_or(Undefined::OutsideDomain)
}

/// By how much a fixed-horizon sample must grow to keep its power under the two-clock rule:
/// `(delta_sequential / delta_fixed)^2`, about 1.13 for a level of 0.05 and a power of 0.80.
///
/// # Errors
/// [`Undefined::OutsideDomain`] unless `0 < alpha < power < 1`.
pub fn inflation(alpha: f64, power: f64) -> Result<f64, Undefined> {
    if !(0.0 < alpha && alpha < power && power < 1.0) {
        return Err(Undefined::OutsideDomain);
    }
    let fixed = normal_isf(0.5 * alpha) - normal_isf(power);
    let (mut low, mut high) = (0.0, 80.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if crossing(middle, alpha) < power {
            low = middle;
        } else {
            high = middle;
        }
    }
    // Not below 1: at powers near alpha the bound is looser than the fixed test.
    Ok((high / fixed).powi(2).max(1.0))
}

fn crossing(delta: f64, alpha: f64) -> f64 {
    let boundary = normal_isf(0.25 * alpha * PLANNED_SHARE);
    // In logarithms: the exponential overflows long before the product is large.
    let reflected = (2.0 * delta * boundary + normal_ln_sf(delta + boundary)).exp();
    (normal_cdf(delta - boundary) + reflected).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_eighty_percent_needs_an_eighth_more() {
        let factor = inflation(0.05, 0.80).unwrap();
        assert!((factor - 1.126).abs() < 0.001, "{factor}");
        let delta = (normal_isf(0.025) + normal_isf(0.2)) * factor.sqrt();
        assert!((planned_power(delta, 0.05).unwrap() - 0.80).abs() < 1e-12);
    }

    #[test]
    fn the_bound_lies_below_what_was_measured() {
        // docs/statistics.md: 0.7755 at the sample that gives a fixed test 0.80.
        let power = planned_power(normal_isf(0.025) + normal_isf(0.2), 0.05).unwrap();
        assert!(power > 0.74 && power < 0.7755, "{power}");
    }

    #[test]
    fn without_an_effect_there_is_the_level() {
        let level = planned_power(0.0, 0.05).unwrap();
        // One of the two boundaries: half of the planned share.
        assert!((level - 0.02).abs() < 1e-12, "{level}");
        assert!(planned_power(f64::NAN, 0.05).is_err());
        assert!(inflation(0.05, 1.0).is_err());
    }
}
