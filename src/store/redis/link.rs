//! The link to Redis: one call, one answer within the time that is given to it.
//!
//! Whoever awaits a call may do so on any runtime. The call itself belongs to the runtime that made
//! the link: there are its timers, and the tasks that read, write and connect again, so that it
//! goes on when a caller on one thread hands it to a caller on another.

use std::fmt;
use std::time::Duration;

use futures_util::stream::StreamExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, Msg};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;

use crate::domain::counter::ShardKey;
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::store::redis::audit::Event;
use crate::store::redis::batch::Batch;
use crate::store::redis::durability;
use crate::store::redis::error::{Failed, classify, is_refusal, redact};
use crate::store::redis::keys::{CatalogKeys, ImportKeys, ShardKeys, Tag};
use crate::store::redis::procedures::{Changed, Procedures};
use crate::store::redis::way::Way;
use crate::store::{
    Announcements, Applied, AuditLimits, Changes, Durability, Note, Rows, StoreError,
};

/// A connection that comes back when it is lost.
pub(super) struct Link {
    address: String,
    /// For connections of their own: who listens on one cannot ask on it.
    client: Client,
    connection: ConnectionManager,
    procedures: Procedures,
    timeout: Duration,
    runtime: Handle,
}

#[derive(Debug, thiserror::Error)]
#[error("Redis at {address} did not answer within {timeout:?}")]
struct NoAnswer {
    address: String,
    timeout: Duration,
}

impl Link {
    /// Connects with the first call. To be called within the runtime that is to see to the
    /// connection.
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(StoreError::unavailable)?;
        // One attempt at a time: the next call makes the next, and no caller waits for a row
        // of them.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config)
            .map_err(StoreError::unavailable)?;
        let (address, procedures) = (redact(url), Procedures::new());
        let runtime = Handle::try_current().map_err(StoreError::unavailable)?;
        Ok(Self { address, client, connection, procedures, timeout, runtime })
    }

    /// Has a future use the runtime of this link, wherever it is polled.
    pub(super) fn at_home<F: Future>(&self, future: F) -> TokioContext<F> {
        TokioContext::new(future, self.runtime.clone())
    }

    /// Bounds the wait as a whole; the driver's timeouts do not cover a connection being made.
    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let call = self.at_home(async { tokio::time::timeout(self.timeout, call).await });
        call.await.unwrap_or_else(|_| Err(self.no_answer()))
    }

    fn no_answer(&self) -> StoreError {
        let (address, timeout) = (self.address.clone(), self.timeout);
        StoreError::unavailable(NoAnswer { address, timeout })
    }

    /// The way to the keys of a tag.
    fn way(&self, _tag: &Tag) -> Way {
        Way::Direct(self.connection.clone())
    }

    /// One command that only reads keys of a tag.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        tag: &Tag,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let mut way = self.way(tag);
        self.answer(async { way.send(command).await.map_err(classify) }).await
    }

    /// The answer to a question about keys of a tag; `None` when this user may not ask it.
    pub(super) async fn told<T: FromRedisValue>(
        &self,
        tag: &Tag,
        question: &Cmd,
    ) -> Result<Option<T>, StoreError> {
        let mut way = self.way(tag);
        let told = async {
            match way.send(question).await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if is_refusal(&error) => Ok(None),
                Err(error) => Err(classify(error)),
            }
        };
        self.answer(told).await
    }

    /// One command that writes to keys of a tag.
    pub(super) async fn write<T: FromRedisValue>(
        &self,
        tag: &Tag,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let mut way = self.way(tag);
        self.answer(async { way.send(command).await.map_err(classify) }).await
    }

    pub(super) async fn adopt(
        &self,
        catalog: &CatalogKeys,
        import: &ImportKeys,
        token: &str,
    ) -> Result<String, StoreError> {
        let mut way = self.way(&catalog.tag);
        self.answer(self.procedures.adopt(&mut way, catalog, import, token)).await
    }

    /// What an acknowledgement is worth in the Redis that holds the keys of a tag.
    pub(super) async fn durability(&self, tag: &Tag) -> Result<Durability, StoreError> {
        let mut way = self.way(tag);
        self.answer(durability::of(&mut way)).await
    }

    /// Sends a batch, numbered by its writer.
    pub(super) async fn apply(
        &self,
        keys: &ShardKeys,
        writer: &str,
        number: u64,
        batch: &Batch<'_>,
        window_milliseconds: u64,
    ) -> Result<Vec<Applied>, Failed> {
        let mut way = self.way(keys.tag());
        let call =
            self.procedures.apply(&mut way, keys, writer, number, batch, window_milliseconds);
        let answer = tokio::time::timeout(self.timeout, call).await;
        answer.unwrap_or_else(|_| Err(Failed::unknown(self.no_answer())))
    }

    pub(super) async fn raise(&self, keys: &ShardKeys, rows: &Rows) -> Result<(), StoreError> {
        let mut way = self.way(keys.tag());
        self.answer(self.procedures.raise(&mut way, keys, rows)).await
    }

    pub(super) async fn rows(
        &self,
        keys: &ShardKeys,
        segments: Option<&str>,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut way = self.way(keys.tag());
        self.answer(self.procedures.rows(&mut way, keys, segments)).await
    }

    pub(super) async fn note(
        &self,
        keys: &ShardKeys,
        slot: u32,
        note: &Note,
    ) -> Result<bool, StoreError> {
        let mut way = self.way(keys.tag());
        self.answer(self.procedures.note(&mut way, keys, slot, note)).await
    }

    pub(super) async fn changes(
        &self,
        catalog: &CatalogKeys,
        since: u64,
    ) -> Result<Changes, StoreError> {
        let mut way = self.way(&catalog.tag);
        self.answer(self.procedures.changes(&mut way, catalog, since)).await
    }

    /// What is published on a channel from now on. A message that is no number says as well that
    /// there is news.
    pub(super) async fn listen(&self, channel: &str) -> Result<Announcements, StoreError> {
        let subscribed = async {
            let mut subscription = self.client.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription)
        };
        let subscription = self.answer(async { subscribed.await.map_err(classify) }).await?;
        let version = |message: Msg| message.get_payload().unwrap_or(u64::MAX);
        Ok(subscription.into_on_message().map(version).boxed())
    }

    pub(super) async fn put(
        &self,
        catalog: &CatalogKeys,
        version: Option<u64>,
        experiment: &Experiment,
        expected: Option<Revision>,
        event: &Event,
    ) -> Result<Changed, StoreError> {
        let mut way = self.way(&catalog.tag);
        let call = self.procedures.put(&mut way, catalog, version, experiment, expected, event);
        self.answer(call).await
    }

    pub(super) async fn remove(
        &self,
        catalog: &CatalogKeys,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
        event: &Event,
    ) -> Result<Changed, StoreError> {
        let mut way = self.way(&catalog.tag);
        let call = self.procedures.remove(&mut way, catalog, id, expected, shards, event);
        self.answer(call).await
    }

    pub(super) async fn erase(
        &self,
        keys: &ShardKeys,
        directory: &str,
        most: u64,
    ) -> Result<u64, StoreError> {
        let mut way = self.way(keys.tag());
        self.answer(self.procedures.erase(&mut way, directory, most)).await
    }

    pub(super) async fn forget(
        &self,
        catalog: &CatalogKeys,
        id: &ExperimentId,
        note: &str,
    ) -> Result<(), StoreError> {
        let mut way = self.way(&catalog.tag);
        self.answer(self.procedures.forget(&mut way, catalog, id, note)).await
    }

    pub(super) async fn sweep(
        &self,
        catalog: &CatalogKeys,
        limits: &AuditLimits,
    ) -> Result<u64, StoreError> {
        let mut way = self.way(&catalog.tag);
        self.answer(self.procedures.sweep(&mut way, catalog, limits)).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Link");
        shown.field("address", &self.address).field("timeout", &self.timeout);
        shown.finish_non_exhaustive()
    }
}
