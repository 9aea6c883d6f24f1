//! The experiments as this process knows them: one immutable snapshot, swapped as a whole, so
//! that Assign needs no lock and no round trip, and goes on when the store is away.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::service::ServiceError;
use crate::service::meters::{ExperimentMeter, ExperimentReading, Meters};
use crate::store::{Records, Store};

/// All experiments at one version of the store.
#[derive(Debug)]
pub struct Snapshot {
    version: u64,
    experiments: HashMap<ExperimentId, Known>,
}

/// An experiment and what happened with it in this process.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) experiment: Arc<Experiment>,
    pub(super) meter: Arc<ExperimentMeter>,
}

impl Snapshot {
    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Experiment>> {
        self.known().map(|known| &known.experiment)
    }

    pub(super) fn known(&self) -> impl Iterator<Item = &Known> {
        self.experiments.values()
    }

    fn new(records: Records, before: Option<&Self>, meters: &Meters) -> Self {
        let before = before.into_iter().flat_map(|snapshot| &snapshot.experiments);
        let before = before.map(|(id, known)| (id.clone(), Arc::clone(&known.meter))).collect();
        let meters = meters.for_all(&records.experiments, &before);
        let known = records.experiments.into_iter().zip(meters).map(|(experiment, meter)| {
            (experiment.id().clone(), Known { experiment: Arc::new(experiment), meter })
        });
        Self { version: records.version, experiments: known.collect() }
    }
}

/// Holds the newest snapshot.
#[derive(Debug, Default)]
pub struct Catalog {
    newest: ArcSwapOption<Snapshot>,
    refreshing: Mutex<()>,
    meters: Meters,
    /// When the store last said that the newest snapshot is the newest.
    confirmed: std::sync::Mutex<Option<Instant>>,
}

impl Catalog {
    /// The newest snapshot.
    ///
    /// # Errors
    /// [`ServiceError::NotReady`] before the store has been read once.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, ServiceError> {
        self.newest.load_full().ok_or(ServiceError::NotReady)
    }

    /// The experiment of that name.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::Invalid`] without a name,
    /// [`ServiceError::NotReady`].
    pub fn find(&self, id: &str) -> Result<Arc<Experiment>, ServiceError> {
        self.with(id, |known| Ok(Arc::clone(&known.experiment)))
    }

    /// Looks at what is known of an experiment, without taking a share in it.
    pub(super) fn with<T>(
        &self,
        id: &str,
        look: impl FnOnce(&Known) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        if id.is_empty() {
            return Err(ServiceError::bad_field("experiment_id", "must be set"));
        }
        let newest = self.newest.load();
        let snapshot = newest.as_ref().ok_or(ServiceError::NotReady)?;
        look(snapshot.experiments.get(id).ok_or_else(|| not_found(id))?)
    }

    pub(super) async fn refresh(&self, store: &dyn Store) -> Result<(), ServiceError> {
        // One at a time: what was read last is what holds, also when the store's version went
        // back because it was restored or failed over.
        let _turn = self.refreshing.lock().await;
        let known = self.newest.load().as_ref().map(|snapshot| snapshot.version);
        if known != Some(store.version().await?) {
            let records = store.records().await?;
            let before = self.newest.load();
            let next = Snapshot::new(records, before.as_deref(), &self.meters);
            self.newest.store(Some(Arc::new(next)));
        }
        *self.confirmed() = Some(Instant::now());
        Ok(())
    }

    /// How long ago the store last confirmed the newest snapshot; `None` before the first.
    pub(super) fn age(&self) -> Option<Duration> {
        self.confirmed().map(|instant| instant.elapsed())
    }

    /// What happened with the experiments, and how many there are.
    pub(super) fn readings(&self) -> (Vec<ExperimentReading>, usize) {
        let newest = self.newest.load();
        let known = newest.iter().flat_map(|snapshot| &snapshot.experiments);
        let readings = self.meters.read(known.map(|(id, known)| (id, &known.meter)));
        (readings, newest.as_ref().map_or(0, |snapshot| snapshot.experiments.len()))
    }

    /// Nothing panics while it is held.
    fn confirmed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for a name that nobody has, cut to what a log can bear.
pub(super) fn not_found(id: &str) -> ServiceError {
    ServiceError::ExperimentNotFound(id.chars().take(64).collect())
}
