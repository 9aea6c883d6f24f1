//! When to try again and after how long. Pure; the callers sleep.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// Together about half a minute: long enough for a server to restart.
const ATTEMPTS: u32 = 11;

/// Exponential waits that give up in the end.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure, never less than the server asked for; none when
    /// it is time to give up.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return None;
        }
        let own = FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST);
        Some(own.max(asked.unwrap_or_default()))
    }

    /// As [`Self::wait`] for a failed call; none also when trying again cannot help.
    pub(super) fn wait_after(&mut self, status: &Status) -> Option<Duration> {
        if !is_transient(status.code()) && !is_lost(status) {
            return None;
        }
        self.wait(status.get_details_retry_info().and_then(|info| info.retry_delay))
    }
}

/// Whether the same call may succeed later. A deadline says nothing about what the server did, so
/// only calls that are safe to repeat may rely on this.
pub(super) fn is_transient(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}

/// Whether the connection broke and the answer with it: a status from the server has no cause here,
/// one that this side made up has. Its code says little; tonic makes most of them UNKNOWN.
fn is_lost(status: &Status) -> bool {
    status.source().is_some()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = std::iter::from_fn(|| backoff.wait(None)).collect();
        assert_eq!(waits.len(), 10);
        assert_eq!(waits[0], Duration::from_millis(100));
        assert_eq!(waits[3], Duration::from_millis(800));
        assert_eq!(waits[9], LONGEST);
    }

    #[test]
    fn the_servers_wish_is_respected() {
        let asked = Duration::from_secs(2);
        let details = ErrorDetails::with_retry_info(Some(asked));
        let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert_eq!(Backoff::default().wait_after(&status), Some(asked));
    }

    #[test]
    fn a_broken_connection_is_worth_another_try() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let status = Status::from_error(Box::new(broken));
        assert_eq!(Backoff::default().wait_after(&status), Some(FIRST));
        assert_eq!(Backoff::default().wait_after(&Status::unknown("the server says so")), None);
    }

    #[test]
    fn a_lasting_refusal_is_not_repeated() {
        assert_eq!(Backoff::default().wait_after(&Status::not_found("no such experiment")), None);
    }
}
