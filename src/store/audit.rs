//! The audit log as every store keeps it: how much of it, how it is read, its stored form.
//!
//! An event is stored in two parts. The *head* says who, when, by which call and of which
//! experiment, in JSON; it is small, so that a search reads no records. The *payload* is the
//! record before and after: the length of the first (4 bytes, big-endian) and both as
//! [`codec`](super::codec) writes them, nothing where there is none.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::audit::{AuditEvent, AuditFilter, Cause, EventNumber};
use crate::domain::experiment::{Experiment, Timestamp};
use crate::domain::id::ExperimentId;
use crate::store::{StoreError, codec};

/// How much is kept. What comes on top drops the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLimits {
    /// Most events.
    pub events: u64,
    /// Most bytes that all of them take, so that huge payloads do not fill the memory.
    pub bytes: u64,
    /// Greatest age.
    pub age: Duration,
}

impl Default for AuditLimits {
    fn default() -> Self {
        Self { events: 10_000, bytes: 64 << 20, age: Duration::from_secs(400 * 24 * 60 * 60) }
    }
}

impl AuditLimits {
    /// The greatest age in milliseconds.
    pub(super) fn age_milliseconds(&self) -> u64 {
        u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX)
    }

    /// What is older than this is too old at a time in milliseconds since 1970.
    pub(super) fn oldest(&self, milliseconds: u64) -> Timestamp {
        let oldest = milliseconds.saturating_sub(self.age_milliseconds());
        Timestamp(i64::try_from(oldest).unwrap_or(i64::MAX).saturating_mul(1_000_000))
    }
}

/// Which events, newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Which of them.
    pub filter: AuditFilter,
    /// Only events before this one.
    pub before: Option<EventNumber>,
    /// Most events in the answer.
    pub limit: usize,
    /// The answer ends with the event that brings its stored form beyond this.
    pub bytes: usize,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// Newest first.
    pub events: Vec<AuditEvent>,
    /// Whether there are older ones that match.
    pub more: bool,
}

/// Raised when a head of this release can no longer be read by the previous one.
const FORMAT: u32 = 1;

/// What an event says beside the records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    format: u32,
    pub(super) experiment: ExperimentId,
    pub(super) cause: Cause,
}

impl Head {
    pub(super) fn new(experiment: &ExperimentId, cause: &Cause) -> Self {
        Self { format: FORMAT, experiment: experiment.clone(), cause: cause.clone() }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |error| StoreError::Corrupt(format!("the head of an audit event: {error}"));
        let head: Self = serde_json::from_slice(bytes).map_err(corrupt)?;
        if head.format == FORMAT {
            return Ok(head);
        }
        Err(StoreError::Corrupt(format!(
            "an audit event in format {}; this release reads format {FORMAT}",
            head.format
        )))
    }

    /// The event that this is the head of.
    pub(super) fn with(
        self,
        number: EventNumber,
        payload: &[u8],
    ) -> Result<AuditEvent, StoreError> {
        let (before, after) = parse_payload(payload)?;
        Ok(AuditEvent { number, experiment: self.experiment, cause: self.cause, before, after })
    }
}

/// The stored form of the records of an event.
pub(super) fn payload(
    before: Option<&Experiment>,
    after: Option<&Experiment>,
) -> Result<Vec<u8>, StoreError> {
    let encoded = |record: Option<&Experiment>| record.map_or(Ok(Vec::new()), codec::encode);
    let (before, after) = (encoded(before)?, encoded(after)?);
    let length = u32::try_from(before.len())
        .map_err(|_| StoreError::Corrupt("a record of more than 4 GiB".to_owned()))?;
    Ok([length.to_be_bytes().as_slice(), &before, &after].concat())
}

fn parse_payload(bytes: &[u8]) -> Result<(Option<Experiment>, Option<Experiment>), StoreError> {
    let short = || StoreError::Corrupt("an audit event is shorter than it says".to_owned());
    let (length, records) = bytes.split_first_chunk().ok_or_else(short)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| short())?;
    let (before, after) = records.split_at_checked(length).ok_or_else(short)?;
    let decoded = |bytes: &[u8]| match bytes {
        [] => Ok(None),
        bytes => codec::decode(bytes).map(Some),
    };
    Ok((decoded(before)?, decoded(after)?))
}

/// What a page has room for.
#[derive(Debug)]
pub(super) struct Room {
    events: usize,
    bytes: usize,
}

impl Room {
    pub(super) fn of(query: &AuditQuery) -> Self {
        Self { events: query.limit, bytes: query.bytes }
    }

    pub(super) fn is_left(&self) -> bool {
        self.events > 0
    }

    /// An event of so many bytes; the one that is beyond the bytes is the last.
    pub(super) fn take(&mut self, bytes: usize) {
        self.events = if bytes < self.bytes { self.events.saturating_sub(1) } else { 0 };
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
