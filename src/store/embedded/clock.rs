//! The embedded store's clock and the windows it is cut into.
//!
//! Time enters the store here and nowhere else; a test hands in a clock of its own.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::domain::experiment::Timestamp;

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that reads what the function answers.
    #[must_use]
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The clock of the machine. Times before 1970 read as 1970.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            Timestamp(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
        })
    }

    fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

/// Number of a deduplication window since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Window(pub(super) u64);

impl Window {
    /// Windows in which an event of this window may have been counted before: this one, the one
    /// before, so that an event at the end of that one is remembered for a whole window, and the
    /// one after, in case the clock was set back.
    pub(super) fn remembered(self) -> RangeInclusive<Self> {
        self.oldest()..=Self(self.0.saturating_add(1))
    }

    /// The oldest window that still matters.
    pub(super) fn oldest(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A clock that counts windows.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    clock: Clock,
    nanos: u64,
}

impl Windows {
    pub(super) fn new(clock: Clock, length: Duration) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { clock, nanos }
    }

    pub(super) fn current(&self) -> Window {
        Window(u64::try_from(self.clock.now().0).unwrap_or_default() / self.nanos)
    }
}
