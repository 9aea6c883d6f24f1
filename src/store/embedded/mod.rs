//! The store that needs no server: everything in memory, and in one directory on disk.
//!
//! Reads come from memory and never wait for the disk. Writes go to one thread, the
//! `committer`, through a bounded queue; it is the only one to change the state, so decisions
//! need no locks, and one fsync serves everybody who waits. What a caller was told to be counted
//! survives `kill -9` and a power cut.
//!
//! Memory: about 8 bytes plus the overhead of a hash set for each unit of an iteration and each
//! event of the last two windows, 8 bytes for each counter. `memory:` is the same store without
//! the directory.

mod audit;
mod changes;
mod clock;
mod committer;
mod directory;
mod disk;
mod erase;
#[cfg(test)]
mod faults;
mod format;
mod import;
mod journal;
mod load;
mod moving;
mod state;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{StreamExt as _, unfold};
use tokio::sync::{oneshot, watch};

use crate::domain::audit::Cause;
use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::domain::segment;
use crate::store::{
    Activity, Announcements, Applied, AuditLimits, AuditPage, AuditQuery, Changes, Durability,
    Note, Notes, Records, Rows, Store, StoreError, maxima,
};

pub use clock::Clock;
use clock::Windows;
use committer::{Answer, Committer, Expected, Removal, Request, Traffic};
use disk::Disk;
use journal::{Journal, Nowhere};
use state::State;

/// Requests that may wait for the committer. More than that and the disk is behind for good:
/// better to say so at once than to let everybody wait.
const QUEUE: usize = 4_096;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// For how long an event id is remembered at least.
    pub dedup_window: Duration,
    /// Tells the time for that.
    pub clock: Clock,
    /// Whether a directory without a store becomes one.
    pub create: bool,
    /// Bytes of log after which the rows are written and the log is deleted, unless the rows
    /// written the last time were more: so a restart replays little and a checkpoint never costs
    /// more than what led to it.
    pub log_limit: u64,
    /// How much of the audit log is kept, in memory, too.
    pub audit: AuditLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dedup_window: Duration::from_secs(7 * 24 * 60 * 60),
            clock: Clock::system(),
            create: true,
            log_limit: 8 << 20,
            audit: AuditLimits::default(),
        }
    }
}

/// The store in memory, with or without a directory.
pub struct EmbeddedStore {
    /// `None` in memory.
    directory: Option<PathBuf>,
    windows: Windows,
    state: Arc<RwLock<State>>,
    versions: watch::Receiver<u64>,
    queue: Option<SyncSender<Request>>,
    traffic: Arc<Traffic>,
    committer: Option<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the store's thread has stopped")]
struct Stopped;

impl EmbeddedStore {
    /// Opens or creates the store in a directory. Blocks while it reads what is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the directory cannot be used, above all when another
    /// process has it open or it holds something else; [`StoreError::Corrupt`] when it holds what
    /// this release cannot read.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        let windows = Windows::new(options.clock, options.dedup_window);
        let (disk, state) = Disk::open(path, options.create, options.log_limit, windows.now())?;
        Self::start(Some(path.to_owned()), state, disk, windows, options.audit)
    }

    /// A store that forgets everything when it is dropped.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no thread to be had.
    pub fn in_memory(options: Options) -> Result<Self, StoreError> {
        let windows = Windows::new(options.clock, options.dedup_window);
        Self::start(None, State::default(), Nowhere, windows, options.audit)
    }

    fn start(
        directory: Option<PathBuf>,
        state: State,
        journal: impl Journal,
        windows: Windows,
        audit: AuditLimits,
    ) -> Result<Self, StoreError> {
        let state = Arc::new(RwLock::new(state));
        let (queue, requests) = sync_channel(QUEUE);
        let (announce, versions) = watch::channel(0);
        let committer =
            Committer::new(Arc::clone(&state), journal, windows.clone(), audit, announce);
        let traffic = committer.traffic();
        let committer = std::thread::Builder::new()
            .name("tiebreak-store".to_owned())
            .spawn(move || committer.run(&requests))
            .map_err(StoreError::unavailable)?;
        let (queue, committer) = (Some(queue), Some(committer));
        Ok(Self { directory, windows, state, versions, queue, traffic, committer })
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let Some(queue) = &self.queue else {
            return Err(StoreError::unavailable(Stopped));
        };
        self.traffic.waiting.fetch_add(1, Ordering::Relaxed);
        queue.try_send(request(answer)).map_err(|error| {
            self.traffic.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => StoreError::unavailable(Stopped),
            }
        })?;
        answered.await.unwrap_or_else(|_| Err(StoreError::unavailable(Stopped)))
    }

    /// A poisoned lock is read all the same: only the committer writes, and what it was writing
    /// when it panicked is on disk; all further writes fail with [`Stopped`].
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EmbeddedStore {
    /// Closes the queue and waits until everything in it is on disk.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!(directory = ?self.directory, "the store's thread panicked");
        }
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("directory", &self.directory).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn apply(&self, shard: &ShardKey, events: &[Event]) -> Result<Vec<Applied>, StoreError> {
        let (shard, events) = (shard.clone(), events.to_vec());
        self.ask(|answer| Request::Apply { shard, events, answer }).await
    }

    async fn raise(&self, shard: &ShardKey, rows: &Rows) -> Result<(), StoreError> {
        let (shard, rows) = (shard.clone(), maxima::raising(rows)?);
        self.ask(|answer| Request::Raise { shard, rows, answer }).await
    }

    async fn rows(&self, shard: &ShardKey) -> Result<Rows, StoreError> {
        self.rows_with_segments(shard, "").await
    }

    async fn rows_with_segments(&self, shard: &ShardKey, prefix: &str) -> Result<Rows, StoreError> {
        let state = self.state();
        let Some(shard) = state.shards.get(shard) else { return Ok(Rows::new()) };
        let segments = !prefix.is_empty();
        let asked = |name: &str| {
            let of_segment = name.starts_with(segment::ROWS);
            !of_segment || segments && name.starts_with(prefix)
        };
        let rows = shard.rows.iter().filter(|(name, _)| asked(name));
        Ok(rows.map(|(name, row)| (name.clone(), row.clone())).collect())
    }

    async fn note(&self, shard: &ShardKey, slot: u32, note: &Note) -> Result<bool, StoreError> {
        let (shard, note) = (shard.clone(), note.clone());
        self.ask(|answer| Request::Note { shard, slot, note, answer }).await
    }

    async fn notes(&self, shard: &ShardKey) -> Result<Notes, StoreError> {
        Ok(self.state().shards.get(shard).map(|shard| shard.notes.clone()).unwrap_or_default())
    }

    async fn records(&self) -> Result<Records, StoreError> {
        let state = self.state();
        let experiments = state.records.values().cloned().collect();
        Ok(Records { version: state.version, experiments })
    }

    async fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        Ok(self.state().changes(since))
    }

    async fn announcements(&self) -> Result<Announcements, StoreError> {
        let mut versions = self.versions.clone();
        versions.mark_unchanged();
        let next = async |mut versions: watch::Receiver<u64>| {
            versions.changed().await.ok()?;
            let version = *versions.borrow_and_update();
            Some((version, versions))
        };
        Ok(unfold(versions, next).boxed())
    }

    async fn get(&self, id: &ExperimentId) -> Result<Option<Experiment>, StoreError> {
        Ok(self.state().records.get(id).cloned())
    }

    async fn put_at(
        &self,
        version: Option<u64>,
        experiment: &Experiment,
        expected: Option<Revision>,
        cause: &Cause,
    ) -> Result<(), StoreError> {
        let (experiment, cause) = (Box::new(experiment.clone()), cause.clone());
        let only_if = Expected { revision: expected, version };
        self.ask(|answer| Request::Put { experiment, only_if, cause, answer }).await
    }

    async fn remove(
        &self,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
        cause: &Cause,
    ) -> Result<(), StoreError> {
        let (id, shards, cause) = (id.clone(), shards.to_vec(), cause.clone());
        let removal = Removal { id, expected, shards, cause };
        self.ask(|answer| Request::Remove(removal, answer)).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.state().audit.page(query)
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        self.ask(|answer| Request::Sweep { answer }).await
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        let on_disk = self.directory.is_some();
        Ok(if on_disk { Durability::on_disk() } else { Durability::in_memory() })
    }

    fn activity(&self) -> Activity {
        Activity {
            batches: self.traffic.batches.load(Ordering::Relaxed),
            batched_events: self.traffic.events.load(Ordering::Relaxed),
            waiting: self.traffic.waiting.load(Ordering::Relaxed),
        }
    }
}
