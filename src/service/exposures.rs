//! Exposures of Assign on their way to the store: in the background, bounded, never in the way.
//!
//! While the store is away exposures wait; when the queue is full, further ones are dropped and
//! counted. A unit whose exposure was dropped is recorded with its first outcome, unless that
//! outcome has to prove the exposure (a rule that needs attributes which it lacks, a pause). A unit
//! without any outcome is then missing from the exposed units.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::bucket::Fingerprint;
use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Iteration};
use crate::domain::id::{ExperimentId, UnitId, VariantId};
use crate::domain::outcome;
use crate::domain::value::Attributes;
use crate::service::segments::SegmentNames;
use crate::store::{Applied, Store, StoreError};

/// Most exposures in one call of the store.
const BATCH: usize = 512;

/// How often a batch is tried after the service is gone. Safe: a unit is counted once.
const TRIES: u32 = 3;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What waits.
#[derive(Debug)]
pub(super) enum Exposure {
    /// Ready to be recorded.
    Ready(ShardKey, Event),
    /// Of an experiment with dimensions: which segments it counts for may take a word with the
    /// store, for which nobody waits who asks for a variant.
    Unnamed(Box<Exposed>),
}

/// Who was exposed to what.
#[derive(Debug)]
pub(super) struct Exposed {
    experiment: Arc<Experiment>,
    iteration: u32,
    variant: VariantId,
    unit: String,
    attributes: Attributes,
}

impl Exposed {
    /// Keeps of the attributes those that count.
    pub(super) fn new(
        experiment: &Arc<Experiment>,
        iteration: &Iteration,
        variant: &VariantId,
        unit: UnitId<'_>,
        attributes: &Attributes,
    ) -> Self {
        let definition = &experiment.definition;
        let covariates = definition.metrics.iter().filter_map(|metric| metric.covariate.as_ref());
        let counted = definition.dimensions.iter().chain(covariates);
        let counted = counted.filter_map(|name| attributes.get_key_value(name));
        Self {
            experiment: Arc::clone(experiment),
            iteration: iteration.number,
            variant: variant.clone(),
            unit: unit.as_str().to_owned(),
            attributes: counted.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// `None` for a record that no code here writes.
    async fn event(&self, names: &SegmentNames) -> Result<Option<(ShardKey, Event)>, StoreError> {
        let Self { experiment, iteration, variant, unit, attributes } = self;
        let iteration = experiment.iteration(*iteration);
        let Some((iteration, unit)) = iteration.zip(UnitId::parse(unit).ok()) else {
            return Ok(None);
        };
        let fingerprint = Fingerprint::of_unit(experiment.id(), variant, unit);
        let segments = names.expected(experiment, iteration, fingerprint, attributes).await?;
        Ok(Some(outcome::exposure(experiment, iteration, variant, unit, attributes, &segments)))
    }
}

/// The waiting end.
#[derive(Debug)]
pub(super) struct ExposureQueue {
    sender: mpsc::Sender<Exposure>,
    dropped: Arc<AtomicU64>,
}

impl ExposureQueue {
    /// Queues an exposure or drops it; never waits.
    pub(super) fn offer(&self, exposure: Exposure) {
        if self.sender.try_send(exposure).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The recording end: [`Self::run`] it beside the service.
#[derive(Debug)]
pub struct ExposureRecorder {
    receiver: mpsc::Receiver<Exposure>,
    store: Arc<dyn Store>,
    names: Arc<SegmentNames>,
    dropped: Arc<AtomicU64>,
}

pub(super) fn queue(
    store: Arc<dyn Store>,
    names: Arc<SegmentNames>,
    capacity: usize,
) -> (ExposureQueue, ExposureRecorder) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let recorder = ExposureRecorder { receiver, store, names, dropped: Arc::clone(&dropped) };
    (ExposureQueue { sender, dropped }, recorder)
}

impl ExposureRecorder {
    /// Records until the service is gone and the queue is empty.
    pub async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH);
        while self.receiver.recv_many(&mut waiting, BATCH).await > 0 {
            let mut shards = BTreeMap::<ShardKey, Vec<Event>>::new();
            for exposure in waiting.drain(..) {
                let ready = match exposure {
                    Exposure::Ready(shard, event) => Some((shard, event)),
                    Exposure::Unnamed(exposed) => self.name(&exposed).await,
                };
                if let Some((shard, event)) = ready {
                    shards.entry(shard).or_default().push(event);
                }
            }
            for (shard, events) in shards {
                self.record(&shard, &events).await;
            }
        }
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "exposures were dropped while this server ran");
        }
    }

    async fn name(&self, exposed: &Exposed) -> Option<(ShardKey, Event)> {
        let named = self.insist(|| exposed.event(&self.names)).await;
        named.unwrap_or_else(|error| {
            self.give_up(1, exposed.experiment.id(), &error);
            None
        })
    }

    async fn record(&self, shard: &ShardKey, events: &[Event]) {
        match self.insist(|| self.store.apply(shard, events)).await {
            Ok(applied) => {
                for (event, applied) in events.iter().zip(applied) {
                    let label = match applied {
                        Applied::Counted => event.label,
                        // Known before, and what it is remembered with is good to know.
                        Applied::Labelled(label) => Some(label),
                        Applied::Duplicate | Applied::NotExposed => None,
                    };
                    if let Some(label) = label {
                        self.names.remember(shard.clone(), event.unit, label);
                    }
                }
            }
            Err(error) => self.give_up(events.len(), &shard.experiment, &error),
        }
    }

    /// Tries until the store answers: only a full queue drops exposures. Once the service is gone
    /// a few tries must do, so that a store that stays away does not hold the shutdown.
    async fn insist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let (mut pause, mut last_tries) = (SHORTEST_PAUSE, TRIES);
        loop {
            match ask().await {
                Err(StoreError::Unavailable(_) | StoreError::Overloaded) if last_tries > 0 => {
                    last_tries -= u32::from(self.receiver.is_closed());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                answer => return answer,
            }
        }
    }

    fn give_up(&self, lost: usize, experiment: &ExperimentId, error: &StoreError) {
        let lost = u64::try_from(lost).unwrap_or(u64::MAX);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        tracing::warn!(%error, lost, %experiment, "dropped exposures");
    }
}
