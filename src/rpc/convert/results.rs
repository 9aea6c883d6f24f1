//! Results out. What the domain leaves undefined stays unset.

use crate::domain::analysis::{
    Comparison, ConfidenceInterval, MetricResult, QuantileEstimate, Recommendation, Results,
    SampleRatio, VariantExposure, VariantStatistics,
};
use crate::domain::experiment::Timestamp;
use crate::domain::segment::Segment;
use crate::rpc::convert::{enums, value};
use crate::rpc::pb;
use crate::service::SegmentRequest;

pub(in crate::rpc) fn results_to_pb(from: &Results, now: Timestamp) -> pb::ExperimentResults {
    pb::ExperimentResults {
        experiment_id: from.experiment.to_string(),
        state: enums::state_to_pb(from.state),
        iteration: from.iteration,
        compute_time: Some(value::timestamp_to_pb(now)),
        exposures: from.exposures.iter().map(exposure_to_pb).collect(),
        sample_ratio: Some(sample_ratio_to_pb(&from.sample_ratio)),
        metrics: from.metrics.iter().map(metric_to_pb).collect(),
        recommendation: enums::recommendation_to_pb(&from.recommendation),
        recommended_variant_id: match &from.recommendation {
            Recommendation::Ship(variant) => variant.to_string(),
            Recommendation::Continue
            | Recommendation::KeepControl
            | Recommendation::NoDifference
            | Recommendation::Investigate => String::new(),
        },
        explanations: from.explanations.clone(),
        progress: from.progress,
        expected_completion_time: from.expected_completion.map(value::timestamp_to_pb),
        segment: from.segment.as_ref().map(segment_to_pb),
    }
}

pub(in crate::rpc) fn segment_request(from: pb::Segment) -> SegmentRequest {
    let pb::Segment { dimension, value } = from;
    SegmentRequest { dimension, value }
}

fn segment_to_pb(from: &Segment) -> pb::Segment {
    pb::Segment { dimension: from.dimension.clone(), value: from.value.clone() }
}

pub(super) fn exposure_to_pb(from: &VariantExposure) -> pb::VariantExposure {
    pb::VariantExposure {
        variant_id: from.variant.to_string(),
        units: from.units,
        outcomes: from.outcomes,
        mismatched_outcomes: from.mismatched,
    }
}

fn sample_ratio_to_pb(from: &SampleRatio) -> pb::SampleRatioCheck {
    pb::SampleRatioCheck {
        chi_squared: from.test.map(|test| test.statistic),
        p_value: from.test.map(|test| test.p_value),
        sequential_p_value: from.sequential_p_value,
        mismatch: from.mismatch,
    }
}

fn metric_to_pb(from: &MetricResult) -> pb::MetricResult {
    pb::MetricResult {
        metric_id: from.metric.to_string(),
        role: enums::role_to_pb(from.role),
        estimand: enums::estimand_to_pb(from.estimand),
        statistics: from.statistics.iter().map(statistics_to_pb).collect(),
        comparisons: from.comparisons.iter().map(comparison_to_pb).collect(),
    }
}

fn statistics_to_pb(from: &VariantStatistics) -> pb::VariantStatistics {
    pb::VariantStatistics {
        variant_id: from.variant.to_string(),
        count: i64::try_from(from.moments.count).unwrap_or(i64::MAX),
        sum: from.moments.sum.to_f64(),
        sum_of_squares: from.moments.sum_of_squares.to_f64(),
        groups: i64::try_from(from.groups).unwrap_or(i64::MAX),
        estimate: from.estimate,
        standard_error: from.standard_error,
        interval: from.interval.map(interval_to_pb),
        variance: from.moments.variance(),
        quantiles: from.quantiles.iter().map(quantile_to_pb).collect(),
    }
}

fn quantile_to_pb(from: &QuantileEstimate) -> pb::Quantile {
    pb::Quantile {
        probability: from.probability,
        value: from.value,
        relative_error: from.relative_error,
    }
}

fn interval_to_pb(from: ConfidenceInterval) -> pb::Interval {
    pb::Interval { lower: from.bounds.lower, upper: from.bounds.upper, level: from.level }
}

pub(super) fn comparison_to_pb(from: &Comparison) -> pb::Comparison {
    pb::Comparison {
        variant_id: from.variant.to_string(),
        baseline_variant_id: from.baseline.to_string(),
        quantile: from.quantile,
        absolute_difference: from.difference,
        difference_interval: from.difference_interval.map(interval_to_pb),
        relative_lift: from.lift,
        lift_interval: from.lift_interval.map(interval_to_pb),
        lift_unbounded: from.lift_unbounded,
        p_value: from.p_value,
        adjusted_p_value: from.adjusted_p_value,
        significant: from.significant,
        verdict: enums::verdict_to_pb(from.verdict),
        fixed_horizon: from.fixed_horizon.map(|test| pb::FixedHorizonTest {
            t_statistic: test.t,
            degrees_of_freedom: test.degrees_of_freedom,
            p_value: test.p_value,
            interval: from.fixed_interval.map(interval_to_pb),
        }),
        sequential: from.sequential.map(|reading| pb::SequentialTest {
            p_value: reading.p_value,
            interval: reading.interval.map(interval_to_pb),
        }),
        bayesian: from.bayesian.map(|reading| pb::BayesianSummary {
            probability_better: reading.probability_better,
            expected_loss: reading.expected_loss,
            interval: reading.interval.map(interval_to_pb),
        }),
        naive: from.naive.map(|naive| pb::NaiveTest {
            student_p_value: naive.student.p_value,
            welch_p_value: naive.welch.p_value,
        }),
        design_effect: from.design_effect,
        variance_reduction: from.variance_reduction,
        effect_size: from.effect_size,
        detectable_effect: from.detectable_effect,
        non_inferiority_p_value: from.non_inferiority_p_value,
    }
}
