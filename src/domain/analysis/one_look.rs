//! The fixed-horizon reading: tests that are valid for one look at the planned sample.

use crate::domain::analysis::ConfidenceInterval;
use crate::domain::analysis::contest::Contest;
use crate::domain::analysis::planned::Planned;
use crate::stats::lift::{Fieller, Lift};
use crate::stats::mean_test::{self, TTest};
use crate::stats::non_inferiority::{Guardrail, NonInferiority};

/// One look at a contest.
pub(super) struct OneLook {
    /// Welch over groups.
    pub(super) test: Option<TTest>,
    guarded: Option<NonInferiority>,
}

impl OneLook {
    pub(super) fn take(contest: &Contest<'_>, guardrail: Option<Guardrail>) -> Self {
        let estimates = contest.estimates;
        Self {
            test: estimates.and_then(|(c, t)| mean_test::welch_estimates(&c, &t).ok()),
            guarded: estimates.zip(guardrail).and_then(|((control, treatment), guardrail)| {
                guardrail.test(&control, &treatment).ok()
            }),
        }
    }

    pub(super) fn interval(&self, level: f64) -> Option<ConfidenceInterval> {
        self.test.and_then(|test| ConfidenceInterval::finite(test.interval(level), level))
    }

    pub(super) fn planned(&self, lift: Option<&Lift>, level: f64) -> Planned {
        Planned {
            difference_interval: self.interval(level),
            lift_interval: lift.and_then(|lift| fieller(lift, level)),
            p_value: self.test.map(|test| test.p_value),
            non_inferiority_p_value: self.guarded.map(|guarded| guarded.non_inferior.p_value),
            violation_p_value: self.guarded.map(|guarded| guarded.violated.p_value),
        }
    }
}

/// Absent where the control's mean may be zero: then the lift has no bounds.
fn fieller(lift: &Lift, level: f64) -> Option<ConfidenceInterval> {
    match lift.fieller(lift.critical_value(level)?) {
        Fieller::Bounded(bounds) => ConfidenceInterval::finite(bounds, level),
        Fieller::Exclusive(_) | Fieller::Unbounded => None,
    }
}
