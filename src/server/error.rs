//! Why a server did not start, or ended by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;

use crate::service::ServiceError;
use crate::sinks::SinksError;
use crate::store::{Durability, Level, StoreError};
use crate::telemetry::TelemetryError;

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
    /// HTTP failed.
    #[error("the HTTP server failed")]
    Http(#[source] std::io::Error),
    /// The system gives no more threads.
    #[error("cannot start a worker")]
    Worker(#[source] std::io::Error),
    /// A worker panicked: a bug.
    #[error("a worker of the server died")]
    WorkerDied,
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
