//! Everything that runs beside the caller of a server.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{self, Metrics, Readiness};
use crate::rpc;
use crate::server::readiness::StoreHealth;
use crate::server::workers::{Acceptor, Worker};
use crate::server::{ServerError, stopped, tell};
use crate::service::{ExposureRecorder, Service};
use crate::sinks::ScoreCarrier;
use crate::store::Level;

/// Everything that runs beside the caller. Dropping it ends them all.
#[derive(Default)]
pub(super) struct Tasks(JoinSet<Result<(), ServerError>>);

impl Tasks {
    /// Dropping the acceptor, which `stopping` does, lets the workers come to their end.
    pub(super) fn serve_grpc(
        &mut self,
        listener: TcpListener,
        (acceptor, workers): (Acceptor, Vec<Worker>),
        stopping: &watch::Receiver<bool>,
    ) {
        let stop = stopped(stopping.clone());
        self.0.spawn(async move {
            acceptor.run(listener, stop).await;
            Ok(())
        });
        for worker in workers {
            self.0.spawn(worker.ended());
        }
    }

    /// Of the services on the gRPC port.
    pub(super) fn keep_health(&mut self, health: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            health.await;
            Ok(())
        });
    }

    pub(super) fn serve_http(
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

    pub(super) fn follow_catalog(
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

    pub(super) fn sweep(&mut self, service: Arc<Service>, stopping: &watch::Receiver<bool>) {
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

    pub(super) fn observe(&mut self, service: Arc<Service>, stopping: &watch::Receiver<bool>) {
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

    pub(super) fn follow_durability(
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

    pub(super) fn record_exposures(&mut self, recorder: ExposureRecorder) {
        self.0.spawn(async move {
            recorder.run().await;
            Ok(())
        });
    }

    pub(super) fn carry_scores(&mut self, carrier: ScoreCarrier) {
        self.0.spawn(async move {
            carrier.run().await;
            Ok(())
        });
    }

    /// While serving no task ends, except by failing.
    pub(super) async fn first_to_end(&mut self) -> Result<(), ServerError> {
        self.0.join_next().await.map_or(Ok(()), |ended| ended.map_err(ServerError::Task)?)
    }

    pub(super) async fn all(&mut self) -> Result<(), ServerError> {
        while let Some(ended) = self.0.join_next().await {
            ended.map_err(ServerError::Task)??;
        }
        Ok(())
    }
}
