//! One metric in one variant: sufficient statistics, estimate and standard error.

use crate::domain::analysis::{ConfidenceInterval, level};
use crate::domain::experiment::AnalysisPlan;
use crate::domain::id::VariantId;
use crate::domain::metric::{Estimand, Metric};
use crate::domain::tally::{GroupRow, Tally};
use crate::stats::cuped::CovariateRow;
use crate::stats::dd::Dd;
use crate::stats::distribution::student_isf;
use crate::stats::mean_test::ArmEstimate;
use crate::stats::moments::Moments;
use crate::stats::quantile::{BlockCounts, Distribution};
use crate::stats::rows::{Row, ratio};
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
    /// Group by group, those in which nothing happened left out.
    rows: Vec<CovariateRow>,
    pub(super) estimate: Result<ArmEstimate, Undefined>,
    bins: Vec<BlockCounts>,
    pub(super) distribution: Option<Distribution>,
}

impl<'a> Arm<'a> {
    pub(super) fn read(
        tally: &Tally,
        metric: &Metric,
        variant: &'a VariantId,
        weight: u16,
    ) -> Self {
        let rows = rows(tally, metric, variant);
        let estimate = match metric.estimand {
            Estimand::MeanPerOutcome | Estimand::TotalPerUnit | Estimand::Ratio => {
                ratio(&rows.iter().map(|row| row.outcome).collect::<Vec<_>>())
            }
            // Compared quantile by quantile; there is no single estimate.
            Estimand::Quantile => Err(Undefined::NotEnoughData),
        };
        let bins = if metric.kind.has_sketch() { bins(tally, metric, variant) } else { Vec::new() };
        Self {
            variant,
            weight,
            units: u64::try_from(tally.units(variant)).unwrap_or_default(),
            moments: tally.moments(variant, &metric.id),
            rows,
            estimate,
            distribution: Distribution::from_bins(&bins).ok(),
            bins,
        }
    }

    pub(super) fn rows(&self) -> &[CovariateRow] {
        &self.rows
    }

    pub(super) fn quantile(
        &self,
        probability: f64,
        level: f64,
    ) -> Result<quantile::QuantileEstimate, Undefined> {
        quantile::QuantileEstimate::from_bins(&self.bins, probability, level)
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
            groups: self.rows.len(),
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
        match (metric.estimand, self.rows.as_slice()) {
            (Estimand::Quantile, _) => None,
            (_, [only]) => {
                let value = only.outcome.numerator / only.outcome.denominator;
                value.is_finite().then(|| value.to_f64())
            }
            (_, _) => None,
        }
    }
}

fn interval(estimate: &ArmEstimate, level: f64) -> Option<ConfidenceInterval> {
    let critical = student_isf((1.0 - level) / 2.0, estimate.degrees_of_freedom);
    let radius = critical * estimate.standard_error;
    ConfidenceInterval::finite(Interval::around(estimate.value.to_f64(), radius), level)
}

fn bins(tally: &Tally, metric: &Metric, variant: &VariantId) -> Vec<BlockCounts> {
    let bins = tally.bins(variant, &metric.id).into_iter();
    bins.filter_map(|(index, counts)| Some((Bin::from_index(index)?, counts))).collect()
}

/// What the estimand divides, group by group, with the covariate if there is one. Groups in which
/// nothing happened are left out: they would add degrees of freedom without information.
fn rows(tally: &Tally, metric: &Metric, variant: &VariantId) -> Vec<CovariateRow> {
    let numerators = tally.groups(variant, &metric.id);
    let covariates = metric.covariate.as_ref().map(|name| tally.covariates(variant, name));
    let denominators = denominators(tally, metric, variant, &numerators);
    let groups = denominators.into_iter().zip(numerators).enumerate();
    groups
        .filter_map(|(group, (denominator, numerator))| {
            let outcome = Row { denominator: denominator?, numerator: numerator.sum };
            let covariate = covariates.as_ref().and_then(|rows| rows.get(group));
            let covariate =
                covariate.map_or(Row { denominator: Dd::ZERO, numerator: Dd::ZERO }, |row| Row {
                    denominator: Dd::from_i64(row.count),
                    numerator: row.sum,
                });
            Some(CovariateRow { outcome, covariate })
        })
        .collect()
}

/// By group; `None` where nothing happened.
fn denominators(
    tally: &Tally,
    metric: &Metric,
    variant: &VariantId,
    numerators: &[GroupRow],
) -> Vec<Option<Dd>> {
    let positive = |count: i64| (count > 0).then(|| Dd::from_i64(count));
    match metric.estimand {
        Estimand::MeanPerOutcome | Estimand::Quantile => {
            numerators.iter().map(|group| positive(group.count)).collect()
        }
        Estimand::TotalPerUnit => {
            tally.exposures(variant).iter().map(|units| positive(*units)).collect()
        }
        Estimand::Ratio => {
            let below = metric.denominator.as_ref().map(|id| tally.groups(variant, id));
            let below = below.unwrap_or_default().into_iter().zip(numerators);
            below
                .map(|(below, above)| (below.count > 0 || above.count > 0).then_some(below.sum))
                .collect()
        }
    }
}
