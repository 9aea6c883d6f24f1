//! What the textbook test would have said. It takes the outcomes of one person for outcomes of
//! many, and so finds winners that are not there; the page says where that makes a difference.

use super::super::figures;
use super::super::layout::{Layout, Tone};
use super::unit_kind;
use crate::rpc::pb::metric::Role;
use crate::rpc::pb::{Comparison, Experiment, ExperimentResults, MetricResult};

/// From here on the outcomes of a unit are alike enough to be worth a line on any metric.
const REMARKABLE: f64 = 2.0;
/// On the primary metric, already from here.
const NOTICEABLE: f64 = 1.05;

/// One line per comparison on which the two tests disagree, or whose design effect is large;
/// empty when there is none.
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
    let disagree = (naive < alpha) != (honest < alpha);
    let effect = comparison.design_effect.unwrap_or(1.0);
    let worth = if result.role() == Role::Primary { NOTICEABLE } else { REMARKABLE };
    if !disagree && effect < worth {
        return None;
    }
    let compared = [&comparison.baseline_variant_id, &comparison.variant_id];
    let outcomes: i64 = result
        .statistics
        .iter()
        .filter(|statistics| compared.contains(&&statistics.variant_id))
        .map(|statistics| statistics.count)
        .sum();
    let mut line = format!(
        "  {}, {}: as if all {} outcomes were independent, {}; counting {unit}s, {}",
        result.metric_id,
        comparison.variant_id,
        figures::count(outcomes),
        figures::p_equals(naive),
        figures::p_equals(honest),
    );
    if let Some(effect) = comparison.design_effect {
        line.push_str(&format!(" (variance ×{effect:.1})"));
    }
    if disagree && naive < alpha {
        line.push_str(&layout.paint("  ← a false winner", Tone::Caution));
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
                 counting users, p = 0.25 (variance ×3.3)  ← a false winner"
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
