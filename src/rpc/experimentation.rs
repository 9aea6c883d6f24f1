//! The data plane: convert, call, convert.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::violation::Violations;
use crate::rpc::clock::now;
use crate::rpc::convert::{assignment, history, outcome, results};
use crate::rpc::outcome_stream::{self, Acknowledgements};
use crate::rpc::pb::experimentation_service_server::ExperimentationService;
use crate::rpc::results_stream::{self, Changes};
use crate::rpc::stop::Stop;
use crate::rpc::{pb, status, trace};
use crate::service::{ResultsRequest, Service, Watch};
use crate::telemetry::RpcSpan;

/// Serves `tiebreak.v1.ExperimentationService`.
#[derive(Debug, Clone)]
pub struct Experimentation {
    service: Arc<Service>,
    stop: Stop,
}

impl Experimentation {
    /// Over the use cases. `stopping` turns true when the streams are to end.
    #[must_use]
    pub fn new(service: Arc<Service>, stopping: watch::Receiver<bool>) -> Self {
        Self { service, stop: Stop::new(stopping) }
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
        let (unit, attributes) =
            assignment::request(&experiment_id, &unit_id, attributes).map_err(status::invalid)?;
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
        let (unit, attributes) =
            assignment::batch(&experiment_ids, &unit_id, attributes).map_err(status::invalid)?;
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

    type StreamOutcomesStream = Acknowledgements;

    async fn stream_outcomes(
        &self,
        request: Request<Streaming<pb::StreamOutcomesRequest>>,
    ) -> Result<Response<Self::StreamOutcomesStream>, Status> {
        let (service, stop) = (Arc::clone(&self.service), self.stop.clone());
        let outcomes = request.into_inner();
        Ok(Response::new(outcome_stream::acknowledgements(service, outcomes, stop)))
    }

    async fn get_results(
        &self,
        request: Request<pb::GetResultsRequest>,
    ) -> Result<Response<pb::GetResultsResponse>, Status> {
        let span = RpcSpan::of(request.extensions());
        let pb::GetResultsRequest { experiment_id, iteration, metric_ids, segment } =
            request.into_inner();
        let segment = segment.map(results::segment_request);
        let request = ResultsRequest { experiment_id, iteration, metric_ids, segment };
        let now = now();
        let answer = self.service.results(&request, now).await;
        let answer = answer.map_err(|error| status::status(&error))?;
        let segments = answer.segments.iter().map(|of| results::results_to_pb(of, now)).collect();
        let results = results::results_to_pb(&answer.results, now);
        trace::results(&span, &results);
        Ok(Response::new(pb::GetResultsResponse { results: Some(results), segments }))
    }

    async fn get_results_history(
        &self,
        request: Request<pb::GetResultsHistoryRequest>,
    ) -> Result<Response<pb::GetResultsHistoryResponse>, Status> {
        let request = history::history_request(request.into_inner());
        let points = self.service.history(&request, now()).await;
        let points = points.map_err(|error| status::status(&error))?;
        let points = points.iter().map(|point| history::point_to_pb(point, &request.metric_id));
        Ok(Response::new(pb::GetResultsHistoryResponse { points: points.collect() }))
    }

    type WatchResultsStream = Changes;

    async fn watch_results(
        &self,
        request: Request<pb::WatchResultsRequest>,
    ) -> Result<Response<Self::WatchResultsStream>, Status> {
        let request = history::watch_request(request.into_inner());
        let watch = Watch::new(Arc::clone(&self.service), request);
        Ok(Response::new(results_stream::changes(watch, self.stop.clone())))
    }
}
