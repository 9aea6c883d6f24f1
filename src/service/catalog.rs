//! The experiments as this process knows them: one immutable snapshot, swapped as a whole, so
//! that Assign needs no lock and no round trip, and goes on when the store is away.
//!
//! A change costs what changed: the store tells it by record, everything else is shared with the
//! snapshot before. Whoever follows the catalog hears of every change, in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::service::ServiceError;
use crate::service::meters::{ExperimentMeter, ExperimentReading, Meters};
use crate::store::{Changes, Store};

/// How many publications whoever follows may lag behind: bounds what the slowest one holds.
const BACKLOG: usize = 256;

/// How often reading begins again while the store changes faster than it is read. After that what
/// was read stands, and the next refresh goes on from there.
const ROUNDS: usize = 16;

/// An experiment and what happened with it in this process.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) experiment: Arc<Experiment>,
    pub(super) meter: Arc<ExperimentMeter>,
}

type Experiments = HashMap<ExperimentId, Known>;

/// All experiments at one version of the store.
#[derive(Debug)]
pub struct Snapshot {
    version: u64,
    experiments: Experiments,
}

impl Snapshot {
    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Experiment>> {
        self.known().map(|known| &known.experiment)
    }

    pub(super) fn known(&self) -> impl Iterator<Item = &Known> {
        self.experiments.values()
    }

    /// Version of the store's catalog.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// One experiment before and after.
#[derive(Debug, Clone)]
pub struct Change {
    /// `None` when it was created.
    pub before: Option<Arc<Experiment>>,
    /// `None` when it was deleted.
    pub after: Option<Arc<Experiment>>,
}

/// What led from one snapshot to the next.
pub type Publication = Arc<[Change]>;

/// Holds the newest snapshot.
#[derive(Debug)]
pub struct Catalog {
    newest: ArcSwapOption<Snapshot>,
    refreshing: tokio::sync::Mutex<()>,
    /// Locked while a snapshot and its publication come out, so that nobody sees one without the
    /// other.
    news: Mutex<broadcast::Sender<Publication>>,
    meters: Meters,
    /// When the store last said that the newest snapshot is the newest.
    confirmed: Mutex<Option<Instant>>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            newest: ArcSwapOption::empty(),
            refreshing: tokio::sync::Mutex::default(),
            news: Mutex::new(broadcast::Sender::new(BACKLOG)),
            meters: Meters::default(),
            confirmed: Mutex::default(),
        }
    }
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

    /// The newest snapshot and everything that happens to it from then on. Whoever lags behind too
    /// far is told so by the receiver and begins anew.
    ///
    /// # Errors
    /// [`ServiceError::NotReady`].
    pub fn watch(&self) -> Result<(Arc<Snapshot>, broadcast::Receiver<Publication>), ServiceError> {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((self.snapshot()?, news.subscribe()))
    }

    pub(super) async fn refresh(&self, store: &dyn Store) -> Result<(), ServiceError> {
        // One at a time: what was read last is what holds, also when the store's version went
        // back because it was restored or failed over.
        let _turn = self.refreshing.lock().await;
        let known = self.newest.load_full();
        let mut reading = Reading { known: known.as_deref(), meters: &self.meters, read: None };
        for _ in 0..ROUNDS {
            if !reading.step(store).await? {
                break;
            }
        }
        if let Some(read) = reading.read {
            self.publish(known.as_deref(), read);
        }
        *self.confirmed() = Some(Instant::now());
        Ok(())
    }

    fn publish(&self, before: Option<&Snapshot>, mut after: Snapshot) {
        let changes = before.map(|before| changes(before, &mut after)).unwrap_or_default();
        let known = after.experiments.values_mut();
        let mut known: Vec<_> = known.map(|known| (&*known.experiment, &mut known.meter)).collect();
        self.meters.settle(&mut known);
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        self.newest.store(Some(Arc::new(after)));
        if !changes.is_empty() {
            // An error means that nobody follows.
            drop(news.send(changes.into()));
        }
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

/// On the way from the snapshot that is known to the next.
struct Reading<'a> {
    known: Option<&'a Snapshot>,
    meters: &'a Meters,
    /// Nothing as long as there is nothing new.
    read: Option<Snapshot>,
}

impl Reading<'_> {
    /// Asks the store once; whether there is more to ask.
    async fn step(&mut self, store: &dyn Store) -> Result<bool, ServiceError> {
        let Some(since) = self.read.as_ref().or(self.known).map(Snapshot::version) else {
            self.read_all(store).await?;
            return Ok(true);
        };
        match store.changes(since).await? {
            Changes::None => Ok(false),
            Changes::Unknown => {
                self.read_all(store).await?;
                Ok(true)
            }
            Changes::Some { version, records, more } => {
                let copy = || self.known.map(|known| known.experiments.clone());
                let read = self.read.take().map(|read| read.experiments).or_else(copy);
                let mut experiments = read.unwrap_or_default();
                for (id, record) in records {
                    match record {
                        Some(record) => experiments.insert(id, self.entry(record)),
                        None => experiments.remove(&id),
                    };
                }
                self.read = Some(Snapshot { version, experiments });
                Ok(more)
            }
        }
    }

    async fn read_all(&mut self, store: &dyn Store) -> Result<(), ServiceError> {
        let records = store.records().await?;
        let experiments = records.experiments.into_iter();
        let experiments = experiments.map(|e| (e.id().clone(), self.entry(e))).collect();
        self.read = Some(Snapshot { version: records.version, experiments });
        Ok(())
    }

    /// With the meter that it had.
    fn entry(&self, experiment: Experiment) -> Known {
        let before = self.known.and_then(|known| known.experiments.get(experiment.id()));
        let meter = Arc::clone(before.map_or(self.meters.shared(), |known| &known.meter));
        Known { experiment: Arc::new(experiment), meter }
    }
}

/// What differs. What does not is shared from then on.
fn changes(before: &Snapshot, after: &mut Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    for (id, Known { experiment: new, .. }) in &mut after.experiments {
        let old = before.experiments.get(id).map(|known| &known.experiment);
        match old {
            Some(old) if Arc::ptr_eq(old, new) => {}
            Some(old) if old == new => *new = Arc::clone(old),
            old => {
                changes.push(Change { before: old.cloned(), after: Some(Arc::clone(new)) });
            }
        }
    }
    let gone = before.experiments.iter().filter(|(id, _)| !after.experiments.contains_key(*id));
    let gone = gone.map(|(_, known)| Some(Arc::clone(&known.experiment)));
    changes.extend(gone.map(|before| Change { before, after: None }));
    changes
}

/// The error for a name that nobody has, cut to what a log can bear.
pub(super) fn not_found(id: &str) -> ServiceError {
    ServiceError::ExperimentNotFound(id.chars().take(64).collect())
}
