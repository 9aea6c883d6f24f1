//! GetResultsHistory through a socket: it ends with what GetResults says, and refuses the rest.

use std::time::{Duration, Instant};

use tiebreak::rpc::pb;
use tonic::Code;

use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire::{self, outcome};
use crate::support::{Home, over_a_socket};

/// Through the whole server: the only one to look is the server.
#[tokio::test]
async fn a_server_looks_by_itself() {
    let home = Home::new(StoreKind::Redis).await;
    let often = Some(Duration::from_millis(10));
    let server = TestServer::start_with(home, |s| s.service.look_interval = often).await;
    server.run(wire::experiment("alone")).await;
    server.log(outcome("alone", "u1", &[("cost", 1.0)])).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server.home.redis_keys().await.iter().any(|key| key.ends_with(":notes")) {
        assert!(Instant::now() < deadline, "nobody looks");
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

over_a_socket! {
    a_history_ends_with_the_results,
    what_does_not_exist_has_no_history,
}

fn request(experiment: &str, metric: &str) -> pb::GetResultsHistoryRequest {
    pb::GetResultsHistoryRequest {
        experiment_id: experiment.to_owned(),
        metric_id: metric.to_owned(),
        ..pb::GetResultsHistoryRequest::default()
    }
}

async fn points(
    server: &TestServer,
    request: pb::GetResultsHistoryRequest,
) -> Vec<pb::ResultsPoint> {
    server.data().get_results_history(request).await.unwrap().into_inner().points
}

async fn a_history_ends_with_the_results(server: TestServer) {
    server.run(wire::experiment("told")).await;
    assert_eq!(points(&server, request("told", "cost")).await, []);
    for unit in 0..40 {
        let sent = outcome("told", &format!("u{unit}"), &[("cost", f64::from(unit % 3))]);
        server.log(sent).await.unwrap();
    }
    let concluded = server.conclude("told", "").await.unwrap();
    let results = concluded.results.unwrap();
    let points = points(&server, request("told", "cost")).await;
    let last = points.last().unwrap();
    assert_eq!(last.time, concluded.experiment.unwrap().conclude_time);
    assert_eq!(last.exposures, results.exposures);
    let full = &results.metrics.iter().find(|m| m.metric_id == "cost").unwrap().comparisons[0];
    let kept = &last.comparisons[0];
    assert_eq!(kept.absolute_difference, full.absolute_difference);
    assert_eq!(kept.difference_interval, full.difference_interval);
    assert_eq!(kept.relative_lift, full.relative_lift);
    assert_eq!(kept.lift_interval, full.lift_interval);
    assert_eq!((kept.p_value, kept.sequential), (full.p_value, full.sequential));
    assert_eq!((kept.verdict, kept.significant), (full.verdict, full.significant));
    assert_eq!((&kept.naive, &kept.fixed_horizon), (&None, &None));
}

async fn what_does_not_exist_has_no_history(server: TestServer) {
    server.run(wire::experiment("there")).await;
    let get = |request| {
        let mut data = server.data();
        async move { failure(data.get_results_history(request).await) }
    };
    let missing = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    assert_eq!(get(request("nobody", "cost")).await, missing);
    let invalid = Failure::invalid("INVALID_REQUEST", &["metric_id"]);
    assert_eq!(get(request("there", "nonsense")).await, invalid);
    let later = pb::GetResultsHistoryRequest { iteration: 2, ..request("there", "cost") };
    assert_eq!(get(later).await, Failure::new(Code::NotFound, "ITERATION_NOT_FOUND"));
}
