//! A look at an iteration: read its counters, analyse them, keep what the look adds to the evidence
//! and, when it is due, a point of the history. Looks are shared: whoever only wants to know
//! whether something changed gets the last one, and nothing is analysed twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::analysis::{self, Analysis, Results};
use crate::domain::counter::ShardKey;
use crate::domain::experiment::{Experiment, Incarnation, Iteration, Revision, Timestamp};
use crate::domain::id::ExperimentId;
use crate::domain::segment::Breakdown;
use crate::domain::tally::{CorruptTally, Tally};
use crate::service::{Service, ServiceError};
use crate::store::{Rows, StoreError};

/// The last look at every iteration that somebody follows.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<(ExperimentId, Incarnation, u32), Arc<Shared>>>);

/// Held while somebody looks, so that all others wait for that look instead of taking their own.
type Shared = tokio::sync::Mutex<Option<Look>>;

/// What somebody saw, and of what.
#[derive(Debug)]
struct Look {
    taken: Instant,
    time: Timestamp,
    revision: Revision,
    tally: u64,
    results: Arc<Results>,
}

impl Service {
    /// Looks now.
    pub(super) async fn look(
        &self,
        experiment: &Arc<Experiment>,
        iteration: &Iteration,
        now: Timestamp,
    ) -> Result<Results, ServiceError> {
        let tally = self.tally(experiment, iteration).await?;
        self.analyse(experiment, iteration, tally, now).await
    }

    /// Looks now at the whole and at every value of a dimension.
    pub(super) async fn look_at_segments(
        &self,
        experiment: &Arc<Experiment>,
        iteration: &Iteration,
        dimension: &str,
        now: Timestamp,
    ) -> Result<(Results, Vec<Results>), ServiceError> {
        let mut breakdown = Breakdown::new(dimension.to_owned(), iteration.layout);
        for key in ShardKey::all(experiment, iteration) {
            let rows = self.store.rows_with_segments(&key, &breakdown.rows()).await?;
            breakdown.absorb(key.shard, rows).map_err(|what| corrupt(&what))?;
        }
        let (of_experiment, of_iteration) = (Arc::clone(experiment), iteration.clone());
        let analyse = move || {
            let (experiment, iteration) = (&of_experiment, &of_iteration);
            let (whole, parts) = breakdown.finish(&experiment.definition)?;
            Ok(analysis::analyse_segments(experiment, iteration, &whole, &parts, now))
        };
        let (whole, segments) = self.compute(analyse).await?.map_err(|what| corrupt(&what))?;
        let mut evidence = whole.evidence;
        let mut results = Vec::with_capacity(segments.len());
        for segment in segments {
            evidence.extend(segment.evidence);
            results.push(segment.results);
        }
        self.keep(experiment, iteration, &evidence).await;
        self.record(experiment, iteration, &whole.results, now).await;
        Ok((whole.results, results))
    }

    /// The last look if it is younger than `patience`, and a new one otherwise, with its time. The
    /// same `Arc` as long as nothing has changed.
    pub(super) async fn shared_look(
        &self,
        experiment: &Arc<Experiment>,
        iteration: &Iteration,
        patience: Duration,
        now: Timestamp,
    ) -> Result<(Arc<Results>, Timestamp), ServiceError> {
        let shared = self.looks.of(experiment, iteration.number, |id| self.knows(id));
        let mut last = shared.lock().await;
        let revision = experiment.revision;
        if let Some(look) = last.as_ref()
            && look.revision == revision
            && look.taken.elapsed() < patience
        {
            return Ok((Arc::clone(&look.results), look.time));
        }
        let taken = Instant::now();
        let tally = self.tally(experiment, iteration).await?;
        let digest = tally.digest();
        let results = match last.as_ref() {
            Some(look) if look.revision == revision && look.tally == digest => {
                // That nothing has changed is a point of the history, too.
                self.record(experiment, iteration, &look.results, now).await;
                Arc::clone(&look.results)
            }
            _ => Arc::new(self.analyse(experiment, iteration, tally, now).await?),
        };
        let seen = Arc::clone(&results);
        *last = Some(Look { taken, time: now, revision, tally: digest, results });
        Ok((seen, now))
    }

    async fn analyse(
        &self,
        experiment: &Arc<Experiment>,
        iteration: &Iteration,
        tally: Tally,
        now: Timestamp,
    ) -> Result<Results, ServiceError> {
        let (of_experiment, of_iteration) = (Arc::clone(experiment), iteration.clone());
        let analyse = move || analysis::analyse(&of_experiment, &of_iteration, &tally, now);
        let Analysis { results, evidence } = self.compute(analyse).await?;
        self.keep(experiment, iteration, &evidence).await;
        self.record(experiment, iteration, &results, now).await;
        Ok(results)
    }

    /// Milliseconds of pure computing, for the largest experiments: on a thread of its own, and
    /// never more of them at once than there are permits, so that no Assign waits for it.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let failed = |what: &str| ServiceError::StoreBroken(what.to_owned());
        let permit = self.analyses.acquire().await.map_err(|_| failed("no more analyses"))?;
        let done = tokio::task::spawn_blocking(work).await;
        drop(permit);
        done.map_err(|_| failed("the analysis panicked"))
    }

    /// Keeps the evidence of this look, so that what was significant once stays so. Failing to is
    /// no reason to withhold the results: the next look brings the evidence that is there then.
    async fn keep(&self, experiment: &Experiment, iteration: &Iteration, evidence: &Rows) {
        let first = ShardKey::all(experiment, iteration).next();
        let Some(shard) = first.filter(|_| !evidence.is_empty()) else { return };
        if let Err(error) = self.store.raise(&shard, evidence).await {
            tracing::warn!(%error, experiment = %experiment.id(), "the evidence of a look is lost");
        }
    }

    /// All counters of an iteration, its shards added up.
    async fn tally(
        &self,
        experiment: &Experiment,
        iteration: &Iteration,
    ) -> Result<Tally, ServiceError> {
        let mut tally = Tally::new(iteration.layout);
        for key in ShardKey::all(experiment, iteration) {
            let rows = self.store.rows(&key).await?;
            tally.absorb(key.shard, rows).map_err(|what| corrupt(&what))?;
        }
        Ok(tally)
    }

    fn knows(&self, id: &ExperimentId) -> bool {
        self.catalog.find(id.as_str()).is_ok()
    }
}

fn corrupt(what: &CorruptTally) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

impl Looks {
    /// Forgets deleted experiments whenever another one is followed for the first time.
    fn of(
        &self,
        experiment: &Experiment,
        iteration: u32,
        known: impl Fn(&ExperimentId) -> bool,
    ) -> Arc<Shared> {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (experiment.id().clone(), experiment.incarnation(), iteration);
        if let Some(shared) = looks.get(&key) {
            return Arc::clone(shared);
        }
        looks.retain(|(id, ..), _| known(id));
        Arc::clone(looks.entry(key).or_default())
    }
}
