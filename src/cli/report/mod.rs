//! The results of an experiment as one page: who took part, what changed, how sure that is, and
//! what to do. Pure: the same messages always make the same text.
//!
//! Nothing is computed here that the server left out; what is absent shows as an en dash.

mod frame;
mod heading;
mod independence;
mod recommendation;
mod row;
mod segments;
mod table;

pub(super) use self::heading::state_name;
pub(super) use self::segments::segments;
use super::Layout;
use crate::rpc::pb::{Experiment, ExperimentResults};

/// The page for `results`; `experiment` knows names, units and roles.
#[must_use]
pub fn report(results: &ExperimentResults, experiment: &Experiment, layout: Layout) -> String {
    let mut page = heading::heading(results, experiment, layout);
    page.push('\n');
    // A table of nothing but dashes tells nobody anything.
    let nobody = results.exposures.iter().all(|exposure| exposure.units + exposure.outcomes == 0);
    if nobody {
        page.push_str("No outcomes yet.\n");
    } else {
        page.push_str(&table::table(results, experiment, layout));
    }
    page.push_str(&independence::notes(results, experiment, layout));
    page.push('\n');
    page.push_str(&recommendation::recommendation(results, experiment, layout));
    page
}

/// What one unit is called: "user", "conversation".
fn unit_kind(experiment: &Experiment) -> &str {
    match &experiment.bucketing {
        Some(bucketing) if !bucketing.unit_kind.is_empty() => &bucketing.unit_kind,
        _ => "unit",
    }
}

#[cfg(test)]
pub(super) mod fixture;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_reads_from_top_to_bottom() {
        let page = report(&fixture::results(), &fixture::experiment(), Layout::plain());
        let order = [
            "Support bot: v2 against v1",
            "support-bot · running",
            "control",
            "3,872 users",
            "split as configured",
            "task_completed",
            "+9.7 %",
            "latency_p95",
            "p = 0.037",
            "Ship treatment",
            "better on task_completed",
        ];
        let mut rest = page.as_str();
        for part in order {
            let at = rest.find(part).unwrap_or_else(|| panic!("{part} is missing in\n{page}"));
            rest = &rest[at..];
        }
    }

    #[test]
    fn an_empty_answer_is_a_page_without_numbers() {
        let page = report(&ExperimentResults::default(), &Experiment::default(), Layout::plain());
        assert!(page.contains("No outcomes yet"), "{page}");
    }
}
