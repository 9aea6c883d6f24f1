//! Several threads serve, each with connections and a runtime of its own, over one store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tiebreak::rpc;
use tiebreak::rpc::pb::experimentation_service_client::ExperimentationServiceClient;
use tiebreak::rpc::pb::{LogOutcomeRequest, Outcome};
use tiebreak::service::{Options, Service};
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::support::server::{Failure, StoreKind, TestServer};
use crate::support::{Home, over_a_socket, wire};

over_a_socket! {
    connections_of_all_workers_share_the_store,
}

/// The acceptor gives the first two connections to different workers.
async fn connections_of_all_workers_share_the_store(server: TestServer) {
    server.run(wire::experiment("shared")).await;
    let endpoint = Endpoint::try_from(format!("http://{}", server.grpc)).unwrap();
    let clients = join_all((0..4).map(|_| endpoint.connect())).await;
    let clients: Vec<_> =
        clients.into_iter().map(|c| ExperimentationServiceClient::new(c.unwrap())).collect();
    let calls = (0..400).map(|number| {
        let mut client = clients[number % 4].clone();
        let outcome = wire::outcome("shared", &format!("unit-{}", number / 8), &[("solved", 1.0)]);
        // Each outcome is told twice, by way of two connections.
        let outcome = Outcome { event_id: format!("event-{}", number / 2), ..outcome };
        async move { client.log_outcome(LogOutcomeRequest { outcome: Some(outcome) }).await }
    });
    let receipts = join_all(calls).await.into_iter().map(|a| a.unwrap().into_inner().receipt);
    assert_eq!(receipts.filter(|receipt| receipt.as_ref().unwrap().duplicate).count(), 200);
    let results = server.results("shared").await;
    assert_eq!(results.exposures.iter().map(|arm| arm.outcomes).sum::<i64>(), 200);
    assert_eq!(results.exposures.iter().map(|arm| arm.units).sum::<i64>(), 50);
    // Connections that are merely open hold no worker up.
    server.stop().await;
}

/// Without a socket: over one, the client would go away at the same time.
#[tokio::test]
async fn a_call_is_answered_at_its_deadline() {
    let home = Home::new(StoreKind::Redis).await;
    let store = home.open().await;
    let (service, _recorder) = Service::new(store, Options::default());
    service.refresh().await.unwrap();
    let (_ready, ready) = watch::channel(true);
    let (_stop, stopping) = watch::channel(false);
    let services = rpc::routes(Arc::new(service), ready, stopping).services;
    let over = tower::service_fn(move |request| services.call(request));
    let mut admin = rpc::pb::admin_service_client::AdminServiceClient::new(over.clone());
    let experiment = Some(wire::experiment("late"));
    let request = rpc::pb::CreateExperimentRequest { experiment, validate_only: false };
    admin.create_experiment(request).await.unwrap();
    let experiment_id = "late".to_owned();
    let request = rpc::pb::StartExperimentRequest { experiment_id, ..Default::default() };
    admin.start_experiment(request).await.unwrap();
    let mut redis = home.server.as_ref().unwrap().connection().await;
    let mut pause = ::redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(600_000).arg("WRITE");
    pause.exec_async(&mut redis).await.unwrap();
    let outcome = Some(wire::outcome("late", "u1", &[("solved", 1.0)]));
    let mut request = Request::new(LogOutcomeRequest { outcome });
    request.set_timeout(Duration::from_millis(20));
    let late = ExperimentationServiceClient::new(over).log_outcome(request).await.unwrap_err();
    assert_eq!(Failure::of(&late), Failure::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}
