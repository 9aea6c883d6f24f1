//! The table: one row per metric and treatment, and per quantile where quantiles are compared.

use comfy_table::{Cell, CellAlignment, Table};

use super::super::layout::{Layout, Tone, cell};
use super::row::{Row, interval_of};
use crate::rpc::pb::{Comparison, Experiment, ExperimentResults, MetricResult};

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
    let mut table = layout.ruled_table();
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

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::cli::figures::ABSENT;
    use crate::rpc::pb::comparison::Verdict;
    use crate::rpc::pb::{Interval, VariantStatistics};

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
        assert!(text.contains("not judged") && !text.contains("too little data"), "{text}");
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
