//! The embedded store's directory: a log of what was added, and checkpoints of the rows.
//!
//! Every group of batches is one atomic write with one fsync: a log record and the fingerprints
//! it made known. When the log has grown, the rows that changed since the last checkpoint are
//! written and the log is deleted, again in one atomic write; so a row on disk and the log that
//! follows it never overlap, whenever the process dies. Opening reads the rows, the fingerprints
//! that still matter and then the log.
//!
//! Data of a removed experiment may be large and is deleted in steps (`erase`). The first, atomic
//! one removes the record and notes what is to be erased.

use std::collections::BTreeSet;
use std::path::Path;

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch as WriteBatch, PersistMode,
};

use crate::domain::counter::ShardKey;
use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::store::embedded::clock::Moment;
use crate::store::embedded::directory;
use crate::store::embedded::erase::Erasing;
use crate::store::embedded::format;
use crate::store::embedded::import::{Adoption, Part};
use crate::store::embedded::journal::{Journal, Logged};
use crate::store::embedded::load;
use crate::store::embedded::state::{Change, State};
use crate::store::portable::{Member, Set};
use crate::store::{Note, StoreError, Window, codec};

/// Fewest expired events that a checkpoint deletes, if there are as many.
const STEP: usize = 10_000;

/// The parts of the database; `format` says what is in them.
pub(super) struct Keyspaces {
    pub(super) meta: Keyspace,
    pub(super) records: Keyspace,
    pub(super) log: Keyspace,
    pub(super) rows: Keyspace,
    pub(super) notes: Keyspace,
    pub(super) units: Keyspace,
    pub(super) events: Keyspace,
    pub(super) erasing: Keyspace,
    pub(super) audit: Keyspace,
}

impl Keyspaces {
    /// Opens or creates them.
    pub(super) fn open(database: &Database) -> Result<Self, StoreError> {
        let keyspace = |name| {
            let opened = database.keyspace(name, KeyspaceCreateOptions::default);
            opened.map_err(StoreError::unavailable)
        };
        Ok(Self {
            meta: keyspace("meta")?,
            records: keyspace("records")?,
            log: keyspace("log")?,
            rows: keyspace("rows")?,
            notes: keyspace("notes")?,
            units: keyspace("units")?,
            events: keyspace("events")?,
            erasing: keyspace("erasing")?,
            audit: keyspace("audit")?,
        })
    }
}

/// An open directory.
pub(super) struct Disk {
    pub(super) database: Database,
    pub(super) keyspaces: Keyspaces,
    /// Number of the next log record.
    pub(super) next: u64,
    /// Bytes of log that a restart would replay.
    pub(super) log_bytes: u64,
    /// A checkpoint is due when the log is longer than this and than the last checkpoint, so
    /// that with very many rows checkpoints get rarer instead of taking all the time.
    log_limit: u64,
    last_checkpoint: u64,
    /// What removed experiments left.
    pub(super) erasing: Erasing,
    /// Rows that the log changes.
    pub(super) dirty: BTreeSet<(ShardKey, String)>,
    /// Expired fingerprints that the next checkpoint deletes: twice as many as were added since
    /// the last one, so that it catches up without ever stalling the store.
    expiring: usize,
    now: Moment,
}

/// The directory belongs to somebody else.
#[derive(Debug, thiserror::Error)]
#[error("another process has the data directory {0} open")]
pub(super) struct InUse(pub(super) String);

fn cannot_open(path: &Path, error: fjall::Error) -> StoreError {
    use fjall::Error::{InvalidVersion, JournalRecovery, Locked, Unrecoverable};
    if matches!(error, Locked) {
        StoreError::unavailable(InUse(path.display().to_string()))
    } else if matches!(error, JournalRecovery(_) | InvalidVersion(_) | Unrecoverable) {
        format::corrupt(&error.to_string())
    } else {
        StoreError::unavailable(error)
    }
}

impl Disk {
    /// Opens or creates a directory and reads what it holds.
    pub(super) fn open(
        path: &Path,
        create: bool,
        log_limit: u64,
        now: Moment,
    ) -> Result<(Self, State), StoreError> {
        directory::prepare(path, create)?;
        let opened = Database::builder(path).open();
        let database = opened.map_err(|error| cannot_open(path, error))?;
        let mut disk = Self {
            keyspaces: Keyspaces::open(&database)?,
            database,
            next: 0,
            log_bytes: 0,
            log_limit,
            last_checkpoint: 0,
            erasing: Erasing::default(),
            dirty: BTreeSet::new(),
            expiring: STEP,
            now,
        };
        let state = load::load(&mut disk)?;
        Ok((disk, state))
    }

    /// Whether events of a window still matter.
    pub(super) fn remembers(&self, window: Window) -> bool {
        window.is_remembered(self.now.milliseconds)
    }

    /// All windows of which there are events, also those that nobody remembers any more.
    pub(super) fn windows(&self) -> Result<Vec<Window>, StoreError> {
        let (mut windows, mut from) = (Vec::new(), Vec::new());
        while let Some(event) = self.keyspaces.events.range(from.as_slice()..).next() {
            let event = event.key().map_err(StoreError::unavailable)?;
            let (window, _) = format::split_window(&event)?;
            windows.push(window);
            from = format::after_window(window);
        }
        Ok(windows)
    }

    pub(super) fn batch(&self) -> WriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncData))
    }

    pub(super) fn commit(batch: WriteBatch) -> Result<(), StoreError> {
        batch.commit().map_err(StoreError::unavailable)
    }

    /// The version of the catalog and the event of the audit log.
    fn log_change(&self, batch: &mut WriteBatch, logged: &Logged) {
        let Logged { version, event, dropped } = logged;
        batch.insert(&self.keyspaces.meta, "version", version.to_be_bytes());
        batch.insert(&self.keyspaces.audit, version.to_be_bytes(), format::audit_event(event));
        self.drop_events(batch, dropped);
    }

    fn drop_events(&self, batch: &mut WriteBatch, events: &[u64]) {
        for number in events {
            batch.remove(&self.keyspaces.audit, number.to_be_bytes());
        }
    }

    /// Rows as they are now in place of the log.
    fn checkpoint(&mut self, batch: &mut WriteBatch, state: &State) -> Result<(), StoreError> {
        self.last_checkpoint = 0;
        for (key, name) in std::mem::take(&mut self.dirty) {
            let shard = state.shards.get(&key);
            if let Some(row) = shard.and_then(|shard| shard.rows.get(&name)) {
                let counters = format::counters(row);
                self.last_checkpoint += u64::try_from(counters.len()).unwrap_or(u64::MAX);
                batch.insert(&self.keyspaces.rows, format::row(&key, &name), counters);
            }
        }
        for record in self.keyspaces.log.iter() {
            batch.remove(&self.keyspaces.log, record.key().map_err(StoreError::unavailable)?);
        }
        self.log_bytes = 0;
        Ok(())
    }

    fn forget_expired_events(&mut self) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        let windows = self.windows()?;
        let expired = windows.into_iter().filter(|window| !self.remembers(*window));
        let expired =
            expired.flat_map(|window| self.keyspaces.events.prefix(format::window(window)));
        for event in expired.take(self.expiring) {
            batch.remove(&self.keyspaces.events, event.key().map_err(StoreError::unavailable)?);
        }
        self.expiring = STEP;
        Self::commit(batch)
    }
}

impl Journal for Disk {
    fn append(&mut self, change: &Change) -> Result<(), StoreError> {
        let record = format::log_record(change)?;
        self.log_bytes += u64::try_from(record.len()).unwrap_or(u64::MAX);
        self.now = change.now;
        let mut batch = self.batch();
        batch.insert(&self.keyspaces.log, self.next.to_be_bytes(), record);
        for (key, added) in &change.shards {
            for unit in &added.units {
                let label = added.labels.get(unit).map(|label| label.to_bytes().to_vec());
                let unit = format::unit(key, *unit);
                batch.insert(&self.keyspaces.units, unit, label.unwrap_or_default());
            }
            for event in &added.events {
                batch.insert(
                    &self.keyspaces.events,
                    format::event(change.now.window, key, *event),
                    [],
                );
            }
            self.expiring += 2 * added.events.len();
            self.dirty.extend(added.sums.keys().map(|row| (key.clone(), row.clone())));
        }
        Self::commit(batch)?;
        self.next += 1;
        Ok(())
    }

    fn settle(&mut self, state: &State) -> Result<(), StoreError> {
        if self.log_bytes < self.log_limit.max(self.last_checkpoint) {
            return Ok(());
        }
        let mut batch = self.batch();
        self.checkpoint(&mut batch, state)?;
        Self::commit(batch)?;
        self.forget_expired_events()
    }

    fn note(&mut self, shard: &ShardKey, slot: u32, note: &Note) -> Result<(), StoreError> {
        let mut batch = self.batch();
        batch.insert(&self.keyspaces.notes, format::note(shard, slot), note.to_stored());
        Self::commit(batch)
    }

    fn put(&mut self, experiment: &Experiment, logged: &Logged) -> Result<(), StoreError> {
        let mut batch = self.batch();
        let id = experiment.id().as_str();
        batch.insert(&self.keyspaces.records, id.as_bytes(), codec::encode(experiment)?);
        self.log_change(&mut batch, logged);
        Self::commit(batch)
    }

    fn remove(
        &mut self,
        state: &State,
        id: &ExperimentId,
        shards: &[ShardKey],
        logged: &Logged,
    ) -> Result<(), StoreError> {
        let mut batch = self.batch();
        batch.remove(&self.keyspaces.records, id.as_str().as_bytes());
        self.log_change(&mut batch, logged);
        // The log may hold increments of these shards and would bring their rows back.
        self.checkpoint(&mut batch, state)?;
        for shard in shards {
            batch.insert(&self.keyspaces.erasing, format::shard(shard), []);
        }
        Self::commit(batch)?;
        self.erasing.add(shards.iter().cloned());
        Ok(())
    }

    fn erase_some(&mut self) -> Result<bool, StoreError> {
        self.erase_step()
    }

    fn erase_all(&mut self, id: &ExperimentId) -> Result<(), StoreError> {
        self.erase_experiment(id)
    }

    fn forget(&mut self, events: &[u64]) -> Result<(), StoreError> {
        let mut batch = self.batch();
        self.drop_events(&mut batch, events);
        Self::commit(batch)
    }

    fn claim(&mut self, shards: &[ShardKey]) -> Result<(), StoreError> {
        let Keyspaces { log, rows, notes, units, events, erasing, .. } = &self.keyspaces;
        for keyspace in [log, rows, notes, units, events, erasing] {
            self.clear(keyspace)?;
        }
        (self.log_bytes, self.dirty, self.erasing) = (0, BTreeSet::new(), Erasing::default());
        let mut batch = self.batch();
        for shard in shards {
            batch.insert(&self.keyspaces.erasing, format::shard(shard), []);
        }
        Self::commit(batch)
    }

    fn load(&mut self, shard: &ShardKey, part: &Part) -> Result<(), StoreError> {
        let mut batch = self.batch();
        let Keyspaces { rows, notes, units, events, .. } = &self.keyspaces;
        match part {
            Part::Rows(all) => {
                for (name, row) in all {
                    batch.insert(rows, format::row(shard, name), format::counters(row));
                }
            }
            Part::Note(slot, note) => {
                batch.insert(notes, format::note(shard, *slot), note.to_stored());
            }
            Part::Members(set, members) => {
                for Member { digest, label } in members {
                    match set {
                        Set::Units => batch.insert(units, format::unit(shard, *digest), []),
                        Set::Labels => {
                            batch.insert(units, format::unit(shard, *digest), label.to_bytes());
                        }
                        Set::Events(window) => {
                            batch.insert(events, format::event(*window, shard, *digest), []);
                        }
                    }
                }
            }
        }
        Self::commit(batch)
    }

    fn adopt(&mut self, adoption: &Adoption, version: u64) -> Result<(), StoreError> {
        let mut batch = self.batch();
        for experiment in &adoption.experiments {
            let id = experiment.id().as_str().as_bytes();
            batch.insert(&self.keyspaces.records, id, codec::encode(experiment)?);
            for shard in ShardKey::all_of(experiment) {
                batch.remove(&self.keyspaces.erasing, format::shard(&shard));
            }
        }
        for (number, event) in &adoption.events {
            batch.insert(&self.keyspaces.audit, number.to_be_bytes(), format::audit_event(event));
        }
        batch.insert(&self.keyspaces.meta, "version", version.to_be_bytes());
        Self::commit(batch)
    }
}
