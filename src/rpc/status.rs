//! The only place that makes a `tonic::Status`: one exhaustive map from errors to codes.
//!
//! Every status carries a `google.rpc.ErrorInfo` (domain `tiebreak.v1`, a reason in capitals);
//! INVALID_ARGUMENT also a `BadRequest` with every bad field, UNAVAILABLE and RESOURCE_EXHAUSTED a
//! `RetryInfo`. Texts of INTERNAL say nothing about the inside; the log does.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::domain::violation::Violations;
use crate::rpc::pb;
use crate::service::{InvalidInput, ServiceError};

const DOMAIN: &str = "tiebreak.v1";

/// When to come back: long enough for a failover to begin, short enough for a blip.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Code and reason of an error; every variant has its own arm, so that a new one must be placed.
fn classify(error: &ServiceError) -> (Code, &'static str) {
    match error {
        ServiceError::ExperimentNotFound(_) => (Code::NotFound, "EXPERIMENT_NOT_FOUND"),
        ServiceError::IterationNotFound { .. } => (Code::NotFound, "ITERATION_NOT_FOUND"),
        ServiceError::ExperimentExists(_) => (Code::AlreadyExists, "EXPERIMENT_EXISTS"),
        ServiceError::Invalid { input, .. } => (Code::InvalidArgument, invalid_reason(*input)),
        ServiceError::NotAssignable { .. } => {
            (Code::FailedPrecondition, "EXPERIMENT_NOT_ASSIGNABLE")
        }
        ServiceError::AssignedElsewhere(_) => (Code::FailedPrecondition, "ASSIGNED_ELSEWHERE"),
        ServiceError::Closed { .. } => (Code::FailedPrecondition, "EXPERIMENT_CLOSED"),
        ServiceError::InvalidTransition { .. } | ServiceError::NotDeletable { .. } => {
            (Code::FailedPrecondition, "INVALID_STATE_TRANSITION")
        }
        ServiceError::LayerOverlap { .. } => (Code::FailedPrecondition, "LAYER_OVERLAP"),
        ServiceError::EtagMismatch(_) => (Code::Aborted, "ETAG_MISMATCH"),
        ServiceError::NotReady => (Code::Unavailable, "NOT_READY"),
        ServiceError::ShuttingDown => (Code::Unavailable, "SHUTTING_DOWN"),
        ServiceError::NotImplemented(_) => (Code::Unimplemented, "NOT_IMPLEMENTED"),
        ServiceError::StoreUnavailable(_) => (Code::Unavailable, "STORE_UNAVAILABLE"),
        ServiceError::Overloaded => (Code::ResourceExhausted, "OVERLOADED"),
        ServiceError::CounterFull => (Code::FailedPrecondition, "COUNTER_FULL"),
        ServiceError::StoreBroken(_) => (Code::Internal, "STORE_CORRUPT"),
    }
}

fn invalid_reason(input: InvalidInput) -> &'static str {
    match input {
        InvalidInput::Request => "INVALID_REQUEST",
        InvalidInput::Experiment => "INVALID_EXPERIMENT",
        InvalidInput::Design => "INVALID_DESIGN",
        InvalidInput::Variant => "UNKNOWN_VARIANT",
    }
}

/// The status of a failed call.
pub(super) fn status(error: &ServiceError) -> Status {
    let (code, reason) = classify(error);
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    if let ServiceError::Invalid { violations, .. } = error {
        describe(violations, &mut details);
    }
    if matches!(code, Code::Unavailable | Code::ResourceExhausted) {
        details.set_retry_info(Some(RETRY_AFTER));
    }
    log(code, error);
    Status::with_error_details(code, message(code, error), details)
}

/// Most bytes of fields and problems in one status. A status travels in HTTP/2 headers, of which
/// clients take 8 to 16 KiB, base64 included; with more they report a transport error instead.
const DETAIL_BYTES: usize = 3_000;

/// As many violations as fit, then how many there are besides.
fn describe(violations: &Violations, details: &mut ErrorDetails) {
    let mut budget = DETAIL_BYTES;
    let total = violations.iter().count();
    for (told, violation) in violations.iter().enumerate() {
        let size = violation.field.len() + violation.problem.len();
        if size > budget {
            let more = format!("and {} more violations like these", total - told);
            details.add_bad_request_violation("", more);
            return;
        }
        budget -= size;
        details.add_bad_request_violation(&violation.field, &violation.problem);
    }
}

/// The failure of one item of a batch.
pub(super) fn item_error(error: &ServiceError) -> pb::ItemError {
    let (code, reason) = classify(error);
    log(code, error);
    pb::ItemError { code: code.into(), reason: reason.to_owned(), message: message(code, error) }
}

/// The status of a request with bad fields.
pub(super) fn invalid(violations: Violations) -> Status {
    status(&ServiceError::invalid_request(violations))
}

/// The status of a request with an experiment that cannot even be drafted.
pub(super) fn invalid_experiment(violations: Violations) -> Status {
    status(&ServiceError::Invalid { input: InvalidInput::Experiment, violations })
}

/// The status of a call that took longer than its caller gives it.
pub(super) fn deadline_exceeded() -> Status {
    let details = ErrorDetails::with_error_info("DEADLINE_EXCEEDED", DOMAIN, HashMap::new());
    Status::with_error_details(
        Code::DeadlineExceeded,
        "the deadline of the call has passed",
        details,
    )
}

/// The status of a call that a later release answers.
pub(super) fn not_implemented(rpc: &'static str) -> Status {
    status(&ServiceError::NotImplemented(rpc))
}

fn message(code: Code, error: &ServiceError) -> String {
    if code == Code::Internal {
        return "internal error; the server's log has the cause".to_owned();
    }
    let text = error.to_string();
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Longest message; the details have the rest.
const MESSAGE_CHARS: usize = 1_000;

/// Only what an operator can mend, and not once per call: while the store is away the catalog's
/// poll says so.
fn log(code: Code, error: &ServiceError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    if code == Code::Internal {
        tracing::error!(%error, cause, "call failed");
    } else if code == Code::Unavailable {
        tracing::debug!(%error, cause, "call failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overload_says_when_to_come_back() {
        let status = status(&ServiceError::Overloaded);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("OVERLOADED"));
        assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(RETRY_AFTER));
    }
}
