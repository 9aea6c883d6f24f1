//! The spans of RPCs as an OTLP collector receives them, through a real gRPC server and client.

mod collector;
mod probe;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tiebreak::telemetry::{Options, Telemetry, TelemetryError};
use tonic::Code;
use tonic::codegen::http::{Request, Response};
use tower::{Layer as _, Service as _};

use collector::{Collector, attribute, text};
use probe::Probe;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const SHUTDOWN: Duration = Duration::from_secs(5);

fn options(endpoint: &str) -> Options {
    Options {
        otlp_endpoint: Some(endpoint.to_owned()),
        project: "a-project".to_owned(),
        sample_ratio: 1.0,
        ..Options::default()
    }
}

/// What a collector receives while `calls` talk to a server with telemetry.
async fn spans_of(sample_ratio: f64, calls: impl AsyncFnOnce(&Probe)) -> (Collector, Vec<Span>) {
    let mut collector = Collector::start().await;
    let telemetry = Telemetry::new(&Options { sample_ratio, ..options(&collector.url) }).unwrap();
    let probe = Probe::start(telemetry.rpc_spans(probe::methods())).await;
    calls(&probe).await;
    probe.stop().await;
    tokio::task::spawn_blocking(move || telemetry.shutdown(SHUTDOWN)).await.unwrap().unwrap();
    let spans = collector.spans();
    (collector, spans)
}

/// A trace id as the wire has it: 16 bytes.
fn trace_id(hex: &str) -> Vec<u8> {
    u128::from_str_radix(hex, 16).unwrap().to_be_bytes().to_vec()
}

/// A span id as the wire has it: 8 bytes.
fn span_id(hex: &str) -> Vec<u8> {
    u64::from_str_radix(hex, 16).unwrap().to_be_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_span_per_rpc_with_the_names_of_the_conventions() {
    let (collector, spans) = spans_of(1.0, async |probe| {
        probe.call(Code::Ok, &[]).await;
    })
    .await;
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!(span.name, "probe.Probe/Answer0");
    assert_eq!(span.kind, SpanKind::Server as i32);
    assert_eq!(span.parent_span_id, Vec::<u8>::new());
    assert_eq!(span.status.clone().unwrap_or_default().code, StatusCode::Unset as i32);
    assert_eq!(text(span, "rpc.system.name"), Some("grpc"));
    assert_eq!(text(span, "rpc.method"), Some("probe.Probe/Answer0"));
    assert_eq!(text(span, "rpc.response.status_code"), Some("OK"));
    assert_eq!(text(span, "openinference.span.kind"), Some("CHAIN"));
    assert_eq!(text(span, "server.address"), Some("127.0.0.1"));
    assert_eq!(text(span, "network.peer.address"), Some("127.0.0.1"));
    assert!(matches!(attribute(span, "server.port"), Some(Value::IntValue(_))));
    assert!(attribute(span, "session.id").is_none());
    assert_eq!(collector.resource("service.name"), "tiebreak");
    assert_eq!(collector.resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(collector.resource("openinference.project.name"), "a-project");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_handler_says_is_on_the_span() {
    let (_, spans) = spans_of(1.0, async |probe| probe.call(Code::Ok, &[]).await).await;
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!(text(span, "feature_flag.key"), Some("bot"));
    assert_eq!(text(span, "feature_flag.result.variant"), Some("treatment"));
    assert_eq!(text(span, "feature_flag.result.reason"), Some("split"));
    assert_eq!(text(span, "feature_flag.version"), Some("7"));
    assert_eq!(text(span, "input.value"), Some(r#"{"experiment":"bot"}"#));
    let metadata: serde_json::Value =
        serde_json::from_str(text(span, "metadata").unwrap()).unwrap();
    assert_eq!(
        metadata,
        serde_json::json!({
            "experiment": "bot", "variant": "treatment", "bucket": 149,
            "reason": "SPLIT", "config_version": "7",
        })
    );
    let Some(Value::ArrayValue(tags)) = attribute(span, "tag.tags") else { panic!("no tags") };
    assert_eq!(tags.values.len(), 1);
    // Attributes are a list on the wire: no key may be there twice.
    let mut keys = BTreeMap::new();
    for attribute in &span.attributes {
        *keys.entry(attribute.key.as_str()).or_insert(0) += 1;
    }
    assert!(keys.values().all(|count| *count == 1), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampled_caller_is_continued_and_an_unsampled_one_is_respected() {
    for (flags, exported) in [("00", 0), ("01", 1), ("02", 0), ("03", 1)] {
        // The ratio speaks for traces that start here, never for those of a caller.
        for ratio in [0.0, 1.0] {
            let parent = format!("00-{TRACE}-{PARENT}-{flags}");
            let metadata = [("traceparent", parent.as_str()), ("tracestate", "vendor=1")];
            let (_, spans) =
                spans_of(ratio, async |probe| probe.call(Code::Ok, &metadata).await).await;
            assert_eq!(spans.len(), exported, "flags {flags}, ratio {ratio}");
            for span in spans {
                assert_eq!(span.trace_id, trace_id(TRACE));
                assert_eq!(span.parent_span_id, span_id(PARENT));
                assert_eq!(span.trace_state, "vendor=1");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_parent_starts_a_trace_of_its_own() {
    let (_, spans) = spans_of(1.0, async |probe| {
        for bad in ["", "00", "00-xyz", &format!("00-{TRACE}-{PARENT}-01-more")] {
            probe.call(Code::Ok, &[("traceparent", bad)]).await;
        }
    })
    .await;
    assert_eq!(spans.len(), 4);
    for span in spans {
        assert_ne!(span.trace_id, trace_id(TRACE));
        assert_eq!(span.parent_span_id, Vec::<u8>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_six_codes_of_a_failing_server_are_errors() {
    let (_, spans) = spans_of(1.0, async |probe| {
        for code in 0..=16 {
            probe.call(Code::from(code), &[]).await;
        }
    })
    .await;
    let mut errors: Vec<_> = spans
        .iter()
        .filter(|span| span.status.as_ref().is_some_and(|status| status.code == 2))
        .map(|span| text(span, "error.type").unwrap())
        .collect();
    errors.sort_unstable();
    let expected =
        ["DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"];
    assert_eq!(errors, expected);
    assert_eq!(spans.len(), 17);
    let unset = spans.iter().filter(|span| attribute(span, "error.type").is_none());
    assert_eq!(unset.count(), 11);
    let codes: std::collections::BTreeSet<_> =
        spans.iter().map(|span| text(span, "rpc.response.status_code").unwrap()).collect();
    assert_eq!(codes.len(), 17, "every code has its name: {codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_cancelled_and_probes_leave_no_span() {
    let (_, spans) = spans_of(1.0, async |probe| {
        probe.abandon().await;
        probe.check_health().await;
    })
    .await;
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!(span.name, "probe.Probe/Hang");
    assert_eq!(text(span, "rpc.response.status_code"), Some("CANCELLED"));
    assert!(attribute(span, "error.type").is_none());
}

/// Through the layer alone: over a socket, client and server both keep the deadline and race.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_cut_off_at_its_deadline_is_an_error_of_the_server() {
    let mut collector = Collector::start().await;
    let telemetry = Telemetry::new(&options(&collector.url)).unwrap();
    for (timeout, wait) in [("20m", 40), ("8H", 0), ("20x", 40), ("", 0)] {
        let pending = tower::service_fn(async |_: Request<()>| {
            std::future::pending::<Result<Response<String>, Infallible>>().await
        });
        let request = Request::post("/probe.Probe/Hang").header("grpc-timeout", timeout);
        let call =
            telemetry.rpc_spans(probe::methods()).layer(pending).call(request.body(()).unwrap());
        tokio::time::timeout(Duration::from_millis(wait), call).await.unwrap_err();
    }
    tokio::task::spawn_blocking(move || telemetry.shutdown(SHUTDOWN)).await.unwrap().unwrap();
    let spans = collector.spans();
    let codes: Vec<_> =
        spans.iter().map(|span| text(span, "rpc.response.status_code").unwrap()).collect();
    assert_eq!(codes, ["DEADLINE_EXCEEDED", "CANCELLED", "CANCELLED", "CANCELLED"]);
    assert_eq!(text(&spans[0], "error.type"), Some("DEADLINE_EXCEEDED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_silent_collector_delays_neither_calls_nor_shutdown() {
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    for endpoint in ["http://127.0.0.1:1", &silent_url] {
        let telemetry = Telemetry::new(&options(endpoint)).unwrap();
        let probe = Probe::start(telemetry.rpc_spans(probe::methods())).await;
        let begin = Instant::now();
        for _ in 0..100 {
            probe.call(Code::Ok, &[]).await;
        }
        assert!(begin.elapsed() < Duration::from_secs(4), "calls waited for {endpoint}");
        probe.stop().await;
        let begin = Instant::now();
        let deadline = Duration::from_millis(500);
        let ended = tokio::task::spawn_blocking(move || telemetry.shutdown(deadline)).await;
        assert!(begin.elapsed() < Duration::from_secs(3), "{endpoint}: {:?}", begin.elapsed());
        if endpoint == silent_url {
            assert!(matches!(ended.unwrap(), Err(TelemetryError::Shutdown(_))));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_options_are_refused_and_none_export_nothing() {
    let ratio = Options { sample_ratio: 1.5, ..options("http://127.0.0.1:1") };
    assert!(matches!(Telemetry::new(&ratio), Err(TelemetryError::SampleRatio(_))));
    let endpoint = options("not a url");
    assert!(matches!(Telemetry::new(&endpoint), Err(TelemetryError::Exporter { .. })));
    let telemetry = Telemetry::new(&Options::default()).unwrap();
    let probe = Probe::start(telemetry.rpc_spans(probe::methods())).await;
    probe.call(Code::Ok, &[]).await;
    probe.stop().await;
    telemetry.shutdown(Duration::ZERO).unwrap();
}
