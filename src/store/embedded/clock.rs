//! The embedded store's clock.
//!
//! Time enters the store here and nowhere else; a test hands in a clock of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::domain::experiment::Timestamp;
use crate::store::Window;
use crate::store::window;

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

/// When a change is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Milliseconds since 1970.
    pub(super) milliseconds: u64,
    /// The window in which events are counted then.
    pub(super) window: Window,
}

/// A clock that knows the length of a window.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    clock: Clock,
    length: u64,
}

impl Windows {
    pub(super) fn new(clock: Clock, length: Duration) -> Self {
        Self { clock, length: window::milliseconds(length) }
    }

    pub(super) fn now(&self) -> Moment {
        let milliseconds = u64::try_from(self.clock.now().0).unwrap_or_default() / 1_000_000;
        Moment { milliseconds, window: Window::at(milliseconds, self.length) }
    }
}
