//! The last lines of the page: what to do and why, in the server's words.

use std::fmt::Write as _;

use super::super::figures;
use super::super::layout::{Layout, Tone};
use crate::rpc::pb::ExperimentResults;
use crate::rpc::pb::experiment_results::Recommendation;

/// What to do and why, with a final line feed.
pub(super) fn recommendation(results: &ExperimentResults, layout: Layout) -> String {
    let (advice, tone) = match results.recommendation() {
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
    };
    let mut text = layout.paint(&advice, tone);
    if let Some(progress) = results.progress {
        let share = figures::percent(progress);
        let note = format!("  ({share} of the planned sample is in)");
        text.push_str(&layout.paint(&note, Tone::Faint));
    }
    text.push('\n');
    for explanation in &results.explanations {
        let _ = writeln!(text, "  - {explanation}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(recommendation: Recommendation) -> String {
        let results = ExperimentResults {
            recommendation: recommendation.into(),
            recommended_variant_id: "v2".into(),
            explanations: vec!["v2 is better".into()],
            progress: Some(0.51),
            ..Default::default()
        };
        super::recommendation(&results, Layout::plain())
    }

    #[test]
    fn advice_comes_with_its_reasons() {
        assert_eq!(
            shown(Recommendation::Ship),
            "Ship v2  (51.0 % of the planned sample is in)\n  - v2 is better\n"
        );
        assert!(shown(Recommendation::Unspecified).starts_with("No recommendation"));
    }
}
