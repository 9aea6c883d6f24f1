//! GetResults: read the shards, add them up, analyse.

use std::sync::Arc;

use crate::domain::analysis::{self, Analysis, Results};
use crate::domain::counter::ShardKey;
use crate::domain::experiment::{Experiment, Iteration, Timestamp};
use crate::domain::id::MetricId;
use crate::domain::tally::Tally;
use crate::domain::violation::Violations;
use crate::service::{Service, ServiceError};
use crate::store::{Rows, StoreError};

/// Which results.
#[derive(Debug, Clone, Default)]
pub struct ResultsRequest {
    /// Of which experiment.
    pub experiment_id: String,
    /// Of which iteration; 0 means the current one.
    pub iteration: u32,
    /// Of which metrics; empty means all.
    pub metric_ids: Vec<String>,
    /// Whether a segment was asked for.
    pub segmented: bool,
}

impl Service {
    /// The results as of now.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::IterationNotFound`],
    /// [`ServiceError::Invalid`], [`ServiceError::StoreUnavailable`], [`ServiceError::NotReady`].
    pub async fn results(
        &self,
        request: &ResultsRequest,
        now: Timestamp,
    ) -> Result<Results, ServiceError> {
        let experiment = self.catalog.find(&request.experiment_id)?;
        if request.segmented {
            let problem = "is not kept: this release has no results by segment";
            return Err(ServiceError::bad_field("segment", problem));
        }
        let metrics = wanted(&experiment, &request.metric_ids)?;
        let number = request.iteration;
        let iteration =
            experiment.iteration(number).ok_or_else(|| ServiceError::IterationNotFound {
                experiment: experiment.id().to_string(),
                iteration: number,
            })?;
        let tally = self.tally(&experiment, iteration).await?;
        let Analysis { mut results, evidence } =
            self.analyse(&experiment, iteration, tally, now).await?;
        self.keep(&experiment, iteration, &evidence).await;
        // Restricted last: corrections and the recommendation need all metrics.
        if !metrics.is_empty() {
            results.metrics.retain(|result| metrics.contains(&result.metric));
        }
        Ok(results)
    }

    /// Milliseconds of pure computing, for the largest experiments: on a thread of its own, and
    /// never more of them at once than there are permits, so that no Assign waits for it.
    async fn analyse(
        &self,
        experiment: &Arc<Experiment>,
        iteration: &Iteration,
        tally: Tally,
        now: Timestamp,
    ) -> Result<Analysis, ServiceError> {
        let failed = |what: &str| ServiceError::StoreBroken(what.to_owned());
        let permit = self.analyses.acquire().await.map_err(|_| failed("no more analyses"))?;
        let (experiment, iteration) = (Arc::clone(experiment), iteration.clone());
        let analysis = tokio::task::spawn_blocking(move || {
            analysis::analyse(&experiment, &iteration, &tally, now)
        });
        let analysis = analysis.await.map_err(|_| failed("the analysis panicked"));
        drop(permit);
        analysis
    }

    /// Keeps the evidence of this look, so that what was significant once stays so. Failing to is
    /// no reason to withhold the results: the next look brings the evidence that is there then.
    async fn keep(&self, experiment: &Experiment, iteration: &Iteration, evidence: &Rows) {
        let first = shards(experiment, iteration).into_iter().next();
        let Some(shard) = first.filter(|_| !evidence.is_empty()) else { return };
        if let Err(error) = self.store.raise(&shard, evidence).await {
            tracing::warn!(%error, experiment = %experiment.id(), "the evidence of a look is lost");
        }
    }

    /// All counters of an iteration, its shards added up.
    pub(super) async fn tally(
        &self,
        experiment: &Experiment,
        iteration: &Iteration,
    ) -> Result<Tally, ServiceError> {
        let mut tally = Tally::new(iteration.layout);
        for key in shards(experiment, iteration) {
            let rows = self.store.rows(&key).await?;
            tally
                .absorb(key.shard, rows)
                .map_err(|corrupt| StoreError::Corrupt(corrupt.to_string()))?;
        }
        Ok(tally)
    }
}

/// The shards of an iteration.
pub(super) fn shards(experiment: &Experiment, iteration: &Iteration) -> Vec<ShardKey> {
    let key = |shard| ShardKey {
        experiment: experiment.id().clone(),
        iteration: iteration.number,
        shard,
    };
    (0..iteration.layout.shards.get()).map(key).collect()
}

fn wanted(experiment: &Experiment, ids: &[String]) -> Result<Vec<MetricId>, ServiceError> {
    let mut bad = Violations::new();
    let mut metrics = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        match experiment.definition.metric(id) {
            Some(metric) => metrics.push(metric.id.clone()),
            None => bad.add(format!("metric_ids[{index}]"), "is not a metric of this experiment"),
        }
    }
    bad.into_result(metrics).map_err(ServiceError::invalid_request)
}
