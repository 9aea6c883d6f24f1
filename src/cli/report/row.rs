//! One row of the table: a metric against one treatment, on one quantile at most.
//!
//! A row has two lines: the relative change over the absolute one, the p-value over what it turns
//! into. A verdict of a fixed horizon is held back until the planned sample is in. Where the server does not give the p-value of the planned method, the one for a single
//! look stands in, marked with a dagger that is explained below the table.

use super::super::figures::{self, ABSENT, Scale};
use super::super::layout::Tone;
use super::frame::Frame;
use crate::rpc::pb::comparison::Verdict;
use crate::rpc::pb::metric::{Estimand, Kind, Role};
use crate::rpc::pb::{Comparison, Experiment, Interval, Metric, MetricResult, VariantStatistics};

/// Marks what is valid for one look only.
const MARK: &str = " †";
/// Stands for a verdict of a fixed horizon before the planned sample is in.
pub(super) const NOT_YET: &str = "not yet";

/// The planned method's interval of the difference, or the fixed-horizon one and `true`.
pub(super) fn interval_of(comparison: &Comparison) -> (Option<&Interval>, bool) {
    let fixed = comparison.fixed_horizon.as_ref().and_then(|test| test.interval.as_ref());
    match &comparison.difference_interval {
        Some(interval) => (Some(interval), false),
        None => (fixed, fixed.is_some()),
    }
}

/// The cells of a row.
pub(super) struct Cells {
    pub(super) metric: String,
    pub(super) role: String,
    pub(super) control: String,
    pub(super) treated: String,
    pub(super) change: String,
    pub(super) p_value: String,
    pub(super) verdict: (&'static str, Tone),
}

/// One metric, ready to be shown against any treatment.
pub(super) struct Row<'a> {
    result: &'a MetricResult,
    metric: Metric,
    frame: &'a Frame,
    scale: Scale<'a>,
}

impl<'a> Row<'a> {
    pub(super) fn new(
        result: &'a MetricResult,
        experiment: &'a Experiment,
        frame: &'a Frame,
    ) -> Self {
        let known = experiment.metrics.iter().find(|metric| metric.metric_id == result.metric_id);
        let kind = known.map_or(Kind::Unspecified, Metric::kind);
        let share = kind == Kind::Binary
            && matches!(result.estimand(), Estimand::Unspecified | Estimand::MeanPerOutcome);
        let unit = match known {
            Some(metric) if metric.unit.is_empty() && kind == Kind::Duration => "s",
            Some(metric) => &metric.unit,
            None => "",
        };
        let control = result.statistics.first();
        let typical = control.and_then(|statistics| {
            statistics.estimate.or_else(|| statistics.quantiles.first().map(|q| q.value))
        });
        let scale = Scale::new(share, unit, typical.unwrap_or(1.0));
        Self { result, metric: known.cloned().unwrap_or_default(), frame, scale }
    }

    pub(super) fn cells(&self, comparison: &Comparison) -> Cells {
        let control = self.result.statistics.first();
        let treated = self
            .result
            .statistics
            .iter()
            .find(|statistics| statistics.variant_id == comparison.variant_id);
        Cells {
            metric: self.title(comparison),
            role: self.role(),
            control: self.estimate(control, comparison.quantile),
            treated: self.estimate(treated, comparison.quantile),
            change: self.change(comparison),
            p_value: self.p_value(comparison),
            verdict: self.verdict(comparison),
        }
    }

    fn title(&self, comparison: &Comparison) -> String {
        let id = &self.result.metric_id;
        comparison
            .quantile
            .map_or_else(|| id.clone(), |quantile| format!("{id} · {}", quantile_name(quantile)))
    }

    pub(super) fn role(&self) -> String {
        match self.result.role() {
            Role::Primary => "primary".to_owned(),
            Role::Secondary | Role::Unspecified => "secondary".to_owned(),
            Role::Guardrail => match self.metric.non_inferiority_margin {
                Some(margin) => format!("guardrail, {:.0} %", margin * 100.0),
                None => "guardrail".to_owned(),
            },
        }
    }

    fn estimate(&self, statistics: Option<&VariantStatistics>, quantile: Option<f64>) -> String {
        let value = statistics.and_then(|statistics| match quantile {
            None => statistics.estimate,
            Some(wanted) => statistics
                .quantiles
                .iter()
                .find(|quantile| (quantile.probability - wanted).abs() < 1e-9)
                .map(|quantile| quantile.value),
        });
        value.map_or_else(|| ABSENT.to_owned(), |value| self.scale.amount(value))
    }

    /// The relative change over the absolute one.
    fn change(&self, comparison: &Comparison) -> String {
        let lift = comparison.relative_lift.map(|lift| {
            let ends = comparison.lift_interval.as_ref();
            let ends = ends.map(|ends| figures::lift_range(ends.lower, ends.upper));
            [figures::lift(lift), ends.unwrap_or_default()]
        });
        let difference = comparison.absolute_difference.map(|difference| {
            let (ends, marked) = interval_of(comparison);
            let mark = if marked { MARK } else { "" };
            let ends = ends.map(|ends| self.scale.range(ends.lower, ends.upper) + mark);
            [self.scale.change(difference), ends.unwrap_or_else(|| ABSENT.to_owned())]
        });
        match (lift, difference) {
            (None, None) => ABSENT.to_owned(),
            (Some(line), None) | (None, Some(line)) => line.join(" ").trim_end().to_owned(),
            (Some(above), Some(below)) => {
                let width = above[0].chars().count().max(below[0].chars().count());
                let line = |[value, ends]: [String; 2]| format!("{value:width$} {ends}");
                format!("{}\n{}", line(above).trim_end(), line(below))
            }
        }
    }

    /// The p-value over its corrected one, or over the one against the margin.
    fn p_value(&self, comparison: &Comparison) -> String {
        let fixed = comparison.fixed_horizon.as_ref().map(|test| test.p_value);
        let first = match (comparison.p_value, fixed) {
            (Some(p), _) => figures::p_value(p),
            (None, Some(p)) => figures::p_value(p) + MARK,
            (None, None) => ABSENT.to_owned(),
        };
        let adjusted = comparison
            .adjusted_p_value
            .filter(|_| self.frame.is_corrected(self.result.role()))
            .map(|p| format!("adjusted {}", figures::p_value(p)));
        let margin =
            comparison.non_inferiority_p_value.map(|p| format!("margin p {}", figures::p_value(p)));
        [Some(first), adjusted, margin].into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    /// "Too little data" only where that is so: beside the p-value of a single look, or beside many
    /// outcomes, it would contradict the page. There the server has not judged.
    fn verdict(&self, comparison: &Comparison) -> (&'static str, Tone) {
        let judged = comparison.p_value.or(comparison.non_inferiority_p_value).is_some();
        let enough = comparison.fixed_horizon.is_some() || self.lacks_estimates();
        if comparison.verdict() == Verdict::InsufficientData && enough && !judged {
            return ("not judged", Tone::Faint);
        }
        let decided =
            !matches!(comparison.verdict(), Verdict::InsufficientData | Verdict::Unspecified);
        if decided && self.frame.early {
            return (NOT_YET, Tone::Faint);
        }
        verdict(comparison.verdict())
    }

    /// Whether the server estimates nothing, though every variant has outcomes to estimate from.
    fn lacks_estimates(&self) -> bool {
        self.result.statistics.iter().all(|statistics| {
            statistics.count > 1 && statistics.estimate.is_none() && statistics.quantiles.is_empty()
        })
    }

    pub(super) fn is_marked(comparison: &Comparison) -> bool {
        let p = comparison.p_value.is_none() && comparison.fixed_horizon.is_some();
        p || (comparison.absolute_difference.is_some() && interval_of(comparison).1)
    }
}

/// "p95", "p99.9".
fn quantile_name(quantile: f64) -> String {
    let percent = format!("{:.2}", quantile * 100.0);
    format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
}

fn verdict(verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Unspecified => (ABSENT, Tone::Plain),
        Verdict::InsufficientData => ("too little data", Tone::Faint),
        Verdict::Better => ("▲ better", Tone::Good),
        Verdict::Worse => ("▼ worse", Tone::Bad),
        Verdict::Inconclusive => ("? inconclusive", Tone::Caution),
        Verdict::NonInferior => ("✓ within margin", Tone::Good),
        Verdict::Violated => ("✗ beyond margin", Tone::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_named_as_engineers_do() {
        assert_eq!(quantile_name(0.999), "p99.9");
        assert_eq!(quantile_name(0.95), "p95");
        assert_eq!(quantile_name(0.5), "p50");
    }
}
