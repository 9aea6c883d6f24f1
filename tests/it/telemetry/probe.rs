//! A gRPC server under the layer, and a client of it: `/probe.Probe/Answer5` answers with code
//! 5, `/probe.Probe/Hang` never answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tiebreak::telemetry::{AssignmentFacts, RpcSpan, RpcSpans};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tower::Service;

type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

#[derive(Clone)]
struct ProbeServer;

impl NamedService for ProbeServer {
    const NAME: &'static str = "probe.Probe";
}

impl Service<http::Request<Body>> for ProbeServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let handler = Handler(request.uri().path().replace("/probe.Probe/", ""));
        Box::pin(async move {
            let codec = ProstCodec::<(), ()>::default();
            Ok(tonic::server::Grpc::new(codec).unary(handler, request).await)
        })
    }
}

struct Handler(String);

impl UnaryService<()> for Handler {
    type Response = ();
    type Future = Answer<Response<()>, Status>;

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let method = self.0.clone();
        Box::pin(async move {
            RpcSpan::of(request.extensions()).assignment(&AssignmentFacts {
                experiment: "bot",
                variant: "treatment",
                reason: "SPLIT",
                flag_reason: "split",
                bucket: Some(149),
                version: "7",
            });
            match method.strip_prefix("Answer").and_then(|code| code.parse().ok()) {
                Some(0) => Ok(Response::new(())),
                Some(code) => Err(Status::new(Code::from_i32(code), "as asked")),
                None => std::future::pending().await,
            }
        })
    }
}

/// What the server calls its own.
pub(crate) fn methods() -> Vec<String> {
    let answers = (0..=16).map(|code| format!("probe.Probe/Answer{code}"));
    answers.chain(["probe.Probe/Hang".to_owned()]).collect()
}

/// A running server and a connection to it.
pub(crate) struct Probe {
    channel: Channel,
    stop: oneshot::Sender<()>,
    serving: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Probe {
    pub(crate) async fn start(spans: RpcSpans) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (_, health) = tonic_health::server::health_reporter();
        let mut serving = JoinSet::new();
        serving.spawn(
            Server::builder()
                .layer(spans)
                .add_service(health)
                .add_service(ProbeServer)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                    stopped.await.ok();
                }),
        );
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self { channel: endpoint.connect().await.unwrap(), stop, serving }
    }

    async fn unary(&self, method: &str, request: Request<()>) -> Code {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let path = format!("/probe.Probe/{method}").parse().unwrap();
        let answer = client.unary(request, path, ProstCodec::<(), ()>::default()).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    /// Asks for an answer with this code.
    pub(crate) async fn call(&self, code: Code, metadata: &[(&'static str, &str)]) {
        let mut request = Request::new(());
        for (key, value) in metadata {
            request.metadata_mut().insert(*key, value.parse().unwrap());
        }
        assert_eq!(self.unary(&format!("Answer{}", code as i32), request).await, code);
    }

    /// Asks for an answer that never comes and goes away.
    pub(crate) async fn abandon(&self) {
        let call = self.unary("Hang", Request::new(()));
        tokio::time::timeout(Duration::from_millis(200), call).await.unwrap_err();
    }

    pub(crate) async fn check_health(&self) {
        HealthClient::new(self.channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    }

    /// Waits for the calls at hand and stops.
    pub(crate) async fn stop(mut self) {
        self.stop.send(()).unwrap();
        drop(self.channel);
        self.serving.join_next().await.unwrap().unwrap().unwrap();
    }
}
