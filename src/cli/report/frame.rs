//! What the whole table knows and every row needs: who is compared, which families of comparisons
//! are corrected, and whether it is too early for a verdict.

use crate::rpc::pb::analysis_plan::{Correction, Method};
use crate::rpc::pb::metric::Role;
use crate::rpc::pb::{Experiment, ExperimentResults, MetricResult};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) control: String,
    /// In the order of the exposures; of the comparisons when there are none.
    pub(super) treatments: Vec<String>,
    /// A fixed horizon has one look, and it is not due yet.
    pub(super) early: bool,
    /// Comparisons of primary and of secondary metrics; none where nothing is corrected.
    families: [usize; 2],
}

impl Frame {
    pub(super) fn new(results: &ExperimentResults, experiment: &Experiment) -> Self {
        Self::of(results, &[results], experiment)
    }

    /// Of the values of a dimension: their comparisons are corrected together.
    pub(super) fn of_segments(
        whole: &ExperimentResults,
        segments: &[ExperimentResults],
        experiment: &Experiment,
    ) -> Self {
        Self::of(whole, &segments.iter().collect::<Vec<_>>(), experiment)
    }

    fn of(
        whole: &ExperimentResults,
        corrected: &[&ExperimentResults],
        experiment: &Experiment,
    ) -> Self {
        let plan = experiment.analysis.unwrap_or_default();
        let size = |role| {
            let metrics = corrected.iter().flat_map(|results| &results.metrics);
            let members = metrics.filter(|metric| family(metric.role()) == role);
            let members = members.flat_map(|metric: &MetricResult| &metric.comparisons);
            members.filter(|comparison| comparison.p_value.is_some()).count()
        };
        let families = match plan.correction() {
            Correction::None => [0, 0],
            Correction::Unspecified
            | Correction::Bonferroni
            | Correction::Holm
            | Correction::BenjaminiHochberg => [size(Some(0)), size(Some(1))],
        };
        Self {
            control: whole.exposures.first().map_or("control", |e| &e.variant_id).to_owned(),
            treatments: treatments(whole),
            early: plan.method() == Method::FixedHorizon
                && whole.progress.is_some_and(|progress| progress < 1.0),
            families,
        }
    }

    pub(super) fn several(&self) -> bool {
        self.treatments.len() > 1
    }

    /// Whether p-values of this role are adjusted for others beside them.
    pub(super) fn is_corrected(&self, role: Role) -> bool {
        family(role).and_then(|family| self.families.get(family)).is_some_and(|&size| size > 1)
    }
}

/// Guardrails are gates that must all be passed: they need no correction.
fn family(role: Role) -> Option<usize> {
    match role {
        Role::Primary => Some(0),
        Role::Secondary | Role::Unspecified => Some(1),
        Role::Guardrail => None,
    }
}

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
