//! Tests of a treatment against control: fixed horizon, sequential, Bayesian, guardrail, naive.

use crate::domain::analysis::contest::Contest;
use crate::domain::analysis::{ConfidenceInterval, MetricResult, level};
use crate::domain::evidence::Evidence;
use crate::domain::experiment::{AnalysisPlan, Experiment, Method};
use crate::domain::id::VariantId;
use crate::domain::metric::{Direction, Estimand, Metric, Role};
use crate::stats::bayes::{NormalPosterior, Prior};
use crate::stats::lift::{Fieller, Lift};
use crate::stats::mean_test::{self, TTest};
use crate::stats::non_inferiority::{Better, Guardrail, Margin};
use crate::stats::quantile::always_valid::{DEFAULT_TUNING_COUNT, QuantileTest};
use crate::stats::sequential::{DEFAULT_TUNING, Look, Rule};
use crate::stats::{Interval, precision};

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

/// What a comparison shows at the planned level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What all looks so far show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequentialReading {
    /// The smallest so far.
    pub p_value: f64,
    /// The intersection so far; absent while it has no end.
    pub interval: Option<ConfidenceInterval>,
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
    let fixed = contest.estimates.and_then(|(c, t)| mean_test::welch_estimates(&c, &t).ok());
    let lift = contest.estimates.and_then(|(c, t)| Lift::new(&c, &t).ok());
    let rule = rule(plan, contest);
    let look = look(contest);
    let seen =
        known.and(this_look(plan, metric, contest, rule.as_ref(), look.as_ref(), lift.as_ref()));
    let sequential = look.map(|look| SequentialReading {
        p_value: seen.ln_p_value.exp().max(f64::MIN_POSITIVE),
        interval: reading_interval(seen.difference, rule.as_ref(), &look, level),
    });
    let fixed_interval = fixed.and_then(|t| ConfidenceInterval::finite(t.interval(level), level));
    let guardrail = guardrail(metric);
    let fixed_guardrail = contest
        .estimates
        .zip(guardrail)
        .and_then(|((c, t), guardrail)| guardrail.test(&c, &t).ok());
    let naive = naive(contest);
    let one_look = plan.method == Method::FixedHorizon;
    let of_looks = |ln_p: f64| look.and(guardrail).map(|_| ln_p.exp().max(f64::MIN_POSITIVE));
    let comparison = Comparison {
        variant: contest.treatment.variant.clone(),
        baseline: contest.control.variant.clone(),
        quantile: contest.quantile.map(|order| order.probability),
        difference: contest
            .estimates
            .map(|(c, t)| (t.value - c.value).to_f64())
            .filter(|difference| difference.is_finite()),
        difference_interval: if one_look {
            fixed_interval
        } else {
            sequential.and_then(|reading| reading.interval)
        },
        lift: lift.as_ref().map(|lift| lift.lift),
        lift_interval: if one_look {
            lift.as_ref().and_then(|lift| fieller(lift, lift.critical_value(level)?, level))
        } else {
            sequential.and_then(|_| ConfidenceInterval::finite(seen.lift, level))
        },
        p_value: if one_look {
            fixed.map(|test| test.p_value)
        } else {
            sequential.map(|reading| reading.p_value)
        },
        adjusted_p_value: None,
        significant: false,
        verdict: Verdict::InsufficientData,
        fixed_horizon: fixed,
        fixed_interval,
        sequential,
        bayesian: fixed.and_then(|test| bayesian(metric, &test, level)),
        naive,
        design_effect: design_effect(metric, contest, fixed.as_ref(), naive.as_ref()),
        variance_reduction: contest.variance_reduction,
        effect_size: precision::effect_size(&contest.control.moments, &contest.treatment.moments)
            .ok(),
        detectable_effect: fixed.and_then(|test| {
            precision::detectable_effect(test.standard_error, plan.alpha, plan.power).ok()
        }),
        non_inferiority_p_value: if one_look {
            fixed_guardrail.map(|test| test.non_inferior.p_value)
        } else {
            of_looks(seen.ln_p_non_inferior)
        },
        violation_p_value: if one_look {
            fixed_guardrail.map(|test| test.violated.p_value)
        } else {
            of_looks(seen.ln_p_violated)
        },
    };
    (comparison, seen)
}

fn rule(plan: &AnalysisPlan, contest: &Contest<'_>) -> Option<Rule> {
    match contest.planned_end(plan) {
        Some(end) => Rule::planned(plan.alpha, end),
        None => Rule::open_ended(plan.alpha, DEFAULT_TUNING),
    }
    .ok()
}

fn look(contest: &Contest<'_>) -> Option<Look> {
    let (control, treatment) = contest.exposed()?;
    Look::of_estimates(&control.estimate, control.units, &treatment.estimate, treatment.units)
        .map(|look| look.at_clock(control.clock + treatment.clock))
        .ok()
}

/// What this look alone shows.
fn this_look(
    plan: &AnalysisPlan,
    metric: &Metric,
    contest: &Contest<'_>,
    rule: Option<&Rule>,
    look: Option<&Look>,
    lift: Option<&Lift>,
) -> Evidence {
    let (Some(rule), Some(look)) = (rule, look) else { return Evidence::NONE };
    let test = rule.look(look);
    let mut evidence = Evidence {
        ln_p_value: quantile_p_value(plan, contest).unwrap_or(test.ln_p_value),
        difference: test.interval,
        ..Evidence::NONE
    };
    let radius = 0.5 * (test.interval.upper - test.interval.lower);
    if let Some(lift) = lift
        && radius.is_finite()
        // The critical value by which the difference's interval was made.
        && let Fieller::Bounded(bounds) = lift.fieller(radius / look.standard_error)
    {
        evidence.lift = bounds;
    }
    if let (Some((control, treatment)), Some(guardrail)) = (contest.exposed(), guardrail(metric))
        && let Ok(shown) = guardrail.look(&control, &treatment, rule)
    {
        evidence.ln_p_non_inferior = shown.non_inferior.ln_p_value;
        evidence.ln_p_violated = shown.violated.ln_p_value;
    }
    evidence
}

/// Howard and Ramdas (2022) from the bins: exact where a normal approximation of a tail is not.
fn quantile_p_value(plan: &AnalysisPlan, contest: &Contest<'_>) -> Option<f64> {
    let order = contest.quantile?;
    let (control, treatment) = order.distributions?;
    let test = QuantileTest::new(order.probability, DEFAULT_TUNING_COUNT, plan.alpha).ok()?;
    Some(test.look(control, treatment, contest.design_effects?).ln_p_value)
}

/// The intersection of all looks. Should looks contradict each other (the effect has changed, or
/// this is one of the alpha experiments), this look speaks for itself.
fn reading_interval(
    all: Interval,
    rule: Option<&Rule>,
    look: &Look,
    level: f64,
) -> Option<ConfidenceInterval> {
    ConfidenceInterval::finite(all, level).or_else(|| {
        let alone = rule.map(|rule| rule.look(look).interval)?;
        ConfidenceInterval::finite(alone, level)
    })
}

fn guardrail(metric: &Metric) -> Option<Guardrail> {
    let margin = metric.non_inferiority_margin.filter(|_| metric.role == Role::Guardrail)?;
    let better = match metric.direction {
        Direction::Increase => Better::Higher,
        Direction::Decrease => Better::Lower,
    };
    Guardrail::new(Margin::Relative(margin), better).ok()
}

fn fieller(lift: &Lift, critical: f64, level: f64) -> Option<ConfidenceInterval> {
    match lift.fieller(critical) {
        Fieller::Bounded(bounds) => ConfidenceInterval::finite(bounds, level),
        Fieller::Exclusive(_) | Fieller::Unbounded => None,
    }
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

/// Verdicts, once the p-values are adjusted.
pub(super) fn judge(experiment: &Experiment, metrics: &mut [MetricResult]) {
    let plan = &experiment.definition.analysis;
    for result in metrics {
        let Some(metric) = experiment.definition.metric(result.metric.as_str()) else { continue };
        for comparison in &mut result.comparisons {
            comparison.significant = comparison.adjusted_p_value.is_some_and(|p| p < plan.alpha);
            comparison.verdict = verdict(plan, metric, comparison);
        }
    }
}

fn verdict(plan: &AnalysisPlan, metric: &Metric, comparison: &Comparison) -> Verdict {
    let below = |p: Option<f64>| p.is_some_and(|p| p < plan.alpha);
    if metric.role == Role::Guardrail {
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
