//! Bind, build, serve, drain.
//!
//! The listeners are bound before anything is built, so that a port in use is an error at once
//! and a test can ask for port 0. Every task lives in one set: when one ends before it should, the
//! server ends with its error. A shutdown turns readiness off, lets calls in flight finish, writes
//! the exposures that wait, and gives up at the deadline.

mod error;
mod listeners;
mod open;
mod program;
mod readiness;
mod tasks;
mod workers;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use self::readiness::{Announcement, StoreHealth};
use self::tasks::Tasks;
use crate::config::Settings;
use crate::http::{Metrics, Ready};
use crate::rpc;
use crate::service::{self, Service};
use crate::sinks::{ScoreCarrier, SinkCounts};
use crate::store::{Durability, Level, Metered};
use crate::telemetry::Telemetry;

pub use self::error::ServerError;
pub use self::listeners::Listeners;
pub use self::program::{Failure, client, program};

/// Outcomes that wait to be taken apart into scores.
const SCORE_QUEUE: usize = 8_192;

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
    let ready = readiness.grpc.subscribe();
    let serving = rpc::routes(Arc::clone(&service), ready, stopping.clone());
    let spans = telemetry.rpc_spans(rpc::methods());
    let workers = workers::start(settings.workers, &serving.services, &spans)?;
    drop(serving.services);
    tasks.serve_grpc(listeners.grpc, workers, &stopping);
    tasks.keep_health(serving.health);
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

/// Waits until it turns true.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _gone = stopping.wait_for(|stop| *stop).await;
}
