//! The span of one RPC: what a handler may say about it and how it ends.
//!
//! Names follow OpenTelemetry's conventions for RPC and feature flags (1.44) and `OpenInference`.
//! No `session.id`, no `gen_ai.*`: trace stores would take the caller's trace for ours.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::{Span as _, Status};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::Span;
use tonic::Code;

use super::code::{code_name, is_server_error};

/// `rpc.response.status_code` of 1.44; renamed to `rpc.status_code` in drafts of 1.45.
const STATUS_CODE: &str = "rpc.response.status_code";

/// The span of the RPC at hand. When nothing is recorded every method returns at once.
#[derive(Debug, Clone, Default)]
pub struct RpcSpan(Option<Arc<Mutex<Span>>>);

/// What a handler decided, in plain words, so that traces can be compared by variant.
#[derive(Debug, Clone, Copy)]
pub struct AssignmentFacts<'a> {
    /// The experiment, which is the key of the feature flag.
    pub experiment: &'a str,
    /// The variant to serve.
    pub variant: &'a str,
    /// Why, as the answer of the RPC says it.
    pub reason: &'a str,
    /// Why, in OpenTelemetry's words: `split`, `targeting_match`, `default` or `static`.
    pub flag_reason: &'static str,
    /// The bucket behind a split by hash.
    pub bucket: Option<u16>,
    /// The version of the configuration that decided.
    pub version: &'a str,
}

impl RpcSpan {
    pub(super) fn recording(span: Span) -> Self {
        Self(Some(Arc::new(Mutex::new(span))))
    }

    /// The span that [`RpcSpans`](super::RpcSpans) put there, or one that records nothing.
    #[must_use]
    pub fn of(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Whether anything is recorded: ask before computing what is costly.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Sets one attribute.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.with(|span| span.set_attribute(KeyValue::new(key, value)));
    }

    /// Says which experiment the RPC is about, where nothing is assigned.
    pub fn experiment(&self, id: &str) {
        self.with(|span| {
            span.set_attribute(KeyValue::new("feature_flag.key", id.to_owned()));
            span.set_attribute(KeyValue::new("feature_flag.provider.name", "tiebreak"));
        });
    }

    /// Says what was decided, the experiment included: as a feature flag evaluation, as input and output, and as
    /// metadata to filter by.
    pub fn assignment(&self, facts: &AssignmentFacts<'_>) {
        self.with(|span| span.set_attributes(assignment_attributes(facts)));
    }

    /// What went in, as JSON. It must hold no unit id.
    pub fn input(&self, json: &serde_json::Value) {
        self.with(|span| span.set_attributes(json_attributes("input", json)));
    }

    /// What came out, as JSON.
    pub fn output(&self, json: &serde_json::Value) {
        self.with(|span| span.set_attributes(json_attributes("output", json)));
    }

    /// Facts to filter traces by: a JSON object.
    pub fn metadata(&self, json: &serde_json::Value) {
        self.with(|span| span.set_attribute(KeyValue::new("metadata", json.to_string())));
    }

    fn with(&self, act: impl FnOnce(&mut Span)) {
        if let Some(span) = &self.0 {
            // A panic elsewhere leaves the span as it is: at worst an attribute is missing.
            act(&mut span.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Ends the span. Only a failure of the server is an error: trace stores count errors up to
    /// the root, and a caller's mistake must not turn the caller's trace red.
    pub(super) fn end(&self, code: Code) {
        self.with(|span| {
            let name = code_name(code);
            span.set_attribute(KeyValue::new(STATUS_CODE, name));
            if is_server_error(code) {
                span.set_attribute(KeyValue::new("error.type", name));
                span.set_status(Status::error(""));
            }
            span.end();
        });
    }
}

fn assignment_attributes(facts: &AssignmentFacts<'_>) -> Vec<KeyValue> {
    let AssignmentFacts { experiment, variant, reason, flag_reason, bucket, version } = *facts;
    let metadata = serde_json::json!({
        "experiment": experiment,
        "variant": variant,
        "bucket": bucket,
        "reason": reason,
        "config_version": version,
    });
    let tag = StringValue::from(format!("{experiment}:{variant}"));
    let mut attributes = vec![
        KeyValue::new("feature_flag.key", experiment.to_owned()),
        KeyValue::new("feature_flag.provider.name", "tiebreak"),
        KeyValue::new("feature_flag.result.variant", variant.to_owned()),
        KeyValue::new("feature_flag.result.reason", flag_reason),
        KeyValue::new("feature_flag.version", version.to_owned()),
        KeyValue::new("metadata", metadata.to_string()),
        KeyValue::new("tag.tags", Value::Array(Array::String(vec![tag]))),
    ];
    attributes.extend(json_attributes("input", &serde_json::json!({ "experiment": experiment })));
    let output = serde_json::json!({ "variant": variant, "reason": reason });
    attributes.extend(json_attributes("output", &output));
    attributes
}

fn json_attributes(side: &'static str, json: &serde_json::Value) -> [KeyValue; 2] {
    [
        KeyValue::new(format!("{side}.value"), json.to_string()),
        KeyValue::new(format!("{side}.mime_type"), "application/json"),
    ]
}
