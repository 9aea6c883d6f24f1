//! The HTTP edge: whether the process lives, whether it is ready for traffic, and its numbers.
//!
//! `/livez` answers 200 as long as the process can answer at all; restarting it for anything
//! else would not help. `/readyz` answers 200, or 503 with the reason in plain words. `/metrics`
//! is for Prometheus.

mod metrics;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::telemetry;

pub use self::metrics::Metrics;

/// Whether traffic should come here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// Yes.
    Yes,
    /// No, and why: `starting`, `draining`, `the store is unavailable`.
    No(String),
}

/// The readiness of the server: whoever knows it sets it, whoever asks sees the latest.
#[derive(Debug, Clone)]
pub struct Readiness {
    latest: watch::Sender<Ready>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Not ready: starting.
    #[must_use]
    pub fn new() -> Self {
        Self { latest: watch::Sender::new(Ready::No("starting".to_owned())) }
    }

    /// Replaces what was known. Followers hear of changes only.
    pub fn set(&self, ready: Ready) {
        self.latest.send_if_modified(|latest| {
            let changed = *latest != ready;
            *latest = ready;
            changed
        });
    }

    /// What is known.
    #[must_use]
    pub fn get(&self) -> Ready {
        self.latest.borrow().clone()
    }

    /// Every change from now on, for the gRPC health service.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Ready> {
        self.latest.subscribe()
    }
}

/// The routes of the HTTP listener.
pub fn router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .with_state(readiness)
        .route("/metrics", get(scrape).with_state(metrics))
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.get() {
        Ready::Yes => (StatusCode::OK, "ready\n".to_owned()),
        Ready::No(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    match telemetry::text(metrics.families()) {
        Ok(text) => ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
