//! A batch of events as `apply.lua` takes it; the layout is described there.

use std::collections::HashMap;

use crate::domain::counter::{Admission, Event, Increment};
use crate::domain::segment::Label;
use crate::store::Digest;

/// Events added up, with what it takes to take single ones off again.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) rows: Vec<&'a str>,
    pub(super) flags: Vec<u8>,
    pub(super) units: Vec<u8>,
    pub(super) ids: Vec<u8>,
    /// Empty when no event has one.
    pub(super) labels: Vec<u8>,
    pub(super) cells: Vec<u8>,
    pub(super) parts: Vec<u8>,
}

/// One increment: the cell is first row and column, then the number of the cell.
#[derive(Debug, Clone, Copy)]
struct Entry {
    cell: u64,
    certain: bool,
    amount: i64,
}

/// Number of certain and of conditional entries of an event.
type Share = (u16, u16);

impl<'a> Batch<'a> {
    pub(super) fn new(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut batch = Self::default();
        let (mut entries, mut shares) = (Vec::new(), Vec::new());
        let mut numbers = HashMap::new();
        for event in events {
            let (has_id, exposed_only, has_label) = (
                event.dedup.is_some(),
                event.admission == Admission::ExposedOnly,
                event.label.is_some(),
            );
            let flags = u8::from(has_id) + 2 * u8::from(exposed_only) + 4 * u8::from(has_label);
            batch.flags.push(b'0' + flags);
            if let Some(label) = event.label {
                // Whatever where there is none.
                batch.labels.resize(Label::BYTES * (batch.flags.len() - 1), 0);
                batch.labels.extend(label.to_bytes());
            }
            batch.units.extend(Digest::from(&event.unit).to_bytes());
            batch.ids.extend(event.dedup.as_ref().map_or([0; 8], |id| Digest::from(id).to_bytes()));
            let certain = batch.enter(&event.increments, true, &mut numbers, &mut entries);
            let other = batch.enter(&event.if_unit_is_new, false, &mut numbers, &mut entries);
            shares.push((certain, other));
        }
        batch.cells = add_up(batch.rows.len(), &mut entries);
        batch.parts = parts(&shares, &entries);
        batch
    }

    pub(super) fn len(&self) -> usize {
        self.flags.len()
    }

    /// Increments beyond the 65,535 that a part can name do not occur: an outcome has at most 64
    /// values and each value a dozen increments.
    fn enter(
        &mut self,
        increments: &'a [Increment],
        certain: bool,
        numbers: &mut HashMap<&'a str, u64>,
        entries: &mut Vec<Entry>,
    ) -> u16 {
        let named = increments.iter().take(usize::from(u16::MAX));
        let mut count = 0;
        for Increment { row, column, amount } in named {
            let row = *numbers.entry(row).or_insert_with(|| {
                self.rows.push(row);
                u64::try_from(self.rows.len() - 1).unwrap_or(u64::MAX)
            });
            let cell = row << 32 | u64::from(*column);
            entries.push(Entry { cell, certain, amount: *amount });
            count += 1;
        }
        count
    }
}

/// Writes the cells in the order of rows and columns, and numbers them in the entries.
fn add_up(rows: usize, entries: &mut [Entry]) -> Vec<u8> {
    let mut order: Vec<(u64, usize)> =
        entries.iter().enumerate().map(|(index, entry)| (entry.cell, index)).collect();
    order.sort_unstable();
    let mut cells = Vec::with_capacity(16 * order.len() + 4 * rows);
    let mut number = 0;
    let mut by_row = order.chunk_by(|one, other| one.0 >> 32 == other.0 >> 32);
    for _ in 0..rows {
        // Every row is named by an increment.
        let row = by_row.next().unwrap_or_default();
        let by_cell = row.chunk_by(|one, other| one.0 == other.0);
        let count = u32::try_from(by_cell.clone().count()).unwrap_or(u32::MAX);
        cells.extend(count.to_be_bytes());
        for cell in by_cell {
            number += 1;
            let (mut touched, mut sum, mut column) = (0_u16, 0_i128, 0_u32);
            for (key, index) in cell {
                column = u32::try_from(key & u64::from(u32::MAX)).unwrap_or(u32::MAX);
                let Some(entry) = entries.get_mut(*index) else { continue };
                entry.cell = number;
                if entry.certain {
                    touched = touched.saturating_add(1);
                    sum += i128::from(entry.amount);
                }
            }
            cells.extend(column.to_be_bytes());
            cells.extend(touched.to_be_bytes());
            cells.extend(amount(sum));
        }
    }
    cells
}

fn parts(shares: &[Share], entries: &[Entry]) -> Vec<u8> {
    let head = 4 * shares.len();
    let mut offsets = Vec::with_capacity(head);
    let mut parts = Vec::with_capacity(4 * shares.len() + 14 * entries.len());
    let mut rest = entries.iter();
    for (certain, conditional) in shares {
        let offset = u32::try_from(head + parts.len() + 1).unwrap_or(u32::MAX);
        offsets.extend(offset.to_be_bytes());
        parts.extend(certain.to_be_bytes());
        parts.extend(conditional.to_be_bytes());
        let count = usize::from(*certain) + usize::from(*conditional);
        for entry in rest.by_ref().take(count) {
            let cell = u32::try_from(entry.cell).unwrap_or(u32::MAX);
            parts.extend(cell.to_be_bytes());
            parts.extend(amount(entry.amount.into()));
        }
    }
    offsets.append(&mut parts);
    offsets
}

/// Ten bytes: 80 bits hold the sum of 2^16 amounts of 64 bits.
fn amount(sum: i128) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&sum.to_be_bytes()[6..]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bucket::Fingerprint;

    fn increment(row: &str, column: u32, amount: i64) -> Increment {
        Increment { row: row.to_owned(), column, amount }
    }

    #[test]
    fn events_are_added_up_and_can_be_taken_off() {
        let event = Event {
            dedup: Some(Fingerprint::from([7; 16])),
            unit: Fingerprint::from([9; 16]),
            admission: Admission::ExposedOnly,
            label: None,
            increments: vec![increment("b", 5, 1), increment("a", 6, -2), increment("b", 5, 3)],
            if_unit_is_new: vec![increment("a", 5, 4)],
        };
        let other = Event {
            dedup: None,
            admission: Admission::Anyone,
            label: Some(Label::from([0, 1, 2, 3, 4, 5])),
            if_unit_is_new: vec![],
            ..event.clone()
        };
        let events = [event, other];
        let batch = Batch::new(events.iter());
        assert_eq!(batch.rows, ["b", "a"]);
        assert_eq!(batch.flags, *b"34");
        assert_eq!(batch.labels, [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]);
        assert_eq!(batch.units, [9; 16]);
        assert_eq!(batch.ids, [[7; 8], [0; 8]].concat());
        let cell = |column: u32, touched: u16, sum: i128| {
            [&column.to_be_bytes()[..], &touched.to_be_bytes(), &amount(sum)].concat()
        };
        let (one, two) = (1_u32.to_be_bytes().to_vec(), 2_u32.to_be_bytes().to_vec());
        let cells = [one, cell(5, 4, 8), two, cell(5, 0, 0), cell(6, 2, -4)];
        assert_eq!(batch.cells, cells.concat());
        let part = |cell: u32, sum: i128| [&cell.to_be_bytes()[..], &amount(sum)].concat();
        let first = [part(1, 1), part(3, -2), part(1, 3), part(2, 4)].concat();
        let second = [part(1, 1), part(3, -2), part(1, 3)].concat();
        let expected =
            [&[0, 0, 0, 9, 0, 0, 0, 69][..], &[0, 3, 0, 1], &first, &[0, 3, 0, 0], &second];
        assert_eq!(batch.parts, expected.concat());
    }

    #[test]
    fn a_sum_beyond_64_bits_is_kept() {
        let bytes = amount(i128::from(i64::MIN) * 65_536);
        assert_eq!(bytes, [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(amount(-1), [255; 10]);
    }
}
