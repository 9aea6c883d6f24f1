//! Between the domain's values and the bytes in Redis. What does not parse is an error.

use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::domain::segment::Label;
use crate::store::{Applied, Changes, StoreError, codec};

pub(super) use codec::of_another_release;

/// Reads the reply of `apply.lua`: a letter for each event, then the labels that letters ask for.
pub(super) fn answers(reply: &[u8], events: usize) -> Result<Vec<Applied>, StoreError> {
    let short = || {
        let answers = reply.len();
        StoreError::Corrupt(format!("{answers} bytes of answers for {events} events"))
    };
    let (letters, labels) = reply.split_at_checked(events).ok_or_else(short)?;
    let (labels, rest) = labels.as_chunks::<{ Label::BYTES }>();
    let mut labels = labels.iter();
    let mut answer = |letter: &u8| match letter {
        b'C' => Ok(Applied::Counted),
        b'D' => Ok(Applied::Duplicate),
        b'N' => Ok(Applied::NotExposed),
        b'L' => labels.next().map(|label| Applied::Labelled(Label::from(*label))).ok_or_else(short),
        other => Err(StoreError::Corrupt(format!("the answer {other} for an event"))),
    };
    let answers = letters.iter().map(&mut answer).collect::<Result<_, _>>()?;
    if labels.next().is_some() || !rest.is_empty() {
        return Err(short());
    }
    Ok(answers)
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

/// Reads the reply of `changes.lua`.
pub(super) fn changes(
    (version, verdict, records): (u64, String, Vec<Option<Vec<u8>>>),
) -> Result<Changes, StoreError> {
    let more = match verdict.as_str() {
        "NONE" => return Ok(Changes::None),
        "UNKNOWN" => return Ok(Changes::Unknown),
        "LAST" => false,
        "MORE" => true,
        other => return Err(StoreError::Corrupt(format!("the reply {other:?} about changes"))),
    };
    let unreadable = || StoreError::Corrupt("a change names no experiment".to_owned());
    let changed = records.chunks(2).map(|pair| {
        let [Some(id), record] = pair else { return Err(unreadable()) };
        let id = std::str::from_utf8(id).ok().and_then(|id| ExperimentId::parse(id).ok());
        let record = record.as_deref().map(parse_record).transpose()?;
        Ok((id.ok_or_else(unreadable)?, record))
    });
    Ok(Changes::Some { version, records: changed.collect::<Result<_, _>>()?, more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_behind_the_letters_that_ask_for_them() {
        use Applied::{Counted, Labelled};
        let (one, other) = (Label::from(*b"123456"), Label::from(*b"abcdef"));
        let answers = answers(b"LCL123456abcdef", 3).unwrap();
        assert_eq!(answers, [Labelled(one), Counted, Labelled(other)]);
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
        assert!(answers(b"CDC1", 3).is_err());
        assert!(answers(b"CLC12345", 3).is_err());
        assert!(answers(b"CLC123456L", 3).is_err());
        assert!(row("a", &[0; 12]).is_err());
        assert!(parse_record(b"17").is_err());
        assert!(parse_record(b"17 {}").is_err());
        for records in
            [vec![None, None], vec![Some(b"x".to_vec())], vec![Some(b"/".to_vec()), None]]
        {
            assert!(changes((1, "LAST".to_owned(), records)).is_err());
        }
        assert!(changes((1, "other".to_owned(), vec![])).is_err());
    }
}
