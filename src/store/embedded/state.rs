//! What the embedded store knows, in memory: a state and the changes to it. No I/O, no clock.
//!
//! Counting is two steps. [`Change::admit`] decides what becomes of events and collects what they
//! add, on top of a state that it only reads; so does [`Change::raise`] with what maxima still
//! lack. [`State::absorb`] makes a change part of the state. The journal stands between the two,
//! so nothing is visible before it is on disk, and a change that cannot be written is simply
//! dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::domain::counter::{Admission, Event, Increment, ShardKey};
use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::domain::segment::Label;
use crate::store::embedded::audit::AuditLog;
use crate::store::embedded::changes::ChangeLog;
use crate::store::embedded::clock::Moment;
use crate::store::embedded::journal::Logged;
use crate::store::{Applied, COUNTER_LIMIT, Changes, Digest, Notes, Rows, StoreError, Window};

/// Sums by row and column.
pub(super) type Sums = BTreeMap<String, BTreeMap<u32, i64>>;

/// Everything that was counted and recorded.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) shards: HashMap<ShardKey, Shard>,
    pub(super) records: BTreeMap<ExperimentId, Experiment>,
    pub(super) changes: ChangeLog,
    pub(super) audit: AuditLog,
    /// Of the catalog.
    pub(super) version: u64,
    /// Of the last change.
    window: Option<Window>,
}

/// One shard of one iteration.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) rows: Rows,
    pub(super) notes: Notes,
    pub(super) units: HashSet<Digest>,
    /// Of those units that have one.
    pub(super) labels: HashMap<Digest, Label>,
    /// Counted events by the window they were counted in.
    pub(super) events: BTreeMap<Window, HashSet<Digest>>,
}

impl Shard {
    fn counted(&self, event: Digest, now: Moment) -> bool {
        let mut windows = self.events.iter();
        windows.any(|(window, counted)| {
            counted.contains(&event) && window.is_remembered(now.milliseconds)
        })
    }

    fn counter(&self, row: &str, column: u32) -> i64 {
        let columns = self.rows.get(row);
        columns.and_then(|columns| columns.get(index(column))).copied().unwrap_or_default()
    }

    /// Adds without a check: [`Change::admit`] and [`Change::raise`] have seen to it that every
    /// sum keeps within [`COUNTER_LIMIT`].
    pub(super) fn add(&mut self, sums: &Sums) {
        for (row, columns) in sums {
            let counters = match self.rows.get_mut(row) {
                Some(counters) => counters,
                None => self.rows.entry(row.clone()).or_default(),
            };
            let width = columns.last_key_value().map_or(0, |(last, _)| index(*last) + 1);
            if counters.len() < width {
                counters.resize(width, 0);
            }
            for (column, amount) in columns {
                if let Some(counter) = counters.get_mut(index(*column)) {
                    *counter = counter.saturating_add(*amount);
                }
            }
        }
    }
}

impl State {
    /// Takes up a change of a record, `None` for its removal, and what goes with it.
    pub(super) fn changed(
        &mut self,
        id: &ExperimentId,
        record: Option<Experiment>,
        logged: Logged,
    ) {
        self.version = logged.version;
        self.changes.add(logged.version, id.clone());
        self.audit.add(logged.version, logged.event);
        self.audit.remove(&logged.dropped);
        match record {
            Some(record) => self.records.insert(id.clone(), record),
            None => self.records.remove(id),
        };
    }

    /// What happened to the records since a version.
    pub(super) fn changes(&self, since: u64) -> Changes {
        if since == self.version {
            return Changes::None;
        }
        let current = |id: &ExperimentId| (id.clone(), self.records.get(id).cloned());
        let changed = self.changes.since(since).filter(|_| since < self.version);
        changed.map_or(Changes::Unknown, |ids| Changes::Some {
            version: self.version,
            records: ids.into_iter().map(current).collect(),
            more: false,
        })
    }

    /// Makes a change visible.
    pub(super) fn absorb(&mut self, change: Change) {
        for (key, added) in change.shards {
            let shard = self.shards.entry(key).or_default();
            shard.add(&added.sums);
            shard.units.extend(added.units);
            shard.labels.extend(added.labels);
            if !added.events.is_empty() {
                shard.events.entry(change.now.window).or_default().extend(added.events);
            }
        }
        if self.window != Some(change.now.window) {
            self.window = Some(change.now.window);
            self.forget_expired_events(change.now);
        }
    }

    fn forget_expired_events(&mut self, now: Moment) {
        for shard in self.shards.values_mut() {
            shard.events.retain(|window, _| window.is_remembered(now.milliseconds));
        }
    }
}

/// What a group of batches and raises adds to a state, all counted at one moment.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) now: Moment,
    pub(super) shards: BTreeMap<ShardKey, ShardChange>,
}

/// What is added to one shard. A sum of 0 is kept: it says that the column was touched.
#[derive(Debug, Default)]
pub(super) struct ShardChange {
    pub(super) sums: Sums,
    pub(super) units: BTreeSet<Digest>,
    pub(super) labels: BTreeMap<Digest, Label>,
    pub(super) events: BTreeSet<Digest>,
}

impl ShardChange {
    fn is_empty(&self) -> bool {
        self.units.is_empty() && self.events.is_empty() && self.sums.is_empty()
    }

    /// `None` when a sum leaves 64 bits.
    fn add(&mut self, increments: &[Increment]) -> Option<()> {
        for Increment { row, column, amount } in increments {
            let columns = match self.sums.get_mut(row) {
                Some(columns) => columns,
                None => self.sums.entry(row.clone()).or_default(),
            };
            let sum = columns.entry(*column).or_default();
            *sum = sum.checked_add(*amount)?;
        }
        Some(())
    }

    fn sum(&self, row: &str, column: u32) -> i64 {
        self.sums.get(row).and_then(|columns| columns.get(&column)).copied().unwrap_or_default()
    }

    fn merge(&mut self, later: Self) {
        for (row, columns) in later.sums {
            let into = self.sums.entry(row).or_default();
            for (column, amount) in columns {
                // Within 64 bits: the counter with both parts is within the limit.
                let sum = into.entry(column).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
        self.units.extend(later.units);
        self.labels.extend(later.labels);
        self.events.extend(later.events);
    }
}

impl Change {
    pub(super) fn new(now: Moment) -> Self {
        Self { now, shards: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Decides what becomes of a batch after the state and everything admitted before, and takes
    /// up what it adds.
    ///
    /// # Errors
    /// [`StoreError::CounterFull`]; then the change is as it was.
    pub(super) fn admit(
        &mut self,
        state: &State,
        key: &ShardKey,
        events: &[Event],
    ) -> Result<Vec<Applied>, StoreError> {
        let (nothing, unchanged) = (Shard::default(), ShardChange::default());
        let before = state.shards.get(key).unwrap_or(&nothing);
        let pending = self.shards.get(key).unwrap_or(&unchanged);
        let view = View { before, pending, now: self.now };
        let mut added = ShardChange::default();
        let mut answers = Vec::with_capacity(events.len());
        for event in events {
            answers.push(view.count(event, &mut added).ok_or(StoreError::CounterFull)?);
        }
        if !view.fits(&added) {
            return Err(StoreError::CounterFull);
        }
        if !added.is_empty() {
            self.shards.entry(key.clone()).or_default().merge(added);
        }
        Ok(answers)
    }

    /// Takes up what the state and everything admitted before lack of the maxima given. One
    /// committer decides on all changes in order, so a maximum is as good as the increment that
    /// leads to it, and neither the log nor checkpoints know the difference.
    pub(super) fn raise(&mut self, state: &State, key: &ShardKey, rows: &Rows) {
        let (before, pending) = (state.shards.get(key), self.shards.get(key));
        let mut added = ShardChange::default();
        for (row, values) in rows {
            for (column, value) in (0..).zip(values) {
                let before = before.map_or(0, |shard| shard.counter(row, column));
                let pending = pending.map_or(0, |shard| shard.sum(row, column));
                // None of the three is negative and no sum beyond the limit.
                let lacking = value.saturating_sub(before.saturating_add(pending));
                if lacking > 0 {
                    added.sums.entry(row.clone()).or_default().insert(column, lacking);
                }
            }
        }
        if !added.is_empty() {
            self.shards.entry(key.clone()).or_default().merge(added);
        }
    }
}

/// A shard as the next batch finds it.
struct View<'a> {
    before: &'a Shard,
    pending: &'a ShardChange,
    now: Moment,
}

impl View<'_> {
    /// `None` when a sum of the batch leaves 64 bits.
    fn count(&self, event: &Event, added: &mut ShardChange) -> Option<Applied> {
        let counted = |id: Digest| {
            added.events.contains(&id)
                || self.pending.events.contains(&id)
                || self.before.counted(id, self.now)
        };
        let (id, unit) = (event.dedup.as_ref().map(Digest::from), Digest::from(&event.unit));
        if id.is_some_and(counted) {
            return Some(Applied::Duplicate);
        }
        let exposed = added.units.contains(&unit)
            || self.pending.units.contains(&unit)
            || self.before.units.contains(&unit);
        if event.admission == Admission::ExposedOnly && !exposed {
            return Some(Applied::NotExposed);
        }
        if let Some(label) = event.label.filter(|_| exposed) {
            let known = self.label(unit, added);
            if known != label {
                return Some(Applied::Labelled(known));
            }
        }
        added.events.extend(id);
        added.add(&event.increments)?;
        if !exposed {
            added.units.insert(unit);
            let label = event.label.filter(|label| *label != Label::NONE);
            added.labels.extend(label.map(|label| (unit, label)));
            added.add(&event.if_unit_is_new)?;
        }
        Some(Applied::Counted)
    }

    fn label(&self, unit: Digest, added: &ShardChange) -> Label {
        let known = added.labels.get(&unit).or_else(|| self.pending.labels.get(&unit));
        known.or_else(|| self.before.labels.get(&unit)).copied().unwrap_or(Label::NONE)
    }

    fn fits(&self, added: &ShardChange) -> bool {
        added.sums.iter().all(|(row, columns)| {
            columns.iter().all(|(column, amount)| {
                let before = self.before.counter(row, *column);
                let pending = self.pending.sum(row, *column);
                let after = i128::from(before) + i128::from(pending) + i128::from(*amount);
                after.abs() <= i128::from(COUNTER_LIMIT)
            })
        })
    }
}

fn index(column: u32) -> usize {
    usize::try_from(column).unwrap_or(usize::MAX)
}
