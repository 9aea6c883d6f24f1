//! The chi-squared distribution's upper tail.
//!
//! `P(X > x) = Q(k/2, x/2)`, the regularised incomplete gamma function: its series (DLMF 8.7.1)
//! below the mean, where the complement is large, and its continued fraction (DLMF 8.9.2, by
//! Lentz's method) above, where the tail itself is wanted. Both take `O(√k)` steps. The common
//! factor is in Loader's (2000) saddle-point form.

use super::LN_SQRT_TAU;
use super::gamma::{log_deficit, stirling_error};

/// `P(X > x)` with `k > 0` degrees of freedom; 1 for `x <= 0`.
#[must_use]
pub fn chi_squared_sf(x: f64, k: f64) -> f64 {
    chi_squared_ln_sf(x, k).exp()
}

/// `ln P(X > x)` with `k > 0` degrees of freedom; 0 for `x <= 0`.
#[must_use]
pub fn chi_squared_ln_sf(x: f64, k: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let (a, x) = (0.5 * k, 0.5 * x);
    if x < a + 1.0 {
        (-(ln_factor(a, x).exp() * lower_series(a, x))).ln_1p()
    } else {
        ln_factor(a, x) + upper_fraction(a, x).ln()
    }
}

/// `ln(x^a e^(-x) / Γ(a)) = ½ ln a - ½ ln 2π - a (r - ln(1+r)) - δ(a)` with `r = x/a - 1`.
fn ln_factor(a: f64, x: f64) -> f64 {
    0.5 * a.ln() - LN_SQRT_TAU - a * log_deficit((x - a) / a) - stirling_error(a)
}

/// `Σ x^j / (a (a+1) ... (a+j))`.
fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut denominator) = (a.recip(), a.recip(), a);
    while term > 1e-17 * sum {
        denominator += 1.0;
        term *= x / denominator;
        sum += term;
    }
    sum
}

/// `1/(x+1-a - 1(1-a)/(x+3-a - 2(2-a)/(x+5-a - ...)))`.
fn upper_fraction(a: f64, x: f64) -> f64 {
    let mut partial = x + 1.0 - a;
    // Lentz's method starts from an infinite numerator; 1e300 is one.
    let mut numerator = 1e300;
    let mut denominator = partial.recip();
    let mut value = denominator;
    let limit = 500.0 + 20.0 * a.sqrt();
    let mut step = 1.0;
    while step < limit {
        let coefficient = -step * (step - a);
        partial += 2.0;
        denominator = (coefficient * denominator + partial).recip();
        numerator = partial + coefficient / numerator;
        let change = numerator * denominator;
        value *= change;
        if (change - 1.0).abs() < 2e-16 {
            break;
        }
        step += 1.0;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::distribution::normal_sf;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:e} {expected:e}");
    }

    #[test]
    fn one_and_two_degrees_have_closed_forms() {
        for x in [1e-8, 0.01, 0.5, 2.9, 3.1, 40.0, 600.0, 1_300.0_f64] {
            close(chi_squared_sf(x, 1.0), 2.0 * normal_sf(x.sqrt()), 1e-12);
            close(chi_squared_ln_sf(x, 2.0), -0.5 * x, 1e-14 + 1e-16 / x);
        }
    }

    #[test]
    fn tails_beyond_the_smallest_f64_and_before_zero() {
        close(chi_squared_ln_sf(1e5, 2.0), -5e4, 1e-14);
        close(chi_squared_sf(0.0, 3.0), 1.0, 0.0);
        // Median of a large chi-squared: k - 2/3.
        close(chi_squared_sf(1e6 - 2.0 / 3.0, 1e6), 0.5, 1e-8);
    }
}
