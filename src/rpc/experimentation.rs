//! The data plane: convert, call, convert.

use std::sync::Arc;

use tokio_stream::Empty;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::violation::Violations;
use crate::rpc::clock::now;
use crate::rpc::convert::{assignment, outcome, results};
use crate::rpc::pb::experimentation_service_server::ExperimentationService;
use crate::rpc::{pb, status, trace};
use crate::service::{ResultsRequest, Service};
use crate::telemetry::RpcSpan;

/// Serves `tiebreak.v1.ExperimentationService`.
#[derive(Debug, Clone)]
pub struct Experimentation {
    service: Arc<Service>,
}

impl Experimentation {
    /// Over the use cases.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl ExperimentationService for Experimentation {
    async fn assign(
        &self,
        request: Request<pb::AssignRequest>,
    ) -> Result<Response<pb::AssignResponse>, Status> {
        let span = RpcSpan::of(request.extensions());
        let pb::AssignRequest { experiment_id, unit_id, attributes, defer_exposure } =
            request.into_inner();
        let (unit, attributes) = assignment::unit(&unit_id, attributes).map_err(status::invalid)?;
        let assigned = self
            .service
            .assign(&experiment_id, unit, &attributes, defer_exposure)
            .map_err(|error| status::status(&error))?;
        trace::assigned(&span, &assigned);
        let assignment = Some(assignment::assignment_to_pb(&assigned));
        Ok(Response::new(pb::AssignResponse { assignment }))
    }

    async fn batch_assign(
        &self,
        request: Request<pb::BatchAssignRequest>,
    ) -> Result<Response<pb::BatchAssignResponse>, Status> {
        let pb::BatchAssignRequest { unit_id, experiment_ids, attributes, defer_exposure } =
            request.into_inner();
        assignment::check_batch(&experiment_ids).map_err(status::invalid)?;
        let (unit, attributes) = assignment::unit(&unit_id, attributes).map_err(status::invalid)?;
        let assigned = self
            .service
            .assign_batch(&experiment_ids, unit, &attributes, defer_exposure)
            .map_err(|error| status::status(&error))?;
        let results = assigned.into_iter().map(assignment::result_to_pb).collect();
        Ok(Response::new(pb::BatchAssignResponse { results }))
    }

    async fn log_outcome(
        &self,
        request: Request<pb::LogOutcomeRequest>,
    ) -> Result<Response<pb::LogOutcomeResponse>, Status> {
        let span = RpcSpan::of(request.extensions());
        let Some(outcome) = request.into_inner().outcome else {
            return Err(status::invalid(Violations::of("outcome", "must be set")));
        };
        let draft = outcome::draft(outcome);
        let receipt = self
            .service
            .log_outcome(&draft)
            .await
            .map_err(|error| status::status(&error.below("outcome")))?;
        let receipt = outcome::receipt_to_pb(receipt);
        trace::outcome(&span, &draft.experiment_id, &receipt);
        Ok(Response::new(pb::LogOutcomeResponse { receipt: Some(receipt) }))
    }

    async fn batch_log_outcomes(
        &self,
        request: Request<pb::BatchLogOutcomesRequest>,
    ) -> Result<Response<pb::BatchLogOutcomesResponse>, Status> {
        let outcomes = request.into_inner().outcomes;
        outcome::check_batch(&outcomes).map_err(status::invalid)?;
        let drafts: Vec<_> = outcomes.into_iter().map(outcome::draft).collect();
        let receipts = self.service.log_outcomes(&drafts).await;
        let results = receipts.into_iter().map(outcome::result_to_pb).collect();
        Ok(Response::new(pb::BatchLogOutcomesResponse { results }))
    }

    type StreamOutcomesStream = Empty<Result<pb::StreamOutcomesResponse, Status>>;

    async fn stream_outcomes(
        &self,
        _request: Request<Streaming<pb::StreamOutcomesRequest>>,
    ) -> Result<Response<Self::StreamOutcomesStream>, Status> {
        Err(status::not_implemented("StreamOutcomes"))
    }

    async fn get_results(
        &self,
        request: Request<pb::GetResultsRequest>,
    ) -> Result<Response<pb::GetResultsResponse>, Status> {
        let span = RpcSpan::of(request.extensions());
        let pb::GetResultsRequest { experiment_id, iteration, metric_ids, segment } =
            request.into_inner();
        let segmented = segment.is_some();
        let request = ResultsRequest { experiment_id, iteration, metric_ids, segmented };
        let now = now();
        let answer = self.service.results(&request, now).await;
        let answer = answer.map_err(|error| status::status(&error))?;
        let results = results::results_to_pb(&answer, now);
        trace::results(&span, &results);
        Ok(Response::new(pb::GetResultsResponse { results: Some(results) }))
    }

    async fn get_results_history(
        &self,
        _request: Request<pb::GetResultsHistoryRequest>,
    ) -> Result<Response<pb::GetResultsHistoryResponse>, Status> {
        Err(status::not_implemented("GetResultsHistory"))
    }

    type WatchResultsStream = Empty<Result<pb::WatchResultsResponse, Status>>;

    async fn watch_results(
        &self,
        _request: Request<pb::WatchResultsRequest>,
    ) -> Result<Response<Self::WatchResultsStream>, Status> {
        Err(status::not_implemented("WatchResults"))
    }
}
