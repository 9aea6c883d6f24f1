//! A treatment against control on one metric.

use crate::domain::analysis::ConfidenceInterval;
use crate::domain::analysis::arm::Arm;
use crate::domain::experiment::{AnalysisPlan, Method};
use crate::domain::id::VariantId;
use crate::domain::metric::{Direction, Estimand, Metric};
use crate::stats::lift::{Fieller, Lift};
use crate::stats::mean_test::{self, TTest};

/// A treatment against control.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The treatment.
    pub variant: VariantId,
    /// The control.
    pub baseline: VariantId,
    /// Treatment minus control.
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
    /// The same at the level planned.
    pub fixed_interval: Option<ConfidenceInterval>,
    /// The textbook test on single outcomes.
    pub naive: Option<NaiveTest>,
    /// Variance of the difference relative to independent outcomes.
    pub design_effect: Option<f64>,
    /// Cohen's d on single outcomes.
    pub effect_size: Option<f64>,
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
}

/// SciPy's `ttest_ind` on single outcomes as if they were independent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NaiveTest {
    /// Pooled variance.
    pub student: TTest,
    /// Separate variances.
    pub welch: TTest,
}

pub(super) fn compare(
    plan: &AnalysisPlan,
    metric: &Metric,
    control: &Arm<'_>,
    treatment: &Arm<'_>,
) -> Comparison {
    let level = 1.0 - plan.alpha;
    let pair = control.estimate.as_ref().ok().zip(treatment.estimate.as_ref().ok());
    let fixed_horizon = pair.and_then(|(c, t)| mean_test::welch_estimates(c, t).ok());
    let fixed_interval =
        fixed_horizon.and_then(|test| ConfidenceInterval::finite(test.interval(level), level));
    let lift = pair.and_then(|(c, t)| Lift::new(c, t).ok());
    let naive = naive(control, treatment);
    let planned = match plan.method {
        Method::FixedHorizon => fixed_horizon,
        Method::Sequential => None,
    };
    Comparison {
        variant: treatment.variant.clone(),
        baseline: control.variant.clone(),
        difference: pair
            .map(|(c, t)| (t.value - c.value).to_f64())
            .filter(|difference| difference.is_finite()),
        difference_interval: planned.and(fixed_interval),
        lift: lift.as_ref().map(|lift| lift.lift),
        lift_interval: planned.and(lift.as_ref()).and_then(|lift| fieller(lift, level)),
        p_value: planned.map(|test| test.p_value),
        adjusted_p_value: None,
        significant: false,
        verdict: planned.map_or(Verdict::InsufficientData, |test| verdict(plan, metric, &test)),
        fixed_horizon,
        fixed_interval,
        naive,
        design_effect: design_effect(metric, fixed_horizon.as_ref(), naive.as_ref()),
        effect_size: effect_size(control, treatment),
    }
}

fn fieller(lift: &Lift, level: f64) -> Option<ConfidenceInterval> {
    match lift.fieller(lift.critical_value(level)?) {
        Fieller::Bounded(bounds) => ConfidenceInterval::finite(bounds, level),
        Fieller::Exclusive { .. } | Fieller::Unbounded => None,
    }
}

fn naive(control: &Arm<'_>, treatment: &Arm<'_>) -> Option<NaiveTest> {
    let student = mean_test::student(&control.moments, &treatment.moments).ok()?;
    let welch = mean_test::welch(&control.moments, &treatment.moments).ok()?;
    Some(NaiveTest { student, welch })
}

/// Kish (1965), section 8.2: variance over groups relative to the variance of independent
/// outcomes. Only where both estimate the same mean.
fn design_effect(
    metric: &Metric,
    clustered: Option<&TTest>,
    naive: Option<&NaiveTest>,
) -> Option<f64> {
    let (clustered, naive) = clustered.zip(naive)?;
    let comparable = metric.estimand == Estimand::MeanPerOutcome;
    let ratio = clustered.standard_error / naive.welch.standard_error;
    (comparable && ratio.is_finite()).then_some(ratio * ratio)
}

/// Cohen (1988), section 2.2: the difference of the means over the pooled standard deviation.
fn effect_size(control: &Arm<'_>, treatment: &Arm<'_>) -> Option<f64> {
    let test = mean_test::student(&control.moments, &treatment.moments).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a count of outcomes; the ratio needs no more")]
    let inverse_sizes = 1.0 / control.moments.count as f64 + 1.0 / treatment.moments.count as f64;
    let d = test.difference / (test.standard_error / inverse_sizes.sqrt());
    d.is_finite().then_some(d)
}

fn verdict(plan: &AnalysisPlan, metric: &Metric, test: &TTest) -> Verdict {
    if test.p_value >= plan.alpha {
        return Verdict::Inconclusive;
    }
    match metric.direction {
        Direction::Increase if test.difference > 0.0 => Verdict::Better,
        Direction::Decrease if test.difference < 0.0 => Verdict::Better,
        Direction::Increase | Direction::Decrease => Verdict::Worse,
    }
}
