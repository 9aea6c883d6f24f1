//! Erasing the data of removed experiments, a few keys at a time, so that nobody who counts has to
//! wait for it.
//!
//! What is to be erased is noted on disk together with the removal of the record. The committer
//! erases a little whenever it has nothing else to do, and a little after each group when it is
//! busy. Opening the directory finishes what a crash interrupted.

use std::collections::BTreeSet;

use fjall::{Keyspace, OwnedWriteBatch as WriteBatch};

use crate::domain::counter::ShardKey;
use crate::domain::id::ExperimentId;
use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, Keyspaces};
use crate::store::embedded::format;

/// Most keys erased in one step: about a millisecond.
const STEP: usize = 1_000;

/// The number of the one keyspace of those with data of shards whose keys start with a window.
const EVENTS: usize = 3;

/// What is still to be erased.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    shards: BTreeSet<ShardKey>,
    /// Where the next step goes on, of the first shard: what lies before is erased. To scan from
    /// the beginning would pass over all of that again in every step.
    place: Option<Place>,
}

/// A key: in which of the keyspaces that hold data of shards, and the key itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    space: usize,
    key: Vec<u8>,
}

impl Erasing {
    /// Takes up shards whose removal is noted.
    pub(super) fn add(&mut self, shards: impl IntoIterator<Item = ShardKey>) {
        self.shards.extend(shards);
        // The first may be another one now.
        self.place = None;
    }
}

impl Disk {
    /// Erases a little; whether more is left.
    pub(super) fn erase_step(&mut self) -> Result<bool, StoreError> {
        let Some(shard) = self.erasing.shards.first().cloned() else { return Ok(false) };
        let place = self.erasing.place.take();
        self.erasing.place = self.erase_from(&shard, place.as_ref())?;
        if self.erasing.place.is_none() {
            self.erased(&shard)?;
        }
        Ok(!self.erasing.shards.is_empty())
    }

    /// Erases all that there is to erase of experiments of this name. From the beginning:
    /// something may have been written behind the place where the last step ended.
    pub(super) fn erase_experiment(&mut self, id: &ExperimentId) -> Result<(), StoreError> {
        let shards = self.erasing.shards.iter().filter(|shard| shard.experiment == *id);
        for shard in shards.cloned().collect::<Vec<_>>() {
            self.erasing.place = None;
            let mut place = self.erase_from(&shard, None)?;
            while place.is_some() {
                place = self.erase_from(&shard, place.as_ref())?;
            }
            self.erased(&shard)?;
        }
        Ok(())
    }

    /// Erases everything in a keyspace.
    pub(super) fn clear(&self, keyspace: &Keyspace) -> Result<(), StoreError> {
        let mut from = Some(Vec::new());
        while let Some(key) = from {
            let mut batch = self.database.batch();
            from = erase_range(&mut batch, keyspace, &[], &key, &mut { STEP })?;
            Self::commit(batch)?;
        }
        Ok(())
    }

    fn erased(&mut self, shard: &ShardKey) -> Result<(), StoreError> {
        let mut batch = self.batch();
        batch.remove(&self.keyspaces.erasing, format::shard(shard));
        Self::commit(batch)?;
        self.erasing.shards.remove(shard);
        Ok(())
    }

    /// Erases up to [`STEP`] keys and says where to go on. Without fsync: the note that the shard
    /// is being erased outlives a crash.
    fn erase_from(
        &self,
        shard: &ShardKey,
        place: Option<&Place>,
    ) -> Result<Option<Place>, StoreError> {
        let (mut batch, mut room) = (self.database.batch(), STEP);
        for start in self.starts(shard)? {
            let from = place.map_or(&start, |place| place.max(&start));
            if from.space > start.space {
                continue;
            }
            let keyspace = self.space(start.space);
            let left = erase_range(&mut batch, keyspace, &start.key, &from.key, &mut room)?;
            if let Some(key) = left {
                Self::commit(batch)?;
                return Ok(Some(Place { space: start.space, key }));
            }
        }
        Self::commit(batch)?;
        Ok(None)
    }

    /// What the keys of a shard start with, in order.
    fn starts(&self, shard: &ShardKey) -> Result<Vec<Place>, StoreError> {
        let key = format::shard(shard);
        let mut starts: Vec<_> =
            (0..EVENTS).map(|space| Place { space, key: key.clone() }).collect();
        for window in self.windows()? {
            let key = [format::window(window).as_slice(), &key].concat();
            starts.push(Place { space: EVENTS, key });
        }
        Ok(starts)
    }

    fn space(&self, number: usize) -> &Keyspace {
        let Keyspaces { rows, notes, units, events, .. } = &self.keyspaces;
        [rows, notes, units].get(number).copied().unwrap_or(events)
    }
}

/// Erases keys with a prefix, from one on; the first that there was no room for.
fn erase_range(
    batch: &mut WriteBatch,
    keyspace: &Keyspace,
    prefix: &[u8],
    from: &[u8],
    room: &mut usize,
) -> Result<Option<Vec<u8>>, StoreError> {
    for item in keyspace.range(from..) {
        let key = item.key().map_err(StoreError::unavailable)?;
        if !key.starts_with(prefix) {
            break;
        }
        if *room == 0 {
            return Ok(Some(key.to_vec()));
        }
        batch.remove(keyspace, key);
        *room -= 1;
    }
    Ok(None)
}
