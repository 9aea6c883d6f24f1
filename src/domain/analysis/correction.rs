//! Several comparisons at once: which p-values form a family, and how they are adjusted.
//!
//! Three kinds of question, three rules:
//! - the *primary* metric decides, so its comparisons (one per treatment and quantile) are a
//!   family of their own: no number of secondary metrics can cost it power;
//! - the *secondary* comparisons are one family;
//! - a *guardrail* is a gate, not a discovery: every one must be passed, which is a test of a
//!   union and needs no correction (Berger 1982). Its two-sided p-value is for description.

use crate::domain::analysis::{Comparison, MetricResult};
use crate::domain::experiment::{AnalysisPlan, Correction};
use crate::domain::metric::Role;
use crate::stats::multiplicity;

pub(super) fn adjust(plan: &AnalysisPlan, metrics: &mut [MetricResult]) {
    for role in [Role::Primary, Role::Secondary] {
        let family = metrics.iter_mut().filter(|metric| metric.role == role);
        let family = family.flat_map(|metric| metric.comparisons.iter_mut());
        adjust_family(plan.correction, family.filter(|c| c.p_value.is_some()).collect());
    }
    let gates = metrics.iter_mut().filter(|metric| metric.role == Role::Guardrail);
    for comparison in gates.flat_map(|metric| metric.comparisons.iter_mut()) {
        comparison.adjusted_p_value = comparison.p_value;
    }
}

fn adjust_family(correction: Correction, family: Vec<&mut Comparison>) {
    let p_values: Vec<f64> = family.iter().filter_map(|comparison| comparison.p_value).collect();
    let adjusted = match correction {
        Correction::None => p_values,
        Correction::Bonferroni => multiplicity::bonferroni(&p_values),
        Correction::Holm => multiplicity::holm(&p_values),
        Correction::BenjaminiHochberg => multiplicity::benjamini_hochberg(&p_values),
    };
    for (comparison, p) in family.into_iter().zip(adjusted) {
        comparison.adjusted_p_value = Some(p);
    }
}
