//! Logs to stderr and traces to an OpenTelemetry collector.
//!
//! One span per RPC, in the caller's trace ([`RpcSpans`]); attributes by way of [`RpcSpan`]. The
//! span names what was decided, never about whom: unit ids are not exported. Export never makes
//! an RPC wait: a full queue drops spans and the log says so. This room knows no business type.

mod code;
mod logs;
mod metrics;
mod open_call;
mod rpc_layer;
mod rpc_span;
mod traces;
mod w3c;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use self::metrics::Calls;

pub use self::logs::LogFormat;
pub use self::metrics::{CONTENT_TYPE, Family, Sample, Samples, text};
pub use self::rpc_layer::{RpcSpanFuture, RpcSpanService, RpcSpans, SpannedBody, timeout};
pub use self::rpc_span::{AssignmentFacts, RpcSpan};
pub use self::w3c::span_named;

/// What to log and where to send traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where OTLP/gRPC is spoken, e.g. `http://localhost:4317`. `None` exports nothing and
    /// costs nothing.
    pub otlp_endpoint: Option<String>,
    /// The project that traces without a caller's trace are filed under.
    pub project: String,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// Which log lines are written, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Share of the traces that start here to record, 0 to 1. Within a caller's trace the
    /// caller has decided.
    pub sample_ratio: f64,
}

impl Default for Options {
    /// Logs for people, no traces; with an endpoint, 1 % of the traces that start here.
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            project: "tiebreak".to_owned(),
            log_format: LogFormat::Human,
            log_filter: "info".to_owned(),
            sample_ratio: 0.01,
        }
    }
}

/// Why telemetry did not start or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the log is not in the syntax of `RUST_LOG`.
    #[error("the log filter {filter:?} is malformed")]
    LogFilter {
        /// The text given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a log already.
    #[error("a log was installed before")]
    LogInstalled(#[source] tracing_subscriber::util::TryInitError),
    /// A sample ratio outside 0 to 1.
    #[error("the sample ratio is {0}, it must lie between 0 and 1")]
    SampleRatio(f64),
    /// The exporter's connection lives on the runtime that it is made on.
    #[error("traces can be exported from within a Tokio runtime only")]
    NoRuntime,
    /// The endpoint cannot be used.
    #[error("cannot export traces to {endpoint:?}")]
    Exporter {
        /// The endpoint given.
        endpoint: String,
        /// What is wrong with it.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// The last spans may be lost.
    #[error("the last spans were not all sent")]
    Shutdown(#[source] opentelemetry_sdk::error::OTelSdkError),
}

/// Installs the log of this process and starts the export of traces. Call it once, within a
/// Tokio runtime.
///
/// # Errors
/// Every [`TelemetryError`] but `Shutdown`. An unreachable collector is no error.
pub fn start(options: &Options) -> Result<Telemetry, TelemetryError> {
    logs::install(options)?;
    Telemetry::new(options)
}

/// Traces on their way out. Dropping it loses the last second of them: call
/// [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    calls: Arc<OnceLock<Arc<Calls>>>,
}

impl Telemetry {
    /// Starts the export of traces alone, without the log, which is one per process: for a
    /// server inside of another program.
    ///
    /// # Errors
    /// [`TelemetryError::SampleRatio`], [`TelemetryError::NoRuntime`],
    /// [`TelemetryError::Exporter`].
    pub fn new(options: &Options) -> Result<Self, TelemetryError> {
        traces::provider(options).map(|provider| Self { provider, calls: Arc::default() })
    }

    /// No export.
    #[must_use]
    pub fn off() -> Self {
        Self { provider: None, calls: Arc::default() }
    }

    /// The layer that counts each RPC and opens a span for it; without an endpoint it only counts.
    /// `methods` are those of the server, as `package.Service/Method`; all others go by one name.
    /// One server has one set of them: the first call decides.
    #[must_use]
    pub fn rpc_spans(&self, methods: impl IntoIterator<Item = String>) -> RpcSpans {
        let calls = self.calls.get_or_init(|| Arc::new(Calls::new(methods)));
        RpcSpans::new(Arc::clone(calls), self.tracer())
    }

    /// Tells what telemetry itself has counted, whenever it is called.
    pub fn families(&self) -> impl Fn() -> Vec<Family> + Send + Sync + use<> {
        let calls = Arc::clone(&self.calls);
        move || calls.get().map(|calls| calls.family()).into_iter().collect()
    }

    fn tracer(&self) -> Option<SdkTracer> {
        self.provider.as_ref().map(traces::tracer)
    }

    /// Sends what is queued and stops, at the latest after `deadline`. It blocks: call it by
    /// `spawn_blocking` after the last RPC has finished.
    ///
    /// # Errors
    /// [`TelemetryError::Shutdown`] when the collector did not take everything in time.
    pub fn shutdown(self, deadline: Duration) -> Result<(), TelemetryError> {
        match self.provider {
            Some(provider) => traces::shutdown(&provider, deadline),
            None => Ok(()),
        }
    }
}
