//! How many units a design needs.
//!
//! The unit is randomised, the outcome is measured: with `m` outcomes per unit of intraclass
//! correlation `icc`, a mean over outcomes has the variance of independent ones times the design
//! effect `1 + (m - 1) icc` (Kish 1965, section 8.2), so the units needed are the outcomes of the
//! t-test times that effect over `m`.
//!
//! Under the sequential rule the units are those of the plan: the sample at which the rule, looked
//! at all the time on the way, has the power wanted ([`sequential::inflation`]).

use crate::domain::experiment::Method;
use crate::domain::violation::Violations;
use crate::stats::Undefined;
use crate::stats::distribution::{normal_cdf, normal_isf};
use crate::stats::power::{self, Requirement};
use crate::stats::sequential;
use crate::stats::tail::Alternative;

/// A design as a request describes it; `None` means unset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesignDraft {
    /// The metric.
    pub metric: Option<MetricDesign>,
    /// The smallest effect worth detecting.
    pub effect: Option<Effect>,
    /// Two-sided level; unset means 0.05.
    pub alpha: Option<f64>,
    /// Unset means 0.80.
    pub power: Option<f64>,
    /// Treatment units per control unit; unset means 1.
    pub allocation_ratio: Option<f64>,
    /// Treatments compared with control; 0 means 1.
    pub treatments: u32,
    /// Unset means 1.
    pub outcomes_per_unit: Option<f64>,
    /// Unset means 0.
    pub intraclass_correlation: Option<f64>,
    /// For the duration.
    pub daily_units: Option<f64>,
    /// Unset means a fixed horizon.
    pub method: Option<Method>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricDesign {
    /// A binary metric.
    Proportion {
        /// In (0, 1).
        baseline_rate: f64,
    },
    /// A metric with a mean.
    Mean {
        /// Positive.
        standard_deviation: f64,
        /// Needed for relative effects.
        baseline_mean: Option<f64>,
    },
}

/// An effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// In the unit of the metric.
    Absolute(f64),
    /// As a share of the baseline.
    Relative(f64),
}

/// A design that can be computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    standardised_effect: f64,
    requirement: Requirement,
    alpha: f64,
    power: f64,
    treatments: u32,
    outcomes_per_unit: f64,
    variance_inflation: f64,
    daily_units: Option<f64>,
    method: Method,
    /// The treatment's variance over control's.
    variance_ratio: f64,
}

/// What a design needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleSizePlan {
    /// Units in control.
    pub control_units: u64,
    /// Units in each treatment.
    pub treatment_units: u64,
    /// All units.
    pub total_units: u64,
    /// Cohen's d.
    pub effect_size: f64,
    /// Power with these integers.
    pub achieved_power: f64,
    /// `1 + (m - 1) icc`.
    pub design_effect: f64,
    /// How long the units take to arrive, in days.
    pub days: Option<f64>,
    /// The power that the treatment's own variance leaves, where that is notably less: Cohen's d
    /// of a rate takes the baseline's for both arms.
    pub power_of_rates: Option<f64>,
}

/// A loss of power worth a warning.
const NOTABLE: f64 = 0.02;

const LARGEST_TOTAL: u64 = i64::MAX as u64;

impl DesignDraft {
    /// Checks everything.
    ///
    /// # Errors
    /// All violations, with the paths of the request.
    pub fn parse(&self) -> Result<Design, Violations> {
        let mut bad = Violations::new();
        let effect_size = self.effect_size(&mut bad);
        let alpha = self.alpha.unwrap_or(0.05);
        let power = self.power.unwrap_or(0.80);
        within("alpha", alpha, 0.0, 0.5, &mut bad);
        // A bad alpha is no reason to blame the power.
        let least_power = if alpha.is_nan() { 0.0 } else { alpha.clamp(0.0, 0.5) };
        within("power", power, least_power, 1.0, &mut bad);
        let ratio = self.allocation_ratio.unwrap_or(1.0);
        within("allocation_ratio", ratio, 0.0, 1e6, &mut bad);
        let treatments = self.treatments.max(1);
        if treatments > 31 {
            bad.add("treatment_count", "must be at most 31");
        }
        let outcomes = self.outcomes_per_unit.unwrap_or(1.0);
        if !(1.0..1e9).contains(&outcomes) {
            bad.add("outcomes_per_unit", "must be at least 1 and below 1e9");
        }
        let icc = self.intraclass_correlation.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&icc) {
            bad.add("intraclass_correlation", "must lie in 0 to 1");
        }
        if self.daily_units.is_some_and(|daily| !(daily.is_finite() && daily > 0.0)) {
            bad.add("daily_units", "must be a positive number");
        }
        // Bonferroni over the treatments, as the field's documentation says.
        let alpha = alpha / f64::from(treatments);
        let requirement = Requirement::new(alpha, power, ratio);
        match (effect_size, requirement) {
            (Some(effect_size), Ok(requirement)) if bad.is_empty() => Ok(Design {
                standardised_effect: effect_size,
                requirement,
                alpha,
                power,
                treatments,
                outcomes_per_unit: outcomes,
                variance_inflation: 1.0 + (outcomes - 1.0) * icc,
                daily_units: self.daily_units,
                method: self.method.unwrap_or(Method::FixedHorizon),
                variance_ratio: self.variance_ratio(),
            }),
            (_, requirement) => {
                if bad.is_empty() {
                    bad.check("power", requirement);
                }
                Err(bad)
            }
        }
    }

    fn effect_size(&self, bad: &mut Violations) -> Option<f64> {
        let no_effect = "must be set: absolute_effect or relative_effect";
        let Some(metric) = self.metric else {
            bad.add("design", "must be set: proportion or mean");
            if self.effect.is_none() {
                bad.add("effect", no_effect);
            }
            return None;
        };
        let baseline = match metric {
            MetricDesign::Proportion { baseline_rate } => Some(baseline_rate),
            MetricDesign::Mean { baseline_mean, .. } => baseline_mean,
        };
        let effect = match (self.effect, baseline) {
            (None, _) => {
                bad.add("effect", no_effect);
                None
            }
            (Some(Effect::Absolute(effect)), _) => nonzero("absolute_effect", effect, bad),
            (Some(Effect::Relative(_)), None) => {
                bad.add("mean.baseline_mean", "is needed for a relative effect");
                None
            }
            (Some(Effect::Relative(share)), Some(baseline)) => {
                nonzero("relative_effect", share * baseline, bad)
            }
        };
        match metric {
            MetricDesign::Proportion { baseline_rate } => {
                within("proportion.baseline_rate", baseline_rate, 0.0, 1.0, bad);
                if effect.is_some_and(|effect| !(0.0..=1.0).contains(&(baseline_rate + effect))) {
                    bad.add("effect", "leads to a rate outside 0 to 1");
                }
                effect.and_then(|effect| power::effect_size(baseline_rate, effect).ok())
            }
            MetricDesign::Mean { standard_deviation: sd, .. } => {
                if !(sd.is_finite() && sd > 0.0) {
                    bad.add("mean.standard_deviation", "must be a positive number");
                }
                effect.map(|effect| effect / sd).filter(|d| d.is_finite())
            }
        }
    }
}

impl DesignDraft {
    /// `p_t (1 - p_t) / (p_c (1 - p_c))` of rates; 1 of means, whose spread is given for both arms.
    fn variance_ratio(&self) -> f64 {
        match (self.metric, self.effect) {
            (Some(MetricDesign::Proportion { baseline_rate: p }), Some(effect)) => {
                let treated = match effect {
                    Effect::Absolute(effect) => p + effect,
                    Effect::Relative(share) => p + share * p,
                };
                treated * (1.0 - treated) / (p * (1.0 - p))
            }
            (Some(MetricDesign::Proportion { .. } | MetricDesign::Mean { .. }) | None, _) => 1.0,
        }
    }
}

fn within(field: &str, value: f64, low: f64, high: f64, bad: &mut Violations) {
    if !(value > low && value < high) {
        bad.add(field, format!("must lie strictly between {low} and {high}"));
    }
}

fn nonzero(field: &str, effect: f64, bad: &mut Violations) -> Option<f64> {
    let valid = effect.is_finite() && effect.abs() > 0.0;
    if !valid {
        bad.add(field, "must lead to an effect other than 0");
    }
    valid.then_some(effect)
}

impl Design {
    /// Computes the sizes.
    ///
    /// # Errors
    /// A violation of `effect` when it is so small that no number of units is enough.
    pub fn plan(&self) -> Result<SampleSizePlan, Violations> {
        let too_small = || Violations::of("effect", "is too small: it needs more than 1e15 units");
        let size = power::sample_size(self.standardised_effect.abs(), &self.requirement)
            .map_err(|_| too_small())?;
        let per_unit = self.variance_inflation / self.outcomes_per_unit;
        let growth = match self.method {
            Method::FixedHorizon => 1.0,
            Method::Sequential => {
                sequential::inflation(self.alpha, self.power).map_err(|_| too_small())?
            }
        };
        let units = |outcomes: f64| whole(outcomes * per_unit * growth);
        let (control_units, treatment_units) = (units(size.control), units(size.treatment));
        let total_units = treatment_units
            .checked_mul(self.treatments.into())
            .and_then(|treated| treated.checked_add(control_units))
            .filter(|total| *total <= LARGEST_TOTAL)
            .ok_or_else(too_small)?;
        let outcomes = (count(control_units) / per_unit, count(treatment_units) / per_unit);
        let achieved_power = self.achieved_power(outcomes).map_err(|_| too_small())?;
        Ok(SampleSizePlan {
            control_units,
            treatment_units,
            total_units,
            effect_size: self.standardised_effect,
            achieved_power,
            design_effect: self.variance_inflation,
            days: self.daily_units.map(|daily| count(total_units) / daily),
            power_of_rates: self
                .power_of_rates(outcomes)
                .filter(|power| *power < achieved_power - NOTABLE),
        })
    }

    /// By both arms' own variances, in the normal approximation.
    fn power_of_rates(&self, (control, treatment): (f64, f64)) -> Option<f64> {
        let spread = (1.0 / control + self.variance_ratio / treatment).sqrt();
        let delta = self.standardised_effect.abs() / spread;
        match self.method {
            Method::FixedHorizon => Some(normal_cdf(delta - normal_isf(0.5 * self.alpha))),
            Method::Sequential => sequential::planned_power(delta, self.alpha).ok(),
        }
    }

    /// With effective outcomes in control and treatment.
    fn achieved_power(&self, (control, treatment): (f64, f64)) -> Result<f64, Undefined> {
        let effect = self.standardised_effect.abs();
        match self.method {
            Method::FixedHorizon => {
                power::power(effect, control, treatment, self.alpha, Alternative::TwoSided)
            }
            Method::Sequential => {
                let delta = effect / control.recip().sqrt().hypot(treatment.recip().sqrt());
                sequential::planned_power(delta, self.alpha)
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes are positive; the cast saturates"
)]
fn whole(units: f64) -> u64 {
    // Two at the least: a single unit has no variance.
    units.ceil().max(2.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "sizes lie below 1e15")]
fn count(units: u64) -> f64 {
    units as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> DesignDraft {
        DesignDraft {
            metric: Some(MetricDesign::Proportion { baseline_rate: 0.75 }),
            effect: Some(Effect::Absolute(0.05)),
            ..DesignDraft::default()
        }
    }

    #[test]
    fn equals_statsmodels() {
        let plan = draft().parse().unwrap().plan().unwrap();
        assert_eq!(
            (plan.control_units, plan.treatment_units, plan.total_units),
            (1179, 1179, 2358)
        );
        assert!(plan.achieved_power >= 0.80 && plan.achieved_power < 0.801);
    }

    #[test]
    fn alike_outcomes_cost_units() {
        let alike = DesignDraft {
            outcomes_per_unit: Some(6.0),
            intraclass_correlation: Some(0.3),
            ..draft()
        };
        let plan = alike.parse().unwrap().plan().unwrap();
        assert!((plan.design_effect - 2.5).abs() < 1e-12);
        // 1,178.29 outcomes x 2.5 / 6 outcomes per unit.
        assert_eq!(plan.control_units, 491);
    }

    #[test]
    fn a_rate_that_moves_towards_a_half_needs_more_and_says_so() {
        let rare = DesignDraft {
            metric: Some(MetricDesign::Proportion { baseline_rate: 0.05 }),
            ..draft()
        };
        let plan = rare.parse().unwrap().plan().unwrap();
        assert_eq!(plan.control_units, 300, "as statsmodels' TTestIndPower");
        assert!((plan.power_of_rates.unwrap() - 0.65).abs() < 0.01, "{:?}", plan.power_of_rates);
        assert_eq!(draft().parse().unwrap().plan().unwrap().power_of_rates, None);
    }

    #[test]
    fn a_sequential_plan_needs_an_eighth_more() {
        let sequential = DesignDraft { method: Some(Method::Sequential), ..draft() };
        let plan = sequential.parse().unwrap().plan().unwrap();
        assert_eq!(plan.control_units, 1_327);
        assert!(plan.achieved_power >= 0.80 && plan.achieved_power < 0.801);
    }

    #[test]
    fn every_fault_is_named() {
        let nothing = DesignDraft { alpha: Some(2.0), ..DesignDraft::default() };
        let faults = nothing.parse().unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["design", "effect", "alpha"]);
        let impossible = DesignDraft { effect: Some(Effect::Absolute(0.4)), ..draft() };
        assert_eq!(impossible.parse().unwrap_err().iter().next().unwrap().field, "effect");
    }
}
