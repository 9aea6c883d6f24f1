//! Results as other programs keep them: named numbers of one look, facts that stay, and the
//! decision.

use serde_json::{Value, json};

use crate::cli::Error;
use crate::cli::wire::{self, Names};
use crate::rpc::pb::comparison::Verdict;
use crate::rpc::pb::experiment::State;
use crate::rpc::pb::metric::Role;
use crate::rpc::pb::{AnalysisPlan, Comparison, Experiment, ExperimentResults, MetricResult};

/// One look at one iteration of one experiment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Publication {
    pub(super) experiment: String,
    pub(super) iteration: u32,
    /// When the results were computed, in milliseconds since 1970.
    pub(super) time_ms: i64,
    /// The same, as RFC 3339.
    pub(super) time: String,
    /// Outcomes so far, of all variants: it only grows.
    pub(super) outcomes: i64,
    /// Whether nothing will be added any more.
    pub(super) over: bool,
    /// `ship`, `keep_control`, `continue`, ...
    pub(super) decision: String,
    pub(super) explanations: Vec<String>,
    /// By names like `resolved.ft-v2.lift`.
    pub(super) numbers: Vec<(String, f64)>,
    /// How it is set up: the same at every look of an iteration.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) verdicts: Vec<VerdictOn>,
    /// The results whole, as protobuf's JSON.
    pub(super) whole: Value,
}

/// What one comparison says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VerdictOn {
    /// `resolved.ft-v2`.
    pub(super) name: String,
    pub(super) verdict: String,
    pub(super) lift: Option<f64>,
}

impl Publication {
    pub(super) fn new(results: &ExperimentResults, experiment: &Experiment) -> Result<Self, Error> {
        let time = results.compute_time.ok_or_else(|| Error::lacking("compute_time"))?;
        let exposures = &results.exposures;
        let mut numbers = Vec::new();
        for exposure in exposures {
            numbers.push((format!("units.{}", exposure.variant_id), whole(exposure.units)));
            numbers.push((format!("outcomes.{}", exposure.variant_id), whole(exposure.outcomes)));
        }
        let split = results.sample_ratio.unwrap_or_default();
        let split = [
            ("sample_ratio.p_value", split.p_value),
            ("sample_ratio.sequential_p_value", split.sequential_p_value),
            ("progress", results.progress),
        ];
        numbers.extend(split.into_iter().filter_map(|(name, p)| Some((name.to_owned(), p?))));
        let mut verdicts = Vec::new();
        for metric in &results.metrics {
            of_metric(metric, &mut numbers, &mut verdicts);
        }
        // NaN and infinity are no JSON, and no program can draw them.
        numbers.retain(|(_, number)| number.is_finite());
        Ok(Self {
            experiment: results.experiment_id.clone(),
            iteration: results.iteration,
            time_ms: time.seconds * 1_000 + i64::from(time.nanos / 1_000_000),
            time: time.to_string(),
            outcomes: exposures.iter().map(|exposure| exposure.outcomes).sum(),
            over: matches!(results.state(), State::Concluded | State::Archived),
            decision: word(results.recommendation().as_str_name(), "RECOMMENDATION_"),
            explanations: results.explanations.clone(),
            numbers,
            parameters: parameters(results, experiment),
            verdicts,
            whole: wire::to_json("ExperimentResults", results, Names::Json)?,
        })
    }

    /// Names the iteration among all others: `support-bot/2`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.experiment, self.iteration)
    }

    /// The decision, for whoever reads no numbers.
    pub(super) fn summary(&self) -> Value {
        json!({
            "experiment": self.experiment,
            "iteration": self.iteration,
            "decision": self.decision,
            "explanations": self.explanations,
        })
    }
}

fn of_metric(
    metric: &MetricResult,
    numbers: &mut Vec<(String, f64)>,
    verdicts: &mut Vec<VerdictOn>,
) {
    let id = &metric.metric_id;
    for statistics in &metric.statistics {
        let of = format!("{id}.{}", statistics.variant_id);
        numbers.push((format!("{of}.count"), whole(statistics.count)));
        numbers.extend(statistics.estimate.map(|estimate| (format!("{of}.estimate"), estimate)));
        let error = statistics.standard_error;
        numbers.extend(error.map(|error| (format!("{of}.standard_error"), error)));
    }
    for comparison in &metric.comparisons {
        let quantile = comparison.quantile.map(|q| format!(".p{}", percent(q)));
        let name = format!("{id}{}.{}", quantile.unwrap_or_default(), comparison.variant_id);
        for (what, number) in of_comparison(comparison) {
            numbers.extend(number.map(|number| (format!("{name}.{what}"), number)));
        }
        let verdict = word(comparison.verdict().as_str_name(), "VERDICT_");
        if comparison.verdict() != Verdict::Unspecified {
            verdicts.push(VerdictOn { name, verdict, lift: comparison.relative_lift });
        }
    }
}

fn of_comparison(comparison: &Comparison) -> [(&'static str, Option<f64>); 12] {
    let difference = comparison.difference_interval.as_ref();
    let lift = comparison.lift_interval.as_ref();
    [
        ("difference", comparison.absolute_difference),
        ("difference_lower", difference.map(|interval| interval.lower)),
        ("difference_upper", difference.map(|interval| interval.upper)),
        ("lift", comparison.relative_lift),
        ("lift_lower", lift.map(|interval| interval.lower)),
        ("lift_upper", lift.map(|interval| interval.upper)),
        ("p_value", comparison.p_value),
        ("adjusted_p_value", comparison.adjusted_p_value),
        ("sequential_p_value", comparison.sequential.as_ref().map(|test| test.p_value)),
        ("fixed_horizon_p_value", comparison.fixed_horizon.as_ref().map(|test| test.p_value)),
        ("probability_better", comparison.bayesian.as_ref().map(|b| b.probability_better)),
        ("design_effect", comparison.design_effect),
    ]
}

fn parameters(results: &ExperimentResults, experiment: &Experiment) -> Vec<(String, String)> {
    let control = experiment.variants.iter().find(|variant| variant.control);
    let weights = experiment.variants.iter();
    let weights = weights.map(|v| format!("{}={}", v.variant_id, v.weight_basis_points));
    let primary = results.metrics.iter().filter(|metric| metric.role() == Role::Primary);
    let primary: Vec<&str> = primary.map(|metric| metric.metric_id.as_str()).collect();
    let defaults = AnalysisPlan::default();
    let plan = experiment.analysis.as_ref().unwrap_or(&defaults);
    let mut all = vec![
        ("experiment", results.experiment_id.clone()),
        ("iteration", results.iteration.to_string()),
        ("weights_basis_points", weights.collect::<Vec<_>>().join(",")),
        ("primary_metric", primary.join(",")),
        ("method", word(plan.method().as_str_name(), "METHOD_")),
        ("correction", word(plan.correction().as_str_name(), "CORRECTION_")),
    ];
    all.extend(control.map(|control| ("control", control.variant_id.clone())));
    all.extend(plan.alpha.map(|alpha| ("alpha", alpha.to_string())));
    all.extend(plan.power.map(|power| ("power", power.to_string())));
    all.extend(plan.planned_units.map(|units| ("planned_units", units.to_string())));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `RECOMMENDATION_KEEP_CONTROL` without its prefix, in lowercase.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// 0.95 is `95`, 0.999 is `99.9`.
fn percent(quantile: f64) -> f64 {
    (quantile * 1e6).round() / 1e4
}

/// Counts beyond 2^53 are rounded.
#[expect(clippy::cast_precision_loss, reason = "a number to draw")]
fn whole(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::report::fixture;

    pub(in crate::cli::publish) fn publication() -> Publication {
        let compute_time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
        let results = ExperimentResults { compute_time, ..fixture::results() };
        Publication::new(&results, &fixture::experiment()).unwrap()
    }

    #[test]
    fn every_number_has_one_finite_value() {
        let publication = publication();
        let mut names: Vec<_> = publication.numbers.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > 0 && publication.numbers.iter().all(|(_, number)| number.is_finite()));
    }

    #[test]
    fn quantiles_are_named_in_percent() {
        let names: Vec<_> = [0.5, 0.95, 0.999].map(|q| format!("p{}", percent(q))).into();
        assert_eq!(names, ["p50", "p95", "p99.9"]);
    }
}
