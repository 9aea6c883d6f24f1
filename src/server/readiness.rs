//! Whether traffic should come, and what the log says of the store.
//!
//! A server is ready once it has read the experiments, and stays so while the store is away: then
//! it assigns from what it knows. Until then it serves, says that it is not ready, and tries again.

use std::error::Error;

use tokio::sync::{oneshot, watch};

use crate::http::{Readiness, Ready};
use crate::service::ServiceError;

/// Tells both edges whether traffic should come.
pub(super) struct Announcement {
    pub(super) http: Readiness,
    pub(super) grpc: watch::Sender<bool>,
}

impl Announcement {
    pub(super) fn new() -> Self {
        Self { http: Readiness::new(), grpc: watch::Sender::new(false) }
    }

    pub(super) fn announce(&self, ready: Ready) {
        self.grpc.send_replace(ready == Ready::Yes);
        self.http.set(ready);
    }
}

/// Hears how reading the experiments goes and says so in the log when it changes: the attempts
/// go on every second.
pub(super) struct StoreHealth {
    /// Where it is, without secrets.
    store: String,
    /// Whom to tell of the first success; `None` after it.
    has_read: Option<oneshot::Sender<()>>,
    /// What was last complained about.
    complaint: Option<String>,
}

impl StoreHealth {
    pub(super) fn new(store: String, has_read: oneshot::Sender<()>) -> Self {
        Self { store, has_read: Some(has_read), complaint: None }
    }

    pub(super) fn hear(&mut self, result: Result<(), ServiceError>) {
        match result {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(&error),
        }
    }

    fn succeeded(&mut self) {
        if self.complaint.take().is_some() {
            tracing::info!(store = %self.store, "the store answers again");
        }
        if let Some(has_read) = self.has_read.take() {
            // An error means that the server ends already and nobody waits.
            let _gone = has_read.send(());
        }
    }

    fn failed(&mut self, error: &ServiceError) {
        let cause = with_causes(error);
        // A new cause is news: the address was mended, now it is the password.
        if self.complaint.as_ref() == Some(&cause) {
            return;
        }
        let (store, remedy) = (&self.store, remedy(error));
        if self.has_read.is_some() {
            tracing::warn!(%store, %cause, remedy, "not ready: cannot read the experiments; retrying");
        } else {
            tracing::warn!(%store, %cause, remedy, "the store fails; assigning from the last snapshot");
        }
        self.complaint = Some(cause);
    }
}

fn remedy(error: &ServiceError) -> &'static str {
    if matches!(error, ServiceError::StoreBroken(_)) {
        "use the release that wrote this store, or another --store or --redis-prefix"
    } else {
        "start the store, or correct --store: its address, user and password"
    }
}

/// An error and what caused it, on one line.
fn with_causes(error: &ServiceError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
