//! The layer around every RPC of the server: counts it, opens its span in the caller's trace, hands
//! that to the handler, and ends it when the status is known.
//!
//! The status of a gRPC call comes in the headers when it failed before its first message and
//! in the trailers otherwise, so the body of the answer is watched to its end. That also makes
//! the span of a stream as long as the stream.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry_sdk::trace::SdkTracer;
use pin_project_lite::pin_project;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;
use tower::{Layer, Service};

use super::metrics::{Calls, OTHER};
use super::open_call::OpenCall;
use super::rpc_span::RpcSpan;
use super::w3c;

/// Calls of machines that ask every second and tell nobody anything.
const SILENT: [&str; 2] = ["grpc.health.", "grpc.reflection."];

/// Counts each RPC and opens a span for it; see [`Telemetry::rpc_spans`](super::Telemetry::rpc_spans).
#[derive(Debug, Clone)]
pub struct RpcSpans {
    calls: Arc<Calls>,
    tracer: Option<Arc<SdkTracer>>,
    peer: Option<SocketAddr>,
}

impl RpcSpans {
    pub(super) fn new(calls: Arc<Calls>, tracer: Option<SdkTracer>) -> Self {
        Self { calls, tracer: tracer.map(Arc::new), peer: None }
    }

    /// For the calls of one connection, whose other end is known.
    #[must_use]
    pub fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Makes a call and sees to its span.
    pub fn around<In, F>(
        &self,
        mut request: Request<In>,
        call: impl FnOnce(Request<In>) -> F,
    ) -> RpcSpanFuture<F> {
        let open = self.open(&mut request);
        RpcSpanFuture { inner: call(request), call: open }
    }
}

impl<S> Layer<S> for RpcSpans {
    type Service = RpcSpanService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RpcSpanService { inner, spans: self.clone() }
    }
}

/// A service whose calls are counted and have spans.
#[derive(Debug, Clone)]
pub struct RpcSpanService<S> {
    inner: S,
    spans: RpcSpans,
}

impl<S, In, Out> Service<Request<In>> for RpcSpanService<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
{
    type Response = Response<SpannedBody<Out>>;
    type Error = S::Error;
    type Future = RpcSpanFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        self.spans.around(request, |request| self.inner.call(request))
    }
}

impl RpcSpans {
    /// Begins to count the call and hands its span to the handler, if there is one.
    fn open<In>(&self, request: &mut Request<In>) -> OpenCall {
        let Some(method) = request.uri().path().strip_prefix('/') else {
            return OpenCall::default();
        };
        if SILENT.iter().any(|prefix| method.starts_with(prefix)) {
            return OpenCall::default();
        }
        let place = self.calls.place(method);
        let known = self.calls.is_known(place);
        let tracer = self.tracer.as_ref();
        let span = tracer.and_then(|tracer| span(tracer, self.peer, method, known, request));
        if let Some(span) = &span {
            request.extensions_mut().insert(span.clone());
        }
        let timeout = timeout(request.headers());
        OpenCall::new(Arc::clone(&self.calls), place, timeout, span)
    }
}

/// The span of a call; `None` when nobody will see it.
fn span<In>(
    tracer: &SdkTracer,
    peer: Option<SocketAddr>,
    method: &str,
    known: bool,
    request: &Request<In>,
) -> Option<RpcSpan> {
    let parent = match w3c::remote_parent(request.headers()) {
        // What the sampler would say, without the price of asking it.
        Some(parent) if !parent.is_sampled() => return None,
        Some(parent) => opentelemetry::Context::new().with_remote_span_context(parent),
        None => opentelemetry::Context::new(),
    };
    // The conventions name a method that there is not by the system alone.
    let name = if known { method } else { "grpc" };
    let builder = SpanBuilder::from_name(name.to_owned()).with_kind(SpanKind::Server);
    let mut span = tracer.build_with_context(builder, &parent);
    if !span.is_recording() {
        return None;
    }
    span.set_attributes(call_attributes(peer, method, known, request));
    Some(RpcSpan::recording(span))
}

fn call_attributes<In>(
    peer: Option<SocketAddr>,
    method: &str,
    known: bool,
    request: &Request<In>,
) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", if known { method.to_owned() } else { OTHER.to_owned() }),
        KeyValue::new("openinference.span.kind", "CHAIN"),
    ];
    if !known {
        attributes.push(KeyValue::new("rpc.method_original", method.to_owned()));
    }
    if let Some(authority) = request.uri().authority() {
        attributes.push(KeyValue::new("server.address", authority.host().to_owned()));
        let port = authority.port_u16().map(|port| KeyValue::new("server.port", i64::from(port)));
        attributes.extend(port);
    }
    // A server of tonic's own tells it with each request.
    let told = || request.extensions().get::<TcpConnectInfo>()?.remote_addr();
    if let Some(peer) = peer.or_else(told) {
        attributes.push(KeyValue::new("network.peer.address", peer.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(peer.port())));
    }
    attributes
}

pin_project! {
    /// The answer to come, and the span that ends with it.
    #[derive(Debug)]
    pub struct RpcSpanFuture<F> {
        #[pin]
        inner: F,
        call: OpenCall,
    }
}

impl<F, Out, E> Future for RpcSpanFuture<F>
where
    F: Future<Output = Result<Response<Out>, E>>,
{
    type Output = Result<Response<SpannedBody<Out>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match ready!(this.inner.poll(cx)) {
            Ok(response) => response,
            Err(error) => {
                this.call.end(Code::Unknown);
                return Poll::Ready(Err(error));
            }
        };
        if let Some(code) = status_in(response.headers()) {
            this.call.end(code);
        }
        let call = std::mem::take(this.call);
        Poll::Ready(Ok(response.map(|inner| SpannedBody { inner, call })))
    }
}

/// What `grpc-timeout` says, how long a call may take: at most eight digits and a unit. One that is
/// malformed sets no deadline.
#[must_use]
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?;
    let (digits, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount.checked_mul(3_600)?)),
        "M" => Some(Duration::from_secs(amount.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn status_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|status| Code::from_bytes(status.as_bytes()))
}

pin_project! {
    /// The body of an answer; the span ends with its trailers.
    #[derive(Debug)]
    pub struct SpannedBody<B> {
        #[pin]
        inner: B,
        call: OpenCall,
    }
}

impl<B: Body> Body for SpannedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(status_in) {
                    this.call.end(code);
                }
            }
            // An answer without a status is UNKNOWN to every gRPC client.
            Some(Err(_)) | None => this.call.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
