//! What is measured, and which values a metric takes.

use serde::{Deserialize, Serialize};

use crate::domain::id::MetricId;
use crate::stats::decimal::{Decimal, NotCountable};

/// The domain of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// 0 or 1.
    Binary,
    /// Any finite number.
    Continuous,
    /// Non-negative seconds. Keeps a quantile sketch.
    Duration,
    /// Non-negative amounts. Keeps a quantile sketch.
    Amount,
}

impl Kind {
    /// Whether the values of this kind are counted in logarithmic bins.
    #[must_use]
    pub fn has_sketch(self) -> bool {
        matches!(self, Self::Duration | Self::Amount)
    }
}

/// The quantity that is estimated and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Estimand {
    /// Sum of values over number of outcomes.
    MeanPerOutcome,
    /// Sum of values over number of exposed units.
    TotalPerUnit,
    /// Sum of values over sum of another metric's values.
    Ratio,
    /// The metric's quantiles, one by one.
    Quantile,
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Higher is better.
    Increase,
    /// Lower is better.
    Decrease,
}

/// What the metric decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Decides the experiment.
    Primary,
    /// Reported, with correction for multiplicity.
    Secondary,
    /// Must be shown not to get worse than its margin.
    Guardrail,
}

/// A metric of an experiment. Valid by construction ([`crate::domain::draft`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub id: MetricId,
    /// The domain of its values.
    pub kind: Kind,
    /// Which way is good.
    pub direction: Direction,
    /// What it decides.
    pub role: Role,
    /// What is estimated.
    pub estimand: Estimand,
    /// Probabilities of the quantiles to report, each in (0, 1), ascending. Empty for kinds
    /// without a sketch.
    pub quantiles: Vec<f64>,
    /// The metric below the line of [`Estimand::Ratio`].
    pub denominator: Option<MetricId>,
    /// Values below are clamped to it.
    pub min_value: Option<f64>,
    /// Values above are clamped to it.
    pub max_value: Option<f64>,
    /// Tolerated relative harm; always there for [`Role::Guardrail`].
    pub non_inferiority_margin: Option<f64>,
    /// Numeric attribute with the metric's value before the experiment.
    pub covariate: Option<String>,
    /// Unit for people.
    pub unit: String,
    /// For people.
    pub description: String,
}

/// Why a number is not a value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum InvalidMetricValue {
    /// NaN, infinite or too large.
    #[error(transparent)]
    Number(#[from] NotCountable),
    /// Neither 0 nor 1.
    #[error("is {0}, but a binary metric takes 0 or 1")]
    NotBinary(f64),
    /// Below zero.
    #[error("is {0}, but durations and amounts are not negative")]
    Negative(f64),
}

impl Metric {
    /// Checks a value against the metric's kind and clamps it to its bounds (winsorising: bounds
    /// are fixed before the start, so every value is treated alike whenever it arrives).
    ///
    /// # Errors
    /// [`InvalidMetricValue`] when it is not finite, too large or outside the kind's domain.
    pub fn value(&self, raw: f64) -> Result<MetricValue, InvalidMetricValue> {
        if !raw.is_finite() {
            return Err(NotCountable::NotFinite.into());
        }
        match self.kind {
            Kind::Binary if ![0.0, 1.0].contains(&raw) => {
                return Err(InvalidMetricValue::NotBinary(raw));
            }
            Kind::Duration | Kind::Amount if raw < 0.0 => {
                return Err(InvalidMetricValue::Negative(raw));
            }
            Kind::Binary | Kind::Continuous | Kind::Duration | Kind::Amount => {}
        }
        let clamped = raw
            .max(self.min_value.unwrap_or(f64::NEG_INFINITY))
            .min(self.max_value.unwrap_or(f64::INFINITY));
        Ok(MetricValue { number: clamped, decimal: Decimal::try_from(clamped)? })
    }
}

/// A value that a metric accepted, with its exact decimal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricValue {
    /// As a float, for the logarithmic bin.
    pub number: f64,
    /// As the shortest decimal, for the sums.
    pub decimal: Decimal,
}
