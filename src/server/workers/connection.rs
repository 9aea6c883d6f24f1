//! One connection: HTTP/2 with its limits, the calls that it carries, and its end.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::rpc::{Answer, Services};
use crate::server::stopped;
use crate::telemetry::{RpcSpanFuture, RpcSpans, SpannedBody};

/// What is behind a connection.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    pub(super) services: Services,
    pub(super) spans: RpcSpans,
}

impl Service<Request<Incoming>> for Calls {
    type Response = Response<SpannedBody<tonic::body::Body>>;
    type Error = Infallible;
    type Future = RpcSpanFuture<Answer>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.spans.around(request, |request| self.services.call(request))
    }
}

/// Serves a connection, whatever carries its bytes, until it is closed. When `stopping` turns true
/// it takes no more calls and closes after the last of those under way.
pub(super) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    calls: Calls,
    stopping: watch::Receiver<bool>,
) {
    let mut connection = pin!(http2().serve_connection(TokioIo::new(io), calls));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// What one connection may cost: streams and resets are limited (RUSTSEC-2024-0003), and one whose
/// other end is silently gone is found out.
fn http2() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        // gRPC has no use for it.
        .auto_date_header(false)
        .max_concurrent_streams(256)
        .max_local_error_reset_streams(1_024)
        .max_pending_accept_reset_streams(20)
        .max_header_list_size(16_384)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
