//! WatchResults: the results at once, and again whenever they changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::domain::analysis::Results;
use crate::domain::experiment::Timestamp;
use crate::service::results::{iteration, restrict, wanted};
use crate::service::{Service, ServiceError};

/// How often results are sent unless asked otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
/// Never more often: a look costs the store something.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
/// Never less often: a deadline must stay within what a clock can tell.
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What to watch.
#[derive(Debug, Clone, Default)]
pub struct WatchRequest {
    /// Which experiment, in its current iteration.
    pub experiment_id: String,
    /// Which metrics; empty means all.
    pub metric_ids: Vec<String>,
    /// At most once in so long; unset means 2 s, and less than 200 ms means 200 ms.
    pub min_interval: Option<Duration>,
}

/// Somebody who watches the results of an experiment.
#[derive(Debug)]
pub struct Watch {
    service: Arc<Service>,
    request: WatchRequest,
    interval: Duration,
    next_look: Instant,
    next_sign: Instant,
    /// The last look, and what of it was told.
    last: Option<(Arc<Results>, Results)>,
}

impl Watch {
    /// Begins to watch; nothing happens until [`Self::next`].
    #[must_use]
    pub fn new(service: Arc<Service>, request: WatchRequest) -> Self {
        let interval = request.min_interval.unwrap_or(DEFAULT_INTERVAL);
        let interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let now = Instant::now();
        Self { service, request, interval, next_look: now, next_sign: now, last: None }
    }

    /// Waits until the results have changed, or until it is time for a sign of life, which is
    /// `None`. The first time it tells the results at once. `clock` tells the time of a look,
    /// which comes with the results.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], also when it has been deleted meanwhile;
    /// [`ServiceError::Invalid`], [`ServiceError::StoreUnavailable`], [`ServiceError::NotReady`].
    pub async fn next(
        &mut self,
        clock: impl Fn() -> Timestamp + Send,
    ) -> Result<Option<(Results, Timestamp)>, ServiceError> {
        loop {
            if self.last.is_some() {
                sleep_until(self.next_look.min(self.next_sign)).await;
                if self.next_sign < self.next_look {
                    self.next_sign = Instant::now() + self.service.options.keep_alive;
                    return Ok(None);
                }
            }
            let news = self.look(clock()).await?;
            self.next_look = Instant::now() + self.interval;
            if news.is_some() {
                self.next_sign = Instant::now() + self.service.options.keep_alive;
                return Ok(news);
            }
        }
    }

    /// The results and their time if they differ from those told before.
    async fn look(&mut self, now: Timestamp) -> Result<Option<(Results, Timestamp)>, ServiceError> {
        let experiment = self.service.catalog.find(&self.request.experiment_id)?;
        let metrics = wanted(&experiment, &self.request.metric_ids)?;
        let iteration = iteration(&experiment, 0)?;
        // At first as fresh as GetResults; then watchers of one experiment share their looks.
        let patience = if self.last.is_some() { self.interval / 2 } else { Duration::ZERO };
        let (look, time) = self.service.shared_look(&experiment, iteration, patience, now).await?;
        if self.last.as_ref().is_some_and(|(last, _)| Arc::ptr_eq(last, &look)) {
            return Ok(None);
        }
        let mut results = Results::clone(&look);
        restrict(&mut results, &metrics);
        let changed = self.last.as_ref().is_none_or(|(_, told)| differ(told, &results));
        self.last = Some((look, results.clone()));
        Ok(changed.then_some((results, time)))
    }
}

/// Whether anything differs but the forecast, which moves with the time.
fn differ(told: &Results, results: &Results) -> bool {
    let mut told = told.clone();
    told.expected_completion = results.expected_completion;
    told != *results
}
