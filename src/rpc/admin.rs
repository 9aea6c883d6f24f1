//! The control plane: convert, call, convert.

use std::sync::Arc;

use tokio_stream::Empty;
use tonic::{Request, Response, Status};

use crate::domain::experiment::Experiment;
use crate::rpc::caller::author;
use crate::rpc::clock::now;
use crate::rpc::convert::experiment::{draft, etag, experiment_to_pb};
use crate::rpc::convert::{audit, listing, results, sample_size};
use crate::rpc::pb::admin_service_server::AdminService;
use crate::rpc::{pb, status, trace};
use crate::service::{ResultsRequest, Service, ServiceError, Update};
use crate::telemetry::RpcSpan;

/// Most bytes of the entries of a page. Clients take messages of up to 4 MiB unless told otherwise,
/// and the largest experiment, before and after a change, is smaller than this.
const PAGE_BYTES: usize = (4 << 20) - (64 << 10);

/// Serves `tiebreak.v1.AdminService`.
#[derive(Debug, Clone)]
pub struct Admin {
    service: Arc<Service>,
}

impl Admin {
    /// Over the use cases.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        Self { service }
    }
}

/// The record of a successful call, or the status of a failed one.
fn answer(
    span: &RpcSpan,
    result: Result<Experiment, ServiceError>,
) -> Result<Option<pb::Experiment>, Status> {
    let experiment = result.map_err(|error| status::status(&error))?;
    let experiment = Some(experiment_to_pb(&experiment));
    trace::administered(span, experiment.as_ref());
    Ok(experiment)
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_experiment(
        &self,
        request: Request<pb::CreateExperimentRequest>,
    ) -> Result<Response<pb::CreateExperimentResponse>, Status> {
        let (span, author) = (RpcSpan::of(request.extensions()), author(&request));
        let pb::CreateExperimentRequest { experiment, validate_only } = request.into_inner();
        let draft = draft(experiment).map_err(status::invalid_experiment)?;
        let created = self.service.create_experiment(draft, validate_only, &author).await;
        let warnings = created.as_ref().map(|e| e.definition.warnings()).unwrap_or_default();
        let experiment = answer(&span, created)?;
        Ok(Response::new(pb::CreateExperimentResponse { experiment, warnings }))
    }

    async fn get_experiment(
        &self,
        request: Request<pb::GetExperimentRequest>,
    ) -> Result<Response<pb::GetExperimentResponse>, Status> {
        let span = RpcSpan::of(request.extensions());
        let id = request.into_inner().experiment_id;
        let experiment = answer(&span, self.service.experiment(&id).await)?;
        Ok(Response::new(pb::GetExperimentResponse { experiment }))
    }

    async fn list_experiments(
        &self,
        request: Request<pb::ListExperimentsRequest>,
    ) -> Result<Response<pb::ListExperimentsResponse>, Status> {
        let query = listing::request(request.into_inner()).map_err(status::invalid)?;
        let page = self.service.list_experiments(&query, PAGE_BYTES, listing::size).await;
        let page = page.map_err(|error| status::status(&error))?;
        Ok(Response::new(listing::page_to_pb(&page)))
    }

    async fn update_experiment(
        &self,
        request: Request<pb::UpdateExperimentRequest>,
    ) -> Result<Response<pb::UpdateExperimentResponse>, Status> {
        let (span, author) = (RpcSpan::of(request.extensions()), author(&request));
        let pb::UpdateExperimentRequest { experiment, update_mask, allow_missing, validate_only } =
            request.into_inner();
        let etag = etag(experiment.as_ref().map_or("", |experiment| &experiment.etag));
        let draft = draft(experiment).map_err(status::invalid_experiment)?;
        let mask = update_mask.unwrap_or_default().paths;
        let update = Update { draft, mask, etag, allow_missing, validate_only };
        let saved = self.service.update_experiment(update, &author).await;
        let saved = saved.map_err(|error| status::status(&error))?;
        let paths = saved.changed.into_iter().map(str::to_owned).collect();
        let experiment = experiment_to_pb(&saved.experiment);
        trace::administered(&span, Some(&experiment));
        Ok(Response::new(pb::UpdateExperimentResponse {
            warnings: saved.experiment.definition.warnings(),
            experiment: Some(experiment),
            changed: Some(prost_types::FieldMask { paths }),
            new_iteration: saved.new_iteration,
        }))
    }

    async fn start_experiment(
        &self,
        request: Request<pb::StartExperimentRequest>,
    ) -> Result<Response<pb::StartExperimentResponse>, Status> {
        let (span, author) = (RpcSpan::of(request.extensions()), author(&request));
        let pb::StartExperimentRequest { experiment_id: id, etag: tag } = request.into_inner();
        let answered = self.service.start_experiment(&id, etag(&tag), &author).await;
        let experiment = answer(&span, answered)?;
        Ok(Response::new(pb::StartExperimentResponse { experiment }))
    }

    async fn pause_experiment(
        &self,
        request: Request<pb::PauseExperimentRequest>,
    ) -> Result<Response<pb::PauseExperimentResponse>, Status> {
        let (span, author) = (RpcSpan::of(request.extensions()), author(&request));
        let pb::PauseExperimentRequest { experiment_id: id, etag: tag } = request.into_inner();
        let answered = self.service.pause_experiment(&id, etag(&tag), &author).await;
        let experiment = answer(&span, answered)?;
        Ok(Response::new(pb::PauseExperimentResponse { experiment }))
    }

    async fn conclude_experiment(
        &self,
        request: Request<pb::ConcludeExperimentRequest>,
    ) -> Result<Response<pb::ConcludeExperimentResponse>, Status> {
        let (span, author) = (RpcSpan::of(request.extensions()), author(&request));
        let pb::ConcludeExperimentRequest { experiment_id, winner_variant_id, note, etag: tag } =
            request.into_inner();
        let tag = etag(&tag);
        let concluded = self
            .service
            .conclude_experiment(&experiment_id, &winner_variant_id, note, tag, &author)
            .await;
        let experiment = answer(&span, concluded)?;
        let request = ResultsRequest { experiment_id, ..ResultsRequest::default() };
        let frozen = self.service.results(&request, now()).await;
        let frozen = frozen.map_err(|error| status::status(&error))?;
        let results = Some(results::results_to_pb(&frozen.results, now()));
        Ok(Response::new(pb::ConcludeExperimentResponse { experiment, results }))
    }

    async fn archive_experiment(
        &self,
        request: Request<pb::ArchiveExperimentRequest>,
    ) -> Result<Response<pb::ArchiveExperimentResponse>, Status> {
        let (span, author) = (RpcSpan::of(request.extensions()), author(&request));
        let pb::ArchiveExperimentRequest { experiment_id: id, etag: tag } = request.into_inner();
        let answered = self.service.archive_experiment(&id, etag(&tag), &author).await;
        let experiment = answer(&span, answered)?;
        Ok(Response::new(pb::ArchiveExperimentResponse { experiment }))
    }

    async fn delete_experiment(
        &self,
        request: Request<pb::DeleteExperimentRequest>,
    ) -> Result<Response<pb::DeleteExperimentResponse>, Status> {
        let author = author(&request);
        let pb::DeleteExperimentRequest { experiment_id: id, etag: tag, allow_missing } =
            request.into_inner();
        let deleted = self.service.delete_experiment(&id, etag(&tag), allow_missing, &author).await;
        deleted.map_err(|error| status::status(&error))?;
        Ok(Response::new(pb::DeleteExperimentResponse {}))
    }

    async fn plan_sample_size(
        &self,
        request: Request<pb::PlanSampleSizeRequest>,
    ) -> Result<Response<pb::PlanSampleSizeResponse>, Status> {
        let plan = sample_size::plan(request.get_ref());
        Ok(Response::new(plan.map_err(|error| status::status(&error))?))
    }

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let query = audit::request(request.into_inner()).map_err(status::invalid)?;
        let page = self.service.audit_events(&query, PAGE_BYTES, audit::size).await;
        let page = page.map_err(|error| status::status(&error))?;
        Ok(Response::new(audit::page_to_pb(&page)))
    }

    type WatchExperimentsStream = Empty<Result<pb::WatchExperimentsResponse, Status>>;

    async fn watch_experiments(
        &self,
        _request: Request<pb::WatchExperimentsRequest>,
    ) -> Result<Response<Self::WatchExperimentsStream>, Status> {
        Err(status::not_implemented("WatchExperiments"))
    }
}
