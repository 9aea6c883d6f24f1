//! Which segments an event counts for: the names of values, the labels of units, and what this
//! process remembers of both.
//!
//! A name and a label never change once they are given, so what is remembered needs no asking; a
//! value that was never met costs a word with the store, a unit that was never met a second call
//! of [`Store::apply`] at the most.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::bucket::Fingerprint;
use crate::domain::counter::ShardKey;
use crate::domain::experiment::{Experiment, Iteration};
use crate::domain::segment::{Claim, Label, Registry, SLOTS, Segments, Told};
use crate::domain::value::Attributes;
use crate::store::{Note, Store, StoreError};

/// Iterations whose names are remembered, 17 KB each at the most. Beyond, all are forgotten and
/// asked for again.
const ITERATIONS: usize = 1_024;

/// Units whose labels are remembered, in each of two generations: 32 bytes each and what a table
/// takes on top, 6 MB in all.
const UNITS: usize = 65_536;

/// Names and labels of all iterations that have dimensions.
#[derive(Debug)]
pub(super) struct SegmentNames {
    store: Arc<dyn Store>,
    registries: Mutex<HashMap<ShardKey, Known>>,
    labels: Mutex<Labels>,
    /// Tells iterations apart in `labels`.
    next_id: AtomicU64,
    asking: tokio::sync::Mutex<Asking>,
    failures: AtomicU64,
}

/// The registry of an iteration as it was when it was last read.
#[derive(Debug, Clone)]
struct Known {
    id: u64,
    registry: Arc<Registry>,
}

/// Held by whoever asks the store, so that a thousand outcomes with a new value ask once.
#[derive(Debug, Default)]
struct Asking {
    last_failure: Option<StoreError>,
}

/// Of the units that were met last: when the new generation is full, the old one is forgotten.
#[derive(Debug, Default)]
struct Labels {
    new: HashMap<(u64, Fingerprint), Label>,
    old: HashMap<(u64, Fingerprint), Label>,
}

impl Labels {
    fn find(&self, key: &(u64, Fingerprint)) -> Option<Label> {
        self.new.get(key).or_else(|| self.old.get(key)).copied()
    }

    fn insert(&mut self, key: (u64, Fingerprint), label: Label) {
        if self.new.len() >= UNITS {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(key, label);
    }
}

impl SegmentNames {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            registries: Mutex::default(),
            labels: Mutex::default(),
            next_id: AtomicU64::new(0),
            asking: tokio::sync::Mutex::default(),
            failures: AtomicU64::new(0),
        }
    }

    /// The segments of a unit as far as is known here: by its label, or else by what the
    /// attributes tell. Values that have no name get one, if there is one left.
    pub(super) async fn expected(
        &self,
        experiment: &Experiment,
        iteration: &Iteration,
        unit: Fingerprint,
        attributes: &Attributes,
    ) -> Result<Segments, StoreError> {
        let dimensions = &experiment.definition.dimensions;
        if dimensions.is_empty() {
            return Ok(Segments::NONE);
        }
        let home = ShardKey::of(experiment, iteration, 0);
        let known = self.registry(&home).await?;
        if let Some(label) = lock(&self.labels).find(&(known.id, unit))
            && let Ok(segments) = known.registry.segments(dimensions, label)
        {
            return Ok(segments);
        }
        let told = Told::all(dimensions, attributes);
        let (registry, label) = match known.registry.label(&told) {
            Ok(label) => (known.registry, label),
            Err(_) => self.name(&home, &told).await?,
        };
        let segments = registry.segments(dimensions, label);
        segments.map_err(|_| StoreError::Corrupt("a label without names".to_owned()))
    }

    /// The segments of a unit with that label, which the store told.
    pub(super) async fn labelled(
        &self,
        experiment: &Experiment,
        iteration: &Iteration,
        unit: Fingerprint,
        label: Label,
    ) -> Result<Segments, StoreError> {
        let dimensions = &experiment.definition.dimensions;
        let home = ShardKey::of(experiment, iteration, 0);
        let known = self.registry(&home).await?;
        lock(&self.labels).insert((known.id, unit), label);
        if let Ok(segments) = known.registry.segments(dimensions, label) {
            return Ok(segments);
        }
        // Another replica has named a value since.
        let asking = self.ask().await?;
        let registry = self.settle(asking, self.read(&home).await)?;
        let segments = registry.segments(dimensions, label);
        segments.map_err(|_| StoreError::Corrupt(format!("{label:?} without names")))
    }

    /// Remembers that the store counted an event of a unit of that shard under that label.
    pub(super) fn remember(&self, shard: ShardKey, unit: Fingerprint, label: Label) {
        let home = ShardKey { shard: 0, ..shard };
        let id = lock(&self.registries).get(&home).map(|known| known.id);
        if let Some(id) = id {
            lock(&self.labels).insert((id, unit), label);
        }
    }

    /// The registry as it was last read.
    async fn registry(&self, home: &ShardKey) -> Result<Known, StoreError> {
        let remembered = || lock(&self.registries).get(home).cloned();
        if let Some(known) = remembered() {
            return Ok(known);
        }
        let asking = self.ask().await?;
        if let Some(known) = remembered() {
            return Ok(known);
        }
        self.settle(asking, self.read(home).await)?;
        remembered().ok_or_else(|| StoreError::Corrupt("names are forgotten".to_owned()))
    }

    /// Names every value told, as long as there are names left.
    async fn name(
        &self,
        home: &ShardKey,
        told: &[Told],
    ) -> Result<(Arc<Registry>, Label), StoreError> {
        let asking = self.ask().await?;
        let named = self.claim_all(home, told).await;
        self.settle(asking, named)
    }

    async fn claim_all(
        &self,
        home: &ShardKey,
        told: &[Told],
    ) -> Result<(Arc<Registry>, Label), StoreError> {
        let mut registry = self.read(home).await?;
        loop {
            let claim = match registry.label(told) {
                Ok(label) => return Ok((registry, label)),
                Err(claim) => claim,
            };
            let Claim { slot, value } = &claim;
            let note = Note { stamp: 1, bytes: value.clone().into_bytes() };
            // Whoever was faster, the next read tells. Every round fills a slot.
            self.store.note(home, *slot, &note).await?;
            registry = self.read(home).await?;
        }
    }

    async fn read(&self, home: &ShardKey) -> Result<Arc<Registry>, StoreError> {
        let notes = self.store.notes(home).await?;
        let slots = notes.range(SLOTS).map(|(slot, note)| (*slot, note.bytes.as_slice()));
        let registry = Registry::read(slots).map_err(|bad| StoreError::Corrupt(bad.to_string()))?;
        let registry = Arc::new(registry);
        let mut registries = lock(&self.registries);
        if registries.len() >= ITERATIONS && !registries.contains_key(home) {
            registries.clear();
        }
        let known = registries.entry(home.clone()).or_insert_with(|| Known {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            registry: Arc::clone(&registry),
        });
        known.registry = Arc::clone(&registry);
        Ok(registry)
    }

    /// The turn to ask. Who waited while somebody else's turn failed takes that for its answer:
    /// a store that is away must not be waited for a thousand times in a row.
    async fn ask(&self) -> Result<tokio::sync::MutexGuard<'_, Asking>, StoreError> {
        let failures = self.failures.load(Ordering::Acquire);
        let asking = self.asking.lock().await;
        if self.failures.load(Ordering::Acquire) != failures
            && let Some(failure) = &asking.last_failure
        {
            return Err(failure.repeated());
        }
        Ok(asking)
    }

    fn settle<T>(
        &self,
        mut asking: tokio::sync::MutexGuard<'_, Asking>,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Err(failure) = &answer {
            asking.last_failure = Some(failure.repeated());
            self.failures.fetch_add(1, Ordering::Release);
        }
        answer
    }
}

/// Nothing in here panics between two changes that belong together.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
