//! The one thread that changes the embedded store: group commit.
//!
//! It takes everything that waits, decides it on top of the state, has the journal write it with
//! one fsync, makes it visible and answers. While it waits for the disk the next group gathers,
//! so the price of an fsync is shared by as many callers as there are, and nobody waits for a
//! timer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{oneshot, watch};

use crate::domain::audit::Cause;
use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::store::embedded::audit::Entry;
use crate::store::embedded::clock::Windows;
use crate::store::embedded::import::Step;
use crate::store::embedded::journal::{Journal, Logged};
use crate::store::embedded::state::{Change, State};
use crate::store::{Applied, AuditLimits, Note, Rows, StoreError};

/// Most requests in one group: bounds the memory of a group and the wait for its answer.
const GROUP_REQUESTS: usize = 1_024;

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What callers ask for.
#[derive(Debug)]
pub(super) enum Request {
    Apply { shard: ShardKey, events: Vec<Event>, answer: Answer<Vec<Applied>> },
    Raise { shard: ShardKey, rows: Rows, answer: Answer<()> },
    Note { shard: ShardKey, slot: u32, note: Note, answer: Answer<bool> },
    Put { experiment: Box<Experiment>, only_if: Expected, cause: Cause, answer: Answer<()> },
    Remove(Removal, Answer<()>),
    Import(Step, Answer<()>),
    Sweep { answer: Answer<()> },
}

/// What a change of a record was made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Of the record; `None` when there is none.
    pub(super) revision: Option<Revision>,
    /// Of the catalog; `None` for any.
    pub(super) version: Option<u64>,
}

/// What is to be removed and why.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) id: ExperimentId,
    pub(super) expected: Revision,
    pub(super) shards: Vec<ShardKey>,
    pub(super) cause: Cause,
}

impl Request {
    /// Whether somebody still waits for the answer. Who went away before its turn takes its
    /// events back; a note or a change of a record goes on, there are few of them.
    fn is_awaited(&self) -> bool {
        match self {
            Self::Apply { answer, .. } => !answer.is_closed(),
            Self::Raise { answer, .. } => !answer.is_closed(),
            Self::Note { .. }
            | Self::Put { .. }
            | Self::Remove(..)
            | Self::Import(..)
            | Self::Sweep { .. } => true,
        }
    }
}

/// An earlier write failed. What is on disk is no longer known, so that going on could promise
/// what a restart does not find: only a restart, which reads the disk, heals this.
#[derive(Debug, Clone, thiserror::Error)]
#[error("refusing writes until a restart, because an earlier write failed: {0}")]
pub(super) struct Broken(String);

/// What the committer has done and what waits for it, for whoever watches the store.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) batches: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) waiting: AtomicU64,
}

/// Owns the journal; the only one to write to the state.
#[derive(Debug)]
pub(super) struct Committer<J> {
    pub(super) state: Arc<RwLock<State>>,
    pub(super) journal: J,
    windows: Windows,
    audit: AuditLimits,
    /// Tells the version of the catalog.
    pub(super) versions: watch::Sender<u64>,
    traffic: Arc<Traffic>,
    /// Whether removed experiments have left something to erase.
    erasing: bool,
    broken: Option<Broken>,
}

/// Batches and raises that will be committed together.
struct Group {
    change: Change,
    applied: Vec<(Answer<Vec<Applied>>, Vec<Applied>)>,
    raised: Vec<Answer<()>>,
}

impl<J: Journal> Committer<J> {
    pub(super) fn new(
        state: Arc<RwLock<State>>,
        journal: J,
        windows: Windows,
        audit: AuditLimits,
        versions: watch::Sender<u64>,
    ) -> Self {
        Self {
            state,
            journal,
            windows,
            audit,
            versions,
            traffic: Arc::default(),
            erasing: false,
            broken: None,
        }
    }

    /// Goes on while the committer works.
    pub(super) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        let traffic = self.traffic();
        loop {
            let waiting =
                if self.erasing { queue.try_recv() } else { queue.recv().map_err(closed) };
            match waiting {
                Ok(first) => {
                    let others = queue.try_iter().take(GROUP_REQUESTS - 1);
                    let group = std::iter::once(first).chain(others);
                    self.serve(group.inspect(|_| {
                        traffic.waiting.fetch_sub(1, Ordering::Relaxed);
                    }));
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            if self.erasing {
                self.erase_some();
            }
        }
    }

    /// What is not erased when the queue is closed is erased when the directory is opened again.
    fn erase_some(&mut self) {
        self.erasing = self.broken.is_none()
            && match self.journal.erase_some() {
                Ok(more) => more,
                Err(error) => {
                    self.give_up(&error);
                    false
                }
            };
    }

    /// Requests take effect in the order they came; a note and a change of a record end a group.
    pub(super) fn serve(&mut self, requests: impl Iterator<Item = Request>) {
        let mut group = self.open_group();
        for request in requests.filter(Request::is_awaited) {
            match request {
                Request::Apply { shard, events, answer } => {
                    self.admit(&mut group, &shard, &events, answer);
                }
                Request::Raise { shard, rows, answer } => {
                    self.raise(&mut group, &shard, &rows);
                    group.raised.push(answer);
                }
                Request::Note { shard, slot, note, answer } => {
                    let ended = std::mem::replace(&mut group, self.open_group());
                    self.commit(ended);
                    reply(answer, self.note(shard, slot, note));
                }
                Request::Put { experiment, only_if, cause, answer } => {
                    let ended = std::mem::replace(&mut group, self.open_group());
                    self.commit(ended);
                    reply(answer, self.put(*experiment, only_if, &cause));
                }
                Request::Remove(removal, answer) => {
                    let ended = std::mem::replace(&mut group, self.open_group());
                    self.commit(ended);
                    reply(answer, self.remove(&removal));
                }
                Request::Import(step, answer) => {
                    let ended = std::mem::replace(&mut group, self.open_group());
                    self.commit(ended);
                    reply(answer, self.import(step));
                }
                Request::Sweep { answer } => reply(answer, self.sweep()),
            }
        }
        self.commit(group);
    }

    fn open_group(&self) -> Group {
        let change = Change::new(self.windows.now());
        Group { change, applied: Vec::new(), raised: Vec::new() }
    }

    fn admit(
        &self,
        group: &mut Group,
        shard: &ShardKey,
        events: &[Event],
        answer: Answer<Vec<Applied>>,
    ) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match group.change.admit(&state, shard, events) {
            Ok(applied) => group.applied.push((answer, applied)),
            Err(refused) => reply(answer, Err(refused)),
        }
    }

    fn raise(&self, group: &mut Group, shard: &ShardKey, rows: &Rows) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        group.change.raise(&state, shard, rows);
    }

    /// Answers go out after the write, also to those who changed nothing: what their events are
    /// duplicates of, or what their maxima do not exceed, may be in this very group.
    fn commit(&mut self, group: Group) {
        let Group { change, applied, raised } = group;
        if !applied.is_empty() {
            let events = applied.iter().map(|(_, applied)| applied.len()).sum::<usize>();
            let events = u64::try_from(events).unwrap_or(u64::MAX);
            self.traffic.batches.fetch_add(1, Ordering::Relaxed);
            self.traffic.events.fetch_add(events, Ordering::Relaxed);
        }
        let written = if change.is_empty() { Ok(()) } else { self.write(change) };
        for (answer, applied) in applied {
            reply(answer, written.clone().map(|()| applied).map_err(StoreError::unavailable));
        }
        for answer in raised {
            reply(answer, written.clone().map_err(StoreError::unavailable));
        }
    }

    fn write(&mut self, change: Change) -> Result<(), Broken> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        self.journal.append(&change).map_err(|error| self.give_up(&error))?;
        self.state.write().unwrap_or_else(PoisonError::into_inner).absorb(change);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let settled = self.journal.settle(&state);
        drop(state);
        // The change is on disk whatever became of the housekeeping: its callers hear of success.
        if let Err(error) = settled {
            self.give_up(&error);
        }
        Ok(())
    }

    fn note(&mut self, shard: ShardKey, slot: u32, note: Note) -> Result<bool, StoreError> {
        self.check()?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let there = state.shards.get(&shard).and_then(|shard| shard.notes.get(&slot));
        let stays = there.is_some_and(|there| there.stamp >= note.stamp);
        drop(state);
        if stays {
            return Ok(false);
        }
        let written = self.journal.note(&shard, slot, &note);
        written.map_err(|error| StoreError::unavailable(self.give_up(&error)))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.shards.entry(shard).or_default().notes.insert(slot, note);
        Ok(true)
    }

    fn put(
        &mut self,
        experiment: Experiment,
        only_if: Expected,
        cause: &Cause,
    ) -> Result<(), StoreError> {
        let id = experiment.id().clone();
        let logged = self.logged(&id, only_if, cause, Some(&experiment))?;
        let erased = if only_if.revision.is_none() { self.journal.erase_all(&id) } else { Ok(()) };
        let written = erased.and_then(|()| self.journal.put(&experiment, &logged));
        written.map_err(|error| StoreError::unavailable(self.give_up(&error)))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.changed(&id, Some(experiment), logged);
        self.versions.send_replace(state.version);
        Ok(())
    }

    fn remove(&mut self, removal: &Removal) -> Result<(), StoreError> {
        let Removal { id, expected, shards, cause } = removal;
        let only_if = Expected { revision: Some(*expected), version: None };
        let logged = self.logged(id, only_if, cause, None)?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let written = self.journal.remove(&state, id, shards, &logged);
        drop(state);
        written.map_err(|error| StoreError::unavailable(self.give_up(&error)))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.changed(id, None, logged);
        for shard in shards {
            state.shards.remove(shard);
        }
        self.erasing = true;
        self.versions.send_replace(state.version);
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), StoreError> {
        self.check()?;
        loop {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let dropped =
                state.audit.superfluous(None, &self.audit, self.windows.now().milliseconds);
            drop(state);
            if dropped.is_empty() {
                return Ok(());
            }
            let forgotten = self.journal.forget(&dropped);
            forgotten.map_err(|error| StoreError::unavailable(self.give_up(&error)))?;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.audit.remove(&dropped);
        }
    }

    /// What goes with a change of a record, if everything is where the caller expects it.
    fn logged(
        &self,
        id: &ExperimentId,
        only_if: Expected,
        cause: &Cause,
        after: Option<&Experiment>,
    ) -> Result<Logged, StoreError> {
        self.check()?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let before = state.records.get(id);
        let actual = before.map(|experiment| experiment.revision);
        if actual != only_if.revision {
            return Err(StoreError::Conflict { expected: only_if.revision, actual });
        }
        if only_if.version.is_some_and(|version| version != state.version) {
            return Err(StoreError::Moved { actual: state.version });
        }
        let event = Entry::new(id, cause, before, after)?;
        let dropped =
            state.audit.superfluous(Some(&event), &self.audit, self.windows.now().milliseconds);
        Ok(Logged { version: state.version + 1, event, dropped })
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &self.broken {
            Some(broken) => Err(StoreError::unavailable(broken.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn give_up(&mut self, error: &StoreError) -> Broken {
        let broken = Broken(with_causes(error));
        tracing::error!(cause = %broken.0, "the store's journal failed; refusing writes");
        self.broken.insert(broken).clone()
    }
}

/// A queue that is waited for has nobody left to fill it.
fn closed(_: RecvError) -> TryRecvError {
    TryRecvError::Disconnected
}

/// A caller that no longer waits has been cancelled; that is its own affair.
fn reply<T>(answer: Answer<T>, result: Result<T, StoreError>) {
    drop(answer.send(result));
}

/// An error and what caused it, on one line.
pub(super) fn with_causes(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
