//! Simulated quantile tests from the bins that the store keeps.

use std::collections::BTreeMap;

use super::outcomes::{Noise, Outcomes};
use crate::stats::Undefined;
use crate::stats::mean_test::welch_estimates;
use crate::stats::quantile::always_valid::QuantileTest;
use crate::stats::quantile::{
    BLOCKS, BlockCounts, Distribution, QuantileEstimate, block_design_effect,
};
use crate::stats::sketch::Bin;

/// Two arms of lognormal latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileScenario {
    /// Outcomes of control and of treatment.
    pub counts: [usize; 2],
    /// Units per arm; none where every outcome is a unit.
    pub units: Option<usize>,
    /// Share of the latent variance between units.
    pub icc: f64,
    /// Deviation of the logarithm.
    pub sigma: f64,
    /// What treatment multiplies every outcome with.
    pub ratio: f64,
    /// Order of the quantile.
    pub nu: f64,
    /// Level.
    pub alpha: f64,
    /// Looks of the sequential test, evenly spaced.
    pub looks: usize,
}

/// One simulated experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileTrial {
    /// Whether the interval of the difference at the end holds the true one.
    pub covered: bool,
    /// Whether the fixed-horizon test at the end rejects.
    pub rejected: bool,
    /// The first look, of those counted from one, at which the always-valid test rejects.
    pub always_valid_rejection: Option<usize>,
}

impl QuantileScenario {
    /// Runs one experiment.
    ///
    /// # Errors
    ///
    /// As [`QuantileTest::new`] and [`QuantileEstimate::from_bins`].
    pub fn trial(&self, noise: &mut Noise<'_>) -> Result<QuantileTrial, Undefined> {
        let test = QuantileTest::new(self.nu, self.tuning_count(), self.alpha)?;
        let scales = [1.0, self.ratio];
        let mut arms = scales.map(|scale| Sketch::new(self, scale, noise));
        let mut always_valid_rejection = None;
        let mut bins = [Vec::new(), Vec::new()];
        for look in 1..=self.looks.max(1) {
            for ((arm, bins), count) in arms.iter_mut().zip(&mut bins).zip(self.counts) {
                arm.fill(self, count * look / self.looks.max(1), noise);
                *bins = arm.bins();
            }
            if always_valid_rejection.is_none() && self.rejects(&test, &bins)? {
                always_valid_rejection = Some(look);
            }
        }
        let [control, treatment] = bins
            .each_ref()
            .map(|bins| QuantileEstimate::from_bins(bins, self.nu, 1.0 - self.alpha));
        let result = welch_estimates(&control?.arm(), &treatment?.arm())?;
        let quantile = (self.sigma * crate::stats::distribution::normal_isf(1.0 - self.nu)).exp();
        let interval = result.interval(1.0 - self.alpha);
        Ok(QuantileTrial {
            covered: interval.contains((self.ratio - 1.0) * quantile),
            rejected: result.p_value <= self.alpha,
            always_valid_rejection,
        })
    }

    fn rejects(
        &self,
        test: &QuantileTest,
        bins: &[Vec<BlockCounts>; 2],
    ) -> Result<bool, Undefined> {
        let [control, treatment] = bins;
        let (c, t) = (Distribution::from_bins(control)?, Distribution::from_bins(treatment)?);
        let effects = (
            block_design_effect(control, &c, self.nu)?.factor,
            block_design_effect(treatment, &t, self.nu)?.factor,
        );
        Ok(test.look(&c, &t, effects).p_value <= self.alpha)
    }

    fn tuning_count(&self) -> f64 {
        super::real(self.counts.iter().copied().min().unwrap_or_default())
    }
}

/// The bins of one simulated arm.
struct Sketch {
    bins: BTreeMap<Bin, [i64; BLOCKS]>,
    units: Vec<(f64, usize)>,
    count: usize,
    scale: f64,
}

impl Sketch {
    fn new(scenario: &QuantileScenario, scale: f64, noise: &mut Noise<'_>) -> Self {
        let unit = |_| (noise.normal(), noise.below(BLOCKS));
        let units = (0..scenario.units.unwrap_or_default()).map(unit).collect();
        Self { bins: BTreeMap::new(), units, count: 0, scale }
    }

    /// Draws outcomes up to that many.
    fn fill(&mut self, scenario: &QuantileScenario, count: usize, noise: &mut Noise<'_>) {
        let outcomes = Outcomes::LogNormal { sigma: scenario.sigma };
        while self.count < count {
            let unit =
                if self.units.is_empty() { None } else { Some(noise.below(self.units.len())) };
            let (inclination, block) = unit
                .and_then(|unit| self.units.get(unit).copied())
                .unwrap_or_else(|| (noise.normal(), noise.below(BLOCKS)));
            let value = self.scale * outcomes.draw(noise, inclination, scenario.icc);
            let counts = self.bins.entry(Bin::of(value)).or_insert([0; BLOCKS]);
            if let Some(count) = counts.get_mut(block) {
                *count += 1;
            }
            self.count += 1;
        }
    }

    fn bins(&self) -> Vec<BlockCounts> {
        self.bins.iter().map(|(bin, counts)| (*bin, *counts)).collect()
    }
}
