//! How the embedded store's keys and values look on disk. Pure; every form is tested to come back.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `meta` | `format`, `version` | a big-endian number |
//! | `records` | experiment id | [`crate::store::codec`] |
//! | `log` | number, big-endian | increments of one group of batches and raises, added up |
//! | `rows` | shard, row name | big-endian 64-bit integers |
//! | `notes` | shard, slot, big-endian | [`crate::store::Note`]: stamp and bytes |
//! | `units` | shard, digest | the label, for units that have one |
//! | `events` | window, shard, digest | - |
//! | `erasing` | shard | - |
//! | `audit` | number of the event, big-endian | length of the head (4 bytes), head and payload as in [`crate::store::audit`] |
//!
//! A shard is written as `{experiment} 0x00 {incarnation} {iteration} {shard}`, big-endian: no
//! experiment id holds a zero byte, so no shard's key is the beginning of another's. A window is
//! its number and its length.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::counter::ShardKey;
use crate::domain::experiment::Incarnation;
use crate::domain::id::ExperimentId;
use crate::domain::segment::Label;
use crate::store::embedded::audit::Entry;
use crate::store::embedded::state::{Change, Sums};
use crate::store::{Digest, StoreError, Window};

/// Raised when a directory of this release can no longer be read by the previous one.
pub(super) const FORMAT: u64 = 3;

pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("in the data directory: {what}"))
}

pub(super) fn shard(key: &ShardKey) -> Vec<u8> {
    let mut bytes = key.experiment.as_str().as_bytes().to_vec();
    bytes.push(0);
    bytes.extend(key.incarnation.0.to_be_bytes());
    bytes.extend(key.iteration.to_be_bytes());
    bytes.extend(key.shard.to_be_bytes());
    bytes
}

/// The shard at the beginning of a key, and the rest of the key.
pub(super) fn split_shard(key: &[u8]) -> Result<(ShardKey, &[u8]), StoreError> {
    let parse = || {
        let end = key.iter().position(|byte| *byte == 0)?;
        let (experiment, rest) = key.split_at_checked(end)?;
        let (incarnation, rest) = rest.get(1..)?.split_first_chunk()?;
        let (iteration, rest) = rest.split_first_chunk()?;
        let (shard, rest) = rest.split_first_chunk()?;
        let experiment = ExperimentId::parse(std::str::from_utf8(experiment).ok()?).ok()?;
        let (iteration, shard) = (u32::from_be_bytes(*iteration), u32::from_be_bytes(*shard));
        let incarnation = Incarnation(u64::from_be_bytes(*incarnation));
        Some((ShardKey { experiment, incarnation, iteration, shard }, rest))
    };
    parse().ok_or_else(|| corrupt("a key does not start with a shard"))
}

pub(super) fn row(key: &ShardKey, name: &str) -> Vec<u8> {
    [shard(key).as_slice(), name.as_bytes()].concat()
}

pub(super) fn split_row(key: &[u8]) -> Result<(ShardKey, String), StoreError> {
    let (shard, name) = split_shard(key)?;
    let name = std::str::from_utf8(name).map_err(|_| corrupt("a row's name is not text"))?;
    Ok((shard, name.to_owned()))
}

pub(super) fn note(key: &ShardKey, slot: u32) -> Vec<u8> {
    [shard(key).as_slice(), &slot.to_be_bytes()].concat()
}

pub(super) fn split_note(key: &[u8]) -> Result<(ShardKey, u32), StoreError> {
    let (shard, slot) = split_shard(key)?;
    let slot = <[u8; 4]>::try_from(slot).map_err(|_| corrupt("a note's slot has no 4 bytes"))?;
    Ok((shard, u32::from_be_bytes(slot)))
}

pub(super) fn unit(key: &ShardKey, unit: Digest) -> Vec<u8> {
    [shard(key).as_slice(), &unit.to_bytes()].concat()
}

pub(super) fn split_unit(key: &[u8]) -> Result<(ShardKey, Digest), StoreError> {
    let (shard, unit) = split_shard(key)?;
    let unit = <[u8; 8]>::try_from(unit).map_err(|_| corrupt("a digest has no 8 bytes"))?;
    Ok((shard, Digest::from(unit)))
}

/// The label of a unit; `None` for a unit without one.
pub(super) fn parse_label(bytes: &[u8]) -> Result<Option<Label>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes = <[u8; Label::BYTES]>::try_from(bytes);
    bytes.map(|bytes| Some(Label::from(bytes))).map_err(|_| corrupt("a label has no 6 bytes"))
}

pub(super) fn window(window: Window) -> [u8; 16] {
    let bytes = u128::from(window.number()) << 64 | u128::from(window.length());
    bytes.to_be_bytes()
}

/// The smallest key behind all events of a window.
pub(super) fn after_window(of: Window) -> Vec<u8> {
    u128::from_be_bytes(window(of)).saturating_add(1).to_be_bytes().to_vec()
}

pub(super) fn event(in_window: Window, key: &ShardKey, event: Digest) -> Vec<u8> {
    [window(in_window).as_slice(), &unit(key, event)].concat()
}

pub(super) fn split_window(key: &[u8]) -> Result<(Window, &[u8]), StoreError> {
    let parse = || {
        let (number, rest) = key.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (number, length) = (u64::from_be_bytes(*number), u64::from_be_bytes(*length));
        (length > 0).then(|| (Window::new(length, number), rest))
    };
    parse().ok_or_else(|| corrupt("an event's key has no window"))
}

pub(super) fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| corrupt("a number has no 8 bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}

pub(super) fn counters(row: &[i64]) -> Vec<u8> {
    row.iter().flat_map(|counter| counter.to_be_bytes()).collect()
}

pub(super) fn parse_counters(bytes: &[u8]) -> Result<Vec<i64>, StoreError> {
    match bytes.as_chunks() {
        (chunks, []) => Ok(chunks.iter().map(|chunk| i64::from_be_bytes(*chunk)).collect()),
        _ => Err(corrupt("a row is no whole number of counters")),
    }
}

pub(super) fn audit_event(event: &Entry) -> Vec<u8> {
    // A head is a few hundred bytes and the note, which is bounded.
    let length = u32::try_from(event.encoded_head.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &event.encoded_head, &event.payload].concat()
}

pub(super) fn parse_audit_event(bytes: &[u8]) -> Result<Entry, StoreError> {
    let parts = || {
        let (length, rest) = bytes.split_first_chunk()?;
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
    };
    let short = || corrupt("an audit event is shorter than its head");
    let (head, payload) = parts().ok_or_else(short)?;
    Entry::decode(head, payload)
}

/// What one group of batches and raises added to one shard's rows.
#[derive(Serialize, Deserialize)]
struct Logged<'a> {
    experiment: Cow<'a, str>,
    incarnation: u64,
    iteration: u32,
    shard: u32,
    sums: Cow<'a, Sums>,
}

/// The log record of a change. Digests are not in it: they have keys of their own.
pub(super) fn log_record(change: &Change) -> Result<Vec<u8>, StoreError> {
    let shards = change.shards.iter().map(|(key, added)| Logged {
        experiment: Cow::Borrowed(key.experiment.as_str()),
        incarnation: key.incarnation.0,
        iteration: key.iteration,
        shard: key.shard,
        sums: Cow::Borrowed(&added.sums),
    });
    postcard::to_stdvec(&shards.collect::<Vec<_>>()).map_err(StoreError::unavailable)
}

pub(super) fn parse_log_record(bytes: &[u8]) -> Result<Vec<(ShardKey, Sums)>, StoreError> {
    let logged: Vec<Logged<'_>> =
        postcard::from_bytes(bytes).map_err(|error| corrupt(&format!("a log record: {error}")))?;
    let shards = logged.into_iter().map(|logged| {
        let Logged { experiment, incarnation, iteration, shard, sums } = logged;
        let experiment = ExperimentId::parse(&experiment)
            .map_err(|_| corrupt("a log record names no experiment"))?;
        let incarnation = Incarnation(incarnation);
        Ok((ShardKey { experiment, incarnation, iteration, shard }, sums.into_owned()))
    });
    shards.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::segment::Code;
    use crate::store::embedded::clock::Moment;
    use crate::store::embedded::state::ShardChange;

    fn key(shard: u32) -> ShardKey {
        let experiment = ExperimentId::parse("a-b").unwrap();
        ShardKey { experiment, incarnation: Incarnation(u64::MAX - 1), iteration: 7, shard }
    }

    #[test]
    fn keys_come_back() {
        let digest = Digest::from([0; 8]);
        let window = Window::new(1_000, 9);
        assert_eq!(split_shard(&shard(&key(3))).unwrap(), (key(3), [].as_slice()));
        assert_eq!(split_row(&row(&key(0), "n/v/m")).unwrap(), (key(0), "n/v/m".to_owned()));
        assert_eq!(split_note(&note(&key(2), 255)).unwrap(), (key(2), 255));
        assert_eq!(split_unit(&unit(&key(1), digest)).unwrap(), (key(1), digest));
        let event = event(window, &key(1), digest);
        let (found, rest) = split_window(&event).unwrap();
        assert_eq!((found, split_unit(rest).unwrap()), (window, (key(1), digest)));
        assert!(after_window(window) > event);
    }

    #[test]
    fn values_come_back() {
        let label = Label::NONE.with(7, Code::Other);
        assert_eq!(parse_label(&label.to_bytes()).unwrap(), Some(label));
        assert_eq!(parse_label(&[]).unwrap(), None);
        let row = vec![i64::MIN, -1, 0, 1, i64::MAX];
        assert_eq!(parse_counters(&counters(&row)).unwrap(), row);
        let sums = Sums::from([("n/v/m".to_owned(), [(0, -3), (511, 0)].into())]);
        let added = ShardChange { sums: sums.clone(), ..ShardChange::default() };
        let window = Window::new(1, 1);
        let mut change = Change::new(Moment { milliseconds: 1, window });
        change.shards.insert(key(2), added);
        let record = log_record(&change).unwrap();
        assert_eq!(parse_log_record(&record).unwrap(), [(key(2), sums)]);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        assert!(split_shard(b"no-zero-byte").is_err());
        assert!(split_shard(b"ab\0\0\0").is_err());
        assert!(split_note(&[shard(&key(0)).as_slice(), &[1; 5]].concat()).is_err());
        assert!(split_unit(&[shard(&key(0)).as_slice(), &[1; 7]].concat()).is_err());
        assert!(parse_counters(&[0; 9]).is_err());
        assert!(parse_log_record(&[255; 3]).is_err());
        assert!(parse_label(&[1; 5]).is_err());
    }
}
