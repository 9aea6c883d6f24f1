//! The audit log in memory: what the journal has written, ready to be searched. No I/O, no clock.

use std::collections::BTreeMap;

use crate::domain::audit::{Cause, EventNumber};
use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::store::StoreError;
use crate::store::audit::{AuditLimits, AuditPage, AuditQuery, Head, Room, payload};

/// Most events dropped by one change: more than the one that it adds, so that a lowered limit is
/// reached.
const STEP: usize = 16;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    head: Head,
    pub(super) encoded_head: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl Entry {
    pub(super) fn new(
        experiment: &ExperimentId,
        cause: &Cause,
        before: Option<&Experiment>,
        after: Option<&Experiment>,
    ) -> Result<Self, StoreError> {
        let head = Head::new(experiment, cause);
        Ok(Self { encoded_head: head.encode()?, head, payload: payload(before, after)? })
    }

    pub(super) fn decode(head: &[u8], payload: &[u8]) -> Result<Self, StoreError> {
        let (encoded_head, payload) = (head.to_vec(), payload.to_vec());
        Ok(Self { head: Head::decode(head)?, encoded_head, payload })
    }

    fn size(&self) -> usize {
        self.encoded_head.len() + self.payload.len()
    }

    fn bytes(&self) -> u64 {
        u64::try_from(self.size()).unwrap_or(u64::MAX)
    }
}

/// All events by the version that they led to.
#[derive(Debug, Default)]
pub(super) struct AuditLog {
    events: BTreeMap<u64, Entry>,
    bytes: u64,
}

impl AuditLog {
    pub(super) fn add(&mut self, number: u64, entry: Entry) {
        self.bytes += entry.bytes();
        self.events.insert(number, entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn remove(&mut self, numbers: &[u64]) {
        for number in numbers {
            let removed = self.events.remove(number);
            self.bytes -= removed.map_or(0, |entry| entry.bytes());
        }
    }

    /// The events to drop when `new` comes at a time in milliseconds: the oldest, a few at a time.
    pub(super) fn superfluous(
        &self,
        new: Option<&Entry>,
        limits: &AuditLimits,
        milliseconds: u64,
    ) -> Vec<u64> {
        let oldest = limits.oldest(milliseconds);
        let mut count = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        count += u64::from(new.is_some());
        let mut bytes = self.bytes + new.map_or(0, Entry::bytes);
        let mut numbers = Vec::new();
        for (number, entry) in self.events.iter().take(STEP) {
            let crowded = count > 1 && (count > limits.events || bytes > limits.bytes);
            if !crowded && entry.head.cause.time >= oldest {
                break;
            }
            numbers.push(*number);
            count -= 1;
            bytes -= entry.bytes();
        }
        numbers
    }

    pub(super) fn page(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let end = query.before.map_or(u64::MAX, |before| before.0);
        let wanted = |(_, entry): &(&u64, &Entry)| {
            query.filter.admits(&entry.head.experiment, &entry.head.cause)
        };
        let mut older = self.events.range(..end).rev().filter(wanted);
        let (mut room, mut events) = (Room::of(query), Vec::new());
        while room.is_left()
            && let Some((number, entry)) = older.next()
        {
            room.take(entry.size());
            events.push(entry.head.clone().with(EventNumber(*number), &entry.payload)?);
        }
        Ok(AuditPage { events, more: older.next().is_some() })
    }
}
