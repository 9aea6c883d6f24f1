//! What the evidence says: (experiment, counters) to results. Decides what to compute for which
//! metric; every formula is in [`crate::stats`].
//!
//! What is not defined (no data, no variance, a baseline of zero) is absent, never a made-up
//! number; no NaN and no infinity leaves this module.

mod arm;
mod comparison;

use crate::domain::experiment::{Experiment, Iteration, State};
use crate::domain::id::{ExperimentId, MetricId, VariantId};
use crate::domain::metric::{Estimand, Metric, Role};
use crate::domain::tally::Tally;
use crate::stats::{Interval, srm};

pub use self::arm::{QuantileEstimate, VariantStatistics};
pub use self::comparison::{Comparison, NaiveTest, Verdict};

/// An interval and its nominal coverage. Both ends are finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceInterval {
    /// From where to where.
    pub bounds: Interval,
    /// For instance 0.95.
    pub level: f64,
}

impl ConfidenceInterval {
    /// `None` for an interval without an end: a contract without infinities cannot carry it.
    #[must_use]
    pub fn finite(bounds: Interval, level: f64) -> Option<Self> {
        let finite = bounds.lower.is_finite() && bounds.upper.is_finite();
        finite.then_some(Self { bounds, level })
    }
}

/// The state of the evidence of one iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The experiment.
    pub experiment: ExperimentId,
    /// Its state.
    pub state: State,
    /// The iteration described.
    pub iteration: u32,
    /// By variant, control first.
    pub exposures: Vec<VariantExposure>,
    /// Whether the split is as configured.
    pub sample_ratio: SampleRatio,
    /// By metric, primary first.
    pub metrics: Vec<MetricResult>,
    /// What to do.
    pub recommendation: Recommendation,
    /// Plain sentences behind the recommendation.
    pub explanations: Vec<String>,
    /// Share of the planned sample that is in; absent without a plan.
    pub progress: Option<f64>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recommendation {
    /// Keep collecting.
    Continue,
    /// Do not trust the numbers.
    Investigate,
}

/// How many met a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantExposure {
    /// The variant.
    pub variant: VariantId,
    /// Distinct units exposed.
    pub units: i64,
    /// Outcomes accepted.
    pub outcomes: i64,
    /// Of these, reported to have been served by another variant than assigned.
    pub mismatched: i64,
}

/// Observed against configured split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// Pearson's statistic and its p-value, valid for one look.
    pub test: Option<srm::ChiSquared>,
    /// p-value valid at any time of looking.
    pub sequential_p_value: Option<f64>,
    /// Whether the split is declared broken.
    pub mismatch: bool,
}

/// One metric across variants.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricResult {
    /// The metric.
    pub metric: MetricId,
    /// Its role.
    pub role: Role,
    /// Its estimand.
    pub estimand: Estimand,
    /// By variant, control first.
    pub statistics: Vec<VariantStatistics>,
    /// Each treatment against control.
    pub comparisons: Vec<Comparison>,
}

/// Turns the counters of an iteration into results. `wanted` restricts the metrics; empty means
/// all of them.
#[must_use]
pub fn analyse(
    experiment: &Experiment,
    iteration: &Iteration,
    tally: &Tally,
    wanted: &[MetricId],
) -> Results {
    let order = control_first(iteration);
    let exposures: Vec<_> = order.iter().map(|(_, variant)| exposure(tally, variant)).collect();
    let sample_ratio = sample_ratio(experiment, iteration, tally);
    let metrics = experiment.definition.metrics_primary_first();
    let metrics = metrics.filter(|metric| wanted.is_empty() || wanted.contains(&metric.id));
    let metrics = metrics.map(|metric| analyse_metric(experiment, tally, metric, &order)).collect();
    let (recommendation, explanations) = recommend(&sample_ratio);
    Results {
        experiment: experiment.id().clone(),
        state: experiment.state,
        iteration: iteration.number,
        progress: progress(experiment, &exposures),
        exposures,
        sample_ratio,
        metrics,
        recommendation,
        explanations,
    }
}

fn control_first(iteration: &Iteration) -> Vec<(usize, &VariantId)> {
    let control = iteration.split.control();
    let mut order: Vec<_> = iteration.variants.iter().enumerate().collect();
    order.sort_by_key(|(index, _)| (*index != control, *index));
    order
}

fn exposure(tally: &Tally, variant: &VariantId) -> VariantExposure {
    let (outcomes, mismatched) = tally.outcomes(variant);
    VariantExposure { variant: variant.clone(), units: tally.units(variant), outcomes, mismatched }
}

fn sample_ratio(experiment: &Experiment, iteration: &Iteration, tally: &Tally) -> SampleRatio {
    // A retired variant (share 0) gets nobody and is not part of the split.
    let arms = iteration.variants.iter().zip(iteration.split.weights());
    let arms = arms.filter(|(_, weight)| *weight > 0);
    let (counts, weights): (Vec<u64>, Vec<f64>) = arms
        .map(|(id, weight)| (u64::try_from(tally.units(id)).unwrap_or_default(), f64::from(weight)))
        .unzip();
    let test = srm::chi_squared(&counts, &weights).ok();
    let evidence = srm::sequential(&counts, &weights, srm::DEFAULT_CONCENTRATION).ok();
    let sequential_p_value = evidence.map(|evidence| evidence.p_value);
    SampleRatio {
        test,
        sequential_p_value,
        mismatch: sequential_p_value.is_some_and(|p| p < experiment.definition.analysis.srm_alpha),
    }
}

fn analyse_metric(
    experiment: &Experiment,
    tally: &Tally,
    metric: &Metric,
    order: &[(usize, &VariantId)],
) -> MetricResult {
    let plan = &experiment.definition.analysis;
    let arms: Vec<_> =
        order.iter().map(|(_, variant)| arm::Arm::read(tally, metric, variant)).collect();
    let comparisons = match arms.split_first() {
        Some((control, treatments)) => treatments
            .iter()
            .map(|treatment| comparison::compare(plan, metric, control, treatment))
            .collect(),
        None => Vec::new(),
    };
    MetricResult {
        metric: metric.id.clone(),
        role: metric.role,
        estimand: metric.estimand,
        statistics: arms.iter().map(|arm| arm.statistics(plan)).collect(),
        comparisons,
    }
}

fn progress(experiment: &Experiment, exposures: &[VariantExposure]) -> Option<f64> {
    let planned = experiment.definition.analysis.planned_units?;
    let units: i64 = exposures.iter().map(|exposure| exposure.units).sum();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share for people; 2^53 units are out of reach"
    )]
    let share = units as f64 / planned as f64;
    Some(share)
}

fn recommend(sample_ratio: &SampleRatio) -> (Recommendation, Vec<String>) {
    if sample_ratio.mismatch {
        let sentence = "The split of units differs from the one configured by more than chance \
                        explains: find out why before you read the metrics.";
        return (Recommendation::Investigate, vec![sentence.to_owned()]);
    }
    (Recommendation::Continue, vec!["The split is as configured.".to_owned()])
}
