//! The gamma and beta functions in logarithms, in a form whose large parts never meet.
//!
//! `ln Γ(x) = (x - ½) ln x - x + ½ ln 2π + δ(x)`: at x = 1e9 the first terms are 2e10 and a
//! difference of two of them has lost ten digits. So whatever is a difference of gammas is written
//! in the Stirling error `δ` and in `r - ln(1+r)`, both of which are small where they should be and
//! accurate to a few ulp.
//!
//! Sources: DLMF 5.11.1 (Stirling's series); A. R. Didonato, A. H. Morris, ACM TOMS 18 (1992),
//! algorithm 708 (`ln B`); C. Loader, "Fast and accurate computation of binomial probabilities"
//! (2000).

use super::LN_SQRT_TAU;

/// From here on Stirling's series with eight terms is exact to 2e-18.
const STIRLING_FROM: f64 = 10.0;

/// Coefficients of `1/x^(2k-1)`, `B_2k / (2k (2k-1))` (DLMF 5.11.1).
const STIRLING_SERIES: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1_260.0,
    -1.0 / 1_680.0,
    1.0 / 1_188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
    -3_617.0 / 122_400.0,
];

/// `ln Γ(x)` for `x > 0`.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// `ln B(a, b) = ln Γ(a) + ln Γ(b) - ln Γ(a+b)` for positive `a` and `b`, to about 1e-15 of its
/// largest true part.
#[must_use]
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a <= b { (a, b) } else { (b, a) };
    let sum = small + large;
    if large < STIRLING_FROM {
        return ln_gamma(small) + ln_gamma(large) - ln_gamma(sum);
    }
    let errors = stirling_error(large) - stirling_error(sum);
    let ratio = (small / large).ln_1p();
    if small < STIRLING_FROM {
        return ln_gamma(small) + errors + small - small * sum.ln() - (large - 0.5) * ratio;
    }
    LN_SQRT_TAU - 0.5 * large.ln() + (small - 0.5) * (small / sum).ln() - large * ratio
        + stirling_error(small)
        + errors
}

/// `δ(x) = ln Γ(x) - (x - ½) ln x + x - ½ ln 2π` for `x > 0`: about `1/(12x)`.
///
/// Below ten the series is reached by `δ(x) = δ(x+1) + (x + ½) ln(1 + 1/x) - 1`, which is
/// `Γ(x+1) = xΓ(x)`.
pub(crate) fn stirling_error(x: f64) -> f64 {
    let (mut x, mut steps) = (x, 0.0);
    while x < STIRLING_FROM {
        steps += (x + 0.5) * x.recip().ln_1p() - 1.0;
        x += 1.0;
    }
    let inverse_square = (x * x).recip();
    let series = STIRLING_SERIES.iter().rev().fold(0.0, |sum, term| sum * inverse_square + term);
    steps + series / x
}

/// `r - ln(1 + r)` for `r > -1`, without the cancellation at small `r`.
///
/// With `s = r/(2+r)`, `ln(1+r) = 2 artanh s` and `r - 2s = rs`, so the result is
/// `rs - 2(s³/3 + s⁵/5 + ...)`.
pub(crate) fn log_deficit(r: f64) -> f64 {
    if r.abs() > 0.25 {
        return r - r.ln_1p();
    }
    let s = r / (2.0 + r);
    let square = s * s;
    // |s| <= 1/7: the eleventh term is below 1e-18 of the first.
    let series = (1..=10).rev().fold(0.0, |sum, k| (sum * square) + f64::from(2 * k + 1).recip());
    r * s - 2.0 * s * square * series
}

/// `ln Γ(x + ½) - ln Γ(x)` for `x > 0`.
///
/// From Stirling's form: `x ln(1 + 1/(2x)) - ½ + ½ ln x + δ(x+½) - δ(x)`, where only `½ ln x` is
/// large.
pub(super) fn ln_gamma_half_step(x: f64) -> f64 {
    let shift = x * (0.5 / x).ln_1p() - 0.5;
    shift + 0.5 * x.ln() + (stirling_error(x + 0.5) - stirling_error(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:e} {expected:e}");
    }

    #[test]
    fn stirling_error_is_the_rest_of_the_gamma_function() {
        // mpmath, 40 digits.
        close(stirling_error(1.0), 0.081_061_466_795_327_26, 1e-14);
        close(stirling_error(0.5), 0.153_426_409_720_027_35, 1e-14);
        close(stirling_error(20.0), 0.004_166_319_691_996_922, 1e-14);
        close(stirling_error(1e9), 8.333_333_333_333_333e-11, 1e-15);
    }

    #[test]
    fn log_deficit_does_not_cancel() {
        close(log_deficit(1e-8), 4.999_999_966_666_667e-17, 1e-15);
        close(log_deficit(-0.2), 0.023_143_551_314_209_755, 1e-14);
        close(log_deficit(0.249), 0.026_656_768_856_559_376, 1e-14);
        close(log_deficit(0.25), 0.25 - 0.25_f64.ln_1p(), 1e-14);
    }

    #[test]
    fn beta_of_small_mixed_and_large_arguments() {
        close(ln_beta(2.0, 3.0), (1.0_f64 / 12.0).ln(), 1e-15);
        // B(1, b) = 1/b and B(2, b) = 1/(b(b+1)).
        close(ln_beta(1.0, 1e12), -(1e12_f64.ln()), 1e-15);
        close(ln_beta(1e6, 2.0), -(1e6_f64.ln() + 1_000_001_f64.ln()), 1e-15);
        close(ln_beta(100.0, 200.0), ln_gamma(100.0) + ln_gamma(200.0) - ln_gamma(300.0), 1e-13);
    }

    #[test]
    fn half_steps_of_the_gamma_function() {
        // Γ(1)/Γ(½) = 1/√π and Γ(3/2)/Γ(1) = √π/2.
        let sqrt_pi = std::f64::consts::PI.sqrt();
        close(ln_gamma_half_step(0.5), sqrt_pi.recip().ln(), 1e-14);
        close(ln_gamma_half_step(1.0), (sqrt_pi / 2.0).ln(), 1e-13);
        close(ln_gamma_half_step(5e17), 0.5 * 5e17_f64.ln(), 1e-15);
    }
}
