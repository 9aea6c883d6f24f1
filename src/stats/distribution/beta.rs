//! The regularised incomplete beta function.
//!
//! `I_x(a,b) = x^a (1-x)^b / (a B(a,b)) · K(a,b,x)` with the continued fraction `K` of DLMF
//! 8.17.22, evaluated by Lentz's method (W. J. Lentz 1976, as modified by Thompson and Barnett
//! 1986); it converges in `O(√max(a,b))` steps for `x < (a+1)/(a+b+2)`, and
//! `I_x(a,b) = 1 - I_(1-x)(b,a)` brings every `x` there. For large `a` and `b` the factor is the
//! saddle-point form of Loader (2000), which does not cancel.

use super::LN_SQRT_TAU;
use super::gamma::{ln_beta, log_deficit, stirling_error};

/// Replaces a zero denominator in Lentz's method.
const TINY: f64 = 1e-300;

/// `I_x(a, b)` for positive `a`, `b`; 0 for `x <= 0` and 1 for `x >= 1`.
#[must_use]
pub fn beta_inc(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x * (a + b + 2.0) <= a + 1.0 {
        ln_factor(a, b, x, 1.0 - x).exp() * continued_fraction(a, b, x)
    } else {
        1.0 - ln_factor(b, a, 1.0 - x, x).exp() * continued_fraction(b, a, 1.0 - x)
    }
}

/// `ln(x^a y^b / (a B(a,b)))` with `y = 1 - x`.
fn ln_factor(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if a < 10.0 || b < 10.0 {
        return a * x.ln() + b * y.ln() - a.ln() - ln_beta(a, b);
    }
    // Around the mode x0 = a/(a+b) the first-order parts of a ln(x/x0) + b ln(y/y0) cancel exactly.
    let sum = a + b;
    let offset = x.mul_add(b, -(y * a));
    let deviance = a * log_deficit(offset / a) + b * log_deficit(-offset / b);
    let errors = stirling_error(a) + stirling_error(b) - stirling_error(sum);
    0.5 * (b / (a * sum)).ln() - LN_SQRT_TAU - deviance - errors
}

/// `K(a, b, x)`, see the top of the file.
pub(super) fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut numerator = 1.0;
    let mut denominator = guarded(1.0 - (a + b) * x / (a + 1.0)).recip();
    let mut value = denominator;
    let limit = 500.0 + 10.0 * a.max(b).sqrt();
    let mut m = 1.0;
    while m < limit {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            denominator = guarded(1.0 + coefficient * denominator).recip();
            numerator = guarded(1.0 + coefficient / numerator);
            change = numerator * denominator;
            value *= change;
        }
        if (change - 1.0).abs() < 2e-16 {
            break;
        }
        m += 1.0;
    }
    value
}

fn guarded(value: f64) -> f64 {
    if value.abs() < TINY { TINY } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:e} {expected:e}");
    }

    #[test]
    fn known_values() {
        close(beta_inc(2.5, 0.5, 0.3), 0.018_927_124_071_945_65, 1e-14);
        // I_x(1, b) = 1 - (1-x)^b and I_x(a, 1) = x^a.
        close(beta_inc(1.0, 5.0, 0.2), 1.0 - 0.8_f64.powi(5), 1e-15);
        close(beta_inc(7.0, 1.0, 0.1), 1e-7, 1e-14);
        assert_eq!((beta_inc(2.0, 3.0, 0.0), beta_inc(2.0, 3.0, 1.0)), (0.0, 1.0));
    }

    #[test]
    fn large_arguments_keep_their_digits() {
        // By symmetry, and by complement.
        close(beta_inc(5e5, 5e5, 0.5), 0.5, 1e-12);
        let (left, right) = (beta_inc(3e5, 7e5, 0.2999), beta_inc(7e5, 3e5, 0.7001));
        close(left + right, 1.0, 1e-12);
    }
}
