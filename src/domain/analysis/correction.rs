//! Several comparisons at once: which p-values form a family, and how they are adjusted.
//!
//! Three kinds of question, three rules:
//! - the *primary* metric decides, so its comparisons (one per treatment and quantile) are a
//!   family of their own: no number of secondary metrics can cost it power;
//! - the *secondary* comparisons are one family;
//! - a *guardrail* is a gate, not a discovery: every one must be passed, which is a test of a
//!   union and needs no correction (Berger 1982). Its two-sided p-value is for description.
//!
//! Of several segments the families are those of all of them together.

use crate::domain::analysis::{Comparison, MetricResult};
use crate::domain::experiment::{AnalysisPlan, Correction};
use crate::domain::metric::Role;
use crate::stats::multiplicity;

pub(super) fn adjust(plan: &AnalysisPlan, metrics: Vec<&mut MetricResult>) {
    let (mut primary, mut secondary) = (Vec::new(), Vec::new());
    for metric in metrics {
        let tested = metric.comparisons.iter_mut().filter(|c| c.p_value.is_some());
        match metric.role {
            Role::Primary => primary.extend(tested),
            Role::Secondary => secondary.extend(tested),
            Role::Guardrail => tested.for_each(|gate| gate.adjusted_p_value = gate.p_value),
        }
    }
    adjust_family(plan.correction, primary);
    adjust_family(plan.correction, secondary);
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
