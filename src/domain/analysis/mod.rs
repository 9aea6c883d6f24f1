//! What the evidence says: (experiment, counters, evidence of earlier looks) to results. Decides
//! what to compute for which metric; every formula is in [`crate::stats`].
//!
//! - `arm` and `groups` read one metric of one variant, `contest` pairs a treatment with control;
//! - [`delivery`] says whether units got what they were assigned;
//! - `one_look` and `looks` read it by the two methods, `comparison` puts them side by side,
//!   `correction` accounts for several of them;
//! - [`recommendation`] decides, `explanation` says why;
//! - `segments` does all of it for each value of a dimension.
//!
//! What is not defined (no data, no variance, a baseline of zero) is absent, never a made-up
//! number; no NaN and no infinity leaves this module.

mod arm;
mod comparison;
mod contest;
mod correction;
pub mod delivery;
mod explanation;
mod groups;
mod looks;
mod one_look;
mod planned;
pub mod recommendation;
mod sample_ratio;
mod segments;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::experiment::{AnalysisPlan, Experiment, Iteration, State, Timestamp};
use crate::domain::id::{ExperimentId, MetricId, VariantId};
use crate::domain::metric::{Estimand, Metric, Role};
use crate::domain::segment::Segment;
use crate::domain::tally::Tally;
use crate::stats::Interval;

pub use self::arm::{QuantileEstimate, VariantStatistics};
pub use self::comparison::{BayesianReading, Comparison, NaiveTest, Verdict};
pub use self::looks::SequentialReading;
pub use self::recommendation::Recommendation;
pub use self::sample_ratio::SampleRatio;
pub use self::segments::analyse_segments;

/// An interval and its nominal coverage. Both ends are finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceInterval {
    /// From where to where.
    pub bounds: Interval,
    /// For instance 0.95.
    pub level: f64,
}

impl ConfidenceInterval {
    /// `None` for an interval without an end, or one that contradicts itself: a contract without
    /// infinities cannot carry it.
    #[must_use]
    pub fn finite(bounds: Interval, level: f64) -> Option<Self> {
        let finite = bounds.lower.is_finite() && bounds.upper.is_finite();
        (finite && bounds.lower <= bounds.upper).then_some(Self { bounds, level })
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
    /// The units described; all of them without one.
    pub segment: Option<Segment>,
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
    /// When the planned sample will be in at the pace so far.
    pub expected_completion: Option<Timestamp>,
}

/// How many met a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Each treatment against control; for quantiles one per treatment and quantile.
    pub comparisons: Vec<Comparison>,
}

/// Results, and what this look adds to the evidence: rows of maxima to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// What the evidence says.
    pub results: Results,
    /// Rows that are larger than those that were kept.
    pub evidence: BTreeMap<String, Vec<i64>>,
}

/// Looks at an iteration.
#[must_use]
pub fn analyse(
    experiment: &Experiment,
    iteration: &Iteration,
    tally: &Tally,
    now: Timestamp,
) -> Analysis {
    let mut found = Findings::of(experiment, iteration, tally);
    correction::adjust(&experiment.definition.analysis, found.metrics.iter_mut().collect());
    comparison::judge(experiment, &mut found.metrics, 1);
    let Findings { exposures, sample_ratio, metrics, evidence } = found;
    let progress = progress(experiment, &exposures);
    let health = recommendation::Health::of(&sample_ratio, &exposures);
    let situation =
        recommendation::Situation::of(experiment, iteration, health, &metrics, progress);
    let recommendation = situation.decide();
    let explanations =
        explanation::explain(experiment, &situation, &recommendation, &metrics, &exposures);
    let results = Results {
        experiment: experiment.id().clone(),
        state: experiment.state,
        iteration: iteration.number,
        segment: None,
        expected_completion: completion(experiment, iteration, progress, now),
        exposures,
        sample_ratio,
        metrics,
        recommendation,
        explanations,
        progress,
    };
    Analysis { results, evidence }
}

/// What counters show, before it is known how many comparisons there are.
struct Findings {
    exposures: Vec<VariantExposure>,
    sample_ratio: SampleRatio,
    metrics: Vec<MetricResult>,
    evidence: BTreeMap<String, Vec<i64>>,
}

impl Findings {
    fn of(experiment: &Experiment, iteration: &Iteration, tally: &Tally) -> Self {
        let order = control_first(iteration);
        let mut evidence = BTreeMap::new();
        let sample_ratio = sample_ratio::check(experiment, iteration, tally, &mut evidence);
        let look = Look { experiment, iteration, tally, order: &order };
        let metrics = experiment.definition.metrics_primary_first();
        let metrics = metrics.map(|metric| look.at(metric, &mut evidence)).collect();
        let exposures = order.iter().map(|(_, variant)| exposure(tally, variant)).collect();
        Self { exposures, sample_ratio, metrics, evidence }
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

/// One look at the counters.
struct Look<'a> {
    experiment: &'a Experiment,
    iteration: &'a Iteration,
    tally: &'a Tally,
    order: &'a [(usize, &'a VariantId)],
}

impl Look<'_> {
    fn at(&self, metric: &Metric, evidence: &mut BTreeMap<String, Vec<i64>>) -> MetricResult {
        let plan = &self.experiment.definition.analysis;
        let weights = self.iteration.split.weights();
        let arms: Vec<_> = self
            .order
            .iter()
            .map(|(index, variant)| {
                let weight = weights.get(*index).copied().unwrap_or_default();
                arm::Arm::read(plan, self.tally, metric, variant, weight)
            })
            .collect();
        let mut comparisons = Vec::new();
        if let Some((control, treatments)) = arms.split_first() {
            for contest in treatments.iter().flat_map(|t| contest::between(metric, control, t)) {
                let row = contest.row();
                let known = self.tally.evidence(&row);
                let (comparison, seen) = comparison::compare(plan, metric, &contest, known);
                if seen != known {
                    evidence.insert(row.to_string(), seen.columns());
                }
                comparisons.push(comparison);
            }
        }
        MetricResult {
            metric: metric.id.clone(),
            role: metric.role,
            estimand: metric.estimand,
            statistics: arms.iter().map(|arm| arm.statistics(plan, metric)).collect(),
            comparisons,
        }
    }
}

fn progress(experiment: &Experiment, exposures: &[VariantExposure]) -> Option<f64> {
    let planned = experiment.definition.analysis.planned_units?;
    let units: i64 = exposures.iter().map(|exposure| exposure.units).sum();
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let share = units as f64 / planned as f64;
    Some(share)
}

/// Straight on from the pace since the iteration was opened or, the first one, started.
fn completion(
    experiment: &Experiment,
    iteration: &Iteration,
    progress: Option<f64>,
    now: Timestamp,
) -> Option<Timestamp> {
    let share = progress.filter(|share| *share > 0.0 && *share < 1.0)?;
    let current = experiment.current().is_some_and(|current| current.number == iteration.number);
    if experiment.state != State::Running || !current {
        return None;
    }
    let begin = experiment.started?.max(iteration.opened);
    #[expect(clippy::cast_precision_loss, reason = "a forecast")]
    let elapsed = now.0.checked_sub(begin.0).filter(|nanos| *nanos > 0)? as f64;
    let remaining = elapsed * (1.0 - share) / share;
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates; then there is no sum")]
    now.0.checked_add(remaining as i64).map(Timestamp)
}

/// The two-sided level of intervals.
fn level(plan: &AnalysisPlan) -> f64 {
    1.0 - plan.alpha
}
