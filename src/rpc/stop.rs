//! The end of the server, for streams that would go on without one.

use tokio::sync::watch;

/// Turns true when the server drains.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self(stopping)
    }

    /// Waits for it. Dropping the wait loses nothing.
    pub(super) async fn requested(&mut self) {
        // An error means that the server is gone, which is a stop as well.
        let _gone = self.0.wait_for(|stop| *stop).await;
    }
}
