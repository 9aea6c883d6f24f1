//! Exposures of Assign on their way to the store: in the background, bounded, never in the way.
//!
//! When the queue is full or the store stays away, an exposure is dropped and counted. That loses
//! nothing for a unit that brings an outcome, because its first outcome records the exposure; a
//! unit without any outcome is then missing from the exposed units.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::counter::{Event, ShardKey};
use crate::store::{Store, StoreError};

/// Most exposures in one call of the store.
const BATCH: usize = 512;

/// How often a batch is tried before it is dropped. Safe: a unit is counted once.
const TRIES: u32 = 3;

/// The waiting end.
#[derive(Debug)]
pub(super) struct ExposureQueue {
    sender: mpsc::Sender<(ShardKey, Event)>,
    dropped: Arc<AtomicU64>,
}

impl ExposureQueue {
    /// Queues an exposure or drops it; never waits.
    pub(super) fn offer(&self, shard: ShardKey, event: Event) {
        if self.sender.try_send((shard, event)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The recording end: [`Self::run`] it beside the service.
#[derive(Debug)]
pub struct ExposureRecorder {
    receiver: mpsc::Receiver<(ShardKey, Event)>,
    store: Arc<dyn Store>,
    dropped: Arc<AtomicU64>,
}

pub(super) fn queue(store: Arc<dyn Store>, capacity: usize) -> (ExposureQueue, ExposureRecorder) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let recorder = ExposureRecorder { receiver, store, dropped: Arc::clone(&dropped) };
    (ExposureQueue { sender, dropped }, recorder)
}

impl ExposureRecorder {
    /// Records until the service is gone and the queue is empty.
    pub async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH);
        while self.receiver.recv_many(&mut waiting, BATCH).await > 0 {
            let mut shards = BTreeMap::<ShardKey, Vec<Event>>::new();
            for (shard, event) in waiting.drain(..) {
                shards.entry(shard).or_default().push(event);
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

    async fn record(&self, shard: &ShardKey, events: &[Event]) {
        let mut pause = Duration::from_millis(50);
        for attempt in 1..=TRIES {
            match self.store.apply(shard, events).await {
                Ok(_) => return,
                Err(StoreError::Unavailable(_) | StoreError::Overloaded) if attempt < TRIES => {
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
                Err(error) => {
                    let lost = u64::try_from(events.len()).unwrap_or(u64::MAX);
                    self.dropped.fetch_add(lost, Ordering::Relaxed);
                    tracing::warn!(%error, lost, experiment = %shard.experiment, "dropped exposures");
                    return;
                }
            }
        }
    }
}
