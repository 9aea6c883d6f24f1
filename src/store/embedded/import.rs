//! Filling an empty embedded store.
//!
//! The shards are claimed first: noted as being erased, so that whatever an import leaves behind
//! that never commits is cleared away when the directory is opened or by the next import. The
//! commit writes the records and the audit log and takes the notes back, in one piece.

use std::sync::PoisonError;

use async_trait::async_trait;

use crate::domain::audit::AuditEvent;
use crate::domain::counter::ShardKey;
use crate::domain::experiment::Experiment;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::audit::Entry;
use crate::store::embedded::changes::ChangeLog;
use crate::store::embedded::committer::{Committer, Request};
use crate::store::embedded::journal::Journal;
use crate::store::embedded::state::{Shard, State};
use crate::store::portable::{Import, Member, MoveError, Set};
use crate::store::{Note, Rows, StoreError};

/// What the committer is to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Give up what an earlier import left, and claim shards.
    Claim(Vec<ShardKey>),
    /// Write a part of a shard.
    Load(ShardKey, Part),
    /// Make records and audit log show.
    Adopt(Adoption),
}

/// A part of a shard.
#[derive(Debug)]
pub(super) enum Part {
    Rows(Rows),
    Note(u32, Note),
    Members(Set, Vec<Member>),
}

/// What a commit makes show.
#[derive(Debug)]
pub(super) struct Adoption {
    pub(super) experiments: Vec<Experiment>,
    /// Of the audit log, by number.
    pub(super) events: Vec<(u64, Entry)>,
}

impl Part {
    pub(super) fn add_to(self, shard: &mut Shard) {
        match self {
            Self::Rows(rows) => shard.rows.extend(rows),
            Self::Note(slot, note) => {
                shard.notes.insert(slot, note);
            }
            Self::Members(Set::Units, units) => {
                shard.units.extend(units.iter().map(|unit| unit.digest));
            }
            Self::Members(Set::Labels, units) => {
                shard.labels.extend(units.iter().map(|unit| (unit.digest, unit.label)));
            }
            Self::Members(Set::Events(window), events) => {
                let counted = shard.events.entry(window).or_default();
                counted.extend(events.iter().map(|event| event.digest));
            }
        }
    }
}

impl Adoption {
    /// The version of the catalog that shows everything: above all that its log has had.
    pub(super) fn version(&self, before: u64) -> u64 {
        self.events.iter().map(|(number, _)| *number).fold(before, u64::max) + 1
    }

    pub(super) fn add_to(self, state: &mut State) {
        state.version = self.version(state.version);
        // It leads to no version any more.
        state.changes = ChangeLog::default();
        let records = self.experiments.into_iter();
        state.records.extend(records.map(|experiment| (experiment.id().clone(), experiment)));
        for (number, entry) in self.events {
            state.audit.add(number, entry);
        }
    }
}

impl State {
    /// What an import would meet; `None` when the store is empty.
    pub(super) fn occupants(&self) -> Option<String> {
        match self.records.len() {
            0 if self.audit.is_empty() => None,
            0 => Some("an audit log".to_owned()),
            count => Some(format!("{count} experiments")),
        }
    }
}

impl<J: Journal> Committer<J> {
    /// Refuses every step when there are records.
    pub(super) fn import(&mut self, step: Step) -> Result<(), StoreError> {
        self.check()?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let version = state.version;
        if state.occupants().is_some() {
            return Err(StoreError::Conflict { expected: None, actual: None });
        }
        drop(state);
        let written = match &step {
            Step::Claim(shards) => self.journal.claim(shards),
            Step::Load(shard, part) => self.journal.load(shard, part),
            Step::Adopt(adoption) => self.journal.adopt(adoption, adoption.version(version)),
        };
        written.map_err(|error| StoreError::unavailable(self.give_up(&error)))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match step {
            // Nothing else is there: the store is empty.
            Step::Claim(_) => state.shards.clear(),
            Step::Load(shard, part) => part.add_to(state.shards.entry(shard).or_default()),
            Step::Adopt(adoption) => {
                adoption.add_to(&mut state);
                self.versions.send_replace(state.version);
            }
        }
        Ok(())
    }
}

/// An import into this store.
pub(super) struct EmbeddedImport<'a> {
    store: &'a EmbeddedStore,
    adoption: Adoption,
}

impl<'a> EmbeddedImport<'a> {
    pub(super) async fn begin(
        store: &'a EmbeddedStore,
        experiments: &[Experiment],
    ) -> Result<Self, MoveError> {
        let shards = experiments.iter().flat_map(ShardKey::all_of).collect();
        match store.ask(|answer| Request::Import(Step::Claim(shards), answer)).await {
            Err(StoreError::Conflict { .. }) => {
                let occupants = store.state().occupants().unwrap_or_default();
                return Err(MoveError::NotEmpty(occupants));
            }
            claimed => claimed?,
        }
        let adoption = Adoption { experiments: experiments.to_vec(), events: Vec::new() };
        Ok(Self { store, adoption })
    }

    async fn load(&self, shard: &ShardKey, part: Part) -> Result<(), MoveError> {
        take(self.store, Step::Load(shard.clone(), part)).await
    }
}

/// A conflict is a record that was not there when the import began.
async fn take(store: &EmbeddedStore, step: Step) -> Result<(), MoveError> {
    match store.ask(|answer| Request::Import(step, answer)).await {
        Err(StoreError::Conflict { .. }) => Err(MoveError::Interfered),
        taken => Ok(taken?),
    }
}

#[async_trait]
impl Import for EmbeddedImport<'_> {
    async fn rows(&mut self, shard: &ShardKey, rows: &Rows) -> Result<(), MoveError> {
        self.load(shard, Part::Rows(rows.clone())).await
    }

    async fn note(&mut self, shard: &ShardKey, slot: u32, note: &Note) -> Result<(), MoveError> {
        self.load(shard, Part::Note(slot, note.clone())).await
    }

    async fn members(
        &mut self,
        shard: &ShardKey,
        set: Set,
        _: u64,
        members: &[Member],
    ) -> Result<(), MoveError> {
        self.load(shard, Part::Members(set, members.to_vec())).await
    }

    async fn audit(&mut self, event: &AuditEvent) -> Result<(), MoveError> {
        let (before, after) = (event.before.as_ref(), event.after.as_ref());
        let entry = Entry::new(&event.experiment, &event.cause, before, after)?;
        self.adoption.events.push((event.number.0, entry));
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), MoveError> {
        take(self.store, Step::Adopt(self.adoption)).await
    }

    async fn give_up(self: Box<Self>) -> Result<(), MoveError> {
        take(self.store, Step::Claim(Vec::new())).await
    }
}
