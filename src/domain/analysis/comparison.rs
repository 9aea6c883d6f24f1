//! Tests of a treatment against control: fixed horizon, sequential, Bayesian, guardrail, naive.

use serde::{Deserialize, Serialize};

use crate::domain::analysis::contest::Contest;
use crate::domain::analysis::looks::{Looks, SequentialReading};
use crate::domain::analysis::one_look::OneLook;
use crate::domain::analysis::{ConfidenceInterval, MetricResult, level};
use crate::domain::evidence::Evidence;
use crate::domain::experiment::{AnalysisPlan, Experiment, Method};
use crate::domain::id::VariantId;
use crate::domain::metric::{Direction, Estimand, Metric, Role};
use crate::stats::bayes::{NormalPosterior, Prior};
use crate::stats::lift::Lift;
use crate::stats::mean_test::{self, TTest};
use crate::stats::non_inferiority::{Better, Guardrail, Margin};
use crate::stats::precision;

/// A treatment against control.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The treatment.
    pub variant: VariantId,
    /// The control.
    pub baseline: VariantId,
    /// Which quantile, where the estimand is one.
    pub quantile: Option<f64>,
    /// Treatment minus control, after variance reduction.
    pub difference: Option<f64>,
    /// Around the difference, by the method planned.
    pub difference_interval: Option<ConfidenceInterval>,
    /// Difference over the magnitude of the control's estimate.
    pub lift: Option<f64>,
    /// Around the lift (Fieller), by the method planned; absent where it is unbounded.
    pub lift_interval: Option<ConfidenceInterval>,
    /// Whether that is so although there is a lift and a test: control may be zero.
    pub lift_unbounded: bool,
    /// p-value of the method planned.
    pub p_value: Option<f64>,
    /// After the correction for several comparisons.
    pub adjusted_p_value: Option<f64>,
    /// Whether the adjusted p-value is below alpha.
    pub significant: bool,
    /// What it shows.
    pub verdict: Verdict,
    /// Welch over groups: valid for one look.
    pub fixed_horizon: Option<TTest>,
    /// The same as an interval.
    pub fixed_interval: Option<ConfidenceInterval>,
    /// Valid at any time of looking.
    pub sequential: Option<SequentialReading>,
    /// Under a flat prior.
    pub bayesian: Option<BayesianReading>,
    /// The textbook test on single outcomes.
    pub naive: Option<NaiveTest>,
    /// Variance of the difference relative to independent outcomes.
    pub design_effect: Option<f64>,
    /// Share of the variance that the covariate removed.
    pub variance_reduction: Option<f64>,
    /// Cohen's d on single outcomes.
    pub effect_size: Option<f64>,
    /// Smallest absolute effect that this much data shows at the planned power.
    pub detectable_effect: Option<f64>,
    /// Guardrails: against "worse than the margin".
    pub non_inferiority_p_value: Option<f64>,
    /// Guardrails: against "within the margin".
    pub violation_p_value: Option<f64>,
}

/// What a comparison shows at the planned level. Stored in histories by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Too little data to test.
    InsufficientData,
    /// Significant in the good direction.
    Better,
    /// Significant in the bad direction.
    Worse,
    /// Not significant.
    Inconclusive,
    /// Guardrail: shown not to be worse than its margin.
    NonInferior,
    /// Guardrail: shown to be worse than its margin.
    Violated,
}

/// A description, not a test: stopping when it looks good is wrong in most A/A tests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BayesianReading {
    /// That the treatment is better than control.
    pub probability_better: f64,
    /// What shipping the treatment loses on average, in the unit of the metric.
    pub expected_loss: f64,
    /// Credible interval of the difference.
    pub interval: Option<ConfidenceInterval>,
}

/// SciPy's `ttest_ind` on single outcomes as if they were independent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NaiveTest {
    /// Pooled variance.
    pub student: TTest,
    /// Separate variances.
    pub welch: TTest,
}

/// Makes a comparison; also answers the evidence of all looks with this one.
pub(super) fn compare(
    plan: &AnalysisPlan,
    metric: &Metric,
    contest: &Contest<'_>,
    known: Evidence,
) -> (Comparison, Evidence) {
    let level = level(plan);
    let lift = contest.estimates.and_then(|(c, t)| Lift::new(&c, &t).ok());
    let guardrail = guardrail(metric);
    let one_look = OneLook::take(contest, guardrail);
    let looks = Looks::take(plan, contest, lift.as_ref(), guardrail, known);
    let planned = match plan.method {
        Method::FixedHorizon => one_look.planned(lift.as_ref(), level),
        Method::Sequential => looks.planned(level),
    };
    let test = one_look.test;
    let naive = naive(contest);
    let (control, treatment) = (contest.control, contest.treatment);
    let comparison = Comparison {
        variant: treatment.variant.clone(),
        baseline: control.variant.clone(),
        quantile: contest.quantile.map(|order| order.probability),
        difference: contest.difference(),
        difference_interval: planned.difference_interval,
        lift: lift.as_ref().map(|lift| lift.lift),
        lift_interval: planned.lift_interval,
        lift_unbounded: lift.is_some()
            && planned.p_value.is_some()
            && planned.lift_interval.is_none(),
        p_value: planned.p_value,
        adjusted_p_value: None,
        significant: false,
        verdict: Verdict::InsufficientData,
        fixed_horizon: test,
        fixed_interval: one_look.interval(level),
        sequential: looks.reading(level),
        bayesian: test.and_then(|test| bayesian(metric, &test, level)),
        naive,
        design_effect: design_effect(metric, contest, test.as_ref(), naive.as_ref()),
        variance_reduction: contest.variance_reduction,
        effect_size: precision::effect_size(&control.moments, &treatment.moments).ok(),
        detectable_effect: test.and_then(|test| {
            precision::detectable_effect(test.standard_error, plan.alpha, plan.power).ok()
        }),
        non_inferiority_p_value: planned.non_inferiority_p_value,
        violation_p_value: planned.violation_p_value,
    };
    (comparison, looks.seen)
}

fn guardrail(metric: &Metric) -> Option<Guardrail> {
    let margin = metric.non_inferiority_margin.filter(|_| metric.role == Role::Guardrail)?;
    let better = match metric.direction {
        Direction::Increase => Better::Higher,
        Direction::Decrease => Better::Lower,
    };
    Guardrail::new(Margin::Relative(margin), better).ok()
}

fn naive(contest: &Contest<'_>) -> Option<NaiveTest> {
    if contest.quantile.is_some() {
        return None;
    }
    let (control, treatment) = (&contest.control.moments, &contest.treatment.moments);
    let student = mean_test::student(control, treatment).ok()?;
    let welch = mean_test::welch(control, treatment).ok()?;
    Some(NaiveTest { student, welch })
}

fn bayesian(metric: &Metric, test: &TTest, level: f64) -> Option<BayesianReading> {
    let posterior = NormalPosterior::new(test.difference, test.standard_error, Prior::Flat).ok()?;
    let (probability_better, expected_loss) = match metric.direction {
        Direction::Increase => (posterior.probability_positive(), posterior.expected_shortfall()),
        Direction::Decrease => {
            (1.0 - posterior.probability_positive(), posterior.expected_excess())
        }
    };
    let interval = ConfidenceInterval::finite(posterior.interval(level), level);
    Some(BayesianReading { probability_better, expected_loss, interval })
}

/// Only where groups and single outcomes estimate the same quantity without adjustment.
fn design_effect(
    metric: &Metric,
    contest: &Contest<'_>,
    clustered: Option<&TTest>,
    naive: Option<&NaiveTest>,
) -> Option<f64> {
    if let Some((control, treatment)) = contest.design_effects {
        return Some(f64::midpoint(control, treatment));
    }
    if metric.estimand != Estimand::MeanPerOutcome {
        return None;
    }
    let (control, treatment) = (contest.control.estimate.ok()?, contest.treatment.estimate.ok()?);
    clustered?;
    let unadjusted = control.standard_error.hypot(treatment.standard_error);
    precision::design_effect(unadjusted, naive?.welch.standard_error).ok()
}

/// Verdicts, once the p-values are adjusted. `gates` is in how many places at once the guardrails
/// are looked at: Bonferroni's correction of their level.
pub(super) fn judge(experiment: &Experiment, metrics: &mut [MetricResult], gates: usize) {
    let plan = &experiment.definition.analysis;
    for result in metrics {
        let Some(metric) = experiment.definition.metric(result.metric.as_str()) else { continue };
        for comparison in &mut result.comparisons {
            comparison.significant = comparison.adjusted_p_value.is_some_and(|p| p < plan.alpha);
            comparison.verdict = verdict(plan, metric, comparison, gates);
        }
    }
}

fn verdict(plan: &AnalysisPlan, metric: &Metric, comparison: &Comparison, gates: usize) -> Verdict {
    if metric.role == Role::Guardrail {
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let alpha = plan.alpha / gates as f64;
        let below = |p: Option<f64>| p.is_some_and(|p| p < alpha);
        return match comparison {
            c if below(c.violation_p_value) => Verdict::Violated,
            c if below(c.non_inferiority_p_value) => Verdict::NonInferior,
            c if c.non_inferiority_p_value.is_some() => Verdict::Inconclusive,
            _ => Verdict::InsufficientData,
        };
    }
    match (comparison.adjusted_p_value, comparison.difference) {
        (Some(_), Some(difference)) if comparison.significant => {
            let interval = comparison.difference_interval.map(|interval| interval.bounds);
            // The interval of all looks knows the sign better than the difference of today.
            let rose =
                interval.filter(|i| !i.contains(0.0)).map_or(difference > 0.0, |i| i.lower > 0.0);
            match (metric.direction, rose) {
                (Direction::Increase, true) | (Direction::Decrease, false) => Verdict::Better,
                (Direction::Increase, false) | (Direction::Decrease, true) => Verdict::Worse,
            }
        }
        (Some(_), Some(_)) => Verdict::Inconclusive,
        _ => Verdict::InsufficientData,
    }
}
