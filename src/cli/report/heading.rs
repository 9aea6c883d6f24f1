//! The top of the page: which experiment, who took part, and whether the split can be trusted.

use std::fmt::Write as _;

use super::super::figures::{self, ABSENT};
use super::super::layout::{Layout, Tone};
use super::unit_kind;
use crate::rpc::pb::experiment::State;
use crate::rpc::pb::{Experiment, ExperimentResults, SampleRatioCheck, VariantExposure};

/// Title, exposures and split check, with a final line feed.
pub(super) fn heading(
    results: &ExperimentResults,
    experiment: &Experiment,
    layout: Layout,
) -> String {
    let mut place = place(results);
    if let Some(segment) = &results.segment {
        let _ = write!(place, " · only {} = {}", segment.dimension, segment.value);
    }
    let mut lines = vec![title(experiment, layout) + &place, String::new()];
    lines.extend(exposures(&results.exposures, unit_kind(experiment), layout));
    let anyone = results.exposures.iter().any(|exposure| exposure.units > 0);
    if let Some(check) = results.sample_ratio.as_ref().filter(|_| anyone) {
        lines.push(split(check, unit_kind(experiment), layout));
    }
    lines.join("\n") + "\n"
}

/// The name for people on a line of its own; nothing without one.
pub(super) fn title(experiment: &Experiment, layout: Layout) -> String {
    let name = &experiment.display_name;
    if name.is_empty() { String::new() } else { layout.paint(name, Tone::Strong) + "\n" }
}

/// "support-bot · running · iteration 1".
pub(super) fn place(results: &ExperimentResults) -> String {
    let state = state_name(results.state());
    format!("{} · {state} · iteration {}", results.experiment_id, results.iteration)
}

/// "running".
pub(in crate::cli) fn state_name(state: State) -> &'static str {
    match state {
        State::Unspecified => ABSENT,
        State::Draft => "draft",
        State::Running => "running",
        State::Paused => "paused",
        State::Concluded => "concluded",
        State::Archived => "archived",
    }
}

fn exposures(exposures: &[VariantExposure], unit: &str, layout: Layout) -> Vec<String> {
    let total: i64 = exposures.iter().map(|exposure| exposure.units).sum();
    let width = |text: fn(&VariantExposure) -> String| {
        exposures.iter().map(|exposure| text(exposure).chars().count()).max().unwrap_or(0)
    };
    let names = width(|exposure| exposure.variant_id.clone());
    let units = width(|exposure| figures::count(exposure.units));
    let outcomes = width(|exposure| figures::count(exposure.outcomes));
    let line = |exposure: &VariantExposure| {
        let share = if total == 0 {
            ABSENT.to_owned()
        } else {
            figures::percent(figures::float(exposure.units) / figures::float(total))
        };
        let mut line = format!(
            "  {:names$}  {:>units$} {unit}s {:>9}  {:>outcomes$} outcomes",
            exposure.variant_id,
            figures::count(exposure.units),
            format!("({share})"),
            figures::count(exposure.outcomes),
        );
        if exposure.mismatched_outcomes > 0 {
            let strays = figures::count(exposure.mismatched_outcomes);
            let [some, all] = [exposure.mismatched_outcomes, exposure.outcomes].map(figures::float);
            let share = figures::percent(some / all.max(1.0));
            let warning = format!(", {strays} ({share}) served by another variant");
            line.push_str(&layout.paint(&warning, Tone::Caution));
        }
        line
    };
    exposures.iter().map(line).collect()
}

fn split(check: &SampleRatioCheck, unit: &str, layout: Layout) -> String {
    let p = match (check.sequential_p_value, check.p_value) {
        (Some(p), _) => figures::p_equals(p),
        (None, Some(p)) => format!("{} for one look", figures::p_equals(p)),
        (None, None) => return format!("  split not checked ({ABSENT})"),
    };
    if check.mismatch {
        let text = format!(
            "✗ THE SPLIT IS BROKEN (sample ratio {p}): assignment or delivery loses some {unit}s, \
             so nothing below can be trusted"
        );
        layout.paint(&layout.wrap(&format!("  {text}"), "    "), Tone::Bad)
    } else {
        format!("  {} (sample ratio {p})", layout.paint("✓ split as configured", Tone::Good))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn exposures_are_aligned_and_shares_add_up() {
        let text = heading(&fixture::results(), &fixture::experiment(), Layout::plain());
        assert!(text.contains("  control    3,872 users  (80.0 %)  6,200 outcomes\n"), "{text}");
        assert!(text.contains("  treatment    968 users  (20.0 %)  1,550 outcomes\n"), "{text}");
    }

    #[test]
    fn outcomes_that_another_variant_served_are_told_with_their_share() {
        let mut results = fixture::results();
        results.exposures[1].mismatched_outcomes = 31;
        let text = heading(&results, &fixture::experiment(), Layout::plain());
        let told = "1,550 outcomes, 31 (2.0 %) served by another variant\n";
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn a_broken_split_shouts() {
        let mut results = fixture::results();
        results.sample_ratio =
            Some(SampleRatioCheck { p_value: Some(1e-9), mismatch: true, ..Default::default() });
        let text = heading(&results, &fixture::experiment(), Layout::plain());
        assert!(text.contains("THE SPLIT IS BROKEN (sample ratio p < 0.0001 for one look)"));
    }

    #[test]
    fn without_units_there_is_no_share() {
        let mut results = fixture::results();
        for exposure in &mut results.exposures {
            exposure.units = 0;
        }
        let text = heading(&results, &fixture::experiment(), Layout::plain());
        assert!(text.contains("(–)") && !text.contains("split as configured"), "{text}");
    }
}
