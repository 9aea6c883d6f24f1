//! The last lines of the page: what to do and why, in the server's words. Where nothing is to be
//! decided (before the start, after the end) it says how things stand instead.

use std::fmt::Write as _;

use super::super::figures;
use super::super::layout::{Layout, Tone};
use crate::rpc::pb::experiment::State;
use crate::rpc::pb::experiment_results::Recommendation;
use crate::rpc::pb::{Experiment, ExperimentResults, Segment};

/// What to do and why, with a final line feed.
pub(super) fn recommendation(
    results: &ExperimentResults,
    experiment: &Experiment,
    layout: Layout,
) -> String {
    let mut text = String::new();
    if let Some((standing, tone)) = standing(results, experiment) {
        text = layout.paint(&layout.wrap(&standing, ""), tone) + "\n";
    }
    let closed = matches!(results.state(), State::Concluded | State::Archived);
    let waiting = results.recommendation() == Recommendation::Continue;
    if results.state() == State::Draft {
        return text;
    }
    if !(closed && waiting) {
        let (advice, tone) = advice(results);
        let advice = match &results.segment {
            Some(Segment { dimension, value }) => format!("{dimension} = {value}: {advice}"),
            None => advice,
        };
        text += &layout.paint(&advice, tone);
        if let Some(progress) = results.progress {
            let share = figures::percent(progress);
            let note = format!("  ({share} of the planned sample is in)");
            text += &layout.paint(&note, Tone::Faint);
        }
        text.push('\n');
    }
    for explanation in &results.explanations {
        let explanation = figures::prose(&without_headline(explanation));
        let _ = writeln!(text, "{}", layout.wrap(&format!("  - {explanation}"), "    "));
    }
    text
}

/// How things stand where that is more than "running".
fn standing(results: &ExperimentResults, experiment: &Experiment) -> Option<(String, Tone)> {
    let id = &results.experiment_id;
    match results.state() {
        State::Unspecified | State::Running => None,
        State::Draft => {
            Some((format!("Not started: `tiebreak start {id}` starts it"), Tone::Caution))
        }
        State::Paused => Some((
            format!("PAUSED: everyone receives control; `tiebreak start {id}` resumes it"),
            Tone::Caution,
        )),
        State::Concluded => {
            let winner = match experiment.winner_variant_id.as_str() {
                "" => "control",
                winner => winner,
            };
            Some((format!("Concluded: everyone receives {winner}"), Tone::Strong))
        }
        State::Archived => Some(("Archived: nobody is assigned any more".into(), Tone::Faint)),
    }
}

fn advice(results: &ExperimentResults) -> (String, Tone) {
    match results.recommendation() {
        Recommendation::Unspecified => ("No recommendation".to_owned(), Tone::Plain),
        Recommendation::Continue => ("Keep collecting".to_owned(), Tone::Caution),
        Recommendation::Ship => (format!("Ship {}", results.recommended_variant_id), Tone::Good),
        Recommendation::KeepControl => ("Keep control".to_owned(), Tone::Bad),
        Recommendation::NoDifference => {
            ("No difference of the planned size: keep what is simpler".to_owned(), Tone::Plain)
        }
        Recommendation::Investigate => {
            ("Investigate: do not trust these numbers".to_owned(), Tone::Bad)
        }
    }
}

/// A sentence without the advice that stands above it already: "Keep collecting: there is ..."
/// becomes "There is ...".
fn without_headline(sentence: &str) -> String {
    let reason = match sentence.split_once(": ") {
        Some((advice, reason)) if ["Ship '", "Keep c"].iter().any(|a| advice.starts_with(a)) => {
            reason
        }
        _ => return sentence.to_owned(),
    };
    let mut letters = reason.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(recommendation: Recommendation, state: State) -> String {
        let results = ExperimentResults {
            experiment_id: "x".into(),
            state: state.into(),
            recommendation: recommendation.into(),
            recommended_variant_id: "v2".into(),
            explanations: vec!["Keep collecting: v2 is better.".into()],
            progress: Some(0.51),
            ..Default::default()
        };
        let experiment = Experiment { winner_variant_id: "v2".into(), ..Default::default() };
        super::recommendation(&results, &experiment, Layout::plain())
    }

    #[test]
    fn advice_comes_with_its_reasons() {
        assert_eq!(
            shown(Recommendation::Ship, State::Running),
            "Ship v2  (51.0 % of the planned sample is in)\n  - V2 is better.\n"
        );
        let none = shown(Recommendation::Unspecified, State::Running);
        assert!(none.starts_with("No recommendation"), "{none}");
    }

    #[test]
    fn where_nothing_is_to_be_decided_it_says_how_things_stand() {
        let shown = |state| shown(Recommendation::Continue, state);
        assert_eq!(shown(State::Concluded), "Concluded: everyone receives v2\n  - V2 is better.\n");
        assert_eq!(shown(State::Draft), "Not started: `tiebreak start x` starts it\n");
        let paused = shown(State::Paused);
        assert!(paused.starts_with("PAUSED: everyone receives control; `tiebreak start x`"));
        assert!(paused.contains("\nKeep collecting"), "{paused}");
    }

    #[test]
    fn the_headline_is_told_once() {
        assert_eq!(
            without_headline("Ship 'v2': the primary metric is better."),
            "The primary metric is better."
        );
        assert_eq!(without_headline("P95 rose by 3 %: shown"), "P95 rose by 3 %: shown");
    }
}
