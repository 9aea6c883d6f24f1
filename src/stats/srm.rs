//! Sample ratio mismatch: do the arms have the numbers of units their weights promise?
//!
//! - [`chi_squared`]: Pearson (1900), `Σ(o-e)²/e` with `m - 1` degrees of freedom. Valid for one
//!   look.
//! - [`sequential`]: the Dirichlet-multinomial e-value of M. Lindon and A. Malek, "Anytime-valid
//!   inference for multinomial count data" (`NeurIPS` 2022), `E = B(α+n)/B(α) / Π θ_i^{n_i}` with
//!   `α = concentration · θ`. Under the promised weights its expectation is at most one at any
//!   stopping time, so `1/E` may be looked at all the time.
//!
//! `ln E` is a difference of terms of 1e10 at n = 1e9. With Stirling's formula the large parts
//! cancel algebraically. For `x_i = α_i + n_i`, `X = Σx_i` and `A = Σα_i`,
//!
//! `ln E = Σ x_i D((Xθ_i - x_i)/x_i) - ½(Σ ln(x_i/α_i) - ln(X/A)) + Σ(δ(x_i) - δ(α_i)) - (δ(X) - δ(A))`
//!
//! where `D(r) = r - ln(1+r) >= 0` and `δ` is the Stirling error: no two terms are much larger than
//! the result, and it keeps 1e-9 at n = 2e9.

use super::Undefined;
use super::dd::Dd;
use super::distribution::{chi_squared_ln_sf, chi_squared_sf, log_deficit, stirling_error};

/// Concentration of the prior around the promised weights: mismatches of about a tenth of a share
/// are expected.
pub const DEFAULT_CONCENTRATION: f64 = 100.0;

/// Pearson's test of the counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquared {
    /// `Σ(o-e)²/e`.
    pub statistic: f64,
    /// Number of arms less one.
    pub degrees_of_freedom: f64,
    /// `P(χ² > statistic)`, at least `f64::MIN_POSITIVE`.
    pub p_value: f64,
    /// Its natural logarithm.
    pub ln_p_value: f64,
}

/// The evidence against the weights, valid at every look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequentialEvidence {
    /// Natural logarithm of the e-value; positive speaks against the weights.
    pub ln_e: f64,
    /// `min(1, 1/E)`, at least `f64::MIN_POSITIVE`.
    pub p_value: f64,
    /// Its natural logarithm.
    pub ln_p_value: f64,
}

/// One arm: its count, its share of the weights and its count less the expected one.
struct Arm {
    count: f64,
    share: f64,
    surplus: f64,
}

/// Pearson's chi-squared test of `counts` against shares proportional to `weights`.
///
/// # Errors
///
/// [`Undefined::OutsideDomain`] for fewer than two arms, lists of different lengths or a weight
/// that is not positive and finite; [`Undefined::NotEnoughData`] without any count.
pub fn chi_squared(counts: &[u64], weights: &[f64]) -> Result<ChiSquared, Undefined> {
    let (arms, total) = compare(counts, weights)?;
    let contribution = |arm: &Arm| arm.surplus * (arm.surplus / (arm.share * total));
    let statistic: f64 = arms.iter().map(contribution).sum();
    let degrees_of_freedom = arms.iter().skip(1).map(|_| 1.0).sum();
    Ok(ChiSquared {
        statistic,
        degrees_of_freedom,
        p_value: chi_squared_sf(statistic, degrees_of_freedom).max(f64::MIN_POSITIVE),
        ln_p_value: chi_squared_ln_sf(statistic, degrees_of_freedom),
    })
}

/// The Dirichlet-multinomial e-value of `counts` against shares proportional to `weights`.
///
/// The running minimum of the p-value over looks is valid, too; keeping it is up to the caller.
///
/// # Errors
///
/// As [`chi_squared`], except that no counts at all are evidence of nothing, `ln E = 0`; and
/// [`Undefined::OutsideDomain`] for a concentration that is not positive and finite.
pub fn sequential(
    counts: &[u64],
    weights: &[f64],
    concentration: f64,
) -> Result<SequentialEvidence, Undefined> {
    if !(concentration.is_finite() && concentration > 0.0) {
        return Err(Undefined::OutsideDomain);
    }
    let (arms, total) = match compare(counts, weights) {
        Err(Undefined::NotEnoughData) => return Ok(SequentialEvidence::of(0.0)),
        compared => compared?,
    };
    let posterior_total = concentration + total;
    let of_total = half_ln_ratio(concentration, posterior_total);
    let of_arms: f64 = arms.iter().map(|arm| arm.evidence(concentration)).sum();
    Ok(SequentialEvidence::of(of_arms + of_total))
}

impl SequentialEvidence {
    fn of(ln_e: f64) -> Self {
        let ln_p_value = (-ln_e).min(0.0);
        Self { ln_e, p_value: ln_p_value.exp().max(f64::MIN_POSITIVE), ln_p_value }
    }
}

impl Arm {
    /// This arm's terms of `ln E`. `x_i - Xθ_i` is the surplus itself, because `α_i = Aθ_i`.
    fn evidence(&self, concentration: f64) -> f64 {
        let prior = concentration * self.share;
        let posterior = prior + self.count;
        posterior * log_deficit(-self.surplus / posterior) - half_ln_ratio(prior, posterior)
    }
}

/// `½ ln(posterior/prior) - (δ(posterior) - δ(prior))`.
fn half_ln_ratio(prior: f64, posterior: f64) -> f64 {
    0.5 * (posterior / prior).ln() - (stirling_error(posterior) - stirling_error(prior))
}

/// Counts against weights, and the total count. The surplus `n_i - nθ_i` cancels and is taken in
/// double-double.
fn compare(counts: &[u64], weights: &[f64]) -> Result<(Vec<Arm>, f64), Undefined> {
    let valid = |weight: &f64| weight.is_finite() && *weight > 0.0;
    if counts.len() != weights.len() || counts.len() < 2 || !weights.iter().all(valid) {
        return Err(Undefined::OutsideDomain);
    }
    let total: Dd = counts.iter().map(|&count| Dd::from_u64(count)).sum();
    let weight: Dd = weights.iter().map(|&weight| Dd::from(weight)).sum();
    if total.is_zero() {
        return Err(Undefined::NotEnoughData);
    }
    let arm = |(&count, &own): (&u64, &f64)| {
        let count = Dd::from_u64(count);
        Arm {
            count: count.to_f64(),
            share: (Dd::from(own) / weight).to_f64(),
            surplus: ((count * weight - total * Dd::from(own)) / weight).to_f64(),
        }
    };
    Ok((counts.iter().zip(weights).map(arm).collect(), total.to_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got:.17e} {expected:.17e}");
    }

    #[test]
    fn exact_shares_are_no_mismatch() {
        let test = chi_squared(&[6_200, 1_550], &[0.8, 0.2]).unwrap();
        assert_eq!((test.statistic, test.p_value, test.ln_p_value), (0.0, 1.0, 0.0));
    }

    #[test]
    fn one_unit_moves_the_evidence_by_its_predictive_probability() {
        // E_1/E_0 = (α_i/A)/θ_i = 1 for the first unit, then (α_1+1)/(A+1)/θ_1 for a second in the
        // same arm.
        let first = sequential(&[1, 0], &[0.5, 0.5], 100.0).unwrap();
        assert!(first.ln_e.abs() < 1e-14, "{}", first.ln_e);
        let second = sequential(&[2, 0], &[0.5, 0.5], 100.0).unwrap();
        close(second.ln_e, (51.0_f64 / 101.0 / 0.5).ln(), 1e-11);
        assert_eq!(sequential(&[0, 0], &[1.0, 1.0], 100.0).unwrap().ln_e.to_bits(), 0);
    }

    #[test]
    fn two_thousand_million_units_keep_nine_digits() {
        // mpmath, 50 digits.
        let cases = [
            ([1_000_050_000, 999_950_000], [0.5, 0.5], -5.908_121_521_680_791),
            ([1_000_130_000, 999_870_000], [0.5, 0.5], 8.491_877_812_079_237),
            ([1_600_060_000, 399_940_000], [0.8, 0.2], -2.784_729_161_574_870_5),
        ];
        for (counts, weights, expected) in cases {
            close(sequential(&counts, &weights, 100.0).unwrap().ln_e, expected, 1e-9);
        }
    }

    #[test]
    fn weights_need_not_add_up_to_one() {
        let a = sequential(&[700, 300], &[1.0, 1.0], 100.0).unwrap();
        let b = sequential(&[700, 300], &[0.5, 0.5], 100.0).unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn what_is_not_defined_says_why() {
        for (counts, weights) in
            [(&[1_u64][..], &[1.0][..]), (&[1, 2], &[1.0]), (&[1, 2], &[1.0, 0.0])]
        {
            assert_eq!(chi_squared(counts, weights), Err(Undefined::OutsideDomain));
        }
        assert_eq!(chi_squared(&[0, 0], &[1.0, 1.0]), Err(Undefined::NotEnoughData));
        assert_eq!(sequential(&[1, 1], &[1.0, 1.0], 0.0), Err(Undefined::OutsideDomain));
    }
}
