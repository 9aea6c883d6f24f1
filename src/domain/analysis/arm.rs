//! One metric in one variant: sufficient statistics, estimate and standard error.

use crate::domain::analysis::ConfidenceInterval;
use crate::domain::experiment::AnalysisPlan;
use crate::domain::id::VariantId;
use crate::domain::metric::{Estimand, Metric};
use crate::domain::tally::{GroupRow, Tally};
use crate::stats::Interval;
use crate::stats::Undefined;
use crate::stats::dd::Dd;
use crate::stats::distribution::student_isf;
use crate::stats::mean_test::ArmEstimate;
use crate::stats::moments::Moments;
use crate::stats::rows::{Row, ratio};

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
    pub(super) moments: Moments,
    pub(super) groups: usize,
    pub(super) estimate: Result<ArmEstimate, Undefined>,
}

impl<'a> Arm<'a> {
    pub(super) fn read(tally: &Tally, metric: &Metric, variant: &'a VariantId) -> Self {
        let rows = rows(tally, metric, variant);
        let estimate = match metric.estimand {
            Estimand::MeanPerOutcome | Estimand::TotalPerUnit | Estimand::Ratio => ratio(&rows),
            // Compared quantile by quantile; there is no single estimate.
            Estimand::Quantile => Err(Undefined::NotEnoughData),
        };
        Self { variant, moments: tally.moments(variant, &metric.id), groups: rows.len(), estimate }
    }

    pub(super) fn statistics(&self, plan: &AnalysisPlan) -> VariantStatistics {
        let estimate = self.estimate.as_ref().ok();
        // One group has a mean but no spread.
        let mean = estimate.map(|estimate| estimate.value.to_f64());
        VariantStatistics {
            variant: self.variant.clone(),
            moments: self.moments,
            groups: self.groups,
            estimate: mean,
            standard_error: estimate.map(|estimate| estimate.standard_error),
            interval: estimate.and_then(|estimate| interval(estimate, 1.0 - plan.alpha)),
            quantiles: Vec::new(),
        }
    }
}

fn interval(estimate: &ArmEstimate, level: f64) -> Option<ConfidenceInterval> {
    let critical = student_isf((1.0 - level) / 2.0, estimate.degrees_of_freedom);
    let radius = critical * estimate.standard_error;
    ConfidenceInterval::finite(Interval::around(estimate.value.to_f64(), radius), level)
}

/// What the estimand divides, group by group. Groups in which nothing happened are left out:
/// they would add degrees of freedom without information.
fn rows(tally: &Tally, metric: &Metric, variant: &VariantId) -> Vec<Row> {
    let numerators = tally.groups(variant, &metric.id);
    let row = |denominator, numerator| Row { denominator, numerator };
    match metric.estimand {
        Estimand::MeanPerOutcome | Estimand::Quantile => numerators
            .iter()
            .filter(|group| group.count > 0)
            .map(|group| row(Dd::from_i64(group.count), group.sum))
            .collect(),
        Estimand::TotalPerUnit => tally
            .exposures(variant)
            .iter()
            .zip(&numerators)
            .filter(|(units, _)| **units > 0)
            .map(|(units, group)| row(Dd::from_i64(*units), group.sum))
            .collect(),
        Estimand::Ratio => {
            let denominators = metric.denominator.as_ref().map(|id| tally.groups(variant, id));
            let denominators: Vec<GroupRow> = denominators.unwrap_or_default();
            denominators
                .iter()
                .zip(&numerators)
                .filter(|(below, above)| below.count > 0 || above.count > 0)
                .map(|(below, above)| row(below.sum, above.sum))
                .collect()
        }
    }
}
