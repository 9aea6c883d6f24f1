//! A whole server on free ports of this machine, with real clients over TCP.
//!
//! Nothing is replaced: `server::serve` runs as the program runs it, on a store of the kind asked
//! for, each in a place of its own ([`Home`]). Dropping a [`TestServer`] cuts it off.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use tiebreak::config::{Settings, StoreLocation};
use tiebreak::rpc::pb;
use tiebreak::rpc::pb::admin_service_client::AdminServiceClient;
use tiebreak::rpc::pb::experimentation_service_client::ExperimentationServiceClient;
use tiebreak::server::{Listeners, ServerError, serve};
use tiebreak::telemetry::Telemetry;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::Home;
pub(crate) use super::Kind as StoreKind;

/// How long a condition may take to become true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub(crate) struct TestServer {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) home: Home,
    channel: Channel,
    stop: oneshot::Sender<()>,
    task: JoinSet<Result<(), ServerError>>,
}

impl TestServer {
    pub(crate) async fn start(kind: StoreKind) -> Self {
        Self::start_in(Home::new(kind).await).await
    }

    /// On what an earlier server left in `home`.
    pub(crate) async fn start_in(home: Home) -> Self {
        Self::start_with(home, |_| {}).await
    }

    /// With other settings than those of a local server.
    pub(crate) async fn start_with(home: Home, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::local(match home.kind {
            StoreKind::Memory => StoreLocation::Memory,
            StoreKind::Embedded => StoreLocation::Embedded(home.directory.path().join("store")),
            StoreKind::Redis => StoreLocation::Redis(home.server.as_ref().unwrap().url()),
        });
        settings.audit = home.audit;
        settings.workers = NonZeroUsize::new(2).unwrap();
        settings.redis_prefix = home.prefix.clone().try_into().unwrap();
        change(&mut settings);
        let listeners = Listeners::bind(&settings).await.unwrap();
        let (grpc, http) = listeners.addresses().unwrap();
        let (stop, stopping) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let stopped = async {
                // A dropped sender stops the server as well.
                let _ = stopping.await;
            };
            serve(&settings, listeners, &Telemetry::off(), stopped).await
        });
        let channel = Endpoint::try_from(format!("http://{grpc}")).unwrap().connect_lazy();
        Self { grpc, http, home, channel, stop, task }
    }

    /// Tells the server to stop, and waits for its end.
    pub(crate) async fn end(mut self) -> (Result<(), ServerError>, Home) {
        drop(self.stop);
        let ended = self.task.join_next().await.unwrap().unwrap();
        (ended, self.home)
    }

    /// Stops the server, which must succeed, and keeps what it stored.
    pub(crate) async fn stop(self) -> Home {
        let (ended, home) = self.end().await;
        ended.unwrap();
        home
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel())
    }

    pub(crate) fn data(&self) -> ExperimentationServiceClient<Channel> {
        // Batches and answers of any legal size.
        ExperimentationServiceClient::new(self.channel()).max_decoding_message_size(64 << 20)
    }

    pub(crate) async fn create(
        &self,
        experiment: pb::Experiment,
    ) -> Result<pb::Experiment, Status> {
        let request =
            pb::CreateExperimentRequest { experiment: Some(experiment), validate_only: false };
        let answer = self.admin().create_experiment(request).await?;
        Ok(answer.into_inner().experiment.unwrap())
    }

    /// Creates and starts.
    pub(crate) async fn run(&self, experiment: pb::Experiment) -> pb::Experiment {
        let id = self.create(experiment).await.unwrap().experiment_id;
        self.start_experiment(&id).await.unwrap()
    }

    pub(crate) async fn get(&self, id: &str) -> Result<pb::Experiment, Status> {
        let request = pb::GetExperimentRequest { experiment_id: id.to_owned() };
        Ok(self.admin().get_experiment(request).await?.into_inner().experiment.unwrap())
    }

    /// Polls the experiment until it is as wanted.
    pub(crate) async fn experiment_when(
        &self,
        id: &str,
        wanted: impl Fn(&pb::Experiment) -> bool,
    ) -> pb::Experiment {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let experiment = self.get(id).await.unwrap();
            if wanted(&experiment) {
                return experiment;
            }
            assert!(Instant::now() < deadline, "still {experiment:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn update(
        &self,
        request: pb::UpdateExperimentRequest,
    ) -> Result<pb::UpdateExperimentResponse, Status> {
        Ok(self.admin().update_experiment(request).await?.into_inner())
    }

    /// Replaces some top-level fields, or all of them when none is named.
    pub(crate) async fn replace(
        &self,
        experiment: pb::Experiment,
        fields: &[&str],
    ) -> Result<pb::UpdateExperimentResponse, Status> {
        let paths = fields.iter().map(ToString::to_string).collect();
        self.update(pb::UpdateExperimentRequest {
            experiment: Some(experiment),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..pb::UpdateExperimentRequest::default()
        })
        .await
    }

    pub(crate) async fn start_experiment(&self, id: &str) -> Result<pb::Experiment, Status> {
        let request =
            pb::StartExperimentRequest { experiment_id: id.to_owned(), etag: String::new() };
        Ok(self.admin().start_experiment(request).await?.into_inner().experiment.unwrap())
    }

    pub(crate) async fn pause(&self, id: &str) -> Result<pb::Experiment, Status> {
        let request =
            pb::PauseExperimentRequest { experiment_id: id.to_owned(), etag: String::new() };
        Ok(self.admin().pause_experiment(request).await?.into_inner().experiment.unwrap())
    }

    pub(crate) async fn conclude(
        &self,
        id: &str,
        winner: &str,
    ) -> Result<pb::ConcludeExperimentResponse, Status> {
        let request = pb::ConcludeExperimentRequest {
            experiment_id: id.to_owned(),
            winner_variant_id: winner.to_owned(),
            ..pb::ConcludeExperimentRequest::default()
        };
        Ok(self.admin().conclude_experiment(request).await?.into_inner())
    }

    pub(crate) async fn archive(&self, id: &str) -> Result<pb::Experiment, Status> {
        let request =
            pb::ArchiveExperimentRequest { experiment_id: id.to_owned(), etag: String::new() };
        Ok(self.admin().archive_experiment(request).await?.into_inner().experiment.unwrap())
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = pb::DeleteExperimentRequest {
            experiment_id: id.to_owned(),
            ..pb::DeleteExperimentRequest::default()
        };
        self.admin().delete_experiment(request).await.map(|_| ())
    }

    pub(crate) async fn audit(
        &self,
        request: pb::ListAuditEventsRequest,
    ) -> Result<pb::ListAuditEventsResponse, Status> {
        Ok(self.admin().list_audit_events(request).await?.into_inner())
    }

    /// All events of an experiment, or of all of them, newest first.
    pub(crate) async fn events(&self, id: &str) -> Vec<pb::AuditEvent> {
        let request = pb::ListAuditEventsRequest {
            experiment_id: id.to_owned(),
            page_size: 1_000,
            ..pb::ListAuditEventsRequest::default()
        };
        self.audit(request).await.unwrap().events
    }

    pub(crate) async fn assign(&self, id: &str, unit: &str) -> Result<pb::Assignment, Status> {
        self.assign_with(pb::AssignRequest {
            experiment_id: id.to_owned(),
            unit_id: unit.to_owned(),
            ..pb::AssignRequest::default()
        })
        .await
    }

    pub(crate) async fn assign_with(
        &self,
        request: pb::AssignRequest,
    ) -> Result<pb::Assignment, Status> {
        Ok(self.data().assign(request).await?.into_inner().assignment.unwrap())
    }

    pub(crate) async fn log(&self, outcome: pb::Outcome) -> Result<pb::OutcomeReceipt, Status> {
        let request = pb::LogOutcomeRequest { outcome: Some(outcome) };
        Ok(self.data().log_outcome(request).await?.into_inner().receipt.unwrap())
    }

    pub(crate) async fn log_batch(
        &self,
        outcomes: Vec<pb::Outcome>,
    ) -> Result<Vec<pb::OutcomeResult>, Status> {
        let request = pb::BatchLogOutcomesRequest { outcomes };
        Ok(self.data().batch_log_outcomes(request).await?.into_inner().results)
    }

    pub(crate) async fn results(&self, id: &str) -> pb::ExperimentResults {
        self.results_of(id, 0).await.unwrap()
    }

    pub(crate) async fn results_of(
        &self,
        id: &str,
        iteration: u32,
    ) -> Result<pb::ExperimentResults, Status> {
        let request = pb::GetResultsRequest {
            experiment_id: id.to_owned(),
            iteration,
            ..pb::GetResultsRequest::default()
        };
        Ok(self.data().get_results(request).await?.into_inner().results.unwrap())
    }

    /// Polls the results until they are as wanted.
    pub(crate) async fn results_when(
        &self,
        id: &str,
        wanted: impl Fn(&pb::ExperimentResults) -> bool,
    ) -> pb::ExperimentResults {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let results = self.results(id).await;
            if wanted(&results) {
                return results;
            }
            assert!(Instant::now() < deadline, "still {results:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What a client of any language reads from a failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) reason: String,
    /// Sorted, each once.
    pub(crate) fields: Vec<String>,
}

impl Failure {
    /// Reads the details and checks what holds of every error of the contract.
    pub(crate) fn of(status: &Status) -> Self {
        use tonic_types::StatusExt as _;
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
        assert_eq!(info.domain, "tiebreak.v1");
        assert!(!status.message().is_empty());
        let bad = details.bad_request().map(|bad| bad.field_violations.as_slice());
        let code = status.code();
        assert_eq!(bad.is_some(), code == Code::InvalidArgument, "{status:?}");
        let comes_back = matches!(code, Code::Unavailable | Code::ResourceExhausted);
        assert_eq!(details.retry_info().is_some(), comes_back, "{status:?}");
        let mut fields: Vec<_> = bad.unwrap_or_default().iter().map(|v| v.field.clone()).collect();
        assert!(bad.unwrap_or_default().iter().all(|v| !v.description.is_empty()), "{status:?}");
        fields.sort_unstable();
        fields.dedup();
        Self { code, reason: info.reason.clone(), fields }
    }

    pub(crate) fn new(code: Code, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), fields: Vec::new() }
    }

    pub(crate) fn invalid(reason: &str, fields: &[&str]) -> Self {
        let mut fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        fields.sort_unstable();
        Self { code: Code::InvalidArgument, reason: reason.to_owned(), fields }
    }
}

/// The failure of a call that must fail.
pub(crate) fn failure<T: std::fmt::Debug>(answer: Result<T, Status>) -> Failure {
    Failure::of(&answer.expect_err("the call succeeded"))
}
