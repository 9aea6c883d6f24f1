//! WatchResults through a socket: the results at once, every change, a sign of life, a clean end.

use std::time::Duration;

use tiebreak::config::StoreLocation;
use tiebreak::rpc::pb;
use tonic::{Code, Status, Streaming};

use crate::support::Home;
use crate::support::over_a_socket;
use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire::{self, exposure, outcome, unit};

over_a_socket! {
    changes_are_told_and_nothing_else,
    metrics_are_those_asked_for,
    what_does_not_exist_is_not_watched,
    a_deletion_ends_the_watch,
    a_drain_ends_the_watch,
}

const SHORTEST: prost_types::Duration = prost_types::Duration { seconds: 0, nanos: 200_000_000 };

type Changes = Streaming<pb::WatchResultsResponse>;

async fn watch(server: &TestServer, id: &str) -> Changes {
    let request = pb::WatchResultsRequest {
        experiment_id: id.to_owned(),
        // Raised to the shortest.
        min_interval: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
        ..pb::WatchResultsRequest::default()
    };
    server.data().watch_results(request).await.unwrap().into_inner()
}

async fn message(changes: &mut Changes) -> Result<Option<pb::ExperimentResults>, Status> {
    changes.message().await.map(|message| message.expect("a watch ends with a status").results)
}

/// The next change, over signs of life.
async fn change(changes: &mut Changes) -> pb::ExperimentResults {
    loop {
        if let Some(results) = message(changes).await.unwrap() {
            return results;
        }
    }
}

async fn log(server: &TestServer, id: &str) {
    server.log(outcome(id, &unit(id, true), &[("solved", 1.0)])).await.unwrap();
}

/// The same server with frequent signs of life.
async fn lively(server: TestServer) -> TestServer {
    let home = server.stop().await;
    let often = Duration::from_millis(300);
    TestServer::start_with(home, |settings| settings.service.keep_alive = often).await
}

async fn changes_are_told_and_nothing_else(server: TestServer) {
    let server = lively(server).await;
    server.run(wire::experiment("watched")).await;
    let mut changes = watch(&server, "watched").await;
    let first = message(&mut changes).await.unwrap().expect("results at once");
    assert_eq!(exposure(&first, "treatment"), (0, 0, 0));
    for _ in 0..2 {
        assert_eq!(message(&mut changes).await.unwrap(), None, "nothing has changed");
    }
    let mut others = vec![watch(&server, "watched").await, watch(&server, "watched").await];
    for other in &mut others {
        assert_eq!(exposure(&change(other).await, "treatment"), (0, 0, 0));
    }
    for count in 1..=3 {
        log(&server, "watched").await;
        for changes in others.iter_mut().chain([&mut changes]) {
            assert_eq!(exposure(&change(changes).await, "treatment"), (1, count, 0));
        }
    }
    // The state is part of the results.
    server.pause("watched").await.unwrap();
    assert_eq!(change(&mut changes).await.state(), pb::experiment::State::Paused);
}

async fn metrics_are_those_asked_for(server: TestServer) {
    server.run(wire::experiment("some")).await;
    let request = pb::WatchResultsRequest {
        experiment_id: "some".to_owned(),
        metric_ids: vec!["cost".to_owned()],
        min_interval: Some(SHORTEST),
    };
    let mut changes = server.data().watch_results(request).await.unwrap().into_inner();
    for _ in 0..2 {
        let results = change(&mut changes).await;
        let names: Vec<_> = results.metrics.iter().map(|m| m.metric_id.as_str()).collect();
        assert_eq!(names, ["cost"]);
        log(&server, "some").await;
    }
}

async fn what_does_not_exist_is_not_watched(server: TestServer) {
    server.run(wire::experiment("there")).await;
    let mut nobody = watch(&server, "nobody").await;
    let unknown = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    assert_eq!(failure(message(&mut nobody).await), unknown);
    let request = pb::WatchResultsRequest {
        experiment_id: "there".to_owned(),
        metric_ids: vec!["solved".to_owned(), "nonsense".to_owned()],
        min_interval: None,
    };
    let mut nothing = server.data().watch_results(request).await.unwrap().into_inner();
    let invalid = Failure::invalid("INVALID_REQUEST", &["metric_ids[1]"]);
    assert_eq!(failure(message(&mut nothing).await), invalid);
}

async fn a_deletion_ends_the_watch(server: TestServer) {
    server.create(wire::experiment("doomed")).await.unwrap();
    let mut changes = watch(&server, "doomed").await;
    change(&mut changes).await;
    server.delete("doomed").await.unwrap();
    let gone = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    assert_eq!(failure(message(&mut changes).await), gone);
}

async fn a_drain_ends_the_watch(server: TestServer) {
    server.run(wire::experiment("drained")).await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        let mut changes = watch(&server, "drained").await;
        change(&mut changes).await;
        watches.push(changes);
    }
    let hear = async {
        for changes in &mut watches {
            let going = Failure::new(Code::Unavailable, "SHUTTING_DOWN");
            assert_eq!(failure(message(changes).await), going);
        }
    };
    let ((ended, _), ()) = tokio::join!(server.end(), hear);
    ended.unwrap();
}

#[tokio::test]
async fn what_another_replica_takes_is_seen() {
    let one = TestServer::start(StoreKind::Redis).await;
    let url = one.home.server.as_ref().unwrap().url();
    let other = TestServer::start_with(Home::new(StoreKind::Memory).await, |settings| {
        settings.store = StoreLocation::Redis(url);
    })
    .await;
    one.run(wire::experiment("shared")).await;
    let mut changes = watch(&one, "shared").await;
    change(&mut changes).await;
    // The other one knows the experiment as soon as it has polled.
    let sent = outcome("shared", &unit("shared", true), &[("solved", 1.0)]);
    while other.log(sent.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(exposure(&change(&mut changes).await, "treatment"), (1, 1, 0));
}
