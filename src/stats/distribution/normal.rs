//! The standard normal distribution.
//!
//! `Φ̄(z) = ½ erfc(z/√2)` by libm's `erfc` (FreeBSD's, below 1 ulp). The tail amplifies a relative
//! error of its argument by `z²`, so the rounding of `z/√2` is carried along and applied as a
//! first-order correction. Far out, Laplace's asymptotic series (DLMF 7.12.1) gives the logarithm.
//! The quantile is statrs' `erfc_inv` (boost's rational approximations, 2e-16), asked for a tail
//! and never for `1 - tail`.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

use statrs::function::erf;

use super::LN_SQRT_TAU;

/// `1/√2` minus the `f64` nearest to it.
const FRAC_1_SQRT_2_LOW: f64 = -4.833_646_656_726_457e-17;
/// Beyond this the probability is close to the subnormal range and its logarithm is taken from the
/// series.
const SERIES_FROM: f64 = 37.0;

/// Density `φ(z) = e^(-z²/2)/√(2π)`.
#[must_use]
pub fn normal_pdf(z: f64) -> f64 {
    (-0.5 * z * z - LN_SQRT_TAU).exp()
}

/// Upper tail `P(Z > z)`, to 1e-14 relative down to 1e-300.
#[must_use]
pub fn normal_sf(z: f64) -> f64 {
    let x = z * FRAC_1_SQRT_2;
    if !x.is_finite() || x.abs() > 30.0 {
        return 0.5 * libm::erfc(x);
    }
    let rounding = z.mul_add(FRAC_1_SQRT_2, -x) + z * FRAC_1_SQRT_2_LOW;
    // d erfc(x)/dx = -2/√π e^(-x²)
    0.5 * (libm::erfc(x) - rounding * FRAC_2_SQRT_PI * (-x * x).exp())
}

/// Distribution function `P(Z <= z)`.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    normal_sf(-z)
}

/// `ln P(Z > z)`, for any finite `z` of which the square is finite.
#[must_use]
pub fn normal_ln_sf(z: f64) -> f64 {
    if z < 0.0 {
        return (-normal_sf(-z)).ln_1p();
    }
    if z < SERIES_FROM {
        return normal_sf(z).ln();
    }
    let u = (z * z).recip();
    // Five terms of an alternating series: the first one left out is below 2e-13 and stands beside
    // -z²/2 < -684.
    let series = -u * (1.0 - 3.0 * u * (1.0 - 5.0 * u * (1.0 - 7.0 * u)));
    -0.5 * z * z - LN_SQRT_TAU - z.ln() + series.ln_1p()
}

/// The `z` with `P(Z > z) = q`, for `0 < q < 1`; infinite at the ends.
#[must_use]
pub fn normal_isf(q: f64) -> f64 {
    if q > 0.5 {
        // Exact subtraction (Sterbenz), so the lower tail is as accurate as the upper one.
        return -normal_isf(1.0 - q);
    }
    if q <= 0.0 {
        return f64::INFINITY;
    }
    SQRT_2 * erf::erfc_inv(2.0 * q)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:e} {expected:e}");
    }

    #[test]
    fn tails_keep_their_digits() {
        // mpmath, 40 digits.
        close(normal_sf(1.96), 0.024_997_895_148_220_436, 1e-15);
        close(normal_sf(10.0), 7.619_853_024_160_526e-24, 1e-15);
        close(normal_sf(37.0), 5.725_571_222_524_577e-300, 1e-14);
        close(normal_ln_sf(100.0), -5_005.524_208_694_205, 1e-14);
        close(normal_ln_sf(-9.0), -1.128_588_405_953_840_6e-19, 1e-14);
    }

    #[test]
    fn the_logarithm_has_no_seam() {
        let series = normal_ln_sf(SERIES_FROM);
        close(series, normal_sf(SERIES_FROM).ln(), 1e-15);
    }

    #[test]
    fn quantiles_invert_tails() {
        for q in [1e-300, 1e-100, 1e-10, 1e-3, 0.025, 0.2, 0.5, 0.7, 0.999] {
            close(normal_sf(normal_isf(q)), q, 2e-12);
        }
        assert!(normal_isf(0.0).is_infinite());
    }
}
