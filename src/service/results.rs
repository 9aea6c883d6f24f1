//! GetResults: one look, and of it the metrics asked for.

use crate::domain::analysis::Results;
use crate::domain::experiment::{Experiment, Iteration, Timestamp};
use crate::domain::id::MetricId;
use crate::domain::violation::Violations;
use crate::service::{Service, ServiceError};

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
        let iteration = iteration(&experiment, request.iteration)?;
        let mut results = self.look(&experiment, iteration, now).await?;
        restrict(&mut results, &metrics);
        Ok(results)
    }
}

/// Leaves the metrics asked for; all when none is. Corrections and the recommendation have taken
/// all of them into account.
pub(super) fn restrict(results: &mut Results, metrics: &[MetricId]) {
    if !metrics.is_empty() {
        results.metrics.retain(|result| metrics.contains(&result.metric));
    }
}

/// The iteration of that number; 0 means the current one.
pub(super) fn iteration(experiment: &Experiment, number: u32) -> Result<&Iteration, ServiceError> {
    experiment.iteration(number).ok_or_else(|| ServiceError::IterationNotFound {
        experiment: experiment.id().to_string(),
        iteration: number,
    })
}

/// The metrics of those names.
pub(super) fn wanted(
    experiment: &Experiment,
    ids: &[String],
) -> Result<Vec<MetricId>, ServiceError> {
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
