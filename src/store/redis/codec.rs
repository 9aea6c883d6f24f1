//! Between the domain's values and the bytes in Redis. What does not parse is an error.

use crate::domain::experiment::Experiment;
use crate::store::{Applied, StoreError, codec};

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
