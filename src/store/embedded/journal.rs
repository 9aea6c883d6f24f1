//! What makes changes durable, as the committer sees it.

use crate::domain::counter::ShardKey;
use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::store::embedded::audit::Entry;
use crate::store::embedded::import::{Adoption, Part};
use crate::store::embedded::state::{Change, State};
use crate::store::{Note, StoreError};

/// What goes with every change of a record, in the same piece.
#[derive(Debug)]
pub(super) struct Logged {
    /// The catalog's version after it; the number of the event.
    pub(super) version: u64,
    pub(super) event: Entry,
    /// Events of the audit log that leave it for this one.
    pub(super) dropped: Vec<u64>,
}

/// Writes changes down. When a call returns, what it wrote survives a power cut; when it fails,
/// what it wrote may or may not be there, and the journal must not be used again.
pub(super) trait Journal: Send + 'static {
    /// Writes down what a group of batches and raises adds.
    fn append(&mut self, change: &Change) -> Result<(), StoreError>;

    /// Called with the state after every change that was appended; the place for housekeeping.
    fn settle(&mut self, state: &State) -> Result<(), StoreError>;

    /// Writes a note over the one in its slot.
    fn note(&mut self, shard: &ShardKey, slot: u32, note: &Note) -> Result<(), StoreError>;

    /// Writes a record, the catalog's version and the audit log.
    fn put(&mut self, experiment: &Experiment, logged: &Logged) -> Result<(), StoreError>;

    /// Deletes a record, writes the catalog's version and the audit log, and notes that the data
    /// of shards is to be erased; `state` still has them.
    fn remove(
        &mut self,
        state: &State,
        id: &ExperimentId,
        shards: &[ShardKey],
        logged: &Logged,
    ) -> Result<(), StoreError>;

    /// Erases some of the data that is to be erased; whether more is left.
    fn erase_some(&mut self) -> Result<bool, StoreError>;

    /// Erases all data that is to be erased of experiments of a name.
    fn erase_all(&mut self, id: &ExperimentId) -> Result<(), StoreError>;

    /// Drops events of the audit log.
    fn forget(&mut self, events: &[u64]) -> Result<(), StoreError>;

    /// Erases all shards there are and what earlier claims left, and notes which ones an import
    /// will write: they are to be erased if it never comes to its end.
    fn claim(&mut self, shards: &[ShardKey]) -> Result<(), StoreError>;

    /// Writes a part of a claimed shard.
    fn load(&mut self, shard: &ShardKey, part: &Part) -> Result<(), StoreError>;

    /// Writes the records and the audit log of an import and the catalog's version, and takes the
    /// claims back.
    fn adopt(&mut self, adoption: &Adoption, version: u64) -> Result<(), StoreError>;
}

/// For a store that lives in memory alone.
#[derive(Debug)]
pub(super) struct Nowhere;

impl Journal for Nowhere {
    fn append(&mut self, _: &Change) -> Result<(), StoreError> {
        Ok(())
    }

    fn settle(&mut self, _: &State) -> Result<(), StoreError> {
        Ok(())
    }

    fn note(&mut self, _: &ShardKey, _: u32, _: &Note) -> Result<(), StoreError> {
        Ok(())
    }

    fn put(&mut self, _: &Experiment, _: &Logged) -> Result<(), StoreError> {
        Ok(())
    }

    fn remove(
        &mut self,
        _: &State,
        _: &ExperimentId,
        _: &[ShardKey],
        _: &Logged,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn erase_some(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn erase_all(&mut self, _: &ExperimentId) -> Result<(), StoreError> {
        Ok(())
    }

    fn forget(&mut self, _: &[u64]) -> Result<(), StoreError> {
        Ok(())
    }

    fn claim(&mut self, _: &[ShardKey]) -> Result<(), StoreError> {
        Ok(())
    }

    fn load(&mut self, _: &ShardKey, _: &Part) -> Result<(), StoreError> {
        Ok(())
    }

    fn adopt(&mut self, _: &Adoption, _: u64) -> Result<(), StoreError> {
        Ok(())
    }
}
