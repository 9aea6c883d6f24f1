//! The end of a server: what it owes is paid first, and nobody can keep it.

use std::error::Error as _;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tiebreak::config::{Settings, StoreLocation};
use tiebreak::server::{Listeners, ServerError};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::server::{Failure, StoreKind, TestServer};
use crate::support::wire;
use crate::support::{Home, over_a_socket};

over_a_socket! {
    queued_exposures_are_written,
    what_was_acknowledged_is_there,
}

async fn queued_exposures_are_written(server: TestServer) {
    server.run(wire::experiment("leaving")).await;
    let units: Vec<_> = (0..300).map(|number| format!("unit-{number}")).collect();
    for assigned in join_all(units.iter().map(|unit| server.assign("leaving", unit))).await {
        assert!(assigned.unwrap().in_experiment);
    }
    let home = server.stop().await;
    // A Redis in this test keeps its data in memory, and goes on while the server is replaced.
    let successor = TestServer::start_in(home).await;
    let results = successor.results("leaving").await;
    assert_eq!(results.exposures.iter().map(|arm| arm.units).sum::<i64>(), 300);
}

/// Calls go on while the server stops. Each is answered or cut; what was answered is stored.
async fn what_was_acknowledged_is_there(server: TestServer) {
    server.run(wire::experiment("stopping")).await;
    let data = server.data();
    let calls = (0..200).map(|number| {
        let mut data = data.clone();
        async move {
            let unit = format!("unit-{number}");
            let outcome = Some(wire::outcome("stopping", &unit, &[("solved", 1.0)]));
            data.log_outcome(tiebreak::rpc::pb::LogOutcomeRequest { outcome }).await
        }
    });
    let (answers, home) = join(join_all(calls), server.stop()).await;
    let acknowledged = answers.iter().filter(|answer| answer.is_ok()).count();
    let successor = TestServer::start_in(home).await;
    let results = successor.results("stopping").await;
    let stored: i64 = results.exposures.iter().map(|arm| arm.outcomes).sum();
    assert!(usize::try_from(stored).unwrap() >= acknowledged, "{stored} < {acknowledged}");
}

/// Redis is told to hold writes back, so the call is certainly in flight when the server stops.
#[tokio::test]
async fn a_call_in_flight_is_answered() {
    let server = TestServer::start(StoreKind::Redis).await;
    server.run(wire::experiment("in-flight")).await;
    let mut redis = server.home.server.as_ref().unwrap().connection().await;
    let mut pause = ::redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(60_000).arg("WRITE");
    pause.exec_async(&mut redis).await.unwrap();
    let mut data = server.data();
    let outcome = Some(wire::outcome("in-flight", "u1", &[("solved", 1.0)]));
    let call = data.log_outcome(tiebreak::rpc::pb::LogOutcomeRequest { outcome });
    let (grpc, http) = (server.grpc, server.http);
    let stop = async {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !someone_waits(&mut redis).await {
            assert!(Instant::now() < deadline, "the call does not reach Redis");
        }
        let release = async {
            while TcpStream::connect(grpc).await.is_ok() || TcpStream::connect(http).await.is_ok() {
                assert!(Instant::now() < deadline, "the server still listens");
                tokio::task::yield_now().await;
            }
            ::redis::cmd("CLIENT").arg("UNPAUSE").exec_async(&mut redis).await.unwrap();
        };
        join(server.end(), release).await.0.0
    };
    let (answer, ended) = join(call, stop).await;
    ended.unwrap();
    match answer {
        Ok(answer) => assert!(answer.into_inner().receipt.unwrap().counted),
        // A machine so busy that the store's own patience ended: an answer as well.
        Err(status) => {
            assert_eq!(Failure::of(&status), Failure::new(Code::Unavailable, "STORE_UNAVAILABLE"));
        }
    }
}

async fn someone_waits(redis: &mut ::redis::aio::MultiplexedConnection) -> bool {
    let clients: String = ::redis::cmd("INFO").arg("clients").query_async(redis).await.unwrap();
    !clients.contains("blocked_clients:0")
}

#[tokio::test]
async fn who_watches_the_health_hears_of_the_end() {
    let server = TestServer::start(StoreKind::Memory).await;
    let mut health = HealthClient::new(server.channel());
    let mut watches = Vec::new();
    for service in ["", "tiebreak.v1.AdminService", "tiebreak.v1.ExperimentationService"] {
        // The services are known as soon as the server is ready.
        server.get("nothing").await.unwrap_err();
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut watch = health.watch(request).await.unwrap().into_inner();
        while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        watches.push(watch);
    }
    let hear = async {
        for watch in &mut watches {
            let last = watch.message().await.unwrap().unwrap();
            assert_eq!(last.status(), ServingStatus::NotServing);
            assert!(watch.message().await.unwrap().is_none());
        }
    };
    let ((ended, _), ()) = join(server.end(), hear).await;
    ended.unwrap();
}

/// Who connects and never speaks holds the drain up to its deadline, not beyond.
#[tokio::test]
async fn a_silent_connection_is_cut_at_the_deadline() {
    let home = Home::new(StoreKind::Memory).await;
    let patience = Duration::from_millis(100);
    let server = TestServer::start_with(home, |settings| settings.drain_deadline = patience).await;
    let _silent = TcpStream::connect(server.grpc).await.unwrap();
    server.assign("nobody", "u1").await.unwrap_err();
    let (ended, _) = server.end().await;
    assert!(matches!(ended, Err(ServerError::DrainDeadline(after)) if after == patience));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = TestServer::start(StoreKind::Memory).await;
    for http in [false, true] {
        let mut settings = Settings::local(StoreLocation::Memory);
        let taken = if http { server.http } else { server.grpc };
        *(if http { &mut settings.http_listen } else { &mut settings.grpc_listen }) = taken;
        let refused = Listeners::bind(&settings).await.unwrap_err();
        assert!(matches!(refused, ServerError::Bind { address, .. } if address == taken));
        assert_eq!(refused.to_string(), format!("cannot listen on {taken}"));
        assert!(refused.source().unwrap().to_string().contains("in use"));
    }
}
