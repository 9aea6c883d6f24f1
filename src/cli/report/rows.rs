//! The table: one row per metric and treatment, and per quantile where quantiles are compared.
//!
//! A row has two lines: the relative change over the absolute one, the p-value over what it turns
//! into. Where the server does not give the p-value of the planned method, the one for a single
//! look stands in, marked with a dagger that is explained below the table.

use comfy_table::{Cell, CellAlignment, Table};

use super::super::figures::{self, ABSENT, Scale};
use super::super::layout::{Layout, Tone, cell};
use crate::rpc::pb::comparison::Verdict;
use crate::rpc::pb::metric::{Estimand, Kind, Role};
use crate::rpc::pb::{
    Comparison, Experiment, ExperimentResults, Interval, Metric, MetricResult, VariantStatistics,
};

const MARK: &str = " †";
const MARK_NOTE: &str = "† fixed horizon: valid for one look, at the planned sample; the server has none by the planned method";

/// The table and its footnote, with a final line feed.
pub(super) fn table(
    results: &ExperimentResults,
    experiment: &Experiment,
    layout: Layout,
) -> String {
    if results.metrics.is_empty() {
        return "No outcomes yet.\n".to_owned();
    }
    let mut table = layout.table();
    let treatments = treatments(results);
    table.set_header(header(results, &treatments));
    let mut marked = false;
    for result in &results.metrics {
        let row = Row::new(result, experiment, treatments.len() > 1);
        for comparison in comparisons(result, &treatments) {
            marked |= Row::is_marked(&comparison);
            table.add_row(row.cells(&comparison));
        }
    }
    align(&mut table, treatments.len() > 1);
    let mut text = format!("{}\n", table.trim_fmt());
    if marked {
        text.push_str(&layout.paint(MARK_NOTE, Tone::Faint));
        text.push('\n');
    }
    text
}

/// The treatments in the order of the exposures; of the comparisons when there are none.
fn treatments(results: &ExperimentResults) -> Vec<String> {
    let exposed = results.exposures.iter().skip(1).map(|exposure| exposure.variant_id.clone());
    let mut treatments: Vec<String> = exposed.collect();
    for comparison in results.metrics.iter().flat_map(|metric| &metric.comparisons) {
        if !treatments.contains(&comparison.variant_id) {
            treatments.push(comparison.variant_id.clone());
        }
    }
    treatments
}

/// What is compared; a metric that the server did not compare shows one empty row per treatment.
fn comparisons(result: &MetricResult, treatments: &[String]) -> Vec<Comparison> {
    if !result.comparisons.is_empty() {
        return result.comparisons.clone();
    }
    let empty = |variant_id: &String| Comparison {
        variant_id: variant_id.clone(),
        ..Comparison::default()
    };
    treatments.iter().map(empty).collect()
}

fn header(results: &ExperimentResults, treatments: &[String]) -> Vec<Cell> {
    let control = results.exposures.first().map_or("control", |exposure| &exposure.variant_id);
    let level = results
        .metrics
        .iter()
        .flat_map(|metric| &metric.comparisons)
        .find_map(|comparison| interval_of(comparison).0.map(|interval| interval.level));
    let change = level
        .map_or("Change".to_owned(), |level| format!("Change [{:.0} % interval]", level * 100.0));
    let mut names = vec!["Metric".to_owned()];
    match treatments {
        [one] => names.extend([control.to_owned(), one.clone()]),
        _ => names.extend(["Treatment", control, "treatment"].map(str::to_owned)),
    }
    names.extend([change, "p-value".to_owned(), "Verdict".to_owned()]);
    names.into_iter().map(|name| cell(name, Tone::Strong)).collect()
}

fn align(table: &mut Table, several: bool) {
    let first = 1 + usize::from(several);
    for (index, column) in table.column_iter_mut().enumerate() {
        let number = index == first || index == first + 1 || index == first + 3;
        if number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The planned method's interval of the difference, or the fixed-horizon one and `true`.
fn interval_of(comparison: &Comparison) -> (Option<&Interval>, bool) {
    let fixed = comparison.fixed_horizon.as_ref().and_then(|test| test.interval.as_ref());
    match &comparison.difference_interval {
        Some(interval) => (Some(interval), false),
        None => (fixed, fixed.is_some()),
    }
}

/// One metric, ready to be shown against any treatment.
struct Row<'a> {
    result: &'a MetricResult,
    metric: Metric,
    several: bool,
    scale: Scale<'a>,
}

impl<'a> Row<'a> {
    fn new(result: &'a MetricResult, experiment: &'a Experiment, several: bool) -> Self {
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
        Self { result, metric: known.cloned().unwrap_or_default(), several, scale }
    }

    fn cells(&self, comparison: &Comparison) -> Vec<Cell> {
        let mut cells = vec![cell(self.name(comparison), Tone::Plain)];
        if self.several {
            cells.push(cell(comparison.variant_id.clone(), Tone::Plain));
        }
        let control = self.result.statistics.first();
        let treated = self
            .result
            .statistics
            .iter()
            .find(|statistics| statistics.variant_id == comparison.variant_id);
        let (verdict, tone) = self.verdict(comparison);
        cells.extend([
            cell(self.estimate(control, comparison.quantile), Tone::Plain),
            cell(self.estimate(treated, comparison.quantile), Tone::Plain),
            cell(self.change(comparison), Tone::Plain),
            cell(Self::p_value(comparison), Tone::Plain),
            cell(verdict, tone),
        ]);
        cells
    }

    /// The metric over its role.
    fn name(&self, comparison: &Comparison) -> String {
        let id = &self.result.metric_id;
        let title = comparison
            .quantile
            .map_or_else(|| id.clone(), |quantile| format!("{id} · {}", quantile_name(quantile)));
        let role = match self.result.role() {
            Role::Primary => "primary".to_owned(),
            Role::Secondary | Role::Unspecified => "secondary".to_owned(),
            Role::Guardrail => match self.metric.non_inferiority_margin {
                Some(margin) => format!("guardrail, {:.0} %", margin * 100.0),
                None => "guardrail".to_owned(),
            },
        };
        format!("{title}\n  {role}")
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
    fn p_value(comparison: &Comparison) -> String {
        let fixed = comparison.fixed_horizon.as_ref().map(|test| test.p_value);
        let first = match (comparison.p_value, fixed) {
            (Some(p), _) => figures::p_value(p),
            (None, Some(p)) => figures::p_value(p) + MARK,
            (None, None) => ABSENT.to_owned(),
        };
        let adjusted = comparison
            .adjusted_p_value
            .filter(|_| comparison.adjusted_p_value != comparison.p_value)
            .map(|p| format!("adjusted {}", figures::p_value(p)));
        let margin =
            comparison.non_inferiority_p_value.map(|p| format!("margin {}", figures::p_value(p)));
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
        verdict(comparison.verdict())
    }

    /// Whether the server estimates nothing, though every variant has outcomes to estimate from.
    fn lacks_estimates(&self) -> bool {
        self.result.statistics.iter().all(|statistics| {
            statistics.count > 1 && statistics.estimate.is_none() && statistics.quantiles.is_empty()
        })
    }

    fn is_marked(comparison: &Comparison) -> bool {
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
    use super::super::fixture;
    use super::*;

    fn shown(results: &ExperimentResults) -> String {
        table(results, &fixture::experiment(), Layout::plain())
    }

    #[test]
    fn a_full_comparison_is_told_in_two_lines() {
        let text = shown(&fixture::results());
        for part in [
            "Change [95 % interval]",
            "71.3 %",
            "78.2 %",
            "+9.7 %  [+5.6, +13.8]",
            "+6.9 pp [+4.1, +9.7]",
            "< 0.0001",
            "▲ better",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains('†'), "{text}");
    }

    #[test]
    fn what_is_absent_is_a_dash() {
        let mut results = fixture::results();
        let only = results.metrics[0].clone();
        results.metrics = vec![MetricResult {
            statistics: only
                .statistics
                .iter()
                .map(|s| VariantStatistics { estimate: None, ..s.clone() })
                .collect(),
            comparisons: vec![],
            ..only
        }];
        let text = shown(&results);
        let row = text.lines().find(|line| line.contains("task_completed")).unwrap();
        assert_eq!(row.matches(ABSENT).count(), 5, "{text}");
    }

    #[test]
    fn the_fixed_horizon_stands_in_and_is_marked() {
        let mut results = fixture::results();
        let comparison = &mut results.metrics[0].comparisons[0];
        comparison.p_value = None;
        comparison.difference_interval = None;
        comparison.set_verdict(Verdict::InsufficientData);
        let text = shown(&results);
        assert!(text.contains("not judged"), "{text}");
        assert!(text.contains("0.0002 †"), "{text}");
        assert!(text.contains("[+4.5, +9.3] †"), "{text}");
        assert!(text.contains(MARK_NOTE), "{text}");
    }

    #[test]
    fn quantiles_have_rows_of_their_own() {
        let text = shown(&fixture::results());
        let row = text.lines().find(|line| line.contains("latency_p95 · p95")).unwrap();
        assert!(row.contains("3.114 s") && row.contains("3.394 s"), "{text}");
        assert!(text.contains("guardrail, 15 %") && text.contains("✓ within margin"));
        assert_eq!(quantile_name(0.999), "p99.9");
        assert_eq!(quantile_name(0.5), "p50");
    }

    #[test]
    fn several_treatments_are_named() {
        let mut results = fixture::results();
        results.exposures.push(crate::rpc::pb::VariantExposure {
            variant_id: "third".into(),
            ..Default::default()
        });
        let mut other = results.metrics[0].comparisons[0].clone();
        other.variant_id = "third".into();
        results.metrics[0].comparisons.push(other);
        let text = shown(&results);
        assert!(text.contains("Treatment") && text.contains("third"), "{text}");
    }

    #[test]
    fn an_unbounded_lift_is_shown_as_such() {
        let mut results = fixture::results();
        let comparison = &mut results.metrics[0].comparisons[0];
        comparison.lift_interval =
            Some(Interval { lower: -0.5, upper: f64::INFINITY, level: 0.95 });
        assert!(shown(&results).contains("[−50.0, +∞]"));
        let comparison = &mut results.metrics[0].comparisons[0];
        (comparison.relative_lift, comparison.lift_interval) = (None, None);
        assert!(shown(&results).contains("  +6.9 pp [+4.1, +9.7]"));
    }
}
