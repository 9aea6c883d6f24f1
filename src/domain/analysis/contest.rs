//! A treatment paired with control: two estimates of the same quantity, ready to be tested.

use crate::domain::analysis::arm::Arm;
use crate::domain::counter::Row;
use crate::domain::experiment::AnalysisPlan;
use crate::domain::id::{MetricId, VariantId};
use crate::domain::metric::{Estimand, Metric};
use crate::stats::cuped;
use crate::stats::dd::Dd;
use crate::stats::mean_test::ArmEstimate;
use crate::stats::non_inferiority::ExposedArm;
use crate::stats::quantile::Distribution;

/// Relative error of estimates in double-double, with room to spare: 2^-96.
const ROUNDING: f64 = 1.262_177_448_353_618_8e-29;

/// One comparison before it is made.
pub(super) struct Contest<'a> {
    pub(super) metric: &'a MetricId,
    pub(super) control: &'a Arm<'a>,
    pub(super) treatment: &'a Arm<'a>,
    pub(super) quantile: Option<Order<'a>>,
    /// Control's and treatment's estimate, after variance reduction where a covariate is given.
    pub(super) estimates: Option<(ArmEstimate, ArmEstimate)>,
    pub(super) variance_reduction: Option<f64>,
    /// The design effects behind a quantile's standard errors.
    pub(super) design_effects: Option<(f64, f64)>,
}

/// Which quantile, and the distributions it is of.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) probability: f64,
    pub(super) distributions: Option<(&'a Distribution, &'a Distribution)>,
}

/// All contests of a treatment on a metric: one, or one per quantile.
pub(super) fn between<'a>(
    metric: &'a Metric,
    control: &'a Arm<'a>,
    treatment: &'a Arm<'a>,
) -> Vec<Contest<'a>> {
    if metric.estimand != Estimand::Quantile {
        return vec![of_means(metric, control, treatment)];
    }
    let orders = metric.quantiles.iter().enumerate();
    let contest = |(order, probability): (usize, &f64)| {
        of_quantile(metric, order, *probability, control, treatment)
    };
    orders.map(contest).collect()
}

fn of_means<'a>(metric: &'a Metric, control: &'a Arm<'a>, treatment: &'a Arm<'a>) -> Contest<'a> {
    let plain = control.estimate.ok().zip(treatment.estimate.ok());
    // Without a single covariate there is nothing to adjust by: then the plain estimates.
    let both = control.linearised.as_ref().zip(treatment.linearised.as_ref());
    let adjusted =
        both.and_then(|(control, treatment)| cuped::adjust_linearised(control, treatment).ok());
    Contest {
        metric: &metric.id,
        control,
        treatment,
        quantile: None,
        estimates: adjusted.map(|a| (a.control, a.treatment)).or(plain),
        variance_reduction: adjusted.map(|adjusted| adjusted.variance_reduction),
        design_effects: None,
    }
}

fn of_quantile<'a>(
    metric: &'a Metric,
    order: usize,
    probability: f64,
    control: &'a Arm<'a>,
    treatment: &'a Arm<'a>,
) -> Contest<'a> {
    let estimate = |arm: &Arm<'_>| arm.quantiles.get(order).copied().flatten();
    let both = estimate(control).zip(estimate(treatment));
    let distributions = control.distribution.as_ref().zip(treatment.distribution.as_ref());
    Contest {
        metric: &metric.id,
        control,
        treatment,
        quantile: Some(Order { probability, distributions }),
        estimates: both.map(|(control, treatment)| (control.arm(), treatment.arm())),
        variance_reduction: None,
        design_effects: both.map(|(control, treatment)| {
            (control.design_effect.factor, treatment.design_effect.factor)
        }),
    }
}

impl Contest<'_> {
    /// Treatment minus control; zero where it is no more than rounding of the sums.
    pub(super) fn difference(&self) -> Option<f64> {
        let (control, treatment) = self.estimates?;
        let difference = treatment.value - control.value;
        let rounding = control.value.abs() * Dd::from(ROUNDING);
        let difference = if difference.abs() <= rounding { Dd::ZERO } else { difference };
        Some(difference.to_f64()).filter(|difference| difference.is_finite())
    }

    /// Both estimates with the units behind them and what they add to the clock: outcomes.
    ///
    /// Where units return, evidence goes on growing while no new unit comes, and a clock in units
    /// runs ahead of it, whatever the estimand: totals per unit, too, grow with every visit
    /// (docs/statistics.md has what that costs).
    pub(super) fn exposed(&self) -> Option<(ExposedArm, ExposedArm)> {
        let (control, treatment) = self.estimates?;
        let arm = |arm: &Arm<'_>, estimate| ExposedArm {
            estimate,
            units: arm.units,
            clock: count(arm.moments.count),
        };
        Some((arm(self.control, control), arm(self.treatment, treatment)))
    }

    /// What the clock reads when the planned sample of these two arms is in: their share of all.
    pub(super) fn planned_end(&self, plan: &AnalysisPlan) -> Option<f64> {
        let share = f64::from(self.control.weight + self.treatment.weight) / 10_000.0;
        let per_unit = plan.planned_outcomes_per_unit;
        Some(count(plan.planned_units?) * share * per_unit).filter(|end| *end > 0.0)
    }

    /// Where the evidence of all looks is kept.
    pub(super) fn row(&self) -> Row<'_> {
        Row::Evidence {
            variant: self.treatment_id(),
            metric: self.metric,
            quantile: self.quantile.map(|order| order.probability),
        }
    }

    pub(super) fn treatment_id(&self) -> &VariantId {
        self.treatment.variant
    }
}

#[expect(clippy::cast_precision_loss, reason = "a clock; 2^53 units are out of reach")]
fn count(number: u64) -> f64 {
    number as f64
}
