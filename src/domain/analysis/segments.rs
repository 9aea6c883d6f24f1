//! Results by the value of a dimension: the same engine on the counters of each value, and what
//! honesty adds when one looks at several of them.
//!
//! - The comparisons of all values are one family: the correction that is planned for the whole is
//!   made across them, and guardrails are judged at `alpha / values`. So what a value shows depends
//!   on how many there are, and a late value can take back what was significant before.
//! - Nobody planned the sample of a segment: its sequential test is the open-ended one, and the
//!   fixed-horizon test is heard when the sample of the whole is in.
//! - When the whole is not to be trusted, no part of it is.

use crate::domain::analysis::{
    Analysis, Findings, Recommendation, Results, analyse, comparison, correction, explanation,
    recommendation,
};
use crate::domain::counter::Row;
use crate::domain::experiment::{Correction, Experiment, Iteration, Timestamp};
use crate::domain::segment::{NONE, OTHER, Part, Segment, VALUES};
use crate::domain::tally::Tally;

/// Looks at an iteration and at each value of a dimension.
#[must_use]
pub fn analyse_segments(
    experiment: &Experiment,
    iteration: &Iteration,
    whole: &Tally,
    parts: &[Part],
    now: Timestamp,
) -> (Analysis, Vec<Analysis>) {
    let whole = analyse(experiment, iteration, whole, now);
    let unplanned = without_plan(experiment);
    let find = |part: &Part| Findings::of(&unplanned, iteration, &part.tally);
    let mut found: Vec<Findings> = parts.iter().map(find).collect();
    let plan = &unplanned.definition.analysis;
    correction::adjust(plan, found.iter_mut().flat_map(|found| &mut found.metrics).collect());
    let gates = match plan.correction {
        Correction::None => 1,
        Correction::Bonferroni | Correction::Holm | Correction::BenjaminiHochberg => parts.len(),
    };
    let look = Look { experiment: &unplanned, iteration, whole: &whole.results, of: parts.len() };
    let segments = found.into_iter().zip(parts).map(|(mut found, part)| {
        comparison::judge(&unplanned, &mut found.metrics, gates);
        look.conclude(found, &part.segment)
    });
    let segments = segments.collect();
    (whole, segments)
}

fn without_plan(experiment: &Experiment) -> Experiment {
    let mut unplanned = experiment.clone();
    unplanned.definition.analysis.planned_units = None;
    unplanned
}

/// A look at several segments.
struct Look<'a> {
    experiment: &'a Experiment,
    iteration: &'a Iteration,
    whole: &'a Results,
    of: usize,
}

impl Look<'_> {
    fn conclude(&self, found: Findings, segment: &Segment) -> Analysis {
        let Self { experiment, whole, .. } = self;
        let health = recommendation::Health::of(&found.sample_ratio, &found.exposures);
        let situation = recommendation::Situation::of(
            experiment,
            self.iteration,
            health,
            &found.metrics,
            whole.progress,
        );
        let distrusted = whole.recommendation == Recommendation::Investigate;
        let recommendation =
            if distrusted { Recommendation::Investigate } else { situation.decide() };
        let mut explanations = vec![self.preface(segment)];
        if distrusted {
            let sentence = "The experiment as a whole is not to be trusted, and so is no part of \
                            it: see its own results first.";
            explanations.push(sentence.to_owned());
        }
        explanations.extend(explanation::explain(
            experiment,
            &situation,
            &recommendation,
            &found.metrics,
            &found.exposures,
        ));
        let evidence = found.evidence.into_iter().filter_map(|(name, row)| {
            let rest = name.strip_prefix(Row::MAXIMA)?;
            Some((format!("{}{rest}", segment.evidence()), row))
        });
        let evidence = evidence.collect();
        let results = Results {
            experiment: whole.experiment.clone(),
            state: whole.state,
            iteration: whole.iteration,
            segment: Some(segment.clone()),
            exposures: found.exposures,
            sample_ratio: found.sample_ratio,
            metrics: found.metrics,
            recommendation,
            explanations,
            progress: whole.progress,
            expected_completion: whole.expected_completion,
        };
        Analysis { results, evidence }
    }

    /// Which part this is, and how to take it.
    fn preface(&self, segment: &Segment) -> String {
        let Segment { dimension, value } = segment;
        let who = match value.as_str() {
            NONE => format!("Only units that came without '{dimension}'"),
            OTHER => format!(
                "Only units whose '{dimension}' is none of the {VALUES} values that have a name"
            ),
            value => format!("Only units whose '{dimension}' is '{value}'"),
        };
        if self.of < 2 {
            return format!("{who}.");
        }
        let corrected = match self.experiment.definition.analysis.correction {
            Correction::None => "not corrected for that, as planned",
            Correction::Bonferroni | Correction::Holm | Correction::BenjaminiHochberg => {
                "corrected for all of them"
            }
        };
        format!(
            "{who}, one of {} values looked at; p-values are {corrected}. What turns up in a \
             segment is a hypothesis for the next experiment.",
            self.of
        )
    }
}
