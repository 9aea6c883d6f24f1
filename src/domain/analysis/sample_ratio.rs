//! Whether the split of exposed units is as configured.

use std::collections::BTreeMap;

use crate::domain::counter::Row;
use crate::domain::evidence::{number, ordered};
use crate::domain::experiment::{Experiment, Iteration};
use crate::domain::tally::Tally;
use crate::stats::srm;

/// Observed against configured split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// Pearson's statistic and its p-value, valid for one look.
    pub test: Option<srm::ChiSquared>,
    /// p-value valid at any time of looking: the smallest of all looks.
    pub sequential_p_value: Option<f64>,
    /// Whether the split is declared broken.
    pub mismatch: bool,
}

pub(super) fn check(
    experiment: &Experiment,
    iteration: &Iteration,
    tally: &Tally,
    evidence: &mut BTreeMap<String, Vec<i64>>,
) -> SampleRatio {
    // A retired variant (share 0) gets nobody and is not part of the split.
    let arms = iteration.variants.iter().zip(iteration.split.weights());
    let arms = arms.filter(|(_, weight)| *weight > 0);
    let (counts, weights): (Vec<u64>, Vec<f64>) = arms
        .map(|(id, weight)| (u64::try_from(tally.units(id)).unwrap_or_default(), f64::from(weight)))
        .unzip();
    let test = srm::chi_squared(&counts, &weights).ok();
    let look = srm::sequential(&counts, &weights, srm::DEFAULT_CONCENTRATION).ok();
    let row = Row::SplitEvidence;
    let known = tally.maxima(&row).first().copied().unwrap_or_default();
    let seen = look.map(|look| ordered(-look.ln_p_value)).unwrap_or_default();
    if seen > known {
        evidence.insert(row.to_string(), vec![seen]);
    }
    let surprise = number(seen.max(known)).max(0.0);
    let sequential_p_value = look.map(|_| (-surprise).exp().max(f64::MIN_POSITIVE));
    let alpha = experiment.definition.analysis.srm_alpha;
    SampleRatio { test, sequential_p_value, mismatch: sequential_p_value.is_some_and(|p| p < alpha) }
}
