//! The store in Redis, shared by any number of replicas of the service.
//!
//! Every batch and every raise is one call of one script, so Redis is the only one to decide, and
//! replicas need not know of each other. Keys are in [`keys`], scripts in `scripts`. Needs Redis
//! 6.2 (`SMISMEMBER`). Acknowledged means applied under the `appendfsync` that Redis is set to.
//!
//! Memory in Redis: 8 bytes for each counter, about 72 for each unit of an iteration and each
//! event of the last two windows, and one directory entry for each key; entries of expired
//! windows stay until the experiment is removed, one a window.

mod codec;
mod error;
pub mod keys;
mod notes;
mod scripts;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, Pipeline, pipe};

use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::store::{Applied, BATCH_EVENTS, Note, Notes, Records, Rows, Store, StoreError, maxima};
use codec::Batch;
use error::{classify, redact};
use keys::{CatalogKeys, ShardKeys};

pub use keys::{InvalidPrefix, Prefix};
use notes::NoteScript;
use scripts::{Changed, Scripts};

/// Keys read or deleted in one step: few enough that no step keeps Redis busy for long.
const STEP: usize = 64;

/// How often a record is tried again after garbage of its predecessor was cleared away.
const PUT_ATTEMPTS: usize = 3;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// What all keys start with.
    pub prefix: Prefix,
    /// For how long an event id is remembered at least.
    pub dedup_window: Duration,
    /// For how long an answer is awaited, a new connection included.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            dedup_window: Duration::from_secs(7 * 24 * 60 * 60),
            timeout: Duration::from_millis(500),
        }
    }
}

/// A connection to Redis that comes back when it is lost.
pub struct RedisStore {
    address: String,
    connection: ConnectionManager,
    scripts: Scripts,
    note: NoteScript,
    options: Options,
    catalog: CatalogKeys,
}

#[derive(Debug, thiserror::Error)]
#[error("Redis at {address} did not answer within {timeout:?}")]
struct NoAnswer {
    address: String,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("an earlier experiment of that name is still being removed")]
struct StillRemoving;

impl RedisStore {
    /// Connects to `redis://host:port/db`, or to a socket: `redis+unix:///path` or `unix:///path`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the address makes no sense or nobody answers there.
    pub async fn connect(url: &str, options: Options) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(StoreError::unavailable)?;
        // One attempt at a time: the next call makes the next, and no caller waits for a row
        // of them.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(options.timeout))
            .set_response_timeout(Some(options.timeout))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_with_config(client, config)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(Self {
            address: redact(url),
            connection,
            scripts: Scripts::new(),
            note: NoteScript::new(),
            catalog: CatalogKeys::new(&options.prefix),
            options,
        })
    }

    fn shard_keys(&self, shard: &ShardKey) -> ShardKeys {
        ShardKeys::new(&self.options.prefix, shard)
    }

    /// Bounds the wait as a whole; the driver's timeouts do not cover a connection being made.
    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let timeout = self.options.timeout;
        tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
            let address = self.address.clone();
            Err(StoreError::unavailable(NoAnswer { address, timeout }))
        })
    }

    async fn query<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        let call = commands.query_async(&mut connection);
        self.answer(async { call.await.map_err(classify) }).await
    }

    async fn directory(&self, keys: &ShardKeys) -> Result<Vec<String>, StoreError> {
        let (mut directory,): (Vec<String>,) =
            self.query(pipe().smembers(keys.directory())).await?;
        directory.sort_unstable();
        Ok(directory)
    }

    /// Deletes all data of shards, then the note that says so. Repeating it does no harm.
    async fn erase(&self, id: &ExperimentId, shards: &[ShardKey]) -> Result<(), StoreError> {
        for shard in shards {
            let keys = self.shard_keys(shard);
            for step in self.directory(&keys).await?.chunks(STEP) {
                let _: () = self.query(pipe().unlink(step).ignore()).await?;
            }
            // Last, so that an interrupted removal still finds what is left.
            let _: () = self.query(pipe().unlink(keys.directory()).ignore()).await?;
        }
        self.query(pipe().hdel(&self.catalog.removals, id.as_str()).ignore()).await
    }

    async fn try_put(
        &self,
        experiment: &Experiment,
        expected: Option<Revision>,
    ) -> Result<Changed, StoreError> {
        let mut connection = self.connection.clone();
        self.answer(self.scripts.put(&mut connection, &self.catalog, experiment, expected)).await
    }

    async fn apply_step(
        &self,
        keys: &ShardKeys,
        events: &[Event],
    ) -> Result<Vec<Applied>, StoreError> {
        let window = self.options.dedup_window.as_millis();
        let window = u64::try_from(window).unwrap_or(u64::MAX).max(1);
        let batch = Batch::new(events);
        let mut connection = self.connection.clone();
        self.answer(self.scripts.apply(&mut connection, keys, &batch, window)).await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisStore");
        shown.field("address", &self.address).field("options", &self.options);
        shown.finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn apply(&self, shard: &ShardKey, events: &[Event]) -> Result<Vec<Applied>, StoreError> {
        let keys = self.shard_keys(shard);
        let mut answers = Vec::with_capacity(events.len());
        for step in events.chunks(BATCH_EVENTS) {
            answers.extend(self.apply_step(&keys, step).await?);
        }
        Ok(answers)
    }

    async fn raise(&self, shard: &ShardKey, rows: &Rows) -> Result<(), StoreError> {
        let (keys, rows) = (self.shard_keys(shard), maxima::raising(rows)?);
        if rows.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection.clone();
        self.answer(self.scripts.raise(&mut connection, &keys, &rows)).await
    }

    async fn rows(&self, shard: &ShardKey) -> Result<Rows, StoreError> {
        let keys = self.shard_keys(shard);
        let mut connection = self.connection.clone();
        let mut rows = Rows::new();
        for (key, bytes) in self.scripts.rows(&mut connection, &keys).await? {
            if let Some(name) = keys.row_name(&key) {
                rows.insert(name.to_owned(), codec::row(name, &bytes)?);
            }
        }
        Ok(rows)
    }

    async fn note(&self, shard: &ShardKey, slot: u32, note: &Note) -> Result<bool, StoreError> {
        let keys = self.shard_keys(shard);
        let mut connection = self.connection.clone();
        self.answer(self.note.write(&mut connection, &keys, slot, note)).await
    }

    async fn notes(&self, shard: &ShardKey) -> Result<Notes, StoreError> {
        let keys = self.shard_keys(shard);
        let mut connection = self.connection.clone();
        self.answer(notes::read(&mut connection, &keys)).await
    }

    async fn records(&self) -> Result<Records, StoreError> {
        let mut commands = pipe();
        // One transaction, so that the version is that of the records.
        commands.atomic().get(&self.catalog.version).hvals(&self.catalog.experiments);
        let (version, records): (Option<u64>, Vec<Vec<u8>>) = self.query(&commands).await?;
        let experiments = records.iter().map(|record| codec::parse_record(record));
        let experiments = experiments.collect::<Result<_, _>>()?;
        Ok(Records { version: version.unwrap_or_default(), experiments })
    }

    async fn version(&self) -> Result<u64, StoreError> {
        let (version,): (Option<u64>,) = self.query(pipe().get(&self.catalog.version)).await?;
        Ok(version.unwrap_or_default())
    }

    async fn get(&self, id: &ExperimentId) -> Result<Option<Experiment>, StoreError> {
        let (record,): (Option<Vec<u8>>,) =
            self.query(pipe().hget(&self.catalog.experiments, id.as_str())).await?;
        record.map(|record| codec::parse_record(&record)).transpose()
    }

    async fn put(
        &self,
        experiment: &Experiment,
        expected: Option<Revision>,
    ) -> Result<(), StoreError> {
        for _ in 0..PUT_ATTEMPTS {
            match self.try_put(experiment, expected).await? {
                Changed::Done => return Ok(()),
                Changed::Conflict(actual) => {
                    return Err(StoreError::Conflict { expected, actual });
                }
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
    ) -> Result<(), StoreError> {
        let mut connection = self.connection.clone();
        let catalog = &self.catalog;
        let call = self.scripts.remove(&mut connection, catalog, id, expected, shards);
        match self.answer(call).await? {
            Changed::Done => self.erase(id, shards).await,
            Changed::Conflict(actual) => {
                Err(StoreError::Conflict { expected: Some(expected), actual })
            }
            Changed::Removing(_) => Err(StoreError::unavailable(StillRemoving)),
        }
    }
}
