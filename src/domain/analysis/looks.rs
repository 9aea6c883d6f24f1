//! The sequential reading: what all looks so far show, this one included.

use crate::domain::analysis::ConfidenceInterval;
use crate::domain::analysis::contest::Contest;
use crate::domain::analysis::planned::Planned;
use crate::domain::evidence::Evidence;
use crate::domain::experiment::AnalysisPlan;
use crate::stats::lift::{Fieller, Lift};
use crate::stats::non_inferiority::Guardrail;
use crate::stats::quantile::always_valid::{DEFAULT_TUNING_COUNT, QuantileTest};
use crate::stats::sequential::{DEFAULT_TUNING, Look, Rule, SequentialTest};

/// What all looks so far show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequentialReading {
    /// The smallest so far.
    pub p_value: f64,
    /// The intersection so far; absent while it has no end.
    pub interval: Option<ConfidenceInterval>,
}

/// All looks at a contest.
pub(super) struct Looks {
    /// What this look says by itself; none while there is too little data.
    alone: Option<SequentialTest>,
    guarded: bool,
    /// What all of them say.
    pub(super) seen: Evidence,
}

impl Looks {
    pub(super) fn take(
        plan: &AnalysisPlan,
        contest: &Contest<'_>,
        lift: Option<&Lift>,
        guardrail: Option<Guardrail>,
        known: Evidence,
    ) -> Self {
        let guarded = guardrail.is_some();
        let Some((rule, look)) = rule(plan, contest).zip(look(contest)) else {
            return Self { alone: None, guarded, seen: known };
        };
        let alone = rule.look(&look);
        let mut evidence = Evidence {
            ln_p_value: quantile_p_value(plan, contest).unwrap_or(alone.ln_p_value),
            difference: alone.interval,
            ..Evidence::NONE
        };
        let radius = 0.5 * (alone.interval.upper - alone.interval.lower);
        if let Some(lift) = lift
            && radius.is_finite()
            // The critical value by which the difference's interval was made.
            && let Fieller::Bounded(bounds) = lift.fieller(radius / look.standard_error)
        {
            evidence.lift = bounds;
        }
        if let Some((guardrail, (control, treatment))) = guardrail.zip(contest.exposed())
            && let Ok(shown) = guardrail.look(&control, &treatment, &rule)
        {
            evidence.ln_p_non_inferior = shown.non_inferior.ln_p_value;
            evidence.ln_p_violated = shown.violated.ln_p_value;
        }
        Self { alone: Some(alone), guarded, seen: known.and(evidence).as_kept() }
    }

    /// The smallest p-value and the intersection of the intervals. Should looks contradict each
    /// other (the effect has changed, or this is one of the alpha experiments), this look speaks
    /// for itself.
    pub(super) fn reading(&self, level: f64) -> Option<SequentialReading> {
        let alone = self.alone?;
        let interval = ConfidenceInterval::finite(self.seen.difference, level)
            .or_else(|| ConfidenceInterval::finite(alone.interval, level));
        Some(SequentialReading { p_value: probability(self.seen.ln_p_value), interval })
    }

    pub(super) fn planned(&self, level: f64) -> Planned {
        let Some(reading) = self.reading(level) else { return Planned::default() };
        let guarded = |ln_p_value| self.guarded.then(|| probability(ln_p_value));
        Planned {
            difference_interval: reading.interval,
            lift_interval: ConfidenceInterval::finite(self.seen.lift, level),
            p_value: Some(reading.p_value),
            non_inferiority_p_value: guarded(self.seen.ln_p_non_inferior),
            violation_p_value: guarded(self.seen.ln_p_violated),
        }
    }
}

fn rule(plan: &AnalysisPlan, contest: &Contest<'_>) -> Option<Rule> {
    match contest.planned_end(plan) {
        Some(end) => Rule::planned(plan.alpha, end),
        None => Rule::open_ended(plan.alpha, DEFAULT_TUNING),
    }
    .ok()
}

fn look(contest: &Contest<'_>) -> Option<Look> {
    let (control, treatment) = contest.exposed()?;
    Look::of_estimates(&control.estimate, control.units, &treatment.estimate, treatment.units)
        .map(|look| look.at_clock(control.clock + treatment.clock))
        .ok()
}

/// Howard and Ramdas (2022) from the bins: exact where a normal approximation of a tail is not.
fn quantile_p_value(plan: &AnalysisPlan, contest: &Contest<'_>) -> Option<f64> {
    let order = contest.quantile?;
    let (control, treatment) = order.distributions?;
    let test = QuantileTest::new(order.probability, DEFAULT_TUNING_COUNT, plan.alpha).ok()?;
    Some(test.look(control, treatment, contest.design_effects?).ln_p_value)
}

/// Never 0: nothing is impossible, and a logarithm of it must exist.
fn probability(ln_p_value: f64) -> f64 {
    ln_p_value.exp().max(f64::MIN_POSITIVE)
}
