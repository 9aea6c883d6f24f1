//! Bind, build, serve, drain.
//!
//! The listeners are bound before anything is built, so that a port in use is an error at once
//! and a test can ask for port 0. Every task lives in one set: when one ends before it should, the
//! server ends with its error. A shutdown turns readiness off, lets calls in flight finish, writes
//! the exposures that wait, and gives up at the deadline.

mod open;
mod program;
mod readiness;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tonic::transport::server::TcpIncoming;

use crate::config::Settings;
use crate::http::{self, Metrics, Readiness, Ready};
use crate::rpc;
use crate::service::{self, ExposureRecorder, Service, ServiceError};
use crate::sinks::{ScoreCarrier, SinkCounts, SinksError};
use crate::store::{Durability, Level, Metered, StoreError};
use crate::telemetry::{Telemetry, TelemetryError};

pub use self::program::{Failure, client, program};
use self::readiness::{Announcement, StoreHealth};

/// Outcomes that wait to be taken apart into scores.
const SCORE_QUEUE: usize = 8_192;

/// Why a server did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the store {location}")]
    Store {
        /// Which one, without secrets.
        location: String,
        /// Why.
        source: StoreError,
    },
    /// The store promises less than is required.
    #[error(
        "the store promises less than --require-durability {required}: {}; {}, or require less",
        .durability.meaning,
        .durability.remedy
    )]
    NotDurable {
        /// What is required.
        required: Level,
        /// What it promises.
        durability: Arc<Durability>,
    },
    /// The store does not tell what it promises.
    #[error("cannot find out what the store promises")]
    UnknownDurability(#[source] ServiceError),
    /// gRPC failed.
    #[error("the gRPC server failed")]
    Grpc(#[source] tonic::transport::Error),
    /// HTTP failed.
    #[error("the HTTP server failed")]
    Http(#[source] std::io::Error),
    /// A task panicked: a bug.
    #[error("a task of the server died")]
    Task(#[source] JoinError),
    /// Logs or traces did not start or end.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Scores cannot be sent.
    #[error(transparent)]
    Scores(#[from] SinksError),
    /// Calls were still in flight at the deadline.
    #[error("calls were still in flight after {0:?} and were cut off")]
    DrainDeadline(Duration),
}

/// The sockets of a server.
#[derive(Debug)]
pub struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
}

impl Listeners {
    /// Binds both addresses.
    ///
    /// # Errors
    /// [`ServerError::Bind`].
    pub async fn bind(settings: &Settings) -> Result<Self, ServerError> {
        Ok(Self {
            grpc: bind(settings.grpc_listen).await?,
            http: bind(settings.http_listen).await?,
        })
    }

    /// Where they are: gRPC, HTTP.
    ///
    /// # Errors
    /// [`ServerError::Http`] when the system does not tell.
    pub fn addresses(&self) -> Result<(SocketAddr, SocketAddr), ServerError> {
        let address = |listener: &TcpListener| listener.local_addr().map_err(ServerError::Http);
        Ok((address(&self.grpc)?, address(&self.http)?))
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Bind { address, source })
}

/// Serves until `shutdown` resolves or a part fails; then drains.
///
/// # Errors
/// [`ServerError`].
pub async fn serve(
    settings: &Settings,
    listeners: Listeners,
    telemetry: &Telemetry,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServerError> {
    let store = Arc::new(Metered::new(open::store(settings)?));
    run(settings, store, listeners, telemetry, shutdown).await
}

async fn run(
    settings: &Settings,
    store: Arc<Metered>,
    listeners: Listeners,
    telemetry: &Telemetry,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServerError> {
    let counted = Arc::clone(&store);
    let (mut service, recorder) = Service::new(counted, settings.service.clone());
    let mut tasks = Tasks::default();
    let mut scores = SinkCounts::default();
    if !settings.scores.is_empty() {
        let (queue, receiver) = service::score_queue(SCORE_QUEUE);
        service = service.with_scores(queue);
        let carrier = ScoreCarrier::new(receiver, &settings.scores)?;
        scores = carrier.counts();
        tasks.carry_scores(carrier);
    }
    let service = Arc::new(service);
    let metrics = Metrics::new(Arc::clone(&service), store, scores, telemetry.families());
    let (has_read, first_read) = oneshot::channel();
    let mut store_health = StoreHealth::new(settings.store.to_string(), has_read);
    // Before anybody is answered: where the store is there, the first call finds the experiments.
    let read = service.refresh().await;
    if read.is_ok() {
        require(&service, settings.require_durability).await?;
    }
    store_health.hear(read);
    let (grpc_address, http_address) = listeners.addresses()?;
    let readiness = Announcement::new();
    let (stop, stopping) = watch::channel(false);
    let health = readiness.grpc.subscribe();
    tasks.serve_grpc(listeners.grpc, Arc::clone(&service), telemetry, health, &stopping);
    tasks.serve_http(listeners.http, &readiness.http, metrics, &stopping);
    tasks.follow_catalog(Arc::clone(&service), store_health, &stopping);
    tasks.sweep(Arc::clone(&service), &stopping);
    tasks.observe(Arc::clone(&service), &stopping);
    tasks.follow_durability(Arc::clone(&service), settings.require_durability, &stopping);
    tasks.record_exposures(recorder);
    if !(grpc_address.ip().is_loopback() && http_address.ip().is_loopback()) {
        tracing::warn!(
            "listening beyond loopback without authentication and TLS: trust the network"
        );
    }
    tracing::info!(grpc = %grpc_address, http = %http_address, store = %settings.store, "serving");
    tokio::select! {
        () = shutdown => {}
        failed = tasks.first_to_end() => return failed,
        refused = become_ready(&readiness, first_read, &service, settings) => return Err(refused),
    }
    tracing::info!("draining");
    readiness.announce(Ready::No("draining".to_owned()));
    // There is nothing more to announce, and who watches the health must not hold up the drain.
    drop(readiness);
    // The exposures end with the last one who may bring some.
    drop(service);
    // Nobody listens any more only if every task has ended, which is what is wanted.
    stop.send_replace(true);
    let deadline = settings.drain_deadline;
    match tokio::time::timeout(deadline, tasks.all()).await {
        Ok(ended) => ended,
        Err(_) => Err(ServerError::DrainDeadline(deadline)),
    }
}

/// Refuses a store that promises too little, and says what the promise is.
async fn require(service: &Service, required: Level) -> Result<(), ServerError> {
    let durability = service.refresh_durability().await.map_err(ServerError::UnknownDurability)?;
    if durability.level < required {
        return Err(ServerError::NotDurable { required, durability });
    }
    tell(&durability, required);
    Ok(())
}

/// Announces that traffic may come as soon as the experiments have been read. Ends only when the
/// store, which was away at the start, promises too little.
async fn become_ready(
    readiness: &Announcement,
    first_read: oneshot::Receiver<()>,
    service: &Service,
    settings: &Settings,
) -> ServerError {
    readiness.announce(Ready::No("the experiments have not been read from the store".to_owned()));
    if first_read.await.is_err() {
        // Whoever reads has ended, and with it the server.
        return std::future::pending().await;
    }
    let required = settings.require_durability;
    loop {
        match service.durability() {
            Some(durability) if durability.level < required => {
                return ServerError::NotDurable { required, durability };
            }
            Some(_) => break,
            None => match service.refresh_durability().await {
                Ok(durability) => tell(&durability, required),
                Err(_) => tokio::time::sleep(settings.service.catalog_poll).await,
            },
        }
    }
    readiness.announce(Ready::Yes);
    std::future::pending().await
}

fn tell(durability: &Durability, required: Level) {
    let Durability { level, meaning, .. } = durability;
    if *level < required {
        tracing::error!(durability = %level, %required, "less than is required: {meaning}");
    } else if *level < Level::Fsync {
        tracing::warn!(durability = %level, "{meaning}");
    } else {
        tracing::info!(durability = %level, "{meaning}");
    }
}

/// Everything that runs beside the caller. Dropping it ends them all.
#[derive(Default)]
struct Tasks(JoinSet<Result<(), ServerError>>);

impl Tasks {
    fn serve_grpc(
        &mut self,
        listener: TcpListener,
        service: Arc<Service>,
        telemetry: &Telemetry,
        ready: watch::Receiver<bool>,
        stopping: &watch::Receiver<bool>,
    ) {
        let routes = rpc::routes(service, ready, stopping.clone());
        let server = rpc::limits(tonic::transport::Server::builder())
            .layer(telemetry.rpc_spans(rpc::methods()))
            .add_routes(routes.services);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let stop = stopped(stopping.clone());
        self.0.spawn(async move {
            server.serve_with_incoming_shutdown(incoming, stop).await.map_err(ServerError::Grpc)
        });
        self.0.spawn(async move {
            routes.health.await;
            Ok(())
        });
    }

    fn serve_http(
        &mut self,
        listener: TcpListener,
        readiness: &Readiness,
        metrics: Metrics,
        stopping: &watch::Receiver<bool>,
    ) {
        let router = http::router(readiness.clone(), metrics);
        let stop = stopped(stopping.clone());
        self.0.spawn(async move {
            let server = axum::serve(listener, router).with_graceful_shutdown(stop);
            server.await.map_err(ServerError::Http)
        });
    }

    fn follow_catalog(
        &mut self,
        service: Arc<Service>,
        mut health: StoreHealth,
        stopping: &watch::Receiver<bool>,
    ) {
        let stop = stopped(stopping.clone());
        self.0.spawn(async move {
            let follow = service.follow(rpc::now, |result| health.hear(result));
            tokio::select! {
                () = follow => {}
                () = stop => {}
            }
            Ok(())
        });
    }

    fn sweep(&mut self, service: Arc<Service>, stopping: &watch::Receiver<bool>) {
        let stop = stopped(stopping.clone());
        self.0.spawn(async move {
            let sweep = service.sweep(|swept| {
                // The next one is soon, and the catalog's poll says when the store is away.
                if let Err(error) = swept {
                    tracing::debug!(%error, "the store was not swept");
                }
            });
            tokio::select! {
                () = sweep => {}
                () = stop => {}
            }
            Ok(())
        });
    }

    fn observe(&mut self, service: Arc<Service>, stopping: &watch::Receiver<bool>) {
        let stop = stopped(stopping.clone());
        self.0.spawn(async move {
            let mut healthy = true;
            let observe = service.observe(rpc::now, |observed| match observed {
                Ok(()) => healthy = true,
                Err(error) if healthy => {
                    healthy = false;
                    tracing::warn!(%error, "the history of results has a gap from here on");
                }
                Err(_) => {}
            });
            tokio::select! {
                () = observe => {}
                () = stop => {}
            }
            Ok(())
        });
    }

    fn follow_durability(
        &mut self,
        service: Arc<Service>,
        required: Level,
        stopping: &watch::Receiver<bool>,
    ) {
        let stop = stopped(stopping.clone());
        self.0.spawn(async move {
            let follow = service.follow_durability(|durability| tell(durability, required));
            tokio::select! {
                () = follow => {}
                () = stop => {}
            }
            Ok(())
        });
    }

    fn record_exposures(&mut self, recorder: ExposureRecorder) {
        self.0.spawn(async move {
            recorder.run().await;
            Ok(())
        });
    }

    fn carry_scores(&mut self, carrier: ScoreCarrier) {
        self.0.spawn(async move {
            carrier.run().await;
            Ok(())
        });
    }

    /// While serving no task ends, except by failing.
    async fn first_to_end(&mut self) -> Result<(), ServerError> {
        self.0.join_next().await.map_or(Ok(()), |ended| ended.map_err(ServerError::Task)?)
    }

    async fn all(&mut self) -> Result<(), ServerError> {
        while let Some(ended) = self.0.join_next().await {
            ended.map_err(ServerError::Task)??;
        }
        Ok(())
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _gone = stopping.wait_for(|stop| *stop).await;
}
