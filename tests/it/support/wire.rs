//! Messages of the contract to send, and units whose arm is known.

use std::collections::BTreeMap;

use prost_types::value::Kind as ValueKind;
use prost_types::{ListValue, Struct, Value};
use tiebreak::domain::bucket::Salt;
use tiebreak::domain::id::UnitId;
use tiebreak::rpc::pb;

/// A valid draft: two arms of one half each, `control` and `treatment`, and a metric of every
/// kind, of which `solved` is the primary one.
pub(crate) fn experiment(id: &str) -> pb::Experiment {
    use pb::metric::{Direction, Kind, Role};
    let increase = Direction::Increase;
    pb::Experiment {
        experiment_id: id.to_owned(),
        variants: vec![variant("control", 5_000, true), variant("treatment", 5_000, false)],
        metrics: vec![
            metric("solved", Kind::Binary, increase, Role::Primary),
            metric("csat", Kind::Continuous, increase, Role::Secondary),
            metric("latency", Kind::Duration, Direction::Decrease, Role::Unspecified),
            metric("cost", Kind::Amount, Direction::Decrease, Role::Unspecified),
        ],
        ..pb::Experiment::default()
    }
}

pub(crate) fn variant(id: &str, weight: u32, control: bool) -> pb::Variant {
    pb::Variant {
        variant_id: id.to_owned(),
        weight_basis_points: weight,
        control,
        ..pb::Variant::default()
    }
}

pub(crate) fn metric(
    id: &str,
    kind: pb::metric::Kind,
    direction: pb::metric::Direction,
    role: pb::metric::Role,
) -> pb::Metric {
    pb::Metric {
        metric_id: id.to_owned(),
        kind: kind.into(),
        direction: direction.into(),
        role: role.into(),
        ..pb::Metric::default()
    }
}

/// The same experiment, assigned by somebody else.
pub(crate) fn external(mut experiment: pb::Experiment) -> pb::Experiment {
    experiment.bucketing = Some(pb::Bucketing {
        algorithm: pb::bucketing::Algorithm::External.into(),
        ..pb::Bucketing::default()
    });
    experiment
}

pub(crate) fn outcome(experiment: &str, unit: &str, values: &[(&str, f64)]) -> pb::Outcome {
    pb::Outcome {
        experiment_id: experiment.to_owned(),
        unit_id: unit.to_owned(),
        values: values.iter().map(|(metric, value)| ((*metric).to_owned(), *value)).collect(),
        ..pb::Outcome::default()
    }
}

/// The first `count` units `u0`, `u1`, ... of an even split salted with `id` that fall into the
/// treatment, or into control.
pub(crate) fn units(id: &str, treatment: bool, count: usize) -> Vec<String> {
    let salt = Salt::try_from(id.to_owned()).unwrap();
    let all = (0..).map(|number| format!("u{number}"));
    let of_arm =
        all.filter(|unit| (salt.bucket(UnitId::parse(unit).unwrap()).get() < 5_000) == treatment);
    of_arm.take(count).collect()
}

/// The first of [`units`].
pub(crate) fn unit(id: &str, treatment: bool) -> String {
    units(id, treatment, 1).remove(0)
}

/// `attributes(&[("plan", text("pro"))])`.
#[expect(clippy::unnecessary_wraps, reason = "the field that it is made for is optional")]
pub(crate) fn attributes(fields: &[(&str, Value)]) -> Option<Struct> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Some(Struct { fields: fields.collect::<BTreeMap<_, _>>() })
}

pub(crate) fn text(text: &str) -> Value {
    Value { kind: Some(ValueKind::StringValue(text.to_owned())) }
}

pub(crate) fn number(number: f64) -> Value {
    Value { kind: Some(ValueKind::NumberValue(number)) }
}

pub(crate) fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(ValueKind::ListValue(ListValue { values })) }
}

/// A list in a list in a list, `depth` levels.
pub(crate) fn nested(depth: usize) -> Value {
    (0..depth).fold(number(1.0), |inner, _| list(vec![inner]))
}

/// One arm of one metric.
pub(crate) fn statistics<'a>(
    results: &'a pb::ExperimentResults,
    metric: &str,
    variant: &str,
) -> &'a pb::VariantStatistics {
    let metric = results.metrics.iter().find(|m| m.metric_id == metric).unwrap();
    metric.statistics.iter().find(|arm| arm.variant_id == variant).unwrap()
}

/// Units, outcomes and mismatched outcomes of one arm.
pub(crate) fn exposure(results: &pb::ExperimentResults, variant: &str) -> (i64, i64, i64) {
    let arm = results.exposures.iter().find(|arm| arm.variant_id == variant).unwrap();
    (arm.units, arm.outcomes, arm.mismatched_outcomes)
}

/// Count and sum of one arm of one metric.
pub(crate) fn total(results: &pb::ExperimentResults, metric: &str, variant: &str) -> (i64, f64) {
    let arm = statistics(results, metric, variant);
    (arm.count, arm.sum)
}
