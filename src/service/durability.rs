//! What the store promises of an acknowledged outcome: asked at the start, and again and again,
//! because a failover may lead to a store that promises less.

use std::sync::Arc;

use crate::service::{Service, ServiceError};
use crate::store::Durability;

impl Service {
    /// What the store promised when it was last asked; `None` before the first answer.
    #[must_use]
    pub fn durability(&self) -> Option<Arc<Durability>> {
        self.durability.load_full()
    }

    /// Asks the store what it promises.
    ///
    /// # Errors
    /// [`ServiceError::StoreUnavailable`].
    pub async fn refresh_durability(&self) -> Result<Arc<Durability>, ServiceError> {
        let now = Arc::new(self.store.durability().await?);
        self.durability.store(Some(Arc::clone(&now)));
        Ok(now)
    }

    /// Asks as often as the catalog is looked at, for as long as it is polled, hence also right
    /// after a lost connection has come back. `on_change` hears of every other answer than the one
    /// before. While the store is away its last answer stands.
    pub async fn follow_durability(&self, mut on_change: impl FnMut(&Durability) + Send) {
        let mut ticks = tokio::time::interval(self.options.catalog_poll);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let before = self.durability();
            match self.refresh_durability().await {
                Ok(now) if before.as_ref() != Some(&now) => on_change(&now),
                Ok(_) | Err(_) => {}
            }
        }
    }
}
