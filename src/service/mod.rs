//! The use cases: load, decide in the domain, store. Knows no wire format and no kind of store.

mod admin;
mod assign;
mod audit;
mod catalog;
mod durability;
mod error;
mod exposures;
mod follow;
mod history;
mod layers;
mod listing;
mod looks;
mod meters;
mod outcomes;
mod page;
mod results;
mod scores;
mod segments;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::experiment::ShardCount;
use crate::store::{Durability, Store};
use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;

pub use self::admin::{EtagCheck, Saved, Update};
pub use self::assign::{Assigned, NamedPlace};
pub use self::audit::{AuditEvents, AuditRequest};
pub use self::catalog::{Catalog, Change, Publication, Snapshot};
pub use self::error::{InvalidInput, ServiceError};
pub use self::exposures::ExposureRecorder;
pub use self::history::HistoryRequest;
pub use self::listing::{Page, PageRequest};
pub use self::meters::{ExperimentReading, Readings};
pub use self::outcomes::Receipt;
pub use self::results::{Answer, ResultsRequest, SegmentRequest};
pub use self::scores::{ScoreQueue, ScoreReceiver, ScoredOutcome, score_queue};
pub use self::watch::{Watch, WatchRequest};

/// How many results are computed at once.
const CONCURRENT_ANALYSES: usize = 2;

/// What a deployment decides about the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Into how many shards a new experiment's counters are spread.
    pub shards: ShardCount,
    /// How many exposures may wait to be recorded before further ones are dropped.
    pub exposure_queue: usize,
    /// How often the store is asked whether the experiments changed, give or take a quarter. Its
    /// announcements come earlier, as a rule.
    pub catalog_poll: Duration,
    /// How often running experiments are checked for a point of their history that is due; `None`
    /// leaves all looks to those who ask. What a sequential test shows depends on when somebody
    /// looked, so results that must be the same twice need that.
    pub look_interval: Option<Duration>,
    /// How often the store is asked to do what is due and nobody waits for.
    pub sweep_interval: Duration,
    /// How often whoever watches results hears something when they do not change.
    pub keep_alive: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: ShardCount::ONE,
            exposure_queue: 65_536,
            catalog_poll: Duration::from_secs(1),
            look_interval: Some(Duration::from_secs(1)),
            sweep_interval: Duration::from_secs(60),
            keep_alive: Duration::from_secs(20),
        }
    }
}

/// All use cases over one store. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Service {
    store: Arc<dyn Store>,
    catalog: Catalog,
    names: Arc<segments::SegmentNames>,
    exposures: exposures::ExposureQueue,
    scores: Option<ScoreQueue>,
    analyses: Semaphore,
    looks: looks::Looks,
    recorded: history::Recorded,
    durability: ArcSwapOption<Durability>,
    options: Options,
}

impl Service {
    /// A service over a store and the recorder of its exposures, which the caller runs beside
    /// it. The catalog is empty until [`Self::refresh`] or [`Self::follow`] has read the store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, options: Options) -> (Self, ExposureRecorder) {
        let names = Arc::new(segments::SegmentNames::new(Arc::clone(&store)));
        let (exposures, recorder) =
            exposures::queue(Arc::clone(&store), Arc::clone(&names), options.exposure_queue);
        let service = Self {
            store,
            catalog: Catalog::default(),
            names,
            exposures,
            scores: None,
            analyses: Semaphore::new(CONCURRENT_ANALYSES),
            looks: looks::Looks::default(),
            recorded: history::Recorded::default(),
            durability: ArcSwapOption::empty(),
            options,
        };
        (service, recorder)
    }

    /// Leaves outcomes about recorded spans in `queue` once the store has them.
    #[must_use]
    pub fn with_scores(self, queue: ScoreQueue) -> Self {
        Self { scores: Some(queue), ..self }
    }

    /// The experiments as this process knows them.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What this process has counted, and how things are now.
    #[must_use]
    pub fn readings(&self) -> Readings {
        let (experiments, catalog_experiments) = self.catalog.readings();
        Readings {
            experiments,
            catalog_experiments,
            catalog_age: self.catalog.age(),
            exposures_waiting: self.exposures.waiting(),
            exposures_dropped: self.exposures.dropped(),
        }
    }

    /// Has the store do what is due and nobody waits for, at once and then every now and then, for
    /// as long as it is polled. `on_result` hears of every attempt.
    pub async fn sweep(&self, mut on_result: impl FnMut(Result<(), ServiceError>) + Send) {
        let mut ticks = tokio::time::interval(self.options.sweep_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            on_result(self.store.sweep().await.map_err(ServiceError::from));
        }
    }
}
