//! Student's t distribution for any degrees of freedom from below one to 1e18.
//!
//! Four regimes, each with a bounded number of steps; together they are within 1e-12 relative of a
//! 60-digit reference for every tail above 1e-300 (and the logarithm below), which the tests
//! measure:
//!
//! - df < 1000, t < 1.5: ½ minus the central part, the incomplete beta function of `t²/(df+t²)`;
//! - df < 1000, t >= 1.5: the incomplete beta function of `df/(df+t²)` (DLMF 8.17.22 by Lentz);
//! - df >= 1000, t < 9: a normal deviate with the same tail (G. W. Hill, CACM 13 (1970), alg. 395);
//! - df >= 1000, t >= 9: density times an asymptotic series, by repeated integration by parts.
//!
//! The quantile is Newton's iteration on `ln sf` in `ln t`, or on the central part in `t`; both are
//! concave, so it converges from one side and needs no safeguard (proofs at the functions).

use std::f64::consts::SQRT_2;

use super::beta::continued_fraction;
use super::gamma::{ln_beta, ln_gamma_half_step};
use super::{normal_isf, normal_ln_sf, normal_sf};

/// From here on the distribution is treated as a perturbed normal one.
const NEARLY_NORMAL: f64 = 1_000.0;
/// Where the asymptotic series takes over from Hill's deviate: its smallest term is about
/// `e^(-t²/2)`.
const FAR_TAIL: f64 = 9.0;
/// Below this the central part is smaller than the tail and is what is computed.
const CENTRE: f64 = 1.5;
/// `ln √π`.
const LN_SQRT_PI: f64 = 0.572_364_942_924_700_1;

/// Upper tail `P(T > t)` with `df > 0` degrees of freedom.
#[must_use]
pub fn student_sf(t: f64, df: f64) -> f64 {
    if t < 0.0 {
        return 1.0 - student_sf(-t, df);
    }
    match Regime::of(t, df) {
        Regime::Centre => 0.5 - central_part(t, df),
        Regime::NearlyNormal => normal_sf(hill_deviate(t, df)),
        Regime::BetaTail => beta_tail_ln(t, df).exp(),
        Regime::FarTail => far_tail_ln(t, df).exp(),
    }
}

/// `ln P(T > t)` with `df > 0` degrees of freedom; finite for every finite `t`.
#[must_use]
pub fn student_ln_sf(t: f64, df: f64) -> f64 {
    if t < 0.0 {
        return (-student_sf(-t, df)).ln_1p();
    }
    match Regime::of(t, df) {
        Regime::Centre => (0.5 - central_part(t, df)).ln(),
        Regime::NearlyNormal => normal_ln_sf(hill_deviate(t, df)),
        Regime::BetaTail => beta_tail_ln(t, df),
        Regime::FarTail => far_tail_ln(t, df),
    }
}

/// The `t` with `P(T > t) = q`, for `0 < q < 1` and `df > 0`; infinite at the ends, and
/// where `t` exceeds `f64::MAX` (as for q = 1e-250 and df = ½).
#[must_use]
pub fn student_isf(q: f64, df: f64) -> f64 {
    if q > 0.5 {
        return -student_isf(1.0 - q, df);
    }
    if q <= 0.0 {
        return f64::INFINITY;
    }
    if q > 0.25 {
        return quantile_near_centre(0.5 - q, df);
    }
    let z = normal_isf(q);
    // The first term left out is about 1e-4 z^10/df^5 of t, and a tail multiplies it by z²: below
    // 1e-13.
    if df >= NEARLY_NORMAL && z.powi(12) < 1e-9 * df.powi(5) {
        return cornish_fisher(z, df);
    }
    quantile_in_tail(q, df)
}

enum Regime {
    Centre,
    NearlyNormal,
    BetaTail,
    FarTail,
}

impl Regime {
    fn of(t: f64, df: f64) -> Self {
        match (df >= NEARLY_NORMAL, t) {
            (true, t) if t < FAR_TAIL => Self::NearlyNormal,
            (true, _) => Self::FarTail,
            (false, t) if t < CENTRE => Self::Centre,
            (false, _) => Self::BetaTail,
        }
    }
}

/// `ln(1 + t²/df)`, also where the square overflows.
fn ln_spread(t: f64, df: f64) -> f64 {
    if t > 1e150 { 2.0 * t.ln() - df.ln() } else { (t * t / df).ln_1p() }
}

/// `ln f(t)` of the density.
fn ln_density(t: f64, df: f64) -> f64 {
    let height = ln_gamma_half_step(0.5 * df) - 0.5 * df.ln() - LN_SQRT_PI;
    height - 0.5 * (df + 1.0) * ln_spread(t.abs(), df)
}

/// `P(0 < T < t)` for `0 <= t`, accurate relative to itself.
fn central_part(t: f64, df: f64) -> f64 {
    if df >= NEARLY_NORMAL {
        return 0.5 * libm::erf(hill_deviate(t, df) / SQRT_2);
    }
    if t >= CENTRE {
        return 0.5 - student_sf(t, df);
    }
    let u = t * t / df;
    let half = 0.5 * df;
    // I_y(½, df/2)/2 with y = u/(1+u); its factor y^½ (1-y)^(df/2) / (½ B(½, df/2)).
    let scale = 2.0
        * (u / (1.0 + u)).sqrt()
        * (ln_gamma_half_step(half) - LN_SQRT_PI - half * u.ln_1p()).exp();
    0.5 * scale * continued_fraction(0.5, half, u / (1.0 + u))
}

/// `ln(I_x(df/2, ½)/2)` with `x = df/(df+t²)`.
fn beta_tail_ln(t: f64, df: f64) -> f64 {
    let half = 0.5 * df;
    let spread = ln_spread(t, df);
    let ln_y = (-(-spread).exp()).ln_1p();
    let ln_scale = ln_gamma_half_step(half) - LN_SQRT_PI - half * spread + 0.5 * ln_y - df.ln();
    ln_scale + continued_fraction(half, 0.5, (-spread).exp()).ln()
}

/// `ln P(T > t)` far out in a nearly normal tail.
///
/// Writing the integrand of the tail as `(1/s) · s(1+s²/v)^(-(v+1)/2)` and integrating by parts
/// gives `P = f(t) (v+t²)/(t(v-1)) (1 - c_1 + c_1 c_2 - ...)` with
/// `c_k = (2k-1)(v+t²)/((v-2k-1)t²)`. The error is below the first term left out; for `t >= 9` and
/// `v >= 1000` the terms shrink to 1e-17 within forty.
fn far_tail_ln(t: f64, df: f64) -> f64 {
    let step = 1.0 + df / t / t;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        let odd = f64::from(2 * k - 1);
        let factor = odd * step / (df - odd - 2.0);
        if factor >= 1.0 {
            break;
        }
        term *= -factor;
        sum += term;
        if term.abs() < 1e-17 {
            break;
        }
    }
    ln_density(t, df) + ((t + df / t) / (df - 1.0)).ln() + f64::ln(sum)
}

/// The normal deviate with (nearly) the tail of `t`: error below 2e-13 in the tail for `df >= 1000`
/// and `t < 9`.
fn hill_deviate(t: f64, df: f64) -> f64 {
    let a = df - 0.5;
    let b = 48.0 * a * a;
    let y = ln_spread(t, df) * a;
    let inner = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b);
    ((inner + y + 3.0) / b + 1.0) * y.sqrt()
}

/// R. A. Fisher, E. A. Cornish (1960): the quantile in powers of `1/df`, four terms.
fn cornish_fisher(z: f64, df: f64) -> f64 {
    let s = z * z;
    let terms = [
        (s + 1.0) / 4.0,
        ((5.0 * s + 16.0) * s + 3.0) / 96.0,
        (((3.0 * s + 19.0) * s + 17.0) * s - 15.0) / 384.0,
        ((((79.0 * s + 776.0) * s + 1_482.0) * s - 1_920.0) * s - 945.0) / 92_160.0,
    ];
    z + z * terms.iter().rev().fold(0.0, |sum, term| (sum + term) / df)
}

/// The `t` with central part `c`, for `c < ¼`. On `t >= 0` the central part is concave, so a
/// tangent lies above it and Newton's iteration, started at zero, rises to the root without passing
/// it.
fn quantile_near_centre(c: f64, df: f64) -> f64 {
    let mut t = 0.0;
    for _ in 0..MAX_NEWTON {
        let step = (c - central_part(t, df)) / ln_density(t, df).exp();
        t += step;
        if step.abs() <= 1e-15 * t {
            break;
        }
    }
    t
}

/// The `t` with tail `q`, for `q <= ¼`.
///
/// `h(s) = ln P(T > e^s)` is decreasing and concave: its slope is `-t f(t)/P(T > t)`, and `t` times
/// the hazard of t rises from 0 to `df`. A tangent lies above it, so from wherever Newton's
/// iteration starts, its next point lies at or right of the root, and from there it descends to it.
/// It starts at the root of the asymptote `h(s) ~ -ln(df B(df/2, ½)) - df (s - ½ ln df)`, which
/// lies above `h` and hence right of the root; for many degrees of freedom at the normal deviate,
/// which is nearer.
fn quantile_in_tail(q: f64, df: f64) -> f64 {
    let target = q.ln();
    let z = normal_isf(q);
    let mut s = if df >= NEARLY_NORMAL {
        z.ln()
    } else if z * z < 0.5 * df {
        // Right to a few digits already, on either side of the root.
        cornish_fisher(z, df).ln()
    } else {
        0.5 * df.ln() - (target + df.ln() + ln_beta(0.5 * df, 0.5)) / df
    };
    if s > f64::MAX.ln() {
        return f64::INFINITY;
    }
    for _ in 0..MAX_NEWTON {
        let t = s.exp();
        let value = student_ln_sf(t, df);
        let slope = (s + ln_density(t, df) - value).exp();
        let step = (value - target) / slope;
        s += step;
        // What is left after a step is about its square.
        if step.abs() <= 1e-9 {
            break;
        }
    }
    s.exp()
}

/// Newton's iteration converges quadratically; the limit bounds what rounding could prolong.
const MAX_NEWTON: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::distribution::student_reference::LN_SF;

    fn relative_error(got: f64, expected: f64) -> f64 {
        ((got - expected) / expected).abs()
    }

    #[test]
    fn tails_are_within_the_stated_bound() {
        for &(t, df, expected) in &LN_SF {
            let ln_sf = student_ln_sf(t, df);
            assert!(
                relative_error(ln_sf, expected) < 1e-12,
                "ln sf({t}, {df}): {ln_sf:e} {expected:e}"
            );
            if expected > -690.0 {
                // A relative error of the tail is an absolute one of its logarithm.
                let error = relative_error(student_sf(t, df), expected.exp());
                assert!(error < 1e-12, "sf({t}, {df}): {error:e}");
            }
        }
    }

    #[test]
    fn quantiles_invert_tails() {
        for df in [0.5, 1.0, 2.0, 3.3, 30.0, 400.0, 999.0, 1_001.0, 1e5, 1e9, 1e18] {
            for q in
                [1e-250, 1e-40, 1e-12, 1e-6, 1e-3, 0.01, 0.025, 0.1, 0.24, 0.26, 0.4, 0.499_999]
            {
                let t = student_isf(q, df);
                if t.is_infinite() {
                    assert!(df < 1.0 && q < 1e-100, "isf({q:e}, {df:e})");
                    continue;
                }
                let error = relative_error(student_sf(t, df), q);
                assert!(error < 2e-12, "isf({q:e}, {df:e}) = {t:e}: {error:e}");
            }
        }
    }

    #[test]
    fn quantiles_have_closed_forms_at_one_and_two_degrees() {
        for q in [1e-20_f64, 1e-3, 0.025, 0.3, 0.49] {
            let cauchy = (std::f64::consts::PI * q).tan().recip();
            assert!(relative_error(student_isf(q, 1.0), cauchy) < 1e-13);
            let two = (1.0 - 2.0 * q) / (2.0 * q * (1.0 - q)).sqrt();
            assert!(relative_error(student_isf(q, 2.0), two) < 1e-13);
        }
        assert!(student_isf(0.5, 7.0).abs() < 1e-300);
        assert!(relative_error(student_isf(0.975, 7.0), -student_isf(0.025, 7.0)) < 1e-14);
        assert!(student_isf(0.0, 7.0).is_infinite());
    }

    #[test]
    fn the_logarithm_goes_on_where_the_tail_is_zero() {
        assert!(student_sf(1e200, 50.0) < f64::MIN_POSITIVE);
        let ln_sf = student_ln_sf(1e200, 50.0);
        // Far out the tail is a power: doubling t multiplies it by 2^-50.
        let doubled = student_ln_sf(2e200, 50.0);
        assert!((ln_sf - doubled - 50.0 * std::f64::consts::LN_2).abs() < 1e-9);
    }
}
