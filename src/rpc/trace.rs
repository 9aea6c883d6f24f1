//! What the span of a call says about it, in the words of the contract: never about whom.

use serde_json::json;

use crate::domain::assignment::Reason;
use crate::domain::bucket::Bucket;
use crate::rpc::pb;
use crate::service::Assigned;
use crate::telemetry::{AssignmentFacts, RpcSpan};

pub(super) fn assigned(span: &RpcSpan, assigned: &Assigned) {
    let definition = &assigned.experiment.definition;
    let Some(variant) = definition.variants.get(assigned.placement.variant) else { return };
    if !span.is_recording() {
        return;
    }
    let (reason, flag_reason) = reason(assigned.placement.reason);
    span.assignment(&AssignmentFacts {
        experiment: definition.id.as_str(),
        variant: variant.id.as_str(),
        reason,
        flag_reason,
        bucket: assigned.placement.bucket.map(Bucket::get),
        version: &assigned.experiment.revision.0.to_string(),
    });
}

/// The reason as the contract names it and as OpenTelemetry does.
fn reason(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Split => ("REASON_SPLIT", "split"),
        Reason::Override => ("REASON_OVERRIDE", "targeting_match"),
        Reason::NotEligible => ("REASON_NOT_ELIGIBLE", "default"),
        Reason::NotEnrolled => ("REASON_NOT_ENROLLED", "default"),
        Reason::ExcludedByLayer => ("REASON_EXCLUDED_BY_LAYER", "default"),
        Reason::Paused => ("REASON_PAUSED", "default"),
        Reason::Concluded => ("REASON_CONCLUDED", "static"),
    }
}

pub(super) fn outcome(span: &RpcSpan, experiment: &str, receipt: &pb::OutcomeReceipt) {
    if !span.is_recording() {
        return;
    }
    span.experiment(experiment);
    span.metadata(&json!({
        "experiment": experiment,
        "variant": receipt.variant_id,
        "counted": receipt.counted,
        "duplicate": receipt.duplicate,
    }));
}

pub(super) fn results(span: &RpcSpan, results: &pb::ExperimentResults) {
    if !span.is_recording() {
        return;
    }
    span.experiment(&results.experiment_id);
    let units: i64 = results.exposures.iter().map(|exposure| exposure.units).sum();
    span.output(&json!({
        "recommendation": results.recommendation().as_str_name(),
        "variant": results.recommended_variant_id,
        "units": units,
        "split_broken": results.sample_ratio.is_some_and(|check| check.mismatch),
    }));
}

pub(super) fn administered(span: &RpcSpan, experiment: Option<&pb::Experiment>) {
    let Some(experiment) = experiment.filter(|_| span.is_recording()) else { return };
    span.experiment(&experiment.experiment_id);
    span.set("feature_flag.version", experiment.etag.clone());
}
