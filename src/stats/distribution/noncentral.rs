//! The noncentral t distribution's tails, for power.
//!
//! `T = (Z + δ)/S` with `Z` normal and `S² = χ²_v/v` independent, so `P(T > t) = E[Φ̄(tS - δ)]`.
//! With `w = ln S` the density of `w` is `√(v/π) e^(-ε) exp(-(v/2)(e^(2w) - 1 - 2w))`, where `ε` is
//! the Stirling error of `v/2`: analytic, and decaying exponentially on both sides. For such
//! integrands the trapezoidal rule converges geometrically (L. N. Trefethen, J. A. C. Weideman,
//! SIAM Review 56 (2014), theorem 5.1): with a step of a fifth of the narrower of the two scales,
//! the density's `1/√(2v)` and the transition's `1/(1+|δ|)`, the error is below 1e-13. About a
//! hundred evaluations whatever the size, so n = 1e9 costs what n = 100 does.

use std::f64::consts::PI;

use super::gamma::{log_deficit, stirling_error};
use super::normal_sf;

/// `e^-NEGLIGIBLE` of the density is where the integral is cut off.
const NEGLIGIBLE: f64 = 42.0;
/// Steps per scale of the integrand.
const RESOLUTION: f64 = 5.0;

/// `P(T > t)` of the noncentral t with `df >= 1` degrees of freedom and noncentrality `delta`, to
/// 1e-13 absolute.
#[must_use]
pub fn noncentral_student_sf(t: f64, df: f64, delta: f64) -> f64 {
    expectation(df, transition(t, delta), |s| normal_sf(t * s - delta))
}

/// `P(|T| > t)` for `t >= 0`, as [`noncentral_student_sf`].
#[must_use]
pub fn noncentral_student_two_tails(t: f64, df: f64, delta: f64) -> f64 {
    let both = |s: f64| normal_sf(t * s - delta) + normal_sf(t * s + delta);
    expectation(df, transition(t, delta), both)
}

/// The inverse width, in `ln S`, of the step of `Φ̄(tS - δ)`. It lies at `S = δ/t` and is `1/|δ|`
/// wide; where that is beyond `S = 8` no density is left and the step does not matter.
fn transition(t: f64, delta: f64) -> f64 {
    1.0 + delta.abs().min(8.0 * t.abs())
}

/// `E[g(S)]`.
fn expectation(df: f64, transition: f64, g: impl Fn(f64) -> f64) -> f64 {
    let half = 0.5 * df;
    let step = (2.0 * df).sqrt().max(transition).recip() / RESOLUTION;
    let height = (df / PI).sqrt() * (-stirling_error(half)).exp();
    let weighted = |w: f64| (-half * exponential_deficit(2.0 * w)).exp() * g(w.exp());
    let (lower, upper) = support(half);
    let mut sum = weighted(0.0);
    for (end, direction) in [(lower, -1.0), (upper, 1.0)] {
        let mut w: f64 = step;
        while w < end {
            sum += weighted(direction * w);
            w += step;
        }
    }
    (height * step * sum).clamp(0.0, 1.0)
}

/// `e^x - 1 - x`, which at small `x` is `r - ln(1+r)` of `r = e^x - 1`.
fn exponential_deficit(x: f64) -> f64 {
    let r = x.exp_m1();
    if x.abs() > 0.25 { r - x } else { log_deficit(r) }
}

/// Distances from zero to where `half·(e^(2w) - 1 - 2w)` has passed [`NEGLIGIBLE`].
///
/// To the left `e^(-2x) - 1 + 2x >= max(2x - 1, 2x² - 4x³/3)`; to the right
/// `e^(2x) - 1 - 2x >= 2x²`.
fn support(half: f64) -> (f64, f64) {
    let level = NEGLIGIBLE / half;
    let right = (0.5 * level).sqrt();
    let left = if level < 0.25 { 1.5 * right } else { 0.5 * (level + 1.0) };
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::distribution::student_sf;

    fn close(got: f64, expected: f64, absolute: f64) {
        assert!((got - expected).abs() <= absolute, "{got:.16} {expected:.16}");
    }

    #[test]
    fn without_noncentrality_it_is_students_t() {
        for df in [1.0, 2.5, 10.0, 167.0, 169.0, 1e4, 1e9, 1e18] {
            for t in [0.0, 0.5, 2.0, 6.0, -1.0] {
                close(noncentral_student_sf(t, df, 0.0), student_sf(t, df), 1e-13);
            }
        }
    }

    #[test]
    fn large_samples_shift_the_normal() {
        close(noncentral_student_sf(1.96, 1e17, 2.8), normal_sf(1.96 - 2.8), 1e-13);
        close(noncentral_student_two_tails(1.96, 1e17, 0.0), 2.0 * normal_sf(1.96), 1e-13);
        close(noncentral_student_two_tails(4.3, 2.0, 1e6), 1.0, 1e-12);
    }
}
