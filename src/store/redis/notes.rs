//! Notes in Redis: one hash per shard, slot by slot.
//!
//! Writing is a script because it depends on the stamp that is there; see `note.lua`.

use redis::aio::ConnectionLike;
use redis::{Script, cmd};

use crate::store::redis::error::classify;
use crate::store::redis::keys::ShardKeys;
use crate::store::{Note, Notes, StoreError};

/// The script, digested once.
pub(super) struct NoteScript(Script);

impl NoteScript {
    pub(super) fn new() -> Self {
        Self(Script::new(include_str!("note.lua")))
    }

    pub(super) async fn write(
        &self,
        connection: &mut impl ConnectionLike,
        shard: &ShardKeys,
        slot: u32,
        note: &Note,
    ) -> Result<bool, StoreError> {
        let mut call = self.0.prepare_invoke();
        call.key(shard.directory()).key(shard.notes()).arg(slot).arg(note.to_stored());
        call.invoke_async(connection).await.map_err(classify)
    }
}

/// All notes of a shard.
pub(super) async fn read(
    connection: &mut impl ConnectionLike,
    shard: &ShardKeys,
) -> Result<Notes, StoreError> {
    let mut command = cmd("HGETALL");
    command.arg(shard.notes());
    let stored: Vec<(u32, Vec<u8>)> = command.query_async(connection).await.map_err(classify)?;
    let notes = stored.into_iter().map(|(slot, note)| Ok((slot, Note::from_stored(&note)?)));
    notes.collect()
}
