//! A method with its boundaries, ready for millions of looks.

use super::arm::{Arm, Estimate};
use super::{Clock, Method, Scenario, real};
use crate::stats::mean_test::TTest;
use crate::stats::sequential::{Look, ObrienFleming, Rule};
use crate::stats::{Interval, Undefined};

/// A look before it is judged, with squares in place of roots.
pub(super) struct Moment {
    difference: f64,
    variance: f64,
    arms: [Estimate; 2],
    clock: f64,
}

/// A method with its boundaries tabulated.
pub(super) struct Judge {
    pub(super) method: Method,
    alpha: f64,
    clock: Clock,
    rule: Rule,
    planned: ObrienFleming,
    /// Least `z²` that can be rejected, by the clock.
    squared_boundary: Vec<f64>,
}

impl Judge {
    pub(super) fn new(method: Method, scenario: &Scenario) -> Result<Self, Undefined> {
        let (alpha, plan) = (scenario.alpha, scenario.planned);
        let mut judge = Self {
            method,
            alpha,
            clock: scenario.clock,
            rule: match method {
                Method::TwoClock => Rule::planned(alpha, plan)?,
                Method::Naive | Method::OpenEnded | Method::ObrienFleming => {
                    Rule::open_ended(alpha, plan)?
                }
            },
            planned: ObrienFleming::new(plan)?,
            squared_boundary: Vec::new(),
        };
        let boundary = |clock| {
            judge.interval(&Look {
                difference: 0.0,
                standard_error: 1.0,
                degrees_of_freedom: 1e18,
                clock: real(clock),
            })
        };
        // Just inside, so that rounding never hides a rejection from the proper test.
        let squared = |clock| boundary(clock).upper.powi(2) * (1.0 - 1e-9);
        judge.squared_boundary =
            std::iter::once(f64::INFINITY).chain((1..=scenario.outcomes).map(squared)).collect();
        Ok(judge)
    }

    pub(super) fn moment(&self, control: &Arm, treatment: &Arm) -> Moment {
        let (c, t) = match self.method {
            Method::Naive => (control.single, treatment.single),
            Method::OpenEnded | Method::ObrienFleming | Method::TwoClock => {
                (control.clustered, treatment.clustered)
            }
        };
        let mut variance = c.variance + t.variance;
        if self.method != Method::Naive {
            // The guard of `Look::of_estimates`, squared.
            let (n_c, n_t) = (control.units, treatment.units);
            let pooled = (c.variance * n_c * n_c + t.variance * n_t * n_t) / (n_c * n_t);
            variance = variance.max(pooled);
        }
        let clock = match self.clock {
            Clock::Units => control.units + treatment.units,
            Clock::Outcomes => control.outcomes + treatment.outcomes,
        };
        Moment { difference: t.value - c.value, variance, arms: [c, t], clock }
    }

    /// Whether the hypothesis of that difference is rejected.
    pub(super) fn rejects(&self, moment: &Moment, hypothesis: f64) -> bool {
        let [c, t] = &moment.arms;
        let defined = c.degrees_of_freedom >= 1.0 && t.degrees_of_freedom >= 1.0;
        let difference = moment.difference - hypothesis;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number, at most the number of outcomes"
        )]
        let boundary = self.squared_boundary.get(moment.clock as usize).copied();
        let passes = difference * difference > boundary.unwrap_or(0.0) * moment.variance;
        defined && passes && moment.variance > 0.0 && self.rejects_properly(moment, difference)
    }

    fn rejects_properly(&self, moment: &Moment, difference: f64) -> bool {
        let [c, t] = &moment.arms;
        let total = c.variance + t.variance;
        let part = |arm: &Estimate| (arm.variance / total).powi(2) / arm.degrees_of_freedom;
        let look = Look {
            difference,
            standard_error: moment.variance.sqrt(),
            degrees_of_freedom: (part(c) + part(t)).recip(),
            clock: moment.clock,
        };
        !self.interval(&look).contains(0.0)
    }

    fn interval(&self, look: &Look) -> Interval {
        let everything = Interval { lower: f64::NEG_INFINITY, upper: f64::INFINITY };
        match self.method {
            Method::Naive => {
                TTest::new(look.difference, look.standard_error, look.degrees_of_freedom)
                    .map_or(everything, |test| test.interval(1.0 - self.alpha))
            }
            Method::ObrienFleming if look.clock > self.planned.end() => everything,
            Method::ObrienFleming => self.planned.interval(look, self.alpha),
            Method::OpenEnded | Method::TwoClock => self.rule.look(look).interval,
        }
    }
}
