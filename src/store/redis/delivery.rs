//! Takes batches to Redis and brings back an answer for each request, exactly once.
//!
//! A batch whose answer is lost may have been counted, or not. It is sent again as it is: it
//! carries the name of its writer, which is this store in this process, and a number that counts
//! up. Redis remembers the last number of each writer in a shard and the answers to that batch,
//! and gives them again. One is enough, because a writer has one batch of a shard under way: the
//! next leaves when this one is answered or given up. A batch that was given up and arrives after
//! its successor, out of a connection that was thought dead, is refused by its number. So what
//! Redis must remember is bounded by the writers there are, not by what they write.
//!
//! What surely did not arrive, because nobody took the connection or Redis said no, is answered at
//! once and not sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::time::Instant;

use crate::domain::counter::{Event, ShardKey};
use crate::store::redis::batch::Batch;
use crate::store::redis::keys::{Prefix, ShardKeys};
use crate::store::redis::link::Link;
use crate::store::{Activity, Applied, StoreError};

/// What one request comes to.
pub(super) type Answer = Result<Vec<Applied>, StoreError>;

/// The first pause before a batch is sent again: none to speak of, because a dropped connection
/// mostly comes back at once. Each is twice the one before, because a restart takes its time.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Everything that a batch needs on its way.
#[derive(Debug)]
pub(super) struct Delivery {
    link: Arc<Link>,
    prefix: Prefix,
    window_milliseconds: u64,
    patience: Duration,
    /// No other writer ever has this name: 128 random bits.
    writer: String,
    number: AtomicU64,
    events: AtomicU64,
}

impl Delivery {
    /// `patience` is how long a batch is sent again before its callers hear that the store is
    /// away.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the system has no randomness.
    pub(super) fn new(
        link: Arc<Link>,
        prefix: Prefix,
        window_milliseconds: u64,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let random = || SysRng.try_next_u64().map_err(StoreError::unavailable);
        let writer = format!("{:016x}{:016x}", random()?, random()?);
        let (number, events) = (AtomicU64::new(1), AtomicU64::new(0));
        Ok(Self { link, prefix, window_milliseconds, patience, writer, number, events })
    }

    /// What was sent so far; who waits is not known here.
    pub(super) fn activity(&self) -> Activity {
        Activity {
            batches: self.number.load(Ordering::Relaxed) - 1,
            batched_events: self.events.load(Ordering::Relaxed),
            waiting: 0,
        }
    }

    /// Applies the requests of one shard in order, with one call. Requests know nothing of each
    /// other: when their sum is refused, each is tried by itself, so that the one at fault is the
    /// only one to be refused.
    pub(super) fn carry(
        self: Arc<Self>,
        shard: ShardKey,
        requests: Vec<Vec<Event>>,
    ) -> impl Future<Output = Vec<Answer>> + Send + 'static {
        let link = Arc::clone(&self.link);
        link.at_home(self.deliver(shard, requests))
    }

    async fn deliver(self: Arc<Self>, shard: ShardKey, requests: Vec<Vec<Event>>) -> Vec<Answer> {
        let keys = ShardKeys::new(&self.prefix, &shard);
        match self.send(&keys, requests.iter().flatten()).await {
            Ok(applied) => share(&requests, &applied),
            Err(StoreError::CounterFull | StoreError::Corrupt(_)) if requests.len() > 1 => {
                let mut answers = Vec::with_capacity(requests.len());
                for request in &requests {
                    answers.push(self.send(&keys, request.iter()).await);
                }
                answers
            }
            Err(error) => requests.iter().map(|_| Err(error.repeated())).collect(),
        }
    }

    async fn send<'a>(&self, keys: &ShardKeys, events: impl Iterator<Item = &'a Event>) -> Answer {
        let batch = Batch::new(events);
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(u64::try_from(batch.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let give_up = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        let mut may_have_arrived = false;
        loop {
            let (link, window) = (&self.link, self.window_milliseconds);
            let failed = match link.apply(keys, &self.writer, number, &batch, window).await {
                Ok(applied) => return Ok(applied),
                Err(failed) => failed,
            };
            // Once it may have been counted, a refusal says nothing about the time before.
            may_have_arrived |= failed.may_have_arrived;
            let settled = !matches!(failed.error, StoreError::Unavailable(_));
            if settled || !may_have_arrived || Instant::now() + pause >= give_up {
                return Err(failed.error);
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    }
}

/// The answers of a batch, request by request.
fn share(requests: &[Vec<Event>], applied: &[Applied]) -> Vec<Answer> {
    let mut rest = applied;
    let mut next = |request: &Vec<Event>| {
        let (own, others) = rest.split_at_checked(request.len())?;
        rest = others;
        Some(own.to_vec())
    };
    let short = || StoreError::Corrupt("fewer answers than events".to_owned());
    requests.iter().map(|request| next(request).ok_or_else(short)).collect()
}
