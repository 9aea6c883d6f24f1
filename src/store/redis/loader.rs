//! Writes a table of digests as a whole. They come in order, so each bucket comes in one piece and
//! nothing has to be split or read again.

use redis::Cmd;

use crate::domain::counter::ShardKey;
use crate::store::portable::{Member, MoveError, Portable as _, Set};
use crate::store::redis::import::RedisImport;
use crate::store::redis::keys::ShardKeys;
use crate::store::redis::table::{self, Geometry};
use crate::store::{StoreError, window};

use futures_util::TryStreamExt as _;

/// Bytes of buckets written in one piece.
const PIECE: usize = 64 << 10;

/// A table that is being written.
pub(super) struct TableLoader {
    shard: ShardKey,
    keys: ShardKeys,
    /// As the source has it.
    source: Set,
    /// As this store keeps it: windows may have another length.
    set: Set,
    total: u64,
    loaded: u64,
    geometry: Geometry,
    bucket: Option<(u64, Vec<u8>)>,
    piece: Cmd,
    bytes: usize,
    /// What another window of the source has brought to the same table: both are written together.
    merging: Option<Vec<Member>>,
}

impl TableLoader {
    /// `None` when nobody remembers the window any more.
    pub(super) async fn begin(
        import: &RedisImport<'_>,
        shard: &ShardKey,
        source: Set,
        total: u64,
    ) -> Result<Option<Self>, MoveError> {
        let store = import.store;
        let set = match source {
            Set::Units | Set::Labels => source,
            Set::Events(window) => {
                let now = store.now().await?;
                if !window.is_remembered(now) {
                    return Ok(None);
                }
                let length = window::milliseconds(store.options.dedup_window);
                Set::Events(window.in_length(length, now))
            }
        };
        let keys = store.shard_keys(shard);
        let there = store.entries(&keys, set).await?;
        let merging = if there > 0 {
            let pieces: Vec<Vec<Member>> = store.members(shard, set).try_collect().await?;
            Some(pieces.concat())
        } else {
            None
        };
        import.list(&keys, &keys.directory(), &[keys.set(set)]).await?;
        let (geometry, piece) = (Geometry::of(total), Self::piece(&keys, set));
        let shard = shard.clone();
        let (loaded, bucket, bytes) = (0, None, 0);
        Ok(Some(Self {
            shard,
            keys,
            source,
            set,
            total,
            loaded,
            geometry,
            bucket,
            piece,
            bytes,
            merging,
        }))
    }

    pub(super) fn is_of(&self, shard: &ShardKey, source: Set) -> bool {
        self.shard == *shard && self.source == source
    }

    fn piece(keys: &ShardKeys, set: Set) -> Cmd {
        let mut piece = Cmd::new();
        piece.arg("HSET").arg(keys.set(set));
        piece
    }

    /// Takes the next members, and finishes the table with the last of them.
    pub(super) async fn load(
        &mut self,
        import: &RedisImport<'_>,
        members: &[Member],
    ) -> Result<(), StoreError> {
        self.loaded += u64::try_from(members.len()).unwrap_or(u64::MAX);
        if let Some(merging) = &mut self.merging {
            merging.extend(members);
        } else {
            self.write(import, members).await?;
        }
        if self.loaded < self.total {
            return Ok(());
        }
        if let Some(mut merged) = self.merging.take() {
            merged.sort_unstable();
            merged.dedup();
            self.total = u64::try_from(merged.len()).unwrap_or(u64::MAX);
            self.geometry = Geometry::of(self.total);
            let _: u64 = import
                .store
                .link
                .write(self.keys.tag(), &Cmd::unlink(self.keys.set(self.set)))
                .await?;
            self.write(import, &merged).await?;
        }
        self.finish(import).await
    }

    async fn write(
        &mut self,
        import: &RedisImport<'_>,
        members: &[Member],
    ) -> Result<(), StoreError> {
        for member in members {
            let place = self.geometry.place(member.digest);
            if self.bucket.as_ref().is_none_or(|(bucket, _)| *bucket != place) {
                self.close_bucket();
                self.bucket = Some((place, Vec::new()));
            }
            if let Some((_, content)) = &mut self.bucket {
                table::write(content, self.set, member);
            }
            if self.bytes >= PIECE {
                self.send(import).await?;
            }
        }
        Ok(())
    }

    fn close_bucket(&mut self) {
        if let Some((bucket, content)) = self.bucket.take() {
            self.bytes += content.len();
            self.piece.arg(bucket).arg(content);
        }
    }

    async fn send(&mut self, import: &RedisImport<'_>) -> Result<(), StoreError> {
        let piece = std::mem::replace(&mut self.piece, Self::piece(&self.keys, self.set));
        self.bytes = 0;
        import.store.link.write::<u64>(self.keys.tag(), &piece).await.map(drop)
    }

    async fn finish(&mut self, import: &RedisImport<'_>) -> Result<(), StoreError> {
        self.close_bucket();
        self.piece.arg("n").arg(self.total);
        self.send(import).await?;
        let Set::Events(window) = self.set else { return Ok(()) };
        let mut expire = Cmd::new();
        let end = window.number().saturating_add(2).saturating_mul(window.length());
        expire.arg("PEXPIREAT").arg(self.keys.set(self.set)).arg(end);
        import.store.link.write::<u64>(self.keys.tag(), &expire).await.map(drop)
    }
}
