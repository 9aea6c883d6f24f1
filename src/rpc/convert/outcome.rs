//! LogOutcome: outcomes in, receipts out.

use crate::domain::outcome::OutcomeDraft;
use crate::domain::subject::Subject;
use crate::domain::violation::Violations;
use crate::rpc::convert::value;
use crate::rpc::pb;
use crate::rpc::status;
use crate::service::{Receipt, ServiceError};
use crate::telemetry;

const BATCH_LIMIT: usize = 1_000;

/// One outcome of a request.
pub(in crate::rpc) fn draft(from: pb::Outcome) -> OutcomeDraft {
    let mut faults = Violations::new();
    let attributes = faults.check("attributes", value::attributes(from.attributes));
    if let Some(time) = from.event_time {
        faults.check("event_time", value::timestamp(time));
    }
    let subject = faults.check("subject_traceparent", subject(&from.subject_traceparent));
    OutcomeDraft {
        experiment_id: from.experiment_id,
        unit_id: from.unit_id,
        values: from.values.into_iter().collect(),
        event_id: from.event_id,
        served_variant_id: from.served_variant_id,
        iteration: from.iteration,
        attributes: attributes.unwrap_or_default(),
        assigned_variant_id: from.assigned_variant_id,
        subject: subject.flatten(),
        faults,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a W3C traceparent: 00-<32 hex>-<16 hex>-<2 hex>, in lowercase")]
struct InvalidSubject;

/// All zeros name no span: what a caller sends whose tracing is off.
fn subject(traceparent: &str) -> Result<Option<Subject>, InvalidSubject> {
    if traceparent.is_empty() {
        return Ok(None);
    }
    let span = telemetry::span_named(traceparent).ok_or(InvalidSubject)?;
    Ok(span.is_valid().then(|| Subject {
        trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(span.span_id().to_bytes()),
        sampled: span.is_sampled(),
    }))
}

/// The outcomes of a batch, if there are neither none nor too many.
pub(in crate::rpc) fn check_batch(outcomes: &[pb::Outcome]) -> Result<(), Violations> {
    let count = outcomes.len();
    if (1..=BATCH_LIMIT).contains(&count) {
        return Ok(());
    }
    let problem = format!("has {count} entries, 1 to {BATCH_LIMIT} are allowed");
    Err(Violations::of("outcomes", problem))
}

pub(in crate::rpc) fn receipt_to_pb(from: Receipt) -> pb::OutcomeReceipt {
    pb::OutcomeReceipt {
        duplicate: from.duplicate,
        variant_id: from.variant.map(String::from).unwrap_or_default(),
        counted: from.counted,
    }
}

pub(in crate::rpc) fn result_to_pb(from: Result<Receipt, ServiceError>) -> pb::OutcomeResult {
    use pb::outcome_result::Result as Wire;
    let result = Some(match from {
        Ok(receipt) => Wire::Receipt(receipt_to_pb(receipt)),
        Err(error) => Wire::Error(status::item_error(&error)),
    });
    pb::OutcomeResult { result }
}
