//! The edge stamps the time once per call and passes it down.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::experiment::Timestamp;

/// The time of a call, or of whatever else begins at the edge.
#[expect(clippy::disallowed_methods, reason = "the one place where a call reads the clock")]
#[must_use]
pub fn now() -> Timestamp {
    // A clock before 1970 is broken; the epoch is then as good as anything.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}
