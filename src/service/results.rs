//! GetResults: one look, and of it the metrics asked for.

use crate::domain::analysis::Results;
use crate::domain::experiment::{Experiment, Iteration, Timestamp};
use crate::domain::id::MetricId;
use crate::domain::segment;
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
    /// Of which segment; all units without one.
    pub segment: Option<SegmentRequest>,
}

/// Which segments.
#[derive(Debug, Clone, Default)]
pub struct SegmentRequest {
    /// Of which dimension.
    pub dimension: String,
    /// Which value; empty means each of them, and the whole.
    pub value: String,
}

/// The results asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Of all units, or of one segment.
    pub results: Results,
    /// Where all values of a dimension were asked for: each of them, the most units first, and then
    /// "(other)" and "(none)".
    pub segments: Vec<Results>,
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
    ) -> Result<Answer, ServiceError> {
        let experiment = self.catalog.find(&request.experiment_id)?;
        let metrics = wanted(&experiment, &request.metric_ids)?;
        let iteration = iteration(&experiment, request.iteration)?;
        let mut answer = match &request.segment {
            None => {
                let results = self.look(&experiment, iteration, now).await?;
                Answer { results, segments: Vec::new() }
            }
            Some(asked) => {
                check_segment(&experiment, asked)?;
                let dimension = &asked.dimension;
                let (results, segments) =
                    self.look_at_segments(&experiment, iteration, dimension, now).await?;
                let answer = Answer { results, segments: by_size(segments) };
                if asked.value.is_empty() { answer } else { only(answer, &asked.value)? }
            }
        };
        restrict(&mut answer.results, &metrics);
        answer.segments.iter_mut().for_each(|results| restrict(results, &metrics));
        Ok(answer)
    }
}

fn check_segment(experiment: &Experiment, asked: &SegmentRequest) -> Result<(), ServiceError> {
    let dimensions = &experiment.definition.dimensions;
    let mut bad = Violations::new();
    if !dimensions.contains(&asked.dimension) {
        let known = match dimensions.as_slice() {
            [] => "which has none".to_owned(),
            known => format!("which has {}", known.join(", ")),
        };
        bad.add("segment.dimension", format!("is not a dimension of this experiment, {known}"));
    }
    let value = asked.value.as_str();
    if !(value.is_empty() || segment::is_name(value)) {
        let problem = "must be empty or have at most 64 bytes without control characters";
        bad.add("segment.value", problem);
    }
    bad.into_result(()).map_err(ServiceError::invalid_request)
}

/// The values that have a name by their units, the most first; then those without.
fn by_size(mut segments: Vec<Results>) -> Vec<Results> {
    segments.sort_by_key(|results| {
        let value = results.segment.as_ref().map_or("", |segment| segment.value.as_str());
        let place = [segment::OTHER, segment::NONE].iter().position(|name| *name == value);
        let units = results.exposures.iter().map(|exposure| exposure.units).sum();
        (place.map_or(0, |place| place + 1), std::cmp::Reverse::<i64>(units))
    });
    segments
}

/// The results of one value.
fn only(answer: Answer, value: &str) -> Result<Answer, ServiceError> {
    const TOLD: usize = 8;
    let is_asked =
        |results: &Results| results.segment.as_ref().is_some_and(|segment| segment.value == value);
    let values = answer.segments.iter().filter_map(|results| results.segment.as_ref());
    let mut known: Vec<&str> = values.map(|segment| segment.value.as_str()).take(TOLD).collect();
    if answer.segments.len() > TOLD {
        known.push("...");
    }
    let known = if known.is_empty() { "nobody is there yet".into() } else { known.join(", ") };
    let unknown =
        ServiceError::bad_field("segment.value", format!("is no unit's value so far: {known}"));
    let found = answer.segments.into_iter().find(is_asked).ok_or(unknown)?;
    Ok(Answer { results: found, segments: Vec::new() })
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
