//! Between the domain's values and the bytes in Redis. What does not parse is an error.

use std::collections::HashMap;

use crate::domain::counter::{Admission, Event, Increment};
use crate::domain::experiment::Experiment;
use crate::store::{Applied, StoreError, codec};

/// A batch as `apply.lua` takes it: every row and counter is named once, events refer to them by
/// number.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    rows: Vec<&'a str>,
    /// Flat: number of the row from 1, column.
    cells: Vec<i64>,
    events: Vec<Packed>,
    units: Vec<u8>,
    ids: Vec<u8>,
}

/// Has an id, exposed only, increments, increments if the unit is new.
type Packed = (u8, u8, Vec<i64>, Vec<i64>);

/// The unit of the high part of an amount that 32 bits do not hold.
const HIGH: i64 = 1 << 32;

impl<'a> Batch<'a> {
    pub(super) fn new(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut cells = Cells::default();
        let (mut packed, mut units, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            packed.push((
                u8::from(event.dedup.is_some()),
                u8::from(event.admission == Admission::ExposedOnly),
                cells.pack(&event.increments),
                cells.pack(&event.if_unit_is_new),
            ));
            units.extend(event.unit.as_bytes());
            ids.extend(event.dedup.as_ref().map_or(&[0; 16], |id| id.as_bytes()));
        }
        Self { rows: cells.rows, cells: cells.flat, events: packed, units, ids }
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn rows(&self) -> &[&'a str] {
        &self.rows
    }

    pub(super) fn units(&self) -> &[u8] {
        &self.units
    }

    pub(super) fn ids(&self) -> &[u8] {
        &self.ids
    }

    pub(super) fn message(&self) -> Result<Vec<u8>, StoreError> {
        rmp_serde::to_vec(&(&self.cells, &self.events)).map_err(StoreError::unavailable)
    }
}

/// Numbers rows and counters in the order they are first met.
#[derive(Default)]
struct Cells<'a> {
    rows: Vec<&'a str>,
    flat: Vec<i64>,
    row_numbers: HashMap<&'a str, i64>,
    cell_numbers: HashMap<(i64, u32), i64>,
}

impl<'a> Cells<'a> {
    fn pack(&mut self, increments: &'a [Increment]) -> Vec<i64> {
        let mut flat = Vec::with_capacity(2 * increments.len());
        for Increment { row, column, amount } in increments {
            let cell = self.cell(row, *column);
            if i32::try_from(*amount).is_ok() {
                flat.extend([cell, *amount]);
            } else {
                let (high, low) = (amount.div_euclid(HIGH), amount.rem_euclid(HIGH));
                flat.extend([cell, low, -cell, high]);
            }
        }
        flat
    }

    fn row(&mut self, name: &'a str) -> i64 {
        let next = number(self.rows.len());
        *self.row_numbers.entry(name).or_insert_with(|| {
            self.rows.push(name);
            next
        })
    }

    fn cell(&mut self, row: &'a str, column: u32) -> i64 {
        let row = self.row(row);
        let next = number(self.cell_numbers.len());
        *self.cell_numbers.entry((row, column)).or_insert_with(|| {
            self.flat.extend([row, i64::from(column)]);
            next
        })
    }
}

/// From 1, as Lua counts.
fn number(before: usize) -> i64 {
    i64::try_from(before).unwrap_or(i64::MAX - 1) + 1
}

/// Reads the reply of `apply.lua`.
pub(super) fn answers(reply: &[u8], events: usize) -> Result<Vec<Applied>, StoreError> {
    if reply.len() != events {
        let answers = reply.len();
        return Err(StoreError::Corrupt(format!("{answers} answers for {events} events")));
    }
    let answers = reply.iter().map(|byte| match byte {
        b'C' => Ok(Applied::Counted),
        b'D' => Ok(Applied::Duplicate),
        b'N' => Ok(Applied::NotExposed),
        other => Err(StoreError::Corrupt(format!("the answer {other} for an event"))),
    });
    answers.collect()
}

/// Writes a row, or the beginning of one.
pub(super) fn columns(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// Reads a row.
pub(super) fn row(name: &str, bytes: &[u8]) -> Result<Vec<i64>, StoreError> {
    match bytes.as_chunks() {
        (chunks, []) => Ok(chunks.iter().map(|chunk| i64::from_be_bytes(*chunk)).collect()),
        _ => Err(StoreError::Corrupt(format!(
            "row {name:?} of {} bytes, no whole number of counters",
            bytes.len()
        ))),
    }
}

/// The stored form of a record: its revision in digits, for the scripts, a blank, the record.
pub(super) fn record(experiment: &Experiment) -> Result<Vec<u8>, StoreError> {
    let mut bytes = format!("{} ", experiment.revision.0).into_bytes();
    bytes.extend(codec::encode(experiment)?);
    Ok(bytes)
}

/// Reads a record.
pub(super) fn parse_record(bytes: &[u8]) -> Result<Experiment, StoreError> {
    let blank = bytes.iter().position(|byte| *byte == b' ');
    let record = blank.and_then(|blank| bytes.get(blank + 1..));
    codec::decode(record.ok_or_else(|| StoreError::Corrupt("a record has no revision".into()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bucket::Fingerprint;

    fn increment(row: &str, column: u32, amount: i64) -> Increment {
        Increment { row: row.to_owned(), column, amount }
    }

    #[test]
    fn rows_and_counters_are_named_once() {
        let event = Event {
            dedup: Some(Fingerprint::from([7; 16])),
            unit: Fingerprint::from([9; 16]),
            admission: Admission::ExposedOnly,
            increments: vec![increment("a", 5, 1), increment("b", 5, -2), increment("a", 5, 3)],
            if_unit_is_new: vec![increment("b", 5, 4)],
        };
        let unnamed = Event { dedup: None, admission: Admission::Anyone, ..event.clone() };
        let events = [event, unnamed];
        let batch = Batch::new(events.iter());
        assert_eq!(batch.rows(), ["a", "b"]);
        assert_eq!(batch.cells, [1, 5, 2, 5]);
        assert_eq!(batch.events[0], (1, 1, vec![1, 1, 2, -2, 1, 3], vec![2, 4]));
        assert_eq!((batch.events[1].0, batch.events[1].1), (0, 0));
        assert_eq!(batch.units(), [9; 32]);
        assert_eq!(batch.ids(), [[7; 16], [0; 16]].concat());
    }

    #[test]
    fn a_large_amount_is_two_small_ones() {
        for amount in [i64::MIN, -HIGH, -(1 << 31) - 1, 1 << 31, HIGH + 5, i64::MAX] {
            let mut cells = Cells::default();
            let increments = [increment("a", 0, amount)];
            let packed = cells.pack(&increments);
            assert_eq!(cells.flat, [1, 0]);
            let [1, low, -1, high] = packed[..] else { panic!("two parts") };
            assert_eq!(i128::from(low) + i128::from(high) * i128::from(HIGH), amount.into());
        }
    }

    #[test]
    fn a_row_comes_back() {
        let values = vec![0, 1, 255, 256, i64::MAX];
        assert_eq!(row("a", &columns(&values)).unwrap(), values);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        assert!(answers(b"CD", 3).is_err());
        assert!(answers(b"CDX", 3).is_err());
        assert!(row("a", &[0; 12]).is_err());
        assert!(parse_record(b"17").is_err());
        assert!(parse_record(b"17 {}").is_err());
    }
}
