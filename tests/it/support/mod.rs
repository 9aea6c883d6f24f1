//! What several tests share: places for stores, experiments and events to fill them with.

pub(crate) mod capture;
pub(crate) mod events;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod server;
pub(crate) mod whole;
pub(crate) mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tiebreak::domain::experiment::Timestamp;
use tiebreak::store::embedded::{self, Clock, EmbeddedStore};
use tiebreak::store::portable::Portable;
use tiebreak::store::redis::{self as redis_store, QueueLimits, RedisStore};
use tiebreak::store::{AuditLimits, Store};

use self::redis::{Persistence, RedisServer};

/// Runs behaviours, `async fn(TestServer)`, over a socket on the stores that people run.
macro_rules! over_a_socket {
    ($($behaviour:ident),+ $(,)?) => {
        $crate::support::over_a_socket_on!(embedded, Embedded, $($behaviour),+);
        $crate::support::over_a_socket_on!(redis, Redis, $($behaviour),+);
    };
}

macro_rules! over_a_socket_on {
    ($module:ident, $kind:ident, $($behaviour:ident),+) => {
        mod $module {
            use $crate::support::server::{StoreKind, TestServer};
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let server = TestServer::start(StoreKind::$kind).await;
                    super::$behaviour(server).await;
                }
            )+
        }
    };
}

/// Runs behaviours, `async fn(Home)`, on every store.
macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        $crate::support::on_store!(embedded, Embedded, $($behaviour),+);
        $crate::support::on_store!(memory, Memory, $($behaviour),+);
        $crate::support::on_store!(redis, Redis, $($behaviour),+);
    };
}

/// Runs behaviours on every store that outlives its process.
macro_rules! on_lasting_stores {
    ($($behaviour:ident),+ $(,)?) => {
        $crate::support::on_store!(embedded_lasts, Embedded, $($behaviour),+);
        $crate::support::on_store!(redis_lasts, Redis, $($behaviour),+);
    };
}

macro_rules! on_store {
    ($module:ident, $kind:ident, $($behaviour:ident),+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let home = $crate::support::Home::new($crate::support::Kind::$kind).await;
                    super::$behaviour(home).await;
                }
            )+
        }
    };
}

pub(crate) use {on_every_store, on_lasting_stores, on_store, over_a_socket, over_a_socket_on};

/// The stores there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Memory,
    Redis,
}

/// Where a store of some kind lives, and its clock. Dropping it deletes everything.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) directory: TempDir,
    pub(crate) server: Option<RedisServer>,
    pub(crate) prefix: String,
    pub(crate) window: Duration,
    pub(crate) log_limit: u64,
    pub(crate) queue: QueueLimits,
    pub(crate) audit: AuditLimits,
    pub(crate) kind: Kind,
    /// Where the test clock starts.
    start: Option<Timestamp>,
    /// Nanoseconds that the test clock has advanced; Redis has a clock of its own.
    clock: Arc<AtomicI64>,
    started: Instant,
}

impl Home {
    pub(crate) async fn new(kind: Kind) -> Self {
        let server = match kind {
            Kind::Redis => Some(RedisServer::start(Persistence::Nothing).await),
            Kind::Embedded | Kind::Memory => None,
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            server,
            prefix: "tiebreak".to_owned(),
            window: Duration::from_secs(7 * 24 * 60 * 60),
            log_limit: 8 << 20,
            queue: QueueLimits::default(),
            audit: AuditLimits::default(),
            kind,
            start: None,
            clock: Arc::new(AtomicI64::new(0)),
            started: Instant::now(),
        }
    }

    /// With a test clock that goes from now on: stores of different kinds are in the same window.
    pub(crate) async fn of_today(kind: Kind) -> Self {
        Self::new(kind).await.today()
    }

    /// The same with a test clock that goes from now on.
    pub(crate) fn today(self) -> Self {
        Self { start: Some(tiebreak::rpc::now()), ..self }
    }

    /// The same with a Redis that keeps its data.
    pub(crate) async fn lasting(mut self) -> Self {
        if self.server.is_some() {
            self.server = Some(RedisServer::start(Persistence::AppendOnly).await);
        }
        self
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match self.kind {
            Kind::Embedded => Arc::new(self.open_embedded()),
            Kind::Memory => Arc::new(EmbeddedStore::in_memory(self.embedded_options()).unwrap()),
            Kind::Redis => Arc::new(self.open_redis().await),
        }
    }

    pub(crate) async fn open_portable(&self) -> Box<dyn Portable> {
        match self.kind {
            Kind::Embedded => Box::new(self.open_embedded()),
            Kind::Memory => Box::new(EmbeddedStore::in_memory(self.embedded_options()).unwrap()),
            Kind::Redis => Box::new(self.open_redis().await),
        }
    }

    pub(crate) fn open_embedded(&self) -> EmbeddedStore {
        EmbeddedStore::open(self.directory.path(), self.embedded_options()).unwrap()
    }

    pub(crate) async fn open_redis(&self) -> RedisStore {
        let url = self.server.as_ref().unwrap().url();
        let options = redis_store::Options {
            prefix: self.prefix.clone().try_into().unwrap(),
            dedup_window: self.window,
            timeout: Duration::from_secs(10), // The machine may be busy; nobody waits for it.
            queue: self.queue,
            audit: self.audit,
        };
        let store = RedisStore::new(&url, options).unwrap();
        store.changes(0).await.unwrap(); // It is there.
        store
    }

    pub(crate) fn embedded_options(&self) -> embedded::Options {
        let (clock, start) = (Arc::clone(&self.clock), self.start());
        let clock = Clock::new(move || Timestamp(start + clock.load(Ordering::SeqCst)));
        embedded::Options {
            dedup_window: self.window,
            clock,
            log_limit: self.log_limit,
            audit: self.audit,
            ..embedded::Options::default()
        }
    }

    /// Where the test clock starts: not at the beginning of a window, nor at 1970.
    fn start(&self) -> i64 {
        let any = i64::try_from(self.window.as_nanos()).unwrap() / 3 * 100;
        self.start.map_or(any, |start| start.0)
    }

    /// What the store's clock says, about.
    pub(crate) fn now(&self) -> Timestamp {
        if self.kind == Kind::Redis {
            tiebreak::rpc::now()
        } else {
            Timestamp(self.start() + self.clock.load(Ordering::SeqCst))
        }
    }

    /// Ends the store's process, or closes it, and opens what is left.
    pub(crate) async fn restart(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.restart_process().await;
        self.open().await
    }

    /// Ends the process of a store that has one, and starts it again.
    pub(crate) async fn restart_process(&mut self) {
        if let Some(server) = &mut self.server {
            server.kill();
            server.start_again().await;
        }
    }

    /// What an import holds that nobody hears of any more, as after half a minute.
    pub(crate) async fn let_a_lease_expire(&self) {
        if let Some(server) = &self.server {
            let key = format!("{{{}:catalog}}:importing", self.prefix);
            server.administrate(&["PEXPIRE", &key, "0"]).await;
        }
    }

    /// Lets a little time pass on the store's clock.
    pub(crate) async fn pass_time(&self, time: Duration) {
        if self.kind == Kind::Redis {
            tokio::time::sleep(time).await;
        } else {
            self.clock.fetch_add(i64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
        }
    }

    /// Sets the test clock back.
    pub(crate) fn turn_back(&self, time: Duration) {
        self.clock.fetch_sub(i64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    /// How much time has passed on the store's clock, at least.
    pub(crate) fn elapsed(&self) -> Duration {
        if self.kind == Kind::Redis {
            self.started.elapsed()
        } else {
            Duration::from_nanos(self.clock.load(Ordering::SeqCst).try_into().unwrap())
        }
    }

    /// The keys in Redis; none for the other stores.
    pub(crate) async fn redis_keys(&self) -> Vec<String> {
        let Some(server) = &self.server else { return Vec::new() };
        let mut connection = server.connection().await;
        ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap()
    }
}
