//! Filling an empty store in Redis.
//!
//! The shards are claimed first: noted as being removed, so that whatever an import leaves behind
//! that never commits is cleared away by the next one, or before an experiment of that name is
//! created. Their data is written in place, because no record refers to it yet. Records and audit
//! log are laid aside, and one script makes them show.
//!
//! A token with a lease keeps two imports apart.

use std::time::Duration;

use async_trait::async_trait;
use rand::TryRng;
use rand::rngs::SysRng;
use redis::Cmd;
use tokio::time::Instant;

use crate::domain::audit::AuditEvent;
use crate::domain::counter::ShardKey;
use crate::domain::experiment::Experiment;
use crate::domain::segment;
use crate::store::audit::{Head, payload};
use crate::store::portable::{Import, Member, MoveError, Set};
use crate::store::redis::RedisStore;
use crate::store::redis::codec;
use crate::store::redis::keys::{self, ImportKeys, ShardKeys};
use crate::store::redis::loader::TableLoader;
use crate::store::{Note, Rows, StoreError};

/// How long a claim holds after its owner was last heard of.
const LEASE: Duration = Duration::from_secs(30);

/// A head of the audit log that waits for its turn: the stream takes them oldest first.
struct WaitingHead {
    number: u64,
    head: Vec<u8>,
    milliseconds: i64,
    size: usize,
}

/// An import into this store.
pub(super) struct RedisImport<'a> {
    pub(super) store: &'a RedisStore,
    keys: ImportKeys,
    token: String,
    renewed: Instant,
    heads: Vec<WaitingHead>,
    audit_bytes: usize,
    table: Option<TableLoader>,
}

impl<'a> RedisImport<'a> {
    pub(super) async fn begin(
        store: &'a RedisStore,
        experiments: &[Experiment],
    ) -> Result<Self, MoveError> {
        let keys = ImportKeys::new(&store.options.prefix);
        let random = || SysRng.try_next_u64().map_err(StoreError::unavailable);
        let token = format!("{:016x}{:016x}", random()?, random()?);
        let (heads, audit_bytes) = (Vec::new(), 0);
        let renewed = Instant::now();
        let import = Self { store, keys, token, renewed, heads, audit_bytes, table: None };
        import.lease().await?;
        match import.claim(experiments).await {
            Ok(()) => Ok(import),
            Err(error) => {
                import.release().await?;
                Err(error)
            }
        }
    }

    async fn lease(&self) -> Result<(), MoveError> {
        let mut lease = Cmd::set(&self.keys.token, &self.token);
        let taken: Option<String> =
            self.write(lease.arg("NX").arg("PX").arg(milliseconds(LEASE))).await?;
        taken.map(drop).ok_or(MoveError::Importing)
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.write::<u64>(&Cmd::unlink(&self.keys.token)).await.map(drop)
    }

    /// Keeps the lease while the import goes on. Whether it was ours all the time is checked when
    /// it counts, by the commit.
    async fn renew(&mut self) -> Result<(), StoreError> {
        if self.renewed.elapsed() < LEASE / 6 {
            return Ok(());
        }
        self.renewed = Instant::now();
        self.write::<u64>(Cmd::new().arg("PEXPIRE").arg(&self.keys.token).arg(milliseconds(LEASE)))
            .await
            .map(drop)
    }

    async fn claim(&self, experiments: &[Experiment]) -> Result<(), MoveError> {
        let (store, catalog) = (self.store, &self.store.catalog);
        let records: u64 = store.link.read(&catalog.tag, &Cmd::hlen(&catalog.experiments)).await?;
        let audit: u64 = store.link.read(&catalog.tag, &Cmd::exists(&catalog.audit)).await?;
        match (records, audit) {
            (0, 0) => {}
            (0, _) => return Err(MoveError::NotEmpty("an audit log".to_owned())),
            (count, _) => return Err(MoveError::NotEmpty(format!("{count} experiments"))),
        }
        self.clear().await?;
        for experiment in experiments {
            let id = experiment.id();
            let shards: Vec<ShardKey> = ShardKey::all_of(experiment).collect();
            let claim = keys::write_shards(id, &shards);
            for hash in [&self.keys.claims, &catalog.removals] {
                let _: u64 = self.write(&Cmd::hset(hash, id.as_str(), &claim)).await?;
            }
            let record = codec::record(experiment)?;
            let _: u64 =
                self.write(&Cmd::hset(&self.keys.experiments, id.as_str(), record)).await?;
        }
        Ok(())
    }

    /// Erases all garbage that is noted, that of earlier imports among it.
    async fn clear(&self) -> Result<(), StoreError> {
        self.store.finish_all_removals().await?;
        self.write::<u64>(&Cmd::unlink(&self.keys.laid_aside())).await.map(drop)
    }

    async fn write<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.store.link.write(&self.store.catalog.tag, command).await
    }

    /// Writes keys of a shard, and lists them in a directory of its.
    pub(super) async fn list(
        &self,
        keys: &ShardKeys,
        directory: &str,
        listed: &[String],
    ) -> Result<(), StoreError> {
        if listed.is_empty() {
            return Ok(());
        }
        self.store.link.write::<u64>(keys.tag(), &Cmd::sadd(directory, listed)).await.map(drop)
    }

    async fn lay_heads_aside(&mut self) -> Result<(), StoreError> {
        self.heads.sort_unstable_by_key(|head| head.number);
        for head in std::mem::take(&mut self.heads) {
            self.renew().await?;
            let mut add = Cmd::new();
            add.arg("XADD").arg(&self.keys.audit).arg(format!("{}-0", head.number));
            add.arg("head").arg(head.head).arg("time").arg(head.milliseconds);
            add.arg("size").arg(head.size);
            let _: String = self.write(&add).await?;
        }
        if self.audit_bytes > 0 {
            let bytes = Cmd::hset(&self.keys.audited, "bytes", self.audit_bytes);
            let _: u64 = self.write(&bytes).await?;
        }
        Ok(())
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Import for RedisImport<'_> {
    async fn rows(&mut self, shard: &ShardKey, rows: &Rows) -> Result<(), MoveError> {
        let keys = self.store.shard_keys(shard);
        let (mut counters, mut segments) = (Vec::new(), Vec::new());
        for (name, row) in rows {
            self.renew().await?;
            let set = Cmd::set(keys.row(name), codec::columns(row));
            let _: String = self.store.link.write(keys.tag(), &set).await?;
            let listed =
                if name.starts_with(segment::ROWS) { &mut segments } else { &mut counters };
            listed.push(keys.row(name));
        }
        self.list(&keys, &keys.directory(), &counters).await?;
        Ok(self.list(&keys, &keys.segments(), &segments).await?)
    }

    async fn note(&mut self, shard: &ShardKey, slot: u32, note: &Note) -> Result<(), MoveError> {
        self.renew().await?;
        let keys = self.store.shard_keys(shard);
        self.list(&keys, &keys.directory(), &[keys.notes()]).await?;
        let set = Cmd::hset(keys.notes(), slot, note.to_stored());
        let _: u64 = self.store.link.write(keys.tag(), &set).await?;
        Ok(())
    }

    async fn members(
        &mut self,
        shard: &ShardKey,
        set: Set,
        total: u64,
        members: &[Member],
    ) -> Result<(), MoveError> {
        self.renew().await?;
        let mut table = match self.table.take() {
            Some(table) if table.is_of(shard, set) => table,
            Some(_) | None => match TableLoader::begin(self, shard, set, total).await? {
                Some(table) => table,
                None => return Ok(()),
            },
        };
        table.load(self, members).await?;
        self.table = Some(table);
        Ok(())
    }

    async fn audit(&mut self, event: &AuditEvent) -> Result<(), MoveError> {
        self.renew().await?;
        let head = Head::new(&event.experiment, &event.cause).encode()?;
        let payload = payload(event.before.as_ref(), event.after.as_ref())?;
        let (number, size) = (event.number.0, head.len() + payload.len());
        let _: u64 = self.write(&Cmd::hset(&self.keys.audited, number, payload)).await?;
        let milliseconds = event.cause.time.0.div_euclid(1_000_000);
        self.heads.push(WaitingHead { number, head, milliseconds, size });
        self.audit_bytes += size;
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), MoveError> {
        self.lay_heads_aside().await?;
        let (link, catalog) = (&self.store.link, &self.store.catalog);
        match link.adopt(catalog, &self.keys, &self.token).await?.as_str() {
            "OK" => Ok(()),
            _ => Err(MoveError::Interfered),
        }
    }

    async fn give_up(self: Box<Self>) -> Result<(), MoveError> {
        let catalog = &self.store.catalog;
        let token: Option<String> =
            self.store.link.read(&catalog.tag, &Cmd::get(&self.keys.token)).await?;
        if token.as_ref() != Some(&self.token) {
            return Err(MoveError::Interfered);
        }
        self.clear().await?;
        Ok(self.release().await?)
    }
}
