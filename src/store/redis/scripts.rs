//! The scripts that run inside Redis, and what they answer. Each says at its top what it takes.
//!
//! They are scripts because each decides on what it reads: `apply` counts an event only if its
//! id is new, `raise` writes only what is larger, `put` and `remove` write only over the revision
//! that the caller has seen. With plain commands another client could come in between, and MULTI
//! cannot read.
//!
//! A script is called by its digest and sent only when Redis does not know it, after a restart
//! or a `SCRIPT FLUSH`. Another release is another digest, so two releases run side by side.

use redis::Script;
use redis::aio::ConnectionLike;

use crate::domain::counter::ShardKey;
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::store::redis::codec::{self, Batch};
use crate::store::redis::error::classify;
use crate::store::redis::keys::{self, CatalogKeys, ShardKeys};
use crate::store::{Applied, COUNTER_LIMIT, Rows, StoreError};

/// The scripts, digested once.
pub(super) struct Scripts {
    apply: Script,
    raise: Script,
    rows: Script,
    put: Script,
    remove: Script,
}

/// What became of a change to a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Done,
    /// The record is at this revision, `None` when there is none.
    Conflict(Option<Revision>),
    /// These shards of an earlier experiment of that name must be deleted first.
    Removing(Vec<ShardKey>),
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            apply: Script::new(include_str!("apply.lua")),
            raise: Script::new(include_str!("raise.lua")),
            rows: Script::new(include_str!("rows.lua")),
            put: Script::new(include_str!("put.lua")),
            remove: Script::new(include_str!("remove.lua")),
        }
    }

    pub(super) async fn apply(
        &self,
        connection: &mut impl ConnectionLike,
        shard: &ShardKeys,
        batch: &Batch<'_>,
        window_milliseconds: u64,
    ) -> Result<Vec<Applied>, StoreError> {
        let mut call = self.apply.prepare_invoke();
        call.key(shard.directory()).key(shard.units()).key(shard.events());
        for row in batch.rows() {
            call.key(shard.row(row));
        }
        call.arg(batch.message()?).arg(batch.units()).arg(batch.ids());
        call.arg(window_milliseconds).arg(COUNTER_LIMIT);
        let reply: Vec<u8> = call.invoke_async(connection).await.map_err(classify)?;
        codec::answers(&reply, batch.len())
    }

    pub(super) async fn raise(
        &self,
        connection: &mut impl ConnectionLike,
        shard: &ShardKeys,
        rows: &Rows,
    ) -> Result<(), StoreError> {
        let mut call = self.raise.prepare_invoke();
        call.key(shard.directory());
        for (name, values) in rows {
            call.key(shard.row(name)).arg(codec::columns(values));
        }
        call.invoke_async(connection).await.map_err(classify)
    }

    pub(super) async fn rows(
        &self,
        connection: &mut impl ConnectionLike,
        shard: &ShardKeys,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut call = self.rows.prepare_invoke();
        call.key(shard.directory()).arg(shard.row(""));
        call.invoke_async(connection).await.map_err(classify)
    }

    pub(super) async fn put(
        &self,
        connection: &mut impl ConnectionLike,
        catalog: &CatalogKeys,
        experiment: &Experiment,
        expected: Option<Revision>,
    ) -> Result<Changed, StoreError> {
        let id = experiment.id();
        let expected = expected.map(|revision| revision.0.to_string()).unwrap_or_default();
        let mut call = self.put.prepare_invoke();
        call.key(&catalog.experiments).key(&catalog.removals).key(&catalog.version);
        call.arg(id.as_str()).arg(expected);
        call.arg(codec::record(experiment)?).arg(&catalog.changes);
        changed(id, &call.invoke_async(connection).await.map_err(classify)?)
    }

    pub(super) async fn remove(
        &self,
        connection: &mut impl ConnectionLike,
        catalog: &CatalogKeys,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
    ) -> Result<Changed, StoreError> {
        let mut call = self.remove.prepare_invoke();
        call.key(&catalog.experiments).key(&catalog.removals).key(&catalog.version);
        call.arg(id.as_str()).arg(expected.0).arg(keys::write_shards(id, shards));
        call.arg(&catalog.changes);
        changed(id, &call.invoke_async(connection).await.map_err(classify)?)
    }
}

fn changed(id: &ExperimentId, reply: &(String, String)) -> Result<Changed, StoreError> {
    let (verdict, detail) = (reply.0.as_str(), reply.1.as_str());
    let unreadable = || StoreError::Corrupt(format!("the reply {verdict:?} {detail:?}"));
    match (verdict, detail) {
        ("OK", _) => Ok(Changed::Done),
        ("CONFLICT", "") => Ok(Changed::Conflict(None)),
        ("CONFLICT", revision) => {
            let revision = revision.parse().map_err(|_| unreadable())?;
            Ok(Changed::Conflict(Some(Revision(revision))))
        }
        ("REMOVING", shards) => {
            keys::read_shards(id, shards).map(Changed::Removing).ok_or_else(unreadable)
        }
        _ => Err(unreadable()),
    }
}
