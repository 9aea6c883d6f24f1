//! The experiments as this process knows them: one immutable snapshot, swapped as a whole, so
//! that Assign needs no lock and no round trip, and goes on when the store is away.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::service::ServiceError;
use crate::store::{Records, Store};

/// All experiments at one version of the store.
#[derive(Debug)]
pub struct Snapshot {
    version: u64,
    experiments: HashMap<ExperimentId, Arc<Experiment>>,
}

impl Snapshot {
    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Experiment>> {
        self.experiments.values()
    }
}

impl From<Records> for Snapshot {
    fn from(records: Records) -> Self {
        let experiments = records.experiments.into_iter();
        Self {
            version: records.version,
            experiments: experiments.map(|e| (e.id().clone(), Arc::new(e))).collect(),
        }
    }
}

/// Holds the newest snapshot.
#[derive(Debug, Default)]
pub struct Catalog {
    newest: ArcSwapOption<Snapshot>,
    refreshing: Mutex<()>,
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
        if id.is_empty() {
            return Err(ServiceError::bad_field("experiment_id", "must be set"));
        }
        let newest = self.newest.load();
        let snapshot = newest.as_ref().ok_or(ServiceError::NotReady)?;
        snapshot.experiments.get(id).map(Arc::clone).ok_or_else(|| not_found(id))
    }

    pub(super) async fn refresh(&self, store: &dyn Store) -> Result<(), ServiceError> {
        // One at a time: what was read last is what holds, also when the store's version went
        // back because it was restored or failed over.
        let _turn = self.refreshing.lock().await;
        let known = self.newest.load().as_ref().map(|snapshot| snapshot.version);
        if known == Some(store.version().await?) {
            return Ok(());
        }
        self.newest.store(Some(Arc::new(Snapshot::from(store.records().await?))));
        Ok(())
    }
}

/// The error for a name that nobody has, cut to what a log can bear.
pub(super) fn not_found(id: &str) -> ServiceError {
    ServiceError::ExperimentNotFound(id.chars().take(64).collect())
}
