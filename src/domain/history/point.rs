//! A point of a history: what one look saw, in few numbers. This is also what is stored, field by
//! field in this order, so a change of it is a change of the stored form.

use serde::{Deserialize, Serialize};

use crate::domain::analysis::{
    Comparison, ConfidenceInterval, Results, SequentialReading, VariantExposure, Verdict,
};
use crate::domain::experiment::Timestamp;
use crate::domain::id::{MetricId, VariantId};
use crate::stats::Interval;

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When.
    pub time: Timestamp,
    /// By variant, control first.
    pub exposures: Vec<VariantExposure>,
    /// By metric, primary first.
    pub metrics: Vec<MetricPoint>,
}

/// The comparisons of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// The metric.
    pub metric: MetricId,
    /// As in the results.
    pub readings: Vec<Reading>,
}

/// Of a comparison, what the method planned says and what all looks together say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in Comparison")]
pub struct Reading {
    pub variant: VariantId,
    pub baseline: VariantId,
    pub quantile: Option<f64>,
    pub difference: Option<f64>,
    pub difference_interval: Option<Bounds>,
    pub lift: Option<f64>,
    pub lift_interval: Option<Bounds>,
    pub p_value: Option<f64>,
    pub adjusted_p_value: Option<f64>,
    pub significant: bool,
    pub verdict: Verdict,
    pub sequential_p_value: Option<f64>,
    pub sequential_interval: Option<Bounds>,
    pub non_inferiority_p_value: Option<f64>,
}

/// The stored form of a [`ConfidenceInterval`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in ConfidenceInterval")]
pub struct Bounds {
    pub lower: f64,
    pub upper: f64,
    pub level: f64,
}

impl Point {
    /// What is worth keeping of a look; `None` while nobody has met the experiment.
    #[must_use]
    pub fn of_results(results: &Results, time: Timestamp) -> Option<Self> {
        let met = |arm: &VariantExposure| arm.units > 0 || arm.outcomes > 0;
        results.exposures.iter().any(met).then(|| Self {
            time,
            exposures: results.exposures.clone(),
            metrics: (results.metrics.iter())
                .map(|metric| MetricPoint {
                    metric: metric.metric.clone(),
                    readings: metric.comparisons.iter().map(Reading::from).collect(),
                })
                .collect(),
        })
    }

    /// The comparisons of one metric at that time, as far as they were kept; none when the metric
    /// was not there yet.
    #[must_use]
    pub fn comparisons(&self, metric: &str) -> Vec<Comparison> {
        let metric = self.metrics.iter().find(|point| point.metric.as_str() == metric);
        metric.map_or_else(Vec::new, |point| point.readings.iter().map(Comparison::from).collect())
    }
}

impl From<&Comparison> for Reading {
    fn from(from: &Comparison) -> Self {
        Self {
            variant: from.variant.clone(),
            baseline: from.baseline.clone(),
            quantile: from.quantile,
            difference: from.difference,
            difference_interval: from.difference_interval.map(Bounds::from),
            lift: from.lift,
            lift_interval: from.lift_interval.map(Bounds::from),
            p_value: from.p_value,
            adjusted_p_value: from.adjusted_p_value,
            significant: from.significant,
            verdict: from.verdict,
            sequential_p_value: from.sequential.map(|reading| reading.p_value),
            sequential_interval: from.sequential.and_then(|r| r.interval).map(Bounds::from),
            non_inferiority_p_value: from.non_inferiority_p_value,
        }
    }
}

impl From<&Reading> for Comparison {
    fn from(from: &Reading) -> Self {
        Self {
            variant: from.variant.clone(),
            baseline: from.baseline.clone(),
            quantile: from.quantile,
            difference: from.difference,
            difference_interval: from.difference_interval.map(Bounds::into),
            lift: from.lift,
            lift_interval: from.lift_interval.map(Bounds::into),
            lift_unbounded: from.lift.is_some()
                && from.p_value.is_some()
                && from.lift_interval.is_none(),
            p_value: from.p_value,
            adjusted_p_value: from.adjusted_p_value,
            significant: from.significant,
            verdict: from.verdict,
            fixed_horizon: None,
            fixed_interval: None,
            sequential: from.sequential_p_value.map(|p_value| SequentialReading {
                p_value,
                interval: from.sequential_interval.map(Bounds::into),
            }),
            bayesian: None,
            naive: None,
            design_effect: None,
            variance_reduction: None,
            effect_size: None,
            detectable_effect: None,
            non_inferiority_p_value: from.non_inferiority_p_value,
            violation_p_value: None,
        }
    }
}

impl From<ConfidenceInterval> for Bounds {
    fn from(ConfidenceInterval { bounds, level }: ConfidenceInterval) -> Self {
        Self { lower: bounds.lower, upper: bounds.upper, level }
    }
}

impl From<Bounds> for ConfidenceInterval {
    fn from(Bounds { lower, upper, level }: Bounds) -> Self {
        Self { bounds: Interval { lower, upper }, level }
    }
}
