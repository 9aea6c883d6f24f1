//! Everything that is served on the gRPC port.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use tokio::sync::watch;
use tonic::codegen::{Body, BoxFuture, Bytes, StdError};
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tower::Service as _;

use crate::rpc::pb::admin_service_server::AdminServiceServer;
use crate::rpc::pb::experimentation_service_server::ExperimentationServiceServer;
use crate::rpc::{Admin, DESCRIPTORS, Experimentation, status};
use crate::service::Service;
use crate::telemetry;

type Data = ExperimentationServiceServer<Experimentation>;
type Control = AdminServiceServer<Admin>;

/// The answer to a call, on its way.
pub type Answer = BoxFuture<Response<tonic::body::Body>, Infallible>;

/// Both services, grpc.health.v1, and reflection (v1 and v1alpha).
#[derive(Debug, Clone)]
pub struct Services {
    data: Arc<Experimentation>,
    others: Routes,
}

impl Services {
    /// The same services with reference counts of their own, so that threads that each have
    /// theirs do not write to the same places in memory with every call.
    #[must_use]
    pub fn apart(&self) -> Self {
        let data = Arc::new(Experimentation::clone(&self.data));
        Self { data, others: self.others.clone() }
    }

    /// Answers a call. The data plane is found by the first look at the path; everything else is
    /// rare and goes through a router.
    pub fn call<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let timeout = telemetry::timeout(request.headers());
        let answer: Answer = if is_of(Data::NAME, request.uri().path()) {
            Data::from_arc(Arc::clone(&self.data)).call(request)
        } else {
            Box::pin(self.others.clone().call(request))
        };
        let Some(timeout) = timeout else { return answer };
        Box::pin(async move {
            let answered = tokio::time::timeout(timeout, answer).await;
            answered.unwrap_or_else(|_| Ok(status::deadline_exceeded().into_http()))
        })
    }
}

/// Whether a path, `/{service}/{method}`, names a method of the service.
fn is_of(service: &str, path: &str) -> bool {
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(service));
    method.is_some_and(|method| method.starts_with('/'))
}

/// The services, and the task that keeps their health.
pub struct Serving {
    /// What is served.
    pub services: Services,
    /// Follows the readiness for as long as somebody can change it; then ends all health watches.
    pub health: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

/// Builds everything over the use cases. `ready` says whether traffic should come, `stopping` that
/// streams are to end.
pub fn routes(
    service: Arc<Service>,
    mut ready: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
) -> Serving {
    let (mut reporter, health) = tonic_health::server::health_reporter();
    let data = Arc::new(Experimentation::new(Arc::clone(&service), stopping));
    let mut others = Routes::new(health).add_service(Control::new(Admin::new(service)));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => others = others.add_service(v1).add_service(v1alpha),
        // The descriptors are compiled in and a test reads them back; without them the
        // services work all the same.
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "no reflection"),
    }
    let health = Box::pin(async move {
        loop {
            let status = if *ready.borrow_and_update() {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            reporter.set_service_status("", status).await;
            for name in [Data::NAME, Control::NAME] {
                reporter.set_service_status(name, status).await;
            }
            if ready.changed().await.is_err() {
                break;
            }
        }
        // Whoever watches the health would keep the connection and with it the server: forgetting
        // the services ends those streams, after the last status has gone out.
        reporter.clear_service_status("").await;
        for name in [Data::NAME, Control::NAME] {
            reporter.clear_service_status(name).await;
        }
    });
    Serving { services: Services { data, others: others.prepare() }, health }
}
