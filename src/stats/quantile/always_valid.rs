//! The sequential test of "both arms have the same quantile of order ν", valid at any time of looking.
//!
//! If `x` is the quantile of an arm, the number `k` of its first `n` outcomes up to `x` is binomial with `p = ν`, and
//!
//! `ln G(k) = -k ln ν - (n-k) ln(1-ν) + ln B(a + k, b + n - k) - ln B(a, b)`, `a = cν`, `b = c(1-ν)`
//!
//! is the logarithm of a beta-binomial mixture with expectation at most one at any stopping time. Under the hypothesis one
//! `x` serves both arms and the product of their mixtures is one, too. Nobody knows which `x`, so the smallest product
//! over all of them is taken: `p = min(1, 1/min_x G_c(x) G_t(x))` (S. R. Howard, A. Ramdas, Bernoulli 28 (2022),
//! theorem 5; the authors' package confseq computes the same).
//!
//! **From bins.** The outcomes reach the test only through the counts up to `x`. Where `x` lies inside a bin, the count of
//! each arm is somewhere between those at the bin's ends; the smallest value over that range of each arm is taken. So the
//! p-value is never below that of the outcomes themselves, and the test keeps its level; it costs a factor of 1 to 3.5
//! in `p`. Ties are handled alike, and an outcome known exactly is a bin without width: one formula for both.
//!
//! **Dependent outcomes** are no binomial trials. With a design effect above one, counts are divided by it first, as if
//! there were `n/deff` outcomes: no longer a theorem but an approximation, as everywhere where clusters are concerned.

use statrs::function::gamma::digamma;

use super::distribution::{Distribution, Step};
use crate::stats::Undefined;
use crate::stats::distribution::{log_deficit, stirling_error};
use crate::stats::mean_test::Tail;

/// Number of outcomes per arm at which the test is tuned where nothing better is known.
pub const DEFAULT_TUNING_COUNT: f64 = 2_500.0;

/// Where the search for the smallest mixture ends: a step of 1e-12 of the whole.
const PRECISION: f64 = 1e-12;

/// Its most rounds; from a number of outcomes that shows anything, five or so are enough.
const ROUNDS: usize = 60;

/// The test, fixed before the first look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileTest {
    nu: f64,
    concentration: f64,
}

impl QuantileTest {
    /// For the quantile of order `nu`, most powerful near `tuning_count` outcomes per arm at level `alpha`:
    /// `c = max(N/(2 ln(1/α) + ln(1 + 2 ln(1/α))) - 1, 0.001)`.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] unless `0 < nu < 1`, `0 < alpha < 1` and the count is positive and finite.
    pub fn new(nu: f64, tuning_count: f64, alpha: f64) -> Result<Self, Undefined> {
        let valid = 0.0 < nu
            && nu < 1.0
            && 0.0 < alpha
            && alpha < 1.0
            && tuning_count > 0.0
            && tuning_count.is_finite();
        let surprise = -2.0 * alpha.ln();
        let concentration = (tuning_count / (surprise + surprise.ln_1p()) - 1.0).max(1e-3);
        valid.then_some(Self { nu, concentration }).ok_or(Undefined::OutsideDomain)
    }

    /// The two-sided p-value at one look. Keep the smallest over the looks.
    ///
    /// The design effect of each arm counts where it is above one.
    #[must_use]
    pub fn look(
        &self,
        control: &Distribution,
        treatment: &Distribution,
        design_effects: (f64, f64),
    ) -> Tail {
        let mut arms = [
            Arm::new(self, control, design_effects.0),
            Arm::new(self, treatment, design_effects.1),
        ];
        // While both arms are short of their least evidence, nothing is compared: on to where one
        // is not.
        if let Some(end) = arms.iter().filter_map(Arm::first_past).reduce(f64::min) {
            for arm in &mut arms {
                arm.skip_to(end);
            }
        }
        let mut smallest = f64::INFINITY;
        // Every stretch of the line: first the one that ends here in at least one arm. Each mixture is convex, so the
        // product falls while both arms are short of their least evidence and rises once both are past it.
        while let Some(end) = next_end(&arms) {
            let past = arms.iter().all(|arm| arm.below >= arm.least);
            if past && smallest.is_finite() {
                break;
            }
            let counts = arms.each_mut().map(|arm| arm.nearest_up_to(end));
            let last = next_end(&arms).is_none();
            let short = arms.iter().all(|arm| arm.below < arm.least);
            if !short || last {
                let total: f64 =
                    arms.iter().zip(counts).map(|(arm, k)| self.ln_mixture(k, arm.count)).sum();
                smallest = smallest.min(total);
            }
        }
        let ln_p_value = (-smallest).min(0.0);
        Tail { p_value: ln_p_value.exp().max(f64::MIN_POSITIVE), ln_p_value }
    }

    /// `ln G(k)` for `k` of `n` outcomes, real numbers.
    ///
    /// By Stirling's formula, as in [`srm`](crate::stats::srm), which has the derivation: it is the same mixture with two
    /// arms.
    fn ln_mixture(&self, below: f64, count: f64) -> f64 {
        let surplus = below - self.nu * count;
        let part = |share: f64, own: f64, surplus: f64| {
            let prior = self.concentration * share;
            let posterior = prior + own;
            posterior * log_deficit(-surplus / posterior) - half_ln_ratio(prior, posterior)
        };
        part(self.nu, below, surplus)
            + part(1.0 - self.nu, count - below, -surplus)
            + half_ln_ratio(self.concentration, self.concentration + count)
    }

    /// The `k` at which the mixture, convex in `k`, is smallest: where its derivative
    /// `ψ(a+k) - ψ(b+n-k) - ln(ν/(1-ν))` changes sign, by Newton's iteration within a bracket that
    /// starts as `[0, n]`. What it leaves open enters the mixture squared.
    fn least_evidence(&self, count: f64) -> f64 {
        let (prior, log_odds) = (self.concentration, (self.nu / (1.0 - self.nu)).ln());
        let (mut low, mut high) = (0.0, count);
        let mut k = self.nu * count;
        for _ in 0..ROUNDS {
            let (below, above) = (prior * self.nu + k, prior * (1.0 - self.nu) + count - k);
            let slope = digamma(below) - digamma(above) - log_odds;
            if slope < 0.0 {
                low = k;
            } else {
                high = k;
            }
            let newton = k - slope / (rough_trigamma(below) + rough_trigamma(above));
            let next =
                if low < newton && newton < high { newton } else { f64::midpoint(low, high) };
            let step = (next - k).abs();
            k = next;
            if step <= PRECISION * count {
                break;
            }
        }
        k
    }
}

/// `ψ'`, near enough for Newton's iteration: within a third, within 1e-2 from 1 and 1e-5 from 10 on.
fn rough_trigamma(x: f64) -> f64 {
    let inverse = x.recip();
    inverse + 0.5 * inverse * inverse * (1.0 + (inverse / 3.0).min(1.0))
}

/// `½ ln(posterior/prior) - (δ(posterior) - δ(prior))`.
fn half_ln_ratio(prior: f64, posterior: f64) -> f64 {
    0.5 * (posterior / prior).ln() - (stirling_error(posterior) - stirling_error(prior))
}

/// One arm on the way up the line.
struct Arm<'a> {
    steps: &'a [Step],
    /// Outcomes, in effective numbers.
    count: f64,
    /// What a step's count is divided by.
    design_effect: f64,
    /// Count with the least evidence.
    least: f64,
    /// Outcomes below the present stretch, in effective numbers.
    below: f64,
}

impl<'a> Arm<'a> {
    fn new(test: &QuantileTest, distribution: &'a Distribution, design_effect: f64) -> Self {
        // Not `max`: a design effect that is no number counts as one.
        let design_effect = if design_effect > 1.0 { design_effect } else { 1.0 };
        let count = distribution.count() / design_effect;
        let least = test.least_evidence(count);
        Self { steps: distribution.steps(), count, design_effect, least, below: 0.0 }
    }

    /// The end of the first step that is not short of the least evidence.
    fn first_past(&self) -> Option<f64> {
        let short = |step: &Step| step.up_to / self.design_effect < self.least;
        self.steps.get(self.steps.partition_point(short)).map(|step| step.upper)
    }

    /// Leaves the steps behind that end before `end`.
    fn skip_to(&mut self, end: f64) {
        let (behind, ahead) =
            self.steps.split_at(self.steps.partition_point(|step| step.upper < end));
        self.below = behind.last().map_or(0.0, |step| step.up_to / self.design_effect);
        self.steps = ahead;
    }

    /// The count with the least evidence of an `x` in the stretch that ends at `end`, which is then left behind.
    fn nearest_up_to(&mut self, end: f64) -> f64 {
        let mut up_to = self.below;
        if let [step, rest @ ..] = self.steps
            && step.upper <= end
        {
            up_to = step.up_to / self.design_effect;
            self.steps = rest;
        }
        let nearest = self.least.clamp(self.below, up_to);
        self.below = up_to;
        nearest
    }
}

/// The nearest end of a step that is still ahead.
fn next_end(arms: &[Arm<'_>]) -> Option<f64> {
    arms.iter().filter_map(|arm| arm.steps.first()).map(|step| step.upper).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::distribution::ln_beta;
    use crate::stats::sketch::Bin;

    const INDEPENDENT: (f64, f64) = (1.0, 1.0);

    fn outcomes(count: u32, scale: f64) -> Vec<f64> {
        let mut values: Vec<f64> =
            (1..=count).map(|k| scale * (1.0 + f64::from(k * 7_919 % 10_007) / 2_000.0)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn binned(values: &[f64]) -> Distribution {
        let mut counts = std::collections::BTreeMap::new();
        for &value in values {
            counts.entry(Bin::of(value)).or_insert([0; super::super::BLOCKS])[0] += 1;
        }
        Distribution::from_bins(&counts.into_iter().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_mixture_is_the_beta_binomial_ratio() {
        let test = QuantileTest::new(0.9, 2_000.0, 0.05).unwrap();
        let (a, b) = (0.9 * test.concentration, 0.1 * test.concentration);
        for (k, n) in [(0.0, 5.0), (170.0, 200.0), (200.0, 200.0)] {
            let direct = ln_beta(a + k, b + n - k)
                - ln_beta(a, b)
                - k * 0.9_f64.ln()
                - (n - k) * 0.1_f64.ln();
            assert!((test.ln_mixture(k, n) - direct).abs() < 1e-9, "{k} {direct}");
        }
    }

    #[test]
    fn bins_never_claim_more_than_the_outcomes() {
        let test = QuantileTest::new(0.95, 2_000.0, 0.05).unwrap();
        for (count, scale) in [(300, 1.0), (2_000, 1.1), (2_000, 1.4), (5_000, 0.9)] {
            let (a, b) = (outcomes(count, 1.0), outcomes(count, scale));
            let raw = |values: &[f64]| Distribution::from_sorted(values).unwrap();
            let exact = test.look(&raw(&a), &raw(&b), INDEPENDENT).ln_p_value;
            let conservative = test.look(&binned(&a), &binned(&b), INDEPENDENT).ln_p_value;
            assert!(conservative >= exact - 1e-9, "{scale}: {exact} {conservative}");
            assert!(scale < 1.3 || conservative < -10.0, "{conservative}");
        }
    }

    #[test]
    fn arms_may_be_exchanged_and_dependence_weakens_the_evidence() {
        let test = QuantileTest::new(0.5, 2_000.0, 0.05).unwrap();
        let (a, b) = (binned(&outcomes(1_000, 1.0)), binned(&outcomes(1_500, 1.2)));
        let (ab, ba) = (test.look(&a, &b, INDEPENDENT), test.look(&b, &a, INDEPENDENT));
        assert!((ab.ln_p_value - ba.ln_p_value).abs() < 1e-9);
        let dependent = test.look(&a, &b, (4.0, 4.0)).ln_p_value;
        assert!(dependent > ab.ln_p_value, "{dependent} {ab:?}");
    }

    #[test]
    fn a_test_has_an_order_a_level_and_a_size() {
        for (nu, count, alpha) in [(0.0, 10.0, 0.05), (0.5, 0.0, 0.05), (0.5, 10.0, 1.0)] {
            assert_eq!(QuantileTest::new(nu, count, alpha), Err(Undefined::OutsideDomain));
        }
    }
}
