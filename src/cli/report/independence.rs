//! What the textbook test would have said. It takes the outcomes of one person for outcomes of
//! many, and so finds winners that are not there; the page says where that makes a difference.

use std::fmt::Write as _;

use super::super::figures;
use super::super::layout::{Layout, Tone};
use super::unit_kind;
use crate::rpc::pb::metric::Role;
use crate::rpc::pb::{Comparison, Experiment, ExperimentResults, MetricResult};

/// Design effects below are what chance makes of independent outcomes.
const NOTICEABLE: f64 = 1.05;

/// One line per comparison of the primary metric whose outcomes are alike, and per comparison of
/// any other that the textbook test would call significant wrongly; empty when there is none.
pub(super) fn notes(
    results: &ExperimentResults,
    experiment: &Experiment,
    layout: Layout,
) -> String {
    let alpha = experiment.analysis.as_ref().and_then(|plan| plan.alpha).unwrap_or(0.05);
    let unit = unit_kind(experiment);
    let mut lines = Vec::new();
    for result in &results.metrics {
        for comparison in &result.comparisons {
            lines.extend(note(result, comparison, unit, alpha, layout));
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let title = layout.paint(&format!("Why {unit}s are counted, not outcomes"), Tone::Strong);
    format!("\n{title}\n{}\n", lines.join("\n"))
}

fn note(
    result: &MetricResult,
    comparison: &Comparison,
    unit: &str,
    alpha: f64,
    layout: Layout,
) -> Option<String> {
    let naive = comparison.naive.as_ref()?.welch_p_value;
    let honest = comparison.fixed_horizon.as_ref()?.p_value;
    let misled = naive < alpha && honest >= alpha;
    // Without a design effect the p-values alone must tell.
    let effect = comparison.design_effect.unwrap_or(if misled { NOTICEABLE } else { 1.0 });
    if effect < NOTICEABLE || !(misled || result.role() == Role::Primary) {
        return None;
    }
    let compared = [&comparison.baseline_variant_id, &comparison.variant_id];
    let outcomes: i64 = result
        .statistics
        .iter()
        .filter(|statistics| compared.contains(&&statistics.variant_id))
        .map(|statistics| statistics.count)
        .sum();
    let [naive_p, honest_p] = [naive, honest].map(figures::p_equals);
    if naive_p == honest_p {
        // Both are beyond doubt; what is left of the point is the width of the interval.
        let wider = figures::percent(effect.sqrt() - 1.0);
        let line = format!(
            "  {}, {}: outcomes of one {unit} are alike, so the honest interval is {wider} wider \
             than the textbook's",
            result.metric_id, comparison.variant_id,
        );
        return Some(layout.wrap(&line, "    "));
    }
    let mut line = format!(
        "  {}, {}: as if all {} outcomes were independent, {}; counting {unit}s, {}",
        result.metric_id,
        comparison.variant_id,
        figures::count(outcomes),
        naive_p,
        honest_p,
    );
    if comparison.design_effect.is_some() {
        let _ = write!(line, " (variance ×{})", figures::plain(effect, 1));
    }
    let mut line = layout.wrap(&line, "    ");
    if misled {
        // On a line of its own where there are lines.
        line.push_str(if layout.width.is_some() { "\n    " } else { "  " });
        line.push_str(&layout.paint("← significant only when that is ignored", Tone::Caution));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_false_winner_is_pointed_out() {
        let text = notes(&fixture::results(), &fixture::experiment(), Layout::plain());
        assert!(
            text.contains(
                "  csat, treatment: as if all 2,713 outcomes were independent, p = 0.037; \
                 counting users, p = 0.25 (variance ×3.3)  ← significant only when that is ignored"
            ),
            "{text}"
        );
    }

    #[test]
    fn agreement_is_not_worth_a_line() {
        let mut results = fixture::results();
        for comparison in results.metrics.iter_mut().flat_map(|m| &mut m.comparisons) {
            comparison.design_effect = Some(1.0);
            comparison.naive = None;
        }
        assert_eq!(notes(&results, &fixture::experiment(), Layout::plain()), "");
    }
}
