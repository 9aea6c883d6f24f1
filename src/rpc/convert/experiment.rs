//! Experiment: message to draft, record to message.

use prost::Message;

use crate::domain::draft::{
    AnalysisDraft, BucketingDraft, Draft, LayerDraft, MetricDraft, VariantDraft,
};
use crate::domain::experiment::{
    AnalysisPlan, Definition, Experiment, Iteration, LayerSlot, Revision, Variant,
};
use crate::domain::metric::Metric;
use crate::domain::split::BucketRange;
use crate::domain::violation::Violations;
use crate::rpc::convert::{enums, value};
use crate::rpc::pb;
use crate::service::EtagCheck;

/// What a request says about an experiment. OUTPUT_ONLY fields are ignored.
///
/// What the domain cannot hold at all (values that are not finite or too deep, times out of range,
/// unknown enum numbers) is left out and stands among the draft's faults.
///
/// # Errors
/// A violation when there is no experiment.
pub(in crate::rpc) fn draft(from: Option<pb::Experiment>) -> Result<Draft, Violations> {
    let Some(from) = from else { return Err(Violations::of("experiment", "must be set")) };
    let mut bad = Violations::new();
    let variants = (0..).zip(from.variants).map(|(i, v)| variant_draft(i, v, &mut bad)).collect();
    let metrics = (0..).zip(from.metrics).map(|(i, m)| metric_draft(i, m, &mut bad)).collect();
    let bucketing = from.bucketing.unwrap_or_default();
    known("bucketing.algorithm", bucketing.algorithm, enums::algorithm, &mut bad);
    let planned_end = from
        .planned_end_time
        .and_then(|time| bad.check("planned_end_time", value::timestamp(time)));
    let analysis = analysis_draft(from.analysis.unwrap_or_default(), &mut bad);
    Ok(Draft {
        experiment_id: from.experiment_id,
        display_name: from.display_name,
        description: from.description,
        owner: from.owner,
        labels: from.labels.into_iter().collect(),
        variants,
        bucketing: BucketingDraft {
            algorithm: enums::algorithm(bucketing.algorithm),
            salt: bucketing.salt,
            unit_kind: bucketing.unit_kind,
        },
        enrolment_basis_points: from.enrolment_basis_points,
        eligibility: from.eligibility,
        layer: from.layer.map(|slot| {
            let buckets = slot.buckets.unwrap_or_default();
            LayerDraft { layer_id: slot.layer_id, start: buckets.start, end: buckets.end }
        }),
        overrides: from.overrides.into_iter().collect(),
        metrics,
        analysis,
        dimensions: from.dimensions,
        telemetry_project: from.telemetry.unwrap_or_default().project,
        planned_end,
        faults: bad,
    })
}

/// Refuses a number that no value of the enum has: an older server would otherwise silently run
/// another experiment than a newer client described.
fn known<T>(field: &str, number: i32, parse: fn(i32) -> Option<T>, bad: &mut Violations) {
    if number != 0 && parse(number).is_none() {
        bad.add(field, format!("has the unknown value {number}"));
    }
}

fn variant_draft(index: usize, from: pb::Variant, bad: &mut Violations) -> VariantDraft {
    let value_size = from.value.as_ref().map_or(0, Message::encoded_len);
    let payload = from.value.and_then(|payload| {
        bad.check(format!("variants[{index}].value"), value::value(payload, 0))
    });
    VariantDraft {
        variant_id: from.variant_id,
        weight_basis_points: from.weight_basis_points,
        control: from.control,
        value: payload,
        value_size,
        description: from.description,
    }
}

fn metric_draft(index: usize, from: pb::Metric, bad: &mut Violations) -> MetricDraft {
    let path = |field: &str| format!("metrics[{index}].{field}");
    known(&path("role"), from.role, enums::role, bad);
    known(&path("estimand"), from.estimand, enums::estimand, bad);
    MetricDraft {
        metric_id: from.metric_id,
        kind: enums::kind(from.kind),
        direction: enums::direction(from.direction),
        role: enums::role(from.role),
        estimand: enums::estimand(from.estimand),
        quantiles: from.quantiles,
        denominator_metric_id: from.denominator_metric_id,
        min_value: from.min_value,
        max_value: from.max_value,
        non_inferiority_margin: from.non_inferiority_margin,
        covariate: from.covariate,
        unit: from.unit,
        description: from.description,
    }
}

fn analysis_draft(from: pb::AnalysisPlan, bad: &mut Violations) -> AnalysisDraft {
    known("analysis.method", from.method, enums::method, bad);
    known("analysis.correction", from.correction, enums::correction, bad);
    AnalysisDraft {
        method: enums::method(from.method),
        alpha: from.alpha,
        power: from.power,
        min_detectable_effect: from.min_detectable_effect,
        planned_units: from.planned_units,
        planned_outcomes_per_unit: from.planned_outcomes_per_unit,
        correction: enums::correction(from.correction),
        srm_alpha: from.srm_alpha,
        groups: from.groups,
    }
}

/// The record as the contract shows it.
pub(in crate::rpc) fn experiment_to_pb(from: &Experiment) -> pb::Experiment {
    let Definition {
        id,
        display_name,
        description,
        owner,
        labels,
        variants,
        bucketing,
        enrolment,
        eligibility,
        layer,
        overrides,
        metrics,
        analysis,
        dimensions,
        telemetry_project,
        planned_end,
    } = &from.definition;
    let current = from.current();
    let texts = labels.iter().map(|(key, text)| (key.clone(), text.clone()));
    let forced = overrides.iter().map(|(unit, variant)| (unit.clone(), variant.to_string()));
    pb::Experiment {
        experiment_id: id.to_string(),
        display_name: display_name.clone(),
        description: description.clone(),
        owner: owner.clone(),
        labels: texts.collect(),
        state: enums::state_to_pb(from.state),
        variants: (0..).zip(variants).map(|(i, v)| variant_to_pb(i, v, current)).collect(),
        bucketing: Some(pb::Bucketing {
            algorithm: enums::algorithm_to_pb(bucketing.algorithm),
            salt: bucketing.salt.to_string(),
            unit_kind: bucketing.unit_kind.clone(),
        }),
        enrolment_basis_points: Some((*enrolment).into()),
        eligibility: eligibility.as_ref().map(|r| r.source().to_owned()).unwrap_or_default(),
        layer: layer.as_ref().map(layer_to_pb),
        overrides: forced.collect(),
        metrics: metrics.iter().map(metric_to_pb).collect(),
        analysis: Some(analysis_to_pb(analysis)),
        dimensions: dimensions.clone(),
        telemetry: (!telemetry_project.is_empty())
            .then(|| pb::Telemetry { project: telemetry_project.clone() }),
        planned_end_time: planned_end.map(value::timestamp_to_pb),
        iteration: current.map_or(0, |iteration| iteration.number),
        winner_variant_id: from.winner.as_ref().map(ToString::to_string).unwrap_or_default(),
        create_time: Some(value::timestamp_to_pb(from.created)),
        update_time: Some(value::timestamp_to_pb(from.updated)),
        start_time: from.started.map(value::timestamp_to_pb),
        conclude_time: from.concluded.map(value::timestamp_to_pb),
        etag: from.revision.0.to_string(),
    }
}

fn variant_to_pb(index: usize, from: &Variant, current: Option<&Iteration>) -> pb::Variant {
    let ranges = current.map_or(&[][..], |iteration| iteration.split.ranges(index));
    pb::Variant {
        variant_id: from.id.to_string(),
        weight_basis_points: from.weight.into(),
        control: from.control,
        value: from.value.as_ref().map(value::to_pb),
        description: from.description.clone(),
        buckets: ranges.iter().copied().map(range_to_pb).collect(),
    }
}

fn range_to_pb(from: BucketRange) -> pb::BucketRange {
    pb::BucketRange { start: from.start.into(), end: from.end.into() }
}

fn layer_to_pb(from: &LayerSlot) -> pb::LayerSlot {
    pb::LayerSlot { layer_id: from.layer.to_string(), buckets: Some(range_to_pb(from.buckets)) }
}

fn metric_to_pb(from: &Metric) -> pb::Metric {
    pb::Metric {
        metric_id: from.id.to_string(),
        kind: enums::kind_to_pb(from.kind),
        direction: enums::direction_to_pb(from.direction),
        role: enums::role_to_pb(from.role),
        estimand: enums::estimand_to_pb(from.estimand),
        quantiles: from.quantiles.clone(),
        denominator_metric_id: from
            .denominator
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        min_value: from.min_value,
        max_value: from.max_value,
        non_inferiority_margin: from.non_inferiority_margin,
        covariate: from.covariate.clone().unwrap_or_default(),
        unit: from.unit.clone(),
        description: from.description.clone(),
    }
}

fn analysis_to_pb(from: &AnalysisPlan) -> pb::AnalysisPlan {
    pb::AnalysisPlan {
        method: enums::method_to_pb(from.method),
        alpha: Some(from.alpha),
        power: Some(from.power),
        min_detectable_effect: from.min_detectable_effect,
        planned_units: from.planned_units.and_then(|units| i64::try_from(units).ok()),
        planned_outcomes_per_unit: Some(from.planned_outcomes_per_unit),
        correction: enums::correction_to_pb(from.correction),
        srm_alpha: Some(from.srm_alpha),
        groups: Some(from.groups.get()),
    }
}

/// What an etag of a request asks for.
pub(in crate::rpc) fn etag(text: &str) -> EtagCheck {
    match text {
        "" => EtagCheck::Any,
        text => text.parse().map_or(EtagCheck::Never, |number| EtagCheck::Only(Revision(number))),
    }
}
