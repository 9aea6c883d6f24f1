//! A/A experiments through the whole engine: what a request says, what a store would keep, what `GetResults` would
//! answer, and the evidence that stays from look to look.

use std::collections::BTreeMap;

use super::SimulateError;
use crate::domain::analysis::{Comparison, analyse};
use crate::domain::counter::Increment;
use crate::domain::draft::{AnalysisDraft, Draft, MetricDraft, VariantDraft};
use crate::domain::experiment::{Correction, Experiment, ShardCount, Timestamp};
use crate::domain::metric::{Direction, Estimand, Kind, Role};
use crate::domain::outcome::{OutcomeDraft, credit};
use crate::domain::segment::Segments;
use crate::domain::tally::Tally;
use crate::domain::value::Value;
use crate::stats::calibration::Noise;

/// What is compared, in the order of the answer of [`stream`].
pub const METRICS: [&str; 5] = ["mean", "CUPED mean", "ratio", "total per unit", "P95"];

const OUTCOMES: u32 = 10_000;
const EVERY: u32 = 100;

/// Units without a difference.
#[derive(Debug, Clone, Copy)]
pub struct Population {
    /// For the table.
    pub name: &'static str,
    /// How many there are; each outcome is of a random one.
    pub units: u32,
    /// Share of the latent variance between units.
    pub icc: f64,
    /// Deviation of the logarithm of how often a unit comes.
    pub activity: f64,
    /// How many outcomes the plan expects in all.
    pub planned_outcomes: u32,
}

/// Units that return: with a design effect of 7 planned to the end and to a quarter, and independent outcomes.
pub const POPULATIONS: [Population; 4] = [
    Population {
        name: "500 units, icc 0.3, plan: all",
        units: 500,
        icc: 0.3,
        activity: 0.0,
        planned_outcomes: OUTCOMES,
    },
    Population {
        name: "500 units, icc 0.3, plan: a quarter",
        units: 500,
        icc: 0.3,
        activity: 0.0,
        planned_outcomes: OUTCOMES / 4,
    },
    Population {
        name: "500 units, icc 0, plan: all",
        units: 500,
        icc: 0.0,
        activity: 0.0,
        planned_outcomes: OUTCOMES,
    },
    Population {
        name: "1,000 units of unequal activity, icc 0.3, plan: all",
        units: 1_000,
        icc: 0.3,
        activity: 1.0,
        planned_outcomes: OUTCOMES,
    },
];

/// Whether a winner was ever called, by metric, and last by the naive test on the outcomes of the first.
///
/// # Errors
/// [`SimulateError::Experiment`] if the experiment is refused.
pub fn stream(
    population: &Population,
    alpha: f64,
    noise: &mut Noise<'_>,
) -> Result<Vec<bool>, SimulateError> {
    let experiment = experiment(population, alpha).map_err(SimulateError::Experiment)?;
    let refused = |reason: &dyn std::fmt::Display| SimulateError::Experiment(reason.to_string());
    let iteration = experiment.current().ok_or_else(|| refused(&"it has no iteration"))?;
    let mut units = Units::new(population, noise);
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut called = vec![false; METRICS.len() + 1];
    for number in 1..=OUTCOMES {
        let (draft, is_new) = units.next_outcome(noise);
        let credited = credit(&experiment, &draft).map_err(|reason| refused(&reason))?;
        let Some(credited) = credited else { continue };
        let event = credited.event(&Segments::NONE);
        let exposure = event.if_unit_is_new.into_iter().filter(|_| is_new);
        event.increments.into_iter().chain(exposure).for_each(|one| add(&mut rows, one));
        if number.is_multiple_of(EVERY) {
            let mut tally = Tally::new(iteration.layout);
            tally.absorb(0, rows.clone()).map_err(|reason| refused(&reason))?;
            let analysis = analyse(&experiment, iteration, &tally, Timestamp(2));
            // What a store does with the evidence: the larger of two values stays.
            rows.extend(analysis.evidence);
            for (called, metric) in called.iter_mut().zip(METRICS) {
                let found =
                    analysis.results.metrics.iter().find(|of| of.metric.as_str() == id(metric));
                let comparisons = found.map(|of| of.comparisons.as_slice()).unwrap_or_default();
                *called |= comparisons.iter().any(|c| c.p_value.is_some_and(|p| p < alpha));
            }
            let first = analysis.results.metrics.first().and_then(|of| of.comparisons.first());
            if let Some(last) = called.last_mut() {
                *last |= first.and_then(naive).is_some_and(|p| p < alpha);
            }
        }
    }
    Ok(called)
}

fn naive(comparison: &Comparison) -> Option<f64> {
    comparison.naive.map(|test| test.welch.p_value)
}

fn id(metric: &str) -> String {
    metric.to_lowercase().replace(' ', "_")
}

fn add(rows: &mut BTreeMap<String, Vec<i64>>, increment: Increment) {
    let row = rows.entry(increment.row).or_default();
    let column = usize::try_from(increment.column).unwrap_or_default();
    row.resize(row.len().max(column + 1), 0);
    if let Some(counter) = row.get_mut(column) {
        *counter += increment.amount;
    }
}

/// Two arms, and every estimand there is.
fn experiment(population: &Population, alpha: f64) -> Result<Experiment, String> {
    let variant = |id: &str, control| VariantDraft {
        variant_id: id.to_owned(),
        weight_basis_points: 5_000,
        control,
        ..VariantDraft::default()
    };
    let metric = |name: &str, kind, estimand| MetricDraft {
        metric_id: id(name),
        kind: Some(kind),
        direction: Some(Direction::Increase),
        role: Some(if name == "mean" { Role::Primary } else { Role::Secondary }),
        estimand: Some(estimand),
        ..MetricDraft::default()
    };
    let [mean, cuped, ratio, total, p95] = METRICS;
    let per_unit = f64::from(population.planned_outcomes) / f64::from(population.units);
    let draft = Draft {
        experiment_id: "simulated".to_owned(),
        variants: vec![variant("control", true), variant("treatment", false)],
        metrics: vec![
            metric(mean, Kind::Continuous, Estimand::MeanPerOutcome),
            MetricDraft {
                covariate: "before".to_owned(),
                ..metric(cuped, Kind::Continuous, Estimand::MeanPerOutcome)
            },
            MetricDraft {
                denominator_metric_id: id(p95),
                ..metric(ratio, Kind::Continuous, Estimand::Ratio)
            },
            metric(total, Kind::Continuous, Estimand::TotalPerUnit),
            MetricDraft {
                quantiles: vec![0.95],
                ..metric(p95, Kind::Duration, Estimand::Quantile)
            },
        ],
        analysis: AnalysisDraft {
            alpha: Some(alpha),
            planned_units: Some(i64::from(population.units)),
            planned_outcomes_per_unit: Some(per_unit),
            correction: Some(Correction::None),
            ..AnalysisDraft::default()
        },
        ..Draft::default()
    };
    let definition = draft.parse().map_err(|violations| violations.to_string())?;
    Experiment::create(definition, ShardCount::ONE, Timestamp(0))
        .start(Timestamp(1))
        .map_err(|reason| reason.to_string())
}

struct Unit {
    inclination: f64,
    seen: bool,
}

/// The units of one stream; their names are new in every stream, so that arms and groups are drawn anew.
struct Units {
    stream: u64,
    icc: f64,
    known: Vec<Unit>,
    /// Cumulated activity, for drawing a unit.
    activity: Vec<f64>,
}

impl Units {
    fn new(population: &Population, noise: &mut Noise<'_>) -> Self {
        let count = population.units;
        let known = (0..count).map(|_| Unit { inclination: noise.normal(), seen: false }).collect();
        let mut total = 0.0;
        let activity = (0..count)
            .map(|_| {
                total += (population.activity * noise.normal()).exp();
                total
            })
            .collect();
        let [high, low] = [noise.below(1 << 31), noise.below(1 << 31)];
        let stream = u64::try_from(high << 31 | low).unwrap_or_default();
        Self { stream, icc: population.icc, known, activity }
    }

    fn next_outcome(&mut self, noise: &mut Noise<'_>) -> (OutcomeDraft, bool) {
        let total = self.activity.last().copied().unwrap_or_default();
        let position = total
            * (f64::from(u32::try_from(noise.below(1 << 31)).unwrap_or_default())
                / 2_147_483_648.0);
        let index = self.activity.partition_point(|end| *end <= position);
        let (inclination, is_new) = self.known.get_mut(index).map_or((0.0, false), |unit| {
            (unit.inclination, !std::mem::replace(&mut unit.seen, true))
        });
        let latent = self.icc.sqrt() * inclination + (1.0 - self.icc).sqrt() * noise.normal();
        let rounded = |value: f64| (1e4 * value).round() / 1e4;
        let duration = rounded((0.5 * latent).exp());
        let [mean, cuped, ratio, total, p95] = METRICS.map(id);
        let latent = rounded(latent);
        // Correlated with the outcome where units differ, as a past value is.
        let before = rounded(inclination + 0.5 * noise.normal());
        let draft = OutcomeDraft {
            unit_id: format!("{}-{index}", self.stream),
            values: [
                (mean, latent),
                (cuped, latent),
                (ratio, latent + 3.0 * duration),
                (total, latent + 2.0),
                (p95, duration),
            ]
            .into(),
            attributes: [("before".to_owned(), Value::Number(before))].into(),
            ..OutcomeDraft::default()
        };
        (draft, is_new)
    }
}
