//! Everything that is served on the gRPC port.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;

use crate::rpc::pb::admin_service_server::AdminServiceServer;
use crate::rpc::pb::experimentation_service_server::ExperimentationServiceServer;
use crate::rpc::{Admin, DESCRIPTORS, Experimentation};
use crate::service::Service;

/// The services, and the task that keeps their health.
pub struct Serving {
    /// Both services, grpc.health.v1, and reflection (v1 and v1alpha).
    pub services: Routes,
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
    type Data = ExperimentationServiceServer<Experimentation>;
    type Control = AdminServiceServer<Admin>;
    let (mut reporter, health) = tonic_health::server::health_reporter();
    let mut services = Routes::new(health);
    services = services
        .add_service(Data::new(Experimentation::new(Arc::clone(&service), stopping)))
        .add_service(Control::new(Admin::new(service)));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => services = services.add_service(v1).add_service(v1alpha),
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
            for name in SERVICES {
                reporter.set_service_status(name, status).await;
            }
            if ready.changed().await.is_err() {
                break;
            }
        }
        // Whoever watches the health would keep the connection and with it the server: forgetting
        // the services ends those streams, after the last status has gone out.
        reporter.clear_service_status("").await;
        for name in SERVICES {
            reporter.clear_service_status(name).await;
        }
    });
    Serving { services, health }
}

const SERVICES: [&str; 2] = ["tiebreak.v1.ExperimentationService", "tiebreak.v1.AdminService"];

/// What one connection may cost. tonic leaves two limits open that hyper closes by default:
/// streams and resets of one connection (RUSTSEC-2024-0003).
#[must_use]
pub fn limits<L>(server: Server<L>) -> Server<L> {
    server
        .max_concurrent_streams(256)
        .http2_max_local_error_reset_streams(Some(1_024))
        .http2_max_pending_accept_reset_streams(Some(20))
        .http2_max_header_list_size(16_384)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
}
