//! Redis dies: what needs it says so and when to come back, Assign goes on.

use std::time::{Duration, Instant};

use tiebreak::rpc::pb;
use tonic::Code;

use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire::{self, outcome};

#[tokio::test]
async fn assign_goes_on_without_the_store() {
    let mut server = TestServer::start(StoreKind::Redis).await;
    server.run(wire::experiment("outage")).await;
    let before = server.assign("outage", "u1").await.unwrap();
    server.home.server.as_mut().unwrap().kill();

    let unavailable = Failure::new(Code::Unavailable, "STORE_UNAVAILABLE");
    let sent = outcome("outage", "u1", &[("solved", 1.0)]);
    assert_eq!(failure(server.log(sent.clone()).await), unavailable);
    assert_eq!(failure(server.results_of("outage", 0).await), unavailable);
    assert_eq!(failure(server.get("outage").await), unavailable);
    assert_eq!(failure(server.create(wire::experiment("another")).await), unavailable);
    assert_eq!(failure(server.pause("outage").await), unavailable);
    let [told] = <[_; 1]>::try_from(server.log_batch(vec![sent.clone()]).await.unwrap()).unwrap();
    let pb::outcome_result::Result::Error(error) = told.result.unwrap() else { panic!() };
    assert_eq!((error.code, error.reason.as_str()), (14, "STORE_UNAVAILABLE"));
    assert_eq!(server.assign("outage", "u1").await.unwrap(), before);

    // It is back, empty: the server finds it by itself.
    server.home.server.as_mut().unwrap().start_again().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while failure_of_get(&server).await == unavailable {
        assert!(Instant::now() < deadline, "the server does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_redis_that_lost_its_past_is_followed() {
    let mut server = TestServer::start(StoreKind::Redis).await;
    for id in ["one", "two"] {
        server.run(wire::experiment(id)).await;
    }
    let redis = server.home.server.as_mut().unwrap();
    redis.kill();
    redis.start_again().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    // As many changes as there were before, so that a plain counter would come to the same number.
    while server.create(wire::experiment("one")).await.is_err() {
        assert!(Instant::now() < deadline, "the server does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.start_experiment("one").await.unwrap();
    server.pause("one").await.unwrap();
    server.start_experiment("one").await.unwrap();
    assert!(server.assign("one", "u1").await.unwrap().in_experiment, "an own write is visible");
    let gone = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    assert_eq!(failure(server.assign("two", "u1").await), gone);
}

async fn failure_of_get(server: &TestServer) -> Failure {
    failure(server.get("outage").await)
}
