//! Results by the value of a dimension.

mod equality;
mod honesty;
mod membership;
mod names;

use tiebreak::rpc::pb;
use tonic::Status;

use crate::support::server::TestServer;
use crate::support::wire::{self, attributes, external, outcome, text};

/// Somebody else assigns; broken down by `plan` and `country`.
fn broken_down(id: &str) -> pb::Experiment {
    pb::Experiment {
        dimensions: vec!["plan".to_owned(), "country".to_owned()],
        ..external(wire::experiment(id))
    }
}

/// An outcome of a unit that tells its plan; none where it is empty.
fn told(id: &str, arm: &str, unit: &str, plan: &str, values: &[(&str, f64)]) -> pb::Outcome {
    pb::Outcome {
        assigned_variant_id: arm.to_owned(),
        attributes: attributes(&[("plan", text(plan))]),
        ..outcome(id, unit, values)
    }
}

/// Sends outcomes that must all count.
async fn send(server: &TestServer, outcomes: &[pb::Outcome]) {
    for batch in outcomes.chunks(500) {
        for result in server.log_batch(batch.to_vec()).await.unwrap() {
            let Some(pb::outcome_result::Result::Receipt(receipt)) = result.result else {
                panic!("{result:?}")
            };
            assert!(receipt.counted, "{receipt:?}");
        }
    }
}

/// The whole and every value of a dimension.
async fn by(server: &TestServer, id: &str, dimension: &str) -> pb::GetResultsResponse {
    ask(server, id, dimension, "").await.unwrap()
}

/// One value of a dimension.
async fn only(
    server: &TestServer,
    id: &str,
    dimension: &str,
    value: &str,
) -> pb::ExperimentResults {
    ask(server, id, dimension, value).await.unwrap().results.unwrap()
}

async fn ask(
    server: &TestServer,
    id: &str,
    dimension: &str,
    value: &str,
) -> Result<pb::GetResultsResponse, Status> {
    let segment = pb::Segment { dimension: dimension.to_owned(), value: value.to_owned() };
    let request = pb::GetResultsRequest {
        experiment_id: id.to_owned(),
        segment: Some(segment),
        ..pb::GetResultsRequest::default()
    };
    Ok(server.data().get_results(request).await?.into_inner())
}

/// The names of the values, in the order of the answer.
fn values(answer: &pb::GetResultsResponse) -> Vec<&str> {
    let segments = answer.segments.iter();
    segments.map(|results| results.segment.as_ref().unwrap().value.as_str()).collect()
}

/// Units and outcomes of both arms together.
fn size(results: &pb::ExperimentResults) -> (i64, i64) {
    let exposures = &results.exposures;
    (exposures.iter().map(|e| e.units).sum(), exposures.iter().map(|e| e.outcomes).sum())
}
