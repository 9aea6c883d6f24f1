//! GetResultsHistory, and the looks that nobody asked for: without them a history would show only
//! the hours in which somebody watched, and a sequential test would know only their evidence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::analysis::Results;
use crate::domain::counter::ShardKey;
use crate::domain::experiment::{Experiment, Iteration, State, Timestamp};
use crate::domain::history::{self, Point, Tick};
use crate::domain::segment::SLOTS;
use crate::service::results::iteration;
use crate::service::{Service, ServiceError};
use crate::store::{Note, StoreError};

/// Points unless asked for fewer or more.
const DEFAULT_POINTS: usize = 200;

/// Raised when a point of this release can no longer be read by the previous one.
const FORMAT: u8 = 1;

/// Which history.
#[derive(Debug, Clone, Default)]
pub struct HistoryRequest {
    /// Of which experiment.
    pub experiment_id: String,
    /// Of which metric.
    pub metric_id: String,
    /// Of which iteration; 0 means the current one.
    pub iteration: u32,
    /// At most so many points; 0 means 200.
    pub max_points: u32,
}

/// The last tick of each iteration that this process need not look at again.
#[derive(Debug, Default)]
pub(super) struct Recorded(Mutex<HashMap<ShardKey, Tick>>);

impl Recorded {
    fn has(&self, shard: &ShardKey, tick: Tick) -> bool {
        let recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.get(shard) == Some(&tick)
    }

    fn add(&self, shard: ShardKey, tick: Tick) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, tick);
    }
}

impl Service {
    /// How the results developed, oldest first; the last point is a look at `now`, or at the end
    /// of an experiment that has ended.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::IterationNotFound`],
    /// [`ServiceError::Invalid`], [`ServiceError::StoreUnavailable`], [`ServiceError::NotReady`].
    pub async fn history(
        &self,
        request: &HistoryRequest,
        now: Timestamp,
    ) -> Result<Vec<Point>, ServiceError> {
        let experiment = self.catalog.find(&request.experiment_id)?;
        if experiment.definition.metric(&request.metric_id).is_none() {
            let problem = "is not a metric of this experiment";
            return Err(ServiceError::bad_field("metric_id", problem));
        }
        let iteration = iteration(&experiment, request.iteration)?;
        // Before the points are read: the look may add one.
        let results = self.look(&experiment, iteration, now).await?;
        let now = experiment.concluded.map_or(now, |concluded| concluded.min(now));
        let mut points = self.points(&experiment, iteration).await?;
        points.retain(|point| point.time < now);
        points.extend(Point::of_results(&results, now));
        let limit = usize::try_from(request.max_points).unwrap_or(usize::MAX);
        Ok(history::thinned(points, if limit == 0 { DEFAULT_POINTS } else { limit }))
    }

    async fn points(
        &self,
        experiment: &Experiment,
        iteration: &Iteration,
    ) -> Result<Vec<Point>, ServiceError> {
        let Some(shard) = home(experiment, iteration) else { return Ok(Vec::new()) };
        let mut kept = Vec::new();
        // Behind them stand the names of segments.
        for (_, note) in self.store.notes(&shard).await?.range(..SLOTS.start) {
            if let Some(point) = decode(&note.bytes)? {
                kept.push((Tick::from_stamp(note.stamp), point));
            }
        }
        Ok(history::shown(kept))
    }

    /// Notes the first look of a tick. Failing to is no reason to withhold the results; the next
    /// look tries again.
    pub(super) async fn record(
        &self,
        experiment: &Experiment,
        iteration: &Iteration,
        results: &Results,
        now: Timestamp,
    ) {
        let Some((shard, tick)) = self.due(experiment, iteration, now) else { return };
        let Some(point) = Point::of_results(results, now) else { return };
        let noted = match encode(&point) {
            Ok(bytes) => {
                let note = Note { stamp: tick.stamp(), bytes };
                self.store.note(&shard, tick.slot(), &note).await
            }
            Err(error) => Err(error),
        };
        match noted {
            // Also when another replica was faster.
            Ok(_) => self.recorded.add(shard, tick),
            Err(error) => {
                tracing::warn!(%error, experiment = %experiment.id(), "a point of the history is lost");
            }
        }
    }

    /// Looks at the running experiments whenever a point of their history is due, for as long as
    /// it is polled; waits for nothing when it is not to look. `on_result` hears of every look.
    pub async fn observe(
        &self,
        clock: impl Fn() -> Timestamp + Send,
        mut on_result: impl FnMut(Result<(), ServiceError>) + Send,
    ) {
        let Some(interval) = self.options.look_interval else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Ok(snapshot) = self.catalog.snapshot() else { continue };
            for experiment in snapshot.iter().filter(|e| e.state == State::Running) {
                let observed = self.observe_one(experiment, clock()).await;
                let away = matches!(observed, Err(ServiceError::StoreUnavailable(_)));
                on_result(observed);
                if away {
                    // It would be no less away for the next one.
                    break;
                }
            }
        }
    }

    async fn observe_one(
        &self,
        experiment: &Arc<Experiment>,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let Some(iteration) = experiment.current() else { return Ok(()) };
        let Some((shard, tick)) = self.due(experiment, iteration, now) else { return Ok(()) };
        self.shared_look(experiment, iteration, Duration::ZERO, now).await?;
        // Also when there was nothing to note yet.
        self.recorded.add(shard, tick);
        Ok(())
    }

    fn due(
        &self,
        experiment: &Experiment,
        iteration: &Iteration,
        now: Timestamp,
    ) -> Option<(ShardKey, Tick)> {
        let tick = Tick::of_look(experiment, iteration, now)?;
        let shard = home(experiment, iteration)?;
        (!self.recorded.has(&shard, tick)).then_some((shard, tick))
    }
}

/// Where the history of an iteration is kept.
fn home(experiment: &Experiment, iteration: &Iteration) -> Option<ShardKey> {
    ShardKey::all(experiment, iteration).next()
}

/// A point behind the number of its format.
fn encode(point: &Point) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(point, vec![FORMAT]).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// `None` for a point of another release, which is no reason to hide all the others.
fn decode(bytes: &[u8]) -> Result<Option<Point>, StoreError> {
    let Some((&FORMAT, point)) = bytes.split_first() else { return Ok(None) };
    let corrupt = |error| StoreError::Corrupt(format!("a point of a history: {error}"));
    postcard::from_bytes(point).map(Some).map_err(corrupt)
}
