//! Keeping the catalog fresh: by the store's announcements at once, and by asking every now and
//! then, because announcements may be lost.

use std::time::Duration;

use futures_util::stream::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::domain::experiment::Timestamp;
use crate::service::{Service, ServiceError};
use crate::store::Announcements;

impl Service {
    /// Reads what changed since the last time.
    ///
    /// # Errors
    /// [`ServiceError::StoreUnavailable`].
    pub async fn refresh(&self) -> Result<(), ServiceError> {
        self.catalog.refresh(self.store.as_ref()).await
    }

    /// Keeps the catalog fresh and pauses what has come to its planned end, for as long as it is
    /// polled. `on_result` hears of every attempt, `now` tells the time.
    pub async fn follow(
        &self,
        now: impl Fn() -> Timestamp + Send,
        mut on_result: impl FnMut(Result<(), ServiceError>) + Send,
    ) {
        let mut feed = Feed::default();
        loop {
            let time = now();
            let next = Instant::now() + jittered(self.options.catalog_poll, time);
            on_result(self.tick(&mut feed, time).await);
            if feed.is_closed() && self.listen(&mut feed).await {
                // What changed before it listened was announced to nobody.
                on_result(self.refresh().await);
            }
            while let Some(version) = feed.next_before(next).await {
                if self.known_version() < Some(version) {
                    on_result(self.refresh().await);
                }
            }
        }
    }

    async fn tick(&self, feed: &mut Feed, now: Timestamp) -> Result<(), ServiceError> {
        let before = self.known_version();
        self.refresh().await?;
        let after = self.known_version();
        feed.should_have_told(after.filter(|_| after != before));
        self.pause_overdue(now).await
    }

    async fn listen(&self, feed: &mut Feed) -> bool {
        match self.store.announcements().await {
            Ok(announcements) => {
                feed.open(announcements);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "changes are found by polling alone");
                false
            }
        }
    }

    fn known_version(&self) -> Option<u64> {
        self.catalog.snapshot().ok().map(|snapshot| snapshot.version())
    }
}

/// Three to five quarters, by the last digits of the clock: replicas that started together do not
/// ask together for ever.
fn jittered(interval: Duration, now: Timestamp) -> Duration {
    let digits = u32::try_from(now.0.rem_euclid(512)).unwrap_or_default();
    interval.saturating_mul(768 + digits) / 1_024
}

/// The announcements, as long as they come.
#[derive(Default)]
struct Feed {
    open: Option<Announcements>,
    /// A version that was found by asking. A feed that does not tell it until the next time is
    /// deaf: a connection may die without anybody hearing of it.
    owes: Option<u64>,
}

impl Feed {
    fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    fn open(&mut self, announcements: Announcements) {
        *self = Self { open: Some(announcements), owes: None };
    }

    /// At every tick: the version found by it, if there was news.
    fn should_have_told(&mut self, found: Option<u64>) {
        if self.owes.is_some() {
            self.open = None;
        }
        self.owes = found.filter(|_| self.open.is_some());
    }

    /// The next announcement, or `None` when the time has come. A feed that has ended stays silent.
    async fn next_before(&mut self, deadline: Instant) -> Option<u64> {
        loop {
            let Some(announcements) = &mut self.open else {
                sleep_until(deadline).await;
                return None;
            };
            let told = tokio::select! {
                () = sleep_until(deadline) => return None,
                told = announcements.next() => told,
            };
            match told {
                Some(version) => {
                    self.owes = self.owes.filter(|owed| version < *owed);
                    return Some(version);
                }
                None => self.open = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_around_the_interval() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, Timestamp(0)), second * 3 / 4);
        assert!(jittered(second, Timestamp(511)) < second * 5 / 4);
        assert!(jittered(second, Timestamp(-1)) > second);
        assert!(jittered(Duration::MAX, Timestamp(511)) > second);
    }

    #[tokio::test]
    async fn a_feed_that_owes_an_announcement_is_closed() {
        let mut feed = Feed::default();
        feed.open(futures_util::stream::pending().boxed());
        feed.should_have_told(None);
        feed.should_have_told(Some(7));
        assert!(!feed.is_closed(), "it may come a moment later");
        feed.should_have_told(None);
        assert!(feed.is_closed());

        feed.open(futures_util::stream::iter([6, 7]).boxed());
        feed.should_have_told(Some(7));
        let later = Instant::now() + Duration::from_secs(3_600);
        assert_eq!(feed.next_before(later).await, Some(6));
        assert_eq!(feed.next_before(later).await, Some(7));
        feed.should_have_told(None);
        assert!(!feed.is_closed());
        assert_eq!(feed.next_before(Instant::now()).await, None);
    }
}
