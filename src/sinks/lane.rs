//! One program's queue, and the loop that empties it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::fate::Fate;
use super::program::Program;
use super::score::Score;
use super::waiting::{Attempt, Waiting};

/// Scores that were not tried yet, and those that wait for another try.
const QUEUE: usize = 8_192;
const WAITING: usize = 8_192;

/// Most scores of one round.
const BATCH: usize = 128;

/// What became of the scores for one program.
#[derive(Debug, Default)]
pub(super) struct Counts {
    offered: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    retried: AtomicU64,
}

/// What became of the scores for one program since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkReading {
    /// Its name.
    pub sink: &'static str,
    /// It was to have them.
    pub offered: u64,
    /// It has them.
    pub delivered: u64,
    /// They found the queue full or were tried too often.
    pub dropped: u64,
    /// It does not want them.
    pub refused: u64,
    /// Further tries.
    pub retried: u64,
}

impl SinkReading {
    /// Queued, or waiting for another try.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.offered.saturating_sub(self.delivered + self.dropped + self.refused)
    }
}

impl Counts {
    pub(super) fn read(&self, sink: &'static str) -> SinkReading {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // What comes in last is read first, so that nothing pends less than no time.
        let (delivered, dropped) = (read(&self.delivered), read(&self.dropped));
        let (refused, retried) = (read(&self.refused), read(&self.retried));
        SinkReading { sink, offered: read(&self.offered), delivered, dropped, refused, retried }
    }
}

fn count(one_more: &AtomicU64) {
    one_more.fetch_add(1, Ordering::Relaxed);
}

/// The end that takes scores.
#[derive(Debug)]
pub(super) struct Entrance {
    sender: mpsc::Sender<Score>,
    counts: Arc<Counts>,
}

impl Entrance {
    /// Queues a score or drops it; never waits.
    pub(super) fn offer(&self, score: Score) {
        count(&self.counts.offered);
        if self.sender.try_send(score).is_err() {
            count(&self.counts.dropped);
        }
    }
}

/// The end that sends them.
#[derive(Debug)]
pub(super) struct Lane {
    program: Program,
    receiver: mpsc::Receiver<Score>,
    waiting: Waiting,
    counts: Arc<Counts>,
    healthy: bool,
}

pub(super) fn lane(program: Program, counts: &Arc<Counts>) -> (Entrance, Lane) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let counts = Arc::clone(counts);
    let entrance = Entrance { sender, counts: Arc::clone(&counts) };
    (entrance, Lane { program, receiver, waiting: Waiting::default(), counts, healthy: true })
}

impl Lane {
    /// Sends until the entrance is gone and everything was tried once.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.next_batch().await {
            let fates = self.program.deliver(&batch).await;
            for (attempt, fate) in batch.into_iter().zip(fates) {
                self.settle(attempt, fate);
            }
        }
    }

    /// What is due, then what is new: a program that fails gets no more new ones than can wait.
    async fn next_batch(&mut self) -> Option<Vec<Attempt>> {
        let mut batch = Vec::new();
        let mut fresh = Vec::new();
        loop {
            self.waiting.take_due(Instant::now(), &mut batch, BATCH);
            let room = (BATCH - batch.len()).min(WAITING.saturating_sub(self.waiting.len()));
            if !batch.is_empty() {
                while fresh.len() < room
                    && let Ok(score) = self.receiver.try_recv()
                {
                    fresh.push(score);
                }
                batch.extend(fresh.into_iter().map(Attempt::from));
                return Some(batch);
            }
            let due = self.waiting.due();
            tokio::select! {
                taken = self.receiver.recv_many(&mut fresh, room), if room > 0 => {
                    let scores = fresh.into_iter().map(Attempt::from);
                    return (taken > 0).then(|| scores.collect());
                }
                () = until(due) => {}
            }
        }
    }

    fn settle(&mut self, attempt: Attempt, fate: Fate) {
        match fate {
            Fate::Delivered => {
                count(&self.counts.delivered);
                self.tell(None);
            }
            Fate::Later(why) => {
                self.tell(Some(&why));
                let waits = self.waiting.put(attempt, Instant::now());
                count(if waits { &self.counts.retried } else { &self.counts.dropped });
            }
            Fate::Refused(why) => {
                count(&self.counts.refused);
                self.tell(Some(&why));
            }
        }
    }

    /// Once when it begins to fail and once when it works again.
    fn tell(&mut self, problem: Option<&str>) {
        let sink = self.program.name();
        match problem {
            Some(problem) if self.healthy => {
                self.healthy = false;
                tracing::warn!(sink, problem, "scores are not delivered; outcomes are stored");
            }
            None if !self.healthy => {
                self.healthy = true;
                tracing::info!(sink, "scores are delivered again");
            }
            Some(_) | None => {}
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
