//! Reading the store in Redis whole, piece by piece.
//!
//! A table is read bucket by bucket, in the order of the digests; every piece brings the number of
//! entries along. That only grows, so as long as it stays the same nothing was inserted, and what
//! was read belongs together.

use std::future::ready;

use async_trait::async_trait;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, try_unfold};
use redis::Cmd;

use crate::domain::counter::ShardKey;
use crate::domain::experiment::Experiment;
use crate::store::portable::{Import, Inventory, Member, Members, MoveError, Portable, Set};
use crate::store::redis::RedisStore;
use crate::store::redis::import::RedisImport;
use crate::store::redis::keys::ShardKeys;
use crate::store::redis::table::{self, Geometry};
use crate::store::{Store as _, StoreError, Window};

/// Buckets read in one piece: some 2,000 digests.
const BUCKETS: usize = 128;

impl RedisStore {
    /// The time of Redis in milliseconds since 1970.
    pub(super) async fn now(&self) -> Result<u64, StoreError> {
        let mut time = Cmd::new();
        time.arg("TIME");
        let (seconds, microseconds): (u64, u64) = self.link.read(&self.catalog.tag, &time).await?;
        Ok(seconds * 1_000 + microseconds / 1_000)
    }

    /// The keys that a directory lists.
    async fn listed(&self, keys: &ShardKeys, directory: &str) -> Result<Vec<String>, StoreError> {
        self.link.read(keys.tag(), &Cmd::smembers(directory)).await
    }

    /// Entries of a table; 0 when there is none.
    pub(super) async fn entries(&self, keys: &ShardKeys, set: Set) -> Result<u64, StoreError> {
        let count = Cmd::hget(keys.set(set), "n");
        Ok(self.link.read::<Option<u64>>(keys.tag(), &count).await?.unwrap_or_default())
    }

    /// The members of some buckets, one after the other; `None` when the table has grown.
    async fn buckets(
        &self,
        keys: &ShardKeys,
        set: Set,
        entries: u64,
        buckets: &[u64],
    ) -> Result<Option<Vec<Member>>, StoreError> {
        let mut read = Cmd::new();
        read.arg("HMGET").arg(keys.set(set)).arg("n").arg(buckets);
        let mut found: Vec<Option<Vec<u8>>> = self.link.read(keys.tag(), &read).await?;
        let contents = found.split_off(1.min(found.len()));
        let count = found.pop().flatten().unwrap_or_default();
        if count != entries.to_string().into_bytes() {
            return Ok(None);
        }
        let (geometry, mut members) = (Geometry::of(entries), Vec::new());
        for (bucket, content) in buckets.iter().zip(contents) {
            let read = table::read(&content.unwrap_or_default(), set)?;
            if read.iter().any(|member| geometry.place(member.digest) != *bucket) {
                let key = keys.set(set);
                return Err(StoreError::Corrupt(format!(
                    "the table {key} has a digest in bucket {bucket} that belongs to another"
                )));
            }
            members.extend(read);
        }
        Ok(Some(members))
    }

    /// The next piece of a table and where its reader is then; `None` inside at the end, and
    /// outside when the table has grown.
    async fn piece(
        &self,
        keys: &ShardKeys,
        set: Set,
        reader: Option<Reader>,
    ) -> Result<Option<Piece>, StoreError> {
        let mut reader = if let Some(reader) = reader {
            reader
        } else {
            let entries = self.entries(keys, set).await?;
            Reader { buckets: Box::new(Geometry::of(entries).in_order()), entries, read: 0 }
        };
        let wanted: Vec<u64> = reader.buckets.by_ref().take(BUCKETS).collect();
        if reader.entries == 0 || wanted.is_empty() {
            reader.check_end(keys, set)?;
            return Ok(Some(None));
        }
        let Some(members) = self.buckets(keys, set, reader.entries, &wanted).await? else {
            return Ok(None);
        };
        reader.read += u64::try_from(members.len()).unwrap_or(u64::MAX);
        Ok(Some(Some((members, Some(reader)))))
    }
}

/// What a stream goes on from.
type Piece = Option<(Vec<Member>, Option<Reader>)>;

/// Where a reader of a table is.
struct Reader {
    buckets: Box<dyn Iterator<Item = u64> + Send>,
    entries: u64,
    read: u64,
}

impl Reader {
    /// At the end of a table as much was read as it says it has.
    fn check_end(&self, keys: &ShardKeys, set: Set) -> Result<(), StoreError> {
        let (key, Self { entries, read, .. }) = (keys.set(set), self);
        if read == entries {
            return Ok(());
        }
        let problem = format!("the table {key} has {read} digests and says it has {entries}");
        Err(StoreError::Corrupt(problem))
    }
}

#[async_trait]
impl Portable for RedisStore {
    async fn inventory(&self, shard: &ShardKey) -> Result<Inventory, MoveError> {
        let (keys, now) = (self.shard_keys(shard), self.now().await?);
        let directory = self.listed(&keys, &keys.directory()).await?;
        let windows = directory.iter().filter_map(|key| keys.window(key));
        let remembered = windows.filter(|window: &Window| window.is_remembered(now));
        let sets = [Set::Units, Set::Labels].into_iter().chain(remembered.map(Set::Events));
        let mut inventory = Inventory::new();
        for set in sets {
            let entries = self.entries(&keys, set).await?;
            if entries > 0 {
                inventory.insert(set, entries);
            }
        }
        Ok(inventory)
    }

    fn members(&self, shard: &ShardKey, set: Set) -> Members<'_> {
        let (keys, shard) = (self.shard_keys(shard), shard.clone());
        let pieces = try_unfold(None, move |reader| {
            let (keys, shard) = (keys.clone(), shard.clone());
            async move {
                let piece = self.piece(&keys, set, reader).await?;
                piece.ok_or(MoveError::Changed(shard))
            }
        });
        // Where digests are not spread evenly, buckets are empty.
        pieces.try_filter(|members| ready(!members.is_empty())).boxed()
    }

    async fn size(&self) -> Result<Option<u64>, MoveError> {
        let mut bytes = 0;
        for experiment in self.records().await?.experiments {
            for shard in ShardKey::all_of(&experiment) {
                let keys = self.shard_keys(&shard);
                for directory in [keys.directory(), keys.segments()] {
                    for key in self.listed(&keys, &directory).await?.iter().chain([&directory]) {
                        let mut usage = Cmd::new();
                        usage.arg("MEMORY").arg("USAGE").arg(key);
                        let Some(used) = self.link.told::<Option<u64>>(keys.tag(), &usage).await?
                        else {
                            return Ok(None);
                        };
                        bytes += used.unwrap_or_default();
                    }
                }
            }
        }
        Ok(Some(bytes))
    }

    async fn import<'a>(
        &'a self,
        experiments: &[Experiment],
    ) -> Result<Box<dyn Import + 'a>, MoveError> {
        Ok(Box::new(RedisImport::begin(self, experiments).await?))
    }
}
