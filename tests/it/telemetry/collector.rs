//! An OTLP collector inside of the test: keeps what it is sent.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector on a port of its own; gone when dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    kept: Kept,
    _serving: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Kept::default();
        let mut serving = JoinSet::new();
        serving.spawn(
            tonic::transport::Server::builder()
                .add_service(TraceServiceServer::new(kept.clone()))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { url, kept, _serving: serving }
    }

    /// Every span that arrived.
    pub(crate) fn spans(&mut self) -> Vec<Span> {
        let requests = self.kept.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.iter().cloned()).collect()
    }

    /// A text among the attributes of the sender.
    pub(crate) fn resource(&self, key: &str) -> String {
        let requests = self.kept.0.lock().unwrap();
        let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
        match find(&resource.attributes, key) {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("{key}: {other:?}"),
        }
    }
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

/// An attribute of a span.
pub(crate) fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    find(&span.attributes, key)
}

/// An attribute of a span that is a text.
pub(crate) fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let value = attribute(span, key)?;
    let Value::StringValue(text) = value else { panic!("{key}: {value:?}") };
    Some(text)
}
