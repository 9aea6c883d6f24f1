//! The way of a span from its end to the collector: a bounded queue, batches, OTLP over gRPC.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};

use super::{Options, TelemetryError};

/// Spans that wait for a batch. When it is full, spans are dropped; nothing ever waits.
const QUEUE: usize = 8_192;
const BATCH: usize = 512;
const BATCH_DELAY: Duration = Duration::from_secs(1);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds the pipeline; `None` without an endpoint.
pub(super) fn provider(options: &Options) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let Some(endpoint) = &options.otlp_endpoint else { return Ok(None) };
    if !(0.0..=1.0).contains(&options.sample_ratio) {
        return Err(TelemetryError::SampleRatio(options.sample_ratio));
    }
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(TelemetryError::NoRuntime);
    }
    // The connection is made with the first batch: a collector that is down delays nothing here.
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.clone(), source })?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let root = Sampler::TraceIdRatioBased(options.sample_ratio);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(root)))
        .with_resource(resource(&options.project))
        .build();
    Ok(Some(provider))
}

/// Who sends: Phoenix files a trace under the project of the first of its spans to arrive.
fn resource(project: &str) -> Resource {
    Resource::builder()
        .with_service_name("tiebreak")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("openinference.project.name", project.to_owned()))
        .build()
}

/// What spans are opened with.
pub(super) fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    provider.tracer("tiebreak")
}

/// Drains the queue, for `deadline` at most.
pub(super) fn shutdown(
    provider: &SdkTracerProvider,
    deadline: Duration,
) -> Result<(), TelemetryError> {
    provider.shutdown_with_timeout(deadline).map_err(TelemetryError::Shutdown)
}
