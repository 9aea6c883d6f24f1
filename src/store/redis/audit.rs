//! The audit log in Redis: a stream of heads and a hash of payloads; `change.lua` writes them.

use redis::Cmd;
use redis::streams::{StreamId, StreamRangeReply};

use crate::domain::audit::{AuditEvent, Cause, EventNumber};
use crate::domain::id::ExperimentId;
use crate::store::audit::{Head, Room};
use crate::store::redis::keys::CatalogKeys;
use crate::store::redis::link::Link;
use crate::store::{AuditLimits, AuditPage, AuditQuery, StoreError};

/// Heads read in one step: some 200 bytes each.
const HEADS: usize = 500;

/// Bytes of payloads read in one step, unless one alone is larger.
const PAYLOAD_BYTES: usize = 1 << 20;

/// What the scripts need for the event of a change.
#[derive(Debug)]
pub(super) struct Event {
    head: Vec<u8>,
    milliseconds: i64,
    limits: AuditLimits,
}

impl Event {
    pub(super) fn new(
        experiment: &ExperimentId,
        cause: &Cause,
        limits: AuditLimits,
    ) -> Result<Self, StoreError> {
        let head = Head::new(experiment, cause).encode()?;
        Ok(Self { head, milliseconds: cause.time.0.div_euclid(1_000_000), limits })
    }

    /// Adds the arguments that `put.lua` and `remove.lua` end with.
    pub(super) fn add_to(&self, call: &mut Cmd) {
        call.arg(&self.head).arg(self.milliseconds);
        add_limits(call, &self.limits);
    }
}

pub(super) fn add_limits(call: &mut Cmd, limits: &AuditLimits) {
    call.arg(limits.events).arg(limits.bytes).arg(limits.age_milliseconds());
}

/// An entry of the stream.
struct Entry {
    number: EventNumber,
    head: Head,
    size: usize,
}

/// Searches the heads and then fetches the payloads of those that are wanted.
pub(super) async fn page(
    link: &Link,
    keys: &CatalogKeys,
    query: &AuditQuery,
) -> Result<AuditPage, StoreError> {
    let (mut room, mut wanted, mut more) = (Room::of(query), Vec::new(), false);
    let mut before = query.before;
    'search: loop {
        let entries = entries(link, keys, before).await?;
        before = entries.last().map(|entry| entry.number);
        let is_last = entries.len() < HEADS;
        for entry in entries {
            if query.filter.admits(&entry.head.experiment, &entry.head.cause) {
                if !room.is_left() {
                    more = true;
                    break 'search;
                }
                room.take(entry.size);
                wanted.push(entry);
            }
        }
        if is_last {
            break;
        }
    }
    Ok(AuditPage { events: events(link, keys, wanted).await?, more })
}

async fn entries(
    link: &Link,
    keys: &CatalogKeys,
    before: Option<EventNumber>,
) -> Result<Vec<Entry>, StoreError> {
    let end = before.map_or("+".to_owned(), |before| format!("({}-0", before.0));
    let command = Cmd::xrevrange_count(&keys.audit, end, "-", HEADS);
    let reply: StreamRangeReply = link.read(&keys.tag, &command).await?;
    let corrupt = || StoreError::Corrupt("an entry of the audit log is no event".to_owned());
    let parse = |entry: &StreamId| {
        let number = entry.id.split('-').next().and_then(|number| number.parse().ok());
        let (head, size) = (entry.get::<Vec<u8>>("head"), entry.get("size"));
        Ok(Entry {
            number: EventNumber(number.ok_or_else(corrupt)?),
            head: Head::decode(&head.ok_or_else(corrupt)?)?,
            size: size.ok_or_else(corrupt)?,
        })
    };
    reply.ids.iter().map(parse).collect()
}

/// The events of entries, without those that were dropped meanwhile.
async fn events(
    link: &Link,
    keys: &CatalogKeys,
    mut entries: Vec<Entry>,
) -> Result<Vec<AuditEvent>, StoreError> {
    let mut events = Vec::with_capacity(entries.len());
    while !entries.is_empty() {
        let mut bytes = 0;
        let fits = entries.iter().take_while(|entry| {
            bytes += entry.size;
            bytes <= PAYLOAD_BYTES
        });
        let step = fits.count().max(1);
        let numbers: Vec<u64> = entries.iter().take(step).map(|entry| entry.number.0).collect();
        let mut command = Cmd::new();
        command.arg("HMGET").arg(&keys.audited).arg(numbers);
        let payloads: Vec<Option<Vec<u8>>> = link.read(&keys.tag, &command).await?;
        for (Entry { number, head, .. }, payload) in entries.drain(..step).zip(payloads) {
            if let Some(payload) = payload {
                events.push(head.with(number, &payload)?);
            }
        }
    }
    Ok(events)
}
