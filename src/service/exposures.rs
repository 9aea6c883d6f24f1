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

use crate::domain::counter::{Event, ShardKey};
use crate::store::{Store, StoreError};

/// Most exposures in one call of the store.
const BATCH: usize = 512;

/// How often a batch is tried after the service is gone. Safe: a unit is counted once.
const TRIES: u32 = 3;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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

    /// Tries until the store has them: only a full queue drops exposures. Once the service is gone
    /// a few tries must do, so that a store that stays away does not hold the shutdown.
    async fn record(&self, shard: &ShardKey, events: &[Event]) {
        let (mut pause, mut last_tries) = (SHORTEST_PAUSE, TRIES);
        loop {
            match self.store.apply(shard, events).await {
                Ok(_) => return,
                Err(StoreError::Unavailable(_) | StoreError::Overloaded) if last_tries > 0 => {
                    last_tries -= u32::from(self.receiver.is_closed());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
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
