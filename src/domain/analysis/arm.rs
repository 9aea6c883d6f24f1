//! One metric in one variant: sufficient statistics, estimate and standard error.

use crate::domain::analysis::groups::Groups;
use crate::domain::analysis::{ConfidenceInterval, level};
use crate::domain::experiment::AnalysisPlan;
use crate::domain::id::VariantId;
use crate::domain::metric::{Estimand, Metric};
use crate::domain::tally::Tally;
use crate::stats::cuped::Linearised;
use crate::stats::distribution::student_isf;
use crate::stats::mean_test::ArmEstimate;
use crate::stats::moments::Moments;
use crate::stats::quantile::Distribution;
use crate::stats::rows::Row;
use crate::stats::sketch::{Bin, INTERPOLATION_ERROR};
use crate::stats::{Interval, Undefined, quantile};

/// Sufficient statistics of one metric in one variant and what follows from them.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantStatistics {
    /// The variant.
    pub variant: VariantId,
    /// Count, sum and sum of squares of the outcomes.
    pub moments: Moments,
    /// Groups of units behind the standard error.
    pub groups: usize,
    /// The estimate of the estimand.
    pub estimate: Option<f64>,
    /// Its standard error over groups.
    pub standard_error: Option<f64>,
    /// Around the estimate, Student's t over groups.
    pub interval: Option<ConfidenceInterval>,
    /// By probability, for kinds with a sketch.
    pub quantiles: Vec<QuantileEstimate>,
}

/// A quantile read from the sketch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileEstimate {
    /// In (0, 1).
    pub probability: f64,
    /// The estimate.
    pub value: f64,
    /// Largest relative error that the sketch allows.
    pub relative_error: f64,
}

/// One variant's evidence on one metric.
pub(super) struct Arm<'a> {
    pub(super) variant: &'a VariantId,
    /// Share of the split in basis points.
    pub(super) weight: u16,
    /// Exposed units.
    pub(super) units: u64,
    pub(super) moments: Moments,
    /// Groups of units in which something happened.
    groups: usize,
    /// Where there is a single group only, it has a mean without a standard error.
    only_group: Option<Row>,
    pub(super) estimate: Result<ArmEstimate, Undefined>,
    /// For the adjustment by the covariate; none without one.
    pub(super) linearised: Option<Linearised>,
    /// By probability, where quantiles are compared; none that this much data does not bound.
    pub(super) quantiles: Vec<Option<quantile::QuantileEstimate>>,
    pub(super) distribution: Option<Distribution>,
}

impl<'a> Arm<'a> {
    pub(super) fn read(
        plan: &AnalysisPlan,
        tally: &Tally,
        metric: &Metric,
        variant: &'a VariantId,
        weight: u16,
    ) -> Self {
        let groups = tally.groups(variant, &metric.id);
        let evidence = Groups::read(tally, metric, variant, &groups);
        let bins = if metric.kind.has_sketch() { bins(tally, metric, variant) } else { Vec::new() };
        let distribution = Distribution::from_bins(&bins).ok();
        let quantiles = distribution.as_ref().filter(|_| metric.estimand == Estimand::Quantile);
        let quantiles = quantiles.map(|distribution| {
            let orders = &metric.quantiles;
            quantile::QuantileEstimate::of_arm(&bins, distribution, orders, level(plan))
        });
        Self {
            variant,
            weight,
            units: u64::try_from(tally.units(variant)).unwrap_or_default(),
            moments: tally.moments(variant, &metric.id, &groups),
            groups: evidence.active,
            only_group: evidence.only_group,
            estimate: evidence.estimate,
            linearised: evidence.linearised,
            quantiles: quantiles.unwrap_or_default().into_iter().map(Result::ok).collect(),
            distribution,
        }
    }

    pub(super) fn statistics(&self, plan: &AnalysisPlan, metric: &Metric) -> VariantStatistics {
        let estimate = self.estimate.as_ref().ok();
        let distribution = self.distribution.iter();
        let quantiles = distribution.flat_map(|distribution| {
            metric.quantiles.iter().map(|probability| QuantileEstimate {
                probability: *probability,
                value: distribution.quantile(*probability),
                relative_error: INTERPOLATION_ERROR,
            })
        });
        VariantStatistics {
            variant: self.variant.clone(),
            moments: self.moments,
            groups: self.groups,
            estimate: estimate
                .map(|estimate| estimate.value.to_f64())
                .or_else(|| self.plain_mean(metric)),
            standard_error: estimate.map(|estimate| estimate.standard_error),
            interval: estimate.and_then(|estimate| interval(estimate, level(plan))),
            quantiles: quantiles.collect(),
        }
    }

    /// A single group has a mean, only no standard error.
    fn plain_mean(&self, metric: &Metric) -> Option<f64> {
        let only = self.only_group.filter(|_| metric.estimand != Estimand::Quantile)?;
        let value = only.numerator / only.denominator;
        value.is_finite().then(|| value.to_f64())
    }
}

fn interval(estimate: &ArmEstimate, level: f64) -> Option<ConfidenceInterval> {
    let critical = student_isf((1.0 - level) / 2.0, estimate.degrees_of_freedom);
    let radius = critical * estimate.standard_error;
    ConfidenceInterval::finite(Interval::around(estimate.value.to_f64(), radius), level)
}

fn bins<'a>(tally: &'a Tally, metric: &Metric, variant: &VariantId) -> Vec<(Bin, &'a [i64])> {
    let bins = tally.bins(variant, &metric.id).into_iter();
    bins.filter_map(|(index, counts)| Some((Bin::from_index(index)?, counts))).collect()
}
