//! The procedures that run inside Redis, and what they answer. Each says at its top what it takes.
//!
//! They run there because each decides on what it reads: `apply` counts an event only if its id
//! is new, `raise` and `note` write only what is larger or later, `rows` and `changes` read what
//! belongs together at one point in time, `put` and `remove` write only over the revision that the
//! caller has seen, together with an event of the audit log, of which `sweep` drops only what is too
//! old, `adopt` makes an import show only if nobody wrote meanwhile. With plain commands another
//! client could come in between, and MULTI cannot read.
//!
//! Since Redis 7.0 they are functions of one library: kept with the data, so that replicas and a
//! restarted server know them. Where there are no functions, or no right to load them, they are
//! scripts, sent again whenever Redis has forgotten them. The library and its functions have the
//! digest of their source in the name. So two releases run side by side and neither replaces what
//! the other calls; what an old release leaves behind is a few kilobytes (`FUNCTION DELETE`).

use std::sync::atomic::{AtomicBool, Ordering};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind, cmd};

use crate::domain::counter::ShardKey;
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::store::redis::audit::{self, Event};
use crate::store::redis::batch::Batch;
use crate::store::redis::codec;
use crate::store::redis::error::{Failed, classify, is_refusal};
use crate::store::redis::keys::{self, CatalogKeys, ImportKeys, ShardKeys};
use crate::store::redis::way::Way;
use crate::store::{Applied, AuditLimits, COUNTER_LIMIT, Changes, Note, Rows, StoreError};

/// Name, source, and what it does not do: a function that says that it only reads is let through
/// where memory is full.
type Source = (&'static str, &'static str, &'static str);

const APPLY: Source = ("apply", include_str!("apply.lua"), "");
const RAISE: Source = ("raise", include_str!("raise.lua"), "");
const ROWS: Source = ("rows", include_str!("rows.lua"), "'no-writes'");
const NOTE: Source = ("note", include_str!("note.lua"), "");
const PUT: Source = ("put", concat!(include_str!("change.lua"), include_str!("put.lua")), "");
const REMOVE: Source =
    ("remove", concat!(include_str!("change.lua"), include_str!("remove.lua")), "");
const SWEEP: Source = ("sweep", concat!(include_str!("change.lua"), include_str!("sweep.lua")), "");
const ADOPT: Source = ("adopt", concat!(include_str!("change.lua"), include_str!("adopt.lua")), "");
const CHANGES: Source = ("changes", include_str!("changes.lua"), "'no-writes'");

const ERASE: Source = ("erase", include_str!("erase.lua"), "");
const FORGET: Source = ("forget", include_str!("forget.lua"), "");

const ALL: [Source; 11] =
    [APPLY, RAISE, ROWS, NOTE, PUT, REMOVE, SWEEP, ADOPT, CHANGES, ERASE, FORGET];

/// How many changes are remembered: whoever lags behind further reads all records.
const LOG_LENGTH: usize = 1_024;

/// Most changes of one answer, so that none of them keeps Redis busy for long.
const CHANGES_STEP: usize = 64;

/// The procedures, digested once.
pub(super) struct Procedures {
    library: String,
    /// Whether this Redis takes functions, as far as is known.
    functions: AtomicBool,
    apply: Procedure,
    raise: Procedure,
    rows: Procedure,
    note: Procedure,
    put: Procedure,
    remove: Procedure,
    sweep: Procedure,
    adopt: Procedure,
    changes: Procedure,
    erase: Procedure,
    forget: Procedure,
}

struct Procedure {
    function: String,
    source: &'static str,
    digest: String,
}

/// What became of a change to a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Done,
    /// The record is at this revision, `None` when there is none.
    Conflict(Option<Revision>),
    /// The catalog is at this version.
    Moved(u64),
    /// These shards of an earlier experiment of that name must be deleted first.
    Removing(Vec<ShardKey>),
}

impl Procedures {
    pub(super) fn new() -> Self {
        let sources = ALL.map(|(_, source, _)| source).concat();
        let version: String = Script::new(&sources).get_hash().chars().take(12).collect();
        let function = |name: &str| format!("tiebreak_{version}_{name}");
        let procedure = |(name, source, _): Source| Procedure {
            function: function(name),
            source,
            digest: Script::new(source).get_hash().to_owned(),
        };
        let registered = |(name, source, flags): Source| {
            let name = function(name);
            format!(
                "redis.register_function{{function_name = '{name}', flags = {{{flags}}}, \
                 callback = function(KEYS, ARGV)\n{source}\nend}}\n"
            )
        };
        let functions = ALL.map(registered).concat();
        Self {
            library: format!("#!lua name=tiebreak_{version}\n{functions}"),
            functions: AtomicBool::new(true),
            apply: procedure(APPLY),
            raise: procedure(RAISE),
            rows: procedure(ROWS),
            note: procedure(NOTE),
            put: procedure(PUT),
            remove: procedure(REMOVE),
            sweep: procedure(SWEEP),
            adopt: procedure(ADOPT),
            changes: procedure(CHANGES),
            erase: procedure(ERASE),
            forget: procedure(FORGET),
        }
    }

    pub(super) async fn apply(
        &self,
        way: &mut Way,
        shard: &ShardKeys,
        writer: &str,
        number: u64,
        batch: &Batch<'_>,
        window_milliseconds: u64,
    ) -> Result<Vec<Applied>, Failed> {
        let reply: Vec<u8> = self
            .call(way, &self.apply, |call| {
                call.arg(6 + batch.rows.len());
                call.arg(shard.directory()).arg(shard.units());
                call.arg(shard.events(window_milliseconds));
                call.arg(shard.writer(writer)).arg(shard.labels()).arg(shard.segments());
                for row in &batch.rows {
                    call.arg(shard.row(row));
                }
                call.arg(number).arg(window_milliseconds).arg(COUNTER_LIMIT);
                call.arg(&batch.flags).arg(&batch.units).arg(&batch.ids);
                call.arg(&batch.cells).arg(&batch.parts).arg(&batch.labels);
            })
            .await
            .map_err(Failed::from)?;
        codec::answers(&reply, batch.len()).map_err(Failed::known)
    }

    pub(super) async fn raise(
        &self,
        way: &mut Way,
        shard: &ShardKeys,
        rows: &Rows,
    ) -> Result<(), StoreError> {
        let raised = self.call(way, &self.raise, |call| {
            call.arg(1 + rows.len()).arg(shard.directory());
            for name in rows.keys() {
                call.arg(shard.row(name));
            }
            for values in rows.values() {
                call.arg(codec::columns(values));
            }
        });
        raised.await.map_err(classify)
    }

    /// Keys of rows and what is there: those of the whole and, where a prefix is given, those of
    /// segments whose names start with it.
    pub(super) async fn rows(
        &self,
        way: &mut Way,
        shard: &ShardKeys,
        segments: Option<&str>,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.call(way, &self.rows, |call| {
            call.arg(if segments.is_some() { 4 } else { 2 });
            call.arg(shard.directory()).arg(shard.row(""));
            if let Some(prefix) = segments {
                call.arg(shard.segments()).arg(shard.row(prefix));
            }
        });
        rows.await.map_err(classify)
    }

    /// Whether the note was kept.
    pub(super) async fn note(
        &self,
        way: &mut Way,
        shard: &ShardKeys,
        slot: u32,
        note: &Note,
    ) -> Result<bool, StoreError> {
        let kept = self.call(way, &self.note, |call| {
            call.arg(2).arg(shard.directory()).arg(shard.notes());
            call.arg(slot).arg(note.to_stored());
        });
        kept.await.map_err(classify)
    }

    pub(super) async fn put(
        &self,
        way: &mut Way,
        catalog: &CatalogKeys,
        version: Option<u64>,
        experiment: &Experiment,
        expected: Option<Revision>,
        event: &Event,
    ) -> Result<Changed, StoreError> {
        let version = version.map(|version| version.to_string()).unwrap_or_default();
        let (id, record) = (experiment.id(), codec::record(experiment)?);
        let expected = expected.map(|revision| revision.0.to_string()).unwrap_or_default();
        let reply = self.call(way, &self.put, |call| {
            name_catalog(call, catalog);
            call.arg(id.as_str()).arg(&expected).arg(&record).arg(&catalog.changes);
            call.arg(keys::FORMAT);
            event.add_to(call);
            call.arg(LOG_LENGTH).arg(&version);
        });
        changed(id, &reply.await.map_err(classify)?)
    }

    pub(super) async fn remove(
        &self,
        way: &mut Way,
        catalog: &CatalogKeys,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
        event: &Event,
    ) -> Result<Changed, StoreError> {
        let reply = self.call(way, &self.remove, |call| {
            name_catalog(call, catalog);
            call.arg(id.as_str()).arg(expected.0).arg(keys::write_shards(id, shards));
            call.arg(&catalog.changes);
            event.add_to(call);
            call.arg(LOG_LENGTH);
        });
        changed(id, &reply.await.map_err(classify)?)
    }

    pub(super) async fn changes(
        &self,
        way: &mut Way,
        catalog: &CatalogKeys,
        since: u64,
    ) -> Result<Changes, StoreError> {
        let reply = self.call(way, &self.changes, |call| {
            call.arg(3).arg(&catalog.experiments).arg(&catalog.version).arg(&catalog.log);
            call.arg(since).arg(CHANGES_STEP);
        });
        codec::changes(reply.await.map_err(classify)?)
    }

    /// How many names left the directory together with their keys.
    pub(super) async fn erase(
        &self,
        way: &mut Way,
        directory: &str,
        most: u64,
    ) -> Result<u64, StoreError> {
        let erased = self.call(way, &self.erase, |call| {
            call.arg(1).arg(directory).arg(most);
        });
        erased.await.map_err(classify)
    }

    /// Deletes the note of a removal if it is this one.
    pub(super) async fn forget(
        &self,
        way: &mut Way,
        catalog: &CatalogKeys,
        id: &ExperimentId,
        note: &str,
    ) -> Result<(), StoreError> {
        let forgotten = self.call::<u64>(way, &self.forget, |call| {
            call.arg(1).arg(&catalog.removals).arg(id.as_str()).arg(note);
        });
        forgotten.await.map(drop).map_err(classify)
    }

    /// How many events left the audit log.
    pub(super) async fn sweep(
        &self,
        way: &mut Way,
        catalog: &CatalogKeys,
        limits: &AuditLimits,
    ) -> Result<u64, StoreError> {
        let dropped = self.call(way, &self.sweep, |call| {
            call.arg(2).arg(&catalog.audit).arg(&catalog.audited);
            audit::add_limits(call, limits);
        });
        dropped.await.map_err(classify)
    }

    /// Whether an import that was laid aside shows now.
    pub(super) async fn adopt(
        &self,
        way: &mut Way,
        catalog: &CatalogKeys,
        import: &ImportKeys,
        token: &str,
    ) -> Result<String, StoreError> {
        let adopted = self.call(way, &self.adopt, |call| {
            call.arg(11).arg(&import.token);
            call.arg(&catalog.experiments).arg(&catalog.removals).arg(&catalog.version);
            call.arg(&catalog.format).arg(&catalog.audit).arg(&catalog.audited);
            call.arg(&import.experiments).arg(&import.claims);
            call.arg(&import.audit).arg(&import.audited);
            call.arg(token).arg(&catalog.changes).arg(keys::FORMAT);
        });
        adopted.await.map_err(classify)
    }

    /// Calls a procedure, and once more after making it known where it is not. `arguments` adds
    /// the number of keys, the keys and the arguments.
    async fn call<T: FromRedisValue>(
        &self,
        way: &mut Way,
        procedure: &Procedure,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<T, RedisError> {
        let command = || {
            let mut command = if self.functions.load(Ordering::Relaxed) {
                cmd("FCALL").arg(&procedure.function).to_owned()
            } else {
                cmd("EVALSHA").arg(&procedure.digest).to_owned()
            };
            arguments(&mut command);
            command
        };
        match way.send(&command()).await {
            // It knows functions from 7.0 on.
            Err(error) if is_refusal(&error) && self.functions.load(Ordering::Relaxed) => {
                self.functions.store(false, Ordering::Relaxed);
                self.make_known(way, procedure).await?;
                way.send(&command()).await
            }
            Err(error) if is_unknown(&error) => {
                self.make_known(way, procedure).await?;
                way.send(&command()).await
            }
            answer => answer,
        }
    }

    async fn make_known(&self, way: &mut Way, procedure: &Procedure) -> Result<(), RedisError> {
        if self.functions.load(Ordering::Relaxed) {
            let mut load = cmd("FUNCTION");
            load.arg("LOAD").arg(&self.library);
            match way.send::<String>(&load).await {
                Ok(_) => return Ok(()),
                // Another replica of the service was faster.
                Err(error) if error.to_string().contains("already exists") => return Ok(()),
                Err(error) if is_refusal(&error) => self.functions.store(false, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(procedure.source);
        way.send::<String>(&load).await.map(drop)
    }
}

/// Whether Redis does not know the function or the script.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        || error.to_string().contains("Function not found")
}

fn name_catalog(call: &mut Cmd, catalog: &CatalogKeys) {
    call.arg(7).arg(&catalog.experiments).arg(&catalog.removals).arg(&catalog.version);
    call.arg(&catalog.format).arg(&catalog.audit).arg(&catalog.audited);
    call.arg(&catalog.log);
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
        ("MOVED", version) => version.parse().map(Changed::Moved).map_err(|_| unreadable()),
        ("REMOVING", shards) => {
            keys::read_shards(id, shards).map(Changed::Removing).ok_or_else(unreadable)
        }
        _ => Err(unreadable()),
    }
}
