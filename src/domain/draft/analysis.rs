//! The analysis plan as a request describes it.

use crate::domain::bucket::GroupCount;
use crate::domain::experiment::{AnalysisPlan, Correction, Method};
use crate::domain::violation::Violations;

/// As the message AnalysisPlan.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message AnalysisPlan of the contract")]
pub struct AnalysisDraft {
    pub method: Option<Method>,
    pub alpha: Option<f64>,
    pub power: Option<f64>,
    pub min_detectable_effect: Option<f64>,
    pub planned_units: Option<i64>,
    pub planned_outcomes_per_unit: Option<f64>,
    pub correction: Option<Correction>,
    pub srm_alpha: Option<f64>,
    pub groups: Option<u32>,
}

impl AnalysisDraft {
    /// Checks everything and fills in the defaults.
    pub(super) fn parse(&self, bad: &mut Violations) -> Option<AnalysisPlan> {
        let mut inner = Violations::new();
        let mut share = |field: &str, value: Option<f64>, default: f64, low: f64, high: f64| {
            let value = value.unwrap_or(default);
            if !(value > low && value < high) {
                inner.add(field, format!("must lie strictly between {low} and {high}"));
            }
            value
        };
        let alpha = share("alpha", self.alpha, 0.05, 0.0, 0.5);
        let power = share("power", self.power, 0.80, 0.0, 1.0);
        let srm_alpha = share("srm_alpha", self.srm_alpha, 0.000_5, 0.0, 0.5);
        if let Some(effect) = self.min_detectable_effect
            && !(effect.is_finite() && effect > 0.0)
        {
            inner.add("min_detectable_effect", "must be a positive number");
        }
        let planned_units = self.planned_units.and_then(|units| {
            let parsed = u64::try_from(units).ok().filter(|units| *units > 0);
            if parsed.is_none() {
                inner.add("planned_units", "must be positive");
            }
            parsed
        });
        let planned_outcomes_per_unit = self.planned_outcomes_per_unit.unwrap_or(1.0);
        if !(1.0..1e9).contains(&planned_outcomes_per_unit) {
            inner.add("planned_outcomes_per_unit", "must be at least 1 and below 1e9");
        }
        let groups = self.groups.map_or(Ok(GroupCount::DEFAULT), GroupCount::try_from);
        let groups = inner.check("groups", groups);
        bad.nest("analysis", inner);
        Some(AnalysisPlan {
            method: self.method.unwrap_or(Method::Sequential),
            alpha,
            power,
            min_detectable_effect: self.min_detectable_effect,
            planned_units,
            planned_outcomes_per_unit,
            correction: self.correction.unwrap_or(Correction::Holm),
            srm_alpha,
            groups: groups?,
        })
    }
}
