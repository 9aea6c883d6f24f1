//! The values of a dimension side by side: a table per metric, the whole on top of its parts, and
//! what to think of finding something in one of many.

use super::super::figures;
use super::super::layout::{Layout, Tone};
use super::frame::Frame;
use super::heading::{place, title};
use super::row::{Cells, Row};
use super::table::{Shape, comparisons, render};
use super::unit_kind;
use crate::rpc::pb::analysis_plan::Correction;
use crate::rpc::pb::experiment_results::Recommendation;
use crate::rpc::pb::{Experiment, ExperimentResults, GetResultsResponse};

/// Fewer units than this in an arm, and no standard error deserves trust: what the server says of
/// the whole.
const FEW_UNITS: i64 = 30;

/// Stands for the whole.
const ALL: &str = "(all)";

/// The page for the values of `dimension`, with a final line feed.
pub(in crate::cli) fn segments(
    answer: &GetResultsResponse,
    dimension: &str,
    experiment: &Experiment,
    layout: Layout,
) -> String {
    let nothing = ExperimentResults::default();
    let whole = answer.results.as_ref().unwrap_or(&nothing);
    let mut page = format!("{}{} · by {dimension}\n\n", title(experiment, layout), place(whole));
    if answer.segments.is_empty() {
        page.push_str("No outcomes yet.\n");
        return page;
    }
    let parts = || std::iter::once(whole).chain(&answer.segments);
    let frame = Frame::of_segments(whole, &answer.segments, experiment);
    for metric in &whole.metrics {
        let mut rows = Vec::new();
        for part in parts() {
            let Some(result) = part.metrics.iter().find(|r| r.metric_id == metric.metric_id) else {
                continue;
            };
            let row = Row::new(result, experiment, &frame);
            for comparison in comparisons(result, &frame.treatments) {
                let cells = row.cells(&comparison);
                let marked = Row::is_marked(&comparison);
                let (name, size) = named(part, &cells, &metric.metric_id, experiment);
                let cells = Cells { metric: name, role: size, ..cells };
                rows.push((comparison.variant_id, cells, marked));
            }
        }
        let heading =
            format!("{} ({})", metric.metric_id, Row::new(metric, experiment, &frame).role());
        page.push_str(&layout.paint(&heading, Tone::Strong));
        page.push('\n');
        let shape = Shape { first: dimension, results: whole, frame: &frame };
        page.push_str(&render(&rows, &shape, layout));
        page.push('\n');
    }
    page.push_str(&caution(&answer.segments, dimension, experiment, layout));
    page
}

/// "pro", "1,234 users"; with the quantile behind the name, where there are several.
fn named(
    part: &ExperimentResults,
    cells: &Cells,
    metric: &str,
    experiment: &Experiment,
) -> (String, String) {
    let value = part.segment.as_ref().map_or(ALL, |segment| &segment.value);
    let quantile = cells.metric.strip_prefix(metric).unwrap_or_default();
    let units: i64 = part.exposures.iter().map(|exposure| exposure.units).sum();
    let units = figures::counted(units, unit_kind(experiment));
    (format!("{value}{quantile}"), units)
}

/// What holds of all values, and what is wrong with some.
fn caution(
    segments: &[ExperimentResults],
    dimension: &str,
    experiment: &Experiment,
    layout: Layout,
) -> String {
    let unit = unit_kind(experiment);
    let corrected = match experiment.analysis.unwrap_or_default().correction() {
        Correction::None => "p-values are not corrected for looking at all of them, as planned",
        Correction::Unspecified
        | Correction::Bonferroni
        | Correction::Holm
        | Correction::BenjaminiHochberg => "adjusted p-values account for looking at all of them",
    };
    let values = figures::counted(i64::try_from(segments.len()).unwrap_or(i64::MAX), "value");
    let mut text = layout.wrap(
        &format!(
            "{values} of {dimension}. A {unit} has the value that came with its first outcome or \
             assignment. {}. What turns up in a segment is a hypothesis for the next experiment.",
            capital(corrected)
        ),
        "",
    );
    text.push('\n');
    text.push_str(&few(segments, unit, layout));
    for part in segments {
        if part.recommendation() != Recommendation::Investigate {
            continue;
        }
        let value = part.segment.as_ref().map_or(ALL, |segment| &segment.value);
        // The first sentence says which segment it is.
        let reason = part.explanations.get(1).map_or("", String::as_str);
        let warning = layout.wrap(&format!("✗ {value}: {}", figures::prose(reason)), "  ");
        text.push_str(&layout.paint(&warning, Tone::Bad));
        text.push('\n');
    }
    text
}

/// Values with too few units for any standard error to be trusted.
fn few(segments: &[ExperimentResults], unit: &str, layout: Layout) -> String {
    let few = segments.iter().filter(|part| {
        part.exposures.iter().any(|exposure| (1..FEW_UNITS).contains(&exposure.units))
    });
    let names = few.filter_map(|part| part.segment.as_ref().map(|of| of.value.as_str()));
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return String::new();
    }
    let warning = format!(
        "Fewer than {FEW_UNITS} {unit}s in an arm, so that every error margin is a guess: {}.",
        names.join(", ")
    );
    layout.paint(&layout.wrap(&warning, ""), Tone::Caution) + "\n"
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::rpc::pb::Segment;

    fn answer() -> GetResultsResponse {
        let whole = fixture::results();
        let part = |value: &str, units| {
            let mut part = fixture::results();
            let (dimension, value) = ("plan".to_owned(), value.to_owned());
            part.segment = Some(Segment { dimension, value });
            part.exposures[0].units = units;
            part
        };
        let mut broken = part("free", 90);
        broken.set_recommendation(Recommendation::Investigate);
        broken.explanations = vec!["Only ...".into(), "The split is broken.".into()];
        let segments = vec![part("pro", 1_000), broken, part("(none)", 5)];
        GetResultsResponse { results: Some(whole), segments }
    }

    #[test]
    fn every_metric_is_a_table_of_values() {
        let page = segments(&answer(), "plan", &fixture::experiment(), Layout::plain());
        let order = [
            "Support bot: v2 against v1",
            "support-bot · running · iteration 1 · by plan",
            "task_completed (primary)",
            "plan",
            "(all)",
            "4,840 users",
            "pro",
            "1,968 users",
            "free",
            "(none)",
            "csat (secondary)",
            "latency_p95 (guardrail, 15 %)",
            "pro · p95",
            "3 values of plan",
            "hypothesis",
            "Fewer than 30 users in an arm, so that every error margin is a guess: (none).",
            "✗ free: The split is broken.",
        ];
        let mut rest = page.as_str();
        for part in order {
            let at = rest.find(part).unwrap_or_else(|| panic!("{part} is missing in\n{page}"));
            rest = &rest[at..];
        }
        // A single comparison among three values: the correction is shown.
        assert!(page.contains("adjusted < 0.0001"), "{page}");
    }

    #[test]
    fn nothing_told_is_a_page_without_numbers() {
        let nothing = GetResultsResponse::default();
        let page = segments(&nothing, "plan", &fixture::experiment(), Layout::plain());
        assert!(page.contains("No outcomes yet."), "{page}");
    }

    #[test]
    fn at_80_columns_it_is_folded() {
        let layout = Layout { width: Some(80), ..Layout::plain() };
        let page = segments(&answer(), "plan", &fixture::experiment(), layout);
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        assert!(page.contains("1,968 users"), "{page}");
    }
}
