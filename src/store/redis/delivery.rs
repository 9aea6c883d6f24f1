//! Takes batches to Redis and brings back an answer for each request.

use std::sync::Arc;

use crate::domain::counter::{Event, ShardKey};
use crate::store::redis::codec::Batch;
use crate::store::redis::keys::{Prefix, ShardKeys};
use crate::store::redis::link::Link;
use crate::store::{Applied, StoreError};

/// What one request comes to.
pub(super) type Answer = Result<Vec<Applied>, StoreError>;

/// Everything that a batch needs on its way.
#[derive(Debug)]
pub(super) struct Delivery {
    link: Arc<Link>,
    prefix: Prefix,
    window_milliseconds: u64,
}

impl Delivery {
    pub(super) fn new(link: Arc<Link>, prefix: Prefix, window_milliseconds: u64) -> Self {
        Self { link, prefix, window_milliseconds }
    }

    /// Applies the requests of one shard in order, with one call. Requests know nothing of each
    /// other: when their sum is refused, each is tried by itself, so that the one at fault is the
    /// only one to be refused.
    pub(super) async fn carry(
        self: Arc<Self>,
        shard: ShardKey,
        requests: Vec<Vec<Event>>,
    ) -> Vec<Answer> {
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
        self.link.apply(keys, &batch, self.window_milliseconds).await
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
