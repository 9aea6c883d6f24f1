//! The table: one row per metric and treatment, and per quantile where quantiles are compared.
//!
//! Where it is too wide for the page it is folded: control over treatment, and treatment and
//! verdict below the name of the metric. Nothing is broken within a word or an interval.

use comfy_table::{Cell, CellAlignment, Table};

use super::super::layout::{Layout, Tone, cell};
use super::frame::Frame;
use super::row::{Cells, NOT_YET, Row, interval_of};
use crate::rpc::pb::{Comparison, Experiment, ExperimentResults, MetricResult};

const MARK_NOTE: &str = "† fixed horizon: valid for one look, at the planned sample; the server has none by the planned method";
const EARLY_NOTE: &str = "not yet: the plan is one look, when the planned sample is in";

/// The table and its footnotes, with a final line feed.
pub(super) fn table(
    results: &ExperimentResults,
    experiment: &Experiment,
    layout: Layout,
) -> String {
    if results.metrics.is_empty() {
        return "No outcomes yet.\n".to_owned();
    }
    let frame = Frame::new(results, experiment);
    let mut rows = Vec::new();
    for result in &results.metrics {
        let row = Row::new(result, experiment, &frame);
        for comparison in comparisons(result, &frame.treatments) {
            let marked = Row::is_marked(&comparison);
            rows.push((comparison.variant_id.clone(), row.cells(&comparison), marked));
        }
    }
    render(&rows, &Shape { first: "Metric", results, frame: &frame }, layout)
}

/// A treatment, its cells, and whether they hold what is valid for one look only.
pub(super) type Line = (String, Cells, bool);

/// What a table knows beside its rows.
pub(super) struct Shape<'a> {
    /// Head of the first column.
    pub(super) first: &'a str,
    pub(super) results: &'a ExperimentResults,
    pub(super) frame: &'a Frame,
}

/// Rows as a table, as wide as the page lets it be, and what its marks mean.
pub(super) fn render(rows: &[Line], shape: &Shape<'_>, layout: Layout) -> String {
    let marked = rows.iter().any(|(.., marked)| *marked);
    let early = rows.iter().any(|(_, cells, _)| cells.verdict.0 == NOT_YET);
    let change = change_header(shape.results);
    let wide = wide(rows, shape, &change, layout);
    let fits = layout.width.is_none_or(|width| table_width(&wide) <= usize::from(width));
    let table = if fits { wide } else { folded(rows, shape, &change, layout) };
    let mut text = format!("{}\n", table.trim_fmt());
    for (needed, note) in [(marked, MARK_NOTE), (early, EARLY_NOTE)] {
        if needed {
            text.push_str(&layout.paint(&layout.wrap(note, "  "), Tone::Faint));
            text.push('\n');
        }
    }
    text
}

/// Of a table with a space at either side of every cell and one between two columns.
fn table_width(table: &Table) -> usize {
    let widths = table.column_max_content_widths();
    widths.iter().map(|&width| usize::from(width) + 3).sum::<usize>().saturating_sub(1)
}

/// What is compared; a metric that the server did not compare shows one empty row per treatment.
pub(super) fn comparisons(result: &MetricResult, treatments: &[String]) -> Vec<Comparison> {
    if !result.comparisons.is_empty() {
        return result.comparisons.clone();
    }
    let empty = |variant_id: &String| Comparison {
        variant_id: variant_id.clone(),
        ..Comparison::default()
    };
    treatments.iter().map(empty).collect()
}

/// Tells which line of a change is which.
fn change_header(results: &ExperimentResults) -> String {
    let level = results
        .metrics
        .iter()
        .flat_map(|metric| &metric.comparisons)
        .find_map(|comparison| interval_of(comparison).0.map(|interval| interval.level));
    let lines = "relative over absolute";
    level.map_or_else(
        || format!("Change\n{lines}"),
        |level| format!("Change [{:.0} % interval]\n{lines}", level * 100.0),
    )
}

fn wide(rows: &[Line], shape: &Shape<'_>, change: &str, layout: Layout) -> Table {
    let frame = shape.frame;
    let mut table = layout.ruled_table();
    let mut names = vec![shape.first];
    match frame.treatments.as_slice() {
        [one] => names.extend([frame.control.as_str(), one]),
        _ => names.extend(["Treatment", &frame.control, "treatment"]),
    }
    names.extend([change, "p-value", "Verdict"]);
    table.set_header(header(&names));
    for (treatment, cells, _) in rows {
        let mut row = vec![plain(format!("{}\n  {}", cells.metric, cells.role))];
        if frame.treatments.len() != 1 {
            row.push(plain(treatment));
        }
        row.extend([&cells.control, &cells.treated, &cells.change, &cells.p_value].map(plain));
        row.push(cell(cells.verdict.0, cells.verdict.1));
        table.add_row(row);
    }
    let first = 1 + usize::from(frame.treatments.len() != 1);
    align_right(&mut table, &[first, first + 1, first + 3]);
    table
}

fn folded(rows: &[Line], shape: &Shape<'_>, change: &str, layout: Layout) -> Table {
    let frame = shape.frame;
    let mut table = layout.ruled_table();
    let treatment = match frame.treatments.as_slice() {
        [one] => one,
        _ => "treatment",
    };
    let variants = format!("{}\n{treatment}", frame.control);
    let first = format!("{}\n  verdict", shape.first);
    table.set_header(header(&[&first, &variants, change, "p-value"]));
    for (treatment, cells, _) in rows {
        let mut name = format!("{}\n  {}", cells.metric, cells.role);
        if frame.several() {
            name = format!("{}\n  {treatment}\n  {}", cells.metric, cells.role);
        }
        table.add_row(vec![
            cell(format!("{name}\n  {}", cells.verdict.0), cells.verdict.1),
            plain(format!("{}\n{}", cells.control, cells.treated)),
            plain(&cells.change),
            plain(&cells.p_value),
        ]);
    }
    align_right(&mut table, &[1, 3]);
    table
}

fn header(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|&name| cell(name, Tone::Strong)).collect()
}

fn plain(text: impl AsRef<str>) -> Cell {
    cell(text.as_ref(), Tone::Plain)
}

fn align_right(table: &mut Table, columns: &[usize]) {
    for (index, column) in table.column_iter_mut().enumerate() {
        if columns.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::cli::figures::ABSENT;
    use crate::rpc::pb::analysis_plan::{Correction, Method};
    use crate::rpc::pb::comparison::Verdict;
    use crate::rpc::pb::{AnalysisPlan, Interval, VariantStatistics};

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

    /// At 80 columns a page is folded; nothing is cut, whatever the width.
    #[test]
    fn a_narrow_table_is_folded_between_words() {
        let at = |width| {
            let layout = Layout { width: Some(width), ..Layout::plain() };
            table(&fixture::results(), &fixture::experiment(), layout)
        };
        let folded = at(80);
        assert!(folded.lines().all(|line| line.chars().count() <= 80), "{folded}");
        for text in [folded, at(40), at(120)] {
            for part in [
                "[+4.1, +9.7]",
                "[+5.6, +13.8]",
                "task_completed",
                "✓ within margin",
                "margin p 0.0021",
            ] {
                assert!(text.contains(part), "{part} is missing in\n{text}");
            }
        }
    }

    #[test]
    fn the_lines_of_a_change_are_named_and_so_is_a_p_value_against_a_margin() {
        let text = shown(&fixture::results());
        for part in ["relative over absolute", "margin p 0.0021"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn an_adjusted_p_value_is_shown_wherever_there_is_more_than_one() {
        let mut results = fixture::results();
        assert!(!shown(&results).contains("adjusted"));
        let mut other = results.metrics[0].clone();
        other.metric_id = "second".into();
        results.metrics.push(other);
        assert_eq!(shown(&results).matches("adjusted < 0.0001").count(), 2);
        let plan = AnalysisPlan { correction: Correction::None.into(), ..Default::default() };
        let experiment = Experiment { analysis: Some(plan), ..fixture::experiment() };
        assert!(!table(&results, &experiment, Layout::plain()).contains("adjusted"));
    }

    #[test]
    fn a_fixed_horizon_gives_no_verdict_before_its_look() {
        let plan = AnalysisPlan { method: Method::FixedHorizon.into(), ..Default::default() };
        let experiment = Experiment { analysis: Some(plan), ..fixture::experiment() };
        let at = |progress| {
            let results = ExperimentResults { progress: Some(progress), ..fixture::results() };
            table(&results, &experiment, Layout::plain())
        };
        let early = at(0.5);
        assert!(!early.contains("better") && early.contains(EARLY_NOTE), "{early}");
        let due = at(1.0);
        assert!(due.contains("▲ better") && !due.contains(NOT_YET), "{due}");
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
