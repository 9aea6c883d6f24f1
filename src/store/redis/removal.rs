//! Deleting the data of a removed experiment: many short steps, so that Redis serves others in
//! between, and none of them lost when whoever takes them dies. The note that `remove.lua` left
//! outlives him; the next sweep of any replica goes on where he stopped.

use redis::Cmd;

use crate::domain::counter::ShardKey;
use crate::domain::id::ExperimentId;
use crate::store::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::keys::{self, ImportKeys};

/// Keys deleted in one step: some 50 microseconds of Redis.
const STEP: u64 = 128;

impl RedisStore {
    /// Deletes all data of shards, then the note that says so. Repeating it does no harm.
    pub(super) async fn erase(
        &self,
        id: &ExperimentId,
        shards: &[ShardKey],
    ) -> Result<(), StoreError> {
        for shard in shards.iter().filter(|shard| shard.experiment == *id) {
            let keys = self.shard_keys(shard);
            for directory in [keys.segments(), keys.directory()] {
                while self.link.erase(&keys, &directory, STEP).await? > 0 {}
            }
        }
        let note = keys::write_shards(id, shards);
        self.link.forget(&self.catalog, id, &note).await
    }

    /// Finishes removals that were interrupted; none while an import has claims among the notes.
    pub(super) async fn finish_removals(&self) -> Result<(), StoreError> {
        let import = Cmd::exists(ImportKeys::new(&self.options.prefix).token);
        if self.link.read::<bool>(&self.catalog.tag, &import).await? {
            return Ok(());
        }
        self.finish_all_removals().await
    }

    pub(super) async fn finish_all_removals(&self) -> Result<(), StoreError> {
        let command = Cmd::hgetall(&self.catalog.removals);
        let notes: Vec<(String, String)> = self.link.read(&self.catalog.tag, &command).await?;
        for (id, note) in notes {
            let corrupt = || StoreError::Corrupt(format!("the note {note:?} of a removal"));
            let id = ExperimentId::parse(&id).map_err(|_| corrupt())?;
            let shards = keys::read_shards(&id, &note).ok_or_else(corrupt)?;
            self.erase(&id, &shards).await?;
        }
        Ok(())
    }
}
