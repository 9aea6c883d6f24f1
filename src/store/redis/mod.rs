//! The store in Redis, shared by any number of replicas of the service.
//!
//! Every batch and every raise is one call of one procedure, so Redis is the only one to decide,
//! and replicas need not know of each other. Keys are in [`keys`], procedures in `procedures`;
//! `lines` gathers callers into batches, `delivery` sees to it that each batch counts once. Needs
//! Redis 6.2 (`SMISMEMBER`). Acknowledged means applied under the `appendfsync` that Redis is set
//! to; `durability` tells it.
//!
//! Memory in Redis: 8 bytes for each counter; about 13 for each unit of an iteration and each
//! event of the last two windows (`docs/performance.md`); one directory entry for each key, where
//! those of expired windows and writers stay until the experiment is removed.

mod audit;
mod batch;
mod baton;
mod codec;
mod delivery;
mod durability;
mod error;
mod import;
pub mod keys;
mod lines;
mod link;
mod loader;
mod moving;
mod procedures;
mod removal;
mod table;
mod way;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Cmd;

use crate::domain::audit::Cause;
use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::domain::segment;
use crate::store::{
    Activity, Announcements, Applied, AuditLimits, AuditPage, AuditQuery, BATCH_EVENTS, Changes,
    Durability, Note, Notes, Records, Rows, Store, StoreError, maxima, window,
};
use delivery::Delivery;
use keys::{CatalogKeys, ShardKeys};
use lines::Lines;
use link::Link;
use procedures::Changed;

pub use keys::{InvalidPrefix, Prefix};
pub use lines::QueueLimits;

/// Records read in one step: few enough that no step keeps Redis busy for long.
const RECORDS_STEP: usize = 64;

/// How often a record is tried again after garbage of its predecessor was cleared away.
const PUT_ATTEMPTS: usize = 3;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// What all keys start with.
    pub prefix: Prefix,
    /// For how long an event id is remembered at least.
    pub dedup_window: Duration,
    /// For how long an answer is awaited, a new connection included. A batch whose answer is lost
    /// is sent again for twice as long.
    pub timeout: Duration,
    /// How many events may wait while others are under way.
    pub queue: QueueLimits,
    /// How much of the audit log is kept.
    pub audit: AuditLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            dedup_window: Duration::from_secs(7 * 24 * 60 * 60),
            timeout: Duration::from_millis(500),
            queue: QueueLimits::default(),
            audit: AuditLimits::default(),
        }
    }
}

/// The store in one Redis.
pub struct RedisStore {
    link: Arc<Link>,
    lines: Arc<Lines>,
    options: Options,
    catalog: CatalogKeys,
}

#[derive(Debug, thiserror::Error)]
#[error("an earlier experiment of that name is still being removed")]
struct StillRemoving;

impl RedisStore {
    /// In the Redis at `redis://host:port/db`, or at a socket: `redis+unix:///path` or
    /// `unix:///path`. The first call connects, so Redis may be away for now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the address makes no sense.
    pub fn new(url: &str, options: Options) -> Result<Self, StoreError> {
        let link = Arc::new(Link::new(url, options.timeout)?);
        let window = window::milliseconds(options.dedup_window);
        let (prefix, patience) = (options.prefix.clone(), 2 * options.timeout);
        let delivery = Delivery::new(Arc::clone(&link), prefix, window, patience)?;
        let lines = Lines::new(Arc::new(delivery), options.queue);
        let catalog = CatalogKeys::new(&options.prefix);
        Ok(Self { link, lines, options, catalog })
    }

    async fn check_format(&self) -> Result<(), StoreError> {
        let format = Cmd::get(&self.catalog.format);
        match self.link.read::<Option<u64>>(&self.catalog.tag, &format).await? {
            None | Some(keys::FORMAT) => Ok(()),
            Some(other) => {
                let other = codec::of_another_release(other, keys::FORMAT);
                let prefix = &self.options.prefix;
                Err(StoreError::Corrupt(format!("what has the key prefix '{prefix}': {other}")))
            }
        }
    }

    fn shard_keys(&self, shard: &ShardKey) -> ShardKeys {
        ShardKeys::new(&self.options.prefix, shard)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisStore");
        shown.field("link", &self.link).field("options", &self.options);
        shown.finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn apply(&self, shard: &ShardKey, events: &[Event]) -> Result<Vec<Applied>, StoreError> {
        let mut answers = Vec::with_capacity(events.len());
        for step in events.chunks(BATCH_EVENTS) {
            answers.extend(self.lines.apply(shard, step.to_vec()).await?);
        }
        Ok(answers)
    }

    async fn raise(&self, shard: &ShardKey, rows: &Rows) -> Result<(), StoreError> {
        let (keys, rows) = (self.shard_keys(shard), maxima::raising(rows)?);
        if rows.is_empty() {
            return Ok(());
        }
        self.link.raise(&keys, &rows).await
    }

    async fn rows(&self, shard: &ShardKey) -> Result<Rows, StoreError> {
        self.rows_with_segments(shard, "").await
    }

    async fn rows_with_segments(&self, shard: &ShardKey, prefix: &str) -> Result<Rows, StoreError> {
        let keys = self.shard_keys(shard);
        let segments = Some(prefix).filter(|prefix| prefix.starts_with(segment::ROWS));
        let mut rows = Rows::new();
        for (key, bytes) in self.link.rows(&keys, segments).await? {
            if let Some(name) = keys.row_name(&key) {
                rows.insert(name.to_owned(), codec::row(name, &bytes)?);
            }
        }
        Ok(rows)
    }

    async fn note(&self, shard: &ShardKey, slot: u32, note: &Note) -> Result<bool, StoreError> {
        let keys = self.shard_keys(shard);
        self.link.note(&keys, slot, note).await
    }

    async fn notes(&self, shard: &ShardKey) -> Result<Notes, StoreError> {
        let keys = self.shard_keys(shard);
        let stored: Vec<(u32, Vec<u8>)> =
            self.link.read(keys.tag(), &Cmd::hgetall(keys.notes())).await?;
        stored.into_iter().map(|(slot, note)| Ok((slot, Note::from_stored(&note)?))).collect()
    }

    async fn records(&self) -> Result<Records, StoreError> {
        // Here, because nobody does anything before reading the records.
        self.check_format().await?;
        let CatalogKeys { tag, version, experiments, .. } = &self.catalog;
        let version: Option<u64> = self.link.read(tag, &Cmd::get(version)).await?;
        let ids: Vec<String> = self.link.read(tag, &Cmd::hkeys(experiments)).await?;
        let mut records = Vec::with_capacity(ids.len());
        for step in ids.chunks(RECORDS_STEP) {
            let found: Vec<Option<Vec<u8>>> =
                self.link.read(tag, &Cmd::hmget(experiments, step)).await?;
            // What is missing was removed meanwhile.
            for record in found.iter().flatten() {
                records.push(codec::parse_record(record)?);
            }
        }
        Ok(Records { version: version.unwrap_or_default(), experiments: records })
    }

    async fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        self.link.changes(&self.catalog, since).await
    }

    async fn announcements(&self) -> Result<Announcements, StoreError> {
        self.link.listen(&self.catalog.changes).await
    }

    async fn get(&self, id: &ExperimentId) -> Result<Option<Experiment>, StoreError> {
        let command = Cmd::hget(&self.catalog.experiments, id.as_str());
        let record: Option<Vec<u8>> = self.link.read(&self.catalog.tag, &command).await?;
        record.map(|record| codec::parse_record(&record)).transpose()
    }

    async fn put_at(
        &self,
        version: Option<u64>,
        experiment: &Experiment,
        expected: Option<Revision>,
        cause: &Cause,
    ) -> Result<(), StoreError> {
        let event = audit::Event::new(experiment.id(), cause, self.options.audit)?;
        for _ in 0..PUT_ATTEMPTS {
            match self.link.put(&self.catalog, version, experiment, expected, &event).await? {
                Changed::Done => return Ok(()),
                Changed::Conflict(actual) => {
                    return Err(StoreError::Conflict { expected, actual });
                }
                Changed::Moved(actual) => return Err(StoreError::Moved { actual }),
                Changed::Removing(shards) => self.erase(experiment.id(), &shards).await?,
            }
        }
        Err(StoreError::unavailable(StillRemoving))
    }

    async fn remove(
        &self,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
        cause: &Cause,
    ) -> Result<(), StoreError> {
        let event = audit::Event::new(id, cause, self.options.audit)?;
        match self.link.remove(&self.catalog, id, expected, shards, &event).await? {
            Changed::Done => self.erase(id, shards).await,
            Changed::Conflict(actual) => {
                Err(StoreError::Conflict { expected: Some(expected), actual })
            }
            Changed::Moved(actual) => Err(StoreError::Moved { actual }),
            Changed::Removing(_) => Err(StoreError::unavailable(StillRemoving)),
        }
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        audit::page(&self.link, &self.catalog, query).await
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        self.finish_removals().await?;
        while self.link.sweep(&self.catalog, &self.options.audit).await? > 0 {}
        Ok(())
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        self.link.durability(&self.catalog.tag).await
    }

    fn activity(&self) -> Activity {
        self.lines.activity()
    }
}
