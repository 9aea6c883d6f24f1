//! Messages as a server would send them, for the tests of the page.

use crate::rpc::pb::comparison::Verdict;
use crate::rpc::pb::experiment::State;
use crate::rpc::pb::experiment_results::Recommendation;
use crate::rpc::pb::metric::{Estimand, Kind, Role};
use crate::rpc::pb::{
    Bucketing, Comparison, Experiment, ExperimentResults, FixedHorizonTest, Interval, Metric,
    MetricResult, NaiveTest, Quantile, SampleRatioCheck, VariantExposure, VariantStatistics,
};

/// A support bot test with a binary, a continuous and a quantile metric.
pub(in crate::cli) fn experiment() -> Experiment {
    let metric = |id: &str, kind: Kind| Metric {
        metric_id: id.into(),
        kind: kind.into(),
        ..Metric::default()
    };
    Experiment {
        experiment_id: "support-bot".into(),
        display_name: "Support bot: v2 against v1".into(),
        bucketing: Some(Bucketing { unit_kind: "user".into(), ..Bucketing::default() }),
        metrics: vec![
            metric("task_completed", Kind::Binary),
            metric("csat", Kind::Continuous),
            Metric { non_inferiority_margin: Some(0.15), ..metric("latency_p95", Kind::Duration) },
        ],
        ..Experiment::default()
    }
}

/// Results of [`experiment`]: a winner, a false winner and a guardrail that holds.
pub(in crate::cli) fn results() -> ExperimentResults {
    let exposure = |id: &str, units, outcomes| VariantExposure {
        variant_id: id.into(),
        units,
        outcomes,
        mismatched_outcomes: 0,
    };
    ExperimentResults {
        experiment_id: "support-bot".into(),
        state: State::Running.into(),
        iteration: 1,
        exposures: vec![exposure("control", 3872, 6200), exposure("treatment", 968, 1550)],
        sample_ratio: Some(SampleRatioCheck { p_value: Some(0.87), ..Default::default() }),
        metrics: vec![completed(), csat(), latency()],
        recommendation: Recommendation::Ship.into(),
        recommended_variant_id: "treatment".into(),
        explanations: vec!["treatment is better on task_completed".into()],
        ..ExperimentResults::default()
    }
}

fn interval(lower: f64, upper: f64) -> Interval {
    Interval { lower, upper, level: 0.95 }
}

fn statistics(control: (i64, f64), treatment: (i64, f64)) -> Vec<VariantStatistics> {
    [("control", control), ("treatment", treatment)]
        .map(|(id, (count, estimate))| VariantStatistics {
            variant_id: id.into(),
            count,
            estimate: Some(estimate),
            ..VariantStatistics::default()
        })
        .into()
}

fn comparison(verdict: Verdict) -> Comparison {
    Comparison {
        variant_id: "treatment".into(),
        baseline_variant_id: "control".into(),
        verdict: verdict.into(),
        ..Comparison::default()
    }
}

fn fixed(p_value: f64, interval: Option<Interval>) -> FixedHorizonTest {
    FixedHorizonTest { p_value, interval, ..FixedHorizonTest::default() }
}

fn completed() -> MetricResult {
    MetricResult {
        metric_id: "task_completed".into(),
        role: Role::Primary.into(),
        statistics: statistics((6200, 0.713), (1550, 0.782)),
        comparisons: vec![Comparison {
            absolute_difference: Some(0.069),
            difference_interval: Some(interval(0.041, 0.097)),
            relative_lift: Some(0.0968),
            lift_interval: Some(interval(0.056, 0.138)),
            p_value: Some(3e-6),
            adjusted_p_value: Some(3e-6),
            fixed_horizon: Some(fixed(0.0002, Some(interval(0.045, 0.093)))),
            ..comparison(Verdict::Better)
        }],
        ..MetricResult::default()
    }
}

fn csat() -> MetricResult {
    MetricResult {
        metric_id: "csat".into(),
        statistics: statistics((2170, 3.9), (543, 3.95)),
        comparisons: vec![Comparison {
            absolute_difference: Some(0.05),
            p_value: Some(0.31),
            design_effect: Some(3.28),
            naive: Some(NaiveTest { student_p_value: 0.0387, welch_p_value: 0.0369 }),
            fixed_horizon: Some(fixed(0.2479, None)),
            ..comparison(Verdict::Inconclusive)
        }],
        ..MetricResult::default()
    }
}

fn latency() -> MetricResult {
    let mut statistics = statistics((6200, 0.0), (1550, 0.0));
    for (statistics, value) in statistics.iter_mut().zip([3.114, 3.394]) {
        statistics.estimate = None;
        statistics.quantiles = vec![Quantile { probability: 0.95, value, relative_error: 0.01 }];
    }
    MetricResult {
        metric_id: "latency_p95".into(),
        role: Role::Guardrail.into(),
        estimand: Estimand::Quantile.into(),
        statistics,
        comparisons: vec![Comparison {
            quantile: Some(0.95),
            relative_lift: Some(0.09),
            non_inferiority_p_value: Some(0.0021),
            ..comparison(Verdict::NonInferior)
        }],
    }
}
